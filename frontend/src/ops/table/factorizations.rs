//! Factorizations of matrices.

use super::rows;
use super::support::{V, named};
use crate::composite::{Scope, layout};
use crate::error::{Error, Result, scalar_type_name};
use crate::node::Value;
use crate::ops::call::{Call, Returned};
use crate::ops::matrix::{self, systems};
use crate::ops::tied::apply;
use crate::tensor::Tensor;
use ttk_ir::{Builder, DType};

/// The operator as PyTorch's messages name it.
fn title(c: &Call<'_>) -> String {
    format!("linalg.{}", c.name())
}

/// A tensor of matrices, of `float32` or `float64`.
pub(super) fn matrices(c: &Call<'_>, at: usize) -> Result<Value> {
    let x = c.value(at)?;
    let name = title(c);
    if !x.ty.dtype.is_float() {
        return Err(Error::runtime(format!(
            "{name}: Expected a floating point or complex tensor as input. Got {}",
            scalar_type_name(x.ty.dtype)
        )));
    }
    if matches!(x.ty.dtype, DType::F16 | DType::BF16) {
        return Err(Error::runtime(format!(
            "{name}: Low precision dtypes not supported. Got {}",
            scalar_type_name(x.ty.dtype)
        )));
    }
    if x.ty.rank() < 2 {
        return Err(Error::runtime(format!("{name}: The input tensor A must have at least 2 dimensions.")));
    }
    Ok(x)
}

/// A tensor of square matrices.
pub(super) fn square(c: &Call<'_>, at: usize) -> Result<Value> {
    let x = matrices(c, at)?;
    let d = x.dims();
    let (m, n) = (d[d.len() - 2], d[d.len() - 1]);
    if m != n {
        return Err(Error::runtime(format!(
            "{}: A must be batches of square matrices, but they are {m} by {n} matrices",
            title(c)
        )));
    }
    Ok(x)
}

/// Several results under names.
pub(super) fn tuple(names: &'static [&'static str], items: Vec<Value>) -> Returned {
    Returned::Tuple { names, items: items.into_iter().map(Tensor::from_value).collect() }
}

/// A formula of one value with several results.
pub(super) fn several(
    c: &mut Call<'_>,
    x: &Value,
    f: impl for<'r> FnOnce(&V<'r>) -> Vec<V<'r>>,
) -> Vec<Value> {
    let scope = Scope::new(&mut c.b);
    f(&scope.val(x)).into_iter().map(V::into_value).collect()
}

/// Computes the results of a factorization and looks whether it broke down, as PyTorch does at the call.
///
/// # Errors
/// `text` of the number that the kernel gave, where it is not 0.
pub(super) fn checked(name: &str, results: &[Value], info: &Value, text: fn(i64) -> String) -> Result<()> {
    crate::materialize::demand(results)?;
    let numbers = crate::host::scalars(&Tensor::from_value(info.clone()).detach())?;
    let Some((i, n)) = numbers.iter().map(|s| s.as_i64()).enumerate().find(|(_, n)| *n != 0) else {
        return Ok(());
    };
    let place = if info.ty.rank() > 0 { format!("(Batch element {i}): ") } else { String::new() };
    Err(Error::runtime(format!("{name}: {place}{}", text(n))))
}

pub(super) fn singular(n: i64) -> String {
    format!(
        "The diagonal element {n} is zero, the inversion could not be completed because the input matrix is singular."
    )
}

fn not_positive(n: i64) -> String {
    format!(
        "The factorization could not be completed because the input is not positive-definite (the leading minor of order {n} is not positive-definite)."
    )
}

/// `(factor, info)` of the Cholesky factorization.
fn cholesky(c: &mut Call<'_>, upper: bool) -> Result<Vec<Value>> {
    let x = square(c, 0)?;
    // The other triangle may hold anything.
    let x = if upper { several(c, &x, |x| vec![matrix::mt(x)]).remove(0) } else { x };
    let mut found = apply(&matrix::CHOLESKY, &[], &[x]);
    if upper {
        found[0] = several(c, &found[0], |l| vec![matrix::mt(l)]).remove(0);
    }
    Ok(found)
}

