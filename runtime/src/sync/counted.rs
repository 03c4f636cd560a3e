//! A shared pointer for what is made and dropped with every operator.

use super::bias;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// As `Arc`, counted by [`bias`]. Clones share the value.
pub struct Counted<T>(NonNull<Inner<T>>);

/// As `std::sync::Weak`: a reference that does not keep the value.
pub struct Weak<T>(Option<NonNull<Inner<T>>>);

/// What was the last reference: nobody else can come to the value any more.
#[derive(Debug)]
pub struct Last<T>(NonNull<Inner<T>>);

struct Inner<T> {
    /// How many [`Counted`] there are. It stays zero.
    strong: AtomicU64,
    /// How many [`Weak`] there are, and one for all `Counted` together. The memory goes with the last.
    weak: AtomicU64,
    value: ManuallyDrop<T>,
}

// SAFETY: as for `Arc`: every thread with a clone has a `&T`, and whichever is the last drops the `T`.
unsafe impl<T: Send + Sync> Send for Counted<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Counted<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Weak<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Weak<T> {}

/// More references than that are leaked ones, and would end in a count of zero.
const MOST: u64 = u64::MAX / 2;

impl<T> Counted<T> {
    #[inline]
    pub fn new(value: T) -> Counted<T> {
        let value = ManuallyDrop::new(value);
        let inner = Inner { strong: AtomicU64::new(1), weak: AtomicU64::new(1), value };
        Counted(NonNull::from(Box::leak(Box::new(inner))))
    }

    /// [`Counted::new`] of what `write` writes where it stays. A panic in there leaks what it has written.
    ///
    /// # Safety
    /// `write` makes a `T` of the memory that it is given.
    #[inline(always)]
    pub unsafe fn new_in_place(write: impl FnOnce(*mut T)) -> Counted<T> {
        let mut memory = Box::<Inner<T>>::new_uninit();
        let inner = memory.as_mut_ptr();
        // SAFETY: the fields are in the box; the first two are numbers, and the caller's `write` sees to the third.
        unsafe {
            (&raw mut (*inner).strong).write(AtomicU64::new(1));
            (&raw mut (*inner).weak).write(AtomicU64::new(1));
            write((&raw mut (*inner).value).cast::<T>());
            Counted(NonNull::from(Box::leak(memory.assume_init())))
        }
    }

    #[inline(always)]
    fn inner(&self) -> &Inner<T> {
        // SAFETY: made from a box, which is freed after the last reference.
        unsafe { self.0.as_ref() }
    }

    /// How many references there are but weak ones. Others may make and drop them meanwhile.
    #[inline]
    pub fn count(this: &Counted<T>) -> u64 {
        this.inner().strong.load(Ordering::Relaxed)
    }

    /// The value's address.
    #[inline]
    pub fn as_ptr(this: &Counted<T>) -> *const T {
        &raw const *this.inner().value
    }

    /// Whether both are references to one value.
    #[inline]
    pub fn ptr_eq(this: &Counted<T>, other: &Counted<T>) -> bool {
        this.0 == other.0
    }

    #[inline]
    pub fn downgrade(this: &Counted<T>) -> Weak<T> {
        if bias::add(&this.inner().weak, 1) > MOST {
            std::process::abort();
        }
        Weak(Some(this.0))
    }

    /// A weak reference that is not counted.
    ///
    /// # Safety
    /// It is never dropped, and not used after the value's `drop` has returned.
    #[inline]
    pub unsafe fn uncounted(this: &Counted<T>) -> ManuallyDrop<Weak<T>> {
        ManuallyDrop::new(Weak(Some(this.0)))
    }

    /// Drops the reference, and gives the value to whom that was the last of.
    #[inline]
    pub fn last(this: Counted<T>) -> Option<Last<T>> {
        let this = ManuallyDrop::new(this);
        this.leave()
    }

    /// Counts this reference down, once.
    #[inline(always)]
    fn leave(&self) -> Option<Last<T>> {
        if bias::sub(&self.inner().strong, 1) != 1 {
            return None;
        }
        // What others did with the value before they went is seen: their `Release`, this `Acquire`.
        fence(Ordering::Acquire);
        Some(Last(self.0))
    }
}

impl<T> Deref for Counted<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Clone for Counted<T> {
    #[inline(always)]
    fn clone(&self) -> Counted<T> {
        if bias::add(&self.inner().strong, 1) > MOST {
            std::process::abort();
        }
        Counted(self.0)
    }
}

