//! Work of GPUs that is recorded once and run again on the same tensors (`torch.cuda.CUDAGraph`).
//!
//! While a thread captures, its operators are recorded as always, and nothing of them is computed: the tensors that are read
//! and were there before are the inputs, those that are made or written are the results. A replay computes the results of what
//! the inputs hold then, and writes them where they were: to tensors of the program, which it may read and write
//! between replays. What was written in the capture is undone at its end, as nothing has run.

use crate::compile::extract::extract_roots;
use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::materialize;
use crate::node::Value;
use crate::pieces;
use crate::random::{Generator, gpu_generators};
use crate::storage::Storage;
use crate::trace::{Traced, trace_values};
use rustc_hash::FxHashSet;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use ttk_runtime::sync::{Counted, Weak};

/// A capture under way.
#[derive(Default)]
struct Capture {
    /// Storages that were there before and are read, with what they held.
    read: Vec<(Counted<Storage>, Value)>,
    /// Storages that were there before and are written, with what they held.
    written: Vec<(Counted<Storage>, Value)>,
    /// Storages that are made. A weak reference keeps the address from being used again.
    made: Vec<Weak<Storage>>,
    /// Addresses of those in `read`, in `written` and in `made`.
    known: [FxHashSet<usize>; 3],
    /// Where the generators of GPUs were: a capture draws nothing.
    generators: Vec<(Arc<Generator>, u64, u64)>,
    /// What [`pieces`] did before.
    whole: bool,
}

/// How many threads capture: mostly none, and then nobody need look whether it is this one.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static CAPTURE: RefCell<Option<Box<Capture>>> = const { RefCell::new(None) };
}

/// Whether this thread captures.
pub fn is_capturing() -> bool {
    CAPTURE.with_borrow(Option::is_some)
}

/// What is refused while work is captured, in the driver's words.
pub(crate) fn not_permitted() -> Error {
    Error::runtime("CUDA error: operation not permitted when stream is capturing")
}

fn note(f: impl FnOnce(&mut Capture)) {
    // Relaxed: this thread's own capture is seen in any case.
    if UNDER_WAY.load(Ordering::Relaxed) == 0 {
        return;
    }
    CAPTURE.with_borrow_mut(|capture| capture.as_deref_mut().map(f));
}

/// Notes a new storage.
pub(crate) fn made(storage: &Counted<Storage>) {
    note(|c| {
        c.known[2].insert(Counted::as_ptr(storage) as usize);
        c.made.push(Counted::downgrade(storage));
    });
}

/// Notes that a storage is read that holds `value`; whether this thread captures.
pub(crate) fn read(storage: &Counted<Storage>, value: &Value) -> bool {
    let mut captures = false;
    note(|c| {
        captures = true;
        let at = Counted::as_ptr(storage) as usize;
        // One that was written holds what was captured.
        if !c.known[1].contains(&at) && !c.known[2].contains(&at) && c.known[0].insert(at) {
            c.read.push((storage.clone(), value.clone()));
        }
    });
    captures
}

/// Notes that a storage is written that holds `old`, which the write reads.
pub(crate) fn written(storage: &Counted<Storage>, old: &Value) {
    if read(storage, old) {
        note(|c| {
            let at = Counted::as_ptr(storage) as usize;
            if !c.known[2].contains(&at) && c.known[1].insert(at) {
                c.written.push((storage.clone(), old.clone()));
            }
        });
    }
}

/// Begins a capture in this thread.
///
/// # Errors
/// One is under way; what goes wrong while what waits is computed.
pub fn begin() -> Result<()> {
    if is_capturing() {
        return Err(not_permitted());
    }
    materialize::flush()?;
    let at = |g: Arc<Generator>| {
        let (seed, offset) = (g.initial_seed(), g.offset());
        (g, seed, offset)
    };
    let generators = gpu_generators().into_iter().map(at).collect();
    let whole = pieces::set_whole(true);
    let capture = Capture { generators, whole, ..Capture::default() };
    CAPTURE.with_borrow_mut(|c| *c = Some(Box::new(capture)));
    UNDER_WAY.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// What was captured.
#[derive(Debug)]
pub struct Captured {
    traced: Traced,
    inputs: Vec<Counted<Storage>>,
    outputs: Vec<Counted<Storage>>,
    device: Device,
}

/// Ends the capture of this thread.
///
/// # Errors
/// None is under way; a defect of the compiler.
pub fn end() -> Result<Captured> {
    let Some(c) = CAPTURE.take() else {
        return Err(Error::runtime("CUDA error: no capture is under way in this thread"));
    };
    UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    pieces::set_whole(c.whole);
    for (g, seed, offset) in &c.generators {
        g.go_to(*seed, *offset);
    }
    // What a processor's tensor is given has run already, in PyTorch too.
    let on_gpu = |s: &Counted<Storage>| matches!(s.device, Device::Cuda(_));
    let made = c.made.iter().filter_map(Weak::upgrade);
    let outputs: Vec<Counted<Storage>> =
        made.chain(c.written.iter().map(|(s, _)| s.clone())).filter(on_gpu).collect();
    let roots: Vec<Value> = outputs.iter().map(|s| s.value.lock().clone()).collect();
    for (storage, old) in c.written.iter().filter(|(s, _)| on_gpu(s)) {
        Storage::put(storage, old.clone());
    }
    // What was read for nothing is no input.
    let leaves: FxHashSet<usize> =
        extract_roots(&roots).leaves().map(|v| Counted::as_ptr(v) as usize).collect();
    let needed = |(_, v): &(Counted<Storage>, Value)| leaves.contains(&(Counted::as_ptr(v) as usize));
    let (inputs, values): (Vec<_>, Vec<_>) = c.read.into_iter().filter(needed).unzip();
    let device = outputs.first().map_or_else(|| Device::Cuda(device::current()), |s| s.device);
    let traced = trace_values(&values, &roots, &[])?;
    Ok(Captured { traced, inputs, outputs, device })
}

impl Captured {
    /// Runs what was captured on what its inputs hold now.
    ///
    /// # Errors
    /// A capture is under way; what goes wrong while running.
    pub fn replay(&self) -> Result<()> {
        if is_capturing() {
            return Err(not_permitted());
        }
        let values: Vec<Value> = self.inputs.iter().map(|s| s.value.lock().clone()).collect();
        let results = device::with_place(self.device, || self.traced.call_values(&values, false))?;
        for (storage, value) in self.outputs.iter().zip(results) {
            Storage::put(storage, value);
        }
        // A loop of replays must not become one recording without end.
        materialize::flush()
    }
}