fn cholesky_checked(c: &mut Call<'_>) -> Result<Returned> {
    let upper = c.bool(1)?;
    let found = cholesky(c, upper)?;
    let name = if c.row.space == super::Space::Torch { "cholesky".into() } else { title(c) };
    checked(&name, &found, &found[1], not_positive)?;
    Ok(found[0].clone().into())
}

fn qr(c: &mut Call<'_>) -> Result<Returned> {
    let x = matrices(c, 0)?;
    let d = x.dims();
    let (m, n) = (d[d.len() - 2], d[d.len() - 1]);
    let mode = if c.row.space == super::Space::Torch {
        if c.bool(1)? { "reduced" } else { "complete" }
    } else {
        c.str(1)?
    };
    let columns = match mode {
        "reduced" | "r" => m.min(n),
        "complete" => m,
        other => {
            return Err(Error::runtime(format!(
                "qr received unrecognized mode '{other}' but expected one of 'reduced' (default), 'r', or 'complete'"
            )));
        }
    };
    let mut found = apply(&matrix::QR, &[columns], &[x]);
    if mode == "r" {
        found[0] = c.b.constant(ttk_ir::Scalar::zero(found[0].ty.dtype), ttk_ir::shape::shape(&[0]));
    }
    Ok(tuple(&["Q", "R"], found))
}

fn svd(c: &mut Call<'_>) -> Result<Returned> {
    let x = matrices(c, 0)?;
    if c.row.space == super::Space::Linalg {
        let full = c.bool(1)?;
        return Ok(tuple(&["U", "S", "Vh"], apply(&matrix::SVD, &[full as i64], &[x])));
    }
    let (some, vectors) = (c.bool(1)?, c.bool(2)?);
    let mut found = apply(&matrix::SVD, &[!some as i64], &[x]);
    if vectors {
        found[2] = several(c, &found[2], |v| vec![matrix::mt(v)]).remove(0);
    } else {
        for i in [0, 2] {
            let d = found[i].dims();
            let side = *d.last().unwrap_or(&0);
            let mut sizes = d.to_vec();
            let at = sizes.len() - 2;
            sizes[at] = side;
            found[i] = c.b.constant(ttk_ir::Scalar::zero(found[i].ty.dtype), ttk_ir::shape::shape(&sizes));
        }
    }
    Ok(tuple(&["U", "S", "V"], found))
}

/// Eigenvalues and eigenvectors; the triangle that is read is mirrored first.
fn eigh(c: &mut Call<'_>) -> Result<Vec<Value>> {
    let x = square(c, 0)?;
    let lower = match c.str(1)? {
        "L" | "l" => true,
        "U" | "u" => false,
        other => {
            return Err(Error::runtime(format!("Expected UPLO argument to be 'L' or 'U', but got {other}")));
        }
    };
    let x = if lower { x } else { several(c, &x, |x| vec![matrix::mt(x)]).remove(0) };
    Ok(apply(&matrix::EIGH, &[], &[x]))
}

/// `(LU, pivots, info)`.
fn lu_factor(c: &mut Call<'_>, pivot: usize) -> Result<Vec<Value>> {
    let x = matrices(c, 0)?;
    if !c.bool(pivot)? {
        return Err(Error::runtime("linalg.lu_factor: LU without pivoting is not implemented on the CPU"));
    }
    let mut found = apply(&matrix::LU, &[], &[x]);
    let info = several(c, &found[0], |lu| {
        let d = matrix::diagonal(lu).detach();
        let (last, k) = (d.rank() - 1, d.size(d.rank() - 1));
        // The first zero on the diagonal, counted from 1.
        let place = d.scope().iota(DType::I64, &d.shape(), last) + 1i64;
        let first = place.keep_where(&d.eq(0.0), k + 1);
        if k == 0 {
            return vec![first.sum(&[last]).squeeze(&[last]).cast(DType::I32)];
        }
        let first = first.amin(&[last]).squeeze(&[last]);
        vec![first.masked(&first.gt(k), 0i64).cast(DType::I32)]
    });
    found.extend(info);
    Ok(found)
}

fn lu(c: &mut Call<'_>) -> Result<Returned> {
    let found = lu_factor(c, 1)?;
    unpacked(c, &found[0], &found[1], true, true)
}

