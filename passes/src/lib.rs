//! Graph to graph to kernels: what happens between a recorded graph and machine code.

mod fuse;
pub mod lower;
mod memory;
