//! The operations of the elementwise tables on single values, rounded to their type.
//!
//! Constant folding, both interpreters and the tests of every back end share these.

use crate::dtype::{DType, Scalar};
use crate::op::{Binary, Cmp, ReduceOp, Unary};
use half::{bf16, f16};

/// `value`, computed in double precision, rounded once to `dtype`.
///
/// The 16-bit floats are reached through `f32`, as PyTorch and machine code reach them. For `add`,
/// `sub`, `mul`, `div` and `sqrt` the way through wider formats gives the correctly rounded result
/// (Figueroa 1995: innocuous double rounding).
pub fn round_to(dtype: DType, value: f64) -> f64 {
    match dtype {
        DType::F64 => value,
        DType::F32 => value as f32 as f64,
        DType::F16 => f16::from_f32(value as f32).to_f64(),
        DType::BF16 => bf16::from_f32(value as f32).to_f64(),
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
            Scalar::from_f64(dtype, value).as_f64()
        }
    }
}

/// `value` wrapped to the width of an integer type; the lowest bit for `bool`.
pub fn wrap_to(dtype: DType, value: i64) -> i64 {
    match dtype {
        // The lowest bit, and not "different from 0": that makes `not` the complement.
        DType::Bool => value & 1,
        DType::U8 => value as u8 as i64,
        DType::I8 => value as i8 as i64,
        DType::I16 => value as i16 as i64,
        DType::I32 => value as i32 as i64,
        DType::I64 | DType::F16 | DType::BF16 | DType::F32 | DType::F64 => value,
    }
}

/// A unary operation on integers of type `dtype`.
pub fn unary_int(op: Unary, dtype: DType, x: i64) -> i64 {
    wrap_to(dtype, op.eval_int(x))
}

/// A binary operation on integers of type `dtype`; shifts honour its width.
pub fn binary_int(op: Binary, dtype: DType, a: i64, b: i64) -> i64 {
    let bits = 8 * dtype.size() as i64;
    let count_fits = (0..bits).contains(&b);
    let value = match op {
        Binary::Shl if !count_fits => 0,
        Binary::Shr if !count_fits => a >> 63,
        Binary::Shl | Binary::Shr | Binary::Add | Binary::Sub | Binary::Mul | Binary::Div => {
            op.eval_int(a, b)
        }
        Binary::Rem | Binary::Pow | Binary::Max | Binary::Min | Binary::Atan2 => op.eval_int(a, b),
        Binary::And | Binary::Or | Binary::Xor => op.eval_int(a, b),
    };
    wrap_to(dtype, value)
}

/// `op` applied to a value; the result has its type.
pub fn unary(op: Unary, x: Scalar) -> Scalar {
    if x.dtype.is_float() {
        Scalar::from_f64(x.dtype, op.eval_float(x.as_f64()))
    } else {
        integer(x.dtype, unary_int(op, x.dtype, x.as_i64()))
    }
}

/// `op` applied to two values of one type; the result has that type.
pub fn binary(op: Binary, a: Scalar, b: Scalar) -> Scalar {
    if a.dtype.is_float() {
        Scalar::from_f64(a.dtype, op.eval_float(a.as_f64(), b.as_f64()))
    } else {
        integer(a.dtype, binary_int(op, a.dtype, a.as_i64(), b.as_i64()))
    }
}

/// A comparison of two values of one type.
pub fn cmp(op: Cmp, a: Scalar, b: Scalar) -> bool {
    if a.dtype.is_float() { op.eval(a.as_f64(), b.as_f64()) } else { op.eval(a.as_i64(), b.as_i64()) }
}

/// Two partial results of a reduction joined.
pub fn combine(op: ReduceOp, a: Scalar, b: Scalar) -> Scalar {
    binary(op.combine(), a, b)
}

