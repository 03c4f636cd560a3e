//! Linear systems, inverses, and norms of matrices.

use super::factorizations::{checked, matrices, several, singular, square, tuple};
use super::support::{V, with2};
use super::{Space, rows};
use crate::composite::{Scope, linear, reduction};
use crate::error::{Error, Result};
use crate::node::Value;
use crate::ops::args::{Arg, Number};
use crate::ops::call::{Call, Operand, Returned, broadcast_sizes, normalize_dims};
use crate::ops::matrix::norms::{self, Order};
use crate::ops::matrix::{self, systems};
use crate::ops::tied::apply;
use ttk_ir::{Builder, DType, Scalar};

/// A batch of matrices repeated to a batch shape.
fn repeated<'r>(x: &V<'r>, batch: &[i64]) -> V<'r> {
    let (m, n) = matrix::sizes_of(x);
    let mut sizes = batch.to_vec();
    sizes.extend([m, n]);
    x.broadcast_to(&ttk_ir::shape::shape(&sizes))
}

/// Two values of matrices brought to a common batch shape.
fn same_batch(c: &mut Call<'_>, a: &Value, b: &Value) -> Result<(Value, Value)> {
    let (x, y) = (a.dims(), b.dims());
    let batch = broadcast_sizes(&x[..x.len() - 2], &y[..y.len() - 2])?;
    let scope = Scope::new(&mut c.b);
    Ok((repeated(&scope.val(a), &batch).into_value(), repeated(&scope.val(b), &batch).into_value()))
}

/// `(X, info)` of `A X = B`, or `X A = B`.
fn solved(c: &mut Call<'_>, a: &Value, b: &Value, left: bool) -> Result<Vec<Value>> {
    let scope = Scope::new(&mut c.b);
    let vector = left && systems::is_vector(&scope.val(a), &scope.val(b));
    let rank = b.ty.rank();
    let b = if vector { scope.val(b).unsqueeze(rank).into_value() } else { b.clone() };
    let (d, e) = (a.dims(), b.dims());
    if e.len() < 2 || d[d.len() - 1] != e[if left { e.len() - 2 } else { e.len() - 1 }] {
        return Err(Error::runtime(format!(
            "linalg.solve: Incompatible shapes of A and B for the equation {} ({}x{} and {}x{})",
            if left { "AX = B" } else { "XA = B" },
            d[d.len() - 2],
            d[d.len() - 1],
            e[e.len().saturating_sub(2)],
            e[e.len() - 1]
        )));
    }
    let (a, b) = same_batch(c, a, &b)?;
    let turn = |c: &mut Call<'_>, x: &Value| several(c, x, |x| vec![matrix::mt(x)]).remove(0);
    let (a, b) = if left { (a, b) } else { (turn(c, &a), turn(c, &b)) };
    let mut found = apply(&matrix::SOLVE, &[], &[a, b]);
    if !left {
        found[0] = turn(c, &found[0]);
    }
    if vector {
        found[0] = several(c, &found[0], |x| vec![x.squeeze(&[x.rank() - 1])]).remove(0);
    }
    Ok(found)
}

fn solve_ex(c: &mut Call<'_>, check: bool) -> Result<Vec<Value>> {
    let (a, b) = (square(c, 0)?, c.value(1)?);
    if a.ty.dtype != b.ty.dtype {
        return Err(Error::runtime(format!(
            "linalg.solve: Expected A and B to have the same dtype, but found A of type {} and B of type {} instead",
            crate::error::scalar_type_name(a.ty.dtype),
            crate::error::scalar_type_name(b.ty.dtype)
        )));
    }
    let left = c.bool(2)?;
    let found = solved(c, &a, &b, left)?;
    if check {
        let name = if c.name() == "solve" { "torch.linalg.solve" } else { "torch.linalg.solve_ex" };
        checked(name, &found, &found[1], |_| {
            "The solver failed because the input matrix is singular.".to_owned()
        })?;
    }
    Ok(found)
}

/// `(inverse, info)`.
fn inverse(c: &mut Call<'_>, check: bool) -> Result<Vec<Value>> {
    let x = square(c, 0)?;
    let found = inverted(c, &x);
    if check {
        let name = if c.name() == "inv_ex" { "linalg.inv_ex" } else { "linalg.inv" };
        checked(name, &found, &found[1], singular)?;
    }
    Ok(found)
}

