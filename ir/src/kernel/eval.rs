//! The interpreter of kernels: the oracle for both back ends.
//!
//! Arithmetic is what machine code does: `f32` and `f64` operations round as IEEE says, the 16-bit floats
//! compute in `f32` and round each result, transcendental functions are computed in double precision and
//! rounded. Every access is checked.

use super::{AccId, BufferRef, Inst, Kernel, LoopKind, Stmt, VECTOR_ACCUMULATORS, Val};
use crate::dtype::{DType, Scalar};
use crate::eval::{Tensor, read_scalar, scalar, write_scalar};
use crate::expr::{Atom, Expr};
use crate::op::{Binary, ReduceOp, Unary};
use std::ops::Range;
use thiserror::Error;

/// Memory that an argument of a kernel stands for: part of a block of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arg {
    /// Which block.
    pub block: usize,
    /// Where in the block, in bytes.
    pub offset: usize,
    /// Elements.
    pub len: usize,
}

/// Why a kernel stopped.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum KernelError {
    #[error("kernel {kernel}: expected {expected} arguments, got {got}")]
    ArgCount { kernel: String, expected: usize, got: usize },
    #[error("kernel {kernel}: argument {name} has {got} elements, expected {expected} or more")]
    ArgLen { kernel: String, name: String, expected: i64, got: usize },
    #[error("kernel {kernel}: argument {name} leaves its block of memory")]
    ArgMemory { kernel: String, name: String },
    #[error("kernel {kernel}: access to {buffer} at {index}, which has {len} elements")]
    OutOfBounds { kernel: String, buffer: String, index: i64, len: usize },
    #[error("kernel {kernel}: {what} {id} is used before it is defined")]
    Undefined { kernel: String, what: &'static str, id: u32 },
    #[error("kernel {kernel}: the type {dtype} of value {id} does not fit its use")]
    Type { kernel: String, id: u32, dtype: DType },
    #[error("kernel {kernel}: symbol {symbol} is {value}, but a symbol is at least 1")]
    SymbolValue { kernel: String, symbol: usize, value: i64 },
    #[error("kernel {kernel}: a launch of part of its range, but its body is no parallel loop")]
    NoParallelLoop { kernel: String },
}

/// An index that data gave and that lies outside its axis; the kernel went on with 0 in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("index {index} is out of range for an axis of size {extent}")]
pub struct IndexError {
    pub index: i64,
    pub extent: i64,
}

/// Runs a kernel on parts of `memory`, one for each of its parameters; for the iterations `range` of its
/// parallel loop when there is one. Returns the first index error, if any.
///
/// # Errors
/// Arguments that do not fit the parameters, an access out of bounds, or a kernel that is not well
/// formed. Memory is partly written then.
pub fn eval(
    kernel: &Kernel,
    memory: &mut [Vec<u8>],
    args: &[Arg],
    symbols: &[i64],
    range: Option<Range<i64>>,
) -> Result<Option<IndexError>, KernelError> {
    let mut machine = Machine::new(kernel, memory, args, symbols)?;
    match (kernel.parallel_loop(), range) {
        (Some((var, begin, end, body)), range) => {
            let range = match range {
                Some(range) => range,
                None => machine.expr(begin)?..machine.expr(end)?,
            };
            for i in range {
                machine.poison_locals();
                machine.set_var(var.0, i);
                machine.block(body)?;
            }
        }
        (None, None) => machine.block(&kernel.body)?,
        (None, Some(_)) => return Err(KernelError::NoParallelLoop { kernel: kernel.name.clone() }),
    }
    Ok(machine.index_error)
}

/// [`eval`] on tensors, one for each parameter, that share no memory.
///
/// # Errors
/// As [`eval`].
pub fn eval_on_tensors(
    kernel: &Kernel,
    tensors: &mut [Tensor],
    symbols: &[i64],
) -> Result<Option<IndexError>, KernelError> {
    let mut memory: Vec<Vec<u8>> = tensors.iter_mut().map(|t| std::mem::take(&mut t.data)).collect();
    let arg =
        |(block, t): (usize, &Tensor)| Arg { block, offset: 0, len: memory[block].len() / t.dtype.size() };
    let args: Vec<Arg> = tensors.iter().enumerate().map(arg).collect();
    let outcome = eval(kernel, &mut memory, &args, symbols, None);
    for (t, data) in tensors.iter_mut().zip(memory) {
        t.data = data;
    }
    outcome
}

/// The partial results of an accumulator while a vector loop runs.
struct Partials {
    op: ReduceOp,
    values: [Scalar; VECTOR_ACCUMULATORS],
}

