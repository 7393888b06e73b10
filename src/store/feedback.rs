//! Feedback: texts with the label that they should have had. Nothing else that anybody sends is kept.

use std::time::Duration;

use serde::Serialize;
use sqlx::Row as _;

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

/// What is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feedback {
    /// Its name.
    pub id: Id,
    /// The text.
    pub text: String,
    /// What it should have been.
    pub label: String,
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
        let done = sqlx::query(self.sql("delete from feedback where created_ms < {now} - $1"))
            .bind(age)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    /// What is kept, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn feedback(&self, filter: &FeedbackFilter) -> Result<Vec<Feedback>, StoreError> {
        self.ready().await?;
        let rows = sqlx::query(
            "select id, text, label, language, model from feedback where created_ms <= $1 order by created_ms, id",
        )
        .bind(filter.until_ms.unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let language: Option<String> = row.try_get(3)?;
            let wanted = match &language {
                Some(language) if !filter.languages.is_empty() => {
                    filter.languages.contains(language)
                }
                _ => true,
            };
            let model: Option<String> = row.try_get(4)?;
            if wanted && (filter.model.is_none() || model == filter.model) {
                found.push(Feedback {
                    id: super::queue::id(row.try_get(0)?)?,
                    text: row.try_get(1)?,
                    label: row.try_get(2)?,
                });
            }
        }
        Ok(found)
    }
}
