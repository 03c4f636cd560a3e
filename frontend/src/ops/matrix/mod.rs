//! Linear algebra: factorizations by kernels of the runtime, with PyTorch's derivatives (torch/csrc/autograd/
//! FunctionsManual.cpp), and what is composed of them.
//!
//! Matrices are the last two axes; operands have one batch shape and one floating type. Kernels compute in
//! double precision, and results are rounded to the operands' type.

mod derivatives;
pub(crate) mod norms;
pub(crate) mod systems;

use super::tied::{Tied, V, call, kernel};
use crate::composite::{layout, linear};
use derivatives as d;
use ttk_ir::{DType, Dim, ReduceOp};

/// The transposed matrices.
pub(crate) fn mt<'r>(x: &V<'r>) -> V<'r> {
    let rank = x.rank();
    x.transpose(rank - 2, rank - 1)
}

/// The product of matrices.
pub(crate) fn mm<'r>(x: &V<'r>, y: &V<'r>) -> V<'r> {
    linear::matmul(x, y)
}

/// Rows and columns.
pub(crate) fn sizes_of(x: &V<'_>) -> (i64, i64) {
    let rank = x.rank();
    (x.size(rank - 2), x.size(rank - 1))
}

/// The batch shape.
pub(crate) fn batch_of(x: &V<'_>) -> Vec<i64> {
    let sizes = x.sizes();
    sizes[..sizes.len() - 2].to_vec()
}

/// The batch shape, then `tail`.
pub(crate) fn with_batch(x: &V<'_>, tail: &[i64]) -> Vec<i64> {
    let mut sizes = batch_of(x);
    sizes.extend(tail);
    sizes
}

/// Identity matrices `[n, m]` of the batch and type of `x`.
pub(crate) fn eye_like<'r>(x: &V<'r>, n: i64, m: i64) -> V<'r> {
    let shape = [Dim::Fixed(n), Dim::Fixed(m)];
    let same = x.scope().iota(DType::I64, &shape, 0).eq(x.scope().iota(DType::I64, &shape, 1));
    same.cast(x.dtype()).broadcast_to(&ttk_ir::shape::shape(&with_batch(x, &[n, m])))
}

/// A vector of each batch element as a diagonal matrix.
pub(crate) fn diagonal_matrix<'r>(x: &V<'r>) -> V<'r> {
    let rank = x.rank();
    layout::diag_embed(x, 0, rank - 1, rank)
}

/// The diagonal of each matrix.
pub(crate) fn diagonal<'r>(x: &V<'r>) -> V<'r> {
    let rank = x.rank();
    layout::diagonal(x, 0, rank - 2, rank - 1)
}

/// A part of a kernel's flat result, from `at`, as `sizes` in the type `dtype`.
fn part<'r>(flat: &V<'r>, at: i64, sizes: &[i64], dtype: DType) -> V<'r> {
    let last = flat.rank() - 1;
    let mut shape = flat.sizes();
    shape.pop();
    shape.extend(sizes);
    flat.narrow(last, at, sizes.iter().product()).view(&shape).cast(dtype)
}

/// `L\U` and pivots (floats, counted from 1) of `P A = L U`.
pub(crate) static LU: Tied = Tied {
    name: "LinalgLuFactorEx",
    forward: |_, x| {
        let a = &x[0];
        let (m, n) = sizes_of(a);
        let k = m.min(n);
        let flat = kernel("linalg.lu", &[], &[a], &with_batch(a, &[m * n + k]));
        vec![part(&flat, 0, &[m, n], a.dtype()), part(&flat, m * n, &[k], DType::F64).cast(DType::I32)]
    },
    derivative: d::lu,
};

/// `X` with `A X = B`, and the number of the first zero pivot (`i32`), or 0.
pub(crate) static SOLVE: Tied = Tied {
    name: "LinalgSolveEx",
    forward: |_, x| {
        let (a, b) = (&x[0], &x[1]);
        let (n, k) = sizes_of(b);
        let flat = kernel("linalg.solve", &[], &[a, b], &with_batch(a, &[n * k + 1]));
        vec![part(&flat, 0, &[n, k], a.dtype()), part(&flat, n * k, &[], DType::I32)]
    },
    derivative: d::solve,
};

