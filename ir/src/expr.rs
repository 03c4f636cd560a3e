//! Integer expressions in canonical form: sums of products of atoms.
//!
//! One type serves as a symbolic dimension (`n + 1`), a loop bound and an index into a buffer
//! (`i*64 + j`, `(i*n + j) % 8`). Two expressions that are equal as polynomials are equal values, so
//! that shapes can be compared with `==`.

pub mod range;
pub mod simplify;

use smallvec::{SmallVec, smallvec};
use std::cmp::Ordering;
use std::sync::Arc;

/// What a product is made of.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Atom {
    /// A size that is known only when the program runs; at least 1.
    Symbol(u32),
    /// A loop variable of a kernel.
    Var(u32),
    /// A scalar value of a kernel that has been checked to lie in range (`kernel::Inst::CheckedIndex`).
    Value(u32),
    /// `floor(a / b)`, `b > 0`.
    FloorDiv(Arc<Expr>, Arc<Expr>),
    /// `a - b * floor(a / b)`, `b > 0`, so `0 <= it < b`.
    Mod(Arc<Expr>, Arc<Expr>),
    /// `min(max(a, 0), b - 1)`: an index made safe by force, `b > 0`.
    Clamp(Arc<Expr>, Arc<Expr>),
}

/// The atoms of a product, sorted.
pub type Factors = SmallVec<[Atom; 2]>;

/// `coeff` times the product of `factors`, which are sorted; no factor means the number itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Term {
    pub factors: Factors,
    pub coeff: i64,
}

/// A sum of [`Term`]s with distinct, sorted factor lists and non-zero coefficients.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Expr {
    terms: SmallVec<[Term; 2]>,
}

impl Expr {
    pub fn constant(value: i64) -> Expr {
        if value == 0 {
            return Expr::default();
        }
        Expr { terms: smallvec![Term { factors: SmallVec::new(), coeff: value }] }
    }

    pub fn atom(atom: Atom) -> Expr {
        Expr { terms: smallvec![Term { factors: smallvec![atom], coeff: 1 }] }
    }

    pub fn symbol(id: u32) -> Expr {
        Expr::atom(Atom::Symbol(id))
    }

    pub fn var(id: u32) -> Expr {
        Expr::atom(Atom::Var(id))
    }

    pub fn value(id: u32) -> Expr {
        Expr::atom(Atom::Value(id))
    }

    /// `coeff` times the product of `factors`, in any order.
    pub fn from_term(mut factors: SmallVec<[Atom; 2]>, coeff: i64) -> Expr {
        if coeff == 0 {
            return Expr::default();
        }
        factors.sort();
        Expr { terms: smallvec![Term { factors, coeff }] }
    }

    /// The sum of any terms, in any order; their factors need not be sorted.
    pub fn from_terms(terms: impl IntoIterator<Item = Term>) -> Expr {
        let sorted = |mut t: Term| {
            t.factors.sort();
            t
        };
        Expr::collect(terms.into_iter().map(sorted).collect())
    }

    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The number this is, if it has no atom.
    pub fn as_const(&self) -> Option<i64> {
        match self.terms.as_slice() {
            [] => Some(0),
            [t] if t.factors.is_empty() => Some(t.coeff),
            _ => None,
        }
    }

    pub fn is_zero(&self) -> bool {
        self.terms.is_empty()
    }

    pub fn is_one(&self) -> bool {
        self.as_const() == Some(1)
    }

    pub fn add(&self, other: &Expr) -> Expr {
        // Both are sorted: they are merged.
        let (mut a, mut b) = (self.terms.as_slice(), other.terms.as_slice());
        let mut terms: SmallVec<[Term; 2]> = SmallVec::with_capacity(a.len() + b.len());
        while let ([x, more_a @ ..], [y, more_b @ ..]) = (a, b) {
            match x.factors.cmp(&y.factors) {
                Ordering::Less => {
                    terms.push(x.clone());
                    a = more_a;
                }
                Ordering::Greater => {
                    terms.push(y.clone());
                    b = more_b;
                }
                Ordering::Equal => {
                    let coeff = x.coeff.wrapping_add(y.coeff);
                    if coeff != 0 {
                        terms.push(Term { factors: x.factors.clone(), coeff });
                    }
                    (a, b) = (more_a, more_b);
                }
            }
        }
        terms.extend(a.iter().chain(b).cloned());
        Expr { terms }
    }

