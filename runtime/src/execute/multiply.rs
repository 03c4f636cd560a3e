//! One matrix product on one thread.

use super::product::{self, Number, Panels, Product, Style, pairs};
use crate::plan::PANEL_DEPTH;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use ttk_ir::DType;

/// A strided matrix somewhere in memory. Strides count elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix {
    pub(super) start: *mut u8,
    pub(super) dtype: DType,
    pub(super) rs: isize,
    pub(super) cs: isize,
}

impl Matrix {
    pub(super) fn new(start: *mut u8, dtype: DType, rs: isize, cs: isize) -> Matrix {
        Matrix { start, dtype, rs, cs }
    }

    /// The part from a row and a column on.
    pub(super) fn at(self, row: usize, col: usize) -> Matrix {
        let elements = row as isize * self.rs + col as isize * self.cs;
        Matrix { start: self.start.wrapping_offset(elements * self.dtype.size() as isize), ..self }
    }
}

/// Computes a product. Operands have one type; `c` has that type, or `f32` for 16-bit operands, which
/// are converted in `scratch`.
///
/// # Safety
/// The matrices must be in memory as said and `c` overlap nothing; `scratch` must have what [`scratch`]
/// says.
pub(super) unsafe fn multiply(p: &Product) {
    // SAFETY: in all arms, passed on from the caller; the types are those of the matrices.
    unsafe {
        if p.pairs {
            return pairs::multiply(p);
        }
        match p.a.dtype {
            DType::F32 => float::<f32>(p),
            DType::F64 => float::<f64>(p),
            DType::F16 => narrow::<f16>(p, |from, to| from.convert_to_f32_slice(to)),
            DType::BF16 => narrow::<bf16>(p, |from, to| from.convert_to_f32_slice(to)),
            DType::U8 | DType::Bool => integer::<u8>(p),
            DType::I8 => integer::<i8>(p),
            DType::I16 => integer::<i16>(p),
            DType::I32 => integer::<i32>(p),
            DType::I64 => integer::<i64>(p),
        }
    }
}

/// Bytes of scratch that products of blocks of so many rows and columns need, when `copied` rows or
/// columns are copied first.
pub(crate) fn scratch(dtype: DType, m: usize, n: usize, k: usize, copied: usize) -> usize {
    let pack = product::scratch(dtype.compute().size(), k, copied);
    if dtype == dtype.compute() {
        return pack;
    }
    let depth = k.min(PANEL_DEPTH);
    pack.next_multiple_of(64) + (m * depth + depth * n) * size_of::<f32>()
}

/// Packs one panel of the operand on the lanes, `in_pairs` or by numbers; does nothing where there are no tiles of our own.
///
/// # Safety
/// As of [`multiply`]; `to` must have room for all panels.
pub(super) unsafe fn prepack(
    style: Style,
    in_pairs: bool,
    k: usize,
    x: Matrix,
    panels: &Panels,
    panel: usize,
    to: *mut u8,
) {
    if in_pairs {
        // SAFETY: passed on from the caller.
        return unsafe { pairs::prepack(style, k, x, panels, panel, to) };
    }
    // SAFETY: in all arms, passed on from the caller; the types are those of the matrix.
    unsafe {
        match (x.dtype, f32::tiles(), f64::tiles()) {
            (DType::F32, Some(tiles), _) => product::prepack(tiles, style, k, x, panels, panel, to.cast()),
            (DType::F64, _, Some(tiles)) => product::prepack(tiles, style, k, x, panels, panel, to.cast()),
            _ => {}
        }
    }
}

/// Fills a block with zeros.
///
/// # Safety
/// The block must be in memory and the caller's.
pub(super) unsafe fn zero(m: usize, n: usize, c: Matrix) {
    for i in 0..m {
        for j in 0..n {
            // SAFETY: an element of the block; all-zero bits are zero in every type.
            unsafe { c.at(i, j).start.write_bytes(0, c.dtype.size()) };
        }
    }
}

