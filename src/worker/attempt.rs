//! One attempt at a job, on threads that may wait: read, train, prove, publish.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;

use super::download::DownloadError;
use super::pulse::Pulse;
use super::reviews::Fetched;
use super::{WorkerSettings, reviews};
use crate::engine::session::Runtime;
use crate::store::{Failure, FeedbackFilter, Id, Lease, Publication, Store, StoreError};
use crate::train::checkpoint::{CheckpointError, Checkpoints, Start};
use crate::train::dataset;
use crate::train::fit::{Control, EndOfEpoch, Event, Happened};
use crate::train::run::{Finished, Prepared, Reviews, TrainError};
use crate::train::view::{LINE_EVERY, Pace, Standing};

/// Everything that it works with.
pub(super) struct Attempt {
    pub settings: WorkerSettings,
    pub store: Arc<Store>,
    pub runtime: Runtime,
    pub lease: Lease,
    pub pulse: Arc<Pulse>,
    pub seen: watch::Sender<Option<Standing>>,
    pub handle: tokio::runtime::Handle,
}

/// How it ends.
pub(super) enum End {
    /// The bundle is in its place.
    Published(Publication),
    /// It was told to stop.
    Stopped,
    /// It can go on when somebody else has let go.
    Later(Duration),
    /// It failed.
    Failed(Failure),
}

/// Removes a job's checkpoints: nobody will go on from them.
pub(super) fn forget(settings: &WorkerSettings, lease: &Lease) {
    let dir = settings.checkpoints.join(lease.job.id.as_str());
    if let Err(error) = fs::remove_dir_all(&dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %dir.display(), %error, "checkpoints are left behind");
    }
}

impl End {
    /// Nothing will change by itself.
    pub(super) fn hopeless(error: impl ToString) -> Self {
        Self::Failed(Failure {
            error: error.to_string(),
            again: false,
            wait: Duration::ZERO,
        })
    }

    pub(super) fn try_again(error: impl ToString) -> Self {
        Self::Failed(Failure {
            error: error.to_string(),
            again: true,
            wait: Duration::from_secs(5),
        })
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::LeaseLost(_) => Self::Stopped,
            error => Self::try_again(error),
        }
    }
}

impl From<TrainError> for End {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Checkpoint(error) => error.into(),
            error => Self::hopeless(error),
        }
    }
}

impl From<CheckpointError> for End {
    fn from(error: CheckpointError) -> Self {
        match error {
            // A worker that has lost the job has not heard of it yet.
            CheckpointError::Busy(_) => Self::Later(Duration::from_secs(1)),
            error => Self::try_again(error),
        }
    }
}

impl From<DownloadError> for End {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::Refused(_) => Self::hopeless(error),
            DownloadError::Failed(_) => Self::try_again(error),
        }
    }
}

impl Attempt {
    pub fn run(&self) -> End {
        self.publish().map_or_else(|end| end, End::Published)
    }

    fn publish(&self) -> Result<Publication, End> {
        let prepared = self.prepare()?;
        let (checkpoints, start) = self.begin(&prepared)?;
        let mut observer = Observer::new(self, &start);
        let steps = observer.checkpoint;
        self.pulse.tell(steps, json!({"phase": "training"}));
        self.wait(self.store.started(&self.lease, steps))?;
        let finished = prepared.train(start.state, Some(&checkpoints), &mut |event| {
            observer.observe(&event)
        })?;
        let Finished::Trained(trained) = finished else {
            return Err(End::Stopped);
        };
        let (draft, proof) = trained.into_draft(&self.runtime)?;
        tracing::info!(job = %self.lease.job.id, rows = proof.rows, worst = proof.worst, "proven in ONNX Runtime");
        if !self.lease.job.force {
            self.compare(&draft)?;
        }
        // The last word before anything is published: a lost lease stops here.
        self.wait(self.pulse.beat_once(&self.store, &self.lease))?;
        if !self.pulse.goes_on() {
            return Err(End::Stopped);
        }
        self.put(draft)
    }

