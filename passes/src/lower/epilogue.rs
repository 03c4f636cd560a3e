//! Kernels that follow a matrix product row by row join it.
//!
//! Bias and activation read each element of the product once: run on the rows that a task has just
//! computed, they find them in cache. Where the kernel writes its result element for element over what it
//! read, the product is computed right into the result, and its own buffer is gone.

use super::LowerOptions;
use crate::memory::in_place_pairs;
use ttk_ir::Expr;
use ttk_ir::expr::range::{Ranges, prove_in_bounds};
use ttk_ir::kernel::{Access, BufferRef, Inst, Kernel, Stmt};
use ttk_ir::program::{Action, BufferId, Epilogue, Gemm, Operand, Placement, Program};

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
