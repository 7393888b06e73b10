//! `Dense`: a product, a bias, an activation.

use super::activation::{apply, slope};
use super::{Backward, Context, Operation, Saved, zeroed};
use crate::recipe::Activation;
use crate::train::kernel::{View, product};
use crate::train::real::Real;

/// Keras's `Dense`.
pub struct Dense {
    /// Features in.
    pub inputs: usize,
    /// Features out.
    pub units: usize,
    /// Applied to each output.
    pub activation: Activation,
}

impl<R: Real> Operation<R> for Dense {
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        _: &mut Saved<R>,
        output: &mut Vec<R>,
    ) {
        let rows = input.len() / self.inputs;
        output.clear();
        for _ in 0..rows {
            output.extend_from_slice(context.weight(1));
        }
        let kernel = View::new(context.weight(0), self.inputs, self.units);
        product(output, View::new(input, rows, self.inputs), kernel, true);
        for value in output.iter_mut() {
            *value = apply(self.activation, *value);
        }
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        let rows = pass.input.len() / self.inputs;
        for (gradient, output) in pass.output_gradient.iter_mut().zip(pass.output) {
            *gradient *= slope(self.activation, *output);
        }
        let gradient = View::new(pass.output_gradient, rows, self.units);
        let [kernel, bias] = pass.weight_gradients else {
            unreachable!("a dense layer has two weights")
        };
        zeroed(kernel, self.inputs * self.units);
        product(
            kernel,
            View::new(pass.input, rows, self.inputs).transposed(),
            gradient,
            false,
        );
        zeroed(bias, self.units);
        for row in pass.output_gradient.chunks_exact(self.units) {
            for (sum, value) in bias.iter_mut().zip(row) {
                *sum += *value;
            }
        }
        zeroed(pass.input_gradient, pass.input.len());
        let kernel = View::new(context.weight(0), self.inputs, self.units);
        product(pass.input_gradient, gradient, kernel.transposed(), false);
    }
}
