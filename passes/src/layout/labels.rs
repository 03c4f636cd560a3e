//! Which axes are the same, and in which order they should lie.

use super::{Order, dot_order, identity, long};
use crate::egraph::cost::volume;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use ttk_ir::{Dim, Graph, Op, ValueId};

/// How often orders are chosen anew: what a product or a reshape leaves depends on how its operands lie.
const ROUNDS: usize = 3;

/// An order of axes for every value.
pub(super) fn choose(graph: &Graph) -> Vec<Order> {
    let mut labels = Labels::new(graph);
    for id in graph.ids() {
        labels.join(graph, id);
    }
    let mut orders: Vec<Order> = graph.nodes().iter().map(|n| identity(n.ty.rank())).collect();
    for round in 0..ROUNDS {
        let next = labels.order(graph, &orders, round == 0);
        // The first round leaves out what the later ones ask of reshapes.
        if round > 0 && next == orders {
            break;
        }
        orders = next;
    }
    orders
}

/// Names of axes, as sets of (value, axis) joined.
struct Labels {
    /// Where the axes of each value begin.
    first: Vec<u32>,
    parent: Vec<u32>,
}

impl Labels {
    fn new(graph: &Graph) -> Labels {
        let mut first = Vec::with_capacity(graph.len());
        let mut count = 0u32;
        for node in graph.nodes() {
            first.push(count);
            count += node.ty.rank() as u32;
        }
        Labels { first, parent: (0..count).collect() }
    }

    fn find(&mut self, v: ValueId, axis: usize) -> u32 {
        let mut at = self.first[v.index()] + axis as u32;
        while self.parent[at as usize] != at {
            let up = self.parent[self.parent[at as usize] as usize];
            self.parent[at as usize] = up;
            at = up;
        }
        at
    }

    /// The smaller number stays, so that names are in the order in which axes were first seen.
    fn union(&mut self, a: (ValueId, usize), b: (ValueId, usize)) {
        let (x, y) = (self.find(a.0, a.1), self.find(b.0, b.1));
        self.parent[x.max(y) as usize] = x.min(y);
    }

    /// Joins the axes of a node with those of its operands that lie where they do.
    fn join(&mut self, graph: &Graph, id: ValueId) {
        let node = graph.node(id);
        let rank = node.ty.rank();
        let axis_by_axis = |labels: &mut Labels, operands: &[ValueId], rank: usize| {
            for &x in operands {
                (0..rank).for_each(|i| labels.union((x, i), (id, i)));
            }
        };
        match &node.op {
            Op::Unary(_) | Op::Binary(_) | Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => {
                axis_by_axis(self, &node.inputs, rank);
            }
            Op::Expand(_) | Op::Slice(_) | Op::Pad { .. } | Op::Concat { .. } | Op::Update(_) => {
                axis_by_axis(self, &node.inputs, rank);
            }
            Op::Gather { .. } | Op::Reduce { .. } | Op::Detach => axis_by_axis(self, &node.inputs, rank),
            // The axes of the windows are their own.
            Op::Window(dims) => axis_by_axis(self, &node.inputs, rank - dims.len()),
            Op::Fold { .. } => axis_by_axis(self, &node.inputs, rank),
            Op::Permute(perm) => {
                perm.iter().enumerate().for_each(|(i, &p)| self.union((node.inputs[0], p as usize), (id, i)));
            }
            Op::Reshape(shape) => {
                let x = node.inputs[0];
                for group in groups(&graph.ty(x).shape, shape).unwrap_or_default() {
                    if let (&[a], &[b]) = (group.from.as_slice(), group.to.as_slice()) {
                        self.union((x, a as usize), (id, b as usize));
                    }
                }
            }
            Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => {}
            Op::Scatter { .. } | Op::Scan { .. } | Op::Argsort { .. } | Op::Dot { .. } => {}
            Op::Barrier | Op::Custom { .. } => {}
        }
    }

    /// The axes of a value in an order, by name; those of size 1 do not count.
    fn names(&mut self, graph: &Graph, v: ValueId, order: &Order) -> SmallVec<[u32; 6]> {
        long(order, &graph.ty(v).shape).map(|a| self.find(v, a as usize)).collect()
    }

