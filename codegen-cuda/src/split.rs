//! Kernels that make more results at once than a thread has registers for, as several that make some each.
//!
//! A horizontal group may make a hundred small results in one loop. NVIDIA's compiler moves all of its loads to the front
//! (memory that is only read may be read at any time), and what does not fit then goes to the stack: 3.3 KB for 113
//! gradients. Functions of their own keep the loads of one part from those of the next, and run at the same time
//! where the device has room.

use crate::access::{Motion, accesses_of, defined, memories, motion, slot};
use crate::vector::REGISTERS;
use std::collections::{HashMap, HashSet};
use ttk_ir::kernel::{BufferRef, Inst, Kernel, LoopKind, Stmt, Val};
use ttk_ir::{Atom, Expr};

/// Elements that a thread may have to hold of one iteration: it takes four iterations of `f32` at once.
const ELEMENTS: usize = REGISTERS as usize / 4;

/// The parts of a kernel, in an order in which they may run one after the other; the kernel itself where it is small enough,
/// or is no loop over independent results.
pub(crate) fn split(kernel: &Kernel) -> Vec<Kernel> {
    parts(kernel).unwrap_or_else(|| vec![kernel.clone()])
}

fn parts(kernel: &Kernel) -> Option<Vec<Kernel>> {
    let [Stmt::For { body: item, kind: LoopKind::Parallel, .. }] = kernel.body.as_slice() else {
        return None;
    };
    let (Stmt::For { var, kind: LoopKind::Vector, body, .. }, before) = item.split_last()? else {
        return None;
    };
    if !kernel.locals.is_empty() || !pure(before) {
        return None;
    }
    let inside = defined(body);
    let moving =
        accesses_of(body).iter().filter(|a| motion(&a.index, var.0, &inside) == Motion::Unit).count();
    if moving <= ELEMENTS {
        return None;
    }
    let groups = groups(kernel, body)?;
    if groups.len() < 2 {
        return None;
    }
    let part = |(n, kept): (usize, &HashSet<usize>)| {
        let mut part = kernel.clone();
        if n > 0 {
            part.name = format!("{}_{}", kernel.name, n + 1);
        }
        if let [Stmt::For { body: item, .. }] = part.body.as_mut_slice()
            && let Some(Stmt::For { body, .. }) = item.last_mut()
        {
            let mut at = 0..;
            body.retain(|_| at.next().is_some_and(|i| kept.contains(&i)));
        }
        part
    };
    Some(groups.iter().enumerate().map(part).collect())
}

/// Whether statements only define values, and cannot fail.
fn pure(stmts: &[Stmt]) -> bool {
    stmts.iter().all(|s| match s {
        Stmt::Let { inst, .. } => !matches!(inst, Inst::CheckedIndex { .. } | Inst::Read(_)),
        Stmt::For { .. } | Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => false,
        Stmt::Update { .. } | Stmt::If { .. } => false,
    })
}

/// The statements of each part: some stores and all that they need. `None` if the body is more than definitions and stores.
fn groups(kernel: &Kernel, body: &[Stmt]) -> Option<Vec<HashSet<usize>>> {
    let mut definitions = HashMap::new();
    let mut stores = Vec::new();
    for (i, stmt) in body.iter().enumerate() {
        match stmt {
            Stmt::Let { dst, .. } if pure(std::slice::from_ref(stmt)) => {
                definitions.insert(dst.0, i);
            }
            Stmt::Store { .. } => stores.push(i),
            Stmt::Let { .. } | Stmt::For { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => return None,
            Stmt::Update { .. } | Stmt::If { .. } => return None,
        }
    }
    let memory = memories(kernel);
    let of = |i: usize| -> HashSet<(usize, bool)> {
        let touched = accesses_of(&body[i..=i]);
        touched.iter().map(|a| (memory[slot(kernel, a.buffer)], a.write)).collect()
    };
    let mut out: Vec<HashSet<usize>> = Vec::new();
    for store in stores {
        let mut needed = HashSet::from([store]);
        let mut open = vec![store];
        while let Some(i) = open.pop() {
            for value in values(&body[i]) {
                // What is not defined in the loop was before it.
                if let Some(&at) = definitions.get(&value)
                    && needed.insert(at)
                {
                    open.push(at);
                }
            }
        }
        // What one writes and another touches must stay in one part, and in its order.
        let touched: HashSet<_> = needed.iter().flat_map(|i| of(*i)).collect();
        let (bound, free): (Vec<_>, Vec<_>) = out.into_iter().partition(|group| {
            group
                .iter()
                .flat_map(|i| of(*i))
                .any(|(m, write)| touched.contains(&(m, true)) || (write && touched.contains(&(m, false))))
        });
        out = free;
        bound.into_iter().for_each(|group| needed.extend(group));
        out.push(needed);
    }
    let size = |group: &HashSet<usize>| {
        let loads = |i: &&usize| match &body[**i] {
            Stmt::Store { .. } | Stmt::Let { inst: Inst::Load { buffer: BufferRef::Param(_), .. }, .. } => {
                true
            }
            Stmt::Let { .. } | Stmt::For { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => false,
            Stmt::Update { .. } | Stmt::If { .. } => false,
        };
        group.iter().filter(loads).count()
    };
    // In the order of their first stores; those that share most with a part join it.
    out.sort_by_key(|group| group.iter().min().copied());
    let mut parts: Vec<HashSet<usize>> = Vec::new();
    for group in out {
        let with = |part: &HashSet<usize>| part.union(&group).copied().collect::<HashSet<usize>>();
        let fits = |part: &&mut HashSet<usize>| size(&with(part)) <= ELEMENTS;
        match parts.iter_mut().filter(fits).min_by_key(|part| size(&with(part)) - size(part)) {
            Some(part) => part.extend(group),
            None => parts.push(group),
        }
    }
    Some(parts)
}

/// The values that a statement needs, those in index expressions too.
fn values(stmt: &Stmt) -> Vec<u32> {
    let mut out = Vec::new();
    let mut of = |e: &Expr| {
        e.for_each_leaf(&mut |a| {
            if let Atom::Value(v) = a {
                out.push(*v);
            }
        });
    };
    let plain: Vec<Val> = match stmt {
        Stmt::Let { inst, .. } => {
            match inst {
                Inst::Load { index: e, .. } | Inst::Index(e) | Inst::CheckedIndex { extent: e, .. } => of(e),
                Inst::Const(_) | Inst::Read(_) | Inst::Unary(..) | Inst::Binary(..) | Inst::Fma(..) => {}
                Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => {}
            }
            inst.operands().collect()
        }
        Stmt::Store { index, value, .. } => {
            of(index);
            vec![*value]
        }
        Stmt::For { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => Vec::new(),
        Stmt::Update { .. } | Stmt::If { .. } => Vec::new(),
    };
    out.extend(plain.iter().map(|v| v.0));
    out
}
