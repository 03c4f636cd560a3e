//! The graph interpreter against results worked out by hand, or by NumPy and PyTorch where noted.

#![allow(clippy::cloned_ref_to_slice_refs)] // Tables read better when every row has one shape.

use std::f64::consts::{FRAC_PI_4, LN_2, PI};
use ttk_ir::eval::{EvalError, Tensor, eval};
use ttk_ir::op::{PadDim, RandomStream, SliceDim, WindowDim};
use ttk_ir::shape::shape;
use ttk_ir::{Binary, Cmp, DType, Dim, Graph, Op, ReduceOp, Scalar, ScatterOp, Unary};

use DType::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8};

fn run(op: Op, inputs: &[Tensor]) -> Result<Tensor, EvalError> {
    let mut g = Graph::new("test");
    let params: Vec<_> = inputs.iter().map(|t| g.param(t.ty())).collect();
    let out = g.add(op, &params).expect("the operands fit");
    g.outputs.push(out);
    let result = eval(&g, inputs, &[])?.remove(0);
    assert_eq!(&result.ty(), g.ty(out), "the interpreter and the type rule agree");
    Ok(result)
}

#[track_caller]
fn check(op: Op, inputs: &[Tensor], want: Tensor) {
    let got = run(op.clone(), inputs).expect("evaluates");
    if let Err(error) = got.same(&want) {
        panic!("{op:?}: {error}\n got {got:?}\nwant {want:?}");
    }
}

fn f(dims: &[i64], values: &[f64]) -> Tensor {
    Tensor::from_f64(F32, dims, values)
}

fn i(dtype: DType, dims: &[i64], values: &[i64]) -> Tensor {
    Tensor::from_i64(dtype, dims, values)
}

fn b(dims: &[i64], values: &[i64]) -> Tensor {
    Tensor::from_i64(Bool, dims, values)
}

fn range(dims: &[i64]) -> Tensor {
    let n = dims.iter().product::<i64>();
    Tensor::from_i64(F32, dims, &(0..n).collect::<Vec<_>>())
}

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

#[test]
fn leaves() {
    check(Op::Const { value: Scalar::from_f64(F16, 0.1), shape: shape(&[2]) }, &[], {
        Tensor::from_f64(F16, &[2], &[0.0999755859375; 2])
    });
    check(Op::Iota { axis: 1, dtype: I16, shape: shape(&[2, 3]) }, &[], i(I16, &[2, 3], &[0, 1, 2, 0, 1, 2]));
    check(Op::Iota { axis: 0, dtype: BF16, shape: shape(&[2, 2]) }, &[], {
        Tensor::from_f64(BF16, &[2, 2], &[0.0, 0.0, 1.0, 1.0])
    });
    // numpy.random.RandomState(42), words 1..5.
    let state = i(I64, &[2], &[42, 1]);
    let words = [3421126067u32, 4083286876, 787846414, 3143890026];
    check(
        Op::RandomBits { stream: RandomStream::Mt19937, shape: shape(&[2, 2]) },
        &[state],
        i(I32, &[2, 2], &words.map(|w| w as i32 as i64)),
    );
}

