//! A disk that is really full.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sentiment::bundle::{Bundle, folder};
use sentiment::store::JobState;

use crate::Shop;

/// A file system in memory, of so many KiB, in the place of a folder.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// None, and said, where this user may not mount.
    fn mount(folder: &'a Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=32k", "tmpfs"])
            .arg(folder)
            .output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(folder));
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "no file system can be mounted"
        );
        eprintln!("SKIPPED: only the superuser may mount a file system that is soon full");
        None
    }

    fn grow(&self) {
        let grown = Command::new("mount")
            .args(["-o", "remount,size=64m"])
            .arg(self.0)
            .status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_publishes_nothing_and_the_job_succeeds_when_there_is_room() {
    let shop = Shop::new("epochs = 2");
    let models = shop.room.path("models");
    let Some(disk) = Disk::mount(&models) else {
        return;
    };
    std::fs::write(models.join("filler"), vec![0; 24 * 1024]).unwrap();
    let id = shop.ask(|_| {});
    shop.work(&[]);
    let job = shop.job(&id);
    assert_eq!((job.state, job.attempts), (JobState::Queued, 1), "{job:?}");
    let error = job.error.unwrap();
    assert!(error.contains("No space left"), "{error}");
    assert!(folder::versions(&models, "shop").unwrap().is_empty());

    disk.grow();
    let until = Instant::now() + Duration::from_secs(60);
    while !shop.job(&id).state.is_final() {
        assert!(Instant::now() < until, "{:?}", shop.job(&id));
        shop.work(&[]);
    }
    let job = shop.job(&id);
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let published = folder::versions(&models, "shop").unwrap();
    assert_eq!(published.len(), 1);
    Bundle::load(&models.join(format!("shop/{}", published[0]))).unwrap();
    let left = std::fs::read_dir(models.join("shop")).unwrap();
    let hidden = |name: &std::ffi::OsString| name.to_string_lossy().starts_with('.');
    let left: Vec<_> = left
        .map(|entry| entry.unwrap().file_name())
        .filter(hidden)
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
