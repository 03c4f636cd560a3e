//! Loop bounds: not from zero, constant and symbolic, in slices of the parallel loop.

use super::{Builder, check};
use ttk_ir::kernel::{Inst, LoopKind};
use ttk_ir::{Binary, DType, Expr, ReduceOp, Scalar};

#[test]
fn loops_that_begin_anywhere() {
    for d in [DType::F32, DType::F64, DType::U8] {
        for (begin, end) in
            [(1i64, 1i64), (1, 2), (1, 3), (1, 4), (2, 6), (1, 11), (3, 19), (5, 37), (1, 66), (2, 130)]
        {
            let mut b = Builder::new();
            let (x, out, sum) = (b.input(d, 140), b.output(d, 140), b.output(d, 1));
            let s = b.acc(d, Scalar::zero(d));
            b.for_loop(LoopKind::Vector, begin, end, |b, i| {
                let v = b.load(x, &i.offset(3));
                let v = b.inst(d, Inst::Binary(Binary::Mul, v, v));
                b.store(out, &i, v);
                b.accumulate(s, ReduceOp::Sum, v);
            });
            let s = b.inst(d, Inst::Read(s));
            b.store(sum, &Expr::constant(0), s);
            check(&b.subject(0), &[], 1);
        }
    }
}

#[test]
fn parallel_slices_of_rows() {
    let (rows, n) = (Expr::symbol(0), Expr::symbol(1));
    let mut b = Builder::new();
    let (x, bias) = (b.input(DType::F32, rows.mul(&n)), b.input(DType::F32, n.clone()));
    let scale = b.input(DType::F32, rows.clone());
    let out = b.output(DType::F32, rows.mul(&n));
    b.for_loop(LoopKind::Parallel, 0, rows, |b, i| {
        b.for_loop(LoopKind::Vector, 0, n.clone(), |b, j| {
            let at = i.mul(&n).add(&j);
            let (v, c, s) = (b.load(x, &at), b.load(bias, &j), b.load(scale, &i));
            let v = b.inst(DType::F32, Inst::Fma(v, s, c));
            b.store(out, &at, v);
        });
    });
    let kernel = b.subject(2);
    for (rows, n) in [(1, 1), (2, 16), (5, 23), (3, 64), (7, 100)] {
        check(&kernel, &[rows, n], 2);
    }
}
