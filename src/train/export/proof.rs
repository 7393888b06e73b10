//! The proof at export: ONNX Runtime against the network itself.
//!
//! A graph is published only if it answers what the network answers in double precision, with rows trimmed and with rows in
//! full, alone and in batches, and if these four agree among themselves, each within [`TOLERANCE`] of the probability.

use crate::bundle::Trim;
use crate::engine::session::{Device, Runtime, Session, SessionError, SessionOptions};
use crate::sentiment::sigmoid;
use crate::text::{PaddingSpec, Side};

use super::Exported;

/// The largest difference in probability that is rounding.
pub const TOLERANCE: f64 = 1e-5;

/// Rows that go through the runtime together.
const BATCH: usize = 32;

/// What was compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    /// Rows compared.
    pub rows: usize,
    /// The largest difference in probability found.
    pub worst: f64,
}

/// Why a graph is not published.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The runtime failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Nothing to prove it with.
    #[error("the proof was given no rows")]
    NoRows,
    /// An answer is off.
    #[error(
        "the exported graph answers {found} where {against} says {expected}: row {row} of {length} tokens, {way}"
    )]
    Differs {
        /// The row's place among those given.
        row: usize,
        /// Its tokens.
        length: usize,
        /// How the runtime was asked.
        way: &'static str,
        /// What it is compared with.
        against: &'static str,
        /// The probability found.
        found: f64,
        /// The probability expected.
        expected: f64,
    },
}

/// Proves a graph on rows of ids, cut and not padded, with the logits that the network gives in double precision.
///
/// # Errors
/// The runtime fails, or an answer is off; the error names the worst row.
pub fn prove(
    runtime: &Runtime,
    exported: &Exported,
    padding: &PaddingSpec,
    rows: &[(&[i64], f64)],
) -> Result<Proof, ProofError> {
    if rows.is_empty() {
        return Err(ProofError::NoRows);
    }
    let options = SessionOptions {
        device: Device::Cpu,
        standard: true,
    };
    let mut asked = Asked {
        session: Session::open(runtime, &exported.onnx, options)?,
        trim: exported.trim,
        padding,
    };
    let expected: Vec<f64> = rows.iter().map(|(_, logit)| sigmoid(*logit)).collect();
    let ids: Vec<&[i64]> = rows.iter().map(|(ids, _)| *ids).collect();
    let mut worst: f64 = 0.0;
    let mut first: Option<Vec<f64>> = None;
    for (way, batch, full) in [
        ("trimmed, in a batch", BATCH, false),
        ("trimmed, alone", 1, false),
        ("in full, in a batch", BATCH, true),
        ("in full, alone", 1, true),
    ] {
        let found = asked.probabilities(&ids, batch, full)?;
        let compare = Compare {
            way,
            found: &found,
            ids: &ids,
        };
        worst = worst.max(compare.with("the network", &expected)?);
        if let Some(first) = &first {
            worst = worst.max(compare.with("the graph itself, trimmed and in a batch,", first)?);
        }
        first.get_or_insert(found);
    }
    Ok(Proof {
        rows: rows.len(),
        worst,
    })
}

struct Asked<'a> {
    session: Session,
    trim: Trim,
    padding: &'a PaddingSpec,
}

impl Asked<'_> {
    fn probabilities(
        &mut self,
        rows: &[&[i64]],
        batch: usize,
        full: bool,
    ) -> Result<Vec<f64>, SessionError> {
        let mut probabilities = Vec::with_capacity(rows.len());
        for rows in rows.chunks(batch) {
            let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0).max(1);
            let time = if full || self.trim == Trim::None {
                self.padding.maxlen
            } else {
                longest
            };
            let ids: Vec<i64> = rows.iter().flat_map(|row| self.padded(row, time)).collect();
            let lengths: Vec<i64> = rows.iter().map(|row| row.len().max(1) as i64).collect();
            let logits = self.session.run(&ids, (rows.len(), time), &lengths)?;
            probabilities.extend(logits.into_iter().map(|logit| sigmoid(f64::from(logit))));
        }
        Ok(probabilities)
    }

    fn padded(&self, row: &[i64], time: usize) -> Vec<i64> {
        let pads = std::iter::repeat_n(self.padding.value, time - row.len());
        let left = self.trim == Trim::Masked || self.padding.padding == Side::Post;
        if left {
            row.iter().copied().chain(pads).collect()
        } else {
            pads.chain(row.iter().copied()).collect()
        }
    }
}

struct Compare<'a> {
    way: &'static str,
    found: &'a [f64],
    ids: &'a [&'a [i64]],
}

impl Compare<'_> {
    fn with(&self, against: &'static str, expected: &[f64]) -> Result<f64, ProofError> {
        let (row, difference) = self
            .found
            .iter()
            .zip(expected)
            .map(|(found, expected)| (found - expected).abs())
            .enumerate()
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
            .unwrap_or((0, f64::NAN));
        // Written so that a NaN is refused too.
        if difference <= TOLERANCE {
            return Ok(difference);
        }
        Err(ProofError::Differs {
            row,
            length: self.ids[row].len(),
            way: self.way,
            against,
            found: self.found[row],
            expected: expected[row],
        })
    }
}
