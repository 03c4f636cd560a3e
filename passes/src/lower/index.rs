//! Ranges of loop variables, and what they prove about index expressions.
//!
//! Symbols are at least 1, variables lie between two bounds that may mention symbols and variables
//! declared before them. Everything here is conservative: "not proven" never means "false".

use ttk_ir::expr::{range, simplify};
use ttk_ir::{Atom, Expr};

/// The bounds of loop variables and checked values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges(range::Ranges);

impl Ranges {
    /// Declares `first <= Var(var) <= last`.
    pub(crate) fn declare(&mut self, var: u32, first: Expr, last: Expr) {
        self.0.push_bounds(Atom::Var(var), first, last);
    }

    /// Declares `0 <= Value(value) < extent`.
    pub(crate) fn declare_value(&mut self, value: u32, extent: Expr) {
        self.0.push_value(value, &extent);
    }

    /// Whether `e >= 0` for all values in range.
    pub(crate) fn is_nonneg(&self, e: &Expr) -> bool {
        range::prove_nonneg(e, &self.0)
    }

    /// Whether `0 <= e < extent`.
    #[cfg(test)]
    pub(crate) fn in_range(&self, e: &Expr, extent: &Expr) -> bool {
        range::prove_in_bounds(e, extent, &self.0)
    }

    /// Numeric bounds, when every atom has some.
    pub(crate) fn interval(&self, e: &Expr) -> Option<(i64, i64)> {
        self.0.interval(e)
    }

    /// An equal expression with fewer divisions.
    pub(crate) fn simplify(&self, e: &Expr) -> Expr {
        simplify::simplify(e, &self.0)
    }

    /// `floor(a / b)`.
    pub(crate) fn floor_div(&self, a: &Expr, b: &Expr) -> Expr {
        simplify::floor_div(a, b, &self.0)
    }

    /// `a mod b`, in `0..b`.
    pub(crate) fn modulo(&self, a: &Expr, b: &Expr) -> Expr {
        simplify::modulo(a, b, &self.0)
    }

    /// `min(max(a, 0), b - 1)`.
    pub(crate) fn clamp(&self, a: &Expr, b: &Expr) -> Expr {
        simplify::clamp_index(a, b, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c(v: i64) -> Expr {
        Expr::constant(v)
    }

    fn ranges(extents: &[Expr]) -> Ranges {
        let mut r = Ranges::default();
        for (i, e) in extents.iter().enumerate() {
            r.declare(i as u32, c(0), e.offset(-1));
        }
        r
    }

    #[test]
    fn divisions_by_proven_ranges_vanish() {
        let r = ranges(&[c(64), c(28), c(28)]);
        let (n, h, w) = (Expr::var(0), Expr::var(1), Expr::var(2));
        let flat = n.scale(784).add(&h.scale(28)).add(&w);
        assert_eq!(r.floor_div(&flat, &c(784)), n);
        assert_eq!(r.modulo(&flat, &c(784)), h.scale(28).add(&w));
        assert_eq!(r.floor_div(&flat, &c(28)), n.scale(28).add(&h));
        assert_eq!(r.modulo(&flat, &c(28)), w);
        // Through a common factor: (28h + w) / 56 == h / 2.
        assert_eq!(r.floor_div(&h.scale(28).add(&w), &c(56)), h.floor_div(&c(2)));
    }

    #[test]
    fn symbolic_ranges() {
        let (n, m) = (Expr::symbol(0), Expr::symbol(1));
        let r = ranges(&[n.clone(), m.clone()]);
        let (i, j) = (Expr::var(0), Expr::var(1));
        let flat = i.mul(&m).add(&j);
        assert_eq!(r.floor_div(&flat, &m), i);
        assert_eq!(r.modulo(&flat, &m), j);
        assert!(r.in_range(&flat, &n.mul(&m)));
        assert!(!r.in_range(&flat.offset(1), &n.mul(&m)));
        assert!(r.is_nonneg(&n.sub(&c(1)).floor_div(&c(2))));
        assert!(!r.is_nonneg(&n.offset(-2)));
    }

    #[test]
    fn quotient_and_remainder_recombine() {
        let r = ranges(&[c(1000)]);
        let x = Expr::var(0);
        let e = x.floor_div(&c(12)).scale(12).add(&x.floor_div(&c(4)).modulo(&c(3)).scale(4));
        let e = e.add(&x.modulo(&c(4)));
        assert_eq!(r.simplify(&e), x);
    }

    #[test]
    fn simplification_keeps_values() {
        let r = ranges(&[c(7), c(5), c(12)]);
        let (i, j, k) = (Expr::var(0), Expr::var(1), Expr::var(2));
        let flat = i.scale(60).add(&j.scale(12)).add(&k);
        let mut all = Vec::new();
        for d in [2, 3, 4, 5, 6, 7, 12, 15, 24, 60, 90] {
            all.push(flat.offset(-3).floor_div(&c(d)));
            all.push(flat.modulo(&c(d)));
            all.push(flat.scale(3).offset(5).modulo(&c(d)).add(&flat.floor_div(&c(d)).scale(d)));
            all.push(flat.floor_div(&c(d)).modulo(&c(4)).scale(2).add(&flat.offset(-4).clamp_index(&c(d))));
        }
        for e in &all {
            let s = r.simplify(e);
            for n in 0..420i64 {
                let leaf = |a: &Atom| match a {
                    Atom::Var(0) => n / 60,
                    Atom::Var(1) => n / 12 % 5,
                    _ => n % 12,
                };
                assert_eq!(s.eval(&leaf), e.eval(&leaf), "{e:?} became {s:?}");
            }
        }
    }
}
