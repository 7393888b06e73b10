//! Matrix products, for the machine at hand.
//!
//! Large products go to the `gemm` crate. A recurrent step multiplies a handful of rows by the same small matrix
//! hundreds of times, where packing would cost more than it saves: [`small_product`] is that one, blocked in registers.

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
    assert_eq!(a.columns, b.rows, "inner sizes");
    assert_eq!(out.len(), a.rows * b.columns, "output size");
    if out.is_empty() {
        return;
    }
    if a.columns == 0 {
        if !accumulate {
            out.fill(R::ZERO);
        }
        return;
    }
    // SAFETY: the three sizes were just checked against the slices that the pointers and strides come from,
    // and `out` is borrowed mutably, so it overlaps neither input.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
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

/// `out = a b` for few rows: `out` at least `[rows, n]`, `a` `[rows, k]`, `b` `[k, n]`, all row-major.
#[inline(always)]
pub fn small_product<V: Vector>(
    token: V::Token,
    out: &mut [V::Item],
    a: &[V::Item],
    b: &[V::Item],
    size: Size,
) {
    let mut column = 0;
    while column < size.n {
        // Four registers across and four rows down keep sixteen sums, enough to hide the latency of a multiply-add.
        let left = size.n - column;
        if V::REGISTERS >= 32 && left >= 4 * V::LANES {
            columns::<V, 4>(token, out, a, b, size, column);
            column += 4 * V::LANES;
        } else if left >= 2 * V::LANES {
            columns::<V, 2>(token, out, a, b, size, column);
            column += 2 * V::LANES;
        } else {
            columns::<V, 1>(token, out, a, b, size, column);
            column += V::LANES;
        }
    }
}

/// The sizes of a small product.
#[derive(Clone, Copy)]
pub struct Size {
    /// Rows of `a` and `out`.
    pub rows: usize,
    /// Columns of `a`, rows of `b`.
    pub k: usize,
    /// Columns of `b` and `out`.
    pub n: usize,
}

#[inline(always)]
fn columns<V: Vector, const WIDE: usize>(
    token: V::Token,
    out: &mut [V::Item],
    a: &[V::Item],
    b: &[V::Item],
    size: Size,
    column: usize,
) {
    let lines = out.chunks_mut(4 * size.n).zip(a.chunks(4 * size.k));
    for (out, a) in lines.take(size.rows.div_ceil(4)) {
        match a.len() / size.k {
            4 => block::<V, 4, WIDE>(token, out, a, b, size, column),
            3 => block::<V, 3, WIDE>(token, out, a, b, size, column),
            2 => block::<V, 2, WIDE>(token, out, a, b, size, column),
            _ => block::<V, 1, WIDE>(token, out, a, b, size, column),
        }
    }
}

#[inline(always)]
fn block<V: Vector, const ROWS: usize, const WIDE: usize>(
    token: V::Token,
    out: &mut [V::Item],
    a: &[V::Item],
    b: &[V::Item],
    Size { k, n, .. }: Size,
    column: usize,
) {
    let mut sums = [[V::splat(token, V::Item::ZERO); WIDE]; ROWS];
    let a: [&[V::Item]; ROWS] = std::array::from_fn(|row| &a[row * k..(row + 1) * k]);
    for (p, line) in b.chunks_exact(n).enumerate().take(k) {
        let mut factors = [V::splat(token, V::Item::ZERO); WIDE];
        for wide in 0..WIDE {
            factors[wide] = V::load(token, &line[column + wide * V::LANES..]);
        }
        for row in 0..ROWS {
            let value = V::splat(token, a[row][p]);
            for wide in 0..WIDE {
                sums[row][wide] = value.mul_add(token, factors[wide], sums[row][wide]);
            }
        }
    }
    for row in 0..ROWS {
        for wide in 0..WIDE {
            sums[row][wide].store(
                token,
                &mut out[row * n + column + wide * V::LANES..(row + 1) * n],
            );
        }
    }
}

/// `out[j, i] = a[i, j]` for `a` `[rows, columns]`, row-major.
pub fn transpose<R: Real>(a: &[R], rows: usize, columns: usize, out: &mut [R]) {
    for (i, line) in a.chunks_exact(columns).enumerate() {
        for (j, value) in line.iter().enumerate() {
            out[j * rows + i] = *value;
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
