//! Random straight-line bodies over random types.

use super::{Builder, Subject, check};
use proptest::prelude::*;
use ttk_ir::kernel::{BufferRef, Inst, LoopKind, Val};
use ttk_ir::testing::Rng;
use ttk_ir::{Atom, Binary, Cmp, DType, Expr, ReduceOp, Scalar, Unary};

fn any_op(b: &mut Builder, rng: &mut Rng, pool: &mut Vec<(Val, DType)>) {
    let &(x, d) = rng.choose(pool.as_slice());
    let same: Vec<Val> = pool.iter().filter(|(_, t)| *t == d).map(|(v, _)| *v).collect();
    let (y, z) = (*rng.choose(&same), *rng.choose(&same));
    let made = match rng.below(8) {
        0 => {
            let ops: Vec<Unary> =
                [Unary::Neg, Unary::Not, Unary::Abs, Unary::Floor, Unary::Round, Unary::Sqrt]
                    .into_iter()
                    .filter(|o| o.domain().contains(d))
                    .collect();
            (b.inst(d, Inst::Unary(*rng.choose(&ops), x)), d)
        }
        1..=3 => {
            use Binary::*;
            let ops: Vec<Binary> = [Add, Sub, Mul, Div, Rem, And, Or, Xor, Shl, Shr]
                .into_iter()
                .filter(|o| o.domain().contains(d) && !(*o == Rem && d.is_float()))
                .collect();
            (b.inst(d, Inst::Binary(*rng.choose(&ops), x, y)), d)
        }
        4 => (b.inst(DType::Bool, Inst::Cmp(*rng.choose(&Cmp::ALL), x, y)), DType::Bool),
        5 => {
            let bools: Vec<Val> = pool.iter().filter(|(_, t)| *t == DType::Bool).map(|(v, _)| *v).collect();
            let c = if bools.is_empty() { b.constant(Scalar::one(DType::Bool)) } else { *rng.choose(&bools) };
            (b.inst(d, Inst::Select(c, y, z)), d)
        }
        6 => {
            let to = *rng.choose(&DType::ALL);
            (b.inst(to, Inst::Cast(x)), to)
        }
        _ if matches!(d, DType::F32 | DType::F64) => (b.inst(d, Inst::Fma(x, y, z)), d),
        _ => (b.constant(Scalar::from_i64(d, rng.between(-3, 9))), d),
    };
    pool.push(made);
}

/// A load, a position or a gather, at any kind of index.
fn any_load(
    b: &mut Builder,
    rng: &mut Rng,
    inputs: &[(BufferRef, DType)],
    (i, n): (&Expr, &Expr),
    pool: &[(Val, DType)],
) -> (Val, DType) {
    let five = Expr::constant(5);
    let index = match rng.below(10) {
        0..=2 => i.clone(),
        3 => i.offset(3),
        4 => i.scale(2).offset(1),
        5 => i.offset(-2).clamp_index(n).offset(4),
        6 => i.scale(-1).add(n),
        7 => i.modulo(&five).add(&i.floor_div(&five)),
        8 => Expr::constant(4),
        _ => {
            let ints: Vec<Val> = pool.iter().filter(|(_, t)| t.is_int()).map(|(v, _)| *v).collect();
            if ints.is_empty() {
                i.scale(3)
            } else {
                let value = *rng.choose(&ints);
                let at = b.inst(DType::I64, Inst::CheckedIndex { value, extent: n.clone() });
                Expr::atom(Atom::Value(at.0)).scale(2)
            }
        }
    };
    if rng.one_in(4) {
        let d = *rng.choose(&[DType::I64, DType::I32, DType::U8]);
        return (b.inst(d, Inst::Index(index)), d);
    }
    let &(x, d) = rng.choose(inputs);
    (b.load(x, &index), d)
}

/// A loop over `n` elements with one to four inputs, a random body, an output and a sum.
fn kernel(seed: u64, size: usize, n: Expr) -> Subject {
    let mut rng = Rng::new(seed);
    let mut b = Builder::new();
    let inputs: Vec<_> = (0..1 + rng.below(4))
        .map(|_| {
            let d = *rng.choose(&DType::ALL);
            (b.input(d, n.scale(3).offset(16)), d)
        })
        .collect();
    let out_type = *rng.choose(&DType::ALL);
    let out = b.output(out_type, n.clone());
    let sum_type = *rng.choose(&[DType::F32, DType::F64, DType::I64, DType::I32]);
    let sum = b.output(sum_type, 1);
    let s = b.acc(sum_type, Scalar::zero(sum_type));
    let op = *rng.choose(&[ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max]);
    let straight = rng.one_in(2);
    b.for_loop(LoopKind::Vector, 0, n.clone(), |b, i| {
        let mut pool: Vec<(Val, DType)> = inputs.iter().map(|(x, d)| (b.load(*x, &i), *d)).collect();
        for _ in 0..size {
            if !straight && rng.one_in(4) {
                let made = any_load(b, &mut rng, &inputs, (&i, &n), &pool);
                pool.push(made);
            } else {
                any_op(b, &mut rng, &mut pool);
            }
        }
        let (last, d) = *pool.last().unwrap();
        let v = if d == out_type { last } else { b.inst(out_type, Inst::Cast(last)) };
        b.store(out, &i, v);
        let (other, d) = *rng.choose(&pool);
        let v = if d == sum_type { other } else { b.inst(sum_type, Inst::Cast(other)) };
        b.accumulate(s, op, v);
    });
    let s = b.inst(sum_type, Inst::Read(s));
    b.store(sum, &Expr::constant(0), s);
    // Rarely one is declined, when Cranelift finds a way across lanes: then its narrow code is tested.
    Subject::new(b.finish(1))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        rng_seed: proptest::test_runner::RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_kernels_agree(seed in any::<u64>(), size in 1usize..25, n in 1i64..100, symbolic in any::<bool>()) {
        let extent = if symbolic { Expr::symbol(0) } else { Expr::constant(n) };
        check(&kernel(seed, size, extent), &[n], seed);
    }
}
