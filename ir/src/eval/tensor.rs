//! A dense array with its type: what the interpreter computes on, and what tests compare.

use super::scalar::round_to;
use crate::dtype::{DType, Scalar};
use crate::shape::Type;
use half::{bf16, f16};
use std::fmt;
use thiserror::Error;

/// A row-major array; elements are little-endian bytes, `bool` one byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Tensor {
    pub dtype: DType,
    pub dims: Vec<i64>,
    /// `dims.product() * dtype.size()` bytes.
    pub data: Vec<u8>,
}

/// Where two tensors that ought to be equal differ.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum Mismatch {
    #[error("types differ: {left} and {right}")]
    Types { left: Box<Type>, right: Box<Type> },
    #[error("{count} of {len} elements differ; worst at {position:?}: {left} and {right}")]
    Elements { count: usize, len: usize, position: Vec<i64>, left: f64, right: f64 },
}

impl Tensor {
    /// Every byte 0.
    pub fn zeros(dtype: DType, dims: &[i64]) -> Tensor {
        Tensor { dtype, dims: dims.to_vec(), data: vec![0; product(dims) * dtype.size()] }
    }

    pub fn full(value: Scalar, dims: &[i64]) -> Tensor {
        let mut out = Tensor::zeros(value.dtype, dims);
        for i in 0..out.len() {
            out.set(i, value);
        }
        out
    }

    /// A tensor of rank 0.
    pub fn scalar(value: Scalar) -> Tensor {
        Tensor::full(value, &[])
    }

    /// Values rounded to `dtype` (integers: truncated and saturated). Their number is the dimensions' product.
    pub fn from_f64(dtype: DType, dims: &[i64], values: &[f64]) -> Tensor {
        debug_assert_eq!(values.len(), product(dims), "one value an element");
        let data = match dtype {
            DType::F64 => bytes(values, |v| v.to_le_bytes()),
            DType::F32 => bytes(values, |v| (v as f32).to_le_bytes()),
            DType::F16 => bytes(values, |v| f16::from_f32(v as f32).to_le_bytes()),
            DType::BF16 => bytes(values, |v| bf16::from_f32(v as f32).to_le_bytes()),
            DType::Bool => bytes(values, |v| [(v != 0.0) as u8]),
            DType::U8 => bytes(values, |v| [v as u8]),
            DType::I8 => bytes(values, |v| (v as i8).to_le_bytes()),
            DType::I16 => bytes(values, |v| (v as i16).to_le_bytes()),
            DType::I32 => bytes(values, |v| (v as i32).to_le_bytes()),
            DType::I64 => bytes(values, |v| (v as i64).to_le_bytes()),
        };
        Tensor { dtype, dims: dims.to_vec(), data }
    }

    pub fn from_f32(dims: &[i64], values: &[f32]) -> Tensor {
        debug_assert_eq!(values.len(), product(dims), "one value an element");
        Tensor { dtype: DType::F32, dims: dims.to_vec(), data: bytes(values, |v| v.to_le_bytes()) }
    }

    /// Values wrapped to `dtype` (floats: rounded; `bool`: not 0).
    pub fn from_i64(dtype: DType, dims: &[i64], values: &[i64]) -> Tensor {
        debug_assert_eq!(values.len(), product(dims), "one value an element");
        let data = match dtype {
            DType::F64 => bytes(values, |v| (v as f64).to_le_bytes()),
            DType::F32 => bytes(values, |v| (v as f32).to_le_bytes()),
            DType::F16 => bytes(values, |v| f16::from_f32(v as f32).to_le_bytes()),
            DType::BF16 => bytes(values, |v| bf16::from_f32(v as f32).to_le_bytes()),
            DType::Bool => bytes(values, |v| [(v != 0) as u8]),
            DType::U8 | DType::I8 => bytes(values, |v| [v as u8]),
            DType::I16 => bytes(values, |v| (v as i16).to_le_bytes()),
            DType::I32 => bytes(values, |v| (v as i32).to_le_bytes()),
            DType::I64 => bytes(values, |v| v.to_le_bytes()),
        };
        Tensor { dtype, dims: dims.to_vec(), data }
    }

