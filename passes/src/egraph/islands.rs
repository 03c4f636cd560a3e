//! Cutting a graph into parts that are worked on by themselves.

use super::language::OpTable;
use crate::error::PassError;
use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{Hash, Hasher};
use ttk_ir::{Graph, Op, ValueId};

/// The most operations of an island.
const LARGEST: usize = 500;
/// A longer run of operations is cut into pieces of a length between these.
const PIECE: std::ops::Range<usize> = 96..384;
/// How far apart two operations may be for a cut between them to count as a loss: rules look at neighbours.
const NEAR: usize = 12;

/// A part of a graph, in an order in which each comes after what it needs.
pub(super) enum Item {
    /// An operation no rule may look through.
    Fixed(ValueId),
    Island(Outline),
}

/// An island apart from where it is.
pub(super) struct Outline {
    /// What it computes: equal for two islands that differ only in where they stand. For each operation
    /// its number, its count of operands and these; then the types of its inputs and its outputs.
    pub(super) key: Vec<u32>,
    pub(super) nodes: Vec<ValueId>,
    /// Values from outside, by first use.
    pub(super) externals: Vec<ValueId>,
    /// Which of `nodes` are used outside.
    pub(super) outputs: Vec<usize>,
    /// Where in `key` each operation begins.
    starts: Vec<u32>,
}

/// An operand inside an island.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Input {
    External(u32),
    Node(u32),
    /// A constant or an iota.
    Leaf,
}

