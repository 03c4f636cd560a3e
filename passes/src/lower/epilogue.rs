//! Kernels that follow a matrix product row by row join it.
//!
//! Bias and activation read each element of the product once: run on the rows that a task has just
//! computed, they find them in cache. Where the kernel writes its result element for element over what it
//! read, the product is computed right into the result, and its own buffer is gone.

use super::LowerOptions;
use crate::memory::in_place_pairs;
use ttk_ir::expr::range::{Ranges, prove_in_bounds};
use ttk_ir::expr::simplify::simplify;
use ttk_ir::kernel::{Access, BufferRef, Inst, Kernel, LoopKind, Stmt};
use ttk_ir::program::{Action, BufferId, Epilogue, Gemm, Operand, Placement, Program};
use ttk_ir::{Atom, Expr};

/// Joins every launch that can be an [`Epilogue`] to its product.
pub(super) fn join(program: &mut Program, options: &LowerOptions) {
    let mut at = 0;
    while at < program.steps.len() {
        if let Some((user, epilogue, c)) = find(program, at, options)
            && let Action::Gemm(gemm) = &mut program.steps[at].action
        {
            gemm.epilogue = Some(epilogue);
            gemm.c.buffer = c;
            program.steps.remove(user);
        }
        at += 1;
    }
    program.drop_unused();
}

/// The launch that may join the product of step `at`: its step, the epilogue it becomes, and the buffer of
/// the product then.
fn find(program: &mut Program, at: usize, options: &LowerOptions) -> Option<(usize, Epilogue, BufferId)> {
    let Action::Gemm(gemm) = &program.steps[at].action else { return None };
    let rows = dense_rows(gemm)?;
    let product = gemm.c.buffer;
    if !matches!(program.buffers[product.0 as usize].placement, Placement::Arena { .. }) {
        return None;
    }
    let touches = |action: &Action| {
        let (reads, writes) = action.touched(&program.kernels);
        (reads.contains(&product), writes.contains(&product))
    };
    let mut users =
        (at + 1..program.steps.len()).filter(|&i| touches(&program.steps[i].action) != (false, false));
    let user = users.next()?;
    if users.next().is_some() {
        return None;
    }
    let Action::Launch { kernel, buffers, symbols, work: _ } = &program.steps[user].action else {
        return None;
    };
    let kernel = &program.kernels[*kernel as usize];
    let mut params = (0..buffers.len()).filter(|&p| buffers[p] == product);
    let (param, None) = (params.next()?, params.next()) else { return None };
    let own = symbols.iter().enumerate().all(|(i, e)| *e == Expr::symbol(i as u32));
    if !own || kernel.params[param].access != Access::Read || kernel.can_fail() {
        return None;
    }
    // On a GPU a library may take an activation with the product. A processor goes through long runs faster.
    let by_rows = if options.native_math { by_rows(kernel, &rows, &gemm.n) } else { None };
    let kernel = by_rows.as_ref().unwrap_or(kernel);
    let (row, begin, end, body) = kernel.parallel_loop()?;
    if !begin.is_zero() || *end != rows {
        return None;
    }
    let first = Expr::var(row.0).mul(&gemm.n);
    let mut ranges = Ranges::new();
    ranges.push_var(row.0, begin, end);
    if !reads_row(body, param as u32, &first, &gemm.n, &mut ranges) {
        return None;
    }
    // What else the kernel reads must be there when the product is computed.
    for step in &program.steps[at + 1..user] {
        let (_, writes) = step.action.touched(&program.kernels);
        if writes.iter().any(|w| buffers.contains(w)) {
            return None;
        }
    }
    let pairs = in_place_pairs(kernel);
    // A result that takes over the memory of an input must not take over the product's.
    let given = |p: u32| match program.buffers[buffers[p as usize].0 as usize].placement {
        Placement::Input(n) => options.donate.get(n as usize).copied().unwrap_or(false),
        Placement::Output | Placement::Arena { .. } | Placement::Reuse(_) => false,
    };
    if pairs.iter().any(|&(read, _)| given(read)) {
        return None;
    }
    let over = pairs.iter().find(|&&(read, _)| read as usize == param).map(|&(_, w)| w as usize);
    let fits = |w: &usize| {
        let (from, to) = (&program.buffers[product.0 as usize], &program.buffers[buffers[*w].0 as usize]);
        from.dtype == to.dtype && from.len == to.len
    };
    let over = over.filter(fits);
    let c = over.map_or(product, |w| buffers[w]);
    let rest: Vec<BufferId> =
        (0..buffers.len()).filter(|&p| p != param && Some(p) != over).map(|p| buffers[p]).collect();
    let symbols = symbols.clone();
    let kernel = product_first(kernel, param, over);
    let kernel = match program.kernels.iter().position(|k| *k == kernel) {
        Some(known) => known,
        None => {
            program.kernels.push(kernel);
            program.kernels.len() - 1
        }
    };
    Some((user, Epilogue { kernel: kernel as u32, buffers: rest, symbols, rows: true }, c))
}

