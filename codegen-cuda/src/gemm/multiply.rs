//! What a block does with the tiles in shared memory.

use super::tile::{Kind, Tile};
use crate::names::Code;

/// Words of a row of 64 bytes of a tile for tensor cores. Four more than it holds: so the 32 words that the
/// lanes of a warp read at once lie in different banks.
const ROW_WORDS: i64 = 20;

/// Products of a thread that stand one after the other without a branch. More of them would hardly be faster, take
/// longer to compile, and at the largest tile more registers than two blocks on a multiprocessor leave each thread.
const PRODUCTS: i64 = 64;

/// Declares the tiles, and which part of the result is this thread's.
pub(super) fn declare(code: &mut Code, tile: &Tile, kind: Kind, sum: &str) {
    let (_, across) = tile.parts();
    match kind {
        Kind::Simt => {
            code.line(format!(
                "__shared__ {sum} a_tile[{}][{}], b_tile[{}][{}];",
                tile.k,
                tile.m + 4,
                tile.k,
                tile.n + 4
            ));
            code.line(format!(
                "const int across = (int)threadIdx.x % {across}, down = (int)threadIdx.x / {across};"
            ));
        }
        Kind::Mma(_) => {
            code.line(format!("__shared__ __align__(16) unsigned a_tile[{}][{ROW_WORDS}];", tile.m));
            code.line(format!("__shared__ __align__(16) unsigned b_tile[{}][{ROW_WORDS}];", tile.n));
            code.line("const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;");
            let (rows, cols) = tile.part;
            code.line(format!(
                "const int down = warp / {across} * {rows} + lane / 4, across = warp % {across} * {cols};"
            ));
        }
    }
}

pub(super) fn totals(code: &mut Code, tile: &Tile, kind: Kind, sum: &str) {
    let (rows, cols) = tile.part;
    match kind {
        Kind::Simt => code.line(format!("{sum} total[{rows}][{cols}] = {{}};")),
        Kind::Mma(_) => code.line(format!("float total[{}][{}][4] = {{}};", rows / 16, cols / 8)),
    }
}

/// Multiplies the tiles of a step.
pub(super) fn step(code: &mut Code, tile: &Tile, kind: Kind, sum: &str) {
    let (rows, cols) = tile.part;
    match kind {
        Kind::Simt => {
            code.pragma(&format!("unroll {}", (PRODUCTS / (rows * cols)).clamp(1, tile.k)));
            code.open(format!("for (int d = 0; d < {}; ++d)", tile.k));
            code.line(format!("{sum} a_row[{rows}], b_col[{cols}];"));
            code.pragma("unroll");
            code.line(format!("for (int r = 0; r < {rows}; ++r) a_row[r] = a_tile[d][down * {rows} + r];"));
            code.pragma("unroll");
            code.line(format!("for (int t = 0; t < {cols}; ++t) b_col[t] = b_tile[d][across * {cols} + t];"));
            code.pragma("unroll");
            code.open(format!("for (int r = 0; r < {rows}; ++r)"));
            code.pragma("unroll");
            let product = match sum {
                "float" => "fmaf(a_row[r], b_col[t], total[r][t])",
                "double" => "fma(a_row[r], b_col[t], total[r][t])",
                _ => "total[r][t] + a_row[r] * b_col[t]",
            };
            code.line(format!("for (int t = 0; t < {cols}; ++t) total[r][t] = {product};"));
            code.close();
            code.close();
        }
        Kind::Mma(of) => {
            let (m, n) = (rows / 16, cols / 8);
            let product = if of == "tf32" { "m16n8k8_tf32".to_string() } else { format!("m16n8k16_{of}") };
            code.pragma("unroll");
            // Words of 16 bytes each way: the lane's columns are `w + lane % 4` and four words on.
            code.open("for (int w = lane % 4; w < 16; w += 8)");
            code.line(format!("unsigned a_part[{m}][4], b_part[{n}][2];"));
            code.pragma("unroll");
            code.open(format!("for (int r = 0; r < {m}; ++r)"));
            for (i, (row, word)) in [(0, 0), (8, 0), (0, 4), (8, 4)].into_iter().enumerate() {
                code.line(format!("a_part[r][{i}] = a_tile[down + 16 * r + {row}][w + {word}];"));
            }
            code.close();
            code.pragma("unroll");
            code.open(format!("for (int t = 0; t < {n}; ++t)"));
            for (i, word) in [0, 4].into_iter().enumerate() {
                code.line(format!("b_part[t][{i}] = b_tile[across + 8 * t + lane / 4][w + {word}];"));
            }
            code.close();
            code.pragma("unroll");
            code.open(format!("for (int r = 0; r < {m}; ++r)"));
            code.pragma("unroll");
            code.line(format!(
                "for (int t = 0; t < {n}; ++t) tt_mma_{product}(total[r][t], a_part[r], b_part[t], total[r][t]);"
            ));
            code.close();
            code.close();
        }
    }
}

/// Where the result goes: sizes and strides as C.
pub(super) struct Target<'a> {
    pub(super) m: &'a str,
    pub(super) n: &'a str,
    pub(super) row: &'a str,
    pub(super) col: &'a str,
    /// The type of its elements.
    pub(super) element: &'a str,
    /// Two neighbouring columns can be stored at once.
    pub(super) in_pairs: bool,
}

pub(super) fn store(code: &mut Code, tile: &Tile, kind: Kind, to: &Target<'_>) {
    let (rows, cols) = tile.part;
    let Target { m, n, row, col, element, in_pairs } = to;
    match kind {
        Kind::Simt => {
            code.pragma("unroll");
            code.open(format!("for (int r = 0; r < {rows}; ++r)"));
            code.pragma("unroll");
            code.open(format!("for (int t = 0; t < {cols}; ++t)"));
            code.line(format!(
                "const long long row = row0 + down * {rows} + r, col = col0 + across * {cols} + t;"
            ));
            code.line(format!(
                "if (row < {m} && col < {n}) c[row * {row} + col * {col}] = tt_into<{element}>::of(total[r][t]);"
            ));
            code.close();
            code.close();
        }
        Kind::Mma(_) => {
            code.pragma("unroll");
            code.open(format!("for (int r = 0; r < {}; ++r)", rows / 8));
            code.pragma("unroll");
            code.open(format!("for (int t = 0; t < {}; ++t)", cols / 8));
            code.line(
                "const long long row = row0 + down + 8 * r, col = col0 + across + 8 * t + lane % 4 * 2;",
            );
            code.line("const float *pair = &total[r / 2][t][r % 2 * 2];");
            if *in_pairs {
                code.open(format!("if (row < {m} && col < {n})"));
                code.line(format!("tt_pack<{element}, 2> y;"));
                code.line(format!(
                    "y.at[0] = tt_into<{element}>::of(pair[0]), y.at[1] = tt_into<{element}>::of(pair[1]);"
                ));
                code.line(format!("tt_store(c + row * {row} + col, y);"));
                code.close();
            } else {
                for j in 0..2 {
                    code.line(format!(
                        "if (row < {m} && col + {j} < {n}) c[row * {row} + (col + {j}) * {col}] = tt_into<{element}>::of(pair[{j}]);"
                    ));
                }
            }
            code.close();
            code.close();
        }
    }
}
