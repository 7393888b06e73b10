//! Bytes of bodies, lines and answers that are held at once, by all clients together.
//!
//! A body is at most so large, and so are thousands of them together: slow clients that each send all but the end would
//! otherwise hold as many times a body as there are connections and streams, and those that do not read as many answers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};

use super::error::{Code, Problem};

/// Bytes of an answer that go to a client's connection at a time; an answer that is no larger is held by nobody.
const PIECE: usize = 16 << 10;

/// Between two looks for room.
const LOOK: Duration = Duration::from_millis(50);

/// What is left of the bytes that may be held.
#[derive(Clone, Debug)]
pub struct Budget {
    left: Arc<AtomicUsize>,
    /// Of these, what those may hold that come piece by piece for as long as they like.
    patient: Arc<AtomicUsize>,
}

/// Goes with an answer that many share and that is always there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lasting;

impl Budget {
    /// All of so many bytes.
    pub fn of(bytes: usize) -> Self {
        Self {
            left: Arc::new(AtomicUsize::new(bytes)),
            patient: Arc::new(AtomicUsize::new(bytes / 2)),
        }
    }

    /// None of them held.
    pub(super) fn hold(&self) -> Held {
        Held {
            left: Arc::clone(&self.left),
            patient: None,
            bytes: 0,
        }
    }

    /// None of them held, by somebody who may take its time: all of those leave half to others.
    pub(super) fn hold_patiently(&self) -> Held {
        let mut held = self.hold();
        held.patient = Some(Arc::clone(&self.patient));
        held
    }

    /// The answer, held until its client has read it; where there is no room for it, a refusal.
    pub(super) fn answer(&self, response: Response) -> Response {
        let large = response
            .body()
            .size_hint()
            .exact()
            .and_then(|bytes| usize::try_from(bytes).ok())
            .filter(|bytes| *bytes > PIECE);
        let Some(bytes) = large else {
            return response;
        };
        if response.extensions().get::<Lasting>().is_some() {
            return response;
        }
        let mut held = self.hold();
        match held.set(bytes) {
            Ok(()) => response.map(|body| {
                Body::new(Unread {
                    body,
                    piece: Bytes::new(),
                    _held: held,
                })
            }),
            Err(problem) => problem.into_response(),
        }
    }
}

/// An answer that its client takes piece by piece: what waits in a connection for the client's window is one of them.
struct Unread {
    body: Body,
    piece: Bytes,
    _held: Held,
}

impl HttpBody for Unread {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.piece.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.piece = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let next = self.piece.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.piece.split_to(next)))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let piece = self.piece.len() as u64;
        match hint.exact() {
            Some(bytes) => hint.set_exact(bytes + piece),
            None => hint.set_lower(hint.lower() + piece),
        }
        hint
    }
}

/// Bytes held, given back when this goes.
#[derive(Debug)]
pub(super) struct Held {
    left: Arc<AtomicUsize>,
    patient: Option<Arc<AtomicUsize>>,
    bytes: usize,
}

impl Held {
    /// Holds so many from now on; where they are not to be had nothing changes.
    pub fn set(&mut self, bytes: usize) -> Result<(), Problem> {
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let patient = self.patient.as_deref();
            let patiently = patient.is_none_or(|patient| take(patient, more));
            let taken = patiently && take(&self.left, more);
            if !taken {
                if let Some(patient) = patient.filter(|_| patiently) {
                    patient.fetch_add(more, Ordering::Relaxed);
                }
                return Err(Problem::new(
                    Code::Overloaded,
                    "the server holds as many bytes as it may",
                ));
            }
        } else {
            self.give(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Held {
    /// Holds so many from now on, as soon as they are to be had, or within that time not at all.
    pub async fn wait(&mut self, bytes: usize, most: Duration) -> Result<(), Problem> {
        let until = Instant::now() + most;
        loop {
            match self.set(bytes) {
                Err(_) if Instant::now() < until => tokio::time::sleep(LOOK).await,
                outcome => return outcome,
            }
        }
    }

    fn give(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
        if let Some(patient) = &self.patient {
            patient.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give(self.bytes);
    }
}

fn take(from: &AtomicUsize, bytes: usize) -> bool {
    from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(bytes)
    })
    .is_ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use axum::http::StatusCode;
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn those_who_take_their_time_leave_half_to_others() {
        let budget = Budget::of(100);
        let (mut slow, mut other) = (budget.hold_patiently(), budget.hold_patiently());
        slow.set(40).unwrap();
        assert_eq!(other.set(11).unwrap_err().code, Code::Overloaded);
        other.set(10).unwrap();
        let mut body = budget.hold();
        body.set(50).unwrap();
        slow.set(0).unwrap();
        body.set(60).unwrap();
        // Nothing is lost where only one of the two had room.
        assert_eq!(slow.set(31).unwrap_err().code, Code::Overloaded);
        drop(body);
        slow.set(40).unwrap();
        drop((slow, other));
        budget.hold().set(100).unwrap();
        budget.hold_patiently().set(50).unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_room_gets_it_when_another_goes_or_hears_that_there_is_none() {
        let budget = Budget::of(10);
        let (mut first, mut second) = (budget.hold(), budget.hold());
        first.set(10).unwrap();
        let none = second.wait(1, Duration::ZERO).await;
        assert_eq!(none.unwrap_err().code, Code::Overloaded);
        let goes = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        let (found, ()) = tokio::join!(second.wait(10, Duration::from_secs(60)), goes);
        found.unwrap();
    }

    #[tokio::test]
    async fn an_answer_is_held_until_it_is_read_and_goes_out_whole_in_pieces() {
        let budget = Budget::of(100_000);
        let text: Vec<u8> = (0..70_000_u32).map(|at| at as u8).collect();
        let answer = || budget.answer(Response::new(Body::from(text.clone())));
        let mut first = answer();
        assert_eq!(first.body().size_hint().exact(), Some(70_000));
        assert_eq!(answer().status(), StatusCode::SERVICE_UNAVAILABLE);
        let small = budget.answer(Response::new(Body::from(vec![0; PIECE])));
        assert_eq!(small.status(), StatusCode::OK);
        let mut shared = Response::new(Body::from(text.clone()));
        shared.extensions_mut().insert(Lasting);
        assert_eq!(budget.answer(shared).status(), StatusCode::OK);
        let mut read = Vec::new();
        while let Some(frame) = first.body_mut().frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            read.extend_from_slice(&piece);
            let left = first.body().size_hint().exact();
            assert_eq!(left, Some((text.len() - read.len()) as u64));
        }
        assert_eq!(read, text);
        drop(first);
        assert_eq!(answer().status(), StatusCode::OK);
    }

    #[test]
    fn all_together_hold_no_more_than_there_is_and_give_back_what_they_held() {
        let budget = Budget::of(100);
        let (mut first, mut second) = (budget.hold(), budget.hold());
        first.set(60).unwrap();
        second.set(40).unwrap();
        assert_eq!(second.set(41).unwrap_err().code, Code::Overloaded);
        first.set(59).unwrap();
        second.set(41).unwrap();
        drop(first);
        second.set(100).unwrap();
        drop(second);
        budget.hold().set(100).unwrap();
    }
}
