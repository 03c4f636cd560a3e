//! Softmax and log-sum-exp written without the maximum, made safe from overflow.

use super::Rewriter;
use ttk_ir::{Binary, Builder, Cmp, Op, ReduceOp, Unary, ValueId};

/// `exp(x) / sum(exp(x))` as `exp(x - max(x)) / sum(exp(x - max(x)))`. Only under `fast_math`: where the
/// formula as written overflows to NaN, this gives the number that was meant.
pub(super) fn softmax(r: &mut Rewriter<'_>, b: Binary, x: ValueId, y: ValueId) -> Option<ValueId> {
    if b != Binary::Div || !r.options.fast_math || !matches!(r.op_of(y), Op::Expand(_)) {
        return None;
    }
    let total = r.input(y, 0);
    let (axes, scores) = sum_of_exp(r, total)?;
    if r.input(total, 0) != x {
        return None;
    }
    let max = r.emit(&Op::Reduce { op: ReduceOp::Max, axes: axes.clone() }, &[scores]);
    let shape = r.shape(&scores);
    let wide = r.expand(&max, shape.clone());
    let shifted = r.sub(&scores, &wide);
    let e = r.unary(Unary::Exp, &shifted);
    let total = r.emit(&Op::Reduce { op: ReduceOp::Sum, axes }, &[e]);
    let total = r.expand(&total, shape);
    Some(r.div(&e, &total))
}

/// `log(sum(exp(x)))` as `m + log(sum(exp(x - m)))`, `m` the maximum where that is finite and else 0.
pub(super) fn log_sum_exp(r: &mut Rewriter<'_>, total: ValueId) -> Option<ValueId> {
    if !r.options.fast_math {
        return None;
    }
    let (axes, scores) = sum_of_exp(r, total)?;
    let max = r.emit(&Op::Reduce { op: ReduceOp::Max, axes: axes.clone() }, &[scores]);
    let magnitude = r.unary(Unary::Abs, &max);
    let infinity = r.full_like(&max, f64::INFINITY);
    let infinite = r.cmp(Cmp::Eq, &magnitude, &infinity);
    let zero = r.full_like(&max, 0.0);
    let max = r.select(&infinite, &zero, &max);
    let shape = r.shape(&scores);
    let wide = r.expand(&max, shape);
    let shifted = r.sub(&scores, &wide);
    let e = r.unary(Unary::Exp, &shifted);
    let total = r.emit(&Op::Reduce { op: ReduceOp::Sum, axes }, &[e]);
    let log = r.emit_as_is(&Op::Unary(Unary::Log), &[total]);
    Some(r.add(&log, &max))
}

/// `(axes, x)` of `sum(exp(x))` unless `x` is already a difference, as a stable formula has it.
fn sum_of_exp(r: &Rewriter<'_>, total: ValueId) -> Option<(ttk_ir::op::Axes, ValueId)> {
    let Op::Reduce { op: ReduceOp::Sum, axes } = r.op_of(total) else { return None };
    let e = r.input(total, 0);
    if !matches!(r.op_of(e), Op::Unary(Unary::Exp)) {
        return None;
    }
    let x = r.input(e, 0);
    let shifted =
        matches!(r.op_of(x), Op::Binary(Binary::Sub)) && matches!(r.op_of(r.input(x, 1)), Op::Expand(_));
    (!shifted).then(|| (axes.clone(), x))
}
