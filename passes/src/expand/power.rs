//! Powers.

use super::log::LN2_F64;
use super::math::Math;
use ttk_ir::kernel::Val;
use ttk_ir::{Binary, Cmp, DType, Scalar};

/// `2/(2k + 1)` for the series of `log((1 + s)/(1 - s))` from the fifth power on, highest first.
const TAIL: [f64; 8] =
    [2.0 / 19.0, 2.0 / 17.0, 2.0 / 15.0, 2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0];

impl Math<'_> {
    /// `a^b`; `f32` computes in double precision.
    pub(super) fn pow(&mut self, a: Val, b: Val) -> Val {
        if self.is_f32() {
            let (a, b) = (self.cast(a, DType::F64), self.cast(b, DType::F64));
            let y = self.within(DType::F64, |m| {
                let x = m.abs(a);
                let l = m.log(x);
                let e = m.mul(l, b);
                let y = m.exp(e);
                m.pow_cases(a, b, y)
            });
            return self.cast(y, DType::F32);
        }
        let x = self.abs(a);
        let (high, low) = self.log_precise(x);
        // (high + low) * b, again in two parts.
        let (p, e) = self.two_product(high, b);
        let e = self.fma(low, b, e);
        // Beyond the range of `exp` the error says nothing, and may be infinite or NaN.
        let (zero, limit) = (self.c(0.0), self.c(1000.0));
        let size = self.abs(p);
        let small = self.lt(size, limit);
        let e = self.select(small, e, zero);
        let y = self.exp_sum(p, e);
        self.pow_cases(a, b, y)
    }

    /// The logarithm of a number that is not negative, to about 100 bits.
    fn log_precise(&mut self, x: Val) -> (Val, Val) {
        let (e, m) = self.split_exponent(x);
        let (zero, one) = (self.c(0.0), self.c(1.0));
        let f = self.sub(m, one);
        let (dh, dl) = self.two_sum(m, one);
        // s = f / (m + 1) in two parts.
        let sh = self.div(f, dh);
        let r = self.fnma(sh, dh, f);
        let r = self.fnma(sh, dl, r);
        let sl = self.div(r, dh);
        // z = s^2 in two parts; the cubic term 2/3 s^3 too.
        let (zh, zl) = self.two_product(sh, sh);
        let two_s = self.add(sh, sh);
        let zl = self.fma(two_s, sl, zl);
        let third = (2.0 / 3.0f64, 3.700743415417188e-17);
        let (t0, t1) = (self.c(third.0), self.c(third.1));
        let (ch, cl) = self.two_product(zh, t0);
        let cl = self.fma(zh, t1, cl);
        let cl = self.fma(zl, t0, cl);
        let tail = self.poly(zh, &TAIL);
        let zz = self.mul(zh, zh);
        let cl = self.fma(tail, zz, cl);
        // 2 + 2/3 z + ..., times s.
        let two = self.c(2.0);
        let (kh, kl) = self.fast_two_sum(two, ch);
        let kl = self.add(kl, cl);
        let (lh, ll) = self.two_product(sh, kh);
        let ll = self.fma(sh, kl, ll);
        let ll = self.fma(sl, kh, ll);
        // + e ln 2; the high part times e is exact.
        let (high, low) = (self.c(LN2_F64.0), self.c(LN2_F64.1));
        let eh = self.mul(e, high);
        let (sum, lost) = self.two_sum(eh, lh);
        let lost = self.add(lost, ll);
        let (el, el_low) = self.two_product(e, low);
        let (rest, rest_low) = self.two_sum(lost, el);
        let rest_low = self.add(rest_low, el_low);
        // ln 2 has a third part.
        let third = self.c(1.1612227229362532e-26);
        let rest_low = self.fma(e, third, rest_low);
        let (sum, more) = self.two_sum(sum, rest);
        let more = self.add(more, rest_low);
        // 0 and infinity.
        let (inf, minus_inf) = (self.c(f64::INFINITY), self.c(f64::NEG_INFINITY));
        let positive = self.lt(zero, x);
        let finite = self.lt(x, inf);
        let sum = self.select(finite, sum, x);
        let nan_or_sum = sum;
        let is_zero = self.eq(x, zero);
        let sum = self.select(is_zero, minus_inf, nan_or_sum);
        let usable = self.and(positive, finite);
        let more = self.select(usable, more, zero);
        (sum, more)
    }

    /// `a^b` given `|a|^b`, after IEEE 754 and C.
    fn pow_cases(&mut self, a: Val, b: Val, y: Val) -> Val {
        let (zero, one, inf) = (self.c(0.0), self.c(1.0), self.c(f64::INFINITY));
        let (half, two, nan) = (self.c(0.5), self.c(2.0), self.c(f64::NAN));
        let floor = self.floor(b);
        let whole = self.eq(floor, b);
        let h = self.mul(b, half);
        let h = self.floor(h);
        let even_part = self.mul(h, two);
        let odd = self.cmp(Cmp::Ne, even_part, b);
        let odd = self.and(odd, whole);
        // The sign of a, that of -0 too, where b is odd.
        let minus = self.neg(y);
        let bits = self.bits(a);
        let i0 = self.ci(0);
        let negative = self.lt(bits, i0);
        let flip = self.and(negative, odd);
        let y = self.select(flip, minus, y);
        // A negative number has whole powers only.
        let below = self.lt(a, zero);
        let minus_inf = self.c(f64::NEG_INFINITY);
        let finite = self.lt(minus_inf, a);
        let broken = self.cmp(Cmp::Ne, floor, b);
        let bad = self.and(below, finite);
        let bad = self.and(bad, broken);
        let y = self.select(bad, nan, y);
        // 1 to any power, any number to the power 0, -1 to an infinite power.
        let (aa, ab) = (self.abs(a), self.abs(b));
        let unit = self.eq(aa, one);
        let endless = self.eq(ab, inf);
        let flat = self.and(unit, endless);
        let a_one = self.eq(a, one);
        let b_zero = self.eq(b, zero);
        let is_one = self.or(flat, a_one);
        let is_one = self.or(is_one, b_zero);
        self.select(is_one, one, y)
    }

    /// Integer power by repeated squaring; wraps. A negative exponent gives the truncated reciprocal.
    pub(super) fn pow_int(&mut self, a: Val, b: Val) -> Val {
        let dtype = self.dtype;
        let k = |m: &mut Self, v: i64| m.scalar(Scalar::from_i64(dtype, v));
        let (zero, one, minus_one) = (k(self, 0), k(self, 1), k(self, -1));
        let bits = dtype.size() as i64 * 8 - dtype.is_signed() as i64;
        let (mut result, mut square, mut rest) = (one, a, b);
        for i in 0..bits {
            let low = self.binary(Binary::And, rest, one);
            let set = self.cmp(Cmp::Ne, low, zero);
            let product = self.binary(Binary::Mul, result, square);
            result = self.select(set, product, result);
            if i + 1 < bits {
                square = self.binary(Binary::Mul, square, square);
                rest = self.binary(Binary::Shr, rest, one);
            }
        }
        if !dtype.is_signed() {
            return result;
        }
        // 1 and -1 have reciprocals.
        let low = self.binary(Binary::And, b, one);
        let odd = self.cmp(Cmp::Ne, low, zero);
        let sign = self.select(odd, minus_one, one);
        let is_minus = self.eq(a, minus_one);
        let reciprocal = self.select(is_minus, sign, zero);
        let is_one = self.eq(a, one);
        let reciprocal = self.select(is_one, one, reciprocal);
        let negative = self.lt(b, zero);
        self.select(negative, reciprocal, result)
    }
}
