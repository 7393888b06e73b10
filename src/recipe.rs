//! The recipe: everything that makes a model, in one TOML file, kept in the bundle.

mod check;
mod layers;
mod size;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use layers::{Activation, Embedding, LayerRecipe, Merge, Recurrent};

use crate::sentiment::Label;
use crate::text::EncoderSpec;
use crate::text::{PaddingSpec, TextSpec, TokenizerSpec};

/// Why a recipe is refused.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("recipe {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, or not a recipe's fields.
    #[error("recipe {path}: {message}")]
    Parse {
        /// The file, or `<inline>`.
        path: String,
        /// What the parser said, with line and column.
        message: String,
    },
    /// Well formed, but it cannot make a model.
    #[error("recipe {name:?}: {reason}")]
    Invalid {
        /// The recipe's name.
        name: String,
        /// What is wrong, naming the field.
        reason: String,
    },
}

/// One recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The model's name: lower-case letters, digits and `-`.
    pub name: String,
    /// BCP 47 primary languages, the first being the main one.
    pub languages: Vec<String>,
    /// Languages whose texts go to this model when a request names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_for: Vec<String>,
    /// The labels' names in the model's language.
    #[serde(default)]
    pub display: Display,
    /// A few sentences for people: what the model is for and what it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// Cleaning.
    #[serde(default)]
    pub text: TextSpec,
    /// Data.
    pub data: DataRecipe,
    /// Tokenization.
    pub tokenizer: TokenizerSpec,
    /// Padding.
    pub padding: PaddingSpec,
    /// The network, input to output; the last is `dense` with one unit and a sigmoid.
    pub layers: Vec<LayerRecipe>,
    /// Training.
    pub fit: FitRecipe,
}

/// How labels are shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Display {
    /// Shown for positive.
    pub positive: String,
    /// Shown for negative.
    pub negative: String,
}

impl Default for Display {
    fn default() -> Self {
        Self {
            positive: "positive".into(),
            negative: "negative".into(),
        }
    }
}

impl Display {
    /// The label's name in the model's language.
    pub fn of(&self, label: Label) -> &str {
        match label {
            Label::Positive => &self.positive,
            Label::Negative => &self.negative,
        }
    }
}

/// The `[data]` table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// `[[data.source]]`, one for each file or folder.
    #[serde(default)]
    pub source: Vec<SourceRecipe>,
    /// Drop rows whose (raw) text was already seen in the same source.
    #[serde(default)]
    pub dedupe: bool,
    /// One shuffle of all rows before any split.
    #[serde(default)]
    pub shuffle_seed: Option<u64>,
    /// The rows that choose the epoch and the temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Split>,
    /// Rows set apart before validation is split off; scored once, at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Split>,
}

/// One `[[data.source]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRecipe {
    /// The name by which `--data NAME=PATH` gives its path.
    pub name: String,
    /// A rating above this is positive; without it labels are read as words (`pos`, `negative`, ...) or 0 and 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_above: Option<f64>,
    /// The weight of its rows in the loss.
    #[serde(default = "one")]
    pub weight: f64,
    /// Its rows are only learned from: none is set apart for validation or test, whose rows are the same with and without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub train_only: bool,
    /// The text column of a file with a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The label or rating column of a file with a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

fn one() -> f64 {
    1.0
}

/// How rows are split off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// `random` or `tail`.
    pub split: SplitKind,
    /// The share of rows, over 0 and under 1.
    pub fraction: f64,
    /// For `random`.
    #[serde(default)]
    pub seed: u64,
}

/// Which rows a split takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitKind {
    /// A random share, drawn with a seed.
    Random,
    /// The last rows, as Keras's `validation_split`.
    Tail,
}

