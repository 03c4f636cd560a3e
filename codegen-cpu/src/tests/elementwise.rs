//! Every scalar operation on every element type it takes, in vector loops of every length.

use super::{Builder, Subject, check, check_filled};
use ttk_ir::kernel::{Inst, LoopKind};
use ttk_ir::{Binary, Cmp, DType, Expr, Scalar, Unary};

const LENGTHS: [i64; 14] = [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 101];

/// `out[i] = f(a[i], b[i], c[i])` for a symbolic and, for one length, a constant size.
fn elementwise(
    inputs: [DType; 3],
    output: DType,
    n: impl Into<Expr>,
    f: impl Fn(&mut Builder, [ttk_ir::kernel::Val; 3], &Expr) -> ttk_ir::kernel::Val,
) -> Subject {
    let n: Expr = n.into();
    let mut b = Builder::new();
    let bufs = inputs.map(|d| b.input(d, n.clone()));
    let out = b.output(output, n.clone());
    b.for_loop(LoopKind::Parallel, 0, 1, |b, _| {
        b.for_loop(LoopKind::Vector, 0, n, |b, i| {
            let vals = bufs.map(|x| b.load(x, &i));
            let v = f(b, vals, &i);
            b.store(out, &i, v);
        });
    });
    b.subject(1)
}

fn all_lengths(
    inputs: [DType; 3],
    output: DType,
    seed: u64,
    f: impl Fn(&mut Builder, [ttk_ir::kernel::Val; 3], &Expr) -> ttk_ir::kernel::Val,
) {
    let symbolic = elementwise(inputs, output, Expr::symbol(0), &f);
    for n in [1, 5, 16, 39, 130] {
        check(&symbolic, &[n], seed + n as u64);
    }
    for n in [7i64, 64, 83] {
        check(&elementwise(inputs, output, n, &f), &[1], seed + n as u64);
    }
}

#[test]
fn copies_of_every_type_and_length() {
    for d in DType::ALL {
        let symbolic = elementwise([d; 3], d, Expr::symbol(0), |_, [a, ..], _| a);
        for n in LENGTHS {
            check(&symbolic, &[n], n as u64);
            check(&elementwise([d; 3], d, n, |_, [a, ..], _| a), &[1], n as u64);
        }
    }
}

#[test]
fn unary_operations() {
    use Unary::*;
    for op in [Neg, Not, Abs, Floor, Round, Sqrt] {
        for d in DType::ALL.into_iter().filter(|d| op.domain().contains(*d)) {
            all_lengths([d; 3], d, 1, |b, [a, ..], _| b.inst(d, Inst::Unary(op, a)));
        }
    }
}

#[test]
fn binary_operations() {
    use Binary::*;
    for op in [Add, Sub, Mul, Div, Rem, Max, Min, And, Or, Xor, Shl, Shr] {
        for d in DType::ALL.into_iter().filter(|d| op.domain().contains(*d)) {
            if op == Rem && d.is_float() {
                continue;
            }
            all_lengths([d; 3], d, 2, |b, [x, y, _], _| b.inst(d, Inst::Binary(op, x, y)));
        }
    }
}

#[test]
fn operations_with_a_constant() {
    use Binary::*;
    for op in [Add, Mul, Div, Rem, Max, And, Xor, Shl, Shr] {
        for d in DType::ALL.into_iter().filter(|d| op.domain().contains(*d)) {
            if op == Rem && d.is_float() {
                continue;
            }
            for c in [0i64, 3, 7, 40, -2] {
                all_lengths([d; 3], d, 3, |b, [x, ..], _| {
                    let c = b.constant(Scalar::from_i64(d, c));
                    b.inst(d, Inst::Binary(op, x, c))
                });
            }
        }
    }
}

#[test]
fn comparisons_and_selects() {
    for d in DType::ALL {
        for op in Cmp::ALL {
            all_lengths([d; 3], DType::Bool, 4, |b, [x, y, _], _| b.inst(DType::Bool, Inst::Cmp(op, x, y)));
            all_lengths([d; 3], d, 5, |b, [x, y, z], _| {
                let c = b.inst(DType::Bool, Inst::Cmp(op, x, y));
                b.inst(d, Inst::Select(c, z, x))
            });
        }
    }
}

