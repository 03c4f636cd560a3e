//! Views and rearrangements.

use super::rows;
use super::support::with1;
use crate::composite::{Scope, layout, patches};
use crate::error::{Error, Result, scalar_type_name};
use crate::index::{with_axis, without_axis};
use crate::node::Value;
use crate::ops::args::Arg;
use crate::ops::call::{Call, Returned, broadcast_sizes, normalize_dim, normalize_dims};
use crate::ops::promote::promote_types;
use crate::tensor::Tensor;
use crate::view::{Dims, numel};
use ttk_ir::{Builder, DType};

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

/// The view without the axes of size 1 among `axes`.
fn squeeze(t: &Tensor, axes: &[usize]) -> Tensor {
    let mut view = t.view();
    for &a in axes.iter().rev() {
        if view.sizes[a] == 1 {
            view = without_axis(&view, a);
        }
    }
    t.with_view(view)
}

fn unsqueeze(t: &Tensor, dim: i64) -> Result<Tensor> {
    let axis = normalize_dim(dim, t.rank() + 1)?;
    Ok(t.with_view(with_axis(&t.view(), axis)))
}

pub(super) fn expand(t: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let own = t.view();
    let extra = sizes.len() as i64 - own.sizes.len() as i64;
    if extra < 0 {
        return Err(Error::runtime(format!(
            "expand(torch.FloatTensor{{{:?}}}, size={sizes:?}): the number of sizes provided ({}) must be greater or equal to the number of dimensions in the tensor ({})",
            own.sizes.as_slice(),
            sizes.len(),
            own.sizes.len()
        )));
    }
    let mut view = own.clone();
    for _ in 0..extra {
        view = with_axis(&view, 0);
    }
    let mut target: Dims = sizes.into();
    for (i, n) in target.iter_mut().enumerate() {
        let have = view.sizes[i];
        if *n == -1 && i as i64 >= extra {
            *n = have;
        }
        if *n < 0 || (have != 1 && have != *n) {
            return Err(Error::runtime(format!(
                "The expanded size of the tensor ({n}) must match the existing size ({have}) at non-singleton dimension {i}.  Target sizes: {sizes:?}.  Tensor sizes: {:?}",
                own.sizes.as_slice()
            )));
        }
    }
    Ok(t.with_view(view.expand(&target)))
}

fn select(t: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
    let view = t.view();
    if view.sizes.is_empty() {
        return Err(Error::index("select() cannot be applied to a 0-dim tensor."));
    }
    let axis = normalize_dim(dim, view.sizes.len())?;
    let n = view.sizes[axis];
    let at = if index < 0 { index + n } else { index };
    if at < 0 || at >= n {
        return Err(Error::index(format!(
            "select(): index {index} out of range for tensor of size {:?} at dimension {axis}",
            view.sizes.as_slice()
        )));
    }
    Ok(t.with_view(without_axis(&view.slice(axis, at, 1, 1), axis)))
}

fn narrow(t: &Tensor, dim: i64, start: i64, len: i64) -> Result<Tensor> {
    let view = t.view();
    if view.sizes.is_empty() {
        return Err(Error::runtime("narrow() cannot be applied to a 0-dim tensor."));
    }
    let axis = normalize_dim(dim, view.sizes.len())?;
    let n = view.sizes[axis];
    if len < 0 {
        return Err(Error::runtime("narrow(): length must be non-negative."));
    }
    if start < -n || start > n {
        return Err(Error::index(format!(
            "Dimension out of range (expected to be in range of [{}, {n}], but got {start})",
            -n
        )));
    }
    let at = if start < 0 { start + n } else { start };
    if at + len > n {
        return Err(Error::runtime(format!("start ({at}) + length ({len}) exceeds dimension size ({n}).")));
    }
    Ok(t.with_view(view.slice(axis, at, len, 1)))
}

/// Parts of the given lengths along an axis.
fn split_lengths(t: &Tensor, lengths: &[i64], axis: usize) -> Vec<Tensor> {
    let view = t.view();
    let mut start = 0;
    lengths
        .iter()
        .map(|&n| {
            let part = t.with_view(view.slice(axis, start, n, 1));
            start += n;
            part
        })
        .collect()
}

fn axis_size(c: &Call<'_>, t: &Tensor, dim: i64) -> Result<(usize, i64)> {
    if t.rank() == 0 {
        return Err(Error::runtime(format!("{}(): expects at least a 1-dimensional tensor", c.name())));
    }
    let axis = normalize_dim(dim, t.rank())?;
    Ok((axis, t.sizes()[axis]))
}

fn split(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    let (axis, n) = axis_size(c, &t, c.int(2)?)?;
    let lengths: Vec<i64> = match &c.args[1] {
        Arg::Int(size) => {
            let size = *size;
            if size < 0 || (size == 0 && n != 0) {
                return Err(Error::runtime(format!(
                    "split expects split_size be non-negative, but got split_size={size}"
                )));
            }
            if n == 0 { vec![0] } else { (0..n).step_by(size as usize).map(|s| size.min(n - s)).collect() }
        }
        _ => {
            let list = c.ints(1)?.to_vec();
            if list.iter().sum::<i64>() != n || list.iter().any(|&l| l < 0) {
                return Err(Error::runtime(format!(
                    "split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {axis}), but got split_sizes={list:?}"
                )));
            }
            list
        }
    };
    Ok(Returned::List(split_lengths(&t, &lengths, axis)))
}

fn chunk(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    let chunks = c.int(1)?;
    let (axis, n) = axis_size(c, &t, c.int(2)?)?;
    if chunks <= 0 {
        return Err(Error::runtime(format!("chunk expects `chunks` to be greater than 0, got: {chunks}")));
    }
    let size = ((n + chunks - 1) / chunks).max(1);
    let lengths: Vec<i64> = if n == 0 {
        vec![0; chunks as usize]
    } else {
        (0..n).step_by(size as usize).map(|s| size.min(n - s)).collect()
    };
    Ok(Returned::List(split_lengths(&t, &lengths, axis)))
}

