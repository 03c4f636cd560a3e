//! A program for a device that runs grids of threads: source text, and what to launch for each step.
//!
//! Printed by a code generator from [`Program`](crate::program::Program), compiled and launched by the
//! runtime; this is all that the two say to each other.

use crate::expr::Expr;
use crate::library::Alternative;
use crate::program::BufferId;

/// What the source relies on when NVRTC compiles it, beside the architecture: products and sums are rounded
/// one by one, unless the source says `fma`.
pub const COMPILE_OPTIONS: &[&str] = &["--std=c++17", "--fmad=false"];

/// The device's side of a program. Expressions are over the program's symbols.
///
/// Its source is in pieces, so that a translation unit can be made of any of the functions: whoever compiles them
/// does it at once for some, and not again for one that has been compiled before.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct DeviceProgram {
    /// What is launched for each step, as comments: for people.
    pub listing: String,
    /// Texts with what functions stand on.
    pub helpers: Vec<String>,
    pub functions: Vec<Function>,
    /// Memory that functions need beside the program's buffers; its content is undefined at first and
    /// lives for one run. Bytes, a multiple of 16.
    pub scratch: Vec<Expr>,
    /// For each step of the program, in order.
    pub steps: Vec<DeviceStep>,
    /// Calls of libraries that may stand for launches; of several for the same launches, the better first.
    pub alternatives: Vec<Alternative>,
}

impl DeviceProgram {
    /// A translation unit with some of the functions and what they stand on.
    pub fn unit(&self, functions: &[u32]) -> String {
        let needed = |h: &u32| functions.iter().any(|&f| self.functions[f as usize].helpers.contains(h));
        let helpers = (0..self.helpers.len() as u32).filter(needed);
        let mut unit: String = helpers.map(|h| self.helpers[h as usize].as_str()).collect();
        functions.iter().for_each(|&f| unit.push_str(&self.functions[f as usize].source));
        unit
    }

    /// All of the text, to be read or compiled at once.
    pub fn source(&self) -> String {
        let mut text = self.listing.clone();
        self.helpers.iter().for_each(|h| text.push_str(h));
        text.push_str(PROGRAM);
        for f in &self.functions {
            text.push('\n');
            text.push_str(&f.about);
            text.push_str(&f.source);
        }
        text
    }
}

/// The line of [`DeviceProgram::source`] after which the functions follow.
pub const PROGRAM: &str = "// ---- The program.\n";

/// A function that is launched as a grid of blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its C name. No function of another name has the same source but for that.
    pub name: String,
    /// What it computes, as comments: for people.
    pub about: String,
    /// Its definition.
    pub source: String,
    /// The texts that it stands on: indices into [`DeviceProgram::helpers`], the lowest first.
    pub helpers: Vec<u32>,
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
