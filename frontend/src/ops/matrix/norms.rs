//! Norms of matrices, and what follows from singular values.

use super::super::tied::{V, call};
use super::{EIGH, SVD, sizes_of};
use crate::composite::reduction::vector_norm;

/// The singular values.
pub(crate) fn singular_values<'r>(a: &V<'r>) -> V<'r> {
    call(&SVD, &[0], &[a]).remove(1)
}

/// The magnitudes of the eigenvalues of a symmetric matrix; else the singular values.
pub(crate) fn magnitudes<'r>(a: &V<'r>, symmetric: bool) -> V<'r> {
    if symmetric { call(&EIGH, &[], &[a]).remove(0).abs() } else { singular_values(a) }
}

/// The order of a matrix norm.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Order {
    Frobenius,
    Nuclear,
    /// 1, 2, infinity and their negatives.
    Number(f64),
}

/// The norm of the matrices in the last two axes, which go.
pub(crate) fn matrix_norm<'r>(a: &V<'r>, order: Order) -> V<'r> {
    let (row, column) = (a.rank() - 2, a.rank() - 1);
    let spectrum = || singular_values(a);
    let drop = |x: V<'r>| x.squeeze(&[row]);
    match order {
        Order::Frobenius => vector_norm(a, 2.0, &[row, column]).squeeze(&[row, column]),
        Order::Nuclear => drop(spectrum().sum(&[row])),
        Order::Number(p) if p.abs() == 2.0 => {
            drop(if p > 0.0 { spectrum().amax(&[row]) } else { spectrum().amin(&[row]) })
        }
        Order::Number(p) => {
            // Sums of columns, or of rows.
            let (inner, outer) = if p.abs() == 1.0 { (row, column) } else { (column, row) };
            let sums = a.abs().sum(&[inner]);
            let found = if p > 0.0 { sums.amax(&[outer]) } else { sums.amin(&[outer]) };
            found.squeeze(&[row, column])
        }
    }
}

/// The number of singular values above `max(absolute, relative * largest)`, as `i64`.
pub(crate) fn rank<'r>(a: &V<'r>, absolute: &V<'r>, relative: &V<'r>, symmetric: bool) -> V<'r> {
    let last = a.rank() - 2;
    let (m, n) = sizes_of(a);
    let size = magnitudes(&a.detach(), symmetric);
    if m.min(n) == 0 {
        return size.cast(ttk_ir::DType::I64).sum(&[last]).squeeze(&[last]);
    }
    let least = absolute.max(relative * size.amax(&[last]).squeeze(&[last])).unsqueeze(last);
    size.gt(&least).cast(ttk_ir::DType::I64).sum(&[last]).squeeze(&[last])
}
