//! The derivatives of every operation.

mod common;
mod conventions;
mod finite_differences;
mod random_graphs;
