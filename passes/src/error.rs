//! What can go wrong in a pass.

use crate::lower::LowerError;
use thiserror::Error;
use ttk_ir::InferError;
use ttk_ir::verify::VerifyError;

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PassError {
    #[error("there is no pass named {name:?}; the passes are {}", .known.join(", "))]
    UnknownPass { name: String, known: Vec<&'static str> },
    /// A defect of the compiler: a pass copied an operation whose operands no longer fit.
    #[error("pass {pass} made an operation that breaks a type rule: {error}")]
    Type { pass: &'static str, error: InferError },
    /// A defect of the compiler: the type of an input or output is not what it was before the pass.
    #[error("pass {pass} changed the type of {side} {index}")]
    Signature { pass: &'static str, side: &'static str, index: usize },
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// A defect of the compiler.
    #[error("pass {pass} left a graph that does not hold: {error}\n{graph}")]
    Verify { pass: &'static str, error: VerifyError, graph: String },
}
