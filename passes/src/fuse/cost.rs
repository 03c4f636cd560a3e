//! What is cheap enough to compute again wherever it is needed.

use crate::lower::emit::unrolled_count;
use smallvec::SmallVec;
use ttk_ir::op::Family;
use ttk_ir::{Dim, Graph, Op, ValueId, shape};

/// A value with more work than this above its leaves is stored when several kernels need it.
const CHEAP_WEIGHT: u32 = 8;
/// Nor may it have more leaves than this.
const CHEAP_LEAVES: usize = 6;
/// A leaf this many times smaller than the value is in cache while the value is computed.
const SMALL: i64 = 8;

/// Work of one element of an operation, in additions.
pub(crate) fn weight(graph: &Graph, v: ValueId) -> u32 {
    let node = graph.node(v);
    match &node.op {
        Op::Unary(u) => u.weight(),
        Op::Binary(b) => b.weight(),
        Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => 1,
        Op::Reduce { .. } => unrolled_count(graph, v).unwrap_or(1) as u32,
        Op::Gather { .. } => 4,
        Op::Fold { dims, .. } => {
            dims.iter().map(|d| ((d.size + d.stride - 1) / d.stride) as u32 * 4).product()
        }
        Op::Pad { .. } | Op::Concat { .. } | Op::Update(_) => 2,
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => 0,
        Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Window(_) => 0,
        Op::Detach | Op::Barrier => 0,
        Op::Scatter { .. } | Op::Scan { .. } | Op::Argsort { .. } | Op::Dot { .. } | Op::Custom { .. } => 1,
    }
}

/// What computing a value again costs: the work above its leaves, and the leaves.
#[derive(Clone, Default)]
struct Cone {
    weight: u32,
    leaves: SmallVec<[ValueId; 4]>,
}

/// For every node, whether it is computed wherever it is used: views, constants, and elementwise work
/// that reads no more memory than its own result would take.
pub(super) fn transparent(graph: &Graph, live: &[bool], forced: &[bool]) -> Vec<bool> {
    let mut out = vec![false; graph.len()];
    let mut cones: Vec<Cone> = vec![Cone::default(); graph.len()];
    for v in graph.ids().filter(|v| live[v.index()]) {
        let node = graph.node(v);
        let mut cone = Cone { weight: weight(graph, v), leaves: SmallVec::new() };
        for &x in &node.inputs {
            if out[x.index()] {
                cone.weight = cone.weight.saturating_add(cones[x.index()].weight);
                for &leaf in &cones[x.index()].leaves {
                    if !cone.leaves.contains(&leaf) {
                        cone.leaves.push(leaf);
                    }
                }
            } else if !cone.leaves.contains(&x) {
                cone.leaves.push(x);
            }
        }
        let view = match node.op.family() {
            Family::Leaf => matches!(node.op, Op::Const { .. } | Op::Iota { .. }),
            Family::View | Family::Fence => true,
            Family::Elementwise => false,
            Family::Indexed | Family::Structured | Family::Escape => false,
        };
        let cheap = node.op.family() == Family::Elementwise && {
            let size = node.ty.numel();
            let large = cone.leaves.iter().filter(|&&l| is_large(&graph.ty(l).numel(), &size)).count();
            cone.weight <= CHEAP_WEIGHT && cone.leaves.len() <= CHEAP_LEAVES && large <= 1
        };
        // Padding and joining cost a choice an element: fine once, not on top of each other for ever.
        let light = cone.weight <= 4 * CHEAP_WEIGHT && cone.leaves.len() <= 2 * CHEAP_LEAVES;
        out[v.index()] = !forced[v.index()] && (cheap || view && (light || cone.weight == 0));
        cones[v.index()] = cone;
    }
    out
}

/// Whether a leaf is of about the size of the value, or it cannot be told.
fn is_large(leaf: &Dim, value: &Dim) -> bool {
    match (leaf, value) {
        (Dim::Fixed(leaf), Dim::Fixed(value)) => leaf.saturating_mul(SMALL) > *value,
        _ => leaf.fixed().is_none(),
    }
}

/// The number of elements, symbols taken as 1000.
pub(super) fn rough_size(dims: &[Dim]) -> i64 {
    match shape::numel(dims) {
        Dim::Fixed(n) => n,
        Dim::Symbolic(e) => e.eval(&|_| 1000).max(1),
    }
}