    pub fn sub(&self, other: &Expr) -> Expr {
        self.add(&other.scale(-1))
    }

    pub fn scale(&self, by: i64) -> Expr {
        if by == 0 {
            return Expr::default();
        }
        let mut out = self.clone();
        for t in &mut out.terms {
            t.coeff = t.coeff.wrapping_mul(by);
        }
        out
    }

    pub fn offset(&self, by: i64) -> Expr {
        self.add(&Expr::constant(by))
    }

    pub fn mul(&self, other: &Expr) -> Expr {
        if let Some(c) = other.as_const() {
            return self.scale(c);
        }
        if let Some(c) = self.as_const() {
            return other.scale(c);
        }
        let mut terms = SmallVec::new();
        for a in &self.terms {
            for b in &other.terms {
                let mut factors = a.factors.clone();
                factors.extend(b.factors.iter().cloned());
                factors.sort();
                terms.push(Term { factors, coeff: a.coeff.wrapping_mul(b.coeff) });
            }
        }
        Expr::collect(terms)
    }

    /// `floor(self / by)`; terms that `by` divides exactly leave the division, and so do whole multiples in
    /// the number: `floor((n + 9) / 8)` is `floor((n + 1) / 8) + 1`.
    ///
    /// `by` must be positive for every value of its atoms.
    pub fn floor_div(&self, by: &Expr) -> Expr {
        if by.is_one() {
            return self.clone();
        }
        let (quotient, rest) = self.split_multiples(by);
        if rest.is_zero() {
            return quotient;
        }
        let (whole, rest) = rest.split_number(by);
        let quotient = quotient.offset(whole);
        if rest.is_zero() || (rest.as_const().is_some() && by.as_const().is_some()) {
            return quotient;
        }
        quotient.add(&Expr::atom(Atom::FloorDiv(Arc::new(rest), Arc::new(by.clone()))))
    }

    /// `self mod by`, in `0..by`; multiples of `by` are dropped.
    pub fn modulo(&self, by: &Expr) -> Expr {
        if by.is_one() {
            return Expr::default();
        }
        let (_, rest) = self.split_multiples(by);
        let (_, rest) = rest.split_number(by);
        match (rest.as_const(), by.as_const()) {
            (Some(_), Some(_)) | (Some(0), None) => rest,
            _ => Expr::atom(Atom::Mod(Arc::new(rest), Arc::new(by.clone()))),
        }
    }

    /// `min(max(self, 0), extent - 1)`.
    pub fn clamp_index(&self, extent: &Expr) -> Expr {
        if let (Some(a), Some(b)) = (self.as_const(), extent.as_const()) {
            return Expr::constant(a.clamp(0, b.saturating_sub(1).max(0)));
        }
        Expr::atom(Atom::Clamp(Arc::new(self.clone()), Arc::new(extent.clone())))
    }

    /// `self / by` when that is exact term by term.
    pub fn div_exact(&self, by: &Expr) -> Option<Expr> {
        let (quotient, rest) = self.split_multiples(by);
        rest.is_zero().then_some(quotient)
    }

    /// `self = quotient * by + rest`, moving whole terms only.
    fn split_multiples(&self, by: &Expr) -> (Expr, Expr) {
        let [divisor] = by.terms.as_slice() else {
            // A sum divides what has no remainder as a polynomial; a part of the terms would do no good
            // (`n` is `n + 1` less 1, but `floor(n / (n + 1))` is 0).
            let (quotient, rest) = self.long_division(by);
            if rest.is_zero() {
                return (quotient, rest);
            }
            return (Expr::default(), self.clone());
        };
        let (mut quotient, mut rest) = (SmallVec::new(), SmallVec::new());
        for t in &self.terms {
            match divide_term(t, divisor) {
                Some(q) => quotient.push(q),
                None => rest.push(t.clone()),
            }
        }
        (Expr::collect(quotient), Expr { terms: rest })
    }

