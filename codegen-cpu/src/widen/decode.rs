//! Reads finished machine code back into instructions, blocks, and what each does to vector registers.

use super::table::{Row, Table, is_scalar, reads_destination};
use super::{Declined, Intrinsic, Tag};
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};
use rustc_hash::FxHashMap;

/// What the widener does with an instruction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// No vector register: general-purpose code and branches.
    Pass,
    /// The lowest lane of vector registers only.
    Scalar,
    Wide(&'static Row),
    /// A merge of one lane that means the whole register: a copy of the last operand.
    Whole,
    /// Loads or stores the low part of a register: `bytes` of it at 128 bits.
    Fraction {
        bytes: u32,
        store: bool,
    },
    /// The tail's lane mask, stored nowhere but kept in `k7`.
    SetMask,
    Intrinsic(Intrinsic),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub(super) ins: Instruction,
    pub(super) role: Role,
    pub(super) tag: Option<Tag>,
    /// `xmm0..xmm15` read and written, a bit each.
    pub(super) reads: u16,
    pub(super) writes: u16,
}

impl Op {
    /// The vector register of operand `k`, if it is one.
    pub(super) fn xmm(&self, k: u32) -> Option<usize> {
        (k < self.ins.op_count() && self.ins.op_kind(k) == OpKind::Register)
            .then(|| self.ins.op_register(k))
            .filter(|r| r.is_xmm())
            .map(|r| r.number())
    }

    /// `x ^ x` and `x == x` on integers: zeros and ones whatever the register holds.
    pub(super) fn ignores_sources(&self) -> bool {
        use Mnemonic::*;
        let same = self.xmm(1).is_some() && self.xmm(1) == self.xmm(2);
        same && (self.is_zero_idiom()
            || matches!(self.ins.mnemonic(), Vpcmpeqb | Vpcmpeqw | Vpcmpeqd | Vpcmpeqq))
    }

    pub(super) fn is_zero_idiom(&self) -> bool {
        use Mnemonic::*;
        let same = self.xmm(1).is_some() && self.xmm(1) == self.xmm(2);
        same && matches!(self.ins.mnemonic(), Vpxor | Vxorps | Vxorpd)
    }

    pub(super) fn has_memory(&self) -> bool {
        self.ins.op_kinds().any(|k| k == OpKind::Memory)
    }

    pub(super) fn is_rip_relative(&self) -> bool {
        self.has_memory() && self.ins.is_ip_rel_memory_operand()
    }

    /// A plain whole-register move, legacy or VEX.
    pub(super) fn is_move(&self) -> bool {
        use Mnemonic::*;
        matches!(self.role, Role::Wide(_))
            && matches!(
                self.ins.mnemonic(),
                Vmovups
                    | Vmovupd
                    | Vmovaps
                    | Vmovapd
                    | Vmovdqu
                    | Vmovdqa
                    | Movups
                    | Movupd
                    | Movaps
                    | Movapd
                    | Movdqu
                    | Movdqa
            )
    }

    /// `(destination, source)` of a register-to-register move.
    pub(super) fn register_move(&self) -> Option<(usize, usize)> {
        if !self.is_move() {
            return None;
        }
        Some((self.xmm(0)?, self.xmm(1)?))
    }

    /// The displacement of a move from or to a spill slot, and whether it stores.
    pub(super) fn spill(&self, fixed: u64) -> Option<(u64, bool)> {
        let simple = self.is_move()
            && self.has_memory()
            && self.ins.memory_base() == Register::RSP
            && self.ins.memory_displacement64() >= fixed
            && self.ins.memory_index() == Register::None;
        simple.then(|| (self.ins.memory_displacement64(), self.ins.op0_kind() == OpKind::Memory))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) successors: [Option<usize>; 2],
    /// Entered by a backward branch.
    pub(super) loop_head: bool,
    /// How many loops enclose it, by the intervals of backward branches.
    pub(super) depth: u32,
}

