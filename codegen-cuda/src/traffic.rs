//! How many bytes a kernel moves, and how many it must.

use crate::access::{Access, Motion, accesses, defined, motion, trips};
use crate::mapping::{Group, Mapping};
use std::collections::{HashMap, HashSet};
use ttk_ir::expr::range::Ranges;
use ttk_ir::kernel::{BufferRef, Inst, Kernel, LoopKind, Stmt};
use ttk_ir::{Atom, Expr};

/// Bytes, over the kernel's symbols.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Traffic {
    /// What threads ask for: each element an access touches, the same element for all lanes counted once a
    /// group. Some of it comes from caches.
    pub(crate) asked: Expr,
    /// Every element of the buffers once for each of reading and writing, if that is done to it at all: as much of
    /// a buffer as is asked of it, at most.
    pub(crate) fewest: Expr,
}

/// Items up to which the lengths of their loops are added up one by one.
const MANY: i64 = 1 << 16;

/// What a kernel moves. `None` where the number of iterations depends on data.
pub(crate) fn traffic(kernel: &Kernel, mapping: &Mapping) -> Option<Traffic> {
    let mut count = Count { mapping, reads: HashMap::new(), writes: HashMap::new(), known: true };
    count.block(&mapping.body, &mapping.count(), None, &mut mapping.ranges());
    if !count.known {
        return None;
    }
    let (mut asked, mut fewest) = (Expr::default(), Expr::default());
    for list in [&count.reads, &count.writes] {
        for (p, param) in kernel.params.iter().enumerate() {
            let Some(elements) = list.get(&(p as u32)) else { continue };
            let size = param.dtype.size() as i64;
            asked = asked.add(&elements.scale(size));
            let least = match (elements.as_const(), param.len.as_const()) {
                (Some(a), Some(b)) => Expr::constant(a.min(b)),
                _ => param.len.clone(),
            };
            fewest = fewest.add(&least.scale(size));
        }
    }
    Some(Traffic { asked, fewest })
}

struct Count<'a> {
    mapping: &'a Mapping,
    /// Elements of each parameter.
    reads: HashMap<u32, Expr>,
    writes: HashMap<u32, Expr>,
    known: bool,
}

impl Count<'_> {
    /// Statements that run so often; in a vector loop, its variable and what its body defines.
    fn block(
        &mut self,
        stmts: &[Stmt],
        times: &Expr,
        lanes: Option<(u32, &HashSet<u32>, &Expr)>,
        ranges: &mut Ranges,
    ) {
        for stmt in stmts {
            match stmt {
                Stmt::For { var, begin, end, kind, body } => {
                    let exact = end.sub(begin);
                    let together = self.summed(&exact, times);
                    let mut symbols = true;
                    exact.for_each_leaf(&mut |a| symbols &= matches!(a, ttk_ir::Atom::Symbol(_)));
                    let inner = match (together, symbols, trips(begin, end, ranges)) {
                        (Some(n), _, _) => Expr::constant(n),
                        (None, true, _) => times.mul(&exact),
                        (None, false, Some(n)) => times.scale(n),
                        (None, false, None) => {
                            self.known = false;
                            return;
                        }
                    };
                    let mark = ranges.mark();
                    ranges.push_var(var.0, begin, end);
                    if *kind == LoopKind::Vector && self.mapping.group != Group::Thread {
                        let inside = defined(body);
                        self.block(body, &inner, Some((var.0, &inside, times)), ranges);
                    } else {
                        self.block(body, &inner, lanes, ranges);
                    }
                    ranges.reset(mark);
                }
                // As if the condition held.
                Stmt::If { body, .. } => self.block(body, times, lanes, ranges),
                Stmt::Let { dst, inst, .. } => {
                    if let Inst::CheckedIndex { extent, .. } = inst {
                        ranges.push_value(dst.0, extent);
                    }
                    self.add(stmt, times, lanes);
                }
                Stmt::Store { .. } | Stmt::Update { .. } => self.add(stmt, times, lanes),
                Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
            }
        }
    }

    /// The iterations of a loop over all items together, where its length is another for each: the last row of
    /// an array that is cut in rows is shorter.
    fn summed(&self, length: &Expr, times: &Expr) -> Option<i64> {
        let [items] = self.mapping.items.as_slice() else { return None };
        let (first, count) = (items.begin.as_const()?, items.length().as_const()?);
        let mut own = false;
        let mut others = false;
        length.for_each_leaf(&mut |a| match a {
            Atom::Var(v) if *v == items.var => own = true,
            Atom::Var(_) | Atom::Symbol(_) | Atom::Value(_) => others = true,
            Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => {}
        });
        if !own || others || count > MANY || *times != self.mapping.count() {
            return None;
        }
        Some((first..first + count).map(|i| length.eval(&|_| i).max(0)).sum())
    }

    fn add(&mut self, stmt: &Stmt, times: &Expr, lanes: Option<(u32, &HashSet<u32>, &Expr)>) {
        let mut list: Vec<Access> = Vec::new();
        accesses(stmt, &mut list);
        for a in list {
            let BufferRef::Param(p) = a.buffer else { continue };
            let times = match lanes {
                Some((var, inside, groups)) if motion(&a.index, var, inside) == Motion::Still => groups,
                Some(_) | None => times,
            };
            let to = if a.write { &mut self.writes } else { &mut self.reads };
            let sum = to.entry(p).or_default();
            *sum = sum.add(times);
        }
    }
}
