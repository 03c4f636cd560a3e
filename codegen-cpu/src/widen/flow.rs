//! Dataflow over the vector registers: which hold a constant or a spilled value, and which are live.
//!
//! AVX-512 has sixteen registers that Cranelift does not know. Constants and spill slots move there,
//! and the registers that held copies of them become free: their loads die when every reader reads the
//! high register instead.

use super::decode::{Op, Program, Role};
use super::table::Form;
use iced_x86::{Mnemonic, Register};
use rustc_hash::FxHashMap;

/// What a high register may stand for: a constant of the pool (by its 16 bytes) or a spill slot (by
/// its displacement).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Source {
    Constant([u8; 16]),
    Slot(u64),
}

/// For every instruction, the source each of the sixteen low registers equals just before it.
pub(super) type Aliases = [Option<u16>; 16];

#[derive(Debug)]
pub(super) struct Sources {
    pub(super) list: Vec<Source>,
    /// Before each instruction.
    pub(super) before: Vec<Aliases>,
    /// The source a constant load or a slot access is about.
    pub(super) of_op: Vec<Option<u16>>,
    /// The source a whole memory operand of an arithmetic instruction is.
    pub(super) of_operand: Vec<Option<u16>>,
}

/// The 16 bytes of a pool constant that an instruction reads in full.
pub(super) fn constant_at(op: &Op, code: &[u8]) -> Option<[u8; 16]> {
    if !op.is_rip_relative() {
        return None;
    }
    let from = usize::try_from(op.ins.ip_rel_memory_address()).ok()?;
    code.get(from..from + 16)?.try_into().ok()
}

/// Finds the sources and where registers equal them, by a forward fixed point.
pub(super) fn sources(program: &Program, code: &[u8]) -> Sources {
    let ops = &program.ops;
    let mut index: FxHashMap<Source, u16> = FxHashMap::default();
    let mut list = Vec::new();
    let mut intern = |s: Source| {
        *index.entry(s).or_insert_with(|| {
            list.push(s);
            (list.len() - 1) as u16
        })
    };
    let slots_usable = slots_are_private(program);
    let mut of_op = vec![None; ops.len()];
    let mut of_operand = vec![None; ops.len()];
    for (i, op) in ops.iter().enumerate() {
        let Role::Wide(row) = op.role else { continue };
        if let Some((slot, _)) = op.spill(program.fixed) {
            if slots_usable {
                of_op[i] = Some(intern(Source::Slot(slot)));
            }
        } else if let Some(bytes) = constant_at(op, code) {
            if op.is_move() {
                of_op[i] = Some(intern(Source::Constant(bytes)));
            } else if row.form != Form::Extend && row.form != Form::Broadcast && row.form != Form::ShiftCount
            {
                of_operand[i] = Some(intern(Source::Constant(bytes)));
            }
        }
    }
    let mut before = propagate(program, &of_op);
    if forward_slots(program, &list, &before, &mut of_op) {
        before = propagate(program, &of_op);
    }
    Sources { list, before, of_op, of_operand }
}

/// A slot into which one constant is ever spilled is that constant. Whether there was one.
fn forward_slots(program: &Program, list: &[Source], before: &[Aliases], of_op: &mut [Option<u16>]) -> bool {
    let mut content: FxHashMap<u16, Option<u16>> = FxHashMap::default();
    for (i, op) in program.ops.iter().enumerate() {
        let (Some((_, true)), Some(slot), Some(r)) = (op.spill(program.fixed), of_op[i], op.xmm(1)) else {
            continue;
        };
        let constant = before[i][r].filter(|s| matches!(list[*s as usize], Source::Constant(_)));
        content.entry(slot).and_modify(|c| *c = c.filter(|c| Some(*c) == constant)).or_insert(constant);
    }
    content.retain(|_, c| c.is_some());
    for (i, op) in program.ops.iter().enumerate() {
        if matches!(op.spill(program.fixed), Some((_, false)))
            && let Some(Some(c)) = of_op[i].and_then(|s| content.get(&s))
        {
            of_op[i] = Some(*c);
        }
    }
    !content.is_empty()
}