/// Copies a block, rounding `f32` to 16-bit floats when `to` has them.
///
/// # Safety
/// Both blocks must be in memory, apart from each other, and `to` the caller's. Unless the types are
/// equal, `from` is `f32` and `to` a 16-bit float.
pub(super) unsafe fn convert_block(m: usize, n: usize, from: Matrix, to: Matrix) {
    for i in 0..m {
        let (from, to) = (from.at(i, 0), to.at(i, 0));
        // SAFETY: row `i` of both blocks, element by element.
        unsafe {
            if from.dtype == to.dtype {
                let size = to.dtype.size();
                if from.cs == 1 && to.cs == 1 {
                    to.start.copy_from_nonoverlapping(from.start, n * size);
                } else {
                    for j in 0..n {
                        to.at(0, j).start.copy_from_nonoverlapping(from.at(0, j).start, size);
                    }
                }
            } else if to.dtype == DType::F16 {
                convert_row::<f32, f16>(n, from, to, f16::from_f32);
            } else if from.cs == 1 && to.cs == 1 {
                let from = std::slice::from_raw_parts(from.start.cast::<f32>(), n);
                pairs::round(from, std::slice::from_raw_parts_mut(to.start.cast::<u16>(), n));
            } else {
                convert_row::<f32, bf16>(n, from, to, bf16::from_f32);
            }
        }
    }
}

/// `into += from` for dense sums.
///
/// # Safety
/// Both must hold `n` elements in a row, apart from each other, and `into` be the caller's.
pub(super) unsafe fn sum_into(n: usize, into: Matrix, from: Matrix) {
    /// # Safety
    /// As of `sum_into`.
    unsafe fn sum<T: Copy>(n: usize, into: Matrix, from: Matrix, add: impl Fn(T, T) -> T) {
        // SAFETY: passed on from the caller.
        let (into, from) = unsafe {
            (
                std::slice::from_raw_parts_mut(into.start.cast::<T>(), n),
                std::slice::from_raw_parts(from.start.cast::<T>(), n),
            )
        };
        for (x, y) in into.iter_mut().zip(from) {
            *x = add(*x, *y);
        }
    }
    // SAFETY: in all arms, passed on from the caller.
    unsafe {
        match into.dtype {
            DType::F32 | DType::F16 | DType::BF16 => sum::<f32>(n, into, from, |a, b| a + b),
            DType::F64 => sum::<f64>(n, into, from, |a, b| a + b),
            DType::U8 | DType::Bool => sum::<u8>(n, into, from, u8::wrapping_add),
            DType::I8 => sum::<i8>(n, into, from, i8::wrapping_add),
            DType::I16 => sum::<i16>(n, into, from, i16::wrapping_add),
            DType::I32 => sum::<i32>(n, into, from, i32::wrapping_add),
            DType::I64 => sum::<i64>(n, into, from, i64::wrapping_add),
        }
    }
}

trait Float: Number {
    const ONE: Self;
    const ZERO: Self;
}

impl Float for f32 {
    const ONE: f32 = 1.0;
    const ZERO: f32 = 0.0;
}

impl Float for f64 {
    const ONE: f64 = 1.0;
    const ZERO: f64 = 0.0;
}

/// By our own tiles, or by the crate `gemm` on machines for which we have none.
///
/// # Safety
/// As of [`multiply`].
unsafe fn float<T: Float>(p: &Product) {
    // SAFETY: passed on from the caller.
    unsafe {
        match T::tiles() {
            Some(tiles) => product::multiply(tiles, p),
            None => by_crate::<T>(p),
        }
    }
}

