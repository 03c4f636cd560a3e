//! The stand-in for CUDA's driver, compiler and libraries: built on first use, opened by absolute path.
//!
//! One process has one driver, so tests that use it take turns; see [`Standin`].

// Each test program uses a part of this.
#![allow(dead_code)]

pub(crate) mod library;

use std::ffi::{CStr, CString, c_char, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use ttk_ir::device::DeviceProgram;
use ttk_ir::program::Program;
use ttk_runtime::cuda::{self, CudaError, CudaPlan, Device};

type Configure = unsafe extern "C" fn(*const c_char, *const c_char) -> i32;
type Text = unsafe extern "C" fn(*mut c_char, usize) -> usize;

struct Libraries {
    configure: Configure,
    report: Text,
    last_message: Text,
}

static TURN: Mutex<()> = Mutex::new(());

/// The stand-in, for one test at a time; options go back to what they were when it is dropped.
pub(crate) struct Standin {
    _turn: MutexGuard<'static, ()>,
    changed: Vec<(&'static str, &'static str)>,
}

/// Names of options and what they are unless a test says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("devices", "2"),
    ("memory", "268435456"),
    ("capability", "90"),
    ("alignment", "16"),
    ("seed", "1"),
    ("twice", "0"),
    ("unwritten", "1"),
    ("lazy", "1"),
    ("sticky", "0"),
    ("timeout", "60"),
];

impl Standin {
    /// Builds the libraries if their sources have changed, loads them into this process, and waits for
    /// other tests that use them.
    pub(crate) fn open() -> Standin {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Standin { _turn: turn, changed: Vec::new() };
        for (key, value) in DEFAULTS {
            new.configure(key, value);
        }
        new
    }

    /// Sets an option until this is dropped.
    pub(crate) fn set(&mut self, key: &'static str, value: impl ToString) {
        let (_, default) = DEFAULTS.iter().find(|(k, _)| *k == key).expect("an option");
        self.changed.push((key, default));
        self.configure(key, &value.to_string());
    }

    fn configure(&self, key: &str, value: &str) {
        let (key, value) = (CString::new(key).unwrap(), CString::new(value).unwrap());
        // SAFETY: two strings that end in a zero, which are not kept.
        let result = unsafe { (LIBRARIES.configure)(key.as_ptr(), value.as_ptr()) };
        assert_eq!(result, 0, "no option {key:?}");
    }

    /// What is alive in the driver; empty when everything has been let go.
    pub(crate) fn report(&self) -> String {
        text(LIBRARIES.report)
    }

    /// What the driver said last of why something failed.
    pub(crate) fn last_message(&self) -> String {
        text(LIBRARIES.last_message)
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        for (key, value) in std::mem::take(&mut self.changed) {
            self.configure(key, value);
        }
    }
}

fn text(function: Text) -> String {
    let mut out = vec![0u8; 4096];
    // SAFETY: writes at most that many bytes, the last of them a zero.
    unsafe { function(out.as_mut_ptr().cast(), out.len()) };
    CStr::from_bytes_until_nul(&out).unwrap().to_string_lossy().into_owned()
}

/// The first `count` devices of the stand-in, through the runtime, which keeps no compiled code of other
/// tests.
pub(crate) fn devices(count: usize) -> Vec<Device> {
    cuda::add_search_paths([directory()]);
    cuda::set_compile_cache(None);
    assert_eq!(cuda::why_not(), None);
    (0..count).map(|i| Device::get(i).unwrap()).collect()
}

/// A plan of a program, whatever the device's program does to it.
pub(crate) fn prepare(
    program: Program,
    device_program: DeviceProgram,
    device: &Device,
) -> Result<CudaPlan, CudaError> {
    // SAFETY: the tests' functions take the parameters that they are given; memory that they use beyond
    // their buffers is what the stand-in finds.
    unsafe { CudaPlan::new(program, device_program, device) }
}

/// The directory that holds `libcuda.so.1` and `libnvrtc.so.13`.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("standin")
}

static LIBRARIES: LazyLock<Libraries> = LazyLock::new(|| {
    let out = directory();
    build(&out);
    // SAFETY: no other thread of this program looks at the environment while the first test starts.
    unsafe { std::env::set_var("STANDIN_CACHE", out.join("modules")) };
    load(&out.join("libnvrtc.so.13"));
    let driver = load(&out.join("libcuda.so.1"));
    // SAFETY: the functions have these types.
    unsafe {
        Libraries {
            configure: std::mem::transmute::<*mut c_void, Configure>(symbol(driver, c"standin_configure")),
            report: std::mem::transmute::<*mut c_void, Text>(symbol(driver, c"standin_report")),
            last_message: std::mem::transmute::<*mut c_void, Text>(symbol(driver, c"standin_last_message")),
        }
    }
});

/// Runs `make`, one process at a time.
fn build(out: &Path) {
    std::fs::create_dir_all(out).unwrap();
    let lock = File::create(out.join("lock")).unwrap();
    // SAFETY: a lock on a file that is open; it goes when the file is closed.
    assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) }, 0);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("standin");
    let status = Command::new("make")
        .arg("--silent")
        .arg("--file")
        .arg(sources.join("Makefile"))
        .arg(format!("OUT={}", out.display()))
        .status()
        .expect("make is needed to build the stand-in for CUDA");
    assert!(status.success(), "the stand-in for CUDA does not build");
}

/// Loads a library so that whoever asks for its name later gets this one.
fn load(path: &Path) -> *mut c_void {
    let name = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: our own library, whose initialisers do nothing.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    assert!(!handle.is_null(), "{} does not load", path.display());
    handle
}

fn symbol(library: *mut c_void, name: &CStr) -> *mut c_void {
    // SAFETY: a handle and a name.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!found.is_null(), "{name:?} is missing");
    found
}
