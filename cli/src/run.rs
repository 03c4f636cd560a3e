//! `ttk run FILE`: a saved graph on arrays, without Python.

use crate::error::CliError;
use std::path::{Path, PathBuf};
use ttk_frontend::compile::{CompileOptions, compile_graph};
use ttk_ir::Type;
use ttk_runtime::artifact::Artifact;
use ttk_runtime::npy::{self, Array};

/// Reads, compiles and runs; every output is written whole, or not at all.
pub(crate) fn run(file: &Path, inputs: &[PathBuf], outputs: &[PathBuf]) -> Result<(), CliError> {
    if file.extension().is_some_and(|e| e == "py") {
        return Err(CliError::Script { path: file.display().to_string() });
    }
    let artifact = Artifact::read(file)?;
    let expected: Vec<(String, Type)> = artifact.inputs().map(|(n, t)| (n.to_owned(), t.clone())).collect();
    if inputs.len() != expected.len() {
        return Err(CliError::Inputs {
            file: file.display().to_string(),
            expected: expected.len(),
            names: names(expected.iter().map(|(n, _)| n.as_str())),
            given: inputs.len(),
        });
    }
    if outputs.len() > artifact.outputs.len() {
        return Err(CliError::Outputs {
            file: file.display().to_string(),
            expected: artifact.outputs.len(),
            names: names(artifact.outputs.iter().map(String::as_str)),
            given: outputs.len(),
        });
    }
    let mut buffers = Vec::new();
    for (path, (name, ty)) in inputs.iter().zip(&expected) {
        let array = npy::read(path)?;
        let found: Vec<i64> = array.shape.iter().map(|&n| n as i64).collect();
        let sizes: Vec<i64> = ty.shape.iter().map(|d| d.fixed().unwrap_or(-1)).collect();
        if array.dtype != ty.dtype || found != sizes {
            return Err(CliError::InputType {
                name: name.clone(),
                path: path.display().to_string(),
                expected: Box::new((ty.dtype, sizes)),
                found: Box::new((array.dtype, found)),
            });
        }
        buffers.push(array.data);
    }
    if !artifact.graph.symbols.is_empty() {
        return Err(CliError::Symbols { file: file.display().to_string() });
    }
    let Some(mut arguments) = artifact.arguments(&buffers) else {
        return Err(CliError::Symbols { file: file.display().to_string() });
    };
    let options = CompileOptions { inference: true, ..CompileOptions::default() };
    let compiled = compile_graph(&artifact.graph, &options)?;
    let results = compiled.run(&mut arguments, &[])?;
    for ((path, data), &id) in outputs.iter().zip(results).zip(&artifact.graph.outputs) {
        let ty = artifact.graph.ty(id);
        let shape = ty.shape.iter().map(|d| d.eval(&[]) as usize).collect();
        npy::write(path, &Array { dtype: ty.dtype, shape, data })?;
    }
    Ok(())
}

fn names<'a>(list: impl Iterator<Item = &'a str>) -> String {
    list.collect::<Vec<_>>().join(", ")
}
