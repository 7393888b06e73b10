//! `manifest.json`: what a bundle is, where it came from and how good it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::sha256;
use super::{Trim, Version};
use crate::recipe::{Display, Recipe};
use crate::sentiment::Calibration;
use crate::text::Encoding;

/// The layout of the folder and of this file; another number is another program's or a later one's.
pub const FORMAT: u32 = 1;

/// What `manifest.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The SHA-256 of this file with this string empty; it names the bundle, as the digests of all files are in here.
    pub digest: String,
    /// The model's name.
    pub name: String,
    /// The version, which is the folder's name.
    pub version: Version,
    /// When the bundle was written, RFC 3339 in UTC.
    pub created: String,
    /// The version of the program that wrote it.
    pub program: String,
    /// The seed of weights, shuffles and dropout.
    pub seed: u64,
    /// Languages, the main one first.
    pub languages: Vec<String>,
    /// Languages whose texts come here when a request names no model.
    pub default_for: Vec<String>,
    /// The labels in the model's language.
    pub display: Display,
    /// What the model is for and what it is not.
    pub card: Option<String>,
    /// How tokens become ids.
    pub encoding: Encoding,
    /// The most tokens that a text keeps, and the length of a full row.
    pub maxlen: usize,
    /// The rows of the embedding: every id is below it.
    pub rows: usize,
    /// How the rows of a batch may be shortened.
    pub trim: Trim,
    /// The network, as Keras's summary shows it.
    pub layers: Vec<LayerSummary>,
    /// All weights.
    pub parameters: u64,
    /// What the model learned from.
    pub training: TrainingRecord,
    /// How good it is on rows that it did not learn from.
    pub metrics: Metrics,
    /// From logit to score.
    pub calibration: Calibration,
    /// The SHA-256 of every other file.
    pub files: BTreeMap<String, String>,
    /// Everything that made it.
    pub recipe: Recipe,
}

/// A line of Keras's summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerSummary {
    /// `lstm`, `lstm_1`, ...
    pub name: String,
    /// Keras's class in snake case.
    pub kind: String,
    /// Batch first; null where the size is not fixed.
    pub output_shape: Vec<Option<usize>>,
    /// Weights.
    pub parameters: u64,
    /// Whether training changed them.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub trainable: bool,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

/// What a model learned from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    /// The files or folders.
    pub sources: Vec<SourceRecord>,
    /// One digest over all of them and the vectors that the embedding began with.
    pub fingerprint: String,
    /// Rows learned from.
    pub train_rows: u64,
    /// Rows that chose the epoch and the temperature.
    pub validation_rows: u64,
    /// Rows scored once, at the end.
    pub test_rows: u64,
    /// Rows left out of the three because no token of theirs is known, which a network that skips pads cannot read.
    #[serde(default, skip_serializing_if = "UnreadRecord::is_empty")]
    pub unread: UnreadRecord,
    /// Epochs run.
    pub epochs: u32,
    /// The epoch whose weights these are, from 1.
    pub best_epoch: u32,
    /// Wall-clock time of the training.
    pub seconds: f64,
    /// The vectors that the embedding began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PretrainedRecord>,
    /// The file that the model was imported from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportRecord>,
}

/// Rows that a network has nothing to read of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnreadRecord {
    /// Of those to learn from.
    pub train: u64,
    /// Of those that choose.
    pub validation: u64,
    /// Of those that are scored once.
    pub test: u64,
}

impl UnreadRecord {
    /// Whether every row is read.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Word vectors that an embedding began with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainedRecord {
    /// The file, as the recipe names it.
    pub file: String,
    /// Tokens of the vocabulary.
    pub words: u64,
    /// Those of them that the file has a vector for.
    pub found: u64,
    /// Found of all, 0 to 1.
    pub share: f64,
    /// The SHA-256 of the ids and vectors that were found.
    pub fingerprint: String,
}

