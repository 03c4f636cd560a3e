//! Child processes that are made while another thread is in the middle of a count. In a process of its own, whose first
//! thread to count is not the one that makes children.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use ttk_runtime::sync::bias;

static COUNT: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

#[test]
fn children_of_a_thread_that_never_counted_count() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !DONE.load(Ordering::Relaxed) {
                bias::add(&COUNT, 1);
            }
        });
        while COUNT.load(Ordering::Relaxed) < 1000 {
            std::thread::yield_now();
        }
        let mut failed = 0;
        for _ in 0..200 {
            // SAFETY: the child calls nothing but `bias::add`, which takes no lock and allocates nothing, and `_exit`.
            let child = unsafe { libc::fork() };
            assert!(child >= 0);
            if child == 0 {
                // SAFETY: as above. What hangs is killed.
                unsafe {
                    libc::alarm(20);
                    let own = AtomicU64::new(1);
                    bias::add(&own, 1);
                    libc::_exit(i32::from(own.into_inner() != 2));
                }
            }
            let mut status = 0;
            // SAFETY: waits for the child above.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            failed += i32::from(status != 0);
        }
        DONE.store(true, Ordering::Relaxed);
        assert_eq!(failed, 0);
    });
}