#[test]
fn selects_across_widths() {
    for (cond, data) in [
        (DType::F32, DType::F64),
        (DType::I64, DType::F32),
        (DType::F64, DType::U8),
        (DType::I8, DType::I64),
        (DType::I64, DType::Bool),
        (DType::F32, DType::Bool),
        (DType::BF16, DType::F16),
    ] {
        all_lengths([cond, data, data], data, 6, |b, [c, x, y], _| {
            let zero = b.constant(Scalar::zero(cond));
            let m = b.inst(DType::Bool, Inst::Cmp(Cmp::Lt, zero, c));
            b.inst(data, Inst::Select(m, x, y))
        });
        all_lengths([DType::Bool, data, cond], data, 7, |b, [m, x, c], _| {
            let zero = b.constant(Scalar::zero(cond));
            let n = b.inst(DType::Bool, Inst::Cmp(Cmp::Ne, c, zero));
            let both = b.inst(DType::Bool, Inst::Binary(Binary::And, m, n));
            let either = b.inst(DType::Bool, Inst::Binary(Binary::Or, both, m));
            let not = b.inst(DType::Bool, Inst::Unary(Unary::Not, either));
            let other = b.constant(Scalar::one(data));
            b.inst(data, Inst::Select(not, x, other))
        });
    }
}

#[test]
fn casts_between_all_types() {
    for from in DType::ALL {
        for to in DType::ALL {
            all_lengths([from; 3], to, 8, |b, [x, ..], _| b.inst(to, Inst::Cast(x)));
        }
    }
}

#[test]
fn bitcasts() {
    for from in DType::ALL {
        for to in DType::ALL.into_iter().filter(|t| t.size() == from.size()) {
            // Boolean memory holds 0 and 1 only.
            if to == DType::Bool || from == DType::Bool {
                continue;
            }
            let kernel =
                elementwise([from; 3], to, Expr::symbol(0), |b, [x, ..], _| b.inst(to, Inst::Bitcast(x)));
            check_filled(&kernel, &[70], 9, |_, _| {});
        }
    }
}

#[test]
fn fused_multiply_add() {
    for d in [DType::F32, DType::F64] {
        all_lengths([d; 3], d, 10, |b, [x, y, z], _| b.inst(d, Inst::Fma(x, y, z)));
    }
}

#[test]
fn positions() {
    for d in [DType::I64, DType::I32, DType::U8] {
        all_lengths([d; 3], d, 11, |b, [x, ..], i| {
            let p = b.inst(d, Inst::Index(i.scale(3).offset(-5)));
            b.inst(d, Inst::Binary(Binary::Add, x, p))
        });
        all_lengths([d; 3], d, 12, |b, _, i| b.inst(d, Inst::Index(i.modulo(&Expr::constant(5)))));
    }
    all_lengths([DType::F32; 3], DType::F32, 13, |b, [x, ..], i| {
        let p = b.inst(DType::I64, Inst::Index(i.clone()));
        let limit = b.constant(Scalar::from_i64(DType::I64, 20));
        let m = b.inst(DType::Bool, Inst::Cmp(Cmp::Lt, p, limit));
        let f = b.inst(DType::F32, Inst::Cast(p));
        b.inst(DType::F32, Inst::Select(m, x, f))
    });
}

#[test]
fn mixed_types_in_one_loop() {
    all_lengths([DType::F32, DType::I64, DType::BF16], DType::F32, 14, |b, [x, n, h], _| {
        let n = b.inst(DType::F32, Inst::Cast(n));
        let h = b.inst(DType::F32, Inst::Cast(h));
        let v = b.inst(DType::F32, Inst::Fma(x, n, h));
        b.inst(DType::F32, Inst::Unary(Unary::Sqrt, v))
    });
    all_lengths([DType::U8, DType::F64, DType::I16], DType::I8, 15, |b, [x, y, z], _| {
        let x = b.inst(DType::F64, Inst::Cast(x));
        let z = b.inst(DType::F64, Inst::Cast(z));
        let v = b.inst(DType::F64, Inst::Fma(x, y, z));
        b.inst(DType::I8, Inst::Cast(v))
    });
}
