//! Sorting and what follows from it.

use super::Val;
use super::reduction::pick;
use ttk_ir::{Builder, DType, ReduceOp};

/// `(values, positions)` in order; stable, NaN counts as the largest.
pub fn sort<'r, B: Builder>(x: &Val<'r, B>, axis: usize, descending: bool) -> (Val<'r, B>, Val<'r, B>) {
    let index = x.argsort(axis, descending);
    (x.gather(axis, &index), index)
}

/// `(values, positions)` of the `k` largest or smallest elements, in order.
pub fn topk<'r, B: Builder>(x: &Val<'r, B>, k: i64, axis: usize, largest: bool) -> (Val<'r, B>, Val<'r, B>) {
    let index = x.argsort(axis, largest).narrow(axis, 0, k);
    (x.gather(axis, &index), index)
}

/// `(value, position)` of the `k`-th smallest element of an axis, counted from 1.
pub fn kthvalue<'r, B: Builder>(x: &Val<'r, B>, k: i64, axis: usize) -> (Val<'r, B>, Val<'r, B>) {
    let index = x.argsort(axis, false).narrow(axis, k - 1, 1);
    (x.gather(axis, &index), index)
}

/// `(value, position)` of the lower median of an axis; a row with a NaN gives its NaN.
pub fn median<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> (Val<'r, B>, Val<'r, B>) {
    let n = x.size(axis);
    let order = x.argsort(axis, false);
    if !x.dtype().is_float() {
        let index = order.narrow(axis, (n - 1) / 2, 1);
        return (x.gather(axis, &index), index);
    }
    // NaN sort last, so that the first of them stands at the number of others.
    let numbers = x.eq(x).cast(DType::I64).sum(&[axis]);
    let middle = numbers.masked(&numbers.eq(n), (n - 1) / 2);
    let index = pick(&order, &middle, axis);
    (x.gather(axis, &index), index)
}

/// `(value, position)` of the lower median of what is not NaN.
pub fn nanmedian<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> (Val<'r, B>, Val<'r, B>) {
    if !x.dtype().is_float() {
        return median(x, axis);
    }
    let order = x.argsort(axis, false);
    let numbers = x.eq(x).cast(DType::I64).sum(&[axis]);
    let middle = (numbers.max(1i64) - 1.0) / 2.0;
    let index = pick(&order, &middle, axis);
    (x.gather(axis, &index), index)
}

/// `(value, position)` of the most frequent element of an axis: of several the smallest, and the last
/// position at which it stands. Compares all pairs.
pub fn mode<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> (Val<'r, B>, Val<'r, B>) {
    let last = x.rank() - 1;
    let rows = x.move_axis(axis, last);
    let same = rows.unsqueeze(last + 1).eq(rows.unsqueeze(last));
    let counts = same.cast(DType::I64).sum(&[last + 1]).squeeze(&[last + 1]);
    let order = rows.argsort(last, false);
    let (values, counts) = (rows.gather(last, &order), counts.gather(last, &order));
    let most = counts.eq(counts.amax(&[last]));
    let position = rows.scope().iota(DType::I64, &rows.shape(), last);
    let first = position.keep_where(&most, rows.size(last)).amin(&[last]);
    let value = values.gather(last, &first);
    let here = rows.eq(&value);
    let index = position.keep_where(&here, 0i64).reduce(ReduceOp::Max, &[last]);
    (rows.gather(last, &index).move_axis(last, axis), index.move_axis(last, axis))
}

/// How [`quantile`] fills in between two elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interpolation {
    Linear,
    Lower,
    Higher,
    Midpoint,
    Nearest,
}

/// Quantiles `q` (a vector, in `0..=1`) of an axis; they are the new first axis, and `axis` goes.
///
/// A row with a NaN gives NaN, unless `skip_nan`.
pub fn quantile<'r, B: Builder>(
    x: &Val<'r, B>,
    q: &Val<'r, B>,
    axis: usize,
    interpolation: Interpolation,
    skip_nan: bool,
) -> Val<'r, B> {
    let last = x.rank() - 1;
    let rows = x.move_axis(axis, last);
    let sorted = rows.gather(last, &rows.argsort(last, false));
    let count = rows.eq(&rows).cast(x.dtype()).sum(&[last]);
    let n = rows.size(last) as f64;
    let length = if skip_nan { count.clone() } else { count.full_like(n) };
    let rank = q.cast(x.dtype()) * (&length - 1.0).masked(&length.eq(0.0), 0.0);
    let (below, above) = (rank.floor(), super::rounding::ceil(&rank));
    let at = |position: &Val<'r, B>| sorted.gather(last, &position.cast(DType::I64));
    let found = match interpolation {
        Interpolation::Lower => at(&below),
        Interpolation::Higher => at(&above),
        Interpolation::Nearest => at(&rank.round()),
        Interpolation::Midpoint => super::arithmetic::lerp_by(&at(&below), &at(&above), 0.5),
        Interpolation::Linear => super::arithmetic::lerp(&at(&below), &at(&above), &(&rank - &below)),
    };
    let found = if skip_nan { found } else { found.masked(&count.ne(n), f64::NAN) };
    found.move_axis(last, 0)
}

/// For each value, how many of the sorted boundaries (last axis) are below it, or not above when `right`.
pub fn searchsorted<'r, B: Builder>(boundaries: &Val<'r, B>, values: &Val<'r, B>, right: bool) -> Val<'r, B> {
    let v = values.unsqueeze(values.rank());
    let edges = if boundaries.rank() == 1 || boundaries.rank() == 0 {
        boundaries.clone()
    } else {
        boundaries.unsqueeze(boundaries.rank() - 1)
    };
    let (v, edges) = super::broadcast(&v, &edges);
    let last = v.rank() - 1;
    let below = if right { edges.le(&v) } else { edges.lt(&v) };
    let below = if v.dtype().is_float() { below.or(v.is_nan()) } else { below };
    below.cast(DType::I64).sum(&[last]).squeeze(&[last])
}
