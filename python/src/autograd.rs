//! `backward`, `grad`, hooks and user-defined functions.

use crate::errors::{from_python, guard};
use crate::object::{PyTensor, wrap};
use crate::parse::type_name;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::Arc;
use ttk_frontend::grad::{self, BackwardOptions, Hook};
use ttk_frontend::node::{Alias, Kind, Value};
use ttk_frontend::{Error, Tensor, record};

fn tensors(v: &Bound<'_, PyAny>) -> PyResult<Vec<Tensor>> {
    if let Ok(t) = v.cast::<PyTensor>() {
        return Ok(vec![t.get().0.clone()]);
    }
    v.try_iter()?.map(|t| Ok(t?.cast::<PyTensor>()?.get().0.clone())).collect()
}

fn optional_tensors(v: Option<&Bound<'_, PyAny>>, n: usize) -> PyResult<Vec<Option<Tensor>>> {
    let Some(v) = v.filter(|v| !v.is_none()) else { return Ok(vec![None; n]) };
    if let Ok(t) = v.cast::<PyTensor>() {
        return Ok(vec![Some(t.get().0.clone())]);
    }
    v.try_iter()?
        .map(|t| {
            let t = t?;
            if t.is_none() { Ok(None) } else { Ok(Some(t.cast::<PyTensor>()?.get().0.clone())) }
        })
        .collect()
}

/// A recorded operation that derivatives flow through, or a leaf that collects its gradient.
#[pyclass(name = "_GradNode", module = "torch", frozen)]
pub(crate) struct PyGradNode(pub(crate) Value);

#[pymethods]
impl PyGradNode {
    /// The operation's name, as the graph's text has it; that of the user's function; "AccumulateGrad" of a leaf.
    fn name(&self) -> String {
        match &self.0.kind {
            Kind::Op(op) => op.name().to_owned(),
            Kind::Alias(Alias::Custom { function, .. }) => function.name.clone(),
            Kind::Alias(Alias::Leaf(_)) | Kind::Leaf => "AccumulateGrad".to_owned(),
            Kind::Alias(Alias::Detached | Alias::Moved) => "copy".to_owned(),
        }
    }

    /// A number that is the same for one operation, one call of a user's function, and one leaf, however they were come upon.
    fn key(&self) -> u64 {
        match &self.0.kind {
            Kind::Alias(Alias::Custom { function, .. }) => Arc::as_ptr(function) as usize as u64,
            Kind::Alias(Alias::Leaf(meta)) => Arc::as_ptr(meta) as usize as u64,
            Kind::Op(_) | Kind::Leaf | Kind::Alias(Alias::Detached | Alias::Moved) => self.0.id,
        }
    }

    /// The operations that gave the operands, or `None` where no derivative goes.
    fn next(&self) -> Vec<Option<PyGradNode>> {
        let through = |v: &Value| v.requires_grad.then(|| PyGradNode(v.clone()));
        match &self.0.kind {
            Kind::Alias(Alias::Leaf(_) | Alias::Detached) | Kind::Leaf => Vec::new(),
            Kind::Alias(Alias::Custom { function, .. }) => {
                let inputs = function.inputs.lock();
                inputs.iter().flatten().map(through).collect()
            }
            Kind::Op(_) | Kind::Alias(Alias::Moved) => self.0.inputs().iter().map(through).collect(),
        }
    }
}

/// Gradients of `tensors` into the leaves.
#[pyfunction]
#[pyo3(signature = (tensors_, grads=None, retain_graph=None, create_graph=false, inputs=None))]
fn _autograd_backward(
    tensors_: &Bound<'_, PyAny>,
    grads: Option<&Bound<'_, PyAny>>,
    retain_graph: Option<bool>,
    create_graph: bool,
    inputs: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let roots = tensors(tensors_)?;
    let cotangents = optional_tensors(grads, roots.len())?;
    let only = inputs.filter(|v| !v.is_none()).map(tensors).transpose()?;
    let options = BackwardOptions { retain_graph: retain_graph.unwrap_or(create_graph), create_graph };
    guard(|| grad::backward(&roots, &cotangents, options, only.as_deref()))
}

/// Gradients of `outputs` with respect to `inputs`; `None` where there is no path.
#[pyfunction]
#[pyo3(signature = (outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=false, allow_unused=false))]
fn _autograd_grad<'py>(
    py: Python<'py>,
    outputs: &Bound<'py, PyAny>,
    inputs: &Bound<'py, PyAny>,
    grad_outputs: Option<&Bound<'py, PyAny>>,
    retain_graph: Option<bool>,
    create_graph: bool,
    allow_unused: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let (roots, wrt) = (tensors(outputs)?, tensors(inputs)?);
    let cotangents = optional_tensors(grad_outputs, roots.len())?;
    let options = BackwardOptions { retain_graph: retain_graph.unwrap_or(create_graph), create_graph };
    let found = guard(|| grad::grad(&roots, &wrt, &cotangents, options, allow_unused))?;
    let items: Vec<Option<Bound<'py, PyAny>>> =
        found.into_iter().map(|t| t.map(|t| wrap(py, t)).transpose()).collect::<PyResult<_>>()?;
    PyTuple::new(py, items)
}

/// A Python function as a hook.
fn hook_of(f: Py<PyAny>) -> Hook {
    Arc::new(move |t: &Tensor| {
        Python::attach(|py| {
            let result = f.bind(py).call1((wrap(py, t.clone())?,))?;
            if result.is_none() {
                return Ok(None);
            }
            let replaced = result.cast::<PyTensor>().map_err(|_| {
                let got = type_name(&result);
                PyTypeError::new_err(format!("expected Variable, but hook returned '{got}'"))
            })?;
            Ok(Some(replaced.get().0.clone()))
        })
        .map_err(from_python)
    })
}

