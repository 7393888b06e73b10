//! What a request may cost, and what becomes of those that ask for more.

use serde_json::{Value, json};

use crate::contract;
use crate::program::Room;
use crate::server::{Server, gzip};
use crate::small::ENGLISH;
use crate::wire::head;

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_body_over_the_limit_is_refused_however_it_comes() {
    let server = Server::start(&["--max-body", "1000"]);
    let refusal = (413, "body_too_large".to_owned());
    let body = |size: usize| {
        let body = json!({"text": "good", "language": "en"}).to_string();
        body.clone() + &" ".repeat(size - body.len())
    };
    assert_eq!(server.post_text(body(1000)).status, 200);
    assert_eq!(server.post_text(body(1001)).refusal(), refusal);
    assert_eq!(server.post_text(body(3000)).refusal(), refusal);

    let squeezed = |size: usize| {
        let body = gzip(body(size).as_bytes());
        let headers = [JSON, ("content-encoding", "gzip")];
        server.send("POST", "/v1/sentiment", &headers, Some(&body))
    };
    assert_eq!(squeezed(1000).status, 200);
    assert_eq!(squeezed(1001).refusal(), refusal);
    assert_eq!(squeezed(1 << 20).refusal(), refusal);

    let chunked = [JSON, ("transfer-encoding", "chunked")];
    let chunks = format!("400\r\n{}\r\n0\r\n\r\n", body(0x400));
    let answer = server.raw("POST", "/v1/sentiment", &chunked, chunks);
    assert_eq!(answer.refusal(), refusal);

    // A client that asks first is told before it sends anything.
    let headers = [JSON, ("content-length", "1001"), ("expect", "100-continue")];
    let answer = server.raw("POST", "/v1/sentiment", &headers, "");
    assert_eq!(answer.refusal(), refusal);
}

#[test]
fn who_is_still_writing_hears_why_its_request_is_refused() {
    let room = Room::of(&[ENGLISH]);
    let key = "a-key-of-the-shop";
    let keys = room.write("keys", key);
    let server = Server::of(room, &["--api-key-file", keys.to_str().unwrap()]);
    let text = ("content-type", "text/plain");
    let bearer = format!("Bearer {key}");
    let known = ("authorization", bearer.as_str());
    let many = vec![b'x'; 12 << 20];
    let length = many.len().to_string();
    let length = ("content-length", length.as_str());
    for (method, path, headers, refusal) in [
        (
            "POST",
            "/v1/sentiment",
            [known, text],
            (415, "unsupported_media_type"),
        ),
        (
            "POST",
            "/v1/sentiment",
            [known, JSON],
            (413, "body_too_large"),
        ),
        ("POST", "/v1/sentiment", [JSON, JSON], (401, "unauthorized")),
        ("POST", "/nowhere", [known, JSON], (404, "not_found")),
        (
            "PUT",
            "/v1/sentiment",
            [known, JSON],
            (405, "method_not_allowed"),
        ),
    ] {
        let headers = [&[length][..], &headers].concat();
        // It writes all of it before it reads anything.
        let answer = server.raw(method, path, &headers, &many);
        assert_eq!(
            answer.refusal(),
            (refusal.0, refusal.1.into()),
            "{method} {path}"
        );
    }
}

#[test]
fn who_writes_no_more_before_its_answer_hears_at_once_that_it_is_refused() {
    // Bodies have longer than this client waits.
    let server = Server::start(&["--read-timeout", "1h"]);
    let lines = [
        ("content-type", "application/x-ndjson"),
        ("transfer-encoding", "chunked"),
    ];
    for (path, status) in [("/nowhere", 404), ("/v1/sentiment?nonsense=1", 422)] {
        let mut wire = server.wire();
        wire.write(head("POST", path, &lines));
        wire.write_chunk("\"good\"\n");
        assert_eq!(wire.answer("POST").status, status, "{path}");
    }
}

#[test]
fn a_small_body_that_unpacks_to_a_huge_one_is_refused() {
    let server = Server::start(&[]);
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    let headers = [JSON, ("content-encoding", "gzip")];
    let answer = server.send("POST", "/v1/sentiment", &headers, Some(&bomb));
    assert_eq!(answer.refusal(), (413, "body_too_large".into()));
}

#[test]
fn many_small_bodies_that_unpack_to_millions_of_texts_do_not_fill_the_memory() {
    let server = Server::start(&[]);
    let texts = "\"\",".repeat(2 << 20);
    let bomb = gzip(format!("{{\"texts\": [{texts}\"\"]}}").as_bytes());
    let headers = [JSON, ("content-encoding", "gzip")];
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let answer = server.send("POST", "/v1/sentiment", &headers, Some(&bomb));
                assert_eq!(answer.refusal(), (422, "too_many_items".into()));
            });
        }
    });
    let peak = server.peak_memory() >> 20;
    assert!(peak < 250, "{peak} MiB");
}

