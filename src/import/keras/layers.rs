//! Each of Keras's layers as ours.

use ndarray::ArrayD;

use super::chain::Link;
use super::config::Described;
use crate::import::ImportError;
use crate::import::stack::{Activated, Taken};
use crate::recipe::{Activation, Embedding, LayerRecipe, Merge, Recurrent};

/// A layer's translation; none for one that does nothing once the network is trained. Its weights are read once it is known
/// to be one of ours: those of others may be of any kind.
///
/// # Errors
/// We have no such layer, or it has not the weights that its description asks for.
pub(super) fn translate(
    link: &Link,
    read: impl FnOnce() -> Result<Vec<ArrayD<f32>>, ImportError>,
) -> Result<Option<Taken>, ImportError> {
    let layer = &link.layer;
    let mut weights = Vec::new();
    let recipe = match layer.class.as_str() {
        _ if link.pools_both => LayerRecipe::GlobalMaxAveragePooling {},
        "Embedding" => {
            let units = layer.number("output_dim")?;
            weights = read()?;
            LayerRecipe::Embedding(Embedding {
                trainable: layer.flag("trainable", true),
                ..Embedding::new(units, layer.flag("mask_zero", false))
            })
        }
        "LSTM" | "GRU" | "SimpleRNN" => {
            let recipe = recurrent(layer, layer, None)?;
            weights = biased(layer, read()?)?;
            recipe
        }
        "Bidirectional" => {
            let (recipe, forward) = bidirectional(layer)?;
            let mut one = read()?;
            let other = one.split_off(one.len() / 2);
            weights = biased(&forward, one)?;
            weights.extend(biased(&forward, other)?);
            recipe
        }
        "TimeDistributed" => {
            let inner = layer.inner("layer").filter(|inner| inner.class == "Dense");
            let dense = inner.ok_or_else(|| layer.unsupported("only a Dense may be in it"))?;
            return dense_layer(&dense, read).map(Some);
        }
        "Dense" => return dense_layer(layer, read).map(Some),
        "Activation" => {
            return Ok(Some(Taken::Activation {
                position: layer.position,
                name: layer.name.clone(),
                activation: activation(layer)?,
            }));
        }
        "Flatten" => LayerRecipe::Flatten {},
        "Dropout" => LayerRecipe::Dropout {
            rate: layer.rate("rate"),
        },
        "SpatialDropout1D" => LayerRecipe::SpatialDropout {
            rate: layer.rate("rate"),
        },
        "GlobalMaxPooling1D" => pooled(layer, LayerRecipe::GlobalMaxPooling {})?,
        "GlobalAveragePooling1D" => pooled(layer, LayerRecipe::GlobalAveragePooling {})?,
        "GaussianNoise"
        | "GaussianDropout"
        | "AlphaDropout"
        | "ActivityRegularization"
        | "Identity" => return Ok(None),
        _ => return Err(layer.unsupported("this program has no such layer")),
    };
    Ok(Some(Taken::Layer {
        name: layer.name.clone(),
        recipe,
        weights,
    }))
}

fn pooled(layer: &Described, recipe: LayerRecipe) -> Result<LayerRecipe, ImportError> {
    if layer.flag("keepdims", false) || layer.named("data_format") == Some("channels_first") {
        return Err(layer.unsupported("keepdims and channels_first are not"));
    }
    Ok(recipe)
}

fn dense_layer(
    layer: &Described,
    read: impl FnOnce() -> Result<Vec<ArrayD<f32>>, ImportError>,
) -> Result<Taken, ImportError> {
    let units = layer.number("units")?;
    let activation = activation(layer)?;
    let mut weights = read()?;
    if !layer.flag("use_bias", true) {
        weights.push(ArrayD::zeros(vec![units]));
    }
    Ok(Taken::Dense {
        position: layer.position,
        name: layer.name.clone(),
        units,
        activation,
        weights,
    })
}

fn activation(layer: &Described) -> Result<Activated, ImportError> {
    let name = layer.named("activation").unwrap_or("linear");
    Activated::parse(name, layer.keras)
        .ok_or_else(|| layer.unsupported(format!("its activation {name:?} is not")))
}

