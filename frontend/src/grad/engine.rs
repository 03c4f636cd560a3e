//! The backward walk over recorded values.

use super::{CustomFunction, GradMeta};
use crate::device::{Device, with_place};
use crate::error::{Error, Result};
use crate::node::{Alias, Kind, Node, Value};
use crate::record::{Recorder, set_grad_enabled};
use crate::tensor::Tensor;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use ttk_autograd::{carries_derivative, vjp_rule};
use ttk_ir::{Builder, Op};

/// How a backward pass treats the tape.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackwardOptions {
    /// Keep the tape for another pass.
    pub retain_graph: bool,
    /// Record the pass itself, so that it can be differentiated.
    pub create_graph: bool,
}

/// What the walk is for.
enum Goal<'a> {
    /// Accumulate into the leaves; only into these, if given.
    Accumulate(Option<&'a FxHashSet<usize>>),
    /// Collect the cotangents of these values and leaves.
    Collect,
}

/// One unit of the walk: a value, or a user's function with all its outputs.
enum Unit {
    Value(Value),
    Custom(Arc<CustomFunction>),
}

struct Walk {
    b: Recorder,
    queue: BinaryHeap<u64>,
    units: FxHashMap<u64, Unit>,
    cotangents: FxHashMap<u64, Value>,
    /// Cotangents of each output of a user's function.
    custom: FxHashMap<u64, Vec<Option<Value>>>,
    visited: Vec<Value>,
}

impl Walk {
    fn add(&mut self, value: &Value, cotangent: Value) {
        let id = value.id;
        match self.cotangents.remove(&id) {
            Some(already) => {
                let total = self.b.add(&already, &cotangent);
                self.cotangents.insert(id, total);
            }
            None => {
                self.cotangents.insert(id, cotangent);
                self.units.insert(id, Unit::Value(value.clone()));
                self.queue.push(id);
            }
        }
    }

    fn add_custom(&mut self, function: &Arc<CustomFunction>, index: usize, cotangent: Value) {
        let id = function.id;
        let b = &mut self.b;
        let parts = self.custom.entry(id).or_insert_with(|| {
            self.units.insert(id, Unit::Custom(function.clone()));
            self.queue.push(id);
            vec![None; function.n_outputs]
        });
        parts[index] = Some(match parts[index].take() {
            Some(already) => b.add(&already, &cotangent),
            None => cotangent,
        });
    }
}

/// `torch.autograd.backward`: gradients of `roots` into the leaves that require one.
///
/// A missing cotangent is 1 for a root of one element. With `only`, other leaves are left alone.
///
/// # Errors
/// PyTorch's: a root without a tape, no cotangent for a root of many elements, a second pass over a
/// tape that was not retained, a saved tensor that was modified in place, what hooks raise.
pub fn backward(
    roots: &[Tensor],
    cotangents: &[Option<Tensor>],
    options: BackwardOptions,
    only: Option<&[Tensor]>,
) -> Result<()> {
    let only: Option<FxHashSet<usize>> = only
        .map(|list| list.iter().filter_map(Tensor::grad_meta).map(|m| Arc::as_ptr(&m) as usize).collect());
    walk(roots, cotangents, options, &Goal::Accumulate(only.as_ref()), &FxHashMap::default()).map(drop)
}

/// `torch.autograd.grad`: the gradients of `roots` with respect to `wrt`; `None` where there is no path.
///
/// # Errors
/// As [`backward`], and [`Error::Unused`] for a `None` unless `allow_unused`.
pub fn grad(
    roots: &[Tensor],
    wrt: &[Tensor],
    cotangents: &[Option<Tensor>],
    options: BackwardOptions,
    allow_unused: bool,
) -> Result<Vec<Option<Tensor>>> {
    let mut places: FxHashMap<Place, Vec<usize>> = FxHashMap::default();
    for (i, t) in wrt.iter().enumerate() {
        if !t.requires_grad() {
            return Err(Error::WrtNoGrad);
        }
        places.entry(place_of(t)).or_default().push(i);
    }
    let found = walk(roots, cotangents, options, &Goal::Collect, &places)?;
    let mut out = vec![None; wrt.len()];
    for (place, value) in found {
        for &i in &places[&place] {
            out[i] = Some(Tensor::from_value(value.clone()));
        }
    }
    if !allow_unused && out.iter().any(Option::is_none) {
        return Err(Error::Unused);
    }
    Ok(out)
}

/// What a gradient is collected at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    Value(u64),
    Leaf(usize),
}

fn place_of(t: &Tensor) -> Place {
    if t.is_leaf()
        && let Some(meta) = t.grad_meta()
    {
        return Place::Leaf(Arc::as_ptr(&meta) as usize);
    }
    Place::Value(t.value().id)
}

