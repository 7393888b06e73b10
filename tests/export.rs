//! The exported graph in ONNX Runtime against a forward written here, for every layer and every way of padding.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use ndarray::ArrayD;
use sentiment::bundle::Trim;
use sentiment::engine::session::{Device, Runtime, Session, SessionOptions};
use sentiment::recipe::{Activation, Embedding, LayerRecipe, Merge, Recurrent};
use sentiment::text::{PaddingSpec, Side};
use sentiment::train::export::{ProofError, export, prove};
use sentiment::train::network::{Layer, Network};

const MAXLEN: usize = 12;
const IDS: usize = 20;

/// Numbers in -1..1 that repeat from run to run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    fn below(&mut self, end: usize) -> usize {
        ((self.next() + 1.0) / 2.0 * end as f64) as usize
    }
}

fn embedding(units: usize, mask_zero: bool) -> LayerRecipe {
    LayerRecipe::Embedding(Embedding::new(units, mask_zero))
}

fn lstm(units: usize, return_sequences: bool) -> LayerRecipe {
    LayerRecipe::Lstm(Recurrent::new(units, return_sequences))
}

fn dense(units: usize, activation: Activation) -> LayerRecipe {
    LayerRecipe::Dense { units, activation }
}

/// A network of these layers with random weights, and the last dense layer on top.
fn network(layers: &[LayerRecipe], maxlen: usize, seed: u64) -> Network<f32> {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15 ^ seed);
    let mut features = IDS;
    let top = dense(1, Activation::Sigmoid);
    let inner = layers.len() - 1;
    let layers = layers
        .iter()
        .chain([&top])
        .enumerate()
        .map(|(at, recipe)| {
            let (shapes, outputs) = match *recipe {
                LayerRecipe::Lstm(ref r) => {
                    (directions(r, features, 4, &[4 * r.units]), r.features())
                }
                LayerRecipe::Gru(ref r) => {
                    let bias = match r.reset_after {
                        Some(false) => vec![3 * r.units],
                        _ => vec![2, 3 * r.units],
                    };
                    (directions(r, features, 3, &bias), r.features())
                }
                LayerRecipe::SimpleRnn(ref r) => {
                    (directions(r, features, 1, &[r.units]), r.features())
                }
                LayerRecipe::Embedding(Embedding { units, .. }) => {
                    (vec![vec![features, units]], units)
                }
                LayerRecipe::Dense { units, .. } => {
                    (vec![vec![features, units], vec![units]], units)
                }
                LayerRecipe::Flatten {} => (vec![], features * maxlen),
                LayerRecipe::GlobalMaxAveragePooling {} => (vec![], 2 * features),
                LayerRecipe::AttentionPooling { units } => (
                    vec![vec![features, units], vec![units], vec![units, 1]],
                    features,
                ),
                _ => (vec![], features),
            };
            features = outputs;
            // The inner layers are contractive; the top one spreads the answers again.
            let scale = match recipe.recurrent().map(Recurrent::arithmetic) {
                // What is not squashed must not grow from step to step.
                Some((Activation::Relu | Activation::Linear, ..)) => 1.2,
                _ if at > inner => 6.0,
                _ => 1.5,
            };
            let weights = shapes
                .into_iter()
                .map(|shape| ArrayD::from_shape_fn(shape, |_| scale * noise.next() as f32))
                .collect();
            Layer {
                name: format!("layer_{at}"),
                recipe: recipe.clone(),
                weights,
            }
        })
        .collect();
    Network { layers, maxlen }
}

/// The shapes of kernel, recurrent kernel and bias for each direction.
fn directions(r: &Recurrent, features: usize, gates: usize, bias: &[usize]) -> Vec<Vec<usize>> {
    let wide = gates * r.units;
    let one = vec![vec![features, wide], vec![r.units, wide], bias.to_vec()];
    match r.bidirectional {
        Some(_) => [one.clone(), one].concat(),
        None => one,
    }
}

