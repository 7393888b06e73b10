//! Why the model storage did not do what it was asked.

use crate::bundle::BundleError;

/// Why nothing was stored or fetched.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The URL names no storage, or what it needs beside it is wrong.
    #[error("--model-store: {0}")]
    Url(String),
    /// It does not answer, or refuses.
    #[error("the model storage: {0}")]
    Away(String),
    /// An object is not there.
    #[error("the model storage has no {0}")]
    Missing(String),
    /// An object is not what its bundle says it is.
    #[error("the model storage: {path}: {reason}")]
    Damaged {
        /// The object.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The bundle cannot be read or written here.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl StorageError {
    /// Whether it may be better in a moment without anybody's doing.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Url(_) | Self::Missing(_) | Self::Damaged { .. } | Self::Bundle(_) => false,
        }
    }
}
