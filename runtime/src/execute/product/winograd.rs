//! Winograd's transformation F(4x4, 3x3): four by four results of a convolution by three by three taps in 36 products
//! instead of 144.
//!
//! A tile of results `A' [(G g G') * (B' d B)] A` comes of a filter `g` and the six by six numbers `d` of the image below
//! it; `*` is by elements, `'` transposes. Summed over the channels it is 36 products of matrices, one for each element: of
//! the transformed tiles with the transformed filters. They are those of A. Lavin and S. Gray, "Fast Algorithms for
//! Convolutional Neural Networks" (2015), but for other points: 0, the root of 1/2, that of 2, both also negative, and
//! infinity. Products of them are near 1, which keeps rounding errors smaller than 1 and 2 would.

/// Results along an axis of a tile, numbers of the image, and products.
pub(crate) const RESULTS: usize = 4;
pub(crate) const SPAN: usize = 6;
pub(crate) const POINTS: usize = SPAN * SPAN;
pub(crate) const TAPS: usize = 3;

/// The transformations of a machine and a type, a vector of channels or lanes at a time.
pub(in super::super) struct Transforms<T: 'static> {
    /// `(channels, width, x, u, apart)`: a panel of filters of `width` lanes, tap after tap and in each channel after channel.
    /// The numbers for a point are `apart` from those of the point before it.
    pub(in super::super) filters: unsafe fn(usize, usize, *const T, *mut T, usize),
    /// `(channels, image, v, apart)`.
    pub(in super::super) image: unsafe fn(usize, &Square<T>, *mut T, usize),
    /// `(lanes, m, apart, results)`.
    pub(in super::super) results: unsafe fn(usize, *const T, usize, &Square<T>),
    /// `(lanes, slopes, u, apart)`: the gradient of a tile of results.
    pub(in super::super) slopes: unsafe fn(usize, &Square<T>, *mut T, usize),
    /// `(channels, lanes, m, apart, taps)`: the gradient of filters, for a vector of lanes; `m` has `lanes` numbers for a
    /// channel, and `taps` gets a vector for each tap of each channel.
    pub(in super::super) taps: unsafe fn(usize, usize, *const T, usize, *mut T),
}

/// A tile's numbers of an image, or results: the first one, the strides of lines and columns, and how many of each are there.
/// Others of the image are zeros; other results are dropped.
pub(in super::super) struct Square<T> {
    pub(in super::super) start: *mut T,
    pub(in super::super) line: isize,
    pub(in super::super) column: isize,
    pub(in super::super) lines: usize,
    pub(in super::super) columns: usize,
}

