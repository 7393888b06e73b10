//! Who is let in: so many at once, and those who ask for nothing make room for others.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Time that a connection has for its first request even where others wait for its place.
const GRACE: Duration = Duration::from_secs(1);

/// Between two looks for somebody who can make room.
const LOOK: Duration = Duration::from_millis(100);

/// Where connections come in.
pub(super) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    newcomers: Arc<Newcomers>,
    count: u64,
    /// Accepted, and without a place yet.
    waiting: Option<TcpStream>,
}

impl Door {
    /// For so many at once.
    pub fn new(listener: TcpListener, most: usize) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            newcomers: Arc::default(),
            count: 0,
            waiting: None,
        }
    }

    /// All places, free ones among them.
    pub fn places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.places)
    }

    /// The next connection and its place. Nobody is lost where this is not waited for to its end.
    pub async fn next(&mut self) -> (TcpStream, Guest) {
        if self.waiting.is_none() {
            self.waiting = Some(accept(&self.listener).await);
        }
        let place = self.place().await;
        let stream = self.waiting.take().expect("one is waiting");
        self.count += 1;
        let newcomer = Arc::new(Newcomer {
            all: Arc::clone(&self.newcomers),
            number: self.count,
            since: Instant::now(),
            asked: AtomicBool::new(false),
            leave: Notify::new(),
        });
        self.newcomers
            .lock()
            .insert(self.count, Arc::clone(&newcomer));
        let guest = Guest {
            newcomer,
            _place: place,
        };
        (stream, guest)
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        loop {
            let place = Arc::clone(&self.places);
            if let Ok(place) = place.try_acquire_owned() {
                return place;
            }
            // However many silent clients there are, they push out each other and nobody else.
            self.newcomers.make_room();
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(Ok(place)) = tokio::time::timeout(LOOK, place).await {
                return place;
            }
        }
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Most likely no file is left to open; some will be closed soon.
                tracing::error!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// A connection that has a place, until this goes.
#[derive(Debug)]
pub(super) struct Guest {
    newcomer: Arc<Newcomer>,
    _place: OwnedSemaphorePermit,
}

impl Guest {
    /// What is to be told of its requests.
    pub fn newcomer(&self) -> Arc<Newcomer> {
        Arc::clone(&self.newcomer)
    }

    /// Whether it has asked for something by then, or by the time that others wait for its place.
    pub async fn asks_within(&self, first_head: Duration) -> bool {
        let told_to_go = self.newcomer.leave.notified();
        let _ = tokio::time::timeout(first_head, told_to_go).await;
        self.newcomer.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if !self.newcomer.asked.load(Ordering::Relaxed) {
            self.newcomer.all.lock().remove(&self.newcomer.number);
        }
    }
}

/// A connection as long as it has asked for nothing.
#[derive(Debug)]
pub(super) struct Newcomer {
    all: Arc<Newcomers>,
    number: u64,
    since: Instant,
    asked: AtomicBool,
    leave: Notify,
}

impl Newcomer {
    /// It has asked for something.
    pub fn asks(&self) {
        if !self.asked.load(Ordering::Relaxed) {
            self.asked.store(true, Ordering::Relaxed);
            self.all.lock().remove(&self.number);
        }
    }
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
struct Newcomers(Mutex<BTreeMap<u64, Arc<Newcomer>>>);

impl Newcomers {
    /// Tells the oldest to go, where it has had its time.
    fn make_room(&self) {
        let mut all = self.lock();
        if let Some(oldest) = all.first_entry()
            && oldest.get().since.elapsed() >= GRACE
        {
            oldest.remove().leave.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Newcomer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
