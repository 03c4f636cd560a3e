//! Special functions whose loops depend on the argument, element by element in double precision.
//!
//! The kernel `special.NAME` takes one or two `f64` operands of one shape and gives an `f64` result of that
//! shape. What has a formula in a fixed number of steps is no kernel but a composition of primitives.

use super::{CustomInput, CustomKernel, CustomOutput, numbers, write_numbers};
use std::f64::consts::{FRAC_PI_4, PI};
use std::sync::Arc;

#[derive(Clone, Copy)]
enum Function {
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
}

/// Every function of this module, by name.
static FUNCTIONS: &[(&str, Function)] = &[
    ("airy_ai", Function::One(airy_ai)),
    ("bessel_j0", Function::One(libm::j0)),
    ("bessel_j1", Function::One(libm::j1)),
    ("bessel_y0", Function::One(libm::y0)),
    ("bessel_y1", Function::One(libm::y1)),
    ("modified_bessel_k0", Function::One(|x| scaled_k(0.0, x) * (-x).exp())),
    ("modified_bessel_k1", Function::One(|x| scaled_k(1.0, x) * (-x).exp())),
    ("scaled_modified_bessel_k0", Function::One(|x| scaled_k(0.0, x))),
    ("scaled_modified_bessel_k1", Function::One(|x| scaled_k(1.0, x))),
    ("zeta", Function::Two(zeta)),
    ("igamma", Function::Two(igamma)),
    ("igammac", Function::Two(igammac)),
    ("chebyshev_polynomial_t", Function::Two(|x, n| chebyshev(x, n, x))),
    ("chebyshev_polynomial_u", Function::Two(|x, n| chebyshev(x, n, 2.0 * x))),
    ("chebyshev_polynomial_v", Function::Two(|x, n| chebyshev(x, n, 2.0 * x - 1.0))),
    ("chebyshev_polynomial_w", Function::Two(|x, n| chebyshev(x, n, 2.0 * x + 1.0))),
    ("hermite_polynomial_h", Function::Two(|x, n| recur(n, 2.0 * x, |k, q, p| 2.0 * x * q - 2.0 * k * p))),
    ("hermite_polynomial_he", Function::Two(|x, n| recur(n, x, |k, q, p| x * q - k * p))),
    (
        "laguerre_polynomial_l",
        Function::Two(|x, n| recur(n, 1.0 - x, |k, q, p| ((2.0 * k + 1.0 - x) * q - k * p) / (k + 1.0))),
    ),
    (
        "legendre_polynomial_p",
        Function::Two(|x, n| recur(n, x, |k, q, p| ((2.0 * k + 1.0) * x * q - k * p) / (k + 1.0))),
    ),
];

/// The kernel of a name `special.NAME`.
pub(crate) fn find(name: &str) -> Option<CustomKernel> {
    let name = name.strip_prefix("special.")?;
    let &(_, function) = FUNCTIONS.iter().find(|(n, _)| *n == name)?;
    Some(Arc::new(move |_, inputs, output| apply(function, inputs, output)))
}

fn apply(function: Function, inputs: &[CustomInput<'_>], mut out: CustomOutput<'_>) -> Result<(), String> {
    let result: Vec<f64> = match (function, inputs) {
        (Function::One(f), [x]) => numbers(x)?.into_iter().map(f).collect(),
        (Function::Two(f), [x, y]) => {
            numbers(x)?.into_iter().zip(numbers(y)?).map(|(x, y)| f(x, y)).collect()
        }
        (Function::One(_) | Function::Two(_), _) => {
            return Err(format!("{} operands were given", inputs.len()));
        }
    };
    write_numbers(&mut out, &result)
}

/// Polynomials of degree `n` (truncated to an integer; 0 below degree 0) by a three-term recurrence from 1
/// and `first`: `next(k, p[k], p[k - 1])` is `p[k + 1]`.
fn recur(n: f64, first: f64, next: impl Fn(f64, f64, f64) -> f64) -> f64 {
    let n = n.trunc();
    if n < 0.0 {
        return 0.0;
    }
    if n == 0.0 {
        return 1.0;
    }
    let (mut before, mut now, mut k) = (1.0, first, 1.0);
    while k < n && !now.is_nan() {
        (before, now) = (now, next(k, now, before));
        k += 1.0;
    }
    now
}

/// The Chebyshev polynomials share a recurrence and differ in the polynomial of degree 1.
fn chebyshev(x: f64, n: f64, first: f64) -> f64 {
    recur(n, first, |_, q, p| 2.0 * x * q - p)
}

/// `exp(x)` times the modified Bessel function of the second kind of order `v`: the integral of
/// `exp(-x (cosh t - 1)) cosh(v t)` over `t >= 0` (DLMF 10.32.9).
///
/// The integrand is analytic and falls off doubly exponentially, so the trapezoidal rule converges
/// geometrically in `1 / h`; a narrow peak (large `x`) wants steps in proportion to its width.
fn scaled_k(v: f64, x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::INFINITY;
    }
    if x == f64::INFINITY {
        return 0.0;
    }
    let h = 0.2_f64.min(0.6 / x.sqrt());
    let (mut sum, mut t) = (0.5, h);
    loop {
        // cosh t - 1, without cancellation.
        let half = (t / 2.0).sinh();
        let exponent = 2.0 * x * half * half - v * t;
        sum += (-2.0 * x * half * half).exp() * (v * t).cosh();
        if exponent > 42.0 {
            return h * sum;
        }
        t += h;
    }
}

