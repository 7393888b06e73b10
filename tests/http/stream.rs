//! Lines in, lines out, while the body is still being sent.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::program::Room;
use crate::server::{Server, gzip};
use crate::small::{ENGLISH, KOREAN};
use crate::wire::{Answer, Wire, head};

const KIND: (&str, &str) = ("content-type", "application/x-ndjson");

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.shown());
    let lines = answer.text().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn ask(server: &Server, query: &str, body: impl AsRef<[u8]>) -> Vec<Value> {
    let path = format!("/v1/sentiment{query}");
    lines(&server.send("POST", &path, &[KIND], Some(body.as_ref())))
}

/// A connection on which lines can be sent one after another.
fn opened(server: &Server) -> Wire {
    let mut wire = server.wire();
    let headers = [KIND, ("transfer-encoding", "chunked")];
    wire.write(head("POST", "/v1/sentiment", &headers));
    wire
}

fn next(wire: &mut Wire) -> Value {
    serde_json::from_slice(&wire.chunk().unwrap()).unwrap()
}

#[test]
fn a_line_is_answered_before_the_next_is_sent() {
    let server = Server::start(&[]);
    let mut wire = opened(&server);
    wire.write_chunk("\"great\"\n");
    let head = wire.answer_head();
    assert_eq!(head.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(next(&mut wire)["label"], "positive");
    wire.write_chunk("{\"id\": \"b\", \"te");
    wire.write_chunk("xt\": \"최악\"}\r\n\n");
    let second = next(&mut wire);
    assert_eq!(
        (&second["id"], &second["model"]),
        (&json!("b"), &json!("korean"))
    );
    // The last line needs no end.
    wire.write_chunk("\"awful\"");
    wire.write_chunk("");
    assert_eq!(next(&mut wire)["label"], "negative");
    assert_eq!(wire.chunk(), None);
}

#[test]
fn a_compressed_line_is_answered_before_the_next_is_sent() {
    let server = Server::start(&[]);
    let mut wire = server.wire();
    let headers = [
        KIND,
        ("transfer-encoding", "chunked"),
        ("content-encoding", "gzip"),
    ];
    wire.write(head("POST", "/v1/sentiment", &headers));
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    for (line, label) in [("\"great\"\n", "positive"), ("\"awful\"\n", "negative")] {
        packed.write_all(line.as_bytes()).unwrap();
        packed.flush().unwrap();
        wire.write_chunk(std::mem::take(packed.get_mut()));
        if label == "positive" {
            wire.answer_head();
        }
        assert_eq!(next(&mut wire)["label"], label);
    }
    // What was whole before it broke off is answered too.
    packed.write_all(b"\"great\"\n\"gre").unwrap();
    packed.flush().unwrap();
    wire.write_chunk(packed.get_ref());
    wire.write_chunk("");
    assert_eq!(next(&mut wire)["label"], "positive");
    assert_eq!(next(&mut wire)["error"]["code"], "malformed_json");
}

#[test]
fn many_lines_keep_their_order_and_answers_are_those_of_a_list() {
    let server = Server::start(&["--queue", "16", "--max-items", "5000"]);
    let words = [
        "great",
        "bad it",
        "the love was",
        "최고",
        "별로 배송",
        "unheard of",
    ];
    let texts: Vec<String> = (0..3_000)
        .map(|at| [words[at % 6], words[at % 5]].join(" "))
        .collect();
    let body: String = texts
        .iter()
        .enumerate()
        .map(|(at, text)| json!({"id": at.to_string(), "text": text}).to_string() + "\n")
        .collect();
    for (headers, body) in [
        (vec![KIND], body.clone().into_bytes()),
        (
            vec![KIND, ("content-encoding", "gzip")],
            gzip(body.as_bytes()),
        ),
    ] {
        let answer = server.send("POST", "/v1/sentiment", &headers, Some(&body));
        let found = lines(&answer);
        assert_eq!(found.len(), texts.len());
        for (at, found) in found.iter().enumerate() {
            assert_eq!(found["id"], at.to_string());
        }
        for (text, found) in texts.iter().zip(&found).take(12) {
            let alone = server.post(&json!({"text": text})).json();
            assert_eq!(found["tokens"], alone["tokens"]);
            let difference = found["score"].as_f64().unwrap() - alone["score"].as_f64().unwrap();
            assert!(difference.abs() < 1e-5, "{found} {alone}");
        }
    }
}

#[test]
fn a_bad_line_has_its_error_in_its_place() {
    let server = Server::start(&["--max-characters", "10"]);
    let long = "x".repeat(11);
    let longer = "y".repeat(10_000);
    let body = format!(
        "\"great\"\n{{\"text\": \"bad\"\n\"\"\n[\"good\"]\n{{\"id\":\"e\",\"text\":\"{long}\"}}\n\"{longer}\"\n\
         {{\"text\":\"bon\",\"language\":\"fr\"}}\n{{\"txt\":\"secret\"}}\n\"good\"\n"
    );
    let found = ask(&server, "", body);
    let fates: Vec<&str> = found
        .iter()
        .map(|line| {
            line["label"]
                .as_str()
                .or(line["error"]["code"].as_str())
                .unwrap()
        })
        .collect();
    assert_eq!(
        fates,
        [
            "positive",
            "malformed_json",
            "empty_text",
            "invalid_request",
            "text_too_long",
            "text_too_long",
            "unsupported_language",
            "invalid_request",
            "positive",
        ]
    );
    assert_eq!(
        (&found[4]["index"], &found[4]["id"]),
        (&json!(4), &json!("e"))
    );
    assert!(!found[7].to_string().contains("secret"), "{}", found[7]);
}

#[test]
fn options_are_in_the_query_and_unknown_ones_are_refused() {
    let server = Server::start(&[]);
    let both = "great 최고";
    let found = ask(&server, "?model=english", json!(both).to_string());
    assert_eq!(found[0]["model"], "english");
    let body = format!(
        "{}\n{}",
        json!(both),
        json!({"text": both, "language": "ko"})
    );
    let models: Vec<Value> = ask(&server, "?language=en", body)
        .iter()
        .map(|line| line["model"].clone())
        .collect();
    assert_eq!(models, ["english", "korean"]);
    let answer = server.send(
        "POST",
        "/v1/sentiment?modle=korean",
        &[KIND],
        Some(b"\"great\""),
    );
    assert_eq!(answer.refusal(), (422, "invalid_request".to_owned()));
    assert!(answer.detail().contains("modle"), "{}", answer.detail());
    assert!(ask(&server, "", "").is_empty());
}

#[test]
fn a_client_that_sends_nothing_more_reads_a_last_line() {
    let server = Server::start(&["--idle-timeout", "300ms"]);
    let mut wire = opened(&server);
    wire.write_chunk("\"great\"\n");
    wire.answer_head();
    assert_eq!(next(&mut wire)["label"], "positive");
    assert_eq!(next(&mut wire)["error"]["code"], "request_timeout");
    assert_eq!(wire.chunk(), None);
}

#[test]
fn a_server_that_stops_says_so_in_the_last_line() {
    let server = Server::of(Room::of(&[ENGLISH, KOREAN]), &["--lame-duck", "300ms"]);
    let mut wire = opened(&server);
    wire.write_chunk("\"great\"\n");
    wire.answer_head();
    assert_eq!(next(&mut wire)["label"], "positive");
    server.signal("TERM");
    assert_eq!(next(&mut wire)["error"]["code"], "draining");
    assert_eq!(wire.chunk(), None);
    let (status, log) = server.ended();
    assert!(status.success(), "{log}");
    assert!(!log.contains("great"), "{log}");
}

#[test]
fn an_id_is_no_longer_than_it_may_be() {
    let server = Server::start(&[]);
    let line = |length: usize| json!({"id": "x".repeat(length), "text": "great"});
    let body = format!("{}\n{}\n", line(1024), line(1025));
    let found = ask(&server, "", body);
    assert_eq!(found[0]["id"], "x".repeat(1024));
    assert_eq!(found[1]["error"]["code"], "invalid_request");
    let answer = server.post(&json!({"reviews": [line(1025)]}));
    assert_eq!(answer.refusal(), (422, "invalid_request".to_owned()));
    assert!(
        answer.detail().contains("reviews[0].id"),
        "{}",
        answer.detail()
    );
}

#[test]
fn long_lines_under_way_are_not_kept() {
    let server = Server::start(&["--max-characters", "100000"]);
    // Escaped, a text of 100,000 characters is a line of 1,200,000 bytes.
    let text = "\\ud83d\\ude00".repeat(99_990);
    let line = format!("\"great {text}\"\n");
    let body = gzip(line.repeat(80).as_bytes());
    let headers = [KIND, ("content-encoding", "gzip")];
    let found = lines(&server.send("POST", "/v1/sentiment", &headers, Some(&body)));
    assert_eq!(found.len(), 80);
    let peak = server.peak_memory() >> 20;
    assert!(peak < 120, "{peak} MiB");
}
