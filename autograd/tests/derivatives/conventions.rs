//! What a derivative is where the function has a kink, a tie or a singularity: PyTorch's choices, as
//! literals, and the shape of the transformed graph.

use crate::common::{Case, gradient, run};
use ttk_autograd::{GradError, VjpOptions, partition::partition, saved_for_backward, vjp, worth_saving};
use ttk_ir::eval::{Tensor, eval};
use ttk_ir::op::{RandomStream, SliceDim};
use ttk_ir::shape::shape;
use ttk_ir::{Binary, Builder, Cmp, DType, Dim, Graph, Op, ReduceOp, ScatterOp, Type, Unary, ValueId};

fn vector(values: &[f64]) -> Tensor {
    Tensor::from_f64(DType::F64, &[values.len() as i64], values)
}

/// The gradients with a cotangent of ones.
fn gradients(case: &Case) -> Vec<Vec<f64>> {
    let floats = case.inputs.iter().take_while(|t| t.dtype == DType::F64).count();
    let derivative = gradient(&case.graph, floats);
    let mut arguments = case.inputs.clone();
    for y in run(&case.graph, &case.inputs) {
        arguments.push(Tensor::from_f64(DType::F64, &y.dims, &vec![1.0; y.len()]));
    }
    run(&derivative, &arguments).iter().map(Tensor::to_f64).collect()
}

/// Asserts the gradients of an operation on vectors; NaN equals NaN.
fn expect(op: Op, inputs: &[&[f64]], want: &[&[f64]]) {
    let case = Case::new(op.name(), inputs.iter().map(|v| vector(v)).collect(), |g, p| g.op(op.clone(), p));
    let got = gradients(&case);
    let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
    for (g, w) in got.iter().zip(want) {
        let equal = g.len() == w.len() && g.iter().zip(*w).all(|(&a, &b)| same(a, b));
        assert!(equal, "{op:?}: {g:?}, expected {w:?}");
    }
    assert_eq!(got.len(), want.len());
}

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

#[test]
fn kinks_and_ties() {
    expect(Op::Unary(Unary::Abs), &[&[-2.0, 0.0, 3.0]], &[&[-1.0, 0.0, 1.0]]);
    expect(Op::Unary(Unary::Relu), &[&[-2.0, 0.0, 3.0, NAN]], &[&[0.0, 0.0, 1.0, 1.0]]);
    expect(Op::Unary(Unary::Floor), &[&[0.5, 1.0]], &[&[0.0, 0.0]]);
    expect(Op::Unary(Unary::Sqrt), &[&[0.0, 4.0]], &[&[INF, 0.25]]);
    expect(Op::Unary(Unary::Log), &[&[0.0, 2.0]], &[&[INF, 0.5]]);
    let (x, y): (&[f64], &[f64]) = (&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]);
    expect(Op::Binary(Binary::Max), &[x, y], &[&[0.5, 0.0, 1.0], &[0.5, 1.0, 0.0]]);
    expect(Op::Binary(Binary::Min), &[x, y], &[&[0.5, 1.0, 0.0], &[0.5, 0.0, 1.0]]);
    expect(
        Op::Binary(Binary::Rem),
        &[&[7.0, -7.0, 7.0], &[3.0, 3.0, -3.0]],
        &[&[1.0, 1.0, 1.0], &[-2.0, 2.0, 2.0]],
    );
    let axes = || [0u8].into_iter().collect();
    let ties: &[f64] = &[1.0, 3.0, 2.0, 3.0];
    expect(Op::Reduce { op: ReduceOp::Max, axes: axes() }, &[ties], &[&[0.0, 0.5, 0.0, 0.5]]);
    expect(Op::Reduce { op: ReduceOp::Min, axes: axes() }, &[&[5.0, 5.0]], &[&[0.5, 0.5]]);
    // Of equal running maxima the latest counts: positions 0, 1, 1, 3.
    let scan = |reverse| Op::Scan { op: ReduceOp::Max, axis: 0, reverse };
    expect(scan(false), &[ties], &[&[1.0, 2.0, 0.0, 1.0]]);
    expect(scan(true), &[ties], &[&[0.0, 2.0, 0.0, 2.0]]);
}

