//! The series of `/metrics`: their names, their labels, and that they count.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::server::Server;

/// The samples of Prometheus's text format: name and labels to value.
fn samples(text: &str) -> BTreeMap<(String, BTreeMap<String, String>), f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.trim_end_matches('}').split("\",");
            let labels = labels.filter(|label| !label.is_empty()).map(|label| {
                let (key, value) = label.split_once("=\"").unwrap();
                (key.to_owned(), value.trim_end_matches('"').to_owned())
            });
            ((name.to_owned(), labels.collect()), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn the_series_of_the_interface_are_there_with_their_labels_and_no_others() {
    let server = Server::start(&["--queue", "4"]);
    server.post(&json!({"texts": ["good unheard", "bad", "", "good ".repeat(9)]}));
    server.post(&json!({"texts": ["good", "bad", "good", "bad", "good"]}));
    server.get("/v1/models/english");
    server.get("/v1/models/nobody");
    server.get("/secret-path/17");
    server.raw("BREW", "/healthz", &[], "");
    let answer = server.get("/metrics");
    let text = answer.text();
    let expected: [(&str, &str, &[&str]); 17] = [
        (
            "http_server_request_duration_seconds",
            "histogram",
            &["method", "route", "status"],
        ),
        ("http_server_active_requests", "gauge", &[]),
        ("sentiment_queue_depth", "gauge", &["model"]),
        ("sentiment_queue_wait_seconds", "histogram", &["model"]),
        ("sentiment_batch_size", "histogram", &["model"]),
        ("sentiment_batch_fill_ratio", "histogram", &["model"]),
        ("sentiment_inference_seconds", "histogram", &["model"]),
        (
            "sentiment_predictions_total",
            "counter",
            &["label", "model", "version"],
        ),
        ("sentiment_score", "histogram", &["model", "version"]),
        (
            "sentiment_unknown_token_ratio",
            "histogram",
            &["model", "version"],
        ),
        ("sentiment_log_lines_left_out_total", "counter", &[]),
        ("sentiment_model_store_up", "gauge", &[]),
        ("sentiment_store_up", "gauge", &[]),
        ("sentiment_training_queue_age_seconds", "gauge", &[]),
        ("sentiment_truncated_total", "counter", &["model"]),
        ("sentiment_rejected_total", "counter", &["reason"]),
        (
            "sentiment_model_info",
            "gauge",
            &["digest", "model", "provider", "version"],
        ),
    ];
    let samples = samples(text);
    for (name, kind, labels) in expected {
        assert!(
            text.contains(&format!("# TYPE {name} {kind}\n")),
            "{name}\n{text}"
        );
        let suffix = if kind == "histogram" { "_count" } else { "" };
        let own: Vec<_> = samples
            .keys()
            .filter(|(series, _)| *series == format!("{name}{suffix}"))
            .collect();
        assert!(!own.is_empty(), "{name}");
        for (_, found) in own {
            assert!(found.keys().eq(labels), "{name}: {found:?}");
        }
    }
    let known: BTreeSet<&str> = expected.iter().map(|(name, _, _)| *name).collect();
    let process = [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ];
    for name in process {
        assert!(
            samples.keys().any(|(series, _)| series == name),
            "{name}\n{text}"
        );
    }
    for (series, _) in samples.keys() {
        let base = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|suffix| series.strip_suffix(suffix))
            .unwrap_or(series);
        assert!(
            known.contains(base) || series.starts_with("process_"),
            "{series}"
        );
    }

    let value = |name: &str, labels: &[(&str, &str)]| {
        let labels = labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()));
        samples.get(&(name.to_owned(), labels.collect())).copied()
    };
    let duration = "http_server_request_duration_seconds_count";
    let requests = |method, route, status| {
        value(
            duration,
            &[("method", method), ("route", route), ("status", status)],
        )
    };
    assert_eq!(requests("POST", "/v1/sentiment", "200"), Some(1.0));
    assert_eq!(requests("POST", "/v1/sentiment", "503"), Some(1.0));
    assert_eq!(requests("GET", "/v1/models/{name}", "200"), Some(1.0));
    assert_eq!(requests("GET", "/v1/models/{name}", "404"), Some(1.0));
    assert_eq!(requests("GET", "unmatched", "404"), Some(1.0));
    assert_eq!(requests("OTHER", "/healthz", "405"), Some(1.0));
    assert!(
        !text.contains("secret-path") && !text.contains("nobody"),
        "{text}"
    );
    let english = ("model", "english");
    let predictions = |label| {
        value(
            "sentiment_predictions_total",
            &[english, ("version", "1"), ("label", label)],
        )
    };
    assert_eq!(
        (predictions("positive"), predictions("negative")),
        (Some(2.0), Some(1.0))
    );
    assert_eq!(value("sentiment_truncated_total", &[english]), Some(1.0));
    assert_eq!(
        value("sentiment_score_count", &[english, ("version", "1")]),
        Some(3.0)
    );
    assert_eq!(value("sentiment_queue_depth", &[english]), Some(0.0));
    for (reason, count) in [
        ("empty_text", 1.0),
        ("overloaded", 1.0),
        ("unknown_model", 1.0),
        ("not_found", 1.0),
    ] {
        assert_eq!(
            value("sentiment_rejected_total", &[("reason", reason)]),
            Some(count),
            "{reason}"
        );
    }
    // The request that asks is itself under way.
    assert_eq!(value("http_server_active_requests", &[]), Some(1.0));
}
