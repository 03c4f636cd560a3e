//! Writing a kernel down: nested scopes, each instruction in the outermost one where its operands are
//! known, equal instructions once.
//!
//! Scope 0 is the body of the parallel loop. Opening a loop pushes a scope; closing it appends the
//! finished statement to the scope around it. An instruction that needs no inner loop variable is
//! appended to an outer scope, and so comes before the loop that is still open: code motion out of
//! loops happens by construction.

use super::index::Ranges;
use rustc_hash::FxHashMap;
use ttk_ir::kernel::{
    AccId, Access, BufferParam, BufferRef, Inst, Kernel, Local, LoopKind, Stmt, Val, VarId,
};
use ttk_ir::program::BufferId;
use ttk_ir::{Atom, Binary, Cmp, DType, Expr, ReduceOp, Scalar, Unary};

#[derive(Debug)]
struct Scope {
    /// The loop or condition to wrap around the statements when the scope closes.
    header: Header,
    stmts: Vec<Stmt>,
    numbers: FxHashMap<(Inst, DType), Val>,
}

impl Scope {
    fn new(header: Header) -> Scope {
        Scope { header, stmts: Vec::new(), numbers: FxHashMap::default() }
    }
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "few are alive at once")]
enum Header {
    For { var: VarId, begin: Expr, end: Expr, kind: LoopKind },
    If { cond: Val },
}

#[derive(Clone, Copy, Debug)]
struct ValInfo {
    dtype: DType,
    depth: u32,
}

/// A kernel under construction and the buffers of the program that its parameters stand for.
#[derive(Debug, Default)]
pub(crate) struct KernelBuilder {
    pub(crate) ranges: Ranges,
    scopes: Vec<Scope>,
    vals: Vec<ValInfo>,
    var_depth: Vec<u32>,
    /// How often the loop of each variable runs, or about so.
    trips: Vec<Expr>,
    params: Vec<BufferParam>,
    buffers: Vec<BufferId>,
    param_of: FxHashMap<BufferId, u32>,
    locals: Vec<Local>,
    n_accs: u32,
    /// Loads may not move out of a scope at or below this depth: their indices are in range only
    /// under what that scope assumes.
    load_floor: u32,
}

impl KernelBuilder {
    /// An empty kernel with the body of its parallel loop open, and that loop's variable.
    pub(crate) fn new(begin: Expr, end: Expr) -> (KernelBuilder, VarId) {
        let mut b = KernelBuilder::default();
        let var = b.open(begin, end, LoopKind::Parallel);
        (b, var)
    }

    /// Closes the parallel loop and gives the kernel and its buffers.
    pub(crate) fn finish(mut self, n_symbols: u32) -> (Kernel, Vec<BufferId>) {
        while self.scopes.len() > 1 {
            self.close();
        }
        let body = match self.scopes.pop() {
            Some(scope) => vec![wrap(scope)],
            None => Vec::new(),
        };
        let kernel = Kernel {
            name: String::new(),
            n_symbols,
            params: self.params,
            locals: self.locals,
            aliases: Vec::new(),
            body,
            locs: Vec::new(),
        };
        (kernel, self.buffers)
    }

    /// Estimated work of one iteration of the parallel loop: see `Action::Launch`.
    pub(crate) fn work(&mut self) -> Expr {
        while self.scopes.len() > 1 {
            self.close();
        }
        self.scopes.first().map_or(Expr::constant(1), |s| self.work_of(&s.stmts, 8).offset(1))
    }

