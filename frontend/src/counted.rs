//! A shared pointer for what is made and dropped with every operator.
//!
//! As `Arc`, but without weak references. Whoever finds itself alone can free what it points to without counting: of the
//! read-modify-write instructions that an operator costs, `Arc` takes two more for that.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// Clones share the value.
pub(crate) struct Counted<T>(NonNull<Inner<T>>);

struct Inner<T> {
    count: AtomicUsize,
    value: T,
}

// SAFETY: as for `Arc`: every thread with a clone has a `&T`, and whichever is the last drops the `T`.
unsafe impl<T: Send + Sync> Send for Counted<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Counted<T> {}

impl<T> Counted<T> {
    #[inline]
    pub(crate) fn new(value: T) -> Counted<T> {
        Counted(NonNull::from(Box::leak(Box::new(Inner { count: AtomicUsize::new(1), value }))))
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: made from a box, which is freed by the last reference.
        unsafe { self.0.as_ref() }
    }

    /// The value's address.
    pub(crate) fn as_ptr(&self) -> *const T {
        &raw const self.inner().value
    }
}

impl<T> Deref for Counted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Clone for Counted<T> {
    fn clone(&self) -> Counted<T> {
        // More references than that are leaked ones, and would end in a count of zero.
        if self.inner().count.fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
            std::process::abort();
        }
        Counted(self.0)
    }
}

impl<T> Drop for Counted<T> {
    #[inline]
    fn drop(&mut self) {
        let count = &self.inner().count;
        // Only a reference can be cloned, so nobody counts up beside the only one. What others did with the value
        // before they went is seen: their `Release`, this `Acquire`.
        if count.load(Ordering::Acquire) != 1 {
            if count.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            fence(Ordering::Acquire);
        }
        // SAFETY: this was the last reference, to what was made as a box.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<T: fmt::Debug> fmt::Debug for Counted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Clones in many threads, of which any may be the last.
    #[test]
    fn the_last_clone_drops_the_value() {
        let value = Arc::new(7);
        for _ in 0..200 {
            let first = Counted::new(value.clone());
            std::thread::scope(|scope| {
                for clone in [first.clone(), first.clone(), first] {
                    scope.spawn(move || assert_eq!(**clone.clone(), 7));
                }
            });
            assert_eq!(Arc::strong_count(&value), 1);
        }
    }
}
