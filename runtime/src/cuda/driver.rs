//! The driver's objects as types that are safe to use: each lives as long as its owner, and whatever
//! it refers to lives longer.
//!
//! What stays the caller's care, and is kept by the modules above: memory is used only while it is
//! allocated, by work of streams that are in order with its allocation and release.

use super::error::CudaError;
use super::library;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;
use std::ffi::{CString, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

/// An address in a device's memory.
pub(super) type Address = u64;

pub(super) fn failed(error: DriverError, during: &str) -> CudaError {
    let text = |t: Result<&std::ffi::CStr, DriverError>| {
        t.map_or_else(|_| "unknown error".to_string(), |t| t.to_string_lossy().into_owned())
    };
    CudaError::Driver {
        code: error.0 as u32,
        name: text(error.error_name()),
        text: text(error.error_string()),
        during: during.to_string(),
    }
}

/// Facts about a device.
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) capability: (i32, i32),
    pub(super) total_memory: usize,
    pub(super) multiprocessors: i32,
    pub(super) threads_of_multiprocessor: i32,
    /// Bytes of shared memory of a block, when opted in for.
    pub(super) shared_memory: i32,
}

/// The primary context of a device.
pub(super) struct Context {
    device: sys::CUdevice,
    handle: sys::CUcontext,
}

