//! Making the Python object of a tensor.
//!
//! Every call of an operator makes one, and pyo3's constructor takes as long as recording does: it parses arguments
//! that are not there and enters the interpreter once more. What it leaves is zeros but for the object's header and
//! the tensor. Where the tensor is in there is learnt from a first object; after that the same is done directly.

use crate::object::PyTensor;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use ttk_frontend::Tensor;
use ttk_ir::DType;
use ttk_runtime::Buffer;

thread_local! {
    /// The tensor that the object being constructed is for.
    static NEXT: Cell<Option<Tensor>> = const { Cell::new(None) };
}

/// The tensor for the constructor that runs now, if it was called by [`make`].
pub(crate) fn next() -> Option<Tensor> {
    NEXT.take()
}

/// The native class's constructor, which Python's classes put their own before.
static CONSTRUCTOR: OnceLock<ffi::newfunc> = OnceLock::new();

/// At how many bytes of an object the tensor is; `None` if there is more to an object than that.
static PLACE: OnceLock<Option<usize>> = OnceLock::new();

/// A new object of a tensor, of the native class or a subclass of it.
pub(crate) fn make<'py>(
    py: Python<'py>,
    class: &Bound<'py, PyType>,
    t: Tensor,
) -> PyResult<Bound<'py, PyAny>> {
    match PLACE.get() {
        Some(Some(place)) => {
            // SAFETY: the class is the native one or a subclass of it: `_set_tensor_class` and `_make_subclass` check.
            // Its objects' memory is zero at first, as [`learn`] found the constructor to leave it, but for the tensor,
            // which is written before anyone sees the object.
            unsafe {
                let raw = ffi::PyType_GenericAlloc(class.as_ptr().cast(), 0);
                let object = Bound::from_owned_ptr_or_err(py, raw)?;
                t.handle().store(raw.cast(), Ordering::Release);
                raw.cast::<u8>().add(*place).cast::<PyTensor>().write(PyTensor(t));
                Ok(object)
            }
        }
        Some(None) | None => {
            let object = construct(py, class, &t)?;
            t.handle().store(object.as_ptr().cast(), Ordering::Release);
            Ok(object)
        }
    }
}

fn construct<'py>(py: Python<'py>, class: &Bound<'py, PyType>, t: &Tensor) -> PyResult<Bound<'py, PyAny>> {
    let Some(constructor) = CONSTRUCTOR.get() else {
        return Err(PyRuntimeError::new_err("the module is not initialised"));
    };
    NEXT.set(Some(t.clone()));
    // SAFETY: as in `make`; the constructor takes no arguments.
    unsafe {
        let arguments = PyTuple::empty(py);
        let raw = constructor(class.as_ptr().cast(), arguments.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, raw)
    }
}

/// Finds the constructor, and what it makes of a tensor.
pub(crate) fn learn(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<PyTensor>();
    // SAFETY: the slot of a type whose definition has a constructor is a `newfunc`.
    unsafe {
        let slot = ffi::PyType_GetSlot(class.as_ptr().cast(), ffi::Py_tp_new);
        if !slot.is_null() {
            let _ = CONSTRUCTOR.set(std::mem::transmute::<*mut std::ffi::c_void, ffi::newfunc>(slot));
        }
    }
    let size: usize = class.getattr("__basicsize__")?.extract()?;
    let nothing = Buffer::new(0).map_err(|e| PyMemoryError::new_err(e.to_string()))?;
    let object = construct(py, &class, &Tensor::from_buffer(nothing, DType::F32, &[0]))?;
    let start = object.as_ptr() as usize;
    let tensor = std::ptr::from_ref(object.cast::<PyTensor>()?.get()) as usize - start;
    let own = tensor..tensor + size_of::<PyTensor>();
    // SAFETY: an object of a class is as long as the class says, and the constructor has written or zeroed it all.
    let bytes = unsafe { std::slice::from_raw_parts(object.as_ptr().cast::<u8>(), size) };
    let rest = (size_of::<ffi::PyObject>()..size).filter(|at| !own.contains(at));
    let plain = rest.into_iter().all(|at| bytes[at] == 0);
    let _ = PLACE.set(plain.then_some(tensor));
    Ok(())
}
