//! Values while code is being written: a CLIF value and what its bits mean.

use cranelift_codegen::ir::{Type, Value, types};
use ttk_ir::DType;

/// How a value is held. Integers narrower than 32 bits are held in 32, sign- or zero-extended; 16-bit
/// floats are held as the `f32` they equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A scalar `bool`, 0 or 1 in eight bits.
    Bool,
    /// Lanes of 32 bits, all ones or zeros.
    Mask32,
    /// Lanes of 64 bits, all ones or zeros.
    Mask64,
    I32,
    I64,
    F32,
    F64,
}

impl Kind {
    /// How scalars of an element type are held.
    pub(crate) fn of(dtype: DType) -> Kind {
        match dtype {
            DType::Bool => Kind::Bool,
            DType::U8 | DType::I8 | DType::I16 | DType::I32 => Kind::I32,
            DType::I64 => Kind::I64,
            DType::F16 | DType::BF16 | DType::F32 => Kind::F32,
            DType::F64 => Kind::F64,
        }
    }

    pub(crate) fn scalar_type(self) -> Type {
        match self {
            Kind::Bool => types::I8,
            Kind::I32 | Kind::Mask32 => types::I32,
            Kind::I64 | Kind::Mask64 => types::I64,
            Kind::F32 => types::F32,
            Kind::F64 => types::F64,
        }
    }

    pub(crate) fn vector_type(self) -> Type {
        match self {
            Kind::Bool | Kind::I32 | Kind::Mask32 => types::I32X4,
            Kind::I64 | Kind::Mask64 => types::I64X2,
            Kind::F32 => types::F32X4,
            Kind::F64 => types::F64X2,
        }
    }

    /// The integer of the same size.
    pub(crate) fn bits(self) -> Kind {
        match self {
            Kind::Bool | Kind::Mask32 | Kind::I32 | Kind::F32 => Kind::I32,
            Kind::Mask64 | Kind::I64 | Kind::F64 => Kind::I64,
        }
    }

    /// Bytes of a lane, and of an element where vectors are put in memory for a while.
    pub(crate) fn size(self) -> u32 {
        match self.bits() {
            Kind::I64 => 8,
            _ => 4,
        }
    }

    pub(crate) fn is_mask(self) -> bool {
        matches!(self, Kind::Mask32 | Kind::Mask64)
    }
}

/// A value, scalar or vector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct V {
    pub(crate) value: Value,
    pub(crate) kind: Kind,
}
