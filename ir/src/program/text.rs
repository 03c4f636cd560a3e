//! Programs as text: a listing for people and tests.
//!
//! ```text
//! program @f[n](f32[n,8], f32[8,2]) -> (f32[n,2] = %2) {
//!   arena 64*n bytes
//!   %0: f32[8*n] = input 0
//!   %1: f32[16] = input 1
//!   %2: f32[2*n] = output
//!   %3: f32[2*n] = arena 0
//!   gemm f32 m=n n=2 k=8 a=%0+0[8, 1] b=%1+0[2, 1] c=%3+0[2, 1]  ; model.py:3
//!   launch 0 @relu[n](%3, %2)  ; model.py:4
//! }
//!
//! kernel @relu[s0](%p0: f32[2*s0], %p1: mut f32[2*s0]) {
//! ...
//! ```

use super::{Action, BufferId, Epilogue, Gemm, Matrix, Operand, Placement, Program};
use crate::expr::Expr;
use crate::shape::Type;
use crate::text::expr::{write_expr, write_type};
use crate::text::lex::{name_text, quoted_text};
use std::fmt::{self, Write};

/// The text of a program and of its kernels.
pub fn print(program: &Program) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_program(&mut out, program);
    out
}

/// The text of each step, without its source line.
pub fn steps(program: &Program) -> Vec<String> {
    let printer = Printer { program, symbols: program.symbols.iter().map(|s| s.name.clone()).collect() };
    program.steps.iter().map(|step| printer.action(&step.action)).collect()
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_program(f, self)
    }
}

fn write_program(out: &mut dyn Write, program: &Program) -> fmt::Result {
    let printer = Printer { program, symbols: program.symbols.iter().map(|s| s.name.clone()).collect() };
    printer.header(out)?;
    for step in &program.steps {
        write!(out, "  {}", printer.action(&step.action))?;
        if step.loc.line > 0 {
            write!(out, "  ; {}:{}", step.loc.file, step.loc.line)?;
        }
        out.write_str("\n")?;
    }
    out.write_str("}\n")?;
    for kernel in &program.kernels {
        write!(out, "\n{kernel}")?;
    }
    Ok(())
}

struct Printer<'a> {
    program: &'a Program,
    symbols: Vec<String>,
}

