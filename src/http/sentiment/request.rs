//! The body of `POST /v1/sentiment`, parsed strictly: exactly one of three shapes, and nothing that is not known.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::http::error::{Code, Problem};

/// A request, borrowing its texts from the body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SentimentRequest<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    text: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "given")]
    texts: Option<Vec<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "given")]
    reviews: Option<Vec<Object<Review<'a>>>>,
    /// `naver` or `naver@3`.
    #[serde(default)]
    pub model: Option<String>,
    /// Of every text that does not say its own.
    #[serde(default)]
    pub language: Option<String>,
    /// Whether each sentence is answered too.
    #[serde(default)]
    pub sentences: bool,
    /// Whether to say what each part of a text contributes.
    #[serde(default)]
    pub explain: bool,
}

/// Borrows also inside of a list.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// One text with a name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Review<'a> {
    /// Comes back with the answer.
    #[serde(default)]
    pub id: Option<String>,
    /// What is read.
    #[serde(borrow)]
    pub text: Text<'a>,
    /// Its language.
    #[serde(default)]
    pub language: Option<String>,
}

impl<'a> Review<'a> {
    /// Parses a line of a stream: a review, or a text alone.
    pub fn parse(line: &'a [u8]) -> Result<Self, Problem> {
        let parsed = match line.trim_ascii_start().first() {
            Some(b'{') => serde_json::from_slice(line).map(|Object(review)| review),
            _ => serde_json::from_slice(line).map(|text| Self {
                id: None,
                text,
                language: None,
            }),
        };
        parsed.map_err(|error| refusal(line, &error))
    }
}

/// Written with braces: what serde derives would also read a list of the fields' values.
#[derive(Debug)]
pub(in crate::http) struct Object<T>(pub T);

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

/// A field that may be left out but not be null.
fn given<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// The texts of a request.
#[derive(Debug)]
pub(super) enum Texts<'a> {
    /// One, answered by itself.
    One(Text<'a>),
    /// A list, answered by a list.
    Many(Vec<Review<'a>>),
}

impl<'a> SentimentRequest<'a> {
    /// Parses a body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body)
            .map(|Object(request)| request)
            .map_err(|error| refusal(body, &error))
    }

    /// The texts, of which there must be exactly one kind.
    pub fn take_texts(&mut self) -> Result<Texts<'a>, Problem> {
        match (self.text.take(), self.texts.take(), self.reviews.take()) {
            (Some(text), None, None) => Ok(Texts::One(text)),
            (None, Some(texts), None) => {
                let unnamed = |text| Review {
                    id: None,
                    text,
                    language: None,
                };
                Ok(Texts::Many(texts.into_iter().map(unnamed).collect()))
            }
            (None, None, Some(reviews)) => {
                let reviews = reviews.into_iter().map(|Object(review)| review);
                Ok(Texts::Many(reviews.collect()))
            }
            _ => Err(Problem::new(
                Code::InvalidRequest,
                "exactly one of text, texts and reviews must be given",
            )),
        }
    }
}

/// What is not JSON is malformed; what is JSON and not a request is invalid, and told where.
fn refusal(body: &[u8], error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(Code::MalformedJson, error.to_string());
    }
    // Read again only to learn the place, which costs too much to keep track of in every request.
    let reader = &mut serde_json::Deserializer::from_slice(body);
    let detail = match serde_path_to_error::deserialize::<_, Object<SentimentRequest>>(reader) {
        Err(error) if error.path().iter().len() > 0 => {
            format!(
                "{}: {}",
                error.path(),
                without_value(&error.inner().to_string())
            )
        }
        _ => without_value(&error.to_string()),
    };
    Problem::new(Code::InvalidRequest, shortened(detail))
}

/// serde quotes the value that it refuses, which may be a text, and texts stay out of errors.
pub(in crate::http) fn without_value(message: &str) -> String {
    match (
        message.starts_with("invalid "),
        message.rfind(", expected "),
    ) {
        (true, Some(at)) => message[at + 2..].to_owned(),
        _ => message.to_owned(),
    }
}

/// A field's name can be as long as the body.
pub(in crate::http) fn shortened(message: String) -> String {
    const MOST: usize = 300;
    match message.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &message[..end]),
        None => message,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn refused(body: &str) -> (Code, String) {
        let problem = SentimentRequest::parse(body.as_bytes())
            .and_then(|mut request| request.take_texts().map(|_| ()))
            .unwrap_err();
        (problem.code, problem.detail)
    }

    #[test]
    fn a_refusal_names_the_place_and_keeps_the_text_out() {
        for (body, code, detail) in [
            (r#"{"text": "#, Code::MalformedJson, "EOF"),
            (r#"{"text": "\ud800"}"#, Code::MalformedJson, "hex escape"),
            (r#"{"text": "a"} x"#, Code::MalformedJson, "trailing"),
            (
                r#"{"textt": "a"}"#,
                Code::InvalidRequest,
                "unknown field `textt`",
            ),
            (
                r#"{"text": "a", "text": "b"}"#,
                Code::InvalidRequest,
                "duplicate field `text`",
            ),
            (r#"{"text": 7}"#, Code::InvalidRequest, "text: expected"),
            (
                r#"{"texts": "secret"}"#,
                Code::InvalidRequest,
                "texts: expected a sequence",
            ),
            (
                r#"{"texts": ["a", {"x": 1}]}"#,
                Code::InvalidRequest,
                "texts[1]: expected",
            ),
            (
                r#"{"reviews": [{"id": "a"}]}"#,
                Code::InvalidRequest,
                "reviews[0]: missing field `text`",
            ),
            (
                r#"{"reviews": [{"text": "secret", "lang": "ko"}]}"#,
                Code::InvalidRequest,
                "unknown field `lang`",
            ),
            (r#"["secret"]"#, Code::InvalidRequest, "expected an object"),
            (
                r#"{"reviews": [["secret", "secret"]]}"#,
                Code::InvalidRequest,
                "reviews[0]: expected an object",
            ),
            (r#"{"text": null}"#, Code::InvalidRequest, "text: expected"),
            (r#"{}"#, Code::InvalidRequest, "exactly one of"),
            (
                r#"{"text": "secret", "texts": []}"#,
                Code::InvalidRequest,
                "exactly one of",
            ),
        ] {
            let (found, message) = refused(body);
            assert_eq!(found, code, "{body}: {message}");
            assert!(
                message.contains(detail),
                "{body}: {message:?} lacks {detail:?}"
            );
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn texts_are_borrowed_from_the_body() {
        let body = r#"{"texts": ["plain", "escaped\n"]}"#;
        let mut request = SentimentRequest::parse(body.as_bytes()).unwrap();
        let Texts::Many(texts) = request.take_texts().unwrap() else {
            panic!("a list is answered by a list");
        };
        assert!(matches!(texts[0].text.0, Cow::Borrowed("plain")));
        assert_eq!(texts[1].text.0, "escaped\n");
    }
}
