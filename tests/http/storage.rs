//! Models that go from a worker through S3 to servers that share nothing else but the database.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::jobs::{TOKEN, admin, put_reviews_in, recipe, wait_for};
use crate::program::{self, Room};
use crate::s3::S3;
use crate::server::Server;
use crate::small::ENGLISH;

const JOBS: &str = "/v1/training/jobs";
const ACTIVATE: &str = "/v1/models/shop/activate";

/// A worker's machine, with the database.
struct Workshop {
    s3: S3,
    room: Room,
}

impl Workshop {
    fn new() -> Self {
        let room = Room::new();
        put_reviews_in(&room);
        Self {
            s3: S3::start(),
            room,
        }
    }

    fn shared(&self) -> [String; 4] {
        let database = self.room.path("data/sentiment.db");
        let database = format!("sqlite://{}", database.display());
        [
            "--database".into(),
            database,
            "--model-store".into(),
            self.s3.url(),
        ]
    }

    /// On a machine with an English model and nothing else.
    fn server(&self) -> Server {
        self.server_with(&[])
    }

    fn server_with(&self, more: &[&str]) -> Server {
        let room = Room::of(&[ENGLISH]);
        room.write("token", TOKEN);
        let shared = self.shared();
        let mut flags: Vec<&str> = shared.iter().map(String::as_str).collect();
        flags.extend(["--admin-token-file", "token", "--poll", "20ms"]);
        flags.extend(more);
        let mut command = room.serve(&flags);
        self.s3.tell(&mut command);
        Server::started(room, command)
    }

    fn command(&self, args: &[&str]) -> Command {
        let shared = self.shared();
        let mut all = args.to_vec();
        all.extend(shared.iter().map(String::as_str));
        let mut command = self.room.command(&all);
        self.s3.tell(&mut command);
        command
    }

