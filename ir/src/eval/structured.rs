//! Operations that join many elements into one.

use super::scalar::{binary_int, wrap_to};
use super::views::window_strides;
use super::walk::{around, strides_of, walk};
use super::{EvalError, Tensor};
use crate::dtype::DType;
use crate::infer::dot_free_axes;
use crate::op::{ReduceOp, WindowDim};
use std::cmp::Ordering;

pub(super) fn reduce(op: ReduceOp, x: &Tensor, axes: &[u8]) -> Tensor {
    let mut dims = x.dims.clone();
    for &a in axes {
        dims[a as usize] = 1;
    }
    let mut into = strides_of(&dims);
    for &a in axes {
        into[a as usize] = 0;
    }
    accumulate(op, x, &dims, &x.dims, &into)
}

pub(super) fn fold(x: &Tensor, windows: &[WindowDim], dims: &[i64]) -> Tensor {
    let into = window_strides(&strides_of(dims), windows);
    accumulate(ReduceOp::Sum, x, dims, &x.dims, &into)
}

/// Combines the elements of `x`, in row-major order, into the positions of `dims` that `into` gives.
fn accumulate(op: ReduceOp, x: &Tensor, dims: &[i64], walked: &[i64], into: &[i64]) -> Tensor {
    let len = dims.iter().product::<i64>() as usize;
    let combine = op.combine();
    let identity = op.identity(x.dtype);
    let mut from = 0;
    if x.dtype.is_float() {
        let (values, mut sums) = (x.to_f64(), vec![identity.as_f64(); len]);
        walk(walked, [into], |[to]| {
            sums[to as usize] = combine.eval_float(sums[to as usize], values[from]);
            from += 1;
        });
        return Tensor::zeros(x.dtype, dims).with_values(sums);
    }
    let (values, mut sums) = (x.to_i64(), vec![identity.as_i64(); len]);
    walk(walked, [into], |[to]| {
        sums[to as usize] = binary_int(combine, x.dtype, sums[to as usize], values[from]);
        from += 1;
    });
    Tensor::from_i64(x.dtype, dims, &sums)
}

pub(super) fn scan(op: ReduceOp, x: &Tensor, axis: usize, reverse: bool) -> Tensor {
    let (outer, len, inner) = around(&x.dims, axis);
    let combine = op.combine();
    let identity = op.identity(x.dtype);
    let (floats, ints) = if x.dtype.is_float() { (x.to_f64(), Vec::new()) } else { (Vec::new(), x.to_i64()) };
    let (mut out_floats, mut out_ints) = (floats.clone(), ints.clone());
    for row in 0..outer * inner {
        let base = row / inner * len * inner + row % inner;
        let (mut sum, mut total) = (identity.as_f64(), identity.as_i64());
        for step in 0..len {
            let at = base + inner * if reverse { len - 1 - step } else { step };
            if x.dtype.is_float() {
                sum = combine.eval_float(sum, floats[at]);
                out_floats[at] = sum;
            } else {
                total = binary_int(combine, x.dtype, total, ints[at]);
                out_ints[at] = total;
            }
        }
    }
    if x.dtype.is_float() { x.with_values(out_floats) } else { Tensor::from_i64(x.dtype, &x.dims, &out_ints) }
}

pub(super) fn argsort(x: &Tensor, axis: usize, descending: bool) -> Tensor {
    let (outer, len, inner) = around(&x.dims, axis);
    let mut out = vec![0i64; x.len()];
    let (floats, ints) = if x.dtype.is_float() { (x.to_f64(), Vec::new()) } else { (Vec::new(), x.to_i64()) };
    // A NaN counts as larger than everything, which puts it last ascending and first descending.
    let order = |a: usize, b: usize| -> Ordering {
        if floats.is_empty() {
            return ints[a].cmp(&ints[b]);
        }
        let (a, b) = (floats[a], floats[b]);
        a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    };
    for row in 0..outer * inner {
        let at = |i: usize| (row / inner * len + i) * inner + row % inner;
        let mut positions: Vec<usize> = (0..len).collect();
        positions.sort_by(|&a, &b| {
            let ascending = order(at(a), at(b));
            if descending { ascending.reverse() } else { ascending }
        });
        for (i, p) in positions.into_iter().enumerate() {
            out[at(i)] = p as i64;
        }
    }
    Tensor::from_i64(DType::I64, &x.dims, &out)
}

