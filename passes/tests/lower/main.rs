//! Lowering against the graph interpreter, operation by operation and on whole models.

mod ops;
mod support;
