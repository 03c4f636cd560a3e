//! Elementary and special functions that are not primitives.
//!
//! Those that lose digits when composed in `f32` are computed in `f64` and rounded once.

use super::Val;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2, LN_10, LOG2_E, LOG10_E, PI};
use ttk_ir::{Builder, DType};

/// `formula` in double precision, rounded back.
pub(crate) fn in_double<'r, B: Builder>(
    x: &Val<'r, B>,
    formula: impl FnOnce(&Val<'r, B>) -> Val<'r, B>,
) -> Val<'r, B> {
    let dtype = x.dtype();
    formula(&x.cast(DType::F64)).cast(dtype)
}

/// `(negative, |x|)`, where the magnitude's slope at 0 is 1, so that an odd function built from it has
/// its right slope there.
pub(crate) fn split_sign<'r, B: Builder>(x: &Val<'r, B>) -> (Val<'r, B>, Val<'r, B>) {
    let negative = x.lt(0.0);
    let size = (-x).keep_where(&negative, x);
    (negative, size)
}

/// The odd function that is `formula` for positive arguments.
fn odd<'r, B: Builder>(x: &Val<'r, B>, formula: impl FnOnce(&Val<'r, B>) -> Val<'r, B>) -> Val<'r, B> {
    let (negative, size) = split_sign(x);
    let y = formula(&size);
    (-&y).keep_where(&negative, &y)
}

/// The polynomial with the given coefficients, highest power first.
pub(crate) fn horner<'r, B: Builder>(x: &Val<'r, B>, coefficients: &[f64]) -> Val<'r, B> {
    let (first, rest) = match coefficients.split_first() {
        Some((&first, rest)) => (first, rest),
        None => (0.0, coefficients),
    };
    rest.iter().fold(x.full_like(first), |sum, &c| sum * x + c)
}

pub fn asin<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| x.atan2(((1.0 - x) * (x + 1.0)).sqrt()))
}

pub fn acos<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| ((1.0 - x) * (x + 1.0)).sqrt().atan2(x))
}

pub fn atan<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| x.atan2(1.0))
}

pub fn tan<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| x.sin() / x.cos())
}

pub fn sinh<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| (x.expm1() - (-x).expm1()) * 0.5)
}

pub fn cosh<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| (x.exp() + (-x).exp()) * 0.5)
}

/// `log(x + sqrt(x² + 1))`; above 1e9 that is `log(2x)` to double precision, and `x²` may overflow.
pub fn asinh<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| {
        odd(x, |x| {
            let large = x.gt(1e9);
            let a = x.masked(&large, 1.0);
            let square = a.square();
            let near = (&a + &square / ((&square + 1.0).sqrt() + 1.0)).log1p();
            near.masked(&large, x.masked(&large.complement(), 1.0).log() + LN_2)
        })
    })
}

pub fn acosh<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| {
        let large = x.gt(1e9);
        let t = x.masked(&large, 2.0) - 1.0;
        let near = (&t + (&t * (&t + 2.0)).sqrt()).log1p();
        near.masked(&large, x.masked(&large.complement(), 1.0).log() + LN_2)
    })
}

pub fn atanh<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| (x.log1p() - (-x).log1p()) * 0.5)
}

pub fn exp2<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| x.full_like(2.0).pow(x))
}

/// In double precision, so that powers of two give integers.
pub fn log2<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    in_double(x, |x| x.log() * LOG2_E)
}

/// In double precision, so that powers of ten give integers.
pub fn log10<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    in_double(x, |x| x.log() * LOG10_E)
}

pub fn rsqrt<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| 1.0 / x.sqrt())
}

/// `sqrt(x)` with derivative 0 at 0 instead of infinity: that of a norm at the origin.
pub fn sqrt_of_squares<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    let zero = x.eq(0.0);
    x.masked(&zero, 1.0).sqrt().masked(&zero, 0.0)
}

