//! What follows from the ranges of loop variables: bounds, proofs that an index lies inside a buffer.
//!
//! All reasoning is about integers without overflow. Symbols are at least 1, a loop variable lies in
//! `begin..end` of its loop, a checked value in `0..extent`. A proof eliminates atoms one by one,
//! innermost first, by the bound that makes the expression smallest, until a polynomial in symbols is
//! left; that is not negative for all symbols `s >= 1` if, written in `s - 1`, it has no negative
//! coefficient. "Not proven" says nothing.

use super::{Atom, Expr, Term};
use std::cell::Cell;

/// What is known about the atoms of an expression.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    /// From the outermost to the innermost; bounds mention only symbols and earlier entries.
    entries: Vec<Entry>,
    /// Expressions known to be at least 0.
    facts: Vec<Expr>,
}

#[derive(Clone, Debug)]
struct Entry {
    atom: Atom,
    low: Expr,
    /// Inclusive.
    high: Expr,
}

/// How much [`Ranges`] held at some time; see [`Ranges::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    entries: usize,
    facts: usize,
}

impl Ranges {
    pub fn new() -> Ranges {
        Ranges::default()
    }

    /// Enters a loop: its variable lies in `begin..end`, which is not empty inside it.
    pub fn push_var(&mut self, var: u32, begin: &Expr, end: &Expr) {
        let high = end.offset(-1);
        self.facts.push(high.sub(begin));
        self.push_bounds(Atom::Var(var), begin.clone(), high);
    }

    /// A value has been checked to lie in `0..extent`.
    pub fn push_value(&mut self, value: u32, extent: &Expr) {
        self.push_bounds(Atom::Value(value), Expr::default(), extent.offset(-1));
    }

    /// `low <= atom <= high` wherever the atom, a variable or a value, occurs. Unlike
    /// [`Ranges::push_var`] this does not say that there is such a place.
    pub fn push_bounds(&mut self, atom: Atom, low: Expr, high: Expr) {
        self.entries.push(Entry { atom, low, high });
    }

    /// `e >= 0` holds from here on.
    pub fn assume(&mut self, e: Expr) {
        // What bounds a single variable by an expression of symbols narrows its range.
        let (mut leaf, mut rest) = (None, Expr::default());
        let mut plain = true;
        for term in e.terms() {
            match term.factors.as_slice() {
                [atom @ Atom::Var(_)] if leaf.is_none() => {
                    leaf = Some((atom.clone(), term.coeff));
                }
                factors if factors.iter().all(|f| matches!(f, Atom::Symbol(_))) => {
                    rest = rest.add(&Expr::from(term.clone()));
                }
                _ => plain = false,
            }
        }
        if let Some((atom, step)) = leaf.filter(|_| plain)
            && let Some((_, entry)) = self.entry(&atom)
        {
            let mut entry = entry.clone();
            // Of two numbers the sharper one; where symbols are involved, the new one.
            let sharper = |old: &Expr, new: &Expr, above: bool| match (old.as_const(), new.as_const()) {
                (Some(old), Some(new)) => (new > old) == above,
                _ => true,
            };
            // step * var + rest >= 0
            let bound = match (rest.as_const(), step) {
                (_, 1) => Some(rest.scale(-1)),
                (_, -1) => Some(rest),
                (Some(rest), 2..) => Some(Expr::constant(-rest.div_euclid(step))),
                (Some(rest), _) => Some(Expr::constant(rest.div_euclid(-step))),
                (None, _) => None,
            };
            match bound {
                Some(low) if step > 0 && sharper(&entry.low, &low, true) => entry.low = low,
                Some(high) if step < 0 && sharper(&entry.high, &high, false) => entry.high = high,
                _ => {}
            }
            self.entries.push(entry);
        }
        self.facts.push(e);
    }

    /// What is known now, to be gone back to with [`Ranges::reset`].
    pub fn mark(&self) -> Mark {
        Mark { entries: self.entries.len(), facts: self.facts.len() }
    }

    /// Forgets everything after a mark.
    pub fn reset(&mut self, mark: Mark) {
        self.entries.truncate(mark.entries);
        self.facts.truncate(mark.facts);
    }

