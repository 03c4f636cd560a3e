//! Reading and writing at positions that are data.

use super::rows;
use super::support::{broadcast2, with1, with2, with3};
use crate::composite::indexing as ix;
use crate::error::{Error, Result};
use crate::host;
use crate::index::{self, Item};
use crate::node::Value;
use crate::ops::args::Arg;
use crate::ops::call::{Call, Operand, Returned};
use crate::tensor::Tensor;
use ttk_ir::op::ScatterOp;
use ttk_ir::{Builder, DType};

fn index_dtype(i: &Value, op: &str) -> Result<()> {
    if matches!(i.ty.dtype, DType::I64 | DType::I32) {
        return Ok(());
    }
    Err(Error::runtime(format!("{op}(): Expected dtype int32/int64 for index")))
}

fn gather(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let axis = c.dim(1, x.ty.rank())?;
    let i = c.value(2)?;
    let (a, b) = (x.dims(), i.dims());
    if b.contains(&0) {
        // Of no elements any index will do, of whatever type.
        let none = with1(&mut c.b, &x, |x| x.view(&[x.numel()]).narrow(0, 0, 0).view(&b));
        return Ok(none.into());
    }
    index_dtype(&i, "gather")?;
    if a.len().max(1) != b.len().max(1) {
        return Err(Error::runtime("Index tensor must have the same number of dimensions as input tensor"));
    }
    if let Some(d) = (0..a.len().min(b.len())).find(|&d| d != axis && b[d] > a[d]) {
        return Err(Error::runtime(format!(
            "Size does not match at dimension {d} expected index {:?} to be no larger than self {:?} apart from dimension {axis}",
            b.as_slice(),
            a.as_slice()
        )));
    }
    if a.is_empty() || b.is_empty() {
        let ones = ttk_ir::shape::shape(&[1]);
        let (x, j) = (
            c.b.reshape(&x, if a.is_empty() { ones.clone() } else { x.ty.shape.clone() }),
            c.b.reshape(&i, if b.is_empty() { ones } else { i.ty.shape.clone() }),
        );
        let r = with2(&mut c.b, &x, &j, |x, i| ix::gather(x, 0, i));
        return Ok(c.b.reshape(&r, i.ty.shape.clone()).into());
    }
    Ok(with2(&mut c.b, &x, &i, |x, i| ix::gather(x, axis, i)).into())
}

/// `scatter` and its like: `(self, dim, index, src)`, src a tensor or a number.
fn scatter(c: &mut Call<'_>, mode: ScatterOp) -> Result<Returned> {
    let x = c.value(0)?;
    let axis = c.dim(1, x.ty.rank())?;
    let i = c.value(2)?;
    index_dtype(&i, "scatter")?;
    let src = match c.operand(3)? {
        Operand::Tensor(t) => {
            let v = t.value();
            if v.ty.dtype != x.ty.dtype {
                return Err(Error::runtime("scatter(): Expected self.dtype to be equal to src.dtype"));
            }
            v
        }
        Operand::Number(n) => c.b.constant(n.scalar(x.ty.dtype), i.ty.shape.clone()),
    };
    let (a, b, s) = (x.dims(), i.dims(), src.dims());
    if a.len() != b.len() || b.len() != s.len() {
        if b.contains(&0) {
            return Ok(x.into());
        }
        if a.len() + b.len() + s.len() <= 2 {
            let ones = ttk_ir::shape::shape(&[1]);
            let (p, q, r) =
                (c.b.reshape(&x, ones.clone()), c.b.reshape(&i, ones.clone()), c.b.reshape(&src, ones));
            let y = with3(&mut c.b, &p, &q, &r, |x, i, s| ix::scatter(x, 0, mode, i, s));
            return Ok(c.b.reshape(&y, x.ty.shape.clone()).into());
        }
        return Err(Error::runtime("Index tensor must have the same number of dimensions as self tensor"));
    }
    if a.is_empty() {
        let ones = ttk_ir::shape::shape(&[1]);
        let (p, q, r) =
            (c.b.reshape(&x, ones.clone()), c.b.reshape(&i, ones.clone()), c.b.reshape(&src, ones));
        let y = with3(&mut c.b, &p, &q, &r, |x, i, s| ix::scatter(x, 0, mode, i, s));
        return Ok(c.b.reshape(&y, x.ty.shape.clone()).into());
    }
    if let Some(d) = (0..a.len()).find(|&d| b[d] > s[d] || (d != axis && b[d] > a[d])) {
        return Err(Error::runtime(format!(
            "Expected index {:?} to be no larger than self {:?} apart from dimension {axis} and to be no larger size than src {:?} (at dimension {d})",
            b.as_slice(),
            a.as_slice(),
            s.as_slice()
        )));
    }
    // Only the part of the source that the index covers is used.
    let mut src = src;
    for d in 0..b.len() {
        src = c.b.narrow(&src, d, 0.into(), b[d].into());
    }
    Ok(with3(&mut c.b, &x, &i, &src, |x, i, s| ix::scatter(x, axis, mode, i, s)).into())
}

