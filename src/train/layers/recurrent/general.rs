//! Recurrent layers with other activations than Keras's defaults, and the `GRU` that resets before its product (Cho et al.
//! 2014), number by number: for models that were trained with them. What is usual has [`super::Recurrent`].

mod row;

use super::by_gate;
use std::ops::Range;

use super::super::{Backward, Context, Operation, Saved, zeroed};
use crate::recipe::Activation;
use crate::train::kernel::{View, product, product_across};
use crate::train::layers::activation::{apply, slope};
use crate::train::layout::Layout;
use crate::train::real::Real;
use row::{Row, RowBack};

/// What a layer does at a step; weights and gates are Keras's, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `LSTM`.
    Lstm,
    /// `GRU` with `reset_after`.
    GruResetAfter,
    /// `GRU` without.
    GruResetBefore,
    /// `SimpleRNN`.
    SimpleRnn,
}

impl Kind {
    fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::GruResetAfter | Self::GruResetBefore => 3,
            Self::SimpleRnn => 1,
        }
    }
}

/// One direction of a recurrent layer.
pub struct General {
    /// What it does.
    pub kind: Kind,
    /// Features in.
    pub inputs: usize,
    /// The size of the state.
    pub units: usize,
    /// Every step's output, or each row's last.
    pub return_sequences: bool,
    /// The share of the inputs that is dropped of what each gate reads, the same at every step of a row.
    pub dropout: f64,
    /// The share of the state that is dropped on its way to the next step's gates, of each gate's own.
    pub recurrent_dropout: f64,
    /// Of the new state.
    pub activation: Activation,
    /// Of the gates.
    pub recurrent_activation: Activation,
}

