//! `POST /v1/models/{name}/activate`: a version comes to serve, here at once and everywhere by the registry.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Deserialize;

use super::Shared;
use super::body::object;
use super::error::{Code, Problem};
use super::models::{self, Model};
use crate::catalog::{SwapError, fetch};
use crate::metrics::Metrics;
use crate::store::{ActiveVersion, StoreError};

/// Which one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    version: String,
}

pub(super) async fn activate(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Model>, Problem> {
    let Path(name) = name.map_err(models::not_text)?;
    let wanted: Wanted = object(request, &shared).await?;
    let version = models::parse(&name, &wanted.version)?;
    let registered = match &shared.store {
        Some(store) => store.version(&name, i64::from(version.number())).await?,
        None => None,
    };
    if let Some(registered) = &registered {
        fetch(
            shared.storage.as_deref(),
            shared.catalog.models(),
            registered,
        )
        .await?;
    }
    let candidate = {
        let (catalog, name) = (Arc::clone(&shared.catalog), name.clone());
        let prepared = models::on_disk(move || Ok(catalog.prepare(&name, version))).await?;
        prepared.inspect_err(|error| say(&shared.metrics, error))?
    };
    if let Some(store) = &shared.store {
        let location = match (&registered, &shared.storage) {
            (
                Some(ActiveVersion {
                    location: Some(location),
                    ..
                }),
                _,
            ) => Ok(Some(location.clone())),
            // Servers on other machines shall find it too.
            (_, Some(storage)) => storage.store(candidate.folder()).await.map(Some),
            (_, None) => Ok(None),
        };
        let location = match location {
            Ok(location) => location,
            Err(error) => {
                shared.catalog.discard(&candidate);
                return Err(error.into());
            }
        };
        let active = ActiveVersion {
            name: name.clone(),
            version: i64::from(version.number()),
            digest: candidate.digest().to_owned(),
            location,
        };
        if let Err(error) = store.activate(&active).await {
            shared.catalog.discard(&candidate);
            return Err(match error {
                StoreError::UnknownVersion { .. } => Problem::new(
                    Code::Conflict,
                    format!(
                        "the registry has another bundle as version {version} of model {name:?}"
                    ),
                ),
                error => error.into(),
            });
        }
    }
    {
        let shared = Arc::clone(&shared);
        models::on_disk(move || Ok(shared.catalog.swap(candidate)?)).await?;
    }
    models::describe(shared, name, version).await
}

/// A bundle that is not good is nothing that only whoever asked should hear of.
fn say(metrics: &Metrics, error: &SwapError) {
    if let SwapError::Refused { name, .. } = error {
        let failures = &metrics.activation_failures;
        failures.with_label_values(&[name.as_str()]).inc();
        tracing::error!(%error, "the version before it serves on");
    }
}
