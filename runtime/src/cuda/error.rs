//! What can go wrong on a device, in the words of PyTorch where its users match on them.

use crate::error::{OutOfMemory, RunError};
use std::fmt;
use thiserror::Error;

#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum CudaError {
    /// The driver is not there, or it refuses to start. `reason` says what was looked for.
    #[error(
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a \
         driver from http://www.nvidia.com/Download/index.aspx ({reason})"
    )]
    NoDriver { reason: String },
    #[error("No CUDA GPUs are available")]
    NoDevice,
    /// The process that started the driver has forked, and this is the child.
    #[error(
        "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the \
         'spawn' start method"
    )]
    Forked,
    /// NVRTC is not there. `reason` says what was looked for.
    #[error(
        "NVRTC, which compiles kernels, was not found; `pip install nvidia-cuda-nvrtc` brings it ({reason})"
    )]
    NoCompiler { reason: String },
    /// A library that programs can do without is not there. `reason` says what was looked for.
    #[error("{library} was not found; `pip install {wheel}` brings it ({reason})")]
    NoLibrary { library: &'static str, wheel: &'static str, reason: String },
    /// An error of such a library, by its own number.
    #[error("{library} error: status {status} while {during}")]
    Library { library: &'static str, status: i32, during: &'static str },
    #[error("CUDA error: invalid device ordinal (device {ordinal} of {count})")]
    InvalidDevice { ordinal: usize, count: usize },
    #[error(
        "CUDA out of memory. Tried to allocate {}. GPU {ordinal} has a total capacity of {} of which {} is free. \
         {} is allocated by buffers, and {} is reserved but unallocated.",
        Size(*.bytes), Size(*.total), Size(*.free), Size(*.allocated), Size(*.cached)
    )]
    OutOfMemory {
        ordinal: usize,
        bytes: usize,
        total: usize,
        free: usize,
        /// Bytes in buffers that are alive.
        allocated: usize,
        /// Bytes kept for reuse.
        cached: usize,
    },
    /// The driver's own error. `text` is its description, `during` what was being done: errors of kernels
    /// show up at a later call.
    #[error("CUDA error: {text} ({name}, while {during})")]
    Driver { code: u32, name: String, text: String, during: String },
    /// NVRTC does not take the source: a defect of the code generator.
    #[error("program {program} does not compile for {architecture}: {log}")]
    Compile { program: String, architecture: String, log: String },
    #[error(
        "Expected all tensors to be on the same device, but found at least two devices, cuda:{expected} and \
         cuda:{found}!"
    )]
    WrongDevice { expected: usize, found: usize },
    #[error("bytes {start}..{end} of a buffer of {len} bytes")]
    Range { start: usize, end: usize, len: usize },
    /// The same error that the program has on the processor.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<OutOfMemory> for CudaError {
    fn from(error: OutOfMemory) -> CudaError {
        CudaError::Run(error.into())
    }
}

/// A number of bytes as people read it.
struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0 as f64;
        match self.0 {
            0..1024 => write!(f, "{} bytes", self.0),
            1024..0x10_0000 => write!(f, "{:.2} KiB", n / 1024.0),
            0x10_0000..0x4000_0000 => write!(f, "{:.2} MiB", n / f64::from(1u32 << 20)),
            _ => write!(f, "{:.2} GiB", n / f64::from(1u32 << 30)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_users_look_for() {
        let error = CudaError::OutOfMemory {
            ordinal: 1,
            bytes: 20 << 20,
            total: 80 << 30,
            free: 1 << 20,
            allocated: 512,
            cached: 3 << 10,
        };
        let text = error.to_string();
        assert!(
            text.starts_with("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 1 has a total"),
            "{text}"
        );
        assert!(text.contains("capacity of 80.00 GiB of which 1.00 MiB is free. 512 bytes is"), "{text}");
    }
}
