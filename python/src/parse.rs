//! Python arguments against an operator's signatures, with PyTorch's error texts.

use crate::object::{PyTensor, as_tensor};
use crate::types::{PyDType, PyDevice, PyGenerator};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyString, PyTuple};
use smallvec::SmallVec;
use ttk_frontend::Tensor;
use ttk_frontend::ops::{Arg, Number, Operator, Param, ParamType, Signature};
use ttk_frontend::view::Dims;

/// Parsed arguments, in the order of the signature's parameters.
pub(crate) type Args = SmallVec<[Arg; 8]>;

/// Arguments as Python passes them.
pub(crate) struct Given<'a, 'py> {
    /// Positional ones, `self` of a method included.
    pub(crate) positional: &'a [Bound<'py, PyAny>],
    pub(crate) keywords: &'a [(Bound<'py, PyString>, Bound<'py, PyAny>)],
    /// Whether the first positional one is the tensor that a method is called on.
    pub(crate) is_method: bool,
}

/// Why a signature does not fit.
enum Misfit {
    Missing(Vec<&'static str>),
    TooMany { most: usize, given: usize },
    Unexpected(String),
    Duplicate(&'static str),
    Type { param: &'static str, position: usize, want: &'static str, got: String },
    Python(PyErr),
}

/// The name under which Python sees a parameter: functions call `self` `input`.
fn visible(param: &Param) -> &'static str {
    if param.name == "self" { "input" } else { param.name }
}

fn keyword_matches(param: &Param, keyword: &str) -> bool {
    if param.name == keyword {
        return true;
    }
    // NumPy's spellings, and `input` for `self`.
    matches!((param.name, keyword), ("self", "input" | "x") | ("dim", "axis") | ("keepdim", "keepdims"))
        || (param.name == "other" && keyword == "x2")
}

/// Functions that take tensors one by one as well as in a list: in PyTorch those are written in Python.
const SEVERAL: [&str; 9] = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_tensors",
    "cartesian_prod",
    "chain_matmul",
    "einsum",
    "meshgrid",
];

/// The overload that fits; its arguments, with defaults filled in, are put into `args`.
pub(crate) fn parse(
    operator: &Operator,
    in_place: bool,
    given: &Given<'_, '_>,
    args: &mut Args,
) -> PyResult<usize> {
    let overloads = operator.overloads();
    let mut first = None;
    for (i, signature) in overloads.iter().enumerate() {
        args.clear();
        match bind(signature, operator.row.name, given, args) {
            Ok(()) => return Ok(i),
            Err(Misfit::Python(e)) => return Err(e),
            Err(misfit) => {
                first.get_or_insert(misfit);
            }
        }
    }
    let name = format!("{}{}", operator.row.name, if in_place { "_" } else { "" });
    let skipped = usize::from(given.is_method);
    if let ([_], Some(misfit)) = (overloads, first) {
        return Err(PyTypeError::new_err(explain(&name, skipped, misfit)));
    }
    let types: Vec<String> = given
        .positional
        .iter()
        .skip(skipped)
        .map(type_name)
        .chain(given.keywords.iter().map(|(k, v)| format!("{k}={}", type_name(v))))
        .collect();
    let expected: Vec<String> =
        overloads.iter().map(|s| format!("\n * ({})", signature_text(s, skipped))).collect();
    Err(PyTypeError::new_err(format!(
        "{name}() received an invalid combination of arguments - got ({}), but expected {}{}\n",
        types.join(", "),
        if overloads.len() == 1 { "" } else { "one of:" },
        expected.concat()
    )))
}

/// What is wrong with the only signature; the first `skipped` arguments are not counted.
fn explain(name: &str, skipped: usize, misfit: Misfit) -> String {
    match misfit {
        Misfit::Missing(names) => {
            let quoted: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
            format!("{name}() missing {} required positional arguments: {}", names.len(), quoted.join(", "))
        }
        Misfit::TooMany { most, given } => {
            let (most, given) = (most.saturating_sub(skipped), given.saturating_sub(skipped));
            let s = if most == 1 { "" } else { "s" };
            format!("{name}() takes {most} positional argument{s} but {given} were given")
        }
        Misfit::Unexpected(k) => format!("{name}() got an unexpected keyword argument '{k}'"),
        Misfit::Duplicate(k) => format!("{name}() got multiple values for argument '{k}'"),
        Misfit::Type { param, position: 0, want, got } => {
            format!("{name}(): argument '{param}' must be {want}, not {got}")
        }
        Misfit::Type { param, position, want, got } => {
            let position = position.saturating_sub(skipped);
            format!("{name}(): argument '{param}' (position {position}) must be {want}, not {got}")
        }
        Misfit::Python(e) => e.to_string(),
    }
}

