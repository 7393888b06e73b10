//! Feedback: texts with the label that they should have had. Nothing else that anybody sends is kept.

use std::time::Duration;

use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::timed::Timed as _;
use super::{Id, Store, StoreError};
use crate::sentiment::Label;

/// What somebody sends.
#[derive(Clone, Debug)]
pub struct NewFeedback {
    /// The text.
    pub text: String,
    /// What it should have been.
    pub label: Label,
    /// Its language, where it is known.
    pub language: Option<String>,
    /// The model that answered, where one did.
    pub model: Option<String>,
    /// In this version.
    pub version: Option<String>,
    /// What it answered.
    pub answered: Option<Label>,
}

/// Rows that are read or deleted in one statement, so that each has its answer in time.
const PAGE: i64 = 5_000;

/// What is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feedback {
    /// Its name.
    pub id: Id,
    /// The text.
    pub text: String,
    /// What it should have been.
    pub label: String,
    /// When it came, in milliseconds since 1970.
    pub created_ms: i64,
}

/// Which of it.
#[derive(Clone, Debug, Default)]
pub struct FeedbackFilter {
    /// In one of these languages, or in none that is known; all where there are none.
    pub languages: Vec<String>,
    /// On this model's answers; on any model's and on none where there is none.
    pub model: Option<String>,
    /// No newer than this, in milliseconds since 1970.
    pub until_ms: Option<i64>,
}

impl Store {
    /// Keeps it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn add_feedback(&self, new: &NewFeedback) -> Result<Id, StoreError> {
        self.ready().await?;
        let id = Id::random();
        sqlx::query(self.sql(
            "insert into feedback (id, text, label, language, model, version, answered, created_ms) \
             values ($1, $2, $3, $4, $5, $6, $7, {now})",
        ))
        .bind(id.as_str())
        .bind(new.text.as_str())
        .bind(new.label.as_str())
        .bind(new.language.as_deref())
        .bind(new.model.as_deref())
        .bind(new.version.as_deref())
        .bind(new.answered.map(Label::as_str))
        .execute(&self.pool)
        .timed()
        .await?;
        Ok(id)
    }

    /// Forgets it; whether it was there.
    ///
    /// # Errors
    /// The database fails.
    pub async fn delete_feedback(&self, id: &Id) -> Result<bool, StoreError> {
        self.ready().await?;
        let done = sqlx::query("delete from feedback where id = $1")
            .bind(id.as_str())
            .execute(&self.pool)
            .timed()
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets what is older; how much that was.
    ///
    /// # Errors
    /// The database fails.
    pub async fn forget_feedback(&self, age: Duration) -> Result<u64, StoreError> {
        self.ready().await?;
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let mut forgotten = 0;
        loop {
            let done = sqlx::query(self.sql(
                "delete from feedback where id in (select id from feedback where created_ms < {now} - $1 \
                 order by created_ms limit $2)",
            ))
            .bind(age)
            .bind(PAGE)
            .execute(&self.pool)
            .timed()
            .await?;
            forgotten += done.rows_affected();
            if done.rows_affected() < PAGE as u64 {
                return Ok(forgotten);
            }
        }
    }

    /// The oldest that is kept, or what came `after` the last of those: some thousands at a time, and nothing at the end.
    ///
    /// # Errors
    /// The database fails.
    pub async fn feedback(
        &self,
        filter: &FeedbackFilter,
        after: Option<&Feedback>,
    ) -> Result<Vec<Feedback>, StoreError> {
        self.ready().await?;
        let languages: Vec<String> = (6..6 + filter.languages.len())
            .map(|number| format!("${number}"))
            .collect();
        let languages = match languages.is_empty() {
            true => String::new(),
            false => format!(
                "and (language is null or language in ({}))",
                languages.join(", ")
            ),
        };
        let mut query = sqlx::query(self.sql(&format!(
            "select id, text, label, created_ms from feedback where (created_ms, id) > ($1, $2) and created_ms <= $3 \
             and ($4 = '' or model = $4) {languages} order by created_ms, id limit $5"
        )))
        .bind(after.map_or(i64::MIN, |after| after.created_ms))
        .bind(after.map_or("", |after| after.id.as_str()))
        .bind(filter.until_ms.unwrap_or(i64::MAX))
        .bind(filter.model.as_deref().unwrap_or_default())
        .bind(PAGE);
        for language in &filter.languages {
            query = query.bind(language.as_str());
        }
        let rows = query.fetch_all(&self.pool).timed().await?;
        let read = |row: &AnyRow| {
            Ok(Feedback {
                id: super::queue::id(row.try_get(0)?)?,
                text: row.try_get(1)?,
                label: row.try_get(2)?,
                created_ms: row.try_get(3)?,
            })
        };
        rows.iter().map(read).collect()
    }
}