    /// `self = whole * by + rest`, where `by` is a number and that of `rest` lies in `0..by`.
    fn split_number(&self, by: &Expr) -> (i64, Expr) {
        let Some(by) = by.as_const().filter(|&b| b > 0) else { return (0, self.clone()) };
        let number = self.terms.iter().find(|t| t.factors.is_empty()).map_or(0, |t| t.coeff);
        let whole = number.div_euclid(by);
        (whole, self.offset((whole.wrapping_mul(by)).wrapping_neg()))
    }

    /// `self = quotient * by + rest`, dividing by the leading term of `by` as long as that goes.
    pub(crate) fn long_division(&self, by: &Expr) -> (Expr, Expr) {
        // Of the highest degree, and the last of those: an order that multiplication keeps.
        let leading = by
            .terms
            .iter()
            .max_by(|a, b| a.factors.len().cmp(&b.factors.len()).then_with(|| a.factors.cmp(&b.factors)));
        let (mut quotient, mut rest) = (Expr::default(), self.clone());
        let Some(leading) = leading else { return (quotient, rest) };
        // Every step takes away the highest term there is to take; the limit is for sums of atoms so
        // many that nobody waits for them.
        for _ in 0..64 {
            let step = rest.terms.iter().rev().find_map(|t| divide_term(t, leading));
            let Some(step) = step else { break };
            let step = Expr::from(step);
            rest = rest.sub(&step.mul(by));
            quotient = quotient.add(&step);
        }
        (quotient, rest)
    }

    /// Every atom replaced by what `f` gives for it (innermost first); `None` keeps the atom.
    pub fn substitute(&self, f: &mut dyn FnMut(&Atom) -> Option<Expr>) -> Expr {
        let mut sum = Expr::default();
        for t in &self.terms {
            let mut product = Expr::constant(t.coeff);
            for atom in &t.factors {
                let replaced = match f(atom) {
                    Some(e) => e,
                    None => match atom {
                        Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) => Expr::atom(atom.clone()),
                        Atom::FloorDiv(a, b) => a.substitute(f).floor_div(&b.substitute(f)),
                        Atom::Mod(a, b) => a.substitute(f).modulo(&b.substitute(f)),
                        Atom::Clamp(a, b) => a.substitute(f).clamp_index(&b.substitute(f)),
                    },
                };
                product = product.mul(&replaced);
            }
            sum = sum.add(&product);
        }
        sum
    }

    /// The value, given that of each leaf atom (`Symbol`, `Var`, `Value`).
    pub fn eval(&self, leaf: &dyn Fn(&Atom) -> i64) -> i64 {
        let mut sum = 0i64;
        for t in &self.terms {
            let mut product = t.coeff;
            for atom in &t.factors {
                let v = match atom {
                    Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) => leaf(atom),
                    Atom::FloorDiv(a, b) => a.eval(leaf).div_euclid(b.eval(leaf).max(1)),
                    Atom::Mod(a, b) => a.eval(leaf).rem_euclid(b.eval(leaf).max(1)),
                    Atom::Clamp(a, b) => a.eval(leaf).clamp(0, b.eval(leaf).saturating_sub(1).max(0)),
                };
                product = product.wrapping_mul(v);
            }
            sum = sum.wrapping_add(product);
        }
        sum
    }

    /// The value when the only atoms are symbols.
    pub fn eval_symbols(&self, symbols: &[i64]) -> i64 {
        self.eval(&|a| match a {
            Atom::Symbol(s) => symbols[*s as usize],
            Atom::Var(_) | Atom::Value(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => 0,
        })
    }

    /// Calls `f` on every leaf atom, those inside divisions included.
    pub fn for_each_leaf(&self, f: &mut dyn FnMut(&Atom)) {
        for t in &self.terms {
            for atom in &t.factors {
                match atom {
                    Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) => f(atom),
                    Atom::FloorDiv(a, b) | Atom::Mod(a, b) | Atom::Clamp(a, b) => {
                        a.for_each_leaf(f);
                        b.for_each_leaf(f);
                    }
                }
            }
        }
    }

    /// Whether the leaf occurs anywhere in the expression.
    pub fn mentions(&self, leaf: &Atom) -> bool {
        let mut found = false;
        self.for_each_leaf(&mut |a| found |= a == leaf);
        found
    }

    /// `(coefficient, rest)` with `self == coefficient * Var(var) + rest`, if `self` is affine in the
    /// variable with a coefficient and rest that do not mention it.
    pub fn affine_in(&self, var: u32) -> Option<(Expr, Expr)> {
        let v = Atom::Var(var);
        let (mut coeff, mut rest) = (SmallVec::new(), SmallVec::new());
        for t in &self.terms {
            match t.factors.iter().position(|a| *a == v) {
                Some(at) => {
                    let mut t = t.clone();
                    t.factors.remove(at);
                    coeff.push(t);
                }
                None => rest.push(t.clone()),
            }
        }
        let (coeff, rest) = (Expr::collect(coeff), Expr { terms: rest });
        (!coeff.mentions(&v) && !rest.mentions(&v)).then_some((coeff, rest))
    }

    fn collect(mut terms: SmallVec<[Term; 2]>) -> Expr {
        terms.sort_by(|a, b| a.factors.cmp(&b.factors));
        let mut out: SmallVec<[Term; 2]> = SmallVec::with_capacity(terms.len());
        for t in terms {
            match out.last_mut() {
                Some(last) if last.factors == t.factors => last.coeff = last.coeff.wrapping_add(t.coeff),
                _ => out.push(t),
            }
        }
        out.retain(|t| t.coeff != 0);
        Expr { terms: out }
    }
}

