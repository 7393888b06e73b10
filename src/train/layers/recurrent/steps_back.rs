//! The steps of one direction backward.

use std::ops::Range;

use super::by_gate::{Masked, pack_gates};
use super::{BackwardRow, Cell, INPUT_MASKS, Recurrent};
use crate::train::kernel::{Left, Size, add_rows, multiply, pack};
use crate::train::layers::Saved;
use crate::train::layout::Layout;
use crate::train::real::Real;
use crate::train::vector::{Kernel, Vector};

/// All steps backward, last first; turns the gates into the gradients by what went into them.
pub(super) struct StepsBack<'a, C, R> {
    pub layer: &'a Recurrent<C>,
    pub layout: &'a Layout,
    /// Kernel and recurrent kernel.
    pub weights: [&'a [R]; 2],
    /// As products read them: the two kernels turned, and a chunk's gradients.
    pub packed: &'a mut [Vec<R>; 3],
    /// As forward.
    pub mask: &'a [R],
    pub by_gate: &'a mut Saved<R>,
    pub input: &'a [R],
    /// The gradient by every step's state from the layer above, `[positions, units]`.
    pub from_above: &'a [R],
    pub gates: &'a mut [R],
    pub states: &'a [R],
    pub kept: [&'a [R]; 2],
    /// Scratch for the states before a chunk's steps.
    pub shifted: &'a mut [R],
    /// The gradients by the states' share, where they are others, `[chunk's positions, gates units]`.
    pub inner: &'a mut [R],
    /// The gradients from the step after, through its product and past it, `[rows, units]`; zero at the start.
    pub after: &'a mut [R],
    pub carried: &'a mut [R],
    pub by_input: &'a mut [R],
    pub by_kernel: &'a mut [R],
    pub by_recurrent: &'a mut [R],
    pub by_bias: &'a mut [R],
}

impl<C: Cell, R: Real> Kernel<R> for StepsBack<'_, C, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = R>>(mut self, token: V::Token) {
        let Recurrent { inputs, units, .. } = *self.layer;
        let wide = C::GATES * units;
        let [kernel, recurrent] = self.weights;
        match self.by_gate.values[INPUT_MASKS].is_empty() {
            true => pack::<V>(kernel, (wide, inputs), true, &mut self.packed[0]),
            false => {
                let size = (inputs, units, C::GATES);
                pack_gates::<V>(kernel, size, true, &mut self.packed[0], self.by_gate);
            }
        }
        match self.mask.is_empty() {
            true => pack::<V>(recurrent, (wide, units), true, &mut self.packed[1]),
            false => {
                let size = (units, units, C::GATES);
                pack_gates::<V>(recurrent, size, true, &mut self.packed[1], self.by_gate);
            }
        }
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
        if !self.mask.is_empty() {
            let masked = Masked {
                values: &[],
                masks: self.mask,
                features: units,
                gates: C::GATES,
                units,
                running: &[running],
            };
            masked.by_values::<V>(token, self.after, by_states, &self.packed[1], self.by_gate);
            return;
        }
        let by_states = Left::Rows(by_states);
        multiply::<V>(token, self.after, by_states, &self.packed[1], size, false);
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
        let masks = std::mem::take(&mut self.by_gate.values[INPUT_MASKS]);
        if masks.is_empty() {
            multiply::<V>(token, by_input, Left::Rows(by_inputs), turned, size, false);
            pack::<V>(by_inputs, (at.len(), wide), false, packed);
            let size = Size {
                rows: inputs,
                k: at.len(),
                n: wide,
            };
            let input = Left::Columns(&self.input[input]);
            multiply::<V>(token, self.by_kernel, input, packed, size, true);
        } else {
            let masked = Masked {
                values: &self.input[input],
                masks: &masks,
                features: inputs,
                gates: C::GATES,
                units,
                running: &layout.running[steps.clone()],
            };
            masked.by_values::<V>(token, by_input, by_inputs, turned, self.by_gate);
            masked.by_kernel::<V>(token, self.by_kernel, by_inputs, self.by_gate);
        }
        self.by_gate.values[INPUT_MASKS] = masks;
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
        let before = Before {
            layout,
            steps: later.clone(),
            units,
            states: self.states,
        };
        let states = &before.states(self.shifted)[..count * units];
        if !self.mask.is_empty() {
            let masked = Masked {
                values: states,
                masks: self.mask,
                features: units,
                gates: C::GATES,
                units,
                running: &layout.running[later],
            };
            let gradients = &by_states[skipped * wide..];
            masked.by_kernel::<V>(token, self.by_recurrent, gradients, self.by_gate);
            return;
        }
        if C::INNER_BIAS || skipped > 0 {
            let gradients = &by_states[skipped * wide..];
            pack::<V>(gradients, (count, wide), false, packed);
        }
        let size = Size {
            rows: units,
            k: count,
            n: wide,
        };
        let states = Left::Columns(states);
        multiply::<V>(token, self.by_recurrent, states, packed, size, true);
    }
}

/// The states that went into the recurrent products of some steps, of which none is the first.
struct Before<'a, R> {
    layout: &'a Layout,
    steps: Range<usize>,
    units: usize,
    states: &'a [R],
}

impl<'a, R: Real> Before<'a, R> {
    /// As they lie in memory where each step's are, else gathered.
    fn states(self, gathered: &'a mut [R]) -> &'a [R] {
        let Self { layout, units, .. } = self;
        let earlier = self.steps.start - 1..self.steps.end;
        let running = &layout.running[earlier];
        if running.iter().all(|count| *count == running[0]) {
            return &self.states[layout.offsets[self.steps.start - 1] * units..];
        }
        let mut places = gathered.chunks_exact_mut(units);
        for step in self.steps {
            let old = layout.running[step - 1];
            for (rank, place) in places.by_ref().take(layout.running[step]).enumerate() {
                let position = layout.offsets[step - 1] + rank.min(old - 1);
                place.copy_from_slice(&self.states[position * units..][..units]);
            }
        }
        gathered
    }
}
