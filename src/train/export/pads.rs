//! What a network carries from step to step after reading 0, 1, 2, ... pads and nothing else.
//!
//! Every row of an unmasked, pre-padded network begins with such a run, so these states stand in for reading it. They are
//! computed in double precision by a forward of this file's own: the trainer's kernels prove the exported graph and should
//! not also have made it.

use ndarray::ArrayD;

use crate::recipe::{Activation, Embedding, LayerRecipe, Recurrent};
use crate::sentiment::sigmoid;
use crate::train::network::{Layer, Network};

/// What one layer carries, for each number of pads from 0 to `maxlen - 1`: every row has a token at least.
#[derive(Clone, Debug, PartialEq)]
pub enum Carried {
    /// Nothing: the layer answers each step by itself.
    Nothing,
    /// A recurrent layer's output, and an LSTM's cell.
    States {
        /// `[maxlen, units]`
        output: Vec<f64>,
        /// `[maxlen, units]`
        cell: Option<Vec<f64>>,
    },
    /// What pooling over time has seen.
    Pooled {
        /// The largest values, minus infinity before the first step: `[maxlen, features]`
        max: Vec<f64>,
        /// The sums: `[maxlen, features]`
        sum: Vec<f64>,
    },
    /// What attention over time has seen.
    Attended {
        /// The logarithm of the sum of the steps' weights, minus infinity before the first step: `[maxlen, 1]`
        weight: Vec<f64>,
        /// Their weighted mean: `[maxlen, features]`
        mean: Vec<f64>,
    },
}

/// What every layer of the network carries; `pad` is the pads' id.
pub fn carried(network: &Network<f32>, pad: usize) -> Vec<Carried> {
    let pads = network.maxlen - 1;
    let mut steps = Some(Steps::default()); // until a layer takes time away
    network
        .layers
        .iter()
        .map(|layer| match steps.take() {
            Some(input) => {
                let (carried, output) = read(layer, input, (pads, pad));
                steps = output;
                carried
            }
            None => Carried::Nothing,
        })
        .collect()
}

/// What a layer answers to a run of pads.
#[derive(Default)]
struct Steps {
    features: usize,
    values: Vec<f64>, // [pads, features]
}

/// One layer over all pads: what it carries, and its answers unless it takes time away.
fn read(layer: &Layer<f32>, input: Steps, (pads, pad): (usize, usize)) -> (Carried, Option<Steps>) {
    match layer.recipe {
        LayerRecipe::Embedding(Embedding { units, .. }) => {
            let table = &layer.weights[0];
            let row: Vec<f64> = (0..units).map(|at| f64::from(table[[pad, at]])).collect();
            let steps = Steps {
                features: units,
                values: row.repeat(pads),
            };
            (Carried::Nothing, Some(steps))
        }
        LayerRecipe::Lstm(ref recurrent) => {
            let (output, cell) = lstm(layer, recurrent, &input);
            states(recurrent, output, Some(cell))
        }
        LayerRecipe::Gru(ref recurrent) => states(recurrent, gru(layer, recurrent, &input), None),
        LayerRecipe::SimpleRnn(ref recurrent) => {
            states(recurrent, simple_rnn(layer, recurrent, &input), None)
        }
        LayerRecipe::Dense { units, activation } => {
            let values = input
                .chunks()
                .flat_map(|step| dense(layer, activation, step))
                .collect();
            let steps = Steps {
                features: units,
                values,
            };
            (Carried::Nothing, Some(steps))
        }
        LayerRecipe::Dropout { .. } | LayerRecipe::SpatialDropout { .. } => {
            (Carried::Nothing, Some(input))
        }
        LayerRecipe::GlobalMaxPooling {}
        | LayerRecipe::GlobalAveragePooling {}
        | LayerRecipe::GlobalMaxAveragePooling {} => (pooled(&input), None),
        LayerRecipe::AttentionPooling { .. } => (attended(layer, &input), None),
        // A network that flattens is not trimmed and asks for no states.
        LayerRecipe::Flatten {} => (Carried::Nothing, None),
    }
}

fn states(
    recurrent: &Recurrent,
    output: Vec<f64>,
    cell: Option<Vec<f64>>,
) -> (Carried, Option<Steps>) {
    let steps = Steps {
        features: recurrent.units,
        values: output[recurrent.units..].to_vec(),
    };
    let carried = Carried::States { output, cell };
    (carried, recurrent.return_sequences.then_some(steps))
}

impl Steps {
    fn chunks(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.features)
    }
}

