//! The training loop, read from top to bottom: epochs of shuffled batches, a look at validation after each, the best
//! weights kept.

use std::ops::Range;
use std::time::Instant;

use serde::Serialize;

use super::batches::Drawing;
use super::crop::crops;
use super::network::Network;
use super::report::{Epoch, History};
use super::state::State;
use super::step::{Target, cross_entropy};
use crate::recipe::{FitRecipe, Schedule};
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

impl Row {
    /// Pads in front of it; a row of a masked network has none.
    fn pads(&self) -> usize {
        self.ids.iter().take_while(|id| **id == 0).count()
    }
}

/// What is learned from and what is only looked at.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// To learn from.
    pub train: &'a [Row],
    /// To choose the epoch by; may be empty.
    pub validation: &'a [Row],
}

/// What the observer is told, with the state as it is then: all that is needed to go on from there another time.
pub struct Event<'a> {
    /// What happened.
    pub happened: Happened<'a>,
    /// Where that leaves the training.
    pub state: &'a State,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Happened<'a> {
    /// A step.
    Step(Progress),
    /// The end of an epoch.
    Epoch(EndOfEpoch<'a>),
}

/// A finished epoch.
#[derive(Clone, Copy, Debug)]
pub struct EndOfEpoch<'a> {
    /// Its figures.
    pub epoch: &'a Epoch,
    /// Epochs in all.
    pub epochs: usize,
    /// Whether it is the best so far by what is monitored.
    pub best: bool,
}

/// Where training stands.
#[derive(Clone, Copy, Debug, Serialize)]
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

