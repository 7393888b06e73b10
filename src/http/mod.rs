//! The service over HTTP: one file a resource.
//!
//! Every answer carries the request's id, and every refusal is a problem of RFC 9457 whose status `error` chose. Nothing
//! of a text goes into a log, a metric or an error.

mod access;
mod activate;
mod body;
mod budget;
mod connections;
mod error;
mod feedback;
mod follow;
mod inference;
mod jobs;
mod json;
mod leftover;
mod lines;
mod models;
mod observe;
mod ops;
mod request_id;
mod sentiment;
mod similar;
mod tokenize;
mod turns;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use tokio::sync::watch;
use tower::util::{MapResponseLayer, option_layer};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{
    DefaultPredicate, NotForContentType, Predicate as _, SizeAbove,
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::catalog::Catalog;
use crate::config::allow::DataPrefix;
use crate::metrics::Metrics;
use crate::storage::Storage;
use crate::store::Store;
use crate::telemetry::Spans;
use body::BodyLimits;
use error::{Code, Problem};
use observe::Observe;
use ops::Pages;

pub use access::{Access, AccessError, AccessSettings, with_admin_token};
pub use budget::Budget;
pub use connections::{ConnectionLimits, Drained, serve};
pub use lines::Pieces;
pub use sentiment::{is_line, is_request};
pub use turns::Turns;

/// What a request may ask for.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Bytes of a body, after decompression.
    pub max_body: usize,
    /// Texts.
    pub max_items: usize,
    /// Characters of a text.
    pub max_characters: usize,
    /// Time for a body to arrive.
    pub read_timeout: Duration,
    /// Time from there to the answer.
    pub deadline: Duration,
    /// Time that a stream of lines may bring nothing.
    pub idle: Duration,
}

impl RequestLimits {
    /// Whether a text has no more characters than it may.
    fn short_enough(&self, text: &str) -> Result<(), Problem> {
        let most = self.max_characters;
        // No text has more characters than bytes.
        if text.len() > most && text.chars().count() > most {
            let detail = format!("the text has more than {most} characters");
            return Err(Problem::new(Code::TextTooLong, detail));
        }
        Ok(())
    }
}

/// What every handler works with.
#[derive(Debug)]
pub struct Shared {
    /// The models.
    pub catalog: Arc<Catalog>,
    /// The series.
    pub metrics: Arc<Metrics>,
    /// The limits.
    pub limits: RequestLimits,
    /// Bytes of bodies and lines that may be held.
    pub budget: Budget,
    /// Bytes of answers that wait for their clients to read them.
    pub answers: Budget,
    /// Who may work on large bodies.
    pub turns: Turns,
    /// The database, where there is one.
    pub store: Option<Arc<Store>>,
    /// The model storage, where there is one.
    pub storage: Option<Arc<Storage>>,
    /// Whether the database did not answer when it was last asked.
    pub store_trouble: watch::Sender<bool>,
    /// From where jobs may take data by URL.
    pub data_allow: Vec<DataPrefix>,
    /// Who may ask.
    pub access: Access,
    /// Where spans go.
    pub spans: Option<Spans>,
    /// Set when the server begins to shut down; readiness says so, requests are still answered.
    pub draining: AtomicBool,
    /// Set when it stops: streams of lines end.
    pub stopping: watch::Sender<bool>,
}

impl Shared {
    fn store(&self) -> Result<Arc<Store>, Problem> {
        self.store.clone().ok_or_else(|| {
            let detail = "the server was started without --database";
            Problem::new(Code::StoreDisabled, detail)
        })
    }

    /// Trouble with the database or with a newer version of a model: what serves goes on.
    fn details(&self) -> Vec<String> {
        let mut details = self.catalog.refused();
        if *self.store_trouble.borrow() {
            details.push("the database does not answer".to_owned());
        }
        details
    }

    fn body_limits(&self) -> BodyLimits {
        BodyLimits {
            bytes: self.limits.max_body,
            time: self.limits.read_timeout,
        }
    }
}

/// The origins whose pages may ask.
#[derive(Clone, Debug)]
pub enum Origins {
    /// Only the server's own.
    Own,
    /// These too.
    Listed(Vec<HeaderValue>),
    /// All.
    Any,
}

/// What the server is asked, apart from whether it lives and what it is.
pub fn api(shared: Arc<Shared>, origins: &Origins) -> Router {
    observed(closed(&shared), shared, origins)
}

