//! What Keras and tf2onnx wrote, imported: every file in a folder answers what `predict` answered.
//!
//! `SENTIMENT_KERAS_EXPORTS` names another folder of this kind: any number of `.h5`, `.hdf5`, `.keras` and `.onnx` files,
//! each with a `predictions.json` beside it, and with a `tokenizer.json` where the model reads text.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod back;
mod folder;
mod onnx;
mod refused;

use std::fs;
use std::io::{sink, stdout};
use std::path::Path;
use std::time::Duration;

use folder::{Case, Predictions, each_file, fixtures, folders};
use sentiment::bundle::{self, Bundle, Trim};
use sentiment::engine::session::{Device, Runtime, Session, SessionOptions};
use sentiment::import::{Head, Imported, Request, Served, VocabularyArguments, import};
use sentiment::recipe::Display;
use sentiment::sentiment::sigmoid;
use sentiment::text::{Moment, Side, TextSpec};

const MODELS: [&str; 4] = ["h5", "hdf5", "keras", "onnx"];

fn request(maxlen: usize) -> Request {
    Request {
        name: "imported".to_owned(),
        languages: vec!["en".to_owned()],
        default_for: vec![],
        display: Display::default(),
        card: None,
        text: TextSpec::default(),
        maxlen: Some(maxlen),
        padding: Side::Pre,
        truncating: Side::Pre,
        vocabulary: VocabularyArguments::default(),
        head: Head::default(),
        as_it_is: false,
        limit: Duration::from_secs(600),
    }
}

/// Imports a file; a model without a tokenizer is one of ranks, and gets 12,000 of them.
fn imported(model: &Path, room: &Path, request: &mut Request) -> Imported {
    let mut tokenizer = model.with_file_name("tokenizer.json");
    if !tokenizer.exists() {
        tokenizer = room.join("ranks.json");
        let ranks: Vec<String> = (1..=12_000)
            .rev()
            .map(|rank| format!("\"w{rank}\": {rank}"))
            .collect();
        fs::write(&tokenizer, format!("{{{}}}", ranks.join(","))).unwrap();
        request.vocabulary.index_from = Some(3);
    }
    let runtime = Runtime::load().unwrap();
    match import(&runtime, (model, &tokenizer), request) {
        Ok(imported) => imported,
        Err(error) => panic!("{error}"),
    }
}

/// The largest difference over all cases, each in a batch, alone and, where the graph can, without its pads.
fn largest_difference(bundle: &Bundle, cases: &[Case]) -> f64 {
    let options = SessionOptions {
        device: Device::Cpu,
        standard: false,
    };
    let runtime = Runtime::load().unwrap();
    let mut session = Session::open(&runtime, &bundle.onnx, options).unwrap();
    let mut run = |rows: &[&[i64]]| -> Vec<f64> {
        let time = rows.iter().map(|row| row.len()).max().unwrap();
        // Where lengths are read, what stands behind them is not.
        let ids: Vec<i64> = rows
            .iter()
            .flat_map(|row| {
                let rest = std::iter::repeat_n(0, time - row.len());
                row.iter().copied().chain(rest)
            })
            .collect();
        let lengths: Vec<i64> = rows.iter().map(|row| row.len() as i64).collect();
        let logits = session.run(&ids, (rows.len(), time), &lengths).unwrap();
        logits
            .into_iter()
            .map(|logit| sigmoid(f64::from(logit)))
            .collect()
    };
    let masked = bundle.manifest.trim == Trim::Masked;
    let whole: Vec<&[i64]> = cases
        .iter()
        .map(|case| match masked {
            true => unpadded(&case.padded),
            false => &case.padded,
        })
        .collect();
    let batch = run(&whole);
    let mut worst: f64 = 0.0;
    for (at, case) in cases.iter().enumerate() {
        let mut answers = vec![batch[at], run(&[whole[at]])[0]];
        if bundle.manifest.trim == Trim::Table {
            let pads = case.padded.iter().take_while(|id| **id == 0).count();
            answers.push(run(&[&case.padded[pads.min(case.padded.len() - 1)..]])[0]);
        }
        for found in answers {
            let difference = (found - case.probability).abs();
            assert!(
                difference < 1e-5,
                "{}: {found} where Keras answers {}",
                case.id,
                case.probability
            );
            worst = worst.max(difference);
        }
    }
    worst
}

/// A row without the pads at its ends, of one id at least.
fn unpadded(row: &[i64]) -> &[i64] {
    let first = row.iter().take_while(|id| **id == 0).count();
    let row = &row[first.min(row.len() - 1)..];
    let last = row.iter().rev().take_while(|id| **id == 0).count();
    &row[..(row.len() - last).max(1)]
}

/// Texts become the ids that Keras's tokenizer made of them. Says how many there were.
fn same_ids(bundle: &Bundle, cases: &[Case]) -> usize {
    let mut texts = 0;
    for case in cases {
        if let Some(text) = &case.text
            && (case.padding.as_str(), case.truncating.as_str()) == ("pre", "pre")
        {
            let (mut ids, mut row) = (Vec::new(), Vec::new());
            bundle.encoder.encode(text, Moment::Serve, &mut ids);
            bundle.encoder.pad(&ids, case.padded.len(), &mut row);
            assert_eq!(row, case.padded, "{}", case.id);
            texts += 1;
        }
    }
    texts
}