    /// Numbers between which an expression lies, when every atom has some.
    pub fn interval(&self, e: &Expr) -> Option<(i64, i64)> {
        let (mut low, mut high) = (0i64, 0i64);
        for term in e.terms() {
            let (mut a, mut b) = (term.coeff, term.coeff);
            for atom in &term.factors {
                let (x, y) = self.atom_interval(atom)?;
                let products = [a.checked_mul(x)?, a.checked_mul(y)?, b.checked_mul(x)?, b.checked_mul(y)?];
                a = products.into_iter().min()?;
                b = products.into_iter().max()?;
            }
            low = low.checked_add(a)?;
            high = high.checked_add(b)?;
        }
        Some((low, high))
    }

    fn atom_interval(&self, atom: &Atom) -> Option<(i64, i64)> {
        let positive = |b: &Expr| b.as_const().filter(|&b| b > 0);
        match atom {
            Atom::Symbol(_) => None,
            Atom::Var(_) | Atom::Value(_) => {
                let (_, entry) = self.entry(atom)?;
                let (low, high) = (self.interval(&entry.low)?.0, self.interval(&entry.high)?.1);
                // An empty range proves anything; keep the interval well formed.
                Some((low, high.max(low)))
            }
            Atom::FloorDiv(a, b) => {
                let (b, (low, high)) = (positive(b)?, self.interval(a)?);
                Some((low.div_euclid(b), high.div_euclid(b)))
            }
            Atom::Mod(a, b) => {
                let b = positive(b)?;
                match self.interval(a) {
                    // Within one period the remainder keeps the order.
                    Some((low, high)) if low.div_euclid(b) == high.div_euclid(b) => {
                        Some((low.rem_euclid(b), high.rem_euclid(b)))
                    }
                    _ => Some((0, b - 1)),
                }
            }
            Atom::Clamp(a, b) => {
                let last = positive(b)? - 1;
                let (low, high) = self.interval(a).unwrap_or((0, last));
                Some((low.clamp(0, last), high.clamp(0, last)))
            }
        }
    }

    /// The innermost entry for an atom and its level, which counts from 1.
    fn entry(&self, atom: &Atom) -> Option<(usize, &Entry)> {
        self.entries.iter().enumerate().rev().find(|(_, e)| e.atom == *atom).map(|(i, e)| (i + 1, e))
    }

    /// The level of the innermost leaf; 0 for an expression of symbols.
    fn level(&self, atom: &Atom) -> usize {
        match atom {
            Atom::Symbol(_) => 0,
            Atom::Var(_) | Atom::Value(_) => self.entry(atom).map_or(usize::MAX, |(level, _)| level),
            Atom::FloorDiv(a, b) | Atom::Mod(a, b) | Atom::Clamp(a, b) => {
                let mut level = 0;
                for e in [a, b] {
                    e.for_each_leaf(&mut |leaf| level = level.max(self.level(leaf)));
                }
                level
            }
        }
    }
}

/// Whether `0 <= index < len` is proven.
pub fn prove_in_bounds(index: &Expr, len: &Expr, ranges: &Ranges) -> bool {
    let prover = Prover::new(ranges);
    let try_it = |index: &Expr| prover.nonneg(index) && prover.nonneg(&len.sub(index).offset(-1));
    try_it(index) || try_it(&super::simplify::simplify(index, ranges))
}

/// Whether `e >= 0` is proven.
pub fn prove_nonneg(e: &Expr, ranges: &Ranges) -> bool {
    Prover::new(ranges).nonneg(e)
}

/// Whether `a < b` is proven.
pub fn prove_less(a: &Expr, b: &Expr, ranges: &Ranges) -> bool {
    prove_nonneg(&b.sub(a).offset(-1), ranges)
}

/// An expression over symbols that `e` never exceeds.
pub fn upper_bound(e: &Expr, ranges: &Ranges) -> Option<Expr> {
    Prover::new(ranges).bound(e, true)
}

/// An expression over symbols that `e` never falls below.
pub fn lower_bound(e: &Expr, ranges: &Ranges) -> Option<Expr> {
    Prover::new(ranges).bound(e, false)
}

/// Steps that one proof may take. Real kernels need tens; the limit keeps a hostile one from taking long.
const FUEL: u32 = 3000;

pub(super) struct Prover<'a> {
    ranges: &'a Ranges,
    fuel: Cell<u32>,
}

