//! Rearrangements of whole tensors: reshape, permute, expand, window and fold.
//!
//! The order that chains of views settle into, from the operand outwards: slice, permute, reshape,
//! expand. Each rule moves one step toward it.

use super::Rewriter;
use smallvec::SmallVec;
use ttk_ir::op::{Axes, PadDim, SliceDim, WindowDim};
use ttk_ir::{Builder, Dim, Op, Scalar, Shape, ValueId};

pub(super) fn reshape(r: &mut Rewriter<'_>, shape: &Shape, x: ValueId) -> Option<ValueId> {
    if r.type_of(x).shape == *shape {
        return Some(x);
    }
    match r.op_of(x) {
        Op::Reshape(_) => {
            let x = r.input(x, 0);
            Some(r.reshape(&x, shape.clone()))
        }
        Op::Const { value, .. } => {
            let op = Op::Const { value: *value, shape: shape.clone() };
            Some(r.emit(&op, &[]))
        }
        // What only adds and removes axes of size 1 goes below an `expand` and around an `iota`.
        Op::Expand(_) => {
            let inner = r.input(x, 0);
            let axes = unit_reshape(&r.type_of(x).shape, shape)?;
            let source = &r.type_of(inner).shape;
            let small = axes.iter().map(|a| a.map_or(Dim::Fixed(1), |a| source[a].clone())).collect();
            let small = r.reshape(&inner, small);
            Some(r.expand(&small, shape.clone()))
        }
        Op::Iota { axis, dtype, shape: from } => {
            let axes = unit_reshape(from, shape)?;
            let at = axes.iter().position(|a| *a == Some(*axis as usize))?;
            let op = Op::Iota { axis: at as u8, dtype: *dtype, shape: shape.clone() };
            Some(r.emit(&op, &[]))
        }
        _ => None,
    }
}

/// For each axis of `to`, the axis of `from` that it is, or `None` for one of size 1, when the two
/// shapes differ only in axes of size 1.
pub(super) fn unit_reshape(from: &[Dim], to: &[Dim]) -> Option<SmallVec<[Option<usize>; 4]>> {
    let mut rest = (0..from.len()).filter(|&i| !from[i].is_one());
    let mut axes = SmallVec::new();
    for d in to {
        if d.is_one() {
            axes.push(None);
            continue;
        }
        let i = rest.next()?;
        if from[i] != *d {
            return None;
        }
        axes.push(Some(i));
    }
    rest.next().is_none().then_some(axes)
}

pub(super) fn permute(r: &mut Rewriter<'_>, perm: &Axes, x: ValueId) -> Option<ValueId> {
    if perm.iter().enumerate().all(|(i, &p)| i == p as usize) {
        return Some(x);
    }
    let shape: Shape = perm.iter().map(|&p| r.type_of(x).shape[p as usize].clone()).collect();
    match r.op_of(x) {
        Op::Permute(first) => {
            let combined = Op::Permute(perm.iter().map(|&p| first[p as usize]).collect());
            let x = r.input(x, 0);
            return Some(r.emit(&combined, &[x]));
        }
        Op::Const { value, .. } => {
            let op = Op::Const { value: *value, shape };
            return Some(r.emit(&op, &[]));
        }
        Op::Iota { axis, dtype, .. } => {
            let axis = perm.iter().position(|p| p == axis)? as u8;
            let op = Op::Iota { axis, dtype: *dtype, shape };
            return Some(r.emit(&op, &[]));
        }
        Op::Expand(_) => {
            let x = r.input(x, 0);
            let small = r.emit(&Op::Permute(perm.clone()), &[x]);
            return Some(r.expand(&small, shape));
        }
        _ => {}
    }
    // A permutation that keeps the order of the axes longer than 1 moves no element.
    let long = |p: &&u8| !r.type_of(x).shape[**p as usize].is_one();
    if perm.iter().filter(long).is_sorted() {
        return Some(r.reshape(&x, shape));
    }
    None
}

