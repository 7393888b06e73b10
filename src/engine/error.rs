//! What can be wrong with a bundle, and with one text.

use std::io;

use super::session::SessionError;

/// Why a bundle does not serve.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No session for its graph.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// No thread.
    #[error("no batch thread: {0}")]
    Thread(#[from] io::Error),
    /// The encoder gives other ids than it did when the bundle was made.
    #[error("golden row {row}: the encoder gives other ids than when the bundle was made")]
    GoldenIds {
        /// The row, from 1.
        row: usize,
    },
    /// The graph answers otherwise than the network did.
    #[error("golden row {row}: the graph answers {found} where the network says {expected}")]
    GoldenScore {
        /// The row, from 1.
        row: usize,
        /// The probability found.
        found: f64,
        /// The probability expected.
        expected: f64,
    },
    /// Opening a session panicked.
    #[error("opening a session panicked")]
    Panicked,
}

/// Why one text has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// Nothing is left of it.
    #[error("nothing is left of the text after cleaning")]
    EmptyText,
    /// Nobody waits for the answer any more.
    #[error("no answer before the deadline")]
    DeadlineExceeded,
    /// The run failed; the log says why.
    #[error("the model failed on this text")]
    Failed,
}
