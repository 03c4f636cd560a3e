//! Where tensors live: the processor's memory, or a GPU's.
//!
//! A recorded value says on which device it is computed, or nothing when it can be computed anywhere (a
//! constant, a position, a draw from a generator). A graph is compiled for one device; values of another
//! that it reads are computed there first and then copied.

use crate::error::{Error, Exception, Result};
use parking_lot::Mutex;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use ttk_runtime::cuda::{self, CudaError, DeviceBuffer};
use ttk_runtime::{Buffer, RunError};

/// Where a tensor lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Device {
    #[default]
    Cpu,
    Cuda(u32),
    /// Shapes without elements.
    Meta,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(i) => write!(f, "cuda:{i}"),
            Device::Meta => f.write_str("meta"),
        }
    }
}

/// Whether a GPU was used at all; until then nobody need ask where a value is.
static USED: AtomicBool = AtomicBool::new(false);
/// The GPU that `"cuda"` without a number means.
static CURRENT: AtomicU32 = AtomicU32::new(0);

/// See [`allow_tf32`].
static TF32: AtomicBool = AtomicBool::new(false);

/// What is to be done before a GPU is looked for.
static SEARCH: Mutex<Option<Box<dyn FnOnce() + Send>>> = Mutex::new(None);

thread_local! {
    /// Where results go whose operands do not say.
    static PLACE: Cell<Device> = const { Cell::new(Device::Cpu) };
}

/// Whether a GPU was used in this process.
pub(crate) fn used() -> bool {
    USED.load(Ordering::Relaxed)
}

/// Whether a GPU may round the operands of `f32` products to 11 bits for its tensor cores, in graphs that are compiled
/// from now on. Not at first.
pub fn allow_tf32(allow: bool) {
    TF32.store(allow, Ordering::Relaxed);
}

pub fn tf32() -> bool {
    TF32.load(Ordering::Relaxed)
}

/// The number of the GPU that `"cuda"` means.
pub fn current() -> u32 {
    CURRENT.load(Ordering::Relaxed)
}

/// Sets [`current`].
///
/// # Errors
/// There is no such GPU.
pub fn set_current(ordinal: u32) -> Result<()> {
    open(ordinal)?;
    CURRENT.store(ordinal, Ordering::Relaxed);
    Ok(())
}

/// Calls `search` before a GPU is first looked for: to say where the libraries may be.
pub fn before_first_use(search: Box<dyn FnOnce() + Send>) {
    *SEARCH.lock() = Some(search);
}

/// A GPU, ready for use.
///
/// # Errors
/// There is no driver, or no such GPU.
pub fn open(ordinal: u32) -> Result<cuda::Device> {
    look();
    let device = cuda::Device::get(ordinal as usize).map_err(missing)?;
    USED.store(true, Ordering::Relaxed);
    Ok(device)
}

/// Has whoever knows say where the libraries may be, once.
pub(crate) fn look() {
    let search = SEARCH.lock().take();
    if let Some(search) = search {
        search();
    }
}

/// Whether tensors can live there.
///
/// # Errors
/// They cannot, and why.
pub(crate) fn check(device: Device) -> Result<()> {
    match device {
        Device::Cpu => Ok(()),
        Device::Cuda(i) => open(i).map(drop),
        Device::Meta => Err(Error::Plain {
            exception: Exception::NotImplemented,
            detail: "device 'meta' is not available".into(),
        }),
    }
}

/// Where results of this thread go whose operands do not say.
pub fn place() -> Device {
    PLACE.get()
}

/// Sets [`place`] for what this thread does from now on.
///
/// # Errors
/// A device that is not there.
pub fn set_place(device: Device) -> Result<()> {
    check(device)?;
    PLACE.set(device);
    Ok(())
}

/// Runs `f` with another [`place`].
pub fn with_place<T>(device: Device, f: impl FnOnce() -> T) -> T {
    struct Restore(Device);
    impl Drop for Restore {
        fn drop(&mut self) {
            PLACE.set(self.0);
        }
    }
    let _restore = Restore(PLACE.replace(device));
    f()
}

/// Where an operation on values of two places is computed: a number on the processor travels.
pub(crate) fn join(a: Option<Device>, b: Option<Device>) -> Option<Device> {
    match (a, b) {
        (None, other) | (other, None) => other,
        (Some(Device::Cpu), other) | (other, Some(Device::Cpu)) => other,
        (first, _) => first,
    }
}

/// Dense, row-major elements in some memory. Clones share it.
#[derive(Clone, Debug)]
pub enum Memory {
    Host(Buffer),
    Cuda(DeviceBuffer),
}

impl Memory {
    pub fn device(&self) -> Device {
        match self {
            Memory::Host(_) => Device::Cpu,
            Memory::Cuda(b) => Device::Cuda(b.device().ordinal() as u32),
        }
    }