fn signature_text(s: &Signature, skipped: usize) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut star = false;
    for p in s.params.iter().skip(skipped) {
        if p.keyword_only && !star {
            parts.push("*".into());
            star = true;
        }
        let default = p.default_text.map(|d| format!(" = {d}")).unwrap_or_default();
        parts.push(format!("{} {}{default}", p.ty.display(), visible(p)));
    }
    parts.join(", ")
}

pub(crate) fn type_name(v: &Bound<'_, PyAny>) -> String {
    v.get_type().name().map(|n| n.to_string()).unwrap_or_else(|_| "object".into())
}

fn bind(signature: &Signature, name: &str, given: &Given<'_, '_>, args: &mut Args) -> Result<(), Misfit> {
    let params = &signature.params;
    let n_positional = signature.n_positional();
    let mut positional = given.positional;
    let mut collected: Option<Arg> = None;
    let mut collected_at = usize::MAX;
    // `x.view(2, 3)`: a list of integers given as several arguments, where it is the first (or only)
    // parameter after `self`.
    let list_at = usize::from(params.first().is_some_and(|p| p.name == "self"));
    if let Some(p) = params.get(list_at)
        && matches!(p.ty, ParamType::Ints { .. })
        && !p.keyword_only
        && positional.len() > list_at
        && is_int(&positional[list_at])
        && (positional.len() > n_positional || positional[list_at + 1..].iter().all(is_int))
        && matches!(p.ty, ParamType::Ints { broadcast: false })
        && let Some(ints) = ints_of(&positional[list_at..])?
    {
        collected = Some(Arg::Ints(ints));
        collected_at = list_at;
        positional = &positional[..list_at];
    }
    if let Some(at) = params.iter().position(|p| p.ty == ParamType::Tensors)
        && SEVERAL.contains(&name)
        && let Some(tensors) = positional.get(at..).filter(|rest| !rest.is_empty())
        && let Some(tensors) = tensors.iter().map(tensor_of).collect()
    {
        collected = Some(Arg::Tensors(tensors));
        collected_at = at;
        positional = &positional[..at];
    }
    let taken = positional.len() + usize::from(collected.is_some());
    if taken > n_positional {
        return Err(Misfit::TooMany { most: n_positional, given: taken });
    }
    let mut used = 0;
    let mut missing = Vec::new();
    for (i, param) in params.iter().enumerate() {
        let keyword = if given.keywords.is_empty() {
            None
        } else {
            given.keywords.iter().find(|(k, _)| k.to_str().is_ok_and(|k| keyword_matches(param, k)))
        };
        if let Some(value) = positional.get(i).filter(|_| !param.keyword_only) {
            if keyword.is_some() {
                return Err(Misfit::Duplicate(visible(param)));
            }
            args.push(convert(param, value, i + 1)?);
        } else if i == collected_at {
            args.extend(collected.take());
        } else if let Some((_, value)) = keyword {
            used += 1;
            args.push(convert(param, value, 0)?);
        } else if let Some(default) = &param.default {
            args.push(default.clone());
        } else if param.optional && param.keyword_only {
            args.push(Arg::None);
        } else {
            missing.push(visible(param));
            args.push(Arg::None);
        }
    }
    if used < given.keywords.len() {
        let known = |k: &str| params.iter().any(|p| keyword_matches(p, k));
        for (k, v) in given.keywords {
            let k = k.to_string();
            // `out=None` is what it would be without.
            if !(known(&k) || k == "out" && v.is_none()) {
                return Err(Misfit::Unexpected(k));
            }
        }
    }
    if !missing.is_empty() {
        return Err(Misfit::Missing(missing));
    }
    Ok(())
}

fn is_int(v: &Bound<'_, PyAny>) -> bool {
    (v.is_instance_of::<PyInt>() && !v.is_instance_of::<PyBool>()) || index_like(v)
}

