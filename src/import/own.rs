//! A graph that this program wrote, back to its network.

use super::ImportError;
use super::onnx::Written;
use crate::bundle::{Bundle, MODEL};
use crate::recipe::LayerRecipe;
use crate::train::network::{Layer, Network};
use crate::vectors::WordVectors;

/// The network of a bundle, with Keras's arrays.
///
/// # Errors
/// The bundle's graph is another program's, or not what its manifest says.
pub fn network(bundle: &Bundle) -> Result<Network<f32>, ImportError> {
    let manifest = &bundle.manifest;
    let recipe = &manifest.recipe;
    if recipe.layers.is_empty() {
        return Err(ImportError::Model(format!(
            "{} holds another program's graph, which is served as it is and has no layers",
            manifest.name
        )));
    }
    let refused = |reason: String| ImportError::file(&bundle.dir.join(MODEL), reason);
    let written = Written::decode(bundle.onnx.as_slice()).map_err(refused)?;
    let layers = manifest.layers.iter().zip(&recipe.layers);
    let layers = layers.map(|(summary, recipe)| {
        let name = summary.name.clone();
        let arrays = |names: &[&str]| written.arrays(&name, names);
        let weights = match recipe {
            LayerRecipe::Embedding(_) => arrays(&["embeddings"]),
            LayerRecipe::Dense { .. } => arrays(&["kernel", "bias"]),
            LayerRecipe::AttentionPooling { .. } => arrays(&["kernel", "bias", "query"]),
            LayerRecipe::Lstm(_) | LayerRecipe::Gru(_) | LayerRecipe::SimpleRnn(_) => {
                written.recurrent(&name)
            }
            _ => Ok(Vec::new()),
        };
        Ok(Layer {
            weights: weights.map_err(refused)?,
            recipe: recipe.clone(),
            name,
        })
    });
    Ok(Network {
        layers: layers.collect::<Result<_, ImportError>>()?,
        maxlen: manifest.maxlen,
    })
}

/// The words of a bundle with their rows of its embedding, whoever wrote the graph.
///
/// # Errors
/// The graph has no embedding that can be seen.
pub fn word_vectors(bundle: &Bundle) -> Result<WordVectors, ImportError> {
    let refused = |reason: String| ImportError::file(&bundle.dir.join(MODEL), reason);
    let written = Written::decode(bundle.onnx.as_slice()).map_err(refused)?;
    let table = written
        .embedding()
        .ok_or_else(|| refused("it has no embedding".to_owned()))?;
    let dimensions = table.shape()[1];
    let (mut words, mut values) = (Vec::new(), Vec::new());
    for (word, id) in bundle.encoder.words() {
        let id = usize::try_from(id).ok().filter(|id| *id < table.shape()[0]);
        if let Some(id) = id {
            words.push(word.to_owned());
            values.extend((0..dimensions).map(|at| table[[id, at]]));
        }
    }
    Ok(WordVectors::new(words, values, dimensions))
}
