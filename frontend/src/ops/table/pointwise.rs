//! Arithmetic, comparison and elementwise functions.

use super::rows;
use crate::error::{Error, Result, scalar_type_name};
use crate::node::Value;
use crate::ops::args::Number;
use crate::ops::call::{Call, Operand, Returned};
use crate::ops::promote::default_float;
use crate::record::Recorder;
use ttk_ir::{Binary, Builder, Cmp, DType, Unary};

/// A function of one operand, in its own type; integers become the default float type.
pub(super) fn float_unary(c: &mut Call<'_>, f: fn(&mut Recorder, &Value) -> Value) -> Result<Returned> {
    let x = c.value(0)?;
    let x = if x.ty.dtype.is_float() { x } else { c.b.cast(&x, default_float()) };
    Ok(f(&mut c.b, &x).into())
}

/// A function of one operand, in its own type.
pub(super) fn same_unary(c: &mut Call<'_>, f: fn(&mut Recorder, &Value) -> Value) -> Result<Returned> {
    let x = c.value(0)?;
    Ok(f(&mut c.b, &x).into())
}

/// A function of arguments 0 and 1 in their common type.
pub(super) fn arithmetic(
    c: &mut Call<'_>,
    f: fn(&mut Recorder, &Value, &Value) -> Value,
) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    Ok(f(&mut c.b, &x, &y).into())
}

/// As [`arithmetic`], with integers taken to the default float type.
pub(super) fn float_arithmetic(
    c: &mut Call<'_>,
    f: fn(&mut Recorder, &Value, &Value) -> Value,
) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    let dtype = if dtype.is_float() { dtype } else { default_float() };
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    Ok(f(&mut c.b, &x, &y).into())
}

/// `x + alpha * y`, and its like.
fn add_scaled(c: &mut Call<'_>, op: Binary) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let alpha = c.number(2)?;
    let dtype = c.promote(&[&x, &y]);
    if alpha.is_float() && !dtype.is_float() {
        return Err(Error::runtime(
            "For integral input tensors, argument alpha must not be a floating point number.",
        ));
    }
    if dtype == DType::Bool {
        if op == Binary::Sub {
            return Err(Error::runtime(
                "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead.",
            ));
        }
        let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
        return Ok(c.b.binary(Binary::Or, &x, &y).into());
    }
    let (x, mut y) = c.broadcast_pair(&x, &y, dtype)?;
    if alpha.as_f64() != 1.0 {
        let k = c.b.constant(alpha.scalar(dtype), y.ty.shape.clone());
        y = c.b.mul(&y, &k);
    }
    Ok(c.b.binary(op, &x, &y).into())
}

fn multiply(b: &mut Recorder, x: &Value, y: &Value) -> Value {
    if x.ty.dtype == DType::Bool { b.binary(Binary::And, x, y) } else { b.mul(x, y) }
}

/// A comparison of arguments 0 and 1; `swap` exchanges them.
fn compare(c: &mut Call<'_>, cmp: Cmp, swap: bool) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    let (x, y) = if swap { (y, x) } else { (x, y) };
    Ok(c.b.cmp(cmp, &x, &y).into())
}

/// `x ** y` in one type, with the small integer powers as PyTorch computes them.
fn power(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    if let (Operand::Tensor(_), Operand::Number(n)) = (&x, &y) {
        if !dtype.is_float() && n.as_f64() < 0.0 {
            return Err(Error::runtime("Integers to negative integer powers are not allowed."));
        }
        if dtype == DType::Bool {
            return Err(Error::NotForDtype { op: "pow", dtype: scalar_type_name(dtype) });
        }
        let v = c.operand_value(&x, dtype);
        if let Some(value) = small_power(&mut c.b, &v, n.as_f64()) {
            return Ok(value.into());
        }
    }
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    Ok(c.b.binary(Binary::Pow, &x, &y).into())
}

fn small_power(b: &mut Recorder, v: &Value, p: f64) -> Option<Value> {
    let float = v.ty.dtype.is_float();
    if p == 0.0 {
        Some(b.full_like(v, 1.0))
    } else if p == 1.0 {
        Some(v.clone())
    } else if p == 2.0 {
        Some(b.mul(v, v))
    } else if p == 3.0 {
        let square = b.mul(v, v);
        Some(b.mul(&square, v))
    } else if float && p == 0.5 {
        Some(b.unary(Unary::Sqrt, v))
    } else if float && p == -1.0 {
        let one = b.full_like(v, 1.0);
        Some(b.div(&one, v))
    } else {
        None
    }
}

rows! {
    "add" Torch "fmio" Nothing ["(Tensor self, Operand other, *, Number alpha=1) -> Tensor",
        "(Operand self, Tensor other, *, Number alpha=1) -> Tensor"]
        "`self + alpha * other`, elementwise, in the common type." => |c| add_scaled(c, Binary::Add);
    "sub" Torch "fmio" Nothing ["(Tensor self, Operand other, *, Number alpha=1) -> Tensor",
        "(Operand self, Tensor other, *, Number alpha=1) -> Tensor"]
        "`self - alpha * other`, elementwise, in the common type." => |c| add_scaled(c, Binary::Sub);
    "mul" Torch "fmio" Inputs ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"]
        "`self * other`, elementwise, in the common type; the conjunction of bools." =>
        |c| arithmetic(c, multiply);
    "pow" Torch "fmio" Inputs ["(Tensor self, Operand exponent) -> Tensor", "(Operand self, Tensor exponent) -> Tensor"]
        "`self ** exponent`, elementwise." => power;
    "neg" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "`-self`." => |c| same_unary(c, |b, x| b.neg(x));
    "abs" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The absolute value." =>
        |c| same_unary(c, |b, x| b.unary(Unary::Abs, x));
    "exp" Torch "fmio" Output ["(Tensor self) -> Tensor"] "e to the power of each element." =>
        |c| float_unary(c, |b, x| b.unary(Unary::Exp, x));
    "log" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The natural logarithm." =>
        |c| float_unary(c, |b, x| b.unary(Unary::Log, x));
    "sqrt" Torch "fmio" Output ["(Tensor self) -> Tensor"] "The square root." =>
        |c| float_unary(c, |b, x| b.unary(Unary::Sqrt, x));
    "sin" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The sine (radians)." =>
        |c| float_unary(c, |b, x| b.unary(Unary::Sin, x));
    "cos" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The cosine (radians)." =>
        |c| float_unary(c, |b, x| b.unary(Unary::Cos, x));
    "tanh" Torch "fmio" Output ["(Tensor self) -> Tensor"] "The hyperbolic tangent." =>
        |c| float_unary(c, |b, x| b.unary(Unary::Tanh, x));
    "eq" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self == other`." =>
        |c| compare(c, Cmp::Eq, false);
    "ne" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self != other`." =>
        |c| compare(c, Cmp::Ne, false);
    "lt" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self < other`." =>
        |c| compare(c, Cmp::Lt, false);
    "le" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self <= other`." =>
        |c| compare(c, Cmp::Le, false);
    "gt" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self > other`." =>
        |c| compare(c, Cmp::Lt, true);
    "ge" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self >= other`." =>
        |c| compare(c, Cmp::Le, true);
}
