//! Products of matrices: tiles of the result in registers, tiles of the operands in shared memory.
//!
//! A block computes a tile of the result in steps along the contracted axis. While it multiplies the tiles of one
//! step, its threads fetch those of the next from global memory into registers. Where there are few tiles and
//! many steps, several blocks share a tile and a second function adds their parts, in order.

mod multiply;
mod tile;

use crate::cost::{CACHE, Cost};
use crate::index::divisible;
use crate::names::{Code, NAME};
use crate::program::Arguments;
use crate::scalar;
use tile::{Fetch, Kind, Tile};
use ttk_ir::program::Gemm;
use ttk_ir::{DType, Expr};

/// A strided matrix for each item: sizes are over the program's symbols.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) offset: Expr,
    /// For each batch axis, then each reduce axis.
    pub(crate) item_strides: Vec<Expr>,
    pub(crate) row_stride: Expr,
    pub(crate) col_stride: Expr,
}

/// A product to print.
#[derive(Debug)]
pub(crate) struct Product<'a> {
    pub(crate) gemm: &'a Gemm,
    pub(crate) a: View,
    pub(crate) b: View,
    pub(crate) c: View,
    pub(crate) tf32: bool,
}

/// A printed product.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) text: String,
    pub(crate) block: u32,
    pub(crate) grid: Expr,
    /// Where blocks share tiles: the number of parts of a tile, and the bytes of them all.
    pub(crate) parts: Option<(i64, Expr)>,
    pub(crate) cost: Cost,
}

/// Device functions that products on tensor cores need.
pub(crate) const HELPERS: &str = include_str!("gemm/mma.cuh");

impl Product<'_> {
    /// How it is computed; `None` for a type that has no products.
    fn kind(&self) -> Option<Kind> {
        match self.gemm.dtype {
            DType::Bool => None,
            DType::F16 => Some(Kind::Mma("f16")),
            DType::BF16 => Some(Kind::Mma("bf16")),
            DType::F32 if self.tf32 => Some(Kind::Mma("tf32")),
            DType::F32 | DType::F64 => Some(Kind::Simt),
            DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => Some(Kind::Simt),
        }
    }

    pub(crate) fn on_tensor_cores(&self) -> bool {
        matches!(self.kind(), Some(Kind::Mma(_)))
    }

    /// The type of sums. Integers have no sign in it, so that they wrap.
    fn sum(&self) -> &'static str {
        match self.gemm.dtype {
            DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 => "unsigned",
            DType::I64 => "unsigned long long",
            DType::F16 | DType::BF16 | DType::F32 => "float",
            DType::F64 => "double",
        }
    }

    fn batches(&self) -> usize {
        self.gemm.batch.len()
    }

    /// What a launch costs where each element of the operands is fetched so often, and the result is `parts` parts.
    fn cost(&self, a_times: &Expr, b_times: &Expr, parts: i64) -> Cost {
        let g = self.gemm;
        let axes = || g.batch.iter().chain(&g.reduce);
        let items = axes().fold(Expr::constant(1), |n, e| n.mul(e));
        // An operand that does not move along an axis is the same for all of it.
        let of = |v: &View| {
            let moving = axes().zip(&v.item_strides).filter(|(_, stride)| !stride.is_zero());
            moving.fold(Expr::constant(1), |n, (size, _)| n.mul(size))
        };
        let size = g.dtype.size() as i64;
        let (one_a, one_b) = (g.m.mul(&g.k), g.k.mul(&g.n));
        let (a, b) = (one_a.mul(&of(&self.a)).scale(size), one_b.mul(&of(&self.b)).scale(size));
        let c =
            if parts > 1 { self.numel().scale(parts * self.sum_size()) } else { self.numel().scale(size) };
        let fetched = |one: &Expr, times: &Expr| one.mul(&items).mul(times).scale(size);
        let asked = fetched(&one_a, a_times).add(&fetched(&one_b, b_times)).add(&c);
        let fewest = a.add(&b).add(&c);
        // Neighbouring blocks have the same rows of `a` and other columns of `b`, all of them in turn.
        let near = one_b.scale(size).as_const().is_some_and(|bytes| bytes <= CACHE);
        let memory = if near { fewest.clone() } else { asked.clone() };
        Cost { asked, memory, fewest, operations: one_a.mul(&g.n).mul(&items).scale(2) }
    }

    /// Bytes of a sum.
    fn sum_size(&self) -> i64 {
        if matches!(self.sum(), "double" | "unsigned long long") { 8 } else { 4 }
    }

    /// Elements of one result.
    fn numel(&self) -> Expr {
        product(&self.gemm.batch).mul(&self.gemm.m).mul(&self.gemm.n)
    }
}

