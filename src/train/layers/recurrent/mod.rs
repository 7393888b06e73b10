//! Recurrent layers, from one skeleton: a product for the inputs of a chunk of steps, a small product and the cell's own
//! arithmetic for each step, and backward the same, with the weights' gradients gathered while a chunk is in the cache.

mod gru;
mod lstm;
mod simple_rnn;

use std::ops::Range;

use super::dropout::draw_mask;
use super::{Backward, Context, Operation, Saved, sized, zeroed};
use crate::train::kernel::{Left, Size, add_rows, multiply, pack};
use crate::train::layout::Layout;
use crate::train::real::Real;
use crate::train::vector::{Kernel, Vector};

pub use gru::Gru;
pub use lstm::Lstm;
pub use simple_rnn::SimpleRnn;

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
    /// The share of the state that is dropped on its way to the next step, the same at every step of a row.
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
        let Saved { values, packed, .. } = saved;
        let [gates, states, kept, more_kept, mask, scratch, ..] = values;
        let layout = context.layout;
        let positions = layout.positions();
        mask.clear();
        if self.recurrent_dropout > 0.0
            && let Some(noise) = context.noise.as_deref_mut()
        {
            draw_mask(noise, self.recurrent_dropout, layout.rows() * units, mask);
        }
        sized(gates, positions * wide);
        for buffer in [&mut *states, &mut *kept, &mut *more_kept] {
            sized(buffer, positions * units); // [positions, units]
        }
        let rows = layout.rows();
        sized(scratch, rows * (wide + units));
        let (inner, dropped) = scratch.split_at_mut(rows * wide);
        let [kernel, recurrent, _] = packed;
        R::vectorised(Steps {
            layer: self,
            layout,
            weights: [0, 1, 2].map(|at| context.weight(at)),
            kernel,
            recurrent,
            mask,
            input,
            gates,
            states,
            kept: [kept, more_kept],
            inner,
            dropped,
        });
        output.clear();
        if self.return_sequences {
            output.extend_from_slice(states);
        } else {
            for rank in 0..layout.rows() {
                output.extend_from_slice(&states[layout.last(rank) * units..][..units]);
            }
        }
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        let (units, wide) = (self.units, C::GATES * self.units);
        let layout = context.layout;
        let positions = layout.positions();
        let Saved { values, packed, .. } = pass.saved;
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

/// The states that went into the recurrent products of some steps, of which none is the first.
struct Before<'a, R> {
    layout: &'a Layout,
    steps: Range<usize>,
    units: usize,
    states: &'a [R],
    mask: &'a [R],
}

impl<'a, R: Real> Before<'a, R> {
    /// As they lie in memory where each step's are, else gathered.
    fn states(self, gathered: &'a mut [R]) -> &'a [R] {
        let Self { layout, units, .. } = self;
        let earlier = self.steps.start - 1..self.steps.end;
        let running = &layout.running[earlier];
        if self.mask.is_empty() && running.iter().all(|count| *count == running[0]) {
            return &self.states[layout.offsets[self.steps.start - 1] * units..];
        }
        let mut places = gathered.chunks_exact_mut(units);
        for step in self.steps {
            let old = layout.running[step - 1];
            for (rank, place) in places.by_ref().take(layout.running[step]).enumerate() {
                let position = layout.offsets[step - 1] + rank.min(old - 1);
                place.copy_from_slice(&self.states[position * units..][..units]);
                if let Some(factors) = self.mask.get(rank * units..(rank + 1) * units) {
                    for (value, factor) in place.iter_mut().zip(factors) {
                        *value *= *factor;
                    }
                }
            }
        }
        gathered
    }
}

/// All steps forward; positions as in [`Layout`].
struct Steps<'a, C, R> {
    layer: &'a Recurrent<C>,
    layout: &'a Layout,
    /// Kernel, recurrent kernel and bias.
    weights: [&'a [R]; 3],
    /// The kernels as products read them.
    kernel: &'a mut Vec<R>,
    recurrent: &'a mut Vec<R>,
    /// Of the recurrent dropout, `[rows, units]`, or nothing.
    mask: &'a [R],
    input: &'a [R],
    /// `[positions, gates units]`.
    gates: &'a mut [R],
    states: &'a mut [R],
    kept: [&'a mut [R]; 2],
    /// Scratch for a step: the recurrent product and the states that go into it.
    inner: &'a mut [R],
    dropped: &'a mut [R],
}

impl<C: Cell, R: Real> Kernel<R> for Steps<'_, C, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = R>>(mut self, token: V::Token) {
        let Recurrent { inputs, units, .. } = *self.layer;
        let wide = C::GATES * units;
        let [kernel, recurrent, _] = self.weights;
        pack::<V>(kernel, (inputs, wide), false, self.kernel);
        pack::<V>(recurrent, (units, wide), false, self.recurrent);
        let layout = self.layout;
        for steps in &layout.chunks {
            let at = layout.offsets[steps.start]..layout.offsets[steps.end];
            let size = Size {
                rows: at.len(),
                k: inputs,
                n: wide,
            };
            let input = Left::Rows(&self.input[inputs * at.start..inputs * at.end]);
            let gates = &mut self.gates[wide * at.start..wide * at.end];
            multiply::<V>(token, gates, input, self.kernel, size, false);
            for step in steps.clone() {
                self.multiply_states::<V>(token, step);
                self.step::<V>(token, step);
            }
        }
    }
}

