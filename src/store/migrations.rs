//! The tables, brought up to date: the same numbers on both databases, each run once by whoever comes first.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyPool, SqlSafeStr as _, SqlStr};

use super::{Dialect, StoreError};

/// How often it is tried.
const TURNS: usize = 5;

/// Number, what it does, and how each database says it.
const MIGRATIONS: [(i64, &str, &str, &str); 1] = [(
    1,
    "registry, jobs, feedback",
    include_str!("../../migrations/sqlite/0001_registry_jobs_feedback.sql"),
    include_str!("../../migrations/postgres/0001_registry_jobs_feedback.sql"),
)];

/// Runs those that the database has not seen.
///
/// # Errors
/// The database fails, or it was migrated by a program in which one of them reads otherwise.
pub(super) async fn run(pool: &AnyPool, dialect: Dialect) -> Result<(), StoreError> {
    let migration =
        |(number, what, sqlite, postgres): (i64, &'static str, &'static str, &'static str)| {
            let sql: SqlStr = match dialect {
                Dialect::Sqlite => sqlite.into_sql_str(),
                Dialect::Postgres => postgres.into_sql_str(),
            };
            Migration::new(
                number,
                Cow::Borrowed(what),
                MigrationType::Simple,
                sql,
                false,
            )
        };
    let mut migrator = Migrator::with_migrations(MIGRATIONS.map(migration).to_vec());
    // What a newer program has added is no reason to stop.
    migrator.set_ignore_missing(true);
    // A database that is away is no reason to try again at once.
    drop(pool.acquire().await?);
    // SQLite knows no lock for this: of two processes one fails, and finds it done when it looks again.
    if dialect == Dialect::Sqlite {
        for _ in 1..TURNS {
            if migrator.run(pool).await.is_ok() {
                return Ok(());
            }
        }
    }
    migrator.run(pool).await?;
    Ok(())
}
