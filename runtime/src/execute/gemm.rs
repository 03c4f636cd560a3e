//! Batches of matrix products on the team of threads.

use super::Context;
use super::multiply::{Matrix, convert_block, multiply, prepack, sum_into, zero};
use super::product::{Product, pairs};
use crate::memory::Buffer;
use crate::plan::{Block, Call, GemmWork, Route, Side, Source};
use crate::threads::Sharing;
use std::ops::Range;
use ttk_ir::DType;

/// Computes all products, sums and the epilogue of one step.
pub(super) fn run(cx: &Context<'_>, w: &GemmWork) {
    if w.is_single {
        return single(cx, w);
    }
    pack_operand(cx, &w.a, w.sharing);
    pack_operand(cx, &w.b, w.sharing);
    let (lanes, others) = if w.style.on_rows() { (&w.a, &w.b) } else { (&w.b, &w.a) };
    join_operand(cx, w, others);
    let kept = cx.kept(&w.lanes_kept, |form| {
        join_operand(cx, w, lanes);
        pack_lanes(cx, w, &|| form.as_ptr());
    });
    if kept.is_none() {
        join_operand(cx, w, lanes);
        if let Some(at) = w.lanes_packed {
            // SAFETY: room for all panels of all items was reserved there.
            pack_lanes(cx, w, &|| unsafe { cx.shared.add(at) });
        }
    }
    let blocks = w.blocks();
    match w.route {
        Route::Direct => {
            // The epilogue joins the task that finishes what it runs on.
            let joined = blocks == 1 || matches!(w.epilogue, Some((_, true))) && w.whole_rows();
            cx.each(w.sharing, w.items.div_ceil(w.group) * blocks, &|slot, task| {
                let (group, block) = (task / blocks, w.block(task % blocks));
                for item in group * w.group..((group + 1) * w.group).min(w.items) {
                    direct(cx, w, &kept, slot, item, &block);
                    if joined {
                        epilogue(cx, w, slot, item, block.rows.clone());
                    }
                }
            });
            if !joined {
                epilogues(cx, w);
            }
        }
        Route::Partial { groups, at } => {
            let sums = Sums { at, groups, w };
            cx.each(w.sharing, w.items * groups * blocks, &|slot, task| {
                let (rest, block) = (task / blocks, w.block(task % blocks));
                let (item, group) = (rest / groups, rest % groups);
                let terms = w.terms() * group / groups..w.terms() * (group + 1) / groups;
                let sum = sums.matrix(cx, item, group).at(block.rows.start, block.cols.start);
                terms_into(cx, w, &kept, slot, item, terms, &block, sum, None);
            });
            // A few rows (or columns) at a time, so that a block of sums is still in cache for the
            // epilogue.
            let (lines, width) = if w.style.on_rows() { (w.n, w.m) } else { (w.m, w.n) };
            let some = (16_384 / width).clamp(1, lines);
            let joined = some == lines || matches!(w.epilogue, Some((_, true))) && !w.style.on_rows();
            cx.each(w.sharing, w.items * lines.div_ceil(some), &|slot, task| {
                let (item, at) = (task / lines.div_ceil(some), task % lines.div_ceil(some) * some);
                let range = at..(at + some).min(lines);
                join(cx, w, &sums, item, range.clone());
                if joined {
                    epilogue(cx, w, slot, item, if some == lines { 0..w.m } else { range });
                }
            });
            if !joined {
                epilogues(cx, w);
            }
        }
    }
}

/// All of a step that is one product.
fn single(cx: &Context<'_>, w: &GemmWork) {
    let kept = cx.kept(&w.lanes_kept, |form| pack_lanes(cx, w, &|| form.as_ptr()));
    let side =
        |side: &Side| Matrix::new(start(cx, side, 0, w.dtype), w.dtype, side.rs as isize, side.cs as isize);
    let product = Product {
        style: w.style,
        pairs: false,
        m: w.m,
        n: w.n,
        k: w.k,
        a: side(&w.a),
        b: side(&w.b),
        c: side(&w.c),
        add: false,
        rounded: None,
        packed: kept.as_ref().map(|form| (form.as_ptr().cast_const(), w.panels, 0)),
        rows_copied: w.rows_copied,
        // SAFETY: room was reserved there.
        scratch: unsafe { cx.scratch(0).add(w.product_at) },
    };
    // SAFETY: all accesses were checked when the sizes were bound; `C` is written by nobody else, and operands are not
    // written meanwhile.
    unsafe { multiply(&product) };
    epilogue(cx, w, 0, 0, 0..w.m);
}