#[cfg(target_arch = "x86_64")]
macro_rules! transforms {
    ($name:ident, $feature:literal, $t:ty, $vector:ty, $lanes:literal,
     $zero:ident $load:ident $store:ident $splat:ident $fma:ident $add:ident $sub:ident $mul:ident) => {
        pub(super) mod $name {
            use super::{POINTS, RESULTS, SPAN, Square, TAPS, Transforms};
            use std::arch::x86_64::*;

            /// The points.
            const SMALL: $t = std::f64::consts::FRAC_1_SQRT_2 as $t;
            const LARGE: $t = std::f64::consts::SQRT_2 as $t;

            pub(in super::super) const TRANSFORMS: Transforms<$t> =
                Transforms { filters, image, results, slopes, taps };

            /// `G` times three numbers.
            #[target_feature(enable = $feature)]
            #[inline]
            fn filter([a, b, c]: [$vector; TAPS]) -> [$vector; SPAN] {
                let near = $fma(a, $splat(-2.0 / 3.0), $mul(c, $splat(-1.0 / 3.0)));
                let turn = $mul(b, $splat(-2.0 / 3.0 * SMALL));
                let far = $fma(a, $splat(1.0 / 6.0), $mul(c, $splat(1.0 / 3.0)));
                let twist = $mul(b, $splat(LARGE / 6.0));
                [a, $add(near, turn), $sub(near, turn), $add(far, twist), $sub(far, twist), c]
            }

            /// `B'` times six numbers.
            #[target_feature(enable = $feature)]
            #[inline]
            fn spread([a, b, c, d, e, f]: [$vector; SPAN]) -> [$vector; SPAN] {
                let (two, half, middle) = ($splat(-2.0), $splat(-0.5), $splat(-2.5));
                let (near, turn) = ($fma(c, two, e), $mul($fma(b, two, d), $splat(SMALL)));
                let (far, twist) = ($fma(c, half, e), $mul($fma(b, half, d), $splat(LARGE)));
                [
                    $add($fma(c, middle, a), e),
                    $add(near, turn),
                    $sub(near, turn),
                    $add(far, twist),
                    $sub(far, twist),
                    $add($fma(d, middle, b), f),
                ]
            }

            /// `A'` times six numbers.
            #[target_feature(enable = $feature)]
            #[inline]
            fn gather([a, b, c, d, e, f]: [$vector; SPAN]) -> [$vector; RESULTS] {
                let (near, turn) = ($add(b, c), $mul($sub(b, c), $splat(SMALL)));
                let (far, twist) = ($add(d, e), $mul($sub(d, e), $splat(LARGE)));
                let (two, half) = ($splat(2.0), $splat(0.5));
                [
                    $add($add(a, near), far),
                    $add(turn, twist),
                    $fma(far, two, $mul(near, half)),
                    $fma(twist, two, $fma(turn, half, f)),
                ]
            }

            /// `G` for four taps times four numbers.
            #[target_feature(enable = $feature)]
            #[inline]
            fn slope([a, b, c, d]: [$vector; RESULTS]) -> [$vector; SPAN] {
                let near = $fma(a, $splat(-2.0 / 3.0), $mul(c, $splat(-1.0 / 3.0)));
                let turn = $mul($fma(d, $splat(0.5), b), $splat(-2.0 / 3.0 * SMALL));
                let far = $fma(a, $splat(1.0 / 6.0), $mul(c, $splat(1.0 / 3.0)));
                let twist = $mul($fma(d, $splat(2.0), b), $splat(LARGE / 6.0));
                [a, $add(near, turn), $sub(near, turn), $add(far, twist), $sub(far, twist), d]
            }

            /// `A'` for three results times six numbers.
            #[target_feature(enable = $feature)]
            #[inline]
            fn tap([a, b, c, d, e, f]: [$vector; SPAN]) -> [$vector; TAPS] {
                let (near, far) = ($add(b, c), $add(d, e));
                let twist = $mul($sub(d, e), $splat(LARGE));
                [
                    $add($add(a, near), far),
                    $fma($sub(b, c), $splat(SMALL), twist),
                    $fma(far, $splat(2.0), $fma(near, $splat(0.5), f)),
                ]
            }

            #[target_feature(enable = $feature)]
            unsafe fn slopes(lanes: usize, g: &Square<$t>, u: *mut $t, apart: usize) {
                for at in (0..lanes).step_by($lanes) {
                    let mut half = [[$zero(); RESULTS]; SPAN];
                    for j in 0..g.columns {
                        let mut line = [$zero(); RESULTS];
                        for i in 0..g.lines {
                            let place = i as isize * g.line + j as isize * g.column;
                            // SAFETY: the caller has so many lines and columns.
                            line[i] = unsafe { $load(g.start.offset(place).add(at)) };
                        }
                        for (i, v) in slope(line).into_iter().enumerate() {
                            half[i][j] = v;
                        }
                    }
                    for (i, row) in half.into_iter().enumerate() {
                        for (j, v) in slope(row).into_iter().enumerate() {
                            // SAFETY: the caller has room for the lanes at each point.
                            unsafe { $store(u.add((i * SPAN + j) * apart + at), v) };
                        }
                    }
                }
            }

            #[target_feature(enable = $feature)]
            unsafe fn taps(channels: usize, lanes: usize, m: *const $t, apart: usize, to: *mut $t) {
                for channel in 0..channels {
                    let mut half = [[$zero(); SPAN]; TAPS];
                    for j in 0..SPAN {
                        let mut line = [$zero(); SPAN];
                        for i in 0..SPAN {
                            // SAFETY: the caller has the sums of all points.
                            line[i] = unsafe { $load(m.add((i * SPAN + j) * apart + channel * lanes)) };
                        }
                        for (i, v) in tap(line).into_iter().enumerate() {
                            half[i][j] = v;
                        }
                    }
                    for (i, row) in half.into_iter().enumerate() {
                        for (j, v) in tap(row).into_iter().enumerate() {
                            // SAFETY: the caller has room for all taps.
                            unsafe { $store(to.add(((channel * TAPS + i) * TAPS + j) * $lanes), v) };
                        }
                    }
                }
            }

            #[target_feature(enable = $feature)]
            unsafe fn filters(channels: usize, width: usize, x: *const $t, u: *mut $t, apart: usize) {
                let tap = channels * width;
                for at in (0..channels * width).step_by($lanes) {
                    let mut half = [[$zero(); TAPS]; SPAN];
                    for j in 0..TAPS {
                        let mut g = [$zero(); TAPS];
                        for i in 0..TAPS {
                            // SAFETY: the caller has all taps of a panel at `x`.
                            g[i] = unsafe { $load(x.add((i * TAPS + j) * tap + at)) };
                        }
                        for (i, v) in filter(g).into_iter().enumerate() {
                            half[i][j] = v;
                        }
                    }
                    for (i, row) in half.into_iter().enumerate() {
                        for (j, v) in filter(row).into_iter().enumerate() {
                            // SAFETY: the caller has room for the panel at each point.
                            unsafe { $store(u.add((i * SPAN + j) * apart + at), v) };
                        }
                    }
                }
            }

            #[target_feature(enable = $feature)]
            unsafe fn image(channels: usize, d: &Square<$t>, v: *mut $t, apart: usize) {
                // SAFETY: passed on from the caller.
                unsafe {
                    if d.lines == SPAN && d.columns == SPAN {
                        image_of::<true>(channels, d, v, apart);
                    } else {
                        image_of::<false>(channels, d, v, apart);
                    }
                }
            }

            #[target_feature(enable = $feature)]
            unsafe fn image_of<const WHOLE: bool>(channels: usize, d: &Square<$t>, v: *mut $t, apart: usize) {
                for at in (0..channels).step_by($lanes) {
                    let mut half = [[$zero(); SPAN]; SPAN];
                    for j in 0..SPAN {
                        let mut line = [$zero(); SPAN];
                        for i in 0..SPAN {
                            if WHOLE || i < d.lines && j < d.columns {
                                let place = i as isize * d.line + j as isize * d.column;
                                // SAFETY: the caller has so many lines and columns of the image.
                                line[i] = unsafe { $load(d.start.offset(place).add(at)) };
                            }
                        }
                        for (i, v) in spread(line).into_iter().enumerate() {
                            half[i][j] = v;
                        }
                    }
                    for (i, row) in half.into_iter().enumerate() {
                        for (j, number) in spread(row).into_iter().enumerate() {
                            // SAFETY: the caller has room for the channels at each point.
                            unsafe { $store(v.add((i * SPAN + j) * apart + at), number) };
                        }
                    }
                }
            }

            #[target_feature(enable = $feature)]
            unsafe fn results(lanes: usize, m: *const $t, apart: usize, c: &Square<$t>) {
                for at in (0..lanes).step_by($lanes) {
                    let mut half = [[$zero(); SPAN]; RESULTS];
                    for j in 0..SPAN {
                        let mut line = [$zero(); SPAN];
                        for i in 0..SPAN {
                            // SAFETY: the caller has the sums of all points.
                            line[i] = unsafe { $load(m.add((i * SPAN + j) * apart + at)) };
                        }
                        for (i, v) in gather(line).into_iter().enumerate() {
                            half[i][j] = v;
                        }
                    }
                    for (i, row) in half.into_iter().enumerate().take(c.lines) {
                        for (j, v) in gather(row).into_iter().enumerate().take(c.columns) {
                            let place = i as isize * c.line + j as isize * c.column;
                            // SAFETY: a result of the caller's.
                            unsafe { $store(c.start.offset(place).add(at), v) };
                        }
                    }
                }
            }

            const _: () = assert!(POINTS == SPAN * SPAN && RESULTS + TAPS - 1 == SPAN);
        }
    };
}

