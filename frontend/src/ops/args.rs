//! Arguments of operators, parsed.

use crate::random::Generator;
use crate::tensor::Tensor;
use crate::view::Dims;
use std::fmt;
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

    /// The type a number has where nothing else decides: `bool`, `int64` or the default float type.
    pub fn default_dtype(self) -> DType {
        match self {
            Number::Bool(_) => DType::Bool,
            Number::Int(_) => DType::I64,
            Number::Float(_) => super::promote::default_float(),
        }
    }
}

/// Where a tensor lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Device {
    Cpu,
    Cuda(u32),
    /// Shapes without elements.
    Meta,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(i) => write!(f, "cuda:{i}"),
            Device::Meta => f.write_str("meta"),
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