/// The state and what else is carried, from the inputs' and the state's products with all gates.
type Step = fn(&[ArrayD<f32>], &Recurrent, [Vec<f64>; 2], [&mut [f64]; 2]);

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Linear => x,
        Activation::Sigmoid => logistic(x),
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        Activation::HardSigmoid => (x / 5.0 + 0.5).clamp(0.0, 1.0),
        Activation::HardSigmoid3 => (x / 6.0 + 0.5).clamp(0.0, 1.0),
    }
}

fn lstm_step(
    w: &[ArrayD<f32>],
    r: &Recurrent,
    [x, h]: [Vec<f64>; 2],
    [state, cell]: [&mut [f64]; 2],
) {
    let units = state.len();
    let squash = |x| activated(r.activation.unwrap_or(Activation::Tanh), x);
    let gate = |x| activated(r.recurrent_activation.unwrap_or(Activation::Sigmoid), x);
    let z = |g: usize| x[g] + h[g] + f64::from(w[2][[g]]);
    for u in 0..units {
        let (i, f) = (gate(z(u)), gate(z(units + u)));
        let (g, o) = (squash(z(2 * units + u)), gate(z(3 * units + u)));
        cell[u] = f * cell[u] + i * g;
        state[u] = o * squash(cell[u]);
    }
}

fn gru_step(w: &[ArrayD<f32>], r: &Recurrent, [x, h]: [Vec<f64>; 2], [state, _]: [&mut [f64]; 2]) {
    let units = state.len();
    let squash = |x| activated(r.activation.unwrap_or(Activation::Tanh), x);
    let gate = |x| activated(r.recurrent_activation.unwrap_or(Activation::Sigmoid), x);
    let after = r.reset_after.unwrap_or(true);
    let outer = |g: usize| x[g] + f64::from(if after { w[2][[0, g]] } else { w[2][[g]] });
    let inner = |g: usize| h[g] + if after { f64::from(w[2][[1, g]]) } else { 0.0 };
    let resets: Vec<f64> = (units..2 * units)
        .map(|g| gate(outer(g) + inner(g)))
        .collect();
    let old = state.to_vec();
    for (u, state) in state.iter_mut().enumerate() {
        let z = gate(outer(u) + inner(u));
        let c = 2 * units + u;
        let from_state = if after {
            resets[u] * inner(c)
        } else {
            let left = old.iter().zip(&resets).enumerate();
            left.map(|(i, (h, r))| h * r * f64::from(w[1][[i, c]]))
                .sum()
        };
        *state = z * *state + (1.0 - z) * squash(outer(c) + from_state);
    }
}

fn simple_rnn_step(
    w: &[ArrayD<f32>],
    r: &Recurrent,
    [x, h]: [Vec<f64>; 2],
    [state, _]: [&mut [f64]; 2],
) {
    let squash = |x| activated(r.activation.unwrap_or(Activation::Tanh), x);
    for (u, state) in state.iter_mut().enumerate() {
        *state = squash(x[u] + h[u] + f64::from(w[2][[u]]));
    }
}

/// Every step's output of one direction, or the last one's.
fn one_direction(
    w: &[ArrayD<f32>],
    r: &Recurrent,
    steps: &[Vec<f64>],
    step: Step,
) -> Vec<Vec<f64>> {
    let (mut state, mut cell) = (vec![0.0; r.units], vec![0.0; r.units]);
    let product = |matrix: &ArrayD<f32>, row: &[f64]| -> Vec<f64> {
        let columns = 0..matrix.shape()[1];
        columns
            .map(|g| {
                let terms = row.iter().enumerate();
                terms
                    .map(|(i, value)| value * f64::from(matrix[[i, g]]))
                    .sum()
            })
            .collect()
    };
    let mut all = Vec::new();
    for x in steps {
        let products = [product(&w[0], x), product(&w[1], &state)];
        step(w, r, products, [&mut state, &mut cell]);
        all.push(state.clone());
    }
    if r.return_sequences { all } else { vec![state] }
}

