//! `/v1/training/jobs`: let in, listed, shown, called off, followed. For administrators.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Shared;
use super::body::{JSON, Received};
use super::error::{Code, Problem};
use super::follow::follow;
use super::json;
use crate::bundle::digest;
use crate::catalog::Slot;
use crate::config::allow::{DataPrefix, allowed, is_url};
use crate::recipe::{Recipe, valid_name};
use crate::store::{Id, Job, NewJob, Page, Store};
use crate::train::dataset::{DataArg, check_sources};

/// The most jobs of a page.
const MOST: u32 = 200;
/// The longest `idempotency-key`.
const LONGEST_KEY: usize = 128;
/// The word that stands for feedback in `data`.
const FEEDBACK: &str = "feedback";

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// A name, or all of it.
    recipe: Value,
    data: Vec<String>,
    #[serde(default)]
    force: bool,
    #[serde(default = "yes")]
    activate: bool,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default = "three")]
    max_attempts: u32,
}

fn yes() -> bool {
    true
}

fn three() -> u32 {
    3
}

/// Some jobs, newest first.
#[derive(Debug, Serialize)]
pub(super) struct Jobs {
    jobs: Vec<Job>,
    /// What `after` asks for the next page with.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Id>,
}

/// A job and its epochs.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    job: Job,
    epochs: Vec<Value>,
}

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default = "fifty")]
    limit: u32,
    #[serde(default)]
    after: Option<String>,
}

fn fifty() -> u32 {
    50
}

pub(super) async fn enqueue(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1], Json<Job>), Problem> {
    let store = shared.store()?;
    let key = key(request.headers())?;
    let received = Received::json(request, &shared, JSON).await?;
    let deadline = Instant::now() + shared.limits.deadline;
    let checked = |shared: &Shared, body: &[u8]| {
        let recipes = shared.catalog.models().join("recipes");
        parse(body, &recipes, &shared.data_allow)
    };
    let mut new = received.work_in_turn(&shared, deadline, checked).await?;
    check_languages(&shared, &new)?;
    new.idempotency_key = key;
    let (id, _) = store.enqueue(&new).await?;
    let job = find(&store, &id).await?;
    let location = HeaderValue::try_from(format!("/v1/training/jobs/{id}"))
        .map_err(|error| Problem::internal(error.to_string()))?;
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(job),
    ))
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Jobs>, Problem> {
    let Query(wanted) = wanted.map_err(|error| invalid(error.body_text()))?;
    if !(1..=MOST).contains(&wanted.limit) {
        return Err(invalid(format!("limit must be 1 to {MOST}")));
    }
    let after = match wanted.after {
        Some(after) => Some(
            after
                .parse::<Id>()
                .map_err(|_| invalid("after is no job's id"))?,
        ),
        None => None,
    };
    let store = shared.store()?;
    if let Some(after) = &after
        && store.job(after).await?.is_none()
    {
        return Err(invalid(format!("after: there is no job {after}")));
    }
    // One more than asked for tells whether there is another page.
    let limit = wanted.limit + 1;
    let mut jobs = store.jobs(&Page { limit, after }).await?;
    let more = jobs.len() > wanted.limit as usize;
    jobs.truncate(wanted.limit as usize);
    let next = if more {
        jobs.last().map(|job| job.id.clone())
    } else {
        None
    };
    Ok(Json(Jobs { jobs, next }))
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Shown>, Problem> {
    let id = parse_id(id)?;
    let store = shared.store()?;
    let job = find(&store, &id).await?;
    let epochs = store.epochs(&id, 0).await?;
    Ok(Json(Shown { job, epochs }))
}

pub(super) async fn cancel(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, Json<Job>), Problem> {
    let id = parse_id(id)?;
    let store = shared.store()?;
    let cancelled = store.cancel(&id).await?;
    let job = find(&store, &id).await?;
    if !cancelled && !job.cancel_requested {
        let state = job.state.as_str();
        let detail = format!("job {id} has {state} already");
        return Err(Problem::new(Code::Conflict, detail));
    }
    Ok((StatusCode::ACCEPTED, Json(job)))
}

pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let id = parse_id(id)?;
    let store = shared.store()?;
    find(&store, &id).await?;
    let stopping = shared.stopping.subscribe();
    Ok(Sse::new(follow(store, id, stopping)).keep_alive(KeepAlive::default()))
}

async fn find(store: &Store, id: &Id) -> Result<Job, Problem> {
    let job = store.job(id).await?;
    job.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no job {id}")))
}

fn parse_id(id: Result<Path<String>, PathRejection>) -> Result<Id, Problem> {
    let missing = || Problem::new(Code::NotFound, "there is no such job");
    let Path(id) = id.map_err(|_| missing())?;
    id.parse().map_err(|_| missing())
}

