//! Rows that are read once: what several vector loops of an item compute of the same elements is kept in registers.
//!
//! The mean, the variance and the result of a layer norm are three loops over one row. The first that computes a value
//! from memory stores it to a local buffer, and the others load it from there; `body::locals` then gives each
//! thread a register for each of its elements.

use crate::access::{Motion, accesses_of, defined, memories, motion, slot, trips};
use crate::body::APART;
use crate::index::divisible;
use crate::mapping::{Group, Mapping, Phase};
use std::collections::{HashMap, HashSet};
use ttk_ir::kernel::{BufferRef, Inst, Kernel, Local, LoopKind, Stmt, Val};
use ttk_ir::{Atom, DType, Expr};

/// Registers of a thread that kept values may take.
const REGISTERS: i64 = 48;

/// The kernel and the mapping with values of earlier loops kept, if there are any and they fit.
pub(crate) fn keep(kernel: &Kernel, mapping: &Mapping) -> Option<(Kernel, Mapping)> {
    match mapping.group {
        Group::Warp | Group::Block if mapping.phase == Phase::Whole => {}
        Group::Warp | Group::Block | Group::Thread | Group::Lanes(_) | Group::Tile(_) => return None,
    }
    let mut numbers = Numbers::new(kernel, mapping);
    let loops: Vec<Row<'_>> =
        mapping.body.iter().enumerate().filter_map(|(at, s)| numbers.row(at, s)).collect();
    let earlier = |row: &Row<'_>, number: usize| {
        loops.iter().find(|l| l.at < row.at && l.range == row.range && l.numbers.contains(&Some(number)))
    };
    let mut kept: Vec<usize> = Vec::new();
    for row in &loops {
        let known = |n: &Option<usize>| n.is_some_and(|n| earlier(row, n).is_some());
        for (stmt, number) in row.body.iter().zip(&row.numbers) {
            if known(number) {
                continue;
            }
            for used in operands(stmt) {
                let Some(n) = row.number_of(used) else { continue };
                if numbers.facts[n].reads && known(&Some(n)) && !kept.contains(&n) {
                    kept.push(n);
                }
            }
        }
    }
    let (mut out, mut body) = (kernel.clone(), mapping.body.clone());
    let mut registers = 0;
    for n in kept {
        let Fact { dtype, .. } = numbers.facts[n];
        let home = loops.iter().find(|l| l.numbers.contains(&Some(n)))?;
        let (begin, end) = home.range;
        let each = mapping.lanes() * mapping.width;
        let turns = (trips(begin, end, &mapping.ranges())? + each - 1) / each;
        let words = turns * mapping.width * (dtype.compute().size() as i64 + 3) / 4;
        if turns > APART
            || registers + words > REGISTERS
            || begin.as_const().is_none()
            || !divisible(&end.sub(begin), mapping.width)
        {
            continue;
        }
        registers += words;
        let local = BufferRef::Local(out.locals.len() as u32);
        out.locals.push(Local { name: format!("kept{}", out.locals.len()), dtype, len: end.sub(begin) });
        for row in loops.iter().filter(|l| l.at >= home.at && l.range == home.range) {
            let index = Expr::var(row.var).sub(begin);
            if let Stmt::For { body, .. } = &mut body[row.at] {
                if row.at == home.at {
                    store(body, &home.values(n), local, &index);
                } else {
                    load(body, &row.values(n), local, &index);
                }
            }
        }
    }
    if registers == 0 {
        return None;
    }
    for row in &loops {
        if let Stmt::For { body, .. } = &mut body[row.at] {
            drop_unused(body);
        }
    }
    Some((out, Mapping { body, ..mapping.clone() }))
}

/// Stores the first of these values right after it is defined.
fn store(body: &mut Vec<Stmt>, values: &[Val], local: BufferRef, index: &Expr) {
    let at = body.iter().position(|s| matches!(s, Stmt::Let { dst, .. } if values.contains(dst)));
    if let Some(at) = at
        && let Stmt::Let { dst, .. } = body[at]
    {
        body.insert(at + 1, Stmt::Store { buffer: local, index: index.clone(), value: dst });
    }
}