fn recurrent(w: &[ArrayD<f32>], r: &Recurrent, steps: &[Vec<f64>], step: Step) -> Vec<Vec<f64>> {
    let turned: Vec<Vec<f64>> = steps.iter().rev().cloned().collect();
    if r.go_backwards {
        return one_direction(w, r, &turned, step);
    }
    let ahead = one_direction(&w[..3], r, steps, step);
    let Some(merge) = r.bidirectional else {
        return ahead;
    };
    let mut back = one_direction(&w[3..], r, &turned, step);
    back.reverse();
    let merged = ahead.into_iter().zip(back).map(|(ahead, back)| {
        let pairs = ahead.iter().zip(&back);
        match merge {
            Merge::Concat => [ahead, back].concat(),
            Merge::Sum => pairs.map(|(a, b)| a + b).collect(),
            Merge::Mul => pairs.map(|(a, b)| a * b).collect(),
            Merge::Ave => pairs.map(|(a, b)| (a + b) / 2.0).collect(),
        }
    });
    merged.collect()
}

/// The logit of one row as the network reads it, one number after another.
fn reference(network: &Network<f32>, row: &[i64]) -> f64 {
    let at = |w: &ArrayD<f32>, index: &[usize]| f64::from(w[index]);
    let mut steps: Vec<Vec<f64>> = row.iter().map(|&id| vec![id as f64]).collect();
    let last = network.layers.len() - 1;
    for (place, layer) in network.layers.iter().enumerate() {
        let w = &layer.weights;
        steps = match layer.recipe {
            LayerRecipe::Embedding(Embedding { units, .. }) => steps
                .iter()
                .map(|id| {
                    (0..units)
                        .map(|u| at(&w[0], &[id[0] as usize, u]))
                        .collect()
                })
                .collect(),
            LayerRecipe::Lstm(ref r) => recurrent(w, r, &steps, lstm_step),
            LayerRecipe::Gru(ref r) => recurrent(w, r, &steps, gru_step),
            LayerRecipe::SimpleRnn(ref r) => recurrent(w, r, &steps, simple_rnn_step),
            LayerRecipe::Dense { units, activation } => steps
                .iter()
                .map(|x| {
                    (0..units)
                        .map(|u| {
                            let products = x.iter().enumerate();
                            let sum: f64 = products.map(|(i, x)| x * at(&w[0], &[i, u])).sum();
                            let sum = sum + at(&w[1], &[u]);
                            match activation {
                                _ if place == last => sum,
                                _ => activated(activation, sum),
                            }
                        })
                        .collect()
                })
                .collect(),
            LayerRecipe::Flatten {} => vec![steps.concat()],
            LayerRecipe::Dropout { .. } | LayerRecipe::SpatialDropout { .. } => steps,
            LayerRecipe::GlobalMaxPooling {} => vec![largest(&steps)],
            LayerRecipe::GlobalAveragePooling {} => vec![mean(&steps)],
            LayerRecipe::GlobalMaxAveragePooling {} => {
                vec![[largest(&steps), mean(&steps)].concat()]
            }
            LayerRecipe::AttentionPooling { units } => vec![attended(w, units, &steps)],
        };
    }
    steps[0][0]
}

fn largest(steps: &[Vec<f64>]) -> Vec<f64> {
    (0..steps[0].len())
        .map(|f| steps.iter().map(|s| s[f]).fold(f64::MIN, f64::max))
        .collect()
}

fn mean(steps: &[Vec<f64>]) -> Vec<f64> {
    (0..steps[0].len())
        .map(|f| steps.iter().map(|s| s[f]).sum::<f64>() / steps.len() as f64)
        .collect()
}

/// The steps' mean by the softmax of what each says to the query.
fn attended(w: &[ArrayD<f32>], units: usize, steps: &[Vec<f64>]) -> Vec<f64> {
    let score = |step: &Vec<f64>| -> f64 {
        let said = |u: usize| {
            let products = step.iter().enumerate();
            let sum: f64 = products.map(|(i, x)| x * f64::from(w[0][[i, u]])).sum();
            (sum + f64::from(w[1][[u]])).tanh()
        };
        (0..units).map(|u| said(u) * f64::from(w[2][[u, 0]])).sum()
    };
    let weights: Vec<f64> = steps.iter().map(|step| score(step).exp()).collect();
    let total: f64 = weights.iter().sum();
    (0..steps[0].len())
        .map(|f| {
            let weighted = steps.iter().zip(&weights);
            weighted
                .map(|(step, weight)| step[f] * weight / total)
                .sum()
        })
        .collect()
}

