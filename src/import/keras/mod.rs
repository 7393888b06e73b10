//! Keras's own files: `.h5` of Keras 2 and 3, and `.keras`.

mod chain;
mod config;
mod layers;
mod weights;
pub(super) mod write;

use std::path::Path;

use super::ImportError;
use super::archive::Archive;
use super::hdf5::Hdf5;
use super::stack::{Head, Major, Stack};
use config::Description;
use weights::Weights;

/// The layers of a file with their weights.
///
/// # Errors
/// It is no model of Keras, or has layers that this program does not have.
pub(super) fn read(path: &Path, bytes: Vec<u8>, head: Head) -> Result<Stack, ImportError> {
    let refused = |reason: String| ImportError::file(path, reason);
    let (json, version, weights) = if bytes.starts_with(b"PK") {
        let mut archive = Archive::open(bytes).map_err(refused)?;
        let mut text = |name| {
            archive
                .read(name)
                .map(|b| String::from_utf8_lossy(&b).into_owned())
        };
        let (json, metadata) = (text("config.json").map_err(refused)?, text("metadata.json"));
        let version = metadata.ok().and_then(|metadata| {
            let metadata: serde_json::Value = serde_json::from_str(&metadata).ok()?;
            Some(metadata["keras_version"].as_str()?.to_owned())
        });
        let weights = archive.read("model.weights.h5").and_then(Hdf5::open);
        (json, version, Weights::Numbered(weights.map_err(refused)?))
    } else {
        let file = Hdf5::open(bytes).map_err(refused)?;
        let Some(json) = file.text("/", "model_config").map_err(refused)? else {
            return Err(refused(
                "it holds weights and no model: save the whole model with model.save".to_owned(),
            ));
        };
        let version = file.text("/", "keras_version").map_err(refused)?;
        (json, version, Weights::Named(file))
    };
    let major = version.as_deref().and_then(|said| said.split('.').next());
    let major = match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= 3 => Major::Three,
        _ => Major::Two,
    };
    let description = Description::parse(&json, major)?;
    let mut stack = Vec::new();
    let links = chain::links(description.layers)?;
    chain::refuse_unmasked(&links)?;
    for link in links {
        let weights = weights.of(&link.layer).map_err(refused)?;
        stack.extend(layers::translate(&link, weights)?);
    }
    Ok(Stack {
        layers: super::stack::finish(stack, head)?,
        maxlen: description.maxlen,
        producer: format!(
            "Keras {}",
            version.as_deref().unwrap_or("of an unknown version")
        ),
    })
}
