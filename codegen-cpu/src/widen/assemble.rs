//! Encodes instructions one after another and patches branches and constants at the end.

use super::Declined;
use iced_x86::{Encoder, Instruction, Register};
use rustc_hash::FxHashMap;

/// Loop heads start on a multiple of this many bytes: the fetch window.
const LOOP_ALIGNMENT: usize = 32;

pub(super) struct Assembler {
    encoder: Encoder,
    len: usize,
    /// Offset of each original instruction.
    offsets: Vec<u32>,
    /// `(end of the branch, original instruction it goes to)`.
    branches: Vec<(usize, usize)>,
    pool: Vec<u8>,
    pooled: FxHashMap<Box<[u8]>, usize>,
    /// `(place of the displacement, end of the instruction, offset in the pool)`.
    constants: Vec<(usize, usize, usize)>,
}

impl Assembler {
    pub(super) fn new(capacity: usize, instructions: usize) -> Result<Assembler, Declined> {
        Ok(Assembler {
            encoder: Encoder::try_with_capacity(64, capacity)
                .map_err(|_| Declined::Unencodable { offset: 0 })?,
            len: 0,
            offsets: Vec::with_capacity(instructions),
            branches: Vec::new(),
            pool: Vec::new(),
            pooled: FxHashMap::default(),
            constants: Vec::new(),
        })
    }

    /// Notes that the next bytes are those of the next original instruction.
    pub(super) fn begin_op(&mut self) {
        self.offsets.push(self.len as u32);
    }

    pub(super) fn align_loop(&mut self) {
        while !self.len.is_multiple_of(LOOP_ALIGNMENT) {
            // Long NOPs (0F 1F and friends) cost one slot each.
            const NOPS: [&[u8]; 8] = [
                &[0x90],
                &[0x66, 0x90],
                &[0x0f, 0x1f, 0x00],
                &[0x0f, 0x1f, 0x40, 0x00],
                &[0x0f, 0x1f, 0x44, 0x00, 0x00],
                &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
                &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
                &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
            ];
            let gap = LOOP_ALIGNMENT - self.len % LOOP_ALIGNMENT;
            for &byte in NOPS[gap.min(8) - 1] {
                self.encoder.write_u8(byte);
                self.len += 1;
            }
        }
    }

    pub(super) fn emit(&mut self, ins: &Instruction) -> Result<(), Declined> {
        let n = self
            .encoder
            .encode(ins, self.len as u64)
            .map_err(|_| Declined::Unencodable { offset: ins.ip() as u32 })?;
        self.len += n;
        Ok(())
    }

    /// A branch; `target` is an original instruction.
    pub(super) fn emit_branch(&mut self, ins: &Instruction, target: usize) -> Result<(), Declined> {
        let mut near = *ins;
        near.as_near_branch();
        near.set_near_branch64(self.len as u64);
        self.emit(&near)?;
        self.branches.push((self.len, target));
        Ok(())
    }

    /// An instruction whose memory operand becomes `bytes` in the pool.
    pub(super) fn emit_with_constant(&mut self, ins: &Instruction, bytes: &[u8]) -> Result<(), Declined> {
        let at = match self.pooled.get(bytes) {
            Some(&at) => at,
            None => {
                while !self.pool.len().is_multiple_of(bytes.len().min(64)) {
                    self.pool.push(0);
                }
                let at = self.pool.len();
                self.pool.extend_from_slice(bytes);
                self.pooled.insert(bytes.into(), at);
                at
            }
        };
        let mut ins = *ins;
        ins.set_memory_base(Register::RIP);
        ins.set_memory_index(Register::None);
        ins.set_memory_displ_size(8);
        // Any near place will do; the true one is known when the code ends.
        ins.set_memory_displacement64(self.len as u64);
        let start = self.len;
        self.emit(&ins)?;
        let displacement = start + self.encoder.get_constant_offsets().displacement_offset();
        self.constants.push((displacement, self.len, at));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let mut code = self.encoder.take_buffer();
        if !self.pool.is_empty() {
            code.resize(code.len().next_multiple_of(64), 0xcc);
        }
        let base = code.len();
        let mut patch = |at: usize, to: usize, from: usize| {
            let relative = (to as i64 - from as i64) as i32;
            code[at..at + 4].copy_from_slice(&relative.to_le_bytes());
        };
        for (end, target) in &self.branches {
            patch(end - 4, self.offsets[*target] as usize, *end);
        }
        for (at, end, offset) in &self.constants {
            patch(*at, base + offset, *end);
        }
        code.append(&mut self.pool);
        code
    }
}
