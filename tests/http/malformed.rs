//! Requests that are wrong: refused by the right status, with the place named and without a text.

use serde_json::json;

use crate::jobs::{TOKEN, with_store};
use crate::server::{Server, gzip};
use crate::wire::{Wire, head};

const JSON: (&str, &str) = ("content-type", "application/json");

fn refused(server: &Server, body: impl AsRef<[u8]>) -> (u16, String) {
    server.post_text(body).refusal()
}

#[test]
fn what_is_not_json_is_malformed() {
    let server = Server::start(&[]);
    let bodies: [&[u8]; 13] = [
        b"",
        b" ",
        b"{",
        b"good",
        b"{\"text\": \"good",
        b"{\"text\": \"good\"",
        b"{\"text\": \"good\"}}",
        b"{\"text\": \"good\",}",
        b"{'text': 'good'}",
        b"{\"text\": \"g\0od\"}",
        b"{\"text\": \"g\xffod\"}",
        b"{\"text\": \"\\ud800\"}",
        b"\xef\xbb\xbf{\"text\": \"good\"}",
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(
            refused(&server, body),
            (400, "malformed_json".into()),
            "{shown}"
        );
    }
    for pair in [r"\ud800\ud800", r"\udc00", r"\ud83d"] {
        let body = format!(r#"{{"text": "good {pair}"}}"#);
        assert_eq!(
            refused(&server, body),
            (400, "malformed_json".into()),
            "{pair}"
        );
    }
    let pair = server.post_text(r#"{"text": "good \ud83d\ude00"}"#).json();
    assert_eq!(pair["tokens"]["total"], 2);
}

#[test]
fn what_is_nested_deeply_is_refused_and_hurts_nobody() {
    let server = Server::start(&[]);
    for (open, close) in [("[", "]"), ("{\"text\":", "}")] {
        for around in ["", "{\"text\":", "{\"texts\":", "{\"reviews\":", "{\"x\":"] {
            let body = format!("{around}{}{}", open.repeat(100_000), close.repeat(100_000));
            let (status, code) = refused(&server, body);
            assert!(
                matches!(
                    (status, code.as_str()),
                    (400, "malformed_json") | (422, "invalid_request")
                ),
                "{around}{open}: {status} {code}"
            );
        }
    }
    assert_eq!(server.post(&json!({"text": "good"})).status, 200);
}

#[test]
fn what_is_json_and_no_request_is_refused_with_the_place_named() {
    let server = Server::start(&[]);
    for (body, part) in [
        (json!({"textt": "secret"}), "`textt`"),
        (json!({"text": "secret", "explain ": true}), "`explain `"),
        (json!({"text": 7}), "text: expected"),
        (json!({"text": null}), "text: expected"),
        (json!({"text": ["secret"]}), "text: expected"),
        (json!({"texts": "secret"}), "texts: expected"),
        (json!({"texts": ["a", null]}), "texts[1]: expected"),
        (
            json!({"texts": ["a", "b", {"text": "secret"}]}),
            "texts[2]: expected",
        ),
        (
            json!({"reviews": ["secret"]}),
            "reviews[0]: expected an object",
        ),
        (
            json!({"reviews": [["a", "secret", null]]}),
            "reviews[0]: expected an object",
        ),
        (
            json!({"reviews": [{"text": "a"}, {"id": "b"}]}),
            "reviews[1]: missing field `text`",
        ),
        (
            json!({"reviews": [{"text": "a", "id": 7}]}),
            "reviews[0].id: expected",
        ),
        (json!({"reviews": [{"text": "a", "model": "b"}]}), "`model`"),
        (json!({"text": "secret", "model": 3}), "model: expected"),
        (
            json!({"text": "secret", "language": ["ko"]}),
            "language: expected",
        ),
        (json!({"text": "secret", "texts": ["a"]}), "exactly one of"),
        (
            json!({"texts": ["secret"], "reviews": []}),
            "exactly one of",
        ),
        (json!({}), "exactly one of"),
        (json!({"model": "english"}), "exactly one of"),
        (json!(["secret"]), "expected an object"),
        (
            json!(["secret", null, null, null, null]),
            "expected an object",
        ),
        (json!("secret"), "expected an object"),
        (json!(null), "expected an object"),
    ] {
        let answer = server.post(&body);
        assert_eq!(answer.refusal(), (422, "invalid_request".into()), "{body}");
        let detail = answer.detail();
        assert!(detail.contains(part), "{body}: {detail:?} lacks {part:?}");
        assert!(!detail.contains("secret"), "{detail}");
    }
    for body in [
        r#"{"text": "good", "text": "bad"}"#,
        r#"{"text": "good", "model": "english", "model": "korean"}"#,
        r#"{"reviews": [{"text": "good", "text": "bad"}]}"#,
    ] {
        let answer = server.post_text(body);
        assert_eq!(answer.refusal(), (422, "invalid_request".into()), "{body}");
        let detail = answer.detail();
        assert!(detail.contains("duplicate field"), "{detail}");
    }
    let long = json!({"x".repeat(100_000): 1});
    assert!(server.post(&long).detail().len() < 400);
}

#[test]
fn options_in_the_query_are_refused_beside_a_body_of_json() {
    let server = Server::start(&[]);
    for (query, named) in [
        ("model=korean", "\"model\""),
        ("language=ko&x=y", "\"language\""),
        ("I+hated+it", "\"\""),
    ] {
        let path = format!("/v1/sentiment?{query}");
        let answer = server.send("POST", &path, &[JSON], Some(b"{\"text\": \"good\"}"));
        assert_eq!(answer.refusal(), (422, "invalid_request".into()), "{query}");
        let due = format!("query {named}: ");
        assert!(answer.detail().starts_with(&due), "{}", answer.detail());
    }
}

#[test]
fn every_body_is_read_as_strictly_and_nothing_of_it_is_repeated() {
    let server = with_store(&[]);
    let bodies = [
        r#""secret""#,
        r#"["secret"]"#,
        r#"["secret", "positive"]"#,
        r#"{"text": ["secret"], "label": "positive"}"#,
        r#"{"text": "secret", "label": "secret"}"#,
        r#"{"version": ["secret"]}"#,
        r#"{"recipe": 1, "data": "secret"}"#,
    ];
    for path in [
        "/v1/sentiment",
        "/v1/tokenize",
        "/v1/feedback",
        "/v1/models/english/activate",
        "/v1/training/jobs",
    ] {
        for body in bodies {
            let bearer = format!("Bearer {TOKEN}");
            let headers = [JSON, ("authorization", bearer.as_str())];
            let answer = server.send("POST", path, &headers, Some(body.as_bytes()));
            let of = format!("{path} {body}: {}", answer.shown());
            assert_eq!(answer.refusal(), (422, "invalid_request".into()), "{of}");
            assert!(!answer.shown().contains("secret"), "{of}");
        }
        let headers = [JSON, ("authorization", &format!("Bearer {TOKEN}"))];
        let kinds = [("content-type", "text/plain"), headers[1]];
        let answer = server.send("POST", path, &kinds, Some(b"{}"));
        assert_eq!(answer.refusal().0, 415, "{path}");
        let lines = answer.detail().contains("x-ndjson");
        assert_eq!(lines, path == "/v1/sentiment", "{}", answer.detail());
    }
    assert!(!server.stopped().contains("secret"));
}

#[test]
fn every_unicode_text_is_only_a_text() {
    let server = Server::start(&[]);
    for odd in [
        "\u{0}",
        "\u{feff}",
        "\u{202e}",
        "\u{10ffff}",
        "e\u{301}",
        "\u{1100}\u{1161}",
    ] {
        let found = server.post(&json!({"text": format!("good good {odd}"), "model": "english"}));
        assert_eq!(found.status, 200, "{odd:?}: {}", found.shown());
        let found = found.json();
        assert_eq!(found["label"], "positive", "{odd:?}");
        assert_eq!(found["tokens"]["unknown"], 1, "{odd:?}");
    }
}

#[test]
fn only_json_is_read() {
    let server = Server::start(&[]);
    let body = br#"{"text": "good"}"#;
    let send = |headers: &[(&str, &str)]| {
        let length = body.len().to_string();
        let headers = [headers, &[("content-length", length.as_str())]].concat();
        server.raw("POST", "/v1/sentiment", &headers, body)
    };
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON ;x=1",
    ] {
        assert_eq!(send(&[("content-type", kind)]).status, 200, "{kind}");
    }
    let refusal = (415, "unsupported_media_type".to_owned());
    assert_eq!(send(&[]).refusal(), refusal);
    for kind in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "json",
    ] {
        assert_eq!(send(&[("content-type", kind)]).refusal(), refusal, "{kind}");
    }
    for encoding in ["br", "deflate", "gzip, gzip", "zstd"] {
        let headers = [JSON, ("content-encoding", encoding)];
        assert_eq!(send(&headers).refusal(), refusal, "{encoding}");
    }
}

