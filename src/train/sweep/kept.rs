//! Runs in progress: checkpoints of each in a folder of its own, named by its recipe.

use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::Planned;
use crate::bundle::digest;
use crate::train::checkpoint::{CheckpointError, Checkpoints};
use crate::train::origin::Origin;

/// Where the runs in progress of a search are kept, and how often.
#[derive(Clone, Debug)]
pub struct Kept {
    dir: PathBuf,
    every: NonZeroUsize,
}

impl Kept {
    /// Below a search's folder, after every so many steps.
    pub fn new(sweep: &Path, every: NonZeroUsize) -> Self {
        Self {
            dir: sweep.join("checkpoints"),
            every,
        }
    }

    pub(super) fn open(
        &self,
        run: &Planned,
        origin: Origin,
    ) -> Result<Checkpoints, CheckpointError> {
        Checkpoints::open(&self.folder(run), self.every, origin)
    }

    /// Removes what a crash left of a run that is done.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub fn forget(&self, run: &Planned) -> Result<(), CheckpointError> {
        let folder = self.folder(run);
        match fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(CheckpointError::Io {
                path: folder,
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Removes the folder of all of them once it is empty: another grid's runs may still be in it.
    pub fn close(&self) {
        let _ = fs::remove_dir(&self.dir);
    }

    fn folder(&self, run: &Planned) -> PathBuf {
        self.dir
            .join(&digest::sha256(run.identity().as_bytes())[..16])
    }
}
