//! An executor of programs that does everything the slow and obvious way: the oracle for `passes`.

use super::{Action, Argsort, BufferId, Epilogue, Gemm, Matrix, Operand, Placement, Program};
use crate::dtype::{DType, Scalar};
use crate::eval::{CustomOps, EvalError, NoCustomOps, Tensor, eval_op, read_scalar, write_scalar};
use crate::expr::Expr;
use crate::kernel::eval::{Arg, IndexError, KernelError, eval as eval_kernel};
use crate::op::Op;
use crate::random::random_words;
use std::ops::Range;
use thiserror::Error;

/// Why a program stopped.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum ProgramError {
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error("expected {expected} inputs, got {got}")]
    InputCount { expected: usize, got: usize },
    #[error("input {index}: expected {expected:?}, got {got:?}")]
    Input { index: usize, expected: (DType, Vec<i64>), got: (DType, Vec<i64>) },
    #[error("expected values for {expected} symbols, got {got}")]
    SymbolCount { expected: usize, got: usize },
    #[error("step {step}: there is no {what} {id}")]
    Missing { step: usize, what: &'static str, id: u32 },
    #[error("buffer {buffer} leaves its memory, or its length is negative")]
    Memory { buffer: u32 },
    #[error("step {step}: buffer {buffer} is accessed at element {index} of {len}")]
    OutOfBounds { step: usize, buffer: u32, index: i64, len: usize },
}

/// The outputs of a program on `inputs`, with a value for each of its symbols.
///
/// Memory is filled with bytes of ones first, which are NaN as floats, so that a result that depends on
/// memory nobody wrote shows itself.
///
/// # Errors
/// Inputs of other types, an index error, or a defect of the program.
pub fn eval(program: &Program, inputs: &[Tensor], symbols: &[i64]) -> Result<Vec<Tensor>, ProgramError> {
    eval_with(program, inputs, symbols, &NoCustomOps)
}

/// [`eval`] with the custom operations that the program may call.
///
/// # Errors
/// As [`eval`].
pub fn eval_with(
    program: &Program,
    inputs: &[Tensor],
    symbols: &[i64],
    custom: &dyn CustomOps,
) -> Result<Vec<Tensor>, ProgramError> {
    let mut machine = Machine::new(program, inputs, symbols)?;
    for (step, s) in program.steps.iter().enumerate() {
        machine.step = step;
        machine.run(&s.action, custom)?;
    }
    let output = |o: &super::Output| {
        let dims = machine.dims(&o.ty.shape);
        Ok(Tensor { dtype: o.ty.dtype, dims, data: machine.bytes(o.buffer)?.to_vec() })
    };
    program.outputs.iter().map(output).collect()
}

struct Machine<'a> {
    program: &'a Program,
    symbols: &'a [i64],
    memory: Vec<Vec<u8>>,
    /// Where each buffer of the program is.
    places: Vec<Arg>,
    step: usize,
}

