//! Runs of batches: by a batch thread, which takes one text, gathers what waits and goes well with it, runs and answers; or by the
//! caller itself, which then waits for no other thread.
//!
//! A run takes a seat, and gives it back. One that fails or panics fails the texts of its batch and nothing else: after a panic the
//! session is opened anew, and only if that fails does the thread end.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::{Job, Queue, Ran};
use super::reach::Reach;
use super::rows::{Layout, Rows};
use super::session::SessionError;
use super::{EngineError, ItemError};
use crate::metrics::ModelMetrics;

/// One run of a session, ids to logits.
pub(super) type Run = Box<dyn FnMut(&Rows) -> Result<Vec<f32>, SessionError> + Send>;

/// A session and the provider that it really computes on.
pub(super) struct Opened {
    pub run: Run,
    pub provider: &'static str,
    /// Pads cost nothing in it.
    pub ragged: bool,
    /// The time that a step of one text takes in it.
    pub step: Duration,
}

/// Opens a session.
pub(super) type Open = Arc<dyn Fn() -> Result<Opened, EngineError> + Send + Sync>;

/// Where one run at a time happens: a session and its buffers.
pub(super) struct Seat {
    /// None after a panic, until it is opened anew.
    run: Option<Run>,
    rows: Rows,
}

impl Seat {
    /// With an open session.
    pub fn new(run: Run) -> Self {
        Self {
            run: Some(run),
            rows: Rows::default(),
        }
    }
}

/// What the runs of one engine share.
pub(super) struct Batcher {
    pub model: String,
    pub open: Open,
    pub queue: Queue<Seat>,
    pub layout: Layout,
    pub reach: Reach,
    /// The longest text that its caller may run.
    pub at_once: usize,
    pub metrics: ModelMetrics,
}

impl Batcher {
    /// A batch thread: works until the queue is closed and empty, or a session cannot be opened again.
    pub fn work(&self) {
        let mut batch = Vec::new();
        let mut last = None;
        let steps = |ids| self.layout.steps(ids);
        while let Some(mut seat) = self.queue.take(last.take(), self.reach, steps, &mut batch) {
            // A caller's own run may have broken it.
            if !self.mend(&mut seat) {
                return fail(&mut batch);
            }
            self.serve(&mut seat, &mut batch);
            if !self.mend(&mut seat) {
                return;
            }
            last = Some(seat);
        }
    }

    /// Runs a text on its caller's thread, where that is a matter of a moment and nobody else waits or runs; gives it back
    /// otherwise.
    pub fn run_at_once(&self, job: Job) -> Option<Job> {
        if job.bulk || self.layout.steps(job.ids.len()) > self.at_once {
            return Some(job);
        }
        let Some(mut seat) = self.queue.idle_seat() else {
            return Some(job);
        };
        if seat.run.is_none() {
            // The thread that gets it mends it, which takes longer than a moment.
            self.queue.give_back(seat);
            return Some(job);
        }
        self.serve(&mut seat, &mut vec![job]);
        self.queue.give_back(seat);
        None
    }

    /// Runs a batch and answers its texts.
    fn serve(&self, seat: &mut Seat, batch: &mut Vec<Job>) {
        batch.sort_unstable_by_key(|job| Reverse(job.ids.len()));
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run(seat, batch)));
        match outcome {
            Ok(Ok(done)) => answer(batch, &done),
            Ok(Err(error)) => {
                tracing::error!(model = self.model, texts = batch.len(), %error, "a batch failed");
                fail(batch);
            }
            Err(_) => {
                tracing::error!(model = self.model, texts = batch.len(), "a batch panicked");
                fail(batch);
                seat.run = None;
            }
        }
    }

    /// Whether the seat has a session, if need be a new one.
    fn mend(&self, seat: &mut Seat) -> bool {
        if seat.run.is_none() {
            match (self.open)() {
                Ok(opened) => seat.run = Some(opened.run),
                Err(error) => {
                    tracing::error!(model = self.model, %error, "a batch thread ends");
                }
            }
        }
        seat.run.is_some()
    }

    fn run(&self, seat: &mut Seat, batch: &[Job]) -> Result<Done, SessionError> {
        let Seat { run, rows } = seat;
        let run = run
            .as_mut()
            .ok_or_else(|| SessionError::Run("no session".to_owned()))?;
        self.layout.fill(batch.iter().map(|job| &*job.ids), rows);
        let started = Instant::now();
        for job in batch {
            let waited = started.saturating_duration_since(job.since);
            self.metrics.queue_wait.observe(waited.as_secs_f64());
        }
        let logits = run(rows)?;
        let took = started.elapsed();
        self.metrics.inference.observe(took.as_secs_f64());
        self.metrics.batch_size.observe(batch.len() as f64);
        let fill = match self.reach.ragged {
            true => 1.0,
            false => rows.fill_ratio(),
        };
        self.metrics.batch_fill.observe(fill);
        if logits.len() == batch.len() {
            Ok(Done {
                logits,
                started,
                took,
            })
        } else {
            let reason = format!("{} logits for {} texts", logits.len(), batch.len());
            Err(SessionError::Run(reason))
        }
    }
}

