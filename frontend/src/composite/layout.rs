//! Triangles, diagonals, and other rearrangements.

use super::Val;
use ttk_ir::op::{PadDim, SliceDim};
use ttk_ir::{Builder, DType, Dim, Shape};

/// Which elements of the last two axes have `column - row <= diagonal` (`bool`, of shape `[n, m]`).
fn lower_mask<'r, B: Builder>(x: &Val<'r, B>, diagonal: i64) -> Val<'r, B> {
    let rank = x.rank();
    let sizes: Shape = x.shape()[rank - 2..].into();
    let row = x.scope().iota(DType::I64, &sizes, 0);
    let column = x.scope().iota(DType::I64, &sizes, 1);
    column.le(if diagonal == 0 { row } else { row + diagonal })
}

/// The lower triangle of the last two axes, zero elsewhere.
pub fn tril<'r, B: Builder>(x: &Val<'r, B>, diagonal: i64) -> Val<'r, B> {
    x.keep_where(&lower_mask(x, diagonal), 0i64)
}

/// The upper triangle of the last two axes, zero elsewhere.
pub fn triu<'r, B: Builder>(x: &Val<'r, B>, diagonal: i64) -> Val<'r, B> {
    x.masked(&lower_mask(x, diagonal - 1), 0i64)
}

/// The diagonal of two axes, which becomes the last axis.
pub fn diagonal<'r, B: Builder>(x: &Val<'r, B>, offset: i64, first: usize, second: usize) -> Val<'r, B> {
    let mut perm: Vec<usize> = (0..x.rank()).filter(|&a| a != first && a != second).collect();
    perm.extend([first, second]);
    let x = x.permute(&perm);
    let last = x.rank() - 2;
    let (n, m) = (x.size(last), x.size(last + 1));
    let (row, column) = ((-offset).max(0), offset.max(0));
    let len = (n - row).min(m - column).max(0);
    let flat = x.flatten(last, last + 1);
    if len == 0 {
        return flat.narrow(last, 0, 0);
    }
    flat.strided(last, row * m + column, len, m + 1)
}

/// The last axis on the diagonal of a new square matrix, whose axes are placed at `first` and `second`.
pub fn diag_embed<'r, B: Builder>(x: &Val<'r, B>, offset: i64, first: usize, second: usize) -> Val<'r, B> {
    let last = x.rank() - 1;
    let len = x.size(last);
    let n = len + offset.abs();
    let (row, column) = ((-offset).max(0), offset.max(0));
    let mut pads = vec![PadDim::none(); x.rank()];
    let low = row * n + column;
    let used = if len == 0 { 0 } else { (len - 1) * (n + 1) + 1 };
    pads[last] = PadDim { low: Dim::Fixed(low), high: Dim::Fixed(n * n - low - used), interior: n };
    let matrix = x.pad_interior(pads, 0.0).unflatten(last, &[n, n]);
    // From (.., row, column) to the asked places.
    let rank = last + 2;
    let mut perm: Vec<usize> = (0..last).collect();
    let mut places = [(first, last), (second, last + 1)];
    places.sort_unstable();
    for (to, from) in places {
        perm.insert(to.min(perm.len()), from);
    }
    debug_assert_eq!(perm.len(), rank);
    matrix.permute(&perm)
}

/// The matrix of a vector, or the vector of a matrix.
pub fn diag<'r, B: Builder>(x: &Val<'r, B>, offset: i64) -> Val<'r, B> {
    if x.rank() == 1 { diag_embed(x, offset, 0, 1) } else { diagonal(x, offset, 0, 1) }
}

/// The sum of the diagonal of a matrix.
pub fn trace<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    diagonal(x, 0, 0, 1).sum(&[0]).squeeze(&[0])
}

/// Each axis turned by its shift; what leaves at the end comes in at the start.
pub fn roll<'r, B: Builder>(x: &Val<'r, B>, shifts: &[(usize, i64)]) -> Val<'r, B> {
    shifts.iter().fold(x.clone(), |x, &(axis, shift)| {
        let n = x.size(axis);
        let k = if n == 0 { 0 } else { shift.rem_euclid(n) };
        if k == 0 {
            return x;
        }
        super::concat(&[x.narrow(axis, n - k, k), x.narrow(axis, 0, n - k)], axis)
    })
}

/// [`roll`] of the elements in row-major order.
pub fn roll_flat<'r, B: Builder>(x: &Val<'r, B>, shift: i64) -> Val<'r, B> {
    roll(&x.view(&[x.numel()]), &[(0, shift)]).reshape(&x.shape())
}

