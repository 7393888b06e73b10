//! `LSTM` (Hochreiter and Schmidhuber 1997; Gers et al. 2000), as Keras computes it, gates in the order i, f, c, o.
//!
//! One product makes all inputs' share of the gates, one small product a step adds the state's; the gradients by the
//! weights are one product each over all steps.

use std::ops::Range;

use super::{Backward, Context, Operation, Saved, sized, zeroed};
use crate::train::kernel::{Size, View, add_product, add_rows, product, transpose};
use crate::train::layout::Layout;
use crate::train::real::Real;
use crate::train::vector::{Kernel, Vector};

/// Positions that are computed together: their gates stay in the cache from one product to the next.
const CHUNK: usize = 256;

/// Keras's `LSTM` with its default activations.
pub struct Lstm {
    /// Features in.
    pub inputs: usize,
    /// The size of the state.
    pub units: usize,
    /// Every step's output, or each row's last.
    pub return_sequences: bool,
}

impl<R: Real> Operation<R> for Lstm {
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        saved: &mut Saved<R>,
        output: &mut Vec<R>,
    ) {
        let (layout, units) = (context.layout, self.units);
        let positions = layout.positions();
        let [gates, cells, squashed, hidden, _] = &mut saved.values;
        sized(gates, positions * 4 * units);
        for buffer in [&mut *cells, &mut *squashed, &mut *hidden] {
            sized(buffer, positions * units); // [positions, units]
        }
        let kernel = View::new(context.weight(0), self.inputs, 4 * units);
        for steps in layout.chunks(CHUNK) {
            let at = layout.offsets[steps.start]..layout.offsets[steps.end];
            product(
                &mut gates[4 * units * at.start..4 * units * at.end],
                View::new(
                    &input[self.inputs * at.start..self.inputs * at.end],
                    at.len(),
                    self.inputs,
                ),
                kernel,
                false,
            );
            R::vectorised(Steps {
                layout,
                steps,
                units,
                recurrent: context.weight(1), // [units, 4 units]
                bias: context.weight(2),
                gates,
                cells,
                squashed,
                hidden,
            });
        }
        output.clear();
        if self.return_sequences {
            output.extend_from_slice(hidden);
        } else {
            for rank in 0..layout.rows() {
                output.extend_from_slice(&hidden[layout.last(rank) * units..][..units]);
            }
        }
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        let (layout, units) = (context.layout, self.units);
        let positions = layout.positions();
        let [gates, cells, squashed, hidden, scratch] = &mut pass.saved.values;
        let spread;
        let from_above: &[R] = if self.return_sequences {
            pass.output_gradient
        } else {
            let mut all = std::mem::take(pass.input_gradient);
            zeroed(&mut all, positions * units);
            for (rank, gradient) in pass.output_gradient.chunks_exact(units).enumerate() {
                all[layout.last(rank) * units..][..units].copy_from_slice(gradient);
            }
            spread = all;
            &spread
        };
        let (turned, shifted) = split(scratch, 4 * units * units, layout.longest(CHUNK) * units);
        transpose(context.weight(1), units, 4 * units, turned); // [4 units, units]
        let state = &mut vec![R::ZERO; layout.rows() * units];
        let cell = &mut vec![R::ZERO; layout.rows() * units];
        let [by_kernel, by_recurrent, by_bias] = pass.weight_gradients else {
            unreachable!("an lstm has three weights")
        };
        zeroed(by_kernel, self.inputs * 4 * units);
        zeroed(by_recurrent, units * 4 * units);
        zeroed(by_bias, 4 * units);
        sized(pass.input_gradient, pass.input.len());
        let kernel = View::new(context.weight(0), self.inputs, 4 * units);
        for steps in layout.chunks(CHUNK).rev() {
            R::vectorised(StepsBack {
                layout,
                steps: steps.clone(),
                units,
                recurrent: turned,
                from_above,
                gates,
                cells,
                squashed,
                state,
                cell,
                bias: by_bias,
            });
            // From here these steps of `gates` hold the gradient by the gates' inputs.
            let at = layout.offsets[steps.start]..layout.offsets[steps.end];
            let inputs = self.inputs * at.start..self.inputs * at.end;
            let gradient = View::new(
                &gates[4 * units * at.start..4 * units * at.end],
                at.len(),
                4 * units,
            );
            let input = View::new(&pass.input[inputs.clone()], at.len(), self.inputs);
            product(by_kernel, input.transposed(), gradient, true);
            product(
                &mut pass.input_gradient[inputs],
                gradient,
                kernel.transposed(),
                false,
            );
            let later = steps.start.max(1)..steps.end;
            let from = layout.offsets[later.start.min(later.end)];
            let count = at.end - from;
            if count > 0 {
                let before = before(layout, later, hidden, units, shifted);
                let gradient = View::new(
                    &gates[4 * units * from..4 * units * at.end],
                    count,
                    4 * units,
                );
                let before = View::new(&before[..count * units], count, units);
                product(by_recurrent, before.transposed(), gradient, true);
            }
        }
    }
}

