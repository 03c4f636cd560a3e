//! Reloads become memory operands of the instruction that wants them.
//!
//! A loop with more constants than there are registers reads most of them back from the frame, each by a
//! move of its own. The 256-bit target has no registers to spare for them, the 512-bit one fewer than some loops ask for; but
//! its instructions take one operand from memory at no cost. Cranelift's register allocator does not know.

use super::decode::{Block, Op, Program, Role};
use super::flow;
use super::plan::Plan;
use super::table::{Form, Table, reads_destination};
use iced_x86::{Code, Instruction, Mnemonic, OpCodeOperandKind, OpKind, Register};

/// Folds what can be folded, and has the plan drop the moves that this leaves without a reader.
pub(super) fn reloads(program: &mut Program, table: &Table, plan: &mut Plan) {
    let n = program.ops.len();
    if !flow::slots_are_private(program) {
        return;
    }
    let reads: Vec<u16> = program.ops.iter().map(|op| op.reads).collect();
    let live = flow::live_after(program, &reads, &vec![false; n]);
    for b in 0..program.blocks.len() {
        let Block { start, end, .. } = program.blocks[b];
        for i in start..end {
            let op = program.ops[i];
            if plan.dropped[i] || plan.moved[i].is_some() {
                continue;
            }
            let (Some((slot, false)), Some(r)) = (op.spill(program.fixed), op.xmm(0)) else { continue };
            let Some(reader) = only_reader(program, &live, i, end, slot, r) else { continue };
            if plan.dropped[reader] || plan.masks[reader].is_any() {
                continue;
            }
            if let Some((folded, swapped)) = fold(&program.ops[reader], &op, r as u32, table) {
                program.ops[reader] = folded;
                plan.dropped[i] = true;
                if swapped {
                    plan.operand[reader].swap(1, 2);
                }
            }
        }
    }
}

/// The instruction that reads register `r`, loaded from `slot` at `i`, if it is in the block and the only one,
/// and the slot still holds the same.
fn only_reader(program: &Program, live: &[u16], i: usize, end: usize, slot: u64, r: usize) -> Option<usize> {
    let bit = 1u16 << r;
    for (j, op) in program.ops.iter().enumerate().take(end).skip(i + 1) {
        if op.spill(program.fixed) == Some((slot, true)) && op.reads & bit == 0 {
            return None;
        }
        if op.reads & bit != 0 {
            return (live[j] & bit == 0 || op.writes & bit != 0).then_some(j);
        }
        if op.writes & bit != 0 {
            return None;
        }
    }
    None
}

/// `reader` with what `load` loads into register `r` as a memory operand, and whether its sources changed places.
fn fold(reader: &Op, load: &Op, r: u32, table: &Table) -> Option<(Op, bool)> {
    let register = Register::XMM0 + r;
    let mut op = *reader;
    op.reads &= !(1 << r);
    if reader.register_move() == Some((reader.xmm(0)?, r as usize)) {
        op.ins = load.ins;
        op.ins.set_op0_register(reader.ins.op0_register());
        op.role = load.role;
        return Some((op, false));
    }
    let Role::Wide(row) = reader.role else { return None };
    let (lanewise, has_memory) =
        (matches!(row.form, Form::Lanewise | Form::Compare | Form::Blend), reader.has_memory());
    let takes = |ins: &Instruction, k: u32| ins.op_code().op_kind(k) == OpCodeOperandKind::xmm_or_mem;
    let slot = (1..reader.ins.op_count()).find(|&k| takes(&reader.ins, k))?;
    let mut at = (0..reader.ins.op_count()).filter(|&k| {
        let destination = k == 0 && !reads_destination(reader.ins.mnemonic());
        !destination && reader.ins.op_kind(k) == OpKind::Register && reader.ins.op_register(k) == register
    });
    let (Some(k), None) = (at.next(), at.next()) else { return None };
    if !lanewise || has_memory || k == 0 {
        return None;
    }
    if k != slot {
        if (k, slot) != (1, 2) {
            return None;
        }
        // The other source goes where this one was.
        let other = reader.ins.op_register(2);
        if let Some(code) = other_order(reader.ins.code()) {
            op.ins.set_code(code);
            op.role = Role::Wide(table.get(code)?);
        } else if !commutes(reader.ins.mnemonic()) {
            return None;
        }
        op.ins.set_op1_register(other);
    }
    op.ins.set_op_kind(slot, OpKind::Memory);
    op.ins.set_memory_base(load.ins.memory_base());
    op.ins.set_memory_index(Register::None);
    op.ins.set_memory_index_scale(1);
    op.ins.set_memory_displacement64(load.ins.memory_displacement64());
    op.ins.set_memory_displ_size(load.ins.memory_displ_size());
    Some((op, k != slot))
}

/// `a = b * a + c` written so that `b` comes last: `a = a * b + c`.
fn other_order(code: Code) -> Option<Code> {
    Some(match code {
        Code::VEX_Vfmadd213ps_xmm_xmm_xmmm128 => Code::VEX_Vfmadd132ps_xmm_xmm_xmmm128,
        Code::VEX_Vfmadd213pd_xmm_xmm_xmmm128 => Code::VEX_Vfmadd132pd_xmm_xmm_xmmm128,
        _ => return None,
    })
}

/// Whether the two sources of an instruction may change places, bit for bit. (Sums and products of two NaNs
/// give the first one's, and which that is nobody promises.)
fn commutes(m: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(m, Vaddps | Vaddpd | Vmulps | Vmulpd | Vandps | Vandpd | Vorps | Vorpd | Vxorps | Vxorpd)
        || matches!(m, Vpand | Vpor | Vpxor | Vpaddd | Vpaddq | Vpmulld | Vpcmpeqd | Vpcmpeqq)
}
