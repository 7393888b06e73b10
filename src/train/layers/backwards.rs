//! A layer that reads each row from its end (Keras's `go_backwards`) and answers its last state.

use super::bidirectional::gather;
use super::{Backward, Context, Operation, Saved, zeroed};
use crate::train::real::Real;

/// `then` of the rows turned round.
pub struct Backwards<R> {
    /// Answers one vector for each row.
    pub then: Box<dyn Operation<R>>,
    /// Features in.
    pub inputs: usize,
}

impl<R: Real> Operation<R> for Backwards<R> {
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        saved: &mut Saved<R>,
        output: &mut Vec<R>,
    ) {
        saved.parts.resize_with(1, Saved::default);
        context.layout.reversed(&mut saved.positions);
        let turned = &mut saved.values[0];
        gather(input, &saved.positions, self.inputs, turned);
        self.then
            .forward(context, turned, &mut saved.parts[0], output);
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        let Saved {
            values,
            positions,
            parts,
            ..
        } = pass.saved;
        let [turned, by_turned, ..] = values;
        self.then.backward(
            context,
            Backward {
                input: turned,
                output: pass.output,
                saved: &mut parts[0],
                output_gradient: pass.output_gradient,
                input_gradient: by_turned,
                weight_gradients: pass.weight_gradients,
            },
        );
        zeroed(pass.input_gradient, pass.input.len());
        let steps = by_turned.chunks_exact(self.inputs).zip(&*positions);
        for (values, &position) in steps {
            let to = &mut pass.input_gradient[position * self.inputs..][..self.inputs];
            to.copy_from_slice(values);
        }
    }
}