/// Outputs and cells before the first step and after each: `[pads + 1, units]`.
fn lstm(layer: &Layer<f32>, recipe: &Recurrent, input: &Steps) -> (Vec<f64>, Vec<f64>) {
    let (new, squash, _) = recipe.arithmetic();
    let units = recipe.units;
    let [kernel, recurrent, bias] = [0, 1, 2].map(|at| &layer.weights[at]);
    let (mut outputs, mut cells) = (vec![0.0; units], vec![0.0; units]);
    for step in input.chunks() {
        let (output, cell) = (last(&outputs, units), last(&cells, units));
        let gate = |at: usize| {
            f64::from(bias[[at]]) + product(kernel, step, at) + product(recurrent, &output, at)
        };
        for (unit, cell) in cell.into_iter().enumerate() {
            let [input, forget, candidate, exposed] = [0, 1, 2, 3].map(|g| gate(g * units + unit));
            let kept = apply(squash, forget) * cell;
            let next = kept + apply(squash, input) * apply(new, candidate);
            cells.push(next);
            outputs.push(apply(squash, exposed) * apply(new, next));
        }
    }
    (outputs, cells)
}

/// Outputs before the first step and after each: `[pads + 1, units]`.
fn gru(layer: &Layer<f32>, recipe: &Recurrent, input: &Steps) -> Vec<f64> {
    let (new, squash, reset_after) = recipe.arithmetic();
    let units = recipe.units;
    let [kernel, recurrent, bias] = [0, 1, 2].map(|at| &layer.weights[at]);
    let mut outputs = vec![0.0; units];
    for step in input.chunks() {
        let output = last(&outputs, units);
        let biases = |at: usize| match reset_after {
            true => [bias[[0, at]], bias[[1, at]]].map(f64::from),
            false => [f64::from(bias[[at]]), 0.0],
        };
        let outer = |at: usize| biases(at)[0] + product(kernel, step, at);
        let inner = |at: usize| biases(at)[1] + product(recurrent, &output, at);
        let gate = |at: usize| apply(squash, outer(at) + inner(at));
        let left = output.iter().enumerate();
        let left: Vec<f64> = left.map(|(unit, old)| old * gate(units + unit)).collect();
        for (unit, old) in output.iter().enumerate() {
            let candidate = 2 * units + unit;
            let from_state = match reset_after {
                true => gate(units + unit) * inner(candidate),
                false => product(recurrent, &left, candidate),
            };
            let (update, state) = (gate(unit), apply(new, outer(candidate) + from_state));
            outputs.push(update * old + (1.0 - update) * state);
        }
    }
    outputs
}

/// Outputs before the first step and after each: `[pads + 1, units]`.
fn simple_rnn(layer: &Layer<f32>, recipe: &Recurrent, input: &Steps) -> Vec<f64> {
    let units = recipe.units;
    let [kernel, recurrent, bias] = [0, 1, 2].map(|at| &layer.weights[at]);
    let mut outputs = vec![0.0; units];
    for step in input.chunks() {
        let output = last(&outputs, units);
        outputs.extend((0..units).map(|at| {
            let sum = product(kernel, step, at) + product(recurrent, &output, at);
            apply(recipe.arithmetic().0, f64::from(bias[[at]]) + sum)
        }));
    }
    outputs
}

fn last(rows: &[f64], width: usize) -> Vec<f64> {
    rows[rows.len() - width..].to_vec()
}

fn dense(layer: &Layer<f32>, activation: Activation, step: &[f64]) -> Vec<f64> {
    let [kernel, bias] = [0, 1].map(|at| &layer.weights[at]);
    (0..bias.len())
        .map(|at| {
            let sum = f64::from(bias[[at]]) + product(kernel, step, at);
            apply(activation, sum)
        })
        .collect()
}

fn apply(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Linear => x,
        Activation::Sigmoid => sigmoid(x),
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        Activation::HardSigmoid => (0.2 * x + 0.5).clamp(0.0, 1.0),
        Activation::HardSigmoid3 => (x / 6.0 + 0.5).clamp(0.0, 1.0),
    }
}

/// A row vector times column `at` of a matrix.
fn product(matrix: &ArrayD<f32>, row: &[f64], at: usize) -> f64 {
    row.iter()
        .enumerate()
        .map(|(from, value)| value * f64::from(matrix[[from, at]]))
        .sum()
}

fn pooled(input: &Steps) -> Carried {
    let features = input.features;
    let (mut max, mut sum) = (vec![f64::NEG_INFINITY; features], vec![0.0; features]);
    for step in input.chunks() {
        let (best, total) = (last(&max, features), last(&sum, features));
        max.extend(best.iter().zip(step).map(|(best, value)| best.max(*value)));
        sum.extend(total.iter().zip(step).map(|(total, value)| total + value));
    }
    Carried::Pooled { max, sum }
}

fn attended(layer: &Layer<f32>, input: &Steps) -> Carried {
    let features = input.features;
    let query = &layer.weights[2];
    let (mut weight, mut mean) = (vec![f64::NEG_INFINITY], vec![0.0; features]);
    for step in input.chunks() {
        let said = dense(layer, Activation::Tanh, step);
        let score = product(query, &said, 0);
        let (before, old) = (weight[weight.len() - 1], last(&mean, features));
        let largest = before.max(score);
        let [kept, new] = [before, score].map(|weight| (weight - largest).exp());
        weight.push(largest + (kept + new).ln());
        let share = new / (kept + new);
        mean.extend(
            old.iter()
                .zip(step)
                .map(|(old, value)| old + (value - old) * share),
        );
    }
    Carried::Attended { weight, mean }
}
