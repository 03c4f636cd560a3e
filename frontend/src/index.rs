//! `x[...]`, read and written: integers, slices, `None`, `...`, masks and index tensors.

use crate::error::{Error, Result};
use crate::host;
use crate::node::Value;
use crate::ops::call::broadcast_sizes;
use crate::record::Recorder;
use crate::tensor::Tensor;
use crate::view::{Dims, View};
use ttk_ir::op::ScatterOp;
use ttk_ir::shape::shape;
use ttk_ir::{Binary, Builder, Cmp, DType, Op, Scalar};

/// One item between the brackets.
#[derive(Clone, Debug)]
pub enum Item {
    Int(i64),
    Slice {
        start: Option<i64>,
        stop: Option<i64>,
        step: i64,
    },
    Ellipsis,
    NewAxis,
    /// `True` or `False`: a new axis of size 1 or 0.
    Bool(bool),
    /// Integers, or a mask.
    Tensor(Tensor),
}

/// A view after the basic items, and the index tensors left for its axes.
struct Resolved {
    view: View,
    /// `(axis of the view, index)`, axes rising.
    indices: Vec<(usize, Tensor)>,
}

fn slice_bounds(start: Option<i64>, stop: Option<i64>, step: i64, n: i64) -> Result<(i64, i64)> {
    if step <= 0 {
        return Err(Error::value("step must be greater than zero"));
    }
    let clamp = |v: i64| (if v < 0 { v + n } else { v }).clamp(0, n);
    let start = clamp(start.unwrap_or(0));
    let stop = clamp(stop.unwrap_or(n));
    Ok((start, if stop > start { (stop - start + step - 1) / step } else { 0 }))
}

fn consumed(items: &[Item]) -> usize {
    let axes = |item: &Item| match item {
        Item::Int(_) | Item::Slice { .. } => 1,
        Item::Ellipsis | Item::NewAxis | Item::Bool(_) => 0,
        Item::Tensor(t) if t.dtype() == DType::Bool => t.rank(),
        Item::Tensor(_) => 1,
    };
    items.iter().map(axes).sum()
}

fn resolve(t: &Tensor, items: &[Item]) -> Result<Resolved> {
    let mut view = t.view();
    let rank = view.sizes.len();
    let used = consumed(items);
    if used > rank {
        return Err(Error::index(format!("too many indices for tensor of dimension {rank}")));
    }
    let mut indices: Vec<(usize, Tensor)> = Vec::new();
    let mut axis = 0;
    for item in items {
        match item {
            Item::Int(i) => {
                let n = *view.sizes.get(axis).ok_or_else(|| {
                    Error::index(
                        "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number",
                    )
                })?;
                let at = if *i < 0 { i + n } else { *i };
                if at < 0 || at >= n {
                    return Err(Error::index(format!(
                        "index {i} is out of bounds for dimension {axis} with size {n}"
                    )));
                }
                view = drop_axis(&view.slice(axis, at, 1, 1), axis);
            }
            Item::Slice { start, stop, step } => {
                let (start, len) = slice_bounds(*start, *stop, *step, view.sizes[axis])?;
                view = view.slice(axis, start, len, *step);
                axis += 1;
            }
            Item::Ellipsis => axis += rank - used,
            Item::NewAxis => {
                view = insert_axis(&view, axis);
                axis += 1;
            }
            Item::Bool(b) => {
                view = insert_axis(&view, axis);
                if !b {
                    view = view.slice(axis, 0, 0, 1);
                }
                axis += 1;
            }
            Item::Tensor(index) if index.dtype() == DType::Bool => {
                let sizes = index.sizes();
                for (i, &n) in sizes.iter().enumerate() {
                    if view.sizes[axis + i] != n {
                        return Err(Error::index(format!(
                            "The shape of the mask {:?} at index {i} does not match the shape of the indexed tensor {:?} at index {}",
                            sizes.as_slice(),
                            view.sizes.as_slice(),
                            axis + i
                        )));
                    }
                }
                if sizes.is_empty() {
                    // A 0-d mask is `True` or `False`.
                    view = insert_axis(&view, axis);
                    let keep = host::item(index)?.as_f64() != 0.0;
                    view = if keep { view } else { view.slice(axis, 0, 0, 1) };
                    axis += 1;
                    continue;
                }
                let positions = host::nonzero(index)?;
                for i in 0..sizes.len() {
                    let column = positions.view().slice(1, i as i64, 1, 1);
                    let column = drop_axis(&column, 1);
                    indices.push((axis + i, positions.with_view(column)));
                }
                axis += sizes.len();
            }
            Item::Tensor(index) => {
                if index.dtype().is_float() {
                    return Err(Error::index(
                        "tensors used as indices must be long, int, byte or bool tensors",
                    ));
                }
                indices.push((axis, index.clone()));
                axis += 1;
            }
        }
    }
    Ok(Resolved { view, indices })
}

