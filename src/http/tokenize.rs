//! `POST /v1/tokenize`: what a model makes of a text before it reads it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::body::Received;
use super::error::{Code, Problem};
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
    let received = Received::json(request, shared.body_limits()).await?;
    tokio::task::spawn_blocking(move || answer(&shared, &received))
        .await
        .map_err(|error| Problem::internal(error.to_string()))?
}

fn answer(shared: &Shared, received: &Received) -> Result<Json<Answer>, Problem> {
    let body = received.decompressed(shared.body_limits())?;
    let asked: TokenizeRequest = serde_json::from_slice(&body).map_err(|error| refusal(&error))?;
    let most = shared.limits.max_characters;
    if asked.text.chars().count() > most {
        return Err(Problem::new(
            Code::TextTooLong,
            format!("the text has more than {most} characters"),
        ));
    }
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

/// serde quotes values that it refuses, and texts stay out of errors; names of fields are the asker's to know.
fn refusal(error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(Code::MalformedJson, error.to_string());
    }
    let said = error.to_string();
    let named = said.starts_with("unknown field") || said.starts_with("missing field");
    let detail = match named && said.len() < 300 {
        true => said,
        false => {
            "the body must be an object with text and, if wanted, model and language".to_owned()
        }
    };
    Problem::new(Code::InvalidRequest, detail)
}