/// A run that came to its end.
struct Done {
    logits: Vec<f32>,
    started: Instant,
    took: Duration,
}

fn answer(batch: &mut Vec<Job>, done: &Done) {
    for (job, &logit) in batch.drain(..).zip(&done.logits) {
        let answer = if logit.is_finite() {
            Ok(Ran {
                logit,
                queue: done.started.saturating_duration_since(job.since),
                run: done.took,
            })
        } else {
            Err(ItemError::Failed)
        };
        // A caller that has gone hears nothing.
        let _ = job.reply.send(answer);
    }
}

fn fail(batch: &mut Vec<Job>) {
    for job in batch.drain(..) {
        let _ = job.reply.send(Err(ItemError::Failed));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use prometheus::IntGauge;
    use tokio::sync::oneshot;

    use super::super::queue::Answer;
    use super::*;
    use crate::bundle::Trim;
    use crate::metrics::{Metrics, ModelInfo};
    use crate::text::{PaddingSpec, Side};

    /// A batcher whose runs panic on id 13, fail on id 4, answer NaN for 9 and else the first id.
    fn batcher(opened: Arc<AtomicUsize>) -> Batcher {
        let open: Open = Arc::new(move || {
            opened.fetch_add(1, Ordering::Relaxed);
            let run = |rows: &Rows| {
                assert!(!rows.ids.contains(&13), "unlucky");
                if rows.ids.contains(&4) {
                    return Err(SessionError::Run("no".into()));
                }
                let logit = |&id: &i64| if id == 9 { f32::NAN } else { id as f32 };
                Ok(rows
                    .ids
                    .chunks(rows.shape.1)
                    .map(|row| logit(&row[0]))
                    .collect())
            };
            Ok(Opened {
                run: Box::new(run),
                provider: "cpu",
                ragged: false,
                step: Duration::from_micros(1),
            })
        });
        let seats = vec![Seat::new(open().unwrap().run)];
        Batcher {
            model: "m".into(),
            open,
            queue: Queue::new(8, seats, IntGauge::new("depth", "depth").unwrap()),
            layout: Layout::new(
                Trim::Masked,
                PaddingSpec {
                    maxlen: 4,
                    padding: Side::Pre,
                    truncating: Side::Pre,
                    value: 0,
                },
            ),
            reach: Reach {
                rows: 1,
                steps: 8,
                ragged: false,
            },
            at_once: 2,
            metrics: Metrics::new().model(ModelInfo {
                model: "m",
                version: "1",
                provider: "cpu",
                digest: "",
            }),
        }
    }

    fn job(ids: &[i64]) -> (Job, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            ids: ids.into(),
            since: Instant::now(),
            deadline: None,
            bulk: false,
            reply,
            place: None,
        };
        (job, answer)
    }

    fn logit(answer: oneshot::Receiver<Answer>) -> Option<f32> {
        answer.blocking_recv().unwrap().ok().map(|ran| ran.logit)
    }

    #[test]
    fn a_batch_that_fails_or_panics_fails_alone() {
        let opened = Arc::new(AtomicUsize::new(0));
        let batcher = batcher(Arc::clone(&opened));
        let (jobs, answers): (Vec<_>, Vec<_>) =
            [1, 13, 2, 4, 3, 9].map(|id| job(&[id])).into_iter().unzip();
        batcher.queue.push(jobs);
        batcher.queue.close();
        batcher.work();
        let answers: Vec<_> = answers.into_iter().map(logit).collect();
        assert_eq!(answers, [Some(1.0), None, Some(2.0), None, Some(3.0), None]);
        assert_eq!(opened.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_caller_runs_a_short_text_itself_and_a_panic_there_is_mended_by_the_thread() {
        let opened = Arc::new(AtomicUsize::new(0));
        let batcher = batcher(Arc::clone(&opened));
        assert!((0..64).any(|_| batcher.run_at_once(job(&[1]).0).is_none()));
        for (id, expected) in [(1, Some(1.0)), (4, None), (13, None)] {
            let (short, answer) = job(&[id]);
            assert!(batcher.run_at_once(short).is_none());
            assert_eq!(logit(answer), expected);
        }
        let (next, next_answer) = job(&[1]);
        let next = batcher.run_at_once(next).unwrap();
        batcher.queue.push(vec![next]);
        let (long, answer) = job(&[2, 2, 2]);
        let long = batcher.run_at_once(long).unwrap();
        let (mut bulk, _answer) = job(&[5]);
        bulk.bulk = true;
        assert!(batcher.run_at_once(bulk).is_some());
        batcher.queue.push(vec![long]);
        let (waits, _answer) = job(&[6]);
        assert!(batcher.run_at_once(waits).is_some());
        assert_eq!(opened.load(Ordering::Relaxed), 1);
        batcher.queue.close();
        batcher.work();
        assert_eq!(logit(next_answer), Some(1.0));
        assert_eq!(logit(answer), Some(2.0));
        assert_eq!(opened.load(Ordering::Relaxed), 2);
    }
}
