//! `/v2`: the Open Inference Protocol, KServe's second, over the same engines, queues and limits.
//!
//! A model takes one tensor of texts and answers tensors of labels and scores, in the order of the texts. The protocol has no
//! place for what is wrong with one text of several: the first such text refuses the request.

mod request;

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::body::{JSON, Received};
use super::error::{Code, Problem};
use super::models::not_text;
use super::ops::ready;
use super::sentiment::{no_place, readable};
use crate::engine::{Ask, Engine, Places, Prediction, Terms, Timing};
use crate::sentiment::Label;
use request::{INPUT, InferRequest};

/// What every model computes in.
const PLATFORM: &str = "onnxruntime_onnx";

/// The header that says where the JSON of a body ends and binary tensors begin.
const BINARY: &str = "inference-header-content-length";

/// The server.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 0],
}

/// Whether it lives.
#[derive(Debug, Serialize)]
pub(super) struct Live {
    live: bool,
}

/// Whether all models serve.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    ready: bool,
}

/// Whether one does.
#[derive(Debug, Serialize)]
pub(super) struct ModelReady {
    name: String,
    version: String,
    ready: bool,
}

/// What a model takes and answers.
#[derive(Debug, Serialize)]
pub(super) struct Described {
    name: String,
    versions: [String; 1],
    platform: &'static str,
    inputs: [Signature; 1],
    outputs: [Signature; 3],
}

/// A tensor without its data.
#[derive(Debug, Serialize)]
struct Signature {
    name: &'static str,
    datatype: &'static str,
    /// As many texts as there are.
    shape: [i64; 1],
}

/// A model of the path.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    name: String,
    #[serde(default)]
    version: Option<String>,
}

/// A tensor of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Label,
    Score,
    RawScore,
}

impl Output {
    const ALL: [Self; 3] = [Self::Label, Self::Score, Self::RawScore];

    fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Score => "score",
            Self::RawScore => "raw_score",
        }
    }

    fn datatype(self) -> &'static str {
        match self {
            Self::Label => "BYTES",
            Self::Score | Self::RawScore => "FP64",
        }
    }

    fn data(self, predictions: &[Prediction]) -> Data {
        let scores = predictions.iter().map(|prediction| prediction.score);
        match self {
            Self::Label => Data::Labels(scores.map(|score| score.label()).collect()),
            Self::Score => Data::Scores(scores.map(|score| score.calibrated).collect()),
            Self::RawScore => Data::Scores(scores.map(|score| score.raw).collect()),
        }
    }
}

/// What `infer` answers.
#[derive(Debug, Serialize)]
struct Answer {
    model_name: String,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<Tensor>,
}

#[derive(Debug, Serialize)]
struct Tensor {
    name: &'static str,
    datatype: &'static str,
    shape: Vec<u64>,
    data: Data,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data {
    Labels(Vec<Label>),
    Scores(Vec<f64>),
}

pub(super) async fn server() -> Json<Server> {
    Json(Server {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        extensions: [],
    })
}

pub(super) async fn live() -> Json<Live> {
    Json(Live { live: true })
}

pub(super) async fn readiness(State(shared): State<Arc<Shared>>) -> Result<Json<Ready>, Problem> {
    ready(&shared)?;
    Ok(Json(Ready { ready: true }))
}

pub(super) async fn model(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<Named>, PathRejection>,
) -> Result<Json<Described>, Problem> {
    let engine = find(&shared, path)?;
    let manifest = &engine.bundle().manifest;
    let tensor = |name, datatype| Signature {
        name,
        datatype,
        shape: [-1],
    };
    Ok(Json(Described {
        name: manifest.name.clone(),
        versions: [manifest.version.to_string()],
        platform: PLATFORM,
        inputs: [tensor(INPUT, "BYTES")],
        outputs: Output::ALL.map(|output| tensor(output.name(), output.datatype())),
    }))
}

pub(super) async fn model_readiness(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<Named>, PathRejection>,
) -> Result<Json<ModelReady>, Problem> {
    let engine = find(&shared, path)?;
    let manifest = &engine.bundle().manifest;
    Ok(Json(ModelReady {
        name: manifest.name.clone(),
        version: manifest.version.to_string(),
        ready: true,
    }))
}

pub(super) async fn infer(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<Named>, PathRejection>,
    mut request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers_mut();
    if headers.contains_key(BINARY) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "tensors in binary are not read here: send their data as JSON",
        ));
    }
    // Triton's client says nothing of its JSON.
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static(JSON));
    let received = Received::json(request, &shared, JSON).await?;
    let engine = find(&shared, path)?;
    let deadline = Instant::now() + shared.limits.deadline;
    let own = Arc::clone(&engine);
    let preparing = move |shared: &Shared, body: &[u8]| prepare(shared, &own, body);
    let prepared = received.work_on(&shared, deadline, preparing).await?;
    let terms = Terms {
        deadline: Some(deadline),
        bulk: prepared.asks.len() > 1,
    };
    let (answer, timing) = answer(&engine, prepared, terms).await?;
    let mut response = Json(answer).into_response();
    response.extensions_mut().insert(timing);
    Ok(response)
}

fn find(shared: &Shared, path: Result<Path<Named>, PathRejection>) -> Result<Arc<Engine>, Problem> {
    let Path(Named { name, version }) = path.map_err(not_text)?;
    Ok(shared.catalog.engine(&name, version.as_deref())?)
}

/// A request whose texts are encoded.
struct Prepared {
    id: Option<String>,
    shape: Vec<u64>,
    outputs: Vec<Output>,
    places: Places,
    asks: Vec<Ask>,
}

fn prepare(shared: &Shared, engine: &Engine, body: &[u8]) -> Result<Prepared, Problem> {
    let request = InferRequest::parse(body, shared.limits.max_items)?;
    // Before they are encoded, so that what is turned away costs little.
    let places = engine.reserve(request.texts.len()).ok_or_else(no_place)?;
    let asks = request.texts.iter().enumerate().map(|(index, text)| {
        readable(shared, text)
            .and_then(|()| Ok(engine.encode(text)?))
            .map_err(|problem| of_text(index, problem))
    });
    Ok(Prepared {
        asks: asks.collect::<Result<_, _>>()?,
        places,
        id: request.id,
        shape: request.shape,
        outputs: request.outputs,
    })
}

async fn answer(
    engine: &Engine,
    prepared: Prepared,
    terms: Terms,
) -> Result<(Answer, Timing), Problem> {
    let tickets = engine.submit(prepared.asks, prepared.places, terms);
    let mut timing = Timing::default();
    let mut predictions = Vec::with_capacity(tickets.len());
    for (index, ticket) in tickets.into_iter().enumerate() {
        let answered = engine.answer(ticket).await;
        let prediction = answered.map_err(|error| of_text(index, error.into()))?;
        timing = timing.with(prediction.timing);
        predictions.push(prediction);
    }
    let manifest = &engine.bundle().manifest;
    let tensor = |output: Output| Tensor {
        name: output.name(),
        datatype: output.datatype(),
        shape: prepared.shape.clone(),
        data: output.data(&predictions),
    };
    let answer = Answer {
        model_name: manifest.name.clone(),
        model_version: manifest.version.to_string(),
        outputs: prepared.outputs.into_iter().map(tensor).collect(),
        id: prepared.id,
    };
    Ok((answer, timing))
}

/// Says which text it was.
fn of_text(index: usize, problem: Problem) -> Problem {
    match problem.code {
        Code::Internal => problem,
        _ => Problem {
            detail: format!("text {index}: {}", problem.detail),
            ..problem
        },
    }
}
