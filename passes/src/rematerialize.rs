//! Values that are computed a second time instead of being kept.
//!
//! A training step needs most memory where its forward half ends: what the derivatives will read waits there. Much of that
//! is elementwise work on other things that wait too: a gelu beside what it is the gelu of, a normalised row beside the row.
//! Such a value is computed again after the peak. It then lives where it is used, and where its user is elementwise itself
//! it never lies in memory at all.
//!
//! The recomputation reads its operands through a `barrier`: nothing may take it for the value it repeats.

use crate::dce::dce;
use crate::error::PassError;
use crate::fuse::cost::weight;
use crate::options::Options;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use ttk_ir::op::Family;
use ttk_ir::{Graph, Node, Op, ValueId};

/// Graphs that need less memory than this at their peak stay as they are: it is there.
const SCARCE: i64 = 32 << 20;

/// A value worth a second computation has so many bytes at least: smaller ones are not where the memory goes.
const LARGE: i64 = 1 << 20;

/// How much work (in additions an element) a recomputation may take, and how many operations.
const MOST_WORK: u32 = 64;
const MOST_NODES: usize = 48;

/// A value that dies before the peak may be kept instead if it is so many times smaller.
const SMALL: i64 = 16;

/// Recomputes after the peak of memory what is cheap to recompute, where much memory is needed or
/// [`Options::save_memory`] is on.
///
/// # Errors
/// None but [`PassError::Type`], which means a defect.
pub fn rematerialize(graph: &Graph, options: &Options) -> Result<Graph, PassError> {
    let Some(chosen) = Choice::of(graph, options) else { return Ok(graph.clone()) };
    // What is recomputed, and views of it.
    let mut replaced = chosen.again.clone();
    for v in graph.ids() {
        let node = graph.node(v);
        replaced[v.index()] |= is_view(&node.op) && node.inputs.iter().any(|x| replaced[x.index()]);
    }
    let (out, map, made) = (Graph::like(graph), Vec::new(), FxHashMap::default());
    let done = Again { graph, chosen: &chosen, replaced, out, map, made }.run();
    // What only the second half needs is no longer computed in the first.
    dce(&done.map_err(|error| PassError::Type { pass: "rematerialize", error })?, options)
}

/// Whether a value is its operand's memory, or may be.
fn is_view(op: &Op) -> bool {
    matches!(op.family(), Family::View | Family::Fence)
}

/// Whether a value costs nothing, wherever it is wanted.
fn is_free(op: &Op) -> bool {
    matches!(op, Op::Param { .. } | Op::Const { .. } | Op::Iota { .. })
}

/// Bytes of a value; none if its sizes are not numbers.
fn bytes(graph: &Graph, v: ValueId) -> Option<i64> {
    let ty = graph.ty(v);
    ty.numel().fixed()?.checked_mul(ty.dtype.size() as i64)
}

/// Which values are recomputed, and what of.
struct Choice<'a> {
    graph: &'a Graph,
    /// The last node before the peak.
    peak: usize,
    /// The last use of each value, itself or through views.
    ends: Vec<usize>,
    /// Results of the graph, and what they are views of.
    results: Vec<bool>,
    again: Vec<bool>,
}

