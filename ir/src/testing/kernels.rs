//! Random kernels that keep every rule of the verifier.

use super::{Rng, Values, random_scalar};
use crate::dtype::{DType, Scalar};
use crate::expr::Expr;
use crate::kernel::{AccId, Access, BufferParam, BufferRef, Inst, Kernel, Local, LoopKind, Stmt, Val, VarId};
use crate::op::{Binary, Cmp, ReduceOp, Unary};

/// What a random kernel may hold.
#[derive(Clone, Debug)]
pub struct KernelOptions {
    /// Statements, loops not counted.
    pub statements: usize,
    /// Up to this many symbols.
    pub symbols: u32,
    pub dtypes: Vec<DType>,
    /// Instructions that take a condition on a float, round to an integer or read bits.
    pub discontinuous: bool,
}

impl Default for KernelOptions {
    fn default() -> Self {
        KernelOptions { statements: 12, symbols: 2, dtypes: DType::ALL.to_vec(), discontinuous: true }
    }
}

/// A kernel that the verifier accepts. Running it gives no error, but it may report an index error.
pub fn random_kernel(seed: u64, options: &KernelOptions) -> Kernel {
    let mut rng = Rng::new(seed);
    let n_symbols = rng.below(options.symbols as usize + 1) as u32;
    let kernel = Kernel {
        name: "random".into(),
        n_symbols,
        params: Vec::new(),
        locals: Vec::new(),
        aliases: Vec::new(),
        body: Vec::new(),
        locs: Vec::new(),
    };
    let mut g = Generator { rng, kernel, options, left: options.statements, next: 0, loops: Vec::new() };
    let body = if g.rng.one_in(4) { g.block(&mut Vec::new(), 3) } else { vec![g.outer_loop()] };
    Kernel { body, ..g.kernel }
}

struct Generator<'a> {
    rng: Rng,
    kernel: Kernel,
    options: &'a KernelOptions,
    left: usize,
    next: u32,
    /// Open loops: variable and extent; all begin at 0.
    loops: Vec<(u32, Expr, LoopKind)>,
}

/// Values that are visible, with their types.
type Pool = Vec<(Val, DType)>;

