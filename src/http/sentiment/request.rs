//! The body of `POST /v1/sentiment`, parsed strictly: exactly one of three shapes, and nothing that is not known.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::http::error::{Code, Problem};
use crate::http::json::{self, Object, parse, parse_with};

/// A request, borrowing its texts from the body.
#[derive(Debug, Default)]
pub(super) struct SentimentRequest<'a> {
    text: Option<Text<'a>>,
    texts: Option<List<Text<'a>>>,
    reviews: Option<List<Object<Review<'a>>>>,
    /// `naver` or `naver@3`.
    pub model: Option<String>,
    /// Of every text that does not say its own.
    pub language: Option<String>,
    /// Whether each sentence is answered too.
    pub sentences: bool,
    /// Whether to say what each part of a text contributes.
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
    #[serde(default, deserialize_with = "json::short_id")]
    pub id: Option<String>,
    /// What is read.
    #[serde(borrow)]
    pub text: Text<'a>,
    /// Its language.
    #[serde(default)]
    pub language: Option<String>,
}

impl<'a> Review<'a> {
    /// A text alone.
    pub fn unnamed(text: Text<'a>) -> Self {
        Self {
            id: None,
            text,
            language: None,
        }
    }

    /// Parses a line of a stream: a review, or a text alone.
    pub fn parse(line: &'a [u8]) -> Result<Self, Problem> {
        match line.trim_ascii_start().first() {
            Some(b'{') => parse(line),
            _ => parse_with(line, PhantomData).map(Self::unnamed),
        }
    }
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
    /// Parses a body that may have so many texts.
    pub fn parse(body: &'a [u8], most: usize) -> Result<Self, Problem> {
        parse_with(body, AtMost(most))
    }

    /// The texts, of which there must be exactly one kind.
    pub fn take_texts(&mut self) -> Result<Texts<'a>, Problem> {
        match (self.text.take(), self.texts.take(), self.reviews.take()) {
            (Some(text), None, None) => Ok(Texts::One(text)),
            (None, Some(texts), None) => {
                let texts = texts.all()?.into_iter().map(Review::unnamed);
                Ok(Texts::Many(texts.collect()))
            }
            (None, None, Some(reviews)) => {
                let reviews = reviews.all()?.into_iter().map(|Object(review)| review);
                Ok(Texts::Many(reviews.collect()))
            }
            _ => Err(Problem::new(
                Code::InvalidRequest,
                "exactly one of text, texts and reviews must be given",
            )),
        }
    }
}

/// A list, of which no more is kept than a request may have: millions of empty texts fit into a body.
#[derive(Debug)]
struct List<T> {
    kept: Vec<T>,
    count: usize,
}

impl<T> List<T> {
    fn all(self) -> Result<Vec<T>, Problem> {
        let (count, most) = (self.count, self.kept.len());
        if count > most {
            return Err(Problem::new(
                Code::TooManyItems,
                format!("{count} texts, where {most} may come at once"),
            ));
        }
        Ok(self.kept)
    }
}

/// Reads a request with at most so many texts.
#[derive(Clone, Copy)]
struct AtMost(usize);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Text,
    Texts,
    Reviews,
    Model,
    Language,
    Sentences,
    Explain,
}

impl<'de> DeserializeSeed<'de> for AtMost {
    type Value = SentimentRequest<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for AtMost {
    type Value = SentimentRequest<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut request = SentimentRequest::default();
        let (mut model, mut language) = (None, None);
        let (mut sentences, mut explain) = (None, None);
        while let Some(field) = fields.next_key()? {
            let fields = &mut fields;
            match field {
                Field::Text => once(&mut request.text, "text", fields, PhantomData)?,
                Field::Texts => once(&mut request.texts, "texts", fields, self.list())?,
                Field::Reviews => once(&mut request.reviews, "reviews", fields, self.list())?,
                Field::Model => once(&mut model, "model", fields, PhantomData)?,
                Field::Language => once(&mut language, "language", fields, PhantomData)?,
                Field::Sentences => once(&mut sentences, "sentences", fields, PhantomData)?,
                Field::Explain => once(&mut explain, "explain", fields, PhantomData)?,
            }
        }
        (request.model, request.language) = (model.flatten(), language.flatten());
        request.sentences = sentences.unwrap_or_default();
        request.explain = explain.unwrap_or_default();
        Ok(request)
    }
}

impl AtMost {
    fn list<T>(self) -> ListAtMost<T> {
        ListAtMost(self.0, PhantomData)
    }
}

/// Reads a field's value, which may come once.
fn once<'de, A: MapAccess<'de>, S: DeserializeSeed<'de>>(
    place: &mut Option<S::Value>,
    name: &'static str,
    fields: &mut A,
    seed: S,
) -> Result<(), A::Error> {
    if place.is_some() {
        return Err(A::Error::duplicate_field(name));
    }
    *place = Some(fields.next_value_seed(seed)?);
    Ok(())
}

/// Reads a list and keeps at most so many of it.
struct ListAtMost<T>(usize, PhantomData<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for ListAtMost<T> {
    type Value = List<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<List<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListAtMost<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
        let mut list = List {
            kept: Vec::new(),
            count: 0,
        };
        while let Some(item) = items.next_element()? {
            list.count += 1;
            if list.count <= self.0 {
                list.kept.push(item);
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn refused(body: &str) -> (Code, String) {
        let problem = SentimentRequest::parse(body.as_bytes(), 3)
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
        let mut request = SentimentRequest::parse(body.as_bytes(), 3).unwrap();
        let Texts::Many(texts) = request.take_texts().unwrap() else {
            panic!("a list is answered by a list");
        };
        assert!(matches!(texts[0].text.0, Cow::Borrowed("plain")));
        assert_eq!(texts[1].text.0, "escaped\n");
    }

    #[test]
    fn of_too_long_a_list_no_more_is_kept_than_may_come() {
        for (body, count) in [
            (r#"{"texts": ["a", "b", "c"]}"#, None),
            (r#"{"texts": ["a", "b", "c", "d"]}"#, Some("4 texts")),
            (
                r#"{"reviews": [{"text": "a"}, {"text": "a"}, {"text": "a"}, {"text": "a"}, {"text": "a"}]}"#,
                Some("5 texts"),
            ),
        ] {
            let mut request = SentimentRequest::parse(body.as_bytes(), 3).unwrap();
            let kept = request.texts.iter().map(|list| list.kept.len());
            let kept: usize = kept
                .chain(request.reviews.iter().map(|list| list.kept.len()))
                .sum();
            assert_eq!(kept, 3, "{body}");
            let refused = request.take_texts().err().map(|problem| problem.detail);
            assert_eq!(refused.is_some(), count.is_some());
            assert!(
                refused
                    .unwrap_or_default()
                    .contains(count.unwrap_or_default())
            );
        }
        // What is not kept is read all the same.
        let (code, message) = refused(r#"{"texts": ["a", "b", "c", 4]}"#);
        assert_eq!(code, Code::InvalidRequest, "{message}");
        assert!(message.contains("texts[3]"), "{message}");
    }
}
