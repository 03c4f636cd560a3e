//! Kernels as text.

use crate::expr::Expr;
use crate::kernel::{Access, BufferRef, Inst, Kernel, LoopKind, Stmt, Val};
use crate::text::expr::{Numbered, write_expr};
use crate::text::lex::{name_text, quoted_text};
use crate::text::scalar::scalar_text;
use std::fmt::{self, Write};

/// The text of a kernel. Buffers that share a name are told apart by a number behind it.
pub fn print(kernel: &Kernel) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_kernel(&mut out, kernel);
    out
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_kernel(f, self)
    }
}

struct Printer<'a> {
    out: &'a mut dyn Write,
    params: Vec<String>,
    locals: Vec<String>,
    indent: usize,
}

fn write_kernel(out: &mut dyn Write, kernel: &Kernel) -> fmt::Result {
    let mut names: Vec<String> = Vec::new();
    for name in kernel.params.iter().map(|p| &p.name).chain(kernel.locals.iter().map(|l| &l.name)) {
        let taken = |n: &str| names.iter().any(|other| other == n);
        let mut candidate = name.clone();
        let mut k = 1;
        while taken(&candidate) {
            candidate = format!("{name}.{k}");
            k += 1;
        }
        names.push(candidate);
    }
    let names: Vec<String> = names.iter().map(|n| format!("%{}", name_text(n))).collect();
    let (params, locals) = names.split_at(kernel.params.len());
    let mut p = Printer { out, params: params.to_vec(), locals: locals.to_vec(), indent: 1 };
    p.kernel(kernel)
}

impl Printer<'_> {
    fn kernel(&mut self, kernel: &Kernel) -> fmt::Result {
        write!(self.out, "kernel @{}", name_text(&kernel.name))?;
        if kernel.n_symbols > 0 {
            let symbols: Vec<String> = (0..kernel.n_symbols).map(|i| format!("s{i}")).collect();
            write!(self.out, "[{}]", symbols.join(", "))?;
        }
        self.out.write_str("(")?;
        for (i, param) in kernel.params.iter().enumerate() {
            let mutable = match param.access {
                Access::Read => "",
                Access::Write => "mut ",
            };
            write!(
                self.out,
                "{}{}: {mutable}{}[",
                if i > 0 { ", " } else { "" },
                self.params[i],
                param.dtype
            )?;
            self.expr(&param.len)?;
            self.out.write_str("]")?;
        }
        self.out.write_str(")")?;
        if !kernel.aliases.is_empty() {
            let name = |i: u32| self.params.get(i as usize).cloned().unwrap_or_else(|| format!("%param{i}"));
            let pairs: Vec<String> =
                kernel.aliases.iter().map(|&(a, b)| format!("{} = {}", name(a), name(b))).collect();
            write!(self.out, " alias({})", pairs.join(", "))?;
        }
        self.out.write_str(" {\n")?;
        for (i, local) in kernel.locals.iter().enumerate() {
            write!(self.out, "  local {}: {}[", self.locals[i], local.dtype)?;
            self.expr(&local.len)?;
            self.out.write_str("]\n")?;
        }
        if !kernel.locs.is_empty() {
            let locs: Vec<String> =
                kernel.locs.iter().map(|l| format!("{}:{}", quoted_text(&l.file), l.line)).collect();
            writeln!(self.out, "  from {}", locs.join(", "))?;
        }
        self.block(&kernel.body)?;
        self.out.write_str("}\n")
    }

    fn block(&mut self, stmts: &[Stmt]) -> fmt::Result {
        stmts.iter().try_for_each(|s| self.stmt(s))
    }

    fn body(&mut self, stmts: &[Stmt]) -> fmt::Result {
        self.out.write_str(" {\n")?;
        self.indent += 1;
        self.block(stmts)?;
        self.indent -= 1;
        writeln!(self.out, "{:1$}}}", "", 2 * self.indent)
    }

    fn stmt(&mut self, stmt: &Stmt) -> fmt::Result {
        write!(self.out, "{:1$}", "", 2 * self.indent)?;
        match stmt {
            Stmt::For { var, begin, end, kind, body } => {
                write!(self.out, "for %i{} in ", var.0)?;
                self.expr(begin)?;
                self.out.write_str("..")?;
                self.expr(end)?;
                self.out.write_str(match kind {
                    LoopKind::Serial => "",
                    LoopKind::Parallel => " parallel",
                    LoopKind::Vector => " vector",
                    LoopKind::Unroll => " unroll",
                })?;
                self.body(body)
            }
            Stmt::Let { dst, dtype, inst } => {
                write!(self.out, "%{}: {dtype} = ", dst.0)?;
                self.inst(inst)?;
                self.out.write_str("\n")
            }
            Stmt::Store { buffer, index, value } => {
                self.out.write_str("store ")?;
                self.element(*buffer, index)?;
                writeln!(self.out, ", %{}", value.0)
            }
            Stmt::Acc { acc, dtype, init } => {
                writeln!(self.out, "acc %acc{}: {dtype} = {}", acc.0, scalar_text(*init))
            }
            Stmt::Accumulate { acc, op, value } => {
                writeln!(self.out, "accumulate {} %acc{}, %{}", op.name(), acc.0, value.0)
            }
            Stmt::Update { buffer, index, op, value } => {
                write!(self.out, "update {} ", op.name())?;
                self.element(*buffer, index)?;
                writeln!(self.out, ", %{}", value.0)
            }
            Stmt::If { cond, body } => {
                write!(self.out, "if %{}", cond.0)?;
                self.body(body)
            }
        }
    }

    fn inst(&mut self, inst: &Inst) -> fmt::Result {
        match inst {
            Inst::Const(value) => write!(self.out, "const {}", scalar_text(*value)),
            Inst::Load { buffer, index } => {
                self.out.write_str("load ")?;
                self.element(*buffer, index)
            }
            Inst::Read(acc) => write!(self.out, "read %acc{}", acc.0),
            Inst::Index(e) => {
                self.out.write_str("index ")?;
                self.expr(e)
            }
            Inst::CheckedIndex { value, extent } => {
                write!(self.out, "checked_index %{}, ", value.0)?;
                self.expr(extent)
            }
            Inst::Unary(op, _) => self.operands(op.name(), inst),
            Inst::Binary(op, _, _) => self.operands(op.name(), inst),
            Inst::Fma(..) => self.operands("fma", inst),
            Inst::Cmp(op, _, _) => {
                self.out.write_str("cmp ")?;
                self.operands(op.name(), inst)
            }
            Inst::Select(..) => self.operands("select", inst),
            Inst::Cast(_) => self.operands("cast", inst),
            Inst::Bitcast(_) => self.operands("bitcast", inst),
        }
    }

    fn operands(&mut self, name: &str, inst: &Inst) -> fmt::Result {
        let list: Vec<String> = inst.operands().map(|Val(v)| format!("%{v}")).collect();
        write!(self.out, "{name} {}", list.join(", "))
    }

    fn element(&mut self, buffer: BufferRef, index: &Expr) -> fmt::Result {
        let (names, id) = match buffer {
            BufferRef::Param(p) => (&self.params, p),
            BufferRef::Local(l) => (&self.locals, l),
        };
        match names.get(id as usize) {
            Some(name) => self.out.write_str(name)?,
            None => write!(self.out, "%missing{id}")?,
        }
        self.out.write_str("[")?;
        self.expr(index)?;
        self.out.write_str("]")
    }

    fn expr(&mut self, e: &Expr) -> fmt::Result {
        write_expr(self.out, e, &Numbered, " ")
    }
}
