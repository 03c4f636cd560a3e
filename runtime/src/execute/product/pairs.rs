//! Products of bf16 by sums of products of pairs: a machine that has them takes two terms in one instruction, and sums
//! in `f32`.
//!
//! Two terms of bf16 that follow each other along `k` are one [`Pair`], and a matrix of pairs is multiplied as one of numbers is:
//! packed panels, broadcast rows. Where two terms do not lie next to each other they are brought together first ([`join`]).

use super::{Block, Dots, Panels, Product, Side, Style, blocked, dots, pack_panel};
use crate::execute::multiply::Matrix;
use half::bf16;

/// Two terms of bf16; at any address.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub(super) struct Pair([u8; 4]);

/// Bytes of a pair: as many as of its sum.
pub(crate) const BYTES: usize = size_of::<Pair>();

/// The register tiles of a machine. Their sums are `f32`, and lie where they are given room for pairs.
struct Tiles {
    block: Block<Pair>,
    dots: Dots<Pair, f32>,
}

#[cfg(not(target_arch = "x86_64"))]
fn tiles() -> Option<&'static Tiles> {
    None
}

#[cfg(target_arch = "x86_64")]
fn tiles() -> Option<&'static Tiles> {
    crate::cpu_features::detect().has_bf16_products().then_some(&x86::TILES)
}

/// Whether this machine multiplies pairs.
pub(crate) fn has_tiles() -> bool {
    tiles().is_some()
}

/// [`super::multiply`] of matrices of pairs; `c` is `f32`.
///
/// # Safety
/// As of [`super::multiply`]. The machine must have tiles.
pub(in super::super) unsafe fn multiply(p: &Product) {
    let Some(tiles) = tiles() else { unreachable!("bound for a machine without products of pairs") };
    let Product { m, n, k, .. } = *p;
    let (columns, rows) = p.sides::<Pair>();
    let rounded = |on_rows: bool| {
        p.rounded.map(|c| {
            let (lane, step) = if on_rows { (c.rs, c.cs) } else { (c.cs, c.rs) };
            Side { start: c.start.cast::<u16>(), lane, step }
        })
    };
    // SAFETY: in all arms, passed on from the caller.
    unsafe {
        match p.style {
            Style::Columns => blocked(&tiles.block, p, [n, m, k], columns, rounded(false)),
            Style::Rows => blocked(&tiles.block, p, [m, n, k], rows, rounded(true)),
            Style::Dots => dots(tiles.dots, [n, m, k], columns, p.add),
            Style::ColumnStreams | Style::RowStreams => unreachable!("not bound for pairs"),
        }
    }
}

/// [`super::prepack`] of a matrix of pairs.
///
/// # Safety
/// As of [`super::prepack`].
pub(in super::super) unsafe fn prepack(
    style: Style,
    k: usize,
    x: Matrix,
    panels: &Panels,
    panel: usize,
    to: *mut u8,
) {
    if let Some(tiles) = tiles() {
        // SAFETY: passed on from the caller.
        unsafe { pack_panel(&tiles.block, style, k, x, panels, panel, to.cast()) };
    }
}

/// Brings pairs together: the `pair`th of each lane, of lanes at a stride with terms at another, `k` of them. Without a second
/// term the pair has a zero.
///
/// # Safety
/// The terms must be in memory, and `to` have room for the lanes.
pub(in super::super) unsafe fn join(
    lanes: usize,
    k: usize,
    pair: usize,
    from: *const bf16,
    [lane, step]: [isize; 2],
    to: *mut u8,
) {
    let first = from.wrapping_offset(2 * pair as isize * step);
    let second = (2 * pair + 1 < k).then(|| first.wrapping_offset(step));
    let to = to.cast::<u16>();
    // SAFETY: passed on from the caller.
    unsafe {
        match second {
            Some(second) if lane == 1 => {
                let term = |from: *const bf16| std::slice::from_raw_parts(from.cast::<u16>(), lanes);
                let pairs = std::slice::from_raw_parts_mut(to.cast::<[u16; 2]>(), lanes);
                for ((pair, a), b) in pairs.iter_mut().zip(term(first)).zip(term(second)) {
                    *pair = [*a, *b];
                }
            }
            _ => {
                for l in 0..lanes {
                    let at = l as isize * lane;
                    *to.add(2 * l) = first.offset(at).read().to_bits();
                    *to.add(2 * l + 1) = second.map_or(0, |second| second.offset(at).read().to_bits());
                }
            }
        }
    }
}

