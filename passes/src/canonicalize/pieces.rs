//! Parts of tensors: slice, pad, concat, update.

use super::Rewriter;
use super::views::unit_reshape;
use smallvec::SmallVec;
use ttk_ir::op::{PadDim, SliceDim, WindowDim};
use ttk_ir::{Builder, Dim, Op, Scalar, Shape, ValueId};

pub(super) fn slice(r: &mut Rewriter<'_>, dims: &[SliceDim], x: ValueId) -> Option<ValueId> {
    let from = r.shape(&x);
    if dims.iter().zip(&from).all(|(d, n)| d.is_all(n)) {
        return Some(x);
    }
    let shape: Shape = dims.iter().map(|d| d.len.clone()).collect();
    if shape.contains(&Dim::Fixed(0)) {
        let value = Scalar::zero(r.type_of(x).dtype);
        return Some(r.emit(&Op::Const { value, shape }, &[]));
    }
    // One position has no step.
    if dims.iter().any(|d| d.len.is_one() && d.step != 1) {
        let dims =
            dims.iter().map(|d| SliceDim { step: if d.len.is_one() { 1 } else { d.step }, ..d.clone() });
        return Some(r.slice(&x, dims.collect()));
    }
    match r.op_of(x).clone() {
        Op::Const { value, .. } => Some(r.emit(&Op::Const { value, shape }, &[])),
        Op::Iota { axis, dtype, .. } if dims[axis as usize].is_all(&from[axis as usize]) => {
            Some(r.emit(&Op::Iota { axis, dtype, shape }, &[]))
        }
        Op::Slice(inner) => {
            let combined = inner.iter().zip(dims).map(|(a, b)| SliceDim {
                start: a.start.add(&b.start.mul(&Dim::Fixed(a.step))),
                len: b.len.clone(),
                step: a.step * b.step,
            });
            let combined = combined.collect();
            let x = r.input(x, 0);
            Some(r.slice(&x, combined))
        }
        Op::Expand(_) => {
            let x = r.input(x, 0);
            let small: Vec<SliceDim> = (0..dims.len())
                .map(|i| {
                    let own = &r.type_of(x).shape[i];
                    if *own == from[i] { dims[i].clone() } else { SliceDim::all(own.clone()) }
                })
                .collect();
            let small = r.slice(&x, small);
            Some(r.expand(&small, shape))
        }
        Op::Permute(perm) => {
            let x = r.input(x, 0);
            let mut moved = dims.to_vec();
            for (i, &p) in perm.iter().enumerate() {
                moved[p as usize] = dims[i].clone();
            }
            let moved = r.slice(&x, moved);
            Some(r.emit(&Op::Permute(perm), &[moved]))
        }
        Op::Reshape(_) => {
            let x = r.input(x, 0);
            let source = r.shape(&x);
            let axes = unit_reshape(&source, &from)?;
            // An axis of size 1 can only be taken whole (none at all was caught before).
            let mut inner: Vec<SliceDim> = source.iter().cloned().map(SliceDim::all).collect();
            for (i, a) in axes.iter().enumerate() {
                if let Some(a) = a {
                    inner[*a] = dims[i].clone();
                }
            }
            let inner = r.slice(&x, inner);
            Some(r.reshape(&inner, shape))
        }
        Op::Pad { dims: pads, value } => slice_of_pad(r, dims, &pads, value, x),
        Op::Concat { axis } => slice_of_concat(r, dims, axis as usize, x),
        Op::Window(windows) => slice_of_window(r, dims, &windows, x),
        Op::Update(written) if *written == *dims => Some(r.input(x, 1)),
        _ => None,
    }
}

