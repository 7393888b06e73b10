//! A network as Keras's `summary()` shows it.

use super::network::Network;
use super::real::Real;
use crate::bundle::LayerSummary;
use crate::recipe::LayerRecipe;

/// Each layer's name, kind, output shape and weights.
pub fn summary<R: Real>(network: &Network<R>) -> Vec<LayerSummary> {
    network
        .layers
        .iter()
        .zip(network.shapes())
        .map(|(layer, shape)| LayerSummary {
            name: layer.name.clone(),
            kind: class(&layer.recipe).to_owned(),
            output_shape: std::iter::once(None)
                .chain(shape.steps.map(Some))
                .chain([Some(shape.features)])
                .collect(),
            parameters: layer.weights.iter().map(|w| w.len() as u64).sum(),
            trainable: layer.recipe.embedding().is_none_or(|e| e.trainable),
        })
        .collect()
}

/// Keras's class; where it has none, the name that it would have.
fn class(recipe: &LayerRecipe) -> &'static str {
    if recipe
        .recurrent()
        .is_some_and(|r| r.bidirectional.is_some())
    {
        return "Bidirectional";
    }
    match recipe {
        LayerRecipe::Embedding(_) => "Embedding",
        LayerRecipe::Lstm(_) => "LSTM",
        LayerRecipe::Gru(_) => "GRU",
        LayerRecipe::SimpleRnn(_) => "SimpleRNN",
        LayerRecipe::Dense { .. } => "Dense",
        LayerRecipe::Flatten {} => "Flatten",
        LayerRecipe::Dropout { .. } => "Dropout",
        LayerRecipe::SpatialDropout { .. } => "SpatialDropout1D",
        LayerRecipe::GlobalMaxPooling {} => "GlobalMaxPooling1D",
        LayerRecipe::GlobalAveragePooling {} => "GlobalAveragePooling1D",
        LayerRecipe::GlobalMaxAveragePooling {} => "GlobalMaxAveragePooling1D",
        LayerRecipe::AttentionPooling { .. } => "AttentionPooling1D",
    }
}