fn scatter_plain(c: &mut Call<'_>) -> Result<Returned> {
    match c.args.get(4) {
        Some(Arg::Str(s)) if s == "add" => scatter(c, ScatterOp::Add),
        Some(Arg::Str(s)) if s == "multiply" => scatter(c, ScatterOp::Mul),
        Some(Arg::Str(s)) => {
            Err(Error::runtime(format!("reduce argument must be either add or multiply, got {s}")))
        }
        _ => scatter(c, ScatterOp::Set),
    }
}

fn scatter_reduce(c: &mut Call<'_>) -> Result<Returned> {
    let mode = match c.str(4)? {
        "sum" => ScatterOp::Add,
        "prod" => ScatterOp::Mul,
        "amax" => ScatterOp::Max,
        "amin" => ScatterOp::Min,
        "mean" => {
            let x = c.value(0)?;
            let axis = c.dim(1, x.ty.rank())?;
            let (i, s, own) = (c.value(2)?, c.value(3)?, c.bool(5)?);
            index_dtype(&i, "scatter_reduce")?;
            let mut s = s;
            for d in 0..i.ty.rank() {
                s = c.b.narrow(&s, d, 0.into(), i.dims()[d].into());
            }
            return Ok(with3(&mut c.b, &x, &i, &s, |x, i, s| ix::scatter_mean(x, axis, i, s, own)).into());
        }
        other => {
            return Err(Error::runtime(format!(
                "reduce argument must be either sum, prod, mean, amax or amin, got {other}"
            )));
        }
    };
    if c.bool(5)? {
        return scatter(c, mode);
    }
    // Places that are written start from what changes nothing.
    let (x, i) = (c.value(0)?, c.value(2)?);
    let axis = c.dim(1, x.ty.rank())?;
    let start = match mode {
        ScatterOp::Set | ScatterOp::Add => 0.0,
        ScatterOp::Mul => 1.0,
        ScatterOp::Max => f64::NEG_INFINITY,
        ScatterOp::Min => f64::INFINITY,
    };
    let cleared = with2(&mut c.b, &x, &i, |x, i| ix::cleared(x, axis, i, start));
    let mut args = c.args.to_vec();
    args[0] = Arg::Tensor(Tensor::from_value(cleared));
    scatter(&mut Call::new(c.row, c.overload, &args), mode)
}

fn index_select(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let axis = c.dim(1, x.ty.rank())?;
    let i = c.value(2)?;
    index_dtype(&i, "index_select")?;
    if i.ty.rank() > 1 {
        return Err(Error::index("index_select(): Index is supposed to be a vector"));
    }
    if x.ty.rank() == 0 {
        return Ok(x.into());
    }
    let n = i.dims().iter().product();
    let i = c.b.reshape(&i, ttk_ir::shape::shape(&[n]));
    Ok(with2(&mut c.b, &x, &i, |x, i| ix::index_select(x, axis, i)).into())
}

