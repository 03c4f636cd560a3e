//! Graphs on random numbers, and their derivatives by finite differences: the oracle of these tests is
//! the interpreter's value of the function itself.

use ttk_autograd::{VjpOptions, jvp, vjp};
use ttk_ir::eval::{Tensor, eval};
use ttk_ir::{DType, Graph, Type, ValueId};

/// A linear congruential generator: the same numbers on every machine.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Uniform in `0..1`.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn tensor(&mut self, dims: &[i64], low: f64, high: f64) -> Tensor {
        let count = dims.iter().product::<i64>() as usize;
        let values: Vec<f64> = (0..count).map(|_| low + (high - low) * self.next()).collect();
        Tensor::from_f64(DType::F64, dims, &values)
    }
}

/// A function of `f64` tensors, and where to differentiate it.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) graph: Graph,
    pub(crate) inputs: Vec<Tensor>,
}

impl Case {
    /// `build` gets the graph and its inputs and returns the result.
    pub(crate) fn new(
        name: impl Into<String>,
        inputs: Vec<Tensor>,
        build: impl FnOnce(&mut Graph, &[ValueId]) -> ValueId,
    ) -> Case {
        let mut graph = Graph::new("f");
        let params: Vec<ValueId> =
            inputs.iter().map(|t| graph.param(Type::fixed(t.dtype, &t.dims))).collect();
        let out = build(&mut graph, &params);
        graph.outputs = vec![out];
        Case { name: name.into(), graph, inputs }
    }
}

pub(crate) fn run(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    eval(graph, inputs, &[]).unwrap_or_else(|e| panic!("{}: {e}", graph.name))
}

fn inner(a: &Tensor, b: &Tensor) -> f64 {
    a.to_f64().iter().zip(b.to_f64()).map(|(x, y)| x * y).sum()
}

/// The graph's gradient graph with respect to its first `wrt` inputs.
pub(crate) fn gradient(graph: &Graph, wrt: usize) -> Graph {
    vjp(graph, &graph.outputs, &graph.params()[..wrt], VjpOptions::default())
        .unwrap_or_else(|e| panic!("{}: {e}", graph.name))
}

/// Compares the gradients of `<cotangents, graph(inputs)>` with central differences, for the inputs that
/// are `f64`.
pub(crate) fn check_gradient(name: &str, graph: &Graph, inputs: &[Tensor], seed: u64) {
    let mut numbers = Numbers::new(seed);
    let cotangents: Vec<Tensor> =
        run(graph, inputs).iter().map(|y| numbers.tensor(&y.dims, -1.0, 1.0)).collect();
    let wrt: Vec<usize> = (0..inputs.len()).filter(|&i| inputs[i].dtype == DType::F64).collect();
    let params: Vec<ValueId> = wrt.iter().map(|&i| graph.params()[i]).collect();
    let derivative =
        vjp(graph, &graph.outputs, &params, VjpOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut arguments = inputs.to_vec();
    arguments.extend(cotangents.iter().cloned());
    let found = run(&derivative, &arguments);

    let value = |inputs: &[Tensor]| -> f64 {
        run(graph, inputs).iter().zip(&cotangents).map(|(y, c)| inner(y, c)).sum()
    };
    const STEP: f64 = 1e-5;
    for (&i, gradient) in wrt.iter().zip(&found) {
        for k in 0..inputs[i].len() {
            let shifted = |by: f64| {
                let mut moved = inputs.to_vec();
                let mut values = moved[i].to_f64();
                values[k] += by;
                moved[i] = Tensor::from_f64(DType::F64, &moved[i].dims, &values);
                value(&moved)
            };
            let want = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
            let got = gradient.to_f64()[k];
            let close = (got - want).abs() <= 1e-6 * (1.0 + want.abs());
            assert!(close, "{name}: input {i} element {k}: derivative {got}, differences {want}");
        }
    }
}

/// First and second derivatives, the tangent against the cotangent, and the tangent of the derivative.
pub(crate) fn check(case: &Case) {
    let Case { name, graph, inputs } = case;
    check_gradient(name, graph, inputs, 1);
    check_jvp(name, graph, inputs);

    let floats = inputs.iter().take_while(|t| t.dtype == DType::F64).count();
    let derivative = gradient(graph, floats);
    let mut arguments = inputs.clone();
    let mut numbers = Numbers::new(7);
    for &o in &graph.outputs {
        let dims: Vec<i64> = graph.ty(o).shape.iter().filter_map(|d| d.fixed()).collect();
        arguments.push(numbers.tensor(&dims, -1.0, 1.0));
    }
    check_gradient(&format!("{name}, second"), &derivative, &arguments, 2);
    check_jvp(&format!("{name}, second"), &derivative, &arguments);
}

/// `<c, J t> == <Jᵀ c, t>`
pub(crate) fn check_jvp(name: &str, graph: &Graph, inputs: &[Tensor]) {
    let mut numbers = Numbers::new(3);
    let wrt: Vec<usize> = (0..inputs.len()).filter(|&i| inputs[i].dtype == DType::F64).collect();
    let params: Vec<ValueId> = wrt.iter().map(|&i| graph.params()[i]).collect();
    let tangents: Vec<Tensor> = wrt.iter().map(|&i| numbers.tensor(&inputs[i].dims, -1.0, 1.0)).collect();
    let forward = jvp(graph, &graph.outputs, &params).unwrap_or_else(|e| panic!("{name}: {e}"));
    let with = |more: &[Tensor]| inputs.iter().chain(more).cloned().collect::<Vec<_>>();
    let results = run(&forward, &with(&tangents));
    let n = graph.outputs.len();
    let cotangents: Vec<Tensor> = results[..n].iter().map(|y| numbers.tensor(&y.dims, -1.0, 1.0)).collect();
    let reverse =
        vjp(graph, &graph.outputs, &params, VjpOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let gradients = run(&reverse, &with(&cotangents));
    let pair = |a: &[Tensor], b: &[Tensor]| -> f64 { a.iter().zip(b).map(|(x, y)| inner(x, y)).sum() };
    let (left, right) = (pair(&cotangents, &results[n..]), pair(&gradients, &tangents));
    let close = (left - right).abs() <= 1e-9 * (1.0 + left.abs());
    assert!(close, "{name}: forward mode gives {left}, reverse mode {right}");
}
