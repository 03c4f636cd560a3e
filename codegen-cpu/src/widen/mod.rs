//! Widening: 128-bit vector code re-encoded at 256 or 512 bits.
//!
//! Cranelift's x64 back end stops at 128-bit vectors. A lane-wise loop body means the same at any
//! width, so a vector loop is generated with the strides of the wide machine, compiled as 128-bit
//! code, and then read back instruction by instruction and written again with wide registers:
//! `vaddps xmm1, xmm2, xmm3` becomes `vaddps zmm1, zmm2, zmm3`. Instruction selection, scheduling and
//! register allocation stay Cranelift's. What does not fit is declined with a reason, and the caller
//! generates plain 128-bit code instead.
//!
//! # What the code may contain
//!
//! *Every vector of `n` lanes fills the low part of its register that its element size needs*: in a
//! loop whose widest element has 32 bits an `i16` vector takes half a register. Conversions between
//! sizes read or write low halves, and those scale as they are. The code may not move data between
//! 128-bit lanes in any other way; instructions that shuffle inside a 128-bit lane run in each lane.
//!
//! Three things Cranelift's code cannot say by itself are said through [`Tag`]s, which travel as trap
//! codes of memory accesses (a load or store keeps its trap code, whatever it is merged into):
//! partial loads and stores, accesses under the tail's lane mask, and the setting of that mask.
//! Operations that have no 128-bit form travel as byte rotations of two vectors, which lane-wise code
//! never contains: see [`Intrinsic`].

mod assemble;
mod decode;
mod flow;
mod fold;
mod masks;
mod plan;
mod rewrite;
mod table;
#[cfg(test)]
mod tests;

use cranelift_codegen::ir::TrapCode;
use iced_x86::{Formatter, Instruction, IntelFormatter};
use plan::Plan;
use thiserror::Error;

/// A wide target of the widener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Wide {
    /// AVX2 and FMA.
    W256,
    /// AVX-512 F, BW, DQ and VL (`x86-64-v4`).
    W512,
}

impl Wide {
    /// Width in 128-bit units.
    pub(crate) const fn scale(self) -> u32 {
        match self {
            Wide::W256 => 2,
            Wide::W512 => 4,
        }
    }
}

/// Why code was not widened.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Declined {
    #[error("no instruction at code offset {offset:#x}")]
    Undecodable { offset: u32 },
    #[error("no wide form of `{text}` at code offset {offset:#x}")]
    UnknownInstruction { offset: u32, text: String },
    #[error("the wide form of the instruction at code offset {offset:#x} cannot be encoded")]
    Unencodable { offset: u32 },
    #[error("a constant out of bounds at code offset {offset:#x}")]
    ConstantAddress { offset: u32 },
}

impl Declined {
    fn unknown(ins: &Instruction) -> Declined {
        let mut text = String::new();
        IntelFormatter::new().format(ins, &mut text);
        Declined::UnknownInstruction { offset: ins.ip() as u32, text }
    }
}

/// What a memory access means beyond its instruction. Carried as a user trap code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Tag {
    /// A partial vector: the access grows with the width.
    Fraction = 1,
    /// Whole or partial, under the tail's lane mask, with elements of 1, 2, 4 or 8 bytes.
    Masked8 = 2,
    Masked16 = 3,
    Masked32 = 4,
    Masked64 = 5,
    /// A store of an integer that is not done: the integer becomes the tail's lane mask.
    SetMask = 6,
    /// A 128-bit load that stays one: reads back a part of what a wide store wrote.
    Narrow = 7,
    /// A partial vector of half the size the load seems to have: two bytes at 128 bits.
    Eighth = 8,
}

impl Tag {
    pub(crate) const ALL: [Tag; 8] = [
        Tag::Fraction,
        Tag::Masked8,
        Tag::Masked16,
        Tag::Masked32,
        Tag::Masked64,
        Tag::SetMask,
        Tag::Narrow,
        Tag::Eighth,
    ];

    pub(crate) const fn trap_code(self) -> TrapCode {
        TrapCode::unwrap_user(self as u8)
    }

    pub(crate) fn from_trap_code(code: TrapCode) -> Option<Tag> {
        Tag::ALL.into_iter().find(|t| t.trap_code() == code)
    }

