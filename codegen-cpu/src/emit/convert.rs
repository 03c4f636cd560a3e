//! Conversions between element types.

use super::value::{Kind, V};
use super::{Gen, Result};
use crate::widen::Intrinsic;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, types};
use ttk_ir::{DType, Scalar};

impl Gen<'_> {
    /// `v`, of type `from`, as type `to`: floats to integers truncate and saturate, NaN to 0; integers
    /// wrap; anything to `bool` is `!= 0`.
    pub(super) fn convert(&mut self, v: V, from: DType, to: DType) -> Result<V> {
        if from == to {
            return Ok(v);
        }
        if to == DType::Bool {
            let zero = self.zero_of(from);
            return Ok(self.compare(ttk_ir::Cmp::Ne, v, zero, from));
        }
        if from == DType::Bool {
            return Ok(self.number_from_bool(v, to));
        }
        let (source, target) = (Kind::of(from), Kind::of(to));
        let v = match (source, target) {
            (Kind::I32, Kind::I64) => self.widen_integer(v),
            (Kind::I64, Kind::I32) => self.narrow_integer(v),
            (Kind::F32, Kind::F64) => self.promote(v),
            (Kind::F64, Kind::F32) => self.demote(v),
            (Kind::I32, Kind::F32) => {
                let ty = self.ty(Kind::F32);
                V { value: self.b.ins().fcvt_from_sint(ty, v.value), kind: Kind::F32 }
            }
            (Kind::I32, Kind::F64) => {
                if self.lanes.is_some() {
                    let wide = self.b.ins().swiden_low(v.value);
                    V { value: self.b.ins().fcvt_from_sint(types::F64X2, wide), kind: Kind::F64 }
                } else {
                    V { value: self.b.ins().fcvt_from_sint(types::F64, v.value), kind: Kind::F64 }
                }
            }
            (Kind::I64, Kind::F64) => self.long_to_double(v)?,
            (Kind::I64, Kind::F32) => {
                let double = self.long_to_double(v)?;
                self.demote(double)
            }
            (Kind::F32, Kind::I32) => return Ok(self.float_to_int(v, to)),
            (Kind::F64, Kind::I32) => return Ok(self.double_to_int(v, to)),
            (Kind::F64, Kind::I64) => self.double_to_long(v)?,
            (Kind::F32, Kind::I64) => {
                let double = self.promote(v);
                self.double_to_long(double)?
            }
            _ => v,
        };
        Ok(self.wrap(v, to))
    }

    /// The same bits as another type of the same size.
    pub(super) fn reinterpret(&mut self, v: V, from: DType, to: DType) -> Result<V> {
        if from == to {
            return Ok(v);
        }
        match (from, to) {
            (DType::F16 | DType::BF16, _) => {
                let bits = self.bits16_from_float(v, from);
                // The sixteen bits as a number; what they mean is the target's business.
                if to.is_float() { Ok(self.float_from_bits16(bits, to)) } else { Ok(self.wrap(bits, to)) }
            }
            (_, DType::F16 | DType::BF16) => {
                let low = self.number(Kind::I32, 0xffff);
                let value = self.b.ins().band(v.value, low.value);
                Ok(self.float_from_bits16(V { value, kind: Kind::I32 }, to))
            }
            (DType::Bool, _) => Ok(self.number_from_bool(v, to)),
            (_, DType::Bool) => {
                let one = self.number(Kind::I32, 1);
                let value = self.b.ins().band(v.value, one.value);
                self.convert(V { value, kind: Kind::I32 }, DType::I32, DType::Bool)
            }
            _ if Kind::of(from) == Kind::of(to) => Ok(self.wrap(v, to)),
            _ => {
                let kind = Kind::of(to);
                let ty = self.ty(kind);
                Ok(V { value: self.cast(v.value, ty), kind })
            }
        }
    }

    fn number_from_bool(&mut self, v: V, to: DType) -> V {
        let (one, zero) = (self.constant(Scalar::one(to)), self.constant(Scalar::zero(to)));
        self.select(v, one, zero)
    }

    fn widen_integer(&mut self, v: V) -> V {
        let value = if self.lanes.is_some() {
            self.b.ins().swiden_low(v.value)
        } else {
            self.b.ins().sextend(types::I64, v.value)
        };
        V { value, kind: Kind::I64 }
    }

    fn narrow_integer(&mut self, v: V) -> V {
        let value = if self.lanes.is_some() {
            self.low_halves(v.value)
        } else {
            self.b.ins().ireduce(types::I32, v.value)
        };
        V { value, kind: Kind::I32 }
    }

    fn promote(&mut self, v: V) -> V {
        let value = if self.lanes.is_some() {
            self.b.ins().fvpromote_low(v.value)
        } else {
            self.b.ins().fpromote(types::F64, v.value)
        };
        V { value, kind: Kind::F64 }
    }

    fn demote(&mut self, v: V) -> V {
        let value = if self.lanes.is_some() {
            self.b.ins().fvdemote(v.value)
        } else {
            self.b.ins().fdemote(types::F32, v.value)
        };
        V { value, kind: Kind::F32 }
    }

    fn long_to_double(&mut self, v: V) -> Result<V> {
        let value = if self.lanes.is_none() {
            self.b.ins().fcvt_from_sint(types::F64, v.value)
        } else if self.has_intrinsic(Intrinsic::I64ToF64) {
            self.intrinsic(Intrinsic::I64ToF64, v.value, v.value, types::F64X2)
        } else {
            return self.malformed("i64 to float in vector code");
        };
        Ok(V { value, kind: Kind::F64 })
    }

    fn double_to_long(&mut self, v: V) -> Result<V> {
        if self.lanes.is_none() {
            return Ok(V { value: self.b.ins().fcvt_to_sint_sat(types::I64, v.value), kind: Kind::I64 });
        }
        if !self.has_intrinsic(Intrinsic::F64ToI64) {
            return self.malformed("float to i64 in vector code");
        }
        // Out of range gives the smallest integer: right below, to be mended above and for NaN.
        let value = self.intrinsic(Intrinsic::F64ToI64, v.value, v.value, types::I64X2);
        let limit = self.constant(Scalar::from_f64(DType::F64, 9_223_372_036_854_775_808.0));
        let above = self.b.ins().fcmp(FloatCC::GreaterThanOrEqual, v.value, limit.value);
        let largest = self.number(Kind::I64, i64::MAX);
        let v64 = self.select(V { value: above, kind: Kind::Mask64 }, largest, V { value, kind: Kind::I64 });
        let ordered = self.b.ins().fcmp(FloatCC::Ordered, v.value, v.value);
        let zero = self.number(Kind::I64, 0);
        Ok(self.select(V { value: ordered, kind: Kind::Mask64 }, v64, zero))
    }

    fn float_to_int(&mut self, v: V, to: DType) -> V {
        let ty = self.ty(Kind::I32);
        let value = self.b.ins().fcvt_to_sint_sat(ty, v.value);
        self.saturate(V { value, kind: Kind::I32 }, to)
    }

    fn double_to_int(&mut self, v: V, to: DType) -> V {
        let value = if self.lanes.is_some() {
            // One pattern to Cranelift: two doubles to two integers in the low half.
            let long = self.b.ins().fcvt_to_sint_sat(types::I64X2, v.value);
            let zero = self.number(Kind::I64, 0);
            self.b.ins().snarrow(long, zero.value)
        } else {
            self.b.ins().fcvt_to_sint_sat(types::I32, v.value)
        };
        self.saturate(V { value, kind: Kind::I32 }, to)
    }

    /// A 32-bit integer clamped to the range of a narrower one.
    fn saturate(&mut self, v: V, to: DType) -> V {
        let Some((low, high)) = to.int_range().filter(|_| to != DType::I32) else { return v };
        let (low, high) = (self.number(Kind::I32, low), self.number(Kind::I32, high));
        let value = self.b.ins().smax(v.value, low.value);
        V { value: self.b.ins().smin(value, high.value), kind: Kind::I32 }
    }

    /// An `f32` rounded to the nearest value that a 16-bit float can hold, ties to even.
    pub(super) fn round16(&mut self, v: V, dtype: DType) -> V {
        if dtype == DType::BF16 {
            let bits = self.bf16_bits_above(v);
            let ty = self.ty(Kind::F32);
            return V { value: self.cast(bits.value, ty), kind: Kind::F32 };
        }
        if self.has_intrinsic(Intrinsic::F32ToF16) && self.has_intrinsic(Intrinsic::F16ToF32) {
            let half = self.intrinsic(Intrinsic::F32ToF16, v.value, v.value, types::I16X8);
            let value = self.intrinsic(Intrinsic::F16ToF32, half, half, types::F32X4);
            return V { value, kind: Kind::F32 };
        }
        self.round_f16(v)
    }

    /// Rounds to bfloat16 and leaves the sixteen bits in the upper half of 32.
    fn bf16_bits_above(&mut self, v: V) -> V {
        let ty = self.ty(Kind::I32);
        let bits = self.cast(v.value, ty);
        // Half of the last kept bit, less one unless that bit is odd: ties go to even.
        let odd = self.b.ins().ushr_imm_u(bits, 16);
        let one = self.number(Kind::I32, 1).value;
        let odd = self.b.ins().band(odd, one);
        let half = self.number(Kind::I32, 0x7fff).value;
        let rounded = self.b.ins().iadd(bits, half);
        let rounded = self.b.ins().iadd(rounded, odd);
        // Rounding must not carry a NaN into infinity.
        let quiet = self.number(Kind::I32, 0x0040_0000).value;
        let quieted = self.b.ins().bor(bits, quiet);
        let nan = self.b.ins().fcmp(FloatCC::Unordered, v.value, v.value);
        let nan = V { value: nan, kind: self.mask_kind(Kind::F32) };
        let kind = Kind::I32;
        let chosen = self.select(nan, V { value: quieted, kind }, V { value: rounded, kind });
        let upper = self.number(Kind::I32, 0xffff_0000).value;
        V { value: self.b.ins().band(chosen.value, upper), kind }
    }

    /// Rounds to half precision by arithmetic, where there is no instruction.
    fn round_f16(&mut self, v: V) -> V {
        let (int, float) = (self.ty(Kind::I32), self.ty(Kind::F32));
        let bits = self.cast(v.value, int);
        let sign_bit = self.number(Kind::I32, 0x8000_0000).value;
        let sign = self.b.ins().band(bits, sign_bit);
        let magnitude = self.b.ins().band_not(bits, sign_bit);
        // Normal: round away thirteen bits of the fraction, ties to even.
        let odd = self.b.ins().ushr_imm_u(magnitude, 13);
        let one = self.number(Kind::I32, 1).value;
        let odd = self.b.ins().band(odd, one);
        let half = self.number(Kind::I32, 0x0fff).value;
        let normal = self.b.ins().iadd(magnitude, half);
        let normal = self.b.ins().iadd(normal, odd);
        let kept = self.number(Kind::I32, !0x1fff).value;
        let normal = self.b.ins().band(normal, kept);
        // From 65520 on: infinity. A NaN keeps its own bits.
        let limit = self.number(Kind::I32, 0x477f_efff).value;
        let too_large = self.b.ins().icmp(IntCC::SignedGreaterThan, magnitude, limit);
        let infinity = self.number(Kind::I32, 0x7f80_0000).value;
        let special = self.b.ins().smax(magnitude, infinity);
        let kind = Kind::I32;
        let mask = self.mask_kind(Kind::I32);
        let normal = self.select(
            V { value: too_large, kind: mask },
            V { value: special, kind },
            V { value: normal, kind },
        );
        // Subnormal: multiples of 2^-24, which adding 1/2 rounds to.
        let magnitude_float = self.cast(magnitude, float);
        let shift = self.constant(Scalar::from_f64(DType::F32, 0.5)).value;
        let sum = self.b.ins().fadd(magnitude_float, shift);
        let small = self.b.ins().fsub(sum, shift);
        let small = self.cast(small, int);
        let smallest = self.number(Kind::I32, 0x3880_0000).value;
        let is_small = self.b.ins().icmp(IntCC::SignedGreaterThan, smallest, magnitude);
        let chosen = self.select(V { value: is_small, kind: mask }, V { value: small, kind }, normal);
        let with_sign = self.b.ins().bor(chosen.value, sign);
        V { value: self.cast(with_sign, float), kind: Kind::F32 }
    }

    /// The `f32` that sixteen bits (zero-extended) stand for.
    pub(super) fn float_from_bits16(&mut self, bits: V, dtype: DType) -> V {
        let (int, float) = (self.ty(Kind::I32), self.ty(Kind::F32));
        if dtype == DType::BF16 {
            let value = self.b.ins().ishl_imm_u(bits.value, 16);
            return V { value: self.cast(value, float), kind: Kind::F32 };
        }
        let sign_bit = self.number(Kind::I32, 0x8000).value;
        let sign = self.b.ins().band(bits.value, sign_bit);
        let sign = self.b.ins().ishl_imm_u(sign, 16);
        let low = self.number(Kind::I32, 0x7fff).value;
        let magnitude = self.b.ins().band(bits.value, low);
        let shifted = self.b.ins().ishl_imm_u(magnitude, 13);
        // The exponent is too small by 112, also for subnormals: one multiplication mends both.
        let small = self.cast(shifted, float);
        let scale = self.constant(Scalar { dtype: DType::F32, bits: u64::from((127u32 + 112) << 23) }).value;
        let scaled = self.b.ins().fmul(small, scale);
        let scaled = self.cast(scaled, int);
        let exponent = self.number(Kind::I32, 0x7f80_0000).value;
        let special = self.b.ins().bor(shifted, exponent);
        let limit = self.number(Kind::I32, 0x7bff).value;
        let is_special = self.b.ins().icmp(IntCC::SignedGreaterThan, magnitude, limit);
        let kind = Kind::I32;
        let mask = self.mask_kind(Kind::I32);
        let v = self.select(
            V { value: is_special, kind: mask },
            V { value: special, kind },
            V { value: scaled, kind },
        );
        let value = self.b.ins().bor(v.value, sign);
        V { value: self.cast(value, float), kind: Kind::F32 }
    }

    /// The sixteen bits, zero-extended, of an `f32` that a 16-bit float can hold.
    pub(super) fn bits16_from_float(&mut self, v: V, dtype: DType) -> V {
        let (int, float) = (self.ty(Kind::I32), self.ty(Kind::F32));
        let bits = self.cast(v.value, int);
        if dtype == DType::BF16 {
            return V { value: self.b.ins().ushr_imm_u(bits, 16), kind: Kind::I32 };
        }
        let sign_bit = self.number(Kind::I32, 0x8000_0000).value;
        let sign = self.b.ins().band(bits, sign_bit);
        let sign = self.b.ins().ushr_imm_u(sign, 16);
        let magnitude = self.b.ins().band_not(bits, sign_bit);
        let magnitude_float = self.cast(magnitude, float);
        let scale = self.constant(Scalar { dtype: DType::F32, bits: u64::from((127u32 - 112) << 23) }).value;
        let scaled = self.b.ins().fmul(magnitude_float, scale);
        let scaled = self.cast(scaled, int);
        let finite = self.b.ins().ushr_imm_u(scaled, 13);
        // Infinity and NaN: the largest exponent and what fits of the fraction, quiet if there is any.
        let infinity = self.number(Kind::I32, 0x7f80_0000).value;
        let is_special = self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, magnitude, infinity);
        let is_nan = self.b.ins().icmp(IntCC::SignedGreaterThan, magnitude, infinity);
        let (inf, nan) = (self.number(Kind::I32, 0x7c00), self.number(Kind::I32, 0x7e00));
        let mask = self.mask_kind(Kind::I32);
        let special = self.select(V { value: is_nan, kind: mask }, nan, inf);
        let kind = Kind::I32;
        let v = self.select(V { value: is_special, kind: mask }, special, V { value: finite, kind });
        V { value: self.b.ins().bor(v.value, sign), kind }
    }
}
