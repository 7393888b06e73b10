//! Word vectors of one's own: skip-gram with negative sampling (Mikolov et al. 2013, "Distributed Representations of Words and
//! Phrases and their Compositionality"), with the arguments of gensim's `Word2Vec(sg=1, hs=0)`.
//!
//! One thread, texts in their order, sums in a fixed order and nothing fused: the same seed gives the same bits on any machine.

use indexmap::IndexMap;
use pulp::Arch;
use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{WordVectors, dot};

/// How vectors are trained; gensim's names in brackets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SkipGram {
    /// The length of a vector (`vector_size`).
    pub dimensions: usize,
    /// The farthest that two words of a pair are apart; how far is drawn for each word (`window`).
    pub window: usize,
    /// Words drawn for each pair that it should be told from (`negative`).
    pub negative: usize,
    /// Rarer words have no vector (`min_count`).
    pub min_count: u64,
    /// Words that are more frequent than this share are left out now and then (`sample`); 0 leaves none out.
    pub sample: f64,
    /// Passes over the texts (`epochs`).
    pub epochs: usize,
    /// The learning rate at the start (`alpha`); it falls in proportion to the words seen, to a thousandth.
    pub learning_rate: f64,
    /// Seeds all that is drawn.
    pub seed: u64,
}

impl Default for SkipGram {
    fn default() -> Self {
        Self {
            dimensions: 100,
            window: 5,
            negative: 5,
            min_count: 5,
            sample: 1e-4,
            epochs: 5,
            learning_rate: 0.025,
            seed: 1,
        }
    }
}

/// Why there are no vectors.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum SkipGramError {
    /// An argument that makes no sense.
    #[error("{name} is {value}: {expected} is needed")]
    Argument {
        /// The argument.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The texts have too few words.
    #[error("the texts have {frequent} words that come {min_count} times or more: two are needed")]
    Words {
        /// Such words.
        frequent: usize,
        /// How often that is.
        min_count: u64,
    },
}

/// Texts as tokens, each token once.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    counts: IndexMap<String, u64>,
    /// Of numbers in `counts`.
    texts: Texts,
}

impl Corpus {
    /// Adds a text.
    pub fn push(&mut self, tokens: impl IntoIterator<Item = String>) {
        for token in tokens {
            let entry = self.counts.entry(token);
            // A token takes 4 bytes here, so that memory ends before the numbers do.
            let number = u32::try_from(entry.index()).expect("fewer words than 2^32");
            *entry.or_insert(0) += 1;
            self.texts.tokens.push(number);
        }
        self.texts.end();
    }

    /// Texts.
    pub fn len(&self) -> usize {
        self.texts.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.ends.is_empty()
    }

    /// Words in all texts.
    pub fn words(&self) -> usize {
        self.texts.tokens.len()
    }
}

/// How far a training is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pass {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The share of all words of all epochs.
    pub done: f64,
}

impl SkipGram {
    /// Trains vectors on texts, the most frequent word first; `observe` is told of every thousandth text.
    ///
    /// # Errors
    /// An argument makes no sense, or fewer than two words are frequent enough.
    pub fn train(
        &self,
        corpus: Corpus,
        mut observe: impl FnMut(Pass),
    ) -> Result<WordVectors, SkipGramError> {
        self.check()?;
        let (words, texts) = self.vocabulary(corpus)?;
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut tables = Tables::new(words.len(), self, &mut random);
        let draw = Draw::new(&words, self.sample);
        let all = (texts.tokens.len() * self.epochs).max(1) as f64;
        let (mut seen, mut kept) = (0, Vec::new());
        let arch = Arch::new();
        for epoch in 1..=self.epochs {
            for (at, text) in texts.each().enumerate() {
                let done = seen as f64 / all;
                if at % 1_000 == 0 {
                    observe(Pass { epoch, done });
                }
                let rate = self.learning_rate * (1.0 - done).max(1e-3);
                kept.clear();
                kept.extend(text.iter().filter(|&&word| draw.keeps(word, &mut random)));
                arch.dispatch(|| tables.learn(&kept, rate as f32, &draw, &mut random));
                seen += text.len();
            }
        }
        let words = words.into_iter().map(|(word, _)| word);
        Ok(WordVectors::new(words, tables.words, self.dimensions))
    }

