//! Programs as bytes.

use super::{Reader, Result, Writer};
use ttk_ir::graph::Symbol;
use ttk_ir::kernel::{Kernel, Stmt};
use ttk_ir::op::RandomStream;
use ttk_ir::program::{
    Action, Argsort, Buffer, BufferId, Epilogue, Gemm, Matrix, Operand, Output, Placement, Program, Step,
};
use ttk_ir::shape::Shape;
use ttk_ir::{Dim, Expr, Type};

const STREAMS: [RandomStream; 7] = RandomStream::ALL;

/// Appends a program.
pub fn write_program(w: &mut Writer, p: &Program) {
    w.text(&p.name);
    w.list(&p.symbols, |w, s| w.text(&s.name));
    w.list(&p.inputs, Writer::ty);
    w.list(&p.outputs, |w, o| {
        w.ty(&o.ty);
        w.id(o.buffer);
    });
    w.list(&p.buffers, |w, b| {
        w.dtype(b.dtype);
        w.expr(&b.len);
        w.placement(&b.placement);
    });
    w.expr(&p.arena);
    w.list(&p.kernels, Writer::kernel);
    w.list(&p.steps, |w, s| {
        w.action(&s.action);
        w.loc(&s.loc);
    });
}

/// Reads a program.
///
/// # Errors
/// When the bytes are none.
pub fn read_program(r: &mut Reader<'_>) -> Result<Program> {
    Ok(Program {
        name: r.text()?.to_string(),
        symbols: r.list(|r| Ok(Symbol { name: r.text()?.to_string() }))?,
        inputs: r.list(Reader::ty)?,
        outputs: r.list(|r| Ok(Output { ty: r.ty()?, buffer: r.id()? }))?,
        buffers: r.list(|r| Ok(Buffer { dtype: r.dtype()?, len: r.expr()?, placement: r.placement()? }))?,
        arena: r.expr()?,
        kernels: r.list(Reader::kernel)?,
        steps: r.list(|r| Ok(Step { action: r.action()?, loc: r.loc()? }))?,
    })
}

/// Empties the bodies of kernels, but for the bounds of their parallel loops: all that a run needs of a
/// kernel whose machine code is at hand.
pub fn strip_bodies(p: &mut Program) {
    for kernel in &mut p.kernels {
        let Kernel { body, locs, .. } = kernel;
        if kernel_is_parallel(body) {
            if let [Stmt::For { body, .. }] = body.as_mut_slice() {
                body.clear();
            }
        } else {
            body.clear();
        }
        locs.clear();
    }
}

fn kernel_is_parallel(body: &[Stmt]) -> bool {
    matches!(body, [Stmt::For { kind: ttk_ir::kernel::LoopKind::Parallel, .. }])
}

impl Writer {
    pub(super) fn id(&mut self, id: BufferId) {
        self.number(id.0.into());
    }

    fn ids(&mut self, ids: &[BufferId]) {
        self.list(ids, |w, &id| w.id(id));
    }

    pub(super) fn exprs(&mut self, exprs: &[Expr]) {
        self.list(exprs, Writer::expr);
    }

    pub(crate) fn ty(&mut self, ty: &Type) {
        self.dtype(ty.dtype);
        self.list(&ty.shape, |w, d| w.expr(&d.expr()));
    }

    fn placement(&mut self, p: &Placement) {
        match p {
            Placement::Input(i) => {
                self.byte(0);
                self.number((*i).into());
            }
            Placement::Output => self.byte(1),
            Placement::Arena { offset } => {
                self.byte(2);
                self.expr(offset);
            }
            Placement::Reuse(id) => {
                self.byte(3);
                self.id(*id);
            }
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Launch { kernel, buffers, symbols, work } => {
                self.byte(0);
                self.number((*kernel).into());
                self.ids(buffers);
                self.exprs(symbols);
                self.expr(work);
            }
            Action::Gemm(g) => {
                self.byte(1);
                self.gemm(g);
            }
            Action::Argsort(s) => {
                self.byte(2);
                self.id(s.input);
                self.id(s.output);
                self.expr(&s.outer);
                self.expr(&s.len);
                self.expr(&s.inner);
                self.expr(&s.wanted);
                self.byte(s.descending.into());
            }
            Action::RandomBits { stream, state, output } => {
                self.byte(3);
                self.byte(*stream as u8);
                self.id(*state);
                self.id(*output);
            }
            Action::Copy { input, output } => {
                self.byte(4);
                self.id(*input);
                self.id(*output);
            }
            Action::Custom { name, attributes, inputs, output } => {
                self.byte(5);
                self.text(name);
                self.list(attributes, |w, &a| w.signed(a));
                self.list(inputs, |w, (id, ty)| {
                    w.id(*id);
                    w.ty(ty);
                });
                self.id(output.0);
                self.ty(&output.1);
            }
        }
    }

