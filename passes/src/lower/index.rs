//! Ranges of loop variables, and what they prove about index expressions.
//!
//! Symbols are at least 1, variables lie between two bounds that may mention symbols and variables
//! declared before them. Everything here is conservative: "not proven" never means "false".

use smallvec::SmallVec;
use ttk_ir::expr::Term;
use ttk_ir::{Atom, Expr};

/// The bounds of loop variables and checked values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    /// `(first, last)` of each variable, both inclusive.
    vars: Vec<Option<(Expr, Expr)>>,
    /// Extents of checked values: `0 <= value < extent`.
    values: Vec<(u32, Expr)>,
}

impl Ranges {
    /// Declares `first <= Var(var) <= last`.
    pub(crate) fn declare(&mut self, var: u32, first: Expr, last: Expr) {
        let at = var as usize;
        if self.vars.len() <= at {
            self.vars.resize(at + 1, None);
        }
        self.vars[at] = Some((first, last));
    }

    /// Declares `0 <= Value(value) < extent`.
    pub(crate) fn declare_value(&mut self, value: u32, extent: Expr) {
        self.values.push((value, extent));
    }

    fn var(&self, var: u32) -> Option<&(Expr, Expr)> {
        self.vars.get(var as usize)?.as_ref()
    }

    /// Whether `e >= 0` for all values in range.
    pub(crate) fn is_nonneg(&self, e: &Expr) -> bool {
        if let Some(c) = e.as_const() {
            return c >= 0;
        }
        if let Some((low, _)) = self.interval(e) {
            return low >= 0;
        }
        self.symbolic_nonneg(e.clone(), 12)
    }

    /// Whether `0 <= e < extent`.
    pub(crate) fn in_range(&self, e: &Expr, extent: &Expr) -> bool {
        self.is_nonneg(e) && self.is_nonneg(&extent.sub(e).offset(-1))
    }

