//! CUDA C to machine code, by NVRTC, for the very architecture of a device; what has been compiled is kept
//! on disk.

use super::error::CudaError;
use super::library;
use crate::cache::{self, CodeCache, Key};
use cudarc::nvrtc::{result, sys};
use parking_lot::Mutex;
use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use ttk_ir::device::COMPILE_OPTIONS;

/// What compilation has done so far, in this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CompileStats {
    /// Programs that NVRTC compiled.
    pub compiled: usize,
    /// Programs whose code was on disk.
    pub cached: usize,
    /// Time in NVRTC.
    pub time: Duration,
}

pub fn compile_stats() -> CompileStats {
    CompileStats {
        compiled: COMPILED.load(Ordering::Relaxed),
        cached: CACHED.load(Ordering::Relaxed),
        time: *TIME.lock(),
    }
}

/// Where compiled code is kept: in a directory, or nowhere. Until this is called it is where
/// [`CodeCache::open`] keeps its own.
pub fn set_compile_cache(directory: Option<&Path>) {
    *CACHE.lock() = Some(directory.map(|d| Arc::new(CodeCache::named(d, KIND, cache::LIMIT))));
}

/// The kind of the cache and the version of what is in it.
const KIND: &str = "cuda-1";

/// `None`: not opened yet.
static CACHE: Mutex<Option<Option<Arc<CodeCache>>>> = Mutex::new(None);
static COMPILED: AtomicUsize = AtomicUsize::new(0);
static CACHED: AtomicUsize = AtomicUsize::new(0);
static TIME: Mutex<Duration> = Mutex::new(Duration::ZERO);

fn cache() -> Option<Arc<CodeCache>> {
    let open = || Some(Arc::new(CodeCache::named(&cache::default_directory()?, KIND, cache::LIMIT)));
    CACHE.lock().get_or_insert_with(open).clone()
}

/// The image of a source for a compute capability.
///
/// # Errors
/// [`CudaError::NoCompiler`], or [`CudaError::Compile`] with the compiler's words.
pub(super) fn compile(program: &str, source: &str, capability: (i32, i32)) -> Result<Vec<u8>, CudaError> {
    let version = library::compiler()?;
    let architecture = architecture(capability);
    let mut options = vec![format!("--gpu-architecture={architecture}")];
    options.extend(COMPILE_OPTIONS.iter().map(|o| o.to_string()));
    let key = Key::of(&[
        source.as_bytes(),
        options.join("\n").as_bytes(),
        format!("{}.{}", version.0, version.1).as_bytes(),
        library::compiler_identity().as_bytes(),
    ]);
    let cache = cache();
    if let Some(image) = cache.as_ref().and_then(|c| c.load_with(&key, |bytes| Some(bytes.to_vec()))) {
        CACHED.fetch_add(1, Ordering::Relaxed);
        return Ok(image);
    }
    let start = Instant::now();
    let image = with_nvrtc(source, &options).map_err(|log| CudaError::Compile {
        program: program.to_string(),
        architecture,
        log,
    })?;
    COMPILED.fetch_add(1, Ordering::Relaxed);
    *TIME.lock() += start.elapsed();
    if let Some(cache) = cache {
        cache.store_bytes(&key, &image);
    }
    Ok(image)
}

/// What to compile for: the device's own machine code, or, when NVRTC is older than the device, code that
/// the driver translates when it loads it.
fn architecture(capability: (i32, i32)) -> String {
    let own = capability.0 * 10 + capability.1;
    match supported().into_iter().max() {
        Some(newest) if newest < own => format!("compute_{newest}"),
        _ => format!("sm_{own}"),
    }
}

/// The architectures that NVRTC knows; none when it does not say.
fn supported() -> Vec<i32> {
    let mut count = 0;
    // SAFETY: writes a number.
    if unsafe { sys::nvrtcGetNumSupportedArchs(&raw mut count) }.result().is_err() || count <= 0 {
        return Vec::new();
    }
    let mut list = vec![0; count as usize];
    // SAFETY: writes that many numbers.
    match unsafe { sys::nvrtcGetSupportedArchs(list.as_mut_ptr()) }.result() {
        Ok(()) => list,
        Err(_) => Vec::new(),
    }
}

/// A program of NVRTC, destroyed with this.
struct Compilation(sys::nvrtcProgram);

impl Drop for Compilation {
    fn drop(&mut self) {
        // SAFETY: made by `create_program`, used no more. An error has nobody to go to.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

fn with_nvrtc(source: &str, options: &[String]) -> Result<Vec<u8>, String> {
    let source = CString::new(source).map_err(|_| "the source holds a zero".to_string())?;
    let made = result::create_program(&source, Some(c"program.cu")).map_err(|e| e.to_string())?;
    let compilation = Compilation(made);
    // SAFETY: the program was just made, and its source outlives it.
    if let Err(e) = unsafe { result::compile_program(compilation.0, options) } {
        return Err(format!("{e}\n{}", log(&compilation)));
    }
    if options.iter().any(|o| o.contains("=compute_")) {
        // Ends in a zero, as the driver wants text to.
        // SAFETY: the program has been compiled.
        let text = unsafe { result::get_ptx(compilation.0) }.map_err(|e| e.to_string())?;
        return Ok(text.into_iter().map(|c| c as u8).collect());
    }
    let mut size = 0;
    // SAFETY: writes a number.
    unsafe { sys::nvrtcGetCUBINSize(compilation.0, &raw mut size) }.result().map_err(|e| e.to_string())?;
    if size == 0 {
        return Err("NVRTC made no machine code".into());
    }
    let mut image = vec![0u8; size];
    // SAFETY: writes that many bytes.
    unsafe { sys::nvrtcGetCUBIN(compilation.0, image.as_mut_ptr().cast()) }
        .result()
        .map_err(|e| e.to_string())?;
    Ok(image)
}

fn log(compilation: &Compilation) -> String {
    // SAFETY: the program is alive.
    let Ok(text) = (unsafe { result::get_program_log(compilation.0) }) else { return String::new() };
    let bytes: Vec<u8> = text.into_iter().map(|c| c as u8).collect();
    CStr::from_bytes_until_nul(&bytes).map_or_else(|_| String::new(), |t| t.to_string_lossy().into_owned())
}
