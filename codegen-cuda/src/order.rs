//! Serial loops whose iterations may run in any order, or at once.
//!
//! A serial loop of the kernel IR promises an order. Where iterations touch different memory, and leave nothing
//! to each other but a sum in a local buffer, the order is of no account.

use crate::access::{accesses_of, for_each_loop, memories, slot};
use crate::mapping::ItemLoop;
use std::collections::{HashMap, HashSet};
use ttk_ir::expr::range::{Ranges, lower_bound, prove_less, upper_bound};
use ttk_ir::kernel::{BufferRef, Inst, Kernel, LoopKind, Stmt, Val};
use ttk_ir::{Atom, Expr, ReduceOp, Scalar};

/// Serial loops directly inside the parallel one, around everything: their iterations become items if no two
/// of them touch the same memory.
pub(crate) fn collapse(kernel: &Kernel, items: &mut Vec<ItemLoop>, body: &mut Vec<Stmt>) {
    loop {
        let Some((Stmt::For { var, begin, end, kind: LoopKind::Serial, body: inside }, before)) =
            body.split_last()
        else {
            return;
        };
        let symbols_only = |e: &Expr| {
            let mut only = true;
            e.for_each_leaf(&mut |a| only &= matches!(a, Atom::Symbol(_)));
            only
        };
        let mut ranges = Ranges::new();
        for l in items.iter() {
            ranges.push_var(l.var, &l.begin, &l.end);
        }
        let ok = before.iter().all(pure)
            && symbols_only(begin)
            && symbols_only(end)
            && kernel.locals.is_empty()
            && independent(kernel, (var.0, begin, end), inside, &ranges, &|_| false);
        if !ok {
            return;
        }
        let item = ItemLoop { var: var.0, begin: begin.clone(), end: end.clone() };
        let mut inner = before.to_vec();
        inner.extend(inside.iter().cloned());
        items.push(item);
        *body = inner;
    }
}

/// A scalar statement that no iteration of a loop after it can change.
fn pure(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Let { inst, .. } => match inst {
            Inst::Load { .. } | Inst::Read(_) | Inst::CheckedIndex { .. } => false,
            Inst::Const(_) | Inst::Index(_) | Inst::Unary(..) | Inst::Binary(..) | Inst::Fma(..) => true,
            Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => true,
        },
        Stmt::For { .. } | Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => false,
        Stmt::Update { .. } | Stmt::If { .. } => false,
    }
}

/// Whether the iterations of a loop touch different memory, but for buffers that `but` names: what is written
/// is read only where it is written, and each iteration writes elsewhere.
pub(crate) fn independent(
    kernel: &Kernel,
    (var, begin, end): (u32, &Expr, &Expr),
    body: &[Stmt],
    ranges: &Ranges,
    but: &dyn Fn(BufferRef) -> bool,
) -> bool {
    let memory = memories(kernel);
    let mut ranges = ranges.clone();
    ranges.push_var(var, begin, end);
    let mut written: HashMap<usize, Vec<(Expr, Ranges)>> = HashMap::new();
    let mut updates = false;
    stores(body, &mut ranges, &mut |stmt, ranges| match stmt {
        Stmt::Store { buffer, index, .. } if !but(*buffer) => {
            written.entry(memory[slot(kernel, *buffer)]).or_default().push((index.clone(), ranges.clone()));
        }
        Stmt::Update { .. } => updates = true,
        Stmt::For { .. } | Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Acc { .. } => {}
        Stmt::Accumulate { .. } | Stmt::If { .. } => {}
    });
    let reads_elsewhere = accesses_of(body).iter().filter(|a| !a.write && !but(a.buffer)).any(|a| {
        written
            .get(&memory[slot(kernel, a.buffer)])
            .is_some_and(|list| list.iter().any(|(index, _)| *index != a.index))
    });
    !updates
        && !reads_elsewhere
        && written.values().all(|list| distinct(var, list, &variables(body), begin, end))
}

/// Calls `f` on every statement that is no loop, with what is known there.
fn stores(stmts: &[Stmt], ranges: &mut Ranges, f: &mut dyn FnMut(&Stmt, &Ranges)) {
    for stmt in stmts {
        match stmt {
            Stmt::For { var, begin, end, body, .. } => {
                let mark = ranges.mark();
                ranges.push_var(var.0, begin, end);
                stores(body, ranges, f);
                ranges.reset(mark);
            }
            Stmt::If { body, .. } => stores(body, ranges, f),
            Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => {
                f(stmt, ranges);
            }
            Stmt::Update { .. } => f(stmt, ranges),
        }
    }
}

