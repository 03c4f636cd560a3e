//! Register tiles for AVX2 and AVX-512.

use super::{Block, Gathered, Kernel, MOST_ROWS, Number, Tile, Tiles};
use crate::cpu_features::{Level, detect};
use std::arch::x86_64::*;

impl Number for f32 {
    fn tiles() -> Option<&'static Tiles<f32>> {
        match detect().level {
            Level::Baseline => None,
            Level::Avx2 => Some(&avx2_f32::TILES),
            Level::Avx512 => Some(&avx512_f32::TILES),
        }
    }
}

impl Number for f64 {
    fn tiles() -> Option<&'static Tiles<f64>> {
        match detect().level {
            Level::Baseline => None,
            Level::Avx2 => Some(&avx2_f64::TILES),
            Level::Avx512 => Some(&avx512_f64::TILES),
        }
    }
}

/// Asks for a line of memory, which need not be there, for a core's larger cache.
#[inline(always)]
pub(super) fn prefetch_far<T>(at: *const T) {
    // SAFETY: a hint; it touches nothing.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
}

/// The tiles of one instruction set and type, the intrinsics being given.
macro_rules! tiles {
    ($name:ident, $feature:literal, $t:ty, $vector:ty, $lanes:literal, $transpose:path,
     $zero:ident $load:ident $store:ident $splat:ident $fma:ident $add:ident,
     $most_rows:literal, $gathered_rows:literal: [$([$v:literal: $($r:literal)*])*]) => {
        mod $name {
            use super::*;

            /// The most numbers of a tile.
            const WIDTH: usize = 4 * $lanes;

            pub(super) static TILES: Tiles<$t> = Tiles {
                block: Block {
                    lanes: $lanes,
                    kernels: &[$(&[$(kernel::<$v, $r, false> as Kernel<$t>),*]),*],
                    asking: &[$(&[$(kernel::<$v, $r, true> as Kernel<$t>),*]),*],
                    transpose: $transpose,
                },
                gathered: &[$(&[$(gathered::<$v, $r, false> as Gathered<$t>),*]),*],
                gathered_asking: &[$(&[$(gathered::<$v, $r, true> as Gathered<$t>),*]),*],
                gathered_rows: $gathered_rows,
                winograd: super::super::winograd::$name::TRANSFORMS,
                dots,
                stream: stream::<8>,
                stream_one: stream::<1>,
            };

            #[target_feature(enable = $feature)]
            unsafe fn kernel<const V: usize, const R: usize, const ASKS: bool>(
                depth: usize,
                mut x: *const $t,
                x_step: usize,
                mut y: *const $t,
                y_row: isize,
                y_step: isize,
                tile: &Tile<$t>,
            ) {
                let mut sums = [[$zero(); V]; R];
                for _ in 0..depth {
                    // SAFETY: the caller has `depth` terms of this tile at `x` and `y`.
                    unsafe {
                        let mut lanes = [$zero(); V];
                        for v in 0..V {
                            lanes[v] = $load(x.add(v * $lanes));
                        }
                        if ASKS {
                            prefetch_far(x.wrapping_byte_offset(tile.ahead));
                        }
                        for r in 0..R {
                            let factor = $splat(*y.offset(r as isize * y_row));
                            for v in 0..V {
                                sums[r][v] = $fma(lanes[v], factor, sums[r][v]);
                            }
                        }
                    }
                    x = x.wrapping_add(x_step);
                    y = y.wrapping_offset(y_step);
                }
                // SAFETY: passed on from the caller.
                unsafe { store(&sums, tile) };
            }

            /// As [`kernel`], a term of the broadcast rows being as far into each as `terms` says.
            #[target_feature(enable = $feature)]
            unsafe fn gathered<const V: usize, const R: usize, const ASKS: bool>(
                terms: &[i32],
                mut x: *const $t,
                x_step: usize,
                y: &[*const $t; MOST_ROWS],
                tile: &Tile<$t>,
            ) {
                let mut sums = [[$zero(); V]; R];
                let mut rows = [std::ptr::null(); R];
                rows.copy_from_slice(&y[..R]);
                for &term in terms {
                    // SAFETY: the caller has all terms of this tile at `x` and in each row.
                    unsafe {
                        let mut lanes = [$zero(); V];
                        for v in 0..V {
                            lanes[v] = $load(x.add(v * $lanes));
                        }
                        if ASKS {
                            prefetch_far(x.wrapping_byte_offset(tile.ahead));
                        }
                        for r in 0..R {
                            let factor = $splat(*rows[r].offset(term as isize));
                            for v in 0..V {
                                sums[r][v] = $fma(lanes[v], factor, sums[r][v]);
                            }
                        }
                    }
                    x = x.wrapping_add(x_step);
                }
                // SAFETY: passed on from the caller.
                unsafe { store(&sums, tile) };
            }

            /// Puts a tile where it goes.
            #[target_feature(enable = $feature)]
            #[inline]
            unsafe fn store<const V: usize, const R: usize>(sums: &[[$vector; V]; R], tile: &Tile<$t>) {
                if tile.lane == 1 && tile.width == V * $lanes {
                    for r in 0..R {
                        for v in 0..V {
                            // SAFETY: a vector of the tile.
                            unsafe {
                                let to = tile.rows[r].add(v * $lanes);
                                let sum = if tile.add { $add($load(to), sums[r][v]) } else { sums[r][v] };
                                $store(to, sum);
                            }
                        }
                    }
                    return;
                }
                let mut all = [0.0; WIDTH * $most_rows];
                for r in 0..R {
                    for v in 0..V {
                        // SAFETY: `V <= 4` vectors in each of `R <= most_rows` rows of `WIDTH`.
                        unsafe { $store(all.as_mut_ptr().add(r * WIDTH + v * $lanes), sums[r][v]) };
                    }
                }
                // SAFETY: numbers of the tile; lanes past its width are left out.
                unsafe {
                    if tile.lane == 1 {
                        for r in 0..R {
                            let to = tile.rows[r];
                            for l in 0..tile.width {
                                let sum = all[r * WIDTH + l];
                                *to.add(l) = if tile.add { *to.add(l) + sum } else { sum };
                            }
                        }
                    } else {
                        for l in 0..tile.width {
                            for r in 0..R {
                                let to = tile.rows[r].offset(l as isize * tile.lane);
                                let sum = all[r * WIDTH + l];
                                *to = if tile.add { *to + sum } else { sum };
                            }
                        }
                    }
                }
            }

            #[target_feature(enable = $feature)]
            unsafe fn dots(depth: usize, x: *const $t, y: *const $t, y_row: isize) -> [$t; 4] {
                let mut sums = [[$zero(); 2]; 4];
                let whole = depth / (2 * $lanes) * (2 * $lanes);
                let mut p = 0;
                while p < whole {
                    // SAFETY: `depth` numbers at `x` and in each of four rows of `y`.
                    unsafe {
                        for h in 0..2 {
                            let factor = $load(x.add(p + h * $lanes));
                            for r in 0..4 {
                                let row = y.offset(r as isize * y_row);
                                sums[r][h] = $fma($load(row.add(p + h * $lanes)), factor, sums[r][h]);
                            }
                        }
                    }
                    p += 2 * $lanes;
                }
                let mut out = [0.0; 4];
                for r in 0..4 {
                    let mut lanes = [0.0; $lanes];
                    // SAFETY: a vector has so many lanes; then the rest of the numbers.
                    unsafe {
                        $store(lanes.as_mut_ptr(), $add(sums[r][0], sums[r][1]));
                        let mut half = $lanes / 2;
                        while half > 0 {
                            for l in 0..half {
                                lanes[l] += lanes[l + half];
                            }
                            half /= 2;
                        }
                        out[r] = lanes[0];
                        for p in whole..depth {
                            out[r] = (*x.add(p)).mul_add(*y.offset(r as isize * y_row).add(p), out[r]);
                        }
                    }
                }
                out
            }

            #[target_feature(enable = $feature)]
            unsafe fn stream<const Q: usize>(
                lanes: usize,
                x: *const $t,
                stride: isize,
                y: &[$t; 8],
                c: *mut $t,
                add: bool,
            ) {
                let factors = y.map(|f| $splat(f));
                let whole = lanes / $lanes * $lanes;
                let mut l = 0;
                // SAFETY: `lanes` numbers at `c` and in each of `Q` rows of `x`.
                unsafe {
                    while l < whole {
                        let mut sum = if add { $load(c.add(l)) } else { $zero() };
                        for q in 0..Q {
                            sum = $fma($load(x.offset(q as isize * stride).add(l)), factors[q], sum);
                        }
                        $store(c.add(l), sum);
                        l += $lanes;
                    }
                    while l < lanes {
                        let mut sum = if add { *c.add(l) } else { 0.0 };
                        for q in 0..Q {
                            sum = (*x.offset(q as isize * stride).add(l)).mul_add(y[q], sum);
                        }
                        *c.add(l) = sum;
                        l += 1;
                    }
                }
            }
        }
    };
}

