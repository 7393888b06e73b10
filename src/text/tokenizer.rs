//! Keras's legacy `Tokenizer` (`keras.preprocessing.text`, 2.15), whole.

use hashbrown::DefaultHashBuilder;
use indexmap::IndexMap;

use super::error::TextError;
use super::lower::{lower, lower_into};
use super::spec::{Level, TokenizerSpec};
use super::split::Splitter;

/// A Python dictionary: it keeps the order in which keys came.
pub type Dictionary<K, V> = IndexMap<K, V, DefaultHashBuilder>;

/// The constructor's arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerConfig {
    /// Only ids below this are given out; 0 is as good as none.
    pub num_words: Option<i64>,
    /// Characters that separate words.
    pub filters: String,
    /// Whether text is lower-cased.
    pub lower: bool,
    /// The separator.
    pub split: String,
    /// Characters instead of words.
    pub char_level: bool,
    /// The token that stands for unknown ones.
    pub oov_token: Option<String>,
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self::from(&TokenizerSpec::default())
    }
}

impl From<&TokenizerSpec> for TokenizerConfig {
    fn from(spec: &TokenizerSpec) -> Self {
        Self {
            num_words: spec.num_words.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
            filters: spec.filters.clone(),
            lower: spec.lower,
            split: spec.split.clone(),
            char_level: spec.level == Level::Char,
            oov_token: spec.oov.clone(),
        }
    }
}

/// A text, or a text that is already a list of tokens.
#[derive(Clone, Copy, Debug)]
pub enum Document<'a> {
    /// To be split.
    Text(&'a str),
    /// Split already.
    Tokens(&'a [String]),
}

/// Keras's `Tokenizer`, with its attributes under their own names.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Tokenizer {
    /// The arguments.
    pub config: TokenizerConfig,
    /// Documents fitted so far.
    pub document_count: u64,
    /// How often each token was seen, in order of first appearance.
    pub word_counts: Dictionary<String, u64>,
    /// In how many documents each token was seen.
    pub word_docs: Dictionary<String, u64>,
    /// In how many documents each id was seen.
    pub index_docs: Dictionary<i64, u64>,
    /// Ids by token.
    pub word_index: Dictionary<String, i64>,
    /// Tokens by id.
    pub index_word: Dictionary<i64, String>,
    /// Whether it came from JSON: its dictionaries then have no default, and what is new is a `KeyError`.
    pub(super) loaded: bool,
}

impl Tokenizer {
    /// Before any text.
    pub fn new(config: TokenizerConfig) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// The tokens of a document, as `texts_to_sequences` sees them.
    ///
    /// # Errors
    /// `ValueError` for an empty separator.
    pub fn tokens(&self, document: Document<'_>) -> Result<Vec<String>, TextError> {
        let mut tokens = Vec::new();
        self.tokens_of([document].into_iter(), |_, token| {
            tokens.push(token.to_owned())
        })?;
        Ok(tokens)
    }

