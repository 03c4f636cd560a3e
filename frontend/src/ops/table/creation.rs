//! Tensors from nothing: constants, ranges, and the like of another tensor.

use super::rows;
use crate::error::{Error, Result};
use crate::ops::args::Number;
use crate::ops::call::{Call, Returned};
use crate::ops::promote::default_float;
use ttk_ir::{Builder, DType, Scalar};

pub(super) fn check_sizes(sizes: &[i64]) -> Result<()> {
    if let Some(&n) = sizes.iter().find(|&&n| n < 0) {
        return Err(Error::runtime(format!(
            "Trying to create tensor with negative dimension {n}: {sizes:?}"
        )));
    }
    let bytes = sizes.iter().try_fold(8i64, |n, &s| n.checked_mul(s.max(1)));
    match bytes {
        Some(_) => Ok(()),
        None => Err(Error::runtime(format!("Storage size calculation overflowed with sizes={sizes:?}"))),
    }
}

/// A constant of the sizes in argument `at`, with `dtype` in `at + 1`.
fn filled(c: &mut Call<'_>, at: usize, value: Number, default: DType) -> Result<Returned> {
    let sizes = c.ints(at)?;
    check_sizes(sizes)?;
    let dtype = c.opt_dtype(at + 1)?.unwrap_or(default);
    Ok(c.b.constant(value.scalar(dtype), ttk_ir::shape::shape(sizes)).into())
}

/// A constant like argument 0, with `dtype` in argument `at`.
fn filled_like(c: &mut Call<'_>, value: Number, at: usize) -> Result<Returned> {
    let t = c.tensor(0)?;
    let dtype = c.opt_dtype(at)?.unwrap_or(t.dtype());
    Ok(c.b.constant(value.scalar(dtype), ttk_ir::shape::shape(&t.sizes())).into())
}

/// `start, start + step, ..` of `n` elements.
fn ramp(c: &mut Call<'_>, start: Number, step: Number, n: i64, dtype: DType) -> Returned {
    let shape = ttk_ir::shape::shape(&[n]);
    // Integers are counted exactly; floats as PyTorch does, start + i * step in double precision.
    let wide = if dtype.is_float() { DType::F64 } else { DType::I64 };
    let i = c.b.iota(wide, shape.clone(), 0);
    let by = c.b.constant(step.scalar(wide), shape.clone());
    let from = c.b.constant(start.scalar(wide), shape);
    let x = c.b.mul(&i, &by);
    let x = c.b.add(&x, &from);
    c.b.cast(&x, dtype).into()
}

fn arange(c: &mut Call<'_>) -> Result<Returned> {
    let (start, end, step, at) = match c.overload {
        0 => (Number::Int(0), c.number(0)?, Number::Int(1), 1),
        _ => (c.number(0)?, c.number(1)?, c.number(2)?, 3),
    };
    let float = start.is_float() || end.is_float() || step.is_float();
    let dtype = c.opt_dtype(at)?.unwrap_or(if float { default_float() } else { DType::I64 });
    if step.as_f64() == 0.0 {
        return Err(Error::runtime("step must be nonzero"));
    }
    let (a, b, s) = (start.as_f64(), end.as_f64(), step.as_f64());
    if !a.is_finite() || !b.is_finite() {
        return Err(Error::runtime(format!("unsupported range: {a} -> {b}")));
    }
    if (s > 0.0 && a > b) || (s < 0.0 && a < b) {
        return Err(Error::runtime("upper bound and lower bound inconsistent with step sign"));
    }
    let n = if float {
        ((b - a) / s).ceil()
    } else {
        let (a, b, s) = (start.as_i64() as i128, end.as_i64() as i128, step.as_i64() as i128);
        ((b - a + s - s.signum()) / s) as f64
    };
    if n > 1e15 {
        return Err(Error::runtime(format!("invalid size, possible overflow? {n}")));
    }
    Ok(ramp(c, start, step, n as i64, dtype))
}

rows! {
    "zeros" Torch "fo" Nothing ["(int[] size, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "A tensor of zeros." => |c| filled(c, 0, Number::Int(0), default_float());
    "ones" Torch "fo" Nothing ["(int[] size, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "A tensor of ones." => |c| filled(c, 0, Number::Int(1), default_float());
    "empty" Torch "fo" Nothing ["(int[] size, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False, memory_format? memory_format=None) -> Tensor"]
        "A tensor whose elements are unspecified (they are zeros)." => |c| filled(c, 0, Number::Int(0), default_float());
    "full" Torch "fo" Nothing ["(int[] size, Number fill_value, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "A tensor of one value; its type is the value's unless given." => |c| {
            let value = c.number(1)?;
            let sizes = c.ints(0)?;
            check_sizes(sizes)?;
            let dtype = c.opt_dtype(2)?.unwrap_or(value.default_dtype());
            Ok(c.b.constant(value.scalar(dtype), ttk_ir::shape::shape(sizes)).into())
        };
    "zeros_like" Torch "f" Nothing ["(Tensor self, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False, memory_format? memory_format=None) -> Tensor"]
        "Zeros of the sizes of `self`." => |c| filled_like(c, Number::Int(0), 1);
    "ones_like" Torch "f" Nothing ["(Tensor self, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False, memory_format? memory_format=None) -> Tensor"]
        "Ones of the sizes of `self`." => |c| filled_like(c, Number::Int(1), 1);
    "empty_like" Torch "f" Nothing ["(Tensor self, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False, memory_format? memory_format=None) -> Tensor"]
        "Unspecified elements (zeros) of the sizes of `self`." => |c| filled_like(c, Number::Int(0), 1);
    "full_like" Torch "f" Nothing ["(Tensor self, Number fill_value, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False, memory_format? memory_format=None) -> Tensor"]
        "One value of the sizes of `self`." => |c| { let v = c.number(1)?; filled_like(c, v, 2) };
    "arange" Torch "fo" Nothing [
        "(Number end, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor",
        "(Number start, Number end, Number step=1, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Numbers from `start` (0) up to, but without, `end`." => arange;
    "linspace" Torch "fo" Nothing ["(Number start, Number end, int steps, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "`steps` numbers from `start` to `end`, evenly spaced, both ends included." => |c| {
            let (start, end, steps) = (c.number(0)?.as_f64(), c.number(1)?.as_f64(), c.int(2)?);
            if steps < 0 {
                return Err(Error::runtime("number of steps must be non-negative"));
            }
            let dtype = c.opt_dtype(3)?.unwrap_or(default_float());
            let step = if steps > 1 { (end - start) / (steps - 1) as f64 } else { 0.0 };
            let shape = ttk_ir::shape::shape(&[steps]);
            let i = c.b.iota(DType::F64, shape.clone(), 0);
            let number = |c: &mut Call<'_>, v: f64| c.b.constant(Scalar::from_f64(DType::F64, v), shape.clone());
            // From both ends, so that both are exact.
            let (by, first, last) = (number(c, step), number(c, start), number(c, end));
            let (n, half) = (number(c, (steps - 1) as f64), number(c, (steps / 2) as f64));
            let up = c.b.mul(&i, &by);
            let up = c.b.add(&first, &up);
            let left = c.b.sub(&n, &i);
            let down = c.b.mul(&left, &by);
            let down = c.b.sub(&last, &down);
            let lower = c.b.cmp(ttk_ir::Cmp::Lt, &i, &half);
            let x = c.b.select(&lower, &up, &down);
            Ok(c.b.cast(&x, dtype).into())
        };
}
