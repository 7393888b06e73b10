//! What each kind of layer computes, forward and backward.
//!
//! A layer is a function of its weights and its input; what backward needs of forward lies in [`Saved`]. Activations are
//! row-major `[positions, features]` while there is time and `[rows, features]` after it (see [`Layout`]).

mod activation;
mod attention;
mod backwards;
mod bidirectional;
mod dense;
mod dropout;
mod flatten;
mod pooling;
mod recurrent;
mod sequence;

use ndarray::ArrayD;
use rand_chacha::ChaCha8Rng;

use super::layout::Layout;
use super::real::Real;
use crate::recipe::{self, Activation, LayerRecipe};

pub use attention::AttentionPooling;
pub use backwards::Backwards;
pub use bidirectional::Bidirectional;
pub use dense::Dense;
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use pooling::{Pooling, Statistic};
pub use recurrent::{Cell, General, Gru, Kind, Lstm, Recurrent, SimpleRnn};
pub use sequence::Sequence;

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
    pub values: [Vec<R>; 8],
    /// Matrices as products read them.
    pub packed: [Vec<R>; 3],
    /// Positions.
    pub positions: Vec<usize>,
    /// What the layers inside of it keep.
    pub parts: Vec<Saved<R>>,
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
        LayerRecipe::Embedding(_) => unreachable!("the embedding is the network's own"),
        LayerRecipe::Lstm(ref recurrent) => recurrent_layer(recurrent, input, || {
            direction(recurrent, features, Lstm, Kind::Lstm)
        }),
        LayerRecipe::Gru(ref recurrent) => {
            let kind = match recurrent.arithmetic().2 {
                true => Kind::GruResetAfter,
                false => Kind::GruResetBefore,
            };
            recurrent_layer(recurrent, input, || {
                direction(recurrent, features, Gru, kind)
            })
        }
        LayerRecipe::SimpleRnn(ref recurrent) => recurrent_layer(recurrent, input, || {
            direction(recurrent, features, SimpleRnn, Kind::SimpleRnn)
        }),
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
        LayerRecipe::AttentionPooling { units } => (
            Box::new(AttentionPooling { features, units }),
            Shape {
                steps: None,
                features,
            },
        ),
    }
}

/// One direction: by the cell where the arithmetic is usual, else number by number.
fn direction<R: Real, C: Cell + 'static>(
    recipe: &recipe::Recurrent,
    inputs: usize,
    cell: C,
    kind: Kind,
) -> Box<dyn Operation<R>> {
    let (activation, recurrent_activation, _) = recipe.arithmetic();
    match recipe.is_usual() {
        true => Box::new(Recurrent {
            inputs,
            units: recipe.units,
            return_sequences: recipe.return_sequences,
            dropout: inside(recipe),
            recurrent_dropout: recipe.recurrent_dropout,
            cell,
        }),
        false => Box::new(General {
            kind,
            inputs,
            units: recipe.units,
            return_sequences: recipe.return_sequences,
            dropout: inside(recipe),
            recurrent_dropout: recipe.recurrent_dropout,
            activation,
            recurrent_activation,
        }),
    }
}

/// The share of the inputs that a layer itself drops: Keras draws a mask for each gate once something of the state is dropped,
/// and else one for all of them, as [`Dropout`] does.
fn inside(recipe: &recipe::Recurrent) -> f64 {
    match recipe.recurrent_dropout > 0.0 {
        true => recipe.dropout,
        false => 0.0,
    }
}

/// Input dropout, the layer itself, and the same from the other end.
fn recurrent_layer<R: Real>(
    recipe: &recipe::Recurrent,
    input: Shape,
    direction: impl Fn() -> Box<dyn Operation<R>>,
) -> (Box<dyn Operation<R>>, Shape) {
    let direction = || -> Box<dyn Operation<R>> {
        let layer = direction();
        if recipe.dropout == 0.0 || inside(recipe) > 0.0 {
            return layer;
        }
        let dropout = Dropout {
            rate: recipe.dropout,
            features: input.features,
            spatial: true,
        };
        Box::new(Sequence {
            first: dropout,
            then: layer,
        })
    };
    let shape = Shape {
        steps: input.steps.filter(|_| recipe.return_sequences),
        features: recipe.features(),
    };
    if recipe.go_backwards {
        let backwards = Backwards {
            then: direction(),
            inputs: input.features,
        };
        return (Box::new(backwards), shape);
    }
    let Some(merge) = recipe.bidirectional else {
        return (direction(), shape);
    };
    let both = Bidirectional {
        directions: [direction(), direction()],
        inputs: input.features,
        units: recipe.units,
        return_sequences: recipe.return_sequences,
        merge,
    };
    (Box::new(both), shape)
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
