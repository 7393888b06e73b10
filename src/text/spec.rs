//! What a recipe may say about text: the `[text]`, `[tokenizer]` and `[padding]` tables.

use serde::{Deserialize, Serialize};

/// Everything that decides which ids a text becomes, apart from the vocabulary itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSpec {
    /// Cleaning before tokenization.
    #[serde(default)]
    pub text: TextSpec,
    /// The tokenizer's arguments.
    pub tokenizer: TokenizerSpec,
    /// The arguments of `pad_sequences`.
    pub padding: PaddingSpec,
}

/// The `[text]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextSpec {
    /// Rules in the order in which they are applied.
    pub clean: Vec<CleanRule>,
    /// When the rules are applied; both unless the recipe says otherwise.
    pub clean_at: Vec<Moment>,
}

impl Default for TextSpec {
    fn default() -> Self {
        Self {
            clean: Vec::new(),
            clean_at: vec![Moment::Train, Moment::Serve],
        }
    }
}

/// A cleaning rule that a recipe can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CleanRule {
    /// The course's rule: `[^ㄱ-ㅎㅏ-ㅣ가-힣0-9 ]` is removed.
    Korean,
    /// `<br>`, `<br/>` and `<br />`, in any case, become one space.
    HtmlBreaks,
}

/// A moment at which text meets the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Fitting the vocabulary, training, validation.
    Train,
    /// Answering requests, `predict` and `evaluate`.
    Serve,
}

/// Which ids the tokens become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As `Tokenizer.texts_to_sequences`.
    #[default]
    Keras,
    /// As `keras.datasets.imdb.load_data`: ranks shifted by `index_from`, a start id, an id for what is out.
    Imdb,
}

/// The unit of text that gets an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Words between `split`.
    #[default]
    Word,
    /// Unicode scalar values, as Python's characters.
    Char,
}

/// The `[tokenizer]` table: the arguments of Keras's `Tokenizer`, and with `encoding = "imdb"` those of `imdb.load_data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenizerSpec {
    /// How tokens become ids.
    pub encoding: Encoding,
    /// Words or characters.
    pub level: Level,
    /// Only ids below this are given out; the embedding then has as many rows.
    pub num_words: Option<usize>,
    /// Characters that become `split` before the text is split.
    pub filters: String,
    /// Lower-case as Python 3.11 does.
    pub lower: bool,
    /// The separator of words.
    pub split: String,
    /// The token for what is not in the vocabulary.
    pub oov: Option<String>,
    /// `encoding = "imdb"`: ranks are shifted by this.
    pub index_from: i64,
    /// `encoding = "imdb"`: the id every sequence begins with.
    pub start_char: Option<i64>,
    /// `encoding = "imdb"`: the id of what is cut by `num_words` or `skip_top`, or unknown; without it they are left out.
    pub oov_char: Option<i64>,
    /// `encoding = "imdb"`: the most frequent ids below this are cut too.
    pub skip_top: i64,
}

impl Default for TokenizerSpec {
    fn default() -> Self {
        Self {
            encoding: Encoding::Keras,
            level: Level::Word,
            num_words: None,
            filters: "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n".to_owned(),
            lower: true,
            split: " ".to_owned(),
            oov: None,
            index_from: 3,
            start_char: Some(1),
            oov_char: Some(2),
            skip_top: 0,
        }
    }
}

/// The `[padding]` table: the arguments of `pad_sequences`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaddingSpec {
    /// The length of a padded row, and the most tokens that a text keeps.
    pub maxlen: usize,
    /// Where pads go.
    #[serde(default)]
    pub padding: Side,
    /// Where tokens are cut.
    #[serde(default)]
    pub truncating: Side,
    /// The pad id.
    #[serde(default)]
    pub value: i64,
}

/// The front or the back of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The front, Keras's default.
    #[default]
    Pre,
    /// The back.
    Post,
}
