//! Every layer's gradient against finite differences, in double precision.

use rand::RngExt;

use super::init::generator;
use super::network::Network;
use super::real::Real;
use super::step::{Stepper, Target};
use crate::recipe::{Activation, Embedding, FitRecipe, LayerRecipe, Merge, Recurrent};

const ROWS: usize = 7;

pub(super) fn dense(units: usize, activation: Activation) -> LayerRecipe {
    LayerRecipe::Dense { units, activation }
}

pub(super) fn lstm(units: usize, return_sequences: bool) -> LayerRecipe {
    LayerRecipe::Lstm(Recurrent::new(units, return_sequences))
}

pub(super) fn targets(rows: &[Vec<i64>]) -> Vec<Target<'_>> {
    let targets = rows.iter().enumerate().map(|(at, ids)| Target {
        ids,
        label: (at % 2) as f64,
        weight: 1.0 + at as f64 / 8.0,
    });
    targets.collect()
}

/// Of `embedding, layers.., dense` with weights that are nowhere alike.
pub(super) fn stepper<R: Real>(layers: &[LayerRecipe], maxlen: usize) -> Stepper<R> {
    let mut stack = vec![LayerRecipe::Embedding(Embedding::new(3, false))];
    stack.extend_from_slice(layers);
    stack.push(dense(1, Activation::Sigmoid));
    let mut noise = generator(11);
    let mut network = Network::<R>::build(&stack, ROWS, maxlen, 5);
    for weight in network
        .layers
        .iter_mut()
        .flat_map(|layer| &mut layer.weights)
    {
        weight.mapv_inplace(|w| w + R::from_f64(noise.random_range(-0.5..0.5)));
    }
    let fit = FitRecipe {
        seed: 9,
        ..FitRecipe::default()
    };
    Stepper::new(network, &fit)
}

/// Rows of the given lengths without a pad.
pub(super) fn rows(lengths: &[usize]) -> Vec<Vec<i64>> {
    let mut noise = generator(12);
    let mut row = |len: &usize| {
        (0..*len)
            .map(|_| noise.random_range(1..ROWS as i64))
            .collect()
    };
    lengths.iter().map(&mut row).collect()
}

fn check(lengths: &[usize], layers: &[LayerRecipe]) {
    check_rows(&rows(lengths), layers);
}

/// Compares the gradient of every weight of `embedding, layers.., dense` with differences of the loss.
fn check_rows(rows: &[Vec<i64>], layers: &[LayerRecipe]) {
    let targets = targets(rows);
    let mut stepper = stepper::<f64>(layers, rows[0].len());
    stepper.gradients(&targets);
    let gradients = stepper.last_gradients();
    let places: Vec<(usize, usize)> = (0..stepper.network.layers.len())
        .flat_map(|layer| {
            (0..stepper.network.layers[layer].weights.len()).map(move |weight| (layer, weight))
        })
        .collect();
    for ((layer, weight), gradient) in places.into_iter().zip(gradients) {
        for (at, analytic) in gradient.iter().enumerate() {
            let mut loss_moved_by = |delta: f64| {
                let value = &mut stepper.network.layers[layer].weights[weight]
                    .as_slice_mut()
                    .expect("standard")[at];
                let before = *value;
                *value = before + delta;
                let loss = stepper.gradients(&targets).0;
                stepper.network.layers[layer].weights[weight]
                    .as_slice_mut()
                    .expect("standard")[at] = before;
                loss
            };
            let numeric = (loss_moved_by(1e-5) - loss_moved_by(-1e-5)) / 2e-5;
            assert!(
                (numeric - analytic).abs() < 1e-8 + 1e-6 * analytic.abs(),
                "layer {layer} weight {weight} value {at}: {analytic} by backward, {numeric} by differences"
            );
        }
    }
}

const EVEN: &[usize] = &[5; 18];
pub(super) const UNEVEN: &[usize] = &[6, 1, 4, 6, 2, 3, 1, 5, 6, 2, 2, 3, 4, 5, 6, 1, 1, 2, 3, 5];

#[test]
fn lstm_gradients_agree_with_finite_differences() {
    check(EVEN, &[lstm(5, false)]);
    check(UNEVEN, &[lstm(5, false)]);
}

#[test]
fn stacked_lstm_gradients_agree_with_finite_differences() {
    check(EVEN, &[lstm(4, true), lstm(3, false)]);
    check(UNEVEN, &[lstm(4, true), lstm(3, false)]);
}

#[test]
fn gru_and_simple_rnn_gradients_agree_with_finite_differences() {
    for kind in [LayerRecipe::Gru, LayerRecipe::SimpleRnn] {
        for lengths in [EVEN, UNEVEN] {
            let layers = [
                kind(Recurrent::new(4, true)),
                kind(Recurrent::new(3, false)),
            ];
            check(lengths, &layers);
        }
    }
}

