//! A request's body: of the right kind, within the limit, in time.
//!
//! The limit counts decompressed bytes, and nothing is kept beyond it.

use std::borrow::Cow;
use std::io::Read as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;

use super::error::{Code, Problem};

/// A body as it came.
#[derive(Clone, Debug)]
pub(super) struct Received {
    bytes: Bytes,
    gzip: bool,
}

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// Most bytes, after decompression.
    pub bytes: usize,
    /// Time for all of it to arrive.
    pub time: Duration,
}

impl Received {
    /// Reads a JSON body.
    pub async fn json(request: Request, limits: BodyLimits) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let gzip = is_gzip(&parts.headers)?;
        match content_type(&parts.headers) {
            Some(kind) if kind.eq_ignore_ascii_case("application/json") => {}
            Some(kind) => {
                return Err(Problem::new(
                    Code::UnsupportedMediaType,
                    format!(
                        "content-type {kind:?} is not read here: send application/json or application/x-ndjson"
                    ),
                ));
            }
            None => {
                return Err(Problem::new(
                    Code::UnsupportedMediaType,
                    "there is no content-type: send application/json or application/x-ndjson",
                ));
            }
        }
        let bytes = tokio::time::timeout(limits.time, read(&parts.headers, body, limits.bytes))
            .await
            .map_err(|_| {
                Problem::new(
                    Code::RequestTimeout,
                    format!("the body did not arrive within {:?}", limits.time),
                )
            })??;
        Ok(Self { bytes, gzip })
    }

    /// Whether it is at most so large, decompressed too.
    pub fn at_most(&self, bytes: usize) -> bool {
        !self.gzip && self.bytes.len() <= bytes
    }

    /// The body itself.
    pub fn decompressed(&self, limits: BodyLimits) -> Result<Cow<'_, [u8]>, Problem> {
        if !self.gzip {
            return Ok(Cow::Borrowed(&self.bytes));
        }
        let one_more = u64::try_from(limits.bytes).map_or(u64::MAX, |most| most.saturating_add(1));
        let mut plain = Vec::new();
        MultiGzDecoder::new(&*self.bytes)
            .take(one_more)
            .read_to_end(&mut plain)
            .map_err(|_| Problem::new(Code::MalformedJson, "the body is not gzip"))?;
        if plain.len() > limits.bytes {
            return Err(too_large(limits.bytes));
        }
        Ok(Cow::Owned(plain))
    }
}

async fn read(headers: &HeaderMap, mut body: Body, most: usize) -> Result<Bytes, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut over = announced.is_some_and(|length| length > most);
    if over && headers.contains_key(header::EXPECT) {
        return Err(too_large(most));
    }
    let mut kept = BytesMut::with_capacity(announced.unwrap_or(0).min(most));
    let mut seen = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|_| Problem::new(Code::MalformedJson, "the body broke off before its end"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen = seen.saturating_add(data.len());
        over |= seen > most;
        if !over {
            kept.extend_from_slice(&data);
        } else if seen > most.saturating_mul(4) {
            break;
        }
        // A client that is still writing would see its connection reset and not the answer, so that what is a little too
        // large is read to its end and thrown away.
    }
    if over {
        Err(too_large(most))
    } else {
        Ok(kept.freeze())
    }
}

fn too_large(most: usize) -> Problem {
    Problem::new(
        Code::BodyTooLarge,
        format!("the body has more than {most} bytes"),
    )
}

/// Without parameters.
pub(super) fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

pub(super) fn is_gzip(headers: &HeaderMap) -> Result<bool, Problem> {
    let encodings = token_list(headers, header::CONTENT_ENCODING);
    match encodings.as_slice() {
        [] => Ok(false),
        [one] if one == "identity" => Ok(false),
        [one] if one == "gzip" || one == "x-gzip" => Ok(true),
        _ => Err(Problem::new(
            Code::UnsupportedMediaType,
            "content-encoding can be gzip or identity",
        )),
    }
}

fn token_list(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let values = headers.get_all(name);
    values
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(|token| String::from_utf8_lossy(token).trim().to_ascii_lowercase())
        .filter(|token| !token.is_empty())
        .collect()
}
