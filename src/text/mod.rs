//! Text to ids: the only door to model input, in training and in serving.
//!
//! What Keras's legacy `Tokenizer`, `text_to_word_sequence` and `pad_sequences` answer, these answer, to the last id.

pub mod spec;

pub use spec::{
    CleanRule, EncoderSpec, Encoding, Level, Moment, PaddingSpec, Side, TextSpec, TokenizerSpec,
};
