//! Rounding.

use super::Val;
use ttk_ir::Builder;

/// Toward zero; -0.0 keeps its sign.
pub fn trunc<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    if !x.dtype().is_float() {
        return x.clone();
    }
    super::arithmetic::copysign(&x.abs().floor(), x)
}

/// `x - trunc(x)`
pub fn frac<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x - trunc(x)
}

pub fn floor<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    if x.dtype().is_float() { x.floor() } else { x.clone() }
}

pub fn ceil<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    if x.dtype().is_float() { -(-x).floor() } else { x.clone() }
}

/// To `decimals` digits after the point, ties to even.
pub fn round<'r, B: Builder>(x: &Val<'r, B>, decimals: i32) -> Val<'r, B> {
    if !x.dtype().is_float() {
        return x.clone();
    }
    match decimals {
        0 => x.round(),
        d if d > 0 => {
            let unit = 10f64.powi(d);
            x.in_compute(|x| (x * unit).round() / unit)
        }
        d => {
            let unit = 10f64.powi(-d);
            x.in_compute(|x| (x / unit).round() * unit)
        }
    }
}

/// The floor of the quotient.
///
/// For floats as Python and PyTorch do it: from the exact remainder, so that a quotient that rounds up
/// to an integer is not taken for it.
pub fn floor_divide<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    let rest = x.remainder_of(y);
    let adjust = rest.ne(0.0).and(rest.lt(0.0).xor(y.lt(0.0)));
    if !x.dtype().is_float() {
        let quotient = x / y;
        return if x.dtype().is_signed() {
            (&quotient - 1.0).keep_where(&adjust, &quotient)
        } else {
            quotient
        };
    }
    let whole = (x - &rest) / y;
    let whole = (&whole - 1.0).keep_where(&adjust, &whole);
    let down = whole.floor();
    let down = (&down + 1.0).keep_where(&(&whole - &down).gt(0.5), &down);
    let plain = x / y;
    // A zero has the sign of the plain quotient; dividing by 0 gives what plain division gives.
    let down = super::arithmetic::copysign(&plain.full_like(0.0), &plain).keep_where(&whole.eq(0.0), down);
    let by_zero = y.eq(0.0);
    by_zero.select(&plain, &down, &plain)
}
