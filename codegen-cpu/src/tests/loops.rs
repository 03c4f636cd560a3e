//! Accumulators, nests, conditions, locals, gathers.

use super::{Builder, check, check_filled};
use ttk_ir::kernel::{Access, Inst, LoopKind, Stmt};
use ttk_ir::{Atom, Binary, Cmp, DType, Expr, ReduceOp, Scalar, Unary};

#[test]
fn reductions_of_every_type_and_length() {
    for op in ReduceOp::ALL {
        for d in DType::ALL.into_iter().filter(|d| *d != DType::Bool) {
            let mut b = Builder::new();
            let n = Expr::symbol(0);
            let (x, out) = (b.input(d, n.scale(3)), b.output(d, 3));
            b.for_loop(LoopKind::Parallel, 0, 3, |b, i| {
                let s = b.acc(d, op.identity(d));
                b.for_loop(LoopKind::Vector, 0, n.clone(), |b, j| {
                    let v = b.load(x, &i.mul(&n).add(&j));
                    b.accumulate(s, op, v);
                });
                let t = b.inst(d, Inst::Read(s));
                b.store(out, &i, t);
            });
            let kernel = b.subject(1);
            for n in [1, 2, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100, 200] {
                check(&kernel, &[n], n as u64);
            }
        }
    }
}

#[test]
fn two_accumulators_of_different_types() {
    let mut b = Builder::new();
    let n = Expr::symbol(0);
    let (x, y) = (b.input(DType::F32, n.clone()), b.input(DType::F64, n.clone()));
    let (out, out64) = (b.output(DType::F32, 2), b.output(DType::F64, 1));
    let s = b.acc(DType::F32, Scalar::from_f64(DType::F32, 2.0));
    let m = b.acc(DType::F32, Scalar::from_f64(DType::F32, f64::NEG_INFINITY));
    let p = b.acc(DType::F64, Scalar::one(DType::F64));
    b.for_loop(LoopKind::Vector, 0, n, |b, j| {
        let (v, w) = (b.load(x, &j), b.load(y, &j));
        b.accumulate(s, ReduceOp::Sum, v);
        b.accumulate(m, ReduceOp::Max, v);
        b.accumulate(p, ReduceOp::Min, w);
    });
    let (s, m, p) = (
        b.inst(DType::F32, Inst::Read(s)),
        b.inst(DType::F32, Inst::Read(m)),
        b.inst(DType::F64, Inst::Read(p)),
    );
    b.store(out, &Expr::constant(0), s);
    b.store(out, &Expr::constant(1), m);
    b.store(out64, &Expr::constant(0), p);
    let kernel = b.subject(1);
    for n in [1, 7, 8, 9, 31, 32, 63, 64, 97] {
        check(&kernel, &[n], n as u64);
    }
}

/// The shape of softmax: three passes over a row, a local in between.
#[test]
fn rows_with_a_local() {
    for d in [DType::F32, DType::F64, DType::BF16] {
        for n in [Expr::symbol(0), Expr::constant(64), Expr::constant(37), Expr::constant(10)] {
            let rows = Expr::constant(4);
            let mut b = Builder::new();
            let (x, out) = (b.input(d, rows.mul(&n)), b.output(d, rows.mul(&n)));
            let (skip, local) = (b.local(DType::I16, 5), b.local(DType::F32, n.clone()));
            b.for_loop(LoopKind::Parallel, 0, rows, |b, i| {
                let m = b.acc(d, ReduceOp::Max.identity(d));
                b.for_loop(LoopKind::Vector, 0, n.clone(), |b, j| {
                    let v = b.load(x, &i.mul(&n).add(&j));
                    b.accumulate(m, ReduceOp::Max, v);
                });
                let m = b.inst(d, Inst::Read(m));
                let s = b.acc(DType::F32, Scalar::zero(DType::F32));
                b.for_loop(LoopKind::Vector, 0, n.clone(), |b, j| {
                    let v = b.load(x, &i.mul(&n).add(&j));
                    let v = b.inst(d, Inst::Binary(Binary::Sub, v, m));
                    let v = b.inst(DType::F32, Inst::Cast(v));
                    let v = b.inst(DType::F32, Inst::Fma(v, v, v));
                    b.store(local, &j, v);
                    b.accumulate(s, ReduceOp::Sum, v);
                });
                let s = b.inst(DType::F32, Inst::Read(s));
                let zero = b.constant(Scalar::zero(DType::I16));
                b.store(skip, &Expr::constant(4), zero);
                b.for_loop(LoopKind::Vector, 0, n.clone(), |b, j| {
                    let v = b.load(local, &j);
                    let v = b.inst(DType::F32, Inst::Binary(Binary::Div, v, s));
                    let v = b.inst(d, Inst::Cast(v));
                    b.store(out, &i.mul(&n).add(&j), v);
                });
            });
            let kernel = b.subject(1);
            for n in [1, 10, 33, 64] {
                check(&kernel, &[n], n as u64);
            }
        }
    }
}

