//! From a complete graph: exchange one term after another while the exact cost falls.

use super::Terms;
use crate::egraph::cost::Cost;

/// Sweeps over the graph. Most of what is to be had comes in the first.
const SWEEPS: usize = 4;

/// A price no graph has.
const NEVER: u64 = u64::MAX;

/// The graph that exchanges lead to from `start`, and its cost: the term of each class that is needed.
/// `None` when `start` makes no graph.
///
/// An exchange of the term of a class gains what nothing else needs any more, and pays for what the new term
/// needs that is not there; of ways to compute that, the one that adds least.
pub(super) fn search(
    terms: &Terms<'_>,
    roots: &[usize],
    start: &[Option<usize>],
) -> Option<(Cost, Vec<Option<usize>>)> {
    let n = terms.classes.len();
    let mut state = Polish {
        terms,
        choice: start.to_vec(),
        uses: vec![0; n],
        order: vec![u32::MAX; n],
        stamp: 0,
        seen: vec![0; n],
        price: vec![(0, 0); n],
        reaches: vec![0; n],
    };
    state.sort(roots)?;
    for &root in roots {
        state.hold(root);
    }
    for _ in 0..SWEEPS {
        if !state.sweep(roots)? {
            break;
        }
    }
    let needed = |c: usize| state.uses[c] > 0;
    let cost = (0..n).filter(|&c| needed(c)).filter_map(|c| Some(terms.nodes[state.choice[c]?].cost)).sum();
    let choice = (0..n).map(|c| if needed(c) { state.choice[c] } else { None }).collect();
    Some((cost, choice))
}

struct Polish<'a> {
    terms: &'a Terms<'a>,
    /// The term of each class that is needed; for others, a suggestion.
    choice: Vec<Option<usize>>,
    /// How often the graph uses a class.
    uses: Vec<u32>,
    /// For needed classes, a number greater than those of its operands.
    order: Vec<u32>,
    /// Which question the entries of `seen` and `price` answer.
    stamp: u32,
    seen: Vec<u32>,
    /// What computing a class would add and the term to do it with.
    price: Vec<(u64, usize)>,
    /// Positive: the question in which this class was found to need the one being exchanged; negative: not.
    reaches: Vec<i64>,
}

