//! Finding the driver, NVRTC, and libraries that programs can do without.
//!
//! `cudarc` opens both by name when one of their functions is first called, and panics when it cannot.
//! So they are opened here before, by absolute path where a directory is known, visible to all: the loader
//! then finds them under their names, and the bindings are never asked for what is not there.

use super::error::CudaError;
use parking_lot::Mutex;
use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether programs can run on a device: driver, device and NVRTC are there.
pub fn available() -> bool {
    why_not().is_none()
}

/// Why nothing can run on a device; `None` when it can.
pub fn why_not() -> Option<String> {
    let reason = driver().err().or_else(|| compiler().err());
    reason.map(|e| e.to_string())
}

/// Adds directories in which the libraries are looked for before the usual places: a wheel's
/// `site-packages/nvidia/*/lib`. A library that has been found stays.
pub fn add_search_paths(directories: impl IntoIterator<Item = PathBuf>) {
    let mut state = STATE.lock();
    for directory in directories {
        if !state.directories.contains(&directory) {
            state.directories.push(directory);
        }
    }
    state.vendors.iter_mut().for_each(|found| {
        found.take_if(|found| found.is_err());
    });
    // What was not found may be there.
    state.driver.take_if(|found| found.is_err());
    state.compiler.take_if(|found| found.is_err());
}

/// Makes sure that the driver can be called and has a device; the number of devices.
pub(super) fn driver() -> Result<usize, CudaError> {
    not_forked()?;
    let mut state = STATE.lock();
    if state.driver.is_none() {
        state.driver = Some(start_driver(&state.directories));
    }
    state.driver.clone().unwrap_or(Err(CudaError::NoDevice))
}

/// Makes sure that NVRTC can be called; its version.
pub(super) fn compiler() -> Result<(i32, i32), CudaError> {
    let mut state = STATE.lock();
    if state.compiler.is_none() {
        let found = start_compiler(&state.directories);
        state.compiler = Some(found.map(|(path, version)| {
            state.compiler_path = path.display().to_string();
            version
        }));
    }
    state.compiler.clone().unwrap_or_else(|| Err(CudaError::NoCompiler { reason: String::new() }))
}

/// Names the library that NVRTC was loaded from: another one may make other code under the same version.
pub(super) fn compiler_identity() -> String {
    STATE.lock().compiler_path.clone()
}

/// Refuses to call a driver that another process started: it works in that process only.
pub(super) fn not_forked() -> Result<(), CudaError> {
    if FORKED.load(Ordering::Relaxed) { Err(CudaError::Forked) } else { Ok(()) }
}

/// Set in a child of a process that has started the driver.
static FORKED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
}

struct State {
    compiler_path: String,
    directories: Vec<PathBuf>,
    driver: Option<Result<usize, CudaError>>,
    compiler: Option<Result<(i32, i32), CudaError>>,
    /// By [`Vendor`].
    vendors: [Option<Result<Opened, CudaError>>; Vendor::ALL.len()],
}

static STATE: Mutex<State> = Mutex::new(State {
    compiler_path: String::new(),
    directories: Vec::new(),
    driver: None,
    compiler: None,
    vendors: [const { None }; Vendor::ALL.len()],
});

/// A library of NVIDIA's that is used where it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Vendor {
    Blas,
    Dnn,
}

impl Vendor {
    pub(super) const ALL: [Vendor; 2] = [Vendor::Blas, Vendor::Dnn];

    pub(super) fn name(self) -> &'static str {
        match self {
            Vendor::Blas => "cuBLASLt",
            Vendor::Dnn => "cuDNN",
        }
    }

    /// Names of its file, the newest first.
    fn names(self) -> &'static [&'static str] {
        match self {
            Vendor::Blas => &["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"],
            Vendor::Dnn => &["libcudnn.so.9", "libcudnn.so.8", "libcudnn.so"],
        }
    }

    fn functions(self) -> &'static [&'static CStr] {
        match self {
            Vendor::Blas => super::blas::FUNCTIONS,
            Vendor::Dnn => super::dnn::FUNCTIONS,
        }
    }

    /// The wheel that brings it.
    fn wheel(self) -> &'static str {
        match self {
            Vendor::Blas => "nvidia-cublas",
            Vendor::Dnn => "nvidia-cudnn-cu13",
        }
    }
}

/// The libraries that programs can do without, each with the file that it was loaded from, or why it was not.
pub fn libraries() -> Vec<(&'static str, Result<PathBuf, String>)> {
    let found = |v: Vendor| vendor(v).map(|opened| opened.path).map_err(|e| e.to_string());
    Vendor::ALL.into_iter().map(|v| (v.name(), found(v))).collect()
}

