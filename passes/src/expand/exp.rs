//! `exp`, `expm1`, `tanh` and `sigmoid`.
//!
//! `x = n ln 2 + r` with `|r| <= ln 2 / 2` (Cody and Waite), and a polynomial in `r`.

use super::math::Math;
use ttk_ir::Binary;
use ttk_ir::kernel::Val;

/// `ln 2` in two parts; the first has enough trailing zeros that its products with `n` are exact.
const LN2_F32: (f64, f64) = (0.693359375, -2.1219444005469057e-4);
const LN2_F64: (f64, f64) = (6.931471803691238e-1, 1.9082149292705877e-10);

/// `(exp(r) - 1 - r) / r^2` on `|r| <= ln 2 / 2`, highest power first.
/// From the Cephes library, `expf.c` (1.7e-7 * 2^-4 relative).
const EXP_F32: [f64; 6] =
    [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1];

/// `1 / k!` for `k` from 13 down to 2: the remainder is below 4e-18.
const EXP_F64: [f64; 12] = [
    1.0 / 6227020800.0,
    1.0 / 479001600.0,
    1.0 / 39916800.0,
    1.0 / 3628800.0,
    1.0 / 362880.0,
    1.0 / 40320.0,
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
];

impl Math<'_> {
    /// `(n, r)` for an argument that is not beyond the limits of the type, or NaN.
    fn reduce_exp(&mut self, x: Val) -> (Val, Val) {
        let (_, n, r) = self.reduce_exp_by(x, 0);
        (n, r)
    }

    /// [`reduce_exp`](Self::reduce_exp), and before these a float whose lowest bits are `n + more`.
    fn reduce_exp_by(&mut self, x: Val, more: i64) -> (Val, Val, Val) {
        // Rounding to a whole number by adding and subtracting 1.5 * 2^fraction.
        let anchor = self.c(1.5 * (1u64 << self.fraction_bits()) as f64 + more as f64);
        let log2e = self.c(std::f64::consts::LOG2_E);
        let shifted = self.fma(x, log2e, anchor);
        let n = self.sub(shifted, anchor);
        (shifted, n, self.exp_rest(x, n))
    }

    fn exp_rest(&mut self, x: Val, n: Val) -> Val {
        let (high, low) = self.pick(LN2_F32, LN2_F64);
        let (high, low) = (self.c(-high), self.c(-low));
        let r = self.fma(n, high, x);
        self.fma(n, low, r)
    }

    /// `exp(r) - 1` for a reduced `r`.
    fn expm1_reduced(&mut self, r: Val) -> Val {
        let p = if self.is_f32() { self.poly(r, &EXP_F32) } else { self.poly(r, &EXP_F64) };
        let z = self.mul(r, r);
        self.fma(p, z, r)
    }

    /// `n` as a sum of two halves, so that powers of two of both are normal.
    fn halves(&mut self, n: Val) -> (Val, Val) {
        let half = self.c(0.5);
        let h = self.mul(n, half);
        let h = self.floor(h);
        let g = self.sub(n, h);
        (h, g)
    }

    pub(super) fn exp(&mut self, x: Val) -> Val {
        let zero = self.c(0.0);
        self.exp_sum(x, zero)
    }

    /// `exp(x + low)` for a `low` much smaller than `x`.
    pub(super) fn exp_sum(&mut self, x: Val, low: Val) -> Val {
        // Beyond these the result is infinity or 0 all the same.
        let x = self.at_most(x, self.pick(89.0, 710.0));
        self.exp_of_at_most(x, low)
    }

    /// [`exp_sum`](Self::exp_sum) of an `x` that makes no infinity, or just so.
    fn exp_of_at_most(&mut self, x: Val, low: Val) -> Val {
        let x = self.at_least(x, self.pick(-104.0, -746.0));
        let (shifted, n, r) = self.reduce_exp_by(x, 2 * self.bias());
        let zero = self.c(0.0);
        let r = if low == zero { r } else { self.add(r, low) };
        let one = self.c(1.0);
        let p = self.expm1_reduced(r);
        let p = self.add(p, one);
        let (h, g) = if self.is_f32() {
            let (h, g) = self.biased_halves(shifted);
            (self.exp2_biased(h), self.exp2_biased(g))
        } else {
            let (h, g) = self.halves(n);
            (self.exp2_int(h), self.exp2_int(g))
        };
        let y = self.mul(p, h);
        self.mul(y, g)
    }

    /// The two halves of `n`, each with the bias of an exponent, in the lowest bits of integers; `shifted` is a float whose
    /// lowest bits are `n` and twice the bias. Integers wait less for each other than floats, and have units of their own.
    fn biased_halves(&mut self, shifted: Val) -> (Val, Val) {
        let bits = self.bits(shifted);
        let one = self.ci(1);
        // The bits above those of `n` are an even number.
        let h = self.int_binary(Binary::Shr, bits, one);
        (h, self.int_binary(Binary::Sub, bits, h))
    }

    /// `2^n` of an integer whose lowest bits are `n` and the bias.
    fn exp2_biased(&mut self, n: Val) -> Val {
        let up = self.ci(self.fraction_bits());
        let bits = self.int_binary(Binary::Shl, n, up);
        self.float_of(bits)
    }

    /// `exp(x)` where the result is neither too large nor too small to be normal.
    pub(super) fn exp_normal(&mut self, x: Val) -> Val {
        let (n, r) = self.reduce_exp(x);
        let p = self.expm1_reduced(r);
        let scale = self.exp2_int(n);
        self.fma(p, scale, scale)
    }

    pub(super) fn expm1(&mut self, x: Val) -> Val {
        let y = self.at_most(x, self.pick(89.0, 710.0));
        let y = self.at_least(y, self.pick(-40.0, -80.0));
        let (n, r) = self.reduce_exp(y);
        let p = self.expm1_reduced(r);
        // 2^n (p + 1) - 1 = 2^g (2^h p + (2^h - 2^-g)).
        let (h, g) = self.halves(n);
        let minus_g = self.neg(g);
        let (h, g, c) = (self.exp2_int(h), self.exp2_int(g), self.exp2_int(minus_g));
        let c = self.sub(h, c);
        let e = self.fma(h, p, c);
        let e = self.mul(e, g);
        // `x` itself where the sum would lose the sign of zero.
        let zero = self.c(0.0);
        let is_zero = self.eq(x, zero);
        self.select(is_zero, x, e)
    }

    pub(super) fn sigmoid(&mut self, x: Val) -> Val {
        if self.is_f32() { self.sigmoid_f32(x) } else { self.sigmoid_f64(x) }
    }

    /// `1 / (1 + exp(-x))` as `c / (c + c exp(-x))` with `c = 2^-64`: nothing overflows, and what is too small to be normal is
    /// rounded once, by the division.
    fn sigmoid_f32(&mut self, x: Val) -> Val {
        // Beyond 43 the result is 1, below -104 it is 0.
        let x = self.at_most(x, 43.0);
        let x = self.at_least(x, -104.0);
        let minus = self.neg(x);
        let (shifted, _, r) = self.reduce_exp_by(minus, self.bias() - 64);
        let p = self.expm1_reduced(r);
        let one = self.c(1.0);
        let p = self.add(p, one);
        let bits = self.bits(shifted);
        let scale = self.exp2_biased(bits);
        let c = self.c((-64f64).exp2());
        let d = self.fma(p, scale, c);
        self.div(c, d)
    }

    /// `1 / (1 + t)` or `t / (1 + t)` with `t = exp(-|x|)`, which does not overflow: in the sum, which is below 2, less is lost.
    fn sigmoid_f64(&mut self, x: Val) -> Val {
        let a = self.abs(x);
        let minus = self.neg(a);
        let (zero, one) = (self.c(0.0), self.c(1.0));
        let t = self.exp_of_at_most(minus, zero);
        let is_below = self.lt(x, zero);
        let n = self.select(is_below, t, one);
        let d = self.add(t, one);
        self.div(n, d)
    }

    /// `tanh(x) = t / (t + 2)` with `t = expm1(2 |x|)`.
    pub(super) fn tanh(&mut self, x: Val) -> Val {
        let a = self.abs(x);
        // From here on the result is 1.
        let a = self.at_most(a, self.pick(10.0, 20.0));
        let two_a = self.add(a, a);
        let (n, r) = self.reduce_exp(two_a);
        let p = self.expm1_reduced(r);
        let scale = self.exp2_int(n);
        let (one, two) = (self.c(1.0), self.c(2.0));
        let c = self.sub(scale, one);
        let t = self.fma(scale, p, c);
        let d = self.add(t, two);
        let y = self.div(t, d);
        self.copysign(y, x)
    }
}