/// `X` with `A X = B` for a triangular `A`; attributes `upper`, `unit`.
static TRIANGULAR: Tied = Tied {
    name: "LinalgSolveTriangular",
    forward: |at, x| {
        let (a, b) = (&x[0], &x[1]);
        let (n, k) = sizes_of(b);
        let flat = kernel("linalg.triangular", at, &[a, b], &with_batch(a, &[n * k]));
        vec![part(&flat, 0, &[n, k], a.dtype())]
    },
    derivative: d::triangular,
};

/// The lower `L` with `A = L Lᵀ`, and the number of the first minor that is not positive (`i32`), or 0.
pub(crate) static CHOLESKY: Tied = Tied {
    name: "LinalgCholeskyEx",
    forward: |_, x| {
        let a = &x[0];
        let (n, _) = sizes_of(a);
        let flat = kernel("linalg.cholesky", &[], &[a], &with_batch(a, &[n * n + 1]));
        vec![part(&flat, 0, &[n, n], a.dtype()), part(&flat, n * n, &[], DType::I32)]
    },
    derivative: d::cholesky,
};

/// `Q` and `R`; the attribute is the number of columns of `Q`.
pub(crate) static QR: Tied = Tied {
    name: "LinalgQr",
    forward: |at, x| {
        let a = &x[0];
        let ((m, n), c) = (sizes_of(a), at[0]);
        let flat = kernel("linalg.qr", at, &[a], &with_batch(a, &[m * c + c * n]));
        vec![part(&flat, 0, &[m, c], a.dtype()), part(&flat, m * c, &[c, n], a.dtype())]
    },
    derivative: d::qr,
};

/// `U`, `S` and `Vᵀ`; the attribute says whether `U` and `V` are square.
pub(crate) static SVD: Tied = Tied {
    name: "LinalgSvd",
    forward: |at, x| {
        let a = &x[0];
        let (m, n) = sizes_of(a);
        let k = m.min(n);
        let (u, v) = if at[0] != 0 { (m, n) } else { (k, k) };
        let flat = kernel("linalg.svd", at, &[a], &with_batch(a, &[m * u + k + v * n]));
        let dtype = a.dtype();
        vec![
            part(&flat, 0, &[m, u], dtype),
            part(&flat, m * u, &[k], dtype),
            part(&flat, m * u + k, &[v, n], dtype),
        ]
    },
    derivative: d::svd,
};

/// Eigenvalues and eigenvectors of a symmetric matrix, of which the lower triangle is read.
pub(crate) static EIGH: Tied = Tied {
    name: "LinalgEigh",
    forward: |_, x| {
        let a = &x[0];
        let (n, _) = sizes_of(a);
        let flat = kernel("linalg.eigh", &[], &[a], &with_batch(a, &[n + n * n]));
        vec![part(&flat, 0, &[n], a.dtype()), part(&flat, n, &[n, n], a.dtype())]
    },
    derivative: d::eigh,
};

/// The determinant.
pub(crate) static DET: Tied = Tied {
    name: "LinalgDet",
    forward: |_, x| {
        let (sign, diagonal) = lu_diagonal(&x[0]);
        let last = diagonal.rank() - 1;
        vec![(diagonal.reduce(ReduceOp::Prod, &[last]).squeeze(&[last]) * sign).cast(x[0].dtype())]
    },
    derivative: d::det,
};

/// The sign of the determinant, and the logarithm of its magnitude.
pub(crate) static SLOGDET: Tied = Tied {
    name: "LinalgSlogdet",
    forward: |_, x| {
        let (sign, diagonal) = lu_diagonal(&x[0]);
        let last = diagonal.rank() - 1;
        let signs = crate::composite::arithmetic::sign(&diagonal);
        let sign = signs.reduce(ReduceOp::Prod, &[last]).squeeze(&[last]) * sign;
        let size = diagonal.abs().log().sum(&[last]).squeeze(&[last]);
        vec![sign.cast(x[0].dtype()), size.cast(x[0].dtype())]
    },
    derivative: d::slogdet,
};

/// The matrix exponential.
pub(crate) static EXP: Tied = Tied {
    name: "LinalgMatrixExp",
    forward: |_, x| {
        let a = &x[0];
        let (n, _) = sizes_of(a);
        let flat = kernel("linalg.exp", &[], &[a], &with_batch(a, &[n * n]));
        vec![part(&flat, 0, &[n, n], a.dtype())]
    },
    derivative: d::exp,
};

