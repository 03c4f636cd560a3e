//! Automatic casts: operators that compute in a lower precision, or in `f32`, whatever their operands have.
//!
//! The lists are PyTorch's (`aten/src/ATen/autocast_mode.h`, "Autocast Op Reference"). As there, only calls that give new
//! tensors are cast, and only operands on the device whose autocast is on; `f64` stays.

use crate::device::Device;
use crate::ops::Arg;
use crate::record::Recorder;
use crate::tensor::Tensor;
use rustc_hash::FxHashMap;
use std::cell::Cell;
use std::sync::LazyLock;
use ttk_ir::{Builder, DType};

/// A kind of device, with an autocast of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Cpu,
    Cuda,
}

thread_local! {
    /// What the operators of this thread compute in, on the processor and on GPUs.
    static DTYPES: Cell<[Option<DType>; 2]> = const { Cell::new([None; 2]) };
}

/// The precision that operators of this thread lower theirs to; `None`: they do not.
pub fn set(kind: Kind, dtype: Option<DType>) {
    let mut dtypes = DTYPES.get();
    dtypes[kind as usize] = dtype;
    DTYPES.set(dtypes);
}

/// Whether any operator of this thread casts its operands.
pub fn is_on() -> bool {
    DTYPES.get() != [None; 2]
}

/// What an operator computes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Precision {
    Lower,
    Single,
}

/// Operators that lower their precision: on both kinds of device, and on GPUs alone.
const LOWER: [&str; 19] = [
    "matmul",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "addbmm",
    "vecdot",
    "linear",
    "chain_matmul",
    "multi_dot",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "prelu",
    "scaled_dot_product_attention",
];
const LOWER_CUDA: [&str; 3] = ["mv", "addmv", "addr"];

/// Operators that compute in `f32`: on both kinds of device, on the processor, and on GPUs.
const SINGLE: [&str; 17] = [
    "prod",
    "cdist",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "nll_loss",
    "kl_div",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "poisson_nll_loss",
    "margin_ranking_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
];
const SINGLE_CPU: [&str; 35] = [
    "avg_pool3d",
    "max_pool3d",
    "binary_cross_entropy",
    "huber_loss",
    "ctc_loss",
    "quantile",
    "nanquantile",
    "trace",
    "polar",
    "cholesky",
    "cholesky_ex",
    "cholesky_inverse",
    "cholesky_solve",
    "inverse",
    "inv",
    "inv_ex",
    "pinv",
    "pinverse",
    "lu_solve",
    "lu_factor",
    "solve",
    "solve_ex",
    "lstsq",
    "orgqr",
    "ormqr",
    "householder_product",
    "tensorinv",
    "tensorsolve",
    "matrix_rank",
    "cond",
    "qr",
    "svd",
    "svdvals",
    "eigh",
    "eigvalsh",
];
const SINGLE_CUDA: [&str; 31] = [
    "acos",
    "asin",
    "cosh",
    "erfinv",
    "exp",
    "expm1",
    "log",
    "log10",
    "log2",
    "log1p",
    "reciprocal",
    "rsqrt",
    "sinh",
    "tan",
    "pow",
    "softplus",
    "layer_norm",
    "group_norm",
    "norm",
    "cosine_similarity",
    "pdist",
    "renorm",
    "logsumexp",
    "cumprod",
    "cumsum",
    "dist",
    "sum",
    "softmax",
    "log_softmax",
    "softmin",
    "normalize",
];

static PRECISIONS: LazyLock<[FxHashMap<&str, Precision>; 2]> = LazyLock::new(|| {
    let of = |lower: &'static [&'static str], single: &'static [&'static str]| {
        let lower = LOWER.iter().chain(lower).map(|&name| (name, Precision::Lower));
        lower.chain(SINGLE.iter().chain(single).map(|&name| (name, Precision::Single))).collect()
    };
    [of(&[], &SINGLE_CPU), of(&LOWER_CUDA, &SINGLE_CUDA)]
});

/// What an operator computes in on each kind of device; `None` where it takes operands as they are.
fn wanted(operator: &str) -> Option<[Option<DType>; 2]> {
    let wanted = [Kind::Cpu, Kind::Cuda].map(|kind| {
        let lower = DTYPES.get()[kind as usize]?;
        PRECISIONS[kind as usize].get(operator).map(|precision| match precision {
            Precision::Lower => lower,
            Precision::Single => DType::F32,
        })
    });
    (wanted != [None; 2]).then_some(wanted)
}

fn cast_to(wanted: [Option<DType>; 2], t: &Tensor) -> Tensor {
    let kind = match t.device() {
        Device::Cpu => Kind::Cpu,
        Device::Cuda(_) => Kind::Cuda,
        Device::Meta => return t.clone(),
    };
    let own = t.dtype();
    match wanted[kind as usize] {
        Some(dtype) if own.is_float() && own != DType::F64 && own != dtype => {
            Tensor::from_value(Recorder::new().cast(&t.value(), dtype))
        }
        _ => t.clone(),
    }
}

/// An operand of an operator, cast where the operator asks for it.
pub fn operand(operator: &str, t: &Tensor) -> Tensor {
    wanted(operator).map_or_else(|| t.clone(), |wanted| cast_to(wanted, t))
}

/// The arguments of a call, cast where the operator asks for it; `None` where it does not.
pub(crate) fn arguments(operator: &str, args: &[Arg]) -> Option<Vec<Arg>> {
    let wanted = wanted(operator)?;
    let cast = |t: &Tensor| cast_to(wanted, t);
    let one = |arg: &Arg| match arg {
        Arg::Tensor(t) => Arg::Tensor(cast(t)),
        Arg::Tensors(list) => Arg::Tensors(list.iter().map(cast).collect()),
        Arg::OptionalTensors(list) => {
            Arg::OptionalTensors(list.iter().map(|t| t.as_ref().map(cast)).collect())
        }
        other => other.clone(),
    };
    Some(args.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops;

    /// Composed in Python; they take part under their names, see `nn/_functional/arguments.py`.
    const IN_PYTHON: [&str; 18] = [
        "conv_tbc",
        "kl_div",
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "softmin",
        "normalize",
        "cosine_embedding_loss",
        "hinge_embedding_loss",
        "margin_ranking_loss",
        "multi_margin_loss",
        "multilabel_margin_loss",
        "poisson_nll_loss",
        "soft_margin_loss",
        "triplet_margin_loss",
        "ctc_loss",
        "group_norm",
    ];

    #[test]
    fn names_are_those_of_operators() {
        for &name in PRECISIONS.iter().flat_map(|p| p.keys()) {
            let known = ops::operators().iter().any(|o| o.row.name == name) || IN_PYTHON.contains(&name);
            assert!(known, "there is no operator {name}");
        }
    }
}
