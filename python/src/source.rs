//! Which line of the user's program an operation comes from.

use pyo3::ffi;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::sync::Arc;
use ttk_frontend::{record, source};

/// A code object that was seen before; it is kept alive so that its address stays its own.
#[derive(Clone)]
struct Code {
    file: Arc<str>,
    /// Whether it belongs to this package: the line that is wanted is that of whoever called it.
    ours: bool,
}

/// `PyFrame_GetLasti`: at which instruction a frame is. CPython has it since 3.11, outside the stable interface
/// that this module is linked to; where it is missing the frame's attribute is read.
type LastInstruction = unsafe extern "C" fn(*mut ffi::PyFrameObject) -> std::ffi::c_int;

#[cfg(unix)]
fn last_instruction() -> Option<LastInstruction> {
    // SAFETY: the name is a C string; whatever has it in this process is CPython's function of that type.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"PyFrame_GetLasti".as_ptr());
        (!found.is_null()).then(|| std::mem::transmute::<*mut std::ffi::c_void, LastInstruction>(found))
    }
}

#[cfg(not(unix))]
fn last_instruction() -> Option<LastInstruction> {
    None
}

#[derive(Default)]
struct Seen {
    codes: FxHashMap<usize, Code>,
    /// Numbers of lines by code object and instruction: finding an instruction's line takes Python longer than
    /// recording the operation does.
    lines: FxHashMap<(usize, i64), u32>,
    /// Code object, instruction and number of the last lines of the user's, by [`slot`]: in a loop they come again.
    last: [(usize, i64, u32); 32],
    /// The folder of this package, once it is known.
    package: Option<Arc<str>>,
    /// The strings `f_back` and `f_lasti`, once they are needed.
    names: [usize; 2],
    last_instruction: Option<Option<LastInstruction>>,
}

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// Notes the line of the user's program that Python is executing as that of the operations recorded next, and gives a
/// number for the instruction; 0 where there is none.
///
/// # Safety
/// The interpreter's lock must be held.
pub(crate) unsafe fn note_line() -> u64 {
    SEEN.with(|seen| {
        // Python may collect garbage in any of the calls below, and a finalizer may record operations.
        let Ok(mut seen) = seen.try_borrow_mut() else { return 0 };
        // SAFETY: the lock is held. `PyEval_GetFrame` gives a borrowed reference or null; the other two calls
        // give new ones, which are released here, but for a code object's first.
        unsafe {
            let mut frame = ffi::PyEval_GetFrame();
            if frame.is_null() {
                return 0;
            }
            if let Some(Some(last)) = seen.last_instruction {
                // The frame keeps its code alive.
                let code = ffi::PyFrame_GetCode(frame).cast::<ffi::PyObject>();
                ffi::Py_DECREF(code);
                let (code, at) = (code as usize, i64::from(last(frame)));
                let known = seen.last[slot(code, at)];
                if (known.0, known.1) == (code, at) {
                    record::set_loc(known.2);
                    return place(code, at);
                }
            }
            ffi::Py_INCREF(frame.cast());
            loop {
                let code = ffi::PyFrame_GetCode(frame).cast::<ffi::PyObject>();
                let at = code as usize;
                let ours = match seen.codes.get(&at) {
                    Some(known) => {
                        ffi::Py_DECREF(code);
                        known.ours
                    }
                    None => seen.add(code),
                };
                let caller = if ours { seen.caller(frame) } else { std::ptr::null_mut() };
                if caller.is_null() {
                    let (number, instruction) = seen.number(at, frame);
                    ffi::Py_DECREF(frame.cast());
                    record::set_loc(number);
                    let Some(instruction) = instruction else { return 0 };
                    if !ours {
                        seen.last[slot(at, instruction)] = (at, instruction, number);
                    }
                    return place(at, instruction);
                }
                ffi::Py_DECREF(frame.cast());
                frame = caller;
            }
        }
    })
}

/// A number for an instruction of some code.
fn place(code: usize, instruction: i64) -> u64 {
    (code as u64).rotate_left(32) ^ instruction as u64
}

/// Where [`Seen::last`] has an instruction, if it does.
fn slot(code: usize, instruction: i64) -> usize {
    // Objects are aligned to 16 bytes, instructions to 2.
    (code >> 4 ^ instruction as usize >> 1) % 32
}

