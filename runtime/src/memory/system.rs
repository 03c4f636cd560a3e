//! Memory from the operating system, and how much of it there is.

use super::ALIGNMENT;
use std::alloc::Layout;
use std::fs;
use std::ptr::NonNull;

/// Blocks from this size on are mapped by themselves, so that they go back to the system whole.
const MAPPED: usize = 1 << 20;

/// Size and alignment of a huge page. One fault for 2 MiB instead of 512: first touch of a large block
/// is otherwise slower than the work on it.
const HUGE_PAGE: usize = 2 << 20;

/// `size` bytes aligned to [`ALIGNMENT`], or `None` when the system refuses.
pub(super) fn allocate(size: usize) -> Option<NonNull<u8>> {
    if size >= MAPPED {
        return map(size);
    }
    let layout = Layout::from_size_align(size, ALIGNMENT).ok()?;
    // SAFETY: the layout is not of size zero: sizes are those of size classes.
    NonNull::new(unsafe { std::alloc::alloc(layout) })
}

/// # Safety
/// `ptr` must come from [`allocate`] with the same size, and be used no more.
pub(super) unsafe fn release(ptr: NonNull<u8>, size: usize) {
    if size >= MAPPED {
        // SAFETY: a mapping of this size starts there.
        unsafe { libc::munmap(ptr.as_ptr().cast(), size) };
    } else {
        // SAFETY: as promised by the caller.
        unsafe { std::alloc::dealloc(ptr.as_ptr(), Layout::from_size_align_unchecked(size, ALIGNMENT)) };
    }
}

fn map(size: usize) -> Option<NonNull<u8>> {
    let huge = size >= 2 * HUGE_PAGE;
    let slack = if huge { HUGE_PAGE } else { 0 };
    let total = size.checked_add(slack)?;
    // SAFETY: a new anonymous mapping touches no memory of ours.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            total,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return None;
    }
    let base = base.cast::<u8>();
    if !huge {
        return NonNull::new(base);
    }
    let lead = base.align_offset(HUGE_PAGE);
    // SAFETY: `lead < HUGE_PAGE == slack`, so both ends cut off lie in the mapping just made, are whole
    // pages (sizes from `MAPPED` on are multiples of the page size), and nobody uses them.
    unsafe {
        if lead > 0 {
            libc::munmap(base.cast(), lead);
        }
        if slack - lead > 0 {
            libc::munmap(base.add(lead + size).cast(), slack - lead);
        }
        let ptr = base.add(lead);
        #[cfg(target_os = "linux")]
        libc::madvise(ptr.cast(), size, libc::MADV_HUGEPAGE);
        NonNull::new(ptr)
    }
}

/// Bytes of memory that this process may hope for: the machine's, or the container's if that is less.
pub(super) fn physical_memory() -> usize {
    // SAFETY: asks for two numbers.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    let machine = usize::try_from(pages)
        .ok()
        .and_then(|n| n.checked_mul(usize::try_from(page).ok()?))
        .filter(|&n| n > 0)
        .unwrap_or(isize::MAX as usize);
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<usize>().ok())
        .filter(|&limit| limit > 0)
        .fold(machine, usize::min)
}
