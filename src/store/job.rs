//! Jobs as those see them who ask for them.

use serde::Serialize;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::timed::Timed as _;
use super::{Id, Store, StoreError};

/// The columns of a [`Job`], in the order in which they are read.
pub(super) const COLUMNS: &str = "id, state, name, recipe, data, force, activate, created_ms, started_ms, finished_ms, \
     attempts, max_attempts, worker, cancel_requested, progress, error, version, checkpoint";

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// Its model is published.
    Succeeded,
    /// It will not be tried again.
    Failed,
    /// It was called off.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// As the database has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it stays.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| StoreError::Foreign {
            what: "a job".into(),
            reason: format!("its state is {text:?}"),
        })
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The asker's own name for the request.
    pub idempotency_key: Option<String>,
    /// The request's SHA-256: a key that comes again must come with the same.
    pub request_digest: String,
    /// The model.
    pub name: String,
    /// The recipe, checked, as JSON.
    pub recipe: Value,
    /// What to learn from: `[SOURCE=]NAME` or `feedback`.
    pub data: Vec<String>,
    /// Publish even what is worse than the active version.
    pub force: bool,
    /// Activate what is published.
    pub activate: bool,
    /// How often it may fail, or lose its worker without having got any further.
    pub max_attempts: u32,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// Its name.
    pub id: Id,
    /// Where it stands.
    pub state: JobState,
    /// The model.
    pub name: String,
    /// The recipe.
    pub recipe: Value,
    /// What it learns from.
    pub data: Value,
    /// Whether a worse model is published too.
    pub force: bool,
    /// Whether what is published is activated.
    pub activate: bool,
    /// Milliseconds since 1970, like the other times.
    pub created_ms: i64,
    /// When a worker first took it.
    pub started_ms: Option<i64>,
    /// When it came to its end.
    pub finished_ms: Option<i64>,
    /// Failures, and workers lost without a new checkpoint.
    pub attempts: i64,
    /// How many of them there may be.
    pub max_attempts: i64,
    /// Who has or had it.
    pub worker: Option<String>,
    /// Whether it was called off.
    pub cancel_requested: bool,
    /// Where its training stands.
    pub progress: Option<Value>,
    /// Why it failed, last.
    pub error: Option<String>,
    /// The version that it published.
    pub version: Option<String>,
    /// The steps that its last checkpoint holds.
    pub checkpoint: i64,
}

/// Whether anybody works on what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Jobs whose workers keep them.
    pub held: i64,
    /// Jobs whose workers are lost and that nobody has taken over yet.
    pub expired: i64,
    /// How long ago the oldest job was asked for that could be claimed, in milliseconds; 0 if there is none.
    pub waiting_ms: i64,
}

/// A part of a list, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    /// How many.
    pub limit: u32,
    /// After this job of the page before.
    pub after: Option<Id>,
}

impl Job {
    pub(super) fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let json = |text: String| {
            serde_json::from_str(&text).map_err(|error| StoreError::Foreign {
                what: "a job".into(),
                reason: error.to_string(),
            })
        };
        let flag = |value: i64| value != 0;
        let progress: Option<String> = row.try_get(14)?;
        let version: Option<i64> = row.try_get(16)?;
        Ok(Self {
            id: super::queue::id(row.try_get(0)?)?,
            state: JobState::parse(row.try_get(1)?)?,
            name: row.try_get(2)?,
            recipe: json(row.try_get(3)?)?,
            data: json(row.try_get(4)?)?,
            force: flag(row.try_get(5)?),
            activate: flag(row.try_get(6)?),
            created_ms: row.try_get(7)?,
            started_ms: row.try_get(8)?,
            finished_ms: row.try_get(9)?,
            attempts: row.try_get(10)?,
            max_attempts: row.try_get(11)?,
            worker: row.try_get(12)?,
            cancel_requested: flag(row.try_get(13)?),
            progress: progress.map(json).transpose()?,
            error: row.try_get(15)?,
            version: version.map(|version| version.to_string()),
            checkpoint: row.try_get(17)?,
        })
    }
}

impl Store {
    /// One job.
    ///
    /// # Errors
    /// The database fails.
    pub async fn job(&self, id: &Id) -> Result<Option<Job>, StoreError> {
        self.ready().await?;
        let sql = self.sql(&format!(
            "select {COLUMNS} from training_jobs where id = $1"
        ));
        let row = sqlx::query(sql)
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .timed()
            .await?;
        row.map(|row| Job::read(&row)).transpose()
    }

    /// Some jobs, newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn jobs(&self, page: &Page) -> Result<Vec<Job>, StoreError> {
        self.ready().await?;
        let sql = self.sql(&format!(
            "select {COLUMNS} from training_jobs \
             where $1 = '' or (created_ms, id) < (select created_ms, id from training_jobs where id = $1) \
             order by created_ms desc, id desc limit $2"
        ));
        let rows = sqlx::query(sql)
            .bind(page.after.as_ref().map_or("", Id::as_str))
            .bind(i64::from(page.limit))
            .fetch_all(&self.pool)
            .timed()
            .await?;
        rows.iter().map(Job::read).collect()
    }

    /// The figures of a job's epochs after the `after`th, in order.
    ///
    /// # Errors
    /// The database fails.
    pub async fn epochs(&self, id: &Id, after: i64) -> Result<Vec<Value>, StoreError> {
        self.ready().await?;
        let rows = sqlx::query(
            "select figures from training_epochs where job_id = $1 and epoch > $2 order by epoch",
        )
        .bind(id.as_str())
        .bind(after)
        .fetch_all(&self.pool)
        .timed()
        .await?;
        let read = |row: &AnyRow| {
            let text: String = row.try_get(0)?;
            serde_json::from_str(&text).map_err(|error| StoreError::Foreign {
                what: "an epoch".into(),
                reason: error.to_string(),
            })
        };
        rows.iter().map(read).collect()
    }

    /// How many jobs are in each state.
    ///
    /// # Errors
    /// The database fails.
    pub async fn jobs_by_state(&self) -> Result<Vec<(JobState, i64)>, StoreError> {
        self.ready().await?;
        let rows = sqlx::query("select state, count(*) from training_jobs group by state")
            .fetch_all(&self.pool)
            .timed()
            .await?;
        let mut counts: Vec<(JobState, i64)> = JobState::ALL.map(|state| (state, 0)).to_vec();
        for row in rows {
            // A state that only a newer program knows is counted there.
            let state: String = row.try_get(0)?;
            for count in counts
                .iter_mut()
                .filter(|(known, _)| known.as_str() == state)
            {
                count.1 = row.try_get(1)?;
            }
        }
        Ok(counts)
    }

    /// How the work on the queue goes.
    ///
    /// # Errors
    /// The database fails.
    pub async fn pace(&self) -> Result<Pace, StoreError> {
        self.ready().await?;
        let (held, expired, waiting_ms) = sqlx::query_as(self.sql(
            "select count(case when state = 'running' and not {expired} then 1 end), \
             count(case when state = 'running' and {expired} then 1 end), \
             coalesce({now} - min(case when state = 'queued' and run_after_ms <= {now} then created_ms end), 0) \
             from training_jobs where state in ('queued', 'running')",
        ))
        .fetch_one(&self.pool)
        .timed()
        .await?;
        Ok(Pace {
            held,
            expired,
            waiting_ms,
        })
    }
}