impl Progress {
    /// The share of all epochs' steps that is done.
    pub fn share(&self) -> f64 {
        let within = self.step as f64 / self.steps as f64;
        (self.epoch as f64 - 1.0 + within) / self.epochs as f64
    }
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

/// Trains on the current rayon pool, from any state to the end. With early stopping the best epoch's weights are kept,
/// without it the last one's, as Keras does; when the observer stops training, the best finished epoch's.
///
/// # Errors
/// No rows, or a loss that is no number.
pub fn fit(
    mut state: State,
    rows: Rows<'_>,
    recipe: &FitRecipe,
    observe: &mut dyn FnMut(Event<'_>) -> Control,
) -> Result<Fitted, FitError> {
    let Rows { train, validation } = rows;
    if train.is_empty() {
        return Err(FitError::NoRows);
    }
    let lengths: Vec<usize> = train.iter().map(|row| row.ids.len()).collect();
    let pads: Vec<usize> = train.iter().map(Row::pads).collect();
    let drawing = Drawing {
        batch_size: recipe.batch_size,
        bucket: recipe.bucket,
        seed: recipe.seed,
    };
    while !state.ended(recipe) {
        let (start, spent) = (Instant::now(), state.sums.seconds);
        let epoch = state.epoch;
        let parts = crops(recipe.crop.as_ref(), epoch, recipe.seed, &lengths);
        // Pads in front are read once for all rows of a batch.
        let shown = parts.iter().zip(&pads);
        let shown: Vec<usize> = shown.map(|(part, pads)| part.len() - pads).collect();
        let batches = drawing.epoch(epoch, &shown);
        let steps = batches.len();
        let mut targets = Vec::with_capacity(recipe.batch_size.min(train.len()));
        for (at, batch) in batches.iter().enumerate().skip(state.step) {
            let learning_rate = rate(recipe, (epoch - 1) * steps + at, recipe.epochs * steps);
            targets.clear();
            targets.extend(batch.iter().map(|&row| target(&train[row], &parts[row])));
            let outcome = state.stepper.step(&targets, learning_rate);
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
            state.count(outcome, batch.len());
            state.sums.seconds = spent + start.elapsed().as_secs_f64();
            let (loss, accuracy) = state.sums.means();
            let progress = Progress {
                epoch,
                epochs: recipe.epochs,
                step: at + 1,
                steps,
                loss,
                accuracy,
            };
            let event = Event {
                happened: Happened::Step(progress),
                state: &state,
            };
            if observe(event) == Control::Stop {
                return Ok(Fitted::stopped(state));
            }
        }
        let held_out =
            (!validation.is_empty()).then(|| evaluate(&state.stepper.network, validation));
        let learning_rate = rate(recipe, epoch * steps - 1, recipe.epochs * steps);
        // A step's own loss is that of the weights before it.
        let seen = held_out.unwrap_or_else(|| {
            let last = batches[steps - 1].iter().map(|&row| &train[row]);
            evaluate(&state.stepper.network, last)
        });
        if !seen.0.is_finite() {
            return Err(FitError::Diverged {
                loss: seen.0,
                step: steps,
                epoch,
                learning_rate,
            });
        }
        let (loss, accuracy) = state.sums.means();
        let finished = Epoch {
            epoch,
            loss,
            accuracy,
            val_loss: held_out.map(|(loss, _)| loss),
            val_accuracy: held_out.map(|(_, accuracy)| accuracy),
            learning_rate,
            seconds: spent + start.elapsed().as_secs_f64(),
        };
        let best = state.close_epoch(finished.clone(), recipe);
        let event = Event {
            happened: Happened::Epoch(EndOfEpoch {
                epoch: &finished,
                epochs: recipe.epochs,
                best,
            }),
            state: &state,
        };
        if observe(event) == Control::Stop {
            return Ok(Fitted::stopped(state));
        }
    }
    Ok(Fitted::ended(state, recipe))
}

impl Fitted {
    fn ended(state: State, recipe: &FitRecipe) -> Self {
        let (best_epoch, network) = match (&recipe.early_stopping, state.best) {
            (Some(_), Some(best)) => (best.epoch, best.network),
            _ => (state.history.epochs.len(), state.stepper.network),
        };
        Self {
            network: Some(network),
            history: state.history,
            best_epoch,
            stopped: false,
        }
    }

    fn stopped(state: State) -> Self {
        Self {
            best_epoch: state.best.as_ref().map_or(0, |best| best.epoch),
            network: state.best.map(|best| best.network),
            history: state.history,
            stopped: true,
        }
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

/// Mean loss and accuracy over `rows`, unweighted. The loss is that of the logits; [`super::report`] cuts scores off as Keras
/// does, and has less for a row that is wrong beyond a logit of 16.
fn evaluate<'a>(network: &Network<f32>, rows: impl IntoIterator<Item = &'a Row>) -> (f64, f64) {
    let rows: Vec<&Row> = rows.into_iter().collect();
    let ids: Vec<&[i64]> = rows.iter().map(|row| row.ids.as_slice()).collect();
    let (mut loss, mut correct) = (0.0, 0);
    for (row, logit) in rows.iter().zip(network.logits(&ids)) {
        let logit = f64::from(logit);
        loss += cross_entropy(logit, row.label.target());
        correct += usize::from((logit > 0.0) == (row.label == Label::Positive));
    }
    (loss / rows.len() as f64, correct as f64 / rows.len() as f64)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::recipe::{Activation, EarlyStopping, Embedding, LayerRecipe, Recurrent};

    const MAXLEN: usize = 12;

    /// Rows of an unmasked network, padded in front.
    fn padded(count: usize) -> Vec<Row> {
        let row = |at: usize| {
            let pads = (at * 7) % MAXLEN;
            let ids = (0..MAXLEN).map(|step| i64::from(step >= pads) * (1 + (at % 8) as i64));
            Row {
                ids: ids.collect(),
                label: if at.is_multiple_of(2) {
                    Label::Positive
                } else {
                    Label::Negative
                },
                weight: 1.0,
            }
        };
        (0..count).map(row).collect()
    }

    fn state_of(layers: &[LayerRecipe], recipe: &FitRecipe) -> State {
        let mut stack = vec![LayerRecipe::Embedding(Embedding::new(3, false))];
        stack.extend_from_slice(layers);
        stack.push(LayerRecipe::Dense {
            units: 1,
            activation: Activation::Sigmoid,
        });
        State::new(Network::build(&stack, 9, MAXLEN, 1), recipe)
    }

    fn state(recipe: &FitRecipe) -> State {
        state_of(&[LayerRecipe::Lstm(Recurrent::new(4, false))], recipe)
    }

    fn without_end(_: Event<'_>) -> Control {
        Control::Continue
    }

    #[test]
    fn buckets_gather_padded_rows_by_what_is_behind_their_pads() {
        let rows = padded(256);
        let positions = |bucket| {
            let recipe = FitRecipe {
                bucket,
                epochs: 1,
                ..FitRecipe::default()
            };
            let all = Rows {
                train: &rows,
                validation: &[],
            };
            // What is computed: the pads that the rows of a shard share, and each row's own steps.
            let mut positions = 0;
            let mut observe = |event: Event<'_>| {
                if matches!(event.happened, Happened::Step(_)) {
                    positions += event.state.stepper.positions();
                }
                Control::Continue
            };
            fit(state(&recipe), all, &recipe, &mut observe).unwrap();
            positions
        };
        let (apart, together) = (positions(false), positions(true));
        assert!(
            together < apart,
            "{together} positions, {apart} without buckets"
        );
    }

    #[test]
    fn a_training_that_goes_wrong_in_its_last_step_has_diverged() {
        let rows = padded(8);
        let recipe = FitRecipe {
            learning_rate: 1e38,
            ..FitRecipe::default()
        };
        let (train, validation) = rows.split_at(6);
        for validation in [&[][..], validation] {
            let all = Rows { train, validation };
            // Products of products: what a step of that size leaves is beyond single precision.
            let layers = [
                LayerRecipe::GlobalAveragePooling {},
                LayerRecipe::Dense {
                    units: 4,
                    activation: Activation::Linear,
                },
            ];
            let start = state_of(&layers, &recipe);
            let ended = fit(start, all, &recipe, &mut without_end);
            assert!(
                matches!(
                    ended,
                    Err(FitError::Diverged {
                        step: 1,
                        epoch: 1,
                        ..
                    })
                ),
                "{} validation rows",
                validation.len()
            );
        }
    }

    #[test]
    fn a_figure_that_is_no_number_is_never_the_best() {
        let recipe = FitRecipe {
            epochs: 3,
            early_stopping: Some(EarlyStopping {
                patience: 3,
                ..EarlyStopping::default()
            }),
            ..FitRecipe::default()
        };
        let mut state = state(&recipe);
        let mut close = |val_loss| {
            let epoch = Epoch {
                epoch: state.epoch,
                loss: 0.5,
                accuracy: 0.5,
                val_loss: Some(val_loss),
                val_accuracy: Some(0.5),
                learning_rate: 1e-3,
                seconds: 0.0,
            };
            state.close_epoch(epoch, &recipe)
        };
        let best = [f64::NAN, 0.7, f64::NAN, 0.6].map(&mut close);
        assert_eq!(best, [false, true, false, true]);
    }
}