/// Turned by `k` quarters in the plane of two axes, from the first towards the second.
pub fn rot90<'r, B: Builder>(x: &Val<'r, B>, k: i64, first: usize, second: usize) -> Val<'r, B> {
    match k.rem_euclid(4) {
        0 => x.clone(),
        1 => x.flip(&[second]).transpose(first, second),
        2 => x.flip(&[first, second]),
        _ => x.flip(&[first]).transpose(first, second),
    }
}

/// The whole repeated `times` along each axis; axes of `times` in front are new.
pub fn repeat<'r, B: Builder>(x: &Val<'r, B>, times: &[i64]) -> Val<'r, B> {
    let lead = times.len() - x.rank();
    let sizes: Vec<i64> = std::iter::repeat_n(1, lead).chain(x.sizes()).collect();
    let (mut single, mut grown, mut out) = (Vec::new(), Vec::new(), Vec::new());
    for (&n, &k) in sizes.iter().zip(times) {
        single.extend([1, n]);
        grown.extend([k, n]);
        out.push(k * n);
    }
    x.view(&single).broadcast_to(&ttk_ir::shape::shape(&grown)).view(&out)
}

/// Each element of an axis repeated `times` in place.
pub fn repeat_interleave<'r, B: Builder>(x: &Val<'r, B>, times: i64, axis: usize) -> Val<'r, B> {
    let mut grown = x.shape();
    grown.insert(axis + 1, Dim::Fixed(times));
    x.unsqueeze(axis + 1).broadcast_to(&grown).flatten(axis, axis + 1)
}

/// Vectors spread over a common grid, one axis each; `ij` order.
pub fn meshgrid<'r, B: Builder>(parts: &[Val<'r, B>]) -> Vec<Val<'r, B>> {
    let shape: Shape = parts.iter().map(|p| Dim::Fixed(p.numel())).collect();
    let spread = |(axis, part): (usize, &Val<'r, B>)| {
        super::activation::along(part, axis, parts.len()).broadcast_to(&shape)
    };
    parts.iter().enumerate().map(spread).collect()
}

/// All tuples of elements of the vectors, one a row.
pub fn cartesian_prod<'r, B: Builder>(parts: &[Val<'r, B>]) -> Val<'r, B> {
    if let [one] = parts {
        return one.clone();
    }
    let columns: Vec<Val<'r, B>> = meshgrid(parts).iter().map(|g| g.view(&[g.numel()])).collect();
    super::stack(&columns, 1)
}

/// Matrices along the diagonal of a larger one.
pub fn block_diag<'r, B: Builder>(parts: &[Val<'r, B>]) -> Val<'r, B> {
    let blocks: Vec<Val<'r, B>> = parts
        .iter()
        .map(|p| match p.rank() {
            0 => p.view(&[1, 1]),
            1 => p.unsqueeze(0),
            _ => p.clone(),
        })
        .collect();
    let columns: i64 = blocks.iter().map(|p| p.size(1)).sum();
    let mut before = 0;
    let rows: Vec<Val<'r, B>> = blocks
        .iter()
        .map(|p| {
            let row = p.pad_axis(1, before, columns - before - p.size(1), 0.0);
            before += p.size(1);
            row
        })
        .collect();
    super::concat(&rows, 0)
}

/// Powers of a vector as the columns of a matrix.
pub fn vander<'r, B: Builder>(x: &Val<'r, B>, columns: i64, increasing: bool) -> Val<'r, B> {
    let powers = x.scope().arange(x.dtype(), columns);
    let powers = if increasing { powers } else { powers.flip(&[0]) };
    x.unsqueeze(1).pow(powers.unsqueeze(0))
}

/// `x` with `value` written over one position of an axis.
pub fn select_scatter<'r, B: Builder>(
    x: &Val<'r, B>,
    value: &Val<'r, B>,
    axis: usize,
    at: i64,
) -> Val<'r, B> {
    slice_scatter(x, &value.unsqueeze(axis), axis, at, 1)
}

/// `x` with `value` written over positions from `start`, `step` apart.
pub fn slice_scatter<'r, B: Builder>(
    x: &Val<'r, B>,
    value: &Val<'r, B>,
    axis: usize,
    start: i64,
    step: i64,
) -> Val<'r, B> {
    let mut dims: Vec<SliceDim> = x.shape().into_iter().map(SliceDim::all).collect();
    dims[axis] = SliceDim { start: Dim::Fixed(start), len: Dim::Fixed(value.size(axis)), step };
    x.update(dims, value)
}
