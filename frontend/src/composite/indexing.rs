//! Reading and writing at positions that are data.
//!
//! Positions are `i64`. Where PyTorch takes negative ones, they count from the end; one out of range is
//! an error at run time.

use super::{Val, broadcast_shapes};
use ttk_ir::{Builder, DType, Dim, ScatterOp, Shape};

/// Negative positions counted from the end of `n`.
pub fn wrap<'r, B: Builder>(index: &Val<'r, B>, n: i64) -> Val<'r, B> {
    let index = index.cast(DType::I64);
    (&index + n).keep_where(&index.lt(0i64), &index)
}

/// A vector of positions spread over the other axes of `shape`.
fn spread<'r, B: Builder>(index: &Val<'r, B>, shape: &Shape, axis: usize) -> Val<'r, B> {
    let count = Dim::Fixed(index.numel());
    let mut lying: Shape = shape.iter().map(|_| Dim::Fixed(1)).collect();
    let mut full = shape.clone();
    lying[axis] = count.clone();
    full[axis] = count;
    index.reshape(&lying).broadcast_to(&full)
}

/// The positions `index` (a vector) of an axis; none is negative. A value without axes counts as a vector of one.
pub fn index_select<'r, B: Builder>(x: &Val<'r, B>, axis: usize, index: &Val<'r, B>) -> Val<'r, B> {
    if x.rank() == 0 {
        return index_select(&x.view(&[1]), 0, index).view(&[]);
    }
    x.gather(axis, &spread(&index.cast(DType::I64), &x.shape(), axis))
}

/// `torch.gather`: axes of `index` may be shorter than those of `x`.
pub fn gather<'r, B: Builder>(x: &Val<'r, B>, axis: usize, index: &Val<'r, B>) -> Val<'r, B> {
    if x.rank() == 0 {
        return gather(&x.view(&[1]), 0, &index.view(&[1])).reshape(&index.shape());
    }
    crop(x, index, axis).gather(axis, index)
}

/// `x` cut to the sizes of `index`, except along `axis`.
fn crop<'r, B: Builder>(x: &Val<'r, B>, index: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    let wanted = index.sizes();
    (0..x.rank()).filter(|&a| a != axis).fold(x.clone(), |x, a| x.narrow(a, 0, wanted[a]))
}

/// `torch.scatter` and `scatter_reduce` with the operand included: axes of `index` may be shorter than
/// those of `x`, and those of `updates` longer.
pub fn scatter<'r, B: Builder>(
    x: &Val<'r, B>,
    axis: usize,
    mode: ScatterOp,
    index: &Val<'r, B>,
    updates: &Val<'r, B>,
) -> Val<'r, B> {
    if x.rank() == 0 {
        let (index, updates) = (index.view(&[1]), updates.view(&[1]));
        return scatter(&x.view(&[1]), 0, mode, &index, &updates).view(&[]);
    }
    let wanted = index.sizes();
    let updates = (0..x.rank()).fold(updates.clone(), |u, a| u.narrow(a, 0, wanted[a]));
    let part = crop(x, index, axis);
    let done = part.scatter(axis, mode, index, &updates);
    if part.shape() == x.shape() {
        return done;
    }
    let dims = done.shape().into_iter().map(ttk_ir::op::SliceDim::all).collect();
    x.update(dims, &done)
}

/// `scatter_reduce` by the mean; elements that nothing was written to stay.
pub fn scatter_mean<'r, B: Builder>(
    x: &Val<'r, B>,
    axis: usize,
    index: &Val<'r, B>,
    updates: &Val<'r, B>,
    include_self: bool,
) -> Val<'r, B> {
    let base = if include_self { x.clone() } else { cleared(x, axis, index, 0.0) };
    let sum = scatter(&base, axis, ScatterOp::Add, index, updates);
    let ones = updates.full_like(1.0);
    let start = x.full_like(if include_self { 1.0 } else { 0.0 });
    let count = scatter(&start, axis, ScatterOp::Add, index, &ones);
    let count = count.masked(&count.lt(1.0), 1.0);
    super::arithmetic::div(
        &sum,
        &count,
        if x.dtype().is_float() {
            super::arithmetic::Rounding::None
        } else {
            super::arithmetic::Rounding::Floor
        },
    )
}

