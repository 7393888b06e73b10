//! Every Prometheus series, each counted in one place.
//!
//! Labels come from closed sets: the matched route and never the raw path, a model's name and never what a request
//! asked for. Latencies are histograms, so that a quantile can be taken over replicas.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::sentiment::Label;
use crate::telemetry;

/// Seconds, from 100 us up.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// Shares and probabilities.
const SHARES: &[f64] = &[0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0];
/// Texts.
const TEXTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// All series of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// `http_server_request_duration_seconds{method,route,status}`: from the head read to the answer ready.
    pub request_duration: HistogramVec,
    /// `http_server_active_requests`: read and not yet answered.
    pub active_requests: IntGauge,
    /// `sentiment_rejected_total{reason}`: requests and texts not answered, by the code their sender was given.
    pub rejected: IntCounterVec,
    queue_depth: IntGaugeVec,
    queue_wait: HistogramVec,
    batch_size: HistogramVec,
    batch_fill: HistogramVec,
    inference: HistogramVec,
    predictions: IntCounterVec,
    score: HistogramVec,
    unknown_tokens: HistogramVec,
    truncated: IntCounterVec,
    model_info: IntGaugeVec,
    training_jobs: IntGaugeVec,
    training_leases: IntGaugeVec,
    /// `sentiment_training_queue_age_seconds`: since the oldest job was asked for that no worker has claimed yet.
    pub training_queue_age: IntGauge,
    /// `sentiment_store_up`: 1 while the database answers, 0 while it does not; always 0 without one.
    pub store_up: IntGauge,
    /// `sentiment_model_store_up`: 1 while the model storage answers, 0 while it does not; always 0 without one.
    pub model_store_up: IntGauge,
    /// `sentiment_activation_failures_total{model}`: versions that were to serve and could not.
    pub activation_failures: IntCounterVec,
    feedback: IntCounterVec,
    log_lines_left_out: IntCounter,
    /// Who brings that one up to date.
    scrape: Mutex<()>,
}

/// The series of one version of one model, ready to count.
#[derive(Clone, Debug)]
pub struct ModelMetrics {
    /// `sentiment_queue_depth{model}`: texts that wait for a batch.
    pub queue_depth: IntGauge,
    /// `sentiment_queue_wait_seconds{model}`: from a place in the queue to the start of the run.
    pub queue_wait: Histogram,
    /// `sentiment_batch_size{model}`: texts in a run.
    pub batch_size: Histogram,
    /// `sentiment_batch_fill_ratio{model}`: real steps over steps run.
    pub batch_fill: Histogram,
    /// `sentiment_inference_seconds{model}`: one run.
    pub inference: Histogram,
    /// `sentiment_score{model,version}`: calibrated scores; a shift is drift.
    pub score: Histogram,
    /// `sentiment_unknown_token_ratio{model,version}`: the share of a text's tokens that the vocabulary lacks; a shift is drift.
    pub unknown_tokens: Histogram,
    /// `sentiment_truncated_total{model}`: texts longer than the model reads.
    pub truncated: IntCounter,
    positive: IntCounter,
    negative: IntCounter,
}

/// What `sentiment_model_info` says of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelInfo<'a> {
    /// Its name.
    pub model: &'a str,
    /// The version that serves.
    pub version: &'a str,
    /// The provider that really computes.
    pub provider: &'a str,
    /// That of its bundle, as `/v1/models` has it.
    pub digest: &'a str,
}

