//! The operators of the table as Python functions and methods.
//!
//! A function is a `PyCFunction` whose `self` is the operator's number. A method's C function gets the
//! tensor as `self` and nothing else, so there is one C function for each number: an instance of a generic.

use crate::errors::{guard, guard_python};
use crate::object::{PyTensor, wrap};
use crate::operators::Named;
use crate::parse::{Args, Given, parse, type_name};
use crate::source;
use crate::types::{dtype_object, size_object};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use smallvec::SmallVec;
use std::ffi::CString;
use ttk_frontend::ops::{Form, Number, Operator, Returned, Space, invoke, operators};
use ttk_frontend::{Result, Tensor};

/// How many operators can have methods.
const CAPACITY: usize = 1024;

fn number_object<'py>(py: Python<'py>, n: Number) -> PyResult<Bound<'py, PyAny>> {
    Ok(match n {
        Number::Bool(b) => pyo3::types::PyBool::new(py, b).to_owned().into_any(),
        Number::Int(i) => i.into_pyobject(py)?.into_any(),
        Number::Float(f) => f.into_pyobject(py)?.into_any(),
    })
}

/// What an operator gave back, as Python objects.
fn returned_object<'py>(py: Python<'py>, operator: &Operator, r: Returned) -> PyResult<Bound<'py, PyAny>> {
    Ok(match r {
        Returned::Tensor(t) => wrap(py, t)?,
        Returned::Tuple { names, items } => {
            let items: Vec<Bound<'py, PyAny>> =
                items.into_iter().map(|t| wrap(py, t)).collect::<PyResult<_>>()?;
            if names.is_empty() {
                PyTuple::new(py, items)?.into_any()
            } else {
                named_tuple(py, operator.row.name, names)?.call1(PyTuple::new(py, items)?)?
            }
        }
        Returned::List(items) => {
            let items: Vec<Bound<'py, PyAny>> =
                items.into_iter().map(|t| wrap(py, t)).collect::<PyResult<_>>()?;
            PyTuple::new(py, items)?.into_any()
        }
        Returned::Number(n) => number_object(py, n)?,
        Returned::DType(d) => dtype_object(py, d).into_bound(py),
        Returned::Ints(sizes) => size_object(py, &sizes)?,
        Returned::None => py.None().into_bound(py),
    })
}

/// The named tuple class of an operator's results (`torch.return_types.max`), made once.
fn named_tuple<'py>(
    py: Python<'py>,
    operator: &'static str,
    names: &'static [&'static str],
) -> PyResult<Bound<'py, PyAny>> {
    use parking_lot::Mutex;
    static CLASSES: Mutex<Vec<(&str, Py<PyAny>)>> = Mutex::new(Vec::new());
    if let Some((_, class)) = CLASSES.lock().iter().find(|(n, _)| *n == operator) {
        return Ok(class.bind(py).clone());
    }
    let make = py.import("tiny_torch._return_types")?.getattr("make")?;
    let class = make.call1((operator, PyList::new(py, names)?))?;
    CLASSES.lock().push((operator, class.clone().unbind()));
    Ok(class)
}