    fn check(&self) -> Result<(), SkipGramError> {
        let refuse = |name, value: String, expected| {
            Err(SkipGramError::Argument {
                name,
                value,
                expected,
            })
        };
        for (name, value, most) in [
            ("dimensions", self.dimensions, 4_096),
            ("window", self.window, 1_000),
            ("negative", self.negative, 1_000),
            ("epochs", self.epochs, 10_000),
        ] {
            if !(1..=most).contains(&value) {
                return refuse(name, value.to_string(), "a number from 1 to some thousands");
            }
        }
        if !(0.0..1.0).contains(&self.sample) {
            return refuse("sample", self.sample.to_string(), "a share under 1");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            let value = self.learning_rate.to_string();
            return refuse("learning rate", value, "a rate over 0 and up to 1");
        }
        Ok(())
    }

    /// The frequent words with their counts, most frequent first and else in order of appearance, and the texts of them alone.
    fn vocabulary(&self, corpus: Corpus) -> Result<(Vec<(String, u64)>, Texts), SkipGramError> {
        let Corpus { counts, texts } = corpus;
        let mut ranks = vec![None; counts.len()];
        let mut words: Vec<(usize, (String, u64))> = counts
            .into_iter()
            .enumerate()
            .filter(|(_, (_, count))| *count >= self.min_count)
            .collect();
        if words.len() < 2 {
            return Err(SkipGramError::Words {
                frequent: words.len(),
                min_count: self.min_count,
            });
        }
        words.sort_by_key(|(_, (_, count))| std::cmp::Reverse(*count));
        for (rank, (number, _)) in words.iter().enumerate() {
            ranks[*number] = u32::try_from(rank).ok();
        }
        let mut known = Texts::default();
        for text in texts.each() {
            let text = text.iter().filter_map(|&number| ranks[number as usize]);
            known.tokens.extend(text);
            known.end();
        }
        Ok((words.into_iter().map(|(_, word)| word).collect(), known))
    }
}

/// Texts of words by number.
#[derive(Clone, Debug, Default)]
struct Texts {
    tokens: Vec<u32>,
    ends: Vec<usize>,
}

impl Texts {
    /// Ends a text.
    fn end(&mut self) {
        self.ends.push(self.tokens.len());
    }

    fn each(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(&start, &end)| &self.tokens[start..end])
    }
}

/// What is drawn by frequency.
struct Draw {
    /// The chance of staying in a text.
    keep: Vec<f32>,
    /// Words as often as they are drawn to be told apart: in proportion to count^0.75.
    noise: Vec<u32>,
}

impl Draw {
    /// Places in the table of noise: each of a million words can have some.
    const PLACES: usize = 1 << 22;

    fn new(words: &[(String, u64)], sample: f64) -> Self {
        let total: u64 = words.iter().map(|(_, count)| count).sum();
        let often = sample * total as f64;
        let keep = words.iter().map(|(_, count)| {
            let count = *count as f64;
            match often > 0.0 {
                true => (((count / often).sqrt() + 1.0) * (often / count)).min(1.0) as f32,
                false => 1.0,
            }
        });
        let weights: Vec<f64> = words.iter().map(|(_, n)| (*n as f64).powf(0.75)).collect();
        let all: f64 = weights.iter().sum();
        let mut noise = Vec::with_capacity(Self::PLACES);
        let mut sum = 0.0;
        for (rank, weight) in (0_u32..).zip(&weights) {
            sum += weight;
            let to = (sum / all * Self::PLACES as f64).round() as usize;
            noise.resize(to.clamp(noise.len(), Self::PLACES), rank);
        }
        Self {
            keep: keep.collect(),
            noise,
        }
    }

    fn keeps(&self, word: u32, random: &mut ChaCha8Rng) -> bool {
        let chance = self.keep[word as usize];
        chance >= 1.0 || random.random::<f32>() < chance
    }
}

/// What is learned: a vector for each word as itself, and one for it as another's neighbour.
struct Tables {
    dimensions: usize,
    window: usize,
    negative: usize,
    words: Vec<f32>,      // [words, dimensions]
    neighbours: Vec<f32>, // [words, dimensions]
    change: Vec<f32>,     // [dimensions]
}

impl Tables {
    fn new(words: usize, arguments: &SkipGram, random: &mut ChaCha8Rng) -> Self {
        let dimensions = arguments.dimensions;
        let half = 0.5 / dimensions as f32;
        let drawn = std::iter::repeat_with(|| random.random_range(-half..half));
        Self {
            dimensions,
            window: arguments.window,
            negative: arguments.negative,
            words: drawn.take(words * dimensions).collect(),
            neighbours: vec![0.0; words * dimensions],
            change: vec![0.0; dimensions],
        }
    }

    /// Learns from every pair of a text's words that are near each other.
    #[inline(always)]
    fn learn(&mut self, text: &[u32], rate: f32, draw: &Draw, random: &mut ChaCha8Rng) {
        for (at, &centre) in text.iter().enumerate() {
            let reach = random.random_range(1..=self.window);
            let near = at.saturating_sub(reach)..text.len().min(at + reach + 1);
            for other in near.filter(|&other| other != at) {
                self.pair(text[other], centre, rate, draw, random);
            }
        }
    }

