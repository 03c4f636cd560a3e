//! What a unit accumulates and stores, and in which of its loops.
//!
//! A stage is a set of loops over inner axes that can run at one time: stage 0 needs no reduction of
//! the unit, stage 1 those of stage 0, and so on.

use super::emit::Sources;
use crate::fuse::LoopUnit;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use ttk_ir::op::Axes;
use ttk_ir::{Graph, Op, ReduceOp, ValueId};

/// Work (in additions) of an operation above which its result is kept for later loops over a row.
const EXPENSIVE: u32 = 12;

/// Something a loop does: accumulates a reduction or stores an output.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) value: ValueId,
    pub(crate) stage: u32,
    /// The inner axes it runs over, in the order of the unit; none for an output of one element a row.
    pub(crate) axes: Vec<usize>,
    pub(crate) reduces: bool,
    /// How it reduces.
    pub(crate) op: ReduceOp,
}

impl Item {
    /// The value that the item's loop computes: the operand of a reduction.
    pub(crate) fn source(&self, graph: &Graph) -> ValueId {
        if self.reduces { graph.node(self.value).inputs[0] } else { self.value }
    }
}

#[derive(Debug)]
pub(crate) struct Stages {
    pub(crate) items: Vec<Item>,
    /// Values kept from the first loop that computes them: the stage and axes of that loop.
    saves: Vec<(ValueId, u32, Vec<usize>)>,
    reductions: FxHashSet<ValueId>,
}

impl Stages {
    pub(crate) fn new(graph: &Graph, unit: &LoopUnit, sources: &dyn Sources) -> Stages {
        let reductions: FxHashSet<ValueId> =
            unit.members.iter().filter(|m| m.reduces).map(|m| m.value).collect();
        let mut depths = FxHashMap::default();
        let mut out = Stages { items: Vec::new(), saves: Vec::new(), reductions };
        for m in &unit.members {
            if !m.reduces && !unit.outputs.contains(&m.value) {
                continue;
            }
            let node = graph.node(m.value);
            let op = match &node.op {
                Op::Reduce { op, .. } => *op,
                _ => ReduceOp::Sum,
            };
            let axes = inner_axes(unit, m.value);
            let value = if m.reduces { node.inputs[0] } else { m.value };
            let stage = out.depth(graph, value, sources, &mut depths);
            if m.reduces {
                out.items.push(Item { value: m.value, stage, axes: axes.clone(), reduces: true, op });
            }
            if unit.outputs.contains(&m.value) {
                let (stage, axes) = if m.reduces { (stage + 1, Vec::new()) } else { (stage, axes) };
                out.items.push(Item { value: m.value, stage, axes, reduces: false, op });
            }
        }
        out.find_saves(graph, unit, sources, &depths);
        out
    }

    /// The first stage in which a value can be computed.
    fn depth(
        &self,
        graph: &Graph,
        v: ValueId,
        sources: &dyn Sources,
        depths: &mut FxHashMap<ValueId, u32>,
    ) -> u32 {
        if let Some(&d) = depths.get(&v) {
            return d;
        }
        let mut depth = 0;
        if sources.computes(v) {
            for &x in &graph.node(v).inputs {
                depth = depth.max(self.depth(graph, x, sources, depths));
            }
            depth += self.reductions.contains(&v) as u32;
        }
        depths.insert(v, depth);
        depth
    }

    /// Axes of a reduction's operand that its result has not.
    pub(crate) fn reduced(&self, graph: &Graph, v: ValueId) -> Axes {
        match &graph.node(v).op {
            Op::Reduce { axes, .. } if self.reductions.contains(&v) => axes.clone(),
            _ => Axes::new(),
        }
    }

    /// The loops over inner axes, in order: the stage and the axes of each.
    pub(crate) fn loops(&self) -> Vec<(u32, Vec<usize>)> {
        let mut out: Vec<(u32, Vec<usize>)> = Vec::new();
        for item in self.items.iter().filter(|i| i.reduces || !i.axes.is_empty()) {
            let key = (item.stage, item.axes.clone());
            if !out.contains(&key) {
                out.push(key);
            }
        }
        out.sort_by_key(|k| k.0);
        out
    }

