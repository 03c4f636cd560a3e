//! Rewriting expressions by what is known of their atoms' ranges.
//!
//! Each rule makes the expression smaller or moves a division closer to the leaves, so that rewriting
//! ends; the results are equal for all values in range.

use super::range::{Prover, Ranges, split_division};
use super::{Atom, Expr, Term};

/// An expression equal to `e` for all values in range, with fewer divisions, remainders and clamps.
pub fn simplify(e: &Expr, ranges: &Ranges) -> Expr {
    // One rewriting may open the way for another; in practice the second round changes nothing.
    const ROUNDS: usize = 4;
    let mut e = e.clone();
    for _ in 0..ROUNDS {
        if is_flat(&e) {
            break;
        }
        let simpler = Simplifier { prover: Prover::new(ranges) }.expr(&e, 16);
        if simpler == e {
            break;
        }
        e = simpler;
    }
    e
}

/// [`simplify`] of `floor(a / b)`; `b` is positive.
pub fn floor_div(a: &Expr, b: &Expr, ranges: &Ranges) -> Expr {
    simplify(&a.floor_div(b), ranges)
}

/// [`simplify`] of `a mod b`; `b` is positive.
pub fn modulo(a: &Expr, b: &Expr, ranges: &Ranges) -> Expr {
    simplify(&a.modulo(b), ranges)
}

/// [`simplify`] of `min(max(a, 0), b - 1)`; `b` is positive.
pub fn clamp_index(a: &Expr, b: &Expr, ranges: &Ranges) -> Expr {
    simplify(&a.clamp_index(b), ranges)
}

struct Simplifier<'a> {
    prover: Prover<'a>,
}

