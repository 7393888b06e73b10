//! Alone or in any batch a text's scores agree within 1e-5, however the graph lets its rows be trimmed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sentiment::bundle::{Bundle, Draft, Metrics, TrainingRecord, Trim, write};
use sentiment::config::Device;
use sentiment::engine::session::Runtime;
use sentiment::engine::{Engine, EngineSettings};
use sentiment::import::word_vectors;
use sentiment::recipe::Recipe;
use sentiment::sentiment::Calibration;
use sentiment::text::Encoder;
use sentiment::train::export::export;
use sentiment::train::golden;
use sentiment::train::network::Network;
use sentiment::train::summary::summary;

const WORDS: &str = "good bad the love hate it was awful great plot actor slow fine dull";

/// A network with random weights, large enough that they matter.
fn engine(layers: &str, padding: &str, expected: Trim, max_batch: usize) -> Engine {
    let recipe = format!(
        "name = \"random\"\nlanguages = [\"en\"]\ndisplay = {{ positive = \"+\", negative = \"-\" }}\n[[data.source]]\nname = \"any\"\n\
         label_above = 3\n[data]\n[tokenizer]\noov = \"?\"\n[padding]\nmaxlen = 40\n{padding}\n{layers}\n\
         [[layers]]\nkind = \"dense\"\nunits = 1\nactivation = \"sigmoid\"\n[fit]\n"
    );
    let recipe = Recipe::parse(&recipe, "recipe").unwrap();
    let encoder = Encoder::fit(recipe.encoder_spec(), [WORDS]).unwrap();
    let mut network = Network::<f32>::build(&recipe.layers, encoder.rows(), 40, 3);
    for layer in &mut network.layers {
        for weights in &mut layer.weights {
            weights.mapv_inplace(|weight| weight * 3.0);
        }
    }
    let proof = network.cast::<f64>();
    let golden = golden::rows(&recipe, &encoder, &proof);
    let exported = export(&network, recipe.padding.padding).unwrap();
    assert_eq!(exported.trim, expected, "{layers}");
    let draft = Draft {
        seed: 1,
        trim: exported.trim,
        rows: encoder.rows(),
        layers: summary(&network),
        training: TrainingRecord::default(),
        metrics: Metrics::default(),
        calibration: Calibration { temperature: 1.0 },
        onnx: exported.onnx,
        tokenizer: encoder.to_json(),
        history: "{\"epochs\":[]}\n".to_owned(),
        curves: "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n".to_owned(),
        golden,
        recipe,
    };
    let models = tempfile::tempdir().unwrap();
    write(models.path(), draft).unwrap();
    let bundle = Bundle::load(&models.path().join("random/1")).unwrap();
    let settings = EngineSettings {
        device: Device::Cpu,
        threads: 2,
        max_batch,
        queue: 1_024,
    };
    Engine::start(&Runtime::load().unwrap(), Arc::new(bundle), settings, None).unwrap()
}

fn texts(random: &mut ChaCha8Rng) -> Vec<String> {
    let words: Vec<&str> = WORDS.split(' ').collect();
    (0..150)
        .map(|_| {
            let length = random.random_range(1..=60);
            let words = (0..length).map(|_| words[random.random_range(0..words.len())]);
            words.collect::<Vec<_>>().join(" ")
        })
        .collect()
}

fn scores(engine: &Engine, texts: &[&str]) -> Vec<f64> {
    let answers = engine.predict_bulk(texts);
    answers
        .into_iter()
        .map(|answer| answer.unwrap().score.raw)
        .collect()
}

#[test]
fn a_models_words_are_read_once_however_many_ask() {
    let layers =
        "[[layers]]\nkind = \"embedding\"\nunits = 8\n[[layers]]\nkind = \"lstm\"\nunits = 4\n";
    let engine = engine(layers, "", Trim::Table, 1);
    let reads = AtomicUsize::new(0);
    let (ready, asked) = (Barrier::new(8), 3);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                ready.wait();
                for _ in 0..asked {
                    let words = engine.word_vectors(|bundle| {
                        reads.fetch_add(1, Ordering::Relaxed);
                        word_vectors(bundle)
                    });
                    assert_eq!(words.unwrap().len(), 15);
                }
            });
        }
    });
    assert_eq!(reads.into_inner(), 1);
}

#[test]
fn a_texts_scores_do_not_depend_on_its_company() {
    let embedding = "[[layers]]\nkind = \"embedding\"\nunits = 8\n";
    let masked = "[[layers]]\nkind = \"embedding\"\nunits = 8\nmask_zero = true\n";
    let lstm = "[[layers]]\nkind = \"lstm\"\nunits = 12\nreturn_sequences = true\n";
    let last = "[[layers]]\nkind = \"lstm\"\nunits = 8\n";
    let gru = "[[layers]]\nkind = \"gru\"\nunits = 8\n";
    let both = "[[layers]]\nkind = \"lstm\"\nunits = 8\nbidirectional = \"concat\"\n";
    let attention = "[[layers]]\nkind = \"attention_pooling\"\nunits = 6\n";
    let cases = [
        (format!("{embedding}{lstm}{attention}"), "", Trim::Table),
        (format!("{masked}{lstm}{attention}"), "", Trim::Masked),
        (format!("{embedding}{lstm}{last}"), "", Trim::Table),
        (format!("{embedding}{gru}"), "", Trim::Table),
        (format!("{masked}{lstm}{last}"), "", Trim::Masked),
        (format!("{masked}{both}"), "", Trim::Masked),
        (
            format!("{embedding}{last}"),
            "padding = \"post\"",
            Trim::None,
        ),
    ];
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for (layers, padding, trim) in &cases {
        for max_batch in [1, 7, 64] {
            let engine = engine(layers, padding, *trim, max_batch);
            let texts = texts(&mut random);
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let alone: Vec<f64> = texts
                .iter()
                .map(|text| scores(&engine, &[text])[0])
                .collect();
            let different: BTreeSet<u64> = alone.iter().map(|score| score.to_bits()).collect();
            assert!(different.len() > 50, "{layers}: the scores say nothing");
            let mut at = 0;
            while at < texts.len() {
                let end = (at + random.random_range(1..=90)).min(texts.len());
                for (together, alone) in scores(&engine, &texts[at..end]).iter().zip(&alone[at..]) {
                    assert!(
                        (together - alone).abs() <= 1e-5,
                        "{layers}{padding}: {alone} alone and {together} among {}",
                        end - at
                    );
                }
                at = end;
            }
        }
    }
}
