//! Running a plan.

pub(crate) mod argsort;
mod gathered;
mod gemm;
pub(crate) mod multiply;
pub(crate) mod product;
pub(crate) mod recurrent;
mod winograd;

use crate::custom::{CustomInput, CustomOutput};
use crate::error::RunError;
use crate::memory::{ALIGNMENT, Buffer, Form};
use crate::plan::{Bound, Call, Keep, Launch, Place, Placed, Plan, TensorRef, Work};
use crate::random;
use crate::threads::{self, Sharing};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use ttk_ir::program::Action;

/// What a run needs besides memory for tensors; kept by the plan between runs.
#[derive(Default)]
pub(crate) struct State {
    /// The start of each buffer, and of the buffer of each argument of each call.
    pointers: Vec<*mut u8>,
    arguments: Vec<*mut u8>,
}

// SAFETY: between runs the pointers are stale and never followed.
unsafe impl Send for State {}

/// What the steps of one run share.
pub(crate) struct Context<'a> {
    plan: &'a Plan,
    bound: &'a Bound,
    inputs: &'a [Buffer],
    pointers: &'a [*mut u8],
    arguments: &'a [*mut u8],
    /// `slots` areas of `bound.scratch` bytes, then the shared area.
    scratch: *mut u8,
    shared: *mut u8,
    slots: usize,
    errors: ErrorWord,
}

// SAFETY: the pointers are to memory that this run alone uses; which thread touches which part of it is
// what the program's steps and their cut into chunks say, and steps do not overlap.
unsafe impl Sync for Context<'_> {}

/// Where kernels report an index out of range; any of them may store, none reads.
#[derive(Default)]
struct ErrorWord(UnsafeCell<u32>);

impl ErrorWord {
    fn get(&self) -> *mut u32 {
        self.0.get()
    }

    fn is_set(&self) -> bool {
        // SAFETY: the word is aligned and lives as long as `self`; no Rust code writes to it.
        unsafe { AtomicU32::from_ptr(self.0.get()) }.load(Ordering::Relaxed) != 0
    }
}

/// Runs all steps. Inputs have been checked against `bound`.
///
/// # Errors
/// As [`Plan::run`].
pub(crate) fn run(
    plan: &Plan,
    bound: &Bound,
    inputs: &mut [Buffer],
    state: &mut State,
    mut times: Option<&mut Vec<Duration>>,
) -> Result<Vec<Buffer>, RunError> {
    for &i in &bound.overwritten {
        let input = &mut inputs[i as usize];
        if !input.is_exclusive() {
            *input = input.duplicate()?;
        }
        input.changes();
    }
    let fresh = bound.fresh.iter().map(|&bytes| Buffer::new(bytes)).collect::<Result<Vec<_>, _>>()?;
    let slots = threads::num_threads();
    let scratch_at = bound.arena.next_multiple_of(ALIGNMENT);
    let shared_at = scratch_at + bound.scratch * slots;
    let bytes = shared_at + bound.shared;
    let arena = if bytes > 0 { Some(Buffer::new(bytes)?) } else { None };
    // An arena without bytes is nowhere, and all offsets in it are 0.
    let start = arena.as_ref().map_or(std::ptr::without_provenance_mut(ALIGNMENT), Buffer::as_ptr);

    state.pointers.clear();
    state.pointers.extend(bound.places.iter().map(|place| match *place {
        Placed::Input(i) => inputs[i as usize].as_ptr(),
        Placed::Fresh(i) => fresh[i as usize].as_ptr(),
        // SAFETY: offsets were checked against the arena's size.
        Placed::Arena(offset) => unsafe { start.add(offset) },
    }));
    state.arguments.clear();
    let State { pointers, arguments } = state;
    arguments.extend(bound.arguments.iter().map(|id| pointers[id.0 as usize]));

    let context = Context {
        plan,
        bound,
        inputs,
        pointers,
        arguments,
        // SAFETY: the arena was made large enough for both; where it has no bytes, neither has.
        scratch: unsafe { start.add(scratch_at) },
        // SAFETY: as above.
        shared: unsafe { start.add(shared_at) },
        slots,
        errors: ErrorWord::default(),
    };
    for (i, work) in bound.steps.iter().enumerate() {
        let start = times.as_ref().map(|_| Instant::now());
        context.step(i, work)?;
        if let (Some(times), Some(start)) = (&mut times, start) {
            times.push(start.elapsed());
        }
    }
    if bound.gives_fresh {
        return Ok(fresh);
    }
    let give = |place: &Placed| match *place {
        Placed::Input(i) => inputs[i as usize].clone(),
        Placed::Fresh(i) => fresh[i as usize].clone(),
        Placed::Arena(_) => unreachable!("checked when the program was bound"),
    };
    Ok(bound.outputs.iter().map(give).collect())
}

