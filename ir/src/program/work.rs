//! What a step of a program does, counted: bytes and arithmetic, for profiles.

use super::{Action, BufferId, Epilogue, Operand, Program};
use crate::expr::{Atom, Expr};
use crate::kernel::{Inst, Kernel, Stmt};
use std::collections::HashMap;

/// Bytes and operations of one step.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct StepWork {
    /// Every buffer that is read and every one that is written, once each: what must move at the least.
    pub bytes: f64,
    /// Additions, products, comparisons and the like. A product of matrices has two for each of its terms; a sort and
    /// a custom kernel have none that could be counted.
    pub operations: f64,
}

/// The work of a step for sizes of the program's symbols.
///
/// Branches count as taken, and a loop whose length depends on others as long as in the middle of those.
pub fn step_work(program: &Program, step: usize, symbols: &[i64]) -> StepWork {
    let action = &program.steps[step].action;
    let (reads, writes) = action.touched(&program.kernels);
    let bytes = |ids: &[BufferId]| -> f64 {
        let mut seen: Vec<BufferId> = ids.to_vec();
        seen.sort_unstable();
        seen.dedup();
        let of = |id: &BufferId| {
            let buffer = &program.buffers[id.0 as usize];
            buffer.len.eval_symbols(symbols) as f64 * buffer.dtype.size() as f64
        };
        seen.iter().map(of).sum()
    };
    let kernel = |index: u32, arguments: &[Expr]| {
        let own: Vec<i64> = arguments.iter().map(|e| e.eval_symbols(symbols)).collect();
        operations(&program.kernels[index as usize], &own)
    };
    let arithmetic = match action {
        Action::Launch { kernel: k, symbols: arguments, .. } => kernel(*k, arguments),
        Action::Gemm(g) => {
            let sizes = [&g.m, &g.n, &g.k].into_iter().chain(&g.batch).chain(&g.reduce);
            let mut total = sizes.map(|e| e.eval_symbols(symbols) as f64).product::<f64>() * 2.0;
            if let Some(Epilogue { kernel: k, symbols: arguments, .. }) = &g.epilogue {
                total += kernel(*k, arguments);
            }
            for operand in [&g.a, &g.b] {
                match operand {
                    Operand::Strided(_) => {}
                    Operand::Packed { kernel: k, symbols: arguments, .. } => total += kernel(*k, arguments),
                }
            }
            total
        }
        Action::Argsort(_) | Action::RandomBits { .. } | Action::Copy { .. } | Action::Custom { .. } => 0.0,
    };
    StepWork { bytes: bytes(&reads) + bytes(&writes), operations: arithmetic }
}

/// Arithmetic of one launch of a kernel.
fn operations(kernel: &Kernel, symbols: &[i64]) -> f64 {
    Count { symbols, middles: HashMap::new() }.block(&kernel.body)
}

struct Count<'a> {
    symbols: &'a [i64],
    /// For each loop around, the iteration in its middle.
    middles: HashMap<u32, i64>,
}

impl Count<'_> {
    fn eval(&self, e: &Expr) -> i64 {
        e.eval(&|atom| match atom {
            Atom::Symbol(i) => self.symbols.get(*i as usize).copied().unwrap_or(1),
            Atom::Var(v) => self.middles.get(v).copied().unwrap_or(0),
            Atom::Value(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => 0,
        })
    }

    fn block(&mut self, stmts: &[Stmt]) -> f64 {
        let mut total = 0.0;
        for stmt in stmts {
            total += match stmt {
                Stmt::For { var, begin, end, body, .. } => {
                    let (first, last) = (self.eval(begin), self.eval(end));
                    self.middles.insert(var.0, first + (last - first).max(0) / 2);
                    (last - first).max(0) as f64 * self.block(body)
                }
                Stmt::If { body, .. } => self.block(body),
                Stmt::Let { inst, .. } => arithmetic(inst),
                Stmt::Accumulate { .. } | Stmt::Update { .. } => 1.0,
                Stmt::Store { .. } | Stmt::Acc { .. } => 0.0,
            };
        }
        total
    }
}

fn arithmetic(inst: &Inst) -> f64 {
    match inst {
        // What takes a processor many is written out in kernels, where the back end has no such function.
        Inst::Unary(..) | Inst::Binary(..) => 1.0,
        Inst::Fma(..) => 2.0,
        Inst::Cmp(..) | Inst::Select(..) => 1.0,
        Inst::Const(_) | Inst::Load { .. } | Inst::Read(_) | Inst::Index(_) => 0.0,
        Inst::CheckedIndex { .. } | Inst::Cast(_) | Inst::Bitcast(_) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::operations;
    use crate::kernel::text::parse;

    const TRIANGLE: &str = "kernel @triangle[s0](%p0: f32[s0], %p1: mut f32[s0]) {
  for %i0 in 0..s0 parallel {
    acc %acc0: f32 = 0.0
    for %i1 in 0..%i0 {
      %0: f32 = load %p0[%i1]
      %1: f32 = mul %0, %0
      accumulate sum %acc0, %1
    }
    %2: f32 = read %acc0
    store %p1[%i0], %2
  }
}
";

    #[test]
    fn loops_are_counted_with_their_lengths() {
        let kernel = parse(TRIANGLE).unwrap();
        // Two operations an inner iteration, of which there are 50 on average.
        assert_eq!(operations(&kernel, &[100]), 100.0 * 50.0 * 2.0);
        assert_eq!(operations(&kernel, &[1]), 0.0);
    }
}
