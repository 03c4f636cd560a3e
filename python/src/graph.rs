//! Traced graphs.

use crate::errors::{guard, guard_python, guard_unlocked};
use crate::object::{PyTensor, wrap};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::collections::BTreeMap;
use std::path::PathBuf;
use ttk_frontend::Tensor;
use ttk_frontend::compile;
use ttk_frontend::pieces;
use ttk_frontend::trace::{self, Traced};
use ttk_runtime::artifact::{Artifact, ArtifactError, architecture_of};

/// A recorded computation that can be called, saved and shown.
#[pyclass(frozen, module = "torch._C")]
struct CompiledGraph {
    traced: Traced,
    /// Texts kept in the file.
    #[pyo3(get)]
    extra: BTreeMap<String, String>,
}

fn tensors(args: &Bound<'_, PyAny>) -> PyResult<Vec<Tensor>> {
    args.try_iter()?.map(|t| Ok(t?.cast::<PyTensor>()?.get().0.clone())).collect()
}

#[pymethods]
impl CompiledGraph {
    #[pyo3(signature = (*args))]
    fn __call__<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let args = tensors(args.as_any())?;
        let results = guard(|| self.traced.call(&args))?;
        let mut items: Vec<Bound<'py, PyAny>> =
            results.into_iter().map(|t| wrap(py, t)).collect::<PyResult<_>>()?;
        match (items.len(), items.pop()) {
            (1, Some(one)) => Ok(one),
            (_, last) => {
                items.extend(last);
                Ok(PyTuple::new(py, items)?.into_any())
            }
        }
    }

    /// Writes a `.ttk` file, with machine code for GPUs of some architectures (`sm_90`), for which NVRTC is needed.
    #[pyo3(signature = (path, extra=None, cuda=Vec::new()))]
    fn save(
        &self,
        py: Python<'_>,
        path: PathBuf,
        extra: Option<BTreeMap<String, String>>,
        cuda: Vec<String>,
    ) -> PyResult<()> {
        let mut texts = self.extra.clone();
        texts.extend(extra.unwrap_or_default());
        let capability = |name: &String| {
            let wrong =
                || PyValueError::new_err(format!("an architecture is a name such as 'sm_90', not {name:?}"));
            architecture_of(name).ok_or_else(wrong)
        };
        let capabilities = cuda.iter().map(capability).collect::<PyResult<Vec<_>>>()?;
        let artifact = guard_unlocked(py, || {
            let mut artifact = self.traced.to_artifact(texts)?;
            artifact.cuda = compile::cuda_of_file(&artifact.graph, &capabilities)?;
            Ok(artifact)
        })?;
        guard_python(|| py.detach(|| artifact.write(&path)).map_err(artifact_error))
    }

    /// The graph's text: as recorded, or after a pass of the compiler.
    #[pyo3(signature = (after=None))]
    fn graph_text(&self, after: Option<&str>) -> PyResult<String> {
        let Some(name) = after else { return Ok(ttk_ir::text::print(&self.traced.graph)) };
        guard_python(|| {
            let stage = ttk_cli::graph_after(&self.traced.graph, name);
            Ok(ttk_ir::text::print(&stage.map_err(|e| PyValueError::new_err(e.to_string()))?))
        })
    }

    /// Sizes of the results.
    #[getter]
    fn outputs(&self) -> Vec<Vec<i64>> {
        let sizes = |v: &ttk_ir::ValueId| {
            self.traced.graph.ty(*v).shape.iter().map(|d| d.fixed().unwrap_or(-1)).collect()
        };
        self.traced.graph.outputs.iter().map(sizes).collect()
    }

    /// Names and tensors that the graph closes over.
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let d = PyDict::new(py);
        for (name, t) in &self.traced.weights {
            d.set_item(name, wrap(py, t.clone())?)?;
        }
        Ok(d)
    }
}

fn artifact_error(e: ArtifactError) -> PyErr {
    match e {
        ArtifactError::Io { .. } => PyOSError::new_err(e.to_string()),
        other => PyRuntimeError::new_err(other.to_string()),
    }
}

/// Reads a `.ttk` file: data, verified, nothing of it run as it stands, but for the machine code for GPUs of a file that is
/// trusted.
#[pyfunction]
#[pyo3(signature = (path, trusted=false))]
fn _load_ttk(path: PathBuf, trusted: bool) -> PyResult<CompiledGraph> {
    let artifact = guard_python(|| Artifact::read(&path).map_err(artifact_error))?;
    if trusted {
        compile::trust(&artifact);
    }
    Ok(CompiledGraph { traced: guard(|| Ok(Traced::from_artifact(&artifact)))?, extra: artifact.texts })
}

/// Runs `callable` on tensors of the examples' sizes and records what it does.
#[pyfunction]
fn _trace(
    py: Python<'_>,
    callable: &Bound<'_, PyAny>,
    example_inputs: &Bound<'_, PyAny>,
    state: &Bound<'_, PyDict>,
) -> PyResult<CompiledGraph> {
    let mut arguments = Vec::new();
    for t in tensors(example_inputs)? {
        // Copies, so that an argument that is also a weight is told apart.
        let bytes = guard_unlocked(py, || ttk_frontend::host::bytes(&t))?;
        arguments.push(guard(|| ttk_frontend::host::from_bytes(&bytes, t.dtype(), &t.sizes()))?);
    }
    let mut named = Vec::new();
    for (name, t) in state.iter() {
        let t = t.cast::<PyTensor>()?.get().0.clone();
        guard_unlocked(py, || ttk_frontend::host::compute(&t).map(drop))?;
        named.push((name.extract::<String>()?, t));
    }
    let objects: Vec<Bound<'_, PyAny>> =
        arguments.iter().map(|t| wrap(py, t.clone())).collect::<PyResult<_>>()?;
    let objects = PyTuple::new(py, objects)?;
    let result = pieces::keep_whole(|| callable.call1(objects))?;
    let outputs =
        if let Ok(t) = result.cast::<PyTensor>() { vec![t.get().0.clone()] } else { tensors(&result)? };
    let traced = guard(|| trace::trace(&arguments, &outputs, &named))?;
    Ok(CompiledGraph { traced, extra: BTreeMap::new() })
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<CompiledGraph>()?;
    m.add_function(wrap_pyfunction!(_trace, m)?)?;
    m.add_function(wrap_pyfunction!(_load_ttk, m)?)?;
    Ok(())
}
