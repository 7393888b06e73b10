//! What is told of the models, those that fail to load included.

use std::fs;

use serde_json::{Value, json};

use crate::program::Room;
use crate::server::Server;
use crate::small::{ENGLISH, KOREAN};

/// The English model is damaged.
fn damaged(file: &str) -> Server {
    let room = Room::of(&[ENGLISH, KOREAN]);
    let path = room.path("models/english/1").join(file);
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 1);
    fs::write(&path, bytes).unwrap();
    Server::of(room, &[])
}

#[test]
fn the_models_are_listed_by_name() {
    let server = Server::start(&[]);
    let models = server.get("/v1/models").json();
    let expected = json!({
        "name": "english", "ready": true, "version": "1", "provider": "cpu",
        "languages": ["en"], "default_for": ["en"], "parameters": 13,
    });
    assert_eq!(models["models"][0], expected);
    assert_eq!(models["models"][1]["name"], "korean");
    assert_eq!(models["models"].as_array().unwrap().len(), 2);
}

#[test]
fn a_model_shows_its_manifest_and_every_version_is_there() {
    let room = Room::of(&[ENGLISH]);
    ENGLISH.publish(&room.path("models"));
    let manifest = fs::read_to_string(room.path("models/english/1/manifest.json")).unwrap();
    let server = Server::of(room, &[]);
    let mut model = server.get("/v1/models/english").json();
    assert_eq!(model, server.get("/v1/models/english/versions/1").json());
    assert_eq!(model["active"], true);
    assert_eq!(model["provider"], "cpu");
    assert_eq!(model["versions"], json!(["1", "2"]));
    let fields = model.as_object_mut().unwrap();
    for ours in ["active", "provider", "versions"] {
        fields.remove(ours);
    }
    assert_eq!(model, serde_json::from_str::<Value>(&manifest).unwrap());

    let second = server.get("/v1/models/english/versions/2").json();
    assert_eq!(second["active"], false);
    assert_eq!(second["provider"], Value::Null);
    assert_eq!(second["version"], "2");
    let answer = server.post(&json!({"text": "good", "model": "english@2"}));
    assert_eq!(answer.refusal(), (404, "unknown_model".into()));
}

#[test]
fn what_is_not_a_model_is_not_found() {
    let server = Server::start(&[]);
    for path in [
        "/v1/models/nobody",
        "/v1/models/English",
        "/v1/models/%2e%2e",
        "/v1/models/english%00",
        "/v1/models/english/versions/2",
        "/v1/models/english/versions/01",
        "/v1/models/english/versions/latest",
        "/v1/models/english/versions/99999999999999999999",
        "/v1/models/..%2fmodels%2fenglish/versions/1",
        "/v1/models/nobody/versions/1",
        "/v1/models/english/versions/..%2f1/curves.svg",
        "/v1/models/english/versions/2/curves.svg",
    ] {
        assert_eq!(
            server.get(path).refusal(),
            (404, "unknown_model".into()),
            "{path}"
        );
    }
    for path in [
        "/v1/models/%ff",
        "/v1/models/english/versions/%ff",
        "/v1/models/%ff/versions/1/curves.svg",
        "/v1/models/",
        "/v1/models/english/versions",
    ] {
        assert_eq!(
            server.get(path).refusal(),
            (404, "not_found".into()),
            "{path}"
        );
    }
}

