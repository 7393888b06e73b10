//! Why a bundle is refused.

use std::io;
use std::path::{Path, PathBuf};

use super::Version;

/// Why a bundle cannot be read, written or chosen.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is missing, damaged or not what the bundle says it is.
    #[error("bundle refused: {path}: {reason}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No such model.
    #[error("no model {name:?} in {models}", models = models.display())]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// Where it was looked for.
        models: PathBuf,
    },
    /// No such version.
    #[error("model {name:?} has no version {version}")]
    UnknownVersion {
        /// The model.
        name: String,
        /// The version asked for.
        version: Version,
    },
    /// Nothing says which version serves.
    #[error("model {name:?} has no active version: activate one of its versions")]
    NoActive {
        /// The model.
        name: String,
    },
    /// A name that no model can have.
    #[error("{name:?} cannot name a model: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// Neither a name, nor `name@version`, nor a bundle's folder.
    #[error("{0:?} is no model: give a name, name@version or a bundle's folder")]
    NotAModel(String),
}

impl BundleError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn refused(path: &Path, reason: impl Into<String>) -> Self {
        Self::Refused {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
