//! Elementwise operations.

use super::Rewriter;
use super::facts::{holds_all, largest_exact, never_negative_zero};
use ttk_ir::eval::scalar;
use ttk_ir::{Binary, Builder, Cmp, DType, Op, Scalar, Unary, ValueId};

pub(super) fn unary(r: &mut Rewriter<'_>, u: Unary, x: ValueId) -> Option<ValueId> {
    if u == Unary::Log
        && let Some(v) = super::stable::log_sum_exp(r, x)
    {
        return Some(v);
    }
    let inner = r.op_of(x).clone();
    let signed = r.type_of(x).dtype.is_signed();
    match (u, inner) {
        (Unary::Neg, Op::Unary(Unary::Neg)) | (Unary::Not, Op::Unary(Unary::Not)) => Some(r.input(x, 0)),
        (Unary::Relu, _) => {
            let zero = r.full_like(&x, 0.0);
            let flat = r.cmp(Cmp::Le, &x, &zero);
            Some(r.select(&flat, &zero, &x))
        }
        (Unary::Abs, Op::Unary(Unary::Abs | Unary::Exp)) => Some(x),
        (Unary::Abs, _) if !signed => Some(x),
        (Unary::Abs, Op::Unary(Unary::Neg)) => Some(r.unary(Unary::Abs, &r.input(x, 0))),
        (Unary::Floor | Unary::Round, Op::Unary(Unary::Floor | Unary::Round)) => Some(x),
        // -(x * c) is x * -c: a product's sign is apart from its magnitude.
        (Unary::Neg, Op::Binary(b @ (Binary::Mul | Binary::Div)))
            if b == Binary::Mul || r.type_of(x).dtype.is_float() =>
        {
            let (a, c) = (r.input(x, 0), r.input(x, 1));
            let c = negated(r, c)?;
            Some(r.binary(b, &a, &c))
        }
        // Differs for equal operands, where one side is 0.0 and the other -0.0.
        (Unary::Neg, Op::Binary(Binary::Sub)) if is_exact(r, x) => {
            let (a, b) = (r.input(x, 0), r.input(x, 1));
            Some(r.sub(&b, &a))
        }
        // The complement of `<` and `<=` is another comparison only where no operand is NaN.
        (Unary::Not, Op::Cmp(c)) => {
            let (a, b) = (r.input(x, 0), r.input(x, 1));
            let ordered = !r.type_of(a).dtype.is_float();
            match c {
                Cmp::Eq => Some(r.cmp(Cmp::Ne, &a, &b)),
                Cmp::Ne => Some(r.cmp(Cmp::Eq, &a, &b)),
                Cmp::Lt if ordered => Some(r.cmp(Cmp::Le, &b, &a)),
                Cmp::Le if ordered => Some(r.cmp(Cmp::Lt, &b, &a)),
                Cmp::Lt | Cmp::Le => None,
            }
        }
        _ => None,
    }
}

pub(super) fn binary(r: &mut Rewriter<'_>, b: Binary, x: ValueId, y: ValueId) -> Option<ValueId> {
    if x == y
        && let Some(v) = same_operands(r, b, x)
    {
        return Some(v);
    }
    // A commutative operation has its constant on the right by now.
    if let Some(c) = r.splat(y)
        && let Some(v) = constant_right(r, b, x, y, c)
    {
        return Some(v);
    }
    if let Some(c) = r.splat(x)
        && let Some(v) = constant_left(r, b, c, x, y)
    {
        return Some(v);
    }
    signs(r, b, x, y)
}

fn same_operands(r: &mut Rewriter<'_>, b: Binary, x: ValueId) -> Option<ValueId> {
    match b {
        Binary::Max | Binary::Min | Binary::And | Binary::Or => Some(x),
        Binary::Xor => zero(r, x),
        // inf - inf and NaN - NaN are NaN.
        Binary::Sub if is_exact(r, x) => zero(r, x),
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Rem | Binary::Pow => None,
        Binary::Atan2 | Binary::Shl | Binary::Shr => None,
    }
}

