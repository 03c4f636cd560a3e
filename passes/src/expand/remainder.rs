//! The remainder of floats, `fmod`.

use super::math::Math;
use ttk_ir::DType;
use ttk_ir::kernel::Val;

impl Math<'_> {
    /// The remainder of `a / b` with the sign of `a`; `f32` computes in double precision.
    ///
    /// Long division with digits of 52 bits: exact for every pair of `f32`, and for pairs of `f64` whose
    /// quotient is below 2^208.
    pub(super) fn fmod(&mut self, a: Val, b: Val) -> Val {
        if self.is_f32() {
            let (a, b) = (self.cast(a, DType::F64), self.cast(b, DType::F64));
            let r = self.within(DType::F64, |m| m.long_division(a, b, 5));
            return self.cast(r, DType::F32);
        }
        self.long_division(a, b, 3)
    }

    fn long_division(&mut self, a: Val, b: Val, digits: i32) -> Val {
        let (inf, zero, nan) = (self.c(f64::INFINITY), self.c(0.0), self.c(f64::NAN));
        let mut r = self.abs(a);
        let by = self.abs(b);
        for k in (0..=digits).rev() {
            let scale = self.c(2f64.powi(52 * k));
            let step = if k == 0 { by } else { self.mul(by, scale) };
            let q = self.div(r, step);
            let q = self.floor(q);
            let next = self.fnma(q, step, r);
            // The quotient may have been rounded up to the next whole number.
            let over = self.lt(next, zero);
            let mended = self.add(next, step);
            let next = self.select(over, mended, next);
            // A step that is infinite divides 0 times.
            let fits = self.lt(step, inf);
            r = self.select(fits, next, r);
        }
        let finite = self.abs(a);
        let finite = self.lt(finite, inf);
        let r = self.select(finite, r, nan);
        // `b` NaN or 0: the last quotient was NaN or infinite, unless its step was skipped.
        let number = self.lt(zero, by);
        let r = self.select(number, r, nan);
        self.copysign(r, a)
    }
}