fn padding(maxlen: usize, padding: Side) -> PaddingSpec {
    PaddingSpec {
        maxlen,
        padding,
        truncating: Side::Pre,
        value: 0,
    }
}

/// Rows of every length from 1 to `maxlen`, several of each, in no order.
fn rows(maxlen: usize, seed: u64) -> Vec<Vec<i64>> {
    let mut noise = Noise(77 + seed);
    (0..3 * maxlen)
        .map(|at| {
            let length = 1 + (at * 7) % maxlen;
            (0..length)
                .map(|_| 1 + noise.below(IDS - 1) as i64)
                .collect()
        })
        .collect()
}

fn padded(row: &[i64], maxlen: usize, side: Side) -> Vec<i64> {
    let pads = vec![0; maxlen - row.len()];
    match side {
        Side::Pre => [pads, row.to_vec()].concat(),
        Side::Post => [row.to_vec(), pads].concat(),
    }
}

/// Exports, proves against the reference, and says how the graph may be trimmed.
fn proven(layers: &[LayerRecipe], maxlen: usize, side: Side) -> Trim {
    let network = network(layers, maxlen, maxlen as u64);
    let exported = export(&network, side).unwrap();
    let rows = rows(maxlen, 1);
    let expected: Vec<(&[i64], f64)> = rows
        .iter()
        .map(|row| {
            let read = match exported.trim {
                Trim::Masked => row.clone(),
                Trim::Table | Trim::None => padded(row, maxlen, side),
            };
            (row.as_slice(), reference(&network, &read))
        })
        .collect();
    let (low, high) = expected
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), (_, logit)| {
            (low.min(*logit), high.max(*logit))
        });
    assert!(
        high - low > 0.03,
        "rows that answer alike prove nothing: {low}..{high}"
    );
    let trained = trainer_logits(&network, exported.trim, side, &rows);
    for ((row, expected), trained) in expected.iter().zip(trained) {
        assert!(
            (expected - trained).abs() < 1e-9,
            "{row:?}: {expected} {trained}"
        );
    }
    let runtime = Runtime::load().unwrap();
    let proof = prove(&runtime, &exported, &padding(maxlen, side), &expected)
        .unwrap_or_else(|error| panic!("{layers:?}, padding {side:?}: {error}"));
    assert_eq!(proof.rows, rows.len());
    assert!(proof.worst < 6e-6, "{layers:?}: {}", proof.worst);
    exported.trim
}

/// What the trainer's own forward answers in double precision.
fn trainer_logits(network: &Network<f32>, trim: Trim, side: Side, rows: &[Vec<i64>]) -> Vec<f64> {
    let read: Vec<Vec<i64>> = rows
        .iter()
        .map(|row| match trim {
            Trim::Masked => row.clone(),
            Trim::Table | Trim::None => padded(row, network.maxlen, side),
        })
        .collect();
    let read: Vec<&[i64]> = read.iter().map(Vec::as_slice).collect();
    network.cast::<f64>().logits(&read)
}

