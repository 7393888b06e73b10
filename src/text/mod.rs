//! Text to ids: the only door to model input, in training and in serving.
//!
//! What Keras's legacy `Tokenizer`, `text_to_word_sequence` and `pad_sequences` answer, these answer, to the last id:
//! [`Tokenizer`] is Keras's class whole, [`Encoder`] is the fast path that models use.

mod characters;
pub mod clean;
pub mod encoder;
pub mod error;
pub mod imdb;
mod json;
pub mod lower;
#[cfg(test)]
mod made_up;
pub mod matrix;
pub mod pad;
mod parts;
pub mod sentences;
pub mod spec;
pub mod split;
mod tokenized;
pub mod tokenizer;
mod unfitted;
mod vocabulary;
mod words;

pub use encoder::{Encoded, Encoder, EncoderError};
pub use error::TextError;
pub use parts::Rest;
pub use spec::{
    CleanRule, EncoderSpec, Encoding, Level, Moment, PaddingSpec, Side, TextSpec, TokenizerSpec,
};
pub use tokenized::{TokenId, Tokenized};
pub use tokenizer::{Tokenizer, TokenizerConfig};
pub use unfitted::Unfitted;
