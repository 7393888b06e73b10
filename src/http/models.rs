//! `GET /v1/models` and below: what serves, what it is made of and how good it is.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, header};
use serde::Serialize;

use super::Shared;
use super::error::{Code, Problem};
use crate::bundle::{BundleError, CURVES, Manifest, Version, folder};
use crate::catalog::Slot;
use crate::engine::Engine;
use crate::recipe::valid_name;
use crate::storage::Storage;

/// The models that serve or should.
#[derive(Debug, Serialize)]
pub(super) struct Models {
    models: Vec<Summary>,
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Summary {
    name: String,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    loaded: Option<Loaded>,
}

#[derive(Debug, Serialize)]
struct Loaded {
    version: Version,
    provider: &'static str,
    languages: Vec<String>,
    default_for: Vec<String>,
    parameters: u64,
}

/// One version of a model.
#[derive(Debug, Serialize)]
pub(super) struct Model {
    /// Whether this version serves.
    active: bool,
    /// Where it really computes.
    provider: Option<&'static str>,
    /// Every version there is, lowest first.
    versions: Vec<Version>,
    #[serde(flatten)]
    manifest: Box<Manifest>,
}

pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Json<Models> {
    let models = shared
        .catalog
        .slots()
        .into_iter()
        .map(|(name, slot)| {
            let trouble = shared.catalog.trouble(&name);
            let loaded = match slot {
                Slot::Ready(engine) => Some(loaded(&engine)),
                Slot::Failed(_) => None,
            };
            Summary {
                name,
                ready: trouble.is_none(),
                reason: trouble,
                loaded,
            }
        })
        .collect();
    Json(Models { models })
}

fn loaded(engine: &Engine) -> Loaded {
    let manifest = &engine.bundle().manifest;
    Loaded {
        version: manifest.version,
        provider: engine.provider(),
        languages: manifest.languages.clone(),
        default_for: manifest.default_for.clone(),
        parameters: manifest.parameters,
    }
}

pub(super) async fn active(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, Problem> {
    let Path(name) = name.map_err(not_text)?;
    match shared.catalog.slot(&name) {
        Some(Slot::Ready(engine)) => {
            let version = engine.bundle().manifest.version;
            describe(shared, name, version).await
        }
        Some(Slot::Failed(failure)) => Err(Problem::new(
            Code::NotReady,
            format!("model {name:?} is not ready: {}", failure.reason),
        )),
        None => Err(unknown(&name)),
    }
}

pub(super) async fn version(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Model>, Problem> {
    let Path((name, version)) = path.map_err(not_text)?;
    let version = parse(&name, &version)?;
    match describe(Arc::clone(&shared), name.clone(), version).await {
        Err(problem) if problem.code == Code::UnknownModel => {
            let Some((storage, location)) = elsewhere(&shared, &name, version).await? else {
                return Err(problem);
            };
            Ok(Json(Model {
                active: false,
                provider: None,
                versions: versions(&shared, &name).await?,
                manifest: Box::new(storage.manifest(&location).await?),
            }))
        }
        described => described,
    }
}

/// Where a version lies that is registered and not here: its job was not to activate it, or another server was told to.
async fn elsewhere(
    shared: &Shared,
    name: &str,
    version: Version,
) -> Result<Option<(Arc<Storage>, String)>, Problem> {
    let (Some(store), Some(storage)) = (&shared.store, &shared.storage) else {
        return Ok(None);
    };
    let registered = store.version(name, i64::from(version.number())).await?;
    let location = registered.and_then(|registered| registered.location);
    Ok(location.map(|location| (Arc::clone(storage), location)))
}

/// Every version, here and in the registry, lowest first.
async fn versions(shared: &Arc<Shared>, name: &str) -> Result<Vec<Version>, Problem> {
    let here = {
        let (shared, name) = (Arc::clone(shared), name.to_owned());
        on_disk(move || folder::versions(shared.catalog.models(), &name).map_err(broken)).await?
    };
    let mut versions: BTreeSet<Version> = here.into_iter().collect();
    if let Some(store) = &shared.store {
        // With the database away it is those that are here.
        let registered = store.registered().await.unwrap_or_default();
        let registered = registered.iter().filter(|version| version.name == name);
        versions.extend(registered.filter_map(|v| v.version.to_string().parse::<Version>().ok()));
    }
    Ok(versions.into_iter().collect())
}

pub(super) async fn curves(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<([(HeaderName, HeaderValue); 2], Vec<u8>), Problem> {
    let Path((name, version)) = path.map_err(not_text)?;
    let version = parse(&name, &version)?;
    let here = {
        let (shared, name) = (Arc::clone(&shared), name.clone());
        on_disk(move || {
            let path = find(&shared, &name, version)?.join(CURVES);
            std::fs::read(&path)
                .map_err(|error| Problem::internal(format!("{}: {error}", path.display())))
        })
    };
    let picture = match here.await {
        Err(problem) if problem.code == Code::UnknownModel => {
            match elsewhere(&shared, &name, version).await? {
                Some((storage, location)) => storage.curves(&location).await?,
                None => return Err(problem),
            }
        }
        here => here?,
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("image/svg+xml"),
        ),
        (
            // It is shown as a picture and should run nothing even when opened by itself.
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
        ),
    ];
    Ok((headers, picture))
}

pub(super) async fn describe(
    shared: Arc<Shared>,
    name: String,
    version: Version,
) -> Result<Json<Model>, Problem> {
    let versions = versions(&shared, &name).await?;
    on_disk(move || {
        let dir = find(&shared, &name, version)?;
        let active = match shared.catalog.slot(&name) {
            Some(Slot::Ready(engine)) if engine.bundle().manifest.version == version => {
                Some(engine)
            }
            Some(Slot::Ready(_) | Slot::Failed(_)) | None => None,
        };
        let manifest = match &active {
            Some(engine) => engine.bundle().manifest.clone(),
            None => Manifest::read(&dir).map_err(broken)?,
        };
        Ok(Json(Model {
            active: active.is_some(),
            provider: active.as_ref().map(|engine| engine.provider()),
            versions,
            manifest: Box::new(manifest),
        }))
    })
    .await
}

/// The folder of a version that is there.
fn find(shared: &Shared, name: &str, version: Version) -> Result<PathBuf, Problem> {
    let models = shared.catalog.models();
    let versions = folder::versions(models, name).map_err(broken)?;
    if versions.contains(&version) {
        Ok(models.join(name).join(version.to_string()))
    } else if versions.is_empty() {
        Err(unknown(name))
    } else {
        Err(no_version(name, &version.to_string()))
    }
}

/// A name from a path is only ever used as a model's name.
pub(super) fn parse(name: &str, version: &str) -> Result<Version, Problem> {
    if !valid_name(name) {
        return Err(unknown(name));
    }
    version.parse().map_err(|_| no_version(name, version))
}

pub(super) fn not_text(_: PathRejection) -> Problem {
    Problem::new(Code::NotFound, "a part of the path is not UTF-8")
}

pub(super) fn unknown(name: &str) -> Problem {
    Problem::new(Code::UnknownModel, format!("there is no model {name:?}"))
}

pub(super) fn no_version(name: &str, version: &str) -> Problem {
    Problem::new(
        Code::UnknownModel,
        format!("model {name:?} has no version {version:?}"),
    )
}

fn broken(error: BundleError) -> Problem {
    Problem::internal(error.to_string())
}

pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::internal(error.to_string()))?
}