/// What load balancers, scrapers and people at a browser ask, for a port of its own.
pub fn operations(shared: Arc<Shared>) -> Router {
    let router = open(Pages::Apart)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    observed(router, shared, &Origins::Own)
}

/// Everything on one port.
pub fn router(shared: Arc<Shared>, origins: &Origins) -> Router {
    let pages = match shared.access.needs_key() {
        true => Pages::Keyed,
        false => Pages::Open,
    };
    observed(open(pages).merge(closed(&shared)), shared, origins)
}

fn closed(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let router = Router::new()
        .route("/v1/sentiment", post(sentiment::classify))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{name}", get(models::active))
        .route("/v1/tokenize", post(tokenize::tokenize))
        .route("/v1/models/{name}/similar", get(similar::similar))
        .route("/v1/models/{name}/versions/{version}", get(models::version))
        .route(
            "/v1/models/{name}/versions/{version}/curves.svg",
            get(models::curves),
        )
        .route("/v1/feedback", post(feedback::keep))
        .route("/v1/feedback/{id}", delete(feedback::forget))
        .merge(inference())
        .merge(administration(shared))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    if !shared.access.needs_key() {
        return router;
    }
    let keys = middleware::from_fn_with_state(Arc::clone(shared), access::with_key);
    router.layer(keys)
}

/// A path ends with a model or with one of its versions.
fn inference() -> Router<Arc<Shared>> {
    let mut router = Router::new().route("/v2", get(inference::server));
    for model in ["/v2/models/{name}", "/v2/models/{name}/versions/{version}"] {
        router = router
            .route(model, get(inference::model))
            .route(&format!("{model}/ready"), get(inference::model_readiness))
            .route(&format!("{model}/infer"), post(inference::infer));
    }
    router
}

/// A method that a path does not take is refused as such, token or not.
fn administration(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let token = || middleware::from_fn_with_state(Arc::clone(shared), with_admin_token);
    let jobs = post(jobs::enqueue).get(jobs::list);
    let job = get(jobs::show).delete(jobs::cancel);
    Router::new()
        .route(
            "/v1/models/{name}/activate",
            post(activate::activate).route_layer(token()),
        )
        .route("/v1/training/jobs", jobs.route_layer(token()))
        .route("/v1/training/jobs/{id}", job.route_layer(token()))
        .route(
            "/v1/training/jobs/{id}/events",
            get(jobs::events).route_layer(token()),
        )
}

fn open(pages: Pages) -> Router<Arc<Shared>> {
    Router::new()
        .route("/healthz", get(ops::health))
        .route("/readyz", get(ops::readiness))
        .route("/v2/health/live", get(inference::live))
        .route("/v2/health/ready", get(inference::readiness))
        .route("/metrics", get(ops::metrics))
        .route("/openapi.yaml", get(ops::openapi))
        .route("/docs", get(move || ops::docs(pages)))
        .route("/", get(move || ops::home(pages)))
        .method_not_allowed_fallback(method_not_allowed)
}

fn observed(router: Router<Arc<Shared>>, shared: Arc<Shared>, origins: &Origins) -> Router {
    let cross_origin = match origins {
        Origins::Own => None,
        Origins::Listed(origins) => Some(cross_origin(AllowOrigin::list(origins.iter().cloned()))),
        Origins::Any => Some(cross_origin(AllowOrigin::any())),
    };
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(
            DefaultPredicate::new()
                .and(SizeAbove::new(1024))
                // A compressor keeps lines back that a client waits for.
                .and(NotForContentType::const_new("application/x-ndjson"))
                .and(NotForContentType::SSE),
        );
    // In one piece: the router boxes what each layer makes of a route, and a request pays for every box.
    let answers = shared.answers.clone();
    router
        .layer((
            Observe(Arc::clone(&shared)),
            option_layer(cross_origin),
            compression,
            CatchPanicLayer::custom(panicked),
            MapResponseLayer::new(move |response| answers.answer(response)),
        ))
        .with_state(shared)
}

/// Keys travel in a header that a page must set itself, so that no cookie or other credential is let through.
fn cross_origin(origins: AllowOrigin) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_ENCODING,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("traceparent"),
            request_id::HEADER,
        ])
        .expose_headers([
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("server-timing"),
            request_id::HEADER,
        ])
        .max_age(Duration::from_secs(3600))
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "no such path: /docs lists those there are")
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "the allow header lists the methods that this path takes",
    )
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    Problem::internal(format!("panic: {}", said.unwrap_or("without a word"))).into_response()
}
