//! JSON lines: an object a line, or a string where no label is wanted.

use serde_json::{Map, Value};

use super::columns;
use super::error::{Place, Trouble};
use super::input::{Bytes, Lines};
use super::label;
use super::rows::{Reading, Row, next_text};

/// The rows of JSON lines.
pub(super) struct JsonReader {
    lines: Lines,
}

impl JsonReader {
    pub fn new(bytes: Bytes) -> Self {
        Self {
            lines: Lines::new(bytes),
        }
    }

    pub fn next_row(&mut self, reading: &Reading) -> Result<Option<Row>, Trouble> {
        loop {
            let number = self.lines.number() + 1;
            let Some(line) = next_text(&mut self.lines)? else {
                return Ok(None);
            };
            if !line.trim().is_empty() {
                return row(line, number, reading).map(Some).map_err(Trouble::Row);
            }
        }
    }
}

fn row(line: &str, number: u64, reading: &Reading) -> Result<Row, Place> {
    let at = |column: &str, reason: String| Place::new(number, column, reason);
    let object = match serde_json::from_str(line) {
        Ok(Value::Object(object)) => object,
        Ok(Value::String(text)) if !reading.labels => {
            return Ok(Row {
                number,
                text,
                label: None,
                rating: None,
                id: None,
                language: None,
            });
        }
        Ok(_) => return Err(at("1", "it is not a JSON object".to_owned())),
        Err(error) => {
            let message = error.to_string();
            let reason = message.split(" at line ").next().unwrap_or(&message);
            return Err(at(&error.column().to_string(), reason.to_owned()));
        }
    };
    let names: Vec<&str> = object.keys().map(String::as_str).collect();
    let places = columns::find(&names, &reading.columns, reading.labels)
        .map_err(|(column, reason)| at(column, reason))?;
    let label = match places.label {
        Some(place) => {
            let name = names[place];
            let cell = match &object[name] {
                Value::String(word) => word.clone(),
                value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
                _ => return Err(at(name, "it is not a string, number or boolean".to_owned())),
            };
            let label = label::parse(&cell, reading.columns.label_above);
            Some(label.map_err(|reason| at(name, reason))?)
        }
        None => None,
    };
    let id = places.id.map(|place| object[names[place]].clone());
    let language = match places.language {
        Some(place) => optional_string(&object, names[place])
            .map_err(|reason| at(names[place], reason.to_owned()))?,
        None => None,
    };
    let name = names[places.text];
    let Value::String(text) = &object[name] else {
        return Err(at(name, "it is not a string".to_owned()));
    };
    Ok(Row {
        number,
        text: text.clone(),
        label,
        rating: places.label.and_then(|place| match &object[names[place]] {
            Value::String(word) => label::rating(word),
            value => value.as_f64(),
        }),
        id: id.filter(|id| !id.is_null()),
        language,
    })
}

fn optional_string(
    object: &Map<String, Value>,
    name: &str,
) -> Result<Option<String>, &'static str> {
    match &object[name] {
        Value::Null => Ok(None),
        Value::String(value) => Ok(Some(value.clone())),
        _ => Err("it is not a string"),
    }
}
