//! Additive attention over the steps that a row has (Bahdanau et al. 2015; over one text, Yang et al. 2016).

use super::{Backward, Context, Operation, Saved, zeroed};
use crate::train::kernel::{View, product};
use crate::train::layout::Layout;
use crate::train::real::Real;

/// The mean of a row's steps, weighted by a softmax over `tanh(W h + b) . q`; a masked step has no weight. The weights are
/// W `[features, units]`, b `[units]` and q `[units, 1]`.
pub struct AttentionPooling {
    /// Features of a step.
    pub features: usize,
    /// The length of the query.
    pub units: usize,
}

impl<R: Real> Operation<R> for AttentionPooling {
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        saved: &mut Saved<R>,
        output: &mut Vec<R>,
    ) {
        let (layout, features, units) = (context.layout, self.features, self.units);
        let positions = layout.positions();
        let [said, scores, shares, ..] = &mut saved.values;
        said.clear();
        for _ in 0..positions {
            said.extend_from_slice(context.weight(1));
        }
        let kernel = View::new(context.weight(0), features, units);
        product(said, View::new(input, positions, features), kernel, true);
        said.iter_mut().for_each(|value| *value = value.tanh());
        zeroed(scores, positions);
        let query = View::new(context.weight(2), units, 1);
        product(scores, View::new(said, positions, units), query, false);
        zeroed(shares, layout.rows() * layout.steps());
        zeroed(output, layout.rows() * features);
        for (rank, output) in output.chunks_exact_mut(features).enumerate() {
            let shares = self.shares(layout, rank, shares);
            softmax(layout, rank, scores, shares);
            for (step, share) in shares.iter().enumerate() {
                let at = layout.position(step, rank) * features;
                for (sum, value) in output.iter_mut().zip(&input[at..at + features]) {
                    *sum += *share * *value;
                }
            }
        }
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        let (layout, features, units) = (context.layout, self.features, self.units);
        let positions = layout.positions();
        let [said, by_scores, shares, by_said, ..] = &mut pass.saved.values;
        zeroed(pass.input_gradient, pass.input.len());
        zeroed(by_scores, positions);
        for (rank, gradient) in pass.output_gradient.chunks_exact(features).enumerate() {
            // The output's own product with its gradient is the mean of the steps' products.
            let mean = dot(gradient, &pass.output[rank * features..][..features]);
            for (step, share) in self.shares(layout, rank, shares).iter().enumerate() {
                let position = layout.position(step, rank);
                let at = position * features..(position + 1) * features;
                by_scores[position] += *share * (dot(gradient, &pass.input[at.clone()]) - mean);
                let sums = pass.input_gradient[at].iter_mut();
                for (sum, value) in sums.zip(gradient) {
                    *sum += *share * *value;
                }
            }
        }
        let [by_kernel, by_bias, by_query] = pass.weight_gradients else {
            unreachable!("attention has three weights")
        };
        let scores = View::new(by_scores, positions, 1);
        zeroed(by_query, units);
        let all_said = View::new(said, positions, units);
        product(by_query, all_said.transposed(), scores, false);
        zeroed(by_said, positions * units);
        let query = View::new(context.weight(2), units, 1);
        product(by_said, scores, query.transposed(), false);
        for (gradient, said) in by_said.iter_mut().zip(&*said) {
            *gradient *= R::ONE - *said * *said;
        }
        zeroed(by_bias, units);
        for gradient in by_said.chunks_exact(units) {
            for (sum, value) in by_bias.iter_mut().zip(gradient) {
                *sum += *value;
            }
        }
        let by_said = View::new(by_said, positions, units);
        zeroed(by_kernel, features * units);
        let input = View::new(pass.input, positions, features);
        product(by_kernel, input.transposed(), by_said, false);
        let kernel = View::new(context.weight(0), features, units);
        product(pass.input_gradient, by_said, kernel.transposed(), true);
    }
}

impl AttentionPooling {
    /// The weights of a row's steps.
    fn shares<'a, R>(&self, layout: &Layout, rank: usize, shares: &'a mut [R]) -> &'a mut [R] {
        let first = rank * layout.steps();
        &mut shares[first..first + layout.lengths[rank]]
    }
}

fn softmax<R: Real>(layout: &Layout, rank: usize, scores: &[R], shares: &mut [R]) {
    let score = |step: usize| scores[layout.position(step, rank)];
    let largest = (1..shares.len()).fold(score(0), |largest, step| {
        let score = score(step);
        if score > largest { score } else { largest }
    });
    let mut sum = R::ZERO;
    for (step, share) in shares.iter_mut().enumerate() {
        *share = (score(step) - largest).exp();
        sum += *share;
    }
    for share in shares {
        *share = *share / sum;
    }
}

fn dot<R: Real>(one: &[R], other: &[R]) -> R {
    let mut sum = R::ZERO;
    for (one, other) in one.iter().zip(other) {
        sum += *one * *other;
    }
    sum
}
