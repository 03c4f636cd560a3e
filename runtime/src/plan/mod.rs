//! A program and its machine code, prepared so that a run has nothing left to decide.

pub(crate) mod bind;
pub(crate) mod check;
mod gathered;
mod gemm;
mod pairs;
mod winograd;

pub(crate) use bind::{Bound, Call, Keep, Launch, Placed, Sort, TensorRef, Work};
pub(crate) use gathered::{GatheredWork, Place, Sums};
pub(crate) use gemm::{Block, GemmWork, PANEL_DEPTH, Route, Side, Source};
pub(crate) use winograd::{Cut, FilterSums, FiltersWork, TileAt, WinogradWork};

use crate::code::CodeModule;
use crate::custom::{self, CustomKernel};
use crate::error::{Defect, RunError};
use crate::execute;
use crate::memory::Buffer;
use crate::sync::{Counted, Lock};
use std::fmt;
use std::time::Duration;
use ttk_ir::program::{Action, Program};

/// A compiled program, ready to run any number of times, from any number of threads.
///
/// Whatever depends only on the sizes is worked out on the first run with those sizes and kept (for the
/// most recent ones). After that a run takes an arena, if there is something to put there, and the outputs from
/// the caching allocator, and allocates nothing else.
pub struct Plan {
    program: Program,
    code: CodeModule,
    customs: Vec<Option<CustomKernel>>,
    ready: Lock<Ready>,
}

/// What runs left for others.
#[derive(Default)]
struct Ready {
    /// The most recently used first.
    bound: Vec<Counted<Bound>>,
    states: Vec<execute::State>,
}

/// For how many combinations of sizes a plan keeps what it worked out.
const KEPT: usize = 64;

impl Plan {
    /// Checks the program and ties it to its code.
    ///
    /// # Safety
    /// `code` must hold the compiled form of `program.kernels`, in that order.
    ///
    /// # Errors
    /// [`RunError::Malformed`] when the program contradicts itself, [`RunError::UnknownCustom`] when it
    /// asks for a kernel that is not registered.
    pub unsafe fn new(program: Program, code: CodeModule) -> Result<Plan, RunError> {
        check::program(&program)?;
        if code.len() != program.kernels.len() {
            return Err(RunError::Malformed {
                program: program.name.clone(),
                place: "code".into(),
                defect: Defect::Count {
                    what: "compiled kernels",
                    expected: program.kernels.len(),
                    given: code.len(),
                },
            });
        }
        let customs = program
            .steps
            .iter()
            .map(|step| match &step.action {
                Action::Custom { name, .. } => {
                    let found = custom::find(name);
                    found.map(Some).ok_or_else(|| RunError::UnknownCustom { name: name.clone() })
                }
                Action::Launch { .. } | Action::Gemm(_) | Action::Argsort(_) => Ok(None),
                Action::RandomBits { .. } | Action::Copy { .. } => Ok(None),
            })
            .collect::<Result<_, _>>()?;
        Ok(Plan { program, code, customs, ready: Lock::default() })
    }

    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Runs the program and gives its outputs.
    ///
    /// Inputs that the program overwrites (its passes decided so) are overwritten in place when the
    /// buffer given is [exclusive](Buffer::is_exclusive), that is, when the caller moved its only handle
    /// here; otherwise a copy is overwritten and the caller's memory stays as it is.
    ///
    /// # Errors
    /// Wrong number or sizes of inputs, exhausted memory, an index out of range. Inputs that were given
    /// away are lost then.
    pub fn run(&self, mut inputs: Vec<Buffer>, symbols: &[i64]) -> Result<Vec<Buffer>, RunError> {
        self.run_with(&mut inputs, symbols)
    }

    /// [`Plan::run`] on inputs that stay the caller's, so that they are not lost by an error.
    ///
    /// # Errors
    /// As [`Plan::run`]. A step that fails keeps later ones from running; what was overwritten by
    /// earlier ones stays so.
    pub fn run_with(&self, inputs: &mut [Buffer], symbols: &[i64]) -> Result<Vec<Buffer>, RunError> {
        self.run_timed(inputs, symbols, None)
    }

    /// [`Plan::run_with`]; the time that each step took is added to `times`.
    ///
    /// # Errors
    /// As [`Plan::run_with`].
    pub fn run_timed(
        &self,
        inputs: &mut [Buffer],
        symbols: &[i64],
        times: Option<&mut Vec<Duration>>,
    ) -> Result<Vec<Buffer>, RunError> {
        let (bound, state) = self.prepare(symbols)?;
        if inputs.len() != bound.inputs.len() {
            return Err(RunError::InputCount {
                program: self.program.name.clone(),
                expected: bound.inputs.len(),
                given: inputs.len(),
            });
        }
        for (i, (buffer, &expected)) in inputs.iter().zip(&bound.inputs).enumerate() {
            if buffer.len() != expected {
                return Err(RunError::InputSize {
                    program: self.program.name.clone(),
                    input: i,
                    expected,
                    given: buffer.len(),
                });
            }
        }
        let mut state = state.unwrap_or_default();
        let outputs = execute::run(self, &bound, inputs, &mut state, times);
        self.ready.lock().states.push(state);
        outputs
    }

    /// How each step is computed for these sizes, where that is not as the program says: by which algorithm.
    ///
    /// # Errors
    /// As [`Plan::run`], of sizes.
    pub fn algorithms(&self, symbols: &[i64]) -> Result<Vec<Option<&'static str>>, RunError> {
        let (bound, state) = self.prepare(symbols)?;
        self.ready.lock().states.extend(state);
        Ok(bound.steps.iter().map(Work::algorithm).collect())
    }

    pub(crate) fn code(&self) -> &CodeModule {
        &self.code
    }

    pub(crate) fn custom(&self, step: usize) -> Option<&CustomKernel> {
        self.customs[step].as_ref()
    }

    /// Everything worked out for these sizes, found or made, and what an earlier run left for this one.
    fn prepare(&self, symbols: &[i64]) -> Result<(Counted<Bound>, Option<execute::State>), RunError> {
        {
            let Ready { bound, states } = &mut *self.ready.lock();
            // A comparison of nothing is asked first: with AVX-512 it reads where nothing is, under a mask, which is slow.
            let same = |b: &Counted<Bound>| {
                b.symbols.len() == symbols.len() && (symbols.is_empty() || *b.symbols == *symbols)
            };
            if let Some(at) = bound.iter().position(same) {
                if at > 0 {
                    bound[..=at].rotate_right(1);
                }
                return Ok((bound[0].clone(), states.pop()));
            }
        }
        if symbols.len() != self.program.symbols.len() {
            return Err(RunError::SymbolCount {
                program: self.program.name.clone(),
                expected: self.program.symbols.len(),
                given: symbols.len(),
            });
        }
        if let Some((symbol, &value)) = self.program.symbols.iter().zip(symbols).find(|&(_, &v)| v < 1) {
            return Err(RunError::SymbolValue { name: symbol.name.clone(), value });
        }
        let new = Counted::new(bind::bind(&self.program, symbols)?);
        let Ready { bound, states } = &mut *self.ready.lock();
        bound.truncate(KEPT - 1);
        bound.insert(0, new.clone());
        Ok((new, states.pop()))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("name", &self.program.name)
            .field("steps", &self.program.steps.len())
            .field("code", &self.code)
            .finish()
    }
}