/// Whether an object that is no tensor can be used as an integer (NumPy's integers can).
fn index_like(v: &Bound<'_, PyAny>) -> bool {
    if v.is_instance_of::<PyFloat>() || v.is_instance_of::<PyBool>() || v.is_instance_of::<PyString>() {
        return false;
    }
    match v.cast::<PyTensor>() {
        Ok(t) => {
            let t = &t.get().0;
            t.rank() == 0 && !t.dtype().is_float() && t.dtype() != ttk_ir::DType::Bool
        }
        Err(_) => v.hasattr("__index__").unwrap_or(false),
    }
}

fn int_of(v: &Bound<'_, PyAny>) -> Result<Option<i64>, Misfit> {
    if v.is_instance_of::<PyInt>() {
        return v.extract().map(Some).map_err(|_| Misfit::Python(overflow()));
    }
    if !index_like(v) {
        return Ok(None);
    }
    match v.call_method0("__index__") {
        Ok(i) => i.extract().map(Some).map_err(|_| Misfit::Python(overflow())),
        Err(_) => Ok(None),
    }
}

fn ints_of(items: &[Bound<'_, PyAny>]) -> Result<Option<Dims>, Misfit> {
    items.iter().map(int_of).collect()
}

/// What PyTorch says of an integer beyond 64 bits.
pub(crate) fn overflow() -> PyErr {
    PyValueError::new_err("Overflow when unpacking long long")
}

pub(crate) fn number_of(v: &Bound<'_, PyAny>) -> Option<Number> {
    if let Ok(f) = v.cast_exact::<PyFloat>() {
        return Some(Number::Float(f.value()));
    }
    if let Ok(b) = v.cast::<PyBool>() {
        return Some(Number::Bool(b.is_true()));
    }
    if v.is_instance_of::<PyInt>() {
        return match v.extract::<i64>() {
            Ok(i) => Some(Number::Int(i)),
            // Larger integers are floats, as far as arithmetic with tensors goes.
            Err(_) => v.extract::<f64>().ok().map(Number::Float),
        };
    }
    if v.is_instance_of::<PyFloat>() {
        return v.extract().ok().map(Number::Float);
    }
    // NumPy's scalars.
    if v.cast::<PyTensor>().is_err()
        && v.hasattr("dtype").unwrap_or(false)
        && v.hasattr("item").unwrap_or(false)
    {
        let plain = v.call_method0("item").ok()?;
        return if plain.is_instance_of::<PyInt>() || plain.is_instance_of::<PyFloat>() {
            number_of(&plain)
        } else {
            None
        };
    }
    None
}

fn tensor_of(v: &Bound<'_, PyAny>) -> Option<Tensor> {
    as_tensor(v).cloned()
}

/// A 0-d tensor where a number is wanted.
fn item_of(v: &Bound<'_, PyAny>) -> Result<Option<Number>, Misfit> {
    match tensor_of(v) {
        Some(t) if t.rank() == 0 && !t.requires_grad() => {
            let py = v.py();
            crate::errors::guard_unlocked(py, || ttk_frontend::host::item(&t))
                .map(Some)
                .map_err(Misfit::Python)
        }
        _ => Ok(None),
    }
}

fn sequence<'py>(v: &Bound<'py, PyAny>) -> Option<Vec<Bound<'py, PyAny>>> {
    if v.is_instance_of::<PyTuple>() || v.is_instance_of::<PyList>() {
        return v.try_iter().ok()?.collect::<PyResult<_>>().ok();
    }
    None
}