    pub fn from_bools(dims: &[i64], values: &[bool]) -> Tensor {
        debug_assert_eq!(values.len(), product(dims), "one value an element");
        Tensor { dtype: DType::Bool, dims: dims.to_vec(), data: bytes(values, |v| [v as u8]) }
    }

    /// The tensor of `ty` whose sizes are numbers already; `None` when one is not.
    pub fn zeros_of(ty: &Type) -> Option<Tensor> {
        let dims: Option<Vec<i64>> = ty.shape.iter().map(|d| d.fixed()).collect();
        Some(Tensor::zeros(ty.dtype, &dims?))
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.data.len() / self.dtype.size()
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    pub fn ty(&self) -> Type {
        Type::fixed(self.dtype, &self.dims)
    }

    /// The `i`-th element in row-major order.
    pub fn get(&self, i: usize) -> Scalar {
        read_scalar(self.dtype, &self.data[i * self.dtype.size()..])
    }

    /// The element at a position.
    pub fn at(&self, position: &[i64]) -> Scalar {
        let i = position.iter().zip(&self.dims).fold(0, |i, (p, d)| i * d + p);
        self.get(i as usize)
    }

    pub fn set(&mut self, i: usize, value: Scalar) {
        debug_assert_eq!(value.dtype, self.dtype);
        let size = self.dtype.size();
        write_scalar(value, &mut self.data[i * size..(i + 1) * size]);
    }

    /// The elements as floats; exact for all but large `i64`.
    pub fn to_f64(&self) -> Vec<f64> {
        let d = &self.data;
        match self.dtype {
            DType::F64 => elements(d, f64::from_le_bytes),
            DType::F32 => elements(d, |b| f32::from_le_bytes(b) as f64),
            DType::F16 => elements(d, |b| f16::from_le_bytes(b).to_f64()),
            DType::BF16 => elements(d, |b| bf16::from_le_bytes(b).to_f64()),
            DType::Bool => elements(d, |[b]| (b != 0) as u8 as f64),
            DType::U8 => elements(d, |[b]| b as f64),
            DType::I8 => elements(d, |b| i8::from_le_bytes(b) as f64),
            DType::I16 => elements(d, |b| i16::from_le_bytes(b) as f64),
            DType::I32 => elements(d, |b| i32::from_le_bytes(b) as f64),
            DType::I64 => elements(d, |b| i64::from_le_bytes(b) as f64),
        }
    }

    pub fn to_f32(&self) -> Vec<f32> {
        self.to_f64().into_iter().map(|v| v as f32).collect()
    }

    /// The elements as integers; floats are truncated.
    pub fn to_i64(&self) -> Vec<i64> {
        let d = &self.data;
        match self.dtype {
            DType::F64 | DType::F32 | DType::F16 | DType::BF16 => {
                self.to_f64().into_iter().map(|v| v as i64).collect()
            }
            DType::Bool => elements(d, |[b]| (b != 0) as i64),
            DType::U8 => elements(d, |[b]| b as i64),
            DType::I8 => elements(d, |b| i8::from_le_bytes(b) as i64),
            DType::I16 => elements(d, |b| i16::from_le_bytes(b) as i64),
            DType::I32 => elements(d, |b| i32::from_le_bytes(b) as i64),
            DType::I64 => elements(d, i64::from_le_bytes),
        }
    }

    /// Each element converted as the `cast` operation does it.
    pub fn cast(&self, dtype: DType) -> Tensor {
        if self.dtype.is_float() {
            Tensor::from_f64(dtype, &self.dims, &self.to_f64())
        } else {
            Tensor::from_i64(dtype, &self.dims, &self.to_i64())
        }
    }

    /// Checks that both have one type and the same elements; a NaN equals any NaN, and `0 != -0`.
    ///
    /// # Errors
    /// The first difference.
    pub fn same(&self, other: &Tensor) -> Result<(), Mismatch> {
        self.compare(other, |i| {
            let (a, b) = (self.get(i), other.get(i));
            let both_nan = a.dtype.is_float() && a.as_f64().is_nan() && b.as_f64().is_nan();
            if a == b || both_nan { 0.0 } else { 1.0 }
        })
    }

    /// Checks that both have one type and that `|a - b| <= atol + rtol * |b|` for each element.
    /// NaN equals NaN, and an infinity only itself.
    ///
    /// # Errors
    /// The worst difference.
    pub fn close(&self, other: &Tensor, rtol: f64, atol: f64) -> Result<(), Mismatch> {
        let (a, b) = (self.to_f64(), other.to_f64());
        self.compare(other, |i| {
            let (a, b) = (a[i], b[i]);
            if a == b || (a.is_nan() && b.is_nan()) {
                return 0.0;
            }
            let excess = (a - b).abs() - (atol + rtol * b.abs());
            if excess <= 0.0 && b.is_finite() {
                0.0
            } else if excess.is_nan() || excess <= 0.0 {
                f64::INFINITY
            } else {
                excess
            }
        })
    }

    /// `badness(i)` is 0 where the elements agree.
    fn compare(&self, other: &Tensor, badness: impl Fn(usize) -> f64) -> Result<(), Mismatch> {
        if self.dtype != other.dtype || self.dims != other.dims {
            return Err(Mismatch::Types { left: Box::new(self.ty()), right: Box::new(other.ty()) });
        }
        let (mut count, mut worst) = (0, (0.0, 0));
        for i in 0..self.len() {
            let bad = badness(i);
            if bad > 0.0 {
                count += 1;
                if bad > worst.0 {
                    worst = (bad, i);
                }
            }
        }
        if count == 0 {
            return Ok(());
        }
        let mut position = vec![0; self.rank()];
        let mut rest = worst.1 as i64;
        for (p, d) in position.iter_mut().zip(&self.dims).rev() {
            (*p, rest) = (rest % d, rest / d);
        }
        let (left, right) = (self.get(worst.1).as_f64(), other.get(worst.1).as_f64());
        Err(Mismatch::Elements { count, len: self.len(), position, left, right })
    }

    /// A tensor of the same type from values computed in double precision, each rounded once.
    pub fn with_values(&self, values: impl IntoIterator<Item = f64>) -> Tensor {
        let values: Vec<f64> = values.into_iter().map(|v| round_to(self.dtype, v)).collect();
        Tensor::from_f64(self.dtype, &self.dims, &values)
    }
}

impl fmt::Debug for Tensor {
    /// The type, and the first few elements in row-major order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        write!(f, "{}{:?} ", self.dtype, self.dims)?;
        let mut list = f.debug_list();
        for i in 0..self.len().min(SHOWN) {
            if self.dtype.is_float() {
                list.entry(&self.get(i).as_f64());
            } else {
                list.entry(&self.get(i).as_i64());
            }
        }
        if self.len() > SHOWN {
            list.entry(&format_args!("..."));
        }
        list.finish()
    }
}

