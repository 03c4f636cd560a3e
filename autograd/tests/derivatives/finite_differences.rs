//! Every operation's derivative, and that derivative's derivative, against finite differences.

use crate::common::{Case, Numbers, check, check_gradient, check_jvp};
use ttk_ir::eval::Tensor;
use ttk_ir::op::{PadDim, SliceDim, WindowDim};
use ttk_ir::shape::shape;
use ttk_ir::{Binary, Builder, DType, Dim, Op, ReduceOp, Scalar, ScatterOp, Unary};

/// Where an operation of one operand is smooth.
fn unary_domain(u: Unary) -> Option<(f64, f64)> {
    match u {
        Unary::Not => None,
        Unary::Neg | Unary::Exp | Unary::Expm1 | Unary::Sin | Unary::Cos => Some((-2.0, 2.0)),
        Unary::Tanh | Unary::Erf | Unary::Sigmoid => Some((-2.0, 2.0)),
        Unary::Abs | Unary::Relu | Unary::Sqrt | Unary::Log | Unary::Log1p => Some((0.4, 2.0)),
        Unary::Floor | Unary::Round => Some((0.55, 0.95)),
    }
}

/// Where an operation of two operands is smooth: an interval for each.
fn binary_domain(b: Binary) -> Option<[(f64, f64); 2]> {
    match b {
        Binary::Add | Binary::Sub | Binary::Mul => Some([(-2.0, 2.0), (-2.0, 2.0)]),
        Binary::Div | Binary::Pow | Binary::Atan2 => Some([(0.5, 2.0), (0.5, 2.0)]),
        Binary::Rem => Some([(2.2, 2.8), (0.95, 1.05)]),
        Binary::Max => Some([(0.0, 1.0), (1.5, 2.0)]),
        Binary::Min => Some([(0.0, 1.0), (1.5, 2.0)]),
        Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => None,
    }
}

#[test]
fn elementwise() {
    let mut n = Numbers::new(11);
    for &u in Unary::ALL {
        let Some((low, high)) = unary_domain(u) else { continue };
        let x = n.tensor(&[2, 3], low, high);
        check(&Case::new(u.name(), vec![x], |g, p| g.unary(u, &p[0])));
        if u == Unary::Abs {
            check(&Case::new("abs below 0", vec![n.tensor(&[2, 3], -2.0, -0.4)], |g, p| g.unary(u, &p[0])));
        }
    }
    for &o in Binary::ALL {
        let Some([a, b]) = binary_domain(o) else { continue };
        let (x, y) = (n.tensor(&[2, 3], a.0, a.1), n.tensor(&[2, 3], b.0, b.1));
        check(&Case::new(o.name(), vec![x.clone(), y.clone()], |g, p| g.binary(o, &p[0], &p[1])));
        // Both operands one value, and the operands exchanged where that is smooth too.
        if !matches!(o, Binary::Rem | Binary::Max | Binary::Min) {
            check(&Case::new(format!("{} of itself", o.name()), vec![y.clone()], |g, p| {
                g.binary(o, &p[0], &p[0])
            }));
        }
        if matches!(o, Binary::Max | Binary::Min) {
            check(&Case::new(o.name(), vec![y, x], |g, p| g.binary(o, &p[0], &p[1])));
        }
    }
    let mask = Tensor::from_bools(&[2, 3], &[true, false, true, true, false, false]);
    let (x, y) = (n.tensor(&[2, 3], -1.0, 1.0), n.tensor(&[2, 3], -1.0, 1.0));
    check(&Case::new("select", vec![x.clone(), y, mask], |g, p| {
        let s = g.select(&p[2], &p[0], &p[1]);
        g.mul(&s, &s)
    }));
    check(&Case::new("cast", vec![x], |g, p| {
        // Through f32 the differences would be too coarse: there and back without a loss.
        let wide = g.cast(&p[0], DType::F64);
        g.mul(&wide, &wide)
    }));
}

/// The square of an operation's result: a linear operation has no second derivative of its own, and this
/// one's is made of the operation twice.
fn squared(name: &str, inputs: Vec<Tensor>, op: Op) {
    assert!(stands_in_a_test_below(&op), "{op:?} has no derivative to check");
    let case = Case::new(name, inputs, |g, p| {
        let y = g.op(op, p);
        g.mul(&y, &y)
    });
    check(&case);
}

