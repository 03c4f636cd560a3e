//! Calls of a library of the stand-in as a program in C makes them.

use std::ffi::{CString, c_void};
use std::ptr::null_mut;

pub(crate) type Pointer = *mut c_void;

/// A library beside the driver, by its own interface.
pub(crate) struct Library(Pointer);

impl Library {
    pub(crate) fn open(name: &str) -> Library {
        let path = super::directory().join(name);
        let name = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: our own library, whose initialisers do nothing.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "{} does not load", path.display());
        Library(handle)
    }

    /// # Safety
    /// `F` must be the type of a pointer to that function.
    pub(crate) unsafe fn get<F: Copy>(&self, name: &str) -> F {
        let name = CString::new(name).unwrap();
        // SAFETY: a handle and a name.
        let at = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!at.is_null(), "{name:?}");
        // SAFETY: promised by the caller.
        unsafe { std::mem::transmute_copy(&at) }
    }

    pub(crate) fn call1(&self, name: &str, a: Pointer) -> i32 {
        // SAFETY: the functions that are named take one handle.
        unsafe { self.get::<unsafe extern "C" fn(Pointer) -> i32>(name)(a) }
    }

    pub(crate) fn make(&self, name: &str) -> Pointer {
        let mut made = null_mut();
        // SAFETY: the functions that are named write one handle.
        let status = unsafe { self.get::<unsafe extern "C" fn(*mut Pointer) -> i32>(name)(&raw mut made) };
        assert_eq!(status, 0, "{name}");
        made
    }

    pub(crate) fn set<T>(&self, name: &str, object: Pointer, attribute: i32, value: T) -> i32 {
        type Set = unsafe extern "C" fn(Pointer, i32, *const c_void, usize) -> i32;
        // SAFETY: the functions that are named take these.
        unsafe { self.get::<Set>(name)(object, attribute, (&raw const value).cast(), size_of::<T>()) }
    }
}
