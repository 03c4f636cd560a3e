//! A graph made into something that runs.

use crate::error::{Error, Result};
use ttk_ir::eval::{self, EvalError};
use ttk_ir::{Graph, Type};
use ttk_runtime::Buffer;

/// What the compiler may assume.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// For each input, whether its memory may be written over once it is read for the last time.
    pub donate: Vec<bool>,
}

/// A compiled graph.
#[derive(Debug)]
pub struct Compiled {
    graph: Graph,
}

/// Compiles a graph.
///
/// # Errors
/// A defect of the compiler.
pub fn compile_graph(graph: &Graph, _options: &CompileOptions) -> Result<Compiled> {
    Ok(Compiled { graph: graph.clone() })
}

impl Compiled {
    /// Runs on inputs, dense and row-major, in the order of the graph's.
    ///
    /// # Errors
    /// No memory; an index out of range.
    pub fn run(&self, inputs: Vec<Buffer>, symbols: &[i64]) -> Result<Vec<Buffer>> {
        interpret(&self.graph, &inputs, symbols)
    }
}

/// Runs a graph by the reference interpreter.
fn interpret(graph: &Graph, inputs: &[Buffer], symbols: &[i64]) -> Result<Vec<Buffer>> {
    let tensor = |(buffer, ty): (&Buffer, &Type)| eval::Tensor {
        dtype: ty.dtype,
        dims: ty.shape.iter().map(|d| d.eval(symbols)).collect(),
        data: buffer.to_vec::<u8>(),
    };
    let types = graph.params().iter().map(|&p| graph.ty(p));
    let inputs: Vec<eval::Tensor> = inputs.iter().zip(types).map(tensor).collect();
    let outputs = eval::eval(graph, &inputs, symbols).map_err(|e| match e {
        EvalError::IndexOutOfRange { .. } => Error::IndexOutOfRange,
        other => Error::Internal { detail: other.to_string() },
    })?;
    outputs.iter().map(|t| Ok(Buffer::from_slice(&t.data)?)).collect()
}
