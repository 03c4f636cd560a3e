//! Arithmetic, comparison and elementwise functions.

use super::rows;
use super::support::{V, float1, float2, only_float1, promoted, same1, same2, to_float, with1, with2, with3};
use crate::composite::{arithmetic as ar, gamma, rounding, special as sp};
use crate::error::{Error, Result, scalar_type_name};
use crate::node::Value;
use crate::ops::args::Number;
use crate::ops::call::{Call, Operand, Returned};
use crate::record::Recorder;
use ttk_ir::{Binary, Builder, Cmp, DType, Unary};

/// A function of arguments 0 and 1 in their common type.
fn arithmetic(c: &mut Call<'_>, f: fn(&mut Recorder, &Value, &Value) -> Value) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
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

fn unary1(c: &mut Call<'_>, u: Unary) -> Result<Returned> {
    let x = c.value(0)?;
    let x = to_float(&mut c.b, &x);
    Ok(c.b.unary(u, &x).into())
}

/// Rounding leaves integers as they are.
fn rounding1(c: &mut Call<'_>, f: for<'r> fn(&V<'r>) -> V<'r>) -> Result<Returned> {
    let x = c.value(0)?;
    if x.ty.dtype.is_float() { same1(c, f) } else { Ok(x.into()) }
}

/// A bit operation on integers and bools.
fn bits(c: &mut Call<'_>, op: Binary) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    if dtype.is_float() {
        return Err(Error::NotForDtype { op: c.name(), dtype: scalar_type_name(dtype) });
    }
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    Ok(c.b.binary(op, &x, &y).into())
}

/// A logical operation on the truth of two operands.
fn logic(c: &mut Call<'_>, op: Binary) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    let (x, y) = (with1(&mut c.b, &x, ar::truth), with1(&mut c.b, &y, ar::truth));
    Ok(c.b.binary(op, &x, &y).into())
}

fn divide(c: &mut Call<'_>) -> Result<Returned> {
    match c.opt_str(2)? {
        None => float2(c, |x, y| x.binary(Binary::Div, y)),
        Some("floor") => same2(c, rounding::floor_divide),
        Some("trunc") => same2(c, |x, y| ar::div(x, y, ar::Rounding::Trunc)),
        Some(other) => Err(Error::runtime(format!(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{other}'"
        ))),
    }
}

fn clamp(c: &mut Call<'_>, low: usize, high: usize) -> Result<Returned> {
    let x = c.operand(0)?;
    let at = |i: usize| if i == 0 { Ok(None) } else { c.opt_operand(i) };
    let (low, high) = (at(low)?, at(high)?);
    let mut operands = vec![x];
    operands.extend(low);
    operands.extend(high);
    if operands.len() == 1 {
        return Err(Error::runtime("torch.clamp: At least one of 'min' or 'max' must not be None"));
    }
    let values = promoted(c, &operands)?;
    let scope = crate::composite::Scope::new(&mut c.b);
    let vals: Vec<V<'_>> = values.iter().map(|v| scope.val(v)).collect();
    let l = low.as_ref().map(|_| &vals[1]);
    let h = high.as_ref().map(|_| &vals[vals.len() - 1]);
    Ok(ar::clamp_to(&vals[0], l, h).into_value().into())
}

/// `x + value * y op z`.
fn add_product(
    c: &mut Call<'_>,
    f: for<'r> fn(&V<'r>, &V<'r>, &V<'r>, f64) -> V<'r>,
    float: bool,
) -> Result<Returned> {
    let operands = [c.operand(0)?, c.operand(1)?, c.operand(2)?];
    let value = c.float(3)?;
    let values = promoted(c, &operands)?;
    if float && !values[0].ty.dtype.is_float() {
        return Err(Error::runtime(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true division of tensor1 and tensor2.",
        ));
    }
    Ok(with3(&mut c.b, &values[0], &values[1], &values[2], |x, y, z| f(x, y, z, value)).into())
}

