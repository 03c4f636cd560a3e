//! The structural cache: recordings that were compiled before, found without running a pass.

use super::backend::{self, CompileOptions, Compiled};
use super::extract::{Recording, Step};
use super::generalize::{Arguments, Pattern};
use super::signature::{Signature, with_dims};
use crate::counters;
use crate::device;
use crate::error::{Error, Result};
use crate::node::Kind;
use crate::source;
use rustc_hash::FxHashMap;
use ttk_ir::graph::Symbol;
use ttk_ir::{Dim, Graph, Op, Scalar, Shape, Type, ValueId};
use ttk_runtime::sync::Counted;

/// A compiled plan and the recordings it serves.
#[derive(Debug)]
struct Plan {
    pattern: Pattern,
    compiled: Counted<Compiled>,
}

/// What was compiled of one structure.
#[derive(Debug, Default)]
struct Family {
    /// Exact ones before general ones.
    plans: Vec<Plan>,
    /// The sizes of recordings that had no plan: half of them the first, half of them the last.
    seen: Vec<Vec<i64>>,
}

/// So many are kept.
const SEEN: usize = 64;

/// Plans by the hash of their structure.
#[derive(Debug, Default)]
pub struct PlanCache {
    plans: FxHashMap<u64, Family>,
    /// That of the recording which was looked for last.
    signature: Signature,
}

impl PlanCache {
    /// The plan for a recording, compiled if there is none, and its parameters.
    ///
    /// # Errors
    /// A failure of the compiler.
    pub fn plan_for(&mut self, r: &Recording) -> Result<(Counted<Compiled>, Arguments)> {
        self.signature.fill(r);
        let signature = &self.signature;
        let Family { plans, seen } = self.plans.entry(signature.hash()).or_default();
        for plan in plans.iter() {
            if let Some(arguments) = plan.pattern.matches(signature) {
                counters::add(&counters::CACHE_HITS, 1);
                return Ok((plan.compiled.clone(), arguments));
            }
        }
        counters::add(&counters::CACHE_MISSES, 1);
        let widened = plans.iter().rev().find_map(|p| p.pattern.widened(signature, seen));
        if seen.len() == SEEN {
            seen.remove(SEEN / 2);
        }
        seen.push(signature.dims.clone());
        let reason = match &widened {
            Some(p) => MissReason::Differs { sizes: p.dims.len(), scalars: p.lifted.len() },
            None => MissReason::NewStructure { operations: r.len() },
        };
        crate::log::cache_miss(&reason);
        if let Some(pattern) = widened
            && let Some(arguments) = pattern.matches(signature)
            && let Some(graph) = graph_of(r, &pattern)
        {
            let compiled = Counted::new(backend::compile_graph(&graph, &options(r, &pattern))?);
            plans.push(Plan { pattern, compiled: compiled.clone() });
            return Ok((compiled, arguments));
        }
        let pattern = Pattern::exact(signature.clone());
        let arguments = pattern.matches(&pattern.signature).unwrap_or_default();
        let Some(graph) = graph_of(r, &pattern) else {
            return Err(Error::Internal { detail: "a recording is not a well-formed graph".into() });
        };
        let compiled = Counted::new(backend::compile_graph(&graph, &options(r, &pattern))?);
        let general = plans.iter().position(|p| !p.pattern.symbols.is_empty()).unwrap_or(plans.len());
        plans.insert(general, Plan { pattern, compiled: compiled.clone() });
        Ok((compiled, arguments))
    }

