//! Training jobs over HTTP: asked for, followed, called off, and their models served.

use serde_json::{Value, json};

use crate::program::Room;
use crate::server::Server;
use crate::shop;
use crate::small::ENGLISH;
use crate::wire::{Answer, head};

pub const TOKEN: &str = "token-zqxjkv-0123456789";
const BEARER: &str = "Bearer token-zqxjkv-0123456789";

/// A server with a database and an administrator.
pub fn with_store(flags: &[&str]) -> Server {
    let room = Room::of(&[ENGLISH]);
    room.write("token", TOKEN);
    let fixed = [
        "--admin-token-file",
        "token",
        "--database",
        "sqlite://data/sentiment.db",
        "--poll",
        "20ms",
    ];
    Server::of(room, &[&fixed[..], flags].concat())
}

/// As the administrator.
pub fn admin(server: &Server, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let headers = [
        ("authorization", BEARER),
        ("content-type", "application/json"),
    ];
    let body = body.map(Value::to_string);
    server.send(method, path, &headers, body.as_ref().map(String::as_bytes))
}

pub fn recipe(epochs: usize) -> Value {
    let room = Room::new();
    shop::write_recipe(&room, &format!("epochs = {epochs}"));
    let mut recipe: sentiment::recipe::Recipe =
        sentiment::recipe::Recipe::load(&room.path("shop.toml")).unwrap();
    // English belongs to the model that is there.
    recipe.default_for.clear();
    serde_json::to_value(recipe).unwrap()
}

fn put_reviews(server: &Server) {
    put_reviews_in(server.room());
}

pub fn put_reviews_in(room: &Room) {
    let reviews = shop::room_with_reviews();
    let text = std::fs::read(reviews.path("shop.tsv")).unwrap();
    room.write("data/shop.tsv", text);
}

/// The events of a job up to its end: names and data.
fn events(server: &Server, id: &str) -> Vec<(String, Value)> {
    let mut wire = server.wire();
    let path = format!("/v1/training/jobs/{id}/events");
    wire.write(head("GET", &path, &[("authorization", BEARER)]));
    let answer = wire.answer("GET");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let mut found = Vec::new();
    for block in answer.text().split("\n\n") {
        let field = |name: &str| {
            let mut lines = block.lines().filter_map(|line| line.strip_prefix(name));
            lines.next().map(str::trim)
        };
        if let (Some(name), Some(data)) = (field("event:"), field("data:")) {
            found.push((name.to_owned(), serde_json::from_str(data).unwrap()));
        }
    }
    found
}

#[test]
fn a_job_is_trained_by_the_server_itself_and_its_model_served() {
    let server = with_store(&["--with-worker", "--train-threads", "1", "--lease", "3s"]);
    put_reviews(&server);
    // Long enough to be looked at while it lasts.
    let mut asked = recipe(800);
    asked["fit"]["batch_size"] = json!(1);
    let body = json!({"recipe": asked, "data": ["shop.tsv"]});
    let answer = admin(&server, "POST", "/v1/training/jobs", Some(&body));
    assert_eq!(answer.status, 202, "{}", answer.shown());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/training/jobs/{id}");
    assert_eq!(answer.header("location"), Some(path.as_str()));

    let events = events(&server, &id);
    let states: Vec<&Value> = events
        .iter()
        .filter(|(name, _)| name == "state")
        .map(|(_, data)| &data["state"])
        .collect();
    assert_eq!(states.last(), Some(&&json!("succeeded")), "{events:?}");
    let of = |wanted: &str| -> Vec<&Value> {
        let events = events.iter().filter(|(name, _)| name == wanted);
        events.map(|(_, data)| data).collect()
    };
    let epochs: Vec<_> = of("epoch")
        .iter()
        .map(|data| data["epoch"].as_u64())
        .collect();
    assert_eq!(epochs, (1..801).map(Some).collect::<Vec<_>>(), "each once");
    let has = |data: &Value, keys: &[&str]| keys.iter().all(|key| data[key].is_number());
    let figures = ["loss", "accuracy", "val_loss", "val_accuracy", "seconds"];
    assert!(
        of("epoch").iter().all(|data| has(data, &figures)),
        "{events:?}"
    );
    let standing = [
        "epoch",
        "epochs",
        "step",
        "steps",
        "loss",
        "accuracy",
        "seconds_left",
    ];
    let training = |data: &&&Value| data["phase"] == "training" && has(data, &standing);
    assert!(
        of("progress").iter().any(|data| training(&data)),
        "{events:?}"
    );

    let job = admin(&server, "GET", &path, None).json();
    assert_eq!(job["version"], "1");
    assert_eq!(job["epochs"].as_array().unwrap().len(), 800);
    let listed = admin(&server, "GET", "/v1/training/jobs?limit=1", None).json();
    assert_eq!(listed["jobs"][0]["id"], id.as_str());

    wait_for(|| {
        let asked = json!({"text": "the box was great", "model": "shop"});
        let answer = server.post(&asked);
        answer.status == 200 && answer.json()["version"] == "1"
    });
    wait_for(|| {
        let metrics = server.get("/metrics");
        metrics
            .text()
            .contains(r#"sentiment_training_jobs{state="succeeded"} 1"#)
            && metrics.text().contains("sentiment_store_up 1")
    });
    for state in ["held", "expired"] {
        let none = format!("sentiment_training_leases{{state=\"{state}\"}} 0");
        wait_for(|| server.get("/metrics").text().contains(&none));
    }
    server.stopped();
}

/// Asks until it is so.
pub fn wait_for(is_so: impl Fn() -> bool) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !is_so() {
        assert!(std::time::Instant::now() < until, "it never came");
    }
}

