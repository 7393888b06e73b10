//! `/v1/feedback`: a text and the label that it should have had. Only what is sent here is ever kept.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::body::object;
use super::error::{Code, Problem};
use crate::bundle::Version;
use crate::catalog::Wish;
use crate::engine::{Engine, Terms};
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
    let sent: Sent = object(request, &shared).await?;
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
    let most = shared.limits.max_characters;
    if sent.text.chars().count() > most {
        let detail = format!("the text has more than {most} characters");
        return Err(Problem::new(Code::TextTooLong, detail));
    }
    if sent
        .model
        .as_deref()
        .is_some_and(|name| shared.catalog.slot(name).is_none())
    {
        return Err(Problem::new(Code::UnknownModel, "no such model is active"));
    }
    let route = shared.catalog.route(
        &sent.text,
        Wish {
            model: sent.model.as_deref(),
            language: sent.language.as_deref(),
        },
    );
    let answered = match (sent.predicted, &route) {
        (None, Ok(route)) => answer(&shared, &route.engine, &sent.text).await,
        (predicted, _) => predicted,
    };
    let new = NewFeedback {
        language: route.as_ref().ok().map(|route| route.language.clone()),
        text: sent.text,
        label: sent.label,
        model: sent.model,
        version: sent.version,
        answered,
    };
    let id = store.add_feedback(&new).await?;
    if let (Ok(route), Some(answered)) = (route, answered) {
        let model = &route.engine.bundle().manifest.name;
        shared.metrics.fed_back(model, answered == sent.label);
    }
    Ok((StatusCode::CREATED, Json(Kept { id })))
}

/// What the model says now, for whoever does not say what it answered; nothing if it has no place for one more text.
async fn answer(shared: &Shared, engine: &Engine, text: &str) -> Option<Label> {
    let (ask, places) = (engine.encode(text).ok()?, engine.reserve(1)?);
    let terms = Terms {
        deadline: Some(Instant::now() + shared.limits.deadline),
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
