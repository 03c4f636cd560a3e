//! Copies of views, and tensors with a view of them overwritten.

use super::rows;
use super::support::{with1, with2};
use crate::composite::layout;
use crate::error::{Error, Result};
use crate::node::Value;

use crate::ops::call::{Call, Returned, broadcast_sizes};
use crate::ops::table::{Space, find};
use crate::tensor::Tensor;
use crate::view::{Dims, numel};
use ttk_ir::{Builder, DType, Scalar};

/// The view operator of a name without `_copy`, its result copied.
fn copied(c: &mut Call<'_>, name: &str) -> Result<Returned> {
    let Some(operator) = find(Space::Torch, name) else {
        return Err(Error::Internal { detail: format!("there is no operator {name}") });
    };
    let copy = |t: &Tensor| Tensor::from_value(t.value());
    Ok(match (operator.row.run)(&mut Call::new(operator.row, c.overload, c.args))? {
        Returned::Tensor(t) => copy(&t).into(),
        Returned::List(items) => Returned::List(items.iter().map(copy).collect()),
        other => other,
    })
}

/// Positions in the storage, row by row, of a tensor with the given sizes and strides: `i64[numel]`.
fn positions(c: &mut Call<'_>, sizes: &[i64], strides: &[i64], offset: i64) -> Value {
    let shape = ttk_ir::shape::shape(sizes);
    let mut index = c.b.constant(Scalar::from_i64(DType::I64, offset), shape.clone());
    for (axis, &stride) in strides.iter().enumerate() {
        let i = c.b.iota(DType::I64, shape.clone(), axis);
        let by = c.b.constant(Scalar::from_i64(DType::I64, stride), shape.clone());
        let i = c.b.mul(&i, &by);
        index = c.b.add(&index, &i);
    }
    c.b.reshape(&index, ttk_ir::shape::shape(&[numel(sizes)]))
}

/// How far sizes and strides reach, one past the last element.
fn reach(sizes: &[i64], strides: &[i64], offset: i64) -> i64 {
    if sizes.contains(&0) {
        return 0;
    }
    1 + offset + sizes.iter().zip(strides).map(|(&n, &s)| (n - 1) * s).sum::<i64>()
}

/// The storage of a tensor as far as it and another geometry reach, as a flat value on the tensor's tape.
fn storage_of(c: &mut Call<'_>, t: &Tensor, least: i64) -> Value {
    let (view, x) = (t.view(), t.value());
    let n = reach(&view.sizes, &view.strides(), view.offset).max(least).max(1);
    let count = numel(&view.sizes);
    let flat = c.b.reshape(&x, ttk_ir::shape::shape(&[count]));
    if view.is_contiguous() && view.offset == 0 && n == count {
        return flat;
    }
    let index = positions(c, &view.sizes, &view.strides(), view.offset);
    let base = c.b.constant(Scalar::zero(x.ty.dtype), ttk_ir::shape::shape(&[n]));
    let op = ttk_ir::Op::Scatter { axis: 0, mode: ttk_ir::ScatterOp::Set };
    c.b.op(op, &[base, index, flat])
}

/// The storage's elements at any sizes and strides: a view, or, where a derivative has to flow, a copy.
pub(super) fn as_strided(c: &mut Call<'_>, t: &Tensor, offset: i64) -> Result<Returned> {
    let (sizes, strides) = (c.ints(1)?, c.ints(2)?);
    if sizes.len() != strides.len() {
        return Err(Error::runtime("mismatch in length of strides and shape"));
    }
    let found = t.as_strided(sizes, strides, offset)?;
    if !t.requires_grad() || found.requires_grad() || !crate::record::grad_enabled() {
        return Ok(found.into());
    }
    let flat = storage_of(c, t, reach(sizes, strides, offset));
    Ok(crate::view::strided_copy(&mut c.b, &flat, sizes, strides, offset).into())
}

