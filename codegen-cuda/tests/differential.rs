//! Printed programs compute what the interpreter of programs computes.

mod device;

use std::path::Path;
use ttk_codegen_cuda::{Options, emit};
use ttk_ir::eval::Tensor;
use ttk_ir::kernel::Kernel;
use ttk_ir::kernel::eval::IndexError;
use ttk_ir::op::RandomStream;
use ttk_ir::program::eval::{ProgramError, eval};
use ttk_ir::program::{Action, Buffer, BufferId, Output, Placement, Program, Step};
use ttk_ir::testing::{GraphOptions, KernelOptions, random_graph, random_kernel};
use ttk_ir::testing::{Values, input_types, random_inputs};
use ttk_ir::{DType, Expr, Graph};
use ttk_passes::{HalfProducts, LowerOptions, lower};

/// Prints, compiles and runs a program on random inputs, and compares its outputs with the interpreter's.
fn compare(program: &Program, inputs: &[Tensor], symbols: &[i64], tolerance: f64) -> Result<(), String> {
    compare_with(program, inputs, symbols, tolerance, &Options::default())
}

fn compare_with(
    program: &Program,
    inputs: &[Tensor],
    symbols: &[i64],
    tolerance: f64,
    options: &Options,
) -> Result<(), String> {
    let printed = emit(program, options).map_err(|e| format!("{e}\n{program}"))?;
    if let Some(folder) = std::env::var_os("TTK_CUDA_SOURCES") {
        let source = printed.source();
        let name = format!("{}_{:08x}.cu", program.name, hash(&source));
        std::fs::write(Path::new(&folder).join(name), &source).map_err(|e| e.to_string())?;
    }
    let want = eval(program, inputs, symbols);
    // Which of several indices out of range is reported depends on the order of threads, and so may nothing else.
    let twice = !matches!(want, Err(ProgramError::Index(_)));
    let shown = || format!("{program}\n{}", body(&printed.source()));
    let got =
        device::run(program, &printed, inputs, symbols, twice).map_err(|e| format!("{e}\n{}", shown()))?;
    let Some(got) = got else { return Ok(()) };
    match (want, got) {
        (Ok(want), Ok(got)) => {
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let near = tolerance * rounding(want.dtype);
                // Sums in another order differ by a part of their largest terms.
                let largest =
                    want.to_f64().into_iter().filter(|v| v.is_finite()).fold(1.0, |m: f64, v| m.max(v.abs()));
                let same = match tolerance {
                    0.0 => got.same(want),
                    _ => got.close(want, near, near * largest),
                };
                same.map_err(|e| format!("output {i}: {e}\n{}", shown()))?;
            }
            Ok(())
        }
        (Err(ProgramError::Index(IndexError { extent, .. })), Err((index, found))) => {
            // Which of several is reported depends on which thread is first.
            if (0..found).contains(&index) { Err(format!("{index} is in range of {extent}")) } else { Ok(()) }
        }
        (Err(e), _) => Err(format!("{e}\n{program}")),
        (Ok(_), Err((index, extent))) => Err(format!("index {index} out of {extent}\n{}", shown())),
    }
}

/// The text after the prelude.
fn body(source: &str) -> &str {
    source.split_once(ttk_ir::device::PROGRAM).map_or(source, |(_, rest)| rest)
}

fn hash(text: &str) -> u32 {
    text.bytes().fold(2166136261, |h, b| (h ^ u32::from(b)).wrapping_mul(16777619))
}

/// How far a number may be from its neighbour, beside 1.
fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-13,
        DType::F32 => 2e-6,
        DType::F16 => 2e-3,
        DType::BF16 => 2e-2,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => 0.0,
    }
}

fn lowered(graph: &Graph, native_math: bool) -> Program {
    let options = LowerOptions {
        native_math,
        half_products: HalfProducts::All,
        donate: vec![false; graph.params().len()],
    };
    lower(graph, &options).unwrap_or_else(|e| panic!("{e}\n{graph}"))
}

fn check_graph(graph: &Graph, symbols: &[i64]) -> Result<(), String> {
    for (native, values) in [(false, Values::Tame), (true, Values::Wild)] {
        let program = lowered(graph, native);
        let mut types = input_types(graph);
        types.truncate(program.inputs.len());
        let inputs = random_inputs(&types, symbols, 7, values);
        compare(&program, &inputs, symbols, 8.0)?;
    }
    Ok(())
}

