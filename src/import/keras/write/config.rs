//! A network as Keras describes it.

use serde_json::{Value, json};

use super::KerasFormat;
use crate::import::ImportError;
use crate::recipe::{Activation, LayerRecipe, Merge, Recurrent};
use crate::train::network::{Layer, Network};

/// The name of the input.
const INPUT: &str = "ids";

/// The model: a `Sequential`, or a functional model where two poolings stand side by side.
///
/// # Errors
/// Keras has no such layer.
pub(super) fn model(network: &Network<f32>, format: KerasFormat) -> Result<Value, ImportError> {
    let layers = &network.layers;
    let branches = |layer: &Layer<f32>| layer.recipe == LayerRecipe::GlobalMaxAveragePooling {};
    let shape = json!([null, network.maxlen]);
    let input = json!({
        "batch_input_shape": shape, "dtype": "float32", "sparse": false, "ragged": false, "name": INPUT,
    });
    let mut nodes = vec![Node::new("InputLayer", INPUT.to_owned(), input, vec![])];
    let mut below = INPUT.to_owned();
    for (position, layer) in layers.iter().enumerate() {
        if branches(layer) {
            let parts = ["max", "average"].map(|part| format!("{}_{part}", layer.name));
            for (name, class) in parts
                .iter()
                .zip(["GlobalMaxPooling1D", "GlobalAveragePooling1D"])
            {
                let config = json!({"name": name});
                nodes.push(Node::new(class, name.clone(), config, vec![below.clone()]));
            }
            let config = json!({"name": layer.name, "axis": -1});
            nodes.push(Node::new(
                "Concatenate",
                layer.name.clone(),
                config,
                parts.to_vec(),
            ));
        } else {
            let (class, config) = described((position, layer))?;
            nodes.push(Node::new(class, layer.name.clone(), config, vec![below]));
        }
        below = layer.name.clone();
    }
    refuse_other_masks(layers)?;
    let functional = layers.iter().any(branches);
    let written: Vec<Value> = nodes
        .iter()
        .map(|node| node.json(functional, format))
        .collect();
    let (class, config) = if functional {
        let ends = |name: &str| json!([[name, 0, 0]]);
        let config = json!({
            "name": "model", "trainable": true, "layers": written,
            "input_layers": ends(INPUT), "output_layers": ends(&below),
        });
        // Where Keras keeps its functional class differs from version to version; its model takes the same description.
        let class = match format {
            KerasFormat::Archive => "Model",
            KerasFormat::Hdf5 => "Functional",
        };
        (class, config)
    } else {
        (
            "Sequential",
            json!({"name": "sequential", "layers": written}),
        )
    };
    let mut model = object("keras", class, config, format);
    if format == KerasFormat::Archive {
        model["build_config"] = json!({"input_shape": shape});
    }
    Ok(model)
}

/// Behind `mask_zero` Keras's maximum reads the masked steps too. With pads at the back these repeat a recurrent layer's last
/// output and change no maximum; any other layer below makes them something else.
fn refuse_other_masks(layers: &[Layer<f32>]) -> Result<(), ImportError> {
    let masked = |layer: &Layer<f32>| layer.recipe.embedding().is_some_and(|e| e.mask_zero);
    if !layers.first().is_some_and(masked) {
        return Ok(());
    }
    let mut repeats = false;
    for (position, layer) in layers.iter().enumerate() {
        if let Some(recurrent) = layer.recipe.recurrent() {
            repeats = recurrent.bidirectional.is_none();
        }
        let reads_pads = matches!(
            layer.recipe,
            LayerRecipe::GlobalMaxPooling {} | LayerRecipe::GlobalMaxAveragePooling {}
        );
        if reads_pads && !repeats {
            return Err(ImportError::Layer {
                position,
                name: layer.name.clone(),
                class: "GlobalMaxPooling1D".to_owned(),
                reason: "behind mask_zero Keras's reads the masked steps too".to_owned(),
            });
        }
    }
    Ok(())
}

struct Node {
    class: &'static str,
    name: String,
    config: Value,
    inputs: Vec<String>,
}

impl Node {
    fn new(class: &'static str, name: String, config: Value, inputs: Vec<String>) -> Self {
        Self {
            class,
            name,
            config,
            inputs,
        }
    }

    fn json(&self, functional: bool, format: KerasFormat) -> Value {
        let mut layer = object("keras.layers", self.class, self.config.clone(), format);
        if functional {
            let inputs: Vec<Value> = self
                .inputs
                .iter()
                .map(|input| json!([input, 0, 0, {}]))
                .collect();
            layer["name"] = json!(self.name);
            layer["inbound_nodes"] = if inputs.is_empty() {
                json!([])
            } else {
                json!([inputs])
            };
        }
        layer
    }
}

