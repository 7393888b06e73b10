//! The database: jobs, the registry of versions, feedback. All the SQL is here, and the same SQL runs on SQLite and PostgreSQL.
//!
//! A [`Store`] is made without a connection, so that a server starts while its database is down; migrations run before the
//! first statement that reaches it. Times are the database's own, so that workers need not agree on a clock. An older
//! program works on with tables that a newer one has migrated: migrations only add.

mod error;
mod feedback;
mod id;
mod job;
mod lease;
mod migrations;
mod queue;
mod registry;
mod timed;
mod watch;

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::{Mutex, OnceCell};
use tokio::task::JoinHandle;

use timed::Timed as _;

pub use error::StoreError;
pub use feedback::{Feedback, FeedbackFilter, NewFeedback};
pub use id::Id;
pub use job::{Job, JobState, NewJob, Pace, Page};
pub use lease::{Beat, Failure, Lease, Order, Publication};
pub use registry::{ActiveVersion, Registered};
pub use watch::Watch;

/// Time for a connection, and for a statement on it.
const PATIENCE: Duration = Duration::from_secs(5);

/// One database.
pub struct Store {
    pool: AnyPool,
    options: AnyConnectOptions,
    dialect: Dialect,
    url: String,
    /// SQLite makes the file and not its folder.
    folder: Option<PathBuf>,
    migrated: OnceCell<()>,
    /// It goes on when nobody waits for it any more.
    migrating: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
}

/// A URL has a password.
impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Store {
    /// Of `sqlite://PATH` or `postgres://...`, without connecting yet. Inside of a tokio runtime.
    ///
    /// # Errors
    /// It is no such URL.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Self::open(url, true)
    }

    /// The same of one that must be there: a slip in a path makes no new one.
    ///
    /// # Errors
    /// It is no such URL, or SQLite's file is not there.
    pub fn existing(url: &str) -> Result<Self, StoreError> {
        Self::open(url, false)
    }

    fn open(url: &str, make: bool) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let refused = |reason: String| StoreError::Url(reason);
        let (dialect, url, folder) = if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let file = path.split('?').next().unwrap_or(path);
            if file.is_empty() || file.contains(":memory:") {
                return Err(refused(
                    "a database in memory has no place for jobs: name a file".into(),
                ));
            }
            if !make && !Path::new(file).is_file() {
                return Err(refused(format!("there is no file {file}")));
            }
            let sign = if path.contains('?') { '&' } else { '?' };
            let mode = if path.contains("mode=") {
                ""
            } else {
                "mode=rwc"
            };
            let folder = PathBuf::from(file).parent().map(PathBuf::from);
            (
                Dialect::Sqlite,
                format!("sqlite://{path}{sign}{mode}"),
                folder.filter(|folder| !folder.as_os_str().is_empty()),
            )
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            (Dialect::Postgres, url.to_owned(), None)
        } else {
            return Err(refused("expected sqlite://PATH or postgres://...".into()));
        };
        let options = AnyConnectOptions::from_str(&url)
            .map_err(|error| refused(error.to_string()))?
            .disable_statement_logging();
        let pool = AnyPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(dialect.set_up()).await?;
                    Ok(())
                })
            })
            // What was left in the middle of a statement is only given back once the host has answered.
            .after_release(|connection, _| {
                Box::pin(async move { Ok(connection.ping().timed().await.is_ok()) })
            })
            .connect_lazy_with(options.clone());
        Ok(Self {
            pool,
            options,
            dialect,
            url,
            folder,
            migrated: OnceCell::new(),
            migrating: Mutex::new(None),
        })
    }

    /// Connects and migrates if that has not been done yet.
    ///
    /// # Errors
    /// The database is not there, a migration fails, or one takes its time.
    pub async fn ready(&self) -> Result<(), StoreError> {
        if self.migrated.initialized() {
            return Ok(());
        }
        // One tries at a time; who waits for that one waits no longer than for a connection.
        tokio::time::timeout(PATIENCE * 2, self.migrate())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    /// Whether it answers now.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.ready().await?;
        sqlx::query("select 1").execute(&self.pool).timed().await?;
        Ok(())
    }

    /// Gives its connections back.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let mut migrating = self.migrating.lock().await;
        if self.migrated.initialized() {
            return Ok(());
        }
        if let Some(folder) = &self.folder {
            std::fs::create_dir_all(folder)
                .map_err(|error| StoreError::Url(format!("{}: {error}", folder.display())))?;
        }
        let migration = migrating.get_or_insert_with(|| {
            tokio::spawn(migrations::run(self.options.clone(), self.dialect))
        });
        let done = migration.await;
        *migrating = None;
        done.map_err(|panic| StoreError::Foreign {
            what: "tables that cannot be migrated".into(),
            reason: panic.to_string(),
        })??;
        // Nobody else sets it meanwhile.
        let _ = self.migrated.set(());
        Ok(())
    }

    /// A statement in this database's words: `{now}` is its clock in milliseconds, `{skip_locked}` passes over rows that
    /// another is just claiming, `{expired}` is a lease that has run out, or one that a jump of the clock has put further
    /// ahead than it can be, `{no_further}` is a job of which no checkpoint holds more than one did when it was claimed.
    fn sql(&self, template: &str) -> AssertSqlSafe<String> {
        let (now, skip_locked) = match self.dialect {
            // One statement writes at a time.
            Dialect::Sqlite => ("cast(unixepoch('subsec') * 1000 as integer)", ""),
            Dialect::Postgres => (
                "(extract(epoch from clock_timestamp()) * 1000)::bigint",
                "for update skip locked",
            ),
        };
        let expired = "(lease_until_ms < {now} or lease_until_ms - {now} > lease_ms)";
        // The first half is what programs before migration 2 know of.
        let no_further = "(checkpoint <= claimed_checkpoint or checkpoint <= furthest)";
        AssertSqlSafe(
            template
                .replace("{expired}", expired)
                .replace("{no_further}", no_further)
                .replace("{now}", now)
                .replace("{skip_locked}", skip_locked),
        )
    }
}

impl Dialect {
    /// What each new connection is told: no statement waits for ever, and readers of SQLite do not stop its writer.
    fn set_up(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; pragma busy_timeout = 5000"
            }
            Self::Postgres => "set statement_timeout = '5s'",
        }
    }

    /// What the connection that migrates is told after that.
    fn without_limit(self) -> &'static str {
        match self {
            Self::Sqlite => "pragma busy_timeout = 60000",
            Self::Postgres => "set statement_timeout = 0",
        }
    }
}
