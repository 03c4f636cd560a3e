//! Operations on single elements.

use super::Cotangents;
use smallvec::smallvec;
use std::f64::consts::FRAC_2_SQRT_PI;
use ttk_ir::{Binary, Builder, Cmp, Unary};

/// Whether the derivative is anything but zero everywhere it exists.
pub(crate) fn has_slope(u: Unary) -> bool {
    match u {
        Unary::Not | Unary::Floor | Unary::Round => false,
        Unary::Neg | Unary::Abs | Unary::Relu | Unary::Sqrt | Unary::Exp | Unary::Expm1 => true,
        Unary::Log | Unary::Log1p | Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Erf => true,
        Unary::Sigmoid => true,
    }
}

pub(crate) fn unary<B: Builder>(
    b: &mut B,
    u: Unary,
    x: &B::Value,
    y: &B::Value,
    g: &B::Value,
) -> Option<B::Value> {
    Some(match u {
        Unary::Neg => b.neg(g),
        // The slope at 0 is 0.
        Unary::Abs => {
            let zero = b.full_like(x, 0.0);
            let (positive, negative) = (b.cmp(Cmp::Lt, &zero, x), b.cmp(Cmp::Lt, x, &zero));
            let down = b.neg(g);
            let rest = b.select(&negative, &down, &zero);
            b.select(&positive, g, &rest)
        }
        // The comparison that the result is made with: it is found again, and its bits are kept in place of `x`.
        Unary::Relu => {
            let zero = b.full_like(x, 0.0);
            let flat = b.cmp(Cmp::Le, x, &zero);
            b.select(&flat, &zero, g)
        }
        Unary::Sqrt => {
            let twice = b.scale(y, 2.0);
            b.div(g, &twice)
        }
        Unary::Exp => b.mul(g, y),
        Unary::Expm1 => {
            let slope = b.shift(y, 1.0);
            b.mul(g, &slope)
        }
        Unary::Log => b.div(g, x),
        Unary::Log1p => {
            let below = b.shift(x, 1.0);
            b.div(g, &below)
        }
        Unary::Sin => {
            let cos = b.unary(Unary::Cos, x);
            b.mul(g, &cos)
        }
        Unary::Cos => {
            let sin = b.unary(Unary::Sin, x);
            let slope = b.neg(&sin);
            b.mul(g, &slope)
        }
        Unary::Tanh => {
            let square = b.mul(y, y);
            let one = b.full_like(y, 1.0);
            let slope = b.sub(&one, &square);
            b.mul(g, &slope)
        }
        // `y (1 - y)`
        Unary::Sigmoid => {
            let one = b.full_like(y, 1.0);
            let rest = b.sub(&one, y);
            let slope = b.mul(&rest, y);
            b.mul(g, &slope)
        }
        Unary::Erf => {
            let square = b.mul(x, x);
            let power = b.neg(&square);
            let bell = b.unary(Unary::Exp, &power);
            let slope = b.scale(&bell, FRAC_2_SQRT_PI);
            b.mul(g, &slope)
        }
        Unary::Not | Unary::Floor | Unary::Round => return None,
    })
}

pub(crate) fn binary<B: Builder>(
    b: &mut B,
    op: Binary,
    inputs: &[B::Value],
    out: &B::Value,
    g: &B::Value,
    needs: &[bool],
) -> Cotangents<B::Value> {
    let (x, y) = (&inputs[0], &inputs[1]);
    let first = needs[0].then(|| left(b, op, x, y, g)).flatten();
    let second = needs[1].then(|| right(b, op, x, y, out, g)).flatten();
    smallvec![first, second]
}

