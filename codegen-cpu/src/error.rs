use crate::widen::Declined;
use thiserror::Error;

/// Why a kernel was not compiled.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CodegenError {
    /// The processor lacks what every kernel needs; on x86-64 that is AVX2, FMA and F16C.
    #[error("no code generator for this processor: {architecture} without {missing}")]
    UnsupportedTarget { architecture: String, missing: &'static str },
    /// `passes` expands this operation into arithmetic; it must not reach the back end.
    #[error("kernel {kernel}: {op} on {dtype} has no machine form and was not expanded")]
    NotExpanded { kernel: String, op: &'static str, dtype: ttk_ir::DType },
    #[error("kernel {kernel}: {what} {id} is used before it is defined")]
    Undefined { kernel: String, what: &'static str, id: u32 },
    #[error("kernel {kernel}: {rule}")]
    Malformed { kernel: String, rule: &'static str },
    #[error("kernel {kernel}: Cranelift: {message}")]
    Cranelift { kernel: String, message: String },
    #[error("kernel {kernel}: the code needs {count} relocations")]
    Relocations { kernel: String, count: usize },
    /// Only when the caller insists on a width; otherwise narrow code is made instead.
    #[error("kernel {kernel}: not widened: {reason}")]
    NotWidened { kernel: String, reason: Declined },
}