    /// The tag of a masked access to elements of `bytes` bytes.
    pub(crate) const fn masked(bytes: usize) -> Tag {
        match bytes {
            1 => Tag::Masked8,
            2 => Tag::Masked16,
            4 => Tag::Masked32,
            _ => Tag::Masked64,
        }
    }

    const fn is_masked(self) -> bool {
        match self {
            Tag::Masked8 | Tag::Masked16 | Tag::Masked32 | Tag::Masked64 => true,
            Tag::Fraction | Tag::SetMask | Tag::Narrow | Tag::Eighth => false,
        }
    }
}

/// An operation that exists only at the wide widths, written in CLIF as `shuffle a, b` with the byte
/// mask `n, n+1, .. n+15`, where `n` is its number here (not 8, which may be a plain swap of halves).
///
/// Two-operand ones take `(count, value)`, so that `b` is the instruction's first source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Intrinsic {
    /// `value << count`, 0 for counts outside the width.
    ShiftLeft32 = 1,
    /// `value >> count` keeping the sign, all sign for counts outside the width.
    ShiftRight32 = 2,
    ShiftLeft64 = 3,
    ShiftRight64 = 4,
    /// `i64` lanes to `f64`, rounding to nearest.
    I64ToF64 = 5,
    /// `f64` lanes to `i64`, truncating; out of range and NaN give the smallest integer.
    F64ToI64 = 6,
    /// The low half of IEEE half-precision lanes to `f32`.
    F16ToF32 = 7,
    /// `f32` lanes to half precision in the low half, to nearest even.
    F32ToF16 = 9,
    /// `i64` lanes to `i32` in the low half, wrapping.
    I64ToI32 = 10,
}

impl Intrinsic {
    const ALL: [Intrinsic; 9] = [
        Intrinsic::ShiftLeft32,
        Intrinsic::ShiftRight32,
        Intrinsic::ShiftLeft64,
        Intrinsic::ShiftRight64,
        Intrinsic::I64ToF64,
        Intrinsic::F64ToI64,
        Intrinsic::F16ToF32,
        Intrinsic::F32ToF16,
        Intrinsic::I64ToI32,
    ];

    fn from_rotation(n: u8) -> Option<Intrinsic> {
        Intrinsic::ALL.into_iter().find(|i| *i as u8 == n)
    }

    /// Whether a wide target has it. AVX2 has no 64-bit arithmetic shift and no `i64` conversions.
    pub(crate) const fn exists_at(self, wide: Wide) -> bool {
        match wide {
            Wide::W512 => true,
            Wide::W256 => match self {
                Intrinsic::ShiftLeft32
                | Intrinsic::ShiftRight32
                | Intrinsic::ShiftLeft64
                | Intrinsic::F16ToF32
                | Intrinsic::F32ToF16
                | Intrinsic::I64ToI32 => true,
                Intrinsic::ShiftRight64 | Intrinsic::I64ToF64 | Intrinsic::F64ToI64 => false,
            },
        }
    }
}

/// Wide code and what became of its constants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Widened {
    /// Position-independent, constants behind the instructions.
    pub(crate) code: Vec<u8>,
    /// Constants and spill slots that moved to `zmm16..zmm30`.
    pub(crate) hoisted: u32,
}

/// Re-encodes code; holds the opcode table.
#[derive(Clone, Debug)]
pub(crate) struct Widener {
    table: table::Table,
}

impl Widener {
    pub(crate) fn new() -> Widener {
        Widener { table: table::Table::new() }
    }

    /// Widens one function. `tags` are the code offsets of tagged accesses, ascending; the first
    /// `fixed` bytes of the frame are the function's own memory and keep their size, what lies above
    /// are spilled registers and grows.
    ///
    /// Declines code that has no wide meaning; see [`Declined`].
    pub(crate) fn widen(
        &self,
        code: &[u8],
        tags: &[(u32, Tag)],
        fixed: u32,
        wide: Wide,
    ) -> Result<Widened, Declined> {
        let mut program = decode::decode(code, tags, u64::from(fixed), &self.table)?;
        let mut plan = match wide {
            Wide::W512 => Plan::new(&program, code),
            Wide::W256 => Plan::none(&program),
        };
        fold::reloads(&mut program, &self.table, &mut plan);
        rewrite::rewrite(&program, code, wide, plan)
    }
}