    /// Numeric bounds, when every atom has some.
    pub(crate) fn interval(&self, e: &Expr) -> Option<(i64, i64)> {
        let (mut low, mut high) = (0i64, 0i64);
        for t in e.terms() {
            let (mut a, mut b) = (t.coeff, t.coeff);
            for f in &t.factors {
                let (x, y) = self.atom_interval(f)?;
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
        match atom {
            Atom::Symbol(_) => None,
            Atom::Var(v) => {
                let (first, last) = self.var(*v)?;
                let low = match first.as_const() {
                    Some(c) => c,
                    None => self.interval(first)?.0,
                };
                let high = match last.as_const() {
                    Some(c) => c,
                    None => self.interval(last)?.1,
                };
                // An empty range proves anything; keep the interval well formed.
                Some((low, high.max(low)))
            }
            Atom::Value(v) => {
                let extent = &self.values.iter().find(|(id, _)| id == v)?.1;
                Some((0, (extent.as_const()? - 1).max(0)))
            }
            Atom::FloorDiv(a, b) => {
                let b = b.as_const().filter(|&b| b > 0)?;
                let (low, high) = self.interval(a)?;
                Some((low.div_euclid(b), high.div_euclid(b)))
            }
            Atom::Mod(a, b) => {
                let b = b.as_const().filter(|&b| b > 0)?;
                match self.interval(a) {
                    Some((low, high)) if low >= 0 && high < b => Some((low, high)),
                    _ => Some((0, b - 1)),
                }
            }
            Atom::Clamp(a, b) => {
                let top = (b.as_const()? - 1).max(0);
                match self.interval(a) {
                    Some((low, high)) => Some((low.clamp(0, top), high.clamp(0, top))),
                    None => Some((0, top)),
                }
            }
        }
    }

    /// The least value of `e`, by replacing atoms with their bounds one at a time, innermost variable
    /// first, until only symbols are left; then each symbol `s` is written `1 + s'`.
    fn symbolic_nonneg(&self, e: Expr, budget: u32) -> bool {
        if budget == 0 {
            return false;
        }
        // The latest declared variable first: its bounds may mention earlier ones.
        let mut pick: Option<Atom> = None;
        let mut compound: Option<Atom> = None;
        for t in e.terms() {
            for f in &t.factors {
                match f {
                    Atom::Symbol(_) => {}
                    Atom::Var(_) | Atom::Value(_) => {
                        if pick.as_ref().is_none_or(|p| rank(p) < rank(f)) {
                            pick = Some(f.clone());
                        }
                    }
                    Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => compound = Some(f.clone()),
                }
            }
        }
        if let Some(atom) = compound {
            return self.bound_compound(&e, &atom, budget);
        }
        let Some(atom) = pick else {
            return symbols_nonneg(&e);
        };
        let (first, last) = match &atom {
            Atom::Var(v) => match self.var(*v) {
                Some(bounds) => bounds.clone(),
                None => return false,
            },
            Atom::Value(v) => match self.values.iter().find(|(id, _)| id == v) {
                Some((_, extent)) => (Expr::constant(0), extent.offset(-1)),
                None => return false,
            },
            Atom::Symbol(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => return false,
        };
        let Some((coeff, _)) = coefficient(&e, &atom) else { return false };
        let bound = if self.symbolic_nonneg(coeff.clone(), budget - 1) {
            first
        } else if self.symbolic_nonneg(coeff.scale(-1), budget - 1) {
            last
        } else {
            return false;
        };
        self.symbolic_nonneg(replace(&e, &atom, &bound), budget - 1)
    }

    fn bound_compound(&self, e: &Expr, atom: &Atom, budget: u32) -> bool {
        let Some((coeff, rest)) = coefficient(e, atom) else { return false };
        let positive = self.symbolic_nonneg(coeff.clone(), budget - 1);
        let negative = !positive && self.symbolic_nonneg(coeff.scale(-1), budget - 1);
        if !positive && !negative {
            return false;
        }
        let try_bound = |b: &Expr| self.symbolic_nonneg(replace(e, atom, b), budget - 1);
        match atom {
            Atom::Mod(a, b) | Atom::Clamp(a, b) => {
                let is_clamp = matches!(atom, Atom::Clamp(..));
                if positive {
                    // `clamp(a, b) >= a` when `a < b`; both are `>= 0`.
                    return try_bound(&Expr::constant(0))
                        || (is_clamp
                            && self.symbolic_nonneg(b.sub(a).offset(-1), budget - 1)
                            && try_bound(a));
                }
                let top = b.offset(-1);
                try_bound(&top) || (self.symbolic_nonneg((**a).clone(), budget - 1) && try_bound(a))
            }
            Atom::FloorDiv(a, b) => {
                // b * floor(a / b) lies in (a - b, a]. Multiply by b > 0 and use that.
                let scaled = if positive {
                    if self.symbolic_nonneg((**a).clone(), budget - 1) && try_bound(&Expr::constant(0)) {
                        return true;
                    }
                    rest.mul(b).add(&coeff.mul(&a.sub(b).offset(1)))
                } else {
                    rest.mul(b).add(&coeff.mul(a))
                };
                self.symbolic_nonneg(scaled, budget - 1)
            }
            Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) => false,
        }
    }

    /// An equal expression with fewer divisions.
    pub(crate) fn simplify(&self, e: &Expr) -> Expr {
        if !has_compound(e) {
            return e.clone();
        }
        let mut sum = Expr::default();
        for t in e.terms() {
            let mut product = Expr::constant(t.coeff);
            for f in &t.factors {
                let simple = match f {
                    Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) => Expr::atom(f.clone()),
                    // Sizes keep the form they have in types.
                    _ if only_symbols(f) => Expr::atom(f.clone()),
                    Atom::FloorDiv(a, b) => self.floor_div(&self.simplify(a), &self.simplify(b)),
                    Atom::Mod(a, b) => self.modulo(&self.simplify(a), &self.simplify(b)),
                    Atom::Clamp(a, b) => self.clamp(&self.simplify(a), &self.simplify(b)),
                };
                product = product.mul(&simple);
            }
            sum = sum.add(&product);
        }
        recombine(sum)
    }

    /// `floor(a / b)`.
    pub(crate) fn floor_div(&self, a: &Expr, b: &Expr) -> Expr {
        if b.is_one() {
            return a.clone();
        }
        let (q, r) = self.split(a, b);
        if r.is_zero() || self.in_range(&r, b) {
            return q;
        }
        if let Some(b) = b.as_const() {
            if let Some((low, high)) = self.interval(&r)
                && low.div_euclid(b) == high.div_euclid(b)
            {
                return q.offset(low.div_euclid(b));
            }
            // floor((g*x + s) / (g*c)) == floor(x / c) when 0 <= s < g.
            if let Some((g, x, _)) = self.common_factors(&r, b) {
                return q.add(&self.floor_div(&x, &Expr::constant(b / g)));
            }
        }
        // floor(floor(x / c) / b) == floor(x / (c * b)).
        if let [Term { factors, coeff: 1 }] = r.terms()
            && let [Atom::FloorDiv(x, c)] = factors.as_slice()
        {
            return q.add(&self.floor_div(x, &c.mul(b)));
        }
        q.add(&r.floor_div(b))
    }

    /// `a mod b`, in `0..b`.
    pub(crate) fn modulo(&self, a: &Expr, b: &Expr) -> Expr {
        if b.is_one() {
            return Expr::default();
        }
        let (_, r) = self.split(a, b);
        if r.is_zero() || self.in_range(&r, b) {
            return r;
        }
        if let Some(b) = b.as_const() {
            if let Some((low, high)) = self.interval(&r)
                && low.div_euclid(b) == high.div_euclid(b)
            {
                return r.offset(-b * low.div_euclid(b));
            }
            if let Some((g, x, s)) = self.common_factors(&r, b) {
                return self.modulo(&x, &Expr::constant(b / g)).scale(g).add(&s);
            }
        }
        r.modulo(b)
    }

    /// `min(max(a, 0), b - 1)`.
    pub(crate) fn clamp(&self, a: &Expr, b: &Expr) -> Expr {
        if self.in_range(a, b) {
            return a.clone();
        }
        a.clamp_index(b)
    }

    /// `a == b * q + r`, moving into `q` every term that `b` divides, and for a number `b` also the
    /// multiple of `b` in the constant.
    fn split(&self, a: &Expr, b: &Expr) -> (Expr, Expr) {
        let q = a.floor_div(b);
        // `Expr::floor_div` leaves at most one FloorDiv atom by `b` for the rest.
        let mut quotient = Expr::default();
        for t in q.terms() {
            let fresh = t.factors.len() == 1
                && t.coeff == 1
                && matches!(&t.factors[0], Atom::FloorDiv(x, y) if **y == *b && !occurs_in(a, x, y));
            if !fresh {
                quotient = quotient.add(&single(t));
            }
        }
        let mut r = a.sub(&quotient.mul(b));
        if let Some(n) = b.as_const() {
            let c = constant_part(&r);
            if !(0..n).contains(&c) && !r.terms().is_empty() {
                let shift = c.div_euclid(n);
                let moved = (quotient.offset(shift), r.offset(-shift * n));
                // Only where it helps: a negative constant may be what keeps the rest in range.
                if !self.in_range(&r, b) {
                    (quotient, r) = moved;
                }
            }
        }
        (quotient, r)
    }

    /// Ways to write `r == g * x + s` with `g` dividing `b`, `1 < g < b` and `0 <= s < g`.
    fn common_factors(&self, r: &Expr, b: i64) -> Option<(i64, Expr, Expr)> {
        let mut tried: SmallVec<[i64; 4]> = SmallVec::new();
        for t in r.terms().iter().filter(|t| !t.factors.is_empty()) {
            let g = gcd(t.coeff.abs(), b);
            if g <= 1 || g >= b || tried.contains(&g) {
                continue;
            }
            tried.push(g);
            let (mut x, mut s) = (Expr::default(), Expr::default());
            for t in r.terms() {
                if t.coeff % g == 0 {
                    x = x.add(&Expr::from_term(t.factors.clone(), t.coeff / g));
                } else {
                    s = s.add(&single(t));
                }
            }
            if self.in_range(&s, &Expr::constant(g)) {
                return Some((g, x, s));
            }
        }
        None
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn single(t: &Term) -> Expr {
    Expr::from_term(t.factors.clone(), t.coeff)
}

fn constant_part(e: &Expr) -> i64 {
    e.terms().iter().find(|t| t.factors.is_empty()).map_or(0, |t| t.coeff)
}

fn occurs_in(a: &Expr, x: &Expr, y: &Expr) -> bool {
    a.terms()
        .iter()
        .any(|t| t.factors.iter().any(|f| matches!(f, Atom::FloorDiv(p, q) if **p == *x && **q == *y)))
}

fn rank(a: &Atom) -> u32 {
    match a {
        Atom::Var(v) => *v + 1,
        // Values are scalars of unknown content: eliminate them before any variable.
        Atom::Value(_) => u32::MAX,
        Atom::Symbol(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => 0,
    }
}

fn only_symbols(atom: &Atom) -> bool {
    let mut only = true;
    Expr::atom(atom.clone()).for_each_leaf(&mut |leaf| only &= matches!(leaf, Atom::Symbol(_)));
    only
}

fn has_compound(e: &Expr) -> bool {
    e.terms().iter().any(|t| {
        t.factors.iter().any(|f| match f {
            Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) => false,
            Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => true,
        })
    })
}

/// `(c, r)` with `e == c * atom + r`, neither mentioning the atom at top level.
fn coefficient(e: &Expr, atom: &Atom) -> Option<(Expr, Expr)> {
    let (mut coeff, mut rest) = (Expr::default(), Expr::default());
    for t in e.terms() {
        match t.factors.iter().position(|f| f == atom) {
            Some(at) => {
                let mut factors = t.factors.clone();
                factors.remove(at);
                if factors.contains(atom) {
                    return None;
                }
                coeff = coeff.add(&Expr::from_term(factors, t.coeff));
            }
            None => rest = rest.add(&single(t)),
        }
    }
    Some((coeff, rest))
}

/// `e` with `atom` replaced at top level.
fn replace(e: &Expr, atom: &Atom, by: &Expr) -> Expr {
    match coefficient(e, atom) {
        Some((c, r)) => c.mul(by).add(&r),
        None => e.clone(),
    }
}

/// Whether a polynomial in symbols is not negative when each is at least 1: so it is when all
/// coefficients are, after writing every symbol `s` as `1 + s'`.
fn symbols_nonneg(e: &Expr) -> bool {
    let only_symbols = e.terms().iter().all(|t| t.factors.iter().all(|f| matches!(f, Atom::Symbol(_))));
    if !only_symbols {
        return false;
    }
    let shifted = e.substitute(&mut |a| Some(Expr::atom(a.clone()).offset(1)));
    shifted.terms().iter().all(|t| t.coeff >= 0)
}

/// Joins `floor(x / b) * b + x mod b` back to `x`, under a common factor.
fn recombine(mut e: Expr) -> Expr {
    'again: loop {
        for t in e.terms() {
            for (at, f) in t.factors.iter().enumerate() {
                let Atom::Mod(x, b) = f else { continue };
                let mut others = t.factors.clone();
                others.remove(at);
                let scale = Expr::from_term(others, t.coeff);
                // What the quotient looks like after simplification.
                let quotient = match x.terms() {
                    [Term { factors, coeff: 1 }] => match factors.as_slice() {
                        [Atom::FloorDiv(y, c)] => y.floor_div(&c.mul(b)),
                        _ => x.floor_div(b),
                    },
                    _ => x.floor_div(b),
                };
                let partner = quotient.mul(b).mul(&scale);
                let remainder = e.sub(&partner).sub(&single(t));
                // Taking the partner away must remove terms, not add any.
                if remainder.terms().len() + 1 + partner.terms().len() == e.terms().len() {
                    e = remainder.add(&x.mul(&scale));
                    continue 'again;
                }
            }
        }
        return e;
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
