//! The worker: claims a training job, trains, proves, publishes, and ends it, with a heartbeat beside it.
//!
//! Killed at any moment it leaves a lease that runs out, checkpoints from which another goes on, and at most a reserved
//! version without a bundle or a bundle that the next attempt takes over: a job publishes once. A job whose lease is lost
//! is left alone at once, and what is still said of it changes nothing.

mod attempt;
mod better;
mod download;
mod publish;
mod pulse;
mod reviews;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;

use crate::config::WorkerConfig;
use crate::engine::session::Runtime;
use crate::storage::Storage;
use crate::store::{Failure, Lease, Store, StoreError};
use crate::system;
use crate::train::view::Standing;
use attempt::{Attempt, End};
use pulse::Pulse;

pub use download::ByUrl;
pub use reviews::{FEEDBACK, put_aside};

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// The folder of models, into which bundles are published.
    pub models: PathBuf,
    /// Where bundles are published instead, if servers on other machines are to find them.
    pub storage: Option<Arc<Storage>>,
    /// The folder below which the data of jobs lies.
    pub data: PathBuf,
    /// What is taken by URL.
    pub by_url: ByUrl,
    /// The folder of checkpoints, one folder in it for each job.
    pub checkpoints: PathBuf,
    /// Steps from one checkpoint to the next.
    pub checkpoint_every: NonZeroUsize,
    /// Threads that train.
    pub threads: usize,
    /// Whether they run only where a core has nothing else to do.
    pub in_background: bool,
    /// How long a job is kept without a heartbeat.
    pub lease: Duration,
    /// How often an empty queue is looked at.
    pub poll: Duration,
    /// Whether it ends when the queue is empty.
    pub once: bool,
}

impl WorkerSettings {
    /// As it is told, with so many threads that do not yield, until it is stopped.
    pub fn new(config: &WorkerConfig, threads: usize) -> Self {
        Self {
            models: PathBuf::from("models"),
            storage: None,
            data: config.data_dir.clone(),
            by_url: ByUrl {
                allow: config.data_allow.clone(),
                max_bytes: config.data_max_bytes,
                timeout: config.data_timeout,
            },
            checkpoints: config.checkpoints.clone(),
            checkpoint_every: config.checkpoint_every,
            threads,
            in_background: false,
            lease: config.lease,
            poll: config.poll,
            once: false,
        }
    }
}

/// One worker: one job at a time.
#[derive(Debug)]
pub struct Worker {
    name: String,
    settings: WorkerSettings,
    store: Arc<Store>,
    runtime: Runtime,
    pool: Arc<rayon::ThreadPool>,
    seen: watch::Sender<Option<Standing>>,
}

impl Worker {
    /// With threads of its own.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn new(
        settings: WorkerSettings,
        store: Arc<Store>,
        runtime: Runtime,
    ) -> anyhow::Result<Self> {
        let in_background = settings.in_background;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(settings.threads)
            .thread_name(|number| format!("train-{number}"))
            .start_handler(move |_| {
                if in_background {
                    system::run_in_the_background();
                }
            })
            .build()
            .context("the threads that train cannot be started")?;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Self {
            name: format!("{}:{}", host.trim(), std::process::id()),
            settings,
            store,
            runtime,
            pool: Arc::new(pool),
            seen: watch::Sender::new(None),
        })
    }

    /// Where the training under way stands. As long as nobody looks on, the log says it.
    pub fn standing(&self) -> watch::Receiver<Option<Standing>> {
        self.seen.subscribe()
    }

    /// Works until it is told to stop, then puts its job back with a checkpoint of where it is.
    ///
    /// # Errors
    /// With `once`: the database fails.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        tracing::info!(worker = self.name, "waiting for training jobs");
        let mut down = false;
        while !*stop.borrow() {
            let claimed = self.store.claim(&self.name, self.settings.lease).await;
            match claimed {
                Ok(Some(lease)) => {
                    down = false;
                    self.work(lease, &mut stop).await;
                    continue;
                }
                Ok(None) if self.settings.once => return Ok(()),
                Ok(None) => down = false,
                Err(error) if self.settings.once => return Err(error.into()),
                Err(error) if !down => {
                    down = true;
                    tracing::warn!(%error, "no jobs can be claimed; trying again");
                }
                Err(_) => {}
            }
            let _ = tokio::time::timeout(self.settings.poll, stop.wait_for(|stop| *stop)).await;
        }
        Ok(())
    }

    async fn work(&self, lease: Lease, stop: &mut watch::Receiver<bool>) {
        let job = lease.job.id.clone();
        tracing::info!(%job, model = lease.job.name, "training job claimed");
        let pulse = Arc::new(Pulse::default());
        let attempt = Attempt {
            settings: self.settings.clone(),
            store: Arc::clone(&self.store),
            runtime: self.runtime.clone(),
            lease: lease.clone(),
            pulse: Arc::clone(&pulse),
            seen: self.seen.clone(),
            handle: tokio::runtime::Handle::current(),
        };
        let pool = Arc::clone(&self.pool);
        let mut trained = tokio::task::spawn_blocking(move || pool.install(|| attempt.run()));
        let heart = pulse.beat(&self.store, &lease, self.settings.lease / 3);
        tokio::pin!(heart);
        let end = loop {
            tokio::select! {
                end = &mut trained => break end,
                () = &mut heart => {}
                _ = stop.wait_for(|stop| *stop), if pulse.goes_on() => pulse.stop_for_shutdown(),
            }
        };
        self.seen.send_replace(None);
        let end = end.unwrap_or_else(|panic| {
            End::Failed(Failure {
                error: format!("the training broke off: {panic}"),
                again: true,
                wait: Duration::from_secs(1),
            })
        });
        if let Err(error) = self.settle(&lease, end, &pulse).await {
            tracing::warn!(%job, %error, "what became of the job could not be said");
        }
    }

    async fn settle(&self, lease: &Lease, end: End, pulse: &Pulse) -> Result<(), StoreError> {
        let job = &lease.job.id;
        match end {
            End::Published(made) => {
                let version = made.version;
                self.say(|| self.store.finish(lease, &made)).await?;
                attempt::forget(&self.settings, lease);
                tracing::info!(%job, model = lease.job.name, version, "training job succeeded");
            }
            End::Stopped if pulse.is_lost() => tracing::warn!(%job, "the lease is lost"),
            End::Stopped => {
                self.say(|| self.store.put_back(lease, Duration::ZERO))
                    .await?;
                if pulse.is_cancelled() {
                    attempt::forget(&self.settings, lease);
                }
                tracing::info!(%job, cancelled = pulse.is_cancelled(), "training job stopped");
            }
            End::Later(wait) => {
                self.say(|| self.store.put_back(lease, wait)).await?;
            }
            End::Failed(failure) => {
                tracing::warn!(%job, error = failure.error, again = failure.again, "training job failed");
                self.say(|| self.store.fail(lease, &failure)).await?;
            }
        }
        Ok(())
    }

    /// Says it until the database has heard it, as long as the lease could still be held.
    async fn say<F>(&self, mut once: impl FnMut() -> F) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let until = tokio::time::Instant::now() + self.settings.lease;
        loop {
            match once().await {
                Err(StoreError::Database(_)) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(self.settings.poll).await;
                }
                said => return said,
            }
        }
    }
}