// SAFETY: the driver's functions may be called from any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    pub(super) fn new(ordinal: usize) -> Result<Arc<Context>, CudaError> {
        let count = library::driver()?;
        if ordinal >= count {
            return Err(CudaError::InvalidDevice { ordinal, count });
        }
        let device = result::device::get(ordinal as i32).map_err(|e| failed(e, "opening a device"))?;
        // SAFETY: the driver has given this device.
        let handle =
            unsafe { result::primary_ctx::retain(device) }.map_err(|e| failed(e, "opening a device"))?;
        Ok(Arc::new(Context { device, handle }))
    }

    pub(super) fn facts(&self) -> Result<Facts, CudaError> {
        use sys::CUdevice_attribute as A;
        let get = |a| {
            // SAFETY: the device is one of the driver's.
            unsafe { result::device::get_attribute(self.device, a) }
                .map_err(|e| failed(e, "asking for an attribute"))
        };
        Ok(Facts {
            name: result::device::get_name(self.device).map_err(|e| failed(e, "asking for a name"))?,
            capability: (
                get(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                get(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            // SAFETY: as above.
            total_memory: unsafe { result::device::total_mem(self.device) }
                .map_err(|e| failed(e, "asking for the size of memory"))?,
            multiprocessors: get(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            threads_of_multiprocessor: get(A::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR)?,
            shared_memory: get(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        })
    }

    /// Makes this the context that the calling thread's calls are about.
    fn bind(&self) -> Result<(), DriverError> {
        if result::ctx::get_current()? == Some(self.handle) {
            return Ok(());
        }
        // SAFETY: the context is retained as long as `self`.
        unsafe { result::ctx::set_current(self.handle) }
    }

    /// Calls `f` with this context, and names what it does if it fails.
    fn call<T>(&self, during: &str, f: impl FnOnce() -> Result<T, DriverError>) -> Result<T, CudaError> {
        library::not_forked()?;
        self.bind().and_then(|()| f()).map_err(|e| failed(e, during))
    }

    /// Makes this the context of the calling thread, for a library that works in whichever is current.
    pub(super) fn enter(&self, during: &str) -> Result<(), CudaError> {
        self.call(during, || Ok(()))
    }

    /// Bytes that are free, and all there are.
    pub(super) fn memory_info(&self) -> Result<(usize, usize), CudaError> {
        self.call("asking for free memory", result::mem_get_info)
    }

    /// Memory of the device; `None` when there is not so much left. `bytes` is not 0.
    pub(super) fn allocate(&self, bytes: usize) -> Result<Option<Address>, CudaError> {
        library::not_forked()?;
        // SAFETY: allocates; the content is undefined, and nothing but device code and copies reads it.
        match self.bind().and_then(|()| unsafe { result::malloc_sync(bytes) }) {
            Ok(at) => Ok(Some(at)),
            Err(e) if e.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => Ok(None),
            Err(e) => Err(failed(e, "allocating memory")),
        }
    }

    /// Waits for all of the device's work and frees memory.
    pub(super) fn free(&self, at: Address) -> Result<(), CudaError> {
        // SAFETY: the address is one that `allocate` gave, and its owner lets go of it.
        self.call("freeing memory", || unsafe { result::free_sync(at) })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if library::not_forked().is_ok() {
            // SAFETY: retained once by `new`. An error has nobody to go to.
            let _ = unsafe { result::primary_ctx::release(self.device) };
        }
    }
}

/// A queue of work of a device.
pub(super) struct Stream {
    context: Arc<Context>,
    handle: sys::CUstream,
}

// SAFETY: the driver's functions may be called from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    pub(super) fn new(context: &Arc<Context>) -> Result<Stream, CudaError> {
        let make = || result::stream::create(result::stream::StreamKind::NonBlocking);
        let handle = context.call("making a stream", make)?;
        Ok(Stream { context: context.clone(), handle })
    }

    /// The stream as libraries take it, for as long as `self` lives.
    pub(super) fn raw(&self) -> *mut c_void {
        self.handle.cast()
    }

    /// Waits for the work so far. An error of a kernel that ran meanwhile comes up here.
    pub(super) fn synchronize(&self, during: &str) -> Result<(), CudaError> {
        // SAFETY: the stream lives as long as `self`.
        self.context.call(during, || unsafe { result::stream::synchronize(self.handle) })
    }

    /// Lets later work wait for an event of any device.
    pub(super) fn wait(&self, event: &Event) -> Result<(), CudaError> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both live.
        self.context.call("waiting for an event", || unsafe {
            result::stream::wait_event(self.handle, event.handle, flags)
        })
    }

    pub(super) fn fill_zero(&self, at: Address, bytes: usize) -> Result<(), CudaError> {
        // SAFETY: the caller's memory is that long.
        self.context.call("filling memory", || unsafe { result::memset_d8_async(at, 0, bytes, self.handle) })
    }

    /// Copies within the device.
    pub(super) fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), CudaError> {
        // SAFETY: both ranges are allocated.
        self.context.call("copying on the device", || unsafe {
            result::memcpy_dtod_async(to, from, bytes, self.handle)
        })
    }

    /// Copies from another device.
    pub(super) fn copy_from_peer(
        &self,
        peer: &Context,
        from: Address,
        to: Address,
        bytes: usize,
    ) -> Result<(), CudaError> {
        // SAFETY: both ranges are allocated, each on its own device.
        self.context.call("copying between devices", || unsafe {
            result::memcpy_peer_async(self.context.handle, to, peer.handle, from, bytes, self.handle)
        })
    }

    /// Copies pinned bytes `at..at + len` to the device; they must not change before the stream has come to it.
    pub(super) fn upload(&self, from: &Pinned, at: usize, len: usize, to: Address) -> Result<(), CudaError> {
        debug_assert!(at + len <= from.bytes);
        // SAFETY: the pinned memory is that long.
        let bytes = unsafe { std::slice::from_raw_parts(from.start.as_ptr().add(at), len) };
        // SAFETY: the destination is allocated; the source stays until its owner has waited.
        self.context
            .call("copying to the device", || unsafe { result::memcpy_htod_async(to, bytes, self.handle) })
    }

    /// Copies from the device to pinned bytes `0..len`, which must not be touched before the stream has come to it.
    pub(super) fn download(&self, from: Address, to: &Pinned, len: usize) -> Result<(), CudaError> {
        debug_assert!(len <= to.bytes);
        // SAFETY: the pinned memory is that long, and nobody looks at it meanwhile.
        let bytes = unsafe { std::slice::from_raw_parts_mut(to.start.as_ptr(), len) };
        // SAFETY: the source is allocated; the destination stays until its owner has waited.
        self.context
            .call("copying to the host", || unsafe { result::memcpy_dtoh_async(bytes, from, self.handle) })
    }

    /// Launches a function. Each parameter is 8 bytes: an address or a `long long`.
    ///
    /// # Safety
    /// The function must take these parameters, and use memory only as far as it is allocated.
    pub(super) unsafe fn launch(
        &self,
        function: &Function,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        parameters: &mut [u64],
    ) -> Result<(), CudaError> {
        let mut addresses: Vec<*mut c_void> =
            parameters.iter_mut().map(|p| std::ptr::from_mut(p).cast()).collect();
        // SAFETY: promised by the caller; the driver reads the parameters before it returns.
        let launch = || unsafe {
            let (grid, block) = (grid.into(), block.into());
            result::launch_kernel(function.handle, grid, block, shared, self.handle, &mut addresses)
        };
        self.context.call(&function.launching, launch)
    }

    /// Records what `issue` gives to this stream instead of running it.
    pub(super) fn capture(
        &self,
        issue: impl FnOnce(&Stream) -> Result<(), CudaError>,
    ) -> Result<Graph, CudaError> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives.
        let begin = || unsafe { result::stream::begin_capture(self.handle, mode) };
        self.context.call("beginning a graph", begin)?;
        let issued = issue(self);
        // A capture is ended also when it has failed; its own error is then of no interest.
        // SAFETY: as above.
        let ended =
            self.context.call("ending a graph", || unsafe { result::stream::end_capture(self.handle) });
        let graph = match (issued, ended) {
            (Ok(()), ended) => ended?,
            (Err(e), Ok(graph)) => {
                destroy_graph(graph);
                return Err(e);
            }
            (Err(e), Err(_)) => return Err(e),
        };
        let flags = sys::CUgraphInstantiate_flags(0);
        // SAFETY: the graph was just made.
        let executable =
            self.context.call("making a graph", || unsafe { result::graph::instantiate(graph, flags) });
        destroy_graph(graph);
        Ok(Graph { context: self.context.clone(), handle: executable? })
    }

    pub(super) fn replay(&self, graph: &Graph) -> Result<(), CudaError> {
        // SAFETY: both live; the memory that the graph uses is what the caller answers for.
        self.context.call("launching a graph", || unsafe { result::graph::launch(graph.handle, self.handle) })
    }
}