/// Imports a file, compares what it answers, and says what was done.
fn answers_as_keras(file: &Path, predictions: &Predictions) -> String {
    let room = tempfile::tempdir().unwrap();
    let mut request = request(predictions.maxlen());
    let Imported {
        draft,
        producer,
        served,
        ..
    } = imported(file, room.path(), &mut request);
    let written = bundle::write(room.path(), draft).unwrap();
    let bundle = Bundle::load(&written.dir).unwrap();
    let worst = largest_difference(&bundle, &predictions.cases);
    let texts = match file.with_file_name("tokenizer.json").exists() {
        true => same_ids(&bundle, &predictions.cases),
        false => 0,
    };
    let served = match served {
        Served::Rebuilt(_) => "rebuilt".to_owned(),
        Served::AsItIs(reason) => format!("as it is ({reason})"),
    };
    format!(
        "{producer}, {served}, trim {}, {} cases, {texts} texts, largest difference {worst:.1e}",
        bundle.manifest.trim,
        predictions.cases.len()
    )
}

#[test]
fn keras_exports_answer_as_keras_did() {
    each_file(&folders(), &MODELS, &mut stdout(), answers_as_keras).assert_whole();
}

#[test]
fn keras_exports_as_onnx_answer_the_same_as_they_are() {
    let outcome = each_file(&folders(), &["onnx"], &mut stdout(), |file, predictions| {
        let room = tempfile::tempdir().unwrap();
        let mut request = request(predictions.maxlen());
        request.as_it_is = true;
        let Imported { draft, served, .. } = imported(file, room.path(), &mut request);
        assert_eq!(served, Served::AsItIs("as asked".to_owned()));
        let written = bundle::write(room.path(), draft).unwrap();
        let bundle = Bundle::load(&written.dir).unwrap();
        let worst = largest_difference(&bundle, &predictions.cases);
        format!("as it is, largest difference {worst:.1e}")
    });
    outcome.assert_none_failed();
}

#[test]
fn keras_exports_of_any_folder_get_a_line_each_and_one_that_fails_hides_no_other() {
    let room = tempfile::tempdir().unwrap();
    let small = fixtures("keras_small/flatten_keras2");
    let copy = |from: &str, to: &str| {
        let to = room.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(small.join(from), to).unwrap();
    };
    fs::create_dir(room.path().join("empty")).unwrap();
    fs::write(room.path().join("manifest.json"), "{}").unwrap();
    copy("model.h5", "a/without.h5");
    copy("model.h5", "b/inner/weights of 2.HDF5");
    copy("model.keras", "b/inner/an other.keras");
    fs::write(room.path().join("b/inner/torn.onnx"), "no graph").unwrap();
    // No tokenizer, texts all the same, and nothing that has a default.
    let predictions = fs::read(small.join("predictions.json")).unwrap();
    let mut predictions: serde_json::Value = serde_json::from_slice(&predictions).unwrap();
    predictions.as_object_mut().unwrap().remove("maxlen");
    for case in predictions["cases"].as_array_mut().unwrap() {
        case["text"] = "a text".into();
        let case = case.as_object_mut().unwrap();
        case.remove("padding");
        case.remove("truncating");
        case.remove("id");
    }
    let text = predictions.to_string();
    fs::write(room.path().join("b/inner/predictions.json"), text).unwrap();

    let found = each_file(
        &[room.path().to_owned()],
        &MODELS,
        &mut sink(),
        answers_as_keras,
    );
    let starts: Vec<&str> = found
        .lines
        .iter()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        starts,
        [
            "FAILED a/without.h5",
            "b/inner/an other.keras",
            "FAILED b/inner/torn.onnx",
            "b/inner/weights of 2.HDF5",
        ]
    );
    assert_eq!((found.passed, found.failed().len()), (2, 2));
    let none = each_file(
        &[room.path().join("empty")],
        &MODELS,
        &mut sink(),
        answers_as_keras,
    );
    assert!(std::panic::catch_unwind(|| none.assert_whole()).is_err());
}

#[test]
fn keras_exports_with_frozen_layers_count_them_as_keras_does() {
    for folder in ["frozen_keras2", "frozen_keras3"] {
        for file in ["model.h5", "model.keras"] {
            let file = fixtures("keras_small").join(folder).join(file);
            let room = tempfile::tempdir().unwrap();
            let draft = imported(&file, room.path(), &mut request(9)).draft;
            let trains: Vec<(&str, bool)> = draft
                .layers
                .iter()
                .map(|layer| (layer.kind.as_str(), layer.trainable))
                .collect();
            let expected = [
                ("Embedding", false),
                ("LSTM", false),
                ("Dense", true),
                ("Dense", true),
            ];
            assert_eq!(trains, expected, "{}", file.display());
        }
    }
}