/// Which operations besides the elementwise have a derivative, so that a new one stops the build here.
fn stands_in_a_test_below(op: &Op) -> bool {
    match op {
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => false,
        Op::Unary(_) | Op::Binary(_) | Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => false,
        Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Pad { .. } => true,
        Op::Concat { .. } | Op::Update(_) | Op::Window(_) | Op::Fold { .. } => true,
        Op::Gather { .. } | Op::Scatter { .. } | Op::Reduce { .. } | Op::Scan { .. } => true,
        Op::Dot { .. } | Op::Barrier => true,
        Op::Argsort { .. } | Op::Detach | Op::Custom { .. } => false,
    }
}

fn slice(start: i64, len: i64, step: i64) -> SliceDim {
    SliceDim { start: Dim::Fixed(start), len: Dim::Fixed(len), step }
}

fn pad(low: i64, high: i64, interior: i64) -> PadDim {
    PadDim { low: Dim::Fixed(low), high: Dim::Fixed(high), interior }
}

fn window(axis: u8, size: i64, stride: i64, dilation: i64) -> WindowDim {
    WindowDim { axis, size, stride, dilation }
}

#[test]
fn views() {
    let mut n = Numbers::new(12);
    let mut x = |dims: &[i64]| n.tensor(dims, -1.0, 1.0);
    squared("reshape", vec![x(&[2, 3])], Op::Reshape(shape(&[3, 2])));
    squared("permute", vec![x(&[2, 3, 4])], Op::Permute([2, 0, 1].into_iter().collect()));
    squared("expand", vec![x(&[2, 1, 1])], Op::Expand(shape(&[2, 3, 4])));
    squared("slice", vec![x(&[7, 5])], Op::Slice([slice(1, 3, 2), slice(4, 2, -3)].into()));
    squared("slice, flipped", vec![x(&[4])], Op::Slice([slice(3, 4, -1)].into()));
    squared("slice, one backwards", vec![x(&[4])], Op::Slice([slice(2, 1, -2)].into()));
    squared("slice, empty", vec![x(&[4])], Op::Slice([slice(2, 0, 1)].into()));
    let value = Scalar::from_f64(DType::F64, 0.5);
    squared("pad", vec![x(&[3, 2])], Op::Pad { dims: [pad(1, 2, 2), pad(0, 1, 0)].into(), value });
    squared("pad of nothing", vec![x(&[0])], Op::Pad { dims: [pad(1, 2, 2)].into(), value });
    squared("concat", vec![x(&[2, 1]), x(&[2, 3]), x(&[2, 2])], Op::Concat { axis: 1 });
    let dims = [slice(4, 2, -3), slice(0, 2, 1)];
    squared("update", vec![x(&[5, 3]), x(&[2, 2])], Op::Update(dims.into()));
    let dims = [window(1, 2, 2, 1), window(2, 3, 1, 2)];
    squared("window", vec![x(&[2, 5, 6])], Op::Window(dims.into()));
    squared("fold", vec![x(&[2, 2, 2, 2, 3])], Op::Fold { dims: dims.into(), sizes: shape(&[5, 6]) });
    squared("barrier", vec![x(&[3])], Op::Barrier);
}

