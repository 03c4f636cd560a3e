//! A program prepared for a device, and its runs.

use super::bound::{self, ALIGNMENT, DeviceBound, FAULT_BYTES, LaunchWork, Operation, StepWork, Value};
use super::buffer::DeviceBuffer;
use super::calls;
use super::compile;
use super::device::Device;
use super::driver::{Address, Function, Module, Stream};
use super::error::CudaError;
use super::host::{self, HostStep};
use super::replay::Replays;
use crate::error::{Defect, RunError};
use crate::plan::{Placed, check};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ttk_ir::device::DeviceProgram;
use ttk_ir::program::Program;

/// A program and its functions on a device, ready to run any number of times, from any number of threads.
///
/// Runs go to the device's stream one after the other and are not waited for, unless a step is the host's
/// or may meet an index out of range.
pub struct CudaPlan {
    program: Program,
    device_program: DeviceProgram,
    device: Device,
    functions: Vec<Loaded>,
    host: Vec<Option<HostStep>>,
    /// The most recently used first.
    bound: Mutex<Vec<Arc<Prepared>>>,
    /// After what refers to them.
    modules: Vec<Module>,
}

/// A function and the number of the module that it is in.
struct Loaded {
    function: Function,
    module: usize,
}

/// What was worked out for certain sizes, and runs that have been recorded.
struct Prepared {
    bound: DeviceBound,
    replays: Replays,
}

/// For how many combinations of sizes a plan keeps what it worked out.
const KEPT: usize = 64;

/// What a function may have of dynamic shared memory without asking.
const SHARED_LIMIT: u32 = 48 << 10;

/// Where everything of one run is.
pub(super) struct Places {
    /// Of each buffer of the program.
    pub(super) buffers: Vec<Address>,
    pub(super) scratch: Vec<Address>,
    pub(super) faults: Address,
}

impl Places {
    /// What a function or a library is given for an argument.
    pub(super) fn value(&self, value: Value) -> u64 {
        match value {
            Value::Buffer(id) => self.buffers[id.0 as usize],
            Value::Scratch(i) => self.scratch[i as usize],
            Value::Number(n) => n as u64,
            Value::Fault(i) => self.faults + (i as usize * FAULT_BYTES) as Address,
        }
    }
}

/// The memory of a run beside inputs and outputs; back to the pool when it has been issued.
struct Temporary {
    _blocks: Vec<DeviceBuffer>,
    faults: Option<DeviceBuffer>,
}

impl CudaPlan {
    /// Checks both programs, compiles the source for the device (or finds it compiled) and loads it.
    ///
    /// # Safety
    /// `device_program` must be what a code generator made of `program`: its functions take the parameters
    /// that launches give them, and use memory only within the buffers.
    ///
    /// # Errors
    /// Malformed programs, source that does not compile, the driver's errors.
    pub unsafe fn new(
        program: Program,
        device_program: DeviceProgram,
        device: &Device,
    ) -> Result<CudaPlan, CudaError> {
        check::program(&program)?;
        bound::check(&program, &device_program)?;
        let host = host::steps(&program, &device_program)?;
        let images = compile::compile(&program.name, &device_program, device.properties().capability)?;
        let load = |image: &Vec<u8>| Module::load(device.context(), image);
        let modules = images.images.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let functions = images.functions.iter().zip(&device_program.functions).map(|((image, name), f)| {
            Ok(Loaded { function: modules[*image].function(name, &f.name)?, module: *image })
        });
        let functions = functions.collect::<Result<_, CudaError>>()?;
        Ok(CudaPlan {
            program,
            device_program,
            device: device.clone(),
            functions,
            host,
            bound: Mutex::new(Vec::new()),
            modules,
        })
    }

    pub fn program(&self) -> &Program {
        &self.program
    }

