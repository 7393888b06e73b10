//! Matrix products, for the machine at hand.
//!
//! Large products go to the `gemm` crate. A recurrent layer multiplies a handful of rows by the same small matrices
//! hundreds of times: those are packed once with [`pack`], and [`multiply`] is blocked in registers.

use super::real::Real;
use super::vector::Vector;

/// A row-major matrix, perhaps transposed when it is read.
#[derive(Clone, Copy)]
pub struct View<'a, R> {
    data: &'a [R],
    rows: usize,
    columns: usize,
    row_stride: isize,
    column_stride: isize,
}

impl<'a, R> View<'a, R> {
    /// `data` as `[rows, columns]`.
    pub fn new(data: &'a [R], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a matrix of {rows} x {columns}");
        Self {
            data,
            rows,
            columns,
            row_stride: columns as isize,
            column_stride: 1,
        }
    }

    /// So many of the columns, which lie beside each other, from one on.
    pub fn columns(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.columns, "columns of a matrix");
        assert_eq!(self.column_stride, 1, "rows one after another");
        Self {
            data: &self.data[first.min(self.data.len())..],
            columns: count,
            ..self
        }
    }

    /// The same numbers as `[columns, rows]`.
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// `out += a b`, or `out = a b` where `accumulate` is false; `out` is row-major `[a.rows, b.columns]`.
pub fn product<R: Real>(out: &mut [R], a: View<'_, R>, b: View<'_, R>, accumulate: bool) {
    assert_eq!(out.len(), a.rows * b.columns, "output size");
    product_across(out, b.columns, a, b, accumulate);
}

