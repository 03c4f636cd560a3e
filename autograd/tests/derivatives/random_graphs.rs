//! Graphs that nobody thought of: every operation, sizes that are symbols.

use ttk_autograd::{VjpOptions, jvp, saved_for_backward, vjp};
use ttk_ir::eval::{Tensor, eval};
use ttk_ir::testing::{GraphOptions, Values, input_types, random_graph, random_inputs};
use ttk_ir::verify::verify;
use ttk_ir::{DType, Graph, ValueId};

fn floats(graph: &Graph, values: &[ValueId]) -> Vec<ValueId> {
    values.iter().copied().filter(|&v| graph.ty(v).dtype.is_float()).collect()
}

fn symbol_values(graph: &Graph) -> Vec<i64> {
    (0..graph.symbols.len()).map(|i| 2 + i as i64).collect()
}

/// The transformed graphs are valid and run wherever the graph does; so do their own derivatives.
#[test]
fn transformed_graphs_are_valid_and_run() {
    let options = GraphOptions { effects: false, ..GraphOptions::default() };
    for seed in 0..400 {
        let graph = random_graph(seed, &options);
        let (outputs, wrt) = (floats(&graph, &graph.outputs), floats(&graph, graph.params()));
        let symbols = symbol_values(&graph);
        let check = |g: &Graph| {
            verify(g).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            let inputs = random_inputs(&input_types(g), &symbols, seed, Values::Tame);
            eval(g, &inputs, &symbols).unwrap_or_else(|e| panic!("seed {seed}: {e}"))
        };
        let reverse = vjp(&graph, &outputs, &wrt, VjpOptions { keep_outputs: true }).unwrap();
        let found = check(&reverse);
        assert_eq!(found.len(), graph.outputs.len() + wrt.len());
        check(&jvp(&graph, &outputs, &wrt).unwrap());

        let gradients = floats(&reverse, &reverse.outputs);
        let wrt = floats(&reverse, reverse.params());
        check(&vjp(&reverse, &gradients, &wrt, VjpOptions::default()).unwrap());

        for saved in saved_for_backward(&graph, &outputs, &floats(&graph, graph.params())).unwrap() {
            assert!(saved.index() < graph.len());
        }
    }
}

/// `<c, J t> == <Jᵀ c, t>` wherever both are finite.
#[test]
fn forward_and_reverse_agree() {
    let options = GraphOptions {
        dtypes: vec![DType::F64, DType::I64, DType::Bool],
        effects: false,
        ..GraphOptions::default()
    };
    let mut compared = 0;
    for seed in 0..400 {
        let graph = random_graph(seed, &options);
        let (outputs, wrt) = (floats(&graph, &graph.outputs), floats(&graph, graph.params()));
        let symbols = symbol_values(&graph);
        let forward = jvp(&graph, &outputs, &wrt).unwrap();
        let reverse = vjp(&graph, &outputs, &wrt, VjpOptions::default()).unwrap();
        let n = graph.params().len();
        let inputs = random_inputs(&input_types(&graph), &symbols, seed, Values::Tame);
        let with = |more: &[Tensor]| inputs.iter().chain(more).cloned().collect::<Vec<_>>();
        let tangents = random_inputs(&input_types(&forward)[n..], &symbols, seed + 1, Values::Tame);
        let cotangents = random_inputs(&input_types(&reverse)[n..], &symbols, seed + 2, Values::Tame);
        let pushed = eval(&forward, &with(&tangents), &symbols).unwrap();
        let pulled = eval(&reverse, &with(&cotangents), &symbols).unwrap();
        let products = |a: &[Tensor], b: &[Tensor]| -> Vec<f64> {
            let pairs = a.iter().zip(b).flat_map(|(x, y)| x.to_f64().into_iter().zip(y.to_f64()));
            pairs.map(|(x, y)| x * y).collect()
        };
        let left = products(&cotangents, &pushed[outputs.len()..]);
        let right = products(&pulled, &tangents);
        let size: f64 = left.iter().chain(&right).map(|v| v.abs()).sum();
        if !size.is_finite() || size > 1e12 {
            continue;
        }
        let (left, right): (f64, f64) = (left.iter().sum(), right.iter().sum());
        compared += (size > 0.0) as usize;
        assert!((left - right).abs() <= 1e-9 * (1.0 + size), "seed {seed}: {left} and {right}");
    }
    assert!(compared > 50, "only {compared} graphs had something to compare");
}