fn index_write(c: &mut Call<'_>, mode: ScatterOp) -> Result<Returned> {
    let x = c.value(0)?;
    let axis = c.dim(1, x.ty.rank())?;
    let (i, s) = (c.value(2)?, c.value(3)?);
    index_dtype(&i, c.name())?;
    if s.ty.dtype != x.ty.dtype {
        return Err(Error::runtime(format!(
            "{}(): self and source expected to have the same dtype",
            c.name()
        )));
    }
    let n: i64 = i.dims().iter().product();
    let i = c.b.reshape(&i, ttk_ir::shape::shape(&[n]));
    let alpha = if mode == ScatterOp::Add { c.float(4)? } else { 1.0 };
    let (x1, s1) = if x.ty.rank() == 0 {
        let one = ttk_ir::shape::shape(&[1]);
        (c.b.reshape(&x, one.clone()), c.b.reshape(&s, one))
    } else {
        (x.clone(), s)
    };
    let mut expected = x1.dims();
    expected[axis] = n;
    if s1.dims() != expected {
        return Err(Error::runtime(format!(
            "{}(): Number of indices ({n}) should be equal to source.size(dim), and other sizes to self's: {:?} against {:?}",
            c.name(),
            s1.dims().as_slice(),
            x1.dims().as_slice()
        )));
    }
    let y = with3(&mut c.b, &x1, &i, &s1, |x, i, s| match mode {
        ScatterOp::Add => ix::index_add(x, axis, i, s, alpha),
        ScatterOp::Set | ScatterOp::Mul | ScatterOp::Max | ScatterOp::Min => {
            ix::index_write(x, axis, mode, i, s)
        }
    });
    Ok(c.b.reshape(&y, x.ty.shape.clone()).into())
}

fn index_fill(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let axis = c.dim(1, x.ty.rank())?;
    let i = c.value(2)?;
    index_dtype(&i, "index_fill_")?;
    let v = c.operand(3)?;
    if let Operand::Tensor(t) = &v
        && t.rank() != 0
    {
        return Err(Error::runtime(format!(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
            t.rank()
        )));
    }
    let v = c.operand_value(&v, x.ty.dtype);
    let n = i.dims().iter().product();
    let i = c.b.reshape(&i, ttk_ir::shape::shape(&[n]));
    let scalar = x.ty.rank() == 0;
    let wide = super::support::at_least_1d(&mut c.b, &x);
    let y = with3(&mut c.b, &wide, &i, &v, |x, i, v| ix::index_fill(x, axis, i, v));
    Ok(if scalar { c.b.reshape(&y, x.ty.shape.clone()) } else { y }.into())
}

fn masked_fill(c: &mut Call<'_>) -> Result<Returned> {
    let (x, m) = (c.value(0)?, c.value(1)?);
    if m.ty.dtype != DType::Bool {
        return Err(Error::runtime(format!(
            "masked_fill_ only supports boolean masks, but got mask with dtype {}",
            crate::error::python_dtype_name(m.ty.dtype)
        )));
    }
    let v = c.operand(2)?;
    if let Operand::Tensor(t) = &v
        && t.rank() != 0
    {
        return Err(Error::runtime(format!(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
            t.rank()
        )));
    }
    if let Operand::Number(n) = v
        && n.is_float()
        && !x.ty.dtype.is_float()
    {
        return Err(Error::runtime("value cannot be converted to type int64_t without overflow"));
    }
    let v = c.operand_value(&v, x.ty.dtype);
    let (x, m) = broadcast2(c, &x, &m)?;
    let v = c.b.broadcast(&v, &x.ty.shape);
    Ok(c.b.select(&m, &v, &x).into())
}

fn masked_select(c: &mut Call<'_>) -> Result<Returned> {
    let (x, m) = (c.value(0)?, c.value(1)?);
    if m.ty.dtype != DType::Bool {
        return Err(Error::runtime("masked_select: expected BoolTensor for mask"));
    }
    let (x, m) = broadcast2(c, &x, &m)?;
    let scalar = x.ty.rank() == 0;
    let (x, m) = (super::support::at_least_1d(&mut c.b, &x), super::support::at_least_1d(&mut c.b, &m));
    let _ = scalar;
    Ok(index::get(&Tensor::from_value(x), &[Item::Tensor(Tensor::from_value(m))])?.into())
}

