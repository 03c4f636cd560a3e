//! Gradients of filters by Winograd's transformation on the team of threads.

use super::super::Context;
use super::super::product::winograd::{self, POINTS, RESULTS, SPAN, Square, TAPS};
use super::super::product::{self, Number, Panels, Tiles};
use crate::plan::{FilterSums, FiltersWork, Place, TileAt};
use ttk_ir::DType;

/// Computes one step.
pub(in super::super) fn run(cx: &Context<'_>, w: &FiltersWork) {
    match (w.dtype, f32::tiles(), f64::tiles()) {
        (DType::F32, Some(tiles), _) => typed(cx, w, tiles),
        (DType::F64, _, Some(tiles)) => typed(cx, w, tiles),
        _ => unreachable!("bound for other types, or a machine without tiles"),
    }
}

/// Tiles that a task transforms.
const TILES_EACH: usize = 8;

fn typed<T: Number>(cx: &Context<'_>, w: &FiltersWork, t: &Tiles<T>) {
    match w.sums {
        FilterSums::Points { together } => by_points(cx, w, t, together),
        FilterSums::Lanes => by_lanes(cx, w, t),
    }
}

fn by_points<T: Number>(cx: &Context<'_>, w: &FiltersWork, t: &Tiles<T>, together: usize) {
    let width = w.panels.padded();
    let point_sums = w.channels * width;
    // The sums, then the transformed tiles.
    let sums = || cx.shared.cast::<T>();
    for first in (0..w.tiles.len()).step_by(together) {
        let tiles = &w.tiles[first..(first + together).min(w.tiles.len())];
        let squares = || Squares::new(w, tiles.len(), sums().wrapping_add(POINTS * point_sums));
        transform(cx, w, t, tiles, &squares);
        cx.each(w.sharing, POINTS, &|_, point| {
            let m = sums().wrapping_add(point * point_sums);
            let [v, u] = squares().at(point);
            // SAFETY: the tiles were transformed before; the sums of this point are the task's.
            unsafe {
                winograd::multiply_tiles(
                    t,
                    &w.panels,
                    [tiles.len(), w.channels, width],
                    [v, u],
                    m,
                    first > 0,
                );
            }
        });
    }
    let vector = product::vector(size_of::<T>());
    cx.each(w.sharing, w.lanes / vector, &|slot, task| {
        let m = sums().wrapping_add(task * vector).cast_const();
        // SAFETY: the sums are there; scratch has room for a vector of each tap, and the taps of these lanes are the task's.
        unsafe { store(cx, w, t, task * vector, m, width, cx.scratch(slot).cast()) };
    });
}

fn by_lanes<T: Number>(cx: &Context<'_>, w: &FiltersWork, t: &Tiles<T>) {
    let tiles = w.tiles.len();
    let squares = || Squares::new(w, tiles, cx.shared.cast::<T>());
    transform(cx, w, t, &w.tiles, &squares);
    let vector = product::vector(size_of::<T>());
    cx.each(w.sharing, w.panels.count(), &|slot, panel| {
        let lanes = w.panels.start(panel)..w.panels.start(panel + 1);
        let own = Panels::new(lanes.len(), size_of::<T>());
        let taps = cx.scratch(slot).cast::<T>();
        let m = taps.wrapping_add(TAPS * TAPS * w.channels * vector);
        let point_sums = w.channels * own.padded();
        // SAFETY: the tiles were transformed before; scratch has room for the panel's sums at each point and, before them,
        // for a vector of each tap; the taps of these lanes are the task's.
        unsafe {
            for point in 0..POINTS {
                let [v, u] = squares().at(point);
                let (u, m) = (u.wrapping_add(lanes.start), m.wrapping_add(point * point_sums));
                let sizes = [tiles, w.channels, w.panels.padded()];
                winograd::multiply_tiles(t, &own, sizes, [v, u], m, false);
            }
            for lane in (0..lanes.len()).step_by(vector) {
                let m = m.wrapping_add(lane).cast_const();
                store(cx, w, t, lanes.start + lane, m, own.padded(), taps);
            }
        }
    });
}

/// Where some tiles are, transformed: those of the image, then those of the results' gradient.
struct Squares<T> {
    start: *mut T,
    tiles: usize,
    channels: usize,
    width: usize,
}

impl<T> Squares<T> {
    fn new(w: &FiltersWork, tiles: usize, start: *mut T) -> Squares<T> {
        Squares { start, tiles, channels: w.channels, width: w.panels.padded() }
    }

    /// The two at a point.
    fn at(&self, point: usize) -> [*mut T; 2] {
        let slopes = self.start.wrapping_add(POINTS * self.tiles * self.channels);
        [
            self.start.wrapping_add(point * self.tiles * self.channels),
            slopes.wrapping_add(point * self.tiles * self.width),
        ]
    }
}

/// Transforms tiles of the image and of the results' gradient.
fn transform<T: Number>(
    cx: &Context<'_>,
    w: &FiltersWork,
    t: &Tiles<T>,
    tiles: &[TileAt],
    squares: &(dyn Fn() -> Squares<T> + Sync),
) {
    cx.each(w.sharing, tiles.len().div_ceil(TILES_EACH), &|_, task| {
        let width = w.panels.padded();
        let [v, u] = squares().at(0);
        for i in (task * TILES_EACH..(task + 1) * TILES_EACH).take_while(|&i| i < tiles.len()) {
            let [lines, columns] = tiles[i].size.map(usize::from);
            let square = |place: &Place, at: i32, [line, column]: [isize; 2], more: usize| Square {
                start: cx.start::<T>(place).wrapping_offset(at as isize),
                line,
                column,
                lines: lines + more,
                columns: columns + more,
            };
            // SAFETY: both operands were checked when the sizes were bound, and the tile is a part of each; there is room for
            // all tiles at each point, and this one is the task's.
            unsafe {
                let from = square(&w.y, tiles[i].image, w.y_steps, SPAN - RESULTS);
                let to = v.wrapping_add(i * w.channels);
                (t.winograd.image)(w.channels, &from, to, tiles.len() * w.channels);
                let from = square(&w.x, tiles[i].result, w.x_steps, 0);
                (t.winograd.slopes)(width, &from, u.wrapping_add(i * width), tiles.len() * width);
            }
        }
    });
}

/// Transforms the sums of a vector of lanes into taps, which follow each other for each lane.
///
/// # Safety
/// The sums must be there, channels `width` apart; `scratch` must have room for a vector of each tap, and the taps of these
/// lanes be the caller's.
unsafe fn store<T: Number>(
    cx: &Context<'_>,
    w: &FiltersWork,
    t: &Tiles<T>,
    lane: usize,
    m: *const T,
    width: usize,
    scratch: *mut T,
) {
    let to = cx.start::<T>(&w.c).wrapping_offset(lane as isize * w.c.lane as isize);
    // SAFETY: passed on from the caller.
    unsafe { winograd::taps(t, [w.channels, width], m, scratch, to, w.c.lane as usize) };
}
