//! What can go wrong for a user, and which Python exception it is.

use thiserror::Error;
use ttk_ir::DType;

/// The Python exception class an error becomes; PyTorch raises the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exception {
    Runtime,
    Type,
    Value,
    Index,
    NotImplemented,
    OutOfMemory,
    Overflow,
    Assertion,
    Os,
}

/// A user's error. The texts are PyTorch's where users match on them.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum Error {
    #[error(
        "The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension {dim}"
    )]
    Broadcast { a: i64, b: i64, dim: usize },
    #[error("Dimension out of range (expected to be in range of [{low}, {high}], but got {got})")]
    DimRange { low: i64, high: i64, got: i64 },
    #[error("result type {from} can't be cast to the desired output type {to}")]
    ResultCast { from: &'static str, to: &'static str },
    #[error("shape '{shape:?}' is invalid for input of size {numel}")]
    ViewSize { shape: Vec<i64>, numel: i64 },
    #[error("a leaf Variable that requires grad is being used in an in-place operation.")]
    InPlaceLeaf,
    #[error("a view of a leaf Variable that requires grad is being used in an in-place operation.")]
    InPlaceLeafView,
    #[error(
        "one of the variables needed for gradient computation has been modified by an inplace operation: [{dtype} {shape:?}], which is output {output} of {producer}, is at version {found}; expected version {expected} instead. Hint: enable anomaly detection to find the operation that failed to compute its gradient, with torch.autograd.set_detect_anomaly(True)."
    )]
    SavedModified {
        dtype: &'static str,
        shape: Vec<i64>,
        output: usize,
        producer: String,
        found: u32,
        expected: u32,
    },
    #[error(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors after calling backward."
    )]
    BackwardTwice,
    #[error("element 0 of tensors does not require grad and does not have a grad_fn")]
    NoGrad,
    #[error("grad can be implicitly created only for scalar outputs")]
    NotScalar,
    #[error(
        "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior."
    )]
    Unused,
    #[error("One of the differentiated Tensors does not require grad")]
    WrtNoGrad,
    #[error("only Tensors of floating point and complex dtype can require gradients")]
    GradDtype,
    #[error("index out of range in self")]
    IndexOutOfRange,
    #[error("{op}(): {detail}")]
    Argument { op: &'static str, exception: Exception, detail: String },
    #[error("{detail}")]
    Plain { exception: Exception, detail: String },
    #[error("\"{op}\" not implemented for '{dtype}'")]
    NotForDtype { op: &'static str, dtype: &'static str },
    #[error("DefaultCPUAllocator: can't allocate memory: you tried to allocate {bytes} bytes.")]
    OutOfMemory { bytes: u64 },
    #[error("internal error of the compiler, please report it: {detail}")]
    Internal { detail: String },
}

impl Error {
    pub fn runtime(detail: impl Into<String>) -> Error {
        Error::Plain { exception: Exception::Runtime, detail: detail.into() }
    }

    pub fn type_error(detail: impl Into<String>) -> Error {
        Error::Plain { exception: Exception::Type, detail: detail.into() }
    }

    pub fn value(detail: impl Into<String>) -> Error {
        Error::Plain { exception: Exception::Value, detail: detail.into() }
    }

    pub fn index(detail: impl Into<String>) -> Error {
        Error::Plain { exception: Exception::Index, detail: detail.into() }
    }

    /// `op(): detail` as a `RuntimeError`.
    pub fn op(op: &'static str, detail: impl Into<String>) -> Error {
        Error::Argument { op, exception: Exception::Runtime, detail: detail.into() }
    }

    /// The Python class it is raised as.
    pub fn exception(&self) -> Exception {
        match self {
            Error::DimRange { .. } | Error::IndexOutOfRange => Exception::Index,
            Error::Argument { exception, .. } | Error::Plain { exception, .. } => *exception,
            Error::NotForDtype { .. } => Exception::NotImplemented,
            Error::OutOfMemory { .. } => Exception::OutOfMemory,
            Error::Broadcast { .. }
            | Error::ResultCast { .. }
            | Error::ViewSize { .. }
            | Error::InPlaceLeaf
            | Error::InPlaceLeafView
            | Error::SavedModified { .. }
            | Error::BackwardTwice
            | Error::NoGrad
            | Error::NotScalar
            | Error::Unused
            | Error::WrtNoGrad
            | Error::GradDtype
            | Error::Internal { .. } => Exception::Runtime,
        }
    }
}

impl From<ttk_runtime::OutOfMemory> for Error {
    fn from(e: ttk_runtime::OutOfMemory) -> Error {
        Error::OutOfMemory { bytes: e.bytes as u64 }
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// PyTorch's name of an element type in messages (`Float`, `Long`).
pub fn scalar_type_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "Bool",
        DType::U8 => "Byte",
        DType::I8 => "Char",
        DType::I16 => "Short",
        DType::I32 => "Int",
        DType::I64 => "Long",
        DType::F16 => "Half",
        DType::BF16 => "BFloat16",
        DType::F32 => "Float",
        DType::F64 => "Double",
    }
}

/// PyTorch's name of an element type in Python (`float32`).
pub fn python_dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool",
        DType::U8 => "uint8",
        DType::I8 => "int8",
        DType::I16 => "int16",
        DType::I32 => "int32",
        DType::I64 => "int64",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        DType::F32 => "float32",
        DType::F64 => "float64",
    }
}
