//! Traces: a recorded computation as a graph of its own, with its weights.

use crate::compile::cache::graph_of;
use crate::compile::extract::{Recording, Step, extract_roots};
use crate::compile::generalize::Pattern;
use crate::compile::signature::Signature;
use crate::device;
use crate::error::{Error, Result};
use crate::node::Value;
use crate::random::{self, default_generator, gpu_generator};
use crate::record::{Recorder, grad_enabled};
use crate::tensor::Tensor;
use rustc_hash::FxHashMap;
use ttk_ir::op::RandomStream;
use ttk_ir::{Builder, Graph, Op, Type, ValueId};
use ttk_runtime::Buffer;
use ttk_runtime::artifact::{Artifact, Binding, Weight};
use ttk_runtime::sync::Counted;

/// A graph and the tensors it closes over.
///
/// The graph's inputs are the arguments, then the weights.
#[derive(Clone, Debug)]
pub struct Traced {
    pub graph: Graph,
    pub n_arguments: usize,
    /// Names and tensors, in the order of the graph's inputs.
    pub weights: Vec<(String, Tensor)>,
}

/// The recorded computation of `outputs` from `arguments`, as a graph.
///
/// `named` gives names to tensors that it reads besides; others are named by their number.
///
/// # Errors
/// What goes wrong while building the graph.
pub fn trace(arguments: &[Tensor], outputs: &[Tensor], named: &[(String, Tensor)]) -> Result<Traced> {
    let roots: Vec<Value> = outputs.iter().map(Tensor::value).collect();
    let storage_value = |t: &Tensor| t.with_body(|b| b.storage.value.lock().clone());
    trace_values(&arguments.iter().map(storage_value).collect::<Vec<_>>(), &roots, named)
}

/// [`trace`] of values: what `roots` are of `arguments`, which are known.
pub(crate) fn trace_values(
    arguments: &[Value],
    roots: &[Value],
    named: &[(String, Tensor)],
) -> Result<Traced> {
    let mut recording = extract_roots(roots);
    recording.donate.iter_mut().for_each(|d| *d = false);
    // A trace has its numbers written in it, whatever they may become.
    let pattern = Pattern { signature: Signature::of(&recording), ..Pattern::default() };
    let graph = graph_of(&recording, &pattern)
        .ok_or_else(|| Error::Internal { detail: "a trace is not a well-formed graph".into() })?;

    let storage_value = |t: &Tensor| t.with_body(|b| b.storage.value.lock().clone());
    let key = |v: &Value| Counted::as_ptr(v) as usize;
    let arguments: Vec<usize> = arguments.iter().map(key).collect();
    let names: FxHashMap<usize, (&String, &Tensor)> =
        named.iter().map(|(n, t)| (key(&storage_value(t)), (n, t))).collect();

    // Inputs anew: arguments in their order, used or not, then everything else that is read.
    let mut out = Graph::like(&graph);
    out.name = "forward".into();
    let leaf_of = |a: usize| recording.leaves().position(|l| key(l) == a);
    let mut params: FxHashMap<usize, ValueId> = FxHashMap::default();
    for (&a, t) in arguments.iter().zip(outputs_types(&arguments, &recording, key)) {
        let ty = match leaf_of(a) {
            Some(i) => graph.ty(graph.params()[i]).clone(),
            None => t,
        };
        let id = out.param(ty);
        if let Some(i) = leaf_of(a) {
            params.insert(i, id);
        }
    }
    let mut weights = Vec::new();
    for (i, leaf) in recording.leaves().enumerate() {
        if params.contains_key(&i) {
            continue;
        }
        params.insert(i, out.param(graph.ty(graph.params()[i]).clone()));
        weights.push(match names.get(&key(leaf)) {
            Some((name, _)) => ((*name).clone(), Tensor::from_value(leaf.clone())),
            None => (format!("constant{i}"), Tensor::from_value(leaf.clone())),
        });
    }
    let mut ids: Vec<ValueId> = Vec::with_capacity(graph.len());
    for node in graph.nodes() {
        let id = match &node.op {
            Op::Param { index, .. } => params[&(*index as usize)],
            op => {
                let inputs: Vec<ValueId> = node.inputs.iter().map(|v| ids[v.index()]).collect();
                out.add_at(op.clone(), &inputs, node.loc)
                    .map_err(|e| Error::Internal { detail: e.to_string() })?
            }
        };
        ids.push(id);
    }
    // An output may be an input, or occur twice: the recording lists only what is computed.
    for root in roots {
        let computed = recording.outputs().position(|(_, v)| Counted::ptr_eq(v, root));
        let id = match computed {
            Some(i) => ids[graph.outputs[i].index()],
            None => resolve_output(root, &recording, &graph, &ids, &params)?,
        };
        out.outputs.push(id);
    }
    Ok(Traced { graph: out, n_arguments: arguments.len(), weights })
}

