//! What a server with a database does beside serving: it counts jobs, forgets old feedback, follows the registry, and trains
//! where it is told to. None of it stops the server, and a database that is away only makes it wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

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
    tasks: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts what the configuration asks for.
    pub fn start(config: &ServeConfig, shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let mut background = Self {
            stop: watch::Sender::new(false),
            tasks: Vec::new(),
        };
        let Some(store) = &shared.store else {
            return Ok(background);
        };
        let upkeep = Upkeep {
            store: Arc::clone(store),
            shared: Arc::clone(shared),
            retention: config.feedback_retention,
        };
        let stopped = background.stop.subscribe();
        background.tasks.push(tokio::spawn(upkeep.run(stopped)));
        let follower = Follower::new(
            Arc::clone(&shared.catalog),
            Arc::clone(store),
            shared.storage.clone(),
            config.worker.poll,
        );
        let stopped = background.stop.subscribe();
        background.tasks.push(tokio::spawn(follower.run(stopped)));
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
            let stopped = background.stop.subscribe();
            background.tasks.push(tokio::spawn(async move {
                if let Err(error) = worker.run(stopped).await {
                    tracing::error!(%error, "the worker ended");
                }
            }));
        }
        Ok(background)
    }

    /// Tells everything to stop, and waits no longer than this for it.
    pub async fn stop(self, most: Duration) {
        self.stop.send_replace(true);
        let all = futures_util::future::join_all(self.tasks);
        if tokio::time::timeout(most, all).await.is_err() {
            tracing::warn!("background work was cut off; a training job goes on elsewhere");
        }
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
