//! Decides for the 512-bit target which constants and spill slots live in `zmm16..zmm30`, which
//! operands read them there, which instructions that leaves without a reader, and where masks live.

use super::decode::{Op, Program, Role};
use super::flow::{self, Source};
use super::masks::{self, MaskUse};
use super::table::Form;
use iced_x86::OpKind;

const FIRST_HIGH: u8 = 16;
const HIGH_REGISTERS: usize = 15;
/// `zmm31` holds memory operands that must be loaded under a mask first.
pub(super) const SCRATCH_REGISTER: u8 = 31;

pub(super) struct Plan {
    /// The high register of each source, and what to load into it at the start.
    pub(super) constants: Vec<(u8, [u8; 16])>,
    /// For each instruction and operand, the high register it reads instead.
    pub(super) operand: Vec<[Option<u8>; 4]>,
    /// For a constant load, a reload or a spill: the high register that is its source or target.
    pub(super) moved: Vec<Option<u8>>,
    pub(super) dropped: Vec<bool>,
    pub(super) masks: Vec<MaskUse>,
    pub(super) hoisted: u32,
}

impl Plan {
    /// Nothing moves: sixteen registers are all there are.
    pub(super) fn none(program: &Program) -> Plan {
        let n = program.ops.len();
        Plan {
            constants: Vec::new(),
            operand: vec![[None; 4]; n],
            moved: vec![None; n],
            dropped: vec![false; n],
            masks: vec![MaskUse::default(); n],
            hoisted: 0,
        }
    }

    pub(super) fn new(program: &Program, code: &[u8]) -> Plan {
        let mut plan = Plan::none(program);
        let sources = flow::sources(program, code);
        let high = choose(program, &sources);
        for (s, register) in high.iter().enumerate() {
            if let (Some(k), Source::Constant(bytes)) = (register, sources.list[s]) {
                plan.constants.push((*k, bytes));
            }
        }
        plan.hoisted = high.iter().flatten().count() as u32;

        let mut reads = vec![0u16; program.ops.len()];
        let mut droppable = vec![false; program.ops.len()];
        for (i, op) in program.ops.iter().enumerate() {
            plan.moved[i] = sources.of_op[i].and_then(|s| high[s as usize]);
            reads[i] = op.reads;
            let copy = op.is_move() && op.xmm(0).is_some() && !op.has_memory();
            droppable[i] = copy || plan.moved[i].is_some() && op.xmm(0).is_some();
            for k in 0..4 {
                plan.operand[i][k] = substitute(op, k as u32, &sources, i, &high);
            }
            match op.role {
                Role::Wide(_) | Role::Fraction { .. } | Role::Intrinsic(_) => {
                    reads[i] = physical_reads(op, &plan.operand[i]);
                }
                Role::Whole if plan.operand[i][2].is_some() => reads[i] = 0,
                Role::Pass | Role::Scalar | Role::SetMask | Role::Whole => {}
            }
            // Spilling a register back into the slot it came from.
            if let (Some((_, true)), Some(slot)) = (op.spill(program.fixed), plan.moved[i])
                && plan.operand[i][1] == Some(slot)
            {
                plan.dropped[i] = true;
                reads[i] = 0;
            }
        }
        let live = flow::live_after(program, &reads, &droppable);
        for (i, op) in program.ops.iter().enumerate() {
            plan.dropped[i] |= droppable[i] && op.writes & live[i] == 0;
        }
        plan.masks = masks::plan(program, &live, &plan.dropped);
        plan
    }
}

/// The high registers go to the sources read most often, loops counting eightfold a level.
fn choose(program: &Program, sources: &flow::Sources) -> Vec<Option<u8>> {
    let mut weight = vec![0u64; sources.list.len()];
    for block in &program.blocks {
        let each = 1u64 << (3 * block.depth.min(8));
        for i in block.start..block.end {
            let op = &program.ops[i];
            for k in 0..4 {
                if let Some(s) = alias_of_operand(op, k, sources, i) {
                    weight[s as usize] += each;
                }
            }
            if let Some(s) = sources.of_op[i] {
                weight[s as usize] += each;
            }
        }
    }
    let mut order: Vec<usize> = (0..weight.len()).collect();
    order.sort_by_key(|&s| (std::cmp::Reverse(weight[s]), s));
    let mut high = vec![None; weight.len()];
    for (at, &s) in order.iter().take(HIGH_REGISTERS).enumerate() {
        high[s] = Some(FIRST_HIGH + at as u8);
    }
    high
}

/// The source that operand `k` of an instruction equals, where the wide form can name a high register.
fn alias_of_operand(op: &Op, k: u32, sources: &flow::Sources, i: usize) -> Option<u16> {
    let takes_high = match op.role {
        Role::Wide(_) => k > 0 && !op.ignores_sources(),
        Role::Fraction { store, .. } => store && k == 1,
        Role::Intrinsic(_) => k > 0,
        Role::Whole => k == 2,
        Role::Pass | Role::Scalar | Role::SetMask => false,
    };
    if !takes_high {
        return None;
    }
    match op.xmm(k) {
        Some(r) => sources.before[i][r],
        None if k < op.ins.op_count() && op.ins.op_kind(k) == OpKind::Memory => sources.of_operand[i],
        None => None,
    }
}

fn substitute(op: &Op, k: u32, sources: &flow::Sources, i: usize, high: &[Option<u8>]) -> Option<u8> {
    alias_of_operand(op, k, sources, i).and_then(|s| high[s as usize])
}

/// The low registers an instruction still reads once `operand` has been substituted.
fn physical_reads(op: &Op, operand: &[Option<u8>; 4]) -> u16 {
    if op.ignores_sources() {
        return 0;
    }
    let first = match op.role {
        // A fused multiply-add reads its destination as well.
        Role::Wide(row) if row.form == Form::Lanewise => op
            .xmm(0)
            .map_or(0, |r| if super::table::reads_destination(op.ins.mnemonic()) { 1 << r } else { 0 }),
        _ => 0,
    };
    (1..4).filter(|&k| operand[k as usize].is_none()).filter_map(|k| op.xmm(k)).fold(first, |m, r| m | 1 << r)
}
