//! Images read at positions that are data.

use super::arithmetic::clamp;
use super::{Val, interpolate, stack};
use ttk_ir::{Builder, DType, Dim, Shape};

/// How [`grid_sample`] fills in between pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sampling {
    /// Bilinear; trilinear of volumes.
    Linear,
    Nearest,
    Bicubic,
}

/// What [`grid_sample`] reads outside the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outside {
    Zeros,
    Border,
    Reflection,
}

/// `x` (`[N, C, (D,) H, W]`) at the positions of `grid` (`[N, (D,) H, W, 2 or 3]`), which count from -1 to 1
/// and have the last axis' coordinate first.
pub fn grid_sample<'r, B: Builder>(
    x: &Val<'r, B>,
    grid: &Val<'r, B>,
    how: Sampling,
    outside: Outside,
    align: bool,
) -> Val<'r, B> {
    let spatial = x.rank() - 2;
    let last = grid.rank() - 1;
    let sizes: Vec<i64> = x.sizes()[2..].to_vec();
    // Positions in pixels, outermost axis first.
    let pixel = |k: usize| {
        let (p, n) = (grid.select_at(last, (spatial - 1 - k) as i64), sizes[k] as f64);
        if align { (p + 1.0) * ((n - 1.0) / 2.0) } else { ((p + 1.0) * n - 1.0) / 2.0 }
    };
    let pixels: Vec<Val<'r, B>> = (0..spatial).map(pixel).collect();

    // For each axis the pixels to read and their weights.
    let taps = |k: usize| -> Vec<(Val<'r, B>, Val<'r, B>)> {
        let (p, n) = (&pixels[k], sizes[k]);
        let place = |p: &Val<'r, B>| fold_back(p, n, outside, align);
        match how {
            Sampling::Nearest => {
                let at = place(p).round();
                let one = at.full_like(1.0);
                vec![(at, one)]
            }
            Sampling::Linear => {
                let p = place(p);
                let low = p.floor();
                let weight = &p - &low;
                vec![(low.clone(), 1.0 - &weight), (low + 1.0, weight)]
            }
            Sampling::Bicubic => {
                // Each neighbour is folded back by itself.
                let low = p.floor();
                let weights = interpolate::cubic_weights(&(p - &low));
                let near = |(j, w): (usize, Val<'r, B>)| (place(&(&low + (j as f64 - 1.0))), w);
                weights.into_iter().enumerate().map(near).collect()
            }
        }
    };
    let axes: Vec<_> = (0..spatial).map(taps).collect();

    let (batch, channels) = (x.size(0), x.size(1));
    let area: i64 = sizes.iter().product();
    let flat = x.view(&[batch, channels, area]);
    let positions: Shape = grid.shape()[..last].into();
    let count: i64 = grid.sizes()[1..last].iter().product();
    let mut sum: Option<Val<'r, B>> = None;
    let combinations: usize = axes.iter().map(Vec::len).product();
    for mut number in 0..combinations {
        let mut index: Option<Val<'r, B>> = None;
        let mut weight: Option<Val<'r, B>> = None;
        for (taps, &n) in axes.iter().zip(&sizes) {
            let (at, w) = &taps[number % taps.len()];
            number /= taps.len();
            // Compared as floats: far out, an integer would have wrapped.
            let inside = at.ge(0.0).and(at.le((n - 1) as f64));
            let w = w.keep_where(&inside, 0.0);
            let at = at.detach().keep_where(&inside, 0.0).cast(DType::I64);
            index = Some(index.map_or_else(|| at.clone(), |i| i * n + &at));
            weight = Some(weight.map_or_else(|| w.clone(), |v| v * &w));
        }
        let (Some(index), Some(weight)) = (index, weight) else { continue };
        let wide = [Dim::Fixed(batch), Dim::Fixed(channels), Dim::Fixed(count)];
        let index = index.view(&[batch, 1, count]).broadcast_to(&wide);
        let part = flat.gather(2, &index) * weight.view(&[batch, 1, count]);
        sum = Some(sum.map_or_else(|| part.clone(), |s| s + &part));
    }
    let mut shape: Shape = x.shape()[..2].into();
    shape.extend(positions[1..].iter().cloned());
    sum.unwrap_or(flat).reshape(&shape)
}

/// A pixel position brought inside the image as `outside` says.
fn fold_back<'r, B: Builder>(p: &Val<'r, B>, n: i64, outside: Outside, align: bool) -> Val<'r, B> {
    let last = (n - 1) as f64;
    match outside {
        Outside::Zeros => p.clone(),
        Outside::Border => clamp(p, Some(0.0), Some(last)),
        Outside::Reflection => {
            // Mirrors stand at the centres of the edge pixels, or at their outer edges.
            let (low, span) = if align { (0.0, last) } else { (-0.5, n as f64) };
            if span <= 0.0 {
                return p.full_like(0.0);
            }
            let distance = (p - low).abs();
            let flips = (&distance / span).floor();
            let rest = &distance - &flips * span;
            let even = flips.remainder_of(2.0).eq(0.0);
            let folded = (&rest + low).keep_where(&even, span - &rest + low);
            clamp(&folded, Some(0.0), Some(last))
        }
    }
}

/// The grid that [`grid_sample`] takes for affine maps `theta` (`[N, k, k + 1]`, `k` spatial axes), for an
/// output of the given spatial sizes.
pub fn affine_grid<'r, B: Builder>(theta: &Val<'r, B>, sizes: &[i64], align: bool) -> Val<'r, B> {
    let dims: Shape = sizes.iter().map(|&n| Dim::Fixed(n)).collect();
    let dtype = theta.dtype();
    let line = |axis: usize| {
        let n = sizes[axis] as f64;
        let i = theta.scope().iota(dtype, &dims, axis);
        if n == 1.0 {
            return i.full_like(0.0);
        }
        if align { i * (2.0 / (n - 1.0)) - 1.0 } else { (i * 2.0 + 1.0) / n - 1.0 }
    };
    let mut parts: Vec<Val<'r, B>> = (0..sizes.len()).rev().map(line).collect();
    parts.push(theta.scope().full(dtype, &dims, 1.0));
    let base = stack(&parts, sizes.len());
    // [N, k, k + 1] against [sizes..., k + 1]
    let out = theta.dot(&base, &[], &[(2, sizes.len())]);
    out.move_axis(1, out.rank() - 1)
}
