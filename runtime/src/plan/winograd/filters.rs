//! The gradient of filters by Winograd's transformation F(3x3, 4x4): the results' gradient is the filter, four by four at a
//! time, and the taps are what comes out.

use super::{FEW_TILES, PANELS, POINTS, Seen, TAPS, TileAt, alone, tiles};
use crate::execute::product::{self, Panels, gathered};
use crate::plan::bind::{Binder, sharing};
use crate::plan::gathered::Place;
use crate::threads::Sharing;
use ttk_ir::DType;

#[derive(Debug)]
pub(crate) struct FiltersWork {
    pub(crate) dtype: DType,
    /// Of the lanes, the results' channels.
    pub(crate) panels: Panels,
    pub(crate) lanes: usize,
    pub(crate) channels: usize,
    /// The results' gradient and the image, and their strides of lines and columns.
    pub(crate) x: Place,
    pub(crate) x_steps: [isize; 2],
    pub(crate) y: Place,
    pub(crate) y_steps: [isize; 2],
    /// Taps, then channels, of a lane follow each other.
    pub(crate) c: Place,
    pub(crate) tiles: Box<[TileAt]>,
    pub(crate) sums: Sums,
    pub(crate) sharing: Sharing,
}

/// How products are dealt out to tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sums {
    /// So many tiles are transformed before their products are added up. A task has a point; the sums are shared.
    Points { together: usize },
    /// All tiles are. A task has a panel of lanes.
    Lanes,
}

/// Tiles from which on their products outweigh the transformation of the sums.
const TILES: usize = 12;

/// Bytes of the sums at most, and of the transformed tiles together: they should stay in the last cache.
const SUM_BYTES: usize = 12 << 20;
const TILE_BYTES: usize = 8 << 20;

pub(super) fn bind(b: &mut Binder<'_>, s: &Seen<'_>, [x, y, c]: [&Place; 3]) -> Option<FiltersWork> {
    let (taps, channel) = s.taps(s.rows)?;
    let (places, outer) = s.places(s.terms, &taps)?;
    let dense = s.y_step(&channel) == 1 && s.x_step(&s.lane) == 1;
    let number = TAPS as i64;
    let as_filters = [taps[0].c, taps[1].c, channel.c] == [number, 1, number * number];
    let taps_each = (TAPS * TAPS * channel.size) as i64;
    if !dense || !as_filters || s.lane.c < taps_each || !s.is_wide(&channel) {
        return None;
    }
    let size = s.dtype.size();
    let panels = Panels::new(s.lane.size, size);
    let tiles = tiles(&places, &outer, [&|a| s.y_step(a), &|a| s.x_step(a)])?;
    let vectors = TAPS * TAPS * channel.size * product::vector(size);
    let each = POINTS * (channel.size + panels.padded()) * size;
    let (sums, numbers, shared) = if tiles.len() <= FEW_TILES && panels.count() >= PANELS {
        let sums = gathered::panel_numbers(&panels, POINTS * channel.size);
        (Sums::Lanes, vectors + sums, tiles.len() * each)
    } else {
        let together = tiles.len().div_ceil((tiles.len() * each).div_ceil(TILE_BYTES));
        let sums = POINTS * channel.size * panels.padded() * size;
        (Sums::Points { together }, vectors, sums + together * each)
    };
    if tiles.len() < TILES || sums != Sums::Lanes && shared > SUM_BYTES + TILE_BYTES {
        return None;
    }
    let flops = 2.0 * (POINTS * tiles.len() * panels.padded() * channel.size) as f64;
    b.reserve(numbers * size, shared);
    Some(FiltersWork {
        dtype: s.dtype,
        lanes: s.lane.size,
        channels: channel.size,
        x: alone(x),
        x_steps: places.map(|a| s.x_step(&a) as isize),
        y: alone(y),
        y_steps: places.map(|a| s.y_step(&a) as isize),
        c: alone(c),
        tiles,
        sums,
        sharing: sharing(flops / 10.0),
        panels,
    })
}
