//! Forward mode: tangents pushed along the graph.

use crate::graph::{GradError, Located, check};
use crate::rules::{carries_derivative, first_zeros, running_extreme_positions, vjp_rule};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use ttk_ir::{Builder, Graph, LocId, Op, ReduceOp, ScatterOp, Type, ValueId};

/// The tangent of the result of `op`, given those of its operands (`None` is zero).
///
/// A linear operation is applied to the tangents. The Jacobian of an elementwise operation is diagonal,
/// hence its own transpose, so that its [`vjp_rule`] serves; so do the weights of a reduction.
pub fn jvp_rule<B: Builder>(
    b: &mut B,
    op: &Op,
    inputs: &[B::Value],
    output: &B::Value,
    tangents: &[Option<B::Value>],
) -> Option<B::Value> {
    let ty = b.ty(output).clone();
    let live = |i: usize| carries_derivative(op, i, b.dtype(&inputs[i]), ty.dtype) && tangents[i].is_some();
    let live: SmallVec<[bool; 3]> = (0..inputs.len()).map(live).collect();
    if !live.contains(&true) {
        return None;
    }
    match op {
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => None,
        Op::Cmp(_) | Op::Bitcast(_) | Op::Argsort { .. } | Op::Detach | Op::Custom { .. } => None,

        Op::Unary(_) | Op::Binary(_) => {
            let mut sum = None;
            for i in (0..inputs.len()).filter(|&i| live[i]) {
                let tangent = tangents[i].as_ref()?;
                let needs: SmallVec<[bool; 3]> = (0..inputs.len()).map(|k| k == i).collect();
                let part = vjp_rule(b, op, inputs, output, tangent, &needs)[i].take();
                sum = add(b, sum, part);
            }
            sum
        }
        Op::Select => {
            let yes = tangents[1].clone().unwrap_or_else(|| b.zeros(&ty));
            let no = tangents[2].clone().unwrap_or_else(|| b.zeros(&ty));
            Some(b.select(&inputs[0], &yes, &no))
        }

        // Linear in the one operand.
        Op::Cast(_) | Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) => {
            linear(b, op, tangents)
        }
        Op::Window(_) | Op::Fold { .. } | Op::Barrier => linear(b, op, tangents),
        Op::Pad { dims, .. } => Some(b.pad(tangents[0].as_ref()?, dims.to_vec(), 0.0)),
        // Linear in all operands together.
        Op::Concat { .. } | Op::Update(_) => {
            let all = full(b, inputs, tangents);
            Some(b.op(op.clone(), &all))
        }
        Op::Gather { axis } => Some(b.gather(tangents[0].as_ref()?, &inputs[1], *axis as usize)),
        Op::Dot { .. } => {
            let left = tangents[0].as_ref().map(|t| b.op(op.clone(), &[t.clone(), inputs[1].clone()]));
            let right = tangents[1].as_ref().map(|t| b.op(op.clone(), &[inputs[0].clone(), t.clone()]));
            add(b, left, right)
        }

        Op::Scatter { axis, mode } => {
            let [x, _, updates] = <[B::Value; 3]>::try_from(full(b, inputs, tangents)).ok()?;
            let place = |b: &mut B, mode: ScatterOp, x: B::Value, updates: B::Value| {
                b.op(Op::Scatter { axis: *axis, mode }, &[x, inputs[1].clone(), updates])
            };
            match mode {
                ScatterOp::Set | ScatterOp::Add => Some(place(b, *mode, x, updates)),
                // Each element's weight in its place is its cotangent when the result's is 1.
                ScatterOp::Mul | ScatterOp::Max | ScatterOp::Min => {
                    let ones = b.full_like(output, 1.0);
                    let weights = vjp_rule(b, op, inputs, output, &ones, &[true, false, true]);
                    let x = b.mul(weights[0].as_ref()?, &x);
                    let updates = b.mul(weights[2].as_ref()?, &updates);
                    Some(place(b, ScatterOp::Add, x, updates))
                }
            }
        }
        Op::Reduce { op: reduce, axes } => {
            let tangent = tangents[0].as_ref()?;
            let axes: Vec<usize> = axes.iter().map(|&a| a as usize).collect();
            match reduce {
                ReduceOp::Sum => Some(b.reduce(ReduceOp::Sum, tangent, &axes)),
                ReduceOp::Prod | ReduceOp::Max | ReduceOp::Min => {
                    let ones = b.full_like(output, 1.0);
                    let weights = vjp_rule(b, op, inputs, output, &ones, &[true])[0].take()?;
                    let terms = b.mul(&weights, tangent);
                    Some(b.reduce(ReduceOp::Sum, &terms, &axes))
                }
            }
        }
        Op::Scan { op: scan, axis, reverse } => {
            let tangent = tangents[0].as_ref()?;
            match scan {
                ReduceOp::Sum => linear(b, op, tangents),
                ReduceOp::Prod => Some(running_product(b, *axis, *reverse, &inputs[0], output, tangent)),
                ReduceOp::Max | ReduceOp::Min => {
                    let index = running_extreme_positions(b, *axis, *reverse, &inputs[0], output);
                    Some(b.gather(tangent, &index, *axis as usize))
                }
            }
        }
    }
}

