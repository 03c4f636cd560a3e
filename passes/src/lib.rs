//! Graph to graph to kernels: what happens between a recorded graph and machine code.
//!
//! * [`pipeline`]: the rewriting passes in order; [`optimize`] runs them all.
//! * [`canonicalize`]: one form for each thing that can be said in several, identities, constants.
//! * [`egraph`]: rewrites whose gain depends on their surroundings, by equality saturation.
//! * [`lower()`]: the optimised graph as a program of kernels: grouping, loops, scalar expansion, memory.
//!
//! **Invariant:** every pass is a pure function of the graph and the options; it reads no clock and no
//! environment, so that one input gives one output on every machine.

pub mod canonicalize;
pub mod cse;
pub mod dce;
pub mod egraph;
pub mod error;
mod expand;
pub mod fold;
mod fuse;
pub mod layout;
pub mod lower;
mod memory;
pub mod options;
pub mod pipeline;
pub mod products;
pub mod reciprocal;
pub mod rematerialize;

pub use error::PassError;
pub use lower::{HalfProducts, LowerOptions, lower};
pub use options::Options;
pub use pipeline::{PIPELINE, Pass, optimize, optimize_until, trace};