#[test]
fn what_is_wrong_with_a_request_is_said_before_a_job_is_made() {
    let server = with_store(&[]);
    let mut broken = recipe(1);
    broken["fit"]["epochs"] = json!(0);
    let mut endless = recipe(1);
    endless["fit"]["batch_size"] = json!(1_000_000_000_000_u64);
    let mut huge = recipe(1);
    huge["tokenizer"]["num_words"] = json!(4_000_000_000_u64);
    let mut typo = recipe(1);
    typo["fit"]["epoch"] = json!(1);
    let with_vectors = |file: &str| {
        let mut recipe = recipe(1);
        recipe["layers"][0]["pretrained"] = json!(file);
        recipe
    };
    for (body, part) in [
        (json!({"data": ["a.tsv"]}), "recipe"),
        (json!({"recipe": "none", "data": ["a.tsv"]}), "none"),
        (json!({"recipe": "../token", "data": ["a.tsv"]}), "token"),
        (json!({"recipe": broken, "data": ["a.tsv"]}), "epochs"),
        (json!({"recipe": endless, "data": ["a.tsv"]}), "batch_size"),
        (json!({"recipe": huge, "data": ["a.tsv"]}), "num_words"),
        (json!({"recipe": typo, "data": ["a.tsv"]}), "epoch"),
        (json!({"recipe": recipe(1), "data": []}), "data"),
        (
            json!({"recipe": recipe(1), "data": ["/etc/passwd"]}),
            "--data-dir",
        ),
        (
            json!({"recipe": recipe(1), "data": ["../a.tsv"]}),
            "--data-dir",
        ),
        (json!({"recipe": recipe(1), "data": ["a\0.tsv"]}), "NUL"),
        (
            json!({"recipe": recipe(1), "data": ["http://a/b.tsv"]}),
            "--data-allow",
        ),
        (
            json!({"recipe": with_vectors("/etc/passwd"), "data": ["a.tsv"]}),
            "pretrained",
        ),
        (
            json!({"recipe": with_vectors("../a.vec"), "data": ["a.tsv"]}),
            "--data-dir",
        ),
        (
            json!({"recipe": recipe(1), "data": ["a.tsv", "b.tsv"]}),
            "b.tsv",
        ),
        (json!({"recipe": recipe(1), "data": ["feedback"]}), "shop"),
        (
            json!({"recipe": recipe(1), "data": ["a.tsv"], "forse": true}),
            "forse",
        ),
        (
            json!({"recipe": recipe(1), "data": ["a.tsv"], "max_attempts": 0}),
            "max_attempts",
        ),
    ] {
        let answer = admin(&server, "POST", "/v1/training/jobs", Some(&body));
        assert_eq!(answer.refusal(), (422, "invalid_request".into()), "{body}");
        assert!(
            answer.detail().contains(part),
            "{part:?} in {}",
            answer.detail()
        );
    }
    let none = admin(&server, "GET", "/v1/training/jobs", None).json();
    assert_eq!(none, json!({"jobs": []}));
}

