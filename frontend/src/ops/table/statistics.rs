//! Statistics of samples: covariance, histograms, numerical integration and differentiation.

use super::rows;
use super::support::{V, float1, to_float, with1, with2};
use crate::composite::{Scope, scan, statistics as st};
use crate::error::{Error, Result};
use crate::node::Value;
use crate::ops::args::{Arg, Number};
use crate::ops::call::{Call, Returned, normalize_dim, normalize_dims};
use crate::tensor::Tensor;
use ttk_ir::{Builder, DType, Scalar};

fn cov(c: &mut Call<'_>) -> Result<Returned> {
    let (x, correction) = (c.value(0)?, c.int(1)?);
    let (frequency, analytic) = (c.opt_tensor(2)?, c.opt_tensor(3)?);
    if x.ty.rank() > 2 {
        return Err(Error::runtime(format!(
            "cov(): expected input to have two or fewer dimensions but got an input with {} dimensions",
            x.ty.rank()
        )));
    }
    if x.ty.dtype == DType::Bool {
        return Err(Error::runtime("cov(): bool dtype is not supported for input"));
    }
    let n = if x.ty.rank() < 2 { x.dims().iter().product() } else { x.dims()[1] };
    for (name, weights, float) in [("fweights", &frequency, false), ("aweights", &analytic, true)] {
        let Some(w) = weights else { continue };
        if w.rank() > 1 {
            return Err(Error::runtime(format!(
                "cov(): expected {name} to have one or fewer dimensions but got {name} with {} dimensions",
                w.rank()
            )));
        }
        if w.dtype().is_float() != float || w.dtype() == DType::Bool {
            return Err(Error::runtime(format!(
                "cov(): expected {name} to have {} dtype but got {name} with {} dtype",
                if float { "floating point" } else { "integral" },
                crate::error::scalar_type_name(w.dtype())
            )));
        }
        if w.numel() != n {
            return Err(Error::runtime(format!(
                "cov(): expected {name} to have the same numel as there are observations in the input but got {} != {n}",
                w.numel()
            )));
        }
        if crate::host::scalars(&w.detach())?.iter().any(|v| v.as_f64() < 0.0) {
            return Err(Error::runtime(format!("cov(): {name} cannot be negative")));
        }
    }
    let x = to_float(&mut c.b, &x);
    let scope = Scope::new(&mut c.b);
    let x = scope.val(&x);
    let weight = |w: Option<Tensor>| w.map(|w| scope.val(&w.value()).view(&[n]).cast(x.dtype()));
    let weights = st::Weights { frequency: weight(frequency), analytic: weight(analytic) };
    Ok(st::cov(&x, correction as f64, &weights).into_value().into())
}

fn corrcoef(c: &mut Call<'_>) -> Result<Returned> {
    if c.tensor(0)?.rank() > 2 {
        return Err(Error::runtime(format!(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with {} dimensions",
            c.tensor(0)?.rank()
        )));
    }
    float1(c, st::corrcoef)
}

/// The lowest and the highest of some numbers, made distinct.
fn limits(values: &[Scalar], low: f64, high: f64) -> Result<(f64, f64)> {
    let (mut low, mut high) = (low, high);
    if low == high && !values.is_empty() {
        let numbers = || values.iter().map(|v| v.as_f64());
        (low, high) = (numbers().fold(f64::INFINITY, f64::min), numbers().fold(f64::NEG_INFINITY, f64::max));
        if numbers().any(|v| !v.is_finite()) {
            return Err(Error::runtime(format!("range of [{low}, {high}] is not finite")));
        }
    }
    if low == high {
        (low, high) = (low - 1.0, high + 1.0);
    }
    Ok((low, high))
}

fn histc(c: &mut Call<'_>) -> Result<Returned> {
    let (t, bins, low, high) = (c.tensor(0)?, c.int(1)?, c.float(2)?, c.float(3)?);
    if bins <= 0 {
        return Err(Error::runtime("bins must be > 0"));
    }
    if low > high {
        return Err(Error::runtime("max must be larger than min"));
    }
    let (low, high) =
        limits(&if low == high { crate::host::scalars(&t.detach())? } else { vec![] }, low, high)?;
    let x = t.detach().value();
    Ok(with1(&mut c.b, &x, |x| st::histc(x, bins, low, high)).into())
}