/// The graphs in the file tests of lowering and of this printer.
#[test]
fn file_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/filetests");
    let mut failures = Vec::new();
    let mut count = 0;
    let list = |name: &str| std::fs::read_dir(folder.join(name)).unwrap().map(|f| f.unwrap().path());
    let mut files: Vec<_> = list("lower").chain(list("cuda")).collect();
    files.sort();
    let only = std::env::var("TTK_ONLY").unwrap_or_default();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for graph in graphs(&text) {
            let name = format!("{} @{}", file.file_name().unwrap().display(), graph.name);
            if !name.contains(&only) {
                continue;
            }
            let symbols: Vec<i64> = (0..graph.symbols.len() as i64).map(|i| 3 + i).collect();
            count += 1;
            if let Err(e) = check_graph(&graph, &symbols) {
                failures.push(format!("{name}: {e}"));
            }
        }
    }
    assert!(count > 0);
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n\n"));
}

/// A linear layer of 16-bit floats asks for the tensor cores' instruction in its inner loop, whatever its sizes.
#[test]
fn half_products_are_on_tensor_cores() {
    for (dtype, rows) in [("bf16", "256"), ("f16", "256"), ("bf16", "n"), ("f16", "n")] {
        let symbols = if rows == "n" { "[n]" } else { "" };
        let graph = ttk_ir::text::parse(&format!(
            "graph @linear{symbols}(%x: {dtype}[{rows},64], %w: {dtype}[96,64]) -> ({dtype}[{rows},96]) {{\n  \
             %0 = dot %x, %w {{contract=[1:1]}} : {dtype}[{rows},96]\n  return %0\n}}\n"
        ))
        .unwrap();
        let source = emit(&lowered(&graph, true), &Options::default()).unwrap().source();
        assert!(source.contains("asm(\"mma.sync"), "{source}");
        let (_, program) = source.split_once(ttk_ir::device::PROGRAM).unwrap();
        assert!(program.contains(&format!("tt_mma_m16n8k16_{dtype}(total")), "{program}");
        let symbols: &[i64] = if rows == "n" { &[37] } else { &[] };
        check_graph(&graph, symbols).unwrap();
    }
}

/// A kernel that makes many small results at once is printed as so many functions that a thread has registers for each.
#[test]
fn many_results_at_once_stay_in_registers() {
    for (results, functions) in [(20, 1), (40, 2), (113, 5)] {
        let lines = |f: &dyn Fn(usize) -> String, between: &str| {
            (0..results).map(f).collect::<Vec<_>>().join(between)
        };
        let kernel = ttk_ir::kernel::text::parse(&format!(
            "kernel @many({}, {}) {{\n  for %i in 0..1 parallel {{\n    for %j in 0..384 vector {{\n{}\n    }}\n  }}\n}}\n",
            lines(&|i| format!("%x{i}: f32[384]"), ", "),
            lines(&|i| format!("%y{i}: mut f32[384]"), ", "),
            lines(&|i| format!("%a{i}: f32 = load %x{i}[%j]\n%b{i}: f32 = mul %a{i}, %a{i}\nstore %y{i}[%j], %b{i}"), "\n"),
        ))
        .unwrap();
        let (program, symbols) = launch_of(kernel, &[]);
        let source = emit(&program, &Options::default()).unwrap().source();
        let found = body(&source).matches("TT_KERNEL(").count();
        assert_eq!(found, functions, "{results} results: {}", body(&source));
        let inputs = random_inputs(&program.inputs, &symbols, 7, Values::Tame);
        compare(&program, &inputs, &symbols, 0.0).unwrap();
    }
}

/// The graphs in a file.
fn graphs(text: &str) -> Vec<Graph> {
    let mut out = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("graph ") {
            let mut graph = line.to_string() + "\n";
            for line in lines.by_ref() {
                graph += line;
                graph += "\n";
                if line == "}" {
                    break;
                }
            }
            out.push(ttk_ir::text::parse(&graph).unwrap());
        }
    }
    out
}