    fn gemm(&mut self, g: &Gemm) {
        self.dtype(g.dtype);
        [&g.m, &g.n, &g.k].into_iter().for_each(|e| self.expr(e));
        self.exprs(&g.batch);
        self.exprs(&g.reduce);
        self.operand(&g.a);
        self.operand(&g.b);
        self.matrix(&g.c);
        self.option(g.epilogue.as_ref(), |w, e| {
            w.number(e.kernel.into());
            w.ids(&e.buffers);
            w.exprs(&e.symbols);
            w.byte(e.rows.into());
        });
    }

    fn operand(&mut self, o: &Operand) {
        match o {
            Operand::Strided(m) => {
                self.byte(0);
                self.matrix(m);
            }
            Operand::Packed { kernel, buffers, symbols, len, item_strides, row_stride, col_stride } => {
                self.byte(1);
                self.number((*kernel).into());
                self.ids(buffers);
                self.exprs(symbols);
                self.expr(len);
                self.exprs(item_strides);
                self.expr(row_stride);
                self.expr(col_stride);
            }
        }
    }

    fn matrix(&mut self, m: &Matrix) {
        self.id(m.buffer);
        self.expr(&m.offset);
        self.exprs(&m.batch_strides);
        self.expr(&m.row_stride);
        self.expr(&m.col_stride);
    }
}

impl Reader<'_> {
    pub(super) fn id(&mut self) -> Result<BufferId> {
        self.u32("a buffer").map(BufferId)
    }

    fn ids(&mut self) -> Result<Vec<BufferId>> {
        self.list(Reader::id)
    }

    pub(super) fn exprs(&mut self) -> Result<Vec<Expr>> {
        self.list(Reader::expr)
    }

    pub(crate) fn ty(&mut self) -> Result<Type> {
        let dtype = self.dtype()?;
        let mut shape = Shape::new();
        for _ in 0..self.count()? {
            shape.push(Dim::from_expr(self.expr()?));
        }
        Ok(Type { dtype, shape })
    }

    fn placement(&mut self) -> Result<Placement> {
        let tag = self.byte()?;
        Ok(match tag {
            0 => Placement::Input(self.u32("an input")?),
            1 => Placement::Output,
            2 => Placement::Arena { offset: self.expr()? },
            3 => Placement::Reuse(self.id()?),
            _ => return self.bad("a placement", tag),
        })
    }

    fn action(&mut self) -> Result<Action> {
        let tag = self.byte()?;
        Ok(match tag {
            0 => Action::Launch {
                kernel: self.u32("a kernel")?,
                buffers: self.ids()?,
                symbols: self.exprs()?,
                work: self.expr()?,
            },
            1 => Action::Gemm(Box::new(self.gemm()?)),
            2 => Action::Argsort(Box::new(Argsort {
                input: self.id()?,
                output: self.id()?,
                outer: self.expr()?,
                len: self.expr()?,
                inner: self.expr()?,
                wanted: self.expr()?,
                descending: self.bool()?,
            })),
            3 => Action::RandomBits {
                stream: self.one_of("a random stream", &STREAMS)?,
                state: self.id()?,
                output: self.id()?,
            },
            4 => Action::Copy { input: self.id()?, output: self.id()? },
            5 => Action::Custom {
                name: self.text()?.to_string(),
                attributes: self.list(Reader::signed)?,
                inputs: self.list(|r| Ok((r.id()?, r.ty()?)))?,
                output: (self.id()?, self.ty()?),
            },
            _ => return self.bad("a step", tag),
        })
    }

    fn gemm(&mut self) -> Result<Gemm> {
        Ok(Gemm {
            dtype: self.dtype()?,
            m: self.expr()?,
            n: self.expr()?,
            k: self.expr()?,
            batch: self.exprs()?,
            reduce: self.exprs()?,
            a: self.operand()?,
            b: self.operand()?,
            c: self.matrix()?,
            epilogue: self.option(|r| {
                Ok(Epilogue {
                    kernel: r.u32("a kernel")?,
                    buffers: r.ids()?,
                    symbols: r.exprs()?,
                    rows: r.bool()?,
                })
            })?,
        })
    }

    fn operand(&mut self) -> Result<Operand> {
        let tag = self.byte()?;
        Ok(match tag {
            0 => Operand::Strided(self.matrix()?),
            1 => Operand::Packed {
                kernel: self.u32("a kernel")?,
                buffers: self.ids()?,
                symbols: self.exprs()?,
                len: self.expr()?,
                item_strides: self.exprs()?,
                row_stride: self.expr()?,
                col_stride: self.expr()?,
            },
            _ => return self.bad("an operand", tag),
        })
    }

    fn matrix(&mut self) -> Result<Matrix> {
        Ok(Matrix {
            buffer: self.id()?,
            offset: self.expr()?,
            batch_strides: self.exprs()?,
            row_stride: self.expr()?,
            col_stride: self.expr()?,
        })
    }
}
