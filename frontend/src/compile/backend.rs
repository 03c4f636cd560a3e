//! A graph made into something that runs.

use crate::error::{Error, Result};
use ttk_ir::Graph;
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
    pub fn run(&self, _inputs: Vec<Buffer>, _symbols: &[i64]) -> Result<Vec<Buffer>> {
        Err(Error::Internal { detail: format!("{} cannot run yet", self.graph.name) })
    }
}
