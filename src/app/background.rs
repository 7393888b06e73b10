//! What a server with a database does beside serving: it counts jobs, forgets old feedback, follows the registry, and trains
//! where it is told to. A database that is away only makes it wait; a part that crashes makes the server end, as if it had been told to.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::catalog::Follower;
use crate::config::{ServeConfig, usable_cpus};
use crate::http::Shared;
use crate::store::Store;
use crate::worker::{Worker, WorkerSettings};

/// Between two counts.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Everything under way.
pub(super) struct Background {
    stop: watch::Sender<bool>,
    parts: JoinSet<Ended>,
}

/// How a part ended.
struct Ended {
    part: &'static str,
    /// What it should not have ended with.
    crash: Option<String>,
}

impl Background {
    /// Starts what the configuration asks for.
    pub fn start(config: &ServeConfig, shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let mut background = Self::none();
        let Some(store) = &shared.store else {
            return Ok(background);
        };
        let upkeep = Upkeep {
            store: Arc::clone(store),
            shared: Arc::clone(shared),
            retention: config.feedback_retention,
        };
        background.add("upkeep", |stopped| async {
            upkeep.run(stopped).await;
            Ok(())
        });
        let follower = Follower::new(
            Arc::clone(&shared.catalog),
            Arc::clone(store),
            shared.storage.clone(),
            config.worker.poll,
        );
        background.add("follower", |stopped| async {
            follower.run(stopped).await;
            Ok(())
        });
        if config.with_worker {
            let threads = match config.worker.train_threads {
                Some(threads) => threads.get(),
                None => (usable_cpus() / 2).max(1),
            };
            let settings = WorkerSettings {
                models: config.models.clone(),
                storage: shared.storage.clone(),
                in_background: true,
                ..WorkerSettings::new(&config.worker, threads)
            };
            let worker = Worker::new(
                settings,
                Arc::clone(store),
                shared.catalog.runtime().clone(),
            )?;
            background.add("worker", |stopped| async move { worker.run(stopped).await });
        }
        Ok(background)
    }

    fn none() -> Self {
        Self {
            stop: watch::Sender::new(false),
            parts: JoinSet::new(),
        }
    }

    /// A part, which ends well only once it is told to.
    fn add<F>(&mut self, part: &'static str, run: impl FnOnce(watch::Receiver<bool>) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stopped = self.stop.subscribe();
        let running = AssertUnwindSafe(run(stopped.clone())).catch_unwind();
        self.parts.spawn(async move {
            let crash = match running.await {
                Err(_) => Some("it panicked".to_owned()),
                Ok(Err(error)) => Some(format!("{error:#}")),
                Ok(Ok(())) if !*stopped.borrow() => Some("it ended by itself".to_owned()),
                Ok(Ok(())) => None,
            };
            Ended { part, crash }
        });
    }

    /// Waits for a part that crashes; for ever where none does.
    pub async fn crashed(&mut self) -> String {
        while let Some(ended) = self.parts.join_next().await {
            if let Some(crash) = crash(ended) {
                return crash;
            }
        }
        std::future::pending().await
    }

    /// Tells everything to stop, and waits no longer than this for it.
    ///
    /// # Errors
    /// A part crashed on its way.
    pub async fn stop(mut self, most: Duration) -> Result<(), String> {
        self.stop.send_replace(true);
        let all = async {
            let mut crashes = Vec::new();
            while let Some(ended) = self.parts.join_next().await {
                crashes.extend(crash(ended));
            }
            crashes
        };
        match tokio::time::timeout(most, all).await {
            Ok(crashes) if crashes.is_empty() => Ok(()),
            Ok(crashes) => Err(crashes.join("; ")),
            Err(_) => {
                tracing::warn!("background work was cut off; a training job goes on elsewhere");
                Ok(())
            }
        }
    }
}

fn crash(ended: Result<Ended, JoinError>) -> Option<String> {
    match ended {
        Ok(Ended { part, crash }) => crash.map(|crash| format!("the {part} crashed: {crash}")),
        Err(error) => Some(error.to_string()),
    }
}

struct Upkeep {
    store: Arc<Store>,
    shared: Arc<Shared>,
    retention: Duration,
}

impl Upkeep {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut up = true;
        while !*stop.borrow() {
            let now = self.count().await;
            let metrics = &self.shared.metrics;
            metrics.store_up.set(i64::from(now.is_ok()));
            match now {
                Err(error) if up => tracing::warn!(%error, "the database does not answer"),
                Ok(()) if !up => tracing::info!("the database answers again"),
                _ => {}
            }
            up = metrics.store_up.get() == 1;
            self.shared.store_trouble.send_replace(!up);
            if up {
                self.forget().await;
            }
            let _ = tokio::time::timeout(COUNT_EVERY, stop.wait_for(|stop| *stop)).await;
        }
    }

    async fn count(&self) -> Result<(), crate::store::StoreError> {
        for (state, count) in self.store.jobs_by_state().await? {
            self.shared.metrics.jobs(state.as_str(), count);
        }
        let pace = self.store.pace().await?;
        self.shared.metrics.leases(pace.held, pace.expired);
        let age = &self.shared.metrics.training_queue_age;
        age.set(pace.waiting_ms / 1_000);
        Ok(())
    }

    /// What cannot be deleted now is tried again, and says nothing of whether the database answers.
    async fn forget(&self) {
        if self.retention.is_zero() {
            return;
        }
        match self.store.forget_feedback(self.retention).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "old feedback is deleted"),
            Err(error) => tracing::warn!(%error, "old feedback is not deleted"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn background(ends: fn() -> anyhow::Result<()>) -> Background {
        let mut background = Background::none();
        let wait = |mut stopped: watch::Receiver<bool>| async move {
            stopped.wait_for(|stop| *stop).await?;
            Ok(())
        };
        background.add("patient", wait);
        background.add("hasty", move |_| async move { ends() });
        background
    }

    #[test]
    fn a_part_that_panics_fails_or_ends_by_itself_is_noticed_and_named() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let hour = Duration::from_secs(3600);
        runtime.block_on(async {
            for (ends, part) in [
                ((|| panic!("unlucky")) as fn() -> _, "it panicked"),
                (|| anyhow::bail!("no disk"), "no disk"),
                (|| Ok(()), "by itself"),
            ] {
                let mut background = background(ends);
                let crash = background.crashed().await;
                assert!(crash.contains("hasty") && crash.contains(part), "{crash}");
                assert_eq!(background.stop(hour).await, Ok(()));
            }
            // Noticed on the way out too.
            let crash = background(|| panic!("unlucky")).stop(hour).await;
            assert!(crash.unwrap_err().contains("hasty"));
        });
    }
}
