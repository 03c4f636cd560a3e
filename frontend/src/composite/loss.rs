//! Losses of a prediction against a target.

use super::Val;
use super::activation::{along, logsigmoid};
use super::softmax::log_softmax;
use super::special::xlogy;
use ttk_ir::{Builder, DType};

/// What becomes of the losses of the elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reduction {
    None,
    Mean,
    Sum,
}

impl Reduction {
    pub fn apply<'r, B: Builder>(self, losses: &Val<'r, B>) -> Val<'r, B> {
        match self {
            Reduction::None => losses.clone(),
            Reduction::Mean => losses.sum_all() / losses.numel() as f64,
            Reduction::Sum => losses.sum_all(),
        }
    }
}

pub fn mse_loss<'r, B: Builder>(x: &Val<'r, B>, target: &Val<'r, B>, reduction: Reduction) -> Val<'r, B> {
    reduction.apply(&(x - target).square())
}

pub fn l1_loss<'r, B: Builder>(x: &Val<'r, B>, target: &Val<'r, B>, reduction: Reduction) -> Val<'r, B> {
    reduction.apply(&(x - target).abs())
}

/// Quadratic within `beta` of the target, linear beyond.
pub fn smooth_l1_loss<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    reduction: Reduction,
    beta: f64,
) -> Val<'r, B> {
    if beta == 0.0 {
        return l1_loss(x, target, reduction);
    }
    let distance = (x - target).abs();
    let inside = distance.square() * 0.5 / beta;
    reduction.apply(&inside.keep_where(&distance.lt(beta), &distance - 0.5 * beta))
}

/// [`smooth_l1_loss`] times `delta`.
pub fn huber_loss<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    reduction: Reduction,
    delta: f64,
) -> Val<'r, B> {
    let distance = (x - target).abs();
    let inside = distance.square() * 0.5;
    reduction.apply(&inside.keep_where(&distance.le(delta), (&distance - 0.5 * delta) * delta))
}

/// Negative log likelihood of integer classes.
///
/// `log_probs` has its classes on axis 1 (or 0, of a vector); `target` (`i64`) lacks that axis. Targets
/// equal to `ignore_index` count for nothing. A mean is weighted.
pub fn nll_loss<'r, B: Builder>(
    log_probs: &Val<'r, B>,
    target: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
    ignore_index: i64,
    reduction: Reduction,
) -> Val<'r, B> {
    let axis = class_axis(log_probs);
    let ignored = target.eq(ignore_index);
    let class = target.masked(&ignored, 0i64);
    let picked = log_probs.gather(axis, &class.unsqueeze(axis)).squeeze(&[axis]);
    let weights = target_weights(&picked, &class, &ignored, weight);
    // A select and not a product, so that an ignored element's infinity stays out.
    let losses = (-(&picked * &weights)).masked(&ignored, 0.0);
    match reduction {
        Reduction::None => losses,
        Reduction::Sum => losses.sum_all(),
        Reduction::Mean => losses.sum_all() / weights.sum_all(),
    }
}

fn class_axis<B: Builder>(x: &Val<'_, B>) -> usize {
    if x.rank() == 1 { 0 } else { 1 }
}

/// The weight of each target's class, 0 for an ignored one.
fn target_weights<'r, B: Builder>(
    like: &Val<'r, B>,
    class: &Val<'r, B>,
    ignored: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
) -> Val<'r, B> {
    match weight {
        None => ignored.select(0.0, 1.0, like),
        Some(w) => {
            let flat = class.view(&[class.numel()]);
            w.cast(like.dtype()).gather(0, &flat).reshape(&class.shape()).masked(ignored, 0.0)
        }
    }
}

/// [`nll_loss`] of a log-softmax of `x`, mixed with the mean over all classes by `smoothing`.
pub fn cross_entropy<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
    ignore_index: i64,
    reduction: Reduction,
    smoothing: f64,
) -> Val<'r, B> {
    let axis = class_axis(x);
    let log_probs = log_softmax(x, axis);
    let likelihood = nll_loss(&log_probs, target, weight, ignore_index, reduction);
    if smoothing == 0.0 {
        return likelihood;
    }
    let weighted = match weight {
        Some(w) => &log_probs * along(&w.cast(x.dtype()), axis, x.rank()),
        None => log_probs.clone(),
    };
    let ignored = target.eq(ignore_index);
    let all = (-weighted.sum(&[axis]).squeeze(&[axis])).masked(&ignored, 0.0);
    let all = match reduction {
        Reduction::None => all,
        Reduction::Sum => all.sum_all(),
        Reduction::Mean => {
            let class = target.masked(&ignored, 0i64);
            all.sum_all() / target_weights(&all, &class, &ignored, weight).sum_all()
        }
    };
    likelihood * (1.0 - smoothing) + all * (smoothing / x.size(axis) as f64)
}

