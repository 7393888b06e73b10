//! Rows, labels and lengths of a data set, printed as the course prints them.

use std::fmt;

use super::{Dataset, Splits};
use crate::bundle::UnreadRecord;
use crate::sentiment::Label;

/// What is in a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Source by source.
    pub sources: Vec<SourceStatistics>,
    /// Rows learned from, that choose the epoch, and that are scored once.
    pub splits: [u64; 3],
    /// Those of them that are left out, because no token of theirs is known.
    pub unread: UnreadRecord,
}

/// What is in one source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceStatistics {
    /// Its name.
    pub name: String,
    /// Rows kept that are positive.
    pub positive: u64,
    /// Rows kept that are negative.
    pub negative: u64,
    /// Rows whose text is empty.
    pub skipped: u64,
    /// Rows dropped because their text had been seen.
    pub duplicates: u64,
    /// The reviews' lengths.
    pub lengths: Lengths,
}

/// Lengths in tokens, uncut.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lengths {
    /// The longest.
    pub max: usize,
    /// The mean.
    pub mean: f64,
}

/// Counts what is in a data set; `lengths` has the number of tokens of every example.
pub fn describe(dataset: &Dataset, splits: &Splits, lengths: &[usize]) -> Statistics {
    let sources = dataset.sources.iter().enumerate().map(|(at, source)| {
        let mut found = SourceStatistics {
            name: source.name.clone(),
            positive: 0,
            negative: 0,
            skipped: source.skipped,
            duplicates: source.duplicates,
            lengths: Lengths::default(),
        };
        let mut total = 0;
        let rows = dataset.examples.iter().zip(lengths);
        for (example, &length) in rows.filter(|(example, _)| example.source == at) {
            match example.label {
                Label::Positive => found.positive += 1,
                Label::Negative => found.negative += 1,
            }
            found.lengths.max = found.lengths.max.max(length);
            total += length;
        }
        let rows = found.positive + found.negative;
        found.lengths.mean = total as f64 / rows.max(1) as f64;
        found
    });
    Statistics {
        sources: sources.collect(),
        splits: [&splits.train, &splits.validation, &splits.test].map(|rows| rows.len() as u64),
        unread: UnreadRecord::default(),
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for source in &self.sources {
            let rows = source.positive + source.negative;
            write!(f, "{}: {rows} reviews", source.name)?;
            write!(
                f,
                ", {} positive, {} negative",
                source.positive, source.negative
            )?;
            for (count, what) in [
                (source.duplicates, "duplicates dropped"),
                (source.skipped, "empty"),
            ] {
                if count > 0 {
                    write!(f, ", {count} {what}")?;
                }
            }
            writeln!(f)?;
            writeln!(f, "  review length max  : {}", source.lengths.max)?;
            writeln!(f, "  review length mean : {:.2}", source.lengths.mean)?;
        }
        let [train, validation, test] = self.splits;
        writeln!(
            f,
            "training {train}, validation {validation}, test {test} reviews"
        )?;
        if self.unread.is_empty() {
            return Ok(());
        }
        let UnreadRecord {
            train,
            validation,
            test,
        } = self.unread;
        writeln!(
            f,
            "left out, as no token of theirs is known: {train}, {validation} and {test} of these"
        )
    }
}
