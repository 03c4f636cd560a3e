//! The tiles of a product and how they come into shared memory.

use super::{Product, View, offsets, product};
use crate::index::divisible;
use crate::names::Code;
use crate::program::Arguments;
use ttk_ir::program::Gemm;
use ttk_ir::{DType, Expr};

/// How a block multiplies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Each thread for itself.
    Simt,
    /// Warps on tensor cores, operands of this format.
    Mma(&'static str),
}

/// Sizes of a block's tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    pub(super) m: i64,
    pub(super) n: i64,
    /// Depth of a step, in elements.
    pub(super) k: i64,
    /// Rows and columns of a thread's part ([`Kind::Simt`]), or of a warp's.
    pub(super) part: (i64, i64),
    /// Elements that a thread fetches at once.
    pub(super) chunk: i64,
}

/// Tiles that keep a large device busy.
const BUSY: i64 = 132;
/// Steps that are worth a block of their own.
const SHARE: i64 = 16;
/// Blocks that share a tile, at most.
const MOST_PARTS: i64 = 32;

impl Tile {
    /// Large tiles read less, if there are enough of them.
    pub(super) fn choose(g: &Gemm, kind: Kind) -> Tile {
        let size = g.dtype.size() as i64;
        let (large, small) = match kind {
            Kind::Simt => {
                let chunk = if size == 8 { 2 } else { 4 };
                let small = Tile { m: 64, n: 64, k: 16, part: (4, 4), chunk };
                // Sums of 8 bytes would need too many registers.
                let large =
                    if size == 8 { small } else { Tile { m: 128, n: 128, k: 8, part: (8, 8), chunk } };
                (large, small)
            }
            // A step is 64 bytes of each row and each column.
            Kind::Mma(_) => {
                let (k, chunk) = (64 / size, 16 / size);
                let large = Tile { m: 128, n: 128, k, part: (64, 32), chunk };
                (large, Tile { m: 64, n: 64, k, part: (32, 32), chunk })
            }
        };
        let (rows, cols) = large.counts(g);
        let many = rows.mul(&cols).mul(&product(&g.batch)).as_const().is_none_or(|n| n >= BUSY);
        let wide = |e: &Expr| e.as_const().is_none_or(|n| n >= 128);
        if many && wide(&g.m) && wide(&g.n) { large } else { small }
    }

    /// Tiles along the rows and the columns of the result.
    pub(super) fn counts(&self, g: &Gemm) -> (Expr, Expr) {
        let tiles = |e: &Expr, by: i64| e.offset(by - 1).floor_div(&Expr::constant(by));
        (tiles(&g.m, self.m), tiles(&g.n, self.n))
    }

    /// Parts along the rows and the columns.
    pub(super) fn parts(&self) -> (i64, i64) {
        (self.m / self.part.0, self.n / self.part.1)
    }

    pub(super) fn threads(&self) -> i64 {
        let (down, across) = self.parts();
        // A part of 32 columns is a warp's.
        down * across * if self.part.1 >= 32 { 32 } else { 1 }
    }
}

/// How many blocks share the steps of a tile.
pub(super) fn parts(tiles: &Expr, steps: &Expr) -> i64 {
    match (tiles.as_const(), steps.as_const()) {
        (Some(tiles), Some(steps)) if tiles < BUSY => {
            (2 * BUSY / tiles.max(1)).min(steps / SHARE).clamp(1, MOST_PARTS)
        }
        // How many steps there will be is not known: enough parts that the device is not idle if it is many.
        (Some(tiles), None) if tiles < BUSY / 2 => (BUSY / tiles.max(1)).clamp(1, MOST_PARTS / 2),
        _ => 1,
    }
}

/// Prints how the tiles of a step come to shared memory.
pub(super) struct Fetch<'a> {
    pub(super) p: &'a Product<'a>,
    pub(super) tile: &'a Tile,
    pub(super) kind: Kind,
    pub(super) memory: &'static str,
}

