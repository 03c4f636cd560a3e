//! Reductions, scans and orders.

use super::rows;
use super::support::{
    VALUES_INDICES, at_least_1d, drop_axes, named, pair1, require_float, same2, to_float, with1, with2,
};
use crate::composite::{arithmetic as ar, order, reduction as rd, scan, softmax as sm};
use crate::error::{Error, Exception, Result, scalar_type_name};
use crate::node::Value;
use crate::ops::args::{Arg, Number};
use crate::ops::call::{Call, Operand, Returned, normalize_dim};
use crate::tensor::Tensor;
use ttk_ir::{Binary, Builder, DType, ReduceOp};

/// The axes and `keepdim` of the overloads `(self, *, ..)` and `(self, dim, keepdim, ..)`, and where the
/// arguments after them start.
fn axes_of(c: &Call<'_>, rank: usize) -> Result<(Vec<usize>, bool, usize)> {
    match c.overload {
        0 => Ok(((0..rank).collect(), false, 1)),
        _ => Ok((c.dims_or_all(1, rank)?, c.bool(2)?, 3)),
    }
}

/// Reducing nothing has no largest element.
fn not_empty(c: &Call<'_>, x: &Value, axes: &[usize]) -> Result<()> {
    let dims = x.dims();
    if axes.iter().any(|&a| dims[a] == 0) || (axes.is_empty() && dims.contains(&0)) {
        return Err(Error::index(format!(
            "{}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.",
            c.name()
        )));
    }
    Ok(())
}

/// As [`not_empty`], where everything is reduced.
fn some_elements(c: &Call<'_>, x: &Value) -> Result<()> {
    if !x.dims().contains(&0) {
        return Ok(());
    }
    Err(Error::runtime(format!(
        "{}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.",
        c.name()
    )))
}

/// Sums and products: integers give int64.
fn accumulate(c: &mut Call<'_>, op: ReduceOp) -> Result<Returned> {
    let x = c.value(0)?;
    let (axes, keep, at) = axes_of(c, x.ty.rank())?;
    let own = x.ty.dtype;
    let dtype = c.opt_dtype(at)?.unwrap_or(if own.is_float() { own } else { DType::I64 });
    let x = c.b.cast(&x, dtype);
    let r = match op {
        ReduceOp::Prod => with1(&mut c.b, &x, |x| rd::prod(x, &axes)),
        ReduceOp::Sum | ReduceOp::Max | ReduceOp::Min => c.b.reduce(op, &x, &axes),
    };
    Ok(drop_axes(&mut c.b, &r, &axes, keep).into())
}

fn mean(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let (axes, keep, at) = axes_of(c, x.ty.rank())?;
    let dtype = c.opt_dtype(at)?.unwrap_or(x.ty.dtype);
    if !dtype.is_float() {
        return Err(Error::Plain {
            exception: Exception::NotImplemented,
            detail: format!(
                "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: {}",
                scalar_type_name(dtype)
            ),
        });
    }
    let x = c.b.cast(&x, dtype);
    let r = with1(&mut c.b, &x, |x| rd::mean(x, &axes));
    Ok(drop_axes(&mut c.b, &r, &axes, keep).into())
}

/// A float reduction over axes given as `(self, dim, keepdim, dtype)`.
fn float_reduce(
    c: &mut Call<'_>,
    f: for<'r> fn(&super::support::V<'r>, &[usize]) -> super::support::V<'r>,
    to_int64: bool,
) -> Result<Returned> {
    let x = c.value(0)?;
    let axes = c.dims_or_all(1, x.ty.rank())?;
    let keep = c.bool(2)?;
    let own = x.ty.dtype;
    let wanted = if c.args.len() > 3 { c.opt_dtype(3)? } else { None };
    let dtype = wanted.unwrap_or(if own.is_float() || !to_int64 { own } else { DType::I64 });
    let x = c.b.cast(&x, dtype);
    let r = with1(&mut c.b, &x, |x| f(x, &axes));
    Ok(drop_axes(&mut c.b, &r, &axes, keep).into())
}

