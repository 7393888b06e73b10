//! `GET /v1/models/{name}/similar`: which words a model reads alike.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::error::{Code, Problem};
use crate::bundle::Version;
use crate::catalog::Slot;
use crate::import::word_vectors;
use crate::vectors::{Method, Question, Similar, listed};

/// Most answers to one question.
const MOST: usize = 1000;

/// Most words of one question: each costs a pass over the vocabulary.
const WORDS: usize = 64;

/// The query; `positive` and `negative` may come more than once.
#[derive(Debug)]
struct Asked {
    positive: Vec<String>,
    negative: Vec<String>,
    method: MethodName,
    top: usize,
}

impl Asked {
    fn parse(pairs: Vec<(String, String)>) -> Result<Self, String> {
        let mut asked = Self {
            positive: Vec::new(),
            negative: Vec::new(),
            method: MethodName::default(),
            top: 10,
        };
        for (name, value) in pairs {
            match name.as_str() {
                "positive" => asked.positive.extend(listed(&value)),
                "negative" => asked.negative.extend(listed(&value)),
                "method" => {
                    let method = MethodName::deserialize(value.as_str().into_deserializer());
                    asked.method =
                        method.map_err(|error: ValueError| format!("method: {error}"))?;
                }
                "top" => {
                    let top = value.parse().map_err(|error| format!("top: {error}"))?;
                    if top > MOST {
                        return Err(format!("top is over {MOST}"));
                    }
                    asked.top = top;
                }
                _ => return Err(format!("there is no parameter {name:?}")),
            }
        }
        if asked.positive.len() + asked.negative.len() > WORDS {
            return Err(format!("more than {WORDS} words"));
        }
        Ok(asked)
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum MethodName {
    #[default]
    Cosine,
    CosMul,
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
    pairs: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Answer>, Problem> {
    let invalid = |detail: String| Problem::new(Code::InvalidRequest, detail);
    let Path(name) =
        name.map_err(|_| Problem::new(Code::NotFound, "a part of the path is not UTF-8"))?;
    let Query(pairs) = pairs.map_err(|error| invalid(error.body_text()))?;
    let asked = Asked::parse(pairs).map_err(invalid)?;
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
        let vectors = engine.word_vectors(word_vectors).map_err(invalid)?;
        let question = Question {
            positive: &asked.positive,
            negative: &asked.negative,
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
    let deadline = Instant::now() + shared.limits.deadline;
    shared.turns.take(deadline, answer).await
}
