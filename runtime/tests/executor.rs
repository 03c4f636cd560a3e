//! The executor against the interpreter of programs.

mod common;

use common::{Lcg, Make, axpy, bias_rows, buffer, buffers, gather, pack, scale_items};
use ttk_ir::eval::Tensor;
use ttk_ir::op::RandomStream;
use ttk_ir::program::{
    Action, Argsort, BufferId, Epilogue, Gemm, Matrix, Operand, Placement, eval::eval as interpret,
};
use ttk_ir::{DType, Dim, Expr, Scalar, Type};
use ttk_runtime::{Buffer, RunError, custom, threads};

const F: DType = DType::F32;

fn c(v: i64) -> Expr {
    Expr::constant(v)
}

/// Runs on several numbers of threads; all must agree bit for bit, and with the interpreter to within
/// `tolerance` of the largest value.
fn check(make: &Make, inputs: &[Tensor], symbols: &[i64], tolerance: f64, what: &str) {
    let want = interpret(&make.program, inputs, symbols).unwrap();
    let plan = make.plan().unwrap();
    let mut first: Option<Vec<Buffer>> = None;
    for n in [1, 2, 5] {
        threads::set_num_threads(n);
        let got = plan.run(buffers(inputs), symbols).unwrap();
        assert_eq!(got.len(), want.len());
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            if let Some(first) = &first {
                assert_eq!(got.bytes(), first[i].bytes(), "{what}: {n} threads differ, output {i}");
            }
            let got = Tensor { data: got.to_vec(), ..want.clone() };
            let scale = (0..want.len()).map(|i| want.get(i).as_f64().abs()).fold(1.0, f64::max);
            for at in 0..want.len() {
                let (g, w) = (got.get(at), want.get(at));
                let good = g == w || (g.as_f64() - w.as_f64()).abs() <= tolerance * scale;
                assert!(good, "{what}: output {i} element {at}: {} for {}", g.as_f64(), w.as_f64());
            }
        }
        first.get_or_insert(got);
    }
}

#[test]
fn launches_symbols_reuse_and_outputs() {
    let mut make = Make::new(1);
    let n = Dim::symbol(0);
    let vector = Type::new(F, [n.clone()].as_slice());
    let (a, b) = (make.input(vector.clone()), make.input(vector.clone()));
    let t = make.buffer(F, n.expr(), Placement::Arena { offset: c(0) });
    make.program.arena = n.expr().scale(4).offset(63).floor_div(&c(64)).scale(64);
    let in_place = make.buffer(F, n.expr(), Placement::Reuse(t));
    let out = make.output(vector.clone());
    let donated = make.buffer(F, n.expr(), Placement::Reuse(a));
    make.program.outputs.push(ttk_ir::program::Output { ty: vector.clone(), buffer: donated });
    make.program.outputs.push(ttk_ir::program::Output { ty: vector, buffer: b });
    let k = make.kernel(axpy());
    let symbols = [n.expr()];
    make.launch(k, &[a, b, t], &symbols, 10);
    make.launch(k, &[t, b, in_place], &symbols, 10);
    make.launch(k, &[in_place, a, out], &symbols, 100_000);
    make.launch(k, &[a, out, donated], &symbols, 1000);
    let mut rng = Lcg(1);
    for n in [1, 5, 64, 1000, 3001] {
        check(&make, &[rng.tensor(F, &[n]), rng.tensor(F, &[n])], &[n], 0.0, "launches");
    }

    // A sole handle is overwritten; with another handle, or foreign memory, the caller's bytes stay.
    let plan = make.plan().unwrap();
    let (x, y) = (rng.tensor(F, &[5]), rng.tensor(F, &[5]));
    let (moved, kept) = (buffer(&x), buffer(&x));
    let place = moved.as_ptr();
    let mine = plan.run(vec![moved, buffer(&y)], &[5]).unwrap();
    assert_eq!(mine[1].as_ptr(), place);
    let theirs = plan.run(vec![kept.clone(), buffer(&y)], &[5]).unwrap();
    assert_eq!(kept.bytes(), x.data);
    assert_ne!(theirs[1].as_ptr(), kept.as_ptr());
    assert_eq!(mine[1].bytes(), theirs[1].bytes());

    // What is wrong with the inputs is said.
    let short = || Buffer::new(8).unwrap();
    let five = || buffer(&y);
    assert!(matches!(plan.run(vec![five()], &[5]), Err(RunError::InputCount { expected: 2, given: 1, .. })));
    assert!(matches!(
        plan.run(vec![five(), short()], &[5]),
        Err(RunError::InputSize { input: 1, expected: 20, given: 8, .. })
    ));
    assert!(matches!(plan.run(vec![five(), five()], &[]), Err(RunError::SymbolCount { .. })));
    assert!(matches!(plan.run(vec![five(), five()], &[0]), Err(RunError::SymbolValue { value: 0, .. })));
    assert!(plan.run(vec![five(), five()], &[i64::MAX]).is_err());
}

