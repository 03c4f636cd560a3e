//! Reductions and scans.

use ttk_ir::{Binary, Builder, Cmp, DType, Op, ReduceOp};

pub(crate) fn reduce<B: Builder>(
    b: &mut B,
    op: ReduceOp,
    axes: &[u8],
    x: &B::Value,
    out: &B::Value,
    g: &B::Value,
) -> B::Value {
    let shape = b.shape(x);
    let axes: Vec<usize> = axes.iter().map(|&a| a as usize).collect();
    match op {
        ReduceOp::Sum => b.expand(g, shape),
        ReduceOp::Prod => product(b, &axes, x, out, g),
        // Elements that tie share the cotangent equally.
        ReduceOp::Max | ReduceOp::Min => {
            let extreme = b.expand(out, shape.clone());
            let wins = b.cmp(Cmp::Eq, x, &extreme);
            let dtype = b.dtype(x);
            // Counted in the type that 16-bit floats compute in: bf16 does not hold 257.
            let flags = b.cast(&wins, dtype.compute());
            let count = b.reduce(ReduceOp::Sum, &flags, &axes);
            let count = b.cast(&count, dtype);
            let share = b.div(g, &count);
            let share = b.expand(&share, shape);
            let zero = b.full_like(x, 0.0);
            b.select(&wins, &share, &zero)
        }
    }
}

/// The product of the other elements: `out / x` where `x` is not 0; at the only 0 of a row, the product
/// without it; at one of two, that product times the other 0, which matters to the second derivative;
/// at one of more, 0.
fn product<B: Builder>(b: &mut B, axes: &[usize], x: &B::Value, out: &B::Value, g: &B::Value) -> B::Value {
    let shape = b.shape(x);
    let (zero, one) = (b.full_like(x, 0.0), b.full_like(x, 1.0));
    let is_zero = b.cmp(Cmp::Eq, x, &zero);
    let nonzero = b.select(&is_zero, &one, x);

    let flags = b.cast(&is_zero, DType::I32);
    let count = b.reduce(ReduceOp::Sum, &flags, axes);
    let (single, double) = (b.full_like(&count, 1.0), b.full_like(&count, 2.0));
    let (alone, paired) = (b.cmp(Cmp::Eq, &count, &single), b.cmp(Cmp::Eq, &count, &double));
    let zeros = b.select(&is_zero, x, &zero);
    let sum = b.reduce(ReduceOp::Sum, &zeros, axes);
    let sum = b.expand(&sum, shape.clone());
    let other = b.sub(&sum, x);
    let (alone, paired) = (b.expand(&alone, shape.clone()), b.expand(&paired, shape.clone()));
    let factor = b.select(&paired, &other, &zero);
    let factor = b.select(&alone, &one, &factor);

    let others = b.reduce(ReduceOp::Prod, &nonzero, axes);
    let (others, whole) = (b.mul(g, &others), b.mul(g, out));
    let (others, whole) = (b.expand(&others, shape.clone()), b.expand(&whole, shape));
    let of_zero = b.mul(&others, &factor);
    let of_nonzero = b.div(&whole, &nonzero);
    b.select(&is_zero, &of_zero, &of_nonzero)
}

pub(crate) fn scan<B: Builder>(
    b: &mut B,
    op: ReduceOp,
    axis: u8,
    reverse: bool,
    x: &B::Value,
    out: &B::Value,
    g: &B::Value,
) -> B::Value {
    match op {
        ReduceOp::Sum => running(b, ReduceOp::Sum, g, axis, !reverse),
        ReduceOp::Prod => running_product(b, axis, reverse, x, out, g),
        ReduceOp::Max | ReduceOp::Min => {
            let index = running_extreme_positions(b, axis, reverse, x, out);
            let zeros = b.full_like(x, 0.0);
            let scatter = Op::Scatter { axis, mode: ttk_ir::ScatterOp::Add };
            b.op(scatter, &[zeros, index, g.clone()])
        }
    }
}

fn running<B: Builder>(b: &mut B, op: ReduceOp, x: &B::Value, axis: u8, reverse: bool) -> B::Value {
    b.op(Op::Scan { op, axis, reverse }, std::slice::from_ref(x))
}

