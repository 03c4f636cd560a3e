//! In which order of axes each value lies in memory.
//!
//! A network is written channels-first, and a product leaves the channels last; were the permutation
//! carried out where it is written, every kernel after it would read or write with a large stride. Most
//! operations do not care about the order of axes as long as all operands have one, and products take any. So
//! the axes of values that meet are named alike ([`labels`]), an order of the names is chosen in which the
//! fewest elements have to be moved, and permutations are left only where that order and a fixed one meet.

mod labels;

use crate::canonicalize::Rewriter;
use crate::dce::dce;
use crate::egraph::cost::{Cost, cost};
use crate::error::PassError;
use crate::options::Options;
use smallvec::SmallVec;
use ttk_ir::infer::dot_free_axes;
use ttk_ir::op::{Axes, WindowDim};
use ttk_ir::{Dim, Graph, Op, Shape, Type, ValueId};

/// Axes of a value from the outermost in memory to the innermost.
pub(crate) type Order = Axes;

/// Chooses the order of axes of every value that is not an input or output.
///
/// # Errors
/// None but [`PassError::Type`], which means a defect.
pub fn layout(graph: &Graph, options: &Options) -> Result<Graph, PassError> {
    if !graph.nodes().iter().any(|n| matches!(n.op, Op::Permute(_))) {
        return Ok(graph.clone());
    }
    let after = dce(&relay(graph, options), options)?;
    // The choice looks at what is moved and not at what that does to the rest.
    Ok(if total(&after) < total(graph) { after } else { graph.clone() })
}

/// The graph with the chosen orders, whether that is cheaper or not.
pub fn relay(graph: &Graph, options: &Options) -> Graph {
    Relayout::run(graph, &labels::choose(graph), options)
}

fn total(graph: &Graph) -> Cost {
    let of = |node: &ttk_ir::Node| {
        let inputs: SmallVec<[&Type; 3]> = node.inputs.iter().map(|v| graph.ty(*v)).collect();
        cost(&node.op, &inputs, &node.ty)
    };
    graph.nodes().iter().map(of).sum()
}

/// A value of the new graph whose axis `k` is axis `order[k]` of the old one's value.
#[derive(Clone)]
struct Held {
    id: ValueId,
    order: Order,
}

struct Relayout<'a> {
    r: Rewriter<'a>,
    graph: &'a Graph,
    orders: &'a [Order],
    held: Vec<Held>,
}

impl<'a> Relayout<'a> {
    fn run(graph: &'a Graph, orders: &'a [Order], options: &'a Options) -> Graph {
        let r = Rewriter::new(Graph::like(graph), options);
        let mut state = Relayout { r, graph, orders, held: Vec::with_capacity(graph.len()) };
        for id in graph.ids() {
            state.r.loc = graph.node(id).loc;
            let held = state.node(id);
            state.held.push(held);
        }
        let outputs: Vec<ValueId> =
            graph.outputs.iter().map(|&o| state.take(o, &identity(graph.ty(o).rank()))).collect();
        let mut out = state.r.graph;
        out.outputs = outputs;
        out
    }

    /// A value of the old graph with its axes in an order.
    fn take(&mut self, v: ValueId, order: &Order) -> ValueId {
        let held = self.held[v.index()].clone();
        if held.order == *order {
            return held.id;
        }
        let at = positions(&held.order);
        let perm: Axes = order.iter().map(|&a| at[a as usize]).collect();
        self.r.emit(&Op::Permute(perm), &[held.id])
    }

    /// All operands in one order.
    fn take_all(&mut self, id: ValueId, order: &Order) -> SmallVec<[ValueId; 3]> {
        let graph = self.graph;
        graph.node(id).inputs.iter().map(|&v| self.take(v, order)).collect()
    }