impl<R: Real> Operation<R> for General {
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        saved: &mut Saved<R>,
        output: &mut Vec<R>,
    ) {
        let (layout, units, wide) = (context.layout, self.units, self.wide());
        let positions = layout.positions();
        saved.parts.resize_with(1, Saved::default);
        let [gates, states, kept, mask, scratch, ..] = &mut saved.values;
        let [input_mask, dropped, ..] = &mut saved.parts[0].values;
        let count = self.kind.gates() * layout.rows();
        let drawn = [
            (self.recurrent_dropout, count * units),
            (self.dropout, count * self.inputs),
        ];
        let noise = context.noise.as_deref_mut();
        by_gate::draw(noise, drawn, [&mut *mask, &mut *input_mask]);
        let (outer_bias, inner_bias) = context.weight(2).split_at(wide);
        gates.clear();
        for _ in 0..positions {
            gates.extend_from_slice(outer_bias);
        }
        let kernel = View::new(context.weight(0), self.inputs, wide);
        for group in self.groups(input_mask) {
            dropped.clear();
            dropped.extend_from_slice(input);
            self.drop_inputs(layout, input_mask, &group, dropped);
            let input = View::new(dropped, positions, self.inputs);
            let kernel = kernel.columns(group.start, group.len());
            product_across(&mut gates[group.start..], wide, input, kernel, true);
        }
        zeroed(states, positions * units);
        zeroed(kept, positions * units);
        let recurrent = View::new(context.weight(1), units, wide);
        zeroed(scratch, layout.rows() * (2 * wide + units));
        for step in 0..layout.steps() {
            let running = layout.running[step];
            let (inner, rest) = scratch.split_at_mut(running * wide);
            let (reset, rest) = rest.split_at_mut(running * wide);
            let before = &mut rest[..running * units];
            for row in inner.chunks_exact_mut(wide) {
                // Only a GRU that resets behind the product has a bias there.
                match inner_bias.is_empty() {
                    true => row.fill(R::ZERO),
                    false => row.copy_from_slice(inner_bias),
                }
            }
            for group in self.groups(mask) {
                self.states_before(layout, step, (states, mask), &group, before);
                let before = View::new(before, running, units);
                let recurrent = recurrent.columns(group.start, group.len());
                product_across(&mut inner[group.start..], wide, before, recurrent, true);
            }
            if self.kind == Kind::GruResetBefore {
                for row in 0..running {
                    let at = layout.offsets[step] + row;
                    let gates = &mut gates[at * wide..(at + 1) * wide];
                    let inner = &inner[row * wide..(row + 1) * wide];
                    for gate in 0..2 * units {
                        gates[gate] = apply(self.recurrent_activation, gates[gate] + inner[gate]);
                    }
                    for unit in 0..units {
                        before[row * units + unit] *= gates[units + unit];
                    }
                }
                product(reset, View::new(before, running, units), recurrent, false);
            }
            for row in 0..running {
                let at = layout.offsets[step] + row;
                let old = step.checked_sub(1).map(|step| layout.position(step, row));
                let products = match self.kind {
                    Kind::GruResetBefore => &reset[row * wide..(row + 1) * wide],
                    _ => &inner[row * wide..(row + 1) * wide],
                };
                let row = Row {
                    at,
                    old,
                    gates: &mut gates[at * wide..(at + 1) * wide],
                    inner: products,
                    states,
                    kept,
                };
                row.forward(self);
            }
        }
        output.clear();
        match self.return_sequences {
            true => output.extend_from_slice(states),
            false => {
                for rank in 0..layout.rows() {
                    output.extend_from_slice(&states[layout.last(rank) * units..][..units]);
                }
            }
        }
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        let (layout, units, wide) = (context.layout, self.units, self.wide());
        let positions = layout.positions();
        let [gates, states, kept, mask, scratch, by_states, by_cells, _] = &mut pass.saved.values;
        zeroed(by_cells, positions * units);
        match self.return_sequences {
            true => {
                by_states.clear();
                by_states.extend_from_slice(pass.output_gradient);
            }
            false => {
                zeroed(by_states, positions * units);
                for (rank, gradient) in pass.output_gradient.chunks_exact(units).enumerate() {
                    add(
                        &mut by_states[layout.last(rank) * units..][..units],
                        gradient,
                    );
                }
            }
        }
        let [by_kernel, by_recurrent, by_bias] = pass.weight_gradients else {
            unreachable!("a recurrent layer has three weights")
        };
        zeroed(by_recurrent, units * wide);
        zeroed(by_bias, context.weight(2).len());
        let (by_outer_bias, by_inner_bias) = by_bias.split_at_mut(wide);
        let recurrent = View::new(context.weight(1), units, wide);
        zeroed(scratch, layout.rows() * (wide + 3 * units));
        for step in (0..layout.steps()).rev() {
            let running = layout.running[step];
            let (inner, rest) = scratch.split_at_mut(running * wide);
            let (before, rest) = rest.split_at_mut(running * units);
            let (reset, rest) = rest.split_at_mut(running * units);
            let by_before = &mut rest[..running * units];
            // The last gate's: that of a GRU that resets before its product reads what the reset gate leaves of it.
            let last = self.groups(mask).last().unwrap_or(0..wide);
            self.states_before(layout, step, (states, mask), &last, before);
            if self.kind == Kind::GruResetBefore {
                let here = layout.offsets[step]..layout.offsets[step] + running;
                let gates_here = &gates[here.start * wide..here.end * wide];
                let gradients = &by_states[here.start * units..here.end * units];
                self.by_new_state(gates_here, gradients, inner);
                let inner_here = View::new(inner, running, wide);
                product(by_before, inner_here, recurrent.transposed(), false);
                // The third gate's product had the state as the reset gate left it.
                for (at, value) in reset.iter_mut().enumerate() {
                    let (row, unit) = (at / units, at % units);
                    let gate = gates[(layout.offsets[step] + row) * wide + units + unit];
                    *value = before[at] * gate;
                }
                let reset = View::new(reset, running, units).transposed();
                product(by_recurrent, reset, View::new(inner, running, wide), true);
            }
            for row in 0..running {
                let at = layout.offsets[step] + row;
                let old = step.checked_sub(1).map(|step| layout.position(step, row));
                let inner = &mut inner[row * wide..(row + 1) * wide];
                let row = RowBack {
                    at,
                    old,
                    gates: &mut gates[at * wide..(at + 1) * wide],
                    inner,
                    states,
                    kept,
                    by_states,
                    by_cells,
                    by_reset: &mut by_before[row * units..(row + 1) * units],
                    before: &before[row * units..(row + 1) * units],
                };
                row.backward(self);
            }
            if !by_inner_bias.is_empty() {
                inner
                    .chunks_exact(wide)
                    .for_each(|row| add(by_inner_bias, row));
            }
            for group in self.groups(mask).rev() {
                self.states_before(layout, step, (states, mask), &group, before);
                let by_inner = View::new(inner, running, wide).columns(group.start, group.len());
                let turned = View::new(before, running, units).transposed();
                let by_group = &mut by_recurrent[group.start..];
                product_across(by_group, wide, turned, by_inner, true);
                // What the reset gate let through of its gradient is in there already, and goes by the last gate's mask.
                let through = self.kind == Kind::GruResetBefore && group.end == wide;
                let recurrent = recurrent.columns(group.start, group.len()).transposed();
                product(by_before, by_inner, recurrent, through);
                let Some(earlier) = step.checked_sub(1) else {
                    continue;
                };
                let mask = self.of_group(mask, &group);
                for (row, gradient) in by_before.chunks_exact_mut(units).enumerate() {
                    scale(gradient, mask, row);
                    let old = layout.position(earlier, row) * units;
                    add(&mut by_states[old..old + units], gradient);
                }
            }
        }
        for row in gates.chunks_exact(wide) {
            add(by_outer_bias, row);
        }
        let by_gates = View::new(gates, positions, wide);
        zeroed(by_kernel, self.inputs * wide);
        zeroed(pass.input_gradient, pass.input.len());
        let kernel = View::new(context.weight(0), self.inputs, wide);
        let [input_mask, dropped, ..] = &mut pass.saved.parts[0].values;
        for group in self.groups(input_mask) {
            let by_gates = by_gates.columns(group.start, group.len());
            dropped.clear();
            dropped.extend_from_slice(pass.input);
            self.drop_inputs(layout, input_mask, &group, dropped);
            let turned = View::new(dropped, positions, self.inputs).transposed();
            product_across(&mut by_kernel[group.start..], wide, turned, by_gates, false);
            let kernel = kernel.columns(group.start, group.len()).transposed();
            product(dropped, by_gates, kernel, false);
            self.drop_inputs(layout, input_mask, &group, dropped);
            add(pass.input_gradient, dropped);
        }
    }
}