/// `max` and `min`: of everything, along an axis with positions, or of two tensors.
fn extreme(c: &mut Call<'_>, op: ReduceOp) -> Result<Returned> {
    let x = c.value(0)?;
    match c.overload {
        0 => {
            let axes: Vec<usize> = (0..x.ty.rank()).collect();
            some_elements(c, &x)?;
            let r = extremes(c, &x, op, &axes);
            Ok(drop_axes(&mut c.b, &r, &axes, false).into())
        }
        1 => {
            let axis = c.dim(1, x.ty.rank())?;
            let keep = c.bool(2)?;
            let scalar = x.ty.rank() == 0;
            let x = at_least_1d(&mut c.b, &x);
            not_empty(c, &x, &[axis])?;
            let wide = if x.ty.dtype == DType::Bool { c.b.cast(&x, DType::U8) } else { x.clone() };
            let (v, i) = pair1(&mut c.b, &wide, |x| match op {
                ReduceOp::Max => rd::max_along(x, axis),
                ReduceOp::Min | ReduceOp::Sum | ReduceOp::Prod => rd::min_along(x, axis),
            });
            let v = c.b.cast(&v, x.ty.dtype);
            let (v, i) = squeeze_pair(c, v, i, axis, keep && !scalar);
            Ok(named(VALUES_INDICES, v, i))
        }
        _ => same2(
            c,
            match op {
                ReduceOp::Max => |x, y| x.binary(Binary::Max, y),
                ReduceOp::Min | ReduceOp::Sum | ReduceOp::Prod => |x, y| x.binary(Binary::Min, y),
            },
        ),
    }
}

/// Largest or smallest elements over axes, of any type.
fn extremes(c: &mut Call<'_>, x: &Value, op: ReduceOp, axes: &[usize]) -> Value {
    let wide = if x.ty.dtype == DType::Bool { c.b.cast(x, DType::U8) } else { x.clone() };
    let r = c.b.reduce(op, &wide, axes);
    c.b.cast(&r, x.ty.dtype)
}

/// Drops an axis of size 1, if it is there, from both.
fn squeeze_pair(c: &mut Call<'_>, v: Value, i: Value, axis: usize, keep: bool) -> (Value, Value) {
    (drop_axes(&mut c.b, &v, &[axis], keep), drop_axes(&mut c.b, &i, &[axis], keep))
}

fn amax(c: &mut Call<'_>, op: ReduceOp) -> Result<Returned> {
    let x = c.value(0)?;
    let axes = c.dims_or_all(1, x.ty.rank())?;
    let keep = c.bool(2)?;
    if axes.len() == x.ty.rank() {
        some_elements(c, &x)?;
    }
    not_empty(c, &x, &axes)?;
    let r = extremes(c, &x, op, &axes);
    Ok(drop_axes(&mut c.b, &r, &axes, keep).into())
}

fn arg_extreme(c: &mut Call<'_>, largest: bool) -> Result<Returned> {
    let x = c.value(0)?;
    let keep = c.bool(2)?;
    let wide = if x.ty.dtype == DType::Bool { c.b.cast(&x, DType::U8) } else { x };
    let (x, axis) = match c.opt_int(1)? {
        Some(d) => {
            let axis = normalize_dim(d, wide.ty.rank())?;
            (at_least_1d(&mut c.b, &wide), axis)
        }
        None => {
            let n = wide.dims().iter().product();
            let flat = c.b.reshape(&wide, ttk_ir::shape::shape(&[n]));
            (flat, 0)
        }
    };
    not_empty(c, &x, &[axis])?;
    let i = with1(&mut c.b, &x, |x| if largest { rd::argmax(x, axis) } else { rd::argmin(x, axis) });
    let flat = c.opt_int(1)?.is_none();
    if flat && keep {
        let ones: Vec<i64> = vec![1; wide.ty.rank()];
        return Ok(c.b.reshape(&i, ttk_ir::shape::shape(&ones)).into());
    }
    let keep = keep && wide.ty.rank() > 0;
    // Positions may come with the axis or without it.
    let i = if i.ty.rank() == x.ty.rank() { drop_axes(&mut c.b, &i, &[axis], keep) } else { i };
    Ok(i.into())
}

fn truth(c: &mut Call<'_>, every: bool) -> Result<Returned> {
    let x = c.value(0)?;
    let (axes, keep, _) = axes_of(c, x.ty.rank())?;
    let m = with1(&mut c.b, &x, |x| {
        let t = ar::truth(x);
        if every { rd::all(&t, &axes) } else { rd::any(&t, &axes) }
    });
    let m = drop_axes(&mut c.b, &m, &axes, keep);
    // A byte tensor's truth is a byte.
    let m = if x.ty.dtype == DType::U8 { c.b.cast(&m, DType::U8) } else { m };
    Ok(m.into())
}

