//! Which operations must run for some values to be known.
//!
//! Every call whose result is wanted at once comes through here, and so does every step of a training loop: what an
//! extraction needs is kept for the next one, values are counted up and down once each, and each is locked once.

use crate::device::{self, Device, Memory};
use crate::node::{Alias, Kind, Node, Value};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::atomic::Ordering;
use ttk_autograd::worth_saving;
use ttk_ir::Op;
use ttk_ir::op::Family;
use ttk_runtime::sync::Counted;

/// A position in [`Recording::entries`], which come after their operands.
pub type Index = u32;

/// How a value comes to be known.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Known: the leaf of that number.
    Leaf(usize),
    /// The operation of the value, on earlier entries.
    Op(&'a [Index]),
}

/// The uncomputed part of the graph below some values, in an order of computation.
#[derive(Debug, Default)]
pub struct Recording {
    values: Vec<Value>,
    /// Of each value, where its operands end in `operands`; those of one follow those of another. A leaf has [`KNOWN`] added.
    ends: Vec<u32>,
    operands: Vec<Index>,
    leaves: Vec<Index>,
    outputs: Vec<Index>,
    /// Aliases of entries, which are computed along with them.
    pub aliases: Vec<(Value, Index)>,
    /// For each leaf, whether nothing outside the recording can see its memory.
    pub donate: Vec<bool>,
    /// Where it is computed.
    pub device: Device,
}

/// See [`Recording::ends`].
const KNOWN: u32 = 1 << 31;

impl Recording {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&Value, Step<'_>)> {
        let (mut leaf, mut first) = (0, 0);
        self.values.iter().zip(&self.ends).map(move |(value, &end)| {
            if end & KNOWN != 0 {
                leaf += 1;
                return (value, Step::Leaf(leaf - 1));
            }
            let operands = &self.operands[first..end as usize];
            first = end as usize;
            (value, Step::Op(operands))
        })
    }

    pub fn entry(&self, at: Index) -> (&Value, Step<'_>) {
        let leaf = self.leaves.partition_point(|&leaf| leaf < at);
        let step = if self.is_leaf(at) { Step::Leaf(leaf) } else { Step::Op(self.operands(at)) };
        (&self.values[at as usize], step)
    }

    /// What an entry is computed from; nothing, if it is known.
    fn operands(&self, at: Index) -> &[Index] {
        let first = at.checked_sub(1).map_or(0, |before| self.ends[before as usize] & !KNOWN);
        &self.operands[first as usize..(self.ends[at as usize] & !KNOWN) as usize]
    }

    /// Values that are known.
    pub fn leaves(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.leaves.iter().map(|&at| &self.values[at as usize])
    }

    /// What to hand out: distinct entries, and the values they are for.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = (Index, &Value)> {
        self.outputs.iter().map(|&at| (at, &self.values[at as usize]))
    }

    fn is_leaf(&self, at: Index) -> bool {
        self.ends[at as usize] & KNOWN != 0
    }

    /// Lets go of the values, and keeps the room that they took.
    pub fn clear(&mut self) {
        self.aliases.clear();
        // Users go before their operands, so that none takes a chain of others along.
        while self.values.pop().is_some() {}
        self.ends.clear();
        self.operands.clear();
        self.leaves.clear();
        self.outputs.clear();
        self.donate.clear();
    }

    fn push_leaf(&mut self, value: Value) -> Index {
        let at = self.values.len() as Index;
        self.values.push(value);
        self.ends.push(self.operands.len() as u32 | KNOWN);
        self.leaves.push(at);
        at
    }

    /// Adds an operation whose operands have been added.
    fn push_op(&mut self, value: Value) -> Index {
        let at = self.values.len() as Index;
        self.values.push(value);
        self.ends.push(self.operands.len() as u32);
        at
    }
}

/// Collects in `into`, which is empty, what `roots` need, and which values by the way should be kept.
///
/// Beyond the roots, a value is handed out when someone else still holds it (a tensor, or the tape of a
/// backward pass yet to come) and computing it again would be dear.
pub fn extract(roots: &[Value], into: &mut Recording) {
    EXTRACTION.lock().run(roots, true, into);
}

/// [`extract`] of the roots alone: what a trace records.
pub fn extract_roots(roots: &[Value]) -> Recording {
    let mut recording = Recording::default();
    extract_roots_into(roots, &mut recording);
    recording
}

/// [`extract_roots`], collected in `into`, which is empty.
pub fn extract_roots_into(roots: &[Value], into: &mut Recording) {
    EXTRACTION.lock().run(roots, false, into);
}

