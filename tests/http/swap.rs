//! Versions that take each other's place while requests go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::jobs::{admin, wait_for, with_store};
use crate::server::Server;
use crate::small::ENGLISH;

const ACTIVATE: &str = "/v1/models/english/activate";

fn serving(server: &Server) -> String {
    let answer = server.post(&json!({"text": "good"})).json();
    answer["version"].as_str().unwrap().to_owned()
}

#[test]
fn no_request_fails_while_versions_change() {
    let server = with_store(&[]);
    let models = server.room().path("models");
    ENGLISH.publish(&models);
    let done = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let answer = server.post(&json!({"texts": ["good", "bad", "the good"]}));
                    assert_eq!(answer.status, 200, "{}", answer.shown());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for version in ["2", "1", "2", "1", "2"] {
            let before = answered.load(Ordering::Relaxed);
            let body = json!({"version": version});
            let answer = admin(&server, "POST", ACTIVATE, Some(&body));
            assert_eq!(answer.status, 200, "{}", answer.shown());
            assert_eq!(answer.json()["active"], true);
            wait_for(|| answered.load(Ordering::Relaxed) > before + 20);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(serving(&server), "2");
    let active = std::fs::read_to_string(models.join("english/ACTIVE")).unwrap();
    assert_eq!(active.trim(), "2");
    let metrics = server.get("/metrics");
    let shown = metrics
        .text()
        .lines()
        .filter(|l| l.starts_with("sentiment_model_info"));
    assert_eq!(shown.count(), 1, "the version before is gone");
}

#[test]
fn a_damaged_version_is_refused_and_the_one_before_serves_on() {
    let server = with_store(&[]);
    let models = server.room().path("models");
    ENGLISH.publish(&models);
    std::fs::write(models.join("english/2/model.onnx"), "no graph").unwrap();
    let body = json!({"version": "2"});
    let answer = admin(&server, "POST", ACTIVATE, Some(&body));
    assert_eq!(answer.refusal(), (409, "conflict".into()));
    assert!(
        answer.detail().contains("model.onnx"),
        "{}",
        answer.detail()
    );
    assert_eq!(serving(&server), "1");
    let counted = r#"sentiment_activation_failures_total{model="english"} 1"#;
    assert!(server.get("/metrics").text().contains(counted));
    let body = json!({"version": "9"});
    let answer = admin(&server, "POST", ACTIVATE, Some(&body));
    assert_eq!(answer.refusal(), (404, "unknown_model".into()));
    let log = server.stopped();
    assert!(log.contains("the version before it serves on"), "{log}");
}

#[test]
fn every_server_follows_the_registry_and_says_what_it_cannot_load() {
    let first = with_store(&[]);
    let models = first.room().path("models");
    ENGLISH.publish(&models);
    ENGLISH.publish(&models);
    let database = format!(
        "sqlite://{}",
        first.room().path("data/sentiment.db").display()
    );
    let folder = models.to_str().unwrap().to_owned();
    let flags = [
        "--database",
        &database,
        "--models",
        &folder,
        "--poll",
        "20ms",
    ];
    let second = Server::of(crate::program::Room::new(), &flags);
    assert_eq!(serving(&second), "1");
    let body = json!({"version": "2"});
    assert_eq!(admin(&first, "POST", ACTIVATE, Some(&body)).status, 200);
    wait_for(|| serving(&second) == "2");

    // The registry says so, and the bundle has been damaged since it was registered.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let manifest = sentiment::bundle::Manifest::read(&models.join("english/3")).unwrap();
    std::fs::write(models.join("english/3/golden.jsonl"), "").unwrap();
    runtime.block_on(async {
        let store = sentiment::store::Store::new(&database).unwrap();
        let broken = sentiment::store::ActiveVersion {
            name: "english".into(),
            version: 3,
            digest: manifest.digest,
            location: None,
        };
        store.activate(&broken).await.unwrap();
    });
    for server in [&first, &second] {
        wait_for(|| server.get("/readyz").json()["details"][0].is_string());
        let ready = server.get("/readyz");
        assert_eq!(ready.status, 200);
        assert!(ready.text().contains("golden.jsonl"), "{}", ready.shown());
        assert_eq!(serving(server), "2");
        let failures = r#"sentiment_activation_failures_total{model="english"} "#;
        assert!(server.get("/metrics").text().contains(failures));
    }
    // Roll back.
    let body = json!({"version": "1"});
    assert_eq!(admin(&first, "POST", ACTIVATE, Some(&body)).status, 200);
    wait_for(|| serving(&second) == "1" && second.get("/readyz").json()["details"].is_null());
}

#[test]
fn on_postgresql_a_swap_does_not_wait_for_the_next_look() {
    let Some(postgres) = crate::postgres::database() else {
        return;
    };
    let room = crate::program::Room::of(&[ENGLISH]);
    let models = room.path("models");
    ENGLISH.publish(&models);
    let flags = ["--database", &postgres.url, "--poll", "24h"];
    let server = Server::of(room, &flags);
    let digest = sentiment::bundle::Manifest::read(&models.join("english/2"));
    let wanted = sentiment::store::ActiveVersion {
        name: "english".into(),
        version: 2,
        digest: digest.unwrap().digest,
        location: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = {
        let _within = runtime.enter();
        sentiment::store::Store::new(&postgres.url).unwrap()
    };
    // Told again until the server listens: it looks once at its start, and tomorrow.
    wait_for(|| {
        runtime.block_on(store.activate(&wanted)).unwrap();
        serving(&server) == "2"
    });
    let back = sentiment::bundle::Manifest::read(&models.join("english/1"));
    let back = sentiment::store::ActiveVersion {
        version: 1,
        digest: back.unwrap().digest,
        ..wanted
    };
    runtime.block_on(store.activate(&back)).unwrap();
    wait_for(|| serving(&server) == "1");
}
