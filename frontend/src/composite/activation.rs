//! Activation functions.

use super::Val;
use super::special::softplus_of;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};
use ttk_ir::{Builder, Dim, Shape, Unary};

/// `max(x, 0)`, with slope 0 at 0; NaN stays.
pub fn relu<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.unary(Unary::Relu)
}

/// `x` limited to `low..=high`, with slope 0 at both ends.
pub fn hardtanh<'r, B: Builder>(x: &Val<'r, B>, low: f64, high: f64) -> Val<'r, B> {
    super::arithmetic::clamp(x, Some(low), Some(high))
}

pub fn relu6<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    hardtanh(x, 0.0, 6.0)
}

pub fn leaky_relu<'r, B: Builder>(x: &Val<'r, B>, slope: f64) -> Val<'r, B> {
    x.keep_where(&x.gt(0.0), x * slope)
}

/// [`leaky_relu`] with the mean of the slopes that training draws from.
pub fn rrelu_eval<'r, B: Builder>(x: &Val<'r, B>, lower: f64, upper: f64) -> Val<'r, B> {
    leaky_relu(x, (lower + upper) / 2.0)
}

/// `scale * x` above 0, `scale * alpha * (exp(input_scale * x) - 1)` below.
pub fn elu<'r, B: Builder>(x: &Val<'r, B>, alpha: f64, scale: f64, input_scale: f64) -> Val<'r, B> {
    x.in_compute(|x| {
        let low = x.le(0.0);
        let below = (x.keep_where(&low, 0.0) * input_scale).expm1() * (alpha * scale);
        below.keep_where(&low, x * scale)
    })
}

pub fn selu<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    elu(x, 1.673_263_242_354_377_2, 1.050_700_987_355_480_5, 1.0)
}

pub fn celu<'r, B: Builder>(x: &Val<'r, B>, alpha: f64) -> Val<'r, B> {
    elu(x, alpha, 1.0, 1.0 / alpha)
}

/// Which form of [`gelu`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gelu {
    /// With the error function.
    None,
    /// The approximation by `tanh`.
    Tanh,
}

/// `x` times the normal distribution function at `x`.
pub fn gelu<'r, B: Builder>(x: &Val<'r, B>, form: Gelu) -> Val<'r, B> {
    x.in_compute(|x| match form {
        Gelu::None => x * 0.5 * ((x * FRAC_1_SQRT_2).erf() + 1.0),
        Gelu::Tanh => {
            let cube = x * x * x;
            let inner = (x + cube * 0.044715) * (SQRT_2 * FRAC_2_SQRT_PI * 0.5);
            x * 0.5 * (inner.tanh() + 1.0)
        }
    })
}

/// `1 / (1 + exp(-x))`
pub fn sigmoid<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| x.unary(Unary::Sigmoid))
}

/// `log(sigmoid(x))`
pub fn logsigmoid<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| {
        let up = x.ge(0.0);
        let size = (-x).keep_where(&up, x);
        x.masked(&up, 0.0) - size.exp().log1p()
    })
}

pub fn silu<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| x * sigmoid(x))
}

/// `x * tanh(log(1 + exp(x)))`
pub fn mish<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| x * softplus(x, 1.0, 20.0).tanh())
}

/// `log(1 + exp(beta * x)) / beta`, and `x` itself where `beta * x` is above `threshold`.
pub fn softplus<'r, B: Builder>(x: &Val<'r, B>, beta: f64, threshold: f64) -> Val<'r, B> {
    x.in_compute(|x| {
        let scaled = x * beta;
        let linear = scaled.gt(threshold);
        (scaled.masked(&linear, 0.0).exp().log1p() / beta).masked(&linear, x)
    })
}

pub fn hardsigmoid<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| relu6(&(x + 3.0)) / 6.0)
}

pub fn hardswish<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| x * relu6(&(x + 3.0)) / 6.0)
}

pub fn softshrink<'r, B: Builder>(x: &Val<'r, B>, lambda: f64) -> Val<'r, B> {
    let low = (x + lambda).keep_where(&x.lt(-lambda), x * 0.0);
    (x - lambda).keep_where(&x.gt(lambda), low)
}

pub fn hardshrink<'r, B: Builder>(x: &Val<'r, B>, lambda: f64) -> Val<'r, B> {
    x.masked(&x.ge(-lambda).and(x.le(lambda)), 0.0)
}

pub fn tanhshrink<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(|x| x - x.tanh())
}

/// `x / (1 + |x|)`
pub fn softsign<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x / (x.abs() + 1.0)
}

/// `x` above `threshold`, else `value`.
pub fn threshold<'r, B: Builder>(x: &Val<'r, B>, threshold: f64, value: f64) -> Val<'r, B> {
    x.masked(&x.le(threshold), value)
}

/// A leaky ReLU with a learned slope: one, or one for each position of axis 1.
pub fn prelu<'r, B: Builder>(x: &Val<'r, B>, weight: &Val<'r, B>) -> Val<'r, B> {
    let weight = if weight.numel() == 1 { weight.view(&[]) } else { along(weight, 1, x.rank()) };
    x.keep_where(&x.gt(0.0), x * weight)
}

/// The first half of an axis times the sigmoid of the second.
pub fn glu<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    let half = x.size(axis) / 2;
    x.in_compute(|x| x.narrow(axis, 0, half) * sigmoid(&x.narrow(axis, half, half)))
}

/// `log(1 + exp(x))` for all `x`, without a threshold.
pub fn log1p_exp<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    x.in_compute(softplus_of)
}

/// A vector reshaped to lie along `axis` of a value of `rank` axes.
pub(crate) fn along<'r, B: Builder>(vector: &Val<'r, B>, axis: usize, rank: usize) -> Val<'r, B> {
    let mut shape: Shape = (0..rank).map(|_| Dim::Fixed(1)).collect();
    if let Some(place) = shape.get_mut(axis) {
        *place = Dim::Fixed(vector.numel());
    }
    vector.reshape(&shape)
}
