//! Which epilogues a library has: those that add a bias to each row, or another matrix, and apply an activation.
//!
//! The kernel of an epilogue is read back as arithmetic. Its argument, the sum of the product with what is
//! added to it, is some value of the kernel; of that value the result is computed as a polynomial of it and of the hyperbolic
//! tangent of another polynomial, whichever way the passes have written it. The gradient of gelu is one of what gelu was
//! applied to, times the product.

use super::sums::Columns;
use std::collections::{BTreeMap, HashMap};
use ttk_ir::kernel::{BufferRef, Inst, Kernel, Stmt, Val};
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
    let typed = |p: u32| buffer(p).filter(|id| program.buffers[id.0 as usize].dtype == gemm.dtype);
    for (argument, sum) in sums {
        if let Some(activation) = row.activation(row.stored.1, argument) {
            let (bias, addend) = (sum.bias.map(typed), sum.addend.map(typed));
            if bias == Some(None) || addend == Some(None) {
                return None;
            }
            let (bias, addend) = (bias.flatten(), addend.flatten());
            return Some(Form { result, bias, addend, activation });
        }
    }
    None
}

/// What a kernel that goes through all elements of a product makes of them.
pub(super) struct Gradient {
    /// The parameters that hold what gelu was applied to, and that the result goes to.
    pub(super) before: u32,
    pub(super) result: u32,
}

/// Whether a kernel multiplies the elements of a product, a parameter, by the derivative of gelu.
pub(super) fn gradient(kernel: &Kernel, product: u32, dtype: DType) -> Option<Gradient> {
    let row = Row::read_all(kernel, product, dtype)?;
    Some(Gradient { before: row.gelu_gradient()?, result: row.stored.0 })
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
    /// The parameter that holds the product.
    product: u32,
    /// The place of an element, and its column where there are rows.
    element: Expr,
    column: Option<Expr>,
    dtype: DType,
}

