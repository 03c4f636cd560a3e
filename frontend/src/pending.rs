//! The storages whose value is still to be computed.
//!
//! A storage takes itself off the list when it dies, so that what a loop recorded and dropped costs no
//! memory: the next storage is made where it was.

use crate::lock::Lock;
use crate::tensor::Storage;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

static WAITING: Lock<Waiting> = Lock::new(Waiting { places: Vec::new(), free: Vec::new() });

struct Waiting {
    /// An empty place holds a reference to nothing.
    places: Vec<Weak<Storage>>,
    free: Vec<u32>,
}

/// A storage's place on the list.
#[derive(Debug)]
pub struct Place(AtomicU32);

const NOWHERE: u32 = u32::MAX;

impl Default for Place {
    fn default() -> Place {
        Place(AtomicU32::new(NOWHERE))
    }
}

/// Puts a storage on the list, once.
pub(crate) fn add(storage: &Arc<Storage>) {
    let mut waiting = WAITING.lock();
    if storage.place.0.load(Ordering::Relaxed) != NOWHERE {
        return;
    }
    let place = match waiting.free.pop() {
        Some(free) => {
            waiting.places[free as usize] = Arc::downgrade(storage);
            free
        }
        None => {
            waiting.places.push(Arc::downgrade(storage));
            (waiting.places.len() - 1) as u32
        }
    };
    storage.place.0.store(place, Ordering::Relaxed);
}

/// Takes all that are alive off the list.
pub(crate) fn take() -> Vec<Arc<Storage>> {
    let mut waiting = WAITING.lock();
    waiting.free.clear();
    // Those that die at this moment find the list empty.
    let places = std::mem::take(&mut waiting.places);
    let alive: Vec<Arc<Storage>> = places.iter().filter_map(Weak::upgrade).collect();
    alive.iter().for_each(|s| s.place.0.store(NOWHERE, Ordering::Relaxed));
    drop(waiting);
    alive
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
        *held = Weak::new();
        waiting.free.push(place);
    }
}
