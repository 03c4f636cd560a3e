//! Executable memory.
//!
//! A [`CodeModule`] holds the machine code of a program's kernels in one mapping, which is written once
//! and executable afterwards, never both.

use crate::error::{Defect, RunError};
use std::fmt;
use std::ptr::NonNull;

/// How compiled code is entered: it runs iterations `begin..end` of the kernel's parallel loop (kernels
/// without one ignore the range and are run once).
///
/// * `buffers`: the memory of each kernel parameter;
/// * `symbols`: the value of each symbol;
/// * `scratch`: memory for [`ir locals`](ttk_ir::kernel::Local), laid out by [`scratch_offsets`], for
///   this call alone;
/// * `constants`: the kernel's constants table, 64-byte aligned;
/// * `errors`: one word; set to non-zero when a checked index is out of range.
pub type Entry = unsafe extern "C" fn(
    buffers: *const *mut u8,
    symbols: *const i64,
    begin: i64,
    end: i64,
    scratch: *mut u8,
    constants: *const u8,
    errors: *mut u32,
);

/// Finished machine code of one kernel; position independent, no relocation left.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KernelCode {
    pub code: Vec<u8>,
    /// Offset of the entry point in `code`.
    pub entry: u32,
    /// The table that `constants` points to.
    pub constants: Vec<u8>,
}

/// Alignment of code and constants.
const ALIGN: usize = 64;

/// Kernels ready to be entered, and the executable memory they are in.
pub struct CodeModule {
    /// Entry point and constants of each kernel.
    kernels: Vec<(Entry, *const u8)>,
    mapping: Option<Mapping>,
}

// SAFETY: code and constants are read-only after construction.
unsafe impl Send for CodeModule {}
// SAFETY: as above.
unsafe impl Sync for CodeModule {}

impl CodeModule {
    /// Copies the code into executable memory.
    ///
    /// # Safety
    /// The code must be what a back end made of kernels that passed the verifier: it will be run.
    ///
    /// # Errors
    /// When the system refuses executable memory, or an entry point lies outside its code.
    pub unsafe fn new(program: &str, kernels: &[KernelCode]) -> Result<CodeModule, RunError> {
        let mut size = 0usize;
        let mut places = Vec::with_capacity(kernels.len());
        for (i, k) in kernels.iter().enumerate() {
            if k.entry as usize >= k.code.len() {
                return Err(RunError::Malformed {
                    program: program.into(),
                    place: format!("kernel {i}"),
                    defect: Defect::Entry,
                });
            }
            let code = size;
            let constants = (code + k.code.len()).next_multiple_of(ALIGN);
            size = (constants + k.constants.len()).next_multiple_of(ALIGN);
            places.push((code, constants));
        }
        if kernels.is_empty() {
            return Ok(CodeModule { kernels: Vec::new(), mapping: None });
        }
        let mapping = Mapping::new(size)?;
        let base = mapping.base.as_ptr();
        let mut entries = Vec::with_capacity(kernels.len());
        for (k, (code, constants)) in kernels.iter().zip(places) {
            // SAFETY: both ranges lie in the mapping, which was sized for them; the giver of the code
            // promised that there is an entry point.
            unsafe {
                base.add(code).copy_from_nonoverlapping(k.code.as_ptr(), k.code.len());
                base.add(constants).copy_from_nonoverlapping(k.constants.as_ptr(), k.constants.len());
                let entry = base.add(code + k.entry as usize);
                entries
                    .push((std::mem::transmute::<*mut u8, Entry>(entry), base.add(constants).cast_const()));
            }
        }
        mapping.make_executable()?;
        Ok(CodeModule { kernels: entries, mapping: Some(mapping) })
    }

