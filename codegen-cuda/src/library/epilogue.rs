//! Which epilogues a library has: those that add a bias to each row, or another matrix, and apply an activation.
//!
//! The kernel of an epilogue is read back as arithmetic. Its argument, the sum of the product with what is
//! added to it, is some value of the kernel; of that value the result is computed as a number of the ring
//! `p + q * tanh(r)`, `p`, `q` and `r` polynomials, whichever way the passes have written it.

use std::collections::HashMap;
use ttk_ir::kernel::{BufferRef, Inst, Kernel, LoopKind, Stmt, Val};
use ttk_ir::library::Activation;
use ttk_ir::program::{BufferId, Gemm, Program};
use ttk_ir::{Binary, DType, Expr, Unary};

/// An epilogue that a library has.
pub(super) struct Form {
    /// Where the result goes.
    pub(super) result: BufferId,
    pub(super) bias: Option<BufferId>,
    pub(super) addend: Option<BufferId>,
    pub(super) activation: Activation,
}

/// The form of a product's epilogue; `None` if there is none, or a library has nothing like it.
pub(super) fn form(program: &Program, gemm: &Gemm) -> Option<Form> {
    let epilogue = gemm.epilogue.as_ref().filter(|e| e.rows)?;
    let kernel = program.kernels.get(epilogue.kernel as usize)?;
    let row = Row::read(kernel, gemm)?;
    let own = epilogue.symbols.iter().enumerate().all(|(i, e)| *e == Expr::symbol(i as u32));
    let buffer = |p: u32| match p {
        0 => Some(gemm.c.buffer),
        p => epilogue.buffers.get(p as usize - 1).copied(),
    };
    let result = buffer(row.stored.0)?;
    if !own || program.buffers.get(result.0 as usize)?.dtype != gemm.dtype {
        return None;
    }
    // The argument of the activation is the last sum that the result can be told in.
    let mut sums: Vec<(Val, Sum)> = row.values.keys().filter_map(|&v| Some((v, row.sum(v)?))).collect();
    sums.sort_by_key(|(v, _)| std::cmp::Reverse(*v));
    for (argument, sum) in sums {
        if let Some(activation) = row.activation(row.stored.1, argument) {
            let bias = sum.bias.map(buffer);
            let addend = sum.addend.map(buffer);
            let typed = |b: &Option<Option<BufferId>>| match b {
                None => true,
                Some(id) => id.is_some_and(|id| program.buffers[id.0 as usize].dtype == gemm.dtype),
            };
            if !typed(&bias) || !typed(&addend) {
                return None;
            }
            return Some(Form { result, bias: bias.flatten(), addend: addend.flatten(), activation });
        }
    }
    None
}

/// What is summed: the product, and parameters of the kernel.
#[derive(Clone, Copy, Default)]
struct Sum {
    product: bool,
    bias: Option<u32>,
    addend: Option<u32>,
}

impl Sum {
    fn join(self, other: Sum) -> Option<Sum> {
        let one =
            |a: Option<u32>, b: Option<u32>| if a.is_some() && b.is_some() { None } else { Some(a.or(b)) };
        if self.product && other.product {
            return None;
        }
        Some(Sum {
            product: self.product || other.product,
            bias: one(self.bias, other.bias)?,
            addend: one(self.addend, other.addend)?,
        })
    }
}

/// A kernel whose every iteration computes an element of a row from elements at the same place.
struct Row<'a> {
    values: HashMap<Val, (DType, &'a Inst)>,
    /// The parameter that is written, and what is written there.
    stored: (u32, Val),
    /// The place of an element, and its column.
    element: Expr,
    column: Expr,
    dtype: DType,
}