impl Printer<'_> {
    fn header(&self, out: &mut dyn Write) -> fmt::Result {
        let program = self.program;
        write!(out, "program @{}", name_text(&program.name))?;
        if !self.symbols.is_empty() {
            write!(out, "[{}]", self.symbols.join(", "))?;
        }
        let inputs: Vec<String> = program.inputs.iter().map(|t| self.ty(t)).collect();
        let outputs: Vec<String> =
            program.outputs.iter().map(|o| format!("{} = {}", self.ty(&o.ty), id(o.buffer))).collect();
        writeln!(out, "({}) -> ({}) {{", inputs.join(", "), outputs.join(", "))?;
        if !program.arena.is_zero() {
            writeln!(out, "  arena {} bytes", self.expr(&program.arena))?;
        }
        for (i, buffer) in program.buffers.iter().enumerate() {
            let placement = match &buffer.placement {
                Placement::Input(i) => format!("input {i}"),
                Placement::Output => "output".to_string(),
                Placement::Arena { offset } => format!("arena {}", self.expr(offset)),
                Placement::Reuse(other) => format!("reuse {}", id(*other)),
            };
            writeln!(out, "  %{i}: {}[{}] = {placement}", buffer.dtype, self.expr(&buffer.len))?;
        }
        Ok(())
    }

    fn action(&self, action: &Action) -> String {
        match action {
            Action::Launch { kernel, buffers, symbols, work } => {
                let call = self.call(*kernel, buffers, symbols);
                format!("launch {call} work={}", self.expr(work))
            }
            Action::Gemm(gemm) => self.gemm(gemm),
            Action::Argsort(sort) => format!(
                "argsort {} -> {} {{descending={}, inner={}, len={}, outer={}{}}}",
                id(sort.input),
                id(sort.output),
                sort.descending,
                self.expr(&sort.inner),
                self.expr(&sort.len),
                self.expr(&sort.outer),
                if sort.wanted == sort.len {
                    String::new()
                } else {
                    format!(", wanted={}", self.expr(&sort.wanted))
                },
            ),
            Action::RandomBits { stream, state, output } => {
                format!("random_bits {} {} -> {}", stream.name(), id(*state), id(*output))
            }
            Action::Copy { input, output } => format!("copy {} -> {}", id(*input), id(*output)),
            Action::Custom { name, attributes, inputs, output } => {
                let typed = |(b, ty): &(BufferId, Type)| format!("{}: {}", id(*b), self.ty(ty));
                let inputs: Vec<String> = inputs.iter().map(typed).collect();
                let name = quoted_text(name);
                format!("custom {name} {attributes:?} ({}) -> {}", inputs.join(", "), typed(output))
            }
        }
    }

    fn gemm(&self, gemm: &Gemm) -> String {
        let mut out = format!(
            "gemm {} m={} n={} k={}",
            gemm.dtype,
            self.expr(&gemm.m),
            self.expr(&gemm.n),
            self.expr(&gemm.k)
        );
        for (name, sizes) in [("batch", &gemm.batch), ("reduce", &gemm.reduce)] {
            if !sizes.is_empty() {
                out += &format!(" {name}={}", self.list(sizes));
            }
        }
        out += &format!(" a={}", self.operand(&gemm.a));
        out += &format!(" b={}", self.operand(&gemm.b));
        out += &format!(" c={}", self.matrix(&gemm.c));
        if let Some(Epilogue { kernel, buffers, symbols, rows }) = &gemm.epilogue {
            let each = if *rows { "row" } else { "item" };
            out += &format!(" epilogue={} each {each}", self.call(*kernel, buffers, symbols));
        }
        out
    }

    fn operand(&self, operand: &Operand) -> String {
        match operand {
            Operand::Strided(matrix) => self.matrix(matrix),
            Operand::Packed { kernel, buffers, symbols, len, item_strides, row_stride, col_stride } => {
                format!(
                    "packed {} {} elements items {} strides [{}, {}]",
                    self.call(*kernel, buffers, symbols),
                    self.expr(len),
                    self.list(item_strides),
                    self.expr(row_stride),
                    self.expr(col_stride)
                )
            }
        }
    }

    /// `%3+offset[batch strides; row, column]`.
    fn matrix(&self, m: &Matrix) -> String {
        let batch: Vec<String> = m.batch_strides.iter().map(|e| self.expr(e)).collect();
        let batch = if batch.is_empty() { String::new() } else { format!("{}; ", batch.join(", ")) };
        let (row, col) = (self.expr(&m.row_stride), self.expr(&m.col_stride));
        format!("{}+{}[{batch}{row}, {col}]", id(m.buffer), self.expr(&m.offset))
    }

    /// `0 @name[n](%1, %2)`.
    fn call(&self, kernel: u32, buffers: &[BufferId], symbols: &[Expr]) -> String {
        let name = self.program.kernels.get(kernel as usize).map_or("missing", |k| &k.name);
        let symbols = if symbols.is_empty() { String::new() } else { self.list(symbols) };
        let buffers: Vec<String> = buffers.iter().map(|&b| id(b)).collect();
        format!("{kernel} @{}{symbols}({})", name_text(name), buffers.join(", "))
    }

    fn list(&self, list: &[Expr]) -> String {
        let list: Vec<String> = list.iter().map(|e| self.expr(e)).collect();
        format!("[{}]", list.join(", "))
    }

    fn expr(&self, e: &Expr) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = write_expr(&mut out, e, self.symbols.as_slice(), "");
        out
    }

    fn ty(&self, ty: &Type) -> String {
        let mut out = String::new();
        let _ = write_type(&mut out, ty, self.symbols.as_slice());
        out
    }
}

fn id(buffer: BufferId) -> String {
    format!("%{}", buffer.0)
}