/// Some of the windows, all elements of each, are windows of a part.
fn slice_of_window(
    r: &mut Rewriter<'_>,
    dims: &[SliceDim],
    windows: &[WindowDim],
    x: ValueId,
) -> Option<ValueId> {
    let shape = r.shape(&x);
    let source = r.input(x, 0);
    let rank = r.type_of(source).rank();
    let whole = |i: usize| dims[i].is_all(&shape[i]);
    if (rank..dims.len()).any(|i| !whole(i)) {
        return None;
    }
    let mut inner: Vec<SliceDim> = dims[..rank].to_vec();
    let mut taken: Vec<WindowDim> = windows.to_vec();
    for w in &mut taken {
        let axis = w.axis as usize;
        if whole(axis) {
            inner[axis] = SliceDim::all(r.type_of(source).shape[axis].clone());
            continue;
        }
        if dims[axis].step < 1 {
            return None;
        }
        let stride = w.stride * dims[axis].step;
        let span = (w.size - 1) * w.dilation + 1;
        inner[axis] = SliceDim {
            start: dims[axis].start.mul(&Dim::Fixed(w.stride)),
            len: dims[axis].len.offset(-1).mul(&Dim::Fixed(stride)).offset(span),
            step: 1,
        };
        w.stride = stride;
    }
    if inner.iter().zip(&r.type_of(source).shape).all(|(d, n)| d.is_all(n)) {
        return None;
    }
    let part = r.slice(&source, inner);
    Some(r.emit(&Op::Window(taken.into()), &[part]))
}

/// What an axis of `slice(pad(x))` takes: a part of `x` and padding around it.
enum Part {
    /// Only padding.
    Nothing,
    Of(SliceDim, PadDim),
}

fn slice_of_pad(
    r: &mut Rewriter<'_>,
    dims: &[SliceDim],
    pads: &[PadDim],
    value: Scalar,
    padded: ValueId,
) -> Option<ValueId> {
    let x = r.input(padded, 0);
    let (mut inner, mut outer) = (Vec::new(), Vec::new());
    for i in 0..dims.len() {
        match part(&dims[i], &pads[i], &r.type_of(x).shape[i], &r.type_of(padded).shape[i])? {
            Part::Nothing => {
                let shape = dims.iter().map(|d| d.len.clone()).collect();
                return Some(r.emit(&Op::Const { value, shape }, &[]));
            }
            Part::Of(s, p) => {
                inner.push(s);
                outer.push(p);
            }
        }
    }
    let taken = r.slice(&x, inner);
    Some(r.emit(&Op::Pad { dims: outer.into(), value }, &[taken]))
}

fn part(slice: &SliceDim, pad: &PadDim, own: &Dim, padded: &Dim) -> Option<Part> {
    if slice.is_all(padded) {
        return Some(Part::Of(SliceDim::all(own.clone()), pad.clone()));
    }
    // Exactly the operand, whatever the sizes are.
    if pad.interior == 0 && slice.step == 1 && slice.start == pad.low && slice.len == *own {
        return Some(Part::Of(SliceDim::all(own.clone()), PadDim::none()));
    }
    let (start, len) = (slice.start.fixed()?, slice.len.fixed()?);
    let (low, n) = (pad.low.fixed()?, own.fixed()?);
    let gap = pad.interior + 1;
    if slice.step == 1 {
        // Positions `low + k * gap` hold the operand's; which `k` lie in `start..start + len`?
        let first = (start - low + gap - 1).div_euclid(gap).max(0);
        let end = ((start + len - 1 - low).div_euclid(gap) + 1).min(n);
        if first >= end {
            return Some(Part::Nothing);
        }
        let before = low + first * gap - start;
        let covered = (end - first - 1) * gap + 1;
        let part = SliceDim { start: first.into(), len: (end - first).into(), step: 1 };
        let around =
            PadDim { low: before.into(), high: (len - before - covered).into(), interior: pad.interior };
        return Some(Part::Of(part, around));
    }
    // A stride that steps from element to element of the operand.
    let last = start + (len - 1) * slice.step;
    let (from, to) = (start - low, last - low);
    let inside = |p: i64| p >= 0 && p % gap == 0 && p / gap < n;
    if slice.step % gap == 0 && inside(from) && inside(to) {
        let part = SliceDim { start: (from / gap).into(), len: len.into(), step: slice.step / gap };
        return Some(Part::Of(part, PadDim::none()));
    }
    None
}

