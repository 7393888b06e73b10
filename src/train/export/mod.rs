//! Weights to an ONNX graph of standard operators, and the proof that it answers as the network does.
//!
//! Every graph takes `ids` `[batch, time]` and `lengths` `[batch]` and answers `logit` `[batch]`. How much of a row it has
//! to see is decided by the layers: see [`Trim`]. The graph's metadata says so too, with `maxlen` and the number of ids,
//! so that a session can refuse what it cannot take.

mod attention;
mod graph;
mod layers;
mod pads;
mod proof;
mod recurrent;

use crate::bundle::Trim;
use crate::recipe::{Embedding, LayerRecipe, Recurrent};
use crate::text::Side;
use crate::train::network::Network;

pub use proof::{Proof, ProofError, TOLERANCE, prove};

/// Why a network has no graph.
#[derive(Debug, thiserror::Error)]
#[error("network cannot be exported: {0}")]
pub struct ExportError(String);

/// A graph.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The file.
    pub onnx: Vec<u8>,
    /// How its rows may be shortened.
    pub trim: Trim,
}

/// The graph of a network whose rows are padded at `padding`.
///
/// # Errors
/// The layers do not fit together, or a weight is not finite.
pub fn export(network: &Network<f32>, padding: Side) -> Result<Exported, ExportError> {
    check(network)?;
    let trim = trim(network, padding);
    Ok(Exported {
        onnx: layers::write(network, trim),
        trim,
    })
}

/// How the rows of a network may be shortened: as far as each of its layers allows.
pub fn trim(network: &Network<f32>, padding: Side) -> Trim {
    let trims = layer_trims(network.layers.iter().map(|layer| &layer.recipe), padding);
    match trims.contains(&Trim::None) {
        true => Trim::None,
        false => trims.first().copied().unwrap_or(Trim::None),
    }
}

/// How far each layer by itself allows rows to be shortened: `masked` all of them behind an embedding that masks pads, `none` where
/// a layer reads pads that no table of states stands for, else `table`.
pub fn layer_trims<'a>(
    layers: impl IntoIterator<Item = &'a LayerRecipe, IntoIter: Clone>,
    padding: Side,
) -> Vec<Trim> {
    let layers = layers.into_iter();
    let masks = |layer: &LayerRecipe| layer.embedding().is_some_and(|e| e.mask_zero);
    let masked = layers.clone().any(masks);
    let backwards = |layer: &LayerRecipe| {
        let recurrent = layer.recurrent();
        recurrent.is_some_and(|r| r.bidirectional.is_some() || r.go_backwards)
    };
    layers
        .map(|layer| match layer {
            _ if masked => Trim::Masked,
            LayerRecipe::Flatten {} => Trim::None,
            layer if backwards(layer) || padding == Side::Post => Trim::None,
            _ => Trim::Table,
        })
        .collect()
}

/// Every weight has the shape that the layer below and the recipe ask for.
fn check(network: &Network<f32>) -> Result<(), ExportError> {
    let fail = |reason: String| Err(ExportError(reason));
    if network.maxlen == 0 {
        return fail("maxlen is 0".into());
    }
    let mut features = 0;
    let mut over_time = true;
    for layer in &network.layers {
        let (wanted, outputs): (Vec<Vec<usize>>, usize) = match layer.recipe {
            LayerRecipe::Embedding(Embedding { units, .. }) => {
                let rows = layer.weights.first().map_or(0, |w| w.shape()[0]);
                (vec![vec![rows, units]], units)
            }
            LayerRecipe::Lstm(ref recurrent) => {
                over_time = recurrent.return_sequences;
                let bias = vec![4 * recurrent.units];
                (
                    recurrent_shapes(recurrent, features, &bias, 4),
                    recurrent.features(),
                )
            }
            LayerRecipe::Gru(ref recurrent) => {
                over_time = recurrent.return_sequences;
                let bias = match recurrent.arithmetic().2 {
                    true => vec![2, 3 * recurrent.units],
                    false => vec![3 * recurrent.units],
                };
                (
                    recurrent_shapes(recurrent, features, &bias, 3),
                    recurrent.features(),
                )
            }
            LayerRecipe::SimpleRnn(ref recurrent) => {
                over_time = recurrent.return_sequences;
                let bias = vec![recurrent.units];
                (
                    recurrent_shapes(recurrent, features, &bias, 1),
                    recurrent.features(),
                )
            }
            LayerRecipe::Dense { units, .. } => (vec![vec![features, units], vec![units]], units),
            LayerRecipe::Dropout { .. } | LayerRecipe::SpatialDropout { .. } => (vec![], features),
            LayerRecipe::Flatten {} => {
                over_time = false;
                (vec![], features * network.maxlen)
            }
            LayerRecipe::GlobalMaxPooling {} | LayerRecipe::GlobalAveragePooling {} => {
                over_time = false;
                (vec![], features)
            }
            LayerRecipe::GlobalMaxAveragePooling {} => {
                over_time = false;
                (vec![], 2 * features)
            }
            LayerRecipe::AttentionPooling { units } => {
                over_time = false;
                (
                    vec![vec![features, units], vec![units], vec![units, 1]],
                    features,
                )
            }
        };
        features = outputs;
        let found: Vec<&[usize]> = layer.weights.iter().map(|w| w.shape()).collect();
        if found != wanted {
            return fail(format!(
                "{} has weights of shapes {found:?} where {wanted:?} are needed",
                layer.name
            ));
        }
        if let Some(weight) = layer.weights.iter().flatten().find(|w| !w.is_finite()) {
            return fail(format!("{} has a weight that is {weight}", layer.name));
        }
    }
    if over_time || features != 1 {
        return fail("it does not end in one number for each row".into());
    }
    Ok(())
}

/// Kernel, recurrent kernel and bias of each direction.
fn recurrent_shapes(
    recurrent: &Recurrent,
    features: usize,
    bias: &[usize],
    gates: usize,
) -> Vec<Vec<usize>> {
    let wide = gates * recurrent.units;
    let one = [
        vec![features, wide],
        vec![recurrent.units, wide],
        bias.to_vec(),
    ];
    let directions = 1 + usize::from(recurrent.bidirectional.is_some());
    one.iter().cycle().take(3 * directions).cloned().collect()
}
