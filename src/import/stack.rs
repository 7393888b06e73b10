//! Layers of another program on their way to a network: activations folded into the layers below them, and an end that is
//! one logit, whatever the file ends in.

use ndarray::{ArrayD, Axis};

use super::ImportError;
use crate::recipe::{Activation, LayerRecipe};
use crate::train::network::Layer;

/// A network that a file holds.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    /// Input to output, ending in one logit for each row.
    pub layers: Vec<Layer<f32>>,
    /// Names of layers that training leaves as they are.
    pub frozen: Vec<String>,
    /// The length of a row, if it is fixed.
    pub maxlen: Option<usize>,
    /// Who wrote the file.
    pub producer: String,
}

/// How the end of a network is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of two outputs, the place of the positive one.
    pub positive: usize,
    /// The one output is a logit, not a probability.
    pub logit: bool,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            positive: 1,
            logit: false,
        }
    }
}

/// Which Keras wrote a file: some names changed their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Major {
    /// Keras 1 and 2.
    Two,
    /// Keras 3 and later.
    Three,
}

/// What is computed from a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activated {
    /// Each number by itself.
    Each(Activation),
    /// All of them together; only at the end.
    Softmax,
}

impl Activated {
    /// By Keras's name.
    pub fn parse(name: &str, keras: Major) -> Option<Self> {
        match name {
            "linear" => Some(Self::Each(Activation::Linear)),
            "sigmoid" => Some(Self::Each(Activation::Sigmoid)),
            "relu" => Some(Self::Each(Activation::Relu)),
            "tanh" => Some(Self::Each(Activation::Tanh)),
            "hard_sigmoid" => Some(Self::Each(match keras {
                Major::Two => Activation::HardSigmoid,
                Major::Three => Activation::HardSigmoid3,
            })),
            "softmax" => Some(Self::Softmax),
            _ => None,
        }
    }
}

/// A layer as it was found.
#[derive(Clone, Debug)]
pub(super) enum Taken {
    /// One that is ours as it is.
    Layer {
        /// Its name in the file.
        name: String,
        /// What it is.
        recipe: LayerRecipe,
        /// In Keras's layout.
        weights: Vec<ArrayD<f32>>,
    },
    /// A dense one.
    Dense {
        /// Its place in the file.
        position: usize,
        /// Its name in the file.
        name: String,
        /// Outputs.
        units: usize,
        /// Applied to the outputs.
        activation: Activated,
        /// `[inputs, units]`, `[units]`
        weights: Vec<ArrayD<f32>>,
    },
    /// An activation by itself.
    Activation {
        /// Its place in the file.
        position: usize,
        /// Its name in the file.
        name: String,
        /// What it computes.
        activation: Activated,
    },
}

/// The layers of a network that ends in one logit.
///
/// # Errors
/// An activation stands where none can, or the end is no probability.
pub(super) fn finish(taken: Vec<Taken>, head: Head) -> Result<Vec<Layer<f32>>, ImportError> {
    let folded = fold(taken)?;
    let last = folded.len().saturating_sub(1);
    let mut layers = Vec::with_capacity(folded.len());
    for (at, taken) in folded.into_iter().enumerate() {
        layers.push(match taken {
            Taken::Layer {
                name,
                recipe,
                weights,
            } => Layer {
                name,
                recipe,
                weights,
            },
            Taken::Dense {
                name,
                units,
                activation,
                weights,
                position,
            } if at == last => {
                let weights = one_logit((units, activation), weights, head)
                    .map_err(|reason| refused((position, name.clone(), "Dense"), &reason))?;
                let recipe = LayerRecipe::Dense {
                    units: 1,
                    activation: Activation::Sigmoid,
                };
                Layer {
                    name,
                    recipe,
                    weights,
                }
            }
            Taken::Dense {
                name,
                units,
                activation: Activated::Each(activation),
                weights,
                ..
            } => {
                let recipe = LayerRecipe::Dense { units, activation };
                Layer {
                    name,
                    recipe,
                    weights,
                }
            }
            Taken::Dense { position, name, .. } => {
                return Err(refused(
                    (position, name, "Dense"),
                    "a softmax can only be last",
                ));
            }
            Taken::Activation { position, name, .. } => {
                let reason = "an activation can only follow a dense layer that has none";
                return Err(refused((position, name, "Activation"), reason));
            }
        });
    }
    Ok(layers)
}

/// Activations into the dense layers below them.
fn fold(taken: Vec<Taken>) -> Result<Vec<Taken>, ImportError> {
    const NONE: Activated = Activated::Each(Activation::Linear);
    let mut folded: Vec<Taken> = Vec::with_capacity(taken.len());
    for layer in taken {
        match (folded.last_mut(), layer) {
            (_, Taken::Activation { activation, .. }) if activation == NONE => {}
            (
                Some(Taken::Dense {
                    activation: below @ NONE,
                    ..
                }),
                Taken::Activation { activation, .. },
            ) => *below = activation,
            (_, layer) => folded.push(layer),
        }
    }
    Ok(folded)
}

/// The weights of a dense layer with one unit, whose output is the logit of the positive class.
fn one_logit(
    (units, activation): (usize, Activated),
    weights: Vec<ArrayD<f32>>,
    head: Head,
) -> Result<Vec<ArrayD<f32>>, String> {
    let ends = |what: &str| Err(what.to_owned());
    match (units, activation) {
        (1, Activated::Each(Activation::Sigmoid)) => Ok(weights),
        (1, Activated::Each(Activation::Linear)) if head.logit => Ok(weights),
        (1, Activated::Each(Activation::Linear)) => {
            ends("it ends in one number without a sigmoid; --logit says that the number is a logit")
        }
        (2, Activated::Softmax) => Ok(weights
            .iter()
            .map(|weight| difference(weight, head.positive))
            .collect()),
        _ => ends(&format!(
            "it ends in {units} numbers, where one with a sigmoid or two with a softmax are needed"
        )),
    }
}

/// A softmax of two is the sigmoid of the difference of what goes into it.
fn difference(weight: &ArrayD<f32>, positive: usize) -> ArrayD<f32> {
    let axis = Axis(weight.ndim().saturating_sub(1));
    if weight.ndim() == 0 || weight.shape()[axis.0] != 2 {
        // The check of shapes at export says what is wrong with it.
        return weight.clone();
    }
    let positive = positive.min(1);
    let column = |at| weight.index_axis(axis, at);
    (&column(positive) - &column(1 - positive)).insert_axis(axis)
}

fn refused((position, name, class): (usize, String, &str), reason: &str) -> ImportError {
    ImportError::Layer {
        position,
        name,
        class: class.to_owned(),
        reason: reason.to_owned(),
    }
}
