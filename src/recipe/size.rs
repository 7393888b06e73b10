//! What a training needs of a recipe beyond what a model needs that is there: above all that it is not too large. What no
//! machine of ours could hold is refused by name: a request for more memory than there is would end the whole process, and all
//! that it serves beside.

use super::{LayerRecipe, Recipe, RecipeError};
use crate::text::Side;

/// Weights of a network: 1 GiB, which the optimiser and its gradients hold five times.
const WEIGHTS: u128 = 1 << 28;
/// Numbers that the layers hold for one batch: 8 GiB.
const HELD: u128 = 1 << 31;
/// Rows that are scored together, whatever the batch is.
const ROWS: u128 = 64;
/// The size of a state whose orthogonal initial weights are found in seconds.
const STATE: usize = 4096;
/// Ids of a vocabulary.
const WORDS: usize = 10_000_000;
/// Rows of a step.
const BATCH: usize = 65_536;
/// Passes over all rows: with the steps of each, and the optimiser's count of them all, far from where numbers end.
const EPOCHS: usize = 1_000_000;

/// What a weight's mean of squares still counts beside in single precision: with less, one that is hardly ever moved would be
/// moved by its gradient's mean over nothing.
const LEAST_EPSILON: f64 = 1e-12;

/// What a network takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    weights: u128,
    /// Numbers that the layers hold for a row of full length.
    held: u128,
}

impl Recipe {
    /// Checks that a machine can hold what is trained: `rows` are the embedding's, as far as they are known.
    ///
    /// # Errors
    /// The first thing that is too large, naming the field.
    pub fn check_size(&self, rows: usize) -> Result<(), RecipeError> {
        self.check_numbers(rows)
            .map_err(|reason| RecipeError::Invalid {
                name: self.name.clone(),
                reason,
            })
    }

    /// Checks what can be known of a training before there is a vocabulary.
    ///
    /// # Errors
    /// The first thing found that cannot work or is too large, naming the field.
    pub fn check_training(&self) -> Result<(), RecipeError> {
        self.check_steps().map_err(|reason| RecipeError::Invalid {
            name: self.name.clone(),
            reason,
        })?;
        self.check_size(self.tokenizer.num_words.unwrap_or(2))
    }

    /// The network's weights over an embedding of so many rows.
    pub fn weights(&self, rows: usize) -> u128 {
        self.size(rows).weights
    }

    fn check_steps(&self) -> Result<(), String> {
        let fit = &self.fit;
        if fit.learning_rate > f64::from(f32::MAX) {
            return Err("fit.learning_rate is beyond single precision".into());
        }
        if fit.epsilon < LEAST_EPSILON {
            return Err(format!("fit.epsilon must be at least {LEAST_EPSILON:e}"));
        }
        if fit.bucket && !self.masked() && self.padding.padding == Side::Post {
            return Err(
                "fit.bucket needs rows of uneven length: mask_zero on the embedding, or padding = \"pre\"".into(),
            );
        }
        Ok(())
    }

    fn check_numbers(&self, rows: usize) -> Result<(), String> {
        for (field, value, most) in [
            ("fit.batch_size", self.fit.batch_size, BATCH),
            ("fit.epochs", self.fit.epochs, EPOCHS),
            (
                "tokenizer.num_words",
                self.tokenizer.num_words.unwrap_or(0),
                WORDS,
            ),
        ] {
            if value > most {
                return Err(format!("{field} must be at most {most}"));
            }
        }
        for (at, layer) in self.layers.iter().enumerate() {
            if layer.recurrent().is_some_and(|layer| layer.units > STATE) {
                return Err(format!(
                    "layers[{at}]: units of a recurrent layer must be at most {STATE}"
                ));
            }
        }
        let Size { weights, held } = self.size(rows);
        if weights > WEIGHTS {
            return Err(format!(
                "the network would have {weights} weights, over an embedding of {rows} rows, and may have {WEIGHTS}: \
                 lower tokenizer.num_words or the layers' units"
            ));
        }
        let together = ROWS.max(self.fit.batch_size as u128);
        let held = held * together;
        if held > HELD {
            return Err(format!(
                "the layers would hold {held} numbers for {together} rows of {} steps, and may hold {HELD}: \
                 lower fit.batch_size, padding.maxlen or the layers' units",
                self.padding.maxlen
            ));
        }
        Ok(())
    }

    fn size(&self, rows: usize) -> Size {
        let mut size = Size::default();
        let mut steps = self.padding.maxlen as u128;
        let mut features = rows as u128;
        for layer in &self.layers {
            let weights = match *layer {
                LayerRecipe::Embedding(ref embedding) => features * embedding.units as u128,
                LayerRecipe::Dense { units, .. } => (features + 1) * units as u128,
                LayerRecipe::AttentionPooling { units } => (features + 2) * units as u128,
                _ => layer.recurrent().map_or(0, |recurrent| {
                    let units = recurrent.units as u128;
                    let (gates, biases) = match layer {
                        LayerRecipe::Lstm(_) => (4, 1),
                        LayerRecipe::Gru(_) if recurrent.arithmetic().2 => (3, 2),
                        LayerRecipe::Gru(_) => (3, 1),
                        _ => (1, 1),
                    };
                    let directions = 1 + u128::from(recurrent.bidirectional.is_some());
                    // Gates, the state, and what the cell keeps.
                    size.held += steps * directions * (gates + 3) * units;
                    directions * gates * units * (features + units + biases)
                }),
            };
            size.weights += weights;
            let at_every_step = steps;
            match *layer {
                LayerRecipe::Embedding(ref embedding) => features = embedding.units as u128,
                LayerRecipe::Dense { units, .. } => features = units as u128,
                LayerRecipe::Lstm(ref recurrent)
                | LayerRecipe::Gru(ref recurrent)
                | LayerRecipe::SimpleRnn(ref recurrent) => {
                    features = recurrent.features() as u128;
                    if !recurrent.return_sequences {
                        steps = 1;
                    }
                }
                LayerRecipe::Flatten {} => (features, steps) = (features * steps, 1),
                LayerRecipe::GlobalMaxAveragePooling {} => (features, steps) = (2 * features, 1),
                LayerRecipe::GlobalMaxPooling {} | LayerRecipe::GlobalAveragePooling {} => {
                    steps = 1
                }
                LayerRecipe::AttentionPooling { units } => {
                    size.held += at_every_step * units as u128;
                    steps = 1;
                }
                LayerRecipe::Dropout { .. } | LayerRecipe::SpatialDropout { .. } => {}
            }
            size.held += steps * features;
        }
        size
    }
}
