//! The caching allocator of a device: a block that is let go waits for the next request of its size.
//!
//! All work of a device goes to one stream, so a block may be handed out again at once: who gets it comes
//! later in the stream than who had it.

use super::driver::Address;
use super::error::CudaError;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// Figures of a device's memory, in bytes and counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DeviceMemoryStats {
    /// Bytes in buffers that are alive, as rounded up.
    pub allocated: usize,
    /// The most that `allocated` has been since the peak was last reset.
    pub max_allocated: usize,
    /// Bytes taken from the driver: in buffers, and kept for reuse.
    pub reserved: usize,
    /// The most that `reserved` has been since the peak was last reset.
    pub max_reserved: usize,
    /// Requests that went to the driver.
    pub driver_allocations: usize,
    /// Requests served from what was kept.
    pub cache_hits: usize,
}

/// Where blocks come from.
pub(super) trait Source {
    /// `None` when there is not so much.
    fn allocate(&self, bytes: usize) -> Result<Option<Address>, CudaError>;
    fn free(&self, at: Address) -> Result<(), CudaError>;
}

pub(super) struct Pool {
    stats: DeviceMemoryStats,
    /// By size. The lowest address is handed out first, so that requests that repeat get the addresses
    /// that they had before, in whatever order those were let go: a recorded run can then be replayed.
    free: FxHashMap<usize, BTreeSet<Address>>,
    /// Whether blocks are kept, and rounded up so that they fit more requests.
    caching: bool,
}

/// Sizes are multiples of this, as the driver's alignment is.
const UNIT: usize = 512;

/// Beyond 16 units, eight sizes to a doubling: at most an eighth is wasted.
const STEPS: usize = 8;

/// The size of the block for a request; `None` if it overflows.
fn block_size(bytes: usize) -> Option<usize> {
    let units = bytes.max(1).div_ceil(UNIT);
    if units <= 16 {
        return Some(units * UNIT);
    }
    let step = (1usize << (units - 1).ilog2()) / STEPS;
    units.div_ceil(step).checked_mul(step)?.checked_mul(UNIT).filter(|&n| n <= isize::MAX as usize)
}

impl Pool {
    pub(super) fn new() -> Pool {
        Pool { stats: DeviceMemoryStats::default(), free: FxHashMap::default(), caching: true }
    }

    pub(super) fn stats(&self) -> DeviceMemoryStats {
        self.stats
    }

    pub(super) fn reset_peak(&mut self) {
        self.stats.max_allocated = self.stats.allocated;
        self.stats.max_reserved = self.stats.reserved;
    }

    pub(super) fn is_caching(&self) -> bool {
        self.caching
    }

    /// Without caching, blocks are of the very size asked for and go back to the driver at once, which
    /// finds uses that are out of bounds or too late, and costs much time.
    pub(super) fn set_caching(&mut self, caching: bool, source: &dyn Source) -> Result<(), CudaError> {
        self.caching = caching;
        self.empty(source)
    }

    /// A block for `bytes` and its size; `None` when the device has no more.
    pub(super) fn allocate(
        &mut self,
        bytes: usize,
        source: &dyn Source,
    ) -> Result<Option<(Address, usize)>, CudaError> {
        let size = if self.caching { block_size(bytes) } else { Some(bytes.max(1)) };
        let Some(size) = size else { return Ok(None) };
        let kept = self.free.get_mut(&size).and_then(BTreeSet::pop_first);
        let at = match kept {
            Some(at) => {
                self.stats.cache_hits += 1;
                at
            }
            None => {
                let mut at = source.allocate(size)?;
                if at.is_none() && self.stats.reserved > self.stats.allocated {
                    self.empty(source)?;
                    at = source.allocate(size)?;
                }
                let Some(at) = at else { return Ok(None) };
                self.stats.driver_allocations += 1;
                self.stats.reserved += size;
                self.stats.max_reserved = self.stats.max_reserved.max(self.stats.reserved);
                at
            }
        };
        self.stats.allocated += size;
        self.stats.max_allocated = self.stats.max_allocated.max(self.stats.allocated);
        Ok(Some((at, size)))
    }

