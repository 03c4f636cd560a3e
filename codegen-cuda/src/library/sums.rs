//! Sums that a library makes beside a product: down the columns of an operand, along the axis that the product sums over.
//! In a linear layer's backward pass that is the bias's gradient beside the weight's.
//!
//! The sum is a step of its own, before the product or after it.

use ttk_ir::device::{Argument, DeviceProgram, DeviceStep};
use ttk_ir::kernel::{Access, BufferRef, Inst, Kernel, LoopKind, Stmt, Val};
use ttk_ir::library::{Matrix, Product, Side};
use ttk_ir::program::{Action, BufferId, Program};
use ttk_ir::{Atom, Binary, DType, Expr};

/// A step that sums the rows of a dense matrix.
pub(super) struct Sum {
    pub(super) step: usize,
    pub(super) matrix: BufferId,
    pub(super) result: BufferId,
    dtype: DType,
    rows: Expr,
    cols: Expr,
}

pub(super) fn sum(program: &Program, device: &DeviceProgram, step: usize) -> Option<Sum> {
    let Action::Launch { kernel, buffers, symbols, .. } = &program.steps[step].action else { return None };
    if !matches!(device.steps.get(step)?, DeviceStep::Launch(_)) {
        return None;
    }
    let kernel = program.kernels.get(*kernel as usize)?;
    let rows = rows(kernel)?;
    let bind = |e: &Expr| {
        e.substitute(&mut |a| match a {
            Atom::Symbol(s) => symbols.get(*s as usize).cloned(),
            Atom::Var(_) | Atom::Value(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => None,
        })
    };
    let [matrix, result] = buffers[..] else { return None };
    let cols = bind(&kernel.params[1].len);
    Some(Sum { step, matrix, result, dtype: kernel.params[0].dtype, rows: bind(&rows), cols })
}

/// Which operand of a product it is whose rows, along the product's own sum, are summed.
pub(super) fn side(p: &Product, s: &Sum) -> Option<Side> {
    if !p.batch.is_empty() || p.dtype != s.dtype || p.k != s.rows {
        return None;
    }
    let is = |m: &Matrix, len: &Expr, along: &Expr, across: &Expr| {
        let dense = across.is_one() && *along == s.cols && m.offset.is_zero();
        m.memory == Argument::Buffer(s.matrix) && *len == s.cols && dense
    };
    if is(&p.a, &p.m, &p.a.col_stride, &p.a.row_stride) {
        return Some(Side::A);
    }
    is(&p.b, &p.n, &p.b.row_stride, &p.b.col_stride).then_some(Side::B)
}

/// The number of rows, if a kernel does nothing but sum those of its first parameter, a dense matrix, into its second.
///
/// Each item sums some columns in a local buffer, by three loops over these columns: one that begins, one that adds within
/// a loop over the rows, one that writes.
fn rows(kernel: &Kernel) -> Option<Expr> {
    let [from, to] = &kernel.params[..] else { return None };
    if from.access != Access::Read || to.access != Access::Write || from.dtype != to.dtype {
        return None;
    }
    let [Stmt::For { var: item, begin: zero, end: items, kind: LoopKind::Parallel, body }] = &kernel.body[..]
    else {
        return None;
    };
    let split = body.iter().position(|s| matches!(s, Stmt::For { .. }))?;
    let (before, loops) = body.split_at(split);
    let [start, rows, finish] = loops else { return None };
    let [local] = &kernel.locals[..] else { return None };
    if local.dtype != from.dtype.compute() || !zero.is_zero() {
        return None;
    }
    let start = Columns::of(start)?;
    let Stmt::For { var: row, begin, end: count, kind: LoopKind::Serial, body: inner } = rows else {
        return None;
    };
    let [inner] = &inner[..] else { return None };
    let (sums, finish) = (Columns::of(inner)?, Columns::of(finish)?);
    let same = |c: &Columns<'_>| (c.begin, c.end) == (start.begin, start.end);
    if !begin.is_zero() || !same(&sums) || !same(&finish) || !start.cover(item.0, items, &to.len) {
        return None;
    }
    let is_local = |c: &Columns<'_>, b: &BufferRef, index: &Expr| {
        *b == BufferRef::Local(0) && *index == Expr::var(c.var).sub(c.begin)
    };

    let [Stmt::Store { buffer, index, value }] = start.body else { return None };
    let zeroed = before.iter().any(|s| match s {
        Stmt::Let { dst, inst: Inst::Const(c), .. } => dst == value && c.as_f64() == 0.0,
        Stmt::Let { .. } | Stmt::For { .. } | Stmt::Store { .. } | Stmt::Acc { .. } => false,
        Stmt::Accumulate { .. } | Stmt::Update { .. } | Stmt::If { .. } => false,
    });
    if !zeroed || before.len() != 1 || !is_local(&start, buffer, index) {
        return None;
    }

    let (Stmt::Store { buffer, index, value }, values) = sums.body.split_last()? else { return None };
    let Inst::Binary(Binary::Add, a, b) = definition(values, *value)? else { return None };
    let loads = |v: Val| {
        let mut inst = definition(values, v)?;
        if let Inst::Cast(from) = inst {
            inst = definition(values, *from)?;
        }
        let Inst::Load { buffer, index } = inst else { return None };
        Some((*buffer, index))
    };
    let element = Expr::var(row.0).mul(&to.len).add(&Expr::var(sums.var));
    let is_element = |(b, index): (BufferRef, &Expr)| b == BufferRef::Param(0) && *index == element;
    let is_sum = |(b, index): (BufferRef, &Expr)| is_local(&sums, &b, index);
    let (a, b) = (loads(*a)?, loads(*b)?);
    let adds = (is_element(a) && is_sum(b)) || (is_element(b) && is_sum(a));
    if !adds || !is_local(&sums, buffer, index) {
        return None;
    }

    let (Stmt::Store { buffer: BufferRef::Param(1), index, value }, values) = finish.body.split_last()?
    else {
        return None;
    };
    let mut value = *value;
    if let Inst::Cast(from) = definition(values, value)? {
        value = *from;
    }
    let Inst::Load { buffer, index: read } = definition(values, value)? else { return None };
    let written = *index == Expr::var(finish.var) && is_local(&finish, buffer, read);
    written.then(|| count.clone())
}

