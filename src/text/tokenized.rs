//! A text's way into a model, for people: every step of it as one record.

use serde::Serialize;

use super::{Encoder, Moment};

/// What becomes of a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tokenized {
    /// The text after the cleaning rules.
    pub cleaned: String,
    /// Its tokens, in order.
    pub tokens: Vec<TokenId>,
    /// Ids, cut to `maxlen` and not padded; a start id stands first where the encoding has one.
    pub ids: Vec<i64>,
    /// The padded row, `maxlen` long.
    pub row: Vec<i64>,
    /// Tokens of the text.
    pub total: usize,
    /// Tokens whose id is in the row.
    pub used: usize,
    /// Tokens that the vocabulary does not have, or has cut.
    pub unknown: usize,
    /// Whether there were more ids than `maxlen`.
    pub truncated: bool,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenId {
    /// As the tokenizer sees it.
    pub token: String,
    /// Its id; null where it is left out.
    pub id: Option<i64>,
}

impl Encoder {
    /// Encodes a text as a served model does, and says how.
    pub fn tokenize(&self, text: &str) -> Tokenized {
        let trace = self.trace(text, Moment::Serve);
        let mut row = Vec::new();
        self.pad(&trace.ids, self.spec().padding.maxlen, &mut row);
        let token = |(token, id)| TokenId { token, id };
        Tokenized {
            cleaned: trace.cleaned,
            tokens: trace.tokens.into_iter().map(token).collect(),
            ids: trace.ids,
            row,
            total: trace.encoded.total,
            used: trace.encoded.used,
            unknown: trace.encoded.unknown,
            truncated: trace.encoded.truncated,
        }
    }
}