struct Machine<'a> {
    kernel: &'a Kernel,
    memory: &'a mut [Vec<u8>],
    args: &'a [Arg],
    symbols: &'a [i64],
    locals: Vec<Vec<u8>>,
    vars: Vec<Option<i64>>,
    vals: Vec<Option<Scalar>>,
    accs: Vec<Option<Scalar>>,
    partials: Vec<Option<Box<Partials>>>,
    lane: usize,
    index_error: Option<IndexError>,
}

impl<'a> Machine<'a> {
    fn new(
        kernel: &'a Kernel,
        memory: &'a mut [Vec<u8>],
        args: &'a [Arg],
        symbols: &'a [i64],
    ) -> Result<Machine<'a>, KernelError> {
        let name = || kernel.name.clone();
        if args.len() != kernel.params.len() {
            let (expected, got) = (kernel.params.len(), args.len());
            return Err(KernelError::ArgCount { kernel: name(), expected, got });
        }
        if let Some((symbol, &value)) = symbols.iter().enumerate().find(|(_, v)| **v < 1) {
            return Err(KernelError::SymbolValue { kernel: name(), symbol, value });
        }
        let mut machine = Machine {
            kernel,
            memory,
            args,
            symbols,
            locals: Vec::new(),
            vars: Vec::new(),
            vals: Vec::new(),
            accs: Vec::new(),
            partials: Vec::new(),
            lane: 0,
            index_error: None,
        };
        for (param, arg) in kernel.params.iter().zip(args) {
            let expected = machine.expr(&param.len)?;
            if expected > arg.len as i64 {
                let (name, got) = (param.name.clone(), arg.len);
                return Err(KernelError::ArgLen { kernel: kernel.name.clone(), name, expected, got });
            }
            let end = arg.offset + arg.len * param.dtype.size();
            if machine.memory.get(arg.block).is_none_or(|block| end > block.len()) {
                return Err(KernelError::ArgMemory { kernel: name(), name: param.name.clone() });
            }
        }
        for local in &kernel.locals {
            let len = machine.expr(&local.len)?.max(0) as usize;
            machine.locals.push(vec![0; len * local.dtype.size()]);
        }
        machine.poison_locals();
        Ok(machine)
    }

    /// Scratch is undefined at first: bytes that are NaN as any float and unlikely as an integer.
    fn poison_locals(&mut self) {
        for local in &mut self.locals {
            local.fill(0xff);
        }
    }

    fn block(&mut self, stmts: &[Stmt]) -> Result<(), KernelError> {
        stmts.iter().try_for_each(|s| self.stmt(s))
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), KernelError> {
        match stmt {
            Stmt::For { var, begin, end, kind, body } => {
                let range = self.expr(begin)?..self.expr(end)?;
                match kind {
                    LoopKind::Serial | LoopKind::Parallel | LoopKind::Unroll => {
                        for i in range {
                            self.set_var(var.0, i);
                            self.block(body)?;
                        }
                        Ok(())
                    }
                    LoopKind::Vector => self.vector_loop(var.0, range, body),
                }
            }
            Stmt::Let { dst, dtype, inst } => {
                let value = self.inst(*dst, *dtype, inst)?;
                set(&mut self.vals, dst.0, value);
                Ok(())
            }
            Stmt::Store { buffer, index, value } => {
                let index = self.expr(index)?;
                let value = self.val(*value)?;
                self.store(*buffer, index, value)
            }
            Stmt::Acc { acc, dtype, init } => {
                set(&mut self.accs, acc.0, init.cast(*dtype));
                // A declaration inside a vector loop starts afresh for each iteration.
                set(&mut self.partials, acc.0, None);
                Ok(())
            }
            Stmt::Accumulate { acc, op, value } => {
                let value = self.val(*value)?;
                let lane = self.lane;
                if let Some(Some(partials)) = self.partials.get_mut(acc.0 as usize) {
                    partials.values[lane] = arith(op.combine(), partials.values[lane], value);
                    return Ok(());
                }
                let old = self.acc(*acc)?;
                self.accs[acc.0 as usize] = Some(arith(op.combine(), old, value));
                Ok(())
            }
            Stmt::Update { buffer, index, op, value } => {
                let index = self.expr(index)?;
                let value = self.val(*value)?;
                let old = self.load(*buffer, index)?;
                self.store(*buffer, index, arith(*op, old, value))
            }
            Stmt::If { cond, body } => {
                if self.val(*cond)?.bits & 1 == 1 {
                    self.block(body)?;
                }
                Ok(())
            }
        }
    }

    fn vector_loop(&mut self, var: u32, range: Range<i64>, body: &[Stmt]) -> Result<(), KernelError> {
        // What the body accumulates into but does not declare.
        let mut outer: Vec<(AccId, ReduceOp)> = Vec::new();
        for stmt in body {
            if let Stmt::Accumulate { acc, op, .. } = stmt
                && !outer.iter().any(|(a, _)| a == acc)
                && !body.iter().any(|s| matches!(s, Stmt::Acc { acc: declared, .. } if declared == acc))
            {
                outer.push((*acc, *op));
            }
        }
        for &(acc, op) in &outer {
            let identity = op.identity(self.acc(acc)?.dtype);
            let partials = Partials { op, values: [identity; VECTOR_ACCUMULATORS] };
            set(&mut self.partials, acc.0, Box::new(partials));
        }
        for (iteration, i) in range.enumerate() {
            self.lane = iteration % VECTOR_ACCUMULATORS;
            self.set_var(var, i);
            self.block(body)?;
        }
        for (acc, _) in outer {
            if let Some(Some(partials)) = self.partials.get_mut(acc.0 as usize).map(Option::take) {
                let old = self.acc(acc)?;
                self.accs[acc.0 as usize] = Some(arith(partials.op.combine(), old, joined(*partials)));
            }
        }
        Ok(())
    }

    fn inst(&mut self, dst: Val, dtype: DType, inst: &Inst) -> Result<Scalar, KernelError> {
        let value = match inst {
            Inst::Const(value) => *value,
            Inst::Load { buffer, index } => {
                let index = self.expr(index)?;
                self.load(*buffer, index)?
            }
            Inst::Read(acc) => self.acc(*acc)?,
            Inst::Index(e) => Scalar::from_i64(dtype, self.expr(e)?),
            Inst::CheckedIndex { value, extent } => {
                let (index, extent) = (self.val(*value)?.as_i64(), self.expr(extent)?);
                let ok = (0..extent).contains(&index);
                if !ok {
                    self.index_error.get_or_insert(IndexError { index, extent });
                }
                Scalar::from_i64(dtype, if ok { index } else { 0 })
            }
            Inst::Unary(op, a) => arith_unary(*op, self.val(*a)?),
            Inst::Binary(op, a, b) => arith(*op, self.val(*a)?, self.val(*b)?),
            Inst::Fma(a, b, c) => scalar::fma(self.val(*a)?, self.val(*b)?, self.val(*c)?),
            Inst::Cmp(op, a, b) => {
                Scalar::from_i64(DType::Bool, scalar::cmp(*op, self.val(*a)?, self.val(*b)?) as i64)
            }
            Inst::Select(c, a, b) => {
                if self.val(*c)?.bits & 1 == 1 {
                    self.val(*a)?
                } else {
                    self.val(*b)?
                }
            }
            Inst::Cast(a) => self.val(*a)?.cast(dtype),
            Inst::Bitcast(a) => scalar::bitcast(self.val(*a)?, dtype),
        };
        if value.dtype != dtype {
            return Err(KernelError::Type {
                kernel: self.kernel.name.clone(),
                id: dst.0,
                dtype: value.dtype,
            });
        }
        Ok(value)
    }

    fn load(&self, buffer: BufferRef, index: i64) -> Result<Scalar, KernelError> {
        let (dtype, len, offset) = self.element(buffer, index)?;
        let bytes = match buffer {
            BufferRef::Param(p) => &self.memory[self.args[p as usize].block],
            BufferRef::Local(l) => &self.locals[l as usize],
        };
        debug_assert!(index < len as i64);
        Ok(read_scalar(dtype, &bytes[offset..]))
    }

    fn store(&mut self, buffer: BufferRef, index: i64, value: Scalar) -> Result<(), KernelError> {
        let (dtype, _, offset) = self.element(buffer, index)?;
        if value.dtype != dtype {
            let kernel = self.kernel.name.clone();
            return Err(KernelError::Type { kernel, id: u32::MAX, dtype: value.dtype });
        }
        let bytes = match buffer {
            BufferRef::Param(p) => &mut self.memory[self.args[p as usize].block],
            BufferRef::Local(l) => &mut self.locals[l as usize],
        };
        write_scalar(value, &mut bytes[offset..]);
        Ok(())
    }

    /// Type, length and byte position of an element, which must exist.
    fn element(&self, buffer: BufferRef, index: i64) -> Result<(DType, usize, usize), KernelError> {
        let undefined = |id| KernelError::Undefined { kernel: self.kernel.name.clone(), what: "buffer", id };
        let (name, dtype, len, start) = match buffer {
            BufferRef::Param(p) => {
                let param = self.kernel.params.get(p as usize).ok_or_else(|| undefined(p))?;
                let arg = self.args[p as usize];
                (&param.name, param.dtype, arg.len, arg.offset)
            }
            BufferRef::Local(l) => {
                let local = self.kernel.locals.get(l as usize).ok_or_else(|| undefined(l))?;
                (&local.name, local.dtype, self.locals[l as usize].len() / local.dtype.size(), 0)
            }
        };
        if index < 0 || index >= len as i64 {
            let (kernel, buffer) = (self.kernel.name.clone(), name.clone());
            return Err(KernelError::OutOfBounds { kernel, buffer, index, len });
        }
        Ok((dtype, len, start + index as usize * dtype.size()))
    }

    fn set_var(&mut self, id: u32, value: i64) {
        set(&mut self.vars, id, value);
    }

    fn val(&self, id: Val) -> Result<Scalar, KernelError> {
        self.vals.get(id.0 as usize).copied().flatten().ok_or_else(|| self.undefined("value", id.0))
    }

    fn acc(&self, id: AccId) -> Result<Scalar, KernelError> {
        self.accs.get(id.0 as usize).copied().flatten().ok_or_else(|| self.undefined("accumulator", id.0))
    }

    fn undefined(&self, what: &'static str, id: u32) -> KernelError {
        KernelError::Undefined { kernel: self.kernel.name.clone(), what, id }
    }

    fn expr(&self, e: &Expr) -> Result<i64, KernelError> {
        if let Some(c) = e.as_const() {
            return Ok(c);
        }
        let missing = std::cell::Cell::new(None);
        let lookup = |what, id: u32, value: Option<i64>| {
            value.unwrap_or_else(|| {
                missing.set(Some((what, id)));
                0
            })
        };
        let value = e.eval(&|atom| match atom {
            Atom::Symbol(s) => lookup("symbol", *s, self.symbols.get(*s as usize).copied()),
            Atom::Var(v) => lookup("loop variable", *v, self.vars.get(*v as usize).copied().flatten()),
            Atom::Value(v) => {
                lookup("value", *v, self.vals.get(*v as usize).copied().flatten().map(Scalar::as_i64))
            }
            Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => 0,
        });
        match missing.get() {
            Some((what, id)) => Err(self.undefined(what, id)),
            None => Ok(value),
        }
    }
}

