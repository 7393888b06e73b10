//! Clients of every kind: hasty ones, half-closed ones, slow ones, and those that speak HTTP/2 from the first byte.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::{Server, gzip};
use crate::wire::head;

const BODY: &str = r#"{"text": "good"}"#;

fn post(headers: &[(&str, &str)]) -> String {
    let json = [("content-type", "application/json")];
    head("POST", "/v1/sentiment", &[&json, headers].concat())
}

fn whole() -> String {
    post(&[("content-length", "16")]) + BODY
}

#[test]
fn requests_sent_ahead_are_answered_in_their_order() {
    let server = Server::start(&[]);
    let mut wire = server.wire();
    let asked: Vec<String> = (0..40)
        .map(|at| match at % 3 {
            0 => whole(),
            1 => head("GET", "/healthz", &[]),
            _ => head("GET", "/nowhere", &[]),
        })
        .collect();
    wire.write(asked.concat());
    for at in 0..40 {
        let method = if at % 3 == 0 { "POST" } else { "GET" };
        let answer = wire.answer(method);
        assert_eq!(answer.status, if at % 3 == 2 { 404 } else { 200 }, "{at}");
        let body = answer.json();
        assert_eq!(body.get("label").is_some(), at % 3 == 0, "{at}: {body}");
    }
}

#[test]
fn a_client_that_closes_its_half_is_let_go_at_once() {
    let server = Server::start(&["--idle-timeout", "1h"]);
    for sent in [whole(), whole()[..40].to_owned(), String::new()] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let patience = Duration::from_secs(60);
        stream.set_read_timeout(Some(patience)).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // It may have its answer, if that is faster; it never keeps the connection.
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let answered = said.starts_with("HTTP/1.1 200 ") && said.contains("positive");
        assert!(said.is_empty() || answered, "{said}");
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_body_in_pieces_and_compressed_is_read_as_one() {
    let server = Server::start(&[]);
    let packed = gzip(BODY.as_bytes());
    for (body, encoding) in [(BODY.as_bytes(), "identity"), (&packed, "gzip")] {
        let mut wire = server.wire();
        let headers = [
            ("transfer-encoding", "chunked"),
            ("content-encoding", encoding),
        ];
        wire.write(post(&headers));
        for piece in body.chunks(3) {
            wire.write_chunk(piece);
        }
        wire.write_chunk("");
        let answer = wire.answer("POST");
        assert_eq!(answer.json()["label"], "positive", "{}", answer.shown());
    }
}

#[test]
fn http_2_is_spoken_with_those_who_begin_with_it() {
    let server = Server::start(&[]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let frame = |kind: u8, flags: u8, id: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, id], payload].concat()
    };
    // Fields without compression: a name from the table or a literal, then the value.
    let literal = |name: &[u8], value: &str| {
        let length = u8::try_from(value.len()).unwrap();
        [name, &[length], value.as_bytes()].concat()
    };
    let fields = [
        vec![0x83, 0x86], // :method POST, :scheme http
        literal(&[0x04], "/v1/sentiment"),
        literal(&[0x01], "localhost"),
        literal(&[0x0f, 0x10], "application/json"),
    ]
    .concat();
    let asked = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 4, 1, &fields),
        frame(0, 1, 1, BODY.as_bytes()),
    ];
    stream.write_all(&asked.concat()).unwrap();
    let (mut status, mut body) = (0, Vec::new());
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).unwrap();
        match head[3] {
            0 => body.extend(payload),
            1 => status = payload[0],
            _ => continue,
        }
        if head[4] & 1 == 1 {
            break;
        }
    }
    // The table's entry for :status 200.
    assert_eq!(status, 0x88);
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["label"], "positive");
}

/// `make test-all` asks for ten thousand.
fn slow_clients() -> usize {
    std::env::var("SLOW_CLIENTS").map_or(300, |count| count.parse().unwrap())
}

#[test]
fn thousands_of_clients_that_send_their_heads_byte_by_byte_keep_nobody_else_waiting() {
    let many = slow_clients();
    let most = (many + 100).to_string();
    let server = Server::start(&["--read-timeout", "5s", "--max-connections", &most]);
    let mut slow: Vec<TcpStream> = Vec::with_capacity(many);
    let mut waited = Duration::ZERO;
    let head = whole();
    for at in 0..many {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(&head.as_bytes()[..1 + at % 20]).unwrap();
        slow.push(stream);
        if at % 50 == 0 {
            let asked = Instant::now();
            assert_eq!(server.post(&json!({"text": "good"})).status, 200);
            waited = waited.max(asked.elapsed());
        }
    }
    // Far less than the slow ones are given.
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    let mut cut_off = 0;
    for mut stream in slow {
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        // One that goes on a little is no better off.
        let _ = stream.write_all(b"x");
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        cut_off += usize::from(
            rest.is_empty()
                && ended.map_or_else(
                    |error| error.kind() == std::io::ErrorKind::ConnectionReset,
                    |_| true,
                ),
        );
    }
    assert_eq!(cut_off, many);
    assert_eq!(server.post(&json!({"text": "good"})).status, 200);
}

#[test]
fn a_client_that_asks_on_and_on_and_never_reads_is_cut_off() {
    let server = Server::start(&["--idle-timeout", "1s"]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let lines = [
        ("content-type", "application/x-ndjson"),
        ("transfer-encoding", "chunked"),
    ];
    stream
        .write_all(head("POST", "/v1/sentiment", &lines).as_bytes())
        .unwrap();
    let line = "\"good\"\n".repeat(1_000);
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    // The answers fill every buffer on their way; then the server stops reading, and then it has had enough.
    let refused = (0..100_000).find_map(|_| stream.write_all(chunk.as_bytes()).err());
    let kind = refused.unwrap().kind();
    let closed = [
        std::io::ErrorKind::BrokenPipe,
        std::io::ErrorKind::ConnectionReset,
    ];
    assert!(closed.contains(&kind), "{kind}");
    assert_eq!(server.get("/healthz").status, 200);
}
