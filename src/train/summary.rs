//! A network as Keras's `summary()` shows it.

use super::network::{Network, kind};
use super::real::Real;
use crate::bundle::LayerSummary;

/// Each layer's name, kind, output shape and weights.
pub fn summary<R: Real>(network: &Network<R>) -> Vec<LayerSummary> {
    network
        .layers
        .iter()
        .zip(network.shapes())
        .map(|(layer, shape)| LayerSummary {
            name: layer.name.clone(),
            kind: kind(&layer.recipe).to_owned(),
            output_shape: std::iter::once(None)
                .chain(shape.steps.map(Some))
                .chain([Some(shape.features)])
                .collect(),
            parameters: layer.weights.iter().map(|w| w.len() as u64).sum(),
        })
        .collect()
}
