//! How an attempt at a job ends.

use crate::store::{Failure, StoreError};
use crate::train::checkpoint::CheckpointError;
use crate::train::run::TrainError;

/// How it ends.
pub(super) enum End {
    /// The job is done: this version is published.
    Published(i64),
    /// It was told to stop.
    Stopped,
    /// The job is another worker's now.
    Lost,
    /// Only a newer program can do it.
    Newer(String),
    /// It failed.
    Failed(Failure),
}

impl End {
    /// Nothing will change by itself.
    pub fn hopeless(error: impl ToString) -> Self {
        Self::Failed(Failure {
            error: error.to_string(),
            again: false,
        })
    }

    /// The next attempt may find it otherwise.
    pub fn try_again(error: impl ToString) -> Self {
        Self::Failed(Failure {
            error: error.to_string(),
            again: true,
        })
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::LeaseLost(_) => Self::Lost,
            error => Self::try_again(error),
        }
    }
}

impl From<TrainError> for End {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Checkpoint(error) => error.into(),
            error => Self::hopeless(error),
        }
    }
}

impl From<CheckpointError> for End {
    fn from(error: CheckpointError) -> Self {
        Self::try_again(error)
    }
}
