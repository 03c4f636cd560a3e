//! Normalisations: to zero mean and unit variance over some axes, then scale and shift.
//!
//! Statistics and arithmetic are in `f32` at least; the result has the input's element type.

use super::activation::along;
use super::{Val, reduction};
use ttk_ir::Builder;
use ttk_ir::op::WindowDim;

/// Over the last axes, as many as `weight` has, or `count` where there is none.
pub fn layer_norm<'r, B: Builder>(
    x: &Val<'r, B>,
    count: usize,
    weight: Option<&Val<'r, B>>,
    bias: Option<&Val<'r, B>>,
    eps: f64,
) -> Val<'r, B> {
    let axes: Vec<usize> = (x.rank() - count..x.rank()).collect();
    let wide = x.cast(x.dtype().compute());
    affine(&standardize(&wide, &axes, eps), weight, bias).cast(x.dtype())
}

/// Over the last axes by their root mean square.
pub fn rms_norm<'r, B: Builder>(
    x: &Val<'r, B>,
    count: usize,
    weight: Option<&Val<'r, B>>,
    eps: f64,
) -> Val<'r, B> {
    let axes: Vec<usize> = (x.rank() - count..x.rank()).collect();
    let wide = x.cast(x.dtype().compute());
    let y = &wide / (wide.square().mean(&axes) + eps).sqrt();
    affine(&y, weight, None).cast(x.dtype())
}

/// `(x - mean) / sqrt(variance + eps)` with the statistics of the axes themselves.
fn standardize<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize], eps: f64) -> Val<'r, B> {
    let centred = x - x.mean(axes);
    let variance = centred.square().mean(axes);
    centred / (variance + eps).sqrt()
}

fn affine<'r, B: Builder>(
    y: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
    bias: Option<&Val<'r, B>>,
) -> Val<'r, B> {
    let y = weight.map_or_else(|| y.clone(), |w| y * w.cast(y.dtype()));
    bias.map_or_else(|| y.clone(), |b| &y + b.cast(y.dtype()))
}

/// [`affine`] with one number for each position of `axis`.
fn channel_affine<'r, B: Builder>(
    y: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
    bias: Option<&Val<'r, B>>,
    axis: usize,
) -> Val<'r, B> {
    let shaped = |v: &Val<'r, B>| along(v, axis, y.rank());
    affine(y, weight.map(shaped).as_ref(), bias.map(shaped).as_ref())
}

/// The running mean and variance of a batch normalisation; both are vectors over axis 1.
#[derive(Debug)]
pub struct RunningStats<'r, B: Builder> {
    pub mean: Val<'r, B>,
    pub variance: Val<'r, B>,
}

/// Normalises each channel (axis 1) by statistics of the batch, and gives the moved running statistics:
/// `(1 - momentum) * old + momentum * new`, the new variance without bias.
pub fn batch_norm_train<'r, B: Builder>(
    x: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
    bias: Option<&Val<'r, B>>,
    running: Option<&RunningStats<'r, B>>,
    momentum: f64,
    eps: f64,
) -> (Val<'r, B>, Option<RunningStats<'r, B>>) {
    let axes: Vec<usize> = (0..x.rank()).filter(|&a| a != 1).collect();
    let count: i64 = axes.iter().map(|&a| x.size(a)).product();
    let wide = x.cast(x.dtype().compute());
    let mean = wide.mean(&axes);
    let centred = &wide - &mean;
    let variance = centred.square().mean(&axes);
    let y = centred / (&variance + eps).sqrt();
    let y = channel_affine(&y, weight, bias, 1).cast(x.dtype());

    let channels = [x.size(1)];
    let moved = running.map(|old| {
        let blend = |old: &Val<'r, B>, new: &Val<'r, B>| {
            let new = new.detach().view(&channels).cast(old.dtype());
            old * (1.0 - momentum) + new * momentum
        };
        let unbiased = &variance * (count as f64 / (count - 1) as f64);
        RunningStats { mean: blend(&old.mean, &mean), variance: blend(&old.variance, &unbiased) }
    });
    (y, moved)
}

