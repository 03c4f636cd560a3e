//! Householder's QR factorization, with LAPACK's conventions: a reflector `I - tau v vᵀ` has `v[0] = 1`, and a
//! diagonal element of R the sign opposite to the element it takes the place of.

use super::Matrix;

/// Reduces the row-major `a` (`m` rows, `n` columns) in place, and returns the factors of the reflectors.
fn reduce(a: &mut [f64], m: usize, n: usize) -> Vec<f64> {
    let mut taus = Vec::with_capacity(m.min(n));
    let mut row = vec![0.0; n];
    for k in 0..m.min(n) {
        let alpha = a[k * n + k];
        // Scaled, so that squares neither overflow nor vanish.
        let scale = (k + 1..m).map(|i| a[i * n + k].abs()).fold(0.0, f64::max);
        if scale == 0.0 {
            taus.push(0.0);
            continue;
        }
        let scale = scale.max(alpha.abs());
        let square: f64 = (k..m).map(|i| (a[i * n + k] / scale).powi(2)).sum();
        let beta = -(scale * square.sqrt()).copysign(alpha);
        let tau = (beta - alpha) / beta;
        for i in k + 1..m {
            a[i * n + k] /= alpha - beta;
        }
        a[k * n + k] = beta;
        apply(a, m, n, k, k + 1, k, tau, &mut row, None);
        taus.push(tau);
    }
    taus
}

/// Applies the reflector in column `k` (rows below it; 1 in row `k`) to columns `from..` of `target`, or of
/// the matrix that holds the reflector.
#[allow(clippy::too_many_arguments)]
fn apply(
    a: &mut [f64],
    m: usize,
    n: usize,
    k: usize,
    from: usize,
    top: usize,
    tau: f64,
    row: &mut [f64],
    target: Option<(&mut [f64], usize)>,
) {
    let reflector: Vec<f64> = (top..m).map(|i| if i == top { 1.0 } else { a[i * n + k] }).collect();
    let (target, width) = match target {
        Some((t, width)) => (t, width),
        None => (a, n),
    };
    row[from..width].fill(0.0);
    for (i, v) in reflector.iter().enumerate() {
        let line = &target[(top + i) * width..(top + i + 1) * width];
        for j in from..width {
            row[j] += v * line[j];
        }
    }
    for (i, v) in reflector.iter().enumerate() {
        let line = &mut target[(top + i) * width..(top + i + 1) * width];
        for j in from..width {
            line[j] -= tau * v * row[j];
        }
    }
}

/// R on and above the diagonal and the reflectors below it; then their factors.
pub(super) fn geqrf(_: &[i64], matrices: &[Matrix<'_>], out: &mut Vec<f64>) {
    let [a] = matrices else { return };
    let mut work = a.data.to_vec();
    let taus = reduce(&mut work, a.rows, a.columns);
    out.extend(work);
    out.extend(taus);
}

/// `A = Q R` with as many columns of Q as asked for.
pub(super) fn qr(attributes: &[i64], matrices: &[Matrix<'_>], out: &mut Vec<f64>) {
    let ([a], [columns]) = (matrices, attributes) else { return };
    let (m, n, c) = (a.rows, a.columns, *columns as usize);
    let mut work = a.data.to_vec();
    let taus = reduce(&mut work, m, n);
    let mut q = vec![0.0; m * c];
    for i in 0..m.min(c) {
        q[i * c + i] = 1.0;
    }
    let mut row = vec![0.0; c.max(n)];
    for (k, &tau) in taus.iter().enumerate().rev() {
        apply(&mut work, m, n, k, 0, k, tau, &mut row, Some((&mut q, c)));
    }
    out.extend(q);
    for i in 0..c {
        out.extend((0..n).map(|j| if j >= i { work[i * n + j] } else { 0.0 }));
    }
}