#[test]
fn gradients_of_other_activations_and_of_a_gru_that_resets_first_agree_with_finite_differences() {
    let recurrent = |activation, gates, reset_after, recurrent_dropout| Recurrent {
        activation: Some(activation),
        dropout: recurrent_dropout / 2.0,
        recurrent_activation: gates,
        reset_after,
        recurrent_dropout,
        ..Recurrent::new(3, true)
    };
    for (activation, gates) in [
        (Activation::Relu, Activation::HardSigmoid),
        (Activation::Tanh, Activation::HardSigmoid3),
        (Activation::Sigmoid, Activation::Tanh),
        (Activation::Linear, Activation::Sigmoid),
    ] {
        for dropout in [0.0, 0.4] {
            let gru =
                |reset| LayerRecipe::Gru(recurrent(activation, Some(gates), Some(reset), dropout));
            for layer in [
                LayerRecipe::Lstm(recurrent(activation, Some(gates), None, dropout)),
                gru(true),
                gru(false),
                LayerRecipe::SimpleRnn(recurrent(activation, None, None, dropout)),
            ] {
                check(UNEVEN, &[layer.clone(), lstm(2, false)]);
                check(EVEN, &[layer, lstm(2, false)]);
            }
        }
    }
}

#[test]
fn gradients_of_rows_read_from_their_end_agree_with_finite_differences() {
    for kind in [LayerRecipe::Lstm, LayerRecipe::Gru, LayerRecipe::SimpleRnn] {
        let backwards = Recurrent {
            go_backwards: true,
            dropout: 0.2,
            ..Recurrent::new(4, false)
        };
        check(UNEVEN, &[kind(Recurrent::new(3, true)), kind(backwards)]);
    }
}

#[test]
fn gradients_of_both_directions_agree_with_finite_differences() {
    for merge in [Merge::Concat, Merge::Sum, Merge::Mul, Merge::Ave] {
        let both = |units, return_sequences| Recurrent {
            bidirectional: Some(merge),
            ..Recurrent::new(units, return_sequences)
        };
        for kind in [LayerRecipe::Lstm, LayerRecipe::Gru, LayerRecipe::SimpleRnn] {
            check(UNEVEN, &[kind(both(3, true)), kind(both(2, false))]);
            check(EVEN, &[kind(both(3, true)), kind(both(2, false))]);
        }
    }
}

#[test]
fn gradients_under_dropout_inside_agree_with_finite_differences() {
    for kind in [LayerRecipe::Lstm, LayerRecipe::Gru, LayerRecipe::SimpleRnn] {
        for bidirectional in [None, Some(Merge::Concat)] {
            let recurrent = |units, return_sequences| Recurrent {
                dropout: 0.3,
                recurrent_dropout: 0.4,
                bidirectional,
                ..Recurrent::new(units, return_sequences)
            };
            let layers = [kind(recurrent(4, true)), kind(recurrent(3, false))];
            check(UNEVEN, &layers);
        }
    }
}

/// Rows that begin with pads, of which one is nothing else.
#[test]
fn pads_that_rows_share_have_the_gradients_of_their_own() {
    let flatten = LayerRecipe::Flatten {};
    let kept = LayerRecipe::Dropout { rate: 0.0 };
    for above in [
        vec![lstm(4, true), lstm(3, false)],
        vec![LayerRecipe::Gru(Recurrent::new(4, false))],
        vec![LayerRecipe::SimpleRnn(Recurrent::new(4, true)), flatten],
        vec![lstm(3, true), LayerRecipe::GlobalMaxAveragePooling {}],
        vec![lstm(3, true), LayerRecipe::AttentionPooling { units: 3 }],
        vec![dense(3, Activation::Tanh), lstm(3, false)],
        vec![LayerRecipe::Lstm(Recurrent {
            activation: Some(Activation::Relu),
            ..Recurrent::new(3, false)
        })],
        vec![LayerRecipe::Gru(Recurrent {
            reset_after: Some(false),
            ..Recurrent::new(3, false)
        })],
        // Shared up to the layer that draws, or that reads from the end.
        vec![lstm(4, true), kept.clone(), lstm(3, false)],
        vec![
            dense(3, Activation::Tanh),
            lstm(4, true),
            kept.clone(),
            kept,
            LayerRecipe::GlobalAveragePooling {},
        ],
        vec![
            lstm(3, true),
            LayerRecipe::Lstm(Recurrent {
                bidirectional: Some(Merge::Concat),
                ..Recurrent::new(3, true)
            }),
            LayerRecipe::GlobalMaxPooling {},
        ],
        vec![
            lstm(3, true),
            LayerRecipe::Gru(Recurrent {
                go_backwards: true,
                ..Recurrent::new(3, false)
            }),
        ],
    ] {
        check_rows(&padded(), &above);
        let gradients = |dropout: Option<LayerRecipe>| {
            // Dropping nothing changes nothing but that the rows have their own pads.
            let layers: Vec<_> = dropout.into_iter().chain(above.clone()).collect();
            let mut stepper = stepper::<f64>(&layers, padded()[0].len());
            let rows = padded();
            stepper.gradients(&targets(&rows));
            stepper.last_gradients()
        };
        let shared = gradients(None);
        let own = gradients(Some(LayerRecipe::Dropout { rate: 0.0 }));
        assert_eq!(shared.len(), own.len());
        for (shared, own) in shared.iter().zip(&own) {
            for (shared, own) in shared.iter().zip(own) {
                assert!((shared - own).abs() < 1e-12, "{shared} {own}");
            }
        }
    }
}

