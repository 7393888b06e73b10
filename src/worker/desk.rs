//! A job's folders below `--checkpoints`: its checkpoints, and what an attempt has fetched to learn from.
//!
//! A folder is its worker's as long as that holds the lock. A worker that was stopped and not killed keeps it, and the job goes
//! on in a folder beside it, from the newest checkpoint of all. What a killed worker has left there goes with whoever takes
//! the folder next, and the folders of a job that has ended with any worker that has nothing to do.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::store::Id;
use crate::train::checkpoint::{CheckpointError, Checkpoints, Folder, Start};
use crate::train::run::Prepared;

/// What is fetched lies in here, and bundles that are on their way to a storage.
const SCRAPS: &str = "data";

/// One attempt's.
pub(super) struct Desk {
    folder: Folder,
    scraps: PathBuf,
}

impl Desk {
    /// Takes the first of the job's folders that nobody else has.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn take(checkpoints: &Path, job: &Id) -> Result<Self, CheckpointError> {
        let mut number = 1;
        let folder = loop {
            match Folder::take(&checkpoints.join(name(job, number))) {
                Err(CheckpointError::Busy(_)) => number += 1,
                taken => break taken?,
            }
        };
        let io = |path: &Path| {
            let path = path.to_owned();
            |source| CheckpointError::Io { path, source }
        };
        let scraps = folder.dir().join(SCRAPS);
        gone(fs::remove_dir_all(&scraps)).map_err(io(&scraps))?;
        fs::create_dir(&scraps).map_err(io(&scraps))?;
        for other in folders(checkpoints, job).map_err(io(checkpoints))? {
            if other != folder.dir() {
                folder.take_over(&other)?;
            }
        }
        Ok(Self { folder, scraps })
    }

    /// The folder of what nobody needs after the attempt.
    pub fn scraps(&self) -> &Path {
        &self.scraps
    }

    /// Where the last attempt was, else at the beginning: checkpoints that are damaged or of other data or another program
    /// are of no use, and why they are not is said.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn begin(
        self,
        every: NonZeroUsize,
        prepared: &Prepared,
    ) -> Result<(Checkpoints, Start), CheckpointError> {
        let checkpoints = Checkpoints::within(self.folder, every, prepared.origin());
        match checkpoints.latest(prepared.start()) {
            Ok(start) => Ok((checkpoints, start)),
            Err(error @ (CheckpointError::Foreign { .. } | CheckpointError::Damaged { .. })) => {
                tracing::warn!(folder = %checkpoints.dir().display(), %error, "starting over");
                checkpoints.clear()?;
                Ok((checkpoints, Start::fresh(prepared.start())))
            }
            Err(error) => Err(error),
        }
    }
}

/// Removes a job's folders but for those that a stopped worker still holds: nobody will go on from them.
pub(super) fn forget(checkpoints: &Path, job: &Id) {
    for dir in folders(checkpoints, job).unwrap_or_default() {
        let removed = Folder::take(&dir).map(|_held| gone(fs::remove_dir_all(&dir)));
        match removed {
            Ok(Ok(_)) | Err(CheckpointError::Busy(_)) => {}
            Ok(Err(error)) => left(&dir, &error),
            Err(error) => left(&dir, &error),
        }
    }
}

fn left(dir: &Path, error: &dyn std::fmt::Display) {
    tracing::warn!(folder = %dir.display(), %error, "checkpoints are left behind");
}

/// The jobs of which there are folders.
pub(super) fn jobs(checkpoints: &Path) -> BTreeSet<Id> {
    let entries = fs::read_dir(checkpoints).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.split('.').next()?.parse().ok()
        })
        .collect()
}

fn name(job: &Id, number: usize) -> String {
    match number {
        1 => job.to_string(),
        _ => format!("{job}.{number}"),
    }
}

fn folders(checkpoints: &Path, job: &Id) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(checkpoints)? {
        let entry = entry?;
        let is_its = |name: &str| name.split('.').next() == Some(job.as_str());
        if entry.file_name().to_str().is_some_and(is_its) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// What is gone already need not be removed.
fn gone<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_job_whose_folder_is_held_goes_on_beside_it_from_the_newest_checkpoint() {
        let room = tempfile::tempdir().unwrap();
        let (job, other) = (Id::random(), Id::random());
        let held = Desk::take(room.path(), &job).unwrap();
        for steps in ["00000010", "00000020"] {
            let path = held.folder.dir().join(format!("step-{steps}.safetensors"));
            fs::write(path, steps).unwrap();
        }
        fs::write(held.scraps().join("shop.tsv"), "5\tgood\n").unwrap();
        let beside = Desk::take(room.path(), &job).unwrap();
        assert_ne!(beside.folder.dir(), held.folder.dir());
        let copied = beside.folder.dir().join("step-00000020.safetensors");
        assert_eq!(fs::read_to_string(copied).unwrap(), "00000020");
        assert!(
            !beside
                .folder
                .dir()
                .join("step-00000010.safetensors")
                .exists()
        );
        let _others = Desk::take(room.path(), &other).unwrap();
        assert_eq!(
            jobs(room.path()),
            BTreeSet::from([job.clone(), other.clone()])
        );

        // What is held stays, and goes once it is let go.
        let first = held.folder.dir().to_owned();
        drop(beside);
        forget(room.path(), &job);
        assert_eq!(folders(room.path(), &job).unwrap(), [first]);
        drop(held);
        let again = Desk::take(room.path(), &job).unwrap();
        assert_eq!(fs::read_dir(again.scraps()).unwrap().count(), 0);
        drop(again);
        forget(room.path(), &job);
        assert_eq!(jobs(room.path()), BTreeSet::from([other]));
    }
}
