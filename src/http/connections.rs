//! Sockets: accepted up to a limit, given time for each head and between requests, and drained within bounds.

mod door;
mod inline;
mod pace;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::Version;
use futures_util::future::Either;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use door::{Door, Guest};
use inline::Inline;
use pace::{Pace, Paced};
use streams::Streams;

/// What clients may cost before they have asked for anything.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at once.
    pub most: usize,
    /// Time to the end of the first request's head.
    pub first_head: Duration,
    /// Time between requests, for the heads of later ones, and for a client to take any of its answer.
    pub idle: Duration,
    /// Time for requests under way once no more are taken.
    pub drain: Duration,
    /// Requests a second that are turned away, where their clients ask again at once on the same connection.
    pub refusals: u32,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered.
    Fully,
    /// So many connections were cut off.
    CutOff(usize),
}

/// Streams of one HTTP/2 connection; each can hold a request's body.
const STREAMS: u32 = 128;

/// Bytes of a head.
const HEAD: usize = 64 << 10;

/// How long connections are still taken, and idle ones kept, after the signal to stop: long enough to read what had been sent
/// before it.
const LINGER: Duration = Duration::from_millis(200);

/// Serves until `stop`, then drains.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()>,
) -> Drained {
    let mut door = Door::new(listener, limits.most);
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(HEAD.max(8 << 10))
        .writev(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(limits.idle))
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD as u32);
    let builder = Arc::new(builder);
    let pace = Arc::new(Pace::of(limits.refusals, limits.idle / 2, door.places()));
    let connection = |(stream, guest), watcher| Connection {
        stream,
        router: router.clone(),
        builder: Arc::clone(&builder),
        pace: Arc::clone(&pace),
        watcher,
        first_head: limits.first_head,
        idle: limits.idle,
        guest,
    };
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = door.next() => accepted,
        };
        // Those that have ended leave their place in the set.
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(accepted, graceful.watcher()).run());
    }
    pace.end();
    let drained = tokio::time::timeout(limits.drain, async {
        // What clients have sent by now is answered, though it may still lie in a socket that nobody has read.
        let quiet = tokio::time::sleep(LINGER);
        tokio::pin!(quiet);
        loop {
            let accepted = tokio::select! {
                () = &mut quiet => break,
                accepted = door.next() => accepted,
            };
            connections.spawn(connection(accepted, graceful.watcher()).run());
        }
        drop(door);
        graceful.shutdown().await;
    })
    .await;
    while connections.try_join_next().is_some() {}
    match drained {
        Ok(()) => Drained::Fully,
        Err(_) => {
            let left = connections.len();
            connections.shutdown().await;
            if left == 0 {
                Drained::Fully
            } else {
                Drained::CutOff(left)
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    router: Router,
    builder: Arc<Builder<TokioExecutor>>,
    pace: Arc<Pace>,
    watcher: Watcher,
    first_head: Duration,
    idle: Duration,
    guest: Guest,
}

impl Connection {
    async fn run(self) {
        // Answers are small and written at once; waiting to fill a packet only delays them.
        let _ = self.stream.set_nodelay(true);
        let guest = self.guest;
        let streams = Arc::new(Streams::new());
        let router = self.router;
        let mut stream = TimeoutStream::new(self.stream);
        // A client that does not read what it asked for is gone or means harm.
        stream.set_write_timeout(Some(self.idle));
        let (stream, refusals) = Paced::new(stream, self.pace);
        let service = hyper::service::service_fn({
            let (newcomer, streams) = (guest.newcomer(), Arc::clone(&streams));
            move |request: Request<Incoming>| {
                newcomer.asks();
                match request.version() {
                    Version::HTTP_2 => Either::Left(streams.answer(request, router.clone())),
                    _ => Either::Right(refusals.seen_in(router.clone().oneshot(request))),
                }
            }
        });
        let io = TokioIo::new(stream);
        let connection = self.builder.serve_connection(io, service).into_owned();
        let mut connection = Inline::new(self.watcher.watch(connection));
        // hyper's own clock starts only once it knows which HTTP the client speaks, which a silent one never says.
        tokio::select! {
            ended = &mut connection => return log(ended),
            () = streams.begun() => {}
            asked = guest.asks_within(self.first_head) => {
                if !asked {
                    tracing::debug!("a connection asked for nothing in time");
                    return;
                }
            }
        }
        if !streams.used() {
            // Of HTTP/1 hyper itself keeps the time between requests.
            return log(connection.await);
        }
        tokio::select! {
            ended = connection => log(ended),
            () = streams.idle_for(self.idle) => {
                tracing::debug!("a connection was idle, or took nothing of its answers");
            }
        }
    }
}

/// Clients come and go; how is of interest only to someone who looks into it.
fn log(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke off");
    }
}
