//! Which launches of a program a library takes over, for certain sizes: its alternatives, tried in order.

use super::bound::{DeviceBound, Operation, StepWork, Value};
use super::convolution::ConvolutionCall;
use super::device::Device;
use super::driver::Stream;
use super::error::CudaError;
use super::plan::Places;
use super::product::ProductCall;
use ttk_ir::device::{Argument, DeviceProgram};
use ttk_ir::library::{Alternative, Call};
use ttk_ir::program::Program;
use ttk_ir::{DType, Expr};

/// A call of a library in place of launches.
pub(super) struct CallWork {
    call: Prepared,
    pub(super) library: &'static str,
}

enum Prepared {
    Product(ProductCall),
    Convolution(ConvolutionCall),
}

/// Puts calls in place of the launches for which a library is there that knows the shape.
pub(super) fn choose(device: &Device, p: &Program, d: &DeviceProgram, bound: &mut DeviceBound) {
    let mut done = vec![false; bound.steps.len()];
    for Alternative { step, launches, call } in &d.alternatives {
        let step = *step as usize;
        let Some(StepWork::Launch(operations)) = bound.steps.get(step) else { continue };
        if done[step] || launches.is_empty() || launches.end > operations.len() {
            continue;
        }
        // A step of launches that the call makes unnecessary.
        let second = match call {
            Call::Product(product) => product.second.map(|s| s as usize),
            Call::Convolution(_) => None,
        };
        let is_free =
            |s: usize| matches!(bound.steps.get(s), Some(StepWork::Launch(_))) && !done[s] && s != step;
        if second.is_some_and(|s| !is_free(s)) {
            continue;
        }
        let prepared = match call {
            Call::Product(product) => ProductCall::new(device, p, bound, product).map(Prepared::Product),
            Call::Convolution(c) => ConvolutionCall::new(device, p, bound, c).map(Prepared::Convolution),
        };
        let Some(prepared) = prepared else { continue };
        if let StepWork::Launch(operations) = &mut bound.steps[step] {
            let work = CallWork { call: prepared, library: call.library() };
            operations.splice(launches.clone(), [Operation::Call(Box::new(work))]);
            done[step] = true;
        }
        if let Some(second) = second {
            bound.steps[second] = StepWork::Launch(Vec::new());
            done[second] = true;
        }
    }
}

impl CallWork {
    pub(super) fn run(&self, places: &Places, stream: &Stream) -> Result<(), CudaError> {
        match &self.call {
            Prepared::Product(product) => product.run(places, stream),
            Prepared::Convolution(convolution) => convolution.run(places, stream),
        }
    }
}

/// The memory of an operand; `None` for an argument that is none.
pub(super) fn value(memory: &Argument) -> Option<Value> {
    match memory {
        Argument::Buffer(id) => Some(Value::Buffer(*id)),
        Argument::Scratch(i) => Some(Value::Scratch(*i)),
        Argument::Integer(_) | Argument::Fault => None,
    }
}

/// A program's memory for certain sizes.
pub(super) struct Memory<'a> {
    pub(super) program: &'a Program,
    pub(super) bound: &'a DeviceBound,
}

impl Memory<'_> {
    pub(super) fn number(&self, e: &Expr) -> i64 {
        e.eval_symbols(&self.bound.host.symbols)
    }

    /// How many elements of a type there are; `None` for memory that is none, or of another type.
    pub(super) fn elements(&self, memory: &Argument, dtype: DType) -> Option<i64> {
        match value(memory)? {
            Value::Buffer(id) => {
                let buffer = self.program.buffers.get(id.0 as usize).filter(|b| b.dtype == dtype)?;
                Some(self.number(&buffer.len))
            }
            Value::Scratch(i) => Some(self.bound.scratch.get(i as usize)?.1 as i64 / dtype.size() as i64),
            Value::Number(_) | Value::Fault(_) => None,
        }
    }
}