/// Loads these values instead of computing them.
fn load(body: &mut [Stmt], values: &[Val], local: BufferRef, index: &Expr) {
    for stmt in body {
        if let Stmt::Let { dst, inst, .. } = stmt
            && values.contains(dst)
        {
            *inst = Inst::Load { buffer: local, index: index.clone() };
        }
    }
}

/// Removes values that nothing uses.
fn drop_unused(body: &mut Vec<Stmt>) {
    let mut used: HashSet<u32> = HashSet::new();
    let mut rest: Vec<Stmt> = Vec::new();
    for stmt in body.drain(..).rev() {
        let needed = match &stmt {
            Stmt::Let { dst, inst, .. } => used.contains(&dst.0) || matches!(inst, Inst::CheckedIndex { .. }),
            Stmt::For { .. } | Stmt::Store { .. } | Stmt::Update { .. } | Stmt::If { .. } => true,
            Stmt::Acc { .. } | Stmt::Accumulate { .. } => true,
        };
        if needed {
            used.extend(operands(&stmt).iter().map(|v| v.0));
            rest.push(stmt);
        }
    }
    rest.reverse();
    *body = rest;
}

/// The values that a statement without a body uses, those of its index among them.
fn operands(stmt: &Stmt) -> Vec<Val> {
    let mut out = Vec::new();
    let mut of_index = |e: &Expr| {
        e.for_each_leaf(&mut |a| {
            if let Atom::Value(v) = a {
                out.push(Val(*v));
            }
        });
    };
    match stmt {
        Stmt::Let { inst, .. } => {
            match inst {
                Inst::Load { index: e, .. } | Inst::Index(e) | Inst::CheckedIndex { extent: e, .. } => {
                    of_index(e);
                }
                Inst::Const(_) | Inst::Read(_) | Inst::Unary(..) | Inst::Binary(..) | Inst::Fma(..) => {}
                Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => {}
            }
            out.extend(inst.operands());
        }
        Stmt::Store { index, value, .. } | Stmt::Update { index, value, .. } => {
            of_index(index);
            out.push(*value);
        }
        Stmt::Accumulate { value, .. } => out.push(*value),
        Stmt::If { cond, .. } => out.push(*cond),
        Stmt::For { .. } | Stmt::Acc { .. } => {}
    }
    out
}

/// A vector loop over elements of an item.
struct Row<'a> {
    /// Its place among the statements of the item.
    at: usize,
    var: u32,
    range: (&'a Expr, &'a Expr),
    body: &'a [Stmt],
    /// Of each statement, the number of the value that it defines; of none, it may be another one each time.
    numbers: Vec<Option<usize>>,
}

impl Row<'_> {
    fn number_of(&self, value: Val) -> Option<usize> {
        let defines = |s: &Stmt| matches!(s, Stmt::Let { dst, .. } if *dst == value);
        self.numbers[self.body.iter().position(defines)?]
    }

    /// The values of a number.
    fn values(&self, number: usize) -> Vec<Val> {
        let of = |(s, n): (&Stmt, &Option<usize>)| match s {
            Stmt::Let { dst, .. } if *n == Some(number) => Some(*dst),
            _ => None,
        };
        self.body.iter().zip(&self.numbers).filter_map(of).collect()
    }
}

/// What is known of the values of a number.
#[derive(Clone, Copy)]
struct Fact {
    dtype: DType,
    /// It is made of elements of memory that are others for other lanes.
    reads: bool,
}

/// Equal values of loops have equal numbers, whatever the loop's variable is called.
struct Numbers<'a> {
    kernel: &'a Kernel,
    memory: Vec<usize>,
    written: HashSet<usize>,
    /// By the instruction with numbers for values of the loop.
    known: HashMap<(Inst, DType), usize>,
    facts: Vec<Fact>,
}

/// Stands for the variable of the loop.
const ELEMENT: u32 = 1 << 25;
/// Where the names of values from before the loop begin, after the numbers.
const OUTSIDE: u32 = 1 << 25;

