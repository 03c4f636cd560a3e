//! The two intermediate representations of Tiny-Torch and the contract between its crates.
//!
//! * [`graph`]: a pure SSA graph over tensors; every operation is an [`op::Op`].
//! * [`kernel`]: structured loops over scalars, what a back end turns into machine code or CUDA C.
//! * [`program`]: a compiled graph, as kernels, library calls and the buffers between them.
//! * [`device`]: what a device with grids of threads launches for each step of a program.
//! * [`library`]: what a vendor's library may compute in place of such launches.
//!
//! **Invariant:** this crate does no I/O, holds no global state, starts no thread and knows no device.

pub mod build;
pub mod device;
pub mod dtype;
pub mod eval;
pub mod expr;
pub mod graph;
pub mod infer;
pub mod kernel;
pub mod library;
pub mod op;
pub mod program;
pub mod random;
pub mod shape;
pub mod testing;
pub mod text;
pub mod verify;

pub use build::Builder;
pub use dtype::{DType, Scalar};
pub use expr::{Atom, Expr};
pub use graph::{Graph, Loc, LocId, Node, ValueId};
pub use infer::{InferError, infer};
pub use op::{Binary, Cmp, Op, ReduceOp, ScatterOp, Unary};
pub use shape::{Dim, Shape, Type};
