//! Losses that compare scores or distances with a margin.

use super::Val;
use super::activation::relu;
use super::distance::pairwise_distance;
use super::loss::Reduction;
use ttk_ir::{Builder, DType, ReduceOp, ScatterOp};

/// `x` where the target is 1, `max(margin - x, 0)` where it is -1.
pub fn hinge_embedding_loss<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    margin: f64,
    reduction: Reduction,
) -> Val<'r, B> {
    let far = relu(&(margin - x)).masked(&target.eq(1.0), 0.0);
    reduction.apply(&(far + x.masked(&target.eq(-1.0), 0.0)))
}

pub fn margin_ranking_loss<'r, B: Builder>(
    x: &Val<'r, B>,
    y: &Val<'r, B>,
    target: &Val<'r, B>,
    margin: f64,
    reduction: Reduction,
) -> Val<'r, B> {
    reduction.apply(&relu(&(-(target * (x - y)) + margin)))
}

/// `1 - cos(x, y)` where the target is 1, `max(cos - margin, 0)` where it is -1; along the last axis.
pub fn cosine_embedding_loss<'r, B: Builder>(
    x: &Val<'r, B>,
    y: &Val<'r, B>,
    target: &Val<'r, B>,
    margin: f64,
    reduction: Reduction,
) -> Val<'r, B> {
    let last = x.rank() - 1;
    let dot = |a: &Val<'r, B>, b: &Val<'r, B>| (a * b).sum(&[last]).squeeze(&[last]);
    let size = (dot(x, x) + 1e-12) * (dot(y, y) + 1e-12);
    let cos = dot(x, y) / size.sqrt();
    let same = (1.0 - &cos).keep_where(&target.eq(1.0), 0.0);
    let other = relu(&(cos - margin)).keep_where(&target.eq(-1.0), 0.0);
    reduction.apply(&(same + other))
}

/// `max(margin + d(anchor, positive) - d(anchor, negative), 0)` along the last axis; with `swap` the
/// nearer of anchor and positive is what the negative is compared with.
#[allow(clippy::too_many_arguments)]
pub fn triplet_margin_loss<'r, B: Builder>(
    anchor: &Val<'r, B>,
    positive: &Val<'r, B>,
    negative: &Val<'r, B>,
    margin: f64,
    p: f64,
    eps: f64,
    swap: bool,
    reduction: Reduction,
) -> Val<'r, B> {
    let near = pairwise_distance(anchor, positive, p, eps, false);
    let mut far = pairwise_distance(anchor, negative, p, eps, false);
    if swap {
        far = far.min(pairwise_distance(positive, negative, p, eps, false));
    }
    reduction.apply(&relu(&(near - far + margin)))
}

/// For each row of `x` (classes last): the mean over the wrong classes `j` of
/// `weight[target] * max(margin - x[target] + x[j], 0) ^ p`.
pub fn multi_margin_loss<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    p: i64,
    margin: f64,
    weight: Option<&Val<'r, B>>,
    reduction: Reduction,
) -> Val<'r, B> {
    let last = x.rank() - 1;
    let class = target.reshape(&x.shape()[..last]).unsqueeze(last);
    let own = x.gather(last, &class);
    let mut terms = relu(&(margin - own + x));
    if p == 2 {
        terms = terms.square();
    }
    if let Some(w) = weight {
        let flat = class.view(&[class.numel()]);
        terms = terms * w.gather(0, &flat).reshape(&class.shape());
    }
    let right = x.scope().iota(DType::I64, &x.shape(), last).eq(&class);
    let losses = terms.masked(&right, 0.0).mean(&[last]).squeeze(&[last]);
    reduction.apply(&losses)
}

/// For each row of `x` (classes last): over the row's target classes, those before the first -1, and all
/// other classes `i`, the sum of `max(1 - x[target] + x[i], 0)`, divided by the number of classes.
pub fn multilabel_margin_loss<'r, B: Builder>(
    x: &Val<'r, B>,
    target: &Val<'r, B>,
    reduction: Reduction,
) -> Val<'r, B> {
    let last = x.rank() - 1;
    let listed = target.ge(0i64).cast(DType::I64).scan(ReduceOp::Min, last);
    let class = target.masked(&listed.eq(0i64), 0i64);
    let is_target = listed.full_like(0.0).scatter(last, ScatterOp::Max, &class, &listed).ne(0i64);
    let own = x.gather(last, &class).unsqueeze(last + 1);
    let terms = relu(&(1.0 - own + x.unsqueeze(last)));
    let counts = listed.ne(0i64).unsqueeze(last + 1);
    let others = is_target.complement().unsqueeze(last);
    let losses = terms.keep_where(&counts.and(&others), 0.0);
    let total = losses.sum(&[last, last + 1]).squeeze(&[last, last + 1]);
    reduction.apply(&(total / x.size(last) as f64))
}
