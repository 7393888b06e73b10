//! Questions to a set of vectors, answered as gensim's `KeyedVectors` answers them.

use rayon::prelude::*;

use super::{VectorError, WordVectors, dot};

/// Rows that one task scores.
const ROWS_PER_TASK: usize = 4096;

/// How likeness is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// `most_similar`: the cosine with the mean of the unit vectors, negative ones subtracted.
    #[default]
    Cosine,
    /// `most_similar_cosmul`: the product of likenesses over the product of those of the negative words.
    CosMul,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Words to be like.
    pub positive: &'a [String],
    /// Words to be unlike.
    pub negative: &'a [String],
    /// The measure.
    pub method: Method,
    /// Most answers.
    pub top: usize,
}

/// A word of the answer.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Similar {
    /// The word.
    pub word: String,
    /// How like it is.
    pub score: f32,
}

/// The words of a list with commas between them. Commas and nothing else are a word themselves: a model of characters has one.
pub fn listed(list: &str) -> Vec<String> {
    if !list.is_empty() && list.bytes().all(|byte| byte == b',') {
        return vec![list.to_owned()];
    }
    let words = list.split(',').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

impl WordVectors {
    /// The words most like those asked for, the most alike first, without the words of the question.
    ///
    /// # Errors
    /// A word has no vector, or there is none.
    pub fn most_similar(&self, question: Question<'_>) -> Result<Vec<Similar>, VectorError> {
        let rows = |words: &[String]| -> Result<Vec<usize>, VectorError> {
            words.iter().map(|word| self.place(word)).collect()
        };
        let (positive, negative) = (rows(question.positive)?, rows(question.negative)?);
        // A quotient needs something above its line, and gensim refuses it too.
        let divides = question.method == Method::CosMul;
        if positive.is_empty() && (negative.is_empty() || divides) {
            return Err(VectorError::Nothing);
        }
        let scores = match question.method {
            Method::Cosine => {
                let weighted = positive.iter().map(|row| (*row, 1.0));
                let mean = self.mean(weighted.chain(negative.iter().map(|row| (*row, -1.0))));
                self.scores(|vector, norm| dot(vector, &mean) / norm)
            }
            Method::CosMul => {
                let unit = |rows: &[usize]| -> Vec<Vec<f32>> {
                    rows.iter().map(|row| self.unit(*row)).collect()
                };
                let (positive, negative) = (unit(&positive), unit(&negative));
                self.scores(|vector, norm| {
                    let product = |terms: &[Vec<f32>]| -> f32 {
                        terms
                            .iter()
                            .map(|term| (1.0 + dot(vector, term) / norm) / 2.0)
                            .product()
                    };
                    product(&positive) / (product(&negative) + 0.000_001)
                })
            }
        };
        Ok(self.best(&scores, &[positive, negative].concat(), question.top))
    }

    /// The cosine of two words.
    ///
    /// # Errors
    /// A word has no vector.
    pub fn similarity(&self, one: &str, other: &str) -> Result<f32, VectorError> {
        let (one, other) = (self.place(one)?, self.place(other)?);
        Ok(dot(&self.unit(one), &self.unit(other)))
    }

    /// The word that is least like the others; words without a vector are passed over, as gensim does.
    ///
    /// # Errors
    /// No word has a vector.
    pub fn doesnt_match(&self, words: &[String]) -> Result<String, VectorError> {
        let known: Vec<(&String, Vec<f32>)> = words
            .iter()
            .filter_map(|word| Some((word, self.unit(self.words.get_index_of(word)?))))
            .collect();
        let mut mean = vec![0.0; self.dimensions];
        for (_, unit) in &known {
            mean.iter_mut()
                .zip(unit)
                .for_each(|(sum, value)| *sum += value);
        }
        mean.iter_mut().for_each(|sum| *sum /= known.len() as f32);
        to_unit(&mut mean);
        let scored = known.iter().map(|(word, unit)| (dot(unit, &mean), *word));
        // gensim sorts pairs of score and word, so of equal scores the first word in the alphabet is out.
        let least = scored.min_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(other.1)));
        least
            .map(|(_, word)| word.clone())
            .ok_or(VectorError::Nothing)
    }

    fn place(&self, word: &str) -> Result<usize, VectorError> {
        let row = self.words.get_index_of(word);
        row.ok_or_else(|| VectorError::Missing(word.to_owned()))
    }

    fn unit(&self, row: usize) -> Vec<f32> {
        // A vector of zeros has no direction; gensim leaves it as it is.
        let norm = match self.norms[row] {
            0.0 => 1.0,
            norm => norm,
        };
        self.row(row).iter().map(|value| value / norm).collect()
    }

    /// The weighted mean of unit vectors, as a unit vector.
    fn mean(&self, weighted: impl Iterator<Item = (usize, f32)>) -> Vec<f32> {
        let mut mean = vec![0.0; self.dimensions];
        let mut total = 0.0;
        for (row, weight) in weighted {
            let unit = self.unit(row);
            mean.iter_mut()
                .zip(unit)
                .for_each(|(sum, value)| *sum += weight * value);
            total += weight.abs();
        }
        mean.iter_mut().for_each(|sum| *sum /= total);
        to_unit(&mut mean);
        mean
    }

    fn scores(&self, score: impl Fn(&[f32], f32) -> f32 + Sync) -> Vec<f32> {
        let mut scores = vec![0.0; self.len()];
        scores
            .par_chunks_mut(ROWS_PER_TASK)
            .enumerate()
            .for_each(|(task, scores)| {
                for (at, found) in scores.iter_mut().enumerate() {
                    let row = task * ROWS_PER_TASK + at;
                    *found = score(self.row(row), self.norms[row]);
                }
            });
        scores
    }

    fn best(&self, scores: &[f32], asked: &[usize], top: usize) -> Vec<Similar> {
        let mut ranked: Vec<(f32, usize)> = scores
            .iter()
            .enumerate()
            // A vector of zeros is like nothing.
            .filter(|(row, score)| !score.is_nan() && !asked.contains(row))
            .map(|(row, score)| (*score, row))
            .collect();
        let order = |one: &(f32, usize), other: &(f32, usize)| {
            other.0.total_cmp(&one.0).then(one.1.cmp(&other.1))
        };
        let top = top.min(ranked.len());
        if top < ranked.len() {
            ranked.select_nth_unstable_by(top, order);
        }
        ranked.truncate(top);
        ranked.sort_unstable_by(order);
        let named = ranked.into_iter().filter_map(|(score, row)| {
            let word = self.words.get_index(row)?.clone();
            Some(Similar { word, score })
        });
        named.collect()
    }
}

fn to_unit(vector: &mut [f32]) {
    let norm = dot(vector, vector).sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|value| *value /= norm);
    }
}