/// Prints a product. The first three parameters of the function are the two operands and the result, or the memory
/// for its parts; `sizes` collects those that follow. `None` for a type that has no products.
///
/// Compiling one takes a tenth of a second, so that products share a function if they can: sizes and strides are
/// arguments, but for strides of 1, which make memory contiguous, and for numbers that are divided by in the loop.
pub(crate) fn print(p: &Product<'_>, sizes: &mut Arguments) -> Option<Printed> {
    let kind = p.kind()?;
    let g = p.gemm;
    let tile = Tile::choose(g, kind);
    let (memory, sum) = (scalar::memory(g.dtype), p.sum());
    let (tiles_m, tiles_n) = tile.counts(g);
    let tiles = tiles_m.mul(&tiles_n).mul(&product(&g.batch));
    let depth = Expr::constant(tile.k);
    let steps_k = g.k.offset(tile.k - 1).floor_div(&depth);
    let steps = steps_k.mul(&product(&g.reduce));
    let parts = tile::parts(&tiles, &steps);

    let (m, n) = (sizes.named("m", &g.m), sizes.named("n", &g.n));
    // The numbers of blocks are below 2^31, for the grid is.
    let count = |name: &str, e: &Expr, sizes: &mut Arguments| format!("(unsigned){}", sizes.named(name, e));
    let (tm, tn) = (count("tiles_m", &tiles_m, sizes), count("tiles_n", &tiles_n, sizes));
    let mut code = Code::at(1);
    multiply::declare(&mut code, &tile, kind, sum);
    code.line(format!("const long long col0 = blockIdx.x % {tn} * {}ll;", tile.n));
    code.line(format!("const long long row0 = blockIdx.x / {tn} % {tm} * {}ll;", tile.m));
    let result = target(p, parts);
    for (name, offset) in [("a", &p.a.offset), ("b", &p.b.offset), ("c", &result.offset)] {
        if !offset.is_zero() {
            code.line(format!("{name} += {};", sizes.named(&format!("{name}_offset"), offset)));
        }
    }
    // Axes that are not there have one item: most products have two, and those that have none share their function.
    let missing = AXES.saturating_sub(p.batches());
    let padded = |with: Expr, list: &[Expr]| [vec![with; missing], list.to_vec()].concat();
    let batch = padded(Expr::constant(1), &g.batch);
    let items = count("items", &product(&g.batch), sizes);
    code.line(format!("const unsigned item = blockIdx.x / ({tn} * {tm}) % {items};"));
    let strides = |v: &[Expr]| padded(Expr::constant(0), &v[..p.batches()]);
    let moved = [
        ("a", strides(&p.a.item_strides)),
        ("b", strides(&p.b.item_strides)),
        ("c", strides(&result.item_strides)),
    ];
    let size = |axis: usize, e: &Expr, sizes: &mut Arguments| count(&format!("items{axis}"), e, sizes);
    let stride = |name: &str, axis: usize, e: &Expr, sizes: &mut Arguments| {
        sizes.named(&format!("{name}_items{axis}"), e)
    };
    offsets(&mut code, "item", &batch, &moved, sizes, &size, &stride);
    let blocks = count("blocks_of_part", &tiles, sizes);
    code.line(format!("const long long part = blockIdx.x / {blocks};"));
    code.line(format!("c += part * {};", sizes.named("elements_of_part", &p.numel())));

    let fetch = Fetch { p, tile: &tile, kind, memory };
    fetch.print(&mut code, &steps_k, sizes);
    multiply::totals(&mut code, &tile, kind, sum);
    let all = sizes.named("steps", &steps);
    let each = sizes.named("steps_of_part", &steps.offset(parts - 1).floor_div(&Expr::constant(parts)));
    code.line(format!("const long long first = part * {each};"));
    code.line(format!("const long long last = first + {each} < {all} ? first + {each} : {all};"));
    let (first, last) = ("first", "last");
    code.line(format!("if ({first} < {last}) fetch({first});"));
    code.open(format!("for (long long step = {first}; step < {last}; ++step)"));
    code.line("put();");
    code.line("__syncthreads();");
    code.line(format!("if (step + 1 < {last}) fetch(step + 1);"));
    multiply::step(&mut code, &tile, kind, sum);
    code.line("__syncthreads();");
    code.close();
    let (row, col) = (sizes.stride("c_row", &result.row_stride), sizes.stride("c_col", &result.col_stride));
    let even = |e: &Expr| divisible(e, 2);
    let in_pairs = col == "1"
        && even(&g.n)
        && even(&result.row_stride)
        && even(&result.offset)
        && result.item_strides.iter().all(even)
        && (parts == 1 || even(&p.numel()));
    let element = if parts > 1 { sum } else { memory };
    multiply::store(
        &mut code,
        &tile,
        kind,
        &multiply::Target { m: &m, n: &n, row: &row, col: &col, element, in_pairs },
    );

    let mut head = Code::default();
    let (how, of) = match kind {
        Kind::Mma(of) => (" on tensor cores", of),
        Kind::Simt => ("", g.dtype.name()),
    };
    head.line(format!(
        "// A product of {} x {} and {} x {} matrices of {of}, in tiles of {} x {}{how}.",
        g.m, g.k, g.k, g.n, tile.m, tile.n
    ));
    let params = [
        format!("const {memory}* __restrict__ a"),
        format!("const {memory}* __restrict__ b"),
        format!("{element}* __restrict__ c"),
    ];
    let params: Vec<String> = params.into_iter().chain(sizes.parameters()).collect();
    let bounds = tile.threads();
    head.open(format!(
        "extern \"C\" __global__ void __launch_bounds__({bounds}) {NAME}({})",
        params.join(", ")
    ));
    head.append(&code);
    head.close();
    head.line(format!("TT_KERNEL({NAME})"));
    Some(Printed {
        text: head.text,
        block: tile.threads() as u32,
        grid: tiles.scale(parts),
        parts: (parts > 1).then(|| (parts, p.numel().scale(parts * p.sum_size()))),
        cost: p.cost(&tiles_n, &tiles_m, parts),
    })
}

