//! A loop unit as a kernel: rows outside, reductions and their users in stages inside.
//!
//! The iteration space has inner axes, along which the unit's reductions run, and row axes. There are
//! two shapes of kernel. By rows: the parallel loop and the loops inside it run over rows; in a row,
//! each stage is a loop over inner axes that accumulates some reductions and stores what is known by
//! then. By columns, when memory is contiguous along a row axis: the lanes of the vector loop are rows,
//! and accumulators are a strip of local memory.

use super::LowerError;
use super::build::KernelBuilder;
use super::emit::{Emitter, Kept, Point, Sources, Stored};
use super::lanes::{Span, lanes};
use super::schedule::{Accesses, Level, PARALLEL, levels, open_nest};
use super::stages::{Item, Stages};
use super::views::{linear, row_major};
use crate::fuse::{AxisList, LoopUnit};
use smallvec::SmallVec;
use ttk_ir::kernel::{Access, BufferRef, Kernel, LoopKind};
use ttk_ir::program::BufferId;
use ttk_ir::{Atom, DType, Expr, Graph, ValueId};

/// Elements of a long contiguous loop that one iteration of the parallel loop takes.
const BLOCK: i64 = 4096;
/// Columns of a strip of accumulators, at least and at most.
const STRIP: (i64, i64) = (64, 256);
/// Scratch for a row is at most this many elements.
const SCRATCH: i64 = 1 << 14;

/// A kernel and what a launch passes to it.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) kernel: Kernel,
    pub(crate) buffers: Vec<BufferId>,
    /// Estimated work of one iteration of the parallel loop, as `Action::Launch` has it.
    pub(crate) work: Expr,
}

type Places<'a> = &'a dyn Fn(ValueId) -> Option<Stored>;

/// The position of a value along its axes, where the unit's axes are at `coords`.
fn position(dims: &[AxisList], extents: &[Expr], coords: &[Expr]) -> SmallVec<[Expr; 4]> {
    dims.iter()
        .map(|list| {
            list.iter()
                .fold(Expr::default(), |sum, &a| sum.mul(&extents[a as usize]).add(&coords[a as usize]))
        })
        .collect()
}

/// The kernel of a unit. `stored` says where its outputs go.
pub(crate) fn build(
    graph: &Graph,
    unit: &LoopUnit,
    sources: &dyn Sources,
    stored: Places<'_>,
) -> Result<Built, LowerError> {
    let stages = Stages::new(graph, unit, sources);
    let extents: Vec<Expr> = unit.axes.iter().map(|a| a.extent.expr()).collect();
    let accesses = Accesses::default();
    let mut k = Builder { graph, unit, stages, sources, stored, extents, accesses, conditional: Vec::new() };
    (k.accesses, k.conditional) = k.dry_run()?;
    let rows: Vec<usize> = (0..unit.axes.len()).filter(|&a| !unit.axes[a].inner).collect();
    let rows = k.levels(&rows);
    let lanes = k.best(&rows);
    if k.stages.items.iter().all(|i| !i.reduces) {
        return k.map(rows, lanes);
    }
    let inner: Vec<usize> = (0..unit.axes.len()).filter(|&a| unit.axes[a].inner).collect();
    let inner = k.levels(&inner);
    let score = |list: &[Level], at: Option<usize>| at.map_or(i64::MIN, |i| k.score(&list[i]));
    let row_score = score(&rows, lanes);
    let inner_score = score(&inner, k.best(&inner));
    match lanes {
        Some(lanes) if row_score > inner_score => k.by_columns(rows, lanes),
        Some(_) | None => k.by_rows(rows),
    }
}

struct Builder<'a> {
    graph: &'a Graph,
    unit: &'a LoopUnit,
    stages: Stages,
    sources: &'a dyn Sources,
    stored: Places<'a>,
    extents: Vec<Expr>,
    accesses: Accesses,
    /// The axes along which it matters where an element lies: see [`lanes()`].
    conditional: Vec<usize>,
}