    /// The orders that move the fewest elements, if values lay in `old` ones. At `first` nothing is known
    /// of how they lie.
    fn order(&mut self, graph: &Graph, old: &[Order], first: bool) -> Vec<Order> {
        let mut wishes: FxHashMap<SmallVec<[u32; 6]>, (u64, u32)> = FxHashMap::default();
        let mut wish = |labels: &mut Labels, v: ValueId, order: &Order| {
            let names = labels.names(graph, v, order);
            if names.len() > 1 {
                let known = wishes.entry(names).or_insert((0, v.0));
                known.0 = known.0.saturating_add(volume(graph.ty(v)));
            }
        };
        for id in graph.ids() {
            for (v, order) in fixed(graph, id, old, first) {
                wish(self, v, &order);
            }
        }
        for &o in &graph.outputs {
            wish(self, o, &identity(graph.ty(o).rank()));
        }
        // The largest first; of equals, the one that came first.
        let mut wishes: Vec<_> = wishes.into_iter().collect();
        wishes.sort_unstable_by(|(a, (m, i)), (b, (n, j))| (Reverse(m), i, a).cmp(&(Reverse(n), j, b)));
        let mut before = Precedence::default();
        for (names, _) in &wishes {
            before.try_add(names);
        }
        let rank = before.ranks(self.parent.len());
        let place = |labels: &mut Labels, v: ValueId| -> Order {
            let shape = &graph.ty(v).shape;
            let mut order = identity(shape.len());
            let names = labels.names(graph, v, &order);
            let mut sorted = names.clone();
            sorted.sort_unstable();
            // Two axes of one name (`x + x.T`) have no order of their own.
            if sorted.windows(2).any(|w| w[0] == w[1]) || names.is_sorted_by_key(|&n| rank[n as usize]) {
                return order;
            }
            order.sort_by_key(|&a| rank[labels.find(v, a as usize) as usize]);
            order
        };
        graph.ids().map(|id| place(self, id)).collect()
    }
}

/// Values that have to lie in some order at an operation, and the order.
fn fixed(graph: &Graph, id: ValueId, old: &[Order], first: bool) -> SmallVec<[(ValueId, Order); 3]> {
    let node = graph.node(id);
    let written = |v: ValueId| (v, identity(graph.ty(v).rank()));
    match &node.op {
        Op::Param { .. } => [written(id)].into_iter().collect(),
        // All that these touch lies as it is written.
        Op::RandomBits { .. } | Op::Scatter { .. } | Op::Scan { .. } | Op::Argsort { .. } | Op::Barrier => {
            node.inputs.iter().copied().chain([id]).map(written).collect()
        }
        Op::Custom { .. } => node.inputs.iter().copied().chain([id]).map(written).collect(),
        Op::Dot { .. } => {
            let of = |i: usize| &old[node.inputs[i].index()];
            [(id, dot_order(graph, id, of(0), of(1)))].into_iter().collect()
        }
        Op::Reshape(shape) => {
            let x = node.inputs[0];
            let from = &graph.ty(x).shape;
            match groups(from, shape) {
                Some(groups) if groups.iter().all(|g| g.from.len() == 1 && g.to.len() == 1) => {
                    SmallVec::new()
                }
                // What is split or joined has to stay in order; how it lies to the rest is no matter, as
                // long as nothing comes between, which is asked for once the rest has its order.
                Some(groups) if first => {
                    let sources = groups.iter().filter(|g| g.from.len() > 1).map(|g| (x, g.from.clone()));
                    let targets = groups.iter().filter(|g| g.to.len() > 1).map(|g| (id, g.to.clone()));
                    sources.chain(targets).collect()
                }
                Some(groups) => {
                    let (source, target) = reshape_orders(from, shape, &groups, &old[x.index()]);
                    [(x, source), (id, target)].into_iter().collect()
                }
                None => [written(x), written(id)].into_iter().collect(),
            }
        }
        Op::Const { .. } | Op::Iota { .. } | Op::Unary(_) | Op::Binary(_) | Op::Cmp(_) => SmallVec::new(),
        Op::Select | Op::Cast(_) | Op::Bitcast(_) | Op::Permute(_) | Op::Expand(_) => SmallVec::new(),
        // Along a stack's own axis each part is one number at a time, if that axis is the innermost.
        Op::Concat { axis } => {
            let stacked = (*axis as usize) + 1 < node.ty.rank()
                && node.inputs.iter().all(|&v| graph.ty(v).shape[*axis as usize].is_one());
            if stacked { [written(id)].into_iter().collect() } else { SmallVec::new() }
        }
        Op::Slice(_) | Op::Pad { .. } | Op::Update(_) | Op::Window(_) => SmallVec::new(),
        Op::Fold { .. } | Op::Gather { .. } | Op::Reduce { .. } | Op::Detach => SmallVec::new(),
    }
}

