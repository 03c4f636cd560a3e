//! Choosing one operation of each e-class, so that the graph they make costs least.
//!
//! A value used twice is computed once, so what a choice costs is the cost of the *set* of operations it
//! needs, and the best choice is NP-hard to find. Two searches share the work: a greedy one from the leaves
//! up ([`greedy`]), which can change a whole chain of operations at once but does not know what the rest of
//! the graph computes anyway; and one that starts from a complete graph and exchanges one operation after
//! another for as long as the exact cost falls ([`polish`]). The second runs from the input and from what
//! the first found, and the cheaper result is taken. So the result is never dearer than the input.

mod greedy;
mod polish;

use super::cost::Cost;
use super::language::ENode;
use super::saturate::Island;
use egg::Id;
use rustc_hash::FxHashMap;

/// The chosen operation of each e-class that the roots need.
pub(super) type Choice = FxHashMap<Id, ENode>;

/// The cheapest graph found for the roots, and its cost; `original` are the operations of the input.
/// `None` when the input, which no operation of an e-class may be missing from, makes no graph.
pub(super) fn extract(island: &Island, roots: &[Id], original: &[(Id, ENode)]) -> Option<(Cost, Choice)> {
    let terms = Terms::new(island);
    let roots: Vec<usize> = roots.iter().map(|r| terms.index[r]).collect();
    let as_it_was = terms.find_all(island, original);
    let from_leaves = greedy::search(&terms);
    // Where the input has no operation, what the greedy search thinks best is at hand.
    let fill = |choice: &[Option<usize>]| -> Vec<Option<usize>> {
        choice.iter().zip(&from_leaves).map(|(a, b)| a.or(*b)).collect()
    };
    let starts = [fill(&as_it_was), from_leaves.clone()];
    let polished = starts.iter().filter_map(|start| polish::search(&terms, &roots, start));
    // The first of equals: nothing is rewritten that gains nothing.
    let (cost, choice) = polished.min_by_key(|(cost, _)| *cost)?;
    let chosen =
        terms.classes.iter().zip(choice).filter_map(|(c, n)| Some((c.id, terms.nodes[n?].node.clone())));
    Some((cost, chosen.collect()))
}

/// An e-graph in lists: the terms of a class side by side, operands by the position of their class.
struct Terms<'a> {
    classes: Vec<Class>,
    nodes: Vec<Term<'a>>,
    index: FxHashMap<Id, usize>,
}

struct Class {
    id: Id,
    /// Its terms, in `Terms::nodes`.
    first: usize,
    end: usize,
}

struct Term<'a> {
    node: &'a ENode,
    cost: Cost,
    /// Positions in `Terms::classes`.
    operands: Vec<usize>,
    /// Taken by the greedy search when two terms cost the same.
    preferred: bool,
}

impl<'a> Terms<'a> {
    fn new(island: &'a Island) -> Terms<'a> {
        let mut ids: Vec<Id> = island.egraph.classes().map(|c| c.id).collect();
        ids.sort_unstable();
        let index: FxHashMap<Id, usize> = ids.iter().enumerate().map(|(i, &id)| (id, i)).collect();
        let mut classes = Vec::with_capacity(ids.len());
        let mut nodes = Vec::new();
        for id in ids {
            let first = nodes.len();
            for node in &island.egraph[id].nodes {
                let operands = node.args.iter().map(|a| index[&island.egraph.find(*a)]).collect();
                // A permutation that can be put off costs no more later, and may meet one that undoes it.
                let preferred = matches!(*island.op(node), ttk_ir::Op::Permute(_));
                nodes.push(Term { node, cost: island.cost(id, node), operands, preferred });
            }
            classes.push(Class { id, first, end: nodes.len() });
        }
        Terms { classes, nodes, index }
    }

    /// For each class the first of the given terms that is in it.
    fn find_all(&self, island: &Island, terms: &[(Id, ENode)]) -> Vec<Option<usize>> {
        let mut choice = vec![None; self.classes.len()];
        for (id, node) in terms {
            let class = self.index[&island.egraph.find(*id)];
            if choice[class].is_some() {
                continue;
            }
            let mut node = node.clone();
            node.args.iter_mut().for_each(|a| *a = island.egraph.find(*a));
            let Class { first, end, .. } = self.classes[class];
            choice[class] = (first..end).find(|&n| *self.nodes[n].node == node);
        }
        choice
    }
}
