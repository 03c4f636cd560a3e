//! Which operations share a kernel.
//!
//! Every live node gets a [`Role`]: it is computed wherever it is used, or it belongs to one
//! [`Unit`], which becomes one kernel or one library call and stores what others need.

use crate::lower::LowerError;
use crate::lower::dot::{has_gemm, strided};
use crate::lower::emit::unrolled_count;
use smallvec::SmallVec;
use ttk_ir::op::Family;
use ttk_ir::{Dim, Graph, Op, ValueId};

/// What becomes of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// No output depends on it.
    Dead,
    /// An input of the graph: memory that is given.
    Input,
    /// Computed anew wherever it is used.
    Inline,
    /// Computed by a unit.
    Unit(u32),
}

/// The axes of a unit's iteration space that one axis of a value runs over, outermost first.
pub(crate) type AxisList = SmallVec<[u8; 2]>;

/// One axis of an iteration space.
#[derive(Clone, Debug)]
pub(crate) struct UnitAxis {
    pub(crate) extent: Dim,
    /// Whether the reductions of the unit reduce it.
    pub(crate) reduced: bool,
}

/// A node that a loop unit computes and the place of its elements in the iteration space.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) value: ValueId,
    /// For each axis of the value; of the operand, if this is a reduction.
    pub(crate) dims: Vec<AxisList>,
}

/// Elementwise work and reductions over one iteration space.
#[derive(Clone, Debug)]
pub(crate) struct LoopUnit {
    pub(crate) axes: Vec<UnitAxis>,
    /// In the order of the graph.
    pub(crate) members: Vec<Member>,
    /// Members that others need, or that are results of the graph.
    pub(crate) outputs: Vec<ValueId>,
}

#[derive(Clone, Debug)]
pub(crate) enum Unit {
    Loops(LoopUnit),
    /// An operation that has a lowering of its own.
    Single(ValueId),
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) roles: Vec<Role>,
    /// In an order in which each comes after those it needs.
    pub(crate) units: Vec<Unit>,
}

/// Whether a node is computed by something other than a loop kernel of elementwise work.
fn is_single(graph: &Graph, v: ValueId) -> bool {
    match &graph.node(v).op {
        Op::RandomBits { .. } | Op::Scatter { .. } | Op::Scan { .. } => true,
        Op::Argsort { .. } | Op::Dot { .. } | Op::Custom { .. } => true,
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::Unary(_) | Op::Binary(_) => false,
        Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) | Op::Reshape(_) | Op::Permute(_) => false,
        Op::Expand(_) | Op::Slice(_) | Op::Pad { .. } | Op::Concat { .. } | Op::Update(_) => false,
        Op::Window(_) | Op::Fold { .. } | Op::Gather { .. } | Op::Reduce { .. } => false,
        Op::Detach | Op::Barrier => false,
    }
}

/// Assigns every node of the graph.
pub(crate) fn plan(graph: &Graph) -> Result<Plan, LowerError> {
    let live = graph.live();
    let mut roles = vec![Role::Dead; graph.len()];
    let mut forced = vec![false; graph.len()];
    for &o in &graph.outputs {
        forced[o.index()] = true;
    }
    for v in graph.ids().filter(|v| live[v.index()]) {
        let node = graph.node(v);
        if is_single(graph, v) {
            for &input in &node.inputs {
                forced[input.index()] |= needs_memory(graph, v);
                if is_gemm(graph, v) {
                    match strided(graph, input, &|_| false) {
                        Some(view) => forced[view.base.index()] = true,
                        None => forced[input.index()] = true,
                    }
                }
            }
        }
    }
    let mut units = Vec::new();
    for v in graph.ids().filter(|v| live[v.index()]) {
        let node = graph.node(v);
        let heavy = match node.op.family() {
            Family::Leaf => matches!(node.op, Op::RandomBits { .. }),
            Family::Elementwise | Family::Indexed | Family::Escape => true,
            Family::Structured => true,
            Family::View | Family::Fence => false,
        };
        if matches!(node.op, Op::Param { .. }) {
            roles[v.index()] = Role::Input;
        } else if is_single(graph, v) {
            roles[v.index()] = Role::Unit(units.len() as u32);
            units.push(Unit::Single(v));
        } else if heavy || forced[v.index()] {
            roles[v.index()] = Role::Unit(units.len() as u32);
            units.push(Unit::Loops(single_node_unit(graph, v)));
        } else {
            roles[v.index()] = Role::Inline;
        }
    }
    Ok(Plan { roles, units })
}

/// Whether the lowering of a node reads its operands as dense row-major buffers.
fn needs_memory(graph: &Graph, user: ValueId) -> bool {
    matches!(graph.node(user).op, Op::RandomBits { .. } | Op::Argsort { .. } | Op::Custom { .. })
}

/// Whether a `dot` becomes a matrix product of the runtime.
fn is_gemm(graph: &Graph, v: ValueId) -> bool {
    let node = graph.node(v);
    let empty = node.inputs.iter().any(|&x| graph.ty(x).shape.contains(&Dim::Fixed(0)));
    matches!(node.op, Op::Dot { .. }) && has_gemm(node.ty.dtype) && !empty
}

impl Plan {
    pub(crate) fn is_gemm(&self, graph: &Graph, v: ValueId) -> bool {
        is_gemm(graph, v)
    }
}

/// The unit that computes one node only.
fn single_node_unit(graph: &Graph, v: ValueId) -> LoopUnit {
    let node = graph.node(v);
    let mut axes = Vec::new();
    let mut add = |d: &Dim, reduced: bool| -> AxisList {
        if d.is_one() {
            return AxisList::new();
        }
        axes.push(UnitAxis { extent: d.clone(), reduced });
        AxisList::from_slice(&[axes.len() as u8 - 1])
    };
    let dims = match &node.op {
        Op::Reduce { axes, .. } if unrolled_count(graph, v).is_none() => {
            let shape = &graph.ty(node.inputs[0]).shape;
            shape.iter().enumerate().map(|(i, d)| add(d, axes.contains(&(i as u8)))).collect()
        }
        _ => node.ty.shape.iter().map(|d| add(d, false)).collect(),
    };
    LoopUnit { axes, members: vec![Member { value: v, dims }], outputs: vec![v] }
}