#[test]
fn unary() {
    let check = |u: Unary, x: &[f64], want: &[f64]| {
        check(Op::Unary(u), &[f(&[x.len() as i64], x)], f(&[want.len() as i64], want));
    };
    check(Unary::Neg, &[0.0, 1.5, -INF], &[-0.0, -1.5, INF]);
    check(Unary::Abs, &[-0.0, -2.0, NAN], &[0.0, 2.0, NAN]);
    check(Unary::Relu, &[-INF, -0.0, 2.0, NAN], &[0.0, 0.0, 2.0, NAN]);
    check(Unary::Floor, &[-0.5, 2.0, 2.9], &[-1.0, 2.0, 2.0]);
    check(Unary::Round, &[0.5, 1.5, 2.5, -0.5], &[0.0, 2.0, 2.0, -0.0]);
    check(Unary::Sqrt, &[4.0, 2.0, -1.0], &[2.0, 1.41421354, NAN]);
    // Correctly rounded values, from the decimal expansions.
    check(Unary::Exp, &[1.0, -INF, 100.0], &[2.7182817, 0.0, INF]);
    check(Unary::Expm1, &[1e-10, 1.0], &[1e-10, 1.7182819]);
    check(Unary::Log, &[2.0, 0.0, -1.0], &[LN_2, -INF, NAN]);
    check(Unary::Log1p, &[1e-10, -1.0], &[1e-10, -INF]);
    check(Unary::Sin, &[1.0, INF], &[0.84147096, NAN]);
    check(Unary::Cos, &[1.0, 0.0], &[0.5403023, 1.0]);
    check(Unary::Tanh, &[0.5, INF, -INF], &[0.46211717, 1.0, -1.0]);
    check(Unary::Erf, &[0.5, INF, NAN], &[0.5204999, 1.0, NAN]);
    check(Unary::Sigmoid, &[0.5, INF, -INF, -100.0, NAN], &[0.62245935, 1.0, 0.0, 3.783506e-44, NAN]);
}

#[test]
fn unary_on_integers_and_bools() {
    check(Op::Unary(Unary::Neg), &[i(U8, &[3], &[0, 1, 255])], i(U8, &[3], &[0, 255, 1]));
    check(Op::Unary(Unary::Abs), &[i(I8, &[2], &[-128, -5])], i(I8, &[2], &[-128, 5]));
    check(Op::Unary(Unary::Relu), &[i(I8, &[3], &[-128, 0, 5])], i(I8, &[3], &[0, 0, 5]));
    check(Op::Unary(Unary::Not), &[b(&[2], &[0, 1])], b(&[2], &[1, 0]));
    check(Op::Unary(Unary::Not), &[i(I32, &[2], &[0, 5])], i(I32, &[2], &[-1, -6]));
}

#[test]
fn binary_on_floats() {
    let check = |op: Binary, x: &[f64], y: &[f64], want: &[f64]| {
        let n = &[x.len() as i64];
        check(Op::Binary(op), &[f(n, x), f(n, y)], f(n, want));
    };
    check(Binary::Add, &[1.0, 16777216.0, INF], &[2.0, 1.0, -INF], &[3.0, 16777216.0, NAN]);
    check(Binary::Sub, &[1.0, 0.0], &[2.0, 0.0], &[-1.0, 0.0]);
    check(Binary::Mul, &[3.0, 0.0], &[-2.0, INF], &[-6.0, NAN]);
    check(Binary::Div, &[1.0, 1.0, 0.0], &[3.0, 0.0, 0.0], &[0.33333334, INF, NAN]);
    check(Binary::Rem, &[-7.0, 7.0, 5.5], &[3.0, -3.0, 0.0], &[-1.0, 1.0, NAN]);
    check(Binary::Pow, &[2.0, 0.0, -8.0], &[10.0, 0.0, 0.5], &[1024.0, 1.0, NAN]);
    check(Binary::Max, &[1.0, NAN, -0.0], &[2.0, 1.0, 0.0], &[2.0, NAN, 0.0]);
    check(Binary::Min, &[1.0, 1.0, 0.0], &[2.0, NAN, -0.0], &[1.0, NAN, -0.0]);
    check(Binary::Atan2, &[1.0, 0.0], &[1.0, -1.0], &[FRAC_PI_4, PI]);
}