/// Counts between edges; the last interval holds its upper edge.
fn counted(values: &[f64], weights: Option<&[f64]>, edges: &[f64]) -> Vec<f64> {
    let mut counts = vec![0.0; edges.len().saturating_sub(1)];
    for (i, v) in values.iter().enumerate() {
        if let Some(at) = place(*v, edges) {
            counts[at] += weights.map_or(1.0, |w| w[i]);
        }
    }
    counts
}

/// The interval of a value between ascending edges.
fn place(v: f64, edges: &[f64]) -> Option<usize> {
    let (first, last) = (edges.first()?, edges.last()?);
    if !(*first <= v && v <= *last) || edges.len() < 2 {
        return None;
    }
    Some((edges.partition_point(|e| *e <= v).saturating_sub(1)).min(edges.len() - 2))
}

/// `n` equal intervals, as `linspace` makes them in a type.
fn even_edges(low: f64, high: f64, n: i64, dtype: DType) -> Vec<f64> {
    let round = |v: f64| Scalar::from_f64(dtype, v).as_f64();
    let step = round((high - low) / n as f64);
    let half = (n + 1) / 2;
    (0..=n)
        .map(|i| round(if i < half { low + step * i as f64 } else { high - step * (n - i) as f64 }))
        .collect()
}

fn floats(t: &Tensor) -> Result<Vec<f64>> {
    Ok(crate::host::scalars(&t.detach())?.iter().map(|s| s.as_f64()).collect())
}

fn made(values: &[f64], dtype: DType, sizes: &[i64]) -> Result<Tensor> {
    let numbers: Vec<Number> = values.iter().map(|v| Number::Float(*v)).collect();
    crate::host::from_numbers(&numbers, dtype, sizes)
}

fn histogram(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    if !t.dtype().is_float() {
        return Err(Error::NotForDtype {
            op: "histogram_cpu",
            dtype: crate::error::scalar_type_name(t.dtype()),
        });
    }
    let x = floats(&t)?;
    let (edges, at) = if c.overload == 0 {
        let bins = c.int(1)?;
        if bins <= 0 {
            return Err(Error::runtime(format!(
                "torch.histogram(): bins must be > 0, but got {bins} for dimension 0"
            )));
        }
        let (low, high) = match &c.args[2] {
            Arg::Floats(r) if r.len() == 2 => (r[0], r[1]),
            Arg::None => (0.0, 0.0),
            _ => return Err(Error::runtime("torch.histogram(): range should have 2 elements per dimension")),
        };
        if low > high {
            return Err(Error::runtime("torch.histogram(): min should not exceed max"));
        }
        let given = !c.args[2].is_none();
        let scalars: Vec<Scalar> = x.iter().map(|v| Scalar::from_f64(DType::F64, *v)).collect();
        let (low, high) = if given && low != high {
            (low, high)
        } else if given {
            (low - 0.5, high + 0.5)
        } else {
            let (l, h) = limits(&scalars, 0.0, 0.0)?;
            // One value alone gets an interval of width 1 around it; nothing at all, 0 to 1.
            if x.is_empty() {
                (0.0, 1.0)
            } else if h - l == 2.0 && x.iter().all(|v| *v == x[0]) {
                (x[0] - 0.5, x[0] + 0.5)
            } else {
                (l, h)
            }
        };
        (even_edges(low, high, bins, t.dtype()), 3)
    } else {
        let b = c.tensor(1)?;
        if b.rank() != 1 {
            return Err(Error::runtime(format!(
                "torch.histogram(): bins tensor should have one dimension, but got {} dimensions in the bins tensor for dimension 0",
                b.rank()
            )));
        }
        (floats(&b)?, 2)
    };
    let weights = c.opt_tensor(at)?.map(|w| floats(&w)).transpose()?;
    let density = c.bool(at + 1)?;
    let mut counts = counted(&x, weights.as_deref(), &edges);
    if density {
        let total: f64 = counts.iter().sum();
        for (i, n) in counts.iter_mut().enumerate() {
            *n /= total * (edges[i + 1] - edges[i]);
        }
    }
    let hist = made(&counts, t.dtype(), &[counts.len() as i64])?;
    let edges = made(&edges, t.dtype(), &[edges.len() as i64])?;
    Ok(Returned::Tuple { names: &["hist", "bin_edges"], items: vec![hist, edges] })
}

