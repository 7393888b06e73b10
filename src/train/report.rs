//! How good a model is: accuracy, AUC, loss, calibration error and confusion over labelled logits, and the temperature.
//!
//! Loss is of the network's own probability, as Keras prints it; the calibration error is of the calibrated score.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bundle::{Confusion, Measured, SplitMetrics};
use crate::sentiment::{Calibration, Label, Score, sigmoid};

/// Keras's `epsilon()`, by which probabilities are kept from 0 and 1.
const EPSILON: f64 = 1e-7;

/// The bins of the calibration error, of equal width over the score.
const BINS: usize = 15;

/// Temperatures outside of this range are no calibration but a sign of data that cannot give one.
const TEMPERATURES: [f64; 2] = [0.05, 20.0];

/// The network's answer to a labelled row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// What it should have been.
    pub label: Label,
    /// The network's logit.
    pub logit: f64,
    /// The row's source.
    pub source: usize,
}

/// One pass over the training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// The mean loss over the epoch's steps.
    pub loss: f64,
    /// The share of right labels over the epoch's steps.
    pub accuracy: f64,
    /// The loss on the validation rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_loss: Option<f64>,
    /// The share of right labels among the validation rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
    /// The step size of the last step.
    pub learning_rate: f64,
    /// Wall-clock time, validation included.
    pub seconds: f64,
}

/// What is kept as `history.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// In order.
    pub epochs: Vec<Epoch>,
}

/// Measures the answers to one set of rows, together and by source.
pub fn measure_split(
    answers: &[Answer],
    sources: &[String],
    calibration: Calibration,
) -> SplitMetrics {
    let by_source = sources.iter().enumerate().map(|(at, name)| {
        let own: Vec<Answer> = answers.iter().filter(|a| a.source == at).copied().collect();
        (name.clone(), measure(&own, calibration))
    });
    SplitMetrics {
        all: measure(answers, calibration),
        sources: by_source
            .filter(|(_, measured)| measured.rows > 0)
            .collect::<BTreeMap<_, _>>(),
    }
}

/// Measures the answers to some rows; of no rows everything is 0.
pub fn measure(answers: &[Answer], calibration: Calibration) -> Measured {
    let rows = answers.len().max(1) as f64;
    let mut confusion = Confusion::default();
    let mut loss = 0.0;
    let mut bins = [Bin::default(); BINS];
    for answer in answers {
        let score = Score::from_logit(answer.logit, calibration);
        *match (answer.label, score.label()) {
            (Label::Positive, Label::Positive) => &mut confusion.true_positive,
            (Label::Positive, Label::Negative) => &mut confusion.false_negative,
            (Label::Negative, Label::Positive) => &mut confusion.false_positive,
            (Label::Negative, Label::Negative) => &mut confusion.true_negative,
        } += 1;
        loss += cross_entropy(answer.label, score.raw);
        let bin = ((score.calibrated * BINS as f64) as usize).min(BINS - 1);
        bins[bin].add(score.calibrated, answer.label);
    }
    let right = confusion.true_positive + confusion.true_negative;
    Measured {
        rows: answers.len() as u64,
        accuracy: right as f64 / rows,
        auc: auc(answers),
        loss: loss / rows,
        ece: bins.iter().map(Bin::gap).sum::<f64>() / rows,
        confusion,
    }
}

/// Binary cross-entropy as Keras computes it from a probability.
fn cross_entropy(label: Label, probability: f64) -> f64 {
    let p = probability.clamp(EPSILON, 1.0 - EPSILON);
    match label {
        Label::Positive => -(p + EPSILON).ln(),
        Label::Negative => -(1.0 - p + EPSILON).ln(),
    }
}

#[derive(Clone, Copy, Default)]
struct Bin {
    scores: f64,
    positive: f64,
}

impl Bin {
    fn add(&mut self, score: f64, label: Label) {
        self.scores += score;
        self.positive += label.target();
    }

