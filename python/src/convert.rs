//! Tensors from Python data and NumPy arrays, and back.

use crate::errors::{guard, guard_unlocked};
use crate::object::{PyTensor, as_tensor as as_tensor_of, wrap};
use crate::parse::{number_of, overflow, python_type, type_name};
use crate::types::{PyDType, dtype_object};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyTuple};
use std::ptr::NonNull;
use ttk_frontend::ops::{Device, Number, promote};
use ttk_frontend::tensor::Tensor;
use ttk_frontend::view::{Dims, contiguous_strides, numel};
use ttk_frontend::{host, materialize};
use ttk_ir::DType;
use ttk_runtime::Buffer;

/// Deepest nesting of lists.
const MAX_RANK: usize = 64;

/// The element type of NumPy's type string (`<f4`), if it is one of ours in this machine's byte order.
fn dtype_of_typestr(s: &str) -> Option<DType> {
    let (order, code) = s.split_at_checked(1)?;
    if !matches!(order, "<" | "|" | "=") {
        return None;
    }
    Some(match code {
        "b1" => DType::Bool,
        "u1" => DType::U8,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        _ => return None,
    })
}

fn typestr_of(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::Bool => "|b1",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::BF16 => return None,
    })
}

/// What NumPy says of an array's memory.
struct ArrayInterface {
    ptr: usize,
    read_only: bool,
    dtype: DType,
    sizes: Dims,
    /// In bytes.
    strides: Dims,
}

fn interface(array: &Bound<'_, PyAny>) -> PyResult<ArrayInterface> {
    let d = array.getattr("__array_interface__")?.cast_into::<PyDict>()?;
    let get = |k: &str| -> PyResult<Bound<'_, PyAny>> {
        d.get_item(k)?.ok_or_else(|| PyTypeError::new_err(format!("the array's interface has no {k}")))
    };
    let typestr: String = get("typestr")?.extract()?;
    let dtype = dtype_of_typestr(&typestr).ok_or_else(|| {
        if typestr.starts_with('>') && dtype_of_typestr(&typestr.replace('>', "<")).is_some() {
            return PyValueError::new_err(
                "given numpy array has byte order different from the native byte order. Conversion between byte orders is currently not supported.",
            );
        }
        let kind = array.getattr("dtype").and_then(|d| d.getattr("type")?.getattr("__name__"));
        let name = kind.map(|k| format!("numpy.{k}")).unwrap_or(typestr);
        PyTypeError::new_err(format!(
            "can't convert np.ndarray of type {name}. The only supported types are: float64, float32, float16, int64, int32, int16, int8, uint8, and bool."
        ))
    })?;
    let sizes: Vec<i64> = get("shape")?.extract()?;
    let (ptr, read_only): (usize, bool) = get("data")?.extract()?;
    let strides: Dims = match d.get_item("strides")? {
        Some(s) if !s.is_none() => s.extract::<Vec<i64>>()?.into(),
        _ => contiguous_strides(&sizes).iter().map(|s| s * dtype.size() as i64).collect(),
    };
    Ok(ArrayInterface { ptr, read_only, dtype, sizes: sizes.into(), strides })
}

/// A tensor that shares an array's memory, whose bits are taken as another type of that size if one is given.
#[pyfunction]
#[pyo3(signature = (array, dtype=None))]
fn _from_numpy<'py>(
    py: Python<'py>,
    array: Bound<'py, PyAny>,
    dtype: Option<&PyDType>,
) -> PyResult<Bound<'py, PyAny>> {
    if !array.hasattr("__array_interface__")? {
        return Err(PyTypeError::new_err(format!("expected np.ndarray (got {})", type_name(&array))));
    }
    wrap(py, share_array(&array, dtype.map(|d| d.0))?)
}