/// A library, found when it is first asked for; `TTK_CUDA_PRINTED=1` keeps all of them out.
pub(super) fn vendor(which: Vendor) -> Result<Opened, CudaError> {
    let mut state = STATE.lock();
    let places = toolkit(&state.directories);
    let missing = |reason| CudaError::NoLibrary { library: which.name(), wheel: which.wheel(), reason };
    let found = state.vendors[which as usize].get_or_insert_with(|| {
        if std::env::var_os("TTK_CUDA_PRINTED").is_some_and(|v| v == "1") {
            return Err(missing("TTK_CUDA_PRINTED=1 keeps it out".into()));
        }
        open(which.names(), &places, which.functions()).map_err(missing)
    });
    found.clone()
}

/// A library that stays open for ever.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    path: PathBuf,
    /// What the loader knows it by: `*mut c_void`, which may be used from any thread.
    handle: usize,
}

impl Opened {
    /// A function that [`open`] has made sure of.
    ///
    /// # Safety
    /// `F` must be the type of a pointer to that function.
    pub(super) unsafe fn function<F: Copy>(&self, name: &CStr) -> F {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        // SAFETY: the handle is that of a library which stays open, and the name ends in a zero.
        let at = unsafe { libc::dlsym(self.handle as *mut c_void, name.as_ptr()) };
        assert!(!at.is_null(), "{name:?} was there when the library was opened");
        // SAFETY: a pointer to a function of the type that the caller promises.
        unsafe { std::mem::transmute_copy(&at) }
    }
}

/// The functions of the driver that this crate calls; one that lacks some is too old.
const DRIVER_FUNCTIONS: &[&CStr] = &[
    c"cuInit",
    c"cuDriverGetVersion",
    c"cuDeviceGet",
    c"cuDeviceGetCount",
    c"cuDeviceGetName",
    c"cuDeviceGetAttribute",
    c"cuDeviceTotalMem_v2",
    c"cuDevicePrimaryCtxRetain",
    c"cuDevicePrimaryCtxRelease_v2",
    c"cuCtxGetCurrent",
    c"cuCtxSetCurrent",
    c"cuStreamCreate",
    c"cuStreamDestroy_v2",
    c"cuStreamSynchronize",
    c"cuStreamWaitEvent",
    c"cuStreamBeginCapture_v2",
    c"cuStreamEndCapture",
    c"cuEventCreate",
    c"cuEventDestroy_v2",
    c"cuEventRecord",
    c"cuEventSynchronize",
    c"cuEventQuery",
    c"cuEventElapsedTime",
    c"cuMemAlloc_v2",
    c"cuMemFree_v2",
    c"cuMemGetInfo_v2",
    c"cuMemHostAlloc",
    c"cuMemFreeHost",
    c"cuMemcpyHtoDAsync_v2",
    c"cuMemcpyDtoHAsync_v2",
    c"cuMemcpyDtoDAsync_v2",
    c"cuMemcpyPeerAsync",
    c"cuMemsetD8Async",
    c"cuModuleLoadData",
    c"cuModuleUnload",
    c"cuModuleGetFunction",
    c"cuFuncSetAttribute",
    c"cuLaunchKernel",
    c"cuGraphInstantiateWithFlags",
    c"cuGraphDestroy",
    c"cuGraphExecDestroy",
    c"cuGraphLaunch",
    c"cuGetErrorName",
    c"cuGetErrorString",
];

const COMPILER_FUNCTIONS: &[&CStr] = &[
    c"nvrtcVersion",
    c"nvrtcCreateProgram",
    c"nvrtcDestroyProgram",
    c"nvrtcCompileProgram",
    c"nvrtcGetCUBINSize",
    c"nvrtcGetCUBIN",
    c"nvrtcGetPTXSize",
    c"nvrtcGetPTX",
    c"nvrtcGetNumSupportedArchs",
    c"nvrtcGetSupportedArchs",
    c"nvrtcGetProgramLogSize",
    c"nvrtcGetProgramLog",
];

/// Names of NVRTC, the newest first.
const COMPILER_NAMES: &[&str] = &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so"];

