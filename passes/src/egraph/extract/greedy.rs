//! From the leaves up: each class takes the term that needs the cheapest set of operations.

use super::Terms;
use crate::egraph::cost::Cost;

/// The term each class takes, `None` for one that cannot be computed (which no rule makes).
///
/// A candidate's set is the union of its operands' sets and itself. An e-graph has cycles, so there is
/// no order that visits operands first; but most operands have smaller numbers than their users, and two or
/// three sweeps are the rule.
pub(super) fn search(terms: &Terms<'_>) -> Vec<Option<usize>> {
    let words = terms.nodes.len().div_ceil(64);
    let mut search = Search {
        terms,
        words,
        sets: vec![0; words * terms.classes.len()],
        best: vec![None; terms.classes.len()],
        scratch: vec![0; words],
    };
    while search.sweep() {}
    search.best.into_iter().map(|b| b.map(|(_, node)| node)).collect()
}

struct Search<'a> {
    terms: &'a Terms<'a>,
    /// Words a set of terms takes, as bits.
    words: usize,
    /// For each class, its set; all zeros while it has none.
    sets: Vec<u64>,
    best: Vec<Option<(Cost, usize)>>,
    /// The set of the term being looked at.
    scratch: Vec<u64>,
}

impl Search<'_> {
    /// Tries every term once; whether any class got cheaper.
    fn sweep(&mut self) -> bool {
        let mut improved = false;
        for class in 0..self.terms.classes.len() {
            for node in self.terms.classes[class].first..self.terms.classes[class].end {
                let Some(cost) = self.weigh(class, node) else { continue };
                let better = match self.best[class] {
                    None => true,
                    Some((best, _)) if cost < best => true,
                    Some((best, old)) => {
                        let preferred = |n: usize| self.terms.nodes[n].preferred;
                        cost == best && preferred(node) && !preferred(old)
                    }
                };
                if better {
                    self.best[class] = Some((cost, node));
                    self.sets[class * self.words..][..self.words].copy_from_slice(&self.scratch);
                    improved = true;
                }
            }
        }
        improved
    }

    /// The cost of the set `node` needs, which is left in `scratch`. `None` when an operand has no set
    /// yet, or needs the class itself, or when the cost is above what the class has.
    fn weigh(&mut self, class: usize, node: usize) -> Option<Cost> {
        let operands = &self.terms.nodes[node].operands;
        let most = self.best[class].map_or(Cost::MAX, |(cost, _)| cost);
        let mut total = self.terms.nodes[node].cost;
        // The dearest operand's set is taken whole, with the cost that is known of it.
        let mut dearest: Option<(Cost, usize)> = None;
        for &operand in operands {
            let (cost, _) = self.best[operand]?;
            if dearest.is_none_or(|(c, _)| c < cost) {
                dearest = Some((cost, operand));
            }
        }
        match dearest {
            Some((cost, operand)) => {
                self.scratch.copy_from_slice(&self.sets[operand * self.words..][..self.words]);
                total = total + cost;
            }
            None => self.scratch.fill(0),
        }
        for &operand in operands.iter().filter(|&&o| dearest.is_some_and(|(_, d)| d != o)) {
            if total > most {
                return None;
            }
            let set = &self.sets[operand * self.words..][..self.words];
            for (w, (have, &need)) in self.scratch.iter_mut().zip(set).enumerate() {
                let mut new = need & !*have;
                *have |= need;
                while new != 0 {
                    total = total + self.terms.nodes[w * 64 + new.trailing_zeros() as usize].cost;
                    new &= new - 1;
                }
            }
        }
        let own = &self.terms.classes[class];
        if total > most || (own.first..own.end).any(|n| self.scratch[n / 64] >> (n % 64) & 1 == 1) {
            return None;
        }
        self.scratch[node / 64] |= 1 << (node % 64);
        Some(total)
    }
}
