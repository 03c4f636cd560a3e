//! Matrix products on one thread, over register tiles.
//!
//! One operand lies along vector lanes (its panels are packed so that lanes are contiguous), the other is
//! read a number at a time and broadcast, in whatever layout it has. A tile is a few vectors of lanes by
//! a few broadcast rows; it stays in registers for a whole stretch of `k`. Packing costs as much as some
//! tens of products with each number, so which operand lies along lanes is chosen by [`choose`]: with
//! few rows of `A` it pays to pack those and leave a large `B` as it is.
//!
//! Every element of a product is summed in one order (stretches of `k`, each from its first term on),
//! however the matrix is cut into tiles and tasks.

pub(crate) mod gathered;
pub(crate) mod pairs;
pub(crate) mod winograd;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(not(target_arch = "x86_64"))]
mod none {
    use super::{Number, Tiles};

    impl Number for f32 {
        fn tiles() -> Option<&'static Tiles<f32>> {
            None
        }
    }

    impl Number for f64 {
        fn tiles() -> Option<&'static Tiles<f64>> {
            None
        }
    }
}

use super::multiply::Matrix;
use std::ops::Add;

/// The longest stretch of `k` that a tile sums in registers; longer ones are cut evenly.
const STRETCH: usize = 512;

/// With so few broadcast rows, contiguous lanes are used in place and not packed.
const NOT_PACKED: usize = 16;

/// The broadcast rows are copied so that those of a tile follow each other where a task has at least so many
/// lanes for them: with strides of their own they fall into few places of the caches. Contiguous rows, whose
/// terms are apart, touch a line of the cache for each term, and are copied for fewer lanes.
const COPIED_FOR: usize = 128;
const COPIED_FOR_APART: usize = 32;

/// The most broadcast rows of a tile.
pub(crate) const MOST_ROWS: usize = 8;

/// A product with fewer rows or columns than this reads its large operand as it lies in memory.
const THIN: usize = 4;

/// How many lanes of a thin product are under way at once: their sums stay in the nearest cache.
const STREAM: usize = 2048;

/// Whether this machine has tiles of our own.
pub(crate) fn has_tiles() -> bool {
    f32::tiles().is_some()
}

/// How a product is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    /// Lanes along the columns of `B` and `C`.
    Columns,
    /// Lanes along the rows of `A` and `C`.
    Rows,
    /// Both operands are read along `k`.
    Dots,
    /// As `Columns` and `Rows`, but a few rows of the operand on the lanes are added up at a time.
    ColumnStreams,
    RowStreams,
}

impl Style {
    /// Whether lanes lie along rows, and not along columns.
    pub(crate) fn on_rows(self) -> bool {
        match self {
            Style::Rows | Style::RowStreams => true,
            Style::Columns | Style::ColumnStreams | Style::Dots => false,
        }
    }

    /// The style for operands that have no streams.
    pub(crate) fn without_streams(self) -> Style {
        match self {
            Style::ColumnStreams => Style::Columns,
            Style::RowStreams => Style::Rows,
            Style::Columns | Style::Rows | Style::Dots => self,
        }
    }

    /// Whether one operand is packed in panels of lanes.
    pub(crate) fn packs(self) -> bool {
        match self {
            Style::Rows | Style::Columns => true,
            Style::RowStreams | Style::ColumnStreams | Style::Dots => false,
        }
    }
}

/// What is summed: a number, or several that are one for the layout of matrices.
pub(super) trait Term: Copy + Default + 'static {}

impl<T: Copy + Default + 'static> Term for T {}

/// A number type with register tiles.
pub(super) trait Number: Term + Add<Output = Self> {
    /// The tiles for this machine; `None` where there are none of our own.
    fn tiles() -> Option<&'static Tiles<Self>>;
}

