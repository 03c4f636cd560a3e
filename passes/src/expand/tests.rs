//! Every expansion against the standard library in double precision, densely.

use super::expand;
use ttk_ir::eval::{Tensor, scalar};
use ttk_ir::kernel::eval::eval_on_tensors;
use ttk_ir::kernel::{Access, BufferParam, BufferRef, Inst, Kernel, LoopKind, Stmt, Val, VarId};
use ttk_ir::{Binary, DType, Expr, Scalar, Unary};

/// A kernel that applies `inst` to one or two arrays of `n` elements.
fn kernel(inst: Inst, arity: u32, n: i64, dtype: DType) -> Kernel {
    let (i, len) = (Expr::var(1), Expr::constant(n));
    let param = |at: u32, access| BufferParam { name: format!("p{at}"), dtype, len: len.clone(), access };
    let mut params: Vec<BufferParam> = (0..arity).map(|at| param(at, Access::Read)).collect();
    params.push(param(arity, Access::Write));
    let load = |at: u32| Stmt::Let {
        dst: Val(at),
        dtype,
        inst: Inst::Load { buffer: BufferRef::Param(at), index: i.clone() },
    };
    let mut body: Vec<Stmt> = (0..arity).map(load).collect();
    body.push(Stmt::Let { dst: Val(arity), dtype, inst });
    body.push(Stmt::Store { buffer: BufferRef::Param(arity), index: i.clone(), value: Val(arity) });
    let (zero, one) = (Expr::constant(0), Expr::constant(1));
    let inner =
        Stmt::For { var: VarId(1), begin: zero.clone(), end: len.clone(), kind: LoopKind::Vector, body };
    let outer =
        Stmt::For { var: VarId(0), begin: zero, end: one, kind: LoopKind::Parallel, body: vec![inner] };
    Kernel {
        name: "k".into(),
        n_symbols: 0,
        params,
        locals: Vec::new(),
        aliases: Vec::new(),
        body: vec![outer],
        locs: Vec::new(),
    }
}

fn run(inst: Inst, inputs: &[Vec<f64>], dtype: DType) -> Vec<f64> {
    let n = inputs[0].len() as i64;
    let mut k = kernel(inst, inputs.len() as u32, n, dtype);
    expand(&mut k);
    let mut tensors: Vec<Tensor> = inputs.iter().map(|v| Tensor::from_f64(dtype, &[n], v)).collect();
    tensors.push(Tensor::zeros(dtype, &[n]));
    eval_on_tensors(&k, &mut tensors, &[]).expect("the kernel runs");
    tensors.pop().expect("the output").to_f64()
}

/// The distance from `got` to `want` in units of the last place of `want` in `dtype`.
fn ulps(got: f64, want: f64, dtype: DType) -> f64 {
    let rounded = Scalar::from_f64(dtype, want).as_f64();
    if got.is_nan() || want.is_nan() || rounded.is_infinite() || got.is_infinite() {
        let same = got.is_nan() && want.is_nan() || got == rounded;
        return if same { 0.0 } else { f64::INFINITY };
    }
    if want == 0.0 && got == 0.0 && want.is_sign_negative() != got.is_sign_negative() {
        return f64::INFINITY;
    }
    let ulp = if dtype == DType::F32 {
        let w = (rounded as f32).abs();
        (f32::from_bits(w.to_bits() + 1) - w) as f64
    } else {
        let w = rounded.abs();
        f64::from_bits(w.to_bits() + 1) - w
    };
    // The largest finite number has no upper neighbour.
    let ulp = if ulp.is_finite() { ulp } else { rounded.abs() * 1e-7 };
    (got - want).abs() / ulp
}

const SPECIAL: [f64; 20] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    1e-45,
    -1e-45,
    1e-40,
    -3e-39,
    1.17549435e-38,
    3.4028234e38,
    -3.4028234e38,
    88.8,
    -103.9,
    1e-20,
];

/// A grid over `from..to` and one over exponents, with the special values.
fn samples(dtype: DType, from: f64, to: f64, count: usize) -> Vec<f64> {
    let mut out = SPECIAL.to_vec();
    for i in 0..count {
        let t = (i as f64 + 0.37) / count as f64;
        out.push(from + (to - from) * t);
        let e = -45.0 + 83.0 * t;
        out.push(10f64.powf(e));
        out.push(-(10f64.powf(e)));
    }
    if dtype == DType::F64 {
        out.extend([1e-320, -1e-310, 1e300, -1e300, 709.7, -745.0, 1.7e308]);
    }
    out.into_iter().map(|x| Scalar::from_f64(dtype, x).as_f64()).collect()
}

