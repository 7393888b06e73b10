//! A disk that is really full.

use std::path::Path;
use std::process::Command;

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
fn a_full_disk_publishes_nothing_and_what_was_trained_waits_for_room() {
    let shop = Shop::new("epochs = 2");
    let models = shop.room.path("models");
    let Some(disk) = Disk::mount(&models) else {
        return;
    };
    std::fs::write(models.join("filler"), vec![0; 24 * 1024]).unwrap();
    let id = shop.ask(|job| job.max_attempts = 1);
    let worker = shop.start(&[]);
    worker.says("No space left");
    assert!(folder::versions(&models, "shop").unwrap().is_empty());
    disk.grow();
    worker.says("training job succeeded");
    drop(worker);
    let job = shop.job(&id);
    assert_eq!(
        (job.state, job.attempts),
        (JobState::Succeeded, 0),
        "{job:?}"
    );
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
