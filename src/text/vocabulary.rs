//! Tokens to the ids that a model knows, by the fastest way that the tokenizer's arguments allow.

use hashbrown::HashMap;

use super::characters::Characters;
use super::tokenizer::{Document, Tokenizer};
use super::words::Words;

/// Stands for a token that has no id of its own.
pub(super) const CUT: i64 = -1;

#[derive(Debug)]
pub(super) enum Vocabulary {
    Words(Words),
    Characters(Characters),
    /// Words by any other rule, found by [`Tokenizer::tokens`].
    Odd(HashMap<Box<str>, i64>),
}

impl Vocabulary {
    /// `ids` are the tokenizer's tokens with their ids; those with [`CUT`] are as good as unknown.
    pub(super) fn new<'a>(
        tokenizer: &Tokenizer,
        ids: impl Iterator<Item = (&'a str, i64)> + Clone,
    ) -> Self {
        let known = ids.filter(|(_, id)| *id != CUT);
        if tokenizer.config.char_level {
            return Self::Characters(Characters::new(tokenizer.config.lower, known));
        }
        match Words::new(&tokenizer.config, known.clone()) {
            Some(words) => Self::Words(words),
            None => Self::Odd(known.map(|(token, id)| (token.into(), id)).collect()),
        }
    }

    /// Appends the id of each token of a text, or [`CUT`]. The tokenizer's separator must not be empty.
    pub(super) fn append(&self, tokenizer: &Tokenizer, text: &str, ids: &mut Vec<i64>) {
        match self {
            Self::Words(words) => words.append(text, ids),
            Self::Characters(characters) => characters.append(text, ids),
            Self::Odd(known) => {
                let tokens = tokenizer.tokens(Document::Text(text));
                let id = |token: String| known.get(token.as_str()).copied().unwrap_or(CUT);
                ids.extend(tokens.into_iter().flatten().map(id));
            }
        }
    }
}
