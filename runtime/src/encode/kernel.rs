//! Kernels as bytes.

use super::{Reader, Result, Writer};
use ttk_ir::graph::Loc;
use ttk_ir::kernel::{
    AccId, Access, BufferParam, BufferRef, Inst, Kernel, Local, LoopKind, Stmt, Val, VarId,
};
use ttk_ir::op::{Binary, Cmp, ReduceOp, Unary};

const LOOPS: [LoopKind; 4] = [LoopKind::Serial, LoopKind::Parallel, LoopKind::Vector, LoopKind::Unroll];

impl Writer {
    pub(super) fn kernel(&mut self, k: &Kernel) {
        self.text(&k.name);
        self.number(k.n_symbols.into());
        self.list(&k.params, |w, p| {
            w.text(&p.name);
            w.dtype(p.dtype);
            w.expr(&p.len);
            w.byte((p.access == Access::Write).into());
        });
        self.list(&k.locals, |w, l| {
            w.text(&l.name);
            w.dtype(l.dtype);
            w.expr(&l.len);
        });
        self.list(&k.aliases, |w, &(read, written)| {
            w.number(read.into());
            w.number(written.into());
        });
        self.list(&k.body, Writer::stmt);
        self.list(&k.locs, Writer::loc);
    }

    pub(super) fn loc(&mut self, loc: &Loc) {
        self.text(&loc.file);
        self.number(loc.line.into());
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::For { var, begin, end, kind, body } => {
                self.byte(0);
                self.number(var.0.into());
                self.expr(begin);
                self.expr(end);
                self.byte(match kind {
                    LoopKind::Serial => 0,
                    LoopKind::Parallel => 1,
                    LoopKind::Vector => 2,
                    LoopKind::Unroll => 3,
                });
                self.list(body, Writer::stmt);
            }
            Stmt::Let { dst, dtype, inst } => {
                self.byte(1);
                self.value(*dst);
                self.dtype(*dtype);
                self.inst(inst);
            }
            Stmt::Store { buffer, index, value } => {
                self.byte(2);
                self.buffer_ref(*buffer);
                self.expr(index);
                self.value(*value);
            }
            Stmt::Acc { acc, dtype, init } => {
                self.byte(3);
                self.number(acc.0.into());
                self.dtype(*dtype);
                self.scalar(*init);
            }
            Stmt::Accumulate { acc, op, value } => {
                self.byte(4);
                self.number(acc.0.into());
                self.byte(*op as u8);
                self.value(*value);
            }
            Stmt::Update { buffer, index, op, value } => {
                self.byte(5);
                self.buffer_ref(*buffer);
                self.expr(index);
                self.byte(*op as u8);
                self.value(*value);
            }
            Stmt::If { cond, body } => {
                self.byte(6);
                self.value(*cond);
                self.list(body, Writer::stmt);
            }
        }
    }

    fn inst(&mut self, inst: &Inst) {
        match inst {
            Inst::Const(value) => {
                self.byte(0);
                self.scalar(*value);
            }
            Inst::Load { buffer, index } => {
                self.byte(1);
                self.buffer_ref(*buffer);
                self.expr(index);
            }
            Inst::Read(acc) => {
                self.byte(2);
                self.number(acc.0.into());
            }
            Inst::Index(e) => {
                self.byte(3);
                self.expr(e);
            }
            Inst::CheckedIndex { value, extent } => {
                self.byte(4);
                self.value(*value);
                self.expr(extent);
            }
            Inst::Unary(op, a) => {
                self.byte(5);
                self.byte(*op as u8);
                self.value(*a);
            }
            Inst::Binary(op, a, b) => {
                self.byte(6);
                self.byte(*op as u8);
                self.value(*a);
                self.value(*b);
            }
            Inst::Fma(a, b, c) => {
                self.byte(7);
                [a, b, c].into_iter().for_each(|v| self.value(*v));
            }
            Inst::Cmp(op, a, b) => {
                self.byte(8);
                self.byte(*op as u8);
                self.value(*a);
                self.value(*b);
            }
            Inst::Select(a, b, c) => {
                self.byte(9);
                [a, b, c].into_iter().for_each(|v| self.value(*v));
            }
            Inst::Cast(a) => {
                self.byte(10);
                self.value(*a);
            }
            Inst::Bitcast(a) => {
                self.byte(11);
                self.value(*a);
            }
        }
    }

    fn value(&mut self, v: Val) {
        self.number(v.0.into());
    }

    fn buffer_ref(&mut self, b: BufferRef) {
        let (local, i) = match b {
            BufferRef::Param(i) => (0, i),
            BufferRef::Local(i) => (1, i),
        };
        self.number(u64::from(i) << 1 | local);
    }
}

