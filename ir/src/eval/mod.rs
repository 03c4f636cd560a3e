//! The reference interpreter of the graph IR: what each operation means, written to be read.
//!
//! Elementwise operations on floats are computed in double precision and rounded once to their type;
//! reductions, scans and dots accumulate in double precision and round once. Integers wrap. Every
//! other way of running a graph is tested against this one.

mod elementwise;
mod indexed;
pub mod scalar;
mod structured;
mod tensor;
mod views;
mod walk;

pub use tensor::{Mismatch, Tensor, read_scalar, write_scalar};

use crate::dtype::{DType, Scalar};
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Op, RandomStream};
use crate::random::random_words;
use crate::shape::{Dim, Type};
use thiserror::Error;

/// No tensor of the interpreter has more elements than this.
pub const MAX_ELEMENTS: i64 = 1 << 32;

/// Why a graph could not be evaluated.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum EvalError {
    #[error("expected {expected} inputs, got {got}")]
    InputCount { expected: usize, got: usize },
    #[error("input {index}: expected {expected}, got {got}")]
    InputType { index: usize, expected: Box<Type>, got: Box<Type> },
    #[error("expected values for {expected} symbols, got {got}")]
    SymbolCount { expected: usize, got: usize },
    #[error("symbol {name} is {value}, but a symbol is at least 1")]
    SymbolValue { name: String, value: i64 },
    #[error("{op}: a size of {dims:?} is negative or their product is too large")]
    Size { op: &'static str, dims: Vec<i64> },
    #[error("{op}: index {index} is out of range for an axis of size {extent}")]
    IndexOutOfRange { op: &'static str, index: i64, extent: i64 },
    #[error("{op}: positions {start} + i*{step} for i < {len} leave an axis of size {extent}")]
    SliceOutOfRange { op: &'static str, start: i64, len: i64, step: i64, extent: i64 },
    #[error("{op}: sizes that were to be equal for all symbols differ: {left:?} and {right:?}")]
    ShapeMismatch { op: &'static str, left: Vec<i64>, right: Vec<i64> },
    #[error("custom operation {name:?} is not known to the interpreter")]
    UnknownCustom { name: String },
}

/// The operations behind `custom`, by name.
pub trait CustomOps {
    /// The result, of type `ty`; `None` when the name is not known.
    fn call(&self, name: &str, attributes: &[i64], inputs: &[&Tensor], ty: &Type) -> Option<Tensor>;
}

/// No custom operation at all.
#[derive(Clone, Copy, Debug)]
pub struct NoCustomOps;

impl CustomOps for NoCustomOps {
    fn call(&self, _: &str, _: &[i64], _: &[&Tensor], _: &Type) -> Option<Tensor> {
        None
    }
}

/// The outputs of a graph on `inputs`, with a value for each of its symbols.
///
/// # Errors
/// Inputs of other types than the graph's, an index out of range, a size that comes out negative, or a
/// custom operation.
pub fn eval(graph: &Graph, inputs: &[Tensor], symbols: &[i64]) -> Result<Vec<Tensor>, EvalError> {
    eval_with(graph, inputs, symbols, &NoCustomOps)
}

/// [`eval`] with the custom operations that the graph may call.
///
/// # Errors
/// As [`eval`].
pub fn eval_with(
    graph: &Graph,
    inputs: &[Tensor],
    symbols: &[i64],
    custom: &dyn CustomOps,
) -> Result<Vec<Tensor>, EvalError> {
    let values = run(graph, inputs, symbols, custom, &graph.outputs)?;
    Ok(graph.outputs.iter().filter_map(|o| values[o.index()].clone()).collect())
}

/// The value of every node that was asked for or is live, for tests that look inside; `None` for the others.
///
/// # Errors
/// As [`eval`].
pub fn eval_all(
    graph: &Graph,
    inputs: &[Tensor],
    symbols: &[i64],
    custom: &dyn CustomOps,
) -> Result<Vec<Option<Tensor>>, EvalError> {
    let all: Vec<ValueId> = graph.ids().collect();
    run(graph, inputs, symbols, custom, &all)
}

/// The values of the symbols that make the inputs' types the graph's, when each symbol stands alone as
/// the size of some axis; `None` when one does not, or the inputs contradict each other.
pub fn solve_symbols(graph: &Graph, inputs: &[Tensor]) -> Option<Vec<i64>> {
    let mut values: Vec<Option<i64>> = vec![None; graph.symbols.len()];
    for (&p, input) in graph.params().iter().zip(inputs) {
        let shape = &graph.ty(p).shape;
        if shape.len() != input.rank() {
            return None;
        }
        for (dim, &size) in shape.iter().zip(&input.dims) {
            for (s, value) in values.iter_mut().enumerate() {
                if *dim == Dim::symbol(s as u32) && value.replace(size).is_some_and(|old| old != size) {
                    return None;
                }
            }
        }
    }
    values.into_iter().collect()
}

/// One operation on operands that fit it; `dims` is the shape of the result.
///
/// # Errors
/// As [`eval`].
pub fn eval_op(
    op: &Op,
    operands: &[&Tensor],
    dims: &[i64],
    symbols: &[i64],
    custom: &dyn CustomOps,
) -> Result<Tensor, EvalError> {
    let name = op.name();
    check_size(name, dims)?;
    match op {
        // Inputs are placed by the caller.
        Op::Param { dtype, .. } => Ok(Tensor::zeros(*dtype, dims)),
        Op::Const { value, .. } => Ok(Tensor::full(*value, dims)),
        Op::Iota { axis, dtype, .. } => Ok(views::iota(*dtype, dims, *axis as usize)),
        Op::RandomBits { stream, .. } => Ok(random_bits(*stream, operands[0], dims)),
        Op::Unary(u) => Ok(elementwise::unary(*u, operands[0])),
        Op::Binary(b) => {
            same_dims(name, operands[0], operands[1])?;
            Ok(elementwise::binary(*b, operands[0], operands[1]))
        }
        Op::Cmp(c) => {
            same_dims(name, operands[0], operands[1])?;
            Ok(elementwise::cmp(*c, operands[0], operands[1]))
        }
        Op::Select => {
            same_dims(name, operands[0], operands[1])?;
            same_dims(name, operands[1], operands[2])?;
            Ok(elementwise::select(operands[0], operands[1], operands[2]))
        }
        Op::Cast(dtype) => Ok(operands[0].cast(*dtype)),
        // The bytes stay; only their reading changes.
        Op::Bitcast(dtype) => Ok(Tensor { dtype: *dtype, ..operands[0].clone() }),
        Op::Reshape(_) => {
            let same = operands[0].dims.iter().product::<i64>() == dims.iter().product::<i64>();
            if !same {
                let left = operands[0].dims.clone();
                return Err(EvalError::ShapeMismatch { op: name, left, right: dims.to_vec() });
            }
            Ok(Tensor { dims: dims.to_vec(), ..operands[0].clone() })
        }
        Op::Permute(perm) => Ok(views::permute(operands[0], perm)),
        Op::Expand(_) => views::expand(operands[0], dims),
        Op::Slice(slices) => views::slice(operands[0], slices, symbols),
        Op::Pad { dims: pads, value } => Ok(views::pad(operands[0], pads, *value, dims, symbols)),
        Op::Concat { axis } => views::concat(operands, *axis as usize, dims),
        Op::Update(slices) => views::update(operands[0], operands[1], slices, symbols),
        Op::Window(windows) => Ok(views::window(operands[0], windows, dims)),
        Op::Fold { dims: windows, .. } => Ok(structured::fold(operands[0], windows, dims)),
        Op::Gather { axis } => indexed::gather(operands[0], operands[1], *axis as usize),
        Op::Scatter { axis, mode } => {
            indexed::scatter(operands[0], operands[1], operands[2], *axis as usize, *mode)
        }
        Op::Reduce { op, axes } => Ok(structured::reduce(*op, operands[0], axes)),
        Op::Scan { op, axis, reverse } => Ok(structured::scan(*op, operands[0], *axis as usize, *reverse)),
        Op::Argsort { axis, descending } => Ok(structured::argsort(operands[0], *axis as usize, *descending)),
        Op::Dot { batch, contract } => structured::dot(operands[0], operands[1], batch, contract),
        Op::Detach | Op::Barrier => Ok(operands[0].clone()),
        Op::Custom { name, attributes, dtype, .. } => custom
            .call(name, attributes, operands, &Type::fixed(*dtype, dims))
            .ok_or_else(|| EvalError::UnknownCustom { name: name.to_string() }),
    }
}

/// Evaluates what `wanted` depends on, freeing each other value after its last use.
fn run(
    graph: &Graph,
    inputs: &[Tensor],
    symbols: &[i64],
    custom: &dyn CustomOps,
    wanted: &[ValueId],
) -> Result<Vec<Option<Tensor>>, EvalError> {
    check_inputs(graph, inputs, symbols)?;
    let mut uses = vec![0u32; graph.len()];
    for w in wanted {
        uses[w.index()] += 1;
    }
    for id in graph.ids().rev() {
        if uses[id.index()] > 0 {
            for input in &graph.node(id).inputs {
                uses[input.index()] += 1;
            }
        }
    }
    let mut values: Vec<Option<Tensor>> = vec![None; graph.len()];
    for id in graph.ids() {
        if uses[id.index()] == 0 {
            continue;
        }
        let node = graph.node(id);
        let value = match &node.op {
            Op::Param { index, .. } => inputs[*index as usize].clone(),
            _ => eval_node(node, &values, symbols, custom)?,
        };
        values[id.index()] = Some(value);
        for input in &node.inputs {
            uses[input.index()] -= 1;
            if uses[input.index()] == 0 {
                values[input.index()] = None;
            }
        }
    }
    Ok(values)
}

fn eval_node(
    node: &Node,
    values: &[Option<Tensor>],
    symbols: &[i64],
    custom: &dyn CustomOps,
) -> Result<Tensor, EvalError> {
    let missing = Tensor::zeros(DType::Bool, &[]);
    let operands: Vec<&Tensor> =
        node.inputs.iter().map(|i| values[i.index()].as_ref().unwrap_or(&missing)).collect();
    let dims: Vec<i64> = node.ty.shape.iter().map(|d| d.eval(symbols)).collect();
    eval_op(&node.op, &operands, &dims, symbols, custom)
}

fn check_inputs(graph: &Graph, inputs: &[Tensor], symbols: &[i64]) -> Result<(), EvalError> {
    if symbols.len() != graph.symbols.len() {
        return Err(EvalError::SymbolCount { expected: graph.symbols.len(), got: symbols.len() });
    }
    for (symbol, &value) in graph.symbols.iter().zip(symbols) {
        if value < 1 {
            return Err(EvalError::SymbolValue { name: symbol.name.clone(), value });
        }
    }
    if inputs.len() != graph.params().len() {
        return Err(EvalError::InputCount { expected: graph.params().len(), got: inputs.len() });
    }
    for (index, (&p, input)) in graph.params().iter().zip(inputs).enumerate() {
        let expected = graph.ty(p);
        let dims: Vec<i64> = expected.shape.iter().map(|d| d.eval(symbols)).collect();
        if expected.dtype != input.dtype || dims != input.dims {
            return Err(EvalError::InputType {
                index,
                expected: Box::new(expected.clone()),
                got: Box::new(input.ty()),
            });
        }
    }
    Ok(())
}

fn check_size(op: &'static str, dims: &[i64]) -> Result<(), EvalError> {
    let numel = dims.iter().try_fold(1i64, |n, &d| if d < 0 { None } else { n.checked_mul(d) });
    if numel.is_some_and(|n| n <= MAX_ELEMENTS) {
        return Ok(());
    }
    Err(EvalError::Size { op, dims: dims.to_vec() })
}

fn same_dims(op: &'static str, a: &Tensor, b: &Tensor) -> Result<(), EvalError> {
    if a.dims == b.dims {
        return Ok(());
    }
    Err(EvalError::ShapeMismatch { op, left: a.dims.clone(), right: b.dims.clone() })
}

fn random_bits(stream: RandomStream, state: &Tensor, dims: &[i64]) -> Tensor {
    let mut out = Tensor::zeros(DType::I32, dims);
    let state = state.to_i64();
    let mut words = vec![0; out.len()];
    random_words(stream, &state, &mut words);
    for (i, &w) in words.iter().enumerate() {
        out.set(i, Scalar::from_i64(DType::I32, w as i32 as i64));
    }
    out
}