/// Cross entropy against a distribution over classes for each item; a mean is over items.
pub fn cross_entropy_probabilities<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
    reduction: Reduction,
    smoothing: f64,
) -> Val<'r, B> {
    let axis = class_axis(x);
    let classes = x.size(axis) as f64;
    let log_probs = log_softmax(x, axis);
    let target =
        if smoothing > 0.0 { target * (1.0 - smoothing) + smoothing / classes } else { target.clone() };
    let terms = &log_probs * target;
    let terms = weight.map_or_else(|| terms.clone(), |w| &terms * along(w, axis, x.rank()));
    let losses = -terms.sum(&[axis]).squeeze(&[axis]);
    match reduction {
        Reduction::None => losses,
        Reduction::Sum => losses.sum_all(),
        Reduction::Mean => losses.sum_all() / (x.numel() as f64 / classes),
    }
}

/// Binary cross entropy of probabilities; logarithms are limited to -100.
pub fn binary_cross_entropy<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
    reduction: Reduction,
) -> Val<'r, B> {
    let limited = |log: Val<'r, B>| log.masked(&log.lt(-100.0), -100.0);
    // Where a logarithm would be infinite its argument is replaced, to keep the derivative finite.
    let (zero, one) = (x.eq(0.0), x.eq(1.0));
    let log_x = limited(x.masked(&zero, 1.0).log()).masked(&zero, -100.0);
    let log_rest = limited((-x.masked(&one, 0.0)).log1p()).masked(&one, -100.0);
    let losses = (target - 1.0) * log_rest - target * log_x;
    reduction.apply(&weight.map_or_else(|| losses.clone(), |w| &losses * w))
}

/// Binary cross entropy of `sigmoid(x)`; `pos_weight` multiplies the loss of positive targets.
pub fn binary_cross_entropy_with_logits<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
    pos_weight: Option<&Val<'r, B>>,
    reduction: Reduction,
) -> Val<'r, B> {
    let log = logsigmoid(x);
    let log = match pos_weight {
        Some(p) => ((p - 1.0) * target + 1.0) * log,
        None => log,
    };
    let losses = (1.0 - target) * x - log;
    reduction.apply(&weight.map_or_else(|| losses.clone(), |w| &losses * w))
}

/// Kullback-Leibler divergence of log probabilities `x` from `target` (also logarithms if
/// `log_target`). (`batchmean` is a sum over `x.size(0)`.)
pub fn kl_div<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    reduction: Reduction,
    log_target: bool,
) -> Val<'r, B> {
    let losses = if log_target { target.exp() * (target - x) } else { xlogy(target, target) - target * x };
    reduction.apply(&losses)
}

/// Negative log likelihood of counts under a Poisson distribution of rate `exp(x)`, or `x`.
pub fn poisson_nll_loss<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    log_input: bool,
    full: bool,
    eps: f64,
    reduction: Reduction,
) -> Val<'r, B> {
    let mut losses = if log_input { x.exp() - target * x } else { x - target * (x + eps).log() };
    if full {
        // Stirling's formula for log(target!), of which nothing counts up to 1.
        let small = target.le(1.0);
        let t = target.masked(&small, 1.0);
        let stirling = &t * t.log() - &t + (&t * std::f64::consts::TAU).log() * 0.5;
        losses = losses + stirling.masked(&small, 0.0);
    }
    reduction.apply(&losses)
}

/// Negative log likelihood under a normal distribution with the given variance, at least `eps`. (The
/// limit passes the derivative on, as PyTorch's does.)
pub fn gaussian_nll_loss<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    variance: &Val<'r, B>,
    full: bool,
    eps: f64,
    reduction: Reduction,
) -> Val<'r, B> {
    let lifted = variance.masked(&variance.lt(eps), eps);
    let variance = variance + (lifted - variance).detach();
    let mut losses = (variance.log() + (x - target).square() / &variance) * 0.5;
    if full {
        losses = losses + 0.5 * std::f64::consts::TAU.ln();
    }
    reduction.apply(&losses)
}

/// `log(1 + exp(-target * x))`
pub fn soft_margin_loss<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    reduction: Reduction,
) -> Val<'r, B> {
    reduction.apply(&-logsigmoid(&(target * x)))
}

/// Cross entropy of one class against all others, averaged over classes (the last axis).
pub fn multilabel_soft_margin_loss<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    weight: Option<&Val<'r, B>>,
    reduction: Reduction,
) -> Val<'r, B> {
    let losses = -(target * logsigmoid(x) + (1.0 - target) * logsigmoid(&-x));
    let losses = weight.map_or_else(|| losses.clone(), |w| &losses * w);
    let last = x.rank() - 1;
    reduction.apply(&losses.mean(&[last]).squeeze(&[last]))
}

/// Whether a target holds probabilities rather than class numbers.
pub fn target_is_probabilities<B: Builder>(x: &Val<'_, B>, target: &Val<'_, B>) -> bool {
    target.dtype() != DType::I64 && x.shape() == target.shape()
}
