//! One call of an operator: its parsed arguments, the recorder, and what it gives back.

use super::args::{Arg, Number};
use super::promote::{Promotable, result_type};
use super::table::Row;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::node::Value;
use crate::random::Generator;
use crate::record::Recorder;
use crate::tensor::Tensor;
use crate::view::Dims;
use std::sync::Arc;
use ttk_ir::{Builder, DType, Shape};

/// What an operator gives back.
#[derive(Clone, Debug)]
pub enum Returned {
    Tensor(Tensor),
    /// A tuple, or a named tuple when names are given.
    Tuple {
        names: &'static [&'static str],
        items: Vec<Tensor>,
    },
    /// A list of tensors.
    List(Vec<Tensor>),
    Number(Number),
    DType(DType),
    Ints(Dims),
    None,
}

/// A tensor or a number, as an operand of arithmetic.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    Tensor(&'a Tensor),
    Number(Number),
}

impl Operand<'_> {
    pub fn promotable(&self) -> Promotable {
        match self {
            Operand::Tensor(t) => match t.rank_and_dtype() {
                (0, dtype) => Promotable::ZeroDim(dtype),
                (_, dtype) => Promotable::Tensor(dtype),
            },
            Operand::Number(n) => Promotable::Number(*n),
        }
    }

    pub fn dtype(&self) -> DType {
        match self {
            Operand::Tensor(t) => t.dtype(),
            Operand::Number(n) => n.default_dtype(),
        }
    }
}

/// A call: arguments in the order of the signature's parameters, defaults filled in.
#[derive(Debug)]
pub struct Call<'a> {
    pub row: &'static Row,
    /// Which of the row's signatures was met.
    pub overload: usize,
    pub args: &'a [Arg],
    pub b: Recorder,
}