tiles!(avx512_f32, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma", f32, __m512, 16, super::transpose_words,
    _mm512_setzero_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_fmadd_ps _mm512_add_ps,
    8, 7: [[1: 1 2 3 4 5 6 7 8] [2: 1 2 3 4 5 6 7 8] [3: 1 2 3 4 5 6 7 8]]);
tiles!(avx512_f64, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma", f64, __m512d, 8, super::transpose_f64,
    _mm512_setzero_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_set1_pd _mm512_fmadd_pd _mm512_add_pd,
    8, 7: [[1: 1 2 3 4 5 6 7 8] [2: 1 2 3 4 5 6 7 8] [3: 1 2 3 4 5 6 7 8]]);
tiles!(avx2_f32, "avx2,fma", f32, __m256, 8, super::transpose_words,
    _mm256_setzero_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_set1_ps _mm256_fmadd_ps _mm256_add_ps,
    6, 6: [[1: 1 2 3 4 5 6] [2: 1 2 3 4 5 6]]);
tiles!(avx2_f64, "avx2,fma", f64, __m256d, 4, super::transpose_f64,
    _mm256_setzero_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_set1_pd _mm256_fmadd_pd _mm256_add_pd,
    6, 6: [[1: 1 2 3 4 5 6] [2: 1 2 3 4 5 6]]);

