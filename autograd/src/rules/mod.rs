//! The vector-Jacobian product of each primitive.
//!
//! Where a function has a kink or a tie, the choice is PyTorch's, and it is stated beside the rule.

mod dot;
mod elementwise;
mod indexed;
mod reduce;
mod views;

pub(crate) use reduce::{first_zeros, running_extreme_positions};

use smallvec::{SmallVec, smallvec};
use ttk_ir::{Builder, DType, Op};

/// A cotangent for each operand; `None` is a symbolic zero.
pub type Cotangents<V> = SmallVec<[Option<V>; 3]>;

/// The cotangents of the operands of `op`, given that of its result.
///
/// `inputs` and `output` are the operation's own operands and result, `cotangent` has the type of
/// `output`. Entry `i` of the result has the type of `inputs[i]`; it is `None` where the derivative is
/// zero everywhere or `needs[i]` is false. A rule may use `output` in place of computing it again.
pub fn vjp_rule<B: Builder>(
    b: &mut B,
    op: &Op,
    inputs: &[B::Value],
    output: &B::Value,
    cotangent: &B::Value,
    needs: &[bool],
) -> Cotangents<B::Value> {
    let none = || smallvec![None; inputs.len()];
    let float = |b: &B, i: usize| b.dtype(&inputs[i]).is_float();
    if !b.dtype(output).is_float() {
        return none();
    }
    match op {
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => none(),

        Op::Unary(u) => smallvec![elementwise::unary(b, *u, &inputs[0], output, cotangent)],
        Op::Binary(o) => elementwise::binary(b, *o, inputs, output, cotangent, needs),
        Op::Cmp(_) => none(),
        Op::Select => elementwise::select(b, &inputs[0], cotangent, needs),
        Op::Cast(_) => {
            let from = b.dtype(&inputs[0]);
            smallvec![from.is_float().then(|| b.cast(cotangent, from))]
        }
        // The derivative with respect to bits has no meaning.
        Op::Bitcast(_) => none(),

        Op::Reshape(_) => {
            let shape = b.shape(&inputs[0]);
            smallvec![Some(b.reshape(cotangent, shape))]
        }
        Op::Permute(perm) => smallvec![Some(views::permute(b, perm, cotangent))],
        Op::Expand(_) => {
            let shape = b.shape(&inputs[0]);
            smallvec![Some(b.unbroadcast(cotangent, &shape))]
        }
        Op::Slice(dims) => smallvec![Some(views::slice(b, dims, &inputs[0], cotangent))],
        Op::Pad { dims, .. } => smallvec![Some(views::pad(b, dims, &inputs[0], cotangent))],
        Op::Concat { axis } => views::concat(b, *axis as usize, inputs, cotangent, needs),
        Op::Update(dims) => views::update(b, dims, inputs, cotangent, needs),
        Op::Window(dims) => {
            let sizes = dims.iter().map(|d| b.ty(&inputs[0]).shape[d.axis as usize].clone()).collect();
            let fold = Op::Fold { dims: dims.clone(), sizes };
            smallvec![Some(b.op(fold, std::slice::from_ref(cotangent)))]
        }
        Op::Fold { dims, .. } => {
            smallvec![Some(b.op(Op::Window(dims.clone()), std::slice::from_ref(cotangent)))]
        }

        Op::Gather { axis } => smallvec![Some(indexed::gather(b, *axis, inputs, cotangent)), None],
        Op::Scatter { axis, mode } => indexed::scatter(b, *axis, *mode, inputs, output, cotangent, needs),
        Op::Reduce { op, axes } => {
            smallvec![Some(reduce::reduce(b, *op, axes, &inputs[0], output, cotangent))]
        }
        Op::Scan { op, axis, reverse } => {
            smallvec![Some(reduce::scan(b, *op, *axis, *reverse, &inputs[0], output, cotangent))]
        }
        Op::Argsort { .. } => none(),
        Op::Dot { batch, contract } => dot::dot(b, batch, contract, inputs, cotangent, needs),

        Op::Detach => none(),
        Op::Barrier => smallvec![float(b, 0).then(|| cotangent.clone())],
        // A kernel of the runtime has its derivative from the frontend (`ops/tied.rs`, `grad/engine.rs`).
        Op::Custom { .. } => none(),
    }
}

/// Whether a derivative can pass from the result of an operation to its operand `position`.
///
/// The structure of a graph's derivative is decided by this alone, before any rule runs.
pub fn carries_derivative(op: &Op, position: usize, operand: DType, result: DType) -> bool {
    if !operand.is_float() || !result.is_float() {
        return false;
    }
    match op {
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => false,
        Op::Unary(u) => elementwise::has_slope(*u),
        Op::Binary(_) => true,
        Op::Cmp(_) | Op::Bitcast(_) => false,
        Op::Select => position > 0,
        Op::Cast(_) => true,
        Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Pad { .. } => true,
        Op::Concat { .. } | Op::Update(_) | Op::Window(_) | Op::Fold { .. } => true,
        Op::Gather { .. } => position == 0,
        Op::Scatter { .. } => position != 1,
        Op::Reduce { .. } | Op::Scan { .. } | Op::Dot { .. } => true,
        Op::Argsort { .. } | Op::Detach => false,
        Op::Barrier => true,
        Op::Custom { .. } => false,
    }
}
