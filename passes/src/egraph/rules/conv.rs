//! Convolutions: the gradient of one with respect to its input is one.

use super::{Found, Pairs, Rule, When, dots, permutes};
use crate::egraph::saturate::Island;
use egg::Id;
use smallvec::SmallVec;
use ttk_ir::infer::dot_free_axes;
use ttk_ir::op::{Axes, PadDim, SliceDim, WindowDim};
use ttk_ir::{Dim, Op, Scalar};

pub(super) const FOLD_OF_DOT: Rule = Rule {
    name: "fold-of-dot",
    doc: "fold{stride s, dilation d}(dot(g, w)) = dot(window{dilation d}(pad{interior s-1} g), reversed w): \
          the transposed convolution as a convolution, which a product packs as it goes, in place of \
          columns written out and summed",
    when: When::Always,
    begins: |op| matches!(op, Op::Fold { .. }),
    rewrite: |island, op, args, found| {
        let rank = island.ty(args[0]).rank() as u8;
        let straight: Axes = (0..rank).collect();
        let mut cases: SmallVec<[(Axes, Id); 2]> = permutes(island, args[0]);
        cases.push((straight, args[0]));
        for (perm, product) in cases {
            for dot in dots(island, product) {
                found_one(island, op, &perm, dot, found);
            }
        }
    },
};

fn found_one(island: &mut Island, op: &Op, perm: &Axes, dot: (Pairs, Pairs, Id, Id), found: &mut Found) {
    found.extend(fold_of_dot(island, op, perm, dot));
}

/// `out[h] = sum over o, k with o*s + k*d = h of g[o] w[k]`. With `g'` the same as `g` but `s - 1` zeros
/// between neighbours, that is `sum over k of g'[h - k*d] w[k]`, or with the taps in reverse and `(size - 1) * d`
/// zeros in front, `sum over k of g''[h + k*d] w[size - 1 - k]`: windows of `g''`.
fn fold_of_dot(island: &mut Island, op: &Op, perm: &Axes, dot: (Pairs, Pairs, Id, Id)) -> Option<Id> {
    let Op::Fold { dims, sizes } = op else { return None };
    let (batch, contract, lhs, rhs) = dot;
    let (left, right) = dot_free_axes(&batch, &contract, island.ty(lhs).rank(), island.ty(rhs).rank());
    let n = batch.len();
    // The operand, and its axis, that an axis of the product comes from.
    let origin = |axis: u8| -> Option<(usize, u8)> {
        let i = (axis as usize).checked_sub(n)?;
        left.get(i).map(|&a| (0, a)).or_else(|| right.get(i - left.len()).map(|&a| (1, a)))
    };
    let rank = perm.len() - dims.len();
    let mut side = None;
    let (mut positions, mut taps, mut spent) = (Axes::new(), Axes::new(), Axes::new());
    for (i, d) in dims.iter().enumerate() {
        let tap = perm[rank + i];
        let ((of_position, position), (of_tap, tap_axis)) = (origin(perm[d.axis as usize])?, origin(tap)?);
        if of_position == of_tap || *side.get_or_insert(of_position) != of_position {
            return None;
        }
        positions.push(position);
        taps.push(tap_axis);
        spent.push(tap);
    }
    let side = side?;
    let operands = [lhs, rhs];
    let (g, w) = (operands[side], operands[1 - side]);

    let own = island.shape(g);
    let mut pads: Vec<PadDim> = own.iter().map(|_| PadDim::none()).collect();
    for ((d, size), &axis) in dims.iter().zip(sizes).zip(&positions) {
        let covered = own[axis as usize].offset(-1).mul(&Dim::Fixed(d.stride)).offset(1);
        pads[axis as usize] = PadDim {
            low: Dim::Fixed((d.size - 1) * d.dilation),
            high: size.sub(&covered),
            interior: d.stride - 1,
        };
    }
    let value = Scalar::zero(island.ty(g).dtype);
    let padded = island.add(Op::Pad { dims: pads.into(), value }, &[g])?;
    let windows: Box<[WindowDim]> = dims
        .iter()
        .zip(&positions)
        .map(|(d, &axis)| WindowDim { axis, size: d.size, stride: 1, dilation: d.dilation })
        .collect();
    let windows = island.add(Op::Window(windows), &[padded])?;

    let mut reversed: Vec<SliceDim> = island.shape(w).into_iter().map(SliceDim::all).collect();
    for (d, &tap) in dims.iter().zip(&taps) {
        reversed[tap as usize] = SliceDim { start: (d.size - 1).into(), len: d.size.into(), step: -1 };
    }
    let reversed = island.add(Op::Slice(reversed.into()), &[w])?;

    let mut pairs = contract;
    for (i, &tap) in taps.iter().enumerate() {
        let window = (own.len() + i) as u8;
        pairs.push(if side == 0 { (window, tap) } else { (tap, window) });
    }
    let operands = if side == 0 { [windows, reversed] } else { [reversed, windows] };
    let product = super::dot::product(island, batch, pairs, operands)?;
    // The axes of the taps are gone from the product; the others are in the order they were in.
    let kept: Axes = (0..perm.len() as u8).filter(|a| !spent.contains(a)).collect();
    let order: Option<Axes> =
        perm[..rank].iter().map(|a| kept.iter().position(|k| k == a).map(|p| p as u8)).collect();
    island.add(Op::Permute(order?), &[product])
}
