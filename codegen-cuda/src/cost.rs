//! What a launch costs: bytes and operations, for reports.

use crate::access::{Access, Motion, accesses, defined, motion, trips};
use crate::mapping::{Group, Mapping};
use std::collections::{HashMap, HashSet};
use ttk_ir::expr::range::Ranges;
use ttk_ir::kernel::{BufferRef, Inst, Kernel, LoopKind, Stmt};
use ttk_ir::{Atom, Binary, Expr, Unary};

/// What a launch costs, over the kernel's symbols.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Cost {
    /// Bytes that threads ask for: each element an access touches, the same element for all lanes counted once a
    /// group.
    pub(crate) asked: Expr,
    /// Of these, what comes from the device's memory or goes there, by [`CACHE`].
    pub(crate) memory: Expr,
    /// Bytes of every element once for each of reading and writing, if that is done to it at all: as much of a
    /// buffer as is asked of it, at most.
    pub(crate) fewest: Expr,
    /// Arithmetic, an instruction counted as 2: a product and a sum may be one.
    pub(crate) operations: Expr,
}

impl Cost {
    /// The same with every number of it replaced.
    pub(crate) fn map(&self, f: &dyn Fn(&Expr) -> Expr) -> Cost {
        Cost {
            asked: f(&self.asked),
            memory: f(&self.memory),
            fewest: f(&self.fewest),
            operations: f(&self.operations),
        }
    }

    /// Of drawing so many words.
    pub(crate) fn random(words: &Expr) -> Cost {
        let bytes = words.scale(4);
        // Ten rounds of eight instructions make four words.
        let operations = words.scale(40);
        Cost { asked: bytes.clone(), memory: bytes.clone(), fewest: bytes, operations }
    }
}

/// Bytes that are certain to stay in the second cache of a large device while they are used: a third of that of an
/// H100. What is read again comes from there if the whole buffer is no larger, or if that holds for what all items
/// that run at once read between the two.
pub(crate) const CACHE: i64 = 16 << 20;

/// Threads that a large device runs at once: 2048 on each of 132 multiprocessors.
const RESIDENT: i64 = 132 * 2048;

/// Items up to which the lengths of their loops are added up one by one.
const MANY: i64 = 1 << 16;

/// What a launch of a kernel costs. `None` where the number of iterations depends on data.
pub(crate) fn cost(kernel: &Kernel, mapping: &Mapping) -> Option<Cost> {
    let mut count = Count {
        mapping,
        reads: HashMap::new(),
        writes: HashMap::new(),
        operations: Expr::default(),
        open: Vec::new(),
        known: true,
    };
    count.block(&mapping.body, &mapping.count(), None, &mut mapping.ranges());
    if !count.known {
        return None;
    }
    let near = count.rereads_are_near(kernel);
    let (mut asked, mut fewest, mut memory) = (Expr::default(), Expr::default(), Expr::default());
    for list in [&count.reads, &count.writes] {
        for (p, param) in kernel.params.iter().enumerate() {
            let Some(places) = list.get(&(p as u32)) else { continue };
            let size = param.dtype.size() as i64;
            let all = places.iter().fold(Expr::default(), |n, (_, times)| n.add(times));
            let least = match (all.as_const(), param.len.as_const()) {
                (Some(a), Some(b)) => Expr::constant(a.min(b)),
                _ => param.len.clone(),
            };
            let far = match (param.len.as_const(), all.as_const(), least.as_const()) {
                (Some(len), _, _) if len.saturating_mul(size) <= CACHE => least.clone(),
                (_, Some(all), Some(least)) if near => {
                    Expr::constant(distinct(places).unwrap_or(all).clamp(least, all.max(least)))
                }
                _ => all.clone(),
            };
            asked = asked.add(&all.scale(size));
            fewest = fewest.add(&least.scale(size));
            memory = memory.add(&far.scale(size));
        }
    }
    Some(Cost { asked, memory, fewest, operations: count.operations })
}

