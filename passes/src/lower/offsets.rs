//! One kernel for all that differ only in where they begin to read and write.
//!
//! The steps of a recurrence read their row of one buffer each. Written with the row's offset as a number, each would
//! be a kernel of its own, to be compiled for itself; the offset is a symbol of the kernel instead, which the launch gives.

use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};
use ttk_ir::Expr;
use ttk_ir::expr::range::Ranges;
use ttk_ir::kernel::{BufferRef, Inst, Kernel, Stmt, verify};
use ttk_ir::program::{Action, Operand, Program};

/// Fewer kernels than this stay as they are.
const FEWEST: usize = 3;

/// Joins kernels that differ in offsets.
pub(super) fn join(program: &mut Program) {
    let mut groups: Vec<Vec<Shifted>> = Vec::new();
    let mut by_hash: FxHashMap<u64, Vec<usize>> = FxHashMap::default();
    for (number, kernel) in program.kernels.iter().enumerate() {
        let shifted = Shifted::of(number as u32, kernel);
        let same = by_hash.entry(shifted.hash()).or_default();
        match same.iter().find(|g| groups[**g][0].is_like(&shifted)) {
            Some(&g) => groups[g].push(shifted),
            None => {
                same.push(groups.len());
                groups.push(vec![shifted]);
            }
        }
    }
    let mut calls: FxHashMap<u32, (u32, Vec<i64>)> = FxHashMap::default();
    for group in groups.into_iter().filter(|g| g.len() >= FEWEST) {
        let first = group[0].number;
        if let Some((kernel, symbols)) = joined(&program.kernels[first as usize], &group) {
            program.kernels[first as usize] = kernel;
            let each = group.iter().zip(symbols);
            calls.extend(each.map(|(shifted, symbols)| (shifted.number, (first, symbols))));
        }
    }
    if calls.is_empty() {
        return;
    }
    let redirect = |kernel: &mut u32, symbols: &mut Vec<Expr>| {
        if let Some((new, values)) = calls.get(kernel) {
            *kernel = *new;
            symbols.extend(values.iter().map(|v| Expr::constant(*v)));
        }
    };
    for step in &mut program.steps {
        match &mut step.action {
            Action::Launch { kernel, symbols, .. } => redirect(kernel, symbols),
            Action::Gemm(gemm) => {
                for operand in [&mut gemm.a, &mut gemm.b] {
                    if let Operand::Packed { kernel, symbols, .. } = operand {
                        redirect(kernel, symbols);
                    }
                }
                if let Some(epilogue) = &mut gemm.epilogue {
                    redirect(&mut epilogue.kernel, &mut epilogue.symbols);
                }
            }
            Action::Argsort(_) | Action::RandomBits { .. } | Action::Copy { .. } | Action::Custom { .. } => {}
        }
    }
    program.drop_unused();
}

/// A kernel whose accesses begin at 0, and where they began.
struct Shifted {
    number: u32,
    kernel: Kernel,
    /// The least constant of any index into each parameter.
    offsets: Vec<i64>,
}

impl Shifted {
    fn of(number: u32, kernel: &Kernel) -> Shifted {
        let mut kernel = kernel.clone();
        let mut least: Vec<Option<i64>> = vec![None; kernel.params.len()];
        for_each_access(&mut kernel.body, &mut |p, index| {
            let (known, own) = (&mut least[p as usize], constant_term(index));
            *known = Some(known.map_or(own, |k| k.min(own)));
        });
        let offsets: Vec<i64> = least.into_iter().map(|o| o.unwrap_or(0)).collect();
        for_each_access(&mut kernel.body, &mut |p, index| *index = index.offset(-offsets[p as usize]));
        Shifted { number, kernel, offsets }
    }

    fn hash(&self) -> u64 {
        let mut hasher = FxHasher::default();
        let Kernel { n_symbols, params, locals, aliases, body, .. } = &self.kernel;
        (n_symbols, params, locals, aliases, body).hash(&mut hasher);
        hasher.finish()
    }

    fn is_like(&self, other: &Shifted) -> bool {
        let (a, b) = (&self.kernel, &other.kernel);
        (a.n_symbols, &a.params, &a.locals) == (b.n_symbols, &b.params, &b.locals)
            && (&a.aliases, &a.body) == (&b.aliases, &b.body)
    }
}

