//! The element at the place of the largest one.

use super::Rewriter;
use ttk_ir::op::Axes;
use ttk_ir::{Binary, Builder, Cmp, Op, ReduceOp, ValueId};

/// A sum of the elements of `x` that stand where `x` first is its own maximum (or minimum) is that maximum,
/// which is there already. So pooling and `torch.max` write what they return, for the sake of its
/// derivative; where none is asked for, the place is not looked for.
///
/// A sum is never `-0.0`, and the maximum may be: hence `+ 0.0`.
pub(super) fn picked(r: &mut Rewriter<'_>, op: ReduceOp, axes: &Axes, x: ValueId) -> Option<ValueId> {
    let (ReduceOp::Sum, &[axis]) = (op, axes.as_slice()) else { return None };
    let (Op::Select, true) = (r.op_of(x), r.type_of(x).dtype.is_float()) else { return None };
    let (here, element, other) = (r.input(x, 0), r.input(x, 1), r.input(x, 2));
    if r.splat(other)?.as_f64() != 0.0 {
        return None;
    }
    let first = equals_expanded(r, here, |r, v| is_position(r, v, axis))?;
    if !matches!(r.op_of(first), Op::Reduce { op: ReduceOp::Min, axes } if axes.as_slice() == [axis]) {
        return None;
    }
    let candidates = r.input(first, 0);
    if !matches!(r.op_of(candidates), Op::Select) || !is_position(r, r.input(candidates, 1), axis) {
        return None;
    }
    // What is no hit has to come after what is one.
    let last = r.type_of(element).shape[axis as usize].fixed()? - 1;
    if r.splat(r.input(candidates, 2))?.as_i64() < last {
        return None;
    }
    let extreme = found(r, r.input(candidates, 0), element)?;
    let own = match r.op_of(extreme) {
        Op::Reduce { op: ReduceOp::Max | ReduceOp::Min, axes } => axes.as_slice() == [axis],
        _ => false,
    };
    if !own || r.input(extreme, 0) != element {
        return None;
    }
    let zero = r.full_like(&extreme, 0.0);
    Some(r.add(&extreme, &zero))
}

/// Whether an element is its own number along an axis.
fn is_position(r: &Rewriter<'_>, v: ValueId, axis: u8) -> bool {
    matches!(r.op_of(v), Op::Iota { axis: a, .. } if *a == axis)
}

/// `m` of `hit = (x == expand m) | (x != x)`: a row with a NaN has a hit too.
fn found(r: &Rewriter<'_>, hit: ValueId, x: ValueId) -> Option<ValueId> {
    if !matches!(r.op_of(hit), Op::Binary(Binary::Or)) {
        return None;
    }
    let is_nan =
        |v: ValueId| matches!(r.op_of(v), Op::Cmp(Cmp::Ne)) && r.input(v, 0) == x && r.input(v, 1) == x;
    let sides = [r.input(hit, 0), r.input(hit, 1)];
    let at = sides.iter().position(|&v| is_nan(v))?;
    equals_expanded(r, sides[1 - at], |_, v| v == x)
}

/// `m` of `v == expand m`, `v` being as said.
fn equals_expanded(
    r: &Rewriter<'_>,
    equal: ValueId,
    is: impl Fn(&Rewriter<'_>, ValueId) -> bool,
) -> Option<ValueId> {
    if !matches!(r.op_of(equal), Op::Cmp(Cmp::Eq)) {
        return None;
    }
    let sides = [r.input(equal, 0), r.input(equal, 1)];
    let at = sides.iter().position(|&v| is(r, v))?;
    let wide = sides[1 - at];
    matches!(r.op_of(wide), Op::Expand(_)).then(|| r.input(wide, 0))
}
