//! Adam (Kingma and Ba 2015) as Keras computes it, with Keras's three kinds of gradient clipping.

use ndarray::ArrayD;
use rayon::prelude::*;

use super::real::Real;
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
                .for_each(|(((w, m), v), g)| rule.update(w, m, v, g));
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

impl<R: Real> Rule<R> {
    fn update(&self, weights: &mut [R], first: &mut [R], second: &mut [R], gradients: &[R]) {
        for (((w, m), v), g) in weights.iter_mut().zip(first).zip(second).zip(gradients) {
            let g = *g * self.scale;
            let g = if g > self.limit { self.limit } else { g };
            let g = if g < -self.limit { -self.limit } else { g };
            *m = ((g - *m) * self.fresh_1 + *m).flushed();
            *v = ((g * g - *v) * self.fresh_2 + *v).flushed();
            *w -= *m * self.rate / (v.sqrt() + self.epsilon);
        }
    }
}

/// In double precision and in fixed chunks, so that it is the same for any number of threads.
fn sum_of_squares<R: Real>(values: &[R], parts: &mut Vec<f64>) -> f64 {
    parts.clear();
    parts.resize(values.len().div_ceil(CHUNK), 0.0);
    let chunks = values.par_chunks(CHUNK).zip(parts.par_iter_mut());
    chunks.for_each(|(chunk, part)| {
        let mut sums = [0.0f64; 16];
        let (lines, rest) = chunk.as_chunks::<16>();
        for line in lines {
            for (sum, value) in sums.iter_mut().zip(line) {
                let value = value.to_f64();
                *sum += value * value;
            }
        }
        let rest: f64 = rest.iter().map(|x| x.to_f64() * x.to_f64()).sum();
        *part = sums.iter().sum::<f64>() + rest;
    });
    parts.iter().sum()
}
