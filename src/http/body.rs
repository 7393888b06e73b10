//! A request's body: of the right kind, within the limit, in time.
//!
//! The limit counts decompressed bytes, and nothing is kept beyond it.

use std::borrow::Cow;
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use super::Shared;
use super::budget::Held;
use super::error::{Code, Problem};
use super::json;

/// A body as it came.
#[derive(Debug)]
pub(super) struct Received {
    bytes: Bytes,
    gzip: bool,
    /// As many bytes are held for it, until it goes.
    _held: Held,
}

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// Most bytes, after decompression.
    pub bytes: usize,
    /// Time for all of it to arrive.
    pub time: Duration,
}

/// Bytes for which there is room before any has come: what a client announces it need not send.
const FIRST: usize = 64 << 10;

/// Bytes that are parsed and encoded well within half a millisecond.
const SMALL: usize = 16 << 10;

/// What most paths read.
pub(super) const JSON: &str = "application/json";

impl Received {
    /// Reads a JSON body; `kinds` are those that the path reads, for who sends another.
    pub async fn json(request: Request, shared: &Shared, kinds: &str) -> Result<Self, Problem> {
        let limits = shared.body_limits();
        let (parts, body) = request.into_parts();
        let gzip = is_gzip(&parts.headers)?;
        match content_type(&parts.headers) {
            Some(kind) if kind.eq_ignore_ascii_case(JSON) => {}
            Some(kind) => {
                return Err(Problem::new(
                    Code::UnsupportedMediaType,
                    format!("content-type {kind:?} is not read here: send {kinds}"),
                ));
            }
            None => {
                return Err(Problem::new(
                    Code::UnsupportedMediaType,
                    format!("there is no content-type: send {kinds}"),
                ));
            }
        }
        let held = shared.budget.hold();
        let reading = read(&parts.headers, body, limits.bytes, held);
        let (bytes, held) = tokio::time::timeout(limits.time, reading)
            .await
            .map_err(|_| {
                Problem::new(
                    Code::RequestTimeout,
                    format!("the body did not arrive within {:?}", limits.time),
                )
            })??;
        Ok(Self {
            bytes,
            gzip,
            _held: held,
        })
    }

    /// What `work` makes of the body: here where that is a matter of a moment, else in its turn. What the body held is given back
    /// then.
    pub async fn work_on<T, W>(
        self,
        shared: &Arc<Shared>,
        deadline: Instant,
        work: W,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        W: FnOnce(&Shared, &[u8]) -> Result<T, Problem> + Send + 'static,
    {
        if self.gzip || self.bytes.len() > SMALL {
            return self.work_in_turn(shared, deadline, work).await;
        }
        work(shared, &self.bytes)
    }

    /// What `work` makes of the body, in its turn on a thread that may take its time.
    pub async fn work_in_turn<T, W>(
        self,
        shared: &Arc<Shared>,
        deadline: Instant,
        work: W,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        W: FnOnce(&Shared, &[u8]) -> Result<T, Problem> + Send + 'static,
    {
        let own = Arc::clone(shared);
        let work = move || work(&own, &self.decompressed(own.body_limits())?);
        shared.turns.take(deadline, work).await
    }

    /// The body itself.
    fn decompressed(&self, limits: BodyLimits) -> Result<Cow<'_, [u8]>, Problem> {
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

/// The object that a body is, read on a thread that may take its time.
pub(super) async fn object<T>(request: Request, shared: &Arc<Shared>) -> Result<T, Problem>
where
    T: DeserializeOwned + Send + 'static,
{
    let received = Received::json(request, shared, JSON).await?;
    let deadline = Instant::now() + shared.limits.deadline;
    received
        .work_on(shared, deadline, |_, body| json::parse(body))
        .await
}

async fn read(
    headers: &HeaderMap,
    mut body: Body,
    most: usize,
    mut held: Held,
) -> Result<(Bytes, Held), Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(too_large(most));
    }
    let mut kept = BytesMut::with_capacity(announced.unwrap_or(0).min(most).min(FIRST));
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|_| Problem::new(Code::MalformedJson, "the body broke off before its end"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > most - kept.len() {
            return Err(too_large(most));
        }
        held.set(kept.len() + data.len())?;
        kept.extend_from_slice(&data);
    }
    Ok((kept.freeze(), held))
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
