//! Products without tensor cores, for every type.

use super::{Printed, Product, offsets, product, types};
use crate::names::Code;
use crate::program::Arguments;
use ttk_ir::Expr;

/// Rows, columns and depth of a block's tile, and the rows and columns of a thread's.
struct Tile {
    m: i64,
    n: i64,
    k: i64,
    thread: i64,
}

const LARGE: Tile = Tile { m: 128, n: 128, k: 8, thread: 8 };
const SMALL: Tile = Tile { m: 64, n: 64, k: 16, thread: 4 };
const THREADS: i64 = 256;

/// Blocks that keep a large device busy.
const BUSY: i64 = 132;

pub(super) fn print(p: &Product<'_>, name: &str, arguments: &mut Arguments) -> Option<Printed> {
    let g = p.gemm;
    let types = types(g.dtype)?;
    let (memory, sum) = (types.memory, types.sum);
    let blocks = |t: &Tile| {
        let tiles = |e: &Expr, by: i64| e.offset(by - 1).floor_div(&Expr::constant(by));
        (tiles(&g.m, t.m), tiles(&g.n, t.n))
    };
    // Large tiles read less, if there are enough of them; those of 8 bytes would need too many registers.
    let wide = memory == "double" || memory == "long long";
    let (rows, cols) = blocks(&LARGE);
    let many = rows.mul(&cols).mul(&product(&g.batch)).as_const().is_none_or(|n| n >= BUSY);
    let large = |e: &Expr| e.as_const().is_none_or(|n| n >= 128);
    let tile = if !wide && many && large(&g.m) && large(&g.n) { LARGE } else { SMALL };
    let (tiles_m, tiles_n) = blocks(&tile);
    let Tile { m: bm, n: bn, k: bk, thread } = tile;
    let across = bn / thread;

    let (m, n, k) = (arguments.number(&g.m), arguments.number(&g.n), arguments.number(&g.k));
    let (tm, tn) = (arguments.number(&tiles_m), arguments.number(&tiles_n));
    let mut code = Code::at(1);
    code.line(format!("__shared__ {sum} a_tile[{bk}][{}], b_tile[{bk}][{}];", bm + 4, bn + 4));
    code.line(format!("const int across = (int)threadIdx.x % {across}, down = (int)threadIdx.x / {across};"));
    code.line(format!("const long long col0 = blockIdx.x % {tn} * {bn}ll;"));
    code.line(format!("const long long row0 = blockIdx.x / {tn} % {tm} * {bm}ll;"));
    let batches = g.batch.len();
    for (name, view) in [("a", &p.a), ("b", &p.b), ("c", &p.c)] {
        if !view.offset.is_zero() {
            code.line(format!("{name} += {};", arguments.number(&view.offset)));
        }
    }
    if batches > 0 {
        code.line(format!("const long long item = blockIdx.x / ({tn} * {tm});"));
        let strides = |v: &super::View| v.item_strides[..batches].to_vec();
        let moved = [("a", strides(&p.a)), ("b", strides(&p.b)), ("c", strides(&p.c))];
        offsets(&mut code, "item", &g.batch, &moved, arguments);
    }
    code.line(format!("{sum} total[{thread}][{thread}] = {{}};"));
    let reduce = !g.reduce.is_empty();
    let (mut a, mut b) = ("a", "b");
    if reduce {
        let count = arguments.number(&product(&g.reduce));
        code.open(format!("for (long long part = 0; part < {count}; ++part)"));
        (a, b) = ("a_part", "b_part");
        code.line(format!("const {memory}* a_part = a;"));
        code.line(format!("const {memory}* b_part = b;"));
        let strides = |v: &super::View| v.item_strides[batches..].to_vec();
        let moved = [("a_part", strides(&p.a)), ("b_part", strides(&p.b))];
        offsets(&mut code, "part", &g.reduce, &moved, arguments);
    }
    code.open(format!("for (long long k0 = 0; k0 < {k}; k0 += {bk})"));
    let mut load = |tile: &str, from: &str, size: i64, (row, col): (&Expr, &Expr), transposed: bool| {
        // Neighbouring threads load neighbouring elements, along whichever side they are contiguous.
        let each = size * bk / THREADS;
        let along = if transposed { row } else { col };
        let along_k = along.is_one();
        code.pragma("unroll");
        code.open(format!("for (int q = 0; q < {each}; ++q)"));
        code.line(format!("const int e = (int)threadIdx.x + {THREADS} * q;"));
        let (inner, outer) = if along_k { ("d", "s") } else { ("s", "d") };
        let length = if along_k { bk } else { size };
        code.line(format!("const int {inner} = e % {length}, {outer} = e / {length};"));
        let (side, limit, start) = if transposed { ("col", &n, "col0") } else { ("row", &m, "row0") };
        code.line(format!("const long long {side} = {start} + s, depth = k0 + d;"));
        let (r, c) = (arguments.number(row), arguments.number(col));
        let index =
            if transposed { format!("depth * {r} + col * {c}") } else { format!("row * {r} + depth * {c}") };
        code.line(format!(
            "{tile}[d][s] = {side} < {limit} && depth < {k} ? ({sum})tt_from({from}[{index}]) : ({sum})0;"
        ));
        code.close();
    };
    load("a_tile", a, bm, (&p.a.row_stride, &p.a.col_stride), false);
    load("b_tile", b, bn, (&p.b.row_stride, &p.b.col_stride), true);
    code.line("__syncthreads();");
    code.pragma("unroll");
    code.open(format!("for (int d = 0; d < {bk}; ++d)"));
    code.line(format!("{sum} a_row[{thread}], b_col[{thread}];"));
    code.pragma("unroll");
    code.open(format!("for (int t = 0; t < {thread}; ++t)"));
    code.line(format!("a_row[t] = a_tile[d][down * {thread} + t];"));
    code.line(format!("b_col[t] = b_tile[d][across * {thread} + t];"));
    code.close();
    code.pragma("unroll");
    code.open(format!("for (int r = 0; r < {thread}; ++r)"));
    code.pragma("unroll");
    code.open(format!("for (int t = 0; t < {thread}; ++t)"));
    code.line(match sum {
        "float" => "total[r][t] = fmaf(a_row[r], b_col[t], total[r][t]);",
        "double" => "total[r][t] = fma(a_row[r], b_col[t], total[r][t]);",
        _ => "total[r][t] += a_row[r] * b_col[t];",
    });
    code.close();
    code.close();
    code.close();
    code.line("__syncthreads();");
    code.close();
    if reduce {
        code.close();
    }
    code.pragma("unroll");
    code.open(format!("for (int r = 0; r < {thread}; ++r)"));
    code.pragma("unroll");
    code.open(format!("for (int t = 0; t < {thread}; ++t)"));
    code.line(format!(
        "const long long row = row0 + down * {thread} + r, col = col0 + across * {thread} + t;"
    ));
    let (r, c) = (arguments.number(&p.c.row_stride), arguments.number(&p.c.col_stride));
    code.line(format!(
        "if (row < {m} && col < {n}) c[row * {r} + col * {c}] = tt_into<{memory}>::of(total[r][t]);"
    ));
    code.close();
    code.close();

    let mut head = Code::default();
    head.line(format!("// A product of {m} x {k} and {k} x {n} matrices, in tiles of {bm} x {bn}."));
    let params = [
        format!("const {memory}* __restrict__ a"),
        format!("const {memory}* __restrict__ b"),
        format!("{memory}* __restrict__ c"),
    ];
    let params: Vec<String> = params.into_iter().chain(arguments.parameters()).collect();
    head.open(format!(
        "extern \"C\" __global__ void __launch_bounds__({THREADS}) {name}({})",
        params.join(", ")
    ));
    head.append(&code);
    head.close();
    head.line(format!("TT_KERNEL({name})"));
    let grid = tiles_m.mul(&tiles_n).mul(&product(&g.batch));
    Some(Printed { text: head.text, block: THREADS as u32, grid })
}