/// Batch axes of the functions of products, at least.
const AXES: usize = 2;

/// Where a product goes: the result, or the memory for its parts, in which each part is dense.
fn target(p: &Product<'_>, parts: i64) -> View {
    if parts == 1 {
        return p.c.clone();
    }
    let g = p.gemm;
    let within = |axis: usize| product(&g.batch[axis + 1..]).mul(&g.m).mul(&g.n);
    View {
        offset: Expr::constant(0),
        item_strides: (0..g.batch.len()).map(within).collect(),
        row_stride: g.n.clone(),
        col_stride: Expr::constant(1),
    }
}

/// Threads of a block that adds parts.
pub(crate) const JOIN_BLOCK: i64 = 256;

/// The function that adds the parts of a product, element by element and in order. Its parameters are the
/// parts, the result and sizes. Those that are numbers stand in the text: each element is found by dividing.
pub(crate) fn join(p: &Product<'_>, parts: i64, sizes: &mut Arguments) -> String {
    let g = p.gemm;
    let (memory, sum) = (scalar::memory(g.dtype), p.sum());
    let numel = sizes.number(&p.numel());
    let n = sizes.number(&g.n);
    let mut code = Code::at(1);
    code.line(format!("const long long at = (long long)blockIdx.x * {JOIN_BLOCK} + (int)threadIdx.x;"));
    code.line(format!("if (at >= {numel}) return;"));
    code.line(format!("{sum} total = parts[at];"));
    code.pragma("unroll 8");
    code.line(format!(
        "for (int part = 1; part < {parts}; ++part) total += parts[at + part * (long long){numel}];"
    ));
    if !p.c.offset.is_zero() {
        code.line(format!("c += {};", sizes.number(&p.c.offset)));
    }
    let m = sizes.number(&g.m);
    code.line(format!("const long long row = at / {n} % {m}, col = at % {n};"));
    if p.batches() > 0 {
        code.line(format!("const long long item = at / ((long long){n} * {m});"));
        let strides = p.c.item_strides[..p.batches()].to_vec();
        let number = |e: &Expr, sizes: &mut Arguments| sizes.number(e);
        let (size, stride) = (|_, e: &_, s: &mut _| number(e, s), |_: &_, _, e: &_, s: &mut _| number(e, s));
        offsets(&mut code, "item", &g.batch, &[("c", strides)], sizes, &size, &stride);
    }
    let (row, col) = (sizes.number(&p.c.row_stride), sizes.number(&p.c.col_stride));
    code.line(format!("c[row * {row} + col * {col}] = tt_into<{memory}>::of(total);"));
    let params = [format!("const {sum}* __restrict__ parts"), format!("{memory}* __restrict__ c")];
    let params: Vec<String> = params.into_iter().chain(sizes.parameters()).collect();
    let mut head = Code::default();
    head.line("// Adds the parts of a product.");
    head.open(format!(
        "extern \"C\" __global__ void __launch_bounds__({JOIN_BLOCK}) {NAME}({})",
        params.join(", ")
    ));
    head.append(&code);
    head.close();
    head.line(format!("TT_KERNEL({NAME})"));
    head.text
}

