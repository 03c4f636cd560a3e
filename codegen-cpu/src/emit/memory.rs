//! Buffers: addresses, scalar and vector loads and stores of every element type.

use super::analysis::{Clamped, clamped};
use super::value::{Kind, V};
use super::vector::{Lanes, Masked};
use super::{Gen, Result};
use crate::widen::{Intrinsic, Tag};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types};
use ttk_ir::kernel::{Access, BufferRef};
use ttk_ir::{DType, Expr, Scalar};

impl Gen<'_> {
    /// The first byte of a buffer.
    fn base(&self, buffer: BufferRef) -> Result<Value> {
        let base = match buffer {
            BufferRef::Param(p) => self.entry.buffers.get(p as usize),
            BufferRef::Local(l) => self.entry.locals.get(l as usize),
        };
        base.copied().map_or_else(|| self.malformed("a buffer that does not exist"), Ok)
    }

    /// Locals lie in the scratch one after the other, each from a multiple of 64 bytes.
    pub(super) fn place_locals(&mut self, scratch: Value) -> Result<()> {
        let (mut base, mut constant) = (scratch, 0i64);
        for local in &self.kernel.locals {
            let at = if constant == 0 { base } else { self.b.ins().iadd_imm_s(base, constant) };
            self.entry.locals.push(at);
            let size = local.dtype.size() as i64;
            match local.len.as_const() {
                Some(n) => constant += (n.max(0) * size + 63) & !63,
                None => {
                    let bytes = self.expr(&local.len.scale(size))?;
                    let padded = self.b.ins().iadd_imm_s(bytes, 63);
                    let padded = self.b.ins().band_imm_s(padded, -64);
                    base = self.b.ins().iadd(base, padded);
                }
            }
        }
        Ok(())
    }

    pub(super) fn element(&self, buffer: BufferRef) -> Result<DType> {
        let dtype = match buffer {
            BufferRef::Param(p) => self.kernel.params.get(p as usize).map(|p| p.dtype),
            BufferRef::Local(l) => self.kernel.locals.get(l as usize).map(|l| l.dtype),
        };
        match dtype {
            Some(d) => Ok(d),
            None => self.malformed("a buffer that does not exist"),
        }
    }

    /// Whether the memory does not change while the kernel runs.
    pub(super) fn is_unchanging(&self, buffer: BufferRef) -> bool {
        match buffer {
            BufferRef::Local(_) => false,
            BufferRef::Param(p) => {
                self.kernel.params[p as usize].access == Access::Read
                    && self.kernel.aliases.iter().all(|(read, _)| *read != p)
            }
        }
    }

    fn place(&mut self, buffer: BufferRef, index: &Expr) -> Result<(DType, Value, i32)> {
        let dtype = self.element(buffer)?;
        let base = self.base(buffer)?;
        let (address, offset) = self.address(base, index, dtype.size() as i64)?;
        Ok((dtype, address, offset))
    }

    /// Flags of an ordinary access; loads of unchanging memory may move and merge.
    fn flags(&self, buffer: BufferRef) -> MemFlagsData {
        let flags = MemFlagsData::new().with_notrap();
        if self.certain && self.is_unchanging(buffer) { flags.with_readonly().with_can_move() } else { flags }
    }

    pub(super) fn load_scalar(&mut self, buffer: BufferRef, index: &Expr) -> Result<V> {
        let lanes = self.lanes.take();
        let (dtype, address, offset) = self.place(buffer, index)?;
        let flags = self.flags(buffer);
        let v = self.load_element(dtype, flags, address, offset);
        self.lanes = lanes;
        Ok(v)
    }

    fn load_element(&mut self, dtype: DType, flags: MemFlagsData, address: Value, offset: i32) -> V {
        let kind = Kind::of(dtype);
        let memory = memory_type(dtype);
        let raw = self.b.ins().load(memory, flags, address, offset);
        let value = match dtype {
            DType::Bool => self.b.ins().band_imm_u(raw, 1),
            DType::U8 => self.b.ins().uextend(types::I32, raw),
            DType::I8 | DType::I16 => self.b.ins().sextend(types::I32, raw),
            DType::I32 | DType::I64 | DType::F32 | DType::F64 => raw,
            DType::BF16 | DType::F16 => {
                let bits = self.b.ins().uextend(types::I32, raw);
                return self.float_from_bits16(V { value: bits, kind: Kind::I32 }, dtype);
            }
        };
        V { value, kind }
    }

    pub(super) fn store_scalar(&mut self, buffer: BufferRef, index: &Expr, v: V) -> Result<()> {
        let (dtype, address, offset) = self.place(buffer, index)?;
        let value = match dtype {
            DType::Bool | DType::I32 | DType::I64 | DType::F32 | DType::F64 => v.value,
            DType::U8 | DType::I8 => self.b.ins().ireduce(types::I8, v.value),
            DType::I16 => self.b.ins().ireduce(types::I16, v.value),
            DType::F16 | DType::BF16 => {
                let bits = self.bits16_from_float(v, dtype);
                self.b.ins().ireduce(types::I16, bits.value)
            }
        };
        let flags = MemFlagsData::new().with_notrap();
        self.b.ins().store(flags, value, address, offset);
        Ok(())
    }

    /// Flags of a vector access that Cranelift sees whole (`partial` is false) or in part.
    fn vector_flags(&self, buffer: Option<BufferRef>, element: usize, partial: bool) -> MemFlagsData {
        let masked = self.lanes.as_ref().is_some_and(|l| l.masked.is_some()) && buffer.is_some();
        if masked {
            MemFlagsData::new().with_trap_code(Some(Tag::masked(element).trap_code()))
        } else if partial && self.wide.is_some() {
            MemFlagsData::new().with_trap_code(Some(Tag::Fraction.trap_code()))
        } else {
            buffer.map_or(MemFlagsData::new().with_notrap(), |b| self.flags(b))
        }
    }

    /// Elements for the lanes from the index of lane 0 on.
    pub(super) fn load_vector(&mut self, buffer: BufferRef, index: &Expr) -> Result<V> {
        match self.lane_var.and_then(|v| clamped(v.0, index)) {
            Some(c) => self.load_clamped(buffer, &c),
            None => self.load_contiguous(buffer, index),
        }
    }

    /// Neighbouring elements where the index is in range, and the first or the last of the range in the
    /// lanes before and behind: a load under a mask, and two blends. At 512 bits only.
    fn load_clamped(&mut self, buffer: BufferRef, c: &Clamped) -> Result<V> {
        let Some(lanes) = self.lanes.take() else { return self.malformed("a clamped load in scalar code") };
        let dtype = self.element(buffer)?;
        let all = i64::from(lanes.count * self.scale());
        let (start, extent) = (self.expr(&c.inner)?, self.expr(&c.extent)?);
        let zero = self.b.ins().iconst(types::I64, 0);
        let all = self.b.ins().iconst(types::I64, all);
        let before = self.b.ins().isub(zero, start);
        let before = self.b.ins().smax(before, zero);
        let before = self.b.ins().smin(before, all);
        let inside = self.b.ins().isub(extent, start);
        let inside = self.b.ins().smax(inside, zero);
        let inside = self.b.ins().smin(inside, all);
        let first_lanes = |g: &mut Self, n: Value| {
            let one = g.b.ins().iconst(types::I32, 1);
            let bit = g.b.ins().ishl(one, n);
            g.b.ins().iadd_imm_s(bit, -1)
        };
        let (skip, keep) = (first_lanes(self, before), first_lanes(self, inside));
        let mut bits = self.b.ins().band_not(keep, skip);
        if let Some(m) = &lanes.masked {
            bits = self.b.ins().band(bits, m.bits);
        }
        // The ends of the range, for lanes outside it.
        let low = self.load_scalar(buffer, &c.rest)?;
        let high = self.load_scalar(buffer, &c.rest.add(&c.extent).offset(-1))?;
        self.set_mask(bits);
        let masked = Masked { count: all, bits };
        self.lanes = Some(Lanes { masked: Some(masked), ..lanes });
        let v = self.load_contiguous(buffer, &c.rest.add(&c.inner))?;
        if let Some(m) = &lanes.masked {
            self.set_mask(m.bits);
        }
        self.lanes = Some(lanes);
        let (low, high) = (self.splat(low), self.splat(high));
        let kind = if dtype == DType::Bool { Kind::I32 } else { v.kind };
        let after_low = self.inside(kind, before);
        let v = self.select(after_low, low, v);
        let kept = self.inside(kind, inside);
        Ok(self.select(kept, v, high))
    }

    /// Neighbouring elements from the index of lane 0 on.
    fn load_contiguous(&mut self, buffer: BufferRef, index: &Expr) -> Result<V> {
        let (dtype, address, offset) = self.place(buffer, index)?;
        let size = dtype.size();
        let bytes = size as u32 * self.lane_count();
        let (kind, full) = (Kind::of(dtype), bytes == 16);
        if dtype.size() == 2 && bytes == 8 && dtype != DType::F16 {
            // One instruction loads and widens.
            let flags = if self.lanes.as_ref().is_some_and(|l| l.masked.is_some()) {
                self.vector_flags(Some(buffer), size, true)
            } else {
                MemFlagsData::new().with_notrap()
            };
            if dtype == DType::I16 {
                let value = self.b.ins().sload16x4(flags, address, offset);
                return Ok(V { value, kind });
            }
            let value = self.b.ins().uload16x4(flags, address, offset);
            return Ok(self.float_from_bits16(V { value, kind: Kind::I32 }, dtype));
        }
        let flags = self.vector_flags(Some(buffer), size, !full);
        if full && size >= 4 {
            let value = self.b.ins().load(kind.vector_type(), flags, address, offset);
            return Ok(V { value, kind });
        }
        let raw = self.load_low(bytes, flags, address, offset);
        Ok(match dtype {
            DType::Bool => {
                let bytes = self.cast(raw, types::I8X16);
                let halves = self.b.ins().uwiden_low(bytes);
                let value = self.b.ins().uwiden_low(halves);
                let zero = self.number(Kind::I32, 0);
                let value = self.b.ins().icmp(
                    cranelift_codegen::ir::condcodes::IntCC::SignedGreaterThan,
                    value,
                    zero.value,
                );
                V { value, kind: Kind::Mask32 }
            }
            DType::U8 | DType::I8 => {
                let bytes = self.cast(raw, types::I8X16);
                let value = if dtype == DType::U8 {
                    let halves = self.b.ins().uwiden_low(bytes);
                    self.b.ins().uwiden_low(halves)
                } else {
                    let halves = self.b.ins().swiden_low(bytes);
                    self.b.ins().swiden_low(halves)
                };
                V { value, kind }
            }
            DType::I16 => {
                let halves = self.cast(raw, types::I16X8);
                V { value: self.b.ins().swiden_low(halves), kind }
            }
            DType::F16 if self.has_intrinsic(Intrinsic::F16ToF32) => {
                let v = self.intrinsic(Intrinsic::F16ToF32, raw, raw, types::F32X4);
                V { value: v, kind }
            }
            DType::F16 | DType::BF16 => {
                let halves = self.cast(raw, types::I16X8);
                let value = self.b.ins().uwiden_low(halves);
                self.float_from_bits16(V { value, kind: Kind::I32 }, dtype)
            }
            DType::I32 | DType::F32 | DType::I64 | DType::F64 => {
                V { value: self.cast(raw, kind.vector_type()), kind }
            }
        })
    }

    /// 2, 4 or 8 bytes (at 128 bits) into the low part of a vector; the rest is zero.
    ///
    /// Loaded as floats, which go to vector registers whatever becomes of the load.
    fn load_low(&mut self, bytes: u32, flags: MemFlagsData, address: Value, offset: i32) -> Value {
        match bytes {
            2 if self.wide.is_some() => {
                // No load of two bytes goes there: the tag halves this one's size.
                let flags = match flags.trap_code().and_then(Tag::from_trap_code) {
                    Some(Tag::Fraction) => flags.with_trap_code(Some(Tag::Eighth.trap_code())),
                    _ => flags,
                };
                let raw = self.b.ins().load(types::F32, flags, address, offset);
                self.b.ins().scalar_to_vector(types::F32X4, raw)
            }
            2 => {
                let zero = self.b.ins().iconst(types::I16, 0);
                let zero = self.b.ins().splat(types::I16X8, zero);
                let raw = self.b.ins().load(types::I16, flags, address, offset);
                self.b.ins().insertlane(zero, raw, 0)
            }
            4 => {
                let raw = self.b.ins().load(types::F32, flags, address, offset);
                self.b.ins().scalar_to_vector(types::F32X4, raw)
            }
            _ => {
                let raw = self.b.ins().load(types::F64, flags, address, offset);
                self.b.ins().scalar_to_vector(types::F64X2, raw)
            }
        }
    }

    fn store_low(&mut self, bytes: u32, flags: MemFlagsData, v: Value, address: Value, offset: i32) {
        let ty = match bytes {
            2 => types::I16X8,
            4 => types::I32X4,
            _ => types::I64X2,
        };
        let v = self.cast(v, ty);
        let low = self.b.ins().extractlane(v, 0);
        self.b.ins().store(flags, low, address, offset);
    }

    /// Neighbouring elements from the index of lane 0 on.
    pub(super) fn store_vector(&mut self, buffer: BufferRef, index: &Expr, v: V) -> Result<()> {
        let (dtype, address, offset) = self.place(buffer, index)?;
        let size = dtype.size();
        let bytes = size as u32 * self.lane_count();
        let flags = self.vector_flags(Some(buffer), size, bytes != 16);
        let value = match dtype {
            DType::Bool => {
                let mask = self.mask(v, Kind::Mask32);
                let halves = self.b.ins().snarrow(mask.value, mask.value);
                let bytes = self.b.ins().snarrow(halves, halves);
                let one = self.b.ins().iconst(types::I8, 1);
                let one = self.b.ins().splat(types::I8X16, one);
                self.b.ins().band(bytes, one)
            }
            DType::U8 | DType::I8 => {
                let halves = self.b.ins().snarrow(v.value, v.value);
                if dtype == DType::U8 {
                    self.b.ins().unarrow(halves, halves)
                } else {
                    self.b.ins().snarrow(halves, halves)
                }
            }
            DType::I16 => self.b.ins().snarrow(v.value, v.value),
            DType::F16 if self.has_intrinsic(Intrinsic::F32ToF16) => {
                self.intrinsic(Intrinsic::F32ToF16, v.value, v.value, types::I16X8)
            }
            DType::F16 | DType::BF16 => {
                let bits = self.bits16_from_float(v, dtype);
                self.b.ins().unarrow(bits.value, bits.value)
            }
            DType::I32 | DType::F32 | DType::I64 | DType::F64 => v.value,
        };
        if bytes == 16 {
            self.b.ins().store(flags, value, address, offset);
        } else {
            self.store_low(bytes, flags, value, address, offset);
        }
        Ok(())
    }

    /// Room for one vector of a kind at the width of the machine, in the frame; its offset.
    pub(super) fn frame_vector(&mut self, kind: Kind) -> i32 {
        let bytes = kind.size() * self.lane_count() * self.scale();
        self.frame_bytes(bytes)
    }

    /// Bytes in the frame, at a multiple of 64, with room behind them for reading a vector too many.
    pub(super) fn frame_bytes(&mut self, bytes: u32) -> i32 {
        let at = self.frame_used.next_multiple_of(64);
        self.frame_used = at + bytes + 64;
        at as i32
    }

    /// An address in the frame.
    ///
    /// Tags do not survive on an access that Cranelift can see to be on the stack, so for wide code the
    /// address comes from the stack pointer as a number. The frame slot is the lowest in the frame:
    /// nothing is called, and so no outgoing arguments lie below it.
    pub(super) fn frame_address(&mut self, offset: i32) -> Value {
        if self.wide.is_none() {
            return self.b.ins().stack_addr(types::I64, self.frame, offset);
        }
        if offset == 0 {
            self.frame_base
        } else {
            self.b.ins().iadd_imm_s(self.frame_base, i64::from(offset))
        }
    }

    /// A vector to or from the frame, lanes side by side.
    pub(super) fn store_frame(&mut self, v: V, address: Value, offset: i32) {
        let bytes = v.kind.size() * self.lane_count();
        let flags = self.vector_flags(None, 4, bytes != 16);
        if bytes == 16 {
            self.b.ins().store(flags, v.value, address, offset);
        } else {
            self.store_low(bytes, flags, v.value, address, offset);
        }
    }

    pub(super) fn load_frame(&mut self, kind: Kind, address: Value, offset: i32) -> V {
        let bytes = kind.size() * self.lane_count();
        let flags = self.vector_flags(None, 4, bytes != 16);
        let value = if bytes == 16 {
            self.b.ins().load(kind.vector_type(), flags, address, offset)
        } else {
            let raw = self.load_low(bytes, flags, address, offset);
            self.cast(raw, kind.vector_type())
        };
        V { value, kind }
    }

    /// One lane of what [`Gen::store_frame`] wrote. Masks come back as `bool`.
    pub(super) fn load_lane(&mut self, kind: Kind, address: Value, offset: i32) -> V {
        let flags = MemFlagsData::new().with_notrap();
        let value = self.b.ins().load(kind.scalar_type(), flags, address, offset);
        if kind.is_mask() {
            let value = self.b.ins().icmp_imm_u(cranelift_codegen::ir::condcodes::IntCC::NotEqual, value, 0);
            return V { value, kind: Kind::Bool };
        }
        V { value, kind }
    }

    /// The counterpart for [`Gen::load_frame`].
    pub(super) fn store_lane(&mut self, v: V, address: Value, offset: i32) {
        let value = if v.kind == Kind::Bool { self.b.ins().bmask(types::I32, v.value) } else { v.value };
        self.b.ins().store(MemFlagsData::new().with_notrap(), value, address, offset);
    }

    /// `0, 1, 2, ..` in lanes.
    pub(super) fn iota(&mut self, kind: Kind) -> V {
        self.uses_constants = true;
        let kind = kind.bits();
        let at = if kind == Kind::I64 { super::IOTA64 } else { super::IOTA32 };
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        let value = self.b.ins().load(kind.vector_type(), flags, self.entry.constants, at);
        V { value, kind }
    }

    /// The same bits under another vector type.
    pub(super) fn cast(&mut self, v: Value, to: Type) -> Value {
        if self.b.func.dfg.value_type(v) == to {
            return v;
        }
        let flags = MemFlagsData::new().with_endianness(cranelift_codegen::ir::Endianness::Little);
        self.b.ins().bitcast(to, flags, v)
    }

    pub(super) fn zero_of(&mut self, dtype: DType) -> V {
        self.constant(Scalar::zero(dtype))
    }
}

fn memory_type(dtype: DType) -> Type {
    match dtype {
        DType::Bool | DType::U8 | DType::I8 => types::I8,
        DType::I16 | DType::F16 | DType::BF16 => types::I16,
        DType::I32 => types::I32,
        DType::I64 => types::I64,
        DType::F32 => types::F32,
        DType::F64 => types::F64,
    }
}
