//! Inference: a loaded bundle, ready to answer.
//!
//! An [`Engine`] encodes on its caller's thread, holds a bounded queue and hands texts to batch threads, each with a session: one
//! hand-off out, one back, and none at all for a single short text that finds nobody else there, which its caller runs. It exists
//! only for a bundle whose golden rows every one of its sessions has answered. A text of which cleaning leaves nothing never
//! reaches the queue. Alone or in any batch a text's scores agree within 1e-5.

mod batcher;
mod bulk;
mod closer;
#[cfg(test)]
pub(crate) mod doomed;
mod error;
mod living;
mod open;
mod places;
mod queue;
mod reach;
mod rows;
pub mod session;

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::bundle::{Bundle, Trim};
use crate::config::Device;
use crate::metrics::{Metrics, ModelInfo};
use crate::sentiment::Score;
use crate::text::{Encoded, Moment};
use crate::vectors::WordVectors;
use batcher::{Batcher, Open, Seat};
pub use closer::{Closer, Contribution, Look, MOST_PARTS, Seen, Sentence};
pub use error::{EngineError, ItemError};
use living::Living;
use open::{check_golden_ids, open_sessions, opener};
pub use places::Places;
use queue::{Answer, Job, Queue, Ran};
use reach::Reach;
use rows::Layout;
use session::{Runtime, SessionError};

/// Most rows times steps in a batch. What a run keeps of each step then stays in a core's cache: with 200 steps a row the
/// runtime's own LSTM does 9,000 rows a second in batches of 8 or 16 and 3,900 in batches of 64, and ours about as many in all of
/// them (`make bench-serve`). And it is little enough work that no text waits long behind others.
const BATCH_STEPS: usize = 2_048;

/// The longest run that a caller does itself: its thread is the server's, and has sockets to read.
const AT_ONCE: Duration = Duration::from_micros(500);

/// Ids for which a thread keeps room.
const KEPT: usize = 8_192;

thread_local! {
    /// A long text's ids, most of which are cut off.
    static IDS: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
}

/// How an engine works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Where it computes.
    pub device: Device,
    /// Batch threads, each with a session.
    pub threads: usize,
    /// Most texts in a batch.
    pub max_batch: usize,
    /// Texts that may wait.
    pub queue: usize,
}

/// What a model says of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Its scores.
    pub score: Score,
    /// What the network says before it becomes a probability.
    pub logit: f64,
    /// What became of its tokens.
    pub encoded: Encoded,
    /// How long it took.
    pub timing: Timing,
}

/// Where the time of a text went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Text to ids.
    pub encode: Duration,
    /// Waiting for a batch.
    pub queue: Duration,
    /// The run of its batch.
    pub run: Duration,
}

impl Timing {
    /// Of several texts together: their encoding one after another, and the longest of what happens side by side.
    pub fn with(self, other: Self) -> Self {
        Self {
            encode: self.encode + other.encode,
            queue: self.queue.max(other.queue),
            run: self.run.max(other.run),
        }
    }
}

/// A text, encoded.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Cut and not padded, and no longer than that: texts wait by the thousand.
    ids: Box<[i64]>,
    encoded: Encoded,
    took: Duration,
}

/// How texts wait.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// When nobody wants the answers any more.
    pub deadline: Option<Instant>,
    /// They yield to single texts.
    pub bulk: bool,
}

/// A text that waits for its answer.
#[derive(Debug)]
pub struct Ticket {
    encoded: Encoded,
    encode: Duration,
    deadline: Option<Instant>,
    answer: oneshot::Receiver<Answer>,
}

/// A loaded bundle and the threads that run it.
pub struct Engine {
    bundle: Arc<Bundle>,
    version: String,
    provider: &'static str,
    batcher: Arc<Batcher>,
    alive: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
    words: OnceLock<Result<WordVectors, String>>,
}

impl Engine {
    /// Opens a session for each batch thread, warms it and checks the golden rows in it.
    ///
    /// # Errors
    /// The runtime refuses the graph or the device, or a golden row has another answer.
    pub fn start(
        runtime: &Runtime,
        bundle: Arc<Bundle>,
        settings: EngineSettings,
        metrics: Option<Arc<Metrics>>,
    ) -> Result<Self, EngineError> {
        let on = |device| {
            let open = opener(runtime, &bundle, device);
            Self::start_with(open, Arc::clone(&bundle), settings, metrics.clone())
        };
        if settings.device != Device::Auto {
            return on(settings.device);
        }
        // All sessions on one or on the other, and so are those that are opened later: half of a model on a GPU would be told of as
        // all of it.
        match on(Device::Cuda) {
            Err(EngineError::Session(SessionError::NoCuda(reason))) => {
                let model = &bundle.manifest.name;
                tracing::info!(model, reason, "no usable GPU, computing on the CPU");
                on(Device::Cpu)
            }
            engine => engine,
        }
    }

