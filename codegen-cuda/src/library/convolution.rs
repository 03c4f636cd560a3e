//! Which products are convolutions: sums over taps and channels of products of windows, which lowering has as strides.
//!
//! Each axis of such a product belongs to two of its three tensors: items and positions to the images on both sides,
//! channels and taps to the images `x` and the filter, the other channels to the filter and the images `y`. Where `x` has a
//! position and a tap along one axis, it is read at `position * stride + tap * dilation`. Any reading of the
//! strides that comes out even is a right one; which of them is natural is only a matter of speed.

use super::Printed;
use ttk_ir::library::{Convolution, Direction, Filter, Images};
use ttk_ir::{DType, Expr};

/// A, B and C of the product, by number.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// Strides of windows and dilations beyond this are none of a convolution's.
const MOST_STEP: i64 = 16;

/// Groups that are convolutions by themselves, at most.
const MOST_CALLS: i64 = 16;

/// An axis and its stride in each of the three tensors: 0 in the one that has it not.
#[derive(Clone, Debug)]
struct Axis {
    size: Expr,
    strides: [i64; 3],
}

/// An axis of `x` along which windows move.
#[derive(Clone, Debug)]
struct Spatial {
    position: Option<Axis>,
    tap: Option<Axis>,
    /// Elements of `x` between neighbours.
    unit: i64,
    stride: i64,
    dilation: i64,
}

/// Which tensors of the product are the images and the filter.
#[derive(Clone, Copy)]
struct Roles {
    x: usize,
    filter: usize,
    y: usize,
}

/// The convolution that a product over several axes is.
pub(super) fn convolution(p: &Printed<'_>) -> Option<Convolution> {
    let axes = axes(p)?;
    // A result that is laid out as a filter is one: as windows against the other operand, large taps, it reads as well.
    let roles = [(A, C, B), (B, C, A), (A, B, C), (B, A, C)];
    roles.into_iter().find_map(|(x, filter, y)| read(p, &axes, Roles { x, filter, y }))
}

fn axes(p: &Printed<'_>) -> Option<Vec<Axis>> {
    let g = p.gemm;
    let views = [p.a.1, p.b.1, p.c.1];
    let mut out = Vec::new();
    let mut add = |size: &Expr, strides: [Option<i64>; 3]| {
        let [Some(a), Some(b), Some(c)] = strides else { return false };
        if !size.is_one() {
            out.push(Axis { size: size.clone(), strides: [a, b, c] });
        }
        true
    };
    let batches = g.batch.len();
    for (i, size) in g.batch.iter().chain(&g.reduce).enumerate() {
        let stride = |v: usize| views[v].item_strides.get(i).map_or(Some(0), Expr::as_const);
        let c = if i < batches { stride(C) } else { Some(0) };
        if !add(size, [stride(A), stride(B), c]) {
            return None;
        }
    }
    let (row, col) = (|v: usize| views[v].row_stride.as_const(), |v: usize| views[v].col_stride.as_const());
    let all = add(&g.m, [row(A), Some(0), row(C)])
        && add(&g.n, [Some(0), col(B), col(C)])
        && add(&g.k, [col(A), row(B), Some(0)]);
    // An axis of one tensor alone is a sum of that.
    let absent = |axis: &Axis| axis.strides.iter().filter(|s| **s == 0).count();
    let groups = out.iter().filter(|a| absent(a) == 0).count();
    (all && groups <= 1 && out.iter().all(|a| absent(a) <= 1)).then_some(out)
}

