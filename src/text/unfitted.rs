//! Texts to tokens before there is a vocabulary, and the vocabulary that is fitted on them.

use super::clean::clean;
use super::encoder::rules;
use super::error::TextError;
use super::spec::{CleanRule, EncoderSpec, Moment};
use super::tokenizer::{Document, Tokenizer, TokenizerConfig};

/// How texts are cleaned and cut in training.
#[derive(Debug)]
pub struct Unfitted {
    rules: Vec<CleanRule>,
    tokenizer: Tokenizer,
}

impl Unfitted {
    /// By what a recipe says.
    pub fn new(spec: &EncoderSpec) -> Self {
        Self {
            rules: rules(spec, Moment::Train).to_vec(),
            tokenizer: Tokenizer::new(TokenizerConfig::from(&spec.tokenizer)),
        }
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// `ValueError` for an empty separator.
    pub fn of(&self, text: &str) -> Result<Vec<String>, TextError> {
        self.tokenizer
            .tokens(Document::Text(&clean(&self.rules, text)))
    }

    /// A tokenizer with the vocabulary of these texts.
    ///
    /// # Errors
    /// `ValueError` for an empty separator.
    pub(super) fn fit<'a>(
        mut self,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Tokenizer, TextError> {
        let texts = texts.into_iter().map(|text| clean(&self.rules, text));
        let cleaned: Vec<_> = texts.collect();
        self.tokenizer
            .fit_on_texts(cleaned.iter().map(|text| Document::Text(text)))?;
        self.tokenizer.forget_cut();
        Ok(self.tokenizer)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::{Encoder, PaddingSpec, Side, TextSpec, TokenizerSpec};
    use super::*;

    #[test]
    fn tokens_are_those_that_a_vocabulary_is_fitted_on() {
        let spec = EncoderSpec {
            text: TextSpec {
                clean: vec![CleanRule::HtmlBreaks],
                ..TextSpec::default()
            },
            tokenizer: TokenizerSpec::default(),
            padding: PaddingSpec {
                maxlen: 9,
                padding: Side::Pre,
                truncating: Side::Pre,
                value: 0,
            },
        };
        let text = "Not bad,<br />NOT good";
        let tokens = Unfitted::new(&spec).of(text).unwrap();
        assert_eq!(tokens, ["not", "bad", "not", "good"]);
        let encoder = Encoder::fit(spec, [text]).unwrap();
        assert!(
            encoder
                .words()
                .all(|(word, _)| tokens.iter().any(|token| token == word))
        );
    }
}
