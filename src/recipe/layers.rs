//! The network's layers as a recipe names them; names and defaults are Keras's.

use serde::{Deserialize, Serialize};

/// One `[[layers]]` entry; names and defaults are Keras's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LayerRecipe {
    /// `Embedding`.
    Embedding(Embedding),
    /// `LSTM`.
    Lstm(Recurrent),
    /// `GRU`.
    Gru(Recurrent),
    /// `SimpleRNN`.
    SimpleRnn(Recurrent),
    /// `Dense`.
    Dense {
        /// Outputs.
        units: usize,
        /// Applied to the outputs.
        #[serde(default)]
        activation: Activation,
    },
    /// `Flatten`.
    Flatten {},
    /// `Dropout`.
    Dropout {
        /// The share of values set to zero in training.
        rate: f64,
    },
    /// `SpatialDropout1D`: whole features, the same ones at every step of a row.
    SpatialDropout {
        /// The share of features set to zero in training.
        rate: f64,
    },
    /// `GlobalMaxPooling1D`.
    GlobalMaxPooling {},
    /// `GlobalAveragePooling1D`.
    GlobalAveragePooling {},
    /// `GlobalMaxPooling1D` beside `GlobalAveragePooling1D`, concatenated in this order.
    GlobalMaxAveragePooling {},
    /// The mean over time, each step weighted by a softmax over what `tanh(W h + b)` says to a learned query (additive
    /// attention, Yang et al. 2016).
    AttentionPooling {
        /// The length of the query.
        units: usize,
    },
}

impl LayerRecipe {
    /// What the layer has in common with other recurrent ones, if it is one.
    pub fn recurrent(&self) -> Option<&Recurrent> {
        match self {
            Self::Lstm(recurrent) | Self::Gru(recurrent) | Self::SimpleRnn(recurrent) => {
                Some(recurrent)
            }
            _ => None,
        }
    }

    /// The layer over an embedding's rows, if it is one.
    pub fn embedding(&self) -> Option<&Embedding> {
        match self {
            Self::Embedding(embedding) => Some(embedding),
            _ => None,
        }
    }
}

/// `Embedding`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// The length of a token's vector.
    pub units: usize,
    /// Steps whose id is 0 are skipped by the layers above.
    #[serde(default)]
    pub mask_zero: bool,
    /// A file of word vectors that training begins with, relative to the recipe: word2vec, GloVe or fastText's .vec. Tokens
    /// that are not in it begin at zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<String>,
    /// Whether training changes the vectors.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub trainable: bool,
}

impl Embedding {
    /// Drawn at random and trained.
    pub fn new(units: usize, mask_zero: bool) -> Self {
        Self {
            units,
            mask_zero,
            pretrained: None,
            trainable: true,
        }
    }
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

/// What recurrent layers have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recurrent {
    /// The size of the state.
    pub units: usize,
    /// Every step's output, or the last one's.
    #[serde(default)]
    pub return_sequences: bool,
    /// The share of input features set to zero in training, the same ones at every step of a row; of each gate's own where
    /// there is `recurrent_dropout`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// The share of the state's features set to zero on their way to the next step's gates, of each gate's own, the same ones at
    /// every step of a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recurrent_dropout: f64,
    /// A second layer of this kind reads each row from its end (`Bidirectional`), and the two outputs become one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bidirectional: Option<Merge>,
    /// What squashes the new state, tanh unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// What squashes the gates of an `lstm` or `gru`, sigmoid unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrent_activation: Option<Activation>,
    /// Of a `gru`: whether the reset gate acts behind the recurrent product, true unless it is given. Keras 1 had it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_after: Option<bool>,
    /// Rows are read from their end; only the last state is answered.
    #[serde(default, skip_serializing_if = "is_false")]
    pub go_backwards: bool,
}

impl Recurrent {
    /// Forward, without dropout.
    pub fn new(units: usize, return_sequences: bool) -> Self {
        Self {
            units,
            return_sequences,
            ..Self::default()
        }
    }

    /// What squashes the new state and the gates, and whether a `gru` resets behind the product.
    pub fn arithmetic(&self) -> (Activation, Activation, bool) {
        (
            self.activation.unwrap_or(Activation::Tanh),
            self.recurrent_activation.unwrap_or(Activation::Sigmoid),
            self.reset_after.unwrap_or(true),
        )
    }

    /// Whether that is Keras's default.
    pub fn is_usual(&self) -> bool {
        self.arithmetic() == (Activation::Tanh, Activation::Sigmoid, true)
    }

    /// The features of an output.
    pub fn features(&self) -> usize {
        match self.bidirectional {
            Some(Merge::Concat) => 2 * self.units,
            Some(Merge::Sum | Merge::Mul | Merge::Ave) | None => self.units,
        }
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// How `Bidirectional` makes one output of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// Beside each other, forward first.
    Concat,
    /// Their sum.
    Sum,
    /// Their product.
    Mul,
    /// Their mean.
    Ave,
}

/// An activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// None.
    #[default]
    Linear,
    /// The logistic function.
    Sigmoid,
    /// `max(0, x)`.
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// `0.2 x + 0.5`, within 0 and 1: the `hard_sigmoid` of Keras 1 and 2.
    HardSigmoid,
    /// `x / 6 + 0.5`, within 0 and 1: the `hard_sigmoid` of Keras 3.
    #[serde(rename = "hard_sigmoid_3")]
    HardSigmoid3,
}

impl Activation {
    /// The slope in the middle of a straight line that is cut off at 0 and 1, which it passes at 0.5.
    pub fn straight(self) -> Option<f64> {
        match self {
            Self::HardSigmoid => Some(0.2),
            Self::HardSigmoid3 => Some(1.0 / 6.0),
            Self::Linear | Self::Sigmoid | Self::Relu | Self::Tanh => None,
        }
    }
}