/// `t / by` as a term, when `by`'s coefficient and factors all divide it.
fn divide_term(t: &Term, by: &Term) -> Option<Term> {
    if t.coeff.checked_rem(by.coeff)? != 0 {
        return None;
    }
    let mut factors = t.factors.clone();
    for atom in &by.factors {
        let at = factors.iter().position(|a| a == atom)?;
        factors.remove(at);
    }
    Some(Term { factors, coeff: t.coeff / by.coeff })
}

impl From<Term> for Expr {
    fn from(term: Term) -> Expr {
        Expr::from_term(term.factors, term.coeff)
    }
}

impl From<i64> for Expr {
    fn from(value: i64) -> Expr {
        Expr::constant(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_polynomials_are_equal_values() {
        let (n, m) = (Expr::symbol(0), Expr::symbol(1));
        let a = n.add(&m).mul(&n.sub(&m));
        let b = n.mul(&n).sub(&m.mul(&m));
        assert_eq!(a, b);
        assert_eq!(a.sub(&b), Expr::constant(0));
    }

    #[test]
    fn division_drops_multiples() {
        let (n, i) = (Expr::symbol(0), Expr::var(0));
        let e = i.mul(&n).scale(4).add(&Expr::var(1));
        assert_eq!(e.modulo(&n), Expr::var(1).modulo(&n));
        assert_eq!(i.scale(8).offset(3).floor_div(&Expr::constant(8)), i);
        assert_eq!(
            n.offset(130).floor_div(&Expr::constant(128)),
            n.offset(2).floor_div(&Expr::constant(128)).offset(1)
        );
        assert_eq!(n.offset(-1).modulo(&Expr::constant(4)), n.offset(3).modulo(&Expr::constant(4)));
        assert_eq!(Expr::constant(-7).floor_div(&Expr::constant(2)), Expr::constant(-4));
        assert_eq!(Expr::constant(-7).modulo(&Expr::constant(2)), Expr::constant(1));
        assert_eq!(n.scale(6).div_exact(&n.scale(2)), Some(Expr::constant(3)));
        assert_eq!(n.offset(1).scale(3).div_exact(&n.offset(1)), Some(Expr::constant(3)));
    }

    #[test]
    fn affine_parts() {
        let e = Expr::var(0).mul(&Expr::symbol(0)).add(&Expr::var(1)).offset(2);
        let (c, r) = e.affine_in(0).unwrap();
        assert_eq!((c, r), (Expr::symbol(0), Expr::var(1).offset(2)));
        assert!(Expr::var(0).modulo(&Expr::constant(3)).affine_in(0).is_none());
    }
}
