//! Reductions. Reduced axes keep size 1; the caller drops them where `keepdim` is false.

use super::Val;
use super::special::sqrt_of_squares;
use ttk_ir::{Builder, DType, ReduceOp};

/// The sum of squared deviations over `count - correction`.
pub fn var<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize], correction: f64) -> Val<'r, B> {
    x.in_compute(|x| var_mean(x, axes, correction).0)
}

/// The square root of [`var`], with derivative 0 where it is 0.
pub fn std<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize], correction: f64) -> Val<'r, B> {
    x.in_compute(|x| sqrt_of_squares(&var_mean(x, axes, correction).0))
}

/// `(variance, mean)`
pub fn var_mean<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize], correction: f64) -> (Val<'r, B>, Val<'r, B>) {
    let count: i64 = axes.iter().map(|&a| x.size(a)).product();
    let wide = x.cast(x.dtype().compute());
    let mean = wide.mean(axes);
    let squares = (wide - &mean).square().sum(axes);
    let variance = squares / (count as f64 - correction).max(0.0);
    (variance.cast(x.dtype()), mean.cast(x.dtype()))
}

/// The `p`-norm of the elements over axes; `p` may be infinite, 0 (how many are not 0) or negative.
/// The derivative of a norm at the origin is 0.
pub fn vector_norm<'r, B: Builder>(x: &Val<'r, B>, p: f64, axes: &[usize]) -> Val<'r, B> {
    x.in_compute(|x| {
        if p == 0.0 {
            return super::arithmetic::attached(&x.ne(0.0).cast(x.dtype()).sum(axes), &x.sum(axes));
        }
        if p == 1.0 {
            return x.abs().sum(axes);
        }
        if p == 2.0 {
            return sqrt_of_squares(&x.square().sum(axes));
        }
        if p == f64::INFINITY {
            return x.abs().amax(axes);
        }
        if p == f64::NEG_INFINITY {
            return x.abs().amin(axes);
        }
        let size = x.abs();
        if p < 0.0 {
            return size.pow(p).sum(axes).pow(1.0 / p);
        }
        let zero = size.eq(0.0);
        let sum = size.masked(&zero, 1.0).pow(p).masked(&zero, 0.0).sum(axes);
        let zero = sum.eq(0.0);
        sum.masked(&zero, 1.0).pow(1.0 / p).masked(&zero, 0.0)
    })
}

pub fn prod<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize]) -> Val<'r, B> {
    x.reduce(ReduceOp::Prod, axes)
}

/// The mean in the type that 16-bit floats compute in.
pub fn mean<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize]) -> Val<'r, B> {
    x.in_compute(|x| x.mean(axes))
}

/// The sum with NaN counted as 0.
pub fn nansum<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize]) -> Val<'r, B> {
    if !x.dtype().is_float() {
        return x.sum(axes);
    }
    x.masked(&x.is_nan(), 0.0).sum(axes)
}

/// The mean of what is not NaN.
pub fn nanmean<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize]) -> Val<'r, B> {
    x.in_compute(|x| {
        let nan = x.is_nan();
        x.masked(&nan, 0.0).sum(axes) / nan.select(0.0, 1.0, x).sum(axes)
    })
}

/// Whether any element is not 0; `bool`.
pub fn any<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize]) -> Val<'r, B> {
    x.cast(DType::Bool).cast(DType::U8).amax(axes).ne(0i64)
}

/// Whether all elements are not 0; `bool`.
pub fn all<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize]) -> Val<'r, B> {
    let flags = x.cast(DType::Bool).cast(DType::U8);
    // No element at all: the identity of a minimum is 255, which is true as it should be.
    flags.amin(axes).ne(0i64)
}

/// How many elements are not 0, in `i64`.
pub fn count_nonzero<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize]) -> Val<'r, B> {
    x.cast(DType::Bool).cast(DType::I64).sum(axes)
}

/// The position of the largest element of an axis: the first of equal ones, a NaN before all.
pub fn argmax<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    first_position(x, &x.amax(&[axis]), axis)
}

/// The position of the smallest element of an axis.
pub fn argmin<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    first_position(x, &x.amin(&[axis]), axis)
}

/// The first position along `axis` at which `x` equals `extreme` or is NaN.
pub(crate) fn first_position<'r, B: Builder>(
    x: &Val<'r, B>,
    extreme: &Val<'r, B>,
    axis: usize,
) -> Val<'r, B> {
    let mut hit = x.eq(extreme);
    if x.dtype().is_float() {
        hit = hit.or(x.is_nan());
    }
    let position = x.scope().iota(DType::I64, &x.shape(), axis);
    position.keep_where(&hit, x.size(axis)).amin(&[axis])
}

/// The element of each row at the row's `index` (`i64`, size 1 along `axis`): a sum over a mask, which
/// joins the kernel that found the index, forward and backward.
pub(crate) fn pick<'r, B: Builder>(x: &Val<'r, B>, index: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    let here = x.scope().iota(DType::I64, &x.shape(), axis).eq(index);
    x.keep_where(&here, 0.0).sum(&[axis])
}

/// `(values, positions)` of the largest elements of an axis; the derivative goes to the position alone.
pub fn max_along<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> (Val<'r, B>, Val<'r, B>) {
    along(x, argmax(&x.detach_number(), axis), axis)
}

/// `(values, positions)` of the smallest elements of an axis.
pub fn min_along<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> (Val<'r, B>, Val<'r, B>) {
    along(x, argmin(&x.detach_number(), axis), axis)
}

fn along<'r, B: Builder>(x: &Val<'r, B>, index: Val<'r, B>, axis: usize) -> (Val<'r, B>, Val<'r, B>) {
    let value = if x.dtype() == DType::Bool {
        pick(&x.cast(DType::U8), &index, axis).cast(DType::Bool)
    } else {
        pick(x, &index, axis)
    };
    (value, index)
}

impl<'r, B: Builder> Val<'r, B> {
    /// As numbers that reductions take (`bool` is not), without derivative.
    fn detach_number(&self) -> Val<'r, B> {
        let x = if self.dtype() == DType::Bool { self.cast(DType::U8) } else { self.clone() };
        if x.dtype().is_float() { x.detach() } else { x }
    }
}