/// An object of Keras's; `.keras` says where its class lies.
fn object(module: &str, class: &str, config: Value, format: KerasFormat) -> Value {
    match format {
        KerasFormat::Archive => {
            json!({"module": module, "class_name": class, "config": config, "registered_name": null})
        }
        KerasFormat::Hdf5 => json!({"class_name": class, "config": config}),
    }
}

fn described(
    (position, layer): (usize, &Layer<f32>),
) -> Result<(&'static str, Value), ImportError> {
    let name = &layer.name;
    let weights = |at: usize| layer.weights[at].shape();
    let (class, config) = match layer.recipe {
        LayerRecipe::Embedding(ref embedding) => {
            let rows = weights(0)[0];
            let config = json!({
                "name": name, "input_dim": rows, "output_dim": embedding.units,
                "mask_zero": embedding.mask_zero, "trainable": embedding.trainable,
            });
            ("Embedding", config)
        }
        LayerRecipe::Lstm(ref recurrent) => return wrapped(layer, position, ("LSTM", recurrent)),
        LayerRecipe::Gru(ref recurrent) => return wrapped(layer, position, ("GRU", recurrent)),
        LayerRecipe::SimpleRnn(ref recurrent) => {
            return wrapped(layer, position, ("SimpleRNN", recurrent));
        }
        LayerRecipe::Dense { units, activation } => {
            let activation = activated((position, layer), activation)?;
            (
                "Dense",
                json!({"name": name, "units": units, "activation": activation}),
            )
        }
        LayerRecipe::Flatten {} => ("Flatten", json!({"name": name})),
        LayerRecipe::Dropout { rate } => ("Dropout", json!({"name": name, "rate": rate})),
        LayerRecipe::SpatialDropout { rate } => {
            ("SpatialDropout1D", json!({"name": name, "rate": rate}))
        }
        LayerRecipe::GlobalMaxPooling {} => ("GlobalMaxPooling1D", json!({"name": name})),
        LayerRecipe::GlobalAveragePooling {} => ("GlobalAveragePooling1D", json!({"name": name})),
        LayerRecipe::GlobalMaxAveragePooling {} => {
            return Err(ImportError::Layer {
                position,
                name: name.clone(),
                class: "GlobalMaxAveragePooling1D".to_owned(),
                reason: "Keras has it only as two layers".to_owned(),
            });
        }
        LayerRecipe::AttentionPooling { .. } => {
            return Err(ImportError::Layer {
                position,
                name: name.clone(),
                class: "AttentionPooling1D".to_owned(),
                reason: "Keras has no such layer; --format onnx writes it".to_owned(),
            });
        }
    };
    Ok((class, config))
}

/// Keras's name.
///
/// # Errors
/// Keras 2 and 3 mean different functions by it.
fn activated(
    (position, layer): (usize, &Layer<f32>),
    activation: Activation,
) -> Result<&'static str, ImportError> {
    match activation {
        Activation::Linear => Ok("linear"),
        Activation::Sigmoid => Ok("sigmoid"),
        Activation::Relu => Ok("relu"),
        Activation::Tanh => Ok("tanh"),
        Activation::HardSigmoid | Activation::HardSigmoid3 => Err(ImportError::Layer {
            position,
            name: layer.name.clone(),
            class: crate::train::network::kind(&layer.recipe).to_owned(),
            reason: "Keras 2 and 3 mean different functions by hard_sigmoid".to_owned(),
        }),
    }
}

fn wrapped(
    layer: &Layer<f32>,
    position: usize,
    (class, recurrent): (&'static str, &Recurrent),
) -> Result<(&'static str, Value), ImportError> {
    let name = &layer.name;
    let (activation, recurrent_activation, reset_after) = recurrent.arithmetic();
    let activation = activated((position, layer), activation)?;
    let recurrent_activation = activated((position, layer), recurrent_activation)?;
    let described = |name: &str| {
        let mut config = json!({
            "name": name,
            "units": recurrent.units,
            "return_sequences": recurrent.return_sequences,
            "dropout": recurrent.dropout,
            "recurrent_dropout": recurrent.recurrent_dropout,
            "activation": activation,
            "go_backwards": recurrent.go_backwards,
        });
        if class != "SimpleRNN" {
            config["recurrent_activation"] = json!(recurrent_activation);
        }
        if class == "GRU" {
            config["reset_after"] = json!(reset_after);
        }
        config
    };
    let merge = match recurrent.bidirectional {
        None => return Ok((class, described(name))),
        Some(Merge::Concat) => "concat",
        Some(Merge::Sum) => "sum",
        Some(Merge::Mul) => "mul",
        Some(Merge::Ave) => "ave",
    };
    let inner = described(&format!("{name}_one_way"));
    // Keras 3 looks for a wrapped class by its module in either kind of file.
    let inner = object("keras.layers", class, inner, KerasFormat::Archive);
    let config = json!({"name": name, "layer": inner, "merge_mode": merge});
    Ok(("Bidirectional", config))
}