/// `x` with `value` at every place that `index` names: what a reduction that leaves the operand out
/// starts from.
pub fn cleared<'r, B: Builder>(x: &Val<'r, B>, axis: usize, index: &Val<'r, B>, value: f64) -> Val<'r, B> {
    let fill = x.scope().full(x.dtype(), &index.shape(), value);
    scatter(x, axis, ScatterOp::Set, index, &fill)
}

/// The largest along an axis of `x` at positions of the same rank, the other axes broadcast.
pub fn take_along_axis<'r, B: Builder>(x: &Val<'r, B>, index: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    let (mut a, mut b) = (x.shape(), index.shape());
    let (own, count) = (a[axis].clone(), b[axis].clone());
    a[axis] = Dim::Fixed(1);
    b[axis] = Dim::Fixed(1);
    let Some(mut common) = broadcast_shapes(&[&a, &b]) else { return gather(x, axis, index) };
    common[axis] = own;
    let x = x.broadcast_to(&common);
    common[axis] = count;
    let n = x.size(axis);
    x.gather(axis, &wrap(&index.broadcast_to(&common), n))
}

/// Elements at positions of the flattened `x`; the result has the shape of `index`.
pub fn take<'r, B: Builder>(x: &Val<'r, B>, index: &Val<'r, B>) -> Val<'r, B> {
    let n = x.numel();
    let flat = wrap(&index.view(&[index.numel()]), n);
    x.view(&[n]).gather(0, &flat).reshape(&index.shape())
}

/// `x` with `values` at positions of its flattened form.
pub fn put<'r, B: Builder>(
    x: &Val<'r, B>,
    index: &Val<'r, B>,
    values: &Val<'r, B>,
    accumulate: bool,
) -> Val<'r, B> {
    let n = x.numel();
    let flat = wrap(&index.view(&[index.numel()]), n);
    let mode = if accumulate { ScatterOp::Add } else { ScatterOp::Set };
    x.view(&[n]).scatter(0, mode, &flat, &values.view(&[values.numel()])).reshape(&x.shape())
}

/// `x` with `source` joined in at the positions `index` (a vector) of an axis; none is negative.
pub fn index_write<'r, B: Builder>(
    x: &Val<'r, B>,
    axis: usize,
    mode: ScatterOp,
    index: &Val<'r, B>,
    source: &Val<'r, B>,
) -> Val<'r, B> {
    if x.rank() == 0 {
        let done = index_write(&x.view(&[1]), 0, mode, index, &source.view(&[source.numel()]));
        return done.view(&[]);
    }
    let index = spread(&index.cast(DType::I64), &x.shape(), axis);
    x.scatter(axis, mode, &index, &source.reshape(&index.shape()))
}

/// `index_reduce`: [`index_write`] by product, extremes or the mean, with or without the operand's own.
pub fn index_reduce<'r, B: Builder>(
    x: &Val<'r, B>,
    axis: usize,
    reduce: IndexReduce,
    index: &Val<'r, B>,
    source: &Val<'r, B>,
    include_self: bool,
) -> Val<'r, B> {
    let fill = |value: &Val<'r, B>| index_write(x, axis, ScatterOp::Set, index, value);
    let (mode, start) = match reduce {
        IndexReduce::Prod => (ScatterOp::Mul, 1.0),
        IndexReduce::Max => (ScatterOp::Max, f64::NEG_INFINITY),
        IndexReduce::Min => (ScatterOp::Min, f64::INFINITY),
        IndexReduce::Mean => (ScatterOp::Add, 0.0),
    };
    let start = match x.dtype().int_range() {
        Some((low, high)) => start.clamp(low as f64, high as f64),
        None => start,
    };
    let base = if include_self { x.clone() } else { fill(&source.full_like(start)) };
    let joined = index_write(&base, axis, mode, index, source);
    if reduce != IndexReduce::Mean {
        return joined;
    }
    let own = x.full_like(if include_self { 1.0 } else { 0.0 });
    let count = index_write(&own, axis, ScatterOp::Add, index, &source.full_like(1.0));
    let count = count.masked(&count.lt(1.0), 1.0);
    let rounding = if x.dtype().is_float() {
        super::arithmetic::Rounding::None
    } else {
        super::arithmetic::Rounding::Floor
    };
    super::arithmetic::div(&joined, &count, rounding)
}

