//! Serial loops: for one thread, for all threads of a group alike, or dealt out to those that share a sum.

use super::{Body, Context, Scratch, Stop, names, spread_name};
use crate::access::{accesses_of, has_vector_loop};
use crate::hazard::{Touch, Who};
use crate::mapping::{Group, Phase};
use crate::{order, scalar};
use std::collections::HashSet;
use ttk_ir::kernel::{BufferRef, Inst, Stmt};
use ttk_ir::{Expr, ReduceOp};

impl Body<'_> {
    pub(super) fn serial_loop(
        &mut self,
        var: u32,
        begin: &Expr,
        end: &Expr,
        body: &[Stmt],
    ) -> Result<(), Stop> {
        let single = self.context == Context::Group && self.for_one_thread(body);
        if single {
            // No barrier stands in what one thread does; it stands before.
            let touches: Vec<Touch> =
                accesses_of(body).iter().filter_map(|a| self.touch_of(a, Who::First)).collect();
            self.wait_for(touches)?;
            self.code.open("if (lane == 0)");
            self.context = Context::First;
        }
        let (c, begin_text, end_text) = (self.width.c_type(), self.expr(begin), self.expr(end));
        let apart = self.context == Context::Group
            && order::independent(self.kernel, (var, begin, end), body, &self.ranges, &|b| {
                self.in_registers(b)
            });
        self.ranges.push_var(var, begin, end);
        self.open.push(var);
        let head = format!("for ({c} i{var} = {begin_text}; i{var} < {end_text}; ++i{var})");
        let shared = self.sums.get(&var).cloned().filter(|_| self.context == Context::Group);
        let by_warps = self.mapping.group == Group::Block
            && self.mapping.spread > 1
            && self.context == Context::Group
            && !self.warps
            && order::only_accumulates(body);
        if by_warps {
            let first = if begin_text == "0" { String::new() } else { format!("{begin_text} + ") };
            let warps = self.mapping.block / 32;
            // No thread may wait inside, where warps go different ways.
            let touches = accesses_of(body).iter().filter_map(|a| self.touch_of(a, Who::All)).collect();
            self.wait_for(touches)?;
            self.warps = true;
            self.code
                .open(format!("for ({c} i{var} = {first}lane / 32; i{var} < {end_text}; i{var} += {warps})"));
            self.block(body)?;
            self.code.close();
            self.warps = false;
        } else if let (Some(sums), Phase::Join) = (&shared, self.mapping.phase) {
            self.chunk_sums(sums);
        } else if let Some(sums) = shared {
            let parts = self.mapping.spread;
            let chunked = self.mapping.phase == Phase::Parts && !sums.is_empty();
            let (mut first, mut last) = (begin_text.clone(), end_text.clone());
            if chunked {
                let chunks = self.mapping.chunks;
                let length = self.expr(&end.sub(begin));
                self.code.line(format!("const {c} each = ({length} + {}) / {chunks};", chunks - 1));
                let from = if first == "0" { String::new() } else { format!("{first} + ") };
                self.code.line(format!("const {c} first = {from}chunk * each;"));
                self.code.line(format!("const {c} last = first + each < {last} ? first + each : {last};"));
                (first, last) = ("first".to_string(), "last".to_string());
            }
            let first = if first == "0" { "part".to_string() } else { format!("{first} + part") };
            self.spread = true;
            self.code.pragma("unroll 4");
            self.code.open(format!("for ({c} i{var} = {first}; i{var} < {last}; i{var} += {parts})"));
            let before = self.hazards.clone();
            self.block(body)?;
            self.hazards.join(&before);
            self.code.close();
            self.spread = false;
            self.join_parts(&sums);
            if chunked {
                self.chunk_sums(&sums);
                self.done = true;
            }
        } else if self.context != Context::Group || apart {
            let before = self.hazards.clone();
            self.code.open(head);
            self.block(body)?;
            self.code.close();
            self.hazards.join(&before);
        } else {
            self.with_carried(&head, (var, begin, end), body)?;
        }
        self.open.pop();
        self.hazards.leave(var, begin, &end.offset(-1));
        if single {
            self.code.close();
            self.context = Context::Group;
        }
        Ok(())
    }

    /// Joins the sums that the threads of each lane have made; all of them get the whole.
    fn join_parts(&mut self, sums: &[(u32, ReduceOp)]) {
        for (l, op) in sums {
            let local = &self.kernel.locals[*l as usize];
            let (c, name) = (scalar::memory(local.dtype), names::buffer(self.kernel, BufferRef::Local(*l)));
            self.spread_parts.insert(c);
            let join = scalar::joiner(*op, local.dtype);
            self.code.line(format!(
                "tt_parts_all<{join}, {}, {}>({name}, {});",
                self.mapping.spread,
                self.mapping.across(),
                spread_name(c)
            ));
        }
    }

    /// Stores the sums of a chunk to scratch, or adds up those of all chunks.
    fn chunk_sums(&mut self, sums: &[(u32, ReduceOp)]) {
        let mapping = self.mapping;
        let threads = mapping.count().scale(mapping.lanes());
        let all = self.expr(&threads);
        for (l, op) in sums {
            let dtype = self.kernel.locals[*l as usize].dtype;
            let name = names::buffer(self.kernel, BufferRef::Local(*l));
            // One lane is one element: see `columns` in `mapping`.
            let place = |chunk: &str| format!("{name}_parts[(long long){chunk} * ({all}) + thread]");
            if mapping.phase == Phase::Parts {
                self.code.line(format!("if (part == 0) {} = {name}[0];", place("chunk")));
            } else {
                let join = scalar::joiner(*op, dtype);
                self.code.pragma("unroll 8");
                self.code.line(format!(
                    "for (int chunk = 0; chunk < {}; ++chunk) {name}[0] = {join}::join({name}[0], {});",
                    mapping.chunks,
                    place("chunk")
                ));
            }
            let len = threads.scale(mapping.chunks);
            self.scratch.push(Scratch { name: format!("{name}_parts"), dtype, len });
        }
    }

    /// A loop that the whole group goes through: what one iteration leaves behind, the next one meets.
    fn with_carried(
        &mut self,
        head: &str,
        (var, begin, end): (u32, &Expr, &Expr),
        body: &[Stmt],
    ) -> Result<(), Stop> {
        let known: HashSet<u32> = self.vals.keys().copied().collect();
        let (code, mut start) = (self.code.clone(), self.hazards.clone());
        loop {
            self.code = code.clone();
            self.hazards = start.clone();
            self.code.open(head);
            self.block(body)?;
            self.code.close();
            // Conditions of one iteration say nothing about another, and positions are other ones.
            self.hazards.forget_conditions(&known);
            self.hazards.leave(var, begin, &end.offset(-1));
            let mut joined = start.clone();
            joined.join(&self.hazards);
            if joined == start {
                self.hazards = joined;
                return Ok(());
            }
            start = joined;
        }
    }

    /// Whether one thread alone should run a loop: it writes memory in order, and leaves nothing to others
    /// but memory.
    fn for_one_thread(&self, body: &[Stmt]) -> bool {
        fn accumulators(stmts: &[Stmt], own: &mut HashSet<u32>, used: &mut HashSet<u32>) {
            for stmt in stmts {
                match stmt {
                    Stmt::For { body, .. } | Stmt::If { body, .. } => accumulators(body, own, used),
                    Stmt::Acc { acc, .. } => {
                        own.insert(acc.0);
                    }
                    Stmt::Accumulate { acc, .. } | Stmt::Let { inst: Inst::Read(acc), .. } => {
                        used.insert(acc.0);
                    }
                    Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Update { .. } => {}
                }
            }
        }
        let (mut own, mut used) = (HashSet::new(), HashSet::new());
        accumulators(body, &mut own, &mut used);
        !has_vector_loop(body) && used.is_subset(&own) && accesses_of(body).iter().any(|a| a.write)
    }
}