/// The view without an axis of size 1.
fn drop_axis(view: &View, axis: usize) -> View {
    let mut sizes = view.sizes.clone();
    sizes.remove(axis);
    reshaped(view, &sizes, |strides| {
        strides.remove(axis);
    })
}

/// The view with a new axis of size 1.
fn insert_axis(view: &View, axis: usize) -> View {
    let mut sizes = view.sizes.clone();
    sizes.insert(axis, 1);
    let inner = view.sizes.get(axis).map_or(1, |&n| n * view.strides()[axis]);
    reshaped(view, &sizes, |strides| strides.insert(axis, inner))
}

/// A reshape that only adds or drops axes of size 1; always a view.
fn reshaped(view: &View, sizes: &[i64], edit: impl FnOnce(&mut Dims)) -> View {
    let mut strides = view.strides();
    edit(&mut strides);
    view.then(Op::Reshape(shape(sizes)), sizes.into(), strides, view.offset)
}

/// A view of `t` with an axis of size 1 added or dropped.
pub fn with_axis(view: &View, axis: usize) -> View {
    insert_axis(view, axis)
}

/// The view without an axis of size 1.
pub fn without_axis(view: &View, axis: usize) -> View {
    drop_axis(view, axis)
}

/// `t[items]`: a view for basic items, a new tensor where index tensors are among them.
///
/// # Errors
/// `IndexError` in PyTorch's words; a mask must be computed to know its count.
pub fn get(t: &Tensor, items: &[Item]) -> Result<Tensor> {
    let r = resolve(t, items)?;
    let viewed = t.with_view(r.view);
    if r.indices.is_empty() {
        return Ok(viewed);
    }
    let mut b = Recorder::new();
    let plan = Plan::new(&mut b, &viewed.sizes(), &r.indices)?;
    let x = viewed.value();
    let rows = plan.rows(&mut b, &x);
    let index = plan.expanded(&mut b);
    let taken = b.gather(&rows, &index, 0);
    Ok(Tensor::from_value(plan.result(&mut b, &taken)))
}