/// A strip of local memory, or a row of it, for a value.
struct Scratch {
    buffer: BufferRef,
    dtype: DType,
}

impl<'a> Builder<'a> {
    /// Emits everything once at one position, to see what it touches.
    fn dry_run(&self) -> Result<(Accesses, Vec<usize>), LowerError> {
        let first = self.extents.first().cloned().unwrap_or_else(|| Expr::constant(1));
        let (b, first) = KernelBuilder::new(Expr::constant(0), first);
        let mut em = Emitter::new(b, self.graph, self.sources);
        em.dry = true;
        let mut coords = vec![Expr::var(first.0)];
        for e in self.extents.iter().skip(1) {
            let var = em.b.open(Expr::constant(0), e.clone(), LoopKind::Serial);
            coords.push(Expr::var(var.0));
        }
        for item in &self.stages.items {
            if item.reduces {
                let (p, _) = self.operand_point(&mut em, item.value, &coords);
                em.element(item.source(self.graph), p)?;
            } else {
                self.output(&mut em, item.value, &coords)?;
            }
        }
        let decides = |axis: &usize| {
            let var = Atom::Var(*axis as u32);
            em.guards.iter().flatten().any(|e| e.mentions(&var))
        };
        Ok((Accesses::of(&em.b), (0..self.extents.len()).filter(decides).collect()))
    }

    fn levels(&self, axes: &[usize]) -> Vec<Level> {
        levels(axes, &self.extents, &self.accesses)
    }

    fn score(&self, level: &Level) -> i64 {
        level.axes.last().map_or(i64::MIN, |&a| self.accesses.lane_score(a))
    }

    /// The level that suits the lanes best; the innermost of equals.
    fn best(&self, list: &[Level]) -> Option<usize> {
        (0..list.len()).max_by_key(|&i| (self.score(&list[i]), i))
    }

    fn coords(&self) -> Vec<Expr> {
        vec![Expr::default(); self.extents.len()]
    }

