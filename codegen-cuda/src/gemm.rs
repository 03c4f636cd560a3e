//! Products of matrices: tiles of the result in registers, tiles of the operands in shared memory.

mod simt;

use crate::names::Code;
use crate::program::Arguments;
use ttk_ir::program::Gemm;
use ttk_ir::{DType, Expr};

/// A strided matrix for each item: sizes are over the program's symbols.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) offset: Expr,
    /// For each batch axis, then each reduce axis.
    pub(crate) item_strides: Vec<Expr>,
    pub(crate) row_stride: Expr,
    pub(crate) col_stride: Expr,
}

/// A product to print.
#[derive(Debug)]
pub(crate) struct Product<'a> {
    pub(crate) gemm: &'a Gemm,
    pub(crate) a: View,
    pub(crate) b: View,
    pub(crate) c: View,
    pub(crate) tf32: bool,
}

/// A printed product: its text, threads of a block and blocks.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) text: String,
    pub(crate) block: u32,
    pub(crate) grid: Expr,
}

/// The types of the memory and of the sums of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Types {
    pub(crate) memory: &'static str,
    /// In which operands are multiplied and summed: integers without a sign, so that they wrap.
    pub(crate) sum: &'static str,
}

pub(crate) fn types(dtype: DType) -> Option<Types> {
    let memory = crate::scalar::memory(dtype);
    let sum = match dtype {
        DType::Bool => return None,
        DType::U8 | DType::I8 | DType::I16 | DType::I32 => "unsigned",
        DType::I64 => "unsigned long long",
        DType::F16 | DType::BF16 | DType::F32 => "float",
        DType::F64 => "double",
    };
    Some(Types { memory, sum })
}

/// Prints a product under a name. The first three parameters of the function are the two operands and the
/// result; `arguments` collects the sizes that follow. `None` for a type that has no products.
pub(crate) fn print(product: &Product<'_>, name: &str, arguments: &mut Arguments) -> Option<Printed> {
    simt::print(product, name, arguments)
}

/// Prints the position of the operands for the product number `item` of axes of these sizes: adds to each
/// variable the dot product of positions and strides.
fn offsets(
    code: &mut Code,
    item: &str,
    sizes: &[Expr],
    moved: &[(&str, Vec<Expr>)],
    arguments: &mut Arguments,
) {
    let mut rest = item.to_string();
    for (axis, size) in sizes.iter().enumerate().rev() {
        let steps: Vec<(&str, String)> = moved
            .iter()
            .filter(|(_, strides)| !strides[axis].is_zero())
            .map(|(name, strides)| (*name, arguments.number(&strides[axis])))
            .collect();
        let at = if axis == 0 { rest.clone() } else { format!("{rest} % {}", arguments.number(size)) };
        for (name, stride) in steps {
            let at = if at.contains(' ') { format!("({at})") } else { at.clone() };
            code.line(format!("{name} += {at} * {stride};"));
        }
        if axis > 0 {
            rest = format!("{rest} / {}", arguments.number(size));
        }
    }
}

/// The product of sizes.
fn product(sizes: &[Expr]) -> Expr {
    sizes.iter().fold(Expr::constant(1), |n, e| n.mul(e))
}
