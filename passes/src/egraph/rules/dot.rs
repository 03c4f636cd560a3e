//! Products: what can be folded into their axis lists, and what is cheaper before or after them.

use super::{Found, Pairs, Rule, When, dots, expands, is_dot, permutes};
use crate::egraph::cost::volume;
use crate::egraph::saturate::Island;
use egg::Id;
use smallvec::SmallVec;
use ttk_ir::infer::dot_free_axes;
use ttk_ir::op::Axes;
use ttk_ir::{Binary, DType, Dim, Op, ReduceOp, Shape};

pub(super) const PERMUTE_OF_OPERAND: Rule = Rule {
    name: "dot-permuted-operand",
    doc: "dot(permute x, y) = permute(dot(x, y)): a product reads its operand in any order of axes",
    when: When::Always,
    begins: is_dot,
    rewrite: permute_of_operand,
};

fn permute_of_operand(island: &mut Island, op: &Op, args: &[Id], found: &mut Found) {
    let Op::Dot { batch, contract } = op else { return };
    for side in 0..2 {
        for (perm, inner) in permutes(island, args[side]) {
            let rename = |pairs: &Pairs| -> Pairs {
                let one = |&(a, b): &(u8, u8)| match side {
                    0 => (perm[a as usize], b),
                    _ => (a, perm[b as usize]),
                };
                pairs.iter().map(one).collect()
            };
            let (left, right) = free(island, batch, contract, args);
            let free = if side == 0 { &left } else { &right };
            // The free axes come in the order of the operand's own axes, before and after.
            let moved: Axes = free.iter().map(|&a| perm[a as usize]).collect();
            let mut sorted = moved.clone();
            sorted.sort_unstable();
            let first = batch.len() + if side == 0 { 0 } else { left.len() };
            let mut result: Axes = (0..(batch.len() + left.len() + right.len()) as u8).collect();
            for (i, axis) in moved.iter().enumerate() {
                let at = sorted.iter().position(|a| a == axis).unwrap_or(i);
                result[first + i] = (first + at) as u8;
            }
            let mut operands = [args[0], args[1]];
            operands[side] = inner;
            let dot = product(island, rename(batch), rename(contract), operands);
            found.extend(dot.and_then(|d| island.add(Op::Permute(result), &[d])));
        }
    }
}

pub(super) const PERMUTE_OF_RESULT: Rule = Rule {
    name: "dot-permuted-result",
    doc: "permute(dot(x, y)) = dot(y, x) where the permutation swaps the operands' axes or orders the batch",
    when: When::Always,
    begins: |op| matches!(op, Op::Permute(_)),
    rewrite: permute_of_result,
};

fn permute_of_result(island: &mut Island, op: &Op, args: &[Id], found: &mut Found) {
    let Op::Permute(perm) = op else { return };
    for (batch, contract, lhs, rhs) in dots(island, args[0]) {
        let n = batch.len();
        if perm[..n].iter().any(|&p| p as usize >= n) {
            continue;
        }
        let (left, right) = free(island, &batch, &contract, &[lhs, rhs]);
        let (left, right) = (left.len(), right.len());
        for swap in [false, true] {
            // Which axes of the old result those of the new one are.
            let (of_left, of_right) = (n..n + left, n + left..n + left + right);
            let order: Axes = if swap {
                of_right.chain(of_left).map(|a| a as u8).collect()
            } else {
                of_left.chain(of_right).map(|a| a as u8).collect()
            };
            if order.as_slice() != &perm[n..] {
                continue;
            }
            let turn = |&(a, b): &(u8, u8)| if swap { (b, a) } else { (a, b) };
            let batch = perm[..n].iter().map(|&p| turn(&batch[p as usize])).collect();
            let contract = contract.iter().map(turn).collect();
            let operands = if swap { [rhs, lhs] } else { [lhs, rhs] };
            found.extend(product(island, batch, contract, operands));
        }
    }
}