#[test]
fn indexed() {
    let mut n = Numbers::new(13);
    let index = Tensor::from_i64(DType::I64, &[2, 3], &[3, 0, 3, 1, 1, 2]);
    let data = n.tensor(&[2, 4], 0.5, 2.0);
    check(&Case::new("gather", vec![data.clone(), index.clone()], |g, p| {
        let y = g.gather(&p[0], &p[1], 1);
        g.mul(&y, &y)
    }));
    let single = Tensor::from_i64(DType::I64, &[2, 1], &[3, 1]);
    check(&Case::new("gather of one", vec![data.clone(), single], |g, p| {
        let y = g.gather(&p[0], &p[1], 1);
        g.mul(&y, &y)
    }));
    let distinct = Tensor::from_i64(DType::I64, &[2, 3], &[3, 0, 2, 1, 3, 2]);
    for mode in ScatterOp::ALL {
        // Positions written twice have a derivative unless one write hides another.
        let index = match mode {
            ScatterOp::Set => distinct.clone(),
            ScatterOp::Add | ScatterOp::Mul | ScatterOp::Max | ScatterOp::Min => index.clone(),
        };
        let updates = n.tensor(&[2, 3], 0.5, 2.0);
        check(&Case::new(format!("scatter {}", mode.name()), vec![data.clone(), updates, index], |g, p| {
            let y = g.op(Op::Scatter { axis: 1, mode }, &[p[0], p[2], p[1]]);
            g.mul(&y, &y)
        }));
    }
    // One zero among the factors of a place, of either kind.
    let x = Tensor::from_f64(DType::F64, &[4], &[2.0, 0.0, 3.0, 1.5]);
    let updates = Tensor::from_f64(DType::F64, &[4], &[0.0, 2.0, 3.0, 1.25]);
    let index = Tensor::from_i64(DType::I64, &[4], &[0, 1, 0, 3]);
    check(&Case::new("scatter mul with zeros", vec![x, updates, index], |g, p| {
        g.op(Op::Scatter { axis: 0, mode: ScatterOp::Mul }, &[p[0], p[2], p[1]])
    }));
}

#[test]
fn reductions_and_scans() {
    let mut n = Numbers::new(14);
    for op in ReduceOp::ALL {
        for axes in [&[1u8][..], &[0, 2], &[0, 1, 2], &[]] {
            let x = n.tensor(&[2, 3, 2], -2.0, 2.0);
            let axes = axes.iter().copied().collect();
            squared(&format!("reduce {}", op.name()), vec![x], Op::Reduce { op, axes });
        }
        for reverse in [false, true] {
            let x = n.tensor(&[2, 4, 2], -2.0, 2.0);
            let name = format!("scan {} {reverse}", op.name());
            squared(&name, vec![x], Op::Scan { op, axis: 1, reverse });
        }
    }
    // A product with one zero in a row.
    let values = [2.0, 0.0, 3.0, -1.5, 0.5, 1.25];
    let x = Tensor::from_f64(DType::F64, &[2, 3], &values);
    let axes = [1u8].into_iter().collect();
    check(&Case::new("reduce prod, zero", vec![x.clone()], |g, p| {
        g.op(Op::Reduce { op: ReduceOp::Prod, axes }, p)
    }));
    for reverse in [false, true] {
        check(&Case::new("scan prod, zero", vec![x.clone()], |g, p| {
            g.op(Op::Scan { op: ReduceOp::Prod, axis: 1, reverse }, p)
        }));
    }
}

/// Several zeros in a row: the second derivative where there are two, the first where there are more.
#[test]
fn products_with_several_zeros() {
    let x = Tensor::from_f64(DType::F64, &[2, 4], &[2.0, 0.0, 3.0, 0.0, 0.0, 1.5, 0.0, 0.0]);
    let pair = Tensor::from_f64(DType::F64, &[2, 4], &[2.0, 0.0, 3.0, 0.0, 0.0, 1.5, 2.0, 0.0]);
    let axes = || [1u8].into_iter().collect();
    let reduce = Op::Reduce { op: ReduceOp::Prod, axes: axes() };
    check(&Case::new("reduce prod of a pair", vec![pair.clone()], |g, p| g.op(reduce, p)));
    for reverse in [false, true] {
        let scan = Op::Scan { op: ReduceOp::Prod, axis: 1, reverse };
        check(&Case::new("scan prod of a pair", vec![pair.clone()], |g, p| g.op(scan, p)));
    }
    let build = |op: Op| Case::new(op.name(), vec![x.clone()], |g, p| g.op(op, p));
    let reduce = build(Op::Reduce { op: ReduceOp::Prod, axes: axes() });
    check_gradient("reduce prod", &reduce.graph, &reduce.inputs, 1);
    for reverse in [false, true] {
        let scan = build(Op::Scan { op: ReduceOp::Prod, axis: 1, reverse });
        check_gradient("scan prod", &scan.graph, &scan.inputs, 1);
        check_jvp("scan prod", &scan.graph, &scan.inputs);
    }
    let updates = Tensor::from_f64(DType::F64, &[4], &[0.0, 0.0, 3.0, 0.0]);
    let data = Tensor::from_f64(DType::F64, &[2], &[2.0, 0.0]);
    let index = Tensor::from_i64(DType::I64, &[4], &[0, 0, 0, 1]);
    let scatter = Case::new("scatter mul", vec![data, updates, index], |g, p| {
        g.op(Op::Scatter { axis: 0, mode: ScatterOp::Mul }, &[p[0], p[2], p[1]])
    });
    check_gradient("scatter mul", &scatter.graph, &scatter.inputs, 1);
}

