//! `/v1/feedback`: a text and the label that it should have had. Only what is sent here is ever kept.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::body::{JSON, Received};
use super::error::{Code, Problem};
use super::json;
use crate::bundle::Version;
use crate::catalog::{Route, Wish};
use crate::engine::{Ask, Engine, Terms};
use crate::sentiment::Label;
use crate::store::{Id, NewFeedback};

/// What somebody sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    text: String,
    label: Label,
    #[serde(default)]
    language: Option<String>,
    /// The model that answered.
    #[serde(default)]
    model: Option<String>,
    /// In this version.
    #[serde(default)]
    version: Option<String>,
    /// What it answered.
    #[serde(default)]
    predicted: Option<Label>,
}

/// Under this name it can be deleted.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    id: Id,
}

pub(super) async fn keep(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<(StatusCode, Json<Kept>), Problem> {
    let store = shared.store()?;
    let received = Received::json(request, &shared, JSON).await?;
    let deadline = Instant::now() + shared.limits.deadline;
    let Read { sent, route, ask } = received.work_on(&shared, deadline, read).await?;
    let answered = match (&route, ask) {
        (Some(route), Some(ask)) => answer(&route.engine, ask, deadline).await,
        _ => sent.predicted,
    };
    let new = NewFeedback {
        language: route.as_ref().map(|route| route.language.clone()),
        text: sent.text,
        label: sent.label,
        model: sent.model,
        version: sent.version,
        answered,
    };
    let id = store.add_feedback(&new).await?;
    if let (Some(route), Some(answered)) = (route, answered) {
        let model = &route.engine.bundle().manifest.name;
        shared.metrics.fed_back(model, answered == sent.label);
    }
    Ok((StatusCode::CREATED, Json(Kept { id })))
}

/// Feedback that can be kept.
struct Read {
    sent: Sent,
    /// Where its text goes now, if there is such a model.
    route: Option<Route>,
    /// Its text encoded, where nobody says what was answered.
    ask: Option<Ask>,
}

fn read(shared: &Shared, body: &[u8]) -> Result<Read, Problem> {
    let sent: Sent = json::parse(body)?;
    if sent.text.trim().is_empty() {
        return Err(Problem::new(Code::EmptyText, "the text is empty"));
    }
    // PostgreSQL keeps none, and what one database refuses the other does not keep.
    if sent.text.contains('\0') {
        let detail = "the text has a NUL character, which is not kept";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    if let Some(version) = &sent.version
        && let Err(error) = version.parse::<Version>()
    {
        let detail = error.to_string();
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    shared.limits.short_enough(&sent.text)?;
    if sent
        .model
        .as_deref()
        .is_some_and(|name| shared.catalog.slot(name).is_none())
    {
        return Err(Problem::new(Code::UnknownModel, "no such model is active"));
    }
    let wish = Wish {
        model: sent.model.as_deref(),
        language: sent.language.as_deref(),
    };
    let route = shared.catalog.route(&sent.text, wish).ok();
    let asked = route.as_ref().filter(|_| sent.predicted.is_none());
    let ask = asked.and_then(|route| route.engine.encode(&sent.text).ok());
    Ok(Read { sent, route, ask })
}

/// What the model says now, for whoever does not say what it answered; nothing if it has no place for one more text.
async fn answer(engine: &Engine, ask: Ask, deadline: Instant) -> Option<Label> {
    let places = engine.reserve(1)?;
    let terms = Terms {
        deadline: Some(deadline),
        bulk: false,
    };
    let ticket = engine.submit(vec![ask], places, terms).pop()?;
    let prediction = engine.answer(ticket).await.ok()?;
    Some(prediction.score.label())
}

pub(super) async fn forget(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let missing = || Problem::new(Code::NotFound, "there is no such feedback");
    let Path(id) = id.map_err(|_| missing())?;
    let id: Id = id.parse().map_err(|_| missing())?;
    match shared.store()?.delete_feedback(&id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing()),
    }
}