/// One way to replace an atom on the path to a lower bound.
enum Step {
    /// `atom >= this` or `atom <= this`, whichever side was asked for.
    Bound(Expr),
    /// Bounds `by * atom`, for an atom that is a division by `by`.
    Scaled { bound: Expr, by: Expr },
}

impl<'a> Prover<'a> {
    pub(super) fn new(ranges: &'a Ranges) -> Prover<'a> {
        Prover { ranges, fuel: Cell::new(FUEL) }
    }

    fn spend(&self) -> bool {
        let left = self.fuel.get();
        self.fuel.set(left.saturating_sub(1));
        left > 0
    }

    /// Whether `e >= 0`.
    pub(super) fn nonneg(&self, e: &Expr) -> bool {
        // Numbers decide most questions at once.
        self.ranges.interval(e).is_some_and(|(low, _)| low >= 0) || self.eliminate(e) || self.with_facts(e, 2)
    }

    /// Whether `0 <= e < end`.
    pub(super) fn within(&self, e: &Expr, end: &Expr) -> bool {
        self.nonneg(e) && self.nonneg(&end.sub(e).offset(-1))
    }

    /// `e >= fact` for some facts taken together.
    fn with_facts(&self, e: &Expr, depth: usize) -> bool {
        self.ranges.facts.iter().rev().any(|fact| {
            let rest = e.sub(fact);
            // A fact that cancels nothing only makes the expression longer.
            rest.terms().len() <= e.terms().len()
                && self.spend()
                && (self.eliminate(&rest) || (depth > 1 && self.with_facts(&rest, depth - 1)))
        })
    }

    fn eliminate(&self, e: &Expr) -> bool {
        if let Some(c) = e.as_const() {
            return c >= 0;
        }
        if !self.spend() || product(e, &Expr::constant(1)).is_none() {
            return false;
        }
        if self.obvious(e) {
            return true;
        }
        let Some(atom) = self.innermost(e) else { return false };
        let Some((coeff, rest)) = linear_in(e, &atom) else { return false };
        let replaced = |step: Step| match step {
            Step::Bound(bound) => Some(product(&coeff, &bound)?.add(&rest)),
            // For integers e >= 0 follows from by*e > -by.
            Step::Scaled { bound, by } => match coeff.div_exact(&by) {
                Some(whole) => Some(product(&whole, &bound)?.add(&rest)),
                None => Some(product(&coeff, &bound)?.add(&product(&rest, &by)?).add(&by).offset(-1)),
            },
        };
        let any = |steps: Vec<Step>| steps.into_iter().filter_map(replaced).any(|next| self.eliminate(&next));
        if self.sign(&coeff, false) {
            return any(self.bounds(&atom, false));
        }
        if self.sign(&coeff, true) {
            return any(self.bounds(&atom, true));
        }
        // Of unknown slope, but linear: smallest at one of the ends.
        any(self.bounds(&atom, false)) && any(self.bounds(&atom, true))
    }

    /// Whether the coefficient is at least 0, or at most 0 if `negated`.
    fn sign(&self, coeff: &Expr, negated: bool) -> bool {
        if negated { self.eliminate(&coeff.scale(-1)) } else { self.eliminate(coeff) }
    }

    /// Bounds of an atom from below or, if `upper`, from above, the sharpest first.
    fn bounds(&self, atom: &Atom, upper: bool) -> Vec<Step> {
        match atom {
            Atom::Symbol(_) => {
                if upper {
                    vec![]
                } else {
                    vec![Step::Bound(Expr::constant(1))]
                }
            }
            Atom::Var(_) | Atom::Value(_) => match self.ranges.entry(atom) {
                Some((_, entry)) => vec![Step::Bound(if upper { &entry.high } else { &entry.low }.clone())],
                None => vec![],
            },
            Atom::Mod(a, b) if upper => {
                let mut steps = vec![Step::Bound(b.offset(-1))];
                if self.eliminate(a) {
                    steps.push(Step::Bound((**a).clone()));
                }
                steps
            }
            Atom::Clamp(a, b) if upper => {
                let mut steps = vec![Step::Bound(b.offset(-1))];
                if self.eliminate(a) {
                    steps.push(Step::Bound((**a).clone()));
                }
                steps
            }
            Atom::Mod(..) => vec![Step::Bound(Expr::default())],
            Atom::Clamp(a, b) => {
                let mut steps = vec![Step::Bound(Expr::default())];
                if self.eliminate(&b.sub(a).offset(-1)) {
                    steps.push(Step::Bound((**a).clone()));
                }
                steps
            }
            Atom::FloorDiv(a, b) => {
                let slack = if upper { Expr::default() } else { Expr::constant(1).sub(b) };
                let mut steps = vec![Step::Scaled { bound: a.add(&slack), by: (**b).clone() }];
                // Division by a positive number keeps the order, so bounds of `a` carry over.
                if let Some(bound) = self.bound(a, upper)
                    && bound != **a
                {
                    steps.push(Step::Bound(self.quotient(&bound, b)));
                }
                if !upper && self.eliminate(a) {
                    steps.push(Step::Bound(Expr::default()));
                }
                steps
            }
        }
    }

    /// A bound over symbols alone.
    fn bound(&self, e: &Expr, upper: bool) -> Option<Expr> {
        let mut e = e.clone();
        while let Some(atom) = self.innermost(&e).filter(|a| self.ranges.level(a) > 0) {
            if !self.spend() {
                return None;
            }
            let (coeff, rest) = linear_in(&e, &atom)?;
            let atom_upper = if self.sign(&coeff, false) {
                upper
            } else if self.sign(&coeff, true) {
                !upper
            } else {
                return None;
            };
            let bound = match &atom {
                // The quotient of the bound; scaling is of no use where a value is wanted.
                Atom::FloorDiv(a, b) => {
                    let mut only_symbols = true;
                    b.for_each_leaf(&mut |leaf| only_symbols &= matches!(leaf, Atom::Symbol(_)));
                    if !only_symbols {
                        return None;
                    }
                    self.quotient(&self.bound(a, atom_upper)?, b)
                }
                Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) | Atom::Mod(..) | Atom::Clamp(..) => {
                    match self.bounds(&atom, atom_upper).into_iter().next()? {
                        Step::Bound(bound) => bound,
                        Step::Scaled { .. } => return None,
                    }
                }
            };
            e = product(&coeff, &bound)?.add(&rest);
        }
        Some(e)
    }