/// Whether no element is written by two iterations of the loop over `var`. An index is `c * var + fixed +
/// moving`, where `moving` is what changes inside an iteration.
fn distinct(var: u32, list: &[(Expr, Ranges)], inner: &HashSet<u32>, begin: &Expr, end: &Expr) -> bool {
    let (mut step, mut base): (Option<Expr>, Option<Expr>) = (None, None);
    let (mut low, mut high): (Option<Expr>, Option<Expr>) = (None, None);
    // A number that divides every part of `moving`.
    let mut common: i64 = 0;
    for (index, ranges) in list {
        let Some((c, rest)) = index.affine_in(var) else { return false };
        let (mut moving, mut fixed) = (Expr::default(), Expr::default());
        for term in rest.terms() {
            let term_expr = Expr::from(term.clone());
            let mut data = false;
            let mut moves = term.factors.is_empty();
            term_expr.for_each_leaf(&mut |a| match a {
                Atom::Var(v) => moves |= inner.contains(v),
                Atom::Value(_) => data = true,
                Atom::Symbol(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => {}
            });
            if data {
                return false;
            }
            if moves {
                moving = moving.add(&term_expr);
                common = gcd(common, term.coeff);
            } else {
                fixed = fixed.add(&term_expr);
            }
        }
        if *step.get_or_insert_with(|| c.clone()) != c || *base.get_or_insert_with(|| fixed.clone()) != fixed
        {
            return false;
        }
        let (Some(a), Some(b)) = (lower_bound(&moving, ranges), upper_bound(&moving, ranges)) else {
            return false;
        };
        low = Some(match low {
            Some(l) if prove_less(&l, &a.offset(1), ranges) => l,
            None => a,
            Some(l) if prove_less(&a, &l.offset(1), ranges) => a,
            Some(_) => return false,
        });
        high = Some(match high {
            Some(h) if prove_less(&b, &h.offset(1), ranges) => h,
            None => b,
            Some(h) if prove_less(&h, &b.offset(1), ranges) => b,
            Some(_) => return false,
        });
    }
    let (Some(step), Some(low), Some(high)) = (step, low, high) else { return true };
    // Iterations write stretches one after the other, or are interleaved in the gaps of each other.
    let apart = prove_less(&high.sub(&low), &step, &Ranges::new());
    let between = match (step.as_const(), end.sub(begin).as_const()) {
        (Some(c), Some(n)) => c > 0 && c.saturating_mul(n) <= common,
        _ => false,
    };
    apart || between
}

/// The variables of the loops among statements.
fn variables(stmts: &[Stmt]) -> HashSet<u32> {
    let mut out = HashSet::new();
    for_each_loop(stmts, &mut Ranges::new(), &mut |stmt, _| {
        if let Stmt::For { var, .. } = stmt {
            out.insert(var.0);
        }
    });
    out
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a as i64
}

/// The locals that the iterations of a serial loop add to, each in one manner, if they leave nothing else to
/// each other. `None` if they do, or if no vector loop is inside.
pub(crate) fn sums(
    kernel: &Kernel,
    before: &[Stmt],
    (var, begin, end): (u32, &Expr, &Expr),
    body: &[Stmt],
    ranges: &Ranges,
) -> Option<Vec<(u32, ReduceOp)>> {
    let mut out: Vec<(u32, ReduceOp)> = Vec::new();
    let mut ok = true;
    vector_bodies(body, &mut |lanes| {
        let Some(lanes) = lanes else {
            ok = false;
            return;
        };
        for (n, stmt) in lanes.iter().enumerate() {
            if let Stmt::Store { buffer: BufferRef::Local(l), index, value } = stmt {
                match summed(lanes, n, *l, index, *value) {
                    Some(op) if out.iter().all(|(k, o)| k != l || *o == op) => {
                        if !out.contains(&(*l, op)) {
                            out.push((*l, op));
                        }
                    }
                    _ => ok = false,
                }
            }
        }
    });
    // What is added to is looked at for nothing else, and begins with what adding to changes nothing.
    let is_sum = |l: u32| out.iter().any(|(k, _)| *k == l);
    let accesses = accesses_of(body);
    for (l, op) in &out {
        let loads = accesses.iter().filter(|a| a.buffer == BufferRef::Local(*l) && !a.write).count();
        let stores = accesses.iter().filter(|a| a.buffer == BufferRef::Local(*l) && a.write).count();
        let dtype = kernel.locals[*l as usize].dtype;
        // Those of 16 bits would be rounded at every part.
        ok &= dtype.compute() == dtype;
        ok &= loads == stores && begins_neutral(before, *l, op.identity(kernel.locals[*l as usize].dtype));
    }
    let but = |b: BufferRef| matches!(b, BufferRef::Local(l) if is_sum(l));
    // Other locals hold what was there before the loop.
    ok &= accesses.iter().all(|a| !a.write || matches!(a.buffer, BufferRef::Param(_)) || but(a.buffer));
    ok &= independent(kernel, (var, begin, end), body, ranges, &but);
    let stores = accesses.iter().any(|a| a.write);
    (ok && stores).then_some(out)
}

/// Whether a serial loop does nothing but add to accumulators inside vector loops: its iterations may be
/// anyone's, in any order but for rounding.
pub(crate) fn only_accumulates(body: &[Stmt]) -> bool {
    fn walk(stmts: &[Stmt], lanes: bool) -> bool {
        stmts.iter().all(|stmt| match stmt {
            Stmt::For { kind, body, .. } => walk(body, lanes || *kind == LoopKind::Vector),
            Stmt::Let { inst: Inst::Read(_), .. } => false,
            Stmt::Let { inst: Inst::Load { buffer, .. }, .. } => matches!(buffer, BufferRef::Param(_)),
            Stmt::Let { .. } => true,
            Stmt::Accumulate { .. } | Stmt::Acc { .. } => lanes,
            Stmt::Store { .. } | Stmt::Update { .. } | Stmt::If { .. } => false,
        })
    }
    crate::access::has_vector_loop(body) && walk(body, false)
}

/// Calls `f` on the body of every vector loop; with `None` where there are other things than loops around
/// them and scalars without accumulators.
fn vector_bodies<'a>(stmts: &'a [Stmt], f: &mut dyn FnMut(Option<&'a [Stmt]>)) {
    for stmt in stmts {
        match stmt {
            Stmt::For { kind: LoopKind::Vector, body, .. } => {
                let accumulates = body.iter().any(|s| matches!(s, Stmt::Accumulate { .. }));
                f((!accumulates).then_some(body.as_slice()));
            }
            Stmt::For { body, .. } => vector_bodies(body, f),
            Stmt::Let { inst: Inst::Read(_), .. } => f(None),
            Stmt::Let { .. } => {}
            Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => f(None),
            Stmt::Update { .. } | Stmt::If { .. } => f(None),
        }
    }
}

/// How a store adds to an element: its value is what was there, joined with something else.
fn summed(lanes: &[Stmt], store: usize, local: u32, index: &Expr, value: Val) -> Option<ReduceOp> {
    let inst = |v: Val| {
        lanes[..store].iter().rev().find_map(|s| match s {
            Stmt::Let { dst, inst, .. } if *dst == v => Some(inst),
            _ => None,
        })
    };
    let Inst::Binary(op, a, b) = inst(value)? else { return None };
    let op = *ReduceOp::ALL.iter().find(|r| r.combine() == *op)?;
    let old = |v: Val| {
        matches!(inst(v), Some(Inst::Load { buffer, index: at })
            if *buffer == BufferRef::Local(local) && at == index)
    };
    // The old value is used for nothing else.
    let (old_value, other) = if old(*a) { (*a, *b) } else { (*b, *a) };
    let uses = lanes.iter().filter(|s| uses(s, old_value)).count();
    (old(old_value) && other != old_value && uses == 1).then_some(op)
}

fn uses(stmt: &Stmt, v: Val) -> bool {
    match stmt {
        Stmt::Let { inst, .. } => inst.operands().any(|o| o == v),
        Stmt::Store { value, .. } | Stmt::Accumulate { value, .. } | Stmt::Update { value, .. } => {
            *value == v
        }
        Stmt::If { cond, .. } => *cond == v,
        Stmt::For { .. } | Stmt::Acc { .. } => false,
    }
}

/// Whether every store to a local among the statements is of this constant, and there is one.
fn begins_neutral(before: &[Stmt], local: u32, neutral: Scalar) -> bool {
    fn walk(
        stmts: &[Stmt],
        consts: &mut HashMap<u32, Scalar>,
        f: &mut dyn FnMut(&Stmt, &HashMap<u32, Scalar>),
    ) {
        for stmt in stmts {
            match stmt {
                Stmt::Let { dst, inst: Inst::Const(s), .. } => {
                    consts.insert(dst.0, *s);
                }
                Stmt::For { body, .. } | Stmt::If { body, .. } => walk(body, consts, f),
                Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => {
                    f(stmt, consts);
                }
                Stmt::Update { .. } => f(stmt, consts),
            }
        }
    }
    let (mut found, mut all) = (false, true);
    walk(before, &mut HashMap::new(), &mut |stmt, consts| {
        if let Stmt::Store { buffer: BufferRef::Local(l), value, .. } = stmt
            && *l == local
        {
            found = true;
            all &= consts.get(&value.0) == Some(&neutral);
        }
    });
    found && all
}