    /// How many plans there are.
    pub fn len(&self) -> usize {
        self.plans.values().map(|family| family.plans.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    pub fn clear(&mut self) {
        self.plans.clear();
    }
}

/// Why a recording had to be compiled.
#[derive(Debug)]
pub enum MissReason {
    NewStructure {
        operations: usize,
    },
    /// The structure is known with other numbers; so many are parameters from now on.
    Differs {
        sizes: usize,
        scalars: usize,
    },
}

fn options(r: &Recording, pattern: &Pattern) -> CompileOptions {
    let mut donate = r.donate.clone();
    donate.extend(pattern.lifted.iter().map(|_| false));
    CompileOptions { donate, device: r.device, tf32: device::tf32(), ..CompileOptions::default() }
}

/// The recording as a graph with the parameters of `pattern`: inputs are the leaves, then the lifted
/// scalars.
///
/// `None` when the guess at symbolic sizes breaks a type rule or gives other sizes than were recorded.
pub fn graph_of(r: &Recording, pattern: &Pattern) -> Option<Graph> {
    let mut graph = Graph::new("step");
    graph.symbols = (0..pattern.symbols.len()).map(|i| Symbol { name: format!("n{i}") }).collect();
    let symbols: Vec<i64> =
        pattern.symbols.iter().map(|&(at, add)| pattern.signature.dims[at] + add).collect();
    let mut at = 0;
    let mut hole = pattern.dims.iter().peekable();
    let mut next = || {
        let dim = match hole.next_if(|h| h.at == at) {
            Some(h) => h.dim.clone(),
            None => Dim::Fixed(pattern.signature.dims[at]),
        };
        at += 1;
        dim
    };
    // Inputs come first, in order; their sizes stand first in the order of entries, too, but between
    // those of operations, so all operations are rewritten before the graph is filled.
    let mut rewritten: Vec<Option<Op>> = Vec::with_capacity(r.len());
    let mut inputs: Vec<Type> = Vec::with_capacity(r.leaves().len());
    for (value, step) in r.entries() {
        rewritten.push(match step {
            Step::Leaf(_) => {
                let ty = &value.ty;
                let shape: Shape = ty.shape.iter().map(|_| next()).collect();
                inputs.push(Type { dtype: ty.dtype, shape });
                None
            }
            Step::Op(_) => match &value.kind {
                Kind::Op(op) => Some(with_dims(op, &mut next)),
                Kind::Leaf | Kind::Alias(_) => return None,
            },
        });
    }
    let params: Vec<ValueId> = inputs.into_iter().map(|ty| graph.param(ty)).collect();
    let scalar_inputs: Vec<ValueId> = pattern
        .lifted
        .iter()
        .map(|&at| graph.param(Type::new(pattern.signature.scalars[at].dtype, Shape::new())))
        .collect();

    let mut scalar_at = 0;
    let mut lifted = pattern.scalars.iter().peekable();
    let mut ids: Vec<ValueId> = Vec::with_capacity(r.len());
    for ((value, step), op) in r.entries().zip(rewritten) {
        let id = match (step, op) {
            (Step::Op(operands), Some(op)) => {
                let loc = match source::lookup(value.loc) {
                    Some(loc) => graph.loc_id(loc),
                    None => ttk_ir::LocId::default(),
                };
                let id = if let Op::Const { shape, .. } = &op {
                    let lift = lifted.next_if(|h| h.0 == scalar_at).map(|h| scalar_inputs[h.1]);
                    scalar_at += 1;
                    match lift {
                        Some(param) => splat(&mut graph, param, shape, loc)?,
                        None => graph.add_at(op, &[], loc).ok()?,
                    }
                } else {
                    let inputs: Vec<ValueId> = operands.iter().map(|&i| ids[i as usize]).collect();
                    match graph.add_at(op, &inputs, loc) {
                        Ok(id) => id,
                        Err(e) => {
                            crate::log::say("cache", || format!("the guess at sizes does not hold: {e}"));
                            return None;
                        }
                    }
                };
                let recorded = value.ty.shape.iter().map(|d| d.fixed());
                let symbolic = graph.ty(id).shape.iter().map(|d| Some(d.eval(&symbols)));
                if !recorded.eq(symbolic) {
                    crate::log::say("cache", || {
                        format!("sizes of {} are not what was recorded", value.ty.dtype)
                    });
                    return None;
                }
                id
            }
            (Step::Leaf(i), _) => params[i],
            (Step::Op(_), None) => return None,
        };
        ids.push(id);
    }
    graph.outputs = r.outputs().map(|(at, _)| ids[at as usize]).collect();
    Some(graph)
}

/// A 0-d value repeated to a shape.
fn splat(graph: &mut Graph, scalar: ValueId, shape: &Shape, loc: ttk_ir::LocId) -> Option<ValueId> {
    if shape.is_empty() {
        return Some(scalar);
    }
    let ones: Shape = shape.iter().map(|_| Dim::Fixed(1)).collect();
    let x = graph.add_at(Op::Reshape(ones.clone()), &[scalar], loc).ok()?;
    if ones == *shape {
        return Some(x);
    }
    graph.add_at(Op::Expand(shape.clone()), &[x], loc).ok()
}

/// The bytes of a scalar in its element type, little-endian.
pub fn scalar_bytes(s: Scalar) -> ([u8; 8], usize) {
    (s.bits.to_le_bytes(), s.dtype.size())
}
