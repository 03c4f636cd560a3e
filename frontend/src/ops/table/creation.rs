//! Tensors from nothing: constants, ranges, and the like of another tensor.

use super::rows;
use crate::error::{Error, Result};
use crate::host::check_room;
use crate::ops::args::Number;
use crate::ops::call::{Call, Operand, Returned};
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

/// [`check_sizes`], and that memory for elements of `dtype` could be addressed.
fn check_storage(sizes: &[i64], dtype: DType) -> Result<()> {
    let bytes = sizes.iter().try_fold(dtype.size() as i64, |n, &s| n.checked_mul(s));
    match bytes {
        Some(bytes) if bytes >= 1 << 47 && sizes.iter().all(|n| *n > 0) => {
            Err(Error::OutOfMemory { bytes: bytes as u64 })
        }
        _ => check_sizes(sizes),
    }
}

/// A constant of the sizes in argument `at`, with `dtype` in `at + 1`.
fn filled(c: &mut Call<'_>, at: usize, value: Number, default: DType) -> Result<Returned> {
    let sizes = c.ints(at)?;
    let dtype = c.opt_dtype(at + 1)?.unwrap_or(default);
    check_storage(sizes, dtype)?;
    Ok(c.b.constant(value.scalar(dtype), ttk_ir::shape::shape(sizes)).into())
}

