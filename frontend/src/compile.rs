//! From lazy values to results: extraction of what must be computed, the structural cache of compiled
//! plans, compilation on a miss, execution.

pub mod cache;
pub mod extract;
pub mod generalize;
pub mod signature;
pub mod single;

mod backend;
mod risk;

pub use backend::{
    CompileOptions, Compiled, compile_graph, compile_kernels, cuda_of_file, program_of, target, trust,
};