/// The axes, the correction and `keepdim` of the three overloads of `var` and its like.
fn variance_arguments(c: &Call<'_>, rank: usize) -> Result<(Vec<usize>, f64, bool)> {
    match c.overload {
        // `var(x, False)` and `var(x, 0)` are told apart by the type of the one argument.
        0 => match c.number(1)? {
            Number::Bool(unbiased) => Ok(((0..rank).collect(), unbiased as i64 as f64, false)),
            n => {
                let axis = normalize_dim(n.as_i64(), rank)?;
                Ok((if rank == 0 { vec![] } else { vec![axis] }, 1.0, false))
            }
        },
        1 => {
            let axes = c.dims_or_all(1, rank)?;
            let correction = c.opt_number(2)?.map_or(1.0, |n| n.as_f64());
            Ok((axes, correction, c.bool(3)?))
        }
        _ => Ok((c.dims_or_all(1, rank)?, c.bool(2)? as i64 as f64, c.bool(3)?)),
    }
}

fn variance(c: &mut Call<'_>, root: bool, with_mean: bool) -> Result<Returned> {
    let x = c.value(0)?;
    if !x.ty.dtype.is_float() {
        return Err(Error::runtime(format!(
            "{} only support floating point and complex dtypes",
            if root { "std and std_mean" } else { "var and var_mean" }
        )));
    }
    let (axes, correction, keep) = variance_arguments(c, x.ty.rank())?;
    let v =
        with1(
            &mut c.b,
            &x,
            |x| if root { rd::std(x, &axes, correction) } else { rd::var(x, &axes, correction) },
        );
    let v = drop_axes(&mut c.b, &v, &axes, keep);
    if !with_mean {
        return Ok(v.into());
    }
    let m = with1(&mut c.b, &x, |x| rd::mean(x, &axes));
    let m = drop_axes(&mut c.b, &m, &axes, keep);
    Ok(named(&[], v, m))
}

/// The order of a norm: a number, `'fro'` or `'nuc'`.
fn norm(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let p = match &c.args[1] {
        Arg::Str(s) if s == "fro" => 2.0,
        Arg::Str(s) if s == "nuc" => return nuclear_norm(c),
        Arg::Str(s) => {
            return Err(Error::runtime(format!("only valid p-string is 'fro' or 'nuc', found {s}")));
        }
        Arg::None => 2.0,
        _ => c.float(1)?,
    };
    let axes = c.dims_or_all(2, x.ty.rank())?;
    let keep = c.bool(3)?;
    let x = match c.opt_dtype(4)? {
        Some(d) => c.b.cast(&x, d),
        None => x,
    };
    if !x.ty.dtype.is_float() {
        return Err(Error::runtime(format!(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got {}",
            scalar_type_name(x.ty.dtype)
        )));
    }
    let r = with1(&mut c.b, &x, |x| rd::vector_norm(x, p, &axes));
    Ok(drop_axes(&mut c.b, &r, &axes, keep).into())
}

/// The sum of the singular values over two axes.
fn nuclear_norm(c: &mut Call<'_>) -> Result<Returned> {
    use crate::ops::matrix::norms;
    let x = c.value(0)?;
    let (axes, keep) = (c.dims_or_all(2, x.ty.rank())?, c.bool(3)?);
    let x = match c.opt_dtype(4)? {
        Some(d) => c.b.cast(&x, d),
        None => x,
    };
    super::systems::norm_of(c, &x, norms::Order::Nuclear, &axes, keep)
}

/// A scan along an axis; integers become int64 for sums and products.
fn scanned(
    c: &mut Call<'_>,
    f: for<'r> fn(&super::support::V<'r>, usize) -> super::support::V<'r>,
    sums: bool,
) -> Result<Returned> {
    let x = c.value(0)?;
    let axis = c.dim(1, x.ty.rank())?;
    let own = x.ty.dtype;
    let wanted = if c.args.len() > 2 { c.opt_dtype(2)? } else { None };
    let x = match wanted {
        Some(d) => c.b.cast(&x, d),
        None if sums && !own.is_float() => c.b.cast(&x, DType::I64),
        None => x,
    };
    if x.ty.rank() == 0 {
        return Ok(x.into());
    }
    Ok(with1(&mut c.b, &x, |x| f(x, axis)).into())
}

fn scan_pair(
    c: &mut Call<'_>,
    f: for<'r> fn(&super::support::V<'r>, usize) -> (super::support::V<'r>, super::support::V<'r>),
) -> Result<Returned> {
    let x = c.value(0)?;
    let axis = c.dim(1, x.ty.rank())?;
    let scalar = x.ty.rank() == 0;
    let x = at_least_1d(&mut c.b, &x);
    let (v, i) = pair1(&mut c.b, &x, |x| f(x, axis));
    let (v, i) = if scalar { squeeze_pair(c, v, i, 0, false) } else { (v, i) };
    Ok(named(VALUES_INDICES, v, i))
}