#[test]
fn powers() {
    expect(
        Op::Binary(Binary::Pow),
        &[&[0.0, 0.0, 0.0, 2.0, -2.0, 0.0], &[0.0, 2.0, 1.0, 3.0, 2.0, -1.0]],
        &[&[0.0, 0.0, 1.0, 12.0, -4.0, -INF], &[0.0, 0.0, 0.0, 8.0 * 2f64.ln(), NAN, -INF]],
    );
}

#[test]
fn products_of_zeros() {
    let axes = [0u8].into_iter().collect();
    let op = Op::Reduce { op: ReduceOp::Prod, axes };
    expect(op.clone(), &[&[2.0, 0.0, 3.0]], &[&[0.0, 6.0, 0.0]]);
    expect(op, &[&[2.0, 0.0, 0.0]], &[&[0.0, 0.0, 0.0]]);
    let scan = Op::Scan { op: ReduceOp::Prod, axis: 0, reverse: false };
    expect(scan, &[&[2.0, 0.0, 3.0, 0.0]], &[&[1.0, 8.0, 0.0, 0.0]]);
}

#[test]
fn scattered_ties() {
    let index = Tensor::from_i64(DType::I64, &[3], &[0, 0, 1]);
    let case = |mode| {
        Case::new("scatter", vec![vector(&[2.0, 1.0]), vector(&[2.0, 2.0, 5.0]), index.clone()], |g, p| {
            g.op(Op::Scatter { axis: 0, mode }, &[p[0], p[2], p[1]])
        })
    };
    let third = 1.0 / 3.0;
    assert_eq!(gradients(&case(ScatterOp::Max)), [vec![third, 0.0], vec![third, third, 1.0]]);
    assert_eq!(gradients(&case(ScatterOp::Min)), [vec![third, 1.0], vec![third, third, 0.0]]);
    assert_eq!(gradients(&case(ScatterOp::Set)), [vec![0.0, 0.0], vec![1.0, 1.0, 1.0]]);
}

/// No derivative passes, and none is asked for where there is none to have.
#[test]
fn what_stops_a_derivative() {
    for op in [Op::Detach, Op::Cast(DType::I64), Op::Bitcast(DType::I64)] {
        let case = Case::new(op.name(), vec![vector(&[1.0, 2.0])], |g, p| {
            let y = g.op(op.clone(), p);
            let y = g.cast(&y, DType::F64);
            g.mul(&y, &p[0])
        });
        let stopped = run(&case.graph, &case.inputs)[0].to_f64();
        let got = gradients(&case);
        let want: Vec<f64> = stopped.iter().zip([1.0, 2.0]).map(|(y, x)| y / x).collect();
        assert_eq!(got, [want], "{op:?}");
    }
    let mut g = Graph::new("f");
    let (x, k) = (g.param(Type::fixed(DType::F64, &[2])), g.param(Type::fixed(DType::I64, &[2])));
    let y = g.mul(&x, &x);
    let refused = vjp(&g, &[y], &[k], VjpOptions::default());
    assert_eq!(refused, Err(GradError::NotDifferentiable { value: k, dtype: DType::I64 }));
    let missing = ValueId(9);
    let refused = vjp(&g, &[y], &[missing], VjpOptions::default());
    assert_eq!(refused, Err(GradError::NoSuchValue { value: missing, len: 3 }));
}