impl<'a> Row<'a> {
    /// A kernel that goes through the product row by row.
    fn read(kernel: &'a Kernel, gemm: &Gemm) -> Option<Row<'a>> {
        let (row, _, _, body) = kernel.parallel_loop()?;
        let (last, head) = body.split_last()?;
        let columns = Columns::of(last)?;
        if !columns.begin.is_zero() || *columns.end != gemm.n {
            return None;
        }
        let column = Expr::var(columns.var);
        let element = Expr::var(row.0).mul(&gemm.n).add(&column);
        Row::read_loop(head, columns.body, Row::empty(0, element, Some(column), gemm.dtype))
    }

    /// A kernel that goes through the product as if it were one row.
    fn read_all(kernel: &'a Kernel, product: u32, dtype: DType) -> Option<Row<'a>> {
        let (item, begin, items, body) = kernel.parallel_loop()?;
        let (last, head) = body.split_last()?;
        let columns = Columns::of(last)?;
        let len = &kernel.params.get(product as usize)?.len;
        if !begin.is_zero() || !columns.cover(item.0, items, len) {
            return None;
        }
        let element = Expr::var(columns.var);
        Row::read_loop(head, columns.body, Row::empty(product, element, None, dtype))
    }

    fn empty(product: u32, element: Expr, column: Option<Expr>, dtype: DType) -> Row<'a> {
        Row { values: HashMap::new(), stored: (0, Val(0)), product, element, column, dtype }
    }

    /// The row with the values that statements before the loop and in it define, and what it stores.
    fn read_loop(head: &'a [Stmt], body: &'a [Stmt], mut row: Row<'a>) -> Option<Row<'a>> {
        for stmt in head {
            let Stmt::Let { dst, dtype, inst } = stmt else { return None };
            row.values.insert(*dst, (*dtype, inst));
        }
        let mut stored = None;
        for stmt in body {
            match stmt {
                Stmt::Let { dst, dtype, inst } => {
                    row.values.insert(*dst, (*dtype, inst));
                }
                Stmt::Store { buffer: BufferRef::Param(p), index, value } => {
                    if stored.is_some() || *index != row.element {
                        return None;
                    }
                    stored = Some((*p, *value));
                }
                Stmt::Store { .. } | Stmt::For { .. } | Stmt::Acc { .. } => return None,
                Stmt::Accumulate { .. } | Stmt::Update { .. } | Stmt::If { .. } => return None,
            }
        }
        row.stored = stored?;
        Some(row)
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
            Inst::Load { buffer: BufferRef::Param(p), index }
                if *p == self.product && *index == self.element =>
            {
                Some(Sum { product: true, ..Sum::default() })
            }
            Inst::Load { buffer: BufferRef::Param(p), index } if *index == self.element => {
                Some(Sum { addend: Some(*p), ..Sum::default() })
            }
            Inst::Load { buffer: BufferRef::Param(p), index } if Some(index) == self.column.as_ref() => {
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
                let zero = |r: Ring| r.terms.values().all(|c| *c == 0.0);
                same && self.ring(y, &Names { of: argument, product: None }).is_some_and(zero)
            };
            return (is(*a, *b) || is(*b, *a)).then_some(Activation::Relu);
        }
        let gelu = [([1, 0, 0], 0.5), ([1, 1, 0], 0.5)];
        let ring = self.ring(v, &Names { of: argument, product: None })?;
        ring.is(&gelu).then_some(Activation::Gelu)
    }

    /// The parameter `x`, if what is stored is the product times the derivative of gelu at its element:
    /// `(1 + t) / 2 + x (1 - t^2) (s + 3 * 0.044715 s x^2) / 2`, where `t` is the tangent and `s` the slope within it.
    fn gelu_gradient(&self) -> Option<u32> {
        let at = |v: &Val, which: &dyn Fn(u32) -> bool| match self.values.get(v)?.1 {
            Inst::Load { buffer: BufferRef::Param(p), index } if *index == self.element && which(*p) => {
                Some(*p)
            }
            Inst::Load { .. } | Inst::Const(_) | Inst::Read(_) | Inst::Index(_) => None,
            Inst::CheckedIndex { .. } | Inst::Unary(..) | Inst::Binary(..) | Inst::Fma(..) => None,
            Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => None,
        };
        let mut loads: Vec<Val> =
            self.values.keys().copied().filter(|v| at(v, &|_| true).is_some()).collect();
        loads.sort();
        let product = loads.iter().copied().find(|v| at(v, &|p| p == self.product).is_some())?;
        let (half, cubic) = (0.5 * SLOPE, 1.5 * CUBIC * SLOPE);
        let gradient = [
            ([0, 0, 1], 0.5),
            ([0, 1, 1], 0.5),
            ([1, 0, 1], half),
            ([1, 2, 1], -half),
            ([3, 0, 1], cubic),
            ([3, 2, 1], -cubic),
        ];
        loads.iter().find_map(|of| {
            let parameter = at(of, &|p| p != self.product)?;
            let ring = self.ring(self.stored.1, &Names { of: *of, product: Some(product) })?;
            ring.is(&gradient).then_some(parameter)
        })
    }

    /// A value as a polynomial.
    fn ring(&self, v: Val, names: &Names) -> Option<Ring> {
        let (v, inst) = self.converted(v)?;
        if v == names.of {
            return Some(Ring::of([1, 0, 0], 1.0));
        }
        if Some(v) == names.product {
            return Some(Ring::of([0, 0, 1], 1.0));
        }
        let of = |v: Val| self.ring(v, names);
        match inst {
            Inst::Const(s) => Some(Ring::of([0; 3], s.as_f64())),
            Inst::Unary(Unary::Neg, a) => of(*a)?.times(&Ring::of([0; 3], -1.0)),
            Inst::Unary(Unary::Tanh, a) => {
                let a = of(*a)?;
                let mut tanh = Ring::of([0, 1, 0], 1.0);
                tanh.inner = a.terms;
                a.inner.is_empty().then_some(tanh)
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

/// Which values of a kernel are the variables of its polynomials.
struct Names {
    of: Val,
    product: Option<Val>,
}

/// The slope of the argument of gelu's tangent at 0, the square root of 2 / pi, and the part of the cube in it.
const SLOPE: f64 = 0.797_884_560_802_865_4;
const CUBIC: f64 = 0.044715;

/// Powers of the variable, of the tangent and of the product.
type Powers = [u8; 3];

/// Higher powers are none of an activation's, nor of its gradient's.
const HIGHEST: Powers = [6, 2, 1];

/// The sum of coefficients times powers; the tangent is that of `inner`, if there is one.
#[derive(Clone, Default)]
struct Ring {
    terms: BTreeMap<Powers, f64>,
    inner: BTreeMap<Powers, f64>,
}

impl Ring {
    fn of(powers: Powers, coefficient: f64) -> Ring {
        let terms =
            if coefficient == 0.0 { BTreeMap::new() } else { BTreeMap::from([(powers, coefficient)]) };
        Ring { terms, inner: BTreeMap::new() }
    }

    fn plus(&self, other: &Ring, sign: f64) -> Option<Ring> {
        let mut terms = self.terms.clone();
        for (powers, c) in &other.terms {
            *terms.entry(*powers).or_default() += sign * c;
        }
        Some(Ring { terms, inner: self.common_inner(other)? })
    }

    fn times(&self, other: &Ring) -> Option<Ring> {
        let mut terms: BTreeMap<Powers, f64> = BTreeMap::new();
        for (a, x) in &self.terms {
            for (b, y) in &other.terms {
                let powers: Powers = std::array::from_fn(|i| a[i] + b[i]);
                if powers.iter().zip(HIGHEST).any(|(&p, most)| p > most) {
                    return None;
                }
                *terms.entry(powers).or_default() += x * y;
            }
        }
        Some(Ring { terms, inner: self.common_inner(other)? })
    }

    fn common_inner(&self, other: &Ring) -> Option<BTreeMap<Powers, f64>> {
        match (self.inner.is_empty(), other.inner.is_empty()) {
            (true, _) => Some(other.inner.clone()),
            (false, true) => Some(self.inner.clone()),
            (false, false) => near(&self.inner, &other.inner).then(|| self.inner.clone()),
        }
    }

    /// Whether these are the terms, and the tangent is gelu's.
    fn is(&self, terms: &[(Powers, f64)]) -> bool {
        let inner = BTreeMap::from([([1, 0, 0], SLOPE), ([3, 0, 0], CUBIC * SLOPE)]);
        near(&self.terms, &terms.iter().copied().collect()) && near(&self.inner, &inner)
    }
}

/// Equal but for the rounding of constants to single precision, and of terms that cancel each other.
fn near(a: &BTreeMap<Powers, f64>, b: &BTreeMap<Powers, f64>) -> bool {
    let at = |p: &BTreeMap<Powers, f64>, powers: &Powers| p.get(powers).copied().unwrap_or(0.0);
    let close = |powers: &Powers| {
        let (x, y) = (at(a, powers), at(b, powers));
        (x - y).abs() <= if y == 0.0 { 1e-7 } else { 1e-6 * y.abs() }
    };
    a.keys().chain(b.keys()).all(close)
}