pub(super) const SCALE_OUT: Rule = Rule {
    name: "dot-scale-out",
    doc: "dot(x * c, y) = dot(x, y) * c for a number c: pays where the result is the smaller",
    when: When::Always,
    begins: is_dot,
    rewrite: scale_out,
};

fn scale_out(island: &mut Island, op: &Op, args: &[Id], found: &mut Found) {
    let Op::Dot { batch, contract } = op else { return };
    // A product that was scaled down to fit the narrow range of f16 may overflow unscaled.
    if island.ty(args[0]).dtype == DType::F16 {
        return;
    }
    for side in 0..2 {
        let scaled = |op: &Op| matches!(op, Op::Binary(Binary::Mul | Binary::Div));
        for (binary, inner) in island.terms(args[side], scaled) {
            let Some(c) = island.splat(inner[1]) else { continue };
            // The quotients of integers are rounded; sums of them are not the quotient of the sum.
            if !c.dtype.is_float() && matches!(*binary, Op::Binary(Binary::Div)) {
                continue;
            }
            let mut operands = [args[0], args[1]];
            operands[side] = inner[0];
            let Some(dot) = product(island, batch.clone(), contract.clone(), operands) else { continue };
            let shape = island.shape(dot);
            let Some(c) = island.add(Op::Const { value: c, shape }, &[]) else { continue };
            found.extend(island.add((*binary).clone(), &[dot, c]));
        }
    }
}

pub(super) const SCALE_IN: Rule = Rule {
    name: "dot-scale-in",
    doc: "dot(x, y) * c = dot(x * c, y) for a number c: pays where an operand is smaller than the result",
    when: When::Always,
    begins: |op| matches!(op, Op::Binary(Binary::Mul)),
    rewrite: scale_in,
};

fn scale_in(island: &mut Island, op: &Op, args: &[Id], found: &mut Found) {
    let Some(c) = island.splat(args[1]) else { return };
    if island.ty(args[0]).dtype == DType::F16 {
        return;
    }
    for (batch, contract, lhs, rhs) in dots(island, args[0]) {
        for side in 0..2 {
            let mut operands = [lhs, rhs];
            if volume(island.ty(operands[side])) >= volume(island.ty(args[0])) {
                continue;
            }
            let shape = island.shape(operands[side]);
            let Some(c) = island.add(Op::Const { value: c, shape }, &[]) else { continue };
            let Some(scaled) = island.add(op.clone(), &[operands[side], c]) else { continue };
            operands[side] = scaled;
            found.extend(product(island, batch.clone(), contract.clone(), operands));
        }
    }
}

pub(super) const CHANNEL_SCALE: Rule = Rule {
    name: "dot-channel-scale",
    doc: "dot(x, w) * expand s = dot(x, w * expand s) where s varies along w's free axes only",
    when: When::Inference,
    begins: |op| matches!(op, Op::Binary(Binary::Mul)),
    rewrite: channel_scale,
};

fn channel_scale(island: &mut Island, op: &Op, args: &[Id], found: &mut Found) {
    // Scaled, a weight may leave the narrow range of f16 where the product does not.
    if island.ty(args[0]).dtype == DType::F16 {
        return;
    }
    for (product_at, factor_at) in [(0, 1), (1, 0)] {
        for (batch, contract, lhs, rhs) in dots(island, args[product_at]) {
            for factor in expands(island, args[factor_at]) {
                let (left, right) = free(island, &batch, &contract, &[lhs, rhs]);
                let n = batch.len();
                for (side, axes, first) in [(0, &left, n), (1, &right, n + left.len())] {
                    let shape = island.shape(factor);
                    let own = first..first + axes.len();
                    if (0..shape.len()).any(|i| !own.contains(&i) && !shape[i].is_one()) {
                        continue;
                    }
                    let operand = if side == 0 { lhs } else { rhs };
                    let full = island.shape(operand);
                    let mut small: Shape = full.iter().map(|_| Dim::Fixed(1)).collect();
                    for (i, &a) in axes.iter().enumerate() {
                        small[a as usize] = shape[first + i].clone();
                    }
                    let scaled = island
                        .add(Op::Reshape(small), &[factor])
                        .and_then(|f| island.add(Op::Expand(full), &[f]))
                        .and_then(|f| island.add(op.clone(), &[operand, f]));
                    let Some(scaled) = scaled else { continue };
                    let operands = if side == 0 { [scaled, rhs] } else { [lhs, scaled] };
                    found.extend(product(island, batch.clone(), contract.clone(), operands));
                }
            }
        }
    }
}

