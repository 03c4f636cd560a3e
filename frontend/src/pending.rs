//! The storages whose value is still to be computed.
//!
//! A storage takes itself off the list when it dies, so that what a loop recorded and dropped costs no
//! memory: the next storage is made where it was.

use crate::storage::Storage;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, Ordering};
use ttk_runtime::sync::{Counted, Lock, Weak};

static WAITING: Lock<Waiting> = Lock::new(Waiting { places: Vec::new(), free: Vec::new() });

struct Waiting {
    /// An empty place holds a reference to nothing. See [`uncounted`] for the others.
    places: Vec<ManuallyDrop<Weak<Storage>>>,
    free: Vec<u32>,
}

/// A storage's place on the list.
#[derive(Debug)]
pub struct Place(AtomicU32);

const NOWHERE: u32 = u32::MAX;

impl Place {
    #[inline]
    pub(crate) const fn new() -> Place {
        Place(AtomicU32::new(NOWHERE))
    }
}

/// A reference to a storage that is on the list. It is not counted: of what recording and dropping a tensor costs,
/// counting up and down would be a twentieth.
fn uncounted(storage: &Counted<Storage>) -> ManuallyDrop<Weak<Storage>> {
    // SAFETY: the storage's `drop` has this reference forgotten before it returns (`forget`, which waits for the list's
    // lock). Until then it is only read, under that lock, and never dropped.
    unsafe { Counted::uncounted(storage) }
}

/// Puts a storage on the list, once.
pub(crate) fn add(storage: &Counted<Storage>) {
    let mut waiting = WAITING.lock();
    if storage.place.0.load(Ordering::Relaxed) != NOWHERE {
        return;
    }
    let place = match waiting.free.pop() {
        Some(free) => {
            waiting.places[free as usize] = uncounted(storage);
            free
        }
        None => {
            waiting.places.push(uncounted(storage));
            (waiting.places.len() - 1) as u32
        }
    };
    storage.place.0.store(place, Ordering::Relaxed);
}

/// Takes all that are alive off the list, and gives each to `take`, under the list's lock.
pub(crate) fn take_all(mut take: impl FnMut(Counted<Storage>)) {
    let mut waiting = WAITING.lock();
    waiting.free.clear();
    // Those that die at this moment wait for the lock, and find the list empty or their place another's.
    for place in waiting.places.drain(..) {
        if let Some(storage) = place.upgrade() {
            storage.place.0.store(NOWHERE, Ordering::Relaxed);
            take(storage);
        }
    }
}

/// Takes a storage that dies off the list.
pub(crate) fn forget(storage: &mut Storage) {
    let place = *storage.place.0.get_mut();
    if place == NOWHERE {
        return;
    }
    let mut waiting = WAITING.lock();
    // Since then the list may have been taken, and the place given to another.
    if let Some(held) = waiting.places.get_mut(place as usize)
        && std::ptr::eq(held.as_ptr(), storage)
    {
        *held = ManuallyDrop::new(Weak::new());
        waiting.free.push(place);
    }
}

#[cfg(test)]
mod tests {
    use crate::materialize::flush;
    use crate::record::Recorder;
    use crate::tensor::Tensor;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use ttk_ir::{Builder, DType, Type};

    /// Threads record and drop while another takes what waits, and what is dropped in between is forgotten.
    #[test]
    fn storages_die_while_the_list_is_taken() {
        let x = Recorder::new().zeros(&Type::fixed(DType::F32, &[2]));
        let running = AtomicUsize::new(3);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut kept = Vec::new();
                    for i in 0..2_000 {
                        let t = Tensor::from_value(Recorder::new().neg(&x));
                        if i % 100 == 0 {
                            kept.push(t);
                        }
                    }
                    running.fetch_sub(1, Ordering::Relaxed);
                    kept
                });
            }
            while running.load(Ordering::Relaxed) > 0 {
                flush().unwrap();
            }
        });
        flush().unwrap();
    }
}
