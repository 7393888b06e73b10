//! The steps of one direction forward.

use super::by_gate::{Masked, pack_gates};
use super::{Cell, Forward, INPUT_MASKS, Recurrent};
use crate::train::kernel::{Left, Size, multiply, pack};
use crate::train::layers::Saved;
use crate::train::layout::Layout;
use crate::train::real::Real;
use crate::train::vector::{Kernel, Vector};

/// All steps forward; positions as in [`Layout`].
pub(super) struct Steps<'a, C, R> {
    pub layer: &'a Recurrent<C>,
    pub layout: &'a Layout,
    /// Kernel, recurrent kernel and bias.
    pub weights: [&'a [R]; 3],
    /// The kernels as products read them.
    pub kernel: &'a mut Vec<R>,
    pub recurrent: &'a mut Vec<R>,
    /// Of the recurrent dropout, `[gates, rows, units]`, or nothing.
    pub mask: &'a [R],
    /// The inputs' masks, `[gates, rows, inputs]`, or nothing, and scratch where each gate has a mask of its own.
    pub by_gate: &'a mut Saved<R>,
    pub input: &'a [R],
    /// `[positions, gates units]`.
    pub gates: &'a mut [R],
    pub states: &'a mut [R],
    pub kept: [&'a mut [R]; 2],
    /// Scratch for a step: the recurrent product.
    pub inner: &'a mut [R],
}

impl<C: Cell, R: Real> Kernel<R> for Steps<'_, C, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = R>>(mut self, token: V::Token) {
        let Recurrent { inputs, units, .. } = *self.layer;
        let wide = C::GATES * units;
        let [kernel, recurrent, _] = self.weights;
        let inputs_by_gate = std::mem::take(&mut self.by_gate.values[INPUT_MASKS]);
        match inputs_by_gate.is_empty() {
            true => pack::<V>(kernel, (inputs, wide), false, self.kernel),
            false => {
                let size = (inputs, units, C::GATES);
                pack_gates::<V>(kernel, size, false, self.kernel, self.by_gate);
            }
        }
        match self.mask.is_empty() {
            true => pack::<V>(recurrent, (units, wide), false, self.recurrent),
            false => {
                let size = (units, units, C::GATES);
                pack_gates::<V>(recurrent, size, false, self.recurrent, self.by_gate);
            }
        }
        let layout = self.layout;
        for steps in &layout.chunks {
            let at = layout.offsets[steps.start]..layout.offsets[steps.end];
            let size = Size {
                rows: at.len(),
                k: inputs,
                n: wide,
            };
            let input = &self.input[inputs * at.start..inputs * at.end];
            let gates = &mut self.gates[wide * at.start..wide * at.end];
            if inputs_by_gate.is_empty() {
                multiply::<V>(token, gates, Left::Rows(input), self.kernel, size, false);
            } else {
                let masked = Masked {
                    values: input,
                    masks: &inputs_by_gate,
                    features: inputs,
                    gates: C::GATES,
                    units,
                    running: &layout.running[steps.clone()],
                };
                masked.products::<V>(token, gates, self.kernel, self.by_gate);
            }
            for step in steps.clone() {
                self.multiply_states::<V>(token, step);
                self.step::<V>(token, step);
            }
        }
        self.by_gate.values[INPUT_MASKS] = inputs_by_gate;
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
        let states = &self.states[layout.offsets[before] * units..][..rows * units];
        if !self.mask.is_empty() {
            let masked = Masked {
                values: states,
                masks: self.mask,
                features: units,
                gates: C::GATES,
                units,
                running: &[rows],
            };
            masked.products::<V>(token, self.inner, self.recurrent, self.by_gate);
            return;
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