    /// Calls `found` with each token of each document and with the document's place.
    fn tokens_of<'a>(
        &self,
        documents: impl Iterator<Item = Document<'a>>,
        mut found: impl FnMut(usize, &str),
    ) -> Result<(), TextError> {
        let config = &self.config;
        let splitter = Splitter::new(&config.filters, &config.split);
        let mut lowered = String::new();
        for (at, document) in documents.enumerate() {
            let text = match document {
                Document::Tokens(tokens) if config.lower => {
                    tokens.iter().for_each(|token| found(at, &lower(token)));
                    continue;
                }
                Document::Tokens(tokens) => {
                    tokens.iter().for_each(|token| found(at, token));
                    continue;
                }
                Document::Text(text) if config.lower => {
                    lowered.clear();
                    lower_into(text, &mut lowered);
                    &lowered
                }
                Document::Text(text) => text,
            };
            if config.char_level {
                let mut buffer = [0; 4];
                text.chars()
                    .for_each(|c| found(at, c.encode_utf8(&mut buffer)));
            } else {
                splitter
                    .as_ref()
                    .map_err(Clone::clone)?
                    .each(text, |word| found(at, word));
            }
        }
        Ok(())
    }

    /// `fit_on_texts`; may be called again with more.
    ///
    /// # Errors
    /// `ValueError` for an empty separator; `KeyError` for a new token where the tokenizer came from JSON.
    pub fn fit_on_texts<'a>(
        &mut self,
        documents: impl IntoIterator<Item = Document<'a>>,
    ) -> Result<(), TextError> {
        let mut word_counts = std::mem::take(&mut self.word_counts);
        // By the place of the token in `word_counts`: the documents that have it, and the last one.
        let mut seen: Vec<(u64, usize)> = vec![(0, 0); word_counts.len()];
        let mut count = 0;
        let documents = documents.into_iter().inspect(|_| count += 1);
        let outcome = self.tokens_of(documents, |document, token| {
            let place = match word_counts.get_full_mut(token) {
                Some((place, _, count)) => {
                    *count += 1;
                    place
                }
                None => {
                    seen.push((0, 0));
                    word_counts.insert_full(token.to_owned(), 1).0
                }
            };
            let (documents, last) = &mut seen[place];
            if *last != document + 1 {
                (*documents, *last) = (*documents + 1, document + 1);
            }
        });
        self.word_counts = word_counts;
        self.document_count += count;
        outcome?;
        for (token, (documents, _)) in self.word_counts.keys().zip(seen).filter(|(_, s)| s.0 > 0) {
            match self.word_docs.get_mut(token) {
                Some(count) => *count += documents,
                None if self.loaded => return Err(TextError::Key(token.to_owned())),
                None => {
                    self.word_docs.insert(token.to_owned(), documents);
                }
            }
        }
        let mut ranked: Vec<(&String, u64)> = self
            .word_counts
            .iter()
            .map(|(token, count)| (token, *count))
            .collect();
        ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let vocabulary = self
            .config
            .oov_token
            .iter()
            .chain(ranked.into_iter().map(|(token, _)| token));
        // A token that stands twice, the OOV token being a word too, keeps its place and takes the later id.
        self.word_index = vocabulary.cloned().zip(1..).collect();
        self.index_word = self
            .word_index
            .iter()
            .map(|(token, id)| (*id, token.clone()))
            .collect();
        for (token, count) in &self.word_docs {
            let id = self
                .word_index
                .get(token)
                .ok_or_else(|| TextError::Key(token.clone()))?;
            self.index_docs.insert(*id, *count);
        }
        Ok(())
    }

    /// `fit_on_sequences`.
    ///
    /// # Errors
    /// `KeyError` for a new id where the tokenizer came from JSON.
    pub fn fit_on_sequences(&mut self, sequences: &[Vec<i64>]) -> Result<(), TextError> {
        self.document_count += sequences.len() as u64;
        for sequence in sequences {
            let seen: indexmap::IndexSet<i64> = sequence.iter().copied().collect();
            for id in seen {
                match self.index_docs.get_mut(&id) {
                    Some(count) => *count += 1,
                    None if self.loaded => return Err(TextError::Key(id.to_string())),
                    None => {
                        self.index_docs.insert(id, 1);
                    }
                }
            }
        }
        Ok(())
    }

    /// `texts_to_sequences` of one document. The OOV id is given out even where it is past `num_words`, as Keras does, and
    /// so is Python's `None` where there is an OOV token that has no id.
    ///
    /// # Errors
    /// `ValueError` for an empty separator.
    pub fn text_to_sequence(&self, document: Document<'_>) -> Result<Vec<Option<i64>>, TextError> {
        let oov = self.oov_id();
        let unknown = self.config.oov_token.as_ref().map(|_| oov);
        let ids = self.tokens(document)?.into_iter().filter_map(|token| {
            match self.word_index.get(&token) {
                Some(id) if self.is_cut(*id) => oov.map(Some),
                Some(id) => Some(Some(*id)),
                None => unknown,
            }
        });
        Ok(ids.collect())
    }

    /// `sequences_to_texts` of one sequence.
    ///
    /// # Errors
    /// `KeyError` where the OOV token has no id, or its id has no token.
    pub fn sequence_to_text(&self, sequence: &[Option<i64>]) -> Result<String, TextError> {
        let oov = self.oov_id();
        let token_of = |id: Option<i64>| {
            let token = id.and_then(|id| self.index_word.get(&id));
            let missing = || TextError::Key(id.map_or("None".to_owned(), |id| id.to_string()));
            token.ok_or_else(missing)
        };
        let mut words = Vec::with_capacity(sequence.len());
        for id in sequence {
            match id.and_then(|id| Some((id, self.index_word.get(&id)?))) {
                Some((id, word)) if !self.is_cut(id) => words.push(word.as_str()),
                Some(_) if oov.is_none() => {}
                None if self.config.oov_token.is_none() => {}
                _ => words.push(token_of(oov)?),
            }
        }
        Ok(words.join(" "))
    }

    /// Forgets the tokens that `num_words` cuts: every text still has the same ids, and the JSON only what it takes.
    pub fn forget_cut(&mut self) {
        let oov = self.oov_id();
        let limit = self.config.num_words.filter(|limit| *limit != 0);
        let is_kept = |id: i64| limit.is_none_or(|limit| id < limit) || Some(id) == oov;
        self.word_index.retain(|_, id| is_kept(*id));
        self.index_word.retain(|id, _| is_kept(*id));
        self.index_docs.retain(|id, _| is_kept(*id));
        let known = &self.word_index;
        self.word_counts
            .retain(|token, _| known.contains_key(token));
        self.word_docs.retain(|token, _| known.contains_key(token));
    }

    /// The id of the OOV token, if there is such a token and it has one.
    pub(super) fn oov_id(&self) -> Option<i64> {
        self.config
            .oov_token
            .as_ref()
            .and_then(|token| self.word_index.get(token))
            .copied()
    }

    fn is_cut(&self, id: i64) -> bool {
        self.config
            .num_words
            .is_some_and(|limit| limit != 0 && id >= limit)
    }
}