#[test]
fn serial_nests_and_unrolled_loops() {
    let (h, w) = (Expr::symbol(0), Expr::symbol(1));
    let mut b = Builder::new();
    let x = b.input(DType::F32, h.mul(&w));
    let k = b.input(DType::F32, 9);
    let out = b.output(DType::F32, h.mul(&w));
    b.for_loop(LoopKind::Parallel, 0, h.clone(), |b, i| {
        b.for_loop(LoopKind::Serial, 0, w.clone(), |b, j| {
            let s = b.acc(DType::F32, Scalar::zero(DType::F32));
            for (kind, trips) in [(LoopKind::Unroll, 3), (LoopKind::Serial, 3)] {
                b.for_loop(kind, 0, trips, |b, p| {
                    b.for_loop(LoopKind::Unroll, 0, 3, |b, q| {
                        let row = i.add(&p).offset(-1).clamp_index(&h);
                        let col = j.add(&q).offset(-1).clamp_index(&w);
                        let v = b.load(x, &row.mul(&w).add(&col));
                        let f = b.load(k, &p.scale(3).add(&q));
                        let v = b.inst(DType::F32, Inst::Binary(Binary::Mul, v, f));
                        b.accumulate(s, ReduceOp::Sum, v);
                    });
                });
            }
            let s = b.inst(DType::F32, Inst::Read(s));
            b.store(out, &i.mul(&w).add(&j), s);
        });
    });
    let kernel = b.subject(2);
    for (h, w) in [(1, 1), (3, 5), (8, 17)] {
        check(&kernel, &[h, w], 5);
    }
}

#[test]
fn divisions_in_indices() {
    let n = Expr::symbol(0);
    for by in [Expr::constant(3), Expr::constant(8), Expr::symbol(1)] {
        let mut b = Builder::new();
        let x = b.input(DType::F32, n.offset(8).scale(2));
        let out = b.output(DType::F32, n.clone());
        b.for_loop(LoopKind::Parallel, 0, n.clone(), |b, i| {
            let negative = i.offset(-4).floor_div(&by).offset(4).clamp_index(&n);
            let v = b.load(x, &i.floor_div(&by).add(&i.modulo(&by)));
            let w = b.load(x, &negative.add(&i.offset(-3).modulo(&by)).clamp_index(&n));
            let v = b.inst(DType::F32, Inst::Binary(Binary::Sub, v, w));
            b.store(out, &i, v);
        });
        let kernel = b.subject(2);
        for n in [1, 9, 40] {
            check(&kernel, &[n, 5], 3);
        }
    }
}

#[test]
fn strided_and_divided_indices_in_vector_loops() {
    let n = Expr::symbol(0);
    for heavy in [false, true] {
        let mut b = Builder::new();
        let x = b.input(DType::F32, n.scale(3).offset(9));
        let out = b.output(DType::F32, n.scale(2));
        b.for_loop(LoopKind::Vector, 0, n.clone(), |b, i| {
            let mut v = b.load(x, &i.scale(3).offset(2));
            let w = b.load(x, &i.floor_div(&Expr::constant(3)));
            if heavy {
                for _ in 0..40 {
                    v = b.inst(DType::F32, Inst::Fma(v, w, w));
                    v = b.inst(DType::F32, Inst::Binary(Binary::Min, v, w));
                }
            }
            b.store(out, &i.scale(2), v);
            b.store(out, &i.scale(2).offset(1), w);
        });
        let kernel = b.subject(1);
        for n in [1, 4, 16, 31, 70] {
            check(&kernel, &[n], 3);
        }
    }
}

