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
    if dims.iter().any(|d| d.size != 1) {
        return None;
    }
    let mut shape = r.shape(&x);
    shape.truncate(shape.len() - dims.len());
    let mut pads = vec![PadDim::none(); shape.len()];
    for (d, size) in dims.iter().zip(sizes) {
        let axis = d.axis as usize;
        // No window at all leaves only the padding.
        if shape[axis] == Dim::Fixed(0) {
            return None;
        }
        let covered = shape[axis].offset(-1).mul(&Dim::Fixed(d.stride)).offset(1);
        pads[axis] = PadDim { low: Dim::Fixed(0), high: size.sub(&covered), interior: d.stride - 1 };
    }
    let value = Scalar::zero(r.type_of(x).dtype);
    let x = r.reshape(&x, shape);
    Some(r.emit(&Op::Pad { dims: pads.into(), value }, &[x]))
}