/// The `[fit]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FitRecipe {
    /// Only `adam` so far.
    pub optimizer: Optimizer,
    /// Adam's step size.
    pub learning_rate: f64,
    /// Adam's decay of the mean of gradients.
    pub beta_1: f64,
    /// Adam's decay of the mean of squares.
    pub beta_2: f64,
    /// Adam's epsilon, Keras's default 1e-7.
    pub epsilon: f64,
    /// How the step size goes over the steps of all epochs.
    pub schedule: Schedule,
    /// Rows in a step.
    pub batch_size: usize,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Each weight's gradient is scaled to at most this norm.
    pub clipnorm: Option<f64>,
    /// All gradients together are scaled to at most this norm.
    pub global_clipnorm: Option<f64>,
    /// Each gradient value is cut to this range.
    pub clipvalue: Option<f64>,
    /// Draw batches from rows of like length, shuffled within, where that saves steps: in masked networks, and in those that
    /// read rows forward with pads in front, which are behind the length.
    pub bucket: bool,
    /// Show only a part of some training rows; for masked networks.
    pub crop: Option<Crop>,
    /// Stop when validation gets no better; the best weights are kept.
    pub early_stopping: Option<EarlyStopping>,
    /// Seeds initialisers, dropout and the order of rows.
    pub seed: u64,
}

impl Default for FitRecipe {
    fn default() -> Self {
        Self {
            optimizer: Optimizer::Adam,
            learning_rate: 1e-3,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-7,
            schedule: Schedule::Constant,
            batch_size: 32,
            epochs: 1,
            clipnorm: None,
            global_clipnorm: None,
            clipvalue: None,
            bucket: false,
            crop: None,
            early_stopping: None,
            seed: 1,
        }
    }
}

/// The optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Kingma and Ba 2015, as Keras computes it.
    Adam,
}

/// The learning rate's course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Always `learning_rate`.
    Constant,
    /// From `learning_rate` down to nothing along half a cosine over all epochs.
    Cosine,
}

/// Random parts of training rows, drawn anew every epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// The share of rows that are cut, over 0 and at most 1.
    pub share: f64,
    /// The fewest ids of a part.
    pub least: usize,
}

/// `EarlyStopping(restore_best_weights=True)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// What is watched.
    pub monitor: Monitor,
    /// Epochs without a gain after which training stops.
    pub patience: usize,
    /// The least gain that counts.
    pub min_delta: f64,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self {
            monitor: Monitor::ValLoss,
            patience: 0,
            min_delta: 0.0,
        }
    }
}

/// What early stopping watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// Validation loss, lower is better.
    ValLoss,
    /// Validation accuracy, higher is better.
    ValAccuracy,
}

impl Recipe {
    /// Reads and checks a recipe file.
    ///
    /// # Errors
    /// The file cannot be read, is not a recipe, or cannot make a model.
    pub fn load(path: &Path) -> Result<Self, RecipeError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Read {
            path: shown.clone(),
            source,
        })?;
        Self::parse(&text, &shown)
    }

    /// Parses and checks a recipe to train; `origin` names it in errors.
    ///
    /// # Errors
    /// Not a recipe, or one that cannot make a model.
    pub fn parse(text: &str, origin: &str) -> Result<Self, RecipeError> {
        let recipe: Self = toml::from_str(text).map_err(|e| RecipeError::Parse {
            path: origin.to_owned(),
            message: e.to_string(),
        })?;
        recipe.check()?;
        recipe.check_training()?;
        Ok(recipe)
    }

    /// Everything the encoder needs.
    pub fn encoder_spec(&self) -> EncoderSpec {
        EncoderSpec {
            text: self.text.clone(),
            tokenizer: self.tokenizer.clone(),
            padding: self.padding.clone(),
        }
    }

    /// The first layer.
    pub fn embedding(&self) -> Option<&Embedding> {
        self.layers.first().and_then(LayerRecipe::embedding)
    }

    /// Whether steps of id 0 are skipped.
    pub fn masked(&self) -> bool {
        self.embedding().is_some_and(|first| first.mask_zero)
    }
}

/// What [`valid_name`] takes, in words.
pub const NAMES: &str = "1 to 64 of a-z, 0-9 and '-', starting with a letter, and not \"recipes\"";

/// Whether a string can name a model: [`NAMES`], since recipes lie in a folder beside those of models.
pub fn valid_name(name: &str) -> bool {
    name != "recipes"
        && name.len() <= 64
        && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
