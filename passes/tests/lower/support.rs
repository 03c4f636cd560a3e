//! One way to check a graph: its program, interpreted, gives what the graph interpreted gives.

use ttk_ir::eval::{NoCustomOps, Tensor, eval};
use ttk_ir::program::Program;
use ttk_ir::{DType, Graph, Type, ValueId};
use ttk_passes::{LowerOptions, lower};

/// Values that look random and are the same on every run: floats in -2..2, small integers.
pub(crate) fn fill(ty: &Type, symbols: &[i64], seed: u64) -> Tensor {
    let dims: Vec<i64> = ty.shape.iter().map(|d| d.eval(symbols)).collect();
    let n: i64 = dims.iter().product();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(12345);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let values: Vec<f64> = (0..n)
        .map(|_| {
            let x = next();
            if ty.dtype.is_float() {
                x * 4.0 - 2.0
            } else if ty.dtype == DType::Bool {
                (x > 0.5) as i64 as f64
            } else {
                (x * 5.0).floor()
            }
        })
        .collect();
    Tensor::from_f64(ty.dtype, &dims, &values)
}

/// A graph under construction and the inputs to run it on.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) g: Graph,
    pub(crate) symbols: Vec<i64>,
    pub(crate) inputs: Vec<Tensor>,
}

impl Case {
    pub(crate) fn new() -> Case {
        Case { g: Graph::new("case"), symbols: Vec::new(), inputs: Vec::new() }
    }

    /// A new symbol that is `value` in this test.
    pub(crate) fn symbol(&mut self, name: &str, value: i64) -> ttk_ir::Dim {
        self.g.symbols.push(ttk_ir::graph::Symbol { name: name.into() });
        self.symbols.push(value);
        ttk_ir::Dim::symbol(self.symbols.len() as u32 - 1)
    }

    pub(crate) fn input(&mut self, ty: Type) -> ValueId {
        let tensor = fill(&ty, &self.symbols, self.inputs.len() as u64 + 1);
        self.inputs.push(tensor);
        self.g.param(ty)
    }

    pub(crate) fn given(&mut self, value: Tensor) -> ValueId {
        let ty = Type::fixed(value.dtype, &value.dims);
        self.inputs.push(value);
        self.g.param(ty)
    }

    pub(crate) fn f32(&mut self, dims: &[i64]) -> ValueId {
        self.input(Type::fixed(DType::F32, dims))
    }

    /// Lowers the graph with these outputs and compares.
    pub(crate) fn check(mut self, outputs: &[ValueId]) -> Program {
        self.g.outputs = outputs.to_vec();
        check(&self.g, &self.inputs, &self.symbols)
    }
}

/// Compares the program of a graph with the graph.
pub(crate) fn check(g: &Graph, inputs: &[Tensor], symbols: &[i64]) -> Program {
    check_with(g, inputs, symbols, &LowerOptions::default())
}

pub(crate) fn check_with(g: &Graph, inputs: &[Tensor], symbols: &[i64], options: &LowerOptions) -> Program {
    let want = eval(g, inputs, symbols).expect("the graph evaluates");
    let program = lower(g, options).unwrap_or_else(|e| panic!("{e}\n{g}"));
    ttk_ir::program::verify::verify(&program).unwrap_or_else(|e| panic!("{e}\n{g}\n{program}"));
    let got = ttk_ir::program::eval::eval_with(&program, inputs, symbols, &NoCustomOps)
        .unwrap_or_else(|e| panic!("{e}\n{program}"));
    for (i, (w, o)) in want.iter().zip(&got).enumerate() {
        let (rtol, atol) = match w.dtype {
            DType::F64 => (1e-10, 1e-11),
            DType::F32 => (2e-5, 2e-5),
            DType::F16 => (4e-3, 2e-3),
            DType::BF16 => (3e-2, 2e-2),
            _ => (0.0, 0.0),
        };
        if let Err(m) = o.close(w, rtol, atol) {
            panic!("output {i}: {m}\n{program}");
        }
    }
    assert_eq!(want.len(), got.len());
    program
}
