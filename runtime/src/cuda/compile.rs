//! CUDA C to machine code, by NVRTC, for the very architecture of a device; what has been compiled is kept
//! on disk.
//!
//! Of a program's functions only those that are not known are compiled, in several translation units side by side: NVRTC
//! works on one with one thread, and several threads may call it at once. What is kept is each unit's code, and for
//! each function, by its text under no name, in which unit it is and what it is called there. So a function that
//! another program has brought is known as well.

use super::error::CudaError;
use super::library;
use crate::artifact::{Artifact, CudaCode, CudaFunction, architecture_name};
use crate::cache::{self, CodeCache, Key};
use crate::threads;
use cudarc::nvrtc::{result, sys};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use ttk_ir::device::{COMPILE_OPTIONS, DeviceProgram};

/// What compilation has done so far, in this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CompileStats {
    /// Functions that NVRTC compiled.
    pub compiled: usize,
    /// Functions whose code was on disk.
    pub cached: usize,
    /// Time spent on waiting for NVRTC.
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
const KIND: &str = "cuda-2";

/// `None`: not opened yet.
static CACHE: Mutex<Option<Option<Arc<CodeCache>>>> = Mutex::new(None);
static COMPILED: AtomicUsize = AtomicUsize::new(0);
static CACHED: AtomicUsize = AtomicUsize::new(0);
static TIME: Mutex<Duration> = Mutex::new(Duration::ZERO);

fn cache() -> Option<Arc<CodeCache>> {
    let open = || Some(Arc::new(CodeCache::named(&cache::default_directory()?, KIND, cache::LIMIT)));
    CACHE.lock().get_or_insert_with(open).clone()
}

/// The machine code of a program's functions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Images {
    /// What the driver loads.
    pub(super) images: Vec<Vec<u8>>,
    /// Of each function, the image that it is in and its name there.
    pub(super) functions: Vec<(usize, String)>,
}

impl Images {
    /// Bytes of machine code.
    pub fn bytes(&self) -> usize {
        self.images.iter().map(Vec::len).sum()
    }
}

/// Machine code of a function in a file that the user trusts: its unit and its name there.
type Given = (Arc<Vec<u8>>, String);
type GivenUnits = HashMap<[u8; 32], Given>;

/// What trusted files hold, by architecture and the key of a function for files.
static GIVEN: Mutex<BTreeMap<(i32, i32), GivenUnits>> = Mutex::new(BTreeMap::new());

/// Uses the machine code that a file holds, from now on and in this process, for functions whose text it was made of:
/// neither the file's graph nor another's needs NVRTC for them.
///
/// # Safety
/// Machine code does whatever it was made to do. The file must be from someone who may run code here.
pub unsafe fn trust(artifact: &Artifact) {
    let mut given = GIVEN.lock();
    for code in &artifact.cuda.code {
        let units: Vec<Arc<Vec<u8>>> = code.units.iter().cloned().map(Arc::new).collect();
        let known = given.entry(code.capability).or_default();
        for f in &code.functions {
            if let Some(unit) = units.get(f.unit as usize) {
                known.insert(f.key, (unit.clone(), f.name.clone()));
            }
        }
    }
}

/// What a trusted file holds of a function for a device: code of its own architecture, or of an earlier one of the same
/// major number, which runs there as well.
fn given(capability: (i32, i32), key: &[u8; 32]) -> Option<Given> {
    let all = GIVEN.lock();
    let fitting = all.range((capability.0, 0)..=capability);
    fitting.rev().find_map(|(_, known)| known.get(key).cloned())
}

/// Machine code of a program's functions for a file. Needs NVRTC, but neither driver nor device.
///
/// # Errors
/// As [`compile`]; an architecture that NVRTC does not know.
pub fn compile_for_file(
    program: &str,
    device: &DeviceProgram,
    capability: (i32, i32),
) -> Result<CudaCode, CudaError> {
    library::compiler()?;
    let known = supported();
    if !known.is_empty() && !known.contains(&(capability.0 * 10 + capability.1)) {
        return Err(CudaError::Compile {
            program: program.to_string(),
            architecture: architecture_name(capability),
            log: format!(
                "this NVRTC compiles for {}",
                known.iter().map(|n| format!("sm_{n}")).collect::<Vec<_>>().join(", ")
            ),
        });
    }
    let images = compile_by_nvrtc(program, device, capability, &HashMap::new())?;
    let functions = images.functions.into_iter().enumerate();
    let functions = functions.map(|(f, (unit, name))| CudaFunction {
        key: *file_key(device, f).bytes(),
        unit: unit as u32,
        name,
    });
    Ok(CudaCode { capability, functions: functions.collect(), units: images.images })
}