#[test]
fn dots() {
    let mut n = Numbers::new(15);
    type Pairs<'a> = &'a [(usize, usize)];
    let cases: &[(&[i64], &[i64], Pairs<'_>, Pairs<'_>)] = &[
        (&[2, 3], &[3, 4], &[], &[(1, 0)]),
        (&[3, 2], &[4, 3], &[], &[(0, 1)]),
        (&[3], &[3], &[], &[(0, 0)]),
        (&[2], &[3], &[], &[]),
        (&[2, 2, 3], &[2, 3, 2], &[(0, 0)], &[(2, 1)]),
        (&[3, 2, 2], &[2, 2, 4], &[(1, 1)], &[]),
        (&[4, 2, 3], &[3, 2, 4], &[(2, 0), (1, 1)], &[(0, 2)]),
        // Several contracted axes whose order differs between the operands, and free axes between them.
        (&[2, 4, 3, 2], &[3, 2, 2, 5], &[(3, 1)], &[(2, 0), (0, 2)]),
        (&[2, 3, 4], &[4, 5, 2, 3], &[], &[(1, 3), (2, 0), (0, 2)]),
        (&[], &[2], &[], &[]),
    ];
    for (lhs, rhs, batch, contract) in cases {
        let inputs = vec![n.tensor(lhs, -1.0, 1.0), n.tensor(rhs, -1.0, 1.0)];
        let name = format!("dot {lhs:?} {rhs:?} {batch:?} {contract:?}");
        check(&Case::new(name, inputs, |g, p| g.dot(&p[0], &p[1], batch, contract)));
    }
    let x = n.tensor(&[3, 3], -1.0, 1.0);
    check(&Case::new("a square", vec![x], |g, p| g.dot(&p[0], &p[0], &[], &[(1, 0)])));
}

/// Several operations together, with values used more than once.
#[test]
fn compositions() {
    let mut n = Numbers::new(16);
    let (x, w) = (n.tensor(&[3, 4], -1.0, 1.0), n.tensor(&[4, 5], -1.0, 1.0));
    check(&Case::new("softmax of a product", vec![x.clone(), w], |g, p| {
        let z = g.dot(&p[0], &p[1], &[], &[(1, 0)]);
        let top = g.reduce(ReduceOp::Max, &z, &[1]);
        let top = g.expand(&top, shape(&[3, 5]));
        let centred = g.sub(&z, &top);
        let e = g.unary(Unary::Exp, &centred);
        let sum = g.reduce(ReduceOp::Sum, &e, &[1]);
        let sum = g.expand(&sum, shape(&[3, 5]));
        g.div(&e, &sum)
    }));
    check(&Case::new("variance", vec![x], |g, p| {
        let mean = g.reduce(ReduceOp::Sum, &p[0], &[1]);
        let mean = g.scale(&mean, 0.25);
        let mean = g.expand(&mean, shape(&[3, 4]));
        let centred = g.sub(&p[0], &mean);
        let squares = g.mul(&centred, &centred);
        g.reduce(ReduceOp::Sum, &squares, &[1])
    }));
    let (image, kernel) = (n.tensor(&[2, 2, 4, 4], -1.0, 1.0), n.tensor(&[3, 2, 2, 2], -1.0, 1.0));
    check(&Case::new("convolution", vec![image, kernel], |g, p| {
        let pads = vec![PadDim::none(), PadDim::none(), pad(1, 1, 0), pad(0, 1, 0)];
        let padded = g.pad(&p[0], pads, 0.0);
        let win = g.op(Op::Window([window(2, 2, 2, 1), window(3, 2, 1, 2)].into()), &[padded]);
        g.dot(&p[1], &win, &[], &[(1, 1), (2, 4), (3, 5)])
    }));
}