    /// Moves a word towards its neighbour, and away from words that are not.
    #[inline(always)]
    fn pair(&mut self, word: u32, neighbour: u32, rate: f32, draw: &Draw, random: &mut ChaCha8Rng) {
        let size = self.dimensions;
        let row = |word: u32| word as usize * size..(word as usize + 1) * size;
        let vector = &mut self.words[row(word)];
        self.change.fill(0.0);
        for drawn in 0..=self.negative {
            let (other, label) = match drawn {
                0 => (neighbour, 1.0),
                _ => (draw.noise[random.random_range(0..draw.noise.len())], 0.0),
            };
            if drawn > 0 && other == neighbour {
                continue;
            }
            let weights = &mut self.neighbours[row(other)];
            let product = dot(vector, weights);
            let error = (label - 1.0 / (1.0 + (-product).exp())) * rate;
            for ((change, weight), x) in self.change.iter_mut().zip(&mut *weights).zip(&*vector) {
                *change += error * *weight;
                *weight += error * x;
            }
        }
        for (x, change) in vector.iter_mut().zip(&self.change) {
            *x += change;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// Texts in which a beast goes with a place, and words of one kind are never together.
    fn corpus(texts: usize) -> Corpus {
        let mut corpus = Corpus::default();
        let kinds = [
            (["cat", "dog", "cow"], ["barn", "field"]),
            (["sun", "moon", "star"], ["sky", "night"]),
        ];
        for text in 0..texts {
            let (some, places) = &kinds[text % 2];
            let words = [some[text / 2 % 3], places[text % 2], places[(text + 1) % 2]];
            corpus.push(words.map(str::to_owned));
        }
        corpus.push(["rare".to_owned()]);
        corpus
    }

    fn small() -> SkipGram {
        SkipGram {
            dimensions: 16,
            epochs: 20,
            sample: 0.0,
            learning_rate: 0.1,
            ..SkipGram::default()
        }
    }

    #[test]
    fn words_with_the_same_neighbours_come_to_be_alike() {
        let vectors = small().train(corpus(600), |_| {}).unwrap();
        assert_eq!(vectors.vector("rare"), None);
        for (word, alike, other) in [("cat", "dog", "moon"), ("star", "sun", "cow")] {
            let near = vectors.similarity(word, alike).unwrap();
            let far = vectors.similarity(word, other).unwrap();
            assert!(near > 0.9 && far < 0.6, "{word}: {near} and {far}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_bits_and_the_most_frequent_word_comes_first() {
        let train = |seed| {
            SkipGram { seed, ..small() }
                .train(corpus(60), |_| {})
                .unwrap()
        };
        let (one, same, other) = (train(1), train(1), train(2));
        assert_eq!(
            one.words().collect::<Vec<_>>(),
            same.words().collect::<Vec<_>>()
        );
        assert_eq!(one.vector("cat"), same.vector("cat"));
        assert_ne!(one.vector("cat"), other.vector("cat"));
        let first: Vec<_> = one.words().take(4).collect();
        assert!(!first.contains(&"cat"), "places come more often: {first:?}");
    }

    #[test]
    fn words_are_left_out_and_drawn_as_often_as_the_paper_says() {
        let words = [("often".to_owned(), 9_000), ("seldom".to_owned(), 1_000)];
        let draw = Draw::new(&words, 1e-2);
        // (sqrt(90) + 1) / 90 and (sqrt(10) + 1) / 10.
        assert!((draw.keep[0] - 0.116_52).abs() < 1e-4, "{:?}", draw.keep);
        assert!((draw.keep[1] - 0.416_23).abs() < 1e-4, "{:?}", draw.keep);
        let often = draw.noise.iter().filter(|&&word| word == 0).count();
        // 9^0.75 = 5.196.
        assert_eq!(
            often as f64 / Draw::PLACES as f64,
            (5.196_152 / 6.196_152 * Draw::PLACES as f64).round() / Draw::PLACES as f64
        );
        assert_eq!(draw.noise.len(), Draw::PLACES);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let refused =
            |arguments: SkipGram, corpus| arguments.train(corpus, |_| {}).unwrap_err().to_string();
        let window = SkipGram {
            window: 0,
            ..small()
        };
        assert!(refused(window, corpus(9)).starts_with("window is 0"));
        let sample = SkipGram {
            sample: f64::NAN,
            ..small()
        };
        assert!(refused(sample, corpus(9)).starts_with("sample is NaN"));
        assert!(refused(small(), Corpus::default()).contains("have 0 words"));
    }
}