impl<C: Cell, R: Real> Steps<'_, C, R> {
    /// The states before a step times the recurrent kernel.
    #[inline(always)]
    fn multiply_states<V: Vector<Item = R>>(&mut self, token: V::Token, step: usize) {
        let (layout, units) = (self.layout, self.layer.units);
        let wide = C::GATES * units;
        let running = layout.running[step];
        let Some(before) = step.checked_sub(1) else {
            self.inner[..running * wide].fill(R::ZERO);
            return;
        };
        let rows = running.min(layout.running[before]);
        let mut states = &self.states[layout.offsets[before] * units..][..rows * units];
        if !self.mask.is_empty() {
            let dropped = &mut self.dropped[..rows * units];
            for ((to, value), factor) in dropped.iter_mut().zip(states).zip(self.mask) {
                *to = *value * *factor;
            }
            states = dropped;
        }
        let size = Size {
            rows,
            k: units,
            n: wide,
        };
        let states = Left::Rows(states);
        multiply::<V>(token, self.inner, states, self.recurrent, size, false);
        for started in rows..running {
            // It comes out of the pads, and so does the product.
            let pads = (rows - 1) * wide..rows * wide;
            self.inner.copy_within(pads, started * wide);
        }
    }

    /// The cell on every row of a step.
    #[inline(always)]
    fn step<V: Vector<Item = R>>(&mut self, token: V::Token, step: usize) {
        let (layout, units) = (self.layout, self.layer.units);
        let wide = C::GATES * units;
        let (first, running) = (layout.offsets[step], layout.running[step]);
        let here = first * units;
        let [kept, more_kept] = &mut self.kept;
        let (old_states, states) = self.states.split_at_mut(here);
        let (old_kept, kept) = kept.split_at_mut(here);
        for row in 0..running {
            let at = row * units..(row + 1) * units;
            let old = step.checked_sub(1).map(|before| {
                let at = layout.position(before, row) * units;
                at..at + units
            });
            C::forward::<V>(
                token,
                Forward {
                    gates: &mut self.gates[(first + row) * wide..(first + row + 1) * wide],
                    inner: &self.inner[row * wide..(row + 1) * wide],
                    bias: self.weights[2],
                    old_state: old.clone().map(|old| &old_states[old]),
                    old_kept: old.map(|old| &old_kept[old]),
                    state: &mut states[at.clone()],
                    kept: [
                        &mut kept[at.clone()],
                        &mut more_kept[here + at.start..here + at.end],
                    ],
                },
            );
        }
    }
}

/// All steps backward, last first; turns the gates into the gradients by what went into them.
struct StepsBack<'a, C, R> {
    layer: &'a Recurrent<C>,
    layout: &'a Layout,
    /// Kernel and recurrent kernel.
    weights: [&'a [R]; 2],
    /// As products read them: the two kernels turned, and a chunk's gradients.
    packed: &'a mut [Vec<R>; 3],
    mask: &'a [R],
    input: &'a [R],
    /// The gradient by every step's state from the layer above, `[positions, units]`.
    from_above: &'a [R],
    gates: &'a mut [R],
    states: &'a [R],
    kept: [&'a [R]; 2],
    /// Scratch for the states before a chunk's steps.
    shifted: &'a mut [R],
    /// The gradients by the states' share, where they are others, `[chunk's positions, gates units]`.
    inner: &'a mut [R],
    /// The gradients from the step after, through its product and past it, `[rows, units]`; zero at the start.
    after: &'a mut [R],
    carried: &'a mut [R],
    by_input: &'a mut [R],
    by_kernel: &'a mut [R],
    by_recurrent: &'a mut [R],
    by_bias: &'a mut [R],
}

impl<C: Cell, R: Real> Kernel<R> for StepsBack<'_, C, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = R>>(mut self, token: V::Token) {
        let Recurrent { inputs, units, .. } = *self.layer;
        let wide = C::GATES * units;
        let [kernel, recurrent] = self.weights;
        pack::<V>(kernel, (wide, inputs), true, &mut self.packed[0]);
        pack::<V>(recurrent, (wide, units), true, &mut self.packed[1]);
        let layout = self.layout;
        for steps in layout.chunks.iter().rev() {
            for step in steps.clone().rev() {
                self.step::<V>(token, step, layout.offsets[steps.start]);
                self.multiply_gradients::<V>(token, step, layout.offsets[steps.start]);
            }
            self.gather::<V>(token, steps.clone());
        }
    }
}

