//! Images at another size.
//!
//! Each axis is resampled by itself: an output position is a weighted sum of a few input positions, its
//! taps. Positions are computed in `f32`, as PyTorch computes them, so that ties round the same way.

use super::Val;
use super::arithmetic::clamp;
use super::indexing::index_select;
use ttk_ir::{Builder, DType};

/// How to resample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resample {
    Nearest,
    NearestExact,
    /// `linear`, `bilinear`, `trilinear`.
    Linear,
    Cubic,
}

/// One spatial axis: its new size, and the ratio of input to output steps if it was given (`1 /
/// scale_factor`), else that of the sizes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Axis {
    pub size: i64,
    pub ratio: Option<f64>,
}

/// `x` with its last axes at new sizes.
pub fn interpolate<'r, B: Builder>(
    x: &Val<'r, B>,
    axes: &[Axis],
    how: Resample,
    align_corners: bool,
) -> Val<'r, B> {
    let first = x.rank() - axes.len();
    x.in_compute(|x| {
        axes.iter()
            .enumerate()
            .fold(x.clone(), |y, (i, axis)| resample(&y, first + i, *axis, how, align_corners))
    })
}

fn resample<'r, B: Builder>(x: &Val<'r, B>, axis: usize, to: Axis, how: Resample, align: bool) -> Val<'r, B> {
    let n = x.size(axis);
    if n == to.size && to.ratio.is_none_or(|r| r == 1.0) {
        return x.clone();
    }
    let position = x.scope().arange(DType::F32, to.size);
    let ratio = to.ratio.unwrap_or(n as f64 / to.size as f64);
    let whole = |p: Val<'r, B>| clamp(&p.floor(), Some(0.0), Some((n - 1) as f64)).cast(DType::I64);
    match how {
        Resample::Nearest if to.ratio.is_none() && to.size % n == 0 => {
            super::layout::repeat_interleave(x, to.size / n, axis)
        }
        Resample::Nearest if to.ratio.is_none() && n % to.size == 0 => {
            x.strided(axis, 0, to.size, n / to.size)
        }
        Resample::Nearest => index_select(x, axis, &whole(position * ratio)),
        Resample::NearestExact => index_select(x, axis, &whole((position + 0.5) * ratio)),
        Resample::Linear => {
            let source = if align {
                position * corner_ratio(n, to.size)
            } else {
                let p = (position + 0.5) * ratio - 0.5;
                p.masked(&p.lt(0.0), 0.0)
            };
            let base = whole(source.clone());
            let next = (&base + 1i64).min(n - 1);
            let weight = along(&(source - base.cast(DType::F32)), x, axis);
            let (a, b) = (index_select(x, axis, &base), index_select(x, axis, &next));
            a * (1.0 - &weight) + b * weight
        }
        Resample::Cubic => {
            let source =
                if align { position * corner_ratio(n, to.size) } else { (position + 0.5) * ratio - 0.5 };
            let base = source.floor();
            let t = source - &base;
            let base = base.cast(DType::I64);
            let mut sum: Option<Val<'r, B>> = None;
            for (k, weight) in cubic_weights(&t).into_iter().enumerate() {
                let index = (&base + (k as i64 - 1)).max(0i64).min(n - 1);
                let part = index_select(x, axis, &index) * along(&weight, x, axis);
                sum = Some(sum.map_or_else(|| part.clone(), |s| s + &part));
            }
            sum.unwrap_or_else(|| x.clone())
        }
    }
}

/// [`interpolate`] by a filter as wide as the step when shrinking, so that no input is passed over
/// (`antialias=True`); linear or cubic (A = -0.5 then).
pub fn interpolate_antialias<'r, B: Builder>(
    x: &Val<'r, B>,
    axes: &[Axis],
    cubic: bool,
    align_corners: bool,
) -> Val<'r, B> {
    let first = x.rank() - axes.len();
    x.in_compute(|x| {
        axes.iter().enumerate().fold(x.clone(), |y, (i, to)| {
            let axis = first + i;
            let n = y.size(axis);
            let ratio = if align_corners {
                corner_ratio(n, to.size)
            } else {
                to.ratio.unwrap_or(n as f64 / to.size as f64)
            };
            let width = ratio.max(1.0);
            let reach = if cubic { 2.0 } else { 1.0 } * width;
            let centre = (y.scope().arange(y.dtype(), to.size).unsqueeze(1) + 0.5) * ratio;
            let position = y.scope().arange(y.dtype(), n).unsqueeze(0);
            // The window of inputs is rounded as PyTorch rounds it.
            let low = (&centre - reach + 0.5).floor().max(0.0);
            let high = (&centre + reach + 0.5).floor().min(n as f64);
            let distance = ((&position - &centre + 0.5) / width).abs();
            let weight = if cubic { keys(&distance, -0.5) } else { 1.0 - &distance };
            let reached = distance.lt(if cubic { 2.0 } else { 1.0 });
            let inside = position.ge(&low).and(position.lt(&high)).and(&reached);
            let weight = weight.keep_where(&inside, 0.0);
            let weight = &weight / weight.sum(&[1]);
            y.dot(&weight, &[], &[(axis, 1)]).move_axis(y.rank() - 1, axis)
        })
    })
}

/// Keys' cubic at a distance below 2.
fn keys<'r, B: Builder>(d: &Val<'r, B>, a: f64) -> Val<'r, B> {
    let near = ((d * (a + 2.0) - (a + 3.0)) * d) * d + 1.0;
    let far = ((d * a - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    near.keep_where(&d.lt(1.0), far)
}

/// The step between output positions when the corners' centres are kept.
fn corner_ratio(n: i64, size: i64) -> f64 {
    if size > 1 { (n - 1) as f64 / (size - 1) as f64 } else { 0.0 }
}

fn along<'r, B: Builder>(weight: &Val<'r, B>, x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    super::activation::along(&weight.cast(x.dtype()), axis, x.rank())
}

/// The weights of the four neighbours at distance `1 + t`, `t`, `1 - t`, `2 - t` (Keys' cubic, A = -0.75).
pub(crate) fn cubic_weights<'r, B: Builder>(t: &Val<'r, B>) -> [Val<'r, B>; 4] {
    const A: f64 = -0.75;
    let near = |d: &Val<'r, B>| ((d * (A + 2.0) - (A + 3.0)) * d) * d + 1.0;
    let far = |d: &Val<'r, B>| ((d * A - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    let rest = 1.0 - t;
    [far(&(t + 1.0)), near(t), near(&rest), far(&(rest + 1.0))]
}