impl Outline {
    /// The operands of the operation at a position.
    pub(super) fn inputs(&self, at: usize) -> impl Iterator<Item = Input> + '_ {
        let start = self.starts[at] as usize;
        let count = self.key[start + 1] as usize;
        self.key[start + 2..start + 2 + count].iter().map(|&code| match code & 3 {
            0 => Input::External(code >> 2),
            1 => Input::Node(code >> 2),
            _ => Input::Leaf,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Made anew wherever it is used.
    Leaf,
    Pure,
    Fence,
}

fn role(op: &Op) -> Role {
    match op {
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } => Role::Leaf,
        Op::Unary(_) | Op::Binary(_) | Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => Role::Pure,
        Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Pad { .. } => Role::Pure,
        Op::Concat { .. } | Op::Update(_) | Op::Window(_) | Op::Fold { .. } | Op::Gather { .. } => Role::Pure,
        Op::Reduce { .. } | Op::Dot { .. } | Op::Detach => Role::Pure,
        Op::Scan { .. } | Op::Argsort { .. } | Op::Scatter { .. } | Op::RandomBits { .. } => Role::Fence,
        Op::Barrier | Op::Custom { .. } => Role::Fence,
    }
}

/// Cuts a graph at its fences, and what lies between into pieces.
///
/// A part must not need, by way of something outside, what it makes itself. So operations are ordered by
/// the number of fences on the longest way to them: within one such level no way leads out and back.
pub(super) fn split(graph: &Graph, ops: &mut OpTable) -> Vec<Item> {
    let live = graph.live();
    let mut level = vec![0u32; graph.len()];
    let mut levels: Vec<(Vec<ValueId>, Vec<ValueId>)> = Vec::new();
    for id in graph.ids() {
        let node = graph.node(id);
        let after = |v: &ValueId| level[v.index()] + (role(&graph.node(*v).op) == Role::Fence) as u32;
        let own = node.inputs.iter().map(after).max().unwrap_or(0);
        level[id.index()] = own;
        if !live[id.index()] {
            continue;
        }
        if levels.len() <= own as usize {
            levels.resize_with(own as usize + 1, Default::default);
        }
        let (pure, fences) = &mut levels[own as usize];
        match role(&node.op) {
            Role::Leaf => {}
            Role::Pure => pure.push(id),
            Role::Fence => fences.push(id),
        }
    }
    let uses = uses(graph, &live);
    // The inputs come first and in order, used or not.
    let mut items: Vec<Item> = graph.params().iter().map(|&p| Item::Fixed(p)).collect();
    for (pure, fences) in levels {
        for piece in pieces(graph, &pure, ops) {
            items.push(Item::Island(outline(graph, &pure[piece], &uses, ops)));
        }
        items.extend(fences.into_iter().map(Item::Fixed));
    }
    items
}

/// All live operations as one island, fences too.
pub(super) fn whole(graph: &Graph, ops: &mut OpTable) -> Outline {
    let live = graph.live();
    let inside = |id: &ValueId| live[id.index()] && role(&graph.node(*id).op) != Role::Leaf;
    let nodes: Vec<ValueId> = graph.ids().filter(inside).collect();
    outline(graph, &nodes, &uses(graph, &live), ops)
}

/// How often live operations and outputs use each value.
fn uses(graph: &Graph, live: &[bool]) -> Vec<u32> {
    let mut uses = vec![0u32; graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        graph.node(id).inputs.iter().for_each(|v| uses[v.index()] += 1);
    }
    graph.outputs.iter().for_each(|v| uses[v.index()] += 1);
    uses
}

/// Cuts a list of operations, so that a network's layers, which repeat, are cut alike.
///
/// A cut goes where the fewest neighbours are parted, and of such places where a hash of the operations
/// around is least. That depends only on what is there, not on where: from one layer to the next the
/// cuts fall at the same operations, as they do in content-defined chunking of files.
fn pieces(graph: &Graph, list: &[ValueId], ops: &mut OpTable) -> Vec<std::ops::Range<usize>> {
    if list.is_empty() {
        return Vec::new();
    }
    let position: FxHashMap<ValueId, usize> = list.iter().enumerate().map(|(i, &v)| (v, i)).collect();
    // `parted[i]`: the short edges that cross from before `i` to `i` and after.
    let mut parted = vec![0i32; list.len() + 1];
    let mut hashes = Vec::with_capacity(list.len());
    for (i, &id) in list.iter().enumerate() {
        let mut hasher = FxHasher::default();
        ops.intern(&graph.node(id).op).0.hash(&mut hasher);
        for input in &graph.node(id).inputs {
            let Some(&from) = position.get(input) else { continue };
            let distance = i - from;
            if distance <= NEAR {
                parted[from + 1] += 1;
                parted[i + 1] -= 1;
                distance.hash(&mut hasher);
            }
        }
        hashes.push(hasher.finish());
    }
    for i in 1..parted.len() {
        parted[i] += parted[i - 1];
    }
    let (mut cuts, mut start) = (Vec::new(), 0);
    while list.len() - start > LARGEST {
        let window = start + PIECE.start..start + PIECE.end;
        let least = window.min_by_key(|&i| (parted[i], hashes[i])).unwrap_or(start + PIECE.end);
        cuts.push(start..least);
        start = least;
    }
    cuts.push(start..list.len());
    cuts
}

fn outline(graph: &Graph, nodes: &[ValueId], uses: &[u32], ops: &mut OpTable) -> Outline {
    let position: FxHashMap<ValueId, u32> = nodes.iter().enumerate().map(|(i, &v)| (v, i as u32)).collect();
    let mut numbers: FxHashMap<ValueId, u32> = FxHashMap::default();
    let mut externals = Vec::new();
    let mut key = Vec::with_capacity(nodes.len() * 5);
    let mut starts = Vec::with_capacity(nodes.len());
    let mut used_inside = vec![0u32; nodes.len()];
    for &id in nodes {
        let node = graph.node(id);
        starts.push(key.len() as u32);
        key.push(ops.intern(&node.op).0);
        key.push(node.inputs.len() as u32);
        for &input in &node.inputs {
            let op = &graph.node(input).op;
            let code = if let Some(&at) = position.get(&input) {
                used_inside[at as usize] += 1;
                at << 2 | 1
            } else if matches!(op, Op::Const { .. } | Op::Iota { .. }) {
                ops.intern(op).0 << 2 | 2
            } else {
                let next = externals.len() as u32;
                let number = *numbers.entry(input).or_insert_with(|| {
                    externals.push(input);
                    next
                });
                number << 2
            };
            key.push(code);
        }
    }
    for &v in &externals {
        // A type has the number of an input of that type.
        let ty = graph.ty(v);
        key.push(ops.intern(&Op::Param { index: 0, dtype: ty.dtype, shape: ty.shape.clone() }).0);
    }
    let outputs: Vec<usize> = (0..nodes.len()).filter(|&i| uses[nodes[i].index()] > used_inside[i]).collect();
    key.extend(outputs.iter().map(|&o| o as u32));
    Outline { key, nodes: nodes.to_vec(), externals, outputs, starts }
}

/// The same graph with each node as early as its `origin` among those whose operands are there.
pub(super) fn restore_order(graph: &Graph, origin: &[u32]) -> Result<Graph, PassError> {
    let users = graph.users();
    let mut missing: Vec<u32> = graph.nodes().iter().map(|n| n.inputs.len() as u32).collect();
    let mut out = Graph::like(graph);
    let mut map = vec![ValueId(u32::MAX); graph.len()];
    let is_param = |id: ValueId| matches!(graph.node(id).op, Op::Param { .. });
    let rank = |id: ValueId| Reverse((!is_param(id), origin[id.index()], id));
    let mut ready: BinaryHeap<_> = graph.ids().filter(|id| missing[id.index()] == 0).map(rank).collect();
    while let Some(Reverse((_, _, id))) = ready.pop() {
        let node = graph.node(id);
        let inputs: SmallVec<[ValueId; 3]> = node.inputs.iter().map(|v| map[v.index()]).collect();
        map[id.index()] = out
            .add_at(node.op.clone(), &inputs, node.loc)
            .map_err(|error| PassError::Type { pass: "rewrite", error })?;
        for &user in &users[id.index()] {
            missing[user.index()] -= 1;
            if missing[user.index()] == 0 {
                ready.push(rank(user));
            }
        }
    }
    out.outputs = graph.outputs.iter().map(|v| map[v.index()]).collect();
    Ok(out)
}
