//! `POST /v1/sentiment`: texts in, sentiments out.
//!
//! Lines are answered by `stream`. Otherwise a body is parsed, its texts are routed, and places are taken in every queue that is
//! needed, all at once; only then are texts encoded, so that what is turned away costs little. Large bodies take their turn at that
//! off the runtime's threads. The answers are awaited until one deadline.

mod answer;
mod request;
mod stream;

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};

use super::Shared;
use super::body::{Received, content_type};
use super::error::{Code, Problem};
use crate::catalog::{Route, Wish};
use crate::engine::{Ask, Closer, Engine, Look, Places, Prediction, Seen, Terms, Ticket, Timing};
use answer::{Answer, Failed, Found, Outcome};
use request::{Review, SentimentRequest, Texts};

/// What is read here.
const KINDS: &str = "application/json or application/x-ndjson";

/// Bytes of a text whose sentences and parts are found as fast.
const LOOKED_AT_ONCE: usize = 2 << 10;

pub(super) async fn classify(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let kind = content_type(request.headers());
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case(stream::KIND)) {
        return stream::answer(shared, request);
    }
    if let Some(query) = request.uri().query()
        && !query.is_empty()
    {
        // A name at most is repeated: what follows may be a text.
        let name = query.split_once('=').map_or("", |(name, _)| name);
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("query {name:?}: beside application/json all options are in the body"),
        ));
    }
    let received = Received::json(request, &shared, KINDS).await?;
    let deadline = Instant::now() + shared.limits.deadline;
    let prepared = received.work_on(&shared, deadline, prepare).await?;
    let terms = Terms {
        deadline: Some(deadline),
        // Rows beside a text's own can wait for other texts.
        bulk: !prepared.single || prepared.rows() > 1,
    };
    let (answer, timing) = answer(&shared, prepared, terms).await?;
    let mut response = answer.into_response();
    response.extensions_mut().insert(timing);
    Ok(response)
}

/// Whether a body is a request, before anything is known of its texts: what can be tried on anything that might come.
pub fn is_request(body: &[u8]) -> bool {
    SentimentRequest::parse(body, 1_000).is_ok_and(|mut request| request.take_texts().is_ok())
}

/// Whether a line of a stream is a review or a text.
pub fn is_line(line: &[u8]) -> bool {
    Review::parse(line).is_ok()
}

/// A request whose texts are encoded and have places in their queues.
struct Prepared {
    single: bool,
    items: Vec<Item>,
    queues: Vec<Waiting>,
}

/// One text of a request.
struct Item {
    id: Option<String>,
    outcome: Result<Placed, Problem>,
}

/// Where a text goes, which of the queues that is, and what else is seen of it.
struct Placed {
    route: Route,
    queue: usize,
    look: Option<Look>,
}

/// The texts of a request that go to one engine.
struct Waiting {
    engine: Arc<Engine>,
    texts: usize,
    asks: Vec<Ask>,
    places: Option<Places>,
    held: usize,
}

fn prepare(shared: &Shared, body: &[u8]) -> Result<Prepared, Problem> {
    let most = shared.limits.max_items;
    let mut request = SentimentRequest::parse(body, most)?;
    let texts = request.take_texts()?;
    let single = matches!(texts, Texts::One(_));
    let mut reviews = match texts {
        Texts::One(text) => vec![Review::unnamed(text)],
        Texts::Many(reviews) => reviews,
    };
    let mut prepared = Prepared {
        single,
        items: Vec::with_capacity(reviews.len()),
        queues: Vec::new(),
    };
    for review in &mut reviews {
        let wish = Wish {
            model: request.model.as_deref(),
            language: review.language.as_deref().or(request.language.as_deref()),
        };
        let outcome = match route(shared, &review.text.0, wish) {
            Ok(route) => Ok(Placed {
                queue: prepared.queue_of(&route.engine),
                look: None,
                route,
            }),
            // Not the text's fault: another server, or this one a little later, can answer all of the request.
            Err(problem) if problem.code == Code::NotReady => return Err(problem),
            Err(problem) => Err(problem),
        };
        let id = review.id.take();
        prepared.items.push(Item { id, outcome });
    }
    prepared.reserve()?;
    let closer = Closer {
        sentences: request.sentences,
        explain: request.explain,
    };
    let mut rows = 0;
    for (item, review) in prepared.items.iter_mut().zip(&reviews) {
        let Ok(placed) = &mut item.outcome else {
            continue;
        };
        let (engine, text) = (&placed.route.engine, &*review.text.0);
        match engine.encode(text) {
            Ok(ask) => {
                let (look, beside) = look(engine, text, &ask, closer);
                rows += 1 + beside.len();
                if rows > most {
                    return Err(too_many_rows(most));
                }
                placed.look = look;
                let asks = &mut prepared.queues[placed.queue].asks;
                asks.push(ask);
                asks.extend(beside);
            }
            Err(error) => item.outcome = Err(error.into()),
        }
    }
    // Those of what is seen beside the texts.
    prepared.reserve()?;
    Ok(prepared)
}

