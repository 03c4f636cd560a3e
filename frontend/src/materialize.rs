//! When lazy values are computed, and keeping track of those that are not.

use crate::blame;
use crate::capture;
use crate::compile::cache::{PlanCache, scalar_bytes};
use crate::compile::extract::{Entry, Recording, extract, extract_roots};
use crate::counters;
use crate::device::{self, Device, Memory};
use crate::error::Result;
use crate::host::{check_room, for_each_offset};
use crate::node::{Alias, Kind, Node, Value};
use crate::record::Recorder;
use crate::storage::Storage;
use crate::view::{View, numel};
use crate::{pending, pieces};
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use ttk_ir::{Op, Type};
use ttk_runtime::Buffer;

/// The cache of compiled plans; its lock also makes computations one at a time.
static PLANS: LazyLock<Mutex<PlanCache>> = LazyLock::new(Mutex::default);

/// So many values and their memory are passed on without a list of their own on the heap: a call of one operator, whose
/// result is wanted at once.
const FEW: usize = 4;

/// How often something was computed.
static COMPUTED: AtomicU64 = AtomicU64::new(0);

/// How often something was computed.
pub(crate) fn computations() -> u64 {
    COMPUTED.load(Ordering::Relaxed)
}

pub(crate) fn note_computation() {
    COMPUTED.fetch_add(1, Ordering::Relaxed);
}

/// Computes everything that a living tensor still waits for, as one plan; nothing while this thread captures.
///
/// # Errors
/// What goes wrong while compiling or running. What does not depend on the operation that failed is computed all the
/// same; see [`blame::settle`] for what does.
pub fn flush() -> Result<()> {
    if capture::is_capturing() {
        return Ok(());
    }
    let mut waiting: SmallVec<[(Value, Arc<Storage>); FEW]> = SmallVec::new();
    for storage in pending::take() {
        let value = storage.value.lock().clone();
        if value.is_computed() {
            storage.forget_past();
        } else {
            waiting.push((value, storage));
        }
    }
    // In the order of recording, so that the same program gives the same graph.
    waiting.sort_by_key(|(value, _)| value.id);
    let mut roots: SmallVec<[Value; FEW]> = SmallVec::with_capacity(waiting.len());
    let mut storages: SmallVec<[Arc<Storage>; FEW]> = SmallVec::with_capacity(waiting.len());
    for (value, storage) in waiting {
        roots.push(value);
        storages.push(storage);
    }
    let result = compute(&roots);
    drop(roots);
    let result = match result {
        Ok(()) => {
            storages.iter().for_each(|s| s.forget_past());
            Ok(())
        }
        Err(_) => blame::settle(storages.into_vec()),
    };
    pieces::note_flush();
    result
}

/// Computes values, together and with what they need.
///
/// # Errors
/// What goes wrong while compiling or running; nothing is changed then.
pub fn compute(roots: &[Value]) -> Result<()> {
    compute_as(roots, extract)
}

/// [`compute`] of the roots alone.
pub(crate) fn compute_roots(roots: &[Value]) -> Result<()> {
    compute_as(roots, extract_roots)
}

/// Computes a value that someone wants to see. When that fails, what waits with it is computed as by [`flush`].
///
/// # Errors
/// What goes wrong while compiling or running.
pub fn demand(roots: &[Value]) -> Result<()> {
    let result = compute(roots);
    if result.is_err() {
        // What fails there for the same reason has been told.
        let _ = flush();
    }
    result
}

fn compute_as(roots: &[Value], extract: fn(&[Value]) -> Recording) -> Result<()> {
    if capture::is_capturing() && roots.iter().any(|v| matches!(v.device, Some(Device::Cuda(_)))) {
        return Err(capture::not_permitted());
    }
    let mut plans = PLANS.lock();
    note_computation();
    if device::used() {
        return compute_everywhere(&mut plans, roots, extract);
    }
    compute_in_one(&mut plans, roots, extract)
}

