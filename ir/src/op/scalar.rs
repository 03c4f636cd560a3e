//! Scalar functions of the elementwise tables that `std` lacks.

/// An operation on bits has no value on floats; type inference keeps such a call from happening, and
/// the result is poison rather than a plausible number.
pub(super) fn float_only(_: f64) -> f64 {
    f64::NAN
}

pub(super) fn round_even(x: f64) -> f64 {
    x.round_ties_even()
}

/// IEEE 754-2019 `maximum`: NaN wins, and `0 > -0` (`f64::max` leaves the zeros open).
pub(super) fn max_nan(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a > b || (a == b && b.is_sign_negative()) {
        a
    } else {
        b
    }
}

/// IEEE 754-2019 `minimum`: NaN wins, and `-0 < 0`.
pub(super) fn min_nan(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a < b || (a == b && a.is_sign_negative()) {
        a
    } else {
        b
    }
}

/// With the exponential that does not overflow, so that small results are right.
pub(super) fn sigmoid(x: f64) -> f64 {
    let small = (-x.abs()).exp();
    (if x < 0.0 { small } else { 1.0 }) / (1.0 + small)
}

pub(super) fn pow_int(base: i64, exponent: i64) -> i64 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 => 1 - 2 * (exponent & 1),
            _ => 0,
        };
    }
    let (mut result, mut square, mut e) = (1i64, base, exponent as u64);
    while e > 0 {
        if e & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        e >>= 1;
    }
    result
}

/// Shift of a 64-bit value; the caller has checked the count against the width of its type.
pub(super) fn shift(a: i64, count: i64, right: bool) -> i64 {
    match (right, (0..64).contains(&count)) {
        (false, true) => a.wrapping_shl(count as u32),
        (false, false) => 0,
        (true, true) => a >> count,
        (true, false) => a >> 63,
    }
}

/// The error function to double precision.
///
/// Below 2.5 its Maclaurin series (Abramowitz and Stegun 7.1.6, which has no cancellation), above it
/// the continued fraction of `erfc` (7.1.14), evaluated backwards.
pub(super) fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let a = x.abs();
    let magnitude = if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        let mut n = 0.0;
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * a * a / (2.0 * n + 1.0);
            sum += term;
        }
        sum * (-a * a).exp() * std::f64::consts::FRAC_2_SQRT_PI
    } else if a > 6.0 {
        1.0
    } else {
        let mut f = a;
        for k in (1..=60).rev() {
            f = a + (k as f64 * 0.5) / f;
        }
        1.0 - (-a * a).exp() / (f * std::f64::consts::PI.sqrt())
    };
    magnitude.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_matches_published_values() {
        // Abramowitz and Stegun, table 7.1, and NIST DLMF 7.23.
        for (x, want) in [
            (0.0, 0.0),
            (0.5, 0.5204998778130465),
            (1.0, 0.8427007929497149),
            (2.0, 0.9953222650189527),
            (2.6, 0.9997639655834707),
            (3.0, 0.9999779095030014),
        ] {
            assert!((erf(x) - want).abs() < 1e-15, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
    }

    #[test]
    fn integer_powers() {
        assert_eq!(pow_int(3, 4), 81);
        assert_eq!(pow_int(-1, -3), -1);
        assert_eq!(pow_int(2, -1), 0);
    }
}
