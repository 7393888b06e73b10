//! A closer look at a text: its sentences, and what each of its parts contributes.

use serde_json::{Value, json};

use sentiment::sentiment::sigmoid;

use crate::program::Room;
use crate::server::Server;
use crate::small::{ENGLISH, KOREAN, LOGIT, TEMPERATURE};

/// What stands between two offsets in characters.
fn slice<'a>(text: &'a str, of: &Value) -> &'a str {
    let byte = |name: &str| {
        let at = of[name].as_u64().unwrap() as usize;
        let mut places = text
            .char_indices()
            .map(|(byte, _)| byte)
            .chain([text.len()]);
        places.nth(at).unwrap()
    };
    &text[byte("start")..byte("end")]
}

fn near(value: &Value, expected: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() < 1e-5
}

fn list<'a>(found: &'a Value, name: &str) -> &'a [Value] {
    found[name].as_array().unwrap()
}

/// Each part with its contribution.
fn explained<'a>(text: &'a str, found: &Value) -> Vec<(&'a str, f64)> {
    let parts = list(found, "explanation").iter();
    parts
        .map(|part| (slice(text, part), part["contribution"].as_f64().unwrap()))
        .collect()
}

#[test]
fn sentences_are_answered_as_texts_of_their_own_beside_the_whole() {
    let server = Server::start(&[]);
    for (text, sentences) in [
        (
            "😀 Good great!  It was Mr. Awful.",
            &["😀 Good great!", "It was Mr. Awful."][..],
        ),
        (
            "좋아요. 그런데 배송 최악… 별로",
            &["좋아요.", "그런데 배송 최악…", "별로"],
        ),
        ("great", &["great"]),
        ("good. Unheard of! bad", &["good.", "bad"]),
    ] {
        let found = server.post(&json!({"text": text, "sentences": true}));
        assert_eq!(found.status, 200, "{}", found.shown());
        let found = found.json();
        let alone = server.post(&json!({"text": text})).json();
        assert!(near(&found["score"], alone["score"].as_f64().unwrap()));
        let got: Vec<&str> = list(&found, "sentences")
            .iter()
            .map(|of| slice(text, of))
            .collect();
        assert_eq!(got, sentences, "{text}");
        for sentence in list(&found, "sentences") {
            let alone = server.post(&json!({"text": slice(text, sentence)})).json();
            assert_eq!(sentence["label"], alone["label"], "{text}");
            for score in ["score", "raw_score"] {
                assert!(
                    near(&sentence[score], alone[score].as_f64().unwrap()),
                    "{text}"
                );
            }
        }
        assert_eq!(found.get("explanation"), None);
        assert_eq!(alone.get("sentences"), None);
    }
}

#[test]
fn what_a_part_contributes_is_what_the_logit_loses_without_it() {
    let server = Server::start(&[]);
    // The logit is 4 times the mean of the words: 1 of 4, then 1 of 3, 2 of 3, 0 of 3.
    let text = "the\tGOOD 😀 great,<br />awful";
    let found = server.post(&json!({"text": text, "explain": true})).json();
    let whole = LOGIT / 4.0;
    assert!(near(&found["raw_score"], sigmoid(whole)));
    assert!(near(&found["score"], sigmoid(whole / TEMPERATURE)));
    let third = LOGIT / 3.0;
    let expected = [
        ("the", whole - third),
        ("GOOD", whole),
        ("great", whole),
        ("awful", whole - 2.0 * third),
    ];
    let parts = explained(text, &found);
    assert_eq!(parts.len(), expected.len(), "{parts:?}");
    for (part, expected) in parts.iter().zip(expected) {
        assert_eq!(part.0, expected.0);
        assert!((part.1 - expected.1).abs() < 1e-5, "{part:?} {expected:?}");
    }
}

#[test]
fn the_only_word_contributes_everything_and_one_that_changes_nothing_nothing() {
    let server = Server::start(&[]);
    let found = server
        .post(&json!({"text": "최고!", "explain": true}))
        .json();
    assert_eq!(explained("최고!", &found).len(), 1);
    assert!(near(&found["explanation"][0]["contribution"], LOGIT));
    // Eight words are read, of which each is as good as any other.
    let text = "good ".repeat(12);
    let found = server.post(&json!({"text": text, "explain": true})).json();
    let parts = explained(&text, &found);
    assert_eq!(parts.len(), 8);
    for (word, contribution) in parts {
        assert_eq!((word, contribution), ("good", 0.0));
    }
    assert_eq!(found["explanation"][0]["start"], 20);
}

