//! Running combinations along an axis.

use super::Val;
use super::reduction::first_position;
use ttk_ir::{Builder, DType, ReduceOp};

pub fn cumsum<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    x.scan(ReduceOp::Sum, axis)
}

pub fn cumprod<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    x.scan(ReduceOp::Prod, axis)
}

/// `(values, positions)` of the running maximum; of equal ones the latest position.
pub fn cummax<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> (Val<'r, B>, Val<'r, B>) {
    cumulative_extreme(x, ReduceOp::Max, axis)
}

/// `(values, positions)` of the running minimum; of equal ones the latest position.
pub fn cummin<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> (Val<'r, B>, Val<'r, B>) {
    cumulative_extreme(x, ReduceOp::Min, axis)
}

fn cumulative_extreme<'r, B: Builder>(x: &Val<'r, B>, op: ReduceOp, axis: usize) -> (Val<'r, B>, Val<'r, B>) {
    let values = x.scan(op, axis);
    let mut attains = x.eq(&values);
    if x.dtype().is_float() {
        attains = attains.or(x.is_nan());
    }
    let position = x.scope().iota(DType::I64, &x.shape(), axis);
    let index = position.keep_where(&attains, -1i64).scan(ReduceOp::Max, axis);
    (values, index)
}

/// `log(cumsum(exp(x)))`.
///
/// Relative to the largest of the whole axis, in double precision: what lies 700 below it is lost.
pub fn logcumsumexp<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    let dtype = x.dtype();
    let x = x.cast(DType::F64);
    let top = x.amax(&[axis]).detach();
    let top = top.masked(&top.abs().eq(f64::INFINITY), 0.0);
    ((&x - &top).exp().scan(ReduceOp::Sum, axis).log() + &top).cast(dtype)
}

/// Differences of neighbours along an axis.
pub fn diff<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    let n = (x.size(axis) - 1).max(0);
    let (late, early) = (x.narrow(axis, x.size(axis) - n, n), x.narrow(axis, 0, n));
    if x.dtype() == DType::Bool { late.xor(early) } else { late - early }
}

/// The integral along an axis by trapezia `dx` wide; the axis goes.
pub fn trapezoid<'r, B: Builder>(y: &Val<'r, B>, dx: f64, axis: usize) -> Val<'r, B> {
    let n = y.size(axis) - 1;
    let sums = y.narrow(axis, 0, n) + y.narrow(axis, 1, n);
    sums.sum(&[axis]).squeeze(&[axis]) * (dx / 2.0)
}

/// [`trapezoid`] at positions `x`, which lie along the same axis.
pub fn trapezoid_at<'r, B: Builder>(y: &Val<'r, B>, x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    let n = y.size(axis) - 1;
    let sums = y.narrow(axis, 0, n) + y.narrow(axis, 1, n);
    let steps = if x.rank() == y.rank() {
        diff(x, axis)
    } else {
        super::activation::along(&diff(x, 0), axis, y.rank())
    };
    (sums * steps).sum(&[axis]).squeeze(&[axis]) / 2.0
}

/// The first position of an axis whose element is `value`; its size if there is none.
pub fn find<'r, B: Builder>(x: &Val<'r, B>, value: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    first_position(x, value, axis)
}