    /// Kernels that were compiled into this program, with their constants.
    pub fn of_functions(kernels: &[(Entry, &'static [u8])]) -> CodeModule {
        let kernels = kernels.iter().map(|&(entry, constants)| (entry, constants.as_ptr())).collect();
        CodeModule { kernels, mapping: None }
    }

    /// How many kernels there are.
    pub fn len(&self) -> usize {
        self.kernels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.kernels.is_empty()
    }

    /// The entry point of a kernel and its constants table.
    pub fn kernel(&self, index: usize) -> (Entry, *const u8) {
        self.kernels[index]
    }
}

impl fmt::Debug for CodeModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.mapping.as_ref().map_or(0, |m| m.size);
        f.debug_struct("CodeModule").field("bytes", &bytes).field("kernels", &self.kernels.len()).finish()
    }
}

/// Memory that is written and then executed.
struct Mapping {
    base: NonNull<u8>,
    size: usize,
}

impl Mapping {
    fn new(size: usize) -> Result<Mapping, RunError> {
        // SAFETY: a new anonymous mapping touches no memory of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        match NonNull::new(base.cast::<u8>()) {
            Some(start) if base != libc::MAP_FAILED => Ok(Mapping { base: start, size }),
            _ => Err(refused(size)),
        }
    }

    fn make_executable(&self) -> Result<(), RunError> {
        let base = self.base.as_ptr();
        // SAFETY: the whole of our own mapping.
        if unsafe { libc::mprotect(base.cast(), self.size, libc::PROT_READ | libc::PROT_EXEC) } != 0 {
            return Err(refused(self.size));
        }
        flush_instruction_cache(base, self.size);
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and entries are only used while a plan keeps the module.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size) };
    }
}

/// Where each local of a kernel starts in its scratch, in bytes, and the whole size: one after the other
/// in order, each from a multiple of 64. `sizes` are the locals' sizes in bytes.
pub fn scratch_offsets(sizes: impl Iterator<Item = usize>) -> (Vec<usize>, usize) {
    let mut at = 0usize;
    let offsets = sizes
        .map(|size| {
            let start = at;
            at = at.saturating_add(size).checked_next_multiple_of(ALIGN).unwrap_or(usize::MAX);
            start
        })
        .collect();
    (offsets, at)
}

fn refused(bytes: usize) -> RunError {
    RunError::ExecutableMemory { bytes, code: std::io::Error::last_os_error().raw_os_error().unwrap_or(0) }
}

#[cfg(target_arch = "aarch64")]
fn flush_instruction_cache(base: *mut u8, size: usize) {
    unsafe extern "C" {
        fn __clear_cache(begin: *mut u8, end: *mut u8);
    }
    // SAFETY: the range is one mapping.
    unsafe { __clear_cache(base, base.add(size)) };
}

#[cfg(not(target_arch = "aarch64"))]
fn flush_instruction_cache(_: *mut u8, _: usize) {}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn code_runs_and_reads_its_constants() {
        // mov rax, [rdi]; mov ecx, [r9]; mov [rax], ecx; ret
        let code = vec![0x48, 0x8b, 0x07, 0x41, 0x8b, 0x09, 0x89, 0x08, 0xc3];
        let kernels: Vec<KernelCode> = (1u32..=3)
            .map(|v| KernelCode { code: code.clone(), entry: 0, constants: v.to_le_bytes().to_vec() })
            .collect();
        // SAFETY: the listing above stores the first constant through the first buffer and returns.
        let module = unsafe { CodeModule::new("t", &kernels) }.unwrap();
        for i in 0..3 {
            let (entry, constants) = module.kernel(i);
            assert_eq!(constants as usize % 64, 0);
            let mut out = 0u32;
            let buffers = [(&raw mut out).cast::<u8>()];
            // SAFETY: one buffer of four bytes, and a constants table of four bytes.
            unsafe {
                entry(
                    buffers.as_ptr(),
                    std::ptr::null(),
                    0,
                    1,
                    std::ptr::null_mut(),
                    constants,
                    std::ptr::null_mut(),
                );
            }
            assert_eq!(out, i as u32 + 1);
        }
    }

    #[test]
    fn an_entry_outside_the_code_is_refused() {
        let k = KernelCode { code: vec![0xc3], entry: 1, constants: vec![] };
        // SAFETY: it is refused, not run.
        assert!(unsafe { CodeModule::new("t", &[k]) }.is_err());
    }
}