fn sort(c: &mut Call<'_>) -> Result<Returned> {
    let (dim, descending) = match c.overload {
        0 => (c.int(1)?, c.bool(2)?),
        _ => (c.int(2)?, c.bool(3)?),
    };
    let x = c.value(0)?;
    let axis = normalize_dim(dim, x.ty.rank())?;
    let scalar = x.ty.rank() == 0;
    let x = at_least_1d(&mut c.b, &x);
    let (v, i) = pair1(&mut c.b, &x, |x| order::sort(x, axis, descending));
    let (v, i) = if scalar { squeeze_pair(c, v, i, 0, false) } else { (v, i) };
    Ok(named(VALUES_INDICES, v, i))
}

fn argsort(c: &mut Call<'_>) -> Result<Returned> {
    match sort(c)? {
        Returned::Tuple { mut items, .. } => match items.pop() {
            Some(i) => Ok(i.into()),
            None => Err(Error::Internal { detail: "sort gave nothing".into() }),
        },
        other => Ok(other),
    }
}

fn topk(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let k = c.int(1)?;
    let axis = c.dim(2, x.ty.rank())?;
    let scalar = x.ty.rank() == 0;
    let largest = c.bool(3)?;
    let x = at_least_1d(&mut c.b, &x);
    if k < 0 || k > x.dims()[axis] {
        return Err(Error::runtime("selected index k out of range"));
    }
    let (v, i) = pair1(&mut c.b, &x, |x| order::topk(x, k, axis, largest));
    let (v, i) = if scalar && k == 1 { squeeze_pair(c, v, i, 0, false) } else { (v, i) };
    Ok(named(VALUES_INDICES, v, i))
}

/// An order statistic along an axis, which is dropped unless kept.
fn statistic(
    c: &mut Call<'_>,
    axis: usize,
    keep: bool,
    f: impl for<'r> FnOnce(&super::support::V<'r>, usize) -> (super::support::V<'r>, super::support::V<'r>),
) -> Result<Returned> {
    let x = c.value(0)?;
    let scalar = x.ty.rank() == 0;
    let x = at_least_1d(&mut c.b, &x);
    not_empty(c, &x, &[axis])?;
    let (v, i) = pair1(&mut c.b, &x, |x| f(x, axis));
    let whole = v.ty.rank() == x.ty.rank();
    let keep = keep && !scalar;
    let (v, i) = if whole {
        squeeze_pair(c, v, i, axis, keep)
    } else if keep {
        let mut sizes = x.dims();
        sizes[axis] = 1;
        let shape = ttk_ir::shape::shape(&sizes);
        (c.b.reshape(&v, shape.clone()), c.b.reshape(&i, shape))
    } else {
        (v, i)
    };
    Ok(named(VALUES_INDICES, v, i))
}

fn median(c: &mut Call<'_>, skip_nan: bool) -> Result<Returned> {
    if c.overload == 0 {
        let x = c.value(0)?;
        let n: i64 = x.dims().iter().product();
        if n == 0 {
            let none = if x.ty.dtype.is_float() { Number::Float(f64::NAN) } else { Number::Int(i64::MIN) };
            return Ok(c.b.constant(none.scalar(x.ty.dtype), ttk_ir::Shape::new()).into());
        }
        let flat = c.b.reshape(&x, ttk_ir::shape::shape(&[n]));
        let (v, _) =
            pair1(&mut c.b, &flat, |x| if skip_nan { order::nanmedian(x, 0) } else { order::median(x, 0) });
        return Ok(c.b.reshape(&v, ttk_ir::shape::shape(&[])).into());
    }
    let rank = c.tensor(0)?.rank();
    let (axis, keep) = (c.dim(1, rank)?, c.bool(2)?);
    statistic(c, axis, keep, |x, a| if skip_nan { order::nanmedian(x, a) } else { order::median(x, a) })
}

