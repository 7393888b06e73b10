//! The body of `infer`: one tensor of texts, and which tensors are wanted of them.
//!
//! A tensor's shape is looked at before its data, so that no more is ever read of these than a request may have.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Output;
use crate::http::error::{Code, Problem};
use crate::http::json::{self, Object, shortened, without_value};

/// The input that every model has.
pub(super) const INPUT: &str = "text";

/// A request as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(default, deserialize_with = "json::short_id")]
    id: Option<String>,
    #[serde(default, rename = "parameters")]
    _parameters: Option<Parameters>,
    #[serde(borrow)]
    inputs: Vec<Object<Tensor<'a>>>,
    #[serde(borrow, default)]
    outputs: Option<Vec<Object<Wanted<'a>>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    shape: Vec<u64>,
    #[serde(default, rename = "parameters")]
    _parameters: Option<Parameters>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default, rename = "parameters")]
    _parameters: Option<Parameters>,
}

/// What some servers are told besides: an object, on which nothing here depends.
type Parameters = Object<IgnoredAny>;

/// A request whose tensor is what it says.
#[derive(Debug)]
pub(super) struct InferRequest<'a> {
    /// Comes back with the answer.
    pub id: Option<String>,
    /// The texts.
    pub texts: Vec<Cow<'a, str>>,
    /// `[n]` or `[n, 1]`: that of the answer's tensors too.
    pub shape: Vec<u64>,
    /// Each at most once.
    pub outputs: Vec<Output>,
}

impl<'a> InferRequest<'a> {
    /// Parses a body with at most so many texts.
    pub fn parse(body: &'a [u8], most: usize) -> Result<Self, Problem> {
        let written: Written = json::parse(body)?;
        let [Object(tensor)] = &written.inputs[..] else {
            let found = written.inputs.len();
            return Err(invalid(format!(
                "inputs has {found} tensors, and a model takes the one that is named {INPUT:?}"
            )));
        };
        if tensor.name != INPUT {
            return Err(invalid(format!(
                "there is no input {:?}: a model takes the one that is named {INPUT:?}",
                tensor.name
            )));
        }
        if tensor.datatype != "BYTES" {
            return Err(invalid(format!(
                "inputs[0].datatype is {:?}, and {INPUT:?} is BYTES",
                tensor.datatype
            )));
        }
        let count = match tensor.shape[..] {
            [count] | [count, 1] => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err(invalid("inputs[0].shape must be [n] or [n, 1]")),
        };
        if count > most {
            return Err(Problem::new(
                Code::TooManyItems,
                format!("{count} texts, where {most} may come at once"),
            ));
        }
        let reader = &mut serde_json::Deserializer::from_str(tensor.data.get());
        let texts = Data(count).deserialize(reader).map_err(|error| Problem {
            detail: format!("inputs[0].data: {}", said(&error)),
            ..refusal(error)
        })?;
        let shape = tensor.shape.clone();
        Ok(Self {
            texts,
            shape,
            outputs: outputs(written.outputs.unwrap_or_default())?,
            id: written.id,
        })
    }
}

/// All where none is named.
fn outputs(wanted: Vec<Object<Wanted>>) -> Result<Vec<Output>, Problem> {
    if wanted.is_empty() {
        return Ok(Output::ALL.to_vec());
    }
    let mut outputs = Vec::new();
    for Object(wanted) in wanted {
        let mut known = Output::ALL.into_iter();
        let Some(output) = known.find(|known| known.name() == wanted.name) else {
            return Err(invalid(format!(
                "there is no output {:?}: there are label, score and raw_score",
                wanted.name
            )));
        };
        if outputs.contains(&output) {
            return Err(invalid(format!(
                "output {:?} is asked for twice",
                wanted.name
            )));
        }
        outputs.push(output);
    }
    Ok(outputs)
}

/// So many texts, each by itself or in a row of one.
struct Data(usize);

impl<'de> DeserializeSeed<'de> for Data {
    type Value = Vec<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Data {
    type Value = Vec<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let Self(count) = self;
        let mut texts = Vec::with_capacity(count);
        while texts.len() < count {
            let Some(Element(text)) = elements.next_element()? else {
                let found = texts.len();
                return Err(A::Error::custom(format!(
                    "{found} elements, where the shape says {count}"
                )));
            };
            texts.push(text);
        }
        match elements.next_element::<IgnoredAny>()? {
            Some(_) => Err(A::Error::custom(format!(
                "more elements than the {count} that the shape says"
            ))),
            None => Ok(texts),
        }
    }
}

struct Element<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Element<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;

        impl<'de> Visitor<'de> for One {
            type Value = Element<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Element(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Element(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                #[serde(transparent)]
                struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

                let text = row.next_element::<Text>()?;
                match (text, row.next_element::<IgnoredAny>()?) {
                    (Some(Text(text)), None) => Ok(Element(text)),
                    _ => Err(A::Error::custom("a row must be one string")),
                }
            }
        }

        deserializer.deserialize_any(One)
    }
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, shortened(detail.into()))
}

