//! How far long work is: a bar on a terminal, a plain line every few seconds elsewhere, both on standard error.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::note;
use crate::train::view::LINE_EVERY;

/// The bar on the terminal, which log lines go around.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// The bar's own unit: shares of the work in thousandths.
const WHOLE: u64 = 1000;

/// The progress of one piece of work.
pub struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Progress {
    /// Shown from now on; `what` stands before everything that is said.
    pub fn new(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(WHOLE), ProgressDrawTarget::stderr());
            let style = "{prefix} [{elapsed_precise}] {bar:12} {percent:>3} % {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style.progress_chars("=> "));
            }
            let bar = bar.with_prefix(what);
            *shown() = Some(bar.clone());
            bar
        });
        Self {
            what,
            bar,
            said: Instant::now(),
        }
    }

    /// Says how far the work is, as a share where that is known, and what else there is to say.
    pub fn at(&mut self, share: Option<f64>, message: impl Display) {
        let share = share.map(|share| share.clamp(0.0, 1.0));
        if let Some(bar) = &self.bar {
            if let Some(share) = share {
                bar.set_position((share * WHOLE as f64) as u64);
            }
            bar.set_message(message.to_string());
        } else if self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            match share {
                Some(share) => {
                    note(format_args!(
                        "{}: {:.0} %, {message}",
                        self.what,
                        100.0 * share
                    ));
                }
                None => note(format_args!("{}: {message}", self.what)),
            }
        }
    }

    /// Leaves a line above the bar.
    pub fn note(&self, line: impl Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(format_args!("{}: {line}", self.what))),
            None => note(format_args!("{}: {line}", self.what)),
        }
    }

    /// Takes the bar away and leaves a last line.
    pub fn finish(self, message: impl Display) {
        let what = self.what;
        self.clear();
        note(format_args!("{what}: {message}"));
    }

    /// Takes the bar away.
    pub fn clear(self) {
        drop(self);
    }

    /// Writes something else to the terminal, above the bar where there is one.
    pub fn around(write: &mut dyn FnMut()) {
        let bar = shown().clone();
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            *shown() = None;
            bar.finish_and_clear();
        }
    }
}

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}
