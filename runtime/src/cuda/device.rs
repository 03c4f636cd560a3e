//! Devices: one object each for as long as the process lives, or until [`release_devices`].

use super::blas::Blas;
use super::dnn::Dnn;
use super::driver::{Address, Context, Event, Stream};
use super::error::CudaError;
use super::library;
use super::pool::{DeviceMemoryStats, Pool, Source};
use super::staging::Staging;
use super::workspace::Workspace;
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// How many devices there are; 0 when [`available`](super::available) is false for want of a driver.
pub fn device_count() -> usize {
    library::driver().unwrap_or(0)
}

/// Lets go of the devices that no buffer, plan or other handle holds, and of the memory they keep. The
/// next [`Device::get`] opens them anew.
pub fn release_devices() {
    let devices = std::mem::take(&mut *DEVICES.lock());
    for device in devices.into_iter().flatten() {
        // An error has nobody to go to: the memory goes with the process.
        let _ = device.empty_cache();
    }
}

/// Facts about a device that do not change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Properties {
    pub name: String,
    /// Compute capability: 9.0 is `(9, 0)`.
    pub capability: (i32, i32),
    /// Bytes of memory.
    pub total_memory: usize,
    pub multiprocessors: u32,
    /// The most threads that run on one of them at once.
    pub threads_of_multiprocessor: u32,
    /// The most shared memory of a block, in bytes.
    pub shared_memory: usize,
}

/// A device with its stream and its memory. Clones share it.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    ordinal: usize,
    properties: Properties,
    pool: Mutex<Pool>,
    staging: Mutex<Staging>,
    blocking: AtomicBool,
    /// An error that came up where it could not be given back.
    kept: Mutex<Option<CudaError>>,
    /// `None` where there is no such library.
    blas: OnceLock<Option<Arc<Blas>>>,
    dnn: OnceLock<Option<Arc<Dnn>>>,
    workspace: Arc<Workspace>,
    stream: Stream,
    context: Arc<Context>,
}

static DEVICES: Mutex<Vec<Option<Device>>> = Mutex::new(Vec::new());

impl Device {
    /// The device of a number.
    ///
    /// # Errors
    /// No driver, no such device, or the driver refuses to open it.
    pub fn get(ordinal: usize) -> Result<Device, CudaError> {
        let count = library::driver()?;
        if ordinal >= count {
            return Err(CudaError::InvalidDevice { ordinal, count });
        }
        let mut devices = DEVICES.lock();
        if devices.len() < count {
            devices.resize(count, None);
        }
        if let Some(device) = &devices[ordinal] {
            return Ok(device.clone());
        }
        let device = Device::open(ordinal)?;
        devices[ordinal] = Some(device.clone());
        Ok(device)
    }

    fn open(ordinal: usize) -> Result<Device, CudaError> {
        let context = Context::new(ordinal)?;
        let facts = context.facts()?;
        Ok(Device(Arc::new(Inner {
            ordinal,
            properties: Properties {
                name: facts.name,
                capability: facts.capability,
                total_memory: facts.total_memory,
                multiprocessors: facts.multiprocessors.max(1) as u32,
                threads_of_multiprocessor: facts.threads_of_multiprocessor.max(1) as u32,
                shared_memory: facts.shared_memory.max(48 << 10) as usize,
            },
            pool: Mutex::new(Pool::new()),
            kept: Mutex::new(None),
            blas: OnceLock::new(),
            dnn: OnceLock::new(),
            workspace: Arc::new(Workspace::new(&context, facts.capability)),
            staging: Mutex::new(Staging::new()),
            blocking: AtomicBool::new(std::env::var_os("CUDA_LAUNCH_BLOCKING").is_some_and(|v| v == "1")),
            stream: Stream::new(&context)?,
            context,
        })))
    }

    pub fn ordinal(&self) -> usize {
        self.0.ordinal
    }

    pub fn properties(&self) -> &Properties {
        &self.0.properties
    }

    /// Bytes that the driver has left, and all there are.
    ///
    /// # Errors
    /// The driver's.
    pub fn memory_info(&self) -> Result<(usize, usize), CudaError> {
        self.0.context.memory_info()
    }