    pub(crate) fn at<'a>(&'a self, stage: u32, axes: &'a [usize]) -> impl Iterator<Item = &'a Item> {
        self.items
            .iter()
            .filter(move |i| i.stage == stage && i.axes == axes && (i.reduces || !i.axes.is_empty()))
    }

    /// The values to be kept from a loop.
    pub(crate) fn saved<'a>(&'a self, stage: u32, axes: &'a [usize]) -> impl Iterator<Item = ValueId> {
        self.saves.iter().filter(move |s| s.1 == stage && s.2 == axes).map(|s| s.0)
    }

    /// Finds values with much work that more than one loop needs.
    fn find_saves(
        &mut self,
        graph: &Graph,
        unit: &LoopUnit,
        sources: &dyn Sources,
        depths: &FxHashMap<ValueId, u32>,
    ) {
        let mut uses: FxHashMap<ValueId, SmallVec<[(u32, usize); 4]>> = FxHashMap::default();
        let expensive = |v: ValueId| match &graph.node(v).op {
            Op::Unary(u) => u.weight() >= EXPENSIVE,
            Op::Binary(b) => b.weight() >= EXPENSIVE,
            _ => false,
        };
        for (at, item) in self.items.iter().enumerate() {
            if item.axes.is_empty() {
                continue;
            }
            let mut stack = vec![item.source(graph)];
            let mut seen = FxHashSet::default();
            while let Some(v) = stack.pop() {
                if !seen.insert(v) || !sources.computes(v) || self.reductions.contains(&v) {
                    continue;
                }
                let kept_here = expensive(v) && inner_axes(unit, v) == item.axes;
                if kept_here {
                    uses.entry(v).or_default().push((item.stage, at));
                    // Below it nothing is needed again, if it is there from an earlier loop.
                    if depths.get(&v).is_some_and(|&d| d < item.stage) {
                        continue;
                    }
                }
                stack.extend(graph.node(v).inputs.iter().copied());
            }
        }
        let mut saves: Vec<(ValueId, u32, Vec<usize>)> = Vec::new();
        for (v, list) in uses {
            let first = list.iter().map(|u| u.0).min().unwrap_or(0);
            let last = list.iter().map(|u| u.0).max().unwrap_or(0);
            if first < last {
                saves.push((v, first, inner_axes(unit, v)));
            }
        }
        saves.sort();
        self.saves = saves;
    }

    /// Values with one element a row that the items of a loop need: computed before the loop, not in it.
    pub(crate) fn row_values(
        &self,
        graph: &Graph,
        unit: &LoopUnit,
        sources: &dyn Sources,
        items: &[Item],
    ) -> Vec<ValueId> {
        let mut out = Vec::new();
        let mut seen = FxHashSet::default();
        let mut stack: Vec<ValueId> = items.iter().map(|i| i.source(graph)).collect();
        while let Some(v) = stack.pop() {
            if !seen.insert(v) || !sources.computes(v) || self.reductions.contains(&v) {
                continue;
            }
            let member = unit.members.iter().find(|m| m.value == v);
            if member.is_some_and(|m| m.dims.is_some()) && inner_axes(unit, v).is_empty() {
                out.push(v);
                continue;
            }
            stack.extend(graph.node(v).inputs.iter().copied());
        }
        out.sort();
        out
    }
}

/// The inner axes that a member (the operand, for a reduction) runs over, in the order of the unit.
fn inner_axes(unit: &LoopUnit, v: ValueId) -> Vec<usize> {
    let dims = unit.members.iter().find(|m| m.value == v).and_then(|m| m.dims.as_ref());
    let mut out: Vec<usize> =
        dims.into_iter().flatten().flatten().map(|&a| a as usize).filter(|&a| unit.axes[a].inner).collect();
    out.sort();
    out
}
