//! Products of 16-bit floats for a target without instructions for them.

use super::HalfProducts;
use super::dot::{strided, sums_over_one_axis};
use crate::error::PassError;
use smallvec::SmallVec;
use std::borrow::Cow;
use ttk_ir::{Binary, DType, Dim, Graph, Op, ReduceOp, Shape, ValueId};

/// The graph with every product of 16-bit floats that the target has not as one of `f32`, rounded once: the products are exact and the sums are
/// `f32` either way, and `f32` has a blocked matrix product. A product with a vector is written out as a sum, which reads
/// the matrix as it is: each of its elements is needed once, and widening all of them first moves three times the bytes.
///
/// # Errors
/// [`PassError::Type`], which means a defect.
pub(super) fn widen_products(graph: &Graph, target: HalfProducts) -> Result<Cow<'_, Graph>, PassError> {
    let is_half = |v: ValueId| {
        matches!(graph.node(v).op, Op::Dot { .. })
            && matches!(graph.ty(v).dtype, DType::F16 | DType::BF16)
            && !is_taken(graph, v, target)
    };
    if !graph.ids().any(is_half) {
        return Ok(Cow::Borrowed(graph));
    }
    let mut out = Graph::like(graph);
    let mut map: Vec<ValueId> = Vec::with_capacity(graph.len());
    for id in graph.ids() {
        let node = graph.node(id);
        let mut inputs: SmallVec<[ValueId; 3]> = node.inputs.iter().map(|v| map[v.index()]).collect();
        let mut add = |op: Op, inputs: &[ValueId]| {
            out.add_at(op, inputs, node.loc).map_err(|error| PassError::Type { pass: "lower", error })
        };
        let mut value = None;
        if is_half(id) {
            for x in &mut inputs {
                *x = add(Op::Cast(DType::F32), &[*x])?;
            }
            let wide = match with_vector(graph, id) {
                Some((matrix, axis)) => {
                    let shape = graph.ty(node.inputs[matrix]).shape.clone();
                    let mut along: Shape = shape.iter().map(|_| Dim::Fixed(1)).collect();
                    along[axis] = shape[axis].clone();
                    let vector = add(Op::Reshape(along), &[inputs[1 - matrix]])?;
                    let vector = add(Op::Expand(shape), &[vector])?;
                    let terms = add(Op::Binary(Binary::Mul), &[inputs[matrix], vector])?;
                    let axes = SmallVec::from_slice(&[axis as u8]);
                    let sum = add(Op::Reduce { op: ReduceOp::Sum, axes }, &[terms])?;
                    add(Op::Reshape(node.ty.shape.clone()), &[sum])?
                }
                None => add(node.op.clone(), &inputs)?,
            };
            value = Some(add(Op::Cast(node.ty.dtype), &[wide])?);
        }
        map.push(match value {
            Some(value) => value,
            None => add(node.op.clone(), &inputs)?,
        });
    }
    out.outputs = graph.outputs.iter().map(|v| map[v.index()]).collect();
    Ok(Cow::Owned(out))
}

/// Whether the target has a product of 16-bit floats as it is.
fn is_taken(graph: &Graph, product: ValueId, target: HalfProducts) -> bool {
    match target {
        HalfProducts::None => false,
        HalfProducts::All => true,
        HalfProducts::Bf16 => {
            let node = graph.node(product);
            let Op::Dot { contract, .. } = &node.op else { return false };
            if node.ty.dtype != DType::BF16 {
                return false;
            }
            match contract.as_slice() {
                [] => false,
                [_] => with_vector(graph, product).is_none_or(|(matrix, axis)| {
                    // The matrix is read as it lies in memory, two terms at a time.
                    let matrix = node.inputs[matrix];
                    let next = strided(graph, matrix, &|_| false).is_some_and(|s| s.strides[axis].is_one());
                    next && matches!(graph.ty(matrix).shape[axis], Dim::Fixed(n) if n % 2 == 0)
                }),
                // Windows of an image are read where they lie by products of `f32` alone.
                _ => {
                    let has_vector = is_vector(graph, product, 0) || is_vector(graph, product, 1);
                    !has_vector && sums_over_one_axis(graph, product)
                }
            }
        }
    }
}

/// Whether an operand of a product has no axes but those that are summed over.
fn is_vector(graph: &Graph, product: ValueId, side: usize) -> bool {
    let node = graph.node(product);
    let Op::Dot { contract, .. } = &node.op else { return false };
    let is_summed = |i: usize| contract.iter().any(|&(l, r)| [l, r][side] as usize == i);
    let shape = &graph.ty(node.inputs[side]).shape;
    shape.iter().enumerate().all(|(i, d)| is_summed(i) || d.is_one())
}

/// Which operand of a product is a matrix, and its axis that is summed over, where the other one is a vector.
fn with_vector(graph: &Graph, product: ValueId) -> Option<(usize, usize)> {
    let Op::Dot { batch, contract } = &graph.node(product).op else { return None };
    let &[(left, right)] = contract.as_slice() else { return None };
    if !batch.is_empty() {
        return None;
    }
    let axes = [left as usize, right as usize];
    (0..2).find(|&side| is_vector(graph, product, 1 - side)).map(|side| (side, axes[side]))
}