    fn worker(&self) -> Child {
        let mut command = self.command(&["worker", "--once", "--poll", "20ms"]);
        command.env("SENTIMENT_TRAIN_THREADS", "1");
        command.stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What the worker says of a job that it finishes.
    fn work(&self) -> String {
        let done = self.worker().wait_with_output().unwrap();
        let said = program::stderr(&done);
        assert!(done.status.success(), "{said}");
        said
    }

    /// The one bundle of a version, in the bucket.
    fn bundle(&self, version: &str) -> PathBuf {
        let place = self.s3.objects().join("shop").join(version);
        let mut found = std::fs::read_dir(&place).unwrap();
        let only = found.next().unwrap().unwrap().path();
        assert!(found.next().is_none(), "two bundles in {}", place.display());
        only
    }
}

fn ask(server: &Server, change: impl FnOnce(&mut Value)) -> String {
    let mut body = json!({"recipe": recipe(2), "data": ["shop.tsv"], "force": true});
    change(&mut body);
    let answer = admin(server, "POST", JOBS, Some(&body));
    assert_eq!(answer.status, 202, "{}", answer.shown());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn state(server: &Server, id: &str) -> Value {
    admin(server, "GET", &format!("{JOBS}/{id}"), None).json()
}

/// The version that answers, if one does.
fn serving(server: &Server) -> Option<String> {
    let answer = server.post(&json!({"text": "a great box", "model": "shop"}));
    let version = answer.json()["version"].as_str().map(str::to_owned);
    (answer.status == 200).then_some(version?)
}

fn activate(server: &Server, version: &str) -> crate::wire::Answer {
    admin(server, "POST", ACTIVATE, Some(&json!({"version": version})))
}

#[test]
fn a_model_goes_from_a_job_through_s3_to_every_server() {
    let shop = Workshop::new();
    let (first, second) = (shop.server(), shop.server());
    let id = ask(&first, |_| {});
    shop.work();
    assert_eq!(state(&first, &id)["state"], "succeeded");
    for server in [&first, &second] {
        wait_for(|| serving(server).as_deref() == Some("1"));
        assert!(server.room().path("models/shop/1/manifest.json").is_file());
        let up = "sentiment_model_store_up 1";
        assert!(server.get("/metrics").text().contains(up));
    }
    // The worker keeps no copy: what is served came through the storage.
    assert!(!shop.room.path("models/shop").exists());
    assert!(shop.bundle("1").join("manifest.json").is_file());

    ask(&second, |body| body["seed"] = 7.into());
    shop.work();
    for server in [&first, &second] {
        wait_for(|| serving(server).as_deref() == Some("2"));
    }
    assert_eq!(activate(&second, "1").status, 200);
    wait_for(|| serving(&first).as_deref() == Some("1"));

    // A server that comes later finds everything, and a version that only one machine had comes to all of them.
    let third = shop.server_with(&["--default-model", "shop"]);
    wait_for(|| serving(&third).as_deref() == Some("1"));
    let wordless = third.post(&json!({"text": "10 / 10"})).json();
    assert_eq!(wordless["model"], "shop", "{wordless}");
    wait_for(|| third.get("/readyz").status == 200);
    ENGLISH.publish(&first.room().path("models"));
    let body = json!({"version": "2"});
    let answer = admin(&first, "POST", "/v1/models/english/activate", Some(&body));
    assert_eq!(answer.status, 200, "{}", answer.shown());
    let english = |server: &Server| server.post(&json!({"text": "good"})).json()["version"].clone();
    wait_for(|| english(&second) == "2" && english(&third) == "2");

    let output = shop.command(&["models", "list"]).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{listed}");
    for line in ["shop@1", "shop@2", "english@2"] {
        assert!(listed.contains(line), "{listed}");
    }
    let output = shop
        .command(&["models", "show", "shop@2"])
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("version      2\n"), "{shown}");
    let output = shop
        .command(&["models", "activate", "shop@2"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", program::stderr(&output));
    for server in [&first, &second, &third] {
        wait_for(|| serving(server).as_deref() == Some("2"));
    }
}

#[test]
fn a_storage_that_is_away_is_waited_for_while_everything_serves_on() {
    let mut shop = Workshop::new();
    let server = shop.server();
    ask(&server, |_| {});
    shop.work();
    wait_for(|| serving(&server).as_deref() == Some("1"));

    shop.s3.stop();
    let id = ask(&server, |body| {
        body["seed"] = 7.into();
        body["activate"] = false.into();
    });
    let worker = shop.worker();
    wait_for(|| state(&server, &id)["progress"]["phase"] == "storing");
    shop.s3.go_on();
    let done = worker.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", program::stderr(&done));
    let job = state(&server, &id);
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(0)),
        "{job}"
    );
    shop.bundle("2");
    // It serves nowhere and can be looked at all the same.
    let path = "/v1/models/shop/versions/2";
    let shown = server.get(path).json();
    assert_eq!(
        (&shown["active"], &shown["version"]),
        (&json!(false), &json!("2"))
    );
    assert_eq!(shown["versions"], json!(["1", "2"]));
    let curves = server.get(&format!("{path}/curves.svg"));
    assert!(curves.text().starts_with("<svg"), "{}", curves.shown());
    assert_eq!(server.get("/v1/models/shop/versions/3").status, 404);

    shop.s3.stop();
    let answer = activate(&server, "2");
    assert_eq!(answer.refusal(), (503, "store_unavailable".into()));
    assert!(answer.header("retry-after").is_some());
    // Another server, or a person at a prompt, activates it: this one hears of it and cannot fetch it.
    let output = shop
        .command(&["models", "activate", "shop@2"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", program::stderr(&output));
    wait_for(|| server.get("/readyz").json()["details"][0].is_string());
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("model storage"), "{}", ready.shown());
    let metrics = server.get("/metrics");
    assert!(metrics.text().contains("sentiment_model_store_up 0"));
    assert_eq!(serving(&server).as_deref(), Some("1"));

    shop.s3.go_on();
    wait_for(|| serving(&server).as_deref() == Some("2"));
    wait_for(|| server.get("/readyz").json()["details"].is_null());
    let metrics = server.get("/metrics");
    assert!(metrics.text().contains("sentiment_model_store_up 1"));
    let log = server.stopped();
    assert!(log.contains("model storage"), "{log}");
}

#[test]
fn damaged_and_missing_objects_are_refused_by_name() {
    let shop = Workshop::new();
    let server = shop.server();
    ask(&server, |_| {});
    for seed in [7, 8, 9] {
        ask(&server, |body| {
            body["seed"] = seed.into();
            body["activate"] = false.into();
        });
    }
    shop.work();
    wait_for(|| serving(&server).as_deref() == Some("1"));
    std::fs::write(shop.bundle("2").join("golden.jsonl"), "{}").unwrap();
    std::fs::remove_file(shop.bundle("3").join("model.onnx")).unwrap();
    let path = shop.bundle("4").join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"seed\": 9", "\"seed\": 1", 1)).unwrap();
    for (version, part) in [
        ("2", "golden.jsonl"),
        ("3", "model.onnx"),
        ("4", "manifest.json"),
    ] {
        let answer = activate(&server, version);
        assert_eq!(answer.refusal(), (409, "conflict".into()), "{version}");
        let detail = answer.detail();
        assert!(detail.contains(part), "{detail}");
        let place = server.room().path(&format!("models/shop/{version}"));
        assert!(!place.exists(), "{version} came into its place");
    }
    assert_eq!(serving(&server).as_deref(), Some("1"));
}
