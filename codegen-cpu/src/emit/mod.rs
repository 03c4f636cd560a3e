//! Kernel IR to CLIF.
//!
//! Scalar code follows the kernel statement by statement. A vector loop becomes a main loop over whole
//! vectors and a tail: at 512 bits the same vectors under a lane mask, else the same operations on
//! scalars. Both give the same bits, so it does not matter where the tail begins.

mod analysis;
mod arith;
mod convert;
mod index;
mod memory;
mod serial;
mod value;
mod vector;

use crate::error::CodegenError;
use crate::widen::Wide;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, Function, InstBuilder, MemFlagsData, Signature, StackSlot, StackSlotData,
    StackSlotKind, UserFuncName, Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use rustc_hash::{FxHashMap, FxHashSet};
use ttk_ir::kernel::{AccId, Inst, Kernel, LoopKind, Stmt, Val, VarId};
use ttk_ir::{Cmp, DType, Expr, ReduceOp, Scalar};
use value::{Kind, V};
use vector::Lanes;

/// Where `constants` holds `0, 1, ..` as 32-bit lanes and as 64-bit lanes.
pub(crate) const IOTA32: i32 = 0;
pub(crate) const IOTA64: i32 = 64;

/// The constants table of every kernel.
pub(crate) fn constants_table() -> Vec<u8> {
    let narrow = (0..16i32).flat_map(i32::to_le_bytes);
    let wide = (0..8i64).flat_map(i64::to_le_bytes);
    narrow.chain(wide).collect()
}

/// Function under construction and what is known about it.
pub(crate) struct Emitted {
    pub(crate) func: Function,
    /// Bytes at the bottom of the frame that are the function's own.
    pub(crate) fixed: u32,
    /// Whether any vector code was made.
    pub(crate) vectors: bool,
    pub(crate) uses_constants: bool,
}

/// Writes the kernel as CLIF, with vector loops for `wide` registers (`None`: for 128 bits).
pub(crate) fn emit(
    kernel: &Kernel,
    isa: &dyn TargetIsa,
    is_x86: bool,
    wide: Option<Wide>,
    context: &mut FunctionBuilderContext,
) -> Result<Emitted> {
    let mut signature = Signature::new(isa.default_call_conv());
    // buffers, symbols, begin, end, scratch, constants, errors
    signature.params.extend([AbiParam::new(types::I64); 7]);
    let mut func = Function::with_name_signature(UserFuncName::user(0, 0), signature);
    let b = FunctionBuilder::new(&mut func, context);
    let mut g = Gen::new(kernel, b, is_x86, wide)?;
    g.function()?;
    let (fixed, vectors, uses_constants) = (g.frame_used.next_multiple_of(64), g.vectors, g.uses_constants);
    let frame = g.frame;
    g.b.seal_all_blocks();
    g.b.finalize(isa.frontend_config());
    func.sized_stack_slots[frame].size = fixed;
    Ok(Emitted { func, fixed, vectors, uses_constants })
}

/// A loop variable.
#[derive(Clone, Copy)]
enum Binding {
    Value(Value),
    /// A value and a number to add.
    Shifted(Value, i64),
    Number(i64),
}

#[derive(Clone, Copy)]
struct Var {
    binding: Binding,
    depth: u32,
    nonnegative: bool,
}

/// A kernel value: what it is as a scalar, as a vector, or both.
#[derive(Clone, Copy, Default)]
struct Bound {
    scalar: Option<V>,
    vector: Option<V>,
    constant: Option<Scalar>,
    depth: u32,
}

#[derive(Clone, Copy)]
struct Acc {
    dtype: DType,
    state: AccState,
}

#[derive(Clone, Copy)]
enum AccState {
    /// Between statements: a mutable scalar.
    Scalar(Variable),
    /// Inside a vector loop that declares it: this iteration's value.
    Lane(V),
}