#[test]
fn gathers_and_bad_indices() {
    for heavy in [false, true] {
        for index in [DType::I64, DType::I32, DType::U8] {
            let n = Expr::symbol(0);
            let mut b = Builder::new();
            let (table, ids) = (b.input(DType::F32, 50), b.input(index, n.clone()));
            let out = b.output(DType::F32, n.clone());
            b.for_loop(LoopKind::Vector, 0, n.clone(), |b, i| {
                let id = b.load(ids, &i);
                let at = b.inst(DType::I64, Inst::CheckedIndex { value: id, extent: Expr::constant(25) });
                let mut v = b.load(table, &Expr::atom(Atom::Value(at.0)).scale(2).offset(1));
                if heavy {
                    for _ in 0..60 {
                        v = b.inst(DType::F32, Inst::Unary(Unary::Sqrt, v));
                    }
                }
                b.store(out, &i, v);
            });
            let kernel = b.subject(1);
            for n in [1, 5, 16, 33, 70] {
                // Random indices are bad somewhere.
                check(&kernel, &[n], 3);
                check_filled(&kernel, &[n], 4, |block, bytes| {
                    if block == 1 {
                        for (k, id) in bytes.chunks_mut(index.size()).enumerate() {
                            id.fill(0);
                            id[0] = (k * 7 % 25) as u8;
                        }
                    }
                });
            }
        }
    }
}

/// Rows picked by index: the lookup of an embedding, and its gradient.
#[test]
fn embedding_and_its_gradient() {
    let (rows, wide) = (7i64, Expr::symbol(0));
    let mut b = Builder::new();
    let (table, ids) = (b.input(DType::F32, wide.scale(rows)), b.input(DType::I64, 12));
    let (out, grad) = (b.output(DType::F32, wide.scale(12)), b.output(DType::F32, wide.scale(rows)));
    b.for_loop(LoopKind::Parallel, 0, 1, |b, _| {
        b.for_loop(LoopKind::Serial, 0, 12, |b, i| {
            let id = b.load(ids, &i);
            let at = b.inst(DType::I64, Inst::CheckedIndex { value: id, extent: Expr::constant(rows) });
            let row = Expr::atom(Atom::Value(at.0)).mul(&wide);
            b.for_loop(LoopKind::Vector, 0, wide.clone(), |b, j| {
                let v = b.load(table, &row.add(&j));
                b.store(out, &i.mul(&wide).add(&j), v);
            });
            b.for_loop(LoopKind::Serial, 0, wide.clone(), |b, j| {
                let v = b.load(table, &j);
                b.push(Stmt::Update { buffer: grad, index: row.add(&j), op: Binary::Add, value: v });
            });
        });
    });
    let kernel = b.subject(1);
    for n in [1, 16, 19, 40] {
        check(&kernel, &[n], 3);
    }
}

#[test]
fn conditions() {
    let n = Expr::symbol(0);
    let mut b = Builder::new();
    let (x, out) = (b.input(DType::F32, n.clone()), b.output(DType::F32, n.clone()));
    let count = b.output(DType::I64, 1);
    let zero = b.constant(Scalar::zero(DType::F32));
    let c = b.acc(DType::I64, Scalar::zero(DType::I64));
    b.for_loop(LoopKind::Serial, 0, n.clone(), |b, i| {
        let v = b.load(x, &i);
        let m = b.inst(DType::Bool, Inst::Cmp(Cmp::Lt, zero, v));
        b.when(m, |b| {
            let one = b.constant(Scalar::one(DType::I64));
            b.accumulate(c, ReduceOp::Sum, one);
            // In range only because the condition says so, in spirit.
            let w = b.load(x, &n.offset(-1));
            let v = b.inst(DType::F32, Inst::Binary(Binary::Mul, v, w));
            b.store(out, &i, v);
        });
    });
    let c = b.inst(DType::I64, Inst::Read(c));
    b.store(count, &Expr::constant(0), c);
    let kernel = b.subject(1);
    for n in [1, 30] {
        check(&kernel, &[n], 3);
    }
}