/// How often elements are asked for if each place of the text counts once.
fn distinct(places: &[(Expr, Expr)]) -> Option<i64> {
    let mut seen: HashMap<&Expr, i64> = HashMap::new();
    for (index, times) in places {
        let times = times.as_const()?;
        let most = seen.entry(index).or_insert(times);
        *most = times.max(*most);
    }
    Some(seen.values().sum())
}

/// Where a parameter is accessed, the variables of loops numbered by their depth, and how often.
type Places = HashMap<u32, Vec<(Expr, Expr)>>;

struct Count<'a> {
    mapping: &'a Mapping,
    reads: Places,
    writes: Places,
    operations: Expr,
    /// The variables of the loops around the statement, outermost first.
    open: Vec<u32>,
    known: bool,
}

/// Variables that stand for loops by their depth begin here.
const DEPTH: u32 = 1 << 24;

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
                    self.open.push(var.0);
                    if *kind == LoopKind::Vector && self.mapping.group != Group::Thread {
                        let inside = defined(body);
                        self.block(body, &inner, Some((var.0, &inside, times)), ranges);
                    } else {
                        self.block(body, &inner, lanes, ranges);
                    }
                    self.open.pop();
                    ranges.reset(mark);
                }
                // As if the condition held.
                Stmt::If { body, .. } => self.block(body, times, lanes, ranges),
                Stmt::Let { dst, inst, .. } => {
                    if let Inst::CheckedIndex { extent, .. } = inst {
                        ranges.push_value(dst.0, extent);
                    }
                    self.operations = self.operations.add(&times.scale(2 * instructions(inst)));
                    self.add(stmt, times, lanes);
                }
                Stmt::Store { .. } => self.add(stmt, times, lanes),
                Stmt::Update { .. } | Stmt::Accumulate { .. } => {
                    self.operations = self.operations.add(&times.scale(2));
                    self.add(stmt, times, lanes);
                }
                Stmt::Acc { .. } => {}
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
            let depth = |a: &Atom| match a {
                Atom::Var(v) => {
                    let depth = self.open.iter().position(|o| o == v)?;
                    Some(Expr::var(DEPTH + depth as u32))
                }
                Atom::Symbol(_) | Atom::Value(_) => None,
                Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => None,
            };
            let index = a.index.substitute(&mut |a| depth(a));
            let to = if a.write { &mut self.writes } else { &mut self.reads };
            to.entry(p).or_default().push((index, times.clone()));
        }
    }

    /// Whether what an item reads is still in the cache when the item reads it again.
    fn rereads_are_near(&self, kernel: &Kernel) -> bool {
        let Some(items) = self.mapping.count().as_const() else { return false };
        let bytes = self.reads.iter().map(|(p, places)| {
            let size = kernel.params[*p as usize].dtype.size() as i64;
            distinct(places).map_or(i64::MAX, |n| n.saturating_mul(size))
        });
        let each = bytes.fold(0, i64::saturating_add) / items.max(1);
        let threads = self.mapping.lanes() * self.mapping.spread;
        each.saturating_mul((RESIDENT / threads).min(items)) <= CACHE
    }
}

/// About how many instructions an instruction of the kernel IR is.
fn instructions(inst: &Inst) -> i64 {
    match inst {
        Inst::Const(_) | Inst::Load { .. } | Inst::Read(_) | Inst::Index(_) | Inst::Bitcast(_) => 0,
        Inst::Fma(..) | Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::CheckedIndex { .. } => 1,
        Inst::Unary(op, _) => match op {
            Unary::Neg | Unary::Not | Unary::Abs | Unary::Relu | Unary::Floor | Unary::Round => 1,
            Unary::Sqrt => 8,
            Unary::Exp | Unary::Expm1 | Unary::Log | Unary::Log1p => 16,
            Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Erf | Unary::Sigmoid => 24,
        },
        Inst::Binary(op, ..) => match op {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Max | Binary::Min => 1,
            Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => 1,
            Binary::Div => 8,
            Binary::Rem => 16,
            Binary::Pow | Binary::Atan2 => 32,
        },
    }
}
