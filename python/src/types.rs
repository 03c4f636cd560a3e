//! `dtype`, `device`, `Size`, `Generator` and the other small types.

use crate::errors::guard;
use crate::parse::{dtype_argument, overflow, type_name, wrong_type};
use parking_lot::RwLock;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyTuple, PyType};
use std::sync::Arc;
use ttk_frontend::device;
use ttk_frontend::error::python_dtype_name;
use ttk_frontend::ops::{Device, promote};
use ttk_frontend::random::{self, GeneratorState};
use ttk_ir::DType;
use ttk_ir::random::Mt19937;

#[pyclass(name = "dtype", module = "torch", frozen, eq, hash)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PyDType(pub(crate) DType);

#[pymethods]
impl PyDType {
    fn __repr__(&self) -> String {
        format!("torch.{}", python_dtype_name(self.0))
    }

    fn __reduce__(&self) -> &'static str {
        python_dtype_name(self.0)
    }

    #[getter]
    fn is_floating_point(&self) -> bool {
        self.0.is_float()
    }

    #[getter]
    fn is_complex(&self) -> bool {
        false
    }

    #[getter]
    fn is_signed(&self) -> bool {
        self.0.is_signed()
    }

    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }

    #[expect(clippy::wrong_self_convention, reason = "the name is PyTorch's, the receiver pyo3's")]
    fn to_real(&self) -> PyDType {
        *self
    }
}

static DTYPES: RwLock<Vec<Py<PyDType>>> = RwLock::new(Vec::new());

/// The one object of an element type.
pub(crate) fn dtype_object(py: Python<'_>, dtype: DType) -> Py<PyAny> {
    DTYPES.read()[dtype as usize].clone_ref(py).into_any()
}

#[pyclass(name = "device", module = "torch", frozen, eq, hash, from_py_object)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PyDevice {
    kind: String,
    #[pyo3(get)]
    index: Option<u32>,
}

const DEVICE_KINDS: [&str; 5] = ["cpu", "cuda", "meta", "mps", "xpu"];

impl PyDevice {
    pub(crate) fn parse(text: &str) -> PyResult<PyDevice> {
        if text.is_empty() {
            return Err(PyRuntimeError::new_err("Device string must not be empty"));
        }
        let (kind, index) = match text.split_once(':') {
            // One spelling for a number: neither a sign nor leading zeros.
            Some((k, i)) => match i.parse::<u32>().ok().filter(|n| n.to_string() == i) {
                Some(n) => (k, Some(n)),
                None => return Err(PyRuntimeError::new_err(format!("Invalid device string: '{text}'"))),
            },
            None => (text, None),
        };
        if !DEVICE_KINDS.contains(&kind) {
            return Err(PyRuntimeError::new_err(format!(
                "Expected one of cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, vulkan, mps, meta, hpu, mtia, privateuseone device type at start of device string: {kind}"
            )));
        }
        Ok(PyDevice { kind: kind.to_owned(), index })
    }

    pub(crate) fn to_device(&self) -> Device {
        match self.kind.as_str() {
            "cpu" => Device::Cpu,
            "meta" => Device::Meta,
            _ => Device::Cuda(self.index.unwrap_or_else(ttk_frontend::device::current)),
        }
    }

    pub(crate) fn of(device: Device) -> PyDevice {
        let (kind, index) = match device {
            Device::Cpu => ("cpu", None),
            Device::Cuda(i) => ("cuda", Some(i)),
            Device::Meta => ("meta", None),
        };
        PyDevice { kind: kind.to_owned(), index }
    }

    /// From a device, a string or a number.
    pub(crate) fn extract_any(value: &Bound<'_, PyAny>) -> PyResult<PyDevice> {
        if let Ok(d) = value.cast::<PyDevice>() {
            return Ok(d.get().clone());
        }
        if let Ok(s) = value.cast::<PyString>() {
            return PyDevice::parse(&s.to_string());
        }
        if value.is_instance_of::<PyInt>() {
            return Ok(PyDevice { kind: "cuda".into(), index: Some(device_index(value)?) });
        }
        Err(wrong_type("device", "type", 1, "torch.device, str or int", value))
    }
}