fn inverted(c: &mut Call<'_>, x: &Value) -> Vec<Value> {
    let one = several(c, x, |x| vec![matrix::eye_like(x, matrix::sizes_of(x).0, matrix::sizes_of(x).0)]);
    apply(&matrix::SOLVE, &[], &[x.clone(), one[0].clone()])
}

/// The inverse of square matrices.
///
/// # Errors
/// A singular matrix.
pub(super) fn inverse_of(c: &mut Call<'_>, x: &Value, name: &str) -> Result<Value> {
    let mut found = inverted(c, x);
    checked(name, &found, &found[1], singular)?;
    Ok(found.remove(0))
}

fn solve_triangular(c: &mut Call<'_>) -> Result<Returned> {
    let (a, b) = (square(c, 0)?, matrices(c, 1)?);
    let (upper, left, unit) = (c.bool(2)?, c.bool(3)?, c.bool(4)?);
    let (d, e) = (a.dims(), b.dims());
    if d[d.len() - 1] != e[if left { e.len() - 2 } else { e.len() - 1 }] {
        return Err(Error::runtime(format!(
            "linalg.solve_triangular: Incompatible shapes of A and B for the equation {} ({}x{} and {}x{})",
            if left { "AX = B" } else { "XA = B" },
            d[d.len() - 2],
            d[d.len() - 1],
            e[e.len() - 2],
            e[e.len() - 1]
        )));
    }
    let (a, b) = same_batch(c, &a, &b)?;
    Ok(with2(&mut c.b, &a, &b, |a, b| {
        if left { matrix::triangular(a, b, upper, unit) } else { matrix::triangular_right(a, b, upper, unit) }
    })
    .into())
}

/// The older form: `(b, A)`, and `A` is given back.
fn triangular_solve(c: &mut Call<'_>) -> Result<Returned> {
    let (b, a) = (matrices(c, 0)?, square(c, 1)?);
    let (upper, transpose, unit) = (c.bool(2)?, c.bool(3)?, c.bool(4)?);
    let (a, b) = same_batch(c, &a, &b)?;
    let x = with2(&mut c.b, &a, &b, |a, b| {
        if transpose {
            matrix::triangular(&matrix::mt(a), b, !upper, unit)
        } else {
            matrix::triangular(a, b, upper, unit)
        }
    });
    Ok(tuple(&["solution", "cloned_coefficient"], vec![x, a]))
}

fn lu_solve(c: &mut Call<'_>) -> Result<Returned> {
    // `torch.lu_solve(b, LU, pivots)`, `torch.linalg.lu_solve(LU, pivots, B, left, adjoint)`.
    let (lu, pivots, b, left, adjoint) = match c.row.space {
        Space::Torch => (square(c, 1)?, c.value(2)?, matrices(c, 0)?, true, false),
        _ => (square(c, 0)?, c.value(1)?, matrices(c, 2)?, c.bool(3)?, c.bool(4)?),
    };
    let (wide, b) = same_batch(c, &lu, &b)?;
    let scope = Scope::new(&mut c.b);
    let (lu, b) = (scope.val(&wide), scope.val(&b));
    let mut order = matrix::batch_of(&lu);
    order.push(matrix::sizes_of(&lu).0);
    let pivots = scope.val(&pivots).cast(DType::F64).broadcast_to(&ttk_ir::shape::shape(&order));
    let x = if left {
        systems::lu_solve(&lu, &pivots, &b, adjoint)
    } else {
        matrix::mt(&systems::lu_solve(&lu, &pivots, &matrix::mt(&b), !adjoint))
    };
    Ok(x.into_value().into())
}

fn cholesky_solve(c: &mut Call<'_>) -> Result<Returned> {
    let (b, l, upper) = (matrices(c, 0)?, square(c, 1)?, c.bool(2)?);
    let (l, b) = same_batch(c, &l, &b)?;
    Ok(with2(&mut c.b, &b, &l, |b, l| systems::cholesky_solve(b, l, upper)).into())
}

fn cholesky_inverse(c: &mut Call<'_>) -> Result<Returned> {
    let (l, upper) = (square(c, 0)?, c.bool(1)?);
    let x = several(c, &l, |l| {
        let (n, _) = matrix::sizes_of(l);
        vec![systems::cholesky_solve(&matrix::eye_like(l, n, n), l, upper)]
    });
    Ok(x[0].clone().into())
}

