//! The instructions that the expansions are written in.

use rustc_hash::FxHashMap;
use ttk_ir::kernel::{Inst, Stmt, Val};
use ttk_ir::{Binary, Cmp, DType, Scalar, Unary};

/// Appends instructions; arithmetic is on `dtype`, `f32` or `f64` (or an integer type in `pow_int`).
pub(super) struct Math<'a> {
    pub(super) out: &'a mut Vec<Stmt>,
    pub(super) next: &'a mut u32,
    pub(super) constants: &'a mut FxHashMap<Scalar, Val>,
    pub(super) header: &'a mut Vec<Stmt>,
    pub(super) dtype: DType,
}

impl Math<'_> {
    /// Whether arithmetic is in `f32`.
    pub(super) fn is_f32(&self) -> bool {
        self.dtype == DType::F32
    }

    /// `narrow` for `f32`, `wide` for `f64`.
    pub(super) fn pick<T>(&self, narrow: T, wide: T) -> T {
        if self.is_f32() { narrow } else { wide }
    }

    /// The integer type as wide as the float.
    pub(super) fn int(&self) -> DType {
        self.pick(DType::I32, DType::I64)
    }

    /// Bits of the fraction, without the leading one.
    pub(super) fn fraction_bits(&self) -> i64 {
        self.pick(23, 52)
    }

    /// The exponent of 1.
    pub(super) fn bias(&self) -> i64 {
        self.pick(127, 1023)
    }

    /// The same code on another type.
    pub(super) fn within<T>(&mut self, dtype: DType, f: impl FnOnce(&mut Math<'_>) -> T) -> T {
        f(&mut Math { out: self.out, next: self.next, constants: self.constants, header: self.header, dtype })
    }

    pub(super) fn inst(&mut self, inst: Inst, dtype: DType) -> Val {
        let dst = Val(*self.next);
        *self.next += 1;
        self.out.push(Stmt::Let { dst, dtype, inst });
        dst
    }

    pub(super) fn scalar(&mut self, s: Scalar) -> Val {
        if let Some(&v) = self.constants.get(&s) {
            return v;
        }
        let dst = Val(*self.next);
        *self.next += 1;
        self.header.push(Stmt::Let { dst, dtype: s.dtype, inst: Inst::Const(s) });
        self.constants.insert(s, dst);
        dst
    }

    pub(super) fn c_true(&mut self) -> Val {
        self.scalar(Scalar::one(DType::Bool))
    }

    /// A float constant.
    pub(super) fn c(&mut self, value: f64) -> Val {
        self.scalar(Scalar::from_f64(self.dtype, value))
    }

    /// An integer constant as wide as the float.
    pub(super) fn ci(&mut self, value: i64) -> Val {
        self.scalar(Scalar::from_i64(self.int(), value))
    }

    pub(super) fn binary(&mut self, op: Binary, a: Val, b: Val) -> Val {
        self.inst(Inst::Binary(op, a, b), self.dtype)
    }

    /// An operation on the integers as wide as the float.
    pub(super) fn int_binary(&mut self, op: Binary, a: Val, b: Val) -> Val {
        self.inst(Inst::Binary(op, a, b), self.int())
    }

    pub(super) fn add(&mut self, a: Val, b: Val) -> Val {
        self.binary(Binary::Add, a, b)
    }

    pub(super) fn sub(&mut self, a: Val, b: Val) -> Val {
        self.binary(Binary::Sub, a, b)
    }

    pub(super) fn mul(&mut self, a: Val, b: Val) -> Val {
        self.binary(Binary::Mul, a, b)
    }

    pub(super) fn div(&mut self, a: Val, b: Val) -> Val {
        self.binary(Binary::Div, a, b)
    }

    pub(super) fn fma(&mut self, a: Val, b: Val, c: Val) -> Val {
        self.inst(Inst::Fma(a, b, c), self.dtype)
    }

    /// `c - a * b` with one rounding.
    pub(super) fn fnma(&mut self, a: Val, b: Val, c: Val) -> Val {
        let a = self.neg(a);
        self.fma(a, b, c)
    }

    pub(super) fn unary(&mut self, op: Unary, a: Val) -> Val {
        self.inst(Inst::Unary(op, a), self.dtype)
    }

    pub(super) fn neg(&mut self, a: Val) -> Val {
        self.unary(Unary::Neg, a)
    }

    pub(super) fn abs(&mut self, a: Val) -> Val {
        self.unary(Unary::Abs, a)
    }

    pub(super) fn relu(&mut self, a: Val) -> Val {
        let zero = self.scalar(Scalar::zero(self.dtype));
        let flat = self.cmp(Cmp::Le, a, zero);
        self.select(flat, zero, a)
    }

    pub(super) fn floor(&mut self, a: Val) -> Val {
        self.unary(Unary::Floor, a)
    }

    pub(super) fn round(&mut self, a: Val) -> Val {
        self.unary(Unary::Round, a)
    }

    pub(super) fn cmp(&mut self, op: Cmp, a: Val, b: Val) -> Val {
        self.inst(Inst::Cmp(op, a, b), DType::Bool)
    }

    pub(super) fn lt(&mut self, a: Val, b: Val) -> Val {
        self.cmp(Cmp::Lt, a, b)
    }

    pub(super) fn eq(&mut self, a: Val, b: Val) -> Val {
        self.cmp(Cmp::Eq, a, b)
    }

    pub(super) fn and(&mut self, a: Val, b: Val) -> Val {
        self.inst(Inst::Binary(Binary::And, a, b), DType::Bool)
    }

    pub(super) fn or(&mut self, a: Val, b: Val) -> Val {
        self.inst(Inst::Binary(Binary::Or, a, b), DType::Bool)
    }

    pub(super) fn select(&mut self, cond: Val, yes: Val, no: Val) -> Val {
        self.inst(Inst::Select(cond, yes, no), self.dtype)
    }

    pub(super) fn cast(&mut self, a: Val, to: DType) -> Val {
        self.inst(Inst::Cast(a), to)
    }

    /// The bits of a float as an integer.
    pub(super) fn bits(&mut self, a: Val) -> Val {
        self.inst(Inst::Bitcast(a), self.int())
    }

    /// A float with these bits.
    pub(super) fn float_of(&mut self, a: Val) -> Val {
        self.inst(Inst::Bitcast(a), self.dtype)
    }

    /// `min(a, limit)` that keeps NaN; one instruction less than `Min`, whose `limit` may be NaN too.
    pub(super) fn at_most(&mut self, a: Val, limit: f64) -> Val {
        let limit = self.c(limit);
        let over = self.lt(limit, a);
        self.select(over, limit, a)
    }

    /// `max(a, limit)` that keeps NaN.
    pub(super) fn at_least(&mut self, a: Val, limit: f64) -> Val {
        let limit = self.c(limit);
        let under = self.lt(a, limit);
        self.select(under, limit, a)
    }

    /// The magnitude of `a` with the sign of `sign`.
    pub(super) fn copysign(&mut self, a: Val, sign: Val) -> Val {
        let mask = self.ci(self.pick(i32::MIN as i64, i64::MIN));
        let rest = self.ci(self.pick(i32::MAX as i64, i64::MAX));
        let (a, s) = (self.bits(a), self.bits(sign));
        let a = self.int_binary(Binary::And, a, rest);
        let s = self.int_binary(Binary::And, s, mask);
        let joined = self.int_binary(Binary::Or, a, s);
        self.float_of(joined)
    }

    /// A polynomial, highest power first.
    ///
    /// Pairs of terms are made apart and joined by Horner's rule in `x^2`: the chain of operations that wait
    /// for each other is half as long as Horner's in `x`, and that is what a loop over lanes waits for.
    pub(super) fn poly(&mut self, x: Val, coefficients: &[f64]) -> Val {
        let (first, pairs) = coefficients.split_at(coefficients.len() % 2);
        let mut sum = first.first().map(|&c| self.c(c));
        if coefficients.len() < 4 {
            for &c in pairs {
                let c = self.c(c);
                sum = Some(sum.map_or(c, |s| self.fma(s, x, c)));
            }
            return sum.unwrap_or_else(|| self.c(0.0));
        }
        let square = self.mul(x, x);
        for pair in pairs.chunks_exact(2) {
            let (high, low) = (self.c(pair[0]), self.c(pair[1]));
            let pair = self.fma(high, x, low);
            sum = Some(sum.map_or(pair, |s| self.fma(s, square, pair)));
        }
        sum.unwrap_or_else(|| self.c(0.0))
    }

    /// `2^n` for a whole number `n` with `2^n` normal.
    pub(super) fn exp2_int(&mut self, n: Val) -> Val {
        // Adding 1.5 * 2^fraction leaves `n + bias` in the lowest bits.
        let anchor = 1.5 * (1u64 << self.fraction_bits()) as f64 + self.bias() as f64;
        let anchor = self.c(anchor);
        let shifted = self.add(n, anchor);
        let bits = self.bits(shifted);
        let up = self.ci(self.fraction_bits());
        let bits = self.int_binary(Binary::Shl, bits, up);
        self.float_of(bits)
    }

    /// `a * b` as an unevaluated sum: the rounded product and its error.
    pub(super) fn two_product(&mut self, a: Val, b: Val) -> (Val, Val) {
        let p = self.mul(a, b);
        let np = self.neg(p);
        let e = self.fma(a, b, np);
        (p, e)
    }

    /// `a + b` as an unevaluated sum, where `|a| >= |b|` or `a` is 0.
    pub(super) fn fast_two_sum(&mut self, a: Val, b: Val) -> (Val, Val) {
        let s = self.add(a, b);
        let t = self.sub(s, a);
        let e = self.sub(b, t);
        (s, e)
    }

    /// `a + b` as an unevaluated sum.
    pub(super) fn two_sum(&mut self, a: Val, b: Val) -> (Val, Val) {
        let s = self.add(a, b);
        let bb = self.sub(s, a);
        let t = self.sub(s, bb);
        let u = self.sub(a, t);
        let v = self.sub(b, bb);
        let e = self.add(u, v);
        (s, e)
    }
}
