//! Log lines, written many at a time: a request's line is not a system call of its own.
//!
//! A line waits at most [`DELAY`]; a warning or an error is written at once, with what came before it.

use std::io::{self, Write as _, stderr};
use std::sync::{Condvar, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The longest that a line waits.
const DELAY: Duration = Duration::from_millis(20);

/// Bytes that do not wait any longer.
const MOST: usize = 64 << 10;

static WAITING: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static SOME: Condvar = Condvar::new();
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
        static STARTED: Once = Once::new();
        // Where no thread can be had, no line waits for one.
        STARTED.call_once(|| {
            drop(
                std::thread::Builder::new()
                    .name("log".into())
                    .spawn(write_on),
            )
        });
        let mut waiting = lock();
        let first = waiting.is_empty();
        waiting.extend_from_slice(bytes);
        if self.urgent || waiting.len() >= MOST {
            write_out(&mut waiting);
        } else if first {
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

/// Writes what waits.
pub(super) fn flush() {
    write_out(&mut lock());
}

fn write_on() {
    loop {
        let mut waiting = lock();
        while waiting.is_empty() {
            waiting = SOME.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        drop(waiting);
        // More come meanwhile.
        std::thread::sleep(DELAY);
        flush();
    }
}

/// Under the lock, so that lines keep their order.
fn write_out(waiting: &mut Vec<u8>) {
    let mut write = || {
        // A log that nobody can read any more is no reason to stop serving.
        let _ = stderr().write_all(waiting);
    };
    match AROUND.get() {
        Some(around) => around(&mut write),
        None => write(),
    }
    waiting.clear();
}

fn lock() -> MutexGuard<'static, Vec<u8>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}