fn lerp(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y, w) = (c.operand(0)?, c.operand(1)?, c.operand(2)?);
    if let Operand::Number(w) = w {
        let v = promoted(c, &[x, y])?;
        let w = w.as_f64();
        return Ok(with2(&mut c.b, &v[0], &v[1], |x, y| ar::lerp_by(x, y, w)).into());
    }
    let v = promoted(c, &[x, y, w])?;
    Ok(with3(&mut c.b, &v[0], &v[1], &v[2], ar::lerp).into())
}

fn where_(c: &mut Call<'_>) -> Result<Returned> {
    if c.overload == 0 {
        let x = crate::host::nonzero(&c.tensor(0)?)?;
        let rank = x.sizes()[1];
        let column = |i| {
            let v = x.view().slice(1, i, 1, 1);
            x.with_view(crate::index::without_axis(&v, 1))
        };
        return Ok(Returned::Tuple { names: &[], items: (0..rank).map(column).collect() });
    }
    let m = c.value(0)?;
    if !matches!(m.ty.dtype, DType::Bool | DType::U8) {
        return Err(Error::runtime(format!(
            "where expected condition to be a boolean tensor, but got a tensor with dtype {}",
            crate::error::scalar_type_name(m.ty.dtype)
        )));
    }
    let (x, y) = (c.operand(1)?, c.operand(2)?);
    let dtype = c.promote(&[&x, &y]);
    let (x, y) = (c.operand_value(&x, dtype), c.operand_value(&y, dtype));
    let m = if m.ty.dtype == DType::Bool { m } else { with1(&mut c.b, &m, ar::truth) };
    let all = c.broadcast_all(&[m, x, y])?;
    Ok(c.b.select(&all[0], &all[1], &all[2]).into())
}

fn isclose(c: &mut Call<'_>) -> Result<Value> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let (rtol, atol, equal_nan) = (c.float(2)?, c.float(3)?, c.bool(4)?);
    if let (Operand::Tensor(a), Operand::Tensor(b)) = (&x, &y)
        && a.dtype() != b.dtype()
    {
        let (a, b) = (crate::error::python_dtype_name(a.dtype()), crate::error::python_dtype_name(b.dtype()));
        return Err(Error::runtime(format!("{a} did not match {b}")));
    }
    if rtol < 0.0 || atol < 0.0 {
        let got = rtol.min(atol);
        return Err(Error::runtime(format!("rtol must be greater than or equal to zero, but got {got}")));
    }
    let v = promoted(c, &[x, y])?;
    Ok(with2(&mut c.b, &v[0], &v[1], |x, y| ar::isclose(x, y, rtol, atol, equal_nan)))
}