    fn start_with(
        open: Open,
        bundle: Arc<Bundle>,
        settings: EngineSettings,
        metrics: Option<Arc<Metrics>>,
    ) -> Result<Self, EngineError> {
        check_golden_ids(&bundle)?;
        let layout = Layout::of(&bundle.manifest);
        let sessions = open_sessions(&open, settings.threads)?;
        let manifest = &bundle.manifest;
        let provider = sessions.first().map_or("none", |opened| opened.provider);
        let step = sessions.iter().map(|opened| opened.step).min();
        let ragged = sessions.iter().all(|opened| opened.ragged);
        let version = manifest.version.to_string();
        let metrics = metrics
            .unwrap_or_default()
            .model(info(&bundle, &version, provider));
        let seats: Vec<_> = sessions
            .into_iter()
            .map(|opened| Seat::new(opened.run))
            .collect();
        let threads = seats.len();
        let batcher = Batcher {
            model: manifest.name.clone(),
            open,
            queue: Queue::new(settings.queue, seats, metrics.queue_depth.clone()),
            layout,
            reach: Reach {
                rows: settings.max_batch,
                steps: BATCH_STEPS,
                ragged,
            },
            at_once: step.map_or(0, |step| steps_within(AT_ONCE, step)),
            metrics,
        };
        let mut engine = Self {
            provider,
            batcher: Arc::new(batcher),
            alive: Arc::new(AtomicUsize::new(0)),
            threads: Vec::with_capacity(threads),
            version,
            words: OnceLock::new(),
            bundle,
        };
        for number in 0..threads {
            engine.start_thread(number)?;
        }
        Ok(engine)
    }

    fn start_thread(&mut self, number: usize) -> Result<(), EngineError> {
        let living = Living::new(&self.alive, &self.batcher);
        let thread = std::thread::Builder::new()
            .name(format!("batch-{}-{number}", self.batcher.model))
            .spawn(move || living.work())?;
        self.threads.push(thread);
        Ok(())
    }

    /// What it has loaded.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The model's words with their rows of its embedding. They are read out of the bundle by `read` when they are first asked
    /// for, once however many ask, and go with the engine.
    ///
    /// # Errors
    /// What `read` said the first time.
    pub fn word_vectors<E: fmt::Display>(
        &self,
        read: impl FnOnce(&Bundle) -> Result<WordVectors, E>,
    ) -> Result<&WordVectors, String> {
        let words = self
            .words
            .get_or_init(|| read(&self.bundle).map_err(|error| error.to_string()));
        words.as_ref().map_err(Clone::clone)
    }