#[test]
fn an_index_out_of_range_is_an_error_with_its_line() {
    let mut make = Make::new(0);
    let (data, index) = (make.input(Type::fixed(F, &[4])), make.input(Type::fixed(DType::I64, &[3])));
    let out = make.output(Type::fixed(F, &[3]));
    let k = make.kernel(gather());
    make.launch(k, &[data, index, out], &[c(4), c(3)], 1);
    let plan = make.plan().unwrap();
    let run = |index: [i64; 3]| {
        plan.run(
            vec![Buffer::from_slice(&[1.0f32, 2.0, 3.0, 4.0]).unwrap(), Buffer::from_slice(&index).unwrap()],
            &[],
        )
    };
    assert_eq!(run([3, 0, 1]).unwrap()[0].to_vec::<f32>(), [4.0, 1.0, 2.0]);
    for bad in [[0, 4, 0], [-1, 0, 0]] {
        let error = run(bad).unwrap_err();
        let want = RunError::IndexOutOfRange { step: "gather".into(), file: "model.py".into(), line: 10 };
        assert_eq!(error, want);
    }
    assert!(run([0, 0, 0]).is_ok(), "an error does not outlive its run");
}

#[test]
fn sorts_random_words_copies_and_custom_kernels() {
    let mut rng = Lcg(3);
    for dtype in DType::ALL {
        for (outer, len, inner) in [(1, 0, 1), (1, 1, 1), (3, 7, 5), (40, 33, 1), (1, 5000, 2)] {
            for descending in [false, true] {
                let mut make = Make::new(0);
                let dims = [outer, len, inner];
                let input = make.input(Type::fixed(dtype, &dims));
                let output = make.output(Type::fixed(DType::I64, &dims));
                make.step(Action::Argsort(Box::new(Argsort {
                    input,
                    output,
                    outer: c(outer),
                    len: c(len),
                    inner: c(inner),
                    wanted: c(len),
                    descending,
                })));
                let mut x = rng.tensor(dtype, &dims);
                if dtype.is_float() {
                    let odd = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1e-42];
                    for i in (0..x.len()).step_by(3) {
                        x.set(i, Scalar::from_f64(dtype, rng.pick(&odd)));
                    }
                }
                check(&make, &[x], &[], 0.0, &format!("argsort {dtype} {dims:?}"));
            }
        }
    }

    let mut make = Make::new(0);
    let state = make.input(Type::fixed(DType::I64, &[2]));
    let words = make.output(Type::fixed(DType::I32, &[1500]));
    let again = make.output(Type::fixed(DType::I32, &[1500]));
    make.step(Action::RandomBits { stream: RandomStream::Mt19937, state, output: words });
    make.step(Action::Copy { input: words, output: again });
    for state in [[0i64, 0], [42, 1500], [42, 700]] {
        let data = state.iter().flat_map(|v| v.to_le_bytes()).collect();
        check(&make, &[Tensor { dtype: DType::I64, dims: vec![2], data }], &[], 0.0, "random bits");
    }

    let mut make = Make::new(0);
    let ty = Type::fixed(F, &[3]);
    let (input, output) = (make.input(ty.clone()), make.output(ty.clone()));
    make.step(Action::Custom {
        name: "test.negate".into(),
        attributes: vec![5],
        inputs: vec![(input, ty.clone())],
        output: (output, ty),
    });
    assert_eq!(make.plan().unwrap_err(), RunError::UnknownCustom { name: "test.negate".into() });
    custom::register(
        "test.negate",
        std::sync::Arc::new(|attributes, inputs, output| {
            if inputs[0].bytes[3] & 0x80 != 0 {
                return Err("already negative".into());
            }
            assert_eq!((attributes, inputs[0].shape), ([5].as_slice(), [3].as_slice()));
            for (o, i) in output.bytes.chunks_mut(4).zip(inputs[0].bytes.chunks(4)) {
                o.copy_from_slice(&(-f32::from_le_bytes(i.try_into().unwrap())).to_le_bytes());
            }
            Ok(())
        }),
    );
    let plan = make.plan().unwrap();
    let out = plan.run(vec![Buffer::from_slice(&[1.0f32, 2.0, 3.0]).unwrap()], &[]).unwrap();
    assert_eq!(out[0].to_vec::<f32>(), [-1.0, -2.0, -3.0]);
    assert!(matches!(plan.run(out, &[]), Err(RunError::Custom { .. })));
}

