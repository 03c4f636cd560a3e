//! What a unit's kernel depends on, without the names of values and buffers.
//!
//! Layers of a network and steps of a recurrence are the same units over and over. Units of one form have one kernel,
//! which is written once.

use super::emit::{Sources, Stored};
use crate::fuse::{LoopUnit, Member, UnitAxis};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use ttk_ir::program::BufferId;
use ttk_ir::{Expr, Graph, Op, Type, ValueId};

/// A unit with its values numbered from 0, operands first, and the buffers that it touches in the order met.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(super) struct Form {
    axes: Vec<UnitAxis>,
    values: Vec<Value>,
    members: Vec<Member<u32>>,
    outputs: Vec<(u32, Place)>,
}

/// A value that the unit computes, itself or in passing, or finds in memory.
#[derive(PartialEq, Eq, Hash, Debug)]
#[expect(clippy::large_enum_variant, reason = "most values are the large one")]
enum Value {
    Computed { op: Op, inputs: SmallVec<[u32; 3]>, ty: Type },
    Stored { place: Place, ty: Type },
}

/// [`Stored`] in the form's own buffers.
#[derive(PartialEq, Eq, Hash, Debug)]
struct Place {
    buffer: u32,
    len: Expr,
    strides: SmallVec<[Expr; 4]>,
}

/// The form of a unit and its buffers; `None` where something it reads is nowhere.
pub(super) fn form(
    graph: &Graph,
    unit: &LoopUnit,
    sources: &dyn Sources,
    stored: &dyn Fn(ValueId) -> Option<Stored>,
) -> Option<(Form, Vec<BufferId>)> {
    let (numbers, buffers) = (FxHashMap::default(), Vec::new());
    let mut walk = Walk { graph, sources, numbers, values: Vec::new(), buffers };
    let mut members = Vec::with_capacity(unit.members.len());
    for m in &unit.members {
        members.push(Member { value: walk.number(m.value)?, dims: m.dims.clone(), reduces: m.reduces });
    }
    let mut outputs = Vec::with_capacity(unit.outputs.len());
    for &v in &unit.outputs {
        outputs.push((walk.number(v)?, walk.place(&stored(v)?)));
    }
    let form = Form { axes: unit.axes.clone(), values: walk.values, members, outputs };
    Some((form, walk.buffers))
}

struct Walk<'a> {
    graph: &'a Graph,
    sources: &'a dyn Sources,
    numbers: FxHashMap<ValueId, u32>,
    values: Vec<Value>,
    buffers: Vec<BufferId>,
}

impl Walk<'_> {
    fn number(&mut self, v: ValueId) -> Option<u32> {
        if let Some(known) = self.numbers.get(&v) {
            return Some(*known);
        }
        let node = self.graph.node(v);
        let value = if self.sources.computes(v) {
            let mut inputs = SmallVec::with_capacity(node.inputs.len());
            for &x in &node.inputs {
                inputs.push(self.number(x)?);
            }
            Value::Computed { op: node.op.clone(), inputs, ty: node.ty.clone() }
        } else {
            Value::Stored { place: self.place(self.sources.stored(v)?), ty: node.ty.clone() }
        };
        let number = self.values.len() as u32;
        self.values.push(value);
        self.numbers.insert(v, number);
        Some(number)
    }

    fn place(&mut self, stored: &Stored) -> Place {
        let known = self.buffers.iter().position(|b| *b == stored.buffer);
        let buffer = known.unwrap_or_else(|| {
            self.buffers.push(stored.buffer);
            self.buffers.len() - 1
        });
        Place { buffer: buffer as u32, len: stored.len.clone(), strides: stored.strides.clone() }
    }
}
