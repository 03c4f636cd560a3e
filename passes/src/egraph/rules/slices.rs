//! Parts: compute only what is taken, and join what was taken apart.

use super::{Found, Rule, When, dots, movement, permutes};
use crate::egraph::saturate::Island;
use egg::Id;
use smallvec::SmallVec;
use ttk_ir::infer::dot_free_axes;
use ttk_ir::op::{PadDim, SliceDim};
use ttk_ir::{Binary, Dim, Op};

fn is_slice(op: &Op) -> bool {
    matches!(op, Op::Slice(_))
}

pub(super) const OF_ELEMENTWISE: Rule = Rule {
    name: "slice-of-elementwise",
    doc: "slice(f(x, y)) = f(slice x, slice y): pays where nothing else needs the rest",
    when: When::Always,
    begins: is_slice,
    rewrite: |island, op, args, found| {
        for (term, inner) in island.terms(args[0], Op::is_elementwise) {
            let parts: Option<SmallVec<[Id; 3]>> =
                inner.iter().map(|x| island.add(op.clone(), &[*x])).collect();
            found.extend(parts.and_then(|p| island.add((*term).clone(), &p)));
        }
    },
};

pub(super) const OF_PERMUTE: Rule = Rule {
    name: "slice-of-permute",
    doc: "slice(permute x) = permute(slice x)",
    when: When::Always,
    begins: is_slice,
    rewrite: |island, op, args, found| {
        let Op::Slice(dims) = op else { return };
        for (perm, x) in permutes(island, args[0]) {
            let taken = island.add(Op::Slice(movement::slice_before(dims, &perm)), &[x]);
            found.extend(taken.and_then(|t| island.add(Op::Permute(perm), &[t])));
        }
    },
};

pub(super) const OF_REDUCE: Rule = Rule {
    name: "slice-of-reduce",
    doc: "slice(reduce x) = reduce(slice x)",
    when: When::Always,
    begins: is_slice,
    rewrite: |island, op, args, found| {
        let Op::Slice(dims) = op else { return };
        for (term, inner) in island.terms(args[0], |op| matches!(op, Op::Reduce { .. })) {
            let Op::Reduce { axes, .. } = &*term else { continue };
            // A reduced axis has one position, and all of it is taken.
            let mut dims = dims.clone();
            for &a in axes {
                dims[a as usize] = SliceDim::all(island.ty(inner[0]).shape[a as usize].clone());
            }
            let taken = island.add(Op::Slice(dims), &inner);
            found.extend(taken.and_then(|t| island.add((*term).clone(), &[t])));
        }
    },
};

pub(super) const OF_DOT: Rule = Rule {
    name: "slice-of-dot",
    doc: "slice(dot(x, y)) = dot(slice x, slice y)",
    when: When::Always,
    begins: is_slice,
    rewrite: |island, op, args, found| {
        let Op::Slice(dims) = op else { return };
        for (batch, contract, lhs, rhs) in dots(island, args[0]) {
            let operands = [lhs, rhs];
            let (left, right) =
                dot_free_axes(&batch, &contract, island.ty(lhs).rank(), island.ty(rhs).rank());
            let mut parts: SmallVec<[Id; 2]> = SmallVec::new();
            for side in 0..2 {
                let mut own: Vec<SliceDim> =
                    island.shape(operands[side]).into_iter().map(SliceDim::all).collect();
                for (k, &(a, b)) in batch.iter().enumerate() {
                    own[if side == 0 { a } else { b } as usize] = dims[k].clone();
                }
                let (axes, first) =
                    if side == 0 { (&left, batch.len()) } else { (&right, batch.len() + left.len()) };
                for (i, &a) in axes.iter().enumerate() {
                    own[a as usize] = dims[first + i].clone();
                }
                parts.extend(island.add(Op::Slice(own.into()), &[operands[side]]));
            }
            if parts.len() == 2 {
                found.extend(island.add(Op::Dot { batch, contract }, &parts));
            }
        }
    },
};

pub(super) const SUM_OF_PADS: Rule = Rule {
    name: "sum-of-pads",
    doc: "pad{0} x + pad{0} y = pad{0} concat(x, y) where y begins where x ends: the gradient of a split",
    when: When::Always,
    begins: |op| matches!(op, Op::Binary(Binary::Add)),
    rewrite: sum_of_pads,
};

fn sum_of_pads(island: &mut Island, _: &Op, args: &[Id], found: &mut Found) {
    let is_pad = |op: &Op| matches!(op, Op::Pad { .. });
    for (p, x) in island.terms(args[0], is_pad) {
        for (q, y) in island.terms(args[1], is_pad) {
            let (Op::Pad { dims: p, value: v }, Op::Pad { dims: q, value: w }) = (&*p, &*q) else { continue };
            if v.as_f64() != 0.0 || w.as_f64() != 0.0 {
                continue;
            }
            found.extend(adjacent(island, p, q, x[0], y[0]).and_then(|(axis, dims, parts)| {
                let joined = island.add(Op::Concat { axis: axis as u8 }, &parts)?;
                if dims.iter().all(PadDim::is_none) {
                    return Some(joined);
                }
                island.add(Op::Pad { dims: dims.into(), value: *v }, &[joined])
            }));
        }
    }
}

/// The axis along which two padded parts lie side by side, the padding of both together, and the parts
/// in order.
fn adjacent(
    island: &Island,
    p: &[PadDim],
    q: &[PadDim],
    x: Id,
    y: Id,
) -> Option<(usize, Vec<PadDim>, [Id; 2])> {
    let mut differing = (0..p.len()).filter(|&i| p[i] != q[i]);
    let axis = differing.next()?;
    if differing.next().is_some() || p[axis].interior != 0 || q[axis].interior != 0 {
        return None;
    }
    let len = |v: Id| -> Dim { island.ty(v).shape[axis].clone() };
    let mut dims = p.to_vec();
    if q[axis].low == p[axis].low.add(&len(x)) {
        dims[axis].high = q[axis].high.clone();
        Some((axis, dims, [x, y]))
    } else if p[axis].low == q[axis].low.add(&len(y)) {
        dims[axis].low = q[axis].low.clone();
        Some((axis, dims, [y, x]))
    } else {
        None
    }
}