fn convert(param: &Param, v: &Bound<'_, PyAny>, position: usize) -> Result<Arg, Misfit> {
    let wrong =
        || Misfit::Type { param: visible(param), position, want: param.ty.display(), got: type_name(v) };
    if v.is_none() {
        if param.optional || matches!(param.default, Some(Arg::None)) {
            return Ok(Arg::None);
        }
        return Err(wrong());
    }
    let arg = match param.ty {
        ParamType::Tensor => tensor_of(v).map(Arg::Tensor),
        ParamType::Operand => match tensor_of(v) {
            Some(t) => Some(Arg::Tensor(t)),
            None => number_of(v).map(Arg::Number),
        },
        ParamType::Tensors => match sequence(v) {
            Some(items) => items.iter().map(tensor_of).collect::<Option<Vec<_>>>().map(Arg::Tensors),
            // A tensor stands for its rows.
            None => None,
        },
        ParamType::OptionalTensors => sequence(v).and_then(|items| {
            items
                .iter()
                .map(|i| if i.is_none() { Some(None) } else { tensor_of(i).map(Some) })
                .collect::<Option<Vec<_>>>()
                .map(Arg::OptionalTensors)
        }),
        ParamType::Number => match number_of(v) {
            Some(n) => Some(Arg::Number(n)),
            None => item_of(v)?.map(Arg::Number),
        },
        ParamType::Float => match number_of(v) {
            Some(n) => Some(Arg::Number(Number::Float(n.as_f64()))),
            None => item_of(v)?.map(|n| Arg::Number(Number::Float(n.as_f64()))),
        },
        ParamType::Int => int_of(v)?.map(Arg::Int),
        ParamType::Bool => match v.cast::<PyBool>() {
            Ok(b) => Some(Arg::Bool(b.is_true())),
            Err(_) if v.is_instance_of::<PyInt>() => v.extract::<i64>().ok().map(|i| Arg::Bool(i != 0)),
            Err(_) if v.hasattr("__bool__").unwrap_or(false) && v.hasattr("dtype").unwrap_or(false) => {
                v.is_truthy().ok().map(Arg::Bool)
            }
            Err(_) => None,
        },
        ParamType::Ints { broadcast } => match sequence(v) {
            Some(items) => ints_of(&items)?.map(Arg::Ints),
            None if broadcast => int_of(v)?.map(|i| Arg::Ints(Dims::from_slice(&[i]))),
            None => None,
        },
        ParamType::Numbers => sequence(v)
            .and_then(|items| items.iter().map(number_of).collect::<Option<Vec<_>>>().map(Arg::Numbers)),
        ParamType::Floats => match sequence(v) {
            Some(items) => items
                .iter()
                .map(|i| number_of(i).map(Number::as_f64))
                .collect::<Option<Vec<_>>>()
                .map(Arg::Floats),
            None => number_of(v).map(|n| Arg::Floats(vec![n.as_f64()])),
        },
        ParamType::Str => v.cast::<PyString>().ok().map(|s| Arg::Str(s.to_string())),
        ParamType::DType => match v.cast::<PyDType>() {
            Ok(d) => Some(Arg::DType(d.get().0)),
            Err(_) => python_type(v).map(Arg::DType),
        },
        ParamType::Device => match PyDevice::extract_any(v) {
            Ok(d) => Some(Arg::Device(d.to_device())),
            Err(e) if v.is_instance_of::<PyString>() => return Err(Misfit::Python(e)),
            Err(_) => None,
        },
        // One layout, and memory formats do not change what is computed.
        ParamType::Layout => v.cast::<crate::types::PyLayout>().ok().map(|_| Arg::None),
        ParamType::MemoryFormat => v.cast::<crate::types::PyMemoryFormat>().ok().map(|_| Arg::None),
        ParamType::Generator => v.cast::<PyGenerator>().ok().map(|g| Arg::Generator(g.get().0.clone())),
    };
    let is_number = matches!(param.ty, ParamType::Operand | ParamType::Number | ParamType::Float);
    if arg.is_none() && is_number && v.is_instance_of::<PyInt>() {
        return Err(Misfit::Python(PyOverflowError::new_err("int too big to convert")));
    }
    arg.ok_or_else(wrong)
}

/// An element type that a function of this module was given.
pub(crate) fn dtype_argument(
    function: &str,
    name: &str,
    position: usize,
    v: &Bound<'_, PyAny>,
) -> PyResult<ttk_ir::DType> {
    match v.cast::<PyDType>() {
        Ok(d) => Ok(d.get().0),
        Err(_) => python_type(v).ok_or_else(|| wrong_type(function, name, position, "torch.dtype", v)),
    }
}

/// The exception for an argument of another type than the function takes.
pub(crate) fn wrong_type(
    function: &str,
    name: &str,
    position: usize,
    want: &str,
    got: &Bound<'_, PyAny>,
) -> PyErr {
    PyTypeError::new_err(format!(
        "{function}(): argument '{name}' (position {position}) must be {want}, not {}",
        type_name(got)
    ))
}

/// `float`, `int` and `bool` as element types.
pub(crate) fn python_type(v: &Bound<'_, PyAny>) -> Option<ttk_ir::DType> {
    let py = v.py();
    if v.is(py.get_type::<PyFloat>()) {
        return Some(ttk_ir::DType::F64);
    }
    if v.is(py.get_type::<PyBool>()) {
        return Some(ttk_ir::DType::Bool);
    }
    v.is(py.get_type::<PyInt>()).then_some(ttk_ir::DType::I64)
}