fn walk(
    roots: &[Tensor],
    cotangents: &[Option<Tensor>],
    options: BackwardOptions,
    goal: &Goal<'_>,
    places: &FxHashMap<Place, Vec<usize>>,
) -> Result<FxHashMap<Place, Value>> {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_grad_enabled(self.0);
        }
    }
    let mut seeds: Vec<(Value, Value)> = Vec::new();
    for (i, root) in roots.iter().enumerate() {
        if !root.requires_grad() {
            return Err(Error::NoGrad);
        }
        let value = root.value();
        let seed = match cotangents.get(i).and_then(Option::as_ref) {
            Some(t) => {
                if t.sizes() != root.sizes() {
                    return Err(Error::runtime(format!(
                        "Mismatch in shape: grad_output[{i}] has a shape of {:?} and output[{i}] has a shape of {:?}.",
                        t.sizes().as_slice(),
                        root.sizes().as_slice()
                    )));
                }
                let mut b = Recorder::new();
                b.cast(&t.value(), root.dtype())
            }
            None if root.numel() == 1 => Recorder::with_grad(false).full_like(&value, 1.0),
            None => return Err(Error::NotScalar),
        };
        seeds.push((value, seed));
    }

    let _restore = Restore(set_grad_enabled(options.create_graph));
    let mut w = Walk {
        b: Recorder::with_grad(options.create_graph),
        queue: BinaryHeap::new(),
        units: FxHashMap::default(),
        cotangents: FxHashMap::default(),
        custom: FxHashMap::default(),
        visited: Vec::new(),
    };
    for (value, seed) in seeds {
        w.add(&value, seed);
    }
    let mut found: FxHashMap<Place, Value> = FxHashMap::default();
    while let Some(id) = w.queue.pop() {
        match w.units.remove(&id) {
            Some(Unit::Value(value)) => {
                let Some(cotangent) = w.cotangents.remove(&id) else { continue };
                let device = value.device.unwrap_or(Device::Cpu);
                with_place(device, || step(&mut w, &value, cotangent, goal, places, &mut found))?;
                w.visited.push(value);
            }
            Some(Unit::Custom(function)) => {
                let Some(parts) = w.custom.remove(&id) else { continue };
                custom_step(&mut w, &function, parts)?;
            }
            None => {}
        }
    }
    if !options.retain_graph && !options.create_graph {
        for value in &w.visited {
            value.free_tape();
            if let Kind::Alias(Alias::Custom { function, .. }) = &value.kind {
                function.inputs.lock().clear();
                (function.release)();
            }
        }
    }
    Ok(found)
}

/// Passes one value's complete cotangent on to its inputs.
fn step(
    w: &mut Walk,
    value: &Value,
    cotangent: Value,
    goal: &Goal<'_>,
    places: &FxHashMap<Place, Vec<usize>>,
    found: &mut FxHashMap<Place, Value>,
) -> Result<()> {
    let (inputs, hooks) = {
        let state = value.state.lock();
        (state.inputs.clone(), state.hooks.clone())
    };
    let mut cotangent = cotangent;
    if let Some(hooks) = hooks {
        for (_, hook) in &hooks.hooks {
            cotangent = run_hook(hook, cotangent)?;
        }
        if let Some(meta) = &hooks.retain {
            *meta.grad.lock() = Some(Tensor::from_value(cotangent.clone()));
        }
    }
    if places.contains_key(&Place::Value(value.id)) {
        found.insert(Place::Value(value.id), cotangent.clone());
    }
    match &value.kind {
        Kind::Leaf => Ok(()),
        Kind::Alias(Alias::Leaf(meta)) => accumulate(w, meta, cotangent, goal, places, found),
        Kind::Alias(Alias::Detached) => Ok(()),
        Kind::Alias(Alias::Moved) => {
            for input in inputs.iter().filter(|x| x.requires_grad) {
                let back = input.device.map_or(cotangent.clone(), |device| w.b.moved(&cotangent, device));
                w.add(input, back);
            }
            Ok(())
        }
        Kind::Alias(Alias::Custom { function, index }) => {
            check_saved(value)?;
            w.add_custom(function, *index, cotangent);
            Ok(())
        }
        Kind::Op(op) => {
            if value.tape_freed.load(Ordering::Relaxed) && (inputs.is_empty() || needs_saved(op)) {
                return Err(Error::BackwardTwice);
            }
            check_saved(value)?;
            if let Op::Custom { name, .. } = op {
                return kernel_step(w, name, &inputs, value, &cotangent);
            }
            let needs: SmallVec<[bool; 3]> = inputs
                .iter()
                .enumerate()
                .map(|(i, x)| x.requires_grad && carries_derivative(op, i, x.ty.dtype, value.ty.dtype))
                .collect();
            if !needs.contains(&true) {
                return Ok(());
            }
            crate::record::set_loc(value.loc);
            let parts = vjp_rule(&mut w.b, op, &inputs, value, &cotangent, &needs);
            for ((input, part), needed) in inputs.iter().zip(parts).zip(needs) {
                if let Some(part) = part
                    && needed
                {
                    w.add(input, part);
                }
            }
            Ok(())
        }
    }
}

/// Passes on the cotangent of a kernel that is recorded by its name. Operators have theirs tied to a derivative; a graph that was
/// traced and loaded has the kernels alone.
fn kernel_step(w: &mut Walk, name: &str, inputs: &[Value], value: &Value, cotangent: &Value) -> Result<()> {
    let Some(parts) = crate::ops::derivative_of_kernel(&mut w.b, name, inputs, value, cotangent) else {
        return Err(Error::runtime(format!("derivative for {name} in a loaded graph is not implemented")));
    };
    for (input, part) in inputs.iter().zip(parts) {
        if let Some(part) = part
            && input.requires_grad
        {
            w.add(input, part);
        }
    }
    Ok(())
}

