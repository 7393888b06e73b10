//! What load balancers, scrapers and people at a browser read.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::{Extension, Json};
use bytes::Bytes;
use serde::Serialize;

use super::Shared;
use super::budget::Lasting;
use super::error::{Code, Problem};
use crate::catalog::Slot;

/// The API, as it is written for people.
const OPENAPI: &str = include_str!("../../openapi.yaml");

/// The pages as they are sent; built once, on the first visit, and shared by all who read them.
static DOCS: LazyLock<Result<Texts, String>> = LazyLock::new(|| {
    let api: serde_json::Value =
        serde_norway::from_str(OPENAPI).map_err(|error| error.to_string())?;
    // Inside of a script element only `<` could end it.
    let api = api.to_string().replace('<', "\\u003c");
    let page = include_str!("pages/docs.html").replace("{{openapi}}", &api);
    Ok(Texts::of(&page))
});

static HOME: LazyLock<Texts> = LazyLock::new(|| Texts::of(include_str!("pages/home.html")));

/// Everything that a page needs is in it, and it talks to nobody but its own server.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; img-src 'self' data:; form-action 'none'; base-uri 'none'; \
                      frame-ancestors 'none'";

type Typed<T> = ([(HeaderName, HeaderValue); 1], T);
type Page = ([(HeaderName, HeaderValue); 2], Extension<Lasting>, Bytes);

/// What a page can count on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pages {
    /// The API is here and open.
    Open,
    /// It is here and asks for a key.
    Keyed,
    /// It is on another port.
    Apart,
}

/// A page, for each server that it may be of.
#[derive(Debug)]
struct Texts([Bytes; 3]);

impl Texts {
    fn of(html: &str) -> Self {
        Self(["open", "keyed", "apart"].map(|server| html.replacen("{{server}}", server, 1).into()))
    }
}

/// The process answers.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
}

/// Every model answers.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    status: &'static str,
    models: Vec<ReadyModel>,
    /// Trouble that keeps no request from its answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ReadyModel {
    name: String,
    version: String,
    provider: &'static str,
}

pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "alive" })
}

/// Whether requests should be sent here.
pub(super) fn ready(shared: &Shared) -> Result<(), Problem> {
    if shared.draining.load(Ordering::Acquire) {
        let mut problem = Problem::new(Code::Draining, "the server is shutting down");
        problem.reasons = vec![problem.detail.clone()];
        return Err(problem);
    }
    let troubles = shared.catalog.troubles();
    if !troubles.is_empty() {
        let mut problem = Problem::new(Code::NotReady, troubles.join("; "));
        problem.reasons = troubles;
        return Err(problem);
    }
    Ok(())
}

pub(super) async fn readiness(
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Readiness>, Problem> {
    ready(&shared)?;
    let models = shared
        .catalog
        .slots()
        .into_iter()
        .filter_map(|(name, slot)| match slot {
            Slot::Ready(engine) => Some(ReadyModel {
                name,
                version: engine.bundle().manifest.version.to_string(),
                provider: engine.provider(),
            }),
            Slot::Failed(_) => None,
        })
        .collect();
    Ok(Json(Readiness {
        status: "ready",
        models,
        details: shared.details(),
    }))
}

pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Result<Typed<String>, Problem> {
    let text = shared
        .metrics
        .encode()
        .map_err(|error| Problem::internal(error.to_string()))?;
    Ok((typed("text/plain; version=0.0.4; charset=utf-8"), text))
}

pub(super) async fn openapi() -> (Extension<Lasting>, Typed<&'static str>) {
    let text = (typed("application/yaml; charset=utf-8"), OPENAPI);
    (Extension(Lasting), text)
}

pub(super) async fn docs(pages: Pages) -> Result<Page, Problem> {
    match &*DOCS {
        Ok(texts) => Ok(page(texts, pages)),
        Err(reason) => Err(Problem::internal(format!("openapi.yaml: {reason}"))),
    }
}

pub(super) async fn home(pages: Pages) -> Page {
    page(&HOME, pages)
}

fn page(Texts([open, keyed, apart]): &Texts, pages: Pages) -> Page {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
    ];
    let text = match pages {
        Pages::Open => open,
        Pages::Keyed => keyed,
        Pages::Apart => apart,
    };
    (headers, Extension(Lasting), text.clone())
}

fn typed(kind: &'static str) -> [(HeaderName, HeaderValue); 1] {
    [(header::CONTENT_TYPE, HeaderValue::from_static(kind))]
}
