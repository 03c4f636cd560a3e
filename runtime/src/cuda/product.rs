//! A product for certain sizes, as cuBLASLt takes it.
//!
//! The description is of strides in any relation; here they become the library's matrices, whose columns are dense,
//! or it is found that they cannot.

use super::blas::{ALIGNMENT, Epilogue, Layout, Matmul, Shape};
use super::bound::{DeviceBound, Value};
use super::calls::{Memory, value};
use super::device::Device;
use super::driver::{Address, Stream};
use super::error::CudaError;
use super::plan::Places;
use ttk_ir::device::Argument;
use ttk_ir::library::{Activation, Matrix, Product, Side};
use ttk_ir::program::Program;

/// A product that the library has an algorithm for.
pub(super) struct ProductCall {
    matmul: Matmul,
    /// A, B, C and D, as the library names them, and the vector and the auxiliary matrix of the epilogue.
    operands: [Value; 6],
    /// For each call, where A, B and D begin: bytes. C and the auxiliary matrix lie as D does.
    offsets: Vec<[Address; 3]>,
}

/// A product is at most so many calls; beyond that the program's own function, which is one launch, is used.
const MOST_CALLS: usize = 16;

impl ProductCall {
    /// `None` when the library has no way to compute it.
    pub(super) fn new(
        device: &Device,
        program: &Program,
        bound: &DeviceBound,
        p: &Product,
    ) -> Option<ProductCall> {
        let blas = device.blas()?;
        let product = Concrete::new(&Memory { program, bound }, p)?;
        let (shape, swapped, offsets) = product.shape()?;
        // An error here is one of the description; the program's own functions need none.
        let matmul = Matmul::new(blas, &shape).ok().flatten()?;
        let (a, b) = if swapped { (&p.b, &p.a) } else { (&p.a, &p.b) };
        let d = value(&p.c.memory)?;
        let c = p.addend.map_or(d, Value::Buffer);
        let vector = p.bias.or(p.sum.map(|s| s.result)).map_or(Value::Number(0), Value::Buffer);
        let auxiliary = p.before.map_or(Value::Number(0), Value::Buffer);
        let operands = [value(&a.memory)?, value(&b.memory)?, c, d, vector, auxiliary];
        Some(ProductCall { matmul, operands, offsets })
    }

    pub(super) fn run(&self, places: &Places, stream: &Stream) -> Result<(), CudaError> {
        let [a, b, c, d, vector, auxiliary] = self.operands.map(|v| places.value(v));
        for &[at_a, at_b, at_d] in &self.offsets {
            let addresses = [a + at_a, b + at_b, c + at_d, d + at_d];
            // SAFETY: the extents of all operands were checked against their memory when the call was prepared.
            unsafe { self.matmul.run(stream, addresses, [vector, auxiliary + at_d]) }?;
        }
        Ok(())
    }
}

/// A matrix with its numbers.
#[derive(Clone, Debug)]
struct Strided {
    offset: i64,
    /// For each batch axis.
    batch: Vec<i64>,
    rows: i64,
    cols: i64,
    row_stride: i64,
    col_stride: i64,
}

impl Strided {
    /// The stride of its rows, if they are dense: where there is one row, any.
    fn dense_rows(&self) -> Option<i64> {
        dense(self.rows, self.row_stride, self.cols, self.col_stride)
    }

    fn dense_cols(&self) -> Option<i64> {
        dense(self.cols, self.col_stride, self.rows, self.row_stride)
    }

    /// Whether all of it lies in memory of so many elements.
    fn lies_in(&self, batch: &[i64], len: i64) -> bool {
        let (mut low, mut high) = (i128::from(self.offset), i128::from(self.offset));
        let own = [(self.rows, self.row_stride), (self.cols, self.col_stride)];
        for (size, stride) in batch.iter().copied().zip(self.batch.iter().copied()).chain(own) {
            let reach = i128::from(size - 1) * i128::from(stride);
            if reach < 0 { low += reach } else { high += reach }
        }
        low >= 0 && high < i128::from(len)
    }
}

/// The stride of `lines` lines of `len` elements that lie next to each other.
fn dense(lines: i64, stride: i64, len: i64, step: i64) -> Option<i64> {
    let stride = if lines == 1 { len } else { stride };
    ((len == 1 || step == 1) && stride >= len).then_some(stride)
}

/// A product with its numbers.
struct Concrete<'a> {
    product: &'a Product,
    batch: Vec<i64>,
    a: Strided,
    b: Strided,
    c: Strided,
}

