//! Recurrent layers, from one skeleton: a product for the inputs of a chunk of steps, a small product and the cell's own
//! arithmetic for each step, and backward the same, with the weights' gradients gathered while a chunk is in the cache.

mod by_gate;
mod general;
mod gru;
mod lstm;
mod simple_rnn;
mod steps;
mod steps_back;

use super::{Backward, Context, Operation, Saved, sized, zeroed};
use crate::train::real::Real;
use crate::train::vector::Vector;

pub use general::{General, Kind};
pub use gru::Gru;
pub use lstm::Lstm;
pub use simple_rnn::SimpleRnn;
use steps::Steps;
use steps_back::StepsBack;

/// The place of the states in [`Saved::values`], where they are not the output.
const STATES: usize = 1;

/// The place of the inputs' masks in the [`Saved::values`] of products by gate.
const INPUT_MASKS: usize = 0;

/// What a kind of recurrent layer does to one row at one step. Weights and gates are Keras's, in its order.
pub trait Cell: Send + Sync {
    /// Gates, each as wide as the state.
    const GATES: usize;
    /// Whether the recurrent product has a bias of its own and a gradient other than the inputs' product.
    const INNER_BIAS: bool;

    /// The activated gates and the next state.
    fn forward<V: Vector>(token: V::Token, row: Forward<'_, V::Item>);

    /// The gradients by what went into the gates, and what is carried to the step before.
    fn backward<V: Vector>(token: V::Token, row: BackwardRow<'_, V::Item>);
}

/// One row at one step.
pub struct Forward<'a, R> {
    /// In, the inputs' share; out, the activated gates: `[gates, units]`.
    pub gates: &'a mut [R],
    /// The state's share, `[gates, units]`.
    pub inner: &'a [R],
    /// `[gates, units]`, twice where the cell has an inner bias.
    pub bias: &'a [R],
    /// The state before.
    pub old_state: Option<&'a [R]>,
    /// What the cell kept first of the step before.
    pub old_kept: Option<&'a [R]>,
    /// The state.
    pub state: &'a mut [R],
    /// What the cell keeps for backward, each `[units]`.
    pub kept: [&'a mut [R]; 2],
}

/// One row at one step, backward.
pub struct BackwardRow<'a, R> {
    /// In, the activated gates; out, the gradient by the inputs' share.
    pub gates: &'a mut [R],
    /// Out, the gradient by the state's share, where that is another.
    pub inner: &'a mut [R],
    /// The state before.
    pub old_state: Option<&'a [R]>,
    /// What the cell kept first of the step before.
    pub old_kept: Option<&'a [R]>,
    /// The state.
    pub state: &'a [R],
    /// What the cell kept.
    pub kept: [&'a [R]; 2],
    /// The gradient by the state from the layer above.
    pub above: &'a [R],
    /// And from the step after, through its recurrent product.
    pub after: &'a [R],
    /// What the step after carried here, and what this one carries on.
    pub carried: &'a mut [R],
}

/// One direction of a recurrent layer.
pub struct Recurrent<C> {
    /// Features in.
    pub inputs: usize,
    /// The size of the state.
    pub units: usize,
    /// Every step's output, or each row's last.
    pub return_sequences: bool,
    /// The share of the inputs that is dropped of what each gate reads, the same at every step of a row.
    pub dropout: f64,
    /// The share of the state that is dropped on its way to the next step's gates, of each gate's own, the same at every step of
    /// a row.
    pub recurrent_dropout: f64,
    /// The kind.
    pub cell: C,
}

impl<C: Cell, R: Real> Operation<R> for Recurrent<C> {
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        saved: &mut Saved<R>,
        output: &mut Vec<R>,
    ) {
        let (units, wide) = (self.units, C::GATES * self.units);
        saved.parts.resize_with(1, Saved::default);
        let Saved {
            values,
            packed,
            parts,
            ..
        } = saved;
        let [gates, states, kept, more_kept, mask, scratch, ..] = values;
        let layout = context.layout;
        let positions = layout.positions();
        let count = C::GATES * layout.rows();
        let drawn = [
            (self.recurrent_dropout, count * units),
            (self.dropout, count * self.inputs),
        ];
        let noise = context.noise.as_deref_mut();
        by_gate::draw(
            noise,
            drawn,
            [&mut *mask, &mut parts[0].values[INPUT_MASKS]],
        );
        // Where every state is answered, the answer is the states.
        let answered = &mut *output;
        let states = if self.return_sequences {
            answered
        } else {
            states
        };
        sized(gates, positions * wide);
        for buffer in [&mut *states, &mut *kept, &mut *more_kept] {
            sized(buffer, positions * units); // [positions, units]
        }
        let rows = layout.rows();
        sized(scratch, rows * wide);
        let [kernel, recurrent, _] = packed;
        R::vectorised(Steps {
            layer: self,
            layout,
            weights: [0, 1, 2].map(|at| context.weight(at)),
            kernel,
            recurrent,
            mask,
            by_gate: &mut parts[0],
            input,
            gates,
            states,
            kept: [kept, more_kept],
            inner: scratch,
        });
        if !self.return_sequences {
            output.clear();
            for rank in 0..layout.rows() {
                let states = &saved.values[STATES];
                output.extend_from_slice(&states[layout.last(rank) * units..][..units]);
            }
        }
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        let (units, wide) = (self.units, C::GATES * self.units);
        let layout = context.layout;
        let positions = layout.positions();
        let Saved {
            values,
            packed,
            parts,
            ..
        } = pass.saved;
        let [
            gates,
            states,
            kept,
            more_kept,
            mask,
            scratch,
            spread,
            carried,
        ] = values;
        let states: &[R] = match self.return_sequences {
            true => pass.output,
            false => states,
        };
        let from_above: &[R] = if self.return_sequences {
            pass.output_gradient
        } else {
            zeroed(spread, positions * units);
            for (rank, gradient) in pass.output_gradient.chunks_exact(units).enumerate() {
                let last = &mut spread[layout.last(rank) * units..][..units];
                // Rows of nothing but pads have their last step together.
                for (sum, value) in last.iter_mut().zip(gradient) {
                    *sum += *value;
                }
            }
            spread
        };
        let rows = layout.rows();
        zeroed(carried, 2 * rows * units);
        let (after, carried) = carried.split_at_mut(rows * units);
        let inner_width = if C::INNER_BIAS { wide } else { 0 };
        let longest = layout.longest_chunk;
        sized(scratch, longest * (units + inner_width));
        let (shifted, inner) = scratch.split_at_mut(longest * units);
        let [by_kernel, by_recurrent, by_bias] = pass.weight_gradients else {
            unreachable!("a recurrent layer has three weights")
        };
        zeroed(by_kernel, self.inputs * wide);
        zeroed(by_recurrent, units * wide);
        zeroed(by_bias, context.weight(2).len());
        sized(pass.input_gradient, pass.input.len());
        R::vectorised(StepsBack {
            layer: self,
            layout,
            weights: [0, 1].map(|at| context.weight(at)),
            packed,
            mask,
            by_gate: &mut parts[0],
            input: pass.input,
            from_above,
            gates,
            states,
            kept: [kept, more_kept],
            shifted,
            inner,
            after,
            carried,
            by_input: pass.input_gradient,
            by_kernel,
            by_recurrent,
            by_bias,
        });
    }
}
