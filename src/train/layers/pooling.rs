//! Global pooling over the steps that a row has.

use super::{Backward, Context, Operation, Saved, zeroed};
use crate::train::real::Real;

/// What is taken over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// `GlobalMaxPooling1D`; the first of equal steps takes the gradient.
    Max,
    /// `GlobalAveragePooling1D`.
    Average,
}

/// One or more statistics of each feature, beside each other in the order given.
pub struct Pooling {
    /// What is taken.
    pub statistics: &'static [Statistic],
    /// Features of a step.
    pub features: usize,
}

impl<R: Real> Operation<R> for Pooling {
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        saved: &mut Saved<R>,
        output: &mut Vec<R>,
    ) {
        let layout = context.layout;
        let width = self.features * self.statistics.len();
        zeroed(output, layout.rows() * width);
        saved.positions.clear();
        saved.positions.resize(layout.rows() * self.features, 0);
        for (at, statistic) in self.statistics.iter().enumerate() {
            for step in 0..layout.steps() {
                let running = layout.lengths.partition_point(|&length| length > step);
                for rank in 0..running {
                    let position = layout.position(step, rank);
                    let values = &input[position * self.features..][..self.features];
                    let pooled = &mut output[rank * width + at * self.features..][..self.features];
                    match statistic {
                        Statistic::Max => {
                            let best =
                                &mut saved.positions[rank * self.features..][..self.features];
                            for ((pooled, best), value) in pooled.iter_mut().zip(best).zip(values) {
                                if step == 0 || *value > *pooled {
                                    *pooled = *value;
                                    *best = position;
                                }
                            }
                        }
                        Statistic::Average => {
                            for (pooled, value) in pooled.iter_mut().zip(values) {
                                *pooled += *value;
                            }
                        }
                    }
                }
            }
            if *statistic == Statistic::Average {
                for (rank, length) in layout.lengths.iter().enumerate() {
                    let share = R::from_f64(1.0 / *length as f64);
                    for pooled in &mut output[rank * width + at * self.features..][..self.features]
                    {
                        *pooled *= share;
                    }
                }
            }
        }
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        let layout = context.layout;
        let width = self.features * self.statistics.len();
        zeroed(pass.input_gradient, pass.input.len());
        for (at, statistic) in self.statistics.iter().enumerate() {
            for rank in 0..layout.rows() {
                let gradient =
                    &pass.output_gradient[rank * width + at * self.features..][..self.features];
                match statistic {
                    Statistic::Max => {
                        let best = &pass.saved.positions[rank * self.features..][..self.features];
                        for (feature, (gradient, position)) in gradient.iter().zip(best).enumerate()
                        {
                            pass.input_gradient[position * self.features + feature] += *gradient;
                        }
                    }
                    Statistic::Average => {
                        let share = R::from_f64(1.0 / layout.lengths[rank] as f64);
                        for step in 0..layout.lengths[rank] {
                            let position = layout.position(step, rank);
                            let input = &mut pass.input_gradient[position * self.features..]
                                [..self.features];
                            for (input, gradient) in input.iter_mut().zip(gradient) {
                                *input += *gradient * share;
                            }
                        }
                    }
                }
            }
        }
    }
}
