//! Keras as a witness of training: the trainer's steps in double precision are those of Keras 2.15.
//!
//! `tests/reference/keras_step.py` made the fixture. A padded row and its mask in Keras are the bare ids here.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use ndarray::ArrayD;
use sentiment::recipe::{FitRecipe, LayerRecipe};
use sentiment::sentiment::sigmoid;
use sentiment::train::network::Network;
use sentiment::train::step::{SHARD_ROWS, Stepper, Target};
use serde::Deserialize;

/// Keras computes the loss from probabilities, so its numbers carry the rounding of `1 - p`.
const TOLERANCE: f64 = 1e-11;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    layers: Vec<LayerRecipe>,
    fit: FitRecipe,
    rows: usize,
    maxlen: usize,
    texts: Vec<Vec<i64>>,
    ids: Vec<Vec<i64>>,
    targets: Vec<f64>,
    sample_weights: Vec<f64>,
    weights: Vec<Array>,
    probabilities: Vec<f64>,
    losses: Vec<f64>,
    gradients: Vec<Array>,
    weights_after_1: Vec<Array>,
    weights_after_3: Vec<Array>,
}

#[derive(Deserialize)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Case {
    fn network(&self) -> Network<f64> {
        let mut network = Network::build(&self.layers, self.rows, self.maxlen, 1);
        let weights = network.layers.iter_mut().flat_map(|l| &mut l.weights);
        let mut given = self.weights.iter();
        for weight in weights {
            let array = given.next().unwrap();
            assert_eq!(weight.shape(), array.shape);
            *weight = ArrayD::from_shape_vec(&array.shape[..], array.values.clone()).unwrap();
        }
        assert!(given.next().is_none(), "{}: weights are left", self.name);
        network
    }

    fn batch(&self) -> Vec<Target<'_>> {
        let masked = self.layers[0].embedding().is_some_and(|e| e.mask_zero);
        let rows = if masked { &self.texts } else { &self.ids };
        let labels = self.targets.iter().zip(&self.sample_weights);
        rows.iter()
            .zip(labels)
            .map(|(ids, (&label, &weight))| Target { ids, label, weight })
            .collect()
    }

    fn trains_alike(&self, batch: &[Target<'_>]) {
        let mut stepper = Stepper::new(self.network(), &self.fit);
        let mut losses = Vec::new();
        for step in 1..=3 {
            losses.push(stepper.step(batch, self.fit.learning_rate).loss);
            let moved = weights(&stepper.network);
            if step == 1 {
                let mut gradients = stepper.last_gradients();
                if self.layers[0].embedding().is_some_and(|e| !e.trainable) {
                    // Keras has none for what it does not train.
                    assert!(gradients.remove(0).iter().all(|value| *value == 0.0));
                }
                self.near_all("gradient", &gradients, &self.gradients);
                self.near_all("weight after 1 step", &moved, &self.weights_after_1);
            } else if step == 3 {
                self.near_all("weight after 3 steps", &moved, &self.weights_after_3);
            }
        }
        self.near("loss", &losses, &self.losses);
    }

    fn near(&self, what: &str, ours: &[f64], theirs: &[f64]) {
        assert_eq!(ours.len(), theirs.len(), "{}: {what}", self.name);
        for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
            assert!(
                (a - b).abs() <= TOLERANCE,
                "{}: {what} {at} is {a}, Keras has {b}",
                self.name
            );
        }
    }

    fn near_all(&self, what: &str, ours: &[ArrayD<f64>], theirs: &[Array]) {
        assert_eq!(ours.len(), theirs.len(), "{}: {what}", self.name);
        for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
            assert_eq!(a.shape(), b.shape);
            self.near(&format!("{what} {at}"), a.as_slice().unwrap(), &b.values);
        }
    }
}

fn weights(network: &Network<f64>) -> Vec<ArrayD<f64>> {
    let layers = network.layers.iter();
    layers.flat_map(|layer| layer.weights.clone()).collect()
}

#[test]
fn three_steps_move_the_weights_as_keras_moves_them() {
    let json = include_str!("fixtures/keras_step.json");
    let cases = serde_json::from_str::<Fixture>(json).unwrap().cases;
    assert_eq!(cases.len(), 20);
    for case in cases {
        let batch = case.batch();
        let rows: Vec<&[i64]> = batch.iter().map(|target| target.ids).collect();
        let probabilities: Vec<f64> = case
            .network()
            .logits(&rows)
            .into_iter()
            .map(sigmoid)
            .collect();
        case.near("probability", &probabilities, &case.probabilities);
        case.trains_alike(&batch);
        // Four times the rows have the same mean, from more shards than one.
        let more = batch.repeat(4);
        assert!(more.len() > SHARD_ROWS);
        case.trains_alike(&more);
    }
}
