//! GPUs as Python asks about them: `torch.cuda` stands on these functions.

use crate::errors::{guard, guard_unlocked};
use crate::types::{PyDevice, PyGenerator};
use pyo3::prelude::*;
use std::path::PathBuf;
use ttk_frontend::{Result, capture, device, materialize, random};
use ttk_runtime::cuda;

/// Folders in which the driver and NVRTC are looked for before the usual places.
#[pyfunction]
fn _cuda_add_search_paths(paths: Vec<PathBuf>) {
    cuda::add_search_paths(paths);
}

/// Calls a function before a GPU is first looked for.
#[pyfunction]
fn _cuda_before_first_use(search: Py<PyAny>) {
    device::before_first_use(Box::new(move || {
        // What goes wrong here shows when no library is found.
        let _ = Python::attach(|py| search.call0(py).map(drop));
    }));
}

/// Whether there is a GPU to compute on.
#[pyfunction]
fn _cuda_is_available() -> bool {
    cuda::available() && cuda::device_count() > 0
}

/// Why there is none, or `None`.
#[pyfunction]
fn _cuda_why_not() -> Option<String> {
    cuda::why_not()
}

#[pyfunction]
fn _cuda_device_count() -> usize {
    cuda::device_count()
}

/// Whether products of float32 may be computed in tf32 from now on.
#[pyfunction]
fn _cuda_allow_tf32(allow: bool) {
    device::allow_tf32(allow);
}

/// The libraries that take steps over from printed kernels: name, and file or why it is missing.
#[pyfunction]
fn _cuda_vendor_libraries() -> Vec<(&'static str, bool, String)> {
    let say = |(name, found): (&'static str, std::result::Result<PathBuf, String>)| match found {
        Ok(path) => (name, true, path.display().to_string()),
        Err(reason) => (name, false, reason),
    };
    cuda::libraries().into_iter().map(say).collect()
}

#[pyfunction]
fn _cuda_current_device() -> u32 {
    device::current()
}

#[pyfunction]
fn _cuda_set_device(ordinal: u32) -> PyResult<()> {
    guard(|| device::set_current(ordinal))
}

/// Name, capability (major, minor), bytes of memory, multiprocessors, bytes of shared memory of a block, threads of a
/// multiprocessor.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "a tuple of Python's")]
fn _cuda_properties(ordinal: u32) -> PyResult<(String, (i32, i32), usize, u32, usize, u32)> {
    let p = guard(|| Ok(device::open(ordinal)?.properties().clone()))?;
    let threads = p.threads_of_multiprocessor;
    Ok((p.name, p.capability, p.total_memory, p.multiprocessors, p.shared_memory, threads))
}

/// Bytes that are free, and all there are.
#[pyfunction]
fn _cuda_memory_info(ordinal: u32) -> PyResult<(usize, usize)> {
    guard(|| Ok(device::open(ordinal)?.memory_info()?))
}

/// Computes what waits, and waits for the GPU.
#[pyfunction]
fn _cuda_synchronize(py: Python<'_>, ordinal: u32) -> PyResult<()> {
    guard_unlocked(py, || {
        let gpu = device::open(ordinal)?;
        materialize::flush()?;
        Ok(gpu.synchronize()?)
    })
}

/// Bytes in tensors, the most they were, bytes taken from the driver, the most they were, requests to the driver,
/// requests served from what was kept.
#[pyfunction]
fn _cuda_memory_stats(ordinal: u32) -> PyResult<(usize, usize, usize, usize, usize, usize)> {
    let s = guard(|| Ok(device::open(ordinal)?.memory_stats()))?;
    Ok((s.allocated, s.max_allocated, s.reserved, s.max_reserved, s.driver_allocations, s.cache_hits))
}

#[pyfunction]
fn _cuda_reset_peak_memory_stats(ordinal: u32) -> PyResult<()> {
    guard(|| device::open(ordinal).map(|gpu| gpu.reset_peak_memory_stats()))
}