fn tensor_split(c: &mut Call<'_>, axis: usize, at: usize) -> Result<Returned> {
    let t = c.tensor(0)?;
    let n = t.sizes()[axis];
    let lengths: Vec<i64> = match &c.args[at] {
        Arg::Int(k) if *k <= 0 => {
            return Err(Error::runtime(format!("number of sections must be larger than 0, got {k}")));
        }
        Arg::Int(k) => (0..*k).map(|i| n / k + i64::from(i < n % k)).collect(),
        _ => {
            let mut last = 0;
            let mut out = Vec::new();
            for &i in c.ints(at)? {
                let i = (if i < 0 { i + n } else { i }).clamp(0, n);
                out.push((i - last).max(0));
                last = i.max(last);
            }
            out.push(n - last);
            out
        }
    };
    Ok(Returned::List(split_lengths(&t, &lengths, axis)))
}

/// A copy of a tensor's bytes as elements of a type of another width.
fn other_width(t: &Tensor, dtype: DType) -> Result<Tensor> {
    let (from, to) = (t.dtype().size() as i64, dtype.size() as i64);
    let names = (scalar_type_name(t.dtype()), scalar_type_name(dtype));
    let mut sizes = t.sizes();
    if from != to {
        let Some(last) = sizes.last_mut() else {
            return Err(Error::runtime(format!(
                "self.dim() cannot be 0 to view {} as {} (different element sizes)",
                names.0, names.1
            )));
        };
        if *last * from % to != 0 {
            return Err(Error::runtime(format!(
                "self.size(-1) must be divisible by {} to view {} as {} (different element sizes), but got {last}",
                to / from,
                names.0,
                names.1
            )));
        }
        *last = *last * from / to;
    }
    crate::host::from_bytes(&crate::host::bytes(&t.detach())?, dtype, &sizes)
}

/// Operands of a concatenation in their common type; empty 1-d tensors do not count.
fn joined(c: &mut Call<'_>, tensors: &[Tensor], dim: i64) -> Result<Returned> {
    if tensors.is_empty() {
        return Err(Error::value("torch.cat(): expected a non-empty list of Tensors"));
    }
    let dtype = tensors.iter().map(Tensor::dtype).reduce(promote_types).unwrap_or(DType::F32);
    let kept: Vec<&Tensor> = tensors.iter().filter(|t| t.sizes().as_slice() != [0]).collect();
    let Some(first) = kept.first() else { return Ok(tensors[0].value().into()) };
    if first.rank() == 0 {
        return Err(Error::runtime("zero-dimensional tensor (at position 0) cannot be concatenated"));
    }
    let axis = normalize_dim(dim, first.rank())?;
    let own = first.sizes();
    for (i, t) in kept.iter().enumerate() {
        let s = t.sizes();
        if s.len() != own.len() {
            return Err(Error::runtime(format!(
                "Tensors must have same number of dimensions: got {} and {}",
                own.len(),
                s.len()
            )));
        }
        for d in 0..s.len() {
            if d != axis && s[d] != own[d] {
                return Err(Error::runtime(format!(
                    "Sizes of tensors must match except in dimension {axis}. Expected size {} but got size {} for tensor number {i} in the list.",
                    own[d], s[d]
                )));
            }
        }
    }
    if let Some(t) = crate::host::concatenated(&kept, axis, dtype)? {
        return Ok(t.into());
    }
    let values: Vec<_> = kept
        .iter()
        .map(|t| {
            let v = t.value();
            c.b.cast(&v, dtype)
        })
        .collect();
    Ok(c.b.concat(&values, axis).into())
}

fn stack(c: &mut Call<'_>) -> Result<Returned> {
    let tensors = c.tensors(0)?;
    let Some(first) = tensors.first() else {
        return Err(Error::runtime("stack expects a non-empty TensorList"));
    };
    let sizes = first.sizes();
    for (i, t) in tensors.iter().enumerate() {
        if t.sizes() != sizes {
            return Err(Error::runtime(format!(
                "stack expects each tensor to be equal size, but got {:?} at entry 0 and {:?} at entry {i}",
                sizes.as_slice(),
                t.sizes().as_slice()
            )));
        }
    }
    let dim = c.int(1)?;
    let raised: Vec<Tensor> = tensors.iter().map(|t| unsqueeze(t, dim)).collect::<Result<_>>()?;
    let axis = normalize_dim(dim, sizes.len() + 1)?;
    joined(c, &raised, axis as i64)
}

/// `hstack` and its like: each tensor brought to a least rank, then joined.
fn stacked(c: &mut Call<'_>, least: fn(&Tensor) -> Tensor, dim: impl Fn(usize) -> i64) -> Result<Returned> {
    let tensors: Vec<Tensor> = c.tensors(0)?.iter().map(least).collect();
    let rank = tensors.first().map_or(1, Tensor::rank);
    joined(c, &tensors, dim(rank))
}

fn at_least(t: &Tensor, rank: usize) -> Tensor {
    let mut view = t.view();
    match (rank, view.sizes.len()) {
        (1, 0) => view = with_axis(&view, 0),
        (2, 0) => view = with_axis(&with_axis(&view, 0), 0),
        (2, 1) => view = with_axis(&view, 0),
        (3, 0) => view = with_axis(&with_axis(&with_axis(&view, 0), 0), 0),
        (3, 1) => view = with_axis(&with_axis(&view, 0), 2),
        (3, 2) => view = with_axis(&view, 2),
        _ => return t.clone(),
    }
    t.with_view(view)
}

fn at_least_of(c: &mut Call<'_>, rank: usize) -> Result<Returned> {
    if c.overload == 0 {
        return Ok(at_least(&c.tensor(0)?, rank).into());
    }
    let items = c.tensors(0)?.iter().map(|t| at_least(t, rank)).collect();
    Ok(Returned::Tuple { names: &[], items })
}

