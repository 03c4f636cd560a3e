//! Kernels that are not compiled but called by name (`Op::Custom`): linear algebra, a user's own.

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use std::sync::{Arc, LazyLock};
use ttk_ir::DType;

/// A dense row-major operand of a custom kernel.
#[derive(Debug)]
pub struct CustomInput<'a> {
    pub dtype: DType,
    pub shape: &'a [i64],
    pub bytes: &'a [u8],
}

/// The result to fill in.
#[derive(Debug)]
pub struct CustomOutput<'a> {
    pub dtype: DType,
    pub shape: &'a [i64],
    pub bytes: &'a mut [u8],
}

/// `(attributes, inputs, output)`; an error is the reason, in words for the user.
pub type CustomKernel =
    Arc<dyn Fn(&[i64], &[CustomInput<'_>], CustomOutput<'_>) -> Result<(), String> + Send + Sync>;

static REGISTRY: LazyLock<RwLock<FxHashMap<String, CustomKernel>>> = LazyLock::new(RwLock::default);

/// Makes a kernel known under `name`; plans made before keep the one they found.
pub fn register(name: impl Into<String>, kernel: CustomKernel) {
    REGISTRY.write().insert(name.into(), kernel);
}

/// The kernel of that name.
pub fn find(name: &str) -> Option<CustomKernel> {
    REGISTRY.read().get(name).cloned()
}