    /// The provider that really computes: `cpu` or `cuda`.
    pub fn provider(&self) -> &'static str {
        self.provider
    }

    /// What the metrics say of it.
    pub fn info(&self) -> ModelInfo<'_> {
        info(&self.bundle, &self.version, self.provider)
    }

    /// Whether any batch thread is left.
    pub fn alive(&self) -> bool {
        self.alive.load(Ordering::Acquire) > 0
    }

    /// Text to ids.
    ///
    /// # Errors
    /// Nothing is left of the text that the model could read.
    pub fn encode(&self, text: &str) -> Result<Ask, ItemError> {
        let started = Instant::now();
        let (encoded, ids) = IDS.with_borrow_mut(|ids| {
            let encoded = self.bundle.encoder.encode(text, Moment::Serve, ids);
            let exact: Box<[i64]> = Box::from(ids.as_slice());
            ids.shrink_to(KEPT);
            (encoded, exact)
        });
        // A masked network reads nothing of a row without ids; an unmasked one reads the pads, as in Keras.
        let blank = ids.is_empty() && self.bundle.manifest.trim == Trim::Masked;
        if encoded.total == 0 || blank {
            return Err(ItemError::EmptyText);
        }
        Ok(Ask {
            ids,
            encoded,
            took: started.elapsed(),
        })
    }

    /// So many places in the queue, all at once, if there are.
    pub fn reserve(&self, count: usize) -> Option<Places> {
        self.batcher.queue.bound.reserve(count)
    }

    /// A place in the queue for one text, waited for until the deadline.
    ///
    /// # Errors
    /// There was none in time.
    pub async fn place(&self, deadline: Instant) -> Result<Places, ItemError> {
        let place = tokio::time::timeout_at(deadline.into(), self.batcher.queue.bound.wait()).await;
        let place = place.map_err(|_| ItemError::DeadlineExceeded)?;
        place.ok_or(ItemError::Failed)
    }

    /// Lets texts into the queue, one for each place, or runs the only one at once; tickets in the order of the texts.
    pub fn submit(&self, asks: Vec<Ask>, mut places: Places, terms: Terms) -> Vec<Ticket> {
        self.enqueue(asks, terms, || places.split())
    }

    fn enqueue(
        &self,
        asks: Vec<Ask>,
        terms: Terms,
        mut place: impl FnMut() -> Option<Places>,
    ) -> Vec<Ticket> {
        let since = Instant::now();
        let mut tickets = Vec::with_capacity(asks.len());
        let mut jobs = Vec::with_capacity(asks.len());
        for ask in asks {
            let (reply, answer) = oneshot::channel();
            tickets.push(Ticket {
                encoded: ask.encoded,
                encode: ask.took,
                deadline: terms.deadline,
                answer,
            });
            jobs.push(Job {
                ids: ask.ids,
                since,
                deadline: terms.deadline,
                bulk: terms.bulk,
                reply,
                place: place(),
            });
        }
        // Texts of one age are taken in this order: where pads cost something, neighbours of like length have few.
        jobs.sort_by_key(|job| job.ids.len());
        if jobs.len() == 1 {
            jobs = jobs
                .into_iter()
                .filter_map(|job| self.batcher.run_at_once(job))
                .collect();
        }
        if !jobs.is_empty() {
            self.batcher.queue.push(jobs);
        }
        tickets
    }

    /// Waits for an answer, no longer than to its deadline.
    ///
    /// # Errors
    /// It comes too late, or the run failed.
    pub async fn answer(&self, ticket: Ticket) -> Result<Prediction, ItemError> {
        let (encoded, encode) = (ticket.encoded, ticket.encode);
        Ok(self.predicted(encoded, encode, ran(ticket).await?))
    }

    fn predicted(&self, encoded: Encoded, encode: Duration, ran: Ran) -> Prediction {
        let Ran { logit, queue, run } = ran;
        let logit = f64::from(logit);
        let score = Score::from_logit(logit, self.bundle.manifest.calibration);
        let metrics = &self.batcher.metrics;
        metrics.predicted(score.label());
        metrics.score.observe(score.calibrated);
        metrics
            .unknown_tokens
            .observe(encoded.unknown as f64 / encoded.total as f64);
        if encoded.truncated {
            metrics.truncated.inc();
        }
        Prediction {
            score,
            logit,
            encoded,
            timing: Timing { encode, queue, run },
        }
    }
}

/// Waits for a run, no longer than to its deadline.
async fn ran(ticket: Ticket) -> Result<Ran, ItemError> {
    let answer = match ticket.deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), ticket.answer)
            .await
            .map_err(|_| ItemError::DeadlineExceeded)?,
        None => ticket.answer.await,
    };
    // The other side is dropped only when no batch thread is left.
    answer.map_err(|_| ItemError::Failed)?
}

fn info<'a>(bundle: &'a Bundle, version: &'a str, provider: &'a str) -> ModelInfo<'a> {
    let manifest = &bundle.manifest;
    ModelInfo {
        model: &manifest.name,
        version,
        provider,
        digest: &manifest.digest,
    }
}

/// At least one step takes some time.
fn steps_within(time: Duration, step: Duration) -> usize {
    usize::try_from(time.as_nanos() / step.as_nanos().max(1)).unwrap_or(usize::MAX)
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Engine")
            .field("model", &self.batcher.model)
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.batcher.queue.close();
        if tokio::runtime::Handle::try_current().is_ok() {
            // The last request of a version that is replaced drops it on a thread of the server, which must not wait. The
            // batch threads end by themselves.
            return;
        }
        for thread in self.threads.drain(..) {
            // What it had to say of a panic it has said.
            let _ = thread.join();
        }
    }
}
