//! The kernel interpreter on kernels written by hand.

use ttk_ir::eval::Tensor;
use ttk_ir::kernel::eval::{IndexError, KernelError, eval_on_tensors};
use ttk_ir::kernel::{
    AccId, Access, BufferParam, BufferRef, Inst, Kernel, LoopKind, Stmt, VECTOR_ACCUMULATORS, Val, VarId,
};
use ttk_ir::{Binary, DType, Expr, ReduceOp, Scalar};

fn param(name: &str, dtype: DType, len: i64, access: Access) -> BufferParam {
    BufferParam { name: name.into(), dtype, len: len.into(), access }
}

fn kernel(params: Vec<BufferParam>, body: Vec<Stmt>) -> Kernel {
    Kernel {
        name: "k".into(),
        n_symbols: 0,
        params,
        locals: Vec::new(),
        aliases: Vec::new(),
        body,
        locs: Vec::new(),
    }
}

fn let_(dst: u32, dtype: DType, inst: Inst) -> Stmt {
    Stmt::Let { dst: Val(dst), dtype, inst }
}

fn load(p: u32, index: Expr) -> Inst {
    Inst::Load { buffer: BufferRef::Param(p), index }
}

fn for_(var: u32, end: i64, kind: LoopKind, body: Vec<Stmt>) -> Stmt {
    Stmt::For { var: VarId(var), begin: 0.into(), end: end.into(), kind, body }
}

fn row_sums(rows: i64, cols: i64, op: ReduceOp) -> Kernel {
    let (i, j) = (Expr::var(0), Expr::var(1));
    let inner = vec![
        let_(0, DType::F32, load(0, i.scale(cols).add(&j))),
        Stmt::Accumulate { acc: AccId(0), op, value: Val(0) },
    ];
    let body = vec![
        Stmt::Acc { acc: AccId(0), dtype: DType::F32, init: op.identity(DType::F32) },
        for_(1, cols, LoopKind::Vector, inner),
        let_(1, DType::F32, Inst::Read(AccId(0))),
        Stmt::Store { buffer: BufferRef::Param(1), index: i, value: Val(1) },
    ];
    kernel(
        vec![
            param("x", DType::F32, rows * cols, Access::Read),
            param("out", DType::F32, rows, Access::Write),
        ],
        vec![for_(0, rows, LoopKind::Parallel, body)],
    )
}

#[test]
fn vector_loops_sum_in_thirty_two_partials() {
    const COLS: usize = 77;
    // Numbers whose sum in f32 depends on the order.
    let x: Vec<f32> =
        (0..2 * COLS).map(|i| (1.0 + i as f32).recip() * if i % 3 == 0 { 1e4 } else { 1.0 }).collect();
    let want: Vec<f32> = x
        .chunks(COLS)
        .map(|row| {
            let mut p = [0f32; VECTOR_ACCUMULATORS];
            for (i, v) in row.iter().enumerate() {
                p[i % 32] += v;
            }
            for half in [16, 8, 4, 2, 1] {
                for k in 0..half {
                    p[k] += p[k + half];
                }
            }
            0.0 + p[0]
        })
        .collect();
    let mut tensors = [Tensor::from_f32(&[2, COLS as i64], &x), Tensor::zeros(DType::F32, &[2])];
    assert_eq!(eval_on_tensors(&row_sums(2, COLS as i64, ReduceOp::Sum), &mut tensors, &[]), Ok(None));
    assert_eq!(tensors[1].to_f32(), want);
    assert_ne!(x.chunks(COLS).map(|r| r.iter().sum::<f32>()).collect::<Vec<_>>(), want);
}

