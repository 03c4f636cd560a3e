//! A program for a device that runs grids of threads: source text, and what to launch for each step.
//!
//! Printed by a code generator from [`Program`](crate::program::Program), compiled and launched by the
//! runtime; this is all that the two say to each other.

use crate::expr::Expr;
use crate::program::BufferId;

/// What the source relies on when NVRTC compiles it, beside the architecture: products and sums are rounded
/// one by one, unless the source says `fma`.
pub const COMPILE_OPTIONS: &[&str] = &["--std=c++17", "--fmad=false"];

/// The device's side of a program. Expressions are over the program's symbols.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct DeviceProgram {
    /// One translation unit, with every function.
    pub source: String,
    pub functions: Vec<Function>,
    /// Memory that functions need beside the program's buffers; its content is undefined at first and
    /// lives for one run. Bytes, a multiple of 16.
    pub scratch: Vec<Expr>,
    /// For each step of the program, in order.
    pub steps: Vec<DeviceStep>,
}

/// A function that is launched as a grid of blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its C name.
    pub name: String,
    /// Threads of a block along x, y, z.
    pub block: [u32; 3],
}

/// What the device does for one step of a program.
#[derive(Clone, PartialEq, Debug)]
pub enum DeviceStep {
    /// Launches, one after the other.
    Launch(Vec<Launch>),
    /// Copies a whole buffer.
    Copy { input: BufferId, output: BufferId },
    /// The step is one for the host (linear algebra by name): its buffers travel there and back.
    Host,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Launch {
    /// An index into [`DeviceProgram::functions`].
    pub function: u32,
    /// Blocks along x, y, z; nothing is launched when one of them is 0.
    pub grid: [Expr; 3],
    /// Dynamic shared memory of a block in bytes.
    pub shared: Expr,
    pub arguments: Vec<Argument>,
}

/// An argument of a function, in the order of its parameters.
#[derive(Clone, PartialEq, Debug)]
pub enum Argument {
    /// The address of a buffer of the program.
    Buffer(BufferId),
    /// The address of one of [`DeviceProgram::scratch`].
    Scratch(u32),
    /// `long long`.
    Integer(Expr),
    /// The address of four `long long`, all 0 before the run: the first thread that meets an index out
    /// of range sets the first of them from 0 to 1 and then the next two to the index and the extent.
    Fault,
}
