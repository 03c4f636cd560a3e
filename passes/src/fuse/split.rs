//! Operations that are cut before their loops are made.
//!
//! Reductions of many elements to few are cut in two, so that the first half has work for many cores. The cut depends on sizes
//! alone, never on the number of threads: sums come out the same everywhere.
//!
//! What joins many values joins some of them at a time. A loop chooses among all that it joins at every element: with hundreds,
//! as the derivative of a long loop has them, both its code and its work would grow with their square.

use crate::lower::LowerError;
use smallvec::SmallVec;
use std::borrow::Cow;
use ttk_ir::op::Axes;
use ttk_ir::{Dim, Graph, Node, Op, ReduceOp, Shape, ValueId};

/// A reduction with at least as many results as this has parallel work enough.
const ROWS: i64 = 16;
/// One to fewer results, of at least this many elements a row, is cut.
const LARGE: i64 = 1 << 15;
/// How many elements the first half takes at a time, at least and at most.
const CHUNK: (i64, i64) = (4096, 1 << 14);
/// Results that lie next to each other in memory, along an axis that is kept, are the lanes of one loop: so
/// many of them are one row as far as parallel work goes.
const LANES: i64 = 64;

/// Of more values than the first of these, so many as the second are joined at a time. Fewer are joined faster at once than twice.
const MANY: (usize, usize) = (64, 16);
/// The same where a choice is made for each element, and not for rows of them: of values joined along their last axis, of at least
/// `LONG` elements together, as those of unknown sizes may be.
const MANY_ALONG: (usize, usize) = (16, 8);
const LONG: i64 = 1 << 14;

/// How many values a node joins at a time, if that is not all of them.
fn joined(graph: &Graph, v: ValueId) -> Option<usize> {
    let node = graph.node(v);
    let Op::Concat { axis } = node.op else { return None };
    let along = axis as usize + 1 == node.ty.rank() && node.ty.numel().fixed().is_none_or(|n| n >= LONG);
    let (many, each) = if along { MANY_ALONG } else { MANY };
    (node.inputs.len() > many).then_some(each)
}

/// The graph with large reductions in two steps, and with values joined a few at a time.
pub(crate) fn split(graph: &Graph) -> Result<Cow<'_, Graph>, LowerError> {
    if !graph.ids().any(|v| joined(graph, v).is_some() || cut(graph, v).is_some()) {
        return Ok(Cow::Borrowed(graph));
    }
    let mut out = Graph::like(graph);
    let mut map: Vec<ValueId> = Vec::with_capacity(graph.len());
    for v in graph.ids() {
        let Node { op, inputs, ty, loc } = graph.node(v);
        let broken = |_| LowerError::NotInline { op: op.name() };
        let inputs: SmallVec<[ValueId; 3]> = inputs.iter().map(|x| map[x.index()]).collect();
        let new = match (op, cut(graph, v), joined(graph, v)) {
            (Op::Reduce { op: reduce, .. }, Some(cut), _) => {
                let shaped = out.add_at(Op::Reshape(cut.shape), &inputs, *loc).map_err(broken)?;
                let first = reduce_at(&mut out, *reduce, cut.first, shaped, *loc).map_err(broken)?;
                let second = reduce_at(&mut out, *reduce, cut.second, first, *loc).map_err(broken)?;
                out.add_at(Op::Reshape(ty.shape.clone()), &[second], *loc).map_err(broken)?
            }
            (Op::Concat { axis }, _, Some(each)) => {
                join(&mut out, *axis, inputs, each, *loc).map_err(broken)?
            }
            _ => out.add_at(op.clone(), &inputs, *loc).map_err(broken)?,
        };
        map.push(new);
    }
    out.outputs = graph.outputs.iter().map(|o| map[o.index()]).collect();
    Ok(Cow::Owned(out))
}

/// Joins values along an axis, so many at a time at most. What is joined first is there before the rest of it begins: [`super::forced`].
fn join(
    g: &mut Graph,
    axis: u8,
    mut parts: SmallVec<[ValueId; 3]>,
    most: usize,
    loc: ttk_ir::LocId,
) -> Result<ValueId, ttk_ir::InferError> {
    while parts.len() > most {
        let each = parts.len().div_ceil(parts.len().div_ceil(most));
        parts = parts
            .chunks(each)
            .map(|some| {
                let joined = g.add_at(Op::Concat { axis }, some, loc)?;
                g.add_at(Op::Barrier, &[joined], loc)
            })
            .collect::<Result<_, _>>()?;
    }
    g.add_at(Op::Concat { axis }, &parts, loc)
}

fn reduce_at(
    g: &mut Graph,
    op: ReduceOp,
    axes: Axes,
    x: ValueId,
    loc: ttk_ir::LocId,
) -> Result<ValueId, ttk_ir::InferError> {
    g.add_at(Op::Reduce { op, axes }, &[x], loc)
}

/// How to cut a reduction.
struct Cut {
    /// The operand with at most one axis in two.
    shape: Shape,
    first: Axes,
    second: Axes,
}

fn cut(graph: &Graph, v: ValueId) -> Option<Cut> {
    let node = graph.node(v);
    let Op::Reduce { axes, .. } = &node.op else { return None };
    let shape = &graph.ty(node.inputs[0]).shape;
    let sizes: Vec<i64> = shape.iter().map(Dim::fixed).collect::<Option<_>>()?;
    let product = |keep: &dyn Fn(u8) -> bool| -> i64 {
        (0..sizes.len()).filter(|&i| keep(i as u8)).map(|i| sizes[i]).product()
    };
    let lanes = match sizes.last() {
        Some(&last) if !axes.contains(&(sizes.len() as u8 - 1)) => last.clamp(1, LANES),
        _ => 1,
    };
    let (rows, terms) = (product(&|a| !axes.contains(&a)) / lanes, product(&|a| axes.contains(&a)));
    if rows >= ROWS || terms.saturating_mul(lanes) < LARGE {
        return None;
    }
    // From the innermost reduced axis outwards until a chunk is full.
    let mut count = lanes;
    let mut at = axes.len();
    while at > 0 && count < CHUNK.0 {
        let size = sizes[axes[at - 1] as usize];
        if count * size > CHUNK.1 {
            break;
        }
        count *= size;
        at -= 1;
    }
    let (inside, outside) = (&axes[at..], &axes[..at]);
    if count >= CHUNK.0 && !outside.is_empty() {
        return Some(Cut { shape: shape.clone(), first: inside.into(), second: outside.into() });
    }
    // The next axis is too long, or there is none left: cut it where it divides.
    let (axis, inside, outside) = match outside.split_last() {
        Some((&last, rest)) => (last, inside, rest),
        None => return None,
    };
    let size = sizes[axis as usize];
    let part = (1..=CHUNK.1 / count).rev().find(|&d| size % d == 0 && size / d > 1)?;
    if part * count < CHUNK.0 / 8 {
        return None;
    }
    let mut new: Shape = shape.clone();
    new[axis as usize] = Dim::Fixed(size / part);
    new.insert(axis as usize + 1, Dim::Fixed(part));
    let moved = |a: u8| if a > axis { a + 1 } else { a };
    let mut first: Axes = inside.iter().map(|&a| moved(a)).collect();
    first.push(axis + 1);
    first.sort();
    let mut second: Axes = outside.into();
    second.push(axis);
    second.sort();
    Some(Cut { shape: new, first, second })
}