#[test]
fn a_language_that_another_model_serves_is_refused_before_it_is_trained() {
    let server = with_store(&[]);
    let mut claiming = recipe(1);
    claiming["default_for"] = json!(["en"]);
    let mut body = json!({"recipe": claiming, "data": ["shop.tsv"]});
    let answer = admin(&server, "POST", "/v1/training/jobs", Some(&body));
    assert_eq!(answer.refusal(), (409, "conflict".into()));
    assert!(
        answer.detail().contains("\"english\""),
        "{}",
        answer.detail()
    );
    body["activate"] = json!(false);
    let answer = admin(&server, "POST", "/v1/training/jobs", Some(&body));
    assert_eq!(answer.status, 202, "{}", answer.shown());
}

#[test]
fn a_job_that_nobody_works_on_is_seen_in_the_metrics() {
    let server = with_store(&[]);
    let database = format!(
        "sqlite://{}",
        server.room().path("data/sentiment.db").display()
    );
    let body = json!({"recipe": recipe(1), "data": ["shop.tsv"]});
    let answer = admin(&server, "POST", "/v1/training/jobs", Some(&body));
    assert_eq!(answer.status, 202, "{}", answer.shown());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = sentiment::store::Store::new(&database).unwrap();
        let lease = store
            .claim("lost", std::time::Duration::ZERO)
            .await
            .unwrap();
        assert!(lease.is_some());
    });
    wait_for(|| {
        let metrics = server.get("/metrics");
        metrics
            .text()
            .contains(r#"sentiment_training_leases{state="expired"} 1"#)
    });
}

#[test]
fn a_key_that_comes_again_finds_its_job_and_a_cancelled_one_stays_so() {
    let server = with_store(&[]);
    let body = json!({"recipe": recipe(1), "data": ["shop.tsv"]});
    let ask = |body: &Value| {
        let headers = [
            ("authorization", BEARER),
            ("content-type", "application/json"),
            ("idempotency-key", "k1"),
        ];
        let body = body.to_string();
        server.send("POST", "/v1/training/jobs", &headers, Some(body.as_bytes()))
    };
    let first = ask(&body).json();
    assert_eq!(ask(&body).json()["id"], first["id"]);
    let other = json!({"recipe": recipe(2), "data": ["shop.tsv"]});
    assert_eq!(ask(&other).refusal(), (409, "conflict".into()));

    let path = format!("/v1/training/jobs/{}", first["id"].as_str().unwrap());
    for _ in 0..2 {
        let cancelled = admin(&server, "DELETE", &path, None);
        assert_eq!(cancelled.status, 202);
        assert_eq!(cancelled.json()["state"], "cancelled");
    }
    let nobody = format!("/v1/training/jobs/{}", "0".repeat(32));
    for method in ["GET", "DELETE"] {
        let answer = admin(&server, method, &nobody, None);
        assert_eq!(answer.refusal(), (404, "not_found".into()));
    }
    let nowhere = format!("/v1/training/jobs?after={}", "0".repeat(32));
    let answer = admin(&server, "GET", &nowhere, None);
    assert_eq!(answer.refusal(), (422, "invalid_request".into()));
}

#[test]
fn jobs_are_for_administrators_and_need_a_database() {
    let server = with_store(&[]);
    let answer = server.get("/v1/training/jobs");
    assert_eq!(answer.refusal(), (401, "unauthorized".into()));
    let room = Room::of(&[ENGLISH]);
    room.write("token", TOKEN);
    let bare = Server::of(room, &["--admin-token-file", "token"]);
    let answer = admin(&bare, "GET", "/v1/training/jobs", None);
    assert_eq!(answer.refusal(), (503, "store_disabled".into()));
}

#[test]
fn a_server_whose_database_is_down_starts_and_answers_texts() {
    let room = Room::of(&[ENGLISH]);
    room.write("token", TOKEN);
    let flags = [
        "--admin-token-file",
        "token",
        "--database",
        "postgres://nobody@127.0.0.1:1/none",
    ];
    let server = Server::of(room, &flags);
    assert_eq!(server.post(&json!({"text": "good"})).status, 200);
    let answer = admin(&server, "GET", "/v1/training/jobs", None);
    assert_eq!(answer.refusal(), (503, "store_unavailable".into()));
    assert!(answer.header("retry-after").is_some());
    let body = json!({"text": "good", "label": "positive"});
    let headers = [("content-type", "application/json")];
    let body = body.to_string();
    let answer = server.send("POST", "/v1/feedback", &headers, Some(body.as_bytes()));
    assert_eq!(answer.refusal(), (503, "store_unavailable".into()));
    wait_for(|| server.get("/readyz").json()["details"][0].is_string());
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 200);
    assert!(
        server
            .get("/metrics")
            .text()
            .contains("sentiment_store_up 0")
    );
}
