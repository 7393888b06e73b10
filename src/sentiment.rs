//! The domain's words: a label, a score and the calibration between logit and score.

use serde::{Deserialize, Serialize};

/// What a review says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// The reviewer advises against it.
    Negative,
    /// The reviewer recommends it.
    Positive,
}

impl Label {
    /// Positive if and only if `score > 0.5`.
    pub fn of_score(score: f64) -> Self {
        if score > 0.5 {
            Self::Positive
        } else {
            Self::Negative
        }
    }

    /// The name used in JSON, metrics and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::Positive => "positive",
        }
    }

    /// 1 for positive and 0 for negative, the target of binary cross-entropy.
    pub fn target(self) -> f64 {
        match self {
            Self::Negative => 0.0,
            Self::Positive => 1.0,
        }
    }
}

/// Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks"):
/// `score = sigmoid(logit / temperature)`. Being positive and without a bias it never moves a text over 0.5.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Positive; 1 leaves the network's probability as it is.
    pub temperature: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { temperature: 1.0 }
    }
}

/// What the network and its calibration say of one text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The network's probability of positive, uncalibrated.
    pub raw: f64,
    /// The calibrated probability of positive.
    pub calibrated: f64,
}

impl Score {
    /// From the network's logit.
    pub fn from_logit(logit: f64, calibration: Calibration) -> Self {
        Self {
            raw: sigmoid(logit),
            calibrated: sigmoid(logit / calibration.temperature),
        }
    }

    /// Positive if and only if the calibrated score is over 0.5.
    pub fn label(self) -> Label {
        Label::of_score(self.calibrated)
    }

    /// The calibrated probability of the label.
    pub fn confidence(self) -> f64 {
        self.calibrated.max(1.0 - self.calibrated)
    }
}

/// The logistic function, without overflow for any finite input.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}
