//! Elementwise operations on whole tensors.

use super::Tensor;
use super::scalar::{binary_int, round_to, unary_int};
use crate::dtype::DType;
use crate::op::{Binary, Cmp, Unary};

pub(super) fn unary(op: Unary, x: &Tensor) -> Tensor {
    if x.dtype.is_float() {
        floats(x, x.to_f64().into_iter().map(|v| op.eval_float(v)))
    } else {
        let values: Vec<i64> = x.to_i64().into_iter().map(|v| unary_int(op, x.dtype, v)).collect();
        Tensor::from_i64(x.dtype, &x.dims, &values)
    }
}

pub(super) fn binary(op: Binary, a: &Tensor, b: &Tensor) -> Tensor {
    if a.dtype.is_float() {
        floats(a, a.to_f64().into_iter().zip(b.to_f64()).map(|(x, y)| op.eval_float(x, y)))
    } else {
        let pairs = a.to_i64().into_iter().zip(b.to_i64());
        let values: Vec<i64> = pairs.map(|(x, y)| binary_int(op, a.dtype, x, y)).collect();
        Tensor::from_i64(a.dtype, &a.dims, &values)
    }
}

pub(super) fn cmp(op: Cmp, a: &Tensor, b: &Tensor) -> Tensor {
    let values: Vec<bool> = if a.dtype.is_float() {
        a.to_f64().into_iter().zip(b.to_f64()).map(|(x, y)| op.eval(x, y)).collect()
    } else {
        a.to_i64().into_iter().zip(b.to_i64()).map(|(x, y)| op.eval(x, y)).collect()
    };
    Tensor::from_bools(&a.dims, &values)
}

pub(super) fn select(cond: &Tensor, yes: &Tensor, no: &Tensor) -> Tensor {
    debug_assert_eq!(cond.dtype, DType::Bool);
    let size = yes.dtype.size();
    let mut out = no.clone();
    for (i, &c) in cond.data.iter().enumerate() {
        if c != 0 {
            out.data[i * size..(i + 1) * size].copy_from_slice(&yes.data[i * size..(i + 1) * size]);
        }
    }
    out
}

fn floats(like: &Tensor, values: impl Iterator<Item = f64>) -> Tensor {
    let values: Vec<f64> = values.map(|v| round_to(like.dtype, v)).collect();
    Tensor::from_f64(like.dtype, &like.dims, &values)
}
