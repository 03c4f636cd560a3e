//! `dot` as a matrix product of strided operands, or as loops where there is no such product.

use super::emit::{Emitter, Sources, Stored};
use super::index::Ranges;
use super::loops::{Built, finish};
use super::schedule::open_nest;
use super::views::{linear, row_major, view_indices};
use super::{HalfProducts, LowerError};
use smallvec::SmallVec;
use ttk_ir::infer::dot_free_axes;
use ttk_ir::kernel::{Access, LoopKind};
use ttk_ir::program::{Gemm, Matrix, Operand};
use ttk_ir::{DType, Dim, Expr, Graph, Op, ReduceOp, ValueId};

/// Whether the target has a matrix product of this element type.
pub(crate) fn has_gemm(dtype: DType, half: HalfProducts) -> bool {
    match dtype {
        DType::F32 | DType::F64 => true,
        DType::F16 => half == HalfProducts::All,
        DType::BF16 => half != HalfProducts::None,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => false,
    }
}

/// A value as a strided view of another one that is dense and row-major.
#[derive(Clone, Debug)]
pub(crate) struct Strided {
    pub(crate) base: ValueId,
    pub(crate) offset: Expr,
    pub(crate) strides: SmallVec<[Expr; 4]>,
}

/// `v` as a strided view of the first value below its views for which `stop` holds, or of the value
/// below all of them. `None` if there is no such view.
pub(crate) fn strided(graph: &Graph, v: ValueId, stop: &dyn Fn(ValueId) -> bool) -> Option<Strided> {
    let shape = &graph.ty(v).shape;
    let mut ranges = Ranges::default();
    let mut at: SmallVec<[Expr; 4]> = SmallVec::new();
    for (i, d) in shape.iter().enumerate() {
        ranges.declare(i as u32, Expr::constant(0), d.expr().offset(-1));
        at.push(if d.is_one() { Expr::default() } else { Expr::var(i as u32) });
    }
    let mut base = v;
    while !stop(base) {
        let node = graph.node(base);
        let Some(&input) = node.inputs.first() else { break };
        match view_indices(&ranges, &node.op, &graph.ty(input).shape, &node.ty.shape, &at) {
            Some(moved) => at = moved,
            None => break,
        }
        base = input;
    }
    let mut offset = ranges.simplify(&linear(&at, &row_major(&graph.ty(base).shape)));
    let mut strides: SmallVec<[Expr; 4]> = SmallVec::new();
    for i in 0..shape.len() {
        let (step, rest) = offset.affine_in(i as u32)?;
        let mut varies = false;
        step.for_each_leaf(&mut |a| varies |= matches!(a, ttk_ir::Atom::Var(_)));
        if varies {
            return None;
        }
        strides.push(step);
        offset = rest;
    }
    Some(Strided { base, offset, strides })
}

/// An axis of the product: its size and its step in each operand that has it.
#[derive(Clone, Debug)]
struct Axis {
    size: Expr,
    a: Expr,
    b: Expr,
    c: Expr,
}

impl Axis {
    /// This axis and a more inner one as a single axis, if all steps allow it.
    fn merge(&self, inner: &Axis) -> Option<Axis> {
        let fits = |outer: &Expr, step: &Expr| *outer == step.mul(&inner.size);
        (fits(&self.a, &inner.a) && fits(&self.b, &inner.b) && fits(&self.c, &inner.c))
            .then(|| Axis { size: self.size.mul(&inner.size), ..inner.clone() })
    }
}

/// Neighbours merged where possible.
fn merged(axes: Vec<Axis>) -> Vec<Axis> {
    let mut out: Vec<Axis> = Vec::new();
    for axis in axes {
        if axis.size.is_one() {
            continue;
        }
        match out.last().and_then(|last| last.merge(&axis)) {
            Some(joined) => {
                out.pop();
                out.push(joined);
            }
            None => out.push(axis),
        }
    }
    out
}