fn masked_scatter(c: &mut Call<'_>) -> Result<Returned> {
    let (x, m, s) = (c.value(0)?, c.value(1)?, c.value(2)?);
    if m.ty.dtype != DType::Bool {
        return Err(Error::runtime("masked_scatter_ only supports boolean masks"));
    }
    if s.ty.dtype != x.ty.dtype {
        return Err(Error::runtime("masked_scatter: expected self and source to have same dtypes"));
    }
    let (x, m) = broadcast2(c, &x, &m)?;
    let count = host::scalars(&Tensor::from_value(m.clone()))?.iter().filter(|v| v.bits != 0).count();
    let n: i64 = s.dims().iter().product();
    if (count as i64) > n {
        return Err(Error::runtime("masked_scatter: number of elements of source < number of ones in mask"));
    }
    if count == 0 {
        return Ok(x.into());
    }
    Ok(with3(&mut c.b, &x, &m, &s, ix::masked_scatter).into())
}

fn take(c: &mut Call<'_>) -> Result<Returned> {
    let (x, i) = (c.value(0)?, c.value(1)?);
    if i.ty.dtype != DType::I64 {
        return Err(Error::runtime("take(): Expected a long tensor for index"));
    }
    if x.dims().contains(&0) && !i.dims().contains(&0) {
        return Err(Error::index("take(): tried to take from an empty tensor"));
    }
    Ok(with2(&mut c.b, &x, &i, ix::take).into())
}

fn take_along(c: &mut Call<'_>) -> Result<Returned> {
    let (x, i) = (c.value(0)?, c.value(1)?);
    index_dtype(&i, "take_along_dim")?;
    let Some(d) = c.opt_int(2)? else {
        let flat = |c: &mut Call<'_>, v: &Value| {
            let n = v.dims().iter().product();
            c.b.reshape(v, ttk_ir::shape::shape(&[n]))
        };
        let (x, i) = (flat(c, &x), flat(c, &i));
        return Ok(with2(&mut c.b, &x, &i, |x, i| ix::take_along_axis(x, i, 0)).into());
    };
    let axis = crate::ops::call::normalize_dim(d, x.ty.rank())?;
    if x.ty.rank() != i.ty.rank() {
        return Err(Error::runtime(
            "torch.take_along_dim(): input and indices should have the same number of dimensions",
        ));
    }
    Ok(with2(&mut c.b, &x, &i, |x, i| ix::take_along_axis(x, i, axis)).into())
}

fn put(c: &mut Call<'_>) -> Result<Returned> {
    let (x, i, s) = (c.value(0)?, c.value(1)?, c.value(2)?);
    if i.ty.dtype != DType::I64
        || s.ty.dtype != x.ty.dtype
        || i.dims().iter().product::<i64>() != s.dims().iter().product::<i64>()
    {
        return Err(Error::runtime(
            "put_(): Expected a long tensor for index, and source of self's dtype and index's number of elements",
        ));
    }
    let accumulate = c.bool(3)?;
    Ok(with3(&mut c.b, &x, &i, &s, |x, i, s| ix::put(x, i, s, accumulate)).into())
}

/// The items of a list of optional index tensors.
fn items_of(list: &[Option<Tensor>]) -> Vec<Item> {
    let whole = Item::Slice { start: None, stop: None, step: 1 };
    list.iter().map(|t| t.clone().map_or(whole.clone(), Item::Tensor)).collect()
}

fn index_put(c: &mut Call<'_>) -> Result<Returned> {
    let Arg::OptionalTensors(list) = &c.args[1] else {
        return Err(Error::Internal { detail: "index_put takes a list".into() });
    };
    let x = c.value(0)?;
    let copy = Tensor::from_value(x);
    index::set(&copy, &items_of(list), &c.tensor(2)?, c.bool(3)?)?;
    Ok(copy.into())
}

