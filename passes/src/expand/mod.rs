//! Scalar operations that no back end emits, written out in those that every back end does.
//!
//! What is native: `add sub mul div neg abs min max floor round sqrt fma`, comparisons, selection,
//! conversions, and bit and integer arithmetic. The rest becomes straight-line code without branches, so
//! that it runs as lanes of any width. Accuracy (tested): about 1 to 2 units in the last place for `f32` (5 for
//! `erf`), 4 for `f64`; infinities, NaN, zeros of both signs and denormals are right.

// Coefficients are written as they were published.
#![allow(clippy::excessive_precision, clippy::approx_constant)]

mod erf;
mod exp;
mod log;
mod math;
mod power;
mod remainder;
#[cfg(test)]
mod tests;
mod trig;

use math::Math;
use rustc_hash::FxHashMap;
use ttk_ir::kernel::{Inst, Kernel, LoopKind, Stmt, Val};
use ttk_ir::{Binary, DType, Scalar, Unary};

/// Whether every back end emits the operation for this element type.
fn is_native_unary(op: Unary) -> bool {
    match op {
        Unary::Neg | Unary::Not | Unary::Abs | Unary::Floor | Unary::Round | Unary::Sqrt => true,
        Unary::Relu | Unary::Exp | Unary::Expm1 | Unary::Log | Unary::Log1p => false,
        Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Erf | Unary::Sigmoid => false,
    }
}

fn is_native_binary(op: Binary, dtype: DType) -> bool {
    match op {
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Max | Binary::Min => true,
        Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => true,
        Binary::Rem => !dtype.is_float(),
        Binary::Pow | Binary::Atan2 => false,
    }
}

/// Replaces every operation that is not native.
pub(crate) fn expand(kernel: &mut Kernel) {
    let mut walker =
        Walker { next: 0, types: Vec::new(), constants: FxHashMap::default(), header: Vec::new() };
    walker.number(&kernel.body);
    if !walker.any(&kernel.body) {
        return;
    }
    walker.block(&mut kernel.body);
    // Constants go where they are made once: at the head of the parallel loop.
    let header = walker.header;
    match kernel.body.as_mut_slice() {
        [Stmt::For { kind: LoopKind::Parallel, body, .. }] => {
            body.splice(0..0, header);
        }
        _ => {
            kernel.body.splice(0..0, header);
        }
    }
}

struct Walker {
    next: u32,
    types: Vec<DType>,
    constants: FxHashMap<Scalar, Val>,
    header: Vec<Stmt>,
}

impl Walker {
    /// Finds the highest value number and the type of each value.
    fn number(&mut self, stmts: &[Stmt]) {
        for s in stmts {
            match s {
                Stmt::Let { dst, dtype, .. } => {
                    self.next = self.next.max(dst.0 + 1);
                    if self.types.len() <= dst.0 as usize {
                        self.types.resize(dst.0 as usize + 1, DType::Bool);
                    }
                    self.types[dst.0 as usize] = *dtype;
                }
                Stmt::For { body, .. } | Stmt::If { body, .. } => self.number(body),
                Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } | Stmt::Update { .. } => {}
            }
        }
    }

    fn needs(&self, inst: &Inst, dtype: DType) -> bool {
        match inst {
            Inst::Unary(u, _) => !is_native_unary(*u),
            Inst::Binary(b, ..) => !is_native_binary(*b, dtype),
            Inst::Const(_) | Inst::Load { .. } | Inst::Read(_) | Inst::Index(_) => false,
            Inst::CheckedIndex { .. } | Inst::Fma(..) | Inst::Cmp(..) | Inst::Select(..) => false,
            Inst::Cast(_) | Inst::Bitcast(_) => false,
        }
    }

    fn any(&self, stmts: &[Stmt]) -> bool {
        stmts.iter().any(|s| match s {
            Stmt::Let { dtype, inst, .. } => self.needs(inst, *dtype),
            Stmt::For { body, .. } | Stmt::If { body, .. } => self.any(body),
            Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } | Stmt::Update { .. } => false,
        })
    }

    fn block(&mut self, stmts: &mut Vec<Stmt>) {
        let old = std::mem::take(stmts);
        for mut s in old {
            match &mut s {
                Stmt::For { body, .. } | Stmt::If { body, .. } => self.block(body),
                Stmt::Let { dst, dtype, inst } if self.needs(inst, *dtype) => {
                    let (dst, dtype) = (*dst, *dtype);
                    let mut m = Math {
                        out: stmts,
                        next: &mut self.next,
                        constants: &mut self.constants,
                        header: &mut self.header,
                        dtype: dtype.compute(),
                    };
                    m.rewrite(dst, dtype, inst);
                    continue;
                }
                Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
                Stmt::Update { .. } => {}
            }
            stmts.push(s);
        }
    }
}

impl Math<'_> {
    /// Emits the expansion of `dst = inst`; the last instruction defines `dst`.
    fn rewrite(&mut self, dst: Val, dtype: DType, inst: &Inst) {
        let narrow = dtype != self.dtype;
        let widen = |m: &mut Self, v: Val| if narrow { m.cast(v, m.dtype) } else { v };
        let value = match inst {
            Inst::Unary(op, x) => {
                let x = widen(self, *x);
                match op {
                    Unary::Relu => self.relu(x),
                    Unary::Exp => self.exp(x),
                    Unary::Expm1 => self.expm1(x),
                    Unary::Log => self.log(x),
                    Unary::Log1p => self.log1p(x),
                    Unary::Sin => self.sin(x),
                    Unary::Cos => self.cos(x),
                    Unary::Tanh => self.tanh(x),
                    Unary::Erf => self.erf(x),
                    Unary::Sigmoid => self.sigmoid(x),
                    Unary::Neg | Unary::Not | Unary::Abs | Unary::Floor | Unary::Round | Unary::Sqrt => x,
                }
            }
            Inst::Binary(op, a, b) => {
                let (a, b) = (widen(self, *a), widen(self, *b));
                match op {
                    Binary::Pow if dtype.is_float() => self.pow(a, b),
                    Binary::Pow => self.pow_int(a, b),
                    Binary::Rem => self.fmod(a, b),
                    Binary::Atan2 => self.atan2(a, b),
                    Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Max => a,
                    Binary::Min | Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => a,
                }
            }
            Inst::Const(_) | Inst::Load { .. } | Inst::Read(_) | Inst::Index(_) => return,
            Inst::CheckedIndex { .. } | Inst::Fma(..) | Inst::Cmp(..) | Inst::Select(..) => return,
            Inst::Cast(_) | Inst::Bitcast(_) => return,
        };
        if narrow {
            self.out.push(Stmt::Let { dst, dtype, inst: Inst::Cast(value) });
            return;
        }
        // Give the last instruction the name of the result.
        match self.out.last_mut() {
            Some(Stmt::Let { dst: last, .. }) if *last == value => *last = dst,
            _ => {
                let same = self.c_true();
                self.out.push(Stmt::Let { dst, dtype, inst: Inst::Select(same, value, value) });
            }
        }
    }
}
