//! `LSTM` (Hochreiter and Schmidhuber 1997; Gers et al. 2000), as Keras computes it, gates in the order i, f, c, o.

use super::{BackwardRow, Cell, Forward};
use crate::train::real::Real;
use crate::train::vector::Vector;

/// Keras's `LSTM` with its default activations. Keeps the cells and their tanh.
pub struct Lstm;

impl Cell for Lstm {
    const GATES: usize = 4;
    const INNER_BIAS: bool = false;

    #[inline(always)]
    fn forward<V: Vector>(token: V::Token, row: Forward<'_, V::Item>) {
        let units = row.state.len();
        let [i, f, g, o] = quarters_mut(row.gates);
        let [inner_i, inner_f, inner_g, inner_o] = quarters(row.inner);
        let [bias_i, bias_f, bias_g, bias_o] = quarters(row.bias);
        let [cells, squashed] = row.kept;
        let sum = |a: &[V::Item], b: &[V::Item], c: &[V::Item], j: usize| {
            V::load(token, &a[j..])
                .add(token, V::load(token, &b[j..]))
                .add(token, V::load(token, &c[j..]))
        };
        let mut j = 0;
        while j < units {
            let in_gate = sum(i, inner_i, bias_i, j).sigmoid(token);
            let forget = sum(f, inner_f, bias_f, j).sigmoid(token);
            let new = sum(g, inner_g, bias_g, j).tanh(token);
            let out = sum(o, inner_o, bias_o, j).sigmoid(token);
            let cell = in_gate.mul(token, new);
            let cell = match row.old_kept {
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
            out.mul(token, squash).store(token, &mut row.state[j..]);
            j += V::LANES;
        }
    }

    #[inline(always)]
    fn backward<V: Vector>(token: V::Token, row: BackwardRow<'_, V::Item>) {
        let units = row.state.len();
        let one = V::splat(token, V::Item::ONE);
        let [i, f, g, o] = quarters_mut(row.gates);
        let [_, squashed] = row.kept;
        let mut j = 0;
        while j < units {
            let in_gate = V::load(token, &i[j..]);
            let forget = V::load(token, &f[j..]);
            let new = V::load(token, &g[j..]);
            let out = V::load(token, &o[j..]);
            let squash = V::load(token, &squashed[j..]);
            let by_state =
                V::load(token, &row.above[j..]).add(token, V::load(token, &row.after[j..]));
            let slope = one.sub(token, squash.mul(token, squash));
            let carried = V::load(token, &row.carried[j..]);
            let by_cell = slope.mul_add(token, by_state.mul(token, out), carried);
            let by_logistic = |by_gate: V, gate: V| {
                by_gate
                    .mul(token, gate)
                    .mul(token, one.sub(token, gate))
                    .flushed(token)
            };
            let by_new = by_cell
                .mul(token, in_gate)
                .mul(token, one.sub(token, new.mul(token, new)));
            by_logistic(by_cell.mul(token, new), in_gate).store(token, &mut i[j..]);
            let old = match row.old_kept {
                Some(old) => V::load(token, &old[j..]),
                None => V::splat(token, V::Item::ZERO),
            };
            by_logistic(by_cell.mul(token, old), forget).store(token, &mut f[j..]);
            by_new.flushed(token).store(token, &mut g[j..]);
            by_logistic(by_state.mul(token, squash), out).store(token, &mut o[j..]);
            by_cell
                .mul(token, forget)
                .flushed(token)
                .store(token, &mut row.carried[j..]);
            j += V::LANES;
        }
    }
}

#[inline(always)]
fn quarters<T>(values: &[T]) -> [&[T]; 4] {
    let (a, rest) = values.split_at(values.len() / 4);
    let (b, rest) = rest.split_at(a.len());
    let (c, d) = rest.split_at(a.len());
    [a, b, c, d]
}

#[inline(always)]
fn quarters_mut<T>(values: &mut [T]) -> [&mut [T]; 4] {
    let quarter = values.len() / 4;
    let (a, rest) = values.split_at_mut(quarter);
    let (b, rest) = rest.split_at_mut(quarter);
    let (c, d) = rest.split_at_mut(quarter);
    [a, b, c, d]
}
