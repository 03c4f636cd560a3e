//! The tensor class.

use crate::autograd::PyGradNode;
use crate::dispatch::call_named;
use crate::errors::{guard, guard_unlocked};
use crate::make::{make, next};
use crate::operators::{Operand, arithmetic, binary, in_place, named, product};
use crate::parse::{number_of, type_name};
use crate::types::{PyDevice, dtype_object, size_object};
use pyo3::exceptions::{PyIndexError, PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyList, PyTuple, PyType};
use std::sync::atomic::{AtomicPtr, Ordering};
use ttk_frontend::error::{python_dtype_name, scalar_type_name};
use ttk_frontend::ops::{Device, Number};
use ttk_frontend::{Tensor, host, index};
use ttk_ir::Binary;

/// A tensor as a Python object. A tensor has at most one such object at a time.
#[pyclass(name = "TensorBase", module = "torch._C", subclass, weakref, frozen)]
pub(crate) struct PyTensor(pub(crate) Tensor);

impl Drop for PyTensor {
    fn drop(&mut self) {
        self.0.handle().store(std::ptr::null_mut(), Ordering::Release);
    }
}

/// The Python class of results: `Tensor`, a subclass of this one, which lives as long as the process; null until it
/// is set. Most tensors are recognised by its address.
static CLASS: AtomicPtr<ffi::PyObject> = AtomicPtr::new(std::ptr::null_mut());

/// The tensor of an object, if it is one.
pub(crate) fn as_tensor<'a>(v: &'a Bound<'_, PyAny>) -> Option<&'a Tensor> {
    // SAFETY: `v` is alive.
    let class = unsafe { ffi::Py_TYPE(v.as_ptr()) };
    if class.cast() == CLASS.load(Ordering::Relaxed) {
        // SAFETY: the class is a subclass of the native one, which `_set_tensor_class` checks.
        return Some(&unsafe { v.cast_unchecked::<PyTensor>() }.get().0);
    }
    v.cast::<PyTensor>().ok().map(|t| &t.get().0)
}