impl<'a> Choice<'a> {
    /// `None` if memory is not scarce, or nothing can be done.
    fn of(graph: &'a Graph, options: &Options) -> Option<Choice<'a>> {
        let (scarce, large) = if options.save_memory { (0, 1) } else { (SCARCE, LARGE) };
        let live = graph.live();
        let mut results = vec![false; graph.len()];
        graph.outputs.iter().for_each(|v| results[v.index()] = true);
        let mut ends: Vec<usize> = (0..graph.len()).collect();
        for v in graph.ids().rev().filter(|v| live[v.index()]) {
            let node = graph.node(v);
            for x in &node.inputs {
                let through = if is_view(&node.op) { ends[v.index()] } else { v.index() };
                ends[x.index()] = ends[x.index()].max(through);
                results[x.index()] |= is_view(&node.op) && results[v.index()];
            }
        }
        let waits = |v: ValueId, results: &[bool]| {
            let op = &graph.node(v).op;
            live[v.index()] && !results[v.index()] && !is_view(op) && !is_free(op)
        };
        let mut change = vec![0i64; graph.len()];
        for v in graph.ids().filter(|v| waits(*v, &results)) {
            let size = bytes(graph, v).unwrap_or(0);
            change[v.index()] += size;
            change[ends[v.index()]] -= size;
        }
        let (mut sum, mut most, mut peak) = (0i64, 0i64, 0);
        for (i, change) in change.iter().enumerate() {
            sum += change;
            if sum > most {
                (most, peak) = (sum, i);
            }
        }
        if most < scarce {
            return None;
        }
        let mut choice = Choice { graph, peak, ends, results, again: vec![false; graph.len()] };
        let mut found = false;
        for v in graph.ids().take(peak + 1) {
            let large = bytes(graph, v).is_some_and(|n| n >= large);
            if large && graph.node(v).op.is_elementwise() && waits(v, &choice.results) {
                found |= choice.ends[v.index()] > peak && choice.consider(v);
            }
        }
        found.then_some(choice)
    }

    /// Whether a recomputation reads a value and does not repeat it. What dies before the peak is repeated if it is
    /// elementwise.
    fn is_leaf(&self, v: ValueId) -> bool {
        let op = &self.graph.node(v).op;
        let kept = self.results[v.index()] || self.ends[v.index()] > self.peak && !self.again[v.index()];
        is_free(op) || !is_view(op) && (kept || !op.is_elementwise())
    }

    /// Marks a value if it can be recomputed from what is there anyway.
    fn consider(&mut self, v: ValueId) -> bool {
        let Some(size) = bytes(self.graph, v) else { return false };
        let (mut work, mut repeated, mut leaves) = (0, vec![v], SmallVec::<[ValueId; 8]>::new());
        let mut at = 0;
        while at < repeated.len() {
            let x = repeated[at];
            at += 1;
            work += weight(self.graph, x);
            if work > MOST_WORK || repeated.len() > MOST_NODES {
                return false;
            }
            for &y in &self.graph.node(x).inputs {
                if !self.is_leaf(y) {
                    if !repeated.contains(&y) {
                        repeated.push(y);
                    }
                } else if !leaves.contains(&y) && !is_free(&self.graph.node(y).op) {
                    leaves.push(y);
                }
            }
        }
        // Operands that are kept longer for it must not take more than the value did.
        let end = self.ends[v.index()];
        let mut longer = 0i64;
        for &x in &leaves {
            let gone = self.ends[x.index()] <= self.peak && !self.results[x.index()];
            let own = bytes(self.graph, x).unwrap_or(i64::MAX / 64);
            if gone && own * SMALL > size {
                return false;
            }
            longer += if self.ends[x.index()] < end { own } else { 0 };
        }
        if longer > size {
            return false;
        }
        for x in leaves {
            self.ends[x.index()] = self.ends[x.index()].max(end);
        }
        self.again[v.index()] = true;
        true
    }
}

/// The graph with the recomputations, each before its first use.
struct Again<'a> {
    graph: &'a Graph,
    chosen: &'a Choice<'a>,
    replaced: Vec<bool>,
    out: Graph,
    map: Vec<ValueId>,
    /// What stands for values of the first half in the second.
    made: FxHashMap<ValueId, ValueId>,
}

impl Again<'_> {
    fn run(mut self) -> Result<Graph, ttk_ir::InferError> {
        for v in self.graph.ids() {
            let Node { op, inputs, loc, .. } = self.graph.node(v);
            let mut operands: SmallVec<[ValueId; 3]> = SmallVec::new();
            for &x in inputs {
                operands.push(if v.index() > self.chosen.peak { self.late(x)? } else { self.map[x.index()] });
            }
            self.map.push(self.out.add_at(op.clone(), &operands, *loc)?);
        }
        self.out.outputs = self.graph.outputs.iter().map(|v| self.map[v.index()]).collect();
        Ok(self.out)
    }

    /// What a use after the peak reads for a value.
    fn late(&mut self, x: ValueId) -> Result<ValueId, ttk_ir::InferError> {
        if x.index() > self.chosen.peak || !self.replaced[x.index()] {
            Ok(self.map[x.index()])
        } else {
            self.again(x)
        }
    }

    /// The recomputation of a value of the first half.
    fn again(&mut self, x: ValueId) -> Result<ValueId, ttk_ir::InferError> {
        if let Some(known) = self.made.get(&x) {
            return Ok(*known);
        }
        let Node { op, inputs, loc, .. } = self.graph.node(x);
        let mut operands: SmallVec<[ValueId; 3]> = SmallVec::new();
        for &y in inputs {
            operands.push(if self.chosen.is_leaf(y) { self.leaf(y)? } else { self.again(y)? });
        }
        let made = self.out.add_at(op.clone(), &operands, *loc)?;
        self.made.insert(x, made);
        Ok(made)
    }

    /// An operand of a recomputation that is there.
    fn leaf(&mut self, x: ValueId) -> Result<ValueId, ttk_ir::InferError> {
        let Node { op, loc, .. } = self.graph.node(x);
        if matches!(op, Op::Const { .. } | Op::Iota { .. }) {
            return Ok(self.map[x.index()]);
        }
        if let Some(known) = self.made.get(&x) {
            return Ok(*known);
        }
        let fenced = self.out.add_at(Op::Barrier, &[self.map[x.index()]], *loc)?;
        self.made.insert(x, fenced);
        Ok(fenced)
    }
}