/// The register tiles of products of packed lanes with broadcast rows.
struct Block<T: 'static> {
    /// Numbers in a vector.
    lanes: usize,
    /// `kernels[v - 1][r - 1]` makes a tile of `v` vectors of lanes by `r` broadcast rows.
    kernels: &'static [&'static [Kernel<T>]],
    /// As `kernels`, of tiles that ask for memory ahead.
    asking: &'static [&'static [Kernel<T>]],
    /// Packs lanes that are contiguous along `k`: `(lanes, depth, from, stride, to, width)`.
    transpose: unsafe fn(usize, usize, *const T, isize, *mut T, usize),
}

/// The register tiles of a machine.
pub(super) struct Tiles<T: 'static> {
    block: Block<T>,
    gathered: &'static [&'static [Gathered<T>]],
    /// As `gathered`, of tiles that ask for memory ahead.
    gathered_asking: &'static [&'static [Gathered<T>]],
    /// The rows of a tile of those that read by tables, where there are as many: compilers load the numbers of all rows
    /// first, so that registers are left for fewer sums.
    gathered_rows: usize,
    pub(super) winograd: winograd::Transforms<T>,
    dots: Dots<T, T>,
    /// `c = (c +) sum of x[q] * y[q]` over eight rows, and over one: `(lanes, x, stride, y, c, add)`.
    stream: unsafe fn(usize, *const T, isize, &[T; 8], *mut T, bool),
    stream_one: unsafe fn(usize, *const T, isize, &[T; 8], *mut T, bool),
}

/// Sums terms of a tile, `(depth, x, x_step, y, y_row, y_step, tile)`: `x` is read in vectors, `x_step` numbers further for each term; `y` is
/// broadcast from row `r` at `r * y_row`, `y_step` further for each term.
type Kernel<T> = unsafe fn(usize, *const T, usize, *const T, isize, isize, &Tile<T>);

/// As [`Kernel`], `(terms, x, x_step, rows, tile)`: the term `p` of broadcast row `r` is `terms[p]` numbers
/// from `rows[r]`.
type Gathered<T> = unsafe fn(&[i32], *const T, usize, &[*const T; MOST_ROWS], &Tile<T>);

/// Dot products: `(depth, x, y)`, `y` being four rows at a stride.
type Dots<T, S> = unsafe fn(usize, *const T, *const T, isize) -> [S; 4];

/// Where a tile goes.
struct Tile<T> {
    /// The first lane of each broadcast row.
    rows: [*mut T; MOST_ROWS],
    /// The stride between lanes.
    lane: isize,
    /// Lanes that are part of the matrix; the rest of the last vector is not stored.
    width: usize,
    /// Whether to add to what is there.
    add: bool,
    /// How many bytes from each term's lanes lies the line of memory that is asked for with it, by a kernel that asks.
    ahead: isize,
    /// Where the sums go rounded to bf16, and nowhere else: kernels of pairs alone know of it.
    rounded: Option<Side<u16>>,
}

/// The better style for a product, by an estimate of what there is besides the arithmetic: packing,
/// lanes that are computed for nothing, and storing lanes that are not contiguous. Of operands that are `kept` packed, packing
/// costs nothing.
pub(crate) fn choose(
    [m, n, k]: [usize; 3],
    [a, b, c]: [[i64; 2]; 3],
    kept: [bool; 2],
    lanes: usize,
) -> Style {
    if m.min(n) < THIN && k >= lanes {
        if a[1] == 1 && b[0] == 1 {
            return Style::Dots;
        }
        if m < THIN && b[1] == 1 && c[1] == 1 {
            return Style::ColumnStreams;
        }
        if n < THIN && a[0] == 1 && c[0] == 1 {
            return Style::RowStreams;
        }
    }
    let cost = |lane_size: usize, rows: usize, lane: i64, c_lane: i64, apart: bool, kept: bool| {
        let (l, r, k) = (lane_size as f64, rows as f64, k as f64);
        let padded = lane_size.next_multiple_of(lanes) as f64;
        let arithmetic = padded * r * k / lanes as f64 / 4.0;
        let pack = if kept || lane == 1 && rows <= NOT_PACKED {
            0.0
        } else {
            l * k * if lane == 1 { 0.1 } else { 0.25 }
        };
        arithmetic
            + pack
            + if apart { r * k * 0.25 } else { 0.0 }
            + l * r * if c_lane == 1 { 0.05 } else { 0.4 }
    };
    if cost(n, m, b[1], c[1], a[1] != 1, kept[1]) <= cost(m, n, a[0], c[0], b[0] != 1, kept[0]) {
        Style::Columns
    } else {
        Style::Rows
    }
}

