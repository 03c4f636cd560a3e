//! The kernel verifier: what a back end may rely on.
//!
//! Most of all that every access is inside its buffer for all values of the symbols, so that machine code
//! needs no checks of its own.

use super::{AccId, Access, BufferRef, Inst, Kernel, LoopKind, Stmt, Val};
use crate::dtype::DType;
use crate::expr::range::{Ranges, prove_in_bounds, prove_nonneg};
use crate::expr::{Atom, Expr};
use crate::op::{Cmp, ReduceOp};
use crate::verify::is_canonical;
use rustc_hash::{FxHashMap, FxHashSet};
use thiserror::Error;

/// An unrolled loop runs at most this often.
pub const MAX_UNROLL: i64 = 256;

/// A rule that a kernel breaks. This is a defect of the compiler. `{kernel}` shows it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("kernel {kernel}: {fault}")]
pub struct KernelFault {
    pub kernel: String,
    pub fault: Fault,
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Fault {
    #[error("two buffers are called {name:?}")]
    BufferName { name: String },
    #[error("parameters {read} and {written} are not a read and a written one of the same type")]
    Alias { read: u32, written: u32 },
    #[error("{what} {id} is not there or not visible")]
    Undefined { what: &'static str, id: u32 },
    #[error("{what} {id} is defined twice")]
    Redefined { what: &'static str, id: u32 },
    #[error("value {id} stands in an index, but is no checked index")]
    Unchecked { id: u32 },
    #[error("value {id}: {instruction} does not give {dtype} from its operands")]
    Type { id: u32, instruction: &'static str, dtype: DType },
    #[error("{statement} of a value of type {dtype} where another is wanted")]
    StatementType { statement: &'static str, dtype: DType },
    #[error("{buffer} is written, but is a parameter for reading")]
    ReadOnly { buffer: String },
    #[error("the index {index} into {buffer} is not proven to lie in 0..{len}")]
    OutOfBounds { buffer: String, index: String, len: String },
    #[error("the divisor {divisor} is not proven to be positive")]
    Divisor { divisor: String },
    #[error("a parallel loop that is not the single outermost statement")]
    Parallel,
    #[error("{what} inside a vector loop")]
    InVector { what: &'static str },
    #[error("accumulator {acc} is joined in two ways by one vector loop")]
    MixedReduction { acc: u32 },
    #[error("an unrolled loop over {trips}, which is not a small number")]
    Unroll { trips: String },
    #[error("all iterations over %i{var} write the same element {index} of {buffer}")]
    Race { var: u32, buffer: String, index: String },
    #[error("constant of type {dtype} has bits that its type lacks")]
    Constant { dtype: DType },
}

/// Checks a kernel: definitions come before uses and are visible there, types fit, loops are of the
/// shape their kind asks for, and every access is proven to be in bounds.
///
/// # Errors
/// The first rule that is broken.
pub fn verify(kernel: &Kernel) -> Result<(), KernelFault> {
    let mut verifier = Verifier {
        kernel,
        ranges: Ranges::new(),
        vals: FxHashMap::default(),
        vars: Vec::new(),
        accs: FxHashMap::default(),
        defined: FxHashSet::default(),
        independent: Vec::new(),
        vector: None,
    };
    verifier.kernel().map_err(|fault| KernelFault { kernel: kernel.name.clone(), fault })
}

struct Verifier<'a> {
    kernel: &'a Kernel,
    ranges: Ranges,
    /// Values that are visible.
    vals: FxHashMap<u32, (DType, &'a Inst)>,
    /// Loop variables that are visible, with their ranges.
    vars: Vec<(u32, &'a Expr, &'a Expr)>,
    /// Accumulators that are visible.
    accs: FxHashMap<u32, DType>,
    /// Everything defined so far, visible or not.
    defined: FxHashSet<(&'static str, u32)>,
    /// Variables of enclosing loops whose iterations must not meet, and that run more than once.
    independent: Vec<(u32, LoopKind)>,
    /// What the enclosing vector loop accumulates.
    vector: Option<FxHashMap<u32, ReduceOp>>,
}

type Check = Result<(), Fault>;

impl<'a> Verifier<'a> {
    fn kernel(&mut self) -> Check {
        let kernel = self.kernel;
        let mut names = FxHashSet::default();
        for name in kernel.params.iter().map(|p| &p.name).chain(kernel.locals.iter().map(|l| &l.name)) {
            if !names.insert(name) {
                return Err(Fault::BufferName { name: name.clone() });
            }
        }
        for len in kernel.params.iter().map(|p| &p.len).chain(kernel.locals.iter().map(|l| &l.len)) {
            self.expr(len)?;
        }
        for &(read, written) in &kernel.aliases {
            let (a, b) = (kernel.params.get(read as usize), kernel.params.get(written as usize));
            let fits = a.zip(b).is_some_and(|(a, b)| {
                a.access == Access::Read && b.access == Access::Write && a.dtype == b.dtype
            });
            if !fits {
                return Err(Fault::Alias { read, written });
            }
        }
        match kernel.parallel_loop() {
            Some((var, begin, end, body)) => {
                self.enter_loop(var.0, begin, end)?;
                if !at_most_once(begin, end, &self.ranges) {
                    self.independent.push((var.0, LoopKind::Parallel));
                }
                self.block(body)
            }
            None => self.block(&kernel.body),
        }
    }

    /// Statements; what they define is gone afterwards.
    fn block(&mut self, stmts: &'a [Stmt]) -> Check {
        let (vals, accs, mark) = (self.vals.clone(), self.accs.clone(), self.ranges.mark());
        stmts.iter().try_for_each(|s| self.stmt(s))?;
        (self.vals, self.accs) = (vals, accs);
        self.ranges.reset(mark);
        Ok(())
    }

    fn stmt(&mut self, stmt: &'a Stmt) -> Check {
        match stmt {
            Stmt::For { var, begin, end, kind, body } => self.for_loop(var.0, (begin, end), *kind, body),
            Stmt::Let { dst, dtype, inst } => {
                self.inst(*dst, *dtype, inst)?;
                self.define("value", dst.0)?;
                self.vals.insert(dst.0, (*dtype, inst));
                if let Inst::CheckedIndex { extent, .. } = inst {
                    self.ranges.push_value(dst.0, extent);
                }
                Ok(())
            }
            Stmt::Store { buffer, index, value } => {
                let (dtype, _) = self.write(*buffer, index)?;
                self.check_value("store", *value, dtype)
            }
            Stmt::Acc { acc, dtype, init } => {
                if init.dtype != *dtype {
                    return Err(Fault::StatementType { statement: "acc", dtype: init.dtype });
                }
                if !is_canonical(*init) {
                    return Err(Fault::Constant { dtype: *dtype });
                }
                self.define("accumulator", acc.0)?;
                self.accs.insert(acc.0, *dtype);
                Ok(())
            }
            Stmt::Accumulate { acc, op, value } => {
                let dtype = self.acc(*acc)?;
                self.check_value("accumulate", *value, dtype)?;
                if !op.combine().domain().contains(dtype) {
                    return Err(Fault::StatementType { statement: op.name(), dtype });
                }
                if let Some(joined) = &mut self.vector
                    && joined.insert(acc.0, *op).is_some_and(|other| other != *op)
                {
                    return Err(Fault::MixedReduction { acc: acc.0 });
                }
                Ok(())
            }
            Stmt::Update { buffer, index, op, value } => {
                self.outside_vector("an update")?;
                let (dtype, _) = self.write(*buffer, index)?;
                self.check_value("update", *value, dtype)?;
                if !op.domain().contains(dtype) {
                    return Err(Fault::StatementType { statement: op.name(), dtype });
                }
                Ok(())
            }
            Stmt::If { cond, body } => {
                self.outside_vector("a condition")?;
                self.check_value("if", *cond, DType::Bool)?;
                let mark = self.ranges.mark();
                self.assume(*cond, 8);
                self.block(body)?;
                self.ranges.reset(mark);
                Ok(())
            }
        }
    }

    fn for_loop(
        &mut self,
        var: u32,
        (begin, end): (&'a Expr, &'a Expr),
        kind: LoopKind,
        body: &'a [Stmt],
    ) -> Check {
        self.outside_vector("a loop")?;
        let (mark, vars) = (self.ranges.mark(), self.vars.len());
        let once = at_most_once(begin, end, &self.ranges);
        self.enter_loop(var, begin, end)?;
        match kind {
            LoopKind::Serial => self.block(body)?,
            LoopKind::Parallel => return Err(Fault::Parallel),
            LoopKind::Unroll => {
                let trips = end.sub(begin);
                if trips.as_const().is_none_or(|t| t > MAX_UNROLL) {
                    return Err(Fault::Unroll { trips: trips.to_string() });
                }
                self.block(body)?;
            }
            LoopKind::Vector => {
                let independent = self.independent.len();
                if !once {
                    self.independent.push((var, LoopKind::Vector));
                }
                self.vector = Some(FxHashMap::default());
                self.block(body)?;
                let joined = self.vector.take().unwrap_or_default();
                self.independent.truncate(independent);
                let reads = |s: &Stmt| match s {
                    Stmt::Let { inst: Inst::Read(acc), .. } => joined.contains_key(&acc.0),
                    _ => false,
                };
                let own = |acc: u32| body.iter().any(|s| matches!(s, Stmt::Acc { acc: a, .. } if a.0 == acc));
                let foreign = joined.keys().any(|&acc| !own(acc));
                if foreign && body.iter().any(reads) {
                    return Err(Fault::InVector { what: "a read of an accumulator it accumulates into" });
                }
            }
        }
        self.vars.truncate(vars);
        self.ranges.reset(mark);
        Ok(())
    }

    fn enter_loop(&mut self, var: u32, begin: &'a Expr, end: &'a Expr) -> Check {
        self.expr(begin)?;
        self.expr(end)?;
        self.define("loop variable", var)?;
        self.vars.push((var, begin, end));
        self.ranges.push_var(var, begin, end);
        Ok(())
    }

    fn inst(&self, dst: Val, dtype: DType, inst: &Inst) -> Check {
        let fit = |ok: bool, instruction: &'static str| {
            if ok { Ok(()) } else { Err(Fault::Type { id: dst.0, instruction, dtype }) }
        };
        match inst {
            Inst::Const(value) => {
                fit(value.dtype == dtype, "const")?;
                if is_canonical(*value) { Ok(()) } else { Err(Fault::Constant { dtype }) }
            }
            Inst::Load { buffer, index } => {
                let (from, _) = self.access(*buffer, index)?;
                fit(from == dtype, "load")
            }
            Inst::Read(acc) => fit(self.acc(*acc)? == dtype, "read"),
            Inst::Index(e) => {
                self.expr(e)?;
                fit(dtype.is_int(), "index")
            }
            Inst::CheckedIndex { value, extent } => {
                self.expr(extent)?;
                let from = self.val(*value)?;
                fit(from.is_int() && dtype == DType::I64, "checked_index")
            }
            Inst::Unary(op, a) => fit(self.val(*a)? == dtype && op.domain().contains(dtype), op.name()),
            Inst::Binary(op, a, b) => {
                let same = self.val(*a)? == dtype && self.val(*b)? == dtype;
                fit(same && op.domain().contains(dtype), op.name())
            }
            Inst::Fma(a, b, c) => {
                let same = self.val(*a)? == dtype && self.val(*b)? == dtype && self.val(*c)? == dtype;
                fit(same && dtype.is_float(), "fma")
            }
            Inst::Cmp(_, a, b) => fit(self.val(*a)? == self.val(*b)? && dtype == DType::Bool, "cmp"),
            Inst::Select(c, a, b) => {
                let same = self.val(*a)? == dtype && self.val(*b)? == dtype;
                fit(same && self.val(*c)? == DType::Bool, "select")
            }
            Inst::Cast(a) => self.val(*a).map(|_| ()),
            Inst::Bitcast(a) => {
                let from = self.val(*a)?;
                let bools = from == DType::Bool || dtype == DType::Bool;
                fit(from.size() == dtype.size() && !bools, "bitcast")
            }
        }
    }

    /// A write of an element: in bounds, allowed, and not by several iterations at once.
    fn write(&self, buffer: BufferRef, index: &Expr) -> Result<(DType, String), Fault> {
        let (dtype, name) = self.access(buffer, index)?;
        match buffer {
            BufferRef::Param(p) if self.kernel.params[p as usize].access == Access::Read => {
                return Err(Fault::ReadOnly { buffer: name });
            }
            BufferRef::Param(_) | BufferRef::Local(_) => {}
        }
        for &(var, kind) in &self.independent {
            // Scratch is each parallel iteration's own.
            let own = matches!(buffer, BufferRef::Local(_)) && kind == LoopKind::Parallel;
            if !own && !self.depends_on(index, var) {
                return Err(Fault::Race { var, buffer: name, index: index.to_string() });
            }
        }
        Ok((dtype, name))
    }

    /// Whether an index may differ between iterations of a loop: it mentions the variable, or one whose
    /// range does, or a value from data.
    fn depends_on(&self, e: &Expr, var: u32) -> bool {
        let mut depends = false;
        e.for_each_leaf(&mut |leaf| match leaf {
            Atom::Var(v) => depends |= *v == var || self.range_depends_on(*v, var),
            Atom::Value(_) => depends = true,
            Atom::Symbol(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => {}
        });
        depends
    }

    fn range_depends_on(&self, inner: u32, var: u32) -> bool {
        let range = self.vars.iter().find(|(v, _, _)| *v == inner);
        range.is_some_and(|(_, begin, end)| self.depends_on(begin, var) || self.depends_on(end, var))
    }

    /// An element's type and its buffer's name, after the proof that it is there.
    fn access(&self, buffer: BufferRef, index: &Expr) -> Result<(DType, String), Fault> {
        let undefined = |id| Fault::Undefined { what: "buffer", id };
        let (name, dtype, len) = match buffer {
            BufferRef::Param(p) => {
                let param = self.kernel.params.get(p as usize).ok_or_else(|| undefined(p))?;
                (&param.name, param.dtype, &param.len)
            }
            BufferRef::Local(l) => {
                let local = self.kernel.locals.get(l as usize).ok_or_else(|| undefined(l))?;
                (&local.name, local.dtype, &local.len)
            }
        };
        self.expr(index)?;
        if !prove_in_bounds(index, len, &self.ranges) {
            let (buffer, index, len) = (name.clone(), index.to_string(), len.to_string());
            return Err(Fault::OutOfBounds { buffer, index, len });
        }
        Ok((dtype, name.clone()))
    }

    /// Checks that all an expression mentions is visible, and that it divides by positive numbers only.
    fn expr(&self, e: &Expr) -> Check {
        for atom in e.terms().iter().flat_map(|t| &t.factors) {
            match atom {
                Atom::Symbol(id) if *id < self.kernel.n_symbols => {}
                Atom::Symbol(id) => return Err(Fault::Undefined { what: "symbol", id: *id }),
                Atom::Var(id) if self.vars.iter().any(|(v, _, _)| v == id) => {}
                Atom::Var(id) => return Err(Fault::Undefined { what: "loop variable", id: *id }),
                Atom::Value(id) => match self.vals.get(id) {
                    Some((_, Inst::CheckedIndex { .. })) => {}
                    Some(_) => return Err(Fault::Unchecked { id: *id }),
                    None => return Err(Fault::Undefined { what: "value", id: *id }),
                },
                Atom::FloorDiv(a, b) | Atom::Mod(a, b) | Atom::Clamp(a, b) => {
                    self.expr(a)?;
                    self.expr(b)?;
                    if !prove_nonneg(&b.offset(-1), &self.ranges) {
                        return Err(Fault::Divisor { divisor: b.to_string() });
                    }
                }
            }
        }
        Ok(())
    }

    /// What follows from a condition that holds.
    fn assume(&mut self, cond: Val, depth: usize) {
        let Some((_, inst)) = self.vals.get(&cond.0) else { return };
        match inst {
            Inst::Cmp(op, a, b) => {
                let (Some(a), Some(b)) = (self.index_of(*a), self.index_of(*b)) else { return };
                match op {
                    Cmp::Lt => self.ranges.assume(b.sub(&a).offset(-1)),
                    Cmp::Le => self.ranges.assume(b.sub(&a)),
                    Cmp::Eq => {
                        self.ranges.assume(b.sub(&a));
                        self.ranges.assume(a.sub(&b));
                    }
                    Cmp::Ne => {}
                }
            }
            Inst::Binary(crate::op::Binary::And, a, b) if depth > 0 => {
                let (a, b) = (*a, *b);
                self.assume(a, depth - 1);
                self.assume(b, depth - 1);
            }
            Inst::Const(_) | Inst::Load { .. } | Inst::Read(_) | Inst::Index(_) => {}
            Inst::CheckedIndex { .. } | Inst::Unary(..) | Inst::Binary(..) | Inst::Fma(..) => {}
            Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => {}
        }
    }

    /// The expression that a value is the number of; only of 64 bits, which do not wrap.
    fn index_of(&self, val: Val) -> Option<Expr> {
        match self.vals.get(&val.0)? {
            (DType::I64, Inst::Index(e)) => Some(e.clone()),
            (DType::I64, Inst::Const(value)) => Some(Expr::constant(value.as_i64())),
            (DType::I64, Inst::CheckedIndex { .. }) => Some(Expr::value(val.0)),
            _ => None,
        }
    }

    fn check_value(&self, statement: &'static str, value: Val, wanted: DType) -> Check {
        let dtype = self.val(value)?;
        if dtype == wanted { Ok(()) } else { Err(Fault::StatementType { statement, dtype }) }
    }

    fn val(&self, id: Val) -> Result<DType, Fault> {
        self.vals.get(&id.0).map(|(dtype, _)| *dtype).ok_or(Fault::Undefined { what: "value", id: id.0 })
    }

    fn acc(&self, id: AccId) -> Result<DType, Fault> {
        self.accs.get(&id.0).copied().ok_or(Fault::Undefined { what: "accumulator", id: id.0 })
    }

    fn define(&mut self, what: &'static str, id: u32) -> Check {
        if self.defined.insert((what, id)) { Ok(()) } else { Err(Fault::Redefined { what, id }) }
    }

    fn outside_vector(&self, what: &'static str) -> Check {
        if self.vector.is_some() { Err(Fault::InVector { what }) } else { Ok(()) }
    }
}

fn at_most_once(begin: &Expr, end: &Expr, ranges: &Ranges) -> bool {
    prove_nonneg(&begin.offset(1).sub(end), ranges)
}
