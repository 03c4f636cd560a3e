//! `log` and `log1p`.
//!
//! `x = 2^e m` with `m` between `sqrt(1/2)` and `sqrt(2)`, found in the bits of `x`.

use super::math::Math;
use ttk_ir::Binary;
use ttk_ir::kernel::Val;

const LN2_F32: (f64, f64) = (0.693359375, -2.1219444005469057e-4);
pub(super) const LN2_F64: (f64, f64) = (6.931471803691238e-1, 1.9082149292705877e-10);

/// `(log(1 + f) - f + f^2/2) / f^3`, highest power first; Cephes, `logf.c`.
const LOG_F32: [f64; 9] = [
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
];

/// `(log((1 + s) / (1 - s)) / s - 2) / s^2`, highest power first; FreeBSD, `e_log.c`.
const LOG_F64: [f64; 7] = [
    1.479819860511658591e-01,
    1.531383769920937332e-01,
    1.818357216161805012e-01,
    2.222219843214978396e-01,
    2.857142874366239149e-01,
    3.999999999940941908e-01,
    6.666666666666735130e-01,
];

impl Math<'_> {
    /// `(e, m)` of a positive, finite number; both floats.
    pub(super) fn split_exponent(&mut self, x: Val) -> (Val, Val) {
        // Denormal numbers are scaled up first.
        let shift = self.fraction_bits();
        let least = self.c(self.pick(f32::MIN_POSITIVE as f64, f64::MIN_POSITIVE));
        let tiny = self.lt(x, least);
        let up = self.c((1u64 << shift) as f64);
        let scaled = self.mul(x, up);
        let x = self.select(tiny, scaled, x);
        let down = self.c(-((self.bias() + shift) as f64));
        let plain = self.c(-(self.bias() as f64));
        let offset = self.select(tiny, down, plain);
        // Counting from sqrt(1/2) puts the exponent's step there.
        let (half_root, one) = self.pick((0x3f3504f3, 0x3f800000), (0x3fe6a09e667f3bcd, 0x3ff0000000000000));
        let bits = self.bits(x);
        let moved = self.ci(one - half_root);
        let bits = self.int_binary(Binary::Add, bits, moved);
        let count = self.ci(shift);
        let e = self.int_binary(Binary::Shr, bits, count);
        let e = if self.is_f32() {
            self.cast(e, self.dtype)
        } else {
            // A small whole number from integer to float without a conversion: under 2^52.
            let anchor = self.ci(0x4330000000000000);
            let e = self.int_binary(Binary::Or, e, anchor);
            let e = self.float_of(e);
            let anchor = self.c((1u64 << 52) as f64);
            self.sub(e, anchor)
        };
        let e = self.add(e, offset);
        let fraction = self.ci((1 << shift) - 1);
        let m = self.int_binary(Binary::And, bits, fraction);
        let back = self.ci(half_root);
        let m = self.int_binary(Binary::Add, m, back);
        (e, self.float_of(m))
    }

    pub(super) fn log(&mut self, x: Val) -> Val {
        let (e, m) = self.split_exponent(x);
        let one = self.c(1.0);
        let f = self.sub(m, one);
        let (high, low) = self.pick(LN2_F32, LN2_F64);
        let (high, low, half) = (self.c(high), self.c(low), self.c(0.5));
        let y = if self.is_f32() {
            let z = self.mul(f, f);
            let p = self.poly(f, &LOG_F32);
            let fz = self.mul(f, z);
            let tail = self.mul(e, low);
            let y = self.fma(fz, p, tail);
            let minus_half = self.c(-0.5);
            let y = self.fma(z, minus_half, y);
            let y = self.add(f, y);
            self.fma(e, high, y)
        } else {
            let two = self.c(2.0);
            let d = self.add(f, two);
            let s = self.div(f, d);
            let z = self.mul(s, s);
            let r = self.poly(z, &LOG_F64);
            let r = self.mul(r, z);
            let hf = self.mul(half, f);
            let h = self.mul(hf, f);
            // e high - ((h - (s (h + r) + e low)) - f)
            let hr = self.add(h, r);
            let tail = self.mul(e, low);
            let t = self.fma(s, hr, tail);
            let t = self.sub(h, t);
            let t = self.sub(t, f);
            let t = self.neg(t);
            self.fma(e, high, t)
        };
        // Infinity and NaN give themselves, 0 minus infinity, and less NaN.
        let (zero, inf) = (self.c(0.0), self.c(f64::INFINITY));
        let finite = self.lt(x, inf);
        let y = self.select(finite, y, x);
        let positive = self.lt(zero, x);
        let is_zero = self.eq(x, zero);
        let (minus_inf, nan) = (self.c(f64::NEG_INFINITY), self.c(f64::NAN));
        let other = self.select(is_zero, minus_inf, nan);
        self.select(positive, y, other)
    }

    /// `log(u) + (x - (u - 1)) / u` with `u = 1 + x` rounded.
    pub(super) fn log1p(&mut self, x: Val) -> Val {
        let (one, zero) = (self.c(1.0), self.c(0.0));
        let u = self.add(x, one);
        let y = self.log(u);
        let lost = self.sub(u, one);
        let lost = self.sub(x, lost);
        let lost = self.div(lost, u);
        // Where `u` is 0 or infinite the quotient is NaN and there is nothing to mend.
        let number = self.eq(lost, lost);
        let lost = self.select(number, lost, zero);
        let y = self.add(y, lost);
        let is_zero = self.eq(x, zero);
        self.select(is_zero, x, y)
    }
}