impl<'a> Row<'a> {
    fn read(kernel: &'a Kernel, gemm: &Gemm) -> Option<Row<'a>> {
        let (row, _, _, body) = kernel.parallel_loop()?;
        let mut values = HashMap::new();
        let (last, head) = body.split_last()?;
        for stmt in head {
            let Stmt::Let { dst, dtype, inst } = stmt else { return None };
            values.insert(*dst, (*dtype, inst));
        }
        let Stmt::For { var, begin, end, kind: LoopKind::Vector, body } = last else { return None };
        if !begin.is_zero() || *end != gemm.n {
            return None;
        }
        let mut stored = None;
        let column = Expr::var(var.0);
        let element = Expr::var(row.0).mul(&gemm.n).add(&column);
        for stmt in body {
            match stmt {
                Stmt::Let { dst, dtype, inst } => {
                    values.insert(*dst, (*dtype, inst));
                }
                Stmt::Store { buffer: BufferRef::Param(p), index, value } => {
                    if stored.is_some() || *index != element {
                        return None;
                    }
                    stored = Some((*p, *value));
                }
                Stmt::Store { .. } | Stmt::For { .. } | Stmt::Acc { .. } => return None,
                Stmt::Accumulate { .. } | Stmt::Update { .. } | Stmt::If { .. } => return None,
            }
        }
        Some(Row { values, stored: stored?, element, column, dtype: gemm.dtype })
    }

    /// A value without the conversions between the product's type and that of its sums: a library converts
    /// once, at the end.
    fn converted(&self, v: Val) -> Option<(Val, &'a Inst)> {
        let (dtype, inst) = self.values.get(&v)?;
        if *dtype != self.dtype && *dtype != self.dtype.compute() {
            return None;
        }
        if let Inst::Cast(from) = inst { self.converted(*from) } else { Some((v, *inst)) }
    }

    /// The value as a sum that a library has before its activation.
    fn sum(&self, v: Val) -> Option<Sum> {
        let sum = self.part(v)?;
        sum.product.then_some(sum)
    }

    fn part(&self, v: Val) -> Option<Sum> {
        match self.converted(v)?.1 {
            Inst::Load { buffer: BufferRef::Param(0), index } if *index == self.element => {
                Some(Sum { product: true, ..Sum::default() })
            }
            Inst::Load { buffer: BufferRef::Param(p), index } if *index == self.element => {
                Some(Sum { addend: Some(*p), ..Sum::default() })
            }
            Inst::Load { buffer: BufferRef::Param(p), index } if *index == self.column => {
                Some(Sum { bias: Some(*p), ..Sum::default() })
            }
            Inst::Binary(Binary::Add, a, b) => self.part(*a)?.join(self.part(*b)?),
            Inst::Load { .. } | Inst::Const(_) | Inst::Read(_) | Inst::Index(_) => None,
            Inst::CheckedIndex { .. } | Inst::Unary(..) | Inst::Binary(..) | Inst::Fma(..) => None,
            Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => None,
        }
    }

    /// What makes `v` of `argument`, if it is an activation that a library has.
    fn activation(&self, v: Val, argument: Val) -> Option<Activation> {
        let (argument, _) = self.converted(argument)?;
        let (own, inst) = self.converted(v)?;
        if own == argument {
            return Some(Activation::None);
        }
        if let Inst::Unary(Unary::Relu, a) = inst {
            let same = self.converted(*a).is_some_and(|(a, _)| a == argument);
            return same.then_some(Activation::Relu);
        }
        if let Inst::Binary(Binary::Max, a, b) = inst {
            let is = |x: Val, y: Val| {
                let same = self.converted(x).is_some_and(|(x, _)| x == argument);
                same && self.ring(y, argument).is_some_and(|r| r.is(&[], &[], &[]))
            };
            return (is(*a, *b) || is(*b, *a)).then_some(Activation::Relu);
        }
        let slope = (2.0 / std::f64::consts::PI).sqrt();
        let gelu = self.ring(v, argument)?.is(&[0.0, 0.5], &[0.0, 0.5], &[0.0, slope, 0.0, 0.044715 * slope]);
        gelu.then_some(Activation::Gelu)
    }

    fn ring(&self, v: Val, argument: Val) -> Option<Ring> {
        let (v, inst) = self.converted(v)?;
        if v == argument {
            return Some(Ring { plain: vec![0.0, 1.0], ..Ring::default() });
        }
        let of = |v: Val| self.ring(v, argument);
        match inst {
            Inst::Const(s) => Some(Ring { plain: vec![s.as_f64()], ..Ring::default() }),
            Inst::Unary(Unary::Neg, a) => of(*a)?.times(&Ring { plain: vec![-1.0], ..Ring::default() }),
            Inst::Unary(Unary::Tanh, a) => {
                let a = of(*a)?;
                let tanh = Ring { plain: Vec::new(), factor: vec![1.0], inner: a.plain };
                a.factor.is_empty().then_some(tanh)
            }
            Inst::Binary(Binary::Add, a, b) => of(*a)?.plus(&of(*b)?, 1.0),
            Inst::Binary(Binary::Sub, a, b) => of(*a)?.plus(&of(*b)?, -1.0),
            Inst::Binary(Binary::Mul, a, b) => of(*a)?.times(&of(*b)?),
            Inst::Fma(a, b, c) => of(*a)?.times(&of(*b)?)?.plus(&of(*c)?, 1.0),
            Inst::Load { .. } | Inst::Read(_) | Inst::Index(_) | Inst::CheckedIndex { .. } => None,
            Inst::Unary(..) | Inst::Binary(..) => None,
            Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => None,
        }
    }
}

/// `plain + factor * tanh(inner)`, each a polynomial, its coefficients from the constant on.
#[derive(Clone, Default)]
struct Ring {
    plain: Vec<f64>,
    factor: Vec<f64>,
    inner: Vec<f64>,
}

/// Higher powers are none of an activation's.
const DEGREE: usize = 4;

impl Ring {
    fn plus(&self, other: &Ring, sign: f64) -> Option<Ring> {
        Some(Ring {
            plain: sum(&self.plain, &other.plain, sign),
            factor: sum(&self.factor, &other.factor, sign),
            inner: self.common_inner(other)?,
        })
    }

