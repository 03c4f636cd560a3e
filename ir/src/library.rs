//! What a vendor's library may compute in place of printed functions: a product or a convolution, described
//! so that the library's own descriptors can be made of it.
//!
//! A [`DeviceProgram`](crate::device::DeviceProgram) always holds functions for all of its steps. An [`Alternative`] says
//! which launches of a step a call computes as well. Whether it is taken is the runtime's choice, for each
//! combination of sizes: the library must be there, and know the layout.

use crate::device::Argument;
use crate::dtype::DType;
use crate::expr::Expr;
use crate::program::BufferId;
use std::fmt;
use std::ops::Range;

/// A call that may stand for some launches of a step.
#[derive(Clone, PartialEq, Debug)]
pub struct Alternative {
    /// The step, whose form for the device is [`DeviceStep::Launch`](crate::device::DeviceStep::Launch).
    pub step: u32,
    /// The launches that it stands for.
    pub launches: Range<usize>,
    pub call: Call,
}

#[derive(Clone, PartialEq, Debug)]
#[expect(clippy::large_enum_variant, reason = "most calls are the large one")]
pub enum Call {
    /// cuBLASLt's `cublasLtMatmul`.
    Product(Product),
    /// cuDNN's `cudnnConvolutionForward`, `cudnnConvolutionBackwardData` or `cudnnConvolutionBackwardFilter`.
    Convolution(Box<Convolution>),
}

/// Which of the three tensors of a convolution `y = x * filter` is computed of the other two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// `y`
    Forward,
    /// `x`, of gradients with respect to `y`.
    Data,
    /// The filter, of `x` and gradients with respect to `y`.
    Filter,
}

/// `y[n, k, o, p, q]` is the sum over `c`, `t`, `r`, `s` of `x[n, c, o * stride - padding + t * dilation, ...] *
/// filter[k, c, t, r, s]`; elements outside `x` are 0. Of several groups each has its own share of the channels, in order, and
/// the filter's `c` counts those of one group. Sums are of `f32` for 16-bit floats. Sizes are over the
/// program's symbols; three spatial axes, of which the first have one element where there are fewer.
#[derive(Clone, PartialEq, Debug)]
pub struct Convolution {
    pub dtype: DType,
    pub direction: Direction,
    pub x: Images,
    pub y: Images,
    pub filter: Filter,
    pub stride: [i64; 3],
    pub padding: [i64; 3],
    pub dilation: [i64; 3],
    pub groups: i64,
    /// How many such convolutions there are, of several groups that lie too far apart for one, and by how many elements the
    /// memory of `x`, of the filter and of `y` of one is behind that of the one before it.
    pub times: i64,
    pub steps: [i64; 3],
    /// The filter's spatial axes are read from their ends.
    pub flipped: bool,
    /// Operands of `f32` may be rounded to 11 bits.
    pub tf32: bool,
}

/// Images of several channels: sizes and strides, in elements, of items, channels, planes, rows and columns.
#[derive(Clone, PartialEq, Debug)]
pub struct Images {
    /// A buffer or scratch.
    pub memory: Argument,
    pub offset: Expr,
    pub sizes: [Expr; 5],
    pub strides: [i64; 5],
}

/// A filter that is dense and row-major.
#[derive(Clone, PartialEq, Debug)]
pub struct Filter {
    /// A buffer or scratch.
    pub memory: Argument,
    pub offset: Expr,
    /// Of channels of `y` and of those of `x` of one group, planes, rows and columns.
    pub sizes: [Expr; 5],
}

/// `C[b] = activation(A[b] * B[b] + addend[b] + bias)`, `A` being `m x k`, `B` `k x n`; sums are of `f32` for
/// 16-bit floats. A call may make a [sum](OperandSum) of an operand as well. Expressions are over the program's symbols.
#[derive(Clone, PartialEq, Debug)]
pub struct Product {
    pub dtype: DType,
    pub m: Expr,
    pub n: Expr,
    pub k: Expr,
    /// Sizes of the batch axes, outermost first.
    pub batch: Vec<Expr>,
    pub a: Matrix,
    pub b: Matrix,
    pub c: Matrix,
    /// `n` elements, added to every row.
    pub bias: Option<BufferId>,
    /// Laid out as `C`, and added to it.
    pub addend: Option<BufferId>,
    pub activation: Activation,
    /// Where the activation is the gradient of one: what that was applied to, laid out as `C`.
    pub before: Option<BufferId>,
    /// Of a product without batch, bias, addend and activation.
    pub sum: Option<OperandSum>,
    /// Another step that the call stands for: it is left out where the call is taken.
    pub second: Option<u32>,
    /// Operands of `f32` may be rounded to 11 bits.
    pub tf32: bool,
}

