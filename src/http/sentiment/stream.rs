//! `POST /v1/sentiment` with `application/x-ndjson`: a review or a string a line in, an answer a line out, in order, while the
//! body is still being read.
//!
//! A full queue slows the reading down; so does a client that does not read its answers. A line is encoded as soon as it is whole,
//! and the next is read once it has its place in the queue: what is kept of the lines under way is little, however long they were.
//! That happens in a task of its own: a place that is given to a line is used at once, also where the client takes no answers.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::answer::{Failed, Found, Outcome};
use super::request::Review;
use super::{look, route, seen, too_many_rows};
use crate::catalog::{Route, Wish};
use crate::engine::{Ask, Closer, Engine, Look, Prediction, Seen, Terms, Ticket};
use crate::http::Shared;
use crate::http::body::is_gzip;
use crate::http::budget::Held;
use crate::http::error::{Code, Problem};
use crate::http::lines::{Line, LineLimits, Lines};
use crate::metrics::Metrics;

/// What the body and its answers are.
pub(super) const KIND: &str = "application/x-ndjson";

/// Lines under way at once: enough to fill batches with lines of like length, also while some that are done wait for their turn.
const UNDER_WAY: usize = 1_024;

/// The same where each line brings rows of its own.
const CLOSER_UNDER_WAY: usize = 16;

/// Lines that have entered their queue and wait for the answers of others to be taken.
const ENTERED: usize = 16;

/// Bytes that are kept of a line under way, or of its answer, besides its id.
const KEPT: usize = 256;

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
    let held = shared.budget.hold_patiently();
    let lines = Lines::new(body, is_gzip(&parts.headers)?, limits, held, stopping);
    let metrics = Arc::clone(&shared.metrics);
    let (entering, mut entered) = mpsc::channel(ENTERED);
    let task = tokio::spawn(async move {
        let all = enter_all(&shared, &options, lines, &entering);
        // Nobody wants the answers of a client that has gone.
        tokio::select! {
            () = all => {}
            () = entering.closed() => {}
        }
    });
    let answers = stream::poll_fn(move |cx| entered.poll_recv(cx))
        .map(move |entered: Entered| {
            let metrics = Arc::clone(&metrics);
            async move { entered.written(&metrics).await }
        })
        .buffered(under_way)
        // Given back as the line goes out.
        .map(|(line, _held)| Ok(line))
        // Lines that broke off are not taken for all of them.
        .chain(stream::once(task).filter_map(async |ended| ended.err().map(Err)));
    let mut response = Response::new(Body::from_stream(answers));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(KIND));
    Ok(response)
}

/// Lets line after line into its queue, until the last one or until nobody takes them.
async fn enter_all(
    shared: &Shared,
    options: &Options,
    mut lines: Lines,
    entering: &mpsc::Sender<Entered>,
) {
    let mut index = 0;
    while let Some(line) = lines.next().await {
        let entered = Entered::of(shared, options, index, line).await;
        if entering.send(entered).await.is_err() {
            return;
        }
        index += 1;
    }
}

/// A line in its queue. Nothing is left of what it was written in.
struct Entered {
    index: usize,
    id: Option<String>,
    waiting: Result<Waiting, Problem>,
    held: Held,
}

/// Its rows there.
struct Waiting {
    route: Route,
    ticket: Ticket,
    look: Option<Look>,
    beside: Vec<Ticket>,
}

/// What a line asks for.
struct Asked {
    route: Route,
    ask: Ask,
    look: Option<Look>,
    beside: Vec<Ask>,
}

impl Entered {
    async fn of(shared: &Shared, options: &Options, index: usize, line: Line) -> Self {
        let mut id = None;
        let asked = match line {
            Line::Whole(line) => Asked::of(shared, options, &line, &mut id),
            Line::TooLong => Err(Problem::new(Code::TextTooLong, "the line is too long")),
            Line::Broken(problem) => Err(problem),
        };
        let mut held = shared.answers.hold_patiently();
        let kept = KEPT + id.as_ref().map_or(0, String::len);
        // As for its place, it waits for others to be read.
        let asked = match held.wait(kept, shared.limits.idle).await {
            Ok(()) => asked,
            // Only what is said of it is left of such a line.
            Err(problem) => {
                id = None;
                Err(problem)
            }
        };
        let waiting = match asked {
            Ok(asked) => asked.enter(shared).await,
            Err(problem) => Err(problem),
        };
        Self {
            index,
            id,
            waiting,
            held,
        }
    }

    /// The answer's line, and what is held for it.
    async fn written(self, metrics: &Metrics) -> (Bytes, Held) {
        let found = match self.waiting {
            Ok(waiting) => waiting.found().await,
            Err(problem) => Err(problem),
        };
        let outcome = match found {
            Ok((route, prediction, seen)) => {
                Outcome::Found(Found::new(self.id, route, prediction, seen))
            }
            Err(problem) => {
                let reason = problem.code.as_str();
                metrics.rejected.with_label_values(&[reason]).inc();
                Outcome::Failed(Failed::new(self.index, self.id, problem))
            }
        };
        // Strings and numbers always have a JSON form.
        let mut line = serde_json::to_vec(&outcome).unwrap_or_default();
        line.push(b'\n');
        (line.into(), self.held)
    }
}

impl Asked {
    fn of(
        shared: &Shared,
        options: &Options,
        line: &[u8],
        id: &mut Option<String>,
    ) -> Result<Self, Problem> {
        let review = Review::parse(line)?;
        *id = review.id;
        let wish = Wish {
            model: options.model.as_deref(),
            language: review.language.as_deref().or(options.language.as_deref()),
        };
        let text = &*review.text.0;
        let route = route(shared, text, wish)?;
        let ask = route.engine.encode(text)?;
        let (look, beside) = look(&route.engine, text, &ask, options.closer());
        let most = shared.limits.max_items;
        if beside.len() >= most {
            return Err(too_many_rows(most));
        }
        Ok(Self {
            route,
            ask,
            look,
            beside,
        })
    }

    async fn enter(self, shared: &Shared) -> Result<Waiting, Problem> {
        let engine = &self.route.engine;
        let ticket = enter(shared, engine, self.ask).await?;
        let mut beside = Vec::with_capacity(self.beside.len());
        for row in self.beside {
            beside.push(enter(shared, engine, row).await?);
        }
        Ok(Waiting {
            ticket,
            beside,
            look: self.look,
            route: self.route,
        })
    }
}

impl Waiting {
    async fn found(self) -> Result<(Route, Prediction, Seen), Problem> {
        let engine = &self.route.engine;
        let (prediction, seen) = seen(engine, self.ticket, self.look, self.beside).await?;
        Ok((self.route, prediction, seen))
    }
}

/// Lets a row in as soon as it has a place.
async fn enter(shared: &Shared, engine: &Engine, ask: Ask) -> Result<Ticket, Problem> {
    // Until then the line waits because its own stream, or others, are fast: no reason to refuse it.
    let place = engine.place(Instant::now() + shared.limits.idle).await?;
    let terms = Terms {
        deadline: Some(Instant::now() + shared.limits.deadline),
        bulk: true,
    };
    let ticket = engine.submit(vec![ask], place, terms).pop();
    Ok(ticket.expect("one text has one ticket"))
}
