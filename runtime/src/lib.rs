//! Everything with an effect: memory, threads, executable code, files.
//!
//! * [`memory`]: [`Buffer`] and the caching allocator;
//! * [`threads`]: the one team of threads;
//! * [`code`]: machine code made executable;
//! * `plan`, `execute`: a program prepared for replay, and its runs.
//!
//! **Invariant:** of our crates this one knows only `ir`; a compiled program runs with these two.

pub mod code;
pub mod custom;
mod error;
mod execute;
pub mod memory;
mod plan;
mod random;
pub mod threads;

pub use code::{CodeModule, KernelCode};
pub use error::{Defect, OutOfMemory, RunError};
pub use memory::Buffer;
pub use plan::Plan;