/// Takes the axis that is to be the matrix's own: the longest, the inner of equals.
fn take_main(axes: &mut Vec<Axis>) -> Axis {
    let size = |a: &Axis| a.size.as_const().unwrap_or(i64::MAX);
    match (0..axes.len()).max_by_key(|&i| (size(&axes[i]), i)) {
        Some(i) => axes.remove(i),
        None => {
            Axis { size: Expr::constant(1), a: Expr::constant(0), b: Expr::constant(0), c: Expr::constant(0) }
        }
    }
}

/// The axes that are summed over, as few as the operands' steps allow.
fn summed(contract: &[(u8, u8)], a_shape: &[Dim], sa: &[Expr], sb: &[Expr]) -> Vec<Axis> {
    let axis = |&(x, y): &(u8, u8)| Axis {
        size: a_shape[x as usize].expr(),
        a: sa[x as usize].clone(),
        b: sb[y as usize].clone(),
        c: Expr::constant(0),
    };
    let mut sums: Vec<Axis> = contract.iter().map(axis).collect();
    // Their order is free: follow the memory of the operand that steps most.
    let key = |axis: &Axis| (axis.a.as_const().unwrap_or(i64::MAX), axis.b.as_const().unwrap_or(i64::MAX));
    sums.sort_by_key(|axis| std::cmp::Reverse(key(axis)));
    merged(sums)
}

/// Whether a `dot` is a product that sums over one axis of its operands as they lie in memory.
pub(crate) fn sums_over_one_axis(graph: &Graph, v: ValueId) -> bool {
    let node = graph.node(v);
    let Op::Dot { contract, .. } = &node.op else { return false };
    let strides = |operand: ValueId| match strided(graph, operand, &|_| false) {
        Some(view) => view.strides,
        None => row_major(&graph.ty(operand).shape),
    };
    let [a, b] = [node.inputs[0], node.inputs[1]].map(strides);
    summed(contract, &graph.ty(node.inputs[0]).shape, &a, &b).len() <= 1
}

/// The matrix product for a `dot` whose operands are strided views of stored values.
pub(crate) fn gemm(
    graph: &Graph,
    v: ValueId,
    lhs: (&Strided, &Stored),
    rhs: (&Strided, &Stored),
    out: &Stored,
) -> Option<Gemm> {
    let node = graph.node(v);
    let Op::Dot { batch, contract } = &node.op else { return None };
    let (a_shape, b_shape) = (&graph.ty(node.inputs[0]).shape, &graph.ty(node.inputs[1]).shape);
    let (a_free, b_free) = dot_free_axes(batch, contract, a_shape.len(), b_shape.len());
    let zero = Expr::constant(0);
    let (sa, sb, sc) = (&lhs.0.strides, &rhs.0.strides, &out.strides);
    let mut batches: Vec<Axis> = Vec::new();
    for (i, &(x, y)) in batch.iter().enumerate() {
        batches.push(Axis {
            size: a_shape[x as usize].expr(),
            a: sa[x as usize].clone(),
            b: sb[y as usize].clone(),
            c: sc[i].clone(),
        });
    }
    let mut rows: Vec<Axis> = Vec::new();
    for (i, &x) in a_free.iter().enumerate() {
        rows.push(Axis {
            size: a_shape[x as usize].expr(),
            a: sa[x as usize].clone(),
            b: zero.clone(),
            c: sc[batch.len() + i].clone(),
        });
    }
    let mut cols: Vec<Axis> = Vec::new();
    for (i, &y) in b_free.iter().enumerate() {
        cols.push(Axis {
            size: b_shape[y as usize].expr(),
            a: zero.clone(),
            b: sb[y as usize].clone(),
            c: sc[batch.len() + a_free.len() + i].clone(),
        });
    }
    let mut sums = summed(contract, a_shape, sa, sb);
    let (mut rows, mut cols) = (merged(rows), merged(cols));
    let (m, n, k) = (take_main(&mut rows), take_main(&mut cols), take_main(&mut sums));
    batches.extend(rows);
    batches.extend(cols);
    let batches = merged(batches);
    let matrix =
        |stored: &Stored, offset: Expr, steps: &dyn Fn(&Axis) -> Expr, row: &Expr, col: &Expr| Matrix {
            buffer: stored.buffer,
            offset,
            batch_strides: batches.iter().chain(&sums).map(steps).collect(),
            row_stride: row.clone(),
            col_stride: col.clone(),
        };
    Some(Gemm {
        dtype: node.ty.dtype,
        a: Operand::Strided(matrix(lhs.1, lhs.0.offset.clone(), &|x| x.a.clone(), &m.a, &k.a)),
        b: Operand::Strided(matrix(rhs.1, rhs.0.offset.clone(), &|x| x.b.clone(), &k.b, &n.b)),
        c: matrix(out, Expr::constant(0), &|x| x.c.clone(), &m.c, &n.c),
        m: m.size,
        n: n.size,
        k: k.size,
        batch: batches.iter().map(|x| x.size.clone()).collect(),
        reduce: sums.iter().map(|x| x.size.clone()).collect(),
        epilogue: None,
    })
}