#[test]
fn a_long_row_sorts_in_pieces() {
    let len = 300_000i64;
    for dtype in [F, DType::I64] {
        let mut make = Make::new(0);
        let input = make.input(Type::fixed(dtype, &[len]));
        let output = make.output(Type::fixed(DType::I64, &[len]));
        let sort = Argsort {
            input,
            output,
            outer: c(1),
            len: c(len),
            inner: c(1),
            wanted: c(len),
            descending: dtype == F,
        };
        make.step(Action::Argsort(Box::new(sort)));
        check(&make, &[Lcg(9).tensor(dtype, &[len])], &[], 0.0, "long argsort");
    }
}

/// What is asked for of a row is what a sort of the whole row has there; short rows, long ones, and ones whose last
/// piece is short.
#[test]
fn the_first_positions_are_those_of_the_whole_sort() {
    let cases = [(4, 100, 3, 1), (4, 100, 3, 12), (4, 100, 3, 90), (1, 200_000, 1, 1), (1, 200_000, 1, 700)];
    for (outer, len, inner, wanted) in
        cases.into_iter().chain([(2, 65_536 + 50, 2, 20), (1, 150_000, 1, 100_000)])
    {
        for descending in [false, true] {
            let mut make = Make::new(0);
            let dims = [outer, len, inner];
            let input = make.input(Type::fixed(F, &dims));
            let output = make.output(Type::fixed(DType::I64, &dims));
            let (outer, inner) = (c(outer), c(inner));
            let sort = Argsort { input, output, outer, len: c(len), inner, wanted: c(wanted), descending };
            make.step(Action::Argsort(Box::new(sort)));
            // Whole numbers, so that many are equal and their order is by position.
            let numbers: Vec<f32> = {
                let x = Lcg(9).tensor(F, &dims);
                (0..x.len()).map(|i| (x.get(i).as_f64() as f32 * 20.0).floor()).collect()
            };
            let plan = make.plan().unwrap();
            let order =
                plan.run(vec![Buffer::from_slice(&numbers).unwrap()], &[]).unwrap()[0].to_vec::<i64>();
            let at = |o: i64, l: i64, i: i64| ((o * dims[1] + l) * dims[2] + i) as usize;
            for (o, i) in (0..dims[0]).flat_map(|o| (0..dims[2]).map(move |i| (o, i))) {
                let mut all: Vec<i64> = (0..len).collect();
                all.sort_by(|&a, &b| {
                    let (x, y) = (numbers[at(o, a, i)], numbers[at(o, b, i)]);
                    if descending { y.total_cmp(&x) } else { x.total_cmp(&y) }
                });
                let found: Vec<i64> = (0..wanted).map(|l| order[at(o, l, i)]).collect();
                assert_eq!(
                    found,
                    all[..wanted as usize],
                    "{dims:?}, {wanted} of them, descending: {descending}"
                );
            }
        }
    }
}

/// Which operands of a product are computed, and what runs on the result.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Kind {
    pack_a: bool,
    pack_b: bool,
    /// No epilogue, or one by rows (true) or by items (false).
    epilogue: Option<bool>,
}

#[derive(Debug)]
struct Case {
    dtype: DType,
    mnk: [i64; 3],
    batch: Vec<i64>,
    reduce: Vec<i64>,
    kind: Kind,
}

/// Strides, innermost axis last, of a dense tensor with the axes in random order, some of them broadcast.
fn layout(rng: &mut Lcg, sizes: &[i64], may_repeat: usize) -> (Vec<i64>, i64) {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, rng.below(i + 1));
    }
    let (mut strides, mut len) = (vec![0; sizes.len()], 1);
    for &axis in &order {
        if axis < may_repeat && rng.below(4) == 0 {
            continue;
        }
        strides[axis] = len;
        len *= sizes[axis];
    }
    (strides, len)
}

