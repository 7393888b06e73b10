//! JSON bodies, parsed strictly: an object where one is due, nothing that is not known, and nothing of a value in a refusal.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::error::{self, Code, Problem};

/// Characters of a refusal: a field's name can be as long as the body.
const MOST: usize = 300;

/// Characters of an id: a stream keeps those of all lines under way.
const LONGEST_ID: usize = 1_024;

/// Written with braces: what serde derives would also read a list of the fields' values.
#[derive(Debug)]
pub(super) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }

        deserializer
            .deserialize_map(Fields(PhantomData))
            .map(Object)
    }
}

/// An id that comes back with the answer.
pub(super) fn short_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let id = Option::<String>::deserialize(deserializer)?;
    match &id {
        Some(long) if long.len() > LONGEST_ID && long.chars().count() > LONGEST_ID => Err(
            D::Error::custom(format!("more than {LONGEST_ID} characters")),
        ),
        _ => Ok(id),
    }
}

/// Parses a body that is an object.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    parse_with(body, PhantomData::<Object<T>>).map(|Object(value)| value)
}

/// Parses a body as the seed says.
pub(super) fn parse_with<'a, S>(body: &'a [u8], seed: S) -> Result<S::Value, Problem>
where
    S: DeserializeSeed<'a> + Copy,
{
    let reader = &mut serde_json::Deserializer::from_slice(body);
    seed.deserialize(&mut *reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| refusal(body, seed, &error))
}

/// What is not JSON is malformed; what is JSON and not a request is invalid, and told where.
fn refusal<'a, S>(body: &'a [u8], seed: S, error: &serde_json::Error) -> Problem
where
    S: DeserializeSeed<'a>,
{
    if !error.is_data() {
        return Problem::new(Code::MalformedJson, error.to_string());
    }
    // Read again only to learn the place, which costs too much to keep track of in every request.
    let reader = &mut serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let again = seed.deserialize(serde_path_to_error::Deserializer::new(reader, &mut track));
    let path = track.path();
    let detail = match again {
        Err(error) if path.iter().len() > 0 => {
            format!("{path}: {}", without_value(&error.to_string()))
        }
        _ => without_value(&error.to_string()),
    };
    Problem::new(Code::InvalidRequest, shortened(detail))
}

/// The beginning of a refusal.
pub(super) fn shortened(detail: String) -> String {
    error::shortened(detail, MOST)
}

/// serde quotes the value that it refuses, which may be a text, and texts stay out of errors.
pub(super) fn without_value(message: &str) -> String {
    let quoted = message.starts_with("invalid ") || message.starts_with("unknown variant ");
    match (quoted, message.rfind(", expected ")) {
        (true, Some(at)) => message[at + 2..].to_owned(),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::sentiment::Label;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is refused matters")]
    struct Sent {
        text: String,
        label: Label,
    }

    #[test]
    fn a_value_stays_out_of_what_is_said_of_it() {
        let long = format!(r#"{{"{}": 1}}"#, "x".repeat(10_000));
        for (body, code, part) in [
            (r#"{"text": "#, Code::MalformedJson, "EOF"),
            (r#""secret""#, Code::InvalidRequest, "expected an object"),
            (r#"["secret"]"#, Code::InvalidRequest, "expected an object"),
            (r#"{"text": 7}"#, Code::InvalidRequest, "text: expected"),
            (
                r#"{"text": "a", "label": "secret"}"#,
                Code::InvalidRequest,
                "label: expected",
            ),
            (r#"{"text": "a"}"#, Code::InvalidRequest, "missing field"),
            (r#"{"texts": "secret"}"#, Code::InvalidRequest, "`texts`"),
            (&long, Code::InvalidRequest, "xxx"),
        ] {
            let problem = parse::<Sent>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code, code, "{}", problem.detail);
            assert!(problem.detail.contains(part), "{}", problem.detail);
            assert!(!problem.detail.contains("secret"), "{}", problem.detail);
            assert!(problem.detail.len() < 400, "{}", problem.detail);
        }
    }
}
