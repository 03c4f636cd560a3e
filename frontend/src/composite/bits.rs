//! Functions of a float's representation.

use super::Val;
use ttk_ir::{Builder, DType};

/// `(mantissa, exponent)` with `x = mantissa * 2^exponent` and a mantissa in `0.5..1`; the exponent is
/// `i32`. Zeros, infinities and NaN have exponent 0.
pub fn frexp<'r, B: Builder>(x: &Val<'r, B>) -> (Val<'r, B>, Val<'r, B>) {
    let dtype = x.dtype();
    let wide = x.detach().cast(DType::F64);
    let special = wide.eq(0.0).or(wide.abs().eq(f64::INFINITY)).or(wide.is_nan());
    // A denormal's exponent field says nothing: it is scaled up first.
    let tiny = wide.abs().lt(f64::MIN_POSITIVE);
    let bits = (&wide * 2f64.powi(54)).keep_where(&tiny, &wide).bitcast(DType::I64);
    let field = bits.shift_right(52i64).and(0x7ffi64);
    let exponent = &field - 1022i64;
    let exponent = (&exponent - 54i64).keep_where(&tiny, &exponent).masked(&special, 0i64);
    let kept = bits.and(!(0x7ffi64 << 52)).or(1022i64 << 52);
    let mantissa = kept.bitcast(DType::F64).masked(&special, &wide);
    // The derivative is that of a division by the power of two.
    let scale = mantissa.full_like(2.0).pow((-&exponent).cast(DType::F64)).detach();
    let linear = x.cast(DType::F64) * scale.masked(&special, 1.0);
    let unbounded = special.and(wide.ne(0.0));
    let mantissa = mantissa + (&linear - linear.detach()).masked(&unbounded, 0.0);
    // Infinities and NaN are their own mantissas, with slope 1.
    let mantissa = mantissa.masked(&unbounded, x.cast(DType::F64));
    (mantissa.cast(dtype), exponent.cast(DType::I32))
}

/// The next float after `x` towards `y`. The derivative is that of `x`.
pub fn nextafter<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    let (x, y) = super::broadcast(x, y);
    let dtype = x.dtype();
    let pattern = match dtype {
        DType::F64 => DType::I64,
        DType::F32 => DType::I32,
        DType::F16 | DType::BF16 => DType::I16,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => return x,
    };
    let bits = x.bitcast(pattern);
    let away = x.lt(&y).eq(x.gt(0.0));
    let moved = (&bits + 1i64).keep_where(&away, &bits - 1i64).bitcast(dtype);
    let least = bits.full_like(0.0) + 1i64;
    let least = super::arithmetic::copysign(&least.bitcast(dtype), &y);
    let moved = moved.masked(&x.eq(0.0), least).masked(&x.eq(&y), &y);
    let nan = x.is_nan().or(y.is_nan());
    let slope = (&x - x.detach()).keep_where(&super::arithmetic::is_finite(&x), 0.0);
    moved.masked(&nan, f64::NAN).detach() + slope
}

/// Shifts by a number of bits that may be any; `torch`'s shifts on integers.
pub fn shift<'r, B: Builder>(x: &Val<'r, B>, by: &Val<'r, B>, left: bool) -> Val<'r, B> {
    if left { x.shift_left(by) } else { x.shift_right(by) }
}
