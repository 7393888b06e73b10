//! `/v1/feedback`: a text and the label that it should have had. Only what is sent here is ever kept.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::body::Received;
use super::error::{Code, Problem};
use crate::catalog::Wish;
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
    let limits = shared.body_limits();
    let body = Received::json(request, limits).await?;
    let body = body.decompressed(limits)?;
    let sent: Sent = serde_json::from_slice(&body).map_err(|error| {
        let code = if error.is_data() {
            Code::InvalidRequest
        } else {
            Code::MalformedJson
        };
        Problem::new(code, error.to_string())
    })?;
    if sent.text.trim().is_empty() {
        return Err(Problem::new(Code::EmptyText, "the text is empty"));
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
    let new = NewFeedback {
        language: route.as_ref().ok().map(|route| route.language.clone()),
        text: sent.text,
        label: sent.label,
        model: sent.model,
        version: sent.version,
        answered: sent.predicted,
    };
    let id = store.add_feedback(&new).await?;
    if let (Ok(route), Some(predicted)) = (route, sent.predicted) {
        let model = &route.engine.bundle().manifest.name;
        shared.metrics.fed_back(model, predicted == sent.label);
    }
    Ok((StatusCode::CREATED, Json(Kept { id })))
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