fn unique(c: &mut Call<'_>, consecutive: bool) -> Result<Returned> {
    let t = c.tensor(0)?;
    let (sorted, inverse, counts) =
        if consecutive { (false, c.bool(1)?, c.bool(2)?) } else { (c.bool(1)?, c.bool(2)?, c.bool(3)?) };
    let _ = sorted;
    let at = if consecutive { 3 } else { 4 };
    if let Some(d) = c.opt_int(at)? {
        return unique_rows(&t, d, consecutive, inverse, counts);
    }
    let values = host::scalars(&t)?;
    let mut order: Vec<usize> = (0..values.len()).collect();
    if !consecutive {
        order.sort_by(|&a, &b| compare(values[a], values[b]));
    }
    let mut kept = Vec::new();
    let mut n: Vec<crate::ops::Number> = Vec::new();
    let mut group = vec![0i64; values.len()];
    let mut last: Option<usize> = None;
    let mut size = 0i64;
    for &i in &order {
        if last.is_none_or(|l| {
            values[l].as_f64() != values[i].as_f64() || values[l].as_i64() != values[i].as_i64()
        }) {
            if last.is_some() {
                n.push(crate::ops::Number::Int(size));
            }
            kept.push(host::number(values[i]));
            size = 0;
        }
        size += 1;
        last = Some(i);
        group[i] = kept.len() as i64 - 1;
    }
    if last.is_some() {
        n.push(crate::ops::Number::Int(size));
    }
    let mut out = vec![host::from_numbers(&kept, t.dtype(), &[kept.len() as i64])?];
    if inverse {
        let g: Vec<crate::ops::Number> = group.iter().map(|&i| crate::ops::Number::Int(i)).collect();
        out.push(host::from_numbers(&g, DType::I64, &t.sizes())?);
    }
    if counts {
        out.push(host::from_numbers(&n, DType::I64, &[n.len() as i64])?);
    }
    Ok(tuple_or_one(out))
}

fn tuple_or_one(mut out: Vec<Tensor>) -> Returned {
    match (out.len(), out.pop()) {
        (1, Some(one)) => one.into(),
        (_, last) => {
            out.extend(last);
            Returned::Tuple { names: &[], items: out }
        }
    }
}

fn compare(a: ttk_ir::Scalar, b: ttk_ir::Scalar) -> std::cmp::Ordering {
    if a.dtype.is_float() { a.as_f64().total_cmp(&b.as_f64()) } else { a.as_i64().cmp(&b.as_i64()) }
}

