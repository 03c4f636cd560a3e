//! Convolutions by Winograd's transformation; see [`crate::execute::product::winograd`].
//!
//! A product by tables of places is one where its terms are three by three taps and channels, its rows have lines and
//! columns that are as far apart as the taps are (a stride and a dilation of 1), and channels lie next to each other. In
//! the gradient of filters rows and terms have changed places.

mod filters;

pub(crate) use filters::{FiltersWork, Sums as FilterSums};

use super::bind::{Binder, Keep, Packed, Work, sharing};
use super::gathered::{Axis, Place, form, places_by_memory, table};
use crate::execute::product::winograd::{POINTS, RESULTS, SPAN, TAPS};
use crate::execute::product::{self, Panels, gathered};
use crate::threads::Sharing;
use ttk_ir::DType;

#[derive(Debug)]
pub(crate) struct WinogradWork {
    pub(crate) dtype: DType,
    pub(crate) panels: Panels,
    pub(crate) channels: usize,
    /// The filters, and where the taps of all channels are: tap after tap.
    pub(crate) x: Place,
    pub(crate) x_terms: Box<[i32]>,
    pub(crate) x_by_place: Box<[u32]>,
    /// The image and the result, and their strides of lines and columns.
    pub(crate) y: Place,
    pub(crate) y_steps: [isize; 2],
    pub(crate) c: Place,
    pub(crate) c_steps: [isize; 2],
    pub(crate) tiles: Box<[TileAt]>,
    /// The transformed filters of all panels, where they may be kept from run to run.
    pub(crate) kept: Option<Keep>,
    pub(crate) cut: Cut,
    pub(crate) sharing: Sharing,
}

/// How tiles and lanes are dealt out to tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// A task has so many tiles. The filters are transformed beforehand, in the shared scratch.
    Tiles(usize),
    /// A task has a panel of lanes, whose filters it transforms. The tiles are transformed beforehand.
    Lanes,
}

/// Where a tile is, in the image and in the result (or its gradient).
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileAt {
    pub(crate) image: i32,
    pub(crate) result: i32,
    /// Lines and columns of the result that there are.
    pub(crate) size: [u8; 2],
}

/// Channels, and lanes, from which on the products outweigh the transformations.
const CHANNELS: usize = 32;

/// Results for each filter, from which on transforming it pays.
const RESULTS_EACH: usize = 180;

/// So few tiles are shared, with so many panels at least.
const FEW_TILES: usize = 64;
const PANELS: usize = 8;

/// Of the results that tiles have, those that are wanted, in percent at least.
const USED_PERCENT: usize = 60;

/// Numbers of a task's transformed tiles and their products: they should stay in the second cache.
const NUMBERS_EACH: usize = 4_800;
const TILES_EACH: [usize; 2] = [12, 48];

/// Tasks of tiles, if there are enough of those.
const TASKS: usize = 8;

/// More bytes than this of transformed filters are not made.
const FILTER_BYTES: usize = 24 << 20;

/// What a product by tables is, seen from its operands: see [`super::gathered`].
pub(super) struct Seen<'a> {
    pub(super) dtype: DType,
    pub(super) lane: Axis,
    pub(super) rows: &'a [Axis],
    pub(super) terms: &'a [Axis],
    /// Steps along an axis in the operand on the lanes and in the broadcast one.
    pub(super) pick: &'a dyn Fn(&Axis) -> (i64, i64),
}

impl Seen<'_> {
    fn x_step(&self, axis: &Axis) -> i64 {
        (self.pick)(axis).0
    }

    fn y_step(&self, axis: &Axis) -> i64 {
        (self.pick)(axis).1
    }

    /// Of axes two of which have the size of a filter: those two, and the only other one.
    fn taps(&self, axes: &[Axis]) -> Option<([Axis; 2], Axis)> {
        let (taps, others): (Vec<Axis>, Vec<Axis>) = axes.iter().partition(|a| a.size == TAPS);
        match (taps.as_slice(), others.as_slice()) {
            (&[first, second], &[channel]) => Some(([first, second], channel)),
            _ => None,
        }
    }

    /// The lines and columns that taps go along, and the axes besides those; where they fill most of their tiles.
    fn places(&self, axes: &[Axis], taps: &[Axis; 2]) -> Option<([Axis; 2], Vec<Axis>)> {
        let along = |tap: &Axis| {
            axes.iter().position(|a| self.y_step(a) == self.y_step(tap) && self.y_step(tap) != 0)
        };
        let (line, column) = (along(&taps[0])?, along(&taps[1])?);
        let whole = |i: usize| axes[i].size.next_multiple_of(RESULTS);
        let used = 100 * axes[line].size * axes[column].size;
        if line == column || used < USED_PERCENT * whole(line) * whole(column) {
            return None;
        }
        let outer = axes.iter().enumerate().filter(|&(i, _)| i != line && i != column);
        Some(([axes[line], axes[column]], outer.map(|(_, a)| *a).collect()))
    }

    /// Whether vectors of channels and of lanes can be transformed, and products with so many outweigh that.
    fn is_wide(&self, channel: &Axis) -> bool {
        let vector = product::vector(self.dtype.size());
        let wide = |n: usize| n >= CHANNELS && n.is_multiple_of(vector);
        wide(channel.size) && wide(self.lane.size)
    }
}