fn left<B: Builder>(b: &mut B, op: Binary, x: &B::Value, y: &B::Value, g: &B::Value) -> Option<B::Value> {
    Some(match op {
        Binary::Add | Binary::Sub | Binary::Rem => g.clone(),
        Binary::Mul => b.mul(g, y),
        Binary::Div => b.div(g, y),
        // y * x^(y-1), which is 0 where y is 0, whatever x. Taking the exponent 0 there instead of -1
        // keeps x = 0 from making an infinity that a later derivative would multiply by 0.
        Binary::Pow => {
            let zero = b.full_like(y, 0.0);
            let flat = b.cmp(Cmp::Eq, y, &zero);
            let less = b.shift(y, -1.0);
            let exponent = b.select(&flat, &zero, &less);
            let power = b.binary(Binary::Pow, x, &exponent);
            let slope = b.mul(y, &power);
            b.mul(g, &slope)
        }
        Binary::Max => share(b, x, y, g, false),
        Binary::Min => share(b, x, y, g, true),
        Binary::Atan2 => {
            let slope = over_norm(b, y, x, y);
            b.mul(g, &slope)
        }
        Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => return None,
    })
}

fn right<B: Builder>(
    b: &mut B,
    op: Binary,
    x: &B::Value,
    y: &B::Value,
    out: &B::Value,
    g: &B::Value,
) -> Option<B::Value> {
    Some(match op {
        Binary::Add => g.clone(),
        Binary::Sub => b.neg(g),
        Binary::Mul => b.mul(g, x),
        Binary::Div => {
            let slope = b.div(out, y);
            let down = b.neg(g);
            b.mul(&down, &slope)
        }
        // x - y * trunc(x / y)
        Binary::Rem => {
            let ratio = b.div(x, y);
            let quotient = trunc(b, &ratio);
            let down = b.neg(g);
            b.mul(&down, &quotient)
        }
        // x^y * log x, and 0 where x is 0 and y is not negative: there the power is 0 or 1 for every
        // larger exponent. A negative base gives NaN.
        Binary::Pow => {
            let zero = b.full_like(x, 0.0);
            let one = b.full_like(x, 1.0);
            let (nil, up) = (b.cmp(Cmp::Eq, x, &zero), b.cmp(Cmp::Le, &zero, y));
            let flat = b.binary(Binary::And, &nil, &up);
            let base = b.select(&flat, &one, x);
            let log = b.unary(Unary::Log, &base);
            let slope = b.mul(out, &log);
            b.mul(g, &slope)
        }
        Binary::Max => share(b, y, x, g, false),
        Binary::Min => share(b, y, x, g, true),
        Binary::Atan2 => {
            let slope = over_norm(b, x, x, y);
            let down = b.neg(g);
            b.mul(&down, &slope)
        }
        Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => return None,
    })
}

/// The cotangent of `own` in `max(own, other)`, or `min`: all of it where `own` wins, half at a tie,
/// none where it loses. A NaN takes all.
fn share<B: Builder>(b: &mut B, own: &B::Value, other: &B::Value, g: &B::Value, min: bool) -> B::Value {
    let tie = b.cmp(Cmp::Eq, own, other);
    let lost = if min { b.cmp(Cmp::Lt, other, own) } else { b.cmp(Cmp::Lt, own, other) };
    let half = b.scale(g, 0.5);
    let zero = b.full_like(g, 0.0);
    let kept = b.select(&tie, &half, g);
    b.select(&lost, &zero, &kept)
}

/// `numerator / (x² + y²)`
fn over_norm<B: Builder>(b: &mut B, numerator: &B::Value, x: &B::Value, y: &B::Value) -> B::Value {
    let (xx, yy) = (b.mul(x, x), b.mul(y, y));
    let norm = b.add(&xx, &yy);
    b.div(numerator, &norm)
}

/// Rounding toward zero.
fn trunc<B: Builder>(b: &mut B, x: &B::Value) -> B::Value {
    let zero = b.full_like(x, 0.0);
    let negative = b.cmp(Cmp::Lt, x, &zero);
    let size = b.unary(Unary::Abs, x);
    let down = b.unary(Unary::Floor, &size);
    let flipped = b.neg(&down);
    b.select(&negative, &flipped, &down)
}

pub(crate) fn select<B: Builder>(
    b: &mut B,
    condition: &B::Value,
    g: &B::Value,
    needs: &[bool],
) -> Cotangents<B::Value> {
    let zero = b.full_like(g, 0.0);
    let yes = needs[1].then(|| b.select(condition, g, &zero));
    let no = needs[2].then(|| b.select(condition, &zero, g));
    smallvec![None, yes, no]
}