fn device_index(v: &Bound<'_, PyAny>) -> PyResult<u32> {
    match v.extract::<i64>() {
        Ok(i) if i < 0 => Err(PyRuntimeError::new_err("Device index must not be negative")),
        Ok(i) => u32::try_from(i).map_err(|_| overflow()),
        Err(_) if v.is_instance_of::<PyInt>() => Err(overflow()),
        Err(_) => Err(wrong_type("device", "index", 2, "int", v)),
    }
}

#[pymethods]
impl PyDevice {
    #[new]
    #[pyo3(signature = (r#type, index=None))]
    fn new(r#type: &Bound<'_, PyAny>, index: Option<&Bound<'_, PyAny>>) -> PyResult<PyDevice> {
        let mut d = PyDevice::extract_any(r#type)?;
        if let Some(i) = index {
            if d.index.is_some() {
                return Err(PyRuntimeError::new_err(format!(
                    "type (string) must not include an index because index was passed explicitly: {}",
                    d.__str__()
                )));
            }
            d.index = Some(device_index(i)?);
        }
        Ok(d)
    }

    #[getter(r#type)]
    fn kind(&self) -> &str {
        &self.kind
    }

    fn __repr__(&self) -> String {
        match self.index {
            Some(i) => format!("device(type='{}', index={i})", self.kind),
            None => format!("device(type='{}')", self.kind),
        }
    }

    fn __str__(&self) -> String {
        match self.index {
            Some(i) => format!("{}:{i}", self.kind),
            None => self.kind.clone(),
        }
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyType>, (String,))> {
        Ok((slf.get_type(), (slf.get().__str__(),)))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(&self, _kind: Py<PyAny>, _value: Py<PyAny>, _trace: Py<PyAny>) -> bool {
        false
    }
}

macro_rules! named {
    ($rust:ident $python:literal) => {
        #[pyclass(name = $python, module = "torch", frozen, eq, hash)]
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub(crate) struct $rust(pub(crate) &'static str);

        #[pymethods]
        impl $rust {
            fn __repr__(&self) -> String {
                format!("torch.{}", self.0)
            }

            fn __reduce__(&self) -> &'static str {
                self.0
            }
        }
    };
}

named!(PyLayout "layout");
named!(PyMemoryFormat "memory_format");

/// A stream of random numbers.
#[pyclass(name = "Generator", module = "torch", frozen)]
pub(crate) struct PyGenerator(pub(crate) Arc<random::Generator>);

/// Marks a state in which the count of words drawn is known.
const STATE_MAGIC: &[u8; 8] = b"ttkmt-1\0";

#[pymethods]
impl PyGenerator {
    #[new]
    #[pyo3(signature = (device=None))]
    fn new(device: Option<&Bound<'_, PyAny>>) -> PyResult<PyGenerator> {
        let device = device.map_or(Ok(Device::Cpu), |d| PyDevice::extract_any(d).map(|d| d.to_device()))?;
        let generator = match device {
            Device::Cpu => random::Generator::new(random::DEFAULT_SEED),
            Device::Cuda(ordinal) => {
                guard(|| device::open(ordinal))?;
                random::Generator::of_gpu(ordinal, random::DEFAULT_SEED)
            }
            Device::Meta => {
                return Err(PyRuntimeError::new_err(
                    "Device type meta is not supported for torch.Generator() api.",
                ));
            }
        };
        Ok(PyGenerator(Arc::new(generator)))
    }

    fn manual_seed(slf: Py<Self>, seed: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let seed = seed_from(seed)?;
        slf.get().0.manual_seed(seed);
        Ok(slf)
    }

    fn initial_seed(&self) -> u64 {
        self.0.initial_seed()
    }

    /// Seeds from the operating system's randomness and returns the seed.
    fn seed(&self) -> u64 {
        let seed = random::any_seed();
        self.0.manual_seed(seed);
        seed
    }

    #[getter]
    fn device(&self) -> PyDevice {
        match self.0.gpu() {
            Some(ordinal) => PyDevice { kind: "cuda".into(), index: Some(ordinal) },
            None => PyDevice { kind: "cpu".into(), index: None },
        }
    }

    /// Words drawn since the seed; of a GPU's generator alone.
    fn get_offset(&self) -> PyResult<u64> {
        match self.0.gpu() {
            Some(_) => Ok(self.0.offset()),
            None => Err(PyRuntimeError::new_err("CPU Generator does not use offset")),
        }
    }

    /// Goes to a place in the stream of the seed; of a GPU's generator alone.
    fn set_offset(&self, offset: u64) -> PyResult<()> {
        if self.0.gpu().is_none() {
            return Err(PyRuntimeError::new_err("CPU Generator does not use offset"));
        }
        if !offset.is_multiple_of(4) {
            return Err(PyRuntimeError::new_err("offset must be a multiple of 4"));
        }
        self.0.go_to(self.0.initial_seed(), offset);
        Ok(())
    }

    /// The state as bytes (`get_state` wraps them in a tensor): of a GPU's generator seed and offset.
    fn _state_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        if self.0.gpu().is_some() {
            let numbers = [self.0.initial_seed(), self.0.offset()];
            return PyBytes::new(py, numbers.map(u64::to_le_bytes).as_flattened());
        }
        let s = self.0.state();
        let mut out = Vec::with_capacity(5056);
        out.extend_from_slice(STATE_MAGIC);
        out.extend_from_slice(&s.seed.to_le_bytes());
        out.extend_from_slice(&s.drawn.unwrap_or(u64::MAX).to_le_bytes());
        out.extend_from_slice(&(s.mt.used() as u64).to_le_bytes());
        out.extend_from_slice(&s.next_normal.map_or(0u64, |_| 1).to_le_bytes());
        out.extend_from_slice(&s.next_normal.unwrap_or(0.0).to_le_bytes());
        for w in s.mt.words() {
            out.extend_from_slice(&(*w as u64).to_le_bytes());
        }
        out.resize(5056, 0);
        PyBytes::new(py, &out)
    }

    fn _set_state_bytes(&self, state: &[u8]) -> PyResult<()> {
        if self.0.gpu().is_some() {
            let word = |i: usize| -> Option<u64> {
                Some(u64::from_le_bytes(state.get(8 * i..8 * i + 8)?.try_into().ok()?))
            };
            // PyTorch takes a state without an offset too.
            let (Some(seed), 8 | 16) = (word(0), state.len()) else {
                return Err(PyRuntimeError::new_err("RNG state is wrong size"));
            };
            let offset = word(1).unwrap_or(0);
            if !offset.is_multiple_of(4) {
                return Err(PyRuntimeError::new_err("offset must be a multiple of 4"));
            }
            self.0.go_to(seed, offset);
            return Ok(());
        }
        if state.len() != 5056 {
            return Err(PyRuntimeError::new_err(format!(
                "Expected a CPUGeneratorImplState of size 5056 but found the input RNG state size to be {}",
                state.len()
            )));
        }
        if &state[..8] != STATE_MAGIC {
            return Err(PyRuntimeError::new_err(
                "Invalid mt19937 state: not one that get_rng_state() of this package gave",
            ));
        }
        let word = |i: usize| u64::from_le_bytes(state[i * 8..i * 8 + 8].try_into().unwrap_or_default());
        let mut words = [0u32; 624];
        for (i, w) in words.iter_mut().enumerate() {
            *w = word(6 + i) as u32;
        }
        let (seed, drawn) = (word(1), word(2));
        let drawn = (drawn != u64::MAX).then_some(drawn);
        let mt = match drawn {
            Some(n) => {
                let mut mt = Mt19937::new(seed);
                mt.skip(n);
                mt
            }
            None => Mt19937::from_parts(seed, words, word(3) as usize),
        };
        let next_normal = (word(4) == 1).then(|| f64::from_bits(word(5)));
        self.0.set_state(GeneratorState { seed, drawn, mt, next_normal });
        Ok(())
    }
}

/// A seed as PyTorch takes it: negative ones count from 2^64.
pub(crate) fn seed_from(seed: &Bound<'_, PyAny>) -> PyResult<u64> {
    if let Ok(seed) = seed.extract::<u64>() {
        return Ok(seed);
    }
    match seed.extract::<i64>() {
        Ok(seed) => Ok(seed as u64),
        Err(_) if seed.is_instance_of::<PyInt>() => Err(overflow()),
        Err(_) => {
            Err(PyRuntimeError::new_err(format!("manual_seed expected a long, but got {}", type_name(seed))))
        }
    }
}

static SIZE_TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// `torch.Size` of some sizes. They are integers already, so `tuple.__new__` will do.
pub(crate) fn size_object<'py>(py: Python<'py>, sizes: &[i64]) -> PyResult<Bound<'py, PyAny>> {
    static NEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let tuple = PyTuple::new(py, sizes)?;
    let Some(class) = SIZE_TYPE.get(py) else { return Ok(tuple.into_any()) };
    let new = NEW.get_or_try_init(py, || py.get_type::<PyTuple>().getattr("__new__").map(Bound::unbind))?;
    new.bind(py).call1((class, tuple))
}

