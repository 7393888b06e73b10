//! The life of batch threads, however they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::batcher::Batcher;
use crate::system;

/// Counts a batch thread for as long as it lives; the last one leaves no caller waiting.
pub(super) struct Living {
    alive: Arc<AtomicUsize>,
    /// Until the end, where it goes before memory is given back.
    batcher: Option<Arc<Batcher>>,
}

impl Living {
    /// One more of them.
    pub fn new(alive: &Arc<AtomicUsize>, batcher: &Arc<Batcher>) -> Self {
        alive.fetch_add(1, Ordering::AcqRel);
        Self {
            alive: Arc::clone(alive),
            batcher: Some(Arc::clone(batcher)),
        }
    }

    /// To its end.
    pub fn work(self) {
        if let Some(batcher) = &self.batcher {
            batcher.work();
        }
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let batcher = self.batcher.take();
        if self.alive.fetch_sub(1, Ordering::AcqRel) == 1 {
            if let Some(batcher) = batcher {
                batcher.queue.abandon();
            }
            // The sessions are closed, and another version may have taken their place.
            system::give_memory_back();
        }
    }
}