    /// The number of rows times the distance between mean score and share of positives.
    fn gap(&self) -> f64 {
        (self.scores - self.positive).abs()
    }
}

/// The share of pairs, one positive and one negative, that the logits order rightly; a tie is half.
fn auc(answers: &[Answer]) -> Option<f64> {
    let mut sorted: Vec<(f64, Label)> = answers.iter().map(|a| (a.logit, a.label)).collect();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut negative, mut positive, mut pairs) = (0.0, 0.0, 0.0);
    // `==` and not the total order decides on ties, so that -0 and 0 are one.
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let ups: f64 = tied.iter().map(|(_, label)| label.target()).sum();
        let downs = tied.len() as f64 - ups;
        pairs += ups * (negative + downs / 2.0);
        negative += downs;
        positive += ups;
    }
    (negative > 0.0 && positive > 0.0).then(|| pairs / (negative * positive))
}

/// The temperature under which the answers are most likely.
///
/// It is 1, which changes nothing, where they cannot give one: too few, of one class, all right or no better than chance.
pub fn fit_temperature(answers: &[Answer]) -> Calibration {
    // The likelihood is concave in 1 / temperature, so its slope has one zero, found by halving.
    let slope = |inverse: f64| -> f64 {
        let term = |a: &Answer| (sigmoid(a.logit * inverse) - a.label.target()) * a.logit;
        answers.iter().map(term).sum()
    };
    let [mut low, mut high] = [1.0 / TEMPERATURES[1], 1.0 / TEMPERATURES[0]];
    // NaN and a zero outside of the range both fail here.
    if !(slope(low) < 0.0 && slope(high) > 0.0) {
        return Calibration::default();
    }
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if slope(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    Calibration {
        temperature: 1.0 / high,
    }
}

/// A table of measurements for people, a line each.
pub struct Table<'a>(pub &'a SplitMetrics);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = &self.0.sources;
        let mut lines: Vec<(&str, &Measured)> = vec![("all", &self.0.all)];
        if sources.len() > 1 {
            lines.extend(sources.iter().map(|(name, m)| (name.as_str(), m)));
        }
        let width = lines.iter().map(|(name, _)| name.chars().count());
        let width = width.max().unwrap_or(0).max(6);
        writeln!(
            f,
            "{:width$}  {:>8} {:>9} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8} {:>8}",
            "source",
            "rows",
            "accuracy",
            "auc",
            "loss",
            "ece",
            "true+",
            "false+",
            "true-",
            "false-"
        )?;
        for (name, m) in lines {
            let auc = m.auc.map_or("-".to_owned(), |auc| format!("{auc:.4}"));
            let c = &m.confusion;
            writeln!(
                f,
                "{name:width$}  {:>8} {:>8.2}% {auc:>7} {:>7.4} {:>7.4} {:>8} {:>8} {:>8} {:>8}",
                m.rows,
                100.0 * m.accuracy,
                m.loss,
                m.ece,
                c.true_positive,
                c.false_positive,
                c.true_negative,
                c.false_negative
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentiment::Label::{Negative, Positive};

    fn answers(rows: &[(Label, f64)]) -> Vec<Answer> {
        let answer = |&(label, logit): &(Label, f64)| Answer {
            label,
            logit,
            source: 0,
        };
        rows.iter().map(answer).collect()
    }

    #[test]
    fn loss_is_what_keras_says_of_the_same_probabilities() {
        let rows = [
            (Positive, 2.0),
            (Negative, -1.5),
            (Positive, -0.25),
            (Positive, 40.0),
            (Negative, 40.0),
            (Negative, -0.1),
        ];
        let measured = measure(&answers(&rows), Calibration { temperature: 3.0 });
        assert!((measured.loss - 2.870604197484487).abs() < 1e-12);
        assert_eq!(measured.rows, 6);
        assert_eq!(measured.accuracy, 4.0 / 6.0);
        let expected = Confusion {
            true_positive: 2,
            false_positive: 1,
            true_negative: 2,
            false_negative: 1,
        };
        assert_eq!(measured.confusion, expected);
    }

    #[test]
    fn the_area_under_the_curve_counts_a_tie_as_half() {
        let of = |rows: &[(Label, f64)]| auc(&answers(rows));
        assert_eq!(of(&[(Positive, 1.0), (Negative, 0.0)]), Some(1.0));
        assert_eq!(of(&[(Positive, 0.0), (Negative, 1.0)]), Some(0.0));
        assert_eq!(of(&[(Positive, 0.0), (Negative, -0.0)]), Some(0.5));
        // Of the six pairs four are right, one is a tie, one is wrong.
        let rows = [
            (Positive, 3.0),
            (Positive, 1.0),
            (Positive, 0.5),
            (Negative, 1.0),
            (Negative, 0.1),
        ];
        assert_eq!(of(&rows), Some(4.5 / 6.0));
        assert_eq!(of(&[(Positive, 3.0)]), None);
        assert_eq!(measure(&[], Calibration::default()).rows, 0);
    }

    #[test]
    fn calibration_error_is_the_distance_between_scores_and_shares() {
        // Ten rows of score 0.8, of which six are positive.
        let logit = (0.8_f64 / 0.2).ln();
        let rows: Vec<_> = (0..10)
            .map(|at| (if at < 6 { Positive } else { Negative }, logit))
            .collect();
        let measured = measure(&answers(&rows), Calibration::default());
        assert!((measured.ece - 0.2).abs() < 1e-12, "{}", measured.ece);
    }

    /// Rows whose labels follow `sigmoid(logit / temperature)` as exactly as whole numbers can.
    fn drawn(temperature: f64) -> Vec<Answer> {
        let mut rows = Vec::new();
        for step in -40..=40 {
            let logit = f64::from(step) / 8.0;
            let positive = (1000.0 * sigmoid(logit / temperature)).round() as usize;
            rows.extend(vec![(Positive, logit); positive]);
            rows.extend(vec![(Negative, logit); 1000 - positive]);
        }
        answers(&rows)
    }

    #[test]
    fn the_temperature_that_made_the_labels_is_found() {
        for temperature in [0.5, 1.0, 1.7, 4.0] {
            let found = fit_temperature(&drawn(temperature)).temperature;
            assert!(
                (found / temperature - 1.0).abs() < 5e-3,
                "{found} for {temperature}"
            );
        }
        let rows = drawn(2.5);
        let before = measure(&rows, Calibration::default());
        let after = measure(&rows, fit_temperature(&rows));
        assert!(
            after.ece < before.ece / 10.0,
            "{} {}",
            before.ece,
            after.ece
        );
    }

    #[test]
    fn data_that_cannot_give_a_temperature_leaves_it_at_one() {
        let separable = answers(&[(Positive, 3.0), (Negative, -2.0)]);
        let backwards = answers(&[(Positive, -3.0), (Negative, 2.0)]);
        let broken = answers(&[(Positive, f64::NAN), (Negative, 2.0)]);
        for rows in [&separable[..], &backwards, &broken, &[]] {
            assert_eq!(fit_temperature(rows), Calibration::default());
        }
    }

    #[test]
    fn sources_are_measured_apart() {
        let mut rows = answers(&[(Positive, 1.0), (Negative, 1.0), (Positive, 2.0)]);
        rows[2].source = 1;
        let names = ["one", "two", "none"].map(str::to_owned);
        let split = measure_split(&rows, &names, Calibration::default());
        assert_eq!(split.all.rows, 3);
        assert_eq!(split.sources["one"].accuracy, 0.5);
        assert_eq!(split.sources["two"].accuracy, 1.0);
        assert!(!split.sources.contains_key("none"));
        let shown = Table(&split).to_string();
        assert!(
            shown.lines().nth(2).is_some_and(|l| l.starts_with("one ")),
            "{shown}"
        );
    }
}
