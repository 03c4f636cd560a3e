//! Repeated elements: compute once, repeat after.

use super::{Found, Rule, When, expands, one};
use crate::egraph::saturate::Island;
use egg::Id;
use smallvec::SmallVec;
use ttk_ir::op::Axes;
use ttk_ir::{Binary, DType, Dim, Op, ReduceOp, Scalar, Shape};

pub(super) const HOIST: Rule = Rule {
    name: "expand-hoist",
    doc: "f(expand x, expand y) = expand(f(x, y)) along axes that all operands repeat",
    when: When::Always,
    begins: Op::is_elementwise,
    rewrite: hoist,
};

fn hoist(island: &mut Island, op: &Op, args: &[Id], found: &mut Found) {
    let full = island.shape(args[0]);
    // Constants repeat along every axis; of other operands, the first `expand` serves.
    let mut inner: SmallVec<[Option<Id>; 3]> = SmallVec::new();
    let mut common: Shape = full.iter().map(|_| Dim::Fixed(1)).collect();
    for &arg in args {
        if island.splat(arg).is_some() {
            inner.push(None);
            continue;
        }
        let Some(&x) = expands(island, arg).first() else { return };
        for (c, d) in common.iter_mut().zip(&island.ty(x).shape) {
            if !d.is_one() {
                *c = d.clone();
            }
        }
        inner.push(Some(x));
    }
    if common == full || inner.iter().all(Option::is_none) {
        return;
    }
    let mut small = SmallVec::<[Id; 3]>::new();
    for (x, &arg) in inner.iter().zip(args) {
        let id = match (x, island.splat(arg)) {
            (Some(x), _) => island.add(Op::Expand(common.clone()), &[*x]),
            (None, Some(value)) => island.add(Op::Const { value, shape: common.clone() }, &[]),
            (None, None) => None,
        };
        let Some(id) = id else { return };
        small.push(id);
    }
    let value = island.add(op.clone(), &small);
    found.extend(value.and_then(|v| island.add(Op::Expand(full), &[v])));
}

pub(super) const REDUCE_OF_EXPAND: Rule = Rule {
    name: "reduce-of-expand",
    doc: "sum(expand x) = n * sum x, max(expand x) = max x along the repeated axes",
    when: When::Always,
    begins: |op| matches!(op, Op::Reduce { .. }),
    rewrite: |island, op, args, found| {
        for x in expands(island, args[0]) {
            found.extend(reduce_of_expand(island, op, args[0], x));
        }
    },
};

fn reduce_of_expand(island: &mut Island, op: &Op, big: Id, x: Id) -> Option<Id> {
    let Op::Reduce { op: reduce, axes } = op else { return None };
    let (small, full) = (island.shape(x), island.shape(big));
    let repeated = |a: u8| small[a as usize] != full[a as usize];
    let rest: Axes = axes.iter().copied().filter(|&a| !repeated(a)).collect();
    if rest.len() == axes.len() {
        return None;
    }
    let count = || {
        let sizes = axes.iter().filter(|a| repeated(**a)).map(|&a| full[a as usize].fixed());
        sizes.into_iter().try_fold(1i64, |n, d| n.checked_mul(d?))
    };
    let factor = match reduce {
        ReduceOp::Max | ReduceOp::Min => None,
        ReduceOp::Sum => {
            let factor = Scalar::from_i64(island.ty(x).dtype, count()?);
            // 65520 and more are infinite in f16, where as many small numbers have a sum.
            if factor.dtype.is_float() && !factor.as_f64().is_finite() {
                return None;
            }
            Some(factor)
        }
        ReduceOp::Prod => return None,
    };
    let mut value = x;
    if !rest.is_empty() {
        value = island.add(Op::Reduce { op: *reduce, axes: rest }, &[value])?;
    }
    if let Some(factor) = factor {
        let shape = island.shape(value);
        let n = island.add(Op::Const { value: factor, shape }, &[])?;
        value = island.add(Op::Binary(Binary::Mul), &[value, n])?;
    }
    let mut result = full;
    for &a in axes {
        result[a as usize] = Dim::Fixed(1);
    }
    island.add(Op::Expand(result), &[value])
}

pub(super) const SUM_OF_SCALED: Rule = Rule {
    name: "sum-of-scaled",
    doc: "sum(x * expand s) = sum(x) * s where s does not vary along the summed axes",
    when: When::Always,
    begins: |op| matches!(op, Op::Reduce { op: ReduceOp::Sum, .. }),
    rewrite: sum_of_scaled,
};

fn sum_of_scaled(island: &mut Island, op: &Op, args: &[Id], found: &mut Found) {
    let Op::Reduce { axes, .. } = op else { return };
    // A sum whose terms were scaled to fit the narrow range of f16 may overflow unscaled.
    if island.ty(args[0]).dtype == DType::F16 {
        return;
    }
    for (mul, factors) in island.terms(args[0], |op| matches!(op, Op::Binary(Binary::Mul))) {
        for (x, s) in [(factors[0], factors[1]), (factors[1], factors[0])] {
            let sum = |island: &mut Island| island.add(op.clone(), &one(x));
            if let Some(value) = island.splat(s) {
                let Some(total) = sum(island) else { continue };
                let shape = island.shape(total);
                let c = island.add(Op::Const { value, shape }, &[]);
                found.extend(c.and_then(|c| island.add((*mul).clone(), &[total, c])));
                continue;
            }
            for small in expands(island, s) {
                if axes.iter().any(|&a| !island.ty(small).shape[a as usize].is_one()) {
                    continue;
                }
                let Some(total) = sum(island) else { continue };
                let shape = island.shape(total);
                let factor = island.add(Op::Expand(shape), &[small]);
                found.extend(factor.and_then(|f| island.add((*mul).clone(), &[total, f])));
            }
        }
    }
}