/// Parses, calls and wraps; `method` is the tensor of a method call.
///
/// # Safety
/// As CPython calls a `METH_FASTCALL | METH_KEYWORDS` function.
unsafe fn call<'py>(
    py: Python<'py>,
    operator: &'static Operator,
    in_place: bool,
    method: Option<Bound<'py, PyAny>>,
    args: *const *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> PyResult<Bound<'py, PyAny>> {
    let mut positional: SmallVec<[Bound<'py, PyAny>; 6]> = SmallVec::new();
    let is_method = method.is_some();
    positional.extend(method);
    // SAFETY: CPython passes `nargs` positional arguments, then one for each of `kwnames`.
    unsafe {
        for i in 0..nargs as usize {
            positional.push(Bound::from_borrowed_ptr(py, *args.add(i)));
        }
    }
    let mut keywords: SmallVec<[(Bound<'py, PyString>, Bound<'py, PyAny>); 4]> = SmallVec::new();
    let mut out: Option<Bound<'py, PyAny>> = None;
    if !kwnames.is_null() {
        // SAFETY: as above; `kwnames` is a tuple of strings.
        let names = unsafe { Bound::from_borrowed_ptr(py, kwnames) }.cast_into::<PyTuple>()?;
        for (i, name) in names.iter().enumerate() {
            let name = name.cast_into::<PyString>()?;
            // SAFETY: as above.
            let value = unsafe { Bound::from_borrowed_ptr(py, *args.add(nargs as usize + i)) };
            if operator.row.variants.out && !value.is_none() && name.to_str()? == "out" {
                out = Some(value);
            } else {
                keywords.push((name, value));
            }
        }
    }
    let given = Given { positional: &positional, keywords: &keywords, is_method };
    let mut parsed = Args::new();
    let overload = parse(operator, in_place, &given, &mut parsed)?;
    let form = match (&out, in_place) {
        (Some(targets), _) => Form::Out(out_tensors(operator.row.name, targets)?),
        (None, true) => Form::InPlace,
        (None, false) => Form::Function,
    };
    let returned = recorded(py, || invoke(operator, overload, &parsed, &form))?;
    if in_place && let Some(first) = positional.first() {
        return Ok(first.clone());
    }
    if let Some(targets) = out {
        return Ok(targets);
    }
    returned_object(py, operator, returned)
}

fn out_tensors(name: &str, v: &Bound<'_, PyAny>) -> PyResult<Vec<ttk_frontend::Tensor>> {
    let wrong = |v: &Bound<'_, PyAny>| {
        PyTypeError::new_err(format!("{name}(): argument 'out' must be Tensor, not {}", type_name(v)))
    };
    let tensor = |v: &Bound<'_, PyAny>| v.cast::<PyTensor>().map(|t| t.get().0.clone()).map_err(|_| wrong(v));
    if v.is_instance_of::<PyTensor>() {
        return Ok(vec![tensor(v)?]);
    }
    v.try_iter().map_err(|_| wrong(v))?.map(|t| tensor(&t?)).collect()
}

/// Calls `f` on behalf of CPython, which takes neither panics nor results.
fn give<'py>(py: Python<'py>, f: impl FnOnce() -> PyResult<Bound<'py, PyAny>>) -> *mut ffi::PyObject {
    match guard_python(f) {
        Ok(v) => v.into_ptr(),
        Err(e) => {
            e.restore(py);
            std::ptr::null_mut()
        }
    }
}

/// The C function of every operator's function form; `slf` is twice the operator's number, plus 1 for
/// the in-place form.
unsafe extern "C" fn function(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this with the lock held and a Python integer as `slf`.
    unsafe {
        let py = Python::assume_attached();
        let number = ffi::PyLong_AsLong(slf) as usize;
        give(py, || call(py, &operators()[number / 2], number % 2 == 1, None, args, nargs, kwnames))
    }
}

/// The C function of the method with number `N`, as in [`function`].
unsafe extern "C" fn method<const N: usize>(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this with the lock held and a tensor as `slf`.
    unsafe {
        let py = Python::assume_attached();
        let tensor = Bound::from_borrowed_ptr(py, slf);
        give(py, || call(py, &operators()[N / 2], N % 2 == 1, Some(tensor), args, nargs, kwnames))
    }
}

macro_rules! methods {
    (@8 $base:expr) => {
        [method::<{ $base }>, method::<{ $base + 1 }>, method::<{ $base + 2 }>, method::<{ $base + 3 }>,
         method::<{ $base + 4 }>, method::<{ $base + 5 }>, method::<{ $base + 6 }>, method::<{ $base + 7 }>]
    };
    (@64 $base:expr) => {
        [methods!(@8 $base), methods!(@8 $base + 8), methods!(@8 $base + 16), methods!(@8 $base + 24),
         methods!(@8 $base + 32), methods!(@8 $base + 40), methods!(@8 $base + 48), methods!(@8 $base + 56)]
    };
    (@512 $base:expr) => {
        [methods!(@64 $base), methods!(@64 $base + 64), methods!(@64 $base + 128), methods!(@64 $base + 192),
         methods!(@64 $base + 256), methods!(@64 $base + 320), methods!(@64 $base + 384), methods!(@64 $base + 448)]
    };
}