fn linear<B: Builder>(b: &mut B, op: &Op, tangents: &[Option<B::Value>]) -> Option<B::Value> {
    let tangent = tangents[0].clone()?;
    Some(b.op(op.clone(), &[tangent]))
}

fn add<B: Builder>(b: &mut B, x: Option<B::Value>, y: Option<B::Value>) -> Option<B::Value> {
    match (x, y) {
        (Some(x), Some(y)) => Some(b.add(&x, &y)),
        (x, y) => x.or(y),
    }
}

/// The tangents with zeros written out.
fn full<B: Builder>(b: &mut B, inputs: &[B::Value], tangents: &[Option<B::Value>]) -> Vec<B::Value> {
    let mut out = Vec::with_capacity(inputs.len());
    for (x, t) in inputs.iter().zip(tangents) {
        let ty = b.ty(x).clone();
        out.push(t.clone().unwrap_or_else(|| b.zeros(&ty)));
    }
    out
}

/// `out` times the running sum of `tangent / x`, the first zero of the row left out; from that zero on
/// `out` is 0, and the tangent there counts, times the product of everything else.
fn running_product<B: Builder>(
    b: &mut B,
    axis: u8,
    reverse: bool,
    x: &B::Value,
    out: &B::Value,
    tangent: &B::Value,
) -> B::Value {
    let zeros = first_zeros(b, axis, reverse, x);
    let zero = b.full_like(x, 0.0);
    let scan = |b: &mut B, op: ReduceOp, v: B::Value| b.op(Op::Scan { op, axis, reverse }, &[v]);
    let ratio = b.div(tangent, &zeros.nonzero);
    let ratio = b.select(&zeros.first, &zero, &ratio);
    let ratios = scan(b, ReduceOp::Sum, ratio);
    let of_others = b.mul(out, &ratios);
    let at_zero = b.select(&zeros.first, tangent, &zero);
    let held = scan(b, ReduceOp::Sum, at_zero);
    let without = scan(b, ReduceOp::Prod, zeros.replaced);
    let of_zero = b.mul(&held, &without);
    b.add(&of_others, &of_zero)
}

/// A graph that computes `outputs` and their tangents, given those of `wrt`.
///
/// Its inputs are those of `graph`, then one tangent for each of `wrt`, of the same type. Its outputs
/// are the `outputs`, then their tangents.
///
/// # Errors
/// A value that the graph does not have, or an output or a `wrt` that is not floating point.
pub fn jvp(graph: &Graph, outputs: &[ValueId], wrt: &[ValueId]) -> Result<Graph, GradError> {
    check(graph, outputs.iter().chain(wrt))?;
    let mut out = graph.clone();
    out.name = format!("{}_jvp", graph.name);
    let mut tangents: FxHashMap<ValueId, ValueId> = FxHashMap::default();
    for &v in wrt {
        let ty: Type = graph.ty(v).clone();
        tangents.insert(v, out.param(ty));
    }
    for id in graph.ids() {
        let node = graph.node(id);
        let own: SmallVec<[Option<ValueId>; 3]> =
            node.inputs.iter().map(|v| tangents.get(v).copied()).collect();
        if tangents.contains_key(&id) || own.iter().all(Option::is_none) {
            continue;
        }
        let mut located = Located { graph: &mut out, loc: node.loc };
        if let Some(t) = jvp_rule(&mut located, &node.op, &node.inputs, &id, &own) {
            tangents.insert(id, t);
        }
    }
    let mut located = Located { graph: &mut out, loc: LocId(0) };
    let ends = outputs.iter().map(|y| match tangents.get(y) {
        Some(&t) => t,
        None => located.zeros(graph.ty(*y)),
    });
    let ends: Vec<ValueId> = ends.collect();
    out.outputs = outputs.to_vec();
    out.outputs.extend(ends);
    Ok(out)
}
