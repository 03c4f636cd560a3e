//! Reverse mode on whole graphs.

use crate::tape::{Tape, backward};
use smallvec::SmallVec;
use thiserror::Error;
use ttk_ir::{Builder, DType, Graph, LocId, Op, Type, ValueId};

/// Why a graph cannot be differentiated as asked.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum GradError {
    #[error("value {value:?} is not one of the graph's {len}")]
    NoSuchValue { value: ValueId, len: usize },
    #[error("value {value:?} has element type {dtype}, which has no derivative")]
    NotDifferentiable { value: ValueId, dtype: DType },
}

/// What [`vjp`] puts into its result.
#[derive(Clone, Copy, Debug, Default)]
pub struct VjpOptions {
    /// The original outputs come before the gradients.
    pub keep_outputs: bool,
}

/// A graph that computes the vector-Jacobian product of `outputs` with respect to `wrt`.
///
/// Its inputs are those of `graph`, then one cotangent for each of `outputs`, of the same type. Its
/// outputs are `graph`'s own, if they are kept, then one gradient for each of `wrt`, of its type; one
/// that nothing depends on is zeros.
///
/// # Errors
/// A value that the graph does not have, or an output or a `wrt` that is not floating point.
pub fn vjp(
    graph: &Graph,
    outputs: &[ValueId],
    wrt: &[ValueId],
    options: VjpOptions,
) -> Result<Graph, GradError> {
    check(graph, outputs.iter().chain(wrt))?;
    let mut out = graph.clone();
    out.name = format!("{}_vjp", graph.name);
    let seeds: Vec<_> = outputs.iter().map(|&y| (y, out.param(graph.ty(y).clone()))).collect();
    let mut tape = Located { graph: &mut out, loc: LocId(0) };
    let found = backward(&mut tape, &seeds, wrt);
    let gradients = wrt.iter().zip(found).map(|(v, gradient)| match gradient {
        Some(gradient) => gradient,
        None => out.zeros(graph.ty(*v)),
    });
    let gradients: Vec<ValueId> = gradients.collect();
    if !options.keep_outputs {
        out.outputs.clear();
    }
    out.outputs.extend(gradients);
    Ok(out)
}

pub(crate) fn check<'a>(graph: &Graph, values: impl Iterator<Item = &'a ValueId>) -> Result<(), GradError> {
    for &value in values {
        if value.index() >= graph.len() {
            return Err(GradError::NoSuchValue { value, len: graph.len() });
        }
        let dtype = graph.ty(value).dtype;
        if !dtype.is_float() {
            return Err(GradError::NotDifferentiable { value, dtype });
        }
    }
    Ok(())
}

/// A graph under construction whose new nodes take the source line of the node they derive from.
pub(crate) struct Located<'g> {
    pub(crate) graph: &'g mut Graph,
    pub(crate) loc: LocId,
}

impl Builder for Located<'_> {
    type Value = ValueId;

    fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        match self.graph.add_at(op, inputs, self.loc) {
            Ok(id) => id,
            Err(error) => panic!("a derivative rule broke a type rule: {error}"),
        }
    }

    fn ty<'a>(&'a self, value: &'a ValueId) -> &'a Type {
        self.graph.ty(*value)
    }
}

impl Tape for Located<'_> {
    type Key = ValueId;

    fn key(&self, value: &ValueId) -> ValueId {
        *value
    }

    fn made_by(&self, value: &ValueId) -> (Op, SmallVec<[ValueId; 3]>) {
        self.graph.made_by(value)
    }

    fn derive_from(&mut self, value: &ValueId) {
        self.loc = self.graph.node(*value).loc;
    }
}