/// A program that launches one kernel: what it only reads are inputs, what it writes are copies of inputs.
fn launch_of(kernel: Kernel, symbols: &[i64]) -> (Program, Vec<i64>) {
    let values: Vec<Expr> = symbols.iter().map(|s| Expr::constant(*s)).collect();
    let mut program = Program {
        name: "one".into(),
        symbols: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        buffers: Vec::new(),
        arena: Expr::constant(0),
        kernels: vec![kernel.clone()],
        steps: Vec::new(),
    };
    let mut buffers = Vec::new();
    let step = |action| Step { action, loc: ttk_ir::graph::Loc { file: "random".into(), line: 0 } };
    for p in &kernel.params {
        let len = p.len.eval_symbols(symbols).max(0);
        let ty = ttk_ir::Type { dtype: p.dtype, shape: [ttk_ir::Dim::Fixed(len)].into_iter().collect() };
        let input = Placement::Input(program.inputs.len() as u32);
        program.inputs.push(ty.clone());
        let mut id = BufferId(program.buffers.len() as u32);
        program.buffers.push(Buffer { dtype: p.dtype, len: len.into(), placement: input });
        if p.access == ttk_ir::kernel::Access::Write {
            let output = BufferId(program.buffers.len() as u32);
            program.buffers.push(Buffer { dtype: p.dtype, len: len.into(), placement: Placement::Output });
            program.steps.push(step(Action::Copy { input: id, output }));
            program.outputs.push(Output { ty, buffer: output });
            id = output;
        }
        buffers.push(id);
    }
    let work = Expr::constant(1);
    program.steps.push(step(Action::Launch { kernel: 0, buffers, symbols: values, work }));
    (program, Vec::new())
}

