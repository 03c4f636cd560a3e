//! Products whose axes do not make matrices, by tables of places.
//!
//! A convolution is a product of windows of an image with weights: the rows of the windows run over several
//! axes (images, lines, columns) and the terms too (taps, channels), and no two of them are one longer axis.
//! As a batch of small products, one for each position of the outer axes, it would take the weights anew for
//! each; as one product whose broadcast operand is read by tables it is like any other.

use super::bind::{Binder, Keep, Packed, Work, sharing};
use super::gemm::{Side, Source};
use super::winograd;
use crate::execute::product::{self, Panels, gathered};
use crate::threads::Sharing;
use ttk_ir::DType;
use ttk_ir::program::BufferId;

/// A batch of products; see [`gathered::GatheredProduct`]. Strides and offsets count elements.
#[derive(Debug)]
pub(crate) struct GatheredWork {
    pub(crate) dtype: DType,
    pub(crate) panels: Panels,
    pub(crate) lanes: usize,
    pub(crate) rows: usize,
    pub(crate) terms: usize,
    /// Axes that all three have, outermost first, and their product.
    pub(crate) batch: Vec<usize>,
    pub(crate) items: usize,
    pub(crate) x: Place,
    pub(crate) x_terms: Box<[i32]>,
    /// See [`gathered::Strided::by_place`].
    pub(crate) x_by_place: Box<[u32]>,
    pub(crate) y: Place,
    pub(crate) y_rows: Box<[i32]>,
    pub(crate) y_terms: Box<[i32]>,
    pub(crate) c: Place,
    pub(crate) c_rows: Box<[i32]>,
    /// The packed operand on the lanes, where it may be kept from run to run.
    pub(crate) kept: Option<Keep>,
    /// Rows and panels of a task.
    pub(crate) rows_each: usize,
    pub(crate) panels_each: usize,
    pub(crate) sums: Sums,
    pub(crate) sharing: Sharing,
}

#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) buffer: BufferId,
    pub(crate) offset: i64,
    pub(crate) batch_strides: Vec<i64>,
    /// The stride between lanes; of the broadcast operand, nothing.
    pub(crate) lane: i64,
}

/// How terms are summed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sums {
    /// A task sums all terms. The operand on the lanes is packed beforehand, in the shared scratch.
    Whole,
    /// A task sums all terms of all rows, for a panel of lanes that it packs in its scratch.
    Columns,
    /// The terms are dealt to `groups`, in order, whose sums lie in the shared scratch and are joined as a
    /// balanced tree.
    Partial { groups: usize },
}

/// Floating-point operations of a task, and how many tasks the larger jobs are cut into.
const TASK_FLOPS: f64 = 2e6;
const TASKS: usize = 64;

/// With fewer tasks than this, sums are split too.
const FEW_TASKS: usize = 8;

/// Groups that a sum is split into, the terms that each has at least, and the memory for all.
const GROUPS: usize = 16;
const GROUP_TERMS: usize = 512;
const GROUP_BYTES: usize = 64 << 20;

/// More bytes than this of packed lanes are not kept.
const PACKED_BYTES: usize = 64 << 20;

/// Rows that a task has at least, where the lanes can be shared out too.
const ROWS: usize = 48;

/// One axis of the product and the steps of the operands along it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) size: usize,
    pub(super) a: i64,
    pub(super) b: i64,
    pub(super) c: i64,
}