/// The first element of `bytes`, which are at least as many as the type's size.
pub fn read_scalar(dtype: DType, bytes: &[u8]) -> Scalar {
    let mut wide = [0u8; 8];
    let size = dtype.size();
    wide[..size].copy_from_slice(&bytes[..size]);
    let bits = u64::from_le_bytes(wide);
    match dtype {
        DType::Bool => Scalar { dtype, bits: (bits != 0) as u64 },
        DType::U8 | DType::F16 | DType::BF16 | DType::F32 | DType::F64 | DType::I64 => Scalar { dtype, bits },
        DType::I8 => Scalar { dtype, bits: bits as i8 as u64 },
        DType::I16 => Scalar { dtype, bits: bits as i16 as u64 },
        DType::I32 => Scalar { dtype, bits: bits as i32 as u64 },
    }
}

/// Writes a value over the first bytes of `out`.
pub fn write_scalar(value: Scalar, out: &mut [u8]) {
    let size = value.dtype.size();
    out[..size].copy_from_slice(&value.bits.to_le_bytes()[..size]);
}

fn product(dims: &[i64]) -> usize {
    dims.iter().map(|&d| d as usize).product()
}

fn bytes<T: Copy, const N: usize>(values: &[T], f: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() * N);
    for &v in values {
        out.extend_from_slice(&f(v));
    }
    out
}

fn elements<T, const N: usize>(data: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|c| f(*c)).collect()
}
