//! Convolutions of three by three taps, large enough for Winograd's transformation, against sums in `f64`.

mod common;

use common::{Lcg, Make, buffers};
use ttk_ir::eval::Tensor;
use ttk_ir::program::{Action, BufferId, Gemm, Matrix, Operand};
use ttk_ir::{DType, Expr, Type};
use ttk_runtime::cpu_features::{Level, detect};
use ttk_runtime::{Buffer, threads};

fn c(v: i64) -> Expr {
    Expr::constant(v)
}

fn matrix(buffer: BufferId, offset: i64, batch: &[i64], row: i64, col: i64) -> Matrix {
    let batch_strides = batch.iter().map(|&v| c(v)).collect();
    Matrix { buffer, offset: c(offset), batch_strides, row_stride: c(row), col_stride: c(col) }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    dtype: DType,
    images: i64,
    /// Of the result; the image has two more.
    lines: i64,
    columns: i64,
    channels: i64,
    results: i64,
    /// Filters as those of the gradient of an image lie: turned around, results next to each other.
    turned: bool,
}

impl Case {
    /// Where a filter's tap is: strides of results, channels, lines and columns, and the first element.
    fn filter(&self) -> ([i64; 4], i64) {
        let Case { channels, results, turned, .. } = *self;
        if turned { ([9, 9 * results, -3, -1], 8) } else { ([9 * channels, 9, 3, 1], 0) }
    }

    /// The taps of a place of the result: the number of each, and where its channels begin in the image.
    fn taps(&self, place: i64) -> impl Iterator<Item = (usize, usize)> {
        let Case { lines, columns, channels, .. } = *self;
        let (n, i, j) = (place / (lines * columns), place / columns % lines, place % columns);
        let line = n * (lines + 2) + i;
        (0..9).map(move |tap| {
            let from = ((line + tap / 3) * (columns + 2) + j + tap % 3) * channels;
            (tap as usize, from as usize)
        })
    }
}

fn run(case: Case, by: Option<&str>) {
    let Case { dtype, images, lines, columns, channels, results, .. } = case;
    let line = (columns + 2) * channels;
    let image = (lines + 2) * line;
    let ([k_step, c_step, line_step, column_step], first) = case.filter();
    let mut make = Make::new(0);
    let sizes = [images * image, 9 * channels * results];
    let [x, w] = sizes.map(|n| make.input(Type::fixed(dtype, &[n])));
    let out = make.output(Type::fixed(dtype, &[images * lines * columns * results]));
    make.step(Action::Gemm(Box::new(Gemm {
        dtype,
        m: c(columns),
        n: c(results),
        k: c(channels),
        batch: vec![c(images), c(lines)],
        reduce: vec![c(3), c(3)],
        a: Operand::Strided(matrix(x, 0, &[image, line, line, channels], channels, 1)),
        b: Operand::Strided(matrix(w, first, &[0, 0, line_step, column_step], c_step, k_step)),
        c: matrix(out, 0, &[lines * columns * results, columns * results], results, 1),
        epilogue: None,
    })));
    let mut rng = Lcg(lines as u64);
    let inputs = sizes.map(|n| rng.tensor(dtype, &[n]));
    check(case, by, &make, &inputs, &sums(case, &inputs));
}

/// The gradient of the filters.
fn run_gradient(case: Case, by: Option<&str>) {
    let Case { dtype, images, lines, columns, channels, results, .. } = case;
    let line = (columns + 2) * channels;
    let image = (lines + 2) * line;
    let mut make = Make::new(0);
    let sizes = [images * image, images * lines * columns * results];
    let [x, g] = sizes.map(|n| make.input(Type::fixed(dtype, &[n])));
    let out = make.output(Type::fixed(dtype, &[9 * channels * results]));
    let (g_line, g_image) = (columns * results, lines * columns * results);
    make.step(Action::Gemm(Box::new(Gemm {
        dtype,
        m: c(channels),
        n: c(results),
        k: c(columns),
        batch: vec![c(3), c(3)],
        reduce: vec![c(images), c(lines)],
        a: Operand::Strided(matrix(x, 0, &[line, channels, image, line], 1, channels)),
        b: Operand::Strided(matrix(g, 0, &[0, 0, g_image, g_line], results, 1)),
        c: matrix(out, 0, &[3, 1], 9, 9 * channels),
        epilogue: None,
    })));
    let mut rng = Lcg(columns as u64);
    let inputs = sizes.map(|n| rng.tensor(dtype, &[n]));
    let mut wanted = vec![0.0; (9 * channels * results) as usize];
    let [x, g] = inputs.each_ref().map(numbers);
    for (place, row) in g.chunks_exact(results as usize).enumerate() {
        for (tap, from) in case.taps(place as i64) {
            for (ch, number) in x[from..from + channels as usize].iter().enumerate() {
                for (k, slope) in row.iter().enumerate() {
                    wanted[(k * channels as usize + ch) * 9 + tap] += number * slope;
                }
            }
        }
    }
    check(case, by, &make, &inputs, &wanted);
}