/// Computes values each on its device, after what they need of others.
fn compute_everywhere(
    plans: &mut PlanCache,
    roots: &[Value],
    extract: fn(&[Value]) -> Recording,
) -> Result<()> {
    let mut devices: Vec<Device> = Vec::new();
    let device_of = |v: &Value| v.device.unwrap_or(Device::Cpu);
    for device in roots.iter().map(device_of) {
        if !devices.contains(&device) {
            devices.push(device);
        }
    }
    for device in devices {
        let here: Vec<Value> = roots.iter().filter(|v| device_of(v) == device).cloned().collect();
        let foreign = foreign(&here, device);
        if !foreign.is_empty() {
            compute_everywhere(plans, &foreign, extract)?;
        }
        compute_in_one(plans, &here, extract)?;
    }
    Ok(())
}

/// The values of other devices that computing some values needs and that are not known, in the order of recording.
fn foreign(roots: &[Value], device: Device) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    let mut seen: FxHashSet<u64> = FxHashSet::default();
    let mut stack: Vec<Value> = roots.to_vec();
    while let Some(value) = stack.pop() {
        if !seen.insert(value.id) || value.is_computed() {
            continue;
        }
        if value.device.is_some_and(|d| d != device) {
            found.push(value);
        } else {
            stack.extend(value.inputs());
        }
    }
    found.sort_by_key(|v| v.id);
    found
}

/// Computes values of one device; what they need of others is known.
fn compute_in_one(plans: &mut PlanCache, roots: &[Value], extract: fn(&[Value]) -> Recording) -> Result<()> {
    let waiting: SmallVec<[Value; FEW]>;
    let roots = if roots.iter().any(|v| v.is_computed()) {
        waiting = roots.iter().filter(|v| !v.is_computed()).cloned().collect();
        waiting.as_slice()
    } else {
        roots
    };
    if roots.is_empty() {
        return Ok(());
    }
    let recording = extract(roots);
    let device = recording.device;
    let mut results: Vec<Memory> = Vec::new();
    // Copies of leaves of other devices.
    let mut copies: Vec<(usize, Memory)> = Vec::new();
    if !recording.outputs.is_empty() {
        let (plan, arguments) = plans.plan_for(&recording)?;
        for (i, leaf) in recording.leaves.iter().enumerate() {
            if let Some(memory) = leaf.memory().filter(|m| m.device() != device) {
                let copy = memory.on(device)?;
                // What can be anywhere is here from now on.
                if leaf.device.is_none() {
                    leaf.give(copy.clone());
                }
                copies.push((i, copy));
            }
        }
        let mut copied = copies.iter().peekable();
        let mut inputs: Vec<Memory> = Vec::with_capacity(recording.leaves.len() + arguments.scalars.len());
        for (i, (leaf, &donate)) in recording.leaves.iter().zip(&recording.donate).enumerate() {
            if let Some((_, copy)) = copied.next_if(|(at, _)| *at == i) {
                inputs.push(copy.clone());
                continue;
            }
            // The plan may write over memory it is given whole: the leaf must not keep a hold of it.
            inputs.extend(if donate && !plan.at_risk(i) { leaf.take() } else { leaf.memory() });
        }
        counters::add(&counters::RUNS, 1);
        let outcome = arguments
            .scalars
            .iter()
            .try_for_each(|&scalar| {
                let (bytes, len) = scalar_bytes(scalar);
                inputs.push(Memory::Host(Buffer::from_slice(&bytes[..len])?).on(device)?);
                Ok(())
            })
            .and_then(|()| plan.run(&mut inputs, &arguments.symbols));
        if outcome.is_err() {
            for (leaf, buffer) in recording.leaves.iter().zip(inputs) {
                if !leaf.is_computed() {
                    leaf.give(buffer);
                }
            }
        }
        results = outcome?;
    }
    for ((_, value), memory) in recording.outputs.iter().zip(results) {
        value.set_computed(memory);
    }
    // Aliases have the elements of what they stand for, when that was computed or known.
    for (alias, at) in &recording.aliases {
        let memory = match &recording.nodes[*at as usize] {
            Entry::Leaf(i) => {
                let copy = copies.iter().find(|(at, _)| at == &(*i as usize)).map(|(_, m)| m.clone());
                let there = |m: &Memory| alias.device.is_none_or(|d| d == m.device());
                copy.filter(there).or_else(|| recording.leaves[*i as usize].memory())
            }
            Entry::Op { value, .. } => value.memory(),
        };
        if let Some(memory) = memory {
            alias.set_computed(match alias.device {
                Some(device) => memory.on(device)?,
                None => memory,
            });
        }
    }
    Ok(())
}

