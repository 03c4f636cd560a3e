//! A graph made into something that runs: the passes, the code generator, the plan, and the disk cache
//! that lets the next process skip them.

use crate::counters;
use crate::device::{self, Device, Memories, Memory};
use crate::error::{Error, Exception, Result};
use crate::node::Node;
use crate::{log, profile};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use ttk_codegen_cpu::{CompiledKernel, Compiler, CpuFeatures, Target, Width};
use ttk_ir::device::DeviceProgram;
use ttk_ir::eval::{self, CustomOps, EvalError};
use ttk_ir::kernel::Kernel;
use ttk_ir::program::{self, Program};
use ttk_ir::{Dim, Graph, Type};
use ttk_passes::{HalfProducts, LowerOptions, Options};
use ttk_runtime::artifact::{Artifact, Cuda, CudaCode, CudaFunction};
use ttk_runtime::cache::{CodeCache, Entry, KeyBuilder};
use ttk_runtime::cpu_features::{self, Level};
use ttk_runtime::cuda::{self, CudaPlan};
use ttk_runtime::custom::{self, CustomInput, CustomOutput};
use ttk_runtime::encode::{Reader, Writer, read_device_program, write_device_program};
use ttk_runtime::{Buffer, CodeModule, KernelCode, Plan, RunError, threads};

/// What the compiler may assume.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// For each input, whether its memory may be written over once it is read for the last time.
    pub donate: Vec<bool>,
    /// The inputs that are weights change rarely.
    pub inference: bool,
    pub device: Device,
    /// Operands of `f32` products may be rounded to 11 bits on a GPU.
    pub tf32: bool,
    /// A GPU has tensor cores that take `bf16` and `tf32`: compute capability 8.0 and later.
    pub tensor_cores: bool,
}

impl Default for CompileOptions {
    fn default() -> CompileOptions {
        CompileOptions {
            donate: Vec::new(),
            inference: false,
            device: Device::Cpu,
            tf32: false,
            tensor_cores: true,
        }
    }
}

/// What runs a compiled program.
#[derive(Debug)]
enum Engine {
    Cpu(Plan),
    Cuda(CudaPlan),
}

/// A compiled graph.
#[derive(Debug)]
pub struct Compiled {
    engine: Engine,
    /// Whether a run that fails may leave input `i` written over, if its memory is given away.
    at_risk: Vec<bool>,
    /// Kept when every run is to be checked against the interpreter (`TTK_VERIFY=1`).
    verify: Option<Graph>,
}

static DISK: LazyLock<Option<CodeCache>> = LazyLock::new(CodeCache::open);

static VERIFY: LazyLock<bool> = LazyLock::new(|| std::env::var("TTK_VERIFY").is_ok_and(|v| v == "1"));

/// Idle compilers, one for each thread that compiled: making one costs more than a kernel does.
static COMPILERS: Mutex<Vec<Compiler>> = Mutex::new(Vec::new());

/// The machine that kernels are compiled for.
///
/// # Errors
/// A processor that the code generator does not know.
pub fn target() -> Result<Target> {
    let found = cpu_features::detect();
    let features = CpuFeatures { avx2: found.avx2, fma: found.fma, f16c: found.f16c, avx512: found.avx512 };
    let target = Target::host(features).map_err(internal)?;
    Ok(target.at_most(match found.level {
        Level::Baseline => Width::W128,
        Level::Avx2 => Width::W256,
        Level::Avx512 => Width::W512,
    }))
}

fn internal(e: impl std::fmt::Display) -> Error {
    Error::Internal { detail: e.to_string() }
}

/// Compiles a graph, or finds it compiled on disk.
///
/// # Errors
/// A defect of the compiler.
pub fn compile_graph(graph: &Graph, options: &CompileOptions) -> Result<Compiled> {
    if let Device::Cuda(ordinal) = options.device {
        return compile_for_gpu(graph, options, ordinal);
    }
    compile_ahead(graph, options)?;
    let target = target()?;
    let mut key = KeyBuilder::default();
    key.graph(graph);
    options.donate.hash(&mut key);
    options.inference.hash(&mut key);
    target.width.bits().hash(&mut key);
    half_products(options).hash(&mut key);
    target.triple.to_string().hash(&mut key);
    let key = key.finish();
    let start = Instant::now();
    let found = DISK.as_ref().and_then(|disk| disk.load(&key));
    counters::add(&counters::LOAD_NS, start.elapsed().as_nanos() as u64);
    let entry = match found {
        Some(entry) => {
            counters::add(&counters::DISK_HITS, 1);
            entry
        }
        None => {
            let program = program_of(graph, options)?;
            let kernels = compile_kernels(&program.kernels, &target)?;
            let kernels = kernels
                .into_iter()
                .map(|k| KernelCode { code: k.code, entry: 0, constants: k.constants })
                .collect();
            let entry = Entry { program, kernels, extra: Vec::new() };
            if let Some(disk) = DISK.as_ref() {
                disk.store(&key, &entry);
            }
            entry
        }
    };
    let at_risk = super::risk::at_risk(&entry.program);
    // SAFETY: the code was made of this program's kernels, just now or by this user's earlier process
    // under a key that names the same compiler and graph.
    let plan = unsafe {
        let code = CodeModule::new(&entry.program.name, &entry.kernels).map_err(run_error)?;
        Plan::new(entry.program, code).map_err(run_error)?
    };
    Ok(Compiled { engine: Engine::Cpu(plan), at_risk, verify: VERIFY.then(|| graph.clone()) })
}