/// A constant like argument 0, with `dtype` in argument `at`.
fn filled_like(c: &mut Call<'_>, value: Number, at: usize) -> Result<Returned> {
    let t = c.tensor(0)?;
    let dtype = c.opt_dtype(at)?.unwrap_or(t.dtype());
    Ok(c.b.constant(value.exact_scalar(dtype)?, ttk_ir::shape::shape(&t.sizes())).into())
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

fn triangle_positions(c: &mut Call<'_>, lower: bool) -> Result<Returned> {
    let (rows, columns, offset) = (c.int(0)?, c.int(1)?, c.int(2)?);
    if rows < 0 || columns < 0 {
        return Err(Error::runtime("row and col must be non-negative"));
    }
    // The positions, and two numbers for each.
    check_room(rows.saturating_mul(columns), 16 + 2 * size_of::<Number>())?;
    let inside = |i: i64, j: i64| if lower { j - i <= offset } else { j - i >= offset };
    let at: Vec<(i64, i64)> =
        (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).filter(|&(i, j)| inside(i, j)).collect();
    let numbers: Vec<Number> =
        at.iter().map(|p| Number::Int(p.0)).chain(at.iter().map(|p| Number::Int(p.1))).collect();
    let dtype = c.opt_dtype(3)?.unwrap_or(DType::I64);
    Ok(crate::host::from_numbers(&numbers, dtype, &[2, at.len() as i64])?.into())
}

/// An end of `linspace`: a number or a 0-d tensor, in the type of the result.
fn end_of_range(c: &mut Call<'_>, at: usize, dtype: DType) -> Result<f64> {
    let number = match c.operand(at)? {
        Operand::Number(n) => n,
        Operand::Tensor(t) if t.rank() == 0 => crate::host::item(&t.detach())?,
        Operand::Tensor(t) => {
            return Err(Error::runtime(format!(
                "linspace only supports 0-dimensional start and end tensors, but got {} with {} dimension(s).",
                if at == 0 { "start" } else { "end" },
                t.rank()
            )));
        }
    };
    Ok(number.scalar(dtype).as_f64())
}

/// A raised cosine.
fn window(c: &mut Call<'_>, a: f64, b: f64) -> Result<Returned> {
    let (n, periodic) = (c.int(0)?, c.bool(1)?);
    if n < 0 {
        return Err(Error::runtime("window_length must be non-negative"));
    }
    let dtype = c.opt_dtype(2)?.unwrap_or(default_float());
    let steps = if periodic { n } else { n - 1 }.max(1) as f64;
    let value = |i: i64| {
        if n == 1 { 1.0 } else { a - b * (2.0 * std::f64::consts::PI * i as f64 / steps).cos() }
    };
    check_room(n, size_of::<Number>())?;
    let numbers: Vec<Number> = (0..n).map(|i| Number::Float(value(i))).collect();
    Ok(crate::host::from_numbers(&numbers, dtype, &[n])?.into())
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
            let dtype = c.opt_dtype(2)?.unwrap_or(value.default_dtype());
            check_storage(sizes, dtype)?;
            Ok(c.b.constant(value.exact_scalar(dtype)?, ttk_ir::shape::shape(sizes)).into())
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
    "linspace" Torch "fo" Nothing ["(Operand start, Operand end, int steps, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "`steps` numbers from `start` to `end`, evenly spaced, both ends included." => |c| {
            let steps = c.int(2)?;
            if steps < 0 {
                return Err(Error::runtime("number of steps must be non-negative"));
            }
            let dtype = c.opt_dtype(3)?.unwrap_or(default_float());
            let (start, end) = (end_of_range(c, 0, dtype)?, end_of_range(c, 1, dtype)?);
            // Computed in the result's own type, as PyTorch does; for integers, in double precision.
            let wide = if dtype.is_float() { dtype.compute() } else { DType::F64 };
            let shape = ttk_ir::shape::shape(&[steps]);
            let i = c.b.iota(wide, shape.clone(), 0);
            let number = |c: &mut Call<'_>, v: f64| c.b.constant(Scalar::from_f64(wide, v), shape.clone());
            let (first, last) = (number(c, start), number(c, end));
            if steps == 1 {
                return Ok(c.b.cast(&first, dtype).into());
            }
            // From both ends, so that both are exact.
            let (n, half) = (number(c, (steps - 1) as f64), number(c, (steps / 2) as f64));
            let by = c.b.sub(&last, &first);
            let by = c.b.div(&by, &n);
            let up = c.b.mul(&i, &by);
            let up = c.b.add(&first, &up);
            let left = c.b.sub(&n, &i);
            let down = c.b.mul(&left, &by);
            let down = c.b.sub(&last, &down);
            let lower = c.b.cmp(ttk_ir::Cmp::Lt, &i, &half);
            let x = c.b.select(&lower, &up, &down);
            Ok(c.b.cast(&x, dtype).into())
        };
    "eye" Torch "fo" Nothing ["(int n, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor", "(int n, int m, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "The identity matrix." => |c| {
            let n = c.int(0)?;
            let (m, at) = if c.overload == 0 { (n, 1) } else { (c.int(1)?, 2) };
            if n < 0 || m < 0 {
                return Err(Error::runtime(format!("n must be greater or equal to 0, got {}", n.min(m))));
            }
            let dtype = c.opt_dtype(at)?.unwrap_or(default_float());
            check_storage(&[n, m], dtype)?;
            let shape = ttk_ir::shape::shape(&[n, m]);
            let (i, j) = (c.b.iota(DType::I64, shape.clone(), 0), c.b.iota(DType::I64, shape, 1));
            let same = c.b.cmp(ttk_ir::Cmp::Eq, &i, &j);
            Ok(c.b.cast(&same, dtype).into())
        };
    "logspace" Torch "fo" Nothing ["(Number start, Number end, int steps, float base=10.0, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "`base` to evenly spaced powers." => |c| {
            let (start, end, steps, base) = (c.float(0)?, c.float(1)?, c.int(2)?, c.float(3)?);
            if steps < 0 {
                return Err(Error::runtime("number of steps must be non-negative"));
            }
            let dtype = c.opt_dtype(4)?.unwrap_or(default_float());
            let step = if steps > 1 { (end - start) / (steps - 1) as f64 } else { 0.0 };
            let i = c.b.iota(DType::F64, ttk_ir::shape::shape(&[steps]), 0);
            let x = c.b.scale(&i, step);
            let x = c.b.shift(&x, start);
            let by = c.b.full_like(&x, base);
            let x = c.b.binary(ttk_ir::Binary::Pow, &by, &x);
            Ok(c.b.cast(&x, dtype).into())
        };
    "tril_indices" Torch "f" Nothing ["(int row, int col, int offset=0, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Positions of the lower triangle." => |c| triangle_positions(c, true);
    "triu_indices" Torch "f" Nothing ["(int row, int col, int offset=0, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Positions of the upper triangle." => |c| triangle_positions(c, false);
    "new_zeros" Torch "m" Nothing ["(Tensor self, int[] size, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Zeros of the type of self." => |c| { let d = c.tensor(0)?.dtype(); filled(c, 1, Number::Int(0), d) };
    "new_ones" Torch "m" Nothing ["(Tensor self, int[] size, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Ones of the type of self." => |c| { let d = c.tensor(0)?.dtype(); filled(c, 1, Number::Int(1), d) };
    "new_empty" Torch "m" Nothing ["(Tensor self, int[] size, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Unspecified elements (zeros) of the type of self." => |c| { let d = c.tensor(0)?.dtype(); filled(c, 1, Number::Int(0), d) };
    "new_full" Torch "m" Nothing ["(Tensor self, int[] size, Number fill_value, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "One value of the type of self." => |c| {
            let (sizes, value) = (c.ints(1)?, c.number(2)?);
            check_sizes(sizes)?;
            let dtype = c.opt_dtype(3)?.unwrap_or(c.tensor(0)?.dtype());
            Ok(c.b.constant(value.scalar(dtype), ttk_ir::shape::shape(sizes)).into())
        };
    "scalar_tensor" Torch "f" Nothing ["(Number s, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "A 0-d tensor." => |c| {
            let value = c.number(0)?;
            let dtype = c.opt_dtype(1)?.unwrap_or(default_float());
            Ok(c.b.constant(value.scalar(dtype), ttk_ir::Shape::new()).into())
        };
    "empty_strided" Torch "f" Nothing ["(int[] size, int[] stride, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Unspecified elements (zeros) at the given strides." => |c| {
            let (sizes, strides) = (c.ints(0)?, c.ints(1)?);
            check_sizes(sizes)?;
            let dtype = c.opt_dtype(2)?.unwrap_or(default_float());
            let n = 1 + sizes.iter().zip(strides).map(|(&n, &s)| (n - 1).max(0) * s.max(0)).sum::<i64>();
            let flat = c.b.constant(Scalar::zero(dtype), ttk_ir::shape::shape(&[n]));
            Ok(crate::tensor::Tensor::from_value(flat).as_strided(sizes, strides, 0)?.into())
        };
    "hann_window" Torch "f" Nothing ["(int window_length, bool periodic=True, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "The Hann window." => |c| window(c, 0.5, 0.5);
    "hamming_window" Torch "f" Nothing ["(int window_length, bool periodic=True, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "The Hamming window." => |c| window(c, 0.54, 0.46);
}
