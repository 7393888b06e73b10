//! `SimpleRNN` (Elman 1990), as Keras computes it.

use super::{BackwardRow, Cell, Forward};
use crate::train::real::Real;
use crate::train::vector::Vector;

/// Keras's `SimpleRNN` with its default activation.
pub struct SimpleRnn;

impl Cell for SimpleRnn {
    const GATES: usize = 1;
    const INNER_BIAS: bool = false;

    #[inline(always)]
    fn forward<V: Vector>(token: V::Token, row: Forward<'_, V::Item>) {
        let mut j = 0;
        while j < row.state.len() {
            let state = V::load(token, &row.gates[j..])
                .add(token, V::load(token, &row.inner[j..]))
                .add(token, V::load(token, &row.bias[j..]))
                .tanh(token);
            state.store(token, &mut row.state[j..]);
            j += V::LANES;
        }
    }

    #[inline(always)]
    fn backward<V: Vector>(token: V::Token, row: BackwardRow<'_, V::Item>) {
        let one = V::splat(token, V::Item::ONE);
        let mut j = 0;
        while j < row.state.len() {
            let state = V::load(token, &row.state[j..]);
            let by_state =
                V::load(token, &row.above[j..]).add(token, V::load(token, &row.after[j..]));
            by_state
                .mul(token, one.sub(token, state.mul(token, state)))
                .flushed(token)
                .store(token, &mut row.gates[j..]);
            j += V::LANES;
        }
    }
}
