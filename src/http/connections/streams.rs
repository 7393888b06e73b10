//! The streams of an HTTP/2 connection: whether anything happens on them.
//!
//! A client that acknowledges pings is alive to hyper, also where it asks for nothing, or takes nothing of what it asked for because
//! it keeps its window shut. HTTP/1 has clocks of its own and never comes here.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::Notify;
use tower::ServiceExt as _;

/// What happens on a connection.
#[derive(Debug)]
pub(super) struct Streams {
    begin: Instant,
    used: AtomicBool,
    begun: Notify,
    /// Requests that the server works on, and answers of which it has no more to say for now.
    at_work: AtomicUsize,
    /// When something happened, in milliseconds since the beginning.
    last: AtomicU64,
}

impl Streams {
    /// None yet.
    pub fn new() -> Self {
        Self {
            begin: Instant::now(),
            used: AtomicBool::new(false),
            begun: Notify::new(),
            at_work: AtomicUsize::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// Answers a request, and sees what happens meanwhile.
    pub fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        router: Router,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        if !self.used.swap(true, Ordering::Relaxed) {
            self.begun.notify_one();
        }
        let work = Work::begin(self);
        let streams = Arc::clone(self);
        let request = request.map(|body| {
            body.map_frame(move |frame| {
                streams.touch();
                frame
            })
        });
        async move {
            let response = router.oneshot(request).await?;
            let streams = Arc::clone(&work.0);
            drop(work);
            Ok(response.map(|body| {
                Body::new(Answer {
                    body,
                    streams,
                    work: None,
                })
            }))
        }
    }

    /// Whether there was any.
    pub fn used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Comes back once there is one.
    pub async fn begun(&self) {
        self.begun.notified().await;
    }

    /// Comes back once nothing has happened for so long, though it was not the server that was waited for.
    pub async fn idle_for(&self, idle: Duration) {
        loop {
            let left = match self.at_work.load(Ordering::Acquire) {
                0 => idle.saturating_sub(self.quiet()),
                _ => idle,
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn quiet(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.begin.elapsed().saturating_sub(last)
    }

    fn touch(&self) {
        let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }
}

/// The server has something to do, until this goes.
#[derive(Debug)]
struct Work(Arc<Streams>);

impl Work {
    fn begin(streams: &Arc<Streams>) -> Self {
        streams.at_work.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(streams))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.touch();
        self.0.at_work.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An answer's body. Of it one piece at most is taken before the client has room for it.
struct Answer {
    body: Body,
    streams: Arc<Streams>,
    /// While more is wanted and not there yet.
    work: Option<Work>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.work.is_none() {
            self.work = Some(Work::begin(&self.streams));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.work = None;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
