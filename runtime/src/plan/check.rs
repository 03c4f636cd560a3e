//! What must hold of a program whatever the sizes: numbers that refer to something, types that agree,
//! memory that may be written. A program from a cache is checked like one from the passes.

use crate::error::{Defect, RunError};
use std::fmt::Write;
use ttk_ir::kernel::Access;
use ttk_ir::program::{Action, BufferId, Epilogue, Gemm, Matrix, Operand, Placement, Program};
use ttk_ir::{Atom, DType, Dim, Expr};

/// # Errors
/// [`RunError::Malformed`] with the first defect found.
pub(crate) fn program(p: &Program) -> Result<(), RunError> {
    let mut place = String::new();
    Checker { p }.all(&mut place).map_err(|defect| RunError::Malformed {
        program: p.name.clone(),
        place,
        defect,
    })
}

struct Checker<'a> {
    p: &'a Program,
}

impl Checker<'_> {
    fn all(&self, place: &mut String) -> Result<(), Defect> {
        let p = self.p;
        self.expr("the arena", &p.arena)?;
        for (i, buffer) in p.buffers.iter().enumerate() {
            place.clear();
            let _ = write!(place, "buffer {i}");
            self.expr("a length", &buffer.len)?;
            match &buffer.placement {
                Placement::Input(n) => {
                    let ty = p.inputs.get(*n as usize).ok_or(Defect::NoSuch { what: "input", index: *n })?;
                    self.dtype(BufferId(i as u32), ty.dtype)?;
                }
                Placement::Output => {}
                Placement::Arena { offset } => self.expr("an arena offset", offset)?,
                Placement::Reuse(_) => self.reuse(BufferId(i as u32))?,
            }
        }
        for (i, ty) in p.inputs.iter().enumerate() {
            place.clear();
            let _ = write!(place, "input {i}");
            ty.shape.iter().try_for_each(|d| self.dim("an input", d))?;
        }
        for (i, output) in p.outputs.iter().enumerate() {
            place.clear();
            let _ = write!(place, "output {i}");
            output.ty.shape.iter().try_for_each(|d| self.dim("an output", d))?;
            self.dtype(output.buffer, output.ty.dtype)?;
            match &p.buffers[p.root(output.buffer).0 as usize].placement {
                Placement::Input(_) | Placement::Output => {}
                Placement::Arena { .. } | Placement::Reuse(_) => {
                    return Err(Defect::Output { output: i as u32 });
                }
            }
        }
        for (i, step) in p.steps.iter().enumerate() {
            place.clear();
            let _ = write!(place, "step {i}");
            self.action(&step.action)?;
        }
        Ok(())
    }

    fn action(&self, action: &Action) -> Result<(), Defect> {
        match action {
            Action::Launch { kernel, buffers, symbols, work } => {
                self.expr("an estimate of work", work)?;
                self.call(*kernel, buffers, symbols, 0)
            }
            Action::Gemm(g) => self.gemm(g),
            Action::Argsort(s) => {
                self.expr("a sort", &s.outer)?;
                self.expr("a sort", &s.len)?;
                self.expr("a sort", &s.inner)?;
                self.expr("a sort", &s.wanted)?;
                self.buffer(s.input)?;
                self.dtype(s.output, DType::I64)?;
                self.written(s.output)
            }
            Action::RandomBits { stream: _, state, output } => {
                self.dtype(*state, DType::I64)?;
                self.dtype(*output, DType::I32)?;
                self.written(*output)
            }
            Action::Copy { input, output } => {
                let from = self.buffer(*input)?;
                self.dtype(*output, from.dtype)?;
                self.written(*output)
            }
            Action::Custom { name: _, attributes: _, inputs, output } => {
                for (id, ty) in inputs.iter().chain([output]) {
                    self.dtype(*id, ty.dtype)?;
                    ty.shape.iter().try_for_each(|d| self.dim("a custom kernel's operand", d))?;
                }
                self.written(output.0)
            }
        }
    }

    fn gemm(&self, g: &Gemm) -> Result<(), Defect> {
        if g.dtype == DType::Bool {
            return Err(Defect::Unsupported { what: "a product", dtype: g.dtype.name() });
        }
        for e in [&g.m, &g.n, &g.k].into_iter().chain(&g.batch).chain(&g.reduce) {
            self.expr("a matrix size", e)?;
        }
        let axes = g.batch.len() + g.reduce.len();
        for side in [&g.a, &g.b] {
            match side {
                Operand::Strided(m) => self.matrix(m, g.dtype, axes)?,
                Operand::Packed { kernel, buffers, symbols, len, item_strides, row_stride, col_stride } => {
                    for e in [len, row_stride, col_stride].into_iter().chain(item_strides) {
                        self.expr("a packed matrix", e)?;
                    }
                    count("strides", axes, item_strides.len())?;
                    self.call(*kernel, buffers, symbols, 1)?;
                    self.first_parameter(*kernel, g.dtype)?;
                }
            }
        }
        // The result does not move along the summed axes; its steps there, if listed, count for nothing.
        let listed = if g.c.batch_strides.len() == axes { axes } else { g.batch.len() };
        self.matrix(&g.c, g.dtype, listed)?;
        self.written(g.c.buffer)?;
        if let Some(Epilogue { kernel, buffers, symbols, rows: _ }) = &g.epilogue {
            self.call(*kernel, buffers, symbols, 1)?;
            self.first_parameter(*kernel, g.dtype)?;
        }
        Ok(())
    }

    fn matrix(&self, m: &Matrix, dtype: DType, axes: usize) -> Result<(), Defect> {
        self.dtype(m.buffer, dtype)?;
        count("strides", axes, m.batch_strides.len())?;
        for e in [&m.offset, &m.row_stride, &m.col_stride].into_iter().chain(&m.batch_strides) {
            self.expr("a matrix", e)?;
        }
        Ok(())
    }

    /// A kernel and what is passed to it; `implied` parameters in front are not in `buffers`.
    fn call(
        &self,
        kernel: u32,
        buffers: &[BufferId],
        symbols: &[Expr],
        implied: usize,
    ) -> Result<(), Defect> {
        let kernels = &self.p.kernels;
        let k = kernels.get(kernel as usize).ok_or(Defect::NoSuch { what: "kernel", index: kernel })?;
        count("kernel arguments", k.params.len(), buffers.len() + implied)?;
        count("kernel symbols", k.n_symbols as usize, symbols.len())?;
        symbols.iter().try_for_each(|e| self.expr("a kernel symbol", e))?;
        for (param, &id) in k.params[implied..].iter().zip(buffers) {
            self.dtype(id, param.dtype)?;
            match param.access {
                Access::Read => {}
                Access::Write => self.written(id)?,
            }
        }
        let own = |what, e: &Expr| symbols_only(what, e, k.n_symbols);
        k.params.iter().try_for_each(|param| own("a kernel parameter", &param.len))?;
        k.locals.iter().try_for_each(|local| own("a kernel local", &local.len))?;
        match k.parallel_loop() {
            Some((_, begin, end, _)) => {
                own("a loop bound", begin)?;
                own("a loop bound", end)
            }
            None if implied > 0 => Err(Defect::NoSuch { what: "parallel loop in kernel", index: kernel }),
            None => Ok(()),
        }
    }

    fn first_parameter(&self, kernel: u32, dtype: DType) -> Result<(), Defect> {
        let found = self.p.kernels[kernel as usize].params[0].dtype;
        if found != dtype {
            return Err(Defect::DType { buffer: 0, expected: dtype.name(), found: found.name() });
        }
        Ok(())
    }

    fn buffer(&self, id: BufferId) -> Result<&ttk_ir::program::Buffer, Defect> {
        self.p.buffers.get(id.0 as usize).ok_or(Defect::NoSuch { what: "buffer", index: id.0 })
    }

    fn dtype(&self, id: BufferId, expected: DType) -> Result<(), Defect> {
        let found = self.buffer(id)?.dtype;
        if found != expected {
            return Err(Defect::DType { buffer: id.0, expected: expected.name(), found: found.name() });
        }
        Ok(())
    }

    /// An input is written only under another name that takes its place: only then is it donated.
    fn written(&self, id: BufferId) -> Result<(), Defect> {
        match self.buffer(id)?.placement {
            Placement::Input(_) => Err(Defect::WritesInput { buffer: id.0 }),
            Placement::Output | Placement::Arena { .. } | Placement::Reuse(_) => Ok(()),
        }
    }

    fn reuse(&self, start: BufferId) -> Result<(), Defect> {
        let mut id = start;
        for _ in 0..=self.p.buffers.len() {
            match &self.buffer(id)?.placement {
                Placement::Reuse(next) => id = *next,
                Placement::Input(_) | Placement::Output | Placement::Arena { .. } => return Ok(()),
            }
        }
        Err(Defect::ReuseCycle { buffer: start.0 })
    }

    fn expr(&self, what: &'static str, e: &Expr) -> Result<(), Defect> {
        symbols_only(what, e, self.p.symbols.len() as u32)
    }

    fn dim(&self, what: &'static str, d: &Dim) -> Result<(), Defect> {
        match d {
            Dim::Fixed(_) => Ok(()),
            Dim::Symbolic(e) => self.expr(what, e),
        }
    }
}

fn symbols_only(what: &'static str, e: &Expr, n: u32) -> Result<(), Defect> {
    let mut result = Ok(());
    e.for_each_leaf(&mut |leaf| match leaf {
        Atom::Symbol(s) if *s < n => {}
        Atom::Symbol(s) => result = Err(Defect::Symbol { what, symbol: *s }),
        Atom::Var(_) | Atom::Value(_) => result = Err(Defect::LooseVariable),
        Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => {}
    });
    result
}

fn count(what: &'static str, expected: usize, given: usize) -> Result<(), Defect> {
    if expected == given { Ok(()) } else { Err(Defect::Count { what, expected, given }) }
}
