//! Jobs as workers see them: claimed by lease, kept by heartbeats, ended only by whoever holds the lease.
//!
//! A lease that has run out can be claimed by anybody, and whatever its old holder says after that changes nothing. A job
//! that fails, or whose worker is lost before a checkpoint is further than any before it, has used up an attempt; a job
//! without attempts left is claimed by nobody. Which of these holds is decided in single statements.

use std::time::Duration;

use serde_json::Value;

use super::job::COLUMNS;
use super::timed::Timed as _;
use super::{Id, Job, JobState, Store, StoreError};

/// The right to work on a job.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The job, as it was claimed.
    pub job: Job,
    token: Id,
}

/// What a heartbeat tells.
#[derive(Clone, Debug, Default)]
pub struct Beat {
    /// The steps that the last checkpoint holds.
    pub checkpoint: i64,
    /// Where training stands.
    pub progress: Option<Value>,
}

/// What a heartbeat hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Continue,
    /// The job was called off.
    Cancel,
}

/// Why a worker gives a job up.
#[derive(Clone, Debug)]
pub struct Failure {
    /// For whoever asked for it.
    pub error: String,
    /// Whether another attempt could end otherwise.
    pub again: bool,
}

/// A bundle that is proven and in its place.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Its version, reserved for this job.
    pub version: i64,
    /// The manifest's digest.
    pub digest: String,
    /// Where it lies in the model storage, where that is not the folder of models itself.
    pub location: Option<String>,
    /// The active version that it may take the place of, 0 for none; of any if it was compared with none.
    pub compared: Option<i64>,
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

impl Store {
    /// Claims the oldest job that waits or whose worker is lost.
    ///
    /// # Errors
    /// The database fails.
    pub async fn claim(&self, worker: &str, lease: Duration) -> Result<Option<Lease>, StoreError> {
        self.ready().await?;
        self.bury().await?;
        let token = Id::random();
        let sql = self.sql(&format!(
            "update training_jobs set \
             attempts = attempts + case when state = 'running' and {{no_further}} then 1 else 0 end, \
             furthest = case when furthest < checkpoint then checkpoint else furthest end, \
             state = 'running', worker = $1, lease = $2, lease_ms = $3, lease_until_ms = {{now}} + $3, \
             claimed_checkpoint = checkpoint, started_ms = coalesce(started_ms, {{now}}) \
             where id = (select id from training_jobs where \
               (state = 'queued' and (run_after_ms <= {{now}} or run_after_ms - {{now}} > 3600000)) \
               or (state = 'running' and {{expired}} and cancel_requested = 0 \
                   and (not {{no_further}} or attempts + 1 < max_attempts)) \
               order by created_ms, id limit 1 {{skip_locked}}) \
             returning {COLUMNS}"
        ));
        let row = sqlx::query(sql)
            .bind(worker)
            .bind(token.as_str())
            .bind(milliseconds(lease))
            .fetch_optional(&self.pool)
            .timed()
            .await?;
        row.map(|row| {
            let job = Job::read(&row)?;
            Ok(Lease { job, token })
        })
        .transpose()
    }

    /// Ends jobs whose worker is lost and that nobody may claim again.
    async fn bury(&self) -> Result<(), StoreError> {
        sqlx::query(self.sql(
            "update training_jobs set attempts = attempts + 1, lease = null, finished_ms = {now}, \
             error = case when cancel_requested = 1 then error \
               else 'its worker was lost too often without a new checkpoint' end, \
             state = case when cancel_requested = 1 then 'cancelled' else 'failed' end \
             where state = 'running' and {expired} and (cancel_requested = 1 \
               or ({no_further} and attempts + 1 >= max_attempts))",
        ))
        .execute(&self.pool)
        .timed()
        .await?;
        Ok(())
    }

    /// Says from where the work goes on: `checkpoint` steps and `epochs` whole epochs, which a start over puts back to 0.
    /// Figures of later epochs are another attempt's, and go.
    ///
    /// # Errors
    /// The lease is lost, or the database fails.
    pub async fn started(
        &self,
        lease: &Lease,
        checkpoint: i64,
        epochs: i64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().timed().await?;
        let done = sqlx::query(self.sql(
            "update training_jobs set checkpoint = $3, claimed_checkpoint = $3 \
             where id = $1 and lease = $2 and state = 'running'",
        ))
        .bind(lease.job.id.as_str())
        .bind(lease.token.as_str())
        .bind(checkpoint)
        .execute(&mut *transaction)
        .timed()
        .await?;
        lease.held(done.rows_affected())?;
        sqlx::query("delete from training_epochs where job_id = $1 and epoch > $2")
            .bind(lease.job.id.as_str())
            .bind(epochs)
            .execute(&mut *transaction)
            .timed()
            .await?;
        transaction.commit().timed().await?;
        Ok(())
    }

