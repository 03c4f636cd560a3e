//! Other element types and other devices.

use super::rows;
use crate::device::{self, Device, with_place};
use crate::error::{Error, Result};
use crate::node::Value;
use crate::ops::args::Arg;
use crate::ops::call::{Call, Returned, broadcast_sizes};
use crate::tensor::Tensor;
use ttk_ir::{Builder, DType};

fn convert(c: &mut Call<'_>, dtype: DType) -> Result<Returned> {
    let t = c.tensor(0)?;
    if t.dtype() == dtype {
        return Ok(t.into());
    }
    let x = t.value();
    Ok(c.b.cast(&x, dtype).into())
}

/// A value as a tensor on a device.
fn on_device(c: &Call<'_>, x: &Value, device: Device) -> Returned {
    let moved = c.b.moved(x, device);
    with_place(device, || Tensor::from_value(moved)).into()
}

rows! {
    "type_as" Torch "m" Nothing ["(Tensor self, Tensor other) -> Tensor"] "Converted to the type of another tensor." => |c| { let t = c.tensor(0)?; let to = c.tensor(1)?; if to.dtype() == t.dtype() && to.device() == t.device() { return Ok(t.into()); } let x = t.value(); let x = c.b.cast(&x, to.dtype()); Ok(on_device(c, &x, to.device())) };
    "float" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "Converted to another element type." => |c| convert(c, DType::F32);
    "double" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "Converted to another element type." => |c| convert(c, DType::F64);
    "half" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "Converted to another element type." => |c| convert(c, DType::F16);
    "bfloat16" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "Converted to another element type." => |c| convert(c, DType::BF16);
    "int" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "Converted to another element type." => |c| convert(c, DType::I32);
    "long" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "Converted to another element type." => |c| convert(c, DType::I64);
    "short" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "Converted to another element type." => |c| convert(c, DType::I16);
    "char" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "Converted to another element type." => |c| convert(c, DType::I8);
    "byte" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "Converted to another element type." => |c| convert(c, DType::U8);
    "bool" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "Converted to another element type." => |c| convert(c, DType::Bool);
    "to" Torch "m" Nothing ["(Tensor self, dtype dtype, bool non_blocking=False, bool copy=False, *, memory_format? memory_format=None) -> Tensor", "(Tensor self, device? device=None, dtype? dtype=None, bool non_blocking=False, bool copy=False, *, memory_format? memory_format=None) -> Tensor", "(Tensor self, Tensor other, bool non_blocking=False, bool copy=False, *, memory_format? memory_format=None) -> Tensor"] "Converted to another element type or device." => |c| {
            let t = c.tensor(0)?;
            let (dtype, copy) = match c.overload {
                0 => (c.opt_dtype(1)?, c.bool(3)?),
                1 => (c.opt_dtype(2)?, c.bool(4)?),
                _ => (Some(c.tensor(1)?.dtype()), c.bool(3)?),
            };
            let dtype = dtype.unwrap_or(t.dtype());
            let device = match (&c.args[1], c.overload) {
                (Arg::Device(d), 1) => *d,
                (Arg::Tensor(other), 2) => other.device(),
                _ => t.device(),
            };
            if dtype == t.dtype() && device == t.device() && !copy { return Ok(t.into()); }
            let x = t.value();
            let x = c.b.cast(&x, dtype);
            Ok(on_device(c, &x, device))
        };
    "cpu" Torch "m" Nothing ["(Tensor self, *, memory_format? memory_format=None) -> Tensor"] "On the CPU." => |c| { let t = c.tensor(0)?; if t.device() == Device::Cpu { return Ok(t.into()); } let x = t.value(); Ok(on_device(c, &x, Device::Cpu)) };
    "pin_memory" Torch "m" Nothing ["(Tensor self, device? device=None) -> Tensor"] "The tensor itself." => |c| Ok(c.tensor(0)?.into());
    "cuda" Torch "m" Nothing ["(Tensor self, device? device=None, bool non_blocking=False) -> Tensor"] "On a GPU, the current one unless another is named." => |c| {
            let t = c.tensor(0)?;
            let device = match &c.args[1] {
                Arg::Device(d) => *d,
                _ => Device::Cuda(device::current()),
            };
            device::check(device)?;
            if t.device() == device { return Ok(t.into()); }
            let x = t.value();
            Ok(on_device(c, &x, device))
        };
    "copy" Torch "mi" Nothing ["(Tensor self, Operand src, bool non_blocking=False) -> Tensor"] "The elements of another tensor." => |c| {
            let (t, src) = (c.tensor(0)?, c.operand(1)?);
            let x = c.operand_value(&src, t.dtype());
            let sizes = t.sizes();
            if !broadcast_sizes(&x.dims(), &sizes).is_ok_and(|s| s == sizes) {
                let (a, b) = (t.sizes(), x.dims());
                return Err(Error::runtime(format!("The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton dimension {}", a.last().copied().unwrap_or(1), b.last().copied().unwrap_or(1), a.len().saturating_sub(1))));
            }
            Ok(c.b.broadcast(&x, &ttk_ir::shape::shape(&sizes)).into())
        };
}