#[test]
fn arithmetic_rounds_as_machine_code_does() {
    let values =
        [1.0f32, 1e-40, -3.5, 0.1, f32::NAN, f32::INFINITY, -0.0, 16777217.0, 1e38, f32::MIN_POSITIVE];
    let n = values.len() as i64;
    let ops = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Rem, Binary::Max, Binary::Min];
    for op in ops {
        let (i, j) = (Expr::var(0), Expr::var(1));
        let body = vec![
            let_(0, DType::F32, load(0, i.clone())),
            let_(1, DType::F32, load(0, j.clone())),
            let_(2, DType::F32, Inst::Binary(op, Val(0), Val(1))),
            Stmt::Store { buffer: BufferRef::Param(1), index: i.scale(n).add(&j), value: Val(2) },
        ];
        let loops = for_(0, n, LoopKind::Serial, vec![for_(1, n, LoopKind::Vector, body)]);
        let params =
            vec![param("x", DType::F32, n, Access::Read), param("y", DType::F32, n * n, Access::Write)];
        let mut tensors = [Tensor::from_f32(&[n], &values), Tensor::zeros(DType::F32, &[n, n])];
        eval_on_tensors(&kernel(params, vec![loops]), &mut tensors, &[]).unwrap();
        let table = |f: &dyn Fn(f64, f64) -> f64| {
            let pairs = values.iter().flat_map(|&a| values.iter().map(move |&b| (a as f64, b as f64)));
            Tensor::from_f64(DType::F32, &[n, n], &pairs.map(|(a, b)| f(a, b)).collect::<Vec<_>>())
        };
        // Double rounding is innocuous here, so double precision is an independent oracle.
        tensors[1].same(&table(&|a, b| op.eval_float(a, b))).unwrap();
    }
}

#[test]
fn bad_indices_are_reported_and_go_on_with_zero() {
    let body = vec![
        let_(0, DType::I64, load(0, Expr::var(0))),
        let_(1, DType::I64, Inst::CheckedIndex { value: Val(0), extent: 4.into() }),
        let_(2, DType::F32, load(1, Expr::value(1))),
        Stmt::Store { buffer: BufferRef::Param(2), index: Expr::var(0), value: Val(2) },
    ];
    let params = vec![
        param("index", DType::I64, 3, Access::Read),
        param("data", DType::F32, 4, Access::Read),
        param("out", DType::F32, 3, Access::Write),
    ];
    let k = kernel(params, vec![for_(0, 3, LoopKind::Serial, body)]);
    let run = |index: &[i64]| {
        let mut tensors = [
            Tensor::from_i64(DType::I64, &[3], index),
            Tensor::from_f32(&[4], &[10.0, 11.0, 12.0, 13.0]),
            Tensor::zeros(DType::F32, &[3]),
        ];
        let error = eval_on_tensors(&k, &mut tensors, &[]).unwrap();
        (error, tensors[2].to_f32())
    };
    assert_eq!(run(&[3, 0, 1]), (None, vec![13.0, 10.0, 11.0]));
    assert_eq!(run(&[3, -1, 9]), (Some(IndexError { index: -1, extent: 4 }), vec![13.0, 10.0, 10.0]));
}

#[test]
fn defects_are_errors_and_not_panics() {
    let store = |index: i64, value| Stmt::Store { buffer: BufferRef::Param(0), index: index.into(), value };
    let one = || let_(0, DType::F32, Inst::Const(Scalar::one(DType::F32)));
    let run = |body| {
        let k = kernel(vec![param("out", DType::F32, 2, Access::Write)], body);
        eval_on_tensors(&k, &mut [Tensor::zeros(DType::F32, &[2])], &[])
    };
    assert_eq!(run(vec![one(), store(1, Val(0))]), Ok(None));
    assert!(matches!(
        run(vec![one(), store(2, Val(0))]),
        Err(KernelError::OutOfBounds { index: 2, len: 2, .. })
    ));
    assert!(matches!(run(vec![one(), store(-1, Val(0))]), Err(KernelError::OutOfBounds { index: -1, .. })));
    assert!(matches!(run(vec![store(0, Val(0))]), Err(KernelError::Undefined { what: "value", .. })));
    let wrong = let_(0, DType::F64, Inst::Const(Scalar::one(DType::F64)));
    assert!(matches!(run(vec![wrong, store(0, Val(0))]), Err(KernelError::Type { .. })));
}