#[test]
fn bodies_that_never_end_hold_no_more_together_than_they_may() {
    let server = Server::start(&["--max-held", "2000000"]);
    let length = (1 << 20).to_string();
    let begin = |encoding: (&str, &str)| {
        let mut wire = server.wire();
        let headers = [JSON, ("content-length", length.as_str()), encoding];
        wire.write(head("POST", "/v1/sentiment", &headers));
        wire.write(" ".repeat((1 << 20) - 1));
        wire
    };
    let plain = ("content-encoding", "identity");
    // As soon as a first is held a second is too much; what it sends is read on, and then it is told.
    let together = (0..1_000).find_map(|_| {
        let (first, mut second) = (begin(plain), begin(plain));
        second.write(" ");
        let answer = second.answer("POST");
        (answer.status == 503).then_some((first, answer))
    });
    let (mut first, refused) = together.expect("two bodies are more than may be held");
    assert_eq!(refused.refusal(), (503, "overloaded".into()));
    contract::check("POST", "/v1/sentiment", &refused);
    first.write(" ");
    assert_eq!(
        first.answer("POST").refusal(),
        (400, "malformed_json".into())
    );
    // Nothing is held for long.
    for _ in 0..4 {
        let mut wire = begin(plain);
        wire.write(" ");
        assert_eq!(wire.answer("POST").refusal().0, 400);
    }
    // Lines count too.
    let server = Server::start(&["--max-held", "100000"]);
    let mut wire = server.wire();
    let lines = [
        ("content-type", "application/x-ndjson"),
        ("content-length", "200000"),
    ];
    wire.write(head("POST", "/v1/sentiment", &lines));
    wire.write("x".repeat(200_000));
    wire.answer_head();
    let last: Value = serde_json::from_slice(&wire.chunk().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "overloaded");
    assert_eq!(wire.chunk(), None);
}

#[test]
fn a_long_name_is_not_repeated_for_every_text() {
    let server = Server::start(&[]);
    let long = "\u{7f}".repeat(1 << 20);
    for (field, code) in [
        ("model", "unknown_model"),
        ("language", "unsupported_language"),
    ] {
        let mut body = json!({"texts": vec!["good"; 1000]});
        body[field] = json!(long);
        let answer = server.post(&body);
        assert_eq!(answer.status, 200);
        assert!(answer.body.len() < 200_000, "{}", answer.body.len());
        let results = answer.json()["results"].clone();
        let codes = results.as_array().unwrap().iter();
        assert!(
            codes
                .map(|result| &result["error"]["code"])
                .all(|found| found == code)
        );
        let mut body = json!({"text": "good"});
        body[field] = json!(long);
        assert!(server.post(&body).body.len() < 1000);
    }
}

#[test]
fn more_texts_than_the_limit_are_refused() {
    let server = Server::start(&["--max-items", "3"]);
    assert_eq!(
        server.post(&json!({"texts": ["good", "", "bad"]})).status,
        200
    );
    let answer = server.post(&json!({"texts": ["good", "", "bad", ""]}));
    assert_eq!(answer.refusal(), (422, "too_many_items".into()));
    let detail = answer.detail();
    assert!(detail.contains('4') && detail.contains('3'), "{detail}");
    let review = json!({"text": "good"});
    let answer = server.post(&json!({"reviews": vec![&review; 4]}));
    assert_eq!(answer.refusal(), (422, "too_many_items".into()));
}

#[test]
fn a_request_that_finds_no_place_for_all_of_its_texts_is_turned_away() {
    let mut server = Server::start(&["--queue", "2"]);
    assert_eq!(
        server.post(&json!({"texts": ["good", "bad", ""]})).status,
        200
    );
    // Two places in each model's queue.
    let mixed = json!({"texts": ["good", "bad", "최고", "최악"]});
    assert_eq!(server.post(&mixed).status, 200);
    for body in [
        json!({"texts": ["good", "bad", "good"]}),
        json!({"texts": ["최고", "good", "bad", "good"]}),
    ] {
        let answer = server.post(&body);
        assert_eq!(answer.refusal(), (503, "overloaded".into()));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // Nothing of a request that was turned away keeps a place.
    assert_eq!(server.post(&mixed).status, 200);
    server.signal("TERM");
    server.logged("shutting down");
    let (_, log) = server.ended();
    assert!(log.contains("always turned away"), "{log}");
}

#[test]
fn a_text_that_is_not_answered_before_the_deadline_says_so() {
    let flags = ["--deadline", "1ms", "--max-characters", "100000000"];
    let server = Server::start(&flags);
    // To take so many words apart takes longer than that on any machine.
    let long = "good ".repeat(1 << 20);
    let answer = server.post(&json!({"text": long}));
    assert_eq!(answer.refusal(), (504, "deadline_exceeded".into()));
    let answer = server.post(&json!({"texts": ["bad", long, ""]}));
    let results = answer.json()["results"].clone();
    let codes: Vec<&Value> = (0..3).map(|at| &results[at]["error"]["code"]).collect();
    assert_eq!(
        codes,
        ["deadline_exceeded", "deadline_exceeded", "empty_text"]
    );
}

#[test]
fn a_client_that_never_finishes_its_head_is_cut_off() {
    let server = Server::start(&["--read-timeout", "1s"]);
    let beginnings = [
        "",
        "P",
        "PRI * HTTP/2.0\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\n",
    ];
    let wires = beginnings.map(|beginning| {
        let mut wire = server.wire();
        wire.write(beginning);
        wire
    });
    for (mut wire, beginning) in wires.into_iter().zip(beginnings) {
        assert!(wire.is_closed(), "{beginning:?}");
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_client_that_never_finishes_its_body_is_told_and_cut_off() {
    let server = Server::start(&["--read-timeout", "1s"]);
    let mut wire = server.wire();
    wire.write(head(
        "POST",
        "/v1/sentiment",
        &[JSON, ("content-length", "100")],
    ));
    wire.write("{\"text\": ");
    let answer = wire.answer("POST");
    contract::check("POST", "/v1/sentiment", &answer);
    assert_eq!(answer.refusal(), (408, "request_timeout".into()));
    assert!(wire.is_closed());
}

#[test]
fn a_connection_serves_many_requests_and_is_closed_once_it_is_idle() {
    let server = Server::start(&["--idle-timeout", "1s"]);
    let mut wire = server.wire();
    for _ in 0..3 {
        wire.write(head("GET", "/healthz", &[]));
        assert_eq!(wire.answer("GET").status, 200);
    }
    assert!(wire.is_closed());
}
