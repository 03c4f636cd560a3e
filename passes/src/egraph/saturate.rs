//! One island in an e-graph: adding terms, running rules.

use super::analysis::{Facts, Known};
use super::cost::{Cost, cost};
use super::language::{Args, ENode};
use super::rules::{Found, RULES};
use crate::fold::fold;
use egg::{EGraph, Id};
use smallvec::SmallVec;
use std::rc::Rc;
use ttk_ir::{Op, Scalar, Shape, Type, infer};

/// Rounds of rules. Chains of rewrites that pay are four or five long.
const ITERATIONS: usize = 8;
/// Terms at which rules stop. There is no limit of time: what a graph becomes must not depend on the
/// speed of the machine.
const TERMS: usize = 20_000;

/// A part of a graph and what rules have found equal to it.
pub(crate) struct Island {
    pub(super) egraph: EGraph<ENode, Facts>,
}

impl Island {
    pub(super) fn new(facts: Facts) -> Island {
        Island { egraph: EGraph::new(facts) }
    }

    pub(super) fn into_facts(self) -> Facts {
        self.egraph.analysis
    }

    pub(crate) fn known(&self, id: Id) -> &Known {
        &self.egraph[self.egraph.find(id)].data
    }

    pub(crate) fn ty(&self, id: Id) -> &Type {
        &self.known(id).ty
    }

    pub(crate) fn shape(&self, id: Id) -> Shape {
        self.ty(id).shape.clone()
    }

    /// The number every element is, if that is known.
    pub(crate) fn splat(&self, id: Id) -> Option<Scalar> {
        self.known(id).splat
    }

    pub(crate) fn op(&self, node: &ENode) -> Rc<Op> {
        self.egraph.analysis.ops.get(node.op).clone()
    }

    /// The terms of a class whose operation passes the test; at most four, which is more than a class has
    /// of one kind but in graphs that are full of permutations of one another.
    pub(crate) fn terms(&self, id: Id, test: fn(&Op) -> bool) -> SmallVec<[(Rc<Op>, Args); 2]> {
        let class = &self.egraph[self.egraph.find(id)];
        let ops = &self.egraph.analysis.ops;
        let passing = class.nodes.iter().filter(|n| test(ops.get(n.op)));
        passing.take(4).map(|n| (ops.get(n.op).clone(), n.args.clone())).collect()
    }

    /// The class of `op` on `args`, after the simplifications that need no choice.
    ///
    /// `None` when the operands do not fit, which is a defect of the rule that asks; the graph is right
    /// without its rewrite.
    pub(crate) fn add(&mut self, op: Op, args: &[Id]) -> Option<Id> {
        let mut args: Args = args.iter().map(|a| self.egraph.find(*a)).collect();
        if let Some(id) = self.shortcut(&op, &args) {
            return Some(id);
        }
        if op.is_commutative()
            && (self.splat(args[0]).is_some(), args[0]) > (self.splat(args[1]).is_some(), args[1])
        {
            args.swap(0, 1);
        }
        self.add_as_is(&op, args)
    }

    pub(super) fn add_as_is(&mut self, op: &Op, args: Args) -> Option<Id> {
        let node = ENode { op: self.egraph.analysis.ops.intern(op), args };
        if let Some(id) = self.egraph.lookup(node.clone()) {
            return Some(id);
        }
        let types: SmallVec<[&Type; 3]> = node.args.iter().map(|a| self.ty(*a)).collect();
        let ty = match infer(op, &types) {
            Ok(ty) => ty,
            Err(error) => {
                debug_assert!(false, "a rule built an operation on operands it does not take: {error}");
                return None;
            }
        };
        drop(types);
        self.egraph.analysis.next = Some(Rc::new(ty));
        Some(self.egraph.add(node))
    }