fn refusal(error: serde_json::Error) -> Problem {
    if error.is_data() {
        invalid(said(&error))
    } else {
        Problem::new(Code::MalformedJson, error.to_string())
    }
}

fn said(error: &serde_json::Error) -> String {
    without_value(&error.to_string())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    type Parsed = (Vec<String>, Vec<u64>, Vec<Output>);

    fn parsed(body: &str) -> Result<Parsed, (Code, String)> {
        InferRequest::parse(body.as_bytes(), 3)
            .map(|request| {
                let texts = request.texts.into_iter().map(Cow::into_owned).collect();
                (texts, request.shape, request.outputs)
            })
            .map_err(|problem| (problem.code, problem.detail))
    }

    fn with(shape: &str, data: &str) -> String {
        format!(
            r#"{{"inputs": [{{"name": "text", "datatype": "BYTES", "shape": {shape}, "data": {data}}}]}}"#
        )
    }

    #[test]
    fn a_tensor_is_flat_or_has_rows_of_one() {
        for (shape, data) in [
            ("[2]", r#"["a", "\ub098"]"#),
            ("[2, 1]", r#"[["a"], ["나"]]"#),
            ("[2, 1]", r#"["a", "나"]"#),
        ] {
            let (texts, found, outputs) = parsed(&with(shape, data)).unwrap();
            assert_eq!(texts, ["a", "나"], "{shape} {data}");
            assert_eq!(
                json!(found),
                serde_json::from_str::<serde_json::Value>(shape).unwrap()
            );
            assert_eq!(outputs, Output::ALL);
        }
        assert_eq!(parsed(&with("[0]", "[]")).unwrap().0, [""; 0]);
    }

    #[test]
    fn a_tensor_that_is_not_what_it_says_is_refused() {
        let text = |data: &str| with("[2]", data);
        for (body, part) in [
            (text(r#"["secret"]"#), "1 elements, where the shape says 2"),
            (
                text(r#"["secret", "secret", "secret"]"#),
                "more elements than the 2",
            ),
            (
                text(r#"["secret", 7]"#),
                "inputs[0].data: expected a string",
            ),
            (
                text(r#"["secret", ["secret", "secret"]]"#),
                "a row must be one string",
            ),
            (text(r#"["secret", null]"#), "expected a string"),
            (text(r#""secret""#), "expected a list of strings"),
            (
                with("[1, 2]", r#"["secret", "secret"]"#),
                "shape must be [n] or [n, 1]",
            ),
            (with("[]", "[]"), "shape must be"),
            (with("[-1]", "[]"), "expected u64"),
            (text("[]").replace("BYTES", "FP32"), "datatype is \"FP32\""),
            (
                text("[]").replace("\"text\"", "\"texts\""),
                "no input \"texts\"",
            ),
            (r#"{"inputs": []}"#.into(), "inputs has 0 tensors"),
            (r#"{}"#.into(), "missing field `inputs`"),
            (
                r#"{"inputs": [], "model": 1}"#.into(),
                "unknown field `model`",
            ),
            (r#"["secret"]"#.into(), "expected an object"),
            (
                r#"{"inputs": [], "parameters": ["secret"]}"#.into(),
                "expected an object",
            ),
        ] {
            let (code, detail) = parsed(&body).unwrap_err();
            assert_eq!(code, Code::InvalidRequest, "{body}: {detail}");
            assert!(detail.contains(part), "{body}: {detail}");
            assert!(!detail.contains("secret"), "{body}: {detail}");
        }
        let many = parsed(&with("[4]", r#"["a", "b", "c", "d"]"#)).unwrap_err();
        assert_eq!(many.0, Code::TooManyItems);
        for body in [
            "{".to_owned(),
            with("[1]", r#"["\ud800"]"#),
            with("[1]", "["),
        ] {
            assert_eq!(parsed(&body).unwrap_err().0, Code::MalformedJson, "{body}");
        }
    }

    #[test]
    fn outputs_come_as_they_were_asked_for() {
        let ask = |outputs: &str| {
            let body = with("[1]", r#"["a"]"#);
            parsed(&format!(
                "{}, \"outputs\": {outputs}}}",
                &body[..body.len() - 1]
            ))
        };
        let asked =
            ask(r#"[{"name": "score", "parameters": {"binary_data": true}}, {"name": "label"}]"#);
        assert_eq!(asked.unwrap().2, [Output::Score, Output::Label]);
        assert_eq!(ask("[]").unwrap().2, Output::ALL);
        for (outputs, part) in [
            (r#"[{"name": "logit"}]"#, "no output \"logit\""),
            (r#"[{"name": "score"}, {"name": "score"}]"#, "twice"),
        ] {
            assert!(ask(outputs).unwrap_err().1.contains(part), "{outputs}");
        }
    }
}
