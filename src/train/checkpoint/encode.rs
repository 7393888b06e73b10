//! A training's state as the bytes of a checkpoint, and back: exact in both directions.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::train::network::Network;
use crate::train::origin::Origin;
use crate::train::report::History;
use crate::train::state::{Best, State, Sums};

const TRAINING: &str = "training";
const DIGEST: &str = "sha256";

/// Why bytes are no state of this training.
#[derive(Debug)]
pub enum Refusal {
    /// They are not what was written.
    Damaged(String),
    /// They are of another training.
    Foreign(String),
}

/// What is not an array.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Training {
    origin: Origin,
    epoch: usize,
    step: usize,
    sums: Sums,
    history: History,
    best: Option<BestEpoch>,
    optimizer_steps: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BestEpoch {
    epoch: usize,
    /// The bits of a number that may be infinite or NaN, which JSON has no word for.
    figure: u64,
}

/// The bytes of a checkpoint.
pub fn encode(origin: &Origin, state: &State) -> Vec<u8> {
    let training = Training {
        origin: origin.clone(),
        epoch: state.epoch,
        step: state.step,
        sums: state.sums,
        history: state.history.clone(),
        best: state.best.as_ref().map(|best| BestEpoch {
            epoch: best.epoch,
            figure: best.figure.to_bits(),
        }),
        optimizer_steps: state.stepper.adam.steps() as u32,
    };
    let training = serde_json::to_string(&training).expect("numbers and names");
    let mut arrays: Vec<(String, Array<'_>)> = weights("network", &state.stepper.network).collect();
    for (at, (mean, square)) in state.stepper.adam.moments().iter().enumerate() {
        arrays.push((format!("adam.{at}.mean"), Array::flat(mean)));
        arrays.push((format!("adam.{at}.square"), Array::flat(square)));
    }
    if let Some(best) = &state.best {
        arrays.extend(weights("best", &best.network));
    }
    arrays.sort_by(|a, b| a.0.cmp(&b.0));
    let contents = arrays
        .iter()
        .map(|(name, array)| (name.as_str(), array.data()));
    let digest = digest(&training, contents);
    let beside = [(TRAINING, training), (DIGEST, digest)];
    let beside: HashMap<_, _> = beside.map(|(key, text)| (key.to_owned(), text)).into();
    safetensors::serialize(arrays, Some(beside)).expect("arrays have different names and a size")
}

/// Puts a checkpoint over a state at the beginning of the same training, which is left as it was if that fails.
pub fn decode(bytes: &[u8], origin: &Origin, state: &mut State) -> Result<(), Refusal> {
    let damaged = |reason: &str| Refusal::Damaged(reason.to_owned());
    let broken = |error: safetensors::SafeTensorError| Refusal::Damaged(error.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let arrays = SafeTensors::deserialize(bytes).map_err(broken)?;
    let beside = header.metadata().as_ref();
    let text = |key| beside.and_then(|beside| beside.get(key));
    let (Some(training), Some(written)) = (text(TRAINING), text(DIGEST)) else {
        return Err(damaged("it is not a checkpoint of this program"));
    };
    let mut found: Vec<(&str, Cow<'_, [u8]>)> = arrays
        .iter()
        .map(|(name, array)| (name, Cow::Borrowed(array.data())))
        .collect();
    found.sort_by(|a, b| a.0.cmp(b.0));
    if digest(training, found.into_iter()) != *written {
        return Err(damaged("its contents do not match their SHA-256"));
    }
    let value: serde_json::Value =
        serde_json::from_str(training).map_err(|e| Refusal::Damaged(e.to_string()))?;
    // The origin first: another version may keep other things.
    let kept = serde_json::from_value::<Origin>(value["origin"].clone());
    let kept = kept.map_err(|e| Refusal::Damaged(e.to_string()))?;
    if let Some(difference) = kept.difference(origin) {
        return Err(Refusal::Foreign(difference));
    }
    let training: Training =
        serde_json::from_value(value).map_err(|e| Refusal::Damaged(e.to_string()))?;
    let done = training.history.epochs.len();
    let counted = training.best.as_ref().is_none_or(|best| best.epoch <= done);
    if training.epoch != done + 1 || !counted {
        return Err(damaged("its counts contradict each other"));
    }

    let read = Read(&arrays);
    let network = read.network("network", &state.stepper.network)?;
    let sizes = network.layers.iter().flat_map(|layer| &layer.weights);
    let moments = sizes
        .skip(network.frozen())
        .enumerate()
        .map(|(at, weight)| {
            let len = [weight.len()];
            let mean = read.values(&format!("adam.{at}.mean"), &len)?;
            let square = read.values(&format!("adam.{at}.square"), &len)?;
            Ok((mean, square))
        });
    let moments = moments.collect::<Result<Vec<_>, Refusal>>()?;
    let best = training.best.map(|best| {
        Ok(Best {
            figure: f64::from_bits(best.figure),
            epoch: best.epoch,
            network: read.network("best", &network)?,
        })
    });
    state.best = best.transpose()?;
    state.stepper.network = network;
    state.stepper.adam.resume(training.optimizer_steps, moments);
    state.epoch = training.epoch;
    state.step = training.step;
    state.sums = training.sums;
    state.history = training.history;
    Ok(())
}

fn digest<'a>(training: &str, arrays: impl Iterator<Item = (&'a str, Cow<'a, [u8]>)>) -> String {
    let mut digest = Sha256::new();
    digest.update(training);
    for (name, values) in arrays {
        digest.update(name);
        digest.update((values.len() as u64).to_le_bytes());
        digest.update(values);
    }
    let digest = digest.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The weights of a network by name.
fn weights<'a>(
    whose: &'a str,
    network: &'a Network<f32>,
) -> impl Iterator<Item = (String, Array<'a>)> {
    network.layers.iter().flat_map(move |layer| {
        layer.weights.iter().enumerate().map(move |(at, weight)| {
            let array = Array {
                shape: weight.shape().to_vec(),
                values: weight.as_slice().expect("weights are in standard layout"),
            };
            (weight_name(whose, &layer.name, at), array)
        })
    })
}

fn weight_name(whose: &str, layer: &str, at: usize) -> String {
    format!("{whose}.{layer}.{at}")
}

/// An array that is being written.
struct Array<'a> {
    shape: Vec<usize>,
    values: &'a [f32],
}

impl<'a> Array<'a> {
    fn flat(values: &'a [f32]) -> Self {
        let shape = vec![values.len()];
        Self { shape, values }
    }
}

impl View for Array<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(self.data_len());
        for value in self.values {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}

/// The arrays of a file.
struct Read<'a>(&'a SafeTensors<'a>);

impl Read<'_> {
    /// A network of the same shape as `like`.
    fn network(&self, whose: &str, like: &Network<f32>) -> Result<Network<f32>, Refusal> {
        let mut network = like.clone();
        for layer in &mut network.layers {
            for (at, weight) in layer.weights.iter_mut().enumerate() {
                let values = self.values(&weight_name(whose, &layer.name, at), weight.shape())?;
                weight
                    .as_slice_mut()
                    .expect("weights are in standard layout")
                    .copy_from_slice(&values);
            }
        }
        Ok(network)
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Refusal> {
        let array = self.0.tensor(name);
        let array = array.map_err(|error| Refusal::Damaged(error.to_string()))?;
        if array.dtype() != Dtype::F32 || array.shape() != shape {
            return Err(Refusal::Damaged(format!("{name} has another shape")));
        }
        let (values, _) = array.data().as_chunks();
        Ok(values
            .iter()
            .map(|&four| f32::from_le_bytes(four))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Embedding, FitRecipe, LayerRecipe, Recurrent};
    use crate::train::report::Epoch;
    use crate::train::step::Target;

    fn origin(program: &str) -> Origin {
        Origin {
            program: program.to_owned(),
            instruction_set: String::new(),
            data: String::new(),
            recipe: serde_json::json!({"fit": {"learning_rate": 0.1}}),
        }
    }

    fn fresh() -> State {
        let layers = [
            LayerRecipe::Embedding(Embedding::new(3, true)),
            LayerRecipe::Lstm(Recurrent::new(2, false)),
            LayerRecipe::Dense {
                units: 1,
                activation: crate::recipe::Activation::Sigmoid,
            },
        ];
        State::new(Network::build(&layers, 5, 4, 1), &FitRecipe::default())
    }

    fn trained() -> State {
        let mut state = fresh();
        let target = Target {
            ids: &[1, 2, 3],
            label: 1.0,
            weight: 1.0,
        };
        let outcome = state.stepper.step(&[target], 0.1);
        state.count(outcome, 1);
        let epoch = Epoch {
            epoch: 1,
            loss: 0.1 + 0.2,
            accuracy: 1.0 / 3.0,
            val_loss: None,
            val_accuracy: None,
            learning_rate: 0.1,
            seconds: 0.5,
        };
        state.close_epoch(epoch, &FitRecipe::default());
        let outcome = state.stepper.step(&[target], 0.1);
        state.count(outcome, 1);
        state.sums.loss = f64::from_bits(0.3_f64.to_bits() + 1);
        state
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let bytes = encode(&origin("1"), &trained());
        let mut state = fresh();
        decode(&bytes, &origin("1"), &mut state).expect("it was just written");
        let before = trained();
        assert_eq!((state.epoch, state.step, state.sums), (2, 1, before.sums));
        assert_eq!(state.history, before.history);
        let weights = |network: &Network<f32>| -> Vec<u32> {
            let weights = network.layers.iter().flat_map(|layer| &layer.weights);
            weights.flatten().map(|value| value.to_bits()).collect()
        };
        assert_eq!(
            weights(&state.stepper.network),
            weights(&before.stepper.network)
        );
        assert_eq!(state.stepper.adam.steps(), 2);
        assert_eq!(state.stepper.adam.moments(), before.stepper.adam.moments());
        let best = |state: &State| state.best.as_ref().map(|b| (b.figure, weights(&b.network)));
        assert_eq!(best(&state), best(&before));
    }

    #[test]
    fn whatever_is_cut_off_or_changed_is_refused_and_changes_nothing() {
        let bytes = encode(&origin("1"), &trained());
        let mut state = fresh();
        let mut refused = |bytes: &[u8], what: &str| {
            let refusal = decode(bytes, &origin("1"), &mut state);
            assert!(matches!(refusal, Err(Refusal::Damaged(_))), "{what}");
            assert_eq!((state.epoch, state.stepper.adam.steps()), (1, 0), "{what}");
        };
        for len in 0..bytes.len() {
            refused(&bytes[..len], &format!("cut to {len}"));
        }
        let header =
            8 + u64::from_le_bytes(*bytes.first_chunk().expect("it has a length")) as usize;
        for at in (0..bytes.len()).filter(|at| *at >= header || at % 7 == 0) {
            // A space at the end of the header means nothing.
            if bytes[at] != b' ' {
                let mut bytes = bytes.clone();
                bytes[at] ^= 4;
                refused(&bytes, &format!("changed at {at}"));
            }
        }
    }

    #[test]
    fn another_origin_is_refused_by_what_differs() {
        let bytes = encode(&origin("1"), &trained());
        match decode(&bytes, &origin("2"), &mut fresh()) {
            Err(Refusal::Foreign(said)) => assert!(said.contains("program"), "{said}"),
            other => panic!("{other:?}"),
        }
    }
}
