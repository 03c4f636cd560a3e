//! Constant folding: elementwise operations on numbers known to the compiler.
//!
//! The value is what the interpreter gives, bit for bit: computed in double precision (exact integers
//! in 64 bits), rounded to [`DType::compute`] and then to the type itself.

use ttk_ir::{Binary, Cmp, DType, Op, Scalar, Unary};

/// The element of an elementwise operation's result, given those of its operands.
///
/// `None` when the operation is not elementwise.
pub fn fold(op: &Op, operands: &[Scalar]) -> Option<Scalar> {
    match op {
        Op::Unary(u) => Some(unary(*u, operands[0])),
        Op::Binary(b) => Some(binary(*b, operands[0], operands[1])),
        Op::Cmp(c) => Some(cmp(*c, operands[0], operands[1])),
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

pub fn unary(u: Unary, x: Scalar) -> Scalar {
    if x.dtype.is_float() {
        return round(x.dtype, u.eval_float(x.as_f64()));
    }
    wrap(x.dtype, u.eval_int(x.as_i64()))
}

pub fn binary(b: Binary, x: Scalar, y: Scalar) -> Scalar {
    let dtype = x.dtype;
    if dtype.is_float() {
        return round(dtype, b.eval_float(x.as_f64(), y.as_f64()));
    }
    let mut rhs = y.as_i64();
    if matches!(b, Binary::Shl | Binary::Shr) && !(0..dtype.size() as i64 * 8).contains(&rhs) {
        rhs = 64; // the table's sign for "outside"
    }
    wrap(dtype, b.eval_int(x.as_i64(), rhs))
}

pub fn cmp(c: Cmp, x: Scalar, y: Scalar) -> Scalar {
    let holds =
        if x.dtype.is_float() { c.eval(x.as_f64(), y.as_f64()) } else { c.eval(x.as_i64(), y.as_i64()) };
    Scalar::from_i64(DType::Bool, holds as i64)
}

fn round(dtype: DType, value: f64) -> Scalar {
    Scalar::from_f64(dtype, Scalar::from_f64(dtype.compute(), value).as_f64())
}

fn wrap(dtype: DType, value: i64) -> Scalar {
    // `not` of a bool sets all 64 bits; only the lowest is the value.
    let value = if dtype == DType::Bool { value & 1 } else { value };
    Scalar::from_i64(dtype, value)
}

fn bitcast(x: Scalar, dtype: DType) -> Scalar {
    let width = dtype.size() * 8;
    let raw = if width == 64 { x.bits } else { x.bits & ((1u64 << width) - 1) };
    if dtype.is_float() {
        return Scalar { dtype, bits: raw };
    }
    let signed = ((raw << (64 - width)) as i64) >> (64 - width);
    Scalar::from_i64(dtype, signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap_and_bools_stay_bools() {
        let i8 = |v| Scalar::from_i64(DType::I8, v);
        assert_eq!(binary(Binary::Add, i8(127), i8(1)), i8(-128));
        assert_eq!(binary(Binary::Div, i8(-128), i8(-1)), i8(-128));
        assert_eq!(binary(Binary::Shl, i8(1), i8(8)), i8(0));
        assert_eq!(binary(Binary::Shr, i8(-5), i8(9)), i8(-1));
        let t = Scalar::one(DType::Bool);
        assert_eq!(unary(Unary::Not, t), Scalar::zero(DType::Bool));
        assert_eq!(unary(Unary::Not, Scalar::zero(DType::Bool)), t);
    }

    #[test]
    fn bitcasts_keep_bits() {
        let one = Scalar::one(DType::F32);
        let bits = bitcast(one, DType::I32);
        assert_eq!(bits.as_i64(), 0x3f80_0000);
        assert_eq!(bitcast(bits, DType::F32), one);
        let minus = bitcast(Scalar::from_f64(DType::F32, -0.0), DType::I32);
        assert_eq!(minus.as_i64(), i32::MIN as i64);
    }

    #[test]
    fn half_precision_rounds_through_single() {
        let x = Scalar::from_f64(DType::BF16, 1.0);
        let y = Scalar::from_f64(DType::BF16, 2f64.powi(-9));
        assert_eq!(binary(Binary::Add, x, y), x);
    }
}
