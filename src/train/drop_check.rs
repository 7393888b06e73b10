//! What is dropped inside of recurrent layers, against the definition: a mask for each gate, the same at every step of a row.

use rand::RngExt as _;

use super::init;
use super::layers::{Context, Saved, Shape, operation};
use super::layout::Layout;
use crate::recipe::{Activation, LayerRecipe, Recurrent};

const INPUTS: usize = 5;
const UNITS: usize = 11;
const RATES: [f64; 2] = [0.3, 0.4];

/// Whose masks lie where.
#[derive(Clone, Copy, PartialEq)]
enum Path {
    Usual,
    General,
}

struct Drawn {
    states: Vec<f64>,
    inputs: Vec<f64>,
}

fn recurrent(path: Path, reset_after: Option<bool>) -> Recurrent {
    Recurrent {
        dropout: RATES[0],
        recurrent_dropout: RATES[1],
        recurrent_activation: (path == Path::General && reset_after.is_none())
            .then_some(Activation::HardSigmoid),
        reset_after,
        ..Recurrent::new(UNITS, true)
    }
}

/// Runs a layer over rows of uneven length and checks its states with the masks that it drew.
fn check(layer: &LayerRecipe, path: Path, gates: usize) -> Drawn {
    let mut noise = init::generator(5);
    let lengths: Vec<usize> = (0..40).map(|row| 1 + row * 7 % 6).collect();
    let rows: Vec<Vec<i64>> = lengths.iter().map(|len| vec![1; *len]).collect();
    let mut layout = Layout::default();
    layout.set(rows.len(), |at| rows[at].as_slice(), false);
    let weights = init::weights::<f64>(layer, INPUTS, &mut noise);
    let input: Vec<f64> = (0..layout.positions() * INPUTS)
        .map(|_| noise.random_range(-1.0..1.0))
        .collect();
    let shape = Shape {
        steps: Some(6),
        features: INPUTS,
    };
    let (operation, _) = operation::<f64>(layer, shape, false);
    let (mut saved, mut output) = (Saved::default(), Vec::new());
    let mut context = Context {
        layout: &layout,
        weights: &weights,
        noise: Some(&mut noise),
    };
    operation.forward(&mut context, &input, &mut saved, &mut output);
    let drawn = Drawn {
        states: saved.values[if path == Path::Usual { 4 } else { 3 }].clone(),
        inputs: saved.parts[0].values[0].clone(),
    };
    assert_eq!(drawn.states.len(), gates * rows.len() * UNITS);
    assert_eq!(drawn.inputs.len(), gates * rows.len() * INPUTS);
    let [kernel, turn, bias] = [0, 1, 2].map(|at| weights[at].as_slice().expect("standard"));
    for rank in 0..rows.len() {
        let (mut state, mut cell) = (vec![0.0; UNITS], vec![0.0; UNITS]);
        for step in 0..layout.lengths[rank] {
            let at = layout.position(step, rank);
            let input = &input[at * INPUTS..(at + 1) * INPUTS];
            let wide = gates * UNITS;
            let mask = |masks: &[f64], gate: usize, of: usize, feature: usize| {
                masks[(gate * rows.len() + rank) * of + feature]
            };
            let product =
                |values: &[f64], masks: &[f64], weights: &[f64], gate: usize, unit: usize| {
                    let terms = values.iter().enumerate().map(|(feature, value)| {
                        let left = value * mask(masks, gate, values.len(), feature);
                        left * weights[feature * wide + gate * UNITS + unit]
                    });
                    terms.sum::<f64>()
                };
            let of_input = |gate, unit| {
                product(input, &drawn.inputs, kernel, gate, unit) + bias[gate * UNITS + unit]
            };
            let before = state.clone();
            let of_state = |gate, unit| product(&before, &drawn.states, turn, gate, unit);
            let squash = |x: f64| match path {
                Path::Usual => crate::sentiment::sigmoid(x),
                Path::General => (0.2 * x + 0.5).clamp(0.0, 1.0),
            };
            for unit in 0..UNITS {
                let both = |gate| of_input(gate, unit) + of_state(gate, unit);
                match layer {
                    LayerRecipe::Lstm(_) => {
                        let [i, f, o] = [0, 1, 3].map(|gate| squash(both(gate)));
                        cell[unit] = f * cell[unit] + i * both(2).tanh();
                        state[unit] = o * cell[unit].tanh();
                    }
                    LayerRecipe::Gru(recurrent) if recurrent.reset_after == Some(false) => {
                        let logistic = |gate, unit| {
                            crate::sentiment::sigmoid(of_input(gate, unit) + of_state(gate, unit))
                        };
                        let left: Vec<f64> =
                            (0..UNITS).map(|at| logistic(1, at) * before[at]).collect();
                        let new = of_input(2, unit) + product(&left, &drawn.states, turn, 2, unit);
                        let update = logistic(0, unit);
                        state[unit] = update * before[unit] + (1.0 - update) * new.tanh();
                    }
                    LayerRecipe::Gru(_) => {
                        let [update, reset] = [0, 1].map(|gate| squash(both(gate)));
                        let new = (of_input(2, unit) + reset * of_state(2, unit)).tanh();
                        state[unit] = update * before[unit] + (1.0 - update) * new;
                    }
                    _ => state[unit] = both(0).tanh(),
                }
            }
            for unit in 0..UNITS {
                let found = output[at * UNITS + unit];
                assert!(
                    (found - state[unit]).abs() < 1e-12,
                    "{layer:?}: row {rank}, step {step}: {found} for {}",
                    state[unit]
                );
            }
        }
    }
    drawn
}

