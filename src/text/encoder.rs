//! The production path: a text to the ids of a model's row, in one pass and with next to no allocation.
//!
//! It answers what [`Tokenizer`] (and [`ImdbArguments::encode_text`]) answer; the golden tests hold the two together. Every
//! id it gives out is in `0..rows`.

use std::sync::Arc;

use super::clean::clean;
use super::error::TextError;
use super::imdb::ImdbArguments;
use super::spec::{EncoderSpec, Encoding, Moment, Side, TokenizerSpec};
use super::tokenizer::{Document, Tokenizer, TokenizerConfig};
use super::unfitted::Unfitted;
use super::vocabulary::{CUT, Vocabulary};

/// Why there is no encoder.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// The vocabulary cannot be fitted or read.
    #[error("tokenizer: {0}")]
    Text(#[from] TextError),
    /// The vocabulary is of another making than the recipe says.
    #[error("tokenizer: {field} is {found} where the recipe has {expected}")]
    Mismatch {
        /// The argument.
        field: &'static str,
        /// In the JSON.
        found: String,
        /// In the recipe.
        expected: String,
    },
    /// An id that the embedding would have no row for.
    #[error("tokenizer: {token} gets id {id}, and the embedding has rows 0 to {last}")]
    OutOfRange {
        /// Whose id.
        token: String,
        /// The id.
        id: i64,
        /// The embedding's last row.
        last: i64,
    },
    /// Nothing to give ids to.
    #[error("tokenizer: the vocabulary is empty")]
    Empty,
}

/// What a text became.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Ids in the row that stand for tokens.
    pub used: usize,
    /// Tokens of the text.
    pub total: usize,
    /// Tokens that the vocabulary does not have, or has cut.
    pub unknown: usize,
    /// Whether there were more ids than `maxlen`.
    pub truncated: bool,
}

/// A text's way to its ids, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// After the cleaning rules.
    pub cleaned: String,
    /// Each token with its id; none where it is left out.
    pub tokens: Vec<(String, Option<i64>)>,
    /// Cut to `maxlen`, not padded.
    pub ids: Vec<i64>,
    /// The counts.
    pub encoded: Encoded,
}

/// Text to ids. Cheap to clone and to share between threads.
#[derive(Clone, Debug)]
pub struct Encoder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    spec: EncoderSpec,
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    /// What every sequence begins with.
    start: Option<i64>,
    /// What stands for unknown and cut tokens; without it they are left out.
    oov: Option<i64>,
    rows: usize,
    largest: i64,
}

impl Encoder {
    /// Fits the vocabulary on texts, cleaned as in training.
    ///
    /// # Errors
    /// No token at all, or an id without a row.
    pub fn fit<'a>(
        spec: EncoderSpec,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, EncoderError> {
        let tokenizer = Unfitted::new(&spec).fit(texts)?;
        Self::new(spec, tokenizer)
    }

    /// From `Tokenizer.to_json()`.
    ///
    /// # Errors
    /// Not such JSON, of other arguments than the recipe's, or an id without a row.
    pub fn from_json(spec: EncoderSpec, tokenizer_json: &str) -> Result<Self, EncoderError> {
        let tokenizer = Tokenizer::from_json(tokenizer_json)?;
        let (found, expected) = (&tokenizer.config, TokenizerConfig::from(&spec.tokenizer));
        let fields = [
            (
                "num_words",
                format!("{:?}", found.num_words),
                format!("{:?}", expected.num_words),
            ),
            ("filters", found.filters.clone(), expected.filters.clone()),
            ("lower", found.lower.to_string(), expected.lower.to_string()),
            ("split", found.split.clone(), expected.split.clone()),
            (
                "char_level",
                found.char_level.to_string(),
                expected.char_level.to_string(),
            ),
            (
                "oov_token",
                format!("{:?}", found.oov_token),
                format!("{:?}", expected.oov_token),
            ),
        ];
        for (field, found, expected) in fields {
            if found != expected {
                return Err(EncoderError::Mismatch {
                    field,
                    found,
                    expected,
                });
            }
        }
        Self::new(spec, tokenizer)
    }

