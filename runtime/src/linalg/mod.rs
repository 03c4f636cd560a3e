//! Factorizations of matrices, as custom kernels `linalg.NAME`.
//!
//! Operands are `f64[.., rows, columns]` of one batch shape, the result is `f64[.., n]`: what a factorization
//! gives, parts one after the other, each row-major. Numbers that are integers by nature (pivots, the number of
//! the row at which a factorization broke down) are stored as floats; a breakdown is no error of the kernel,
//! because who asks may have asked for the number (`cholesky_ex`).
//!
//! | kernel | operands | attributes | result |
//! |---|---|---|---|
//! | `lu` | A `[m,n]` | | L\U `[m,n]`, pivots `[k]` counted from 1, `k = min(m, n)` |
//! | `solve` | A `[n,n]`, B `[n,k]` | | X `[n,k]`, the first zero pivot counted from 1, or 0 |
//! | `triangular` | A `[n,n]`, B `[n,k]` | upper, unit | X `[n,k]` |
//! | `cholesky` | A `[n,n]` | | L `[n,n]`, the first minor that is not positive, or 0 |
//! | `qr` | A `[m,n]` | columns of Q | Q `[m,c]`, R `[c,n]` |
//! | `geqrf` | A `[m,n]` | | R and reflectors `[m,n]`, their factors `[k]` |
//! | `svd` | A `[m,n]` | full | U `[m,u]`, S `[k]`, Vᵀ `[v,n]` |
//! | `eigh` | A `[n,n]` | | eigenvalues `[n]`, vectors `[n,n]`; the lower triangle is read |
//! | `exp` | A `[n,n]` | | exp A `[n,n]` |
//! | `permutation` | pivots `[1,k]` | m | P `[m,m]` |

mod factor;
mod orthogonal;
mod spectral;

use crate::custom::{CustomInput, CustomKernel, CustomOutput, numbers, write_numbers};
use std::sync::Arc;

/// A row-major matrix.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    rows: usize,
    columns: usize,
    data: &'a [f64],
}

impl<'a> Matrix<'a> {
    fn faer(self) -> faer::MatRef<'a, f64> {
        faer::MatRef::from_row_major_slice(self.data, self.rows, self.columns)
    }

    fn has_nan(self) -> bool {
        self.data.iter().any(|v| !v.is_finite())
    }
}

/// Appends a matrix of faer's in row-major order.
fn push(out: &mut Vec<f64>, m: faer::MatRef<'_, f64>) {
    for i in 0..m.nrows() {
        out.extend((0..m.ncols()).map(|j| m[(i, j)]));
    }
}

/// `(attributes, the matrices of one batch element, result)`; the result is appended to.
type Factor = fn(&[i64], &[Matrix<'_>], &mut Vec<f64>);

/// Every kernel of this module, by name.
static FACTORS: &[(&str, Factor)] = &[
    ("lu", factor::lu),
    ("solve", factor::solve),
    ("triangular", factor::triangular),
    ("cholesky", factor::cholesky),
    ("permutation", factor::permutation),
    ("qr", orthogonal::qr),
    ("geqrf", orthogonal::geqrf),
    ("svd", spectral::svd),
    ("eigh", spectral::eigh),
    ("exp", spectral::exp),
];

/// The kernel of a name `linalg.NAME`.
pub(crate) fn find(name: &str) -> Option<CustomKernel> {
    let name = name.strip_prefix("linalg.")?;
    let &(_, factor) = FACTORS.iter().find(|(n, _)| *n == name)?;
    Some(Arc::new(move |attributes, inputs, output| each(factor, attributes, inputs, output)))
}

/// Runs a factorization for every element of the batch.
fn each(
    factor: Factor,
    attributes: &[i64],
    inputs: &[CustomInput<'_>],
    mut out: CustomOutput<'_>,
) -> Result<(), String> {
    let mut operands = Vec::new();
    for input in inputs {
        let [.., rows, columns] = input.shape else {
            return Err(format!("an operand of shape {:?} is no matrix", input.shape));
        };
        operands.push((*rows as usize, *columns as usize, numbers(input)?));
    }
    let batch: i64 = out.shape[..out.shape.len().saturating_sub(1)].iter().product();
    let mut result = Vec::with_capacity(out.bytes.len() / 8);
    for i in 0..batch as usize {
        let mut matrices = Vec::with_capacity(operands.len());
        for (rows, columns, data) in &operands {
            let (rows, columns) = (*rows, *columns);
            let n = rows * columns;
            let data = data.get(i * n..(i + 1) * n).ok_or("operands of different batches")?;
            matrices.push(Matrix { rows, columns, data });
        }
        factor(attributes, &matrices, &mut result);
    }
    write_numbers(&mut out, &result)
}

#[cfg(test)]
mod tests;