/// Packs all panels of the operand on the lanes, of all items, for which there is room from `to` on.
fn pack_lanes(cx: &Context<'_>, w: &GemmWork, to: &(dyn Fn() -> *mut u8 + Sync)) {
    let panels = w.panels.count();
    cx.each(w.sharing, w.items * panels, &|slot, task| {
        let (item, panel) = (task / panels, task % panels);
        let x = operand(cx, w, w.lanes_side(), slot, item, 0, &mut None);
        // SAFETY: each panel is packed by one task.
        unsafe { prepack(w.style, w.pairs, w.k, x, &w.panels, panel, to().add(item * w.lanes_bytes())) };
    });
}

/// Runs the pack kernel of an operand for all its items.
fn pack_operand(cx: &Context<'_>, side: &Side, sharing: Sharing) {
    let side = if let Source::Joined(joined) = &side.source { &joined.of } else { side };
    let Source::Prepacked { call, items, at, stride } = side.source else { return };
    let pack = |slot: usize, item: usize| {
        // SAFETY: room for all items was reserved in the shared scratch from `at`.
        let to = unsafe { cx.shared.add(at + item * stride) };
        pack_item(cx, &call, slot, item, to);
    };
    cx.each(sharing, items, &pack);
}

/// Pairs of a task that brings them together, in numbers.
const JOINED: usize = 32_768;

/// Brings the pairs of an operand together, if they are not.
fn join_operand(cx: &Context<'_>, w: &GemmWork, side: &Side) {
    let Source::Joined(joined) = &side.source else { return };
    let (pairs, lanes) = (joined.pairs(), joined.lanes);
    let some = (JOINED / lanes).clamp(1, pairs);
    let tasks = pairs.div_ceil(some);
    cx.each(w.sharing, joined.items * tasks, &|_, task| {
        let (item, first) = (task / tasks, task % tasks * some);
        let position = dot(item, &joined.batch, &joined.batch_strides);
        let from = start(cx, &joined.of, position, w.dtype);
        for pair in first..(first + some).min(pairs) {
            // SAFETY: the operand was checked when the sizes were bound; room for all pairs of all items was reserved, and each is
            // brought there by one task.
            unsafe {
                let to = cx.shared.add(joined.at + item * joined.bytes() + pair * lanes * pairs::BYTES);
                pairs::join(lanes, joined.k, pair, from.cast(), joined.strides(), to);
            }
        }
    });
}

/// Runs a pack kernel for one item, its parameter 0 being `to`.
fn pack_item(cx: &Context<'_>, call: &Call, slot: usize, item: usize, to: *mut u8) {
    // The arguments with the first replaced; kernels have few parameters.
    const ON_STACK: usize = 32;
    let given = &cx.arguments[call.arguments as usize..][..call.n_arguments as usize];
    let mut stack = [std::ptr::null_mut(); ON_STACK];
    let mut heap = Vec::new();
    let arguments: &mut [*mut u8] = if given.len() <= ON_STACK {
        stack[..given.len()].copy_from_slice(given);
        &mut stack
    } else {
        heap.extend_from_slice(given);
        &mut heap
    };
    arguments[0] = to;
    // SAFETY: `to` has room for one item, and only this thread packs there.
    unsafe { cx.call(call, arguments.as_ptr(), item as i64, item as i64 + 1, slot) };
}