fn check_unary(op: Unary, dtype: DType, from: f64, to: f64, limit: f64, reference: impl Fn(f64) -> f64) {
    let xs = samples(dtype, from, to, 20_000);
    let got = run(Inst::Unary(op, Val(0)), std::slice::from_ref(&xs), dtype);
    let mut worst = (0.0, 0.0, 0.0, 0.0);
    for (&x, &y) in xs.iter().zip(&got) {
        let want = reference(x);
        let u = ulps(y, want, dtype);
        if u.is_nan() || u > worst.0 {
            worst = (u, x, y, want);
        }
    }
    let (u, x, y, want) = worst;
    assert!(u <= limit, "{} {dtype} of {x:e}: {y:e}, not {want:e}: {u} ulp", op.name());
}

#[test]
fn exponentials() {
    check_unary(Unary::Exp, DType::F32, -104.0, 89.0, 1.5, f64::exp);
    check_unary(Unary::Exp, DType::F64, -745.0, 710.0, 1.5, f64::exp);
    check_unary(Unary::Expm1, DType::F32, -20.0, 89.0, 2.0, f64::exp_m1);
    check_unary(Unary::Expm1, DType::F64, -40.0, 710.0, 2.0, f64::exp_m1);
    check_unary(Unary::Expm1, DType::F32, -1.0, 1.0, 2.0, f64::exp_m1);
    check_unary(Unary::Expm1, DType::F64, -1.0, 1.0, 2.0, f64::exp_m1);
    check_unary(Unary::Tanh, DType::F32, -11.0, 11.0, 2.5, f64::tanh);
    check_unary(Unary::Tanh, DType::F64, -21.0, 21.0, 3.0, f64::tanh);
    let sigmoid = |x: f64| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
    check_unary(Unary::Sigmoid, DType::F32, -104.0, 20.0, 2.5, sigmoid);
    check_unary(Unary::Sigmoid, DType::F64, -745.0, 40.0, 2.5, sigmoid);
}

#[test]
fn rectifier() {
    let relu = |x: f64| if x.is_nan() { x } else { x.max(0.0) };
    check_unary(Unary::Relu, DType::F32, -1.0, 1.0, 0.0, relu);
    check_unary(Unary::Relu, DType::F64, -1.0, 1.0, 0.0, relu);
}

#[test]
fn logarithms() {
    check_unary(Unary::Log, DType::F32, -1.0, 4.0, 1.5, f64::ln);
    check_unary(Unary::Log, DType::F64, -1.0, 4.0, 1.5, f64::ln);
    check_unary(Unary::Log1p, DType::F32, -1.5, 4.0, 2.0, f64::ln_1p);
    check_unary(Unary::Log1p, DType::F64, -1.5, 4.0, 2.5, f64::ln_1p);
}

#[test]
fn error_function() {
    let erf = |x: f64| scalar::unary(Unary::Erf, Scalar::from_f64(DType::F64, x)).as_f64();
    // Near 1, where a unit in the last place is half of what it is above 1, a quotient of two polynomials
    // loses a few.
    check_unary(Unary::Erf, DType::F32, -5.0, 5.0, 5.0, erf);
    // The reference itself is good to 1.5e-15 only: published digits (mpmath) decide.
    check_unary(Unary::Erf, DType::F64, -7.0, 7.0, 16.0, erf);
    let known = [
        (1e-300, 1.1283791670955126e-300),
        (1e-05, 1.1283791670579e-05),
        (0.1, 0.1124629160182849),
        (0.3, 0.3286267594591274),
        (0.5, 0.5204998778130465),
        (0.75, 0.7111556336535151),
        (0.9375, 0.8151024010343998),
        (0.99, 0.8385080695553698),
        (1.0, 0.8427007929497149),
        (1.01, 0.8468104962282768),
        (1.25, 0.9229001282564583),
        (1.5, 0.9661051464753108),
        (1.75, 0.9866716712191824),
        (2.0, 0.9953222650189527),
        (2.25, 0.9985372834133188),
        (2.3937410000000003, 0.9992888939195779),
        (2.5, 0.999593047982555),
        (3.0, 0.9999779095030014),
        (3.5, 0.9999992569016276),
        (4.0, 0.9999999845827421),
        (4.5, 0.9999999998033839),
        (5.0, 0.9999999999984626),
        (5.5, 0.9999999999999927),
        (5.9, 0.9999999999999999),
    ];
    let got = run(Inst::Unary(Unary::Erf, Val(0)), &[known.iter().map(|k| k.0).collect()], DType::F64);
    for ((x, want), y) in known.into_iter().zip(got) {
        assert!(ulps(y, want, DType::F64) <= 2.0, "erf({x}) = {y}, not {want}");
    }
}

