//! Every operation once or more, alone in its graph.

use super::support::Case;
use ttk_ir::eval::Tensor;
use ttk_ir::op::{PadDim, RandomStream, SliceDim, WindowDim};
use ttk_ir::shape::shape;
use ttk_ir::{Binary, Builder, Cmp, DType, Dim, Op, ReduceOp, Scalar, ScatterOp, Type, Unary, ValueId};

fn one(op: Op, inputs: &[Type]) {
    let mut c = Case::new();
    let inputs: Vec<ValueId> = inputs.iter().map(|t| c.input(t.clone())).collect();
    let out = c.g.op(op, &inputs);
    c.check(&[out]);
}

fn f32s(dims: &[i64]) -> Type {
    Type::fixed(DType::F32, dims)
}

#[test]
fn leaves() {
    one(Op::Const { value: Scalar::from_f64(DType::F32, 2.5), shape: shape(&[3, 4]) }, &[]);
    one(Op::Const { value: Scalar::from_f64(DType::F16, 2.5), shape: shape(&[]) }, &[]);
    for dtype in [DType::F32, DType::I64, DType::U8, DType::BF16] {
        one(Op::Iota { axis: 1, dtype, shape: shape(&[3, 4, 2]) }, &[]);
    }
    for stream in RandomStream::ALL {
        let mut c = Case::new();
        let state = [42, 4, 3];
        let len = stream.state_len();
        let state = c.given(Tensor::from_i64(DType::I64, &[len as i64], &state[..len]));
        let out = c.g.op(Op::RandomBits { stream, shape: shape(&[5, 4]) }, &[state]);
        c.check(&[out]);
    }
}

#[test]
fn elementwise() {
    for dtype in DType::ALL {
        let ty = Type::fixed(dtype, &[3, 5]);
        for &u in Unary::ALL {
            if u.domain().contains(dtype) {
                one(Op::Unary(u), std::slice::from_ref(&ty));
            }
        }
        for &b in Binary::ALL {
            if b.domain().contains(dtype) && !(b == Binary::Pow && dtype.is_float()) {
                one(Op::Binary(b), &[ty.clone(), ty.clone()]);
            }
        }
        for c in Cmp::ALL {
            one(Op::Cmp(c), &[ty.clone(), ty.clone()]);
        }
        one(Op::Select, &[ty.with_dtype(DType::Bool), ty.clone(), ty.clone()]);
        for to in DType::ALL {
            one(Op::Cast(to), std::slice::from_ref(&ty));
            if to.size() == dtype.size() && to != DType::Bool && dtype != DType::Bool {
                one(Op::Bitcast(to), std::slice::from_ref(&ty));
            }
        }
    }
}

#[test]
fn long_elementwise() {
    for n in [1, 4095, 8192, 8192 + 17, 20000] {
        one(Op::Unary(Unary::Neg), &[f32s(&[n])]);
    }
    one(Op::Unary(Unary::Neg), &[f32s(&[])]);
    one(Op::Unary(Unary::Neg), &[f32s(&[0, 3])]);
}

