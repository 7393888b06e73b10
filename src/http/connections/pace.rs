//! How fast an overloaded server turns requests away.
//!
//! A refusal is said at once. A client that asks again at once, though it was told to come back later, would have the time of the
//! texts that are let in: refusing it costs reading and writing too. So all refusals together have a rate (the virtual scheduling of
//! the generic cell rate algorithm, ITU-T I.371), and from a connection of HTTP/1 that was refused nothing more is read until its
//! refusal's turn in that rate has come. What it sends meanwhile waits in its socket. Where hardly a place is left for other
//! connections nobody is kept waiting: a balancer would open ever more of them.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::response::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, Semaphore};

use crate::http::error::TurnedAway;

/// As long as a client is told to stay away.
const LONGEST: Duration = Duration::from_secs(1);

/// What the clock of timers can tell apart.
const TICK: Duration = Duration::from_millis(1);

/// Of all places for connections the part that those who wait do not need: one in so many.
const SPARE: usize = 8;

/// The turns of all refusals.
#[derive(Debug)]
pub(super) struct Pace {
    begin: Instant,
    /// That one refusal takes of the rate.
    each: Duration,
    longest: Duration,
    /// For connections, and how many of them are free at least while anybody waits.
    places: Arc<Semaphore>,
    spare: usize,
    /// When the next turn is, in nanoseconds since the beginning.
    next: AtomicU64,
    ended: AtomicBool,
    end: Notify,
}

impl Pace {
    /// So many refusals a second, no pause longer than that, and places of which none is taken yet.
    pub fn of(rate: u32, longest: Duration, places: Arc<Semaphore>) -> Self {
        Self {
            spare: places.available_permits() / SPARE,
            places,
            begin: Instant::now(),
            each: Duration::from_secs(1) / rate.max(1),
            longest: longest.min(LONGEST),
            next: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            end: Notify::new(),
        }
    }