fn destroy_graph(graph: sys::CUgraph) {
    if !graph.is_null() {
        // SAFETY: the graph is the driver's, and nobody else has it. An error has nobody to go to.
        let _ = unsafe { result::graph::destroy(graph) };
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made by `new`, used no more. An error has nobody to go to.
        let _ = self.context.call("", || unsafe { result::stream::destroy(self.handle) });
    }
}

/// A point in a stream.
pub(super) struct Event {
    context: Arc<Context>,
    handle: sys::CUevent,
}

// SAFETY: the driver's functions may be called from any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    pub(super) fn new(context: &Arc<Context>) -> Result<Event, CudaError> {
        Event::with(context, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
    }

    /// An event that notes the time when it is reached.
    pub(super) fn timed(context: &Arc<Context>) -> Result<Event, CudaError> {
        Event::with(context, sys::CUevent_flags::CU_EVENT_DEFAULT)
    }

    fn with(context: &Arc<Context>, flags: sys::CUevent_flags) -> Result<Event, CudaError> {
        let make = || result::event::create(flags);
        let handle = context.call("making an event", make)?;
        Ok(Event { context: context.clone(), handle })
    }

    /// Marks the end of a stream's work so far.
    pub(super) fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: both live.
        self.context
            .call("recording an event", || unsafe { result::event::record(self.handle, stream.handle) })
    }

    /// Whether the stream has come to it.
    pub(super) fn is_reached(&self) -> Result<bool, CudaError> {
        // SAFETY: the event lives.
        let asked = self.context.call("asking for an event", || unsafe { result::event::query(self.handle) });
        match asked {
            Ok(()) => Ok(true),
            Err(CudaError::Driver { code, .. }) if code == sys::CUresult::CUDA_ERROR_NOT_READY as u32 => {
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// Milliseconds from this event to a later one; both have been reached, and are timed.
    pub(super) fn milliseconds_until(&self, later: &Event) -> Result<f32, CudaError> {
        type ElapsedTime = unsafe extern "C" fn(*mut f32, sys::CUevent, sys::CUevent) -> sys::CUresult;
        let mut milliseconds = 0.0;
        // The bindings have only the newer form of the function, which is not in every driver.
        let function = library::driver_function(c"cuEventElapsedTime");
        if function.is_null() {
            return Err(failed(DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND), "measuring time"));
        }
        // SAFETY: the driver's function of that name has this type.
        let function = unsafe { std::mem::transmute::<*mut c_void, ElapsedTime>(function) };
        // SAFETY: both events live; writes a number.
        let ask = || unsafe { function(&raw mut milliseconds, self.handle, later.handle) }.result();
        self.context.call("measuring time", ask)?;
        Ok(milliseconds)
    }

    /// Waits until the stream has come to it.
    pub(super) fn synchronize(&self, during: &str) -> Result<(), CudaError> {
        // SAFETY: the event lives.
        self.context.call(during, || unsafe { result::event::synchronize(self.handle) })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `new`, used no more. An error has nobody to go to.
        let _ = self.context.call("", || unsafe { result::event::destroy(self.handle) });
    }
}

/// Memory of the host that the device copies to and from by itself.
pub(super) struct Pinned {
    context: Arc<Context>,
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: plain memory.
unsafe impl Send for Pinned {}

impl Pinned {
    pub(super) fn new(context: &Arc<Context>, bytes: usize) -> Result<Pinned, CudaError> {
        // SAFETY: allocates.
        let at = context.call("allocating pinned memory", || unsafe { result::malloc_host(bytes, 0) })?;
        let start = NonNull::new(at.cast::<u8>());
        let Some(start) = start else {
            return Err(failed(
                DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY),
                "allocating pinned memory",
            ));
        };
        Ok(Pinned { context: context.clone(), start, bytes })
    }

    /// Writes bytes at an offset; the device must not be reading there.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.bytes);
        // SAFETY: within the block; the slice is other memory, for `self` is borrowed mutably.
        unsafe { self.start.as_ptr().add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Reads the first bytes; the device must not be writing there.
    pub(super) fn get(&self, bytes: &mut [u8]) {
        assert!(bytes.len() <= self.bytes);
        // SAFETY: as above.
        unsafe { self.start.as_ptr().copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`; its owner has waited for the copies. An error has nobody to go to.
        let _ = self.context.call("", || unsafe { result::free_host(self.start.as_ptr().cast()) });
    }
}

/// Compiled functions on a device.
pub(super) struct Module {
    context: Arc<Context>,
    handle: sys::CUmodule,
}

// SAFETY: the driver's functions may be called from any thread.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// A function of a module that its owner keeps beside it.
pub(super) struct Function {
    handle: sys::CUfunction,
    name: String,
    /// For errors of a launch.
    launching: String,
}

impl Function {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

// SAFETY: the driver's functions may be called from any thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Module {
    /// Loads an image that NVRTC made for this device.
    pub(super) fn load(context: &Arc<Context>, image: &[u8]) -> Result<Module, CudaError> {
        // SAFETY: the image is whole: it says its own length, and comes from the compiler or from a file with
        // a checksum.
        let load = || unsafe { result::module::load_data(image.as_ptr().cast()) };
        let handle = context.call("loading a module", load)?;
        Ok(Module { context: context.clone(), handle })
    }

    /// The function of this name in the module. Errors call it what `shown` says.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn function(&self, name: &str, shown: &str) -> Result<Function, CudaError> {
        let during = format!("looking for {name}");
        let c_name = CString::new(name)
            .map_err(|_| failed(DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND), &during))?;
        // SAFETY: the module lives.
        let handle =
            self.context.call(&during, || unsafe { result::module::get_function(self.handle, c_name) })?;
        Ok(Function { handle, name: shown.to_string(), launching: format!("launching {shown}") })
    }

    /// Lets a function of this module have so many bytes of dynamic shared memory.
    pub(super) fn allow_shared(&self, function: &Function, bytes: i32) -> Result<(), CudaError> {
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let during = format!("asking for {bytes} bytes of shared memory");
        // SAFETY: the function is this module's.
        self.context.call(&during, || unsafe {
            result::function::set_function_attribute(function.handle, attribute, bytes)
        })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded by `load`, used no more. An error has nobody to go to.
        let _ = self.context.call("", || unsafe { result::module::unload(self.handle) });
    }
}

/// Work that was recorded, to be launched again and again.
pub(super) struct Graph {
    context: Arc<Context>,
    handle: sys::CUgraphExec,
}

// SAFETY: may be used from any thread, by one at a time.
unsafe impl Send for Graph {}
// SAFETY: a graph belongs to certain addresses, and a run that has memory there has it for itself.
unsafe impl Sync for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `capture`, used no more. An error has nobody to go to.
        let _ = self.context.call("", || unsafe { result::graph::exec_destroy(self.handle) });
    }
}
