//! Which line of the user's program an operation comes from.

use pyo3::ffi;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::sync::Arc;
use ttk_frontend::{record, source};

thread_local! {
    /// File names by code object; code objects seen once are kept alive so that addresses stay theirs.
    static FILES: RefCell<FxHashMap<usize, Arc<str>>> = RefCell::default();
}

/// Notes the line that Python is executing as that of the operations recorded next.
///
/// # Safety
/// The interpreter's lock must be held.
pub(crate) unsafe fn note_line() {
    // SAFETY: the lock is held; `PyEval_GetFrame` gives a borrowed reference or null, `PyFrame_GetCode` a
    // new one that is kept (first time) or released.
    unsafe {
        let frame = ffi::PyEval_GetFrame();
        if frame.is_null() {
            return;
        }
        let line = ffi::PyFrame_GetLineNumber(frame);
        let code = ffi::PyFrame_GetCode(frame).cast::<ffi::PyObject>();
        let known = FILES.with_borrow(|f| f.get(&(code as usize)).cloned());
        let file = match known {
            Some(file) => {
                ffi::Py_DECREF(code);
                file
            }
            None => {
                let file = file_name(code);
                FILES.with_borrow_mut(|f| f.insert(code as usize, file.clone()));
                file
            }
        };
        record::set_loc(source::intern(&file, line.max(0) as u32));
    }
}

/// # Safety
/// `code` must be a code object, and the interpreter's lock held.
unsafe fn file_name(code: *mut ffi::PyObject) -> Arc<str> {
    // SAFETY: attribute access and UTF-8 conversion on live objects; new references are released.
    unsafe {
        let name = ffi::PyObject_GetAttrString(code, c"co_filename".as_ptr());
        if name.is_null() {
            ffi::PyErr_Clear();
            return "<unknown>".into();
        }
        let mut len = 0;
        let bytes = ffi::PyUnicode_AsUTF8AndSize(name, &mut len);
        let text: Arc<str> = if bytes.is_null() {
            ffi::PyErr_Clear();
            "<unknown>".into()
        } else {
            let slice = std::slice::from_raw_parts(bytes.cast::<u8>(), len as usize);
            String::from_utf8_lossy(slice).as_ref().into()
        };
        ffi::Py_DECREF(name);
        text
    }
}
