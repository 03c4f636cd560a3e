//! Reductions, scans, sorts and products whose extent is trivial.

use super::Rewriter;
use smallvec::SmallVec;
use ttk_ir::infer::dot_free_axes;
use ttk_ir::op::Axes;
use ttk_ir::{DType, Dim, Op, ReduceOp, Scalar, ValueId};

pub(super) fn reduce(r: &mut Rewriter<'_>, op: ReduceOp, axes: &Axes, x: ValueId) -> Option<ValueId> {
    let shape = r.type_of(x).shape.clone();
    let long: Axes = axes.iter().copied().filter(|&a| !shape[a as usize].is_one()).collect();
    if long.is_empty() {
        return Some(x);
    }
    if long.len() < axes.len() {
        return Some(r.emit(&Op::Reduce { op, axes: long }, &[x]));
    }
    let mut result = shape.clone();
    for &a in axes {
        result[a as usize] = Dim::Fixed(1);
    }
    if axes.iter().any(|&a| shape[a as usize] == Dim::Fixed(0)) {
        let value = op.identity(r.type_of(x).dtype);
        return Some(r.emit(&Op::Const { value, shape: result }, &[]));
    }
    let c = r.splat(x)?;
    let value = reduce_splat(op, c, axes.iter().map(|&a| shape[a as usize].fixed()))?;
    Some(r.emit(&Op::Const { value, shape: result }, &[]))
}

/// The reduction of as many `c` as the sizes multiply to.
fn reduce_splat(op: ReduceOp, c: Scalar, sizes: impl Iterator<Item = Option<i64>>) -> Option<Scalar> {
    let count = || sizes.into_iter().try_fold(1i64, |n, d| n.checked_mul(d?));
    match op {
        ReduceOp::Max | ReduceOp::Min => Some(c),
        ReduceOp::Sum if !c.dtype.is_float() => {
            Some(Scalar::from_i64(c.dtype, c.as_i64().wrapping_mul(count()?)))
        }
        ReduceOp::Sum => {
            // Rounded once; a loop would round at every step. `+ 0.0` because a sum is never -0.0.
            let total = c.as_f64() * count()? as f64 + 0.0;
            Some(Scalar::from_f64(c.dtype, total))
        }
        ReduceOp::Prod => (c == Scalar::one(c.dtype)).then_some(c),
    }
}

pub(super) fn scan(r: &Rewriter<'_>, axis: u8, x: ValueId) -> Option<ValueId> {
    r.type_of(x).shape[axis as usize].is_one().then_some(x)
}

pub(super) fn argsort(r: &mut Rewriter<'_>, axis: u8, x: ValueId) -> Option<ValueId> {
    let shape = r.type_of(x).shape.clone();
    if !shape[axis as usize].is_one() {
        return None;
    }
    Some(r.emit(&Op::Const { value: Scalar::zero(DType::I64), shape }, &[]))
}

type Pairs = SmallVec<[(u8, u8); 2]>;

pub(super) fn dot(
    r: &mut Rewriter<'_>,
    batch: &Pairs,
    contract: &Pairs,
    x: ValueId,
    y: ValueId,
) -> Option<ValueId> {
    // The order of the contracted axes is only the order of a sum's terms.
    if !contract.is_sorted() {
        let mut contract = contract.clone();
        contract.sort_unstable();
        return Some(r.emit(&Op::Dot { batch: batch.clone(), contract }, &[x, y]));
    }
    permuted_operand(r, batch, contract, [x, y])
}

/// A product of a permutation is a product of what it permutes, with other axis numbers, when its free
/// axes stay in order. (When they do not, the result is permuted, and whether that is better depends on
/// what reads it: a rule of the e-graph.)
fn permuted_operand(
    r: &mut Rewriter<'_>,
    batch: &Pairs,
    contract: &Pairs,
    operands: [ValueId; 2],
) -> Option<ValueId> {
    let (left, right) =
        dot_free_axes(batch, contract, r.type_of(operands[0]).rank(), r.type_of(operands[1]).rank());
    for (side, free) in [left, right].into_iter().enumerate() {
        let Op::Permute(perm) = r.op_of(operands[side]) else { continue };
        let moved: Axes = free.iter().map(|&a| perm[a as usize]).collect();
        if !moved.is_sorted() {
            continue;
        }
        let rename = |pairs: &Pairs| -> Pairs {
            let one = |&(a, b): &(u8, u8)| match side {
                0 => (perm[a as usize], b),
                _ => (a, perm[b as usize]),
            };
            pairs.iter().map(one).collect()
        };
        let op = Op::Dot { batch: rename(batch), contract: rename(contract) };
        let mut operands = operands;
        operands[side] = r.input(operands[side], 0);
        return Some(r.emit(&op, &operands));
    }
    None
}
