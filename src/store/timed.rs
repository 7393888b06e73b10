//! No statement is waited for without end: a host that is gone says nothing, not even that it is gone.

use std::time::Duration;

/// Longer than the database itself lets a statement run.
const MOST: Duration = Duration::from_secs(10);

/// A statement's answer, or the error of a pool that has none in time.
pub(super) trait Timed<T>: Future<Output = Result<T, sqlx::Error>> + Sized {
    async fn timed(self) -> Result<T, sqlx::Error> {
        tokio::time::timeout(MOST, self)
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }
}

impl<T, F: Future<Output = Result<T, sqlx::Error>>> Timed<T> for F {}
