//! The allocator as a whole process sees it: one test, because its figures are the process's.

use ttk_runtime::Buffer;
use ttk_runtime::memory::{empty_cache, reset_peak, set_cache_limit, set_memory_limit, stats};

#[test]
fn blocks_are_reused_counted_bounded_and_refused() {
    // A second round of the same sizes asks the system for nothing.
    let sizes = [0usize, 1, 64, 65, 1000, 4096, 100_000, 1 << 20, (1 << 20) + 1, 5 << 20, 33 << 20];
    let round = || sizes.iter().map(|&n| Buffer::new(n).unwrap()).collect::<Vec<_>>();
    drop(round());
    let before = stats();
    for b in round() {
        assert_eq!(b.as_ptr() as usize % 64, 0);
        if b.len() >= 4 << 20 {
            assert_eq!(b.as_ptr() as usize % (2 << 20), 0, "large blocks start at a huge page");
        }
        // SAFETY: the block is ours and that long.
        unsafe { b.as_ptr().write_bytes(0xa5, b.len()) };
    }
    let after = stats();
    assert_eq!(after.system_allocations, before.system_allocations);
    assert_eq!(after.cache_hits, before.cache_hits + sizes.len());
    assert_eq!((after.live, after.cached), (0, before.cached));

    // A slightly larger block serves.
    let system = stats().system_allocations;
    drop(Buffer::new(30 << 20).unwrap());
    assert_eq!(stats().system_allocations, system);

    // Live bytes and their peak.
    reset_peak();
    let a = Buffer::new(1 << 20).unwrap();
    let b = a.clone();
    let c = Buffer::new(2 << 20).unwrap();
    assert_eq!(stats().live, 3 << 20);
    drop((a, c));
    assert_eq!((stats().live, stats().peak), (1 << 20, 3 << 20));
    drop(b);

    // The cache gives back, and is bounded.
    empty_cache();
    assert_eq!((stats().cached, stats().live), (0, 0));
    set_cache_limit(1 << 20);
    drop(Buffer::new(3 << 20).unwrap());
    assert!(stats().cached <= 1 << 20);
    set_cache_limit(1 << 30);

    // Unreasonable sizes are errors, and nothing is lost by them.
    for bytes in [usize::MAX, usize::MAX / 2, isize::MAX as usize, 1 << 50] {
        let error = Buffer::new(bytes).unwrap_err();
        assert_eq!((error.bytes, error.live), (bytes, 0));
    }
    set_memory_limit(Some(1 << 20));
    let a = Buffer::new(800 << 10).unwrap();
    assert!(Buffer::new(800 << 10).is_err());
    drop(a);
    assert!(Buffer::new(800 << 10).is_ok());
    set_memory_limit(None);

    // Many threads at once.
    std::thread::scope(|s| {
        for t in 0..4usize {
            s.spawn(move || {
                for i in 0..2000 {
                    let mut b = Buffer::new((i * 37 + t * 101) % 9000).unwrap();
                    b.bytes_mut().unwrap().fill(t as u8);
                    assert!(b.bytes().iter().all(|&x| x == t as u8));
                }
            });
        }
    });
    assert_eq!(stats().live, 0);
}
