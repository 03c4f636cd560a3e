//! Scans and scatters: loops whose order matters along one axis.

use super::LowerError;
use super::emit::{Emitter, Sources, Stored};
use super::loops::{Built, finish};
use super::schedule::open_nest;
use super::views::linear;
use smallvec::SmallVec;
use ttk_ir::kernel::{Access, LoopKind};
use ttk_ir::{Dim, Expr, Graph, Op, ValueId};

/// Opens loops over all axes of a shape but one, the outermost of them parallel; the position has 0 for
/// that one.
fn open_others<'a>(
    graph: &'a Graph,
    sources: &'a dyn Sources,
    shape: &[Dim],
    but: usize,
) -> (Emitter<'a>, SmallVec<[Expr; 4]>) {
    let others: Vec<usize> = (0..shape.len()).filter(|&i| i != but).collect();
    let extents: Vec<Expr> = others.iter().map(|&i| shape[i].expr()).collect();
    let (b, coords) = open_nest(&extents);
    let mut at: SmallVec<[Expr; 4]> = SmallVec::from_elem(Expr::default(), shape.len());
    for (i, e) in others.into_iter().zip(coords) {
        at[i] = e;
    }
    (Emitter::new(b, graph, sources), at)
}

/// A scan: a serial loop along its axis, parallel over the others.
pub(crate) fn scan(
    graph: &Graph,
    v: ValueId,
    sources: &dyn Sources,
    out: &Stored,
) -> Result<Built, LowerError> {
    let node = graph.node(v);
    let Op::Scan { op, axis, reverse } = &node.op else {
        return Err(LowerError::NotInline { op: node.op.name() });
    };
    let axis = *axis as usize;
    let dtype = node.ty.dtype;
    let compute = dtype.compute();
    let (mut em, mut at) = open_others(graph, sources, &node.ty.shape, axis);
    let acc = em.b.acc(compute, op.identity(compute));
    let extent = node.ty.shape[axis].expr();
    let i = em.b.open(Expr::constant(0), extent.clone(), LoopKind::Serial);
    let i = Expr::var(i.0);
    at[axis] = if *reverse { extent.sub(&i).offset(-1) } else { i };
    let p = em.point(&at);
    let val = em.element(node.inputs[0], p)?;
    em.b.accumulate(acc, *op, val);
    let sum = em.b.read(acc, compute);
    let buffer = em.b.param(out.buffer, dtype, &out.len, Access::Write);
    em.store(buffer, &linear(&at, &out.strides), sum, dtype);
    em.close();
    Ok(finish(em))
}

/// Elements of a row that a scatter of rows places at once.
const ROW: i64 = 128;

/// The length of the pieces that rows are placed in, where a scatter places rows: the same index for a whole one.
fn row_piece(graph: &Graph, index: ValueId, axis: usize) -> Option<i64> {
    let node = graph.node(index);
    let last = node.ty.shape.len() - 1;
    let repeated = matches!(node.op, Op::Expand(_)) && graph.ty(node.inputs[0]).shape[last].is_one();
    let Dim::Fixed(n) = node.ty.shape[last] else { return None };
    if axis == last || !repeated {
        return None;
    }
    // Pieces of one length, and of whole vectors.
    (1..=ROW / 16).rev().map(|k| 16 * k).find(|piece| n % piece == 0)
}

/// A scatter: copies the operand, unless it has been copied, then places the updates in order. Parallel over
/// the axes that are not scattered. `in_rows`: where rows are placed, a piece of one is placed at once.
pub(crate) fn scatter(
    graph: &Graph,
    v: ValueId,
    sources: &dyn Sources,
    out: &Stored,
    copies: bool,
    in_rows: bool,
) -> Result<Built, LowerError> {
    let node = graph.node(v);
    let Op::Scatter { axis, mode } = &node.op else {
        return Err(LowerError::NotInline { op: node.op.name() });
    };
    let axis = *axis as usize;
    let dtype = node.ty.dtype;
    let (operand, index, updates) = (node.inputs[0], node.inputs[1], node.inputs[2]);
    let shape = &node.ty.shape;
    let last = shape.len() - 1;
    let piece = if in_rows { row_piece(graph, index, axis) } else { None };
    // Along the last axis the nest is over pieces.
    let mut outer = shape.clone();
    if let (Some(piece), Dim::Fixed(n)) = (piece, &shape[last]) {
        outer[last] = Dim::Fixed(n / piece);
    }
    let (mut em, mut at) = open_others(graph, sources, &outer, axis);
    let buffer = em.b.param(out.buffer, dtype, &out.len, Access::Write);
    if let Some(piece) = piece {
        at[last] = at[last].scale(piece);
    }
    let first = at[last].clone();
    // Opens a loop over the elements of a piece of a row; without pieces there is one, for which no loop is needed.
    let open_piece = |em: &mut Emitter<'_>, at: &mut SmallVec<[Expr; 4]>| {
        if let Some(piece) = piece {
            let lane = em.b.open(first.clone(), first.offset(piece), LoopKind::Vector);
            at[last] = Expr::var(lane.0);
        }
    };

    if copies {
        let kind = if piece.is_some() { LoopKind::Serial } else { LoopKind::Vector };
        let i = em.b.open(Expr::constant(0), shape[axis].expr(), kind);
        at[axis] = Expr::var(i.0);
        open_piece(&mut em, &mut at);
        let p = em.point(&at);
        let val = em.element(operand, p)?;
        em.store(buffer, &linear(&at, &out.strides), val, dtype);
        if piece.is_some() {
            em.close();
        }
        em.close();
    }

    let count = graph.ty(index).shape[axis].expr();
    let i = em.b.open(Expr::constant(0), count, LoopKind::Serial);
    at[axis] = Expr::var(i.0);
    at[last] = if axis == last { at[last].clone() } else { first.clone() };
    let p = em.point(&at);
    let position = em.element(index, p)?;
    let update = if piece.is_some() {
        // The index is the same for the whole piece.
        let place = em.b.checked(position, &shape[axis].expr());
        open_piece(&mut em, &mut at);
        let p = em.point(&at);
        let update = em.element(updates, p)?;
        at[axis] = place;
        update
    } else {
        let update = em.element(updates, p)?;
        at[axis] = em.b.checked(position, &shape[axis].expr());
        update
    };
    let place = linear(&at, &out.strides);
    let value = match mode.combine() {
        None => update,
        Some(combine) => {
            let raw = em.b.load_here(buffer, &place, dtype);
            let before = em.b.cast(raw, dtype.compute());
            em.b.binary(combine, before, update)
        }
    };
    em.store(buffer, &place, value, dtype);
    if piece.is_some() {
        em.close();
    }
    em.close();
    Ok(finish(em))
}