pub(super) fn padded() -> Vec<Vec<i64>> {
    let mut noise = generator(3);
    let mut rows: Vec<Vec<i64>> = (0..18)
        .map(|row| {
            let pads = (row * 5) % 8;
            (0..8)
                .map(|step| match step < pads {
                    true => 0,
                    false => noise.random_range(0..ROWS as i64),
                })
                .collect()
        })
        .collect();
    rows[7].fill(0);
    rows
}

#[test]
fn pooling_gradients_agree_with_finite_differences() {
    for pooling in [
        LayerRecipe::GlobalMaxPooling {},
        LayerRecipe::GlobalAveragePooling {},
        LayerRecipe::GlobalMaxAveragePooling {},
    ] {
        check(EVEN, &[lstm(3, true), pooling.clone()]);
        check(UNEVEN, &[lstm(3, true), pooling]);
    }
}

#[test]
fn attention_gradients_agree_with_finite_differences() {
    let attention = LayerRecipe::AttentionPooling { units: 4 };
    for lengths in [EVEN, UNEVEN] {
        check(lengths, std::slice::from_ref(&attention));
        check(
            lengths,
            &[lstm(3, true), attention.clone(), dense(2, Activation::Tanh)],
        );
    }
}

#[test]
fn a_frozen_embedding_has_no_gradient_and_changes_nothing_above_it() {
    let rows = padded();
    let targets = targets(&rows);
    let mut trained = stepper::<f64>(&[lstm(4, false)], rows[0].len());
    let mut frozen = stepper::<f64>(&[lstm(4, false)], rows[0].len());
    if let LayerRecipe::Embedding(embedding) = &mut frozen.network.layers[0].recipe {
        embedding.trainable = false;
    }
    trained.gradients(&targets);
    frozen.gradients(&targets);
    let (one, other) = (trained.last_gradients(), frozen.last_gradients());
    assert!(one[0].iter().any(|value| *value != 0.0));
    assert!(other[0].iter().all(|value| *value == 0.0));
    assert_eq!(one[1..], other[1..]);
    let before = frozen.network.layers.clone();
    frozen.step(&targets, 1e-2);
    trained.step(&targets, 1e-2);
    assert_eq!(frozen.network.layers[0].weights, before[0].weights);
    for (at, before) in before.iter().enumerate().skip(1) {
        assert_ne!(frozen.network.layers[at].weights, before.weights);
        let [one, other] = [&trained, &frozen].map(|stepper| &stepper.network.layers[at]);
        assert_eq!(one.weights, other.weights);
    }
}

#[test]
fn flatten_gradients_agree_with_finite_differences() {
    check(EVEN, &[LayerRecipe::Flatten {}]);
}

#[test]
fn dense_gradients_agree_with_finite_differences_for_every_activation() {
    for activation in [
        Activation::Linear,
        Activation::Sigmoid,
        Activation::Relu,
        Activation::Tanh,
        Activation::HardSigmoid,
        Activation::HardSigmoid3,
    ] {
        check(
            UNEVEN,
            &[dense(4, activation), lstm(3, false), dense(4, activation)],
        );
    }
}

#[test]
fn dropout_gradients_agree_with_finite_differences_under_a_fixed_mask() {
    let drop = LayerRecipe::Dropout { rate: 0.3 };
    let spatial = LayerRecipe::SpatialDropout { rate: 0.3 };
    check(
        UNEVEN,
        &[spatial, lstm(4, true), drop.clone(), lstm(3, false), drop],
    );
}

#[test]
fn a_step_gives_the_same_bits_for_any_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a pool");
        pool.install(|| {
            let layers = [
                LayerRecipe::Embedding(Embedding::new(8, false)),
                LayerRecipe::SpatialDropout { rate: 0.2 },
                lstm(20, true),
                lstm(9, false),
                dense(1, Activation::Sigmoid),
            ];
            let mut noise = generator(2);
            let rows: Vec<Vec<i64>> = (0..70)
                .map(|_| {
                    (0..noise.random_range(1..30))
                        .map(|_| noise.random_range(0..50i64))
                        .collect()
                })
                .collect();
            let targets: Vec<Target<'_>> = rows
                .iter()
                .map(|ids| Target {
                    ids,
                    label: f64::from(ids[0] > 25),
                    weight: 1.0,
                })
                .collect();
            let network = Network::<f32>::build(&layers, 50, 30, 4);
            let mut stepper = Stepper::new(
                network,
                &FitRecipe {
                    global_clipnorm: Some(0.1),
                    ..Default::default()
                },
            );
            for _ in 0..5 {
                stepper.step(&targets, 1e-2);
            }
            stepper
                .network
                .layers
                .iter()
                .flat_map(|l| &l.weights)
                .flatten()
                .map(|w| w.to_bits())
                .collect::<Vec<u32>>()
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}