/// Inputs, then cotangents; outputs if kept, then gradients; zeros where nothing depends.
#[test]
fn the_transformed_graph() {
    let mut g = Graph::new("f");
    let ty = Type::fixed(DType::F64, &[2]);
    let (x, unused) = (g.param(ty.clone()), g.param(ty));
    let y = g.mul(&x, &x);
    g.outputs = vec![y];
    let d = vjp(&g, &[y], &[x, unused, y], VjpOptions { keep_outputs: true }).unwrap();
    let inputs = [vector(&[3.0, 4.0]), vector(&[0.0, 0.0]), vector(&[1.0, 10.0])];
    let out: Vec<Vec<f64>> = run(&d, &inputs).iter().map(Tensor::to_f64).collect();
    assert_eq!(out, [vec![9.0, 16.0], vec![6.0, 80.0], vec![0.0, 0.0], vec![1.0, 10.0]]);
}

/// Sizes may be symbols.
#[test]
fn symbolic_sizes() {
    let mut g = Graph::new("f");
    g.symbols.push(ttk_ir::graph::Symbol { name: "n".into() });
    let n = Dim::symbol(0);
    let x = g.param(Type::new(DType::F64, [n.clone(), Dim::Fixed(2)].into_iter().collect::<ttk_ir::Shape>()));
    let late = g.narrow(&x, 0, Dim::Fixed(1), n.offset(-1));
    let early = SliceDim { start: n.offset(-2), len: n.offset(-1), step: -1 };
    let early = g.slice(&x, vec![early, SliceDim::all(Dim::Fixed(2))]);
    let product = g.mul(&late, &early);
    g.outputs = vec![product];
    let d = gradient(&g, 1);
    let x = Tensor::from_f64(DType::F64, &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let ones = Tensor::from_f64(DType::F64, &[2, 2], &[1.0; 4]);
    // Rows: x1 * x1 and x2 * x0.
    let got = eval(&d, &[x, ones], &[3]).unwrap()[0].to_f64();
    assert_eq!(got, [5.0, 6.0, 6.0, 8.0, 1.0, 2.0]);
}

/// A chain longer than a thread's stack would carry.
#[test]
fn deep_chains() {
    let mut g = Graph::new("f");
    let x = g.param(Type::fixed(DType::F64, &[1]));
    let mut y = x;
    for _ in 0..200_000 {
        y = g.neg(&y);
    }
    g.outputs = vec![y];
    assert_eq!(gradient(&g, 1).outputs.len(), 1);
}

/// Matrix products are kept, what follows from them is computed again, dropout keeps a byte an element.
#[test]
fn what_is_saved() {
    let mut g = Graph::new("f");
    let x = g.param(Type::fixed(DType::F32, &[8, 4]));
    let w = g.param(Type::fixed(DType::F32, &[4, 8]));
    let state = g.param(Type::fixed(DType::I64, &[2]));
    let z = g.dot(&x, &w, &[], &[(1, 0)]);
    let activated = g.unary(Unary::Tanh, &z);
    let words = g.op(Op::RandomBits { stream: RandomStream::Philox, shape: shape(&[8, 8]) }, &[state]);
    let zero = g.full_like(&words, 0.0);
    let mask = g.cmp(Cmp::Lt, &words, &zero);
    let nothing = g.full_like(&activated, 0.0);
    let dropped = g.select(&mask, &activated, &nothing);
    let out = g.dot(&dropped, &w, &[], &[(1, 1)]);
    g.outputs = vec![out];
    let saved = saved_for_backward(&g, &[out], &[x, w]).unwrap();
    assert_eq!(saved.into_iter().collect::<Vec<_>>(), [z, mask]);
    assert!(worth_saving(&g.node(z).op) && !worth_saving(&g.node(activated).op));

    // A chain of costly functions is cut somewhere.
    let mut y = z;
    for _ in 0..6 {
        y = g.unary(Unary::Tanh, &y);
    }
    let cut = partition(&g, &[y]);
    assert!(cut.len() == 1 && !cut.contains(&z) && !cut.contains(&y), "{cut:?}");
}