    /// `lane` is what one plain instruction costs: 1 in a vector loop, more outside.
    fn work_of(&self, stmts: &[Stmt], lane: i64) -> Expr {
        let mut sum = Expr::constant(0);
        for s in stmts {
            let cost = match s {
                Stmt::For { var, kind, body, .. } => {
                    let lane = if *kind == LoopKind::Vector { 1 } else { lane };
                    let trips = &self.trips[var.0 as usize];
                    // Trips that depend on a variable of an outer loop: a rough number will do.
                    let mut plain = true;
                    trips.for_each_leaf(&mut |a| plain &= matches!(a, Atom::Symbol(_)));
                    let trips = if plain { trips.clone() } else { Expr::constant(16) };
                    self.work_of(body, lane).mul(&trips)
                }
                Stmt::If { body, .. } => self.work_of(body, lane),
                Stmt::Let { inst, .. } => Expr::constant(lane * weight(inst)),
                Stmt::Store { .. } | Stmt::Update { .. } => Expr::constant(lane * 3),
                Stmt::Acc { .. } | Stmt::Accumulate { .. } => Expr::constant(lane),
            };
            sum = sum.add(&cost);
        }
        sum
    }

    /// How many loops and conditions are open, but for the parallel one.
    pub(crate) fn depth(&self) -> usize {
        self.scopes.len() - 1
    }

    /// Opens `for var in begin..end`; the variable is new.
    pub(crate) fn open(&mut self, begin: Expr, end: Expr, kind: LoopKind) -> VarId {
        let last = end.offset(-1);
        self.open_within(begin.clone(), end, kind, begin, last)
    }

    /// [`KernelBuilder::open`] with bounds that are simpler to reason with than those of the loop.
    pub(crate) fn open_within(
        &mut self,
        begin: Expr,
        end: Expr,
        kind: LoopKind,
        first: Expr,
        last: Expr,
    ) -> VarId {
        let var = VarId(self.var_depth.len() as u32);
        self.var_depth.push(self.scopes.len() as u32);
        self.ranges.declare(var.0, first, last);
        self.trips.push(end.sub(&begin));
        self.scopes.push(Scope::new(Header::For { var, begin, end, kind }));
        var
    }

    /// The variable that the next loop to be opened will have.
    pub(crate) fn next_var(&self) -> u32 {
        self.var_depth.len() as u32
    }

    /// A copy with the same scopes open but nothing in them.
    pub(crate) fn scout(&self) -> KernelBuilder {
        let scope = |s: &Scope| Scope {
            header: match &s.header {
                Header::For { var, begin, end, kind } => {
                    Header::For { var: *var, begin: begin.clone(), end: end.clone(), kind: *kind }
                }
                Header::If { cond } => Header::If { cond: *cond },
            },
            stmts: Vec::new(),
            numbers: s.numbers.clone(),
        };
        KernelBuilder {
            ranges: self.ranges.clone(),
            scopes: self.scopes.iter().map(scope).collect(),
            vals: self.vals.clone(),
            var_depth: self.var_depth.clone(),
            trips: self.trips.clone(),
            params: self.params.clone(),
            buffers: self.buffers.clone(),
            param_of: self.param_of.clone(),
            locals: self.locals.clone(),
            n_accs: self.n_accs,
            load_floor: self.load_floor,
        }
    }

    /// Says how often the loop of `var` runs where its bounds do not show it.
    pub(crate) fn set_trips(&mut self, var: VarId, trips: Expr) {
        self.trips[var.0 as usize] = trips;
    }

    pub(crate) fn open_if(&mut self, cond: Val) {
        self.scopes.push(Scope::new(Header::If { cond }));
    }

    /// Closes the innermost loop or condition.
    pub(crate) fn close(&mut self) {
        if self.scopes.len() > 1
            && let Some(scope) = self.scopes.pop()
        {
            let empty = scope.stmts.is_empty();
            let stmt = wrap(scope);
            if !empty {
                self.push(stmt);
            }
        }
    }

    /// Sets the depth above which loads do not move and gives the one before.
    pub(crate) fn set_load_floor(&mut self, depth: u32) -> u32 {
        std::mem::replace(&mut self.load_floor, depth)
    }

