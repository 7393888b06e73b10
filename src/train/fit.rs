//! The training loop, read from top to bottom: epochs of shuffled batches, a look at validation after each, the best
//! weights kept.

use std::ops::Range;
use std::time::Instant;

use super::batches::Drawing;
use super::crop::crops;
use super::network::Network;
use super::report::{Epoch, History};
use super::step::{Stepper, Target, cross_entropy};
use crate::recipe::{FitRecipe, Monitor, Schedule};
use crate::sentiment::Label;

/// A row to learn from.
#[derive(Clone, Debug)]
pub struct Row {
    /// As the network reads it.
    pub ids: Vec<i64>,
    /// What it should say.
    pub label: Label,
    /// Its weight in the loss.
    pub weight: f64,
}

/// What the observer is told.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// After each step.
    Step(Progress),
    /// After each epoch.
    Epoch {
        /// Its figures.
        epoch: &'a Epoch,
        /// Epochs in all.
        epochs: usize,
        /// Whether it is the best so far by what is monitored.
        best: bool,
    },
}

/// Where training stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// From 1.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Within the epoch, from 1.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Mean over the epoch so far.
    pub loss: f64,
    /// Share over the epoch so far.
    pub accuracy: f64,
}

/// The observer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Stop now; the epoch in progress is forgotten.
    Stop,
}

/// Why training failed.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// There is nothing to learn from.
    #[error("there are no training rows")]
    NoRows,
    /// The loss is NaN or infinite.
    #[error(
        "the loss is {loss} at step {step} of epoch {epoch} (learning rate {learning_rate}): \
         lower fit.learning_rate or set fit.global_clipnorm"
    )]
    Diverged {
        /// What it was.
        loss: f64,
        /// Within the epoch, from 1.
        step: usize,
        /// From 1.
        epoch: usize,
        /// At that step.
        learning_rate: f64,
    },
}

/// The end of training.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The weights of `best_epoch`; nothing if it was stopped within the first epoch.
    pub network: Option<Network<f32>>,
    /// Every finished epoch.
    pub history: History,
    /// The epoch whose weights were kept, from 1.
    pub best_epoch: usize,
    /// Whether the observer stopped it.
    pub stopped: bool,
}

