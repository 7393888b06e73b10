//! The program as its users start it: predict, evaluate and models on small bundles, and what it says when something is wrong.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod program;
mod small;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use program::{Room, lines, signal, stderr};
use sentiment::sentiment::sigmoid;
use serde_json::{Value, json};
use small::{ENGLISH, KOREAN, LOGIT, TEMPERATURE};

/// A folder with both models in `models`.
fn room_with_models() -> Room {
    let room = Room::new();
    ENGLISH.publish(&room.path("models"));
    KOREAN.publish(&room.path("models"));
    room
}

fn near(value: &Value, expected: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() < 1e-5
}

#[test]
fn lines_on_standard_input_are_answered_in_order_each_by_the_model_of_its_language() {
    let room = room_with_models();
    let answers = room.answers(&["predict"], "great\n최악\n\nit was bad\n12345\nхорошо\n");
    assert_eq!(answers.len(), 6);
    let first = &answers[0];
    assert_eq!(first["label"], "positive");
    assert_eq!(first["display"], "+");
    assert_eq!(
        (&first["model"], &first["version"], &first["language"]),
        (&json!("english"), &json!("1"), &json!("en"))
    );
    assert_eq!(
        first["tokens"],
        json!({"used": 1, "total": 1, "unknown": 0, "truncated": false})
    );
    assert!(near(&first["raw_score"], sigmoid(LOGIT)));
    assert!(near(&first["score"], sigmoid(LOGIT / TEMPERATURE)));
    assert!(near(&first["confidence"], sigmoid(LOGIT / TEMPERATURE)));
    assert_eq!(
        (&answers[1]["model"], &answers[1]["label"]),
        (&json!("korean"), &json!("negative"))
    );
    assert!(near(&answers[3]["raw_score"], sigmoid(-LOGIT / 3.0)));
    for (at, code) in [
        (2, "empty_text"),
        (4, "empty_text"),
        (5, "unsupported_language"),
    ] {
        assert_eq!(answers[at]["index"], at);
        assert_eq!(answers[at]["error"]["code"], code, "{}", answers[at]);
        assert!(answers[at]["error"]["message"].is_string());
    }
}

#[test]
fn every_format_is_answered_alike_and_ids_are_kept() {
    let room = room_with_models();
    let expected = sigmoid(LOGIT / 2.0);
    let files = [
        ("a.txt", "good it\n"),
        ("a.tsv", "# comment\n5\tgood it\n"),
        ("b.tsv", "review\nlove the\n"),
        ("a.csv", "id,text\nr1,\"great, it\"\n"),
        ("a.jsonl", "{\"id\":\"r1\",\"text\":\"love a\"}\n"),
        ("b.jsonl", "\"good was\"\n"),
    ];
    for (name, text) in files {
        let path = room.write(name, text);
        let path = path.to_str().unwrap();
        let answers = room.answers(&["predict", "--model", "english", "--input", path], "");
        assert_eq!(answers.len(), 1, "{name}");
        assert!(
            near(&answers[0]["raw_score"], expected),
            "{name}: {}",
            answers[0]
        );
        let has_id = text.contains("r1");
        assert_eq!(
            answers[0].get("id"),
            has_id.then(|| json!("r1")).as_ref(),
            "{name}"
        );
    }
    let forced = ["predict", "--model", "english@1", "--format", "jsonl"];
    let answers = room.answers(&forced, "{\"body\": \"good\", \"id\": 7}\n");
    assert_eq!(answers[0]["id"], 7);
}

