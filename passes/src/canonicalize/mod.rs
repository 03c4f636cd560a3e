//! Canonical form: identities, constants, and one way of saying what can be said in several.
//!
//! One walk over the graph. Each operation is simplified as it is added to the new graph, on operands
//! that are canonical already; a rule builds its result through the same door, so that the result is
//! canonical too and no second walk is needed. A rule must make the graph smaller or move an operation
//! in a direction that no other rule reverses (views toward what they view, `expand` toward what uses
//! it, constants to the right), or the recursion would not end.
//!
//! What a rule may change of a float is said in `docs/design/rules.md`.

mod arith;
mod extreme;
mod facts;
mod pieces;
mod reduce;
mod stable;
mod views;

#[cfg(test)]
mod tests;

use crate::cse::ValueTable;
use crate::error::PassError;
use crate::fold::fold;
use crate::options::Options;
use smallvec::SmallVec;
use ttk_ir::op::Family;
use ttk_ir::{Builder, Dim, Graph, LocId, Node, Op, Scalar, Type, ValueId};

/// Brings a graph into canonical form.
///
/// # Errors
/// None today; the type is that of every pass.
pub fn canonicalize(graph: &Graph, options: &Options) -> Result<Graph, PassError> {
    Ok(Rewriter::run(graph, options, |_, _, _| None))
}

/// A graph under construction, every operation of which is simplified before it is added.
pub(crate) struct Rewriter<'a> {
    pub(crate) graph: Graph,
    pub(crate) options: &'a Options,
    /// The source line of the operation being rewritten; what a rule makes comes from there.
    pub(crate) loc: LocId,
    table: ValueTable,
}