#[cfg(target_arch = "x86_64")]
transforms!(avx512_f32, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma", f32, __m512, 16,
    _mm512_setzero_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_fmadd_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps);
#[cfg(target_arch = "x86_64")]
transforms!(avx512_f64, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma", f64, __m512d, 8,
    _mm512_setzero_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_set1_pd _mm512_fmadd_pd _mm512_add_pd _mm512_sub_pd _mm512_mul_pd);
#[cfg(target_arch = "x86_64")]
transforms!(avx2_f32, "avx2,fma", f32, __m256, 8,
    _mm256_setzero_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_set1_ps _mm256_fmadd_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps);
#[cfg(target_arch = "x86_64")]
transforms!(avx2_f64, "avx2,fma", f64, __m256d, 4,
    _mm256_setzero_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_set1_pd _mm256_fmadd_pd _mm256_add_pd _mm256_sub_pd _mm256_mul_pd);

use super::{MOST_ROWS, Number, Panels, Tile, Tiles, stretches};

/// Multiplies the transformed tiles of an image with the transformed filters, for all points.
///
/// `v` has for each point `tiles` rows of `channels`; `u` for each point all panels; `m` gets for each point `tiles` rows of all
/// lanes, padded.
///
/// # Safety
/// All three must be in memory as said, `m` the caller's alone.
pub(in super::super) unsafe fn multiply<T: Number>(
    t: &Tiles<T>,
    panels: &Panels,
    [tiles, channels]: [usize; 2],
    v: *const T,
    u: *const T,
    m: *mut T,
) {
    let width = panels.padded();
    for point in 0..POINTS {
        let (v, u, m) = (
            v.wrapping_add(point * tiles * channels),
            u.wrapping_add(point * width * channels),
            m.wrapping_add(point * tiles * width),
        );
        for (from, depth) in stretches(channels) {
            for panel in 0..panels.count() {
                let (lane, end) = (panels.start(panel), panels.start(panel + 1));
                let padded = (end - lane).next_multiple_of(panels.vector);
                let x = u.wrapping_add(super::gathered::panel_start(panels, panel, channels) + from * padded);
                let kernels = t.block.kernels[padded / panels.vector - 1];
                for row in (0..tiles).step_by(kernels.len()) {
                    let height = kernels.len().min(tiles - row);
                    // Of rows past the height the kernel takes no notice.
                    let mut to = [m; MOST_ROWS];
                    for (i, to) in to.iter_mut().enumerate().take(height) {
                        *to = m.wrapping_add((row + i) * width + lane);
                    }
                    let tile =
                        Tile { rows: to, lane: 1, width: padded, add: from > 0, ahead: 0, rounded: None };
                    let y = v.wrapping_add(row * channels + from);
                    // SAFETY: passed on from the caller.
                    unsafe { kernels[height - 1](depth, x, padded, y, channels as isize, 1, &tile) };
                }
            }
        }
    }
}

