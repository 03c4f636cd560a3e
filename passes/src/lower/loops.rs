//! A loop unit as a kernel: rows outside, reductions and their users in stages inside.
//!
//! The iteration space has axes that the unit's reductions reduce and axes that they do not (rows).
//! There are two shapes of kernel. By rows: the parallel loop and the loops inside it run over rows;
//! in a row, each stage is a loop over the reduced axes that accumulates some reductions and stores
//! what is known by then. By columns, when memory is contiguous along a row axis: the lanes of the
//! vector loop are rows, and accumulators are a strip of local memory.

use super::LowerError;
use super::build::KernelBuilder;
use super::emit::{Emitter, Kept, Point, Sources, Stored, linear, row_major};
use super::schedule::{Accesses, Level, levels};
use crate::fuse::{AxisList, LoopUnit};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use ttk_ir::kernel::{Access, Kernel, LoopKind};
use ttk_ir::program::BufferId;
use ttk_ir::{Expr, Graph, Op, ReduceOp, ValueId};

/// Elements of a long contiguous loop that one iteration of the parallel loop takes.
const BLOCK: i64 = 4096;
/// Columns of a strip of accumulators.
const STRIP: i64 = 128;
/// Iterations that a parallel loop should have at least, where there are enough.
const PARALLEL: i64 = 64;

/// A kernel and what a launch passes to it.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) kernel: Kernel,
    pub(crate) buffers: Vec<BufferId>,
    /// Estimated work of one iteration of the parallel loop, as `Action::Launch` has it.
    pub(crate) work: Expr,
}

/// What a unit looks like from inside.
struct View<'a> {
    graph: &'a Graph,
    unit: &'a LoopUnit,
    extents: Vec<Expr>,
    /// The stage in which each value is first known.
    stages: FxHashMap<ValueId, u32>,
}

/// A reduction of the unit.
struct Reduction {
    value: ValueId,
    op: ReduceOp,
    operand: ValueId,
}

impl<'a> View<'a> {
    fn dims(&self, v: ValueId) -> Option<&'a [AxisList]> {
        self.unit.members.iter().find(|m| m.value == v).map(|m| m.dims.as_slice())
    }

    fn is_reduction(&self, v: ValueId) -> bool {
        self.dims(v).is_some_and(|dims| {
            matches!(self.graph.node(v).op, Op::Reduce { .. })
                && dims.iter().flatten().any(|&a| self.unit.axes[a as usize].reduced)
        })
    }

    fn reductions(&self) -> Vec<Reduction> {
        let of = |v: ValueId| match &self.graph.node(v).op {
            Op::Reduce { op, .. } if self.is_reduction(v) => {
                Some(Reduction { value: v, op: *op, operand: self.graph.node(v).inputs[0] })
            }
            _ => None,
        };
        self.unit.members.iter().filter_map(|m| of(m.value)).collect()
    }

    /// Whether a member has an element for each position, not one for each row.
    fn by_element(&self, v: ValueId) -> bool {
        !self.is_reduction(v)
            && self.dims(v).is_some_and(|d| d.iter().flatten().any(|&a| self.unit.axes[a as usize].reduced))
    }

    fn stage(&mut self, v: ValueId, sources: &dyn Sources) -> u32 {
        if let Some(&s) = self.stages.get(&v) {
            return s;
        }
        let mut stage = 0;
        if sources.computes(v) {
            let graph = self.graph;
            for &input in &graph.node(v).inputs {
                stage = stage.max(self.stage(input, sources));
            }
            if self.is_reduction(v) {
                stage += 1;
            }
        }
        self.stages.insert(v, stage);
        stage
    }
}

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
    stored: &dyn Fn(ValueId) -> Option<Stored>,
) -> Result<Built, LowerError> {
    let extents: Vec<Expr> = unit.axes.iter().map(|a| a.extent.expr()).collect();
    let mut view = View { graph, unit, extents, stages: FxHashMap::default() };
    for m in &unit.members {
        view.stage(m.value, sources);
    }
    let accesses = dry_run(&view, sources, stored)?;
    let rows: Vec<usize> = (0..unit.axes.len()).filter(|&a| !unit.axes[a].reduced).collect();
    let inner: Vec<usize> = (0..unit.axes.len()).filter(|&a| unit.axes[a].reduced).collect();
    let rows = levels(&rows, &view.extents, &accesses);
    let inner = levels(&inner, &view.extents, &accesses);
    let score = |l: &Level| l.axes.last().map_or(i64::MIN, |&a| accesses.lane_score(a));
    let best = |list: &[Level]| (0..list.len()).max_by_key(|&i| (score(&list[i]), i));

    let (row, red) = (best(&rows), best(&inner));
    let row_score = row.map_or(i64::MIN, |i| score(&rows[i]));
    let red_score = red.map_or(i64::MIN, |i| score(&inner[i]));
    let one_stage = unit.members.iter().all(|m| {
        let stage = view.stages.get(&m.value).copied().unwrap_or(0);
        stage == 0 || !view.by_element(m.value) && stage == 1
    });
    let mut k = Builder { view, sources, stored, rows, inner };
    if k.inner.is_empty() {
        return k.map(row);
    }
    match (row, red) {
        (Some(row), _) if row_score > red_score && one_stage => k.by_columns(row),
        (_, red) => {
            // The lanes come last.
            if let Some(red) = red {
                let lanes = k.inner.remove(red);
                k.inner.push(lanes);
            }
            k.by_rows()
        }
    }
}