/// Normalises each channel (axis 1) by running statistics.
pub fn batch_norm_eval<'r, B: Builder>(
    x: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
    bias: Option<&Val<'r, B>>,
    running: &RunningStats<'r, B>,
    eps: f64,
) -> Val<'r, B> {
    let wide = x.cast(x.dtype().compute());
    let shaped = |v: &Val<'r, B>| along(&v.cast(wide.dtype()), 1, x.rank());
    let deviation = (running.variance.cast(wide.dtype()) + eps).sqrt();
    let y = (&wide - shaped(&running.mean)) / shaped(&deviation);
    channel_affine(&y, weight, bias, 1).cast(x.dtype())
}

/// Normalises groups of channels (axis 1), each item of the batch by itself.
pub fn group_norm<'r, B: Builder>(
    x: &Val<'r, B>,
    groups: i64,
    weight: Option<&Val<'r, B>>,
    bias: Option<&Val<'r, B>>,
    eps: f64,
) -> Val<'r, B> {
    let shape = x.shape();
    let wide = x.cast(x.dtype().compute());
    let grouped = wide.unflatten(1, &[groups, x.size(1) / groups]);
    let axes: Vec<usize> = (2..grouped.rank()).collect();
    let y = standardize(&grouped, &axes, eps).reshape(&shape);
    channel_affine(&y, weight, bias, 1).cast(x.dtype())
}

/// Normalises each channel of each item by itself; running statistics, where they are kept, are the
/// mean over the items.
pub fn instance_norm<'r, B: Builder>(
    x: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
    bias: Option<&Val<'r, B>>,
    running: Option<&RunningStats<'r, B>>,
    momentum: f64,
    eps: f64,
) -> (Val<'r, B>, Option<RunningStats<'r, B>>) {
    let axes: Vec<usize> = (2..x.rank()).collect();
    let count: i64 = axes.iter().map(|&a| x.size(a)).product();
    let wide = x.cast(x.dtype().compute());
    let mean = wide.mean(&axes);
    let centred = &wide - &mean;
    let variance = centred.square().mean(&axes);
    let y = centred / (&variance + eps).sqrt();
    let y = channel_affine(&y, weight, bias, 1).cast(x.dtype());
    let channels = [x.size(1)];
    let moved = running.map(|old| {
        let blend = |old: &Val<'r, B>, new: &Val<'r, B>| {
            let new = new.detach().mean(&[0]).view(&channels).cast(old.dtype());
            old * (1.0 - momentum) + new * momentum
        };
        let unbiased = &variance * (count as f64 / (count - 1) as f64);
        RunningStats { mean: blend(&old.mean, &mean), variance: blend(&old.variance, &unbiased) }
    });
    (y, moved)
}

/// `x / max(norm, eps)` along an axis.
pub fn normalize<'r, B: Builder>(x: &Val<'r, B>, p: f64, axis: usize, eps: f64) -> Val<'r, B> {
    let norm = reduction::vector_norm(x, p, &[axis]);
    x / super::arithmetic::clamp(&norm, Some(eps), None)
}

/// Divides by `(k + alpha * mean of squares over neighbouring channels) ^ beta`.
pub fn local_response_norm<'r, B: Builder>(
    x: &Val<'r, B>,
    size: i64,
    alpha: f64,
    beta: f64,
    k: f64,
) -> Val<'r, B> {
    let squares = x.square().pad_axis(1, size / 2, (size - 1) / 2, 0.0);
    let windows = squares.window(&[WindowDim { axis: 1, size, stride: 1, dilation: 1 }]);
    let last = windows.rank() - 1;
    let mean = windows.mean(&[last]).squeeze(&[last]);
    x / (mean * alpha + k).pow(beta)
}