impl Context<'_> {
    fn step(&self, index: usize, work: &Work) -> Result<(), RunError> {
        match work {
            Work::Nothing => {}
            Work::Launch(launch) => self.launch(launch),
            Work::Gemm(gemm) => gemm::run(self, gemm),
            Work::Gathered(product) => gathered::run(self, product),
            Work::Winograd(product) => winograd::run(self, product),
            Work::WinogradFilters(product) => winograd::filters::run(self, product),
            Work::Argsort(sort) => {
                let (from, to) = (self.pointer(sort.input), self.pointer(sort.output));
                // SAFETY: the buffers hold that many elements, and scratch was reserved for the sort.
                unsafe { argsort::run(self, sort, from, to.cast()) };
            }
            Work::Random { stream, state, output, words } => {
                let mut numbers = [0i64; 3];
                // SAFETY: as many numbers of state as the stream has (checked when the plan was bound), which are
                // at most three, and `words` words of output; buffers of different types do not overlap while
                // both are alive.
                let words = unsafe {
                    let (from, to) = (self.pointer(*state).cast::<u8>(), numbers.as_mut_ptr().cast::<u8>());
                    std::ptr::copy_nonoverlapping(from, to, 8 * stream.state_len().min(3));
                    std::slice::from_raw_parts_mut(self.pointer(*output).cast::<u32>(), *words)
                };
                random::fill(*stream, numbers, words);
            }
            Work::Copy { from, to, bytes } => self.copy(self.pointer(*from), self.pointer(*to), *bytes),
            Work::Custom { inputs, output } => self.custom(index, inputs, output)?,
        }
        if self.errors.is_set() { Err(self.index_error(index)) } else { Ok(()) }
    }

    fn launch(&self, launch: &Launch) {
        let Launch { call, begin, end, chunk, sharing } = *launch;
        let chunks = (end - begin + chunk - 1) / chunk;
        self.each(sharing, chunks as usize, &|slot, i| {
            let from = begin + i as i64 * chunk;
            // SAFETY: the call's arguments were checked against its parameters; iterations of a parallel loop are independent.
            unsafe { self.call(&call, self.call_arguments(&call), from, (from + chunk).min(end), slot) };
        });
    }

    fn copy(&self, from: *const u8, to: *mut u8, bytes: usize) {
        const PIECE: usize = 256 << 10;
        if bytes <= 2 * PIECE {
            // SAFETY: both buffers are that long; they may be one, or overlap.
            unsafe { to.copy_from(from, bytes) };
            return;
        }
        if std::ptr::eq(from, to) {
            return;
        }
        let (from, to) = (from as usize, to as usize);
        self.each(Sharing::All, bytes.div_ceil(PIECE), &|_, i| {
            let at = i * PIECE;
            // SAFETY: pieces are disjoint parts of the two buffers, which are different memory.
            unsafe { ((to + at) as *mut u8).copy_from((from + at) as *const u8, PIECE.min(bytes - at)) };
        });
    }

    fn custom(&self, index: usize, inputs: &[TensorRef], output: &TensorRef) -> Result<(), RunError> {
        let Action::Custom { name, attributes, .. } = &self.plan.program().steps[index].action else {
            return Ok(());
        };
        let Some(kernel) = self.plan.custom(index) else {
            return Err(RunError::UnknownCustom { name: name.clone() });
        };
        let inputs: Vec<CustomInput<'_>> = inputs
            .iter()
            .map(|t| CustomInput {
                dtype: t.dtype,
                shape: &t.shape,
                // SAFETY: the buffer is that long, and nothing writes to it during this step.
                bytes: unsafe { std::slice::from_raw_parts(self.pointer(t.buffer), t.bytes) },
            })
            .collect();
        let output = CustomOutput {
            dtype: output.dtype,
            shape: &output.shape,
            // SAFETY: the buffer is that long, and an operand alive during this step is other memory.
            bytes: unsafe { std::slice::from_raw_parts_mut(self.pointer(output.buffer), output.bytes) },
        };
        kernel(attributes, &inputs, output).map_err(|reason| RunError::Custom { name: name.clone(), reason })
    }

    /// Runs tasks that do not depend on each other.
    fn each(&self, sharing: Sharing, tasks: usize, task: &threads::Work<'_>) {
        threads::share(sharing, self.slots, tasks, task);
    }

    /// An operand's packed form, where it is kept: `pack` makes it.
    fn kept(&self, keep: &Option<Keep>, pack: impl FnOnce(&Buffer)) -> Option<Buffer> {
        let keep = keep.as_ref()?;
        let input = &self.inputs[keep.input as usize];
        match input.form(&keep.key, keep.bytes) {
            Form::Made(form) => Some(form),
            Form::Wanted(form) => {
                pack(&form);
                input.keep(&keep.key, form.clone());
                Some(form)
            }
            Form::Unknown => None,
        }
    }

    /// Where the first item of a batch begins.
    fn start<T>(&self, place: &Place) -> *mut T {
        self.pointer(place.buffer).cast::<T>().wrapping_offset(place.offset as isize)
    }

    fn pointer(&self, id: ttk_ir::program::BufferId) -> *mut u8 {
        self.pointers[id.0 as usize]
    }

    /// A thread's scratch.
    fn scratch(&self, slot: usize) -> *mut u8 {
        // SAFETY: slots are below the number of threads the arena was made for.
        unsafe { self.scratch.add(slot * self.bound.scratch) }
    }

    fn call_arguments(&self, call: &Call) -> *const *mut u8 {
        self.arguments[call.arguments as usize..].as_ptr()
    }

    /// Runs iterations `begin..end` of a kernel.
    ///
    /// # Safety
    /// `arguments` must point to the memory of each of the kernel's parameters, and no other thread may
    /// run an iteration of the range or write what it reads.
    unsafe fn call(&self, call: &Call, arguments: *const *mut u8, begin: i64, end: i64, slot: usize) {
        let (entry, constants) = self.plan.code().kernel(call.kernel as usize);
        let symbols = self.bound.call_symbols[call.symbols as usize..].as_ptr();
        // SAFETY: the code is that of this kernel (promised to `Plan::new`), and it gets what it takes.
        unsafe {
            entry(arguments, symbols, begin, end, self.scratch(slot), constants, self.errors.get());
        }
    }

    fn index_error(&self, index: usize) -> RunError {
        let program = self.plan.program();
        let step = &program.steps[index];
        let name = step.action.name(&program.kernels).to_owned();
        RunError::IndexOutOfRange { step: name, file: step.loc.file.to_string(), line: step.loc.line }
    }
}