fn as_strided_scatter(c: &mut Call<'_>) -> Result<Returned> {
    let (t, src) = (c.tensor(0)?, c.value(1)?);
    let (sizes, strides) = (c.ints(2)?, c.ints(3)?);
    let offset = c.opt_int(4)?.unwrap_or(t.view().offset);
    if src.dims().as_slice() != sizes {
        return Err(Error::runtime(format!(
            "expected src to have a size equal to the slice of self. src size = {:?}, slice size = {sizes:?}",
            src.dims().as_slice()
        )));
    }
    t.as_strided(sizes, strides, offset)?;
    let flat = storage_of(c, &t, reach(sizes, strides, offset));
    let index = positions(c, sizes, strides, offset);
    let src = c.b.cast(&src, t.dtype());
    let src = c.b.reshape(&src, ttk_ir::shape::shape(&[numel(sizes)]));
    let op = ttk_ir::Op::Scatter { axis: 0, mode: ttk_ir::ScatterOp::Set };
    let flat = c.b.op(op, &[flat, index, src]);
    let view = t.view();
    Ok(crate::view::strided_copy(&mut c.b, &flat, &view.sizes, &view.strides(), view.offset).into())
}

fn slice_scatter(c: &mut Call<'_>) -> Result<Returned> {
    let (x, src) = (c.value(0)?, c.value(1)?);
    let axis = c.dim(2, x.ty.rank())?;
    let n = x.dims().get(axis).copied().unwrap_or(1);
    let step = c.int(5)?;
    if step <= 0 {
        return Err(Error::runtime("slice step must be positive"));
    }
    let bound = |v: Option<i64>, usual: i64| {
        let v = v.unwrap_or(usual);
        (if v < 0 { v + n } else { v }).clamp(0, n)
    };
    let start = bound(c.opt_int(3)?, 0);
    let end = bound(c.opt_int(4)?, n).max(start);
    let mut expected = x.dims();
    if let Some(place) = expected.get_mut(axis) {
        *place = (end - start + step - 1) / step;
    }
    if src.dims() != expected {
        return Err(Error::runtime(format!(
            "expected src to have a size equal to the slice of self. src size = {:?}, slice size = {:?}",
            src.dims().as_slice(),
            expected.as_slice()
        )));
    }
    if numel(&expected) == 0 {
        return Ok(x.into());
    }
    let src = c.b.cast(&src, x.ty.dtype);
    Ok(with2(&mut c.b, &x, &src, |x, v| layout::slice_scatter(x, v, axis, start, step)).into())
}

fn diagonal_scatter(c: &mut Call<'_>) -> Result<Returned> {
    let (x, src) = (c.value(0)?, c.value(1)?);
    let rank = x.ty.rank();
    let (k, a, z) = (c.int(2)?, c.dim(3, rank)?, c.dim(4, rank)?);
    if a == z {
        return Err(Error::runtime(format!("diagonal dimensions cannot be identical {a}, {z}")));
    }
    let old = with1(&mut c.b, &x, |x| layout::diagonal(x, k, a, z));
    if old.dims() != src.dims() {
        return Err(Error::runtime(format!(
            "expected src to have a size equal to the slice of self. src size = {:?}, slice size = {:?}",
            src.dims().as_slice(),
            old.dims().as_slice()
        )));
    }
    let src = c.b.cast(&src, x.ty.dtype);
    Ok(with2(&mut c.b, &x, &src, |x, v| {
        // The diagonal laid out as a matrix, and cut to a shape that need not be square.
        let (n, m) = (x.size(a), x.size(z));
        let square = layout::diag_embed(v, k, a, z);
        let mut amounts = vec![(0, 0); x.rank()];
        amounts[a] = (0, n - square.size(a));
        amounts[z] = (0, m - square.size(z));
        let spread = square.pad(&amounts, 0.0);
        let shape = x.shape();
        let (row, column) = (x.scope().iota(DType::I64, &shape, a), x.scope().iota(DType::I64, &shape, z));
        spread.keep_where(&column.eq(row + k), x)
    })
    .into())
}