/// Partial results joined as a balanced tree.
fn joined(partials: Partials) -> Scalar {
    let (op, mut values) = (partials.op.combine(), partials.values);
    let mut half = VECTOR_ACCUMULATORS / 2;
    while half > 0 {
        for k in 0..half {
            values[k] = arith(op, values[k], values[k + half]);
        }
        half /= 2;
    }
    values[0]
}

/// A unary operation as machine code computes it.
///
/// The basic operations on `f32` are computed in `f32`. Going through `f64` and rounding gives the same
/// bits for them (the tests check it), but the oracle shall not rest on that.
fn arith_unary(op: Unary, x: Scalar) -> Scalar {
    if x.dtype.compute() != DType::F32 {
        return scalar::unary(op, x);
    }
    let v = x.as_f64() as f32;
    let result = match op {
        Unary::Neg => -v,
        Unary::Abs => v.abs(),
        Unary::Floor => v.floor(),
        Unary::Round => v.round_ties_even(),
        Unary::Sqrt => v.sqrt(),
        Unary::Not | Unary::Relu | Unary::Exp | Unary::Expm1 | Unary::Log | Unary::Log1p => {
            return scalar::unary(op, x);
        }
        Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Erf | Unary::Sigmoid => return scalar::unary(op, x),
    };
    Scalar::from_f64(x.dtype, result as f64)
}

/// A binary operation as machine code computes it; see [`arith_unary`].
fn arith(op: Binary, a: Scalar, b: Scalar) -> Scalar {
    if a.dtype.compute() != DType::F32 {
        return scalar::binary(op, a, b);
    }
    let (x, y) = (a.as_f64() as f32, b.as_f64() as f32);
    let result = match op {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Div => x / y,
        Binary::Rem => x % y,
        Binary::Pow | Binary::Max | Binary::Min | Binary::Atan2 => return scalar::binary(op, a, b),
        Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => {
            return scalar::binary(op, a, b);
        }
    };
    Scalar::from_f64(a.dtype, result as f64)
}

/// Puts a value at a number of a growing list.
fn set<T>(list: &mut Vec<Option<T>>, id: u32, value: impl Into<Option<T>>) {
    let at = id as usize;
    if list.len() <= at {
        list.resize_with(at + 1, || None);
    }
    list[at] = value.into();
}
