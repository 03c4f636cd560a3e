//! Steps of a device's program that the host takes: their operands travel there and the result back.

use super::device::Device;
use super::driver::Address;
use super::error::CudaError;
use crate::code::CodeModule;
use crate::error::{Defect, RunError};
use crate::memory::Buffer;
use crate::plan::{Plan, check};
use ttk_ir::device::{DeviceProgram, DeviceStep};
use ttk_ir::op::RandomStream;
use ttk_ir::program::{Action, Argsort, BufferId, Output, Placement, Program, Step};
use ttk_ir::{DType, Dim, Expr, Type};

/// One step as a program of its own for the processor.
pub(super) struct HostStep {
    plan: Plan,
    inputs: Vec<BufferId>,
    output: BufferId,
}

/// The index of the buffer whose memory each one has in the end.
pub(super) fn roots(p: &Program) -> Vec<usize> {
    (0..p.buffers.len() as u32).map(|i| check::root(p, BufferId(i)).0 as usize).collect()
}

/// For each step of the program, its form for the processor if that is where it is taken.
///
/// # Errors
/// A step that cannot be taken there: a kernel, or a product of matrices.
pub(super) fn steps(p: &Program, d: &DeviceProgram) -> Result<Vec<Option<HostStep>>, CudaError> {
    let make = |(i, (step, on)): (usize, (&Step, &DeviceStep))| match on {
        DeviceStep::Host => host_step(p, i, step).map(Some),
        DeviceStep::Launch(_) | DeviceStep::Copy { .. } => Ok(None),
    };
    p.steps.iter().zip(&d.steps).enumerate().map(make).collect()
}

fn dense(dtype: DType, len: Expr) -> Type {
    Type::new(dtype, vec![Dim::from_expr(len)])
}

fn host_step(p: &Program, index: usize, step: &Step) -> Result<HostStep, CudaError> {
    let whole = |id: BufferId| {
        let b = &p.buffers[id.0 as usize];
        dense(b.dtype, b.len.clone())
    };
    // Operands are numbered anew: inputs first, then the output.
    let new = BufferId;
    let (inputs, output, action): (Vec<(BufferId, Type)>, (BufferId, Type), Action) = match &step.action {
        Action::Custom { name, attributes, inputs, output } => {
            let renamed = inputs.iter().enumerate().map(|(i, (_, ty))| (new(i as u32), ty.clone())).collect();
            let action = Action::Custom {
                name: name.clone(),
                attributes: attributes.clone(),
                inputs: renamed,
                output: (new(inputs.len() as u32), output.1.clone()),
            };
            (inputs.clone(), output.clone(), action)
        }
        Action::RandomBits { stream, state, output } => {
            let stream: RandomStream = *stream;
            let action = Action::RandomBits { stream, state: new(0), output: new(1) };
            (vec![(*state, whole(*state))], (*output, whole(*output)), action)
        }
        Action::Argsort(s) => {
            let action =
                Action::Argsort(Box::new(Argsort { input: new(0), output: new(1), ..(**s).clone() }));
            (vec![(s.input, whole(s.input))], (s.output, whole(s.output)), action)
        }
        Action::Launch { .. } | Action::Gemm(_) | Action::Copy { .. } => {
            return Err(CudaError::Run(RunError::Malformed {
                program: p.name.clone(),
                place: format!("step {index} of the device"),
                defect: Defect::NoSuch { what: "form for the host of step", index: index as u32 },
            }));
        }
    };
    let buffer = |ty: &Type, placement| ttk_ir::program::Buffer {
        dtype: ty.dtype,
        len: ty.shape.iter().fold(Expr::constant(1), |n, d| n.mul(&d.expr())),
        placement,
    };
    let mut buffers: Vec<_> =
        inputs.iter().enumerate().map(|(i, (_, ty))| buffer(ty, Placement::Input(i as u32))).collect();
    buffers.push(buffer(&output.1, Placement::Output));
    let single = Program {
        name: p.name.clone(),
        symbols: p.symbols.clone(),
        inputs: inputs.iter().map(|(_, ty)| ty.clone()).collect(),
        outputs: vec![Output { ty: output.1.clone(), buffer: new(inputs.len() as u32) }],
        buffers,
        arena: Expr::default(),
        kernels: Vec::new(),
        steps: vec![Step { action, loc: step.loc.clone() }],
    };
    // SAFETY: there is no kernel whose code could be another.
    let plan = unsafe { Plan::new(single, CodeModule::new(&p.name, &[])?) }?;
    Ok(HostStep { plan, inputs: inputs.into_iter().map(|(id, _)| id).collect(), output: output.0 })
}

impl HostStep {
    /// Takes the step: waits for its operands, and gives the result to the device's stream.
    ///
    /// # Errors
    /// Those of the step, and of the copies.
    pub(super) fn run(&self, device: &Device, symbols: &[i64], buffers: &[Address]) -> Result<(), CudaError> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (id, ty) in self.inputs.iter().zip(&self.plan.program().inputs) {
            let elements: i64 = ty.shape.iter().map(|d| d.eval(symbols)).product();
            let mut buffer = Buffer::new(elements.max(0) as usize * ty.dtype.size())?;
            if let Some(bytes) = buffer.bytes_mut() {
                device.download(buffers[id.0 as usize], bytes, "copying an operand to the host")?;
            }
            inputs.push(buffer);
        }
        let outputs = self.plan.run(inputs, symbols)?;
        device.upload(outputs[0].bytes(), buffers[self.output.0 as usize])
    }
}