/// The bits of the nearest bf16 of each number, the even one of two.
pub(in super::super) fn round(from: &[f32], to: &mut [u16]) {
    #[cfg(target_arch = "x86_64")]
    if has_tiles() {
        // SAFETY: a machine with these tiles has the instructions.
        return unsafe { x86::round(from, to) };
    }
    round_each(from, to);
}

/// Without branches, so that many are rounded at once.
#[inline(always)]
fn round_each(from: &[f32], to: &mut [u16]) {
    for (to, x) in to.iter_mut().zip(from) {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        *to = if x.is_nan() { bits >> 16 | 0x40 } else { rounded } as u16;
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::needless_range_loop, reason = "registers of a tile, by number")]
mod x86 {
    use super::super::x86::{prefetch_far, transpose_words};
    use super::super::{Block, Kernel, Tile};
    use super::{Pair, Tiles};
    use std::arch::x86_64::*;

    const LANES: usize = 16;

    /// A vector of pairs, in place: a function that is not inlined would pass it through memory.
    macro_rules! as_bf16 {
        ($v:expr) => {
            // Two names of 512 bits; to be used in an `unsafe` block.
            std::mem::transmute::<__m512i, __m512bh>($v)
        };
    }

    macro_rules! kernels {
        ($asks:literal $([$v:literal: $($r:literal)*])*) => {
            &[$(&[$(kernel::<$v, $r, $asks> as Kernel<Pair>),*]),*]
        };
    }