/// How lanes are cut into panels: as many of the widest tile as possible, and no panel of one vector
/// beside others, because so narrow a tile is slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Panels {
    lanes: usize,
    /// Numbers in a vector, vectors in the widest tile, vectors altogether.
    vector: usize,
    widest: usize,
    vectors: usize,
}

impl Panels {
    /// For a type of so many bytes on this machine.
    pub(crate) fn new(lanes: usize, bytes: usize) -> Panels {
        let (vector, widest) = if bytes == 8 { shape::<f64>() } else { shape::<f32>() };
        Panels { lanes, vector, widest, vectors: lanes.div_ceil(vector) }
    }

    pub(crate) fn count(&self) -> usize {
        self.vectors.div_ceil(self.widest)
    }

    /// The first lane of a panel; of the one after the last, the number of lanes.
    pub(crate) fn start(&self, panel: usize) -> usize {
        (self.first_vector(panel) * self.vector).min(self.lanes)
    }

    /// Lanes with those that fill up the last vector.
    pub(crate) fn padded(&self) -> usize {
        self.vectors * self.vector
    }

    fn first_vector(&self, panel: usize) -> usize {
        let even = panel * self.widest;
        // A small product has one panel, and no time for divisions.
        if even == 0 || even >= self.vectors {
            return even.min(self.vectors);
        }
        // The last two share what would be a widest one and a single vector.
        let lonely = self.vectors % self.widest == 1 && self.vectors > self.widest;
        if lonely && panel + 1 == self.count() { even - 1 } else { even }
    }
}

fn shape<T: Number>() -> (usize, usize) {
    T::tiles().map_or((8, 2), |t| (t.block.lanes, t.block.kernels.len()))
}

/// Numbers in a vector of this machine, for a type of so many bytes.
pub(crate) fn vector(bytes: usize) -> usize {
    Panels::new(1, bytes).vector
}

/// Broadcast rows of a whole tile of this machine, for a type of so many bytes.
pub(crate) fn rows(bytes: usize) -> usize {
    fn of<T: Number>() -> usize {
        T::tiles().map_or(MOST_ROWS, |t| t.block.kernels[0].len())
    }
    if bytes == 8 { of::<f64>() } else { of::<f32>() }
}

/// Whether the broadcast operand, whose stride along `k` is given, is copied for so many lanes.
pub(crate) fn worth_copying(step: i64, lanes: usize) -> bool {
    lanes >= if step == 1 { COPIED_FOR } else { COPIED_FOR_APART }
}

/// Whether the operand on the lanes, whose stride along them is given, is not packed for so many broadcast rows, but for lanes
/// that do not fill a vector.
pub(crate) fn is_read_in_place(lane: i64, rows: usize) -> bool {
    lane == 1 && rows <= NOT_PACKED
}

/// Bytes of scratch that a product needs, for `k` terms of a type of so many bytes; with broadcast rows
/// that are copied first, if they are.
pub(crate) fn scratch(bytes: usize, k: usize, copied: usize) -> usize {
    let p = Panels::new(1, bytes);
    (p.vector * p.widest + copied.next_multiple_of(MOST_ROWS) + MOST_ROWS) * k.min(STRETCH) * bytes + BLOCK
}

/// Bytes of all panels, packed.
pub(crate) fn packed_bytes(panels: &Panels, bytes: usize, k: usize) -> usize {
    panels.padded() * k * bytes
}

