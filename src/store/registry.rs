//! The registry: which versions are complete, and which of them serve.

use sqlx::Row as _;

use super::timed::Timed as _;
use super::{Store, StoreError};

/// Makes `$2` the active version of `$1`.
pub(super) const ACTIVATE: &str = "insert into active_versions (name, version, changed_ms) values ($1, $2, {now}) \
     on conflict (name) do update set version = excluded.version, changed_ms = excluded.changed_ms";

/// The same if `$1` has no active version.
pub(super) const ACTIVATE_FIRST: &str = "insert into active_versions (name, version, changed_ms) values ($1, $2, {now}) \
     on conflict (name) do nothing";

/// The same if `$3` is the active version.
pub(super) const ACTIVATE_AFTER: &str =
    "update active_versions set version = $2, changed_ms = {now} where name = $1 and version = $3";

/// The version of a model that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveVersion {
    /// The model.
    pub name: String,
    /// The version.
    pub version: i64,
    /// The manifest's digest.
    pub digest: String,
    /// Where it lies in the model storage, where that is not the folder of models itself.
    pub location: Option<String>,
}

/// A version that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The model.
    pub name: String,
    /// The version.
    pub version: i64,
    /// Whether it is the one that serves.
    pub active: bool,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

impl Store {
    /// The version of each model that serves, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn active(&self) -> Result<Vec<ActiveVersion>, StoreError> {
        self.ready().await?;
        let rows = sqlx::query(
            "select v.name, v.version, v.digest, v.location from active_versions a \
             join model_versions v on v.name = a.name and v.version = a.version \
             where v.digest is not null order by v.name",
        )
        .fetch_all(&self.pool)
        .timed()
        .await?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(ActiveVersion {
                name: row.try_get(0)?,
                version: row.try_get(1)?,
                digest: row.try_get(2)?,
                location: row.try_get(3)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Every complete version, by name and number.
    ///
    /// # Errors
    /// The database fails.
    pub async fn registered(&self) -> Result<Vec<Registered>, StoreError> {
        self.ready().await?;
        let rows = sqlx::query(
            "select v.name, v.version, case when a.version is null then 0 else 1 end, v.created_ms \
             from model_versions v left join active_versions a on a.name = v.name and a.version = v.version \
             where v.digest is not null order by v.name, v.version",
        )
        .fetch_all(&self.pool)
        .timed()
        .await?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(Registered {
                name: row.try_get(0)?,
                version: row.try_get(1)?,
                active: row.try_get::<i64, _>(2)? == 1,
                created_ms: row.try_get(3)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Where a complete version lies.
    ///
    /// # Errors
    /// The database fails.
    pub async fn version(
        &self,
        name: &str,
        version: i64,
    ) -> Result<Option<ActiveVersion>, StoreError> {
        self.ready().await?;
        let row: Option<(String, Option<String>)> = sqlx::query_as(
            "select digest, location from model_versions where name = $1 and version = $2 and digest is not null",
        )
        .bind(name)
        .bind(version)
        .fetch_optional(&self.pool)
        .timed()
        .await?;
        Ok(row.map(|(digest, location)| ActiveVersion {
            name: name.to_owned(),
            version,
            digest,
            location,
        }))
    }

    /// Makes a version that is in the folder of models the one that serves, registering it if no job made it.
    ///
    /// # Errors
    /// The registry has another bundle under this number, or the database fails.
    pub async fn activate(&self, wanted: &ActiveVersion) -> Result<(), StoreError> {
        self.ready().await?;
        let mut transaction = self.pool.begin().timed().await?;
        sqlx::query(self.sql(
            "insert into model_versions (name, version, digest, location, created_ms) values ($1, $2, $3, $4, {now}) \
             on conflict (name, version) do update set location = coalesce(model_versions.location, excluded.location) \
             where model_versions.digest = excluded.digest",
        ))
        .bind(wanted.name.as_str())
        .bind(wanted.version)
        .bind(wanted.digest.as_str())
        .bind(wanted.location.as_deref())
        .execute(&mut *transaction)
        .timed()
        .await?;
        let known: Option<(i64,)> = sqlx::query_as(
            "select version from model_versions where name = $1 and version = $2 and digest = $3",
        )
        .bind(wanted.name.as_str())
        .bind(wanted.version)
        .bind(wanted.digest.as_str())
        .fetch_optional(&mut *transaction)
        .timed()
        .await?;
        if known.is_none() {
            return Err(StoreError::UnknownVersion {
                name: wanted.name.clone(),
                version: wanted.version.to_string(),
            });
        }
        sqlx::query(self.sql(ACTIVATE))
            .bind(wanted.name.as_str())
            .bind(wanted.version)
            .execute(&mut *transaction)
            .timed()
            .await?;
        transaction.commit().timed().await?;
        Ok(())
    }
}
