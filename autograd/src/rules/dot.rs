//! The cotangents of a `dot` are dots.

use super::Cotangents;
use smallvec::smallvec;
use ttk_ir::Builder;
use ttk_ir::infer::dot_free_axes;

/// With result axes (batch, free of lhs, free of rhs):
///
/// * lhs: the cotangent against rhs over rhs' free axes, which leaves (batch, free of lhs, contracted);
/// * rhs: lhs against the cotangent over lhs' free axes, which leaves (batch, contracted, free of rhs);
///
/// and a permutation puts those axes where the operand has them.
pub(crate) fn dot<B: Builder>(
    b: &mut B,
    batch: &[(u8, u8)],
    contract: &[(u8, u8)],
    inputs: &[B::Value],
    g: &B::Value,
    needs: &[bool],
) -> Cotangents<B::Value> {
    let (lhs, rhs) = (&inputs[0], &inputs[1]);
    let (lhs_rank, rhs_rank) = (b.rank(lhs), b.rank(rhs));
    let (lhs_free, rhs_free) = dot_free_axes(batch, contract, lhs_rank, rhs_rank);
    let n = batch.len();

    let of_lhs = needs[0].then(|| {
        let pairs: Vec<_> = batch.iter().enumerate().map(|(k, &(_, j))| (k, j as usize)).collect();
        let first = n + lhs_free.len();
        let over: Vec<_> = rhs_free.iter().enumerate().map(|(k, &j)| (first + k, j as usize)).collect();
        let found = b.dot(g, rhs, &pairs, &over);
        // The contracted axes come in the order in which rhs has them.
        let mut contracted: Vec<(u8, u8)> = contract.iter().map(|&(i, j)| (j, i)).collect();
        contracted.sort_unstable();
        let axes = batch.iter().map(|p| p.0).chain(lhs_free.iter().copied());
        place(b, &found, axes.chain(contracted.iter().map(|p| p.1)))
    });
    let of_rhs = needs[1].then(|| {
        let pairs: Vec<_> = batch.iter().enumerate().map(|(k, &(i, _))| (i as usize, k)).collect();
        let over: Vec<_> = lhs_free.iter().enumerate().map(|(k, &i)| (i as usize, n + k)).collect();
        let found = b.dot(lhs, g, &pairs, &over);
        let mut contracted: Vec<(u8, u8)> = contract.to_vec();
        contracted.sort_unstable();
        let axes = batch.iter().map(|p| p.1).chain(contracted.iter().map(|p| p.1));
        place(b, &found, axes.chain(rhs_free.iter().copied()))
    });
    smallvec![of_lhs, of_rhs]
}

/// Permutes so that axis `k` of `x` becomes the `k`-th of `axes`.
fn place<B: Builder>(b: &mut B, x: &B::Value, axes: impl Iterator<Item = u8>) -> B::Value {
    let mut perm = vec![0; b.rank(x)];
    for (k, axis) in axes.enumerate() {
        perm[axis as usize] = k;
    }
    b.permute(x, &perm)
}
