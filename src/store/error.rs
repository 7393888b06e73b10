//! Why the database did not do what it was asked.

/// Why a statement has no result.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no database.
    #[error("--database: {0}")]
    Url(String),
    /// The database failed or is not there.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables could not be brought up to date.
    #[error("the database's migrations: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row holds what this program never writes.
    #[error("the database holds {what}: {reason}")]
    Foreign {
        /// What it holds.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An idempotency key came again with another request.
    #[error("idempotency key {0:?} was used for another request")]
    KeyReused(String),
    /// The job is another worker's now, or at its end.
    #[error("the lease on job {0} is lost")]
    LeaseLost(String),
    /// No such version in the registry.
    #[error("model {name:?} has no version {version} in the registry")]
    UnknownVersion {
        /// The model.
        name: String,
        /// The version.
        version: String,
    },
}