/// A product to compute: `c = a * b`, or `c += a * b` when `add`.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) style: Style,
    /// Whether operands are matrices of [`pairs`], and `k` counts those.
    pub(super) pairs: bool,
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) a: Matrix,
    pub(super) b: Matrix,
    pub(super) c: Matrix,
    pub(super) add: bool,
    /// Where the result goes rounded to bf16, if it is one of pairs in a style that packs: `c` is room for its sums then.
    pub(super) rounded: Option<Matrix>,
    /// All panels of the operand on the lanes, and the panel that this product begins with; it is
    /// packed here otherwise.
    pub(super) packed: Option<(*const u8, Panels, usize)>,
    /// Whether the broadcast operand is copied first.
    pub(super) rows_copied: bool,
    pub(super) scratch: *mut u8,
}

impl Product {
    /// The operand on the lanes, the broadcast one and the result, seen from lanes along the columns and along the rows.
    fn sides<T: Term>(&self) -> ([Side<T>; 3], [Side<T>; 3]) {
        let Product { a, b, c, .. } = *self;
        let side = |m: Matrix, lane, step| Side { start: m.start.cast::<T>(), lane, step };
        let (a_side, b_side) = (side(a, a.rs, a.cs), side(b, b.cs, b.rs));
        ([b_side, a_side, side(c, c.cs, c.rs)], [a_side, b_side, side(c, c.rs, c.cs)])
    }
}

/// # Safety
/// The matrices must be in memory as said, with numbers of type `T`, and `c` overlap nothing; `scratch`
/// must have what [`scratch`] says.
pub(super) unsafe fn multiply<T: Number>(tiles: &Tiles<T>, p: &Product) {
    let Product { m, n, k, .. } = *p;
    let (columns, rows) = p.sides::<T>();
    // SAFETY: in all arms, passed on from the caller.
    unsafe {
        match p.style {
            Style::Columns => blocked(&tiles.block, p, [n, m, k], columns, None),
            Style::Rows => blocked(&tiles.block, p, [m, n, k], rows, None),
            Style::ColumnStreams => streams(tiles, [n, m, k], columns, p.add),
            Style::RowStreams => streams(tiles, [m, n, k], rows, p.add),
            Style::Dots => dots(tiles.dots, [n, m, k], columns, p.add),
        }
    }
}

/// Packs one panel of the operand on the lanes, all stretches of it.
///
/// # Safety
/// As of [`multiply`]; `to` must have what [`packed_bytes`] says.
pub(super) unsafe fn prepack<T: Number>(
    tiles: &Tiles<T>,
    style: Style,
    k: usize,
    x: Matrix,
    panels: &Panels,
    panel: usize,
    to: *mut T,
) {
    // SAFETY: passed on from the caller.
    unsafe { pack_panel(&tiles.block, style, k, x, panels, panel, to) };
}

/// As [`prepack`].
///
/// # Safety
/// As of [`prepack`].
unsafe fn pack_panel<T: Term>(
    block: &Block<T>,
    style: Style,
    k: usize,
    x: Matrix,
    panels: &Panels,
    panel: usize,
    to: *mut T,
) {
    let (lane, step) = if style == Style::Rows { (x.rs, x.cs) } else { (x.cs, x.rs) };
    let side = Side { start: x.start.cast::<T>(), lane, step };
    let (start, end) = (panels.start(panel), panels.start(panel + 1));
    let width = (end - start).next_multiple_of(panels.vector);
    for (from, d) in stretches(k) {
        // SAFETY: passed on from the caller; panels and stretches have each their own place.
        unsafe {
            let to = to.add(from * panels.padded() + panels.first_vector(panel) * panels.vector * d);
            pack(block, end - start, width, d, side.at(start, from), side, to);
        }
    }
}

/// Where the stretches of `k` begin, and their lengths; one of length 0 for none.
fn stretches(k: usize) -> impl Iterator<Item = (usize, usize)> {
    let n = k.div_ceil(STRETCH).max(1);
    let depth = if n == 1 { k } else { k.div_ceil(n) };
    (0..n).map(move |i| (i * depth, depth.min(k - (i * depth).min(k))))
}

