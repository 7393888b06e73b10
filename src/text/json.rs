//! `Tokenizer.to_json` and `tokenizer_from_json`, byte for byte as Python's `json.dumps` writes.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::error::TextError;
use super::tokenizer::{Dictionary, Tokenizer, TokenizerConfig};

impl Tokenizer {
    /// `to_json()`.
    pub fn to_json(&self) -> String {
        let config = &self.config;
        let text = |value: &str| string(value);
        let nested = |value: String| string(&value);
        let fields = [
            (
                "num_words",
                config.num_words.map_or("null".into(), |n| n.to_string()),
            ),
            ("filters", text(&config.filters)),
            ("lower", config.lower.to_string()),
            ("split", text(&config.split)),
            ("char_level", config.char_level.to_string()),
            (
                "oov_token",
                config.oov_token.as_deref().map_or("null".into(), text),
            ),
            ("document_count", self.document_count.to_string()),
            (
                "word_counts",
                nested(object(&self.word_counts, |k| string(k), u64::to_string)),
            ),
            (
                "word_docs",
                nested(object(&self.word_docs, |k| string(k), u64::to_string)),
            ),
            (
                "index_docs",
                nested(object(
                    &self.index_docs,
                    |k| format!("\"{k}\""),
                    u64::to_string,
                )),
            ),
            (
                "index_word",
                nested(object(
                    &self.index_word,
                    |k| format!("\"{k}\""),
                    |w| string(w),
                )),
            ),
            (
                "word_index",
                nested(object(&self.word_index, |k| string(k), i64::to_string)),
            ),
        ];
        let config: Vec<String> = fields
            .iter()
            .map(|(key, value)| format!("\"{key}\": {value}"))
            .collect();
        format!(
            "{{\"class_name\": \"Tokenizer\", \"config\": {{{}}}}}",
            config.join(", ")
        )
    }

    /// `tokenizer_from_json`.
    ///
    /// # Errors
    /// `ValueError` where it is not JSON, `KeyError` for a missing dictionary, `TypeError` for a field of another type or
    /// an unknown one.
    pub fn from_json(json: &str) -> Result<Self, TextError> {
        let mut outer = parse(json)?;
        let Some(Value::Object(mut config)) = outer.remove("config") else {
            return Err(TextError::Key("config".into()));
        };
        let word_counts = dictionary(&mut config, "word_counts", |k| Ok(k.to_owned()), count)?;
        let word_docs = dictionary(&mut config, "word_docs", |k| Ok(k.to_owned()), count)?;
        let index_docs = dictionary(&mut config, "index_docs", id, count)?;
        let index_word = dictionary(&mut config, "index_word", id, |v| {
            v.as_str().map(str::to_owned)
        })?;
        let word_index = dictionary(
            &mut config,
            "word_index",
            |k| Ok(k.to_owned()),
            Value::as_i64,
        )?;
        let mut arguments = TokenizerConfig::default();
        let mut document_count = 0;
        for (key, value) in config {
            let wrong = || TextError::Type(format!("{key} cannot be {value}"));
            match key.as_str() {
                "num_words" | "nb_words" if value.is_null() => arguments.num_words = None,
                "num_words" | "nb_words" => {
                    arguments.num_words = Some(value.as_i64().ok_or_else(wrong)?)
                }
                "filters" => arguments.filters = value.as_str().ok_or_else(wrong)?.to_owned(),
                "lower" => arguments.lower = value.as_bool().ok_or_else(wrong)?,
                "split" => arguments.split = value.as_str().ok_or_else(wrong)?.to_owned(),
                "char_level" => arguments.char_level = value.as_bool().ok_or_else(wrong)?,
                "oov_token" if value.is_null() => arguments.oov_token = None,
                "oov_token" => {
                    arguments.oov_token = Some(value.as_str().ok_or_else(wrong)?.to_owned())
                }
                "document_count" => document_count = value.as_u64().ok_or_else(wrong)?,
                "analyzer" if value.is_null() => {}
                _ => {
                    return Err(TextError::Type(format!(
                        "Unrecognized keyword arguments: {key}"
                    )));
                }
            }
        }
        Ok(Self {
            config: arguments,
            document_count,
            word_counts,
            word_docs,
            index_docs,
            word_index,
            index_word,
            loaded: true,
        })
    }
}

fn parse(json: &str) -> Result<Map<String, Value>, TextError> {
    match serde_json::from_str(json) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(TextError::Type(format!(
            "a JSON object is needed, not {other}"
        ))),
        Err(error) => Err(TextError::Value(error.to_string())),
    }
}

/// Takes a dictionary that is kept as a string of JSON.
fn dictionary<K: std::hash::Hash + Eq, V>(
    config: &mut Map<String, Value>,
    name: &str,
    key: impl Fn(&str) -> Result<K, TextError>,
    value: impl Fn(&Value) -> Option<V>,
) -> Result<Dictionary<K, V>, TextError> {
    let text = match config.remove(name) {
        Some(Value::String(text)) => text,
        Some(_) => {
            return Err(TextError::Type(format!(
                "{name}: the JSON object must be a string"
            )));
        }
        None => return Err(TextError::Key(name.to_owned())),
    };
    parse(&text)?
        .iter()
        .map(|(k, v)| {
            let v =
                value(v).ok_or_else(|| TextError::Type(format!("{name}: {k:?} cannot be {v}")))?;
            Ok((key(k)?, v))
        })
        .collect()
}

fn count(value: &Value) -> Option<u64> {
    value.as_u64()
}

fn id(key: &str) -> Result<i64, TextError> {
    key.trim()
        .parse()
        .map_err(|_| TextError::Value(format!("invalid literal for int() with base 10: '{key}'")))
}

fn object<K, V>(
    map: &Dictionary<K, V>,
    key: impl Fn(&K) -> String,
    value: impl Fn(&V) -> String,
) -> String {
    let fields: Vec<String> = map
        .iter()
        .map(|(k, v)| format!("{}: {}", key(k), value(v)))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

/// A JSON string with everything outside ASCII escaped, as `json.dumps` does by default.
fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a string takes everything");
                }
            }
        }
    }
    out.push('"');
    out
}
