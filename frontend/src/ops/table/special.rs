//! Special functions beyond the elementary ones.
//!
//! Those that PyTorch differentiates are compositions, or tied to their derivatives; the others are kernels of
//! the runtime, through which no derivative flows.

use super::rows;
use super::support::{V, float1, float2, with1};
use crate::composite::{arithmetic as ar, bessel, bits, gamma, special};
use crate::error::{Error, Result};
use crate::ops::call::{Call, Returned};
use crate::ops::tied::{Tied, call, kernel};

/// A kernel of the runtime of one value.
fn kernel1<'r>(name: &str, x: &V<'r>) -> V<'r> {
    let x = x.detach();
    kernel(name, &[], &[&x], &x.sizes()).cast(x.dtype())
}

/// A kernel of the runtime of two values of one shape.
fn kernel2<'r>(name: &str, x: &V<'r>, y: &V<'r>) -> V<'r> {
    let (x, y) = (x.detach(), y.detach());
    kernel(name, &[], &[&x, &y], &x.sizes()).cast(x.dtype())
}

/// The incomplete gamma functions in `x`; PyTorch has no derivative in `a`.
static IGAMMA: Tied = Tied {
    name: "Igamma",
    forward: |_, v| vec![kernel2("special.igamma", &v[0], &v[1])],
    derivative: |_, v, _, g| vec![None, g[0].as_ref().map(|g| g * gamma_density(&v[0], &v[1]))],
};

static IGAMMAC: Tied = Tied {
    name: "Igammac",
    forward: |_, v| vec![kernel2("special.igammac", &v[0], &v[1])],
    derivative: |_, v, _, g| vec![None, g[0].as_ref().map(|g| -(g * gamma_density(&v[0], &v[1])))],
};

/// The Hurwitz zeta function in `q`; PyTorch has no derivative in the exponent.
static ZETA: Tied = Tied {
    name: "SpecialZeta",
    forward: |_, v| vec![kernel2("special.zeta", &v[0], &v[1])],
    derivative: |_, v, _, g| {
        let slope = || call(&ZETA, &[], &[&(&v[0] + 1.0), &v[1]]).remove(0) * -&v[0];
        vec![None, g[0].as_ref().map(|g| g * slope())]
    },
};

/// `x^(a - 1) exp(-x) / gamma(a)`
fn gamma_density<'r>(a: &V<'r>, x: &V<'r>) -> V<'r> {
    ((a - 1.0) * x.log() - x - gamma::lgamma(a)).exp()
}

/// A kernel of one value with its slope, from the kernels of both orders (DLMF 10.6.3, 10.29.3).
macro_rules! bessel {
    ($static:ident, $name:literal, $kernel:literal, $slope:expr) => {
        static $static: Tied = Tied {
            name: $name,
            forward: |_, v| vec![kernel1($kernel, &v[0])],
            derivative: |_, v, y, g| {
                let slope: for<'r> fn(&V<'r>, &V<'r>) -> V<'r> = $slope;
                vec![g[0].as_ref().map(|g| g * slope(&v[0], &y[0]))]
            },
        };
    };
}

fn of<'r>(op: &'static Tied, x: &V<'r>) -> V<'r> {
    call(op, &[], &[x]).remove(0)
}

bessel!(J0, "SpecialBesselJ0", "special.bessel_j0", |x, _| -of(&J1, x));
bessel!(J1, "SpecialBesselJ1", "special.bessel_j1", |x, y| {
    let zero = x.eq(0.0);
    (of(&J0, x) - y / x.masked(&zero, 1.0)).masked(&zero, 0.5)
});
bessel!(Y0, "SpecialBesselY0", "special.bessel_y0", |x, _| -of(&Y1, x));
bessel!(Y1, "SpecialBesselY1", "special.bessel_y1", |x, y| of(&Y0, x) - y / x);
bessel!(K0, "SpecialModifiedBesselK0", "special.modified_bessel_k0", |x, _| -of(&K1, x));
bessel!(K1, "SpecialModifiedBesselK1", "special.modified_bessel_k1", |x, y| -of(&K0, x) - y / x);

fn tied2(c: &mut Call<'_>, f: for<'r> fn(&V<'r>, &V<'r>) -> V<'r>) -> Result<Returned> {
    float2(c, f)
}

