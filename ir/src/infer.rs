//! The result type of each operation, and the rules its operands must keep.
//!
//! The rules are numbered, and an error names the operation, the rule and the types at hand.

use crate::dtype::DType;
use crate::op::{Op, SliceDim};
use crate::shape::{Dim, Shape, Type, numel};
use smallvec::SmallVec;
use thiserror::Error;

/// Why an operation cannot be applied to its operands.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum InferError {
    #[error("{op}: expected {expected} operands, got {got}")]
    Arity { op: &'static str, expected: usize, got: usize },
    #[error("{op}: element type {dtype} is outside the operation's domain")]
    Domain { op: &'static str, dtype: DType },
    #[error("{op}: operands have different types: {}", types(.operands))]
    Mismatch { op: &'static str, operands: Vec<Type> },
    #[error("{op}: {rule}; operands: {}", types(.operands))]
    Rule { op: &'static str, rule: &'static str, operands: Vec<Type> },
    #[error("param: index {index} out of order, expected {expected}")]
    ParamOrder { index: u32, expected: u32 },
}

fn types(operands: &[Type]) -> String {
    let names: Vec<String> = operands.iter().map(Type::to_string).collect();
    names.join(", ")
}

/// The type of `op` applied to operands of the given types.
///
/// # Errors
/// The first rule that is broken.
pub fn infer(op: &Op, operands: &[&Type]) -> Result<Type, InferError> {
    let name = op.name();
    if let Some(expected) = op.arity()
        && expected != operands.len()
    {
        return Err(InferError::Arity { op: name, expected, got: operands.len() });
    }
    let check = |ok: bool, rule: &'static str| -> Result<(), InferError> {
        if ok {
            return Ok(());
        }
        let operands = operands.iter().map(|t| (*t).clone()).collect();
        Err(InferError::Rule { op: name, rule, operands })
    };
    let same = |a: usize, b: usize| -> Result<(), InferError> {
        if operands[a] == operands[b] {
            return Ok(());
        }
        let operands = operands.iter().map(|t| (*t).clone()).collect();
        Err(InferError::Mismatch { op: name, operands })
    };
    let not_negative = |dims: &[Dim]| dims.iter().all(|d| d.fixed().is_none_or(|v| v >= 0));

    match op {
        Op::Param { dtype, shape, .. } | Op::Iota { dtype, shape, .. } => {
            if let Op::Iota { axis, .. } = op {
                check((*axis as usize) < shape.len(), "the axis is one of the result's")?;
                check(*dtype != DType::Bool, "positions are numbers")?;
            }
            check(not_negative(shape), "sizes are not negative")?;
            Ok(Type { dtype: *dtype, shape: shape.clone() })
        }
        Op::Const { value, shape } => {
            check(not_negative(shape), "sizes are not negative")?;
            Ok(Type { dtype: value.dtype, shape: shape.clone() })
        }
        Op::RandomBits { stream, shape } => {
            let state = operands[0];
            let len = Dim::Fixed(stream.state_len() as i64);
            check(
                state.dtype == DType::I64 && state.shape.as_slice() == [len],
                "the operand is a generator's state, i64[2], or i64[3] with a number of threads",
            )?;
            check(not_negative(shape), "sizes are not negative")?;
            Ok(Type { dtype: DType::I32, shape: shape.clone() })
        }
        Op::Unary(u) => {
            domain(name, u.domain().contains(operands[0].dtype), operands[0].dtype)?;
            Ok(operands[0].clone())
        }
        Op::Binary(b) => {
            same(0, 1)?;
            domain(name, b.domain().contains(operands[0].dtype), operands[0].dtype)?;
            Ok(operands[0].clone())
        }
        Op::Cmp(_) => {
            same(0, 1)?;
            Ok(operands[0].with_dtype(DType::Bool))
        }
        Op::Select => {
            same(1, 2)?;
            check(operands[0].dtype == DType::Bool, "the condition is bool")?;
            check(operands[0].shape == operands[1].shape, "the condition has the shape of the choices")?;
            Ok(operands[1].clone())
        }
        Op::Cast(dtype) => Ok(operands[0].with_dtype(*dtype)),
        Op::Bitcast(dtype) => {
            check(dtype.size() == operands[0].dtype.size(), "both types have one size")?;
            check(
                *dtype != DType::Bool && operands[0].dtype != DType::Bool,
                "the bits of bool are not all used",
            )?;
            Ok(operands[0].with_dtype(*dtype))
        }

        Op::Reshape(shape) => {
            check(not_negative(shape), "sizes are not negative")?;
            check(numel(shape) == operands[0].numel(), "the number of elements stays")?;
            Ok(Type { dtype: operands[0].dtype, shape: shape.clone() })
        }
        Op::Permute(perm) => {
            let x = operands[0];
            let mut seen = [false; 256];
            let fresh = perm.iter().all(|&a| !std::mem::replace(&mut seen[a as usize], true));
            check(perm.len() == x.rank(), "one entry an axis")?;
            check(fresh && perm.iter().all(|&a| (a as usize) < x.rank()), "each axis occurs once")?;
            Ok(Type { dtype: x.dtype, shape: perm.iter().map(|&a| x.shape[a as usize].clone()).collect() })
        }
        Op::Expand(shape) => {
            let x = operands[0];
            check(shape.len() == x.rank(), "the rank stays")?;
            check(not_negative(shape), "sizes are not negative")?;
            check(
                shape.iter().zip(&x.shape).all(|(to, from)| to == from || from.is_one()),
                "only axes of size 1 grow",
            )?;
            Ok(Type { dtype: x.dtype, shape: shape.clone() })
        }
        Op::Slice(dims) => {
            let x = operands[0];
            check(dims.len() == x.rank(), "one entry an axis")?;
            check(slices_fit(dims, &x.shape), "positions lie inside the operand")?;
            Ok(Type { dtype: x.dtype, shape: dims.iter().map(|d| d.len.clone()).collect() })
        }
        Op::Pad { dims, value } => {
            let x = operands[0];
            check(dims.len() == x.rank(), "one entry an axis")?;
            check(value.dtype == x.dtype, "the value has the operand's type")?;
            check(
                dims.iter().all(|d| {
                    d.interior >= 0
                        && not_negative(std::slice::from_ref(&d.low))
                        && not_negative(std::slice::from_ref(&d.high))
                }),
                "amounts are not negative",
            )?;
            let shape = dims.iter().zip(&x.shape).map(|(d, n)| {
                let inside = match n {
                    Dim::Fixed(0) => Dim::Fixed(0),
                    _ => n.offset(-1).mul(&Dim::Fixed(d.interior.wrapping_add(1))).offset(1),
                };
                inside.add(&d.low).add(&d.high)
            });
            Ok(Type { dtype: x.dtype, shape: shape.collect() })
        }
        Op::Concat { axis } => {
            let axis = *axis as usize;
            check(!operands.is_empty(), "at least one operand")?;
            let first = operands[0];
            check(axis < first.rank(), "the axis is one of the operands'")?;
            let fits = |t: &&Type| {
                t.dtype == first.dtype
                    && t.rank() == first.rank()
                    && (0..t.rank()).all(|i| i == axis || t.shape[i] == first.shape[i])
            };
            check(operands.iter().all(fits), "operands differ only along the axis")?;
            let mut out = first.clone();
            for t in &operands[1..] {
                out.shape[axis] = out.shape[axis].add(&t.shape[axis]);
            }
            Ok(out)
        }
        Op::Update(dims) => {
            let (x, value) = (operands[0], operands[1]);
            check(dims.len() == x.rank() && value.rank() == x.rank(), "one entry an axis")?;
            check(value.dtype == x.dtype, "the value has the operand's type")?;
            check(slices_fit(dims, &x.shape), "positions lie inside the operand")?;
            check(
                dims.iter().zip(&value.shape).all(|(d, n)| d.len == *n),
                "the value has the shape of the slice",
            )?;
            Ok(x.clone())
        }
        Op::Window(dims) => {
            let x = operands[0];
            let mut shape = x.shape.clone();
            for (i, d) in dims.iter().enumerate() {
                check((d.axis as usize) < x.rank(), "the axis is one of the operand's")?;
                check(dims[..i].iter().all(|e| e.axis != d.axis), "each axis occurs once")?;
                check(d.size >= 1 && d.stride >= 1 && d.dilation >= 1, "sizes and steps are positive")?;
                let count = d.count(&x.shape[d.axis as usize]);
                check(count.fixed().is_none_or(|c| c >= 0), "the window fits the axis")?;
                shape[d.axis as usize] = count;
            }
            shape.extend(dims.iter().map(|d| Dim::Fixed(d.size)));
            Ok(Type { dtype: x.dtype, shape })
        }
        Op::Fold { dims, sizes } => {
            let x = operands[0];
            check(sizes.len() == dims.len() && x.rank() >= 2 * dims.len(), "one size a windowed axis")?;
            let rank = x.rank() - dims.len();
            let mut shape: Shape = x.shape[..rank].iter().cloned().collect();
            for (i, (d, size)) in dims.iter().zip(sizes).enumerate() {
                check((d.axis as usize) < rank, "the axis is one of the result's")?;
                check(dims[..i].iter().all(|e| e.axis != d.axis), "each axis occurs once")?;
                check(d.size >= 1 && d.stride >= 1 && d.dilation >= 1, "sizes and steps are positive")?;
                check(
                    x.shape[d.axis as usize] == d.count(size) && x.shape[rank + i] == Dim::Fixed(d.size),
                    "the operand has the shape of the windows",
                )?;
                shape[d.axis as usize] = size.clone();
            }
            domain(name, x.dtype != DType::Bool, x.dtype)?;
            Ok(Type { dtype: x.dtype, shape })
        }

        Op::Gather { axis } => {
            let (data, index) = (operands[0], operands[1]);
            check(matches!(index.dtype, DType::I64 | DType::I32), "the index is i64 or i32")?;
            check(aligned(data, index, *axis), "data and index differ only along the axis")?;
            Ok(Type { dtype: data.dtype, shape: index.shape.clone() })
        }
        Op::Scatter { axis, mode } => {
            let (x, index, updates) = (operands[0], operands[1], operands[2]);
            check(matches!(index.dtype, DType::I64 | DType::I32), "the index is i64 or i32")?;
            check(aligned(x, index, *axis), "operand and index differ only along the axis")?;
            check(
                updates.shape == index.shape && updates.dtype == x.dtype,
                "updates have the index's shape and the operand's type",
            )?;
            if let Some(combine) = mode.combine() {
                domain(name, combine.domain().contains(x.dtype), x.dtype)?;
            }
            Ok(x.clone())
        }
        Op::Reduce { op: reduce, axes } => {
            let x = operands[0];
            domain(name, reduce.combine().domain().contains(x.dtype), x.dtype)?;
            check(axes.windows(2).all(|w| w[0] < w[1]), "axes are sorted and distinct")?;
            check(axes.iter().all(|&a| (a as usize) < x.rank()), "axes are the operand's")?;
            let mut out = x.clone();
            for &a in axes {
                out.shape[a as usize] = Dim::Fixed(1);
            }
            Ok(out)
        }
        Op::Scan { op: reduce, axis, .. } => {
            let x = operands[0];
            domain(name, reduce.combine().domain().contains(x.dtype), x.dtype)?;
            check((*axis as usize) < x.rank(), "the axis is one of the operand's")?;
            Ok(x.clone())
        }
        Op::Argsort { axis, .. } => {
            check((*axis as usize) < operands[0].rank(), "the axis is one of the operand's")?;
            Ok(operands[0].with_dtype(DType::I64))
        }
        Op::Dot { batch, contract } => {
            let (a, b) = (operands[0], operands[1]);
            check(a.dtype == b.dtype, "operands have one element type")?;
            domain(name, a.dtype != DType::Bool, a.dtype)?;
            let (mut used_a, mut used_b) = ([false; 256], [false; 256]);
            for &(i, j) in batch.iter().chain(contract) {
                check((i as usize) < a.rank() && (j as usize) < b.rank(), "paired axes exist")?;
                check(
                    !std::mem::replace(&mut used_a[i as usize], true)
                        && !std::mem::replace(&mut used_b[j as usize], true),
                    "each axis is paired once",
                )?;
                check(a.shape[i as usize] == b.shape[j as usize], "paired axes have one size")?;
            }
            let mut shape: Shape = batch.iter().map(|&(i, _)| a.shape[i as usize].clone()).collect();
            shape.extend((0..a.rank()).filter(|&i| !used_a[i]).map(|i| a.shape[i].clone()));
            shape.extend((0..b.rank()).filter(|&j| !used_b[j]).map(|j| b.shape[j].clone()));
            Ok(Type { dtype: a.dtype, shape })
        }

        Op::Detach | Op::Barrier => Ok(operands[0].clone()),
        Op::Custom { dtype, shape, .. } => {
            check(not_negative(shape), "sizes are not negative")?;
            Ok(Type { dtype: *dtype, shape: shape.clone() })
        }
    }
}

fn domain(op: &'static str, ok: bool, dtype: DType) -> Result<(), InferError> {
    if ok { Ok(()) } else { Err(InferError::Domain { op, dtype }) }
}

/// Whether two operands have one shape but for `axis`.
fn aligned(data: &Type, index: &Type, axis: u8) -> bool {
    let axis = axis as usize;
    data.rank() == index.rank()
        && axis < data.rank()
        && (0..data.rank()).all(|i| i == axis || data.shape[i] == index.shape[i])
}

/// Whether every position of a slice that is known as a number lies inside the operand.
fn slices_fit(dims: &[SliceDim], shape: &[Dim]) -> bool {
    let fits = |d: &SliceDim, n: &Dim| {
        if d.step == 0 {
            return false;
        }
        match (d.start.fixed(), d.len.fixed(), n.fixed()) {
            (_, Some(len), _) if len <= 0 => len == 0,
            (Some(start), Some(len), Some(n)) => {
                let last = start as i128 + (len as i128 - 1) * d.step as i128;
                (0..n).contains(&start) && (0..n as i128).contains(&last)
            }
            _ => true,
        }
    };
    dims.len() == shape.len() && dims.iter().zip(shape).all(|(d, n)| fits(d, n))
}

/// The free axes of each operand of a `dot`, in order: `(lhs, rhs)`.
pub fn dot_free_axes(
    batch: &[(u8, u8)],
    contract: &[(u8, u8)],
    lhs_rank: usize,
    rhs_rank: usize,
) -> (SmallVec<[u8; 4]>, SmallVec<[u8; 4]>) {
    let paired = |axis: u8, left: bool| {
        batch.iter().chain(contract).any(|&(i, j)| if left { i == axis } else { j == axis })
    };
    (
        (0..lhs_rank as u8).filter(|&a| !paired(a, true)).collect(),
        (0..rhs_rank as u8).filter(|&a| !paired(a, false)).collect(),
    )
}
