//! The layers of a graph, by its operators and the arrays that they read.
//!
//! What is found here is a guess: a graph has many ways to say the same. It is believed only once the network made of it
//! answers what the graph answers.

use ndarray::{ArrayD, Axis};

use super::constants::{Constant, Constants};
use super::recurrent;
use crate::import::stack::{Activated, Taken};
use crate::onnx::{Graph, Node};
use crate::recipe::{Activation, Embedding, LayerRecipe};

/// The layers, in the order in which they run.
///
/// # Errors
/// An operator with weights of its own is not a layer of ours.
pub(super) fn layers(graph: &Graph, maxlen: usize) -> Result<Vec<Taken>, String> {
    let constants = Constants::of(graph)?;
    let mut found = Found {
        // A layer without a bias gets one.
        room: constants
            .numbers()
            .saturating_mul(2)
            .saturating_add(1 << 16),
        constants,
        graph,
        maxlen,
        layers: Vec::new(),
        features: 0,
        over_time: true,
    };
    for node in &graph.node {
        found.read(node)?;
    }
    Ok(found.layers)
}

struct Found<'a> {
    constants: Constants<'a>,
    /// Numbers that layers may still be made of: a graph may read one array as often as it likes.
    room: u64,
    graph: &'a Graph,
    maxlen: usize,
    layers: Vec<Taken>,
    /// Of a step's or a row's vector.
    features: usize,
    over_time: bool,
}

impl Found<'_> {
    fn read(&mut self, node: &Node) -> Result<(), String> {
        let matrix = |at: usize| {
            let name = node.input.get(at)?;
            Some(self.constants.get(name, 2)?.to_owned())
        };
        match node.op_type.as_str() {
            "Gather" => {
                if let Some(table) = matrix(0) {
                    self.features = table.shape()[1];
                    let embedding = Embedding::new(self.features, false);
                    let recipe = LayerRecipe::Embedding(embedding);
                    self.push("embedding", recipe, vec![table])?;
                }
            }
            "LSTM" | "GRU" | "RNN" | "Loop" => {
                let read = recurrent::read(node, &self.constants)?;
                self.features = read.recurrent.features();
                // Until something asks for all steps, the last one is meant.
                self.steps_of_the_last();
                self.over_time = false;
                let name = read.name;
                self.push(name, read.recipe(), read.weights)?;
            }
            "MatMul" | "Gemm" => {
                if let Some(kernel) = matrix(1) {
                    let transposed = node.op_type == "Gemm" && node.int("transB", 0) == 1;
                    let kernel = match transposed {
                        true => kernel.t().as_standard_layout().to_owned(),
                        false => kernel,
                    };
                    self.dense(node, kernel)?;
                }
            }
            "Sigmoid" => self.activation(Activated::Each(Activation::Sigmoid)),
            "Tanh" => self.activation(Activated::Each(Activation::Tanh)),
            "Relu" => self.activation(Activated::Each(Activation::Relu)),
            "Softmax" => self.activation(Activated::Softmax),
            "ReduceMax" | "GlobalMaxPool" => self.pool(LayerRecipe::GlobalMaxPooling {})?,
            "ReduceMean" | "GlobalAveragePool" => {
                self.pool(LayerRecipe::GlobalAveragePooling {})?
            }
            "Conv" | "MaxPool" | "AveragePool" | "BatchNormalization" | "LayerNormalization"
            | "Einsum" | "Scan" | "If" => return Err(format!("it has a {}", node.op_type)),
            _ => {}
        }
        Ok(())
    }

    fn dense(&mut self, node: &Node, kernel: ArrayD<f32>) -> Result<(), String> {
        let (inputs, units) = (kernel.shape()[0], kernel.shape()[1]);
        if inputs == self.features.saturating_mul(self.maxlen) && inputs != self.features {
            self.steps_of_the_last();
            self.push("flatten", LayerRecipe::Flatten {}, vec![])?;
        }
        self.features = units;
        let bias = match node.op_type.as_str() {
            "Gemm" => node
                .input
                .get(2)
                .and_then(|name| self.constants.get(name, 1)),
            _ => added(self.graph, &self.constants, node.first_output()),
        };
        let bias = match bias {
            Some(bias) => bias.to_owned(),
            None => ArrayD::zeros(vec![units]),
        };
        let weights = vec![kernel, bias];
        self.spend(&weights)?;
        self.layers.push(Taken::Dense {
            position: self.layers.len(),
            name: self.named("dense"),
            units,
            activation: Activated::Each(Activation::Linear),
            weights,
        });
        Ok(())
    }

    fn spend(&mut self, weights: &[ArrayD<f32>]) -> Result<(), String> {
        let numbers: u64 = weights.iter().map(|array| array.len() as u64).sum();
        let room = self.room.checked_sub(numbers);
        self.room = room.ok_or("its layers share their weights")?;
        Ok(())
    }

    /// Activations elsewhere belong to operators that were read whole.
    fn activation(&mut self, activation: Activated) {
        if matches!(self.layers.last(), Some(Taken::Dense { .. })) {
            self.layers.push(Taken::Activation {
                position: self.layers.len(),
                name: self.named("activation"),
                activation,
            });
        }
    }

    fn pool(&mut self, recipe: LayerRecipe) -> Result<(), String> {
        self.steps_of_the_last();
        self.over_time = false;
        self.push("pooling", recipe, vec![])
    }

    /// The recurrent layer before this one gives all of its steps.
    fn steps_of_the_last(&mut self) {
        if let Some(Taken::Layer { recipe, .. }) = self.layers.last_mut()
            && let LayerRecipe::Lstm(below)
            | LayerRecipe::Gru(below)
            | LayerRecipe::SimpleRnn(below) = recipe
        {
            below.return_sequences = true;
        }
    }

    fn push(
        &mut self,
        name: &str,
        recipe: LayerRecipe,
        weights: Vec<ArrayD<f32>>,
    ) -> Result<(), String> {
        self.spend(&weights)?;
        self.layers.push(Taken::Layer {
            name: self.named(name),
            recipe,
            weights,
        });
        Ok(())
    }

    fn named(&self, name: &str) -> String {
        format!("{name}_{}", self.layers.len())
    }
}

/// The vector that is added to a value; `[1, n]` counts as one.
pub(super) fn added<'a>(
    graph: &Graph,
    constants: &'a Constants<'_>,
    value: &str,
) -> Option<&'a Constant> {
    let adds = graph.node.iter().filter(|node| node.op_type == "Add");
    adds.filter(|node| node.input.iter().any(|input| input == value))
        .find_map(|node| node.input.iter().find_map(|input| constants.get(input, 1)))
}

/// Matrix `at` of a stack of them.
pub(super) fn slab(array: &Constant, at: usize) -> ArrayD<f32> {
    array.index_axis(Axis(0), at).to_owned()
}
