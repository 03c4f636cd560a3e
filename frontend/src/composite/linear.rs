//! Products of vectors and matrices.

use super::{Val, broadcast_shapes};
use ttk_ir::{Builder, Dim, Shape};

/// `torch.matmul`: vectors, matrices and batches of them, as NumPy's `@`.
pub fn matmul<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    let (m, n) = (x.rank(), y.rank());
    // A vector or one matrix on the right is shared by every row on the left: no batch is needed.
    if n <= 2 {
        return x.dot(y, &[], &[(m - 1, n.saturating_sub(2))]);
    }
    if m == 1 {
        return matmul(&x.unsqueeze(0), y).squeeze(&[n - 2]);
    }
    let (xs, ys) = (x.shape(), y.shape());
    let Some(lead) = broadcast_shapes(&[&xs[..m - 2], &ys[..n - 2]]) else {
        return x.dot(y, &[], &[(m - 1, n - 2)]);
    };
    let with = |tail: &[Dim]| -> Shape { lead.iter().cloned().chain(tail.iter().cloned()).collect() };
    let (x, y) = (x.broadcast_to(&with(&xs[m - 2..])), y.broadcast_to(&with(&ys[n - 2..])));
    let batch: Vec<(usize, usize)> = (0..lead.len()).map(|a| (a, a)).collect();
    x.dot(&y, &batch, &[(lead.len() + 1, lead.len())])
}

/// `x Wᵀ + b`; `weight` is `[out, in]`, or `[in]`.
pub fn linear<'r, B: Builder>(x: &Val<'r, B>, weight: &Val<'r, B>, bias: Option<&Val<'r, B>>) -> Val<'r, B> {
    let y = x.dot(weight, &[], &[(x.rank() - 1, weight.rank() - 1)]);
    bias.map_or_else(|| y.clone(), |b| &y + b)
}

/// `x Wₒ y` for each output `o`; `weight` is `[out, in1, in2]`.
pub fn bilinear<'r, B: Builder>(
    x: &Val<'r, B>,
    y: &Val<'r, B>,
    weight: &Val<'r, B>,
    bias: Option<&Val<'r, B>>,
) -> Val<'r, B> {
    let last = x.rank() - 1;
    let half = x.dot(weight, &[], &[(last, 1)]);
    let batch: Vec<(usize, usize)> = (0..last).map(|a| (a, a)).collect();
    let out = half.dot(y, &batch, &[(last + 1, last)]);
    bias.map_or_else(|| out.clone(), |b| &out + b)
}

/// The sum of products of two vectors.
pub fn dot<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    x.dot(y, &[], &[(0, 0)])
}

/// Every product of an element of `x` and one of `y`.
pub fn outer<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    x.unsqueeze(1) * y.unsqueeze(0)
}

/// `beta * x + alpha * product`, where a `beta` of 0 leaves `x` out altogether, NaN included.
pub fn blend<'r, B: Builder>(x: &Val<'r, B>, product: &Val<'r, B>, beta: f64, alpha: f64) -> Val<'r, B> {
    let product = if alpha == 1.0 { product.clone() } else { product * alpha };
    if beta == 0.0 {
        return product;
    }
    if beta == 1.0 { x + product } else { x * beta + product }
}

/// `beta * x + alpha * (a @ b)`: `addmm`, `addmv`, `baddbmm`.
pub fn addmm<'r, B: Builder>(
    x: &Val<'r, B>,
    a: &Val<'r, B>,
    b: &Val<'r, B>,
    beta: f64,
    alpha: f64,
) -> Val<'r, B> {
    blend(x, &matmul(a, b), beta, alpha)
}

/// `beta * x + alpha * outer(a, b)`
pub fn addr<'r, B: Builder>(
    x: &Val<'r, B>,
    a: &Val<'r, B>,
    b: &Val<'r, B>,
    beta: f64,
    alpha: f64,
) -> Val<'r, B> {
    blend(x, &outer(a, b), beta, alpha)
}

/// `beta * x + alpha * sum over the batch of (a @ b)`
pub fn addbmm<'r, B: Builder>(
    x: &Val<'r, B>,
    a: &Val<'r, B>,
    b: &Val<'r, B>,
    beta: f64,
    alpha: f64,
) -> Val<'r, B> {
    blend(x, &a.dot(b, &[], &[(0, 0), (2, 1)]), beta, alpha)
}

/// The sum of products over pairs of axes.
pub fn tensordot<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>, pairs: &[(usize, usize)]) -> Val<'r, B> {
    x.dot(y, &[], pairs)
}

/// The Kronecker product; the shorter shape gets axes in front.
pub fn kron<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> Val<'r, B> {
    let rank = x.rank().max(y.rank());
    let sizes =
        |v: &Val<'r, B>| -> Vec<i64> { std::iter::repeat_n(1, rank - v.rank()).chain(v.sizes()).collect() };
    let (a, b) = (sizes(x), sizes(y));
    let left: Vec<i64> = a.iter().flat_map(|&n| [n, 1]).collect();
    let right: Vec<i64> = b.iter().flat_map(|&n| [1, n]).collect();
    let out: Vec<i64> = a.iter().zip(&b).map(|(n, m)| n * m).collect();
    (x.view(&left) * y.view(&right)).view(&out)
}

/// The cross product of vectors of 3 along an axis.
pub fn cross<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    let (x, y) = super::broadcast(x, y);
    let turn = |v: &Val<'r, B>, k: i64| super::layout::roll(v, &[(axis, k)]);
    turn(&x, -1) * turn(&y, -2) - turn(&x, -2) * turn(&y, -1)
}

/// `x` to a power of at least 0, each matrix by itself.
pub fn matrix_power<'r, B: Builder>(x: &Val<'r, B>, power: u32) -> Val<'r, B> {
    let n = x.size(x.rank() - 1);
    let one = super::layout::diag_embed(&x.scope().full(x.dtype(), &[Dim::Fixed(n)], 1.0), 0, 0, 1);
    let one = one.broadcast_to(&x.shape());
    let mut result = if x.dtype().is_float() { super::arithmetic::attached(&one, x) } else { one };
    let (mut square, mut left, mut fresh) = (x.clone(), power, true);
    while left > 0 {
        if left & 1 == 1 {
            result = if fresh { square.clone() } else { matmul(&result, &square) };
            fresh = false;
        }
        left >>= 1;
        if left > 0 {
            square = matmul(&square, &square);
        }
    }
    result
}
