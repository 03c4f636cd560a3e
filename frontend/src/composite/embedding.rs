//! Tables looked up by number.

use super::Val;
use ttk_ir::{Builder, DType, Dim, Shape};

/// Rows of `weight` (`[count, width]`) by number; the width is the new last axis. No derivative goes to
/// the row `padding`.
pub fn embedding<'r, B: Builder>(
    weight: &Val<'r, B>,
    index: &Val<'r, B>,
    padding: Option<i64>,
) -> Val<'r, B> {
    let (count, width) = (Dim::Fixed(index.numel()), weight.shape()[1].clone());
    let column = index.reshape(&[count.clone(), Dim::Fixed(1)]);
    let rows = weight.gather(0, &column.broadcast_to(&[count, width.clone()]));
    let rows = match padding {
        Some(row) => rows.masked(&column.eq(row), rows.detach()),
        None => rows,
    };
    let mut shape: Shape = index.shape();
    shape.push(width);
    rows.reshape(&shape)
}

/// 1 at the position that each number names, 0 elsewhere; `i64`, with `classes` as the new last axis.
pub fn one_hot<'r, B: Builder>(index: &Val<'r, B>, classes: i64) -> Val<'r, B> {
    let mut shape = index.shape();
    let last = shape.len();
    shape.push(Dim::Fixed(classes));
    let position = index.scope().iota(DType::I64, &shape, last);
    position.eq(index.unsqueeze(last)).cast(DType::I64)
}

/// How [`embedding_bag`] joins the rows of a bag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BagMode {
    Sum,
    Mean,
    Max,
}

/// The rows of each bag joined: `index` is `[bags, size]`.
pub fn embedding_bag<'r, B: Builder>(
    weight: &Val<'r, B>,
    index: &Val<'r, B>,
    mode: BagMode,
    per_sample: Option<&Val<'r, B>>,
) -> Val<'r, B> {
    let rows = embedding(weight, index, None);
    let rows = per_sample.map_or_else(|| rows.clone(), |w| &rows * w.unsqueeze(2));
    let joined = match mode {
        BagMode::Sum => rows.sum(&[1]),
        BagMode::Mean => rows.mean(&[1]),
        BagMode::Max => super::reduction::max_along(&rows, 1).0,
    };
    joined.squeeze(&[1])
}