    fn new(spec: EncoderSpec, tokenizer: Tokenizer) -> Result<Self, EncoderError> {
        if tokenizer.config.split.is_empty() && !tokenizer.config.char_level {
            return Err(TextError::Value("empty separator".into()).into());
        }
        if tokenizer.word_index.is_empty() {
            return Err(EncoderError::Empty);
        }
        let limit = tokenizer.config.num_words.filter(|n| *n != 0);
        let imdb = ImdbArguments {
            num_words: limit,
            skip_top: spec.tokenizer.skip_top,
            maxlen: None,
            start_char: spec.tokenizer.start_char,
            oov_char: spec.tokenizer.oov_char,
            index_from: spec.tokenizer.index_from,
        };
        let (start, oov) = match spec.tokenizer.encoding {
            Encoding::Keras => (None, tokenizer.oov_id()),
            Encoding::Imdb => (
                imdb.encode_text([], None).first().copied(),
                spec.tokenizer.oov_char,
            ),
        };
        let id_of = |index: i64| token_id(&spec.tokenizer, limit, index);
        let words = || {
            tokenizer
                .word_index
                .iter()
                .map(|(token, index)| (token.as_str(), id_of(*index)))
        };
        let largest = words()
            .map(|(_, id)| id)
            .chain(start)
            .chain(oov)
            .max()
            .unwrap_or(0);
        let rows = limit.unwrap_or(largest.saturating_add(1));
        let fixed = [("the start of a text", start), ("an unknown token", oov)];
        let fixed = fixed
            .into_iter()
            .filter_map(|(token, id)| id.map(|id| (token, id)));
        for (token, id) in words().filter(|(_, id)| *id != CUT).chain(fixed) {
            if !(0..rows).contains(&id) {
                return Err(EncoderError::OutOfRange {
                    token: token.to_owned(),
                    id,
                    last: rows - 1,
                });
            }
        }
        let vocabulary = Vocabulary::new(&tokenizer, words());
        let rows = usize::try_from(rows).map_err(|_| EncoderError::Empty)?;
        Ok(Self(Arc::new(Inner {
            vocabulary,
            start,
            oov,
            rows,
            largest,
            spec,
            tokenizer,
        })))
    }

    /// `Tokenizer.to_json()`.
    pub fn to_json(&self) -> String {
        self.0.tokenizer.to_json()
    }

    /// What it was made from.
    pub fn spec(&self) -> &EncoderSpec {
        &self.0.spec
    }