fn sum_to_size(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let (own, wanted) = (x.dims(), c.ints(1)?);
    let fits = broadcast_sizes(&own, wanted).is_ok_and(|s| s == own) && wanted.len() <= own.len();
    if !fits {
        return Err(Error::runtime(format!(
            "size {{{wanted:?}}} is not expandable to size {{{:?}}}.",
            own.as_slice()
        )));
    }
    let lead = own.len() - wanted.len();
    let axes: Vec<usize> =
        (0..own.len()).filter(|&a| a < lead || (wanted[a - lead] == 1 && own[a] != 1)).collect();
    Ok(with1(&mut c.b, &x, |x| x.sum(&axes).view(wanted)).into())
}

/// Changes the sizes of a tensor in place; elements that were not there are 0.
fn resize(c: &mut Call<'_>, sizes: &[i64]) -> Result<Returned> {
    let t = c.tensor(0)?;
    if t.requires_grad() {
        return Err(Error::runtime("cannot resize variables that require grad"));
    }
    if let Some(n) = sizes.iter().find(|&&n| n < 0) {
        return Err(Error::runtime(format!(
            "Trying to create tensor with negative dimension {n}: {sizes:?}"
        )));
    }
    if t.sizes().as_slice() == sizes {
        return Ok(t.into());
    }
    let (own, n) = (t.numel(), numel(sizes));
    let x = t.value();
    let flat = c.b.reshape(&x, ttk_ir::shape::shape(&[own]));
    let flat = with1(&mut c.b, &flat, |x| x.pad(&[(0, n - own)], 0.0));
    let y = c.b.reshape(&flat, ttk_ir::shape::shape(sizes));
    t.set_data(&Tensor::from_value(y));
    Ok(t.into())
}

fn strided_zeros(c: &mut Call<'_>, sizes: &[i64], strides: &[i64], dtype: DType) -> Result<Returned> {
    super::creation::check_sizes(sizes)?;
    let n = reach(sizes, strides, 0).max(1);
    let flat = c.b.constant(Scalar::zero(dtype), ttk_ir::shape::shape(&[n]));
    Ok(Tensor::from_value(flat).as_strided(sizes, strides, 0)?.into())
}

fn empty_permuted(c: &mut Call<'_>) -> Result<Returned> {
    let (sizes, order) = (c.ints(0)?, c.ints(1)?);
    let rank = sizes.len();
    let mut seen = vec![false; rank];
    for &d in order {
        match seen.get_mut(usize::try_from(d).unwrap_or(usize::MAX)) {
            Some(place) if !*place => *place = true,
            Some(_) => return Err(Error::runtime("Duplicate dim not allowed")),
            None => {
                return Err(Error::runtime(format!(
                    "Dimension out of range (expected to be between 0 and {}, but got {d})",
                    rank as i64 - 1
                )));
            }
        }
    }
    if order.len() != rank {
        return Err(Error::runtime(format!(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = {rank} is not equal to len(physical_layout) = {}",
            order.len()
        )));
    }
    let mut strides: Dims = sizes.into();
    let mut stride = 1;
    for &d in order.iter().rev() {
        strides[d as usize] = stride;
        stride *= sizes[d as usize].max(1);
    }
    let dtype = c.opt_dtype(2)?.unwrap_or(crate::ops::promote::default_float());
    strided_zeros(c, sizes, &strides, dtype)
}