    /// `floor(a / b)`, where what is left of `a` in the division is known to be small.
    pub(super) fn quotient(&self, a: &Expr, b: &Expr) -> Expr {
        let quotient = a.floor_div(b);
        let Some((outside, rest, by)) = split_division(&quotient) else { return quotient };
        if let Some(by) = by.as_const().filter(|&b| b > 0)
            && let Some((low, high)) = self.ranges.interval(&rest)
        {
            let (low, high) = (low.div_euclid(by), high.div_euclid(by));
            return if low == high { outside.offset(low) } else { quotient };
        }
        if self.within(&rest, &by) {
            outside
        } else if self.within(&rest.add(&by), &by) {
            outside.offset(-1)
        } else {
            quotient
        }
    }

    /// The atom to eliminate next: of the innermost level, and of those the one of the most nested
    /// divisions, because it may contain the others. Symbols alone are left.
    fn innermost(&self, e: &Expr) -> Option<Atom> {
        let atoms = e.terms().iter().flat_map(|t| &t.factors);
        let candidates = atoms.filter(|a| !matches!(a, Atom::Symbol(_)));
        candidates.max_by_key(|a| (self.ranges.level(a), nesting(a))).cloned()
    }

    /// Whether no coefficient is negative once each symbol `s` is written `(s - 1) + 1` and every other
    /// atom is one that is never negative.
    fn obvious(&self, e: &Expr) -> bool {
        let mut shifted = Expr::default();
        for Term { factors, coeff } in e.terms() {
            let mut expanded = Expr::constant(*coeff);
            for atom in factors {
                let factor = match atom {
                    Atom::Symbol(_) => Expr::atom(atom.clone()).offset(1),
                    Atom::Mod(..) | Atom::Clamp(..) => Expr::atom(atom.clone()),
                    Atom::Var(_) | Atom::Value(_) => {
                        match self.ranges.entry(atom).and_then(|(_, entry)| entry.low.as_const()) {
                            Some(low) if low >= 0 => Expr::atom(atom.clone()),
                            _ => return false,
                        }
                    }
                    Atom::FloorDiv(a, _) => {
                        if !self.eliminate(a) {
                            return false;
                        }
                        Expr::atom(atom.clone())
                    }
                };
                let Some(next) = product(&expanded, &factor) else { return false };
                expanded = next;
            }
            shifted = shifted.add(&expanded);
        }
        shifted.terms().iter().all(|t| t.coeff >= 0)
    }
}

