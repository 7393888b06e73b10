//! A model on disk: what lies in `models/<name>/<version>/`, how it is verified, written and chosen.
//!
//! A bundle is complete, verified against its own digests and immutable: whatever is damaged, incomplete or from elsewhere
//! is refused with the file and the reason, and a version is never written twice.

pub mod clock;
pub mod digest;
pub mod error;
pub mod folder;
mod load;
pub mod manifest;
mod parcel;
mod peek;
pub mod trim;
pub mod version;
mod write;

pub use error::BundleError;
pub use load::Bundle;
pub use manifest::{
    Confusion, ImportRecord, LayerSummary, Manifest, Measured, Metrics, PretrainedRecord,
    SourceRecord, SplitMetrics, TrainingRecord, UnreadRecord,
};
pub use parcel::Parcel;
pub use trim::Trim;
pub use version::Version;
pub use write::{Draft, Written, write, write_version};

/// The files of a bundle beside its manifest; the manifest has the SHA-256 of each.
pub const FILES: [&str; 5] = [MODEL, TOKENIZER, HISTORY, CURVES, GOLDEN];

/// The graph.
pub const MODEL: &str = "model.onnx";
/// Keras's `Tokenizer.to_json()`.
pub const TOKENIZER: &str = "tokenizer.json";
/// The epochs of the training.
pub const HISTORY: &str = "history.json";
/// Loss and accuracy over the epochs, for people.
pub const CURVES: &str = "curves.svg";
/// Texts with their ids and logits, a JSON object a line.
pub const GOLDEN: &str = "golden.jsonl";
/// What the bundle is.
pub const MANIFEST: &str = "manifest.json";

/// One golden row: what the encoder and the network answered when the bundle was made.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenRow {
    /// The text, as a request would bring it.
    pub text: String,
    /// Its ids, cut to `maxlen` and not padded.
    pub ids: Vec<i64>,
    /// The network's logit in double precision, from the trainer's own forward.
    pub logit: f64,
}