fn unpacked(c: &mut Call<'_>, lu: &Value, pivots: &Value, data: bool, order: bool) -> Result<Returned> {
    let nothing = c.b.constant(ttk_ir::Scalar::zero(lu.ty.dtype), ttk_ir::shape::shape(&[0]));
    let scope = Scope::new(&mut c.b);
    let lu = scope.val(lu);
    let m = matrix::sizes_of(&lu).0;
    let p = if order {
        matrix::permutation(&scope.val(pivots).cast(DType::F64), m, &lu).into_value()
    } else {
        nothing.clone()
    };
    let (l, u) = if data {
        let (l, u) = systems::unpack(&lu);
        (l.into_value(), u.into_value())
    } else {
        (nothing.clone(), nothing)
    };
    Ok(tuple(&["P", "L", "U"], vec![p, l, u]))
}

fn lu_unpack(c: &mut Call<'_>) -> Result<Returned> {
    let (lu, pivots) = (matrices(c, 0)?, c.value(1)?);
    if pivots.ty.dtype != DType::I32 {
        return Err(Error::runtime(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\nNote: this function is intended to be used with the output produced by torch.linalg.lu_factor",
        ));
    }
    let (data, order) = (c.bool(2)?, c.bool(3)?);
    unpacked(c, &lu, &pivots, data, order)
}

fn householder_product(c: &mut Call<'_>) -> Result<Returned> {
    let (a, tau) = (matrices(c, 0)?, c.value(1)?);
    let (d, t) = (a.dims(), tau.dims());
    let (m, n) = (d[d.len() - 2], d[d.len() - 1]);
    if m < n {
        return Err(Error::runtime(
            "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to input.shape[-1]",
        ));
    }
    if t.last().is_none_or(|&k| k > n) {
        return Err(Error::runtime(
            "torch.linalg.householder_product: input.shape[-1] must be greater than or equal to tau.shape[-1]",
        ));
    }
    if d[..d.len() - 2] != t[..t.len() - 1] {
        return Err(Error::runtime(format!(
            "torch.linalg.householder_product: Expected batch dimensions of tau to be equal to input.shape[:-2], but got {:?}",
            &t[..t.len() - 1]
        )));
    }
    let scope = Scope::new(&mut c.b);
    Ok(systems::householder_product(&scope.val(&a), &scope.val(&tau)).into_value().into())
}

fn ormqr(c: &mut Call<'_>) -> Result<Returned> {
    let (a, tau, other) = (matrices(c, 0)?, c.value(1)?, c.value(2)?);
    let (left, transpose) = (c.bool(3)?, c.bool(4)?);
    let (d, o) = (a.dims(), other.dims());
    if o.len() != d.len() || o[if left { o.len() - 2 } else { o.len() - 1 }] != d[d.len() - 2] {
        return Err(Error::runtime(format!(
            "torch.ormqr: other.shape[-{}] must be equal to input.shape[-2]",
            if left { 2 } else { 1 }
        )));
    }
    let scope = Scope::new(&mut c.b);
    let (a, tau, other) = (scope.val(&a), scope.val(&tau), scope.val(&other));
    Ok(systems::ormqr(&a, &tau, &other, left, transpose).into_value().into())
}

/// `(U, H)` with `A = U H`, from the singular values.
fn polar(c: &mut Call<'_>) -> Result<Returned> {
    let x = matrices(c, 0)?;
    let d = x.dims();
    let (m, n) = (d[d.len() - 2], d[d.len() - 1]);
    if m < n {
        return Err(Error::runtime(format!(
            "linalg.polar: Expected A to have at least as many rows as columns, but got {m} by {n} matrices"
        )));
    }
    let found = several(c, &x, |x| {
        let found = crate::ops::tied::call(&matrix::SVD, &[0], &[x]);
        let last = found[1].rank();
        let scaled = matrix::mt(&found[2]) * found[1].unsqueeze(last - 1);
        vec![matrix::mm(&found[0], &found[2]), matrix::mm(&scaled, &found[2])]
    });
    Ok(tuple(&["U", "H"], found))
}