#[test]
fn a_line_that_cannot_be_read_has_its_error_in_its_place() {
    let room = room_with_models();
    let input = b"\"good\"\n{\"text\": 3}\n{broken\n\"\xff\"\n\"!!!\"\n\"unheard\"\n\"bad\"\n";
    let output = room.run(
        &["predict", "--model", "english", "--format", "jsonl"],
        input,
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let answers = lines(&output.stdout);
    let found: Vec<&Value> = answers
        .iter()
        .map(|answer| answer["error"].get("code").unwrap_or(&answer["label"]))
        .collect();
    let bad = "invalid_request";
    assert_eq!(
        found,
        [
            "positive",
            bad,
            bad,
            bad,
            "empty_text",
            "empty_text",
            "negative"
        ]
    );
    let message = answers[1]["error"]["message"].as_str().unwrap();
    assert!(message.contains("row 2, column text"), "{message}");
    assert!(
        stderr(&output).contains("5 of them without an answer"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn many_lines_keep_their_order_over_windows_and_models() {
    let room = room_with_models();
    let words = ["good", "별로", "hate it was", "최고 배송"];
    let input: String = (0..40_000)
        .map(|at| format!("{}\n", words[at % 4]))
        .collect();
    let path = room.write("many.txt", input);
    let out = room.path("many.jsonl");
    let (path, out_arg) = (path.to_str().unwrap(), out.to_str().unwrap());
    let printed = room.answers(&["predict", "--input", path, "--output", out_arg], "");
    assert!(printed.is_empty());
    let answers = lines(&fs::read(&out).unwrap());
    assert_eq!(answers.len(), 40_000);
    let labels = ["positive", "negative", "negative", "positive"];
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(answer["label"], labels[at % 4], "line {at}");
        assert_eq!(answer["model"], ["english", "korean"][at % 2], "line {at}");
    }
}

#[test]
fn output_has_its_name_only_when_it_is_complete() {
    let room = room_with_models();
    let out = room.write("out.jsonl", "older\n");
    let input = room.write("cut.tsv.gz", b"\x1f\x8b no gzip");
    let (input, out_arg) = (input.to_str().unwrap(), out.to_str().unwrap());
    let output = room.run(
        &[
            "predict", "--model", "english", "--input", input, "--output", out_arg,
        ],
        b"",
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cut.tsv.gz"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read_to_string(&out).unwrap(), "older\n");
    let left: Vec<_> = fs::read_dir(room.folder())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn an_interrupt_leaves_no_half_file() {
    let room = room_with_models();
    let out = room.path("out.jsonl");
    let args = [
        "predict",
        "--model",
        "english",
        "--output",
        out.to_str().unwrap(),
    ];
    let mut child = room
        .command(&args)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // More than pipe and buffers hold: once it is all taken, the file is open.
    input.write_all(&b"good\n".repeat(100_000)).unwrap();
    signal(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("error: interrupted"),
        "{}",
        stderr(&output)
    );
    let left: Vec<_> = fs::read_dir(room.folder())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["models"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let room = room_with_models();
    let path = room.write("many.txt", "good\n".repeat(100_000));
    let mut child = room
        .command(&[
            "predict",
            "--model",
            "english",
            "--input",
            path.to_str().unwrap(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(!stderr(&output).contains("error"), "{}", stderr(&output));
}

#[test]
fn evaluate_measures_by_source_with_the_recipes_thresholds() {
    let room = room_with_models();
    let shopping = room.write(
        "shopping.tsv",
        "5\tgood\n4\tbad\n1\tawful\n2\tthe bad\n3\t!!!\n",
    );
    let movies = room.write("m.csv", "rating,review\n10,love\n4,hate it\n");
    let movies = format!("movies={}", movies.display());
    let scores = room.path("scores.jsonl");
    let output = room.run(
        &[
            "evaluate",
            "english",
            "--data",
            shopping.to_str().unwrap(),
            "--data",
            &movies,
            "--format",
            "json",
            "--output",
            scores.to_str().unwrap(),
        ],
        b"",
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let found = &lines(&output.stdout)[0];
    assert_eq!(
        (&found["model"], &found["version"]),
        (&json!("english"), &json!("1"))
    );
    assert_eq!((&found["rows"], &found["skipped"]), (&json!(6), &json!(1)));
    assert!(near(&found["accuracy"], 5.0 / 6.0));
    // Of the 2 + 1 positives over 3 negatives: bad ties with awful, is under the rest.
    assert!(near(&found["auc"], 6.5 / 9.0), "{found}");
    let loss = |logit: f64| (1.0 + (-logit).exp()).ln();
    let losses = [
        loss(4.0),
        loss(-4.0),
        loss(4.0),
        loss(2.0),
        loss(4.0),
        loss(2.0),
    ];
    assert!(
        near(&found["loss"], losses.iter().sum::<f64>() / 6.0),
        "{found}"
    );
    let confusion =
        json!({"true_positive": 2, "false_positive": 0, "true_negative": 3, "false_negative": 1});
    assert_eq!(found["confusion"], confusion);
    assert!(found["rows_per_second"].as_f64().unwrap() > 0.0);
    assert!(found["ece"].is_number());
    assert_eq!(found["sources"]["shopping"]["label_above"], 3.0);
    assert_eq!(found["sources"]["movies"]["label_above"], 7.0);
    assert_eq!(found["sources"]["movies"]["accuracy"], 1.0);
    let rows = lines(&fs::read(&scores).unwrap());
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[1]["row"], 2);
    assert_eq!(
        (&rows[1]["label"], &rows[1]["predicted"]),
        (&json!("positive"), &json!("negative"))
    );
    assert!(near(&rows[1]["raw_score"], sigmoid(-LOGIT)));
}

#[test]
fn evaluate_takes_folders_words_and_overrides() {
    let room = room_with_models();
    room.write("reviews/pos/0.txt", "good");
    room.write("reviews/pos/1.txt", "awful");
    room.write("reviews/neg/0.txt", "bad");
    let args = ["evaluate", "english", "--data", "reviews"];
    let output = room.run(&args, b"");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("english@1") && text.contains("66.67%"),
        "{text}"
    );

    room.write("a.jsonl", "{\"body\": \"good\", \"text\": \"bad\", \"grade\": 2}\n{\"body\": \"bad\", \"text\": \"\", \"grade\": 1}\n");
    let overrides = [
        "--text",
        "body",
        "--label",
        "grade",
        "--label-above",
        "1.5",
        "--format",
        "json",
    ];
    let args = [
        &["evaluate", "models/english/1", "--data", "a.jsonl"][..],
        &overrides,
    ]
    .concat();
    assert_eq!(room.answers(&args, "")[0]["accuracy"], 1.0);
}

#[test]
fn evaluate_asks_for_a_threshold_where_the_recipe_has_several() {
    let room = room_with_models();
    room.write("reviews.tsv", "5\tgood\n1\tbad\n");
    let output = room.run(&["evaluate", "english", "--data", "reviews.tsv"], b"");
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.starts_with("error: ") && said.contains("--label-above"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    // The Korean model has only one.
    room.write("ko.tsv", "5\t최고\n1\t별로\n");
    let args = ["evaluate", "korean", "--data", "ko.tsv", "--format", "json"];
    assert_eq!(room.answers(&args, "")[0]["accuracy"], 1.0);
}

#[test]
fn failures_are_one_line_that_names_the_thing_and_the_exit_code_says_whose_they_are() {
    let room = room_with_models();
    room.write("bad.tsv", "5\tgood\nfive\tgood\n");
    room.write("models/english/1/golden.jsonl", "");
    room.write("models/gone/ACTIVE", "3");
    let cases: [(&[&str], i32, &str); 13] = [
        (
            &["evaluate", "nobody", "--data", "bad.tsv"],
            1,
            "no model \"nobody\"",
        ),
        (
            &["evaluate", "korean@9", "--data", "bad.tsv"],
            1,
            "no version 9",
        ),
        (
            &["evaluate", "korean", "--data", "bad.tsv"],
            1,
            "bad.tsv, row 2, column 1",
        ),
        (&["evaluate", "korean", "--data", "none.tsv"], 1, "none.tsv"),
        (
            &["evaluate", "english", "--data", "bad.tsv"],
            1,
            "golden.jsonl",
        ),
        (
            &["predict", "--model", "korean", "--input", "bad.dat"],
            1,
            "bad.dat",
        ),
        (&["models", "activate", "korean@9"], 1, "no version 9"),
        (&["models", "activate", "korean"], 2, "NAME@VERSION"),
        (&["models", "activate", "english@1"], 1, "golden.jsonl"),
        (
            &["models", "list", "--database", "sqlite://typo/jobs.db"],
            1,
            "there is no file typo/jobs.db",
        ),
        (
            &[
                "evaluate",
                "korean",
                "--data",
                "feedback",
                "--database",
                "sqlite://typo.db",
            ],
            1,
            "there is no file typo.db",
        ),
        (
            &["models", "show", "gone"],
            1,
            "it names version 3, which is not there",
        ),
        (&["models", "list", "--models", "nowhere"], 1, "nowhere"),
    ];
    for (args, code, part) in cases {
        let output = room.run(args, b"");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(
            said.starts_with("error: ") && said.contains(part),
            "{args:?}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    assert!(!room.path("typo.db").exists() && !room.path("typo").exists());
    for args in [
        &["predcit"][..],
        &[
            "evaluate",
            "korean",
            "--data",
            "bad.tsv",
            "--label-above",
            "NaN",
        ],
        &["evaluate"],
        &["predict", "--format", "xml"],
        &[],
    ] {
        assert_eq!(room.run(args, b"").status.code(), Some(2), "{args:?}");
    }
    assert_eq!(room.run(&["--help"], b"").status.code(), Some(0));
}

#[test]
fn a_flag_can_be_an_environment_variable() {
    let room = room_with_models();
    fs::rename(room.path("models"), room.path("elsewhere")).unwrap();
    assert_eq!(room.run(&["models", "list"], b"").status.code(), Some(1));
    let output = room
        .command(&["models", "list"])
        .env("SENTIMENT_MODELS", "elsewhere")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn models_are_listed_shown_and_activated() {
    let room = room_with_models();
    assert_eq!(
        ENGLISH.publish(&room.path("models")).version.to_string(),
        "2"
    );
    let listed = || {
        let output = room.run(&["models", "list"], b"");
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let active = |text: &str| -> Vec<String> {
        let marked = text.lines().filter(|line| line.contains('*'));
        marked
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(active(&listed()), ["english@1", "korean@1"]);
    assert_eq!(listed().lines().count(), 4);
    let output = room.run(&["models", "activate", "english@2"], b"");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(active(&listed()), ["english@2", "korean@1"]);

    let output = room.run(&["models", "show", "english"], b"");
    let shown = String::from_utf8(output.stdout).unwrap();
    for part in [
        "Model: \"english\"\n",
        "version      2",
        "embedding (Embedding)",
        "(None, 8, 1)",
        "Total params: 13 (52.00 Byte)\n",
        "Non-trainable params: 0 (0.00 Byte)\n",
        "trimmed      masked: embedding masked, ",
        "temperature  2.0000",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn a_folder_of_models_with_a_damaged_one_still_predicts_with_the_others() {
    let room = room_with_models();
    let path = room.path("models/english/1/model.onnx");
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 1);
    fs::write(&path, bytes).unwrap();
    let output = room.run(&["predict"], "최고\n".as_bytes());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(lines(&output.stdout)[0]["label"], "positive");
    assert!(
        stderr(&output).contains("warning: ") && stderr(&output).contains("model.onnx"),
        "{}",
        stderr(&output)
    );
    let none = room.path("empty");
    fs::create_dir(&none).unwrap();
    let output = room.run(&["predict", "--models", none.to_str().unwrap()], b"good\n");
    assert_eq!(output.status.code(), Some(1));
}

/// The program must not need more than the test's own folder.
#[test]
fn predict_looks_at_sentences_and_words_when_asked() {
    let room = room_with_models();
    let answers = room.answers(
        &["predict", "--sentences", "--explain"],
        "Good. It was awful!\n\n",
    );
    // Four words, the mean of which is 0: 4/3 more without the one, 4/3 less without the other.
    let parts = answers[0]["explanation"].as_array().unwrap();
    let moved: Vec<f64> = parts
        .iter()
        .map(|part| part["contribution"].as_f64().unwrap())
        .collect();
    let expected = [LOGIT / 3.0, 0.0, 0.0, -LOGIT / 3.0];
    assert_eq!(moved.len(), 4);
    for (moved, expected) in moved.iter().zip(expected) {
        assert!((moved - expected).abs() < 1e-5, "{answers:?}");
    }
    let sentences = answers[0]["sentences"].as_array().unwrap();
    let labels: Vec<&Value> = sentences.iter().map(|of| &of["label"]).collect();
    assert_eq!(labels, ["positive", "negative"]);
    assert_eq!(
        (&sentences[1]["start"], &sentences[1]["end"]),
        (&json!(6), &json!(19))
    );
    assert_eq!(answers[1]["error"]["code"], "empty_text");
    let bare = &room.answers(&["predict"], "Good. It was awful!\n")[0];
    assert!(bare.get("sentences").is_none() && bare.get("explanation").is_none());
}

#[test]
fn predict_takes_a_bundles_folder() {
    let room = room_with_models();
    let moved = room.path("bundle");
    fs::rename(room.path("models/english/1"), &moved).unwrap();
    fs::remove_dir_all(room.path("models")).unwrap();
    let args = ["predict", "--model", "./bundle"];
    assert_eq!(room.answers(&args, "good\n")[0]["label"], "positive");
    assert!(Path::new(&moved).is_dir());
}
