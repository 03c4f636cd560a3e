//! Runs device programs through the driver's own interface: on the stand-in for CUDA, which computes every
//! thread on the CPU, or on a GPU.
//!
//! `TTK_CUDA_LIBRARIES` names a directory with `libcuda.so.1` and `libnvrtc.so`; without it the stand-in is
//! built.

// The types are those of the fields, a few lines above.
#![allow(clippy::missing_transmute_annotations)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use ttk_ir::Expr;
use ttk_ir::device::{Argument, COMPILE_OPTIONS, DeviceProgram, DeviceStep};
use ttk_ir::eval::Tensor;
use ttk_ir::program::{BufferId, Placement, Program};

type Address = u64;
type Handle = *mut c_void;

/// The functions that are used here, as the driver declares them.
struct Driver {
    compile_create:
        unsafe extern "C" fn(*mut Handle, *const c_char, *const c_char, c_int, Handle, Handle) -> c_int,
    compile: unsafe extern "C" fn(Handle, c_int, *const *const c_char) -> c_int,
    log_size: unsafe extern "C" fn(Handle, *mut usize) -> c_int,
    log: unsafe extern "C" fn(Handle, *mut c_char) -> c_int,
    code_size: unsafe extern "C" fn(Handle, *mut usize) -> c_int,
    code: unsafe extern "C" fn(Handle, *mut c_char) -> c_int,
    module_load: unsafe extern "C" fn(*mut Handle, *const c_void) -> c_int,
    module_function: unsafe extern "C" fn(*mut Handle, Handle, *const c_char) -> c_int,
    module_unload: unsafe extern "C" fn(Handle) -> c_int,
    alloc: unsafe extern "C" fn(*mut Address, usize) -> c_int,
    free: unsafe extern "C" fn(Address) -> c_int,
    to_device: unsafe extern "C" fn(Address, *const c_void, usize) -> c_int,
    to_host: unsafe extern "C" fn(*mut c_void, Address, usize) -> c_int,
    #[allow(clippy::type_complexity)]
    launch: unsafe extern "C" fn(
        Handle,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        Handle,
        *mut *mut c_void,
        Handle,
    ) -> c_int,
    synchronize: unsafe extern "C" fn() -> c_int,
    set_context: unsafe extern "C" fn(Handle) -> c_int,
    context: usize,
    message: Option<unsafe extern "C" fn(*mut c_char, usize) -> usize>,
    configure: Option<unsafe extern "C" fn(*const c_char, *const c_char) -> c_int>,
}

static DRIVER: OnceLock<Driver> = OnceLock::new();
static TURN: Mutex<()> = Mutex::new(());

fn libraries() -> PathBuf {
    if let Some(given) = std::env::var_os("TTK_CUDA_LIBRARIES") {
        return given.into();
    }
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standin");
    std::fs::create_dir_all(&out).unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/standin");
    let status = Command::new("make")
        .arg("--silent")
        .arg("--file")
        .arg(sources.join("Makefile"))
        .arg(format!("OUT={}", out.display()))
        .status()
        .expect("make builds the stand-in for CUDA");
    assert!(status.success(), "the stand-in for CUDA does not build");
    // SAFETY: tests have not started threads that read the environment yet: this runs under a lock, once.
    unsafe { std::env::set_var("STANDIN_CACHE", out.join("modules")) };
    out
}