/// `(rest, a, b)` of `rest + floor(a / b)`, when there is exactly one such atom.
pub(super) fn split_division(e: &Expr) -> Option<(Expr, Expr, Expr)> {
    let mut found = None;
    for term in e.terms() {
        if let [Atom::FloorDiv(a, b)] = term.factors.as_slice()
            && term.coeff == 1
        {
            if found.is_some() {
                return None;
            }
            found = Some((term, a, b));
        }
    }
    let (term, a, b) = found?;
    Some((e.sub(&Expr::from(term.clone())), (**a).clone(), (**b).clone()))
}

/// How many levels of divisions an atom has.
fn nesting(atom: &Atom) -> usize {
    let of = |e: &Expr| e.terms().iter().flat_map(|t| &t.factors).map(nesting).max().unwrap_or(0);
    match atom {
        Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) => 0,
        Atom::FloorDiv(a, b) | Atom::Mod(a, b) | Atom::Clamp(a, b) => 1 + of(a).max(of(b)),
    }
}

/// The product, unless a coefficient might overflow or it is absurdly long: a proof must not rest on
/// numbers that have wrapped.
fn product(a: &Expr, b: &Expr) -> Option<Expr> {
    let weight = |e: &Expr| e.terms().iter().map(|t| t.coeff.unsigned_abs() as u128).sum::<u128>();
    let fits = weight(a).checked_mul(weight(b)).is_some_and(|w| w < 1 << 60);
    (fits && a.terms().len() * b.terms().len() <= 1 << 10).then(|| a.mul(b))
}

