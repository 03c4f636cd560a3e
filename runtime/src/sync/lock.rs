//! A lock for a few instructions.

use super::bias;
use std::sync::atomic::{AtomicBool, Ordering};

/// A lock around what tensors, storages and nodes hold.
///
/// Recording an operator takes several of these, each for a few instructions and hardly ever while another thread has
/// it. A thread that finds it taken gives its time to others, as whoever has it may have been interrupted. Nothing that
/// waits, calls Python or takes long belongs under it.
pub type Lock<T> = lock_api::Mutex<RawLock, T>;

/// What a [`Lock`] is without what it guards.
#[derive(Debug)]
pub struct RawLock(AtomicBool);

// SAFETY: `raise` gives the flag to one at a time, and sees what was done before it was lowered.
unsafe impl lock_api::RawMutex for RawLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "what the trait asks for: a lock's first state")]
    const INIT: RawLock = RawLock(AtomicBool::new(false));
    type GuardMarker = lock_api::GuardNoSend;

    #[inline(always)]
    fn lock(&self) {
        if !self.try_lock() {
            self.wait();
        }
    }

    #[inline(always)]
    fn try_lock(&self) -> bool {
        bias::raise(&self.0)
    }

    #[inline(always)]
    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl RawLock {
    #[cold]
    #[inline(never)]
    fn wait(&self) {
        loop {
            while self.0.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            if bias::raise(&self.0) {
                return;
            }
        }
    }
}
