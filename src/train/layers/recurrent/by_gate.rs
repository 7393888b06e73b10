//! Products in which each gate reads values of its own: what its mask leaves of them. That is how Keras drops inside of an LSTM or
//! GRU as soon as something of the state is dropped; one mask for all gates needs none of this.

use rand_chacha::ChaCha8Rng;

use super::super::dropout::draw_mask;
use super::super::{Saved, sized};
use crate::train::kernel::{Left, Size, multiply, pack};
use crate::train::real::Real;
use crate::train::vector::Vector;

/// Values as they went into the products of a run of steps, `[positions, features]`, and what is dropped of them. A step's
/// positions are those of the first rows.
#[derive(Clone, Copy)]
pub(super) struct Masked<'a, R> {
    pub values: &'a [R],
    /// `[gates, rows, features]`, the same at every step.
    pub masks: &'a [R],
    pub features: usize,
    pub gates: usize,
    pub units: usize,
    /// The positions of each step.
    pub running: &'a [usize],
}

/// The masks of a layer, of states and of inputs; nothing where nothing is dropped or the layer does not train.
pub(super) fn draw<R: Real>(
    noise: Option<&mut ChaCha8Rng>,
    [states, inputs]: [(f64, usize); 2],
    [of_states, of_inputs]: [&mut Vec<R>; 2],
) {
    of_states.clear();
    of_inputs.clear();
    let Some(noise) = noise else {
        return;
    };
    for ((rate, count), mask) in [(states, of_states), (inputs, of_inputs)] {
        if rate > 0.0 {
            draw_mask(noise, rate, count, mask);
        }
    }
}

impl<R: Real> Masked<'_, R> {
    fn mask(&self, gate: usize) -> &[R] {
        let each = self.masks.len() / self.gates;
        &self.masks[gate * each..(gate + 1) * each]
    }

    /// What a gate reads.
    #[inline(always)]
    fn of_gate(&self, gate: usize, to: &mut Vec<R>) {
        to.clear();
        to.extend_from_slice(self.values);
        self.multiply(gate, to);
    }

    #[inline(always)]
    fn multiply(&self, gate: usize, values: &mut [R]) {
        let mask = self.mask(gate);
        let mut rest = values;
        for &count in self.running {
            let (step, after) = rest.split_at_mut(count * self.features);
            for (value, factor) in step.iter_mut().zip(mask) {
                *value *= *factor;
            }
            rest = after;
        }
    }

    fn positions(&self) -> usize {
        self.running.iter().sum()
    }

    /// `out` `[positions, gates units]` of the packed gates of a kernel.
    #[inline(always)]
    pub fn products<V: Vector<Item = R>>(
        self,
        token: V::Token,
        out: &mut [R],
        packed: &[R],
        scratch: &mut Saved<R>,
    ) {
        let [_, values, products, ..] = &mut scratch.values;
        let size = Size {
            rows: self.positions(),
            k: self.features,
            n: self.units,
        };
        sized(products, size.rows * size.n);
        let kernels = packed.chunks_exact(packed.len() / self.gates);
        for (gate, kernel) in kernels.enumerate() {
            self.of_gate(gate, values);
            multiply::<V>(token, products, Left::Rows(values), kernel, size, false);
            let rows = out.chunks_exact_mut(self.gates * self.units);
            for (row, product) in rows.zip(products.chunks_exact(self.units)) {
                row[gate * self.units..][..self.units].copy_from_slice(product);
            }
        }
    }

    /// `out` `[positions, features]`: the gradient by the values, from that by the gates and the packed gates of a kernel turned.
    #[inline(always)]
    pub fn by_values<V: Vector<Item = R>>(
        self,
        token: V::Token,
        out: &mut [R],
        by_gates: &[R],
        packed: &[R],
        scratch: &mut Saved<R>,
    ) {
        let [_, products, by_gate, ..] = &mut scratch.values;
        let size = Size {
            rows: self.positions(),
            k: self.units,
            n: self.features,
        };
        sized(products, size.rows * size.n);
        out[..size.rows * size.n].fill(R::ZERO);
        let kernels = packed.chunks_exact(packed.len() / self.gates);
        for (gate, kernel) in kernels.enumerate() {
            self.take(by_gates, gate, by_gate);
            multiply::<V>(token, products, Left::Rows(by_gate), kernel, size, false);
            self.multiply(gate, products);
            for (sum, value) in out.iter_mut().zip(&*products) {
                *sum += *value;
            }
        }
    }

    /// Adds to `out` `[features, gates units]` the gradient by a kernel.
    #[inline(always)]
    pub fn by_kernel<V: Vector<Item = R>>(
        self,
        token: V::Token,
        out: &mut [R],
        by_gates: &[R],
        scratch: &mut Saved<R>,
    ) {
        let Saved { values, packed, .. } = scratch;
        let [_, values, products, by_gate, ..] = values;
        let size = Size {
            rows: self.features,
            k: self.positions(),
            n: self.units,
        };
        sized(products, size.rows * size.n);
        for gate in 0..self.gates {
            self.of_gate(gate, values);
            self.take(by_gates, gate, by_gate);
            pack::<V>(by_gate, (size.k, size.n), false, &mut packed[0]);
            multiply::<V>(
                token,
                products,
                Left::Columns(values),
                &packed[0],
                size,
                false,
            );
            let rows = out.chunks_exact_mut(self.gates * self.units);
            for (row, product) in rows.zip(products.chunks_exact(self.units)) {
                let sums = &mut row[gate * self.units..][..self.units];
                for (sum, value) in sums.iter_mut().zip(product) {
                    *sum += *value;
                }
            }
        }
    }

    /// A gate's part of the gradients by all.
    #[inline(always)]
    fn take(&self, by_gates: &[R], gate: usize, to: &mut Vec<R>) {
        to.clear();
        let rows = by_gates.chunks_exact(self.gates * self.units);
        for row in rows.take(self.positions()) {
            to.extend_from_slice(&row[gate * self.units..][..self.units]);
        }
    }
}

/// The gates of a kernel `[k, gates units]`, each packed by itself, or each turned.
#[inline(always)]
pub(super) fn pack_gates<V: Vector>(
    kernel: &[V::Item],
    (k, units, gates): (usize, usize, usize),
    turned: bool,
    all: &mut Vec<V::Item>,
    scratch: &mut Saved<V::Item>,
) {
    let Saved { values, packed, .. } = scratch;
    let [_, block, ..] = values;
    all.clear();
    for gate in 0..gates {
        block.clear();
        for row in kernel.chunks_exact(gates * units) {
            block.extend_from_slice(&row[gate * units..][..units]);
        }
        let size = if turned { (units, k) } else { (k, units) };
        pack::<V>(block, size, turned, &mut packed[0]);
        all.extend_from_slice(&packed[0]);
    }
}
