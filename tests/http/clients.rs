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
fn what_follows_a_request_takes_nothing_from_its_answer() {
    let server = Server::start(&[]);
    for last in [&[][..], &[("connection", "close")]] {
        for behind in ["\r\n", "\n", "GET /hea", "NO HTTP\r\n\r\n"] {
            let mut wire = server.wire();
            let length = [("content-length", "16")];
            wire.write(post(&[&length, last].concat()) + BODY + behind);
            let answer = wire.answer("POST");
            assert_eq!(answer.json()["label"], "positive", "{behind:?}");
        }
    }
    // What some clients send behind every body is read past.
    let mut wire = server.wire();
    for _ in 0..3 {
        wire.write(whole() + "\r\n");
        assert_eq!(wire.answer("POST").status, 200);
    }
}

#[test]
fn what_is_no_http_is_told_so() {
    let server = Server::start(&[]);
    let long = "y".repeat(70_000);
    for (sent, status) in [
        ("NO HTTP\r\n\r\n".to_owned(), 400),
        (
            post(&[("content-length", "16"), ("content-length", "17")]),
            400,
        ),
        (head("GET", "/healthz", &[("x", &long)]), 431),
        (head("GET", &format!("/{long}"), &[]), 431),
    ] {
        let mut wire = server.wire();
        wire.write(&sent);
        let answer = wire.answer_head();
        assert_eq!(answer.status, status, "{}", &sent[..40]);
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_client_that_asks_ahead_gets_no_answer_before_it_reads_the_last() {
    let server = Server::start(&[]);
    let before = server.peak_memory();
    let mut wire = server.wire();
    // The pages are a thousand times as long as what asks for them; the end of a head comes never.
    wire.write(head("GET", "/docs", &[]).repeat(3_000) + "GET /hea");
    for _ in 0..50 {
        assert_eq!(wire.answer("GET").status, 200);
    }
    let grown = server.peak_memory() - before;
    assert!(grown < 32 << 20, "{grown}");
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

/// A connection that speaks HTTP/2, by hand and without compression.
struct Frames(TcpStream);

/// The kinds of frames that matter here.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

impl Frames {
    /// With settings of the client's own.
    fn open(server: &Server, settings: &[u8]) -> Self {
        let stream = TcpStream::connect(server.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut frames = Self(stream);
        frames
            .0
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        frames.write(SETTINGS, 0, 0, settings);
        frames
    }

    fn write(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [0, length[0], length[1], kind, flags, 0, 0, 0, stream];
        // One that has been cut off is seen when it reads.
        let _ = self.0.write_all(&[&head, payload].concat());
    }

    /// Begins to ask for sentiments on a stream.
    fn begin(&mut self, stream: u8) {
        // A name from the table or a literal, then the value.
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
        self.write(HEADERS, 4, stream, &fields);
    }

    /// Sends all of a body.
    fn end(&mut self, stream: u8, body: &str) {
        self.write(DATA, 1, stream, body.as_bytes());
    }

    fn post(&mut self, stream: u8) {
        self.begin(stream);
        self.end(stream, BODY);
    }

    /// The next frame: its kind, its flags and what is in it; none once the server has closed.
    fn next(&mut self) -> Option<(u8, u8, Vec<u8>)> {
        let mut head = [0; 9];
        match self.0.read_exact(&mut head) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("{error}"),
            Err(_) => return None,
            Ok(()) => {}
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[3], head[4], payload))
    }

    /// The status's field and the body of the answer on the only stream.
    fn answer(&mut self) -> (u8, Vec<u8>) {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let (kind, flags, payload) = self.next().unwrap();
            match kind {
                DATA => body.extend(payload),
                HEADERS => status = payload[0],
                _ => continue,
            }
            if flags & 1 == 1 {
                return (status, body);
            }
        }
    }

    /// Answers pings and does nothing else until it is cut off.
    fn answer_pings(&mut self) {
        let mut pings = 0;
        while let Some((kind, flags, payload)) = self.next() {
            if kind == PING && flags & 1 == 0 {
                pings += 1;
                assert!(pings < 30, "it is kept for ever");
                self.write(PING, 1, 0, &payload);
            }
        }
    }
}

#[test]
fn http_2_is_spoken_with_those_who_begin_with_it() {
    let server = Server::start(&[]);
    let mut frames = Frames::open(&server, &[]);
    frames.post(1);
    let (status, body) = frames.answer();
    // The table's entry for :status 200.
    assert_eq!(status, 0x88);
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["label"], "positive");
}

#[test]
fn an_http_2_client_that_only_answers_pings_is_let_go() {
    let flags = ["--read-timeout", "500ms", "--idle-timeout", "500ms"];
    let server = Server::start(&flags);
    let mut idle = Frames::open(&server, &[]);
    idle.post(1);
    assert_eq!(idle.answer().0, 0x88);
    idle.answer_pings();
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn an_http_2_client_that_takes_nothing_of_its_answers_is_let_go() {
    let flags = ["--read-timeout", "500ms", "--idle-timeout", "500ms"];
    let server = Server::start(&flags);
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut shut = Frames::open(&server, &[0, 4, 0, 0, 0, 0]);
    for stream in [1, 3, 5] {
        shut.post(stream);
    }
    shut.answer_pings();
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn an_http_2_client_is_not_cut_off_while_the_server_works_for_it() {
    let flags = ["--read-timeout", "1h", "--idle-timeout", "300ms"];
    let server = Server::start(&flags);
    let mut frames = Frames::open(&server, &[]);
    for stream in [1, 3, 5, 7] {
        frames.begin(stream);
        let mut pings = 0;
        // One comes whenever nothing has come for as long as a connection may be idle.
        while pings < 3 {
            let (kind, flags, payload) = frames.next().unwrap();
            if kind == PING && flags & 1 == 0 {
                pings += 1;
                frames.write(PING, 1, 0, &payload);
            }
        }
        frames.end(stream, BODY);
        assert_eq!(frames.answer().1.first(), Some(&b'{'));
    }
}

/// `make test-all` asks for ten thousand.
fn slow_clients() -> usize {
    std::env::var("SLOW_CLIENTS").map_or(300, |count| count.parse().unwrap())
}

#[test]
fn thousands_of_clients_that_send_their_heads_byte_by_byte_keep_nobody_else_waiting() {
    let many = slow_clients();
    let server = Server::start(&["--read-timeout", "5s"]);
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
fn clients_that_ask_for_nothing_make_room_when_all_places_are_taken() {
    let server = Server::start(&["--read-timeout", "1h", "--max-connections", "10"]);
    let mut asking = server.wire();
    asking.write(head("GET", "/healthz", &[]));
    assert_eq!(asking.answer("GET").status, 200);
    let silent: Vec<TcpStream> = (0..30)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    for _ in 0..3 {
        let mut wire = server.wire();
        wire.write(whole());
        assert_eq!(wire.answer("POST").status, 200);
    }
    // Who has asked for something stays.
    asking.write(head("GET", "/healthz", &[]));
    assert_eq!(asking.answer("GET").status, 200);
    drop(silent);
}

#[test]
fn a_client_that_asks_on_and_on_and_never_reads_is_cut_off() {
    let server = Server::start(&["--idle-timeout", "1s"]);
    let before = server.peak_memory();
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
    let grown = server.peak_memory() - before;
    assert!(grown < 32 << 20, "{grown}");
    assert_eq!(server.get("/healthz").status, 200);
}
