//! Linear systems by a factorization at hand.

use super::super::tied::{V, call, kernel};
use super::{
    CHOLESKY_SOLVE, batch_of, diagonal_matrix, eye_like, mm, mt, part, permutation, sizes_of, triangular,
    with_batch,
};
use crate::composite::layout::{tril, triu};

/// The unit lower and the upper factor of `L\U`: `[m, k]` and `[k, n]`.
pub(crate) fn unpack<'r>(lu: &V<'r>) -> (V<'r>, V<'r>) {
    let (m, n) = sizes_of(lu);
    let (k, last) = (m.min(n), lu.rank() - 1);
    let lower = tril(&lu.narrow(last, 0, k), -1) + eye_like(lu, m, k);
    (lower, triu(&lu.narrow(last - 1, 0, k), 0))
}

/// `X` with `A X = B`, or `Aᵀ X = B`, from the factorization `A = P L U`.
pub(crate) fn lu_solve<'r>(lu: &V<'r>, pivots: &V<'r>, b: &V<'r>, transpose: bool) -> V<'r> {
    let p = permutation(pivots, sizes_of(lu).0, lu);
    if transpose {
        let x = triangular(&mt(lu), b, false, false);
        return mm(&p, &triangular(&mt(lu), &x, true, true));
    }
    let x = triangular(lu, &mm(&mt(&p), b), false, true);
    triangular(lu, &x, true, false)
}

/// `X` with `A X = B`, from `A = L Lᵀ`, or `A = Uᵀ U` when `upper`.
pub(crate) fn cholesky_solve<'r>(b: &V<'r>, factor: &V<'r>, upper: bool) -> V<'r> {
    call(&CHOLESKY_SOLVE, &[upper as i64], &[b, factor]).remove(0)
}

/// R and the reflectors, and their factors `tau`.
pub(crate) fn geqrf<'r>(a: &V<'r>) -> (V<'r>, V<'r>) {
    let (m, n) = sizes_of(a);
    let k = m.min(n);
    let flat = kernel("linalg.geqrf", &[], &[a], &with_batch(a, &[m * n + k]));
    (part(&flat, 0, &[m, n], a.dtype()), part(&flat, m * n, &[k], a.dtype()))
}

/// The product of the reflectors `I - tau vvᵀ` as `I - V T Vᵀ` (Schreiber and Van Loan, 1989): `V` and `T`.
fn compact<'r>(reflectors: &V<'r>, tau: &V<'r>) -> (V<'r>, V<'r>) {
    let (m, _) = sizes_of(reflectors);
    let (last, k) = (reflectors.rank() - 1, tau.size(tau.rank() - 1));
    let v = tril(&reflectors.narrow(last, 0, k), -1) + eye_like(reflectors, m, k);
    let above = triu(&mm(&mt(&v), &v), 1) * tau.unsqueeze(last);
    let unit = &above + eye_like(reflectors, k, k);
    let t = triangular(&unit, &diagonal_matrix(tau), true, true);
    (v, t)
}

/// The first `n` columns of the product of the reflectors that are the columns of `a`, `[m, n]`.
pub(crate) fn householder_product<'r>(a: &V<'r>, tau: &V<'r>) -> V<'r> {
    let (m, n) = sizes_of(a);
    let (v, t) = compact(a, tau);
    let one = eye_like(a, m, n);
    &one - mm(&v, &mm(&t, &mm(&mt(&v), &one)))
}

/// The product of `Q`, or `Qᵀ`, and `c`, from the left or the right; `Q` is that of [`householder_product`].
pub(crate) fn ormqr<'r>(a: &V<'r>, tau: &V<'r>, c: &V<'r>, left: bool, transpose: bool) -> V<'r> {
    let (v, t) = compact(a, tau);
    let t = if transpose { mt(&t) } else { t };
    if left { c - mm(&v, &mm(&t, &mm(&mt(&v), c))) } else { c - mm(&mm(&mm(c, &v), &t), &mt(&v)) }
}

/// Whether `b` is a batch of vectors for matrices `a`: one axis, or the batch shape of `a` and one axis more.
pub(crate) fn is_vector(a: &V<'_>, b: &V<'_>) -> bool {
    let (own, given) = (batch_of(a), b.sizes());
    let rows = sizes_of(a).0;
    b.rank() == 1
        || (a.rank() - 1 == b.rank() && given[..given.len() - 1] == own && given[given.len() - 1] == rows)
}
