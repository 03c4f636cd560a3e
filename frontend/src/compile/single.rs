//! Recordings of one operation on values that are known, as a program makes them that looks at each result: their plans are
//! found without extracting the recording and taking it apart.

use super::backend::Compiled;
use super::extract::{Recording, Step};
use super::generalize::Arguments;
use crate::device::{self, Device, Memories, Memory};
use crate::node::{Kind, Value};
use smallvec::SmallVec;
use ttk_ir::{Op, Type};
use ttk_runtime::sync::Counted;

/// So many are remembered, those that were used last.
const KEPT: usize = 8;

/// Plans of one operation each, the last used first. All are on the processor.
#[derive(Debug, Default)]
pub struct Singles(Vec<Single>);

#[derive(Debug)]
struct Single {
    op: Op,
    /// The types of its operands.
    operands: SmallVec<[Type; 3]>,
    /// Whose memory is given away; see [`bits`].
    given: u32,
    compiled: Counted<Compiled>,
    arguments: Arguments,
}

/// So many operands have a bit each.
const MOST_OPERANDS: usize = 32;

/// The first of some answers as the lowest bit, and so on: a list would be read in larger pieces than it was written in, and that
/// makes a processor wait.
fn bits(answers: impl Iterator<Item = bool>) -> u32 {
    answers.enumerate().fold(0, |all, (i, yes)| all | u32::from(yes) << i)
}

impl Singles {
    /// The plan of a value that is to be computed, if it is remembered, and the operands' memory for it. It is the plan that
    /// [`Recording`] and `PlanCache` would find.
    pub fn find(&mut self, root: &Value) -> Option<(&Compiled, &Arguments, Memories)> {
        let Kind::Op(op) = &root.kind else { return None };
        if self.0.is_empty() || root.device.is_some_and(|d| d != Device::Cpu) {
            return None;
        }
        // With derivatives to come operands are kept.
        let on_tape = root.is_on_tape();
        let state = root.state.lock();
        let operands = state.inputs.as_slice();
        let is_twice = |i: usize| operands[..i].iter().any(|other| Counted::ptr_eq(other, &operands[i]));
        if operands.len() > MOST_OPERANDS
            || (0..operands.len()).any(|i| !operands[i].is_computed() || is_twice(i))
        {
            return None;
        }
        let own = |m: &Memory| m.is_exclusive();
        let is_given = |v: &Value| Counted::count(v) == 1 && v.state.lock().buffer.as_ref().is_some_and(own);
        let given = if on_tape { 0 } else { bits(operands.iter().map(is_given)) };
        let is_it = |single: &Single| {
            let mut types = single.operands.iter().zip(operands);
            (single.operands.len(), single.given) == (operands.len(), given)
                && single.op == *op
                && types.all(|(ty, value)| *ty == value.ty)
        };
        let at = self.0.iter().position(is_it)?;
        if at > 0 {
            self.0[..=at].rotate_right(1);
        }
        let Single { compiled, arguments, .. } = &self.0[0];
        let mut inputs = Memories::with_capacity(Device::Cpu, operands.len());
        for (i, value) in operands.iter().enumerate() {
            let memory = compiled.lend(i, value, given >> i & 1 == 1);
            memory.into_iter().for_each(|memory| inputs.push(memory));
        }
        Some((compiled, arguments, inputs))
    }

    /// Remembers the plan of a recording, if that is one operation on the processor, on values that are known. With GPUs in use
    /// none is looked for.
    pub fn learn(&mut self, r: &Recording, compiled: &Counted<Compiled>, arguments: &Arguments) {
        let n = r.leaves().len();
        if device::used()
            || r.len() != n + 1
            || !(1..=MOST_OPERANDS).contains(&n)
            || r.device != Device::Cpu
            || !r.aliases.is_empty()
        {
            return;
        }
        let (root, Step::Op(operands)) = r.entry(n as u32) else { return };
        let Kind::Op(op) = &root.kind else { return };
        // Each operand once, in order.
        if !operands.iter().copied().eq(0..n as u32) || !arguments.scalars.is_empty() {
            return;
        }
        let (op, operands) = (op.clone(), r.leaves().map(|leaf| leaf.ty.clone()).collect());
        let (given, compiled) = (bits(r.donate.iter().copied()), compiled.clone());
        // Where it is not asked for: one value that several tensors want.
        let is_it = |s: &Single| s.given == given && s.op == op && s.operands == operands;
        if self.0.iter().any(is_it) {
            return;
        }
        let new = Single { op, operands, given, compiled, arguments: arguments.clone() };
        self.0.truncate(KEPT - 1);
        self.0.insert(0, new);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}