/// An operand or the result, seen from the lanes: `lane` is the stride along them (or, of the broadcast
/// operand, along its rows), `step` that along `k` (or, of the result, along rows).
#[derive(Clone, Copy)]
struct Side<T> {
    start: *mut T,
    lane: isize,
    step: isize,
}

impl<T> Side<T> {
    fn at(self, lane: usize, step: usize) -> *mut T {
        self.start.wrapping_offset(lane as isize * self.lane + step as isize * self.step)
    }
}

/// # Safety
/// As of [`multiply`].
unsafe fn blocked<T: Term>(
    block: &Block<T>,
    p: &Product,
    [lanes, rows, k]: [usize; 3],
    [x, y, c]: [Side<T>; 3],
    rounded: Option<Side<u16>>,
) {
    // Of a packed operand, the panels are those that it was packed in, whatever part of them is wanted.
    let (panels, first) = p
        .packed
        .map_or_else(|| (Panels::new(lanes, size_of::<T>()), 0), |(_, panels, first)| (panels, first));
    let base = panels.start(first);
    let is_far = packed_bytes(&panels, size_of::<T>(), k) > NEAR;
    // Behind the widest panel.
    let copy = p.scratch.cast::<T>().wrapping_add(panels.vector * panels.widest * k.min(STRETCH));
    for (from, d) in stretches(k) {
        let add = p.add || from > 0;
        let rounded = rounded.filter(|_| from + d == k);
        if p.rows_copied {
            // SAFETY: `scratch` has room for all rows behind the panel.
            unsafe { copy_rows(block, rows, d, y, from, copy) };
        }
        for i in (first..).take_while(|&i| panels.start(i) < base + lanes) {
            let (lane, width) = (panels.start(i) - base, panels.start(i + 1) - panels.start(i));
            let vectors = panels.first_vector(i + 1) - panels.first_vector(i);
            let padded = vectors * block.lanes;
            let in_place = is_read_in_place(x.lane as i64, rows) && width == padded;
            // SAFETY: lanes and terms of the operand; `scratch` has room for the widest panel, and a
            // packed operand has all panels.
            let (panel, step, next) = unsafe {
                if let Some((packed, ..)) = p.packed {
                    let at = |i: usize| from * panels.padded() + panels.first_vector(i) * block.lanes * d;
                    let next = packed.cast::<T>().wrapping_add(at(i + 1));
                    (packed.cast::<T>().add(at(i)), padded, is_far.then_some(next))
                } else if in_place {
                    (x.at(lane, from).cast_const(), x.step as usize, None)
                } else {
                    let to = p.scratch.cast::<T>();
                    pack(block, width, padded, d, x.at(lane, from), x, to);
                    (to.cast_const(), padded, None)
                }
            };
            let tall = block.kernels[vectors - 1].len();
            let (mut row, mut number) = (0, 0);
            while row < rows {
                let r = tall.min(rows - row);
                let mut to = [c.at(lane, row); MOST_ROWS];
                for i in 1..r {
                    to[i] = to[i - 1].wrapping_offset(c.step);
                }
                let ahead = asked_ahead(number, [vectors, block.lanes], panel, next);
                let kernels = if ahead.is_some() { block.asking } else { block.kernels };
                let ahead = ahead.unwrap_or(0);
                let rounded = rounded.map(|side| Side { start: side.at(lane, row), ..side });
                let tile = Tile { rows: to, lane: c.lane, width, add, ahead, rounded };
                let (start, y_row, y_step) = if p.rows_copied {
                    (copy.wrapping_add(row * d), 1, tall as isize)
                } else {
                    (y.at(row, from), y.lane, y.step)
                };
                // SAFETY: the tile is part of `c`, and its operands are where they were put.
                unsafe { kernels[vectors - 1][r - 1](d, panel, step, start, y_row, y_step, &tile) };
                (row, number) = (row + r, number + 1);
            }
        }
    }
}