#[test]
fn binary_on_integers() {
    let check = |op: Binary, dtype, x: &[i64], y: &[i64], want: &[i64]| {
        let n = &[x.len() as i64];
        check(Op::Binary(op), &[i(dtype, n, x), i(dtype, n, y)], i(dtype, n, want));
    };
    check(Binary::Add, U8, &[250, 1], &[10, 1], &[4, 2]);
    check(Binary::Mul, I32, &[65536, -3], &[65536, 7], &[0, -21]);
    check(Binary::Div, I64, &[-7, 7, 1], &[2, -2, 0], &[-3, -3, 0]);
    check(Binary::Rem, I64, &[-7, 7, 1], &[2, -2, 0], &[-1, 1, 0]);
    check(Binary::Pow, I16, &[3, 2, -1], &[4, -1, -3], &[81, 0, -1]);
    check(Binary::Max, I8, &[-1, 5], &[1, 4], &[1, 5]);
    check(Binary::Min, U8, &[200, 5], &[100, 6], &[100, 5]);
    check(Binary::And, I32, &[12, -1], &[10, 255], &[8, 255]);
    check(Binary::Or, Bool, &[0, 0, 1], &[0, 1, 1], &[0, 1, 1]);
    check(Binary::Xor, Bool, &[0, 1, 1], &[0, 0, 1], &[0, 1, 0]);
    check(Binary::Shl, I8, &[1, 1, 1], &[7, 8, -1], &[-128, 0, 0]);
    check(Binary::Shr, I32, &[-8, -8, 8], &[1, 40, 40], &[-4, -1, 0]);
}

#[test]
fn comparison_and_choice() {
    let (x, y) = (f(&[4], &[1.0, 2.0, NAN, 0.0]), f(&[4], &[2.0, 2.0, NAN, -0.0]));
    check(Op::Cmp(Cmp::Eq), &[x.clone(), y.clone()], b(&[4], &[0, 1, 0, 1]));
    check(Op::Cmp(Cmp::Ne), &[x.clone(), y.clone()], b(&[4], &[1, 0, 1, 0]));
    check(Op::Cmp(Cmp::Lt), &[x.clone(), y.clone()], b(&[4], &[1, 0, 0, 0]));
    check(Op::Cmp(Cmp::Le), &[x.clone(), y.clone()], b(&[4], &[1, 1, 0, 1]));
    check(Op::Cmp(Cmp::Lt), &[i(U8, &[1], &[3]), i(U8, &[1], &[200])], b(&[1], &[1]));
    check(Op::Select, &[b(&[4], &[1, 0, 1, 0]), x, y], f(&[4], &[1.0, 2.0, NAN, -0.0]));
}

#[test]
fn conversions() {
    let x = f(&[6], &[1.9, -1.9, NAN, INF, 300.0, -0.0]);
    check(Op::Cast(I8), &[x.clone()], i(I8, &[6], &[1, -1, 0, 127, 127, 0]));
    check(Op::Cast(U8), &[x.clone()], i(U8, &[6], &[1, 0, 0, 255, 255, 0]));
    check(Op::Cast(Bool), &[x.clone()], b(&[6], &[1, 1, 1, 1, 1, 0]));
    check(Op::Cast(F64), &[x.clone()], Tensor::from_f64(F64, &[6], &x.to_f64()));
    check(Op::Cast(I8), &[i(I64, &[3], &[128, 255, -129])], i(I8, &[3], &[-128, -1, 127]));
    check(Op::Cast(Bool), &[i(I64, &[2], &[256, 0])], b(&[2], &[1, 0]));
    check(Op::Cast(F32), &[i(I64, &[1], &[16777217])], f(&[1], &[16777216.0]));
    // One rounding: by way of f64 this would become 2^60 + 2^37.
    let tie = (1 << 60) + (1 << 36) + 1;
    check(Op::Cast(F32), &[i(I64, &[1], &[tie])], f(&[1], &[((1i64 << 60) + (1 << 37)) as f64]));
    check(Op::Cast(F16), &[f(&[2], &[65520.0, 1e-8])], Tensor::from_f64(F16, &[2], &[INF, 0.0]));
    check(Op::Bitcast(I32), &[f(&[2], &[1.0, -0.0])], i(I32, &[2], &[0x3f800000, i32::MIN as i64]));
    check(Op::Bitcast(F16), &[i(I16, &[1], &[0x3c00])], Tensor::from_f64(F16, &[1], &[1.0]));
}

