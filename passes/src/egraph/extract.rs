//! Choosing one operation of each e-class, so that the graph they make costs least.

use super::cost::Cost;
use super::language::ENode;
use super::saturate::Island;
use egg::Id;
use rustc_hash::FxHashMap;

/// The chosen operation of each e-class that the roots need.
pub(super) type Choice = FxHashMap<Id, ENode>;

/// The cheapest graph that a greedy search finds, and its cost. `None` when there is none without cycles.
///
/// A value used twice is computed once, so what a choice costs is the cost of the *set* of operations
/// it needs. Each class keeps the best set found so far; a candidate's set is the union of its operands'
/// and itself. Sweeps go on until no set gets cheaper. That is not optimal (which is NP-hard): a class
/// does not know what the rest of the graph will compute anyway.
pub(super) fn extract(island: &Island, roots: &[Id]) -> Option<(Cost, Choice)> {
    let mut search = Search::new(island);
    // An e-graph has cycles, so there is no order that visits operands first; but most operands have
    // smaller numbers than their users, and two or three sweeps are the rule.
    while search.sweep() {}
    search.choice(roots)
}

/// E-nodes in one list, those of a class side by side, and sets of them as bits.
struct Search<'a> {
    /// `(class, first node, end)`, in the order of class numbers.
    classes: Vec<(Id, usize, usize)>,
    nodes: Vec<Candidate<'a>>,
    /// Words a set takes.
    words: usize,
    /// For each class, its set; all zeros while it has none.
    sets: Vec<u64>,
    best: Vec<Option<(Cost, usize)>>,
    /// The set of the node being looked at.
    scratch: Vec<u64>,
}

struct Candidate<'a> {
    node: &'a ENode,
    cost: Cost,
    /// Positions in `classes`.
    operands: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(island: &'a Island) -> Search<'a> {
        let mut ids: Vec<Id> = island.egraph.classes().map(|c| c.id).collect();
        ids.sort_unstable();
        let index: FxHashMap<Id, usize> = ids.iter().enumerate().map(|(i, &id)| (id, i)).collect();
        let mut classes = Vec::with_capacity(ids.len());
        let mut nodes = Vec::new();
        for id in ids {
            let first = nodes.len();
            for node in &island.egraph[id].nodes {
                let operands = node.args.iter().map(|a| index[&island.egraph.find(*a)]).collect();
                nodes.push(Candidate { node, cost: island.cost(id, node), operands });
            }
            classes.push((id, first, nodes.len()));
        }
        let words = nodes.len().div_ceil(64);
        Search {
            words,
            sets: vec![0; words * classes.len()],
            best: vec![None; classes.len()],
            scratch: vec![0; words],
            classes,
            nodes,
        }
    }

    /// Tries every node once; whether any class got cheaper.
    fn sweep(&mut self) -> bool {
        let mut improved = false;
        for class in 0..self.classes.len() {
            let (_, first, end) = self.classes[class];
            for node in first..end {
                let Some(cost) = self.weigh(class, node) else { continue };
                if self.best[class].is_none_or(|(best, _)| cost < best) {
                    self.best[class] = Some((cost, node));
                    self.sets[class * self.words..][..self.words].copy_from_slice(&self.scratch);
                    improved = true;
                }
            }
        }
        improved
    }

    /// The cost of the set `node` needs, which is left in `scratch`. `None` when an operand has no set
    /// yet, or needs the class itself.
    fn weigh(&mut self, class: usize, node: usize) -> Option<Cost> {
        self.scratch.fill(0);
        let mut total = self.nodes[node].cost;
        for &operand in &self.nodes[node].operands {
            self.best[operand]?;
            let set = &self.sets[operand * self.words..][..self.words];
            for (w, (have, &need)) in self.scratch.iter_mut().zip(set).enumerate() {
                let mut new = need & !*have;
                *have |= need;
                while new != 0 {
                    total = total + self.nodes[w * 64 + new.trailing_zeros() as usize].cost;
                    new &= new - 1;
                }
            }
        }
        let (_, first, end) = self.classes[class];
        if (first..end).any(|n| self.scratch[n / 64] >> (n % 64) & 1 == 1) {
            return None;
        }
        self.scratch[node / 64] |= 1 << (node % 64);
        Some(total)
    }

    /// What the roots need, if the choices make a graph: each was free of cycles when it was made, but a
    /// later choice of an operand may have closed one.
    fn choice(&self, roots: &[Id]) -> Option<(Cost, Choice)> {
        let position: FxHashMap<Id, usize> = self.classes.iter().enumerate().map(|(i, c)| (c.0, i)).collect();
        let (mut total, mut choice) = (Cost::ZERO, Choice::default());
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut state = vec![State::New; self.classes.len()];
        let mut stack: Vec<(usize, usize)> = Vec::new();
        for root in roots {
            stack.push((position[root], 0));
            while let Some((class, next)) = stack.pop() {
                let (_, node) = self.best[class]?;
                let candidate = &self.nodes[node];
                if next == 0 {
                    match state[class] {
                        State::Done => continue,
                        State::Open => return None,
                        State::New => state[class] = State::Open,
                    }
                }
                match candidate.operands.get(next) {
                    Some(&operand) => {
                        stack.push((class, next + 1));
                        if state[operand] == State::Open {
                            return None;
                        }
                        stack.push((operand, 0));
                    }
                    None => {
                        state[class] = State::Done;
                        total = total + candidate.cost;
                        choice.insert(self.classes[class].0, candidate.node.clone());
                    }
                }
            }
        }
        Some((total, choice))
    }
}
