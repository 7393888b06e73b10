//! Keras as a witness: networks with the weights of Keras exports answer what Keras's `predict` answered.
//!
//! `tests/reference/keras_weights.py` made the fixtures; the expected numbers are Keras 2.15's own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use ndarray::ArrayD;
use sentiment::bundle::Trim;
use sentiment::engine::session::{Device, Runtime, Session, SessionOptions};
use sentiment::recipe::{Activation, Embedding, LayerRecipe, Merge, Recurrent};
use sentiment::sentiment::sigmoid;
use sentiment::text::{
    Encoder, EncoderSpec, Level, Moment, PaddingSpec, Side, TextSpec, TokenizerSpec,
};
use sentiment::train::export::export;
use sentiment::train::network::Network;
use sentiment::train::summary::summary;
use serde::Deserialize;

#[derive(Deserialize)]
struct Predictions {
    maxlen: usize,
    case_count: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    text: Option<String>,
    padded: Vec<i64>,
    probability: f64,
}

fn fixture(model: &str, file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/keras/{model}/{file}"))
}

fn predictions(model: &str) -> Predictions {
    let file = fixture(model, "predictions.json");
    let predictions: Predictions = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(predictions.cases.len(), predictions.case_count);
    predictions
}

/// The layers with the fixture's weights, every last one of them used.
fn network(model: &str, layers: &[LayerRecipe], (rows, maxlen): (usize, usize)) -> Network<f32> {
    let bytes = std::fs::read(fixture(model, "weights.f32")).unwrap();
    let mut numbers = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    let mut network = Network::build(layers, rows, maxlen, 1);
    for weight in network.layers.iter_mut().flat_map(|l| &mut l.weights) {
        let values = numbers.by_ref().take(weight.len()).collect();
        *weight = ArrayD::from_shape_vec(weight.shape(), values).unwrap();
    }
    assert_eq!(numbers.next(), None);
    network
}

fn lstms(embedding: usize) -> Vec<LayerRecipe> {
    let lstm = |units, return_sequences| LayerRecipe::Lstm(Recurrent::new(units, return_sequences));
    vec![
        LayerRecipe::Embedding(Embedding::new(embedding, false)),
        lstm(64, true),
        lstm(32, false),
        top(),
    ]
}

fn top() -> LayerRecipe {
    LayerRecipe::Dense {
        units: 1,
        activation: Activation::Sigmoid,
    }
}

/// Checks every case through the exported graph and through the trainer's forward; says how the graph may be trimmed.
fn witnessed(model: &str, layers: &[LayerRecipe], rows: usize) -> Trim {
    let predictions = predictions(model);
    let maxlen = predictions.maxlen;
    let network = network(model, layers, (rows, maxlen));
    let exported = export(&network, Side::Pre).unwrap();
    let options = SessionOptions {
        device: Device::Cpu,
        standard: true,
    };
    let runtime = Runtime::load().unwrap();
    let mut session = Session::open(&runtime, &exported.onnx, options).unwrap();
    let mut run = |rows: &[&[i64]]| -> Vec<f64> {
        let time = rows[0].len();
        let lengths = vec![time as i64; rows.len()];
        let logits = session.run(&rows.concat(), (rows.len(), time), &lengths);
        logits.unwrap().into_iter().map(f64::from).collect()
    };
    let full: Vec<&[i64]> = predictions
        .cases
        .iter()
        .map(|c| c.padded.as_slice())
        .collect();
    let batch = run(&full);
    let trained = network.logits(&full);
    let proven = network.cast::<f64>().logits(&full);
    let mut worst: f64 = 0.0;
    for (at, case) in predictions.cases.iter().enumerate() {
        let pads = match exported.trim {
            Trim::Table => case
                .padded
                .iter()
                .take(maxlen - 1)
                .take_while(|&&id| id == 0)
                .count(),
            Trim::Masked | Trim::None => 0,
        };
        for (way, logit) in [
            ("in a batch", batch[at]),
            ("alone and trimmed", run(&[&case.padded[pads..]])[0]),
            ("in the trainer", f64::from(trained[at])),
            ("in the trainer, in double precision", proven[at]),
        ] {
            let difference = (sigmoid(logit) - case.probability).abs();
            worst = worst.max(difference);
            assert!(
                difference < 1e-5,
                "{model}, {}, {way}: {} where Keras answers {}",
                case.id,
                sigmoid(logit),
                case.probability
            );
        }
    }
    println!(
        "{model}: {} cases, largest difference {worst:.1e}",
        predictions.case_count
    );
    exported.trim
}

