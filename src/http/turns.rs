//! Turns at work that keeps a thread for longer than the runtime's own may be kept: large bodies unpacked, parsed and encoded,
//! and questions about all words of a model.
//!
//! So many are at it at once, so many more wait in line, and everybody else is turned away at once: a body can unpack to a
//! thousand times its size, and what many of them become together must not be more than a server has.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{Code, Problem};

/// Who waits for each one at work: enough for bursts, and gone through well within a deadline.
const IN_LINE: usize = 16;

/// Who may work, and who may wait for it.
#[derive(Debug)]
pub struct Turns {
    line: Arc<Semaphore>,
    work: Arc<Semaphore>,
}

/// Held by what is at work.
type Turn = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Turns {
    /// So many at once.
    pub fn new(at_once: usize) -> Self {
        Self {
            line: Arc::new(Semaphore::new(at_once * (1 + IN_LINE))),
            work: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// Does the work on a thread that may take its time.
    pub(super) async fn take<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.wait(deadline).await?;
        let work = move || {
            // Also when nobody waits for the outcome any more it is at work until here.
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Problem::internal(error.to_string()))?
    }

    async fn wait(&self, deadline: Instant) -> Result<Turn, Problem> {
        let busy = || {
            Problem::new(
                Code::Overloaded,
                "too many large requests have come at once",
            )
        };
        let line = Arc::clone(&self.line);
        let line = line.try_acquire_owned().map_err(|_| busy())?;
        let work = Arc::clone(&self.work).acquire_owned();
        match tokio::time::timeout_at(deadline.into(), work).await {
            Ok(Ok(work)) => Ok((line, work)),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;

    #[test]
    fn some_work_some_wait_and_the_rest_are_turned_away_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let _within = runtime.enter();
        let turns = Turns::new(1);
        let deadline = Instant::now() + Duration::from_secs(3600);
        let mut context = Context::from_waker(Waker::noop());
        let working = match pin!(turns.wait(deadline)).poll(&mut context) {
            Poll::Ready(turn) => turn.unwrap(),
            Poll::Pending => panic!("nobody is at work"),
        };
        let mut waiting: Vec<_> = (0..IN_LINE)
            .map(|_| Box::pin(turns.wait(deadline)))
            .collect();
        for waits in &mut waiting {
            assert!(waits.as_mut().poll(&mut context).is_pending());
        }
        let mut refused = pin!(turns.wait(deadline));
        match refused.as_mut().poll(&mut context) {
            Poll::Ready(refused) => assert_eq!(refused.unwrap_err().code, Code::Overloaded),
            Poll::Pending => panic!("one too many waits"),
        }
        // Who leaves makes room for another.
        drop(waiting.pop());
        let mut waits = pin!(turns.wait(deadline));
        assert!(waits.as_mut().poll(&mut context).is_pending());
        drop(working);
        assert!(waiting[0].as_mut().poll(&mut context).is_ready());
    }
}
