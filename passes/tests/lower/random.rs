//! Random graphs: the program means what the graph means.

use ttk_ir::eval::eval;
use ttk_ir::testing::{GraphOptions, Values, input_types, random_graph, random_inputs};
use ttk_ir::text::print;
use ttk_ir::{DType, Dim, Graph};
use ttk_passes::rematerialize::rematerialize;
use ttk_passes::{LowerOptions, Options, lower};

const SYMBOLS: [i64; 4] = [3, 5, 2, 4];

/// Rounding, and the order of sums, may differ by this much of the largest number met.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-9,
        DType::F32 => 2e-4,
        DType::F16 => 5e-2,
        DType::BF16 => 3e-1,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => 0.0,
    }
}

fn run(seed: u64, options: &GraphOptions) {
    let graph = random_graph(seed, options);
    let symbols = &SYMBOLS[..graph.symbols.len()];
    let inputs = random_inputs(&input_types(&graph), symbols, seed, Values::Tame);
    let Ok(want) = eval(&graph, &inputs, symbols) else { return };
    // Values that are computed twice, for every other graph.
    let save_memory = Options { save_memory: true, ..Options::default() };
    let graph =
        if seed.is_multiple_of(2) { graph } else { rematerialize(&graph, &save_memory).expect("a pass") };
    let program = lower(&graph, &LowerOptions::default())
        .unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", print(&graph)));
    for k in &program.kernels {
        if let Err(e) = ttk_ir::kernel::verify::verify(k)
            && !has_hard_sizes(&graph)
        {
            panic!("seed {seed}: {e}\n{}\n{k}", print(&graph));
        }
    }
    let got = ttk_ir::program::eval::eval(&program, &inputs, symbols)
        .unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", print(&graph)));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        let single = graph.nodes().iter().any(|n| n.ty.dtype == DType::F32);
        let t = if w.dtype.is_float() && single { tolerance(DType::F32) } else { tolerance(w.dtype) };
        if let Err(e) = g.close(w, t, t) {
            panic!("seed {seed}, output {i}: {e}\n{}\n{:#?}", print(&graph), program.kernels);
        }
    }
}

/// Sizes such as `n - 2` or `n + 1` cut by a reshape: not every bound is proven then.
fn has_hard_sizes(graph: &Graph) -> bool {
    let hard = |d: &Dim| matches!(d, Dim::Symbolic(e) if e.terms().len() > 1);
    graph.nodes().iter().any(|n| n.ty.shape.iter().any(hard))
}

const FLOATS: [DType; 2] = [DType::F32, DType::F64];

#[test]
fn continuous_graphs() {
    for seed in 0..3000 {
        let options = GraphOptions {
            nodes: 14,
            dtypes: FLOATS.to_vec(),
            discontinuous: false,
            effects: false,
            ..GraphOptions::default()
        };
        run(seed, &options);
    }
}

#[test]
fn integer_graphs() {
    for seed in 0..2000 {
        let options = GraphOptions {
            nodes: 14,
            dtypes: vec![DType::I64, DType::I32, DType::U8, DType::Bool],
            effects: false,
            ..GraphOptions::default()
        };
        run(seed + 50_000, &options);
    }
}

#[test]
fn larger_graphs() {
    for seed in 0..300 {
        let options = GraphOptions {
            nodes: 50,
            dtypes: FLOATS.to_vec(),
            discontinuous: false,
            effects: false,
            ..GraphOptions::default()
        };
        run(seed + 100_000, &options);
    }
}