fn polygamma(c: &mut Call<'_>, n: i64, x: usize) -> Result<Returned> {
    if n < 0 {
        return Err(Error::runtime("polygamma(n, x) does not support negative n."));
    }
    let x = c.value(x)?;
    let x = super::support::to_float(&mut c.b, &x);
    Ok(with1(&mut c.b, &x, |x| gamma::polygamma(n, x)).into())
}

/// `sin(x) / x`, by its series near 0.
fn spherical_bessel_j0<'r>(x: &V<'r>) -> V<'r> {
    special::in_double(&x.detach(), |x| {
        let near = x.abs().lt(0.5);
        let far = x.masked(&near, 1.0);
        const SERIES: [f64; 7] = [
            1.0 / 6227020800.0,
            -1.0 / 39916800.0,
            1.0 / 362880.0,
            -1.0 / 5040.0,
            1.0 / 120.0,
            -1.0 / 6.0,
            1.0,
        ];
        let value = special::horner(&x.square(), &SERIES).keep_where(&near, far.sin() / &far);
        value.masked(&x.abs().eq(f64::INFINITY), 0.0)
    })
}

macro_rules! polynomial {
    ($name:literal) => {
        |c| float2(c, |x, n| kernel2(concat!("special.", $name), x, n))
    };
    (shifted $name:literal) => {
        |c| float2(c, |x, n| kernel2(concat!("special.", $name), &(x * 2.0 - 1.0), n))
    };
}

macro_rules! function {
    ($name:literal) => {
        |c| float1(c, |x| kernel1(concat!("special.", $name), x))
    };
}

fn frexp(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    super::support::require_float(c, &x)?;
    let (m, e) = super::support::pair1(&mut c.b, &x, bits::frexp);
    Ok(super::support::named(&["mantissa", "exponent"], m, e))
}

fn angle(c: &mut Call<'_>) -> Result<Returned> {
    float1(c, ar::angle)
}

