//! What is wrong with a text, and where.

use crate::dtype::DType;
use crate::infer::InferError;
use crate::shape::Type;
use thiserror::Error;

/// The first fault of a text. Lines and columns count from 1, columns in bytes.
#[derive(Clone, PartialEq, Debug, Error)]
#[error("{line}:{column}: {kind}")]
pub struct ParseError {
    pub line: u32,
    pub column: u32,
    pub kind: Box<ParseErrorKind>,
}

#[derive(Clone, PartialEq, Debug, Error)]
pub enum ParseErrorKind {
    #[error("expected {expected}, found {found}")]
    Expected { expected: &'static str, found: String },
    #[error("{what} %{name} is not defined")]
    Undefined { what: &'static str, name: String },
    #[error("{what} {name} is defined twice")]
    Redefined { what: &'static str, name: String },
    #[error("there is no operation {name:?}")]
    UnknownOp { name: String },
    #[error("there is no {what} {name:?}")]
    UnknownWord { what: &'static str, name: String },
    #[error("{op} takes no attribute {name:?}")]
    UnknownAttribute { op: String, name: String },
    #[error("{op} needs the attribute {name}")]
    MissingAttribute { op: String, name: &'static str },
    #[error("{op}: attribute {name} is not {expected}")]
    BadAttribute { op: String, name: &'static str, expected: &'static str },
    #[error("{text} is not a value of type {dtype}")]
    BadScalar { text: String, dtype: DType },
    #[error("the divisor of {function} is not positive")]
    BadDivisor { function: &'static str },
    #[error("at most {limit} {what}")]
    Limit { what: &'static str, limit: u64 },
    #[error("the type is printed as {printed}, but it is {inferred}")]
    TypeMismatch { printed: Box<Type>, inferred: Box<Type> },
    #[error(transparent)]
    Infer(#[from] InferError),
}