/// A `dot` as loops: one accumulator for each element of the result.
pub(crate) fn loops(
    graph: &Graph,
    v: ValueId,
    sources: &dyn Sources,
    out: &Stored,
) -> Result<Built, LowerError> {
    let node = graph.node(v);
    let Op::Dot { batch, contract } = &node.op else {
        return Err(LowerError::NotInline { op: node.op.name() });
    };
    let (lhs, rhs) = (node.inputs[0], node.inputs[1]);
    let (a_shape, b_shape) = (graph.ty(lhs).shape.clone(), graph.ty(rhs).shape.clone());
    let (a_free, b_free) = dot_free_axes(batch, contract, a_shape.len(), b_shape.len());
    let extents: Vec<Expr> = node.ty.shape.iter().map(|d| d.expr()).collect();
    let (b, at) = open_nest(&extents);
    let mut em = Emitter::new(b, graph, sources);
    let dtype = node.ty.dtype;
    let compute = dtype.compute();
    let acc = em.b.acc(compute, ReduceOp::Sum.identity(compute));
    let mut a_at: SmallVec<[Expr; 4]> = SmallVec::from_elem(Expr::default(), a_shape.len());
    let mut b_at: SmallVec<[Expr; 4]> = SmallVec::from_elem(Expr::default(), b_shape.len());
    for (i, &(x, y)) in batch.iter().enumerate() {
        a_at[x as usize] = at[i].clone();
        b_at[y as usize] = at[i].clone();
    }
    for (i, &x) in a_free.iter().enumerate() {
        a_at[x as usize] = at[batch.len() + i].clone();
    }
    for (i, &y) in b_free.iter().enumerate() {
        b_at[y as usize] = at[batch.len() + a_free.len() + i].clone();
    }
    for (i, &(x, y)) in contract.iter().enumerate() {
        let kind = if i + 1 == contract.len() { LoopKind::Vector } else { LoopKind::Serial };
        let var = em.b.open(Expr::constant(0), a_shape[x as usize].expr(), kind);
        a_at[x as usize] = Expr::var(var.0);
        b_at[y as usize] = Expr::var(var.0);
    }
    let (pa, pb) = (em.point(&a_at), em.point(&b_at));
    let x = em.element(lhs, pa)?;
    let y = em.element(rhs, pb)?;
    let product = em.b.binary(ttk_ir::Binary::Mul, x, y);
    em.b.accumulate(acc, ReduceOp::Sum, product);
    for _ in contract {
        em.close();
    }
    let sum = em.b.read(acc, compute);
    let buffer = em.b.param(out.buffer, dtype, &out.len, Access::Write);
    em.store(buffer, &linear(&at, &out.strides), sum, dtype);
    Ok(finish(em))
}
