//! The memory behind tensors, and when it is filled.

use crate::errors::{guard, guard_unlocked};
use crate::object::{PyTensor, wrap};
use pyo3::prelude::*;
use ttk_frontend::{host, materialize};

/// A number that two tensors share exactly when they share memory.
#[pyfunction]
fn _storage_key(t: &Bound<'_, PyTensor>) -> usize {
    ttk_runtime::sync::Counted::as_ptr(&t.get().0.storage()) as usize
}

/// How many elements the tensor's whole storage has.
#[pyfunction]
fn _storage_numel(t: &Bound<'_, PyTensor>) -> i64 {
    let storage = t.get().0.storage();
    let value = storage.value.lock();
    value.dims().iter().product()
}

/// The whole storage of a tensor, as a flat tensor that shares it.
#[pyfunction]
fn _whole_storage<'py>(py: Python<'py>, t: &Bound<'py, PyTensor>) -> PyResult<Bound<'py, PyAny>> {
    wrap(py, t.get().0.whole_storage())
}

/// Computes a tensor now.
#[pyfunction]
fn _sync(py: Python<'_>, t: &Bound<'_, PyTensor>) -> PyResult<()> {
    let t = t.get().0.clone();
    guard_unlocked(py, || host::compute(&t).map(drop))
}

/// Computes some tensors now, together.
#[pyfunction]
fn _sync_all(py: Python<'_>, tensors: Vec<Bound<'_, PyTensor>>) -> PyResult<()> {
    let tensors: Vec<_> = tensors.iter().map(|t| t.get().0.clone()).collect();
    guard_unlocked(py, || host::compute_all(&tensors))
}

/// Gives a tensor of zeros its memory now, so that what is recorded on it is the same program from the first time.
#[pyfunction]
fn _hold_zeros(t: &Bound<'_, PyTensor>) -> PyResult<()> {
    guard(|| materialize::hold_zeros(&t.get().0.storage()))
}

/// Computes everything that waits to be computed.
#[pyfunction]
fn _flush(py: Python<'_>) -> PyResult<()> {
    guard_unlocked(py, materialize::flush)
}

/// Adds these functions to the module.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_storage_key, m)?)?;
    m.add_function(wrap_pyfunction!(_storage_numel, m)?)?;
    m.add_function(wrap_pyfunction!(_whole_storage, m)?)?;
    m.add_function(wrap_pyfunction!(_sync, m)?)?;
    m.add_function(wrap_pyfunction!(_sync_all, m)?)?;
    m.add_function(wrap_pyfunction!(_hold_zeros, m)?)?;
    m.add_function(wrap_pyfunction!(_flush, m)?)?;
    Ok(())
}
