//! The steps of one direction forward.

use super::{Cell, Forward, Recurrent};
use crate::train::kernel::{Left, Size, multiply, pack};
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
    /// Of the recurrent dropout, `[rows, units]`, or nothing.
    pub mask: &'a [R],
    pub input: &'a [R],
    /// `[positions, gates units]`.
    pub gates: &'a mut [R],
    pub states: &'a mut [R],
    pub kept: [&'a mut [R]; 2],
    /// Scratch for a step: the recurrent product and the states that go into it.
    pub inner: &'a mut [R],
    pub dropped: &'a mut [R],
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