impl<'a> Machine<'a> {
    fn new(program: &'a Program, inputs: &[Tensor], symbols: &'a [i64]) -> Result<Machine<'a>, ProgramError> {
        if symbols.len() != program.symbols.len() {
            return Err(ProgramError::SymbolCount { expected: program.symbols.len(), got: symbols.len() });
        }
        if inputs.len() != program.inputs.len() {
            return Err(ProgramError::InputCount { expected: program.inputs.len(), got: inputs.len() });
        }
        let arena = program.arena.eval_symbols(symbols).max(0) as usize;
        let mut machine =
            Machine { program, symbols, memory: vec![vec![0xff; arena]], places: Vec::new(), step: 0 };
        for (index, (ty, input)) in program.inputs.iter().zip(inputs).enumerate() {
            let expected = (ty.dtype, machine.dims(&ty.shape));
            let got = (input.dtype, input.dims.clone());
            if expected != got {
                return Err(ProgramError::Input { index, expected, got });
            }
            machine.memory.push(input.data.clone());
        }
        for id in 0..program.buffers.len() as u32 {
            let place = machine.place(id)?;
            machine.places.push(place);
        }
        Ok(machine)
    }

    fn place(&mut self, id: u32) -> Result<Arg, ProgramError> {
        let buffer = &self.program.buffers[id as usize];
        let len = usize::try_from(buffer.len.eval_symbols(self.symbols))
            .map_err(|_| ProgramError::Memory { buffer: id })?;
        let bytes = len * buffer.dtype.size();
        let (block, offset) = match &buffer.placement {
            Placement::Input(i) => (1 + *i as usize, 0),
            Placement::Output => {
                self.memory.push(vec![0xff; bytes]);
                (self.memory.len() - 1, 0)
            }
            Placement::Arena { offset } => (0, offset.eval_symbols(self.symbols).max(0) as usize),
            Placement::Reuse(other) => {
                let other = self.places.get(other.0 as usize).ok_or(ProgramError::Memory { buffer: id })?;
                (other.block, other.offset)
            }
        };
        if self.memory.get(block).is_none_or(|b| offset + bytes > b.len()) {
            return Err(ProgramError::Memory { buffer: id });
        }
        Ok(Arg { block, offset, len })
    }

    fn run(&mut self, action: &Action, custom: &dyn CustomOps) -> Result<(), ProgramError> {
        match action {
            // How much work a launch is says nothing about its result.
            Action::Launch { kernel, buffers, symbols, work: _ } => {
                let args = self.args(buffers)?;
                self.launch(*kernel, &args, symbols, None)
            }
            Action::Gemm(gemm) => self.gemm(gemm),
            Action::Argsort(sort) => self.argsort(sort),
            Action::RandomBits { stream, state, output } => {
                let numbers = (0..stream.state_len() as i64).map(|i| Ok(self.read(*state, i)?.as_i64()));
                let numbers = numbers.collect::<Result<Vec<i64>, ProgramError>>()?;
                let mut words = vec![0; self.arg(*output)?.len];
                random_words(*stream, &numbers, &mut words);
                for (i, w) in words.into_iter().enumerate() {
                    self.write(*output, i as i64, Scalar::from_i64(DType::I32, w as i32 as i64))?;
                }
                Ok(())
            }
            Action::Copy { input, output } => {
                let bytes = self.bytes(*input)?.to_vec();
                self.overwrite(*output, &bytes)
            }
            Action::Custom { name, attributes, inputs, output } => {
                let tensor = |(id, ty): &(BufferId, crate::Type)| -> Result<Tensor, ProgramError> {
                    Ok(Tensor {
                        dtype: ty.dtype,
                        dims: self.dims(&ty.shape),
                        data: self.bytes(*id)?.to_vec(),
                    })
                };
                let inputs: Vec<Tensor> = inputs.iter().map(tensor).collect::<Result<_, _>>()?;
                let refs: Vec<&Tensor> = inputs.iter().collect();
                let dims = self.dims(&output.1.shape);
                let op = Op::Custom {
                    name: name.as_str().into(),
                    attributes: attributes.as_slice().into(),
                    dtype: output.1.dtype,
                    shape: output.1.shape.clone(),
                };
                let result = eval_op(&op, &refs, &dims, self.symbols, custom)?;
                self.overwrite(output.0, &result.data)
            }
        }
    }

    fn launch(
        &mut self,
        kernel: u32,
        args: &[Arg],
        symbols: &[Expr],
        range: Option<Range<i64>>,
    ) -> Result<(), ProgramError> {
        let program = self.program;
        let symbols: Vec<i64> = symbols.iter().map(|e| self.expr(e)).collect();
        let found = program.kernels.get(kernel as usize);
        let kernel = found.ok_or(ProgramError::Missing { step: self.step, what: "kernel", id: kernel })?;
        match eval_kernel(kernel, &mut self.memory, args, &symbols, range)? {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn argsort(&mut self, sort: &Argsort) -> Result<(), ProgramError> {
        let dims = [self.expr(&sort.outer), self.expr(&sort.len), self.expr(&sort.inner)];
        let dtype = self.program.buffers[sort.input.0 as usize].dtype;
        let input = Tensor { dtype, dims: dims.to_vec(), data: self.bytes(sort.input)?.to_vec() };
        let op = Op::Argsort { axis: 1, descending: sort.descending };
        let result = eval_op(&op, &[&input], &dims, self.symbols, &NoCustomOps)?;
        self.overwrite(sort.output, &result.data)
    }

    fn gemm(&mut self, gemm: &Gemm) -> Result<(), ProgramError> {
        let (m, n, k) = (self.expr(&gemm.m), self.expr(&gemm.n), self.expr(&gemm.k));
        let batch: Vec<i64> = gemm.batch.iter().map(|e| self.expr(e)).collect();
        let reduce: Vec<i64> = gemm.reduce.iter().map(|e| self.expr(e)).collect();
        for b in positions(&batch) {
            let mut sums = vec![0.0f64; (m * n) as usize];
            let mut totals = vec![0i64; (m * n) as usize];
            for r in positions(&reduce) {
                let item: Vec<i64> = b.iter().chain(&r).copied().collect();
                let a = self.operand(&gemm.a, &item, gemm.dtype, (m, k))?;
                let c = self.operand(&gemm.b, &item, gemm.dtype, (k, n))?;
                for i in 0..m as usize {
                    for j in 0..n as usize {
                        let at = i * n as usize + j;
                        for p in 0..k as usize {
                            let (x, y) = (a[i * k as usize + p], c[p * n as usize + j]);
                            if gemm.dtype.is_float() {
                                sums[at] += x.as_f64() * y.as_f64();
                            } else {
                                totals[at] = totals[at].wrapping_add(x.as_i64().wrapping_mul(y.as_i64()));
                            }
                        }
                    }
                }
            }
            for i in 0..m {
                for j in 0..n {
                    let at = (i * n + j) as usize;
                    let value = if gemm.dtype.is_float() {
                        Scalar::from_f64(gemm.dtype, sums[at])
                    } else {
                        Scalar::from_i64(gemm.dtype, totals[at])
                    };
                    let index = self.matrix_index(&gemm.c, &b, i, j);
                    self.write(gemm.c.buffer, index, value)?;
                }
            }
        }
        match &gemm.epilogue {
            Some(epilogue) => self.epilogue(gemm, epilogue, batch.iter().product(), m),
            None => Ok(()),
        }
    }

    /// Launched piece by piece, as the runtime does it, so that pieces that depend on each other show.
    fn epilogue(&mut self, gemm: &Gemm, epilogue: &Epilogue, batch: i64, m: i64) -> Result<(), ProgramError> {
        let mut args = vec![self.arg(gemm.c.buffer)?];
        args.extend(self.args(&epilogue.buffers)?);
        let pieces = if epilogue.rows { batch * m } else { batch };
        (0..pieces).try_for_each(|i| self.launch(epilogue.kernel, &args, &epilogue.symbols, Some(i..i + 1)))
    }

    /// One matrix of an operand, row-major.
    fn operand(
        &mut self,
        operand: &Operand,
        item: &[i64],
        dtype: DType,
        (rows, cols): (i64, i64),
    ) -> Result<Vec<Scalar>, ProgramError> {
        let mut out = Vec::with_capacity((rows * cols) as usize);
        match operand {
            Operand::Strided(matrix) => {
                for i in 0..rows {
                    for j in 0..cols {
                        out.push(self.read(matrix.buffer, self.matrix_index(matrix, item, i, j))?);
                    }
                }
            }
            Operand::Packed { kernel, buffers, symbols, len, item_strides, row_stride, col_stride } => {
                let len = self.expr(len).max(0) as usize;
                self.memory.push(vec![0xff; len * dtype.size()]);
                let block = self.memory.len() - 1;
                let mut args = vec![Arg { block, offset: 0, len }];
                args.extend(self.args(buffers)?);
                let item = item.iter().zip(item_strides).map(|(p, s)| p * self.expr(s)).sum::<i64>();
                self.launch(*kernel, &args, symbols, Some(item..item + 1))?;
                let scratch = self.memory.pop().unwrap_or_default();
                let (row_stride, col_stride) = (self.expr(row_stride), self.expr(col_stride));
                for i in 0..rows {
                    for j in 0..cols {
                        let index = i * row_stride + j * col_stride;
                        if index < 0 || index >= len as i64 {
                            let (step, buffer) = (self.step, u32::MAX);
                            return Err(ProgramError::OutOfBounds { step, buffer, index, len });
                        }
                        out.push(read_scalar(dtype, &scratch[index as usize * dtype.size()..]));
                    }
                }
            }
        }
        Ok(out)
    }

    fn matrix_index(&self, matrix: &Matrix, item: &[i64], row: i64, col: i64) -> i64 {
        let batch = item.iter().zip(&matrix.batch_strides).map(|(p, s)| p * self.expr(s)).sum::<i64>();
        self.expr(&matrix.offset)
            + batch
            + row * self.expr(&matrix.row_stride)
            + col * self.expr(&matrix.col_stride)
    }

    fn expr(&self, e: &Expr) -> i64 {
        e.eval_symbols(self.symbols)
    }

    fn dims(&self, shape: &[crate::Dim]) -> Vec<i64> {
        shape.iter().map(|d| d.eval(self.symbols)).collect()
    }

    fn arg(&self, id: BufferId) -> Result<Arg, ProgramError> {
        let missing = ProgramError::Missing { step: self.step, what: "buffer", id: id.0 };
        self.places.get(id.0 as usize).copied().ok_or(missing)
    }

    fn args(&self, ids: &[BufferId]) -> Result<Vec<Arg>, ProgramError> {
        ids.iter().map(|&id| self.arg(id)).collect()
    }

    fn span(&self, id: BufferId) -> Result<(Arg, Range<usize>), ProgramError> {
        let arg = self.arg(id)?;
        let size = self.program.buffers[id.0 as usize].dtype.size();
        Ok((arg, arg.offset..arg.offset + arg.len * size))
    }

    fn bytes(&self, id: BufferId) -> Result<&[u8], ProgramError> {
        let (arg, span) = self.span(id)?;
        Ok(&self.memory[arg.block][span])
    }

    fn overwrite(&mut self, id: BufferId, bytes: &[u8]) -> Result<(), ProgramError> {
        let (arg, span) = self.span(id)?;
        if span.len() != bytes.len() {
            return Err(ProgramError::Memory { buffer: id.0 });
        }
        self.memory[arg.block][span].copy_from_slice(bytes);
        Ok(())
    }

    fn element(&self, id: BufferId, index: i64) -> Result<(usize, usize, DType), ProgramError> {
        let arg = self.arg(id)?;
        if index < 0 || index >= arg.len as i64 {
            return Err(ProgramError::OutOfBounds { step: self.step, buffer: id.0, index, len: arg.len });
        }
        let dtype = self.program.buffers[id.0 as usize].dtype;
        Ok((arg.block, arg.offset + index as usize * dtype.size(), dtype))
    }

    fn read(&self, id: BufferId, index: i64) -> Result<Scalar, ProgramError> {
        let (block, at, dtype) = self.element(id, index)?;
        Ok(read_scalar(dtype, &self.memory[block][at..]))
    }

    fn write(&mut self, id: BufferId, index: i64, value: Scalar) -> Result<(), ProgramError> {
        let (block, at, dtype) = self.element(id, index)?;
        write_scalar(value.cast(dtype), &mut self.memory[block][at..]);
        Ok(())
    }
}

/// All positions of a shape, in row-major order.
fn positions(dims: &[i64]) -> Vec<Vec<i64>> {
    dims.iter().fold(vec![Vec::new()], |prefixes, &d| {
        prefixes.iter().flat_map(|p| (0..d).map(move |i| [p.as_slice(), &[i]].concat())).collect()
    })
}