/// A model of another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRecord {
    /// The name of the file, without its folder.
    pub file: String,
    /// The SHA-256 of the file.
    pub sha256: String,
    /// Who wrote it.
    pub producer: String,
}

/// One source of reviews.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRecord {
    /// Its name in the recipe.
    pub name: String,
    /// Rows kept.
    pub rows: u64,
    /// Rows kept that are positive.
    pub positive: u64,
    /// Rows kept that are negative.
    pub negative: u64,
    /// Rows without a usable text or label.
    pub skipped: u64,
    /// Rows dropped because their text had been seen.
    pub duplicates: u64,
    /// The weight of its rows in the loss.
    pub weight: f64,
    /// The SHA-256 of what was read.
    pub fingerprint: String,
}

/// How good a model is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// On the rows that chose the epoch and the temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<SplitMetrics>,
    /// On the rows scored once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<SplitMetrics>,
}

/// The rows of one split, together and by source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitMetrics {
    /// All rows.
    pub all: Measured,
    /// By the source's name.
    pub sources: BTreeMap<String, Measured>,
}

/// What was measured on some labelled rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Rows scored.
    pub rows: u64,
    /// The share of right labels.
    pub accuracy: f64,
    /// The area under the ROC curve; null where only one class is present.
    pub auc: Option<f64>,
    /// Binary cross-entropy of the uncalibrated probability.
    pub loss: f64,
    /// Expected calibration error of the calibrated score.
    pub ece: f64,
    /// Labels against answers.
    pub confusion: Confusion,
}

/// Labels against answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// Positive rows called positive.
    pub true_positive: u64,
    /// Negative rows called positive.
    pub false_positive: u64,
    /// Negative rows called negative.
    pub true_negative: u64,
    /// Positive rows called negative.
    pub false_negative: u64,
}

/// As much as every format has.
#[derive(Deserialize)]
struct Header {
    format: u32,
    digest: String,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// It is no manifest, one of another format, or not as it was written.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let not_ours = |error: serde_json::Error| format!("not a manifest: {error}");
        let header: Header = serde_json::from_str(text).map_err(not_ours)?;
        if header.format != FORMAT {
            return Err(format!(
                "format {} where this program reads {FORMAT}",
                header.format
            ));
        }
        let found = sha256(text.replacen(&header.digest, "", 1).as_bytes());
        if found != header.digest {
            return Err(format!(
                "its SHA-256 is {found}, not {}: damaged",
                header.digest
            ));
        }
        let manifest: Self = serde_json::from_str(text).map_err(not_ours)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The text of the file, with its digest.
    ///
    /// # Errors
    /// A number is not finite.
    pub(super) fn seal(&mut self) -> Result<String, serde_json::Error> {
        self.digest.clear();
        let blank = serde_json::to_string_pretty(self)? + "\n";
        self.digest = sha256(blank.as_bytes());
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first contradiction found.
    pub(super) fn check(&self) -> Result<(), String> {
        let recipe = &self.recipe;
        // A graph of another program is served as it is and has no layers of ours.
        let checked = match recipe.layers[..] {
            [] => recipe.check_without_layers(),
            _ => recipe.check(),
        };
        checked.map_err(|error| error.to_string())?;
        let said_twice = [
            ("name", self.name == recipe.name),
            ("languages", self.languages == recipe.languages),
            ("default_for", self.default_for == recipe.default_for),
            ("display", self.display == recipe.display),
            ("encoding", self.encoding == recipe.tokenizer.encoding),
            ("maxlen", self.maxlen == recipe.padding.maxlen),
        ];
        if let Some((field, _)) = said_twice.iter().find(|(_, same)| !same) {
            return Err(format!("{field} is not that of its recipe"));
        }
        let temperature = self.calibration.temperature;
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(format!("calibration.temperature is {temperature}"));
        }
        if let Some(file) = super::FILES.iter().find(|f| !self.files.contains_key(**f)) {
            return Err(format!("files lacks {file}"));
        }
        Ok(())
    }
}
