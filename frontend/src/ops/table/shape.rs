//! Views and rearrangements.

use super::rows;
use crate::error::{Error, Result};
use crate::ops::call::{Call, Returned, normalize_dim, normalize_dims};
use crate::tensor::Tensor;
use crate::view::{Dims, numel};
use ttk_ir::Builder;

/// Sizes with a `-1` worked out.
///
/// # Errors
/// [`Error::ViewSize`] and the like, in PyTorch's words.
pub(super) fn infer_size(sizes: &[i64], numel: i64) -> Result<Dims> {
    let mut known = 1i64;
    let mut hole = None;
    for (i, &n) in sizes.iter().enumerate() {
        match n {
            -1 if hole.is_none() => hole = Some(i),
            -1 => return Err(Error::runtime("only one dimension can be inferred")),
            n if n < 0 => return Err(Error::runtime(format!("invalid shape dimension {n}"))),
            n => known = known.checked_mul(n).unwrap_or(i64::MAX),
        }
    }
    let invalid = || Error::ViewSize { shape: sizes.to_vec(), numel };
    let mut out: Dims = sizes.into();
    match hole {
        Some(_) if known == 0 => {
            return Err(Error::runtime(format!(
                "cannot reshape tensor of 0 elements into shape {sizes:?} because the unspecified dimension size -1 can be any value and is ambiguous"
            )));
        }
        Some(i) if numel % known == 0 => out[i] = numel / known,
        None if numel == known => {}
        _ => return Err(invalid()),
    }
    Ok(out)
}

pub(super) fn view(t: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let own = t.view();
    let sizes = infer_size(sizes, numel(&own.sizes))?;
    match own.reshape(&sizes) {
        Some(v) => Ok(t.with_view(v)),
        None => Err(Error::runtime(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead.",
        )),
    }
}

pub(super) fn reshape(c: &mut Call<'_>, t: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let own = t.view();
    let sizes = infer_size(sizes, numel(&own.sizes))?;
    if let Some(v) = own.reshape(&sizes) {
        return Ok(t.with_view(v));
    }
    let x = t.value();
    Ok(Tensor::from_value(c.b.reshape(&x, ttk_ir::shape::shape(&sizes))))
}

fn permute(t: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let v = t.view();
    if dims.len() != v.sizes.len() {
        return Err(Error::runtime(format!(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions i.e. input.dim() = {} is not equal to len(dims) = {}",
            v.sizes.len(),
            dims.len()
        )));
    }
    let dims = normalize_dims(dims, v.sizes.len())?;
    Ok(t.with_view(v.permute(&dims)))
}

fn transpose(t: &Tensor, a: i64, b: i64) -> Result<Tensor> {
    let v = t.view();
    let rank = v.sizes.len();
    let (a, b) = (normalize_dim(a, rank)?, normalize_dim(b, rank)?);
    let mut perm: Vec<usize> = (0..rank).collect();
    if rank > 0 {
        perm.swap(a, b);
    }
    Ok(t.with_view(v.permute(&perm)))
}

rows! {
    "view" Torch "m" Nothing ["(Tensor self, int[] size) -> Tensor", "(Tensor self, dtype dtype) -> Tensor"]
        "The same elements under other sizes, sharing memory." => |c| {
            let t = c.tensor(0)?;
            if c.overload == 1 {
                let dtype = c.opt_dtype(1)?.unwrap_or(t.dtype());
                if dtype == t.dtype() {
                    return Ok(view(&t, &t.sizes())?.into());
                }
                let x = t.value();
                if dtype.size() != x.ty.dtype.size() {
                    return Err(Error::runtime("self.size(-1) must be divisible by the ratio of the element sizes to view as another dtype"));
                }
                return Ok(c.b.op(ttk_ir::Op::Bitcast(dtype), &[x]).into());
            }
            Ok(view(&t, c.ints(1)?)?.into())
        };
    "reshape" Torch "fm" Nothing ["(Tensor self, int[] shape) -> Tensor"]
        "The same elements under other sizes; a view where that is possible, else a copy." => |c| {
            let t = c.tensor(0)?;
            let sizes = c.ints(1)?;
            Ok(reshape(c, &t, sizes)?.into())
        };
    "permute" Torch "fm" Nothing ["(Tensor self, int[] dims) -> Tensor"]
        "A view with axes in another order." => |c| Ok(permute(&c.tensor(0)?, c.ints(1)?)?.into());
    "transpose" Torch "fm" Nothing ["(Tensor self, int dim0, int dim1) -> Tensor"]
        "A view with two axes exchanged." => |c| Ok(transpose(&c.tensor(0)?, c.int(1)?, c.int(2)?)?.into());
    "t" Torch "fm" Nothing ["(Tensor self) -> Tensor"]
        "A matrix transposed (a view)." => |c| {
            let t = c.tensor(0)?;
            match t.rank() {
                0 | 1 => Ok(t.into()),
                2 => Ok(transpose(&t, 0, 1)?.into()),
                n => Err(Error::runtime(format!("t() expects a tensor with <= 2 dimensions, but self is {n}D"))),
            }
        };
}
