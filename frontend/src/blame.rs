//! Which operation of many failed, and what becomes of the values that waited with it.
//!
//! PyTorch raises where an operation is called, and nothing after it happens. Here an operation fails when it is
//! computed, with hundreds of others, and much was recorded after it. So the operation is looked for, and what does
//! not depend on it is computed.

use crate::compile::extract::{Step, extract_roots};
use crate::error::{Error, Result};
use crate::materialize::{compute, compute_roots};
use crate::node::{Kind, Value};
use crate::pending;
use crate::storage::Storage;
use rustc_hash::FxHashMap;
use std::sync::atomic::Ordering;
use ttk_runtime::sync::Counted;

/// Operations looked for after one failure; with more of them wrong, what is left waits for the next time.
const MOST: usize = 16;

/// Computes what it can of storages that could not be computed together.
///
/// # Errors
/// What the first operation that fails says.
///
/// A storage whose value depends on a failed operation is not waited for any more. If it was written in place, it
/// holds again what it held when the operation was called; otherwise its value stays lazy, and tells the error to whoever reads it.
/// An operation that failed before, and was reported, is not reported again for what was merely made of it.
pub(crate) fn settle(storages: Vec<Counted<Storage>>) -> Result<()> {
    let mut waiting = storages;
    // What is computed on the way lets go of what it was made of.
    let _past: Vec<Value> = waiting.iter().flat_map(|s| s.earlier()).collect();
    let mut dependence = Dependence::default();
    let mut reported: Option<Error> = None;
    let mut culprits: Vec<Value> = Vec::new();
    let mut in_pieces = false;
    loop {
        let mut left = Vec::with_capacity(waiting.len());
        for storage in waiting.drain(..) {
            if dependence.first_failed(&storage.value.lock().clone()).is_none() {
                left.push(storage);
                continue;
            }
            if storage.was_written() {
                reported.get_or_insert(Error::IndexOutOfRange);
            }
            if roll_back(&storage, &mut dependence) {
                left.push(storage);
            }
        }
        waiting = left;
        let roots: Vec<Value> = waiting.iter().map(|s| s.value.lock().clone()).collect();
        let Err(failure) = compute(&roots) else {
            waiting.iter().for_each(|s| s.forget_past());
            return reported.map_or(Ok(()), Err);
        };
        match first_failing(&roots) {
            Some((culprit, error)) if culprits.len() < MOST => {
                // A lack of memory may be over the next time; a wrong index stays wrong.
                if error == Error::IndexOutOfRange {
                    culprit.failed.store(true, Ordering::Relaxed);
                }
                dependence = Dependence::default();
                culprits.push(culprit);
                culprits.iter().for_each(|c| dependence.add(c));
                reported.get_or_insert(error);
            }
            // All of it can be computed, piece by piece.
            None if !in_pieces => in_pieces = true,
            _ => {
                waiting.iter().for_each(pending::add);
                return Err(reported.unwrap_or(failure));
            }
        }
    }
}

/// Gives a storage the value it held when the operation was called that failed; whether there is one.
///
/// Later ones may not depend on the operation, and are undone all the same: `m.mul_(0.9)` before `m.add_(gradient)`.
fn roll_back(storage: &Storage, dependence: &mut Dependence) -> bool {
    let mut value = storage.value.lock();
    let mut past = storage.past.lock();
    let failed = dependence.first_failed(&value).unwrap_or(u64::MAX);
    let mut found = None;
    while let Some(earlier) = past.as_mut().and_then(|past| past.values.pop()) {
        let Some(earlier) = earlier.upgrade() else { continue };
        let lost = matches!(earlier.kind, Kind::Leaf) && !earlier.is_computed();
        if !lost && dependence.first_failed(&earlier).is_none() {
            let before = earlier.id < failed;
            // A storage that is younger than the operation goes back to its first value.
            found = Some(earlier);
            if before {
                break;
            }
        }
    }
    let Some(earlier) = found else {
        *past = None;
        return false;
    };
    *value = earlier;
    storage.version.bump();
    true
}

/// The first operation below `roots` that fails, in an order of computation, and how.
///
/// Longer and longer beginnings of that order are computed, by bisection; the beginning before the operation is computed
/// thereafter. `None` if all of it can be computed so.
fn first_failing(roots: &[Value]) -> Option<(Value, Error)> {
    let recording = extract_roots(roots);
    let (mut fine, mut wrong, mut error) = (0, recording.len(), None);
    while fine < wrong {
        let last = fine + (wrong - fine) / 2;
        let mut used = vec![false; last + 1];
        for (_, step) in recording.entries().take(last + 1) {
            let Step::Op(operands) = step else { continue };
            operands.iter().for_each(|&i| used[i as usize] = true);
        }
        let ends = recording.entries().zip(&used).filter_map(|((value, step), used)| match step {
            Step::Op(_) if !used => Some(value.clone()),
            Step::Op(_) | Step::Leaf(_) => None,
        });
        match compute_roots(&ends.collect::<Vec<_>>()) {
            Ok(()) => fine = last + 1,
            Err(e) => (wrong, error) = (last, Some(e)),
        }
    }
    match recording.entries().nth(fine)? {
        (value, Step::Op(_)) => Some((value.clone(), error?)),
        (_, Step::Leaf(_)) => None,
    }
}

/// The first operation that failed among those that a value depends on.
#[derive(Default)]
struct Dependence(FxHashMap<u64, Option<u64>>);

impl Dependence {
    fn add(&mut self, failed: &Value) {
        self.0.insert(failed.id, Some(failed.id));
    }

    fn first_failed(&mut self, value: &Value) -> Option<u64> {
        let mut stack = vec![(value.clone(), false)];
        while let Some((v, inputs_known)) = stack.pop() {
            if self.0.contains_key(&v.id) {
                continue;
            }
            let inputs = if v.is_computed() { Default::default() } else { v.inputs() };
            let failed = v.failed.load(Ordering::Relaxed) && !v.is_computed();
            if failed || inputs_known || inputs.is_empty() {
                let first =
                    if failed { Some(v.id) } else { inputs.iter().filter_map(|i| self.0[&i.id]).min() };
                self.0.insert(v.id, first);
                continue;
            }
            stack.push((v, true));
            stack.extend(inputs.into_iter().map(|i| (i, false)));
        }
        self.0[&value.id]
    }
}
