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
        let (layout, features) = (context.layout, self.features);
        zeroed(output, layout.rows() * layout.steps() * features);
        for (rank, row) in output
            .chunks_exact_mut(layout.steps() * features)
            .enumerate()
        {
            for (step, values) in row.chunks_exact_mut(features).enumerate() {
                let at = layout.position(step, rank) * features;
                values.copy_from_slice(&input[at..at + features]);
            }
        }
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        let (layout, features) = (context.layout, self.features);
        zeroed(pass.input_gradient, pass.input.len());
        let rows = pass.output_gradient.chunks_exact(layout.steps() * features);
        for (rank, row) in rows.enumerate() {
            for (step, values) in row.chunks_exact(features).enumerate() {
                let at = layout.position(step, rank) * features;
                let sums = &mut pass.input_gradient[at..at + features];
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += *value;
                }
            }
        }
    }
}
