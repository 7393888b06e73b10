//! `POST /v1/sentiment` with `application/x-ndjson`: a review or a string a line in, an answer a line out, in order, while the
//! body is still being read.
//!
//! A full queue slows the reading down; so does a client that does not read its answers. Nothing is kept beyond the lines
//! under way.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::answer::{Failed, Found, Outcome};
use super::request::Review;
use super::{ask, look, seen, too_many_rows};
use crate::catalog::{Route, Wish};
use crate::engine::{Ask, Closer, Engine, Prediction, Seen, Terms, Ticket};
use crate::http::Shared;
use crate::http::body::is_gzip;
use crate::http::error::{Code, Problem};
use crate::http::lines::{Line, LineLimits, Lines};

/// What the body and its answers are.
pub(super) const KIND: &str = "application/x-ndjson";

/// Lines under way at once: enough to fill batches with lines of one length, also while some that are done wait for their turn.
const UNDER_WAY: usize = 1_024;

/// The same where each line brings rows of its own.
const CLOSER_UNDER_WAY: usize = 16;

/// What a request says of all lines.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    model: Option<String>,
    language: Option<String>,
    #[serde(default)]
    sentences: bool,
    #[serde(default)]
    explain: bool,
}

impl Options {
    fn closer(&self) -> Closer {
        Closer {
            sentences: self.sentences,
            explain: self.explain,
        }
    }
}

/// Answers line by line.
pub(super) fn answer(shared: Arc<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let Query(options) = Query::<Options>::try_from_uri(&parts.uri)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("query: {error}")))?;
    let under_way = match options.closer().any() {
        true => CLOSER_UNDER_WAY,
        false => UNDER_WAY,
    };
    let options = Arc::new(options);
    let limits = LineLimits {
        // A character outside of the basic plane is twelve bytes when it is escaped.
        line: shared
            .limits
            .max_characters
            .saturating_mul(12)
            .saturating_add(4096),
        idle: shared.limits.idle,
    };
    let stopping = shared.stopping.subscribe();
    let lines = Lines::new(body, is_gzip(&parts.headers)?, limits, stopping);
    let lines = futures_util::stream::unfold((lines, 0), |(mut lines, index)| async move {
        let line = lines.next().await?;
        Some(((index, line), (lines, index + 1)))
    });
    let answers = lines
        .map(move |(index, line)| {
            let (shared, options) = (Arc::clone(&shared), Arc::clone(&options));
            async move { Ok::<_, Infallible>(written(&shared, &options, index, line).await) }
        })
        .buffered(under_way);
    let mut response = Response::new(Body::from_stream(answers));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(KIND));
    Ok(response)
}

async fn written(shared: &Shared, options: &Options, index: usize, line: Line) -> Bytes {
    let mut id = None;
    let found = match line {
        Line::Whole(line) => found(shared, options, &line, &mut id).await,
        Line::TooLong => Err(Problem::new(Code::TextTooLong, "the line is too long")),
        Line::Broken(problem) => Err(problem),
    };
    let outcome = match found {
        Ok((route, prediction, seen)) => Outcome::Found(Found::new(id, route, prediction, seen)),
        Err(problem) => {
            let reason = problem.code.as_str();
            shared.metrics.rejected.with_label_values(&[reason]).inc();
            Outcome::Failed(Failed::new(index, id, problem))
        }
    };
    // Strings and numbers always have a JSON form.
    let mut line = serde_json::to_vec(&outcome).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

async fn found(
    shared: &Shared,
    options: &Options,
    line: &[u8],
    id: &mut Option<String>,
) -> Result<(Route, Prediction, Seen), Problem> {
    let review = Review::parse(line)?;
    *id = review.id;
    let wish = Wish {
        model: options.model.as_deref(),
        language: review.language.as_deref().or(options.language.as_deref()),
    };
    let (route, ask) = ask(shared, &review.text.0, wish)?;
    let (look, rows) = look(&route.engine, &review.text.0, &ask, options.closer());
    let most = shared.limits.max_items;
    if rows.len() >= most {
        return Err(too_many_rows(most));
    }
    let ticket = entered(shared, &route.engine, ask).await?;
    let mut tickets = Vec::with_capacity(rows.len());
    for row in rows {
        tickets.push(entered(shared, &route.engine, row).await?);
    }
    let (prediction, seen) = seen(&route.engine, ticket, look, tickets).await?;
    Ok((route, prediction, seen))
}

/// Lets a row in as soon as it has a place.
async fn entered(shared: &Shared, engine: &Engine, ask: Ask) -> Result<Ticket, Problem> {
    // Until then the line waits because its own stream, or others, are fast: no reason to refuse it.
    let place = engine.place(Instant::now() + shared.limits.idle).await?;
    let deadline = Instant::now() + shared.limits.deadline;
    let terms = Terms {
        deadline: Some(deadline),
        bulk: true,
    };
    let ticket = engine.submit(vec![ask], place, terms).pop();
    Ok(ticket.expect("one text has one ticket"))
}