struct Entry {
    /// The first byte of each parameter.
    buffers: Vec<Value>,
    /// The first byte of each local.
    locals: Vec<Value>,
    symbols: Vec<Value>,
    begin: Value,
    end: Value,
    constants: Value,
    errors: Value,
}

struct Gen<'a> {
    kernel: &'a Kernel,
    b: FunctionBuilder<'a>,
    is_x86: bool,
    wide: Option<Wide>,
    entry: Entry,
    vars: Vec<Option<Var>>,
    vals: Vec<Bound>,
    dtypes: Vec<Option<DType>>,
    accs: Vec<Option<Acc>>,
    /// Accumulators of the vector loop being written.
    partials: Vec<vector::Partial>,
    /// Set while vector code is being written.
    lanes: Option<Lanes>,
    /// The variable of the vector loop being written.
    lane_var: Option<VarId>,
    /// Values that are constants, of the whole kernel: known before their definition is written.
    constants: FxHashSet<Val>,
    /// Values that say whether one value is less than another.
    less: FxHashMap<Val, (Val, Val)>,
    /// Loops and conditions around the current statement.
    depth: u32,
    /// Nothing around the current statement can keep it from running: loads of unchanging memory may
    /// move out of loops.
    certain: bool,
    /// The function's own memory, and how much of it is in use.
    frame: StackSlot,
    frame_base: Value,
    frame_used: u32,
    vectors: bool,
    uses_constants: bool,
    /// Constants and splats that the current block already has: less for Cranelift to merge.
    cache: FxHashMap<(Key, bool), V>,
    cache_block: Block,
}

/// What is written once a block: a constant by its type and bits, or a scalar in every lane.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Constant(Scalar),
    Splat(Value),
}

type Result<T> = std::result::Result<T, CodegenError>;