#[pyfunction]
fn get_default_dtype(py: Python<'_>) -> Py<PyAny> {
    dtype_object(py, promote::default_float())
}

#[pyfunction]
fn _set_default_dtype(dtype: &Bound<'_, PyAny>) -> PyResult<()> {
    const WANTED: &str = "only floating-point types are supported as the default type";
    let dtype = dtype
        .cast::<PyDType>()
        .map_err(|_| PyTypeError::new_err(format!("invalid dtype object: {WANTED}")))?;
    let dtype = dtype.get().0;
    if !dtype.is_float() {
        return Err(PyTypeError::new_err(WANTED));
    }
    promote::set_default_float(dtype);
    Ok(())
}

#[pyfunction]
fn promote_types<'py>(type1: &Bound<'py, PyAny>, type2: &Bound<'py, PyAny>) -> PyResult<Py<PyAny>> {
    let a = dtype_argument("promote_types", "type1", 1, type1)?;
    let b = dtype_argument("promote_types", "type2", 2, type2)?;
    Ok(dtype_object(type1.py(), promote::promote_types(a, b)))
}

#[pyfunction]
fn can_cast(from_: &Bound<'_, PyAny>, to: &Bound<'_, PyAny>) -> PyResult<bool> {
    let from = dtype_argument("can_cast", "from_", 1, from_)?;
    Ok(promote::can_cast(from, dtype_argument("can_cast", "to", 2, to)?))
}

