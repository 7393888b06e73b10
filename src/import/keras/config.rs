//! Keras's description of a model: which layers, in which order. Keras 2 and 3, `Sequential` and functional.

use serde_json::{Map, Value};

use crate::import::ImportError;
use crate::import::stack::Major;

/// Far more than anybody stacks.
const MOST_LAYERS: usize = 1000;

/// One layer as the file describes it.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// Its place among the layers, without the input.
    pub position: usize,
    /// Its name in the file.
    pub name: String,
    /// Keras's class.
    pub class: String,
    /// The name under which Keras 3 keeps its weights: the class in snake case, numbered.
    pub key: String,
    /// The names of the layers that it reads.
    pub inputs: Vec<String>,
    /// Which Keras described it.
    pub keras: Major,
    config: Map<String, Value>,
}

/// The layers of a model and the length of its rows, if that is fixed.
#[derive(Debug)]
pub(super) struct Description {
    /// In the order in which they run.
    pub layers: Vec<Described>,
    /// The length of a row.
    pub maxlen: Option<usize>,
}

impl Description {
    /// Reads Keras's JSON.
    ///
    /// # Errors
    /// It is no model's.
    pub fn parse(json: &str, keras: Major) -> Result<Self, ImportError> {
        let refused = |reason: &str| ImportError::Model(reason.to_owned());
        let model: Value = serde_json::from_str(json)
            .map_err(|error| refused(&format!("its configuration is not JSON: {error}")))?;
        let class = model["class_name"].as_str().unwrap_or_default();
        if !["Sequential", "Functional", "Model"].contains(&class) {
            return Err(ImportError::Model(format!(
                "a Sequential or functional model is needed, not {class:?}"
            )));
        }
        // Before 2.2.3 a Sequential's configuration was the list itself.
        let config = &model["config"];
        let entries = config.get("layers").unwrap_or(config).as_array();
        let entries = entries.ok_or_else(|| refused("its configuration lists no layers"))?;
        if entries.len() > MOST_LAYERS {
            return Err(ImportError::Model(format!(
                "it has {} layers, where {MOST_LAYERS} at most are taken",
                entries.len()
            )));
        }
        let mut maxlen = None;
        let mut names = std::collections::HashMap::<String, usize>::new();
        let mut layers: Vec<Described> = Vec::new();
        for entry in entries {
            let class = entry["class_name"].as_str().unwrap_or_default();
            let config = entry["config"].as_object().cloned().unwrap_or_default();
            maxlen = maxlen.or_else(|| row_length(&config));
            let snake = snake_case(class);
            let seen = names.entry(snake.clone()).or_default();
            let key = match *seen {
                0 => snake,
                number => format!("{snake}_{number}"),
            };
            *seen += 1;
            let name = entry["name"]
                .as_str()
                .or(config.get("name").and_then(Value::as_str));
            let name = name.unwrap_or(&key).to_owned();
            if class == "InputLayer" {
                continue;
            }
            let mut inputs = Vec::new();
            sources(&entry["inbound_nodes"], &mut inputs);
            layers.push(Described {
                position: layers.len(),
                name,
                class: class.to_owned(),
                key,
                inputs,
                keras,
                config,
            });
        }
        if class != "Sequential" {
            in_running_order(&mut layers)?;
        }
        Ok(Self { layers, maxlen })
    }
}

impl Described {
    /// The layer inside of a wrapper, which keeps the wrapper's place.
    pub fn inner(&self, field: &str) -> Option<Self> {
        let entry = self.config.get(field)?;
        Some(Self {
            class: entry["class_name"].as_str()?.to_owned(),
            config: entry["config"].as_object()?.clone(),
            ..self.clone()
        })
    }

    /// The size of a vector, bounded as in a recipe.
    ///
    /// # Errors
    /// It is missing or too large.
    pub fn number(&self, field: &str) -> Result<usize, ImportError> {
        const MOST: usize = 65_536;
        let number = self.config.get(field).and_then(Value::as_u64);
        let number = number
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| (1..=MOST).contains(number));
        number.ok_or_else(|| self.unsupported(format!("it has no usable {field}")))
    }

    /// A rate; 0 where it is missing.
    pub fn rate(&self, field: &str) -> f64 {
        let rate = self.config.get(field).and_then(Value::as_f64);
        rate.unwrap_or_default()
    }

    /// A switch, with Keras's default.
    pub fn flag(&self, field: &str, default: bool) -> bool {
        let flag = self.config.get(field).and_then(Value::as_bool);
        flag.unwrap_or(default)
    }

    /// A name: an activation, a way of merging. Keras 3 may wrap a function's.
    pub fn named(&self, field: &str) -> Option<&str> {
        let value = self.config.get(field)?;
        value.as_str().or_else(|| match &value["config"] {
            Value::String(name) => Some(name),
            _ => value["class_name"].as_str(),
        })
    }

    /// Whether another layer says the same of all these fields.
    pub fn agrees(&self, other: &Self, fields: &[&str]) -> bool {
        let same = |field: &&str| self.config.get(*field) == other.config.get(*field);
        fields.iter().all(same)
    }

    /// This layer cannot be taken.
    pub fn unsupported(&self, reason: impl ToString) -> ImportError {
        ImportError::Layer {
            position: self.position,
            name: self.name.clone(),
            class: self.class.clone(),
            reason: reason.to_string(),
        }
    }
}

