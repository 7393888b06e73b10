//! Around every request: its id, its clock, its line in the log, its series, and the body of a refusal.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use prometheus::IntGauge;
use tower::{Layer, Service};

use super::Shared;
use super::error::{Code, Problem};
use super::leftover;
use super::request_id::{HEADER, RequestId};
use crate::engine::Timing;
use crate::telemetry::{Caller, Seen};

/// The label of requests that match no route.
const UNMATCHED: &str = "unmatched";

/// Sees every request, and what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct Observe(pub Arc<Shared>);

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        let shared = Arc::clone(&self.0);
        Observed { inner, shared }
    }
}

/// A service whose requests are seen.
#[derive(Clone, Debug)]
pub(super) struct Observed<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Error = Infallible>,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        take_any_encoding(request.headers_mut());
        let arrived = Arrived::new(Arc::clone(&self.shared), &request);
        let (request, leftover) = leftover::watch(request);
        let limits = self.shared.body_limits();
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = arrived.answered(response.await?.into_response());
            if let Some(leftover) = leftover {
                leftover.drain(limits).await;
            }
            Ok(response)
        })
    }
}

/// What is kept of a request while it is under way.
struct Arrived {
    shared: Arc<Shared>,
    at: Instant,
    _active: Active,
    id: RequestId,
    method: &'static str,
    head: bool,
    route: Option<MatchedPath>,
    /// Asked by a client of the Open Inference Protocol.
    inference: bool,
    caller: Option<Caller>,
    answered: bool,
}

/// What is written where a status is due, of requests whose client left before there was one.
const GONE: u16 = 499;

impl Drop for Arrived {
    fn drop(&mut self) {
        if !self.answered {
            self.tell(GONE, "client_gone", None);
        }
    }
}

impl Arrived {
    fn new(shared: Arc<Shared>, request: &Request) -> Self {
        Self {
            at: Instant::now(),
            _active: Active::enter(&shared.metrics.active_requests),
            id: RequestId::of(request.headers()),
            method: method_label(request.method()),
            head: request.method() == Method::HEAD,
            route: request.extensions().get::<MatchedPath>().cloned(),
            inference: {
                let path = request.uri().path();
                path == "/v2" || path.starts_with("/v2/")
            },
            caller: Caller::of(request.headers()),
            answered: false,
            shared,
        }
    }

    /// Completes the answer, counts it and says it.
    fn answered(mut self, mut response: Response) -> Response {
        self.answered = true;
        let Self { shared, id, .. } = &self;
        let problem = response.extensions_mut().remove::<Problem>();
        let stages = response.extensions_mut().remove::<Timing>().map(stages);
        if let Some(problem) = &problem {
            let body = problem.body(id.as_str(), self.inference);
            show(body, self.head, &mut response);
            let reason = problem.code.as_str();
            shared.metrics.rejected.with_label_values(&[reason]).inc();
        }
        let headers = response.headers_mut();
        headers.insert(HEADER, id.header());
        guard(headers);
        if let Some(timing) = stages.as_ref().and_then(server_timing) {
            headers.insert("server-timing", timing);
        }
        if shared.draining.load(Ordering::Acquire) {
            // The client's next request then goes to another server, and is not lost with this connection.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let code = problem.as_ref().map_or("", |problem| problem.code.as_str());
        self.tell(response.status().as_u16(), code, stages.as_ref());
        if let Some(Problem {
            code: Code::Internal,
            cause,
            ..
        }) = &problem
        {
            let cause = cause.as_deref().unwrap_or("unknown");
            tracing::error!(request_id = %id, cause, "a request failed");
        }
        response
    }

    /// Counts it, and says what became of it.
    fn tell(&self, status: u16, code: &str, stages: Option<&[(&'static str, Duration); 3]>) {
        let Self {
            shared,
            id,
            method,
            route,
            caller,
            ..
        } = self;
        let took = self.at.elapsed();
        let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
        let digits = StatusCode::from_u16(status).unwrap_or_default();
        shared
            .metrics
            .answered([method, route, digits.as_str()], took);
        if let Some(spans) = &shared.spans {
            spans.tell(Seen {
                caller: caller.as_ref(),
                method,
                route,
                status,
                request_id: id.as_str(),
                took,
                stages: stages.map_or(&[], |stages| stages),
            });
        }
        tracing::info!(
            target: "access",
            request_id = %id,
            trace_id = caller.as_ref().map(tracing::field::display),
            method = *method,
            route,
            status,
            code,
            microseconds = took.as_micros() as u64,
        );
    }
}

fn stages(timing: Timing) -> [(&'static str, Duration); 3] {
    let Timing { encode, queue, run } = timing;
    [("queue", queue), ("encode", encode), ("run", run)]
}

/// In milliseconds, as browsers read it.
fn server_timing(stages: &[(&'static str, Duration); 3]) -> Option<HeaderValue> {
    let [a, b, c] = stages.map(|(name, took)| (name, took.as_secs_f64() * 1e3));
    let text = format!(
        "{};dur={:.3}, {};dur={:.3}, {};dur={:.3}",
        a.0, a.1, b.0, b.1, c.0, c.1
    );
    HeaderValue::try_from(text).ok()
}

/// Who takes nothing that is sent as it is, and gzip neither, is answered all the same (RFC 9110, section 12.5.3).
fn take_any_encoding(headers: &mut HeaderMap) {
    let asks = |what: &str| {
        let mut values = headers.get_all(header::ACCEPT_ENCODING).iter();
        values.any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            memchr::memmem::find(&value, what.as_bytes()).is_some()
        })
    };
    if asks("q=0") && !asks("gzip") {
        headers.remove(header::ACCEPT_ENCODING);
    }
}

/// What a browser needs to be told so that no answer is taken for a page, or shown inside of one.
fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The pages bring a policy of their own.
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
}

/// The refusal as its client reads it.
fn show(body: String, head: bool, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    *response.body_mut() = if head {
        Body::empty()
    } else {
        Body::from(body)
    };
}

/// From a closed set, whatever a client makes up.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// A request under way, also when its client goes and its future is dropped.
struct Active(IntGauge);

impl Active {
    fn enter(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}