/// Where the CUDA source of every graph that is compiled for the processor is written, for reports on machines without a
/// GPU (`TTK_CUDA_SOURCES`).
static CUDA_SOURCES: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("TTK_CUDA_SOURCES").map(PathBuf::from));

/// The compute capability that every graph which is compiled for the processor is compiled for as well: passes, code
/// generator, NVRTC and disk cache, all but loading it (`TTK_CUDA_AHEAD=90`).
static CUDA_AHEAD: LazyLock<Option<i32>> =
    LazyLock::new(|| std::env::var("TTK_CUDA_AHEAD").ok().and_then(|v| v.trim().parse().ok()));

/// Does for a graph what would be done for a GPU, as far as that is asked for.
fn compile_ahead(graph: &Graph, options: &CompileOptions) -> Result<()> {
    let (folder, capability) = (CUDA_SOURCES.as_ref(), *CUDA_AHEAD);
    if folder.is_none() && capability.is_none() {
        return Ok(());
    }
    let options = CompileOptions { device: Device::Cuda(0), ..options.clone() };
    let start = Instant::now();
    let (program, device_program) = device_program_of(graph, &options)?;
    let printed = start.elapsed();
    if let Some(capability) = capability {
        let before = cuda::compile_stats();
        let images = cuda::compile(&program.name, &device_program, (capability / 10, capability % 10))?;
        let stats = cuda::compile_stats();
        log::say("cuda-time", || {
            format!(
                "{}: {} functions, {} compiled, {} from disk; {:.1} ms until printed, {:.1} ms until compiled, {} bytes",
                program.name,
                device_program.functions.len(),
                stats.compiled - before.compiled,
                stats.cached - before.cached,
                printed.as_secs_f64() * 1e3,
                start.elapsed().as_secs_f64() * 1e3,
                images.bytes()
            )
        });
    }
    let Some(folder) = folder else { return Ok(()) };
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let file =
        format!("{}-{}-{}.cu", program.name, std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let path = folder.join(file);
    std::fs::write(&path, device_program.source())
        .map_err(|e| Error::Plain { exception: Exception::Os, detail: format!("{}: {e}", path.display()) })
}

/// The program of a graph for a GPU and what is printed of it, or the two from disk.
fn device_program_of(graph: &Graph, options: &CompileOptions) -> Result<(Program, DeviceProgram)> {
    let mut key = KeyBuilder::default();
    key.graph(graph);
    options.donate.hash(&mut key);
    options.inference.hash(&mut key);
    (options.tf32, options.tensor_cores).hash(&mut key);
    "cuda".hash(&mut key);
    let key = key.finish();
    let start = Instant::now();
    let found = DISK.as_ref().and_then(|disk| disk.load(&key));
    let found = found.and_then(|entry| {
        let mut r = Reader::new(&entry.extra);
        let device_program = read_device_program(&mut r).ok()?;
        r.finish().ok()?;
        Some((entry.program, device_program))
    });
    counters::add(&counters::LOAD_NS, start.elapsed().as_nanos() as u64);
    if let Some(found) = found {
        counters::add(&counters::DISK_HITS, 1);
        return Ok(found);
    }
    let program = program_of(graph, options)?;
    let start = Instant::now();
    let printing = ttk_codegen_cuda::Options {
        tf32: options.tf32 && options.tensor_cores,
        ..ttk_codegen_cuda::Options::default()
    };
    let device_program = ttk_codegen_cuda::emit(&program, &printing).map_err(internal)?;
    counters::add(&counters::KERNELS_COMPILED, program.kernels.len() as u64);
    counters::add(&counters::CODEGEN_NS, start.elapsed().as_nanos() as u64);
    if let Some(disk) = DISK.as_ref() {
        let mut extra = Writer::default();
        write_device_program(&mut extra, &device_program);
        let entry = Entry { program, kernels: Vec::new(), extra: extra.finish() };
        disk.store(&key, &entry);
        return Ok((entry.program, device_program));
    }
    Ok((program, device_program))
}

/// Uses the machine code for GPUs that a file holds, in this process, for functions whose text it was made of. Machine code
/// does whatever it was made to do: only for a file whose author may run code here.
pub fn trust(artifact: &Artifact) {
    // SAFETY: the user says so of the file.
    unsafe { cuda::trust(artifact) }
}

/// The source of a graph for GPUs, and machine code for some compute capabilities: of the graph compiled for itself, and of
/// the graph as a part of what is recorded around it when it is not.
///
/// # Errors
/// No NVRTC; a capability that it does not know.
pub fn cuda_of_file(graph: &Graph, capabilities: &[(i32, i32)]) -> Result<Cuda> {
    device::look();
    let mut out = Cuda::default();
    for &capability in capabilities {
        if out.code.iter().any(|c| c.capability == capability) {
            continue;
        }
        let tensor_cores = capability >= (8, 0);
        let mut all = CudaCode { capability, ..CudaCode::default() };
        for inference in [true, false] {
            let donate = vec![false; graph.params().len()];
            let device = Device::Cuda(0);
            let options =
                CompileOptions { inference, donate, device, tensor_cores, ..CompileOptions::default() };
            let (program, device_program) = device_program_of(graph, &options)?;
            if inference && out.source.is_none() {
                out.source = Some(device_program.source());
            }
            let code = cuda::compile_for_file(&program.name, &device_program, capability)?;
            let first = all.units.len() as u32;
            let known: HashSet<[u8; 32]> = all.functions.iter().map(|f| f.key).collect();
            let new = code.functions.into_iter().filter(|f| !known.contains(&f.key));
            let new: Vec<_> = new.map(|f| CudaFunction { unit: f.unit + first, ..f }).collect();
            if !new.is_empty() {
                all.units.extend(code.units);
                all.functions.extend(new);
            }
        }
        out.code.push(all);
    }
    Ok(out)
}

fn compile_for_gpu(graph: &Graph, options: &CompileOptions, ordinal: u32) -> Result<Compiled> {
    let gpu = device::open(ordinal)?;
    let tensor_cores = gpu.properties().capability >= (8, 0);
    let options = CompileOptions { tensor_cores, ..options.clone() };
    let (program, device_program) = device_program_of(graph, &options)?;
    log::say("cuda", || device_program.source());
    // An index out of range is known when the run is over: whatever was overwritten then is lost.
    let fails = super::risk::can_fail(&program);
    let at_risk = vec![fails; program.inputs.len()];
    let start = Instant::now();
    // SAFETY: the device's program was made of this program, just now or by this user's earlier process under a key
    // that names the same compiler and graph.
    let plan = unsafe { CudaPlan::new(program, device_program, &gpu)? };
    counters::add(&counters::CODEGEN_NS, start.elapsed().as_nanos() as u64);
    Ok(Compiled { engine: Engine::Cuda(plan), at_risk, verify: VERIFY.then(|| graph.clone()) })
}

/// The passes: a graph as a program of kernels.
///
/// # Errors
/// A defect of a pass.
pub fn program_of(graph: &Graph, options: &CompileOptions) -> Result<Program> {
    let start = Instant::now();
    let program = passed(graph, options);
    // By this thread, which records: counts of the front end are dearer once another one counts.
    counters::add(&counters::PASSES_RUN, 1);
    counters::add(&counters::PASS_NS, start.elapsed().as_nanos() as u64);
    program
}

fn passed(graph: &Graph, options: &CompileOptions) -> Result<Program> {
    if graph.len() < DEEP {
        return run_passes(graph, options);
    }
    let missing = |e: std::io::Error| Error::Internal { detail: format!("no thread for the compiler: {e}") };
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("ttk-passes".into()).stack_size(STACK);
        let passes = builder.spawn_scoped(scope, || run_passes(graph, options)).map_err(missing)?;
        passes.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A graph of so many nodes may be a chain as deep, along which passes recurse: they get a stack for it.
const DEEP: usize = 2048;
const STACK: usize = 512 << 20;

/// Of which 16-bit floats the machine multiplies matrices.
fn half_products(options: &CompileOptions) -> HalfProducts {
    match options.device {
        Device::Cuda(_) if options.tensor_cores => HalfProducts::All,
        Device::Cpu if cpu_features::detect().has_bf16_products() => HalfProducts::Bf16,
        Device::Cuda(_) | Device::Cpu | Device::Meta => HalfProducts::None,
    }
}

fn run_passes(graph: &Graph, options: &CompileOptions) -> Result<Program> {
    let start = Instant::now();
    let passes = Options { inference: options.inference, ..Options::default() };
    let optimized = ttk_passes::optimize(graph, &passes).map_err(internal)?;
    log::say("graph", || ttk_ir::text::print(&optimized));
    // A GPU's compiler has functions of its own, and its tensor cores are made for 16-bit floats.
    let gpu = matches!(options.device, Device::Cuda(_));
    let lowering = LowerOptions {
        donate: options.donate.clone(),
        native_math: gpu,
        half_products: half_products(options),
    };
    let program = ttk_passes::lower(&optimized, &lowering).map_err(internal)?;
    log::say("passes", || {
        format!(
            "{} nodes -> {} nodes -> {} steps, {} kernels in {:.1} ms",
            graph.len(),
            optimized.len(),
            program.steps.len(),
            program.kernels.len(),
            start.elapsed().as_secs_f64() * 1e3
        )
    });
    log::say("program", || program::text::print(&program));
    Ok(program)
}

/// Machine code of kernels, several threads at work.
///
/// # Errors
/// A kernel that the code generator does not take.
pub fn compile_kernels(kernels: &[Kernel], target: &Target) -> Result<Vec<CompiledKernel>> {
    let start = Instant::now();
    let done: Vec<Mutex<Option<Result<CompiledKernel>>>> = kernels.iter().map(|_| Mutex::new(None)).collect();
    threads::parallel(kernels.len(), &|_, i| {
        let pooled = COMPILERS.lock().pop().filter(|c| c.target() == target);
        let result = match pooled.map_or_else(|| Compiler::new(target), Ok) {
            Ok(mut compiler) => {
                let result = compiler.compile(&kernels[i]).map_err(internal);
                COMPILERS.lock().push(compiler);
                result
            }
            Err(e) => Err(internal(e)),
        };
        *done[i].lock() = Some(result);
    });
    counters::add(&counters::KERNELS_COMPILED, kernels.len() as u64);
    counters::add(&counters::CODEGEN_NS, start.elapsed().as_nanos() as u64);
    log::say("codegen", || {
        format!("{} kernels in {:.1} ms", kernels.len(), start.elapsed().as_secs_f64() * 1e3)
    });
    let missing = || Err(Error::Internal { detail: "a kernel was not compiled".into() });
    done.into_iter().map(|slot| slot.into_inner().unwrap_or_else(missing)).collect()
}

fn run_error(e: RunError) -> Error {
    match e {
        RunError::OutOfMemory(e) => e.into(),
        RunError::IndexOutOfRange { .. } => Error::IndexOutOfRange,
        other => internal(other),
    }
}

impl Compiled {
    pub fn program(&self) -> &Program {
        match &self.engine {
            Engine::Cpu(plan) => plan.program(),
            Engine::Cuda(plan) => plan.program(),
        }
    }

    /// The memory of a known value that is input `i` of a run. The plan may write over memory that is `given` to it, which the
    /// value loses then; not so where a run that fails may leave it written over.
    pub fn lend(&self, i: usize, value: &Node, given: bool) -> Option<Memory> {
        if given && !self.at_risk[i] { value.take() } else { value.memory() }
    }

    /// Runs on inputs, dense and row-major, in the order of the graph's. After an error the inputs are
    /// still there, and as they were but for those that it may write over; see [`Compiled::lend`].
    ///
    /// # Errors
    /// No memory; an index out of range; inputs on another device.
    pub fn run(&self, inputs: &mut Memories, symbols: &[i64]) -> Result<Memories> {
        let expected = match &self.verify {
            Some(graph) => Some((graph, interpret(graph, &inputs.host()?, symbols)?)),
            None => None,
        };
        let outputs = match (&self.engine, inputs) {
            (Engine::Cpu(plan), Memories::Host(buffers)) => {
                let algorithms = || plan.algorithms(symbols).unwrap_or_default();
                Memories::Host(logged(plan.program(), symbols, algorithms, |times| {
                    plan.run_timed(buffers, symbols, times).map_err(run_error)
                })?)
            }
            (Engine::Cuda(plan), Memories::Cuda(buffers)) => {
                Memories::Cuda(logged(plan.program(), symbols, Vec::new, |times| {
                    Ok(plan.run_timed(buffers, symbols, times)?)
                })?)
            }
            (Engine::Cpu(_), Memories::Cuda(_)) | (Engine::Cuda(_), Memories::Host(_)) => {
                return Err(internal("a plan was given memory of another device"));
            }
        };
        if let Some((graph, expected)) = expected {
            verify(graph, &expected, &outputs.host()?)?;
        }
        Ok(outputs)
    }
}

/// A run; its steps are listed with the time that each took, if that is asked for. `algorithms` is as
/// [`Plan::algorithms`] says, or empty.
fn logged<T>(
    program: &Program,
    symbols: &[i64],
    algorithms: impl FnOnce() -> Vec<Option<&'static str>>,
    run: impl FnOnce(Option<&mut Vec<Duration>>) -> Result<T>,
) -> Result<T> {
    let profiled = profile::is_on();
    if !profiled && !log::enabled("steps") {
        return run(None);
    }
    let (start, mut times, algorithms) = (Instant::now(), Vec::new(), algorithms());
    let outputs = run(Some(&mut times))?;
    if profiled {
        profile::note(program, symbols, &algorithms, start, &times);
    }
    log::say("steps", || {
        let total: Duration = times.iter().sum();
        let mut text = format!("{} in {:.3} ms", program.name, total.as_secs_f64() * 1e3);
        let steps = program::text::steps(program);
        for (i, ((what, step), time)) in steps.iter().zip(&program.steps).zip(&times).enumerate() {
            let (ms, loc) = (time.as_secs_f64() * 1e3, &step.loc);
            let how = algorithms.get(i).copied().flatten().map_or(String::new(), |a| format!(" by {a}"));
            text.push_str(&format!("\n{ms:9.3} ms  {what}{how}  ; {}:{}", loc.file, loc.line));
        }
        text
    });
    Ok(outputs)
}

/// The runtime's kernels, for the interpreter, which has none of its own: what they compute is not checked, but what is made
/// of that.
struct Kernels;

impl CustomOps for Kernels {
    fn call(
        &self,
        name: &str,
        attributes: &[i64],
        inputs: &[&eval::Tensor],
        ty: &Type,
    ) -> Option<eval::Tensor> {
        let kernel = custom::find(name)?;
        let memory: Vec<Buffer> =
            inputs.iter().map(|t| Buffer::from_slice(&t.data).ok()).collect::<Option<_>>()?;
        let operands: Vec<CustomInput<'_>> = inputs
            .iter()
            .zip(&memory)
            .map(|(t, memory)| CustomInput { dtype: t.dtype, shape: &t.dims, bytes: memory.bytes() })
            .collect();
        let dims: Vec<i64> = ty.shape.iter().map(Dim::fixed).collect::<Option<_>>()?;
        let mut result = Buffer::zeroed(dims.iter().product::<i64>() as usize * ty.dtype.size()).ok()?;
        let output = CustomOutput { dtype: ty.dtype, shape: &dims, bytes: result.bytes_mut()? };
        kernel(attributes, &operands, output).ok()?;
        Some(eval::Tensor { dtype: ty.dtype, dims, data: result.to_vec() })
    }
}

/// Runs a graph by the reference interpreter.
///
/// # Errors
/// An index out of range.
pub(super) fn interpret(graph: &Graph, inputs: &[Buffer], symbols: &[i64]) -> Result<Vec<eval::Tensor>> {
    let tensor = |(buffer, ty): (&Buffer, &Type)| eval::Tensor {
        dtype: ty.dtype,
        dims: ty.shape.iter().map(|d| d.eval(symbols)).collect(),
        data: buffer.to_vec::<u8>(),
    };
    let types = graph.params().iter().map(|&p| graph.ty(p));
    let inputs: Vec<eval::Tensor> = inputs.iter().zip(types).map(tensor).collect();
    eval::eval_with(graph, &inputs, symbols, &Kernels).map_err(|e| match e {
        EvalError::IndexOutOfRange { .. } => Error::IndexOutOfRange,
        other => internal(other),
    })
}

/// Compares a run with the interpreter's results.
fn verify(graph: &Graph, expected: &[eval::Tensor], outputs: &[Buffer]) -> Result<()> {
    for (i, (want, got)) in expected.iter().zip(outputs).enumerate() {
        let got = eval::Tensor { dtype: want.dtype, dims: want.dims.clone(), data: got.to_vec::<u8>() };
        if let Err(e) = want.close(&got, 1e-3, 1e-4) {
            let node = graph.node(graph.outputs[i]);
            let loc = graph.loc(node.loc);
            return Err(Error::Internal {
                detail: format!(
                    "TTK_VERIFY: result {i} ({}, {}:{}) differs from the interpreter's: {e}",
                    node.op.name(),
                    loc.file,
                    loc.line
                ),
            });
        }
    }
    Ok(())
}
