//! `POST /v1/tokenize`: what a model makes of a text before it reads it.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::body::{JSON, Received};
use super::error::Problem;
use super::json;
use crate::bundle::Version;
use crate::catalog::Wish;
use crate::text::Tokenized;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenizeRequest {
    text: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    language: Option<String>,
}

/// A text's way into a model.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    model: String,
    version: Version,
    language: String,
    maxlen: usize,
    #[serde(flatten)]
    tokenized: Tokenized,
}

pub(super) async fn tokenize(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Json<Answer>, Problem> {
    let received = Received::json(request, &shared, JSON).await?;
    let deadline = Instant::now() + shared.limits.deadline;
    received.work_in_turn(&shared, deadline, answer).await
}

fn answer(shared: &Shared, body: &[u8]) -> Result<Json<Answer>, Problem> {
    let asked: TokenizeRequest = json::parse(body)?;
    shared.limits.short_enough(&asked.text)?;
    let wish = Wish {
        model: asked.model.as_deref(),
        language: asked.language.as_deref(),
    };
    let route = shared.catalog.route(&asked.text, wish)?;
    let bundle = route.engine.bundle();
    Ok(Json(Answer {
        model: bundle.manifest.name.clone(),
        version: bundle.manifest.version,
        language: route.language.clone(),
        maxlen: bundle.manifest.maxlen,
        tokenized: bundle.encoder.tokenize(&asked.text),
    }))
}
