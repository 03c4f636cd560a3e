//! Writes each instruction again at the wide width.

use super::assemble::Assembler;
use super::decode::{Op, Program, Role, is_branch};
use super::masks::{Logic, MaskUse, SCRATCH_MASK, TAIL_MASK};
use super::plan::{Plan, SCRATCH_REGISTER};
use super::table::{Form, Row, stays_in_lanes};
use super::{Declined, Intrinsic, Tag, Wide, Widened};
use iced_x86::{Code, FlowControl, Instruction, MemoryOperand, Mnemonic, OpKind, Register};

/// How much of a register an operand names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Full,
    Half,
    /// The lowest 128 bits.
    Low,
}

/// `vpshufd` with this immediate is how Cranelift splats a 64-bit scalar: not a shuffle inside lanes.
const SPLAT_QUADWORD: u8 = 0b01_00_01_00;

struct Rewriter<'a> {
    code: &'a [u8],
    wide: Wide,
    fixed: u64,
    plan: Plan,
    out: Assembler,
    uses_vectors: bool,
}

/// Writes a program as planned.
pub(super) fn rewrite(program: &Program, code: &[u8], wide: Wide, plan: Plan) -> Result<Widened, Declined> {
    let uses_vectors = program.ops.iter().any(|op| !matches!(op.role, Role::Pass));
    let out = Assembler::new(code.len() * 2, program.ops.len())?;
    let mut w = Rewriter { code, wide, fixed: program.fixed, plan, out, uses_vectors };
    for (k, bytes) in std::mem::take(&mut w.plan.constants) {
        w.load_constant(Register::ZMM0 + u32::from(k), &bytes)?;
    }
    let mut blocks = program.blocks.iter().peekable();
    for (i, op) in program.ops.iter().enumerate() {
        if let Some(block) = blocks.next_if(|b| b.start == i)
            && block.loop_head
        {
            w.out.align_loop();
        }
        w.out.begin_op();
        if !w.plan.dropped[i] {
            w.op(i, op, program)?;
        }
    }
    Ok(Widened { hoisted: w.plan.hoisted, code: w.out.finish() })
}

