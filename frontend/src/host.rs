//! Elements on the host: reading results, and tensors from given data.

use crate::device::Memory;
use crate::error::{Error, Result};
use crate::materialize;
use crate::node::Node;
use crate::ops::args::Number;
use crate::tensor::Tensor;
use crate::view::{View, numel};
use parking_lot::Mutex;
use ttk_ir::eval::read_scalar;
use ttk_ir::{DType, Scalar, Type};
use ttk_runtime::{Buffer, threads};

/// Computes a tensor, if need be, and gives its memory, on its device, and its place in it.
///
/// # Errors
/// What goes wrong while computing.
pub fn compute(t: &Tensor) -> Result<(Memory, View)> {
    if let Some(found) = t.in_memory() {
        return Ok(found);
    }
    // The whole storage is computed, not the view alone: other views will want it.
    let value = t.with_body(|b| b.storage.value.lock().clone());
    materialize::demand(&[value])?;
    t.storage().forget_past();
    t.in_memory().ok_or_else(|| Error::Internal { detail: "a value was not computed".into() })
}

/// Computes several tensors together; what else waits is left waiting.
///
/// # Errors
/// What goes wrong while computing.
pub fn compute_all(tensors: &[Tensor]) -> Result<()> {
    let storages: Vec<_> = tensors.iter().map(Tensor::storage).collect();
    let values: Vec<_> = storages.iter().map(|s| s.value.lock().clone()).collect();
    materialize::demand(&values)?;
    storages.iter().for_each(|s| s.forget_past());
    Ok(())
}

/// [`compute`], for the processor to read: elements on another device are copied.
///
/// # Errors
/// What goes wrong while computing or copying.
pub fn computed(t: &Tensor) -> Result<(Buffer, View)> {
    let (memory, view) = compute(t)?;
    Ok((memory.host()?, view))
}

/// Asks for memory for `n` elements of `size` bytes, and gives it back: a list of a length that the user chose must not
/// be begun where it cannot be had.
///
/// # Errors
/// There is not so much.
pub fn check_room(n: i64, size: usize) -> Result<()> {
    // What everybody has is not asked for.
    const SMALL: i64 = 1 << 26;
    match n.checked_mul(size as i64) {
        Some(bytes) if bytes <= SMALL => Ok(()),
        Some(bytes) => Ok(Buffer::new(bytes as usize).map(drop)?),
        None => Err(Error::OutOfMemory { bytes: n.max(0) as u64 }),
    }
}

/// Calls `f` with the offset, in elements, of each element in row-major order.
pub fn for_each_offset(view: &View, mut f: impl FnMut(usize)) {
    let rank = view.sizes.len();
    if numel(&view.sizes) == 0 {
        return;
    }
    let strides = view.strides();
    let mut at = vec![0i64; rank];
    let mut offset = view.offset;
    loop {
        f(offset as usize);
        let mut axis = rank;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            at[axis] += 1;
            offset += strides[axis];
            if at[axis] < view.sizes[axis] {
                break;
            }
            offset -= at[axis] * strides[axis];
            at[axis] = 0;
        }
    }
}

/// Every element in row-major order.
///
/// # Errors
/// What goes wrong while computing.
pub fn scalars(t: &Tensor) -> Result<Vec<Scalar>> {
    let (buffer, view) = computed(t)?;
    let (dtype, size) = (t.dtype(), t.dtype().size());
    let bytes = buffer.bytes();
    check_room(numel(&view.sizes), size_of::<Scalar>())?;
    let mut out = Vec::with_capacity(numel(&view.sizes) as usize);
    for_each_offset(&view, |at| out.push(read_scalar(dtype, &bytes[at * size..(at + 1) * size])));
    Ok(out)
}

/// The elements as bytes, dense, row-major, little-endian.
///
/// # Errors
/// What goes wrong while computing.
pub fn bytes(t: &Tensor) -> Result<Vec<u8>> {
    let (buffer, view) = computed(t)?;
    let size = t.dtype().size();
    let (bytes, n) = (buffer.bytes(), numel(&view.sizes) as usize);
    check_room(n as i64, size)?;
    if view.is_contiguous() {
        let from = view.offset as usize * size;
        return Ok(bytes[from..from + n * size].to_vec());
    }
    let mut out = Vec::with_capacity(n * size);
    for_each_offset(&view, |at| out.extend_from_slice(&bytes[at * size..(at + 1) * size]));
    Ok(out)
}

/// The one element of a tensor.
///
/// # Errors
/// More than one element, or none; what goes wrong while computing.
pub fn item(t: &Tensor) -> Result<Number> {
    let n = t.numel();
    if n != 1 {
        return Err(Error::runtime(format!("a Tensor with {n} elements cannot be converted to Scalar")));
    }
    let (buffer, view) = computed(t)?;
    let dtype = t.dtype();
    let from = view.offset as usize * dtype.size();
    Ok(number(read_scalar(dtype, &buffer.bytes()[from..from + dtype.size()])))
}

