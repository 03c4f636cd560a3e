//! Products by tables of places on the team of threads.

use super::Context;
use super::product::gathered::{self, GatheredProduct, Lanes, RowPlaces, Strided};
use super::product::{Number, Tiles};
use crate::plan::{GatheredWork, Place, Sums};
use std::ops::{Add, Range};
use ttk_ir::DType;

/// Computes all products of one step.
pub(super) fn run(cx: &Context<'_>, w: &GatheredWork) {
    match (w.dtype, f32::tiles(), f64::tiles()) {
        (DType::F32, Some(tiles), _) => typed(cx, w, tiles),
        (DType::F64, _, Some(tiles)) => typed(cx, w, tiles),
        _ => unreachable!("bound for other types, or a machine without tiles"),
    }
}

fn typed<T: Number + Add<Output = T>>(cx: &Context<'_>, w: &GatheredWork, tiles: &Tiles<T>) {
    let panels = w.panels.count();
    let kept = cx.kept(&w.kept, |form| pack(cx, w, tiles, &|| form.as_ptr().cast()));
    let kept = || kept.as_ref().map(|form| form.as_ptr().cast::<T>());
    match w.sums {
        Sums::Columns => {
            cx.each(w.sharing, w.items * panels, &|slot, task| {
                let (item, panel) = (task / panels, task % panels);
                let scratch = cx.scratch(slot).cast::<T>();
                let start = gathered::panel_start(&w.panels, panel, w.terms);
                let x = match kept() {
                    Some(all) => packed(w, all, item),
                    None => {
                        // SAFETY: the operand was checked when the sizes were bound; scratch has room for a panel.
                        unsafe { gathered::pack(tiles, &w.panels, panel, lanes(cx, w, item), scratch) };
                        scratch.wrapping_sub(start)
                    }
                };
                let product = GatheredProduct { x: Lanes::Packed(x), ..product(cx, w, item) };
                // SAFETY: all places were checked when the sizes were bound; these lanes of the result are this task's.
                unsafe {
                    gathered::multiply(tiles, &product, panel..panel + 1, 0..w.rows, 0..w.terms);
                }
            });
        }
        Sums::Whole => {
            let x = || kept().unwrap_or(cx.shared.cast());
            if kept().is_none() {
                pack(cx, w, tiles, &x);
            }
            let (blocks, across) = (w.rows.div_ceil(w.rows_each), panels.div_ceil(w.panels_each));
            cx.each(w.sharing, w.items * blocks * across, &|_, task| {
                let (rest, block) = (task / across, task % across);
                let (item, row) = (rest / blocks, rest % blocks * w.rows_each);
                let own = block * w.panels_each..((block + 1) * w.panels_each).min(panels);
                let x = Lanes::Packed(packed(w, x(), item).cast_const());
                let product = GatheredProduct { x, ..product(cx, w, item) };
                let rows = row..(row + w.rows_each).min(w.rows);
                // SAFETY: all places were checked when the sizes were bound; these rows and lanes of the
                // result are this task's.
                unsafe { gathered::multiply(tiles, &product, own, rows, 0..w.terms) };
            });
        }
        Sums::Partial { groups } => {
            let width = w.panels.padded();
            // SAFETY: room for all groups of all items was reserved.
            let sum = |item: usize, group: usize| unsafe {
                cx.shared.cast::<T>().add((item * groups + group) * w.rows * width)
            };
            cx.each(w.sharing, w.items * groups, &|slot, task| {
                let (item, group) = (task / groups, task % groups);
                let scratch = cx.scratch(slot).cast();
                let product = GatheredProduct {
                    x: match kept() {
                        Some(all) => Lanes::Packed(packed(w, all, item).cast_const()),
                        None => Lanes::Strided { x: lanes(cx, w, item), scratch },
                    },
                    c: sum(item, group),
                    c_rows: RowPlaces::Every(width),
                    c_lane: 1,
                    ..product(cx, w, item)
                };
                let terms = w.terms * group / groups..w.terms * (group + 1) / groups;
                // SAFETY: as above; the group's sum is this task's.
                unsafe { gathered::multiply(tiles, &product, 0..panels, 0..w.rows, terms) };
            });
            let some = (16_384 / width).clamp(1, w.rows);
            let blocks = w.rows.div_ceil(some);
            cx.each(w.sharing, w.items * blocks, &|_, task| {
                let (item, row) = (task / blocks, task % blocks * some);
                // SAFETY: these rows of the sums and of the result are this task's.
                unsafe {
                    join(cx, w, item, groups, row..(row + some).min(w.rows), &|group| sum(item, group))
                };
            });
        }
    }
}

