//! Feedback over HTTP.

use serde_json::{Value, json};

use crate::jobs::with_store;
use crate::server::Server;
use crate::wire::Answer;

fn send(server: &Server, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    let body = body.to_string();
    server.send("POST", "/v1/feedback", &headers, Some(body.as_bytes()))
}

#[test]
fn feedback_is_kept_counted_and_deleted() {
    let server = with_store(&[]);
    let sent = json!({"text": "good, not", "label": "negative", "model": "english", "predicted": "positive"});
    let kept = send(&server, &sent);
    assert_eq!(kept.status, 201, "{}", kept.shown());
    let counted = r#"sentiment_feedback_total{agrees="false",model="english"} 1"#;
    assert!(server.get("/metrics").text().contains(counted));
    // Who does not say what was answered is told by the model itself.
    let label = server.post(&json!({"text": "good"})).json()["label"].clone();
    let sent = json!({"text": "good", "label": label, "model": "english"});
    assert_eq!(send(&server, &sent).status, 201);
    let counted = r#"sentiment_feedback_total{agrees="true",model="english"} 1"#;
    assert!(server.get("/metrics").text().contains(counted));
    let path = format!("/v1/feedback/{}", kept.json()["id"].as_str().unwrap());
    let gone = server.raw("DELETE", &path, &[], "");
    assert_eq!(gone.status, 204);
    assert_eq!(
        server.ask("DELETE", &path).refusal(),
        (404, "not_found".into())
    );
}

#[test]
fn feedback_that_teaches_nothing_is_refused() {
    let server = with_store(&[]);
    for (body, code) in [
        (json!({"text": "good"}), "invalid_request"),
        (json!({"text": "good", "label": "fine"}), "invalid_request"),
        (
            json!({"text": "good", "label": "negative", "x": 1}),
            "invalid_request",
        ),
        (json!({"text": " ", "label": "negative"}), "empty_text"),
        // What one database does not keep, neither does.
        (
            json!({"text": "a\0b", "label": "negative"}),
            "invalid_request",
        ),
        (
            json!({"text": "good", "label": "negative", "version": "1\0"}),
            "invalid_request",
        ),
    ] {
        assert_eq!(send(&server, &body).refusal(), (422, code.into()), "{body}");
    }
    let unknown = json!({"text": "good", "label": "negative", "model": "nobody"});
    assert_eq!(
        send(&server, &unknown).refusal(),
        (404, "unknown_model".into())
    );
}