    fn dims(&self, v: ValueId) -> &'a [AxisList] {
        let member = self.unit.members.iter().find(|m| m.value == v);
        member.and_then(|m| m.dims.as_deref()).unwrap_or_default()
    }

    /// Sets the coordinates of a level's axes from the position along it.
    fn place(&self, em: &Emitter<'_>, level: &Level, at: &Expr, coords: &mut [Expr]) {
        let mut stride = Expr::constant(1);
        for (i, &axis) in level.axes.iter().enumerate().rev() {
            let extent = &self.extents[axis];
            let q = em.b.ranges.floor_div(at, &stride);
            coords[axis] = if i == 0 { q } else { em.b.ranges.modulo(&q, extent) };
            stride = stride.mul(extent);
        }
    }

    /// Sets the coordinates of several levels from a position in all of them.
    fn place_all(&self, em: &Emitter<'_>, list: &[Level], at: &Expr, coords: &mut [Expr]) {
        let mut rest = at.clone();
        for (i, level) in list.iter().enumerate().rev() {
            let here = if i == 0 { rest.clone() } else { em.b.ranges.modulo(&rest, &level.extent) };
            rest = em.b.ranges.floor_div(&rest, &level.extent);
            self.place(em, level, &here, coords);
        }
    }

    /// Opens the parallel loop over some of `rows` and serial loops over the others.
    fn open_rows(&self, rows: &[Level], coords: &mut [Expr]) -> Emitter<'a> {
        let extents: Vec<Expr> = rows.iter().map(|l| l.extent.clone()).collect();
        let (b, at) = open_nest(&extents);
        let em = Emitter::new(b, self.graph, self.sources);
        for (level, at) in rows.iter().zip(&at) {
            self.place(&em, level, at, coords);
        }
        em
    }

    fn open(&self, em: &mut Emitter<'_>, level: &Level, kind: LoopKind, coords: &mut [Expr]) {
        let var = em.b.open(Expr::constant(0), level.extent.clone(), kind);
        self.place(em, level, &Expr::var(var.0), coords);
    }

    /// Opens the parallel loop over `outer` and the blocks of `lanes`; gives the block's number.
    fn open_blocks(
        &self,
        outer: &[Level],
        lanes: &Level,
        size: i64,
        coords: &mut [Expr],
    ) -> (Emitter<'a>, Expr) {
        let blocks = lanes.extent.offset(size - 1).floor_div(&Expr::constant(size));
        let known = lanes.extent.as_const().is_some();
        let total =
            if known { outer.iter().fold(blocks.clone(), |n, l| n.mul(&l.extent)) } else { blocks.clone() };
        let (b, p) = KernelBuilder::new(Expr::constant(0), total);
        let mut em = Emitter::new(b, self.graph, self.sources);
        if !known {
            // Dividing by a number of blocks that is not known would leave bounds that nobody can prove.
            for level in outer {
                self.open(&mut em, level, LoopKind::Serial, coords);
            }
            return (em, Expr::var(p.0));
        }
        let block = em.b.ranges.modulo(&Expr::var(p.0), &blocks);
        let rest = em.b.ranges.floor_div(&Expr::var(p.0), &blocks);
        self.place_all(&em, outer, &rest, coords);
        (em, block)
    }

    /// Opens the vector loop over one block of a level; gives the position in the block.
    fn open_block(
        &self,
        em: &mut Emitter<'_>,
        level: &Level,
        block: &Expr,
        size: i64,
        coords: &mut [Expr],
    ) -> Expr {
        let Span { begin, end, last, trips } = block_span(level, block, size);
        let var = em.b.open_within(begin.clone(), end, LoopKind::Vector, Expr::constant(0), last);
        em.b.set_trips(var, trips);
        let at = Expr::var(var.0);
        self.place(em, level, &at, coords);
        at.sub(&begin)
    }

    /// The position of a member's result; reduced axes are at 0.
    fn result_point(
        &self,
        em: &mut Emitter<'_>,
        v: ValueId,
        coords: &[Expr],
    ) -> (Point, SmallVec<[Expr; 4]>) {
        let mut at = position(self.dims(v), &self.extents, coords);
        for a in self.stages.reduced(self.graph, v) {
            at[a as usize] = Expr::default();
        }
        for e in &mut at {
            *e = em.b.ranges.simplify(e);
        }
        (em.point(&at), at)
    }

    /// The position of a reduction's operand.
    fn operand_point(
        &self,
        em: &mut Emitter<'_>,
        v: ValueId,
        coords: &[Expr],
    ) -> (Point, SmallVec<[Expr; 4]>) {
        let mut at = position(self.dims(v), &self.extents, coords);
        for e in &mut at {
            *e = em.b.ranges.simplify(e);
        }
        (em.point(&at), at)
    }

    /// Computes an output and stores it.
    fn output(&self, em: &mut Emitter<'_>, v: ValueId, coords: &[Expr]) -> Result<(), LowerError> {
        let (p, at) = self.result_point(em, v, coords);
        let val = em.element(v, p)?;
        if let Some(s) = (self.stored)(v) {
            let dtype = self.graph.ty(v).dtype;
            let buffer = em.b.param(s.buffer, dtype, &s.len, Access::Write);
            em.store(buffer, &linear(&at, &s.strides), val, dtype);
        }
        Ok(())
    }

    /// Outputs that have one element a row, and all where there is no reduction.
    fn row_outputs(&self, em: &mut Emitter<'_>, coords: &[Expr]) -> Result<(), LowerError> {
        for item in self.stages.items.iter().filter(|i| !i.reduces && i.axes.is_empty()) {
            self.output(em, item.value, coords)?;
        }
        Ok(())
    }

    /// Elementwise work only: every output at every position.
    fn map(&mut self, mut rows: Vec<Level>, best: Option<usize>) -> Result<Built, LowerError> {
        let mut coords = self.coords();
        let Some(best) = best else {
            // A scalar.
            let (b, _) = KernelBuilder::new(Expr::constant(0), Expr::constant(1));
            let mut em = Emitter::new(b, self.graph, self.sources);
            self.row_outputs(&mut em, &coords)?;
            return Ok(finish(em));
        };
        let level = rows.remove(best);
        let outer = rows.iter().fold(Expr::constant(1), |n, l| n.mul(&l.extent));
        let long = level.extent.as_const().is_none_or(|n| n >= 2 * BLOCK);
        let few = outer.as_const().is_some_and(|n| n < PARALLEL);
        if long && few {
            let (mut em, block) = self.open_blocks(&rows, &level, BLOCK, &mut coords);
            em.conditional = !self.conditional.is_empty() && level.extent.as_const().is_some();
            lanes(&mut em, &[block_span(&level, &block, BLOCK)], &mut |em, at| {
                self.place(em, &level, &at[0], &mut coords);
                self.row_outputs(em, &coords)
            })?;
            return Ok(finish(em));
        }
        // An axis with conditions has a loop of its own, which can be cut.
        let mixed = |l: &Level| l.axes.iter().any(|a| self.conditional.contains(a));
        let (mut alone, mut plain): (Vec<Level>, Vec<Level>) = rows.into_iter().partition(mixed);
        if plain.is_empty() && !alone.is_empty() {
            plain.push(alone.remove(0));
        }
        let mut em = self.open_rows(&plain, &mut coords);
        em.conditional = !self.conditional.is_empty();
        alone.push(level);
        let spans: Vec<Span> = alone.iter().map(|l| Span::all(&l.extent)).collect();
        lanes(&mut em, &spans, &mut |em, at| {
            for (level, at) in alone.iter().zip(at) {
                self.place(em, level, at, &mut coords);
            }
            self.row_outputs(em, &coords)
        })?;
        Ok(finish(em))
    }

    /// The loops over a set of inner axes, lanes last.
    fn inner_levels(&self, axes: &[usize]) -> Vec<Level> {
        let mut list = self.levels(axes);
        if let Some(best) = self.best(&list) {
            let lanes = list.remove(best);
            list.push(lanes);
        }
        list
    }

    /// Rows outside, stages of loops over inner axes inside.
    fn by_rows(&mut self, rows: Vec<Level>) -> Result<Built, LowerError> {
        let mut coords = self.coords();
        let mut em = self.open_rows(&rows, &mut coords);
        let mut kept: Vec<(ValueId, Scratch, Vec<usize>)> = Vec::new();
        for (stage, axes) in self.stages.loops() {
            let items: Vec<Item> = self.stages.at(stage, &axes).cloned().collect();
            let mut accs = Vec::new();
            for r in items.iter().filter(|i| i.reduces) {
                let dtype = self.graph.ty(r.value).dtype.compute();
                accs.push((r, em.b.acc(dtype, r.op.identity(dtype)), dtype));
            }
            let loops = self.inner_levels(&axes);
            let saves: Vec<(ValueId, Scratch)> = self
                .stages
                .saved(stage, &axes)
                .filter_map(|v| Some((v, self.row_scratch(&mut em, v, &axes)?)))
                .collect();
            for (i, level) in loops.iter().enumerate() {
                let kind = if i + 1 == loops.len() { LoopKind::Vector } else { LoopKind::Serial };
                self.open(&mut em, level, kind, &mut coords);
            }
            // What earlier loops over these axes have saved.
            for (v, scratch, own) in kept.iter().filter(|k| k.2 == axes) {
                self.recall(&mut em, *v, scratch, own, &coords);
            }
            for item in items.iter().filter(|i| !i.reduces) {
                self.output(&mut em, item.value, &coords)?;
            }
            for (r, acc, _) in &accs {
                let (p, _) = self.operand_point(&mut em, r.value, &coords);
                let val = em.element(r.source(self.graph), p)?;
                em.b.accumulate(*acc, r.op, val);
            }
            for (v, scratch) in &saves {
                let (p, _) = self.result_point(&mut em, *v, &coords);
                let val = em.element(*v, p)?;
                em.b.store(scratch.buffer, &self.row_index(&axes, &coords), val);
            }
            for (v, _, _) in &kept {
                em.forget(*v);
            }
            for _ in &loops {
                em.close();
            }
            for (r, acc, dtype) in &accs {
                let val = em.b.read(*acc, *dtype);
                let narrow = em.b.cast(val, self.graph.ty(r.value).dtype);
                let val = em.b.cast(narrow, *dtype);
                let (at, _) = self.result_point(&mut em, r.value, &coords);
                em.keep(r.value, Kept::Scalar { at, val });
            }
            kept.extend(saves.into_iter().map(|(v, s)| (v, s, axes.clone())));
        }
        self.row_outputs(&mut em, &coords)?;
        Ok(finish(em))
    }

    /// Scratch for one row of a value.
    fn row_scratch(&self, em: &mut Emitter<'_>, v: ValueId, axes: &[usize]) -> Option<Scratch> {
        let len = axes.iter().fold(Expr::constant(1), |n, &a| n.mul(&self.extents[a]));
        if len.as_const().is_some_and(|n| n > SCRATCH) {
            return None;
        }
        let dtype = self.graph.ty(v).dtype.compute();
        Some(Scratch { buffer: em.b.local(dtype, len), dtype })
    }

    /// The position in the scratch for a row.
    fn row_index(&self, axes: &[usize], coords: &[Expr]) -> Expr {
        axes.iter().fold(Expr::default(), |sum, &a| sum.mul(&self.extents[a]).add(&coords[a]))
    }

    fn recall(&self, em: &mut Emitter<'_>, v: ValueId, scratch: &Scratch, axes: &[usize], coords: &[Expr]) {
        let (at, _) = self.result_point(em, v, coords);
        let index = self.row_index(axes, coords);
        em.keep(v, Kept::Memory { at, buffer: scratch.buffer, index, dtype: scratch.dtype, again: true });
    }

    /// Lanes are rows: accumulators, and values of a row that are wanted in later loops, are strips of
    /// local memory.
    fn by_columns(&mut self, mut rows: Vec<Level>, lanes: usize) -> Result<Built, LowerError> {
        let lanes = rows.remove(lanes);
        let strip = strip(&lanes.extent);
        let mut coords = self.coords();
        let (mut em, block) = self.open_blocks(&rows, &lanes, strip, &mut coords);
        let mut strips: Vec<(ValueId, Scratch)> = Vec::new();
        let local = |em: &mut Emitter<'_>, v: ValueId| {
            let dtype = self.graph.ty(v).dtype.compute();
            Scratch { buffer: em.b.local(dtype, Expr::constant(strip)), dtype }
        };
        for (stage, axes) in self.stages.loops() {
            let items: Vec<Item> = self.stages.at(stage, &axes).cloned().collect();
            let mut sums = Vec::new();
            for r in items.iter().filter(|i| i.reduces) {
                let scratch = local(&mut em, r.value);
                sums.push((r, scratch));
            }
            // Values of a row that this loop needs and that are work to compute.
            let needed: Vec<ValueId> = self
                .stages
                .row_values(self.graph, self.unit, self.sources, &items)
                .into_iter()
                .filter(|v| strips.iter().all(|(known, _)| known != v))
                .collect();
            if !sums.is_empty() || !needed.is_empty() {
                let at = self.open_block(&mut em, &lanes, &block, strip, &mut coords);
                self.recall_strips(&mut em, &strips, &at, &coords);
                for (r, scratch) in &sums {
                    let identity = em.scalar(r.op.identity(scratch.dtype));
                    em.b.store(scratch.buffer, &at, identity);
                }
                let mut fresh = Vec::new();
                for v in needed {
                    let (p, _) = self.result_point(&mut em, v, &coords);
                    let val = em.element(v, p)?;
                    let scratch = local(&mut em, v);
                    em.b.store(scratch.buffer, &at, val);
                    fresh.push((v, scratch));
                }
                self.forget_strips(&mut em, &strips);
                em.close();
                strips.extend(fresh);
            }

            let loops = self.levels(&axes);
            for level in &loops {
                self.open(&mut em, level, LoopKind::Serial, &mut coords);
            }
            let at = self.open_block(&mut em, &lanes, &block, strip, &mut coords);
            self.recall_strips(&mut em, &strips, &at, &coords);
            for item in items.iter().filter(|i| !i.reduces) {
                self.output(&mut em, item.value, &coords)?;
            }
            for (r, scratch) in &sums {
                let (p, _) = self.operand_point(&mut em, r.value, &coords);
                let val = em.element(r.source(self.graph), p)?;
                let before = em.b.load_here(scratch.buffer, &at, scratch.dtype);
                let after = em.b.binary(r.op.combine(), before, val);
                em.b.store(scratch.buffer, &at, after);
            }
            self.forget_strips(&mut em, &strips);
            for _ in 0..=loops.len() {
                em.close();
            }
            strips.extend(sums.into_iter().map(|(r, s)| (r.value, s)));
        }
        if self.stages.items.iter().any(|i| !i.reduces && i.axes.is_empty()) {
            let at = self.open_block(&mut em, &lanes, &block, strip, &mut coords);
            self.recall_strips(&mut em, &strips, &at, &coords);
            self.row_outputs(&mut em, &coords)?;
            self.forget_strips(&mut em, &strips);
            em.close();
        }
        Ok(finish(em))
    }

    fn recall_strips(&self, em: &mut Emitter<'_>, strips: &[(ValueId, Scratch)], at: &Expr, coords: &[Expr]) {
        for (v, s) in strips {
            let (p, _) = self.result_point(em, *v, coords);
            let index = at.clone();
            em.keep(*v, Kept::Memory { at: p, buffer: s.buffer, index, dtype: s.dtype, again: false });
        }
    }

    fn forget_strips(&self, em: &mut Emitter<'_>, strips: &[(ValueId, Scratch)]) {
        for (v, _) in strips {
            em.forget(*v);
        }
    }
}