/// Whether PyTorch would have kept (and freed) tensors for the operation's derivative.
fn needs_saved(op: &Op) -> bool {
    use ttk_ir::{Binary, Unary};
    match op {
        Op::Unary(u) => !matches!(u, Unary::Neg | Unary::Not | Unary::Floor | Unary::Round),
        Op::Binary(b) => !matches!(b, Binary::Add | Binary::Sub),
        Op::Cmp(_) | Op::Cast(_) | Op::Bitcast(_) => false,
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => false,
        Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Pad { .. } => false,
        Op::Concat { .. } | Op::Update(_) | Op::Window(_) | Op::Fold { .. } => false,
        Op::Reduce { op, .. } => *op != ttk_ir::ReduceOp::Sum,
        Op::Scan { op, .. } => *op != ttk_ir::ReduceOp::Sum,
        Op::Select | Op::Gather { .. } | Op::Scatter { .. } | Op::Argsort { .. } | Op::Dot { .. } => true,
        Op::Custom { .. } => true,
        Op::Detach | Op::Barrier => false,
    }
}

fn check_saved(value: &Node) -> Result<()> {
    let state = value.state.lock();
    for saved in &state.saved {
        let found = saved.version.load(Ordering::Relaxed);
        if found != saved.expected {
            return Err(Error::SavedModified {
                dtype: saved.torch_type(),
                shape: saved.shape.to_vec(),
                output: 0,
                producer: match &value.kind {
                    Kind::Op(op) => op.name().to_owned(),
                    Kind::Alias(Alias::Custom { function, .. }) => format!("{}Backward0", function.name),
                    Kind::Leaf | Kind::Alias(_) => "a view".to_owned(),
                },
                found,
                expected: saved.expected,
            });
        }
    }
    Ok(())
}

fn run_hook(hook: &super::Hook, cotangent: Value) -> Result<Value> {
    let t = Tensor::from_value(cotangent.clone());
    Ok(match hook(&t)? {
        Some(replaced) => replaced.value(),
        None => cotangent,
    })
}

fn accumulate(
    w: &mut Walk,
    meta: &Arc<GradMeta>,
    cotangent: Value,
    goal: &Goal<'_>,
    places: &FxHashMap<Place, Vec<usize>>,
    found: &mut FxHashMap<Place, Value>,
) -> Result<()> {
    let mut cotangent = cotangent;
    let hooks = meta.hooks.lock().clone();
    for (_, hook) in &hooks {
        cotangent = run_hook(hook, cotangent)?;
    }
    let key = Arc::as_ptr(meta) as usize;
    match goal {
        Goal::Collect => {
            let place = Place::Leaf(key);
            if places.contains_key(&place) {
                let total = match found.remove(&place) {
                    Some(already) => w.b.add(&already, &cotangent),
                    None => cotangent,
                };
                found.insert(place, total);
            }
        }
        Goal::Accumulate(only) => {
            if only.is_some_and(|set| !set.contains(&key)) {
                return Ok(());
            }
            let mut grad = meta.grad.lock();
            match &*grad {
                // PyTorch adds in place, so that who holds `p.grad` sees the sum.
                Some(existing) if !existing.requires_grad() && !cotangent.requires_grad => {
                    let total = w.b.add(&existing.value(), &cotangent);
                    existing.write(total)?;
                }
                Some(existing) => {
                    let total = w.b.add(&existing.value(), &cotangent);
                    *grad = Some(Tensor::from_value(total));
                }
                None => *grad = Some(Tensor::from_value(cotangent)),
            }
            drop(grad);
            let after = meta.after.lock().clone();
            for (_, hook) in &after {
                if let Some(t) = meta.grad.lock().clone() {
                    hook(&t)?;
                }
            }
        }
    }
    Ok(())
}

fn custom_step(w: &mut Walk, function: &Arc<CustomFunction>, parts: Vec<Option<Value>>) -> Result<()> {
    let inputs = function.inputs.lock().clone();
    if inputs.is_empty() {
        return Err(Error::BackwardTwice);
    }
    let parts: Vec<Option<Tensor>> = parts.into_iter().map(|p| p.map(Tensor::from_value)).collect();
    let results = (function.backward)(&parts)?;
    for (input, result) in inputs.iter().zip(results) {
        let (Some(input), Some(result)) = (input, result) else { continue };
        if !input.requires_grad {
            continue;
        }
        let value = result.value();
        if value.ty.shape != input.ty.shape {
            return Err(Error::runtime(format!(
                "Function {}Backward returned an invalid gradient: got {:?} but expected shape compatible with {:?}",
                function.name,
                value.dims().as_slice(),
                input.dims().as_slice()
            )));
        }
        let value = w.b.cast(&value, input.ty.dtype);
        w.add(input, value);
    }
    Ok(())
}
