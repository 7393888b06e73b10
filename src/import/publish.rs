//! From layers or a graph to everything that a bundle holds, proven on rows of the model's own vocabulary.

use rand::RngExt as _;

use super::onnx::Foreign;
use super::stack::Stack;
use super::{ImportError, Imported, Request, Served};
use crate::bundle::{Draft, LayerSummary, Metrics, TrainingRecord, Trim};
use crate::engine::session::{Device, Runtime, Session, SessionError, SessionOptions, Timed};
use crate::recipe::{DataRecipe, FitRecipe, LayerRecipe, Recipe};
use crate::sentiment::{Calibration, sigmoid};
use crate::text::Encoder;
use crate::train::curves::curves_svg;
use crate::train::export::{self, TOLERANCE};
use crate::train::network::{Layer, Network};
use crate::train::report::History;
use crate::train::run::model_row;
use crate::train::summary::summary;
use crate::train::{golden, init};

/// Rows of random ids that a network is proven on, beside the golden ones.
const PROOF_ROWS: usize = 64;

/// Logits that are compared must agree to this share: two saturated probabilities agree too easily.
const LOGIT_TOLERANCE: f64 = 1e-3;

/// The rows of the first layer's table.
///
/// # Errors
/// The first layer is no embedding.
pub(super) fn embedding_rows(layers: &[Layer<f32>]) -> Result<usize, ImportError> {
    let is_embedding = |layer: &&Layer<f32>| matches!(layer.recipe, LayerRecipe::Embedding(_));
    let first = layers.first().filter(is_embedding);
    let rows = first
        .and_then(|layer| layer.weights.first())
        .filter(|table| table.ndim() == 2)
        .map(|table| table.shape()[0]);
    rows.ok_or_else(|| {
        ImportError::Model(match layers.first() {
            Some(first) if is_embedding(&first) => {
                format!("layers[0] {:?} has no table in the file", first.name)
            }
            Some(first) => format!(
                "layers[0] {:?} is no Embedding, which is what reads ids",
                first.name
            ),
            None => "it has no layers".to_owned(),
        })
    })
}