/// The tensor's object, made if there is none.
pub(crate) fn wrap(py: Python<'_>, t: Tensor) -> PyResult<Bound<'_, PyAny>> {
    let known = t.handle().load(Ordering::Acquire);
    if !known.is_null() {
        // SAFETY: the object clears the handle when it dies, and both happen under the lock.
        return Ok(unsafe { Bound::from_borrowed_ptr(py, known.cast()) });
    }
    let class = CLASS.load(Ordering::Relaxed);
    if class.is_null() {
        return make(py, &py.get_type::<PyTensor>(), t);
    }
    // SAFETY: a class that was set is never freed.
    let class = unsafe { Bound::from_borrowed_ptr(py, class).cast_into_unchecked::<PyType>() };
    make(py, &class, t)
}

/// The tensor of an object, or of anything `torch.tensor` takes.
pub(crate) fn tensor_like(v: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    if let Some(t) = as_tensor(v) {
        return Ok(t.clone());
    }
    crate::convert::tensor_from(v, None)
}

impl PyTensor {
    /// The one element, for `float(x)` and `int(x)`.
    fn one_number(&self, py: Python<'_>) -> PyResult<Number> {
        if self.0.numel() != 1 {
            return Err(PyValueError::new_err("only one element tensors can be converted to Python scalars"));
        }
        guard_unlocked(py, || host::item(&self.0))
    }
}

#[pymethods]
impl PyTensor {
    /// For [`make`], which passes the tensor beside the arguments.
    #[new]
    fn new() -> PyResult<PyTensor> {
        match next() {
            Some(t) => Ok(PyTensor(t)),
            None => Err(PyTypeError::new_err("TensorBase is made by operators; use torch.tensor(...)")),
        }
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        size_object(py, &self.0.sizes())
    }

    #[pyo3(signature = (dim=None))]
    fn size<'py>(&self, py: Python<'py>, dim: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        let sizes = self.0.sizes();
        match dim {
            None => size_object(py, &sizes),
            Some(d) => Ok(along(&sizes, d)?.into_pyobject(py)?.into_any()),
        }
    }

    #[pyo3(signature = (dim=None))]
    fn stride<'py>(&self, py: Python<'py>, dim: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        let strides = self.0.strides();
        match dim {
            None => Ok(PyTuple::new(py, strides.as_slice())?.into_any()),
            Some(d) => Ok(along(&strides, d)?.into_pyobject(py)?.into_any()),
        }
    }

    fn storage_offset(&self) -> i64 {
        self.0.view().offset
    }

    #[getter]
    fn dtype(&self, py: Python<'_>) -> Py<PyAny> {
        dtype_object(py, self.0.dtype())
    }

    #[getter]
    fn device(&self) -> PyDevice {
        PyDevice::of(self.0.device())
    }

    #[getter]
    fn layout(&self) -> crate::types::PyLayout {
        crate::types::PyLayout("strided")
    }

    #[getter]
    fn ndim(&self) -> usize {
        self.0.rank()
    }

    fn dim(&self) -> usize {
        self.0.rank()
    }

    fn ndimension(&self) -> usize {
        self.0.rank()
    }

    fn numel(&self) -> i64 {
        self.0.numel()
    }

    fn nelement(&self) -> i64 {
        self.0.numel()
    }

    fn element_size(&self) -> usize {
        self.0.dtype().size()
    }

    #[getter]
    fn itemsize(&self) -> usize {
        self.0.dtype().size()
    }

    #[getter]
    fn nbytes(&self) -> i64 {
        self.0.numel() * self.0.dtype().size() as i64
    }

    #[getter]
    fn _version(&self) -> u32 {
        self.0.version()
    }

    #[getter]
    fn is_leaf(&self) -> bool {
        self.0.is_leaf()
    }

    #[getter]
    fn is_cuda(&self) -> bool {
        matches!(self.0.device(), Device::Cuda(_))
    }

    #[getter]
    fn is_sparse(&self) -> bool {
        false
    }

    #[getter]
    fn is_quantized(&self) -> bool {
        false
    }

    #[getter]
    fn is_meta(&self) -> bool {
        false
    }

    #[getter]
    fn is_mkldnn(&self) -> bool {
        false
    }

    #[getter]
    fn is_nested(&self) -> bool {
        false
    }

    #[getter]
    fn is_mps(&self) -> bool {
        false
    }

    fn is_floating_point(&self) -> bool {
        self.0.dtype().is_float()
    }

    fn is_complex(&self) -> bool {
        false
    }

    fn is_signed(&self) -> bool {
        self.0.dtype().is_signed()
    }

    fn is_conj(&self) -> bool {
        false
    }

    fn is_neg(&self) -> bool {
        false
    }

    fn is_inference(&self) -> bool {
        false
    }

    fn is_pinned(&self) -> bool {
        false
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn is_coalesced(&self) -> bool {
        false
    }

    #[pyo3(signature = (memory_format=None))]
    fn is_contiguous(&self, memory_format: Option<&crate::types::PyMemoryFormat>) -> bool {
        memory_format.is_none_or(|f| f.0 == "contiguous_format") && self.0.view().is_contiguous()
    }

    fn _device_number(&self) -> i64 {
        match self.0.device() {
            Device::Cuda(i) => i64::from(i),
            Device::Cpu | Device::Meta => -1,
        }
    }

    #[getter]
    fn requires_grad(&self) -> bool {
        self.0.requires_grad()
    }

    #[setter]
    fn set_requires_grad(&self, on: &Bound<'_, PyAny>) -> PyResult<()> {
        let on = on.extract().map_err(|_| PyRuntimeError::new_err("requires_grad must be a bool"))?;
        guard(|| self.0.set_requires_grad(on))
    }

    #[pyo3(signature = (requires_grad=true))]
    fn requires_grad_(slf: Bound<'_, Self>, requires_grad: bool) -> PyResult<Bound<'_, Self>> {
        guard(|| slf.get().0.set_requires_grad(requires_grad))?;
        Ok(slf)
    }

    #[getter]
    fn grad<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.grad().map(|g| wrap(py, g)).transpose()
    }

    #[setter]
    fn set_grad(&self, grad: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let grad = match grad {
            None => None,
            Some(g) => {
                let g = g.cast::<PyTensor>().map_err(|_| {
                    PyTypeError::new_err(format!(
                        "assigned grad expected to be a Tensor or None but got grad of type {}",
                        type_name(g)
                    ))
                })?;
                let g = g.get().0.clone();
                if g.sizes() != self.0.sizes() {
                    return Err(PyRuntimeError::new_err(format!(
                        "attempting to assign a gradient of size '{:?}' to a tensor of size '{:?}'. Please ensure that the gradient and the tensor are the same size",
                        g.sizes().as_slice(),
                        self.0.sizes().as_slice()
                    )));
                }
                if g.dtype() != self.0.dtype() {
                    return Err(PyRuntimeError::new_err(format!(
                        "attempting to assign a gradient with dtype '{}' to a tensor with grad_dtype '{}'. The gradient must match the tensor's grad_dtype (defaults to the tensor's dtype).",
                        python_dtype_name(g.dtype()),
                        scalar_type_name(self.0.dtype())
                    )));
                }
                Some(g)
            }
        };
        self.0.set_grad(grad);
        Ok(())
    }

    #[deleter]
    fn delete_grad(&self) {
        self.0.set_grad(None);
    }

    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        wrap(py, self.0.detach())
    }

    #[setter]
    fn set_data(&self, other: &Bound<'_, PyAny>) -> PyResult<()> {
        let other = other.cast::<PyTensor>().map_err(|_| {
            PyTypeError::new_err(format!("Variable data has to be a tensor, but got {}", type_name(other)))
        })?;
        guard(|| {
            self.0.set_data(&other.get().0);
            Ok(())
        })
    }

    fn detach<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        wrap(py, self.0.detach())
    }

    fn detach_(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let t = &slf.get().0;
        t.set_data(&t.detach());
        Ok(slf)
    }

    fn item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let n = guard_unlocked(py, || host::item(&self.0))?;
        Ok(match n {
            Number::Bool(b) => pyo3::types::PyBool::new(py, b).to_owned().into_any(),
            Number::Int(i) => i.into_pyobject(py)?.into_any(),
            Number::Float(f) => f.into_pyobject(py)?.into_any(),
        })
    }

    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // An expanded tensor has many more elements than memory.
        let mut room: Vec<[u64; 3]> = Vec::new();
        if room.try_reserve_exact(self.0.numel() as usize).is_err() {
            return Err(PyMemoryError::new_err(()));
        }
        drop(room);
        let scalars = guard_unlocked(py, || host::scalars(&self.0))?;
        let sizes = self.0.sizes();
        let mut items: Vec<Bound<'py, PyAny>> = Vec::with_capacity(scalars.len());
        for s in scalars {
            items.push(match host::number(s) {
                Number::Bool(b) => pyo3::types::PyBool::new(py, b).to_owned().into_any(),
                Number::Int(i) => i.into_pyobject(py)?.into_any(),
                Number::Float(f) => f.into_pyobject(py)?.into_any(),
            });
        }
        nest(py, &sizes, &mut items.into_iter())
    }

    fn __bool__(&self, py: Python<'_>) -> PyResult<bool> {
        match self.0.numel() {
            1 => Ok(guard_unlocked(py, || host::item(&self.0))?.as_f64() != 0.0),
            0 => Err(PyRuntimeError::new_err("Boolean value of Tensor with no values is ambiguous")),
            _ => {
                Err(PyRuntimeError::new_err("Boolean value of Tensor with more than one value is ambiguous"))
            }
        }
    }

    fn __float__(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.one_number(py)?.as_f64())
    }

    fn __int__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let n = self.one_number(py)?;
        match n {
            // Python's own answers for NaN and infinities.
            Number::Float(f) => f.into_pyobject(py)?.call_method0("__int__"),
            _ => Ok(n.as_i64().into_pyobject(py)?.into_any()),
        }
    }

    fn __index__(&self, py: Python<'_>) -> PyResult<i64> {
        if self.0.numel() != 1 || self.0.dtype().is_float() {
            return Err(PyTypeError::new_err(
                "only integer tensors of a single element can be converted to an index",
            ));
        }
        Ok(guard_unlocked(py, || host::item(&self.0))?.as_i64())
    }

    fn __len__(&self) -> PyResult<usize> {
        match self.0.sizes().first() {
            Some(&n) => Ok(n as usize),
            None => Err(PyTypeError::new_err("len() of a 0-d tensor")),
        }
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let items = crate::index::items(key)?;
        let t = guard(|| index::get(&self.0, &items))?;
        wrap(py, t)
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let items = crate::index::items(key)?;
        let value = match number_of(value) {
            Some(n) => guard(|| host::from_numbers(&[n], self.0.dtype(), &[]))?,
            None => tensor_like(value)?,
        };
        guard(|| index::set(&self.0, &items, &value, false))
    }

    fn __delitem__(&self, _key: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err("Tensor does not support deleting items"))
    }

    fn __add__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        arithmetic(named!("add"), Binary::Add, slf.as_any(), other)
    }

    fn __radd__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        arithmetic(named!("add"), Binary::Add, slf.as_any(), other)
    }

    fn __sub__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        arithmetic(named!("sub"), Binary::Sub, slf.as_any(), other)
    }

    fn __rsub__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        arithmetic(named!("sub"), Binary::Sub, other, slf.as_any())
    }

    fn __mul__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        arithmetic(named!("mul"), Binary::Mul, slf.as_any(), other)
    }

    fn __rmul__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        arithmetic(named!("mul"), Binary::Mul, slf.as_any(), other)
    }

    fn __truediv__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        arithmetic(named!("div"), Binary::Div, slf.as_any(), other)
    }

    fn __rtruediv__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        arithmetic(named!("div"), Binary::Div, other, slf.as_any())
    }

    fn __floordiv__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("floor_divide"), slf.as_any(), other)
    }

    fn __rfloordiv__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("floor_divide"), other, slf.as_any())
    }

    fn __mod__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("remainder"), slf.as_any(), other)
    }

    fn __rmod__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("remainder"), other, slf.as_any())
    }

    fn __matmul__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        product(named!("matmul"), slf.as_any(), other)
    }

    fn __rmatmul__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        product(named!("matmul"), other, slf.as_any())
    }

    fn __pow__<'py>(
        slf: &Bound<'py, Self>,
        other: &Operand<'py>,
        _modulo: &Operand<'py>,
    ) -> PyResult<Operand<'py>> {
        binary(named!("pow"), slf.as_any(), other)
    }

    fn __rpow__<'py>(
        slf: &Bound<'py, Self>,
        other: &Operand<'py>,
        _modulo: &Operand<'py>,
    ) -> PyResult<Operand<'py>> {
        binary(named!("pow"), other, slf.as_any())
    }

    fn __and__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("bitwise_and"), slf.as_any(), other)
    }

    fn __rand__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("bitwise_and"), slf.as_any(), other)
    }

    fn __or__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("bitwise_or"), slf.as_any(), other)
    }

    fn __ror__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("bitwise_or"), slf.as_any(), other)
    }

    fn __xor__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("bitwise_xor"), slf.as_any(), other)
    }

    fn __rxor__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("bitwise_xor"), slf.as_any(), other)
    }

    fn __lshift__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("bitwise_left_shift"), slf.as_any(), other)
    }

    fn __rlshift__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("bitwise_left_shift"), other, slf.as_any())
    }

    fn __rshift__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("bitwise_right_shift"), slf.as_any(), other)
    }

    fn __rrshift__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<Operand<'py>> {
        binary(named!("bitwise_right_shift"), other, slf.as_any())
    }

    fn __iadd__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<()> {
        in_place("add_", slf.as_any(), other)
    }

    fn __isub__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<()> {
        in_place("sub_", slf.as_any(), other)
    }

    fn __imul__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<()> {
        in_place("mul_", slf.as_any(), other)
    }

    fn __itruediv__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<()> {
        in_place("div_", slf.as_any(), other)
    }

    fn __ifloordiv__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<()> {
        in_place("floor_divide_", slf.as_any(), other)
    }

    fn __imod__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<()> {
        in_place("remainder_", slf.as_any(), other)
    }

    fn __ipow__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>, _modulo: &Operand<'py>) -> PyResult<()> {
        in_place("pow_", slf.as_any(), other)
    }

    fn __iand__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<()> {
        in_place("bitwise_and_", slf.as_any(), other)
    }

    fn __ior__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<()> {
        in_place("bitwise_or_", slf.as_any(), other)
    }

    fn __ixor__<'py>(slf: &Bound<'py, Self>, other: &Operand<'py>) -> PyResult<()> {
        in_place("bitwise_xor_", slf.as_any(), other)
    }

    fn __neg__<'py>(slf: &Bound<'py, Self>) -> PyResult<Operand<'py>> {
        call_named(slf.py(), named!("neg"), std::slice::from_ref(slf.as_any()))
    }

    fn __pos__<'py>(slf: &Bound<'py, Self>) -> Operand<'py> {
        slf.clone().into_any()
    }

    fn __abs__<'py>(slf: &Bound<'py, Self>) -> PyResult<Operand<'py>> {
        call_named(slf.py(), named!("abs"), std::slice::from_ref(slf.as_any()))
    }

    fn __invert__<'py>(slf: &Bound<'py, Self>) -> PyResult<Operand<'py>> {
        if slf.get().0.dtype().is_float() {
            return Err(PyTypeError::new_err(
                "~ (operator.invert) is only implemented on integer and Boolean-type tensors",
            ));
        }
        call_named(slf.py(), named!("bitwise_not"), std::slice::from_ref(slf.as_any()))
    }

    fn __richcmp__<'py>(
        slf: &Bound<'py, Self>,
        other: &Operand<'py>,
        op: CompareOp,
    ) -> PyResult<Operand<'py>> {
        let op = match op {
            CompareOp::Eq => named!("eq"),
            CompareOp::Ne => named!("ne"),
            CompareOp::Lt => named!("lt"),
            CompareOp::Le => named!("le"),
            CompareOp::Gt => named!("gt"),
            CompareOp::Ge => named!("ge"),
        };
        binary(op, slf.as_any(), other)
    }

    fn __hash__(slf: &Bound<'_, Self>) -> isize {
        // Identity, as Python's own objects hash.
        (slf.as_ptr() as usize).rotate_right(4) as isize
    }

    fn data_ptr(&self, py: Python<'_>) -> PyResult<usize> {
        let (buffer, view) = guard_unlocked(py, || host::computed(&self.0))?;
        Ok(buffer.lend() as usize + view.offset as usize * self.0.dtype().size())
    }

    fn retain_grad(&self) -> PyResult<()> {
        guard(|| ttk_frontend::grad::retain(&self.0))
    }

    #[getter]
    fn retains_grad(&self) -> bool {
        !self.0.is_leaf() && self.0.grad_meta().is_some()
    }

    /// What the tensor's derivative goes on to.
    #[getter]
    fn _grad_node(&self) -> PyGradNode {
        PyGradNode(self.0.value())
    }

    /// The name of the operation that made the tensor, or `None` for a leaf.
    #[getter]
    fn _made_by(&self) -> Option<String> {
        if self.0.is_leaf() {
            return None;
        }
        if let ttk_frontend::node::Kind::Alias(ttk_frontend::node::Alias::Custom { function, .. }) =
            &self.0.value().kind
        {
            return Some(function.name.clone());
        }
        Some(self.0.with_body(|b| b.made_by).unwrap_or("view").to_owned())
    }
}