/// Every kind of network over an embedding.
fn stacks(mask_zero: bool) -> Vec<Vec<LayerRecipe>> {
    let pools = [
        LayerRecipe::AttentionPooling { units: 5 },
        LayerRecipe::GlobalMaxPooling {},
        LayerRecipe::GlobalAveragePooling {},
        LayerRecipe::GlobalMaxAveragePooling {},
    ];
    let mut stacks = vec![
        vec![embedding(5, mask_zero), lstm(4, false)],
        vec![embedding(3, mask_zero), lstm(6, true), lstm(4, false)],
        vec![
            embedding(4, mask_zero),
            LayerRecipe::SpatialDropout { rate: 0.2 },
            lstm(9, true),
            dense(8, Activation::Tanh),
            LayerRecipe::Dropout { rate: 0.5 },
            lstm(7, true),
            lstm(6, false),
            dense(10, Activation::Relu),
        ],
    ];
    let recurrent = [LayerRecipe::Lstm, LayerRecipe::Gru, LayerRecipe::SimpleRnn];
    for kind in recurrent {
        stacks.push(vec![
            embedding(4, mask_zero),
            kind(Recurrent::new(5, true)),
            LayerRecipe::Gru(Recurrent::new(3, true)),
            kind(Recurrent::new(4, false)),
        ]);
    }
    for pool in pools {
        stacks.push(vec![
            embedding(5, mask_zero),
            dense(4, Activation::Sigmoid),
            pool.clone(),
        ]);
        stacks.push(vec![
            embedding(5, mask_zero),
            lstm(4, true),
            dense(6, Activation::Linear),
            pool,
            dense(3, Activation::Tanh),
        ]);
    }
    stacks
}

#[test]
fn pre_padded_unmasked_networks_are_trimmed_by_their_states_after_pads() {
    for layers in stacks(false) {
        assert_eq!(proven(&layers, MAXLEN, Side::Pre), Trim::Table);
    }
}

#[test]
fn a_row_of_one_step_needs_no_pads() {
    for layers in stacks(false) {
        assert_eq!(proven(&layers, 1, Side::Pre), Trim::Table);
    }
}

#[test]
fn post_padded_unmasked_networks_see_whole_rows() {
    for layers in stacks(false) {
        assert_eq!(proven(&layers, MAXLEN, Side::Post), Trim::None);
    }
}

#[test]
fn masked_networks_never_read_a_pad() {
    for layers in stacks(true) {
        for side in [Side::Pre, Side::Post] {
            assert_eq!(proven(&layers, MAXLEN, side), Trim::Masked);
        }
    }
}

#[test]
fn networks_that_read_from_both_ends_see_whole_rows_unless_they_are_masked() {
    let both = |units, return_sequences, merge| Recurrent {
        bidirectional: Some(merge),
        ..Recurrent::new(units, return_sequences)
    };
    for merge in [Merge::Concat, Merge::Sum, Merge::Mul, Merge::Ave] {
        for kind in [LayerRecipe::Lstm, LayerRecipe::Gru, LayerRecipe::SimpleRnn] {
            for mask_zero in [false, true] {
                let layers = [
                    embedding(4, mask_zero),
                    kind(both(5, true, merge)),
                    kind(Recurrent::new(4, true)),
                    kind(both(6, false, merge)),
                ];
                let trim = match mask_zero {
                    true => Trim::Masked,
                    false => Trim::None,
                };
                for side in [Side::Pre, Side::Post] {
                    assert_eq!(proven(&layers, MAXLEN, side), trim);
                }
            }
        }
    }
}

/// Every kind with activations of its own, two layers deep.
fn unusual() -> Vec<[LayerRecipe; 2]> {
    use Activation::{HardSigmoid, HardSigmoid3, Linear, Relu, Sigmoid, Tanh};
    let mut found = Vec::new();
    for (activation, gates) in [
        (Relu, HardSigmoid),
        (Sigmoid, HardSigmoid3),
        (Tanh, HardSigmoid),
        (Linear, Sigmoid),
    ] {
        let recurrent = |units, return_sequences, reset_after| Recurrent {
            activation: Some(activation),
            recurrent_activation: Some(gates),
            reset_after,
            ..Recurrent::new(units, return_sequences)
        };
        let simple = |units, return_sequences| {
            LayerRecipe::SimpleRnn(Recurrent {
                recurrent_activation: None,
                ..recurrent(units, return_sequences, None)
            })
        };
        let lstm = |units, sequences| LayerRecipe::Lstm(recurrent(units, sequences, None));
        let gru = |units, sequences, reset| LayerRecipe::Gru(recurrent(units, sequences, reset));
        found.push([lstm(4, true), lstm(3, false)]);
        found.push([gru(4, true, Some(false)), gru(3, false, Some(false))]);
        found.push([gru(4, true, None), simple(3, false)]);
    }
    let before = Recurrent {
        reset_after: Some(false),
        ..Recurrent::new(5, true)
    };
    found.push([LayerRecipe::Gru(before), lstm(4, false)]);
    found
}

