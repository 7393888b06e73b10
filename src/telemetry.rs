//! Tracing set-up: lines on standard error, text for people, JSON for machines; spans for a collector, where there is one.

mod lines;
mod spans;

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::LogFormat;
pub use lines::Around;
use lines::Lines;
pub use spans::{Caller, Seen, Spans, SpansError};

/// What has been logged and not written is written when this goes.
#[derive(Debug)]
pub struct Logging(());

impl Logging {
    /// Writes what has been logged so far, for an end that drops nothing.
    pub fn flush(&self) {
        lines::flush();
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Log lines that were left out because standard error was not read.
pub fn lines_left_out() -> u64 {
    lines::left_out()
}

/// Log lines share standard error with something that is drawn there.
pub fn go_around(around: Around) {
    lines::go_around(around);
}

/// Starts logging for the rest of the process; a second start changes nothing.
///
/// # Errors
/// `level` is not a level or a list of filter directives.
pub fn start(format: LogFormat, level: &str) -> Result<Logging, ParseError> {
    let filter = EnvFilter::builder().parse(level)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines)
        .with_ansi(stderr().is_terminal());
    // It fails only where logging has been started before: by a test in the same process.
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(Logging(()))
}