/// How [`index_reduce`] joins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexReduce {
    Prod,
    Mean,
    Max,
    Min,
}

/// `x + alpha * source` at the positions `index` of an axis.
pub fn index_add<'r, B: Builder>(
    x: &Val<'r, B>,
    axis: usize,
    index: &Val<'r, B>,
    source: &Val<'r, B>,
    alpha: f64,
) -> Val<'r, B> {
    let source = if alpha == 1.0 { source.clone() } else { source * alpha };
    index_write(x, axis, ScatterOp::Add, index, &source)
}

/// `x` with `value` at the positions `index` of an axis. A position that is named twice counts once in the
/// derivative with respect to the value.
pub fn index_fill<'r, B: Builder>(
    x: &Val<'r, B>,
    axis: usize,
    index: &Val<'r, B>,
    value: &Val<'r, B>,
) -> Val<'r, B> {
    let n = if x.rank() == 0 { 1 } else { x.size(axis) };
    let index = wrap(index, n);
    let none = x.scope().full(DType::F32, &[Dim::Fixed(n)], 0.0);
    let one = x.scope().full(DType::F32, &index.shape(), 1.0);
    let named = none.scatter(0, ScatterOp::Set, &index, &one).ne(0.0);
    let mask = super::activation::along(&named, axis, x.rank());
    x.masked(&mask, value)
}

/// `x` where `mask` is false, else `value`; the shapes broadcast.
pub fn masked_fill<'r, B: Builder>(x: &Val<'r, B>, mask: &Val<'r, B>, value: &Val<'r, B>) -> Val<'r, B> {
    x.masked(mask, value)
}

/// `x` with the elements of `source`, in order, where `mask` is true.
pub fn masked_scatter<'r, B: Builder>(x: &Val<'r, B>, mask: &Val<'r, B>, source: &Val<'r, B>) -> Val<'r, B> {
    let (x, mask) = super::broadcast(x, mask);
    let n = x.numel();
    let flags = mask.view(&[n]);
    let position = super::scan::cumsum(&flags.cast(DType::I64), 0) - 1.0;
    let position = position.keep_where(&flags, 0i64);
    let taken = source.view(&[source.numel()]).gather(0, &position).reshape(&x.shape());
    x.masked(&mask, taken)
}

/// Where `condition` is true `x`, elsewhere `y`; all three broadcast.
pub fn select<'r, B: Builder>(condition: &Val<'r, B>, x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    condition.select(x, y, x)
}

/// An index with tensors, taken apart: `x` as rows of what is not indexed, and one row number for each
/// position.
struct Rows<'r, B: Builder> {
    /// `[indexed elements, the rest]`
    matrix: Val<'r, B>,
    /// Row numbers, `[positions, the rest]`.
    index: Val<'r, B>,
    /// The axes of `x`, indexed ones first.
    perm: Vec<usize>,
    /// The shape that the indices broadcast to.
    positions: Shape,
    /// The sizes of the other axes.
    rest: Shape,
    /// Where the positions' axes go in the result.
    place: usize,
}

