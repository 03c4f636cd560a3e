//! What NVIDIA's libraries may compute in place of printed functions, described for the runtime.

mod convolution;
mod epilogue;
mod second;
mod sums;

pub(crate) use second::join;

use crate::gemm::View;
use epilogue::Form;
use std::ops::Range;
use ttk_ir::DType;
use ttk_ir::device::Argument;
use ttk_ir::library::{Activation, Alternative, Call, Matrix, Product};
use ttk_ir::program::{Gemm, Program};

/// A product as it has been printed: where its operands lie, and which launches compute it.
pub(crate) struct Printed<'a> {
    pub(crate) step: usize,
    pub(crate) gemm: &'a Gemm,
    pub(crate) a: (&'a Argument, &'a View),
    pub(crate) b: (&'a Argument, &'a View),
    pub(crate) c: (&'a Argument, &'a View),
    pub(crate) tf32: bool,
    /// The launches of the product itself.
    pub(crate) own: Range<usize>,
    /// Where those of its epilogue end.
    pub(crate) end: usize,
}

/// The calls that compute a product, or it and its epilogue; the better first.
pub(crate) fn products(program: &Program, p: &Printed<'_>) -> Vec<Alternative> {
    let g = p.gemm;
    if !has_products(g.dtype) {
        return Vec::new();
    }
    // Sums over more than one axis are no product to a library.
    if !g.reduce.is_empty() {
        let call = |c| Call::Convolution(Box::new(c));
        let found = convolution::convolution(p).map(call);
        let alternative = |call| Alternative { step: p.step as u32, launches: p.own.clone(), call };
        return found.map(alternative).into_iter().collect();
    }
    let matrix = |(memory, view): (&Argument, &View)| Matrix {
        memory: memory.clone(),
        offset: view.offset.clone(),
        batch_strides: view.item_strides[..g.batch.len()].to_vec(),
        row_stride: view.row_stride.clone(),
        col_stride: view.col_stride.clone(),
    };
    let plain = Product {
        dtype: g.dtype,
        m: g.m.clone(),
        n: g.n.clone(),
        k: g.k.clone(),
        batch: g.batch.clone(),
        a: matrix(p.a),
        b: matrix(p.b),
        c: matrix(p.c),
        bias: None,
        addend: None,
        activation: Activation::None,
        before: None,
        sum: None,
        second: None,
        tf32: p.tf32 && g.dtype == DType::F32,
    };
    let alternative =
        |launches, product| Alternative { step: p.step as u32, launches, call: Call::Product(product) };
    let mut out = Vec::new();
    if let Some(form) = epilogue::form(program, g) {
        let Form { result, bias, addend, activation } = form;
        let c = Matrix { memory: Argument::Buffer(result), ..plain.c.clone() };
        let whole = Product { c, bias, addend, activation, ..plain.clone() };
        out.push(alternative(p.own.start..p.end, whole));
    }
    out.push(alternative(p.own.clone(), plain));
    out
}

/// Whether the library multiplies elements of this type.
fn has_products(dtype: DType) -> bool {
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => true,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => false,
    }
}