/// The kernel that serves a group, and the values of its further symbols for each; `None` where it cannot be shown that
/// all accesses lie in the buffers.
fn joined(first: &Kernel, group: &[Shifted]) -> Option<(Kernel, Vec<Vec<i64>>)> {
    let reach = reach(&group[0].kernel);
    let mut kernel = first.clone();
    let mut symbols: Vec<Vec<i64>> = Vec::new();
    let mut shifts: Vec<Option<Expr>> = vec![None; kernel.params.len()];
    for (p, shift) in shifts.iter_mut().enumerate() {
        let least = group.iter().map(|k| k.offsets[p]).min()?;
        let step = group.iter().fold(0, |g, k| gcd(g, k.offsets[p] - least));
        if step == 0 {
            continue;
        }
        // A symbol is at least 1. One that tells the distance in whole steps leaves them in the code, where it shows
        // how far addresses are aligned.
        let values: Vec<i64> = group.iter().map(|k| (k.offsets[p] - least) / step + 1).collect();
        let at = symbols.iter().position(|s| *s == values).unwrap_or_else(|| {
            symbols.push(values);
            symbols.len() - 1
        });
        let symbol = Expr::symbol(first.n_symbols + at as u32);
        let start = symbol.scale(step).offset(least - step);
        kernel.params[p].len = start.offset(reach[p]?);
        *shift = Some(start.offset(-group[0].offsets[p]));
    }
    for_each_access(&mut kernel.body, &mut |p, index| {
        if let Some(shift) = &shifts[p as usize] {
            *index = index.add(shift);
        }
    });
    kernel.n_symbols += symbols.len() as u32;
    verify::verify(&kernel).ok()?;
    Some((kernel, (0..group.len()).map(|k| symbols.iter().map(|s| s[k]).collect()).collect()))
}

/// One more than the greatest index into each parameter, where it is known.
fn reach(kernel: &Kernel) -> Vec<Option<i64>> {
    fn note(buffer: &BufferRef, index: &Expr, ranges: &Ranges, most: &mut [Option<i64>]) {
        if let BufferRef::Param(p) = buffer {
            let end = ranges.interval(index).map(|(_, last)| last + 1);
            let known = &mut most[*p as usize];
            *known = known.zip(end).map(|(a, b)| a.max(b));
        }
    }
    fn walk(stmts: &[Stmt], ranges: &mut Ranges, most: &mut [Option<i64>]) {
        for stmt in stmts {
            match stmt {
                Stmt::For { var, begin, end, body, .. } => {
                    let mark = ranges.mark();
                    ranges.push_var(var.0, begin, end);
                    walk(body, ranges, most);
                    ranges.reset(mark);
                }
                Stmt::If { body, .. } => {
                    let mark = ranges.mark();
                    walk(body, ranges, most);
                    ranges.reset(mark);
                }
                Stmt::Let { dst, inst, .. } => match inst {
                    Inst::Load { buffer, index } => note(buffer, index, ranges, most),
                    Inst::CheckedIndex { extent, .. } => ranges.push_value(dst.0, extent),
                    Inst::Const(_) | Inst::Read(_) | Inst::Index(_) | Inst::Unary(..) | Inst::Binary(..) => {}
                    Inst::Fma(..) | Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => {}
                },
                Stmt::Store { buffer, index, .. } | Stmt::Update { buffer, index, .. } => {
                    note(buffer, index, ranges, most);
                }
                Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
            }
        }
    }
    let mut most = vec![Some(1); kernel.params.len()];
    walk(&kernel.body, &mut Ranges::new(), &mut most);
    most
}

/// Calls `f` for every access of a parameter, with the parameter and the index.
fn for_each_access(stmts: &mut [Stmt], f: &mut dyn FnMut(u32, &mut Expr)) {
    for stmt in stmts {
        match stmt {
            Stmt::For { body, .. } | Stmt::If { body, .. } => for_each_access(body, f),
            Stmt::Let { inst: Inst::Load { buffer: BufferRef::Param(p), index }, .. }
            | Stmt::Store { buffer: BufferRef::Param(p), index, .. }
            | Stmt::Update { buffer: BufferRef::Param(p), index, .. } => f(*p, index),
            Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Update { .. } => {}
            Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
        }
    }
}

fn constant_term(e: &Expr) -> i64 {
    e.terms().iter().find(|t| t.factors.is_empty()).map_or(0, |t| t.coeff)
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}