    /// So many bytes of zeros on a device.
    ///
    /// # Errors
    /// No memory.
    pub fn zeroed(device: Device, bytes: usize) -> Result<Memory> {
        match device {
            Device::Cpu | Device::Meta => Ok(Memory::Host(Buffer::zeroed(bytes)?)),
            Device::Cuda(i) => Ok(Memory::Cuda(DeviceBuffer::zeroed(&open(i)?, bytes)?)),
        }
    }

    /// This memory if it is there, else a copy of it.
    ///
    /// # Errors
    /// No memory for the copy; what went wrong with the work that the elements come from.
    pub fn on(&self, device: Device) -> Result<Memory> {
        if self.device() == device {
            return Ok(self.clone());
        }
        match (self, device) {
            (Memory::Cuda(_), Device::Cpu | Device::Meta) => self.host().map(Memory::Host),
            (Memory::Host(b), Device::Cuda(i)) => Ok(Memory::Cuda(DeviceBuffer::from_buffer(&open(i)?, b)?)),
            (Memory::Cuda(b), Device::Cuda(i)) => Ok(Memory::Cuda(b.to_device(&open(i)?)?)),
            (Memory::Host(_), Device::Cpu | Device::Meta) => Ok(self.clone()),
        }
    }

    /// The elements for the processor to read.
    ///
    /// # Errors
    /// As [`Memory::on`].
    pub fn host(&self) -> Result<Buffer> {
        match self {
            Memory::Host(b) => Ok(b.clone()),
            Memory::Cuda(b) => Ok(b.to_buffer()?),
        }
    }

    /// Whether nobody else shares it.
    pub fn is_exclusive(&self) -> bool {
        match self {
            Memory::Host(b) => b.is_exclusive(),
            Memory::Cuda(b) => b.is_exclusive(),
        }
    }
}

/// Memory of several values, all on one device.
#[derive(Debug)]
pub enum Memories {
    Host(Vec<Buffer>),
    Cuda(Vec<DeviceBuffer>),
}

impl Memories {
    /// None, with room for some.
    pub fn with_capacity(device: Device, n: usize) -> Memories {
        match device {
            Device::Cpu | Device::Meta => Memories::Host(Vec::with_capacity(n)),
            Device::Cuda(_) => Memories::Cuda(Vec::with_capacity(n)),
        }
    }

    /// Elements of the processor, copied to a device that is another.
    ///
    /// # Errors
    /// No memory for the copies.
    pub fn copied(device: Device, all: Vec<Buffer>) -> Result<Memories> {
        let mut copies = Memories::with_capacity(device, all.len());
        for one in all {
            copies.push(Memory::Host(one).on(device)?);
        }
        Ok(copies)
    }

    /// Adds one that is on the device of the others.
    ///
    /// # Panics
    /// When it is on another.
    pub fn push(&mut self, memory: Memory) {
        match (self, memory) {
            (Memories::Host(all), Memory::Host(one)) => all.push(one),
            (Memories::Cuda(all), Memory::Cuda(one)) => all.push(one),
            (Memories::Host(_), Memory::Cuda(_)) | (Memories::Cuda(_), Memory::Host(_)) => {
                unreachable!("memory of another device was not copied")
            }
        }
    }

    /// Gives one after the other to each of `takers`.
    pub fn hand_out<T>(self, takers: impl Iterator<Item = T>, mut give: impl FnMut(T, Memory)) {
        match self {
            Memories::Host(all) => takers.zip(all).for_each(|(to, one)| give(to, Memory::Host(one))),
            Memories::Cuda(all) => takers.zip(all).for_each(|(to, one)| give(to, Memory::Cuda(one))),
        }
    }

    /// The elements for the processor to read.
    ///
    /// # Errors
    /// As [`Memory::on`].
    pub fn host(&self) -> Result<Vec<Buffer>> {
        match self {
            Memories::Host(all) => Ok(all.clone()),
            Memories::Cuda(all) => all.iter().map(|b| Ok(b.to_buffer()?)).collect(),
        }
    }
}

/// No driver and no device are what PyTorch's build without CUDA says, and what was looked for.
fn missing(e: CudaError) -> Error {
    match e {
        CudaError::NoDriver { reason } => Error::Plain {
            exception: Exception::Assertion,
            detail: format!("Torch not compiled with CUDA enabled: no NVIDIA driver was found ({reason})"),
        },
        other => other.into(),
    }
}

impl From<CudaError> for Error {
    fn from(e: CudaError) -> Error {
        match e {
            CudaError::Run(RunError::OutOfMemory(e)) => e.into(),
            CudaError::Run(RunError::IndexOutOfRange { .. }) => Error::IndexOutOfRange,
            CudaError::OutOfMemory { .. } => {
                Error::Plain { exception: Exception::OutOfMemory, detail: e.to_string() }
            }
            CudaError::Compile { .. } | CudaError::Run(_) => Error::Internal { detail: e.to_string() },
            // Found no driver, no device, a failing launch: the text says which.
            other => Error::Plain { exception: Exception::Runtime, detail: other.to_string() },
        }
    }
}