/// The whole sum of a block, into `C`.
fn direct(cx: &Context<'_>, w: &GemmWork, kept: &Option<Buffer>, slot: usize, item: usize, block: &Block) {
    let c = target(cx, w, item).at(block.rows.start, block.cols.start);
    if w.dtype == w.sum_type() {
        terms_into(cx, w, kept, slot, item, 0..w.terms(), block, c, None);
        return;
    }
    let (m, n) = (block.rows.len(), block.cols.len());
    // SAFETY: room for such a block was reserved there.
    let sum = unsafe { cx.scratch(slot).add(w.sum_at) };
    // Lanes are contiguous where tiles are rounded as they leave the registers.
    let (rs, cs) = if w.pairs && w.style.on_rows() { (1, m as isize) } else { (n as isize, 1) };
    let sum = Matrix::new(sum, w.sum_type(), rs, cs);
    // Tiles of pairs are.
    let rounded = (w.pairs && w.style.packs() && w.terms() > 0).then_some(c);
    terms_into(cx, w, kept, slot, item, 0..w.terms(), block, sum, rounded);
    if rounded.is_some() {
        return;
    }
    // SAFETY: the block lies in `C` and in scratch of this thread.
    unsafe { convert_block(m, n, sum, c) };
}

/// Sums some terms of a block into `sum`, which need not hold anything before, or the last of them with what is there
/// into `rounded`.
#[expect(clippy::too_many_arguments)]
fn terms_into(
    cx: &Context<'_>,
    w: &GemmWork,
    kept: &Option<Buffer>,
    slot: usize,
    item: usize,
    terms: Range<usize>,
    block: &Block,
    sum: Matrix,
    rounded: Option<Matrix>,
) {
    let (m, n) = (block.rows.len(), block.cols.len());
    if terms.is_empty() {
        // SAFETY: the block is this task's.
        return unsafe { zero(m, n, sum) };
    }
    // SAFETY: what was packed in the shared scratch.
    let shared = w.lanes_packed.map(|at| unsafe { cx.shared.add(at) });
    let lanes = kept.as_ref().map(Buffer::as_ptr).or(shared);
    let mut packed = [None; 2];
    let (first, last) = (terms.start, terms.end - 1);
    for term in terms {
        let (reduced, piece) = (term / w.pieces, term % w.pieces);
        let deep = (piece * w.piece).min(w.k)..((piece + 1) * w.piece).min(w.k);
        let product = Product {
            style: w.style,
            pairs: w.pairs,
            m,
            n,
            k: deep.len(),
            a: operand(cx, w, &w.a, slot, item, reduced, &mut packed[0]).at(block.rows.start, deep.start),
            b: operand(cx, w, &w.b, slot, item, reduced, &mut packed[1]).at(deep.start, block.cols.start),
            c: sum,
            add: term > first,
            rounded: rounded.filter(|_| term == last),
            packed: lanes.map(|lanes| {
                (lanes.wrapping_add(item * w.lanes_bytes()).cast_const(), w.panels, block.panel)
            }),
            rows_copied: w.rows_copied,
            // SAFETY: room was reserved there.
            scratch: unsafe { cx.scratch(slot).add(w.product_at) },
        };
        // SAFETY: all accesses were checked when the sizes were bound; the block of the sum is this
        // task's, and operands are not written while products are computed.
        unsafe { multiply(&product) };
    }
}

/// One operand for an item of the batch and a position of the summed axes.
fn operand(
    cx: &Context<'_>,
    w: &GemmWork,
    side: &Side,
    slot: usize,
    item: usize,
    reduced: usize,
    packed: &mut Option<usize>,
) -> Matrix {
    let position = dot(item, &w.batch, &side.batch_strides) + dot(reduced, &w.reduce, &side.reduce_strides);
    let dtype = w.operand_type();
    let start = match side.source {
        Source::Packed { call, at } => {
            // SAFETY: room for one item was reserved there.
            let to = unsafe { cx.scratch(slot).add(at) };
            let wanted = position as usize;
            if *packed != Some(wanted) {
                pack_item(cx, &call, slot, wanted, to);
                *packed = Some(wanted);
            }
            to
        }
        Source::Buffer { .. } | Source::Prepacked { .. } | Source::Joined(_) => {
            start(cx, side, position, dtype)
        }
    };
    Matrix::new(start, dtype, side.rs as isize, side.cs as isize)
}

/// Where an operand that tasks do not pack is, at a position of its batch.
fn start(cx: &Context<'_>, side: &Side, position: i64, dtype: DType) -> *mut u8 {
    match &side.source {
        Source::Buffer { buffer, offset } => {
            cx.pointer(*buffer).wrapping_offset((offset + position) as isize * dtype.size() as isize)
        }
        // SAFETY: the position was checked to be below the number of items.
        Source::Prepacked { at, stride, .. } => unsafe { cx.shared.add(at + position as usize * stride) },
        // SAFETY: the joined operand has that position.
        Source::Joined(joined) => unsafe { cx.shared.add(joined.at + position as usize * dtype.size()) },
        Source::Packed { .. } => unreachable!("packed by tasks"),
    }
}