fn quantile(c: &mut Call<'_>, skip_nan: bool) -> Result<Returned> {
    let x = c.value(0)?;
    require_float(c, &x)?;
    let q = match c.operand(1)? {
        Operand::Tensor(t) => {
            let q = t.value();
            if q.ty.dtype != x.ty.dtype {
                return Err(Error::runtime("quantile() q tensor must be same dtype as the input tensor"));
            }
            q
        }
        Operand::Number(n) => {
            if !(0.0..=1.0).contains(&n.as_f64()) {
                return Err(Error::runtime(format!(
                    "quantile() q must be in the range [0, 1] but got {}",
                    n.as_f64()
                )));
            }
            c.b.constant(n.scalar(x.ty.dtype), ttk_ir::Shape::new())
        }
    };
    let keep = c.bool(3)?;
    let how = match c.str(4)? {
        "linear" => order::Interpolation::Linear,
        "lower" => order::Interpolation::Lower,
        "higher" => order::Interpolation::Higher,
        "midpoint" => order::Interpolation::Midpoint,
        "nearest" => order::Interpolation::Nearest,
        other => {
            return Err(Error::runtime(format!(
                "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {other}"
            )));
        }
    };
    let rank = x.ty.rank();
    let (x, axis, all) = match c.opt_int(2)? {
        Some(d) => (at_least_1d(&mut c.b, &x), normalize_dim(d, rank)?, false),
        None => {
            let n = x.dims().iter().product();
            (c.b.reshape(&x, ttk_ir::shape::shape(&[n])), 0, true)
        }
    };
    let r = with2(&mut c.b, &x, &q, |x, q| order::quantile(x, q, axis, how, skip_nan));
    if !keep {
        return Ok(if q.ty.rank() == 0 { drop_axes(&mut c.b, &r, &[0], false) } else { r }.into());
    }
    let mut sizes: Vec<i64> = if q.ty.rank() == 1 { vec![q.dims()[0]] } else { vec![] };
    if all || rank == 0 {
        sizes.extend(vec![1; rank]);
    } else {
        sizes.extend(x.dims().iter().enumerate().map(|(i, &n)| if i == axis { 1 } else { n }));
    }
    Ok(c.b.reshape(&r, ttk_ir::shape::shape(&sizes)).into())
}

fn normalized(
    c: &mut Call<'_>,
    f: for<'r> fn(&super::support::V<'r>, usize) -> super::support::V<'r>,
) -> Result<Returned> {
    let x = c.value(0)?;
    // `torch.softmax(x, dim, dtype)`, or `F.softmax(x, dim=None, _stacklevel, dtype)`.
    let rank = x.ty.rank();
    let axis = match c.opt_int(1)? {
        Some(d) => normalize_dim(d, rank)?,
        None => {
            if matches!(rank, 0 | 1 | 3) {
                0
            } else {
                1
            }
        }
    };
    let at = c.args.len() - 1;
    let x = match c.opt_dtype(at)? {
        Some(d) => c.b.cast(&x, d),
        None => x,
    };
    require_float(c, &x)?;
    let scalar = x.ty.rank() == 0;
    let x = at_least_1d(&mut c.b, &x);
    let r = with1(&mut c.b, &x, |x| f(x, axis));
    Ok(if scalar { c.b.reshape(&r, ttk_ir::Shape::new()) } else { r }.into())
}

fn nonzero(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    // A value without axes has one position, when the answer is a tuple.
    let t = if t.rank() == 0 && c.bool(1)? { t.with_view(crate::index::with_axis(&t.view(), 0)) } else { t };
    let x = crate::host::nonzero(&t)?;
    if !c.bool(1)? {
        return Ok(x.into());
    }
    let rank = x.sizes()[1];
    let column = |i| {
        let v = x.view().slice(1, i, 1, 1);
        x.with_view(crate::index::without_axis(&v, 1))
    };
    Ok(Returned::Tuple { names: &[], items: (0..rank).map(column).collect::<Vec<Tensor>>() })
}

fn searchsorted(c: &mut Call<'_>, boundaries: usize, values: usize) -> Result<Returned> {
    let v = c.operand(values)?;
    let s = c.value(boundaries)?;
    if boundaries == 1 && s.ty.rank() != 1 {
        return Err(Error::runtime(format!(
            "boundaries tensor must be 1 dimension, but got dim({})",
            s.ty.rank()
        )));
    }
    let right = c.bool(3)? || c.args.get(4).is_some_and(|a| matches!(a, Arg::Str(t) if t == "right"));
    let scalar = matches!(v, Operand::Number(_));
    let v = match v {
        Operand::Tensor(t) => t.value(),
        Operand::Number(n) => c.b.constant(n.scalar(s.ty.dtype), ttk_ir::Shape::new()),
    };
    let (bounds, given) = (s.dims(), v.dims());
    let lead = bounds.len().saturating_sub(1);
    if bounds.len() != 1 && !scalar && (bounds.len() != given.len() || bounds[..lead] != given[..lead]) {
        return Err(Error::runtime(format!(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value tensor must match, but we got boundaries tensor {:?} and input value tensor {:?}",
            bounds.as_slice(),
            given.as_slice()
        )));
    }
    let dtype = crate::ops::promote::promote_types(v.ty.dtype, s.ty.dtype);
    let (v, s) = (c.b.cast(&v, dtype), c.b.cast(&s, dtype));
    let r = with2(&mut c.b, &s, &v, |s, v| order::searchsorted(s, v, right));
    Ok(if c.bool(2)? { c.b.cast(&r, DType::I32) } else { r }.into())
}