/// The Airy function Ai: its Taylor series near 0, K of order 1/3 above (DLMF 9.6.2), and the asymptotic
/// expansion below (DLMF 9.7.9).
fn airy_ai(x: f64) -> f64 {
    if x.is_nan() || x.is_infinite() {
        return f64::NAN;
    }
    if x > 104.0 {
        return 0.0;
    }
    let zeta = 2.0 / 3.0 * x.abs().powf(1.5);
    if x > 2.0 {
        return (x / 3.0).sqrt() / PI * scaled_k(1.0 / 3.0, zeta) * (-zeta).exp();
    }
    if x >= -7.0 {
        let cube = x * x * x;
        let (mut f, mut g) = (1.0, x);
        let (mut even, mut odd, mut k) = (1.0, x, 0.0);
        while k < 60.0 {
            f *= cube / ((3.0 * k + 2.0) * (3.0 * k + 3.0));
            g *= cube / ((3.0 * k + 3.0) * (3.0 * k + 4.0));
            even += f;
            odd += g;
            k += 1.0;
        }
        return 0.355_028_053_887_817_2 * even - 0.258_819_403_792_806_8 * odd;
    }
    let (mut u, mut even, mut odd, mut k) = (1.0_f64, 1.0, 0.0, 1.0);
    while k < 14.0 {
        u *= (6.0 * k - 5.0) * (6.0 * k - 3.0) * (6.0 * k - 1.0) / (216.0 * k * (2.0 * k - 1.0)) / zeta;
        let sign = if (k / 2.0).floor() % 2.0 == 0.0 { 1.0 } else { -1.0 };
        if k % 2.0 == 0.0 {
            even += sign * u
        } else {
            odd += sign * u
        }
        k += 1.0;
    }
    let angle = zeta + FRAC_PI_4;
    (angle.sin() * even - angle.cos() * odd) / (PI.sqrt() * x.abs().powf(0.25))
}

/// The Hurwitz zeta function, the sum of `(q + k)^-s` over `k >= 0`, by Euler and Maclaurin's formula.
fn zeta(s: f64, q: f64) -> f64 {
    if s == 1.0 {
        return f64::INFINITY;
    }
    if s.is_nan() || s <= 1.0 || q.is_nan() {
        return f64::NAN;
    }
    if q <= 0.0 {
        if q == q.floor() {
            return f64::INFINITY;
        }
        if s != s.floor() {
            return f64::NAN;
        }
    }
    let (mut sum, mut at, mut terms) = (0.0, q, 0);
    while terms < 12 || at <= 12.0 {
        sum += at.powf(-s);
        at += 1.0;
        terms += 1;
    }
    let power = at.powf(-s);
    sum += power * at / (s - 1.0) + 0.5 * power;
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
    let (mut factor, mut term) = (s, power / at);
    for (j, ratio) in RATIOS.into_iter().enumerate() {
        sum += ratio * factor * term;
        let k = 2.0 * j as f64;
        factor *= (s + k + 1.0) * (s + k + 2.0);
        term /= at * at;
    }
    sum
}

/// `x^a exp(-x) / gamma(a)`.
fn gamma_factor(a: f64, x: f64) -> f64 {
    (a * x.ln() - x - libm::lgamma(a)).exp()
}

