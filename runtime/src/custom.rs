//! Kernels that are not compiled but called by name (`Op::Custom`): linear algebra, special functions, recurrent
//! layers, a user's own.

pub mod special;

/// How the kernels `recurrent.CELL` and `recurrent.CELL_backward` lay out their results.
pub mod recurrent {
    pub use crate::execute::recurrent::{GRU, LSTM, Layout, RELU, TANH};
}

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

/// The kernel of that name: a registered one, or one of this crate's own.
pub fn find(name: &str) -> Option<CustomKernel> {
    if let Some(found) = REGISTRY.read().get(name) {
        return Some(found.clone());
    }
    special::find(name)
        .or_else(|| crate::linalg::find(name))
        .or_else(|| crate::execute::recurrent::find(name))
}

/// The elements of an `f64` operand.
pub(crate) fn numbers(input: &CustomInput<'_>) -> Result<Vec<f64>, String> {
    if input.dtype != DType::F64 {
        return Err(format!("an operand of type {}, not f64", input.dtype));
    }
    let number = |c: &[u8]| f64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]);
    Ok(input.bytes.chunks_exact(8).map(number).collect())
}

/// Writes elements over an `f64` result.
pub(crate) fn write_numbers(out: &mut CustomOutput<'_>, values: &[f64]) -> Result<(), String> {
    if out.dtype != DType::F64 || out.bytes.len() != 8 * values.len() {
        return Err(format!("a result of type {} and {} bytes", out.dtype, out.bytes.len()));
    }
    for (to, v) in out.bytes.chunks_exact_mut(8).zip(values) {
        to.copy_from_slice(&v.to_le_bytes());
    }
    Ok(())
}
