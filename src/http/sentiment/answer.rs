//! What `POST /v1/sentiment` answers: a result, or a list of results and failures in the order of the texts.

use serde::Serialize;

use crate::catalog::Route;
use crate::engine::{Contribution, Prediction, Seen, Sentence};
use crate::http::error::{Code, Problem};
use crate::sentiment::Label;

/// The body.
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each request, and a box for the usual one would cost more than its size"
)]
pub(in crate::http) enum Answer {
    /// Of a `text`.
    One(Found),
    /// Of `texts` and `reviews`.
    Many {
        /// One for each text.
        results: Vec<Outcome>,
    },
}

/// What became of a text.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::http) enum Outcome {
    /// Its sentiment.
    Found(Found),
    /// Why there is none.
    Failed(Failed),
}

/// A text's sentiment.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Found {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    label: Label,
    score: f64,
    raw_score: f64,
    confidence: f64,
    display: String,
    model: String,
    version: String,
    language: String,
    tokens: Tokens,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentences: Option<Vec<Sentence>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Vec<Contribution>>,
}

#[derive(Debug, Serialize)]
struct Tokens {
    used: usize,
    total: usize,
    unknown: usize,
    truncated: bool,
}

/// Why one text of many has no sentiment.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Failed {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    error: Reason,
}

#[derive(Debug, Serialize)]
struct Reason {
    code: Code,
    message: String,
}

impl Found {
    /// From what the model says.
    pub fn new(id: Option<String>, route: Route, prediction: Prediction, seen: Seen) -> Self {
        let manifest = &route.engine.bundle().manifest;
        let Prediction { score, encoded, .. } = prediction;
        let label = score.label();
        Self {
            id,
            label,
            score: score.calibrated,
            raw_score: score.raw,
            confidence: score.confidence(),
            display: manifest.display.of(label).to_owned(),
            model: manifest.name.clone(),
            version: manifest.version.to_string(),
            language: route.language,
            tokens: Tokens {
                used: encoded.used,
                total: encoded.total,
                unknown: encoded.unknown,
                truncated: encoded.truncated,
            },
            sentences: seen.sentences,
            explanation: seen.explanation,
        }
    }
}

impl Failed {
    /// From what would have been the whole answer, had the text been alone.
    pub fn new(index: usize, id: Option<String>, problem: Problem) -> Self {
        Self {
            index,
            id,
            error: Reason {
                code: problem.code,
                message: problem.detail,
            },
        }
    }
}
