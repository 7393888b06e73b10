//! Where a training stands: everything that its remaining steps depend on beside the recipe and the rows.
//!
//! Orders, crops and dropout are drawn from the seed, the epoch and the step alone, so that none of them has a state of its
//! own: two trainings in equal states go on in equal steps.

use serde::{Deserialize, Serialize};

use super::network::Network;
use super::report::{Epoch, History};
use super::step::{Outcome, Stepper};
use crate::recipe::{FitRecipe, Monitor};

/// A training between two steps.
pub struct State {
    /// Weights and optimiser.
    pub stepper: Stepper<f32>,
    /// The epoch in progress, from 1; one more than the last after the last.
    pub epoch: usize,
    /// Steps of it that are done.
    pub step: usize,
    /// What they saw.
    pub sums: Sums,
    /// Every finished epoch.
    pub history: History,
    /// The best of them.
    pub best: Option<Best>,
}

/// Sums over the steps of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Of the rows' losses.
    pub loss: f64,
    /// Rows whose label the network had right.
    pub correct: usize,
    /// Rows.
    pub rows: usize,
    /// Wall-clock time.
    pub seconds: f64,
}

/// The best finished epoch.
#[derive(Clone, Debug)]
pub struct Best {
    /// What is monitored, turned so that lower is better.
    pub figure: f64,
    /// From 1.
    pub epoch: usize,
    /// Its weights.
    pub network: Network<f32>,
}

impl State {
    /// Before the first step.
    pub fn new(network: Network<f32>, recipe: &FitRecipe) -> Self {
        Self {
            stepper: Stepper::new(network, recipe),
            epoch: 1,
            step: 0,
            sums: Sums::default(),
            history: History::default(),
            best: None,
        }
    }

    /// Whether every epoch is over, or enough of them without a gain.
    pub fn ended(&self, recipe: &FitRecipe) -> bool {
        let done = self.epoch - 1;
        let patient = recipe.early_stopping.as_ref().is_none_or(|stopping| {
            let best = self.best.as_ref().map_or(0, |best| best.epoch);
            done - best < stopping.patience.max(1)
        });
        done >= recipe.epochs || !patient
    }

    /// Wall-clock time of all that is done.
    pub fn seconds(&self) -> f64 {
        let epochs = self.history.epochs.iter();
        epochs.map(|epoch| epoch.seconds).sum::<f64>() + self.sums.seconds
    }

    /// Counts one step in.
    pub fn count(&mut self, outcome: Outcome, rows: usize) {
        self.step += 1;
        self.sums.rows += rows;
        self.sums.loss += outcome.loss * rows as f64;
        self.sums.correct += outcome.correct;
    }

    /// Closes the epoch in progress and opens the next. Says whether it is the best so far.
    pub fn close_epoch(&mut self, epoch: Epoch, recipe: &FitRecipe) -> bool {
        let figure = figure(&epoch, recipe);
        let min_delta = recipe.early_stopping.as_ref().map_or(0.0, |e| e.min_delta);
        // Nothing is better than no number, and no number than nothing.
        let least = self.best.as_ref().map_or(f64::INFINITY, |best| best.figure);
        let improved = figure < least - min_delta;
        if improved {
            self.best = Some(Best {
                figure,
                epoch: epoch.epoch,
                network: self.stepper.network.clone(),
            });
        }
        self.history.epochs.push(epoch);
        self.epoch += 1;
        self.step = 0;
        self.sums = Sums::default();
        improved
    }
}

impl Sums {
    /// Mean loss and share of right labels.
    pub fn means(&self) -> (f64, f64) {
        let rows = self.rows as f64;
        (self.loss / rows, self.correct as f64 / rows)
    }
}

/// What is monitored, turned so that lower is better; without validation the last epoch is the best.
fn figure(epoch: &Epoch, recipe: &FitRecipe) -> f64 {
    let monitor = recipe
        .early_stopping
        .as_ref()
        .map_or(Monitor::ValLoss, |e| e.monitor);
    match (epoch.val_loss, epoch.val_accuracy, monitor) {
        (Some(loss), _, Monitor::ValLoss) => loss,
        (_, Some(accuracy), Monitor::ValAccuracy) => -accuracy,
        _ => -(epoch.epoch as f64),
    }
}