/// On several numbers of threads, which all give the same bits; `by` is the algorithm that is expected where there is one.
fn check(case: Case, by: Option<&str>, make: &Make, inputs: &[Tensor], wanted: &[f64]) {
    let scale = wanted.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let tolerance = if case.dtype == DType::F64 { 2e-14 } else { 1e-5 };
    let plan = make.plan().unwrap();
    if cfg!(target_arch = "x86_64") && detect().level != Level::Baseline {
        assert_eq!(plan.algorithms(&[]).unwrap(), [by], "{case:?}");
    }
    let mut first: Option<Buffer> = None;
    for n in [1, 2, 3] {
        threads::set_num_threads(n);
        let got = plan.run(buffers(inputs), &[]).unwrap().remove(0);
        if let Some(first) = &first {
            assert_eq!(got.bytes(), first.bytes(), "{case:?}: {n} threads differ");
        }
        let numbers: Vec<f64> = match case.dtype {
            DType::F64 => got.to_vec::<f64>(),
            _ => got.to_vec::<f32>().into_iter().map(f64::from).collect(),
        };
        for (at, (g, w)) in numbers.iter().zip(wanted).enumerate() {
            assert!((g - w).abs() <= tolerance * scale, "{case:?}: element {at}: {g} for {w}");
        }
        first.get_or_insert(got);
    }
}

fn numbers(t: &Tensor) -> Vec<f64> {
    (0..t.len()).map(|i| t.get(i).as_f64()).collect()
}

fn sums(case: Case, inputs: &[Tensor; 2]) -> Vec<f64> {
    let Case { images, lines, columns, channels, results, .. } = case;
    let ([k_step, c_step, line_step, column_step], first) = case.filter();
    let [x, w] = inputs.each_ref().map(numbers);
    let mut out = vec![0.0; (images * lines * columns * results) as usize];
    for (place, row) in out.chunks_exact_mut(results as usize).enumerate() {
        for (tap, from) in case.taps(place as i64) {
            let tap = first + tap as i64 / 3 * line_step + tap as i64 % 3 * column_step;
            for ch in 0..channels as usize {
                let at = tap + ch as i64 * c_step;
                for (k, sum) in row.iter_mut().enumerate() {
                    *sum += x[from + ch] * w[(at + k as i64 * k_step) as usize];
                }
            }
        }
    }
    out
}

const WINOGRAD: Option<&str> = Some("winograd");
const FILTERS: Option<&str> = Some("winograd filters");

#[test]
fn tiles_that_are_whole_and_not() {
    let case = Case {
        dtype: DType::F32,
        images: 1,
        lines: 24,
        columns: 24,
        channels: 48,
        results: 64,
        turned: false,
    };
    run(case, WINOGRAD);
    run(Case { images: 2, lines: 13, columns: 30, ..case }, WINOGRAD);
    run(
        Case { images: 3, lines: 15, columns: 14, channels: 64, results: 48, turned: true, ..case },
        WINOGRAD,
    );
    run(Case { dtype: DType::F64, lines: 21, columns: 22, results: 56, ..case }, WINOGRAD);
    run_gradient(case, FILTERS);
    run_gradient(Case { images: 2, lines: 13, columns: 30, ..case }, FILTERS);
    run_gradient(Case { dtype: DType::F64, lines: 21, columns: 22, results: 56, ..case }, FILTERS);
    // More tiles than are transformed at once, and than a tile sums at once.
    run_gradient(Case { lines: 108, columns: 80, ..case }, FILTERS);
}

#[test]
fn few_tiles_and_many_lanes() {
    let case = Case {
        dtype: DType::F32,
        images: 1,
        lines: 16,
        columns: 14,
        channels: 48,
        // Panels of lanes enough for the widest vectors.
        results: 400,
        turned: false,
    };
    run(case, WINOGRAD);
    run(Case { images: 3, lines: 8, turned: true, ..case }, WINOGRAD);
    run(Case { dtype: DType::F64, results: 200, ..case }, WINOGRAD);
    run_gradient(case, FILTERS);
    run_gradient(Case { images: 3, lines: 8, ..case }, FILTERS);
    run_gradient(Case { dtype: DType::F64, results: 200, ..case }, FILTERS);
}

#[test]
fn channels_in_more_than_one_stretch_and_panels_of_two_widths() {
    let case = Case {
        dtype: DType::F32,
        images: 1,
        lines: 20,
        columns: 20,
        channels: 400,
        // Whole vectors, and not whole panels, at either width.
        results: if detect().level == Level::Avx512 { 80 } else { 72 },
        turned: true,
    };
    run(case, WINOGRAD);
    run(Case { turned: false, images: 2, ..case }, WINOGRAD);
    run_gradient(case, FILTERS);
}

#[test]
fn sizes_that_it_is_not_for() {
    let case = Case {
        dtype: DType::F32,
        images: 1,
        lines: 1,
        columns: 450,
        channels: 48,
        results: 48,
        turned: false,
    };
    run(case, None);
    run_gradient(case, None);
    run(Case { lines: 20, columns: 25, channels: 3, ..case }, None);
    run(Case { lines: 20, columns: 25, results: 50, ..case }, None);
    run(Case { lines: 2, columns: 2, images: 110, ..case }, None);
    run_gradient(Case { lines: 2, columns: 2, images: 110, ..case }, None);
}
