//! `GRU` (Cho et al. 2014) with `reset_after`, as Keras computes it, gates in the order z, r, h.

use super::{BackwardRow, Cell, Forward};
use crate::train::real::Real;
use crate::train::vector::Vector;

/// Keras's `GRU` with its default activations: the reset gate acts on the recurrent product, which is kept.
pub struct Gru;

impl Cell for Gru {
    const GATES: usize = 3;
    const INNER_BIAS: bool = true;

    #[inline(always)]
    fn forward<V: Vector>(token: V::Token, row: Forward<'_, V::Item>) {
        let units = row.state.len();
        let one = V::splat(token, V::Item::ONE);
        let [z, r, h] = thirds_mut(row.gates);
        let [inner_z, inner_r, inner_h] = thirds(row.inner);
        let (bias, inner_bias) = row.bias.split_at(3 * units);
        let [bias_z, bias_r, bias_h] = thirds(bias);
        let [inner_bias_z, inner_bias_r, inner_bias_h] = thirds(inner_bias);
        let [product, _] = row.kept;
        let sum = |a: &[V::Item], b: &[V::Item], j: usize| {
            V::load(token, &a[j..]).add(token, V::load(token, &b[j..]))
        };
        let mut j = 0;
        while j < units {
            let update = sum(z, bias_z, j)
                .add(token, sum(inner_z, inner_bias_z, j))
                .sigmoid(token);
            let reset = sum(r, bias_r, j)
                .add(token, sum(inner_r, inner_bias_r, j))
                .sigmoid(token);
            let inner = sum(inner_h, inner_bias_h, j);
            let new = reset.mul_add(token, inner, sum(h, bias_h, j)).tanh(token);
            let kept_new = one.sub(token, update).mul(token, new);
            let state = match row.old_state {
                Some(old) => update.mul_add(token, V::load(token, &old[j..]), kept_new),
                None => kept_new,
            };
            update.store(token, &mut z[j..]);
            reset.store(token, &mut r[j..]);
            new.store(token, &mut h[j..]);
            inner.store(token, &mut product[j..]);
            state.store(token, &mut row.state[j..]);
            j += V::LANES;
        }
    }

    #[inline(always)]
    fn backward<V: Vector>(token: V::Token, row: BackwardRow<'_, V::Item>) {
        let units = row.state.len();
        let one = V::splat(token, V::Item::ONE);
        let [z, r, h] = thirds_mut(row.gates);
        let [inner_z, inner_r, inner_h] = thirds_mut(row.inner);
        let [product, _] = row.kept;
        let by_logistic = |by_gate: V, gate: V| {
            by_gate
                .mul(token, gate)
                .mul(token, one.sub(token, gate))
                .flushed(token)
        };
        let mut j = 0;
        while j < units {
            let update = V::load(token, &z[j..]);
            let reset = V::load(token, &r[j..]);
            let new = V::load(token, &h[j..]);
            let by_state = V::load(token, &row.above[j..])
                .add(token, V::load(token, &row.after[j..]))
                .add(token, V::load(token, &row.carried[j..]));
            let old = match row.old_state {
                Some(old) => V::load(token, &old[j..]),
                None => V::splat(token, V::Item::ZERO),
            };
            let by_update = by_logistic(by_state.mul(token, old.sub(token, new)), update);
            let by_new = by_state
                .mul(token, one.sub(token, update))
                .mul(token, one.sub(token, new.mul(token, new)))
                .flushed(token);
            let inner = V::load(token, &product[j..]);
            let by_reset = by_logistic(by_new.mul(token, inner), reset);
            by_update.store(token, &mut z[j..]);
            by_update.store(token, &mut inner_z[j..]);
            by_reset.store(token, &mut r[j..]);
            by_reset.store(token, &mut inner_r[j..]);
            by_new.store(token, &mut h[j..]);
            by_new
                .mul(token, reset)
                .flushed(token)
                .store(token, &mut inner_h[j..]);
            by_state
                .mul(token, update)
                .flushed(token)
                .store(token, &mut row.carried[j..]);
            j += V::LANES;
        }
    }
}

#[inline(always)]
fn thirds<T>(values: &[T]) -> [&[T]; 3] {
    let (a, rest) = values.split_at(values.len() / 3);
    let (b, c) = rest.split_at(a.len());
    [a, b, c]
}

#[inline(always)]
fn thirds_mut<T>(values: &mut [T]) -> [&mut [T]; 3] {
    let third = values.len() / 3;
    let (a, rest) = values.split_at_mut(third);
    let (b, c) = rest.split_at_mut(third);
    [a, b, c]
}
