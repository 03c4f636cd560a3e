//! The caching allocator: freed blocks wait for the next request of their size class.
//!
//! One per process. A training step asks for the same sizes each time, so after the first it gets every
//! block from here, already touched: first touch of fresh memory costs more than most kernels.

use super::system;
use crate::error::OutOfMemory;
use crate::sync::bias;
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Figures of the allocator, in bytes and counts since the process began (peak: since [`reset_peak`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryStats {
    /// Bytes in buffers that are alive, as rounded up to size classes.
    pub live: usize,
    /// The most that `live` has been.
    pub peak: usize,
    /// Bytes kept for reuse.
    pub cached: usize,
    /// Requests that went to the operating system.
    pub system_allocations: usize,
    /// Requests served from the cache.
    pub cache_hits: usize,
}

/// Current figures.
pub fn stats() -> MemoryStats {
    lock().stats
}

/// Makes the peak start anew from what is alive now.
pub fn reset_peak() {
    let mut state = lock();
    state.stats.peak = state.stats.live;
}

/// Gives all cached blocks back to the system.
pub fn empty_cache() {
    trim(0);
}

/// Bounds the bytes kept for reuse (by default a quarter of the memory).
pub fn set_cache_limit(bytes: usize) {
    CACHE_LIMIT.store(bytes, Ordering::Relaxed);
    trim(bytes);
}

/// Bounds the bytes alive; requests beyond fail as if the machine had no more. `None`: the machine's
/// memory, or the container's.
pub fn set_memory_limit(bytes: Option<usize>) {
    MEMORY_LIMIT.store(bytes.unwrap_or(UNSET), Ordering::Relaxed);
}

const UNSET: usize = usize::MAX;
static CACHE_LIMIT: AtomicUsize = AtomicUsize::new(UNSET);
static MEMORY_LIMIT: AtomicUsize = AtomicUsize::new(UNSET);
static PHYSICAL: AtomicUsize = AtomicUsize::new(0);

/// Linear classes of 64 bytes up to 1 KiB, then eight to a doubling: at most an eighth is wasted.
const LINEAR: usize = 16;
const STEPS: usize = 8;
const CLASSES: usize = LINEAR + (usize::BITS as usize - 11) * STEPS;

/// From this class size on, a request may take a cached block of up to half as much again.
const FLEXIBLE: usize = 64 << 10;

/// The class of a request, and the size of its blocks; `None` if that overflows.
fn class_of(len: usize) -> Option<(usize, usize)> {
    if len <= LINEAR * 64 {
        let class = len.max(1).div_ceil(64) - 1;
        return Some((class, (class + 1) * 64));
    }
    let power = (len - 1).ilog2() as usize;
    let (base, step) = (1usize << power, (1usize << power) / STEPS);
    let k = (len - 1 - base) / step;
    let size = base.checked_add((k + 1).checked_mul(step)?)?;
    (size <= isize::MAX as usize).then_some((LINEAR + (power - 10) * STEPS + k, size))
}

/// The size of the blocks of a class.
fn size_of_class(class: usize) -> usize {
    if class < LINEAR {
        return (class + 1) * 64;
    }
    let (power, k) = (10 + (class - LINEAR) / STEPS, (class - LINEAR) % STEPS);
    (1 << power) + (k + 1) * ((1 << power) / STEPS)
}

struct State {
    stats: MemoryStats,
    /// Blocks to reuse, by class; the last freed is the first reused, while it is in cache.
    free: [Vec<NonNull<u8>>; CLASSES],
}

// SAFETY: the pointers are to memory that only the holder of the lock hands out.
unsafe impl Send for State {}

/// A block of at least `len` bytes with undefined content, and the class to release it to.
pub(super) fn allocate(len: usize) -> Result<(NonNull<u8>, u16), OutOfMemory> {
    let limit = memory_limit();
    let out_of_memory = |live| OutOfMemory { bytes: len, live, limit };
    let Some((class, size)) = class_of(len) else {
        return Err(out_of_memory(stats().live));
    };
    {
        let mut state = lock();
        if let Some((ptr, class)) = state.take(class) {
            state.stats.cache_hits += 1;
            state.count_live(size_of_class(class));
            return Ok((ptr, class as u16));
        }
        if size > limit.saturating_sub(state.stats.live) {
            return Err(out_of_memory(state.stats.live));
        }
        // Cached and live memory together stay below what there is.
        if size > limit.saturating_sub(state.stats.live + state.stats.cached) {
            drop(state);
            trim(0);
        }
    }
    let ptr = system::allocate(size).or_else(|| {
        trim(0);
        system::allocate(size)
    });
    let mut state = lock();
    let Some(ptr) = ptr else {
        return Err(out_of_memory(state.stats.live));
    };
    state.stats.system_allocations += 1;
    state.count_live(size);
    Ok((ptr, class as u16))
}

/// # Safety
/// `ptr` must come from [`allocate`] with this `class`, and be used no more.
pub(super) unsafe fn release(ptr: NonNull<u8>, class: u16) {
    let size = size_of_class(class as usize);
    let over = {
        let mut state = lock();
        state.free[class as usize].push(ptr);
        state.stats.live -= size;
        state.stats.cached += size;
        state.stats.cached > cache_limit()
    };
    if over {
        trim(cache_limit() / 2);
    }
}

impl State {
    /// A cached block for a request of `class`, and the block's own class.
    fn take(&mut self, class: usize) -> Option<(NonNull<u8>, usize)> {
        let widest = if size_of_class(class) >= FLEXIBLE { class + STEPS / 2 } else { class };
        for c in class..=widest.min(CLASSES - 1) {
            if let Some(ptr) = self.free[c].pop() {
                self.stats.cached -= size_of_class(c);
                return Some((ptr, c));
            }
        }
        None
    }

    fn count_live(&mut self, size: usize) {
        self.stats.live += size;
        self.stats.peak = self.stats.peak.max(self.stats.live);
    }
}

/// Returns cached blocks to the system, the largest first, until at most `keep` bytes are cached.
fn trim(keep: usize) {
    for class in (0..CLASSES).rev() {
        let size = size_of_class(class);
        loop {
            let mut state = lock();
            if state.stats.cached <= keep {
                return;
            }
            let Some(ptr) = state.free[class].pop() else { break };
            state.stats.cached -= size;
            drop(state);
            // SAFETY: the block was in the cache, so nobody uses it, and it has its class's size.
            unsafe { system::release(ptr, size) };
        }
    }
}

fn physical() -> usize {
    let known = PHYSICAL.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let found = system::physical_memory();
    PHYSICAL.store(found, Ordering::Relaxed);
    found
}

/// Bytes that may be alive at most.
pub(super) fn memory_limit() -> usize {
    match MEMORY_LIMIT.load(Ordering::Relaxed) {
        UNSET => physical(),
        limit => limit,
    }
}

fn cache_limit() -> usize {
    match CACHE_LIMIT.load(Ordering::Relaxed) {
        UNSET => physical() / 4,
        limit => limit,
    }
}

/// A lock that can be held across `fork`: a child made while another thread allocates must still be able
/// to allocate. The sections it guards are some tens of nanoseconds long.
struct ForkSafe {
    held: AtomicBool,
    state: UnsafeCell<State>,
}

// SAFETY: the state is reached only through `Guard`, of which there is one at a time.
unsafe impl Sync for ForkSafe {}

static ALLOCATOR: ForkSafe = ForkSafe {
    held: AtomicBool::new(false),
    state: UnsafeCell::new(State {
        stats: MemoryStats { live: 0, peak: 0, cached: 0, system_allocations: 0, cache_hits: 0 },
        free: [const { Vec::new() }; CLASSES],
    }),
};

struct Guard;

fn lock() -> Guard {
    static AT_FORK: Once = Once::new();
    AT_FORK.call_once(|| {
        // SAFETY: the handlers only take and release the lock below.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork)) };
    });
    acquire();
    Guard
}

fn acquire() {
    let mut spins = 0u32;
    while !bias::raise(&ALLOCATOR.held) {
        spins += 1;
        if spins.is_multiple_of(64) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

extern "C" fn before_fork() {
    acquire();
}

extern "C" fn after_fork() {
    ALLOCATOR.held.store(false, Ordering::Release);
}

impl std::ops::Deref for Guard {
    type Target = State;
    fn deref(&self) -> &State {
        // SAFETY: a guard exists only while the lock is held by its thread.
        unsafe { &*ALLOCATOR.state.get() }
    }
}

impl std::ops::DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut State {
        // SAFETY: as above, and the guard is borrowed mutably.
        unsafe { &mut *ALLOCATOR.state.get() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        ALLOCATOR.held.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_dense_and_waste_little() {
        let mut sizes: Vec<usize> = (0..3000).collect();
        sizes.extend((10..40).flat_map(|p| [(1 << p) - 1, 1 << p, (1 << p) + 1, 3 << (p - 1)]));
        for len in sizes {
            let (class, size) = class_of(len).unwrap();
            assert_eq!(size, size_of_class(class), "{len}");
            assert!(size >= len && size <= len.max(64) + (len / STEPS).max(64), "{len} -> {size}");
            assert_eq!(size % 64, 0);
            if class > 0 {
                assert!(size_of_class(class - 1) < len, "{len} would fit in a smaller class");
            }
        }
        assert!(class_of(usize::MAX).is_none() && class_of(isize::MAX as usize).is_none());
    }
}
