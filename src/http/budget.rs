//! Bytes of bodies and lines that are held at once, by all clients together.
//!
//! A body is at most so large, and so are thousands of them together: slow clients that each send all but the end would
//! otherwise hold as many times a body as there are connections and streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::{Code, Problem};

/// What is left of the bytes that may be held.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// All of so many bytes.
    pub fn of(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// None of them held.
    pub(super) fn hold(&self) -> Held {
        Held {
            left: Arc::clone(&self.0),
            bytes: 0,
        }
    }
}

/// Bytes held, given back when this goes.
#[derive(Debug)]
pub(super) struct Held {
    left: Arc<AtomicUsize>,
    bytes: usize,
}

impl Held {
    /// Holds so many from now on; where they are not to be had nothing changes.
    pub fn set(&mut self, bytes: usize) -> Result<(), Problem> {
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let taken = self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(more)
                });
            taken.map_err(|_| {
                Problem::new(
                    Code::Overloaded,
                    "the server holds as many bytes of requests as it may",
                )
            })?;
        } else {
            self.left.fetch_add(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

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