/// `a * b + c` with one rounding; for the 16-bit floats the rounding of `f32` and then their own.
pub fn fma(a: Scalar, b: Scalar, c: Scalar) -> Scalar {
    match a.dtype {
        DType::F64 => Scalar::from_f64(DType::F64, a.as_f64().mul_add(b.as_f64(), c.as_f64())),
        DType::F32 | DType::F16 | DType::BF16 => {
            let value = (a.as_f64() as f32).mul_add(b.as_f64() as f32, c.as_f64() as f32);
            Scalar::from_f64(a.dtype, value as f64)
        }
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
            integer(a.dtype, a.as_i64().wrapping_mul(b.as_i64()).wrapping_add(c.as_i64()))
        }
    }
}

/// The same bits under another type of the same size.
pub fn bitcast(x: Scalar, dtype: DType) -> Scalar {
    let width = 8 * dtype.size() as u32;
    let bits = if width == 64 { x.bits } else { x.bits & ((1 << width) - 1) };
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => Scalar { dtype, bits },
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
            integer(dtype, bits as i64)
        }
    }
}

/// `0 <= value < extent` as an index.
pub(crate) fn in_extent(value: i64, extent: i64) -> bool {
    (0..extent).contains(&value)
}

fn integer(dtype: DType, value: i64) -> Scalar {
    Scalar { dtype, bits: wrap_to(dtype, value) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(dtype: DType, v: i64) -> Scalar {
        Scalar::from_i64(dtype, v)
    }

    #[test]
    fn bool_not_is_logical() {
        assert_eq!(unary(Unary::Not, int(DType::Bool, 1)), int(DType::Bool, 0));
        assert_eq!(unary(Unary::Not, int(DType::Bool, 0)), int(DType::Bool, 1));
        assert_eq!(unary(Unary::Not, int(DType::U8, 1)), int(DType::U8, 254));
    }

    #[test]
    fn integers_wrap_and_shift_in_their_width() {
        let check = |op, dtype, a, b, want| {
            assert_eq!(binary(op, int(dtype, a), int(dtype, b)), int(dtype, want), "{op:?} {dtype} {a} {b}");
        };
        check(Binary::Add, DType::I8, 127, 1, -128);
        check(Binary::Sub, DType::U8, 0, 1, 255);
        check(Binary::Div, DType::I32, i32::MIN as i64, -1, i32::MIN as i64);
        check(Binary::Div, DType::I64, 7, 0, 0);
        check(Binary::Rem, DType::I16, -7, 3, -1);
        check(Binary::Shl, DType::I8, 1, 7, -128);
        check(Binary::Shl, DType::I8, 1, 8, 0);
        check(Binary::Shr, DType::I8, -1, 9, -1);
        check(Binary::Shr, DType::U8, 128, 7, 1);
        check(Binary::Shr, DType::I32, -8, -1, -1);
    }

    #[test]
    fn sixteen_bit_floats_round_once_past_f32() {
        let add =
            |a, b| binary(Binary::Add, Scalar::from_f64(DType::F16, a), Scalar::from_f64(DType::F16, b));
        assert_eq!(add(2048.0, 1.0).as_f64(), 2048.0);
        assert_eq!(add(2048.0, 3.0).as_f64(), 2052.0);
        assert_eq!(add(65504.0, 65504.0).as_f64(), f64::INFINITY);
    }

    #[test]
    fn maximum_of_zeros_and_nans() {
        let f = |v| Scalar::from_f64(DType::F32, v);
        assert_eq!(binary(Binary::Max, f(-0.0), f(0.0)), f(0.0));
        assert_eq!(binary(Binary::Max, f(0.0), f(-0.0)), f(0.0));
        assert_eq!(binary(Binary::Min, f(0.0), f(-0.0)), f(-0.0));
        assert!(binary(Binary::Max, f(f64::NAN), f(1.0)).as_f64().is_nan());
    }

    #[test]
    fn bits_survive_bitcast() {
        let x = Scalar::from_f64(DType::F32, -1.5);
        let i = bitcast(x, DType::I32);
        assert_eq!(i.as_i64(), (-1.5f32).to_bits() as i32 as i64);
        assert_eq!(bitcast(i, DType::F32), x);
    }
}
