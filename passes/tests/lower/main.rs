//! Lowering against the graph interpreter, operation by operation and on whole models.

mod fusion;
mod ops;
mod random;
mod support;
