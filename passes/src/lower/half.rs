//! Products of 16-bit floats for a target without instructions for them.

use crate::error::PassError;
use smallvec::SmallVec;
use std::borrow::Cow;
use ttk_ir::{DType, Graph, Op, ValueId};

/// The graph with every product of 16-bit floats as one of `f32`, rounded once: the products are exact and the sums are
/// `f32` either way, and `f32` has a blocked matrix product.
///
/// # Errors
/// [`PassError::Type`], which means a defect.
pub(super) fn widen_products(graph: &Graph) -> Result<Cow<'_, Graph>, PassError> {
    let is_half = |v: ValueId| {
        matches!(graph.node(v).op, Op::Dot { .. }) && matches!(graph.ty(v).dtype, DType::F16 | DType::BF16)
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
            let wide = add(node.op.clone(), &inputs)?;
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
