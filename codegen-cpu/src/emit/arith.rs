//! Arithmetic on scalars and vectors, the same operations on both.

use super::value::{Kind, V};
use super::{Gen, Result};
use crate::error::CodegenError;
use crate::widen::Intrinsic;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Opcode, Value, types};
use ttk_ir::{Binary, Cmp, DType, ReduceOp, Scalar, Unary};

impl Gen<'_> {
    pub(super) fn unary(&mut self, op: Unary, x: V, dtype: DType) -> Result<V> {
        let float = dtype.is_float();
        let value = match op {
            Unary::Neg if float => {
                let sign = self.sign_bit(x.kind);
                return Ok(self.on_bits(x, |g, bits| g.b.ins().bxor(bits, sign)));
            }
            Unary::Abs if float => {
                let sign = self.sign_bit(x.kind);
                return Ok(self.on_bits(x, |g, bits| g.b.ins().band_not(bits, sign)));
            }
            Unary::Neg => self.b.ins().ineg(x.value),
            Unary::Abs if !dtype.is_signed() => x.value,
            Unary::Abs => self.b.ins().iabs(x.value),
            Unary::Not if x.kind == Kind::Bool => self.b.ins().bxor_imm_u(x.value, 1),
            Unary::Not => self.b.ins().bnot(x.value),
            Unary::Floor => self.b.ins().floor(x.value),
            Unary::Round => self.b.ins().nearest(x.value),
            Unary::Sqrt => self.b.ins().sqrt(x.value),
            Unary::Exp
            | Unary::Expm1
            | Unary::Log
            | Unary::Log1p
            | Unary::Sin
            | Unary::Cos
            | Unary::Tanh
            | Unary::Erf
            | Unary::Sigmoid
            | Unary::Relu => return self.not_expanded(op.name(), dtype),
        };
        Ok(self.settle(V { value, kind: x.kind }, dtype))
    }

    /// `known` are the operands that are constants.
    pub(super) fn binary(
        &mut self,
        op: Binary,
        a: V,
        b: V,
        dtype: DType,
        known: [Option<Scalar>; 2],
    ) -> Result<V> {
        let float = dtype.is_float();
        let (a, b) = self.same_mask(a, b);
        let (x, y) = (a.value, b.value);
        let value = match op {
            Binary::Add if float => self.b.ins().fadd(x, y),
            Binary::Sub if float => self.b.ins().fsub(x, y),
            Binary::Mul if float => self.b.ins().fmul(x, y),
            Binary::Div if float => self.b.ins().fdiv(x, y),
            Binary::Max | Binary::Min if float => {
                return Ok(self.float_extreme(op == Binary::Max, a, b, known));
            }
            Binary::Add => self.b.ins().iadd(x, y),
            Binary::Sub => self.b.ins().isub(x, y),
            Binary::Mul => self.multiply(x, y),
            Binary::Div | Binary::Rem if !float => self.divide_integers(op == Binary::Div, a, b)?,
            Binary::Max if a.kind == Kind::I64 && self.lanes.is_some() => {
                let more = self.b.ins().icmp(IntCC::SignedGreaterThan, x, y);
                self.select(V { value: more, kind: Kind::Mask64 }, a, b).value
            }
            Binary::Min if a.kind == Kind::I64 && self.lanes.is_some() => {
                let less = self.b.ins().icmp(IntCC::SignedGreaterThan, y, x);
                self.select(V { value: less, kind: Kind::Mask64 }, a, b).value
            }
            Binary::Max => self.b.ins().smax(x, y),
            Binary::Min => self.b.ins().smin(x, y),
            Binary::And => self.b.ins().band(x, y),
            Binary::Or => self.b.ins().bor(x, y),
            Binary::Xor => self.b.ins().bxor(x, y),
            Binary::Shl | Binary::Shr => self.shift(op == Binary::Shr, a, b, known[1])?,
            Binary::Div | Binary::Rem | Binary::Pow | Binary::Atan2 => {
                return self.not_expanded(op.name(), dtype);
            }
        };
        Ok(self.settle(V { value, kind: a.kind }, dtype))
    }

    fn multiply(&mut self, x: Value, y: Value) -> Value {
        if !(self.is_widened(x) && self.is_widened(y)) {
            return self.b.ins().imul(x, y);
        }
        // Cranelift multiplies what was widened before it widens, and shuffles the halves together: not
        // lane-wise. `x (y + 1) - x` is not what it looks for.
        let kind = if self.b.func.dfg.value_type(x) == types::I64X2 { Kind::I64 } else { Kind::I32 };
        let one = self.number(kind, 1).value;
        let more = self.b.ins().iadd(y, one);
        let product = self.b.ins().imul(x, more);
        self.b.ins().isub(product, x)
    }

    fn is_widened(&self, v: Value) -> bool {
        self.lanes.is_some()
            && self.wide.is_some()
            && self.b.func.dfg.value_def(v).inst().is_some_and(|i| {
                let opcode = self.b.func.dfg.insts[i].opcode();
                matches!(
                    opcode,
                    Opcode::SwidenLow | Opcode::UwidenLow | Opcode::Sload16x4 | Opcode::Uload16x4
                )
            })
    }

    pub(super) fn fma(&mut self, a: V, b: V, c: V, dtype: DType) -> Result<V> {
        if !dtype.is_float() {
            let product = self.binary(Binary::Mul, a, b, dtype, [None; 2])?;
            return self.binary(Binary::Add, product, c, dtype, [None; 2]);
        }
        let value = self.b.ins().fma(a.value, b.value, c.value);
        Ok(self.settle(V { value, kind: a.kind }, dtype))
    }

    /// One step of an accumulator.
    pub(super) fn combine(&mut self, op: ReduceOp, old: V, new: V, dtype: DType) -> Result<V> {
        if dtype == DType::Bool {
            let (a, b) = self.same_mask(old, new);
            let value = match op {
                ReduceOp::Sum | ReduceOp::Max => self.b.ins().bor(a.value, b.value),
                ReduceOp::Prod | ReduceOp::Min => self.b.ins().band(a.value, b.value),
            };
            return Ok(V { value, kind: a.kind });
        }
        self.binary(op.combine(), old, new, dtype, [None; 2])
    }

    /// A result in 32 bits back in the range of its element type.
    fn settle(&mut self, v: V, dtype: DType) -> V {
        let value = match dtype {
            DType::U8 => {
                let low = self.number(Kind::I32, 0xff);
                self.b.ins().band(v.value, low.value)
            }
            DType::I8 | DType::I16 => {
                let above = if dtype == DType::I8 { 24 } else { 16 };
                let up = self.b.ins().ishl_imm_u(v.value, above);
                self.b.ins().sshr_imm_u(up, above)
            }
            DType::F16 | DType::BF16 => return self.round16(v, dtype),
            DType::Bool | DType::I32 | DType::I64 | DType::F32 | DType::F64 => v.value,
        };
        V { value, kind: v.kind }
    }

    /// An integer wrapped into its element type.
    pub(super) fn wrap(&mut self, v: V, dtype: DType) -> V {
        self.settle(v, dtype)
    }

    /// The larger or the smaller; NaN if either is.
    ///
    /// `x > y ? x : y` is one instruction on x86 and gives `y` when either is NaN: what is left is `x`
    /// being NaN, which a constant is not.
    fn float_extreme(&mut self, larger: bool, x: V, y: V, known: [Option<Scalar>; 2]) -> V {
        let is_number = |s: Option<Scalar>| s.is_some_and(|s| !s.as_f64().is_nan());
        let certain = known.map(is_number);
        let (x, y) = if certain[1] && !certain[0] { (y, x) } else { (x, y) };
        if self.lanes.is_none() {
            let max_or_min = if larger {
                self.b.ins().fmax(x.value, y.value)
            } else {
                self.b.ins().fmin(x.value, y.value)
            };
            return V { value: max_or_min, kind: x.kind };
        }
        let chosen = self.chosen_by_size(larger, x, y);
        if certain[0] || certain[1] {
            return chosen;
        }
        let nan = self.b.ins().fcmp(FloatCC::Unordered, x.value, x.value);
        let nan = V { value: nan, kind: self.mask_kind(x.kind) };
        self.select(nan, x, chosen)
    }

    /// `x < y ? x : y`, or `y < x ? x : y` when `larger`: one instruction on x86, NaN and zeros included.
    pub(super) fn chosen_by_size(&mut self, larger: bool, x: V, y: V) -> V {
        let (a, b) = if larger { (y, x) } else { (x, y) };
        let less = self.b.ins().fcmp(FloatCC::LessThan, a.value, b.value);
        let less = self.cast(less, x.kind.vector_type());
        V { value: self.b.ins().bitselect(less, x.value, y.value), kind: x.kind }
    }

    /// Division and remainder of scalars: truncating, 0 over 0 and anything modulo 0.
    fn divide_integers(&mut self, quotient: bool, a: V, b: V) -> Result<Value> {
        if self.lanes.is_some() {
            return self.malformed("integer division in vector code");
        }
        let ty = a.kind.scalar_type();
        let is_zero = self.b.ins().icmp_imm_u(IntCC::Equal, b.value, 0);
        let is_minus_one = self.b.ins().icmp_imm_s(IntCC::Equal, b.value, -1);
        let one = self.b.ins().iconst(ty, 1);
        let zero = self.b.ins().iconst(ty, 0);
        // Neither 0 nor the one quotient that overflows reaches the divide instruction.
        let bad = self.b.ins().bor(is_zero, is_minus_one);
        let by = self.b.ins().select(bad, one, b.value);
        Ok(if quotient {
            let q = self.b.ins().sdiv(a.value, by);
            let negated = self.b.ins().ineg(a.value);
            let q = self.b.ins().select(is_minus_one, negated, q);
            self.b.ins().select(is_zero, zero, q)
        } else {
            self.b.ins().srem(a.value, by)
        })
    }

    fn shift(&mut self, right: bool, a: V, b: V, count: Option<Scalar>) -> Result<Value> {
        let bits = i64::from(a.kind.size()) * 8;
        if let Some(count) = count {
            let n = count.as_i64();
            let inside = (0..bits).contains(&n);
            return Ok(match (right, inside) {
                (false, true) => self.b.ins().ishl_imm_u(a.value, n),
                (false, false) => self.number(a.kind, 0).value,
                (true, _) => self.b.ins().sshr_imm_u(a.value, if inside { n } else { bits - 1 }),
            });
        }
        if self.lanes.is_some() {
            let intrinsic = match (right, a.kind) {
                (false, Kind::I64) => Intrinsic::ShiftLeft64,
                (true, Kind::I64) => Intrinsic::ShiftRight64,
                (false, _) => Intrinsic::ShiftLeft32,
                (true, _) => Intrinsic::ShiftRight32,
            };
            if !self.has_intrinsic(intrinsic) {
                return self.malformed("shift by lanes in vector code");
            }
            return Ok(self.intrinsic(intrinsic, b.value, a.value, a.kind.vector_type()));
        }
        let last = self.number(a.kind, bits - 1).value;
        if right {
            let n = self.b.ins().umin(b.value, last);
            return Ok(self.b.ins().sshr(a.value, n));
        }
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, b.value, last);
        let shifted = self.b.ins().ishl(a.value, b.value);
        let zero = self.number(a.kind, 0).value;
        Ok(self.b.ins().select(inside, shifted, zero))
    }

    pub(super) fn compare(&mut self, op: Cmp, a: V, b: V, dtype: DType) -> V {
        if dtype == DType::Bool {
            return self.compare_bools(op, a, b);
        }
        let kind = self.mask_kind(a.kind);
        let value = if dtype.is_float() {
            let cc = match op {
                Cmp::Eq => FloatCC::Equal,
                Cmp::Ne => FloatCC::NotEqual,
                Cmp::Lt => FloatCC::LessThan,
                Cmp::Le => FloatCC::LessThanOrEqual,
            };
            self.b.ins().fcmp(cc, a.value, b.value)
        } else {
            let cc = match op {
                Cmp::Eq => IntCC::Equal,
                Cmp::Ne => IntCC::NotEqual,
                Cmp::Lt => IntCC::SignedLessThan,
                Cmp::Le => IntCC::SignedLessThanOrEqual,
            };
            self.b.ins().icmp(cc, a.value, b.value)
        };
        V { value, kind }
    }

    fn compare_bools(&mut self, op: Cmp, a: V, b: V) -> V {
        let (a, b) = self.same_mask(a, b);
        let not = |g: &mut Self, v: Value| {
            if a.kind == Kind::Bool { g.b.ins().bxor_imm_u(v, 1) } else { g.b.ins().bnot(v) }
        };
        let value = match op {
            Cmp::Ne => self.b.ins().bxor(a.value, b.value),
            Cmp::Eq => {
                let v = self.b.ins().bxor(a.value, b.value);
                not(self, v)
            }
            Cmp::Lt => {
                let v = not(self, a.value);
                self.b.ins().band(v, b.value)
            }
            Cmp::Le => {
                let v = not(self, a.value);
                self.b.ins().bor(v, b.value)
            }
        };
        V { value, kind: a.kind }
    }

    /// `a` where `c`, else `b`; `c` is a `bool` or a mask.
    pub(super) fn select(&mut self, c: V, a: V, b: V) -> V {
        let (a, b) = self.same_mask(a, b);
        if self.lanes.is_none() {
            // Cranelift selects floats by a jump, which data mispredicts; integers by a move.
            let bits = a.kind.bits().scalar_type();
            let float = matches!(a.kind, Kind::F32 | Kind::F64);
            let (x, y) =
                if float { (self.cast(a.value, bits), self.cast(b.value, bits)) } else { (a.value, b.value) };
            let chosen = self.b.ins().select(c.value, x, y);
            let value = if float { self.cast(chosen, a.kind.scalar_type()) } else { chosen };
            return V { value, kind: a.kind };
        }
        let c = self.mask(c, self.mask_kind(a.kind));
        let ty = a.kind.vector_type();
        let value = if self.is_x86 {
            let bits = a.kind.bits().vector_type();
            let (c, x, y) = (self.cast(c.value, bits), self.cast(a.value, bits), self.cast(b.value, bits));
            let blended = self.b.ins().blendv(c, x, y);
            self.cast(blended, ty)
        } else {
            let c = self.cast(c.value, ty);
            self.b.ins().bitselect(c, a.value, b.value)
        };
        V { value, kind: a.kind }
    }

    /// What comparing values of a kind gives.
    pub(super) fn mask_kind(&self, kind: Kind) -> Kind {
        match (self.lanes.is_some(), kind.bits()) {
            (false, _) => Kind::Bool,
            (true, Kind::I64) => Kind::Mask64,
            (true, _) => Kind::Mask32,
        }
    }

    /// A mask with lanes of another width; lanes of 32 bits sit in the low half of a register when the
    /// loop also has lanes of 64.
    pub(super) fn mask(&mut self, m: V, kind: Kind) -> V {
        let value = match (m.kind, kind) {
            (Kind::Mask32, Kind::Mask64) => self.b.ins().swiden_low(m.value),
            (Kind::Mask64, Kind::Mask32) => self.low_halves(m.value),
            _ => return m,
        };
        V { value, kind }
    }

    /// Two masks of different width made equal; other values as they are.
    fn same_mask(&mut self, a: V, b: V) -> (V, V) {
        if a.kind.is_mask() && b.kind.is_mask() && a.kind != b.kind {
            (self.mask(a, Kind::Mask32), self.mask(b, Kind::Mask32))
        } else {
            (a, b)
        }
    }

    /// The low 32 bits of each 64-bit lane, side by side in the low half.
    pub(super) fn low_halves(&mut self, v: Value) -> Value {
        if self.has_intrinsic(Intrinsic::I64ToI32) {
            return self.intrinsic(Intrinsic::I64ToI32, v, v, types::I32X4);
        }
        let bytes = self.cast(v, types::I8X16);
        let pick: Vec<u8> = [0u8, 8, 0, 8].iter().flat_map(|&at| (at..at + 4).collect::<Vec<_>>()).collect();
        let low = self.shuffle(bytes, bytes, pick);
        self.cast(low, types::I32X4)
    }

    pub(super) fn shuffle(&mut self, a: Value, b: Value, bytes: Vec<u8>) -> Value {
        let mask = self.b.func.dfg.immediates.push(bytes.as_slice().into());
        self.b.ins().shuffle(a, b, mask)
    }

    pub(super) fn has_intrinsic(&self, i: Intrinsic) -> bool {
        self.lanes.is_some() && self.wide.is_some_and(|w| i.exists_at(w))
    }

    /// An operation that only wide registers have; two-operand ones take `(count, value)`.
    pub(super) fn intrinsic(
        &mut self,
        i: Intrinsic,
        a: Value,
        b: Value,
        result: cranelift_codegen::ir::Type,
    ) -> Value {
        let (a, b) = (self.cast(a, types::I8X16), self.cast(b, types::I8X16));
        let rotation: Vec<u8> = (0..16).map(|k| k + i as u8).collect();
        let v = self.shuffle(a, b, rotation);
        self.cast(v, result)
    }

    /// An operation on the bits of a float.
    fn on_bits(&mut self, x: V, f: impl FnOnce(&mut Self, Value) -> Value) -> V {
        let bits = x.kind.bits();
        let to = self.ty(bits);
        let v = self.cast(x.value, to);
        let v = f(self, v);
        let back = self.ty(x.kind);
        V { value: self.cast(v, back), kind: x.kind }
    }

    fn sign_bit(&mut self, kind: Kind) -> Value {
        match kind.bits() {
            Kind::I64 => self.number(Kind::I64, i64::MIN).value,
            _ => self.number(Kind::I32, i64::from(i32::MIN)).value,
        }
    }

    fn not_expanded<T>(&self, op: &'static str, dtype: DType) -> Result<T> {
        Err(CodegenError::NotExpanded { kernel: self.kernel.name.clone(), op, dtype })
    }
}
