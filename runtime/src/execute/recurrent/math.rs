//! Numbers of recurrent layers, and their functions in a form that compilers turn into vectors.

use super::Number;
use std::ops::{Div, Mul, Neg, Sub};
use ttk_ir::DType;

/// A number type of recurrent layers. `FMA` says whether the machine multiplies and adds at once.
pub(super) trait Real:
    Number
    + Send
    + Sync
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + PartialOrd
{
    const DTYPE: DType;
    const ONE: Self;

    fn sigmoid<const FMA: bool>(self) -> Self;
    fn tanh<const FMA: bool>(self) -> Self;
}

impl Real for f64 {
    const DTYPE: DType = DType::F64;
    const ONE: f64 = 1.0;

    #[inline(always)]
    fn sigmoid<const FMA: bool>(self) -> f64 {
        1.0 / (1.0 + (-self).exp())
    }

    #[inline(always)]
    fn tanh<const FMA: bool>(self) -> f64 {
        f64::tanh(self)
    }
}

/// `ln 2` in two parts; products of the first with whole numbers up to 2^9 are exact (Cody and Waite).
#[expect(clippy::excessive_precision, reason = "the number itself")]
const LN2: (f32, f32) = (0.693_359_375, -2.121_944_4e-4);

/// `(exp(r) - 1 - r) / r^2` on `|r| <= ln 2 / 2`, highest power first; from the Cephes library, `expf.c`.
#[expect(clippy::excessive_precision, reason = "as published")]
const EXP: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.000_000_1e-1];

/// `1.5 * 2^23`: added, it rounds to a whole number, which then stands in the lowest bits.
const ANCHOR: f32 = 12_582_912.0;

#[inline(always)]
fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    // Without the instruction it would be a call.
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `(2^n, exp(r) - 1)` with `x = n ln 2 + r`, for `|x| <= 87`.
#[inline(always)]
fn exp_parts<const FMA: bool>(x: f32) -> (f32, f32) {
    let shifted = fma::<FMA>(x, std::f32::consts::LOG2_E, ANCHOR);
    let n = shifted - ANCHOR;
    let r = fma::<FMA>(n, -LN2.1, fma::<FMA>(n, -LN2.0, x));
    let p = EXP[1..].iter().fold(EXP[0], |p, &c| fma::<FMA>(p, r, c));
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    (scale, fma::<FMA>(p * r, r, r))
}

/// `x`, but not below `low` and not above `high`; NaN stays.
#[inline(always)]
fn clamped(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

impl Real for f32 {
    const DTYPE: DType = DType::F32;
    const ONE: f32 = 1.0;

    #[inline(always)]
    fn sigmoid<const FMA: bool>(self) -> f32 {
        let (scale, p) = exp_parts::<FMA>(clamped(-self, -87.0, 87.0));
        let y = 1.0 / (1.0 + fma::<FMA>(scale, p, scale));
        // From there on the result is less than a normal number, soon none.
        if self < -87.0 { 0.0 } else { y }
    }

    /// `t / (t + 2)` with `t = exp(2 |x|) - 1`.
    #[inline(always)]
    fn tanh<const FMA: bool>(self) -> f32 {
        let a = self.abs();
        // From here on the result is 1.
        let a = if a > 10.0 { 10.0 } else { a };
        let (scale, p) = exp_parts::<FMA>(a + a);
        let t = fma::<FMA>(scale, p, scale - 1.0);
        (t / (t + 2.0)).copysign(self)
    }
}

/// The larger of a number and zero; NaN stays.
#[inline(always)]
pub(super) fn relu<T: Real>(x: T) -> T {
    if x < T::default() { T::default() } else { x }
}