type Method = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    ffi::Py_ssize_t,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

static METHODS: [[[[Method; 8]; 8]; 8]; CAPACITY * 2 / 512] =
    [methods!(@512 0), methods!(@512 512), methods!(@512 1024), methods!(@512 1536)];

fn method_of(number: usize) -> Method {
    METHODS[number / 512][number / 64 % 8][number / 8 % 8][number % 8]
}

/// A definition that lives as long as the process, as CPython requires.
fn definition(name: &str, doc: &str, f: Method) -> PyResult<*mut ffi::PyMethodDef> {
    let text = |s: &str| CString::new(s).map_err(|e| PyRuntimeError::new_err(e.to_string()));
    Ok(Box::into_raw(Box::new(ffi::PyMethodDef {
        ml_name: text(name)?.into_raw(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: f },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: text(doc)?.into_raw(),
    })))
}

/// The doc of an operator: its signatures, then its text.
fn doc_of(operator: &Operator) -> String {
    let mut doc = String::new();
    for s in operator.row.signatures {
        doc.push_str(operator.row.name);
        doc.push_str(s);
        doc.push('\n');
    }
    doc.push('\n');
    doc.push_str(operator.row.doc);
    doc
}

/// Where a function of a space is found, for `__module__` and for pickles.
fn module_of(space: Space) -> &'static str {
    match space {
        Space::Torch => "tiny_torch",
        Space::Nn => "tiny_torch.nn.functional",
        Space::Linalg => "tiny_torch.linalg",
        Space::Special => "tiny_torch.special",
        Space::Fft => "tiny_torch.fft",
    }
}

fn add_function(m: &Bound<'_, PyAny>, name: &str, operator: &Operator, number: usize) -> PyResult<()> {
    let py = m.py();
    let module = PyString::intern(py, module_of(operator.row.space));
    let def = definition(name, &doc_of(operator), function)?;
    let slf = (number as i64).into_pyobject(py)?;
    // SAFETY: the definition lives for ever; `slf` and `module` are live objects.
    let object = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyCFunction_NewEx(def, slf.as_ptr(), module.as_ptr()))?
    };
    m.setattr(name, object)
}

fn add_method(class: &Bound<'_, PyAny>, name: &str, operator: &Operator, number: usize) -> PyResult<()> {
    let py = class.py();
    let def = definition(name, &doc_of(operator), method_of(number))?;
    // SAFETY: the definition lives for ever; `class` is a type object.
    let object =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class.as_ptr().cast(), def))? };
    class.setattr(name, object)
}

/// Puts every operator of the table where Python looks for it.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    let class = py.get_type::<PyTensor>();
    let spaces = [
        (Space::Torch, m.clone()),
        (Space::Nn, PyModule::new(py, "_nn")?),
        (Space::Linalg, PyModule::new(py, "_linalg")?),
        (Space::Special, PyModule::new(py, "_special")?),
        (Space::Fft, PyModule::new(py, "_fft")?),
    ];
    for (i, operator) in operators().iter().enumerate() {
        let row = operator.row;
        let Some((_, space)) = spaces.iter().find(|(s, _)| *s == row.space) else { continue };
        let in_place = format!("{}_", row.name);
        if row.variants.function {
            add_function(space, row.name, operator, 2 * i)?;
            if row.variants.in_place {
                add_function(space, &in_place, operator, 2 * i + 1)?;
            }
        }
        if i < CAPACITY {
            if row.variants.method {
                add_method(&class, row.name, operator, 2 * i)?;
            }
            if row.variants.in_place {
                add_method(&class, &in_place, operator, 2 * i + 1)?;
            }
        }
    }
    m.add_function(wrap_pyfunction!(_operators, m)?)?;
    for (space, module) in &spaces {
        match space {
            Space::Torch => {}
            Space::Nn => m.add("_nn", module)?,
            Space::Linalg => m.add("_linalg", module)?,
            Space::Special => m.add("_special", module)?,
            Space::Fft => m.add("_fft", module)?,
        }
    }
    Ok(())
}