/// `t[items] = value`, in place; with `accumulate`, `t[items] += value` where repeated indices add up.
///
/// # Errors
/// As [`get`], a value that does not broadcast, or an in-place write that is not allowed.
pub fn set(t: &Tensor, items: &[Item], value: &Tensor, accumulate: bool) -> Result<()> {
    // A mask of the tensor's own shape, and a value of one element: no need to know where it holds.
    if let [Item::Tensor(mask)] = items
        && mask.dtype() == DType::Bool
        && mask.sizes() == t.sizes()
        && value.numel() == 1
        && !accumulate
    {
        let mut b = Recorder::new();
        let (x, m) = (t.value(), mask.value());
        let v = one_element(&mut b, value, x.ty.dtype);
        let v = b.broadcast(&v, &x.ty.shape);
        let new = b.select(&m, &v, &x);
        return t.write(new);
    }
    let r = resolve(t, items)?;
    // All of the tensor is the tensor itself: what may not be written is a leaf then, and no view of one.
    let viewed = if r.view.steps == t.view().steps { t.clone() } else { t.with_view(r.view) };
    let mut b = Recorder::new();
    let x = viewed.value();
    let v = value.value();
    let v = b.cast(&v, x.ty.dtype);
    if r.indices.is_empty() {
        let sizes = viewed.sizes();
        let v = broadcast_value(&mut b, &v, &sizes)?;
        let new = if accumulate { b.add(&x, &v) } else { v };
        return viewed.write(new);
    }
    let plan = Plan::new(&mut b, &viewed.sizes(), &r.indices)?;
    let v = broadcast_value(&mut b, &v, &plan.result_sizes())?;
    let updates = plan.updates(&mut b, &v);
    let rows = plan.rows(&mut b, &x);
    let index = plan.expanded(&mut b);
    let mode = if accumulate { ScatterOp::Add } else { ScatterOp::Set };
    let written = b.op(Op::Scatter { axis: 0, mode }, &[rows, index, updates]);
    let new = plan.back(&mut b, &written);
    viewed.write(new)
}

fn one_element(b: &mut Recorder, t: &Tensor, dtype: DType) -> Value {
    let v = t.value();
    let v = b.cast(&v, dtype);
    b.reshape(&v, shape(&[]))
}

/// A value broadcast to sizes; leading axes of size 1 beyond them are dropped, as PyTorch allows.
fn broadcast_value(b: &mut Recorder, v: &Value, sizes: &[i64]) -> Result<Value> {
    let own = v.dims();
    let extra = own.len().saturating_sub(sizes.len());
    let fits = own[..extra].iter().all(|&n| n == 1)
        && broadcast_sizes(&own[extra..], sizes).is_ok_and(|s| s.as_slice() == sizes);
    if !fits {
        return Err(Error::runtime(format!(
            "shape mismatch: value tensor of shape {:?} cannot be broadcast to indexing result of shape {sizes:?}",
            own.as_slice()
        )));
    }
    let v = b.reshape(v, shape(&own[extra..]));
    Ok(b.broadcast(&v, &shape(sizes)))
}

/// How indexed axes become rows of a matrix: `rows[linear index, rest]`.
struct Plan {
    sizes: Dims,
    /// The indexed axes first, then the others.
    perm: Vec<usize>,
    n_indexed: usize,
    /// The broadcast sizes of the indices.
    index_sizes: Dims,
    /// Row numbers, `i64` of `index_sizes`.
    linear: Value,
    /// Where the index axes stand in the result.
    place: usize,
}

impl Plan {
    fn new(b: &mut Recorder, sizes: &[i64], indices: &[(usize, Tensor)]) -> Result<Plan> {
        let axes: Vec<usize> = indices.iter().map(|(a, _)| *a).collect();
        let adjacent = axes.windows(2).all(|w| w[1] == w[0] + 1);
        let mut index_sizes = Dims::new();
        for (_, t) in indices {
            index_sizes = broadcast_sizes(&index_sizes, &t.sizes()).map_err(|_| {
                let shapes: Vec<String> =
                    indices.iter().map(|(_, t)| format!("{:?}", t.sizes().as_slice())).collect();
                Error::index(format!(
                    "shape mismatch: indexing tensors could not be broadcast together with shapes {}",
                    shapes.join(", ")
                ))
            })?;
        }
        let shape_of_index = shape(&index_sizes);
        let number =
            |b: &mut Recorder, v: i64| b.constant(Scalar::from_i64(DType::I64, v), shape_of_index.clone());
        let mut linear: Option<Value> = None;
        let mut invalid: Option<Value> = None;
        for (axis, t) in indices {
            let n = sizes[*axis];
            let i = t.value();
            let i = b.cast(&i, DType::I64);
            let i = b.broadcast(&i, &shape_of_index);
            let (zero, size) = (number(b, 0), number(b, n));
            let negative = b.cmp(Cmp::Lt, &i, &zero);
            let wrapped = b.add(&i, &size);
            let i = b.select(&negative, &wrapped, &i);
            if indices.len() > 1 {
                // A position out of range on one axis could be a valid row of the matrix by accident.
                let (low, high) = (b.cmp(Cmp::Lt, &i, &zero), b.cmp(Cmp::Le, &size, &i));
                let bad = b.binary(Binary::Or, &low, &high);
                invalid = Some(match invalid {
                    Some(before) => b.binary(Binary::Or, &before, &bad),
                    None => bad,
                });
            }
            linear = Some(match linear {
                Some(before) => {
                    let rows = b.mul(&before, &size);
                    b.add(&rows, &i)
                }
                None => i,
            });
        }
        let mut linear = linear.ok_or_else(|| Error::index("an index is needed"))?;
        if let Some(invalid) = invalid {
            let outside = number(b, -1);
            linear = b.select(&invalid, &outside, &linear);
        }
        let mut perm = axes.clone();
        perm.extend((0..sizes.len()).filter(|a| !axes.contains(a)));
        let place = if adjacent { axes[0] } else { 0 };
        Ok(Plan { sizes: sizes.into(), perm, n_indexed: axes.len(), index_sizes, linear, place })
    }

