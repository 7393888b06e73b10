//! What the training and the heartbeat tell each other.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::store::{Beat, Lease, Order, Store, StoreError};

const GOES_ON: u8 = 0;
const SHUTDOWN: u8 = 1;
const CANCELLED: u8 = 2;
const LOST: u8 = 3;

/// One job's.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    stopped: AtomicU8,
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

    pub fn is_cancelled(&self) -> bool {
        self.stopped.load(Ordering::Acquire) == CANCELLED
    }

    pub fn is_lost(&self) -> bool {
        self.stopped.load(Ordering::Acquire) == LOST
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
                Ok(Order::Continue) => {}
                Ok(Order::Cancel) => self.stop(CANCELLED),
                Err(StoreError::LeaseLost(_)) => self.stop(LOST),
                // The lease may still be ours when the database is back; if not, it will say so.
                Err(error) => {
                    tracing::warn!(job = %lease.job.id, %error, "a heartbeat was not heard");
                }
            }
        }
    }

    /// Everything told so far, kept where it could not be said.
    pub async fn beat_once(&self, store: &Store, lease: &Lease) -> Result<Order, StoreError> {
        let (beat, epochs) = {
            let told = self.told();
            (told.beat.clone(), told.epochs.clone())
        };
        let order = store.beat(lease, &beat).await?;
        for (epoch, figures) in &epochs {
            store.record_epoch(lease, *epoch, figures).await?;
        }
        self.told().epochs.drain(..epochs.len());
        Ok(order)
    }

    /// The first reason stays.
    fn stop(&self, why: u8) {
        let _ = self
            .stopped
            .compare_exchange(GOES_ON, why, Ordering::AcqRel, Ordering::Acquire);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