/// The product by tables, if it is better done so.
pub(super) fn bind(
    b: &mut Binder<'_>,
    dtype: DType,
    [m, n, k]: [usize; 3],
    batch: &[usize],
    reduce: &[usize],
    [a_side, b_side, c_side]: [&Side; 3],
) -> Option<Work> {
    let float = matches!(dtype, DType::F32 | DType::F64);
    let many = batch.iter().chain(reduce).any(|&s| s > 1);
    if !float || !many || !product::has_tiles() || k == 0 {
        return None;
    }
    let mut rows = vec![Axis { size: m, a: a_side.rs, b: 0, c: c_side.rs }];
    let mut cols = vec![Axis { size: n, a: 0, b: b_side.cs, c: c_side.cs }];
    let mut terms = vec![Axis { size: k, a: a_side.cs, b: b_side.rs, c: 0 }];
    let mut shared = Vec::new();
    for (i, &size) in batch.iter().enumerate() {
        let axis =
            Axis { size, a: a_side.batch_strides[i], b: b_side.batch_strides[i], c: c_side.batch_strides[i] };
        match (axis.a, axis.b) {
            (_, 0) => rows.push(axis),
            (0, _) => cols.push(axis),
            _ => shared.push(axis),
        }
    }
    for (i, &size) in reduce.iter().enumerate() {
        terms.push(Axis { size, a: a_side.reduce_strides[i], b: b_side.reduce_strides[i], c: 0 });
    }
    for axes in [&mut rows, &mut cols, &mut terms] {
        axes.retain(|a| a.size != 1);
    }
    if rows.len().max(cols.len()).max(terms.len()) < 2 || rows.len().min(cols.len()) > 1 {
        return None;
    }
    // The operand with one axis lies on the lanes.
    let on_cols = match (cols.len(), rows.len()) {
        (2.., _) => false,
        (_, 2..) => true,
        _ => cheaper_on_columns(&rows, &cols, &terms, dtype),
    };
    let (lane_axes, mut row_axes) = if on_cols { (cols, rows) } else { (rows, cols) };
    let pick = |axis: &Axis| if on_cols { (axis.b, axis.a) } else { (axis.a, axis.b) };
    // Results are written in the order of their memory, and terms read in that of the broadcast operand.
    row_axes.sort_by_key(|a| std::cmp::Reverse(a.c.abs()));
    terms.sort_by_key(|a| std::cmp::Reverse(pick(a).1.abs()));
    let x_terms = table(&terms, &|a| pick(a).0)?;
    let y_terms = table(&terms, &|a| pick(a).1)?;
    let y_rows = table(&row_axes, &|a| pick(a).1)?;
    let c_rows = table(&row_axes, &|a| a.c)?;
    let lane = lane_axes.first().copied().unwrap_or(Axis { size: 1, a: 1, b: 1, c: 1 });
    let place = |side: &Side, stride: &dyn Fn(&Axis) -> i64| match side.source {
        Source::Buffer { buffer, offset } => Some(Place {
            buffer,
            offset,
            batch_strides: shared.iter().map(stride).collect(),
            lane: stride(&lane),
        }),
        Source::Packed { .. } | Source::Prepacked { .. } | Source::Joined(_) => None,
    };
    let (pa, pb) = (place(a_side, &|a| a.a)?, place(b_side, &|a| a.b)?);
    let (x, y) = if on_cols { (pb, pa) } else { (pa, pb) };
    let c = place(c_side, &|a| a.c)?;
    if shared.is_empty() {
        let seen = winograd::Seen { dtype, lane, rows: &row_axes, terms: &terms, pick: &pick };
        if let Some(work) = winograd::bind(b, &seen, [&x, &y, &c]) {
            return Some(work);
        }
    }
    let items = shared.iter().map(|a| a.size).product::<usize>();
    let panels = Panels::new(lane.size, dtype.size());
    let mut work = GatheredWork {
        dtype,
        lanes: lane.size,
        rows: y_rows.len(),
        terms: y_terms.len(),
        batch: shared.iter().map(|a| a.size).collect(),
        items,
        x_by_place: places_by_memory(&x_terms, x.lane),
        x,
        x_terms,
        y,
        y_rows,
        y_terms,
        c,
        c_rows,
        kept: None,
        rows_each: 0,
        panels_each: panels.count(),
        panels,
        sums: Sums::Whole,
        sharing: Sharing::Alone,
    };
    cut(b, &mut work)?;
    let bytes = items * gathered::packed_numbers(&work.panels, work.terms) * dtype.size();
    if bytes <= PACKED_BYTES {
        let numbers = form(dtype, &work.x, &lane, shared.iter().chain(&terms), &|a| pick(a).0);
        work.kept = b.keep(work.x.buffer, bytes, Packed::Gathered, numbers);
    }
    Some(Work::Gathered(Box::new(work)))
}

/// All that the packed form of the operand on the lanes depends on, but for how it is packed.
pub(super) fn form<'a>(
    dtype: DType,
    x: &Place,
    lane: &Axis,
    others: impl Iterator<Item = &'a Axis>,
    step: &dyn Fn(&Axis) -> i64,
) -> Vec<i64> {
    let mut numbers = vec![dtype.size() as i64, x.offset, x.lane, lane.size as i64];
    others.for_each(|a| numbers.extend([a.size as i64, step(a)]));
    numbers
}

