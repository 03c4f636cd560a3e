//! The program verifier: that steps fit their kernels and buffers their memory.

use super::{Action, BufferId, Gemm, Matrix, Operand, Placement, Program};
use crate::dtype::DType;
use crate::expr::range::{Ranges, prove_nonneg};
use crate::expr::{Atom, Expr};
use crate::kernel::verify::{KernelFault, verify as verify_kernel};
use crate::kernel::{Access, Kernel};
use thiserror::Error;

/// A rule that a program breaks. This is a defect of the compiler.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ProgramFault {
    #[error(transparent)]
    Kernel(#[from] KernelFault),
    #[error("{place}: there is no {what} {id}")]
    Missing { place: String, what: &'static str, id: u32 },
    #[error("buffer {buffer}: {rule}")]
    Buffer { buffer: u32, rule: &'static str },
    #[error("{place}: kernel {kernel} takes {expected} {what}, got {got}")]
    Count { place: String, kernel: String, what: &'static str, expected: usize, got: usize },
    #[error("{place}: {name} of kernel {kernel} is {expected}, got {got}")]
    Argument { place: String, kernel: String, name: String, expected: String, got: String },
    #[error("{place}: buffers {a} and {b} are the same memory, but kernel {kernel} does not allow it")]
    Alias { place: String, kernel: String, a: u32, b: u32 },
    #[error("{place}: buffer {buffer} has type {got}, expected {expected}")]
    Type { place: String, buffer: u32, expected: DType, got: DType },
    #[error("{place}: buffer {buffer} is an input, but is written")]
    InputWritten { place: String, buffer: u32 },
    #[error("{place}: {kernel} is launched for parts of a range, but its body is no parallel loop")]
    NoParallelLoop { place: String, kernel: String },
}

/// Checks every kernel, that buffers lie in their memory, and that each step passes what its kernel takes.
///
/// # Errors
/// The first rule that is broken.
pub fn verify(program: &Program) -> Result<(), ProgramFault> {
    for kernel in &program.kernels {
        verify_kernel(kernel)?;
    }
    for id in 0..program.buffers.len() as u32 {
        verify_buffer(program, id)?;
    }
    for (i, output) in program.outputs.iter().enumerate() {
        let place = format!("output {i}");
        let buffer = find(program, output.buffer, &place)?;
        check_type(&place, output.buffer, output.ty.dtype, buffer.dtype)?;
        if output.ty.numel().expr() != buffer.len {
            return Err(ProgramFault::Buffer {
                buffer: output.buffer.0,
                rule: "an output has its type's size",
            });
        }
    }
    for (i, step) in program.steps.iter().enumerate() {
        Verifier { program, place: format!("step {i}") }.action(&step.action)?;
    }
    Ok(())
}

fn find<'a>(program: &'a Program, id: BufferId, place: &str) -> Result<&'a super::Buffer, ProgramFault> {
    let missing = || ProgramFault::Missing { place: place.to_string(), what: "buffer", id: id.0 };
    program.buffers.get(id.0 as usize).ok_or_else(missing)
}

fn check_type(place: &str, buffer: BufferId, expected: DType, got: DType) -> Result<(), ProgramFault> {
    if expected == got {
        return Ok(());
    }
    Err(ProgramFault::Type { place: place.to_string(), buffer: buffer.0, expected, got })
}

fn verify_buffer(program: &Program, id: u32) -> Result<(), ProgramFault> {
    let buffer = &program.buffers[id as usize];
    let rule = |ok: bool, rule: &'static str| {
        if ok { Ok(()) } else { Err(ProgramFault::Buffer { buffer: id, rule }) }
    };
    let bytes = buffer.len.scale(buffer.dtype.size() as i64);
    let ranges = Ranges::new();
    match &buffer.placement {
        Placement::Input(i) => {
            let input = program.inputs.get(*i as usize);
            let fits = |t: &crate::Type| t.dtype == buffer.dtype && t.numel().expr() == buffer.len;
            rule(input.is_some_and(fits), "an input buffer has its input's type and size")
        }
        Placement::Output => Ok(()),
        Placement::Arena { offset } => {
            rule(offset.modulo(&Expr::constant(64)).is_zero(), "offsets are multiples of 64")?;
            let end = offset.add(&bytes);
            let inside = prove_nonneg(offset, &ranges) && prove_nonneg(&program.arena.sub(&end), &ranges);
            rule(inside, "it lies inside the arena")
        }
        Placement::Reuse(other) => {
            rule(other.0 < id, "reused buffers come before")?;
            let whole = &program.buffers[other.0 as usize];
            let room = whole.len.scale(whole.dtype.size() as i64);
            rule(prove_nonneg(&room.sub(&bytes), &ranges), "a reused buffer is large enough")
        }
    }
}

struct Verifier<'a> {
    program: &'a Program,
    place: String,
}

