//! Into the queue and out of it before a worker has it.

use super::timed::Timed as _;
use super::{Id, NewJob, Store, StoreError};

pub(super) fn id(text: &str) -> Result<Id, StoreError> {
    text.parse().map_err(|_| StoreError::Foreign {
        what: "an id".into(),
        reason: format!("it is {text:?}"),
    })
}

impl Store {
    /// Lets a job into the queue, or finds the one that the same request made before; whether it is a new one.
    ///
    /// # Errors
    /// The key was used for another request, or the database fails.
    pub async fn enqueue(&self, new: &NewJob) -> Result<(Id, bool), StoreError> {
        self.ready().await?;
        let job = Id::random();
        let data = serde_json::Value::from(new.data.clone()).to_string();
        let done = sqlx::query(self.sql(
            "insert into training_jobs (id, idempotency_key, request_digest, state, name, recipe, data, force, activate, \
             created_ms, max_attempts) values ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, {now}, $9) \
             on conflict (idempotency_key) do nothing",
        ))
        .bind(job.as_str())
        .bind(new.idempotency_key.as_deref())
        .bind(new.request_digest.as_str())
        .bind(new.name.as_str())
        .bind(new.recipe.to_string())
        .bind(data)
        .bind(i64::from(new.force))
        .bind(i64::from(new.activate))
        .bind(i64::from(new.max_attempts))
        .execute(&self.pool)
        .timed()
        .await?;
        if done.rows_affected() == 1 {
            return Ok((job, true));
        }
        let key = new.idempotency_key.clone().unwrap_or_default();
        let row: (String, String) = sqlx::query_as(
            "select id, request_digest from training_jobs where idempotency_key = $1",
        )
        .bind(key.as_str())
        .fetch_one(&self.pool)
        .timed()
        .await?;
        match row.1 == new.request_digest {
            true => Ok((id(&row.0)?, false)),
            false => Err(StoreError::KeyReused(key)),
        }
    }

    /// Calls a job off: at once one in the queue, or whose worker is lost, and one that runs when its worker hears of it.
    /// Whether there was one to call off.
    ///
    /// # Errors
    /// The database fails.
    pub async fn cancel(&self, job: &Id) -> Result<bool, StoreError> {
        self.ready().await?;
        let done = sqlx::query(self.sql(
            "update training_jobs set cancel_requested = 1, \
             finished_ms = case when state = 'queued' or {expired} then {now} else finished_ms end, \
             state = case when state = 'queued' or {expired} then 'cancelled' else state end \
             where id = $1 and state in ('queued', 'running')",
        ))
        .bind(job.as_str())
        .execute(&self.pool)
        .timed()
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