/// The tolerances of `pinv` and `matrix_rank`, of the batch shape of `x`, where `None` is the default:
/// nothing absolute, `eps * max(m, n)` relative, unless only an absolute one is given.
fn tolerances(
    c: &mut Call<'_>,
    x: &Value,
    absolute: Option<Operand<'_>>,
    relative: Option<Operand<'_>>,
) -> Result<(Value, Value)> {
    let d = x.dims();
    let (rows, columns) = (d[d.len() - 2], d[d.len() - 1]);
    let eps = if x.ty.dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let usual = match (&absolute, &relative) {
        (Some(Operand::Number(n)), None) if n.as_f64() > 0.0 => 0.0,
        (Some(Operand::Tensor(_)), None) => 0.0,
        _ => eps * rows.max(columns) as f64,
    };
    let batch = ttk_ir::shape::shape(&d[..d.len() - 2]);
    let one = |c: &mut Call<'_>, o: Option<Operand<'_>>, usual: f64| match o {
        Some(o) => {
            let v = c.operand_value(&o, x.ty.dtype);
            c.b.broadcast(&v, &batch)
        }
        None => c.b.constant(Scalar::from_f64(x.ty.dtype, usual), batch.clone()),
    };
    Ok((one(c, absolute, 0.0), one(c, relative, usual)))
}

fn pinv(c: &mut Call<'_>) -> Result<Returned> {
    let x = matrices(c, 0)?;
    let (absolute, relative, symmetric) = match (c.row.space, c.overload) {
        (Space::Torch, _) => (None, c.opt_operand(1)?, false),
        (_, 0) => (c.opt_operand(1)?, c.opt_operand(2)?, c.bool(3)?),
        _ => (None, c.opt_operand(1)?, c.bool(2)?),
    };
    let (absolute, relative) = tolerances(c, &x, absolute, relative)?;
    Ok(apply(&matrix::PINV, &[symmetric as i64], &[x, absolute, relative]).remove(0).into())
}

fn matrix_rank(c: &mut Call<'_>) -> Result<Returned> {
    let x = matrices(c, 0)?;
    let (absolute, relative, symmetric) = match c.overload {
        0 => (c.opt_operand(1)?, c.opt_operand(2)?, c.bool(3)?),
        _ => (c.opt_operand(1)?, Some(Operand::Number(Number::Float(0.0))), c.bool(2)?),
    };
    let (absolute, relative) = tolerances(c, &x, absolute, relative)?;
    let scope = Scope::new(&mut c.b);
    let (x, absolute, relative) = (scope.val(&x), scope.val(&absolute), scope.val(&relative));
    Ok(norms::rank(&x, &absolute.detach(), &relative.detach(), symmetric).into_value().into())
}

fn order(c: &Call<'_>, at: usize) -> Result<Option<Order>> {
    let number = match &c.args[at] {
        Arg::None => return Ok(None),
        Arg::Str(s) if s == "fro" => return Ok(Some(Order::Frobenius)),
        Arg::Str(s) if s == "nuc" => return Ok(Some(Order::Nuclear)),
        Arg::Str(s) => {
            return Err(Error::runtime(format!("linalg.matrix_norm: Order {s} not supported.")));
        }
        _ => c.float(at)?,
    };
    if ![1.0, 2.0, f64::INFINITY].contains(&number.abs()) {
        return Err(Error::runtime(format!("linalg.matrix_norm: Order {number} not supported.")));
    }
    Ok(Some(Order::Number(number)))
}

/// The norm of matrices in two axes.
pub(super) fn norm_of(
    c: &mut Call<'_>,
    x: &Value,
    order: Order,
    axes: &[usize],
    keep: bool,
) -> Result<Returned> {
    let &[a, z] = axes else {
        return Err(Error::runtime(format!("linalg.matrix_norm: dim must be a 2-tuple. Got {axes:?}")));
    };
    let d = x.dims();
    let empty = d[a] == 0 || d[z] == 0;
    if empty && matches!(order, Order::Number(_)) {
        return Err(Error::index(
            "linalg.matrix_norm: Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.",
        ));
    }
    let found = several(c, x, |x| {
        let mut perm: Vec<usize> = (0..x.rank()).filter(|i| *i != a && *i != z).collect();
        perm.extend([a, z]);
        let mut y = norms::matrix_norm(&x.permute(&perm), order);
        if keep {
            for axis in [a.min(z), a.max(z)] {
                y = y.unsqueeze(axis);
            }
        }
        vec![y]
    });
    Ok(found[0].clone().into())
}