#[derive(Debug)]
pub(super) struct Program {
    /// Bytes at the bottom of the frame that are not spill slots.
    pub(super) fixed: u64,
    pub(super) ops: Vec<Op>,
    pub(super) blocks: Vec<Block>,
    /// Index of the instruction at a code offset.
    pub(super) at: FxHashMap<u64, usize>,
}

/// Decodes the function that starts at the first byte; data behind its last instruction is left out.
pub(super) fn decode(
    code: &[u8],
    tags: &[(u32, Tag)],
    fixed: u64,
    table: &Table,
) -> Result<Program, Declined> {
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut facts = InstructionInfoFactory::new();
    let mut ops: Vec<Op> = Vec::with_capacity(code.len() / 5);
    let mut at = FxHashMap::default();
    let mut furthest = 0u64;
    let mut tags = tags.iter().peekable();
    while decoder.can_decode() {
        let ins = decoder.decode();
        if ins.is_invalid() {
            return Err(Declined::Undecodable { offset: ins.ip() as u32 });
        }
        let mut tag = None;
        while let Some((_, t)) = tags.next_if(|(offset, _)| u64::from(*offset) < ins.next_ip()) {
            tag = Some(*t);
        }
        furthest = furthest.max(ins.near_branch_target());
        at.insert(ins.ip(), ops.len());
        ops.push(classify(ins, tag, table, &mut facts)?);
        // Everything behind an unconditional end that nothing jumps over to is constants.
        let ends = matches!(
            ins.flow_control(),
            FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::Exception
        );
        if ends && furthest < ins.next_ip() {
            break;
        }
    }
    let blocks = blocks(&ops, &at)?;
    Ok(Program { fixed, ops, blocks, at })
}

fn classify(
    ins: Instruction,
    tag: Option<Tag>,
    table: &Table,
    facts: &mut InstructionInfoFactory,
) -> Result<Op, Declined> {
    let mut op = Op { ins, role: Role::Pass, tag, reads: 0, writes: 0 };
    if tag == Some(Tag::SetMask) {
        op.role = Role::SetMask;
        return Ok(op);
    }
    let vector = (0..ins.op_count())
        .any(|k| ins.op_kind(k) == OpKind::Register && ins.op_register(k).is_vector_register());
    if !vector {
        if matches!(
            ins.flow_control(),
            FlowControl::Call | FlowControl::IndirectBranch | FlowControl::IndirectCall
        ) {
            return Err(Declined::unknown(&ins));
        }
        return Ok(op);
    }
    if let Some(row) = table.get(ins.code()) {
        op.role = Role::Wide(row);
        for k in 0..ins.op_count() {
            let Some(r) = op.xmm(k) else { continue };
            if k == 0 {
                op.writes |= 1 << r;
                op.reads |= u16::from(reads_destination(ins.mnemonic())) << r;
            } else {
                op.reads |= 1 << r;
            }
        }
        if op.ignores_sources() {
            op.reads = 0;
        }
        return Ok(op);
    }
    // Everything else: let the decoder's own tables say what is read and written.
    let info = facts.info(&ins);
    for k in 0..ins.op_count() {
        let Some(r) = op.xmm(k) else { continue };
        let access = info.op_access(k);
        if matches!(
            access,
            OpAccess::Read | OpAccess::ReadWrite | OpAccess::CondRead | OpAccess::ReadCondWrite
        ) {
            op.reads |= 1 << r;
        }
        if matches!(
            access,
            OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite
        ) {
            op.writes |= 1 << r;
        }
    }
    op.role = match fraction(&ins).filter(|_| tag.is_some()) {
        Some((bytes, store)) => Role::Fraction { bytes, store },
        None if tag.is_some() => return Err(Declined::unknown(&ins)),
        // How Cranelift clears what lies above a scalar: here the scalar is a partial vector, and
        // scalar code only looks at the lowest lane.
        None if matches!(ins.code(), Code::VEX_Vmovss_xmm_xmm_xmm | Code::VEX_Vmovsd_xmm_xmm_xmm) => {
            op.reads = op.xmm(2).map_or(0, |r| 1 << r);
            Role::Whole
        }
        None if ins.code() == Code::VEX_Vpalignr_xmm_xmm_xmmm128_imm8 => Role::Intrinsic(
            Intrinsic::from_rotation(ins.immediate8()).ok_or_else(|| Declined::unknown(&ins))?,
        ),
        None if is_scalar(ins.mnemonic()) => Role::Scalar,
        None => return Err(Declined::unknown(&ins)),
    };
    Ok(op)
}