pub(super) const DISTRIBUTE: Rule = Rule {
    name: "distribute-over-product",
    doc: "(dot + expand b) * expand s = dot * expand s + expand (b * s): batch normalisation's affine map \
          then folds into the weights",
    when: When::Inference,
    begins: |op| matches!(op, Op::Binary(Binary::Mul)),
    rewrite: distribute,
};

fn distribute(island: &mut Island, mul: &Op, args: &[Id], found: &mut Found) {
    // Apart, the terms may leave the narrow range of f16 where their sum does not.
    if island.ty(args[0]).dtype == DType::F16 {
        return;
    }
    let is_sum = |op: &Op| matches!(op, Op::Binary(Binary::Add | Binary::Sub));
    for (sum_at, factor_at) in [(0, 1), (1, 0)] {
        let factor = args[factor_at];
        if expands(island, factor).is_empty() && island.splat(factor).is_none() {
            continue;
        }
        for (sum, terms) in island.terms(args[sum_at], is_sum) {
            let small = |t: Id| !expands(island, t).is_empty() || island.splat(t).is_some();
            let from_product = |t: Id| {
                !dots(island, t).is_empty()
                    || permutes(island, t).iter().any(|(_, x)| !dots(island, *x).is_empty())
            };
            if !(from_product(terms[0]) && small(terms[1])) {
                continue;
            }
            let parts =
                (island.add(mul.clone(), &[terms[0], factor]), island.add(mul.clone(), &[terms[1], factor]));
            if let (Some(a), Some(b)) = parts {
                found.extend(island.add((*sum).clone(), &[a, b]));
            }
        }
    }
}

pub(super) const EXPANDED_OPERAND: Rule = Rule {
    name: "dot-expanded-operand",
    doc: "dot(expand x, y): a repeated free axis is repeated after, a repeated batch axis is no batch, \
          a repeated contracted axis is a sum of y",
    when: When::Always,
    begins: is_dot,
    rewrite: |island, op, args, found| {
        for side in 0..2 {
            for inner in expands(island, args[side]) {
                found.extend(expanded_operand(island, op, args, side, inner));
            }
        }
    },
};