fn floating(c: &mut Call<'_>, dtype: usize, name: &str) -> Result<Value> {
    let x = c.value(0)?;
    if !x.ty.dtype.is_float() {
        return Err(Error::runtime(format!(
            "{name}: Expected a floating point or complex tensor as input. Got {}",
            crate::error::scalar_type_name(x.ty.dtype)
        )));
    }
    Ok(match c.opt_dtype(dtype)? {
        Some(d) => c.b.cast(&x, d),
        None => x,
    })
}

fn matrix_norm(c: &mut Call<'_>) -> Result<Returned> {
    let x = floating(c, 4, "linalg.matrix_norm")?;
    if x.ty.rank() < 2 {
        return Err(Error::runtime(
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions.",
        ));
    }
    let order = order(c, 1)?.unwrap_or(Order::Frobenius);
    let axes = normalize_dims(c.ints(2)?, x.ty.rank()).map_err(|e| match e {
        Error::DimRange { .. } => e,
        _ => Error::runtime(format!("linalg.matrix_norm: dims must be different. Got {:?}", c.args[2])),
    })?;
    let keep = c.bool(3)?;
    norm_of(c, &x, order, &axes, keep)
}

/// `torch.linalg.norm`: of a vector, of matrices, or of everything.
fn norm(c: &mut Call<'_>) -> Result<Returned> {
    let x = floating(c, 4, "linalg.norm")?;
    let (rank, keep) = (x.ty.rank(), c.bool(3)?);
    let dims = c.opt_ints(2)?.map(|d| normalize_dims(d, rank)).transpose()?;
    if let Some(d) = &dims
        && !c.args[1].is_none()
        && d.len() != 1
        && d.len() != 2
    {
        return Err(Error::runtime(format!(
            "linalg.norm: If dim is specified, it must be of length 1 or 2. Got {d:?}"
        )));
    }
    if dims.is_none() && !c.args[1].is_none() && rank != 1 && rank != 2 {
        return Err(Error::runtime(format!(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {rank}D."
        )));
    }
    let axes = dims.clone().unwrap_or_else(|| (0..rank).collect());
    if !c.args[1].is_none() && axes.len() == 2 {
        let order = order(c, 1)?.unwrap_or(Order::Frobenius);
        return norm_of(c, &x, order, &axes, keep);
    }
    let p = match &c.args[1] {
        Arg::None => 2.0,
        Arg::Str(s) => {
            return Err(Error::runtime(format!("linalg.norm: Order {s} not supported for vectors.")));
        }
        _ => c.float(1)?,
    };
    let x = super::support::at_least_1d(&mut c.b, &x);
    let axes: Vec<usize> = if rank == 0 { vec![0] } else { axes };
    let y = several(c, &x, |x| {
        let y = reduction::vector_norm(x, p, &axes);
        vec![if keep && rank > 0 { y } else { y.squeeze(&axes) }]
    });
    Ok(y[0].clone().into())
}

fn cond(c: &mut Call<'_>) -> Result<Returned> {
    let x = matrices(c, 0)?;
    let p = match &c.args[1] {
        Arg::None => None,
        _ => order(c, 1)?,
    };
    if matches!(p, None | Some(Order::Number(2.0 | -2.0))) {
        let flip = p == Some(Order::Number(-2.0));
        let d = x.dims();
        let empty = d[d.len() - 1].min(d[d.len() - 2]) == 0;
        let y = several(c, &x, |x| {
            let s = norms::singular_values(x);
            let last = s.rank() - 1;
            if empty {
                return vec![s.sum(&[last]).squeeze(&[last])];
            }
            let (high, low) = (s.amax(&[last]).squeeze(&[last]), s.amin(&[last]).squeeze(&[last]));
            vec![if flip { low / high } else { high / low }]
        });
        return Ok(y[0].clone().into());
    }
    let order = p.unwrap_or(Order::Frobenius);
    let x = square(c, 0)?;
    let y = several(c, &x, |x| {
        let (n, last) = (matrix::sizes_of(x).0, x.rank() - 1);
        let found = crate::ops::tied::call(&matrix::SOLVE, &[], &[x, &matrix::eye_like(x, n, n)]);
        // A singular matrix has an infinite inverse here.
        let broken = found[1].ne(0i64).unsqueeze(last - 1).unsqueeze(last);
        let inverse = found[0].masked(&broken, f64::INFINITY);
        vec![norms::matrix_norm(x, order) * norms::matrix_norm(&inverse, order)]
    });
    Ok(y[0].clone().into())
}