impl Seen {
    /// A new reference to the frame that called this one; null if there is none.
    ///
    /// # Safety
    /// `frame` must be alive, and the interpreter's lock held.
    unsafe fn caller(&mut self, frame: *mut ffi::PyFrameObject) -> *mut ffi::PyFrameObject {
        // SAFETY: passed on from the caller.
        let caller = unsafe { self.attribute(frame, 0, c"f_back") };
        // SAFETY: `None` lives for ever; the reference is ours.
        if caller == unsafe { ffi::Py_None() } {
            // SAFETY: as above.
            unsafe { ffi::Py_DECREF(caller) };
            return std::ptr::null_mut();
        }
        caller.cast()
    }

    /// A new reference to an attribute of a frame, or null.
    ///
    /// # Safety
    /// `frame` must be alive, and the interpreter's lock held.
    unsafe fn attribute(
        &mut self,
        frame: *mut ffi::PyFrameObject,
        which: usize,
        name: &std::ffi::CStr,
    ) -> *mut ffi::PyObject {
        // SAFETY: passed on from the caller; the name is made once and kept.
        unsafe {
            if self.names[which] == 0 {
                self.names[which] = ffi::PyUnicode_InternFromString(name.as_ptr()) as usize;
            }
            let value = ffi::PyObject_GetAttr(frame.cast(), self.names[which] as *mut ffi::PyObject);
            if value.is_null() {
                ffi::PyErr_Clear();
            }
            value
        }
    }

    /// The number of the line that a frame, which runs `code`, is at, and the instruction.
    ///
    /// # Safety
    /// `frame` must be alive, and the interpreter's lock held.
    unsafe fn number(&mut self, code: usize, frame: *mut ffi::PyFrameObject) -> (u32, Option<i64>) {
        // SAFETY: passed on from the caller; the new reference is released.
        let at = unsafe {
            match self.last_instruction.get_or_insert_with(last_instruction) {
                Some(last) => i64::from(last(frame)),
                None => {
                    let at = self.attribute(frame, 1, c"f_lasti");
                    if at.is_null() {
                        return (0, None);
                    }
                    let number = ffi::PyLong_AsLong(at) as i64;
                    ffi::Py_DECREF(at);
                    number
                }
            }
        };
        if let Some(&known) = self.lines.get(&(code, at)) {
            return (known, Some(at));
        }
        let Some(known) = self.codes.get(&code) else { return (0, Some(at)) };
        // SAFETY: passed on from the caller.
        let line = unsafe { ffi::PyFrame_GetLineNumber(frame) }.max(0) as u32;
        let number = source::intern(&known.file, line);
        self.lines.insert((code, at), number);
        (number, Some(at))
    }

    /// Takes over the reference to a code object; whether it is this package's.
    ///
    /// # Safety
    /// `code` must be a code object, and the interpreter's lock held.
    unsafe fn add(&mut self, code: *mut ffi::PyObject) -> bool {
        if self.package.is_none() {
            // SAFETY: the lock is held.
            self.package = unsafe { package_folder() };
        }
        // SAFETY: passed on from the caller.
        let file = unsafe { text_attribute(code, c"co_filename") }.unwrap_or_else(|| "<unknown>".into());
        let ours = self.package.as_deref().is_some_and(|folder| file.starts_with(folder));
        self.codes.insert(code as usize, Code { file, ours });
        ours
    }
}

/// The folder of this package, with a separator at its end.
///
/// # Safety
/// The interpreter's lock must be held.
unsafe fn package_folder() -> Option<Arc<str>> {
    // SAFETY: the lock is held; the module's dictionary and the module are borrowed references.
    unsafe {
        let module = ffi::PyImport_AddModule(c"tiny_torch".as_ptr());
        if module.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        let init = text_attribute(module, c"__file__")?;
        init.rfind(['/', '\\']).map(|at| Arc::from(&init[..=at]))
    }
}

/// # Safety
/// `object` must be alive, and the interpreter's lock held.
unsafe fn text_attribute(object: *mut ffi::PyObject, name: &std::ffi::CStr) -> Option<Arc<str>> {
    // SAFETY: attribute access and UTF-8 conversion on live objects; the new reference is released.
    unsafe {
        let value = ffi::PyObject_GetAttrString(object, name.as_ptr());
        if value.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        let mut len = 0;
        let bytes = ffi::PyUnicode_AsUTF8AndSize(value, &mut len);
        let text = if bytes.is_null() {
            ffi::PyErr_Clear();
            None
        } else {
            let slice = std::slice::from_raw_parts(bytes.cast::<u8>(), len as usize);
            Some(String::from_utf8_lossy(slice).as_ref().into())
        };
        ffi::Py_DECREF(value);
        text
    }
}