/// In place: the read parameter and the written one are the same memory.
#[test]
fn written_buffers_are_read_first() {
    let n = Expr::symbol(0);
    let mut b = Builder::new();
    let x = b.param(DType::F32, n.clone(), Access::Write);
    let y = b.input(DType::F32, n.clone());
    b.for_loop(LoopKind::Vector, 0, n.clone(), |b, i| {
        let (v, w) = (b.load(x, &i), b.load(y, &i));
        let s = b.inst(DType::F32, Inst::Binary(Binary::Add, v, w));
        b.store(x, &i, s);
        let again = b.load(x, &i);
        let s = b.inst(DType::F32, Inst::Binary(Binary::Mul, again, v));
        b.store(x, &i, s);
    });
    let kernel = b.subject(1);
    for n in [1, 16, 50, 64, 130] {
        check(&kernel, &[n], 3);
    }
}

#[test]
fn empty_loops() {
    let mut b = Builder::new();
    let (x, out) = (b.input(DType::F32, 4), b.output(DType::F32, 4));
    let s = b.acc(DType::F32, Scalar::one(DType::F32));
    for kind in [LoopKind::Serial, LoopKind::Vector, LoopKind::Unroll] {
        b.for_loop(kind, 0, Expr::symbol(0).offset(-1), |b, i| {
            let v = b.load(x, &i);
            b.accumulate(s, ReduceOp::Sum, v);
        });
        b.for_loop(kind, 3, 3, |b, i| {
            let v = b.load(x, &i);
            b.accumulate(s, ReduceOp::Sum, v);
        });
    }
    let s = b.inst(DType::F32, Inst::Read(s));
    b.store(out, &Expr::constant(2), s);
    check(&b.subject(1), &[1], 1);
}

#[test]
fn an_accumulator_inside_the_iteration() {
    let n = Expr::symbol(0);
    let mut b = Builder::new();
    let (x, out) = (b.input(DType::F32, n.clone()), b.output(DType::F32, n.clone()));
    b.for_loop(LoopKind::Vector, 0, n.clone(), |b, i| {
        let s = b.acc(DType::F32, Scalar::one(DType::F32));
        let v = b.load(x, &i);
        b.accumulate(s, ReduceOp::Sum, v);
        b.accumulate(s, ReduceOp::Prod, v);
        let v = b.inst(DType::F32, Inst::Read(s));
        b.store(out, &i, v);
    });
    let kernel = b.subject(1);
    for n in [1, 16, 50] {
        check(&kernel, &[n], 3);
    }
}

/// A row with padding on both sides, as lowering writes it: a clamped load, and a choice by position.
#[test]
fn clamped_loads_and_compared_positions() {
    for d in DType::ALL {
        for shift in [-3i64, -1, 0, 2, 20] {
            let (n, m) = (Expr::symbol(0), Expr::symbol(1));
            let mut b = Builder::new();
            let (x, out) = (b.input(d, n.scale(2)), b.output(d, m.scale(2)));
            let raw = b.output(d, m.scale(2));
            b.for_loop(LoopKind::Parallel, 0, 2, |b, i| {
                b.for_loop(LoopKind::Vector, 0, m.clone(), |b, j| {
                    let at = j.offset(shift);
                    let v = b.load(x, &i.mul(&n).add(&at.clamp_index(&n)));
                    let zero = b.constant(Scalar::zero(DType::I64));
                    let p = b.inst(DType::I64, Inst::Index(at.clone()));
                    let low = b.inst(DType::Bool, Inst::Cmp(Cmp::Le, zero, p));
                    let q = b.inst(DType::I64, Inst::Index(n.sub(&at).offset(-1)));
                    let high = b.inst(DType::Bool, Inst::Cmp(Cmp::Le, zero, q));
                    let both = b.inst(DType::Bool, Inst::Binary(Binary::And, low, high));
                    let pad = b.constant(Scalar::one(d));
                    let w = b.inst(d, Inst::Select(both, v, pad));
                    b.store(out, &i.mul(&m).add(&j), w);
                    b.store(raw, &i.mul(&m).add(&j), v);
                });
            });
            let kernel = b.subject(2);
            for (n, m) in [(1, 1), (5, 9), (16, 16), (28, 30), (40, 33), (100, 70), (3, 60)] {
                check(&kernel, &[n, m], n as u64);
            }
        }
    }
}