/// `to[p * width + l] = from[l * stride + p]` for `l < lanes`, `p < depth`, of any type of four bytes.
///
/// # Safety
/// The processor must have AVX2, and the numbers be there.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn transpose_words<T: Copy>(
    lanes: usize,
    depth: usize,
    from: *const T,
    stride: isize,
    to: *mut T,
    width: usize,
) {
    const { assert!(size_of::<T>() == size_of::<f32>()) };
    let (l8, p8) = (lanes / 8 * 8, depth / 8 * 8);
    // SAFETY: passed on from the caller; blocks of 8 x 8, then what is left of rows and columns.
    unsafe {
        for l in (0..l8).step_by(8) {
            for p in (0..p8).step_by(8) {
                let row = |i: isize| _mm256_loadu_ps(from.offset((l as isize + i) * stride).add(p).cast());
                let (a0, a1, a2, a3) = (row(0), row(1), row(2), row(3));
                let (a4, a5, a6, a7) = (row(4), row(5), row(6), row(7));
                let (b0, b1) = (_mm256_unpacklo_ps(a0, a1), _mm256_unpackhi_ps(a0, a1));
                let (b2, b3) = (_mm256_unpacklo_ps(a2, a3), _mm256_unpackhi_ps(a2, a3));
                let (b4, b5) = (_mm256_unpacklo_ps(a4, a5), _mm256_unpackhi_ps(a4, a5));
                let (b6, b7) = (_mm256_unpacklo_ps(a6, a7), _mm256_unpackhi_ps(a6, a7));
                let (c0, c1) = (_mm256_shuffle_ps(b0, b2, 0x44), _mm256_shuffle_ps(b0, b2, 0xee));
                let (c2, c3) = (_mm256_shuffle_ps(b1, b3, 0x44), _mm256_shuffle_ps(b1, b3, 0xee));
                let (c4, c5) = (_mm256_shuffle_ps(b4, b6, 0x44), _mm256_shuffle_ps(b4, b6, 0xee));
                let (c6, c7) = (_mm256_shuffle_ps(b5, b7, 0x44), _mm256_shuffle_ps(b5, b7, 0xee));
                let out = |i: usize, v| _mm256_storeu_ps(to.add((p + i) * width + l).cast(), v);
                out(0, _mm256_permute2f128_ps(c0, c4, 0x20));
                out(1, _mm256_permute2f128_ps(c1, c5, 0x20));
                out(2, _mm256_permute2f128_ps(c2, c6, 0x20));
                out(3, _mm256_permute2f128_ps(c3, c7, 0x20));
                out(4, _mm256_permute2f128_ps(c0, c4, 0x31));
                out(5, _mm256_permute2f128_ps(c1, c5, 0x31));
                out(6, _mm256_permute2f128_ps(c2, c6, 0x31));
                out(7, _mm256_permute2f128_ps(c3, c7, 0x31));
            }
            one_by_one(l..l + 8, p8..depth, from, stride, to, width);
        }
        one_by_one(l8..lanes, 0..depth, from, stride, to, width);
    }
}