    fn count(&self) -> i64 {
        self.index_sizes.iter().product()
    }

    fn row_sizes(&self) -> (i64, i64) {
        let of = |axes: &[usize]| axes.iter().map(|&a| self.sizes[a]).product();
        (of(&self.perm[..self.n_indexed]), of(&self.perm[self.n_indexed..]))
    }

    fn rest_sizes(&self) -> Dims {
        self.perm[self.n_indexed..].iter().map(|&a| self.sizes[a]).collect()
    }

    fn rows(&self, b: &mut Recorder, x: &Value) -> Value {
        let (n, m) = self.row_sizes();
        let x = b.permute(x, &self.perm);
        b.reshape(&x, shape(&[n, m]))
    }

    /// The inverse of [`Plan::rows`].
    fn back(&self, b: &mut Recorder, rows: &Value) -> Value {
        let permuted: Dims = self.perm.iter().map(|&a| self.sizes[a]).collect();
        let x = b.reshape(rows, shape(&permuted));
        let mut inverse = vec![0; self.perm.len()];
        for (i, &p) in self.perm.iter().enumerate() {
            inverse[p] = i;
        }
        b.permute(&x, &inverse)
    }

    /// Row numbers repeated over the columns.
    fn expanded(&self, b: &mut Recorder) -> Value {
        let (_, m) = self.row_sizes();
        let i = b.reshape(&self.linear, shape(&[self.count(), 1]));
        b.expand(&i, shape(&[self.count(), m]))
    }

    fn result_sizes(&self) -> Dims {
        let rest = self.rest_sizes();
        let mut out: Dims = rest[..self.place].into();
        out.extend(self.index_sizes.iter().copied());
        out.extend(rest[self.place..].iter().copied());
        out
    }

    /// `[count, m]` as the result: index axes at their place.
    fn result(&self, b: &mut Recorder, taken: &Value) -> Value {
        let mut sizes = self.index_sizes.clone();
        sizes.extend(self.rest_sizes());
        let x = b.reshape(taken, shape(&sizes));
        let (k, rank) = (self.index_sizes.len(), sizes.len());
        let mut perm: Vec<usize> = (k..k + self.place).collect();
        perm.extend(0..k);
        perm.extend(k + self.place..rank);
        b.permute(&x, &perm)
    }

    /// The inverse of [`Plan::result`].
    fn updates(&self, b: &mut Recorder, v: &Value) -> Value {
        let k = self.index_sizes.len();
        let rank = k + self.rest_sizes().len();
        let mut perm: Vec<usize> = (self.place..self.place + k).collect();
        perm.extend(0..self.place);
        perm.extend(self.place + k..rank);
        let x = b.permute(v, &perm);
        let (_, m) = self.row_sizes();
        b.reshape(&x, shape(&[self.count(), m]))
    }
}
