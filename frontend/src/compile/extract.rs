//! Which operations must run for some values to be known.
//!
//! Every call whose result is wanted at once comes through here, and so does every step of a training loop: what an
//! extraction needs is kept for the next one, values are counted up and down once each, and each is locked once.

use crate::device::{self, Device, Memory};
use crate::node::{Alias, Kind, Node, Value};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use ttk_autograd::worth_saving;
use ttk_ir::Op;
use ttk_ir::op::Family;

/// A position in [`Recording::entries`].
pub type Index = u32;

/// One thing a recording computes, after its operands.
#[derive(Debug)]
pub struct Entry {
    pub value: Value,
    what: What,
}

/// What an entry is.
#[derive(Clone, Debug)]
enum What {
    /// Known: the leaf of that number.
    Leaf(u32),
    /// An operation on the entries that stand in this part of `Recording::operands`.
    Op(Range<u32>),
}

/// What an entry is, with its operands.
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
    entries: Vec<Entry>,
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

impl Recording {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&Value, Step<'_>)> {
        self.entries.iter().map(|entry| (&entry.value, self.step(entry)))
    }

    pub fn entry(&self, at: Index) -> (&Value, Step<'_>) {
        let entry = &self.entries[at as usize];
        (&entry.value, self.step(entry))
    }

    fn step(&self, entry: &Entry) -> Step<'_> {
        match &entry.what {
            What::Leaf(i) => Step::Leaf(*i as usize),
            What::Op(range) => Step::Op(&self.operands[range.start as usize..range.end as usize]),
        }
    }

    /// Values that are known.
    pub fn leaves(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.leaves.iter().map(|&at| &self.entries[at as usize].value)
    }

    pub fn leaf(&self, i: usize) -> &Value {
        &self.entries[self.leaves[i] as usize].value
    }

    /// What to hand out: distinct entries, and the values they are for.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = (Index, &Value)> {
        self.outputs.iter().map(|&at| (at, &self.entries[at as usize].value))
    }

    /// Lets go of the values, and keeps the room that they took.
    pub fn clear(&mut self) {
        self.aliases.clear();
        // Users before what they use: then each value that goes is the last to hold nothing else.
        while self.entries.pop().is_some() {}
        self.operands.clear();
        self.leaves.clear();
        self.outputs.clear();
        self.donate.clear();
    }

    fn push_leaf(&mut self, value: Value) -> Index {
        let at = self.entries.len() as Index;
        self.entries.push(Entry { value, what: What::Leaf(self.leaves.len() as u32) });
        self.leaves.push(at);
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
        for root in roots {
            self.visit(r, root);
        }
        self.flags.resize(r.entries.len(), Flags::default());
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
        self.slots.push(Slot { value: Some(v.clone()), at: NOWHERE, internal: 0, rest: 0..0, first: 0 });
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
                let first = r.operands.len() as u32;
                r.operands.extend(self.operands[operands].iter().map(|&x| self.slots[x as usize].at));
                let what = What::Op(first..r.operands.len() as u32);
                r.entries.push(Entry { value, what });
                r.entries.len() as Index - 1
            }
            Kind::Leaf => unreachable!("a leaf always has its elements"),
        };
        self.slots[slot as usize].at = at;
    }

    /// Whether someone outside the recording holds a value that has been come upon: one reference is the recording's own.
    fn is_held_outside(&self, v: &Value) -> bool {
        let slot = v.visited.load(Ordering::Relaxed) as u32;
        Arc::strong_count(v) > self.slots[slot as usize].internal as usize + 1
    }

    fn note_held_aliases(&mut self, r: &Recording) {
        for (alias, at) in &r.aliases {
            self.flags[*at as usize].held |= self.is_held_outside(alias);
        }
    }

    fn take_roots(&mut self, r: &mut Recording, roots: &[Value]) {
        for root in roots {
            let Some(slot) = self.known(root) else { continue };
            let at = self.slots[slot as usize].at;
            let taken = std::mem::replace(&mut self.flags[at as usize].taken, true);
            // An alias of something known is set directly when results are handed out.
            if !taken && matches!(r.entries[at as usize].what, What::Op(_)) {
                r.outputs.push(at);
            }
        }
    }

    /// Finds what is held, and hands out what of that is dear; whether a tape is alive that may read what is not handed out.
    fn take_dear(&mut self, r: &mut Recording, keep_dear: bool) -> bool {
        let (mut tape_alive, mut some_stay) = (false, false);
        for (at, entry) in r.entries.iter().enumerate() {
            let mut flags = self.flags[at];
            flags.held |= self.is_held_outside(&entry.value);
            flags.there = true;
            if let (What::Op(operands), Kind::Op(op)) = (&entry.what, &entry.value.kind) {
                let on_tape = entry.value.requires_grad && !entry.value.tape_freed.load(Ordering::Relaxed);
                tape_alive |= on_tape && flags.held;
                // What a tensor holds is computed with the rest, but for what costs nothing to take again.
                let first = (operands.start < operands.end).then(|| r.operands[operands.start as usize]);
                let free = is_free(op) && first.is_none_or(|x| self.flags[x as usize].there);
                let wanted = if flags.held && !on_tape { !free } else { on_tape && worth_saving(op) };
                if keep_dear && wanted && !flags.taken {
                    flags.taken = true;
                    r.outputs.push(at as Index);
                }
                flags.there = flags.taken || free;
                some_stay |= flags.held && !flags.taken;
            }
            self.flags[at] = flags;
        }
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
        for (at, entry) in r.entries.iter().enumerate().rev() {
            let What::Op(operands) = &entry.what else { continue };
            let flags = &mut self.flags[at];
            flags.kept |= flags.held;
            if flags.kept && !flags.taken {
                for &x in &r.operands[operands.start as usize..operands.end as usize] {
                    self.flags[x as usize].kept = true;
                }
            }
        }
    }

    fn note_donated(&self, r: &mut Recording, tape_alive: bool) {
        let Recording { entries, leaves, donate, device, .. } = r;
        for &at in &*leaves {
            let flags = self.flags[at as usize];
            let own = |m: &Memory| m.is_exclusive() && m.device() == *device;
            let exclusive = || entries[at as usize].value.state.lock().buffer.as_ref().is_some_and(own);
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