impl<C: Cell, R: Real> StepsBack<'_, C, R> {
    /// The cell on every row of a step.
    #[inline(always)]
    fn step<V: Vector<Item = R>>(&mut self, token: V::Token, step: usize, chunk: usize) {
        let (layout, units) = (self.layout, self.layer.units);
        let wide = C::GATES * units;
        let (first, running) = (layout.offsets[step], layout.running[step]);
        for row in 0..running {
            let at = (first + row) * units..(first + row + 1) * units;
            let place = row * units..(row + 1) * units;
            let old = step.checked_sub(1).map(|before| {
                let at = layout.position(before, row) * units;
                at..at + units
            });
            let inner = match C::INNER_BIAS {
                true => (first - chunk + row) * wide..(first - chunk + row + 1) * wide,
                false => 0..0,
            };
            C::backward::<V>(
                token,
                BackwardRow {
                    gates: &mut self.gates[(first + row) * wide..(first + row + 1) * wide],
                    inner: &mut self.inner[inner],
                    old_state: old.clone().map(|old| &self.states[old]),
                    old_kept: old.map(|old| &self.kept[0][old]),
                    state: &self.states[at.clone()],
                    kept: [&self.kept[0][at.clone()], &self.kept[1][at.clone()]],
                    above: &self.from_above[at],
                    after: &self.after[place.clone()],
                    carried: &mut self.carried[place],
                },
            );
        }
    }

    /// A step's gradients by the states before it.
    #[inline(always)]
    fn multiply_gradients<V: Vector<Item = R>>(
        &mut self,
        token: V::Token,
        step: usize,
        chunk: usize,
    ) {
        let Some(before) = step.checked_sub(1) else {
            return;
        };
        let (layout, units) = (self.layout, self.layer.units);
        let wide = C::GATES * units;
        let (first, running) = (layout.offsets[step], layout.running[step]);
        let by_states = match C::INNER_BIAS {
            true => &self.inner[(first - chunk) * wide..(first - chunk + running) * wide],
            false => &self.gates[first * wide..(first + running) * wide],
        };
        let size = Size {
            rows: running,
            k: wide,
            n: units,
        };
        let by_states = Left::Rows(by_states);
        multiply::<V>(token, self.after, by_states, &self.packed[1], size, false);
        if let Some(mask) = self.mask.get(..running * units) {
            for (value, factor) in self.after.iter_mut().zip(mask) {
                *value *= *factor;
            }
        }
        // Rows that come out of the pads at this step leave their gradients there.
        let old = layout.running[before];
        for started in old..running {
            for buffer in [&mut *self.after, &mut *self.carried] {
                let (pads, row) = buffer.split_at_mut(started * units);
                let pads = &mut pads[(old - 1) * units..old * units];
                for (sum, value) in pads.iter_mut().zip(&row[..units]) {
                    *sum += *value;
                }
            }
        }
    }

    /// A chunk's part of the gradients by input and weights, from its gates' gradients, which are in the cache.
    #[inline(always)]
    fn gather<V: Vector<Item = R>>(&mut self, token: V::Token, steps: Range<usize>) {
        let Recurrent { inputs, units, .. } = *self.layer;
        let layout = self.layout;
        let wide = C::GATES * units;
        let at = layout.offsets[steps.start]..layout.offsets[steps.end];
        let input = inputs * at.start..inputs * at.end;
        let by_inputs = &self.gates[wide * at.start..wide * at.end];
        let [turned, _, packed] = &mut *self.packed;
        let size = Size {
            rows: at.len(),
            k: wide,
            n: inputs,
        };
        let by_input = &mut self.by_input[input.clone()];
        multiply::<V>(token, by_input, Left::Rows(by_inputs), turned, size, false);
        pack::<V>(by_inputs, (at.len(), wide), false, packed);
        let size = Size {
            rows: inputs,
            k: at.len(),
            n: wide,
        };
        let input = Left::Columns(&self.input[input]);
        multiply::<V>(token, self.by_kernel, input, packed, size, true);
        let (bias, inner_bias) = self.by_bias.split_at_mut(wide);
        add_rows::<V>(token, bias, by_inputs);
        let by_states = match C::INNER_BIAS {
            true => &self.inner[..at.len() * wide],
            false => by_inputs,
        };
        if C::INNER_BIAS {
            add_rows::<V>(token, inner_bias, by_states);
        }
        let later = steps.start.max(1)..steps.end;
        let skipped = layout.offsets[later.start.min(later.end)] - at.start;
        let count = at.len() - skipped;
        if count == 0 {
            return;
        }
        if C::INNER_BIAS || skipped > 0 {
            let gradients = &by_states[skipped * wide..];
            pack::<V>(gradients, (count, wide), false, packed);
        }
        let before = Before {
            layout,
            steps: later,
            units,
            states: self.states,
            mask: self.mask,
        };
        let states = &before.states(self.shifted)[..count * units];
        let size = Size {
            rows: units,
            k: count,
            n: wide,
        };
        let states = Left::Columns(states);
        multiply::<V>(token, self.by_recurrent, states, packed, size, true);
    }
}