fn read(p: &Printed<'_>, axes: &[Axis], roles: Roles) -> Option<Convolution> {
    let Roles { x, filter, y } = roles;
    // What all three have is the axis of groups, each of which has channels of its own.
    let group = axes.iter().find(|a| !a.strides.contains(&0));
    let groups = group.map_or(Some(1), |g| g.size.as_const())?;
    if group.is_some_and(|g| g.strides.iter().any(|s| *s < 0)) {
        return None;
    }
    let lacks = |t: usize| axes.iter().filter(move |a| a.strides[t] == 0).cloned().collect::<Vec<_>>();
    let (mut inner, mut outer, mut channels) = (lacks(y), lacks(filter), lacks(x));
    if channels.len() > 1 || inner.iter().chain(&outer).any(|a| a.strides[x] <= 0) {
        return None;
    }
    // The filter's axes from the innermost on: columns, rows, planes, channels of `x`.
    inner.sort_by_key(|a| a.strides[filter].abs());
    outer.sort_by_key(|a| a.strides[x]);
    let columns = spatial(&mut inner, &mut outer, x);
    columns.tap.as_ref()?;
    let rows = spatial(&mut inner, &mut outer, x);
    let planes = spatial(&mut inner, &mut outer, x);
    if inner.len() > 1 || outer.len() > 1 {
        return None;
    }
    let (channel, item, out_channel) = (inner.pop(), outer.pop(), channels.pop());

    // The filter is dense, taps innermost, forwards or backwards.
    let one = || Expr::constant(1);
    let size = |a: &Option<Axis>| a.as_ref().map_or_else(one, |a| a.size.clone());
    let taps = |along: &Spatial| size(&along.tap).as_const();
    let (s, r, t) = (taps(&columns)?, taps(&rows)?, taps(&planes)?);
    let step = |a: &Option<Axis>| a.as_ref().map(|a| a.strides[filter]);
    let (step_s, step_r, step_t) = (step(&columns.tap).unwrap_or(1), step(&rows.tap), step(&planes.tap));
    let flipped = step_s < 0;
    let all = s * r * t;
    if step_s.abs() != 1
        || step_r.is_some_and(|e| e != s * step_s)
        || step_t.is_some_and(|e| e != r * s * step_s)
    {
        return None;
    }
    let place = |inside: &Option<Axis>, around: &Option<Axis>| {
        let near = step(inside).is_none_or(|e| e == all);
        let far = match (step(around), size(inside).as_const()) {
            (None, _) => true,
            (Some(e), Some(len)) => e == len * all,
            (Some(_), None) => false,
        };
        near && far
    };
    // Whether the channels of `x` lie inside those of `y`, as in the filter of a convolution of `x`.
    let straight = place(&channel, &out_channel);
    if !straight && !place(&out_channel, &channel) {
        return None;
    }
    // Where groups lie around their channels, in the images and in the filter, a library takes them all at once; else
    // each is a convolution by itself.
    let mut apart = None;
    if let Some(g) = group {
        let around = |t: usize, channel: &Option<Axis>| match channel {
            Some(c) => c.size.as_const().is_some_and(|n| g.strides[t] == n * c.strides[t]),
            None => true,
        };
        let of_one = size(&channel).as_const()? * size(&out_channel).as_const()? * all;
        if g.strides[filter] != of_one || !around(x, &channel) || !around(y, &out_channel) {
            apart = Some(g);
        }
    }
    let (times, group) = if apart.is_some() { (groups, None) } else { (1, group) };
    let groups = if times > 1 { 1 } else { groups };
    if times > MOST_CALLS {
        return None;
    }
    let view = |t: usize| match t {
        A => p.a,
        B => p.b,
        _ => p.c,
    };
    let begin = if flipped { all - 1 } else { 0 };
    let offset = view(filter).1.offset.offset(-begin);

    let images = |tensor: usize, channel: &Option<Axis>, windows: bool| {
        let along = |s: &Spatial| {
            let positions = size(&s.position);
            if windows {
                (positions.offset(-1).scale(s.stride).offset(reach(s) + 1), s.unit)
            } else {
                (positions, s.position.as_ref().map_or(1, |a| a.strides[tensor]))
            }
        };
        let ((d, plane), (h, row), (w, col)) = (along(&planes), along(&rows), along(&columns));
        let stride = |a: &Option<Axis>| a.as_ref().map_or(1, |a| a.strides[tensor]);
        let of_channels = channel.as_ref().or(group).map_or(1, |a| a.strides[tensor]);
        Images {
            memory: view(tensor).0.clone(),
            offset: view(tensor).1.offset.clone(),
            sizes: [size(&item), size(channel).scale(groups), d, h, w],
            strides: [stride(&item), of_channels, plane, row, col],
        }
    };
    let (from, to) = (images(x, &channel, true), images(y, &out_channel, false));
    let (k, c) = (size(&out_channel), size(&channel));
    let [t, r, s] = [t, r, s].map(Expr::constant);
    let mut steps = apart.map_or([0; 3], |g| [g.strides[x], g.strides[filter], g.strides[y]]);
    let (direction, sizes, padding, x, y, flipped) = if straight {
        let direction = if filter == C { Direction::Filter } else { Direction::Forward };
        (direction, [k.scale(groups), c, t, r, s], [0; 3], from, to, flipped)
    } else {
        // Windows of `x` against a filter whose axes of channels are exchanged: the gradient with respect to the data
        // of a convolution by that filter, `x` being what comes from behind. There the chain rule reads the
        // filter backwards, so that one which is read forwards here is flipped.
        let padding = [reach(&planes), reach(&rows), reach(&columns)];
        steps.swap(0, 2);
        (Direction::Data, [c.scale(groups), k, t, r, s], padding, to, from, !flipped)
    };
    // Steps of windows of what comes from behind, or a filter that is computed backwards, no library has.
    let stride = [planes.stride, rows.stride, columns.stride];
    match direction {
        Direction::Forward => {}
        Direction::Data if filter == C || stride != [1; 3] => return None,
        Direction::Filter if flipped => return None,
        Direction::Data | Direction::Filter => {}
    }
    Some(Convolution {
        dtype: p.gemm.dtype,
        direction,
        x,
        y,
        filter: Filter { memory: view(filter).0.clone(), offset, sizes },
        stride,
        padding,
        dilation: [planes.dilation, rows.dilation, columns.dilation],
        groups,
        times,
        steps,
        flipped,
        tf32: p.tf32 && p.gemm.dtype == DType::F32,
    })
}

/// Elements of `x`, in units, from the first tap to the last.
fn reach(s: &Spatial) -> i64 {
    let taps = s.tap.as_ref().and_then(|t| t.size.as_const()).unwrap_or(1);
    (taps - 1) * s.dilation
}

/// Takes the innermost axis of the filter that is left, if it is one of taps, and the positions that windows of it
/// move along.
fn spatial(inner: &mut Vec<Axis>, outer: &mut Vec<Axis>, x: usize) -> Spatial {
    // Of one axis each it cannot be told whether they are channels and items; that is what they are taken for.
    let sure = inner.len() + outer.len() > 2;
    if let Some(tap) = inner.first().filter(|_| sure) {
        for at in 0..outer.len() {
            let (along, step) = (outer[at].strides[x], tap.strides[x]);
            let unit = gcd(along, step);
            let (stride, dilation) = (along / unit, step / unit);
            if stride <= MOST_STEP && dilation <= MOST_STEP.min(4 * stride) {
                let (position, tap) = (Some(outer.remove(at)), Some(inner.remove(0)));
                return Spatial { position, tap, unit, stride, dilation };
            }
        }
    }
    let position = (outer.len() > 1).then(|| outer.remove(0));
    let unit = position.as_ref().map_or(1, |p| p.strides[x]);
    Spatial { position, tap: None, unit, stride: 1, dilation: 1 }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
