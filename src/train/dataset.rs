//! Reviews in: labelled examples from folders, TSV, CSV and JSON lines, as the recipe's sources say.
//!
//! Every row is either kept, counted as empty or as a duplicate, or refused with its file, row and column. The same files
//! give the same examples in the same order on any machine.

pub mod columns;
mod comma;
mod describe;
mod error;
mod folder;
mod format;
pub mod input;
mod json;
mod label;
mod quotes;
mod rows;
mod shuffle;
mod sources;
mod split;
mod survey;
mod tab;
mod templates;

use std::collections::HashSet;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

pub use columns::Columns;
pub use describe::{Lengths, Statistics, describe};
pub use error::DataError;
pub use format::Format;
pub use rows::{Reading, Row, Rows};
pub use shuffle::shuffle;
pub use sources::{DataArg, check_sources, override_columns};
pub use split::{Splits, split};
pub use survey::{Described, Survey};
pub use templates::{Templates, TemplatesError};

use crate::recipe::DataRecipe;
use crate::sentiment::Label;

/// Rows from one question whether to go on to the next.
const ASK_EVERY: usize = 4_096;

/// All reviews of a recipe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// Where they come from, in the recipe's order.
    pub sources: Vec<SourceData>,
    /// Source by source, each in its file's order.
    pub examples: Vec<Example>,
}

/// One source, read.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceData {
    /// Its name in the recipe.
    pub name: String,
    /// Its file or folder.
    pub path: PathBuf,
    /// Rows kept.
    pub rows: u64,
    /// Rows whose text is empty.
    pub skipped: u64,
    /// Rows dropped because the source had their text before.
    pub duplicates: u64,
    /// The weight of its rows in the loss.
    pub weight: f64,
    /// Whether all of its rows are learned from.
    pub train_only: bool,
    /// The SHA-256 over labels and texts of the rows kept, in hexadecimal: the same however the file is packed.
    pub fingerprint: String,
}

/// A labelled review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The text as it stands in the file.
    pub text: String,
    /// What it says.
    pub label: Label,
    /// Its place in [`Dataset::sources`].
    pub source: usize,
}

/// Reads everything that a recipe learns from.
///
/// # Errors
/// The paths do not match the recipe's sources, or a row is not usable.
pub fn read(recipe: &DataRecipe, inputs: &[DataArg]) -> Result<Dataset, DataError> {
    let read = read_while(recipe, inputs, &|| true)?;
    Ok(read.unwrap_or_default())
}

/// The same for somebody who may be told to stop while it lasts: nothing if it does not go on.
///
/// # Errors
/// As of [`read()`].
pub fn read_while(
    recipe: &DataRecipe,
    inputs: &[DataArg],
    goes_on: &dyn Fn() -> bool,
) -> Result<Option<Dataset>, DataError> {
    let mut dataset = Dataset::default();
    for source in sources::assign(&recipe.source, inputs)? {
        let mut data = SourceData {
            name: source.name,
            path: source.path,
            rows: 0,
            skipped: 0,
            duplicates: 0,
            weight: source.weight,
            train_only: source.train_only,
            fingerprint: String::new(),
        };
        let reading = Reading {
            columns: source.columns,
            labels: true,
        };
        let mut seen = HashSet::new();
        let mut digest = Sha256::new();
        for (at, row) in Rows::open(&data.path, reading)?.enumerate() {
            if at % ASK_EVERY == 0 && !goes_on() {
                return Ok(None);
            }
            let row = row?;
            let Some(label) = row.label else { continue };
            if row.text.trim().is_empty() {
                data.skipped += 1;
                continue;
            }
            // A digest stands for the text, so that a large file is not held twice.
            if recipe.dedupe && !seen.insert(text_digest(&row.text)) {
                data.duplicates += 1;
                continue;
            }
            data.rows += 1;
            digest.update([label.target() as u8]);
            digest.update((row.text.len() as u64).to_le_bytes());
            digest.update(&row.text);
            dataset.examples.push(Example {
                text: row.text,
                label,
                source: dataset.sources.len(),
            });
        }
        if data.rows == 0 {
            return Err(DataError::File {
                path: data.path,
                reason: "it holds no reviews".to_owned(),
            });
        }
        data.fingerprint = hex(&digest.finalize());
        dataset.sources.push(data);
    }
    Ok(Some(dataset))
}

fn text_digest(text: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(text)[..16]);
    short
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
