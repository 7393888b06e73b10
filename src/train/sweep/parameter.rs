//! A parameter of a search as a place in a recipe, by short name or by path.
//!
//! What rows are read and how they are split cannot be searched: losses on different rows cannot be compared.

use serde_json::Value;

use super::Settings;
use crate::recipe::{Recipe, RecipeError};

/// Short names of what is searched most.
const SHORT: [(&str, &str); 8] = [
    ("lr", "fit.learning_rate"),
    ("batch_size", "fit.batch_size"),
    ("epochs", "fit.epochs"),
    ("seed", "fit.seed"),
    ("units", "layers.recurrent.units"),
    ("embedding", "layers.embedding.units"),
    ("maxlen", "padding.maxlen"),
    ("num_words", "tokenizer.num_words"),
];

/// The tables of a recipe that may differ from run to run.
const TABLES: [&str; 5] = ["text", "tokenizer", "padding", "layers", "fit"];

/// Why a recipe does not take some settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// It has no such place.
    #[error("{name}: {reason}")]
    Place {
        /// The parameter.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It takes another kind of value, or has no such field.
    #[error("{settings}: {reason}")]
    Value {
        /// All parameters of the run.
        settings: String,
        /// What the recipe says.
        reason: String,
    },
    /// The recipe could not make a model.
    #[error("{settings}: {source}")]
    Recipe {
        /// All parameters of the run.
        settings: String,
        /// Why.
        source: RecipeError,
    },
}

/// `fit.learning_rate` for `lr`, `layers.2.units` for `layers[2].units`.
pub fn path(name: &str) -> String {
    match SHORT.iter().find(|(short, _)| *short == name) {
        Some((_, path)) => (*path).to_owned(),
        None => name.replace('[', ".").replace(']', ""),
    }
}

/// The recipe with these parameters.
///
/// # Errors
/// It does not take them.
pub fn apply(recipe: &Recipe, settings: &Settings) -> Result<Recipe, SettingError> {
    let mut value = serde_json::to_value(recipe).expect("a recipe is numbers and names");
    for (name, setting) in settings {
        let place = path(name);
        let place: Vec<&str> = place.split('.').collect();
        let refused = |reason| SettingError::Place {
            name: name.clone(),
            reason,
        };
        if place.len() < 2 || !TABLES.contains(&place[0]) {
            let (tables, short) = (TABLES.join(", "), SHORT.map(|(short, _)| short).join(", "));
            return Err(refused(format!(
                "a parameter is a path that begins with one of {tables}, such as fit.learning_rate, or one of {short}"
            )));
        }
        if set(&mut value, &place, setting).map_err(refused)? == 0 {
            let which = place[1];
            return Err(refused(format!("the recipe has no layer {which:?}")));
        }
    }
    let recipe: Recipe =
        serde_path_to_error::deserialize(&value).map_err(|error| SettingError::Value {
            settings: in_words(settings),
            reason: error.to_string(),
        })?;
    match recipe.check().and_then(|()| recipe.check_training()) {
        Ok(()) => Ok(recipe),
        Err(source) => Err(SettingError::Recipe {
            settings: in_words(settings),
            source,
        }),
    }
}

/// `lr=0.001 units=32`
pub fn in_words(settings: &Settings) -> String {
    let words = settings
        .iter()
        .map(|(name, value)| format!("{name}={}", plain(value)));
    words.collect::<Vec<_>>().join(" ")
}

/// A value as it was written on the command line.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Sets every place that is meant and says how many those are.
fn set(value: &mut Value, place: &[&str], setting: &Value) -> Result<usize, String> {
    let Some((&first, rest)) = place.split_first() else {
        *value = setting.clone();
        return Ok(1);
    };
    if value.is_null() {
        *value = Value::Object(serde_json::Map::new());
    }
    match value {
        Value::Object(fields) => set(fields.entry(first).or_insert(Value::Null), rest, setting),
        Value::Array(items) => {
            let mut found = 0;
            for (at, item) in items.iter_mut().enumerate() {
                if meant(first, at, item) {
                    found += set(item, rest, setting)?;
                }
            }
            Ok(found)
        }
        _ => Err(format!(
            "there is nothing named {first:?} within a plain value"
        )),
    }
}

/// A layer by its number, its kind, or as one of the recurrent ones.
fn meant(which: &str, at: usize, layer: &Value) -> bool {
    let kind = layer["kind"].as_str().unwrap_or_default();
    let recurrent = ["lstm", "gru", "simple_rnn"].contains(&kind);
    which == kind || (which == "recurrent" && recurrent) || which.parse() == Ok(at)
}
