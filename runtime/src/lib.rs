//! Everything with an effect: memory, threads, executable code, files.
//!
//! * [`memory`]: [`Buffer`] and the caching allocator;
//! * [`threads`]: the one team of threads; [`sync`]: counting and locking for what operators make;
//! * [`code`]: machine code made executable;
//! * `plan`, `execute`: a program prepared for replay ([`Plan`]), and its runs;
//! * [`encode`], [`cache`]: programs as bytes, and compiled ones kept on disk;
//! * [`cuda`]: NVIDIA devices;
//! * [`artifact`]: `.ttk` files; [`npy`]: NumPy's files;
//! * [`custom`], [`linalg`]: kernels called by name;
//! * [`cpu_features`]: what the processor can do.
//!
//! **Invariant:** of our crates this one knows only `ir`; a compiled program runs with these two.

pub mod artifact;
mod atomic;
pub mod cache;
pub mod code;
pub mod cpu_features;
pub mod cuda;
pub mod custom;
pub mod encode;
mod error;
mod execute;
pub mod linalg;
pub mod memory;
pub mod npy;
mod plan;
mod random;
pub mod sync;
pub mod threads;

pub use code::{CodeModule, KernelCode};
pub use error::{Defect, OutOfMemory, RunError};
pub use memory::Buffer;
pub use plan::Plan;