/// The type of an argument that nothing reads is not in the recording; a placeholder stands for it.
fn outputs_types(arguments: &[usize], recording: &Recording, key: impl Fn(&Value) -> usize) -> Vec<Type> {
    arguments
        .iter()
        .map(|&a| {
            let leaf = recording.leaves().find(|l| key(l) == a);
            leaf.map_or_else(|| Type::fixed(ttk_ir::DType::F32, &[]), |l| l.ty.clone())
        })
        .collect()
}

fn resolve_output(
    root: &Value,
    recording: &Recording,
    graph: &Graph,
    ids: &[ValueId],
    params: &FxHashMap<usize, ValueId>,
) -> Result<ValueId> {
    if let Some((_, at)) = recording.aliases.iter().find(|(v, _)| Counted::ptr_eq(v, root)) {
        return Ok(match recording.entry(*at) {
            (_, Step::Leaf(i)) => params[&i],
            (value, Step::Op(_)) => {
                let i = recording.outputs().position(|(_, v)| Counted::ptr_eq(v, value));
                let i = i.ok_or_else(|| Error::Internal { detail: "an output is missing".into() })?;
                ids[graph.outputs[i].index()]
            }
        });
    }
    let leaf = recording.leaves().position(|l| Counted::ptr_eq(l, root));
    leaf.map(|i| params[&i]).ok_or_else(|| Error::Internal { detail: "an output is missing".into() })
}

impl Traced {
    /// Records the graph on other arguments: derivatives flow, and it fuses with what is around it.
    ///
    /// Random numbers are drawn anew.
    ///
    /// # Errors
    /// Arguments of other sizes or types than were traced.
    pub fn call(&self, arguments: &[Tensor]) -> Result<Vec<Tensor>> {
        if arguments.len() != self.n_arguments {
            return Err(Error::type_error(format!(
                "forward() takes {} arguments, {} were given",
                self.n_arguments,
                arguments.len()
            )));
        }
        let arguments: Vec<Value> = arguments.iter().map(Tensor::value).collect();
        Ok(self.call_values(&arguments, grad_enabled())?.into_iter().map(Tensor::from_value).collect())
    }

    /// [`Traced::call`] on values.
    ///
    /// # Errors
    /// As [`Traced::call`].
    pub(crate) fn call_values(&self, arguments: &[Value], grad: bool) -> Result<Vec<Value>> {
        let mut b = Recorder::with_grad(grad);
        let mut values: Vec<Value> = Vec::with_capacity(self.graph.len());
        for node in self.graph.nodes() {
            let value = match &node.op {
                Op::Param { index, shape, dtype } => {
                    let i = *index as usize;
                    let weight = || self.weights[i - self.n_arguments].1.value();
                    let v = arguments.get(i).cloned().unwrap_or_else(weight);
                    if v.ty.shape != *shape || v.ty.dtype != *dtype {
                        return Err(Error::runtime(format!(
                            "argument {i}: expected {dtype} of sizes {:?}, got {} of sizes {:?}",
                            shape.iter().map(|d| d.fixed().unwrap_or(-1)).collect::<Vec<_>>(),
                            v.ty.dtype,
                            v.dims().as_slice()
                        )));
                    }
                    v
                }
                Op::RandomBits { stream, .. } => {
                    let sizes: Vec<i64> = node.ty.shape.iter().map(|d| d.fixed().unwrap_or(0)).collect();
                    redraw(&mut b, *stream, &sizes)?
                }
                op => {
                    let inputs: Vec<Value> = node.inputs.iter().map(|v| values[v.index()].clone()).collect();
                    b.op(op.clone(), &inputs)
                }
            };
            values.push(value);
        }
        Ok(self.graph.outputs.iter().map(|v| values[v.index()].clone()).collect())
    }
}