fn slice_of_concat(r: &mut Rewriter<'_>, dims: &[SliceDim], axis: usize, joined: ValueId) -> Option<ValueId> {
    let parts = r.node(joined).inputs.clone();
    let taken = &dims[axis];
    // Along another axis every part is sliced alike.
    if taken.is_all(&r.type_of(joined).shape[axis]) {
        let sliced: SmallVec<[ValueId; 4]> = parts
            .iter()
            .map(|p| {
                let mut dims = dims.to_vec();
                dims[axis] = SliceDim::all(r.type_of(*p).shape[axis].clone());
                r.slice(p, dims)
            })
            .collect();
        return Some(r.concat(&sliced, axis));
    }
    let mut begin = Dim::Fixed(0);
    for p in parts {
        let len = r.type_of(p).shape[axis].clone();
        let offset = taken.start.sub(&begin);
        let exact = taken.step == 1 && offset == Dim::Fixed(0) && taken.len == len;
        let inside = || {
            let (o, n, count) = (offset.fixed()?, len.fixed()?, taken.len.fixed()?);
            let last = o + (count - 1) * taken.step;
            Some((0..n).contains(&o) && (0..n).contains(&last))
        };
        if exact || inside() == Some(true) {
            let mut dims = dims.to_vec();
            dims[axis] = SliceDim { start: offset, ..taken.clone() };
            return Some(r.slice(&p, dims));
        }
        begin = begin.add(&len);
    }
    None
}

pub(super) fn pad(r: &mut Rewriter<'_>, dims: &[PadDim], value: Scalar, x: ValueId) -> Option<ValueId> {
    if dims.iter().all(PadDim::is_none) {
        return Some(x);
    }
    // Nothing lies between fewer than two elements.
    let shape = &r.type_of(x).shape;
    if dims.iter().zip(shape).any(|(d, n)| d.interior != 0 && n.is_one()) {
        let fixed = |(d, n): (&PadDim, &Dim)| PadDim {
            interior: if n.is_one() { 0 } else { d.interior },
            ..d.clone()
        };
        let dims = dims.iter().zip(shape).map(fixed).collect();
        return Some(r.emit(&Op::Pad { dims, value }, &[x]));
    }
    if shape.contains(&Dim::Fixed(0)) || r.splat(x) == Some(value) {
        let ty = ttk_ir::infer(&Op::Pad { dims: dims.into(), value }, &[r.type_of(x)]).ok()?;
        return Some(r.emit(&Op::Const { value, shape: ty.shape }, &[]));
    }
    if matches!(r.op_of(x), Op::Reshape(_)) {
        return pad_of_reshape(r, dims, value, x);
    }
    let Op::Pad { dims: first, value: inner } = r.op_of(x) else { return None };
    if *inner != value {
        return None;
    }
    // The outer interior padding spreads the inner padding too.
    let spread = |amount: &Dim, by: i64| amount.mul(&Dim::Fixed(by + 1));
    let combined = first.iter().zip(dims).map(|(a, b)| PadDim {
        low: spread(&a.low, b.interior).add(&b.low),
        high: spread(&a.high, b.interior).add(&b.high),
        interior: (a.interior + 1) * (b.interior + 1) - 1,
    });
    let combined = combined.collect();
    let x = r.input(x, 0);
    Some(r.emit(&Op::Pad { dims: combined, value }, &[x]))
}

/// An axis that is several axes joined, padded by whole steps of the first of them, is padded there: then loops over the
/// joined axis are loops over its parts, and no position has to be divided.
fn pad_of_reshape(r: &mut Rewriter<'_>, dims: &[PadDim], value: Scalar, x: ValueId) -> Option<ValueId> {
    let mut padded = dims.iter().enumerate().filter(|(_, d)| !d.is_none());
    let ((at, pad), None) = (padded.next()?, padded.next()) else { return None };
    let source = r.input(x, 0);
    let sizes =
        |v: ValueId| r.type_of(v).shape.iter().map(Dim::fixed).collect::<Option<SmallVec<[i64; 6]>>>();
    let (from, mut to) = (sizes(source)?, sizes(x)?);
    let before: i64 = to[..at].iter().product();
    let first = (0..from.len()).find(|&i| from[..i].iter().product::<i64>() == before && from[i] != 1)?;
    let end = (first + 2..=from.len()).find(|&j| from[first..j].iter().product::<i64>() == to[at])?;
    let step: i64 = from[first + 1..end].iter().product();
    let (low, high) = (pad.low.fixed()?, pad.high.fixed()?);
    if pad.interior != 0 || low % step != 0 || high % step != 0 {
        return None;
    }
    let mut inner = vec![PadDim::none(); from.len()];
    inner[first] = PadDim { low: (low / step).into(), high: (high / step).into(), interior: 0 };
    let padded = r.emit(&Op::Pad { dims: inner.into(), value }, &[source]);
    to[at] += low + high;
    Some(r.reshape(&padded, to.iter().map(|&n| Dim::Fixed(n)).collect()))
}