#[test]
fn views() {
    one(Op::Reshape(shape(&[6, 2, 5])), &[f32s(&[3, 4, 5])]);
    one(Op::Reshape(shape(&[8, 3])), &[f32s(&[6, 4])]);
    one(Op::Reshape(shape(&[1, 24, 1])), &[f32s(&[6, 4])]);
    one(Op::Reshape(shape(&[])), &[f32s(&[1, 1])]);
    one(Op::Permute([2u8, 0, 1].as_slice().into()), &[f32s(&[3, 4, 5])]);
    one(Op::Expand(shape(&[3, 4, 5])), &[f32s(&[3, 1, 5])]);
    let dims = |d: &[(i64, i64, i64)]| -> Box<[SliceDim]> {
        d.iter().map(|&(start, len, step)| SliceDim { start: start.into(), len: len.into(), step }).collect()
    };
    one(Op::Slice(dims(&[(1, 2, 1), (7, 4, -2), (0, 3, 2)])), &[f32s(&[4, 8, 5])]);
    one(Op::Update(dims(&[(1, 2, 1), (7, 4, -2), (0, 3, 2)])), &[f32s(&[4, 8, 5]), f32s(&[2, 4, 3])]);
    one(Op::Update(dims(&[(0, 4, 1), (2, 4, 1)])), &[f32s(&[4, 8]), f32s(&[4, 4])]);
    let pad = |d: &[(i64, i64, i64)]| Op::Pad {
        dims: d
            .iter()
            .map(|&(low, high, interior)| PadDim { low: low.into(), high: high.into(), interior })
            .collect(),
        value: Scalar::from_f64(DType::F32, -1.5),
    };
    one(pad(&[(1, 2, 0), (0, 3, 1)]), &[f32s(&[3, 4])]);
    one(pad(&[(0, 0, 0), (1, 1, 0), (1, 1, 0)]), &[f32s(&[3, 4, 40])]);
    one(pad(&[(2, 2, 0)]), &[f32s(&[0])]);
    one(Op::Concat { axis: 0 }, &[f32s(&[3, 4]), f32s(&[1, 4]), f32s(&[0, 4]), f32s(&[5, 4])]);
    one(Op::Concat { axis: 1 }, &[f32s(&[3, 4]), f32s(&[3, 9]), f32s(&[3, 1])]);
    one(Op::Concat { axis: 1 }, &[f32s(&[3, 4])]);
    let w = |axis, size, stride, dilation| WindowDim { axis, size, stride, dilation };
    for windows in [
        vec![w(1, 3, 1, 1)],
        vec![w(1, 3, 2, 1), w(2, 2, 2, 1)],
        vec![w(2, 3, 1, 2), w(1, 2, 3, 2)],
        vec![w(1, 2, 3, 1), w(2, 7, 2, 1)],
    ] {
        one(Op::Window(windows.clone().into()), &[f32s(&[2, 9, 11])]);
        let sizes: Vec<i64> = windows.iter().map(|d| [2, 9, 11][d.axis as usize]).collect();
        let mut c = Case::new();
        let x = c.f32(&[2, 9, 11]);
        let win = c.g.op(Op::Window(windows.clone().into()), &[x]);
        let folded = c.g.op(Op::Fold { dims: windows.into(), sizes: shape(&sizes) }, &[win]);
        c.check(&[folded]);
    }
}

#[test]
fn structured() {
    for dtype in [DType::F32, DType::F64, DType::I32, DType::BF16, DType::F16] {
        let ty = Type::fixed(dtype, &[6, 40, 37]);
        for op in ReduceOp::ALL {
            // A product of many numbers below 2 says little in 16 bits.
            if op == ReduceOp::Prod && dtype.size() == 2 {
                continue;
            }
            for axes in [&[2u8][..], &[1], &[0], &[0, 2], &[1, 2], &[0, 1, 2], &[]] {
                one(Op::Reduce { op, axes: axes.into() }, std::slice::from_ref(&ty));
            }
        }
        for reverse in [false, true] {
            for axis in [0, 1, 2] {
                one(Op::Scan { op: ReduceOp::Sum, axis, reverse }, std::slice::from_ref(&ty));
            }
        }
    }
    one(Op::Reduce { op: ReduceOp::Max, axes: [1u8].as_slice().into() }, &[f32s(&[3, 0])]);
    one(Op::Reduce { op: ReduceOp::Sum, axes: [0u8].as_slice().into() }, &[f32s(&[3, 0])]);
    one(Op::Reduce { op: ReduceOp::Sum, axes: [0u8].as_slice().into() }, &[f32s(&[300, 1000])]);
    for descending in [false, true] {
        one(Op::Argsort { axis: 1, descending }, &[f32s(&[3, 9, 2])]);
    }
}

#[test]
fn dots() {
    type Case4<'a> = (&'a [i64], &'a [i64], &'a [(u8, u8)], &'a [(u8, u8)]);
    let cases: [Case4<'_>; 8] = [
        (&[4, 5], &[5, 6], &[], &[(1, 0)]),
        (&[5, 4], &[6, 5], &[], &[(0, 1)]),
        (&[2, 3, 4, 5], &[2, 3, 5, 6], &[(0, 0), (1, 1)], &[(3, 2)]),
        (&[2, 4, 5], &[5, 6], &[], &[(2, 0)]),
        (&[4, 3, 5], &[3, 7, 5], &[], &[(1, 0), (2, 2)]),
        (&[4], &[4], &[], &[(0, 0)]),
        (&[4], &[3], &[], &[]),
        (&[0, 4], &[4, 3], &[], &[(1, 0)]),
    ];
    for (a, b, batch, contract) in cases {
        for dtype in [DType::F32, DType::F64, DType::I32, DType::BF16] {
            let op = Op::Dot { batch: batch.into(), contract: contract.into() };
            one(op, &[Type::fixed(dtype, a), Type::fixed(dtype, b)]);
        }
    }
    one(
        Op::Dot { batch: (&[][..]).into(), contract: (&[(1u8, 0u8)][..]).into() },
        &[f32s(&[3, 0]), f32s(&[0, 2])],
    );
}

