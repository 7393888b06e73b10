//! Commands whose reader has gone away: what they were to write is written all the same, whole.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests read what is said")]
mod program;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use program::Room;

const RECIPE: &str = r#"
name = "shop"
languages = ["en"]
display = { positive = "positive", negative = "negative" }
[[data.source]]
name = "shop"
label_above = 3
[data]
validation = { split = "tail", fraction = 0.2 }
[tokenizer]
[padding]
maxlen = 4
[[layers]]
kind = "embedding"
units = 2
[[layers]]
kind = "lstm"
units = 2
[[layers]]
kind = "dense"
units = 1
activation = "sigmoid"
[fit]
epochs = 1
"#;

/// A recipe and reviews, one of them on a line that is passed over with a warning.
fn room() -> Room {
    let room = Room::new();
    room.write("shop.toml", RECIPE);
    room.write("shop.tsv", "5\tgood film\n1\tbad film\n".repeat(20));
    room.write("texts.jsonl", "{\"text\": \"good film\"}\nno JSON\n");
    room
}

/// The exit code where whoever read the output and the errors has gone away before the program began.
fn run_unread(room: &Room, args: &[&str]) -> Option<i32> {
    let gone = || {
        let (_, writer) = std::io::pipe().unwrap();
        writer
    };
    let mut command = room.command(args);
    command.stdin(Stdio::null()).stdout(gone()).stderr(gone());
    command.status().unwrap().code()
}

fn done(room: &Room, args: &[&str], written: &[&str]) {
    assert_eq!(run_unread(room, args), Some(0), "{args:?}");
    for file in written {
        assert!(room.path(file).exists(), "{args:?} did not write {file}");
    }
}

#[test]
fn what_is_read_as_reviews_is_written_whole() {
    let room = room();
    let split = ["data", "split", "shop.tsv", "--label-above", "3"];
    let out = ["--out", "parts"];
    let parts = ["parts/train.jsonl", "parts/test.jsonl"];
    done(&room, &[&split[..], &out].concat(), &parts);
    let lines = |file: &str| fs::read_to_string(room.path(file)).unwrap().lines().count();
    assert_eq!(parts.map(lines), [32, 8]);

    let describe = ["data", "describe", "shop.tsv", "--label-above", "3"];
    let histogram = ["--histogram", "lengths.svg"];
    done(
        &room,
        &[&describe[..], &histogram].concat(),
        &["lengths.svg"],
    );

    let train = ["vectors", "train", "shop.toml", "--data", "texts.jsonl"];
    let few = ["--min-count", "1", "--out", "words.txt"];
    done(&room, &[&train[..], &few].concat(), &["words.txt"]);
    let words = fs::read_to_string(room.path("words.txt")).unwrap();
    assert!(words.starts_with("2 100\n"), "{words}");
}

#[test]
fn a_sweep_has_its_best_recipe_and_a_training_its_bundle() {
    let room = room();
    let sweep = ["sweep", "shop.toml", "--data", "shop.tsv"];
    let grid = ["--grid", "lr=0.01,0.02"];
    let written = ["sweep/runs.jsonl", "sweep/runs.svg", "sweep/best.toml"];
    done(&room, &[&sweep[..], &grid].concat(), &written);
    let train = ["train", "sweep/best.toml", "--data", "shop.tsv"];
    done(&room, &train, &["models/shop/1/manifest.json"]);
}

#[test]
fn an_imported_model_is_published_and_an_exported_one_written() {
    let room = Room::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tests/fixtures/keras_exports/m4_char_lstm");
    let path = |file: &str| folder.join(file).display().to_string();
    let (model, tokenizer) = (path("model_keras2.h5"), path("tokenizer.json"));
    let import = ["import", "--name", "chars", "--maxlen", "100"];
    let files = ["--model", &model, "--tokenizer", &tokenizer];
    let import = [&import[..], &files].concat();
    for version in 1..3 {
        let written = format!("models/chars/{version}/manifest.json");
        done(&room, &import, &[&written]);
    }
    for (format, file) in [("keras", "a.keras"), ("keras", "a.h5"), ("onnx", "a.onnx")] {
        done(
            &room,
            &["export", "--format", format, "chars", file],
            &[file],
        );
    }
    assert_eq!(
        run_unread(&room, &["models", "activate", "chars@2"]),
        Some(0)
    );
    let active = fs::read_to_string(room.path("models/chars/ACTIVE")).unwrap();
    assert_eq!(active.trim(), "2");
}