/// `x op c` for a number `c`, whose value is `y`.
fn constant_right(r: &mut Rewriter<'_>, b: Binary, x: ValueId, y: ValueId, c: Scalar) -> Option<ValueId> {
    let dtype = c.dtype;
    let float = dtype.is_float();
    let is = |v: f64| c == Scalar::from_f64(dtype, v);
    match b {
        Binary::Add if float && is(-0.0) => Some(x),
        Binary::Add if is(0.0) && (r.options.fast_math || never_negative_zero(r, x)) => Some(x),
        Binary::Add => reassociate(r, b, x, c),
        // IEEE defines x - c as x + (-c).
        Binary::Sub => {
            let c = negated(r, y)?;
            Some(r.add(&x, &c))
        }
        Binary::Mul if is(1.0) => Some(x),
        // 0 * inf and 0 * NaN are NaN, and 0 * -1 is -0.0.
        Binary::Mul if is(0.0) && is_exact(r, x) => zero(r, x),
        Binary::Mul if is(-1.0) && dtype.is_signed() => Some(r.neg(&x)),
        Binary::Mul => reassociate(r, b, x, c),
        Binary::Div if is(1.0) => Some(x),
        Binary::Div if is(-1.0) && dtype.is_signed() => Some(r.neg(&x)),
        // x / c and x * (1/c) round the same real number when 1/c is a number of the type.
        Binary::Div if float => {
            let reciprocal = exact_reciprocal(c).or_else(|| {
                let approximate = Scalar::from_f64(dtype, 1.0 / c.as_f64());
                let sensible = approximate.as_f64().is_normal() && dtype.compute() == dtype;
                (r.options.fast_math && sensible).then_some(approximate)
            })?;
            let c = r.splat_of(reciprocal, x);
            Some(r.mul(&x, &c))
        }
        Binary::Pow => power(r, x, c),
        Binary::And | Binary::Or | Binary::Xor => bits(r, b, x, y, c),
        Binary::Shl | Binary::Shr if is(0.0) => Some(x),
        Binary::Max | Binary::Min => bound(r, b, x, c),
        Binary::Rem if !float && (is(1.0) || (is(-1.0) && dtype.is_signed())) => zero(r, x),
        Binary::Div | Binary::Rem | Binary::Atan2 | Binary::Shl | Binary::Shr => None,
    }
}

/// `c op y` for a number `c`, whose value is `x`.
fn constant_left(r: &mut Rewriter<'_>, b: Binary, c: Scalar, x: ValueId, y: ValueId) -> Option<ValueId> {
    match b {
        // 0.0 - 0.0 is 0.0 where neg gives -0.0; from -0.0 the two agree.
        Binary::Sub if c == Scalar::from_f64(c.dtype, -0.0) && c.dtype.is_float() => Some(r.neg(&y)),
        Binary::Sub if c.as_f64() == 0.0 && is_exact(r, y) => Some(r.neg(&y)),
        Binary::Div if matches!(r.op_of(y), Op::Unary(Unary::Neg)) => {
            let c = negated(r, x)?;
            let y = r.input(y, 0);
            Some(r.div(&c, &y))
        }
        // 1 to any power, NaN included, is 1.
        Binary::Pow if c == Scalar::one(c.dtype) => Some(r.splat_of(c, y)),
        _ => None,
    }
}

/// Operands that are negated.
fn signs(r: &mut Rewriter<'_>, b: Binary, x: ValueId, y: ValueId) -> Option<ValueId> {
    let negated_of =
        |r: &Rewriter<'_>, v: ValueId| matches!(r.op_of(v), Op::Unary(Unary::Neg)).then(|| r.input(v, 0));
    let (nx, ny) = (negated_of(r, x), negated_of(r, y));
    match (b, nx, ny) {
        (Binary::Add, _, Some(ny)) => Some(r.sub(&x, &ny)),
        (Binary::Add, Some(nx), None) => Some(r.sub(&y, &nx)),
        (Binary::Sub, _, Some(ny)) => Some(r.add(&x, &ny)),
        (Binary::Mul, Some(nx), Some(ny)) => Some(r.mul(&nx, &ny)),
        (Binary::Div, Some(nx), Some(ny)) if r.type_of(x).dtype.is_float() => Some(r.div(&nx, &ny)),
        (Binary::Mul, Some(nx), None) => {
            let y = negated(r, y)?;
            Some(r.mul(&nx, &y))
        }
        (Binary::Div, Some(nx), None) if r.type_of(x).dtype.is_float() => {
            let y = negated(r, y)?;
            Some(r.div(&nx, &y))
        }
        _ => None,
    }
}

