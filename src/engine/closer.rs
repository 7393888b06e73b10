//! A closer look at one text: its sentences, and which of its parts moved its score.
//!
//! A sentence is scored as a text of its own. What a part contributes is the network's logit of the text, less that of the text
//! without this part (occlusion: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 2.1). Both
//! are more rows for the same queue; a row that would be the text's own again is not run.

use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use super::{Ask, Engine, ItemError, Prediction, Ticket, ran};
use crate::sentiment::{Calibration, Label, Score};
use crate::text::sentences::sentences;
use crate::text::{Encoded, Moment};

/// Most parts of a text that are left out, one after another; of a text with more, neighbours are left out together.
pub const MOST_PARTS: usize = 64;

/// What is wanted of a text beside its sentiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closer {
    /// The sentiment of each of its sentences.
    pub sentences: bool,
    /// What each of its parts contributes.
    pub explain: bool,
}

impl Closer {
    /// Whether anything is.
    pub fn any(self) -> bool {
        self.sentences || self.explain
    }
}

/// A closer look that waits for the logits of its rows.
#[derive(Debug)]
pub struct Look {
    sentences: Option<Vec<Place>>,
    parts: Option<Vec<Place>>,
    rows: usize,
}

/// A part of the text, in characters, and the row that tells of it.
#[derive(Debug)]
struct Place {
    start: usize,
    end: usize,
    row: Row,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// The text's own.
    Whole,
    /// The next of those that are run.
    Next,
    /// There is nothing to read.
    Blank,
}

/// What a closer look has seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Those sentences that the model can read anything of, in their order.
    pub sentences: Option<Vec<Sentence>>,
    /// The parts that the model reads, in their order.
    pub explanation: Option<Vec<Contribution>>,
}

/// The sentiment of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sentence {
    /// Where it begins, in characters (Unicode scalar values) of the text as it came.
    pub start: usize,
    /// Where it ends: the place of the first character behind it.
    pub end: usize,
    /// What it says by itself.
    pub label: Label,
    /// Its calibrated score.
    pub score: f64,
    /// Its score before calibration.
    pub raw_score: f64,
}

/// What a part adds to the logit of its text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Contribution {
    /// Where it begins, in characters of the text as it came.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// The network's logit of the text less that of the text without this part; where nothing else is to be read, all of it.
    pub contribution: f64,
}

impl Look {
    /// Rows that are run beside the text's own.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// From the logit of the whole text and those of the rows, in their order.
    pub fn seen(self, whole: f64, rows: &[f64], calibration: Calibration) -> Seen {
        let mut rows = rows.iter().copied();
        let mut logit = |row: Row| match row {
            Row::Whole => Some(whole),
            Row::Next => rows.next(),
            Row::Blank => None,
        };
        let sentences = self.sentences.map(|places| {
            let read = places.into_iter().filter_map(|Place { start, end, row }| {
                let score = Score::from_logit(logit(row)?, calibration);
                Some(Sentence {
                    start,
                    end,
                    label: score.label(),
                    score: score.calibrated,
                    raw_score: score.raw,
                })
            });
            read.collect()
        });
        let explanation = self.parts.map(|places| {
            let parts = places
                .into_iter()
                .map(|Place { start, end, row }| Contribution {
                    start,
                    end,
                    contribution: whole - logit(row).unwrap_or(0.0),
                });
            parts.collect()
        });
        Seen {
            sentences,
            explanation,
        }
    }
}

impl Engine {
    /// What a closer look at a text needs beside the text's own row: rows that wait as texts do.
    pub fn look(&self, text: &str, ask: &Ask, closer: Closer) -> (Look, Vec<Ask>) {
        let mut rows = Vec::new();
        let mut take = |own: Option<Ask>| match own {
            None => Row::Blank,
            Some(own) if own.ids == ask.ids => Row::Whole,
            Some(own) => {
                rows.push(own);
                Row::Next
            }
        };
        let sentences = closer.sentences.then(|| {
            let found = sentences(text).into_iter().map(|at| {
                let own = self.encode(&text[at.clone()]).ok();
                (at, take(own))
            });
            places(text, found)
        });
        let parts = closer.explain.then(|| {
            let encoder = &self.bundle.encoder;
            let rests = encoder.without_each_part(text, Moment::Serve, MOST_PARTS);
            let found = rests.into_iter().map(|rest| {
                let blank = rest.used == 0 || rest.ids.is_empty();
                let own = Ask {
                    ids: rest.ids.into(),
                    encoded: Encoded::default(),
                    took: Duration::ZERO,
                };
                (rest.part, take((!blank).then_some(own)))
            });
            places(text, found)
        });
        let look = Look {
            sentences,
            parts,
            rows: rows.len(),
        };
        (look, rows)
    }

    /// Waits for the rows of a closer look.
    ///
    /// # Errors
    /// One of them comes too late, or its run failed.
    pub async fn looked(
        &self,
        look: Look,
        of: &Prediction,
        rows: Vec<Ticket>,
    ) -> Result<Seen, ItemError> {
        let mut logits = Vec::with_capacity(rows.len());
        for ticket in rows {
            logits.push(f64::from(ran(ticket).await?.logit));
        }
        Ok(look.seen(of.logit, &logits, self.bundle.manifest.calibration))
    }
}

/// Bytes to characters; those of one list come in order and do not overlap.
fn places(text: &str, found: impl Iterator<Item = (Range<usize>, Row)>) -> Vec<Place> {
    let (mut byte, mut character) = (0, 0);
    let mut at = |next: usize| {
        character += text[byte..next].chars().count();
        byte = next;
        character
    };
    found
        .map(|(bytes, row)| Place {
            start: at(bytes.start),
            end: at(bytes.end),
            row,
        })
        .collect()
}
