//! Graphs of other programs are given a time: a loop of theirs need not end.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use ort::session::RunOptions;

use super::{Session, SessionError, failed};

/// A session that has so long for all that it is asked together.
///
/// It runs on a thread of its own. The runtime looks up from its work between two nodes, in a loop's body too; where a body has
/// none it never does, and that thread is left to itself until the process ends.
pub struct Timed {
    ask: Sender<Asked>,
    answers: Receiver<Result<Vec<f32>, SessionError>>,
    options: Arc<RunOptions>,
    limit: Duration,
    left: Duration,
}

struct Asked {
    ids: Vec<i64>,
    shape: (usize, usize),
    lengths: Vec<i64>,
}

impl Timed {
    /// Gives a session its time, which runs while it is asked.
    ///
    /// # Errors
    /// The system has no thread left, or the runtime failed.
    pub fn new(mut session: Session, limit: Duration) -> Result<Self, SessionError> {
        let options = Arc::new(RunOptions::new().map_err(failed)?);
        let (ask, asked) = channel::<Asked>();
        let (answer, answers) = channel();
        let stopped = Arc::clone(&options);
        std::thread::Builder::new()
            .name("timed".to_owned())
            .spawn(move || {
                for Asked {
                    ids,
                    shape,
                    lengths,
                } in asked
                {
                    let found = session.answer((&ids, shape, &lengths), Some(&stopped));
                    if answer.send(found).is_err() {
                        break;
                    }
                }
            })
            .map_err(|error| SessionError::Run(error.to_string()))?;
        Ok(Self {
            ask,
            answers,
            options,
            limit,
            left: limit,
        })
    }

    /// As [`Session::run`].
    ///
    /// # Errors
    /// As of [`Session::run`], and the time is over.
    pub fn run(
        &mut self,
        ids: Vec<i64>,
        shape: (usize, usize),
        lengths: Vec<i64>,
    ) -> Result<Vec<f32>, SessionError> {
        let endless = SessionError::Endless { limit: self.limit };
        if self.left.is_zero() {
            return Err(endless);
        }
        let started = Instant::now();
        let gone = || SessionError::Run("its thread has ended".to_owned());
        let asked = Asked {
            ids,
            shape,
            lengths,
        };
        self.ask.send(asked).map_err(|_| gone())?;
        let answer = self.answers.recv_timeout(self.left);
        self.left = self.left.saturating_sub(started.elapsed());
        match answer {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
            Err(RecvTimeoutError::Timeout) => {
                self.left = Duration::ZERO;
                self.options.terminate().map_err(failed)?;
                Err(endless)
            }
        }
    }
}
