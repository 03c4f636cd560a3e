//! Derivatives as transformations of the graph IR.
//!
//! * [`vjp_rule`]: for each primitive, what a cotangent of its result says about its operands.
//! * [`backward`]: one reverse walk over anything that records operations ([`Tape`]).
//! * [`vjp`], [`jvp`]: graph to graph, reverse and forward mode.
//! * [`partition`]: what a forward computation keeps for its backward one.
//!
//! Rules emit primitives only, so that a derivative is an ordinary graph: the second derivative is the
//! same transformation applied again.
//!
//! **Invariant:** this crate does no I/O, holds no global state and starts no thread.

mod graph;
mod jvp;
pub mod partition;
mod rules;
mod tape;

pub use graph::{GradError, VjpOptions, vjp};
pub use jvp::{jvp, jvp_rule};
pub use partition::{saved_for_backward, worth_saving};
pub use rules::{Cotangents, carries_derivative, vjp_rule};
pub use tape::{Tape, backward};