    fn times(&self, other: &Ring) -> Option<Ring> {
        if !self.factor.is_empty() && !other.factor.is_empty() {
            return None;
        }
        let across = sum(&product(&self.plain, &other.factor)?, &product(&self.factor, &other.plain)?, 1.0);
        Some(Ring {
            plain: product(&self.plain, &other.plain)?,
            factor: across,
            inner: self.common_inner(other)?,
        })
    }

    fn common_inner(&self, other: &Ring) -> Option<Vec<f64>> {
        match (self.factor.is_empty(), other.factor.is_empty()) {
            (true, _) => Some(other.inner.clone()),
            (false, true) => Some(self.inner.clone()),
            (false, false) => near(&self.inner, &other.inner).then(|| self.inner.clone()),
        }
    }

    fn is(&self, plain: &[f64], factor: &[f64], inner: &[f64]) -> bool {
        near(&self.plain, plain) && near(&self.factor, factor) && near(&self.inner, inner)
    }
}

fn sum(a: &[f64], b: &[f64], sign: f64) -> Vec<f64> {
    let at = |p: &[f64], i: usize| p.get(i).copied().unwrap_or(0.0);
    (0..a.len().max(b.len())).map(|i| at(a, i) + sign * at(b, i)).collect()
}

fn product(a: &[f64], b: &[f64]) -> Option<Vec<f64>> {
    if a.is_empty() || b.is_empty() {
        return Some(Vec::new());
    }
    let mut out = vec![0.0; a.len() + b.len() - 1];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            out[i + j] += x * y;
        }
    }
    (out.len() <= DEGREE + 1).then_some(out)
}

/// Equal but for the rounding of constants to single precision.
fn near(a: &[f64], b: &[f64]) -> bool {
    sum(a, b, -1.0).iter().enumerate().all(|(i, d)| d.abs() <= 1e-6 * b.get(i).copied().unwrap_or(0.0).abs())
}
