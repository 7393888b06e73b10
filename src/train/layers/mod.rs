//! What each kind of layer computes, forward and backward.
//!
//! A layer is a function of its weights and its input; what backward needs of forward lies in [`Saved`]. Activations are
//! row-major `[positions, features]` while there is time and `[rows, features]` after it (see [`Layout`]).

mod dense;
mod dropout;
mod flatten;
mod lstm;
mod pooling;

use ndarray::ArrayD;
use rand_chacha::ChaCha8Rng;

use super::layout::Layout;
use super::real::Real;
use crate::recipe::{Activation, LayerRecipe};

pub use dense::Dense;
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use lstm::Lstm;
pub use pooling::{Pooling, Statistic};

/// What one call of a layer may read.
pub struct Context<'a, R> {
    /// The shard.
    pub layout: &'a Layout,
    /// The layer's weights, as in [`super::network::Layer::weights`].
    pub weights: &'a [ArrayD<R>],
    /// Where dropout draws from; absent outside training.
    pub noise: Option<&'a mut ChaCha8Rng>,
}

impl<R: Real> Context<'_, R> {
    /// Weight `at`, in Keras's layout.
    pub fn weight(&self, at: usize) -> &[R] {
        self.weights[at]
            .as_slice()
            .expect("weights are in standard layout")
    }
}

/// What a layer keeps from forward to backward, and its scratch; buffers are reused from step to step.
#[derive(Clone, Debug, Default)]
pub struct Saved<R> {
    /// Numbers, by the layer's own reckoning.
    pub values: [Vec<R>; 5],
    /// Positions.
    pub positions: Vec<usize>,
}

/// Everything that backward needs of one layer.
pub struct Backward<'a, R> {
    /// What forward read.
    pub input: &'a [R],
    /// What forward wrote.
    pub output: &'a [R],
    /// What forward kept.
    pub saved: &'a mut Saved<R>,
    /// The loss's gradient by the output; may be overwritten.
    pub output_gradient: &'a mut [R],
    /// The loss's gradient by the input, to be written whole.
    pub input_gradient: &'a mut Vec<R>,
    /// The loss's gradient by each weight, to be written whole.
    pub weight_gradients: &'a mut [Vec<R>],
}

/// A layer's computation.
pub trait Operation<R>: Send + Sync {
    /// Writes the output.
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        saved: &mut Saved<R>,
        output: &mut Vec<R>,
    );
    /// Writes the gradients.
    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>);
}

/// What a layer takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The steps of a row, or none after time is gone.
    pub steps: Option<usize>,
    /// The features of a step or row.
    pub features: usize,
}

/// The operation of a layer over `input`, and the shape of its output. `last` leaves the sigmoid to the loss.
pub fn operation<R: Real>(
    recipe: &LayerRecipe,
    input: Shape,
    last: bool,
) -> (Box<dyn Operation<R>>, Shape) {
    let features = input.features;
    match *recipe {
        LayerRecipe::Embedding { .. } => unreachable!("the embedding is the network's own"),
        LayerRecipe::Lstm {
            units,
            return_sequences,
        } => (
            Box::new(Lstm {
                inputs: features,
                units,
                return_sequences,
            }),
            Shape {
                steps: input.steps.filter(|_| return_sequences),
                features: units,
            },
        ),
        LayerRecipe::Dense { units, activation } => {
            let activation = if last { Activation::Linear } else { activation };
            (
                Box::new(Dense {
                    inputs: features,
                    units,
                    activation,
                }),
                Shape {
                    features: units,
                    ..input
                },
            )
        }
        LayerRecipe::Flatten {} => (
            Box::new(Flatten { features }),
            Shape {
                steps: None,
                features: features * input.steps.unwrap_or(1),
            },
        ),
        LayerRecipe::Dropout { rate } => (
            Box::new(Dropout {
                rate,
                features,
                spatial: false,
            }),
            input,
        ),
        LayerRecipe::SpatialDropout { rate } => (
            Box::new(Dropout {
                rate,
                features,
                spatial: true,
            }),
            input,
        ),
        LayerRecipe::GlobalMaxPooling {} => pooling(&[Statistic::Max], features),
        LayerRecipe::GlobalAveragePooling {} => pooling(&[Statistic::Average], features),
        LayerRecipe::GlobalMaxAveragePooling {} => {
            pooling(&[Statistic::Max, Statistic::Average], features)
        }
    }
}

fn pooling<R: Real>(
    statistics: &'static [Statistic],
    features: usize,
) -> (Box<dyn Operation<R>>, Shape) {
    (
        Box::new(Pooling {
            statistics,
            features,
        }),
        Shape {
            steps: None,
            features: features * statistics.len(),
        },
    )
}

/// Makes `buffer` `len` long, to be written whole.
pub fn sized<R: Real>(buffer: &mut Vec<R>, len: usize) {
    buffer.resize(len, R::ZERO);
}

/// Makes `buffer` `len` long and all zero.
pub fn zeroed<R: Real>(buffer: &mut Vec<R>, len: usize) {
    buffer.clear();
    buffer.resize(len, R::ZERO);
}
