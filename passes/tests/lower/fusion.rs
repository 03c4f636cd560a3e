//! What becomes one kernel.

use super::support::Case;
use ttk_ir::eval::Tensor;
use ttk_ir::program::{Action, Program};
use ttk_ir::shape::shape;
use ttk_ir::{Binary, Builder, Cmp, DType, ReduceOp, Unary, ValueId};

/// The number of kernel launches and of other steps.
fn steps(p: &Program) -> (usize, usize) {
    let launches = p.steps.iter().filter(|s| matches!(s.action, Action::Launch { .. })).count();
    (launches, p.steps.len() - launches)
}

fn wide(c: &mut Case, x: &ValueId, like: &ValueId) -> ValueId {
    let shape = c.g.shape(like);
    c.g.expand(x, shape)
}

fn softmax(c: &mut Case, x: ValueId, axis: usize) -> ValueId {
    let max = c.g.reduce(ReduceOp::Max, &x, &[axis]);
    let max = wide(c, &max, &x);
    let d = c.g.sub(&x, &max);
    let e = c.g.unary(Unary::Exp, &d);
    let sum = c.g.reduce(ReduceOp::Sum, &e, &[axis]);
    let sum = wide(c, &sum, &x);
    c.g.div(&e, &sum)
}

#[test]
fn softmax_is_one_kernel() {
    for (dims, axis) in [(&[40, 70][..], 1), (&[3, 4, 5, 64], 3), (&[6, 50, 33], 1), (&[50, 64], 0)] {
        let mut c = Case::new();
        let x = c.f32(dims);
        let y = softmax(&mut c, x, axis);
        let p = c.check(&[y]);
        assert_eq!(steps(&p), (1, 0), "{dims:?} {axis}");
    }
}

#[test]
fn scaled_masked_softmax_is_one_kernel() {
    let mut c = Case::new();
    let x = c.f32(&[2, 3, 40, 40]);
    let scaled = c.g.scale(&x, 0.125);
    let rows = c.g.iota(DType::I32, shape(&[40, 40]), 0);
    let cols = c.g.iota(DType::I32, shape(&[40, 40]), 1);
    let keep = c.g.cmp(Cmp::Le, &cols, &rows);
    let keep = c.g.broadcast(&keep, &shape(&[2, 3, 40, 40]));
    let low = c.g.full_like(&scaled, f64::NEG_INFINITY);
    let masked = c.g.select(&keep, &scaled, &low);
    let y = softmax(&mut c, masked, 3);
    let p = c.check(&[y]);
    assert_eq!(steps(&p), (1, 0));
}

fn log_softmax(c: &mut Case, x: ValueId) -> ValueId {
    let axis = c.g.rank(&x) - 1;
    let max = c.g.reduce(ReduceOp::Max, &x, &[axis]);
    let max = wide(c, &max, &x);
    let d = c.g.sub(&x, &max);
    let e = c.g.unary(Unary::Exp, &d);
    let sum = c.g.reduce(ReduceOp::Sum, &e, &[axis]);
    let log = c.g.unary(Unary::Log, &sum);
    let log = wide(c, &log, &x);
    c.g.sub(&d, &log)
}

#[test]
fn log_softmax_is_one_kernel() {
    let mut c = Case::new();
    let x = c.f32(&[40, 65]);
    let y = log_softmax(&mut c, x);
    let p = c.check(&[y]);
    assert_eq!(steps(&p), (1, 0));
}

/// Mean and variance over the last axis, normalised, scaled and shifted: (y, mean, rstd).
fn layer_norm(c: &mut Case, x: ValueId, w: ValueId, b: ValueId) -> (ValueId, ValueId, ValueId) {
    let dims = c.g.shape(&x);
    let axis = dims.len() - 1;
    let n = dims[axis].fixed().unwrap() as f64;
    let sum = c.g.reduce(ReduceOp::Sum, &x, &[axis]);
    let mean = c.g.scale(&sum, 1.0 / n);
    let mw = wide(c, &mean, &x);
    let d = c.g.sub(&x, &mw);
    let sq = c.g.mul(&d, &d);
    let var = c.g.reduce(ReduceOp::Sum, &sq, &[axis]);
    let var = c.g.scale(&var, 1.0 / n);
    let var = c.g.shift(&var, 1e-5);
    let std = c.g.unary(Unary::Sqrt, &var);
    let one = c.g.full_like(&std, 1.0);
    let rstd = c.g.div(&one, &std);
    let rw = wide(c, &rstd, &x);
    let h = c.g.mul(&d, &rw);
    let w = c.g.broadcast(&w, &dims);
    let b = c.g.broadcast(&b, &dims);
    let y = c.g.mul(&h, &w);
    (c.g.binary(Binary::Add, &y, &b), mean, rstd)
}