    pub fn device_program(&self) -> &DeviceProgram {
        &self.device_program
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many sets of addresses run from a recording by now: those that came up again and again.
    pub fn recorded(&self) -> usize {
        self.bound.lock().iter().map(|b| b.replays.recorded()).sum()
    }

    /// The steps that a library takes part in, for the sizes of the last run, and which.
    pub fn library_calls(&self) -> Vec<(usize, &'static str)> {
        let of = |(i, step): (usize, &StepWork)| match step {
            StepWork::Launch(operations) => operations.iter().find_map(|o| match o {
                Operation::Call(call) => Some((i, call.library)),
                Operation::Launch(_) => None,
            }),
            StepWork::Copy { .. } | StepWork::Host => None,
        };
        let last = self.bound.lock().first().cloned();
        last.map_or_else(Vec::new, |b| b.bound.steps.iter().enumerate().filter_map(of).collect())
    }

    /// Runs the program and gives its outputs, which later work of the device's stream may use at once.
    ///
    /// Inputs that the program overwrites are overwritten in place when the buffer given is
    /// [exclusive](DeviceBuffer::is_exclusive); otherwise a copy is overwritten.
    ///
    /// # Errors
    /// Wrong number, sizes or device of inputs, exhausted memory, an index out of range, and errors of
    /// the device, also of earlier work that shows only now.
    pub fn run(
        &self,
        mut inputs: Vec<DeviceBuffer>,
        symbols: &[i64],
    ) -> Result<Vec<DeviceBuffer>, CudaError> {
        self.run_with(&mut inputs, symbols)
    }

    /// [`CudaPlan::run`] on inputs that stay the caller's, so that they are not lost by an error.
    ///
    /// # Errors
    /// As [`CudaPlan::run`].
    pub fn run_with(
        &self,
        inputs: &mut [DeviceBuffer],
        symbols: &[i64],
    ) -> Result<Vec<DeviceBuffer>, CudaError> {
        self.run_timed(inputs, symbols, None)
    }

    /// [`CudaPlan::run_with`]; the time that each step took is added to `times`. Each step is then waited
    /// for, so that all of them together take longer than they otherwise do.
    ///
    /// # Errors
    /// As [`CudaPlan::run`].
    pub fn run_timed(
        &self,
        inputs: &mut [DeviceBuffer],
        symbols: &[i64],
        times: Option<&mut Vec<Duration>>,
    ) -> Result<Vec<DeviceBuffer>, CudaError> {
        let prepared = self.prepare(symbols)?;
        let bound = &prepared.bound;
        self.check_inputs(bound, inputs)?;
        for &i in &bound.host.overwritten {
            let input = &mut inputs[i as usize];
            if !input.is_exclusive() {
                *input = input.duplicate()?;
            }
        }
        let fresh = bound.host.fresh.iter().map(|&bytes| DeviceBuffer::new(&self.device, bytes));
        let fresh = fresh.collect::<Result<Vec<_>, _>>()?;
        let (places, temporary) = self.place(bound, inputs, &fresh)?;

        let waits = self.host.iter().any(Option::is_some) || self.device.is_blocking() || times.is_some();
        // A single operation is no dearer than the launch of a recording.
        let plain = waits || !self.device.is_caching() || bound.operations() < 2;
        if plain {
            self.issue(bound, &places, self.device.stream(), times)?;
        } else {
            let issue = |stream: &Stream| self.issue(bound, &places, stream, None);
            prepared.replays.run(&self.device, &places, issue)?;
        }
        if let Some(faults) = &temporary.faults {
            self.check_faults(bound, faults)?;
        }
        let give = |place: &Placed| match *place {
            Placed::Input(i) => inputs[i as usize].clone(),
            Placed::Fresh(i) => fresh[i as usize].clone(),
            Placed::Arena(_) => unreachable!("checked when the program was bound"),
        };
        Ok(bound.host.outputs.iter().map(give).collect())
    }

    /// Everything worked out for these sizes, found or made.
    fn prepare(&self, symbols: &[i64]) -> Result<Arc<Prepared>, CudaError> {
        {
            let mut bound = self.bound.lock();
            if let Some(at) = bound.iter().position(|b| *b.bound.host.symbols == *symbols) {
                bound[..=at].rotate_right(1);
                return Ok(bound[0].clone());
            }
        }
        let program = || self.program.name.clone();
        if symbols.len() != self.program.symbols.len() {
            let (expected, given) = (self.program.symbols.len(), symbols.len());
            return Err(RunError::SymbolCount { program: program(), expected, given }.into());
        }
        if let Some((symbol, &value)) = self.program.symbols.iter().zip(symbols).find(|&(_, &v)| v < 1) {
            return Err(RunError::SymbolValue { name: symbol.name.clone(), value }.into());
        }
        let mut new = bound::bind_device(&self.program, &self.device_program, symbols)?;
        calls::choose(&self.device, &self.program, &self.device_program, &mut new);
        self.allow_shared(&new)?;
        let new = Arc::new(Prepared { bound: new, replays: Replays::default() });
        let mut bound = self.bound.lock();
        bound.truncate(KEPT - 1);
        bound.insert(0, new.clone());
        Ok(new)
    }

    fn allow_shared(&self, bound: &DeviceBound) -> Result<(), CudaError> {
        let most = self.device.properties().shared_memory;
        for step in &bound.steps {
            let StepWork::Launch(operations) = step else { continue };
            for operation in operations {
                let Operation::Launch(l) = operation else { continue };
                if l.shared <= SHARED_LIMIT {
                    continue;
                }
                if l.shared as usize > most {
                    return Err(CudaError::Run(RunError::Malformed {
                        program: self.program.name.clone(),
                        place: self.device_program.functions[l.function as usize].name.clone(),
                        defect: Defect::Size { what: "shared memory", value: l.shared.into() },
                    }));
                }
                let loaded = &self.functions[l.function as usize];
                self.modules[loaded.module].allow_shared(&loaded.function, most as i32)?;
            }
        }
        Ok(())
    }

    fn check_inputs(&self, bound: &DeviceBound, inputs: &[DeviceBuffer]) -> Result<(), CudaError> {
        let program = || self.program.name.clone();
        let expected = bound.host.inputs.len();
        if inputs.len() != expected {
            return Err(RunError::InputCount { program: program(), expected, given: inputs.len() }.into());
        }
        for (input, (buffer, &expected)) in inputs.iter().zip(&bound.host.inputs).enumerate() {
            if !buffer.device().is(&self.device) {
                return Err(CudaError::WrongDevice {
                    expected: self.device.ordinal(),
                    found: buffer.device().ordinal(),
                });
            }
            if buffer.len() != expected {
                return Err(
                    RunError::InputSize { program: program(), input, expected, given: buffer.len() }.into()
                );
            }
        }
        Ok(())
    }

    /// Takes the memory that a run needs beside inputs and outputs.
    fn place(
        &self,
        bound: &DeviceBound,
        inputs: &[DeviceBuffer],
        fresh: &[DeviceBuffer],
    ) -> Result<(Places, Temporary), CudaError> {
        let device = &self.device;
        let faults = match bound.faulting.len() {
            0 => None,
            n => Some(DeviceBuffer::new(device, n * FAULT_BYTES)?),
        };
        let at = |place: &Placed, arena: Address| match *place {
            Placed::Input(i) => inputs[i as usize].address(),
            Placed::Fresh(i) => fresh[i as usize].address(),
            Placed::Arena(offset) => arena + offset as Address,
        };
        let (buffers, scratch, blocks);
        if device.is_caching() {
            let arena = DeviceBuffer::new(device, bound.arena)?;
            buffers = bound.host.places.iter().map(|p| at(p, arena.address())).collect();
            scratch = bound.scratch.iter().map(|&(offset, _)| arena.address() + offset as Address).collect();
            blocks = vec![arena];
        } else {
            (buffers, scratch, blocks) = self.place_apart(bound, &|place| at(place, 0))?;
        }
        let faults_at = faults.as_ref().map_or(0, DeviceBuffer::address);
        Ok((Places { buffers, scratch, faults: faults_at }, Temporary { _blocks: blocks, faults }))
    }

    /// Gives every buffer of the arena, and all scratch, an allocation of its own. Buffers that share
    /// memory by name ([`ttk_ir::program::Placement::Reuse`]) still do.
    #[expect(clippy::type_complexity, reason = "three lists that belong together nowhere else")]
    fn place_apart(
        &self,
        bound: &DeviceBound,
        elsewhere: &dyn Fn(&Placed) -> Address,
    ) -> Result<(Vec<Address>, Vec<Address>, Vec<DeviceBuffer>), CudaError> {
        let mut blocks = Vec::new();
        let mut make = |bytes: usize| -> Result<Address, CudaError> {
            let new = DeviceBuffer::new(&self.device, bytes)?;
            blocks.push(new.clone());
            Ok(new.address())
        };
        let roots = host::roots(&self.program);
        let mut buffers: Vec<Address> = Vec::with_capacity(roots.len());
        let mut of_root = vec![0; roots.len()];
        for (place, &root) in bound.host.places.iter().zip(&roots) {
            buffers.push(match place {
                Placed::Arena(_) => {
                    if of_root[root] == 0 {
                        let b = &self.program.buffers[root];
                        let bytes = b.len.eval_symbols(&bound.host.symbols).max(0) as usize * b.dtype.size();
                        of_root[root] = make(bytes)?;
                    }
                    of_root[root]
                }
                other => elsewhere(other),
            });
        }
        let scratch = bound.scratch.iter().map(|&(_, size)| make(size)).collect::<Result<_, _>>()?;
        Ok((buffers, scratch, blocks))
    }

    /// Gives all steps to a stream; waits for each of them if their times are asked for.
    fn issue(
        &self,
        bound: &DeviceBound,
        places: &Places,
        stream: &Stream,
        mut times: Option<&mut Vec<Duration>>,
    ) -> Result<(), CudaError> {
        if !bound.faulting.is_empty() {
            stream.fill_zero(places.faults, bound.faulting.len() * FAULT_BYTES)?;
        }
        if times.is_some() {
            stream.synchronize("waiting for earlier work")?;
        }
        for (i, work) in bound.steps.iter().enumerate() {
            let start = times.as_ref().map(|_| Instant::now());
            match work {
                StepWork::Launch(operations) => {
                    operations.iter().try_for_each(|o| self.operation(o, places, stream))?
                }
                StepWork::Copy { from, to, bytes } => {
                    let (from, to) = (places.buffers[from.0 as usize], places.buffers[to.0 as usize]);
                    if *bytes > 0 && from != to {
                        stream.copy(from, to, *bytes)?;
                    }
                }
                StepWork::Host => {
                    let Some(step) = &self.host[i] else { continue };
                    step.run(&self.device, &bound.host.symbols, &places.buffers)?;
                }
            }
            if let (Some(times), Some(start)) = (&mut times, start) {
                stream.synchronize("timing a step")?;
                times.push(start.elapsed());
            }
        }
        Ok(())
    }

    fn operation(&self, o: &Operation, places: &Places, stream: &Stream) -> Result<(), CudaError> {
        match o {
            Operation::Launch(l) => self.launch(l, places, stream),
            Operation::Call(call) => {
                call.run(places, stream)?;
                if self.device.is_blocking() {
                    stream.synchronize(&format!("running {}", call.library))?;
                }
                Ok(())
            }
        }
    }

    fn launch(&self, l: &LaunchWork, places: &Places, stream: &Stream) -> Result<(), CudaError> {
        if l.grid.contains(&0) {
            return Ok(());
        }
        let mut parameters: Vec<u64> = l.arguments.iter().map(|a| places.value(*a)).collect();
        let function = &self.functions[l.function as usize].function;
        // SAFETY: promised to `new`; the buffers' sizes were checked when the program was bound.
        unsafe { stream.launch(function, l.grid, l.block, l.shared, &mut parameters) }?;
        if self.device.is_blocking() {
            stream.synchronize(&format!("running {}", function.name()))?;
        }
        Ok(())
    }

    /// Reads what the steps say of indices; the first that met one out of range makes the error.
    fn check_faults(&self, bound: &DeviceBound, faults: &DeviceBuffer) -> Result<(), CudaError> {
        let words = faults.to_buffer()?.to_vec::<i64>();
        let first = words.chunks_exact(FAULT_BYTES / 8).position(|w| w[0] != 0);
        let Some(first) = first else { return Ok(()) };
        let step = &self.program.steps[bound.faulting[first] as usize];
        let name = step.action.name(&self.program.kernels).to_owned();
        let error =
            RunError::IndexOutOfRange { step: name, file: step.loc.file.to_string(), line: step.loc.line };
        Err(error.into())
    }
}

const _: () = assert!(ALIGNMENT.is_multiple_of(crate::memory::ALIGNMENT));

impl Drop for CudaPlan {
    fn drop(&mut self) {
        // The module must stay until its functions have run.
        if let Err(error) = self.device.synchronize() {
            self.device.keep(error);
        }
    }
}

impl fmt::Debug for CudaPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaPlan")
            .field("name", &self.program.name)
            .field("steps", &self.program.steps.len())
            .field("device", &self.device)
            .finish()
    }
}