pub(super) fn dot(
    lhs: &Tensor,
    rhs: &Tensor,
    batch: &[(u8, u8)],
    contract: &[(u8, u8)],
) -> Result<Tensor, EvalError> {
    let (lhs_free, rhs_free) = dot_free_axes(batch, contract, lhs.rank(), rhs.rank());
    let axes = |pairs: &[(u8, u8)], left: bool| -> Vec<u8> {
        pairs.iter().map(|&(i, j)| if left { i } else { j }).collect()
    };
    let sizes = |x: &Tensor, axes: &[u8]| -> Vec<i64> { axes.iter().map(|&a| x.dims[a as usize]).collect() };
    for pairs in [batch, contract] {
        let (left, right) = (sizes(lhs, &axes(pairs, true)), sizes(rhs, &axes(pairs, false)));
        if left != right {
            return Err(EvalError::ShapeMismatch { op: "dot", left, right });
        }
    }
    // Both operands as [batch, free, contract], so that each element is a product of two rows.
    let arrange = |x: &Tensor, left: bool, free: &[u8]| {
        [axes(batch, left), free.to_vec(), axes(contract, left)]
            .concat()
            .into_iter()
            .map(|a| (x.dims[a as usize], strides_of(&x.dims)[a as usize]))
            .unzip::<i64, i64, Vec<i64>, Vec<i64>>()
    };
    let product = |dims: &[i64]| dims.iter().product::<i64>() as usize;
    let batch_dims = sizes(lhs, &axes(batch, true));
    let (lhs_dims, rhs_dims) = (sizes(lhs, &lhs_free), sizes(rhs, &rhs_free));
    let (b, m, n) = (product(&batch_dims), product(&lhs_dims), product(&rhs_dims));
    let k = product(&sizes(lhs, &axes(contract, true)));
    let dims = [batch_dims, lhs_dims, rhs_dims].concat();

    let (l_walk, r_walk) = (arrange(lhs, true, &lhs_free), arrange(rhs, false, &rhs_free));
    if lhs.dtype.is_float() {
        let (l, r) = (arranged(&lhs.to_f64(), &l_walk), arranged(&rhs.to_f64(), &r_walk));
        let out =
            rows_times_rows(&l, &r, (b, m, n, k), |x, y| x.iter().zip(y).fold(0.0, |s, (x, y)| s + x * y));
        return Ok(Tensor::zeros(lhs.dtype, &dims).with_values(out));
    }
    let (l, r) = (arranged(&lhs.to_i64(), &l_walk), arranged(&rhs.to_i64(), &r_walk));
    let out = rows_times_rows(&l, &r, (b, m, n, k), |x: &[i64], y: &[i64]| {
        let sum = x.iter().zip(y).fold(0i64, |s, (x, y)| s.wrapping_add(x.wrapping_mul(*y)));
        wrap_to(lhs.dtype, sum)
    });
    Ok(Tensor::from_i64(lhs.dtype, &dims, &out))
}

fn arranged<T: Copy>(values: &[T], (dims, strides): &(Vec<i64>, Vec<i64>)) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    walk(dims, [strides], |[at]| out.push(values[at as usize]));
    out
}

fn rows_times_rows<T>(
    l: &[T],
    r: &[T],
    (b, m, n, k): (usize, usize, usize, usize),
    times: impl Fn(&[T], &[T]) -> T,
) -> Vec<T> {
    let mut out = Vec::with_capacity(b * m * n);
    for batch in 0..b {
        for i in 0..m {
            for j in 0..n {
                let (x, y) = ((batch * m + i) * k, (batch * n + j) * k);
                out.push(times(&l[x..x + k], &r[y..y + k]));
            }
        }
    }
    out
}
