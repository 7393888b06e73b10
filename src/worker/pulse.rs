//! What the training and the heartbeat tell each other.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

use crate::store::{Beat, Lease, Order, Store, StoreError};

const GOES_ON: u8 = 0;
const SHUTDOWN: u8 = 1;
const CANCELLED: u8 = 2;
const LOST: u8 = 3;

/// Before what the training is just telling is looked at again.
const MOMENT: Duration = Duration::from_millis(1);

/// One job's.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    stopped: AtomicU8,
    woken: Notify,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    beat: Beat,
    epochs: Vec<(i64, Value)>,
}

impl Pulse {
    pub fn goes_on(&self) -> bool {
        self.stopped.load(Ordering::Acquire) == GOES_ON
    }

    pub fn is_lost(&self) -> bool {
        self.stopped.load(Ordering::Acquire) == LOST
    }

    /// Waits until the work is to stop.
    pub async fn stopped(&self) {
        loop {
            let woken = self.woken.notified();
            tokio::pin!(woken);
            // From here on no word is missed.
            woken.as_mut().enable();
            if !self.goes_on() {
                return;
            }
            woken.await;
        }
    }

    pub fn stop_for_shutdown(&self) {
        self.stop(SHUTDOWN);
    }

    /// The training stands here.
    pub fn tell(&self, checkpoint: i64, progress: Value) {
        let mut told = self.told();
        told.beat.checkpoint = checkpoint;
        told.beat.progress = Some(progress);
    }

    /// The training is over and this is done now.
    pub fn tell_phase(&self, phase: Value) {
        self.told().beat.progress = Some(phase);
    }

    /// An epoch is finished.
    pub fn tell_epoch(&self, epoch: i64, figures: Value) {
        self.told().epochs.push((epoch, figures));
    }

    /// Beats once each `every`, without end.
    pub async fn beat(&self, store: &Store, lease: &Lease, every: Duration) {
        let mut ticks = tokio::time::interval(every.min(Duration::from_secs(2)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.beat_once(store, lease).await {
                Ok(()) | Err(StoreError::LeaseLost(_)) => {}
                // The lease may still be ours when the database is back; if not, it will say so.
                Err(error) => {
                    tracing::warn!(job = %lease.job.id, %error, "a heartbeat was not heard");
                }
            }
        }
    }

    /// Says everything told so far, which is kept where it could not be said, and does as it is told in return.
    ///
    /// The training says its last word while the heart still beats, so that the same may be said twice at a time.
    pub async fn beat_once(&self, store: &Store, lease: &Lease) -> Result<(), StoreError> {
        let (beat, epochs) = self
            .look(|told| (told.beat.clone(), told.epochs.clone()))
            .await;
        let said = async {
            if store.beat(lease, &beat).await? == Order::Cancel {
                self.stop(CANCELLED);
            }
            for (epoch, figures) in &epochs {
                store.record_epoch(lease, *epoch, figures).await?;
            }
            Ok(())
        };
        if let Err(error) = said.await {
            if matches!(error, StoreError::LeaseLost(_)) {
                self.stop(LOST);
            }
            return Err(error);
        }
        self.look(|told| told.epochs.retain(|epoch| !epochs.contains(epoch)))
            .await;
        Ok(())
    }

    /// Looks at what is told without waiting for a thread that trains only where a core has nothing else to do: this one
    /// may be a server's.
    async fn look<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        loop {
            {
                match self.told.try_lock() {
                    Ok(mut told) => return look(&mut told),
                    Err(TryLockError::Poisoned(told)) => return look(&mut told.into_inner()),
                    Err(TryLockError::WouldBlock) => {}
                }
            }
            tokio::time::sleep(MOMENT).await;
        }
    }

    /// The first reason stays.
    fn stop(&self, why: u8) {
        let _ = self
            .stopped
            .compare_exchange(GOES_ON, why, Ordering::AcqRel, Ordering::Acquire);
        self.woken.notify_waiters();
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::NewJob;

    #[tokio::test]
    async fn two_heartbeats_at_a_time_lose_no_epoch_and_break_nothing() {
        let room = tempfile::tempdir().unwrap();
        let (store, lease) = claimed(room.path()).await;
        let pulse = Pulse::default();
        for epoch in 1..4 {
            pulse.tell_epoch(epoch, json!({"epoch": epoch}));
        }
        let told_between = async {
            pulse.tell_epoch(4, json!({"epoch": 4}));
        };
        // All three have begun before a heartbeat is answered.
        let (first, second, ()) = tokio::join!(
            pulse.beat_once(&store, &lease),
            pulse.beat_once(&store, &lease),
            told_between
        );
        first.unwrap();
        second.unwrap();
        pulse.beat_once(&store, &lease).await.unwrap();
        let epochs = store.epochs(&lease.job.id, 0).await.unwrap();
        let epochs: Vec<_> = epochs.iter().map(|epoch| &epoch["epoch"]).collect();
        assert_eq!(epochs, [1, 2, 3, 4]);
        assert!(pulse.told().epochs.is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_hears_that_the_work_is_to_stop() {
        let pulse = Pulse::default();
        let ((), ()) = tokio::join!(pulse.stopped(), async { pulse.stop_for_shutdown() });
        // And whoever comes later.
        pulse.stopped().await;
    }

    #[tokio::test]
    async fn a_heartbeat_leaves_its_thread_to_others_while_the_training_tells() {
        let room = tempfile::tempdir().unwrap();
        let (store, lease) = claimed(room.path()).await;
        let pulse = Pulse::default();
        let telling = pulse.told();
        let (beaten, ()) = tokio::join!(pulse.beat_once(&store, &lease), async move {
            // Never reached by a thread that waits for the lock.
            drop(telling);
        });
        beaten.unwrap();
    }

    #[tokio::test]
    async fn the_last_word_of_a_job_that_was_called_off_stops_it() {
        let room = tempfile::tempdir().unwrap();
        let (store, lease) = claimed(room.path()).await;
        let pulse = Pulse::default();
        store.cancel(&lease.job.id).await.unwrap();
        pulse.beat_once(&store, &lease).await.unwrap();
        assert_eq!(pulse.stopped.load(Ordering::Acquire), CANCELLED);
    }

    #[tokio::test]
    async fn the_last_word_of_a_job_that_another_has_taken_stops_it() {
        let room = tempfile::tempdir().unwrap();
        let (store, lease) = claimed(room.path()).await;
        store.put_back(&lease, Duration::ZERO).await.unwrap();
        let pulse = Pulse::default();
        pulse.beat_once(&store, &lease).await.unwrap_err();
        assert!(pulse.is_lost());
    }

    async fn claimed(room: &std::path::Path) -> (Store, Lease) {
        let store = Store::new(&format!("sqlite://{}/jobs.db", room.display())).unwrap();
        let job = NewJob {
            idempotency_key: None,
            request_digest: "d".into(),
            name: "shop".into(),
            recipe: json!({}),
            data: Vec::new(),
            force: false,
            activate: true,
            max_attempts: 2,
        };
        store.enqueue(&job).await.unwrap();
        let lease = store.claim("w1", Duration::from_secs(3_600)).await.unwrap();
        (store, lease.unwrap())
    }
}
