//! What a model makes of a text, and which words it reads alike.

use serde_json::{Value, json};

use crate::server::Server;

fn tokenize(server: &Server, body: &Value) -> Value {
    let headers = [("content-type", "application/json")];
    let body = body.to_string();
    server
        .send("POST", "/v1/tokenize", &headers, Some(body.as_bytes()))
        .json()
}

#[test]
fn a_texts_way_into_its_row_is_shown() {
    let server = Server::start(&[]);
    let answer = tokenize(&server, &json!({"text": "good nonsense the"}));
    assert_eq!(answer["model"], "english");
    assert_eq!(answer["language"], "en");
    assert_eq!(answer["cleaned"], "good nonsense the");
    let tokens = answer["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 3);
    assert_eq!(tokens[1], json!({"token": "nonsense", "id": null}));
    assert_eq!(answer["ids"], json!([tokens[0]["id"], tokens[2]["id"]]));
    let row = answer["row"].as_array().unwrap();
    assert_eq!(row.len(), 8);
    assert_eq!(row[..6], vec![json!(0); 6]);
    assert_eq!(
        (&answer["total"], &answer["unknown"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(answer["truncated"], false);
}

#[test]
fn a_request_that_is_none_is_refused_without_its_text() {
    let server = Server::start(&[]);
    for (body, code) in [
        (json!({"texts": ["secret"]}), "invalid_request"),
        (json!({"text": ["secret"]}), "invalid_request"),
        (
            json!({"text": "secret", "model": "absent"}),
            "unknown_model",
        ),
        (json!({"text": "s".repeat(20_001)}), "text_too_long"),
    ] {
        let answer = tokenize(&server, &body);
        assert_eq!(answer["code"], code, "{body}");
        assert!(
            !answer["detail"].as_str().unwrap().contains("secret"),
            "{answer}"
        );
    }
}

#[test]
fn words_of_like_worth_are_similar() {
    let server = Server::start(&[]);
    let answer = server
        .get("/v1/models/english/similar?positive=good&top=2")
        .json();
    assert_eq!(
        (&answer["model"], &answer["method"]),
        (&json!("english"), &json!("cosine"))
    );
    let words: Vec<&str> = answer["similar"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["word"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["great", "love"]);
    let opposite = server
        .get("/v1/models/english/similar?positive=bad&negative=good&top=3&method=cosmul")
        .json();
    assert_eq!(opposite["similar"].as_array().unwrap().len(), 3);
    let both = |query: &str| {
        let path = format!("/v1/models/english/similar?{query}");
        server.get(&path).json()["similar"].clone()
    };
    assert_eq!(
        both("positive=good&positive=love&top=3"),
        both("positive=good,love&top=3")
    );
    let comma = server.get("/v1/models/english/similar?positive=%2C").json();
    assert_eq!(comma["detail"], "there is no vector for \",\"");
    let many = |count: usize| format!("positive={}&top=1", vec!["good"; count].join(","));
    assert_eq!(both(&many(64)).as_array().unwrap().len(), 1);
    for (query, code) in [
        (&*many(65), "invalid_request"),
        ("positive=absent", "invalid_request"),
        ("positive=good&top=many", "invalid_request"),
        ("", "invalid_request"),
        ("negative=good&method=cosmul", "invalid_request"),
        ("positive=good&method=guess", "invalid_request"),
        ("positive=good&top=1001", "invalid_request"),
        ("positive=good&more=1", "invalid_request"),
    ] {
        let answer = server
            .get(&format!("/v1/models/english/similar?{query}"))
            .json();
        assert_eq!(answer["code"], code, "{query}");
    }
    assert_eq!(
        server.get("/v1/models/absent/similar?positive=a").json()["code"],
        "unknown_model"
    );
}
