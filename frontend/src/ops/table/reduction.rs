//! Reductions: sums, means, extremes.

use super::rows;
use crate::error::{Error, Result};
use crate::node::Value;
use crate::ops::call::{Call, Returned};
use crate::record::Recorder;
use ttk_ir::{Builder, DType, ReduceOp};

/// Drops reduced axes, which have size 1, unless they are kept.
pub(super) fn squeeze_axes(b: &mut Recorder, x: &Value, axes: &[usize], keep: bool) -> Value {
    if keep {
        return x.clone();
    }
    let shape = x.ty.shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d.clone());
    let shape = shape.collect();
    b.reshape(x, shape)
}

/// The axes and `keepdim` of the overloads `(self, *, dtype)` and `(self, dim, keepdim, *, dtype)`.
fn axes_of(c: &Call<'_>, rank: usize) -> Result<(Vec<usize>, bool, usize)> {
    match c.overload {
        0 => Ok(((0..rank).collect(), false, 1)),
        _ => Ok((c.dims_or_all(1, rank)?, c.bool(2)?, 3)),
    }
}

fn sum(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let (axes, keep, at) = axes_of(c, x.ty.rank())?;
    let own = x.ty.dtype;
    let dtype = c.opt_dtype(at)?.unwrap_or(if own.is_float() { own } else { DType::I64 });
    let x = c.b.cast(&x, dtype);
    let r = c.b.reduce(ReduceOp::Sum, &x, &axes);
    Ok(squeeze_axes(&mut c.b, &r, &axes, keep).into())
}

fn mean(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let (axes, keep, at) = axes_of(c, x.ty.rank())?;
    let dtype = c.opt_dtype(at)?.unwrap_or(x.ty.dtype);
    if !dtype.is_float() {
        return Err(Error::runtime(format!(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: {}",
            crate::error::scalar_type_name(dtype)
        )));
    }
    let n: i64 = axes.iter().map(|&a| x.dims()[a]).product();
    let x = c.b.cast(&x, dtype);
    let r = c.b.reduce(ReduceOp::Sum, &x, &axes);
    let by = c.b.full_like(&r, n as f64);
    let r = c.b.div(&r, &by);
    Ok(squeeze_axes(&mut c.b, &r, &axes, keep).into())
}

rows! {
    "sum" Torch "fmo" Nothing ["(Tensor self, *, dtype? dtype=None) -> Tensor",
        "(Tensor self, int[1]? dim, bool keepdim=False, *, dtype? dtype=None) -> Tensor"]
        "The sum of all elements, or along axes; integers give int64." => sum;
    "mean" Torch "fmo" Nothing ["(Tensor self, *, dtype? dtype=None) -> Tensor",
        "(Tensor self, int[1]? dim, bool keepdim=False, *, dtype? dtype=None) -> Tensor"]
        "The mean of all elements, or along axes." => mean;
}