impl Prepared {
    /// The queue of one more text.
    fn queue_of(&mut self, engine: &Arc<Engine>) -> usize {
        let same = |waiting: &Waiting| Arc::ptr_eq(&waiting.engine, engine);
        let queue = self.queues.iter().position(same).unwrap_or_else(|| {
            self.queues.push(Waiting {
                engine: Arc::clone(engine),
                texts: 0,
                asks: Vec::new(),
                places: None,
                held: 0,
            });
            self.queues.len() - 1
        });
        self.queues[queue].texts += 1;
        queue
    }

    /// Every place that the request is known to need, or none.
    fn reserve(&mut self) -> Result<(), Problem> {
        self.queues.iter_mut().try_for_each(Waiting::reserve)
    }

    /// Texts, sentences and parts to leave out, together.
    fn rows(&self) -> usize {
        self.queues.iter().map(|waiting| waiting.asks.len()).sum()
    }
}

impl Waiting {
    fn reserve(&mut self) -> Result<(), Problem> {
        let wanted = self.texts.max(self.asks.len());
        if wanted > self.held {
            let more = self.engine.reserve(wanted - self.held);
            let more = more.ok_or_else(no_place)?;
            match &mut self.places {
                Some(places) => places.add(more),
                None => self.places = Some(more),
            }
            self.held = wanted;
        }
        Ok(())
    }

    /// Lets its texts into the queue.
    fn enter(self, terms: Terms) -> std::vec::IntoIter<Ticket> {
        let tickets = match self.places {
            Some(places) => self.engine.submit(self.asks, places, terms),
            None => Vec::new(),
        };
        tickets.into_iter()
    }
}

pub(super) fn no_place() -> Problem {
    let detail = "the queue has no place for the request's texts";
    Problem {
        turned_away: true,
        ..Problem::new(Code::Overloaded, detail)
    }
}

fn too_many_rows(most: usize) -> Problem {
    let detail = format!(
        "the texts, with their sentences and the parts to be left out of them, make more than {most} rows"
    );
    Problem::new(Code::TooManyItems, detail)
}

/// Whether there is something to read in a text, and no more than the limit.
pub(super) fn readable(shared: &Shared, text: &str) -> Result<(), Problem> {
    shared.limits.short_enough(text)?;
    if text.trim().is_empty() {
        return Err(Problem::new(Code::EmptyText, "the text is empty"));
    }
    Ok(())
}

/// Where a text goes, if it can be read at all.
fn route(shared: &Shared, text: &str, wish: Wish) -> Result<Route, Problem> {
    readable(shared, text)?;
    Ok(shared.catalog.route(text, wish)?)
}

/// What a closer look waits for; a thread of the runtime steps aside for that of a longer text.
fn look(engine: &Engine, text: &str, ask: &Ask, closer: Closer) -> (Option<Look>, Vec<Ask>) {
    if !closer.any() {
        return (None, Vec::new());
    }
    let work = || engine.look(text, ask, closer);
    let (look, rows) = match text.len() > LOOKED_AT_ONCE {
        true => tokio::task::block_in_place(work),
        false => work(),
    };
    (Some(look), rows)
}

async fn answer(
    shared: &Shared,
    prepared: Prepared,
    terms: Terms,
) -> Result<(Json<Answer>, Timing), Problem> {
    let mut timing = Timing::default();
    let mut tickets: Vec<_> = prepared
        .queues
        .into_iter()
        .map(|waiting| waiting.enter(terms))
        .collect();
    let mut results = Vec::with_capacity(prepared.items.len());
    for (index, item) in prepared.items.into_iter().enumerate() {
        let found = match item.outcome {
            Ok(Placed { route, queue, look }) => {
                let tickets = &mut tickets[queue];
                let ticket = tickets.next();
                let ticket = ticket.expect("a queue has a ticket for each text that went there");
                let rows = look.as_ref().map_or(0, Look::rows);
                let rows: Vec<Ticket> = tickets.take(rows).collect();
                let answered = seen(&route.engine, ticket, look, rows).await;
                answered.map(|(prediction, seen)| (route, prediction, seen))
            }
            Err(problem) => Err(problem),
        };
        match found {
            Ok((route, prediction, seen)) => {
                timing = timing.with(prediction.timing);
                let found = Found::new(item.id, route, prediction, seen);
                results.push(Outcome::Found(found));
            }
            Err(problem) if prepared.single => return Err(problem),
            Err(problem) => {
                let reason = problem.code.as_str();
                shared.metrics.rejected.with_label_values(&[reason]).inc();
                results.push(Outcome::Failed(Failed::new(index, item.id, problem)));
            }
        }
    }
    let answer = match (prepared.single, results.pop()) {
        (true, Some(Outcome::Found(found))) => Answer::One(found),
        (_, last) => {
            results.extend(last);
            Answer::Many { results }
        }
    };
    Ok((Json(answer), timing))
}

/// Waits for the rows of one text.
async fn seen(
    engine: &Engine,
    ticket: Ticket,
    look: Option<Look>,
    rows: Vec<Ticket>,
) -> Result<(Prediction, Seen), Problem> {
    let prediction = engine.answer(ticket).await?;
    let seen = match look {
        Some(look) => engine.looked(look, &prediction, rows).await?,
        None => Seen::default(),
    };
    Ok((prediction, seen))
}