    /// Views that do nothing, views of views, constants: what `canonicalize` would do to the term.
    fn shortcut(&mut self, op: &Op, args: &[Id]) -> Option<Id> {
        if op.is_elementwise() {
            let values: Option<SmallVec<[Scalar; 3]>> = args.iter().map(|a| self.splat(*a)).collect();
            let value = fold(op, &values?)?;
            let shape = self.shape(args[0]);
            return self.add_as_is(&Op::Const { value, shape }, Args::new());
        }
        let x = *args.first()?;
        if let Op::Reshape(shape) | Op::Expand(shape) = op
            && self.ty(x).shape == *shape
        {
            return Some(x);
        }
        if let (Op::Reshape(shape) | Op::Expand(shape), Some(value)) = (op, self.splat(x)) {
            return self.add_as_is(&Op::Const { value, shape: shape.clone() }, Args::new());
        }
        if let Op::Reshape(_) = op {
            let (_, inner) = self.terms(x, |op| matches!(op, Op::Reshape(_))).into_iter().next()?;
            return self.add(op.clone(), &inner);
        }
        if let Op::Expand(_) = op {
            let (_, inner) = self.terms(x, |op| matches!(op, Op::Expand(_))).into_iter().next()?;
            return self.add(op.clone(), &inner);
        }
        if let Op::Permute(perm) = op {
            if perm.iter().enumerate().all(|(i, &p)| i == p as usize) {
                return Some(x);
            }
            if let Some(value) = self.splat(x) {
                let shape = perm.iter().map(|&p| self.ty(x).shape[p as usize].clone()).collect();
                return self.add_as_is(&Op::Const { value, shape }, Args::new());
            }
            let (first, inner) = self.terms(x, |op| matches!(op, Op::Permute(_))).into_iter().next()?;
            let Op::Permute(first) = &*first else { return None };
            return self.add(Op::Permute(perm.iter().map(|&p| first[p as usize]).collect()), &inner);
        }
        if let Op::Slice(dims) = op {
            if let Some(value) = self.splat(x) {
                let shape = dims.iter().map(|d| d.len.clone()).collect();
                return self.add_as_is(&Op::Const { value, shape }, Args::new());
            }
            let whole = dims.iter().zip(&self.ty(x).shape).all(|(d, n)| d.is_all(n));
            return whole.then_some(x);
        }
        None
    }

    pub(super) fn cost(&self, class: Id, node: &ENode) -> Cost {
        let inputs: SmallVec<[&Type; 3]> = node.args.iter().map(|a| self.ty(*a)).collect();
        cost(self.egraph.analysis.ops.get(node.op), &inputs, self.ty(class))
    }

    /// Runs the rules of a set until they find nothing new or a limit is met; whether they found anything.
    pub(super) fn saturate(&mut self, enabled: u64) -> bool {
        let mut found = false;
        for _ in 0..ITERATIONS {
            self.egraph.rebuild();
            if !self.round(enabled) {
                break;
            }
            found = true;
            if self.egraph.total_size() > TERMS {
                break;
            }
        }
        self.egraph.rebuild();
        found
    }

    /// Applies every rule to every term there is now; whether anything was added or joined.
    fn round(&mut self, enabled: u64) -> bool {
        let mut terms: Vec<(Id, ENode)> = Vec::new();
        for class in self.egraph.classes() {
            let matching = class.nodes.iter().filter(|n| self.egraph.analysis.ops.rules(n.op) & enabled != 0);
            terms.extend(matching.map(|n| (class.id, n.clone())));
        }
        terms.sort_unstable();
        let before = self.egraph.total_size();
        let mut joined = false;
        let mut found = Found::new();
        for (class, node) in terms {
            let mut rules = self.egraph.analysis.ops.rules(node.op) & enabled;
            let op = self.op(&node);
            while rules != 0 {
                let rule = &RULES[rules.trailing_zeros() as usize];
                rules &= rules - 1;
                (rule.rewrite)(self, &op, &node.args, &mut found);
                for id in found.drain(..) {
                    debug_assert_eq!(self.ty(id), self.ty(class), "rule {} changes the type", rule.name);
                    if self.ty(id) == self.ty(class) {
                        joined |= self.egraph.union(class, id);
                    }
                }
            }
            if self.egraph.total_size() > TERMS {
                break;
            }
        }
        joined || self.egraph.total_size() > before
    }
}
