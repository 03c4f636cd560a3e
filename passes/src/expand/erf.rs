//! The error function.

use super::math::Math;
use ttk_ir::kernel::Val;

/// Below this the first form is used.
const SPLIT_F32: f64 = 0.927734375;

/// `f32`: minimax coefficients published by N. Juffa (erff, "max error 0.99 ulp"), highest power first.
const SMALL_F32: [f64; 6] =
    [-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1];

/// `erf(x) / x` in `x^2` on `0..1`, highest power first: error 7e-18.
const SMALL_F64: [f64; 12] = [
    -7.795898827002142e-10,
    1.3720064546777686e-08,
    -1.6208483801871705e-07,
    1.6447424703317362e-06,
    -1.492473690741966e-05,
    0.00012055294904839707,
    -0.0008548325975389692,
    0.0052239776071164225,
    -0.02686617064323777,
    0.11283791670945006,
    -0.37612638903183543,
    1.1283791670955126,
];

/// `erfc(x) exp(x^2)` in `t = (x - 2.25) / (x + 2.25)` for `x` in `1..6`: error 1.5e-19.
const LARGE_F64: [f64; 18] = [
    2.3700107432404743e-07,
    -2.58943338524251e-07,
    -1.2308500336451543e-06,
    -2.6754103210407405e-07,
    5.103069049252742e-06,
    7.767212791505313e-06,
    -1.6615104086333237e-05,
    -5.824173932751239e-05,
    4.5552931812811414e-05,
    0.00038142173303889993,
    -0.0001863504141392122,
    -0.0027679498548243368,
    0.00339324305306218,
    0.021688775765698425,
    -0.10505063893636878,
    0.24966144242743057,
    -0.3981892626393712,
    0.23108725873039188,
];

impl Math<'_> {
    pub(super) fn erf(&mut self, x: Val) -> Val {
        let a = self.abs(x);
        // From here on the result is 1.
        let a = self.at_most(a, self.pick(4.0, 6.0));
        let z = self.mul(a, a);
        let one = self.c(1.0);
        let (small, large, split) = if self.is_f32() {
            let p = self.poly(z, &SMALL_F32);
            let small = self.fma(p, a, a);
            // log(erfc(t)) as a polynomial, in the published order of evaluation.
            let (c0, c1) = (self.c(-1.72853470e-5), self.c(3.83197126e-4));
            let (c2, c3) = (self.c(-3.88396438e-3), self.c(2.42546219e-2));
            let r = self.fma(c0, a, c1);
            let u = self.fma(c2, a, c3);
            let mut r = self.fma(r, z, u);
            for c in [-1.06777877e-1, -6.34846687e-1, -1.28717512e-1] {
                let c = self.c(c);
                r = self.fma(r, a, c);
            }
            let minus = self.neg(a);
            let r = self.fma(r, a, minus);
            let e = self.exp(r);
            (small, self.sub(one, e), SPLIT_F32)
        } else {
            let p = self.poly(z, &SMALL_F64);
            let small = self.mul(p, a);
            let k = self.c(2.25);
            let (n, d) = (self.sub(a, k), self.add(a, k));
            let t = self.div(n, d);
            let p = self.poly(t, &LARGE_F64);
            let minus = self.neg(z);
            let e = self.exp(minus);
            (small, self.fnma(p, e, one), 1.0)
        };
        let split = self.c(split);
        let is_large = self.lt(split, a);
        let y = self.select(is_large, large, small);
        self.copysign(y, x)
    }
}
