//! Vector loops.
//!
//! ```text
//! main loop   whole vectors, a few side by side
//! tail        at 512 bits: vectors under a mask; else: scalars
//! ```
//!
//! An accumulator is 32 partial results whatever the width (see `ttk_ir::kernel::VECTOR_ACCUMULATORS`).
//! They live in the frame; a main loop that has room keeps them in registers.

use super::analysis::Plan;
use super::value::{Kind, V};
use super::{Acc, AccState, Binding, Gen, Result};
use crate::widen::{Tag, Wide};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, MemFlagsData, Value, types};
use ttk_ir::kernel::{AccId, Inst, Stmt, VECTOR_ACCUMULATORS, Val, VarId};
use ttk_ir::{Cmp, DType, Expr, ReduceOp};

const PARTIALS: i64 = VECTOR_ACCUMULATORS as i64;

/// Up to this many iterations are written out.
const FEW: i64 = 4;

/// How vector code is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes {
    /// Lanes of a 128-bit vector; the machine has `scale` times as many.
    pub(super) count: u32,
    pub(super) masked: Option<Masked>,
}

/// Only the first lanes count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masked {
    /// How many, an `i64` of at least 1.
    pub(super) count: Value,
    /// The lanes that count as bits, an `i32`.
    pub(super) bits: Value,
}

/// An accumulator of the current vector loop.
#[derive(Clone, Debug)]
pub(super) struct Partial {
    pub(super) acc: AccId,
    op: ReduceOp,
    dtype: DType,
    kind: Kind,
    /// Where in the frame the partial results are.
    frame: i32,
    /// The first so many are used; the others are identities and need not be looked at.
    used: i64,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// The vector for the copy of the body being written, or the scalar for the iteration.
    Register(V),
    /// In the frame, this many partial results from the first.
    Frame(Value),
}

impl<'a> Gen<'a> {
    /// Width of vector loops in 128-bit units.
    pub(super) fn scale(&self) -> u32 {
        self.wide.map_or(1, Wide::scale)
    }

    pub(super) fn lane_count(&self) -> u32 {
        self.lanes.map_or(1, |l| l.count)
    }

    pub(super) fn vector_loop(
        &mut self,
        var: VarId,
        begin: &'a Expr,
        end: &'a Expr,
        body: &'a [Stmt],
    ) -> Result<()> {
        let plan = self.plan(var, body);
        let nonnegative = self.is_nonnegative(begin);
        let trips = end.sub(begin);
        let runs = self.is_positive(&trips);
        let (first, last) = (self.expr(begin)?, self.expr(end)?);
        let outer = std::mem::take(&mut self.partials);
        self.lane_var = Some(var);
        for (acc, op) in &plan.outer {
            let dtype = self.acc(*acc)?.dtype;
            let kind = match Kind::of(dtype) {
                Kind::Bool => Kind::Mask32,
                other => other,
            };
            let frame = self.frame_bytes(kind.size() * PARTIALS as u32);
            self.partials.push(Partial {
                acc: *acc,
                op: *op,
                dtype,
                kind,
                frame,
                used: trips.as_const().map_or(PARTIALS, |n| n.clamp(1, PARTIALS)),
                place: Place::Frame(first),
            });
        }
        let certain = self.certain;
        self.certain &= runs;
        if let Some(n) = trips.as_const().filter(|n| *n <= FEW && plan.straight) {
            let joined = self.few_iterations(var, first, n, nonnegative, body)?;
            self.certain = certain;
            for (p, v) in std::mem::replace(&mut self.partials, outer).into_iter().zip(joined) {
                self.accumulate(p.acc, p.op, v)?;
            }
            return Ok(());
        }
        if plan.vectorize {
            self.vectors = true;
            self.lanes_loop(var, first, last, trips.as_const(), nonnegative, body, &plan)?;
        } else {
            self.init_partials();
            self.scalar_loop(var, first, first, last, runs, nonnegative, body)?;
        }
        self.certain = certain;
        let partials = std::mem::replace(&mut self.partials, outer);
        for p in partials {
            let joined = self.join(&p)?;
            self.accumulate(p.acc, p.op, joined)?;
        }
        Ok(())
    }

