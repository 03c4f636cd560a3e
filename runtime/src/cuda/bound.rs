//! A device's program for certain sizes: every grid and argument worked out.

use super::calls::CallWork;
use super::error::CudaError;
use crate::error::{Defect, RunError};
use crate::plan::bind::checked;
use crate::plan::{Bound, Work, bind};
use std::fmt::Write;
use ttk_ir::device::{Argument, DeviceProgram, DeviceStep, Launch};
use ttk_ir::program::{BufferId, Program};
use ttk_ir::{Atom, Expr};

/// Bytes of what a step says of an index out of range; see [`Argument::Fault`].
pub(super) const FAULT_BYTES: usize = 32;

/// Alignment in bytes of scratch and of the arena.
pub(super) const ALIGNMENT: usize = 256;

pub(super) struct DeviceBound {
    /// Where buffers are, and what each step of the program does.
    pub(super) host: Bound,
    /// Offsets of [`DeviceProgram::scratch`] behind the arena, each with its size.
    pub(super) scratch: Vec<(usize, usize)>,
    /// Bytes of the arena and of all scratch.
    pub(super) arena: usize,
    pub(super) steps: Vec<StepWork>,
    /// For each step that may meet an index out of range, its number.
    pub(super) faulting: Vec<u32>,
}

impl DeviceBound {
    /// How much a run gives to the stream: launches, copies and fills.
    pub(super) fn operations(&self) -> usize {
        let of = |step: &StepWork| match step {
            StepWork::Launch(operations) => operations.len(),
            StepWork::Copy { .. } | StepWork::Host => 1,
        };
        self.steps.iter().map(of).sum::<usize>() + usize::from(!self.faulting.is_empty())
    }
}

pub(super) enum StepWork {
    /// One after the other.
    Launch(Vec<Operation>),
    Copy {
        from: BufferId,
        to: BufferId,
        bytes: usize,
    },
    Host,
}

pub(super) enum Operation {
    Launch(LaunchWork),
    Call(Box<CallWork>),
}

#[derive(Debug)]
pub(super) struct LaunchWork {
    pub(super) function: u32,
    pub(super) grid: [u32; 3],
    pub(super) block: [u32; 3],
    pub(super) shared: u32,
    pub(super) arguments: Vec<Value>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Buffer(BufferId),
    Scratch(u32),
    Number(i64),
    /// An index into [`DeviceBound::faulting`].
    Fault(u32),
}

fn malformed(p: &Program, place: String, defect: Defect) -> CudaError {
    RunError::Malformed { program: p.name.clone(), place, defect }.into()
}

/// Checks what must hold whatever the sizes: numbers that refer to something, steps that agree.
///
/// # Errors
/// [`RunError::Malformed`].
pub(super) fn check(p: &Program, d: &DeviceProgram) -> Result<(), CudaError> {
    let count = |what, expected, given| Defect::Count { what, expected, given };
    if d.steps.len() != p.steps.len() {
        let defect = count("steps of the device", p.steps.len(), d.steps.len());
        return Err(malformed(p, "the device's program".into(), defect));
    }
    for (i, bytes) in d.scratch.iter().enumerate() {
        expression(p, "scratch", bytes).map_err(|e| malformed(p, format!("scratch {i}"), e))?;
    }
    for (i, step) in d.steps.iter().enumerate() {
        let place = || format!("step {i} of the device");
        match step {
            DeviceStep::Launch(launches) => {
                launches.iter().try_for_each(|l| launch(p, d, l)).map_err(|e| malformed(p, place(), e))?;
            }
            DeviceStep::Copy { input, output } => {
                [*input, *output]
                    .into_iter()
                    .try_for_each(|b| buffer(p, b))
                    .map_err(|e| malformed(p, place(), e))?;
            }
            DeviceStep::Host => {}
        }
    }
    for (i, a) in d.alternatives.iter().enumerate() {
        let mut result = Ok(());
        a.call.for_each_expr(&mut |e| {
            if result.is_ok() {
                result = expression(p, "a call of a library", e);
            }
        });
        result.map_err(|e| malformed(p, format!("alternative {i}"), e))?;
    }
    Ok(())
}

