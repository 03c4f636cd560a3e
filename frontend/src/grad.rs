//! Derivatives of recorded values: the tape is the recorded graph itself.

mod engine;

use crate::error::Result;
use crate::node::Value;
use crate::tensor::Tensor;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use engine::{BackwardOptions, backward, grad};

/// A function of a gradient that may replace it.
pub type Hook = Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>;

/// What a leaf tensor that requires a gradient, or one that retains its, keeps for it.
#[derive(Default)]
pub struct GradMeta {
    pub grad: Mutex<Option<Tensor>>,
    pub hooks: Mutex<Vec<(u64, Hook)>>,
    /// Called when the gradient has been accumulated.
    pub after: Mutex<Vec<(u64, Hook)>>,
}

impl fmt::Debug for GradMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GradMeta").finish_non_exhaustive()
    }
}

/// Hooks on the gradient of a value that is no leaf.
#[derive(Clone, Default)]
pub struct NodeHooks {
    pub hooks: Vec<(u64, Hook)>,
    /// Where to leave the gradient (`retain_grad`).
    pub retain: Option<Arc<GradMeta>>,
}

impl fmt::Debug for NodeHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeHooks").field("hooks", &self.hooks.len()).finish_non_exhaustive()
    }
}

static NEXT_HOOK: AtomicU64 = AtomicU64::new(1);

/// A number that names a hook, to remove it by.
pub fn next_hook_id() -> u64 {
    NEXT_HOOK.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// From the cotangents of the outputs (`None` is zero) to those of the inputs.
pub type CustomBackward = Box<dyn Fn(&[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> + Send + Sync>;

/// A function whose derivative the user wrote (`torch.autograd.Function`).
pub struct CustomFunction {
    /// Smaller than the numbers of its outputs and larger than those of its inputs.
    pub id: u64,
    pub name: String,
    /// The inputs a gradient may flow to; `None` for arguments that take none.
    pub inputs: Mutex<Vec<Option<Value>>>,
    pub n_outputs: usize,
    pub backward: CustomBackward,
    /// Lets go of what `backward` has saved, once it serves no more.
    pub release: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for CustomFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomFunction").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Keeps the gradient of a tensor that is no leaf (`retain_grad`).
///
/// # Errors
/// A tensor that does not require a gradient.
pub fn retain(t: &Tensor) -> Result<()> {
    if !t.requires_grad() {
        return Err(crate::Error::runtime("can't retain_grad on Tensor that has requires_grad=False"));
    }
    if t.is_leaf() || t.grad_meta().is_some() {
        return Ok(());
    }
    let meta = Arc::new(GradMeta::default());
    t.with_body(|b| b.retained = Some(meta.clone()));
    let value = t.value();
    value.state.lock().hooks.get_or_insert_default().retain = Some(meta);
    Ok(())
}

/// Calls `hook` with the gradient of a tensor in every backward pass; the number removes it.
///
/// # Errors
/// A tensor that does not require a gradient.
pub fn add_hook(t: &Tensor, hook: Hook) -> Result<u64> {
    if !t.requires_grad() {
        return Err(crate::Error::runtime(
            "cannot register a hook on a tensor that doesn't require gradient",
        ));
    }
    let id = next_hook_id();
    match t.grad_meta() {
        Some(meta) if t.is_leaf() => meta.hooks.lock().push((id, hook)),
        _ => t.value().state.lock().hooks.get_or_insert_default().hooks.push((id, hook)),
    }
    Ok(id)
}

/// Calls `hook` after a gradient was accumulated into a leaf; the number removes it.
///
/// # Errors
/// A tensor that is no leaf.
pub fn add_after_hook(t: &Tensor, hook: Hook) -> Result<u64> {
    match t.grad_meta() {
        Some(meta) if t.is_leaf() => {
            let id = next_hook_id();
            meta.after.lock().push((id, hook));
            Ok(id)
        }
        _ => {
            Err(crate::Error::runtime("post accumulate grad hooks cannot be registered on non-leaf tensors"))
        }
    }
}

/// Removes a hook that [`add_hook`] or [`add_after_hook`] gave the number of.
pub fn remove_hook(t: &Tensor, id: u64) {
    if let Some(meta) = t.grad_meta() {
        meta.hooks.lock().retain(|(i, _)| *i != id);
        meta.after.lock().retain(|(i, _)| *i != id);
    }
    if !t.is_leaf()
        && let Some(hooks) = &mut t.value().state.lock().hooks
    {
        hooks.hooks.retain(|(i, _)| *i != id);
    }
}

/// Ties the results of a user's function to its derivative.
///
/// `arguments` are the function's tensor arguments (`None` for others), `results` what it gave, computed
/// with derivatives off. A result without an entry in `differentiable` stays without a tape. `release` is called when a backward
/// pass has used the derivative and nobody asked for the tape to be kept.
pub fn tie_custom(
    name: &str,
    arguments: &[Option<Tensor>],
    results: &[(Tensor, bool)],
    backward: CustomBackward,
    release: Box<dyn Fn() + Send + Sync>,
) -> Vec<Tensor> {
    let inputs: Vec<Option<Value>> = arguments.iter().map(|a| a.as_ref().map(Tensor::value)).collect();
    let wanted = crate::record::grad_enabled() && inputs.iter().flatten().any(|v| v.requires_grad);
    if !wanted {
        return results.iter().map(|(t, _)| t.clone()).collect();
    }
    let function = Arc::new(CustomFunction {
        id: crate::node::next_id(),
        name: name.to_owned(),
        inputs: Mutex::new(inputs),
        n_outputs: results.len(),
        backward,
        release,
    });
    let b = crate::record::Recorder::with_grad(true);
    results
        .iter()
        .enumerate()
        .map(|(index, (t, differentiable))| {
            if !differentiable || !t.dtype().is_float() {
                return t.detach();
            }
            let value = t.detach().value();
            let alias = crate::node::Alias::Custom { function: function.clone(), index };
            Tensor::from_value(b.alias(alias, &value, true))
        })
        .collect()
}