/// One of the operands, seen with the contracted axis as its second.
struct Side<'a> {
    name: &'static str,
    view: &'a View,
    /// The stride of rows of `a`, of columns of `b`.
    stride: &'a Expr,
    depth_stride: &'a Expr,
    size: &'a Expr,
    tile: i64,
    start: &'static str,
}

impl Fetch<'_> {
    /// Defines `fetch(step)`, which loads into registers, and `put()`, which stores them to shared memory.
    /// `steps_k`: steps along `k`.
    pub(super) fn print(&self, code: &mut Code, steps_k: &Expr, sizes: &mut Arguments) {
        let g = self.p.gemm;
        let (a, b) = (&self.p.a, &self.p.b);
        let sides = [
            Side {
                name: "a",
                view: a,
                stride: &a.row_stride,
                depth_stride: &a.col_stride,
                size: &g.m,
                tile: self.tile.m,
                start: "row0",
            },
            Side {
                name: "b",
                view: b,
                stride: &b.col_stride,
                depth_stride: &b.row_stride,
                size: &g.n,
                tile: self.tile.n,
                start: "col0",
            },
        ];
        let (chunk, memory) = (self.tile.chunk, self.memory);
        for side in &sides {
            code.line(format!("tt_pack<{memory}, {chunk}> {}_next[{}];", side.name, self.chunks(side)));
        }
        code.open("const auto fetch = [&](long long step)");
        let reduce = !g.reduce.is_empty();
        let each = if reduce { sizes.number(steps_k) } else { String::new() };
        let k0 = if reduce { format!("step % {each}") } else { "step".to_string() };
        code.line(format!("const long long k0 = {k0} * {};", self.tile.k));
        if reduce {
            code.line(format!("const long long sum_item = step / {each};"));
            code.line(format!("const {memory} *a_item = a, *b_item = b;"));
            let strides = |v: &View| v.item_strides[self.p.batches()..].to_vec();
            let moved = [("a_item", strides(a)), ("b_item", strides(b))];
            let size = |_, e: &Expr, sizes: &mut Arguments| sizes.number(e);
            let stride = |name: &str, axis: usize, e: &Expr, sizes: &mut Arguments| {
                sizes.named(&format!("{name}{axis}"), e)
            };
            offsets(code, "sum_item", &g.reduce, &moved, sizes, &size, &stride);
        }
        for side in &sides {
            let from = if reduce { format!("{}_item", side.name) } else { side.name.to_string() };
            self.load(code, side, &from, sizes);
        }
        close_lambda(code);
        code.open("const auto put = [&]()");
        for side in &sides {
            self.store(code, side);
        }
        close_lambda(code);
    }

    /// Chunks of a tile that a thread takes.
    fn chunks(&self, side: &Side<'_>) -> i64 {
        side.tile * self.tile.k / self.tile.chunk / self.tile.threads()
    }

    /// Whether neighbouring elements lie along the contracted axis: so they are fetched.
    fn along_k(&self, side: &Side<'_>) -> bool {
        side.depth_stride.is_one() || !side.stride.is_one()
    }

    /// Whether each chunk begins at a multiple of its size and lies inside the matrix or outside.
    fn aligned(&self, side: &Side<'_>) -> bool {
        let by = self.tile.chunk;
        let (along, across, length) = if self.along_k(side) {
            (side.depth_stride, side.stride, &self.p.gemm.k)
        } else {
            (side.stride, side.depth_stride, side.size)
        };
        // All operands lie at multiples of 64 bytes.
        along.is_one()
            && divisible(across, by)
            && divisible(length, by)
            && divisible(&side.view.offset, by)
            && side.view.item_strides.iter().all(|e| divisible(e, by))
    }

    /// Where a chunk lies in its tile.
    fn place(&self, code: &mut Code, side: &Side<'_>) {
        let (k, chunk, threads) = (self.tile.k, self.tile.chunk, self.tile.threads());
        code.line(format!("const int e = (int)threadIdx.x + {threads} * q;"));
        if self.along_k(side) {
            let each = k / chunk;
            code.line(format!("const int s = e / {each}, d = e % {each} * {chunk};"));
        } else if self.kind == Kind::Simt {
            let each = side.tile / chunk;
            code.line(format!("const int s = e % {each} * {chunk}, d = e / {each};"));
        } else {
            // Two neighbours fill a sector of 32 bytes, and a warp's stores go to different banks.
            code.line(format!("const int s = (e % 2 + e / {} * 2) * {chunk}, d = e / 2 % {k};", 2 * k));
        }
    }

    fn load(&self, code: &mut Code, side: &Side<'_>, from: &str, sizes: &mut Arguments) {
        let (name, chunk, start) = (side.name, self.tile.chunk, side.start);
        let along =
            |at: &str, stride: String| if stride == "1" { at.into() } else { format!("{at} * {stride}") };
        let stride = sizes.stride(&format!("{name}_stride"), side.stride);
        let depth = sizes.stride(&format!("{name}_depth"), side.depth_stride);
        let limit = sizes.named(if name == "a" { "m" } else { "n" }, side.size);
        let k = sizes.named("k", &self.p.gemm.k);
        code.pragma("unroll");
        code.open(format!("for (int q = 0; q < {}; ++q)", self.chunks(side)));
        self.place(code, side);
        code.line(format!("const long long at = {start} + s, depth = k0 + d;"));
        if self.aligned(side) {
            let place = format!("{from} + {} + {}", along("at", stride), along("depth", depth));
            code.line(format!("{name}_next[q] = {{}};"));
            code.line(format!(
                "if (at < {limit} && depth < {k}) {name}_next[q] = tt_load_const<{chunk}>({place});"
            ));
        } else {
            let (more_at, more_depth) = if self.along_k(side) { ("", " + j") } else { (" + j", "") };
            code.pragma("unroll");
            code.open(format!("for (int j = 0; j < {chunk}; ++j)"));
            code.line(format!("{name}_next[q].at[j] = {{}};"));
            let (at, deep) = (format!("(at{more_at})"), format!("(depth{more_depth})"));
            let place = format!("{} + {}", along(&at, stride), along(&deep, depth));
            code.line(format!(
                "if (at{more_at} < {limit} && depth{more_depth} < {k}) {name}_next[q].at[j] = {from}[{place}];"
            ));
            code.close();
        }
        code.close();
    }

    fn store(&self, code: &mut Code, side: &Side<'_>) {
        let (name, chunk) = (side.name, self.tile.chunk);
        let (more_s, more_d) = if self.along_k(side) { ("", " + j") } else { (" + j", "") };
        code.pragma("unroll");
        code.open(format!("for (int q = 0; q < {}; ++q)", self.chunks(side)));
        self.place(code, side);
        let whole =
            matches!(self.kind, Kind::Mma(_)) && self.along_k(side) && self.p.gemm.dtype != DType::F32;
        if whole {
            code.line(format!("*(uint4*)&{name}_tile[s][d / 2] = {name}_next[q].quads[0];"));
        } else {
            code.pragma("unroll");
            let text = match self.kind {
                Kind::Simt => format!("{name}_tile[d{more_d}][s{more_s}] = tt_from({name}_next[q].at[j]);"),
                Kind::Mma("tf32") => {
                    format!("{name}_tile[s{more_s}][d{more_d}] = tt_mma_bits({name}_next[q].at[j]);")
                }
                Kind::Mma(_) => format!(
                    "((unsigned short*)&{name}_tile[s{more_s}])[d{more_d}] = tt_mma_bits({name}_next[q].at[j]);"
                ),
            };
            code.line(format!("for (int j = 0; j < {chunk}; ++j) {text}"));
        }
        code.close();
    }
}

/// Ends a lambda, which is a statement.
fn close_lambda(code: &mut Code) {
    code.close();
    // The brace of a lambda is not that of a block.
    code.text.truncate(code.text.trim_end().len());
    code.text.push_str(";\n");
}
