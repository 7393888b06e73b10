//! Keras's default initialisers: `RandomUniform(-0.05, 0.05)`, `GlorotUniform`, `Orthogonal`, forget biases of one.

use ndarray::{Array2, ArrayD, IxDyn};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::real::Real;
use crate::recipe::LayerRecipe;

/// The generator for initial weights.
pub fn generator(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A layer's initial weights in the order and layout of Keras's `get_weights()`; `features` is what it takes, for an
/// embedding its rows.
pub fn weights<R: Real>(
    recipe: &LayerRecipe,
    features: usize,
    noise: &mut impl Rng,
) -> Vec<ArrayD<R>> {
    if let Some(recurrent) = recipe.recurrent() {
        let mut weights = one_direction(recipe, recurrent.units, features, noise);
        if recurrent.bidirectional.is_some() {
            weights.extend(one_direction(recipe, recurrent.units, features, noise));
        }
        return weights;
    }
    match *recipe {
        LayerRecipe::Embedding(ref embedding) => {
            vec![uniform(features, embedding.units, 0.05, noise)]
        }
        LayerRecipe::Dense { units, .. } => {
            vec![
                glorot_uniform(features, units, noise),
                ArrayD::from_elem(IxDyn(&[units]), R::ZERO),
            ]
        }
        LayerRecipe::AttentionPooling { units } => vec![
            glorot_uniform(features, units, noise),
            ArrayD::from_elem(IxDyn(&[units]), R::ZERO),
            glorot_uniform(units, 1, noise),
        ],
        LayerRecipe::Lstm(_)
        | LayerRecipe::Gru(_)
        | LayerRecipe::SimpleRnn(_)
        | LayerRecipe::Flatten {}
        | LayerRecipe::Dropout { .. }
        | LayerRecipe::SpatialDropout { .. }
        | LayerRecipe::GlobalMaxPooling {}
        | LayerRecipe::GlobalAveragePooling {}
        | LayerRecipe::GlobalMaxAveragePooling {} => Vec::new(),
    }
}

/// Kernel, recurrent kernel and bias; an LSTM's forget gates start open (Jozefowicz et al. 2015).
fn one_direction<R: Real>(
    recipe: &LayerRecipe,
    units: usize,
    features: usize,
    noise: &mut impl Rng,
) -> Vec<ArrayD<R>> {
    let zeros = |shape: &[usize]| ArrayD::from_elem(IxDyn(shape), R::ZERO);
    let (gates, bias) = match recipe {
        LayerRecipe::Lstm(_) => {
            let mut bias = zeros(&[4 * units]);
            for forget in units..2 * units {
                bias[forget] = R::ONE;
            }
            (4, bias)
        }
        LayerRecipe::Gru(recurrent) if recurrent.arithmetic().2 => (3, zeros(&[2, 3 * units])),
        LayerRecipe::Gru(_) => (3, zeros(&[3 * units])),
        _ => (1, zeros(&[units])),
    };
    vec![
        glorot_uniform(features, gates * units, noise),
        orthogonal(units, gates * units, noise),
        bias,
    ]
}

fn uniform<R: Real>(rows: usize, columns: usize, limit: f64, noise: &mut impl Rng) -> ArrayD<R> {
    let values = (0..rows * columns).map(|_| R::from_f64(noise.random_range(-limit..limit)));
    ArrayD::from_shape_vec(IxDyn(&[rows, columns]), values.collect())
        .expect("the shape has that many values")
}

/// Glorot and Bengio 2010.
fn glorot_uniform<R: Real>(rows: usize, columns: usize, noise: &mut impl Rng) -> ArrayD<R> {
    uniform(rows, columns, (6.0 / (rows + columns) as f64).sqrt(), noise)
}

/// Saxe et al. 2014: `[rows, columns]` with orthonormal rows (or columns, where those are fewer), by modified
/// Gram-Schmidt on normal random vectors, run twice for its numerical quality.
fn orthogonal<R: Real>(rows: usize, columns: usize, noise: &mut impl Rng) -> ArrayD<R> {
    let (count, len) = (rows.min(columns), rows.max(columns));
    let mut basis = Array2::from_shape_simple_fn((count, len), || normal(noise));
    for at in 0..count {
        for _ in 0..2 {
            for earlier in 0..at {
                let (done, mut rest) = basis.view_mut().split_at(ndarray::Axis(0), at);
                let mut current = rest.row_mut(0);
                let along = done.row(earlier).dot(&current);
                current.scaled_add(-along, &done.row(earlier));
            }
        }
        let norm = basis.row(at).dot(&basis.row(at)).sqrt();
        basis.row_mut(at).mapv_inplace(|x| x / norm);
    }
    let shaped = if rows <= columns {
        basis
    } else {
        basis.t().to_owned()
    };
    shaped
        .mapv(R::from_f64)
        .as_standard_layout()
        .into_owned()
        .into_dyn()
}

/// A standard normal value (Box and Muller 1958).
fn normal(noise: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - noise.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * noise.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recurrent;

    #[test]
    fn the_recurrent_kernel_starts_with_orthonormal_rows() {
        let kernel = orthogonal::<f64>(8, 32, &mut generator(3));
        let kernel = kernel
            .into_dimensionality::<ndarray::Ix2>()
            .expect("a matrix");
        let product = kernel.dot(&kernel.t());
        for ((i, j), value) in product.indexed_iter() {
            let expected = if i == j { 1.0 } else { 0.0 };
            assert!(
                (value - expected).abs() < 1e-12,
                "row {i} with row {j}: {value}"
            );
        }
    }

    /// The largest size of a value, and their standard deviation.
    fn spread(weights: &ArrayD<f64>) -> (f64, f64) {
        let count = weights.len() as f64;
        let mean = weights.sum() / count;
        let squares: f64 = weights.iter().map(|value| (value - mean).powi(2)).sum();
        let most = weights
            .iter()
            .fold(0.0, |most: f64, value| most.max(value.abs()));
        (most, (squares / count).sqrt())
    }

    #[test]
    fn weights_start_as_wide_as_keras_draws_them() {
        let recurrent = || Recurrent::new(60, false);
        let both = || Recurrent {
            bidirectional: Some(crate::recipe::Merge::Sum),
            ..recurrent()
        };
        let before = Recurrent {
            reset_after: Some(false),
            ..recurrent()
        };
        let dense = LayerRecipe::Dense {
            units: 100,
            activation: crate::recipe::Activation::Relu,
        };
        let embedding = crate::recipe::Embedding::new(50, false);
        // The limit is Keras's formula; the second number is the deviation of the layer's kernels as Keras 2.15 drew them:
        // keras.layers.LSTM(60).build((None, 9, 50)) and so on.
        for (recipe, features, kernel, limit, deviation, bias) in [
            (
                LayerRecipe::Embedding(embedding),
                2000,
                vec![2000, 50],
                0.05,
                0.02884,
                vec![],
            ),
            (
                dense,
                200,
                vec![200, 100],
                (6.0_f64 / 300.0).sqrt(),
                0.08181,
                vec![100],
            ),
            (
                LayerRecipe::Lstm(recurrent()),
                50,
                vec![50, 240],
                (6.0_f64 / 290.0).sqrt(),
                0.08288,
                vec![240],
            ),
            (
                LayerRecipe::Gru(recurrent()),
                50,
                vec![50, 180],
                (6.0_f64 / 230.0).sqrt(),
                0.09294,
                vec![2, 180],
            ),
            (
                LayerRecipe::Gru(before),
                50,
                vec![50, 180],
                (6.0_f64 / 230.0).sqrt(),
                0.09294,
                vec![180],
            ),
            (
                LayerRecipe::SimpleRnn(recurrent()),
                50,
                vec![50, 60],
                (6.0_f64 / 110.0).sqrt(),
                0.13515,
                vec![60],
            ),
            (
                LayerRecipe::SimpleRnn(both()),
                50,
                vec![50, 60],
                (6.0_f64 / 110.0).sqrt(),
                0.13515,
                vec![60],
            ),
        ] {
            let weights = weights::<f64>(&recipe, features, &mut generator(5));
            let directions = 1 + usize::from(weights.len() == 6);
            for weights in weights.chunks_exact(weights.len() / directions) {
                let first = &weights[0];
                assert_eq!(first.shape(), kernel, "{recipe:?}");
                let (most, spread) = spread(first);
                assert!(
                    most <= limit && most > 0.98 * limit,
                    "{recipe:?}: {most} of {limit}"
                );
                assert!(
                    (spread / deviation - 1.0).abs() < 0.03,
                    "{recipe:?}: {spread}"
                );
                if let Some(last) = weights.get(1..).and_then(<[_]>::last) {
                    assert_eq!(last.shape(), bias, "{recipe:?}");
                    // An LSTM's forget gates start open.
                    let ones = if matches!(recipe, LayerRecipe::Lstm(_)) {
                        60.0
                    } else {
                        0.0
                    };
                    assert_eq!(last.sum(), ones, "{recipe:?}");
                    assert!(last.iter().all(|value| *value == 0.0 || *value == 1.0));
                }
            }
        }
    }

    #[test]
    fn the_two_directions_of_a_layer_start_apart() {
        let both = Recurrent {
            bidirectional: Some(crate::recipe::Merge::Concat),
            ..Recurrent::new(3, false)
        };
        let weights = weights::<f64>(&LayerRecipe::Gru(both), 2, &mut generator(1));
        assert_ne!(weights[0], weights[3]);
        assert_ne!(weights[1], weights[4]);
    }

    #[test]
    fn forget_biases_start_at_one() {
        let weights = weights::<f32>(
            &LayerRecipe::Lstm(Recurrent::new(3, false)),
            2,
            &mut generator(1),
        );
        let bias: Vec<f32> = weights[2].iter().copied().collect();
        assert_eq!(bias, [0., 0., 0., 1., 1., 1., 0., 0., 0., 0., 0., 0.]);
    }
}
