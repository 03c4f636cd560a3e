//! Attention.

use super::softmax::{safe_softmax, softmax};
use super::{Val, concat, layout};
use ttk_ir::{Builder, DType, Dim};

/// What [`scaled_dot_product_attention`] does besides.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Position `i` sees positions up to `i` only.
    pub is_causal: bool,
    /// Multiplies the scores; `1 / sqrt(width)` if not given.
    pub scale: Option<f64>,
    /// Queries have a multiple of the heads of keys and values (axis -3), which are repeated.
    pub enable_gqa: bool,
}

/// Under a causal mask, blocks of queries are taken by themselves, with the keys that they see: at most so many
/// blocks of at least so many queries. Nearly half of the scores are never made then. (Lengths that are no multiple
/// are taken whole, so that a length that varies is one graph.)
const BLOCKS: i64 = 8;
const LEAST_BLOCK: i64 = 128;

/// `softmax(q kᵀ * scale + mask) v`; `q` is `[..., L, E]`, `k` `[..., S, E]`, `v` `[..., S, Ev]`.
///
/// A `bool` mask tells what is seen, a mask of floats is added. `dropout` multiplies the weights: 0 or
/// `1 / (1 - p)`, of the shape `[..., L, S]`. A row that sees nothing gives 0.
pub fn scaled_dot_product_attention<'r, B: Builder>(
    q: &Val<'r, B>,
    k: &Val<'r, B>,
    v: &Val<'r, B>,
    mask: Option<&Val<'r, B>>,
    dropout: Option<&Val<'r, B>>,
    settings: Attention,
) -> Val<'r, B> {
    let rank = q.rank();
    let (k, v) = if settings.enable_gqa && rank >= 3 {
        let shared =
            |x: &Val<'r, B>| layout::repeat_interleave(x, q.size(rank - 3) / x.size(rank - 3), rank - 3);
        (shared(k), shared(v))
    } else {
        (k.clone(), v.clone())
    };
    let scale = settings.scale.unwrap_or_else(|| 1.0 / (q.size(rank - 1) as f64).sqrt());
    // The attention of some queries, the first of them at position `start`, to some keys.
    let attend =
        |q: &Val<'r, B>, k: &Val<'r, B>, v: &Val<'r, B>, dropout: Option<&Val<'r, B>>, start: i64| {
            let swapped = k.transpose(k.rank() - 2, k.rank() - 1);
            let mut scores = super::linear::matmul(q, &swapped).cast(q.dtype().compute()) * scale;
            let axis = scores.rank() - 1;
            if settings.is_causal {
                let sizes = [Dim::Fixed(scores.size(axis - 1)), Dim::Fixed(scores.size(axis))];
                let (row, column) =
                    (q.scope().iota(DType::I32, &sizes, 0), q.scope().iota(DType::I32, &sizes, 1));
                let row = if start > 0 { row + start } else { row };
                scores = scores.keep_where(&column.le(row), f64::NEG_INFINITY);
            }
            let weights = match mask {
                // Under the causal mask alone each row sees its first position at least.
                None => softmax(&scores, axis),
                Some(mask) if mask.dtype() == DType::Bool => {
                    safe_softmax(&scores.keep_where(mask, f64::NEG_INFINITY), axis)
                }
                Some(mask) => safe_softmax(&(&scores + mask.cast(scores.dtype())), axis),
            };
            let weights = dropout.map_or_else(|| weights.clone(), |d| &weights * d.cast(weights.dtype()));
            super::linear::matmul(&weights.cast(v.dtype()), v)
        };
    let (rows, columns) = (q.size(rank - 2), k.size(k.rank() - 2));
    let block = (rows / BLOCKS).max(LEAST_BLOCK);
    if !settings.is_causal || mask.is_some() || rows != columns || rows % block != 0 || rows < 2 * block {
        return attend(q, &k, &v, dropout, 0);
    }
    let parts: Vec<Val<'r, B>> = (0..rows / block)
        .map(|i| {
            let (start, seen) = (i * block, (i + 1) * block);
            let part = |x: &Val<'r, B>, start: i64, len: i64| x.narrow(x.rank() - 2, start, len);
            let dropout = dropout.map(|d| part(d, start, block).narrow(d.rank() - 1, 0, seen));
            attend(&part(q, start, block), &part(&k, 0, seen), &part(&v, 0, seen), dropout.as_ref(), start)
        })
        .collect();
    let axis = parts[0].rank() - 2;
    concat(&parts, axis)
}