impl<'a> Gen<'a> {
    fn new(
        kernel: &'a Kernel,
        mut b: FunctionBuilder<'a>,
        is_x86: bool,
        wide: Option<Wide>,
    ) -> Result<Gen<'a>> {
        let start = b.create_block();
        b.append_block_params_for_function_params(start);
        b.switch_to_block(start);
        let p = b.block_params(start);
        let [buffers, symbols, begin, end, scratch, constants, errors] =
            [p[0], p[1], p[2], p[3], p[4], p[5], p[6]];
        let unchanging = MemFlagsData::trusted().with_readonly().with_can_move();
        let mut table = |at: Value, n: usize| {
            (0..n as i32).map(|k| b.ins().load(types::I64, unchanging, at, 8 * k)).collect()
        };
        let entry = Entry {
            buffers: table(buffers, kernel.params.len()),
            symbols: table(symbols, kernel.n_symbols as usize),
            locals: Vec::new(),
            begin,
            end,
            constants,
            errors,
        };
        let frame_base = b.ins().get_stack_pointer(types::I64);
        // The size is known at the end; slots of the frame are aligned as vectors are.
        let frame = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, 0, 4));
        let mut g = Gen {
            kernel,
            b,
            is_x86,
            wide,
            entry,
            vars: Vec::new(),
            vals: Vec::new(),
            dtypes: Vec::new(),
            accs: Vec::new(),
            partials: Vec::new(),
            lanes: None,
            lane_var: None,
            constants: FxHashSet::default(),
            less: FxHashMap::default(),
            depth: 0,
            certain: true,
            frame,
            frame_base,
            frame_used: 0,
            vectors: false,
            uses_constants: false,
            cache: FxHashMap::default(),
            cache_block: start,
        };
        g.place_locals(scratch)?;
        Ok(g)
    }

    fn function(&mut self) -> Result<()> {
        note_constants(&self.kernel.body, &mut self.constants);
        match self.kernel.parallel_loop() {
            Some((var, begin, _, body)) => {
                let nonnegative = self.is_nonnegative(begin);
                let (first, end) = (self.entry.begin, self.entry.end);
                self.counted(first, end, 1, false, |g, i| {
                    g.bind_var(var, Binding::Value(i), nonnegative);
                    g.block(body)
                })?;
            }
            None => self.block(&self.kernel.body)?,
        }
        self.b.ins().return_(&[]);
        Ok(())
    }

    fn block(&mut self, stmts: &'a [Stmt]) -> Result<()> {
        stmts.iter().try_for_each(|s| self.stmt(s))
    }

    fn stmt(&mut self, stmt: &'a Stmt) -> Result<()> {
        match stmt {
            Stmt::For { var, begin, end, kind, body } => self.loop_of(*var, begin, end, *kind, body),
            Stmt::Let { dst, dtype, inst } => {
                let v = self.inst(inst, *dtype)?;
                self.bind(*dst, *dtype, inst, v);
                Ok(())
            }
            Stmt::Store { buffer, index, value } => {
                let (v, _) = self.val(*value)?;
                self.store_scalar(*buffer, index, v)
            }
            Stmt::Acc { acc, dtype, init } => {
                let v = self.constant(init.cast(*dtype));
                let variable = self.b.declare_var(Kind::of(*dtype).scalar_type());
                self.b.def_var(variable, v.value);
                self.declare_acc(*acc, Acc { dtype: *dtype, state: AccState::Scalar(variable) });
                Ok(())
            }
            Stmt::Accumulate { acc, op, value } => {
                let (v, _) = self.val(*value)?;
                self.accumulate(*acc, *op, v)
            }
            Stmt::Update { buffer, index, op, value } => {
                let (v, dtype) = self.val(*value)?;
                let old = self.load_scalar(*buffer, index)?;
                let new = self.binary(*op, old, v, dtype, [None; 2])?;
                self.store_scalar(*buffer, index, new)
            }
            Stmt::If { cond, body } => {
                let (cond, _) = self.val(*cond)?;
                let (then, done) = (self.b.create_block(), self.b.create_block());
                self.b.ins().brif(cond.value, then, &[], done, &[]);
                self.enter(then);
                let certain = std::mem::replace(&mut self.certain, false);
                self.depth += 1;
                self.block(body)?;
                self.depth -= 1;
                self.certain = certain;
                self.b.ins().jump(done, &[]);
                self.enter(done);
                Ok(())
            }
        }
    }

    fn loop_of(
        &mut self,
        var: VarId,
        begin: &'a Expr,
        end: &'a Expr,
        kind: LoopKind,
        body: &'a [Stmt],
    ) -> Result<()> {
        /// Larger repetitions stay loops.
        const UNROLL_LIMIT: i64 = 16;
        let trips = end.sub(begin);
        let nonnegative = self.is_nonnegative(begin);
        match (kind, begin.as_const(), trips.as_const()) {
            (_, _, Some(n)) if n <= 0 => Ok(()),
            (LoopKind::Unroll, Some(first), Some(n)) if n <= UNROLL_LIMIT => {
                self.depth += 1;
                for i in first..first + n {
                    self.bind_var(var, Binding::Number(i), nonnegative);
                    self.block(body)?;
                }
                self.depth -= 1;
                Ok(())
            }
            (LoopKind::Vector, ..) => self.vector_loop(var, begin, end, body),
            (LoopKind::Serial | LoopKind::Unroll | LoopKind::Parallel, ..) => {
                let (first, last) = (self.expr(begin)?, self.expr(end)?);
                let runs = self.is_positive(&trips);
                self.counted(first, last, 1, runs, |g, i| {
                    g.bind_var(var, Binding::Value(i), nonnegative);
                    g.block(body)
                })
            }
        }
    }

    /// `for i in (begin..end).step_by(step)`; `runs` when the range is known not to be empty.
    ///
    /// The block before the loop head is reached only if the loop runs, so that what moves out of the
    /// loop does not run without it.
    fn counted(
        &mut self,
        begin: Value,
        end: Value,
        step: i64,
        runs: bool,
        body: impl FnOnce(&mut Self, Value) -> Result<()>,
    ) -> Result<()> {
        let (before, done) = (self.b.create_block(), self.b.create_block());
        if runs {
            self.b.ins().jump(before, &[]);
        } else {
            let any = self.b.ins().icmp(IntCC::SignedLessThan, begin, end);
            self.b.ins().brif(any, before, &[], done, &[]);
        }
        self.enter(before);
        let head = self.b.create_block();
        let i = self.b.append_block_param(head, types::I64);
        self.b.ins().jump(head, &[BlockArg::Value(begin)]);
        self.b.switch_to_block(head);
        let certain = self.certain;
        self.certain &= runs;
        self.depth += 1;
        body(self, i)?;
        self.depth -= 1;
        self.certain = certain;
        let next = self.b.ins().iadd_imm_s(i, step);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next, end);
        self.b.ins().brif(more, head, &[BlockArg::Value(next)], done, &[]);
        self.b.seal_block(head);
        self.enter(done);
        Ok(())
    }

    /// Continues in a block all of whose predecessors are known.
    fn enter(&mut self, block: Block) {
        self.b.seal_block(block);
        self.b.switch_to_block(block);
    }

    fn bind_var(&mut self, var: VarId, binding: Binding, nonnegative: bool) {
        let bound = Var { binding, depth: self.depth, nonnegative };
        set(&mut self.vars, var.0, Some(bound), None);
    }

    fn bind(&mut self, dst: Val, dtype: DType, inst: &Inst, v: V) {
        let constant = match inst {
            Inst::Const(s) => Some(*s),
            _ => None,
        };
        if let Inst::Cmp(Cmp::Lt, a, b) = inst {
            self.less.insert(dst, (*a, *b));
        }
        let mut bound = Bound { scalar: Some(v), vector: None, constant, depth: self.depth };
        if self.lanes.is_some() {
            (bound.scalar, bound.vector) = (None, Some(v));
        }
        set(&mut self.vals, dst.0, bound, Bound::default());
        set(&mut self.dtypes, dst.0, Some(dtype), None);
    }

    /// A value in the form the code being written wants, and its element type.
    fn val(&mut self, id: Val) -> Result<(V, DType)> {
        let undefined = CodegenError::Undefined { kernel: self.kernel.name.clone(), what: "value", id: id.0 };
        let bound = self.vals.get(id.0 as usize).copied().unwrap_or_default();
        let Some(dtype) = self.dtypes.get(id.0 as usize).copied().flatten() else { return Err(undefined) };
        let v = match (self.lanes.is_some(), bound.scalar, bound.vector) {
            (true, _, Some(v)) | (false, Some(v), _) => v,
            (true, Some(_), None) if bound.constant.is_some() => {
                self.constant(bound.constant.unwrap_or(Scalar::zero(dtype)))
            }
            (true, Some(s), None) => self.splat(s),
            (_, None, _) => return Err(undefined),
        };
        Ok((v, dtype))
    }

    fn constant_of(&self, id: Val) -> Option<Scalar> {
        self.vals.get(id.0 as usize).and_then(|b| b.constant)
    }

    fn inst(&mut self, inst: &'a Inst, dtype: DType) -> Result<V> {
        match inst {
            Inst::Const(s) => Ok(self.constant(s.cast(dtype))),
            Inst::Load { buffer, index } => match self.lanes {
                None => self.load_scalar(*buffer, index),
                Some(_) => self.load_vector(*buffer, index),
            },
            Inst::Read(acc) => self.read(*acc),
            Inst::Index(e) => match self.lanes {
                None => {
                    let value = self.expr(e)?;
                    let v = self.convert(V { value, kind: Kind::I64 }, DType::I64, dtype)?;
                    Ok(v)
                }
                Some(_) => self.index_vector(e, dtype),
            },
            Inst::CheckedIndex { value, extent } => {
                let (v, from) = self.val(*value)?;
                let v = self.convert(v, from, DType::I64)?;
                self.checked_index(v, extent)
            }
            Inst::Unary(op, a) => {
                let (a, from) = self.val(*a)?;
                self.unary(*op, a, from)
            }
            Inst::Binary(op, a, b) => {
                let known = [self.constant_of(*a), self.constant_of(*b)];
                let ((a, from), (b, _)) = (self.val(*a)?, self.val(*b)?);
                self.binary(*op, a, b, from, known)
            }
            Inst::Fma(a, b, c) => {
                let ((a, from), (b, _), (c, _)) = (self.val(*a)?, self.val(*b)?, self.val(*c)?);
                self.fma(a, b, c, from)
            }
            Inst::Cmp(op, a, b) => {
                let ((a, from), (b, _)) = (self.val(*a)?, self.val(*b)?);
                Ok(self.compare(*op, a, b, from))
            }
            Inst::Select(c, a, b) => {
                let less = self.less.get(c).copied();
                let ((c, _), (x, _), (y, _)) = (self.val(*c)?, self.val(*a)?, self.val(*b)?);
                let float = matches!(x.kind, Kind::F32 | Kind::F64) && y.kind == x.kind;
                match less {
                    Some(ab) if self.lanes.is_some() && float && (ab == (*a, *b) || ab == (*b, *a)) => {
                        Ok(self.chosen_by_size(ab == (*b, *a), x, y))
                    }
                    _ => Ok(self.select(c, x, y)),
                }
            }
            Inst::Cast(a) => {
                let (a, from) = self.val(*a)?;
                self.convert(a, from, dtype)
            }
            Inst::Bitcast(a) => {
                let (a, from) = self.val(*a)?;
                self.reinterpret(a, from, dtype)
            }
        }
    }

    /// `value` when `0 <= value < extent`, else 0 and the error word is set.
    fn checked_index(&mut self, v: V, extent: &Expr) -> Result<V> {
        let extent = self.expr(extent)?;
        let ok = self.b.ins().icmp(IntCC::UnsignedLessThan, v.value, extent);
        let (bad, good) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(ok, good, &[], bad, &[]);
        self.b.set_cold_block(bad);
        self.enter(bad);
        let one = self.b.ins().iconst(types::I32, 1);
        self.b.ins().store(MemFlagsData::trusted(), one, self.entry.errors, 0);
        self.b.ins().jump(good, &[]);
        self.enter(good);
        let zero = self.b.ins().iconst(types::I64, 0);
        let value = self.b.ins().select(ok, v.value, zero);
        Ok(V { value, kind: Kind::I64 })
    }

    fn declare_acc(&mut self, acc: AccId, state: Acc) {
        set(&mut self.accs, acc.0, Some(state), None);
    }

    fn acc(&self, acc: AccId) -> Result<Acc> {
        self.accs.get(acc.0 as usize).copied().flatten().ok_or_else(|| CodegenError::Undefined {
            kernel: self.kernel.name.clone(),
            what: "accumulator",
            id: acc.0,
        })
    }

    fn read(&mut self, acc: AccId) -> Result<V> {
        let Acc { dtype, state } = self.acc(acc)?;
        Ok(match state {
            AccState::Lane(v) => v,
            AccState::Scalar(variable) => {
                let scalar = V { value: self.b.use_var(variable), kind: Kind::of(dtype) };
                if self.lanes.is_some() { self.splat(scalar) } else { scalar }
            }
        })
    }

    fn accumulate(&mut self, acc: AccId, op: ReduceOp, v: V) -> Result<()> {
        if let Some(at) = self.partials.iter().position(|p| p.acc == acc) {
            return self.accumulate_partial(at, v);
        }
        let old = self.read(acc)?;
        let Acc { dtype, state } = self.acc(acc)?;
        let new = self.combine(op, old, v, dtype)?;
        match state {
            AccState::Scalar(variable) => self.b.def_var(variable, new.value),
            AccState::Lane(_) => self.declare_acc(acc, Acc { dtype, state: AccState::Lane(new) }),
        }
        Ok(())
    }

    /// What `make` makes, once a block.
    fn cached(&mut self, key: Key, make: impl FnOnce(&mut Self) -> V) -> V {
        let block = self.b.current_block().unwrap_or(self.cache_block);
        if block != self.cache_block {
            self.cache.clear();
            self.cache_block = block;
        }
        let key = (key, self.lanes.is_some());
        if let Some(v) = self.cache.get(&key) {
            return *v;
        }
        let v = make(self);
        self.cache.insert(key, v);
        v
    }

    /// A constant, in every lane when vector code is being written.
    fn constant(&mut self, s: Scalar) -> V {
        self.cached(Key::Constant(s), |g| g.new_constant(s))
    }

    fn new_constant(&mut self, s: Scalar) -> V {
        let kind = Kind::of(s.dtype);
        if kind == Kind::Bool && self.lanes.is_some() {
            let ones = self.b.ins().iconst(types::I32, -i64::from(s.bits as u8 & 1) & 0xffff_ffff);
            let value = self.b.ins().splat(types::I32X4, ones);
            return V { value, kind: Kind::Mask32 };
        }
        let value = match kind {
            Kind::F32 => self.b.ins().f32const(Ieee32::with_float(s.as_f64() as f32)),
            Kind::F64 => self.b.ins().f64const(Ieee64::with_bits(s.bits)),
            Kind::Bool => self.b.ins().iconst(types::I8, i64::from(s.bits as u8 & 1)),
            Kind::I32 => self.b.ins().iconst(types::I32, i64::from(s.bits as u32)),
            Kind::I64 | Kind::Mask32 | Kind::Mask64 => self.b.ins().iconst(types::I64, s.bits as i64),
        };
        if self.lanes.is_some() { self.new_splat(V { value, kind }) } else { V { value, kind } }
    }

    /// A number of a kind, as [`Gen::constant`].
    fn number(&mut self, kind: Kind, n: i64) -> V {
        let dtype = match kind {
            Kind::Bool | Kind::Mask32 | Kind::I32 => DType::I32,
            Kind::Mask64 | Kind::I64 => DType::I64,
            Kind::F32 => DType::F32,
            Kind::F64 => DType::F64,
        };
        let v = self.constant(Scalar::from_i64(dtype, n));
        V { value: v.value, kind: v.kind }
    }

    /// A scalar in every lane.
    fn splat(&mut self, s: V) -> V {
        self.cached(Key::Splat(s.value), |g| g.new_splat(s))
    }

    fn new_splat(&mut self, s: V) -> V {
        let (value, kind) = match s.kind {
            Kind::Bool => (self.b.ins().bmask(types::I32, s.value), Kind::Mask32),
            other => (s.value, other),
        };
        V { value: self.b.ins().splat(kind.vector_type(), value), kind }
    }

    /// The CLIF type of a kind in the code being written.
    fn ty(&self, kind: Kind) -> cranelift_codegen::ir::Type {
        if self.lanes.is_some() { kind.vector_type() } else { kind.scalar_type() }
    }

    fn malformed<T>(&self, rule: &'static str) -> Result<T> {
        Err(CodegenError::Malformed { kernel: self.kernel.name.clone(), rule })
    }
}

fn note_constants(stmts: &[Stmt], found: &mut FxHashSet<Val>) {
    for stmt in stmts {
        match stmt {
            Stmt::For { body, .. } | Stmt::If { body, .. } => note_constants(body, found),
            Stmt::Let { dst, inst: Inst::Const(_), .. } => {
                found.insert(*dst);
            }
            Stmt::Let { .. }
            | Stmt::Store { .. }
            | Stmt::Acc { .. }
            | Stmt::Accumulate { .. }
            | Stmt::Update { .. } => {}
        }
    }
}

/// Puts a value at a number of a growing list.
fn set<T: Clone>(list: &mut Vec<T>, id: u32, value: T, empty: T) {
    let at = id as usize;
    if list.len() <= at {
        list.resize(at + 1, empty);
    }
    list[at] = value;
}