fn flatten(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    let rank = t.rank();
    let (a, z) = (c.dim(1, rank)?, c.dim(2, rank)?);
    if rank == 0 {
        return Ok(reshape(c, &t, &[1])?.into());
    }
    if a > z {
        return Err(Error::runtime("flatten() has invalid args: start_dim cannot come after end_dim"));
    }
    let sizes = t.sizes();
    let mut out: Dims = sizes[..a].into();
    out.push(sizes[a..=z].iter().product());
    out.extend_from_slice(&sizes[z + 1..]);
    if out == sizes {
        return Ok(t.into());
    }
    Ok(reshape(c, &t, &out)?.into())
}

fn move_dims(t: &Tensor, from: &[i64], to: &[i64]) -> Result<Tensor> {
    let rank = t.rank();
    if from.len() != to.len() {
        return Err(Error::runtime(
            "movedim: Invalid source or destination dims: they must have the same number of elements",
        ));
    }
    let (from, to) = (normalize_dims(from, rank)?, normalize_dims(to, rank)?);
    let mut perm: Vec<Option<usize>> = vec![None; rank];
    for (f, &t) in from.iter().zip(&to) {
        perm[t] = Some(*f);
    }
    let mut rest = (0..rank).filter(|a| !from.contains(a));
    let perm: Vec<usize> = perm.into_iter().map(|p| p.or_else(|| rest.next()).unwrap_or(0)).collect();
    Ok(t.with_view(t.view().permute(&perm)))
}

fn repeat(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let times = c.ints(1)?;
    if times.len() < x.ty.rank() {
        return Err(Error::runtime(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor",
        ));
    }
    repeated(c, &x, times)
}

fn tile(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let mut times: Vec<i64> = c.ints(1)?.to_vec();
    while times.len() < x.ty.rank() {
        times.insert(0, 1);
    }
    repeated(c, &x, &times)
}

/// Copies of `x` side by side, `times` of them along each axis; missing axes of `x` come first.
fn repeated(c: &mut Call<'_>, x: &Value, times: &[i64]) -> Result<Returned> {
    let dims = x.dims();
    let own = std::iter::repeat_n(1, times.len() - dims.len()).chain(dims.iter().copied());
    let sizes: Vec<i64> = own.zip(times).map(|(n, k)| n.saturating_mul(*k)).collect();
    super::creation::check_sizes(&sizes)?;
    Ok(with1(&mut c.b, x, |x| layout::repeat(x, times)).into())
}

fn repeat_interleave(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    let dim = c.opt_int(2)?;
    let t = if dim.is_none() { reshape(c, &t, &[-1])? } else { t };
    let axis = normalize_dim(dim.unwrap_or(0), t.rank())?;
    if let Arg::Int(n) = &c.args[1] {
        let (x, n) = (t.value(), *n);
        if n < 0 {
            return Err(Error::runtime("Repeats must be non-negative"));
        }
        return Ok(with1(&mut c.b, &x, |x| layout::repeat_interleave(x, n, axis)).into());
    }
    let counts = crate::host::scalars(&c.tensor(1)?)?;
    let n = t.sizes()[axis];
    let counts: Vec<i64> = counts.iter().map(|s| s.as_i64()).collect();
    let counts = if counts.len() == 1 { vec![counts[0]; n as usize] } else { counts };
    if counts.len() as i64 != n || counts.iter().any(|&k| k < 0) {
        return Err(Error::runtime("repeats must have the same size as input along dim"));
    }
    let total = counts.iter().fold(0i64, |n, k| n.saturating_add(*k));
    crate::host::check_room(total, size_of::<crate::ops::Number>())?;
    let index: Vec<crate::ops::Number> = counts
        .iter()
        .enumerate()
        .flat_map(|(i, &k)| std::iter::repeat_n(crate::ops::Number::Int(i as i64), k as usize))
        .collect();
    let index = crate::host::from_numbers(&index, DType::I64, &[index.len() as i64])?;
    let mut items = vec![crate::index::Item::Slice { start: None, stop: None, step: 1 }; axis];
    items.push(crate::index::Item::Tensor(index));
    Ok(crate::index::get(&t, &items)?.into())
}

fn roll(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let shifts = c.ints(1)?;
    let dims = c.ints(2)?;
    if dims.is_empty() {
        let [s] = shifts else { return Err(Error::runtime("`shifts` required")) };
        let s = *s;
        return Ok(with1(&mut c.b, &x, |x| layout::roll_flat(x, s)).into());
    }
    if shifts.len() != dims.len() {
        return Err(Error::runtime(format!(
            "shifts and dimensions must align. shifts: {}, dims:{}",
            shifts.len(),
            dims.len()
        )));
    }
    let axes = dims.iter().map(|&d| normalize_dim(d, x.ty.rank())).collect::<Result<Vec<_>>>()?;
    let moves: Vec<(usize, i64)> = axes.into_iter().zip(shifts.iter().copied()).collect();
    Ok(with1(&mut c.b, &x, |x| layout::roll(x, &moves)).into())
}

fn meshgrid(c: &mut Call<'_>) -> Result<Returned> {
    let parts: Vec<_> = c.tensors(0)?.iter().map(Tensor::value).collect();
    let xy = c.opt_str(1)? == Some("xy");
    let scope = Scope::new(&mut c.b);
    let mut vals: Vec<_> = parts.iter().map(|v| scope.val(v)).collect();
    if xy && vals.len() > 1 {
        vals.swap(0, 1);
    }
    let mut grids = layout::meshgrid(&vals);
    if xy && grids.len() > 1 {
        grids.swap(0, 1);
    }
    let items = grids.into_iter().map(|g| Tensor::from_value(g.into_value())).collect();
    Ok(Returned::Tuple { names: &[], items })
}

fn triangle(c: &mut Call<'_>, lower: bool) -> Result<Returned> {
    let x = c.value(0)?;
    if x.ty.rank() < 2 {
        return Err(Error::runtime(format!("{}: input tensor must have at least 2 dimensions", c.name())));
    }
    let k = c.int(1)?;
    Ok(with1(&mut c.b, &x, |x| if lower { layout::tril(x, k) } else { layout::triu(x, k) }).into())
}