    fn prepare(&self) -> Result<Prepared, End> {
        let job = &self.lease.job;
        self.pulse.tell_phase(json!({"phase": "reading"}));
        let feedback = if reviews::wants_feedback(job) {
            let languages = job.recipe["languages"].as_array();
            let languages = languages.into_iter().flatten().filter_map(|l| l.as_str());
            let filter = FeedbackFilter {
                languages: languages.map(str::to_owned).collect(),
                // Every attempt learns from the same rows.
                until_ms: Some(job.created_ms),
                model: None,
            };
            self.wait(self.store.feedback(&filter))?
        } else {
            Vec::new()
        };
        let mut downloads = Vec::new();
        for url in reviews::urls(job).map_err(End::hopeless)? {
            let download = self.handle.block_on(self.settings.by_url.fetch(&url));
            downloads.push(download?);
        }
        let fetched = Fetched {
            feedback,
            downloads,
        };
        let reviews = reviews::find(job, &self.settings.data, fetched).map_err(End::hopeless)?;
        let dataset = dataset::read(&reviews.recipe.data, &reviews.paths).map_err(End::hopeless)?;
        let splits = dataset::split(&reviews.recipe.data, &dataset).map_err(End::hopeless)?;
        let prepared = Prepared::new(
            reviews.recipe,
            Reviews {
                dataset: &dataset,
                splits: &splits,
                folder: &self.settings.data,
            },
        )?;
        if let Some(read) = prepared.pretrained() {
            tracing::info!(
                job = %job.id,
                file = read.file,
                found = read.found,
                words = read.words,
                "vectors read"
            );
        }
        Ok(prepared)
    }

    /// Where the last attempt was, else at the beginning: checkpoints that are damaged or of other data or another program
    /// are of no use.
    fn begin(&self, prepared: &Prepared) -> Result<(Checkpoints, Start), End> {
        let dir = self.settings.checkpoints.join(self.lease.job.id.as_str());
        let every = self.settings.checkpoint_every;
        let checkpoints = Checkpoints::open(&dir, every, prepared.origin())?;
        match checkpoints.latest(prepared.start()) {
            Ok(start) => Ok((checkpoints, start)),
            Err(error @ (CheckpointError::Foreign { .. } | CheckpointError::Damaged { .. })) => {
                tracing::warn!(job = %self.lease.job.id, %error, "starting over");
                checkpoints.remove()?;
                let checkpoints = Checkpoints::open(&dir, every, prepared.origin())?;
                Ok((checkpoints, Start::fresh(prepared.start())))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn wait<T>(
        &self,
        store: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, End> {
        self.handle.block_on(store).map_err(End::from)
    }
}

/// Tells the heartbeat, and whoever looks on, how far the training is.
struct Observer<'a> {
    job: &'a Id,
    pulse: &'a Pulse,
    seen: &'a watch::Sender<Option<Standing>>,
    every: usize,
    checkpoint: i64,
    pace: Pace,
    said: Instant,
}

impl<'a> Observer<'a> {
    fn new(attempt: &'a Attempt, start: &Start) -> Self {
        let steps = match start.from {
            Some(_) => start.state.stepper.adam.steps(),
            None => 0,
        };
        for epoch in &start.state.history.epochs {
            attempt.pulse.tell_epoch(epoch.epoch as i64, json!(epoch));
        }
        Self {
            job: &attempt.lease.job.id,
            pulse: &attempt.pulse,
            seen: &attempt.seen,
            every: attempt.settings.checkpoint_every.get(),
            checkpoint: steps as i64,
            pace: Pace::start(),
            said: Instant::now(),
        }
    }

    fn observe(&mut self, event: &Event<'_>) -> Control {
        match event.happened {
            Happened::Step(progress) => {
                let steps = event.state.stepper.adam.steps();
                // The one that is due at this step is written after this.
                let written = (steps.saturating_sub(1) / self.every * self.every) as i64;
                self.checkpoint = self.checkpoint.max(written);
                let standing = self.pace.at(progress);
                self.show(&standing);
            }
            Happened::Epoch(EndOfEpoch { epoch, epochs, .. }) => {
                tracing::info!(
                    job = %self.job,
                    epoch = epoch.epoch,
                    epochs,
                    loss = epoch.loss,
                    accuracy = epoch.accuracy,
                    val_loss = epoch.val_loss,
                    val_accuracy = epoch.val_accuracy,
                    seconds = epoch.seconds,
                    "epoch finished"
                );
                self.pulse.tell_epoch(epoch.epoch as i64, json!(epoch));
            }
        }
        match self.pulse.goes_on() {
            true => Control::Continue,
            false => Control::Stop,
        }
    }

    fn show(&mut self, standing: &Standing) {
        let mut shown = json!(standing);
        shown["phase"] = json!("training");
        self.pulse.tell(self.checkpoint, shown);
        if self.seen.receiver_count() > 0 {
            self.seen.send_replace(Some(*standing));
        } else if self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            let p = &standing.progress;
            tracing::info!(
                job = %self.job,
                epoch = p.epoch,
                epochs = p.epochs,
                step = p.step,
                steps = p.steps,
                loss = p.loss,
                accuracy = p.accuracy,
                seconds_left = standing.seconds_left,
                "training"
            );
        }
    }
}
