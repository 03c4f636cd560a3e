//! Which operations must run for some values to be known.

use crate::device::{self, Device, Memory};
use crate::node::{Alias, Kind, Node, Value};
use parking_lot::Mutex;
use smallvec::{SmallVec, smallvec};
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
    pub leaves: SmallVec<[Value; FEW]>,
    /// What to hand out: position and the value it is for, distinct positions.
    pub outputs: SmallVec<[(Index, Value); FEW]>,
    /// Aliases of entries, which are computed along with them.
    pub aliases: Vec<(Value, Index)>,
    /// For each leaf, whether nothing outside the recording can see its memory.
    pub donate: SmallVec<[bool; 16]>,
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

/// So many of a recording need no memory of their own: one operator's, or a few's.
const FEW: usize = 4;
const MANY: usize = 16;

/// Something of each entry.
type Flags = SmallVec<[bool; 4 * MANY]>;

/// Values under way, each with how many of its operands have been visited.
type Stack = SmallVec<[(Value, usize); MANY]>;

/// What the extraction under way knows of a value it has come upon.
struct Visited {
    /// The entry that stands for it.
    at: Index,
    /// References to it, alias or not, from inside the recording.
    internal: u32,
}

/// The number of the last extraction: [`Node::visited`] says where a value is in which.
///
/// The lock is held while values are marked, because there is one mark to a value.
static EXTRACTION: Mutex<u32> = Mutex::new(0);

/// The values an extraction has come upon, found by their marks.
struct Seen {
    extraction: u32,
    visited: SmallVec<[Visited; MANY]>,
}

impl Seen {
    fn index(&self, v: &Node) -> Option<usize> {
        let mark = v.visited.load(Ordering::Relaxed);
        (mark >> 32 == u64::from(self.extraction)).then_some(mark as u32 as usize)
    }

    fn get(&mut self, v: &Node) -> Option<&mut Visited> {
        let index = self.index(v)?;
        self.visited.get_mut(index)
    }

    /// Where an operand is; it has been visited.
    fn at(&self, v: &Node) -> Index {
        self.visited[self.index(v).expect("operands come first")].at
    }

    fn insert(&mut self, v: &Node, at: Index) {
        let mark = u64::from(self.extraction) << 32 | self.visited.len() as u64;
        v.visited.store(mark, Ordering::Relaxed);
        self.visited.push(Visited { at, internal: 0 });
    }

    /// Whether someone outside the recording holds a value: one reference is the recording's own.
    fn is_held_outside(&self, v: &Value) -> bool {
        let internal = self.index(v).map_or(0, |i| self.visited[i].internal);
        Arc::strong_count(v) > internal as usize + 1
    }
}

fn extract_with(roots: &[Value], keep_dear: bool) -> Recording {
    let mut r = Recording {
        nodes: Vec::new(),
        leaves: SmallVec::new(),
        outputs: SmallVec::new(),
        aliases: Vec::new(),
        donate: SmallVec::new(),
        device: roots.iter().fold(None, |d, v| device::join(d, v.device)).unwrap_or(Device::Cpu),
    };
    let mut extraction = EXTRACTION.lock();
    *extraction = extraction.wrapping_add(1).max(1);
    let mut seen = Seen { extraction: *extraction, visited: SmallVec::new() };
    let mut stack: Stack = SmallVec::new();
    for root in roots {
        enter(&mut r, &mut seen, &mut stack, root);
        while let Some((value, done)) = stack.last_mut() {
            let state = value.state.lock();
            let next = state.inputs[*done..].iter().position(|v| seen.index(v).is_none());
            if let Some(i) = next {
                let operand = state.inputs[*done + i].clone();
                *done += i + 1;
                drop(state);
                enter(&mut r, &mut seen, &mut stack, &operand);
                continue;
            }
            let positions: SmallVec<[Index; 3]> = state.inputs.iter().map(|v| seen.at(v)).collect();
            for v in &state.inputs {
                if let Some(visited) = seen.get(v) {
                    visited.internal += 1;
                }
            }
            drop(state);
            let Some((value, _)) = stack.pop() else { break };
            match &value.kind {
                Kind::Op(Op::Detach) | Kind::Alias(_) => {
                    seen.insert(&value, positions[0]);
                    r.aliases.push((value, positions[0]));
                }
                Kind::Op(_) => {
                    seen.insert(&value, r.nodes.len() as u32);
                    r.nodes.push(Entry::Op { value, inputs: positions });
                }
                Kind::Leaf => unreachable!("a leaf always has its elements"),
            }
        }
    }
    let mut taken: Flags = smallvec![false; r.nodes.len()];
    for root in roots {
        let at = seen.at(root);
        if !std::mem::replace(&mut taken[at as usize], true) {
            let value = match &r.nodes[at as usize] {
                Entry::Op { value, .. } => value.clone(),
                // An alias of something known: set directly when results are handed out.
                Entry::Leaf(_) => continue,
            };
            r.outputs.push((at, value));
        }
    }
    let mut held: Flags = r
        .nodes
        .iter()
        .map(|entry| match entry {
            Entry::Leaf(i) => seen.is_held_outside(&r.leaves[*i as usize]),
            Entry::Op { value, .. } => seen.is_held_outside(value),
        })
        .collect();
    for (alias, at) in &r.aliases {
        held[*at as usize] |= seen.is_held_outside(alias);
    }
    drop(extraction);
    let mut tape_alive = false;
    // Whose elements are there afterwards, if by way of another value's.
    let mut there: Flags = smallvec![true; r.nodes.len()];
    for (at, entry) in r.nodes.iter().enumerate() {
        let Entry::Op { value, inputs } = entry else { continue };
        let on_tape = value.requires_grad && !value.tape_freed.load(Ordering::Relaxed);
        tape_alive |= on_tape && held[at];
        let Kind::Op(op) = &value.kind else { continue };
        // What a tensor holds is computed with the rest, but for what costs nothing to take again.
        let free = is_free(op) && inputs.first().is_none_or(|&x| there[x as usize]);
        let wanted = if held[at] && !on_tape { !free } else { on_tape && worth_saving(op) };
        if keep_dear && wanted && !taken[at] {
            taken[at] = true;
            r.outputs.push((at as u32, value.clone()));
        }
        there[at] = taken[at] || free;
    }
    tape_alive |= r.aliases.iter().any(|(v, _)| {
        matches!(v.kind, Kind::Alias(Alias::Custom { .. })) && !v.tape_freed.load(Ordering::Relaxed)
    });
    // What stays uncomputed and is held will be computed later from these leaves: they must stay.
    let mut kept: Flags = smallvec![false; r.nodes.len()];
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

/// Puts a value that has not been visited on the stack, or down as a leaf if it is known.
fn enter(r: &mut Recording, seen: &mut Seen, stack: &mut Stack, value: &Value) {
    if seen.index(value).is_some() {
        return;
    }
    if value.is_computed() {
        seen.insert(value, r.nodes.len() as u32);
        r.nodes.push(Entry::Leaf(r.leaves.len() as u32));
        r.leaves.push(value.clone());
    } else {
        stack.push((value.clone(), 0));
    }
}
