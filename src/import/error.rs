//! Why a model of another program is not taken.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::session::SessionError;
use crate::recipe::RecipeError;
use crate::text::EncoderError;
use crate::train::export::{ExportError, ProofError};

/// Why a model is not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what its name says, or is damaged.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer that this program does not have.
    #[error("layers[{position}] {name:?} ({class}) is not supported: {reason}")]
    Layer {
        /// Its place among the layers, without the input.
        position: usize,
        /// Its name in the file.
        name: String,
        /// Keras's class.
        class: String,
        /// What is not supported about it.
        reason: String,
    },
    /// The network as a whole cannot be served.
    #[error("the model is not supported: {0}")]
    Model(String),
    /// Something that the file does not say has to be given.
    #[error("{0}")]
    Missing(String),
    /// The vocabulary.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// The vocabulary and the embedding do not belong together.
    #[error(
        "the tokenizer gives ids up to {largest} and the embedding has {rows} rows: they do not belong together, or --num-words is missing"
    )]
    Rows {
        /// The largest id that a text can get.
        largest: i64,
        /// The embedding's rows.
        rows: usize,
    },
    /// What was made of it is no recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The network has no graph.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// Its graph answers something else than the network.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The runtime refuses the graph.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The graph was given up.
    #[error(
        "the graph was tried for {} s and has not answered: a loop in it may have no end, or --time-limit gives it longer",
        limit.as_secs_f64()
    )]
    Endless {
        /// What it was given.
        limit: Duration,
    },
}

impl ImportError {
    /// A file that is not what it should be.
    pub(super) fn file(path: &Path, reason: impl ToString) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
