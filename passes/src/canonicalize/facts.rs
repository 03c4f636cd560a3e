//! What can be told of a value from the few operations that make it.

use super::Rewriter;
use ttk_ir::{Binary, DType, Op, ReduceOp, Unary, ValueId};

/// How many operations a question looks through; deeper ones would make the walk quadratic.
const DEPTH: u32 = 4;

/// Whether no element can be `-0.0`. (`x + 0.0` is `x` only then: `-0.0 + 0.0` is `0.0`.)
pub(super) fn never_negative_zero(r: &Rewriter<'_>, v: ValueId) -> bool {
    no_negative_zero(r, v, DEPTH)
}

fn no_negative_zero(r: &Rewriter<'_>, v: ValueId, depth: u32) -> bool {
    if !r.type_of(v).dtype.is_float() {
        return true;
    }
    if depth == 0 {
        return false;
    }
    let of = |i: usize| no_negative_zero(r, r.input(v, i), depth - 1);
    match r.op_of(v) {
        Op::Const { value, .. } => *value != ttk_ir::Scalar::from_f64(value.dtype, -0.0),
        Op::Iota { .. } => true,
        Op::Unary(u) => match u {
            Unary::Abs | Unary::Relu | Unary::Exp | Unary::Cos | Unary::Sigmoid => true,
            // These keep the sign of a zero; all but `neg` make one from a zero only, or from a small
            // negative number (`round`), or not at all.
            Unary::Sqrt | Unary::Expm1 | Unary::Log1p | Unary::Sin | Unary::Tanh | Unary::Erf => of(0),
            Unary::Floor => of(0),
            // `log(1)` is `+0.0`.
            Unary::Log => true,
            Unary::Neg | Unary::Round | Unary::Not => false,
        },
        Op::Binary(b) => match b {
            // The sum is -0.0 only when both terms are.
            Binary::Add => of(0) || of(1),
            Binary::Sub => of(0),
            Binary::Max | Binary::Min => of(0) && of(1),
            Binary::Mul => r.input(v, 0) == r.input(v, 1),
            Binary::Div | Binary::Rem | Binary::Pow | Binary::Atan2 => false,
            Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => false,
        },
        Op::Select => of(1) && of(2),
        // An integer has one zero. A float keeps the sign of its, and a narrower type turns a small
        // negative number into -0.0.
        Op::Cast(to) => {
            let from = r.type_of(r.input(v, 0)).dtype;
            !from.is_float() || (holds_all(*to, from) && of(0))
        }
        Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Window(_) => of(0),
        Op::Gather { .. } => of(0),
        Op::Detach | Op::Barrier => of(0),
        // A sum over several elements starts from +0.0 in every implementation of this IR.
        Op::Reduce { op: ReduceOp::Sum, .. } | Op::Fold { .. } => true,
        // A library may leave out the zero it starts from when it sums one product.
        Op::Dot { .. } => false,
        Op::Reduce { op: ReduceOp::Max | ReduceOp::Min, .. } => of(0),
        Op::Reduce { op: ReduceOp::Prod, .. } => false,
        Op::Param { .. } | Op::RandomBits { .. } | Op::Bitcast(_) | Op::Cmp(_) => false,
        Op::Pad { .. } | Op::Concat { .. } | Op::Update(_) => false,
        Op::Scatter { .. } | Op::Scan { .. } | Op::Argsort { .. } => false,
        Op::Custom { .. } => false,
    }
}

/// Whether every value of `from` is a value of `to`, so that a cast there and back loses nothing.
pub(super) fn holds_all(to: DType, from: DType) -> bool {
    if to == from || from == DType::Bool {
        return true;
    }
    match (from.int_range(), to.int_range()) {
        (Some((low, high)), Some((to_low, to_high))) => to_low <= low && high <= to_high,
        (Some((_, high)), None) => high < 1i64 << mantissa_bits(to) && from != DType::I64,
        (None, Some(_)) => false,
        (None, None) => match from {
            DType::F16 | DType::BF16 => matches!(to, DType::F32 | DType::F64),
            DType::F32 => to == DType::F64,
            _ => false,
        },
    }
}

/// The largest `n` such that `0..n` are all numbers of the type.
pub(super) fn largest_exact(dtype: DType) -> i64 {
    dtype.int_range().map_or(1i64 << mantissa_bits(dtype), |(_, high)| high)
}

/// Bits of the significand, the hidden one included; 0 for integers.
pub(super) fn mantissa_bits(dtype: DType) -> u32 {
    match dtype {
        DType::F64 => 53,
        DType::F32 => 24,
        DType::F16 => 11,
        DType::BF16 => 8,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => 0,
    }
}