/// The regularized lower incomplete gamma function; `a` and `x` are not negative.
fn igamma(a: f64, x: f64) -> f64 {
    if a.is_nan() || x.is_nan() || a < 0.0 || x < 0.0 {
        return f64::NAN;
    }
    if a == 0.0 {
        return if x > 0.0 { 1.0 } else { f64::NAN };
    }
    if x == 0.0 {
        return 0.0;
    }
    if a.is_infinite() {
        return if x.is_infinite() { f64::NAN } else { 0.0 };
    }
    if x.is_infinite() {
        return 1.0;
    }
    if x > 1.0 && x > a { 1.0 - upper_fraction(a, x) } else { lower_series(a, x) }
}

/// The regularized upper incomplete gamma function; `a` and `x` are not negative.
fn igammac(a: f64, x: f64) -> f64 {
    if a.is_nan() || x.is_nan() || a < 0.0 || x < 0.0 {
        return f64::NAN;
    }
    if a == 0.0 {
        return if x > 0.0 { 0.0 } else { f64::NAN };
    }
    if x == 0.0 {
        return 1.0;
    }
    if a.is_infinite() {
        return if x.is_infinite() { f64::NAN } else { 1.0 };
    }
    if x.is_infinite() {
        return 0.0;
    }
    if x > 1.0 && x > a { upper_fraction(a, x) } else { 1.0 - lower_series(a, x) }
}

/// DLMF 8.11.4.
fn lower_series(a: f64, x: f64) -> f64 {
    let (mut sum, mut term, mut n) = (1.0, 1.0, a);
    for _ in 0..20_000 {
        n += 1.0;
        term *= x / n;
        sum += term;
        if term <= 1e-17 * sum {
            break;
        }
    }
    gamma_factor(a, x) * sum / a
}

/// DLMF 8.9.2, evaluated by Lentz's method.
fn upper_fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut h = d;
    for i in 1..20_000 {
        let i = f64::from(i);
        let numerator = -i * (i - a);
        b += 2.0;
        let nonzero = |v: f64| if v.abs() < TINY { TINY } else { v };
        d = 1.0 / nonzero(numerator * d + b);
        c = nonzero(b + numerator / c);
        let delta = d * c;
        h *= delta;
        if (delta - 1.0).abs() < 1e-16 {
            break;
        }
    }
    gamma_factor(a, x) * h
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, arguments: &[f64], want: f64) {
        let function = FUNCTIONS.iter().find(|(n, _)| *n == name).map(|(_, f)| *f);
        let got = match (function, arguments) {
            (Some(Function::One(f)), [x]) => f(*x),
            (Some(Function::Two(f)), [x, y]) => f(*x, *y),
            _ => panic!("{name} is not a function of {} arguments", arguments.len()),
        };
        let close = (got - want).abs() <= 1e-10 * want.abs().max(1e-3);
        assert!(close || got == want, "{name}{arguments:?} = {got}, not {want}");
    }

    /// Values of Abramowitz and Stegun's tables, and of closed forms.
    #[test]
    fn known_values() {
        check("airy_ai", &[0.0], 0.355_028_053_887_817_2);
        check("airy_ai", &[1.0], 0.135_292_416_312_881_42);
        check("airy_ai", &[5.0], 1.083_444_281_360_744_2e-4);
        check("airy_ai", &[-2.0], 0.227_407_428_201_685_6);
        check("airy_ai", &[-10.0], 0.040_241_238_486_441_96);
        check("modified_bessel_k0", &[1.0], 0.421_024_438_240_708_34);
        check("modified_bessel_k1", &[1.0], 0.601_907_230_197_234_6);
        check("modified_bessel_k0", &[100.0], 4.656_628_229_175_902e-45);
        check("modified_bessel_k0", &[0.0], f64::INFINITY);
        check("zeta", &[2.0, 1.0], PI * PI / 6.0);
        check("zeta", &[2.0, -0.5], PI * PI / 2.0 + 4.0);
        check("igamma", &[1.0, 2.0], 1.0 - (-2.0_f64).exp());
        check("igammac", &[0.5, 1.0], libm::erfc(1.0));
        check("igammac", &[0.5, 0.04], libm::erfc(0.2));
        check("chebyshev_polynomial_t", &[0.3, 5.0], (5.0 * 0.3_f64.acos()).cos());
        check("hermite_polynomial_h", &[0.5, 3.0], 8.0 * 0.125 - 12.0 * 0.5);
        check("hermite_polynomial_he", &[2.0, 3.0], 2.0);
        check("laguerre_polynomial_l", &[1.0, 2.0], -0.5);
        check("legendre_polynomial_p", &[0.5, 2.0], -0.125);
    }
}
