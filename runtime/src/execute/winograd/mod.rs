//! Convolutions by Winograd's transformation on the team of threads.

pub(super) mod filters;

use super::Context;
use super::product::gathered::{self, Strided};
use super::product::winograd::{self, POINTS, RESULTS, SPAN, Square, TAPS};
use super::product::{Number, Panels, Tiles};
use crate::memory::Buffer;
use crate::plan::{Cut, TileAt, WinogradWork};
use std::ops::Range;
use ttk_ir::DType;

/// Computes one step.
pub(super) fn run(cx: &Context<'_>, w: &WinogradWork) {
    match (w.dtype, f32::tiles(), f64::tiles()) {
        (DType::F32, Some(tiles), _) => typed(cx, w, tiles),
        (DType::F64, _, Some(tiles)) => typed(cx, w, tiles),
        _ => unreachable!("bound for other types, or a machine without tiles"),
    }
}

fn typed<T: Number>(cx: &Context<'_>, w: &WinogradWork, t: &Tiles<T>) {
    match w.cut {
        Cut::Tiles(tiles_each) => by_tiles(cx, w, t, tiles_each),
        Cut::Lanes => by_lanes(cx, w, t),
    }
}

fn by_tiles<T: Number>(cx: &Context<'_>, w: &WinogradWork, t: &Tiles<T>, tiles_each: usize) {
    let width = w.panels.padded();
    let transform = |to: &(dyn Fn() -> *mut T + Sync)| {
        cx.each(w.sharing, w.panels.count(), &|slot, panel| {
            let to = to().wrapping_add(gathered::panel_start(&w.panels, panel, w.channels));
            // SAFETY: scratch has room for a panel, and `to` for all panels at each point, of which this one is the task's.
            unsafe { transform_filters(cx, w, t, panel, cx.scratch(slot).cast(), to, width * w.channels) };
        });
    };
    let kept = cx.kept(&w.kept, |form| transform(&|| form.as_ptr().cast()));
    let filters = || kept.as_ref().map_or(cx.shared, Buffer::as_ptr).cast::<T>();
    if kept.is_none() {
        transform(&filters);
    }
    cx.each(w.sharing, w.tiles.len().div_ceil(tiles_each), &|slot, task| {
        let first = task * tiles_each;
        let tiles = &w.tiles[first..(first + tiles_each).min(w.tiles.len())];
        let v = cx.scratch(slot).cast::<T>();
        let m = v.wrapping_add(POINTS * tiles.len() * w.channels);
        // SAFETY: these tiles' results are the task's, and scratch has room for the tiles at each point.
        unsafe {
            for (i, tile) in tiles.iter().enumerate() {
                transform_tile(cx, w, t, tile, v.wrapping_add(i * w.channels), tiles.len() * w.channels);
            }
            winograd::multiply(t, &w.panels, [tiles.len(), w.channels], v, filters(), m);
            for (i, tile) in tiles.iter().enumerate() {
                store(cx, w, t, tile, 0..w.panels.padded(), m.wrapping_add(i * width), tiles.len() * width);
            }
        }
    });
}

/// Tiles that a task transforms.
const TILES_EACH: usize = 4;

fn by_lanes<T: Number>(cx: &Context<'_>, w: &WinogradWork, t: &Tiles<T>) {
    let v = || cx.shared.cast::<T>();
    let count = w.tiles.len();
    cx.each(w.sharing, count.div_ceil(TILES_EACH), &|_, task| {
        for i in (task * TILES_EACH..(task + 1) * TILES_EACH).take_while(|&i| i < count) {
            let to = v().wrapping_add(i * w.channels);
            // SAFETY: the shared scratch has room for all tiles at each point; this one is the task's.
            unsafe { transform_tile(cx, w, t, &w.tiles[i], to, count * w.channels) };
        }
    });
    cx.each(w.sharing, w.panels.count(), &|slot, panel| {
        let lanes = w.panels.start(panel)..w.panels.start(panel + 1);
        let own = Panels::new(lanes.len(), size_of::<T>());
        let packed = cx.scratch(slot).cast::<T>();
        let u = packed.wrapping_add(gathered::panel_numbers(&w.panels, TAPS * TAPS * w.channels));
        let m = u.wrapping_add(POINTS * w.channels * own.padded());
        // SAFETY: the tiles were transformed before; scratch has room for a panel, for that at each point and for its
        // products, and these lanes of the results are the task's.
        unsafe {
            transform_filters(cx, w, t, panel, packed, u, w.channels * own.padded());
            winograd::multiply(t, &own, [count, w.channels], v(), u, m);
            for (i, tile) in w.tiles.iter().enumerate() {
                let m = m.wrapping_add(i * own.padded());
                store(cx, w, t, tile, lanes.clone(), m, count * own.padded());
            }
        }
    });
}

/// Transforms the filters of a panel, which are packed first. Operands were checked when the sizes were bound.
///
/// # Safety
/// `packed` must have room for the panel, and `to` at each point.
unsafe fn transform_filters<T: Number>(
    cx: &Context<'_>,
    w: &WinogradWork,
    t: &Tiles<T>,
    panel: usize,
    packed: *mut T,
    to: *mut T,
    apart: usize,
) {
    let width = w.panels.start(panel + 1) - w.panels.start(panel);
    let from = Strided {
        start: cx.start::<T>(&w.x).cast_const(),
        lane: w.x.lane as isize,
        terms: &w.x_terms,
        by_place: &w.x_by_place,
    };
    // SAFETY: passed on from the caller.
    unsafe {
        gathered::pack(t, &w.panels, panel, from, packed);
        (t.winograd.filters)(w.channels, width, packed, to, apart);
    }
}

/// Transforms a tile of the image, which was checked when the sizes were bound.
///
/// # Safety
/// `to` must have room for the channels at each point.
unsafe fn transform_tile<T: Number>(
    cx: &Context<'_>,
    w: &WinogradWork,
    t: &Tiles<T>,
    tile: &TileAt,
    to: *mut T,
    apart: usize,
) {
    let [line, column] = w.y_steps;
    let [lines, columns] = tile.size.map(|n| usize::from(n) + SPAN - RESULTS);
    let start = cx.start::<T>(&w.y).wrapping_offset(tile.image as isize);
    // SAFETY: passed on from the caller.
    unsafe { (t.winograd.image)(w.channels, &Square { start, line, column, lines, columns }, to, apart) };
}

/// Transforms the sums of a tile, for some lanes, into the result.
///
/// # Safety
/// The sums must be there, and these results the caller's.
unsafe fn store<T: Number>(
    cx: &Context<'_>,
    w: &WinogradWork,
    t: &Tiles<T>,
    tile: &TileAt,
    lanes: Range<usize>,
    m: *const T,
    apart: usize,
) {
    let [line, column] = w.c_steps;
    let [lines, columns] = tile.size.map(usize::from);
    let start = cx.start::<T>(&w.c).wrapping_offset(tile.result as isize).wrapping_add(lanes.start);
    // SAFETY: passed on from the caller.
    unsafe { (t.winograd.results)(lanes.len(), m, apart, &Square { start, line, column, lines, columns }) };
}