    fn node(&mut self, id: ValueId) -> Held {
        let graph = self.graph;
        let node = graph.node(id);
        let order = self.orders[id.index()].clone();
        let at = positions(&order);
        let place = |axis: &u8| at[*axis as usize];
        let moved = |shape: &[Dim]| -> Shape { order.iter().map(|&a| shape[a as usize].clone()).collect() };
        match &node.op {
            Op::Const { value, shape } => {
                let op = Op::Const { value: *value, shape: moved(shape) };
                Held { id: self.r.emit(&op, &[]), order }
            }
            Op::Iota { axis, dtype, shape } => {
                let op = Op::Iota { axis: place(axis), dtype: *dtype, shape: moved(shape) };
                Held { id: self.r.emit(&op, &[]), order }
            }
            Op::Unary(_) | Op::Binary(_) | Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => {
                let inputs = self.take_all(id, &order);
                Held { id: self.r.emit(&node.op, &inputs), order }
            }
            Op::Reshape(shape) => self.reshape(id, shape),
            Op::Permute(perm) => {
                // Nothing moves: the same value by other names of its axes.
                let held = self.held[node.inputs[0].index()].clone();
                let name = positions(perm);
                Held { id: held.id, order: held.order.iter().map(|&a| name[a as usize]).collect() }
            }
            Op::Expand(shape) => {
                let inputs = self.take_all(id, &order);
                Held { id: self.r.emit(&Op::Expand(moved(shape)), &inputs), order }
            }
            // These take their operand as it lies. (The order of the result says nothing of axes that have
            // become 1.)
            Op::Slice(dims) => {
                let Held { id: x, order } = self.held[node.inputs[0].index()].clone();
                let dims = order.iter().map(|&a| dims[a as usize].clone()).collect();
                Held { id: self.r.emit(&Op::Slice(dims), &[x]), order }
            }
            Op::Pad { dims, value } => {
                let Held { id: x, order } = self.held[node.inputs[0].index()].clone();
                let dims = order.iter().map(|&a| dims[a as usize].clone()).collect();
                Held { id: self.r.emit(&Op::Pad { dims, value: *value }, &[x]), order }
            }
            Op::Reduce { op, axes } => {
                let Held { id: x, order } = self.held[node.inputs[0].index()].clone();
                let at = positions(&order);
                let mut axes: Axes = axes.iter().map(|&a| at[a as usize]).collect();
                axes.sort_unstable();
                Held { id: self.r.emit(&Op::Reduce { op: *op, axes }, &[x]), order }
            }
            Op::Concat { axis } => {
                let inputs = self.take_all(id, &order);
                Held { id: self.r.emit(&Op::Concat { axis: place(axis) }, &inputs), order }
            }
            Op::Update(dims) => {
                let inputs = self.take_all(id, &order);
                let dims = order.iter().map(|&a| dims[a as usize].clone()).collect();
                Held { id: self.r.emit(&Op::Update(dims), &inputs), order }
            }
            Op::Window(dims) => {
                let rank = node.ty.rank() - dims.len();
                // The axes of the windows come last, whatever was wished for.
                let inner: Order = order.iter().copied().filter(|&a| (a as usize) < rank).collect();
                let inputs = self.take_all(id, &inner);
                let window = self.r.emit(&Op::Window(renamed(dims, &inner)), &inputs);
                let order = inner.into_iter().chain(rank as u8..node.ty.rank() as u8).collect();
                Held { id: window, order }
            }
            Op::Fold { dims, sizes } => {
                let rank = node.ty.rank() as u8;
                let columns: Order = order.iter().copied().chain(rank..rank + dims.len() as u8).collect();
                let inputs = self.take_all(id, &columns);
                let op = Op::Fold { dims: renamed(dims, &order), sizes: sizes.clone() };
                Held { id: self.r.emit(&op, &inputs), order }
            }
            Op::Gather { axis } => {
                let inputs = self.take_all(id, &order);
                Held { id: self.r.emit(&Op::Gather { axis: place(axis) }, &inputs), order }
            }
            Op::Dot { .. } => self.dot(id),
            Op::Detach => self.held[node.inputs[0].index()].clone(),
            Op::Param { .. } | Op::RandomBits { .. } | Op::Scatter { .. } | Op::Scan { .. } => {
                self.as_written(id)
            }
            Op::Argsort { .. } | Op::Barrier | Op::Custom { .. } => self.as_written(id),
        }
    }