/// Numbers about a floating point type, as `numpy.finfo`.
#[pyclass(name = "finfo", module = "torch", frozen, get_all)]
pub(crate) struct Finfo {
    bits: usize,
    eps: f64,
    max: f64,
    min: f64,
    tiny: f64,
    smallest_normal: f64,
    resolution: f64,
    dtype: &'static str,
}

#[pymethods]
impl Finfo {
    #[new]
    #[pyo3(signature = (r#type=None))]
    fn new(r#type: Option<&Bound<'_, PyAny>>) -> PyResult<Finfo> {
        let d = match r#type {
            Some(t) => dtype_argument("finfo", "type", 1, t)?,
            None => promote::default_float(),
        };
        let (eps, max, tiny, resolution) = match d {
            DType::F64 => (f64::EPSILON, f64::MAX, f64::MIN_POSITIVE, 1e-15),
            DType::F32 => (f32::EPSILON as f64, f32::MAX as f64, f32::MIN_POSITIVE as f64, 1e-6),
            DType::F16 => (2f64.powi(-10), 65504.0, 2f64.powi(-14), 1e-3),
            DType::BF16 => (2f64.powi(-7), 3.389_531_389_251_535_5e38, f32::MIN_POSITIVE as f64, 1e-2),
            _ => {
                return Err(PyTypeError::new_err(format!(
                    "torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{}'",
                    python_dtype_name(d)
                )));
            }
        };
        let bits = d.size() * 8;
        Ok(Finfo {
            bits,
            eps,
            max,
            min: -max,
            tiny,
            smallest_normal: tiny,
            resolution,
            dtype: python_dtype_name(d),
        })
    }

    fn __repr__(&self) -> String {
        format!(
            "finfo(resolution={:e}, min={:e}, max={:e}, eps={:e}, smallest_normal={:e}, tiny={:e}, dtype={})",
            self.resolution, self.min, self.max, self.eps, self.smallest_normal, self.tiny, self.dtype
        )
    }
}

/// Numbers about an integer type, as `numpy.iinfo`.
#[pyclass(name = "iinfo", module = "torch", frozen, get_all)]
pub(crate) struct Iinfo {
    bits: usize,
    max: i64,
    min: i64,
    dtype: &'static str,
}

