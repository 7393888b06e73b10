//! What Keras and tf2onnx wrote, imported: every file in a folder answers what `predict` answered.
//!
//! `SENTIMENT_KERAS_EXPORTS` names another folder of this kind: a folder for each model, with `predictions.json`, with
//! `tokenizer.json` where the model reads text, and with any number of `.h5`, `.keras` and `.onnx` files.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use sentiment::bundle::{self, Bundle, Trim};
use sentiment::engine::session::{Device, Runtime, Session, SessionOptions};
use sentiment::import::{
    Head, Imported, KerasFormat, Request, Served, VocabularyArguments, import, keras_file,
    own_network,
};
use sentiment::recipe::{Activation, Display, LayerRecipe};
use sentiment::sentiment::sigmoid;
use sentiment::text::{Moment, Side, TextSpec};
use serde::Deserialize;

#[derive(Deserialize)]
struct Predictions {
    maxlen: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    text: Option<String>,
    padding: String,
    truncating: String,
    padded: Vec<i64>,
    probability: f64,
}

/// The models' folders.
fn models() -> Vec<PathBuf> {
    let folders = match std::env::var_os("SENTIMENT_KERAS_EXPORTS") {
        Some(folder) => vec![folder.into()],
        None => vec![fixtures("keras_exports"), fixtures("keras_small")],
    };
    let models = folders.iter().flat_map(|folder| sorted(folder));
    let models: Vec<PathBuf> = models.filter(|path| path.is_dir()).collect();
    assert!(!models.is_empty(), "no models in {folders:?}");
    models
}

fn fixtures(folder: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures").join(folder)
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    paths
}

fn is_model(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("h5" | "keras" | "onnx"))
}

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
        Err(error) => panic!("{}: {error}", model.display()),
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
        let time = rows[0].len();
        let lengths = vec![time as i64; rows.len()];
        let logits = session
            .run(&rows.concat(), (rows.len(), time), &lengths)
            .unwrap();
        logits
            .into_iter()
            .map(|logit| sigmoid(f64::from(logit)))
            .collect()
    };
    let rows: Vec<&[i64]> = cases.iter().map(|case| case.padded.as_slice()).collect();
    let masked = bundle.manifest.trim == Trim::Masked;
    let batch = if masked { vec![] } else { run(&rows) };
    let mut worst: f64 = 0.0;
    for (at, case) in cases.iter().enumerate() {
        let pads = case.padded.iter().take_while(|id| **id == 0).count();
        let trimmed = match bundle.manifest.trim {
            Trim::Table => &case.padded[pads.min(case.padded.len() - 1)..],
            Trim::None => &case.padded,
            // Pads are not read, and stand at the back.
            Trim::Masked => &case.padded[pads.min(case.padded.len() - 1)..],
        };
        let mut answers = vec![run(&[trimmed])[0]];
        if !masked {
            answers.extend([batch[at], run(&[&case.padded])[0]]);
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
        if let Some(text) = &case.text
            && (case.padding.as_str(), case.truncating.as_str()) == ("pre", "pre")
        {
            let (mut ids, mut row) = (Vec::new(), Vec::new());
            bundle.encoder.encode(text, Moment::Serve, &mut ids);
            bundle.encoder.pad(&ids, case.padded.len(), &mut row);
            assert_eq!(row, case.padded, "{}", case.id);
        }
    }
    worst
}

#[test]
fn keras_exports_answer_as_keras_did() {
    let mut files = 0;
    for model in models() {
        let predictions = fs::read(model.join("predictions.json")).unwrap();
        let predictions: Predictions = serde_json::from_slice(&predictions).unwrap();
        for file in sorted(&model).into_iter().filter(|path| is_model(path)) {
            let shown = format!(
                "{}/{}",
                model.file_name().unwrap().display(),
                file.file_name().unwrap().display()
            );
            let room = tempfile::tempdir().unwrap();
            let Imported {
                draft,
                producer,
                served,
            } = imported(&file, room.path(), &mut request(predictions.maxlen));
            let written = bundle::write(room.path(), draft).unwrap();
            let bundle = Bundle::load(&written.dir).unwrap();
            let worst = largest_difference(&bundle, &predictions.cases);
            let served = match served {
                Served::Rebuilt(_) => "rebuilt".to_owned(),
                Served::AsItIs(reason) => format!("as it is ({reason})"),
            };
            println!(
                "{shown}: {producer}, {served}, trim {}, {} cases, largest difference {worst:.1e}",
                bundle.manifest.trim,
                predictions.cases.len()
            );
            files += 1;
        }
    }
    assert!(files > 0, "no files");
}

#[test]
fn keras_exports_as_onnx_answer_the_same_as_they_are() {
    for model in models() {
        let predictions = fs::read(model.join("predictions.json")).unwrap();
        let predictions: Predictions = serde_json::from_slice(&predictions).unwrap();
        for file in sorted(&model) {
            if file.extension().is_none_or(|extension| extension != "onnx") {
                continue;
            }
            let room = tempfile::tempdir().unwrap();
            let mut request = request(predictions.maxlen);
            request.as_it_is = true;
            let Imported { draft, served, .. } = imported(&file, room.path(), &mut request);
            assert_eq!(served, Served::AsItIs("as asked".to_owned()));
            let written = bundle::write(room.path(), draft).unwrap();
            let bundle = Bundle::load(&written.dir).unwrap();
            let worst = largest_difference(&bundle, &predictions.cases);
            println!(
                "{}: as it is, largest difference {worst:.1e}",
                file.display()
            );
        }
    }
}