/// Names a function in a file by what its code depends on but the compiler and the architecture.
fn file_key(device: &DeviceProgram, function: usize) -> Key {
    function_key(device, function, &format!("file\n{}", COMPILE_OPTIONS.join("\n")))
}

/// Compiles the functions of a program for a compute capability, major and minor, or finds them compiled. Needs NVRTC,
/// but neither driver nor device.
///
/// # Errors
/// [`CudaError::NoCompiler`], or [`CudaError::Compile`] with the compiler's words.
pub fn compile(program: &str, device: &DeviceProgram, capability: (i32, i32)) -> Result<Images, CudaError> {
    // Most processes have trusted no file, and need no keys.
    let count = if GIVEN.lock().is_empty() { 0 } else { device.functions.len() };
    let found =
        (0..count).filter_map(|f| Some((f, given(capability, file_key(device, f).bytes())?))).collect();
    compile_by_nvrtc(program, device, capability, &found)
}

/// [`compile`] where some functions are given, by number.
fn compile_by_nvrtc(
    program: &str,
    device: &DeviceProgram,
    capability: (i32, i32),
    given: &HashMap<usize, Given>,
) -> Result<Images, CudaError> {
    let mut found = Found::default();
    let mut known: Vec<Option<(usize, String)>> =
        (0..device.functions.len()).map(|f| given.get(&f).map(|g| found.given(g))).collect();
    if known.iter().all(Option::is_some) {
        CACHED.fetch_add(known.len(), Ordering::Relaxed);
        return Ok(Images { images: found.images, functions: known.into_iter().flatten().collect() });
    }
    let version = library::compiler()?;
    let architecture = architecture(capability);
    let mut options = vec![format!("--gpu-architecture={architecture}")];
    options.extend(COMPILE_OPTIONS.iter().map(|o| o.to_string()));
    let by = format!("{}\n{}.{}\n{}", options.join("\n"), version.0, version.1, library::compiler_identity());
    let cache = cache();
    let keys: Vec<Key> = (0..device.functions.len()).map(|f| function_key(device, f, &by)).collect();
    for (known, key) in known.iter_mut().zip(&keys).filter(|(known, _)| known.is_none()) {
        *known = cache.as_deref().and_then(|cache| found.function(cache, key));
    }
    let missing: Vec<u32> = (0..known.len()).filter(|&f| known[f].is_none()).map(|f| f as u32).collect();
    CACHED.fetch_add(known.len() - missing.len(), Ordering::Relaxed);
    let mut out = Images { images: found.images, functions: Vec::new() };
    let mut compiled: HashMap<u32, usize> = HashMap::new();
    let units = units(device, &missing);
    let start = Instant::now();
    for (functions, code) in units.iter().zip(side_by_side(device, &units, &options)) {
        let image = code.map_err(|log| CudaError::Compile {
            program: program.to_string(),
            architecture: architecture.clone(),
            log,
        })?;
        if let Some(cache) = &cache {
            let key = Key::of(&[b"unit", device.unit(functions).as_bytes(), by.as_bytes()]);
            // The unit before what refers to it.
            cache.store_bytes(&key, &image);
            for &f in functions {
                let name = device.functions[f as usize].name.as_bytes();
                cache.store_bytes(&keys[f as usize], &[key.bytes(), name].concat());
            }
        }
        compiled.extend(functions.iter().map(|&f| (f, out.images.len())));
        out.images.push(image);
    }
    if !missing.is_empty() {
        COMPILED.fetch_add(missing.len(), Ordering::Relaxed);
        *TIME.lock() += start.elapsed();
    }
    let place = |(f, known): (usize, Option<(usize, String)>)| {
        known.unwrap_or_else(|| (compiled[&(f as u32)], device.functions[f].name.clone()))
    };
    out.functions = known.into_iter().enumerate().map(place).collect();
    Ok(out)
}