impl Simplifier<'_> {
    fn expr(&self, e: &Expr, depth: usize) -> Expr {
        if depth == 0 || is_flat(e) {
            return e.clone();
        }
        let mut sum = Expr::default();
        for term in e.terms() {
            let mut product = Expr::constant(term.coeff);
            for atom in &term.factors {
                product = product.mul(&self.atom(atom, depth - 1));
            }
            sum = sum.add(&product);
        }
        self.recombine(sum, depth - 1)
    }

    fn atom(&self, atom: &Atom, depth: usize) -> Expr {
        match atom {
            Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) => Expr::atom(atom.clone()),
            Atom::FloorDiv(a, b) => self.floor_div(&self.expr(a, depth), &self.expr(b, depth), depth),
            Atom::Mod(a, b) => self.modulo(&self.expr(a, depth), &self.expr(b, depth), depth),
            Atom::Clamp(a, b) => self.clamp(&self.expr(a, depth), &self.expr(b, depth)),
        }
    }

    fn floor_div(&self, a: &Expr, b: &Expr, depth: usize) -> Expr {
        // Whole multiples leave the division; what stays is one atom at most.
        let quotient = self.prover.quotient(a, b);
        let Some((outside, a, b)) = split_division(&quotient) else { return quotient };
        if depth == 0 {
            return quotient;
        }
        if let Some((q, _)) = self.divided(&a, &b) {
            return outside.add(&q);
        }
        // floor(floor(x / y) / b) = floor(x / (y*b)).
        if let Some(Atom::FloorDiv(x, y)) = as_atom(&a) {
            return outside.add(&self.floor_div(x, &y.mul(&b), depth - 1));
        }
        // floor((x mod (b*c)) / b) = floor(x / b) mod c.
        if let Some(Atom::Mod(x, y)) = as_atom(&a)
            && let Some(c) = y.div_exact(&b)
        {
            return outside.add(&self.modulo(&self.floor_div(x, &b, depth - 1), &c, depth - 1));
        }
        if let Some(split) = self.common_factor(&a, &b) {
            return outside.add(&self.floor_div(&split.quotient, &split.by, depth - 1));
        }
        quotient
    }

    fn modulo(&self, a: &Expr, b: &Expr, depth: usize) -> Expr {
        let rest = self.drop_inner_mods(a, b).modulo(b);
        let Some(Atom::Mod(a, b)) = as_atom(&rest) else { return rest };
        if depth == 0 {
            return rest;
        }
        // With a known quotient the remainder is a difference.
        if let Some(c) = self.prover.quotient(a, b).as_const() {
            return a.sub(&b.scale(c));
        }
        if let Some((_, r)) = self.divided(a, b) {
            return r;
        }
        if let Some(split) = self.common_factor(a, b) {
            let inner = self.modulo(&split.quotient, &split.by, depth - 1);
            return split.factor.mul(&inner).add(&split.rest);
        }
        rest
    }

    fn clamp(&self, a: &Expr, b: &Expr) -> Expr {
        if self.prover.within(a, b) {
            return a.clone();
        }
        if self.prover.nonneg(&a.scale(-1)) {
            return Expr::default();
        }
        let last = b.offset(-1);
        if self.prover.nonneg(&a.sub(&last)) && self.prover.nonneg(&last) {
            return last;
        }
        a.clamp_index(b)
    }

    /// `a = q*b + r` with `0 <= r < b`, by dividing polynomials.
    fn divided(&self, a: &Expr, b: &Expr) -> Option<(Expr, Expr)> {
        let (q, r) = a.long_division(b);
        (!q.is_zero() && self.prover.within(&r, b)).then_some((q, r))
    }

    /// Inside `mod b`, `c * (x mod y)` is `c*x` when `b` divides `c*y`.
    fn drop_inner_mods(&self, a: &Expr, b: &Expr) -> Expr {
        let mut sum = Expr::default();
        for term in a.terms() {
            let mods = term.factors.iter().enumerate().find_map(|(i, atom)| match atom {
                Atom::Mod(x, y) => Some((i, x, y)),
                Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) => None,
                Atom::FloorDiv(..) | Atom::Clamp(..) => None,
            });
            let mut replaced = Expr::from(term.clone());
            if let Some((at, x, y)) = mods {
                let mut coeff = term.clone();
                coeff.factors.remove(at);
                let coeff = Expr::from(coeff);
                if coeff.mul(y).div_exact(b).is_some() {
                    replaced = coeff.mul(x);
                }
            }
            sum = sum.add(&replaced);
        }
        sum
    }

    /// `a = factor * quotient + rest` with `0 <= rest < factor`, and `b = factor * by`.
    fn common_factor(&self, a: &Expr, b: &Expr) -> Option<Split> {
        let [divisor] = b.terms() else { return None };
        let mut tried: Vec<Expr> = Vec::new();
        for term in a.terms() {
            let factor = common(term, divisor);
            if factor.is_one() || factor == *b || tried.contains(&factor) {
                continue;
            }
            let (quotient, rest) = a.split_multiples(&factor);
            if let Some(by) = b.div_exact(&factor)
                && self.prover.within(&rest, &factor)
            {
                return Some(Split { factor, quotient, rest, by });
            }
            tried.push(factor);
        }
        None
    }

    /// `c*b*floor(a / b) + c*(a mod b)` is `c*a`.
    fn recombine(&self, mut e: Expr, depth: usize) -> Expr {
        'again: loop {
            for term in e.terms() {
                for (at, atom) in term.factors.iter().enumerate() {
                    let Atom::Mod(a, b) = atom else { continue };
                    let mut coeff = term.clone();
                    coeff.factors.remove(at);
                    let coeff = Expr::from(coeff);
                    let other = coeff.mul(b).mul(&self.floor_div(a, b, depth));
                    let rest = e.sub(&Expr::from(term.clone())).sub(&other);
                    // The other part is there if taking it away leaves fewer terms.
                    if rest.terms().len() + 1 + other.terms().len() == e.terms().len() {
                        e = rest.add(&coeff.mul(a));
                        continue 'again;
                    }
                }
            }
            return e;
        }
    }
}

struct Split {
    factor: Expr,
    quotient: Expr,
    rest: Expr,
    by: Expr,
}

/// Whether there is nothing to simplify.
fn is_flat(e: &Expr) -> bool {
    let leaf = |a: &Atom| matches!(a, Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_));
    e.terms().iter().all(|t| t.factors.iter().all(leaf))
}

/// The atom that an expression is.
fn as_atom(e: &Expr) -> Option<&Atom> {
    match e.terms() {
        [Term { factors, coeff: 1 }] if factors.len() == 1 => factors.first(),
        _ => None,
    }
}