impl Generator<'_> {
    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    fn dtype(&mut self) -> DType {
        *self.rng.choose(&self.options.dtypes)
    }

    fn extent(&mut self) -> Expr {
        if self.kernel.n_symbols > 0 && self.rng.one_in(2) {
            let n = Expr::symbol(self.rng.below(self.kernel.n_symbols as usize) as u32);
            return if self.rng.one_in(3) { n.offset(2) } else { n };
        }
        Expr::constant(*self.rng.choose(&[1, 2, 3, 5, 8, 33]))
    }

    fn in_vector(&self) -> bool {
        self.loops.last().is_some_and(|(_, _, kind)| *kind == LoopKind::Vector)
    }

    fn outer_loop(&mut self) -> Stmt {
        self.for_loop(LoopKind::Parallel, 3, &mut Vec::new())
    }

    fn for_loop(&mut self, kind: LoopKind, depth: usize, pool: &mut Pool) -> Stmt {
        let extent = match kind {
            LoopKind::Unroll => Expr::constant(self.rng.between(1, 4)),
            LoopKind::Serial | LoopKind::Parallel | LoopKind::Vector => self.extent(),
        };
        let var = self.fresh();
        self.loops.push((var, extent.clone(), kind));
        let body = self.block(&mut pool.clone(), depth - 1);
        self.loops.pop();
        Stmt::For { var: VarId(var), begin: Expr::default(), end: extent, kind, body }
    }

    fn block(&mut self, pool: &mut Pool, depth: usize) -> Vec<Stmt> {
        let mut out = Vec::new();
        let statements = 2 + self.rng.below(5);
        for _ in 0..statements {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            self.stmt(&mut out, pool, depth);
        }
        // What is computed is also seen.
        if let Some(&(value, dtype)) = pool.last() {
            let buffer = self.output(dtype);
            let index = self.flat_index();
            out.push(Stmt::Store { buffer, index, value });
        }
        out
    }

    fn stmt(&mut self, out: &mut Vec<Stmt>, pool: &mut Pool, depth: usize) {
        let vector = self.in_vector();
        match self.rng.below(12) {
            0 if !vector && depth > 0 => {
                let kind = *self.rng.choose(&[LoopKind::Serial, LoopKind::Vector, LoopKind::Unroll]);
                let inner = self.for_loop(kind, depth, pool);
                out.push(inner);
            }
            1 if !vector && depth > 0 => self.reduction(out, pool, depth),
            2 if !vector && depth > 0 => {
                let cond = self.value(out, pool, DType::Bool);
                let body = self.block(&mut pool.clone(), depth - 1);
                out.push(Stmt::If { cond, body });
            }
            3 if !vector => {
                let dtype = self.dtype();
                let value = self.value(out, pool, dtype);
                let ops: Vec<Binary> =
                    Binary::ALL.iter().copied().filter(|b| b.domain().contains(dtype)).collect();
                let op = *self.rng.choose(&ops);
                let (buffer, index) = (self.output(dtype), self.flat_index());
                out.push(Stmt::Store { buffer, index: index.clone(), value });
                out.push(Stmt::Update { buffer, index, op, value });
            }
            4 if !vector => self.scratch(out, pool),
            5 => self.checked(out, pool),
            6 | 7 => {
                let dtype = self.dtype();
                self.load(out, pool, dtype);
            }
            _ => self.instruction(out, pool),
        }
    }

    fn let_(&mut self, out: &mut Vec<Stmt>, pool: &mut Pool, dtype: DType, inst: Inst) -> Val {
        let dst = Val(self.fresh());
        out.push(Stmt::Let { dst, dtype, inst });
        pool.push((dst, dtype));
        dst
    }

    /// A visible value of a type, made if there is none.
    fn value(&mut self, out: &mut Vec<Stmt>, pool: &mut Pool, dtype: DType) -> Val {
        let found: Vec<Val> = pool.iter().filter(|(_, d)| *d == dtype).map(|(v, _)| *v).collect();
        if !found.is_empty() && !self.rng.one_in(4) {
            return *self.rng.choose(&found);
        }
        if self.rng.one_in(2) {
            return self.load(out, pool, dtype);
        }
        let value = random_scalar(&mut self.rng, dtype, Values::Tame);
        self.let_(out, pool, dtype, Inst::Const(value))
    }

    fn load(&mut self, out: &mut Vec<Stmt>, pool: &mut Pool, dtype: DType) -> Val {
        let (index, len) = self.read_index();
        let buffer = self.input(dtype, len);
        self.let_(out, pool, dtype, Inst::Load { buffer, index })
    }

    fn input(&mut self, dtype: DType, len: Expr) -> BufferRef {
        let fits = |p: &BufferParam| p.dtype == dtype && p.len == len && p.access == Access::Read;
        let at = self.kernel.params.iter().position(fits);
        let at = at.filter(|_| !self.rng.one_in(3)).unwrap_or_else(|| {
            let name = format!("x{}", self.kernel.params.len());
            self.kernel.params.push(BufferParam { name, dtype, len, access: Access::Read });
            self.kernel.params.len() - 1
        });
        BufferRef::Param(at as u32)
    }

    /// A buffer for one store alone, with an element for each iteration.
    fn output(&mut self, dtype: DType) -> BufferRef {
        let len = self.loops.iter().fold(Expr::constant(1), |n, (_, extent, _)| n.mul(extent));
        let name = format!("y{}", self.kernel.params.len());
        self.kernel.params.push(BufferParam { name, dtype, len, access: Access::Write });
        BufferRef::Param(self.kernel.params.len() as u32 - 1)
    }

    /// The number of the iteration, different for each.
    fn flat_index(&self) -> Expr {
        self.loops.iter().fold(Expr::default(), |i, (var, extent, _)| i.mul(extent).add(&Expr::var(*var)))
    }

    /// An index and a length that it stays below: strides, repetition, reversal, windows, remainders.
    fn read_index(&mut self) -> (Expr, Expr) {
        let mut used: Vec<(Expr, Expr)> = Vec::new();
        for i in 0..self.loops.len() {
            if !self.rng.one_in(3) {
                let (var, extent, _) = &self.loops[i];
                used.push((Expr::var(*var), extent.clone()));
            }
        }
        if used.len() > 1 && self.rng.one_in(3) {
            used.reverse();
        }
        let (mut index, mut len) = (Expr::default(), Expr::constant(1));
        for (var, extent) in used {
            index = index.mul(&extent).add(&var);
            len = len.mul(&extent);
        }
        let k = self.rng.between(1, 3);
        match self.rng.below(8) {
            0 => (len.offset(-1).sub(&index), len),
            1 => (index.offset(k), len.offset(k)),
            2 => (index.scale(k), len.scale(k)),
            3 => (index.offset(k).modulo(&len), len),
            4 => (index.offset(-k).clamp_index(&len), len),
            5 => (index.floor_div(&Expr::constant(k)), len),
            _ => (index, len),
        }
    }

    fn instruction(&mut self, out: &mut Vec<Stmt>, pool: &mut Pool) {
        let dtype = self.dtype();
        let a = self.value(out, pool, dtype);
        let inst = match self.rng.below(8) {
            0 => {
                let smooth =
                    |u: Unary| self.options.discontinuous || !matches!(u, Unary::Floor | Unary::Round);
                let ops: Vec<Unary> =
                    Unary::ALL.iter().copied().filter(|u| u.domain().contains(dtype) && smooth(*u)).collect();
                if ops.is_empty() {
                    return;
                }
                Inst::Unary(*self.rng.choose(&ops), a)
            }
            1..=3 => {
                let smooth = |b: Binary| self.options.discontinuous || b != Binary::Rem;
                let ops: Vec<Binary> = Binary::ALL
                    .iter()
                    .copied()
                    .filter(|b| b.domain().contains(dtype) && smooth(*b))
                    .collect();
                let op = *self.rng.choose(&ops);
                Inst::Binary(op, a, self.value(out, pool, dtype))
            }
            4 if dtype.is_float() => {
                let b = self.value(out, pool, dtype);
                Inst::Fma(a, b, self.value(out, pool, dtype))
            }
            5 => {
                let (b, c) = (self.value(out, pool, dtype), self.value(out, pool, DType::Bool));
                Inst::Select(c, a, b)
            }
            6 if self.options.discontinuous || !dtype.is_float() => {
                let op = *self.rng.choose(&Cmp::ALL);
                let inst = Inst::Cmp(op, a, self.value(out, pool, dtype));
                self.let_(out, pool, DType::Bool, inst);
                return;
            }
            7 => {
                let to = self.dtype();
                let bits = to.size() == dtype.size() && to != DType::Bool && dtype != DType::Bool;
                let inst = match (bits && self.rng.one_in(3), dtype.is_float() && !to.is_float()) {
                    (true, _) if self.options.discontinuous => Inst::Bitcast(a),
                    (_, true) if !self.options.discontinuous => return,
                    _ => Inst::Cast(a),
                };
                self.let_(out, pool, to, inst);
                return;
            }
            _ => {
                let ints = [DType::I64, DType::I32];
                let to = *self.rng.choose(&ints);
                let index = self.read_index().0;
                self.let_(out, pool, to, Inst::Index(index));
                return;
            }
        };
        self.let_(out, pool, dtype, inst);
    }

    fn reduction(&mut self, out: &mut Vec<Stmt>, pool: &mut Pool, depth: usize) {
        let dtype = self.dtype();
        let ops: Vec<ReduceOp> =
            ReduceOp::ALL.into_iter().filter(|r| r.combine().domain().contains(dtype)).collect();
        if ops.is_empty() {
            return;
        }
        let op = *self.rng.choose(&ops);
        let acc = AccId(self.fresh());
        let init = if self.rng.one_in(2) { op.identity(dtype) } else { Scalar::one(dtype) };
        out.push(Stmt::Acc { acc, dtype, init });
        let kind = *self.rng.choose(&[LoopKind::Vector, LoopKind::Vector, LoopKind::Serial]);
        let Stmt::For { var, begin, end, kind, mut body } = self.for_loop(kind, depth, pool) else { return };
        // The loop is closed; what its body accumulates is loaded inside it.
        self.loops.push((var.0, end.clone(), kind));
        let mut inner = pool.clone();
        let value = self.load(&mut body, &mut inner, dtype);
        self.loops.pop();
        body.push(Stmt::Accumulate { acc, op, value });
        out.push(Stmt::For { var, begin, end, kind, body });
        self.let_(out, pool, dtype, Inst::Read(acc));
    }

    /// A write to scratch and a read of the same element.
    fn scratch(&mut self, out: &mut Vec<Stmt>, pool: &mut Pool) {
        let dtype = self.dtype();
        let value = self.value(out, pool, dtype);
        let name = format!("t{}", self.kernel.locals.len());
        let len = self.rng.between(1, 8);
        self.kernel.locals.push(Local { name, dtype, len: len.into() });
        let buffer = BufferRef::Local(self.kernel.locals.len() as u32 - 1);
        let index = self.flat_index().modulo(&len.into());
        out.push(Stmt::Store { buffer, index: index.clone(), value });
        self.let_(out, pool, dtype, Inst::Load { buffer, index });
    }

    /// A load at an index from data.
    fn checked(&mut self, out: &mut Vec<Stmt>, pool: &mut Pool) {
        let from = *self.rng.choose(&[DType::I64, DType::I32]);
        let value = self.load(out, pool, from);
        let extent = self.extent();
        let index = self.let_(out, pool, DType::I64, Inst::CheckedIndex { value, extent: extent.clone() });
        let dtype = self.dtype();
        let buffer = self.input(dtype, extent);
        self.let_(out, pool, dtype, Inst::Load { buffer, index: Expr::value(index.0) });
    }
}