fn launch(p: &Program, d: &DeviceProgram, l: &Launch) -> Result<(), Defect> {
    if l.function as usize >= d.functions.len() {
        return Err(Defect::NoSuch { what: "function", index: l.function });
    }
    for e in &l.grid {
        expression(p, "a grid", e)?;
    }
    expression(p, "shared memory", &l.shared)?;
    for argument in &l.arguments {
        match argument {
            Argument::Buffer(id) => buffer(p, *id)?,
            Argument::Scratch(i) if *i as usize >= d.scratch.len() => {
                return Err(Defect::NoSuch { what: "scratch", index: *i });
            }
            Argument::Integer(e) => expression(p, "an argument", e)?,
            Argument::Scratch(_) | Argument::Fault => {}
        }
    }
    Ok(())
}

fn buffer(p: &Program, id: BufferId) -> Result<(), Defect> {
    let known = (id.0 as usize) < p.buffers.len();
    if known { Ok(()) } else { Err(Defect::NoSuch { what: "buffer", index: id.0 }) }
}

fn expression(p: &Program, what: &'static str, e: &Expr) -> Result<(), Defect> {
    let mut result = Ok(());
    e.for_each_leaf(&mut |leaf| match leaf {
        Atom::Symbol(s) if (*s as usize) < p.symbols.len() => {}
        Atom::Symbol(s) => result = Err(Defect::Symbol { what, symbol: *s }),
        _ => result = Err(Defect::LooseVariable),
    });
    result
}

/// Works everything out for the values of the symbols.
///
/// # Errors
/// [`RunError::Malformed`] for a size or an access that is not possible.
pub(super) fn bind_device(p: &Program, d: &DeviceProgram, symbols: &[i64]) -> Result<DeviceBound, CudaError> {
    let host = bind::bind(p, symbols)?;
    let mut place = String::new();
    let (mut scratch, mut end) = (Vec::new(), host.arena.next_multiple_of(ALIGNMENT));
    for (i, bytes) in d.scratch.iter().enumerate() {
        let size = checked("scratch", Some(bytes.eval_symbols(symbols)))
            .map_err(|e| malformed(p, format!("scratch {i}"), e))?;
        scratch.push((end, size));
        end = (end + size).next_multiple_of(ALIGNMENT);
    }
    let mut bound = DeviceBound { host, scratch, arena: end, steps: Vec::new(), faulting: Vec::new() };
    for (i, step) in d.steps.iter().enumerate() {
        place.clear();
        let _ = write!(place, "step {i} of the device");
        let work = step_work(&mut bound, d, i as u32, step, symbols);
        bound.steps.push(work.map_err(|e| malformed(p, place.clone(), e))?);
    }
    Ok(bound)
}

fn step_work(
    bound: &mut DeviceBound,
    d: &DeviceProgram,
    index: u32,
    step: &DeviceStep,
    symbols: &[i64],
) -> Result<StepWork, Defect> {
    Ok(match step {
        DeviceStep::Launch(launches) => {
            let mut fault = None;
            let mut out = Vec::with_capacity(launches.len());
            for l in launches {
                let mut grid = [0; 3];
                for (to, e) in grid.iter_mut().zip(&l.grid) {
                    *to = number("a grid", e.eval_symbols(symbols))?;
                }
                let arguments = l.arguments.iter().map(|a| match a {
                    Argument::Buffer(id) => Value::Buffer(*id),
                    Argument::Scratch(i) => Value::Scratch(*i),
                    Argument::Integer(e) => Value::Number(e.eval_symbols(symbols)),
                    Argument::Fault => Value::Fault(*fault.get_or_insert_with(|| {
                        bound.faulting.push(index);
                        bound.faulting.len() as u32 - 1
                    })),
                });
                out.push(Operation::Launch(LaunchWork {
                    function: l.function,
                    arguments: arguments.collect(),
                    grid,
                    block: d.functions[l.function as usize].block,
                    shared: number("shared memory", l.shared.eval_symbols(symbols))?,
                }));
            }
            StepWork::Launch(out)
        }
        DeviceStep::Copy { input, output } => match bound.host.steps[index as usize] {
            Work::Copy { bytes, .. } => StepWork::Copy { from: *input, to: *output, bytes },
            _ => return Err(Defect::NoSuch { what: "copy of the program, step", index }),
        },
        DeviceStep::Host => StepWork::Host,
    })
}

fn number(what: &'static str, value: i64) -> Result<u32, Defect> {
    i32::try_from(value).ok().and_then(|v| u32::try_from(v).ok()).ok_or(Defect::Size { what, value })
}
