//! `sin`, `cos` and `atan2`.

use super::math::Math;
use ttk_ir::kernel::Val;
use ttk_ir::{Binary, DType};

/// `2/pi * 2^(24 g) mod 4` in three parts for `g` in `0..5`: two of 29 bits, whose products with a
/// 24-bit number are exact, and a rest.
const TWO_OVER_PI: [[f64; 3]; 5] = [
    [0.6366197690367699, 3.3308114738561656e-09, 2.276010073078396e-18],
    [3.4308817386627197, 4.9276286245847345e-09, 4.76073975187604e-18],
    [0.0826718881726265, 1.7096864618482144e-09, 2.8658837463471963e-18],
    [0.15368377417325974, 4.9375250554817285e-09, 1.1892889840965575e-17],
    [1.957837924361229, 1.995295734191771e-10, 8.306908000946013e-18],
];

/// `(sin(r) - r) / r^3` in `r^2`, highest power first; Cephes, `sinf.c`.
const SIN_F32: [f64; 3] = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1];
/// `(cos(r) - 1 + r^2/2) / r^4` in `r^2`.
const COS_F32: [f64; 3] = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2];
/// The same for `f64`; FreeBSD, `k_sin.c` and `k_cos.c`.
const SIN_F64: [f64; 6] = [
    1.58969099521155010221e-10,
    -2.50507602534068634195e-08,
    2.75573137070700676789e-06,
    -1.98412698298579493134e-04,
    8.33333333332248946124e-03,
    -1.66666666666666324348e-01,
];
const COS_F64: [f64; 6] = [
    -1.13596475577881948265e-11,
    2.08757232129817482790e-09,
    -2.75573143513906633035e-07,
    2.48015872894767294178e-05,
    -1.38888888888741095749e-03,
    4.16666666666666019037e-02,
];
/// `atan(t) / t` in `t^2` for `t` up to `tan(pi/8)`, highest power first: error 1.3e-18.
const ATAN: [f64; 12] = [
    -0.017803024570372427,
    0.037963116386953384,
    -0.05035019199400293,
    0.058468600441315986,
    -0.0666294933513016,
    0.07692045115329452,
    -0.09090896797060963,
    0.11111110744504495,
    -0.142857142792419,
    0.19999999999940807,
    -0.3333333333333312,
    1.0,
];