rows! {
    "i0" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The modified Bessel function of order 0." => |c| float1(c, bessel::i0);
    "i0" Special "fo" Inputs ["(Tensor self) -> Tensor"] "The modified Bessel function of order 0." => |c| float1(c, bessel::i0);
    "i0e" Special "fo" Inputs ["(Tensor self) -> Tensor"] "exp(-|x|) i0(x)." => |c| float1(c, bessel::i0e);
    "i1" Special "fo" Inputs ["(Tensor self) -> Tensor"] "The modified Bessel function of order 1." => |c| float1(c, bessel::i1);
    "i1e" Special "fo" Inputs ["(Tensor self) -> Tensor"] "exp(-|x|) i1(x)." => |c| float1(c, bessel::i1e);
    "modified_bessel_i0" Special "fo" Nothing ["(Tensor self) -> Tensor"] "The modified Bessel function of the first kind of order 0." => |c| float1(c, bessel::i0);
    "modified_bessel_i1" Special "fo" Nothing ["(Tensor self) -> Tensor"] "The modified Bessel function of the first kind of order 1." => |c| float1(c, bessel::i1);
    "modified_bessel_k0" Special "fo" Nothing ["(Tensor self) -> Tensor"] "The modified Bessel function of the second kind of order 0." => |c| float1(c, |x| of(&K0, x));
    "modified_bessel_k1" Special "fo" Nothing ["(Tensor self) -> Tensor"] "The modified Bessel function of the second kind of order 1." => |c| float1(c, |x| of(&K1, x));
    "scaled_modified_bessel_k0" Special "fo" Nothing ["(Tensor x) -> Tensor"] "exp(x) modified_bessel_k0(x)." => function!("scaled_modified_bessel_k0");
    "scaled_modified_bessel_k1" Special "fo" Nothing ["(Tensor x) -> Tensor"] "exp(x) modified_bessel_k1(x)." => function!("scaled_modified_bessel_k1");
    "bessel_j0" Special "fo" Nothing ["(Tensor self) -> Tensor"] "The Bessel function of the first kind of order 0." => |c| float1(c, |x| of(&J0, x));
    "bessel_j1" Special "fo" Nothing ["(Tensor self) -> Tensor"] "The Bessel function of the first kind of order 1." => |c| float1(c, |x| of(&J1, x));
    "bessel_y0" Special "fo" Nothing ["(Tensor self) -> Tensor"] "The Bessel function of the second kind of order 0." => |c| float1(c, |x| of(&Y0, x));
    "bessel_y1" Special "fo" Nothing ["(Tensor self) -> Tensor"] "The Bessel function of the second kind of order 1." => |c| float1(c, |x| of(&Y1, x));
    "spherical_bessel_j0" Special "fo" Nothing ["(Tensor x) -> Tensor"] "sin(x) / x." => |c| float1(c, spherical_bessel_j0);
    "airy_ai" Special "fo" Nothing ["(Tensor x) -> Tensor"] "The Airy function Ai." => function!("airy_ai");
    "zeta" Special "fo" Inputs ["(Tensor self, Operand other) -> Tensor", "(Number self, Tensor other) -> Tensor"] "The Hurwitz zeta function." => |c| tied2(c, |x, q| call(&ZETA, &[], &[x, q]).remove(0));
    "igamma" Torch "fmio" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The regularized lower incomplete gamma function." => |c| tied2(c, |a, x| call(&IGAMMA, &[], &[a, x]).remove(0));
    "gammainc" Special "fo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The regularized lower incomplete gamma function." => |c| tied2(c, |a, x| call(&IGAMMA, &[], &[a, x]).remove(0));
    "igammac" Torch "fmio" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The regularized upper incomplete gamma function." => |c| tied2(c, |a, x| call(&IGAMMAC, &[], &[a, x]).remove(0));
    "gammaincc" Special "fo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The regularized upper incomplete gamma function." => |c| tied2(c, |a, x| call(&IGAMMAC, &[], &[a, x]).remove(0));
    "polygamma" Special "fo" Inputs ["(int n, Tensor self) -> Tensor"] "The n-th derivative of digamma." => |c| { let n = c.int(0)?; polygamma(c, n, 1) };
    "multigammaln" Special "fo" Inputs ["(Tensor self, int p) -> Tensor"] "The multivariate log-gamma function." => |c| { let p = c.int(1)?; if p < 1 { return Err(Error::runtime("p has to be greater than or equal to 1")); } float1_with(c, |x| gamma::mvlgamma(x, p)) };
    "chebyshev_polynomial_t" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The Chebyshev polynomial of the first kind." => polynomial!("chebyshev_polynomial_t");
    "chebyshev_polynomial_u" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The Chebyshev polynomial of the second kind." => polynomial!("chebyshev_polynomial_u");
    "chebyshev_polynomial_v" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The Chebyshev polynomial of the third kind." => polynomial!("chebyshev_polynomial_v");
    "chebyshev_polynomial_w" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The Chebyshev polynomial of the fourth kind." => polynomial!("chebyshev_polynomial_w");
    "shifted_chebyshev_polynomial_t" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The Chebyshev polynomial of the first kind on 0..1." => polynomial!(shifted "chebyshev_polynomial_t");
    "shifted_chebyshev_polynomial_u" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The Chebyshev polynomial of the second kind on 0..1." => polynomial!(shifted "chebyshev_polynomial_u");
    "shifted_chebyshev_polynomial_v" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The Chebyshev polynomial of the third kind on 0..1." => polynomial!(shifted "chebyshev_polynomial_v");
    "shifted_chebyshev_polynomial_w" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The Chebyshev polynomial of the fourth kind on 0..1." => polynomial!(shifted "chebyshev_polynomial_w");
    "hermite_polynomial_h" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The physicist's Hermite polynomial." => polynomial!("hermite_polynomial_h");
    "hermite_polynomial_he" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The probabilist's Hermite polynomial." => polynomial!("hermite_polynomial_he");
    "laguerre_polynomial_l" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The Laguerre polynomial." => polynomial!("laguerre_polynomial_l");
    "legendre_polynomial_p" Special "fo" Nothing ["(Tensor x, Operand n) -> Tensor", "(Number x, Tensor n) -> Tensor"] "The Legendre polynomial." => polynomial!("legendre_polynomial_p");
    "frexp" Torch "fmo" Nothing ["(Tensor self) -> (Tensor mantissa, Tensor exponent)"] "Mantissa and binary exponent." => frexp;
    "nextafter" Torch "fmio" Nothing ["(Tensor self, Tensor other) -> Tensor"] "The next float towards another." => |c| float2(c, bits::nextafter);
    "angle" Torch "fmo" Nothing ["(Tensor self) -> Tensor"] "0, or pi of negative numbers." => angle;
}

/// A composite of argument 0; integers become floats.
fn float1_with(c: &mut Call<'_>, f: impl for<'r> FnOnce(&V<'r>) -> V<'r>) -> Result<Returned> {
    let x = c.value(0)?;
    let x = super::support::to_float(&mut c.b, &x);
    Ok(with1(&mut c.b, &x, f).into())
}