/// The state before each position of `steps`, of which none is the first.
fn before<'a, R: Real>(
    layout: &Layout,
    steps: Range<usize>,
    hidden: &'a [R],
    units: usize,
    shifted: &'a mut [R],
) -> &'a [R] {
    let first = layout.offsets[steps.start - 1] * units;
    if layout.running[steps.start - 1] == layout.running[steps.end - 1] {
        return &hidden[first..];
    }
    let mut end = 0;
    for step in steps {
        let before = layout.offsets[step - 1] * units;
        let size = layout.running[step] * units;
        shifted[end..end + size].copy_from_slice(&hidden[before..before + size]);
        end += size;
    }
    shifted
}

/// Two buffers of one.
fn split<R: Real>(buffer: &mut Vec<R>, first: usize, second: usize) -> (&mut [R], &mut [R]) {
    sized(buffer, first + second);
    buffer.split_at_mut(first)
}

/// Some steps forward; positions as in [`Layout`].
struct Steps<'a, R> {
    layout: &'a Layout,
    steps: Range<usize>,
    units: usize,
    /// `[units, 4 units]`.
    recurrent: &'a [R],
    /// `[4 units]`.
    bias: &'a [R],
    /// `[positions, 4 units]`: in, the inputs' share before activation, without the bias; out, the activated gates.
    gates: &'a mut [R],
    cells: &'a mut [R],
    /// tanh of the cells.
    squashed: &'a mut [R],
    hidden: &'a mut [R],
}

impl<R: Real> Kernel<R> for Steps<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = R>>(self, token: V::Token) {
        let Self { layout, units, .. } = self;
        let (bias_i, rest) = self.bias.split_at(units);
        let (bias_f, rest) = rest.split_at(units);
        let (bias_g, bias_o) = rest.split_at(units);
        let sum = |gate: &[R], bias: &[R], j: usize| {
            V::load(token, &gate[j..]).add(token, V::load(token, &bias[j..]))
        };
        for step in self.steps {
            let (first, running) = (layout.offsets[step], layout.running[step]);
            let range = first * units..(first + running) * units;
            let gates = &mut self.gates[4 * range.start..4 * range.end];
            let (old_hidden, hidden) = self.hidden.split_at_mut(range.start);
            let (old_cells, cells) = self.cells.split_at_mut(range.start);
            let before = step.checked_sub(1).map(|step| layout.offsets[step] * units);
            if let Some(before) = before {
                let size = Size {
                    rows: running,
                    k: units,
                    n: 4 * units,
                };
                add_product::<V>(
                    token,
                    gates,
                    &old_hidden[before..before + running * units],
                    self.recurrent,
                    size,
                );
            }
            let squashed = &mut self.squashed[range];
            for row in 0..running {
                let range = row * units..(row + 1) * units;
                let gates = &mut gates[4 * range.start..4 * range.end];
                let (i, rest) = gates.split_at_mut(units);
                let (f, rest) = rest.split_at_mut(units);
                let (g, o) = rest.split_at_mut(units);
                let old = before.map(|before| &old_cells[before + range.start..before + range.end]);
                let cells = &mut cells[range.clone()];
                let hidden = &mut hidden[range.clone()];
                let squashed = &mut squashed[range];
                let mut j = 0;
                while j < units {
                    let in_gate = sum(i, bias_i, j).sigmoid(token);
                    let forget = sum(f, bias_f, j).sigmoid(token);
                    let new = sum(g, bias_g, j).tanh(token);
                    let out = sum(o, bias_o, j).sigmoid(token);
                    let cell = in_gate.mul(token, new);
                    let cell = match old {
                        Some(old) => forget.mul_add(token, V::load(token, &old[j..]), cell),
                        None => cell,
                    };
                    let squash = cell.tanh(token);
                    in_gate.store(token, &mut i[j..]);
                    forget.store(token, &mut f[j..]);
                    new.store(token, &mut g[j..]);
                    out.store(token, &mut o[j..]);
                    cell.store(token, &mut cells[j..]);
                    squash.store(token, &mut squashed[j..]);
                    out.mul(token, squash).store(token, &mut hidden[j..]);
                    j += V::LANES;
                }
            }
        }
    }
}

