//! The graph verifier: what every pass may rely on, and must leave behind.

use crate::dtype::{DType, Scalar};
use crate::expr::Atom;
use crate::graph::{Graph, ValueId};
use crate::infer::{InferError, infer};
use crate::op::{Op, PadDim, SliceDim};
use crate::shape::{Dim, Type};
use crate::text::limits::MAX_RANK;
use thiserror::Error;

/// A rule that a graph breaks. This is a defect of the compiler, or of a file.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum VerifyError {
    #[error("node {node} ({op}): operand {operand} does not come before it")]
    Order { node: u32, op: &'static str, operand: u32 },
    #[error("node {node}: {source}")]
    Infer { node: u32, source: InferError },
    #[error("node {node} ({op}): the type is recorded as {recorded}, but it is {inferred}")]
    Type { node: u32, op: &'static str, recorded: Box<Type>, inferred: Box<Type> },
    #[error("node {node} ({op}): symbol {symbol} is not the graph's")]
    Symbol { node: u32, op: &'static str, symbol: u32 },
    #[error("node {node} ({op}): a size mentions a value of a kernel")]
    KernelAtom { node: u32, op: &'static str },
    #[error("node {node} ({op}): more than {MAX_RANK} axes")]
    Rank { node: u32, op: &'static str },
    #[error("node {node} ({op}): the number of elements overflows")]
    Size { node: u32, op: &'static str },
    #[error("node {node} ({op}): a constant has bits that its type {dtype} lacks")]
    Constant { node: u32, op: &'static str, dtype: DType },
    #[error("node {node} ({op}): source line {loc} is not in the table")]
    Loc { node: u32, op: &'static str, loc: u32 },
    #[error("input {index} is not node {node}, or has another number")]
    Param { index: u32, node: u32 },
    #[error("output {index} is node {node}, which does not exist")]
    Output { index: u32, node: u32 },
}

/// Checks a graph: each operand comes before its user; each type is what [`infer`] gives; sizes mention
/// only the graph's symbols; inputs are numbered in order; outputs exist.
///
/// # Errors
/// The first rule that is broken.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    let mut params = 0u32;
    for id in graph.ids() {
        verify_node(graph, id)?;
        if let Op::Param { index, .. } = &graph.node(id).op {
            if *index != params || graph.params().get(params as usize) != Some(&id) {
                return Err(VerifyError::Param { index: *index, node: id.0 });
            }
            params += 1;
        }
    }
    if let Some(extra) = graph.params().get(params as usize) {
        return Err(VerifyError::Param { index: params, node: extra.0 });
    }
    for (index, o) in graph.outputs.iter().enumerate() {
        if o.index() >= graph.len() {
            return Err(VerifyError::Output { index: index as u32, node: o.0 });
        }
    }
    Ok(())
}

fn verify_node(graph: &Graph, id: ValueId) -> Result<(), VerifyError> {
    let node = graph.node(id);
    let (at, op) = (id.0, node.op.name());
    for operand in &node.inputs {
        if *operand >= id {
            return Err(VerifyError::Order { node: at, op, operand: operand.0 });
        }
    }
    let operands: Vec<&Type> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
    let inferred = infer(&node.op, &operands).map_err(|source| VerifyError::Infer { node: at, source })?;
    if inferred != node.ty {
        let (recorded, inferred) = (Box::new(node.ty.clone()), Box::new(inferred));
        return Err(VerifyError::Type { node: at, op, recorded, inferred });
    }
    if node.ty.rank() > MAX_RANK {
        return Err(VerifyError::Rank { node: at, op });
    }
    let mut bytes = Some(node.ty.dtype.size() as i64);
    for dim in &node.ty.shape {
        // A symbolic size is checked when its symbols have values.
        bytes = bytes.and_then(|b| b.checked_mul(dim.fixed().unwrap_or(1).max(1)));
        verify_dim(graph, at, op, dim)?;
    }
    if bytes.is_none() {
        return Err(VerifyError::Size { node: at, op });
    }
    for dim in attribute_dims(&node.op) {
        verify_dim(graph, at, op, dim)?;
    }
    if let Op::Const { value, .. } | Op::Pad { value, .. } = &node.op
        && !is_canonical(*value)
    {
        return Err(VerifyError::Constant { node: at, op, dtype: value.dtype });
    }
    if node.loc.0 as usize >= graph.locs().len() {
        return Err(VerifyError::Loc { node: at, op, loc: node.loc.0 });
    }
    Ok(())
}

/// Sizes among an operation's attributes that are not part of its result's type.
fn attribute_dims(op: &Op) -> Vec<&Dim> {
    match op {
        Op::Slice(dims) | Op::Update(dims) => {
            dims.iter().flat_map(|SliceDim { start, len, step: _ }| [start, len]).collect()
        }
        Op::Pad { dims, .. } => {
            dims.iter().flat_map(|PadDim { low, high, interior: _ }| [low, high]).collect()
        }
        Op::Fold { sizes, .. } => sizes.iter().collect(),
        // Their sizes are those of the result.
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => vec![],
        Op::Reshape(_) | Op::Expand(_) | Op::Custom { .. } => vec![],
        // No sizes at all, or only numbers.
        Op::Unary(_) | Op::Binary(_) | Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => vec![],
        Op::Permute(_) | Op::Concat { .. } | Op::Window(_) => vec![],
        Op::Gather { .. } | Op::Scatter { .. } | Op::Reduce { .. } | Op::Scan { .. } => vec![],
        Op::Argsort { .. } | Op::Dot { .. } | Op::Detach | Op::Barrier => vec![],
    }
}

fn verify_dim(graph: &Graph, node: u32, op: &'static str, dim: &Dim) -> Result<(), VerifyError> {
    let Dim::Symbolic(e) = dim else { return Ok(()) };
    let mut fault = None;
    e.for_each_leaf(&mut |atom| match atom {
        Atom::Symbol(symbol) if (*symbol as usize) < graph.symbols.len() => {}
        Atom::Symbol(symbol) => fault = Some(VerifyError::Symbol { node, op, symbol: *symbol }),
        Atom::Var(_) | Atom::Value(_) => fault = Some(VerifyError::KernelAtom { node, op }),
        // Divisions are no leaves.
        Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => {}
    });
    fault.map_or(Ok(()), Err)
}

/// Whether a constant's bits are those that its value has in its type.
pub(crate) fn is_canonical(value: Scalar) -> bool {
    match value.dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {
            value.dtype.size() == 8 || value.bits >> (8 * value.dtype.size()) == 0
        }
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
            value.dtype.int_range().is_some_and(|(low, high)| (low..=high).contains(&(value.bits as i64)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Expr;
    use crate::graph::Symbol;
    use crate::op::Unary;
    use crate::shape::shape;
    use crate::testing::{GraphOptions, random_graph};

    #[test]
    fn random_graphs_are_valid() {
        for seed in 0..300 {
            let graph = random_graph(seed, &GraphOptions { nodes: 20, ..GraphOptions::default() });
            assert_eq!(verify(&graph), Ok(()), "{graph}");
        }
    }

    #[test]
    fn faults_that_the_builder_lets_through() {
        let mut g = Graph::new("f");
        let n = Dim::symbol(0);
        let x = g.param(Type::new(DType::F32, [n.clone()].as_slice()));
        assert_eq!(verify(&g), Err(VerifyError::Symbol { node: 0, op: "param", symbol: 0 }));
        g.symbols.push(Symbol { name: "n".into() });
        assert_eq!(verify(&g), Ok(()));

        let mut bad = g.clone();
        bad.outputs.push(ValueId(7));
        assert_eq!(verify(&bad), Err(VerifyError::Output { index: 0, node: 7 }));

        let mut bad = g.clone();
        let y = bad.add(Op::Unary(Unary::Neg), &[x]).unwrap();
        assert_eq!(verify(&bad), Ok(()));
        let value = Scalar { dtype: DType::Bool, bits: 2 };
        bad.add(Op::Const { value, shape: shape(&[1]) }, &[]).unwrap();
        assert!(matches!(verify(&bad), Err(VerifyError::Constant { dtype: DType::Bool, .. })));

        let mut bad = g.clone();
        let start = Dim::from_expr(Expr::var(3));
        let dims = [SliceDim { start, len: Dim::Fixed(1), step: 1 }];
        bad.add(Op::Slice(dims.into()), &[x]).unwrap();
        assert_eq!(verify(&bad), Err(VerifyError::KernelAtom { node: 1, op: "slice" }));

        let mut bad = g;
        bad.add(Op::Reshape(shape(&[1 << 62, 1 << 62, 0])), &[x]).unwrap_err();
        let huge = Op::Const { value: Scalar::zero(DType::F32), shape: shape(&[1 << 40, 1 << 40]) };
        bad.add(huge, &[]).unwrap();
        assert!(matches!(verify(&bad), Err(VerifyError::Size { .. })));
        assert_eq!(y.0, 1);
    }
}