fn driver() -> &'static Driver {
    DRIVER.get_or_init(|| {
        let folder = libraries();
        let open = |names: &[&str]| {
            for name in names {
                let path = CString::new(folder.join(name).to_str().unwrap()).unwrap();
                // SAFETY: a library's path.
                let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
                if !handle.is_null() {
                    return handle;
                }
            }
            panic!("none of {names:?} loads from {}", folder.display());
        };
        let compiler = open(&["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]);
        let cuda = open(&["libcuda.so.1"]);
        // SAFETY: the functions have the types that the driver's headers give them.
        unsafe {
            let init: unsafe extern "C" fn(c_uint) -> c_int = std::mem::transmute(symbol(cuda, c"cuInit"));
            assert_eq!(init(0), 0, "cuInit");
            let retain: unsafe extern "C" fn(*mut Handle, c_int) -> c_int =
                std::mem::transmute(symbol(cuda, c"cuDevicePrimaryCtxRetain"));
            let mut context = std::ptr::null_mut();
            assert_eq!(retain(&mut context, 0), 0, "cuDevicePrimaryCtxRetain");
            let message = libc::dlsym(cuda, c"standin_last_message".as_ptr());
            let configure = libc::dlsym(cuda, c"standin_configure".as_ptr());
            Driver {
                compile_create: std::mem::transmute::<Handle, _>(symbol(compiler, c"nvrtcCreateProgram")),
                compile: std::mem::transmute::<Handle, _>(symbol(compiler, c"nvrtcCompileProgram")),
                log_size: std::mem::transmute::<Handle, _>(symbol(compiler, c"nvrtcGetProgramLogSize")),
                log: std::mem::transmute::<Handle, _>(symbol(compiler, c"nvrtcGetProgramLog")),
                code_size: std::mem::transmute::<Handle, _>(symbol(compiler, c"nvrtcGetCUBINSize")),
                code: std::mem::transmute::<Handle, _>(symbol(compiler, c"nvrtcGetCUBIN")),
                module_load: std::mem::transmute::<Handle, _>(symbol(cuda, c"cuModuleLoadData")),
                module_function: std::mem::transmute::<Handle, _>(symbol(cuda, c"cuModuleGetFunction")),
                module_unload: std::mem::transmute::<Handle, _>(symbol(cuda, c"cuModuleUnload")),
                alloc: std::mem::transmute::<Handle, _>(symbol(cuda, c"cuMemAlloc_v2")),
                free: std::mem::transmute::<Handle, _>(symbol(cuda, c"cuMemFree_v2")),
                to_device: std::mem::transmute::<Handle, _>(symbol(cuda, c"cuMemcpyHtoD_v2")),
                to_host: std::mem::transmute::<Handle, _>(symbol(cuda, c"cuMemcpyDtoH_v2")),
                launch: std::mem::transmute::<Handle, _>(symbol(cuda, c"cuLaunchKernel")),
                synchronize: std::mem::transmute::<Handle, _>(symbol(cuda, c"cuCtxSynchronize")),
                set_context: std::mem::transmute::<Handle, _>(symbol(cuda, c"cuCtxSetCurrent")),
                context: context as usize,
                message: (!message.is_null()).then(|| std::mem::transmute::<Handle, _>(message)),
                configure: (!configure.is_null()).then(|| std::mem::transmute::<Handle, _>(configure)),
            }
        }
    })
}

fn symbol(library: Handle, name: &CStr) -> Handle {
    // SAFETY: a handle and a name.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!found.is_null(), "{name:?} is missing");
    found
}

/// What a run gave: outputs, or the first index out of range and its extent.
pub(crate) type Outcome = Result<Vec<Tensor>, (i64, i64)>;

/// Compiles and runs a program. `Err` is a failure that is not the program's meaning. `None` stands for a
/// program with a step for the host. `twice`: the stand-in runs each launch in two orders of threads and blocks,
/// which must agree, so that a missing barrier shows.
pub(crate) fn run(
    program: &Program,
    device: &DeviceProgram,
    inputs: &[Tensor],
    symbols: &[i64],
    twice: bool,
) -> Result<Option<Outcome>, String> {
    if device.steps.iter().any(|s| matches!(s, DeviceStep::Host)) {
        return Ok(None);
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let d = driver();
    // SAFETY: a context of the device that is never released.
    check(unsafe { (d.set_context)(d.context as Handle) }, "cuCtxSetCurrent")?;
    if let Some(configure) = d.configure {
        let value = if twice { c"1" } else { c"0" };
        // SAFETY: two strings, which are not kept.
        check(unsafe { configure(c"twice".as_ptr(), value.as_ptr()) }, "twice")?;
    }
    let mut machine = Machine { d, module: std::ptr::null_mut(), memory: Vec::new() };
    machine.compile(&device.source())?;
    machine.run(program, device, inputs, symbols).map(Some)
}

struct Machine {
    d: &'static Driver,
    module: Handle,
    memory: Vec<Address>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // SAFETY: what `alloc` and `module_load` gave, once.
        unsafe {
            for &address in &self.memory {
                (self.d.free)(address);
            }
            if !self.module.is_null() {
                (self.d.module_unload)(self.module);
            }
        }
    }
}

impl Machine {
    fn compile(&mut self, source: &str) -> Result<(), String> {
        let text = CString::new(source).map_err(|e| e.to_string())?;
        let options: Vec<CString> = COMPILE_OPTIONS
            .iter()
            .map(|o| o.to_string())
            .chain([std::env::var("TTK_CUDA_ARCH").unwrap_or("--gpu-architecture=sm_90".into())])
            .map(|o| CString::new(o).unwrap())
            .collect();
        let pointers: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        let none = std::ptr::null_mut();
        let mut unit = std::ptr::null_mut();
        // SAFETY: strings that end in a zero, and places of the right size for what is written.
        unsafe {
            check(
                (self.d.compile_create)(&mut unit, text.as_ptr(), c"p.cu".as_ptr(), 0, none, none),
                "create",
            )?;
            let status = (self.d.compile)(unit, pointers.len() as c_int, pointers.as_ptr());
            if status != 0 {
                let mut size = 0;
                (self.d.log_size)(unit, &mut size);
                let mut log = vec![0u8; size + 1];
                (self.d.log)(unit, log.as_mut_ptr().cast());
                return Err(format!("{}\n{source}", String::from_utf8_lossy(&log)));
            }
            let mut size = 0;
            check((self.d.code_size)(unit, &mut size), "nvrtcGetCUBINSize")?;
            let mut code = vec![0u8; size];
            check((self.d.code)(unit, code.as_mut_ptr().cast()), "nvrtcGetCUBIN")?;
            check((self.d.module_load)(&mut self.module, code.as_ptr().cast()), "cuModuleLoadData")
        }
    }

    fn alloc(&mut self, bytes: usize) -> Result<Address, String> {
        let mut address = 0;
        // SAFETY: memory for one address.
        check(unsafe { (self.d.alloc)(&mut address, bytes.max(16)) }, "cuMemAlloc")?;
        self.memory.push(address);
        self.write(address, &vec![0xff; bytes])?;
        Ok(address)
    }

    fn write(&self, address: Address, bytes: &[u8]) -> Result<(), String> {
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: both have that many bytes.
        check(unsafe { (self.d.to_device)(address, bytes.as_ptr().cast(), bytes.len()) }, "cuMemcpyHtoD")
    }

    fn read(&self, address: Address, bytes: usize) -> Result<Vec<u8>, String> {
        let mut out = vec![0; bytes];
        if bytes > 0 {
            // SAFETY: both have that many bytes.
            let status = unsafe { (self.d.to_host)(out.as_mut_ptr().cast(), address, bytes) };
            self.explain(status, "cuMemcpyDtoH")?;
        }
        Ok(out)
    }

    /// What the stand-in says of an error.
    fn explain(&self, status: c_int, what: &str) -> Result<(), String> {
        check(status, what).map_err(|e| {
            let Some(message) = self.d.message else { return e };
            let mut text = vec![0u8; 4096];
            // SAFETY: writes at most that many bytes, the last of them a zero.
            unsafe { message(text.as_mut_ptr().cast(), text.len()) };
            let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
            format!("{e}: {}", text.to_string_lossy())
        })
    }

    fn run(
        &mut self,
        program: &Program,
        device: &DeviceProgram,
        inputs: &[Tensor],
        symbols: &[i64],
    ) -> Result<Outcome, String> {
        let value = |e: &Expr| e.eval_symbols(symbols);
        let bytes = |b: BufferId| {
            let buffer = &program.buffers[b.0 as usize];
            value(&buffer.len).max(0) as usize * buffer.dtype.size()
        };
        let arena = self.alloc(value(&program.arena).max(0) as usize)?;
        let mut given = Vec::new();
        for input in inputs {
            let address = self.alloc(input.data.len())?;
            self.write(address, &input.data)?;
            given.push(address);
        }
        let mut places: Vec<Address> = Vec::new();
        for (i, buffer) in program.buffers.iter().enumerate() {
            places.push(match &buffer.placement {
                Placement::Input(i) => given[*i as usize],
                Placement::Output => self.alloc(bytes(BufferId(i as u32)))?,
                Placement::Arena { offset } => arena + value(offset) as u64,
                Placement::Reuse(other) => places[other.0 as usize],
            });
        }
        let mut scratch = Vec::new();
        for e in &device.scratch {
            let size = value(e).max(0);
            assert_eq!(size % 16, 0, "scratch of {size} bytes");
            scratch.push(self.alloc(size as usize)?);
        }
        let fault = self.alloc(32)?;
        self.write(fault, &[0; 32])?;
        let mut functions: HashMap<u32, Handle> = HashMap::new();
        for step in &device.steps {
            match step {
                DeviceStep::Launch(launches) => {
                    for launch in launches {
                        let f = &device.functions[launch.function as usize];
                        if let Entry::Vacant(place) = functions.entry(launch.function) {
                            let name = CString::new(f.name.as_str()).unwrap();
                            let mut handle = std::ptr::null_mut();
                            // SAFETY: a module that is loaded, and a name.
                            let status =
                                unsafe { (self.d.module_function)(&mut handle, self.module, name.as_ptr()) };
                            check(status, &format!("function {}", f.name))?;
                            place.insert(handle);
                        }
                        let grid = launch.grid.each_ref().map(value);
                        if grid.iter().any(|n| *n <= 0) {
                            continue;
                        }
                        let mut words: Vec<u64> = launch
                            .arguments
                            .iter()
                            .map(|a| match a {
                                Argument::Buffer(b) => places[b.0 as usize],
                                Argument::Scratch(s) => scratch[*s as usize],
                                Argument::Integer(e) => value(e) as u64,
                                Argument::Fault => fault,
                            })
                            .collect();
                        let mut pointers: Vec<*mut c_void> =
                            words.iter_mut().map(|w| std::ptr::from_mut(w).cast()).collect();
                        let [x, y, z] = grid.map(|n| n as c_uint);
                        let [bx, by, bz] = f.block;
                        let shared = value(&launch.shared) as c_uint;
                        let none = std::ptr::null_mut();
                        // SAFETY: each pointer leads to eight bytes, as much as any parameter has.
                        let status = unsafe {
                            (self.d.launch)(
                                functions[&launch.function],
                                x,
                                y,
                                z,
                                bx,
                                by,
                                bz,
                                shared,
                                none,
                                pointers.as_mut_ptr(),
                                none,
                            )
                        };
                        self.explain(status, &f.name)?;
                        // SAFETY: waits only.
                        let status = unsafe { (self.d.synchronize)() };
                        self.explain(status, &f.name)?;
                    }
                }
                DeviceStep::Copy { input, output } => {
                    let data = self.read(places[input.0 as usize], bytes(*input))?;
                    self.write(places[output.0 as usize], &data)?;
                }
                DeviceStep::Host => return Err("a step for the host".into()),
            }
        }
        let words = self.read(fault, 32)?;
        let word = |i: usize| i64::from_le_bytes(words[8 * i..8 * i + 8].try_into().unwrap());
        if word(0) != 0 {
            return Ok(Err((word(1), word(2))));
        }
        let mut outputs = Vec::new();
        for o in &program.outputs {
            let dims = o.ty.shape.iter().map(|d| d.eval(symbols)).collect();
            let data = self.read(places[o.buffer.0 as usize], bytes(o.buffer))?;
            outputs.push(Tensor { dtype: o.ty.dtype, dims, data });
        }
        Ok(Ok(outputs))
    }
}

fn check(status: c_int, what: &str) -> Result<(), String> {
    if status == 0 { Ok(()) } else { Err(format!("{what}: error {status}")) }
}
