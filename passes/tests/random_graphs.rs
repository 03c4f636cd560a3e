//! Random graphs mean the same after the passes as before, by the interpreter.

use ttk_ir::eval::{Tensor, eval};
use ttk_ir::testing::{GraphOptions, Values, input_types, random_graph, random_inputs};
use ttk_ir::text::print;
use ttk_ir::{DType, Graph, Op, ReduceOp};
use ttk_passes::pipeline::{find, run_pass};
use ttk_passes::{Options, optimize};

const SYMBOLS: [i64; 2] = [3, 5];

/// Runs `before` and `after` on random inputs and compares each output.
fn check(
    seed: u64,
    before: &Graph,
    after: &Graph,
    values: Values,
    agree: fn(&Tensor, &Tensor) -> Result<(), String>,
) {
    let symbols = &SYMBOLS[..before.symbols.len()];
    let inputs = random_inputs(&input_types(before), symbols, seed, values);
    // What cannot be evaluated (a size is too large) says nothing.
    let Ok(want) = eval(before, &inputs, symbols) else { return };
    let got = eval(after, &inputs, symbols).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", print(after)));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        if let Err(e) = agree(g, w) {
            panic!("seed {seed}, output {i}: {e}\nbefore:\n{}\nafter:\n{}", print(before), print(after));
        }
    }
}

fn exactly(got: &Tensor, want: &Tensor) -> Result<(), String> {
    got.same(want).map_err(|e| e.to_string())
}

/// Exactly, but for the sign of zeros: a sum of one element is that element, though `0.0 + -0.0` is `0.0`.
fn but_for_zeros(got: &Tensor, want: &Tensor) -> Result<(), String> {
    if got.dtype != want.dtype || got.dims != want.dims {
        return exactly(got, want);
    }
    let mut got = got.clone();
    for i in 0..got.len() {
        if got.get(i).as_f64() == 0.0 && want.get(i).as_f64() == 0.0 {
            got.set(i, want.get(i));
        }
    }
    exactly(&got, want)
}

/// Whether a graph has sums, which are the exception of the rules of `docs/design/rules.md`.
fn has_sums(graph: &Graph) -> bool {
    let is_sum =
        |op: &Op| matches!(op, Op::Reduce { op: ReduceOp::Sum, .. } | Op::Scan { .. } | Op::Fold { .. });
    graph.nodes().iter().any(|n| is_sum(&n.op))
}

fn up_to_rounding(got: &Tensor, want: &Tensor) -> Result<(), String> {
    let tolerance = match want.dtype {
        DType::F64 => 1e-9,
        DType::F32 => 1e-4,
        DType::F16 => 2e-2,
        DType::BF16 => 1e-1,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => 0.0,
    };
    got.close(want, tolerance, tolerance).map_err(|e| e.to_string())
}

#[test]
fn canonical_form_is_exact() {
    let shape = GraphOptions { effects: false, nodes: 14, ..GraphOptions::default() };
    let options = Options::default();
    for seed in 0..20000 {
        let before = random_graph(seed, &shape);
        let after = run_pass(find("canonicalize").unwrap(), &before, &options).unwrap();
        if has_sums(&before) {
            // With no negative zero among the inputs there are few to make a difference of.
            check(seed, &before, &after, Values::Tame, but_for_zeros);
        } else {
            check(seed, &before, &after, Values::Wild, exactly);
        }
    }
}

#[test]
fn canonical_form_is_a_fixed_point() {
    let shape = GraphOptions { nodes: 14, ..GraphOptions::default() };
    let options = Options::default();
    for seed in 0..1000 {
        let graph = random_graph(seed, &shape);
        let run = |name, g: &Graph| run_pass(find(name).unwrap(), g, &options).unwrap();
        let once = run("dce", &run("canonicalize", &graph));
        let twice = run("dce", &run("canonicalize", &once));
        assert_eq!(print(&once), print(&twice), "seed {seed}");
    }
}

#[test]
fn the_whole_pipeline_keeps_the_meaning() {
    let shape = GraphOptions { effects: false, discontinuous: false, nodes: 16, ..GraphOptions::default() };
    for (seed, inference) in (0..20000).map(|s| (s, s % 2 == 1)) {
        let options = Options { inference, save_memory: seed % 3 == 0, ..Options::default() };
        let before = random_graph(seed, &shape);
        let after = optimize(&before, &options).unwrap();
        check(seed, &before, &after, Values::Tame, up_to_rounding);
    }
}

/// The choice of layouts alone, and kept even where it does not pay.
#[test]
fn layouts_keep_the_meaning() {
    let shape = GraphOptions { effects: false, discontinuous: false, nodes: 24, ..GraphOptions::default() };
    let options = Options::default();
    for seed in 0..10000 {
        let before = random_graph(seed, &shape);
        let after = ttk_passes::layout::relay(&before, &options);
        ttk_ir::verify::verify(&after).unwrap();
        check(seed, &before, &after, Values::Tame, up_to_rounding);
    }
}

#[test]
fn one_input_gives_one_output() {
    let shape = GraphOptions { nodes: 60, ..GraphOptions::default() };
    for seed in 0..100 {
        let graph = random_graph(seed, &shape);
        let run = || print(&optimize(&graph, &Options::default()).unwrap());
        assert_eq!(run(), run(), "seed {seed}");
    }
}