/// `cell` is the layer or, in a wrapper, what it wraps.
fn recurrent(
    layer: &Described,
    cell: &Described,
    bidirectional: Option<Merge>,
) -> Result<LayerRecipe, ImportError> {
    let refused = |reason: &str| Err(layer.unsupported(reason));
    let squashed = |field: &str, usual: Activation| match cell.named(field) {
        None => Ok(None),
        Some(name) => match Activated::parse(name, cell.keras) {
            Some(Activated::Each(found)) => Ok(Some(found).filter(|found| *found != usual)),
            _ => Err(layer.unsupported(format!("its {field} is {name:?}"))),
        },
    };
    let gated = cell.class != "SimpleRNN";
    for (field, reason) in [
        ("return_state", "it returns its state"),
        ("stateful", "it keeps its state from batch to batch"),
        ("time_major", "its steps come before its rows"),
    ] {
        if cell.flag(field, false) {
            return refused(reason);
        }
    }
    let go_backwards = cell.flag("go_backwards", false);
    if go_backwards && (bidirectional.is_some() || cell.flag("return_sequences", false)) {
        return refused(
            "it reads rows from their end (go_backwards) and answers more than its last state",
        );
    }
    // Keras 1 had no such switch and reset before the product.
    let reset_before = cell.class == "GRU" && !cell.flag("reset_after", false);
    let recurrent = Recurrent {
        activation: squashed("activation", Activation::Tanh)?,
        recurrent_activation: match gated {
            true => squashed("recurrent_activation", Activation::Sigmoid)?,
            false => None,
        },
        reset_after: reset_before.then_some(false),
        go_backwards,
        units: cell.number("units")?,
        return_sequences: cell.flag("return_sequences", false),
        dropout: cell.rate("dropout"),
        recurrent_dropout: cell.rate("recurrent_dropout"),
        bidirectional,
    };
    match cell.class.as_str() {
        "LSTM" => Ok(LayerRecipe::Lstm(recurrent)),
        "GRU" => Ok(LayerRecipe::Gru(recurrent)),
        "SimpleRNN" => Ok(LayerRecipe::SimpleRnn(recurrent)),
        class => refused(&format!("{class} is not a layer that can be in it")),
    }
}

/// Kernel, recurrent kernel and a bias, of zeros where Keras has none.
fn biased(
    cell: &Described,
    mut weights: Vec<ArrayD<f32>>,
) -> Result<Vec<ArrayD<f32>>, ImportError> {
    if !cell.flag("use_bias", true) {
        let units = cell.number("units")?;
        let shape = match cell.class.as_str() {
            "LSTM" => vec![4 * units],
            "GRU" if cell.flag("reset_after", false) => vec![2, 3 * units],
            "GRU" => vec![3 * units],
            _ => vec![units],
        };
        weights.push(ArrayD::zeros(shape));
    }
    Ok(weights)
}

/// With what it wraps.
fn bidirectional(layer: &Described) -> Result<(LayerRecipe, Described), ImportError> {
    let merge = match layer.named("merge_mode") {
        Some("concat") => Merge::Concat,
        Some("sum") => Merge::Sum,
        Some("mul") => Merge::Mul,
        Some("ave") => Merge::Ave,
        other => return Err(layer.unsupported(format!("its merge_mode is {other:?}"))),
    };
    let forward = layer.inner("layer");
    let forward = forward.ok_or_else(|| layer.unsupported("it wraps no layer"))?;
    let recipe = recurrent(layer, &forward, Some(merge))?;
    if let Some(backward) = layer.inner("backward_layer") {
        let alike = [
            "units",
            "return_sequences",
            "activation",
            "recurrent_activation",
            "reset_after",
            "use_bias",
        ];
        if backward.class != forward.class || !backward.agrees(&forward, &alike) {
            return Err(layer.unsupported("its two directions are of different making"));
        }
    }
    Ok((recipe, forward))
}