/// Distinct slices along an axis.
fn unique_rows(t: &Tensor, dim: i64, consecutive: bool, inverse: bool, counts: bool) -> Result<Returned> {
    let axis = crate::ops::call::normalize_dim(dim, t.rank())?;
    let mut perm: Vec<usize> = (0..t.rank()).collect();
    perm.remove(axis);
    perm.insert(0, axis);
    let moved = t.with_view(t.view().permute(&perm));
    let values = host::scalars(&moved)?;
    let rows = moved.sizes()[0] as usize;
    let width = values.len().checked_div(rows).unwrap_or(0);
    let row = |i: usize| &values[i * width..(i + 1) * width];
    let order_of = |a: usize, b: usize| {
        row(a)
            .iter()
            .zip(row(b))
            .map(|(x, y)| compare(*x, *y))
            .find(|o| o.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    };
    let mut order: Vec<usize> = (0..rows).collect();
    if !consecutive {
        order.sort_by(|&a, &b| order_of(a, b));
    }
    let (mut first, mut n, mut group) = (Vec::new(), Vec::new(), vec![0i64; rows]);
    let mut last: Option<usize> = None;
    for &i in &order {
        if last.is_none_or(|l| order_of(l, i).is_ne()) {
            first.push(crate::ops::Number::Int(i as i64));
            n.push(0i64);
        }
        if let Some(k) = n.last_mut() {
            *k += 1;
        }
        group[i] = first.len() as i64 - 1;
        last = Some(i);
    }
    let picked = host::from_numbers(&first, DType::I64, &[first.len() as i64])?;
    let mut items = vec![Item::Slice { start: None, stop: None, step: 1 }; axis];
    items.push(Item::Tensor(picked));
    let mut out = vec![index::get(t, &items)?];
    let ints = |v: &[i64]| {
        let list: Vec<crate::ops::Number> = v.iter().map(|&i| crate::ops::Number::Int(i)).collect();
        host::from_numbers(&list, DType::I64, &[v.len() as i64])
    };
    if inverse {
        out.push(ints(&group)?);
    }
    if counts {
        out.push(ints(&n)?);
    }
    Ok(tuple_or_one(out))
}

fn bincount(c: &mut Call<'_>) -> Result<Returned> {
    let x = host::scalars(&c.tensor(0)?)?;
    let weights = c.opt_tensor(1)?.map(|w| host::scalars(&w)).transpose()?;
    let least = c.int(2)?;
    if x.iter().any(|v| v.dtype.is_float() || v.as_i64() < 0) || c.tensor(0)?.rank() != 1 || least < 0 {
        return Err(Error::runtime("bincount only supports 1-d non-negative integral inputs."));
    }
    if weights.as_ref().is_some_and(|w| w.len() != x.len()) {
        return Err(Error::runtime("weights should be 1-d and have the same length as input"));
    }
    let n = x.iter().map(|v| v.as_i64().saturating_add(1)).max().unwrap_or(0).max(least);
    host::check_room(n, 8 + size_of::<crate::ops::Number>())?;
    let mut sums = vec![0f64; n as usize];
    for (i, v) in x.iter().enumerate() {
        sums[v.as_i64() as usize] += weights.as_ref().map_or(1.0, |w| w[i].as_f64());
    }
    let dtype = match &weights {
        None => DType::I64,
        Some(w) if w.first().is_some_and(|v| v.dtype == DType::F32) => DType::F32,
        Some(_) => DType::F64,
    };
    let list: Vec<crate::ops::Number> = sums.into_iter().map(crate::ops::Number::Float).collect();
    Ok(host::from_numbers(&list, dtype, &[n])?.into())
}

fn isin(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    let (x, y) = (c.operand_value(&x, dtype), c.operand_value(&y, dtype));
    let invert = c.bool(3)?;
    let n: i64 = y.dims().iter().product();
    let flat = c.b.reshape(&y, ttk_ir::shape::shape(&[n]));
    let mut sizes = x.dims();
    sizes.push(1);
    let column = c.b.reshape(&x, ttk_ir::shape::shape(&sizes));
    sizes.pop();
    sizes.push(n);
    let shape = ttk_ir::shape::shape(&sizes);
    let (a, b) = (c.b.broadcast(&column, &shape), c.b.broadcast(&flat, &shape));
    let same = c.b.cmp(ttk_ir::Cmp::Eq, &a, &b);
    let axis = sizes.len() - 1;
    let any = with1(&mut c.b, &same, |m| crate::composite::reduction::any(m, &[axis]));
    let any = if any.ty.rank() == sizes.len() {
        super::support::drop_axes(&mut c.b, &any, &[axis], false)
    } else {
        any
    };
    Ok(if invert { c.b.unary(ttk_ir::Unary::Not, &any) } else { any }.into())
}

fn fill(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let v = c.operand(1)?;
    if let Operand::Tensor(t) = &v
        && t.rank() != 0
    {
        return Err(Error::runtime(format!(
            "fill_ only supports 0-dimension value tensor but got tensor with {} dimensions.",
            t.rank()
        )));
    }
    if let Operand::Number(n) = &v {
        n.exact_scalar(x.ty.dtype)?;
    }
    let v = c.operand_value(&v, x.ty.dtype);
    let filled = match v.kind {
        crate::node::Kind::Op(ttk_ir::Op::Const { value, .. }) => c.b.constant(value, x.ty.shape.clone()),
        _ => c.b.broadcast(&v, &x.ty.shape),
    };
    Ok(overwritten(c, &x, filled).into())
}

/// A value that takes the place of `x`: on its tape, with derivative 0.
fn overwritten(c: &mut Call<'_>, x: &Value, value: Value) -> Value {
    if !x.requires_grad || value.requires_grad || !crate::record::grad_enabled() {
        return value;
    }
    with2(&mut c.b, &value, x, crate::composite::arithmetic::attached)
}

rows! {
    "gather" Torch "fmo" Inputs ["(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor"]
        "out[.., i, ..] = self[.., index[.., i, ..], ..]." => gather;
    "scatter" Torch "fmi" Nothing ["(Tensor self, int dim, Tensor index, Tensor src) -> Tensor", "(Tensor self, int dim, Tensor index, Number value) -> Tensor",
        "(Tensor self, int dim, Tensor index, Operand src, *, str reduce) -> Tensor"]
        "self with self[.., index[.., i, ..], ..] = src[.., i, ..]." => scatter_plain;
    "scatter_add" Torch "fmi" Nothing ["(Tensor self, int dim, Tensor index, Tensor src) -> Tensor"]
        "self with src added where index says." => |c| scatter(c, ScatterOp::Add);
    "scatter_reduce" Torch "fmi" Inputs ["(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True) -> Tensor"]
        "self joined with src where index says, by a reduction." => scatter_reduce;
    "index_select" Torch "fmo" Nothing ["(Tensor self, int dim, Tensor index) -> Tensor"] "Positions of an axis, as a new tensor." => index_select;
    "index_add" Torch "fmi" Nothing ["(Tensor self, int dim, Tensor index, Tensor source, *, Number alpha=1) -> Tensor"] "self with slices of source added." => |c| index_write(c, ScatterOp::Add);
    "index_copy" Torch "fmi" Nothing ["(Tensor self, int dim, Tensor index, Tensor source) -> Tensor"] "self with slices replaced." => |c| index_write(c, ScatterOp::Set);
    "index_fill" Torch "fmi" Nothing ["(Tensor self, int dim, Tensor index, Operand value) -> Tensor"] "self with slices filled." => index_fill;
    "masked_fill" Torch "fmi" Nothing ["(Tensor self, Tensor mask, Operand value) -> Tensor"] "self with a value where the mask holds." => masked_fill;
    "masked_select" Torch "fmo" Nothing ["(Tensor self, Tensor mask) -> Tensor"] "The elements where the mask holds." => masked_select;
    "masked_scatter" Torch "fmi" Nothing ["(Tensor self, Tensor mask, Tensor source) -> Tensor"] "self with elements of source where the mask holds." => masked_scatter;
    "take" Torch "fmo" Nothing ["(Tensor self, Tensor index) -> Tensor"] "Elements by their row-major number." => take;
    "take_along_dim" Torch "fm" Nothing ["(Tensor self, Tensor indices, int? dim=None) -> Tensor"] "gather, with broadcasting." => take_along;
    "put" Torch "fmi" Nothing ["(Tensor self, Tensor index, Tensor source, bool accumulate=False) -> Tensor"] "self with elements replaced by row-major number." => put;
    "index_put" Torch "fmi" Nothing ["(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor"] "self[indices] = values, as a new tensor." => index_put;
    "unique" Torch "fm" Nothing ["(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False, int? dim=None) -> Tensor"] "Distinct elements, in order." => |c| unique(c, false);
    "unique_consecutive" Torch "fm" Nothing ["(Tensor self, bool return_inverse=False, bool return_counts=False, int? dim=None) -> Tensor"] "Elements without immediate repetitions." => |c| unique(c, true);
    "bincount" Torch "fm" Nothing ["(Tensor self, Tensor? weights=None, int minlength=0) -> Tensor"] "How often each number occurs." => bincount;
    "isin" Torch "f" Nothing ["(Operand elements, Operand test_elements, *, bool assume_unique=False, bool invert=False) -> Tensor"] "Whether elements are among others." => isin;
    "fill" Torch "fmi" Nothing ["(Tensor self, Operand value) -> Tensor"] "A value everywhere." => fill;
    "zero" Torch "fmi" Nothing ["(Tensor self) -> Tensor"] "Zero everywhere." => |c| { let x = c.value(0)?; let zero = c.b.constant(ttk_ir::Scalar::zero(x.ty.dtype), x.ty.shape.clone()); Ok(overwritten(c, &x, zero).into()) };
    "index_reduce" Torch "fmio" Inputs ["(Tensor self, int dim, Tensor index, Tensor source, str reduce, *, bool include_self=True) -> Tensor"]
        "self joined with slices of source by a reduction." => index_reduce;
    "nonzero_static" Torch "fmo" Nothing ["(Tensor self, *, int size, int fill_value=-1) -> Tensor"]
        "The positions of what is not zero, cut or filled up to a number of rows." => nonzero_static;
}

fn index_reduce(c: &mut Call<'_>) -> Result<Returned> {
    let (x, i, s) = (c.value(0)?, c.value(2)?, c.value(3)?);
    let axis = c.dim(1, x.ty.rank())?;
    index_dtype(&i, "index_reduce")?;
    let how = match c.str(4)? {
        "prod" => ix::IndexReduce::Prod,
        "mean" => ix::IndexReduce::Mean,
        "amax" => ix::IndexReduce::Max,
        "amin" => ix::IndexReduce::Min,
        other => {
            return Err(Error::runtime(format!(
                "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {other}."
            )));
        }
    };
    if s.ty.dtype != x.ty.dtype {
        return Err(Error::runtime("index_reduce(): self and source expected to have the same dtype"));
    }
    let (own, n) = (c.bool(5)?, i.dims().iter().product::<i64>());
    let (wide, s) = (super::support::at_least_1d(&mut c.b, &x), super::support::at_least_1d(&mut c.b, &s));
    let mut expected = wide.dims();
    expected[axis] = n;
    if s.dims() != expected {
        return Err(Error::runtime(format!(
            "index_reduce(): Number of indices ({n}) should be equal to source.size(dim), and other sizes to self's: {:?} against {:?}",
            s.dims().as_slice(),
            wide.dims().as_slice()
        )));
    }
    let i = c.b.reshape(&i, ttk_ir::shape::shape(&[n]));
    let y = with3(&mut c.b, &wide, &i, &s, |x, i, s| ix::index_reduce(x, axis, how, i, s, own));
    Ok(c.b.reshape(&y, x.ty.shape.clone()).into())
}

fn nonzero_static(c: &mut Call<'_>) -> Result<Returned> {
    let (x, size, fill) = (c.value(0)?, c.int(1)?, c.int(2)?);
    if size < 0 {
        return Err(Error::runtime("nonzero_static: 'size' must be an non-negative integer"));
    }
    let sizes = x.dims();
    let n: i64 = sizes.iter().product();
    let y = with1(&mut c.b, &x, |x| {
        // The k-th position that is not zero is where the count of such positions first exceeds k.
        let hits = crate::composite::arithmetic::truth(x).view(&[n]).cast(DType::I64);
        let rank = sizes.len() as i64;
        if n == 0 || rank == 0 && size == 0 {
            return hits
                .full_like(0.0)
                .sum(&[0])
                .view(&[1, 1])
                .broadcast_to(&ttk_ir::shape::shape(&[size, rank]))
                + fill;
        }
        let counts = crate::composite::scan::cumsum(&hits, 0);
        let wanted = x.scope().arange(DType::I64, size);
        let flat = crate::composite::order::searchsorted(&counts, &wanted, true);
        let past = flat.ge(n);
        let mut rest = flat.masked(&past, 0i64);
        let mut columns = Vec::new();
        for &side in sizes.iter().rev() {
            let wide = rest.full_like(side as f64);
            columns.insert(0, rest.remainder_of(&wide).masked(&past, fill));
            rest = rest.binary(ttk_ir::Binary::Div, &wide);
        }
        if columns.is_empty() {
            flat.view(&[size, 1]).narrow(1, 0, 0)
        } else {
            crate::composite::stack(&columns, 1)
        }
    });
    Ok(y.into())
}