/// Spill slots can move only if nothing else touches the frame's vector slots: no address of the
/// frame is taken, and accesses do not overlap except when equal.
pub(super) fn slots_are_private(program: &Program) -> bool {
    let mut vector: Vec<u64> = Vec::new();
    let mut other: Vec<(u64, u64)> = Vec::new();
    for op in &program.ops {
        if let Some((slot, _)) = op.spill(program.fixed) {
            vector.push(slot);
        } else if op.has_memory()
            && op.ins.memory_base() == Register::RSP
            && op.ins.memory_displacement64() >= program.fixed
        {
            if op.ins.memory_index() != Register::None || op.ins.mnemonic() == Mnemonic::Lea {
                return false;
            }
            let size = op.ins.memory_size().size() as u64;
            other.push((op.ins.memory_displacement64(), size));
        }
    }
    vector.sort_unstable();
    vector.dedup();
    vector.windows(2).all(|w| w[0] + 16 <= w[1])
        && other.iter().all(|&(d, size)| vector.iter().all(|&v| d + size <= v || v + 16 <= d))
}

fn propagate(program: &Program, of_op: &[Option<u16>]) -> Vec<Aliases> {
    let blocks = &program.blocks;
    let mut at_entry: Vec<Option<Aliases>> = vec![None; blocks.len()];
    at_entry[0] = Some([None; 16]);
    let mut work = vec![0usize];
    let mut before = vec![[None; 16]; program.ops.len()];
    while let Some(b) = work.pop() {
        let Some(mut state) = at_entry[b] else { continue };
        for i in blocks[b].start..blocks[b].end {
            before[i] = state;
            step(&mut state, &program.ops[i], program.fixed, of_op[i]);
        }
        for s in blocks[b].successors.into_iter().flatten() {
            let merged = match at_entry[s] {
                None => state,
                Some(old) => {
                    let mut m = old;
                    for (m, s) in m.iter_mut().zip(&state) {
                        if *m != *s {
                            *m = None;
                        }
                    }
                    m
                }
            };
            if at_entry[s] != Some(merged) {
                at_entry[s] = Some(merged);
                work.push(s);
            }
        }
    }
    before
}

fn step(state: &mut Aliases, op: &Op, fixed: u64, source: Option<u16>) {
    if let Some((_, true)) = op.spill(fixed) {
        // The slot has a new value: registers that equalled the old one no longer do.
        if let (Some(slot), Some(r)) = (source, op.xmm(1))
            && state[r] != Some(slot)
        {
            for a in state.iter_mut().filter(|a| **a == Some(slot)) {
                *a = None;
            }
            // A constant stays known as itself: that never changes.
            if state[r].is_none() {
                state[r] = Some(slot);
            }
        }
        return;
    }
    let new = match op.register_move() {
        Some((_, from)) => state[from],
        None => source,
    };
    for (r, a) in state.iter_mut().enumerate() {
        if op.writes >> r & 1 == 1 {
            *a = new;
        }
    }
}

/// Which low registers are live after each instruction, given for each the registers it really reads
/// (`reads`) and whether it may be dropped when its result is dead (`droppable`).
pub(super) fn live_after(program: &Program, reads: &[u16], droppable: &[bool]) -> Vec<u16> {
    let blocks = &program.blocks;
    let mut live_in = vec![0u16; blocks.len()];
    let mut after = vec![0u16; program.ops.len()];
    loop {
        let mut changed = false;
        for b in (0..blocks.len()).rev() {
            let mut live = blocks[b].successors.into_iter().flatten().fold(0, |l, s| l | live_in[s]);
            for i in (blocks[b].start..blocks[b].end).rev() {
                after[i] = live;
                let op = &program.ops[i];
                if droppable[i] && op.writes & live == 0 {
                    continue;
                }
                live = live & !op.writes | reads[i];
            }
            changed |= live_in[b] != live;
            live_in[b] = live;
        }
        if !changed {
            return after;
        }
    }
}