/// Least squares by the pseudoinverse.
fn lstsq(c: &mut Call<'_>) -> Result<Returned> {
    let a = matrices(c, 0)?;
    let b = c.value(1)?;
    let driver = c.opt_str(3)?.unwrap_or("gelsy").to_owned();
    if !["gels", "gelsy", "gelsd", "gelss"].contains(&driver.as_str()) {
        return Err(Error::runtime(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)",
        ));
    }
    let scope = Scope::new(&mut c.b);
    let vector = systems::is_vector(&scope.val(&a), &scope.val(&b));
    let rank = b.ty.rank();
    if b.ty.rank() == 0 {
        return Err(Error::runtime("torch.linalg.lstsq: other must have at least 1 dimension"));
    }
    let b = if vector { scope.val(&b).unsqueeze(rank).into_value() } else { b };
    let (d, e) = (a.dims(), b.dims());
    let (m, n) = (d[d.len() - 2], d[d.len() - 1]);
    if e.len() < 2 || e[e.len() - 2] != m {
        return Err(Error::runtime("torch.linalg.lstsq: input.size(-2) should match other.size(-2)"));
    }
    let (a, b) = same_batch(c, &a, &b)?;
    let relative = c.opt_float(2)?.map(|v| Operand::Number(Number::Float(v)));
    let (absolute, relative) = tolerances(c, &a, None, relative)?;
    let p = apply(&matrix::PINV, &[0], &[a.clone(), absolute.clone(), relative.clone()]).remove(0);
    let x = with2(&mut c.b, &p, &b, linear::matmul);
    let scope = Scope::new(&mut c.b);
    let (av, bv, xv) = (scope.val(&a), scope.val(&b), scope.val(&x));
    let number = norms::rank(&av, &scope.val(&absolute), &scope.val(&relative), false);
    let last = xv.rank() - 1;
    let none = |dtype| scope.full(dtype, &[0i64.into()], 0.0);
    let singular = norms::singular_values(&av.detach());
    let residuals = if m > n && driver != "gelsy" {
        (matrix::mm(&av, &xv) - &bv).square().sum(&[last - 1]).squeeze(&[last - 1])
    } else {
        none(a.ty.dtype)
    };
    let shown = driver == "gelsd" || driver == "gelss";
    let solution = if vector { xv.squeeze(&[last]) } else { xv };
    let items = [
        solution,
        residuals,
        if driver == "gels" { none(DType::I64) } else { number },
        if shown { singular } else { none(a.ty.dtype) },
    ];
    let items = items.into_iter().map(V::into_value).collect();
    Ok(tuple(&["solution", "residuals", "rank", "singular_values"], items))
}

fn tensorinv(c: &mut Call<'_>) -> Result<Returned> {
    let (x, ind) = (c.value(0)?, c.int(1)?);
    let d = x.dims().to_vec();
    if ind <= 0 {
        return Err(Error::runtime("Expected a strictly positive integer for 'ind'"));
    }
    let at = (ind as usize).min(d.len());
    let (rows, columns): (i64, i64) = (d[..at].iter().product(), d[at..].iter().product());
    if rows != columns {
        return Err(Error::runtime(format!(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got {columns} != {rows}"
        )));
    }
    let out: Vec<i64> = d[at..].iter().chain(&d[..at]).copied().collect();
    let y = several(c, &x, |x| {
        let flat = x.view(&[rows, columns]);
        vec![matrix::solve(&flat, &matrix::eye_like(&flat, rows, rows)).view(&out)]
    });
    Ok(y[0].clone().into())
}

fn tensorsolve(c: &mut Call<'_>) -> Result<Returned> {
    let (a, b) = (c.value(0)?, c.value(1)?);
    let rank = a.ty.rank();
    let moved = c.opt_ints(2)?.map(|d| normalize_dims(d, rank)).transpose()?.unwrap_or_default();
    let mut perm: Vec<usize> = (0..rank).filter(|i| !moved.contains(i)).collect();
    perm.extend(&moved);
    let d: Vec<i64> = perm.iter().map(|&i| a.dims()[i]).collect();
    let at = b.ty.rank().min(d.len());
    let (rows, columns): (i64, i64) = (d[..at].iter().product(), d[at..].iter().product());
    if rows != columns {
        return Err(Error::runtime(format!(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got {columns} != {rows}"
        )));
    }
    Ok(with2(&mut c.b, &a, &b, |a, b| {
        let flat = a.permute(&perm).view(&[rows, columns]);
        matrix::solve(&flat, &b.view(&[rows, 1])).view(&d[at..])
    })
    .into())
}