#[test]
fn other_activations_and_a_gru_that_resets_first_are_written_as_they_are() {
    for layers in unusual() {
        for (mask_zero, trim) in [(false, Trim::Table), (true, Trim::Masked)] {
            let stack = [&[embedding(4, mask_zero)][..], &layers].concat();
            assert_eq!(proven(&stack, MAXLEN, Side::Pre), trim);
        }
        let both = layers.map(|layer| {
            let both = |recurrent: Recurrent| Recurrent {
                bidirectional: Some(Merge::Concat),
                ..recurrent
            };
            match layer {
                LayerRecipe::Lstm(recurrent) => LayerRecipe::Lstm(both(recurrent)),
                LayerRecipe::Gru(recurrent) => LayerRecipe::Gru(both(recurrent)),
                LayerRecipe::SimpleRnn(recurrent) => LayerRecipe::SimpleRnn(both(recurrent)),
                layer => layer,
            }
        });
        let stack = [&[embedding(4, true)][..], &both].concat();
        assert_eq!(proven(&stack, MAXLEN, Side::Pre), Trim::Masked);
    }
}

#[test]
fn layers_that_read_rows_from_their_end_see_whole_rows_unless_they_are_masked() {
    for kind in [LayerRecipe::Lstm, LayerRecipe::Gru, LayerRecipe::SimpleRnn] {
        let backwards = Recurrent {
            go_backwards: true,
            ..Recurrent::new(4, false)
        };
        for (mask_zero, trim) in [(false, Trim::None), (true, Trim::Masked)] {
            let layers = [
                embedding(4, mask_zero),
                kind(Recurrent::new(3, true)),
                kind(backwards.clone()),
            ];
            for side in [Side::Pre, Side::Post] {
                assert_eq!(proven(&layers, MAXLEN, side), trim);
            }
        }
    }
}

#[test]
fn networks_that_flatten_see_whole_rows() {
    let flat = LayerRecipe::Flatten {};
    for layers in [
        vec![embedding(5, false), flat.clone()],
        vec![
            embedding(4, false),
            lstm(3, true),
            flat,
            dense(4, Activation::Relu),
        ],
    ] {
        for side in [Side::Pre, Side::Post] {
            assert_eq!(proven(&layers, MAXLEN, side), Trim::None);
        }
    }
}

#[test]
fn a_graph_that_answers_otherwise_is_refused_with_its_worst_row() {
    let trained = network(&[embedding(5, false), lstm(4, false)], MAXLEN, 3);
    let mut exported = export(&trained, Side::Pre).unwrap();
    let rows = rows(MAXLEN, 2);
    let mut expected: Vec<(&[i64], f64)> = rows
        .iter()
        .map(|row| {
            let logit = reference(&trained, &padded(row, MAXLEN, Side::Pre));
            (row.as_slice(), logit)
        })
        .collect();
    expected[7].1 += 0.1;
    let runtime = Runtime::load().unwrap();
    let spec = padding(MAXLEN, Side::Pre);
    let refused = prove(&runtime, &exported, &spec, &expected).unwrap_err();
    assert!(
        matches!(refused, ProofError::Differs { row: 7, .. }),
        "{refused}"
    );
    expected[7].1 = f64::NAN;
    assert!(prove(&runtime, &exported, &spec, &expected).is_err());
    assert!(matches!(
        prove(&runtime, &exported, &spec, &[]),
        Err(ProofError::NoRows)
    ));
    // The graph of another network is not this one's.
    expected[7].1 = reference(&trained, &padded(&rows[7], MAXLEN, Side::Pre));
    let other = network(&[embedding(5, false), lstm(4, false)], MAXLEN, 4);
    exported.onnx = export(&other, Side::Pre).unwrap().onnx;
    assert!(prove(&runtime, &exported, &spec, &expected).is_err());
}