/// `(x op c1) op c2` with one number: exact on integers, which wrap.
fn reassociate(r: &mut Rewriter<'_>, b: Binary, x: ValueId, c2: Scalar) -> Option<ValueId> {
    if !matches!(r.op_of(x), Op::Binary(inner) if *inner == b) || !is_exact(r, x) {
        return None;
    }
    let (a, c1) = (r.input(x, 0), r.splat(r.input(x, 1))?);
    let c = r.splat_of(scalar::binary(b, c1, c2), a);
    Some(r.binary(b, &a, &c))
}

/// Powers as PyTorch computes them (`pow_tensor_scalar` in ATen's `PowKernel.cpp`): `x * x` for 2,
/// square roots for the halves, reciprocals.
///
/// At an exponent of one half this is PyTorch's answer and not IEEE's, which differ at `-inf` and `-0.0`.
fn power(r: &mut Rewriter<'_>, x: ValueId, c: Scalar) -> Option<ValueId> {
    let float = c.dtype.is_float();
    let one = Scalar::one(c.dtype);
    let exponent = if float { c.as_f64() } else { c.as_i64() as f64 };
    let square = |r: &mut Rewriter<'_>| r.mul(&x, &x);
    let reciprocal = |r: &mut Rewriter<'_>, v: ValueId| {
        let one = r.splat_of(one, v);
        r.div(&one, &v)
    };
    if exponent == 0.0 {
        Some(r.splat_of(one, x))
    } else if exponent == 1.0 {
        Some(x)
    } else if exponent == 2.0 {
        Some(square(r))
    } else if exponent == 3.0 {
        let s = square(r);
        Some(r.mul(&s, &x))
    } else if !float {
        None
    } else if exponent == 0.5 {
        Some(r.unary(Unary::Sqrt, &x))
    } else if exponent == -0.5 {
        let s = r.unary(Unary::Sqrt, &x);
        Some(reciprocal(r, s))
    } else if exponent == -1.0 {
        Some(reciprocal(r, x))
    } else if exponent == -2.0 {
        let s = square(r);
        Some(reciprocal(r, s))
    } else {
        None
    }
}

fn bits(r: &mut Rewriter<'_>, b: Binary, x: ValueId, y: ValueId, c: Scalar) -> Option<ValueId> {
    let all = scalar::unary(Unary::Not, Scalar::zero(c.dtype));
    let none = Scalar::zero(c.dtype);
    match b {
        Binary::And if c == none => Some(y),
        Binary::And if c == all => Some(x),
        Binary::Or if c == none => Some(x),
        Binary::Or if c == all => Some(y),
        Binary::Xor if c == none => Some(x),
        Binary::Xor if c == all => Some(r.unary(Unary::Not, &x)),
        _ => None,
    }
}

/// `max(max(x, c1), c2)`, and bounds that are the type's own.
fn bound(r: &mut Rewriter<'_>, b: Binary, x: ValueId, c2: Scalar) -> Option<ValueId> {
    let reduce = if b == Binary::Max { ttk_ir::ReduceOp::Max } else { ttk_ir::ReduceOp::Min };
    if c2 == reduce.identity(c2.dtype) {
        return Some(x);
    }
    if !matches!(r.op_of(x), Op::Binary(inner) if *inner == b) {
        return None;
    }
    let (a, c1) = (r.input(x, 0), r.splat(r.input(x, 1))?);
    let c = r.splat_of(scalar::binary(b, c1, c2), a);
    Some(r.binary(b, &a, &c))
}

pub(super) fn cmp(r: &mut Rewriter<'_>, c: Cmp, x: ValueId, y: ValueId) -> Option<ValueId> {
    // A NaN is not equal to itself; `x != x` is how it is found.
    if x == y && !r.type_of(x).dtype.is_float() {
        let holds = matches!(c, Cmp::Eq | Cmp::Le);
        return Some(r.splat_of(Scalar::from_i64(DType::Bool, holds as i64), x));
    }
    // A bool compared with a number is itself or its complement.
    let value = r.splat(y)?;
    if value.dtype != DType::Bool {
        return None;
    }
    match (c, value.bits != 0) {
        (Cmp::Eq, true) | (Cmp::Ne, false) => Some(x),
        (Cmp::Eq, false) | (Cmp::Ne, true) => Some(r.unary(Unary::Not, &x)),
        (Cmp::Lt | Cmp::Le, _) => None,
    }
}