/// The next words of the generator that a traced stream is of.
fn redraw(b: &mut Recorder, stream: RandomStream, sizes: &[i64]) -> Result<Value> {
    match stream {
        RandomStream::Mt19937 | RandomStream::Philox => default_generator().words(b, sizes),
        RandomStream::PhiloxLanes
        | RandomStream::PhiloxPairs
        | RandomStream::PhiloxTwins
        | RandomStream::PhiloxVectors
        | RandomStream::PhiloxHalves => {
            let of = match default_generator().gpu() {
                Some(_) => default_generator(),
                None => gpu_generator(device::current()),
            };
            random::gpu::words(&of, b, stream, sizes)
        }
    }
}

impl Traced {
    /// The graph and its weights as a file's content.
    ///
    /// # Errors
    /// What goes wrong while computing a weight.
    pub fn to_artifact(&self, texts: impl IntoIterator<Item = (String, String)>) -> Result<Artifact> {
        let mut artifact = Artifact::of_graph(self.graph.clone());
        for (i, (name, t)) in self.weights.iter().enumerate() {
            let data = Buffer::from_slice(&crate::host::bytes(t)?)?;
            let ty = Type::fixed(t.dtype(), &t.sizes());
            artifact.bindings[self.n_arguments + i] = Binding::Weight { index: i as u32 };
            artifact.weights.push(Weight { name: name.clone(), ty, data });
        }
        artifact.texts.extend(texts);
        Ok(artifact)
    }

    /// The graph and weights of a file.
    pub fn from_artifact(artifact: &Artifact) -> Traced {
        // A file may bind inputs in any order; here arguments come first.
        let order = |weights: bool| {
            (0..artifact.bindings.len())
                .filter(move |&i| matches!(artifact.bindings[i], Binding::Weight { .. }) == weights)
        };
        let places: Vec<usize> = order(false).chain(order(true)).collect();
        let mut graph = Graph::like(&artifact.graph);
        let mut params: FxHashMap<usize, ValueId> = FxHashMap::default();
        for &i in &places {
            params.insert(i, graph.param(artifact.graph.ty(artifact.graph.params()[i]).clone()));
        }
        let mut ids: Vec<ValueId> = Vec::with_capacity(artifact.graph.len());
        for node in artifact.graph.nodes() {
            let inputs: Vec<ValueId> = node.inputs.iter().map(|v| ids[v.index()]).collect();
            ids.push(match &node.op {
                Op::Param { index, .. } => params[&(*index as usize)],
                op => Builder::op(&mut graph, op.clone(), &inputs),
            });
        }
        graph.outputs = artifact.graph.outputs.iter().map(|v| ids[v.index()]).collect();
        let weights = order(true).filter_map(|i| match &artifact.bindings[i] {
            Binding::Weight { index } => artifact.weights.get(*index as usize),
            Binding::Input { .. } => None,
        });
        let weights = weights.map(|w| {
            let value = crate::node::Node::leaf(w.data.clone(), w.ty.clone());
            (w.name.clone(), Tensor::from_value(value))
        });
        let weights: Vec<(String, Tensor)> = weights.collect();
        Traced { graph, n_arguments: places.len() - weights.len(), weights }
    }
}