/// The same into some columns of a matrix: `out` begins at the first of them, and its rows are `across` apart.
pub fn product_across<R: Real>(
    out: &mut [R],
    across: usize,
    a: View<'_, R>,
    b: View<'_, R>,
    accumulate: bool,
) {
    assert_eq!(a.columns, b.rows, "inner sizes");
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    assert!(across >= b.columns, "rows apart");
    assert!(
        out.len() >= (a.rows - 1) * across + b.columns,
        "output size"
    );
    if a.columns == 0 {
        if !accumulate {
            for row in out.chunks_mut(across).take(a.rows) {
                row[..b.columns].fill(R::ZERO);
            }
        }
        return;
    }
    // SAFETY: the sizes were just checked against the slices that the pointers and strides come from,
    // and `out` is borrowed mutably, so it overlaps neither input.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            across as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride,
            a.row_stride,
            b.data.as_ptr(),
            b.column_stride,
            b.row_stride,
            R::ONE,
            R::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// A row-major `b` `[k, n]` (`n` numbers a row, `transposed`: `k` of them) in the order in which [`multiply`] reads it: panels
/// as wide as its registers, each with the rows one after another.
#[inline(always)]
pub fn pack<V: Vector>(
    b: &[V::Item],
    (k, n): (usize, usize),
    transposed: bool,
    packed: &mut Vec<V::Item>,
) {
    packed.clear();
    packed.resize(k * n.next_multiple_of(V::LANES), V::Item::ZERO);
    let mut rest = &mut packed[..];
    let mut column = 0;
    while column < n {
        let wide = panel::<V>(n - column) * V::LANES;
        let (panel, after) = rest.split_at_mut(k * wide);
        let filled = wide.min(n - column);
        for (p, line) in panel.chunks_exact_mut(wide).enumerate() {
            if transposed {
                for (at, value) in line[..filled].iter_mut().enumerate() {
                    *value = b[(column + at) * k + p];
                }
            } else {
                line[..filled].copy_from_slice(&b[p * n + column..][..filled]);
            }
        }
        rest = after;
        column += wide;
    }
}

/// Registers across a panel that has so many columns before it ends. With four and four rows down there are sixteen sums,
/// enough to hide the latency of a multiply-add.
#[inline(always)]
fn panel<V: Vector>(columns: usize) -> usize {
    if V::REGISTERS >= 32 && columns >= 4 * V::LANES {
        4
    } else if columns >= 2 * V::LANES {
        2
    } else {
        1
    }
}

/// The left side of a product.
#[derive(Clone, Copy)]
pub enum Left<'a, R> {
    /// `[rows, k]`, row-major.
    Rows(&'a [R]),
    /// `[k, rows]`, row-major.
    Columns(&'a [R]),
}

/// The sizes of a product.
#[derive(Clone, Copy)]
pub struct Size {
    /// Rows of `a` and `out`.
    pub rows: usize,
    /// Columns of `a`, rows of `b`.
    pub k: usize,
    /// Columns of `b` and `out`.
    pub n: usize,
}

/// `out = a b`, or `out += a b` where it accumulates, for a `b` of [`pack`]; `out` is row-major, at least `[rows, n]`.
#[inline(always)]
pub fn multiply<V: Vector>(
    token: V::Token,
    out: &mut [V::Item],
    a: Left<'_, V::Item>,
    packed: &[V::Item],
    size: Size,
    accumulate: bool,
) {
    let mut rest = packed;
    let mut column = 0;
    while column < size.n {
        let wide = panel::<V>(size.n - column);
        let (b, after) = rest.split_at(size.k * wide * V::LANES);
        let place = Place {
            column,
            size,
            accumulate,
        };
        match (wide, a) {
            (4, Left::Rows(a)) => down::<V, 4, false>(token, out, a, b, place),
            (4, Left::Columns(a)) => down::<V, 4, true>(token, out, a, b, place),
            (2, Left::Rows(a)) => down::<V, 2, false>(token, out, a, b, place),
            (2, Left::Columns(a)) => down::<V, 2, true>(token, out, a, b, place),
            (_, Left::Rows(a)) => down::<V, 1, false>(token, out, a, b, place),
            (_, Left::Columns(a)) => down::<V, 1, true>(token, out, a, b, place),
        }
        rest = after;
        column += wide * V::LANES;
    }
}

/// Where in `out` a panel's products go.
#[derive(Clone, Copy)]
struct Place {
    column: usize,
    size: Size,
    accumulate: bool,
}

/// One panel, four rows at a time.
#[inline(always)]
fn down<V: Vector, const WIDE: usize, const TURNED: bool>(
    token: V::Token,
    out: &mut [V::Item],
    a: &[V::Item],
    b: &[V::Item],
    place: Place,
) {
    let rows = place.size.rows;
    let mut row = 0;
    while row + 4 <= rows {
        block::<V, 4, WIDE, TURNED>(token, out, a, b, (row, place));
        row += 4;
    }
    match rows - row {
        3 => block::<V, 3, WIDE, TURNED>(token, out, a, b, (row, place)),
        2 => block::<V, 2, WIDE, TURNED>(token, out, a, b, (row, place)),
        1 => block::<V, 1, WIDE, TURNED>(token, out, a, b, (row, place)),
        _ => {}
    }
}

#[inline(always)]
fn block<V: Vector, const ROWS: usize, const WIDE: usize, const TURNED: bool>(
    token: V::Token,
    out: &mut [V::Item],
    a: &[V::Item],
    b: &[V::Item],
    (first, place): (usize, Place),
) {
    let Size { rows, k, n } = place.size;
    let mut sums = [[V::splat(token, V::Item::ZERO); WIDE]; ROWS];
    let lines = b.chunks_exact(WIDE * V::LANES);
    // Plain loops: a closure would not be compiled for the instruction set.
    if TURNED {
        for (line, a) in lines.zip(a.chunks_exact(rows)) {
            let a = &a[first..first + ROWS];
            let mut factors = [V::splat(token, V::Item::ZERO); WIDE];
            for wide in 0..WIDE {
                factors[wide] = V::load(token, &line[wide * V::LANES..]);
            }
            for row in 0..ROWS {
                let value = V::splat(token, a[row]);
                for wide in 0..WIDE {
                    sums[row][wide] = value.mul_add(token, factors[wide], sums[row][wide]);
                }
            }
        }
    } else {
        let a = &a[first * k..(first + ROWS) * k];
        for (p, line) in lines.enumerate() {
            let mut factors = [V::splat(token, V::Item::ZERO); WIDE];
            for wide in 0..WIDE {
                factors[wide] = V::load(token, &line[wide * V::LANES..]);
            }
            for row in 0..ROWS {
                let value = V::splat(token, a[row * k + p]);
                for wide in 0..WIDE {
                    sums[row][wide] = value.mul_add(token, factors[wide], sums[row][wide]);
                }
            }
        }
    }
    for row in 0..ROWS {
        let start = (first + row) * n + place.column;
        let line = &mut out[start..(first + row + 1) * n];
        for wide in 0..WIDE {
            let to = &mut line[wide * V::LANES..];
            let mut sum = sums[row][wide];
            if place.accumulate {
                sum = sum.add(token, V::load(token, to));
            }
            sum.store(token, to);
        }
    }
}

/// Adds each row of `a` `[.., out.len()]` to `out`.
#[inline(always)]
pub fn add_rows<V: Vector>(token: V::Token, out: &mut [V::Item], a: &[V::Item]) {
    let columns = out.len();
    let mut j = 0;
    while j < columns {
        let mut sum = V::load(token, &out[j..]);
        for line in a.chunks_exact(columns) {
            sum = sum.add(token, V::load(token, &line[j..]));
        }
        sum.store(token, &mut out[j..]);
        j += V::LANES;
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::train::init::generator;
    use crate::train::vector::{Kernel, on_every_set, run_f32};

    struct Product<'a> {
        out: &'a mut [f32],
        a: Left<'a, f32>,
        b: &'a [f32],
        transposed: bool,
        size: Size,
        accumulate: bool,
    }

    impl Kernel<f32> for Product<'_> {
        type Output = ();
        #[inline(always)]
        fn run<V: Vector<Item = f32>>(self, token: V::Token) {
            let Size { k, n, .. } = self.size;
            let mut packed = Vec::new();
            pack::<V>(self.b, (k, n), self.transposed, &mut packed);
            multiply::<V>(token, self.out, self.a, &packed, self.size, self.accumulate);
        }
    }

    struct Rows<'a> {
        out: &'a mut [f32],
        a: &'a [f32],
    }

    impl Kernel<f32> for Rows<'_> {
        type Output = ();
        #[inline(always)]
        fn run<V: Vector<Item = f32>>(self, token: V::Token) {
            add_rows::<V>(token, self.out, self.a);
        }
    }

    fn drawn(len: usize, seed: u64) -> Vec<f32> {
        let mut noise = generator(seed);
        (0..len).map(|_| noise.random_range(-1.0f32..1.0)).collect()
    }

    fn turned(values: &[f32], columns: usize) -> Vec<f32> {
        let rows = values.len() / columns;
        let at = |place: usize| values[place % rows * columns + place / rows];
        (0..values.len()).map(at).collect()
    }

    #[test]
    fn packed_products_are_those_of_the_definition_on_every_instruction_set() {
        for n in [1, 2, 7, 16, 31, 33, 64, 100, 257] {
            for (rows, k) in [(1, 1), (2, 5), (3, 17), (4, 8), (5, 33), (9, 2)] {
                let size = Size { rows, k, n };
                let (a, b, before) = (drawn(rows * k, 1), drawn(k * n, 2), drawn(rows * n, 3));
                let (a_turned, b_turned) = (turned(&a, k), turned(&b, n));
                for accumulate in [false, true] {
                    let exact = |row: usize, column: usize| {
                        let terms = (0..k)
                            .map(|p| f64::from(a[row * k + p]) * f64::from(b[p * n + column]));
                        let begin = if accumulate {
                            f64::from(before[row * n + column])
                        } else {
                            0.0
                        };
                        begin + terms.sum::<f64>()
                    };
                    for (a, b, transposed) in [
                        (Left::Rows(&a), &b, false),
                        (Left::Rows(&a), &b_turned, true),
                        (Left::Columns(&a_turned), &b, false),
                    ] {
                        let found = on_every_set::run(|| {
                            let mut out = before.clone();
                            run_f32(Product {
                                out: &mut out,
                                a,
                                b,
                                transposed,
                                size,
                                accumulate,
                            });
                            out
                        });
                        for (set, out) in found {
                            for (at, value) in out.iter().enumerate() {
                                let due = exact(at / n, at % n);
                                assert!(
                                    (f64::from(*value) - due).abs() < 1e-5,
                                    "{set}: {rows} x {k} x {n}, {transposed} {accumulate}: {value} for {due}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn rows_are_added_on_every_instruction_set() {
        for columns in [1, 7, 16, 33] {
            let (a, before) = (drawn(columns * 5, 1), drawn(columns, 2));
            let found = on_every_set::run(|| {
                let mut out = before.clone();
                run_f32(Rows {
                    out: &mut out,
                    a: &a,
                });
                out
            });
            for (set, out) in found {
                for (column, value) in out.iter().enumerate() {
                    let terms = (0..5).map(|row| a[row * columns + column]);
                    let due = before[column] + terms.sum::<f32>();
                    assert!((value - due).abs() < 1e-5, "{set}: {value} for {due}");
                }
            }
        }
    }
}