rows! {
    "sum" Torch "fmo" Nothing ["(Tensor self, *, dtype? dtype=None) -> Tensor",
        "(Tensor self, int[1]? dim, bool keepdim=False, *, dtype? dtype=None) -> Tensor"]
        "The sum of all elements, or along axes; integers give int64." => |c| accumulate(c, ReduceOp::Sum);
    "prod" Torch "fmo" Inputs ["(Tensor self, *, dtype? dtype=None) -> Tensor",
        "(Tensor self, int dim, bool keepdim=False, *, dtype? dtype=None) -> Tensor"]
        "The product of all elements, or along an axis; integers give int64." => |c| accumulate(c, ReduceOp::Prod);
    "mean" Torch "fmo" Nothing ["(Tensor self, *, dtype? dtype=None) -> Tensor",
        "(Tensor self, int[1]? dim, bool keepdim=False, *, dtype? dtype=None) -> Tensor"]
        "The mean of all elements, or along axes." => mean;
    "nansum" Torch "fmo" Inputs ["(Tensor self, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor"]
        "The sum of what is not NaN." => |c| float_reduce(c, rd::nansum, true);
    "nanmean" Torch "fmo" Inputs ["(Tensor self, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor"]
        "The mean of what is not NaN." => |c| float_reduce(c, rd::nanmean, false);
    "count_nonzero" Torch "fm" Nothing ["(Tensor self, int[1]? dim=None) -> Tensor"]
        "How many elements are not zero." => |c| {
            let x = c.value(0)?;
            let axes = c.dims_or_all(1, x.ty.rank())?;
            let r = with1(&mut c.b, &x, |x| rd::count_nonzero(x, &axes));
            let r = if r.ty.rank() == x.ty.rank() { drop_axes(&mut c.b, &r, &axes, false) } else { r };
            Ok(c.b.cast(&r, DType::I64).into())
        };
    "max" Torch "fmo" Inputs ["(Tensor self) -> Tensor", "(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
        "(Tensor self, Tensor other) -> Tensor"]
        "The largest element; along an axis with its position; or the larger of two." => |c| extreme(c, ReduceOp::Max);
    "min" Torch "fmo" Inputs ["(Tensor self) -> Tensor", "(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
        "(Tensor self, Tensor other) -> Tensor"]
        "The smallest element; along an axis with its position; or the smaller of two." => |c| extreme(c, ReduceOp::Min);
    "amax" Torch "fmo" Inputs ["(Tensor self, int[1]? dim=None, bool keepdim=False) -> Tensor"]
        "The largest elements along axes." => |c| amax(c, ReduceOp::Max);
    "amin" Torch "fmo" Inputs ["(Tensor self, int[1]? dim=None, bool keepdim=False) -> Tensor"]
        "The smallest elements along axes." => |c| amax(c, ReduceOp::Min);
    "aminmax" Torch "fmo" Inputs ["(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)"]
        "The smallest and the largest elements." => |c| {
            let x = c.value(0)?;
            let axes = c.dims_or_all(1, x.ty.rank())?;
            let keep = c.bool(2)?;
            not_empty(c, &x, &axes)?;
            let (low, high) = (extremes(c, &x, ReduceOp::Min, &axes), extremes(c, &x, ReduceOp::Max, &axes));
            let (low, high) = (drop_axes(&mut c.b, &low, &axes, keep), drop_axes(&mut c.b, &high, &axes, keep));
            Ok(named(&["min", "max"], low, high))
        };
    "argmax" Torch "fmo" Nothing ["(Tensor self, int? dim=None, bool keepdim=False) -> Tensor"]
        "The position of the (first) largest element." => |c| arg_extreme(c, true);
    "argmin" Torch "fmo" Nothing ["(Tensor self, int? dim=None, bool keepdim=False) -> Tensor"]
        "The position of the (first) smallest element." => |c| arg_extreme(c, false);
    "all" Torch "fmo" Nothing ["(Tensor self) -> Tensor", "(Tensor self, int[1]? dim, bool keepdim=False) -> Tensor"]
        "Whether all elements are true." => |c| truth(c, true);
    "any" Torch "fmo" Nothing ["(Tensor self) -> Tensor", "(Tensor self, int[1]? dim, bool keepdim=False) -> Tensor"]
        "Whether any element is true." => |c| truth(c, false);
    "var" Torch "fmo" Inputs ["(Tensor self, Number unbiased) -> Tensor", "(Tensor self, int[1]? dim=None, *, Number? correction=None, bool keepdim=False) -> Tensor",
        "(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor"]
        "The variance, with Bessel's correction unless told otherwise." => |c| variance(c, false, false);
    "std" Torch "fmo" Inputs ["(Tensor self, Number unbiased) -> Tensor", "(Tensor self, int[1]? dim=None, *, Number? correction=None, bool keepdim=False) -> Tensor",
        "(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor"]
        "The standard deviation, with Bessel's correction unless told otherwise." => |c| variance(c, true, false);
    "var_mean" Torch "f" Inputs ["(Tensor self, Number unbiased) -> (Tensor, Tensor)", "(Tensor self, int[1]? dim=None, *, Number? correction=None, bool keepdim=False) -> (Tensor, Tensor)",
        "(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, Tensor)"]
        "Variance and mean." => |c| variance(c, false, true);
    "std_mean" Torch "f" Inputs ["(Tensor self, Number unbiased) -> (Tensor, Tensor)", "(Tensor self, int[1]? dim=None, *, Number? correction=None, bool keepdim=False) -> (Tensor, Tensor)",
        "(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, Tensor)"]
        "Standard deviation and mean." => |c| variance(c, true, true);
    "norm" Torch "fm" Inputs ["(Tensor self, Number? p=2, int[1]? dim=None, bool keepdim=False, dtype? dtype=None) -> Tensor",
        "(Tensor self, str? p, int[1]? dim=None, bool keepdim=False, dtype? dtype=None) -> Tensor"]
        "The p-norm of all elements, or along axes." => norm;
    "vector_norm" Linalg "fo" Inputs ["(Tensor self, Number ord=2, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor"]
        "The p-norm of all elements, or along axes." => norm;
    "cumsum" Torch "fmio" Nothing ["(Tensor self, int dim, *, dtype? dtype=None) -> Tensor"]
        "Sums of the elements up to each position." => |c| scanned(c, scan::cumsum, true);
    "cumprod" Torch "fmio" Inputs ["(Tensor self, int dim, *, dtype? dtype=None) -> Tensor"]
        "Products of the elements up to each position." => |c| scanned(c, scan::cumprod, true);
    "logcumsumexp" Torch "fmo" Inputs ["(Tensor self, int dim) -> Tensor"]
        "The logarithm of the sums of exponentials up to each position." => |c| scanned(c, scan::logcumsumexp, false);
    "cummax" Torch "fmo" Inputs ["(Tensor self, int dim) -> (Tensor values, Tensor indices)"]
        "The largest element up to each position." => |c| scan_pair(c, scan::cummax);
    "cummin" Torch "fmo" Inputs ["(Tensor self, int dim) -> (Tensor values, Tensor indices)"]
        "The smallest element up to each position." => |c| scan_pair(c, scan::cummin);
    "sort" Torch "fmo" Nothing ["(Tensor self, int dim=-1, bool descending=False, bool stable=False) -> (Tensor values, Tensor indices)",
        "(Tensor self, *, bool? stable, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)"]
        "Elements in order along an axis, and where they were; always stable." => sort;
    "argsort" Torch "fm" Nothing ["(Tensor self, int dim=-1, bool descending=False, bool stable=False) -> Tensor",
        "(Tensor self, *, bool stable, int dim=-1, bool descending=False) -> Tensor"]
        "The positions that put elements in order along an axis; always stable." => argsort;
    "msort" Torch "fmo" Nothing ["(Tensor self) -> Tensor"] "Elements in order along the first axis." => |c| {
            let x = c.value(0)?;
            if x.ty.rank() == 0 { return Ok(x.into()); }
            let (v, _) = pair1(&mut c.b, &x, |x| order::sort(x, 0, false));
            Ok(v.into())
        };
    "topk" Torch "fmo" Nothing ["(Tensor self, int k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)"]
        "The k largest (or smallest) elements along an axis, in order." => topk;
    "kthvalue" Torch "fmo" Nothing ["(Tensor self, int k, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)"]
        "The k-th smallest element along an axis." => |c| {
            let t = c.tensor(0)?;
            let (k, axis, keep) = (c.int(1)?, c.dim(2, t.rank())?, c.bool(3)?);
            let n = t.sizes().get(axis).copied().unwrap_or(1);
            if k < 1 || k > n { return Err(Error::runtime(format!("kthvalue(): selected number k out of range for dimension {axis}"))); }
            statistic(c, axis, keep, |x, a| order::kthvalue(x, k, a))
        };
    "median" Torch "fmo" Nothing ["(Tensor self) -> Tensor", "(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)"]
        "The (lower) median." => |c| median(c, false);
    "nanmedian" Torch "fmo" Nothing ["(Tensor self) -> Tensor", "(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)"]
        "The (lower) median of what is not NaN." => |c| median(c, true);
    "mode" Torch "fmo" Nothing ["(Tensor self, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)"]
        "The most frequent element along an axis." => |c| {
            let t = c.tensor(0)?;
            let (axis, keep) = (c.dim(1, t.rank())?, c.bool(2)?);
            statistic(c, axis, keep, order::mode)
        };
    "quantile" Torch "fmo" Nothing ["(Tensor self, Operand q, int? dim=None, bool keepdim=False, *, str interpolation='linear') -> Tensor"]
        "Quantiles along an axis." => |c| quantile(c, false);
    "nanquantile" Torch "fmo" Nothing ["(Tensor self, Operand q, int? dim=None, bool keepdim=False, *, str interpolation='linear') -> Tensor"]
        "Quantiles of what is not NaN." => |c| quantile(c, true);
    "softmax" Torch "fm" Output ["(Tensor self, int dim, dtype? dtype=None) -> Tensor"]
        "exp(x) / sum(exp(x)) along an axis." => |c| normalized(c, sm::softmax);
    "log_softmax" Torch "fm" Output ["(Tensor self, int dim, dtype? dtype=None) -> Tensor"]
        "log(softmax(x)) along an axis." => |c| normalized(c, sm::log_softmax);
    "softmax" Special "f" Output ["(Tensor self, int dim, *, dtype? dtype=None) -> Tensor"]
        "exp(x) / sum(exp(x)) along an axis." => |c| normalized(c, sm::softmax);
    "log_softmax" Special "f" Output ["(Tensor self, int dim, *, dtype? dtype=None) -> Tensor"]
        "log(softmax(x)) along an axis." => |c| normalized(c, sm::log_softmax);
    "logsumexp" Torch "fmo" Inputs ["(Tensor self, int[1] dim, bool keepdim=False) -> Tensor"]
        "log(sum(exp(x))) along axes." => |c| {
            let x = c.value(0)?;
            let axes = c.dims_or_all(1, x.ty.rank())?;
            let keep = c.bool(2)?;
            let x = to_float(&mut c.b, &x);
            let r = with1(&mut c.b, &x, |x| sm::logsumexp(x, &axes));
            Ok(if r.ty.rank() == x.ty.rank() { drop_axes(&mut c.b, &r, &axes, keep) } else { r }.into())
        };
    "nonzero" Torch "fm" Nothing ["(Tensor self, *, bool as_tuple=False) -> Tensor"]
        "The positions of what is not zero." => nonzero;
    "argwhere" Torch "fm" Nothing ["(Tensor self) -> Tensor"]
        "The positions of what is not zero." => |c| Ok(crate::host::nonzero(&c.tensor(0)?)?.into());
    "searchsorted" Torch "fo" Nothing ["(Tensor sorted_sequence, Operand self, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None) -> Tensor"]
        "Where values would be inserted into a sorted sequence." => |c| searchsorted(c, 0, 1);
    "bucketize" Torch "fo" Nothing ["(Operand self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor"]
        "The bucket of each value between sorted boundaries." => |c| searchsorted(c, 1, 0);
    "diff" Torch "fmo" Nothing ["(Tensor self, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None) -> Tensor"]
        "Differences of neighbours." => |c| {
            let x = c.value(0)?;
            let (n, axis) = (c.int(1)?, c.dim(2, x.ty.rank())?);
            if x.ty.rank() == 0 { return Err(Error::runtime("diff expects input to be at least one-dimensional")); }
            if n < 0 { return Err(Error::runtime(format!("order must be non-negative but got {n}"))); }
            if n == 0 { return Ok(x.into()); }
            let mut parts: Vec<Value> = Vec::new();
            parts.extend(c.opt_value(3)?);
            parts.push(x.clone());
            parts.extend(c.opt_value(4)?);
            let mut x = c.b.concat(&parts, axis);
            for _ in 0..n.min(x.dims()[axis]) {
                x = if x.ty.dtype == DType::Bool {
                    let m = x.dims()[axis];
                    let (a, z) = (c.b.narrow(&x, axis, 1.into(), (m - 1).into()), c.b.narrow(&x, axis, 0.into(), (m - 1).into()));
                    c.b.binary(Binary::Xor, &a, &z)
                } else { with1(&mut c.b, &x, |x| scan::diff(x, axis)) };
            }
            Ok(x.into())
        };
}
