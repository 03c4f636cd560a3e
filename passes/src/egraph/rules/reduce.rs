//! Reductions of reductions and of what is put together; signs, which a reduction leaves fewer of.

use super::{Rule, When};
use crate::egraph::saturate::Island;
use egg::Id;
use ttk_ir::op::Axes;
use ttk_ir::{Binary, Op, ReduceOp, Unary};

fn is_neg(op: &Op) -> bool {
    matches!(op, Op::Unary(Unary::Neg))
}

pub(super) const NEG_OUT_OF_PRODUCT: Rule = Rule {
    name: "neg-out-of-product",
    doc: "x * neg y = neg(x * y), and of quotients: on its way to a sum, or to a difference that takes it in",
    when: When::Always,
    begins: |op| matches!(op, Op::Binary(Binary::Mul | Binary::Div)),
    rewrite: |island, op, args, found| {
        // The quotient of unsigned integers that wrapped is another.
        if *op == Op::Binary(Binary::Div) && !island.ty(args[0]).dtype.is_float() {
            return;
        }
        for side in 0..2 {
            for (_, inner) in island.terms(args[side], is_neg) {
                let mut operands = [args[0], args[1]];
                operands[side] = inner[0];
                let product = island.add(op.clone(), &operands);
                found.extend(product.and_then(|p| island.add(Op::Unary(Unary::Neg), &[p])));
            }
        }
    },
};

pub(super) const NEG_OUT_OF_SUM: Rule = Rule {
    name: "neg-out-of-sum",
    doc: "sum(neg x) = neg(sum x)",
    when: When::Always,
    begins: |op| matches!(op, Op::Reduce { op: ReduceOp::Sum, .. }),
    rewrite: |island, op, args, found| {
        for (_, inner) in island.terms(args[0], is_neg) {
            let sum = island.add(op.clone(), &inner);
            found.extend(sum.and_then(|s| island.add(Op::Unary(Unary::Neg), &[s])));
        }
    },
};

pub(super) const NEG_INTO_DIFFERENCE: Rule = Rule {
    name: "neg-into-difference",
    doc: "x + neg y = x - y, x - neg y = x + y",
    when: When::Always,
    begins: |op| matches!(op, Op::Binary(Binary::Add | Binary::Sub)),
    rewrite: |island, op, args, found| {
        let sum = *op == Op::Binary(Binary::Add);
        for side in 0..2 {
            if side == 0 && !sum {
                continue;
            }
            for (_, inner) in island.terms(args[side], is_neg) {
                let other = if sum { Binary::Sub } else { Binary::Add };
                found.extend(island.add(Op::Binary(other), &[args[1 - side], inner[0]]));
            }
        }
    },
};

pub(super) const REDUCE_OF_REDUCE: Rule = Rule {
    name: "reduce-of-reduce",
    doc: "sum(sum(x)) = sum(x) over the axes of both",
    when: When::Always,
    begins: |op| matches!(op, Op::Reduce { .. }),
    rewrite: |island, op, args, found| {
        let Op::Reduce { op: outer, axes } = op else { return };
        for (term, inner) in island.terms(args[0], |op| matches!(op, Op::Reduce { .. })) {
            let Op::Reduce { op: reduce, axes: first } = &*term else { continue };
            if reduce == outer {
                let mut both: Axes = axes.iter().chain(first).copied().collect();
                both.sort_unstable();
                both.dedup();
                found.extend(island.add(Op::Reduce { op: *outer, axes: both }, &inner));
            }
        }
    },
};

pub(super) const SUM_OF_PAD: Rule = Rule {
    name: "sum-of-pad",
    doc: "sum(pad{0} x) = sum(x) over the padded axes",
    when: When::Always,
    begins: |op| matches!(op, Op::Reduce { op: ReduceOp::Sum, .. }),
    rewrite: |island, op, args, found| {
        let Op::Reduce { axes, .. } = op else { return };
        for (term, inner) in island.terms(args[0], |op| matches!(op, Op::Pad { .. })) {
            let Op::Pad { dims, value } = &*term else { continue };
            let reduced = |i: usize| axes.contains(&(i as u8));
            // -0.0 is a zero too.
            if value.as_f64() == 0.0 && dims.iter().enumerate().all(|(i, d)| d.is_none() || reduced(i)) {
                found.extend(island.add(op.clone(), &inner));
            }
        }
    },
};

pub(super) const SUM_OF_CONCAT: Rule = Rule {
    name: "sum-of-concat",
    doc: "sum(concat(x, y)) along the joined axis = sum(x) + sum(y): nothing is joined",
    when: When::Always,
    begins: |op| matches!(op, Op::Reduce { .. }),
    rewrite: |island, op, args, found| {
        let Op::Reduce { op: reduce, axes } = op else { return };
        for (term, parts) in island.terms(args[0], |op| matches!(op, Op::Concat { .. })) {
            let Op::Concat { axis } = &*term else { continue };
            if axes.contains(axis) && parts.len() <= 4 {
                found.extend(combine(island, op, reduce.combine(), &parts));
            }
        }
    },
};

fn combine(island: &mut Island, op: &Op, join: Binary, parts: &[Id]) -> Option<Id> {
    let mut total = island.add(op.clone(), &parts[..1])?;
    for part in &parts[1..] {
        let next = island.add(op.clone(), std::slice::from_ref(part))?;
        total = island.add(Op::Binary(join), &[total, next])?;
    }
    Some(total)
}
