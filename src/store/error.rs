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
    /// Another version has come to serve since the new one was compared with it.
    #[error("version {compared} of model {name:?} does not serve any more")]
    Outdated {
        /// The model.
        name: String,
        /// What it was compared with.
        compared: i64,
    },
    /// No such version in the registry.
    #[error("model {name:?} has no version {version} in the registry")]
    UnknownVersion {
        /// The model.
        name: String,
        /// The version.
        version: String,
    },
}

impl StoreError {
    /// Whether it may be better in a moment without anybody's doing: the database is away, busy or just starting.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => {
                // PostgreSQL's classes of what is wrong with the statement or what it holds.
                let code = error.code().unwrap_or_default();
                let wrong = ["22", "23", "42"]
                    .iter()
                    .any(|class| code.starts_with(class));
                error.kind() == sqlx::error::ErrorKind::Other && !(code.len() == 5 && wrong)
            }
            Self::Database(
                sqlx::Error::RowNotFound
                | sqlx::Error::Encode(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. },
            ) => false,
            Self::Database(_) => true,
            Self::Url(_)
            | Self::Migration(_)
            | Self::Foreign { .. }
            | Self::KeyReused(_)
            | Self::LeaseLost(_)
            | Self::Outdated { .. }
            | Self::UnknownVersion { .. } => false,
        }
    }
}
