//! Scatters of sums whose order is given up: all updates at once, by atomic additions.

use crate::access::{Motion, accesses_of, memories, motion, slot};
use crate::mapping::{Group, ItemLoop, Mapping, Phase};
use std::collections::HashSet;
use ttk_ir::kernel::{BufferRef, Inst, Kernel, LoopKind, Stmt, Val};
use ttk_ir::{Binary, DType};

/// A kernel that ends in additions to places that data gives, taken apart.
#[derive(Debug)]
pub(crate) struct Scatter {
    /// What comes before the additions, if anything does.
    pub(crate) start: Option<Kernel>,
    /// The additions, each an item.
    pub(crate) additions: Mapping,
}

/// Takes a kernel apart whose items end in a serial loop that adds to one element a time, if the device can
/// add to elements of that type atomically.
pub(crate) fn scatter(kernel: &Kernel) -> Option<Scatter> {
    let (var, begin, end, body) = kernel.parallel_loop()?;
    let (Stmt::For { var: inner, begin: first, end: last, kind: LoopKind::Serial, body: steps }, before) =
        body.split_last()?
    else {
        return None;
    };
    let symbols = |e: &ttk_ir::Expr| {
        let mut only = true;
        e.for_each_leaf(&mut |a| only &= matches!(a, ttk_ir::Atom::Symbol(_)));
        only
    };
    if !kernel.locals.is_empty() || !symbols(first) || !symbols(last) {
        return None;
    }
    let mut steps = addition(kernel, steps)?;
    // Scalars from before that the additions need are computed again.
    let mut start = Vec::new();
    for stmt in before {
        match stmt {
            Stmt::Let { inst, .. } if !matches!(inst, Inst::Read(_)) => steps.insert(0, stmt.clone()),
            Stmt::For { .. } | Stmt::Store { .. } => {}
            Stmt::Let { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => return None,
            Stmt::Update { .. } | Stmt::If { .. } => return None,
        }
        start.push(stmt.clone());
    }
    let scalars = before.iter().filter(|s| matches!(s, Stmt::Let { .. })).count();
    steps[..scalars].reverse();
    let item = |var: u32, begin: &ttk_ir::Expr, end: &ttk_ir::Expr| ItemLoop {
        var,
        begin: begin.clone(),
        end: end.clone(),
    };
    // Neighbouring threads take neighbouring elements.
    let along = accesses_of(&steps)
        .iter()
        .any(|a| !a.write && motion(&a.index, var.0, &HashSet::new()) == Motion::Unit);
    let (outer, serial) = (item(var.0, begin, end), item(inner.0, first, last));
    let items = if along { vec![serial, outer] } else { vec![outer, serial] };
    let additions = Mapping {
        items,
        body: steps,
        group: Group::Thread,
        block: 256,
        width: 1,
        spread: 1,
        chunks: 1,
        phase: Phase::Atomic,
    };
    let writes = accesses_of(&start).iter().any(|a| a.write);
    let start = writes.then(|| {
        let (begin, end) = (begin.clone(), end.clone());
        let body = vec![Stmt::For { var, begin, end, kind: LoopKind::Parallel, body: start }];
        Kernel { body, ..kernel.clone() }
    });
    Some(Scatter { start, additions })
}

/// The steps of the loop with `p[i] = p[i] + x` as an update; `None` if that is not all they do.
fn addition(kernel: &Kernel, steps: &[Stmt]) -> Option<Vec<Stmt>> {
    let (Stmt::Store { buffer: BufferRef::Param(p), index, value }, lets) = steps.split_last()? else {
        return None;
    };
    match kernel.params.get(*p as usize)?.dtype {
        DType::F32 | DType::F64 | DType::I32 | DType::I64 => {}
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::F16 | DType::BF16 => return None,
    }
    let inst = |v: Val| {
        lets.iter().find_map(|s| match s {
            Stmt::Let { dst, inst, .. } if *dst == v => Some(inst),
            _ => None,
        })
    };
    let Inst::Binary(Binary::Add, a, b) = inst(*value)? else { return None };
    let old = |v: Val| {
        matches!(inst(v), Some(Inst::Load { buffer, index: at })
            if *buffer == BufferRef::Param(*p) && at == index)
    };
    let (before, added) = if old(*a) { (*a, *b) } else { (*b, *a) };
    if !old(before) || added == before {
        return None;
    }
    let memory = memories(kernel);
    let written = memory[slot(kernel, BufferRef::Param(*p))];
    let mut out = Vec::new();
    for stmt in lets {
        let Stmt::Let { dst, inst, .. } = stmt else { return None };
        if *dst == before || *dst == *value {
            continue;
        }
        let reads = matches!(inst, Inst::Load { buffer, .. } if memory[slot(kernel, *buffer)] == written);
        if reads || matches!(inst, Inst::Read(_)) || inst.operands().any(|v| v == before || v == *value) {
            return None;
        }
        out.push(stmt.clone());
    }
    let (buffer, index) = (BufferRef::Param(*p), index.clone());
    out.push(Stmt::Update { buffer, index, op: Binary::Add, value: added });
    Some(out)
}
