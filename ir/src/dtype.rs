//! Element types and scalar constants.

use half::{bf16, f16};
use std::fmt;

/// The element type of a tensor.
///
/// The order of the variants is PyTorch's promotion order within each category.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    U8,
    I8,
    I16,
    I32,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl DType {
    pub const ALL: [DType; 10] = [
        DType::Bool,
        DType::U8,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
    ];

    /// Bytes an element takes in memory.
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 | DType::I8 => 1,
            DType::I16 | DType::F16 | DType::BF16 => 2,
            DType::I32 | DType::F32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    pub const fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
    }

    /// Integers, without `Bool`.
    pub const fn is_int(self) -> bool {
        matches!(self, DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64)
    }

    pub const fn is_signed(self) -> bool {
        !matches!(self, DType::Bool | DType::U8)
    }

    /// The type in which arithmetic on this type is carried out: the 16-bit floats compute in `F32`
    /// and round each result back.
    pub const fn compute(self) -> DType {
        match self {
            DType::F16 | DType::BF16 => DType::F32,
            other => other,
        }
    }

    /// The name in the text form, `f32`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "u8",
            DType::I8 => "i8",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        }
    }

    /// The inverse of [`DType::name`].
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Smallest and largest integer, for integers and `Bool`.
    pub const fn int_range(self) -> Option<(i64, i64)> {
        match self {
            DType::Bool => Some((0, 1)),
            DType::U8 => Some((0, u8::MAX as i64)),
            DType::I8 => Some((i8::MIN as i64, i8::MAX as i64)),
            DType::I16 => Some((i16::MIN as i64, i16::MAX as i64)),
            DType::I32 => Some((i32::MIN as i64, i32::MAX as i64)),
            DType::I64 => Some((i64::MIN, i64::MAX)),
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => None,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One element: a type and the bits of the value in that type, zero-extended to 64.
///
/// Equality and order are those of the bits, so that a scalar can be an attribute of an operation
/// (`-0.0 != 0.0`, and a NaN equals itself). Integers are stored sign-extended to 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Scalar {
    pub dtype: DType,
    pub bits: u64,
}

impl Scalar {
    /// `value` rounded to `dtype`; conversion to an integer saturates and takes NaN to 0. The 16-bit
    /// floats are reached through `f32`, as PyTorch reaches them.
    pub fn from_f64(dtype: DType, value: f64) -> Scalar {
        let bits = match dtype {
            DType::F64 => value.to_bits(),
            DType::F32 => (value as f32).to_bits() as u64,
            DType::F16 => f16::from_f32(value as f32).to_bits() as u64,
            DType::BF16 => bf16::from_f32(value as f32).to_bits() as u64,
            DType::Bool => (value != 0.0) as u64,
            DType::U8 => value as u8 as u64,
            DType::I8 => value as i8 as i64 as u64,
            DType::I16 => value as i16 as i64 as u64,
            DType::I32 => value as i32 as i64 as u64,
            DType::I64 => value as i64 as u64,
        };
        Scalar { dtype, bits }
    }

    /// `value` wrapped into `dtype` (integers), or rounded to it (floats).
    pub fn from_i64(dtype: DType, value: i64) -> Scalar {
        let bits = match dtype {
            DType::F64 => (value as f64).to_bits(),
            // Straight to f32: by way of f64 a large integer would be rounded twice.
            DType::F32 | DType::F16 | DType::BF16 => {
                return Scalar::from_f64(dtype, value as f32 as f64);
            }
            DType::Bool => (value != 0) as u64,
            DType::U8 => value as u8 as u64,
            DType::I8 => value as i8 as i64 as u64,
            DType::I16 => value as i16 as i64 as u64,
            DType::I32 => value as i32 as i64 as u64,
            DType::I64 => value as u64,
        };
        Scalar { dtype, bits }
    }

    pub fn zero(dtype: DType) -> Scalar {
        Scalar::from_i64(dtype, 0)
    }

    pub fn one(dtype: DType) -> Scalar {
        Scalar::from_i64(dtype, 1)
    }

    /// The value as a float; exact for every type but large `I64`.
    pub fn as_f64(self) -> f64 {
        match self.dtype {
            DType::F64 => f64::from_bits(self.bits),
            DType::F32 => f32::from_bits(self.bits as u32) as f64,
            DType::F16 => f16::from_bits(self.bits as u16).to_f64(),
            DType::BF16 => bf16::from_bits(self.bits as u16).to_f64(),
            DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
                self.bits as i64 as f64
            }
        }
    }

    /// The value as an integer; floats are truncated toward zero and saturate.
    pub fn as_i64(self) -> i64 {
        if self.dtype.is_float() { self.as_f64() as i64 } else { self.bits as i64 }
    }

    /// Conversion as the `cast` operation does it.
    pub fn cast(self, dtype: DType) -> Scalar {
        if self.dtype.is_float() {
            Scalar::from_f64(dtype, self.as_f64())
        } else {
            Scalar::from_i64(dtype, self.as_i64())
        }
    }
}