/// The entry of sizes or strides for an axis.
fn along(entries: &[i64], dim: i64) -> PyResult<i64> {
    let at = guard(|| ttk_frontend::ops::call::normalize_dim(dim, entries.len()))?;
    entries.get(at).copied().ok_or_else(|| {
        PyIndexError::new_err(format!("Dimension specified as {dim} but tensor has no dimensions"))
    })
}

/// Nested lists of the given sizes.
fn nest<'py>(
    py: Python<'py>,
    sizes: &[i64],
    items: &mut dyn Iterator<Item = Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match sizes {
        [] => items.next().ok_or_else(|| PyRuntimeError::new_err("too few elements")),
        [n, rest @ ..] => {
            let list: Vec<Bound<'py, PyAny>> =
                (0..*n).map(|_| nest(py, rest, items)).collect::<PyResult<_>>()?;
            Ok(PyList::new(py, list)?.into_any())
        }
    }
}

#[pyfunction]
fn _set_tensor_class(class: Bound<'_, PyType>) -> PyResult<()> {
    if !class.is_subclass_of::<PyTensor>()? {
        return Err(PyTypeError::new_err("the class of tensors is a subclass of TensorBase"));
    }
    // A class that was set before stays alive: its address must not become another one's.
    CLASS.store(class.into_ptr().cast(), Ordering::Relaxed);
    Ok(())
}

