//! Adam (Kingma and Ba 2015) as Keras computes it, with Keras's three kinds of gradient clipping.
//!
//! Exactly: every weight moves at every step, rows of the embedding that no text of the batch has included, as their moments
//! go on. What is sparse is the embedding's gradient. The same bits come out on every instruction set.

use ndarray::ArrayD;
use rayon::prelude::*;

use super::real::Real;
use super::vector::{Kernel, Vector};
use crate::recipe::FitRecipe;

/// The optimiser's state: both moments of every weight and the number of steps taken.
#[derive(Clone, Debug)]
pub struct Adam<R> {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    clip: Clip,
    steps: i32,
    moments: Vec<(Vec<R>, Vec<R>)>,
    /// Sums of squares of the step's gradients, and those of one gradient's chunks.
    squares: Vec<f64>,
    parts: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
enum Clip {
    Nothing,
    /// Each weight's gradient to a norm.
    Norm(f64),
    /// All gradients together to a norm.
    GlobalNorm(f64),
    /// Each value to a range.
    Value(f64),
}

/// Values that one task updates: fixed, so that the work splits alike on any machine.
const CHUNK: usize = 1 << 14;

impl<R: Real> Adam<R> {
    /// Before the first step.
    pub fn new(fit: &FitRecipe) -> Self {
        let clip = match (fit.clipnorm, fit.global_clipnorm, fit.clipvalue) {
            (Some(norm), ..) => Clip::Norm(norm),
            (_, Some(norm), _) => Clip::GlobalNorm(norm),
            (.., Some(value)) => Clip::Value(value),
            _ => Clip::Nothing,
        };
        let FitRecipe {
            beta_1,
            beta_2,
            epsilon,
            ..
        } = *fit;
        Self {
            beta_1,
            beta_2,
            epsilon,
            clip,
            steps: 0,
            moments: Vec::new(),
            squares: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// The number of steps taken.
    pub fn steps(&self) -> usize {
        self.steps as usize
    }

    /// The mean of gradients and the mean of squares of every weight; nothing before the first step.
    pub fn moments(&self) -> &[(Vec<R>, Vec<R>)] {
        &self.moments
    }

    /// Goes on from where another one was, with as many moments as it had.
    pub fn resume(&mut self, steps: u32, moments: Vec<(Vec<R>, Vec<R>)>) {
        self.steps = steps.cast_signed();
        self.moments = moments;
    }

    /// Moves every weight against its gradient. Returns the gradients' global norm before clipping.
    pub fn step<'a>(
        &mut self,
        weights: impl Iterator<Item = &'a mut ArrayD<R>>,
        gradients: impl Iterator<Item = &'a [R]> + Clone,
        learning_rate: f64,
    ) -> f64 {
        self.steps += 1;
        let parts = &mut self.parts;
        self.squares.clear();
        self.squares
            .extend(gradients.clone().map(|g| sum_of_squares(g, parts)));
        let global = self.squares.iter().sum::<f64>().sqrt();
        let correction =
            (1.0 - self.beta_2.powi(self.steps)).sqrt() / (1.0 - self.beta_1.powi(self.steps));
        for (at, (weight, gradient)) in weights.zip(gradients).enumerate() {
            let weight = weight
                .as_slice_mut()
                .expect("weights are in standard layout");
            if self.moments.len() == at {
                self.moments
                    .push((vec![R::ZERO; weight.len()], vec![R::ZERO; weight.len()]));
            }
            let (scale, limit) = match self.clip {
                Clip::Nothing => (1.0, f64::INFINITY),
                Clip::Norm(norm) => (norm / self.squares[at].sqrt().max(norm), f64::INFINITY),
                Clip::GlobalNorm(norm) => (norm / global.max(norm), f64::INFINITY),
                Clip::Value(value) => (1.0, value),
            };
            let rule = Rule {
                scale: R::from_f64(scale),
                limit: R::from_f64(limit),
                fresh_1: R::from_f64(1.0 - self.beta_1),
                fresh_2: R::from_f64(1.0 - self.beta_2),
                rate: R::from_f64(learning_rate * correction),
                epsilon: R::from_f64(self.epsilon),
            };
            let (first, second) = &mut self.moments[at];
            weight
                .par_chunks_mut(CHUNK)
                .zip(first.par_chunks_mut(CHUNK))
                .zip(second.par_chunks_mut(CHUNK))
                .zip(gradient.par_chunks(CHUNK))
                .for_each(|(((weights, first), second), gradients)| {
                    R::vectorised(Update {
                        rule,
                        weights,
                        first,
                        second,
                        gradients,
                    });
                });
        }
        global
    }
}

/// One weight's update with everything that is the same for all its values.
#[derive(Clone, Copy)]
struct Rule<R> {
    scale: R,
    limit: R,
    fresh_1: R,
    fresh_2: R,
    rate: R,
    epsilon: R,
}

/// The update of a run of values. A plain loop, which is compiled for the instruction set it runs on.
struct Update<'a, R> {
    rule: Rule<R>,
    weights: &'a mut [R],
    first: &'a mut [R],
    second: &'a mut [R],
    gradients: &'a [R],
}

impl<R: Real> Kernel<R> for Update<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = R>>(self, _: V::Token) {
        let Rule {
            scale,
            limit,
            fresh_1,
            fresh_2,
            rate,
            epsilon,
        } = self.rule;
        let moments = self.first.iter_mut().zip(self.second);
        let values = self.weights.iter_mut().zip(moments).zip(self.gradients);
        for ((w, (m, v)), g) in values {
            let g = *g * scale;
            let g = if g > limit { limit } else { g };
            let g = if g < -limit { -limit } else { g };
            *m = ((g - *m) * fresh_1 + *m).flushed();
            *v = ((g * g - *v) * fresh_2 + *v).flushed();
            *w -= *m * rate / (v.sqrt() + epsilon);
        }
    }
}