impl Reader<'_> {
    pub(super) fn kernel(&mut self) -> Result<Kernel> {
        Ok(Kernel {
            name: self.text()?.to_string(),
            n_symbols: self.u32("a count of symbols")?,
            params: self.list(|r| {
                Ok(BufferParam {
                    name: r.text()?.to_string(),
                    dtype: r.dtype()?,
                    len: r.expr()?,
                    access: if r.bool()? { Access::Write } else { Access::Read },
                })
            })?,
            locals: self
                .list(|r| Ok(Local { name: r.text()?.to_string(), dtype: r.dtype()?, len: r.expr()? }))?,
            aliases: self.list(|r| Ok((r.u32("a parameter")?, r.u32("a parameter")?)))?,
            body: self.list(Reader::stmt)?,
            locs: self.list(Reader::loc)?,
        })
    }

    pub(super) fn loc(&mut self) -> Result<Loc> {
        Ok(Loc { file: self.text()?, line: self.u32("a line")? })
    }

    fn stmt(&mut self) -> Result<Stmt> {
        let tag = self.byte()?;
        Ok(match tag {
            0 => Stmt::For {
                var: VarId(self.u32("a variable")?),
                begin: self.expr()?,
                end: self.expr()?,
                kind: self.one_of("a loop", &LOOPS)?,
                body: self.nested(|r| r.list(Reader::stmt))?,
            },
            1 => Stmt::Let { dst: self.value()?, dtype: self.dtype()?, inst: self.inst()? },
            2 => Stmt::Store { buffer: self.buffer_ref()?, index: self.expr()?, value: self.value()? },
            3 => Stmt::Acc { acc: self.acc()?, dtype: self.dtype()?, init: self.scalar()? },
            4 => Stmt::Accumulate {
                acc: self.acc()?,
                op: self.one_of("a reduction", &ReduceOp::ALL)?,
                value: self.value()?,
            },
            5 => Stmt::Update {
                buffer: self.buffer_ref()?,
                index: self.expr()?,
                op: self.one_of("an operation", Binary::ALL)?,
                value: self.value()?,
            },
            6 => Stmt::If { cond: self.value()?, body: self.nested(|r| r.list(Reader::stmt))? },
            _ => return self.bad("a statement", tag),
        })
    }

    fn inst(&mut self) -> Result<Inst> {
        let tag = self.byte()?;
        Ok(match tag {
            0 => Inst::Const(self.scalar()?),
            1 => Inst::Load { buffer: self.buffer_ref()?, index: self.expr()? },
            2 => Inst::Read(self.acc()?),
            3 => Inst::Index(self.expr()?),
            4 => Inst::CheckedIndex { value: self.value()?, extent: self.expr()? },
            5 => Inst::Unary(self.one_of("an operation", Unary::ALL)?, self.value()?),
            6 => Inst::Binary(self.one_of("an operation", Binary::ALL)?, self.value()?, self.value()?),
            7 => Inst::Fma(self.value()?, self.value()?, self.value()?),
            8 => Inst::Cmp(self.one_of("a comparison", &Cmp::ALL)?, self.value()?, self.value()?),
            9 => Inst::Select(self.value()?, self.value()?, self.value()?),
            10 => Inst::Cast(self.value()?),
            11 => Inst::Bitcast(self.value()?),
            _ => return self.bad("an instruction", tag),
        })
    }

    fn value(&mut self) -> Result<Val> {
        self.u32("a value").map(Val)
    }

    fn acc(&mut self) -> Result<AccId> {
        self.u32("an accumulator").map(AccId)
    }

    fn buffer_ref(&mut self) -> Result<BufferRef> {
        let n = self.u32("a buffer")?;
        Ok(if n & 1 == 0 { BufferRef::Param(n >> 1) } else { BufferRef::Local(n >> 1) })
    }
}