#[test]
fn each_gate_reads_what_its_own_mask_leaves_at_every_step() {
    let usual = recurrent(Path::Usual, None);
    let general = recurrent(Path::General, None);
    let reset_first = recurrent(Path::General, Some(false));
    for (layer, path, gates) in [
        (LayerRecipe::Lstm(usual.clone()), Path::Usual, 4),
        (LayerRecipe::Gru(usual.clone()), Path::Usual, 3),
        (LayerRecipe::SimpleRnn(usual), Path::Usual, 1),
        (LayerRecipe::Lstm(general.clone()), Path::General, 4),
        (LayerRecipe::Gru(general), Path::General, 3),
        (LayerRecipe::Gru(reset_first), Path::General, 3),
    ] {
        let drawn = check(&layer, path, gates);
        for (mask, rate) in [(drawn.inputs, RATES[0]), (drawn.states, RATES[1])] {
            let kept = 1.0 / (1.0 - rate);
            let dropped = mask.iter().filter(|factor| **factor == 0.0).count() as f64;
            assert!(
                (dropped / mask.len() as f64 - rate).abs() < 0.1,
                "{layer:?}"
            );
            assert!(
                mask.iter()
                    .all(|factor| *factor == 0.0 || (*factor - kept).abs() < 1e-12)
            );
            let each: Vec<&[f64]> = mask.chunks_exact(mask.len() / gates).collect();
            for (at, one) in each.iter().enumerate() {
                assert!(
                    each[..at].iter().all(|other| other != one),
                    "{layer:?}: gates drop alike"
                );
            }
        }
    }
}

#[test]
fn without_dropout_of_the_state_all_gates_read_the_same_inputs() {
    let layer = LayerRecipe::Lstm(Recurrent {
        recurrent_dropout: 0.0,
        ..recurrent(Path::Usual, None)
    });
    let mut noise = init::generator(5);
    let weights = init::weights::<f64>(&layer, INPUTS, &mut noise);
    let mut layout = Layout::default();
    layout.set(3, |_| &[1, 1], false);
    let shape = Shape {
        steps: Some(2),
        features: INPUTS,
    };
    let (operation, _) = operation::<f64>(&layer, shape, false);
    let (mut saved, mut output) = (Saved::default(), Vec::new());
    let mut context = Context {
        layout: &layout,
        weights: &weights,
        noise: Some(&mut noise),
    };
    operation.forward(
        &mut context,
        &vec![1.0; layout.positions() * INPUTS],
        &mut saved,
        &mut output,
    );
    assert_eq!(saved.parts[0].values[0].len(), 3 * INPUTS);
}
