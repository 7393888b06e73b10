//! Recipe to layers: the weights of a network and what it answers.

use ndarray::ArrayD;

use crate::recipe::LayerRecipe;

/// A stack of layers, `f32` to train and `f64` to prove.
#[derive(Clone, Debug)]
pub struct Network<R> {
    /// Input to output.
    pub layers: Vec<Layer<R>>,
    /// The length of a padded row.
    pub maxlen: usize,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Layer<R> {
    /// Its name as Keras numbers them: `lstm`, `lstm_1`, ...
    pub name: String,
    /// What the recipe says.
    pub recipe: LayerRecipe,
    /// In the order and layout of Keras's `get_weights()`: embedding `[rows, units]`; lstm `[inputs, 4 units]`,
    /// `[units, 4 units]`, `[4 units]` with gates i, f, c, o; dense `[inputs, units]`, `[units]`; nothing elsewhere.
    pub weights: Vec<ArrayD<R>>,
}