/// `sin(pi x) / (pi x)`
pub fn sinc<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    in_double(x, |x| {
        let zero = x.eq(0.0);
        let angle = x.masked(&zero, 1.0) * PI;
        (angle.sin() / &angle).masked(&zero, 1.0)
    })
}

/// `log(x / (1 - x))`, of `x` limited to `eps..=1-eps` if given.
pub fn logit<'r, B: Builder>(x: &Val<'r, B>, eps: Option<f64>) -> Val<'r, B> {
    x.in_compute(|x| {
        let x = match eps {
            // Below `eps` counts first: the limits may cross.
            Some(eps) => x.masked(&x.gt(1.0 - eps), 1.0 - eps).masked(&x.lt(eps), eps),
            None => x.clone(),
        };
        (&x / (1.0 - &x)).log()
    })
}

/// `x * log(y)`, and 0 where `x` is 0 and `y` is not NaN.
pub fn xlogy<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    let flat = x.eq(0.0).and(y.le(0.0).or(y.eq(f64::INFINITY)));
    let (_, y) = super::broadcast(x, y);
    x * y.masked(&flat, 1.0).log()
}

/// `x * log(1 + y)`, and 0 where `x` is 0 and `y` is not NaN.
pub fn xlog1py<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    let flat = x.eq(0.0).and(y.le(-1.0).or(y.eq(f64::INFINITY)));
    let (_, y) = super::broadcast(x, y);
    x * y.masked(&flat, 0.0).log1p()
}

/// `-x log x`; 0 at 0 and -inf below.
pub fn entr<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| {
        let positive = x.gt(0.0).or(x.is_nan());
        let safe = x.keep_where(&positive, 1.0);
        let rest = x.eq(0.0).select(0.0, f64::NEG_INFINITY, x);
        (-(&safe * safe.log())).keep_where(&positive, rest)
    })
}

/// `log(exp(x) + exp(y))`
pub fn logaddexp<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    let (low, high, gap) = ordered_gap(x, y);
    drop(low);
    high + gap.exp().log1p()
}

/// `log2(2^x + 2^y)`
pub fn logaddexp2<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    let (_, high, gap) = ordered_gap(x, y);
    high + exp2(&gap).log1p() / LN_2
}

/// The smaller, the larger, and their difference (0 for equal infinities).
fn ordered_gap<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> (Val<'r, B>, Val<'r, B>, Val<'r, B>) {
    let less = x.lt(y);
    let (x, y) = super::broadcast(x, y);
    let (low, high) = (x.keep_where(&less, &y), y.keep_where(&less, &x));
    let same_infinity = low.eq(&high).and(low.abs().eq(f64::INFINITY));
    let gap = (&low - &high).masked(&same_infinity, 0.0);
    (low, high, gap)
}

/// `log(1 + exp(x))`, exact for large and small `x`.
pub(crate) fn softplus_of<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    let (low, high) = (x.lt(0.0), x.ge(0.0));
    (-x).keep_where(&high, x).exp().log1p() + x.masked(&low, 0.0)
}

/// `sqrt(x² + y²)` without overflow in `f32`.
pub fn hypot<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    let dtype = x.dtype();
    let (x, y) = (x.cast(DType::F64), y.cast(DType::F64));
    let infinite = x.abs().eq(f64::INFINITY).or(y.abs().eq(f64::INFINITY));
    (x.square() + y.square()).sqrt().masked(&infinite, f64::INFINITY).cast(dtype)
}

/// `1 - erf(x)` without cancellation.
///
/// For `x >= 0`, with `t = 2 / (2 + x)`: `t * exp(-x² + P(t))`, `P` fitted to double precision (the form
/// is that of Numerical Recipes 6.2.2).
pub fn erfc<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    in_double(x, |x| {
        let (negative, size) = split_sign(x);
        let tail = (erfcx_log(&size) - size.square()).exp();
        (2.0 - &tail).keep_where(&negative, &tail)
    })
}

