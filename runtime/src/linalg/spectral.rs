//! Singular values, eigenvalues, and the exponential of a matrix.

use super::{Matrix, push};
use faer::linalg::solvers::Solve;

/// `A = U diag(S) Vᵀ`, singular values in descending order. NaN or infinities in A give NaN.
pub(super) fn svd(attributes: &[i64], matrices: &[Matrix<'_>], out: &mut Vec<f64>) {
    let ([a], [full]) = (matrices, attributes) else { return };
    let (m, n, full) = (a.rows, a.columns, *full != 0);
    let k = m.min(n);
    let (u, v) = if full { (m, n) } else { (k, k) };
    if k == 0 {
        for size in [u * m, v * n] {
            let side = if size == 0 { 0 } else { size.isqrt() };
            out.extend((0..size).map(|i| f64::from(i / side == i % side)));
        }
        return;
    }
    let found = if a.has_nan() {
        None
    } else if full {
        a.faer().svd().ok()
    } else {
        a.faer().thin_svd().ok()
    };
    let Some(found) = found else {
        out.extend(std::iter::repeat_n(f64::NAN, m * u + k + v * n));
        return;
    };
    push(out, found.U());
    let s = found.S().column_vector();
    out.extend((0..k).map(|i| s[i]));
    push(out, found.V().transpose());
}

/// The eigenvalues, ascending, and eigenvectors (columns) of a symmetric matrix.
pub(super) fn eigh(_: &[i64], matrices: &[Matrix<'_>], out: &mut Vec<f64>) {
    let [a] = matrices else { return };
    let n = a.rows;
    if n == 0 {
        return;
    }
    let found = if a.has_nan() { None } else { a.faer().self_adjoint_eigen(faer::Side::Lower).ok() };
    let Some(found) = found else {
        out.extend(std::iter::repeat_n(f64::NAN, n + n * n));
        return;
    };
    let s = found.S().column_vector();
    out.extend((0..n).map(|i| s[i]));
    push(out, found.U());
}

/// The exponential: Padé's approximant of degree 13 of the matrix scaled down, squared up again (Higham, "The
/// scaling and squaring method for the matrix exponential revisited", 2005).
pub(super) fn exp(_: &[i64], matrices: &[Matrix<'_>], out: &mut Vec<f64>) {
    const B: [f64; 14] = [
        64764752532480000.0,
        32382376266240000.0,
        7771770303897600.0,
        1187353796428800.0,
        129060195264000.0,
        10559470521600.0,
        670442572800.0,
        33522128640.0,
        1323241920.0,
        40840800.0,
        960960.0,
        16380.0,
        182.0,
        1.0,
    ];
    let [a] = matrices else { return };
    let n = a.rows;
    if n == 0 {
        return;
    }
    if a.has_nan() {
        out.extend(std::iter::repeat_n(f64::NAN, n * n));
        return;
    }
    let norm = (0..n).map(|j| (0..n).map(|i| a.data[i * n + j].abs()).sum::<f64>()).fold(0.0, f64::max);
    let squarings =
        if norm > 5.371920351148152 { (norm / 5.371920351148152).log2().ceil() as i32 } else { 0 };
    let a = a.faer() * faer::Scale(0.5_f64.powi(squarings));
    let one = faer::Mat::<f64>::identity(n, n);
    let (a2, s) = (&a * &a, |m: &faer::Mat<f64>, k: usize| m * faer::Scale(B[k]));
    let a4 = &a2 * &a2;
    let a6 = &a4 * &a2;
    let u = &a6 * (s(&a6, 13) + s(&a4, 11) + s(&a2, 9)) + s(&a6, 7) + s(&a4, 5) + s(&a2, 3) + s(&one, 1);
    let u = &a * u;
    let v = &a6 * (s(&a6, 12) + s(&a4, 10) + s(&a2, 8)) + s(&a6, 6) + s(&a4, 4) + s(&a2, 2) + s(&one, 0);
    let mut x = (&v - &u).partial_piv_lu().solve(&v + &u);
    for _ in 0..squarings {
        x = &x * &x;
    }
    push(out, x.as_ref());
}
