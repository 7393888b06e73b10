//! Checkpoints: a training's state in a folder, from which the same training goes on after it was killed.
//!
//! A checkpoint is a safetensors file: weights, moments and the best epoch's weights as they are in memory, counts and
//! history as JSON beside them, and a SHA-256 over all of it. It has its name only once it is whole and on the disk. The
//! last two are kept, so that a damaged one costs steps and not the training; one of another training is refused.

mod encode;

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::origin::Origin;
use super::state::State;
use encode::{Refusal, decode, encode};

/// How many are kept.
const KEPT: usize = 2;

const UNFINISHED: &str = ".unfinished-";

/// Why checkpoints cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The folder cannot be read or written.
    #[error("checkpoint {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another training is writing there.
    #[error("checkpoints {0}: another training is using this folder")]
    Busy(PathBuf),
    /// It is of another training.
    #[error(
        "checkpoint {path} is of another training: {difference}; take another folder, or remove this one to start over"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The first thing that differs.
        difference: String,
    },
    /// There are checkpoints and none can be read.
    #[error("checkpoint {path} is damaged: {reason}; remove its folder to start over")]
    Damaged {
        /// The newest one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A folder that no other process uses meanwhile.
pub struct Folder {
    dir: PathBuf,
    _lock: File,
}

/// A training's folder of checkpoints.
pub struct Checkpoints {
    folder: Folder,
    every: NonZeroUsize,
    origin: Origin,
}

/// Where a training begins.
pub struct Start {
    /// Its state.
    pub state: State,
    /// The checkpoint that it comes from.
    pub from: Option<PathBuf>,
    /// Newer ones that could not be read, and why.
    pub damaged: Vec<(PathBuf, String)>,
}

impl Start {
    /// At the beginning.
    pub fn fresh(state: State) -> Self {
        Self {
            state,
            from: None,
            damaged: Vec::new(),
        }
    }
}

impl Folder {
    /// Makes the folder, or takes it over with what is in it.
    ///
    /// # Errors
    /// The folder cannot be made, or another process uses it.
    pub fn take(dir: &Path) -> Result<Self, CheckpointError> {
        fs::create_dir_all(dir).map_err(io(dir))?;
        let lock = File::open(dir).map_err(io(dir))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(CheckpointError::Busy(dir.to_owned()));
            }
            Err(fs::TryLockError::Error(error)) => return Err(io(dir)(error)),
        }
        for path in entries(dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(UNFINISHED) {
                fs::remove_file(&path).map_err(io(&path))?;
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Copies the newest checkpoint of another folder, which may be in use, unless there is one here that is as new.
    ///
    /// # Errors
    /// A folder cannot be read, or this one not written.
    pub fn take_over(&self, other: &Path) -> Result<(), CheckpointError> {
        let newest = |dir: &Path| Ok(newest_first(dir)?.into_iter().next());
        let (here, there) = (newest(&self.dir)?, newest(other)?);
        let Some((steps, path)) = there else {
            return Ok(());
        };
        if here.is_some_and(|(here, _)| here >= steps) {
            return Ok(());
        }
        match fs::read(&path) {
            Ok(bytes) => put(&self.dir, steps, &bytes),
            // Its owner has just written a newer one.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io(&path)(error)),
        }
    }
}

impl Checkpoints {
    /// Makes the folder, or takes it over with what is in it; a checkpoint is due after `every` so many steps.
    ///
    /// # Errors
    /// As of [`Folder::take`].
    pub fn open(dir: &Path, every: NonZeroUsize, origin: Origin) -> Result<Self, CheckpointError> {
        Ok(Self::within(Folder::take(dir)?, every, origin))
    }

    /// In a folder that is taken already.
    pub fn within(folder: Folder, every: NonZeroUsize, origin: Origin) -> Self {
        Self {
            folder,
            every,
            origin,
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.folder.dir
    }

    /// The newest readable checkpoint put over `fresh`, the state at the beginning; `fresh` itself where there is none.
    ///
    /// # Errors
    /// The newest readable one is of another training, or there are some and none is readable.
    pub fn latest(&self, fresh: State) -> Result<Start, CheckpointError> {
        let mut start = Start::fresh(fresh);
        for (_, path) in newest_first(self.dir())? {
            let bytes = fs::read(&path).map_err(io(&path))?;
            match decode(&bytes, &self.origin, &mut start.state) {
                Ok(()) => {
                    start.from = Some(path);
                    return Ok(start);
                }
                Err(Refusal::Damaged(reason)) => start.damaged.push((path, reason)),
                Err(Refusal::Foreign(difference)) => {
                    return Err(CheckpointError::Foreign { path, difference });
                }
            }
        }
        match start.damaged.into_iter().next() {
            Some((path, reason)) => Err(CheckpointError::Damaged { path, reason }),
            None => Ok(Start::fresh(start.state)),
        }
    }

    /// Whether it is time for the next one.
    pub fn due(&self, state: &State) -> bool {
        state.stepper.adam.steps().is_multiple_of(self.every.get())
    }

    /// Writes a checkpoint and removes all but the last two.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, state: &State) -> Result<(), CheckpointError> {
        let bytes = encode(&self.origin, state);
        put(self.dir(), state.stepper.adam.steps(), &bytes)?;
        for (_, old) in newest_first(self.dir())?.into_iter().skip(KEPT) {
            fs::remove_file(&old).map_err(io(&old))?;
        }
        Ok(())
    }

    /// Removes every checkpoint, to start over.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> Result<(), CheckpointError> {
        for (_, path) in newest_first(self.dir())? {
            fs::remove_file(&path).map_err(io(&path))?;
        }
        Ok(())
    }

    /// Removes every checkpoint, and the folder if nothing else is in it.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(self) -> Result<(), CheckpointError> {
        self.clear()?;
        match fs::remove_dir(self.dir()) {
            Err(error) if error.kind() != std::io::ErrorKind::DirectoryNotEmpty => {
                Err(io(self.dir())(error))
            }
            _ => Ok(()),
        }
    }
}

/// Steps and files of whole checkpoints.
fn newest_first(dir: &Path) -> Result<Vec<(usize, PathBuf)>, CheckpointError> {
    let mut found: Vec<(usize, PathBuf)> = entries(dir)?
        .into_iter()
        .filter_map(|path| Some((steps(path.file_name()?.to_str()?)?, path)))
        .collect();
    found.sort_by_key(|(steps, _)| std::cmp::Reverse(*steps));
    Ok(found)
}

/// A file that has its name only once it is whole and on the disk.
fn put(dir: &Path, steps: usize, bytes: &[u8]) -> Result<(), CheckpointError> {
    let path = dir.join(name(steps));
    let put = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        File::open(dir)?.sync_all()
    };
    put().map_err(io(&path))
}

fn name(steps: usize) -> String {
    format!("step-{steps:08}.safetensors")
}

fn steps(name: &str) -> Option<usize> {
    let digits = name.strip_prefix("step-")?.strip_suffix(".safetensors")?;
    digits.parse().ok()
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let entries = fs::read_dir(dir).map_err(io(dir))?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(io(dir)))
        .collect()
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> CheckpointError {
    let path = path.to_owned();
    |source| CheckpointError::Io { path, source }
}