/// The symmetric square root, from the eigenvalues.
fn matrix_sqrth(c: &mut Call<'_>) -> Result<Returned> {
    let x = square(c, 0)?;
    Ok(apply(&matrix::SQRTH, &[], &[x]).remove(0).into())
}

rows! {
    "cholesky" Linalg "fo" Output ["(Tensor self, *, bool upper=False) -> Tensor"]
        "L with A = L L^T; L is lower triangular." => cholesky_checked;
    "cholesky" Torch "fmo" Output ["(Tensor self, bool upper=False) -> Tensor"]
        "L with A = L L^T; L is lower triangular." => cholesky_checked;
    "cholesky_ex" Linalg "fo" Output ["(Tensor self, *, bool upper=False, bool check_errors=False) -> (Tensor L, Tensor info)"]
        "`cholesky` that tells by a number whether it failed." => |c| {
            let (upper, check) = (c.bool(1)?, c.bool(2)?);
            let found = cholesky(c, upper)?;
            if check { checked("linalg.cholesky_ex", &found, &found[1], not_positive)?; }
            Ok(tuple(&["L", "info"], found))
        };
    "qr" Linalg "fo" Output ["(Tensor A, str mode='reduced') -> (Tensor Q, Tensor R)"]
        "A = Q R with orthonormal columns of Q and a triangular R." => qr;
    "qr" Torch "fmo" Output ["(Tensor self, bool some=True) -> (Tensor Q, Tensor R)"]
        "A = Q R with orthonormal columns of Q and a triangular R." => qr;
    "geqrf" Torch "fmo" Nothing ["(Tensor self) -> (Tensor a, Tensor tau)"]
        "The factorization Q R, with Q as reflectors." => |c| {
            let x = matrices(c, 0)?;
            let found = several(c, &x, |x| { let (a, tau) = systems::geqrf(&x.detach()); vec![a, tau] });
            Ok(tuple(&["a", "tau"], found))
        };
    "householder_product" Linalg "fo" Inputs ["(Tensor input, Tensor tau) -> Tensor"]
        "The first columns of a product of reflectors." => householder_product;
    "orgqr" Torch "fmo" Inputs ["(Tensor self, Tensor input2) -> Tensor"]
        "The first columns of a product of reflectors." => householder_product;
    "ormqr" Torch "fmo" Inputs ["(Tensor self, Tensor input2, Tensor input3, bool left=True, bool transpose=False) -> Tensor"]
        "The product of a product of reflectors and another matrix." => ormqr;
    "svd" Linalg "fo" Output ["(Tensor A, bool full_matrices=True, *, str? driver=None) -> (Tensor U, Tensor S, Tensor Vh)"]
        "A = U diag(S) Vh with orthonormal U and Vh, S descending." => svd;
    "svd" Torch "fmo" Output ["(Tensor self, bool some=True, bool compute_uv=True) -> (Tensor U, Tensor S, Tensor V)"]
        "A = U diag(S) V^T with orthonormal U and V, S descending." => svd;
    "svdvals" Linalg "fo" Nothing ["(Tensor A, *, str? driver=None) -> Tensor"] "The singular values, descending." => |c| {
            let x = matrices(c, 0)?;
            Ok(apply(&matrix::SVD, &[0], &[x]).remove(1).into())
        };
    "eigh" Linalg "fo" Output ["(Tensor self, str UPLO='L') -> (Tensor eigenvalues, Tensor eigenvectors)"]
        "Eigenvalues, ascending, and eigenvectors of symmetric matrices." => |c| Ok(tuple(&["eigenvalues", "eigenvectors"], eigh(c)?));
    "eigvalsh" Linalg "fo" Nothing ["(Tensor self, str UPLO='L') -> Tensor"]
        "Eigenvalues of symmetric matrices, ascending." => |c| Ok(eigh(c)?.remove(0).into());
    "lu_factor" Linalg "fo" Output ["(Tensor A, *, bool pivot=True) -> (Tensor LU, Tensor pivots)"]
        "The factors of P A = L U in one matrix, and the row exchanges." => |c| {
            let mut found = lu_factor(c, 1)?;
            found.pop();
            Ok(tuple(&["LU", "pivots"], found))
        };
    "lu_factor_ex" Linalg "fo" Output ["(Tensor A, *, bool pivot=True, bool check_errors=False) -> (Tensor LU, Tensor pivots, Tensor info)"]
        "`lu_factor` that tells by a number whether a pivot is zero." => |c| {
            let check = c.bool(2)?;
            let found = lu_factor(c, 1)?;
            if check {
                checked("torch.linalg.lu_factor_ex", &found, &found[2], |n| format!(
                    "U[{n},{n}] is zero and using it on lu_solve would result in a division by zero. If you still want to perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
                ))?;
            }
            Ok(tuple(&["LU", "pivots", "info"], found))
        };
    "lu" Linalg "fo" Output ["(Tensor A, *, bool pivot=True) -> (Tensor P, Tensor L, Tensor U)"]
        "A = P L U." => lu;
    "lu_unpack" Torch "fo" Nothing ["(Tensor LU_data, Tensor LU_pivots, bool unpack_data=True, bool unpack_pivots=True) -> (Tensor P, Tensor L, Tensor U)"]
        "The matrices of what `lu_factor` gave." => lu_unpack;
    "polar" Linalg "fo" Output ["(Tensor A) -> (Tensor U, Tensor H)"]
        "A = U H with orthonormal columns of U and a symmetric positive H." => polar;
    "matrix_sqrth" Linalg "f" Output ["(Tensor self) -> Tensor"]
        "The square root of symmetric positive-definite matrices." => matrix_sqrth;
    "matrix_exp" Linalg "f" Inputs ["(Tensor self) -> Tensor"] "The exponential of matrices." => |c| {
            let x = square(c, 0)?;
            Ok(apply(&matrix::EXP, &[], &[x]).remove(0).into())
        };
    "matrix_exp" Torch "fm" Inputs ["(Tensor self) -> Tensor"] "The exponential of matrices." => |c| {
            let x = square(c, 0)?;
            Ok(apply(&matrix::EXP, &[], &[x]).remove(0).into())
        };
    "det" Linalg "fo" Inputs ["(Tensor A) -> Tensor"] "The determinant." => determinant;
    "det" Torch "fm" Inputs ["(Tensor self) -> Tensor"] "The determinant." => determinant;
    "slogdet" Linalg "fo" Inputs ["(Tensor A) -> (Tensor sign, Tensor logabsdet)"]
        "The sign of the determinant and the logarithm of its magnitude." => |c| { let [s, l] = slogdet(c)?; Ok(named(&["sign", "logabsdet"], s, l)) };
    "slogdet" Torch "fmo" Inputs ["(Tensor self) -> (Tensor sign, Tensor logabsdet)"]
        "The sign of the determinant and the logarithm of its magnitude." => |c| { let [s, l] = slogdet(c)?; Ok(named(&["sign", "logabsdet"], s, l)) };
    "logdet" Torch "fm" Inputs ["(Tensor self) -> Tensor"] "The logarithm of the determinant." => |c| {
            let [sign, size] = slogdet(c)?;
            let log = c.b.unary(ttk_ir::Unary::Log, &sign);
            let log = c.b.op(ttk_ir::Op::Detach, &[log]);
            Ok(c.b.add(&size, &log).into())
        };
    "diagonal" Linalg "f" Nothing ["(Tensor A, *, int offset=0, int dim1=-2, int dim2=-1) -> Tensor"]
        "The diagonals of matrices." => |c| {
            let x = c.value(0)?;
            let rank = x.ty.rank();
            let (k, a, z) = (c.int(1)?, c.dim(2, rank)?, c.dim(3, rank)?);
            if a == z { return Err(Error::runtime(format!("diagonal dimensions cannot be identical {a}, {z}"))); }
            Ok(super::support::with1(&mut c.b, &x, |x| layout::diagonal(x, k, a, z)).into())
        };
}

fn determinant(c: &mut Call<'_>) -> Result<Returned> {
    let x = square(c, 0)?;
    Ok(apply(&matrix::DET, &[], &[x]).remove(0).into())
}

fn slogdet(c: &mut Call<'_>) -> Result<[Value; 2]> {
    let x = square(c, 0)?;
    let mut found = apply(&matrix::SLOGDET, &[], &[x]);
    let size = found.remove(1);
    Ok([found.remove(0), size])
}