/// Emits everything once at one position, to see what it touches.
fn dry_run(
    view: &View<'_>,
    sources: &dyn Sources,
    stored: &dyn Fn(ValueId) -> Option<Stored>,
) -> Result<Accesses, LowerError> {
    let (b, first) = KernelBuilder::new(
        Expr::constant(0),
        view.extents.first().cloned().unwrap_or_else(|| Expr::constant(1)),
    );
    let mut em = Emitter::new(b, view.graph, sources);
    em.dry = true;
    let mut coords = vec![Expr::var(first.0)];
    for e in view.extents.iter().skip(1) {
        let var = em.b.open(Expr::constant(0), e.clone(), LoopKind::Serial);
        coords.push(Expr::var(var.0));
    }
    for m in &view.unit.members {
        let at = position(&m.dims, &view.extents, &coords);
        let p = em.point(&at);
        if view.is_reduction(m.value) {
            em.element(view.graph.node(m.value).inputs[0], p)?;
        } else if view.unit.outputs.contains(&m.value) {
            let val = em.element(m.value, p)?;
            if let Some(s) = stored(m.value) {
                let dtype = view.graph.ty(m.value).dtype;
                let buffer = em.b.param(s.buffer, dtype, &s.len, Access::Write);
                em.store(buffer, &linear(&at, &s.strides), val, dtype);
            }
        }
    }
    Ok(Accesses::of(&em.b))
}

struct Builder<'a> {
    view: View<'a>,
    sources: &'a dyn Sources,
    stored: &'a dyn Fn(ValueId) -> Option<Stored>,
    rows: Vec<Level>,
    inner: Vec<Level>,
}

impl<'a> Builder<'a> {
    fn coords(&self) -> Vec<Expr> {
        vec![Expr::default(); self.view.extents.len()]
    }

    /// Sets the coordinates of a level's axes from the position along it.
    fn place(&self, em: &Emitter<'_>, level: &Level, at: &Expr, coords: &mut [Expr]) {
        let mut stride = Expr::constant(1);
        for (i, &axis) in level.axes.iter().enumerate().rev() {
            let extent = &self.view.extents[axis];
            let q = em.b.ranges.floor_div(at, &stride);
            coords[axis] = if i == 0 { q } else { em.b.ranges.modulo(&q, extent) };
            stride = stride.mul(extent);
        }
    }

