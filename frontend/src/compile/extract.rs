//! Which operations must run for some values to be known.

use crate::node::{Alias, Kind, Value};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use ttk_ir::Op;

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
#[derive(Debug, Default)]
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
    let mut r = Recording::default();
    let mut seen: FxHashMap<usize, Index> = FxHashMap::default();
    // References to each value from the operands of the recording's own.
    let mut edges: FxHashMap<usize, usize> = FxHashMap::default();
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
                    *edges.entry(key(v)).or_default() += 1;
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
    // One reference is the recording's own.
    let held = |v: &Value| Arc::strong_count(v) > edges.get(&key(v)).copied().unwrap_or(0) + 1;
    let mut tape_alive = false;
    // Entries that somebody will want to compute later, from operands that must then still be there.
    let mut lingering = vec![false; r.nodes.len()];
    for (at, entry) in r.nodes.iter().enumerate() {
        let Entry::Op { value, .. } = entry else { continue };
        let on_tape = value.requires_grad && !value.tape_freed.load(Ordering::Relaxed);
        let wanted = held(value);
        tape_alive |= on_tape && wanted;
        if taken[at] || !wanted && !on_tape {
            continue;
        }
        let Kind::Op(op) = &value.kind else { continue };
        if keep_dear && ttk_autograd::worth_saving(op) {
            taken[at] = true;
            r.outputs.push((at as u32, value.clone()));
        } else {
            lingering[at] = wanted;
        }
    }
    for (alias, at) in &r.aliases {
        lingering[*at as usize] |= !taken[*at as usize] && held(alias);
    }
    for at in (0..r.nodes.len()).rev() {
        if let Entry::Op { inputs, .. } = &r.nodes[at]
            && lingering[at]
        {
            for &i in inputs {
                lingering[i as usize] |= !taken[i as usize];
            }
        }
    }
    tape_alive |= r.aliases.iter().any(|(v, _)| {
        matches!(v.kind, Kind::Alias(Alias::Custom { .. })) && !v.tape_freed.load(Ordering::Relaxed)
    });
    r.donate = r
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| match entry {
            Entry::Leaf(i) => {
                let value = &r.leaves[*i as usize];
                let exclusive = || value.state.lock().buffer.as_ref().is_some_and(|b| b.is_exclusive());
                Some(!tape_alive && !lingering[at] && !held(value) && exclusive())
            }
            Entry::Op { .. } => None,
        })
        .collect();
    r
}