/// Units that have been read, by their keys.
#[derive(Default)]
struct Found {
    images: Vec<Vec<u8>>,
    units: HashMap<[u8; 32], Option<usize>>,
    /// Units of trusted files, by their addresses: the files' table keeps them.
    given: HashMap<usize, usize>,
}

impl Found {
    /// Where a function of a trusted file is.
    fn given(&mut self, (unit, name): &Given) -> (usize, String) {
        let at = *self.given.entry(Arc::as_ptr(unit) as usize).or_insert_with(|| {
            self.images.push(unit.to_vec());
            self.images.len() - 1
        });
        (at, name.clone())
    }

    /// Where a function is, if it and its unit are on disk.
    fn function(&mut self, cache: &CodeCache, key: &Key) -> Option<(usize, String)> {
        let entry = cache.load_with(key, |bytes| {
            let (unit, name) = bytes.split_first_chunk::<32>()?;
            Some((*unit, String::from_utf8(name.to_vec()).ok()?))
        });
        let (unit, name) = entry?;
        let images = &mut self.images;
        let image = self.units.entry(unit).or_insert_with(|| {
            images.push(cache.load_with(&Key::from(unit), |bytes| Some(bytes.to_vec()))?);
            Some(images.len() - 1)
        });
        Some(((*image)?, name))
    }
}

/// Names a function by all that its code depends on: its own text under no name, what it stands on, the compiler.
fn function_key(device: &DeviceProgram, function: usize, by: &str) -> Key {
    let f = &device.functions[function];
    let unnamed = without(&f.source, &f.name);
    let helpers = f.helpers.iter().map(|&h| device.helpers[h as usize].as_bytes());
    let parts: Vec<&[u8]> =
        [b"function".as_slice(), unnamed.as_bytes(), by.as_bytes()].into_iter().chain(helpers).collect();
    Key::of(&parts)
}

/// A text of C with a sign that C lacks for a name.
fn without(source: &str, name: &str) -> String {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find(name).filter(|_| !name.is_empty()) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let whole = !before.ends_with(part) && !after.starts_with(part);
        out.push_str(before);
        out.push_str(if whole { "@" } else { name });
        rest = after;
    }
    out + rest
}

/// Text that is worth a unit of its own, in bytes: NVRTC takes about a tenth of a second for it, and 0.03 s for a
/// unit of nothing.
const UNIT: usize = 3000;

/// Units for each thread, so that they end at about the same time.
const UNITS: usize = 3;

/// Deals functions out to units of about the same length of text.
fn units(device: &DeviceProgram, functions: &[u32]) -> Vec<Vec<u32>> {
    let length = |f: &u32| device.functions[*f as usize].source.len();
    let total: usize = functions.iter().map(length).sum();
    let count = (total / UNIT).clamp(1, UNITS * threads::num_threads());
    let mut units = vec![(0, Vec::new()); count.min(functions.len())];
    let mut longest_first = functions.to_vec();
    longest_first.sort_by_key(|f| std::cmp::Reverse(length(f)));
    for f in longest_first {
        if let Some((sum, unit)) = units.iter_mut().min_by_key(|(sum, _)| *sum) {
            *sum += length(&f);
            unit.push(f);
        }
    }
    units.into_iter().map(|(_, unit)| unit).collect()
}

/// The code of units, or what the compiler says.
fn side_by_side(
    device: &DeviceProgram,
    units: &[Vec<u32>],
    options: &[String],
) -> Vec<Result<Vec<u8>, String>> {
    type Done = Mutex<Option<Result<Vec<u8>, String>>>;
    let done: Vec<Done> = units.iter().map(|_| Mutex::new(None)).collect();
    threads::parallel(units.len(), &|_, i| {
        *done[i].lock() = Some(with_nvrtc(&device.unit(&units[i]), options));
    });
    let missing = || Err("a unit was not compiled".to_string());
    done.into_iter().map(|slot| slot.into_inner().unwrap_or_else(missing)).collect()
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