/// As [`transpose_words`].
///
/// # Safety
/// As of [`transpose_words`].
#[target_feature(enable = "avx2")]
unsafe fn transpose_f64(
    lanes: usize,
    depth: usize,
    from: *const f64,
    stride: isize,
    to: *mut f64,
    width: usize,
) {
    let (l4, p4) = (lanes / 4 * 4, depth / 4 * 4);
    // SAFETY: passed on from the caller; blocks of 4 x 4, then what is left of rows and columns.
    unsafe {
        for l in (0..l4).step_by(4) {
            for p in (0..p4).step_by(4) {
                let row = |i: isize| _mm256_loadu_pd(from.offset((l as isize + i) * stride).add(p));
                let (a0, a1, a2, a3) = (row(0), row(1), row(2), row(3));
                let (b0, b1) = (_mm256_unpacklo_pd(a0, a1), _mm256_unpackhi_pd(a0, a1));
                let (b2, b3) = (_mm256_unpacklo_pd(a2, a3), _mm256_unpackhi_pd(a2, a3));
                let out = |i: usize, v| _mm256_storeu_pd(to.add((p + i) * width + l), v);
                out(0, _mm256_permute2f128_pd(b0, b2, 0x20));
                out(1, _mm256_permute2f128_pd(b1, b3, 0x20));
                out(2, _mm256_permute2f128_pd(b0, b2, 0x31));
                out(3, _mm256_permute2f128_pd(b1, b3, 0x31));
            }
            one_by_one(l..l + 4, p4..depth, from, stride, to, width);
        }
        one_by_one(l4..lanes, 0..depth, from, stride, to, width);
    }
}

/// # Safety
/// The numbers must be there.
unsafe fn one_by_one<T: Copy>(
    lanes: std::ops::Range<usize>,
    depth: std::ops::Range<usize>,
    from: *const T,
    stride: isize,
    to: *mut T,
    width: usize,
) {
    for p in depth {
        for l in lanes.clone() {
            // SAFETY: passed on from the caller.
            unsafe { *to.add(p * width + l) = *from.offset(l as isize * stride + p as isize) };
        }
    }
}
