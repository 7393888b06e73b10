//! `GET /v1/models/{name}/similar`: which words a model reads alike.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::error::{Code, Problem};
use crate::bundle::Version;
use crate::catalog::Slot;
use crate::import::word_vectors;
use crate::vectors::{Method, Question, Similar};

/// Most answers to one question.
const MOST: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    positive: String,
    #[serde(default)]
    negative: String,
    #[serde(default)]
    method: MethodName,
    #[serde(default = "ten")]
    top: usize,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum MethodName {
    #[default]
    Cosine,
    CosMul,
}

fn ten() -> usize {
    10
}

/// Words and how like they are.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    model: String,
    version: Version,
    method: MethodName,
    similar: Vec<Similar>,
}

pub(super) async fn similar(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Answer>, Problem> {
    let invalid = |detail: String| Problem::new(Code::InvalidRequest, detail);
    let Path(name) =
        name.map_err(|_| Problem::new(Code::NotFound, "a part of the path is not UTF-8"))?;
    let Query(asked) = asked.map_err(|error| invalid(error.body_text()))?;
    if asked.top > MOST {
        return Err(invalid(format!("top is over {MOST}")));
    }
    let engine = match shared.catalog.slot(&name) {
        Some(Slot::Ready(engine)) => engine,
        Some(Slot::Failed(failure)) => {
            let detail = format!("model {name:?} is not ready: {}", failure.reason);
            return Err(Problem::new(Code::NotReady, detail));
        }
        None => {
            return Err(Problem::new(
                Code::UnknownModel,
                format!("there is no model {name:?}"),
            ));
        }
    };
    let answer = move || {
        let bundle = engine.bundle();
        let words = |list: &str| -> Vec<String> {
            list.split(',')
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let vectors = word_vectors(bundle).map_err(|error| invalid(error.to_string()))?;
        let question = Question {
            positive: &words(&asked.positive),
            negative: &words(&asked.negative),
            method: match asked.method {
                MethodName::Cosine => Method::Cosine,
                MethodName::CosMul => Method::CosMul,
            },
            top: asked.top,
        };
        let similar = vectors.most_similar(question);
        Ok(Json(Answer {
            model: bundle.manifest.name.clone(),
            version: bundle.manifest.version,
            method: asked.method,
            similar: similar.map_err(|error| invalid(error.to_string()))?,
        }))
    };
    tokio::task::spawn_blocking(answer)
        .await
        .map_err(|error| Problem::internal(error.to_string()))?
}