#[test]
fn gzip_is_read_and_written() {
    let server = Server::start(&[]);
    let body = json!({"texts": vec!["good"; 100]}).to_string();
    let squeezed = gzip(body.as_bytes());
    let length = squeezed.len().to_string();
    let headers = [
        JSON,
        ("content-encoding", "gzip"),
        ("content-length", length.as_str()),
        ("accept-encoding", "gzip"),
    ];
    let answer = server.raw("POST", "/v1/sentiment", &headers, &squeezed);
    assert!(answer.gzip);
    assert_eq!(answer.header("vary"), Some("accept-encoding"));
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 100);
    assert!(results.iter().all(|result| result["label"] == "positive"));
    for nothing in ["identity;q=0", "*;q=0", "br, *;Q=0"] {
        let headers = [&headers[..3], &[("accept-encoding", nothing)]].concat();
        let any = server.raw("POST", "/v1/sentiment", &headers, &squeezed);
        assert_eq!((any.status, any.gzip), (200, false), "{nothing}");
    }
    let plain = server.raw("POST", "/v1/sentiment", &headers[..3], &squeezed);
    assert!(!plain.gzip);
    assert_eq!(plain.json(), answer.json());
    for broken in [
        &body.as_bytes()[..squeezed.len()],
        &[0; 40],
        &squeezed[..squeezed.len() / 2],
    ] {
        let length = broken.len().to_string();
        let headers = [
            JSON,
            ("content-encoding", "gzip"),
            ("content-length", &length),
        ];
        let answer = server.raw("POST", "/v1/sentiment", &headers, broken);
        assert_eq!(answer.refusal(), (400, "malformed_json".into()));
    }
}

#[test]
fn what_is_not_http_is_refused_and_the_next_client_served() {
    let server = Server::start(&[]);
    for nonsense in [
        "\r\n\r\nGET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\0\u{1}\u{2}\r\n\r\n",
    ] {
        let mut wire = server.wire();
        wire.write(nonsense);
        drop(wire);
    }
    let mut wire: Wire = server.wire();
    let headers = [JSON, ("content-length", "5"), ("content-length", "6")];
    wire.write(head("POST", "/v1/sentiment", &headers));
    assert_eq!(wire.answer("POST").status, 400);
    assert_eq!(server.post(&json!({"text": "good"})).status, 200);
}