/// The lock is held while values are marked, because there is one mark to a value.
static EXTRACTION: Mutex<Extraction> = Mutex::new(Extraction {
    number: 0,
    slots: Vec::new(),
    operands: Vec::new(),
    stack: Vec::new(),
    flags: Vec::new(),
});

/// An extraction under way, or the room that the next one gets.
struct Extraction {
    /// Counts extractions: [`Node::visited`] says which slot a value has in which of them.
    number: u32,
    /// The values come upon.
    slots: Vec<Slot>,
    /// Slots of the operands of one value after the other.
    operands: Vec<u32>,
    /// Slots of values whose operands are under way.
    stack: Vec<u32>,
    /// Of each entry.
    flags: Vec<Flags>,
}

/// A value come upon.
struct Slot {
    /// Until it has an entry.
    value: Option<Value>,
    /// The entry that stands for it, or [`NOWHERE`] yet.
    at: Index,
    /// References to it, alias or not, from inside the recording.
    internal: u32,
    /// Where in `operands` those are that have no entry yet, and how far back all of them begin.
    rest: Range<u32>,
    first: u32,
}

const NOWHERE: Index = Index::MAX;

impl Slot {
    const NEW: Slot = Slot { value: None, at: NOWHERE, internal: 0, rest: 0..0, first: 0 };
}

/// What is known of an entry.
#[derive(Clone, Copy, Default)]
struct Flags {
    /// It is handed out.
    taken: bool,
    /// Someone outside the recording holds it.
    held: bool,
    /// Its elements are there afterwards, if by way of another value's.
    there: bool,
    /// What stays uncomputed will be computed from it later.
    kept: bool,
}

impl Extraction {
    fn run(&mut self, roots: &[Value], keep_dear: bool, r: &mut Recording) {
        r.device = roots.iter().fold(None, |d, v| device::join(d, v.device)).unwrap_or(Device::Cpu);
        self.number = self.number.wrapping_add(1).max(1);
        self.slots.clear();
        self.operands.clear();
        self.stack.clear();
        self.flags.clear();
        roots.iter().for_each(|root| self.visit(r, root));
        self.flags.resize(r.len(), Flags::default());
        self.note_held_aliases(r);
        self.take_roots(r, roots);
        let tape_alive = self.take_dear(r, keep_dear);
        self.note_donated(r, tape_alive);
    }

    /// The slot of a value, if there is one.
    fn known(&self, v: &Node) -> Option<u32> {
        let mark = v.visited.load(Ordering::Relaxed);
        (mark >> 32 == u64::from(self.number)).then_some(mark as u32)
    }

    /// The slot of a value.
    fn slot(&mut self, v: &Value) -> u32 {
        if let Some(slot) = self.known(v) {
            return slot;
        }
        let slot = self.slots.len() as u32;
        v.visited.store(u64::from(self.number) << 32 | u64::from(slot), Ordering::Relaxed);
        // Of one constant, whose parts are then written where they stay; see [`Node::make`].
        self.slots.push(Slot::NEW);
        self.slots[slot as usize].value = Some(v.clone());
        slot
    }

    /// Gives a value and what it needs entries, operands first.
    fn visit(&mut self, r: &mut Recording, root: &Value) {
        let root = self.slot(root);
        if self.slots[root as usize].at != NOWHERE || self.enter(r, root) {
            return;
        }
        self.stack.push(root);
        while let Some(&top) = self.stack.last() {
            let Range { start: mut next, end } = self.slots[top as usize].rest;
            let mut under_way = None;
            while next < end && under_way.is_none() {
                let operand = self.operands[next as usize];
                next += 1;
                if self.slots[operand as usize].at == NOWHERE && !self.enter(r, operand) {
                    under_way = Some(operand);
                }
            }
            match under_way {
                Some(operand) => {
                    self.slots[top as usize].rest.start = next;
                    self.stack.push(operand);
                }
                None => {
                    self.stack.pop();
                    self.finish(r, top);
                }
            }
        }
    }

    /// Gives a known value its entry, or finds out what the operands of one are that is not; which it was.
    fn enter(&mut self, r: &mut Recording, slot: u32) -> bool {
        let Some(value) = self.slots[slot as usize].value.take() else { return true };
        if value.is_computed() {
            self.slots[slot as usize].at = r.push_leaf(value);
            return true;
        }
        let first = self.operands.len() as u32;
        let state = value.state.lock();
        if value.is_computed() {
            // By another thread, since; it may have no operands any more.
            drop(state);
            self.slots[slot as usize].at = r.push_leaf(value);
            return true;
        }
        for operand in &state.inputs {
            let operand = self.slot(operand);
            self.slots[operand as usize].internal += 1;
            self.operands.push(operand);
        }
        drop(state);
        let (slot, end) = (&mut self.slots[slot as usize], self.operands.len() as u32);
        (slot.value, slot.rest, slot.first) = (Some(value), first..end, first);
        false
    }

