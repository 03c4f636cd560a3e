//! A child of `fork` computes and allocates, whatever its parent's threads were doing.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use ttk_runtime::{Buffer, threads};

fn sum_of_squares() -> u32 {
    let total = AtomicU32::new(0);
    threads::parallel(100, &|_, i| {
        let b = Buffer::from_slice(&[i as u32]).unwrap();
        total.fetch_add(b.to_vec::<u32>()[0].pow(2), Ordering::Relaxed);
    });
    total.load(Ordering::Relaxed)
}

#[test]
fn a_forked_child_has_threads_and_memory() {
    threads::set_num_threads(3);
    let expected = sum_of_squares();
    assert_eq!(expected, (0..100).map(|i| i * i).sum());
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        // Threads that hold the allocator's lock and the team most of the time.
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                drop(Buffer::new(100).unwrap());
            }
        });
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(sum_of_squares(), expected);
            }
        });
        for _ in 0..50 {
            // SAFETY: the child only computes and leaves by `_exit`.
            let pid = unsafe { libc::fork() };
            assert!(pid >= 0);
            if pid == 0 {
                let good = (0..3).all(|_| sum_of_squares() == expected);
                // SAFETY: leaves the child without running the parent's destructors.
                unsafe { libc::_exit(if good { 0 } else { 1 }) };
            }
            let mut status = 0;
            // SAFETY: waits for our own child.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            assert_eq!(status, 0, "the child failed");
        }
        stop.store(true, Ordering::Relaxed);
    });
}
