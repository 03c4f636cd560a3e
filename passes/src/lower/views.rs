//! Where the elements of a view are: index arithmetic without code.

use super::index::Ranges;
use smallvec::SmallVec;
use ttk_ir::op::SliceDim;
use ttk_ir::{Dim, Expr, Op, Shape};

/// A position, axis by axis.
pub(super) type Indices = SmallVec<[Expr; 4]>;

/// The index of `at` in memory with these strides.
pub(crate) fn linear(at: &[Expr], strides: &[Expr]) -> Expr {
    at.iter().zip(strides).fold(Expr::default(), |sum, (e, s)| sum.add(&e.mul(s)))
}

/// Distances between neighbours in a dense row-major array.
pub(crate) fn row_major(shape: &[Dim]) -> SmallVec<[Expr; 4]> {
    let mut strides: SmallVec<[Expr; 4]> = SmallVec::new();
    let mut step = Expr::constant(1);
    for d in shape.iter().rev() {
        strides.push(step.clone());
        step = step.mul(&d.expr());
    }
    strides.reverse();
    strides
}

/// Where element `at` of a view comes from: the position in the operand. `None` for an operation that
/// is not a plain rearrangement.
pub(crate) fn view_indices(
    ranges: &Ranges,
    op: &Op,
    from: &[Dim],
    to: &[Dim],
    at: &[Expr],
) -> Option<Indices> {
    match op {
        Op::Reshape(_) => Some(reshape_indices(ranges, from, to, at)),
        Op::Permute(perm) => {
            let mut out: Indices = SmallVec::from_elem(Expr::default(), perm.len());
            for (i, &a) in perm.iter().enumerate() {
                out[a as usize] = at[i].clone();
            }
            Some(out)
        }
        Op::Expand(_) => Some(
            at.iter().zip(from).map(|(e, d)| if d.is_one() { Expr::default() } else { e.clone() }).collect(),
        ),
        Op::Slice(dims) => Some(at.iter().zip(dims).map(slice_index).collect()),
        Op::Window(dims) => {
            let mut out: Indices = at[..from.len()].iter().cloned().collect();
            for (i, d) in dims.iter().enumerate() {
                let a = d.axis as usize;
                out[a] = out[a].scale(d.stride).add(&at[from.len() + i].scale(d.dilation));
            }
            Some(out)
        }
        Op::Detach | Op::Barrier => Some(at.iter().cloned().collect()),
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => None,
        Op::Unary(_) | Op::Binary(_) | Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => None,
        Op::Pad { .. } | Op::Concat { .. } | Op::Update(_) | Op::Fold { .. } => None,
        Op::Gather { .. } | Op::Scatter { .. } | Op::Reduce { .. } | Op::Scan { .. } => None,
        Op::Argsort { .. } | Op::Dot { .. } | Op::Custom { .. } => None,
    }
}

fn slice_index((e, d): (&Expr, &SliceDim)) -> Expr {
    e.scale(d.step).add(&d.start.expr())
}

/// The axes of two shapes in matching runs: `from[i..j]` and `to[k..l]` have one number of elements.
pub(crate) fn matching_runs(
    from: &[Dim],
    to: &[Dim],
) -> Vec<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut runs = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let (i0, j0) = (i, j);
        let take = |shape: &Shape, at: &mut usize, n: Dim| -> Dim {
            let d = n.mul(&shape[*at]);
            *at += 1;
            d
        };
        let (from, to): (Shape, Shape) = (from.into(), to.into());
        let mut a = Dim::Fixed(1);
        let mut b = Dim::Fixed(1);
        if i < from.len() {
            a = take(&from, &mut i, a);
        }
        if j < to.len() {
            b = take(&to, &mut j, b);
        }
        while a != b && (i < from.len() || j < to.len()) {
            let grow_from = match (a.fixed(), b.fixed()) {
                (Some(x), Some(y)) => x < y,
                // The side that divides the other is the one to grow.
                _ => b.expr().div_exact(&a.expr()).is_some(),
            };
            if (grow_from && i < from.len()) || j >= to.len() {
                a = take(&from, &mut i, a);
            } else {
                b = take(&to, &mut j, b);
            }
        }
        if a != b {
            // No common run to be found (symbolic sizes): one run of all that is left.
            (i, j) = (from.len(), to.len());
        }
        // Axes of size 1 at the end belong to no later run.
        if i < from.len() || j < to.len() {
            let rest_one = from[i..].iter().chain(&to[j..]).all(Dim::is_one);
            if rest_one {
                (i, j) = (from.len(), to.len());
            }
        }
        runs.push((i0..i, j0..j));
    }
    runs
}

fn reshape_indices(ranges: &Ranges, from: &[Dim], to: &[Dim], at: &[Expr]) -> Indices {
    let mut out = Indices::new();
    for (f, t) in matching_runs(from, to) {
        let (fs, ts) = (&from[f.clone()], &to[t.clone()]);
        let wide = |s: &[Dim]| s.iter().filter(|d| !d.is_one()).count();
        if wide(fs) == 1 && wide(ts) == 1 {
            let e = ts.iter().zip(&at[t]).find(|(d, _)| !d.is_one()).map(|(_, e)| e.clone());
            out.extend(fs.iter().map(|d| match (&e, d.is_one()) {
                (Some(e), false) => e.clone(),
                (_, true) | (None, _) => Expr::default(),
            }));
            continue;
        }
        let flat = ranges.simplify(&linear(&at[t], &row_major(ts)));
        let strides = row_major(fs);
        let mut outermost = true;
        for (d, stride) in fs.iter().zip(&strides) {
            if d.is_one() {
                out.push(Expr::default());
                continue;
            }
            let q = ranges.floor_div(&flat, stride);
            out.push(if outermost { q } else { ranges.modulo(&q, &d.expr()) });
            outermost = false;
        }
    }
    out
}
