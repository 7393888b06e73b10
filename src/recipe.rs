//! The recipe: everything that makes a model, in one TOML file, kept in the bundle.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

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

/// One `[[layers]]` entry; names and defaults are Keras's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LayerRecipe {
    /// `Embedding`.
    Embedding {
        /// The length of a token's vector.
        units: usize,
        /// Steps whose id is 0 are skipped by the layers above.
        #[serde(default)]
        mask_zero: bool,
    },
    /// `LSTM`.
    Lstm(Recurrent),
    /// `GRU` with `reset_after`, Keras's default.
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
    /// The share of input features set to zero in training, the same ones at every step of a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// The share of the state's features set to zero on their way to the next step, the same ones at every step of a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recurrent_dropout: f64,
    /// A second layer of this kind reads each row from its end (`Bidirectional`), and the two outputs become one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bidirectional: Option<Merge>,
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

    /// The features of an output.
    pub fn features(&self) -> usize {
        match self.bidirectional {
            Some(Merge::Concat) => 2 * self.units,
            Some(Merge::Sum | Merge::Mul | Merge::Ave) | None => self.units,
        }
    }
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
    /// Draw batches from rows of like length, shuffled within; for masked networks, where it saves steps.
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

    /// Parses and checks a recipe; `origin` names it in errors.
    ///
    /// # Errors
    /// Not a recipe, or one that cannot make a model.
    pub fn parse(text: &str, origin: &str) -> Result<Self, RecipeError> {
        let recipe: Self = toml::from_str(text).map_err(|e| RecipeError::Parse {
            path: origin.to_owned(),
            message: e.to_string(),
        })?;
        recipe.check()?;
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

    /// Whether steps of id 0 are skipped.
    pub fn masked(&self) -> bool {
        matches!(
            self.layers.first(),
            Some(LayerRecipe::Embedding {
                mask_zero: true,
                ..
            })
        )
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first thing found that cannot work, naming the field.
    pub fn check(&self) -> Result<(), RecipeError> {
        self.check_without_layers()?;
        self.check_layers().map_err(|reason| self.invalid(reason))
    }

    /// The same for a model whose layers are another program's.
    ///
    /// # Errors
    /// The first thing found that cannot work, naming the field.
    pub fn check_without_layers(&self) -> Result<(), RecipeError> {
        let fail = |reason: String| Err(self.invalid(reason));
        if !valid_name(&self.name) {
            return fail("name must be 1 to 64 of a-z, 0-9 and '-', starting with a letter".into());
        }
        if self.languages.is_empty() {
            return fail("languages is empty".into());
        }
        for language in self.languages.iter().chain(&self.default_for) {
            if !(2..=3).contains(&language.len())
                || !language.bytes().all(|b| b.is_ascii_lowercase())
            {
                return fail(format!(
                    "language {language:?} is not a primary language code such as \"en\""
                ));
            }
        }
        if let Some(l) = self
            .default_for
            .iter()
            .find(|l| !self.languages.contains(l))
        {
            return fail(format!("default_for {l:?} is not among languages"));
        }
        let mut seen = BTreeMap::new();
        for source in &self.data.source {
            if seen.insert(&source.name, ()).is_some() {
                return fail(format!("data.source {:?} is given twice", source.name));
            }
            if !(source.weight.is_finite() && source.weight > 0.0) {
                return fail(format!(
                    "data.source {:?}: weight must be positive",
                    source.name
                ));
            }
        }
        for (field, split) in [
            ("validation", &self.data.validation),
            ("test", &self.data.test),
        ] {
            if let Some(split) = split
                && !(split.fraction > 0.0 && split.fraction < 1.0)
            {
                return fail(format!("data.{field}.fraction must be over 0 and under 1"));
            }
        }
        if self.padding.maxlen == 0 || self.padding.maxlen > 100_000 {
            return fail("padding.maxlen must be 1 to 100000".into());
        }
        if self.padding.value != 0 {
            return fail("padding.value must be 0, the id that no token has".into());
        }
        if self.tokenizer.num_words.is_some_and(|n| n < 2) {
            return fail("tokenizer.num_words must be at least 2".into());
        }
        self.check_fit().map_err(|reason| self.invalid(reason))
    }

    fn invalid(&self, reason: String) -> RecipeError {
        RecipeError::Invalid {
            name: self.name.clone(),
            reason,
        }
    }

    fn check_layers(&self) -> Result<(), String> {
        let Some(LayerRecipe::Embedding { .. }) = self.layers.first() else {
            return Err("layers[0] must be an embedding".into());
        };
        let last = self.layers.len() - 1;
        if !matches!(
            self.layers[last],
            LayerRecipe::Dense {
                units: 1,
                activation: Activation::Sigmoid
            }
        ) {
            return Err(format!(
                "layers[{last}], the last, must be dense with units = 1 and activation = \"sigmoid\""
            ));
        }
        let mut over_time = true;
        for (at, layer) in self.layers.iter().enumerate() {
            let err = |what: &str| Err(format!("layers[{at}]: {what}"));
            if let Some(recurrent) = layer.recurrent() {
                for (field, rate) in [
                    ("dropout", recurrent.dropout),
                    ("recurrent_dropout", recurrent.recurrent_dropout),
                ] {
                    if !(0.0..1.0).contains(&rate) {
                        return err(&format!("{field} must be at least 0 and under 1"));
                    }
                }
            }
            match *layer {
                LayerRecipe::Embedding { units, .. }
                | LayerRecipe::Lstm(Recurrent { units, .. })
                | LayerRecipe::Gru(Recurrent { units, .. })
                | LayerRecipe::SimpleRnn(Recurrent { units, .. })
                | LayerRecipe::Dense { units, .. }
                    if units == 0 || units > 65_536 =>
                {
                    return err("units must be 1 to 65536");
                }
                LayerRecipe::Dropout { rate } | LayerRecipe::SpatialDropout { rate }
                    if !(0.0..1.0).contains(&rate) =>
                {
                    return err("rate must be at least 0 and under 1");
                }
                LayerRecipe::Embedding { .. } if at > 0 => {
                    return err("an embedding can only be first");
                }
                LayerRecipe::Flatten {} if self.masked() => {
                    return err("flatten needs rows of one length and cannot follow mask_zero");
                }
                LayerRecipe::Lstm(_)
                | LayerRecipe::Gru(_)
                | LayerRecipe::SimpleRnn(_)
                | LayerRecipe::Flatten {}
                | LayerRecipe::SpatialDropout { .. }
                | LayerRecipe::GlobalMaxPooling {}
                | LayerRecipe::GlobalAveragePooling {}
                | LayerRecipe::GlobalMaxAveragePooling {}
                    if !over_time =>
                {
                    return err(
                        "needs a sequence, and a layer below it has already taken time away",
                    );
                }
                _ => {}
            }
            match layer {
                LayerRecipe::Lstm(recurrent)
                | LayerRecipe::Gru(recurrent)
                | LayerRecipe::SimpleRnn(recurrent) => over_time = recurrent.return_sequences,
                LayerRecipe::Flatten {}
                | LayerRecipe::GlobalMaxPooling {}
                | LayerRecipe::GlobalAveragePooling {}
                | LayerRecipe::GlobalMaxAveragePooling {} => over_time = false,
                _ => {}
            }
        }
        if over_time {
            return Err("the layers never reduce the sequence to one vector: use an lstm without return_sequences, flatten or global pooling".into());
        }
        Ok(())
    }

    fn check_fit(&self) -> Result<(), String> {
        let fit = &self.fit;
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(format!("fit.{name} must be positive"))
            }
        };
        positive("learning_rate", fit.learning_rate)?;
        positive("epsilon", fit.epsilon)?;
        for (name, beta) in [("beta_1", fit.beta_1), ("beta_2", fit.beta_2)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(format!("fit.{name} must be at least 0 and under 1"));
            }
        }
        for (name, clip) in [
            ("clipnorm", fit.clipnorm),
            ("global_clipnorm", fit.global_clipnorm),
            ("clipvalue", fit.clipvalue),
        ] {
            if let Some(clip) = clip {
                positive(name, clip)?;
            }
        }
        if [fit.clipnorm, fit.global_clipnorm, fit.clipvalue]
            .iter()
            .flatten()
            .count()
            > 1
        {
            return Err("fit takes only one of clipnorm, global_clipnorm and clipvalue".into());
        }
        if fit.batch_size == 0 || fit.epochs == 0 {
            return Err("fit.batch_size and fit.epochs must be at least 1".into());
        }
        if let Some(crop) = &fit.crop {
            if !(crop.share > 0.0 && crop.share <= 1.0) {
                return Err("fit.crop.share must be over 0 and at most 1".into());
            }
            if crop.least == 0 {
                return Err("fit.crop.least must be at least 1".into());
            }
            if !self.masked() {
                return Err(
                    "fit.crop needs rows without padding: mask_zero on the embedding".into(),
                );
            }
        }
        if fit.early_stopping.is_some() && self.data.validation.is_none() {
            return Err("fit.early_stopping needs data.validation".into());
        }
        Ok(())
    }
}

/// Whether a string can name a model: 1 to 64 of `a-z`, `0-9` and `-`, starting with a letter.
pub fn valid_name(name: &str) -> bool {
    name.len() <= 64
        && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
