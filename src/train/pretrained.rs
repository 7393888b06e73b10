//! The vectors that an embedding begins with, where a recipe names a file of them.
//!
//! Of the file only the vocabulary's words are kept while it streams by. A token that it does not have, and the pad, begin at
//! zero, as in Keras's example.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::bundle::PretrainedRecord;
use crate::recipe::Recipe;
use crate::text::Encoder;
use crate::vectors::{VectorError, Wanted, WordVectors};

/// Why an embedding has nothing to begin with.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// The file.
    #[error("layers[0].pretrained: {0}")]
    Vectors(#[from] VectorError),
    /// The vectors are of another length than the embedding's.
    #[error("layers[0].units is {units}, and the vectors of {path} have {found} numbers")]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// What the recipe says.
        units: usize,
        /// What the file has.
        found: usize,
    },
    /// The file has none of the words.
    #[error("{path} has a vector for none of the vocabulary's {words} tokens")]
    Strange {
        /// The file.
        path: PathBuf,
        /// Tokens of the vocabulary.
        words: usize,
    },
}

/// An embedding's rows from a file.
#[derive(Clone, Debug)]
pub struct Pretrained {
    /// What the manifest says of them.
    pub record: PretrainedRecord,
    table: Vec<f32>, // [rows, units]
}

impl Pretrained {
    /// Reads what the recipe names, below `folder` unless the name is a path from the root.
    ///
    /// # Errors
    /// The file is no set of vectors, its vectors have another length, or it knows none of the words.
    pub fn read(
        recipe: &Recipe,
        folder: &Path,
        encoder: &Encoder,
    ) -> Result<Option<Self>, PretrainedError> {
        let Some(embedding) = recipe.embedding() else {
            return Ok(None);
        };
        let Some(file) = &embedding.pretrained else {
            return Ok(None);
        };
        let path = folder.join(file);
        let units = embedding.units;
        let wanted: HashSet<&str> = encoder.words().map(|(word, _)| word).collect();
        let vectors = WordVectors::load_wanted(&path, Wanted::These(&wanted))?;
        if vectors.dimensions != units {
            let found = vectors.dimensions;
            return Err(PretrainedError::Dimensions { path, units, found });
        }
        let mut table = vec![0.0; encoder.rows() * units];
        let mut digest = Sha256::new();
        let mut found = 0;
        for (word, id) in encoder.words() {
            let Some(vector) = vectors.vector(word) else {
                continue;
            };
            let row = usize::try_from(id).expect("ids of words are not negative");
            table[row * units..(row + 1) * units].copy_from_slice(vector);
            digest.update(id.to_le_bytes());
            vector.iter().for_each(|x| digest.update(x.to_le_bytes()));
            found += 1;
        }
        let words = wanted.len();
        if found == 0 {
            return Err(PretrainedError::Strange { path, words });
        }
        let digest: String = digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let record = PretrainedRecord {
            file: file.clone(),
            words: words as u64,
            found,
            share: found as f64 / words as f64,
            fingerprint: digest,
        };
        Ok(Some(Self { record, table }))
    }

    /// The rows, one after another.
    pub fn table(&self) -> &[f32] {
        &self.table
    }
}
