//! Arithmetic beyond the primitives, and predicates.

use super::Val;
use super::rounding::{floor_divide, trunc};
use ttk_ir::{Builder, DType};

/// `x` limited to `low..=high`, with slope 0 at both ends; if they cross, `high` wins. NaN stays.
pub fn clamp<'r, B: Builder>(x: &Val<'r, B>, low: Option<f64>, high: Option<f64>) -> Val<'r, B> {
    let y = low.map_or_else(|| x.clone(), |low| x.masked(&x.le(low), low));
    high.map_or_else(|| y.clone(), |high| y.masked(&y.ge(high), high))
}

/// [`clamp`] to values; a NaN limit gives NaN, and limit and value share the derivative where they meet.
pub fn clamp_to<'r, B: Builder>(
    x: &Val<'r, B>,
    low: Option<&Val<'r, B>>,
    high: Option<&Val<'r, B>>,
) -> Val<'r, B> {
    let y = low.map_or_else(|| x.clone(), |low| x.max(low));
    high.map_or_else(|| y.clone(), |high| y.min(high))
}

/// `start + weight * (end - start)`, from the nearer end, so that weight 1 gives `end` exactly.
pub fn lerp<'r, B: Builder>(start: &Val<'r, B>, end: &Val<'r, B>, weight: &Val<'r, B>) -> Val<'r, B> {
    let gap = end - start;
    let near = start + weight * &gap;
    let far = end - &gap * (1.0 - weight);
    weight.abs().lt(0.5).select(&near, &far, &near)
}

/// [`lerp`] with a number for weight.
pub fn lerp_by<'r, B: Builder>(start: &Val<'r, B>, end: &Val<'r, B>, weight: f64) -> Val<'r, B> {
    let gap = end - start;
    if weight.abs() < 0.5 { start + gap * weight } else { end - gap * (1.0 - weight) }
}

/// `x + value * y * z`
pub fn addcmul<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>, z: &Val<'r, B>, value: f64) -> Val<'r, B> {
    if value == 1.0 { x + y * z } else { x + y * value * z }
}

/// `x + value * y / z`
pub fn addcdiv<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>, z: &Val<'r, B>, value: f64) -> Val<'r, B> {
    if value == 1.0 { x + y / z } else { x + y * value / z }
}

/// How [`div`] rounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rounding {
    None,
    Trunc,
    Floor,
}

/// Division of floats, or of integers when rounding.
pub fn div<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>, rounding: Rounding) -> Val<'r, B> {
    match rounding {
        Rounding::None => x / y,
        Rounding::Trunc if x.dtype().is_float() => trunc(&(x / y)),
        // The primitive truncates integers.
        Rounding::Trunc => x / y,
        Rounding::Floor => floor_divide(x, y),
    }
}

/// The remainder with the divisor's sign, as Python's `%`.
pub fn remainder<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    let rest = x.remainder_of(y);
    if !x.dtype().is_signed() {
        return rest;
    }
    let opposite = rest.lt(0.0).xor(y.lt(0.0)).and(rest.ne(0.0));
    (&rest + y).keep_where(&opposite, &rest)
}

/// `value`, on the tape of `like` with derivative 0. The shapes are equal.
pub fn attached<'r, B: Builder>(value: &Val<'r, B>, like: &Val<'r, B>) -> Val<'r, B> {
    value.scope().full(DType::Bool, &value.shape(), 1.0).select(value, like, like)
}

/// -1, 0 or 1; NaN gives 0. The derivative is 0.
pub fn sign<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    if x.dtype() == DType::Bool {
        return x.clone();
    }
    let down = x.lt(0.0).select(-1.0, 0.0, &x.detach());
    let step = x.gt(0.0).select(1.0, &down, &down);
    if x.dtype().is_float() { attached(&step, x) } else { step }
}

/// The angle of a real number in the complex plane: 0, pi below 0, NaN of NaN. The derivative is 0.
pub fn angle<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    let turned = x.lt(0.0).select(std::f64::consts::PI, 0.0, &x.detach());
    attached(&turned.masked(&x.is_nan(), f64::NAN), x)
}

/// Whether the sign bit is set: of -0.0 too.
pub fn signbit<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    let bits = match x.dtype() {
        DType::F64 => x.bitcast(DType::I64),
        DType::F32 => x.bitcast(DType::I32),
        DType::F16 | DType::BF16 => x.bitcast(DType::I16),
        DType::Bool => return x.ne(x),
        DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => x.clone(),
    };
    bits.lt(0i64)
}

/// The magnitude of `x` with the sign of `y`.
pub fn copysign<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    let size = x.abs();
    signbit(y).select(&-&size, &size, x)
}

pub fn is_finite<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    if x.dtype().is_float() { x.abs().lt(f64::INFINITY) } else { x.eq(x) }
}

pub fn is_inf<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    if x.dtype().is_float() { x.abs().eq(f64::INFINITY) } else { x.ne(x) }
}

/// NaN and infinities replaced by numbers.
pub fn nan_to_num<'r, B: Builder>(x: &Val<'r, B>, nan: f64, positive: f64, negative: f64) -> Val<'r, B> {
    if !x.dtype().is_float() {
        return x.clone();
    }
    x.masked(&x.is_nan(), nan)
        .masked(&x.eq(f64::INFINITY), positive)
        .masked(&x.eq(f64::NEG_INFINITY), negative)
}

/// 1 above 0, `at_zero` at it, else 0.
pub fn heaviside<'r, B: Builder>(x: &Val<'r, B>, at_zero: &Val<'r, B>) -> Val<'r, B> {
    let zero = x.eq(0.0);
    let step = x.gt(0.0).select(1.0, 0.0, &x.detach());
    step.masked(&zero, at_zero)
}

/// `|x - y| <= atol + rtol * |y|`, or equal.
pub fn isclose<'r, B: Builder>(
    x: &Val<'r, B>,
    y: &Val<'r, B>,
    rtol: f64,
    atol: f64,
    equal_nan: bool,
) -> Val<'r, B> {
    let mut close = x.eq(y);
    if equal_nan && x.dtype().is_float() {
        close = close.or(x.is_nan().and(y.is_nan()));
    }
    if rtol == 0.0 && atol == 0.0 {
        return close;
    }
    let wide = if x.dtype().is_float() { x.dtype() } else { DType::F64 };
    let (x, y) = (x.cast(wide), y.cast(wide));
    let gap = (&x - &y).abs();
    close.or(is_finite(&gap).and(gap.le(y.abs() * rtol + atol)))
}

/// Whether elements are not zero.
pub fn truth<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.cast(DType::Bool)
}

/// `x * 2^y`
pub fn ldexp<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    x * super::special::exp2(&y.cast(x.dtype()))
}

/// The larger; of a number and a NaN, the number.
pub fn fmax<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    if !x.dtype().is_float() {
        return x.max(y);
    }
    let take = x.ge(y).or(y.is_nan());
    take.select(x, y, x)
}

/// The smaller; of a number and a NaN, the number.
pub fn fmin<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    if !x.dtype().is_float() {
        return x.min(y);
    }
    let take = x.le(y).or(y.is_nan());
    take.select(x, y, x)
}