/// The pseudoinverse; the operands after the matrix are tolerances, absolute and relative to the largest
/// singular value, of the batch shape. The attribute says whether the matrix is symmetric.
pub(crate) static PINV: Tied = Tied {
    name: "LinalgPinv",
    forward: |at, x| {
        let (a, absolute, relative) = (&x[0], &x[1], &x[2]);
        let last = a.rank() - 2;
        let (u, s, v) = if at[0] != 0 {
            let found = call(&EIGH, &[], &[a]);
            (found[1].clone(), found[0].clone(), mt(&found[1]))
        } else {
            let found = call(&SVD, &[0], &[a]);
            (found[0].clone(), found[1].clone(), found[2].clone())
        };
        if s.size(last) == 0 {
            return vec![mt(a)];
        }
        let size = s.abs();
        let least = absolute.max(relative * size.amax(&[last]).squeeze(&[last])).unsqueeze(last);
        let kept = size.gt(&least);
        let inverse = (1.0 / s.keep_where(&kept, 1.0)).keep_where(&kept, 0.0);
        vec![mm(&(mt(&v) * inverse.unsqueeze(last)), &mt(&u))]
    },
    derivative: d::pinv,
};

/// `X` with `A X = B` from the Cholesky factor of `A`, the second operand; the attribute says whether it is upper.
pub(crate) static CHOLESKY_SOLVE: Tied = Tied {
    name: "CholeskySolve",
    forward: |at, x| {
        let (b, factor) = (&x[0], &x[1]);
        let lower = if at[0] != 0 { mt(factor) } else { factor.clone() };
        vec![triangular(&mt(&lower), &triangular(&lower, b, false, false), true, false)]
    },
    derivative: d::cholesky_solve,
};

/// The symmetric square root of a symmetric positive matrix.
pub(crate) static SQRTH: Tied = Tied {
    name: "LinalgMatrixSqrth",
    forward: |_, x| {
        let found = call(&EIGH, &[], &[&x[0]]);
        let last = found[0].rank();
        vec![mm(&(&found[1] * found[0].sqrt().unsqueeze(last - 1)), &mt(&found[1]))]
    },
    derivative: d::sqrth,
};

/// The sign of the row exchanges and the diagonal of `U`, in double precision.
fn lu_diagonal<'r>(a: &V<'r>) -> (V<'r>, V<'r>) {
    let found = call(&LU, &[], &[&a.cast(DType::F64)]);
    let (lu, pivots) = (&found[0], &found[1]);
    let last = pivots.rank() - 1;
    let position = pivots.scope().iota(DType::I32, &pivots.shape(), last) + 1i64;
    let sign = pivots.eq(&position).select(1.0, -1.0, &pivots.cast(DType::F64));
    (sign.reduce(ReduceOp::Prod, &[last]).squeeze(&[last]), diagonal(lu))
}

/// `X` with `A X = B` for a triangular `A`.
pub(crate) fn triangular<'r>(a: &V<'r>, b: &V<'r>, upper: bool, unit: bool) -> V<'r> {
    call(&TRIANGULAR, &[upper as i64, unit as i64], &[a, b]).remove(0)
}

/// `X` with `X A = B` for a triangular `A`.
pub(crate) fn triangular_right<'r>(a: &V<'r>, b: &V<'r>, upper: bool, unit: bool) -> V<'r> {
    mt(&triangular(&mt(a), &mt(b), !upper, unit))
}

/// `X` with `A X = B`.
pub(crate) fn solve<'r>(a: &V<'r>, b: &V<'r>) -> V<'r> {
    call(&SOLVE, &[], &[a, b]).remove(0)
}

/// The matrix of the row exchanges `pivots` (`[.., k]`): `A = P L U`, of `m` rows, in the type of `like`.
pub(crate) fn permutation<'r>(pivots: &V<'r>, m: i64, like: &V<'r>) -> V<'r> {
    let rank = pivots.rank();
    let row = pivots.unsqueeze(rank - 1);
    let sizes = with_batch(&row, &[m * m]);
    part(&kernel("linalg.permutation", &[m], &[&row], &sizes), 0, &[m, m], like.dtype())
}