    /// Keeps the lease, tells how far the work is, and hears whether to go on.
    ///
    /// # Errors
    /// The lease is lost, or the database fails.
    pub async fn beat(&self, lease: &Lease, beat: &Beat) -> Result<Order, StoreError> {
        let row: Option<(i64,)> = sqlx::query_as(self.sql(
            "update training_jobs set lease_until_ms = {now} + lease_ms, progress = coalesce($4, progress), \
             checkpoint = case when checkpoint < $3 then $3 else checkpoint end \
             where id = $1 and lease = $2 and state = 'running' returning cancel_requested",
        ))
        .bind(lease.job.id.as_str())
        .bind(lease.token.as_str())
        .bind(beat.checkpoint)
        .bind(beat.progress.as_ref().map(Value::to_string))
        .fetch_optional(&self.pool)
        .timed()
        .await?;
        match row {
            Some((0,)) => Ok(Order::Continue),
            Some(_) => Ok(Order::Cancel),
            None => Err(lease.lost()),
        }
    }

    /// Keeps an epoch's figures; again is no harm.
    ///
    /// # Errors
    /// The lease is lost, or the database fails.
    pub async fn record_epoch(
        &self,
        lease: &Lease,
        epoch: i64,
        figures: &Value,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(
            "insert into training_epochs (job_id, epoch, figures) select $1, $3, $4 \
             where exists (select 1 from training_jobs where id = $1 and lease = $2 and state = 'running') \
             on conflict (job_id, epoch) do update set figures = excluded.figures",
        )
        .bind(lease.job.id.as_str())
        .bind(lease.token.as_str())
        .bind(epoch)
        .bind(figures.to_string())
        .execute(&self.pool)
        .timed()
        .await?;
        lease.held(done.rows_affected())
    }

    /// Puts the job back without counting an attempt, unless it is cancelled; says what becomes of it.
    ///
    /// # Errors
    /// The lease is lost, or the database fails.
    pub async fn put_back(&self, lease: &Lease, wait: Duration) -> Result<JobState, StoreError> {
        let row: Option<(String,)> = sqlx::query_as(self.sql(
            "update training_jobs set lease = null, run_after_ms = {now} + $3, \
             finished_ms = case when cancel_requested = 1 then {now} else null end, \
             state = case when cancel_requested = 1 then 'cancelled' else 'queued' end \
             where id = $1 and lease = $2 and state = 'running' returning state",
        ))
        .bind(lease.job.id.as_str())
        .bind(lease.token.as_str())
        .bind(milliseconds(wait))
        .fetch_optional(&self.pool)
        .timed()
        .await?;
        lease.ended(row)
    }

    /// Gives the job up, for another attempt after a while if it may have one and nobody has called it off.
    ///
    /// # Errors
    /// The lease is lost, or the database fails.
    pub async fn fail(
        &self,
        lease: &Lease,
        failure: &Failure,
        wait: Duration,
    ) -> Result<JobState, StoreError> {
        let row: Option<(String,)> = sqlx::query_as(self.sql(
            "update training_jobs set attempts = attempts + 1, lease = null, error = $3, run_after_ms = {now} + $5, \
             finished_ms = case when cancel_requested = 1 or $4 = 0 or attempts + 1 >= max_attempts then {now} else null end, \
             state = case when cancel_requested = 1 then 'cancelled' \
               when $4 = 0 or attempts + 1 >= max_attempts then 'failed' else 'queued' end \
             where id = $1 and lease = $2 and state = 'running' returning state",
        ))
        .bind(lease.job.id.as_str())
        .bind(lease.token.as_str())
        // PostgreSQL keeps no NUL, and an error may show what a file holds.
        .bind(failure.error.replace('\0', "\u{fffd}"))
        .bind(i64::from(failure.again))
        .bind(milliseconds(wait))
        .fetch_optional(&self.pool)
        .timed()
        .await?;
        lease.ended(row)
    }

