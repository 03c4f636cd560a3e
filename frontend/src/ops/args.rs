//! Arguments of operators, parsed.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::random::Generator;
use crate::tensor::Tensor;
use crate::view::Dims;
use std::sync::Arc;
use ttk_ir::DType;

/// A Python number: its category takes part in type promotion.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Number {
    Bool(bool),
    Int(i64),
    Float(f64),
}

impl Number {
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Bool(b) => b as i64 as f64,
            Number::Int(i) => i as f64,
            Number::Float(f) => f,
        }
    }

    pub fn as_i64(self) -> i64 {
        match self {
            Number::Bool(b) => b as i64,
            Number::Int(i) => i,
            Number::Float(f) => f as i64,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Number::Float(_))
    }

    /// As an element of a type: integers wrap, floats round.
    pub fn scalar(self, dtype: DType) -> ttk_ir::Scalar {
        match self {
            Number::Float(f) => ttk_ir::Scalar::from_f64(dtype, f),
            Number::Bool(_) | Number::Int(_) => ttk_ir::Scalar::from_i64(dtype, self.as_i64()),
        }
    }

    /// [`Number::scalar`] of a number that the type must be able to hold. As in PyTorch, an unsigned type takes the
    /// negative of what it holds, which wraps, and floats take infinities.
    ///
    /// # Errors
    /// A number beyond the type.
    pub fn exact_scalar(self, dtype: DType) -> Result<ttk_ir::Scalar> {
        let v = self.as_f64();
        let fits = match dtype {
            DType::Bool | DType::BF16 | DType::F64 => true,
            DType::F16 => !v.is_finite() || v.abs() <= 65_504.0 + 16.0,
            DType::F32 => !v.is_finite() || v.abs() <= f32::MAX as f64,
            DType::U8 => v.is_finite() && v.trunc().abs() <= 255.0,
            DType::I8 | DType::I16 | DType::I32 => match dtype.int_range() {
                Some((low, high)) => low as f64 <= v.trunc() && v.trunc() <= high as f64,
                None => true,
            },
            DType::I64 => !self.is_float() || (v.is_finite() && v.abs() < 2f64.powi(63)),
        };
        if fits {
            return Ok(self.scalar(dtype));
        }
        let name = match dtype {
            DType::U8 => "uint8_t",
            DType::I8 => "int8_t",
            DType::I16 => "int16_t",
            DType::I32 => "int",
            DType::I64 => "int64_t",
            DType::F16 => "c10::Half",
            DType::F32 => "float",
            DType::Bool | DType::BF16 | DType::F64 => dtype.name(),
        };
        Err(Error::runtime(format!("value cannot be converted to type {name} without overflow")))
    }

    /// The type a number has where nothing else decides: `bool`, `int64` or the default float type.
    pub fn default_dtype(self) -> DType {
        match self {
            Number::Bool(_) => DType::Bool,
            Number::Int(_) => DType::I64,
            Number::Float(_) => super::promote::default_float(),
        }
    }
}

/// An argument that was given, or a default that is not `None`.
#[derive(Clone, Debug)]
pub enum Arg {
    None,
    Tensor(Tensor),
    Tensors(Vec<Tensor>),
    OptionalTensors(Vec<Option<Tensor>>),
    Number(Number),
    Numbers(Vec<Number>),
    Int(i64),
    Ints(Dims),
    Floats(Vec<f64>),
    Bool(bool),
    Str(String),
    DType(DType),
    Device(Device),
    Generator(Arc<Generator>),
}

impl Arg {
    pub fn is_none(&self) -> bool {
        matches!(self, Arg::None)
    }
}
