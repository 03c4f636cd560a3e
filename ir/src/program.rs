//! A compiled graph before machine code: kernels, library calls, and the buffers between them.
//!
//! Made by `passes`, executed by `runtime`. Tensors are dense and row-major in their buffers; every
//! view has become an index expression or a stride.

mod access;
pub mod eval;
pub mod text;
pub mod verify;
pub mod work;

use crate::dtype::DType;
use crate::expr::Expr;
use crate::graph::{Loc, Symbol};
use crate::kernel::Kernel;
use crate::op::RandomStream;
use crate::shape::Type;

/// An index into [`Program::buffers`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BufferId(pub u32);

/// Where the memory of a buffer comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Placement {
    /// The `i`-th input of the program.
    Input(u32),
    /// Made by the program and handed out (see [`Program::outputs`]).
    Output,
    /// In the program's arena from a byte offset that is a multiple of 64.
    Arena { offset: Expr },
    /// The memory of another buffer, dead by the time this one is written: a donated input or an
    /// intermediate of the same size.
    Reuse(BufferId),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Buffer {
    pub dtype: DType,
    /// Elements, over symbols.
    pub len: Expr,
    pub placement: Placement,
}

/// One result of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    pub ty: Type,
    pub buffer: BufferId,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Program {
    pub name: String,
    pub symbols: Vec<Symbol>,
    pub inputs: Vec<Type>,
    pub outputs: Vec<Output>,
    pub buffers: Vec<Buffer>,
    /// Size of the arena in bytes, over symbols.
    pub arena: Expr,
    /// Distinct kernels; equal ones occur once.
    pub kernels: Vec<Kernel>,
    pub steps: Vec<Step>,
}

/// A step and the source line it is for.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    pub action: Action,
    pub loc: Loc,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Runs `Program::kernels[kernel]` on `buffers`, one for each of its parameters.
    Launch {
        kernel: u32,
        buffers: Vec<BufferId>,
        /// The values of the kernel's symbols, over the program's. Kernels that differ only in sizes
        /// are stored once, with those sizes as symbols.
        symbols: Vec<Expr>,
        /// Estimated work of one iteration of the parallel loop, over the program's symbols. The unit is
        /// one addition of two numbers in cache by a vector loop (about 0.1 ns), so that the runtime can
        /// tell what is worth more than one thread.
        work: Expr,
    },
    Gemm(Box<Gemm>),
    Argsort(Box<Argsort>),
    /// Words of a random stream; `state` is the operand of `Op::RandomBits`.
    RandomBits {
        stream: RandomStream,
        state: BufferId,
        output: BufferId,
    },
    /// Copies a whole buffer.
    Copy {
        input: BufferId,
        output: BufferId,
    },
    /// A kernel of the runtime by name.
    Custom {
        name: String,
        attributes: Vec<i64>,
        inputs: Vec<(BufferId, Type)>,
        output: (BufferId, Type),
    },
}

/// `i64` positions that sort rows: the operand is `outer x len x inner`, sorted along `len`. The first `wanted` of each
/// row are asked for, at least one; what the others are is left open.
#[derive(Clone, PartialEq, Debug)]
pub struct Argsort {
    pub input: BufferId,
    pub output: BufferId,
    pub outer: Expr,
    pub len: Expr,
    pub inner: Expr,
    pub wanted: Expr,
    pub descending: bool,
}

/// A batch of matrix products `C[b] = op(A[b] * B[b])`, `A` being `m x k`, `B` `k x n`.
///
/// The batch is the product of `batch` axes, outermost first. An operand is a strided matrix in a
/// buffer, or is computed one batch item at a time into scratch by a pack kernel (an implicit
/// convolution packs its windows so). When `reduce` is not empty, the products over those axes are
/// summed into one `C`; the runtime splits that sum in a way that does not depend on the number of
/// threads.
#[derive(Clone, PartialEq, Debug)]
pub struct Gemm {
    pub dtype: DType,
    pub m: Expr,
    pub n: Expr,
    pub k: Expr,
    /// Sizes of the batch axes, outermost first; the output has a matrix for each.
    pub batch: Vec<Expr>,
    /// Sizes of axes whose products are summed.
    pub reduce: Vec<Expr>,
    pub a: Operand,
    pub b: Operand,
    pub c: Matrix,
    /// Runs on each finished block of `C`; see [`Epilogue`].
    pub epilogue: Option<Epilogue>,
}

/// A strided matrix for each item of a batch. Strides and offset count elements.
#[derive(Clone, PartialEq, Debug)]
pub struct Matrix {
    pub buffer: BufferId,
    pub offset: Expr,
    /// For each batch axis, then each reduce axis.
    pub batch_strides: Vec<Expr>,
    /// Between rows (`m` for `A` and `C`, `k` for `B`).
    pub row_stride: Expr,
    /// Between columns.
    pub col_stride: Expr,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Operand {
    Strided(Matrix),
    /// Computed into scratch for one item of the flattened (batch, reduce) axes at a time.
    ///
    /// The kernel's parallel loop runs over the items; it is launched for the range `item..item + 1`,
    /// and its parameter 0, whose declared length is that of *one* item, is the scratch. The others are
    /// `buffers`. Axes of size along which the packed matrix does not change are left out of the item
    /// number by `item_strides` (the item is the dot product of the positions and these).
    Packed {
        kernel: u32,
        buffers: Vec<BufferId>,
        /// The values of the kernel's symbols, over the program's.
        symbols: Vec<Expr>,
        len: Expr,
        item_strides: Vec<Expr>,
        row_stride: Expr,
        col_stride: Expr,
    },
}

/// A kernel that turns the raw product into the result while it is in cache.
///
/// Its parallel loop runs over the flattened (batch, m) index when `rows` is true, else over the batch
/// index; the runtime launches it for the range it has just computed. Parameter 0 is the raw product,
/// laid out as `C`; the others are `buffers`. The result may be parameter 0 itself.
#[derive(Clone, PartialEq, Debug)]
pub struct Epilogue {
    pub kernel: u32,
    pub buffers: Vec<BufferId>,
    /// The values of the kernel's symbols, over the program's.
    pub symbols: Vec<Expr>,
    pub rows: bool,
}
