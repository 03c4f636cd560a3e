//! The terms of the e-graph: operations of the graph IR, interned.

use egg::{Id, Language};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::rc::Rc;
use ttk_ir::Op;

/// An operation in an [`OpTable`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct OpId(pub(crate) u32);

pub(crate) type Args = SmallVec<[Id; 3]>;

/// An operation on e-classes.
///
/// The operation is a number, because the e-graph hashes and compares its nodes all the time and an
/// [`Op`] with its shape is a hundred bytes. Two nodes compare by when their operations were first seen,
/// so that those of the input come before those that rules make.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct ENode {
    pub(crate) op: OpId,
    pub(crate) args: Args,
}

impl Language for ENode {
    type Discriminant = OpId;

    fn discriminant(&self) -> OpId {
        self.op
    }

    fn matches(&self, other: &ENode) -> bool {
        self.op == other.op && self.args.len() == other.args.len()
    }

    fn children(&self) -> &[Id] {
        &self.args
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.args
    }
}

/// All operations seen, each once.
#[derive(Debug, Default)]
pub(crate) struct OpTable {
    ops: Vec<Rc<Op>>,
    ids: FxHashMap<Rc<Op>, OpId>,
    /// For each operation, the rules that begin at it, as a bit set over [`super::rules::RULES`].
    rules: Vec<u64>,
}

impl OpTable {
    pub(crate) fn intern(&mut self, op: &Op) -> OpId {
        if let Some(&id) = self.ids.get(op) {
            return id;
        }
        let id = OpId(self.ops.len() as u32);
        let op = Rc::new(op.clone());
        self.rules.push(super::rules::beginning_at(&op));
        self.ops.push(op.clone());
        self.ids.insert(op, id);
        id
    }

    pub(crate) fn get(&self, id: OpId) -> &Rc<Op> {
        &self.ops[id.0 as usize]
    }

    pub(crate) fn rules(&self, id: OpId) -> u64 {
        self.rules[id.0 as usize]
    }
}
