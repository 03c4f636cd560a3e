//! The frontend's errors as Python exceptions; no panic crosses.

use pyo3::exceptions::{
    PyAssertionError, PyIndexError, PyNotImplementedError, PyOSError, PyOverflowError, PyRuntimeError,
    PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use ttk_frontend::{Error, Exception};

pyo3::create_exception!(tiny_torch, OutOfMemoryError, PyRuntimeError);

thread_local! {
    /// A Python exception on its way through the frontend: raised by a hook or a user's backward.
    static PENDING: std::cell::RefCell<Option<PyErr>> = const { std::cell::RefCell::new(None) };
}

/// The text under which a Python exception passes through the frontend.
const PASSING: &str = "\u{0}python exception";

/// Wraps a Python exception for the frontend; [`to_python`] gives it back unchanged.
pub(crate) fn from_python(e: PyErr) -> Error {
    PENDING.with_borrow_mut(|p| *p = Some(e));
    Error::runtime(PASSING)
}

pub(crate) fn to_python(e: Error) -> PyErr {
    let text = e.to_string();
    if text == PASSING
        && let Some(original) = PENDING.with_borrow_mut(Option::take)
    {
        return original;
    }
    match e.exception() {
        Exception::Runtime => PyRuntimeError::new_err(text),
        Exception::Type => PyTypeError::new_err(text),
        Exception::Value => PyValueError::new_err(text),
        Exception::Index => PyIndexError::new_err(text),
        Exception::NotImplemented => PyNotImplementedError::new_err(text),
        Exception::OutOfMemory => OutOfMemoryError::new_err(text),
        Exception::Overflow => PyOverflowError::new_err(text),
        Exception::Os => PyOSError::new_err(text),
        Exception::Assertion => PyAssertionError::new_err(text),
    }
}

/// Runs frontend code; its errors and panics become exceptions.
pub(crate) fn guard<T>(f: impl FnOnce() -> Result<T, Error>) -> PyResult<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(to_python(e)),
        Err(panic) => {
            let detail = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                .unwrap_or_default();
            Err(to_python(Error::Internal { detail }))
        }
    }
}

/// [`guard`] with the interpreter's lock released.
pub(crate) fn guard_unlocked<T: Send>(
    py: Python<'_>,
    f: impl FnOnce() -> Result<T, Error> + Send,
) -> PyResult<T> {
    guard(|| py.detach(f))
}
