//! CUDA C for programs, and what to launch for each of their steps. Pure: IR in, text out.
//!
//! [`emit`] prints a function or two for each kernel of a [`Program`] and says, for each of its steps, which
//! functions to launch with which grids and arguments ([`DeviceProgram`]). The text needs no header and no
//! include path. It is meant for NVRTC with [`ttk_ir::device::COMPILE_OPTIONS`], above all `--fmad=false`: the
//! kernel IR says itself where a product and a sum are to be rounded once. Compiling takes far longer than
//! anything else here, so that no function is printed twice: equal ones are one, and products of matrices take
//! their sizes as arguments.
//!
//! # From loops to threads
//!
//! A kernel of the IR is a parallel loop of *items*; inside it are scalar statements, serial loops and vector
//! loops. Each item is given to a *group* of threads (one thread, a warp, a block, or as many as its lanes
//! need), which all follow the same path through it:
//!
//! - scalar statements are computed by every thread of the group alike; what they store, its first thread
//!   stores;
//! - the iterations of a vector loop are dealt out to the threads, several neighbouring ones to each where
//!   memory can be read and written 16 bytes at a time;
//! - an accumulator of a vector loop is a partial result in each thread, and is joined when it is read, by
//!   warp shuffles and then through shared memory;
//! - a local buffer stays in registers where each thread reads only what it wrote itself; otherwise it is in
//!   shared memory, or in scratch memory if it is large;
//! - between a write and a read of the same memory by different threads stands a barrier.
//!
//! Where the same elements are read along one axis and written along another, a block takes a tile of items and
//! lanes through shared memory. Long sums down columns are shared by the threads of a block, and by several
//! blocks whose parts a second function joins. No result depends on the order in which threads run, unless
//! [`Options::atomics`] allows it: there are no atomic operations but for the report of an index out of range.
//!
//! `mapping` chooses the group, `body` prints the statements. Products of matrices (`gemm`), sorting (`sort`) and
//! random words (`random`) have functions of their own. What a library may compute instead, `library` describes.

mod access;
mod body;
mod cost;
mod gemm;
mod hazard;
mod index;
mod keep;
mod kernel;
mod library;
mod mapping;
mod names;
mod order;
mod program;
mod random;
mod scalar;
mod scatter;
mod sort;
mod special;
mod split;
mod vector;

use thiserror::Error;
use ttk_ir::DType;
use ttk_ir::device::DeviceProgram;
use ttk_ir::program::Program;

/// What the printed program may do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Products of `f32` matrices on the tensor cores, their operands rounded to 11 bits (PyTorch's
    /// `allow_tf32`).
    pub tf32: bool,
    /// Scatters of sums by atomic additions: all at once, but the order of floating-point additions, and so
    /// their rounding, differs from run to run. Otherwise each is a loop in order.
    pub atomics: bool,
}

/// Why a program cannot be printed: it breaks a rule of `ttk_ir::program::verify`.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Error {
    #[error("step {step}: there is no {what} {id}")]
    Missing { step: usize, what: &'static str, id: u32 },
    #[error("kernel {kernel}: {what} {id} is used before it is defined")]
    Undefined { kernel: String, what: &'static str, id: u32 },
    #[error("kernel {kernel}: a parallel loop inside another loop")]
    Parallel { kernel: String },
    #[error("kernel {kernel}: no mapping to threads fits it")]
    Mapping { kernel: String },
    #[error("kernel {kernel}: {what} in a vector loop")]
    InVector { kernel: String, what: &'static str },
    #[error("step {step}: a product of matrices of {dtype}")]
    Gemm { step: usize, dtype: DType },
}

/// The device's side of a program: its source, functions and launches.
///
/// Launches use symbols of the program for sizes. Kernels that are launched with sizes that are numbers are printed
/// for these numbers. Functions that are equal but for their names and source lines are one.
///
/// # Errors
/// A program that is not well formed.
pub fn emit(program: &Program, options: &Options) -> Result<DeviceProgram, Error> {
    program::emit(program, options)
}