impl ModelMetrics {
    /// `sentiment_predictions_total{model,version,label}`: answers given.
    pub fn predicted(&self, label: Label) {
        match label {
            Label::Positive => self.positive.inc(),
            Label::Negative => self.negative.inc(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All series, empty.
    pub fn new() -> Self {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        register(
            &registry,
            prometheus::process_collector::ProcessCollector::for_self(),
        );
        let model = &["model"];
        let version = &["model", "version"];
        let histogram = |name: &str, what: &str, labels: &[&str], buckets: &[f64]| {
            let options = HistogramOpts::new(name, what).buckets(buckets.to_vec());
            let series =
                HistogramVec::new(options, labels).expect("names and buckets are literals");
            register(&registry, series.clone());
            series
        };
        let counter = |name: &str, what: &str, labels: &[&str]| {
            let series =
                IntCounterVec::new(Opts::new(name, what), labels).expect("names are literals");
            register(&registry, series.clone());
            series
        };
        let gauge = |name: &str, what: &str, labels: &[&str]| {
            let series =
                IntGaugeVec::new(Opts::new(name, what), labels).expect("names are literals");
            register(&registry, series.clone());
            series
        };
        let active_requests = IntGauge::new(
            "http_server_active_requests",
            "Requests read and not yet answered.",
        )
        .expect("names are literals");
        register(&registry, active_requests.clone());
        let store_up = IntGauge::new("sentiment_store_up", "1 while the database answers.")
            .expect("names are literals");
        register(&registry, store_up.clone());
        let training_queue_age = IntGauge::new(
            "sentiment_training_queue_age_seconds",
            "Since the oldest job was asked for that no worker has claimed yet.",
        )
        .expect("names are literals");
        register(&registry, training_queue_age.clone());
        let model_store_up = IntGauge::new(
            "sentiment_model_store_up",
            "1 while the model storage answers.",
        )
        .expect("names are literals");
        register(&registry, model_store_up.clone());
        let log_lines_left_out = IntCounter::new(
            "sentiment_log_lines_left_out_total",
            "Log lines left out because standard error was not read.",
        )
        .expect("names are literals");
        register(&registry, log_lines_left_out.clone());
        Self {
            request_duration: histogram(
                "http_server_request_duration_seconds",
                "From the head read to the answer ready.",
                &["method", "route", "status"],
                SECONDS,
            ),
            active_requests,
            rejected: counter(
                "sentiment_rejected_total",
                "Requests and texts not answered, by the code their sender was given.",
                &["reason"],
            ),
            queue_depth: gauge(
                "sentiment_queue_depth",
                "Texts that wait for a batch.",
                model,
            ),
            queue_wait: histogram(
                "sentiment_queue_wait_seconds",
                "From a place in the queue to the start of the run.",
                model,
                SECONDS,
            ),
            batch_size: histogram("sentiment_batch_size", "Texts in a run.", model, TEXTS),
            batch_fill: histogram(
                "sentiment_batch_fill_ratio",
                "Real steps over steps run.",
                model,
                SHARES,
            ),
            inference: histogram("sentiment_inference_seconds", "One run.", model, SECONDS),
            predictions: counter(
                "sentiment_predictions_total",
                "Answers given.",
                &["model", "version", "label"],
            ),
            score: histogram("sentiment_score", "Calibrated scores.", version, SHARES),
            unknown_tokens: histogram(
                "sentiment_unknown_token_ratio",
                "The share of a text's tokens that the vocabulary lacks.",
                version,
                SHARES,
            ),
            truncated: counter(
                "sentiment_truncated_total",
                "Texts longer than the model reads.",
                model,
            ),
            model_info: gauge(
                "sentiment_model_info",
                "1 for each model that serves.",
                &["model", "version", "provider", "digest"],
            ),
            training_jobs: gauge(
                "sentiment_training_jobs",
                "Jobs in the database.",
                &["state"],
            ),
            training_leases: gauge(
                "sentiment_training_leases",
                "Jobs under way, by whether their workers are heard of.",
                &["state"],
            ),
            training_queue_age,
            store_up,
            model_store_up,
            activation_failures: counter(
                "sentiment_activation_failures_total",
                "Versions that were to serve and could not.",
                model,
            ),
            feedback: counter(
                "sentiment_feedback_total",
                "Feedback on answers, by whether it agrees with them.",
                &["model", "agrees"],
            ),
            log_lines_left_out,
            scrape: Mutex::new(()),
            registry,
        }
    }

    /// The series of one model.
    pub fn model(&self, info: ModelInfo) -> ModelMetrics {
        let model = &[info.model];
        let version = &[info.model, info.version];
        let label = |label: Label| {
            self.predictions
                .with_label_values(&[info.model, info.version, label.as_str()])
        };
        ModelMetrics {
            queue_depth: self.queue_depth.with_label_values(model),
            queue_wait: self.queue_wait.with_label_values(model),
            batch_size: self.batch_size.with_label_values(model),
            batch_fill: self.batch_fill.with_label_values(model),
            inference: self.inference.with_label_values(model),
            score: self.score.with_label_values(version),
            unknown_tokens: self.unknown_tokens.with_label_values(version),
            truncated: self.truncated.with_label_values(model),
            positive: label(Label::Positive),
            negative: label(Label::Negative),
        }
    }

    /// `sentiment_training_jobs{state}`: jobs in the database.
    pub fn jobs(&self, state: &str, count: i64) {
        self.training_jobs.with_label_values(&[state]).set(count);
    }

    /// `sentiment_training_leases{state}`: jobs whose workers are heard of, and whose workers are not any more.
    pub fn leases(&self, held: i64, expired: i64) {
        for (state, count) in [("held", held), ("expired", expired)] {
            self.training_leases.with_label_values(&[state]).set(count);
        }
    }

    /// `sentiment_feedback_total{model,agrees}`: feedback on answers, by whether it agrees with them.
    pub fn fed_back(&self, model: &str, agrees: bool) {
        let agrees = if agrees { "true" } else { "false" };
        self.feedback.with_label_values(&[model, agrees]).inc();
    }

    /// A version serves from now on.
    pub fn serves(&self, info: ModelInfo) {
        let labels = [info.model, info.version, info.provider, info.digest];
        self.model_info.with_label_values(&labels).set(1);
    }

    /// A version that does not serve any more has no series of its own: with every training there would be more of them. Those
    /// that it has in common with the one that serves now stay: it may be the same one, loaded again.
    pub fn retire(&self, info: ModelInfo, serving: Option<ModelInfo>) {
        let labels = [info.model, info.version, info.provider, info.digest];
        // Those that are gone already are no trouble.
        if serving != Some(info) {
            let _ = self.model_info.remove_label_values(&labels);
        }
        let version = [info.model, info.version];
        if serving.is_some_and(|serving| [serving.model, serving.version] == version) {
            return;
        }
        let _ = self.score.remove_label_values(&version);
        let _ = self.unknown_tokens.remove_label_values(&version);
        for label in [Label::Positive, Label::Negative] {
            let labels = [info.model, info.version, label.as_str()];
            let _ = self.predictions.remove_label_values(&labels);
        }
    }

    /// Counts one request's answer.
    pub fn answered(&self, request: [&str; 3], took: Duration) {
        self.request_duration
            .with_label_values(&request)
            .observe(took.as_secs_f64());
    }

    /// Prometheus's text format.
    ///
    /// # Errors
    /// The encoder refuses a series.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        // The log counts for itself: a line that it cannot write is no place to count in.
        {
            let _alone = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
            let left_out = telemetry::lines_left_out();
            let known = self.log_lines_left_out.get();
            self.log_lines_left_out
                .inc_by(left_out.saturating_sub(known));
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn register(registry: &Registry, series: impl Collector + 'static) {
    registry
        .register(Box::new(series))
        .expect("every series is registered once");
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_model_shows_its_series_from_the_start_and_counts_each_label_apart() {
        let metrics = Metrics::new();
        let info = ModelInfo {
            model: "naver",
            version: "3",
            provider: "cpu",
            digest: "ab",
        };
        let model = metrics.model(info);
        assert!(!metrics.encode().unwrap().contains("sentiment_model_info{"));
        metrics.serves(info);
        model.predicted(Label::Positive);
        model.queue_wait.observe(0.0002);
        metrics.answered(["POST", "/v1/sentiment", "200"], Duration::from_micros(90));
        let text = metrics.encode().unwrap();
        for line in [
            r#"sentiment_predictions_total{label="positive",model="naver",version="3"} 1"#,
            r#"sentiment_predictions_total{label="negative",model="naver",version="3"} 0"#,
            r#"sentiment_queue_wait_seconds_bucket{model="naver",le="0.0001"} 0"#,
            r#"sentiment_queue_wait_seconds_bucket{model="naver",le="0.00025"} 1"#,
            r#"sentiment_model_info{digest="ab",model="naver",provider="cpu",version="3"} 1"#,
            r#"http_server_request_duration_seconds_count{method="POST",route="/v1/sentiment",status="200"} 1"#,
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
        // Loaded again, and from another file.
        let digest = "cd";
        for (serving, left) in [(info, 1), (ModelInfo { digest, ..info }, 0)] {
            metrics.retire(info, Some(serving));
            let text = metrics.encode().unwrap();
            assert_eq!(text.matches("sentiment_model_info{").count(), left);
            let counted =
                r#"sentiment_predictions_total{label="positive",model="naver",version="3"} 1"#;
            assert!(text.contains(counted), "{text}");
        }
        metrics.retire(info, None);
        let text = metrics.encode().unwrap();
        assert!(!text.contains(r#"version="3""#), "{text}");
    }
}
