//! Permutations move toward the results, past what does not care in which order it meets its elements,
//! until they meet a product (which takes any order) or one another.
//!
//! This is how a network written channels-first computes channels-last: a product leaves the channels
//! last, and the permutation after it moves down to the next product and vanishes there.

use super::{Found, Rule, When, expands, inverse, permutes};
use crate::egraph::saturate::Island;
use egg::Id;
use smallvec::SmallVec;
use ttk_ir::op::{Axes, PadDim, SliceDim, WindowDim};
use ttk_ir::{Op, Shape};

pub(super) const ELEMENTWISE: Rule = Rule {
    name: "permute-past-elementwise",
    doc: "f(permute x, permute y) = permute(f(x, y)); a constant or a repeated operand is permuted back",
    when: When::Always,
    begins: Op::is_elementwise,
    rewrite: elementwise,
};

fn elementwise(island: &mut Island, op: &Op, args: &[Id], found: &mut Found) {
    // Every operand is tried for the permutation; the others have to go along.
    let mut tried: SmallVec<[Axes; 2]> = SmallVec::new();
    for &arg in args {
        for (perm, _) in permutes(island, arg) {
            if tried.contains(&perm) {
                continue;
            }
            found.extend(with_permutation(island, op, args, &perm));
            tried.push(perm);
        }
    }
}

fn with_permutation(island: &mut Island, op: &Op, args: &[Id], perm: &Axes) -> Option<Id> {
    let back = inverse(perm);
    let mut inner = SmallVec::<[Id; 3]>::new();
    for &arg in args {
        let same = permutes(island, arg).into_iter().find(|(p, _)| p == perm);
        let x = if let Some((_, x)) = same {
            x
        } else if island.splat(arg).is_some() {
            island.add(Op::Permute(back.clone()), &[arg])?
        } else {
            let small = *expands(island, arg).first()?;
            let shape: Shape = back.iter().map(|&p| island.ty(arg).shape[p as usize].clone()).collect();
            let small = island.add(Op::Permute(back.clone()), &[small])?;
            island.add(Op::Expand(shape), &[small])?
        };
        inner.push(x);
    }
    let value = island.add(op.clone(), &inner)?;
    island.add(Op::Permute(perm.clone()), &[value])
}

pub(super) const STRUCTURED: Rule = Rule {
    name: "permute-past-structured",
    doc: "reduce, pad, window, fold and concat of a permutation are the permutation of the same",
    when: When::Always,
    begins: |op| {
        matches!(op, Op::Reduce { .. } | Op::Pad { .. } | Op::Window(_) | Op::Fold { .. } | Op::Concat { .. })
    },
    rewrite: |island, op, args, found| {
        for (perm, x) in permutes(island, args[0]) {
            found.extend(structured(island, op, args, &perm, x));
        }
    },
};

/// Axis `i` of the operand was axis `perm[i]` of `x`, so a list by axis is reordered by `perm`.
fn structured(island: &mut Island, op: &Op, args: &[Id], perm: &Axes, x: Id) -> Option<Id> {
    let rename = |axis: u8| perm[axis as usize];
    let windows = |dims: &[WindowDim]| -> Box<[WindowDim]> {
        dims.iter().map(|d| WindowDim { axis: rename(d.axis), ..*d }).collect()
    };
    let (inner, result) = if let Op::Reduce { op, axes } = op {
        let mut axes: Axes = axes.iter().map(|&a| rename(a)).collect();
        axes.sort_unstable();
        (island.add(Op::Reduce { op: *op, axes }, &[x])?, perm.clone())
    } else if let Op::Pad { dims, value } = op {
        let mut moved: Vec<PadDim> = dims.to_vec();
        for (i, d) in dims.iter().enumerate() {
            moved[perm[i] as usize] = d.clone();
        }
        (island.add(Op::Pad { dims: moved.into(), value: *value }, &[x])?, perm.clone())
    } else if let Op::Window(dims) = op {
        // The new axes follow in the order of `dims`, before and after.
        let mut result = perm.clone();
        result.extend((0..dims.len()).map(|i| (perm.len() + i) as u8));
        (island.add(Op::Window(windows(dims)), &[x])?, result)
    } else if let Op::Fold { dims, sizes } = op {
        let rank = perm.len() - dims.len();
        let straight = (rank..perm.len()).all(|i| perm[i] as usize == i);
        if !straight {
            return None;
        }
        let folded = island.add(Op::Fold { dims: windows(dims), sizes: sizes.clone() }, &[x])?;
        (folded, perm[..rank].into())
    } else if let Op::Concat { axis } = op {
        let parts: Option<SmallVec<[Id; 4]>> = args
            .iter()
            .map(|&a| permutes(island, a).into_iter().find(|(p, _)| p == perm).map(|(_, x)| x))
            .collect();
        (island.add(Op::Concat { axis: rename(*axis) }, &parts?)?, perm.clone())
    } else {
        return None;
    };
    island.add(Op::Permute(result), &[inner])
}

/// `dims` of a slice of `permute{perm} x`, as a slice of `x`.
pub(super) fn slice_before(dims: &[SliceDim], perm: &Axes) -> Box<[SliceDim]> {
    let mut moved = dims.to_vec();
    for (i, d) in dims.iter().enumerate() {
        moved[perm[i] as usize] = d.clone();
    }
    moved.into()
}