/// All tiles; `steps` are those of an axis in the image and in the result.
fn tiles(
    [lines, columns]: &[Axis; 2],
    outer: &[Axis],
    [image, result]: [&dyn Fn(&Axis) -> i64; 2],
) -> Option<Box<[TileAt]>> {
    let (y_outer, c_outer) = (table(outer, image)?, table(outer, result)?);
    let along = |axis: &Axis| {
        let (y, c, size) = (image(axis), result(axis), axis.size);
        (0..size).step_by(RESULTS).map(move |at| (at as i64 * y, at as i64 * c, RESULTS.min(size - at) as u8))
    };
    let mut tiles = Vec::new();
    for (&y, &c) in y_outer.iter().zip(&c_outer) {
        for (y_line, c_line, height) in along(lines) {
            for (y_column, c_column, width) in along(columns) {
                tiles.push(TileAt {
                    image: i32::try_from(i64::from(y) + y_line + y_column).ok()?,
                    result: i32::try_from(i64::from(c) + c_line + c_column).ok()?,
                    size: [height, width],
                });
            }
        }
    }
    Some(tiles.into())
}

/// The product by Winograd's transformation, if it is a convolution or the gradient of filters, and large enough.
pub(super) fn bind(b: &mut Binder<'_>, s: &Seen<'_>, sides: [&Place; 3]) -> Option<Work> {
    if let Some(work) = results(b, s, sides) {
        return Some(Work::Winograd(Box::new(work)));
    }
    filters::bind(b, s, sides).map(|work| Work::WinogradFilters(Box::new(work)))
}

/// A place without the axes of a batch, of which there are none.
fn alone(place: &Place) -> Place {
    Place { batch_strides: Vec::new(), ..*place }
}

fn results(b: &mut Binder<'_>, s: &Seen<'_>, [x, y, c]: [&Place; 3]) -> Option<WinogradWork> {
    let (taps, channel) = s.taps(s.terms)?;
    let (places, outer) = s.places(s.rows, &taps)?;
    let rows = s.rows.iter().map(|r| r.size).product::<usize>();
    if s.y_step(&channel) != 1 || s.lane.c != 1 || !s.is_wide(&channel) || rows < RESULTS_EACH {
        return None;
    }
    let size = s.dtype.size();
    let panels = Panels::new(s.lane.size, size);
    let tiles = tiles(&places, &outer, [&|a| s.y_step(a), &|a| a.c])?;
    let filters = POINTS * panels.padded() * channel.size * size;
    let panel = gathered::panel_numbers(&panels, TAPS * TAPS * channel.size);
    let (cut, numbers, shared) = if tiles.len() <= FEW_TILES && panels.count() >= PANELS {
        let numbers = gathered::panel_numbers(&panels, POINTS * (channel.size + tiles.len()));
        (Cut::Lanes, panel + numbers, POINTS * tiles.len() * channel.size * size)
    } else {
        let each = (NUMBERS_EACH / (channel.size + s.lane.size)).min(tiles.len() / TASKS);
        let each = (each / SPAN * SPAN).clamp(TILES_EACH[0], TILES_EACH[1]);
        (Cut::Tiles(each), panel.max(POINTS * each * (channel.size + panels.padded())), filters)
    };
    if cut != Cut::Lanes && filters > FILTER_BYTES {
        return None;
    }
    let terms = [taps[0], taps[1], channel];
    let x_terms = table(&terms, &|a| s.x_step(a))?;
    let kept = match cut {
        Cut::Tiles(_) => {
            let numbers = form(s.dtype, x, &s.lane, terms.iter(), &|a| s.x_step(a));
            b.keep(x.buffer, filters, Packed::Winograd, numbers)
        }
        Cut::Lanes => None,
    };
    let flops = 2.0 * (POINTS * tiles.len() * panels.padded() * channel.size) as f64;
    b.reserve(numbers * size, shared);
    Some(WinogradWork {
        dtype: s.dtype,
        channels: channel.size,
        x: alone(x),
        x_by_place: places_by_memory(&x_terms, x.lane),
        x_terms,
        y: alone(y),
        y_steps: places.map(|a| s.y_step(&a) as isize),
        c: alone(c),
        c_steps: places.map(|a| a.c as isize),
        tiles,
        kept,
        cut,
        sharing: sharing(flops / 10.0),
        panels,
    })
}