/// A kernel that makes each element of one array of the element at its place in another, as one that goes by rows of `n`
/// elements: lowering takes such arrays in blocks, whatever their axes. Sizes are numbers.
fn by_rows(kernel: &Kernel, rows: &Expr, n: &Expr) -> Option<Kernel> {
    let len = rows.mul(n);
    let total = len.as_const()?;
    if kernel.params.len() != 2 || kernel.params.iter().any(|p| p.len != len) || !kernel.locals.is_empty() {
        return None;
    }
    let (block, begin, end, body) = kernel.parallel_loop()?;
    let (Stmt::For { var, begin: first, end: last, kind: LoopKind::Vector, body: lanes }, before) =
        body.split_last()?
    else {
        return None;
    };
    // Blocks of one size, one after the other, up to the end.
    let blocks = end.as_const().filter(|_| begin.is_zero())?;
    let at = |e: &Expr, number: i64| {
        let at = e.substitute(&mut |a| (*a == Atom::Var(block.0)).then(|| Expr::constant(number)));
        simplify(&at, &Ranges::new()).as_const()
    };
    let size = at(last, 0)?;
    let of_block = |i: i64| at(first, i) == Some(i * size) && at(last, i) == Some(total.min((i + 1) * size));
    let seen = [0, blocks / 2, blocks - 1];
    if size < 1 || blocks < 1 || !seen.into_iter().all(of_block) || at(last, blocks - 1) != Some(total) {
        return None;
    }
    let constant = |s: &Stmt| matches!(s, Stmt::Let { inst: Inst::Const(_), .. });
    let here = Expr::var(var.0);
    let in_place = |s: &Stmt| match s {
        Stmt::Let { inst, .. } => match inst {
            Inst::Load { index, .. } => *index == here,
            Inst::Index(_) | Inst::CheckedIndex { .. } | Inst::Read(_) => false,
            Inst::Const(_) | Inst::Unary(..) | Inst::Binary(..) | Inst::Fma(..) | Inst::Cmp(..) => true,
            Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => true,
        },
        Stmt::Store { index, .. } => *index == here,
        Stmt::For { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => false,
        Stmt::Update { .. } | Stmt::If { .. } => false,
    };
    if !before.iter().all(constant) || !lanes.iter().all(in_place) {
        return None;
    }
    let element = Expr::var(block.0).mul(n).add(&here);
    let mut lanes = lanes.clone();
    for stmt in &mut lanes {
        if let Stmt::Let { inst: Inst::Load { index, .. }, .. } | Stmt::Store { index, .. } = stmt {
            *index = element.clone();
        }
    }
    let zero = || Expr::constant(0);
    let row = Stmt::For { var: *var, begin: zero(), end: n.clone(), kind: LoopKind::Vector, body: lanes };
    let body = before.iter().cloned().chain([row]).collect();
    let body =
        vec![Stmt::For { var: block, begin: zero(), end: rows.clone(), kind: LoopKind::Parallel, body }];
    Some(Kernel { body, ..kernel.clone() })
}

/// The number of rows of all products, if they lie one after another without gaps.
fn dense_rows(gemm: &Gemm) -> Option<Expr> {
    let strided = |o: &Operand| matches!(o, Operand::Strided(_));
    // A convolution's product has a faster way to its result than by an epilogue.
    if gemm.epilogue.is_some() || !gemm.reduce.is_empty() || !strided(&gemm.a) || !strided(&gemm.b) {
        return None;
    }
    let c = &gemm.c;
    if !c.offset.is_zero() || !c.col_stride.is_one() || c.row_stride != gemm.n {
        return None;
    }
    let mut rows = gemm.m.clone();
    for (size, stride) in gemm.batch.iter().zip(&c.batch_strides).rev() {
        if *stride != rows.mul(&gemm.n) {
            return None;
        }
        rows = rows.mul(size);
    }
    Some(rows)
}

/// Whether every load of a parameter lies in `first..first + len`.
fn reads_row(body: &[Stmt], param: u32, first: &Expr, len: &Expr, ranges: &mut Ranges) -> bool {
    body.iter().all(|stmt| match stmt {
        Stmt::For { var, begin, end, body, .. } => {
            let mark = ranges.mark();
            ranges.push_var(var.0, begin, end);
            let inside = reads_row(body, param, first, len, ranges);
            ranges.reset(mark);
            inside
        }
        Stmt::If { body, .. } => reads_row(body, param, first, len, ranges),
        Stmt::Let { inst: Inst::Load { buffer: BufferRef::Param(p), index }, .. } if *p == param => {
            prove_in_bounds(&index.sub(first), len, ranges)
        }
        Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Acc { .. } => true,
        Stmt::Accumulate { .. } | Stmt::Update { .. } => true,
    })
}

/// The kernel with a parameter in front, and another one, which is written over it, joined to it.
fn product_first(kernel: &Kernel, param: usize, over: Option<usize>) -> Kernel {
    let first = over.unwrap_or(param);
    let others: Vec<usize> = (0..kernel.params.len()).filter(|&p| p != param && Some(p) != over).collect();
    let place = |p: u32| {
        let p = p as usize;
        let at = others.iter().position(|&o| o == p).map_or(0, |at| at + 1);
        BufferRef::Param(at as u32)
    };
    let mut out = kernel.clone();
    out.name.push_str("_rows");
    out.params =
        std::iter::once(first).chain(others.iter().copied()).map(|p| kernel.params[p].clone()).collect();
    rename(&mut out.body, &place);
    out
}

fn rename(body: &mut [Stmt], place: &dyn Fn(u32) -> BufferRef) {
    for stmt in body {
        match stmt {
            Stmt::For { body, .. } | Stmt::If { body, .. } => rename(body, place),
            Stmt::Let { inst: Inst::Load { buffer, .. }, .. }
            | Stmt::Store { buffer, .. }
            | Stmt::Update { buffer, .. } => {
                if let BufferRef::Param(p) = *buffer {
                    *buffer = place(p);
                }
            }
            Stmt::Let { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
        }
    }
}
