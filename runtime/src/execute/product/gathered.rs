//! Products of an operand that is read where it lies, by tables of places: the windows of a convolution.
//!
//! A row of the broadcast operand starts at a place of its own, and each term is as far from there as a table
//! says; the two add up, as they do for every view without overlapping conditions. So neither the windows of
//! an image nor axes that do not follow each other in memory have to be written out first.

use super::{MOST_ROWS, NEAR, Number, Panels, Tile, Tiles, asked_ahead, copy_lanes};
use std::ops::Range;

/// The longest stretch of terms that a tile sums in registers: a panel of so many stays in the nearest cache.
const STRETCH: usize = 320;

/// A product to compute: `c[lane, row] (+)= sum of x[lane, term] * y[row, term]`.
pub(in super::super) struct GatheredProduct<'a, T> {
    pub(in super::super) panels: &'a Panels,
    pub(in super::super) x: Lanes<'a, T>,
    pub(in super::super) y: *const T,
    /// Where each row of the operand starts.
    pub(in super::super) y_rows: &'a [i32],
    /// How far from there each term is.
    pub(in super::super) y_terms: &'a [i32],
    pub(in super::super) c: *mut T,
    /// Where each row of the result starts.
    pub(in super::super) c_rows: RowPlaces<'a>,
    pub(in super::super) c_lane: isize,
}

/// Where the rows of a result are.
#[derive(Clone, Copy)]
pub(in super::super) enum RowPlaces<'a> {
    Table(&'a [i32]),
    Every(usize),
}

/// The operand on the lanes.
#[derive(Clone, Copy)]
pub(in super::super) enum Lanes<'a, T> {
    /// All panels of all terms, as [`pack`] makes them, each at its [`panel_start`].
    Packed(*const T),
    /// Packed here, a panel and a stretch at a time.
    Strided { x: Strided<'a, T>, scratch: *mut T },
}

/// Lanes at a stride, terms where a table says.
#[derive(Clone, Copy)]
pub(in super::super) struct Strided<'a, T> {
    pub(in super::super) start: *const T,
    pub(in super::super) lane: isize,
    pub(in super::super) terms: &'a [i32],
    /// The terms in the order of their places, where it pays to go by that: lanes that are apart, terms that
    /// are not.
    pub(in super::super) by_place: &'a [u32],
}

/// Broadcast rows of a whole tile of this machine, for a type of so many bytes.
pub(crate) fn rows(bytes: usize) -> usize {
    fn of<T: Number>() -> usize {
        T::tiles().map_or(MOST_ROWS, |t| t.gathered_rows)
    }
    if bytes == 8 { of::<f64>() } else { of::<f32>() }
}

/// Numbers that [`Lanes::Strided`] needs for scratch.
pub(crate) fn scratch_numbers(panels: &Panels) -> usize {
    panels.widest * panels.vector * STRETCH
}

/// Numbers of a packed panel.
pub(crate) fn panel_numbers(panels: &Panels, terms: usize) -> usize {
    panels.widest * panels.vector * terms
}

/// Numbers of all packed panels.
pub(crate) fn packed_numbers(panels: &Panels, terms: usize) -> usize {
    panels.padded() * terms
}

/// Packs a panel of all terms, from `to` on.
///
/// # Safety
/// The operand must be in memory, and `to` have room for the panel.
pub(in super::super) unsafe fn pack<T: Number>(
    tiles: &Tiles<T>,
    panels: &Panels,
    panel: usize,
    x: Strided<'_, T>,
    to: *mut T,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        if x.by_place.is_empty() {
            pack_terms(panels, panel, x, 0..x.terms.len(), to);
        } else {
            pack_by_place(tiles, panels, panel, x, to);
        }
    }
}

/// Where a panel begins among all panels of so many terms.
pub(in super::super) fn panel_start(panels: &Panels, panel: usize, terms: usize) -> usize {
    panels.first_vector(panel) * panels.vector * terms
}

/// # Safety
/// The operand must be in memory, and `to` have room for the terms of the panel.
unsafe fn pack_terms<T: Number>(
    panels: &Panels,
    panel: usize,
    x: Strided<'_, T>,
    terms: Range<usize>,
    to: *mut T,
) {
    let (start, end) = (panels.start(panel), panels.start(panel + 1));
    let (width, padded) = (end - start, (end - start).next_multiple_of(panels.vector));
    let first = x.start.wrapping_offset(start as isize * x.lane);
    // SAFETY: passed on from the caller; lanes past the last are zeros.
    unsafe {
        for (i, &term) in x.terms[terms].iter().enumerate() {
            let (from, to) = (first.wrapping_offset(term as isize), to.add(i * padded));
            if x.lane == 1 {
                copy_lanes(from, to, width);
            } else {
                for l in 0..width {
                    *to.add(l) = *from.wrapping_offset(l as isize * x.lane);
                }
            }
            for l in width..padded {
                *to.add(l) = T::default();
            }
        }
    }
}

/// Terms that follow each other in memory are transposed together, at most so many, and then put where
/// they belong.
const TOGETHER: usize = 32;

/// The most lanes of a panel.
const MOST_LANES: usize = 64;