/// The second size of an input's shape, however this version of Keras calls it.
fn row_length(config: &Map<String, Value>) -> Option<usize> {
    let shape = ["batch_input_shape", "batch_shape"]
        .iter()
        .find_map(|field| config.get(*field)?.as_array());
    let length = match shape {
        Some(shape) => shape.get(1),
        None => config.get("input_length"),
    };
    length
        .or_else(|| config.get("input_length"))
        .and_then(Value::as_u64)
        .and_then(|length| usize::try_from(length).ok())
}

/// The layers that a layer's calls read: `[name, node, tensor, ...]` in Keras 2, `keras_history` in Keras 3.
fn sources(nodes: &Value, found: &mut Vec<String>) {
    match nodes {
        Value::Array(items) => match items.as_slice() {
            [Value::String(name), Value::Number(_), Value::Number(_), ..] => {
                found.push(name.clone());
            }
            _ => items.iter().for_each(|item| sources(item, found)),
        },
        Value::Object(fields) => match fields.get("keras_history") {
            Some(history) => sources(history, found),
            None => fields.values().for_each(|value| sources(value, found)),
        },
        _ => {}
    }
}

/// Sorts layers behind those that they read.
fn in_running_order(layers: &mut Vec<Described>) -> Result<(), ImportError> {
    let mut waiting = std::mem::take(layers);
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|layer| {
            let waits_for = |name: &String| waiting.iter().any(|other| other.name == *name);
            !layer.inputs.iter().any(waits_for)
        });
        let Some(ready) = ready else {
            let names: Vec<&str> = waiting.iter().map(|layer| layer.name.as_str()).collect();
            return Err(ImportError::Model(format!(
                "its layers {names:?} read each other in a circle"
            )));
        };
        layers.push(waiting.remove(ready));
    }
    for (position, layer) in layers.iter_mut().enumerate() {
        layer.position = position;
    }
    Ok(())
}

/// As Keras writes a class's name in file names: `SimpleRNN` becomes `simple_rnn`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric()).collect();
    let mut snake = String::with_capacity(letters.len() + 4);
    for (at, letter) in letters.iter().enumerate() {
        let lower = |at: usize| letters.get(at).is_some_and(char::is_ascii_lowercase);
        if at > 0 && letter.is_ascii_uppercase() && (lower(at + 1) || lower(at - 1)) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn classes_are_named_as_keras_names_their_weights() {
        for (class, snake) in [
            ("LSTM", "lstm"),
            ("SimpleRNN", "simple_rnn"),
            ("GlobalMaxPooling1D", "global_max_pooling1d"),
            ("SpatialDropout1D", "spatial_dropout1d"),
            ("TimeDistributed", "time_distributed"),
            ("GRU", "gru"),
        ] {
            assert_eq!(snake_case(class), snake);
        }
    }

    #[test]
    fn functional_layers_run_behind_what_they_read_in_either_version() {
        let layer = |name: &str, nodes: &str| {
            format!(
                r#"{{"class_name": "Dense", "name": "{name}", "config": {{}}, "inbound_nodes": {nodes}}}"#
            )
        };
        let two = |from: &str| format!(r#"[[["{from}", 0, 0, {{}}]]]"#);
        let three = |from: &str| {
            format!(
                r#"[{{"args": [{{"class_name": "__keras_tensor__", "config": {{"shape": [null, 1], "keras_history": ["{from}", 0, 0]}}}}], "kwargs": {{"mask": null}}}}]"#
            )
        };
        for nodes in [&two as &dyn Fn(&str) -> String, &three] {
            let layers = [
                r#"{"class_name": "InputLayer", "name": "in", "config": {"batch_shape": [null, 7]}}"#
                    .to_owned(),
                layer("top", &nodes("middle")),
                layer("middle", &nodes("bottom")),
                layer("bottom", &nodes("in")),
            ];
            let json = format!(
                r#"{{"class_name": "Functional", "config": {{"layers": [{}]}}}}"#,
                layers.join(",")
            );
            let description = Description::parse(&json, Major::Three).unwrap();
            let names: Vec<&str> = description.layers.iter().map(|l| l.name.as_str()).collect();
            assert_eq!(names, ["bottom", "middle", "top"]);
            assert_eq!(description.maxlen, Some(7));
        }
    }
}
