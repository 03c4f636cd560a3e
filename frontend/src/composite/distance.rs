//! Distances between rows.

use super::Val;
use super::reduction::vector_norm;
use ttk_ir::Builder;

/// `|x - y + eps|_p` along the last axis, which goes unless `keep`.
pub fn pairwise_distance<'r, B: Builder>(
    x: &Val<'r, B>,
    y: &Val<'r, B>,
    p: f64,
    eps: f64,
    keep: bool,
) -> Val<'r, B> {
    let gap = x - y + eps;
    let last = gap.rank() - 1;
    let norm = vector_norm(&gap, p, &[last]);
    if keep { norm } else { norm.squeeze(&[last]) }
}

/// The cosine of the angle between `x` and `y` along an axis, which goes.
pub fn cosine_similarity<'r, B: Builder>(
    x: &Val<'r, B>,
    y: &Val<'r, B>,
    axis: usize,
    eps: f64,
) -> Val<'r, B> {
    let (x, y) = super::broadcast(x, y);
    let size = |v: &Val<'r, B>| {
        let norm = vector_norm(v, 2.0, &[axis]);
        super::arithmetic::clamp(&norm, Some(eps), None)
    };
    (&x / size(&x) * (&y / size(&y))).sum(&[axis]).squeeze(&[axis])
}

/// Distances between all rows: `x` is `[..., n, d]`, `y` `[..., m, d]`, the result `[..., n, m]`.
pub fn cdist<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>, p: f64) -> Val<'r, B> {
    let rank = x.rank();
    let gap = x.unsqueeze(rank - 1) - y.unsqueeze(y.rank() - 2);
    let last = gap.rank() - 1;
    vector_norm(&gap, p, &[last]).squeeze(&[last])
}

/// The distances between the rows of a matrix, each pair once, in row-major order.
pub fn pdist<'r, B: Builder>(x: &Val<'r, B>, p: f64) -> Val<'r, B> {
    let n = x.size(0);
    let all = cdist(x, x, p);
    let rows: Vec<Val<'r, B>> =
        (0..n - 1).map(|i| all.narrow(0, i, 1).narrow(1, i + 1, n - 1 - i).view(&[n - 1 - i])).collect();
    if rows.is_empty() { all.view(&[all.numel()]).narrow(0, 0, 0) } else { super::concat(&rows, 0) }
}