    /// Takes back a block of `size` bytes.
    pub(super) fn release(&mut self, at: Address, size: usize, source: &dyn Source) -> Result<(), CudaError> {
        self.stats.allocated -= size;
        if self.caching && block_size(size) == Some(size) {
            self.free.entry(size).or_default().insert(at);
            return Ok(());
        }
        self.stats.reserved -= size;
        source.free(at)
    }

    /// Gives back to the driver what is kept.
    pub(super) fn empty(&mut self, source: &dyn Source) -> Result<(), CudaError> {
        let mut result = Ok(());
        for (size, blocks) in self.free.drain() {
            for at in blocks {
                self.stats.reserved -= size;
                result = result.and(source.free(at));
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// A device of so many bytes.
    struct Limited {
        left: Cell<usize>,
        sizes: RefCell<FxHashMap<Address, usize>>,
    }

    impl Limited {
        fn new(bytes: usize) -> Limited {
            Limited { left: Cell::new(bytes), sizes: RefCell::default() }
        }
    }

    impl Source for Limited {
        fn allocate(&self, bytes: usize) -> Result<Option<Address>, CudaError> {
            if bytes > self.left.get() {
                return Ok(None);
            }
            self.left.set(self.left.get() - bytes);
            let at = 1000 + self.sizes.borrow().len() as Address;
            self.sizes.borrow_mut().insert(at, bytes);
            Ok(Some(at))
        }

        fn free(&self, at: Address) -> Result<(), CudaError> {
            self.left.set(self.left.get() + self.sizes.borrow()[&at]);
            Ok(())
        }
    }

    #[test]
    fn sizes_waste_little() {
        for bytes in (0..100_000).step_by(37).chain([1 << 30, (1 << 30) + 1]) {
            let size = block_size(bytes).unwrap();
            assert!(size >= bytes && size.is_multiple_of(UNIT));
            assert!(size - bytes <= (bytes / STEPS).max(UNIT), "{bytes} -> {size}");
            assert_eq!(block_size(size), Some(size));
        }
        assert_eq!(block_size(usize::MAX), None);
    }

    #[test]
    fn blocks_are_reused_and_given_back_when_memory_is_short() {
        let (device, mut pool) = (Limited::new(8 * UNIT), Pool::new());
        let (a, size) = pool.allocate(3 * UNIT, &device).unwrap().unwrap();
        pool.release(a, size, &device).unwrap();
        assert_eq!(pool.allocate(3 * UNIT - 5, &device).unwrap(), Some((a, size)));
        pool.release(a, size, &device).unwrap();
        let stats = pool.stats();
        assert_eq!((stats.allocated, stats.reserved, stats.cache_hits), (0, 3 * UNIT, 1));
        // Only fits when what is kept goes back.
        let (b, size) = pool.allocate(7 * UNIT, &device).unwrap().unwrap();
        assert_eq!(pool.allocate(2 * UNIT, &device).unwrap(), None);
        pool.release(b, size, &device).unwrap();
        pool.empty(&device).unwrap();
        assert_eq!((device.left.get(), pool.stats().reserved), (8 * UNIT, 0));
        assert_eq!(pool.stats().max_allocated, 7 * UNIT);
    }

    #[test]
    fn without_caching_sizes_are_exact_and_nothing_is_kept() {
        let (device, mut pool) = (Limited::new(100), Pool::new());
        pool.set_caching(false, &device).unwrap();
        let (a, size) = pool.allocate(40, &device).unwrap().unwrap();
        assert_eq!(size, 40);
        pool.release(a, size, &device).unwrap();
        assert_eq!(device.left.get(), 100);
    }
}
