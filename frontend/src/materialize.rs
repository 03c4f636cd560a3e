//! When lazy values are computed, and keeping track of those that are not.

use crate::blame;
use crate::capture;
use crate::compile::Compiled;
use crate::compile::cache::{PlanCache, scalar_bytes};
use crate::compile::extract::{Recording, Step, extract, extract_roots_into};
use crate::compile::generalize::Arguments;
use crate::compile::single::Singles;
use crate::counters;
use crate::device::{self, Device, Memories, Memory};
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
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use ttk_ir::{Op, Type};
use ttk_runtime::Buffer;
use ttk_runtime::sync::{Counted, bias};

/// What computing takes. Its lock makes computations one at a time.
static COMPUTING: LazyLock<Mutex<Computing>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Computing {
    plans: PlanCache,
    singles: Singles,
    /// Room for the next recording.
    recording: Recording,
}

/// How what is to be computed is found: [`extract`] or [`extract_roots_into`].
type Extract = fn(&[Value], &mut Recording);

/// So many values and their memory are passed on without a list of their own on the heap: a call of one operator, whose
/// result is wanted at once.
const FEW: usize = 4;

/// How often something was computed.
static COMPUTED: AtomicU64 = AtomicU64::new(0);

/// How often something was computed.
pub(crate) fn computations() -> u64 {
    COMPUTED.load(Ordering::Relaxed)
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
    let mut storages: SmallVec<[Counted<Storage>; FEW]> = SmallVec::new();
    pending::take_all(|storage| storages.push(storage));
    // In the order of recording, so that the same program gives the same graph.
    if storages.len() > 1 {
        storages.sort_by_cached_key(|storage| storage.value.lock().id);
    }
    let mut roots: SmallVec<[Value; FEW]> = SmallVec::with_capacity(storages.len());
    storages.retain(|storage| {
        let value = storage.value.lock().clone();
        let waits = !value.is_computed();
        if waits {
            roots.push(value);
        } else {
            storage.forget_past();
        }
        waits
    });
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
    compute_as(roots, extract_roots_into)
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

fn compute_as(roots: &[Value], extract: Extract) -> Result<()> {
    if capture::is_capturing() && roots.iter().any(|v| matches!(v.device, Some(Device::Cuda(_)))) {
        return Err(capture::not_permitted());
    }
    let mut computing = COMPUTING.lock();
    bias::add(&COMPUTED, 1);
    if device::used() {
        return compute_everywhere(&mut computing, roots, extract);
    }
    compute_in_one(&mut computing, roots, extract)
}

/// Computes values each on its device, after what they need of others.
fn compute_everywhere(computing: &mut Computing, roots: &[Value], extract: Extract) -> Result<()> {
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
            compute_everywhere(computing, &foreign, extract)?;
        }
        compute_in_one(computing, &here, extract)?;
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
fn compute_in_one(computing: &mut Computing, roots: &[Value], extract: Extract) -> Result<()> {
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
    if let [root] = roots
        && !device::used()
        && let Some((compiled, arguments, mut inputs)) = computing.singles.find(root)
    {
        counters::add(&counters::CACHE_HITS, 1);
        let outcome = run_plan(compiled, arguments, &mut inputs, Device::Cpu, [root].into_iter());
        if outcome.is_err() {
            give_back(inputs, root.inputs().iter());
        }
        return outcome;
    }
    // A panic lets go of it.
    let mut recording = std::mem::take(&mut computing.recording);
    extract(roots, &mut recording);
    let result = run(computing, &recording);
    recording.clear();
    computing.recording = recording;
    result
}

/// Computes a recording and hands out the results.
fn run(computing: &mut Computing, recording: &Recording) -> Result<()> {
    let device = recording.device;
    // Copies of leaves of other devices.
    let mut copies: Vec<(usize, Memory)> = Vec::new();
    if recording.outputs().len() > 0 {
        let (compiled, arguments) = computing.plans.plan_for(recording)?;
        computing.singles.learn(recording, &compiled, &arguments);
        if device::used() {
            copies = copy_leaves(recording)?;
        }
        let n_inputs = recording.leaves().len() + arguments.scalars.len();
        let mut inputs = Memories::with_capacity(device, n_inputs);
        let mut copied = copies.iter().peekable();
        for (i, (leaf, &given)) in recording.leaves().zip(&recording.donate).enumerate() {
            let memory = match copied.next_if(|(at, _)| *at == i) {
                Some((_, copy)) => Some(copy.clone()),
                None => compiled.lend(i, leaf, given),
            };
            memory.into_iter().for_each(|memory| inputs.push(memory));
        }
        let outputs = recording.outputs().map(|(_, value)| value);
        let outcome = run_plan(&compiled, &arguments, &mut inputs, device, outputs);
        if outcome.is_err() {
            give_back(inputs, recording.leaves());
            return outcome;
        }
    }
    // Aliases have the elements of what they stand for, when that was computed or known.
    for (alias, at) in &recording.aliases {
        let memory = match recording.entry(*at) {
            (leaf, Step::Leaf(i)) => {
                let copy = copies.iter().find(|(at, _)| *at == i).map(|(_, m)| m.clone());
                let there = |m: &Memory| alias.device.is_none_or(|d| d == m.device());
                copy.filter(there).or_else(|| leaf.memory())
            }
            (value, Step::Op(_)) => value.memory(),
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

/// Runs a plan on the memory of leaves, to which its numbers are added, and hands out the results.
fn run_plan<'a>(
    compiled: &Compiled,
    arguments: &Arguments,
    inputs: &mut Memories,
    device: Device,
    outputs: impl Iterator<Item = &'a Value>,
) -> Result<()> {
    for &scalar in &arguments.scalars {
        let (bytes, len) = scalar_bytes(scalar);
        inputs.push(Memory::Host(Buffer::from_slice(&bytes[..len])?).on(device)?);
    }
    counters::add(&counters::RUNS, 1);
    let results = compiled.run(inputs, &arguments.symbols)?;
    results.hand_out(outputs, |value, memory| value.set_computed(memory));
    Ok(())
}

/// Gives leaves that lost their memory to a run which failed that memory again.
fn give_back<'a>(inputs: Memories, leaves: impl Iterator<Item = &'a Value>) {
    inputs.hand_out(leaves, |leaf, memory| {
        if !leaf.is_computed() {
            leaf.give(memory);
        }
    });
}

/// Copies of the leaves that are on other devices than their recording, and which leaves these are.
fn copy_leaves(recording: &Recording) -> Result<Vec<(usize, Memory)>> {
    let device = recording.device;
    let mut copies = Vec::new();
    for (i, leaf) in recording.leaves().enumerate() {
        if let Some(memory) = leaf.memory().filter(|m| m.device() != device) {
            let copy = memory.on(device)?;
            // What can be anywhere is here from now on.
            if leaf.device.is_none() {
                leaf.give(copy.clone());
            }
            copies.push((i, copy));
        }
    }
    Ok(copies)
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
    let source = buffer.bytes();
    let copy = if view.is_contiguous() {
        let from = view.offset as usize * size;
        Buffer::from_slice(&source[from..from + numel(&view.sizes) as usize * size])
    } else {
        let mut bytes = Vec::with_capacity(numel(&view.sizes) as usize * size);
        for_each_offset(view, |at| bytes.extend_from_slice(&source[at * size..(at + 1) * size]));
        Buffer::from_slice(&bytes)
    };
    match copy {
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
pub(crate) fn write_through(storage: &Counted<Storage>) -> Result<()> {
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
pub fn hold_zeros(storage: &Counted<Storage>) -> Result<()> {
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
    let mut computing = COMPUTING.lock();
    computing.plans.clear();
    computing.singles.clear();
}

/// How many plans are compiled.
pub fn plan_count() -> usize {
    COMPUTING.lock().plans.len()
}