/// Axes that a reshape turns into others with the same elements; axes of size 1 are in none.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) from: SmallVec<[u8; 4]>,
    pub(super) to: SmallVec<[u8; 4]>,
}

/// The least groups, in order. `None` where sizes are unknown and cannot be matched.
pub(super) fn groups(from: &[Dim], to: &[Dim]) -> Option<Vec<Group>> {
    let list = |shape: &[Dim]| -> SmallVec<[u8; 6]> {
        (0..shape.len() as u8).filter(|&a| !shape[a as usize].is_one()).collect()
    };
    let (a, b) = (list(from), list(to));
    let (mut i, mut j) = (0, 0);
    let mut groups = Vec::new();
    while i < a.len() || j < b.len() {
        let mut group = Group::default();
        let (mut left, mut right) = (Dim::Fixed(1), Dim::Fixed(1));
        while group.from.is_empty() || left != right {
            // The shorter side takes its next axis.
            let take_left = match (left.fixed(), right.fixed()) {
                (Some(l), Some(r)) => l <= r,
                _ => group.from.len() <= group.to.len(),
            };
            if take_left {
                let axis = *a.get(i)?;
                left = left.mul(&from[axis as usize]);
                group.from.push(axis);
                i += 1;
            } else {
                let axis = *b.get(j)?;
                right = right.mul(&to[axis as usize]);
                group.to.push(axis);
                j += 1;
            }
        }
        groups.push(group);
    }
    Some(groups)
}

/// How the operand of a reshape has to lie, and the result then does, when the operand lies in `held`: the
/// groups in the order in which `held` has their first axes.
pub(super) fn reshape_orders(from: &[Dim], to: &[Dim], groups: &[Group], held: &Order) -> (Order, Order) {
    let mut sorted: SmallVec<[&Group; 6]> = groups.iter().collect();
    sorted.sort_by_key(|g| held.iter().position(|a| g.from.contains(a)));
    let units =
        |shape: &[Dim]| -> Order { (0..shape.len() as u8).filter(|&a| shape[a as usize].is_one()).collect() };
    let mut source: Order = sorted.iter().flat_map(|g| g.from.iter().copied()).collect();
    // If the operand lies so already, with its axes of size 1 wherever, it is taken as it is.
    if long(held, from).eq(source.iter().copied()) {
        source = held.clone();
    } else {
        source.extend(units(from));
    }
    let mut target: Order = sorted.iter().flat_map(|g| g.to.iter().copied()).collect();
    target.extend(units(to));
    (source, target)
}

/// Which names come before which; never in a circle.
#[derive(Default)]
struct Precedence {
    after: FxHashMap<u32, SmallVec<[u32; 4]>>,
}

impl Precedence {
    /// Adds an order of names if it does not contradict those added before.
    fn try_add(&mut self, names: &[u32]) {
        for (i, &name) in names.iter().enumerate() {
            if names[..i].iter().any(|&earlier| earlier == name || self.reaches(name, earlier)) {
                return;
            }
        }
        for pair in names.windows(2) {
            let after = self.after.entry(pair[0]).or_default();
            if !after.contains(&pair[1]) {
                after.push(pair[1]);
            }
        }
    }

    fn reaches(&self, from: u32, to: u32) -> bool {
        let mut seen: SmallVec<[u32; 16]> = SmallVec::new();
        let mut stack: SmallVec<[u32; 16]> = SmallVec::new();
        stack.push(from);
        while let Some(name) = stack.pop() {
            if name == to {
                return true;
            }
            for &next in self.after.get(&name).into_iter().flatten() {
                if !seen.contains(&next) {
                    seen.push(next);
                    stack.push(next);
                }
            }
        }
        false
    }

    /// A number for each of `count` names that grows along the order; where the order is silent, the name
    /// that was first seen is first.
    fn ranks(&self, count: usize) -> Vec<u32> {
        let mut missing = vec![0u32; count];
        for after in self.after.values() {
            after.iter().for_each(|&n| missing[n as usize] += 1);
        }
        let mut ready: BinaryHeap<Reverse<u32>> =
            (0..count as u32).filter(|&n| missing[n as usize] == 0).map(Reverse).collect();
        let mut rank = vec![0; count];
        let mut next = 0;
        while let Some(Reverse(name)) = ready.pop() {
            rank[name as usize] = next;
            next += 1;
            for &n in self.after.get(&name).into_iter().flatten() {
                missing[n as usize] -= 1;
                if missing[n as usize] == 0 {
                    ready.push(Reverse(n));
                }
            }
        }
        rank
    }
}