impl<'a> Call<'a> {
    pub fn new(row: &'static Row, overload: usize, args: &'a [Arg]) -> Call<'a> {
        Call { row, overload, args, b: Recorder::new() }
    }

    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// A `RuntimeError` of this operator.
    pub fn error(&self, detail: impl Into<String>) -> Error {
        Error::op(self.row.name, detail)
    }

    /// The parser has checked types, so a mismatch here is a defect of the row.
    fn mismatch(&self, i: usize) -> Error {
        Error::Internal { detail: format!("{}: argument {i} is {:?}", self.row.name, self.args.get(i)) }
    }

    pub fn given(&self, i: usize) -> bool {
        self.args.get(i).is_some_and(|a| !a.is_none())
    }

    pub fn tensor(&self, i: usize) -> Result<Tensor> {
        match &self.args[i] {
            Arg::Tensor(t) => Ok(t.clone()),
            _ => Err(self.mismatch(i)),
        }
    }

    pub fn opt_tensor(&self, i: usize) -> Result<Option<Tensor>> {
        if self.given(i) { self.tensor(i).map(Some) } else { Ok(None) }
    }

    /// The tensor's value.
    pub fn value(&self, i: usize) -> Result<Value> {
        match &self.args[i] {
            Arg::Tensor(t) => Ok(t.value()),
            _ => Err(self.mismatch(i)),
        }
    }

    pub fn opt_value(&self, i: usize) -> Result<Option<Value>> {
        self.opt_tensor(i).map(|t| t.map(|t| t.value()))
    }

    pub fn tensors(&self, i: usize) -> Result<&'a [Tensor]> {
        match &self.args[i] {
            Arg::Tensors(t) => Ok(t),
            _ => Err(self.mismatch(i)),
        }
    }

    pub fn operand(&self, i: usize) -> Result<Operand<'a>> {
        match &self.args[i] {
            Arg::Tensor(t) => Ok(Operand::Tensor(t)),
            Arg::Number(n) => Ok(Operand::Number(*n)),
            _ => Err(self.mismatch(i)),
        }
    }

    pub fn opt_operand(&self, i: usize) -> Result<Option<Operand<'a>>> {
        if self.given(i) { self.operand(i).map(Some) } else { Ok(None) }
    }

    pub fn number(&self, i: usize) -> Result<Number> {
        match &self.args[i] {
            Arg::Number(n) => Ok(*n),
            Arg::Int(n) => Ok(Number::Int(*n)),
            _ => Err(self.mismatch(i)),
        }
    }

    pub fn opt_number(&self, i: usize) -> Result<Option<Number>> {
        if self.given(i) { self.number(i).map(Some) } else { Ok(None) }
    }

    pub fn float(&self, i: usize) -> Result<f64> {
        self.number(i).map(Number::as_f64)
    }

    pub fn opt_float(&self, i: usize) -> Result<Option<f64>> {
        self.opt_number(i).map(|n| n.map(Number::as_f64))
    }

    pub fn int(&self, i: usize) -> Result<i64> {
        match &self.args[i] {
            Arg::Int(n) => Ok(*n),
            _ => Err(self.mismatch(i)),
        }
    }

    pub fn opt_int(&self, i: usize) -> Result<Option<i64>> {
        if self.given(i) { self.int(i).map(Some) } else { Ok(None) }
    }

    pub fn bool(&self, i: usize) -> Result<bool> {
        match &self.args[i] {
            Arg::Bool(b) => Ok(*b),
            Arg::None => Ok(false),
            _ => Err(self.mismatch(i)),
        }
    }

    pub fn ints(&self, i: usize) -> Result<&'a [i64]> {
        match &self.args[i] {
            Arg::Ints(v) => Ok(v),
            _ => Err(self.mismatch(i)),
        }
    }

    pub fn opt_ints(&self, i: usize) -> Result<Option<&'a [i64]>> {
        if self.given(i) { self.ints(i).map(Some) } else { Ok(None) }
    }

    /// A list of `N` integers, or one that stands for all.
    pub fn ints_of<const N: usize>(&self, i: usize) -> Result<[i64; N]> {
        let v = self.ints(i)?;
        match v {
            [one] => Ok([*one; N]),
            _ => v.try_into().map_err(|_| self.error(format!("expected {N} values, got {}", v.len()))),
        }
    }

    pub fn str(&self, i: usize) -> Result<&'a str> {
        match &self.args[i] {
            Arg::Str(s) => Ok(s),
            _ => Err(self.mismatch(i)),
        }
    }

    pub fn opt_str(&self, i: usize) -> Result<Option<&'a str>> {
        if self.given(i) { self.str(i).map(Some) } else { Ok(None) }
    }

    pub fn opt_dtype(&self, i: usize) -> Result<Option<DType>> {
        match &self.args[i] {
            Arg::DType(d) => Ok(Some(*d)),
            Arg::None => Ok(None),
            _ => Err(self.mismatch(i)),
        }
    }

    /// The generator given, or the default one.
    pub fn generator(&self, i: usize) -> Result<Arc<Generator>> {
        match self.args.get(i) {
            Some(Arg::Generator(g)) => {
                let wanted = match crate::device::place() {
                    Device::Cpu => "cpu",
                    Device::Cuda(_) => "cuda",
                    Device::Meta => return Ok(g.clone()),
                };
                let found = if g.gpu().is_some() { "cuda" } else { "cpu" };
                if found != wanted {
                    return Err(Error::runtime(format!(
                        "Expected a '{wanted}' device type for generator but found '{found}'"
                    )));
                }
                Ok(g.clone())
            }
            Some(Arg::None) | None => Ok(crate::random::default_generator()),
            _ => Err(self.mismatch(i)),
        }
    }

    /// Argument `i` as an axis of a tensor of `rank` axes, counted from 0.
    pub fn dim(&self, i: usize, rank: usize) -> Result<usize> {
        normalize_dim(self.int(i)?, rank)
    }

    /// Argument `i` as axes; `None` and the empty list mean all.
    pub fn dims_or_all(&self, i: usize, rank: usize) -> Result<Vec<usize>> {
        match &self.args[i] {
            Arg::None => Ok((0..rank).collect()),
            Arg::Int(d) => Ok(vec![normalize_dim(*d, rank)?]).map(|v| if rank == 0 { vec![] } else { v }),
            Arg::Ints(d) if d.is_empty() => Ok((0..rank).collect()),
            Arg::Ints(d) => normalize_dims(d, rank),
            _ => Err(self.mismatch(i)),
        }
    }

    /// The common type of some operands.
    pub fn promote(&self, operands: &[&Operand<'_>]) -> DType {
        let p: smallvec::SmallVec<[Promotable; 4]> = operands.iter().map(|o| o.promotable()).collect();
        result_type(&p)
    }

    /// An operand as a value of the given type, with its own shape (numbers are 0-d).
    pub fn operand_value(&mut self, operand: &Operand<'_>, dtype: DType) -> Value {
        match operand {
            Operand::Tensor(t) => {
                let v = t.value();
                self.b.cast(&v, dtype)
            }
            Operand::Number(n) => self.b.constant(n.scalar(dtype), Shape::new()),
        }
    }

    /// Two operands promoted to `dtype` and broadcast against each other.
    pub fn broadcast_pair(
        &mut self,
        x: &Operand<'_>,
        y: &Operand<'_>,
        dtype: DType,
    ) -> Result<(Value, Value)> {
        if let (Operand::Tensor(a), Operand::Tensor(b)) = (x, y) {
            let (a, b) = (a.value(), b.value());
            if a.ty.shape == b.ty.shape {
                return Ok((self.b.cast(&a, dtype), self.b.cast(&b, dtype)));
            }
        }
        let shape = match (x, y) {
            (Operand::Tensor(a), Operand::Tensor(b)) => broadcast_sizes(&a.sizes(), &b.sizes())?,
            (Operand::Tensor(a), Operand::Number(_)) | (Operand::Number(_), Operand::Tensor(a)) => a.sizes(),
            (Operand::Number(_), Operand::Number(_)) => Dims::new(),
        };
        let shape = ttk_ir::shape::shape(&shape);
        let mut one = |o: &Operand<'_>| match o {
            Operand::Tensor(t) => {
                let v = t.value();
                let v = self.b.cast(&v, dtype);
                self.b.broadcast(&v, &shape)
            }
            Operand::Number(n) => self.b.constant(n.scalar(dtype), shape.clone()),
        };
        Ok((one(x), one(y)))
    }

    /// Values broadcast to their common shape.
    pub fn broadcast_all(&mut self, values: &[Value]) -> Result<Vec<Value>> {
        let mut sizes = Dims::new();
        for v in values {
            sizes = broadcast_sizes(&sizes, &v.dims())?;
        }
        let shape = ttk_ir::shape::shape(&sizes);
        Ok(values.iter().map(|v| self.b.broadcast(v, &shape)).collect())
    }
}

