//! The arithmetic of one row at one step.

use super::{General, Kind};
use crate::train::layers::activation::{apply, slope};
use crate::train::real::Real;

/// Forward.
pub(super) struct Row<'a, R> {
    /// The row's position.
    pub at: usize,
    /// Its position at the step before.
    pub old: Option<usize>,
    /// In, the inputs' share; out, the activated gates.
    pub gates: &'a mut [R],
    /// The state's share.
    pub inner: &'a [R],
    /// All positions' states.
    pub states: &'a mut [R],
    /// All positions' cells, or the state's share of a GRU's third gate.
    pub kept: &'a mut [R],
}

impl<R: Real> Row<'_, R> {
    /// Activates the gates and writes the state.
    pub fn forward(self, layer: &General) {
        let units = layer.units;
        let Self {
            at,
            old,
            gates,
            inner,
            states,
            kept,
        } = self;
        let gate = |x: R| apply(layer.recurrent_activation, x);
        let squash = |x: R| apply(layer.activation, x);
        for unit in 0..units {
            let here = at * units + unit;
            let before = |values: &[R]| old.map_or(R::ZERO, |old| values[old * units + unit]);
            let [one, two, three] = [unit, units + unit, 2 * units + unit];
            match layer.kind {
                Kind::Lstm => {
                    let four = 3 * units + unit;
                    for at in [one, two, four] {
                        gates[at] = gate(gates[at] + inner[at]);
                    }
                    gates[three] = squash(gates[three] + inner[three]);
                    let cell = gates[two] * before(kept) + gates[one] * gates[three];
                    kept[here] = cell;
                    states[here] = gates[four] * squash(cell);
                }
                Kind::GruResetAfter | Kind::GruResetBefore => {
                    let product = if layer.kind == Kind::GruResetAfter {
                        for at in [one, two] {
                            gates[at] = gate(gates[at] + inner[at]);
                        }
                        gates[two] * inner[three]
                    } else {
                        inner[three]
                    };
                    kept[here] = inner[three];
                    gates[three] = squash(gates[three] + product);
                    let update = gates[one];
                    states[here] = update * before(states) + (R::ONE - update) * gates[three];
                }
                Kind::SimpleRnn => {
                    gates[one] = squash(gates[one] + inner[one]);
                    states[here] = gates[one];
                }
            }
        }
    }
}

/// Backward.
pub(super) struct RowBack<'a, R> {
    /// The row's position.
    pub at: usize,
    /// Its position at the step before.
    pub old: Option<usize>,
    /// In, the activated gates; out, the gradients by what went into them.
    pub gates: &'a mut [R],
    /// Out, the gradients by the state's share.
    pub inner: &'a mut [R],
    /// All positions' states.
    pub states: &'a [R],
    /// What forward kept.
    pub kept: &'a [R],
    /// The gradients by all states.
    pub by_states: &'a mut [R],
    /// The gradients by all cells.
    pub by_cells: &'a mut [R],
    /// Of a GRU that resets before its product: in, the gradient by the state that the reset gate let through; out, by the
    /// state before that.
    pub by_reset: &'a mut [R],
    /// The state as it went into the products.
    pub before: &'a [R],
}

impl<R: Real> RowBack<'_, R> {
    /// Turns the gates into gradients and hands on what the step before gets past the products.
    pub fn backward(self, layer: &General) {
        let units = layer.units;
        let Self {
            gates, inner, old, ..
        } = self;
        let by_gate =
            |gradient: R, y: R| (gradient * slope(layer.recurrent_activation, y)).flushed();
        let by_new = |gradient: R, y: R| (gradient * slope(layer.activation, y)).flushed();
        for unit in 0..units {
            let here = self.at * units + unit;
            let before = |values: &[R]| old.map_or(R::ZERO, |old| values[old * units + unit]);
            let [one, two, three] = [unit, units + unit, 2 * units + unit];
            let gradient = self.by_states[here];
            match layer.kind {
                Kind::Lstm => {
                    let four = 3 * units + unit;
                    let squashed = apply(layer.activation, self.kept[here]);
                    let by_cell = self.by_cells[here]
                        + gradient * gates[four] * slope(layer.activation, squashed);
                    if let Some(old) = old {
                        self.by_cells[old * units + unit] += (by_cell * gates[two]).flushed();
                    }
                    let [input, new] = [gates[one], gates[three]];
                    gates[one] = by_gate(by_cell * new, input);
                    gates[two] = by_gate(by_cell * before(self.kept), gates[two]);
                    gates[three] = by_new(by_cell * input, new);
                    gates[four] = by_gate(gradient * squashed, gates[four]);
                    for gate in [one, two, three, four] {
                        inner[gate] = gates[gate];
                    }
                }
                Kind::GruResetAfter | Kind::GruResetBefore => {
                    let [update, reset, new] = [gates[one], gates[two], gates[three]];
                    if let Some(old) = old {
                        self.by_states[old * units + unit] += (gradient * update).flushed();
                    }
                    gates[one] = by_gate(gradient * (before(self.states) - new), update);
                    gates[three] = by_new(gradient * (R::ONE - update), new);
                    if layer.kind == Kind::GruResetAfter {
                        gates[two] = by_gate(gates[three] * self.kept[here], reset);
                        inner[three] = gates[three] * reset;
                    } else {
                        let through = self.by_reset[unit];
                        gates[two] = by_gate(through * self.before[unit], reset);
                        self.by_reset[unit] = through * reset;
                        inner[three] = R::ZERO;
                    }
                    inner[one] = gates[one];
                    inner[two] = gates[two];
                }
                Kind::SimpleRnn => {
                    gates[one] = by_new(gradient, gates[one]);
                    inner[one] = gates[one];
                }
            }
        }
    }
}