    fn push(&mut self, stmt: Stmt) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.stmts.push(stmt);
        }
    }

    pub(crate) fn dtype(&self, v: Val) -> DType {
        self.vals[v.0 as usize].dtype
    }

    /// The scope in which a value is defined.
    pub(crate) fn val_depth(&self, v: Val) -> u32 {
        self.vals[v.0 as usize].depth
    }

    /// The innermost scope that the atoms of an expression need.
    pub(crate) fn expr_depth(&self, e: &Expr) -> u32 {
        let mut depth = 0;
        e.for_each_leaf(&mut |a| {
            depth = depth.max(match a {
                Atom::Var(v) => self.var_depth[*v as usize],
                Atom::Value(v) => self.vals[*v as usize].depth,
                Atom::Symbol(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => 0,
            });
        });
        depth
    }

    /// A pure instruction, in the outermost scope that has its operands; equal ones are made once.
    pub(crate) fn inst(&mut self, inst: Inst, dtype: DType) -> Val {
        let mut depth = inst.operands().map(|v| self.val_depth(v)).max().unwrap_or(0);
        match &inst {
            Inst::Load { index, .. } => depth = depth.max(self.expr_depth(index)).max(self.load_floor),
            Inst::Index(e) => depth = depth.max(self.expr_depth(e)),
            Inst::CheckedIndex { extent, .. } => depth = depth.max(self.expr_depth(extent)),
            Inst::Read(_) => depth = self.scopes.len() as u32 - 1,
            Inst::Const(_) | Inst::Unary(..) | Inst::Binary(..) | Inst::Fma(..) | Inst::Cmp(..) => {}
            Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => {}
        }
        let key = (inst, dtype);
        if let Some(&v) = self.scopes[depth as usize].numbers.get(&key) {
            return v;
        }
        let v = self.define(key.0.clone(), dtype, depth);
        self.scopes[depth as usize].numbers.insert(key, v);
        v
    }

    /// An instruction that must stay where it is: it reads memory that this kernel writes, or an
    /// accumulator.
    pub(crate) fn inst_here(&mut self, inst: Inst, dtype: DType) -> Val {
        let depth = self.scopes.len() as u32 - 1;
        self.define(inst, dtype, depth)
    }

    fn define(&mut self, inst: Inst, dtype: DType, depth: u32) -> Val {
        let dst = Val(self.vals.len() as u32);
        self.vals.push(ValInfo { dtype, depth });
        self.scopes[depth as usize].stmts.push(Stmt::Let { dst, dtype, inst });
        dst
    }

    pub(crate) fn constant(&mut self, value: Scalar) -> Val {
        self.inst(Inst::Const(value), value.dtype)
    }

    pub(crate) fn unary(&mut self, u: Unary, a: Val) -> Val {
        let dtype = self.dtype(a);
        self.inst(Inst::Unary(u, a), dtype)
    }

    pub(crate) fn binary(&mut self, b: Binary, x: Val, y: Val) -> Val {
        let dtype = self.dtype(x);
        self.inst(Inst::Binary(b, x, y), dtype)
    }

    pub(crate) fn cmp(&mut self, c: Cmp, x: Val, y: Val) -> Val {
        self.inst(Inst::Cmp(c, x, y), DType::Bool)
    }

    pub(crate) fn select(&mut self, cond: Val, yes: Val, no: Val) -> Val {
        if yes == no {
            return yes;
        }
        let dtype = self.dtype(yes);
        self.inst(Inst::Select(cond, yes, no), dtype)
    }

    pub(crate) fn cast(&mut self, v: Val, dtype: DType) -> Val {
        if self.dtype(v) == dtype {
            return v;
        }
        self.inst(Inst::Cast(v), dtype)
    }

    /// An index expression as a number.
    pub(crate) fn index(&mut self, e: &Expr, dtype: DType) -> Val {
        if let Some(c) = e.as_const() {
            return self.constant(Scalar::from_i64(dtype, c));
        }
        // Any number of 31 bits is exact in `i64` and in 32-bit lanes; only proven ones go there.
        let int = match dtype {
            DType::I32 | DType::I64 => dtype,
            DType::Bool | DType::U8 | DType::I8 | DType::I16 => DType::I64,
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {
                let small = |(a, b): (i64, i64)| a > -(1 << 31) && b < (1 << 31);
                if self.ranges.interval(e).is_some_and(small) { DType::I32 } else { DType::I64 }
            }
        };
        let v = self.inst(Inst::Index(e.clone()), int);
        self.cast(v, dtype)
    }

    /// The parameter for a buffer, made on first use.
    pub(crate) fn param(&mut self, buffer: BufferId, dtype: DType, len: &Expr, access: Access) -> BufferRef {
        if let Some(&at) = self.param_of.get(&buffer) {
            let p = &mut self.params[at as usize];
            if access == Access::Write {
                p.access = Access::Write;
            }
            return BufferRef::Param(at);
        }
        let at = self.params.len() as u32;
        self.params.push(BufferParam { name: format!("p{at}"), dtype, len: len.clone(), access });
        self.buffers.push(buffer);
        self.param_of.insert(buffer, at);
        BufferRef::Param(at)
    }

    /// Scratch of `len` elements.
    pub(crate) fn local(&mut self, dtype: DType, len: Expr) -> BufferRef {
        let at = self.locals.len() as u32;
        self.locals.push(Local { name: format!("l{at}"), dtype, len });
        BufferRef::Local(at)
    }

    /// A load of memory that this kernel does not write.
    pub(crate) fn load(&mut self, buffer: BufferRef, index: &Expr, dtype: DType) -> Val {
        let index = self.ranges.simplify(index);
        self.inst(Inst::Load { buffer, index }, dtype)
    }

    /// A load of memory that this kernel writes.
    pub(crate) fn load_here(&mut self, buffer: BufferRef, index: &Expr, dtype: DType) -> Val {
        let index = self.ranges.simplify(index);
        self.inst_here(Inst::Load { buffer, index }, dtype)
    }

    pub(crate) fn store(&mut self, buffer: BufferRef, index: &Expr, value: Val) {
        let index = self.ranges.simplify(index);
        self.push(Stmt::Store { buffer, index, value });
    }

    /// A new accumulator in the innermost scope.
    pub(crate) fn acc(&mut self, dtype: DType, init: Scalar) -> AccId {
        let acc = AccId(self.n_accs);
        self.n_accs += 1;
        self.push(Stmt::Acc { acc, dtype, init });
        acc
    }

    pub(crate) fn accumulate(&mut self, acc: AccId, op: ReduceOp, value: Val) {
        self.push(Stmt::Accumulate { acc, op, value });
    }

    pub(crate) fn read(&mut self, acc: AccId, dtype: DType) -> Val {
        self.inst_here(Inst::Read(acc), dtype)
    }

    /// `value` checked against `extent`, as an index.
    pub(crate) fn checked(&mut self, value: Val, extent: &Expr) -> Expr {
        let v = self.inst(Inst::CheckedIndex { value, extent: extent.clone() }, DType::I64);
        self.ranges.declare_value(v.0, extent.clone());
        Expr::value(v.0)
    }

    /// The statements of the scopes that are open, outermost first.
    /// How many instructions there are so far.
    pub(crate) fn instructions(&self) -> usize {
        self.vals.len()
    }

    pub(crate) fn statements(&self) -> impl Iterator<Item = &Stmt> {
        self.scopes.iter().flat_map(|s| s.stmts.iter())
    }
}

/// Cost of an instruction, in additions.
fn weight(inst: &Inst) -> i64 {
    match inst {
        Inst::Const(_) | Inst::Read(_) | Inst::Index(_) => 0,
        Inst::Load { .. } | Inst::CheckedIndex { .. } => 2,
        Inst::Unary(u, _) => u.weight() as i64,
        Inst::Binary(b, ..) => b.weight() as i64,
        Inst::Fma(..) | Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => 1,
    }
}

fn wrap(scope: Scope) -> Stmt {
    match scope.header {
        Header::For { var, begin, end, kind } => Stmt::For { var, begin, end, kind, body: scope.stmts },
        Header::If { cond } => Stmt::If { cond, body: scope.stmts },
    }
}