impl<'a> Rewriter<'a> {
    pub(crate) fn new(graph: Graph, options: &'a Options) -> Rewriter<'a> {
        Rewriter { graph, options, loc: LocId(0), table: ValueTable::default() }
    }

    /// What `graph` computes, in canonical form and with the operations for which `rule` has something
    /// better replaced by that.
    pub(crate) fn run(
        graph: &Graph,
        options: &'a Options,
        rule: impl Fn(&mut Rewriter<'a>, &Op, &[ValueId]) -> Option<ValueId>,
    ) -> Graph {
        Self::run_with_values(graph, options, |r, id, map| {
            let node = graph.node(id);
            let inputs: SmallVec<[ValueId; 3]> = node.inputs.iter().map(|v| map[v.index()]).collect();
            rule(r, &node.op, &inputs)
        })
    }

    /// [`Rewriter::run`] with a rule that is given a value of `graph`, and for each earlier one what it is in
    /// the new graph.
    pub(crate) fn run_with_values(
        graph: &Graph,
        options: &'a Options,
        rule: impl Fn(&mut Rewriter<'a>, ValueId, &[ValueId]) -> Option<ValueId>,
    ) -> Graph {
        let live = graph.live();
        let mut rewriter = Rewriter::new(Graph::like(graph), options);
        let mut map = vec![ValueId(u32::MAX); graph.len()];
        for id in graph.ids().filter(|id| live[id.index()]) {
            let node = graph.node(id);
            rewriter.loc = node.loc;
            let better = rule(&mut rewriter, id, &map);
            map[id.index()] = better.unwrap_or_else(|| {
                let inputs: SmallVec<[ValueId; 3]> = node.inputs.iter().map(|v| map[v.index()]).collect();
                rewriter.emit(&node.op, &inputs)
            });
        }
        let mut out = rewriter.graph;
        out.outputs = graph.outputs.iter().map(|v| map[v.index()]).collect();
        out
    }

    /// The canonical value of `op` on canonical operands.
    pub(crate) fn emit(&mut self, op: &Op, inputs: &[ValueId]) -> ValueId {
        let mut inputs: SmallVec<[ValueId; 3]> = inputs.into();
        if op.is_commutative() && self.rank_of(inputs[0]) > self.rank_of(inputs[1]) {
            inputs.swap(0, 1);
        }
        match self.simplify(op, &inputs) {
            Some(value) => value,
            None => self.emit_as_is(op, &inputs),
        }
    }

    /// The value of exactly this operation. For a rule whose result would match the rule again.
    pub(crate) fn emit_as_is(&mut self, op: &Op, inputs: &[ValueId]) -> ValueId {
        match self.table.add(&mut self.graph, op, inputs, self.loc) {
            Ok(id) => id,
            Err(error) => panic!("a rewrite built an operation on operands it does not take: {error}"),
        }
    }

    /// The order of commutative operands: constants last, else by age.
    fn rank_of(&self, v: ValueId) -> (bool, ValueId) {
        (self.splat(v).is_some(), v)
    }

    pub(crate) fn node(&self, v: ValueId) -> &Node {
        self.graph.node(v)
    }

    pub(crate) fn op_of(&self, v: ValueId) -> &Op {
        &self.graph.node(v).op
    }

    /// The `i`-th operand of the operation that makes `v`.
    pub(crate) fn input(&self, v: ValueId, i: usize) -> ValueId {
        self.graph.node(v).inputs[i]
    }

    pub(crate) fn type_of(&self, v: ValueId) -> &Type {
        self.graph.ty(v)
    }

    /// The number that every element of `v` is, when that is known.
    pub(crate) fn splat(&self, v: ValueId) -> Option<Scalar> {
        match self.op_of(v) {
            Op::Const { value, .. } => Some(*value),
            _ => None,
        }
    }

    /// `value` in every element of the type's shape.
    pub(crate) fn splat_of(&mut self, value: Scalar, like: ValueId) -> ValueId {
        let shape = self.type_of(like).shape.clone();
        self.emit(&Op::Const { value, shape }, &[])
    }

    fn simplify(&mut self, op: &Op, inputs: &[ValueId]) -> Option<ValueId> {
        if let Some(value) = self.fold_splats(op, inputs) {
            return Some(value);
        }
        match op {
            Op::Param { .. } | Op::Const { .. } | Op::RandomBits { .. } => None,
            Op::Iota { axis, dtype, shape } => {
                let alone = shape[*axis as usize].is_one();
                alone
                    .then(|| self.emit(&Op::Const { value: Scalar::zero(*dtype), shape: shape.clone() }, &[]))
            }
            Op::Unary(u) => arith::unary(self, *u, inputs[0]),
            Op::Binary(b) => stable::softmax(self, *b, inputs[0], inputs[1])
                .or_else(|| arith::binary(self, *b, inputs[0], inputs[1])),
            Op::Cmp(c) => arith::cmp(self, *c, inputs[0], inputs[1]),
            Op::Select => arith::select(self, inputs[0], inputs[1], inputs[2]),
            Op::Cast(dtype) => arith::cast(self, *dtype, inputs[0]),
            Op::Bitcast(dtype) => arith::bitcast(self, *dtype, inputs[0]),
            Op::Reshape(shape) => views::reshape(self, shape, inputs[0]),
            Op::Permute(perm) => views::permute(self, perm, inputs[0]),
            Op::Expand(shape) => views::expand(self, shape, inputs[0]),
            Op::Slice(dims) => pieces::slice(self, dims, inputs[0]),
            Op::Pad { dims, value } => pieces::pad(self, dims, *value, inputs[0]),
            Op::Concat { axis } => pieces::concat(self, *axis, inputs),
            Op::Update(dims) => pieces::update(self, dims, inputs[0], inputs[1]),
            Op::Window(dims) => views::window(self, dims, inputs[0]),
            Op::Fold { dims, sizes } => views::fold(self, dims, sizes, inputs[0]),
            Op::Gather { .. } | Op::Scatter { .. } => None,
            Op::Reduce { op, axes } => extreme::picked(self, *op, axes, inputs[0])
                .or_else(|| reduce::reduce(self, *op, axes, inputs[0])),
            Op::Scan { axis, .. } => reduce::scan(self, *axis, inputs[0]),
            Op::Argsort { axis, .. } => reduce::argsort(self, *axis, inputs[0]),
            Op::Dot { batch, contract } => reduce::dot(self, batch, contract, inputs[0], inputs[1]),
            // Derivatives have been taken by now, so the fence against them has nothing to stop.
            Op::Detach => Some(inputs[0]),
            Op::Barrier | Op::Custom { .. } => None,
        }
    }

    /// Elementwise operations on constants, and anything that has no elements.
    fn fold_splats(&mut self, op: &Op, inputs: &[ValueId]) -> Option<ValueId> {
        let elementwise = match op.family() {
            Family::Elementwise => true,
            Family::View | Family::Indexed | Family::Structured => false,
            Family::Leaf | Family::Fence | Family::Escape => return None,
        };
        if elementwise {
            let values: Option<SmallVec<[Scalar; 3]>> = inputs.iter().map(|&v| self.splat(v)).collect();
            if let Some(value) = values.and_then(|v| fold(op, &v)) {
                return Some(self.splat_of(value, *inputs.last()?));
            }
        }
        // A result without elements needs no operand. (Few graphs have one, so the question is whether an
        // operand is empty; a slice that takes nothing is its own rule.)
        let empty = |shape: &[Dim]| shape.contains(&Dim::Fixed(0));
        if !inputs.iter().any(|&v| empty(&self.type_of(v).shape)) {
            return None;
        }
        let types: SmallVec<[&Type; 3]> = inputs.iter().map(|&v| self.type_of(v)).collect();
        let ty = ttk_ir::infer(op, &types).ok()?;
        drop(types);
        empty(&ty.shape)
            .then(|| self.emit(&Op::Const { value: Scalar::zero(ty.dtype), shape: ty.shape }, &[]))
    }
}

/// So that rules read as the composites they build.
impl Builder for Rewriter<'_> {
    type Value = ValueId;

    fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.emit(&op, inputs)
    }

    fn ty<'a>(&'a self, value: &'a ValueId) -> &'a Type {
        self.type_of(*value)
    }
}
