//! Two layers as one, the first of them without weights.

use super::{Backward, Context, Operation, Saved};
use crate::train::real::Real;

/// `first`, and `then` of what it answers.
pub struct Sequence<A, R> {
    /// Has no weights.
    pub first: A,
    /// Has all of them.
    pub then: Box<dyn Operation<R>>,
}

impl<R: Real, A: Operation<R>> Operation<R> for Sequence<A, R> {
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        saved: &mut Saved<R>,
        output: &mut Vec<R>,
    ) {
        saved.parts.resize_with(2, Saved::default);
        let [first, then] = &mut saved.parts[..] else {
            unreachable!("it was given two parts")
        };
        let between = &mut saved.values[0];
        self.first.forward(context, input, first, between);
        self.then.forward(context, between, then, output);
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        let Saved { values, parts, .. } = pass.saved;
        let [between, by_between, ..] = values;
        let [first, then] = &mut parts[..] else {
            unreachable!("forward gave it two parts")
        };
        self.then.backward(
            context,
            Backward {
                input: between,
                output: pass.output,
                saved: then,
                output_gradient: pass.output_gradient,
                input_gradient: by_between,
                weight_gradients: pass.weight_gradients,
            },
        );
        self.first.backward(
            context,
            Backward {
                input: pass.input,
                output: between,
                saved: first,
                output_gradient: by_between,
                input_gradient: pass.input_gradient,
                weight_gradients: &mut [],
            },
        );
    }
}