fn share_array(array: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Tensor> {
    let mut a = interface(array)?;
    if let Some(dtype) = dtype {
        if dtype.size() != a.dtype.size() {
            return Err(PyTypeError::new_err("an array's bits are taken as a type of another size"));
        }
        a.dtype = dtype;
    }
    let size = a.dtype.size() as i64;
    if a.strides.iter().any(|&s| s < 0) {
        return Err(PyValueError::new_err(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. (You can probably work around this by making a copy of your array  with array.copy().) ",
        ));
    }
    if a.strides.iter().any(|s| s % size != 0) {
        return Err(PyValueError::new_err(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the memory.",
        ));
    }
    let n = numel(&a.sizes);
    let strides: Dims = a.strides.iter().map(|s| s / size).collect();
    if n == 0 || a.ptr == 0 {
        return guard(|| host::from_bytes(&[], a.dtype, &a.sizes));
    }
    // The storage is the span from the first element to the last.
    let span: i64 = 1 + a.sizes.iter().zip(&strides).map(|(&n, &s)| (n - 1) * s).sum::<i64>();
    let Some(ptr) = NonNull::new(a.ptr as *mut u8) else {
        return Err(PyValueError::new_err("the array has no memory"));
    };
    let owner: Py<PyAny> = array.clone().unbind();
    // SAFETY: NumPy's memory of `span` elements from `ptr` lives as long as the array, which the buffer
    // owns a reference to.
    let buffer = unsafe { Buffer::from_foreign(ptr, (span * size) as usize, Box::new(owner)) };
    if a.read_only || a.ptr % a.dtype.size() != 0 {
        // Writing to it would be an error that nobody sees, or kernels would read across elements' places: keep a copy.
        let copy = buffer.duplicate().map_err(|e| crate::errors::to_python(e.into()))?;
        let flat = Tensor::from_buffer(copy, a.dtype, &[span]);
        return guard(|| flat.as_strided(&a.sizes, &strides, 0));
    }
    guard(|| Tensor::sharing(buffer, a.dtype, span).as_strided(&a.sizes, &strides, 0))
}

/// Keeps a tensor's memory alive for the NumPy array over it.
#[pyclass(frozen)]
struct ArrayOwner {
    #[pyo3(get)]
    __array_interface__: Py<PyDict>,
    #[expect(dead_code, reason = "held for its destructor")]
    buffer: Buffer,
}

/// A NumPy array that shares the tensor's memory.
#[pyfunction]
fn _to_numpy<'py>(py: Python<'py>, t: &Bound<'py, PyTensor>) -> PyResult<Bound<'py, PyAny>> {
    let t = &t.get().0;
    let dtype = t.dtype();
    let device = t.device();
    if device != Device::Cpu {
        return Err(PyTypeError::new_err(format!(
            "can't convert {device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
        )));
    }
    let Some(typestr) = typestr_of(dtype) else {
        return Err(PyTypeError::new_err("Got unsupported ScalarType BFloat16"));
    };
    let numpy = py.import("numpy")?;
    let sizes = t.sizes();
    if t.numel() == 0 {
        return numpy.call_method1("empty", (PyTuple::new(py, &sizes)?, typestr));
    }
    let (buffer, view) = guard_unlocked(py, || {
        let (computed, view) = host::computed(t)?;
        let shared = materialize::share_memory(&t.storage())?;
        Ok((shared.unwrap_or(computed), view))
    })?;
    let size = dtype.size() as i64;
    let d = PyDict::new(py);
    d.set_item("version", 3)?;
    d.set_item("typestr", typestr)?;
    d.set_item("shape", PyTuple::new(py, &sizes)?)?;
    d.set_item("strides", PyTuple::new(py, view.strides().iter().map(|s| s * size).collect::<Vec<_>>())?)?;
    d.set_item("data", (buffer.lend() as usize + (view.offset * size) as usize, false))?;
    let owner = Py::new(py, ArrayOwner { __array_interface__: d.unbind(), buffer })?;
    numpy.call_method1("asarray", (owner,))
}

/// The shape of nested sequences, and their numbers in order.
#[derive(Default)]
struct Nested {
    sizes: Dims,
    numbers: Vec<Number>,
    /// How many integers beyond 64 bits are among the numbers, as floats.
    wide: usize,
}

fn flatten(v: &Bound<'_, PyAny>, depth: usize, out: &mut Nested) -> PyResult<()> {
    if depth > MAX_RANK {
        return Err(PyValueError::new_err(format!("too many dimensions '{}'", type_name(v))));
    }
    if let Some(n) = number_of(v) {
        if depth != out.sizes.len() {
            return Err(PyTypeError::new_err("not a sequence"));
        }
        out.wide += usize::from(n.is_float() && v.is_instance_of::<PyInt>());
        out.numbers.push(n);
        return Ok(());
    }
    if v.is_instance_of::<PyInt>() {
        return Err(overflow());
    }
    if let Ok(t) = v.cast::<PyTensor>() {
        let t = t.get().0.clone();
        if t.rank() == 0 {
            out.numbers.push(guard_unlocked(v.py(), || host::item(&t))?);
            return Ok(());
        }
    }
    if v.is_instance_of::<PyString>() && depth > 0 {
        return Err(PyValueError::new_err(format!("too many dimensions '{}'", type_name(v))));
    }
    if v.is_instance_of::<PyString>() || v.is_instance_of::<PyBytes>() {
        return Err(PyTypeError::new_err(format!("new(): invalid data type '{}'", type_name(v))));
    }
    // SAFETY: a question about a live object, which runs no code of its.
    let is_sequence = unsafe { pyo3::ffi::PySequence_Check(v.as_ptr()) } != 0;
    let Some(len) = v.len().ok().filter(|_| is_sequence) else {
        return Err(PyRuntimeError::new_err(format!("Could not infer dtype of {}", type_name(v))));
    };
    if depth == out.sizes.len() {
        match out.numbers.first() {
            None => out.sizes.push(len as i64),
            Some(n) => {
                let name = type_name(v);
                return Err(PyTypeError::new_err(match n {
                    Number::Float(_) => format!("must be real number, not {name}"),
                    Number::Int(_) | Number::Bool(_) => {
                        format!("'{name}' object cannot be interpreted as an integer")
                    }
                }));
            }
        }
    } else if out.sizes[depth] != len as i64 {
        return Err(PyValueError::new_err(format!(
            "expected sequence of length {} at dim {depth} (got {len})",
            out.sizes[depth]
        )));
    }
    for item in v.try_iter()? {
        flatten(&item?, depth + 1, out)?;
    }
    Ok(())
}

fn inferred(nested: &Nested) -> DType {
    let numbers = &nested.numbers;
    if numbers.is_empty() || numbers.iter().filter(|n| n.is_float()).count() > nested.wide {
        promote::default_float()
    } else if numbers.iter().all(|n| matches!(n, Number::Bool(_))) {
        DType::Bool
    } else {
        DType::I64
    }
}

/// Whether every number is one of the element type, as PyTorch asks for; in an unsigned type negative ones
/// count from the other end.
fn check_range(nested: &Nested, dtype: DType) -> PyResult<()> {
    let Some((low, high)) = dtype.int_range().filter(|_| dtype != DType::Bool) else { return Ok(()) };
    if nested.wide > 0 {
        return Err(overflow());
    }
    let low = if low == 0 { -high } else { low };
    let fits = |n: &Number| match *n {
        Number::Bool(_) => true,
        Number::Int(i) => (low..=high).contains(&i),
        // The upper end of 64 bits is no float: the next one is above it.
        Number::Float(f) => f > low as f64 - 1.0 && f < high as f64 + 1.0,
    };
    if nested.numbers.iter().all(fits) {
        return Ok(());
    }
    let name = ttk_frontend::error::python_dtype_name(dtype);
    Err(PyRuntimeError::new_err(format!("value cannot be converted to type {name} without overflow")))
}

/// `torch.tensor(v, dtype)`: a copy of numbers, nested sequences, an array or a tensor.
pub(crate) fn tensor_from(v: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Tensor> {
    let cast = |t: Tensor| -> PyResult<Tensor> {
        guard(|| {
            let value = ttk_frontend::record::no_grad(|| t.detach().value());
            let mut b = ttk_frontend::record::Recorder::with_grad(false);
            Ok(match dtype {
                Some(d) => Tensor::from_value(ttk_ir::Builder::cast(&mut b, &value, d)),
                None => Tensor::from_value(value),
            })
        })
    };
    if let Ok(t) = v.cast::<PyTensor>() {
        return cast(t.get().0.clone());
    }
    if v.hasattr("__array_interface__")? {
        let a = interface(v)?;
        if a.ptr == 0 || numel(&a.sizes) == 0 {
            return guard(|| host::from_bytes(&[], dtype.unwrap_or(a.dtype), &a.sizes));
        }
        // A copy in row-major order is NumPy's work.
        let bytes = v.call_method0("tobytes")?.cast_into::<PyBytes>()?;
        return cast(guard(|| host::from_bytes(bytes.as_bytes(), a.dtype, &a.sizes))?);
    }
    if v.hasattr("__array__")? {
        return tensor_from(&v.call_method0("__array__")?, dtype);
    }
    // A list of tensors or arrays is stacked from its items.
    let mut nested = Nested::default();
    match flatten(v, 0, &mut nested) {
        Ok(()) => {}
        Err(e) => {
            let list =
                v.try_iter().ok().and_then(|i| i.collect::<PyResult<Vec<_>>>().ok()).unwrap_or_default();
            let arrays =
                !list.is_empty() && list.iter().all(|i| i.hasattr("__array_interface__").unwrap_or(false));
            if !arrays {
                return Err(e);
            }
            let numpy = v.py().import("numpy")?;
            return tensor_from(&numpy.call_method1("array", (v,))?, dtype);
        }
    }
    let dtype = dtype.unwrap_or_else(|| inferred(&nested));
    check_range(&nested, dtype)?;
    guard(|| host::from_numbers(&nested.numbers, dtype, &nested.sizes))
}

/// A list of integers or bools as an index.
pub(crate) fn index_tensor(v: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    let t = tensor_from(v, None)?;
    if t.numel() == 0 && t.dtype().is_float() {
        return guard(|| host::from_bytes(&[], DType::I64, &t.sizes()));
    }
    Ok(t)
}

fn dtype_arg(v: Option<&Bound<'_, PyAny>>) -> PyResult<Option<DType>> {
    match v {
        None => Ok(None),
        Some(d) => match d.cast::<PyDType>() {
            Ok(d) => Ok(Some(d.get().0)),
            Err(_) => python_type(d).map(Some).ok_or_else(|| {
                PyTypeError::new_err(format!(
                    "tensor(): argument 'dtype' must be torch.dtype, not {}",
                    type_name(d)
                ))
            }),
        },
    }
}

/// The device asked for; `None` leaves the tensor where it is.
fn device_arg(device: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Device>> {
    device
        .filter(|d| !d.is_none())
        .map(|d| Ok(crate::types::PyDevice::extract_any(d)?.to_device()))
        .transpose()
}

/// The tensor on the device that was asked for, or on that of tensors made without naming one.
fn placed(t: Tensor, device: Option<Device>) -> PyResult<Tensor> {
    guard(|| t.to_device(device.unwrap_or_else(ttk_frontend::device::place)))
}

/// A tensor with a copy of the data: a number, nested sequences, an array or a tensor.
#[pyfunction]
#[pyo3(signature = (data, *, dtype=None, device=None, requires_grad=false, pin_memory=false))]
fn tensor<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
    requires_grad: bool,
    pin_memory: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let _ = pin_memory;
    let device = device_arg(device)?;
    let t = tensor_from(data, dtype_arg(dtype)?)?;
    // A copy of a tensor stays on its device.
    let own = as_tensor_of(data).map(Tensor::device);
    let t = placed(t, device.or(own))?;
    if requires_grad {
        guard(|| t.set_requires_grad(true))?;
    }
    wrap(py, t)
}

/// A tensor of the data, without a copy where it is a tensor or an array already.
#[pyfunction]
#[pyo3(signature = (data, dtype=None, device=None))]
fn as_tensor<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (device, place) = (device, device_arg(device)?);
    let dtype = dtype_arg(dtype)?;
    if let Ok(t) = data.cast::<PyTensor>() {
        let (own, there) = (t.get().0.dtype(), t.get().0.device());
        if dtype.is_none_or(|d| d == own) && place.is_none_or(|p| p == there) {
            return Ok(data.clone());
        }
        let dtype = dtype_object(py, dtype.unwrap_or(own));
        return match device.filter(|_| place.is_some()) {
            Some(device) => data.call_method1("to", (device, dtype)),
            None => data.call_method1("to", (dtype,)),
        };
    }
    if data.hasattr("__array_interface__")? {
        let a = interface(data)?;
        if dtype.is_none_or(|d| d == a.dtype) && a.strides.iter().all(|&s| s >= 0) {
            return wrap(py, placed(share_array(data, None)?, place)?);
        }
    }
    wrap(py, placed(tensor_from(data, dtype)?, place)?)
}

/// A tensor that shares an array's memory.
#[pyfunction]
fn from_numpy<'py>(py: Python<'py>, array: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    _from_numpy(py, array, None)
}