/// Kernels of any shape that the verifier accepts, on all numbers.
#[test]
fn random_kernels() {
    let mut failures = Vec::new();
    let seeds = std::env::var("TTK_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(24);
    let start = std::env::var("TTK_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for seed in start..start + seeds {
        let options = KernelOptions { statements: 24, discontinuous: false, ..KernelOptions::default() };
        let kernel = random_kernel(seed, &options);
        let symbols: Vec<i64> = (0..kernel.n_symbols as i64).map(|i| 3 + i).collect();
        let (program, symbols) = launch_of(kernel, &symbols);
        let types = program.inputs.clone();
        for values in [Values::Tame, Values::Wild] {
            let inputs = random_inputs(&types, &symbols, seed, values);
            if let Err(e) = compare(&program, &inputs, &symbols, 8.0) {
                failures.push(format!("seed {seed}, {values:?}: {e}"));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n\n"));
}

/// A program from the text of a graph.
fn check_text(text: &str, symbols: &[i64]) -> Result<(), String> {
    check_graph(&ttk_ir::text::parse(text).unwrap(), symbols)
}

/// Rows that fit a chunk, that need an odd and an even number of merges, along every axis, with ties and NaN.
#[test]
fn sorts() {
    let mut failures = Vec::new();
    for dtype in ["f32", "f64", "bf16", "f16", "i64", "i32", "i8", "u8", "bool"] {
        for (shape, axis) in [("3,8", 1), ("5,70", 1), ("130,2,3", 0)] {
            for descending in [false, true] {
                let text = format!(
                    "graph @sort(%x: {dtype}[{shape}]) -> (i64[{shape}]) {{\n  %0 = argsort %x {{axis={axis}, descending={descending}}} : i64[{shape}]\n  return %0\n}}\n"
                );
                failures.extend(check_text(&text, &[]).err());
            }
        }
    }
    for (dtype, shape, axis, symbols) in [
        ("f32", "2,3000", 1, vec![]),
        ("i8", "9000", 0, vec![]),
        ("f64", "n,2", 0, vec![5000]),
        ("i32", "2,n", 1, vec![70]),
    ] {
        let n = if symbols.is_empty() { "" } else { "[n]" };
        let text = format!(
            "graph @sort{n}(%x: {dtype}[{shape}]) -> (i64[{shape}]) {{\n  %0 = argsort %x {{axis={axis}, descending=false}} : i64[{shape}]\n  return %0\n}}\n"
        );
        failures.extend(check_text(&text, &symbols).err());
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n\n"));
}

/// Words in the middle of a stream.
#[test]
fn random_words() {
    for (n, drawn) in [(1, 0), (1000, 3), (7, 4), (258, 1 << 40)] {
        let text = format!(
            "graph @words(%s: i64[2]) -> (i32[{n}]) {{\n  %0 = random_bits %s {{stream=philox}} : i32[{n}]\n  return %0\n}}\n"
        );
        let graph = ttk_ir::text::parse(&text).unwrap();
        let state = Tensor::from_i64(DType::I64, &[2], &[-5, drawn]);
        compare(&lowered(&graph, false), &[state], &[], 0.0).unwrap();
    }
    for stream in RandomStream::ALL.into_iter().filter(|s| s.state_len() == 3) {
        for (n, drawn, threads) in [(6, 0, 256), (1000, 8, 256), (2600, 4, 64), (258, 1 << 40, 3)] {
            let name = stream.name();
            let text = format!(
                "graph @words(%s: i64[3]) -> (i32[{n}]) {{\n  %0 = random_bits %s {{stream={name}}} : i32[{n}]\n  return %0\n}}\n"
            );
            let graph = ttk_ir::text::parse(&text).unwrap();
            let state = Tensor::from_i64(DType::I64, &[3], &[-5, drawn, threads]);
            compare(&lowered(&graph, false), &[state], &[], 0.0).unwrap();
        }
    }
}

/// Products of every type, layout and shape: whole tiles and parts of them, batches, sums shared by blocks.
#[test]
fn products() {
    let mut failures = Vec::new();
    // Left, right, contraction, result.
    let shapes = [
        ("70,40", "40,24", "1:0", "70,24"),
        ("40,70", "24,40", "0:1", "70,24"),
        ("64,64", "64,64", "1:1", "64,64"),
        ("5,3", "3,7", "1:0", "5,7"),
        ("16,1000", "1000,8", "1:0", "16,8"),
        ("1000,16", "1000,24", "0:0", "16,24"),
    ];
    for dtype in ["f32", "f16", "bf16", "f64", "i32", "i8", "i64"] {
        for (a, b, contract, c) in shapes {
            let text = format!(
                "graph @product(%x: {dtype}[{a}], %y: {dtype}[{b}]) -> ({dtype}[{c}]) {{\n  %0 = dot %x, %y {{contract=[{contract}]}} : {dtype}[{c}]\n  return %0\n}}\n"
            );
            failures.extend(check_product(&text, &[], &Options::default()).err());
            if dtype == "f32" {
                failures
                    .extend(check_product(&text, &[], &Options { tf32: true, ..Options::default() }).err());
            }
        }
        let large = format!(
            "graph @large[n](%x: {dtype}[n,48], %y: {dtype}[48,n]) -> ({dtype}[n,n]) {{\n  %0 = dot %x, %y {{contract=[1:0]}} : {dtype}[n,n]\n  return %0\n}}\n"
        );
        failures.extend(check_product(&large, &[140], &Options::default()).err());
        let batch = format!(
            "graph @batch(%x: {dtype}[3,2,20,8], %y: {dtype}[3,2,8,16]) -> ({dtype}[3,2,20,16]) {{\n  %0 = dot %x, %y {{batch=[0:0,1:1], contract=[3:2]}} : {dtype}[3,2,20,16]\n  return %0\n}}\n"
        );
        failures.extend(check_product(&batch, &[], &Options::default()).err());
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n\n"));
}

fn check_product(text: &str, symbols: &[i64], options: &Options) -> Result<(), String> {
    let program = lowered(&ttk_ir::text::parse(text).unwrap(), true);
    let inputs = random_inputs(&program.inputs, symbols, 3, Values::Tame);
    // Operands of 11 bits.
    compare_with(&program, &inputs, symbols, if options.tf32 { 2000.0 } else { 8.0 }, options)
}

/// Shapes that are mapped in other ways than those of the file tests: long sums down columns and over several
/// axes, padded and transposed arrays, several results of a loop.
#[test]
fn shapes() {
    const GRAPHS: &str = include_str!("shapes.ttir");
    let mut failures = Vec::new();
    for graph in graphs(GRAPHS) {
        let symbols: Vec<i64> = (0..graph.symbols.len() as i64).map(|i| 37 + i).collect();
        if let Err(e) = check_graph(&graph, &symbols) {
            failures.push(format!("@{}: {e}", graph.name));
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n\n"));
}

/// Graphs of any shape.
#[test]
fn random_graphs() {
    let mut failures = Vec::new();
    let seeds = std::env::var("TTK_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(24);
    let start = std::env::var("TTK_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for seed in start..start + seeds {
        let options = GraphOptions { discontinuous: false, effects: false, ..GraphOptions::default() };
        let graph = random_graph(seed, &options);
        let program = lowered(&graph, seed % 2 == 0);
        let symbols: Vec<i64> = (0..graph.symbols.len() as i64).map(|i| 5 + 30 * i).collect();
        let inputs = random_inputs(&program.inputs, &symbols, seed, Values::Tame);
        if let Err(e) = compare(&program, &inputs, &symbols, 64.0) {
            failures.push(format!("seed {seed}: {e}"));
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n\n"));
}

/// Scatters of sums whose order is given up.
#[test]
fn scatters_by_atomic_additions() {
    let mut failures = Vec::new();
    for (dtype, shape, updates, axis) in [
        ("f32", "50,16", "40,16", 0),
        ("f64", "3,40", "3,30", 1),
        ("i32", "20", "90", 0),
        ("i64", "7,2", "30,2", 0),
        ("bf16", "7,2", "30,2", 0),
    ] {
        let text = format!(
            "graph @scatter(%x: {dtype}[{shape}], %i: i64[{updates}], %v: {dtype}[{updates}]) -> ({dtype}[{shape}]) {{\n  %0 = scatter %x, %i, %v {{axis={axis}, mode=add}} : {dtype}[{shape}]\n  return %0\n}}\n"
        );
        let program = lowered(&ttk_ir::text::parse(&text).unwrap(), true);
        let mut inputs = random_inputs(&program.inputs, &[], 5, Values::Tame);
        let at: Vec<i64> = (0..inputs[1].len() as i64).map(|i| i * 7 % 5).collect();
        inputs[1] = Tensor::from_i64(DType::I64, &inputs[1].dims, &at);
        let options = Options { atomics: true, ..Options::default() };
        let source = emit(&program, &options).unwrap().source();
        let atomic = body(&source).contains("atomicAdd");
        if atomic == (dtype == "bf16") {
            failures.push(format!("{dtype}: {}", body(&source)));
        }
        // Whole numbers, of which no sum is rounded: the two orders that the stand-in tries must agree.
        for i in [0, 2] {
            let whole: Vec<f64> = (0..inputs[i].len()).map(|n| (n * 37 % 11) as f64 - 5.0).collect();
            inputs[i] = Tensor::from_f64(inputs[i].dtype, &inputs[i].dims, &whole);
        }
        failures.extend(compare_with(&program, &inputs, &[], 0.0, &options).err());
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n\n"));
}

/// Sine and cosine of `f64` are this crate's own: near multiples of a quarter turn, beyond 2^20, where another reduction
/// begins, up to the largest number, and of what is no number.
#[test]
fn sines_and_cosines_of_doubles_of_all_sizes() {
    let mut values = vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, 5e-324, 1e22];
    // The double that is nearest to a multiple of a quarter turn, and its cosine, which the processor's library need not know.
    let nearest = (6381956970095103.0 * 2f64.powi(797), -4.687_165_924_254_628e-19);
    values.push(nearest.0);
    for i in 0..600 {
        let quarter = std::f64::consts::FRAC_PI_2 * f64::from(i * i * i);
        let size = 2f64.powi(i * 3 - 800) * (1.0 + f64::from(i) * 0.618 % 1.0);
        values.extend([quarter, -quarter, f64::from(i) * 0.1, size, -size]);
    }
    values.extend([-1, 0, 1].map(|d| f64::from_bits(2f64.powi(20).to_bits().wrapping_add_signed(d))));
    let n = values.len();
    let graph = ttk_ir::text::parse(&format!(
        "graph @turns(%x: f64[{n}]) -> (f64[{n}], f64[{n}]) {{\n  %0 = sin %x : f64[{n}]\n  \
         %1 = cos %x : f64[{n}]\n  return %0, %1\n}}\n"
    ))
    .unwrap();
    let program = lowered(&graph, true);
    let printed = emit(&program, &Options::default()).unwrap();
    assert!(printed.source().contains("tt_sin(") && printed.source().contains("tt_cos("));
    let input = Tensor::from_f64(DType::F64, &[n as i64], &values);
    let out = device::run(&program, &printed, &[input], &[], true).unwrap().unwrap().unwrap();
    let functions: [fn(f64) -> f64; 2] = [f64::sin, f64::cos];
    for (got, f) in out.iter().zip(functions) {
        for (x, y) in values.iter().zip(got.to_f64()) {
            let want = if *x == nearest.0 && f(0.0) == 1.0 { nearest.1 } else { f(*x) };
            let ulps = (y - want).abs() / (want.abs().max(f64::MIN_POSITIVE) * f64::EPSILON);
            let same = y.to_bits() == want.to_bits() || (y.is_nan() && want.is_nan()) || ulps <= 2.0;
            assert!(same, "{x:?}: {y:?}, not {want:?}");
        }
    }
}