#[test]
fn weights_that_do_not_fit_are_refused_by_layer() {
    let mut trained = network(&[embedding(5, false), lstm(4, false)], MAXLEN, 3);
    trained.layers[1].weights[1] = ArrayD::zeros(vec![3, 16]);
    let refused = export(&trained, Side::Pre).unwrap_err().to_string();
    assert!(refused.contains("layer_1"), "{refused}");
    let mut trained = network(&[embedding(5, false), lstm(4, false)], MAXLEN, 3);
    trained.layers[0].weights[0][[2, 2]] = f32::NAN;
    let refused = export(&trained, Side::Pre).unwrap_err().to_string();
    assert!(
        refused.contains("layer_0") && refused.contains("NaN"),
        "{refused}"
    );
}

#[test]
fn the_same_network_gives_the_same_file() {
    let layers = [
        embedding(5, true),
        lstm(4, true),
        LayerRecipe::GlobalMaxAveragePooling {},
    ];
    let [first, second] =
        [(); 2].map(|()| export(&network(&layers, MAXLEN, 9), Side::Pre).unwrap());
    assert_eq!(first.onnx, second.onnx);
}

#[test]
fn a_session_refuses_what_would_end_the_process_and_goes_on() {
    let trained = network(&[embedding(5, false), lstm(4, false)], MAXLEN, 5);
    let exported = export(&trained, Side::Pre).unwrap();
    let runtime = Runtime::load().unwrap();
    let options = SessionOptions {
        device: Device::Cpu,
        standard: true,
    };
    let mut session = Session::open(&runtime, &exported.onnx, options).unwrap();
    assert_eq!(session.provider(), "cpu");
    assert!(session.run(&[], (0, 3), &[]).is_err());
    assert!(session.run(&[], (1, 0), &[1]).is_err());
    assert!(session.run(&[-1], (1, 1), &[1]).is_err());
    assert!(session.run(&[IDS as i64], (1, 1), &[1]).is_err());
    assert!(
        session
            .run(&[1; MAXLEN + 1], (1, MAXLEN + 1), &[1])
            .is_err()
    );
    let logit = session.run(&[3, 4], (1, 2), &[2]).unwrap()[0];
    let expected = reference(&trained, &padded(&[3, 4], MAXLEN, Side::Pre));
    assert!((f64::from(logit) - expected).abs() < 1e-5);
}

#[test]
fn what_is_no_graph_of_ours_is_refused() {
    let runtime = Runtime::load().unwrap();
    for bytes in [&b""[..], b"not a graph"] {
        assert!(Session::open(&runtime, bytes, SessionOptions::default()).is_err());
    }
    let trained = network(&[embedding(5, false), lstm(4, false)], MAXLEN, 5);
    let mut onnx = export(&trained, Side::Pre).unwrap().onnx;
    onnx.truncate(onnx.len() / 2);
    assert!(Session::open(&runtime, &onnx, SessionOptions::default()).is_err());
}

#[test]
fn cuda_without_a_gpu_is_an_error_and_auto_takes_the_cpu() {
    let trained = network(&[embedding(5, false), lstm(4, false)], MAXLEN, 5);
    let onnx = export(&trained, Side::Pre).unwrap().onnx;
    let runtime = Runtime::load().unwrap();
    let open = |device| {
        Session::open(
            &runtime,
            &onnx,
            SessionOptions {
                device,
                standard: false,
            },
        )
    };
    let auto = open(Device::Auto).unwrap();
    match open(Device::Cuda) {
        Ok(cuda) => assert_eq!((cuda.provider(), auto.provider()), ("cuda", "cuda")),
        Err(refused) => {
            assert!(refused.to_string().contains("GPU"), "{refused}");
            assert_eq!(auto.provider(), "cpu");
        }
    }
}