fn test1(c: &mut Call<'_>, f: for<'r> fn(&V<'r>) -> V<'r>, otherwise: bool) -> Result<Returned> {
    let x = c.value(0)?;
    if x.ty.dtype.is_float() {
        return Ok(with1(&mut c.b, &x, f).into());
    }
    let v = ttk_ir::Scalar::from_i64(DType::Bool, otherwise as i64);
    Ok(c.b.constant(v, x.ty.shape.clone()).into())
}

/// The larger or smaller; on bools the disjunction or conjunction.
fn larger<'r>(x: &V<'r>, y: &V<'r>, op: Binary) -> V<'r> {
    if x.dtype() == DType::Bool {
        return x.binary(if op == Binary::Max { Binary::Or } else { Binary::And }, y);
    }
    x.binary(op, y)
}

fn rsub(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let alpha = c.number(2)?;
    let dtype = c.promote(&[&x, &y]);
    let (mut x, y) = c.broadcast_pair(&x, &y, dtype)?;
    if alpha.as_f64() != 1.0 {
        let k = c.b.constant(alpha.scalar(dtype), x.ty.shape.clone());
        x = c.b.mul(&x, &k);
    }
    Ok(c.b.sub(&y, &x).into())
}

fn negate(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    if x.ty.dtype == DType::Bool {
        return Err(Error::runtime(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead.",
        ));
    }
    Ok(c.b.neg(&x).into())
}

fn float_power(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let (x, y) = c.broadcast_pair(&x, &y, DType::F64)?;
    Ok(c.b.binary(Binary::Pow, &x, &y).into())
}

fn nan_to_num(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    if !x.ty.dtype.is_float() {
        return Ok(x.into());
    }
    let largest = match x.ty.dtype {
        DType::F64 => f64::MAX,
        DType::F16 => 65504.0,
        DType::BF16 => 3.389_531_389_251_535_5e38,
        _ => f32::MAX as f64,
    };
    let nan = c.opt_float(1)?.unwrap_or(0.0);
    let (high, low) = (c.opt_float(2)?.unwrap_or(largest), c.opt_float(3)?.unwrap_or(-largest));
    Ok(with1(&mut c.b, &x, |x| ar::nan_to_num(x, nan, high, low)).into())
}

fn allclose(c: &mut Call<'_>) -> Result<Returned> {
    let close = isclose(c)?;
    let all = crate::tensor::Tensor::from_value(close);
    let every = crate::host::scalars(&all)?.iter().all(|s| s.bits != 0);
    Ok(Returned::Number(Number::Bool(every)))
}

fn equal(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y) = (c.tensor(0)?, c.tensor(1)?);
    if x.sizes() != y.sizes() {
        return Ok(Returned::Number(Number::Bool(false)));
    }
    if x.dtype() != y.dtype() {
        return Err(Error::runtime(format!(
            "Expected object of data type {} but got data type {} for argument 'other'",
            scalar_type_name(x.dtype()),
            scalar_type_name(y.dtype())
        )));
    }
    let same = crate::host::scalars(&x)?
        .iter()
        .zip(&crate::host::scalars(&y)?)
        .all(|(a, b)| if a.dtype.is_float() { a.as_f64() == b.as_f64() } else { a == b });
    Ok(Returned::Number(Number::Bool(same)))
}