    pub(super) static TILES: Tiles = Tiles {
        block: Block {
            lanes: LANES,
            kernels: kernels!(false [1: 1 2 3 4 5 6 7 8] [2: 1 2 3 4 5 6 7 8] [3: 1 2 3 4 5 6 7 8]),
            asking: kernels!(true [1: 1 2 3 4 5 6 7 8] [2: 1 2 3 4 5 6 7 8] [3: 1 2 3 4 5 6 7 8]),
            transpose: transpose_words::<Pair>,
        },
        dots,
    };

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn kernel<const V: usize, const R: usize, const ASKS: bool>(
        depth: usize,
        mut x: *const Pair,
        x_step: usize,
        mut y: *const Pair,
        y_row: isize,
        y_step: isize,
        tile: &Tile<Pair>,
    ) {
        let mut sums = [[_mm512_setzero_ps(); V]; R];
        for _ in 0..depth {
            // SAFETY: the caller has `depth` pairs of this tile at `x` and `y`.
            unsafe {
                let mut lanes = [_mm512_setzero_si512(); V];
                for v in 0..V {
                    lanes[v] = _mm512_loadu_si512(x.add(v * LANES).cast());
                }
                if ASKS {
                    prefetch_far(x.wrapping_byte_offset(tile.ahead));
                }
                for r in 0..R {
                    let pair = y.offset(r as isize * y_row).cast::<i32>().read_unaligned();
                    let factor = _mm512_set1_epi32(pair);
                    for v in 0..V {
                        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], as_bf16!(lanes[v]), as_bf16!(factor));
                    }
                }
            }
            x = x.wrapping_add(x_step);
            y = y.wrapping_offset(y_step);
        }
        // SAFETY: passed on from the caller.
        unsafe { store(&sums, tile) };
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(super) fn round(from: &[f32], to: &mut [u16]) {
        super::round_each(from, to);
    }

    /// Puts a tile where it goes.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    #[inline]
    unsafe fn store<const V: usize, const R: usize>(sums: &[[__m512; V]; R], tile: &Tile<Pair>) {
        let is_whole = tile.lane == 1 && tile.width == V * LANES;
        match tile.rounded {
            Some(to) if is_whole && to.lane == 1 => {
                for r in 0..R {
                    for v in 0..V {
                        // SAFETY: a vector of the tile, and of what it is rounded to.
                        unsafe {
                            let sum = total(sums[r][v], tile.rows[r].add(v * LANES), tile.add);
                            let to = to.start.offset(r as isize * to.step).add(v * LANES);
                            let rounded = _mm512_cvtneps_pbh(sum);
                            // Two names of 256 bits.
                            _mm256_storeu_si256(to.cast(), std::mem::transmute::<__m256bh, __m256i>(rounded));
                        }
                    }
                }
            }
            None if is_whole => {
                for r in 0..R {
                    for v in 0..V {
                        // SAFETY: a vector of the tile.
                        unsafe {
                            let to = tile.rows[r].add(v * LANES);
                            _mm512_storeu_ps(to.cast(), total(sums[r][v], to, tile.add));
                        }
                    }
                }
            }
            // SAFETY: passed on from the caller.
            Some(_) | None => unsafe { store_each(sums, tile) },
        }
    }

    /// A vector of sums, and what was summed before.
    ///
    /// # Safety
    /// There must be a vector at `before`, if it is to be added.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn total(sum: __m512, before: *const Pair, add: bool) -> __m512 {
        // SAFETY: passed on from the caller.
        if add { _mm512_add_ps(unsafe { _mm512_loadu_ps(before.cast()) }, sum) } else { sum }
    }

    /// As [`store`], number by number.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn store_each<const V: usize, const R: usize>(sums: &[[__m512; V]; R], tile: &Tile<Pair>) {
        let mut all = [0.0f32; 3 * LANES];
        for r in 0..R {
            for v in 0..V {
                // SAFETY: `V <= 3` vectors.
                unsafe { _mm512_storeu_ps(all.as_mut_ptr().add(v * LANES), sums[r][v]) };
            }
            for l in 0..tile.width {
                // SAFETY: numbers of the tile; lanes past its width are left out.
                unsafe {
                    let to = tile.rows[r].cast::<f32>().offset(l as isize * tile.lane);
                    let sum = if tile.add { *to + all[l] } else { all[l] };
                    match tile.rounded {
                        Some(side) => {
                            let to = side.start.offset(l as isize * side.lane + r as isize * side.step);
                            super::round_each(&[sum], std::slice::from_mut(&mut *to));
                        }
                        None => *to = sum,
                    }
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn dots(depth: usize, x: *const Pair, y: *const Pair, y_row: isize) -> [f32; 4] {
        let mut sums = [[_mm512_setzero_ps(); 2]; 4];
        let whole = depth / (2 * LANES) * (2 * LANES);
        let mut p = 0;
        while p < whole {
            for h in 0..2 {
                let at = p + h * LANES;
                // SAFETY: `depth` pairs at `x` and in each of four rows of `y`.
                unsafe {
                    let load = |from: *const Pair| as_bf16!(_mm512_loadu_si512(from.add(at).cast()));
                    let factor = load(x);
                    for r in 0..4 {
                        sums[r][h] = _mm512_dpbf16_ps(sums[r][h], load(y.offset(r as isize * y_row)), factor);
                    }
                }
            }
            p += 2 * LANES;
        }
        while p < depth {
            let mask = u16::MAX >> (LANES - (depth - p).min(LANES));
            // SAFETY: as above; what is masked is not read.
            unsafe {
                let load = |from: *const Pair| as_bf16!(_mm512_maskz_loadu_epi32(mask, from.add(p).cast()));
                let factor = load(x);
                for r in 0..4 {
                    sums[r][0] = _mm512_dpbf16_ps(sums[r][0], load(y.offset(r as isize * y_row)), factor);
                }
            }
            p += LANES;
        }
        sums.map(|[a, b]| _mm512_reduce_add_ps(_mm512_add_ps(a, b)))
    }
}