/// The largest product that divides two terms.
fn common(a: &Term, b: &Term) -> Expr {
    let mut rest = b.factors.clone();
    let mut factors = super::Factors::new();
    for atom in &a.factors {
        if let Some(at) = rest.iter().position(|r| r == atom) {
            factors.push(rest.remove(at));
        }
    }
    let gcd = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let coeff = gcd(a.coeff.unsigned_abs(), b.coeff.unsigned_abs());
    Expr::from(Term { factors, coeff: i64::try_from(coeff).unwrap_or(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c(v: i64) -> Expr {
        Expr::constant(v)
    }

    fn ranges(ends: &[Expr]) -> Ranges {
        let mut ranges = Ranges::new();
        for (var, end) in ends.iter().enumerate() {
            ranges.push_var(var as u32, &c(0), end);
        }
        ranges
    }

    #[track_caller]
    fn check(e: Expr, ranges: &Ranges, want: Expr) {
        let got = simplify(&e, ranges);
        assert_eq!(got, want, "{e} became {got}, expected {want}");
    }

    #[test]
    fn redundant_operations_go() {
        let (i, j, n) = (Expr::var(0), Expr::var(1), Expr::symbol(0));
        let r = ranges(&[n.clone(), c(8)]);
        check(i.modulo(&n), &r, i.clone());
        check(i.floor_div(&n), &r, c(0));
        check(j.clamp_index(&c(8)), &r, j.clone());
        check(j.clamp_index(&c(9)), &r, j.clone());
        check(j.clamp_index(&c(7)), &r, j.clamp_index(&c(7)));
        check(j.offset(-8).clamp_index(&n), &r, c(0));
        check(j.offset(8).clamp_index(&c(8)), &r, c(7));
        check(i.scale(8).add(&j).floor_div(&c(8)), &r, i.clone());
        check(i.scale(8).add(&j).modulo(&c(8)), &r, j.clone());
    }

    #[test]
    fn common_factors_leave() {
        let (i, j, n, m) = (Expr::var(0), Expr::var(1), Expr::symbol(0), Expr::symbol(1));
        let r = ranges(&[c(100), c(4)]);
        let e = i.scale(4).add(&j);
        check(e.floor_div(&c(8)), &r, i.floor_div(&c(2)));
        check(e.modulo(&c(8)), &r, i.modulo(&c(2)).scale(4).add(&j));
        let r = ranges(&[c(100), n.clone()]);
        let e = i.mul(&n).add(&j);
        check(e.floor_div(&n.mul(&m)), &r, i.floor_div(&m));
        check(e.modulo(&n.mul(&m)), &r, i.modulo(&m).mul(&n).add(&j));
        check(e.modulo(&n), &r, j.clone());
        // A sum divides as a polynomial.
        let r = ranges(&[c(100), n.offset(1)]);
        let e = i.mul(&n.offset(1)).add(&j);
        check(e.floor_div(&n.offset(1)), &r, i.clone());
        check(e.modulo(&n.offset(1)), &r, j);
    }

    #[test]
    fn flattening_undoes_unflattening() {
        let (i, n, m) = (Expr::var(0), Expr::symbol(0), Expr::symbol(1));
        let r = ranges(&[c(1000)]);
        let (a, b, d) = (i.floor_div(&c(12)), i.floor_div(&c(4)).modulo(&c(3)), i.modulo(&c(4)));
        check(a.scale(12).add(&b.scale(4)).add(&d), &r, i.clone());
        // The same digits taken in another way.
        check(i.modulo(&c(12)).floor_div(&c(4)), &r, b);
        check(i.modulo(&c(12)).modulo(&c(4)), &r, d);
        check(i.floor_div(&c(4)).floor_div(&c(3)), &r, a);
        let nm = n.mul(&m);
        let (q, s) = (i.floor_div(&nm), i.modulo(&nm));
        check(q.mul(&nm).add(&s), &r, i.clone());
        let digits = i.floor_div(&m).modulo(&n).mul(&m).add(&i.modulo(&m));
        check(q.mul(&nm).add(&digits), &r, i);
    }
}
