//! `Flatten`: all steps of a row beside each other. Rows must be of one length.

use super::{Backward, Context, Operation, Saved, zeroed};
use crate::train::real::Real;

/// Keras's `Flatten` over `[time, features]`.
pub struct Flatten {
    /// Features of a step.
    pub features: usize,
}

impl<R: Real> Operation<R> for Flatten {
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        _: &mut Saved<R>,
        output: &mut Vec<R>,
    ) {
        zeroed(output, input.len());
        let (rows, steps) = (context.layout.rows(), context.layout.steps());
        for (position, step) in input.chunks_exact(self.features).enumerate() {
            let at = ((position % rows) * steps + position / rows) * self.features;
            output[at..at + self.features].copy_from_slice(step);
        }
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        zeroed(pass.input_gradient, pass.input.len());
        let (rows, steps) = (context.layout.rows(), context.layout.steps());
        for (position, step) in pass
            .input_gradient
            .chunks_exact_mut(self.features)
            .enumerate()
        {
            let at = ((position % rows) * steps + position / rows) * self.features;
            step.copy_from_slice(&pass.output_gradient[at..at + self.features]);
        }
    }
}