fn start_driver(given: &[PathBuf]) -> Result<usize, CudaError> {
    let no_driver = |reason: String| CudaError::NoDriver { reason };
    let usual = ["/usr/lib/wsl/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let mut places = given.to_vec();
    places.extend(usual.map(PathBuf::from));
    open(&["libcuda.so.1"], &places, DRIVER_FUNCTIONS).map_err(no_driver)?;
    // SAFETY: opens and closes a library by name.
    if !unsafe { cudarc::driver::sys::is_culib_present() } {
        return Err(no_driver("libcuda.so.1 was opened, but is not found by its name".into()));
    }
    match cudarc::driver::result::init() {
        Ok(()) => {
            static AT_FORK: Once = Once::new();
            // SAFETY: the handler only sets a flag.
            AT_FORK.call_once(|| unsafe {
                libc::pthread_atfork(None, None, Some(in_child));
            });
        }
        Err(e) if e.0 == cudarc::driver::sys::CUresult::CUDA_ERROR_NO_DEVICE => {
            return Err(CudaError::NoDevice);
        }
        Err(e) => return Err(no_driver(format!("libcuda.so.1 does not start: {:?}", e.0))),
    }
    match cudarc::driver::result::device::get_count() {
        Ok(count) if count > 0 => Ok(count as usize),
        Ok(_) => Err(CudaError::NoDevice),
        Err(e) => Err(no_driver(format!("libcuda.so.1 does not count its devices: {:?}", e.0))),
    }
}

fn start_compiler(given: &[PathBuf]) -> Result<(PathBuf, (i32, i32)), CudaError> {
    let no_compiler = |reason: String| CudaError::NoCompiler { reason };
    let path = open(COMPILER_NAMES, &toolkit(given), COMPILER_FUNCTIONS).map_err(no_compiler)?.path;
    // SAFETY: opens and closes a library by name.
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Err(no_compiler("NVRTC was opened, but is not found by its name".into()));
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: writes two numbers.
    match unsafe { cudarc::nvrtc::sys::nvrtcVersion(&raw mut major, &raw mut minor) }.result() {
        Ok(()) => Ok((path, (major, minor))),
        Err(e) => Err(no_compiler(format!("NVRTC does not say its version: {e}"))),
    }
}

/// The directories given, and those of a toolkit that is installed.
fn toolkit(given: &[PathBuf]) -> Vec<PathBuf> {
    let mut places = given.to_vec();
    for variable in ["CUDA_HOME", "CUDA_PATH"] {
        if let Some(home) = std::env::var_os(variable).filter(|v| !v.is_empty()) {
            places.push(Path::new(&home).join("lib64"));
            places.push(Path::new(&home).join("lib"));
        }
    }
    places.push("/usr/local/cuda/lib64".into());
    places
}

/// Opens the first library of these names, from the directories or from where the loader looks, and keeps
/// it open for ever. The error says what was tried.
fn open(names: &[&str], directories: &[PathBuf], functions: &[&CStr]) -> Result<Opened, String> {
    let mut refused = String::new();
    let beside = directories.iter().flat_map(|d| names.iter().map(|n| d.join(n))).filter(|p| p.is_file());
    for path in beside.chain(names.iter().map(PathBuf::from)) {
        let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { continue };
        // SAFETY: the library's initialisers are those of the vendor's driver or compiler.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        if handle.is_null() {
            let error = loader_error();
            // Of a bare name, that it is nowhere is what the rest of the message says.
            if path.is_absolute() || !error.contains("No such file") {
                refused.push_str(&format!("; {} does not load: {error}", path.display()));
            }
            continue;
        }
        match functions.iter().find(|f| !has(handle, f)) {
            None => return Ok(Opened { path, handle: handle as usize }),
            Some(missing) => {
                refused.push_str(&format!("; {} lacks {}", path.display(), missing.to_string_lossy()));
            }
        }
    }
    let shown: Vec<String> = directories.iter().map(|d| d.display().to_string()).collect();
    Err(format!("looked for {} in the loader's path and in {}{refused}", names.join(", "), shown.join(", ")))
}

fn has(library: *mut c_void, function: &CStr) -> bool {
    // SAFETY: the handle is that of a library which stays open, and the name ends in a zero.
    !unsafe { libc::dlsym(library, function.as_ptr()) }.is_null()
}

/// A function of the driver that the bindings lack. It is one of those that [`driver`] has looked for.
pub(super) fn driver_function(name: &CStr) -> *mut c_void {
    // SAFETY: the driver was opened so that its functions are visible to all; the name ends in a zero.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

fn loader_error() -> String {
    // SAFETY: gives null, or a text that is valid until the loader's next call on this thread.
    unsafe {
        let text = libc::dlerror();
        if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    }
}