/// What adding the parts of a product costs.
pub(crate) fn join_cost(p: &Product<'_>, parts: i64) -> Cost {
    let (n, size) = (p.numel(), p.gemm.dtype.size() as i64);
    let bytes = n.scale(parts * p.sum_size() + size);
    Cost { asked: bytes.clone(), memory: bytes.clone(), fewest: bytes, operations: n.scale(2 * parts) }
}

/// Blocks of [`join`].
pub(crate) fn join_grid(p: &Product<'_>) -> Expr {
    p.numel().offset(JOIN_BLOCK - 1).floor_div(&Expr::constant(JOIN_BLOCK))
}

/// Prints the position of the operands for the product number `item` of axes of these sizes: adds to each
/// variable the dot product of positions and strides. `size` and `stride` give those of an axis as C.
fn offsets(
    code: &mut Code,
    item: &str,
    sizes: &[Expr],
    moved: &[(&str, Vec<Expr>)],
    arguments: &mut Arguments,
    size: &dyn Fn(usize, &Expr, &mut Arguments) -> String,
    stride: &dyn Fn(&str, usize, &Expr, &mut Arguments) -> String,
) {
    let mut rest = item.to_string();
    for (axis, length) in sizes.iter().enumerate().rev() {
        let at = if axis == 0 { rest.clone() } else { format!("{rest} % {}", size(axis, length, arguments)) };
        for (name, strides) in moved {
            let by = stride(name, axis, &strides[axis], arguments);
            if by == "0" {
                continue;
            }
            let at = if at.contains(' ') { format!("({at})") } else { at.clone() };
            code.line(format!("{name} += {at} * {by};"));
        }
        if axis > 0 {
            rest = format!("{rest} / {}", size(axis, length, arguments));
        }
    }
}

/// The product of sizes.
fn product(sizes: &[Expr]) -> Expr {
    sizes.iter().fold(Expr::constant(1), |n, e| n.mul(e))
}
