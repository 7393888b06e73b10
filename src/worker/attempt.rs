//! One attempt at a job, on threads that may wait: read, train, prove, publish.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tempfile::NamedTempFile;
use tokio::sync::watch;

use super::desk::Desk;
use super::end::End;
use super::pulse::Pulse;
use super::reviews::{Aside, Fetched, NoData};
use super::{WorkerSettings, reviews};
use crate::engine::session::Runtime;
use crate::recipe::Recipe;
use crate::store::{FeedbackFilter, Id, Lease, Store};
use crate::train::checkpoint::Start;
use crate::train::dataset;
use crate::train::fit::{Control, EndOfEpoch, Event, Happened};
use crate::train::run::{Finished, Prepared, Reviews};
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

impl Attempt {
    pub fn run(&self) -> End {
        self.publish().map_or_else(|end| end, End::Published)
    }

    fn publish(&self) -> Result<i64, End> {
        let desk = Desk::take(&self.settings.checkpoints, &self.lease.job.id)?;
        let scraps = desk.scraps().to_owned();
        let prepared = self.prepare(&scraps)?;
        self.go_on()?;
        let (checkpoints, start) = desk.begin(self.settings.checkpoint_every, &prepared)?;
        let mut observer = Observer::new(self, &start);
        let (steps, epochs) = (observer.checkpoint, start.state.history.epochs.len());
        // What is said from now on must not be more than where it begins.
        self.pulse.tell(steps, json!({"phase": "training"}));
        self.wait(|| self.store.started(&self.lease, steps, epochs as i64))?;
        let finished = prepared.train(start.state, Some(&checkpoints), &mut |event| {
            observer.observe(&event)
        })?;
        let Finished::Trained(trained) = finished else {
            return Err(End::Stopped);
        };
        self.go_on()?;
        self.pulse.tell_phase(json!({"phase": "proving"}));
        let (draft, proof) = trained.into_draft(&self.runtime)?;
        tracing::info!(job = %self.lease.job.id, rows = proof.rows, worst = proof.worst, "proven in ONNX Runtime");
        // The last word of the training, and a lost lease stops here.
        self.wait(|| self.pulse.beat_once(&self.store, &self.lease))?;
        self.go_on()?;
        self.publish_draft(draft, &scraps)
    }

    fn prepare(&self, scraps: &Path) -> Result<Prepared, End> {
        let job = &self.lease.job;
        self.pulse.tell_phase(json!({"phase": "reading"}));
        // It was checked by the server that took it.
        let recipe: Recipe = serde_json::from_value(job.recipe.clone())
            .map_err(|error| End::Newer(error.to_string()))?;
        let feedback = match reviews::wants_feedback(job) {
            true => Some(self.feedback(scraps)?),
            false => None,
        };
        let mut downloads = Vec::new();
        for url in reviews::urls(job).map_err(End::hopeless)? {
            downloads.push(self.download(&url, scraps)?);
        }
        let fetched = Fetched {
            feedback,
            downloads,
        };
        let reviews = reviews::find(job, recipe, &self.settings.data, fetched)?;
        let goes_on = || self.pulse.goes_on();
        let dataset = dataset::read_while(&reviews.recipe.data, &reviews.paths, &goes_on)
            .map_err(|error| reviews.unusable(&error))?
            .ok_or(End::Stopped)?;
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

    fn feedback(&self, scraps: &Path) -> Result<Aside, End> {
        let job = &self.lease.job;
        let languages = job.recipe["languages"].as_array();
        let languages = languages.into_iter().flatten().filter_map(|l| l.as_str());
        let filter = FeedbackFilter {
            languages: languages.map(str::to_owned).collect(),
            // Every attempt learns from the same rows.
            until_ms: Some(job.created_ms),
            model: None,
        };
        let no_room = |error: std::io::Error| End::try_again(format!("feedback: {error}"));
        let mut aside = Aside::within(scraps).map_err(no_room)?;
        let mut last = None;
        loop {
            let page = self.wait(|| self.store.feedback(&filter, last.as_ref()))?;
            aside.add(&page).map_err(no_room)?;
            self.go_on()?;
            let Some(end) = page.into_iter().last() else {
                return aside.whole().map_err(no_room);
            };
            last = Some(end);
        }
    }

    fn download(&self, url: &str, scraps: &Path) -> Result<NamedTempFile, End> {
        let by_url = &self.settings.by_url;
        let fetched = self.handle.block_on(async {
            tokio::select! {
                fetched = by_url.fetch(url, scraps) => Some(fetched),
                () = self.pulse.stopped() => None,
            }
        });
        let file = fetched.ok_or(End::Stopped)??;
        by_url.check_unpacked(url, file.path(), &|| self.pulse.goes_on())?;
        self.go_on()?;
        Ok(file)
    }
}

impl From<NoData> for End {
    fn from(error: NoData) -> Self {
        match error {
            NoData::Refused(reason) => Self::hopeless(reason),
            NoData::Failed(reason) => Self::try_again(reason),
        }
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