fn renorm(c: &mut Call<'_>) -> Result<Returned> {
    let (x, p, most) = (c.value(0)?, c.float(1)?, c.float(3)?);
    if x.ty.rank() < 2 {
        return Err(Error::runtime(format!(
            "renorm: input needs at least 2 dimensions, got {} dimensions",
            x.ty.rank()
        )));
    }
    let axis = c.dim(2, x.ty.rank())?;
    if p <= 0.0 {
        return Err(Error::runtime("renorm: non-positive-norm not supported"));
    }
    if most < 0.0 {
        return Err(Error::runtime(format!("renorm: expected maxnorm to be >= 0 but got {most}")));
    }
    Ok(with1(&mut c.b, &x, |x| st::renorm(x, p, axis, most)).into())
}

/// An integral along an axis: `(y, *, dx, dim)`, or `(y, x, *, dim)`.
fn integral(
    c: &mut Call<'_>,
    even: for<'r> fn(&V<'r>, f64, usize) -> V<'r>,
    at: for<'r> fn(&V<'r>, &V<'r>, usize) -> V<'r>,
    empty: bool,
) -> Result<Returned> {
    let given = c.overload != 0;
    let y = c.value(0)?;
    let axis = c.dim(2, y.ty.rank())?;
    let y = to_float(&mut c.b, &y);
    if y.dims().get(axis).copied().unwrap_or(1) == 0 && !empty {
        let y = with1(&mut c.b, &y, |y| y.sum(&[axis]).squeeze(&[axis]));
        return Ok(y.into());
    }
    if !given {
        let dx = c.float(1)?;
        return Ok(with1(&mut c.b, &y, |y| even(y, dx, axis)).into());
    }
    let x = c.value(1)?;
    let x = c.b.cast(&x, y.ty.dtype);
    let (d, e) = (x.dims(), y.dims());
    if d.len() == 1 && d[0] != e[axis] {
        return Err(Error::runtime("trapezoid: There must be one `x` value for each sample point"));
    }
    if d.len() == e.len() {
        crate::ops::call::broadcast_sizes(&e, &d)?;
    }
    // Positions of fewer axes stand for all the others.
    let x = if d.len() > 1 && d.len() < e.len() {
        let mut sizes = vec![1; e.len() - d.len()];
        sizes.extend(d.iter());
        c.b.reshape(&x, ttk_ir::shape::shape(&sizes))
    } else {
        x
    };
    Ok(with2(&mut c.b, &y, &x, |y, x| at(y, x, axis)).into())
}