impl<'a> Numbers<'a> {
    fn new(kernel: &'a Kernel, mapping: &Mapping) -> Numbers<'a> {
        let memory = memories(kernel);
        let writes = accesses_of(&mapping.body).into_iter().filter(|a| a.write);
        let written = writes.map(|a| memory[slot(kernel, a.buffer)]).collect();
        Numbers { kernel, memory, written, known: HashMap::new(), facts: Vec::new() }
    }

    /// The loop that a statement is, if it holds nothing but single statements.
    fn row<'b>(&mut self, at: usize, stmt: &'b Stmt) -> Option<Row<'b>> {
        let Stmt::For { var, begin, end, kind: LoopKind::Vector, body } = stmt else { return None };
        if body.iter().any(|s| matches!(s, Stmt::For { .. } | Stmt::If { .. })) {
            return None;
        }
        let inside = defined(body);
        let mut of: HashMap<u32, Option<usize>> = HashMap::new();
        let mut numbers = Vec::new();
        for stmt in body {
            let number = match stmt {
                Stmt::Let { dst, dtype, inst } => {
                    let number = self.number(inst, *dtype, var.0, &inside, &of);
                    of.insert(dst.0, number);
                    number
                }
                Stmt::For { .. } | Stmt::Store { .. } | Stmt::Update { .. } | Stmt::If { .. } => None,
                Stmt::Acc { .. } | Stmt::Accumulate { .. } => None,
            };
            numbers.push(number);
        }
        Some(Row { at, var: var.0, range: (begin, end), body, numbers })
    }

    fn number(
        &mut self,
        inst: &Inst,
        dtype: DType,
        var: u32,
        inside: &HashSet<u32>,
        of: &HashMap<u32, Option<usize>>,
    ) -> Option<usize> {
        let mut reads = false;
        let mut val = |v: &Val| -> Option<Val> {
            if !inside.contains(&v.0) {
                return Some(Val(OUTSIDE + v.0));
            }
            let n = (*of.get(&v.0)?)?;
            reads |= self.facts[n].reads;
            Some(Val(n as u32))
        };
        let index = |e: &Expr| {
            let mut of_loop = false;
            e.for_each_leaf(&mut |a| of_loop |= matches!(a, Atom::Value(v) if inside.contains(v)));
            let element = e.substitute(&mut |a| (*a == Atom::Var(var)).then(|| Expr::var(ELEMENT)));
            (!of_loop).then_some(element)
        };
        let key = match inst {
            Inst::Load { buffer, index: at } => {
                let BufferRef::Param(_) = buffer else { return None };
                if self.written.contains(&self.memory[slot(self.kernel, *buffer)]) {
                    return None;
                }
                reads = motion(at, var, inside) != Motion::Still;
                Inst::Load { buffer: *buffer, index: index(at)? }
            }
            Inst::Index(e) => Inst::Index(index(e)?),
            Inst::Const(_) => inst.clone(),
            Inst::Unary(op, a) => Inst::Unary(*op, val(a)?),
            Inst::Binary(op, a, b) => Inst::Binary(*op, val(a)?, val(b)?),
            Inst::Fma(a, b, c) => Inst::Fma(val(a)?, val(b)?, val(c)?),
            Inst::Cmp(op, a, b) => Inst::Cmp(*op, val(a)?, val(b)?),
            Inst::Select(a, b, c) => Inst::Select(val(a)?, val(b)?, val(c)?),
            Inst::Cast(a) => Inst::Cast(val(a)?),
            Inst::Bitcast(a) => Inst::Bitcast(val(a)?),
            // An accumulator may have changed, and an index out of range is reported where it is met.
            Inst::Read(_) | Inst::CheckedIndex { .. } => return None,
        };
        let facts = &mut self.facts;
        Some(*self.known.entry((key, dtype)).or_insert_with(|| {
            facts.push(Fact { dtype, reads });
            facts.len() - 1
        }))
    }
}