    /// Waits for all work given to the device so far.
    ///
    /// # Errors
    /// Those of kernels that ran meanwhile.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.kept()?;
        self.0.stream.synchronize("waiting for the device")
    }

    /// Keeps an error for the next call that waits for the device.
    pub(super) fn keep(&self, error: CudaError) {
        self.0.kept.lock().get_or_insert(error);
    }

    fn kept(&self) -> Result<(), CudaError> {
        self.0.kept.lock().take().map_or(Ok(()), Err)
    }

    pub fn memory_stats(&self) -> DeviceMemoryStats {
        self.0.pool.lock().stats()
    }

    /// Makes the peaks start anew from what there is now.
    pub fn reset_peak_memory_stats(&self) {
        self.0.pool.lock().reset_peak();
    }

    /// Gives back to the driver the memory that no buffer uses.
    ///
    /// # Errors
    /// The driver's.
    pub fn empty_cache(&self) -> Result<(), CudaError> {
        self.0.pool.lock().empty(&*self.0)
    }

    /// Whether memory is kept for reuse. When it is not, every buffer and every intermediate of a program
    /// is an allocation of its own, of its very size, so that a tool (`compute-sanitizer`, or a driver that
    /// checks) sees each use beyond it. Slow.
    ///
    /// # Errors
    /// The driver's, when it takes back what was kept.
    pub fn set_caching(&self, caching: bool) -> Result<(), CudaError> {
        self.0.pool.lock().set_caching(caching, &*self.0)
    }

    pub fn is_caching(&self) -> bool {
        self.0.pool.lock().is_caching()
    }

    /// Whether every kernel is waited for, so that its error names it. At first as the environment variable
    /// `CUDA_LAUNCH_BLOCKING` says. Slow.
    pub fn set_blocking(&self, blocking: bool) {
        self.0.blocking.store(blocking, Ordering::Relaxed);
    }

    pub fn is_blocking(&self) -> bool {
        self.0.blocking.load(Ordering::Relaxed)
    }

    /// A block for `bytes` and its size.
    pub(super) fn allocate(&self, bytes: usize) -> Result<(Address, usize), CudaError> {
        let found = self.0.pool.lock().allocate(bytes, &*self.0)?;
        found.ok_or_else(|| {
            let stats = self.memory_stats();
            let (free, total) = self.memory_info().unwrap_or((0, self.0.properties.total_memory));
            CudaError::OutOfMemory {
                ordinal: self.0.ordinal,
                bytes,
                total,
                free,
                allocated: stats.allocated,
                cached: stats.reserved - stats.allocated,
            }
        })
    }

    pub(super) fn release(&self, at: Address, size: usize) {
        // A lock may have been held by a thread that the child has not.
        if library::not_forked().is_err() {
            return;
        }
        // An error has nobody to go to; one of the device itself comes up at the next call that waits.
        let _ = self.0.pool.lock().release(at, size, &*self.0);
    }

    pub(super) fn upload(&self, bytes: &[u8], to: Address) -> Result<(), CudaError> {
        self.0.staging.lock().upload(&self.0.context, &self.0.stream, bytes, to)
    }

    pub(super) fn download(&self, from: Address, bytes: &mut [u8], during: &str) -> Result<(), CudaError> {
        self.kept()?;
        self.0.staging.lock().download(&self.0.context, &self.0.stream, from, bytes, during)
    }

    /// Copies from another device; both go on only when that is safe.
    pub(super) fn copy_from_peer(
        &self,
        peer: &Device,
        from: Address,
        to: Address,
        bytes: usize,
    ) -> Result<(), CudaError> {
        let (ready, done) = (Event::new(&peer.0.context)?, Event::new(&self.0.context)?);
        ready.record(&peer.0.stream)?;
        self.0.stream.wait(&ready)?;
        self.0.stream.copy_from_peer(&peer.0.context, from, to, bytes)?;
        done.record(&self.0.stream)?;
        // The source may be overwritten or freed right after this call.
        peer.0.stream.wait(&done)
    }

    /// cuBLASLt on this device, if it is there.
    pub(super) fn blas(&self) -> Option<&Arc<Blas>> {
        let open = || Blas::open(&self.0.context, &self.0.workspace).ok().map(Arc::new);
        self.0.blas.get_or_init(open).as_ref()
    }

    /// cuDNN on this device, if it is there.
    pub(super) fn dnn(&self) -> Option<&Arc<Dnn>> {
        let open = || Dnn::open(&self.0.context, &self.0.workspace).ok().map(Arc::new);
        self.0.dnn.get_or_init(open).as_ref()
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.0.stream
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    pub(super) fn is(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Source for Inner {
    fn allocate(&self, bytes: usize) -> Result<Option<Address>, CudaError> {
        self.context.allocate(bytes)
    }

    fn free(&self, at: Address) -> Result<(), CudaError> {
        self.context.free(at)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Every buffer holds its device, so that all memory is in the pool by now. Copies through pinned
        // memory must be over before that goes.
        let _ = self.stream.synchronize("closing a device");
        let source = Keeper(self.context.clone());
        let _ = self.pool.get_mut().empty(&source);
    }
}

/// The context as a source of memory while its device is being dropped.
struct Keeper(Arc<Context>);

impl Source for Keeper {
    fn allocate(&self, bytes: usize) -> Result<Option<Address>, CudaError> {
        self.0.allocate(bytes)
    }

    fn free(&self, at: Address) -> Result<(), CudaError> {
        self.0.free(at)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("ordinal", &self.0.ordinal)
            .field("properties", &self.0.properties)
            .finish()
    }
}
