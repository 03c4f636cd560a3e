//! Index expressions as C.

use ttk_ir::expr::range::{Ranges, prove_nonneg};
use ttk_ir::{Atom, Expr};

/// A loop variable and this: the first of several iterations that a thread takes at once.
pub(crate) const BASE: u32 = 1 << 24;

/// The width of a kernel's index arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Width {
    /// Everything is known to fit.
    Bits32,
    Bits64,
}

impl Width {
    pub(crate) fn c_type(self) -> &'static str {
        match self {
            Width::Bits32 => "int",
            Width::Bits64 => "long long",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Width::Bits32 => "i32",
            Width::Bits64 => "i64",
        }
    }
}

/// The expression as C, fit to stand in a sum. Symbols are `s0`, loop variables `i0`, values `v0`.
pub(crate) fn sum(e: &Expr, width: Width, ranges: &Ranges) -> String {
    if e.is_zero() {
        return "0".to_string();
    }
    let mut out = String::new();
    // The number, which the canonical order puts first, reads better last.
    let (numbers, products): (Vec<_>, Vec<_>) = e.terms().iter().partition(|t| t.factors.is_empty());
    for (i, term) in products.into_iter().chain(numbers).enumerate() {
        out += match (i, term.coeff < 0) {
            (0, false) => "",
            (0, true) => "-",
            (_, false) => " + ",
            (_, true) => " - ",
        };
        let magnitude = term.coeff.unsigned_abs();
        if magnitude != 1 || term.factors.is_empty() {
            out += &number(magnitude);
        }
        for (j, atom) in term.factors.iter().enumerate() {
            if j > 0 || magnitude != 1 {
                out += " * ";
            }
            out += &factor(atom, width, ranges);
        }
    }
    out
}

fn number(magnitude: u64) -> String {
    match magnitude {
        0..=0x7fff_ffff => magnitude.to_string(),
        0x8000_0000..=0x7fff_ffff_ffff_ffff => format!("{magnitude}ll"),
        // Only as the smallest number of 64 bits, whose sign stands before it.
        _ => "9223372036854775807ll - 1".to_string(),
    }
}

/// The expression as C, fit to stand in a product.
pub(crate) fn operand(e: &Expr, width: Width, ranges: &Ranges) -> String {
    let text = sum(e, width, ranges);
    let plain = match e.terms() {
        [] => true,
        [t] => t.coeff == 1 && t.factors.len() == 1 || t.factors.is_empty() && t.coeff >= 0,
        _ => false,
    };
    if plain { text } else { format!("({text})") }
}

fn factor(atom: &Atom, width: Width, ranges: &Ranges) -> String {
    let helper = |name: &str, a: &Expr, b: &Expr| {
        format!("tt_{name}_{}({}, {})", width.suffix(), sum(a, width, ranges), sum(b, width, ranges))
    };
    match atom {
        Atom::Symbol(id) => format!("s{id}"),
        Atom::Var(id) if *id >= BASE => format!("j{}", id - BASE),
        Atom::Var(id) => format!("i{id}"),
        Atom::Value(id) if width == Width::Bits32 => format!("(int)v{id}"),
        Atom::Value(id) => format!("v{id}"),
        Atom::FloorDiv(a, b) if prove_nonneg(a, ranges) => {
            format!("({} / {})", operand(a, width, ranges), operand(b, width, ranges))
        }
        Atom::FloorDiv(a, b) => helper("floordiv", a, b),
        Atom::Mod(a, b) if prove_nonneg(a, ranges) => {
            format!("({} % {})", operand(a, width, ranges), operand(b, width, ranges))
        }
        Atom::Mod(a, b) => helper("mod", a, b),
        Atom::Clamp(a, b) => helper("clamp", a, b),
    }
}

/// How far beyond a loop's end a position may be computed before it is compared with it.
const MARGIN: i64 = 1 << 20;

/// Whether an expression and all its parts are known to fit 32 bits.
pub(crate) fn fits(e: &Expr, ranges: &Ranges) -> bool {
    const LIMIT: i64 = i32::MAX as i64 - MARGIN;
    let small = |e: &Expr| ranges.interval(e).is_some_and(|(low, high)| low >= -LIMIT && high <= LIMIT);
    let mut so_far = Expr::default();
    e.terms().iter().all(|term| {
        so_far = so_far.add(&Expr::from(term.clone()));
        // A product of fewer factors may be larger where another is 0.
        let mut prefix = Expr::constant(term.coeff);
        let products = term.factors.iter().all(|atom| {
            prefix = prefix.mul(&Expr::atom(atom.clone()));
            let parts = match atom {
                Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) => true,
                Atom::FloorDiv(a, b) | Atom::Mod(a, b) | Atom::Clamp(a, b) => {
                    fits(a, ranges) && fits(b, ranges)
                }
            };
            parts && small(&prefix)
        });
        products && small(&so_far)
    })
}

/// Whether an expression is a multiple of `by` for all values of its atoms.
pub(crate) fn divisible(e: &Expr, by: i64) -> bool {
    e.terms().iter().all(|t| {
        if t.coeff % by == 0 {
            return true;
        }
        let gcd = gcd(t.coeff, by);
        // What the number does not give, one of the factors must.
        t.factors.iter().any(|atom| match atom {
            Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) | Atom::FloorDiv(..) => false,
            Atom::Mod(a, b) => divisible(a, by / gcd) && divisible(b, by / gcd),
            // 0, a, or b - 1.
            Atom::Clamp(a, b) => divisible(a, by / gcd) && divisible(&b.offset(-1), by / gcd),
        })
    })
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_kept_apart() {
        let e = Expr::var(0).offset(-3).scale(4).add(&Expr::symbol(0).mul(&Expr::var(1)));
        assert_eq!(sum(&e, Width::Bits64, &Ranges::new()), "s0 * i1 + 4 * i0 - 12");
        let q = Expr::var(0).scale(-1).floor_div(&Expr::constant(7));
        assert_eq!(sum(&q, Width::Bits32, &Ranges::new()), "tt_floordiv_i32(-i0, 7)");
    }

    #[test]
    fn multiples() {
        let block = Expr::var(0).scale(4096);
        assert!(divisible(&block.offset(8), 8));
        assert!(!divisible(&block.offset(2), 4));
        let end = block.offset(4096).clamp_index(&Expr::symbol(0).scale(8).offset(1));
        assert!(divisible(&end, 8) && !divisible(&end, 16));
    }

    #[test]
    fn width_is_that_of_all_parts() {
        let mut ranges = Ranges::new();
        ranges.push_var(0, &Expr::constant(0), &Expr::constant(1 << 20));
        assert!(fits(&Expr::var(0).scale(1 << 10), &ranges));
        assert!(!fits(&Expr::var(0).scale(1 << 12), &ranges));
        assert!(!fits(&Expr::symbol(0), &ranges));
    }
}
