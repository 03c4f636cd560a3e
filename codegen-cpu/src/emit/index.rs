//! Index expressions.

use super::{Binding, Gen, Result};
use crate::error::CodegenError;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use ttk_ir::expr::Term;
use ttk_ir::kernel::VarId;
use ttk_ir::{Atom, Expr};

impl Gen<'_> {
    /// The value of an expression, an `i64`.
    pub(super) fn expr(&mut self, e: &Expr) -> Result<Value> {
        let (value, constant) = self.sum(e, 1, None)?;
        Ok(match value {
            None => self.b.ins().iconst(types::I64, constant),
            Some(v) if constant == 0 => v,
            Some(v) => self.b.ins().iadd_imm_s(v, constant),
        })
    }

    /// The current value of a loop variable.
    pub(super) fn var_value(&mut self, var: VarId) -> Result<Value> {
        self.expr(&Expr::var(var.0))
    }

    /// The address of element `e` of `size` bytes from `base`, as a value and a displacement.
    pub(super) fn address(&mut self, base: Value, e: &Expr, size: i64) -> Result<(Value, i32)> {
        let (value, constant) = self.sum(e, size, Some(base))?;
        let value = value.unwrap_or(base);
        match i32::try_from(constant) {
            // Room for unrolled copies and vectors behind it.
            Ok(d) if d.unsigned_abs() < 1 << 30 => Ok((value, d)),
            _ => Ok((self.b.ins().iadd_imm_s(value, constant), 0)),
        }
    }

    /// `start + scale * e` without the constant term, and that term.
    ///
    /// Terms are added from the outermost loop inwards: what does not change in a loop is a prefix of
    /// the sum, and Cranelift moves it out.
    fn sum(&mut self, e: &Expr, scale: i64, start: Option<Value>) -> Result<(Option<Value>, i64)> {
        let mut constant = 0i64;
        let mut terms: Vec<(u32, &Term)> = Vec::with_capacity(e.terms().len());
        for t in e.terms() {
            if t.factors.is_empty() {
                constant = constant.wrapping_add(t.coeff.wrapping_mul(scale));
            } else {
                terms.push((self.term_depth(t), t));
            }
        }
        terms.sort_by_key(|(depth, _)| *depth);
        let mut sum = start;
        for (_, t) in terms {
            let mut coeff = t.coeff.wrapping_mul(scale);
            let mut product: Option<Value> = None;
            if let [Atom::Var(v)] = t.factors.as_slice() {
                // A copy of an unrolled body: the distance becomes part of the displacement.
                if let Some(Binding::Shifted(value, by)) =
                    self.vars.get(*v as usize).copied().flatten().map(|v| v.binding)
                {
                    constant = constant.wrapping_add(coeff.wrapping_mul(by));
                    let scaled = self.times(value, coeff);
                    sum = Some(sum.map_or(scaled, |s| self.b.ins().iadd(s, scaled)));
                    continue;
                }
            }
            let mut factors: Vec<(u32, &Atom)> = t.factors.iter().map(|a| (self.atom_depth(a), a)).collect();
            factors.sort_by_key(|(depth, _)| *depth);
            for (_, atom) in factors {
                match self.atom(atom)? {
                    Binding::Number(n) => coeff = coeff.wrapping_mul(n),
                    Binding::Shifted(v, by) => {
                        let v = self.b.ins().iadd_imm_s(v, by);
                        product = Some(product.map_or(v, |p| self.b.ins().imul(p, v)));
                    }
                    Binding::Value(v) => {
                        product = Some(product.map_or(v, |p| self.b.ins().imul(p, v)));
                    }
                }
            }
            let Some(product) = product else {
                constant = constant.wrapping_add(coeff);
                continue;
            };
            let scaled = self.times(product, coeff);
            sum = Some(sum.map_or(scaled, |s| self.b.ins().iadd(s, scaled)));
        }
        Ok((sum, constant))
    }

    /// `v * by`, as a shift where that is one: addressing modes scale by 2, 4 and 8.
    fn times(&mut self, v: Value, by: i64) -> Value {
        if by == 1 {
            v
        } else if by > 0 && by.count_ones() == 1 {
            self.b.ins().ishl_imm_u(v, i64::from(by.trailing_zeros()))
        } else {
            self.b.ins().imul_imm_s(v, by)
        }
    }

    fn atom(&mut self, atom: &Atom) -> Result<Binding> {
        let kernel = || self.kernel.name.clone();
        match atom {
            Atom::Symbol(s) => match self.entry.symbols.get(*s as usize) {
                Some(v) => Ok(Binding::Value(*v)),
                None => Err(CodegenError::Undefined { kernel: kernel(), what: "symbol", id: *s }),
            },
            Atom::Var(v) => match self.vars.get(*v as usize).copied().flatten() {
                Some(var) => Ok(var.binding),
                None => Err(CodegenError::Undefined { kernel: kernel(), what: "loop variable", id: *v }),
            },
            Atom::Value(v) => {
                let scalar = self.vals.get(*v as usize).and_then(|b| b.scalar);
                let scalar = scalar.ok_or(CodegenError::Undefined {
                    kernel: kernel(),
                    what: "index value",
                    id: *v,
                })?;
                Ok(Binding::Value(if scalar.kind == super::Kind::I64 {
                    scalar.value
                } else {
                    self.b.ins().sextend(types::I64, scalar.value)
                }))
            }
            Atom::FloorDiv(a, b) => {
                let (q, _, _) = self.divide(a, b)?;
                Ok(Binding::Value(q))
            }
            Atom::Mod(a, b) => {
                if let Some(n) = power_of_two(b) {
                    let v = self.expr(a)?;
                    return Ok(Binding::Value(self.b.ins().band_imm_u(v, n - 1)));
                }
                let (q, v, by) = self.divide(a, b)?;
                let whole = self.b.ins().imul(q, by);
                Ok(Binding::Value(self.b.ins().isub(v, whole)))
            }
            Atom::Clamp(a, b) => {
                let (v, extent) = (self.expr(a)?, self.expr(&b.offset(-1))?);
                let zero = self.b.ins().iconst(types::I64, 0);
                let low = if self.is_nonnegative(a) { v } else { self.b.ins().smax(v, zero) };
                let v = self.b.ins().smin(low, extent);
                Ok(Binding::Value(v))
            }
        }
    }

    /// `(floor(a / b), a, b)`, `b > 0`.
    fn divide(&mut self, a: &Expr, b: &Expr) -> Result<(Value, Value, Value)> {
        let (v, by) = (self.expr(a)?, self.expr(b)?);
        if let Some(n) = power_of_two(b) {
            let q = self.b.ins().sshr_imm_u(v, i64::from(n.trailing_zeros()));
            return Ok((q, v, by));
        }
        if self.is_nonnegative(a) {
            return Ok((self.b.ins().udiv(v, by), v, by));
        }
        // Truncation rounds negative quotients up: one less where the remainder is negative.
        let q = self.b.ins().sdiv(v, by);
        let whole = self.b.ins().imul(q, by);
        let rest = self.b.ins().isub(v, whole);
        let down = self.b.ins().sshr_imm_u(rest, 63);
        Ok((self.b.ins().iadd(q, down), v, by))
    }

    fn term_depth(&self, t: &Term) -> u32 {
        t.factors.iter().map(|a| self.atom_depth(a)).max().unwrap_or(0)
    }

    fn atom_depth(&self, a: &Atom) -> u32 {
        let mut depth = 0;
        Expr::atom(a.clone()).for_each_leaf(&mut |leaf| {
            depth = depth.max(match leaf {
                Atom::Var(v) => self.vars.get(*v as usize).copied().flatten().map_or(0, |v| v.depth),
                Atom::Value(v) => self.vals.get(*v as usize).map_or(0, |b| b.depth),
                Atom::Symbol(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => 0,
            });
        });
        depth
    }

    /// Whether no value of the variables makes it negative, as far as signs alone can tell.
    pub(super) fn is_nonnegative(&self, e: &Expr) -> bool {
        e.terms().iter().all(|t| t.coeff >= 0 && t.factors.iter().all(|a| self.atom_is_nonnegative(a)))
    }

    fn atom_is_nonnegative(&self, a: &Atom) -> bool {
        match a {
            Atom::Symbol(_) | Atom::Mod(..) | Atom::Clamp(..) | Atom::Value(_) => true,
            Atom::Var(v) => self.vars.get(*v as usize).copied().flatten().is_some_and(|v| v.nonnegative),
            Atom::FloorDiv(a, _) => self.is_nonnegative(a),
        }
    }

    /// Whether it is at least 1 for any sizes: symbols are.
    pub(super) fn is_positive(&self, e: &Expr) -> bool {
        !e.terms().is_empty()
            && e.terms().iter().all(|t| t.coeff > 0 && t.factors.iter().all(|a| matches!(a, Atom::Symbol(_))))
    }
}

fn power_of_two(e: &Expr) -> Option<i64> {
    e.as_const().filter(|n| *n > 0 && n.count_ones() == 1)
}
