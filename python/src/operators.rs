//! Python's arithmetic operators on tensors.

use crate::dispatch::{call_directly, call_named};
use crate::object::{as_tensor, tensor_like, wrap};
use crate::parse::number_of;
use pyo3::prelude::*;
use std::sync::OnceLock;
use ttk_frontend::ops::{self, Space};
use ttk_ir::Binary;

pub(crate) type Operand<'py> = Bound<'py, PyAny>;

/// A torch operator that native code calls by name, looked up once.
pub(crate) struct Named {
    pub(crate) name: &'static str,
    found: OnceLock<Option<&'static ops::Operator>>,
}

impl Named {
    pub(crate) const fn new(name: &'static str) -> Named {
        Named { name, found: OnceLock::new() }
    }

    pub(crate) fn operator(&self) -> Option<&'static ops::Operator> {
        *self.found.get_or_init(|| ops::find(Space::Torch, self.name))
    }
}

/// The [`Named`] of a name written in the source.
macro_rules! named {
    ($name:literal) => {{
        static OPERATOR: $crate::operators::Named = $crate::operators::Named::new($name);
        &OPERATOR
    }};
}
pub(crate) use named;

fn is_operand(v: &Operand<'_>) -> bool {
    as_tensor(v).is_some() || number_of(v).is_some()
}

/// `x op y` for an operator that is one operation on tensors of one type and shape; otherwise as [`binary`].
pub(crate) fn arithmetic<'py>(
    named: &Named,
    op: Binary,
    x: &Operand<'py>,
    y: &Operand<'py>,
) -> PyResult<Operand<'py>> {
    match (as_tensor(x), as_tensor(y), named.operator()) {
        (Some(a), Some(b), Some(operator)) => {
            call_directly(x.py(), operator, || ops::direct(operator, op, a, b), &[x, y])
        }
        _ => binary(named, x, y),
    }
}

/// `x @ y`: one operation on two matrices of one type; otherwise as [`binary`].
pub(crate) fn product<'py>(named: &Named, x: &Operand<'py>, y: &Operand<'py>) -> PyResult<Operand<'py>> {
    match (as_tensor(x), as_tensor(y), named.operator()) {
        (Some(a), Some(b), Some(operator)) => {
            call_directly(x.py(), operator, || ops::product(operator, a, b), &[x, y])
        }
        _ => binary(named, x, y),
    }
}

/// `x op y`, or `NotImplemented` where `y` may know what to do.
pub(crate) fn binary<'py>(op: &Named, x: &Operand<'py>, y: &Operand<'py>) -> PyResult<Operand<'py>> {
    let py = x.py();
    if is_operand(x) && is_operand(y) {
        return call_named(py, op, &[x.clone(), y.clone()]);
    }
    // A NumPy array takes part as a tensor; anything else may know what to do itself.
    let array = |v: &Operand<'py>| v.hasattr("__array__").unwrap_or(false) && as_tensor(v).is_none();
    if array(x) || array(y) {
        let lift = |v: &Operand<'py>| tensor_like(v).and_then(|t| wrap(py, t));
        return call_named(py, op, &[lift(x)?, lift(y)?]);
    }
    Ok(py.NotImplemented().into_bound(py))
}

/// `x op= y` by the method of that name.
pub(crate) fn in_place<'py>(name: &str, x: &Operand<'py>, y: &Operand<'py>) -> PyResult<()> {
    x.call_method1(name, (y,)).map(drop)
}