impl<T> Drop for Counted<T> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(last) = self.leave() {
            free(last);
        }
    }
}

/// Out of the way of those who only count.
#[inline(never)]
fn free<T>(last: Last<T>) {
    drop(last);
}

impl<T> Deref for Last<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the memory is there until the weak reference of all strong ones is dropped, which is this one's to do.
        // Others with weak references see the counts alone.
        unsafe { &*(&raw const (*self.0.as_ptr()).value).cast::<T>() }
    }
}

impl<T> DerefMut for Last<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above; there is no strong reference any more, and a weak one gives none.
        unsafe { &mut *(&raw mut (*self.0.as_ptr()).value).cast::<T>() }
    }
}

impl<T> Drop for Last<T> {
    #[inline(always)]
    fn drop(&mut self) {
        // Also if the value's `drop` panics.
        let _memory = Weak(Some(self.0));
        // SAFETY: the value is dropped here and nowhere else.
        unsafe { (&raw mut (*self.0.as_ptr()).value).cast::<T>().drop_in_place() };
    }
}

impl<T> Weak<T> {
    /// A reference to nothing.
    pub const fn new() -> Weak<T> {
        Weak(None)
    }

    /// The value, if something keeps it.
    #[inline]
    pub fn upgrade(&self) -> Option<Counted<T>> {
        let inner = self.0?;
        // SAFETY: the memory is there as long as this reference is.
        let strong = unsafe { &(*inner.as_ptr()).strong };
        bias::add_unless_zero(strong).then(|| Counted(inner))
    }

    /// The address that the value has, or had.
    pub fn as_ptr(&self) -> *const T {
        // SAFETY: the memory is there as long as this reference is; the value in it is not read.
        self.0.map_or(std::ptr::null(), |inner| unsafe { (&raw const (*inner.as_ptr()).value).cast::<T>() })
    }
}

impl<T> Default for Weak<T> {
    fn default() -> Weak<T> {
        Weak::new()
    }
}

impl<T> Drop for Weak<T> {
    #[inline(always)]
    fn drop(&mut self) {
        let Some(inner) = self.0 else { return };
        // SAFETY: the memory is there as long as this reference is.
        let weak = unsafe { &(*inner.as_ptr()).weak };
        // Of the last reference of any kind nobody else can make another.
        if weak.load(Ordering::Acquire) != 1 {
            if bias::sub(weak, 1) != 1 {
                return;
            }
            fence(Ordering::Acquire);
        }
        // SAFETY: this was the last reference of any kind, to what was made as a box; the value in it has been dropped.
        drop(unsafe { Box::from_raw(inner.as_ptr()) });
    }
}

impl<T: fmt::Debug> fmt::Debug for Counted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> fmt::Debug for Weak<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(Weak)")
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

    /// Weak references give the value while something keeps it, in many threads and after it is gone.
    #[test]
    fn weak_references_give_the_value_or_nothing() {
        let value = Arc::new(7);
        for _ in 0..200 {
            let first = Counted::new(value.clone());
            let weak = Counted::downgrade(&first);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    let weak = Counted::downgrade(&first);
                    scope.spawn(move || {
                        while let Some(clone) = weak.upgrade() {
                            assert_eq!(**clone, 7);
                        }
                    });
                }
                drop(first);
            });
            assert!(weak.upgrade().is_none());
            assert_eq!(Arc::strong_count(&value), 1);
        }
        assert!(Weak::<u8>::new().upgrade().is_none());
    }

    #[test]
    fn the_last_reference_owns_the_value() {
        // SAFETY: writes it.
        let first = unsafe { Counted::new_in_place(|p: *mut Vec<u8>| p.write(vec![1, 2])) };
        let (second, weak) = (first.clone(), Counted::downgrade(&first));
        assert!(Counted::ptr_eq(&first, &second) && Counted::as_ptr(&first) == weak.as_ptr());
        assert_eq!(Counted::count(&first), 2);
        assert!(Counted::last(first).is_none());
        let mut last = Counted::last(second).unwrap();
        assert!(weak.upgrade().is_none());
        assert_eq!(std::mem::take(&mut *last), [1, 2]);
        drop(last);
        assert!(weak.upgrade().is_none());
    }
}