/// The sum of `g * out` from each position on, over `x`. From the first zero on `out` is 0, so that this
/// holds on both sides of it; at the zero itself, `out` is computed with 1 in its place. At a second zero
/// the sum is 0, but its derivative by the first zero is not: there both are replaced, and the first is a
/// factor.
fn running_product<B: Builder>(
    b: &mut B,
    axis: u8,
    reverse: bool,
    x: &B::Value,
    out: &B::Value,
    g: &B::Value,
) -> B::Value {
    let zeros = first_zeros(b, axis, reverse, x);
    let without = running(b, ReduceOp::Prod, &zeros.replaced, axis, reverse);

    let terms = b.mul(g, &without);
    let of_zero = running(b, ReduceOp::Sum, &terms, axis, !reverse);
    let terms = b.mul(g, out);
    let sums = running(b, ReduceOp::Sum, &terms, axis, !reverse);
    let of_nonzero = b.div(&sums, &zeros.nonzero);

    let one = b.full_like(x, 1.0);
    let both = b.select(&zeros.second, &one, &zeros.replaced);
    let without = running(b, ReduceOp::Prod, &both, axis, reverse);
    let terms = b.mul(g, &without);
    let of_second = running(b, ReduceOp::Sum, &terms, axis, !reverse);
    let zero = b.full_like(x, 0.0);
    let firsts = b.select(&zeros.first, x, &zero);
    let first = running(b, ReduceOp::Sum, &firsts, axis, reverse);
    let of_second = b.mul(&of_second, &first);

    let rest = b.select(&zeros.second, &of_second, &of_nonzero);
    b.select(&zeros.first, &of_zero, &rest)
}

/// Where a row's first zero is, in the direction of a scan.
pub(crate) struct FirstZeros<V> {
    /// True at the first zero.
    pub(crate) first: V,
    /// True at the second.
    pub(crate) second: V,
    /// The operand with 1 in place of every zero.
    pub(crate) nonzero: V,
    /// The operand with 1 in place of the first zero only.
    pub(crate) replaced: V,
}

pub(crate) fn first_zeros<B: Builder>(
    b: &mut B,
    axis: u8,
    reverse: bool,
    x: &B::Value,
) -> FirstZeros<B::Value> {
    let (zero, one) = (b.full_like(x, 0.0), b.full_like(x, 1.0));
    let is_zero = b.cmp(Cmp::Eq, x, &zero);
    let flags = b.cast(&is_zero, DType::I32);
    let count = running(b, ReduceOp::Sum, &flags, axis, reverse);
    let (single, double) = (b.full_like(&count, 1.0), b.full_like(&count, 2.0));
    let seen_two = b.cmp(Cmp::Eq, &count, &double);
    let second = b.binary(Binary::And, &is_zero, &seen_two);
    let seen_one = b.cmp(Cmp::Eq, &count, &single);
    let first = b.binary(Binary::And, &is_zero, &seen_one);
    let nonzero = b.select(&is_zero, &one, x);
    let replaced = b.select(&first, &one, x);
    FirstZeros { first, second, nonzero, replaced }
}

/// The position of each running maximum or minimum; the latest of equal ones, as in PyTorch's `cummax`.
pub(crate) fn running_extreme_positions<B: Builder>(
    b: &mut B,
    axis: u8,
    reverse: bool,
    x: &B::Value,
    out: &B::Value,
) -> B::Value {
    let shape = b.shape(x);
    let position = b.iota(DType::I64, shape.clone(), axis as usize);
    let (attains, nan) = (b.cmp(Cmp::Eq, x, out), b.cmp(Cmp::Ne, x, x));
    let attains = b.binary(Binary::Or, &attains, &nan);
    // The first position of a scan always attains, so the filler is never the answer there.
    let (latest, filler) = match reverse {
        false => (ReduceOp::Max, -1),
        true => (ReduceOp::Min, i64::MAX),
    };
    let filler = b.constant(ttk_ir::Scalar::from_i64(DType::I64, filler), shape);
    let marks = b.select(&attains, &position, &filler);
    running(b, latest, &marks, axis, reverse)
}
