//! What stands between the brackets of `x[...]`.

use crate::object::PyTensor;
use crate::parse::{overflow, type_name};
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyInt, PyList, PyRange, PySlice, PyString, PyTuple};
use ttk_frontend::index::Item;

/// The items of a key.
pub(crate) fn items(key: &Bound<'_, PyAny>) -> PyResult<Vec<Item>> {
    if let Ok(tuple) = key.cast::<PyTuple>() {
        return tuple.iter().map(|i| item(&i)).collect();
    }
    Ok(vec![item(key)?])
}

fn bound(v: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    if v.is_none() {
        return Ok(None);
    }
    let index = v.call_method0("__index__").map_err(|_| {
        PyTypeError::new_err("slice indices must be integers or None or have an __index__ method")
    })?;
    // Bounds beyond 64 bits are beyond every tensor.
    Ok(Some(index.extract::<i64>().unwrap_or(if index.lt(0)? { i64::MIN / 4 } else { i64::MAX / 4 })))
}

fn item(v: &Bound<'_, PyAny>) -> PyResult<Item> {
    if let Ok(b) = v.cast::<PyBool>() {
        return Ok(Item::Bool(b.is_true()));
    }
    if v.is_instance_of::<PyInt>() {
        return Ok(Item::Int(v.extract().map_err(|_| overflow())?));
    }
    if v.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("new(): invalid data type 'str'"));
    }
    if v.is_none() {
        return Ok(Item::NewAxis);
    }
    if v.is_instance_of::<PyEllipsis>() {
        return Ok(Item::Ellipsis);
    }
    if v.is_instance_of::<PySlice>() {
        let part = |name: &str| bound(&v.getattr(name)?);
        return Ok(Item::Slice {
            start: part("start")?,
            stop: part("stop")?,
            step: part("step")?.unwrap_or(1),
        });
    }
    if let Ok(t) = v.cast::<PyTensor>() {
        return Ok(Item::Tensor(t.get().0.clone()));
    }
    if v.is_instance_of::<PyList>() || v.is_instance_of::<PyTuple>() || v.is_instance_of::<PyRange>() {
        return Ok(Item::Tensor(crate::convert::index_tensor(v)?));
    }
    if v.hasattr("__array__")? && v.getattr("ndim").and_then(|n| n.extract::<usize>()).unwrap_or(1) > 0 {
        return Ok(Item::Tensor(crate::convert::tensor_from(v, None)?));
    }
    match v.call_method0("__index__") {
        Ok(i) => Ok(Item::Int(i.extract().map_err(|_| overflow())?)),
        Err(_) => Err(PyIndexError::new_err(format!(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {})",
            type_name(v)
        ))),
    }
}