rows! {
    "solve" Linalg "fo" Inputs ["(Tensor A, Tensor B, *, bool left=True) -> Tensor"]
        "X with A X = B." => |c| Ok(solve_ex(c, true)?.remove(0).into());
    "solve_ex" Linalg "fo" Inputs ["(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> (Tensor result, Tensor info)"]
        "`solve` that tells by a number whether A is singular." => |c| { let check = c.bool(3)?; Ok(tuple(&["result", "info"], solve_ex(c, check)?)) };
    "inv" Linalg "fo" Output ["(Tensor A) -> Tensor"] "The inverse." => |c| Ok(inverse(c, true)?.remove(0).into());
    "inverse" Torch "fmo" Output ["(Tensor self) -> Tensor"] "The inverse." => |c| Ok(inverse(c, true)?.remove(0).into());
    "inv_ex" Linalg "fo" Output ["(Tensor A, *, bool check_errors=False) -> (Tensor inverse, Tensor info)"]
        "`inv` that tells by a number whether the matrix is singular." => |c| { let check = c.bool(1)?; Ok(tuple(&["inverse", "info"], inverse(c, check)?)) };
    "solve_triangular" Linalg "fo" Inputs ["(Tensor self, Tensor B, *, bool upper, bool left=True, bool unitriangular=False) -> Tensor"]
        "X with A X = B (or X A = B) for a triangular A." => solve_triangular;
    "triangular_solve" Torch "fmo" Inputs ["(Tensor self, Tensor A, bool upper=True, bool transpose=False, bool unitriangular=False) -> (Tensor solution, Tensor cloned_coefficient)"]
        "X with A X = self for a triangular A." => triangular_solve;
    "lu_solve" Torch "fmo" Inputs ["(Tensor self, Tensor LU_data, Tensor LU_pivots) -> Tensor"]
        "X with A X = self, from the factors of A." => lu_solve;
    "lu_solve" Linalg "fo" Inputs ["(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool adjoint=False) -> Tensor"]
        "X with A X = B, from the factors of A." => lu_solve;
    "cholesky_solve" Torch "fmo" Inputs ["(Tensor self, Tensor input2, bool upper=False) -> Tensor"]
        "X with A X = self, from the Cholesky factor of A." => cholesky_solve;
    "cholesky_inverse" Torch "fmo" Inputs ["(Tensor self, bool upper=False) -> Tensor"]
        "The inverse of A, from its Cholesky factor." => cholesky_inverse;
    "pinv" Linalg "fo" Output ["(Tensor self, *, Operand? atol=None, Operand? rtol=None, bool hermitian=False) -> Tensor", "(Tensor self, Operand rcond, bool hermitian=False) -> Tensor"]
        "The pseudoinverse." => pinv;
    "pinverse" Torch "fm" Output ["(Tensor self, Operand rcond=1e-15) -> Tensor"] "The pseudoinverse." => pinv;
    "matrix_rank" Linalg "fo" Nothing ["(Tensor self, *, Operand? atol=None, Operand? rtol=None, bool hermitian=False) -> Tensor", "(Tensor self, Operand tol, bool hermitian=False) -> Tensor"]
        "How many singular values are not negligible." => matrix_rank;
    "matrix_norm" Linalg "fo" Inputs ["(Tensor self, Number ord, int[] dim=[-2,-1], bool keepdim=False, *, dtype? dtype=None) -> Tensor", "(Tensor self, str ord='fro', int[] dim=[-2,-1], bool keepdim=False, *, dtype? dtype=None) -> Tensor"]
        "The norm of matrices." => matrix_norm;
    "norm" Linalg "fo" Inputs ["(Tensor self, Number? ord=None, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor", "(Tensor self, str ord, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor"]
        "The norm of vectors or matrices." => norm;
    "cond" Linalg "fo" Nothing ["(Tensor self, Number? p=None) -> Tensor", "(Tensor self, str p) -> Tensor"] "The condition number." => cond;
    "lstsq" Linalg "fo" Nothing ["(Tensor self, Tensor b, float? rcond=None, *, str? driver=None) -> (Tensor solution, Tensor residuals, Tensor rank, Tensor singular_values)"]
        "X that makes A X nearest to b." => lstsq;
    "tensorinv" Linalg "fo" Inputs ["(Tensor self, int ind=2) -> Tensor"] "The inverse of a linear map between tensors." => tensorinv;
    "tensorsolve" Linalg "fo" Inputs ["(Tensor self, Tensor other, int[]? dims=None) -> Tensor"] "X with tensordot(A, X) = other." => tensorsolve;
}
