//! Spans for an OpenTelemetry collector: one a request, in the trace that its caller began.
//!
//! They leave in batches from a thread of their own, so that a collector that is slow or gone costs no request anything. A trace
//! that its caller does not record is not recorded here either.

use std::fmt;
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::tls;

/// The longest that the end of the process waits for the collector.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// No way to a collector.
#[derive(Debug, thiserror::Error)]
#[error("no spans can be sent to {endpoint}: {reason}")]
pub struct SpansError {
    endpoint: String,
    reason: ExporterBuildError,
}

/// The trace that a request belongs to, by its W3C `traceparent`.
#[derive(Clone, Debug)]
pub struct Caller(SpanContext);

impl Caller {
    /// What the headers say, if it can be read.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        // Most requests have none.
        headers.get("traceparent")?;
        let context =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        let caller = context.span().span_context().clone();
        caller.is_valid().then_some(Self(caller))
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.trace_id())
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

/// A request that has been answered.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The trace that it belongs to.
    pub caller: Option<&'a Caller>,
    /// Its method, from a closed set.
    pub method: &'static str,
    /// The route that it matched.
    pub route: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// The id under which the log has it.
    pub request_id: &'a str,
    /// From the head read to the answer ready.
    pub took: Duration,
    /// Where the time went.
    pub stages: &'a [(&'static str, Duration)],
}

/// The way to a collector.
#[derive(Debug)]
pub struct Spans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Spans {
    /// To the collector that takes OTLP over HTTP at this address, such as `http://127.0.0.1:4318`.
    ///
    /// # Errors
    /// It is no address.
    pub fn to(endpoint: &str) -> Result<Self, SpansError> {
        tls::set_up();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()
            .map_err(|reason| SpansError {
                endpoint: endpoint.to_owned(),
                reason,
            })?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let service = Resource::builder()
            .with_service_name("sentiment")
            .with_attribute(version);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(service.build())
            .build();
        let tracer = provider.tracer("sentiment");
        Ok(Self { provider, tracer })
    }

    /// Tells of a request.
    pub fn tell(&self, seen: Seen) {
        let parent = match seen.caller {
            Some(Caller(caller)) => Context::new().with_remote_span_context(caller.clone()),
            None => Context::new(),
        };
        let end = SystemTime::now();
        let mut attributes = vec![
            KeyValue::new("http.request.method", seen.method),
            KeyValue::new("http.route", seen.route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(seen.status)),
            KeyValue::new("sentiment.request_id", seen.request_id.to_owned()),
        ];
        attributes.extend(seen.stages.iter().map(|(name, took)| {
            KeyValue::new(format!("sentiment.{name}.seconds"), took.as_secs_f64())
        }));
        let mut span = self
            .tracer
            .span_builder(format!("{} {}", seen.method, seen.route))
            .with_kind(SpanKind::Server)
            .with_start_time(end.checked_sub(seen.took).unwrap_or(end))
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &parent);
        if seen.status >= 500 {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(end);
    }

    /// Sends what has not been sent, within two seconds.
    pub fn finish(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_WORDS) {
            tracing::warn!(%error, "the collector did not take the last spans");
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_caller_is_known_by_a_whole_traceparent_alone() {
        let trace = |given: &'static str| {
            let value = HeaderValue::from_static(given);
            let headers = HeaderMap::from_iter([("traceparent".parse().ok()?, value)]);
            Caller::of(&headers).map(|caller| caller.to_string())
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let whole = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace(whole).as_deref(), Some(id));
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-zbf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace(wrong), None, "{wrong}");
        }
        assert!(Caller::of(&HeaderMap::new()).is_none());
    }
}