fn gemm_case(rng: &mut Lcg, case: &Case) {
    let Case { dtype, mnk: [m, n, k], batch, reduce, kind } = case;
    let (dtype, m, n, k) = (*dtype, *m, *n, *k);
    let mut make = Make::new(0);
    let mut inputs = Vec::new();
    let items: i64 = batch.iter().product();
    let axes: Vec<i64> = batch.iter().chain(reduce).copied().collect();
    let pack_kernel = make.kernel(pack());
    let operand = |make: &mut Make, rng: &mut Lcg, inputs: &mut Vec<Tensor>, packed: bool, r: i64, q: i64| {
        if packed {
            let (item_strides, count) = layout(rng, &axes, axes.len());
            let len = count * r * q;
            inputs.push(rng.tensor(dtype, &[len]));
            let x = make.input(Type::fixed(dtype, &[len]));
            return Operand::Packed {
                kernel: pack_kernel,
                buffers: vec![x],
                symbols: vec![c(r), c(q), c(count)],
                len: c(r * q),
                item_strides: item_strides.into_iter().map(c).collect(),
                row_stride: c(q),
                col_stride: c(1),
            };
        }
        let sizes: Vec<i64> = axes.iter().copied().chain([r, q]).collect();
        let (strides, len) = layout(rng, &sizes, axes.len());
        let offset = rng.below(5) as i64;
        inputs.push(rng.tensor(dtype, &[len + offset]));
        let buffer = make.input(Type::fixed(dtype, &[len + offset]));
        Operand::Strided(matrix(buffer, offset, &strides))
    };
    let a = operand(&mut make, rng, &mut inputs, kind.pack_a, m, k);
    let b = operand(&mut make, rng, &mut inputs, kind.pack_b, k, n);
    let mut out_sizes = batch.clone();
    out_sizes.extend([m, n]);
    let (mut strides, _) = layout(rng, &out_sizes, 0);
    if kind.epilogue.is_some() {
        // The epilogues know dense results only.
        let mut len = 1;
        for (s, size) in strides.iter_mut().zip(&out_sizes).rev() {
            *s = len;
            len *= size;
        }
    }
    let out = make.output(Type::fixed(dtype, &[items * m * n]));
    let epilogue = kind.epilogue.map(|rows| {
        let len = if rows { n } else { items };
        inputs.push(rng.tensor(F, &[len]));
        let extra = make.input(Type::fixed(F, &[len]));
        let kernel = make.kernel(if rows { bias_rows() } else { scale_items() });
        let symbols = if rows { vec![c(items * m), c(n)] } else { vec![c(items), c(m * n)] };
        Epilogue { kernel, buffers: vec![extra], symbols, rows }
    });
    make.step(Action::Gemm(Box::new(Gemm {
        dtype,
        m: c(m),
        n: c(n),
        k: c(k),
        batch: batch.iter().map(|&v| c(v)).collect(),
        reduce: reduce.iter().map(|&v| c(v)).collect(),
        a,
        b,
        c: matrix(out, 0, &strides),
        epilogue,
    })));
    let tolerance = match dtype {
        DType::F32 => 1e-5,
        DType::F64 => 1e-14,
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => 0.0,
    };
    check(&make, &inputs, &[], tolerance, &format!("{case:?}"));
}

fn matrix(buffer: BufferId, offset: i64, strides: &[i64]) -> Matrix {
    let (batch, inner) = strides.split_at(strides.len() - 2);
    Matrix {
        buffer,
        offset: c(offset),
        batch_strides: batch.iter().map(|&v| c(v)).collect(),
        row_stride: c(inner[0]),
        col_stride: c(inner[1]),
    }
}

#[test]
fn small_products_of_every_kind() {
    let mut rng = Lcg(5);
    let sizes = [1, 2, 3, 8, 17, 33];
    for round in 0..400 {
        let dtype = DType::ALL[1 + round % 9];
        let axes = |rng: &mut Lcg| (0..rng.below(3)).map(|_| 1 + rng.below(4) as i64).collect();
        let kind = Kind {
            pack_a: dtype == F && rng.below(2) == 0,
            pack_b: dtype == F && rng.below(2) == 0,
            epilogue: (dtype == F).then(|| rng.pick(&[None, Some(true), Some(false)])).flatten(),
        };
        let mnk = [rng.pick(&sizes), rng.pick(&sizes), rng.pick(&sizes)];
        let case = Case { dtype, mnk, batch: axes(&mut rng), reduce: axes(&mut rng), kind };
        gemm_case(&mut rng, &case);
    }
}