/// NumPy's broadcasting of two shapes.
///
/// # Errors
/// [`Error::Broadcast`], in PyTorch's words.
pub fn broadcast_sizes(a: &[i64], b: &[i64]) -> Result<Dims> {
    // A comparison of nothing is asked first: with AVX-512 it reads where nothing is, under a mask, which is slow.
    if a.is_empty() || !b.is_empty() && a == b {
        return Ok(if a.is_empty() { b } else { a }.into());
    }
    let rank = a.len().max(b.len());
    let at = |s: &[i64], i: usize| if i + s.len() >= rank { s[i + s.len() - rank] } else { 1 };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (x, 1) => Ok(x),
            (1, y) => Ok(y),
            (x, y) => Err(Error::Broadcast { a: x, b: y, dim: i }),
        })
        .collect()
}

/// An axis counted from 0; a negative one counts from the end. A 0-d tensor has axes 0 and -1.
///
/// # Errors
/// [`Error::DimRange`].
pub fn normalize_dim(dim: i64, rank: usize) -> Result<usize> {
    let r = (rank as i64).max(1);
    if dim < -r || dim >= r {
        return Err(Error::DimRange { low: -r, high: r - 1, got: dim });
    }
    Ok(if dim < 0 { dim + r } else { dim } as usize)
}

/// Several axes, distinct.
///
/// # Errors
/// [`Error::DimRange`], or an axis given twice.
pub fn normalize_dims(dims: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut out: Vec<usize> = Vec::with_capacity(dims.len());
    for &d in dims {
        let d = normalize_dim(d, rank)?;
        if out.contains(&d) {
            return Err(Error::runtime(format!("dim {d} appears multiple times in the list of dims")));
        }
        out.push(d);
    }
    if rank == 0 {
        out.clear();
    }
    Ok(out)
}

impl From<Tensor> for Returned {
    fn from(t: Tensor) -> Returned {
        Returned::Tensor(t)
    }
}

impl From<Value> for Returned {
    fn from(v: Value) -> Returned {
        Returned::Tensor(Tensor::from_value(v))
    }
}
