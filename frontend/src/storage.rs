//! Memory that tensors share: the value that it holds now, and what it held before.

use crate::device::Device;
use crate::node::{Kind, Node, Value};
use crate::pending;
use crate::record::Recorder;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use ttk_ir::Op;
use ttk_runtime::Buffer;
use ttk_runtime::sync::{Counted, Lock, Weak};

/// Memory that tensors share, as the value it holds now.
#[derive(Debug)]
pub struct Storage {
    pub value: Lock<Value>,
    pub device: Device,
    pub version: Version,
    pub shared: Shared,
    /// Where the storage is on the list of those with a value still to be computed.
    pub place: pending::Place,
    /// What it held before, if it was written.
    pub past: Lock<Option<Box<Past>>>,
}

/// How often a storage was written.
#[derive(Debug)]
pub struct Version {
    /// Made by the first write, or by the first [`Saved`] that watches it: most storages have neither.
    count: OnceLock<Arc<AtomicU32>>,
}

impl Version {
    #[inline]
    pub(crate) const fn new() -> Version {
        Version { count: OnceLock::new() }
    }

    pub fn get(&self) -> u32 {
        self.count.get().map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Counts one more write.
    pub fn bump(&self) -> u32 {
        self.watch().fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The count itself, which outlives the storage.
    pub fn watch(&self) -> &Arc<AtomicU32> {
        self.count.get_or_init(Arc::default)
    }
}

/// Memory that someone outside sees too (NumPy), if there is any: writes must arrive there at once.
#[derive(Debug)]
pub struct Shared {
    memory: Mutex<Option<Buffer>>,
    /// Whether there is any, to be asked without the lock.
    any: AtomicBool,
}

impl Shared {
    #[inline]
    pub(crate) const fn new() -> Shared {
        Shared { memory: Mutex::new(None), any: AtomicBool::new(false) }
    }

    pub fn is_some(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub fn lock(&self) -> MutexGuard<'_, Option<Buffer>> {
        self.memory.lock()
    }

    /// Replaces the memory, whose lock is held.
    pub fn set(&self, memory: &mut MutexGuard<'_, Option<Buffer>>, new: Option<Buffer>) {
        self.any.store(new.is_some(), Ordering::Relaxed);
        **memory = new;
    }
}

/// What a storage held before it was written, since its elements were last computed: the latest of these that can
/// be computed is what it holds again when what was written cannot be.
#[derive(Debug, Default)]
pub struct Past {
    /// The earliest first. What was written mostly keeps them alive: it was made of them.
    pub values: SmallVec<[Weak<Node>; 2]>,
    /// Those that nothing else keeps alive.
    kept: SmallVec<[Value; 1]>,
}

impl Drop for Storage {
    fn drop(&mut self) {
        pending::forget(self);
    }
}

impl Storage {
    /// Notes that `old` was replaced by `new`, which is yet to be computed.
    pub(crate) fn remember(&self, old: Value, new: &Value) {
        let mut past = self.past.lock();
        let past = past.get_or_insert_default();
        if old.is_computed() {
            **past = Past::default();
        }
        past.values.push(Counted::downgrade(&old));
        // A number can always be written.
        if Counted::count(&old) == 1 && !matches!(new.kind, Kind::Op(Op::Const { .. })) {
            past.kept.push(old);
        }
    }

    /// Writes a value of the storage's own sizes and type, through which no derivative flows.
    pub(crate) fn put(this: &Counted<Storage>, new: Value) {
        let new = Recorder::with_grad(false).moved_or_pinned(&new, this.device);
        let old = std::mem::replace(&mut *this.value.lock(), new.clone());
        this.version.bump();
        if new.is_computed() {
            this.forget_past();
        } else {
            this.remember(old, &new);
            pending::add(this);
        }
    }

    /// What the storage held since it was last computed, as far as it is still alive.
    pub fn earlier(&self) -> SmallVec<[Value; 2]> {
        self.past.lock().iter().flat_map(|past| &past.values).filter_map(Weak::upgrade).collect()
    }

    /// Whether the storage was written since it was last computed.
    pub fn was_written(&self) -> bool {
        self.past.lock().as_ref().is_some_and(|past| !past.values.is_empty())
    }

    /// Forgets what the storage held before: its elements are known.
    pub fn forget_past(&self) {
        let past = self.past.lock().take();
        drop(past);
    }
}
