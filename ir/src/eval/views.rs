//! Rearrangements: each is a copy between two strided walks.

use super::walk::{strides_of, walk};
use super::{EvalError, Tensor};
use crate::dtype::{DType, Scalar};
use crate::op::{PadDim, SliceDim, WindowDim};

pub(super) fn iota(dtype: DType, dims: &[i64], axis: usize) -> Tensor {
    let mut steps = vec![0; dims.len()];
    steps[axis] = 1;
    let mut values = Vec::new();
    walk(dims, [&steps], |[v]| values.push(v));
    Tensor::from_i64(dtype, dims, &values)
}

pub(super) fn permute(x: &Tensor, perm: &[u8]) -> Tensor {
    let strides = strides_of(&x.dims);
    let dims: Vec<i64> = perm.iter().map(|&a| x.dims[a as usize]).collect();
    let strides: Vec<i64> = perm.iter().map(|&a| strides[a as usize]).collect();
    read_strided(x, &dims, 0, &strides)
}

pub(super) fn expand(x: &Tensor, dims: &[i64]) -> Result<Tensor, EvalError> {
    if x.dims.iter().zip(dims).any(|(&from, &to)| from != 1 && from != to) {
        return Err(EvalError::ShapeMismatch { op: "expand", left: x.dims.clone(), right: dims.to_vec() });
    }
    let mut strides = strides_of(&x.dims);
    for (stride, &size) in strides.iter_mut().zip(&x.dims) {
        if size == 1 {
            *stride = 0;
        }
    }
    Ok(read_strided(x, dims, 0, &strides))
}

pub(super) fn slice(x: &Tensor, slices: &[SliceDim], symbols: &[i64]) -> Result<Tensor, EvalError> {
    let (dims, offset, strides) = slice_map("slice", &x.dims, slices, symbols)?;
    Ok(read_strided(x, &dims, offset, &strides))
}

pub(super) fn update(
    x: &Tensor,
    value: &Tensor,
    slices: &[SliceDim],
    symbols: &[i64],
) -> Result<Tensor, EvalError> {
    let (dims, offset, strides) = slice_map("update", &x.dims, slices, symbols)?;
    if dims != value.dims {
        return Err(EvalError::ShapeMismatch { op: "update", left: dims, right: value.dims.clone() });
    }
    let mut out = x.clone();
    write_strided(&mut out, value, offset, &strides);
    Ok(out)
}

pub(super) fn pad(x: &Tensor, pads: &[PadDim], value: Scalar, dims: &[i64], symbols: &[i64]) -> Tensor {
    let mut out = Tensor::full(value, dims);
    let strides = strides_of(dims);
    let offset = pads.iter().zip(&strides).map(|(p, s)| p.low.eval(symbols) * s).sum();
    let strides: Vec<i64> = pads.iter().zip(&strides).map(|(p, s)| (p.interior + 1) * s).collect();
    write_strided(&mut out, x, offset, &strides);
    out
}

pub(super) fn concat(operands: &[&Tensor], axis: usize, dims: &[i64]) -> Result<Tensor, EvalError> {
    let mut out = Tensor::zeros(operands[0].dtype, dims);
    let strides = strides_of(dims);
    let mut start = 0;
    for x in operands {
        let fits = (0..dims.len()).all(|i| i == axis || x.dims[i] == dims[i]);
        if !fits || start + x.dims[axis] > dims[axis] {
            let (left, right) = (x.dims.clone(), dims.to_vec());
            return Err(EvalError::ShapeMismatch { op: "concat", left, right });
        }
        write_strided(&mut out, x, start * strides[axis], &strides);
        start += x.dims[axis];
    }
    Ok(out)
}

pub(super) fn window(x: &Tensor, windows: &[WindowDim], dims: &[i64]) -> Tensor {
    let strides = window_strides(&strides_of(&x.dims), windows);
    read_strided(x, dims, 0, &strides)
}

/// Strides that walk the shape of windows over an array of the given strides.
pub(super) fn window_strides(strides: &[i64], windows: &[WindowDim]) -> Vec<i64> {
    let mut out = strides.to_vec();
    for w in windows {
        out[w.axis as usize] = strides[w.axis as usize] * w.stride;
    }
    out.extend(windows.iter().map(|w| strides[w.axis as usize] * w.dilation));
    out
}

/// The walk over a slice of an array: sizes, first offset, strides.
fn slice_map(
    op: &'static str,
    shape: &[i64],
    slices: &[SliceDim],
    symbols: &[i64],
) -> Result<(Vec<i64>, i64, Vec<i64>), EvalError> {
    let full = strides_of(shape);
    let (mut dims, mut offset, mut strides) = (Vec::new(), 0, Vec::new());
    for ((s, &extent), &stride) in slices.iter().zip(shape).zip(&full) {
        let (start, len, step) = (s.start.eval(symbols), s.len.eval(symbols), s.step);
        let last = start as i128 + (len as i128 - 1) * step as i128;
        let inside = (0..extent).contains(&start) && (0..extent as i128).contains(&last);
        if len < 0 || (len > 0 && !inside) {
            return Err(EvalError::SliceOutOfRange { op, start, len, step, extent });
        }
        dims.push(len);
        offset += start * stride;
        strides.push(step * stride);
    }
    Ok((dims, offset, strides))
}

fn read_strided(x: &Tensor, dims: &[i64], offset: i64, strides: &[i64]) -> Tensor {
    let size = x.dtype.size();
    let mut data = Vec::with_capacity(size * dims.iter().product::<i64>() as usize);
    walk(dims, [strides], |[from]| {
        let from = (offset + from) as usize * size;
        data.extend_from_slice(&x.data[from..from + size]);
    });
    Tensor { dtype: x.dtype, dims: dims.to_vec(), data }
}

fn write_strided(out: &mut Tensor, value: &Tensor, offset: i64, strides: &[i64]) {
    let size = value.dtype.size();
    let mut from = 0;
    walk(&value.dims, [strides], |[to]| {
        let to = (offset + to) as usize * size;
        out.data[to..to + size].copy_from_slice(&value.data[from..from + size]);
        from += size;
    });
}