fn gradient(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let x = to_float(&mut c.b, &x);
    let (rank, order) = (x.ty.rank(), c.int(3)?);
    if order != 1 && order != 2 {
        return Err(Error::runtime("torch.gradient only supports edge_order=1 and edge_order=2."));
    }
    let axes = match &c.args[2] {
        Arg::None => (0..rank).collect(),
        Arg::Ints(d) => normalize_dims(d, rank)?,
        _ => vec![normalize_dim(c.int(2)?, rank)?],
    };
    for &a in &axes {
        if x.dims()[a] < order + 1 {
            return Err(Error::runtime(
                "torch.gradient expected each dimension size to be at least edge_order+1",
            ));
        }
    }
    let count = match &c.args[1] {
        Arg::Numbers(n) => n.len(),
        Arg::Tensors(t) => t.len(),
        _ => axes.len(),
    };
    if count != axes.len() {
        return Err(Error::runtime(format!(
            "torch.gradient expected spacing to be unspecified, a scalar, or a list of length {} but got a list of length {count}",
            axes.len()
        )));
    }
    let mut items = Vec::new();
    for (k, &axis) in axes.iter().enumerate() {
        let n = x.dims()[axis];
        let even = |c: &mut Call<'_>, step: f64| {
            let i = c.b.iota(x.ty.dtype, ttk_ir::shape::shape(&[n]), 0);
            c.b.scale(&i, step)
        };
        let at: Value = match &c.args[1] {
            Arg::Numbers(list) => {
                let step = list[k].as_f64();
                even(c, step)
            }
            Arg::Tensors(list) => {
                let v = list[k].value();
                if v.dims().as_slice() != [n] {
                    return Err(Error::runtime(format!(
                        "torch.gradient expected each element of the spacing list to have one dimension of size {n}"
                    )));
                }
                c.b.cast(&v, x.ty.dtype)
            }
            Arg::None => even(c, 1.0),
            _ => {
                let step = c.float(1)?;
                even(c, step)
            }
        };
        let g = with2(&mut c.b, &x, &at, |x, at| st::gradient(x, at, axis, order));
        items.push(Tensor::from_value(g));
    }
    Ok(Returned::List(items))
}

/// All combinations of `r` elements of a vector, as rows.
fn combinations(c: &mut Call<'_>) -> Result<Returned> {
    let (x, r, again) = (c.value(0)?, c.int(1)?, c.bool(2)?);
    if x.ty.rank() != 1 {
        return Err(Error::runtime(format!("Expect a 1D vector, but got shape {:?}", x.dims().as_slice())));
    }
    if r < 0 {
        return Err(Error::runtime(format!("Expect a non-negative number, but got {r}")));
    }
    if r == 0 {
        return Ok(with1(&mut c.b, &x, |x| x.narrow(0, 0, 0)).into());
    }
    let n = x.dims()[0];
    let mut rows: Vec<i64> = Vec::new();
    let mut row: Vec<i64> = (0..r).map(|i| if again { 0 } else { i }).collect();
    let most = |k: i64| if again { n - 1 } else { n - r + k };
    while row.iter().enumerate().all(|(k, &v)| v <= most(k as i64)) {
        rows.extend(&row);
        let Some(k) = (0..r).rev().find(|&k| row[k as usize] < most(k)) else { break };
        let start = row[k as usize] + 1;
        for j in k..r {
            row[j as usize] = if again { start } else { start + j - k };
        }
    }
    let numbers: Vec<Number> = rows.iter().map(|&i| Number::Int(i)).collect();
    let index = crate::host::from_numbers(&numbers, DType::I64, &[rows.len() as i64])?.value();
    let count = rows.len() as i64 / r;
    if count == 0 {
        return Ok(with1(&mut c.b, &x, |x| x.narrow(0, 0, 0).view(&[0, r])).into());
    }
    Ok(with2(&mut c.b, &x, &index, |x, i| {
        crate::composite::indexing::index_select(x, 0, i).view(&[count, r])
    })
    .into())
}

fn dist(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y, p) = (c.operand(0)?, c.operand(1)?, c.float(2)?);
    let dtype = c.promote(&[&x, &y]);
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    Ok(with2(&mut c.b, &x, &y, |x, y| st::dist(x, y, p)).into())
}

/// Elements of arguments 0 and 1 where `bins` are those of each dimension.
fn histogramdd_counts(c: &mut Call<'_>) -> Result<Returned> {
    let (t, edges) = (c.tensor(0)?, c.tensors(1)?);
    let (x, weights, density) = (floats(&t)?, c.opt_tensor(2)?.map(|w| floats(&w)).transpose()?, c.bool(3)?);
    let edges: Vec<Vec<f64>> = edges.iter().map(floats).collect::<Result<_>>()?;
    let sizes: Vec<i64> = edges.iter().map(|e| e.len() as i64 - 1).collect();
    let mut counts = vec![0.0; sizes.iter().product::<i64>() as usize];
    let n = edges.len().max(1);
    for (i, row) in x.chunks_exact(n).enumerate() {
        let places: Option<Vec<usize>> = row.iter().zip(&edges).map(|(v, e)| place(*v, e)).collect();
        if let Some(p) = places {
            let at = p.iter().zip(&sizes).fold(0, |at, (p, n)| at * *n as usize + p);
            counts[at] += weights.as_ref().map_or(1.0, |w| w[i]);
        }
    }
    if density {
        let total: f64 = counts.iter().sum();
        for (flat, n) in counts.iter_mut().enumerate() {
            let (mut rest, mut volume) = (flat, 1.0);
            for (e, size) in edges.iter().zip(&sizes).rev() {
                let k = rest % *size as usize;
                rest /= *size as usize;
                volume *= e[k + 1] - e[k];
            }
            *n /= total * volume;
        }
    }
    Ok(made(&counts, t.dtype(), &sizes)?.into())
}