#[test]
fn products_large_enough_to_be_cut() {
    let plain = Kind { pack_a: false, pack_b: false, epilogue: None };
    let rows = Kind { epilogue: Some(true), ..plain };
    let whole = Kind { epilogue: Some(false), ..plain };
    let mut rng = Lcg(6);
    for (dtype, mnk, batch, reduce, kind) in [
        (F, [300, 200, 64], vec![], vec![], plain),
        (F, [300, 200, 64], vec![], vec![], rows),
        (F, [300, 200, 64], vec![], vec![], whole),
        (F, [40, 900, 100], vec![], vec![], rows),
        (F, [1, 3000, 900], vec![], vec![], plain),
        (F, [1024, 100, 70], vec![], vec![], plain),
        (F, [1024, 100, 70], vec![], vec![], rows),
        (F, [100, 1024, 600], vec![], vec![], plain),
        (DType::F64, [70, 512, 600], vec![], vec![2], plain),
        (F, [30, 40, 5000], vec![], vec![], rows),
        (F, [30, 40, 3000], vec![2], vec![], whole),
        (F, [30, 40, 50], vec![], vec![60], Kind { pack_b: true, ..rows }),
        (F, [30, 40, 50], vec![2], vec![6, 10], Kind { pack_a: true, pack_b: true, ..whole }),
        (F, [20, 60, 90], vec![50], vec![], Kind { pack_b: true, ..whole }),
        (F, [20, 60, 90], vec![5, 10], vec![], Kind { pack_a: true, ..rows }),
        (DType::F64, [200, 150, 100], vec![2], vec![], plain),
        (DType::BF16, [70, 1100, 600], vec![], vec![], plain),
        (DType::BF16, [300, 200, 65], vec![], vec![], plain),
        (DType::BF16, [120, 100, 256], vec![3], vec![], plain),
        (DType::BF16, [1, 700, 514], vec![2], vec![], plain),
        (DType::BF16, [900, 1, 512], vec![], vec![], plain),
        (DType::BF16, [30, 40, 5000], vec![], vec![], plain),
        (DType::BF16, [128, 96, 64], vec![2, 3], vec![], plain),
        (DType::BF16, [128, 96, 64], vec![2], vec![3], plain),
        (DType::BF16, [3, 300, 1], vec![], vec![], plain),
        (DType::F16, [40, 40, 600], vec![3], vec![4], plain),
        (DType::I32, [80, 90, 100], vec![3], vec![], plain),
        (DType::I64, [20, 20, 3000], vec![], vec![2], plain),
        (F, [20, 30, 0], vec![2], vec![], rows),
        (F, [20, 30, 7], vec![2], vec![0], plain),
        (DType::I64, [2, 3, 4], vec![], vec![0], plain),
        (DType::BF16, [2, 3, 0], vec![], vec![], plain),
        (F, [0, 30, 7], vec![2], vec![], plain),
    ] {
        gemm_case(&mut rng, &Case { dtype, mnk, batch, reduce, kind });
    }
}

#[test]
fn products_cut_at_any_place() {
    let mut rng = Lcg(7);
    let (sizes, terms) = ([48, 50, 65, 127, 130, 150, 257], [63, 100, 300, 390, 500, 777]);
    for round in 0..30 {
        let dtype = if round % 3 == 0 { DType::F64 } else { F };
        let mnk = [rng.pick(&sizes), rng.pick(&sizes), rng.pick(&terms)];
        let epilogue = (dtype == F).then(|| rng.pick(&[None, None, Some(true), Some(false)])).flatten();
        let kind = Kind { pack_a: false, pack_b: false, epilogue };
        gemm_case(&mut rng, &Case { dtype, mnk, batch: vec![], reduce: vec![], kind });
    }
}

#[test]
fn runs_of_one_plan_at_once() {
    let mut make = Make::new(0);
    let ty = Type::fixed(F, &[64, 64]);
    let (a, b) = (make.input(ty.clone()), make.input(ty.clone()));
    let t = make.temporary(F, 64 * 64);
    let out = make.output(ty);
    make.step(Action::Gemm(Box::new(Gemm {
        dtype: F,
        m: c(64),
        n: c(64),
        k: c(64),
        batch: vec![],
        reduce: vec![],
        a: Operand::Strided(matrix(a, 0, &[64, 1])),
        b: Operand::Strided(matrix(b, 0, &[1, 64])),
        c: matrix(t, 0, &[64, 1]),
        epilogue: None,
    })));
    let k = make.kernel(axpy());
    make.launch(k, &[t, a, out], &[c(64 * 64)], 5000);
    let plan = make.plan().unwrap();
    std::thread::scope(|s| {
        for seed in 0..4 {
            let (plan, make) = (&plan, &make);
            s.spawn(move || {
                let mut rng = Lcg(seed);
                let inputs = [rng.tensor(F, &[64, 64]), rng.tensor(F, &[64, 64])];
                let want = interpret(&make.program, &inputs, &[]).unwrap();
                for _ in 0..50 {
                    let got = plan.run(buffers(&inputs), &[]).unwrap();
                    for (g, w) in got[0].to_vec::<f32>().iter().zip(0..) {
                        assert!((f64::from(*g) - want[0].get(w).as_f64()).abs() < 1e-4);
                    }
                }
            });
        }
    });
}