rows! {
    "add" Torch "fmio" Nothing ["(Tensor self, Operand other, *, Number alpha=1) -> Tensor", "(Operand self, Tensor other, *, Number alpha=1) -> Tensor"] "`self + alpha * other`, elementwise, in the common type." => |c| add_scaled(c, Binary::Add);
    "sub" Torch "fmio" Nothing ["(Tensor self, Operand other, *, Number alpha=1) -> Tensor", "(Operand self, Tensor other, *, Number alpha=1) -> Tensor"] "`self - alpha * other`, elementwise, in the common type." => |c| add_scaled(c, Binary::Sub);
    "subtract" Torch "fmio" Nothing ["(Tensor self, Operand other, *, Number alpha=1) -> Tensor", "(Operand self, Tensor other, *, Number alpha=1) -> Tensor"] "`self - alpha * other`, elementwise, in the common type." => |c| add_scaled(c, Binary::Sub);
    "rsub" Torch "fm" Nothing ["(Tensor self, Operand other, *, Number alpha=1) -> Tensor"] "`other - alpha * self`." => rsub;
    "mul" Torch "fmio" Inputs ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "`self * other`, elementwise, in the common type; the conjunction of bools." => |c| arithmetic(c, multiply);
    "multiply" Torch "fmio" Inputs ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "`self * other`, elementwise, in the common type; the conjunction of bools." => |c| arithmetic(c, multiply);
    "div" Torch "fmio" Inputs ["(Tensor self, Operand other, *, str? rounding_mode=None) -> Tensor", "(Operand self, Tensor other, *, str? rounding_mode=None) -> Tensor"] "`self / other`; integers give floats, unless `rounding_mode` is 'trunc' or 'floor'." => divide;
    "divide" Torch "fmio" Inputs ["(Tensor self, Operand other, *, str? rounding_mode=None) -> Tensor", "(Operand self, Tensor other, *, str? rounding_mode=None) -> Tensor"] "`self / other`; integers give floats, unless `rounding_mode` is 'trunc' or 'floor'." => divide;
    "true_divide" Torch "fmio" Inputs ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "`self / other` in floating point." => |c| float2(c, |x, y| x.binary(Binary::Div, y));
    "floor_divide" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "`self // other`: the quotient rounded toward minus infinity." => |c| same2(c, rounding::floor_divide);
    "remainder" Torch "fmio" Inputs ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "The remainder with the sign of the divisor, as Python's `%`." => |c| same2(c, ar::remainder);
    "fmod" Torch "fmio" Inputs ["(Tensor self, Operand other) -> Tensor"] "The remainder with the sign of the dividend, as C's `fmod`." => |c| same2(c, |x, y| x.binary(Binary::Rem, y));
    "pow" Torch "fmio" Inputs ["(Tensor self, Operand exponent) -> Tensor", "(Operand self, Tensor exponent) -> Tensor"] "`self ** exponent`, elementwise." => power;
    "float_power" Torch "fmio" Inputs ["(Tensor self, Operand exponent) -> Tensor", "(Operand self, Tensor exponent) -> Tensor"] "`self ** exponent` in double precision." => float_power;
    "neg" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "`-self`." => negate;
    "negative" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "`-self`." => negate;
    "positive" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "`self`." => |c| Ok(c.tensor(0)?.into());
    "abs" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The absolute value." => |c| { let x = c.value(0)?; if !x.ty.dtype.is_signed() { return Ok(x.into()); } Ok(c.b.unary(Unary::Abs, &x).into()) };
    "absolute" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The absolute value." => |c| { let x = c.value(0)?; if !x.ty.dtype.is_signed() { return Ok(x.into()); } Ok(c.b.unary(Unary::Abs, &x).into()) };
    "exp" Torch "fmio" Output ["(Tensor self) -> Tensor"] "e to the power of each element." => |c| unary1(c, Unary::Exp);
    "expm1" Torch "fmio" Output ["(Tensor self) -> Tensor"] "exp(x) - 1, accurate near 0." => |c| unary1(c, Unary::Expm1);
    "log" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The natural logarithm." => |c| unary1(c, Unary::Log);
    "log1p" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "log(1 + x), accurate near 0." => |c| unary1(c, Unary::Log1p);
    "sqrt" Torch "fmio" Output ["(Tensor self) -> Tensor"] "The square root." => |c| unary1(c, Unary::Sqrt);
    "sin" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The sine (radians)." => |c| unary1(c, Unary::Sin);
    "cos" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The cosine (radians)." => |c| unary1(c, Unary::Cos);
    "tanh" Torch "fmio" Output ["(Tensor self) -> Tensor"] "The hyperbolic tangent." => |c| unary1(c, Unary::Tanh);
    "erf" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The error function." => |c| unary1(c, Unary::Erf);
    "asin" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse sine." => |c| float1(c, sp::asin);
    "arcsin" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse sine." => |c| float1(c, sp::asin);
    "acos" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse cosine." => |c| float1(c, sp::acos);
    "arccos" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse cosine." => |c| float1(c, sp::acos);
    "atan" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse tangent." => |c| float1(c, sp::atan);
    "arctan" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse tangent." => |c| float1(c, sp::atan);
    "tan" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The tangent (radians)." => |c| float1(c, sp::tan);
    "sinh" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The hyperbolic sine." => |c| float1(c, sp::sinh);
    "cosh" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The hyperbolic cosine." => |c| float1(c, sp::cosh);
    "asinh" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse hyperbolic sine." => |c| float1(c, sp::asinh);
    "arcsinh" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse hyperbolic sine." => |c| float1(c, sp::asinh);
    "acosh" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse hyperbolic cosine." => |c| float1(c, sp::acosh);
    "arccosh" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse hyperbolic cosine." => |c| float1(c, sp::acosh);
    "atanh" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse hyperbolic tangent." => |c| float1(c, sp::atanh);
    "arctanh" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse hyperbolic tangent." => |c| float1(c, sp::atanh);
    "exp2" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "2 to the power of each element." => |c| float1(c, sp::exp2);
    "log2" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The logarithm to base 2." => |c| float1(c, sp::log2);
    "log10" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The logarithm to base 10." => |c| float1(c, sp::log10);
    "rsqrt" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "1 / sqrt(x)." => |c| float1(c, sp::rsqrt);
    "reciprocal" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "1 / x." => |c| float1(c, |x| x.reciprocal());
    "sigmoid" Torch "fmio" Output ["(Tensor self) -> Tensor"] "1 / (1 + exp(-x))." => |c| float1(c, crate::composite::activation::sigmoid);
    "sinc" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "sin(pi x) / (pi x)." => |c| float1(c, sp::sinc);
    "erfc" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "1 - erf(x)." => |c| float1(c, sp::erfc);
    "erfinv" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The inverse of the error function." => |c| float1(c, sp::erfinv);
    "lgamma" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The logarithm of the absolute value of the gamma function." => |c| float1(c, gamma::lgamma);
    "digamma" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "The derivative of lgamma." => |c| float1(c, gamma::digamma);
    "deg2rad" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "Degrees to radians." => |c| float1(c, sp::deg2rad);
    "rad2deg" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "Radians to degrees." => |c| float1(c, sp::rad2deg);
    "entr" Special "fo" Inputs ["(Tensor self) -> Tensor"] "-x log(x)." => |c| float1(c, sp::entr);
    "erfcx" Special "fo" Inputs ["(Tensor self) -> Tensor"] "exp(x^2) erfc(x)." => |c| float1(c, sp::erfcx);
    "ndtr" Special "fo" Inputs ["(Tensor self) -> Tensor"] "The normal distribution function." => |c| float1(c, sp::ndtr);
    "log_ndtr" Special "fo" Inputs ["(Tensor self) -> Tensor"] "Its logarithm." => |c| float1(c, sp::log_ndtr);
    "ndtri" Special "fo" Inputs ["(Tensor self) -> Tensor"] "Its inverse." => |c| float1(c, sp::ndtri);
    "erf" Special "fo" Inputs ["(Tensor self) -> Tensor"] "The error function." => |c| float1(c, |x| x.unary(Unary::Erf));
    "erfc" Special "fo" Inputs ["(Tensor self) -> Tensor"] "1 - erf(x)." => |c| float1(c, sp::erfc);
    "erfinv" Special "fo" Inputs ["(Tensor self) -> Tensor"] "The inverse of the error function." => |c| float1(c, sp::erfinv);
    "exp2" Special "fo" Inputs ["(Tensor self) -> Tensor"] "2 to the power of each element." => |c| float1(c, sp::exp2);
    "expm1" Special "fo" Inputs ["(Tensor self) -> Tensor"] "exp(x) - 1." => |c| float1(c, |x| x.unary(Unary::Expm1));
    "log1p" Special "fo" Inputs ["(Tensor self) -> Tensor"] "log(1 + x)." => |c| float1(c, |x| x.unary(Unary::Log1p));
    "expit" Special "fo" Inputs ["(Tensor self) -> Tensor"] "1 / (1 + exp(-x))." => |c| float1(c, crate::composite::activation::sigmoid);
    "gammaln" Special "fo" Inputs ["(Tensor self) -> Tensor"] "The logarithm of the gamma function." => |c| float1(c, gamma::lgamma);
    "digamma" Special "fo" Inputs ["(Tensor self) -> Tensor"] "The derivative of gammaln." => |c| float1(c, gamma::digamma);
    "psi" Special "fo" Inputs ["(Tensor self) -> Tensor"] "The derivative of gammaln." => |c| float1(c, gamma::digamma);
    "sinc" Special "fo" Inputs ["(Tensor self) -> Tensor"] "sin(pi x) / (pi x)." => |c| float1(c, sp::sinc);
    "xlogy" Special "fo" Inputs ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "x log(y), 0 where x is 0." => |c| float2(c, sp::xlogy);
    "xlog1py" Special "fo" Inputs ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "x log(1 + y), 0 where x is 0." => |c| float2(c, sp::xlog1py);
    "xlogy" Torch "fmio" Inputs ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "x log(y), 0 where x is 0." => |c| float2(c, sp::xlogy);
    "logaddexp" Torch "fmo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "log(exp(x) + exp(y))." => |c| float2(c, sp::logaddexp);
    "logaddexp2" Torch "fmo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "log2(2^x + 2^y)." => |c| float2(c, sp::logaddexp2);
    "hypot" Torch "fmoi" Inputs ["(Tensor self, Tensor other) -> Tensor"] "sqrt(x^2 + y^2)." => |c| float2(c, sp::hypot);
    "atan2" Torch "fmio" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The angle of the point (other, self)." => |c| float2(c, |x, y| x.binary(Binary::Atan2, y));
    "arctan2" Torch "fmio" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The angle of the point (other, self)." => |c| float2(c, |x, y| x.binary(Binary::Atan2, y));
    "copysign" Torch "fmio" Inputs ["(Tensor self, Operand other) -> Tensor"] "The magnitude of self with the sign of other." => |c| float2(c, ar::copysign);
    "maximum" Torch "fmo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The larger, elementwise; NaN wins." => |c| same2(c, |x, y| larger(x, y, Binary::Max));
    "minimum" Torch "fmo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The smaller, elementwise; NaN wins." => |c| same2(c, |x, y| larger(x, y, Binary::Min));
    "fmax" Torch "fmo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The larger, elementwise; NaN loses." => |c| same2(c, ar::fmax);
    "fmin" Torch "fmo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The smaller, elementwise; NaN loses." => |c| same2(c, ar::fmin);
    "heaviside" Torch "fmio" Nothing ["(Tensor self, Tensor values) -> Tensor"] "The step function, with `values` where self is 0." => |c| {
            if c.tensor(0)?.dtype() != c.tensor(1)?.dtype() {
                return Err(Error::runtime("heaviside is not yet implemented for tensors with different dtypes."));
            }
            same2(c, ar::heaviside)
        };
    "ldexp" Torch "fmio" Inputs ["(Tensor self, Tensor other) -> Tensor"] "self * 2**other." => |c| float2(c, ar::ldexp);
    "floor" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "The largest integer not above." => |c| rounding1(c, rounding::floor);
    "ceil" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "The smallest integer not below." => |c| rounding1(c, rounding::ceil);
    "trunc" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "The integer part." => |c| rounding1(c, rounding::trunc);
    "fix" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "The integer part." => |c| rounding1(c, rounding::trunc);
    "frac" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "The fractional part." => |c| only_float1(c, rounding::frac);
    "round" Torch "fmio" Nothing ["(Tensor self, *, int decimals=0) -> Tensor"] "To the nearest integer (or decimal), ties to even." => |c| { let d = c.int(1)? as i32; let x = c.value(0)?; if !x.ty.dtype.is_float() { return Ok(x.into()); } Ok(with1(&mut c.b, &x, |x| rounding::round(x, d)).into()) };
    "sign" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "-1, 0 or 1." => |c| same1(c, ar::sign);
    "sgn" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "-1, 0 or 1." => |c| same1(c, ar::sign);
    "signbit" Torch "fmo" Nothing ["(Tensor self) -> Tensor"] "Whether the sign bit is set." => |c| same1(c, ar::signbit);
    "square" Torch "fmio" Inputs ["(Tensor self) -> Tensor"] "x * x." => |c| { let x = c.value(0)?; let x = if x.ty.dtype == DType::Bool { c.b.cast(&x, DType::I64) } else { x }; Ok(c.b.mul(&x, &x).into()) };
    "logit" Torch "fmio" Inputs ["(Tensor self, float? eps=None) -> Tensor"] "log(x / (1 - x))." => |c| { let e = c.opt_float(1)?; let x = c.value(0)?; let x = to_float(&mut c.b, &x); Ok(with1(&mut c.b, &x, |x| sp::logit(x, e)).into()) };
    "logit" Special "fo" Inputs ["(Tensor self, float? eps=None) -> Tensor"] "log(x / (1 - x))." => |c| { let e = c.opt_float(1)?; let x = c.value(0)?; let x = to_float(&mut c.b, &x); Ok(with1(&mut c.b, &x, |x| sp::logit(x, e)).into()) };
    "polygamma" Torch "f" Inputs ["(int n, Tensor self) -> Tensor"] "The n-th derivative of digamma." => |c| { let n = c.int(0)?; if n < 0 { return Err(Error::runtime("polygamma(n, x) does not support negative n.")); } let x = c.value(1)?; let x = to_float(&mut c.b, &x); Ok(with1(&mut c.b, &x, |x| gamma::polygamma(n, x)).into()) };
    "mvlgamma" Torch "fmio" Inputs ["(Tensor self, int p) -> Tensor"] "The multivariate log-gamma function." => |c| { let p = c.int(1)?; if p < 1 { return Err(Error::runtime("p has to be greater than or equal to 1")); } let x = c.value(0)?; let x = to_float(&mut c.b, &x); Ok(with1(&mut c.b, &x, |x| gamma::mvlgamma(x, p)).into()) };
    "nan_to_num" Torch "fmio" Nothing ["(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor"] "NaN and infinities replaced by numbers." => nan_to_num;
    "clamp" Torch "fmio" Inputs ["(Tensor self, Operand? min=None, Operand? max=None) -> Tensor"] "Elements brought into a range." => |c| clamp(c, 1, 2);
    "clip" Torch "fmio" Inputs ["(Tensor self, Operand? min=None, Operand? max=None) -> Tensor"] "Elements brought into a range." => |c| clamp(c, 1, 2);
    "clamp_min" Torch "fmio" Inputs ["(Tensor self, Operand min) -> Tensor"] "Elements below a bound brought up to it." => |c| clamp(c, 1, 0);
    "clamp_max" Torch "fmio" Inputs ["(Tensor self, Operand max) -> Tensor"] "Elements above a bound brought down to it." => |c| clamp(c, 0, 1);
    "addcmul" Torch "fmio" Inputs ["(Tensor self, Tensor tensor1, Operand tensor2, *, Number value=1) -> Tensor"] "self + value * tensor1 * tensor2." => |c| add_product(c, ar::addcmul, false);
    "addcdiv" Torch "fmio" Inputs ["(Tensor self, Tensor tensor1, Operand tensor2, *, Number value=1) -> Tensor"] "self + value * tensor1 / tensor2." => |c| add_product(c, ar::addcdiv, true);
    "lerp" Torch "fmio" Inputs ["(Tensor self, Tensor end, Operand weight) -> Tensor"] "self + weight * (end - self)." => lerp;
    "eq" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self == other`." => |c| compare(c, Cmp::Eq, false);
    "ne" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self != other`." => |c| compare(c, Cmp::Ne, false);
    "not_equal" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self != other`." => |c| compare(c, Cmp::Ne, false);
    "lt" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self < other`." => |c| compare(c, Cmp::Lt, false);
    "less" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self < other`." => |c| compare(c, Cmp::Lt, false);
    "le" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self <= other`." => |c| compare(c, Cmp::Le, false);
    "less_equal" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self <= other`." => |c| compare(c, Cmp::Le, false);
    "gt" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self > other`." => |c| compare(c, Cmp::Lt, true);
    "greater" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self > other`." => |c| compare(c, Cmp::Lt, true);
    "ge" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self >= other`." => |c| compare(c, Cmp::Le, true);
    "greater_equal" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor"] "`self >= other`." => |c| compare(c, Cmp::Le, true);
    "bitwise_and" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "Bitwise and of integers, logical and of bools." => |c| bits(c, Binary::And);
    "logical_and" Torch "fmio" Nothing ["(Tensor self, Tensor other) -> Tensor"] "Logical and of what is not zero." => |c| logic(c, Binary::And);
    "bitwise_or" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "Bitwise or of integers, logical or of bools." => |c| bits(c, Binary::Or);
    "logical_or" Torch "fmio" Nothing ["(Tensor self, Tensor other) -> Tensor"] "Logical or of what is not zero." => |c| logic(c, Binary::Or);
    "bitwise_xor" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "Bitwise xor of integers, logical xor of bools." => |c| bits(c, Binary::Xor);
    "logical_xor" Torch "fmio" Nothing ["(Tensor self, Tensor other) -> Tensor"] "Logical xor of what is not zero." => |c| logic(c, Binary::Xor);
    "bitwise_left_shift" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "Bits shifted left." => |c| bits(c, Binary::Shl);
    "bitwise_right_shift" Torch "fmio" Nothing ["(Tensor self, Operand other) -> Tensor", "(Operand self, Tensor other) -> Tensor"] "Bits shifted right." => |c| bits(c, Binary::Shr);
    "bitwise_not" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "Bits turned round; logical not of bools." => |c| { let x = c.value(0)?; if x.ty.dtype.is_float() { return Err(Error::NotForDtype { op: c.name(), dtype: scalar_type_name(x.ty.dtype) }); } Ok(c.b.unary(Unary::Not, &x).into()) };
    "logical_not" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "Whether an element is zero." => |c| { let x = c.value(0)?; let t = with1(&mut c.b, &x, ar::truth); Ok(c.b.unary(Unary::Not, &t).into()) };
    "isnan" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "Whether an element nan." => |c| test1(c, |x| x.is_nan(), false);
    "isinf" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "Whether an element inf." => |c| test1(c, ar::is_inf, false);
    "isfinite" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "Whether an element finite." => |c| test1(c, ar::is_finite, true);
    "isposinf" Torch "fmo" Nothing ["(Tensor self) -> Tensor"] "Whether an element is plus infinity." => |c| test1(c, |x| x.cmp(Cmp::Eq, f64::INFINITY), false);
    "isneginf" Torch "fmo" Nothing ["(Tensor self) -> Tensor"] "Whether an element is minus infinity." => |c| test1(c, |x| x.cmp(Cmp::Eq, f64::NEG_INFINITY), false);
    "isreal" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "True: there is no imaginary part." => |c| { let x = c.value(0)?; Ok(c.b.constant(ttk_ir::Scalar::from_i64(DType::Bool, 1), x.ty.shape.clone()).into()) };
    "isclose" Torch "fm" Nothing ["(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> Tensor"] "Whether elements are equal to a tolerance." => |c| Ok(isclose(c)?.into());
    "allclose" Torch "fm" Nothing ["(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> bool"] "Whether all elements are equal to a tolerance." => allclose;
    "equal" Torch "fm" Nothing ["(Tensor self, Tensor other) -> bool"] "Whether two tensors have the same sizes and elements." => equal;
    "where" Torch "f" Nothing ["(Tensor condition) -> Tensor[]", "(Tensor condition, Operand self, Operand other) -> Tensor"] "Elements of one where the condition holds, else of the other; or the positions where it holds." => where_;
    "real" Torch "f" Nothing ["(Tensor self) -> Tensor"] "The real part: self." => |c| Ok(c.tensor(0)?.into());
    "conj" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "The conjugate: self." => |c| Ok(c.tensor(0)?.into());
    "conj_physical" Torch "fmio" Nothing ["(Tensor self) -> Tensor"] "The conjugate: self." => |c| Ok(c.value(0)?.into());
    "resolve_conj" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "self: nothing is conjugated lazily." => |c| Ok(c.tensor(0)?.into());
    "resolve_neg" Torch "fm" Nothing ["(Tensor self) -> Tensor"] "self: nothing is conjugated lazily." => |c| Ok(c.tensor(0)?.into());
}