pub(super) fn concat(r: &mut Rewriter<'_>, axis: u8, parts: &[ValueId]) -> Option<ValueId> {
    let at = axis as usize;
    let mut changed = false;
    let mut flat: SmallVec<[ValueId; 4]> = SmallVec::new();
    for &p in parts {
        if r.type_of(p).shape[at] == Dim::Fixed(0) && parts.len() > 1 {
            changed = true;
            continue;
        }
        match r.op_of(p) {
            Op::Concat { axis: inner } if *inner == axis => {
                flat.extend(r.node(p).inputs.iter().copied());
                changed = true;
            }
            _ => flat.push(p),
        }
    }
    // Neighbours that are pieces of one tensor, or one number, are joined.
    let mut joined: SmallVec<[ValueId; 4]> = SmallVec::new();
    for p in flat {
        if let Some(&last) = joined.last()
            && let Some(whole) = join(r, at, last, p)
        {
            joined.pop();
            joined.push(whole);
            changed = true;
            continue;
        }
        joined.push(p);
    }
    match joined.as_slice() {
        [] => parts.last().copied(),
        [one] => Some(*one),
        _ if changed => Some(r.emit(&Op::Concat { axis }, &joined)),
        _ => None,
    }
}

fn join(r: &mut Rewriter<'_>, axis: usize, a: ValueId, b: ValueId) -> Option<ValueId> {
    if let (Some(x), Some(y)) = (r.splat(a), r.splat(b)) {
        let mut shape = r.shape(&a);
        shape[axis] = shape[axis].add(&r.type_of(b).shape[axis]);
        return (x == y).then(|| r.emit(&Op::Const { value: x, shape }, &[]));
    }
    let (Op::Slice(left), Op::Slice(right)) = (r.op_of(a), r.op_of(b)) else { return None };
    let source = r.input(a, 0);
    let (l, n) = (&left[axis], &right[axis]);
    let follows = r.input(b, 0) == source
        && l.step == n.step
        && n.start == l.start.add(&l.len.mul(&Dim::Fixed(l.step)))
        && (0..left.len()).all(|i| i == axis || left[i] == right[i]);
    if !follows {
        return None;
    }
    let mut dims = left.to_vec();
    dims[axis].len = l.len.add(&n.len);
    Some(r.slice(&source, dims))
}

pub(super) fn update(r: &mut Rewriter<'_>, dims: &[SliceDim], x: ValueId, value: ValueId) -> Option<ValueId> {
    let shape = r.shape(&x);
    if dims.iter().any(|d| d.len == Dim::Fixed(0)) {
        return Some(x);
    }
    if dims.iter().zip(&shape).all(|(d, n)| d.is_all(n)) {
        return Some(value);
    }
    // What is overwritten whole need not be written first.
    if matches!(r.op_of(x), Op::Update(inner) if **inner == *dims) {
        let x = r.input(x, 0);
        return Some(r.emit(&Op::Update(dims.into()), &[x, value]));
    }
    // Writing back what was read.
    if matches!(r.op_of(value), Op::Slice(read) if **read == *dims) && r.input(value, 0) == x {
        return Some(x);
    }
    // Into a constant: padding, which fuses with what comes before and after.
    let background = r.splat(x)?;
    if r.splat(value) == Some(background) {
        return Some(x);
    }
    if dims.iter().any(|d| d.step < 1) {
        return None;
    }
    let pads = dims.iter().zip(&shape).map(|(d, n)| {
        let covered = d.len.offset(-1).mul(&Dim::Fixed(d.step)).offset(1);
        PadDim { low: d.start.clone(), high: n.sub(&d.start).sub(&covered), interior: d.step - 1 }
    });
    let pads: Vec<PadDim> = pads.collect();
    let known = |d: &Dim| d.fixed().is_some_and(|v| v >= 0);
    // A symbolic amount might be negative only if the update was out of range; it was checked.
    let sound = pads
        .iter()
        .all(|p| (known(&p.low) || p.low.fixed().is_none()) && (known(&p.high) || p.high.fixed().is_none()));
    sound.then(|| r.emit(&Op::Pad { dims: pads.into(), value: background }, &[value]))
}
