//! Word vectors: sets that word2vec, GloVe and fastText wrote, or that are trained here, and what can be asked of them.
//!
//! Answers are gensim's: cosines over vectors as they were read, means of unit vectors, words of the question left out. Of
//! equal scores the word that stands first in the set comes first.

mod query;
mod read;
mod skip_gram;
mod text;
mod unzip;

use std::path::PathBuf;

use indexmap::IndexSet;
use rayon::prelude::*;

pub use query::{Method, Question, Similar, listed};
pub use read::Wanted;
pub use skip_gram::{Corpus, Pass, SkipGram, SkipGramError};

/// Why there are no vectors or no answer.
#[derive(Debug, thiserror::Error)]
pub enum VectorError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no set of vectors.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        reason: String,
    },
    /// The set is larger than the memory that is left.
    #[error(
        "{path} needs about {needed} MB of memory and {available} MB are left: read its first rows alone with --limit"
    )]
    Memory {
        /// The file.
        path: PathBuf,
        /// Megabytes.
        needed: u64,
        /// Megabytes.
        available: u64,
    },
    /// A word of the question.
    #[error("there is no vector for {0:?}")]
    Missing(String),
    /// The question has no words.
    #[error("there is no word to compare with")]
    Nothing,
}

/// Words with a vector each.
#[derive(Clone, Debug)]
pub struct WordVectors {
    words: IndexSet<String>,
    /// The length of a vector.
    pub dimensions: usize,
    values: Vec<f32>, // [words, dimensions]
    norms: Vec<f32>,
}

impl WordVectors {
    /// Words and their vectors, one after another; of a word that is there twice the first counts.
    pub fn new(
        words: impl IntoIterator<Item = String>,
        mut values: Vec<f32>,
        dimensions: usize,
    ) -> Self {
        let mut kept = IndexSet::new();
        for (row, word) in words.into_iter().enumerate() {
            if kept.insert(word) {
                let to = (kept.len() - 1) * dimensions;
                if to != row * dimensions {
                    values.copy_within(row * dimensions..(row + 1) * dimensions, to);
                }
            }
        }
        values.truncate(kept.len() * dimensions);
        let norms = values
            .par_chunks(dimensions.max(1))
            .map(|vector| dot(vector, vector).sqrt())
            .collect();
        Self {
            words: kept,
            dimensions,
            values,
            norms,
        }
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words, in the set's order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// A word's vector as it was read.
    pub fn vector(&self, word: &str) -> Option<&[f32]> {
        self.words.get_index_of(word).map(|row| self.row(row))
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.dimensions..(row + 1) * self.dimensions]
    }
}

/// In sixteen sums side by side, which the compiler keeps in registers.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    let (ones, one_rest) = one.as_chunks::<16>();
    let (others, other_rest) = other.as_chunks::<16>();
    for (one, other) in ones.iter().zip(others) {
        for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
            *sum += one * other;
        }
    }
    let rest: f32 = one_rest
        .iter()
        .zip(other_rest)
        .map(|(one, other)| one * other)
        .sum();
    sums.iter().sum::<f32>() + rest
}