rows! {
    "cov" Torch "fm" Inputs ["(Tensor self, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor"]
        "The covariance matrix of variables (rows)." => cov;
    "corrcoef" Torch "fm" Inputs ["(Tensor self) -> Tensor"] "The matrix of correlation coefficients of variables (rows)." => corrcoef;
    "histc" Torch "fmo" Nothing ["(Tensor self, int bins=100, Number min=0, Number max=0) -> Tensor"]
        "How many elements fall into equal intervals." => histc;
    "histogram" Torch "fmo" Nothing ["(Tensor self, int bins=100, *, float[]? range=None, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor bin_edges)",
        "(Tensor self, Tensor bins, *, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor bin_edges)"]
        "How many elements fall into intervals, and the intervals' edges." => histogram;
    "_histogramdd_from_bin_tensors" Torch "f" Nothing ["(Tensor self, Tensor[] bins, Tensor? weight=None, bool density=False) -> Tensor"]
        "How many rows fall into boxes with given edges." => histogramdd_counts;
    "renorm" Torch "fmio" Inputs ["(Tensor self, Number p, int dim, Number maxnorm) -> Tensor"]
        "Slices along an axis scaled down to a norm." => renorm;
    "dist" Torch "fm" Inputs ["(Tensor self, Tensor other, Number p=2) -> Tensor"] "The norm of the difference." => dist;
    "trapezoid" Torch "f" Inputs ["(Tensor y, *, Number dx=1, int dim=-1) -> Tensor", "(Tensor y, Tensor x, *, int dim=-1) -> Tensor"]
        "The integral by the trapezoidal rule." => |c| integral(c, scan::trapezoid, scan::trapezoid_at, false);
    "trapz" Torch "f" Inputs ["(Tensor y, *, Number dx=1, int dim=-1) -> Tensor", "(Tensor y, Tensor x, *, int dim=-1) -> Tensor"]
        "The integral by the trapezoidal rule." => |c| integral(c, scan::trapezoid, scan::trapezoid_at, false);
    "cumulative_trapezoid" Torch "f" Inputs ["(Tensor y, *, Number dx=1, int dim=-1) -> Tensor", "(Tensor y, Tensor x, *, int dim=-1) -> Tensor"]
        "The running integral by the trapezoidal rule." => |c| integral(c, st::cumulative_trapezoid, st::cumulative_trapezoid_at, true);
    "gradient" Torch "f" Inputs ["(Tensor self, *, Number? spacing=None, int? dim=None, int edge_order=1) -> Tensor[]",
        "(Tensor self, *, Number? spacing=None, int[]? dim=None, int edge_order=1) -> Tensor[]",
        "(Tensor self, *, Number[] spacing, int? dim=None, int edge_order=1) -> Tensor[]",
        "(Tensor self, *, Number[] spacing, int[] dim, int edge_order=1) -> Tensor[]",
        "(Tensor self, *, Tensor[] spacing, int? dim=None, int edge_order=1) -> Tensor[]",
        "(Tensor self, *, Tensor[] spacing, int[] dim, int edge_order=1) -> Tensor[]"]
        "Derivatives of samples along axes." => gradient;
    "combinations" Torch "f" Nothing ["(Tensor self, int r=2, bool with_replacement=False) -> Tensor"]
        "All combinations of elements of a vector, as rows." => combinations;
}