/// A loop over columns.
pub(super) struct Columns<'a> {
    pub(super) var: u32,
    pub(super) begin: &'a Expr,
    pub(super) end: &'a Expr,
    pub(super) body: &'a [Stmt],
}

impl<'a> Columns<'a> {
    pub(super) fn of(stmt: &'a Stmt) -> Option<Columns<'a>> {
        let Stmt::For { var, begin, end, kind: LoopKind::Vector, body } = stmt else { return None };
        Some(Columns { var: var.0, begin, end, body })
    }

    /// Whether the items' columns are all of `len`, each once: all by one item, or as many by each, the last of which may
    /// have fewer.
    pub(super) fn cover(&self, item: u32, items: &Expr, len: &Expr) -> bool {
        if items.is_one() {
            return self.begin.is_zero() && self.end == len;
        }
        let Some((each, first)) = self.begin.affine_in(item) else { return false };
        let end = self.begin.add(&each);
        let Some(n) = each.as_const().filter(|n| *n > 0 && first.is_zero()) else { return false };
        let all = items.mul(&each);
        let (even, cut) = (*self.end == end, *self.end == end.clamp_index(&len.offset(1)));
        let enough = || Some(all.as_const()? - len.as_const()?).filter(|rest| (0..n).contains(rest));
        (even && all == *len) || (cut && enough().is_some())
    }
}

/// What defines a value among statements that only define values.
fn definition(stmts: &[Stmt], v: Val) -> Option<&Inst> {
    stmts.iter().find_map(|s| match s {
        Stmt::Let { dst, inst, .. } => (*dst == v).then_some(inst),
        Stmt::For { .. } | Stmt::Store { .. } | Stmt::Acc { .. } => None,
        Stmt::Accumulate { .. } | Stmt::Update { .. } | Stmt::If { .. } => None,
    })
}
