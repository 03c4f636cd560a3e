//! Vector loops, whose iterations are dealt out to the threads of a group.

use super::locals::apart;
use super::{Body, Context, Stop};
use crate::access::{Access, Motion, accesses_of, defined, motion, slot};
use crate::hazard::{Touch, Who};
use crate::index::{BASE, divisible};
use crate::names;
use crate::scalar;
use crate::vector::{at_begin, has_long_functions};
use std::collections::HashSet;
use ttk_ir::expr::simplify::simplify;
use ttk_ir::kernel::{BufferRef, Inst, Stmt};
use ttk_ir::{Atom, Expr};

/// A vector loop on its way to the page.
struct Loop<'b> {
    var: u32,
    begin: &'b Expr,
    end: &'b Expr,
    body: &'b [Stmt],
    inside: HashSet<u32>,
}

impl Body<'_> {
    pub(super) fn vector_loop(
        &mut self,
        var: u32,
        begin: &Expr,
        end: &Expr,
        body: &[Stmt],
    ) -> Result<(), Stop> {
        let l = Loop { var, begin, end, body, inside: defined(body) };
        let width = self.mapping.width;
        let (lanes, lane) = if self.warps { (32, "(lane % 32)") } else { (self.mapping.lanes(), "lane") };
        let length = simplify(&end.sub(begin), &self.ranges);
        let whole = divisible(&length, width);
        let wholes = self.read_before(body)?;
        let touches: Vec<Touch> =
            accesses_of(body).iter().filter_map(|a| self.lane_touch(&l, a, whole)).collect();
        self.wait_for(touches)?;

        let apart = apart(begin, end, &self.ranges, lanes * width).filter(|_| whole);
        let (first, last, c) = (self.expr(begin), self.expr(end), self.width.c_type());
        let i = if width == 1 { format!("i{var}") } else { format!("j{var}") };
        let start = |first: &str, lane: String| if first == "0" { lane } else { format!("{first} + {lane}") };
        let times = |by: i64, what: &str| if by == 1 { what.to_string() } else { format!("{by} * {what}") };
        let mark = self.ranges.mark();
        self.ranges.push_var(var, begin, end);
        self.ranges.push_var(var + BASE, begin, end);
        match apart {
            Some(n) => {
                let exact = length.as_const() == Some(n * lanes * width);
                let (at, slot) = if n == 1 {
                    self.code.open("");
                    (times(width, lane), if width == 1 { "0" } else { "e" }.to_string())
                } else {
                    self.code.pragma("unroll");
                    self.code.open(format!("for (int k{var} = 0; k{var} < {n}; ++k{var})"));
                    let k = format!("{} + {}", times(width, lane), times(lanes * width, &format!("k{var}")));
                    (k, if width == 1 { format!("k{var}") } else { format!("{width} * k{var} + e") })
                };
                self.code.line(format!("const {c} {i} = {};", start(&first, at)));
                if !exact {
                    self.code.open(format!("if ({i} < {last})"));
                }
                self.lane_body(&l, width, Some(slot))?;
                if !exact {
                    self.code.close();
                }
                self.code.close();
            }
            None => {
                let at = start(&first, times(width, lane));
                let more = if whole { format!("{i} < {last}") } else { format!("{i} <= {last} - {width}") };
                // Four long functions side by side take more registers than they save time.
                self.code.pragma(if has_long_functions(body) { "unroll 1" } else { "unroll 4" });
                self.code.open(format!("for ({c} {i} = {at}; {more}; {i} += {})", lanes * width));
                self.lane_body(&l, width, None)?;
                self.code.close();
                if !whole {
                    // What is left of a length that is no multiple.
                    let done = format!("({}) / {width} * {width}", self.expr(&length));
                    let at = start(&first, format!("{done} + {lane}"));
                    self.code.open(format!("for ({c} i{var} = {at}; i{var} < {last}; i{var} += {lanes})"));
                    self.lane_body(&l, 1, None)?;
                    self.code.close();
                }
            }
        }
        self.ranges.reset(mark);
        if wholes {
            self.code.close();
        }
        Ok(())
    }

    /// Accumulators that the body reads are joined before, where all threads are together. Opens a block for
    /// them if there are any.
    fn read_before(&mut self, body: &[Stmt]) -> Result<bool, Stop> {
        let mut read = Vec::new();
        for stmt in body {
            if let Stmt::Let { inst: Inst::Read(acc), .. } = stmt
                && self.accs.get(&acc.0).is_some_and(|a| a.parts.is_some())
                && !body.iter().any(|s| matches!(s, Stmt::Acc { acc: own, .. } if own == acc))
                && !read.contains(acc)
            {
                read.push(*acc);
            }
        }
        if read.is_empty() {
            return Ok(false);
        }
        self.code.open("");
        for acc in read {
            let (dtype, _) = self.acc(acc)?;
            let text = self.read(acc)?;
            self.code.line(format!("const {} all{} = {text};", scalar::register(dtype), acc.0));
        }
        Ok(true)
    }

    /// What an access in a vector loop means to other threads.
    fn lane_touch(&self, l: &Loop<'_>, access: &Access, whole: bool) -> Option<Touch> {
        let at = |e: &Expr| simplify(&at_begin(&access.index, l.var, e), &self.ranges);
        let (first, last) = (at(l.begin), at(&l.end.offset(-1)));
        let fixed = self.fixed(&first);
        let who = match motion(&access.index, l.var, &l.inside) {
            Motion::Unit if fixed && whole => Who::Private(first.clone()),
            Motion::Still if !access.write => Who::All,
            Motion::Unit | Motion::Strided | Motion::Still | Motion::Free => Who::Spread,
        };
        let contiguous = match motion(&access.index, l.var, &l.inside) {
            Motion::Unit | Motion::Still => true,
            Motion::Strided | Motion::Free => false,
        };
        let mut touch = self.touch_of(access, who)?;
        touch.stretch = (contiguous && self.at_hand(&first) && self.at_hand(&last)).then_some((first, last));
        Some(touch)
    }

    /// `width` iterations of a thread, from that at `j` (at `i` if it is one).
    fn lane_body(&mut self, l: &Loop<'_>, width: i64, slot: Option<String>) -> Result<(), Stop> {
        let outside = std::mem::replace(&mut self.context, Context::Lane { slot });
        if width == 1 {
            self.block(l.body)?;
        } else {
            self.packs(l, width)?;
        }
        self.context = outside;
        Ok(())
    }

    /// Several iterations: what is contiguous is loaded before them and stored after them at once.
    fn packs(&mut self, l: &Loop<'_>, width: i64) -> Result<(), Stop> {
        let base =
            |e: &Expr| e.substitute(&mut |a| (*a == Atom::Var(l.var)).then(|| Expr::var(l.var + BASE)));
        let mut stores = Vec::new();
        let mut packed = HashSet::new();
        for (n, stmt) in l.body.iter().enumerate() {
            let (buffer, index, loaded) = match stmt {
                Stmt::Let { dst, inst: Inst::Load { buffer, index }, .. } => (buffer, index, Some(dst.0)),
                Stmt::Store { buffer, index, .. } => (buffer, index, None),
                Stmt::For { .. } | Stmt::Let { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => continue,
                Stmt::Update { .. } | Stmt::If { .. } => continue,
            };
            let aligned = divisible(&at_begin(index, l.var, l.begin), width);
            if motion(index, l.var, &l.inside) != Motion::Unit || self.in_registers(*buffer) || !aligned {
                continue;
            }
            // Shared memory is accessed element by element: its arrays are not aligned for more.
            let BufferRef::Param(_) = *buffer else { continue };
            let (name, at) = (names::buffer(self.kernel, *buffer), self.expr(&base(index)));
            let c = scalar::memory(self.dtype(*buffer));
            packed.insert(n);
            match loaded {
                Some(dst) => {
                    let written = self.written.contains(&self.memory[slot(self.kernel, *buffer)]);
                    let load = if written { "tt_load" } else { "tt_load_const" };
                    let text =
                        format!("const tt_pack<{c}, {width}> x{dst} = {load}<{width}>({name} + {at});");
                    self.code.line(text);
                }
                None => {
                    self.code.line(format!("tt_pack<{c}, {width}> y{};", stores.len()));
                    let store = if self.written_once(*buffer) { "tt_store_only" } else { "tt_store" };
                    stores.push(format!("{store}({name} + {at}, y{});", stores.len()));
                }
            }
        }
        self.code.pragma("unroll");
        self.code.open(format!("for (int e = 0; e < {width}; ++e)"));
        if l.body.iter().enumerate().any(|(n, s)| !packed.contains(&n) && mentions(s, l.var)) {
            self.code.line(format!("const {} i{} = j{} + e;", self.width.c_type(), l.var, l.var));
        }
        let mark = self.ranges.mark();
        let mut stored = 0;
        for (n, stmt) in l.body.iter().enumerate() {
            match stmt {
                Stmt::Let { dst, dtype, inst } if packed.contains(&n) => {
                    let text = scalar::from_memory(*dtype, &format!("x{}.at[e]", dst.0));
                    self.define(*dst, *dtype, inst, &text);
                }
                Stmt::Store { buffer, value, .. } if packed.contains(&n) => {
                    let value = self.stored(*buffer, *value)?;
                    self.code.line(format!("y{stored}.at[e] = {value};"));
                    stored += 1;
                }
                Stmt::For { .. } | Stmt::Let { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => {
                    self.stmt(stmt)?;
                }
                Stmt::Store { .. } | Stmt::Update { .. } | Stmt::If { .. } => self.stmt(stmt)?,
            }
        }
        self.ranges.reset(mark);
        self.code.close();
        for store in stores {
            let only = if self.one_stores() { "if (part == 0) " } else { "" };
            self.code.line(format!("{only}{store}"));
        }
        Ok(())
    }
}

impl Body<'_> {
    /// Whether a buffer's memory is touched by one statement alone.
    fn written_once(&self, buffer: BufferRef) -> bool {
        let memory = self.memory[slot(self.kernel, buffer)];
        let here = |a: &&Access| self.memory[slot(self.kernel, a.buffer)] == memory;
        accesses_of(&self.mapping.body).iter().filter(here).count() == 1
    }
}

/// Whether a statement of a vector loop has its variable in an expression.
fn mentions(stmt: &Stmt, var: u32) -> bool {
    let has = |e: &Expr| e.mentions(&Atom::Var(var));
    match stmt {
        Stmt::Let { inst, .. } => match inst {
            Inst::Load { index: e, .. } | Inst::Index(e) | Inst::CheckedIndex { extent: e, .. } => has(e),
            Inst::Const(_) | Inst::Read(_) | Inst::Unary(..) | Inst::Binary(..) | Inst::Fma(..) => false,
            Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => false,
        },
        Stmt::Store { index, .. } | Stmt::Update { index, .. } => has(index),
        Stmt::For { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } | Stmt::If { .. } => false,
    }
}
