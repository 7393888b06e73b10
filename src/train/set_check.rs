//! Every instruction set against double precision, at sizes that fill no register and some that fill several.

use super::gradient_check::{UNEVEN, dense, padded, rows, stepper, targets};
use super::vector::on_every_set;
use crate::recipe::{Activation, LayerRecipe, Merge, Recurrent};

fn check(rows: &[Vec<i64>], layers: &[LayerRecipe]) {
    let targets = targets(rows);
    let mut exact = stepper::<f64>(layers, rows[0].len());
    exact.gradients(&targets);
    let exact = exact.last_gradients();
    let found = on_every_set::run(|| {
        let mut stepper = stepper::<f32>(layers, rows[0].len());
        stepper.gradients(&targets);
        stepper.last_gradients()
    });
    for (set, gradients) in found {
        assert_eq!(gradients.len(), exact.len());
        for (at, (gradient, exact)) in gradients.iter().zip(&exact).enumerate() {
            assert_eq!(gradient.len(), exact.len());
            for (found, due) in gradient.iter().zip(exact.iter()) {
                let off = (f64::from(*found) - due).abs();
                assert!(
                    off < 2e-6 + 1e-4 * due.abs(),
                    "{set}: {layers:?}: weight {at}: {found} where {due} is due"
                );
            }
        }
    }
}

fn dropped(units: usize) -> Recurrent {
    Recurrent {
        dropout: 0.3,
        recurrent_dropout: 0.4,
        ..Recurrent::new(units, true)
    }
}

#[test]
fn gradients_of_a_stack_are_those_of_double_precision() {
    let both_ways = Recurrent {
        bidirectional: Some(Merge::Concat),
        ..Recurrent::new(21, true)
    };
    let layers = [
        LayerRecipe::Lstm(both_ways),
        LayerRecipe::Gru(Recurrent::new(40, true)),
        LayerRecipe::SimpleRnn(Recurrent::new(5, false)),
    ];
    check(&rows(UNEVEN), &layers);
}

#[test]
fn gradients_of_every_small_size_are_those_of_double_precision() {
    for units in [1, 7, 33] {
        for inputs in [1, 16, 33] {
            let layers = [
                dense(inputs, Activation::Tanh),
                LayerRecipe::Lstm(Recurrent::new(units, true)),
                LayerRecipe::Gru(Recurrent::new(units, true)),
                LayerRecipe::SimpleRnn(Recurrent::new(units, false)),
            ];
            for count in 1..=5 {
                check(&rows(&UNEVEN[..count]), &layers);
            }
        }
    }
}

#[test]
fn gradients_under_shared_pads_are_those_of_double_precision() {
    for kind in [LayerRecipe::Lstm, LayerRecipe::Gru, LayerRecipe::SimpleRnn] {
        let layers = [
            kind(Recurrent::new(18, true)),
            kind(Recurrent::new(7, false)),
        ];
        check(&padded(), &layers);
    }
}

#[test]
fn gradients_under_dropout_are_those_of_double_precision() {
    for kind in [LayerRecipe::Lstm, LayerRecipe::Gru, LayerRecipe::SimpleRnn] {
        let layers = [
            LayerRecipe::SpatialDropout { rate: 0.3 },
            kind(dropped(17)),
            LayerRecipe::Dropout { rate: 0.3 },
            kind(Recurrent::new(6, false)),
        ];
        check(&rows(UNEVEN), &layers);
    }
}
