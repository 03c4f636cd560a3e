//! NVIDIA devices: memory, compilation and programs on them, through the driver and NVRTC.
//!
//! * [`add_search_paths`], [`available`], [`why_not`]: finding the two libraries, which are loaded when
//!   first asked for; nothing of CUDA is needed to build or to start;
//! * [`Device`]: a device with its stream and its memory; [`DeviceBuffer`]: a block of it;
//! * [`compile()`]: the machine code of a program, which needs no device;
//! * [`CudaPlan`]: a program prepared for a device, and its runs;
//! * [`libraries`]: cuBLASLt and cuDNN, which take products and convolutions over from the program's own functions where
//!   they are found.
//!
//! All work of a device goes to one stream, in the order of the calls, and runs behind the host; what
//! reads results waits. A block that is dropped is reused by later work of the same stream, so nothing
//! needs to wait before memory is freed.
//!
//! **Invariant:** only `library`, `driver`, `compile`, `blas` and `dnn` call foreign functions; all others see safe types.

mod blas;
mod bound;
mod buffer;
mod calls;
mod compile;
mod convolution;
mod device;
mod dnn;
mod driver;
mod error;
mod event;
mod host;
mod library;
mod plan;
mod pool;
mod product;
mod replay;
mod staging;
mod workspace;

pub use buffer::DeviceBuffer;
pub use compile::{CompileStats, Images, compile, compile_for_file, compile_stats, set_compile_cache, trust};
pub use device::{Device, Properties, device_count, release_devices};
pub use error::CudaError;
pub use event::DeviceEvent;
pub use library::{add_search_paths, available, libraries, why_not};
pub use plan::CudaPlan;
pub use pool::DeviceMemoryStats;