/// A sum over the product's `k` of an operand: of each row of `A`, or of each column of `B`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperandSum {
    pub of: Side,
    /// Where it goes, dense.
    pub result: BufferId,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    A,
    B,
}

/// A strided matrix for each item of a batch. Strides and offset count elements.
#[derive(Clone, PartialEq, Debug)]
pub struct Matrix {
    /// A buffer or scratch.
    pub memory: Argument,
    pub offset: Expr,
    /// For each batch axis.
    pub batch_strides: Vec<Expr>,
    pub row_stride: Expr,
    pub col_stride: Expr,
}

/// What is applied to each element at last.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Activation {
    None,
    /// `max(x, 0)`
    Relu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`, which is cuBLASLt's form of it.
    Gelu,
    /// The value times the derivative of `Gelu` at the element of [`Product::before`].
    GeluGradient,
}

impl Call {
    /// Every size, stride and offset that is an expression.
    pub fn for_each_expr<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            Call::Product(p) => {
                [&p.m, &p.n, &p.k].into_iter().chain(&p.batch).for_each(&mut *visit);
                for m in [&p.a, &p.b, &p.c] {
                    let strides = m.batch_strides.iter().chain([&m.row_stride, &m.col_stride]);
                    strides.chain([&m.offset]).for_each(&mut *visit);
                }
            }
            Call::Convolution(c) => {
                let sizes = c.x.sizes.iter().chain(&c.y.sizes).chain(&c.filter.sizes);
                sizes.chain([&c.x.offset, &c.y.offset, &c.filter.offset]).for_each(visit);
            }
        }
    }

    /// The library that has it.
    pub fn library(&self) -> &'static str {
        match self {
            Call::Product(_) => "cuBLASLt",
            Call::Convolution(_) => "cuDNN",
        }
    }
}

/// What it computes, in a line: `cuBLASLt: 128 x 64 and 64 x 96 of bf16, bias, relu`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.library())?;
        match self {
            Call::Product(p) => {
                write!(f, "{} x {} and {} x {} of ", p.m, p.k, p.k, p.n)?;
                f.write_str(if p.tf32 { "tf32" } else { p.dtype.name() })?;
                for size in &p.batch {
                    write!(f, ", times {size}")?;
                }
                for (there, name) in [(p.addend.is_some(), ", addend"), (p.bias.is_some(), ", bias")] {
                    f.write_str(if there { name } else { "" })?;
                }
                f.write_str(match p.activation {
                    Activation::None => "",
                    Activation::Relu => ", relu",
                    Activation::Gelu => ", gelu",
                    Activation::GeluGradient => ", gradient of gelu",
                })?;
                match p.sum.map(|s| s.of) {
                    Some(Side::A) => f.write_str(", sum of the first operand")?,
                    Some(Side::B) => f.write_str(", sum of the second operand")?,
                    None => {}
                }
                p.second.map_or(Ok(()), |step| write!(f, ", step {step} with it"))
            }
            Call::Convolution(c) => {
                // Where there is one plane, nothing is said of it.
                let flat = [&c.x, &c.y].iter().all(|i| i.sizes[2].is_one()) && c.filter.sizes[2].is_one();
                let list = |sizes: &[Expr; 5]| {
                    let shown = sizes.iter().enumerate().filter(|(i, _)| !flat || *i != 2);
                    shown.map(|(_, e)| e.to_string()).collect::<Vec<_>>().join(" x ")
                };
                f.write_str(match c.direction {
                    Direction::Forward => "convolution",
                    Direction::Data => "data gradient of a convolution",
                    Direction::Filter => "filter gradient of a convolution",
                })?;
                write!(f, " of {} by {} of ", list(&c.x.sizes), list(&c.filter.sizes))?;
                f.write_str(if c.tf32 { "tf32" } else { c.dtype.name() })?;
                for (name, along, usual) in
                    [("stride", c.stride, 1), ("padding", c.padding, 0), ("dilation", c.dilation, 1)]
                {
                    if along != [usual; 3] {
                        let shown = along.iter().skip(usize::from(flat)).map(i64::to_string);
                        write!(f, ", {name} {}", shown.collect::<Vec<_>>().join(" x "))?;
                    }
                }
                if c.times != 1 {
                    write!(f, ", {} times", c.times)?;
                }
                if c.groups != 1 {
                    write!(f, ", {} groups", c.groups)?;
                }
                f.write_str(if c.flipped { ", flipped" } else { "" })
            }
        }
    }
}
