//! What statements touch: the buffers of a kernel, and how an index moves along the lanes of a vector loop.

use std::collections::HashSet;
use ttk_ir::expr::range::{Ranges, upper_bound};
use ttk_ir::expr::simplify::simplify;
use ttk_ir::kernel::{BufferRef, Inst, Kernel, LoopKind, Stmt};
use ttk_ir::{Atom, Expr};

/// A read or a write of an element.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) buffer: BufferRef,
    pub(crate) index: Expr,
    pub(crate) write: bool,
}

/// The accesses of a statement, in order; of loops and conditions, those of their bodies.
pub(crate) fn accesses(stmt: &Stmt, out: &mut Vec<Access>) {
    let mut push = |buffer: BufferRef, index: &Expr, write| {
        out.push(Access { buffer, index: index.clone(), write });
    };
    match stmt {
        Stmt::For { body, .. } | Stmt::If { body, .. } => body.iter().for_each(|s| accesses(s, out)),
        Stmt::Let { inst, .. } => match inst {
            Inst::Load { buffer, index } => push(*buffer, index, false),
            Inst::Const(_) | Inst::Read(_) | Inst::Index(_) | Inst::CheckedIndex { .. } => {}
            Inst::Unary(..) | Inst::Binary(..) | Inst::Fma(..) | Inst::Cmp(..) | Inst::Select(..) => {}
            Inst::Cast(_) | Inst::Bitcast(_) => {}
        },
        Stmt::Store { buffer, index, .. } => push(*buffer, index, true),
        Stmt::Update { buffer, index, .. } => {
            push(*buffer, index, false);
            push(*buffer, index, true);
        }
        Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
    }
}

pub(crate) fn accesses_of(stmts: &[Stmt]) -> Vec<Access> {
    let mut out = Vec::new();
    stmts.iter().for_each(|s| accesses(s, &mut out));
    out
}

/// How an index moves from one iteration of a vector loop to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Motion {
    Still,
    /// To the next element.
    Unit,
    /// By another distance.
    Strided,
    /// Where data or a division sends it.
    Free,
}

pub(crate) fn motion(index: &Expr, var: u32, inside: &HashSet<u32>) -> Motion {
    let mut data = false;
    index.for_each_leaf(&mut |a| data |= matches!(a, Atom::Value(v) if inside.contains(v)));
    if data {
        return Motion::Free;
    }
    match index.affine_in(var) {
        Some((c, _)) if c.is_zero() => Motion::Still,
        Some((c, _)) if c.is_one() => Motion::Unit,
        Some(_) => Motion::Strided,
        None => Motion::Free,
    }
}

/// The values that statements define, those in loops and conditions left out.
pub(crate) fn defined(body: &[Stmt]) -> HashSet<u32> {
    let value = |s: &Stmt| match s {
        Stmt::Let { dst, .. } => Some(dst.0),
        Stmt::For { .. } | Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => None,
        Stmt::Update { .. } | Stmt::If { .. } => None,
    };
    body.iter().filter_map(value).collect()
}

/// A number of iterations that a loop never exceeds.
pub(crate) fn trips(begin: &Expr, end: &Expr, ranges: &Ranges) -> Option<i64> {
    let length = simplify(&end.sub(begin), ranges);
    let bound = |e: &Expr| upper_bound(e, ranges).and_then(|e| e.as_const());
    // The interval looks at each atom by itself, the bound at how they hang together.
    let interval = ranges.interval(&length).map(|(_, high)| high);
    match (bound(&length), interval) {
        (Some(a), Some(b)) => Some(a.min(b).max(0)),
        (a, b) => a.or(b).map(|n| n.max(0)),
    }
}

/// Calls `f` on every loop, outermost first, with what is known inside it.
pub(crate) fn for_each_loop<'a>(
    stmts: &'a [Stmt],
    ranges: &mut Ranges,
    f: &mut dyn FnMut(&'a Stmt, &Ranges),
) {
    for stmt in stmts {
        match stmt {
            Stmt::For { var, begin, end, body, .. } => {
                let mark = ranges.mark();
                ranges.push_var(var.0, begin, end);
                f(stmt, ranges);
                for_each_loop(body, ranges, f);
                ranges.reset(mark);
            }
            Stmt::If { body, .. } => for_each_loop(body, ranges, f),
            Stmt::Let { dst, inst: Inst::CheckedIndex { extent, .. }, .. } => {
                ranges.push_value(dst.0, extent)
            }
            Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
            Stmt::Update { .. } => {}
        }
    }
}

pub(crate) fn has_vector_loop(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::For { kind: LoopKind::Vector, .. } => true,
        Stmt::For { body, .. } | Stmt::If { body, .. } => has_vector_loop(body),
        Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => false,
        Stmt::Update { .. } => false,
    })
}

/// For each buffer, parameters first, the number of its memory: parameters that may alias share one.
pub(crate) fn memories(kernel: &Kernel) -> Vec<usize> {
    let n = kernel.params.len();
    let mut class: Vec<usize> = (0..n + kernel.locals.len()).collect();
    for &(a, b) in &kernel.aliases {
        let (a, b) = (a as usize, b as usize);
        if a < n && b < n {
            let (from, to) = (class[a].max(class[b]), class[a].min(class[b]));
            class.iter_mut().filter(|c| **c == from).for_each(|c| *c = to);
        }
    }
    class
}

/// The position of a buffer in [`memories`].
pub(crate) fn slot(kernel: &Kernel, buffer: BufferRef) -> usize {
    match buffer {
        BufferRef::Param(p) => p as usize,
        BufferRef::Local(l) => kernel.params.len() + l as usize,
    }
}
