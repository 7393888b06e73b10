//! Waiting for what is away: to train again would cost more.

use std::fmt::Display;
use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::end::End;
use crate::store::StoreError;

/// How long a database, a model storage or a disk is waited for; then the attempt counts as failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Why there is no answer.
pub(super) enum Unanswered<E> {
    /// There is one, and waiting does not better it.
    Wrong(E),
    /// The attempt is over.
    Ended(End),
}

impl<E: Display> Unanswered<E> {
    /// The end of the attempt, and maybe not of the job.
    pub fn or_try_again(self) -> End {
        match self {
            Self::Wrong(error) => End::try_again(error),
            Self::Ended(end) => end,
        }
    }
}

impl Attempt {
    /// Asks until it is answered, while the heart beats on: as long as an error may pass, the work goes on and patience lasts.
    pub fn patiently<T, E: Display, F>(
        &self,
        ask: impl Fn() -> F,
        may_pass: impl Fn(&E) -> bool,
    ) -> Result<T, Unanswered<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let until = Instant::now() + PATIENCE;
        let mut said = false;
        loop {
            match self.handle.block_on(ask()) {
                Ok(done) => return Ok(done),
                Err(error) if !may_pass(&error) => return Err(Unanswered::Wrong(error)),
                Err(_) if !self.pulse.goes_on() => return Err(Unanswered::Ended(End::Stopped)),
                Err(error) if Instant::now() > until => {
                    return Err(Unanswered::Ended(End::try_again(error)));
                }
                Err(error) if !said => {
                    said = true;
                    tracing::warn!(job = %self.lease.job.id, %error, "waiting until it passes");
                }
                Err(_) => {}
            }
            let stopped = async { tokio::time::timeout(PAUSE, self.pulse.stopped()).await };
            let _ = self.handle.block_on(stopped);
        }
    }

    /// What the database says, once it says something.
    pub fn wait<T, F>(&self, ask: impl Fn() -> F) -> Result<T, End>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let answer = self.patiently(ask, StoreError::may_pass);
        answer.map_err(|unanswered| match unanswered {
            Unanswered::Wrong(error) => error.into(),
            Unanswered::Ended(end) => end,
        })
    }

    /// Ends the attempt where it is to stop.
    pub fn go_on(&self) -> Result<(), End> {
        match self.pulse.goes_on() {
            true => Ok(()),
            false => Err(End::Stopped),
        }
    }
}