/// `C` for an item of the batch.
fn target(cx: &Context<'_>, w: &GemmWork, item: usize) -> Matrix {
    let start = start(cx, &w.c, dot(item, &w.batch, &w.c.batch_strides), w.dtype);
    Matrix::new(start, w.dtype, w.c.rs as isize, w.c.cs as isize)
}

/// Runs the epilogue on rows of an item.
fn epilogue(cx: &Context<'_>, w: &GemmWork, slot: usize, item: usize, rows: Range<usize>) {
    let Some((call, by_rows)) = &w.epilogue else { return };
    let range = if *by_rows { item * w.m + rows.start..item * w.m + rows.end } else { item..item + 1 };
    // SAFETY: the arguments were checked, and this task alone has computed these rows.
    unsafe { cx.call(call, cx.call_arguments(call), range.start as i64, range.end as i64, slot) };
}

/// Runs the epilogue on everything, after all products.
fn epilogues(cx: &Context<'_>, w: &GemmWork) {
    let Some((call, by_rows)) = &w.epilogue else { return };
    let total = if *by_rows { w.items * w.m } else { w.items };
    // About 16 Ki elements to a chunk.
    let each_size = if *by_rows { w.n } else { w.m * w.n };
    let chunk = (16_384 / each_size).clamp(1, total);
    cx.each(w.sharing, total.div_ceil(chunk), &|slot, i| {
        let range = i * chunk..((i + 1) * chunk).min(total);
        // SAFETY: the arguments were checked, and iterations of the epilogue are independent.
        unsafe { cx.call(call, cx.call_arguments(call), range.start as i64, range.end as i64, slot) };
    });
}

/// The groups' sums of [`Route::Partial`].
struct Sums<'a> {
    at: usize,
    groups: usize,
    w: &'a GemmWork,
}

impl Sums<'_> {
    fn matrix(&self, cx: &Context<'_>, item: usize, group: usize) -> Matrix {
        let w = self.w;
        let bytes = w.m * w.n * w.sum_type().size();
        // SAFETY: room for all groups of all items was reserved from `at`.
        let start = unsafe { cx.shared.add(self.at + (item * self.groups + group) * bytes) };
        // Lanes are contiguous.
        let (rs, cs) = if w.style.on_rows() { (1, w.m) } else { (w.n, 1) };
        Matrix::new(start, w.sum_type(), rs as isize, cs as isize)
    }
}

/// Joins the groups' sums of some rows (columns, when lanes lie along rows) as a balanced tree, into `C`.
fn join(cx: &Context<'_>, w: &GemmWork, sums: &Sums<'_>, item: usize, range: Range<usize>) {
    let on_rows = w.style.on_rows();
    let line = |m: Matrix| {
        let m = if on_rows { Matrix { rs: m.cs, cs: m.rs, ..m } } else { m };
        m.at(range.start, 0)
    };
    let (lines, width) = (range.len(), if on_rows { w.m } else { w.n });
    let mut step = 1;
    while step < sums.groups {
        for group in (0..sums.groups - step).step_by(2 * step) {
            let into = line(sums.matrix(cx, item, group));
            let from = line(sums.matrix(cx, item, group + step));
            // SAFETY: lines of sums are dense, of this task alone, and the two groups' are apart.
            unsafe { sum_into(lines * width, into, from) };
        }
        step *= 2;
    }
    let sum = line(sums.matrix(cx, item, 0));
    // SAFETY: these lines of `C` are this task's.
    unsafe { convert_block(lines, width, sum, line(target(cx, w, item))) };
}

/// The position of a flattened index under strides.
fn dot(mut index: usize, sizes: &[usize], strides: &[i64]) -> i64 {
    let mut sum = 0;
    for (&size, &stride) in sizes.iter().zip(strides).rev() {
        sum += (index % size) as i64 * stride;
        index /= size;
    }
    sum
}
