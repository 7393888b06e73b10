//! Many small networks on the same reviews, side by side, to find the best recipe by its validation loss.
//!
//! A run gives the figures that `sentiment train` gives for its recipe, bit for bit, whatever runs beside it. Test rows are
//! never scored: they are for the one model that is chosen. What a run has done is kept in checkpoints, from which it goes on
//! after it was stopped or killed.

mod grid;
mod kept;
mod parameter;
mod plot;
mod record;
mod table;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use grid::{Axes, Grid, GridError, Settings};
pub use kept::Kept;
pub use parameter::{SettingError, apply, in_words};
pub use plot::plot;
pub use record::{Outcome, Record, RecordError, Run};
pub use table::{Table, loss_in_words};

use super::checkpoint::{CheckpointError, Checkpoints};
use super::fit::{Control, Event, Happened};
use super::report::History;
use super::run::{Prepared, Reviews, TrainError};
use crate::recipe::Recipe;

/// Why a search ended early.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The texts of a run cannot be encoded.
    #[error("{settings}: {reason}")]
    Texts {
        /// The run.
        settings: String,
        /// Why.
        reason: String,
    },
    /// What was kept of a run, or is to be.
    #[error(transparent)]
    Kept(#[from] CheckpointError),
    /// There are no threads.
    #[error("a run cannot be started: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// How the cores are shared.
#[derive(Clone, Copy, Debug)]
pub struct Jobs {
    /// Networks that train at the same time.
    pub side_by_side: NonZeroUsize,
    /// Threads of each.
    pub threads: NonZeroUsize,
}

/// A run that is to be done.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its parameters.
    pub settings: Settings,
    /// The recipe that they make.
    pub recipe: Recipe,
}

impl Planned {
    /// Runs of equal recipes are one, however their parameters are named.
    pub fn identity(&self) -> String {
        serde_json::to_string(&self.recipe).expect("a recipe is numbers and names")
    }
}

/// What is told of the runs.
pub enum News {
    /// A run goes on where it was stopped.
    Resumed {
        /// Its parameters, in words.
        settings: String,
        /// The epoch in progress, from 1.
        epoch: usize,
        /// Steps of it that are done.
        step: usize,
        /// Newer checkpoints that could not be read, and why.
        damaged: Vec<(PathBuf, String)>,
    },
    /// How far a run is.
    Share {
        /// Its place among those planned.
        run: usize,
        /// The share of its steps that are done.
        share: f64,
    },
    /// A run is done.
    Done {
        /// Its place among those planned.
        run: usize,
        /// What became of it.
        done: Box<Run>,
        /// To be removed when that is on record.
        kept: Checkpoints,
    },
}

/// Runs with equal texts, encoded once by the first of them and dropped with the last.
#[derive(Default)]
struct Texts(OnceLock<Result<Prepared, String>>);

struct Waiting {
    run: usize,
    planned: Planned,
    texts: Arc<Texts>,
}

/// Does all runs, in order, as many at a time as there are jobs; what is told of them is said on this thread. Once `stop`
/// is set the runs in progress are kept as they are, and no other begins.
///
/// # Errors
/// Texts cannot be encoded, a checkpoint cannot be used, or what `tell` says.
pub fn search<E: From<SweepError>>(
    reviews: Reviews<'_>,
    planned: Vec<Planned>,
    jobs: Jobs,
    (kept, stop): (&Kept, &AtomicBool),
    mut tell: impl FnMut(News) -> Result<(), E>,
) -> Result<(), E> {
    let queue = Mutex::new(waiting(planned));
    let work = |news: &Sender<Result<News, SweepError>>| -> Result<(), SweepError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(jobs.threads.get())
            .build()?;
        let next = || {
            queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front()
        };
        while !stop.load(Ordering::SeqCst)
            && let Some(waiting) = next()
        {
            // The receiver is gone when the search has ended early.
            let tell = |told| {
                let _ = news.send(Ok(told));
            };
            pool.install(|| waiting.run(reviews, kept, stop, &tell))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let (news, received) = channel();
        for _ in 0..jobs.side_by_side.get() {
            let (news, work) = (news.clone(), &work);
            scope.spawn(move || {
                if let Err(error) = work(&news) {
                    let _ = news.send(Err(error));
                }
            });
        }
        drop(news);
        for news in received {
            let told = news.map_err(E::from).and_then(&mut tell);
            if let Err(error) = told {
                stop.store(true, Ordering::SeqCst);
                return Err(error);
            }
        }
        Ok(())
    })
}