/// A scalar as a Python number.
pub fn number(s: Scalar) -> Number {
    if s.dtype == DType::Bool {
        Number::Bool(s.bits != 0)
    } else if s.dtype.is_float() {
        Number::Float(s.as_f64())
    } else {
        Number::Int(s.as_i64())
    }
}

/// A tensor of given bytes, dense, row-major, little-endian.
///
/// # Errors
/// A length that does not fit the sizes; no memory.
pub fn from_bytes(bytes: &[u8], dtype: DType, sizes: &[i64]) -> Result<Tensor> {
    let expected = sizes.iter().try_fold(dtype.size() as i64, |n, &s| n.checked_mul(s).filter(|_| s >= 0));
    if expected != Some(bytes.len() as i64) {
        return Err(Error::value(format!(
            "{} bytes do not hold a tensor of shape {sizes:?} and type {dtype}",
            bytes.len()
        )));
    }
    let buffer = Buffer::from_slice(bytes)?;
    Ok(Tensor::from_value(Node::leaf(buffer, Type::fixed(dtype, sizes))))
}

/// A tensor of given scalars, converted to `dtype`.
///
/// # Errors
/// No memory.
pub fn from_numbers(numbers: &[Number], dtype: DType, sizes: &[i64]) -> Result<Tensor> {
    let size = dtype.size();
    check_room(numbers.len() as i64, size)?;
    let mut bytes = vec![0u8; numbers.len() * size];
    for (n, out) in numbers.iter().zip(bytes.chunks_exact_mut(size)) {
        out.copy_from_slice(&n.scalar(dtype).bits.to_le_bytes()[..size]);
    }
    from_bytes(&bytes, dtype, sizes)
}

/// The positions of the elements that are not zero, in row-major order, as an `i64[n, rank]` tensor.
///
/// # Errors
/// What goes wrong while computing.
pub fn nonzero(t: &Tensor) -> Result<Tensor> {
    let (buffer, view) = computed(t)?;
    let (dtype, size) = (t.dtype(), t.dtype().size());
    let rank = view.sizes.len();
    let bytes = buffer.bytes();
    let mut at = vec![0i64; rank];
    let mut out: Vec<i64> = Vec::new();
    let mut count = 0;
    for_each_offset(&view, |offset| {
        let s = read_scalar(dtype, &bytes[offset * size..(offset + 1) * size]);
        if s.as_f64() != 0.0 {
            out.extend_from_slice(&at);
            count += 1;
        }
        for axis in (0..rank).rev() {
            at[axis] += 1;
            if at[axis] < view.sizes[axis] {
                break;
            }
            at[axis] = 0;
        }
    });
    let buffer = Buffer::from_slice(&out)?;
    Ok(Tensor::from_value(Node::leaf(buffer, Type::fixed(DType::I64, &[count, rank as i64]))))
}

/// So many bytes are worth a second thread to copy them.
const SHARED: usize = 1 << 20;

/// Tensors joined on the host, where they are in memory already: data sets are put together so, sample
/// by sample, and a graph of hundreds of slices would be compiled for what is a few copies.
///
/// `None` where something would have to be computed, or a derivative could flow.
///
/// # Errors
/// No memory.
pub fn concatenated(parts: &[&Tensor], axis: usize, dtype: DType) -> Result<Option<Tensor>> {
    let mut sizes = parts[0].sizes();
    let outer: i64 = sizes[..axis].iter().product();
    if outer != 1 || parts.iter().any(|t| t.dtype() != dtype || t.requires_grad()) {
        return Ok(None);
    }
    let mut found = Vec::with_capacity(parts.len());
    for t in parts {
        match t.in_memory() {
            Some((Memory::Host(buffer), view)) if view.is_contiguous() => found.push((buffer, view)),
            _ => return Ok(None),
        }
    }
    let size = dtype.size();
    check_room(found.iter().map(|(_, v)| numel(&v.sizes)).sum(), size)?;
    sizes[axis] = found.iter().map(|(_, v)| v.sizes[axis]).sum();
    let bytes = numel(&sizes) as usize * size;
    let mut joined = Buffer::new(bytes)?;
    let mut rest = joined.bytes_mut().unwrap_or_default();
    let mut copies = Vec::with_capacity(found.len());
    for (buffer, view) in &found {
        let from = view.offset as usize * size;
        let from = &buffer.bytes()[from..from + numel(&view.sizes) as usize * size];
        let (to, behind) = rest.split_at_mut(from.len());
        copies.push(Mutex::new((to, from)));
        rest = behind;
    }
    let copy = |i: usize| {
        let (to, from) = &mut *copies[i].lock();
        to.copy_from_slice(from);
    };
    if bytes >= SHARED {
        threads::parallel(copies.len(), &|_, i| copy(i));
    } else {
        (0..copies.len()).for_each(copy);
    }
    drop(copies);
    Ok(Some(Tensor::from_value(Node::leaf(joined, Type::fixed(dtype, &sizes)))))
}
