//! `ttk run FILE`: a saved graph on arrays, without Python.

use crate::error::{CliError, type_text};
use std::path::{Path, PathBuf};
use ttk_frontend::compile::{self, CompileOptions, compile_graph};
use ttk_frontend::device::{Device, Memories};
use ttk_ir::Type;
use ttk_runtime::artifact::Artifact;
use ttk_runtime::npy::{self, Array};

/// Reads, compiles and runs; every output is written whole, or not at all.
pub(crate) fn run(
    file: &Path,
    inputs: &[PathBuf],
    outputs: &[PathBuf],
    device: Device,
    trusted: bool,
) -> Result<(), CliError> {
    if file.extension().is_some_and(|e| e == "py") {
        return Err(CliError::Script { path: file.display().to_string() });
    }
    let artifact = Artifact::read(file).map_err(|e| CliError::from(e).of_file(file))?;
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
    if let Some(i) = (1..outputs.len()).find(|&i| outputs[..i].contains(&outputs[i])) {
        return Err(CliError::OutputTwice { path: outputs[i].display().to_string() });
    }
    let mut buffers = Vec::new();
    for (path, (name, ty)) in inputs.iter().zip(&expected) {
        let array = npy::read(path).map_err(|e| CliError::from(e).of_file(path))?;
        let found: Vec<i64> = array.shape.iter().map(|&n| n as i64).collect();
        let sizes: Vec<i64> = ty.shape.iter().map(|d| d.fixed().unwrap_or(-1)).collect();
        if array.dtype != ty.dtype || found != sizes {
            return Err(CliError::InputType {
                name: name.clone(),
                path: path.display().to_string(),
                expected: type_text(ty.dtype, &sizes),
                found: type_text(array.dtype, &found),
            });
        }
        buffers.push(array.data);
    }
    if !artifact.graph.symbols.is_empty() {
        return Err(CliError::Symbols { file: file.display().to_string() });
    }
    let Some(arguments) = artifact.arguments(&buffers) else {
        return Err(CliError::Symbols { file: file.display().to_string() });
    };
    if matches!(device, Device::Cuda(_)) {
        crate::find_cuda();
        if trusted {
            compile::trust(&artifact);
        }
    }
    let mut arguments = Memories::copied(device, arguments)?;
    let options = CompileOptions { inference: true, device, ..CompileOptions::default() };
    let compiled = compile_graph(&artifact.graph, &options)?;
    let results = compiled.run(&mut arguments, &[])?;
    let arrays: Vec<Array> = results
        .host()?
        .into_iter()
        .zip(&artifact.graph.outputs)
        .map(|(data, &id)| {
            let ty = artifact.graph.ty(id);
            let shape = ty.shape.iter().map(|d| d.eval(&[]) as usize).collect();
            Array { dtype: ty.dtype, shape, data }
        })
        .collect();
    Ok(npy::write_all(outputs.iter().map(PathBuf::as_path).zip(&arrays))?)
}

/// `cpu`, `cuda` or `cuda:1`.
pub(crate) fn device(text: &str) -> Result<Device, String> {
    match text {
        "cpu" => Ok(Device::Cpu),
        "cuda" => Ok(Device::Cuda(0)),
        _ => {
            let ordinal = text.strip_prefix("cuda:").and_then(|n| n.parse().ok());
            ordinal.map(Device::Cuda).ok_or_else(|| "a device is cpu, cuda or cuda:1".to_string())
        }
    }
}

fn names<'a>(list: impl Iterator<Item = &'a str>) -> String {
    list.collect::<Vec<_>>().join(", ")
}