pub(super) fn expand(r: &mut Rewriter<'_>, shape: &Shape, x: ValueId) -> Option<ValueId> {
    if r.type_of(x).shape == *shape {
        return Some(x);
    }
    match r.op_of(x) {
        Op::Expand(_) => {
            let x = r.input(x, 0);
            Some(r.expand(&x, shape.clone()))
        }
        Op::Const { value, .. } => {
            let op = Op::Const { value: *value, shape: shape.clone() };
            Some(r.emit(&op, &[]))
        }
        Op::Iota { axis, dtype, shape: from } if from[*axis as usize] == shape[*axis as usize] => {
            let op = Op::Iota { axis: *axis, dtype: *dtype, shape: shape.clone() };
            Some(r.emit(&op, &[]))
        }
        _ => None,
    }
}

pub(super) fn window(r: &mut Rewriter<'_>, dims: &[WindowDim], x: ValueId) -> Option<ValueId> {
    // Windows of one element are a strided slice (a convolution with a kernel of 1).
    if dims.iter().any(|d| d.size != 1) {
        return None;
    }
    let mut shape = r.shape(&x);
    let mut slices: Vec<SliceDim> = shape.iter().cloned().map(SliceDim::all).collect();
    for d in dims {
        let axis = d.axis as usize;
        shape[axis] = d.count(&shape[axis]);
        slices[axis] = SliceDim { start: Dim::Fixed(0), len: shape[axis].clone(), step: d.stride };
    }
    let taken = r.slice(&x, slices);
    shape.extend(dims.iter().map(|_| Dim::Fixed(1)));
    Some(r.reshape(&taken, shape))
}

pub(super) fn fold(r: &mut Rewriter<'_>, dims: &[WindowDim], sizes: &[Dim], x: ValueId) -> Option<ValueId> {
    // Where no two windows overlap each element has one place: they are spread out, with zeros between
    // where the windows leave gaps.
    if dims.iter().any(|d| d.size != 1 && (d.dilation != 1 || d.stride < d.size)) {
        return None;
    }
    let shape = r.shape(&x);
    let rank = shape.len() - dims.len();
    // No window at all leaves only zeros.
    if shape.contains(&Dim::Fixed(0)) {
        return None;
    }
    let value = Scalar::zero(r.type_of(x).dtype);
    // Each window with its gap: `stride` elements.
    let mut gaps = vec![PadDim::none(); shape.len()];
    for (i, d) in dims.iter().enumerate() {
        gaps[rank + i].high = Dim::Fixed(if d.size == 1 { 0 } else { d.stride - d.size });
    }
    let x = r.emit(&Op::Pad { dims: gaps.into(), value }, &[x]);
    // Each window beside its axis, and the two made one.
    let (mut perm, mut joined) = (Vec::new(), Shape::new());
    for axis in 0..rank {
        perm.push(axis);
        let mut len = shape[axis].clone();
        if let Some(i) = dims.iter().position(|d| d.axis as usize == axis) {
            perm.push(rank + i);
            len = len.mul(&r.type_of(x).shape[rank + i]);
        }
        joined.push(len);
    }
    let x = r.permute(&x, &perm);
    let x = r.reshape(&x, joined.clone());
    // Windows of one element take the gap as padding between; what no window reaches is zero.
    let mut pads = vec![PadDim::none(); rank];
    let mut cut: Vec<SliceDim> = joined.iter().cloned().map(SliceDim::all).collect();
    for (d, size) in dims.iter().zip(sizes) {
        let axis = d.axis as usize;
        let interior = if d.size == 1 { d.stride - 1 } else { 0 };
        let reached = shape[axis].offset(-1).mul(&Dim::Fixed(d.stride)).offset(d.size);
        pads[axis] = PadDim { low: Dim::Fixed(0), high: size.sub(&reached), interior };
        if d.size != 1 {
            // The gap after the last window may reach past the end.
            cut[axis].len = reached;
        }
    }
    let x = r.slice(&x, cut);
    Some(r.emit(&Op::Pad { dims: pads.into(), value }, &[x]))
}