fn diagonal(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let rank = x.ty.rank();
    let (k, a, z) = (c.int(1)?, c.dim(2, rank)?, c.dim(3, rank)?);
    if a == z {
        return Err(Error::runtime(format!("diagonal dimensions cannot be identical {a}, {z}")));
    }
    Ok(with1(&mut c.b, &x, |x| layout::diagonal(x, k, a, z)).into())
}

fn to_shape(c: &mut Call<'_>) -> Result<Returned> {
    let (t, like) = (c.tensor(0)?, c.tensor(1)?);
    Ok(view(&t, &like.sizes())?.into())
}

fn pixels(c: &mut Call<'_>, r: i64, shuffle: bool) -> Result<Returned> {
    let x = c.value(0)?;
    let dims = x.dims();
    let rank = dims.len();
    if rank < 3 || r <= 0 {
        return Err(Error::runtime(format!(
            "{} expects input to have at least 3 dimensions and a positive factor",
            c.name()
        )));
    }
    let fits = if shuffle {
        dims[rank - 3] % (r * r) == 0
    } else {
        dims[rank - 2] % r == 0 && dims[rank - 1] % r == 0
    };
    if !fits {
        return Err(Error::runtime(format!(
            "{}: sizes {:?} are not divisible by the factor {r}",
            c.name(),
            dims.as_slice()
        )));
    }
    Ok(with1(&mut c.b, &x, |x| {
        if shuffle { patches::pixel_shuffle(x, r) } else { patches::pixel_unshuffle(x, r) }
    })
    .into())
}

/// Windows of an axis.
fn unfold(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let (axis, n, s) = (c.dim(1, x.ty.rank())?, c.int(2)?, c.int(3)?);
    let have = x.dims().get(axis).copied().unwrap_or(1);
    if n > have || n < 0 {
        return Err(Error::runtime(format!(
            "maximum size for tensor at dimension {axis} is {have} but size is {n}"
        )));
    }
    if s <= 0 {
        return Err(Error::runtime(format!("step is {s} but must be > 0")));
    }
    if x.ty.rank() == 0 {
        return Ok(c.b.reshape(&x, ttk_ir::shape::shape(&[n])).into());
    }
    Ok(with1(&mut c.b, &x, |x| patches::unfold_axis(x, axis, n, s)).into())
}

