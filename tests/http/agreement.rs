//! One text, one answer: on the command line, alone over HTTP, and in batches of any kind.

use serde_json::{Value, json};

use crate::server::Server;

/// Texts of every length that the models see, in both languages.
fn texts() -> Vec<String> {
    let english = [
        "good", "bad", "the", "love", "unheard", "it", "awful", "was", "Great!", "hate",
    ];
    let korean = [
        "최고",
        "별로",
        "배송",
        "좋아요",
        "모르는",
        "그냥",
        "최악",
        "good",
    ];
    (1..=30)
        .map(|at| {
            let words = (0..1 + at % 11).map(|place| english[(at * 7 + place * 3) % english.len()]);
            format!("great {}", words.collect::<Vec<_>>().join(" "))
        })
        .chain((1..=30).map(|at| {
            let words = (0..1 + at % 9).map(|place| korean[(at * 5 + place * 3) % korean.len()]);
            format!("최고 {}", words.collect::<Vec<_>>().join(", "))
        }))
        .collect()
}

fn assert_same(found: &Value, expected: &Value, text: &str) {
    for field in ["label", "display", "model", "version", "language", "tokens"] {
        assert_eq!(found[field], expected[field], "{text}: {field}");
    }
    for field in ["score", "raw_score", "confidence"] {
        let [found, expected] = [found, expected].map(|result| result[field].as_f64().unwrap());
        assert!(
            (found - expected).abs() <= 1e-5,
            "{text}: {field} {found} {expected}"
        );
    }
}

#[test]
fn alone_in_a_batch_and_on_the_command_line_a_text_has_the_same_answer() {
    let server = Server::start(&["--threads", "2"]);
    let texts = texts();
    let alone: Vec<Value> = texts
        .iter()
        .map(|text| server.post(&json!({"text": text})).json())
        .collect();
    let differ = alone
        .iter()
        .any(|found| found["score"] != alone[0]["score"]);
    assert!(differ, "{alone:?}");

    let batch = server.post(&json!({"texts": texts})).json();
    let backwards: Vec<Value> = texts
        .iter()
        .rev()
        .map(|text| json!({"text": text}))
        .collect();
    let backwards = server.post(&json!({"reviews": backwards})).json();
    let lines = server
        .room()
        .answers(&["predict", "--device", "cpu"], &texts.join("\n"));
    assert_eq!(lines.len(), texts.len());
    for (at, text) in texts.iter().enumerate() {
        assert!(alone[at].get("label").is_some(), "{text}: {}", alone[at]);
        assert_same(&batch["results"][at], &alone[at], text);
        assert_same(
            &backwards["results"][texts.len() - 1 - at],
            &alone[at],
            text,
        );
        assert_same(&lines[at], &alone[at], text);
    }
}