#[test]
fn dots_of_views() {
    let mut c = Case::new();
    let (q, k) = (c.f32(&[2, 5, 12]), c.f32(&[2, 5, 12]));
    let heads = |c: &mut Case, x: ValueId| {
        let x = c.g.reshape(&x, shape(&[2, 5, 3, 4]));
        c.g.permute(&x, &[0, 2, 1, 3])
    };
    let (q, k) = (heads(&mut c, q), heads(&mut c, k));
    let s = c.g.dot(&q, &k, &[(0, 0), (1, 1)], &[(3, 3)]);
    let o = c.g.dot(&s, &k, &[(0, 0), (1, 1)], &[(3, 2)]);
    let o = c.g.permute(&o, &[0, 2, 1, 3]);
    let o = c.g.reshape(&o, shape(&[10, 12]));
    let w = c.f32(&[7, 12]);
    let y = c.g.dot(&o, &w, &[], &[(1, 1)]);
    c.check(&[y, s]);
}

#[test]
fn convolution() {
    let mut c = Case::new();
    let (x, w) = (c.f32(&[2, 3, 7, 8]), c.f32(&[4, 3, 3, 3]));
    let none = PadDim::none();
    let one = PadDim { low: Dim::Fixed(1), high: Dim::Fixed(1), interior: 0 };
    let x = c.g.pad(&x, vec![none.clone(), none, one.clone(), one], 0.0);
    let d = |axis| WindowDim { axis, size: 3, stride: 1, dilation: 1 };
    let win = c.g.op(Op::Window(vec![d(2), d(3)].into()), &[x]);
    let y = c.g.dot(&w, &win, &[], &[(1, 1), (2, 4), (3, 5)]);
    let y = c.g.permute(&y, &[1, 0, 2, 3]);
    c.check(&[y]);
}

#[test]
fn indexed() {
    for (axis, index) in [(0u8, &[2i64, 6, 5][..]), (1, &[4, 3, 5]), (2, &[4, 6, 9])] {
        for dtype in [DType::I64, DType::I32] {
            let mut c = Case::new();
            let x = c.f32(&[4, 6, 5]);
            // Out-of-range draws are folded into the axis.
            let mut at = super::support::fill(&Type::fixed(DType::I64, index), &[], 9).to_i64();
            at.iter_mut().for_each(|i| *i %= [4, 6, 5][axis as usize]);
            let i = c.given(Tensor::from_i64(dtype, index, &at));
            let out = c.g.gather(&x, &i, axis as usize);
            let u = c.f32(index);
            let mut outs = vec![out];
            for mode in ScatterOp::ALL {
                outs.push(c.g.op(Op::Scatter { axis, mode }, &[x, i, u]));
            }
            c.check(&outs);
        }
    }
}

#[test]
fn outputs_that_are_inputs_or_equal() {
    let mut c = Case::new();
    let x = c.f32(&[3, 4]);
    let y = c.g.neg(&x);
    let z = c.g.reshape(&x, shape(&[12]));
    let k = c.g.full_like(&x, 3.0);
    c.check(&[x, y, y, z, k, x]);
}

#[test]
fn symbolic_sizes() {
    for (n, m) in [(1, 1), (5, 7), (33, 100)] {
        let mut c = Case::new();
        let (sn, sm) = (c.symbol("n", n), c.symbol("m", m));
        let ty =
            |dims: &[&Dim]| Type::new(DType::F32, dims.iter().map(|&d| d.clone()).collect::<ttk_ir::Shape>());
        let eight = Dim::Fixed(8);
        let x = c.input(ty(&[&sn, &sm, &eight]));
        let w = c.input(ty(&[&eight, &sm]));
        let flat = c.g.reshape(&x, [sn.mul(&sm), eight.clone()].into_iter().collect());
        let y = c.g.dot(&flat, &w, &[], &[(1, 0)]);
        let y3 = c.g.reshape(&y, [sn.clone(), sm.clone(), sm.clone()].into_iter().collect());
        let t = c.g.permute(&y3, &[0, 2, 1]);
        let max = c.g.reduce(ReduceOp::Max, &t, &[2]);
        let wide = c.g.expand(&max, c.g.shape(&t));
        let e = c.g.sub(&t, &wide);
        let none = PadDim::none();
        let pad = PadDim { low: Dim::Fixed(2), high: Dim::Fixed(1), interior: 0 };
        let padded = c.g.pad(&e, vec![none.clone(), none, pad], 0.5);
        let sum = c.g.reduce(ReduceOp::Sum, &padded, &[0, 1]);
        let cat = c.g.concat(&[t, e], 1);
        let scan = c.g.op(Op::Scan { op: ReduceOp::Sum, axis: 1, reverse: true }, &[e]);
        c.check(&[y, e, padded, sum, cat, scan]);
    }
}
