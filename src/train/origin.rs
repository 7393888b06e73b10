//! What a training is of. Two of the same origin take the same steps, bit for bit; what was kept of one of another origin
//! is refused by naming the first thing that differs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::vector::instruction_set;
use crate::bundle::digest;
use crate::recipe::Recipe;

/// The arithmetic of this program: raised with every change after which the same training takes other steps, by a bit even.
const KERNELS: u32 = 3;

/// Everything that decides a training's bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The program's version and that of its arithmetic.
    pub program: String,
    /// What the kernels run on.
    pub instruction_set: String,
    /// The fingerprint of all rows.
    pub data: String,
    /// The recipe, its seed included.
    pub recipe: Value,
}

impl Origin {
    /// Of a training that this process would do.
    pub fn new(recipe: &Recipe, data: String) -> Self {
        Self {
            program: format!("{}, kernels {KERNELS}", env!("CARGO_PKG_VERSION")),
            instruction_set: instruction_set(),
            data,
            recipe: serde_json::to_value(recipe).expect("a recipe is numbers and names"),
        }
    }

    /// The first thing that differs, in words; `self` is what was kept and `here` what is asked for.
    pub fn difference(&self, here: &Self) -> Option<String> {
        let value = |origin: &Self| serde_json::to_value(origin).expect("numbers and names");
        difference("", &value(self), &value(here))
    }
}

/// Of all rows, from those of their sources in the recipe's order.
pub fn fingerprint<'a>(sources: impl Iterator<Item = &'a str>) -> String {
    digest::sha256(sources.collect::<String>().as_bytes())
}

fn difference(path: &str, there: &Value, here: &Value) -> Option<String> {
    let within = |key: &str| match path {
        "" => key.to_owned(),
        _ => format!("{path}.{key}"),
    };
    match (there, here) {
        (Value::Object(there), Value::Object(here)) => {
            let keys = there
                .keys()
                .chain(here.keys().filter(|key| !there.contains_key(*key)));
            let value = |object: &serde_json::Map<String, Value>, key| {
                object.get(key).cloned().unwrap_or(Value::Null)
            };
            keys.map(|key| difference(&within(key), &value(there, key), &value(here, key)))
                .find_map(|found| found)
        }
        (Value::Array(there), Value::Array(here)) if there.len() == here.len() => (0..)
            .zip(there.iter().zip(here))
            .find_map(|(at, (there, here))| difference(&format!("{path}[{at}]"), there, here)),
        _ if there == here => None,
        _ => Some(format!(
            "{path} is {} there and {} here",
            short(there),
            short(here)
        )),
    }
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::Null => return "not set".to_owned(),
        Value::Array(items) => return format!("a list of {}", items.len()),
        value => value.to_string(),
    };
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn origin(recipe: Value) -> Origin {
        Origin {
            program: "1.0.0".to_owned(),
            instruction_set: "any".to_owned(),
            data: "ab".to_owned(),
            recipe,
        }
    }

    #[test]
    fn the_first_difference_is_named_with_its_place() {
        let there = origin(json!({"layers": [{"units": 8}, {"units": 1}], "fit": {"seed": 1}}));
        for (recipe, said) in [
            (
                json!({"layers": [{"units": 9}, {"units": 1}], "fit": {"seed": 1}}),
                "recipe.layers[0].units is 8 there and 9 here",
            ),
            (
                json!({"layers": [{"units": 8}], "fit": {"seed": 1}}),
                "recipe.layers is a list of 2 there and a list of 1 here",
            ),
            (
                json!({"layers": [{"units": 8}, {"units": 1}], "fit": {"seed": 1, "crop": true}}),
                "recipe.fit.crop is not set there and true here",
            ),
        ] {
            assert_eq!(there.difference(&origin(recipe)).as_deref(), Some(said));
        }
        assert_eq!(there.difference(&there), None);
        let other = Origin {
            data: "cd".repeat(32),
            ..there.clone()
        };
        let said = other.difference(&there).unwrap_or_default();
        assert!(said.starts_with("data is \"cdcd") && said.ends_with("... there and \"ab\" here"));
    }
}
