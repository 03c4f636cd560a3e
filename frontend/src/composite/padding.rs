//! Padding with what is there already.

use super::Val;
use ttk_ir::Builder;

/// What is put around the elements.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Padding {
    Constant(f64),
    /// The elements in reverse, without repeating the edge.
    Reflect,
    /// The edge.
    Replicate,
    /// The elements from the other end.
    Circular,
}

/// `(low, high)` elements around each axis; negative amounts crop.
pub fn pad<'r, B: Builder>(x: &Val<'r, B>, amounts: &[(i64, i64)], kind: Padding) -> Val<'r, B> {
    if let Padding::Constant(value) = kind {
        return x.pad(amounts, value);
    }
    amounts.iter().enumerate().fold(x.clone(), |x, (axis, &(low, high))| pad_axis(&x, axis, low, high, kind))
}

fn pad_axis<'r, B: Builder>(x: &Val<'r, B>, axis: usize, low: i64, high: i64, kind: Padding) -> Val<'r, B> {
    // What is cut off is gone before the other side is filled with what comes round.
    if kind == Padding::Circular && (low < 0 || high < 0) {
        let n = x.size(axis);
        let (from, to) = ((-low).max(0), n - (-high).max(0));
        return pad_axis(&x.narrow(axis, from, to - from), axis, low.max(0), high.max(0), kind);
    }
    let n = x.size(axis);
    let mut parts = Vec::new();
    if low > 0 {
        parts.push(match kind {
            Padding::Constant(value) => return x.pad_axis(axis, low, high, value),
            Padding::Reflect => x.narrow(axis, 1, low).flip(&[axis]),
            Padding::Replicate => repeat_edge(x, axis, 0, low),
            Padding::Circular => x.narrow(axis, n - low, low),
        });
    }
    let (from, to) = ((-low).max(0), n - (-high).max(0));
    parts.push(x.narrow(axis, from, to - from));
    if high > 0 {
        parts.push(match kind {
            Padding::Constant(value) => return x.pad_axis(axis, low, high, value),
            Padding::Reflect => x.narrow(axis, n - 1 - high, high).flip(&[axis]),
            Padding::Replicate => repeat_edge(x, axis, n - 1, high),
            Padding::Circular => x.narrow(axis, 0, high),
        });
    }
    super::concat(&parts, axis)
}

fn repeat_edge<'r, B: Builder>(x: &Val<'r, B>, axis: usize, at: i64, count: i64) -> Val<'r, B> {
    let mut shape = x.shape();
    shape[axis] = count.into();
    x.narrow(axis, at, 1).broadcast_to(&shape)
}
