//! Save or recompute: what a forward computation keeps for its backward one.
//!
//! The backward graph uses values of the forward one. Keeping a value costs its bytes twice, once
//! written and once read; computing it again costs arithmetic, but in a fused backward kernel the
//! operands are often being read already. So:
//!
//! * what sweeps over data (`dot`, `reduce`, `scan`, `argsort`, `fold`, `gather`, `scatter`, `custom`)
//!   or cannot be repeated for little (`random_bits`, one thread's recurrence) is saved;
//! * elementwise operations and views are computed again from what is saved, up to a cost: a chain of
//!   a few exponentials is cheaper than memory traffic, a long one is not;
//! * a mask is saved as the `bool` that it is, when it would otherwise be computed again from saved
//!   words four or eight times its size (dropout keeps one byte an element).

use crate::graph::{GradError, VjpOptions, vjp};
use std::collections::BTreeSet;
use ttk_ir::op::Family;
use ttk_ir::{DType, Graph, Op, ValueId};

/// The most arithmetic worth spending again on one element, in additions.
///
/// An estimate: a core that moves 10 GB/s writes and reads an `f32` in 0.8 ns, in which it adds 30 to
/// 60 elements of 8 to 16 lanes. What is recomputed is fused into a kernel that waits for memory anyway,
/// hence the upper end.
const RECOMPUTE_LIMIT: u32 = 64;

/// Whether the result of an operation is kept when a backward computation may use it.
pub fn worth_saving(op: &Op) -> bool {
    match op.family() {
        Family::Indexed | Family::Structured | Family::Escape => true,
        // The leaves are there anyway, or cheap, except for what a generator drew.
        Family::Leaf => matches!(op, Op::RandomBits { .. }),
        Family::Elementwise | Family::View | Family::Fence => false,
    }
}

/// The cost of an element in additions, where [`worth_saving`] is false.
fn weight(op: &Op) -> u32 {
    match op {
        Op::Unary(u) => u.weight(),
        Op::Binary(o) => o.weight(),
        Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => 1,
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } => 0,
        Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) => 0,
        Op::Pad { .. } | Op::Concat { .. } | Op::Update(_) | Op::Window(_) => 1,
        Op::Detach | Op::Barrier => 0,
        Op::RandomBits { .. } | Op::Fold { .. } | Op::Gather { .. } | Op::Scatter { .. } => u32::MAX,
        Op::Reduce { .. } | Op::Scan { .. } | Op::Argsort { .. } | Op::Dot { .. } => u32::MAX,
        Op::Custom { .. } => u32::MAX,
    }
}

/// Which values of `graph` to keep, so that everything in `used` can be had without a sweep over data.
///
/// Inputs of the graph are not listed: whoever holds the graph holds them.
pub fn partition(graph: &Graph, used: &[ValueId]) -> BTreeSet<ValueId> {
    let mut saved = BTreeSet::new();
    let mut wanted = vec![false; graph.len()];
    for &v in used {
        wanted[v.index()] = true;
    }
    // What recomputing each value costs from saved ones, and whether random words are among those.
    let mut cost: Vec<u32> = Vec::with_capacity(graph.len());
    let (mut costly, mut drawn) = (Vec::with_capacity(graph.len()), Vec::with_capacity(graph.len()));
    for id in graph.ids() {
        let node = graph.node(id);
        let price = if worth_saving(&node.op) {
            0
        } else {
            let operands = node.inputs.iter().fold(0u32, |sum, v| sum.saturating_add(cost[v.index()]));
            operands.saturating_add(weight(&node.op))
        };
        // A chain that has become too long is cut here, whoever uses it.
        let cut = price > RECOMPUTE_LIMIT;
        cost.push(if cut { 0 } else { price });
        costly.push(cut);
        let from_drawn = !worth_saving(&node.op) && node.inputs.iter().any(|v| drawn[v.index()]);
        drawn.push(from_drawn || matches!(node.op, Op::RandomBits { .. }));
    }
    for id in graph.ids().rev() {
        if !wanted[id.index()] {
            continue;
        }
        let node = graph.node(id);
        let mask = node.ty.dtype == DType::Bool && drawn[id.index()];
        if worth_saving(&node.op) || costly[id.index()] || mask {
            saved.insert(id);
            continue;
        }
        for v in &node.inputs {
            wanted[v.index()] = true;
        }
    }
    saved
}

/// Which values a forward computation of `outputs` keeps, if their derivative with respect to `wrt` is
/// to be computed later.
///
/// # Errors
/// As [`vjp`].
pub fn saved_for_backward(
    graph: &Graph,
    outputs: &[ValueId],
    wrt: &[ValueId],
) -> Result<BTreeSet<ValueId>, GradError> {
    let derivative = vjp(graph, outputs, wrt, VjpOptions::default())?;
    let forward = graph.len();
    let live = derivative.live();
    let mut used = BTreeSet::new();
    for id in derivative.ids().skip(forward).filter(|id| live[id.index()]) {
        used.extend(derivative.node(id).inputs.iter().filter(|v| v.index() < forward));
    }
    let used: Vec<ValueId> = used.into_iter().collect();
    Ok(partition(graph, &used))
}