rows! {
    "view_copy" Torch "fo" Nothing ["(Tensor self, int[] size) -> Tensor", "(Tensor self, dtype dtype) -> Tensor"] "`view`, copied." => |c| copied(c, "view");
    "expand_copy" Torch "fo" Nothing ["(Tensor self, int[] size, *, bool implicit=False) -> Tensor"] "`expand`, copied." => |c| copied(c, "expand");
    "permute_copy" Torch "fo" Nothing ["(Tensor self, int[] dims) -> Tensor"] "`permute`, copied." => |c| copied(c, "permute");
    "transpose_copy" Torch "fo" Nothing ["(Tensor self, int dim0, int dim1) -> Tensor"] "`transpose`, copied." => |c| copied(c, "transpose");
    "t_copy" Torch "fo" Nothing ["(Tensor self) -> Tensor"] "`t`, copied." => |c| copied(c, "t");
    "squeeze_copy" Torch "fo" Nothing ["(Tensor self) -> Tensor", "(Tensor self, int dim) -> Tensor", "(Tensor self, int[] dim) -> Tensor"] "`squeeze`, copied." => |c| copied(c, "squeeze");
    "unsqueeze_copy" Torch "fo" Nothing ["(Tensor self, int dim) -> Tensor"] "`unsqueeze`, copied." => |c| copied(c, "unsqueeze");
    "select_copy" Torch "fo" Nothing ["(Tensor self, int dim, int index) -> Tensor"] "`select`, copied." => |c| copied(c, "select");
    "split_copy" Torch "f" Nothing ["(Tensor self, int split_size, int dim=0) -> Tensor[]", "(Tensor self, int[] split_size, int dim=0) -> Tensor[]"] "`split`, copied." => |c| copied(c, "split");
    "split_with_sizes_copy" Torch "f" Nothing ["(Tensor self, int[] split_sizes, int dim=0) -> Tensor[]"] "`split_with_sizes`, copied." => |c| copied(c, "split_with_sizes");
    "unbind_copy" Torch "f" Nothing ["(Tensor self, int dim=0) -> Tensor[]"] "`unbind`, copied." => |c| copied(c, "unbind");
    "unfold_copy" Torch "fo" Nothing ["(Tensor self, int dimension, int size, int step) -> Tensor"] "`unfold`, copied." => |c| copied(c, "unfold");
    "diagonal_copy" Torch "fo" Nothing ["(Tensor self, int offset=0, int dim1=0, int dim2=1) -> Tensor"] "`diagonal`, copied." => |c| copied(c, "diagonal");
    "alias_copy" Torch "fo" Nothing ["(Tensor self) -> Tensor"] "A copy." => |c| copied(c, "alias");
    "as_strided_copy" Torch "fo" Nothing ["(Tensor self, int[] size, int[] stride, int? storage_offset=None) -> Tensor"] "`as_strided`, copied." => |c| copied(c, "as_strided");
    "as_strided_scatter" Torch "fmo" Nothing ["(Tensor self, Tensor src, int[] size, int[] stride, int? storage_offset=None) -> Tensor"] "A copy with the elements at sizes and strides replaced." => as_strided_scatter;
    "slice_scatter" Torch "fmo" Nothing ["(Tensor self, Tensor src, int dim=0, int? start=None, int? end=None, int step=1) -> Tensor"] "A copy with a range of an axis replaced." => slice_scatter;
    "diagonal_scatter" Torch "fm" Nothing ["(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor"] "A copy with a diagonal replaced." => diagonal_scatter;
    "sum_to_size" Torch "m" Nothing ["(Tensor self, int[] size) -> Tensor"] "Sums over what broadcasting to self's sizes would repeat." => sum_to_size;
    "resize_" Torch "m" Nothing ["(Tensor self, int[] size, *, memory_format? memory_format=None) -> Tensor"] "Other sizes, in place." => |c| { let s = c.ints(1)?; resize(c, s) };
    "resize_as_" Torch "fm" Nothing ["(Tensor self, Tensor the_template, *, memory_format? memory_format=None) -> Tensor"] "The sizes of another tensor, in place." => |c| { let s = c.tensor(1)?.sizes(); resize(c, &s) };
    "new_empty_strided" Torch "m" Nothing ["(Tensor self, int[] size, int[] stride, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Unspecified elements (zeros) at the given strides, of the type of self." => |c| { let (s, t) = (c.ints(1)?, c.ints(2)?); let d = c.opt_dtype(3)?.unwrap_or(c.tensor(0)?.dtype()); strided_zeros(c, s, t, d) };
    "empty_permuted" Torch "f" Nothing ["(int[] size, int[] physical_layout, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Unspecified elements (zeros), axes laid out in the given order." => empty_permuted;
}