#[test]
fn sixteen_bit_results_are_rounded_once() {
    let x = Tensor::from_f64(BF16, &[1], &[1.0]);
    let y = Tensor::from_f64(BF16, &[1], &[0.00390625]);
    // 1 + 2^-8 lies halfway between two neighbours and goes to the even one.
    check(Op::Binary(Binary::Add), &[x.clone(), y], Tensor::from_f64(BF16, &[1], &[1.0]));
    check(Op::Unary(Unary::Exp), &[x], Tensor::from_f64(BF16, &[1], &[2.71875]));
}

#[test]
fn views() {
    let x = range(&[2, 3]);
    check(Op::Reshape(shape(&[3, 2])), &[x.clone()], range(&[3, 2]));
    check(Op::Permute([1, 0][..].into()), &[x.clone()], f(&[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
    check(Op::Expand(shape(&[2, 2])), &[f(&[2, 1], &[1.0, 2.0])], f(&[2, 2], &[1.0, 1.0, 2.0, 2.0]));
    let dims = [
        SliceDim { start: Dim::Fixed(1), len: Dim::Fixed(1), step: 1 },
        SliceDim { start: Dim::Fixed(2), len: Dim::Fixed(2), step: -2 },
    ];
    check(Op::Slice(dims.clone().into()), &[x.clone()], f(&[1, 2], &[5.0, 3.0]));
    check(
        Op::Update(dims.into()),
        &[x.clone(), f(&[1, 2], &[-1.0, -2.0])],
        f(&[2, 3], &[0.0, 1.0, 2.0, -2.0, 4.0, -1.0]),
    );
    let pads = [
        PadDim { low: Dim::Fixed(0), high: Dim::Fixed(1), interior: 0 },
        PadDim { low: Dim::Fixed(1), high: Dim::Fixed(0), interior: 1 },
    ];
    check(
        Op::Pad { dims: pads.into(), value: Scalar::from_f64(F32, 9.0) },
        &[range(&[1, 3])],
        f(&[2, 6], &[9.0, 0.0, 9.0, 1.0, 9.0, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]),
    );
    check(
        Op::Concat { axis: 1 },
        &[range(&[2, 1]), range(&[2, 2])],
        f(&[2, 3], &[0.0, 0.0, 1.0, 1.0, 2.0, 3.0]),
    );
    check(Op::Concat { axis: 0 }, &[range(&[0]), range(&[2])], range(&[2]));
}

#[test]
fn windows_and_their_adjoint() {
    let dims = [WindowDim { axis: 0, size: 2, stride: 2, dilation: 2 }];
    // Windows at 0 and 2 of elements 2 apart.
    let windows = f(&[2, 2], &[0.0, 2.0, 2.0, 4.0]);
    check(Op::Window(dims.into()), &[range(&[6])], windows.clone());
    check(
        Op::Fold { dims: dims.into(), sizes: shape(&[6]) },
        &[windows],
        f(&[6], &[0.0, 0.0, 4.0, 0.0, 4.0, 0.0]),
    );
    let two = [
        WindowDim { axis: 1, size: 2, stride: 1, dilation: 1 },
        WindowDim { axis: 0, size: 1, stride: 1, dilation: 1 },
    ];
    let want = [0.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 5.0];
    check(Op::Window(two.into()), &[range(&[2, 3])], f(&[2, 2, 2, 1], &want));
}

#[test]
fn indexed() {
    let data = range(&[2, 3]);
    let index = i(I64, &[2, 2], &[2, 0, 1, 1]);
    check(Op::Gather { axis: 1 }, &[data.clone(), index.clone()], f(&[2, 2], &[2.0, 0.0, 4.0, 4.0]));
    check(Op::Gather { axis: 0 }, &[data.clone(), i(I32, &[1, 3], &[1, 0, 1])], f(&[1, 3], &[3.0, 1.0, 5.0]));
    let updates = f(&[2, 2], &[10.0, 20.0, 2.0, 3.0]);
    let scatter = |mode, want: &[f64]| {
        let inputs = [data.clone(), index.clone(), updates.clone()];
        check(Op::Scatter { axis: 1, mode }, &inputs, f(&[2, 3], want));
    };
    scatter(ScatterOp::Set, &[20.0, 1.0, 10.0, 3.0, 3.0, 5.0]);
    scatter(ScatterOp::Add, &[20.0, 1.0, 12.0, 3.0, 9.0, 5.0]);
    scatter(ScatterOp::Mul, &[0.0, 1.0, 20.0, 3.0, 24.0, 5.0]);
    scatter(ScatterOp::Max, &[20.0, 1.0, 10.0, 3.0, 4.0, 5.0]);
    scatter(ScatterOp::Min, &[0.0, 1.0, 2.0, 3.0, 2.0, 5.0]);
    for bad in [3, -1] {
        let inputs = [data.clone(), i(I64, &[2, 1], &[0, bad])];
        let error = run(Op::Gather { axis: 1 }, &inputs).unwrap_err();
        assert_eq!(error, EvalError::IndexOutOfRange { op: "gather", index: bad, extent: 3 });
    }
}

#[test]
fn reductions() {
    let x = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, NAN]);
    let reduce = |op, axes: &[u8], dims: &[i64], want: &[f64]| {
        check(Op::Reduce { op, axes: axes.into() }, &[x.clone()], f(dims, want));
    };
    reduce(ReduceOp::Sum, &[1], &[2, 1], &[6.0, NAN]);
    reduce(ReduceOp::Prod, &[0], &[1, 3], &[4.0, 10.0, NAN]);
    reduce(ReduceOp::Max, &[0], &[1, 3], &[4.0, 5.0, NAN]);
    reduce(ReduceOp::Min, &[0, 1], &[1, 1], &[NAN]);
    check(
        Op::Reduce { op: ReduceOp::Max, axes: [0][..].into() },
        &[range(&[0, 2])],
        f(&[1, 2], &[-INF, -INF]),
    );
    // The sum is rounded once: in f32 one by one it would stay at 2^24.
    let many = f(&[5], &[16777216.0, 1.0, 1.0, 1.0, 1.0]);
    check(Op::Reduce { op: ReduceOp::Sum, axes: [0][..].into() }, &[many], f(&[1], &[16777220.0]));
    check(
        Op::Reduce { op: ReduceOp::Sum, axes: [0][..].into() },
        &[i(U8, &[2], &[200, 100])],
        i(U8, &[1], &[44]),
    );
}

#[test]
fn scans_and_sorts() {
    let x = f(&[2, 3], &[3.0, 1.0, 2.0, -1.0, 5.0, 0.5]);
    let scan = |op, axis, reverse, want: &[f64]| {
        check(Op::Scan { op, axis, reverse }, &[x.clone()], f(&[2, 3], want));
    };
    scan(ReduceOp::Sum, 1, false, &[3.0, 4.0, 6.0, -1.0, 4.0, 4.5]);
    scan(ReduceOp::Sum, 1, true, &[6.0, 3.0, 2.0, 4.5, 5.5, 0.5]);
    scan(ReduceOp::Prod, 0, false, &[3.0, 1.0, 2.0, -3.0, 5.0, 1.0]);
    scan(ReduceOp::Max, 1, false, &[3.0, 3.0, 3.0, -1.0, 5.0, 5.0]);
    scan(ReduceOp::Min, 0, true, &[-1.0, 1.0, 0.5, -1.0, 5.0, 0.5]);

    let sort = |descending, x: Tensor, want: &[i64]| {
        let dims = x.dims.clone();
        check(Op::Argsort { axis: 0, descending }, &[x], i(I64, &dims, want));
    };
    let x = f(&[5], &[2.0, NAN, 1.0, 2.0, -INF]);
    sort(false, x.clone(), &[4, 2, 0, 3, 1]);
    sort(true, x, &[1, 0, 3, 2, 4]);
    sort(false, f(&[3, 2], &[3.0, 0.0, 1.0, 5.0, 2.0, -1.0]), &[1, 2, 2, 0, 0, 1]);
    sort(true, b(&[3], &[0, 1, 0]), &[1, 0, 2]);
}

#[test]
fn dots() {
    let dot = |batch: &[(u8, u8)], contract: &[(u8, u8)]| Op::Dot {
        batch: batch.iter().copied().collect(),
        contract: contract.iter().copied().collect(),
    };
    let (x, y) = (range(&[2, 3]), range(&[3, 2]));
    check(dot(&[], &[(1, 0)]), &[x.clone(), y.clone()], f(&[2, 2], &[10.0, 13.0, 28.0, 40.0]));
    check(dot(&[], &[(0, 1), (1, 0)]), &[x.clone(), y], f(&[], &[50.0]));
    check(dot(&[(0, 0)], &[(1, 1)]), &[x.clone(), x.clone()], f(&[2], &[5.0, 50.0]));
    check(dot(&[(1, 1)], &[]), &[x.clone(), range(&[1, 3])], {
        f(&[3, 2, 1], &[0.0, 0.0, 1.0, 4.0, 4.0, 10.0])
    });
    check(dot(&[], &[]), &[range(&[2]), range(&[3])], f(&[2, 3], &[0.0, 0.0, 0.0, 0.0, 1.0, 2.0]));
    check(dot(&[], &[(0, 0)]), &[range(&[0, 2]), range(&[0, 1])], f(&[2, 1], &[0.0, 0.0]));
    let ints = i(I8, &[2], &[100, 100]);
    check(dot(&[], &[(0, 0)]), &[ints.clone(), ints], i(I8, &[], &[32]));
}

#[test]
fn fences_and_unknown_customs() {
    let x = range(&[3]);
    check(Op::Detach, &[x.clone()], x.clone());
    check(Op::Barrier, &[x.clone()], x.clone());
    let op = Op::Custom { name: "nope".into(), attributes: [].into(), dtype: F32, shape: shape(&[3]) };
    assert_eq!(run(op, &[x]).unwrap_err(), EvalError::UnknownCustom { name: "nope".into() });
}

#[test]
fn symbols_get_their_values_at_run_time() {
    let mut g = Graph::new("f");
    g.symbols.push(ttk_ir::graph::Symbol { name: "n".into() });
    let n = Dim::symbol(0);
    let x = g.param(ttk_ir::Type::new(F32, [n.clone(), Dim::Fixed(2)].as_slice()));
    let y = g.add(Op::Reduce { op: ReduceOp::Sum, axes: [0][..].into() }, &[x]).unwrap();
    let z = g.add(Op::Expand([n.clone(), Dim::Fixed(2)].as_slice().into()), &[y]).unwrap();
    let tail = SliceDim { start: Dim::Fixed(1), len: n.offset(-1), step: 1 };
    let w = g.add(Op::Slice([tail, SliceDim::all(Dim::Fixed(2))].into()), &[z]).unwrap();
    g.outputs = vec![z, w];
    let input = range(&[3, 2]);
    assert_eq!(ttk_ir::eval::solve_symbols(&g, std::slice::from_ref(&input)), Some(vec![3]));
    let out = eval(&g, std::slice::from_ref(&input), &[3]).unwrap();
    assert_eq!(out[0], f(&[3, 2], &[6.0, 9.0, 6.0, 9.0, 6.0, 9.0]));
    assert_eq!(out[1].dims, [2, 2]);
    assert!(matches!(eval(&g, &[input], &[4]), Err(EvalError::InputType { index: 0, .. })));
    assert!(matches!(eval(&g, &[range(&[0, 2])], &[0]), Err(EvalError::SymbolValue { .. })));
}