#[test]
fn layer_norm_is_one_kernel() {
    let mut c = Case::new();
    let (x, r, w, b) = (c.f32(&[6, 20, 48]), c.f32(&[6, 20, 48]), c.f32(&[48]), c.f32(&[48]));
    let x = c.g.binary(Binary::Add, &x, &r);
    let (y, mean, rstd) = layer_norm(&mut c, x, w, b);
    let p = c.check(&[y, mean, rstd, x]);
    assert_eq!(steps(&p), (1, 0));
}

#[test]
fn layer_norm_backward_is_a_row_kernel_and_a_column_kernel() {
    let mut c = Case::new();
    let (x, g, w) = (c.f32(&[200, 48]), c.f32(&[200, 48]), c.f32(&[48]));
    let (mean, rstd) = (c.f32(&[200, 1]), c.f32(&[200, 1]));
    let mw = wide(&mut c, &mean, &x);
    let rw = wide(&mut c, &rstd, &x);
    let d = c.g.sub(&x, &mw);
    let h = c.g.mul(&d, &rw);
    let ww = c.g.broadcast(&w, &shape(&[200, 48]));
    let gw = c.g.mul(&g, &ww);
    let s1 = c.g.reduce(ReduceOp::Sum, &gw, &[1]);
    let gh = c.g.mul(&gw, &h);
    let s2 = c.g.reduce(ReduceOp::Sum, &gh, &[1]);
    let s1 = c.g.scale(&s1, 1.0 / 48.0);
    let s2 = c.g.scale(&s2, 1.0 / 48.0);
    let s1 = wide(&mut c, &s1, &x);
    let s2 = wide(&mut c, &s2, &x);
    let t = c.g.mul(&h, &s2);
    let u = c.g.sub(&gw, &s1);
    let u = c.g.sub(&u, &t);
    let dx = c.g.mul(&u, &rw);
    let gx = c.g.mul(&g, &h);
    let dw = c.g.reduce(ReduceOp::Sum, &gx, &[0]);
    let db = c.g.reduce(ReduceOp::Sum, &g, &[0]);
    let p = c.check(&[dx, dw, db]);
    assert_eq!(steps(&p), (2, 0));
}

#[test]
fn batch_norm_is_one_kernel() {
    for dims in [&[8, 20, 6, 7][..], &[64, 100]] {
        let mut c = Case::new();
        let x = c.f32(dims);
        let axes: Vec<usize> = (0..dims.len()).filter(|&a| a != 1).collect();
        let n = dims.iter().product::<i64>() as f64 / dims[1] as f64;
        let sum = c.g.reduce(ReduceOp::Sum, &x, &axes);
        let mean = c.g.scale(&sum, 1.0 / n);
        let mw = wide(&mut c, &mean, &x);
        let d = c.g.sub(&x, &mw);
        let sq = c.g.mul(&d, &d);
        let var = c.g.reduce(ReduceOp::Sum, &sq, &axes);
        let var = c.g.scale(&var, 1.0 / n);
        let eps = c.g.shift(&var, 1e-5);
        let std = c.g.unary(Unary::Sqrt, &eps);
        let sw = wide(&mut c, &std, &x);
        let h = c.g.div(&d, &sw);
        let zero = c.g.full_like(&h, 0.0);
        let y = c.g.binary(Binary::Max, &h, &zero);
        let old = c.f32(&[dims[1]]);
        let m1 = c.g.reshape(&mean, shape(&[dims[1]]));
        let m1 = c.g.scale(&m1, 0.1);
        let o1 = c.g.scale(&old, 0.9);
        let running = c.g.binary(Binary::Add, &m1, &o1);
        let p = c.check(&[y, var, running]);
        assert_eq!(steps(&p), (1, 0), "{dims:?}");
    }
}