    /// Keras's tokenizer with all its counts.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.tokenizer
    }

    /// The embedding's rows: `num_words` where that is set, else one more than the largest id.
    pub fn rows(&self) -> usize {
        self.0.rows
    }

    /// What every sequence begins with.
    pub(super) fn start(&self) -> Option<i64> {
        self.0.start
    }

    /// What stands for unknown and cut tokens; without it they are left out.
    pub(super) fn oov(&self) -> Option<i64> {
        self.0.oov
    }

    /// Appends an id for each token of a cleaned text.
    pub(super) fn append(&self, cleaned: &str, ids: &mut Vec<i64>) {
        self.0.vocabulary.append(&self.0.tokenizer, cleaned, ids);
    }

    /// The vocabulary's tokens with the ids that they get; those without one are left out.
    pub fn words(&self) -> impl Iterator<Item = (&str, i64)> {
        let inner = &*self.0;
        let limit = inner.tokenizer.config.num_words.filter(|n| *n != 0);
        let words = inner.tokenizer.word_index.iter();
        words
            .map(move |(token, index)| {
                let id = token_id(&inner.spec.tokenizer, limit, *index);
                (token.as_str(), id)
            })
            .filter(|(_, id)| *id != CUT)
    }

    /// The largest id that a text can get, and less than [`Self::rows`].
    pub fn largest_id(&self) -> i64 {
        self.0.largest
    }

    /// Replaces `ids` by the text's, cut to `maxlen` and not padded.
    pub fn encode(&self, text: &str, moment: Moment, ids: &mut Vec<i64>) -> Encoded {
        let inner = &*self.0;
        let mut encoded = self.encode_whole(text, moment, ids);
        let maxlen = inner.spec.padding.maxlen;
        let mut kept_start = inner.start.is_some();
        if ids.len() > maxlen {
            encoded.truncated = true;
            match inner.spec.padding.truncating {
                Side::Pre => {
                    ids.drain(..ids.len() - maxlen);
                    kept_start = false;
                }
                Side::Post => ids.truncate(maxlen),
            }
        }
        encoded.used = ids.len() - usize::from(kept_start);
        encoded
    }

    /// Replaces `ids` by the text's, however many they are.
    pub fn encode_whole(&self, text: &str, moment: Moment, ids: &mut Vec<i64>) -> Encoded {
        let inner = &*self.0;
        ids.clear();
        ids.extend(inner.start);
        let first = ids.len();
        let text = clean(rules(&inner.spec, moment), text);
        inner.vocabulary.append(&inner.tokenizer, &text, ids);
        let tokens = &mut ids[first..];
        let mut encoded = Encoded {
            total: tokens.len(),
            unknown: tokens.iter().filter(|id| **id == CUT).count(),
            ..Encoded::default()
        };
        match inner.oov {
            Some(oov) => {
                for id in tokens {
                    *id = if *id == CUT { oov } else { *id };
                }
            }
            None => ids.retain(|id| *id != CUT),
        }
        encoded.used = ids.len() - first;
        encoded
    }

    /// Appends a row of `len` ids, `ids` padded on the recipe's side (`pad_sequences` with `maxlen=len`); longer ids are
    /// appended whole.
    pub fn pad(&self, ids: &[i64], len: usize, row: &mut Vec<i64>) {
        let padding = &self.0.spec.padding;
        let pads = std::iter::repeat_n(padding.value, len.saturating_sub(ids.len()));
        match padding.padding {
            Side::Pre => {
                row.extend(pads);
                row.extend_from_slice(ids);
            }
            Side::Post => {
                row.extend_from_slice(ids);
                row.extend(pads);
            }
        }
    }

    /// The same as [`Self::encode`], with what happened on the way.
    pub fn trace(&self, text: &str, moment: Moment) -> Trace {
        let inner = &*self.0;
        let cleaned = clean(rules(&inner.spec, moment), text).into_owned();
        let mut known = Vec::new();
        inner
            .vocabulary
            .append(&inner.tokenizer, &cleaned, &mut known);
        let known = known.into_iter().map(|id| match id {
            CUT => inner.oov,
            id => Some(id),
        });
        let names = inner.tokenizer.tokens(Document::Text(&cleaned));
        let tokens = names.into_iter().flatten().zip(known).collect();
        let mut ids = Vec::new();
        let encoded = self.encode(text, moment, &mut ids);
        Trace {
            cleaned,
            tokens,
            ids,
            encoded,
        }
    }
}

/// The id of a token, by its place in the word index.
fn token_id(spec: &TokenizerSpec, limit: Option<i64>, index: i64) -> i64 {
    let id = match spec.encoding {
        Encoding::Keras => index,
        Encoding::Imdb => index.saturating_add(spec.index_from),
    };
    let skipped = spec.encoding == Encoding::Imdb && id < spec.skip_top;
    match skipped || limit.is_some_and(|limit| id >= limit) {
        true => CUT,
        false => id,
    }
}

pub(super) fn rules(spec: &EncoderSpec, moment: Moment) -> &[super::CleanRule] {
    if spec.text.clean_at.contains(&moment) {
        &spec.text.clean
    } else {
        &[]
    }
}
