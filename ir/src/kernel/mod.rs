//! The kernel IR: structured loops over scalars, the sole contract between `passes` and the back ends.
//!
//! A kernel is a list of statements. Values are scalars in SSA form; views are gone, they have become
//! index expressions ([`Expr`]) over loop variables, symbols and checked values. All mutation goes
//! through buffers and accumulators.
//!
//! ```text
//! kernel @rowsum(%a: f32[4096], %out: mut f32[64]) {
//!   for %i in 0..64 parallel {
//!     acc %s: f32 = 0
//!     for %j in 0..64 vector {
//!       %v: f32 = load %a[%i*64 + %j]
//!       accumulate sum %s, %v
//!     }
//!     %t: f32 = read %s
//!     store %out[%i], %t
//!   }
//! }
//! ```

pub mod eval;
pub mod text;
pub mod verify;

use crate::dtype::{DType, Scalar};
use crate::expr::Expr;
use crate::graph::Loc;
use crate::op::{Binary, Cmp, ReduceOp, Unary};

/// A loop variable, `Atom::Var`. Each loop of a kernel has its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct VarId(pub u32);

/// A scalar value, defined once and visible to the end of the block that defines it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Val(pub u32);

/// A mutable scalar that a loop accumulates into.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AccId(pub u32);

/// Memory a kernel reads or writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum BufferRef {
    /// One of [`Kernel::params`].
    Param(u32),
    /// One of [`Kernel::locals`].
    Local(u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Access {
    Read,
    /// Written, or written and read (an in-place kernel reads an element before it writes it).
    Write,
}

/// A buffer that the caller passes. Two parameters may be the same memory only when
/// [`Kernel::aliases`] says so.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BufferParam {
    pub name: String,
    pub dtype: DType,
    /// How many elements there are at least, over symbols.
    pub len: Expr,
    pub access: Access,
}

/// Scratch that each iteration of the parallel loop has for itself; its content is undefined at first.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Local {
    pub name: String,
    pub dtype: DType,
    /// Elements, over symbols.
    pub len: Expr,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kernel {
    pub name: String,
    /// How many symbols the expressions may mention; their values are passed at launch and are at
    /// least 1. They are the kernel's own, not the program's: see `program::Action::Launch`.
    pub n_symbols: u32,
    pub params: Vec<BufferParam>,
    pub locals: Vec<Local>,
    /// Pairs `(read, written)` of parameters that may be the same memory, because every element is read
    /// before it is written and by the same iteration.
    pub aliases: Vec<(u32, u32)>,
    pub body: Vec<Stmt>,
    /// Source lines of the operations inside, for profiles and listings.
    pub locs: Vec<Loc>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LoopKind {
    /// Iterations in order.
    Serial,
    /// Iterations are independent and may run on any thread. Only as the single outermost statement.
    Parallel,
    /// Iterations are independent but for accumulators, and may run as lanes. Innermost; its body has no
    /// loop. Accumulators of the loop combine in the fixed order [`VECTOR_ACCUMULATORS`] describes, so
    /// that the result does not depend on the width of the machine's vectors.
    Vector,
    /// A small constant trip count, to be repeated in place.
    Unroll,
}

/// An accumulator of a vector loop is this many partial results: iteration `i`, counted from 0 at the
/// loop's begin, goes to partial `i % 32`, each starts at the identity, and at the end of the loop partials are joined as a balanced
/// tree (`p[k]` with `p[k + 16]`, then `p[k + 8]`, 4, 2, 1) and last with the accumulator itself.
pub const VECTOR_ACCUMULATORS: usize = 32;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Stmt {
    /// `for var in begin..end`.
    For {
        var: VarId,
        begin: Expr,
        end: Expr,
        kind: LoopKind,
        body: Vec<Stmt>,
    },
    /// `dst = inst`.
    Let {
        dst: Val,
        dtype: DType,
        inst: Inst,
    },
    Store {
        buffer: BufferRef,
        index: Expr,
        value: Val,
    },
    /// Declares an accumulator, visible to the end of the block.
    Acc {
        acc: AccId,
        dtype: DType,
        init: Scalar,
    },
    /// `acc = combine(acc, value)`.
    Accumulate {
        acc: AccId,
        op: ReduceOp,
        value: Val,
    },
    /// `buffer[index] = combine(buffer[index], value)`, in iteration order; never inside a vector loop.
    Update {
        buffer: BufferRef,
        index: Expr,
        op: Binary,
        value: Val,
    },
    /// Runs the body when `cond` (a `bool`) holds. Not in a vector loop.
    If {
        cond: Val,
        body: Vec<Stmt>,
    },
}

/// What makes a scalar. Operand types are those of the operation's domain; `Let::dtype` is the result's.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Inst {
    Const(Scalar),
    Load {
        buffer: BufferRef,
        index: Expr,
    },
    /// The current value of an accumulator. Not inside a vector loop that accumulates into it.
    Read(AccId),
    /// An index expression as an integer of the result type.
    Index(Expr),
    /// `value` (an integer) if `0 <= value < extent`; otherwise 0, and the launch reports an index error.
    /// The result, of type `i64`, may stand in expressions as `Atom::Value`.
    CheckedIndex {
        value: Val,
        extent: Expr,
    },
    Unary(Unary, Val),
    Binary(Binary, Val, Val),
    /// `a * b + c` with one rounding.
    Fma(Val, Val, Val),
    Cmp(Cmp, Val, Val),
    Select(Val, Val, Val),
    /// Conversion as `Op::Cast`.
    Cast(Val),
    Bitcast(Val),
}

impl Inst {
    /// The values it uses, in order.
    pub fn operands(&self) -> impl Iterator<Item = Val> + use<> {
        let list: [Option<Val>; 3] = match self {
            Inst::Const(_) | Inst::Load { .. } | Inst::Read(_) | Inst::Index(_) => [None; 3],
            Inst::CheckedIndex { value, .. } => [Some(*value), None, None],
            Inst::Unary(_, a) | Inst::Cast(a) | Inst::Bitcast(a) => [Some(*a), None, None],
            Inst::Binary(_, a, b) | Inst::Cmp(_, a, b) => [Some(*a), Some(*b), None],
            Inst::Fma(a, b, c) | Inst::Select(a, b, c) => [Some(*a), Some(*b), Some(*c)],
        };
        list.into_iter().flatten()
    }
}

impl Kernel {
    /// Whether a launch may report an index error.
    pub fn can_fail(&self) -> bool {
        fn checks(body: &[Stmt]) -> bool {
            body.iter().any(|stmt| match stmt {
                Stmt::For { body, .. } | Stmt::If { body, .. } => checks(body),
                Stmt::Let { inst, .. } => matches!(inst, Inst::CheckedIndex { .. }),
                Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } | Stmt::Update { .. } => {
                    false
                }
            })
        }
        checks(&self.body)
    }

    /// The parallel loop, when the kernel is one.
    pub fn parallel_loop(&self) -> Option<(VarId, &Expr, &Expr, &[Stmt])> {
        match self.body.as_slice() {
            [Stmt::For { var, begin, end, kind: LoopKind::Parallel, body }] => Some((*var, begin, end, body)),
            _ => None,
        }
    }
}
