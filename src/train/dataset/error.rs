//! Why data is refused, always with the place.

use std::path::{Path, PathBuf};

/// Why data is refused.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder cannot be read any further.
    #[error("{path}: {source}", path = .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system or the decompressor said.
        source: std::io::Error,
    },
    /// The file or folder as a whole is not usable.
    #[error("{path}: {reason}", path = .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The header does not have a column that is needed.
    #[error("{path}, row {row}, column {column}: {reason}", path = .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The header's line, from 1.
        row: u64,
        /// What is looked for.
        column: String,
        /// What is wrong.
        reason: String,
    },
    /// One row is not usable; the rows after it are.
    #[error("{path}, row {row}, column {column}: {reason}", path = .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line on which the row begins, from 1.
        row: u64,
        /// The column's name, or its number from 1.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The paths given and the recipe's sources do not match.
    #[error("{0}")]
    Sources(String),
    /// The rows cannot be split as the recipe says.
    #[error("{0}")]
    Split(String),
}

impl DataError {
    /// Whether only one row is lost, so that reading can go on.
    pub fn is_row(&self) -> bool {
        matches!(self, Self::Row { .. })
    }
}

/// What a reader of one format says of trouble; the file is added above it.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The bytes end here.
    Read(std::io::Error),
    /// The header is not usable, so no row is.
    Header(Place),
    /// One row is not usable.
    Row(Place),
}

/// A place in a file, and what is wrong there.
#[derive(Debug)]
pub(super) struct Place {
    pub row: u64,
    pub column: String,
    pub reason: String,
}

impl Place {
    pub fn new(row: u64, column: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            row,
            column: column.into(),
            reason: reason.into(),
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

impl Trouble {
    /// Adds the file.
    pub fn in_file(self, path: &Path) -> DataError {
        let path = path.to_owned();
        match self {
            Self::Read(source) => DataError::Read { path, source },
            Self::Header(Place {
                row,
                column,
                reason,
            }) => DataError::Header {
                path,
                row,
                column,
                reason,
            },
            Self::Row(Place {
                row,
                column,
                reason,
            }) => DataError::Row {
                path,
                row,
                column,
                reason,
            },
        }
    }
}
