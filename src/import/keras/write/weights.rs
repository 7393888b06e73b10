//! A network's weights as HDF5, in Keras's two layouts.

use hdf5_pure::{AttrValue, Error, FileBuilder, GroupBuilder};
use ndarray::ArrayD;

use super::VERSION;
use crate::recipe::LayerRecipe;
use crate::train::network::{Layer, Network};

/// `.h5`: the model's description, and weights by name.
pub(super) fn named(network: &Network<f32>, config: &str) -> Result<Vec<u8>, Error> {
    let mut file = FileBuilder::new();
    let text = |text: &str| AttrValue::VarLenString(text.to_owned());
    for (name, value) in [
        ("keras_version", VERSION),
        ("backend", "tensorflow"),
        ("model_config", config),
    ] {
        file.set_attr(name, text(value));
    }
    let mut weights = file.create_group("model_weights");
    weights.set_attr("keras_version", text(VERSION));
    weights.set_attr("backend", text("tensorflow"));
    let layers: Vec<&Layer<f32>> = network
        .layers
        .iter()
        .filter(|layer| !layer.weights.is_empty())
        .collect();
    let names = layers.iter().map(|layer| layer.name.clone()).collect();
    weights.set_attr("layer_names", AttrValue::VarLenStringArray(names));
    for layer in layers {
        let mut group = weights.create_group(&layer.name);
        let names: Vec<String> = (0..layer.weights.len())
            .map(|at| format!("weight_{at}:0"))
            .collect();
        for (name, weight) in names.iter().zip(&layer.weights) {
            put(&mut group, name, weight);
        }
        group.set_attr("weight_names", AttrValue::VarLenStringArray(names));
        weights.add_group(group.finish());
    }
    file.add_group(weights.finish());
    file.finish()
}

/// The weights of `.keras`: by the class and number of the layer.
pub(super) fn numbered(network: &Network<f32>) -> Result<Vec<u8>, Error> {
    let mut file = FileBuilder::new();
    let mut layers = file.create_group("layers");
    let mut seen = std::collections::HashMap::<&str, usize>::new();
    for layer in &network.layers {
        let class = snake_case(&layer.recipe);
        let number = seen.entry(class).or_default();
        let name = match *number {
            0 => class.to_owned(),
            number => format!("{class}_{number}"),
        };
        *number += 1;
        let mut group = layers.create_group(&name);
        let recurrent = layer.recipe.recurrent();
        match recurrent.map(|recurrent| recurrent.bidirectional.is_some()) {
            None => vars(&mut group, &layer.weights),
            Some(false) => cell(&mut group, &layer.weights),
            Some(true) => {
                let half = layer.weights.len() / 2;
                let (forward, backward) = layer.weights.split_at(half);
                for (name, weights) in [("forward_layer", forward), ("backward_layer", backward)] {
                    let mut direction = group.create_group(name);
                    cell(&mut direction, weights);
                    group.add_group(direction.finish());
                }
                vars(&mut group, &[]);
            }
        }
        layers.add_group(group.finish());
    }
    file.add_group(layers.finish());
    let nothing = file.create_group("vars");
    file.add_group(nothing.finish());
    file.finish()
}

fn cell(group: &mut GroupBuilder, weights: &[ArrayD<f32>]) {
    let mut cell = group.create_group("cell");
    vars(&mut cell, weights);
    group.add_group(cell.finish());
    vars(group, &[]);
}

fn vars(group: &mut GroupBuilder, weights: &[ArrayD<f32>]) {
    let mut vars = group.create_group("vars");
    for (at, weight) in weights.iter().enumerate() {
        put(&mut vars, &at.to_string(), weight);
    }
    group.add_group(vars.finish());
}

fn put(group: &mut GroupBuilder, name: &str, weight: &ArrayD<f32>) {
    let values: Vec<f32> = weight.iter().copied().collect();
    let shape: Vec<u64> = weight.shape().iter().map(|&size| size as u64).collect();
    group
        .create_dataset(name)
        .with_f32_data(&values)
        .with_shape(&shape);
}

/// The class in a file's names.
fn snake_case(recipe: &LayerRecipe) -> &'static str {
    match recipe {
        // Its second pooling and its concatenation have no weights.
        LayerRecipe::GlobalMaxAveragePooling {} => "global_max_pooling1d",
        recipe => crate::train::network::kind(recipe),
    }
}