rows! {
    "view" Torch "m" Nothing ["(Tensor self, int[] size) -> Tensor", "(Tensor self, dtype dtype) -> Tensor"] "The same elements under other sizes, sharing memory." => |c| {
            let t = c.tensor(0)?;
            if c.overload == 0 {
                return Ok(view(&t, c.ints(1)?)?.into());
            }
            let dtype = c.opt_dtype(1)?.unwrap_or(t.dtype());
            if dtype == t.dtype() {
                return Ok(view(&t, &t.sizes())?.into());
            }
            let x = t.value();
            if dtype.size() != x.ty.dtype.size() || x.ty.dtype == DType::Bool || dtype == DType::Bool {
                return Ok(other_width(&t, dtype)?.into());
            }
            Ok(c.b.op(ttk_ir::Op::Bitcast(dtype), &[x]).into())
        };
    "reshape" Torch "fm" Nothing ["(Tensor self, int[] shape) -> Tensor"] "The same elements under other sizes; a view where that is possible, else a copy." => |c| { let t = c.tensor(0)?; let sizes = c.ints(1)?; Ok(reshape(c, &t, sizes)?.into()) };
    "view_as" Torch "m" Nothing ["(Tensor self, Tensor other) -> Tensor"] "A view with the sizes of another tensor." => to_shape;
    "reshape_as" Torch "m" Nothing ["(Tensor self, Tensor other) -> Tensor"] "The same elements with the sizes of another tensor." => |c| { let (t, like) = (c.tensor(0)?, c.tensor(1)?); Ok(reshape(c, &t, &like.sizes())?.into()) };
    "permute" Torch "fm" Nothing ["(Tensor self, int[] dims) -> Tensor"] "A view with axes in another order." => |c| Ok(permute(&c.tensor(0)?, c.ints(1)?)?.into());
    "transpose" Torch "fmi" Nothing ["(Tensor self, int dim0, int dim1) -> Tensor"] "A view with two axes exchanged." => |c| Ok(transpose(&c.tensor(0)?, c.int(1)?, c.int(2)?)?.into());
    "swapaxes" Torch "fmi" Nothing ["(Tensor self, int dim0, int dim1) -> Tensor"] "A view with two axes exchanged." => |c| Ok(transpose(&c.tensor(0)?, c.int(1)?, c.int(2)?)?.into());
    "swapdims" Torch "fmi" Nothing ["(Tensor self, int dim0, int dim1) -> Tensor"] "A view with two axes exchanged." => |c| Ok(transpose(&c.tensor(0)?, c.int(1)?, c.int(2)?)?.into());
    "t" Torch "fmi" Nothing ["(Tensor self) -> Tensor"] "A matrix transposed (a view)." => |c| {
            let t = c.tensor(0)?;
            match t.rank() {
                0 | 1 => Ok(t.with_view(t.view()).into()),
                2 => Ok(transpose(&t, 0, 1)?.into()),
                n => Err(Error::runtime(format!("t() expects a tensor with <= 2 dimensions, but self is {n}D"))),
            }
        };
    "adjoint" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "Matrices transposed (a view)." => |c| Ok(transpose(&c.tensor(0)?, -2, -1)?.into());
    "movedim" Torch "fm" Nothing ["(Tensor self, int source, int destination) -> Tensor", "(Tensor self, int[] source, int[] destination) -> Tensor"] "A view with axes at other places." => |c| {
            let t = c.tensor(0)?;
            if c.overload == 0 { let (a, z) = (c.int(1)?, c.int(2)?); return Ok(move_dims(&t, &[a], &[z])?.into()); }
            Ok(move_dims(&t, c.ints(1)?, c.ints(2)?)?.into())
        };
    "moveaxis" Torch "fm" Nothing ["(Tensor self, int source, int destination) -> Tensor", "(Tensor self, int[] source, int[] destination) -> Tensor"] "A view with axes at other places." => |c| {
            let t = c.tensor(0)?;
            if c.overload == 0 { let (a, z) = (c.int(1)?, c.int(2)?); return Ok(move_dims(&t, &[a], &[z])?.into()); }
            Ok(move_dims(&t, c.ints(1)?, c.ints(2)?)?.into())
        };
    "squeeze" Torch "fmi" Nothing ["(Tensor self) -> Tensor", "(Tensor self, int dim) -> Tensor", "(Tensor self, int[] dim) -> Tensor"] "A view without axes of size 1." => |c| {
            let t = c.tensor(0)?;
            let rank = t.rank();
            let axes = match c.overload {
                0 => (0..rank).collect(),
                1 => { let a = c.dim(1, rank)?; if rank == 0 { vec![] } else { vec![a] } }
                _ => { let mut a = normalize_dims(c.ints(1)?, rank)?; a.sort(); a }
            };
            Ok(squeeze(&t, &axes).into())
        };
    "unsqueeze" Torch "fmi" Nothing ["(Tensor self, int dim) -> Tensor"] "A view with a new axis of size 1." => |c| Ok(unsqueeze(&c.tensor(0)?, c.int(1)?)?.into());
    "expand" Torch "m" Nothing ["(Tensor self, int[] size, *, bool implicit=False) -> Tensor"] "A view with axes of size 1 repeated." => |c| Ok(expand(&c.tensor(0)?, c.ints(1)?)?.into());
    "expand_as" Torch "m" Nothing ["(Tensor self, Tensor other) -> Tensor"] "A view repeated to the sizes of another tensor." => |c| Ok(expand(&c.tensor(0)?, &c.tensor(1)?.sizes())?.into());
    "broadcast_to" Torch "fm" Nothing ["(Tensor self, int[] size) -> Tensor"] "A view repeated to the given sizes." => |c| Ok(expand(&c.tensor(0)?, c.ints(1)?)?.into());
    "broadcast_tensors" Torch "f" Nothing ["(Tensor[] tensors) -> Tensor[]"] "Views of one shape." => |c| {
            let tensors = c.tensors(0)?;
            let mut sizes = Dims::new();
            for t in tensors { sizes = broadcast_sizes(&sizes, &t.sizes())?; }
            let items = tensors.iter().map(|t| expand(t, &sizes)).collect::<Result<_>>()?;
            Ok(Returned::List(items))
        };
    "select" Torch "fm" Nothing ["(Tensor self, int dim, int index) -> Tensor"] "A view of one position of an axis, which is dropped." => |c| Ok(select(&c.tensor(0)?, c.int(1)?, c.int(2)?)?.into());
    "narrow" Torch "fm" Nothing ["(Tensor self, int dim, int start, int length) -> Tensor"] "A view of a range of an axis." => |c| Ok(narrow(&c.tensor(0)?, c.int(1)?, c.int(2)?, c.int(3)?)?.into());
    "narrow_copy" Torch "fm" Nothing ["(Tensor self, int dim, int start, int length) -> Tensor"] "A copy of a range of an axis." => |c| Ok(narrow(&c.tensor(0)?, c.int(1)?, c.int(2)?, c.int(3)?)?.value().into());
    "split" Torch "fm" Nothing ["(Tensor self, int split_size, int dim=0) -> Tensor[]", "(Tensor self, int[] split_size, int dim=0) -> Tensor[]"] "Views of parts of the given size, or sizes." => split;
    "split_with_sizes" Torch "fm" Nothing ["(Tensor self, int[] split_sizes, int dim=0) -> Tensor[]"] "Views of parts of the given sizes." => split;
    "chunk" Torch "fm" Nothing ["(Tensor self, int chunks, int dim=0) -> Tensor[]"] "Views of so many parts." => chunk;
    "unsafe_chunk" Torch "fm" Nothing ["(Tensor self, int chunks, int dim=0) -> Tensor[]"] "Views of so many parts." => chunk;
    "unsafe_split" Torch "fm" Nothing ["(Tensor self, int split_size, int dim=0) -> Tensor[]"] "Views of parts of the given size." => split;
    "tensor_split" Torch "fm" Nothing ["(Tensor self, int sections, int dim=0) -> Tensor[]", "(Tensor self, int[] indices, int dim=0) -> Tensor[]", "(Tensor self, Tensor tensor_indices_or_sections, int dim=0) -> Tensor[]"] "Views of so many nearly equal parts, or of parts between positions." => |c| {
            let t = c.tensor(0)?;
            let (axis, _) = axis_size(c, &t, c.int(2)?)?;
            let Arg::Tensor(given) = &c.args[1] else { return tensor_split(c, axis, 1) };
            if given.dtype() != DType::I64 || given.rank() > 1 {
                return Err(Error::runtime("tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor of dtype long"));
            }
            let numbers: Dims = crate::host::scalars(given)?.iter().map(|s| s.as_i64()).collect();
            let mut args = c.args.to_vec();
            args[1] = if given.rank() == 0 { Arg::Int(numbers[0]) } else { Arg::Ints(numbers) };
            tensor_split(&mut Call::new(c.row, c.overload, &args), axis, 1)
        };
    "hsplit" Torch "fm" Nothing ["(Tensor self, int sections) -> Tensor[]", "(Tensor self, int[] indices) -> Tensor[]"] "Views of parts along a fixed axis." => |c| { let rank = c.tensor(0)?.rank(); if rank < 1 { return Err(Error::runtime(format!("torch.hsplit requires a tensor with at least 1 dimension, but got a tensor with {rank} dimensions!"))); } let axis = usize::from(rank > 1); let n = c.tensor(0)?.sizes()[axis]; if let Arg::Int(k) = &c.args[1] && (*k <= 0 || n % k != 0) { return Err(Error::runtime(format!("torch.hsplit attempted to split along dimension {axis}, but the size of the dimension {n} is not divisible by the split_size {k}!"))); } tensor_split(c, axis, 1) };
    "vsplit" Torch "fm" Nothing ["(Tensor self, int sections) -> Tensor[]", "(Tensor self, int[] indices) -> Tensor[]"] "Views of parts along a fixed axis." => |c| { let rank = c.tensor(0)?.rank(); if rank < 2 { return Err(Error::runtime(format!("torch.vsplit requires a tensor with at least 2 dimension, but got a tensor with {rank} dimensions!"))); } let axis = 0; let n = c.tensor(0)?.sizes()[axis]; if let Arg::Int(k) = &c.args[1] && (*k <= 0 || n % k != 0) { return Err(Error::runtime(format!("torch.vsplit attempted to split along dimension {axis}, but the size of the dimension {n} is not divisible by the split_size {k}!"))); } tensor_split(c, axis, 1) };
    "dsplit" Torch "fm" Nothing ["(Tensor self, int sections) -> Tensor[]", "(Tensor self, int[] indices) -> Tensor[]"] "Views of parts along a fixed axis." => |c| { let rank = c.tensor(0)?.rank(); if rank < 3 { return Err(Error::runtime(format!("torch.dsplit requires a tensor with at least 3 dimension, but got a tensor with {rank} dimensions!"))); } let axis = 2; let n = c.tensor(0)?.sizes()[axis]; if let Arg::Int(k) = &c.args[1] && (*k <= 0 || n % k != 0) { return Err(Error::runtime(format!("torch.dsplit attempted to split along dimension {axis}, but the size of the dimension {n} is not divisible by the split_size {k}!"))); } tensor_split(c, axis, 1) };
    "unbind" Torch "fm" Nothing ["(Tensor self, int dim=0) -> Tensor[]"] "Views of every position of an axis." => |c| {
            let t = c.tensor(0)?;
            let (axis, n) = axis_size(c, &t, c.int(1)?)?;
            Ok(Returned::List((0..n).map(|i| select(&t, axis as i64, i)).collect::<Result<_>>()?))
        };
    "cat" Torch "fo" Nothing ["(Tensor[] tensors, int dim=0) -> Tensor"] "Tensors joined along an axis." => |c| { let t = c.tensors(0)?; let d = c.int(1)?; joined(c, t, d) };
    "concat" Torch "fo" Nothing ["(Tensor[] tensors, int dim=0) -> Tensor"] "Tensors joined along an axis." => |c| { let t = c.tensors(0)?; let d = c.int(1)?; joined(c, t, d) };
    "concatenate" Torch "fo" Nothing ["(Tensor[] tensors, int dim=0) -> Tensor"] "Tensors joined along an axis." => |c| { let t = c.tensors(0)?; let d = c.int(1)?; joined(c, t, d) };
    "stack" Torch "fo" Nothing ["(Tensor[] tensors, int dim=0) -> Tensor"] "Tensors joined along a new axis." => stack;
    "hstack" Torch "fo" Nothing ["(Tensor[] tensors) -> Tensor"] "Tensors joined along the second axis (the first, if they have one)." => |c| stacked(c, |t| at_least(t, 1), |rank| i64::from(rank > 1));
    "vstack" Torch "fo" Nothing ["(Tensor[] tensors) -> Tensor"] "Tensors joined along the first axis, as rows." => |c| stacked(c, |t| at_least(t, 2), |_| 0);
    "row_stack" Torch "fo" Nothing ["(Tensor[] tensors) -> Tensor"] "Tensors joined along the first axis, as rows." => |c| stacked(c, |t| at_least(t, 2), |_| 0);
    "dstack" Torch "fo" Nothing ["(Tensor[] tensors) -> Tensor"] "Tensors joined along the third axis." => |c| stacked(c, |t| at_least(t, 3), |_| 2);
    "column_stack" Torch "fo" Nothing ["(Tensor[] tensors) -> Tensor"] "Tensors joined as columns." => |c| stacked(c, |t| if t.rank() < 2 { let v = at_least(t, 1); v.with_view(with_axis(&v.view(), 1)) } else { t.clone() }, |_| 1);
    "atleast_1d" Torch "f" Nothing ["(Tensor self) -> Tensor", "(Tensor[] tensors) -> Tensor[]"] "Views with at least 1 axes." => |c| at_least_of(c, 1);
    "atleast_2d" Torch "f" Nothing ["(Tensor self) -> Tensor", "(Tensor[] tensors) -> Tensor[]"] "Views with at least 2 axes." => |c| at_least_of(c, 2);
    "atleast_3d" Torch "f" Nothing ["(Tensor self) -> Tensor", "(Tensor[] tensors) -> Tensor[]"] "Views with at least 3 axes." => |c| at_least_of(c, 3);
    "flatten" Torch "fm" Nothing ["(Tensor self, int start_dim=0, int end_dim=-1) -> Tensor"] "Axes merged into one." => flatten;
    "ravel" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "One axis." => |c| { let t = c.tensor(0)?; Ok(reshape(c, &t, &[-1])?.into()) };
    "unflatten" Torch "fm" Nothing ["(Tensor self, int dim, int[] sizes) -> Tensor"] "An axis split into several." => |c| {
            let t = c.tensor(0)?;
            let (axis, n) = axis_size(c, &t, c.int(1)?)?;
            let sizes = c.ints(2)?;
            if sizes.is_empty() { return Err(Error::runtime("unflatten: sizes must be non-empty")); }
            let parts = infer_size(sizes, n).map_err(|_| Error::runtime(format!("unflatten: Provided sizes {sizes:?} don't multiply up to the size of dim {axis} ({n}) in the input tensor")))?;
            let own = t.sizes();
            let mut out: Dims = own[..axis].into();
            out.extend(parts);
            out.extend_from_slice(&own[axis + 1..]);
            Ok(view(&t, &out).or_else(|_| reshape(c, &t, &out))?.into())
        };
    "contiguous" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "The tensor itself if its elements lie in order, else a copy." => |c| { let t = c.tensor(0)?; if t.view().is_contiguous() { return Ok(t.into()); } Ok(t.value().into()) };
    "clone" Torch "fm" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "A copy." => |c| Ok(c.value(0)?.into());
    "alias" Torch "f" Nothing ["(Tensor self) -> Tensor"] "A view of the whole." => |c| { let t = c.tensor(0)?; Ok(t.with_view(t.view()).into()) };
    "repeat" Torch "m" Nothing ["(Tensor self, int[] repeats) -> Tensor"] "Copies side by side." => repeat;
    "tile" Torch "fm" Nothing ["(Tensor self, int[] dims) -> Tensor"] "Copies side by side; missing axes count 1." => tile;
    "repeat_interleave" Torch "fm" Nothing ["(Tensor self, int repeats, int? dim=None, *, int? output_size=None) -> Tensor", "(Tensor self, Tensor repeats, int? dim=None, *, int? output_size=None) -> Tensor"] "Each element so many times." => repeat_interleave;
    "flip" Torch "fm" Nothing ["(Tensor self, int[] dims) -> Tensor"] "Axes turned round." => |c| { let x = c.value(0)?; let axes = normalize_dims(c.ints(1)?, x.ty.rank())?; Ok(with1(&mut c.b, &x, |x| x.flip(&axes)).into()) };
    "fliplr" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "The second axis turned round." => |c| { let x = c.value(0)?; if x.ty.rank() < 2 { return Err(Error::runtime("Input must be >= 2-d.")); } Ok(with1(&mut c.b, &x, |x| x.flip(&[1])).into()) };
    "flipud" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "The first axis turned round." => |c| { let x = c.value(0)?; if x.ty.rank() < 1 { return Err(Error::runtime("Input must be >= 1-d.")); } Ok(with1(&mut c.b, &x, |x| x.flip(&[0])).into()) };
    "roll" Torch "fm" Nothing ["(Tensor self, int[1] shifts, int[1] dims=[]) -> Tensor"] "Elements moved along axes, round the end." => roll;
    "rot90" Torch "fm" Nothing ["(Tensor self, int k=1, int[] dims=[0,1]) -> Tensor"] "Turned by quarter turns in a plane." => |c| { let x = c.value(0)?; let k = c.int(1)?; let axes = normalize_dims(c.ints(2)?, x.ty.rank())?; let [a, z] = axes[..] else { return Err(Error::runtime(format!("expected total rotation dims == 2, but got dims = {}", axes.len()))); }; Ok(with1(&mut c.b, &x, |x| layout::rot90(x, k, a, z)).into()) };
    "meshgrid" Torch "f" Nothing ["(Tensor[] tensors, *, str? indexing=None) -> Tensor[]"] "Coordinates of a grid." => meshgrid;
    "cartesian_prod" Torch "f" Nothing ["(Tensor[] tensors) -> Tensor"] "Every combination, as rows." => |c| { let parts: Vec<_> = c.tensors(0)?.iter().map(Tensor::value).collect(); if let [one] = &parts[..] { return Ok(one.clone().into()); } let scope = Scope::new(&mut c.b); let vals: Vec<_> = parts.iter().map(|v| scope.val(v)).collect(); Ok(layout::cartesian_prod(&vals).into_value().into()) };
    "block_diag" Torch "f" Nothing ["(Tensor[] tensors) -> Tensor"] "Matrices along a diagonal." => |c| { let parts: Vec<_> = c.tensors(0)?.iter().map(|t| at_least(t, 2).value()).collect(); let scope = Scope::new(&mut c.b); let vals: Vec<_> = parts.iter().map(|v| scope.val(v)).collect(); Ok(layout::block_diag(&vals).into_value().into()) };
    "tril" Torch "fmio" Nothing ["(Tensor self, int diagonal=0) -> Tensor"] "The lower triangle." => |c| triangle(c, true);
    "triu" Torch "fmio" Nothing ["(Tensor self, int diagonal=0) -> Tensor"] "The upper triangle." => |c| triangle(c, false);
    "diagonal" Torch "fm" Nothing ["(Tensor self, int offset=0, int dim1=0, int dim2=1) -> Tensor"] "The diagonal of two axes, as the last axis (a copy)." => diagonal;
    "diag_embed" Torch "fm" Nothing ["(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -> Tensor"] "The last axis as a diagonal." => |c| { let x = c.value(0)?; let rank = x.ty.rank() + 1; let (k, a, z) = (c.int(1)?, c.dim(2, rank)?, c.dim(3, rank)?); if a == z { return Err(Error::runtime(format!("diagonal dimensions cannot be identical {a}, {z}"))); } Ok(with1(&mut c.b, &x, |x| layout::diag_embed(x, k, a, z)).into()) };
    "diag" Torch "fmo" Nothing ["(Tensor self, int diagonal=0) -> Tensor"] "A vector as a diagonal, or the diagonal of a matrix." => |c| { let x = c.value(0)?; if !(1..=2).contains(&x.ty.rank()) { return Err(Error::runtime(format!("diag(): Supports 1D or 2D tensors. Got {}D", x.ty.rank()))); } let k = c.int(1)?; Ok(with1(&mut c.b, &x, |x| layout::diag(x, k)).into()) };
    "diagflat" Torch "fm" Nothing ["(Tensor self, int offset=0) -> Tensor"] "All elements as a diagonal." => |c| { let t = c.tensor(0)?; let x = reshape(c, &t, &[-1])?.value(); let k = c.int(1)?; Ok(with1(&mut c.b, &x, |x| layout::diag(x, k)).into()) };
    "trace" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "The sum of the diagonal." => |c| { let x = c.value(0)?; if x.ty.rank() != 2 { return Err(Error::runtime("trace: expected a matrix")); } let x = if x.ty.dtype.is_float() { x } else { c.b.cast(&x, DType::I64) }; Ok(with1(&mut c.b, &x, layout::trace).into()) };
    "unfold" Torch "m" Nothing ["(Tensor self, int dimension, int size, int step) -> Tensor"] "Windows of an axis, as a new last axis (a copy)." => unfold;
    "as_strided" Torch "fm" Nothing ["(Tensor self, int[] size, int[] stride, int? storage_offset=None) -> Tensor"] "The storage's elements under any sizes and strides." => |c| { let t = c.tensor(0)?; let o = c.opt_int(3)?.unwrap_or(t.view().offset); super::copies::as_strided(c, &t, o) };
    "as_strided_" Torch "fm" Nothing ["(Tensor self, int[] size, int[] stride, int? storage_offset=None) -> Tensor"] "Other sizes and strides of the storage, in place." => |c| { let t = c.tensor(0)?; let o = c.opt_int(3)?.unwrap_or(t.view().offset); t.set_data(&t.as_strided(c.ints(1)?, c.ints(2)?, o)?); Ok(t.into()) };
    "vander" Torch "f" Nothing ["(Tensor x, int? N=None, bool increasing=False) -> Tensor"] "Powers of a vector as columns." => |c| { let x = c.value(0)?; if x.ty.rank() != 1 { return Err(Error::runtime("x must be a one-dimensional tensor.")); } let n = c.opt_int(1)?.unwrap_or(x.dims()[0]); let up = c.bool(2)?; let x = if x.ty.dtype.is_float() { x } else { c.b.cast(&x, DType::I64) }; Ok(with1(&mut c.b, &x, |x| layout::vander(x, n, up)).into()) };
    "result_type" Torch "f" Nothing ["(Operand tensor, Operand other) -> dtype"] "The type of arithmetic between two operands." => |c| { let (x, y) = (c.operand(0)?, c.operand(1)?); Ok(Returned::DType(c.promote(&[&x, &y]))) };
    "pixel_shuffle" Torch "f" Nothing ["(Tensor self, int upscale_factor) -> Tensor"] "Channels moved into space." => |c| { let r = c.int(1)?; pixels(c, r, true) };
    "pixel_unshuffle" Torch "f" Nothing ["(Tensor self, int downscale_factor) -> Tensor"] "Space moved into channels." => |c| { let r = c.int(1)?; pixels(c, r, false) };
    "pixel_shuffle" Nn "f" Nothing ["(Tensor self, int upscale_factor) -> Tensor"] "Channels moved into space." => |c| { let r = c.int(1)?; pixels(c, r, true) };
    "pixel_unshuffle" Nn "f" Nothing ["(Tensor self, int downscale_factor) -> Tensor"] "Space moved into channels." => |c| { let r = c.int(1)?; pixels(c, r, false) };
    "channel_shuffle" Torch "f" Nothing ["(Tensor self, int groups) -> Tensor"] "Channels of groups taken in turn." => |c| { let x = c.value(0)?; let g = c.int(1)?; if x.ty.rank() < 3 || g <= 0 || x.dims()[1] % g != 0 { return Err(Error::runtime("channel_shuffle: number of channels must be divisible by groups")); } Ok(with1(&mut c.b, &x, |x| patches::channel_shuffle(x, g)).into()) };
    "channel_shuffle" Nn "f" Nothing ["(Tensor self, int groups) -> Tensor"] "Channels of groups taken in turn." => |c| { let x = c.value(0)?; let g = c.int(1)?; if x.ty.rank() < 3 || g <= 0 || x.dims()[1] % g != 0 { return Err(Error::runtime("channel_shuffle: number of channels must be divisible by groups")); } Ok(with1(&mut c.b, &x, |x| patches::channel_shuffle(x, g)).into()) };
    "select_scatter" Torch "fm" Nothing ["(Tensor self, Tensor src, int dim, int index) -> Tensor"] "A copy with one position of an axis replaced." => |c| { let (x, v) = (c.value(0)?, c.value(1)?); let axis = c.dim(2, x.ty.rank())?; let i = c.int(3)?; let n = x.dims()[axis]; let i = if i < 0 { i + n } else { i }; if i < 0 || i >= n { return Err(Error::index("select_scatter(): index out of range")); } let v = c.b.cast(&v, x.ty.dtype); Ok(super::support::with2(&mut c.b, &x, &v, |x, v| layout::select_scatter(x, v, axis, i)).into()) };
    "is_floating_point" Torch "f" Nothing ["(Tensor self) -> bool"] "Whether elements are floats." =>
        |c| Ok(Returned::Number(crate::ops::Number::Bool(c.tensor(0)?.dtype().is_float())));
    "is_complex" Torch "f" Nothing ["(Tensor self) -> bool"] "Whether elements are complex: never." =>
        |_| Ok(Returned::Number(crate::ops::Number::Bool(false)));
    "is_signed" Torch "f" Nothing ["(Tensor self) -> bool"] "Whether elements can be negative." =>
        |c| Ok(Returned::Number(crate::ops::Number::Bool(c.tensor(0)?.dtype().is_signed())));
    "is_nonzero" Torch "fm" Nothing ["(Tensor self) -> bool"] "Whether the one element is not zero." => |c| {
            let t = c.tensor(0)?;
            match t.numel() {
                1 => Ok(Returned::Number(crate::ops::Number::Bool(crate::host::item(&t)?.as_f64() != 0.0))),
                0 => Err(Error::runtime("Boolean value of Tensor with no values is ambiguous")),
                _ => Err(Error::runtime("Boolean value of Tensor with more than one value is ambiguous")),
            }
        };
    "is_same_size" Torch "fm" Nothing ["(Tensor self, Tensor other) -> bool"] "Whether two tensors have the same sizes." =>
        |c| Ok(Returned::Number(crate::ops::Number::Bool(c.tensor(0)?.sizes() == c.tensor(1)?.sizes())));
    "numel" Torch "f" Nothing ["(Tensor self) -> int"] "How many elements there are." =>
        |c| Ok(Returned::Number(crate::ops::Number::Int(c.tensor(0)?.numel())));
    "detach" Torch "f" Nothing ["(Tensor self) -> Tensor"] "The same memory, through which no derivative flows." =>
        |c| Ok(c.tensor(0)?.detach().into());
}
