//! Triangular factorizations and what is solved by them.

use super::Matrix;
use faer::linalg::solvers::Solve;

/// Gaussian elimination with the pivot of largest magnitude in each column: `P A = L U`.
pub(super) fn lu(_: &[i64], matrices: &[Matrix<'_>], out: &mut Vec<f64>) {
    let [a] = matrices else { return };
    let (m, n) = (a.rows, a.columns);
    let k = m.min(n);
    if k == 0 {
        return;
    }
    let lu = a.faer().partial_piv_lu();
    let (l, u) = (lu.L(), lu.U());
    for i in 0..m {
        out.extend((0..n).map(|j| if i > j { l[(i, j)] } else { u[(i, j)] }));
    }
    // LAPACK names the exchanges one after the other, not where rows end up.
    let (forward, _) = lu.P().arrays();
    let mut rows: Vec<usize> = (0..m).collect();
    for (i, &wanted) in forward.iter().enumerate().take(k) {
        let at = (i..m).find(|&j| rows[j] == wanted).unwrap_or(i);
        rows.swap(i, at);
        out.push((at + 1) as f64);
    }
}

/// `A X = B`, by `lu`. A singular matrix gives infinities and NaN, and the number of its zero pivot.
pub(super) fn solve(_: &[i64], matrices: &[Matrix<'_>], out: &mut Vec<f64>) {
    let [a, b] = matrices else { return };
    if a.rows == 0 || b.columns == 0 {
        out.push(0.0);
        return;
    }
    let lu = a.faer().partial_piv_lu();
    let u = lu.U();
    let zero = (0..a.rows).find(|&i| u[(i, i)] == 0.0);
    super::push(out, lu.solve(b.faer()).as_ref());
    out.push(zero.map_or(0.0, |i| (i + 1) as f64));
}

/// `A X = B` for a triangular `A`; the other triangle, and the diagonal of a unit triangle, are not read.
pub(super) fn triangular(attributes: &[i64], matrices: &[Matrix<'_>], out: &mut Vec<f64>) {
    let ([a, b], [upper, unit]) = (matrices, attributes) else { return };
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    let mut x = b.faer().to_owned();
    let (from, parallel) = (a.faer(), faer::get_global_parallelism());
    use faer::linalg::triangular_solve as by;
    match (*upper != 0, *unit != 0) {
        (false, false) => by::solve_lower_triangular_in_place(from, x.as_mut(), parallel),
        (false, true) => by::solve_unit_lower_triangular_in_place(from, x.as_mut(), parallel),
        (true, false) => by::solve_upper_triangular_in_place(from, x.as_mut(), parallel),
        (true, true) => by::solve_unit_upper_triangular_in_place(from, x.as_mut(), parallel),
    }
    super::push(out, x.as_ref());
}

/// `A = L Lᵀ`; the lower triangle of `A` is read.
pub(super) fn cholesky(_: &[i64], matrices: &[Matrix<'_>], out: &mut Vec<f64>) {
    let [a] = matrices else { return };
    let n = a.rows;
    if n == 0 {
        out.push(0.0);
        return;
    }
    match a.faer().llt(faer::Side::Lower) {
        Ok(llt) => {
            let l = llt.L();
            for i in 0..n {
                out.extend((0..n).map(|j| if j <= i { l[(i, j)] } else { 0.0 }));
            }
            out.push(0.0);
        }
        Err(faer::linalg::solvers::LltError::NonPositivePivot { index }) => {
            // LAPACK leaves what it had; nobody may rely on it.
            for i in 0..n {
                out.extend((0..n).map(|j| if j <= i { a.data[i * n + j] } else { 0.0 }));
            }
            // faer counts from 0, LAPACK from 1.
            out.push((index + 1) as f64);
        }
    }
}

/// The matrix of the exchanges of rows that [`lu`] made: `A = P L U`.
pub(super) fn permutation(attributes: &[i64], matrices: &[Matrix<'_>], out: &mut Vec<f64>) {
    let ([pivots], [m]) = (matrices, attributes) else { return };
    let m = *m as usize;
    let mut rows: Vec<usize> = (0..m).collect();
    for (i, &pivot) in pivots.data.iter().enumerate() {
        let at = (pivot as usize).wrapping_sub(1);
        if i < m && at < m {
            rows.swap(i, at);
        }
    }
    for i in 0..m {
        out.extend(rows.iter().map(|&r| f64::from(r == i)));
    }
}
