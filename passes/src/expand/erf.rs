//! The error function.

use super::math::Math;
use ttk_ir::kernel::Val;

/// `erf(x) / x` in `x^2` on `0..4` as a quotient, highest power first: error 2.5e-8. Fitted by least squares with
/// weights moved to where the error was largest (Lawson), in 50 digits.
const NUMERATOR_F32: [f64; 6] = [
    1.9868207304307326e-06,
    0.00028454881240563075,
    0.0038827834751345557,
    0.053100006064274195,
    0.19353265621588578,
    1.128379139573002,
];
const DENOMINATOR_F32: [f64; 6] = [
    3.741967406784841e-05,
    0.0011854267331846105,
    0.015206133756234693,
    0.11534478229913181,
    0.5048464097873011,
    1.0,
];

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
        // From `limit` on the result is 1.
        let limit = self.pick(4.0, 6.0);
        if self.is_f32() {
            // Few operations, and few that wait for each other: a loop over it is fast. The error is below 5
            // units in the last place, of which rounding takes half where the result is near 1.
            let a = self.at_most(x, limit);
            let a = self.at_least(a, -limit);
            let z = self.mul(a, a);
            let (n, d) = (self.poly(z, &NUMERATOR_F32), self.poly(z, &DENOMINATOR_F32));
            let n = self.mul(n, a);
            let y = self.div(n, d);
            let y = self.at_most(y, 1.0);
            return self.at_least(y, -1.0);
        }
        let a = self.abs(x);
        let a = self.at_most(a, limit);
        let z = self.mul(a, a);
        let one = self.c(1.0);
        let p = self.poly(z, &SMALL_F64);
        let small = self.mul(p, a);
        let k = self.c(2.25);
        let (n, d) = (self.sub(a, k), self.add(a, k));
        let t = self.div(n, d);
        let p = self.poly(t, &LARGE_F64);
        let minus = self.neg(z);
        // Between -36 and 0.
        let e = self.exp_normal(minus);
        let large = self.fnma(p, e, one);
        let is_large = self.lt(one, a);
        let y = self.select(is_large, large, small);
        self.copysign(y, x)
    }
}