/// Multiplies the transformed tiles of an image with the transformed gradients of the results, for one point, and sums over
/// the tiles.
///
/// `v` has `tiles` rows of `channels`, `u` as many of the lanes, `step` apart; `m` gets `channels` rows of those, or
/// has them and gets more.
///
/// # Safety
/// All three must be in memory as said, `m` the caller's alone.
pub(in super::super) unsafe fn multiply_tiles<T: Number>(
    t: &Tiles<T>,
    panels: &Panels,
    [tiles, channels, step]: [usize; 3],
    [v, u]: [*mut T; 2],
    m: *mut T,
    add: bool,
) {
    let width = panels.padded();
    for (from, depth) in stretches(tiles) {
        for panel in 0..panels.count() {
            let (lane, end) = (panels.start(panel), panels.start(panel + 1));
            let padded = (end - lane).next_multiple_of(panels.vector);
            let x = u.wrapping_add(from * step + lane);
            let kernels = t.block.kernels[padded / panels.vector - 1];
            for row in (0..channels).step_by(kernels.len()) {
                let height = kernels.len().min(channels - row);
                // Of rows past the height the kernel takes no notice.
                let mut to = [m; MOST_ROWS];
                for (i, to) in to.iter_mut().enumerate().take(height) {
                    *to = m.wrapping_add((row + i) * width + lane);
                }
                let tile =
                    Tile { rows: to, lane: 1, width: padded, add: add || from > 0, ahead: 0, rounded: None };
                let y = v.wrapping_add(from * channels + row);
                // SAFETY: passed on from the caller.
                unsafe { kernels[height - 1](depth, x, step, y, 1, channels as isize, &tile) };
            }
        }
    }
}

/// The taps of a vector of lanes, of each lane one after another, from the sums of all points: `channels` rows of `lanes`
/// each. Taps of lanes are `stride` apart.
///
/// # Safety
/// The sums must be in memory; `scratch` and, for each lane, `to` must have room for all taps.
pub(in super::super) unsafe fn taps<T: Number>(
    t: &Tiles<T>,
    [channels, lanes]: [usize; 2],
    m: *const T,
    scratch: *mut T,
    to: *mut T,
    stride: usize,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        (t.winograd.taps)(channels, lanes, m, channels * lanes, scratch);
        (t.block.transpose)(
            TAPS * TAPS * channels,
            t.block.lanes,
            scratch,
            t.block.lanes as isize,
            to,
            stride,
        );
    }
}
