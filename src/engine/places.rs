//! How many texts may wait for a batch, and who may let them in.
//!
//! A request takes all its places at once or is refused; those who can wait for a place, which are streams, hold half of them at most,
//! so that requests still find some.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of one queue.
#[derive(Debug)]
pub(super) struct Bound {
    all: Arc<Semaphore>,
    /// Of all, those for which somebody has waited.
    patient: Arc<Semaphore>,
}

impl Bound {
    /// So many places, all free.
    pub fn new(places: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(places)),
            patient: Arc::new(Semaphore::new(places.div_ceil(2))),
        }
    }

    /// So many places at once, if there are.
    pub fn reserve(&self, count: usize) -> Option<Places> {
        let count = u32::try_from(count).ok()?;
        let held = Arc::clone(&self.all).try_acquire_many_owned(count).ok()?;
        Some(Places {
            held,
            patient: None,
        })
    }

    /// One place, as soon as there is one; places are given in the order in which they were asked for.
    pub async fn wait(&self) -> Option<Places> {
        let patient = Arc::clone(&self.patient).acquire_owned().await.ok()?;
        let held = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Places {
            held,
            patient: Some(patient),
        })
    }
}

/// Places in the queue, given back when this goes.
#[derive(Debug)]
pub struct Places {
    held: OwnedSemaphorePermit,
    patient: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// Others of the same queue beside these.
    pub fn add(&mut self, more: Self) {
        self.held.merge(more.held);
    }

    /// One of them. One that was waited for is the only one.
    pub fn split(&mut self) -> Option<Self> {
        let held = self.held.split(1)?;
        Some(Self {
            held,
            patient: self.patient.take(),
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn those_who_wait_for_places_leave_half_of_them_to_others() {
        let bound = Bound::new(4);
        let mut context = Context::from_waker(Waker::noop());
        let mut ask = || match pin!(bound.wait()).poll(&mut context) {
            Poll::Ready(place) => place.unwrap().split(),
            Poll::Pending => None,
        };
        let (first, second) = (ask(), ask());
        assert!(first.is_some() && second.is_some());
        assert!(ask().is_none());
        let others = bound.reserve(2);
        assert!(others.is_some() && bound.reserve(1).is_none());
        drop(first);
        let third = ask();
        assert!(third.is_some());
        drop((others, second, third));
        assert!(bound.reserve(4).is_some());
    }
}
