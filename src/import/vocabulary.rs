//! Vocabularies of other programs: Keras's `Tokenizer.to_json()`, the ranks of `imdb.get_word_index()`, or plain ids by word.

use std::path::Path;

use serde_json::Value;

use super::ImportError;
use crate::text::{Encoding, Level, Tokenizer, TokenizerConfig, TokenizerSpec};

/// What a file of words does not say; none of it is needed beside Keras's own JSON.
#[derive(Clone, Debug, Default)]
pub struct VocabularyArguments {
    /// The file holds ranks: ids are so much above them, 1 begins a text and 2 stands for what is unknown or cut.
    pub index_from: Option<i64>,
    /// Only ids below this are given out.
    pub num_words: Option<usize>,
    /// The tokens are characters.
    pub characters: bool,
    /// Text is not lower-cased.
    pub keep_case: bool,
    /// Characters that separate words, in the place of Keras's.
    pub filters: Option<String>,
    /// The token that stands for unknown ones.
    pub oov: Option<String>,
}

/// Tokens that mean "unknown" in files of words, should one of them be there.
const UNKNOWN: [&str; 6] = ["<OOV>", "<oov>", "<UNK>", "<unk>", "[UNK]", "UNK"];

/// The arguments of a tokenizer, and the tokenizer as Keras's JSON.
///
/// # Errors
/// The file cannot be read, or is none of the three kinds.
pub(super) fn read(
    path: &Path,
    arguments: &VocabularyArguments,
) -> Result<(TokenizerSpec, Tokenizer), ImportError> {
    let refused = |reason: String| ImportError::file(path, reason);
    let json =
        String::from_utf8(super::whole(path)?).map_err(|_| refused("not UTF-8".to_owned()))?;
    let value: Value =
        serde_json::from_str(&json).map_err(|error| refused(format!("not JSON: {error}")))?;
    // `json.dump(tokenizer.to_json(), file)` writes the JSON as one string.
    let (json, value) = match value {
        Value::String(inner) => {
            let value = serde_json::from_str(&inner);
            let value = value.map_err(|error| refused(format!("not JSON: {error}")))?;
            (inner, value)
        }
        value => (json, value),
    };
    let Value::Object(fields) = value else {
        return Err(refused(
            "neither a tokenizer nor words with numbers".to_owned(),
        ));
    };
    let mut tokenizer = if fields.contains_key("config") && fields.contains_key("class_name") {
        Tokenizer::from_json(&json).map_err(|error| refused(error.to_string()))?
    } else {
        let mut words = Vec::with_capacity(fields.len());
        for (word, id) in fields {
            match id.as_i64().filter(|id| *id >= 0) {
                Some(id) => words.push((word, id)),
                None => return Err(refused(format!("{word:?} has {id}, which is no id"))),
            }
        }
        words.sort_by_key(|(_, id)| *id);
        if let Some(oov) = &arguments.oov
            && !words.iter().any(|(word, _)| word == oov)
        {
            return Err(refused(format!("it has no {oov:?}, which --oov names")));
        }
        plain(words, arguments)
    };
    if let Some(limit) = arguments.num_words {
        tokenizer.config.num_words = i64::try_from(limit).ok();
    }
    tokenizer.config.num_words = tokenizer.config.num_words.filter(|limit| *limit > 0);
    Ok((spec(&tokenizer.config, arguments.index_from), tokenizer))
}

fn plain(words: Vec<(String, i64)>, arguments: &VocabularyArguments) -> Tokenizer {
    let listed = |token: &str| words.iter().any(|(word, _)| word == token);
    let oov = arguments.oov.clone().or_else(|| {
        let unknown = UNKNOWN.iter().find(|token| listed(token));
        unknown.map(|token| (*token).to_owned())
    });
    let mut config = TokenizerConfig {
        char_level: arguments.characters,
        lower: !arguments.keep_case,
        oov_token: oov.filter(|_| arguments.index_from.is_none()),
        ..TokenizerConfig::default()
    };
    if let Some(filters) = &arguments.filters {
        config.filters.clone_from(filters);
    }
    let mut tokenizer = Tokenizer::new(config);
    tokenizer.index_word = words.iter().map(|(word, id)| (*id, word.clone())).collect();
    tokenizer.word_index = words.into_iter().collect();
    tokenizer
}

fn spec(config: &TokenizerConfig, index_from: Option<i64>) -> TokenizerSpec {
    let defaults = TokenizerSpec::default();
    TokenizerSpec {
        encoding: match index_from {
            Some(_) => Encoding::Imdb,
            None => Encoding::Keras,
        },
        level: match config.char_level {
            true => Level::Char,
            false => Level::Word,
        },
        num_words: config
            .num_words
            .and_then(|limit| usize::try_from(limit).ok()),
        filters: config.filters.clone(),
        lower: config.lower,
        split: config.split.clone(),
        oov: config.oov_token.clone(),
        index_from: index_from.unwrap_or(defaults.index_from),
        ..defaults
    }
}