#[pymethods]
impl Iinfo {
    #[new]
    fn new(r#type: &Bound<'_, PyAny>) -> PyResult<Iinfo> {
        let d = dtype_argument("iinfo", "type", 1, r#type)?;
        match (d, d.int_range()) {
            (DType::Bool, _) => Err(PyTypeError::new_err("torch.bool is not supported by torch.iinfo")),
            (d, Some((min, max))) => Ok(Iinfo { bits: d.size() * 8, max, min, dtype: python_dtype_name(d) }),
            (d, None) => Err(PyTypeError::new_err(format!(
                "torch.iinfo() requires an integer input type. Use torch.finfo to handle '{}'",
                python_dtype_name(d)
            ))),
        }
    }

    fn __repr__(&self) -> String {
        format!("iinfo(min={}, max={}, dtype={})", self.min, self.max, self.dtype)
    }
}

/// The generator of operators that are given none.
#[pyfunction]
fn _default_generator() -> PyGenerator {
    PyGenerator(random::default_generator())
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add_class::<PyDType>()?;
    m.add_class::<PyDevice>()?;
    m.add_class::<PyLayout>()?;
    m.add_class::<PyMemoryFormat>()?;
    m.add_class::<PyGenerator>()?;
    m.add_class::<Finfo>()?;
    m.add_class::<Iinfo>()?;
    let mut objects = Vec::new();
    for d in DType::ALL {
        let object = Py::new(py, PyDType(d))?;
        m.add(python_dtype_name(d), object.clone_ref(py))?;
        objects.push(object);
    }
    *DTYPES.write() = objects;
    for (alias, d) in [
        ("float", DType::F32),
        ("double", DType::F64),
        ("half", DType::F16),
        ("long", DType::I64),
        ("int", DType::I32),
        ("short", DType::I16),
    ] {
        m.add(alias, dtype_object(py, d))?;
    }
    m.add("strided", PyLayout("strided"))?;
    for name in ["sparse_coo", "sparse_csr"] {
        m.add(name, PyLayout(name))?;
    }
    for name in ["contiguous_format", "preserve_format", "channels_last", "channels_last_3d"] {
        m.add(name, PyMemoryFormat(name))?;
    }
    m.add("legacy_contiguous_format", m.getattr("contiguous_format")?)?;
    m.add("default_generator", Py::new(py, PyGenerator(random::default_generator()))?)?;
    // A tuple of sizes, as a class of its own; small enough to be written in Python.
    let scope = PyDict::new(py);
    py.run(
        c"from operator import index
class Size(tuple):
    __slots__ = ()
    __module__ = 'torch'
    def __new__(cls, sizes=()):
        sizes = list(sizes)
        for i, n in enumerate(sizes):
            if type(n) is not int:
                try:
                    sizes[i] = int(index(n))
                except TypeError:
                    kind = 'Tensor' if hasattr(n, 'dtype') else type(n).__name__
                    raise TypeError(
                        f\"torch.Size() takes an iterable of 'int' (item {i} is '{kind}')\"
                    ) from None
        return tuple.__new__(cls, sizes)
    def __repr__(self):
        return 'torch.Size(' + list(self).__repr__() + ')'
    def __getitem__(self, i):
        r = tuple.__getitem__(self, i)
        return tuple.__new__(Size, r) if isinstance(i, slice) else r
    def __add__(self, other):
        return Size(tuple.__add__(self, other)) if isinstance(other, tuple) else NotImplemented
    def __radd__(self, other):
        return Size(other + tuple(self)) if isinstance(other, tuple) else NotImplemented
    def __mul__(self, n):
        return Size(tuple.__mul__(self, n))
    __rmul__ = __mul__
    def numel(self):
        n = 1
        for s in self:
            n *= s
        return n
",
        Some(&scope),
        Some(&scope),
    )?;
    if let Some(size) = scope.get_item("Size")? {
        m.add("Size", &size)?;
        let _ = SIZE_TYPE.set(py, size.cast_into::<PyType>()?.unbind());
    }
    m.add_function(wrap_pyfunction!(get_default_dtype, m)?)?;
    m.add_function(wrap_pyfunction!(_set_default_dtype, m)?)?;
    m.add_function(wrap_pyfunction!(promote_types, m)?)?;
    m.add_function(wrap_pyfunction!(can_cast, m)?)?;
    m.add_function(wrap_pyfunction!(_default_generator, m)?)?;
    m.add("OutOfMemoryError", py.get_type::<crate::errors::OutOfMemoryError>())?;
    Ok(())
}