/// `(c, r)` with `e == c * atom + r`, neither having `atom` as a factor.
fn linear_in(e: &Expr, atom: &Atom) -> Option<(Expr, Expr)> {
    let (mut coeff, mut rest) = (Expr::default(), Expr::default());
    for term in e.terms() {
        let mut term = term.clone();
        match term.factors.iter().position(|a| a == atom) {
            Some(at) => {
                term.factors.remove(at);
                if term.factors.contains(atom) {
                    return None;
                }
                coeff = coeff.add(&Expr::from(term));
            }
            None => rest = rest.add(&Expr::from(term)),
        }
    }
    Some((coeff, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n() -> Expr {
        Expr::symbol(0)
    }

    fn m() -> Expr {
        Expr::symbol(1)
    }

    fn c(v: i64) -> Expr {
        Expr::constant(v)
    }

    fn ranges(loops: &[(Expr, Expr)]) -> Ranges {
        let mut ranges = Ranges::new();
        for (var, (begin, end)) in loops.iter().enumerate() {
            ranges.push_var(var as u32, begin, end);
        }
        ranges
    }

    #[track_caller]
    fn check(index: &Expr, len: &Expr, ranges: &Ranges, want: bool) {
        assert_eq!(prove_in_bounds(index, len, ranges), want, "{index} < {len}");
    }

    #[test]
    fn affine_indices() {
        let (i, j) = (Expr::var(0), Expr::var(1));
        let fixed = ranges(&[(c(0), c(4)), (c(0), c(8))]);
        check(&i.scale(8).add(&j), &c(32), &fixed, true);
        check(&i.scale(8).add(&j).offset(1), &c(32), &fixed, false);
        check(&c(31).sub(&i.scale(8)).sub(&j), &c(32), &fixed, true);
        check(&j.sub(&i), &c(8), &fixed, false);
        let symbolic = ranges(&[(c(0), n()), (c(0), m())]);
        check(&i.mul(&m()).add(&j), &n().mul(&m()), &symbolic, true);
        check(&i.mul(&n()).add(&j), &n().mul(&m()), &symbolic, false);
        check(&n().offset(-1).sub(&i), &n(), &symbolic, true);
        // The other way round a triangle.
        let triangle = ranges(&[(c(0), n()), (Expr::var(0), n())]);
        check(&j.sub(&i), &n(), &triangle, true);
        check(&i.sub(&j), &n(), &triangle, false);
    }

    #[test]
    fn divisions_and_remainders() {
        let (i, j) = (Expr::var(0), Expr::var(1));
        let flat = ranges(&[(c(0), n().mul(&m()))]);
        check(&i.floor_div(&m()), &n(), &flat, true);
        check(&i.modulo(&m()), &m(), &flat, true);
        check(&i.modulo(&m()).mul(&n()).add(&i.floor_div(&m())), &n().mul(&m()), &flat, true);
        check(&i.floor_div(&c(8)).scale(8).offset(7), &m().scale(8), &ranges(&[(c(0), m().scale(8))]), true);
        check(
            &i.floor_div(&c(8)).scale(8).offset(7),
            &m().scale(8),
            &ranges(&[(c(0), m().scale(8).offset(1))]),
            false,
        );
        // Windows: o * stride + k * dilation for o < (n - 2*3 - 1) / 2 + 1.
        let count = n().offset(-7).floor_div(&c(2)).offset(1);
        let windows = ranges(&[(c(0), count), (c(0), c(3))]);
        check(&i.scale(2).add(&j.scale(3)), &n(), &windows, true);
        check(&i.scale(2).add(&j.scale(3)).offset(1), &n(), &windows, false);
    }

    #[test]
    fn tiles_with_a_remainder() {
        let (tile, lane) = (Expr::var(0), Expr::var(1));
        let tiles = n().offset(63).floor_div(&c(64));
        let left = n().sub(&tile.scale(64)).clamp_index(&c(65));
        let r = ranges(&[(c(0), tiles), (c(0), left)]);
        check(&tile.scale(64).add(&lane), &n(), &r, true);
        check(&tile.scale(64).add(&lane).offset(1), &n(), &r, false);
    }

    #[test]
    fn a_bound_that_contains_other_atoms_goes_first() {
        // Column j of tile t, t being the inner part of a flattened loop variable.
        let tiles = m().offset(127).floor_div(&c(128));
        let start = Expr::var(0).modulo(&tiles).scale(128);
        let r = ranges(&[
            (c(0), n().mul(&tiles)),
            (start.clone(), start.offset(128).clamp_index(&m().offset(1))),
        ]);
        check(&Expr::var(1).sub(&start), &c(128), &r, true);
        check(&Expr::var(1), &m(), &r, true);
        check(&Expr::var(1).sub(&start).offset(1), &c(128), &r, false);
        // The outer part: floor((n*tiles - 1) / tiles) is n - 1.
        check(&Expr::var(0).floor_div(&tiles).mul(&m()).add(&Expr::var(1)), &n().mul(&m()), &r, true);
    }

    #[test]
    fn checked_and_clamped_values() {
        let mut r = ranges(&[(c(0), n())]);
        r.push_value(5, &m());
        let index = Expr::var(0).mul(&m()).add(&Expr::value(5));
        check(&index, &n().mul(&m()), &r, true);
        check(&Expr::value(6), &m(), &r, false);
        check(&Expr::var(0).offset(-3).clamp_index(&n()), &n(), &r, true);
        check(&Expr::var(0).offset(-3), &n(), &r, false);
    }

    #[test]
    fn what_a_loop_or_a_guard_implies() {
        let i = Expr::var(0);
        // A loop over n - 3 positions runs only if n >= 4.
        let mut r = ranges(&[(c(0), n().offset(-3))]);
        check(&c(3), &n(), &r, true);
        check(&c(4), &n(), &r, false);
        check(&i.offset(3), &n(), &r, true);
        let mark = r.mark();
        r.assume(i.offset(-1));
        check(&i.offset(-1), &n(), &r, true);
        r.reset(mark);
        check(&i.offset(-1), &n(), &r, false);
    }

    #[test]
    fn bounds_over_symbols() {
        let (i, j) = (Expr::var(0), Expr::var(1));
        let r = ranges(&[(c(1), n()), (c(0), c(8))]);
        let e = i.scale(8).sub(&j);
        assert_eq!(upper_bound(&e, &r), Some(n().scale(8).offset(-8)));
        assert_eq!(lower_bound(&e, &r), Some(c(1)));
        assert_eq!(upper_bound(&j.floor_div(&c(3)), &r), Some(c(2)));
        assert_eq!(lower_bound(&i.modulo(&c(4)), &r), Some(c(0)));
        assert_eq!(upper_bound(&Expr::var(9), &r), None);
    }
}