#[test]
fn a_causal_mask() {
    for scale in [1i64, 3] {
        let n = Expr::symbol(0);
        let mut b = Builder::new();
        let (x, out) = (b.input(DType::F32, n.mul(&n)), b.output(DType::F32, n.mul(&n)));
        b.for_loop(LoopKind::Parallel, 0, n.clone(), |b, i| {
            b.for_loop(LoopKind::Vector, 0, n.clone(), |b, j| {
                let v = b.load(x, &i.mul(&n).add(&j));
                let p = b.inst(DType::I64, Inst::Index(i.clone()));
                let q = b.inst(DType::I64, Inst::Index(j.scale(scale)));
                let r = b.inst(DType::I64, Inst::Index(j.scale(-2).add(&n)));
                let huge = b.constant(Scalar::from_i64(DType::I64, i64::MIN));
                let m = b.inst(DType::Bool, Inst::Cmp(Cmp::Le, q, p));
                let o = b.inst(DType::Bool, Inst::Cmp(Cmp::Lt, r, q));
                let h = b.inst(DType::Bool, Inst::Cmp(Cmp::Lt, q, huge));
                let m = b.inst(DType::Bool, Inst::Binary(Binary::Or, m, h));
                let m = b.inst(DType::Bool, Inst::Binary(Binary::Xor, m, o));
                let low = b.constant(Scalar::from_f64(DType::F32, f64::NEG_INFINITY));
                let v = b.inst(DType::F32, Inst::Select(m, v, low));
                b.store(out, &i.mul(&n).add(&j), v);
            });
        });
        let kernel = b.subject(1);
        for n in [1, 7, 20, 33] {
            check(&kernel, &[n], n as u64);
        }
    }
}

/// Rows of a few elements with the rows as lanes: strided loads, a gather, and stores between them.
#[test]
fn serial_and_vector_statements_take_turns() {
    let n = Expr::symbol(0);
    let mut b = Builder::new();
    let (x, ids) = (b.input(DType::F32, n.scale(5)), b.input(DType::I64, n.clone()));
    let (y, out) = (b.param(DType::F32, n.scale(2), Access::Write), b.output(DType::F32, n.clone()));
    let s = b.acc(DType::F32, Scalar::zero(DType::F32));
    let total = b.output(DType::F32, 1);
    b.for_loop(LoopKind::Vector, 0, n.clone(), |b, i| {
        let id = b.load(ids, &i);
        let at = b.inst(DType::I64, Inst::CheckedIndex { value: id, extent: Expr::constant(5) });
        let picked = b.load(x, &i.scale(5).add(&Expr::atom(Atom::Value(at.0))));
        let mut m = b.load(x, &i.scale(5));
        for k in 1..5 {
            let v = b.load(x, &i.scale(5).offset(k));
            let v = b.inst(DType::F32, Inst::Binary(Binary::Mul, v, v));
            for _ in 0..8 {
                m = b.inst(DType::F32, Inst::Fma(m, v, picked));
                m = b.inst(DType::F32, Inst::Unary(Unary::Sqrt, m));
            }
        }
        // Written, read again and written: in this order.
        b.store(y, &i.scale(2), m);
        let back = b.load(y, &i.scale(2));
        let sum = b.inst(DType::F32, Inst::Binary(Binary::Add, back, picked));
        b.store(y, &i.scale(2), sum);
        let back = b.load(y, &i.scale(2));
        b.store(y, &i.scale(2).offset(1), back);
        let v = b.inst(DType::F32, Inst::Binary(Binary::Sub, back, m));
        b.store(out, &i, v);
        b.accumulate(s, ReduceOp::Sum, v);
    });
    let v = b.inst(DType::F32, Inst::Read(s));
    b.store(total, &Expr::constant(0), v);
    let kernel = b.subject(1);
    for n in [1, 3, 16, 33, 64] {
        check_filled(&kernel, &[n], 4, |block, bytes| {
            if block == 1 {
                for (k, id) in bytes.chunks_mut(8).enumerate() {
                    id.copy_from_slice(&(k as i64 * 3 % 5).to_le_bytes());
                }
            }
        });
    }
}
