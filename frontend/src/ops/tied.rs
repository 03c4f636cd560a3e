//! Operators that a kernel of the runtime computes, with a derivative written over other operators.
//!
//! The autograd crate knows nothing of `Op::Custom`. An operator of this kind names its forward computation,
//! which records kernels, and its derivative, a formula in primitives and other such operators; so derivatives
//! of every order follow. With `create_graph` the derivative sees the results as functions of the operands:
//! they are recorded anew, because results that held the tape would hold themselves alive.

use crate::composite::{Scope, Val};
use crate::error::Error;
use crate::grad::tie_custom;
use crate::node::Value;
use crate::record::{Recorder, grad_enabled, no_grad};
use crate::tensor::Tensor;
use parking_lot::Mutex;
use std::sync::Arc;

/// A value under composition.
pub(crate) type V<'r> = Val<'r, Recorder>;

/// See [`Tied::derivative`].
type Derivative = for<'r> fn(&[i64], &[V<'r>], &[V<'r>], &[Option<V<'r>>]) -> Vec<Option<V<'r>>>;

/// An operator with a derivative of its own.
#[derive(Debug)]
pub(crate) struct Tied {
    pub(crate) name: &'static str,
    /// `(attributes, operands)` to results.
    pub(crate) forward: for<'r> fn(&[i64], &[V<'r>]) -> Vec<V<'r>>,
    /// `(attributes, operands, results, cotangents)` to the operands' cotangents; `None` is zero.
    pub(crate) derivative: Derivative,
}

/// The results of an operator of this kind.
pub(crate) fn apply(op: &'static Tied, attributes: &[i64], inputs: &[Value]) -> Vec<Value> {
    let results = no_grad(|| {
        let mut b = Recorder::new();
        let scope = Scope::new(&mut b);
        let vals: Vec<V<'_>> = inputs.iter().map(|v| scope.val(v)).collect();
        (op.forward)(attributes, &vals).into_iter().map(Val::into_value).collect::<Vec<Value>>()
    });
    if !grad_enabled() || !inputs.iter().any(|v| v.requires_grad) {
        return results;
    }
    let arguments: Vec<Option<Tensor>> = inputs.iter().map(|v| Some(Tensor::from_value(v.clone()))).collect();
    let given: Vec<(Tensor, bool)> =
        results.iter().map(|v| (Tensor::from_value(v.clone()), v.ty.dtype.is_float())).collect();
    let attributes = attributes.to_vec();
    // What the derivative reads, until a backward pass lets go of it: results may be large.
    let saved = Arc::new(Mutex::new(Some((inputs.to_vec(), results))));
    let owned = saved.clone();
    let release = move || drop(owned.lock().take());
    let backward = move |cotangents: &[Option<Tensor>]| {
        let Some((operands, results)) = saved.lock().clone() else { return Err(Error::BackwardTwice) };
        let results = if grad_enabled() { apply(op, &attributes, &operands) } else { results };
        let mut b = Recorder::new();
        let scope = Scope::new(&mut b);
        let (x, y): (Vec<V<'_>>, Vec<V<'_>>) =
            (operands.iter().map(|v| scope.val(v)).collect(), results.iter().map(|v| scope.val(v)).collect());
        let g: Vec<Option<V<'_>>> =
            cotangents.iter().map(|c| c.as_ref().map(|t| scope.val(&t.value()))).collect();
        let parts = (op.derivative)(&attributes, &x, &y, &g);
        Ok(parts.into_iter().map(|p| p.map(|v| Tensor::from_value(v.into_value()))).collect())
    };
    let tied = tie_custom(op.name, &arguments, &given, Box::new(backward), Box::new(release));
    tied.iter().map(Tensor::value).collect()
}

/// [`apply`] within a formula.
pub(crate) fn call<'r>(op: &'static Tied, attributes: &[i64], inputs: &[&V<'r>]) -> Vec<V<'r>> {
    let values: Vec<Value> = inputs.iter().map(|v| v.value().clone()).collect();
    let scope = inputs[0].scope();
    apply(op, attributes, &values).iter().map(|v| scope.val(v)).collect()
}

/// A kernel of the runtime on operands in double precision: `f64` of the given shape.
pub(crate) fn kernel<'r>(name: &str, attributes: &[i64], inputs: &[&V<'r>], sizes: &[i64]) -> V<'r> {
    let wide: Vec<Value> = inputs.iter().map(|v| v.cast(ttk_ir::DType::F64).into_value()).collect();
    let op = ttk_ir::Op::Custom {
        name: name.into(),
        attributes: attributes.into(),
        dtype: ttk_ir::DType::F64,
        shape: ttk_ir::shape::shape(sizes),
    };
    inputs[0].emit(op, &wide)
}