    /// Opens the parallel loop over the first of `levels` and serial loops over the others.
    fn open_rows(&self, levels: &[Level], coords: &mut [Expr]) -> Emitter<'a> {
        let mut taken = 0;
        let mut total = Expr::constant(1);
        while taken < levels.len() && total.as_const().is_some_and(|t| t < PARALLEL) {
            total = total.mul(&levels[taken].extent);
            taken += 1;
        }
        let (b, p) = KernelBuilder::new(Expr::constant(0), total);
        let mut em = Emitter::new(b, self.view.graph, self.sources);
        let flat = Expr::var(p.0);
        let mut stride = Expr::constant(1);
        for (i, level) in levels[..taken].iter().enumerate().rev() {
            let q = em.b.ranges.floor_div(&flat, &stride);
            let at = if i == 0 { q } else { em.b.ranges.modulo(&q, &level.extent) };
            self.place(&em, level, &at, coords);
            stride = stride.mul(&level.extent);
        }
        for level in &levels[taken..] {
            self.open(&mut em, level, LoopKind::Serial, coords);
        }
        em
    }

    fn open(&self, em: &mut Emitter<'_>, level: &Level, kind: LoopKind, coords: &mut [Expr]) {
        let var = em.b.open(Expr::constant(0), level.extent.clone(), kind);
        self.place(em, level, &Expr::var(var.0), coords);
    }

    /// Elementwise work only: every output at every position.
    fn map(&mut self, lanes: Option<usize>) -> Result<Built, LowerError> {
        let mut coords = self.coords();
        let Some(lanes) = lanes else {
            // A scalar.
            let (b, _) = KernelBuilder::new(Expr::constant(0), Expr::constant(1));
            let mut em = Emitter::new(b, self.view.graph, self.sources);
            self.outputs(&mut em, &coords, |_, _| true)?;
            return Ok(finish(em));
        };
        let lanes = self.rows.remove(lanes);
        let outer = self.rows.iter().fold(Expr::constant(1), |n, l| n.mul(&l.extent));
        let long = lanes.extent.as_const().is_none_or(|n| n >= 2 * BLOCK);
        let few = outer.as_const().is_some_and(|n| n < PARALLEL);
        let mut em;
        if long && few {
            let blocks = lanes.extent.offset(BLOCK - 1).floor_div(&Expr::constant(BLOCK));
            let (b, p) = KernelBuilder::new(Expr::constant(0), outer.mul(&blocks));
            em = Emitter::new(b, self.view.graph, self.sources);
            let block = em.b.ranges.modulo(&Expr::var(p.0), &blocks);
            let mut rest = em.b.ranges.floor_div(&Expr::var(p.0), &blocks);
            for (i, level) in self.rows.iter().enumerate().rev() {
                let at = if i == 0 { rest.clone() } else { em.b.ranges.modulo(&rest, &level.extent) };
                rest = em.b.ranges.floor_div(&rest, &level.extent);
                self.place(&em, level, &at, &mut coords);
            }
            self.open_block(&mut em, &lanes, &block, BLOCK, LoopKind::Vector, &mut coords);
        } else {
            em = self.open_rows(&self.rows, &mut coords);
            self.open(&mut em, &lanes, LoopKind::Vector, &mut coords);
        }
        self.outputs(&mut em, &coords, |_, _| true)?;
        Ok(finish(em))
    }

    /// Opens the loop over one block of a level and gives the first position of the block.
    fn open_block(
        &self,
        em: &mut Emitter<'_>,
        level: &Level,
        block: &Expr,
        size: i64,
        kind: LoopKind,
        coords: &mut [Expr],
    ) -> Expr {
        let begin = block.scale(size);
        let whole = level.extent.as_const().is_some_and(|n| n % size == 0);
        let end = begin.offset(size);
        let end = if whole { end } else { end.clamp_index(&level.extent.offset(1)) };
        let last = level.extent.offset(-1);
        let var = em.b.open_within(begin.clone(), end, kind, Expr::constant(0), last);
        em.b.set_trips(var, Expr::constant(size));
        self.place(em, level, &Expr::var(var.0), coords);
        begin
    }

    /// Computes and stores the outputs that `which` picks.
    fn outputs(
        &self,
        em: &mut Emitter<'_>,
        coords: &[Expr],
        which: impl Fn(&View<'_>, ValueId) -> bool,
    ) -> Result<(), LowerError> {
        for &v in &self.view.unit.outputs {
            if which(&self.view, v) {
                self.output(em, v, coords)?;
            }
        }
        Ok(())
    }

    /// The position of a member's result; reduced axes are at 0.
    fn result_point(
        &self,
        em: &mut Emitter<'_>,
        v: ValueId,
        coords: &[Expr],
    ) -> (Point, SmallVec<[Expr; 4]>) {
        let dims = self.view.dims(v).unwrap_or_default();
        let mut at = position(dims, &self.view.extents, coords);
        if let Op::Reduce { axes, .. } = &self.view.graph.node(v).op
            && self.view.is_reduction(v)
        {
            for &a in axes {
                at[a as usize] = Expr::default();
            }
        }
        for e in &mut at {
            *e = em.b.ranges.simplify(e);
        }
        (em.point(&at), at)
    }

    fn output(&self, em: &mut Emitter<'_>, v: ValueId, coords: &[Expr]) -> Result<(), LowerError> {
        let (p, at) = self.result_point(em, v, coords);
        let val = em.element(v, p)?;
        if let Some(s) = (self.stored)(v) {
            let dtype = self.view.graph.ty(v).dtype;
            let buffer = em.b.param(s.buffer, dtype, &s.len, Access::Write);
            em.store(buffer, &linear(&at, &s.strides), val, dtype);
        }
        Ok(())
    }

    /// Rows outside, stages of loops over the reduced axes inside.
    fn by_rows(&mut self) -> Result<Built, LowerError> {
        let mut coords = self.coords();
        let mut em = self.open_rows(&self.rows, &mut coords);
        let reductions = self.view.reductions();
        let stage_of = |v: ValueId| self.view.stages.get(&v).copied().unwrap_or(0);
        let last = self.view.unit.members.iter().map(|m| stage_of(m.value)).max().unwrap_or(0);
        for stage in 0..=last {
            let sums: Vec<&Reduction> = reductions.iter().filter(|r| stage_of(r.operand) == stage).collect();
            let stores: Vec<ValueId> = self
                .view
                .unit
                .outputs
                .iter()
                .copied()
                .filter(|&v| self.view.by_element(v) && stage_of(v) == stage)
                .collect();
            if sums.is_empty() && stores.is_empty() {
                continue;
            }
            let mut accs = Vec::new();
            for r in &sums {
                let dtype = self.view.graph.ty(r.value).dtype.compute();
                accs.push((em.b.acc(dtype, r.op.identity(dtype)), dtype));
            }
            for (i, level) in self.inner.iter().enumerate() {
                let kind = if i + 1 == self.inner.len() { LoopKind::Vector } else { LoopKind::Serial };
                self.open(&mut em, level, kind, &mut coords);
            }
            for &v in &stores {
                self.output(&mut em, v, &coords)?;
            }
            for (r, (acc, _)) in sums.iter().zip(&accs) {
                let at = position(self.view.dims(r.value).unwrap_or_default(), &self.view.extents, &coords);
                let p = em.point(&at);
                let val = em.element(r.operand, p)?;
                em.b.accumulate(*acc, r.op, val);
            }
            for _ in &self.inner {
                em.close();
            }
            for (r, (acc, dtype)) in sums.iter().zip(&accs) {
                let val = em.b.read(*acc, *dtype);
                let narrow = em.b.cast(val, self.view.graph.ty(r.value).dtype);
                let val = em.b.cast(narrow, *dtype);
                let (at, _) = self.result_point(&mut em, r.value, &coords);
                em.keep(r.value, Kept::Scalar { at, val });
            }
        }
        self.outputs(&mut em, &coords, |view, v| !view.by_element(v))?;
        Ok(finish(em))
    }

    /// Lanes are rows: accumulators are a strip of local memory.
    fn by_columns(&mut self, lanes: usize) -> Result<Built, LowerError> {
        let lanes = self.rows.remove(lanes);
        let strip = strip(&lanes.extent);
        let blocks = lanes.extent.offset(strip - 1).floor_div(&Expr::constant(strip));
        let mut coords = self.coords();
        // The parallel loop runs over the other rows and the strips of each.
        let total = self.rows.iter().fold(blocks.clone(), |n, l| n.mul(&l.extent));
        let (b, p) = KernelBuilder::new(Expr::constant(0), total);
        let mut em = Emitter::new(b, self.view.graph, self.sources);
        let block = em.b.ranges.modulo(&Expr::var(p.0), &blocks);
        let mut rest = em.b.ranges.floor_div(&Expr::var(p.0), &blocks);
        for (i, level) in self.rows.iter().enumerate().rev() {
            let at = if i == 0 { rest.clone() } else { em.b.ranges.modulo(&rest, &level.extent) };
            rest = em.b.ranges.floor_div(&rest, &level.extent);
            self.place(&em, level, &at, &mut coords);
        }

        let reductions = self.view.reductions();
        let mut strips = Vec::new();
        for r in &reductions {
            let dtype = self.view.graph.ty(r.value).dtype.compute();
            strips.push((em.b.local(dtype, Expr::constant(strip)), dtype));
        }
        let lane_axis = |em: &mut Emitter<'_>, coords: &mut [Expr]| -> Expr {
            let before = em.b.next_var();
            let begin = self.open_block(em, &lanes, &block, strip, LoopKind::Vector, coords);
            Expr::var(before).sub(&begin)
        };
        let at = lane_axis(&mut em, &mut coords);
        for (r, (buffer, dtype)) in reductions.iter().zip(&strips) {
            let identity = em.scalar(r.op.identity(*dtype));
            em.b.store(*buffer, &at, identity);
        }
        em.close();

        for level in &self.inner {
            self.open(&mut em, level, LoopKind::Serial, &mut coords);
        }
        let at = lane_axis(&mut em, &mut coords);
        self.outputs(&mut em, &coords, |view, v| view.by_element(v))?;
        for (r, (buffer, dtype)) in reductions.iter().zip(&strips) {
            let index = position(self.view.dims(r.value).unwrap_or_default(), &self.view.extents, &coords);
            let p = em.point(&index);
            let val = em.element(r.operand, p)?;
            let before = em.b.load_here(*buffer, &at, *dtype);
            let after = em.b.binary(r.op.combine(), before, val);
            em.b.store(*buffer, &at, after);
        }
        for _ in 0..=self.inner.len() {
            em.close();
        }

        let at = lane_axis(&mut em, &mut coords);
        for (r, (buffer, dtype)) in reductions.iter().zip(&strips) {
            let (p, _) = self.result_point(&mut em, r.value, &coords);
            em.keep(r.value, Kept::Memory { at: p, buffer: *buffer, index: at.clone(), dtype: *dtype });
        }
        self.outputs(&mut em, &coords, |view, v| !view.by_element(v))?;
        em.close();
        Ok(finish(em))
    }
}

/// The number of columns to accumulate at a time: a divisor of the extent if there is a good one.
fn strip(extent: &Expr) -> i64 {
    let Some(n) = extent.as_const() else { return STRIP };
    if n <= STRIP {
        return n.max(1);
    }
    (STRIP / 2..=2 * STRIP).rev().find(|s| n % s == 0 && s % 16 == 0).unwrap_or(STRIP)
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