fn rows<'r, B: Builder>(x: &Val<'r, B>, indices: &[Option<Val<'r, B>>]) -> Rows<'r, B> {
    let used: Vec<usize> = (0..indices.len()).filter(|&a| indices[a].is_some()).collect();
    let others: Vec<usize> = (0..x.rank()).filter(|a| !used.contains(a)).collect();
    let shapes: Vec<Shape> = indices.iter().flatten().map(Val::shape).collect();
    let shapes: Vec<&[Dim]> = shapes.iter().map(|s| s.as_slice()).collect();
    let positions = broadcast_shapes(&shapes).unwrap_or_default();
    let count = ttk_ir::shape::numel(&positions);

    let mut number: Option<Val<'r, B>> = None;
    let mut out_of_range: Option<Val<'r, B>> = None;
    for (axis, index) in indices.iter().enumerate() {
        let Some(index) = index else { continue };
        let n = x.size(axis);
        let index = wrap(index, n).broadcast_to(&positions);
        // One row number cannot show which index was wrong: a wrong one makes it -1, which is refused.
        if used.len() > 1 {
            let bad = index.lt(0i64).or(index.ge(n));
            out_of_range = Some(out_of_range.map_or_else(|| bad.clone(), |b| b.or(&bad)));
        }
        number = Some(number.map_or_else(|| index.clone(), |sum| sum * n + &index));
    }
    let number = number.unwrap_or_else(|| x.scope().full(DType::I64, &positions, 0.0));
    let number = out_of_range.map_or_else(|| number.clone(), |bad| number.masked(&bad, -1i64));

    let perm: Vec<usize> = used.iter().chain(&others).copied().collect();
    let shape = x.shape();
    let rest: Shape = others.iter().map(|&a| shape[a].clone()).collect();
    let width = ttk_ir::shape::numel(&rest);
    let height: Dim = used.iter().fold(Dim::Fixed(1), |n, &a| n.mul(&shape[a]));
    let matrix = x.permute(&perm).reshape(&[height, width.clone()]);
    let index = number.reshape(&[count.clone(), Dim::Fixed(1)]).broadcast_to(&[count, width]);
    // Neighbouring indexed axes are replaced where they stand, others go in front.
    let adjacent = used.windows(2).all(|w| w[1] == w[0] + 1);
    let place = if adjacent { used.first().copied().unwrap_or(0) } else { 0 };
    Rows { matrix, index, perm, positions, rest, place }
}

/// `x[indices]` with `i64` tensors for some of the leading axes and `None` for whole ones.
pub fn index<'r, B: Builder>(x: &Val<'r, B>, indices: &[Option<Val<'r, B>>]) -> Val<'r, B> {
    let r = rows(x, indices);
    let taken = r.matrix.gather(0, &r.index);
    let mut shape = r.positions.clone();
    shape.extend(r.rest.iter().cloned());
    taken.reshape(&shape).permute(&positions_at(r.positions.len(), r.rest.len(), r.place))
}

/// The permutation that moves `count` leading axes behind `place` others.
fn positions_at(count: usize, others: usize, place: usize) -> Vec<usize> {
    let others: Vec<usize> = (count..count + others).collect();
    others[..place].iter().copied().chain(0..count).chain(others[place..].iter().copied()).collect()
}

/// `x` after `x[indices] = values` (or `+=` when `accumulate`); `values` broadcasts.
pub fn index_put<'r, B: Builder>(
    x: &Val<'r, B>,
    indices: &[Option<Val<'r, B>>],
    values: &Val<'r, B>,
    accumulate: bool,
) -> Val<'r, B> {
    let r = rows(x, indices);
    let (count, others) = (r.positions.len(), r.rest.len());
    // `values` broadcasts against the shape that reading gives; then the positions go in front.
    let perm = positions_at(count, others, r.place);
    let mut front = r.positions.clone();
    front.extend(r.rest.iter().cloned());
    let read: Shape = perm.iter().map(|&a| front[a].clone()).collect();
    let values = values.broadcast_to(&read).permute(&inverse(&perm)).reshape(&r.index.shape());
    let mode = if accumulate { ScatterOp::Add } else { ScatterOp::Set };
    let written = r.matrix.scatter(0, mode, &r.index, &values);
    let shape = x.shape();
    let moved: Shape = r.perm.iter().map(|&a| shape[a].clone()).collect();
    written.reshape(&moved).permute(&inverse(&r.perm))
}

/// The permutation that undoes `perm`.
pub(crate) fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut out = vec![0; perm.len()];
    for (to, &from) in perm.iter().enumerate() {
        out[from] = to;
    }
    out
}
