//! Rearrangements: the derivative of each is its adjoint, and its adjoint is another of them.

use super::Cotangents;
use smallvec::smallvec;
use ttk_ir::op::{PadDim, SliceDim};
use ttk_ir::{Builder, Dim, Op};

pub(crate) fn permute<B: Builder>(b: &mut B, perm: &[u8], g: &B::Value) -> B::Value {
    let mut inverse = vec![0; perm.len()];
    for (to, &from) in perm.iter().enumerate() {
        inverse[from as usize] = to;
    }
    b.permute(g, &inverse)
}

/// `slice` picks positions; its adjoint puts them back between zeros.
///
/// A negative step is a flip of the positive one that starts at the slice's last position.
pub(crate) fn slice<B: Builder>(b: &mut B, dims: &[SliceDim], x: &B::Value, g: &B::Value) -> B::Value {
    let ty = b.ty(x).clone();
    if dims.iter().any(|d| d.len == Dim::Fixed(0)) {
        return b.zeros(&ty);
    }
    let flips: Vec<SliceDim> = dims
        .iter()
        .map(|d| match d.step < 0 {
            true => SliceDim { start: d.len.offset(-1), len: d.len.clone(), step: -1 },
            false => SliceDim::all(d.len.clone()),
        })
        .collect();
    let g = b.slice(g, flips);
    let pads = dims.iter().zip(&ty.shape).map(|(d, n)| {
        let reach = d.len.offset(-1).mul(&Dim::Fixed(d.step));
        let (low, last) = match d.step < 0 {
            true => (d.start.add(&reach), d.start.clone()),
            false => (d.start.clone(), d.start.add(&reach)),
        };
        PadDim { low, high: n.sub(&last).offset(-1), interior: d.step.abs() - 1 }
    });
    let pads = pads.collect();
    b.pad(&g, pads, 0.0)
}

pub(crate) fn pad<B: Builder>(b: &mut B, dims: &[PadDim], x: &B::Value, g: &B::Value) -> B::Value {
    let shape = b.shape(x);
    let dims = dims.iter().zip(&shape).map(|(d, n)| SliceDim {
        start: d.low.clone(),
        len: n.clone(),
        step: d.interior + 1,
    });
    b.slice(g, dims.collect())
}

pub(crate) fn concat<B: Builder>(
    b: &mut B,
    axis: usize,
    inputs: &[B::Value],
    g: &B::Value,
    needs: &[bool],
) -> Cotangents<B::Value> {
    let mut start = Dim::Fixed(0);
    let mut out = Cotangents::new();
    for (x, &needed) in inputs.iter().zip(needs) {
        let len = b.ty(x).shape[axis].clone();
        out.push(needed.then(|| b.narrow(g, axis, start.clone(), len.clone())));
        start = start.add(&len);
    }
    out
}

pub(crate) fn update<B: Builder>(
    b: &mut B,
    dims: &[SliceDim],
    inputs: &[B::Value],
    g: &B::Value,
    needs: &[bool],
) -> Cotangents<B::Value> {
    let whole = needs[0].then(|| {
        let ty = b.ty(&inputs[1]).clone();
        let zeros = b.zeros(&ty);
        b.op(Op::Update(dims.into()), &[g.clone(), zeros])
    });
    let part = needs[1].then(|| b.slice(g, dims.to_vec()));
    smallvec![whole, part]
}