    /// Nobody is kept waiting any more.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.end.notify_waiters();
    }

    /// Until when a connection that is refused now says nothing.
    fn turn(&self, now: Instant) -> Option<Instant> {
        let at = nanoseconds(now.duration_since(self.begin));
        let longest = at + nanoseconds(self.longest);
        let mut turn = at;
        let taken = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                turn = next.clamp(at, longest);
                Some(turn + nanoseconds(self.each))
            });
        debug_assert!(taken.is_ok(), "there is a turn at any time");
        let wait = Duration::from_nanos(turn - at);
        let room = self.places.available_permits() >= self.spare;
        (room && wait >= TICK).then(|| now + wait)
    }

    async fn wait(self: Arc<Self>, until: Instant) {
        // Made before the look: whoever ends it after the look is heard.
        let end = self.end.notified();
        if !self.ended.load(Ordering::SeqCst) {
            let _ = tokio::time::timeout_at(until.into(), end).await;
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

/// What a connection's answers say to its reading.
#[derive(Debug)]
struct Pause {
    pace: Arc<Pace>,
    /// Until when nothing is read, from now on.
    until: Mutex<Option<Instant>>,
}

impl Pause {
    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sees whether a connection's requests are refused.
#[derive(Debug)]
pub(super) struct Refusals(Arc<Pause>);

impl Refusals {
    /// The same answer.
    pub fn seen_in<F>(&self, answer: F) -> impl Future<Output = F::Output> + use<F>
    where
        F: Future<Output = Result<Response, Infallible>>,
    {
        let pause = Arc::clone(&self.0);
        async move {
            let response = answer.await?;
            // Of others a part may lie in the socket still, for which hyper looks once before it closes the connection.
            if response.extensions().get::<TurnedAway>().is_some() {
                *pause.until() = pause.pace.turn(Instant::now());
            }
            Ok(response)
        }
    }
}

/// A connection from which nothing is read for a while after a refusal.
pub(super) struct Paced<S> {
    stream: Pin<Box<S>>,
    pause: Arc<Pause>,
    /// While one lasts.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Paced<S> {
    /// With what sees its refusals.
    pub fn new(stream: S, pace: Arc<Pace>) -> (Self, Refusals) {
        let until = Mutex::new(None);
        let pause = Arc::new(Pause { pace, until });
        let refusals = Refusals(Arc::clone(&pause));
        let paced = Self {
            stream: Box::pin(stream),
            pause,
            waiting: None,
        };
        (paced, refusals)
    }
}

impl<S: AsyncRead> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let until = self.pause.until().take();
        if let Some(until) = until {
            self.waiting = Some(Box::pin(Arc::clone(&self.pause.pace).wait(until)));
        }
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        self.stream.as_mut().poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::task::Waker;

    use axum::body::Body;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    impl Pace {
        fn at(rate: u32, longest: Duration) -> Self {
            Self::of(rate, longest, Arc::new(Semaphore::new(16)))
        }
    }

    #[test]
    fn nobody_waits_where_hardly_a_place_is_left_for_others() {
        let pace = Pace::at(1_000, LONGEST);
        let wait = || pace.turn(pace.begin).is_some();
        assert!(!wait());
        let most = pace.places.try_acquire_many(14).unwrap();
        assert!(wait());
        let one_more = pace.places.try_acquire().unwrap();
        assert!(!wait());
        drop((most, one_more));
        assert!(wait());
    }

    #[test]
    fn refusals_within_the_rate_cost_their_clients_nothing() {
        let pace = Pace::at(1_000, LONGEST);
        for n in 0..100 {
            let now = pace.begin + Duration::from_millis(n);
            assert_eq!(pace.turn(now), None);
        }
    }

    #[test]
    fn refusals_beyond_the_rate_have_their_turns_one_after_another() {
        let pace = Pace::at(1_000, LONGEST);
        let now = pace.begin + Duration::from_secs(7);
        assert_eq!(pace.turn(now), None);
        for n in 1..500 {
            assert_eq!(pace.turn(now), Some(now + Duration::from_millis(n)));
        }
        let later = now + Duration::from_millis(500);
        assert_eq!(pace.turn(later), None);
    }

    #[test]
    fn nobody_waits_longer_than_it_was_told_or_than_connections_may_be_idle() {
        let idle = Duration::from_millis(300);
        for (most, longest) in [(Duration::from_secs(60), LONGEST), (idle, idle)] {
            let pace = Pace::at(1_000, most);
            let last = (0..5_000).filter_map(|_| pace.turn(pace.begin)).max();
            assert_eq!(last, Some(pace.begin + longest));
            let later = pace.begin + longest + Duration::from_secs(1);
            assert_eq!(pace.turn(later), None);
        }
    }

    /// Refuses two requests of a connection of which more has come: the second is one too many.
    async fn refused_twice(pace: &Arc<Pace>) -> Paced<tokio::io::DuplexStream> {
        let (mut client, stream) = tokio::io::duplex(64);
        client.write_all(b"next").await.unwrap();
        let (paced, refusals) = Paced::new(stream, Arc::clone(pace));
        for _ in 0..2 {
            let mut refused = Response::new(Body::empty());
            refused.extensions_mut().insert(TurnedAway);
            refusals.seen_in(async { Ok(refused) }).await.unwrap();
        }
        paced
    }

    #[tokio::test]
    async fn what_a_refused_client_sends_is_read_when_its_turn_has_come() {
        let each = Duration::from_millis(20);
        let pace = Arc::new(Pace::at(50, LONGEST));
        let begin = Instant::now();
        let mut paced = refused_twice(&pace).await;
        let mut bytes = [0; 4];
        paced.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"next");
        assert!(begin.elapsed() >= each, "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn a_server_that_ends_keeps_no_client_waiting() {
        let pace = Arc::new(Pace::at(1, LONGEST));
        let mut waiting = refused_twice(&pace).await;
        let (mut bytes, mut cx) = ([0; 4], Context::from_waker(Waker::noop()));
        let mut buffer = ReadBuf::new(&mut bytes);
        let mut read = |paced: &mut Paced<_>| Pin::new(paced).poll_read(&mut cx, &mut buffer);
        assert!(read(&mut waiting).is_pending());
        pace.end();
        assert!(read(&mut waiting).is_ready());
        assert!(read(&mut refused_twice(&pace).await).is_ready());
    }
}
