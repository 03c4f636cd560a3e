//! PyTorch's type promotion.

use super::args::Number;
use std::sync::atomic::{AtomicU8, Ordering};
use ttk_ir::DType;

static DEFAULT_FLOAT: AtomicU8 = AtomicU8::new(DType::F32 as u8);

/// The type of a Python float (`torch.get_default_dtype`).
pub fn default_float() -> DType {
    let n = DEFAULT_FLOAT.load(Ordering::Relaxed);
    DType::ALL.into_iter().find(|d| *d as u8 == n).unwrap_or(DType::F32)
}

/// `torch.set_default_dtype`; the caller has checked that the type is a float's.
pub fn set_default_float(dtype: DType) {
    DEFAULT_FLOAT.store(dtype as u8, Ordering::Relaxed);
}

/// The smallest type both types' values fit, by PyTorch's table.
pub fn promote_types(a: DType, b: DType) -> DType {
    use DType::*;
    if a == b {
        return a;
    }
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    match (low, high) {
        (Bool, other) => other,
        (U8, I8) => I16,
        // Half and bfloat16 have no common type below float32.
        (F16, BF16) => F32,
        // In the order of the enumeration the higher one holds the lower one's values otherwise, and a
        // float of any width takes every integer.
        (_, high) => high,
    }
}

/// An operand as promotion sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Promotable {
    /// A tensor with axes.
    Tensor(DType),
    /// A 0-d tensor.
    ZeroDim(DType),
    Number(Number),
}

fn category(dtype: DType) -> u8 {
    if dtype == DType::Bool {
        0
    } else if dtype.is_int() {
        1
    } else {
        2
    }
}

/// `torch.result_type` of any number of operands.
///
/// Tensors with axes decide, unless a 0-d tensor is of a higher category (bool, integer, float), unless
/// a Python number is of a higher one still.
pub fn result_type(operands: &[Promotable]) -> DType {
    let (mut dims, mut zeros, mut numbers) = (None, None, None);
    let join = |so_far: &mut Option<DType>, d: DType| {
        *so_far = Some(so_far.map_or(d, |s| promote_types(s, d)));
    };
    for operand in operands {
        match operand {
            Promotable::Tensor(d) => join(&mut dims, *d),
            Promotable::ZeroDim(d) => join(&mut zeros, *d),
            Promotable::Number(n) => join(&mut numbers, n.default_dtype()),
        }
    }
    let higher = |high: Option<DType>, low: Option<DType>| match (high, low) {
        (None, low) => low,
        (high, None) => high,
        (Some(h), Some(l)) if category(h) >= category(l) => Some(h),
        (_, low) => low,
    };
    higher(higher(dims, zeros), numbers).unwrap_or_else(default_float)
}

/// Whether a result may be stored as `to` (`torch.can_cast`): not from a float to an integer, nor from a
/// number to bool.
pub fn can_cast(from: DType, to: DType) -> bool {
    category(from) <= category(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use DType::*;

    #[test]
    fn table_of_types() {
        for (a, b, want) in [
            (U8, I8, I16),
            (U8, I64, I64),
            (I32, F16, F16),
            (BF16, F16, F32),
            (F32, I64, F32),
            (Bool, U8, U8),
            (F64, BF16, F64),
        ] {
            assert_eq!(promote_types(a, b), want);
            assert_eq!(promote_types(b, a), want);
        }
    }

    #[test]
    fn categories_before_sizes() {
        use Promotable::*;
        for (operands, want) in [
            (vec![Tensor(F32), ZeroDim(F64)], F32),
            (vec![Tensor(I32), ZeroDim(F64)], F64),
            (vec![Tensor(I32), Number(super::Number::Float(1.5))], F32),
            (vec![Tensor(U8), Number(super::Number::Int(300))], U8),
            (vec![Tensor(Bool), Number(super::Number::Int(3))], I64),
            (vec![Tensor(F16), Number(super::Number::Float(1.0))], F16),
        ] {
            assert_eq!(result_type(&operands), want, "{operands:?}");
        }
    }
}
