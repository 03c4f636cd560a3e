//! Proofs and simplification against brute force: whatever is claimed holds for every value in range.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use ttk_ir::expr::range::{Ranges, lower_bound, prove_in_bounds, prove_nonneg, upper_bound};
use ttk_ir::expr::simplify::simplify;
use ttk_ir::testing::Rng;
use ttk_ir::{Atom, Expr};

const SYMBOLS: usize = 2;
const VARS: usize = 2;

/// An expression like those that index a buffer: sums of strides times loop variables, and divisions.
fn random_expr(rng: &mut Rng, depth: usize) -> Expr {
    let divisor = |rng: &mut Rng| match rng.below(4) {
        0 => Expr::symbol(rng.below(SYMBOLS) as u32),
        1 => Expr::symbol(rng.below(SYMBOLS) as u32).offset(rng.between(0, 2)),
        2 => Expr::symbol(0).mul(&Expr::symbol(1)),
        _ => Expr::constant(*rng.choose(&[1, 2, 3, 4, 6, 8])),
    };
    let small = |rng: &mut Rng| rng.between(-3, 4);
    if depth == 0 {
        return match rng.below(4) {
            0 => Expr::constant(small(rng)),
            1 => Expr::symbol(rng.below(SYMBOLS) as u32),
            _ => Expr::var(rng.below(VARS) as u32),
        };
    }
    let (a, b) = (random_expr(rng, depth - 1), random_expr(rng, depth - 1));
    match rng.below(8) {
        0 => a.floor_div(&divisor(rng)),
        1 => a.modulo(&divisor(rng)),
        2 => a.clamp_index(&divisor(rng)),
        3 => a.mul(&divisor(rng)).add(&b),
        4 => a.scale(small(rng)).add(&b),
        5 => a.sub(&b),
        6 => {
            let by = divisor(rng);
            a.floor_div(&by).mul(&by).add(&a.modulo(&by))
        }
        _ => a.add(&b),
    }
}

/// Loops, the inner one perhaps over the outer's variable.
fn random_loops(rng: &mut Rng) -> Vec<(Expr, Expr)> {
    let end = |rng: &mut Rng, outer: Option<Expr>| match (rng.below(5), outer) {
        (0, _) => Expr::constant(rng.between(1, 8)),
        (1, _) => Expr::symbol(0).mul(&Expr::symbol(1)),
        (2, Some(outer)) => outer.offset(1),
        (3, Some(outer)) => Expr::symbol(0).scale(4).sub(&outer.scale(2)).clamp_index(&Expr::constant(5)),
        _ => Expr::symbol(rng.below(SYMBOLS) as u32).scale(rng.between(1, 3)).offset(rng.between(-1, 1)),
    };
    let first = end(rng, None);
    let second = end(rng, Some(Expr::var(0)));
    let begin = Expr::constant(rng.between(0, 1));
    vec![(begin, first), (Expr::constant(0), second)]
}

/// Calls `f` for small values of the symbols and every value of the loop variables.
fn for_all(loops: &[(Expr, Expr)], mut f: impl FnMut(&dyn Fn(&Atom) -> i64)) {
    for n in 1..5 {
        for m in 1..4 {
            let leaf = |vars: [i64; 2]| {
                move |a: &Atom| match a {
                    Atom::Symbol(0) => n,
                    Atom::Symbol(_) => m,
                    Atom::Var(v) => vars[*v as usize],
                    Atom::Value(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => 0,
                }
            };
            let outer = leaf([0, 0]);
            for i in loops[0].0.eval(&outer)..loops[0].1.eval(&outer) {
                let inner = leaf([i, 0]);
                for j in loops[1].0.eval(&inner)..loops[1].1.eval(&inner) {
                    f(&leaf([i, j]));
                }
            }
        }
    }
}

fn ranges(loops: &[(Expr, Expr)]) -> Ranges {
    let mut ranges = Ranges::new();
    for (var, (begin, end)) in loops.iter().enumerate() {
        ranges.push_var(var as u32, begin, end);
    }
    ranges
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn proofs_hold(seed: u64, depth in 1usize..4) {
        let mut rng = Rng::new(seed);
        let loops = random_loops(&mut rng);
        let r = ranges(&loops);
        let (e, len) = (random_expr(&mut rng, depth), random_expr(&mut rng, 1));
        let (nonneg, inside) = (prove_nonneg(&e, &r), prove_in_bounds(&e, &len, &r));
        let (low, high) = (lower_bound(&e, &r), upper_bound(&e, &r));
        for_all(&loops, |leaf| {
            let v = e.eval(leaf);
            assert!(!nonneg || v >= 0, "{e} is {v}");
            assert!(!inside || (0..len.eval(leaf)).contains(&v), "{e} is {v}, {len} is {}", len.eval(leaf));
            assert!(low.as_ref().is_none_or(|b| b.eval(leaf) <= v), "{e} is {v}, below {low:?}");
            assert!(high.as_ref().is_none_or(|b| b.eval(leaf) >= v), "{e} is {v}, above {high:?}");
        });
    }

    #[test]
    fn simplification_keeps_values(seed: u64, depth in 1usize..5) {
        let mut rng = Rng::new(seed);
        let loops = random_loops(&mut rng);
        let e = random_expr(&mut rng, depth);
        let r = ranges(&loops);
        let simple = simplify(&e, &r);
        for_all(&loops, |leaf| assert_eq!(e.eval(leaf), simple.eval(leaf), "{e} became {simple}"));
    }
}
