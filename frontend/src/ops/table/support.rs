//! What rows have in common: arguments taken to values, composites called, results wrapped.

use crate::composite::{Scope, Val};
use crate::error::{Error, Result};
use crate::node::Value;
use crate::ops::call::{Call, Operand, Returned, broadcast_sizes};
use crate::ops::promote::default_float;
use crate::record::Recorder;
use crate::tensor::Tensor;
use ttk_ir::Builder;

/// A value under composition.
pub(super) type V<'r> = Val<'r, Recorder>;

/// A value as a float: integers and bools become the default float type.
pub(super) fn to_float(b: &mut Recorder, x: &Value) -> Value {
    if x.ty.dtype.is_float() { x.clone() } else { b.cast(x, default_float()) }
}

/// A composite of one value, in its own type.
pub(super) fn same1(c: &mut Call<'_>, f: for<'r> fn(&V<'r>) -> V<'r>) -> Result<Returned> {
    let x = c.value(0)?;
    Ok(with1(&mut c.b, &x, f).into())
}

/// A composite of one value; integers become floats.
pub(super) fn float1(c: &mut Call<'_>, f: for<'r> fn(&V<'r>) -> V<'r>) -> Result<Returned> {
    let x = c.value(0)?;
    let x = to_float(&mut c.b, &x);
    Ok(with1(&mut c.b, &x, f).into())
}

/// A composite of one value of a floating type; others are an error, as in PyTorch.
pub(super) fn only_float1(c: &mut Call<'_>, f: impl for<'r> FnOnce(&V<'r>) -> V<'r>) -> Result<Returned> {
    let x = c.value(0)?;
    require_float(c, &x)?;
    Ok(with1(&mut c.b, &x, f).into())
}

pub(super) fn require_float(c: &Call<'_>, x: &Value) -> Result<()> {
    if x.ty.dtype.is_float() {
        return Ok(());
    }
    Err(Error::NotForDtype { op: c.name(), dtype: crate::error::scalar_type_name(x.ty.dtype) })
}

/// Calls a composite of one value.
pub(super) fn with1(b: &mut Recorder, x: &Value, f: impl for<'r> FnOnce(&V<'r>) -> V<'r>) -> Value {
    let scope = Scope::new(b);
    let x = scope.val(x);
    f(&x).into_value()
}

/// Calls a composite of two values.
pub(super) fn with2(
    b: &mut Recorder,
    x: &Value,
    y: &Value,
    f: impl for<'r> FnOnce(&V<'r>, &V<'r>) -> V<'r>,
) -> Value {
    let scope = Scope::new(b);
    let (x, y) = (scope.val(x), scope.val(y));
    f(&x, &y).into_value()
}

/// Calls a composite of three values.
pub(super) fn with3(
    b: &mut Recorder,
    x: &Value,
    y: &Value,
    z: &Value,
    f: impl for<'r> FnOnce(&V<'r>, &V<'r>, &V<'r>) -> V<'r>,
) -> Value {
    let scope = Scope::new(b);
    let (x, y, z) = (scope.val(x), scope.val(y), scope.val(z));
    f(&x, &y, &z).into_value()
}

/// Calls a composite of one value that gives two.
pub(super) fn pair1(
    b: &mut Recorder,
    x: &Value,
    f: impl for<'r> FnOnce(&V<'r>) -> (V<'r>, V<'r>),
) -> (Value, Value) {
    let scope = Scope::new(b);
    let x = scope.val(x);
    let (p, q) = f(&x);
    (p.into_value(), q.into_value())
}

/// A composite of arguments 0 and 1, promoted and broadcast.
pub(super) fn same2(c: &mut Call<'_>, f: for<'r> fn(&V<'r>, &V<'r>) -> V<'r>) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    Ok(with2(&mut c.b, &x, &y, f).into())
}

/// As [`same2`], with integers taken to floats.
pub(super) fn float2(c: &mut Call<'_>, f: for<'r> fn(&V<'r>, &V<'r>) -> V<'r>) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    let dtype = if dtype.is_float() { dtype } else { default_float() };
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    Ok(with2(&mut c.b, &x, &y, f).into())
}

/// Values of operands in their common type, broadcast.
pub(super) fn promoted(c: &mut Call<'_>, operands: &[Operand<'_>]) -> Result<Vec<Value>> {
    let refs: Vec<&Operand<'_>> = operands.iter().collect();
    let dtype = c.promote(&refs);
    let values: Vec<Value> = operands.iter().map(|o| c.operand_value(o, dtype)).collect();
    if values.windows(2).all(|two| two[0].ty.shape == two[1].ty.shape) {
        return Ok(values);
    }
    c.broadcast_all(&values)
}

/// Two results under names.
pub(super) fn named(names: &'static [&'static str], p: Value, q: Value) -> Returned {
    Returned::Tuple { names, items: vec![Tensor::from_value(p), Tensor::from_value(q)] }
}

pub(super) const VALUES_INDICES: &[&str] = &["values", "indices"];

/// A value without some axes of size 1, or with them.
pub(super) fn drop_axes(b: &mut Recorder, x: &Value, axes: &[usize], keep: bool) -> Value {
    if keep {
        return x.clone();
    }
    let shape = x.ty.shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d.clone());
    let shape = shape.collect();
    b.reshape(x, shape)
}

/// Values broadcast against each other, in their own types.
pub(super) fn broadcast2(c: &mut Call<'_>, x: &Value, y: &Value) -> Result<(Value, Value)> {
    let sizes = broadcast_sizes(&x.dims(), &y.dims())?;
    let shape = ttk_ir::shape::shape(&sizes);
    Ok((c.b.broadcast(x, &shape), c.b.broadcast(y, &shape)))
}

/// A 0-d tensor gets one axis, and the result loses it again: for operators along an axis.
pub(super) fn at_least_1d(b: &mut Recorder, x: &Value) -> Value {
    if x.ty.rank() == 0 { b.reshape(x, ttk_ir::shape::shape(&[1])) } else { x.clone() }
}
