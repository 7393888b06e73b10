//! Log lines, written many at a time by a thread of their own: a request's line is not a system call, and a standard error that
//! nobody reads holds up no request.
//!
//! A line waits at most [`DELAY`]; a warning or an error is written as soon as the thread can, with what came before it. Where
//! nothing can be written, lines are kept up to a bound, and then left out and counted.

use std::io::{self, Write as _, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The longest that a line waits.
const DELAY: Duration = Duration::from_millis(20);

/// Bytes that do not wait any longer.
const MANY: usize = 64 << 10;

/// Bytes that may wait.
const MOST: usize = 8 << 20;

/// The longest that the end of the process waits for its last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is to be written.
struct Waiting {
    bytes: Vec<u8>,
    urgent: bool,
    /// The thread is writing what waited before.
    writing: bool,
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    bytes: Vec::new(),
    urgent: false,
    writing: false,
});
static SOME: Condvar = Condvar::new();
static WRITTEN: Condvar = Condvar::new();
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
static AROUND: OnceLock<Around> = OnceLock::new();

/// Calls what writes to standard error when nothing else is drawn there.
pub type Around = fn(&mut dyn FnMut());

/// The way to standard error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines;

/// Writes one line.
#[derive(Debug)]
pub(super) struct Line {
    urgent: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { urgent: true }
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> Line {
        Line {
            urgent: *line.level() <= Level::WARN,
        }
    }
}

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        static THREAD: OnceLock<bool> = OnceLock::new();
        let thread = THREAD.get_or_init(|| {
            let thread = std::thread::Builder::new().name("log".into());
            thread.spawn(write_on).is_ok()
        });
        if !thread {
            // No line waits for a thread that cannot be had.
            write_out(bytes);
            return Ok(bytes.len());
        }
        let mut waiting = lock();
        if waiting.bytes.len() + bytes.len() > MOST {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
            return Ok(bytes.len());
        }
        let (first, few) = (waiting.bytes.is_empty(), waiting.bytes.len() < MANY);
        waiting.bytes.extend_from_slice(bytes);
        let hurry = self.urgent || few && waiting.bytes.len() >= MANY;
        waiting.urgent |= self.urgent;
        drop(waiting);
        if first || hurry {
            SOME.notify_one();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From now on lines are written by way of `around`; the first stays.
pub(super) fn go_around(around: Around) {
    let _ = AROUND.set(around);
}

/// Waits until all is written, for a while.
pub(super) fn flush() {
    let mut waiting = lock();
    waiting.urgent = true;
    SOME.notify_one();
    let unwritten = |waiting: &mut Waiting| waiting.writing || !waiting.bytes.is_empty();
    // Whoever does not read by now does not read at all.
    drop(WRITTEN.wait_timeout_while(waiting, LAST_WORDS, unwritten));
}

/// Lines that nobody could be told.
pub(super) fn left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

fn write_on() {
    let mut lines = Vec::new();
    loop {
        let waiting = SOME.wait_while(lock(), |waiting| waiting.bytes.is_empty());
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        // More come meanwhile.
        let few = |waiting: &mut Waiting| !waiting.urgent && waiting.bytes.len() < MANY;
        let (mut waiting, _) = SOME
            .wait_timeout_while(waiting, DELAY, few)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.bytes, &mut lines);
        (waiting.urgent, waiting.writing) = (false, true);
        drop(waiting);
        write_out(&lines);
        lines.clear();
        lines.shrink_to(2 * MANY);
        lock().writing = false;
        WRITTEN.notify_all();
    }
}

fn write_out(lines: &[u8]) {
    let mut write = || {
        // A log that nobody can read any more is no reason to stop serving.
        let _ = stderr().write_all(lines);
    };
    match AROUND.get() {
        Some(around) => around(&mut write),
        None => write(),
    }
}

fn lock() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}
