//! What a training says of itself while it goes on: the same on the command line, in a worker's log and over HTTP.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::fit::{EndOfEpoch, Progress};

/// Between two lines where there is no terminal.
pub const LINE_EVERY: Duration = Duration::from_secs(5);

/// Where a training stands and how long it will still take.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Standing {
    /// The step and the means over its epoch.
    #[serde(flatten)]
    pub progress: Progress,
    /// At the pace since this process took it up; nothing before that is known.
    pub seconds_left: Option<f64>,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = &self.progress;
        write!(
            f,
            "epoch {}/{} step {}/{} ",
            p.epoch, p.epochs, p.step, p.steps
        )?;
        // Before the figures: a narrow terminal cuts the end off.
        if let Some(seconds) = self.seconds_left {
            write!(f, "{} left ", Clock(seconds))?;
        }
        write!(f, "loss {:.4} accuracy {:.4}", p.loss, p.accuracy)
    }
}

/// Hours, minutes and seconds.
struct Clock(f64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.round() as u64;
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match hours {
            0 => write!(f, "{minutes}:{seconds:02}"),
            _ => write!(f, "{hours}:{minutes:02}:{seconds:02}"),
        }
    }
}

/// How fast a training goes since this process took it up.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    /// The share of the work that had been done before.
    before: Option<f64>,
}

impl Pace {
    /// From now on.
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
            before: None,
        }
    }

    /// With the time that is left at this pace.
    pub fn at(&mut self, progress: Progress) -> Standing {
        self.after(self.began.elapsed(), progress)
    }

    fn after(&mut self, elapsed: Duration, progress: Progress) -> Standing {
        let share = progress.share();
        let before = *self.before.get_or_insert(share);
        let left = elapsed.as_secs_f64() * (1.0 - share) / (share - before);
        Standing {
            progress,
            seconds_left: left.is_finite().then_some(left),
        }
    }
}

impl fmt::Display for EndOfEpoch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, epochs, .. } = self;
        write!(
            f,
            "epoch {}/{epochs}: loss {:.4} accuracy {:.4}",
            epoch.epoch, epoch.loss, epoch.accuracy
        )?;
        if let (Some(loss), Some(accuracy)) = (epoch.val_loss, epoch.val_accuracy) {
            write!(f, " val_loss {loss:.4} val_accuracy {accuracy:.4}")?;
        }
        write!(f, " {:.1} s", epoch.seconds)?;
        f.write_str(if self.best { " (best)" } else { "" })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn step(epoch: usize, step: usize) -> Progress {
        Progress {
            epoch,
            epochs: 4,
            step,
            steps: 10,
            loss: 0.5,
            accuracy: 0.75,
        }
    }

    #[test]
    fn the_time_left_is_that_of_the_steps_done_here() {
        let mut pace = Pace::start();
        // Half of the work was done by another process.
        let first = pace.after(Duration::from_secs(1), step(3, 1));
        assert_eq!(first.seconds_left, None);
        assert_eq!(
            first.to_string(),
            "epoch 3/4 step 1/10 loss 0.5000 accuracy 0.7500"
        );
        let later = pace.after(Duration::from_secs(3600), step(3, 10));
        assert!((later.seconds_left.unwrap() - 4000.0).abs() < 1e-6);
        assert_eq!(
            later.to_string(),
            "epoch 3/4 step 10/10 1:06:40 left loss 0.5000 accuracy 0.7500"
        );
        let last = pace.after(Duration::from_secs(7600), step(4, 10));
        assert!(last.to_string().contains(" 0:00 left "), "{last}");
    }
}