impl<'a> Concrete<'a> {
    /// `None` if it is empty, or reaches beyond its memory.
    fn new(memory: &Memory<'_>, p: &'a Product) -> Option<Concrete<'a>> {
        let number = |e: &ttk_ir::Expr| memory.number(e);
        let [m, n, k] = [&p.m, &p.n, &p.k].map(number);
        let batch: Vec<i64> = p.batch.iter().map(number).collect();
        if [m, n, k].iter().chain(&batch).any(|&size| size < 1) {
            return None;
        }
        let matrix = |m: &Matrix, rows: i64, cols: i64| {
            let len = memory.elements(&m.memory, p.dtype)?;
            let strided = Strided {
                offset: number(&m.offset),
                batch: m.batch_strides.iter().map(number).collect(),
                rows,
                cols,
                row_stride: number(&m.row_stride),
                col_stride: number(&m.col_stride),
            };
            (strided.batch.len() == batch.len() && strided.lies_in(&batch, len)).then_some(strided)
        };
        let elements = |id| memory.elements(&Argument::Buffer(id), p.dtype);
        let (a, b, c) = (matrix(&p.a, m, k)?, matrix(&p.b, k, n)?, matrix(&p.c, m, n)?);
        let too_short = |id, len: i64| elements(id).is_none_or(|there| there < len);
        let summed = |of| if of == Side::A { m } else { n };
        if p.bias.is_some_and(|id| too_short(id, n))
            || p.sum.is_some_and(|s| too_short(s.result, summed(s.of)))
            || [p.addend, p.before]
                .into_iter()
                .flatten()
                .any(|id| elements(id).is_none_or(|len| !c.lies_in(&batch, len)))
        {
            return None;
        }
        Some(Concrete { product: p, batch, a, b, c })
    }

    /// The library's description, whether its A is our B, and where each call's operands begin.
    ///
    /// A result of dense rows is, columns first, the transpose of itself: the product of the transposed operands
    /// in the other order.
    fn shape(&self) -> Option<(Shape, bool, Vec<[Address; 3]>)> {
        let Concrete { product: p, batch, a, b, c } = self;
        let (swapped, ld) = match (c.dense_rows(), c.dense_cols()) {
            (Some(ld), _) => (true, ld),
            (None, Some(ld)) => (false, ld),
            (None, None) => return None,
        };
        // A bias runs along the columns that the library sees.
        if !swapped && p.bias.is_some() {
            return None;
        }
        let inner = (0..batch.len()).max_by_key(|&i| batch[i]);
        let outer: Vec<usize> = (0..batch.len()).filter(|&i| Some(i) != inner && batch[i] > 1).collect();
        let calls = outer.iter().try_fold(1usize, |n, &i| n.checked_mul(batch[i] as usize))?;
        if calls > MOST_CALLS {
            return None;
        }
        let stride = |s: &Strided| inner.map_or(0, |i| s.batch[i]);
        // Items of the result must not lie in each other.
        let apart = |s: i64| s != 0;
        if inner.is_some_and(|i| batch[i] > 1 && !apart(c.batch[i])) {
            return None;
        }
        let size = p.dtype.size() as i64;
        let alignment = |s: &Strided, ld: i64| {
            let steps = s.batch.iter().chain([&s.offset, &ld]);
            let bits = steps.fold(ALIGNMENT as i64, |bits, e| bits | (e * size));
            1u32 << bits.trailing_zeros().min(ALIGNMENT.trailing_zeros())
        };
        let layout = |s: &Strided, (rows, cols): (i64, i64), ld: i64| Layout {
            rows: rows as u64,
            cols: cols as u64,
            ld,
            stride: stride(s),
            alignment: alignment(s, ld),
        };
        let operand = |s: &Strided| {
            // Columns first, dense rows are the transpose.
            let by_rows = s.dense_rows().map(|ld| (layout(s, (s.cols, s.rows), ld), !swapped));
            let by_cols = || s.dense_cols().map(|ld| (layout(s, (s.rows, s.cols), ld), swapped));
            by_rows.or_else(by_cols)
        };
        let (first, second) = if swapped { (b, a) } else { (a, b) };
        let ((la, ta), (lb, tb)) = (operand(first)?, operand(second)?);
        let sizes = if swapped { (c.cols, c.rows) } else { (c.rows, c.cols) };
        let epilogue = match (p.activation, p.sum) {
            (Activation::None, None) => Epilogue::DEFAULT,
            (Activation::Relu, None) => Epilogue::RELU,
            (Activation::Gelu, None) => Epilogue::GELU,
            (Activation::GeluGradient, None) if p.bias.is_none() && p.before.is_some() => {
                Epilogue::GELU_GRADIENT
            }
            (Activation::None, Some(sum)) if p.bias.is_none() && batch.is_empty() => {
                if (sum.of == Side::A) == swapped { Epilogue::SUM_B } else { Epilogue::SUM_A }
            }
            (Activation::None | Activation::Relu | Activation::Gelu | Activation::GeluGradient, _) => {
                return None;
            }
        };
        // The library reads an auxiliary matrix whose columns are a multiple of eight elements apart, and whose address is
        // a multiple of 16 bytes.
        if p.before.is_some() && (ld % 8 != 0 || Address::from(alignment(c, ld)) < ALIGNMENT) {
            return None;
        }
        let shape = Shape {
            dtype: p.dtype,
            tf32: p.tf32,
            transposed: [ta, tb],
            a: la,
            b: lb,
            d: layout(c, sizes, ld),
            batch: inner.map_or(Some(1), |i| i32::try_from(batch[i]).ok())?,
            adds: p.addend.is_some(),
            epilogue: if p.bias.is_some() { epilogue.with_bias() } else { epilogue },
            vector: p.bias.is_some() || p.sum.is_some(),
            auxiliary: p.before.is_some(),
        };
        let mut offsets = Vec::with_capacity(calls);
        for call in 0..calls as i64 {
            let at = |s: &Strided| {
                let (mut rest, mut offset) = (call, s.offset);
                for &i in outer.iter().rev() {
                    offset += rest % batch[i] * s.batch[i];
                    rest /= batch[i];
                }
                (offset * size) as Address
            };
            offsets.push([at(first), at(second), at(c)]);
        }
        Some((shape, swapped, offsets))
    }
}