/// The `idempotency-key`, if there is one.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    match (1..=LONGEST_KEY).contains(&text.len()) {
        true => Ok(Some(text.to_owned())),
        false => Err(invalid(format!(
            "idempotency-key must be 1 to {LONGEST_KEY} characters of ASCII"
        ))),
    }
}

/// Checks all that can be checked without the data.
fn parse(body: &[u8], recipes: &std::path::Path, allow: &[DataPrefix]) -> Result<NewJob, Problem> {
    let asked: Asked = json::parse(body)?;
    let mut recipe = match &asked.recipe {
        Value::String(name) => named(recipes, name)?,
        Value::Object(_) => {
            let recipe: Recipe = serde_path_to_error::deserialize(&asked.recipe)
                .map_err(|error| invalid(format!("recipe.{error}")))?;
            let checked = recipe.check().and_then(|()| recipe.check_training());
            checked.map_err(|error| invalid(error.to_string()))?;
            recipe
        }
        _ => return Err(invalid("recipe must be a name or an object")),
    };
    recipe.fit.seed = asked.seed.unwrap_or(recipe.fit.seed);
    if !(1..=100).contains(&asked.max_attempts) {
        return Err(invalid("max_attempts must be 1 to 100"));
    }
    if asked.data.is_empty() {
        return Err(invalid("data is empty: name what to learn from"));
    }
    check_data(&recipe, &asked.data, allow)?;
    let recipe =
        serde_json::to_value(&recipe).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(NewJob {
        idempotency_key: None,
        request_digest: digest::sha256(body),
        name: recipe["name"].as_str().unwrap_or_default().to_owned(),
        recipe,
        data: asked.data,
        force: asked.force,
        activate: asked.activate,
        max_attempts: asked.max_attempts,
    })
}

/// What would only be refused by every server once it is trained: a language is the default of one model.
fn check_languages(shared: &Shared, new: &NewJob) -> Result<(), Problem> {
    if !new.activate {
        return Ok(());
    }
    for (name, slot) in shared.catalog.slots() {
        let Slot::Ready(engine) = slot else { continue };
        let taken = &engine.bundle().manifest.default_for;
        let wanted = new.recipe["default_for"].as_array().into_iter().flatten();
        let mut both = wanted.filter_map(Value::as_str);
        let both = both.find(|language| taken.iter().any(|taken| taken == language));
        if let Some(language) = both.filter(|_| name != new.name) {
            return Err(Problem::new(
                Code::Conflict,
                format!(
                    "default_for {language:?}: model {name:?} serves it; \"activate\": false trains all the same"
                ),
            ));
        }
    }
    Ok(())
}

fn named(recipes: &std::path::Path, name: &str) -> Result<Recipe, Problem> {
    let unknown = || invalid(format!("recipe: there is no recipe {name:?}"));
    if !valid_name(name) {
        return Err(unknown());
    }
    let path: PathBuf = recipes.join(format!("{name}.toml"));
    if !path.is_file() {
        return Err(unknown());
    }
    Recipe::load(&path).map_err(|error| invalid(error.to_string()))
}

/// Each name could be below the worker's folder or is a URL that may be followed, and together they are what the recipe needs.
fn check_data(recipe: &Recipe, data: &[String], allow: &[DataPrefix]) -> Result<(), Problem> {
    if let Some(file) = recipe.embedding().and_then(|e| e.pretrained.as_ref()) {
        check_below(file, "layers[0].pretrained", file)?;
    }
    if let Some(name) = data.iter().find(|name| name.contains('\0')) {
        return Err(invalid(format!(
            "data {name:?}: no name has a NUL character"
        )));
    }
    let mut sources = Vec::new();
    for name in data.iter().filter(|name| *name != FEEDBACK) {
        let arg: DataArg = name
            .parse()
            .map_err(|error| invalid(format!("data {name:?}: {error}")))?;
        let path = arg.path.display().to_string();
        if is_url(&path) {
            allowed(allow, &path).map_err(|error| invalid(format!("data {error}")))?;
        } else {
            check_below(&path, "data", name)?;
        }
        sources.push(arg);
    }
    if sources.is_empty() && recipe.data.source.is_empty() {
        return Ok(());
    }
    check_sources(&recipe.data, &sources).map_err(|error| invalid(error.to_string()))
}

/// A name, and not a way out of the worker's folder.
fn check_below(path: &str, what: &str, name: &str) -> Result<(), Problem> {
    let leads_out = path.starts_with('/') || path.split('/').any(|part| part == "..");
    match leads_out || path.contains("://") {
        true => Err(invalid(format!(
            "{what} {name:?}: a name below the worker's --data-dir is expected"
        ))),
        false => Ok(()),
    }
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}