    /// The operation on operands that lie as they are written.
    fn as_written(&mut self, id: ValueId) -> Held {
        let graph = self.graph;
        let node = graph.node(id);
        let inputs: SmallVec<[ValueId; 3]> =
            node.inputs.iter().map(|&v| self.take(v, &identity(graph.ty(v).rank()))).collect();
        Held { id: self.r.emit(&node.op, &inputs), order: identity(node.ty.rank()) }
    }

    /// Axes that are split or joined stay side by side and in order; apart from that, what the reshape
    /// relates moves freely.
    fn reshape(&mut self, id: ValueId, shape: &Shape) -> Held {
        let graph = self.graph;
        let x = graph.node(id).inputs[0];
        let from = &graph.ty(x).shape;
        let Some(groups) = labels::groups(from, shape) else { return self.as_written(id) };
        let held = self.held[x.index()].clone();
        let (source, target) = labels::reshape_orders(from, shape, &groups, &held.order);
        let operand = self.take(x, &source);
        // Axes of size 1 may be wherever they are wished for.
        let wish = &self.orders[id.index()];
        let order = if long(wish, shape).eq(long(&target, shape)) { wish.clone() } else { target };
        let moved = order.iter().map(|&a| shape[a as usize].clone()).collect();
        Held { id: self.r.emit(&Op::Reshape(moved), &[operand]), order }
    }

    /// A product takes its operands as they lie.
    fn dot(&mut self, id: ValueId) -> Held {
        let graph = self.graph;
        let node = graph.node(id);
        let Op::Dot { batch, contract } = &node.op else { return self.as_written(id) };
        let (lhs, rhs) =
            (self.held[node.inputs[0].index()].clone(), self.held[node.inputs[1].index()].clone());
        let (l, r) = (positions(&lhs.order), positions(&rhs.order));
        let rename =
            |pairs: &[(u8, u8)]| pairs.iter().map(|&(a, b)| (l[a as usize], r[b as usize])).collect();
        let op = Op::Dot { batch: rename(batch), contract: rename(contract) };
        let order = dot_order(graph, id, &lhs.order, &rhs.order);
        Held { id: self.r.emit(&op, &[lhs.id, rhs.id]), order }
    }
}

/// The order in which a product of operands that lie in the given orders leaves its result.
fn dot_order(graph: &Graph, id: ValueId, lhs: &Order, rhs: &Order) -> Order {
    let node = graph.node(id);
    let Op::Dot { batch, contract } = &node.op else { return identity(node.ty.rank()) };
    let (left, right) = dot_free_axes(batch, contract, lhs.len(), rhs.len());
    let mut order: Order = (0..batch.len() as u8).collect();
    for (held, free, first) in [(lhs, &left, batch.len()), (rhs, &right, batch.len() + left.len())] {
        let own = held.iter().filter_map(|a| free.iter().position(|f| f == a));
        order.extend(own.map(|i| (first + i) as u8));
    }
    order
}

fn renamed(dims: &[WindowDim], order: &Order) -> Box<[WindowDim]> {
    let at = positions(order);
    dims.iter().map(|d| WindowDim { axis: at[d.axis as usize], ..*d }).collect()
}

/// The axes of an order that are longer than 1.
fn long<'s>(order: &'s Order, shape: &'s [Dim]) -> impl Iterator<Item = u8> + 's {
    order.iter().copied().filter(|&a| !shape[a as usize].is_one())
}

fn identity(rank: usize) -> Order {
    (0..rank as u8).collect()
}

/// For each axis its place in the order.
fn positions(order: &[u8]) -> Axes {
    let mut at = Axes::from_slice(order);
    for (k, &a) in order.iter().enumerate() {
        at[a as usize] = k as u8;
    }
    at
}
