//! What can be seen of a request from outside: its times, its trace, its line in the log.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::json;

use crate::program::lines;
use crate::server::Server;
use crate::wire::Answer;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SECRET: &str = "zqxjkv";

fn traced(server: &Server, flag: &str) -> Answer {
    let caller = format!("00-{TRACE}-00f067aa0ba902b7-{flag}");
    let headers = [
        ("content-type", "application/json"),
        ("traceparent", caller.as_str()),
        ("x-request-id", "asked"),
    ];
    let body = json!({"text": format!("good {SECRET}")}).to_string();
    server.send("POST", "/v1/sentiment", &headers, Some(body.as_bytes()))
}

#[test]
fn an_answer_says_where_its_time_went() {
    let server = Server::start(&[]);
    for body in [json!({"text": "good"}), json!({"texts": ["good", "최고"]})] {
        let answer = server.post(&body);
        let timing = answer.header("server-timing").unwrap();
        let parts: Vec<(&str, f64)> = timing
            .split(", ")
            .map(|part| part.split_once(";dur=").unwrap())
            .map(|(name, took)| (name, took.parse().unwrap()))
            .collect();
        let names: Vec<&str> = parts.iter().map(|part| part.0).collect();
        assert_eq!(names, ["queue", "encode", "run"]);
        assert!(parts[2].1 > 0.0, "{timing}");
        assert!(parts.iter().all(|part| part.1 >= 0.0), "{timing}");
    }
    let refused = server.post(&json!({"text": ""}));
    assert_eq!(refused.header("server-timing"), None);
}

#[test]
fn the_log_has_the_trace_of_a_request_that_brought_one() {
    let server = Server::start(&["--log-format", "json"]);
    traced(&server, "01");
    server.get("/healthz");
    let log = lines(server.stopped().as_bytes());
    let seen: Vec<_> = log
        .iter()
        .filter(|line| line["target"] == "access")
        .collect();
    assert_eq!(seen.len(), 2, "{log:?}");
    assert_eq!(
        (&seen[0]["request_id"], &seen[0]["trace_id"]),
        (&json!("asked"), &json!(TRACE))
    );
    assert!(seen[1].get("trace_id").is_none(), "{}", seen[1]);
}

#[test]
fn the_line_of_each_request_can_be_left_out() {
    let server = Server::start(&["--no-access-log", "--log-format", "json"]);
    assert_eq!(server.post(&json!({"text": "good"})).status, 200);
    let log = server.stopped();
    assert!(!log.contains("\"access\""), "{log}");
    assert!(log.contains("every request was answered"), "{log}");
}

/// Takes what is posted, until the test ends.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, posted) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            if sender.send((first, body)).is_err() {
                break;
            }
        }
    });
    (address, posted)
}

fn holds(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[test]
fn spans_reach_a_collector_in_their_callers_trace_and_carry_no_text() {
    let (address, posted) = collector();
    let server = Server::start(&["--otlp-endpoint", &address]);
    traced(&server, "01");
    let log = server.stopped();
    let (first, body) = posted.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(first.starts_with("POST /v1/traces "), "{first}");
    let id: Vec<u8> = (0..16)
        .map(|at| u8::from_str_radix(&TRACE[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    assert!(holds(&body, &id), "{log}");
    for part in ["POST /v1/sentiment", "sentiment.run.seconds", "asked"] {
        assert!(holds(&body, part.as_bytes()), "{part}");
    }
    assert!(!holds(&body, SECRET.as_bytes()));
}

#[test]
fn a_trace_that_its_caller_does_not_record_is_not_recorded() {
    let (address, posted) = collector();
    let server = Server::start(&["--otlp-endpoint", &address]);
    traced(&server, "00");
    server.get("/healthz");
    server.stopped();
    let (_, body) = posted.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(holds(&body, b"GET /healthz"));
    assert!(!holds(&body, b"POST /v1/sentiment"));
}

#[test]
fn a_collector_that_is_gone_costs_no_request() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let server = Server::start(&["--otlp-endpoint", &address]);
    assert_eq!(traced(&server, "01").status, 200);
    server.stopped();
}