/// A block of a level.
fn block_span(level: &Level, block: &Expr, size: i64) -> Span {
    let begin = block.scale(size);
    let whole = level.extent.as_const().is_some_and(|n| n % size == 0);
    let end = begin.offset(size);
    let end = if whole { end } else { end.clamp_index(&level.extent.offset(1)) };
    Span { begin, end, last: level.extent.offset(-1), trips: Expr::constant(size) }
}

/// The number of columns to accumulate at a time: a divisor of the extent if there is a good one, small
/// enough to give several strips.
fn strip(extent: &Expr) -> i64 {
    let Some(n) = extent.as_const() else { return 2 * STRIP.0 };
    if n <= 2 * STRIP.0 {
        return n.max(1);
    }
    let good = |s: &i64| n % s == 0 && s % 16 == 0;
    let many = |s: &i64| n / s >= 8;
    let mut sizes = (STRIP.0..=STRIP.1).rev();
    sizes.clone().find(|s| good(s) && many(s)).or_else(|| sizes.find(good)).unwrap_or(2 * STRIP.0)
}

pub(crate) fn finish(mut em: Emitter<'_>) -> Built {
    let work = em.b.work();
    let (kernel, buffers) = em.b.finish(0);
    Built { kernel, buffers, work }
}

/// A dense row-major place for a value.
pub(crate) fn dense(graph: &Graph, v: ValueId, buffer: BufferId) -> Stored {
    let ty = graph.ty(v);
    Stored { buffer, len: ty.numel().expr(), strides: row_major(&ty.shape) }
}