/// An instance of a subclass that shares the tensor's memory; a leaf.
#[pyfunction]
#[pyo3(signature = (cls, data, require_grad=false))]
fn _make_subclass<'py>(
    py: Python<'py>,
    cls: Bound<'py, PyType>,
    data: &Bound<'py, PyTensor>,
    require_grad: bool,
) -> PyResult<Bound<'py, PyAny>> {
    if !cls.is_subclass_of::<PyTensor>()? {
        return Err(PyTypeError::new_err("cls must be a subclass of Tensor"));
    }
    let t = data.get().0.detach();
    if require_grad {
        guard(|| t.set_requires_grad(true))?;
    }
    make(py, &cls, t)
}

/// An instance of a subclass with the tensor's memory and history.
#[pyfunction]
fn _alias_subclass<'py>(
    py: Python<'py>,
    cls: Bound<'py, PyType>,
    data: &Bound<'py, PyTensor>,
) -> PyResult<Bound<'py, PyAny>> {
    if !cls.is_subclass_of::<PyTensor>()? {
        return Err(PyTypeError::new_err("cls must be a subclass of Tensor"));
    }
    let t = &data.get().0;
    make(py, &cls, t.with_view(t.view()))
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyTensor>()?;
    crate::make::learn(m.py())?;
    // A method cannot be declared under a name that is also that of a property's getter.
    let class = m.py().get_type::<PyTensor>();
    class.setattr("get_device", class.getattr("_device_number")?)?;
    m.add_function(wrap_pyfunction!(_set_tensor_class, m)?)?;
    m.add_function(wrap_pyfunction!(_make_subclass, m)?)?;
    m.add_function(wrap_pyfunction!(_alias_subclass, m)?)?;
    Ok(())
}