/// `log(exp(x²) erfc(x))` for `x >= 0`
fn erfcx_log<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    let t = 2.0 / (x + 2.0);
    horner(&(&t * 2.0 - 1.0), &ERFCX_LOG) + t.log()
}

/// `exp(x²) erfc(x)`
pub fn erfcx<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    in_double(x, |x| {
        let (negative, size) = split_sign(x);
        let up = erfcx_log(&size).exp();
        (x.square().exp() * 2.0 - &up).keep_where(&negative, &up)
    })
}

/// The inverse of `erf`: Giles' approximation ("Approximating the erfinv function", 2010) and two steps
/// of Newton's method in double precision.
pub fn erfinv<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    in_double(x, |x| {
        let inside = x.abs().lt(1.0);
        let a = x.keep_where(&inside, 0.0);
        let w = -((1.0 - &a) * (&a + 1.0)).log();
        let centre = w.lt(5.0);
        let near = horner(&(w.keep_where(&centre, 2.5) - 2.5), &ERFINV_NEAR);
        let far = horner(&(w.masked(&centre, 9.0).sqrt() - 3.0), &ERFINV_FAR);
        let mut y = near.keep_where(&centre, far) * &a;
        for _ in 0..2 {
            let slope = (-y.square()).exp() * FRAC_2_SQRT_PI;
            y = &y - (y.erf() - &a) / slope;
        }
        // Infinite at the ends, NaN beyond.
        let end = x.abs().eq(1.0);
        let outside = (x.detach() * f64::INFINITY).keep_where(&end, f64::NAN);
        y.keep_where(&inside, outside)
    })
}

/// The normal distribution function.
pub fn ndtr<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    in_double(x, |x| erfc(&(x * -FRAC_1_SQRT_2)) * 0.5)
}

/// The logarithm of [`ndtr`].
pub fn log_ndtr<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    in_double(x, |x| {
        let low = x.lt(-1.0);
        let a = x.keep_where(&low, -1.0) * -FRAC_1_SQRT_2;
        let tail = erfcx_log(&a) - a.square() - LN_2;
        let rest = (erfc(&(x.masked(&low, 0.0) * FRAC_1_SQRT_2)) * -0.5).log1p();
        tail.keep_where(&low, rest)
    })
}

/// The inverse of [`ndtr`].
pub fn ndtri<'r, B: Builder>(p: &Val<'r, B>) -> Val<'r, B> {
    in_double(p, |p| erfinv(&(p * 2.0 - 1.0)) * std::f64::consts::SQRT_2)
}

pub fn deg2rad<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x * (PI / 180.0)
}

pub fn rad2deg<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x * (180.0 / PI)
}

/// `10^x`
pub fn exp10<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    in_double(x, |x| (x * LN_10).exp())
}

const ERFINV_NEAR: [f64; 9] = [
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
];

const ERFINV_FAR: [f64; 9] = [
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
];

/// `log(exp(x²) erfc(x) / t)` as a polynomial in `2t - 1`: a Chebyshev fit, error below 2e-16.
const ERFCX_LOG: [f64; 26] = [
    -1.5867042973455195e-09,
    -1.2776086556636262e-08,
    3.972203550643594e-08,
    7.745572409518388e-08,
    -3.1683413686906415e-07,
    -4.146853756067617e-08,
    1.3267813610200154e-06,
    -1.4094459914206208e-06,
    -3.007645434589994e-06,
    8.662535397470452e-06,
    1.699233232492028e-07,
    -3.0237840540072327e-05,
    3.1733105993710813e-05,
    7.141810433422499e-05,
    -0.0001742998493315376,
    -9.373894767667389e-05,
    0.0006736782697069793,
    -0.00014624628742128384,
    -0.0023458124448021557,
    0.0017589335074028032,
    0.008824938553738764,
    -0.009872689364099222,
    -0.046895610231083025,
    0.047343306841863525,
    0.672643223977656,
    -0.6717940840566922,
];