/// Joins the groups' sums of some rows as a balanced tree, into the result.
///
/// # Safety
/// The rows must be the caller's.
unsafe fn join<T: Number + Add<Output = T>>(
    cx: &Context<'_>,
    w: &GatheredWork,
    item: usize,
    groups: usize,
    rows: Range<usize>,
    sum: &dyn Fn(usize) -> *mut T,
) {
    let width = w.panels.padded();
    let part = |group: usize| sum(group).wrapping_add(rows.start * width);
    let mut step = 1;
    while step < groups {
        for group in (0..groups - step).step_by(2 * step) {
            let numbers = rows.len() * width;
            // SAFETY: rows of two groups, which are apart.
            let (into, from) = unsafe {
                (
                    std::slice::from_raw_parts_mut(part(group), numbers),
                    std::slice::from_raw_parts(part(group + step), numbers),
                )
            };
            for (x, y) in into.iter_mut().zip(from) {
                *x = *x + *y;
            }
        }
        step *= 2;
    }
    let c = start_of::<T>(cx, w, &w.c, item);
    for (i, row) in rows.clone().enumerate() {
        let (from, to) = (part(0).wrapping_add(i * width), c.wrapping_offset(w.c_rows[row] as isize));
        for lane in 0..w.lanes {
            // SAFETY: passed on from the caller.
            unsafe { *to.wrapping_offset(lane as isize * w.c.lane as isize) = *from.add(lane) };
        }
    }
}

/// The product of an item, into the result; the operand on the lanes is filled in.
fn product<'a, T>(cx: &Context<'_>, w: &'a GatheredWork, item: usize) -> GatheredProduct<'a, T> {
    GatheredProduct {
        panels: &w.panels,
        x: Lanes::Packed(std::ptr::null()),
        y: start_of::<T>(cx, w, &w.y, item).cast_const(),
        y_rows: &w.y_rows,
        y_terms: &w.y_terms,
        c: start_of::<T>(cx, w, &w.c, item),
        c_rows: RowPlaces::Table(&w.c_rows),
        c_lane: w.c.lane as isize,
    }
}

fn lanes<'a, T>(cx: &Context<'_>, w: &'a GatheredWork, item: usize) -> Strided<'a, T> {
    let start = start_of::<T>(cx, w, &w.x, item).cast_const();
    Strided { start, lane: w.x.lane as isize, terms: &w.x_terms, by_place: &w.x_by_place }
}

/// Packs all panels of all items, for which there is room from `to` on.
fn pack<T: Number>(cx: &Context<'_>, w: &GatheredWork, tiles: &Tiles<T>, to: &(dyn Fn() -> *mut T + Sync)) {
    let panels = w.panels.count();
    cx.each(w.sharing, w.items * panels, &|_, task| {
        let (item, panel) = (task / panels, task % panels);
        let to = packed(w, to(), item).wrapping_add(gathered::panel_start(&w.panels, panel, w.terms));
        // SAFETY: the operand was checked when the sizes were bound; each panel is packed by one task.
        unsafe { gathered::pack(tiles, &w.panels, panel, lanes(cx, w, item), to) };
    });
}

/// The packed lanes of an item, of all items'.
fn packed<T>(w: &GatheredWork, all: *mut T, item: usize) -> *mut T {
    all.wrapping_add(item * gathered::packed_numbers(&w.panels, w.terms))
}

fn start_of<T>(cx: &Context<'_>, w: &GatheredWork, place: &Place, item: usize) -> *mut T {
    let mut at = 0;
    let mut rest = item;
    for (&size, &stride) in w.batch.iter().zip(&place.batch_strides).rev() {
        at += (rest % size) as i64 * stride;
        rest /= size;
    }
    cx.start::<T>(place).wrapping_offset(at as isize)
}