impl Verifier<'_> {
    fn action(&self, action: &Action) -> Result<(), ProgramFault> {
        match action {
            Action::Launch { kernel, buffers, symbols, work: _ } => {
                self.call(*kernel, None, buffers, symbols).map(|_| ())
            }
            Action::Gemm(gemm) => self.gemm(gemm),
            Action::Argsort(sort) => {
                let len = sort.outer.mul(&sort.len).mul(&sort.inner);
                let input = find(self.program, sort.input, &self.place)?;
                self.typed(sort.output, DType::I64)?;
                self.written(sort.output)?;
                let sizes = input.len == len && find(self.program, sort.output, &self.place)?.len == len;
                self.same_size(sizes, sort.output)
            }
            Action::RandomBits { stream: _, state, output } => {
                self.typed(*state, DType::I64)?;
                self.typed(*output, DType::I32)?;
                self.written(*output)
            }
            Action::Copy { input, output } => {
                let from = find(self.program, *input, &self.place)?;
                let to = find(self.program, *output, &self.place)?;
                self.typed(*output, from.dtype)?;
                self.written(*output)?;
                self.same_size(from.len == to.len, *output)
            }
            Action::Custom { name: _, attributes: _, inputs, output } => {
                for (id, ty) in inputs.iter().chain([output]) {
                    self.typed(*id, ty.dtype)?;
                    let size = find(self.program, *id, &self.place)?.len == ty.numel().expr();
                    self.same_size(size, *id)?;
                }
                self.written(output.0)
            }
        }
    }

    fn gemm(&self, gemm: &Gemm) -> Result<(), ProgramFault> {
        let matrix = |m: &Matrix| self.typed(m.buffer, gemm.dtype);
        for operand in [&gemm.a, &gemm.b] {
            match operand {
                Operand::Strided(m) => matrix(m)?,
                Operand::Packed { kernel, buffers, symbols, len, .. } => {
                    let found = self.call(*kernel, Some((gemm.dtype, len)), buffers, symbols)?;
                    self.parallel(found)?;
                }
            }
        }
        matrix(&gemm.c)?;
        self.written(gemm.c.buffer)?;
        if let Some(epilogue) = &gemm.epilogue {
            let c = find(self.program, gemm.c.buffer, &self.place)?;
            let first = Some((gemm.dtype, &c.len));
            let found = self.call(epilogue.kernel, first, &epilogue.buffers, &epilogue.symbols)?;
            self.parallel(found)?;
        }
        Ok(())
    }

    /// A call of a kernel whose parameter 0 is `first`, if there is one, and the others are `buffers`.
    fn call(
        &self,
        kernel: u32,
        first: Option<(DType, &Expr)>,
        buffers: &[BufferId],
        symbols: &[Expr],
    ) -> Result<&Kernel, ProgramFault> {
        let place = || self.place.clone();
        let missing = || ProgramFault::Missing { place: place(), what: "kernel", id: kernel };
        let kernel = self.program.kernels.get(kernel as usize).ok_or_else(missing)?;
        let count = |what, expected, got| {
            let kernel = kernel.name.clone();
            if expected == got {
                Ok(())
            } else {
                Err(ProgramFault::Count { place: place(), kernel, what, expected, got })
            }
        };
        let lead = first.is_some() as usize;
        count("buffers", kernel.params.len(), buffers.len() + lead)?;
        count("symbols", kernel.n_symbols as usize, symbols.len())?;

        let mut args: Vec<(DType, Expr)> =
            first.into_iter().map(|(dtype, len)| (dtype, len.clone())).collect();
        for &id in buffers {
            let buffer = find(self.program, id, &self.place)?;
            args.push((buffer.dtype, buffer.len.clone()));
        }
        for (param, (dtype, len)) in kernel.params.iter().zip(args) {
            let wanted = param.len.substitute(&mut |atom| match atom {
                Atom::Symbol(s) => symbols.get(*s as usize).cloned(),
                Atom::Var(_) | Atom::Value(_) => None,
                Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => None,
            });
            let room = wanted == len || len.sub(&wanted).as_const().is_some_and(|more| more > 0);
            if param.dtype != dtype || !room {
                return Err(ProgramFault::Argument {
                    place: place(),
                    kernel: kernel.name.clone(),
                    name: param.name.clone(),
                    expected: format!("{}[{wanted}]", param.dtype),
                    got: format!("{dtype}[{len}]"),
                });
            }
        }
        self.aliases(kernel, lead, buffers)?;
        Ok(kernel)
    }

    /// Written buffers are their parameter's alone, but for the pairs that the kernel names.
    fn aliases(&self, kernel: &Kernel, lead: usize, buffers: &[BufferId]) -> Result<(), ProgramFault> {
        for (i, &a) in buffers.iter().enumerate() {
            if kernel.params[i + lead].access == Access::Read {
                continue;
            }
            self.written(a)?;
            for (j, &b) in buffers.iter().enumerate() {
                let allowed = kernel.aliases.contains(&((j + lead) as u32, (i + lead) as u32));
                if i != j && !allowed && self.program.root(a) == self.program.root(b) {
                    let (place, kernel) = (self.place.clone(), kernel.name.clone());
                    return Err(ProgramFault::Alias { place, kernel, a: a.0, b: b.0 });
                }
            }
        }
        Ok(())
    }

    fn parallel(&self, kernel: &Kernel) -> Result<(), ProgramFault> {
        if kernel.parallel_loop().is_some() {
            return Ok(());
        }
        Err(ProgramFault::NoParallelLoop { place: self.place.clone(), kernel: kernel.name.clone() })
    }

    fn typed(&self, id: BufferId, expected: DType) -> Result<(), ProgramFault> {
        let got = find(self.program, id, &self.place)?.dtype;
        check_type(&self.place, id, expected, got)
    }

    /// Inputs are written only through a buffer that says that it reuses one.
    fn written(&self, id: BufferId) -> Result<(), ProgramFault> {
        match find(self.program, id, &self.place)?.placement {
            Placement::Input(_) => {
                Err(ProgramFault::InputWritten { place: self.place.clone(), buffer: id.0 })
            }
            Placement::Output | Placement::Arena { .. } | Placement::Reuse(_) => Ok(()),
        }
    }

    fn same_size(&self, ok: bool, id: BufferId) -> Result<(), ProgramFault> {
        if ok {
            return Ok(());
        }
        Err(ProgramFault::Buffer { buffer: id.0, rule: "its size is that of what is put there" })
    }
}