    /// The version that is this job's and no other's: the one after the registry's and after `taken`, the highest in the
    /// folder of models. The same again for the same job unless it is `refused`, which is in use by another bundle.
    ///
    /// # Errors
    /// The lease is lost, or the database fails.
    pub async fn reserve(
        &self,
        lease: &Lease,
        taken: i64,
        refused: Option<i64>,
    ) -> Result<i64, StoreError> {
        let (job, name) = (lease.job.id.as_str(), lease.job.name.as_str());
        if let Some(refused) = refused {
            sqlx::query(
                "delete from model_versions where name = $1 and version = $2 and job_id = $3 and digest is null \
                 and exists (select 1 from training_jobs where id = $3 and lease = $4 and state = 'running')",
            )
            .bind(name)
            .bind(refused)
            .bind(job)
            .bind(lease.token.as_str())
            .execute(&self.pool)
            .timed()
            .await?;
        }
        // Two jobs may reach for the same number; one of them is told and takes the next.
        for _ in 0..100 {
            let reserved: Option<(Option<i64>,)> = sqlx::query_as(
                "select v.version from training_jobs j left join model_versions v on v.job_id = j.id \
                 where j.id = $1 and j.lease = $2 and j.state = 'running'",
            )
            .bind(job)
            .bind(lease.token.as_str())
            .fetch_optional(&self.pool)
            .timed()
            .await?;
            match reserved {
                Some((Some(version),)) => return Ok(version),
                Some((None,)) => {}
                None => return Err(lease.lost()),
            }
            sqlx::query(self.sql(
                "insert into model_versions (name, version, job_id, created_ms) \
                 select $1, case when coalesce(max(version), 0) < $3 then $3 else coalesce(max(version), 0) end + 1, $2, {now} \
                 from model_versions where name = $1 \
                 having exists (select 1 from training_jobs where id = $2 and lease = $4 and state = 'running') \
                 on conflict do nothing",
            ))
            .bind(name)
            .bind(job)
            .bind(taken)
            .bind(lease.token.as_str())
            .execute(&self.pool)
            .timed()
            .await?;
        }
        Err(StoreError::Foreign {
            what: format!("versions of model {name:?}"),
            reason: "none could be reserved".into(),
        })
    }

    /// Registers what the job has made, activates it if the job says so, and ends the job: all of it or nothing.
    ///
    /// # Errors
    /// The lease is lost, another version serves than the one it was compared with, or the database fails.
    pub async fn finish(&self, lease: &Lease, made: &Publication) -> Result<(), StoreError> {
        let job = &lease.job;
        let mut transaction = self.pool.begin().timed().await?;
        let done = sqlx::query(self.sql(
            "update training_jobs set state = 'succeeded', version = $3, lease = null, error = null, finished_ms = {now} \
             where id = $1 and lease = $2 and state = 'running'",
        ))
        .bind(job.id.as_str())
        .bind(lease.token.as_str())
        .bind(made.version)
        .execute(&mut *transaction)
        .timed()
        .await?;
        lease.held(done.rows_affected())?;
        let done = sqlx::query(
            "update model_versions set digest = $4, location = $5 where name = $1 and version = $2 and job_id = $3",
        )
        .bind(job.name.as_str())
        .bind(made.version)
        .bind(job.id.as_str())
        .bind(made.digest.as_str())
        .bind(made.location.as_deref())
        .execute(&mut *transaction)
        .timed()
        .await?;
        // Its reservation is another's if the job is.
        lease.held(done.rows_affected())?;
        if job.activate {
            let statement = match made.compared {
                None => super::registry::ACTIVATE,
                Some(0) => super::registry::ACTIVATE_FIRST,
                Some(_) => super::registry::ACTIVATE_AFTER,
            };
            let statement = sqlx::query(self.sql(statement))
                .bind(job.name.as_str())
                .bind(made.version);
            let statement = match made.compared {
                None | Some(0) => statement,
                Some(compared) => statement.bind(compared),
            };
            let done = statement.execute(&mut *transaction).timed().await?;
            if let (0, Some(compared)) = (done.rows_affected(), made.compared) {
                return Err(StoreError::Outdated {
                    name: job.name.clone(),
                    compared,
                });
            }
        }
        transaction.commit().timed().await?;
        Ok(())
    }
}

impl Lease {
    /// What became of its job.
    fn ended(&self, row: Option<(String,)>) -> Result<JobState, StoreError> {
        let (state,) = row.ok_or_else(|| self.lost())?;
        JobState::parse(&state)
    }

    fn lost(&self) -> StoreError {
        StoreError::LeaseLost(self.job.id.to_string())
    }

    fn held(&self, rows: u64) -> Result<(), StoreError> {
        match rows {
            0 => Err(self.lost()),
            _ => Ok(()),
        }
    }
}