impl Math<'_> {
    pub(super) fn sin(&mut self, x: Val) -> Val {
        let y = self.sine(x, 0);
        // The reduction loses the sign of zero.
        let zero = self.c(0.0);
        let is_zero = self.eq(x, zero);
        self.select(is_zero, x, y)
    }

    pub(super) fn cos(&mut self, x: Val) -> Val {
        self.sine(x, 1)
    }

    /// `sin(x + quarter * pi/2)`.
    fn sine(&mut self, x: Val, quarter: i64) -> Val {
        let (n, r, low) = if self.is_f32() { self.reduce_f32(x) } else { self.reduce_f64(x) };
        let z = self.mul(r, r);
        let (one, half) = (self.c(1.0), self.c(0.5));
        let (sin, cos) = if self.is_f32() {
            let p = self.poly(z, &SIN_F32);
            let zr = self.mul(z, r);
            let sin = self.fma(p, zr, r);
            let p = self.poly(z, &COS_F32);
            let zz = self.mul(z, z);
            let h = self.fnma(half, z, one);
            (sin, self.fma(p, zz, h))
        } else {
            // The low part of the argument enters to first order.
            let p = self.poly(z, &SIN_F64);
            let zr = self.mul(z, r);
            let t = self.fma(p, zr, low);
            let hz = self.mul(half, z);
            let slope = self.mul(hz, low);
            let t = self.sub(t, slope);
            let sin = self.add(r, t);
            let p = self.poly(z, &COS_F64);
            let zz = self.mul(z, z);
            let w = self.sub(one, hz);
            let lost = self.sub(one, w);
            let lost = self.sub(lost, hz);
            let t = self.fma(p, zz, lost);
            let rl = self.mul(r, low);
            let t = self.sub(t, rl);
            (sin, self.add(w, t))
        };
        // The quadrant is in the lowest bits of n + 1.5 * 2^fraction.
        let anchor = self.c(1.5 * (1u64 << self.fraction_bits()) as f64 + quarter as f64);
        let q = self.add(n, anchor);
        let q = self.bits(q);
        let (i0, i1) = (self.ci(0), self.ci(1));
        let odd = self.int_binary(Binary::And, q, i1);
        let odd = self.inst(ttk_ir::kernel::Inst::Cmp(ttk_ir::Cmp::Ne, odd, i0), DType::Bool);
        let y = self.select(odd, cos, sin);
        let up = self.ci(self.pick(30, 62));
        let two = self.ci(2);
        let sign = self.int_binary(Binary::And, q, two);
        let sign = self.int_binary(Binary::Shl, sign, up);
        let y = self.bits(y);
        let y = self.int_binary(Binary::Xor, y, sign);
        self.float_of(y)
    }

    /// `(n mod 4, r, 0)` with `x = n pi/2 + r`, for every `f32`.
    ///
    /// In double precision: `x 2/pi mod 4` is the sum of three products that are exact, or small, each
    /// taken modulo 4. For large `x` the digits of `2/pi` that give multiples of 4 are left out from the
    /// start (Payne and Hanek).
    fn reduce_f32(&mut self, x: Val) -> (Val, Val, Val) {
        let wide = self.cast(x, DType::F64);
        let (n, r) = self.within(DType::F64, |m| {
            let a = m.abs(wide);
            let mut parts = TWO_OVER_PI[0].map(|c| m.c(c));
            let mut scale = m.c(1.0);
            for (g, row) in TWO_OVER_PI.iter().enumerate().skip(1) {
                // From 2^(24 + 24 g) on, x / 2^(24 g) is a whole number of 24 bits and fewer than 48.
                let limit = m.c(2f64.powi(24 + 24 * g as i32));
                let large = m.cmp(ttk_ir::Cmp::Le, limit, a);
                for (part, &c) in parts.iter_mut().zip(row) {
                    let c = m.c(c);
                    *part = m.select(large, c, *part);
                }
                let c = m.c(2f64.powi(-24 * g as i32));
                scale = m.select(large, c, scale);
            }
            let whole = m.mul(wide, scale);
            let mut y = m.mul(whole, parts[2]);
            for part in [parts[1], parts[0]] {
                let p = m.mul(whole, part);
                let p = m.mod4(p);
                y = m.add(p, y);
            }
            let y = m.mod4(y);
            let n = m.round(y);
            let f = m.sub(y, n);
            let quarter = m.c(std::f64::consts::FRAC_PI_2);
            (n, m.mul(f, quarter))
        });
        let zero = self.c(0.0);
        (self.cast(n, DType::F32), self.cast(r, DType::F32), zero)
    }

    /// `x` less the nearest multiple of 4.
    fn mod4(&mut self, x: Val) -> Val {
        let (quarter, four) = (self.c(0.25), self.c(4.0));
        let q = self.mul(x, quarter);
        let q = self.round(q);
        self.fnma(q, four, x)
    }

    /// `(n, r, low)` with `x = n pi/2 + r + low`, `pi/2` in three parts (Cody and Waite).
    ///
    /// Good to full precision for `|x|` up to about 2^30; the error grows beyond.
    fn reduce_f64(&mut self, x: Val) -> (Val, Val, Val) {
        const P: [f64; 3] = [1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33];
        let scale = self.c(std::f64::consts::FRAC_2_PI);
        let n = self.mul(x, scale);
        let n = self.round(n);
        let minus = self.neg(n);
        let p = P.map(|c| self.c(c));
        // Exact: the product with 106 bits cancels all but the last 53.
        let r = self.fma(minus, p[0], x);
        let (high, low) = self.two_product(minus, p[1]);
        let (r, e) = self.two_sum(r, high);
        let e = self.add(e, low);
        let e = self.fma(minus, p[2], e);
        let (r, e) = self.fast_two_sum(r, e);
        (n, r, e)
    }

    /// `atan2(y, x)`, the angle of the point `(x, y)`. `f32` computes in double precision.
    pub(super) fn atan2(&mut self, y: Val, x: Val) -> Val {
        if self.is_f32() {
            let (y, x) = (self.cast(y, DType::F64), self.cast(x, DType::F64));
            let angle = self.within(DType::F64, |m| m.atan2(y, x));
            return self.cast(angle, DType::F32);
        }
        let (ax, ay) = (self.abs(x), self.abs(y));
        let steep = self.lt(ax, ay);
        let low = self.select(steep, ax, ay);
        let high = self.select(steep, ay, ax);
        // 0/0 is angle 0, infinity over infinity pi/4.
        let (zero, one, inf) = (self.c(0.0), self.c(1.0), self.c(f64::INFINITY));
        let t = self.div(low, high);
        let both_zero = self.eq(high, zero);
        let t = self.select(both_zero, zero, t);
        let both_inf = self.eq(low, inf);
        let t = self.select(both_inf, one, t);
        // Above tan(pi/8): atan(t) = pi/4 + atan((t - 1) / (t + 1)).
        let limit = self.c(0.41421356237309503);
        let far = self.lt(limit, t);
        let (n, d) = (self.sub(t, one), self.add(t, one));
        let moved = self.div(n, d);
        let u = self.select(far, moved, t);
        let z = self.mul(u, u);
        let p = self.poly(z, &ATAN);
        let a = self.mul(p, u);
        let (eighth, quarter) = (self.c(std::f64::consts::FRAC_PI_4), self.c(std::f64::consts::FRAC_PI_2));
        let (eighth_low, quarter_low) = (self.c(3.061616997868383e-17), self.c(6.123233995736766e-17));
        let b = self.add(a, eighth_low);
        let b = self.add(b, eighth);
        let a = self.select(far, b, a);
        let b = self.sub(a, quarter_low);
        let b = self.sub(quarter, b);
        let a = self.select(steep, b, a);
        // The sign bit of x decides, so that -0 lies on the left.
        let (pi, pi_low) = (self.c(std::f64::consts::PI), self.c(1.2246467991473532e-16));
        let b = self.sub(a, pi_low);
        let b = self.sub(pi, b);
        let bits = self.bits(x);
        let i0 = self.ci(0);
        let left = self.lt(bits, i0);
        let a = self.select(left, b, a);
        let a = self.copysign(a, y);
        // A NaN in either operand.
        let sum = self.add(ax, ay);
        let number = self.eq(sum, sum);
        self.select(number, a, sum)
    }
}