/// A network of ours; `original` is the graph that it was recognised in, which it must answer like.
pub(super) fn network(
    runtime: &Runtime,
    stack: Stack,
    (encoder, request): (Encoder, &Request),
    original: Option<&mut Timed>,
) -> Result<Imported, ImportError> {
    let maxlen = encoder.spec().padding.maxlen;
    let rows = embedding_rows(&stack.layers)?;
    let mut recipe = recipe(&encoder, request);
    recipe.layers = stack
        .layers
        .iter()
        .map(|layer| layer.recipe.clone())
        .collect();
    recipe.check()?;
    let network = Network {
        layers: stack.layers,
        maxlen,
    };
    let exported = export::export(&network, recipe.padding.padding)?;
    let exact = network.cast::<f64>();
    let golden = golden::rows(&recipe, &encoder, &exact);
    let ids = proof_rows(&encoder, rows);
    let read: Vec<Vec<i64>> = ids
        .iter()
        .filter_map(|ids| model_row(&recipe, &encoder, ids))
        .collect();
    let logits = exact.logits(&read.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let proven: Vec<(&[i64], f64)> = golden
        .iter()
        .map(|row| (&*row.ids, row.logit))
        .chain(ids.iter().map(Vec::as_slice).zip(logits))
        .collect();
    let proof = export::prove(runtime, &exported, &recipe.padding, &proven)?;
    if let Some(original) = original {
        agrees(original, &encoder, &proven)?;
    }
    let mut layers = summary(&network);
    for layer in &mut layers {
        layer.trainable &= !stack.frozen.contains(&layer.name);
    }
    let draft = Draft {
        trim: exported.trim,
        rows,
        layers,
        onnx: exported.onnx,
        golden,
        ..draft(&encoder, recipe)
    };
    Ok(Imported {
        draft,
        producer: stack.producer,
        largest_id: encoder.largest_id(),
        served: Served::Rebuilt(proof),
    })
}

/// A graph: rebuilt where that answers the same, else as it is.
pub(super) fn graph(
    runtime: &Runtime,
    foreign: &Foreign,
    (encoder, request): (Encoder, &Request),
) -> Result<Imported, ImportError> {
    let maxlen = encoder.spec().padding.maxlen;
    let rows = match foreign.rows {
        Some(rows) => rows,
        None => usize::try_from(encoder.largest_id()).map_or(1, |largest| largest + 1),
    };
    let onnx = foreign.adopt((rows, maxlen), request.head)?;
    let options = SessionOptions {
        device: Device::Cpu,
        standard: false,
    };
    let session = Session::open(runtime, &onnx, options)?;
    let mut session = Timed::new(session, request.limit)?;
    let reason = if request.as_it_is {
        "as asked".to_owned()
    } else {
        let stack = foreign.recognise(maxlen, request.head);
        let rebuilt = stack.and_then(|stack| {
            network(
                runtime,
                stack,
                (encoder.clone(), request),
                Some(&mut session),
            )
        });
        match rebuilt {
            Ok(imported) => return Ok(imported),
            Err(error) => error.to_string(),
        }
    };
    let recipe = recipe(&encoder, request);
    let mut golden = golden::texts(&recipe, &encoder);
    let ids: Vec<&[i64]> = golden.iter().map(|row| row.ids.as_slice()).collect();
    let logits = full_rows(&mut session, &encoder, &ids)?;
    for (row, logit) in golden.iter_mut().zip(logits) {
        row.logit = logit;
    }
    let layers = vec![LayerSummary {
        name: "graph".to_owned(),
        kind: "ONNX".to_owned(),
        output_shape: vec![None, Some(1)],
        parameters: foreign.parameters,
        trainable: true,
    }];
    let draft = Draft {
        trim: Trim::None,
        rows,
        layers,
        onnx,
        golden,
        ..draft(&encoder, recipe)
    };
    Ok(Imported {
        draft,
        producer: foreign.producer.clone(),
        largest_id: encoder.largest_id(),
        served: Served::AsItIs(reason),
    })
}

/// A recipe without layers.
fn recipe(encoder: &Encoder, request: &Request) -> Recipe {
    let spec = encoder.spec();
    Recipe {
        name: request.name.clone(),
        languages: request.languages.clone(),
        default_for: request.default_for.clone(),
        display: request.display.clone(),
        card: request.card.clone(),
        text: spec.text.clone(),
        data: DataRecipe::default(),
        tokenizer: spec.tokenizer.clone(),
        padding: spec.padding.clone(),
        layers: Vec::new(),
        fit: FitRecipe::default(),
    }
}

/// What all imports have alike; the rest is for the caller to fill in.
fn draft(encoder: &Encoder, recipe: Recipe) -> Draft {
    let history = History::default();
    Draft {
        seed: recipe.fit.seed,
        trim: Trim::None,
        rows: 0,
        layers: Vec::new(),
        training: TrainingRecord::default(),
        metrics: Metrics::default(),
        calibration: Calibration::default(),
        onnx: Vec::new(),
        tokenizer: encoder.to_json(),
        history: serde_json::to_string_pretty(&history).expect("an empty list"),
        curves: curves_svg(&history),
        golden: Vec::new(),
        recipe,
    }
}

/// Rows of random ids of all lengths, those of one id and of full length among them.
fn proof_rows(encoder: &Encoder, rows: usize) -> Vec<Vec<i64>> {
    let maxlen = encoder.spec().padding.maxlen;
    let mut noise = init::generator(1);
    let top = i64::try_from(rows).unwrap_or(i64::MAX).max(1);
    // A table of one row has the pad's alone.
    let least = 1.min(top - 1);
    (0..PROOF_ROWS)
        .map(|at| {
            let length = match at {
                0 => 1,
                1 => maxlen,
                _ => noise.random_range(1..=maxlen),
            };
            (0..length)
                .map(|_| noise.random_range(least..top))
                .collect()
        })
        .collect()
}

/// Compares a graph with what a network answers.
fn agrees(
    session: &mut Timed,
    encoder: &Encoder,
    proven: &[(&[i64], f64)],
) -> Result<(), ImportError> {
    let ids: Vec<&[i64]> = proven.iter().map(|(ids, _)| *ids).collect();
    for (found, (_, expected)) in full_rows(session, encoder, &ids)?.into_iter().zip(proven) {
        let off = (found - expected).abs() > LOGIT_TOLERANCE * (1.0 + expected.abs());
        if off || (sigmoid(found) - sigmoid(*expected)).abs() > TOLERANCE {
            return Err(ImportError::Model(format!(
                "rebuilt from what could be recognised it answers {} where the graph answers {}",
                sigmoid(*expected),
                sigmoid(found)
            )));
        }
    }
    Ok(())
}

/// The logits of rows padded to their full length.
fn full_rows(
    session: &mut Timed,
    encoder: &Encoder,
    rows: &[&[i64]],
) -> Result<Vec<f64>, ImportError> {
    let maxlen = encoder.spec().padding.maxlen;
    let mut logits = Vec::with_capacity(rows.len());
    for rows in rows.chunks(16) {
        let mut ids = Vec::with_capacity(rows.len() * maxlen);
        rows.iter()
            .for_each(|row| encoder.pad(row, maxlen, &mut ids));
        let lengths = vec![maxlen as i64; rows.len()];
        let answers = session.run(ids, (rows.len(), maxlen), lengths);
        let answers = answers.map_err(|error| match error {
            SessionError::Endless { limit } => ImportError::Endless { limit },
            error => error.into(),
        })?;
        logits.extend(answers.into_iter().map(f64::from));
    }
    Ok(logits)
}