/// The elements of a view of a computed value, copied into a value of their own.
///
/// Without memory for a copy the elements are read where they are.
pub(crate) fn dense_copy(base: &Value, view: &View) -> Value {
    let lazily = || View::apply(&view.steps, &mut Recorder::with_grad(false), base);
    let Some(buffer) = base.buffer() else { return lazily() };
    let size = base.ty.dtype.size();
    if check_room(numel(&view.sizes), size).is_err() {
        return lazily();
    }
    let mut bytes = Vec::with_capacity(numel(&view.sizes) as usize * size);
    let source = buffer.bytes();
    if view.is_contiguous() {
        let from = view.offset as usize * size;
        bytes.extend_from_slice(&source[from..from + numel(&view.sizes) as usize * size]);
    } else {
        for_each_offset(view, |at| bytes.extend_from_slice(&source[at * size..(at + 1) * size]));
    }
    match Buffer::from_slice(&bytes) {
        Ok(copy) => Node::leaf(copy, Type::fixed(base.ty.dtype, &view.sizes)),
        Err(_) => lazily(),
    }
}

/// Memory of a computed storage for someone outside, who sees what is written to the storage from now on.
///
/// Values share memory when they are known to be equal, so the storage gets memory of its own first. A
/// value that a derivative flows through stays as it is, and the memory given is a copy.
///
/// # Errors
/// No memory for the copy.
pub fn share_memory(storage: &Storage) -> Result<Option<Buffer>> {
    let mut shared = storage.shared.lock();
    if let Some(memory) = &*shared {
        return Ok(Some(memory.clone()));
    }
    let mut value = storage.value.lock();
    let Some(buffer) = value.buffer() else { return Ok(None) };
    let own = buffer.duplicate()?;
    own.lend();
    if value.requires_grad {
        return Ok(Some(own));
    }
    *value = Node::leaf(own.clone(), value.ty.clone());
    storage.shared.set(&mut shared, Some(own.clone()));
    Ok(Some(own))
}

/// Computes a storage that shares its memory and puts the elements where the sharer looks.
///
/// A value that a derivative flows through keeps its tape; what is written to the storage later, the sharer
/// does not see then.
pub(crate) fn write_through(storage: &Arc<Storage>) -> Result<()> {
    let value = storage.value.lock().clone();
    compute(std::slice::from_ref(&value))?;
    let mut shared = storage.shared.lock();
    if let (Some(memory), Some(result)) = (&*shared, value.buffer()) {
        // SAFETY: the lock of the storage's shared memory is held, and Python's memory is written as NumPy
        // writes it: by whoever holds the array.
        unsafe { memory.overwrite(&result) };
        if value.requires_grad {
            storage.shared.set(&mut shared, None);
        } else {
            *storage.value.lock() = Node::leaf(memory.clone(), value.ty.clone());
        }
    }
    Ok(())
}

/// Gives a storage that holds zeros, and has not been computed, memory for them now.
///
/// What is recorded on it is then recorded on a leaf, as it will be the next time: a plan that serves the first turn of
/// a loop serves the others.
///
/// # Errors
/// No memory.
pub fn hold_zeros(storage: &Arc<Storage>) -> Result<()> {
    let mut value = storage.value.lock();
    if value.is_computed() || value.requires_grad || capture::is_capturing() {
        return Ok(());
    }
    let inputs = value.inputs();
    let number = match (&value.kind, inputs.as_slice()) {
        (Kind::Alias(Alias::Moved), [constant]) => &constant.kind,
        (kind, _) => kind,
    };
    let Kind::Op(Op::Const { value: number, .. }) = number else { return Ok(()) };
    if number.bits != 0 {
        return Ok(());
    }
    let bytes = numel(&value.dims()) as usize * value.ty.dtype.size();
    let memory = Memory::zeroed(storage.device, bytes)?;
    *value = Node::leaf_on(Some(storage.device), memory, value.ty.clone());
    Ok(())
}

/// Forgets every compiled plan of this process.
pub fn clear_plans() {
    PLANS.lock().clear();
}

/// How many plans are compiled.
pub fn plan_count() -> usize {
    PLANS.lock().len()
}
