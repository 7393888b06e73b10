//! The folder of a search: `sweep.json` says what is searched on what, `runs.jsonl` has a line for every finished run.
//!
//! A line is there whole or not at all. A folder of another recipe or of other reviews is refused; another grid over the same
//! ones adds its runs to those that are there.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Settings;
use crate::train::origin::Origin;
use crate::train::report::History;

const ORIGIN: &str = "sweep.json";
const RUNS: &str = "runs.jsonl";

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another search is writing there.
    #[error("{0}: another sweep is using this folder")]
    Busy(PathBuf),
    /// There is something else in it.
    #[error("{0} is not empty and not a sweep's folder")]
    Occupied(PathBuf),
    /// It is of another search.
    #[error("{dir} holds a sweep of something else: {difference}; take another folder")]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// The first thing that differs.
        difference: String,
    },
    /// A file is not what was written.
    #[error("{path} line {line}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// One finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its parameters.
    pub settings: Settings,
    /// The weights of its network.
    pub parameters: usize,
    /// Wall-clock time.
    pub seconds: f64,
    /// How it ended.
    pub result: Outcome,
    /// Validation rows that it could not read, by their place among all rows: its loss is of the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<usize>,
    /// Every finished epoch.
    pub history: History,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// With weights.
    Trained {
        /// The epoch that they are of, from 1.
        epoch: usize,
        /// Their loss on the validation rows.
        val_loss: f64,
        /// Their share of right labels among the validation rows.
        val_accuracy: f64,
    },
    /// With a loss that is no number.
    Diverged {
        /// Where.
        reason: String,
    },
}

impl Run {
    /// The validation loss, by which runs are compared.
    pub fn val_loss(&self) -> Option<f64> {
        match self.result {
            Outcome::Trained { val_loss, .. } => Some(val_loss),
            Outcome::Diverged { .. } => None,
        }
    }
}

/// A search's folder, which no other process uses meanwhile.
pub struct Record {
    dir: PathBuf,
    file: File,
    /// In the order in which they ended.
    pub runs: Vec<Run>,
    _lock: File,
}

impl Record {
    /// Makes the folder, or takes it over with the runs that are in it.
    ///
    /// # Errors
    /// It is of another search, holds other things, or cannot be read or written.
    pub fn open(dir: &Path, origin: &Origin) -> Result<Self, RecordError> {
        fs::create_dir_all(dir).map_err(io(dir))?;
        let lock = File::open(dir).map_err(io(dir))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(RecordError::Busy(dir.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(io(dir)(error)),
        }
        let path = dir.join(ORIGIN);
        match fs::read(&path) {
            Ok(bytes) => {
                let kept: Origin =
                    serde_json::from_slice(&bytes).map_err(|error| RecordError::Damaged {
                        path,
                        line: error.line(),
                        reason: error.to_string(),
                    })?;
                if let Some(difference) = kept.difference(origin) {
                    let dir = dir.to_owned();
                    return Err(RecordError::Foreign { dir, difference });
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if fs::read_dir(dir).map_err(io(dir))?.next().is_some() {
                    return Err(RecordError::Occupied(dir.to_owned()));
                }
                let text = serde_json::to_string_pretty(origin).expect("numbers and names");
                put(dir, ORIGIN, &(text + "\n"))?;
            }
            Err(error) => return Err(io(&path)(error)),
        }
        let (file, runs) = open_runs(&dir.join(RUNS))?;
        Ok(Self {
            dir: dir.to_owned(),
            file,
            runs,
            _lock: lock,
        })
    }

    /// Adds a finished run.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn add(&mut self, run: Run) -> Result<(), RecordError> {
        let line = serde_json::to_string(&run).expect("numbers and names") + "\n";
        let written = self.file.write_all(line.as_bytes());
        let written = written.and_then(|()| self.file.sync_data());
        written.map_err(io(&self.dir.join(RUNS)))?;
        self.runs.push(run);
        Ok(())
    }

    /// Puts a file beside the runs, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn put(&self, name: &str, text: &str) -> Result<PathBuf, RecordError> {
        put(&self.dir, name, text)
    }
}

/// The finished runs, and the file at its end; a line without an end is what a crash left of one, and is taken away.
fn open_runs(path: &Path) -> Result<(File, Vec<Run>), RecordError> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(io(path))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(io(path))?;
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    file.set_len(whole as u64).map_err(io(path))?;
    file.seek(SeekFrom::End(0)).map_err(io(path))?;
    let lines = text[..whole].split_inclusive(|byte| *byte == b'\n');
    let runs = lines.enumerate().map(|(at, line)| {
        serde_json::from_slice(line).map_err(|error| RecordError::Damaged {
            path: path.to_owned(),
            line: at + 1,
            reason: error.to_string(),
        })
    });
    Ok((file, runs.collect::<Result<_, _>>()?))
}

fn put(dir: &Path, name: &str, text: &str) -> Result<PathBuf, RecordError> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join(name);
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".unfinished-")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(io(&path))?;
    Ok(path)
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> RecordError {
    let path = path.to_owned();
    |source| RecordError::Io { path, source }
}