/// Trains `network` on the current rayon pool. With early stopping the best epoch's weights are kept, without it the
/// last one's, as Keras does; when the observer stops training, the best finished epoch's.
///
/// # Errors
/// No rows, or a loss that is no number.
pub fn fit(
    network: Network<f32>,
    train: &[Row],
    validation: &[Row],
    recipe: &FitRecipe,
    observe: &mut dyn FnMut(Event<'_>) -> Control,
) -> Result<Fitted, FitError> {
    if train.is_empty() {
        return Err(FitError::NoRows);
    }
    let lengths: Vec<usize> = train.iter().map(|row| row.ids.len()).collect();
    let drawing = Drawing {
        batch_size: recipe.batch_size,
        bucket: recipe.bucket,
        seed: recipe.seed,
    };
    let mut stepper = Stepper::new(network, recipe);
    let mut history = History::default();
    let mut best: Option<(f64, usize, Network<f32>)> = None;
    for epoch in 1..=recipe.epochs {
        let start = Instant::now();
        let parts = crops(recipe.crop.as_ref(), epoch, recipe.seed, &lengths);
        let shown: Vec<usize> = parts.iter().map(ExactSizeIterator::len).collect();
        let batches = drawing.epoch(epoch, &shown);
        let (mut loss, mut correct, mut seen) = (0.0, 0, 0);
        for (at, batch) in batches.iter().enumerate() {
            let learning_rate = rate(
                recipe,
                (epoch - 1) * batches.len() + at,
                recipe.epochs * batches.len(),
            );
            let targets: Vec<Target<'_>> = batch
                .iter()
                .map(|&row| target(&train[row], &parts[row]))
                .collect();
            let outcome = stepper.step(&targets, learning_rate);
            if !(outcome.loss.is_finite() && outcome.gradient_norm.is_finite()) {
                let loss = if outcome.loss.is_finite() {
                    f64::NAN
                } else {
                    outcome.loss
                };
                return Err(FitError::Diverged {
                    loss,
                    step: at + 1,
                    epoch,
                    learning_rate,
                });
            }
            seen += batch.len();
            loss += outcome.loss * batch.len() as f64;
            correct += outcome.correct;
            let progress = Progress {
                epoch,
                epochs: recipe.epochs,
                step: at + 1,
                steps: batches.len(),
                loss: loss / seen as f64,
                accuracy: correct as f64 / seen as f64,
            };
            if observe(Event::Step(progress)) == Control::Stop {
                return Ok(finish(
                    best.map(|(_, epoch, network)| (epoch, network)),
                    history,
                    true,
                ));
            }
        }
        let held_out = (!validation.is_empty()).then(|| evaluate(&stepper.network, validation));
        history.epochs.push(Epoch {
            epoch,
            loss: loss / seen as f64,
            accuracy: correct as f64 / seen as f64,
            val_loss: held_out.map(|(loss, _)| loss),
            val_accuracy: held_out.map(|(_, accuracy)| accuracy),
            learning_rate: rate(
                recipe,
                epoch * batches.len() - 1,
                recipe.epochs * batches.len(),
            ),
            seconds: start.elapsed().as_secs_f64(),
        });
        // What is monitored, turned so that lower is better; without validation the last epoch is the best.
        let monitor = recipe
            .early_stopping
            .as_ref()
            .map_or(Monitor::ValLoss, |e| e.monitor);
        let figure = match (held_out, monitor) {
            (Some((loss, _)), Monitor::ValLoss) => loss,
            (Some((_, accuracy)), Monitor::ValAccuracy) => -accuracy,
            (None, _) => -(epoch as f64),
        };
        let min_delta = recipe.early_stopping.as_ref().map_or(0.0, |e| e.min_delta);
        let improved = best
            .as_ref()
            .is_none_or(|(before, ..)| figure < before - min_delta);
        if improved {
            best = Some((figure, epoch, stepper.network.clone()));
        }
        let finished = history.epochs.last().expect("an epoch was just added");
        let event = Event::Epoch {
            epoch: finished,
            epochs: recipe.epochs,
            best: improved,
        };
        if observe(event) == Control::Stop {
            return Ok(finish(
                best.map(|(_, epoch, network)| (epoch, network)),
                history,
                true,
            ));
        }
        let waited = best.as_ref().map_or(0, |(_, best, _)| epoch - best);
        if recipe
            .early_stopping
            .as_ref()
            .is_some_and(|e| waited >= e.patience.max(1))
        {
            break;
        }
    }
    let kept = match (&recipe.early_stopping, best) {
        (Some(_), Some((_, epoch, network))) => (epoch, network),
        _ => (history.epochs.len(), stepper.network),
    };
    Ok(finish(Some(kept), history, false))
}

fn finish(kept: Option<(usize, Network<f32>)>, history: History, stopped: bool) -> Fitted {
    let (best_epoch, network) = kept.map_or((0, None), |(epoch, network)| (epoch, Some(network)));
    Fitted {
        network,
        history,
        best_epoch,
        stopped,
    }
}

fn target<'a>(row: &'a Row, part: &Range<usize>) -> Target<'a> {
    Target {
        ids: &row.ids[part.clone()],
        label: row.label.target(),
        weight: row.weight,
    }
}

/// The learning rate of step `at` of `steps`.
fn rate(recipe: &FitRecipe, at: usize, steps: usize) -> f64 {
    match recipe.schedule {
        Schedule::Constant => recipe.learning_rate,
        Schedule::Cosine => {
            let turn = std::f64::consts::PI * at as f64 / steps as f64;
            recipe.learning_rate * 0.5 * (1.0 + turn.cos())
        }
    }
}

/// Mean loss and accuracy over `rows`, unweighted.
fn evaluate(network: &Network<f32>, rows: &[Row]) -> (f64, f64) {
    let ids: Vec<&[i64]> = rows.iter().map(|row| row.ids.as_slice()).collect();
    let (mut loss, mut correct) = (0.0, 0);
    for (row, logit) in rows.iter().zip(network.logits(&ids)) {
        let logit = f64::from(logit);
        loss += cross_entropy(logit, row.label.target());
        correct += usize::from((logit > 0.0) == (row.label == Label::Positive));
    }
    (loss / rows.len() as f64, correct as f64 / rows.len() as f64)
}
