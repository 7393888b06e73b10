//! The worker: claims a training job, trains, proves, publishes, and ends it, with a heartbeat beside it.
//!
//! Killed at any moment it leaves a lease that runs out, checkpoints from which another goes on, and at most a reserved
//! version without a bundle or a bundle that the next attempt takes over: a job publishes once. A job whose lease is lost
//! is left alone at once, and what is still said of it changes nothing.

mod attempt;
mod better;
mod desk;
mod download;
mod end;
mod patience;
mod publish;
mod pulse;
mod reviews;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::watch;

use crate::config::WorkerConfig;
use crate::engine::session::Runtime;
use crate::storage::Storage;
use crate::store::{Id, JobState, Lease, Store, StoreError};
use crate::system;
use crate::train::view::Standing;
use attempt::Attempt;
use end::End;
use patience::PATIENCE;
use pulse::Pulse;

pub use download::ByUrl;
pub use reviews::{Aside, FEEDBACK};

/// Before a failed job is tried again, at first and at most: six times as long each time.
const BACKOFF: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(600)];
/// Before a job that only a newer program can do is claimed again.
const NEWER_PAUSE: Duration = Duration::from_secs(30);
/// Between two looks for folders of jobs that have ended.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

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
        let mut swept: Option<Instant> = None;
        while !*stop.borrow() {
            let claimed = self.store.claim(&self.name, self.settings.lease).await;
            match claimed {
                Ok(Some(lease)) => {
                    down = false;
                    self.work(lease, &mut stop).await;
                    continue;
                }
                Ok(None) => {
                    down = false;
                    if swept.is_none_or(|swept| swept.elapsed() > SWEEP_EVERY) {
                        swept = Some(Instant::now());
                        self.sweep().await;
                    }
                    if self.settings.once {
                        return Ok(());
                    }
                }
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
        let end =
            end.unwrap_or_else(|panic| End::try_again(format!("the training broke off: {panic}")));
        // It beats until the last word is heard: a database may be away for longer than a lease.
        tokio::select! {
            said = self.settle(&lease, end, &pulse, stop) => if let Err(error) = said {
                tracing::warn!(%job, %error, "what became of the job could not be said");
            },
            () = &mut heart => {}
        }
    }

    async fn settle(
        &self,
        lease: &Lease,
        end: End,
        pulse: &Pulse,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), StoreError> {
        let job = &lease.job.id;
        match end {
            End::Published(version) => {
                desk::forget(&self.settings.checkpoints, job);
                tracing::info!(%job, model = lease.job.name, version, "training job succeeded");
            }
            End::Lost => tracing::warn!(%job, "the lease is lost"),
            End::Stopped if pulse.is_lost() => tracing::warn!(%job, "the lease is lost"),
            End::Stopped => {
                let state = self
                    .say(stop, || self.store.put_back(lease, Duration::ZERO))
                    .await?;
                self.forget_ended(job, state);
                let cancelled = state == JobState::Cancelled;
                tracing::info!(%job, cancelled, "training job stopped");
            }
            End::Newer(reason) => {
                tracing::warn!(%job, reason, "a newer worker has to take the job");
                self.say(stop, || self.store.put_back(lease, NEWER_PAUSE))
                    .await?;
            }
            End::Failed(failure) => {
                tracing::warn!(%job, error = failure.error, again = failure.again, "training job failed");
                let wait = backoff(lease.job.attempts);
                let state = self
                    .say(stop, || self.store.fail(lease, &failure, wait))
                    .await?;
                self.forget_ended(job, state);
            }
        }
        Ok(())
    }

    /// Nobody goes on with a job that has ended.
    fn forget_ended(&self, job: &Id, state: JobState) {
        if state.is_final() {
            desk::forget(&self.settings.checkpoints, job);
        }
    }

    /// Says it until the database has heard it, for a lease's time at most once the worker is told to stop.
    async fn say<T, F>(
        &self,
        stop: &watch::Receiver<bool>,
        mut once: impl FnMut() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let since = Instant::now();
        loop {
            let most = match *stop.borrow() {
                true => self.settings.lease,
                false => PATIENCE,
            };
            match once().await {
                Err(error) if error.may_pass() && since.elapsed() < most => {
                    tokio::time::sleep(self.settings.poll).await;
                }
                said => return said,
            }
        }
    }

    /// Removes the folders of jobs that have ended, which their last worker has not come to do.
    async fn sweep(&self) {
        let checkpoints = &self.settings.checkpoints;
        for job in desk::jobs(checkpoints) {
            match self.store.job(&job).await {
                Ok(Some(found)) => self.forget_ended(&job, found.state),
                // It is another database's.
                Ok(None) => {}
                Err(error) => tracing::debug!(%job, %error, "not looked at"),
            }
        }
    }
}

fn backoff(attempts: i64) -> Duration {
    let [first, most] = BACKOFF;
    let times = 6_u32.saturating_pow(attempts.try_into().unwrap_or(u32::MAX));
    first.saturating_mul(times).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_fails_again_waits_longer_each_time_and_not_for_ever() {
        let seconds: Vec<u64> = [0, 1, 2, 3, 99]
            .map(|attempts| backoff(attempts).as_secs())
            .to_vec();
        assert_eq!(seconds, [5, 30, 180, 600, 600]);
    }
}
