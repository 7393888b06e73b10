//! A job's progress as server-sent events: what has changed, once a second, until the job ends or the server does.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::store::{Id, JobState, Store, StoreError};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// `state`, `progress` and `epoch`, in the order in which they came about.
pub(super) fn follow(
    store: Arc<Store>,
    id: Id,
    stopping: watch::Receiver<bool>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let follower = Follower {
        store,
        id,
        stopping,
        epoch: 0,
        state: None,
        progress: None,
        ready: VecDeque::new(),
        ended: false,
    };
    stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
}

struct Follower {
    store: Arc<Store>,
    id: Id,
    stopping: watch::Receiver<bool>,
    epoch: i64,
    state: Option<JobState>,
    progress: Option<Value>,
    ready: VecDeque<Event>,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended || *self.stopping.borrow() {
                return None;
            }
            let first = self.state.is_none();
            if !first {
                let stop = self.stopping.wait_for(|stop| *stop);
                let _ = tokio::time::timeout(EVERY, stop).await;
            }
            // A database that is away for a while says nothing new.
            if let Err(error) = self.look().await {
                tracing::debug!(job = %self.id, %error, "cannot follow");
                if first {
                    return None;
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let Some(job) = self.store.job(&self.id).await? else {
            self.ended = true;
            return Ok(());
        };
        // An attempt that starts over is followed from its beginning.
        let at = job.progress.as_ref().and_then(|p| p["epoch"].as_i64());
        if let Some(at) = at.filter(|at| *at < self.epoch && !job.state.is_final()) {
            self.epoch = at - 1;
        }
        for figures in self.store.epochs(&self.id, self.epoch).await? {
            self.epoch = figures["epoch"].as_i64().unwrap_or(self.epoch + 1);
            self.say("epoch", &figures);
        }
        if job.progress != self.progress {
            if let Some(progress) = &job.progress {
                self.say("progress", progress);
            }
            self.progress = job.progress;
        }
        if self.state != Some(job.state) {
            self.state = Some(job.state);
            let state = json!({"state": job.state, "version": job.version, "error": job.error});
            self.say("state", &state);
        }
        self.ended = job.state.is_final();
        Ok(())
    }

    fn say(&mut self, name: &str, data: &Value) {
        let event = Event::default().event(name).data(data.to_string());
        self.ready.push_back(event);
    }
}