/// Calls an operator by name from native code, as Python would.
pub(crate) fn call_named<'py>(
    py: Python<'py>,
    op: &Named,
    positional: &[Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    let Some(operator) = op.operator() else {
        return Err(PyRuntimeError::new_err(format!("there is no operator {}", op.name)));
    };
    let given = Given { positional, keywords: &[], is_method: false };
    let mut parsed = Args::new();
    let overload = parse(operator, false, &given, &mut parsed)?;
    let returned = recorded(py, || invoke(operator, overload, &parsed, &Form::Function))?;
    returned_object(py, operator, returned)
}

/// Calls an operator of two tensors by `direct`, a way of its own; where that declines, as [`call_named`].
pub(crate) fn call_directly<'py>(
    py: Python<'py>,
    operator: &'static Operator,
    direct: impl FnOnce() -> Option<Tensor>,
    operands: &[&Bound<'py, PyAny>; 2],
) -> PyResult<Bound<'py, PyAny>> {
    before(py)?;
    let returned = match guard(|| Ok(direct()))? {
        Some(result) => Returned::Tensor(result),
        None => {
            let positional = operands.map(Bound::clone);
            let given = Given { positional: &positional, keywords: &[], is_method: false };
            let mut parsed = Args::new();
            let overload = parse(operator, false, &given, &mut parsed)?;
            guard(|| invoke(operator, overload, &parsed, &Form::Function))?
        }
    };
    crate::state::after_operator(py)?;
    returned_object(py, operator, returned)
}

/// What precedes every operator.
fn before(py: Python<'_>) -> PyResult<()> {
    // SAFETY: the lock is held.
    let place = unsafe { source::note_line() };
    crate::state::before_operator(py, place)
}

/// Runs what records an operator, with what precedes and follows every operator.
pub(crate) fn recorded<T>(py: Python<'_>, record: impl FnOnce() -> Result<T>) -> PyResult<T> {
    before(py)?;
    let returned = guard(record)?;
    crate::state::after_operator(py)?;
    Ok(returned)
}

/// The whole table, for the type stubs: a dictionary for each operator, with a list of parameters for each
/// of its overloads.
#[pyfunction]
fn _operators(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let spaces = [Space::Torch, Space::Nn, Space::Linalg, Space::Special, Space::Fft];
    let names = ["torch", "nn.functional", "linalg", "special", "fft"];
    let mut out = Vec::with_capacity(operators().len());
    for operator in operators() {
        let (row, d) = (operator.row, PyDict::new(py));
        d.set_item("name", row.name)?;
        d.set_item("space", spaces.iter().position(|s| *s == row.space).map(|i| names[i]))?;
        d.set_item("function", row.variants.function)?;
        d.set_item("method", row.variants.method)?;
        d.set_item("in_place", row.variants.in_place)?;
        d.set_item("out", row.variants.out)?;
        d.set_item("doc", row.doc)?;
        let mut overloads = Vec::new();
        for signature in operator.overloads() {
            let mut params = Vec::new();
            for p in &signature.params {
                let q = PyDict::new(py);
                q.set_item("name", if p.name == "self" { "input" } else { p.name })?;
                q.set_item("type", p.ty.stub())?;
                q.set_item("optional", p.optional)?;
                q.set_item("keyword_only", p.keyword_only)?;
                q.set_item("default", p.default_text)?;
                params.push(q);
            }
            overloads.push((params, signature.returns));
        }
        d.set_item("overloads", overloads)?;
        out.push(d);
    }
    Ok(out)
}
