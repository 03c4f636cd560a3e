//! Kernels with some of their sizes known, and loops of two iterations taken apart, of none left out.

use crate::access::has_vector_loop;
use ttk_ir::kernel::{BufferParam, Inst, Kernel, Local, LoopKind, Stmt};
use ttk_ir::{Atom, Expr};

/// The kernel where symbol `i` is `values[i]`, if that is known. The others keep their numbers.
pub(crate) fn specialise(kernel: &Kernel, values: &[Option<i64>]) -> Kernel {
    let known = |a: &Atom| match a {
        Atom::Symbol(s) => values.get(*s as usize).copied().flatten().map(Expr::constant),
        Atom::Var(_) | Atom::Value(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => None,
    };
    let map = |e: &Expr| e.substitute(&mut |a| known(a));
    let params = kernel.params.iter().map(|p| BufferParam { len: map(&p.len), ..p.clone() }).collect();
    let locals = kernel.locals.iter().map(|l| Local { len: map(&l.len), ..l.clone() }).collect();
    let body = unrolled(&rewrite(&kernel.body, &map));
    Kernel { params, locals, body, ..kernel.clone() }
}

/// The statements with every expression replaced.
fn rewrite(stmts: &[Stmt], map: &dyn Fn(&Expr) -> Expr) -> Vec<Stmt> {
    let one = |stmt: &Stmt| match stmt {
        Stmt::For { var, begin, end, kind, body } => {
            let (begin, end, body) = (map(begin), map(end), rewrite(body, map));
            Stmt::For { var: *var, begin, end, kind: *kind, body }
        }
        Stmt::Let { dst, dtype, inst } => {
            let inst = match inst {
                Inst::Load { buffer, index } => Inst::Load { buffer: *buffer, index: map(index) },
                Inst::Index(e) => Inst::Index(map(e)),
                Inst::CheckedIndex { value, extent } => {
                    Inst::CheckedIndex { value: *value, extent: map(extent) }
                }
                Inst::Const(_) | Inst::Read(_) | Inst::Unary(..) | Inst::Binary(..) => inst.clone(),
                Inst::Fma(..) | Inst::Cmp(..) | Inst::Select(..) => inst.clone(),
                Inst::Cast(_) | Inst::Bitcast(_) => inst.clone(),
            };
            Stmt::Let { dst: *dst, dtype: *dtype, inst }
        }
        Stmt::Store { buffer, index, value } => {
            Stmt::Store { buffer: *buffer, index: map(index), value: *value }
        }
        Stmt::Update { buffer, index, op, value } => {
            Stmt::Update { buffer: *buffer, index: map(index), op: *op, value: *value }
        }
        Stmt::If { cond, body } => Stmt::If { cond: *cond, body: rewrite(body, map) },
        Stmt::Acc { .. } | Stmt::Accumulate { .. } => stmt.clone(),
    };
    stmts.iter().map(one).collect()
}

/// Serial loops of two iterations around vector loops, one after the other: what lies before and after the
/// main part of a padded row. Apart, the two are known not to overlap. Loops of no iteration are gone.
fn unrolled(stmts: &[Stmt]) -> Vec<Stmt> {
    let mut out = Vec::new();
    for stmt in stmts {
        match stmt {
            Stmt::For { begin, end, .. } if end.sub(begin).as_const().is_some_and(|n| n <= 0) => {}
            Stmt::For { var, begin, end, kind, body } => {
                let body = unrolled(body);
                let two = *kind == LoopKind::Serial
                    && begin.is_zero()
                    && end.as_const() == Some(2)
                    && has_vector_loop(&body)
                    // Only loops directly inside: what they define is gone after each iteration.
                    && body.iter().all(|s| matches!(s, Stmt::For { .. }));
                if two {
                    for i in 0..2 {
                        let var = Atom::Var(var.0);
                        let at = |e: &Expr| e.substitute(&mut |a| (*a == var).then(|| Expr::constant(i)));
                        out.extend(rewrite(&body, &at));
                    }
                } else {
                    let (begin, end) = (begin.clone(), end.clone());
                    out.push(Stmt::For { var: *var, begin, end, kind: *kind, body });
                }
            }
            Stmt::If { cond, body } => out.push(Stmt::If { cond: *cond, body: unrolled(body) }),
            Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => {
                out.push(stmt.clone());
            }
            Stmt::Update { .. } => out.push(stmt.clone()),
        }
    }
    out
}