#[test]
fn lists_and_lines_are_looked_at_as_a_text_alone_is() {
    let server = Server::start(&[]);
    let texts = ["Good. Awful great!", "별로. 최고 배송", "", "the"];
    let both = |text: &str| json!({"text": text, "sentences": true, "explain": true});
    let alone = texts.map(|text| server.post(&both(text)).json());
    let reviews: Vec<Value> = texts
        .iter()
        .map(|text| json!({"id": "a", "text": text}))
        .collect();
    let mut answers = Vec::new();
    for body in [
        json!({"texts": texts, "sentences": true, "explain": true}),
        json!({"reviews": reviews, "sentences": true, "explain": true}),
    ] {
        let answer = server.post(&body);
        assert_eq!(answer.status, 200, "{}", answer.shown());
        answers.push(list(&answer.json(), "results").to_vec());
    }
    let lines: String = texts
        .iter()
        .map(|text| format!("{}\n", json!(text)))
        .collect();
    let path = "/v1/sentiment?sentences=true&explain=true";
    let headers = [("content-type", "application/x-ndjson")];
    let answer = server.send("POST", path, &headers, Some(lines.as_bytes()));
    let lines = answer.text().lines();
    answers.push(
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    );
    for results in answers {
        assert_eq!(results.len(), texts.len());
        for (result, alone) in results.iter().zip(&alone) {
            if alone.get("code").is_some() {
                assert_eq!(result["error"]["code"], "empty_text");
                continue;
            }
            for name in ["sentences", "explanation"] {
                assert_eq!(list(result, name).len(), list(alone, name).len());
                for (of, other) in list(result, name).iter().zip(list(alone, name)) {
                    assert_eq!((&of["start"], &of["end"]), (&other["start"], &other["end"]));
                    for figure in ["score", "contribution"] {
                        if let Some(figure) = other[figure].as_f64() {
                            assert!(near(
                                &of[if name == "sentences" {
                                    "score"
                                } else {
                                    "contribution"
                                }],
                                figure
                            ));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn rows_beside_a_text_count_as_texts_do() {
    let server = Server::start(&["--max-items", "9"]);
    // Eight words, each left out once.
    let body = json!({"text": "good ".repeat(8), "explain": true});
    let found = server.post(&body);
    assert_eq!(found.status, 200, "{}", found.shown());
    // A text and its nine sentences, all different.
    let sentences = "Good. Bad it. The bad. It good. It. Was good. Was bad. Good a. Bad a.";
    let body = json!({"text": sentences, "sentences": true});
    let answer = server.post(&body);
    assert_eq!(answer.refusal(), (422, "too_many_items".into()));
    assert!(answer.detail().contains('9'), "{}", answer.detail());
    let answer = server.post(&json!({"texts": ["good", sentences], "sentences": true}));
    assert_eq!(answer.refusal(), (422, "too_many_items".into()));
    let path = "/v1/sentiment?sentences=true";
    let headers = [("content-type", "application/x-ndjson")];
    let lines = format!("{}\n\"good\"", json!(sentences));
    let answer = server.send("POST", path, &headers, Some(lines.as_bytes()));
    let codes: Vec<Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["error"]["code"].clone())
        .collect();
    assert_eq!(codes, [json!("too_many_items"), Value::Null]);

    let server = Server::start(&["--queue", "2"]);
    let body = json!({"text": "good bad the", "explain": true});
    assert_eq!(server.post(&body).refusal(), (503, "overloaded".into()));
    assert_eq!(server.post(&json!({"text": "good bad the"})).status, 200);
}

#[test]
fn rows_beside_a_text_are_in_no_metric_of_predictions() {
    let server = Server::of(Room::of(&[ENGLISH, KOREAN]), &[]);
    server.post(&json!({"text": "Good the. Bad it!", "sentences": true, "explain": true}));
    let metrics = server.get("/metrics");
    let predictions = metrics.text().lines().filter(|line| {
        line.starts_with("sentiment_predictions_total") || line.starts_with("sentiment_score_count")
    });
    let all: f64 = predictions
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum();
    assert_eq!(all, 2.0, "{}", metrics.text());
}

#[test]
fn options_that_are_no_booleans_are_refused() {
    let server = Server::start(&[]);
    for body in [
        json!({"text": "good", "explain": "yes"}),
        json!({"text": "good", "sentences": null}),
        json!({"text": "good", "sentences": 1}),
    ] {
        assert_eq!(
            server.post(&body).refusal(),
            (422, "invalid_request".into()),
            "{body}"
        );
    }
    for body in [
        json!({"text": "good", "explain": false, "sentences": false}),
        json!({"texts": [], "explain": true}),
    ] {
        assert_eq!(server.post(&body).status, 200, "{body}");
    }
    let headers = [("content-type", "application/x-ndjson")];
    let path = "/v1/sentiment?explain=yes";
    let answer = server.send("POST", path, &headers, Some(b"\"good\""));
    assert_eq!(answer.refusal(), (422, "invalid_request".into()));
}
