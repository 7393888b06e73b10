//! Keras's own files: `.h5` of Keras 2 and 3, and `.keras`.

mod chain;
mod config;
mod layers;
mod weights;
pub(super) mod write;

use std::path::Path;

use ndarray::{ArrayD, Axis};

use super::ImportError;
use super::archive::Archive;
use super::hdf5::Hdf5;
use super::stack::{Head, Major, Stack, Taken};
use crate::recipe::LayerRecipe;
use crate::system::available_memory;
use config::{Described, Description};
use weights::Weights;

/// The most that a description of a model may hold.
const MOST_CONFIG: u64 = 64 << 20;

/// The layers of a file with their weights.
///
/// # Errors
/// It is no model of Keras, or has layers that this program does not have.
pub(super) fn read(path: &Path, bytes: Vec<u8>, head: Head) -> Result<Stack, ImportError> {
    let refused = |reason: String| ImportError::file(path, reason);
    let (json, version, weights) = if bytes.starts_with(b"PK") {
        let mut archive = Archive::open(bytes).map_err(refused)?;
        let mut text = |name| {
            let bytes = archive.read(name, MOST_CONFIG)?;
            String::from_utf8(bytes).map_err(|error| format!("{name} in the archive: {error}"))
        };
        let (json, metadata) = (text("config.json").map_err(refused)?, text("metadata.json"));
        let version = metadata.ok().and_then(|metadata| {
            let metadata: serde_json::Value = serde_json::from_str(&metadata).ok()?;
            Some(metadata["keras_version"].as_str()?.to_owned())
        });
        let most = available_memory().unwrap_or(u64::MAX);
        let weights = archive.read("model.weights.h5", most);
        let weights = weights.and_then(Hdf5::open);
        let weights = weights.and_then(Weights::numbered);
        (json, version, weights.map_err(refused)?)
    } else {
        let file = Hdf5::open(bytes).map_err(refused)?;
        let Some(json) = file.text("/", "model_config").map_err(refused)? else {
            return Err(refused(
                "it holds weights and no model: save the whole model with model.save".to_owned(),
            ));
        };
        let version = file.text("/", "keras_version").map_err(refused)?;
        (json, version, Weights::named(file))
    };
    let major = version.as_deref().and_then(|said| said.split('.').next());
    let major = match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= 3 => Major::Three,
        _ => Major::Two,
    };
    let description = Description::parse(&json, major)?;
    let mut stack = Vec::new();
    let frozen = description.layers.iter();
    let frozen = frozen.filter(|layer| !layer.flag("trainable", true));
    let frozen = frozen.map(|layer| layer.name.clone()).collect();
    let links = chain::links(description.layers)?;
    chain::refuse_unmasked(&links)?;
    let flattens = chain::flattens_steps(&links);
    let mut mean_first = false;
    for link in links {
        let weights = || {
            let Described { position, name, .. } = &link.layer;
            let found = weights.of(&link.layer);
            found.map_err(|reason| refused(format!("layers[{position}] {name:?}: {reason}")))
        };
        let mut taken = layers::translate(&link, weights)?;
        if mean_first && let Some(Taken::Dense { weights, .. }) = &mut taken {
            swap_halves(weights);
            mean_first = false;
        }
        mean_first |= link.mean_first;
        if flattens
            && let Some(Taken::Layer { recipe, .. }) = &mut taken
            && let LayerRecipe::Embedding(embedding) = recipe
        {
            embedding.mask_zero = false;
        }
        stack.extend(taken);
    }
    Ok(Stack {
        layers: super::stack::finish(stack, head)?,
        frozen,
        maxlen: description.maxlen,
        producer: format!(
            "Keras {}",
            version.as_deref().unwrap_or("of an unknown version")
        ),
    })
}

/// Our pooling gives the maximum first: a kernel that reads the mean first gets its rows in our order.
fn swap_halves(weights: &mut [ArrayD<f32>]) {
    if let Some(kernel) = weights.first_mut().filter(|kernel| kernel.ndim() == 2) {
        let rows = kernel.shape()[0];
        let order: Vec<usize> = (rows / 2..rows).chain(0..rows / 2).collect();
        *kernel = kernel.select(Axis(0), &order);
    }
}