impl General {
    fn wide(&self) -> usize {
        self.kind.gates() * self.units
    }

    /// The columns of the gates that read the same values: all, or each gate's where each has a mask of its own.
    fn groups<R>(&self, masks: &[R]) -> impl DoubleEndedIterator<Item = Range<usize>> + use<R> {
        let wide = self.wide();
        let each = if masks.is_empty() { wide } else { self.units };
        (0..wide / each).map(move |group| group * each..(group + 1) * each)
    }

    /// Their mask, of all rows.
    fn of_group<'a, R>(&self, masks: &'a [R], group: &Range<usize>) -> &'a [R] {
        let each = masks.len() / self.kind.gates();
        let gate = group.start / self.units;
        &masks[gate * each..(gate + 1) * each]
    }

    /// What a group reads of the inputs.
    fn drop_inputs<R: Real>(
        &self,
        layout: &Layout,
        masks: &[R],
        group: &Range<usize>,
        values: &mut [R],
    ) {
        let mask = self.of_group(masks, group);
        for step in 0..layout.steps() {
            let rows = values[layout.offsets[step] * self.inputs..].chunks_exact_mut(self.inputs);
            for (row, values) in rows.take(layout.running[step]).enumerate() {
                scale(values, mask, row);
            }
        }
    }

    /// Of a GRU that resets before its product: the gradients by what went into the third gates of a step's rows, alone in
    /// their place of `inner`.
    fn by_new_state<R: Real>(&self, gates: &[R], by_states: &[R], inner: &mut [R]) {
        let (units, wide) = (self.units, self.wide());
        inner.fill(R::ZERO);
        let rows = gates.chunks_exact(wide).zip(by_states.chunks_exact(units));
        for ((gates, gradient), inner) in rows.zip(inner.chunks_exact_mut(wide)) {
            for unit in 0..units {
                let [update, new] = [gates[unit], gates[2 * units + unit]];
                let by_new = gradient[unit] * (R::ONE - update);
                inner[2 * units + unit] = by_new * slope(self.activation, new);
            }
        }
    }

    /// The states that go into a step's products of a group: `[running, units]`.
    fn states_before<R: Real>(
        &self,
        layout: &Layout,
        step: usize,
        (states, masks): (&[R], &[R]),
        group: &Range<usize>,
        before: &mut [R],
    ) {
        let Some(earlier) = step.checked_sub(1) else {
            before.fill(R::ZERO);
            return;
        };
        let mask = self.of_group(masks, group);
        for (row, before) in before.chunks_exact_mut(self.units).enumerate() {
            let old = layout.position(earlier, row) * self.units;
            before.copy_from_slice(&states[old..old + self.units]);
            scale(before, mask, row);
        }
    }
}

/// Multiplies by a row's part of a mask, where there is one.
fn scale<R: Real>(values: &mut [R], mask: &[R], row: usize) {
    let len = values.len();
    if let Some(factors) = mask.get(row * len..(row + 1) * len) {
        let pairs = values.iter_mut().zip(factors);
        pairs.for_each(|(value, factor)| *value *= *factor);
    }
}

fn add<R: Real>(sums: &mut [R], values: &[R]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += *value;
    }
}