/// # Safety
/// As of [`pack`].
unsafe fn pack_by_place<T: Number>(
    tiles: &Tiles<T>,
    panels: &Panels,
    panel: usize,
    x: Strided<'_, T>,
    to: *mut T,
) {
    let (start, end) = (panels.start(panel), panels.start(panel + 1));
    let (width, padded) = (end - start, (end - start).next_multiple_of(panels.vector));
    let first = x.start.wrapping_offset(start as isize * x.lane);
    // Lanes past the last stay zeros.
    let mut block = [T::default(); TOGETHER * MOST_LANES];
    let follows = |a: &u32, b: &u32| x.terms[*a as usize] + 1 == x.terms[*b as usize];
    for run in x.by_place.chunk_by(follows).flat_map(|run| run.chunks(TOGETHER)) {
        let from = first.wrapping_offset(x.terms[run[0] as usize] as isize);
        // SAFETY: passed on from the caller; the block has room for so many terms of the widest panel.
        unsafe { (tiles.block.transpose)(width, run.len(), from, x.lane, block.as_mut_ptr(), padded) };
        for (row, &term) in block.chunks_exact(padded).zip(run) {
            // SAFETY: a term of the panel.
            unsafe { to.add(term as usize * padded).copy_from_nonoverlapping(row.as_ptr(), padded) };
        }
    }
}

/// Computes some panels of lanes by some rows, summing `terms`.
///
/// # Safety
/// Operands and result must be in memory as said, the result the caller's alone and apart from the operands.
pub(in super::super) unsafe fn multiply<T: Number>(
    tiles: &Tiles<T>,
    p: &GatheredProduct<'_, T>,
    panels: Range<usize>,
    rows: Range<usize>,
    terms: Range<usize>,
) {
    if terms.is_empty() {
        // SAFETY: numbers of the result.
        unsafe { zero(p, panels, rows) };
        return;
    }
    let is_far = packed_numbers(p.panels, p.y_terms.len()) * size_of::<T>() > NEAR;
    let stretches = terms.len().div_ceil(STRETCH);
    let depth = terms.len().div_ceil(stretches);
    for first in terms.clone().step_by(depth) {
        let stretch = first..(first + depth).min(terms.end);
        for panel in panels.clone() {
            let (lane, end) = (p.panels.start(panel), p.panels.start(panel + 1));
            let padded = (end - lane).next_multiple_of(p.panels.vector);
            let vectors = padded / p.panels.vector;
            let (x, next) = match p.x {
                Lanes::Packed(all) => {
                    let at = |panel: usize, term: usize| {
                        let width = p.panels.start(panel + 1) - p.panels.start(panel);
                        let width = width.next_multiple_of(p.panels.vector);
                        all.wrapping_add(panel_start(p.panels, panel, p.y_terms.len()) + term * width)
                    };
                    // What is read after this.
                    let next = if panel + 1 < panels.end {
                        at(panel + 1, stretch.start)
                    } else {
                        at(panels.start, stretch.end)
                    };
                    (at(panel, stretch.start), is_far.then_some(next))
                }
                Lanes::Strided { x, scratch } => {
                    // SAFETY: scratch has room for a stretch of the widest panel.
                    unsafe { pack_terms(p.panels, panel, x, stretch.clone(), scratch) };
                    (scratch.cast_const(), None)
                }
            };
            let (kernels, asking) = (tiles.gathered[vectors - 1], tiles.gathered_asking[vectors - 1]);
            let mut row = rows.start;
            while row < rows.end {
                let height = tiles.gathered_rows.min(rows.end - row);
                // Of rows past the height the kernel takes no notice.
                let (mut to, mut from) = ([p.c; MOST_ROWS], [p.y; MOST_ROWS]);
                for i in 0..height {
                    let place = match p.c_rows {
                        RowPlaces::Table(t) => t[row + i] as isize,
                        RowPlaces::Every(step) => ((row + i) * step) as isize,
                    };
                    to[i] = p.c.wrapping_offset(place + lane as isize * p.c_lane);
                    from[i] = p.y.wrapping_offset(p.y_rows[row + i] as isize);
                }
                let n = (row - rows.start) / tiles.gathered_rows;
                let ahead = asked_ahead(n, [vectors, p.panels.vector], x, next);
                let kernel = if ahead.is_some() { asking } else { kernels }[height - 1];
                let (add, ahead) = (stretch.start > terms.start, ahead.unwrap_or(0));
                let tile = Tile { rows: to, lane: p.c_lane, width: end - lane, add, ahead, rounded: None };
                // SAFETY: passed on from the caller; the panel was packed for these terms.
                unsafe { kernel(&p.y_terms[stretch.clone()], x, padded, &from, &tile) };
                row += height;
            }
        }
    }
}

/// # Safety
/// As of [`multiply`].
unsafe fn zero<T: Number>(p: &GatheredProduct<'_, T>, panels: Range<usize>, rows: Range<usize>) {
    for lane in p.panels.start(panels.start)..p.panels.start(panels.end) {
        for row in rows.clone() {
            let place = match p.c_rows {
                RowPlaces::Table(t) => t[row] as isize,
                RowPlaces::Every(step) => (row * step) as isize,
            };
            // SAFETY: a number of the result.
            unsafe { *p.c.wrapping_offset(place + lane as isize * p.c_lane) = T::default() };
        }
    }
}
