//! Which operations share a kernel.
//!
//! Every live node gets a [`Role`]: it is computed wherever it is used, or it belongs to one
//! [`Unit`], which becomes one kernel or one library call and stores what others need.

mod axes;
pub(crate) mod cost;
mod group;
mod reach;
pub(crate) mod split;

use crate::lower::dot::{has_gemm, strided};
use crate::lower::{HalfProducts, LowerError};
use axes::{AxisIds, DimMap};
use group::Grouper;
use smallvec::SmallVec;
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
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct UnitAxis {
    pub(crate) extent: Dim,
    /// Inside a row: the reductions of the unit reduce it, or it belongs to what uses them.
    pub(crate) inner: bool,
}

/// A node that a loop unit computes and the place of its elements in the iteration space.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Member<V = ValueId> {
    pub(crate) value: V,
    /// For each axis of the value; of the operand, if this is a reduction. `None` for a value that has
    /// no place of its own and is computed where it is wanted.
    pub(crate) dims: Option<Vec<AxisList>>,
    /// The unit accumulates it in a loop.
    pub(crate) reduces: bool,
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
    /// See [`crate::LowerOptions::half_products`].
    half_products: HalfProducts,
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

/// Assigns every node of the graph. `half_products`: see [`crate::LowerOptions`].
pub(crate) fn plan(graph: &Graph, half_products: HalfProducts) -> Result<Plan, LowerError> {
    let live = graph.live();
    let forced = forced(graph, &live, half_products);
    let transparent = cost::transparent(graph, &live, &forced);
    let mut grouper = Grouper::new(graph, &live, &transparent, &forced, |v| is_single(graph, v));
    grouper.run();
    let order = grouper.order();
    let mut roles: Vec<Role> = graph
        .ids()
        .map(|v| match (live[v.index()], &graph.node(v).op) {
            (false, _) => Role::Dead,
            (true, Op::Param { .. }) => Role::Input,
            (true, _) => Role::Inline,
        })
        .collect();
    let mut units = Vec::new();
    for g in order {
        for m in &grouper.groups[g as usize].members {
            roles[m.value.index()] = Role::Unit(units.len() as u32);
        }
        units.push(unit(&grouper, g));
    }
    Ok(Plan { roles, units, half_products })
}

/// Values that must be in memory: results, what library calls read, and what [`split`] has joined first.
fn forced(graph: &Graph, live: &[bool], half_products: HalfProducts) -> Vec<bool> {
    let mut forced = vec![false; graph.len()];
    for &o in &graph.outputs {
        forced[o.index()] = true;
    }
    for v in graph.ids().filter(|v| live[v.index()]) {
        if let (Op::Barrier, &[joined]) = (&graph.node(v).op, graph.node(v).inputs.as_slice()) {
            forced[joined.index()] |= matches!(graph.node(joined).op, Op::Concat { .. });
        }
    }
    for v in graph.ids().filter(|v| live[v.index()] && is_single(graph, *v)) {
        for &input in &graph.node(v).inputs {
            forced[input.index()] |= needs_memory(graph, v);
            if is_gemm(graph, v, half_products) {
                match strided(graph, input, &|_| false) {
                    Some(view) => forced[view.base.index()] = true,
                    None => forced[input.index()] = true,
                }
            }
        }
    }
    forced
}

/// Whether the lowering of a node reads its operands as dense row-major buffers.
fn needs_memory(graph: &Graph, user: ValueId) -> bool {
    matches!(graph.node(user).op, Op::RandomBits { .. } | Op::Argsort { .. } | Op::Custom { .. })
}

/// Whether a `dot` becomes a matrix product of the runtime.
fn is_gemm(graph: &Graph, v: ValueId, half_products: HalfProducts) -> bool {
    let node = graph.node(v);
    let empty = node.inputs.iter().any(|&x| graph.ty(x).shape.contains(&Dim::Fixed(0)));
    matches!(node.op, Op::Dot { .. }) && has_gemm(node.ty.dtype, half_products) && !empty
}

impl Plan {
    pub(crate) fn is_gemm(&self, graph: &Graph, v: ValueId) -> bool {
        is_gemm(graph, v, self.half_products)
    }
}

/// A group with its axes numbered from 0.
fn unit(grouper: &Grouper<'_>, g: u32) -> Unit {
    let group = &grouper.groups[g as usize];
    if group.single
        && let Some(m) = group.members.first()
    {
        return Unit::Single(m.value);
    }
    let outputs = grouper.outputs(g);
    let mut ids = AxisIds::new();
    let mut add = |map: &[DimMap]| {
        for d in map {
            if let DimMap::Axes(list) = d {
                for a in grouper.axes.resolve(list) {
                    if !ids.contains(&a) {
                        ids.push(a);
                    }
                }
            }
        }
    };
    // The order of the loops is that of the largest array read or written.
    let size = |m: &&group::GroupMember| -> usize {
        m.map
            .iter()
            .map(|d| match d {
                DimMap::Axes(list) => grouper.axes.resolve(list).len(),
                DimMap::Moved | DimMap::Any => 0,
            })
            .sum()
    };
    let main = group
        .members
        .iter()
        .filter(|m| m.reduces || outputs.contains(&m.value))
        .max_by_key(|m| (size(m), std::cmp::Reverse(m.value)));
    if let Some(m) = main {
        add(&m.map);
    }
    for m in &group.members {
        add(&m.map);
    }
    let rows = grouper.rows(g);
    let axes = ids
        .iter()
        .map(|&a| UnitAxis {
            extent: grouper.axes.extent(a).clone(),
            inner: rows.as_ref().is_some_and(|rows| !rows.contains(&a)),
        })
        .collect();
    let local = |a: u32| ids.iter().position(|&x| x == a).map(|at| at as u8);
    let members = group
        .members
        .iter()
        .map(|m| Member {
            value: m.value,
            dims: m
                .map
                .iter()
                .map(|d| match d {
                    DimMap::Axes(list) => grouper.axes.resolve(list).into_iter().map(local).collect(),
                    DimMap::Moved | DimMap::Any => None,
                })
                .collect(),
            reduces: m.reduces,
        })
        .collect();
    Unit::Loops(LoopUnit { axes, members, outputs })
}