/// Registers a gradient hook; the number removes it.
#[pyfunction]
fn _add_hook(t: &Bound<'_, PyTensor>, hook: Py<PyAny>) -> PyResult<u64> {
    guard(|| grad::add_hook(&t.get().0, hook_of(hook)))
}

/// Registers a hook that runs after a leaf's gradient was accumulated; it is given the leaf.
#[pyfunction]
fn _add_after_hook(t: &Bound<'_, PyTensor>, hook: Py<PyAny>) -> PyResult<u64> {
    let leaf = t.get().0.clone();
    let hook: Hook = Arc::new(move |_| {
        Python::attach(|py| hook.bind(py).call1((wrap(py, leaf.clone())?,)).map(|_| None))
            .map_err(from_python)
    });
    guard(|| grad::add_after_hook(&t.get().0, hook))
}

#[pyfunction]
fn _remove_hook(t: &Bound<'_, PyTensor>, id: u64) {
    grad::remove_hook(&t.get().0, id);
}

/// Runs a user's function with derivatives off, and ties its results to the user's derivative.
#[pyfunction]
fn _apply_custom_function<'py>(
    py: Python<'py>,
    ctx: Bound<'py, PyAny>,
    forward: &Bound<'py, PyAny>,
    backward: Py<PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments: Vec<Option<Tensor>> =
        args.iter().map(|a| a.cast::<PyTensor>().ok().map(|t| t.get().0.clone())).collect();
    let mut forward_args = vec![ctx.clone()];
    forward_args.extend(args.iter());
    let before = record::set_grad_enabled(false);
    let result = forward.call1(PyTuple::new(py, forward_args)?);
    record::set_grad_enabled(before);
    let result = result?;
    let single = result.is_instance_of::<PyTensor>();
    let items: Vec<Bound<'py, PyAny>> =
        if single { vec![result.clone()] } else { result.try_iter()?.collect::<PyResult<_>>()? };

    let marked = |name: &str| -> Vec<usize> {
        let list = ctx.getattr(name).ok().and_then(|l| l.try_iter().ok());
        let keys = list.into_iter().flatten().filter_map(|t| t.ok());
        keys.filter_map(|t| t.cast::<PyTensor>().ok().map(|t| t.get().0.key())).collect()
    };
    let fixed = marked("_non_differentiable");
    let dirty = marked("_dirty");
    let tensors_at: Vec<usize> =
        (0..items.len()).filter(|&i| items[i].is_instance_of::<PyTensor>()).collect();
    let results: Vec<(Tensor, bool)> = tensors_at
        .iter()
        .map(|&i| {
            let t = items[i].cast::<PyTensor>()?.get().0.clone();
            let differentiable = !fixed.contains(&t.key());
            Ok((t, differentiable))
        })
        .collect::<PyResult<_>>()?;
    let name = ctx.call_method0("name").and_then(|n| n.extract::<String>()).unwrap_or_default();
    let ctx: Py<PyAny> = ctx.unbind();
    let call = move |parts: &[Option<Tensor>]| -> Result<Vec<Option<Tensor>>, Error> {
        Python::attach(|py| -> PyResult<Vec<Option<Tensor>>> {
            let mut list = vec![ctx.bind(py).clone()];
            for p in parts {
                list.push(match p {
                    Some(t) => wrap(py, t.clone())?,
                    None => py.None().into_bound(py),
                });
            }
            let result = backward.bind(py).call1(PyTuple::new(py, list)?)?;
            result
                .try_iter()?
                .map(|g| {
                    let g = g?;
                    if g.is_none() {
                        return Ok(None);
                    }
                    let tensor = g.cast::<PyTensor>().map_err(|_| {
                        PyRuntimeError::new_err(format!("expected Variable or None (got {})", type_name(&g)))
                    })?;
                    Ok(Some(tensor.get().0.clone()))
                })
                .collect()
        })
        .map_err(from_python)
    };
    let tied = guard(|| Ok(grad::tie_custom(&name, &arguments, &results, Box::new(call), Box::new(|| {}))))?;
    let mut out: Vec<Bound<'py, PyAny>> = items;
    for ((&i, t), (original, _)) in tensors_at.iter().zip(tied).zip(&results) {
        if dirty.contains(&original.key()) {
            // An argument that was modified in place is returned itself, now with the function's tape.
            let value = t.value();
            guard(|| record::no_grad(|| original.write(value)))?;
        } else if !t.is(original) {
            out[i] = wrap(py, t)?;
        } else if arguments.iter().flatten().any(|a| a.is(original)) {
            out[i] = wrap(py, original.with_view(original.view()))?;
        }
    }
    if single {
        return out.pop().ok_or_else(|| PyRuntimeError::new_err("forward returned nothing"));
    }
    Ok(PyTuple::new(py, out)?.into_any())
}

/// Adds these functions to the module.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_autograd_backward, m)?)?;
    m.add_function(wrap_pyfunction!(_autograd_grad, m)?)?;
    m.add_function(wrap_pyfunction!(_add_hook, m)?)?;
    m.add_function(wrap_pyfunction!(_add_after_hook, m)?)?;
    m.add_function(wrap_pyfunction!(_remove_hook, m)?)?;
    m.add_function(wrap_pyfunction!(_apply_custom_function, m)?)?;
    Ok(())
}
