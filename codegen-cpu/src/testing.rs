//! Runs machine code in tests.

/// Code in executable memory, unmapped on drop.
pub(crate) struct Executable {
    base: *mut libc::c_void,
    len: usize,
}

impl Executable {
    pub(crate) fn new(code: &[u8]) -> Executable {
        let len = code.len().next_multiple_of(4096);
        // SAFETY: a fresh private mapping, written before it is made executable and never after.
        unsafe {
            let base = libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(base, libc::MAP_FAILED);
            std::ptr::copy_nonoverlapping(code.as_ptr(), base.cast(), code.len());
            assert_eq!(libc::mprotect(base, len, libc::PROT_READ | libc::PROT_EXEC), 0);
            Executable { base, len }
        }
    }

    pub(crate) fn entry(&self) -> *const u8 {
        self.base.cast_const().cast()
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, no longer used.
        unsafe { libc::munmap(self.base, self.len) };
    }
}