#[test]
fn keras_exports_with_layers_of_no_place_here_are_refused_by_position_and_name() {
    for (name, words) in [
        ("conv1d", "layers[1] \"conv1d\" (Conv1D) is not supported"),
        (
            "lstm_elu",
            "(LSTM) is not supported: its activation is \"elu\"",
        ),
        ("backwards_sequences", "layers[2] \"lstm"),
        ("dense_gelu", "its activation \"gelu\""),
        ("three_classes", "it ends in 3 numbers"),
        ("masked_max", "layers[2] \"global_max_pooling1d"),
    ] {
        for version in ["keras2.h5", "keras3.keras"] {
            let file = fixtures("keras_refused").join(format!("{name}_{version}"));
            let room = tempfile::tempdir().unwrap();
            let tokenizer = room.path().join("words.json");
            fs::write(&tokenizer, "{\"a\": 1}").unwrap();
            let runtime = Runtime::load().unwrap();
            let refused = import(&runtime, (&file, &tokenizer), &request(9))
                .unwrap_err()
                .to_string();
            assert!(
                refused.contains(words),
                "{name}: {refused:?} lacks {words:?}"
            );
        }
    }
}

/// Puts a sigmoid in the place of a hard one, which no file can say for both versions of Keras. Says whether there was one.
fn with_sigmoid(recipe: &mut LayerRecipe) -> bool {
    match recipe {
        LayerRecipe::Lstm(recurrent) | LayerRecipe::Gru(recurrent) => {
            let gates = recurrent.recurrent_activation.as_ref();
            let hard = gates.is_some_and(|gates| gates.straight().is_some());
            if hard {
                recurrent.recurrent_activation = None;
            }
            hard
        }
        LayerRecipe::Dense { activation, .. } if activation.straight().is_some() => {
            *activation = Activation::Sigmoid;
            true
        }
        _ => false,
    }
}

#[test]
fn keras_exports_go_back_to_keras_files_with_every_weight() {
    for model in models() {
        let Some(file) = sorted(&model).into_iter().find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "keras")
        }) else {
            continue;
        };
        let room = tempfile::tempdir().unwrap();
        let predictions = fs::read(model.join("predictions.json")).unwrap();
        let predictions: Predictions = serde_json::from_slice(&predictions).unwrap();
        let mut request = request(predictions.maxlen);
        let first = imported(&file, room.path(), &mut request);
        let written = bundle::write(room.path(), first.draft).unwrap();
        let bundle = Bundle::load(&written.dir).unwrap();
        let mut network = own_network(&bundle).unwrap();
        let layers = network.layers.iter_mut();
        let other_meanings = layers.fold(false, |found, layer| {
            with_sigmoid(&mut layer.recipe) | found
        });
        if other_meanings {
            let refused = keras_file(&own_network(&bundle).unwrap(), KerasFormat::Hdf5);
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("hard_sigmoid"), "{refused}");
        }
        for (name, format) in [
            ("back.keras", KerasFormat::Archive),
            ("back.h5", KerasFormat::Hdf5),
        ] {
            let tokenizer = match model.join("tokenizer.json") {
                tokenizer if tokenizer.exists() => tokenizer,
                _ => room.path().join("ranks.json"),
            };
            let back = room.path().join(name);
            fs::write(&back, keras_file(&network, format).unwrap()).unwrap();
            let runtime = Runtime::load().unwrap();
            let again = import(&runtime, (&back, &tokenizer), &request).unwrap();
            assert_eq!(
                again.draft.trim,
                bundle.manifest.trim,
                "{}",
                model.display()
            );
            let path = room.path().join(format!("{name}.models"));
            let written = bundle::write(&path, again.draft).unwrap();
            let again = own_network(&Bundle::load(&written.dir).unwrap()).unwrap();
            for (one, other) in network.layers.iter().zip(&again.layers) {
                assert_eq!(
                    (&one.recipe, &one.weights),
                    (&other.recipe, &other.weights),
                    "{name}"
                );
            }
            assert_eq!(network.layers.len(), again.layers.len());
        }
    }
}

#[test]
fn keras_exports_that_are_damaged_never_end_the_program() {
    let runtime = Runtime::load().unwrap();
    let room = tempfile::tempdir().unwrap();
    let tokenizer = room.path().join("words.json");
    fs::write(&tokenizer, "{\"a\": 1, \"b\": 2}").unwrap();
    let mut refused = 0;
    for model in ["flatten_keras2", "without_biases_keras3"] {
        for file in ["model.h5", "model.keras", "model.onnx"] {
            let whole = fs::read(fixtures("keras_small").join(model).join(file)).unwrap();
            for at in 0..40 {
                let mut bytes = whole.clone();
                if at % 2 == 0 {
                    bytes.truncate(whole.len() * at / 40);
                } else {
                    // Early bytes say how the file is made; a prime step meets all kinds of them.
                    let place = at * 997 % whole.len().min(6_000);
                    bytes[place] ^= 0x55;
                }
                let damaged = room.path().join(file);
                fs::write(&damaged, bytes).unwrap();
                let outcome = import(&runtime, (&damaged, &tokenizer), &request(9));
                refused += usize::from(outcome.is_err());
            }
        }
    }
    assert!(refused > 100, "{refused}");
}
