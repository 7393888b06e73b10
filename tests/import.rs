//! `sentiment import` as its users start it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "keras_exports/onnx.rs"]
mod onnx;
#[expect(dead_code, reason = "other tests send signals")]
mod program;

use std::fs;
use std::path::Path;

use program::{Room, stderr};
use sentiment::bundle::digest;
use serde_json::Value;

fn exports(model: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures/keras_exports")
        .join(model)
        .display()
        .to_string()
}

#[test]
fn an_imported_model_answers_texts_as_keras_did() {
    let room = Room::new();
    let model = exports("m4_char_lstm");
    let output = room.run(
        &[
            "import",
            "--name",
            "chars",
            "--model",
            &format!("{model}/model_keras2.h5"),
            "--tokenizer",
            &format!("{model}/tokenizer.json"),
            "--maxlen",
            "100",
            "--languages",
            "en,ko",
            "--default-for",
            "en,ko",
        ],
        b"",
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    for words in [
        "Keras 2.15.0",
        "its tokenizer gives ids up to 94, and ids below 95 are taken",
        "34705 parameters, trim table",
        "wrote models/chars/1",
    ] {
        assert!(said.contains(words), "{said:?} lacks {words:?}");
    }
    let shown = room.run(&["models", "show", "chars"], b"");
    let shown = String::from_utf8(shown.stdout).unwrap();
    let file = fs::read(format!("{model}/model_keras2.h5")).unwrap();
    for words in [
        "imported     model_keras2.h5 of Keras 2.15.0",
        &*digest::sha256(&file),
    ] {
        assert!(shown.contains(words), "{shown:?} lacks {words:?}");
    }
    let predictions = fs::read(format!("{model}/predictions.json")).unwrap();
    let predictions: Value = serde_json::from_slice(&predictions).unwrap();
    let cases = predictions["cases"].as_array().unwrap();
    let texts = cases.iter().filter(|case| case["text"].is_string());
    let (mut lines, mut expected) = (String::new(), Vec::new());
    for case in texts {
        lines += &serde_json::json!({"text": case["text"]}).to_string();
        lines.push('\n');
        expected.push(case["probability"].as_f64().unwrap());
    }
    let answers = room.answers(
        &["predict", "--model", "chars", "--format", "jsonl"],
        &lines,
    );
    assert_eq!(answers.len(), expected.len());
    let mut compared = 0;
    for (answer, expected) in answers.iter().zip(expected) {
        if answer["error"].is_null() {
            let found = answer["raw_score"].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-5, "{answer}");
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn what_a_graph_costs_as_it_is_is_said() {
    let room = Room::new();
    let model = exports("m4_char_lstm");
    let import = |flags: &[&str]| {
        let (graph, tokenizer) = (
            format!("{model}/model.onnx"),
            format!("{model}/tokenizer.json"),
        );
        let fixed = [
            "import",
            "--name",
            "chars",
            "--model",
            &graph,
            "--tokenizer",
            &tokenizer,
        ];
        let output = room.run(&[&fixed[..], flags].concat(), b"");
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(import(&[]).contains("rebuilt as a network of 34705 parameters, trim table"));
    let said = import(&["--as-it-is"]);
    assert!(
        said.contains("every text runs through all 100 steps"),
        "{said}"
    );
    assert!(said.contains("models activate chars@2"), "{said}");
}

/// A graph whose loop goes round 2^60 times, with this in its body, and the arguments that import it.
fn endless(room: &Room, body: &[u8]) -> [&'static str; 9] {
    room.write("endless.onnx", onnx::looping(1 << 60, body));
    room.write("words.json", r#"{"a": 1, "b": 2}"#);
    [
        "import",
        "--name",
        "x",
        "--model",
        "endless.onnx",
        "--tokenizer",
        "words.json",
        "--time-limit",
        "1",
    ]
}

#[test]
fn a_graph_that_never_answers_is_given_up_and_not_published() {
    // The runtime never looks up from a loop with nothing in it.
    for body in [onnx::node("Sigmoid", "v", "w"), Vec::new()] {
        let room = Room::new();
        let output = room.run(&endless(&room, &body), b"");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains("was tried for 1 s and has not answered"),
            "{said}"
        );
        assert!(!room.path("models").exists());
    }
}

#[test]
fn what_cannot_be_imported_is_named_in_one_line() {
    let room = Room::new();
    let chars = exports("m4_char_lstm");
    let (h5, tokenizer) = (
        format!("{chars}/model_keras2.h5"),
        format!("{chars}/tokenizer.json"),
    );
    let other = room
        .write("words.json", r#"{"a": 1, "b": 500}"#)
        .display()
        .to_string();
    let torn = room.write("torn.h5", &fs::read(&h5).unwrap()[..20_000]);
    let text = room.write("text.keras", "a text").display().to_string();
    let onnx = room.write("text.onnx", [0xff; 40]).display().to_string();
    let torn = torn.display().to_string();
    for (model, tokenizer, flags, words) in [
        (&h5, &tokenizer, &[][..], "--maxlen"),
        (&h5, &other, &["--maxlen", "100"], "do not belong together"),
        (&h5, &h5, &["--maxlen", "100"], "model_keras2.h5"),
        (&torn, &tokenizer, &["--maxlen", "100"], "torn.h5"),
        (&text, &tokenizer, &[], "text.keras"),
        (&onnx, &tokenizer, &[], "not ONNX"),
        (&tokenizer, &tokenizer, &[], ".h5, .keras or .onnx"),
    ] {
        let fixed = [
            "import",
            "--name",
            "x",
            "--model",
            model,
            "--tokenizer",
            tokenizer,
        ];
        let output = room.run(&[&fixed[..], flags].concat(), b"");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(words), "{said:?} lacks {words:?}");
        assert!(!room.path("models").exists());
    }
    let output = room.run(
        &[
            "import",
            "--name",
            "X",
            "--model",
            &h5,
            "--tokenizer",
            &tokenizer,
        ],
        b"",
    );
    assert_eq!(output.status.code(), Some(2));
}