/// A tensor of raw bytes, copied.
#[pyfunction]
fn _from_bytes<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    dtype: &PyDType,
    shape: Vec<i64>,
) -> PyResult<Bound<'py, PyAny>> {
    let t = match data.cast::<PyBytes>() {
        Ok(b) => guard(|| host::from_bytes(b.as_bytes(), dtype.0, &shape))?,
        Err(_) => {
            let copy = py.import("builtins")?.getattr("bytes")?.call1((data,))?.cast_into::<PyBytes>()?;
            guard(|| host::from_bytes(copy.as_bytes(), dtype.0, &shape))?
        }
    };
    wrap(py, t)
}

/// The elements as bytes, dense, row-major, little-endian.
#[pyfunction]
fn _to_bytes<'py>(py: Python<'py>, t: &Bound<'py, PyTensor>) -> PyResult<Bound<'py, PyBytes>> {
    let t = t.get().0.clone();
    let bytes = guard_unlocked(py, || host::bytes(&t))?;
    Ok(PyBytes::new(py, &bytes))
}

/// A view of a tensor's storage with any sizes and strides.
#[pyfunction]
fn _as_strided<'py>(
    py: Python<'py>,
    t: &Bound<'py, PyTensor>,
    size: Vec<i64>,
    stride: Vec<i64>,
    storage_offset: i64,
) -> PyResult<Bound<'py, PyAny>> {
    let t = guard(|| t.get().0.as_strided(&size, &stride, storage_offset))?;
    wrap(py, t)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_from_numpy, m)?)?;
    m.add_function(wrap_pyfunction!(_to_numpy, m)?)?;
    m.add_function(wrap_pyfunction!(tensor, m)?)?;
    m.add_function(wrap_pyfunction!(as_tensor, m)?)?;
    m.add_function(wrap_pyfunction!(from_numpy, m)?)?;
    m.add_function(wrap_pyfunction!(_from_bytes, m)?)?;
    m.add_function(wrap_pyfunction!(_to_bytes, m)?)?;
    m.add_function(wrap_pyfunction!(_as_strided, m)?)?;
    Ok(())
}