    /// A few iterations written out. Gives the joined accumulators: partial results that no iteration
    /// goes to are identities, and joining with them changes nothing that the first step, which joins
    /// each iteration's value with one, has not.
    fn few_iterations(
        &mut self,
        var: VarId,
        first: Value,
        n: i64,
        nonnegative: bool,
        body: &'a [Stmt],
    ) -> Result<Vec<V>> {
        let mut results: Vec<Vec<Option<V>>> = vec![Vec::new(); self.partials.len()];
        self.depth += 1;
        for i in 0..n {
            self.bind_var(var, Binding::Shifted(first, i), nonnegative);
            for at in 0..self.partials.len() {
                let identity = self.partials[at].op.identity(self.partials[at].dtype);
                let v = self.constant(identity);
                self.partials[at].place = Place::Register(v);
            }
            self.block(body)?;
            for (p, list) in self.partials.iter().zip(&mut results) {
                if let Place::Register(v) = p.place {
                    list.push(Some(v));
                }
            }
        }
        self.depth -= 1;
        let mut joined = Vec::new();
        for (at, mut list) in results.into_iter().enumerate() {
            let (op, dtype) = (self.partials[at].op, self.partials[at].dtype);
            list.resize((list.len().max(1)).next_power_of_two(), None);
            match self.join_tree(op, dtype, list)? {
                Some(v) => joined.push(v),
                None => return self.malformed("no partial results"),
            }
        }
        Ok(joined)
    }

    /// Joins halves until one is left; what is missing is an identity.
    fn join_tree(&mut self, op: ReduceOp, dtype: DType, mut list: Vec<Option<V>>) -> Result<Option<V>> {
        while list.len() > 1 {
            let half = list.len() / 2;
            for k in 0..half {
                list[k] = match (list[k], list[k + half]) {
                    (Some(a), Some(b)) => Some(self.combine(op, a, b, dtype)?),
                    (a, b) => a.or(b),
                };
            }
            list.truncate(half);
        }
        Ok(list.pop().flatten())
    }