/// Packed operands of more bytes may not be in a core's own cache from one run to the next: their panels are asked for ahead.
const NEAR: usize = 2 << 20;

/// How far from the lanes that a tile reads of the panel `x` are those that it asks for of the panel that is read `next`: the
/// first tiles of a panel ask for a vector of each term each, which is all of the next one, and no more at a time than
/// memory gives. The tile is the `n`th of a panel of so many vectors of so many lanes.
fn asked_ahead<T>(
    n: usize,
    [vectors, lanes]: [usize; 2],
    x: *const T,
    next: Option<*const T>,
) -> Option<isize> {
    next.filter(|_| n < vectors)
        .map(|next| next.wrapping_add(n * lanes).addr().wrapping_sub(x.addr()) as isize)
}

/// How many terms ahead memory is asked for.
const AHEAD: usize = 12;

/// Asks for a line of memory, which need not be there.
#[inline(always)]
fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it touches nothing.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Copies `depth` terms of rows so that those of each tile, `height` rows, follow each other.
///
/// # Safety
/// As of [`multiply`]; `to` must have room for the rows, up to a multiple of the height, and a vector more.
unsafe fn copy_rows<T: Term>(
    block: &Block<T>,
    rows: usize,
    depth: usize,
    y: Side<T>,
    from: usize,
    to: *mut T,
) {
    let height = block.kernels[0].len();
    if y.step == 1 && y.lane != 1 {
        for row in (0..rows).step_by(height) {
            let to = to.wrapping_add(row * depth);
            // The last part first: each writes a whole block of numbers for a term, and what is too much is
            // overwritten by the next term's or part's.
            for part in (0..height.min(rows - row)).step_by(BLOCK / size_of::<T>()).rev() {
                let whole = rows - row - part >= BLOCK / size_of::<T>();
                let lanes = if whole { BLOCK / size_of::<T>() } else { height.min(rows - row) - part };
                // SAFETY: passed on from the caller.
                unsafe {
                    (block.transpose)(lanes, depth, y.at(row + part, from), y.lane, to.add(part), height);
                }
            }
        }
        return;
    }
    for p in 0..depth {
        let source = y.at(0, from + p);
        // Terms lie too far apart for the machine to see what comes next.
        let ahead = y.at(0, from + p + AHEAD);
        (0..rows * size_of::<T>()).step_by(64).for_each(|at| prefetch(ahead.wrapping_byte_add(at)));
        for row in (0..rows).step_by(height) {
            // SAFETY: passed on from the caller.
            unsafe {
                let to = to.add(row * depth + p * height);
                // The usual heights, without a call.
                match (y.lane, height.min(rows - row)) {
                    (1, 8) => {
                        to.cast::<[T; 8]>().write_unaligned(source.add(row).cast::<[T; 8]>().read_unaligned())
                    }
                    (1, 6) => {
                        to.cast::<[T; 6]>().write_unaligned(source.add(row).cast::<[T; 6]>().read_unaligned())
                    }
                    (1, r) => to.copy_from_nonoverlapping(source.add(row), r),
                    (_, r) => {
                        for i in 0..r {
                            *to.add(i) = *source.wrapping_offset((row + i) as isize * y.lane);
                        }
                    }
                }
            }
        }
    }
}

/// Bytes of the numbers that a transpose writes for a term at once.
const BLOCK: usize = 32;

/// Packs `depth` terms of some lanes, with zeros up to `padded` lanes.
///
/// # Safety
/// As of [`multiply`].
unsafe fn pack<T: Term>(
    block: &Block<T>,
    width: usize,
    padded: usize,
    depth: usize,
    from: *const T,
    x: Side<T>,
    to: *mut T,
) {
    // SAFETY: passed on from the caller; `to` has room for `depth` rows of `padded` numbers.
    unsafe {
        if x.lane != 1 && x.step == 1 {
            (block.transpose)(width, depth, from, x.lane, to, padded);
        } else {
            for p in 0..depth {
                let (from, to) = (from.wrapping_offset(p as isize * x.step), to.add(p * padded));
                if x.lane == 1 {
                    copy_lanes(from, to, width);
                } else {
                    for l in 0..width {
                        *to.add(l) = *from.wrapping_offset(l as isize * x.lane);
                    }
                }
            }
        }
        if padded > width {
            for p in 0..depth {
                to.add(p * padded + width).write_bytes(0, padded - width);
            }
        }
    }
}