/// Whether lanes along the columns of the result take less work besides the arithmetic.
fn cheaper_on_columns(rows: &[Axis], cols: &[Axis], terms: &[Axis], dtype: DType) -> bool {
    let size = |axes: &[Axis]| axes.iter().map(|a| a.size as f64).product::<f64>();
    let vector = product::vector(dtype.size()) as f64;
    let cost = |lanes: &[Axis], others: &[Axis], x: i64, c: i64| {
        let (l, r, k) = (size(lanes), size(others), size(terms));
        let arithmetic = (l / vector).ceil() * r * k / 4.0;
        arithmetic + l * k * if x == 1 { 0.1 } else { 0.6 } + l * r * if c == 1 { 0.05 } else { 0.4 }
    };
    let step = |axes: &[Axis], f: fn(&Axis) -> i64| axes.first().map_or(1, f);
    cost(cols, rows, step(cols, |a| a.b), step(cols, |a| a.c))
        <= cost(rows, cols, step(rows, |a| a.a), step(rows, |a| a.c))
}

/// The terms in the order of their places, see [`gathered::Strided::by_place`]: where lanes are apart and terms are not.
pub(super) fn places_by_memory(terms: &[i32], lane: i64) -> Box<[u32]> {
    if lane == 1 {
        return Box::default();
    }
    let mut order: Box<[u32]> = (0..terms.len() as u32).collect();
    order.sort_by_key(|&i| terms[i as usize]);
    let next = |w: &[u32]| terms[w[0] as usize] + 1 == terms[w[1] as usize];
    if order.windows(2).any(next) { order } else { Box::default() }
}

/// The places of all positions of some axes, outermost first; `None` when there is one too far.
pub(super) fn table(axes: &[Axis], stride: &dyn Fn(&Axis) -> i64) -> Option<Box<[i32]>> {
    let mut places = vec![0i64];
    for axis in axes {
        let step = stride(axis);
        places = places.iter().flat_map(|&p| (0..axis.size as i64).map(move |i| p + i * step)).collect();
    }
    places.into_iter().map(|p| i32::try_from(p).ok()).collect()
}

/// Decides how the product is cut into tasks, by its sizes alone, and reserves scratch.
fn cut(b: &mut Binder<'_>, w: &mut GatheredWork) -> Option<()> {
    let size = w.dtype.size();
    let flops = 2.0 * (w.items * w.rows * w.panels.padded() * w.terms) as f64;
    let wanted = ((flops / w.items as f64 / TASK_FLOPS) as usize).clamp(1, TASKS.div_ceil(w.items));
    w.sharing = sharing(flops / 10.0);
    let along_rows = wanted.min(w.rows.div_ceil(ROWS));
    let along_panels = wanted.div_ceil(along_rows).min(w.panels.count());
    let packed = gathered::packed_numbers(&w.panels, w.terms) * size;
    let one = w.rows * w.panels.padded() * size;
    let groups = (w.terms / GROUP_TERMS).min(GROUPS).min(GROUP_BYTES / (one * w.items).max(1));
    let few = w.items * along_rows * along_panels < FEW_TASKS && w.sharing == Sharing::All;
    let narrow = w.terms > 8 * w.rows && w.x_by_place.is_empty();
    if groups > 1 && (few || narrow) || w.items * packed > PACKED_BYTES {
        let groups = groups.max(1);
        w.sums = Sums::Partial { groups };
        w.rows_each = w.rows;
        b.reserve(gathered::scratch_numbers(&w.panels) * size, w.items * groups * one);
        return (w.items * groups * one <= GROUP_BYTES).then_some(());
    }
    if along_rows == 1 && w.items * w.panels.count() >= FEW_TASKS {
        w.sums = Sums::Columns;
        b.reserve(gathered::panel_numbers(&w.panels, w.terms) * size, 0);
        return Some(());
    }
    w.rows_each = w.rows.div_ceil(along_rows).next_multiple_of(gathered::rows(size) * 3).min(w.rows);
    w.panels_each = w.panels.count().div_ceil(along_panels);
    b.reserve(0, w.items * packed);
    Some(())
}
