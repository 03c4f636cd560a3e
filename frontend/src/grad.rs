//! Derivatives of recorded values: the tape is the recorded graph itself.

mod engine;

use crate::node::Value;
use crate::tensor::Tensor;
use crate::error::Result;
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
}

impl fmt::Debug for CustomFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomFunction").field("name", &self.name).finish_non_exhaustive()
    }
}