/// In double precision and in fixed chunks, so that it is the same for any number of threads.
fn sum_of_squares<R: Real>(values: &[R], parts: &mut Vec<f64>) -> f64 {
    parts.clear();
    parts.resize(values.len().div_ceil(CHUNK), 0.0);
    let chunks = values.par_chunks(CHUNK).zip(parts.par_iter_mut());
    chunks.for_each(|(chunk, part)| *part = R::vectorised(Squares(chunk)));
    parts.iter().sum()
}

/// The sum of squares of a chunk.
struct Squares<'a, R>(&'a [R]);

impl<R: Real> Kernel<R> for Squares<'_, R> {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector<Item = R>>(self, _: V::Token) -> f64 {
        let mut sums = [0.0f64; 16];
        let (lines, rest) = self.0.as_chunks::<16>();
        for line in lines {
            for (sum, value) in sums.iter_mut().zip(line) {
                let value = value.to_f64();
                *sum += value * value;
            }
        }
        let mut sum: f64 = sums.iter().sum();
        for value in rest {
            sum += value.to_f64() * value.to_f64();
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::train::init::generator;
    use crate::train::vector::on_every_set;

    #[test]
    fn a_step_moves_weights_as_the_formula_says_on_every_instruction_set() {
        let mut noise = generator(4);
        let mut drawn = |len: usize| -> Vec<f32> {
            (0..len).map(|_| noise.random_range(-1.0f32..1.0)).collect()
        };
        // Less than a register, some and a bit, and more than a task.
        let sizes = [1, 7, 37, CHUNK + 21];
        let weights: Vec<Vec<f32>> = sizes.map(&mut drawn).to_vec();
        let gradients: Vec<Vec<Vec<f32>>> =
            (0..3).map(|_| sizes.map(&mut drawn).to_vec()).collect();
        for fit in [
            FitRecipe::default(),
            FitRecipe {
                global_clipnorm: Some(0.7),
                ..FitRecipe::default()
            },
            FitRecipe {
                clipvalue: Some(0.3),
                ..FitRecipe::default()
            },
        ] {
            let found = on_every_set::run(|| {
                let mut adam = Adam::new(&fit);
                let own = weights
                    .iter()
                    .map(|w| ArrayD::from_shape_vec(vec![w.len()], w.clone()));
                let mut weights: Vec<ArrayD<f32>> = own.map(|w| w.expect("its own size")).collect();
                for gradients in &gradients {
                    adam.step(
                        weights.iter_mut(),
                        gradients.iter().map(Vec::as_slice),
                        1e-2,
                    );
                }
                let bits = weights.iter().flatten().map(|w| w.to_bits());
                bits.collect::<Vec<u32>>()
            });
            let exact = by_formula(&fit, &weights, &gradients);
            for (set, bits) in &found {
                assert_eq!(bits, &found[0].1, "{set}");
                for (bits, exact) in bits.iter().zip(&exact) {
                    let found = f64::from(f32::from_bits(*bits));
                    assert!((found - exact).abs() < 1e-6, "{set}: {found} for {exact}");
                }
            }
        }
    }

    /// Three steps in double precision, number by number.
    fn by_formula(fit: &FitRecipe, weights: &[Vec<f32>], gradients: &[Vec<Vec<f32>>]) -> Vec<f64> {
        let wide = |values: &[Vec<f32>]| -> Vec<f64> {
            values.iter().flatten().map(|x| f64::from(*x)).collect()
        };
        let mut weights = wide(weights);
        let (mut m, mut v) = (vec![0.0; weights.len()], vec![0.0; weights.len()]);
        for (step, gradient) in (1..).zip(gradients) {
            let mut gradient = wide(gradient);
            let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            for at in 0..weights.len() {
                let g = &mut gradient[at];
                if let Some(most) = fit.global_clipnorm {
                    *g *= most / norm.max(most);
                }
                if let Some(most) = fit.clipvalue {
                    *g = g.clamp(-most, most);
                }
                m[at] = fit.beta_1 * m[at] + (1.0 - fit.beta_1) * *g;
                v[at] = fit.beta_2 * v[at] + (1.0 - fit.beta_2) * *g * *g;
                let rate =
                    1e-2 * (1.0 - fit.beta_2.powi(step)).sqrt() / (1.0 - fit.beta_1.powi(step));
                weights[at] -= rate * m[at] / (v[at].sqrt() + fit.epsilon);
            }
        }
        weights
    }
}