/// Copies contiguous lanes of a panel.
///
/// # Safety
/// So many numbers must be at both, apart from each other.
#[inline]
unsafe fn copy_lanes<T: Term>(from: *const T, to: *mut T, width: usize) {
    // SAFETY: passed on from the caller.
    unsafe {
        // The usual widths without a call.
        match width * size_of::<T>() {
            64 => to.cast::<[u8; 64]>().write_unaligned(from.cast::<[u8; 64]>().read_unaligned()),
            192 => to.cast::<[u8; 192]>().write_unaligned(from.cast::<[u8; 192]>().read_unaligned()),
            _ => to.copy_from_nonoverlapping(from, width),
        }
    }
}

/// Four rows of one operand at a time meet a row of the other. They are taken far from each other: memory is read
/// fastest as a few long streams.
///
/// # Safety
/// As of [`multiply`]; both operands are contiguous along `k`.
unsafe fn dots<T: Term, S: Copy + Add<Output = S>>(
    dots: Dots<T, S>,
    [lanes, rows, k]: [usize; 3],
    [x, y, c]: [Side<T>; 3],
    add: bool,
) {
    let (many, few, x, y, c) = if lanes < 4 {
        (rows, lanes, y, x, Side { lane: c.step, step: c.lane, ..c })
    } else {
        (lanes, rows, x, y, c)
    };
    let store = |lane, row, sum| {
        let to = c.at(lane, row).cast::<S>();
        // SAFETY: an element of `c`.
        unsafe { *to = if add { *to + sum } else { sum } };
    };
    let apart = many / 4;
    for lane in 0..apart {
        for row in 0..few {
            // SAFETY: a row of one operand and four of the other.
            let sums = unsafe { dots(k, y.at(row, 0), x.at(lane, 0), x.lane * apart as isize) };
            (0..4).for_each(|i| store(lane + i * apart, row, sums[i]));
        }
    }
    for lane in 4 * apart..many {
        for row in 0..few {
            // SAFETY: a row of one operand and one of the other, four times.
            let [sum, ..] = unsafe { dots(k, y.at(row, 0), x.at(lane, 0), 0) };
            store(lane, row, sum);
        }
    }
}

/// # Safety
/// As of [`multiply`]; lanes of `x` and `c` are contiguous.
unsafe fn streams<T: Number>(
    tiles: &Tiles<T>,
    [lanes, rows, k]: [usize; 3],
    [x, y, c]: [Side<T>; 3],
    add: bool,
) {
    for lane in (0..lanes).step_by(STREAM) {
        let width = STREAM.min(lanes - lane);
        for from in (0..k).step_by(8) {
            let terms = 8.min(k - from);
            for row in 0..rows {
                let mut factors = [T::default(); 8];
                for (q, f) in factors.iter_mut().enumerate().take(terms) {
                    // SAFETY: a number of the operand.
                    *f = unsafe { *y.at(row, from + q) };
                }
                let to = c.at(lane, row);
                // SAFETY: eight rows of `x`; fewer at the end, one by one.
                unsafe {
                    if terms == 8 {
                        (tiles.stream)(width, x.at(lane, from), x.step, &factors, to, add || from > 0);
                    } else {
                        for q in 0..terms {
                            factors.rotate_left(usize::from(q > 0));
                            let add = add || from + q > 0;
                            (tiles.stream_one)(width, x.at(lane, from + q), 0, &factors, to, add);
                        }
                    }
                }
            }
        }
    }
}
