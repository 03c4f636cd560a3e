//! Constant folding: elementwise operations on numbers known to the compiler.

use ttk_ir::eval::scalar::{binary, bitcast, cmp, unary};
use ttk_ir::{DType, Op, Scalar};

/// The element of an elementwise operation's result, given those of its operands: what the interpreter
/// gives, bit for bit.
///
/// `None` when the operation is not elementwise.
pub fn fold(op: &Op, operands: &[Scalar]) -> Option<Scalar> {
    match op {
        Op::Unary(u) => Some(unary(*u, operands[0])),
        Op::Binary(b) => Some(binary(*b, operands[0], operands[1])),
        Op::Cmp(c) => Some(Scalar::from_i64(DType::Bool, cmp(*c, operands[0], operands[1]) as i64)),
        Op::Select => Some(if operands[0].bits != 0 { operands[1] } else { operands[2] }),
        Op::Cast(dtype) => Some(operands[0].cast(*dtype)),
        Op::Bitcast(dtype) => Some(bitcast(operands[0], *dtype)),
        Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => None,
        Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Pad { .. } => None,
        Op::Concat { .. } | Op::Update(_) | Op::Window(_) | Op::Fold { .. } => None,
        Op::Gather { .. } | Op::Scatter { .. } | Op::Reduce { .. } | Op::Scan { .. } => None,
        Op::Argsort { .. } | Op::Dot { .. } | Op::Detach | Op::Barrier | Op::Custom { .. } => None,
    }
}
