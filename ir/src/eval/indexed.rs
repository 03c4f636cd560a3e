//! Operations whose positions are data.

use super::scalar::{binary_int, in_extent, round_to};
use super::walk::{around, strides_of, walk};
use super::{EvalError, Tensor};
use crate::op::ScatterOp;

pub(super) fn gather(data: &Tensor, index: &Tensor, axis: usize) -> Result<Tensor, EvalError> {
    let targets = targets("gather", data, index, axis)?;
    let size = data.dtype.size();
    let mut out = Vec::with_capacity(targets.len() * size);
    for t in targets {
        out.extend_from_slice(&data.data[t * size..(t + 1) * size]);
    }
    Ok(Tensor { dtype: data.dtype, dims: index.dims.clone(), data: out })
}

pub(super) fn scatter(
    x: &Tensor,
    index: &Tensor,
    updates: &Tensor,
    axis: usize,
    mode: ScatterOp,
) -> Result<Tensor, EvalError> {
    let targets = targets("scatter", x, index, axis)?;
    let Some(op) = mode.combine() else {
        let mut out = x.clone();
        for (i, t) in targets.into_iter().enumerate() {
            out.set(t, updates.get(i));
        }
        return Ok(out);
    };
    // In double precision with one rounding at the end, like every other sum here.
    if x.dtype.is_float() {
        let mut sums = x.to_f64();
        for (t, u) in targets.into_iter().zip(updates.to_f64()) {
            sums[t] = op.eval_float(sums[t], u);
        }
        return Ok(x.with_values(sums.into_iter().map(|v| round_to(x.dtype, v))));
    }
    let mut sums = x.to_i64();
    for (t, u) in targets.into_iter().zip(updates.to_i64()) {
        sums[t] = binary_int(op, x.dtype, sums[t], u);
    }
    Ok(Tensor::from_i64(x.dtype, &x.dims, &sums))
}

/// For each element of `index` the element of `data` it stands for.
fn targets(op: &'static str, data: &Tensor, index: &Tensor, axis: usize) -> Result<Vec<usize>, EvalError> {
    let aligned =
        data.rank() == index.rank() && (0..data.rank()).all(|i| i == axis || data.dims[i] == index.dims[i]);
    if !aligned {
        let (left, right) = (data.dims.clone(), index.dims.clone());
        return Err(EvalError::ShapeMismatch { op, left, right });
    }
    let (_, extent, inner) = around(&data.dims, axis);
    let mut base = strides_of(&data.dims);
    base[axis] = 0;
    let positions = index.to_i64();
    let mut out = Vec::with_capacity(positions.len());
    let mut bad = None;
    walk(&index.dims, [&base], |[offset]| {
        let i = positions[out.len()];
        if !in_extent(i, extent as i64) {
            bad = bad.or(Some(i));
        }
        out.push((offset + i.max(0) * inner as i64) as usize);
    });
    match bad {
        Some(index) => Err(EvalError::IndexOutOfRange { op, index, extent: extent as i64 }),
        None => Ok(out),
    }
}