fn expanded_operand(island: &mut Island, op: &Op, args: &[Id], side: usize, inner: Id) -> Option<Id> {
    let Op::Dot { batch, contract } = op else { return None };
    let (small, big) = (island.shape(inner), island.shape(args[side]));
    let repeated = |axis: u8| small[axis as usize] != big[axis as usize];
    let own = |pair: &(u8, u8)| if side == 0 { pair.0 } else { pair.1 };
    let others = |pair: &(u8, u8)| if side == 0 { pair.1 } else { pair.0 };
    let (left, right) = free(island, batch, contract, args);
    let result = {
        let types = [island.ty(args[0]), island.ty(args[1])];
        ttk_ir::infer(op, &types).ok()?.shape
    };

    // What is contracted with a repeated axis may as well be summed first.
    let summed: Axes = {
        let mut axes: Axes = contract.iter().filter(|p| repeated(own(p))).map(others).collect();
        axes.sort_unstable();
        axes
    };
    let mut other = args[1 - side];
    if !summed.is_empty() {
        other = island.add(Op::Reduce { op: ReduceOp::Sum, axes: summed }, &[other])?;
    }
    // A repeated batch axis leaves the operand, and is a free axis of the other.
    let dropped: Axes = batch.iter().filter(|p| repeated(own(p))).map(own).collect();
    let kept: Axes = (0..small.len() as u8).filter(|a| !dropped.contains(a)).collect();
    let renumber = |axis: u8| kept.iter().position(|&a| a == axis).map(|p| p as u8);
    let mut x = inner;
    if !dropped.is_empty() {
        let shape = kept.iter().map(|&a| small[a as usize].clone()).collect();
        x = island.add(Op::Reshape(shape), &[x])?;
    }
    let rename = |pairs: &Pairs| -> Pairs {
        let kept = pairs.iter().filter_map(|p| {
            let axis = renumber(own(p))?;
            Some(if side == 0 { (axis, p.1) } else { (p.0, axis) })
        });
        kept.collect()
    };
    let operands = if side == 0 { [x, other] } else { [other, x] };
    let dot = product(island, rename(batch), rename(contract), operands)?;

    // Which axis of the old result each axis of the new one is.
    let mut order: Axes = (0..batch.len() as u8).filter(|&k| !repeated(own(&batch[k as usize]))).collect();
    let first = [batch.len(), batch.len() + left.len()];
    for (s, axes) in [&left, &right].into_iter().enumerate() {
        let mut own_axes: SmallVec<[(u8, u8); 4]> =
            axes.iter().enumerate().map(|(i, &a)| (a, (first[s] + i) as u8)).collect();
        if s != side {
            let freed = batch.iter().enumerate().filter(|(_, p)| repeated(own(p)));
            own_axes.extend(freed.map(|(k, p)| (others(p), k as u8)));
            own_axes.sort_unstable();
        }
        order.extend(own_axes.iter().map(|p| p.1));
    }
    let back = super::inverse(&order);
    let turned = island.add(Op::Permute(back), &[dot])?;
    island.add(Op::Expand(result), &[turned])
}

pub(super) const SUM_OF_DOT: Rule = Rule {
    name: "sum-of-dot",
    doc: "sum(dot(x, y)) over a batch axis contracts it: the gradient of a repeated operand",
    when: When::Always,
    begins: |op| matches!(op, Op::Reduce { op: ReduceOp::Sum, .. }),
    rewrite: |island, op, args, found| {
        for dot in dots(island, args[0]) {
            found.extend(sum_of_dot(island, op, dot));
        }
    },
};

fn sum_of_dot(island: &mut Island, op: &Op, dot: (Pairs, Pairs, Id, Id)) -> Option<Id> {
    let Op::Reduce { axes, .. } = op else { return None };
    let (batch, contract, lhs, rhs) = dot;
    let n = batch.len();
    // Of a free axis the operand could be summed first, which is less work but makes a second reader of an
    // operand that a product otherwise computes as it goes.
    if axes.iter().any(|&a| a as usize >= n) {
        return None;
    }
    let contracted = |k: usize| axes.contains(&(k as u8));
    let kept = (0..n).filter(|&k| !contracted(k)).map(|k| batch[k]).collect();
    let mut pairs = contract;
    pairs.extend((0..n).filter(|&k| contracted(k)).map(|k| batch[k]));
    let dot = product(island, kept, pairs, [lhs, rhs])?;
    // The batch axes that went come back with size 1; nothing else moved.
    let mut shape: Shape = SmallVec::new();
    let mut rest = island.shape(dot).into_iter();
    let rank = rest.len() + axes.len();
    for k in 0..rank {
        shape.push(if k < n && contracted(k) { Dim::Fixed(1) } else { rest.next()? });
    }
    island.add(Op::Reshape(shape), &[dot])
}

/// The free axes of both operands.
fn free(island: &Island, batch: &Pairs, contract: &Pairs, args: &[Id]) -> (Axes, Axes) {
    dot_free_axes(batch, contract, island.ty(args[0]).rank(), island.ty(args[1]).rank())
}

/// A `dot` in canonical form: contracted axes in the order of the left operand's.
pub(super) fn product(island: &mut Island, batch: Pairs, mut contract: Pairs, args: [Id; 2]) -> Option<Id> {
    contract.sort_unstable();
    island.add(Op::Dot { batch, contract }, &args)
}
