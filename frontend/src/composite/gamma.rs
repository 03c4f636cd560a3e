//! The gamma function's family, in double precision.
//!
//! An argument is shifted up by recurrence until an asymptotic series holds to the last digits.

use super::Val;
use super::special::{horner, in_double};
use std::f64::consts::{PI, TAU};
use ttk_ir::Builder;

/// How far arguments are shifted; the series below are good to 1e-16 from there on.
const SHIFT: i64 = 10;

/// `log |gamma(x)|`; by reflection below one half.
pub fn lgamma<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    in_double(x, |x| {
        let low = x.lt(0.5);
        let up = (1.0 - x).keep_where(&low, x);
        let value = lgamma_up(&up);
        let sine = sin_pi(&x.keep_where(&low, 0.5)).abs();
        let reflected = PI.ln() - sine.log() - &value;
        let y = reflected.keep_where(&low, &value);
        y.masked(&x.abs().eq(f64::INFINITY), f64::INFINITY)
    })
}

/// Stirling's series at `x + SHIFT`, less the logarithm of the product that the shift put in.
fn lgamma_up<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    let near = x.lt(1e8);
    let a = x.keep_where(&near, 1.0);
    let product = (1..SHIFT).fold(a.clone(), |p, k| p * (&a + k as f64));
    let z = &a + SHIFT as f64;
    let w = 1.0 / z.square();
    const SERIES: [f64; 8] = [
        -3617.0 / 122400.0,
        1.0 / 156.0,
        -691.0 / 360360.0,
        1.0 / 1188.0,
        -1.0 / 1680.0,
        1.0 / 1260.0,
        -1.0 / 360.0,
        1.0 / 12.0,
    ];
    let series = horner(&w, &SERIES) / &z;
    let shifted = (&z - 0.5) * z.log() - &z + 0.5 * TAU.ln() + series - product.log();
    let far = x.masked(&near, 2.0);
    let large = (&far - 0.5) * far.log() - &far + 0.5 * TAU.ln();
    shifted.keep_where(&near, large)
}

/// `sin(pi x)` up to its sign, the argument reduced before the multiplication: 0 at integers exactly.
fn sin_pi<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    ((x - x.round()) * PI).sin()
}

/// The derivative of [`lgamma`]. At 0 it is an infinity of the opposite sign, at negative integers NaN.
pub fn digamma<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    in_double(x, |x| {
        let low = x.lt(0.5);
        let pole = x.le(0.0).and(x.eq(x.floor()));
        let up = (1.0 - x).keep_where(&low, x);
        let value = digamma_up(&up);
        // The tangent has period 1.
        let part = x - x.round();
        let angle = part.keep_where(&low.and(pole.complement()), 0.25) * PI;
        let reflected = &value - angle.cos() * PI / angle.sin();
        let y = reflected.keep_where(&low, &value);
        let at_pole = (x.full_like(-1.0) / x).keep_where(&x.eq(0.0), f64::NAN);
        y.masked(&pole, at_pole)
    })
}

fn digamma_up<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    let shift = (1..SHIFT).fold(1.0 / x, |sum, k| sum + 1.0 / (x + k as f64));
    let z = x + SHIFT as f64;
    let w = 1.0 / z.square();
    const SERIES: [f64; 7] =
        [-1.0 / 12.0, 691.0 / 32760.0, -1.0 / 132.0, 1.0 / 240.0, -1.0 / 252.0, 1.0 / 120.0, -1.0 / 12.0];
    z.log() - 0.5 / &z + horner(&w, &SERIES) * &w - shift
}

/// The `n`-th derivative of [`digamma`].
pub fn polygamma<'r, B: Builder>(n: i64, x: &Val<'r, B>) -> Val<'r, B> {
    if n == 0 {
        return digamma(x);
    }
    in_double(x, |x| {
        let factorial: f64 = (1..=n).map(|k| k as f64).product();
        let sign = if n % 2 == 0 { -1.0 } else { 1.0 };
        // Below one half by reflection: the sum of (x + k)^-(n + 1) over all integers k is a polynomial in
        // the cotangent, since that is the n-th derivative of pi cot(pi x) over (-1)^n n!.
        let low = x.lt(0.5);
        let inner = x.keep_where(&low, 0.25);
        let upper = hurwitz_zeta((n + 1) as f64, &(1.0 - x).keep_where(&low, x));
        // The cotangent has period 1.
        let angle = (&inner - inner.floor()) * PI;
        let cotangent = angle.cos() / angle.sin();
        let full = super::special::horner(&cotangent, &cotangent_derivative(n)) * (-sign / factorial);
        let reflected = full - &upper * sign;
        reflected.keep_where(&low, &upper) * (sign * factorial)
    })
}

/// The coefficients, highest power first, of the `n`-th derivative of `pi cot(pi x)` as a polynomial in the
/// cotangent `c`: `p` becomes `-pi (1 + c²) p'`.
fn cotangent_derivative(n: i64) -> Vec<f64> {
    let mut p = vec![0.0, PI];
    for _ in 0..n {
        let mut next = vec![0.0; p.len() + 1];
        for (k, a) in p.iter().enumerate().skip(1) {
            next[k - 1] -= PI * k as f64 * a;
            next[k + 1] -= PI * k as f64 * a;
        }
        p = next;
    }
    p.reverse();
    p
}

/// The sum of `(q + k)^-s` over `k >= 0`, by the Euler-Maclaurin formula; `s > 1`, `q > 0`.
pub fn hurwitz_zeta<'r, B: Builder>(s: f64, q: &Val<'r, B>) -> Val<'r, B> {
    in_double(q, |q| {
        let head = (1..SHIFT).fold(q.pow(-s), |sum, k| sum + (q + k as f64).pow(-s));
        let z = q + SHIFT as f64;
        let power = z.pow(-s);
        let mut sum = head + &power * 0.5 + &z * &power / (s - 1.0);
        // Bernoulli numbers over factorials: B2/2!, B4/4!, ...
        const RATIOS: [f64; 8] = [
            1.0 / 12.0,
            -1.0 / 720.0,
            1.0 / 30240.0,
            -1.0 / 1209600.0,
            1.0 / 47900160.0,
            -691.0 / 1307674368000.0,
            1.0 / 74724249600.0,
            -3617.0 / 10670622842880000.0,
        ];
        let mut factor = s;
        let mut term = &power / &z;
        for (j, ratio) in RATIOS.into_iter().enumerate() {
            sum = sum + &term * (ratio * factor);
            let k = 2.0 * j as f64;
            factor *= (s + k + 1.0) * (s + k + 2.0);
            term = term / z.square();
        }
        sum
    })
}

/// The logarithm of the multivariate gamma function of dimension `p`.
pub fn mvlgamma<'r, B: Builder>(x: &Val<'r, B>, p: i64) -> Val<'r, B> {
    let constant = p as f64 * (p - 1) as f64 / 4.0 * PI.ln();
    in_double(x, |x| (1..p).fold(lgamma(x), |sum, j| sum + lgamma(&(x - j as f64 / 2.0))) + constant)
}