#[test]
fn the_curves_are_a_picture_that_runs_nothing() {
    let server = Server::start(&[]);
    let path = "/v1/models/english/versions/1/curves.svg";
    let answer = server.get(path);
    assert_eq!(answer.status, 200);
    assert!(answer.text().starts_with("<svg"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    // Gone while the server runs: its fault, whose cause is for the log alone.
    fs::remove_file(server.room().path("models/english/1/curves.svg")).unwrap();
    let answer = server.get(path);
    assert_eq!(answer.refusal(), (500, "internal".into()));
    assert!(!answer.detail().contains("curves"), "{}", answer.detail());
    let id = answer.header("x-request-id").unwrap().to_owned();
    let log = server.stopped();
    let said = log
        .lines()
        .any(|line| line.contains(&id) && line.contains("curves.svg") && line.contains("ERROR"));
    assert!(said, "{log}");
}

#[test]
fn a_damaged_model_is_told_of_and_the_others_serve() {
    let server = damaged("model.onnx");
    let answer = server.get("/readyz");
    assert_eq!(answer.refusal(), (503, "not_ready".into()));
    assert_eq!(answer.header("retry-after"), Some("5"));
    let reasons = answer.json()["reasons"].clone();
    assert_eq!(reasons.as_array().unwrap().len(), 1);
    let reason = reasons[0].as_str().unwrap();
    assert!(
        reason.contains("\"english\"") && reason.contains("model.onnx"),
        "{reason}"
    );
    assert_eq!(server.get("/healthz").status, 200);

    let models = server.get("/v1/models").json();
    assert_eq!(models["models"][0]["ready"], false);
    assert_eq!(models["models"][1]["ready"], true);
    let answer = server.get("/v1/models/english");
    assert_eq!(answer.refusal(), (503, "not_ready".into()));
    let version = server.get("/v1/models/english/versions/1").json();
    assert_eq!(
        (&version["active"], &version["provider"]),
        (&json!(false), &Value::Null)
    );

    assert_eq!(
        server.post(&json!({"text": "최고"})).json()["label"],
        "positive"
    );
    for body in [
        json!({"text": "good"}),
        json!({"text": "최고", "model": "english"}),
        json!({"texts": ["최고", "good"]}),
    ] {
        let answer = server.post(&body);
        assert_eq!(answer.refusal(), (503, "not_ready".into()), "{body}");
    }
    // The damaged model does not claim it, so that to try again would not help.
    let answer = server.post(&json!({"text": "bon", "language": "fr"}));
    assert_eq!(answer.refusal(), (422, "unsupported_language".into()));
}

#[test]
fn a_model_whose_manifest_cannot_be_read_may_be_the_one_that_is_needed() {
    let server = damaged("manifest.json");
    assert_eq!(server.get("/readyz").refusal(), (503, "not_ready".into()));
    for language in ["en", "fr"] {
        let answer = server.post(&json!({"text": "good", "language": language}));
        assert_eq!(answer.refusal(), (503, "not_ready".into()), "{language}");
    }
    let path = "/v1/models/english/versions/1";
    assert_eq!(server.get(path).refusal(), (500, "internal".into()));
    assert_eq!(server.post(&json!({"text": "최고"})).status, 200);
}

#[test]
fn a_model_whose_active_version_is_gone_is_missed() {
    let room = Room::of(&[ENGLISH, KOREAN]);
    fs::remove_dir_all(room.path("models/english/1")).unwrap();
    let server = Server::of(room, &[]);
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 503);
    let said = ready.shown();
    assert!(
        said.contains("english") && said.contains("version 1, which is not there"),
        "{said}"
    );
    assert_eq!(
        server.post(&json!({"text": "good"})).refusal(),
        (503, "not_ready".into())
    );
    assert_eq!(server.post(&json!({"text": "최고"})).status, 200);
}

#[test]
fn a_folder_without_models_is_served_and_is_not_ready() {
    let server = Server::of(Room::of(&[]), &[]);
    let answer = server.get("/readyz");
    assert_eq!(answer.refusal(), (503, "not_ready".into()));
    assert!(answer.detail().contains("no model"), "{}", answer.detail());
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/v1/models").json(), json!({"models": []}));
    for body in [
        json!({"text": "good"}),
        json!({"texts": ["12", "최고"]}),
        json!({"text": "a", "language": "fr"}),
    ] {
        let answer = server.post(&body);
        assert_eq!(answer.refusal(), (503, "not_ready".into()), "{body}");
    }
}