/// The bytes and direction of a partial load or store.
fn fraction(ins: &Instruction) -> Option<(u32, bool)> {
    let zero_lane = || ins.immediate8() == 0;
    let memory = ins.op_kinds().any(|k| k == OpKind::Memory);
    match ins.code() {
        _ if !memory => None,
        Code::VEX_Vmovss_xmm_m32 | Code::VEX_Vmovd_xmm_rm32 => Some((4, false)),
        Code::VEX_Vmovsd_xmm_m64 | Code::VEX_Vmovq_xmm_rm64 | Code::VEX_Vmovq_xmm_xmmm64 => Some((8, false)),
        Code::VEX_Vpinsrw_xmm_xmm_r32m16_imm8 if zero_lane() => Some((2, false)),
        Code::VEX_Vmovss_m32_xmm | Code::VEX_Vmovd_rm32_xmm => Some((4, true)),
        Code::VEX_Vmovsd_m64_xmm | Code::VEX_Vmovq_rm64_xmm | Code::VEX_Vmovq_xmmm64_xmm => Some((8, true)),
        Code::VEX_Vpextrw_r32m16_xmm_imm8 if zero_lane() => Some((2, true)),
        Code::VEX_Vpextrd_rm32_xmm_imm8 if zero_lane() => Some((4, true)),
        Code::VEX_Vpextrq_rm64_xmm_imm8 if zero_lane() => Some((8, true)),
        _ => None,
    }
}

fn blocks(ops: &[Op], at: &FxHashMap<u64, usize>) -> Result<Vec<Block>, Declined> {
    let mut leader = vec![false; ops.len() + 1];
    leader[0] = true;
    for (i, op) in ops.iter().enumerate() {
        if op.ins.flow_control() != FlowControl::Next {
            leader[i + 1] = true;
        }
        let target = op.ins.near_branch_target();
        if is_branch(&op.ins) {
            let t = *at.get(&target).ok_or_else(|| Declined::unknown(&op.ins))?;
            leader[t] = true;
        }
    }
    let mut block_of = vec![0usize; ops.len()];
    let mut blocks: Vec<Block> = Vec::new();
    for i in 0..ops.len() {
        if leader[i] {
            blocks.push(Block { start: i, end: i, successors: [None; 2], loop_head: false, depth: 0 });
        }
        block_of[i] = blocks.len() - 1;
        blocks[block_of[i]].end = i + 1;
    }
    for b in 0..blocks.len() {
        let last = &ops[blocks[b].end - 1].ins;
        let falls = !matches!(
            last.flow_control(),
            FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::Exception
        );
        if falls && b + 1 < blocks.len() {
            blocks[b].successors[0] = Some(b + 1);
        }
        if is_branch(last) {
            let t = block_of[at[&last.near_branch_target()]];
            blocks[b].successors[1] = Some(t);
            if t <= b {
                blocks[t].loop_head = true;
                for inside in &mut blocks[t..=b] {
                    inside.depth += 1;
                }
            }
        }
    }
    Ok(blocks)
}

pub(super) fn is_branch(ins: &Instruction) -> bool {
    matches!(ins.flow_control(), FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch)
}