#[test]
fn cross_entropy_forward_and_backward_share_a_kernel() {
    let (n, classes) = (60, 65);
    let mut c = Case::new();
    let x = c.f32(&[n, classes]);
    let target: Vec<i64> = (0..n).map(|i| i * 7 % classes).collect();
    let target = c.given(Tensor::from_i64(DType::I64, &[n], &target));
    let logp = log_softmax(&mut c, x);
    let index = c.g.reshape(&target, shape(&[n, 1]));
    let picked = c.g.gather(&logp, &index, 1);
    let nll = c.g.neg(&picked);
    let sum = c.g.reduce(ReduceOp::Sum, &nll, &[0, 1]);
    let loss = c.g.scale(&sum, 1.0 / n as f64);
    let loss = c.g.reshape(&loss, shape(&[]));
    // The gradient: (softmax - onehot) / n.
    let p = c.g.unary(Unary::Exp, &logp);
    let classes = c.g.iota(DType::I64, shape(&[n, classes]), 1);
    let wide_index = wide(&mut c, &index, &classes);
    let hit = c.g.cmp(Cmp::Eq, &classes, &wide_index);
    let hit = c.g.cast(&hit, DType::F32);
    let grad = c.g.sub(&p, &hit);
    let grad = c.g.scale(&grad, 1.0 / n as f64);
    let p = c.check(&[loss, grad]);
    // The rows, and the mean over them.
    assert_eq!(steps(&p), (2, 0));
}

#[test]
fn sums_over_columns_share_a_kernel_with_the_elementwise_work_before() {
    let mut c = Case::new();
    let (g, y) = (c.f32(&[300, 70]), c.f32(&[300, 70]));
    let zero = c.g.full_like(&y, 0.0);
    let on = c.g.cmp(Cmp::Lt, &zero, &y);
    let masked = c.g.select(&on, &g, &zero);
    let bias = c.g.reduce(ReduceOp::Sum, &masked, &[0]);
    let p = c.check(&[masked, bias]);
    assert_eq!(steps(&p), (1, 0));
}

#[test]
fn large_sums_are_cut() {
    let mut c = Case::new();
    let x = c.f32(&[100_000]);
    let sq = c.g.mul(&x, &x);
    let sum = c.g.reduce(ReduceOp::Sum, &sq, &[0]);
    let y = c.f32(&[64, 3, 20, 30]);
    let per_channel = c.g.reduce(ReduceOp::Max, &y, &[0, 2, 3]);
    let all = c.g.reduce(ReduceOp::Min, &y, &[0, 1, 2, 3]);
    let p = c.check(&[sum, per_channel, all]);
    assert_eq!(steps(&p), (6, 0));
}

#[test]
fn pooling_is_one_kernel() {
    let mut c = Case::new();
    let x = c.f32(&[2, 5, 12, 14]);
    let zero = c.g.full_like(&x, 0.0);
    let x = c.g.binary(Binary::Max, &x, &zero);
    let w = |axis| ttk_ir::op::WindowDim { axis, size: 2, stride: 2, dilation: 1 };
    let win = c.g.op(ttk_ir::Op::Window(vec![w(2), w(3)].into()), &[x]);
    let y = c.g.reduce(ReduceOp::Max, &win, &[4, 5]);
    let y = c.g.reshape(&y, shape(&[2, 5, 6, 7]));
    let flat = c.g.reshape(&y, shape(&[2, 210]));
    let p = c.check(&[flat]);
    assert_eq!(steps(&p), (1, 0));
}

#[test]
fn adam_is_one_kernel() {
    let mut c = Case::new();
    let dims = [30, 50];
    let (p, g, m, v) = (c.f32(&dims), c.f32(&dims), c.f32(&dims), c.f32(&dims));
    let lr = c.f32(&[]);
    let m1 = c.g.scale(&m, 0.9);
    let g1 = c.g.scale(&g, 0.1);
    let m1 = c.g.binary(Binary::Add, &m1, &g1);
    let v1 = c.g.scale(&v, 0.99);
    let g2 = c.g.mul(&g, &g);
    let g2 = c.g.scale(&g2, 0.01);
    let v1 = c.g.binary(Binary::Add, &v1, &g2);
    let v1 = c.g.unary(Unary::Abs, &v1);
    let s = c.g.unary(Unary::Sqrt, &v1);
    let s = c.g.shift(&s, 1e-3);
    let q = c.g.div(&m1, &s);
    let lr = c.g.broadcast(&lr, &shape(&dims));
    let q = c.g.mul(&q, &lr);
    let p1 = c.g.sub(&p, &q);
    let p = c.check(&[p1, m1, v1]);
    assert_eq!(steps(&p), (1, 0));
}

#[test]
fn a_group_never_waits_for_itself() {
    // a -> dot -> c, and a -> c: a and c must not become one kernel.
    let mut c = Case::new();
    let (x, w) = (c.f32(&[20, 20]), c.f32(&[20, 20]));
    let a = c.g.unary(Unary::Exp, &x);
    let b = c.g.dot(&a, &w, &[], &[(1, 0)]);
    let y = c.g.mul(&a, &b);
    let z = c.g.unary(Unary::Tanh, &y);
    let p = c.check(&[z]);
    assert_eq!(steps(&p), (2, 1));
}
