//! How a server ends: what is under way is answered, and it ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::json;

use crate::contract::check;
use crate::jobs::{admin, recipe, with_store};
use crate::program::{Room, signal};
use crate::server::Server;
use crate::small::{ENGLISH, KOREAN};
use crate::wire::{Wire, head};

const BODY: &str = r#"{"text": "good"}"#;

/// A request whose handler waits for the second half of its body.
fn under_way(server: &Server) -> Wire {
    let mut wire = server.wire();
    let length = BODY.len().to_string();
    let headers = [
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
        ("expect", "100-continue"),
    ];
    wire.write(head("POST", "/v1/sentiment", &headers));
    assert_eq!(wire.answer("POST").status, 100);
    wire.write(&BODY[..7]);
    wire
}

fn assert_answered(mut wire: Wire) {
    let answer = wire.answer("POST");
    check("POST", "/v1/sentiment", &answer);
    assert_eq!(answer.status, 200, "{}", answer.shown());
    assert_eq!(answer.json()["label"], "positive");
    assert!(wire.is_closed());
}

#[test]
fn a_request_under_way_is_answered_before_the_end() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&["--drain", "1h"]);
        let mut wire = under_way(&server);
        server.signal(signal);
        server.logged(&format!("SIG{signal}"));
        wire.write(&BODY[7..]);
        assert_answered(wire);
        let (status, log) = server.ended();
        assert!(status.success(), "{status}\n{log}");
        assert!(log.contains("every request was answered"), "{log}");
    }
}

#[test]
fn a_request_sent_before_the_signal_is_answered_though_nobody_had_read_it_yet() {
    let mut server = Server::start(&["--drain", "1h"]);
    let mut idle = server.wire();
    idle.write(head("GET", "/healthz", &[]));
    assert_eq!(idle.answer("GET").status, 200);
    server.signal("STOP");
    let length = BODY.len().to_string();
    let headers = [
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
    ];
    let request = head("POST", "/v1/sentiment", &headers) + BODY;
    // The system takes connections and bytes for a program that does not run.
    let mut wires: Vec<Wire> = (0..20).map(|_| server.wire()).collect();
    wires.push(idle);
    for wire in &mut wires {
        wire.write(&request);
    }
    server.signal("TERM");
    server.signal("CONT");
    for wire in wires {
        assert_answered(wire);
    }
    server.logged("every request was answered");
    assert!(server.ended().0.success());
}

#[test]
fn a_request_that_outlasts_the_drain_is_cut_off() {
    let server = Server::start(&["--drain", "200ms", "--read-timeout", "1h"]);
    let mut wire = under_way(&server);
    server.signal("TERM");
    assert!(wire.is_closed());
    let (status, log) = server.ended();
    assert!(status.success(), "{status}\n{log}");
    assert!(log.contains("cut off"), "{log}");
}

#[test]
fn while_it_is_a_lame_duck_it_answers_and_says_that_it_is_not_ready() {
    let mut server = Server::start(&["--lame-duck", "1h"]);
    assert_eq!(server.get("/readyz").header("connection"), None);
    server.signal("TERM");
    server.logged("shutting down");
    let mut tries = 0..10_000;
    let answer = loop {
        tries.next().unwrap();
        let answer = server.get("/readyz");
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(answer.refusal(), (503, "draining".into()));
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(
        answer.json()["reasons"],
        json!(["the server is shutting down"])
    );
    assert_eq!(server.get("/healthz").status, 200);
    let answer = server.post(&json!({"text": "good"}));
    assert_eq!(answer.status, 200);
    // So that a client's next request goes to another server.
    assert_eq!(answer.header("connection"), Some("close"));

    server.signal("TERM");
    let (status, log) = server.ended();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("a second signal"), "{log}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(&["--drain", "1h", "--read-timeout", "1h"]);
    let mut wire = under_way(&server);
    server.signal("INT");
    server.logged("shutting down");
    server.signal("INT");
    assert!(wire.is_closed());
    assert_eq!(server.ended().0.code(), Some(1));
}

#[test]
fn clients_that_say_nothing_do_not_keep_it() {
    let mut server = Server::start(&[
        "--drain",
        "1h",
        "--read-timeout",
        "1h",
        "--idle-timeout",
        "1h",
    ]);
    let silent = server.wire();
    let mut idle = server.wire();
    idle.write(head("GET", "/healthz", &[]));
    assert_eq!(idle.answer("GET").status, 200);
    server.signal("TERM");
    server.logged("every request was answered");
    assert!(server.ended().0.success());
    drop((silent, idle));
}

#[test]
fn a_training_that_hangs_in_a_system_call_does_not_keep_it() {
    let server = with_store(&["--with-worker", "--train-threads", "1", "--drain", "200ms"]);
    let pipe = server.room().path("data/shop.tsv");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let body = json!({"recipe": recipe(1), "data": ["shop.tsv"]});
    let answer = admin(&server, "POST", "/v1/training/jobs", Some(&body));
    assert_eq!(answer.status, 202, "{}", answer.shown());
    // Opened as soon as the worker reads, which then waits for a line that never comes.
    let writes = std::fs::File::options().write(true).open(&pipe).unwrap();
    server.signal("TERM");
    let (status, log) = server.ended();
    assert!(status.success(), "{status}\n{log}");
    assert!(log.contains("background work was cut off"), "{log}");
    drop(writes);
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_answers_nor_the_end() {
    let room = Room::of(&[ENGLISH, KOREAN]);
    let mut child = room
        .serve(&["--lame-duck", "1h"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on http://") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0);
    }
    let address = line
        .trim()
        .rsplit_once("http://")
        .unwrap()
        .1
        .parse()
        .unwrap();
    let mut wire = Wire::connect(address);
    let asked = head("GET", "/healthz", &[]).repeat(100);
    // Far more lines than a pipe holds.
    for _ in 0..50 {
        wire.write(&asked);
        for _ in 0..100 {
            assert_eq!(wire.answer("GET").status, 200);
        }
    }
    signal(child.id(), "TERM");
    // On connections of their own: the answer that is given as the signal comes may be its connection's last.
    let draining = || {
        let mut wire = Wire::connect(address);
        wire.write(head("GET", "/readyz", &[]));
        wire.answer("GET").status == 503
    };
    while !draining() {}
    signal(child.id(), "TERM");
    let (sender, ended) = channel();
    std::thread::spawn(move || sender.send(child.wait().unwrap()));
    let status = ended.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(status.code(), Some(1));
    drop(log);
}

#[test]
fn a_client_that_leaves_before_its_answer_is_seen_as_such() {
    let mut server = Server::start(&["--max-characters", "100000000"]);
    // To take so many words apart takes longer than to leave.
    let body = json!({"text": "good ".repeat(1 << 20)}).to_string();
    let length = body.len().to_string();
    let headers = [
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
    ];
    let mut wire = server.wire();
    wire.write(head("POST", "/v1/sentiment", &headers) + &body);
    drop(wire);
    let line = server.logged("client_gone");
    assert!(
        line.contains("/v1/sentiment") && line.contains("499"),
        "{line}"
    );
    let metrics = server.get("/metrics");
    let counted = r#"http_server_request_duration_seconds_count{method="POST",route="/v1/sentiment",status="499"} 1"#;
    assert!(metrics.text().contains(counted), "{}", metrics.text());
    assert!(metrics.text().contains("http_server_active_requests 1\n"));
}