#[test]
fn trigonometry() {
    let large = |f: fn(f64) -> f64| move |x: f64| f(x);
    check_unary(Unary::Sin, DType::F32, -200.0, 200.0, 1.5, large(f64::sin));
    check_unary(Unary::Cos, DType::F32, -200.0, 200.0, 1.5, large(f64::cos));
    // Beyond 2^30 the reduction in `f64` loses accuracy.
    let xs: Vec<f64> = (0..40_000).map(|i| (i as f64 - 20_000.0) * 1234.567).collect();
    for (op, f) in [(Unary::Sin, f64::sin as fn(f64) -> f64), (Unary::Cos, f64::cos)] {
        let got = run(Inst::Unary(op, Val(0)), std::slice::from_ref(&xs), DType::F64);
        for (&x, &y) in xs.iter().zip(&got) {
            assert!(ulps(y, f(x), DType::F64) <= 2.0, "{} of {x}: {y}, not {}", op.name(), f(x));
        }
    }
}

fn check_binary(op: Binary, dtype: DType, pairs: &[(f64, f64)], limit: f64, f: impl Fn(f64, f64) -> f64) {
    let round = |x: f64| Scalar::from_f64(dtype, x).as_f64();
    let a: Vec<f64> = pairs.iter().map(|p| round(p.0)).collect();
    let b: Vec<f64> = pairs.iter().map(|p| round(p.1)).collect();
    let got = run(Inst::Binary(op, Val(0), Val(1)), &[a.clone(), b.clone()], dtype);
    for i in 0..a.len() {
        let want = f(a[i], b[i]);
        let u = ulps(got[i], want, dtype);
        assert!(u <= limit, "{} {dtype} of {:e}, {:e}: {:e}, not {want:e}", op.name(), a[i], b[i], got[i]);
    }
}

/// Pairs of special values, and scattered ones.
fn pairs(scale: f64, count: usize) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    let more = [3.0, -3.0, 4.0, 1e10, -2.5, 0.25];
    let all: Vec<f64> = SPECIAL.iter().chain(&more).copied().collect();
    for &a in &all {
        out.extend(all.iter().map(|&b| (a, b)));
    }
    let mut state = 88172645463325252u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
    };
    for _ in 0..count {
        out.push((next() * scale, next() * scale));
    }
    out
}

#[test]
fn powers() {
    for scale in [1.0, 5.0, 30.0] {
        let mut list = pairs(scale, 4000);
        list.extend(pairs(scale, 4000).iter().map(|&(a, b)| (a.abs(), b)));
        check_binary(Binary::Pow, DType::F32, &list, 1.0, f64::powf);
        check_binary(Binary::Pow, DType::F64, &list, 2.0, f64::powf);
    }
    for dtype in [DType::I8, DType::U8, DType::I16, DType::I32, DType::I64] {
        let values: Vec<i64> = vec![0, 1, -1, 2, -2, 3, 5, 7, -5, 13, 31, 64, 100, 127];
        let mut list = Vec::new();
        for &a in &values {
            list.extend(values.iter().map(|&b| (a as f64, b as f64)));
        }
        let n = list.len() as i64;
        let mut k = kernel(Inst::Binary(Binary::Pow, Val(0), Val(1)), 2, n, dtype);
        expand(&mut k);
        let column = |f: &dyn Fn(&(f64, f64)) -> f64| {
            Tensor::from_f64(dtype, &[n], &list.iter().map(f).collect::<Vec<_>>())
        };
        let mut t = vec![column(&|p| p.0), column(&|p| p.1), Tensor::zeros(dtype, &[n])];
        eval_on_tensors(&k, &mut t, &[]).expect("the kernel runs");
        for i in 0..n as usize {
            assert_eq!(t[2].get(i), scalar::binary(Binary::Pow, t[0].get(i), t[1].get(i)), "{dtype} {i}");
        }
    }
}

#[test]
fn remainders() {
    for scale in [1.0, 1e6, 1e30] {
        let list = pairs(scale, 3000);
        check_binary(Binary::Rem, DType::F32, &list, 0.0, |a, b| (a as f32 % b as f32) as f64);
    }
    check_binary(Binary::Rem, DType::F64, &pairs(1e6, 3000)[676..], 0.0, |a, b| a % b);
}

#[test]
fn angles() {
    check_binary(Binary::Atan2, DType::F32, &pairs(4.0, 4000), 1.0, f64::atan2);
    check_binary(Binary::Atan2, DType::F64, &pairs(4.0, 4000), 2.5, f64::atan2);
}