impl Rewriter<'_> {
    fn op(&mut self, i: usize, op: &Op, program: &Program) -> Result<(), Declined> {
        match op.role {
            Role::Pass => self.pass(op, program),
            Role::Scalar => self.scalar(op),
            Role::SetMask => self.set_mask(op),
            Role::Whole => {
                let (to, from) = (op.xmm(0), self.operand(i, op, 2, Part::Full));
                let (Some(to), Some(from)) = (to, from) else { return Err(Declined::unknown(&op.ins)) };
                let to = self.register(to as u8, Part::Full);
                self.copy(op, to, from)
            }
            Role::Fraction { bytes, store } => self.fraction(i, op, bytes, store),
            Role::Intrinsic(intrinsic) => self.intrinsic(i, op, intrinsic),
            Role::Wide(row) => self.vector(i, op, row),
        }
    }

    fn register(&self, number: u8, part: Part) -> Register {
        let base = match (part, self.wide) {
            (Part::Full, Wide::W512) => Register::ZMM0,
            (Part::Full, Wide::W256) | (Part::Half, Wide::W512) => Register::YMM0,
            (Part::Half, Wide::W256) | (Part::Low, _) => Register::XMM0,
        };
        base + u32::from(number)
    }

    /// Operand `k` as a wide register, a high one where the plan says so.
    fn operand(&self, i: usize, op: &Op, k: u32, part: Part) -> Option<Register> {
        let number = self.plan.operand[i][k as usize].or(op.xmm(k).map(|r| r as u8))?;
        Some(self.register(number, part))
    }

    /// Frame offsets above the fixed part grow with the width, all of them: slots keep their order
    /// and do not meet.
    fn scaled(&self, offset: u64) -> u64 {
        match offset.checked_sub(self.fixed) {
            Some(above) => self.fixed + above * u64::from(self.wide.scale()),
            None => offset,
        }
    }

    fn scale_frame(&self, ins: &mut Instruction) {
        if ins.op_kinds().any(|k| k == OpKind::Memory) && ins.memory_base() == Register::RSP {
            let scaled = self.scaled(ins.memory_displacement64());
            ins.set_memory_displacement64(scaled);
            ins.set_memory_displ_size(if scaled == 0 { 0 } else { 1 });
        }
    }

    fn pass(&mut self, op: &Op, program: &Program) -> Result<(), Declined> {
        let mut ins = op.ins;
        if is_branch(&ins) {
            return self.out.emit_branch(&ins, program.at[&ins.near_branch_target()]);
        }
        if op.is_rip_relative() {
            return self.general_constant(op);
        }
        if ins.flow_control() == FlowControl::Return && self.uses_vectors {
            self.out.emit(&Instruction::with(Code::VEX_Vzeroupper))?;
        }
        let moves_stack =
            ins.op_count() > 0 && ins.op0_kind() == OpKind::Register && ins.op0_register() == Register::RSP;
        if moves_stack && ins.mnemonic() == Mnemonic::Sub {
            let size = self.scaled(ins.immediate(1));
            let sub = Instruction::with2(Code::Sub_rm64_imm32, Register::RSP, size as i32);
            let align = Instruction::with2(Code::And_rm64_imm8, Register::RSP, -64i32);
            for step in [sub, align] {
                self.out.emit(&step.map_err(|_| Declined::Unencodable { offset: ins.ip() as u32 })?)?;
            }
            return Ok(());
        }
        if moves_stack && ins.mnemonic() == Mnemonic::Add {
            // The frame was aligned: only the frame pointer knows where it began.
            let restore = Instruction::with2(Code::Mov_r64_rm64, Register::RSP, Register::RBP);
            return self.out.emit(&restore.map_err(|_| Declined::Unencodable { offset: ins.ip() as u32 })?);
        }
        self.scale_frame(&mut ins);
        self.out.emit(&ins)
    }

    /// General-purpose code that reads a constant; taking its address is something else.
    fn general_constant(&mut self, op: &Op) -> Result<(), Declined> {
        let size = op.ins.memory_size().size();
        if op.ins.mnemonic() == Mnemonic::Lea || size == 0 {
            return Err(Declined::unknown(&op.ins));
        }
        let bytes = self.pool_bytes(op, size)?;
        self.out.emit_with_constant(&op.ins, &bytes)
    }

    fn scalar(&mut self, op: &Op) -> Result<(), Declined> {
        let mut ins = op.ins;
        if op.is_rip_relative() {
            let bytes = self.pool_bytes(op, ins.memory_size().size())?;
            return self.out.emit_with_constant(&ins, &bytes);
        }
        self.scale_frame(&mut ins);
        self.out.emit(&ins)
    }

    fn pool_bytes(&self, op: &Op, size: usize) -> Result<Vec<u8>, Declined> {
        let from = op.ins.ip_rel_memory_address() as usize;
        self.code
            .get(from..from + size)
            .map(<[u8]>::to_vec)
            .ok_or(Declined::ConstantAddress { offset: op.ins.ip() as u32 })
    }

    /// `kmov k7, register` in place of the tagged store.
    fn set_mask(&mut self, op: &Op) -> Result<(), Declined> {
        if self.wide == Wide::W512 && op.ins.op_kind(1) != OpKind::Register {
            // A number: the mask register takes it from the pool.
            let k7 = Register::K0 + u32::from(TAIL_MASK);
            let memory = MemoryOperand::with_base_displ(Register::RIP, 1);
            let ins = Instruction::with2(Code::VEX_Kmovd_kr_km32, k7, memory);
            let bits = op.ins.immediate(1) as u32;
            return self
                .out
                .emit_with_constant(&ins.map_err(|_| Declined::unknown(&op.ins))?, &bits.to_le_bytes());
        }
        let source = op.ins.op1_register();
        let code = if source.is_gpr64() { Code::VEX_Kmovq_kr_r64 } else { Code::VEX_Kmovd_kr_r32 };
        if self.wide != Wide::W512 || op.ins.op_kind(1) != OpKind::Register {
            return Err(Declined::unknown(&op.ins));
        }
        self.emit2(op, code, Register::K0 + u32::from(TAIL_MASK), source)
    }

    fn emit2(&mut self, op: &Op, code: Code, a: Register, b: Register) -> Result<(), Declined> {
        let ins = Instruction::with2(code, a, b)
            .map_err(|_| Declined::Unencodable { offset: op.ins.ip() as u32 })?;
        self.out.emit(&ins)
    }

    /// A copy of the instruction's memory operand, as the only memory operand of `code`.
    fn memory_form(&self, op: &Op, code: Code, register: Register, store: bool) -> Instruction {
        let mut ins = op.ins;
        ins.set_code(code);
        ins.set_op_kind(u32::from(!store), OpKind::Memory);
        ins.set_op_kind(u32::from(store), OpKind::Register);
        ins.set_op_register(u32::from(store), register);
        self.scale_frame(&mut ins);
        ins
    }

    fn fraction(&mut self, i: usize, op: &Op, bytes: u32, store: bool) -> Result<(), Declined> {
        let bytes = if op.tag == Some(Tag::Eighth) { bytes / 2 } else { bytes };
        let total = bytes * self.wide.scale();
        let k = if store { 1 } else { 0 };
        let Some(low) = self.operand(i, op, k, Part::Low) else { return Err(Declined::unknown(&op.ins)) };
        let number = low.number() as u32;
        if let Some(tag) = op.tag.filter(|t| t.is_masked()) {
            return self.masked_move(op, tag, total.max(16), number, store);
        }
        let (code, register) = match (total, store) {
            (32, false) => (Code::VEX_Vmovdqu_ymm_ymmm256, Register::YMM0 + number),
            (16, false) => (Code::VEX_Vmovdqu_xmm_xmmm128, low),
            (8, false) => (Code::VEX_Vmovq_xmm_xmmm64, low),
            (4, false) => (Code::VEX_Vmovd_xmm_rm32, low),
            (32, true) if number < 16 => (Code::VEX_Vmovdqu_ymmm256_ymm, Register::YMM0 + number),
            (16, true) if number < 16 => (Code::VEX_Vmovdqu_xmmm128_xmm, low),
            (8, true) if number < 16 => (Code::VEX_Vmovq_xmmm64_xmm, low),
            (4, true) if number < 16 => (Code::VEX_Vmovd_rm32_xmm, low),
            (32, true) => (Code::EVEX_Vmovdqu32_ymmm256_k1z_ymm, Register::YMM0 + number),
            (16, true) => (Code::EVEX_Vmovdqu32_xmmm128_k1z_xmm, low),
            (8, true) => (Code::EVEX_Vmovq_xmmm64_xmm, low),
            _ => return Err(Declined::unknown(&op.ins)),
        };
        self.out.emit(&self.memory_form(op, code, register, store))
    }

    /// A load or store of `total` bytes under the tail's mask; masked-off lanes load as zero.
    fn masked_move(
        &mut self,
        op: &Op,
        tag: Tag,
        total: u32,
        number: u32,
        store: bool,
    ) -> Result<(), Declined> {
        use Code::*;
        if self.wide != Wide::W512 {
            return Err(Declined::unknown(&op.ins));
        }
        let width = match total {
            64 => 0,
            32 => 1,
            _ => 2,
        };
        let element = match tag {
            Tag::Masked8 => 0,
            Tag::Masked16 => 1,
            Tag::Masked32 => 2,
            Tag::Masked64 => 3,
            Tag::Fraction | Tag::SetMask | Tag::Narrow | Tag::Eighth => {
                return Err(Declined::unknown(&op.ins));
            }
        };
        const LOADS: [[Code; 3]; 4] = [
            [EVEX_Vmovdqu8_zmm_k1z_zmmm512, EVEX_Vmovdqu8_ymm_k1z_ymmm256, EVEX_Vmovdqu8_xmm_k1z_xmmm128],
            [EVEX_Vmovdqu16_zmm_k1z_zmmm512, EVEX_Vmovdqu16_ymm_k1z_ymmm256, EVEX_Vmovdqu16_xmm_k1z_xmmm128],
            [EVEX_Vmovdqu32_zmm_k1z_zmmm512, EVEX_Vmovdqu32_ymm_k1z_ymmm256, EVEX_Vmovdqu32_xmm_k1z_xmmm128],
            [EVEX_Vmovdqu64_zmm_k1z_zmmm512, EVEX_Vmovdqu64_ymm_k1z_ymmm256, EVEX_Vmovdqu64_xmm_k1z_xmmm128],
        ];
        const STORES: [[Code; 3]; 4] = [
            [EVEX_Vmovdqu8_zmmm512_k1z_zmm, EVEX_Vmovdqu8_ymmm256_k1z_ymm, EVEX_Vmovdqu8_xmmm128_k1z_xmm],
            [EVEX_Vmovdqu16_zmmm512_k1z_zmm, EVEX_Vmovdqu16_ymmm256_k1z_ymm, EVEX_Vmovdqu16_xmmm128_k1z_xmm],
            [EVEX_Vmovdqu32_zmmm512_k1z_zmm, EVEX_Vmovdqu32_ymmm256_k1z_ymm, EVEX_Vmovdqu32_xmmm128_k1z_xmm],
            [EVEX_Vmovdqu64_zmmm512_k1z_zmm, EVEX_Vmovdqu64_ymmm256_k1z_ymm, EVEX_Vmovdqu64_xmmm128_k1z_xmm],
        ];
        let code = if store { STORES } else { LOADS }[element][width];
        let base = [Register::ZMM0, Register::YMM0, Register::XMM0][width];
        let mut ins = self.memory_form(op, code, base + number, store);
        ins.set_op_mask(Register::K0 + u32::from(TAIL_MASK));
        ins.set_zeroing_masking(!store);
        self.out.emit(&ins)
    }

    /// Loads the 16-byte constant into every 128-bit lane of a full register.
    fn load_constant(&mut self, register: Register, bytes: &[u8; 16]) -> Result<(), Declined> {
        let high = self.wide == Wide::W512;
        let (code, size) = match (period(bytes), high) {
            (4, true) => (Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32, 4),
            (4, false) => (Code::VEX_Vbroadcastss_ymm_m32, 4),
            (8, true) => (Code::EVEX_Vbroadcastsd_zmm_k1z_xmmm64, 8),
            (8, false) => (Code::VEX_Vbroadcastsd_ymm_m64, 8),
            (_, true) => (Code::EVEX_Vbroadcastf32x4_zmm_k1z_m128, 16),
            (_, false) => (Code::VEX_Vbroadcastf128_ymm_m128, 16),
        };
        // The address is replaced by the pool's.
        let memory = MemoryOperand::with_base_displ(Register::RIP, 1);
        let ins =
            Instruction::with2(code, register, memory).map_err(|_| Declined::Unencodable { offset: 0 })?;
        self.out.emit_with_constant(&ins, &bytes[..size])
    }

    fn vector(&mut self, i: usize, op: &Op, row: &'static Row) -> Result<(), Declined> {
        let code = match self.wide {
            Wide::W512 => row.w512,
            Wide::W256 => row.w256,
        };
        if code == Code::INVALID {
            return Err(Declined::unknown(&op.ins));
        }
        if op.is_zero_idiom() {
            // The 128-bit form clears the whole register.
            return self.out.emit(&op.ins);
        }
        if op.is_move() {
            return self.movement(i, op, code);
        }
        if op.ins.mnemonic() == Mnemonic::Vpshufd
            && op.ins.immediate8() == SPLAT_QUADWORD
            && let (Some(to), Some(from)) = (op.xmm(0), self.operand(i, op, 1, Part::Low))
        {
            let code = match self.wide {
                Wide::W512 => Code::EVEX_Vpbroadcastq_zmm_k1z_xmmm64,
                Wide::W256 => Code::VEX_Vpbroadcastq_ymm_xmmm64,
            };
            return self.emit2(op, code, self.register(to as u8, Part::Full), from);
        }
        if row.form == Form::Shuffle && !stays_in_lanes(op.ins.mnemonic(), op.ins.immediate8()) {
            return Err(Declined::unknown(&op.ins));
        }
        match (row.form, self.wide) {
            (Form::Pack, _) => self.pack(i, op, code),
            (Form::Compare, Wide::W512) => self.compare(i, op, code),
            (Form::Blend, Wide::W512) => self.blend(i, op),
            (Form::Compare | Form::Blend, Wide::W256)
            | (
                Form::Lanewise
                | Form::Shuffle
                | Form::Extend
                | Form::Truncate
                | Form::Broadcast
                | Form::ShiftCount,
                _,
            ) => {
                if let Some((logic, a, b)) = self.plan.masks[i].logic {
                    return self.mask_logic(op, logic, a, b, self.plan.masks[i]);
                }
                let mut ins = op.ins;
                ins.set_code(code);
                if row.form == Form::Broadcast && op.has_memory() {
                    return self.broadcast_load(op, ins);
                }
                let (to, from) = match row.form {
                    Form::Extend => (Part::Full, Part::Half),
                    Form::Truncate => (Part::Half, Part::Full),
                    Form::Broadcast => (Part::Full, Part::Low),
                    Form::Lanewise
                    | Form::Shuffle
                    | Form::ShiftCount
                    | Form::Compare
                    | Form::Blend
                    | Form::Pack => (Part::Full, Part::Full),
                };
                self.set_registers(i, op, &mut ins, to, from);
                if row.form == Form::ShiftCount
                    && let Some(count) = self.operand(i, op, 2, Part::Low)
                {
                    ins.set_op2_register(count);
                }
                let memory = if row.form == Form::Extend { Part::Half } else { Part::Full };
                self.finish_memory(op, ins, memory, row.form)
            }
        }
    }

    fn set_registers(&self, i: usize, op: &Op, ins: &mut Instruction, to: Part, from: Part) {
        for k in 0..op.ins.op_count() {
            if let Some(r) = self.operand(i, op, k, if k == 0 { to } else { from }) {
                ins.set_op_kind(k, OpKind::Register);
                ins.set_op_register(k, r);
            }
        }
    }

    /// Emits an instruction that may still have a memory operand of the given size.
    fn finish_memory(
        &mut self,
        op: &Op,
        mut ins: Instruction,
        part: Part,
        form: Form,
    ) -> Result<(), Declined> {
        let Some(k) = (0..ins.op_count()).find(|&k| ins.op_kind(k) == OpKind::Memory) else {
            return self.out.emit(&ins);
        };
        if op.is_rip_relative() {
            return self.constant_operand(op, ins, form);
        }
        if let Some(tag) = op.tag.filter(|t| t.is_masked()) {
            let total = 16 * self.wide.scale() / if part == Part::Half { 2 } else { 1 };
            self.masked_move(op, tag, total, u32::from(SCRATCH_REGISTER), false)?;
            ins.set_op_kind(k, OpKind::Register);
            ins.set_op_register(k, self.register(SCRATCH_REGISTER, part));
            return self.out.emit(&ins);
        }
        // Reads more than was asked for where there is no register to load into first; the memory is
        // the function's own and large enough, and the lanes above are never used.
        if op.tag == Some(Tag::Narrow) && self.wide == Wide::W512 {
            let low = self.register(SCRATCH_REGISTER, Part::Low);
            self.out.emit(&self.memory_form(op, Code::EVEX_Vmovups_xmm_k1z_xmmm128, low, false))?;
            ins.set_op_kind(k, OpKind::Register);
            ins.set_op_register(k, self.register(SCRATCH_REGISTER, part));
            return self.out.emit(&ins);
        }
        self.scale_frame(&mut ins);
        self.out.emit(&ins)
    }

    /// A constant as operand: broadcast from 4 or 8 bytes where the encoding can, else written out.
    fn constant_operand(&mut self, op: &Op, mut ins: Instruction, form: Form) -> Result<(), Declined> {
        let scale = self.wide.scale() as usize;
        match form {
            Form::Extend => {
                let half = self.pool_bytes(op, 8)?;
                self.out.emit_with_constant(&ins, &half.repeat(scale))
            }
            Form::ShiftCount => {
                let bytes = self.pool_bytes(op, 16)?;
                self.out.emit_with_constant(&ins, &bytes)
            }
            Form::Lanewise
            | Form::Shuffle
            | Form::Truncate
            | Form::Compare
            | Form::Blend
            | Form::Broadcast
            | Form::Pack => {
                let bytes = self.pool_bytes(op, 16)?;
                let whole = <[u8; 16]>::try_from(bytes.as_slice()).unwrap_or_default();
                if self.wide == Wide::W512 && ins.code().op_code().can_broadcast() {
                    ins.set_is_broadcast(true);
                    let size = ins.memory_size().size();
                    if size.is_multiple_of(period(&whole)) {
                        return self.out.emit_with_constant(&ins, &bytes[..size]);
                    }
                    ins.set_is_broadcast(false);
                }
                self.out.emit_with_constant(&ins, &bytes.repeat(scale))
            }
        }
    }

    fn broadcast_load(&mut self, op: &Op, mut ins: Instruction) -> Result<(), Declined> {
        let Some(r) = op.xmm(0) else { return Err(Declined::unknown(&op.ins)) };
        ins.set_op0_register(self.register(r as u8, Part::Full));
        if op.is_rip_relative() {
            let bytes = self.pool_bytes(op, op.ins.memory_size().size())?;
            return self.out.emit_with_constant(&ins, &bytes);
        }
        self.scale_frame(&mut ins);
        self.out.emit(&ins)
    }

    fn movement(&mut self, i: usize, op: &Op, code: Code) -> Result<(), Declined> {
        let store = op.ins.op0_kind() == OpKind::Memory;
        if !op.has_memory() {
            let from = self.operand(i, op, 1, Part::Full);
            let (Some(to), Some(from)) = (op.xmm(0), from) else { return Err(Declined::unknown(&op.ins)) };
            let to = self.register(to as u8, Part::Full);
            return self.copy(op, to, from);
        }
        let k = u32::from(store);
        let Some(register) = self.operand(i, op, k, Part::Full) else {
            return Err(Declined::unknown(&op.ins));
        };
        if let Some(high) = self.plan.moved[i] {
            let high = self.register(high, Part::Full);
            return if store { self.copy(op, high, register) } else { self.copy(op, register, high) };
        }
        if op.is_rip_relative() {
            let bytes = self.pool_bytes(op, 16)?;
            let whole = <[u8; 16]>::try_from(bytes.as_slice()).unwrap_or_default();
            return self.load_constant(register, &whole);
        }
        if op.tag == Some(Tag::Narrow) {
            let mut ins = op.ins;
            self.scale_frame(&mut ins);
            return self.out.emit(&ins);
        }
        if let Some(tag) = op.tag.filter(|t| t.is_masked()) {
            return self.masked_move(op, tag, 64, register.number() as u32, store);
        }
        self.out.emit(&self.memory_form(op, code, register, store))
    }

    fn copy(&mut self, op: &Op, to: Register, from: Register) -> Result<(), Declined> {
        let code = match self.wide {
            Wide::W512 => Code::EVEX_Vmovaps_zmm_k1z_zmmm512,
            Wide::W256 => Code::VEX_Vmovaps_ymm_ymmm256,
        };
        if to == from { Ok(()) } else { self.emit2(op, code, to, from) }
    }

    fn pack(&mut self, i: usize, op: &Op, code: Code) -> Result<(), Declined> {
        let (Some(to), Some(from)) = (op.xmm(0), self.operand(i, op, 1, Part::Full)) else {
            return Err(Declined::unknown(&op.ins));
        };
        // Only `pack a, a` is known to be read in its low half alone.
        if op.xmm(1) != op.xmm(2) {
            return Err(Declined::unknown(&op.ins));
        }
        let full = self.register(to as u8, Part::Full);
        match self.wide {
            Wide::W512 => self.emit2(op, code, self.register(to as u8, Part::Half), from),
            Wide::W256 => {
                let ins = Instruction::with3(code, full, from, from);
                self.out.emit(&ins.map_err(|_| Declined::unknown(&op.ins))?)?;
                self.gather_quadwords(op, full)
            }
        }
    }

    /// Quadwords 0 and 2 of a 256-bit register side by side: what packing lanes left apart.
    fn gather_quadwords(&mut self, op: &Op, register: Register) -> Result<(), Declined> {
        let ins = Instruction::with3(Code::VEX_Vpermq_ymm_ymmm256_imm8, register, register, 0b1000u32);
        self.out.emit(&ins.map_err(|_| Declined::unknown(&op.ins))?)
    }

    fn compare(&mut self, i: usize, op: &Op, code: Code) -> Result<(), Declined> {
        let masks = self.plan.masks[i];
        let Some(to) = op.xmm(0) else { return Err(Declined::unknown(&op.ins)) };
        let full = self.register(to as u8, Part::Full);
        if masks.all_ones {
            let ones = Instruction::with4(
                Code::EVEX_Vpternlogd_zmm_k1z_zmm_zmmm512b32_imm8,
                full,
                full,
                full,
                0xffu32,
            );
            return self.out.emit(&ones.map_err(|_| Declined::unknown(&op.ins))?);
        }
        let Some(k) = masks.writes else { return Err(Declined::unknown(&op.ins)) };
        let mut ins = op.ins;
        ins.set_code(code);
        self.set_registers(i, op, &mut ins, Part::Full, Part::Full);
        ins.set_op0_register(Register::K0 + u32::from(k));
        self.finish_memory(op, ins, Part::Full, Form::Compare)?;
        self.lanes_of_mask(op, masks, full)
    }

    fn lanes_of_mask(&mut self, op: &Op, masks: MaskUse, full: Register) -> Result<(), Declined> {
        let Some(k) = masks.writes.filter(|_| masks.lanes_too) else { return Ok(()) };
        let code = match masks.lane_bits {
            8 => Code::EVEX_Vpmovm2b_zmm_kr,
            16 => Code::EVEX_Vpmovm2w_zmm_kr,
            32 => Code::EVEX_Vpmovm2d_zmm_kr,
            _ => Code::EVEX_Vpmovm2q_zmm_kr,
        };
        self.emit2(op, code, full, Register::K0 + u32::from(k))
    }

    fn mask_logic(&mut self, op: &Op, logic: Logic, a: u8, b: u8, masks: MaskUse) -> Result<(), Declined> {
        let (Some(k), Some(to)) = (masks.writes, op.xmm(0)) else { return Err(Declined::unknown(&op.ins)) };
        let [k, a, b] = [k, a, b].map(|k| Register::K0 + u32::from(k));
        // Sixty-four bits whatever the lane width: what is above the lanes is never read.
        let ins = match logic {
            Logic::And => Instruction::with3(Code::VEX_Kandq_kr_kr_kr, k, a, b),
            Logic::AndNot => Instruction::with3(Code::VEX_Kandnq_kr_kr_kr, k, a, b),
            Logic::Or => Instruction::with3(Code::VEX_Korq_kr_kr_kr, k, a, b),
            Logic::Xor => Instruction::with3(Code::VEX_Kxorq_kr_kr_kr, k, a, b),
            Logic::Not => Instruction::with2(Code::VEX_Knotq_kr_kr, k, a),
        };
        self.out.emit(&ins.map_err(|_| Declined::unknown(&op.ins))?)?;
        self.lanes_of_mask(op, masks, self.register(to as u8, Part::Full))
    }

    fn blend(&mut self, i: usize, op: &Op) -> Result<(), Declined> {
        let (k, bits) = match self.plan.masks[i].blends_by {
            Some(known) => known,
            None => {
                let Some(mask) = self.operand(i, op, 3, Part::Full) else {
                    return Err(Declined::unknown(&op.ins));
                };
                let (code, bits) = match op.ins.mnemonic() {
                    Mnemonic::Vblendvps => (Code::EVEX_Vpmovd2m_kr_zmm, 32),
                    Mnemonic::Vblendvpd => (Code::EVEX_Vpmovq2m_kr_zmm, 64),
                    _ => (Code::EVEX_Vpmovb2m_kr_zmm, 8),
                };
                self.emit2(op, code, Register::K0 + u32::from(SCRATCH_MASK), mask)?;
                (SCRATCH_MASK, bits)
            }
        };
        let mut ins = op.ins;
        ins.set_code(match bits {
            8 => Code::EVEX_Vpblendmb_zmm_k1z_zmm_zmmm512,
            16 => Code::EVEX_Vpblendmw_zmm_k1z_zmm_zmmm512,
            32 => Code::EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32,
            _ => Code::EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64,
        });
        for part in 0..3 {
            if let Some(r) = self.operand(i, op, part, Part::Full) {
                ins.set_op_kind(part, OpKind::Register);
                ins.set_op_register(part, r);
            }
        }
        ins.set_op_mask(Register::K0 + u32::from(k));
        self.finish_memory(op, ins, Part::Full, Form::Blend)
    }

    fn intrinsic(&mut self, i: usize, op: &Op, intrinsic: Intrinsic) -> Result<(), Declined> {
        use Code::*;
        if !intrinsic.exists_at(self.wide) || op.has_memory() && op.is_rip_relative() {
            return Err(Declined::unknown(&op.ins));
        }
        let Some(to) = op.xmm(0) else { return Err(Declined::unknown(&op.ins)) };
        let to = to as u8;
        let is512 = self.wide == Wide::W512;
        let (code, parts) = match intrinsic {
            Intrinsic::ShiftLeft32 if is512 => (EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32, None),
            Intrinsic::ShiftLeft32 => (VEX_Vpsllvd_ymm_ymm_ymmm256, None),
            Intrinsic::ShiftRight32 if is512 => (EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32, None),
            Intrinsic::ShiftRight32 => (VEX_Vpsravd_ymm_ymm_ymmm256, None),
            Intrinsic::ShiftLeft64 if is512 => (EVEX_Vpsllvq_zmm_k1z_zmm_zmmm512b64, None),
            Intrinsic::ShiftLeft64 => (VEX_Vpsllvq_ymm_ymm_ymmm256, None),
            Intrinsic::ShiftRight64 => (EVEX_Vpsravq_zmm_k1z_zmm_zmmm512b64, None),
            Intrinsic::I64ToF64 => (EVEX_Vcvtqq2pd_zmm_k1z_zmmm512b64_er, Some((Part::Full, Part::Full))),
            Intrinsic::F64ToI64 => (EVEX_Vcvttpd2qq_zmm_k1z_zmmm512b64_sae, Some((Part::Full, Part::Full))),
            Intrinsic::F16ToF32 if is512 => {
                (EVEX_Vcvtph2ps_zmm_k1z_ymmm256_sae, Some((Part::Full, Part::Half)))
            }
            Intrinsic::F16ToF32 => (VEX_Vcvtph2ps_ymm_xmmm128, Some((Part::Full, Part::Half))),
            Intrinsic::F32ToF16 if is512 => {
                (EVEX_Vcvtps2ph_ymmm256_k1z_zmm_imm8_sae, Some((Part::Half, Part::Full)))
            }
            Intrinsic::F32ToF16 => (VEX_Vcvtps2ph_xmmm128_ymm_imm8, Some((Part::Half, Part::Full))),
            Intrinsic::I64ToI32 if is512 => (EVEX_Vpmovqd_ymmm256_k1z_zmm, Some((Part::Half, Part::Full))),
            Intrinsic::I64ToI32 => (VEX_Vpshufd_ymm_ymmm256_imm8, Some((Part::Full, Part::Full))),
        };
        let Some((result, source)) = parts else {
            let mut ins = op.ins;
            ins.set_code(code);
            self.set_registers(i, op, &mut ins, Part::Full, Part::Full);
            return self.finish_memory(op, ins, Part::Full, Form::Lanewise);
        };
        let Some(from) = self.operand(i, op, 1, source) else { return Err(Declined::unknown(&op.ins)) };
        let result = self.register(to, result);
        let imm: Option<u32> = match intrinsic {
            Intrinsic::F32ToF16 => Some(0),
            Intrinsic::I64ToI32 if !is512 => Some(0b1000),
            _ => None,
        };
        let ins = match imm {
            Some(imm) => Instruction::with3(code, result, from, imm),
            None => Instruction::with2(code, result, from),
        };
        self.out.emit(&ins.map_err(|_| Declined::unknown(&op.ins))?)?;
        if intrinsic == Intrinsic::I64ToI32 && !is512 {
            self.gather_quadwords(op, result)?;
        }
        Ok(())
    }
}

/// The smallest of 4, 8 and 16 bytes after which the constant repeats.
fn period(bytes: &[u8; 16]) -> usize {
    let repeats = |n: usize| bytes.chunks(n).all(|c| c == &bytes[..n]);
    if repeats(4) {
        4
    } else if repeats(8) {
        8
    } else {
        16
    }
}
