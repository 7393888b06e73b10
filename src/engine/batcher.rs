//! A batch thread: take one, gather what waits and is of its length, run, answer.
//!
//! The thread owns its session. A run that fails or panics fails the texts of its batch and nothing else: after a panic the
//! session is opened anew, and only if that fails does the thread end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ItemError;
use super::queue::{Job, Queue, Ran};
use super::reach::Reach;
use super::rows::{Layout, Rows};
use super::session::SessionError;
use crate::metrics::ModelMetrics;

/// One run of a session, ids to logits.
pub(super) type Run = Box<dyn FnMut(&Rows) -> Result<Vec<f32>, SessionError> + Send>;

/// A session and the provider that it really computes on.
pub(super) struct Opened {
    pub run: Run,
    pub provider: &'static str,
}

/// Opens a session.
pub(super) type Open = Arc<dyn Fn() -> Result<Opened, SessionError> + Send + Sync>;

/// What a batch thread works with.
pub(super) struct Batcher {
    pub model: String,
    pub open: Open,
    pub queue: Arc<Queue>,
    pub layout: Layout,
    pub reach: Reach,
    pub metrics: ModelMetrics,
}

impl Batcher {
    /// Works until the queue is closed and empty, or the session cannot be opened again.
    pub fn work(self, mut run: Run) {
        let mut batch = Vec::new();
        let mut rows = Rows::default();
        let steps = |ids| self.layout.steps(ids);
        while self.queue.take(self.reach, steps, &mut batch) {
            let outcome = catch_unwind(AssertUnwindSafe(|| self.run(&mut run, &batch, &mut rows)));
            match outcome {
                Ok(Ok(done)) => answer(&mut batch, &done),
                Ok(Err(error)) => {
                    tracing::error!(model = self.model, texts = batch.len(), %error, "a batch failed");
                    fail(&mut batch);
                }
                Err(_) => {
                    tracing::error!(model = self.model, texts = batch.len(), "a batch panicked");
                    fail(&mut batch);
                    match (self.open)() {
                        Ok(opened) => run = opened.run,
                        Err(error) => {
                            tracing::error!(model = self.model, %error, "a batch thread ends");
                            return;
                        }
                    }
                }
            }
        }
    }

    fn run(&self, run: &mut Run, batch: &[Job], rows: &mut Rows) -> Result<Done, SessionError> {
        self.layout
            .fill(batch.iter().map(|job| job.ids.as_slice()), rows);
        let started = Instant::now();
        for job in batch {
            let waited = started.saturating_duration_since(job.since);
            self.metrics.queue_wait.observe(waited.as_secs_f64());
        }
        let logits = run(rows)?;
        let took = started.elapsed();
        self.metrics.inference.observe(took.as_secs_f64());
        self.metrics.batch_size.observe(batch.len() as f64);
        self.metrics.batch_fill.observe(rows.fill_ratio());
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
            })
        });
        Batcher {
            model: "m".into(),
            open,
            queue: Arc::new(Queue::new(8, IntGauge::new("depth", "depth").unwrap())),
            layout: Layout::new(
                Trim::Masked,
                PaddingSpec {
                    maxlen: 4,
                    padding: Side::Pre,
                    truncating: Side::Pre,
                    value: 0,
                },
            ),
            reach: Reach { rows: 1, steps: 8 },
            metrics: Metrics::new().model(ModelInfo {
                model: "m",
                version: "1",
                provider: "cpu",
                digest: "",
            }),
        }
    }

    #[test]
    fn a_batch_that_fails_or_panics_fails_alone() {
        let opened = Arc::new(AtomicUsize::new(0));
        let batcher = batcher(Arc::clone(&opened));
        let (jobs, answers): (Vec<_>, Vec<_>) = [1, 13, 2, 4, 3, 9]
            .map(|id| {
                let (reply, answer) = oneshot::channel();
                let job = Job {
                    ids: vec![id],
                    since: Instant::now(),
                    deadline: None,
                    bulk: false,
                    reply,
                    place: None,
                };
                (job, answer)
            })
            .into_iter()
            .unzip();
        batcher.queue.push(jobs);
        batcher.queue.close();
        let run = (batcher.open)().unwrap().run;
        batcher.work(run);
        let answers: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.blocking_recv().unwrap().ok().map(|ran| ran.logit))
            .collect();
        assert_eq!(answers, [Some(1.0), None, Some(2.0), None, Some(3.0), None]);
        assert_eq!(opened.load(Ordering::Relaxed), 2);
    }
}
