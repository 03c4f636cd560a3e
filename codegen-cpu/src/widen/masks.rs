//! Lane masks in AVX-512 mask registers.
//!
//! At 128 and 256 bits a comparison leaves all-ones lanes in a vector register and a blend reads their
//! top bits. At 512 bits a comparison writes `k1..k7`. This pass decides, block by block, which mask
//! lives in which mask register, and for which masks somebody still wants the lanes.

use super::decode::{Program, Role};
use super::table::Form;
use iced_x86::{Code, Mnemonic};

/// Masks that blends read straight from a mask register; `k6` is scratch, `k7` the tail's mask.
const POOL: std::ops::RangeInclusive<u8> = 1..=5;
pub(super) const SCRATCH_MASK: u8 = 6;
pub(super) const TAIL_MASK: u8 = 7;

/// What the plan says about one instruction.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct MaskUse {
    /// A comparison or mask logic: the mask register written.
    pub(super) writes: Option<u8>,
    /// The lanes are wanted too, as all-ones vectors.
    pub(super) lanes_too: bool,
    /// A blend: its mask register and the width in bits of the lanes of the comparison that made it.
    pub(super) blends_by: Option<(u8, u32)>,
    /// Mask logic: the operation and its two mask registers.
    pub(super) logic: Option<(Logic, u8, u8)>,
    /// Bits in a lane of the mask written.
    pub(super) lane_bits: u32,
    /// A comparison of a register with itself for equality: all ones, no mask.
    pub(super) all_ones: bool,
}

impl MaskUse {
    /// Whether the instruction reads or writes a mask register.
    pub(super) fn is_any(&self) -> bool {
        self.writes.is_some() || self.blends_by.is_some() || self.logic.is_some()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Logic {
    And,
    AndNot,
    Or,
    Xor,
    Not,
}

#[derive(Clone, Copy)]
struct Mask {
    op: usize,
    k: u8,
    bits: u32,
}

pub(super) fn plan(program: &Program, live_after: &[u16], dropped: &[bool]) -> Vec<MaskUse> {
    let mut uses = vec![MaskUse::default(); program.ops.len()];
    for block in &program.blocks {
        let mut held: [Option<Mask>; 16] = [None; 16];
        let mut ones = 0u16;
        for i in block.start..block.end {
            if dropped[i] {
                // The move is gone, but its destination may be read through an alias only.
                let op = &program.ops[i];
                held.iter_mut()
                    .enumerate()
                    .filter(|(r, _)| op.writes >> r & 1 == 1)
                    .for_each(|(_, m)| *m = None);
                continue;
            }
            let op = &program.ops[i];
            let form = match op.role {
                Role::Wide(row) => Some(row.form),
                Role::Pass
                | Role::Scalar
                | Role::Fraction { .. }
                | Role::SetMask
                | Role::Whole
                | Role::Intrinsic(_) => None,
            };
            let mut made = None;
            match form {
                Some(Form::Blend) => {
                    let mask = op.xmm(3).unwrap_or(0);
                    if let Some(m) = held[mask] {
                        uses[i].blends_by = Some((m.k, m.bits));
                    }
                    for k in 1..3 {
                        want_lanes(&mut uses, op.xmm(k).and_then(|r| held[r]));
                    }
                }
                Some(Form::Compare) => {
                    for k in 1..3 {
                        want_lanes(&mut uses, op.xmm(k).and_then(|r| held[r]));
                    }
                    if op.xmm(1).is_some() && op.xmm(1) == op.xmm(2) && is_integer_equality(op.ins.mnemonic())
                    {
                        uses[i].all_ones = true;
                    } else {
                        made = Some(lane_bits(op.ins.code()));
                    }
                }
                _ => match mask_logic(op, &held, ones) {
                    Some((logic, a, b, bits)) => {
                        uses[i].logic = Some((logic, a, b));
                        made = Some(bits);
                    }
                    None => {
                        for (r, m) in held.iter().enumerate() {
                            if op.reads >> r & 1 == 1 {
                                want_lanes(&mut uses, *m);
                            }
                        }
                    }
                },
            }
            for (r, m) in held.iter_mut().enumerate() {
                if op.writes >> r & 1 == 1 {
                    *m = None;
                    ones &= !(1 << r);
                }
            }
            let Some(r) = op.xmm(0) else { continue };
            if uses[i].all_ones {
                ones |= 1 << r;
            }
            if let Some(bits) = made {
                let k = allocate(&mut uses, &mut held);
                uses[i].writes = Some(k);
                uses[i].lane_bits = bits;
                held[r] = Some(Mask { op: i, k, bits });
            } else if let Some((_, from)) = op.register_move() {
                held[r] = held[from];
            }
        }
        let last = block.end - 1;
        for (r, m) in held.iter().enumerate() {
            if live_after[last] >> r & 1 == 1 {
                want_lanes(&mut uses, *m);
            }
        }
    }
    uses
}

fn want_lanes(uses: &mut [MaskUse], mask: Option<Mask>) {
    if let Some(m) = mask {
        uses[m.op].lanes_too = true;
    }
}

/// A free mask register; if there is none, the oldest mask falls back to lanes.
fn allocate(uses: &mut [MaskUse], held: &mut [Option<Mask>; 16]) -> u8 {
    let in_use = |k: u8| held.iter().flatten().any(|m| m.k == k);
    if let Some(free) = POOL.into_iter().find(|&k| !in_use(k)) {
        return free;
    }
    let oldest = held.iter().flatten().min_by_key(|m| m.op).copied();
    let Some(oldest) = oldest else { return *POOL.start() };
    want_lanes(uses, Some(oldest));
    for m in held.iter_mut().filter(|m| m.is_some_and(|m| m.k == oldest.k)) {
        *m = None;
    }
    oldest.k
}

/// A bitwise operation on two masks of one lane width, or the complement of one.
fn mask_logic(op: &super::decode::Op, held: &[Option<Mask>; 16], ones: u16) -> Option<(Logic, u8, u8, u32)> {
    use Mnemonic::*;
    let logic = match op.ins.mnemonic() {
        Vandps | Vandpd | Vpand => Logic::And,
        Vandnps | Vandnpd | Vpandn => Logic::AndNot,
        Vorps | Vorpd | Vpor => Logic::Or,
        Vxorps | Vxorpd | Vpxor => Logic::Xor,
        _ => return None,
    };
    let (a, b) = (op.xmm(1)?, op.xmm(2)?);
    match (held[a], held[b]) {
        (Some(x), Some(y)) if x.bits == y.bits && a != b => Some((logic, x.k, y.k, x.bits)),
        (Some(x), None) if logic == Logic::Xor && ones >> b & 1 == 1 => Some((Logic::Not, x.k, x.k, x.bits)),
        (None, Some(y)) if logic == Logic::Xor && ones >> a & 1 == 1 => Some((Logic::Not, y.k, y.k, y.bits)),
        _ => None,
    }
}

fn is_integer_equality(m: Mnemonic) -> bool {
    matches!(m, Mnemonic::Vpcmpeqb | Mnemonic::Vpcmpeqw | Mnemonic::Vpcmpeqd | Mnemonic::Vpcmpeqq)
}

/// Bits in a lane of what a comparison compares.
fn lane_bits(code: Code) -> u32 {
    use Mnemonic::*;
    match code.mnemonic() {
        Vpcmpeqb | Vpcmpgtb => 8,
        Vpcmpeqw | Vpcmpgtw => 16,
        Vcmppd | Vpcmpeqq | Vpcmpgtq => 64,
        _ => 32,
    }
}
