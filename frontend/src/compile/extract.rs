//! Which operations must run for some values to be known.

use crate::device::{self, Device, Memory};
use crate::node::{Alias, Kind, Value};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use ttk_autograd::worth_saving;
use ttk_ir::Op;
use ttk_ir::op::Family;

/// A position in [`Recording::nodes`].
pub type Index = u32;

/// One thing a recording computes, after its operands.
#[derive(Debug)]
pub enum Entry {
    /// The `i`-th of [`Recording::leaves`].
    Leaf(u32),
    /// The operation of `value`, on earlier entries.
    Op { value: Value, inputs: SmallVec<[Index; 3]> },
}

/// The uncomputed part of the graph below some values, in an order of computation.
#[derive(Debug)]
pub struct Recording {
    pub nodes: Vec<Entry>,
    /// Values that are known.
    pub leaves: Vec<Value>,
    /// What to hand out: position and the value it is for, distinct positions.
    pub outputs: Vec<(Index, Value)>,
    /// Aliases of entries, which are computed along with them.
    pub aliases: Vec<(Value, Index)>,
    /// For each leaf, whether nothing outside the recording can see its memory.
    pub donate: Vec<bool>,
    /// Where it is computed.
    pub device: Device,
}

/// Collects what `roots` need, and which values by the way should be kept.
///
/// Beyond the roots, a value is handed out when someone else still holds it (a tensor, or the tape of a
/// backward pass yet to come) and computing it again would be dear.
pub fn extract(roots: &[Value]) -> Recording {
    extract_with(roots, true)
}

/// [`extract`] of the roots alone: what a trace records.
pub fn extract_roots(roots: &[Value]) -> Recording {
    extract_with(roots, false)
}

fn extract_with(roots: &[Value], keep_dear: bool) -> Recording {
    let mut r = Recording {
        nodes: Vec::new(),
        leaves: Vec::new(),
        outputs: Vec::new(),
        aliases: Vec::new(),
        donate: Vec::new(),
        device: roots.iter().fold(None, |d, v| device::join(d, v.device)).unwrap_or(Device::Cpu),
    };
    let mut seen: FxHashMap<usize, Index> = FxHashMap::default();
    // References to each value, alias or not, from inside the recording.
    let mut internal: FxHashMap<usize, usize> = FxHashMap::default();
    let key = |v: &Value| Arc::as_ptr(v) as usize;

    enum Visit {
        Enter(Value),
        Leave(Value, SmallVec<[Value; 3]>),
    }
    let mut stack: Vec<Visit> = roots.iter().rev().map(|v| Visit::Enter(v.clone())).collect();
    while let Some(visit) = stack.pop() {
        match visit {
            Visit::Enter(value) => {
                if seen.contains_key(&key(&value)) {
                    continue;
                }
                let state = value.state.lock();
                if state.buffer.is_some() {
                    drop(state);
                    seen.insert(key(&value), r.nodes.len() as u32);
                    r.nodes.push(Entry::Leaf(r.leaves.len() as u32));
                    r.leaves.push(value);
                    continue;
                }
                let inputs = state.inputs.clone();
                drop(state);
                stack.push(Visit::Leave(value, inputs.clone()));
                stack.extend(inputs.into_iter().rev().map(Visit::Enter));
            }
            Visit::Leave(value, inputs) => {
                if seen.contains_key(&key(&value)) {
                    continue;
                }
                let positions: SmallVec<[Index; 3]> = inputs.iter().map(|v| seen[&key(v)]).collect();
                for v in &inputs {
                    *internal.entry(key(v)).or_default() += 1;
                }
                match &value.kind {
                    Kind::Op(Op::Detach) | Kind::Alias(_) => {
                        seen.insert(key(&value), positions[0]);
                        r.aliases.push((value, positions[0]));
                    }
                    Kind::Op(_) => {
                        seen.insert(key(&value), r.nodes.len() as u32);
                        r.nodes.push(Entry::Op { value, inputs: positions });
                    }
                    Kind::Leaf => unreachable!("a leaf always has its elements"),
                }
            }
        }
    }

    let mut taken = vec![false; r.nodes.len()];
    for root in roots {
        let at = seen[&key(root)];
        if !std::mem::replace(&mut taken[at as usize], true) {
            let value = match &r.nodes[at as usize] {
                Entry::Op { value, .. } => value.clone(),
                // An alias of something known: set directly when results are handed out.
                Entry::Leaf(_) => continue,
            };
            r.outputs.push((at, value));
        }
    }
    // Whether someone outside holds a value: one reference is the recording's own.
    let seen_outside = |v: &Value| Arc::strong_count(v) > internal.get(&key(v)).copied().unwrap_or(0) + 1;
    let mut held: Vec<bool> = r
        .nodes
        .iter()
        .map(|entry| match entry {
            Entry::Leaf(i) => seen_outside(&r.leaves[*i as usize]),
            Entry::Op { value, .. } => seen_outside(value),
        })
        .collect();
    for (alias, at) in &r.aliases {
        held[*at as usize] |= seen_outside(alias);
    }
    let mut tape_alive = false;
    for (at, entry) in r.nodes.iter().enumerate() {
        let Entry::Op { value, .. } = entry else { continue };
        let on_tape = value.requires_grad && !value.tape_freed.load(Ordering::Relaxed);
        tape_alive |= on_tape && held[at];
        let Kind::Op(op) = &value.kind else { continue };
        // What a tensor holds is computed with the rest, but for what costs nothing to take again.
        let wanted = if held[at] && !on_tape { !is_free(op) } else { on_tape && worth_saving(op) };
        if keep_dear && wanted && !taken[at] {
            taken[at] = true;
            r.outputs.push((at as u32, value.clone()));
        }
    }
    tape_alive |= r.aliases.iter().any(|(v, _)| {
        matches!(v.kind, Kind::Alias(Alias::Custom { .. })) && !v.tape_freed.load(Ordering::Relaxed)
    });
    // What stays uncomputed and is held will be computed later from these leaves: they must stay.
    let mut kept = vec![false; r.nodes.len()];
    for at in (0..r.nodes.len()).rev() {
        let Entry::Op { inputs, .. } = &r.nodes[at] else { continue };
        kept[at] |= held[at];
        if kept[at] && !taken[at] {
            for &i in inputs {
                kept[i as usize] = true;
            }
        }
    }
    r.donate = r
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| match entry {
            Entry::Leaf(i) => {
                let value = &r.leaves[*i as usize];
                let own = |m: &Memory| m.is_exclusive() && m.device() == r.device;
                let exclusive = || value.state.lock().buffer.as_ref().is_some_and(own);
                Some(!tape_alive && !kept[at] && !held[at] && exclusive())
            }
            Entry::Op { .. } => None,
        })
        .collect();
    r
}

/// Whether what an operation gives is there for the asking: a number, or elements that are elsewhere.
///
/// Joining, padding and updating are views to the passes as well, but what they join has to be there: a loop
/// that appends to a tensor would record all of its past.
fn is_free(op: &Op) -> bool {
    match op {
        Op::Const { .. } => true,
        op => {
            op.family() == Family::View && !matches!(op, Op::Concat { .. } | Op::Pad { .. } | Op::Update(_))
        }
    }
}
