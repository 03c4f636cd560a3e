//! Random tensors and in-place random fills.

use super::creation::check_sizes;
use super::rows;
use crate::error::{Error, Result};
use crate::ops::call::{Call, Returned};
use crate::ops::promote::default_float;
use crate::random;
use ttk_ir::{Builder, DType};

fn drawn(
    c: &mut Call<'_>,
    f: fn(&mut crate::record::Recorder, &random::Generator, DType, &[i64]) -> Result<crate::node::Value>,
) -> Result<Returned> {
    let sizes = c.ints(0)?;
    check_sizes(sizes)?;
    let g = c.generator(1)?;
    let dtype = c.opt_dtype(2)?.unwrap_or(default_float());
    if !dtype.is_float() {
        return Err(Error::NotForDtype { op: c.name(), dtype: crate::error::scalar_type_name(dtype) });
    }
    Ok(f(&mut c.b, &g, dtype, sizes)?.into())
}

fn integers(c: &mut Call<'_>) -> Result<Returned> {
    let (low, high, at) = match c.overload {
        0 => (0, c.int(0)?, 1),
        _ => (c.int(0)?, c.int(1)?, 2),
    };
    let sizes = c.ints(at)?;
    check_sizes(sizes)?;
    let g = c.generator(at + 1)?;
    let dtype = c.opt_dtype(at + 2)?.unwrap_or(DType::I64);
    let x = random::integers(&mut c.b, &g, low, high, sizes)?;
    Ok(c.b.cast(&x, dtype).into())
}

rows! {
    "rand" Torch "fo" Nothing ["(int[] size, *, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Uniform numbers in [0, 1)." => |c| drawn(c, random::uniform);
    "randn" Torch "fo" Nothing ["(int[] size, *, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Standard normal numbers." => |c| drawn(c, random::normal);
    "randint" Torch "fo" Nothing [
        "(int high, int[] size, *, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor",
        "(int low, int high, int[] size, *, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Integers in `low` (0) to `high` without it." => integers;
    "randperm" Torch "fo" Nothing ["(int n, *, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "A random permutation of 0 to n - 1." => |c| {
            let n = c.int(0)?;
            if n < 0 {
                return Err(Error::runtime("n must be non-negative"));
            }
            let g = c.generator(1)?;
            let dtype = c.opt_dtype(2)?.unwrap_or(DType::I64);
            let x = random::permutation(&g, n)?;
            Ok(c.b.cast(&x, dtype).into())
        };
}