    /// Iterations `from..last` one by one; the loop began at `first`.
    #[expect(clippy::too_many_arguments, reason = "the parts of one loop")]
    fn scalar_loop(
        &mut self,
        var: VarId,
        first: Value,
        from: Value,
        last: Value,
        runs: bool,
        nonnegative: bool,
        body: &'a [Stmt],
    ) -> Result<()> {
        self.counted(from, last, 1, runs, |g, i| {
            g.bind_var(var, Binding::Value(i), nonnegative);
            g.place_partials(first, i);
            g.block(body)
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one loop")]
    fn lanes_loop(
        &mut self,
        var: VarId,
        first: Value,
        last: Value,
        trips: Option<i64>,
        nonnegative: bool,
        body: &'a [Stmt],
        plan: &Plan<'a>,
    ) -> Result<()> {
        let step = i64::from(plan.lanes * self.scale());
        let is512 = self.wide == Some(Wide::W512);
        let sums = !self.partials.is_empty();
        // An accumulator in the frame is a chain through memory, 12 cycles a vector. There are 32 registers at 512
        // bits and 16 otherwise.
        let vectors = PARTIALS / step;
        let room = is512 || self.partials.len() as i64 * vectors <= 8;
        let in_registers = sums && room && plan.cost * vectors as u32 <= if is512 { 120 } else { 60 };
        let copies = match (sums, in_registers) {
            (true, true) => vectors,
            (true, false) => 1,
            (false, _) if plan.serial.contains(&true) => 1,
            (false, _) => match plan.cost {
                0..=5 => 4,
                6..=16 => 2,
                _ => 1,
            },
        };
        let main_step = copies * step;
        let has_tail = trips.is_none_or(|n| n % main_step != 0);
        let has_main = trips.is_none_or(|n| n >= main_step);

        // One vector of iterations is all: its partial results need not begin in memory.
        let once = is512 && !has_main && trips.is_some_and(|n| n <= step);
        // Partial results of the main loop: identities to begin with.
        let mut carried: Vec<V> = Vec::new();
        if in_registers && has_main {
            for at in 0..self.partials.len() {
                let identity = self.identity(at, plan.lanes);
                carried.extend(std::iter::repeat_n(identity, copies as usize));
            }
        } else if !once {
            self.init_partials();
        }
        let mut position = first;
        if has_main {
            let values: Vec<Value> = carried.iter().map(|v| v.value).collect();
            let bounds = Bounds { first, last, step: main_step, trips };
            let (next, out) = self.main_loop(bounds, values, |g, i, values| {
                let mut values = values;
                for copy in 0..copies {
                    g.lanes = Some(Lanes { count: plan.lanes, masked: None });
                    g.bind_var(var, Binding::Shifted(i, copy * step), nonnegative);
                    let slot = |at: usize| at * copies as usize + copy as usize;
                    if in_registers {
                        for (at, p) in g.partials.iter_mut().enumerate() {
                            p.place = Place::Register(V { value: values[slot(at)], kind: p.kind });
                        }
                    } else {
                        g.place_partials(first, i);
                    }
                    g.vector_body(var, plan)?;
                    if in_registers {
                        for (at, p) in g.partials.iter().enumerate() {
                            if let Place::Register(v) = p.place {
                                values[slot(at)] = v.value;
                            }
                        }
                    }
                    g.lanes = None;
                }
                Ok(values)
            })?;
            position = next;
            // From here on the partial results are in the frame.
            self.lanes = Some(Lanes { count: plan.lanes, masked: None });
            for (slot, value) in out.into_iter().enumerate() {
                let (at, copy) = (slot / copies as usize, slot % copies as usize);
                let (kind, frame) = (self.partials[at].kind, self.partials[at].frame);
                let address = self.frame_address(frame);
                let offset = copy as i64 * step * i64::from(kind.size());
                self.store_frame(V { value, kind }, address, offset as i32);
            }
            self.lanes = None;
        }
        if !has_tail {
            return Ok(());
        }
        if !is512 {
            let rest = trips.map(|n| if has_main { n % main_step } else { n });
            if in_registers && rest.is_none_or(|n| n >= step) {
                let bounds = Bounds { first: position, last, step, trips: rest };
                (position, _) = self.main_loop(bounds, Vec::new(), |g, i, values| {
                    g.lanes = Some(Lanes { count: plan.lanes, masked: None });
                    g.bind_var(var, Binding::Value(i), nonnegative);
                    g.place_partials(first, i);
                    g.vector_body(var, plan)?;
                    g.lanes = None;
                    Ok(values)
                })?;
            }
            if in_registers && rest.is_some_and(|n| n % step == 0) {
                return Ok(());
            }
            let runs = trips.is_some();
            return self.scalar_loop(var, first, position, last, runs, nonnegative, body);
        }
        let rest = trips.map(|n| n % main_step);
        if copies == 1 || rest.is_some_and(|n| n <= step) {
            let (some, done) = (self.b.create_block(), self.b.create_block());
            if rest.is_some() {
                self.b.ins().jump(some, &[]);
            } else {
                let any = self.b.ins().icmp(IntCC::SignedLessThan, position, last);
                self.b.ins().brif(any, some, &[], done, &[]);
            }
            self.enter(some);
            self.depth += 1;
            for at in 0..self.partials.len() {
                if once {
                    let identity = self.identity(at, plan.lanes);
                    self.partials[at].place = Place::Register(identity);
                }
            }
            self.masked_body(var, (!once).then_some(first), position, last, rest, nonnegative, plan)?;
            self.depth -= 1;
            self.lanes = Some(Lanes { count: plan.lanes, masked: None });
            for p in self.partials.clone() {
                if let Place::Register(v) = p.place {
                    let address = self.frame_address(p.frame);
                    self.store_frame(v, address, 0);
                }
            }
            self.lanes = None;
            self.b.ins().jump(done, &[]);
            self.enter(done);
            return Ok(());
        }
        self.counted(position, last, step, rest.is_some(), |g, i| {
            g.masked_body(var, Some(first), i, last, None, nonnegative, plan)
        })
    }

    /// One vector of iterations from `i` on, under a mask; `rest` is how many when that is known. `first`
    /// is where the loop began, unless accumulators are in registers.
    #[expect(clippy::too_many_arguments, reason = "the parts of one loop")]
    fn masked_body(
        &mut self,
        var: VarId,
        first: Option<Value>,
        i: Value,
        last: Value,
        rest: Option<i64>,
        nonnegative: bool,
        plan: &Plan<'a>,
    ) -> Result<()> {
        let step = i64::from(plan.lanes * self.scale());
        let all = self.b.ins().iconst(types::I64, step);
        let (count, bits) = match rest {
            Some(n) => {
                let bits = self.b.ins().iconst(types::I32, (1 << n) - 1);
                (self.b.ins().iconst(types::I64, n), bits)
            }
            None => {
                let rest = self.b.ins().isub(last, i);
                let count = self.b.ins().smin(rest, all);
                let one = self.b.ins().iconst(types::I32, 1);
                let bit = self.b.ins().ishl(one, count);
                (count, self.b.ins().iadd_imm_s(bit, -1))
            }
        };
        self.set_mask(bits);
        self.lanes = Some(Lanes { count: plan.lanes, masked: Some(Masked { count, bits }) });
        self.bind_var(var, Binding::Value(i), nonnegative);
        if let Some(first) = first {
            self.place_partials(first, i);
        }
        self.vector_body(var, plan)?;
        self.lanes = None;
        Ok(())
    }

    /// Makes `bits` the mask of masked accesses from here on.
    pub(super) fn set_mask(&mut self, bits: Value) {
        // The store is not done, so any address will do.
        let flags = MemFlagsData::new().with_trap_code(Some(Tag::SetMask.trap_code()));
        self.b.ins().store(flags, bits, self.entry.errors, 0);
    }

    fn vector_body(&mut self, var: VarId, plan: &Plan<'a>) -> Result<()> {
        let body = &plan.body;
        let mut k = 0;
        while k < body.len() {
            if plan.serial[k] {
                let to = (k..body.len()).find(|&t| !plan.serial[t]).unwrap_or(body.len());
                self.serial_run(var, k, to, plan)?;
                k = to;
                continue;
            }
            match body[k] {
                Stmt::Let { dst, .. } if plan.positions.contains_key(dst) => {}
                Stmt::Let { dst, dtype, inst: inst @ Inst::Cmp(op, x, y) }
                    if [x, y].iter().any(|v| plan.positions.contains_key(v)) =>
                {
                    let v = self.compare_positions(var, *op, *x, *y, plan)?;
                    self.bind(*dst, *dtype, inst, v);
                }
                uniform @ Stmt::Let { dst, .. } if !plan.varying.contains(dst) => {
                    let lanes = self.lanes.take();
                    self.stmt(uniform)?;
                    self.lanes = lanes;
                }
                Stmt::Store { buffer, index, value } => {
                    let (v, _) = self.val(*value)?;
                    self.store_vector(*buffer, index, v)?;
                }
                Stmt::Acc { acc, dtype, init } => {
                    let v = self.constant(init.cast(*dtype));
                    self.declare_acc(*acc, Acc { dtype: *dtype, state: AccState::Lane(v) });
                }
                other => self.stmt(other)?,
            }
            k += 1;
        }
        Ok(())
    }

    /// `while i + step <= last`; gives the first iteration it left and the carried values.
    fn main_loop(
        &mut self,
        bounds: Bounds,
        carried: Vec<Value>,
        body: impl FnOnce(&mut Self, Value, Vec<Value>) -> Result<Vec<Value>>,
    ) -> Result<(Value, Vec<Value>)> {
        let Bounds { first, last, step, trips } = bounds;
        let args = |i: Value, values: &[Value]| -> Vec<BlockArg> {
            std::iter::once(i).chain(values.iter().copied()).map(BlockArg::Value).collect()
        };
        if trips.is_some_and(|n| n / step == 1) {
            self.depth += 1;
            let out = body(self, first, carried)?;
            self.depth -= 1;
            return Ok((self.b.ins().iadd_imm_s(first, step), out));
        }
        let (before, head, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let params = |g: &mut Self, block| {
            let i = g.b.append_block_param(block, types::I64);
            let values: Vec<Value> = carried
                .iter()
                .map(|v| {
                    let ty = g.b.func.dfg.value_type(*v);
                    g.b.append_block_param(block, ty)
                })
                .collect();
            (i, values)
        };
        let (i, inside) = params(self, head);
        let (after, out) = params(self, done);
        let limit = self.b.ins().iadd_imm_s(last, -step);
        if trips.is_some() {
            self.b.ins().jump(before, &[]);
        } else {
            let any = self.b.ins().icmp(IntCC::SignedLessThanOrEqual, first, limit);
            self.b.ins().brif(any, before, &[], done, &args(first, &carried));
        }
        self.enter(before);
        self.b.ins().jump(head, &args(first, &carried));
        self.b.switch_to_block(head);
        self.depth += 1;
        let values = body(self, i, inside)?;
        self.depth -= 1;
        let next = self.b.ins().iadd_imm_s(i, step);
        let more = self.b.ins().icmp(IntCC::SignedLessThanOrEqual, next, limit);
        let args = args(next, &values);
        self.b.ins().brif(more, head, &args, done, &args);
        self.b.seal_block(head);
        self.enter(done);
        Ok((after, out))
    }

    /// The partial results for iteration `i` on are in the frame, at the iteration's number modulo 32.
    fn place_partials(&mut self, first: Value, i: Value) {
        if self.partials.is_empty() {
            return;
        }
        let number = self.b.ins().isub(i, first);
        let place = self.b.ins().band_imm_u(number, PARTIALS - 1);
        for p in &mut self.partials {
            p.place = Place::Frame(place);
        }
    }

    /// What combining starts from, in a vector of `lanes` lanes (at 128 bits).
    fn identity(&mut self, at: usize, lanes: u32) -> V {
        let saved = self.lanes.replace(Lanes { count: lanes, masked: None });
        let p = &self.partials[at];
        let identity = p.op.identity(p.dtype);
        let v = self.constant(identity);
        self.lanes = saved;
        v
    }

    fn init_partials(&mut self) {
        for at in 0..self.partials.len() {
            self.vectors = true;
            let (kind, frame) = (self.partials[at].kind, self.partials[at].frame);
            let lanes = 16 / kind.size();
            let v = self.identity(at, lanes);
            let saved = self.lanes.replace(Lanes { count: lanes, masked: None });
            let address = self.frame_address(frame);
            let bytes = 16 * self.scale() as i32;
            for k in 0..(kind.size() as i32 * PARTIALS as i32) / bytes {
                self.store_frame(v, address, k * bytes);
            }
            self.lanes = saved;
        }
    }

    /// One step of a partial accumulator.
    pub(super) fn accumulate_partial(&mut self, at: usize, v: V) -> Result<()> {
        let Partial { op, dtype, kind, frame, place, .. } = self.partials[at].clone();
        let number = match place {
            Place::Register(old) => {
                let new = self.combine(op, old, v, dtype)?;
                let new = self.mask(new, kind);
                let new = match self.lanes.and_then(|l| l.masked) {
                    Some(masked) => {
                        let inside = self.inside(kind, masked.count);
                        self.select(inside, new, old)
                    }
                    None => new,
                };
                self.partials[at].place = Place::Register(new);
                return Ok(());
            }
            Place::Frame(number) => number,
        };
        let base = self.frame_address(frame);
        let offset = self.b.ins().ishl_imm_u(number, i64::from(kind.size().trailing_zeros()));
        let address = self.b.ins().iadd(base, offset);
        let Some(lanes) = self.lanes else {
            let old = self.load_lane(kind, address, 0);
            let new = self.combine(op, old, v, dtype)?;
            self.store_lane(new, address, 0);
            return Ok(());
        };
        let old = self.load_frame(kind, address, 0);
        let new = self.combine(op, old, v, dtype)?;
        let new = self.mask(new, kind);
        let new = match lanes.masked {
            Some(masked) => {
                let inside = self.inside(kind, masked.count);
                self.select(inside, new, old)
            }
            None => new,
        };
        self.store_frame(new, address, 0);
        Ok(())
    }

    /// Which lanes are before `count`, as a mask for values of a kind.
    pub(super) fn inside(&mut self, kind: Kind, count: Value) -> V {
        let bits = kind.bits();
        let scalar = if bits == Kind::I64 { count } else { self.b.ins().ireduce(types::I32, count) };
        let count = self.splat(V { value: scalar, kind: bits });
        let iota = self.iota(bits);
        let value = self.b.ins().icmp(IntCC::SignedLessThan, iota.value, count.value);
        V { value, kind: self.mask_kind(bits) }
    }

    /// The partial results joined as a balanced tree: vectors while there is more than one, then lanes.
    fn join(&mut self, p: &Partial) -> Result<V> {
        let kind = p.kind;
        self.lanes = Some(Lanes { count: 16 / kind.size(), masked: None });
        let flags = match self.wide {
            Some(_) => MemFlagsData::new().with_trap_code(Some(Tag::Narrow.trap_code())),
            None => MemFlagsData::new().with_notrap(),
        };
        let address = self.frame_address(p.frame);
        let size = kind.size() as i32;
        let used = (p.used as i32 * size + 15) / 16;
        let vectors = (0..size * PARTIALS as i32 / 16)
            .map(|k| {
                let load = |g: &mut Self| g.b.ins().load(kind.vector_type(), flags, address, 16 * k);
                (k < used).then(|| V { value: load(self), kind })
            })
            .collect();
        let Some(mut v) = self.join_tree(p.op, p.dtype, vectors)? else {
            return self.malformed("no partial results");
        };
        let mut half = 8u8;
        while u32::from(half) >= kind.size() {
            // The upper half, twice: not a rotation, which would mean something else.
            let pick: Vec<u8> = (0..16).map(|k| half + k % half).collect();
            let bytes = self.cast(v.value, types::I8X16);
            let upper = self.shuffle(bytes, bytes, pick);
            let upper = V { value: self.cast(upper, kind.vector_type()), kind };
            v = self.combine(p.op, v, upper, p.dtype)?;
            half /= 2;
        }
        self.lanes = None;
        let value = self.b.ins().extractlane(v.value, 0);
        if kind == Kind::Mask32 {
            let value = self.b.ins().icmp_imm_u(IntCC::NotEqual, value, 0);
            return Ok(V { value, kind: Kind::Bool });
        }
        Ok(V { value, kind })
    }

    /// Compares positions in 32-bit lanes: `first + step * lane < y` as `step * lane < y - first`, where
    /// the right side is one number for all lanes and may be cut to 31 bits.
    fn compare_positions(&mut self, var: VarId, op: Cmp, x: Val, y: Val, plan: &Plan<'a>) -> Result<V> {
        let lanes = self.lanes.take();
        let expr = |v: &Val| plan.positions.get(v).cloned();
        let step = |e: &Expr| e.affine_in(var.0).and_then(|(c, _)| c.as_const()).unwrap_or(0);
        // (what lanes differ by, on which side it stands, the number on the other side)
        let (by, left, other) = match (expr(&x), expr(&y)) {
            (Some(a), Some(b)) => {
                let difference = a.sub(&b);
                let minus = self.expr(&difference.scale(-1))?;
                (step(&difference), true, minus)
            }
            (Some(a), None) => (step(&a), true, self.distance(y, &a)?),
            (None, Some(b)) => (step(&b), false, self.distance(x, &b)?),
            (None, None) => return self.malformed("a comparison of positions without a position"),
        };
        let limit = 1i64 << 30;
        let (low, high) = (self.number(Kind::I64, -limit).value, self.number(Kind::I64, limit).value);
        let cut = self.b.ins().smax(other, low);
        let cut = self.b.ins().smin(cut, high);
        let cut = self.b.ins().ireduce(types::I32, cut);
        self.lanes = lanes;
        let other = self.splat(V { value: cut, kind: Kind::I32 });
        let mut lane = self.iota(Kind::I32);
        if by != 1 {
            let by = self.number(Kind::I32, by);
            lane = V { value: self.b.ins().imul(lane.value, by.value), kind: Kind::I32 };
        }
        let (a, b) = if left { (lane, other) } else { (other, lane) };
        Ok(self.compare(op, a, b, DType::I32))
    }

    /// A number less the position of lane 0, without overflow for any number.
    fn distance(&mut self, number: Val, position: &Expr) -> Result<Value> {
        let (v, _) = self.val(number)?;
        let far = 1i64 << 61;
        let (low, high) = (self.number(Kind::I64, -far).value, self.number(Kind::I64, far).value);
        let v = self.b.ins().smax(v.value, low);
        let v = self.b.ins().smin(v, high);
        let first = self.expr(position)?;
        Ok(self.b.ins().isub(v, first))
    }

    /// An index expression in lanes: its value for lane 0 and its step from lane to lane.
    pub(super) fn index_vector(&mut self, e: &Expr, dtype: DType) -> Result<V> {
        let kind = Kind::of(dtype);
        let Some(coeff) = self.lane_var.and_then(|v| e.affine_in(v.0)).map(|(coeff, _)| coeff) else {
            return self.malformed("an index that is not affine in vector code");
        };
        let lanes = self.lanes.take();
        let narrow = |g: &mut Self, v: Value| {
            if kind == Kind::I64 { v } else { g.b.ins().ireduce(types::I32, v) }
        };
        let first = self.expr(e)?;
        let first = narrow(self, first);
        let by = self.expr(&coeff)?;
        let by = narrow(self, by);
        self.lanes = lanes;
        let (first, by) = (self.splat(V { value: first, kind }), self.splat(V { value: by, kind }));
        let mut lane = self.iota(kind).value;
        if !coeff.is_one() {
            lane = self.b.ins().imul(lane, by.value);
        }
        let value = self.b.ins().iadd(first.value, lane);
        Ok(self.wrap(V { value, kind }, dtype))
    }
}

struct Bounds {
    first: Value,
    last: Value,
    step: i64,
    trips: Option<i64>,
}
