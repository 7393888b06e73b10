//! `Dropout` and `SpatialDropout1D`: values, or whole features, set to zero in training and the rest scaled up.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Backward, Context, Operation, Saved, zeroed};
use crate::train::real::Real;
use crate::train::vector::{Kernel, Vector};

/// Keras's `Dropout`; with `spatial`, `SpatialDropout1D`, which drops the same features at every step of a row.
pub struct Dropout {
    /// The share that is dropped.
    pub rate: f64,
    /// Features of a step.
    pub features: usize,
    /// Whether a row's steps share one mask.
    pub spatial: bool,
}

impl<R: Real> Operation<R> for Dropout {
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        saved: &mut Saved<R>,
        output: &mut Vec<R>,
    ) {
        output.clear();
        output.extend_from_slice(input);
        let [mask, ..] = &mut saved.values;
        mask.clear();
        let Some(noise) = context.noise.as_deref_mut() else {
            return;
        };
        let drawn = if self.spatial {
            context.layout.rows() * self.features
        } else {
            input.len()
        };
        draw_mask(noise, self.rate, drawn, mask);
        self.multiply(context, mask, output);
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        zeroed(pass.input_gradient, pass.output_gradient.len());
        pass.input_gradient.copy_from_slice(pass.output_gradient);
        let mask = &pass.saved.values[0];
        if !mask.is_empty() {
            self.multiply(context, mask, pass.input_gradient);
        }
    }
}

impl Dropout {
    fn multiply<R: Real>(&self, context: &Context<'_, R>, mask: &[R], values: &mut [R]) {
        if self.spatial {
            for step in 0..context.layout.steps() {
                let first = context.layout.offsets[step] * self.features;
                let len = context.layout.running[step] * self.features;
                scale(&mut values[first..first + len], &mask[..len]);
            }
        } else {
            scale(values, mask);
        }
    }
}

/// So many factors: zero for the share `rate`, and what keeps the mean for the rest.
pub(super) fn draw_mask<R: Real>(
    noise: &mut ChaCha8Rng,
    rate: f64,
    count: usize,
    mask: &mut Vec<R>,
) {
    let kept = R::from_f64(1.0 / (1.0 - rate));
    let threshold = (rate * 65_536.0).round() as u32;
    mask.clear();
    mask.reserve(count + 1);
    // Two draws from each word: a rate is met within 1/65536.
    while mask.len() < count {
        let word = noise.next_u32();
        for half in [word & 0xffff, word >> 16] {
            mask.push(if half < threshold { R::ZERO } else { kept });
        }
    }
    mask.truncate(count);
}

fn scale<R: Real>(values: &mut [R], mask: &[R]) {
    R::vectorised(Scale { values, mask });
}

/// A plain loop, compiled for the instruction set it runs on.
struct Scale<'a, R> {
    values: &'a mut [R],
    mask: &'a [R],
}

impl<R: Real> Kernel<R> for Scale<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = R>>(self, _: V::Token) {
        for (value, factor) in self.values.iter_mut().zip(self.mask) {
            *value *= *factor;
        }
    }
}
