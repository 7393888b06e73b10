//! `POST /v1/sentiment`: texts in, sentiments out.
//!
//! Lines are answered by `stream`. Otherwise parsing, routing and encoding happen in one pass over the body, off the runtime's threads where the body is large. Then
//! places are taken in every queue that is needed, all at once, and the answers are awaited until one deadline.

mod answer;
pub(super) mod request;
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

/// Bytes that are parsed and encoded well within half a millisecond.
pub(super) const SMALL: usize = 16 << 10;

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
    let received = Received::json(request, shared.body_limits()).await?;
    let deadline = Instant::now() + shared.limits.deadline;
    let prepared = if received.at_most(SMALL) {
        prepare(&shared, &received)?
    } else {
        let shared = Arc::clone(&shared);
        tokio::task::spawn_blocking(move || prepare(&shared, &received))
            .await
            .map_err(|error| Problem::internal(error.to_string()))??
    };
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
    SentimentRequest::parse(body).is_ok_and(|mut request| request.take_texts().is_ok())
}

/// Whether a line of a stream is a review or a text.
pub fn is_line(line: &[u8]) -> bool {
    Review::parse(line).is_ok()
}

/// A request whose texts are encoded.
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
    asks: Vec<Ask>,
}

fn prepare(shared: &Shared, received: &Received) -> Result<Prepared, Problem> {
    let body = received.decompressed(shared.body_limits())?;
    let mut request = SentimentRequest::parse(&body)?;
    let texts = request.take_texts()?;
    let mut prepared = Prepared {
        single: matches!(texts, Texts::One(_)),
        items: Vec::new(),
        queues: Vec::new(),
    };
    let reviews = match texts {
        Texts::One(text) => vec![Review {
            id: None,
            text,
            language: None,
        }],
        Texts::Many(reviews) => reviews,
    };
    let most = shared.limits.max_items;
    if reviews.len() > most {
        return Err(Problem::new(
            Code::TooManyItems,
            format!("{} texts, where {most} may come at once", reviews.len()),
        ));
    }
    let closer = Closer {
        sentences: request.sentences,
        explain: request.explain,
    };
    for review in reviews {
        let wish = Wish {
            model: request.model.as_deref(),
            language: review.language.as_deref().or(request.language.as_deref()),
        };
        let outcome = prepared.encode(shared, &review.text.0, wish, closer);
        let rows = prepared.rows();
        if rows > most {
            return Err(too_many_rows(most));
        }
        match outcome {
            // Not the text's fault: another server, or this one a little later, can answer all of the request.
            Err(problem) if problem.code == Code::NotReady => return Err(problem),
            outcome => prepared.items.push(Item {
                id: review.id,
                outcome,
            }),
        }
    }
    Ok(prepared)
}

impl Prepared {
    fn encode(
        &mut self,
        shared: &Shared,
        text: &str,
        wish: Wish,
        closer: Closer,
    ) -> Result<Placed, Problem> {
        let (route, ask) = ask(shared, text, wish)?;
        let (look, rows) = look(&route.engine, text, &ask, closer);
        let same = |waiting: &Waiting| Arc::ptr_eq(&waiting.engine, &route.engine);
        let queue = self.queues.iter().position(same).unwrap_or_else(|| {
            self.queues.push(Waiting {
                engine: Arc::clone(&route.engine),
                asks: Vec::new(),
            });
            self.queues.len() - 1
        });
        let asks = &mut self.queues[queue].asks;
        asks.push(ask);
        asks.extend(rows);
        Ok(Placed { route, queue, look })
    }

    /// Texts, sentences and parts to leave out, together.
    fn rows(&self) -> usize {
        self.queues.iter().map(|waiting| waiting.asks.len()).sum()
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
    let most = shared.limits.max_characters;
    // No text has more characters than bytes.
    if text.len() > most && text.chars().count() > most {
        return Err(Problem::new(
            Code::TextTooLong,
            format!("the text has more than {most} characters"),
        ));
    }
    if text.trim().is_empty() {
        return Err(Problem::new(Code::EmptyText, "the text is empty"));
    }
    Ok(())
}

/// Where a text goes, and its ids.
fn ask(shared: &Shared, text: &str, wish: Wish) -> Result<(Route, Ask), Problem> {
    readable(shared, text)?;
    let route = shared.catalog.route(text, wish)?;
    let ask = route.engine.encode(text)?;
    Ok((route, ask))
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
    let mut tickets = enter(prepared.queues, terms)?;
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

/// Every place that the request needs, or none.
fn enter(queues: Vec<Waiting>, terms: Terms) -> Result<Vec<std::vec::IntoIter<Ticket>>, Problem> {
    let places: Vec<Option<Places>> = queues
        .iter()
        .map(|waiting| waiting.engine.reserve(waiting.asks.len()))
        .collect();
    if places.iter().any(Option::is_none) {
        return Err(Problem::new(
            Code::Overloaded,
            "the queue has no place for the request's texts",
        ));
    }
    let entered = queues.into_iter().zip(places.into_iter().flatten());
    Ok(entered
        .map(|(waiting, places)| {
            waiting
                .engine
                .submit(waiting.asks, places, terms)
                .into_iter()
        })
        .collect())
}