/// Gives memory that no tensor needs back to the driver, on every GPU in use.
#[pyfunction]
fn _cuda_empty_cache(py: Python<'_>) -> PyResult<()> {
    guard_unlocked(py, || -> Result<()> {
        (0..cuda::device_count() as u32).try_for_each(|i| Ok(device::open(i)?.empty_cache()?))
    })
}

/// Seeds the generator of a GPU.
#[pyfunction]
fn _cuda_manual_seed(ordinal: u32, seed: u64) {
    random::gpu_generator(ordinal).manual_seed(seed);
}

/// Seeds the generators of all GPUs.
#[pyfunction]
fn _cuda_manual_seed_all(seed: u64) {
    random::seed_gpus(seed);
}

/// The generator of a GPU.
#[pyfunction]
fn _cuda_generator(ordinal: u32) -> PyGenerator {
    PyGenerator(random::gpu_generator(ordinal))
}

/// The device of tensors that are made without naming one, for this thread.
#[pyfunction]
fn _set_default_device(device: Option<PyDevice>) -> PyResult<()> {
    let device = device.map_or(ttk_frontend::ops::Device::Cpu, |d| d.to_device());
    guard(|| device::set_place(device))
}

/// Whether this thread captures work for a graph.
#[pyfunction]
fn _cuda_is_capturing() -> bool {
    capture::is_capturing()
}

/// Begins to capture this thread's work.
#[pyfunction]
fn _cuda_begin_capture(py: Python<'_>) -> PyResult<()> {
    // The capture is this thread's.
    guard_unlocked(py, capture::begin)
}

/// Ends the capture.
#[pyfunction]
fn _cuda_end_capture() -> PyResult<PyCudaGraph> {
    guard(|| Ok(PyCudaGraph(capture::end()?)))
}

/// Work that was captured.
#[pyclass(name = "_CudaGraph", module = "torch._C", frozen)]
struct PyCudaGraph(capture::Captured);

#[pymethods]
impl PyCudaGraph {
    /// Runs it on what its tensors hold now.
    fn replay(&self, py: Python<'_>) -> PyResult<()> {
        guard_unlocked(py, || self.0.replay())
    }
}

/// A point in a GPU's work.
#[pyclass(name = "_CudaEvent", module = "torch._C", frozen)]
struct PyCudaEvent(cuda::DeviceEvent);

#[pymethods]
impl PyCudaEvent {
    #[new]
    fn new(ordinal: u32) -> PyResult<PyCudaEvent> {
        guard(|| Ok(PyCudaEvent(cuda::DeviceEvent::new(&device::open(ordinal)?)?)))
    }

    /// Marks the end of all work that was recorded so far.
    fn record(&self, py: Python<'_>) -> PyResult<()> {
        guard_unlocked(py, || {
            materialize::flush()?;
            Ok(self.0.record()?)
        })
    }

    fn is_reached(&self) -> PyResult<bool> {
        guard(|| Ok(self.0.is_reached()?))
    }

    fn synchronize(&self, py: Python<'_>) -> PyResult<()> {
        guard_unlocked(py, || Ok(self.0.synchronize()?))
    }

    /// Milliseconds of the GPU's time to a later event.
    fn milliseconds_until(&self, py: Python<'_>, later: &Bound<'_, PyCudaEvent>) -> PyResult<f64> {
        let later = later.get();
        guard_unlocked(py, || Ok(self.0.time_until(&later.0)?.as_secs_f64() * 1e3))
    }
}

/// Adds these functions to the module.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_cuda_add_search_paths, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_before_first_use, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_is_available, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_why_not, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_device_count, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_allow_tf32, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_vendor_libraries, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_current_device, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_set_device, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_properties, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_memory_info, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_synchronize, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_memory_stats, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_reset_peak_memory_stats, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_empty_cache, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_manual_seed, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_manual_seed_all, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_generator, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_is_capturing, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_begin_capture, m)?)?;
    m.add_function(wrap_pyfunction!(_cuda_end_capture, m)?)?;
    m.add_class::<PyCudaGraph>()?;
    m.add_function(wrap_pyfunction!(_set_default_device, m)?)?;
    m.add_class::<PyCudaEvent>()?;
    Ok(())
}