pub(super) fn select(r: &mut Rewriter<'_>, cond: ValueId, yes: ValueId, no: ValueId) -> Option<ValueId> {
    if yes == no {
        return Some(yes);
    }
    if let Some(c) = r.splat(cond) {
        return Some(if c.bits != 0 { yes } else { no });
    }
    if matches!(r.op_of(cond), Op::Unary(Unary::Not)) {
        let cond = r.input(cond, 0);
        return Some(r.select(&cond, &no, &yes));
    }
    if r.type_of(yes).dtype == DType::Bool
        && let (Some(a), Some(b)) = (r.splat(yes), r.splat(no))
    {
        // Equal ones were caught above.
        return Some(if a.bits > b.bits { cond } else { r.unary(Unary::Not, &cond) });
    }
    // A nested choice on the same condition has been made already.
    if matches!(r.op_of(yes), Op::Select) && r.input(yes, 0) == cond {
        let yes = r.input(yes, 1);
        return Some(r.select(&cond, &yes, &no));
    }
    if matches!(r.op_of(no), Op::Select) && r.input(no, 0) == cond {
        let no = r.input(no, 2);
        return Some(r.select(&cond, &yes, &no));
    }
    None
}

pub(super) fn cast(r: &mut Rewriter<'_>, dtype: DType, x: ValueId) -> Option<ValueId> {
    let middle = r.type_of(x).dtype;
    if middle == dtype {
        return Some(x);
    }
    if matches!(r.op_of(x), Op::Cast(_)) {
        let source = r.input(x, 0);
        let from = r.type_of(source).dtype;
        // A float saturates on its way to an integer where an integer wraps, so the detour through a
        // float may be dropped only if nothing goes out of range.
        let saturates = from.int_range().is_some() && middle.is_float() && dtype.is_int();
        if holds_all(middle, from) && (!saturates || holds_all(dtype, from)) {
            return Some(r.cast(&source, dtype));
        }
    }
    if let Op::Iota { axis, shape, .. } = r.op_of(x)
        && let Some(n) = shape[*axis as usize].fixed()
        && n <= largest_exact(middle).min(largest_exact(dtype))
    {
        let op = Op::Iota { axis: *axis, dtype, shape: shape.clone() };
        return Some(r.emit(&op, &[]));
    }
    None
}

pub(super) fn bitcast(r: &mut Rewriter<'_>, dtype: DType, x: ValueId) -> Option<ValueId> {
    if r.type_of(x).dtype == dtype {
        return Some(x);
    }
    if matches!(r.op_of(x), Op::Bitcast(_)) {
        let source = r.input(x, 0);
        return Some(if r.type_of(source).dtype == dtype {
            source
        } else {
            r.emit(&Op::Bitcast(dtype), &[source])
        });
    }
    None
}

/// Whether algebra holds for the type of `x`: on integers always, on floats when the user says so.
fn is_exact(r: &Rewriter<'_>, x: ValueId) -> bool {
    r.options.fast_math || !r.type_of(x).dtype.is_float()
}

fn zero(r: &mut Rewriter<'_>, like: ValueId) -> Option<ValueId> {
    let value = Scalar::zero(r.type_of(like).dtype);
    Some(r.splat_of(value, like))
}

/// The constant `-c`, if `v` is a constant `c` of a type that has negative numbers (or wraps).
fn negated(r: &mut Rewriter<'_>, v: ValueId) -> Option<ValueId> {
    let c = r.splat(v)?;
    Some(r.splat_of(scalar::unary(Unary::Neg, c), v))
}

/// `1 / c` when it is a number of the type, which is so for powers of two.
fn exact_reciprocal(c: Scalar) -> Option<Scalar> {
    let v = c.as_f64();
    let power_of_two = v.is_normal() && v.to_bits().trailing_zeros() >= 52;
    let reciprocal = Scalar::from_f64(c.dtype, 1.0 / v);
    (power_of_two && reciprocal.as_f64() * v == 1.0).then_some(reciprocal)
}