#[test]
fn embedding_flatten_dense_answers_as_keras_does() {
    let layers = [
        LayerRecipe::Embedding(Embedding::new(32, false)),
        LayerRecipe::Flatten {},
        top(),
    ];
    assert_eq!(witnessed("m1_embedding_dense", &layers, 10_000), Trim::None);
}

#[test]
fn stacked_word_lstms_answer_as_keras_does() {
    assert_eq!(witnessed("m3_word_lstm", &lstms(32), 10_000), Trim::Table);
}

#[test]
fn stacked_character_lstms_answer_as_keras_does() {
    assert_eq!(witnessed("m4_char_lstm", &lstms(16), 95), Trim::Table);
}

#[test]
fn stacked_simple_rnns_answer_as_keras_does() {
    let dropping = Recurrent {
        dropout: 0.15,
        recurrent_dropout: 0.15,
        ..Recurrent::new(32, true)
    };
    let layers = [
        LayerRecipe::Embedding(Embedding::new(32, false)),
        LayerRecipe::SimpleRnn(dropping),
        LayerRecipe::SimpleRnn(Recurrent::new(32, false)),
        top(),
    ];
    assert_eq!(witnessed("m2_simple_rnn", &layers, 10_000), Trim::Table);
}

#[test]
fn stacked_character_grus_answer_as_keras_does() {
    let layers = [
        LayerRecipe::Embedding(Embedding::new(16, false)),
        LayerRecipe::Gru(Recurrent::new(64, true)),
        LayerRecipe::Gru(Recurrent::new(32, false)),
        top(),
    ];
    assert_eq!(witnessed("m5_char_gru", &layers, 95), Trim::Table);
}

#[test]
fn character_lstms_in_both_directions_answer_as_keras_does() {
    let both = |units, return_sequences| {
        LayerRecipe::Lstm(Recurrent {
            bidirectional: Some(Merge::Concat),
            ..Recurrent::new(units, return_sequences)
        })
    };
    let layers = [
        LayerRecipe::Embedding(Embedding::new(16, false)),
        both(64, true),
        both(32, false),
        top(),
    ];
    assert_eq!(witnessed("m6_char_bilstm", &layers, 95), Trim::None);
}

/// The texts of a model become the rows that Keras fed to it; the rows' answers are checked above.
fn texts_encode_as_keras_did(model: &str, tokenizer: TokenizerSpec) {
    let predictions = predictions(model);
    let spec = EncoderSpec {
        text: TextSpec::default(),
        tokenizer,
        padding: PaddingSpec {
            maxlen: predictions.maxlen,
            padding: Side::Pre,
            truncating: Side::Pre,
            value: 0,
        },
    };
    let json = std::fs::read_to_string(fixture(model, "tokenizer.json")).unwrap();
    let encoder = Encoder::from_json(spec, &json).unwrap();
    let (mut ids, mut texts) = (Vec::new(), 0);
    for case in &predictions.cases {
        if let Some(text) = &case.text {
            encoder.encode(text, Moment::Serve, &mut ids);
            let mut row = Vec::new();
            encoder.pad(&ids, predictions.maxlen, &mut row);
            assert_eq!(row, case.padded, "{model}, {}", case.id);
            texts += 1;
        }
    }
    assert_eq!(texts, 16);
}

#[test]
fn words_become_the_ids_that_keras_gave_them() {
    let tokenizer = TokenizerSpec {
        num_words: Some(10_000),
        oov: Some("<OOV>".to_owned()),
        ..TokenizerSpec::default()
    };
    texts_encode_as_keras_did("m3_word_lstm", tokenizer);
}

#[test]
fn characters_become_the_ids_that_keras_gave_them() {
    let tokenizer = TokenizerSpec {
        level: Level::Char,
        oov: Some("<OOV>".to_owned()),
        ..TokenizerSpec::default()
    };
    texts_encode_as_keras_did("m4_char_lstm", tokenizer);
}

#[test]
fn the_summary_is_that_of_keras() {
    let network = Network::<f32>::build(&lstms(32), 10_000, 350, 1);
    let shown: Vec<_> = summary(&network)
        .into_iter()
        .map(|layer| (layer.name, layer.output_shape, layer.parameters))
        .collect();
    let rows = [
        ("embedding", vec![None, Some(350), Some(32)], 320_000),
        ("lstm", vec![None, Some(350), Some(64)], 24_832),
        ("lstm_1", vec![None, Some(32)], 12_416),
        ("dense", vec![None, Some(1)], 33),
    ];
    assert_eq!(
        shown,
        rows.map(|(name, shape, weights)| (name.to_owned(), shape, weights))
    );
}