impl Polish<'_> {
    /// Numbers what the roots need, operands first. `None` when the choices run in a circle or end nowhere.
    fn sort(&mut self, roots: &[usize]) -> Option<()> {
        const OPEN: u32 = u32::MAX - 1;
        self.order.fill(u32::MAX);
        let mut next = 0;
        let mut stack: Vec<(usize, usize)> = Vec::new();
        for &root in roots {
            stack.push((root, 0));
            while let Some((class, at)) = stack.pop() {
                if at == 0 {
                    if self.order[class] == OPEN {
                        return None;
                    }
                    if self.order[class] != u32::MAX {
                        continue;
                    }
                    self.order[class] = OPEN;
                }
                match self.terms.nodes[self.choice[class]?].operands.get(at) {
                    Some(&operand) => {
                        stack.push((class, at + 1));
                        if self.order[operand] == OPEN {
                            return None;
                        }
                        if self.order[operand] == u32::MAX {
                            stack.push((operand, 0));
                        }
                    }
                    None => {
                        self.order[class] = next;
                        next += 1;
                    }
                }
            }
        }
        Some(())
    }

    /// One more use of a class, which makes it and what it needs part of the graph; the cost added.
    fn hold(&mut self, class: usize) -> u64 {
        let mut added = 0u64;
        let mut stack = vec![class];
        while let Some(class) = stack.pop() {
            self.uses[class] += 1;
            if self.uses[class] == 1
                && let Some(node) = self.choice[class]
            {
                added = added.saturating_add(self.terms.nodes[node].cost.units());
                stack.extend(&self.terms.nodes[node].operands);
            }
        }
        added
    }

    /// One use less; the cost saved.
    fn release(&mut self, class: usize) -> u64 {
        let mut saved = 0u64;
        let mut stack = vec![class];
        while let Some(class) = stack.pop() {
            self.uses[class] -= 1;
            if self.uses[class] == 0
                && let Some(node) = self.choice[class]
            {
                saved = saved.saturating_add(self.terms.nodes[node].cost.units());
                stack.extend(&self.terms.nodes[node].operands);
            }
        }
        saved
    }

    /// Tries every exchange once, operands before users; whether one was made.
    fn sweep(&mut self, roots: &[usize]) -> Option<bool> {
        let mut improved = false;
        let mut classes: Vec<usize> = (0..self.uses.len()).filter(|&c| self.uses[c] > 0).collect();
        classes.sort_unstable_by_key(|&c| self.order[c]);
        for class in classes {
            let (first, end) = (self.terms.classes[class].first, self.terms.classes[class].end);
            for node in first..end {
                if self.uses[class] > 0 && self.choice[class] != Some(node) && self.exchange(class, node) {
                    improved = true;
                    self.sort(roots)?;
                }
            }
        }
        Some(improved)
    }

    /// Makes the exchange if it pays.
    fn exchange(&mut self, class: usize, node: usize) -> bool {
        self.stamp += 1;
        let operands = &self.terms.nodes[node].operands;
        let quoted: u64 =
            operands.iter().fold(0, |sum: u64, &operand| sum.saturating_add(self.quote(operand, class)));
        if quoted == NEVER {
            return false;
        }
        let Some(old) = self.choice[class] else { return false };
        // The quote counts what two operands share twice; what is really added is known by adding it.
        let mut added = self.terms.nodes[node].cost.units();
        for &operand in operands {
            self.take_quotes(operand);
            added = added.saturating_add(self.hold(operand));
        }
        let mut saved = self.terms.nodes[old].cost.units();
        for &operand in &self.terms.nodes[old].operands {
            saved = saved.saturating_add(self.release(operand));
        }
        if added < saved || (added == saved && self.operand_cost(node) < self.operand_cost(old)) {
            self.choice[class] = Some(node);
            return true;
        }
        for &operand in &self.terms.nodes[old].operands {
            self.hold(operand);
        }
        for &operand in operands {
            self.release(operand);
        }
        false
    }

    /// What the operands of a term cost by themselves. Of two terms that come to the same, the one with the
    /// cheaper operands: where several terms use one dear value and could do without, none gains by
    /// leaving it alone, but the last to leave does.
    fn operand_cost(&self, node: usize) -> Cost {
        let of = |&o: &usize| self.choice[o].map_or(Cost::ZERO, |n| self.terms.nodes[n].cost);
        self.terms.nodes[node].operands.iter().map(of).sum()
    }

    /// What it would add to compute `class`, for use in `target`: nothing if it is there, `NEVER` if it
    /// would need `target` itself.
    fn quote(&mut self, class: usize, target: usize) -> u64 {
        if class == target {
            return NEVER;
        }
        if self.uses[class] > 0 {
            return if self.needs(class, target) { NEVER } else { 0 };
        }
        if self.seen[class] == self.stamp {
            return self.price[class].0;
        }
        // While it is open it costs too much, which keeps a term from being its own operand.
        self.seen[class] = self.stamp;
        self.price[class] = (NEVER, usize::MAX);
        let mut best = (NEVER, usize::MAX);
        for node in self.terms.classes[class].first..self.terms.classes[class].end {
            let term = &self.terms.nodes[node];
            let mut sum = term.cost.units();
            for &operand in &term.operands {
                if sum >= best.0 {
                    break;
                }
                sum = sum.saturating_add(self.quote(operand, target));
            }
            if sum < best.0 {
                best = (sum, node);
            }
        }
        self.price[class] = best;
        best.0
    }

    /// Chooses for a class, and for what it needs and is not there, the terms that were quoted.
    fn take_quotes(&mut self, class: usize) {
        let mut stack = vec![class];
        while let Some(class) = stack.pop() {
            let fresh = self.uses[class] == 0 && self.seen[class] == self.stamp;
            if fresh && self.price[class].1 != usize::MAX && self.choice[class] != Some(self.price[class].1) {
                self.choice[class] = Some(self.price[class].1);
            }
            if fresh {
                // Once for each class: what has been taken is marked by a price of nothing.
                if self.price[class].0 != 0 {
                    self.price[class].0 = 0;
                    if let Some(node) = self.choice[class] {
                        stack.extend(&self.terms.nodes[node].operands);
                    }
                }
            }
        }
    }

    /// Whether a needed class needs `target`.
    fn needs(&mut self, class: usize, target: usize) -> bool {
        // What comes before it in the order does not.
        if self.order[class] < self.order[target] {
            return false;
        }
        if class == target {
            return true;
        }
        let stamp = self.stamp as i64;
        if self.reaches[class].abs() == stamp {
            return self.reaches[class] > 0;
        }
        let found = match self.choice[class] {
            Some(node) => self.terms.nodes[node].operands.iter().any(|&o| self.needs(o, target)),
            None => true,
        };
        self.reaches[class] = if found { stamp } else { -stamp };
        found
    }
}
