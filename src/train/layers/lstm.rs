//! `LSTM` (Hochreiter and Schmidhuber 1997; Gers et al. 2000), as Keras computes it, gates in the order i, f, c, o.
//!
//! One product makes all inputs' share of the gates, one small product a step adds the state's; the gradients by the
//! weights are one product each over all steps.

use super::{Backward, Context, Operation, Saved, zeroed};
use crate::train::kernel::{Size, View, add_product, add_rows, product, transpose};
use crate::train::layout::Layout;
use crate::train::real::Real;
use crate::train::vector::{Kernel, Vector};

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
        gates.clear();
        for _ in 0..positions {
            gates.extend_from_slice(context.weight(2)); // [positions, 4 units]
        }
        let kernel = View::new(context.weight(0), self.inputs, 4 * units);
        product(
            gates,
            View::new(input, positions, self.inputs),
            kernel,
            true,
        );
        for buffer in [&mut *cells, &mut *squashed, &mut *hidden] {
            zeroed(buffer, positions * units); // [positions, units]
        }
        let recurrent = context.weight(1); // [units, 4 units]
        R::vectorised(Steps {
            layout,
            units,
            recurrent,
            gates,
            cells,
            squashed,
            hidden,
        });
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
        transpose(context.weight(1), units, 4 * units, scratch); // [4 units, units]
        let state = &mut vec![R::ZERO; layout.rows() * units];
        let cell = &mut vec![R::ZERO; layout.rows() * units];
        R::vectorised(StepsBack {
            layout,
            units,
            recurrent: scratch,
            from_above,
            gates,
            cells,
            squashed,
            state,
            cell,
        });
        // From here `gates` holds the gradient by the gates' inputs.
        let gradient = View::new(gates, positions, 4 * units);
        let [kernel, recurrent, bias] = pass.weight_gradients else {
            unreachable!("an lstm has three weights")
        };
        zeroed(kernel, self.inputs * 4 * units);
        product(
            kernel,
            View::new(pass.input, positions, self.inputs).transposed(),
            gradient,
            false,
        );
        zeroed(bias, 4 * units);
        add_rows(bias, gates);
        zeroed(recurrent, units * 4 * units);
        let later = positions - layout.rows();
        if later > 0 {
            // The state before each step but the first, at that step's position.
            scratch.clear();
            for step in 1..layout.steps() {
                let before = layout.offsets[step - 1] * units;
                scratch.extend_from_slice(&hidden[before..before + layout.running[step] * units]);
            }
            let gradient = View::new(&gates[layout.rows() * 4 * units..], later, 4 * units);
            product(
                recurrent,
                View::new(scratch, later, units).transposed(),
                gradient,
                false,
            );
        }
        zeroed(pass.input_gradient, pass.input.len());
        let kernel = View::new(context.weight(0), self.inputs, 4 * units);
        product(pass.input_gradient, gradient, kernel.transposed(), false);
    }
}

/// All steps forward; positions as in [`Layout`].
struct Steps<'a, R> {
    layout: &'a Layout,
    units: usize,
    /// `[units, 4 units]`.
    recurrent: &'a [R],
    /// `[positions, 4 units]`: in, the inputs' share before activation; out, the activated gates.
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
        for step in 0..layout.steps() {
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
                    let in_gate = V::load(token, &i[j..]).sigmoid(token);
                    let forget = V::load(token, &f[j..]).sigmoid(token);
                    let new = V::load(token, &g[j..]).tanh(token);
                    let out = V::load(token, &o[j..]).sigmoid(token);
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

/// All steps backward; turns the gates into the gradients by what went into them.
struct StepsBack<'a, R> {
    layout: &'a Layout,
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
}

impl<R: Real> Kernel<R> for StepsBack<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = R>>(self, token: V::Token) {
        let Self { layout, units, .. } = self;
        let one = V::splat(token, R::ONE);
        for step in (0..layout.steps()).rev() {
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
            if before.is_some() {
                let state = &mut self.state[..running * units];
                state.fill(R::ZERO);
                let gates = &self.gates[4 * first * units..4 * (first + running) * units];
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