fn waiting(planned: Vec<Planned>) -> VecDeque<Waiting> {
    let mut waiting: VecDeque<Waiting> = VecDeque::new();
    for (run, planned) in planned.into_iter().enumerate() {
        let alike = waiting
            .iter()
            .find(|other| reads_alike(&other.planned.recipe, &planned.recipe));
        let texts = alike.map_or_else(Arc::default, |other| Arc::clone(&other.texts));
        waiting.push_back(Waiting {
            run,
            planned,
            texts,
        });
    }
    waiting
}

/// Whether two recipes read the same rows and begin with the same vectors.
fn reads_alike(a: &Recipe, b: &Recipe) -> bool {
    let vectors = |recipe: &Recipe| {
        let embedding = recipe.embedding()?;
        let file = embedding.pretrained.clone()?;
        Some((file, embedding.units))
    };
    a.masked() == b.masked() && a.encoder_spec() == b.encoder_spec() && vectors(a) == vectors(b)
}

impl Waiting {
    /// Tells that it is done, unless it was stopped.
    fn run(
        &self,
        reviews: Reviews<'_>,
        kept: &Kept,
        stop: &AtomicBool,
        tell: &(dyn Fn(News) + Sync),
    ) -> Result<(), SweepError> {
        let (run, Planned { settings, recipe }) = (self.run, &self.planned);
        let prepared = self.texts.0.get_or_init(|| {
            Prepared::new(recipe.clone(), reviews).map_err(|error| error.to_string())
        });
        let refused = |reason| SweepError::Texts {
            settings: in_words(settings),
            reason,
        };
        let prepared = prepared
            .as_ref()
            .map_err(|reason| refused(reason.clone()))?;
        let fresh = prepared
            .start_of(recipe)
            .map_err(|error| refused(error.to_string()))?;
        let parameters = fresh.stepper.network.parameters();
        let checkpoints = kept.open(&self.planned, prepared.origin_of(recipe))?;
        let start = checkpoints.latest(fresh)?;
        if start.from.is_some() {
            tell(News::Resumed {
                settings: in_words(settings),
                epoch: start.state.epoch,
                step: start.state.step,
                damaged: start.damaged,
            });
        }
        let mut history = start.state.history.clone();
        let mut seconds = start.state.seconds();
        let mut observe = |event: Event<'_>| {
            seconds = event.state.seconds();
            match event.happened {
                Happened::Step(at) => tell(News::Share {
                    run,
                    share: at.share(),
                }),
                Happened::Epoch(ended) => history.epochs.push(ended.epoch.clone()),
            }
            match stop.load(Ordering::SeqCst) {
                true => Control::Stop,
                false => Control::Continue,
            }
        };
        let fitted = prepared.fit(start.state, &recipe.fit, Some(&checkpoints), &mut observe);
        let result = match fitted {
            Ok(fitted) if fitted.stopped => return Ok(()),
            Ok(fitted) => outcome(&fitted.history, fitted.best_epoch),
            Err(TrainError::Checkpoint(error)) => return Err(error.into()),
            Err(error) => Outcome::Diverged {
                reason: error.to_string(),
            },
        };
        let done = Box::new(Run {
            settings: settings.clone(),
            parameters,
            seconds,
            result,
            unread: prepared.unread_validation().to_vec(),
            history,
        });
        tell(News::Done {
            run,
            done,
            kept: checkpoints,
        });
        Ok(())
    }
}

fn outcome(history: &History, best_epoch: usize) -> Outcome {
    let epoch = history.epochs.iter().find(|e| e.epoch == best_epoch);
    let figures = epoch.and_then(|epoch| Some((epoch.val_loss?, epoch.val_accuracy?)));
    match figures {
        Some((val_loss, val_accuracy)) if val_loss.is_finite() => Outcome::Trained {
            epoch: best_epoch,
            val_loss,
            val_accuracy,
        },
        _ => Outcome::Diverged {
            reason: "the validation loss is no number".to_owned(),
        },
    }
}