/// # Safety
/// As of [`multiply`].
unsafe fn by_crate<T: Float>(p: &Product) {
    let Product { m, n, k, a, b, c, add, .. } = *p;
    let keep = if add { T::ONE } else { T::ZERO };
    // SAFETY: passed on from the caller.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.start.cast::<T>(),
            c.cs,
            c.rs,
            add,
            a.start.cast::<T>(),
            a.cs,
            a.rs,
            b.start.cast::<T>(),
            b.cs,
            b.rs,
            keep,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// 16-bit operands, converted panel by panel; the sums are `f32` throughout.
///
/// # Safety
/// As of [`multiply`].
unsafe fn narrow<T: Copy + Into<f32>>(p: &Product, dense: impl Fn(&[T], &mut [f32])) {
    let Product { m, n, k, a, b, .. } = *p;
    let depth = k.min(PANEL_DEPTH);
    let pack = product::scratch(size_of::<f32>(), k, 0).next_multiple_of(64);
    let wide_a = p.scratch.wrapping_add(pack);
    let wide_b = wide_a.wrapping_add(m * depth * size_of::<f32>());
    let wide_a = Matrix::new(wide_a, DType::F32, depth as isize, 1);
    let wide_b = Matrix::new(wide_b, DType::F32, n as isize, 1);
    let widen = |n: usize, from: Matrix, to: Matrix| {
        // SAFETY: a row of a panel, and of the room for it.
        unsafe {
            if from.cs == 1 {
                let from = std::slice::from_raw_parts(from.start.cast::<T>(), n);
                dense(from, std::slice::from_raw_parts_mut(to.start.cast::<f32>(), n));
            } else {
                convert_row::<T, f32>(n, from, to, T::into);
            }
        }
    };
    let mut at = 0;
    loop {
        let d = depth.min(k - at);
        (0..m).for_each(|i| widen(d, a.at(i, at), wide_a.at(i, 0)));
        (0..d).for_each(|q| widen(n, b.at(at + q, 0), wide_b.at(q, 0)));
        let part = Product { k: d, a: wide_a, b: wide_b, add: p.add || at > 0, ..*p };
        // SAFETY: panels in scratch, and `c` of the caller.
        unsafe { float::<f32>(&part) };
        at += d;
        if at >= k {
            return;
        }
    }
}

/// # Safety
/// Both rows must hold `n` elements of these types; `to` is the caller's.
unsafe fn convert_row<T: Copy, U>(n: usize, from: Matrix, to: Matrix, convert: impl Fn(T) -> U) {
    let (source, target) = (from.start.cast::<T>(), to.start.cast::<U>());
    for j in 0..n as isize {
        // SAFETY: element `j` of each row.
        unsafe { *target.offset(j * to.cs) = convert(*source.offset(j * from.cs)) };
    }
}

trait Integer: Copy {
    /// `self + a * b`, wrapping.
    fn plus(self, a: Self, b: Self) -> Self;
}

macro_rules! integers {
    ($($t:ty)*) => { $(
        impl Integer for $t {
            fn plus(self, a: $t, b: $t) -> $t {
                self.wrapping_add(a.wrapping_mul(b))
            }
        }
    )* };
}
integers! { u8 i8 i16 i32 i64 }

/// # Safety
/// As of [`multiply`].
unsafe fn integer<T: Integer>(p: &Product) {
    let Product { m, n, k, a, b, c, add, .. } = *p;
    // SAFETY: every access is an element of one of the matrices.
    unsafe {
        if !add {
            zero(m, n, c);
        }
        for i in 0..m {
            let row = c.at(i, 0).start.cast::<T>();
            for p in 0..k {
                let x = *a.at(i, p).start.cast::<T>();
                let from = b.at(p, 0).start.cast::<T>();
                if b.cs == 1 && c.cs == 1 {
                    let from = std::slice::from_raw_parts(from, n);
                    let row = std::slice::from_raw_parts_mut(row, n);
                    for (y, z) in row.iter_mut().zip(from) {
                        *y = y.plus(x, *z);
                    }
                } else {
                    for j in 0..n as isize {
                        let y = row.offset(j * c.cs);
                        *y = (*y).plus(x, *from.offset(j * b.cs));
                    }
                }
            }
        }
    }
}
