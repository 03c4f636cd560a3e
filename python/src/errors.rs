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
    /// Where the last panic of this thread was.
    static PLACE: std::cell::Cell<Option<String>> = const { std::cell::Cell::new(None) };
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
    guard_python(|| f().map_err(to_python))
}

/// Runs glue code; its panics become exceptions.
pub(crate) fn guard_python<T>(f: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a text");
        let detail = match PLACE.take() {
            Some(place) => format!("{text} ({place})"),
            None => text.to_owned(),
        };
        Err(to_python(Error::Internal { detail }))
    })
}

/// A panic is an exception by the time the user sees it, so it prints nothing; unless a backtrace was
/// asked for, which only the hook can show.
pub(crate) fn quiet_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0") {
        return;
    }
    std::panic::set_hook(Box::new(|info| PLACE.set(info.location().map(ToString::to_string))));
}

/// [`guard`] with the interpreter's lock released.
pub(crate) fn guard_unlocked<T: Send>(
    py: Python<'_>,
    f: impl FnOnce() -> Result<T, Error> + Send,
) -> PyResult<T> {
    guard(|| py.detach(f))
}