    /// Gives a value its entry, or that of what it is an alias of.
    fn finish(&mut self, r: &mut Recording, slot: u32) {
        let found = &mut self.slots[slot as usize];
        let operands = found.first as usize..found.rest.end as usize;
        let Some(value) = found.value.take() else { return };
        let at = match &value.kind {
            Kind::Op(Op::Detach) | Kind::Alias(_) => {
                let at = self.slots[self.operands[operands.start] as usize].at;
                r.aliases.push((value, at));
                at
            }
            Kind::Op(_) => {
                r.operands.extend(self.operands[operands].iter().map(|&x| self.slots[x as usize].at));
                r.push_op(value)
            }
            Kind::Leaf => unreachable!("a leaf always has its elements"),
        };
        self.slots[slot as usize].at = at;
    }

    /// Whether someone outside the recording holds a value that has been come upon: one reference is the recording's own.
    fn is_held_outside(&self, v: &Value) -> bool {
        let slot = v.visited.load(Ordering::Relaxed) as u32;
        Counted::count(v) > u64::from(self.slots[slot as usize].internal) + 1
    }

    fn note_held_aliases(&mut self, r: &Recording) {
        for (alias, at) in &r.aliases {
            self.flags[*at as usize].held |= self.is_held_outside(alias);
        }
    }

    fn take_roots(&mut self, r: &mut Recording, roots: &[Value]) {
        for root in roots {
            let at = self.slots[root.visited.load(Ordering::Relaxed) as u32 as usize].at;
            let taken = std::mem::replace(&mut self.flags[at as usize].taken, true);
            // An alias of something known is set directly when results are handed out.
            if !taken && !r.is_leaf(at) {
                r.outputs.push(at);
            }
        }
    }

    /// Finds what is held, and hands out what of that is dear; whether a tape is alive that may read what is not handed out.
    fn take_dear(&mut self, r: &mut Recording, keep_dear: bool) -> bool {
        let (mut tape_alive, mut some_stay) = (false, false);
        let mut dear: SmallVec<[Index; 16]> = SmallVec::new();
        for (at, (value, step)) in r.entries().enumerate() {
            let mut flags = self.flags[at];
            flags.held |= self.is_held_outside(value);
            flags.there = true;
            if let (Step::Op(operands), Kind::Op(op)) = (step, &value.kind) {
                let on_tape = value.is_on_tape();
                tape_alive |= on_tape && flags.held;
                // What a tensor holds is computed with the rest, but for what costs nothing to take again.
                let free = is_free(op) && operands.first().is_none_or(|&x| self.flags[x as usize].there);
                let wanted = if flags.held && !on_tape { !free } else { on_tape && worth_saving(op) };
                if keep_dear && wanted && !flags.taken {
                    flags.taken = true;
                    dear.push(at as Index);
                }
                flags.there = flags.taken || free;
                some_stay |= flags.held && !flags.taken;
            }
            self.flags[at] = flags;
        }
        r.outputs.extend(dear);
        if some_stay {
            self.note_kept(r);
        }
        tape_alive
            || r.aliases.iter().any(|(v, _)| {
                matches!(v.kind, Kind::Alias(Alias::Custom { .. })) && !v.tape_freed.load(Ordering::Relaxed)
            })
    }

    /// What stays uncomputed and is held will be computed later from these leaves: they must stay.
    fn note_kept(&mut self, r: &Recording) {
        for at in (0..r.len() as Index).rev() {
            let flags = &mut self.flags[at as usize];
            if (flags.kept || flags.held) && !flags.taken {
                r.operands(at).iter().for_each(|&x| self.flags[x as usize].kept = true);
            }
        }
    }

    fn note_donated(&self, r: &mut Recording, tape_alive: bool) {
        let Recording { values, leaves, donate, device, .. } = r;
        for &at in &*leaves {
            let flags = self.flags[at as usize];
            let own = |m: &Memory| m.is_exclusive() && m.device() == *device;
            let exclusive = || values[at as usize].state.lock().buffer.as_ref().is_some_and(own);
            donate.push(!tape_alive && !flags.kept && !flags.held && exclusive());
        }
    }
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