/// Some steps backward, last first; turns the gates into the gradients by what went into them.
struct StepsBack<'a, R> {
    layout: &'a Layout,
    steps: Range<usize>,
    units: usize,
    /// The recurrent kernel, transposed: `[4 units, units]`.
    recurrent: &'a [R],
    /// The gradient by every step's state from the layer above, `[positions, units]`.
    from_above: &'a [R],
    gates: &'a mut [R],
    cells: &'a [R],
    squashed: &'a [R],
    /// The gradients from the step after, by state and by cell, `[rows, units]`; zero at the start.
    state: &'a mut [R],
    cell: &'a mut [R],
    /// The sum of the gradients by what went into the gates, `[4 units]`.
    bias: &'a mut [R],
}

impl<R: Real> Kernel<R> for StepsBack<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = R>>(self, token: V::Token) {
        let Self { layout, units, .. } = self;
        let one = V::splat(token, R::ONE);
        for step in self.steps.rev() {
            let (first, running) = (layout.offsets[step], layout.running[step]);
            let before = step.checked_sub(1).map(|step| layout.offsets[step] * units);
            for row in 0..running {
                let at = (first + row) * units..(first + row + 1) * units;
                let gates = &mut self.gates[4 * at.start..4 * at.end];
                let (i, rest) = gates.split_at_mut(units);
                let (f, rest) = rest.split_at_mut(units);
                let (g, o) = rest.split_at_mut(units);
                let squashed = &self.squashed[at.clone()];
                let above = &self.from_above[at];
                let range = row * units..(row + 1) * units;
                let old =
                    before.map(|before| &self.cells[before + range.start..before + range.end]);
                let state = &self.state[range.clone()];
                let cell = &mut self.cell[range];
                let mut j = 0;
                while j < units {
                    let [in_gate, forget, new, out] =
                        [&*i, &*f, &*g, &*o].map(|gate| V::load(token, &gate[j..]));
                    let squash = V::load(token, &squashed[j..]);
                    let dh = V::load(token, &above[j..]).add(token, V::load(token, &state[j..]));
                    let slope = one.sub(token, squash.mul(token, squash));
                    let dc = slope.mul_add(token, dh.mul(token, out), V::load(token, &cell[j..]));
                    let by_logistic = |by_gate: V, gate: V| {
                        by_gate
                            .mul(token, gate)
                            .mul(token, one.sub(token, gate))
                            .flushed(token)
                    };
                    let by_new = dc
                        .mul(token, in_gate)
                        .mul(token, one.sub(token, new.mul(token, new)));
                    by_logistic(dc.mul(token, new), in_gate).store(token, &mut i[j..]);
                    match old {
                        Some(old) => {
                            let old = V::load(token, &old[j..]);
                            by_logistic(dc.mul(token, old), forget).store(token, &mut f[j..]);
                        }
                        None => V::splat(token, R::ZERO).store(token, &mut f[j..]),
                    }
                    by_new.flushed(token).store(token, &mut g[j..]);
                    by_logistic(dh.mul(token, squash), out).store(token, &mut o[j..]);
                    dc.mul(token, forget)
                        .flushed(token)
                        .store(token, &mut cell[j..]);
                    j += V::LANES;
                }
            }
            let gates = &self.gates[4 * first * units..4 * (first + running) * units];
            add_rows::<V>(token, self.bias, gates);
            if before.is_some() {
                let state = &mut self.state[..running * units];
                state.fill(R::ZERO);
                let size = Size {
                    rows: running,
                    k: 4 * units,
                    n: units,
                };
                add_product::<V>(token, state, gates, self.recurrent, size);
            }
        }
    }
}
