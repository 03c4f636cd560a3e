//! What the parsers accept at most. Generous for programs, finite for attackers.

use super::error::ParseErrorKind;
use crate::expr::{Atom, Expr};
use crate::shape::{Dim, Type};

/// Bytes of text.
pub const MAX_TEXT: usize = 1 << 28;
/// Axes of a tensor; PyTorch's own limit.
pub const MAX_RANK: usize = 64;
/// Size of an axis, and the largest absolute value of a number among attributes.
pub const MAX_SIZE: i64 = 1 << 48;
/// Operands of an operation, inputs and outputs of a graph, parameters of a kernel.
pub const MAX_LIST: usize = 1 << 16;
/// Atoms and numbers of an expression, all levels together.
pub const MAX_EXPR: usize = 256;
/// Levels of brackets, divisions and loops.
pub const MAX_DEPTH: usize = 32;
/// Terms of a product of sums, before like terms meet.
pub const MAX_PRODUCT: usize = 1 << 10;
/// Highest number of a kernel's value, loop variable or accumulator.
pub const MAX_ID: u32 = 1 << 20;

/// Checks that an expression is small.
pub(crate) fn check_expr(e: &Expr) -> Result<(), ParseErrorKind> {
    let mut left = MAX_EXPR;
    if fits(e, MAX_DEPTH, &mut left) {
        return Ok(());
    }
    Err(ParseErrorKind::Limit { what: "atoms in an expression", limit: MAX_EXPR as u64 })
}

/// Checks sizes, rank, and that the number of elements is a small expression or number.
pub(crate) fn check_type(ty: &Type) -> Result<(), ParseErrorKind> {
    if ty.rank() > MAX_RANK {
        return Err(ParseErrorKind::Limit { what: "axes", limit: MAX_RANK as u64 });
    }
    let (mut elements, mut terms) = (1i64, 1usize);
    for dim in &ty.shape {
        match dim {
            Dim::Fixed(0) => {}
            Dim::Fixed(v) => elements = elements.saturating_mul(*v),
            Dim::Symbolic(e) => {
                check_expr(e)?;
                terms = terms.saturating_mul(e.terms().len());
            }
        }
    }
    if elements > MAX_SIZE {
        return Err(ParseErrorKind::Limit { what: "elements", limit: MAX_SIZE as u64 });
    }
    if terms > MAX_PRODUCT {
        return Err(ParseErrorKind::Limit { what: "terms of a tensor's size", limit: MAX_PRODUCT as u64 });
    }
    Ok(())
}

fn fits(e: &Expr, depth: usize, left: &mut usize) -> bool {
    if depth == 0 {
        return false;
    }
    for term in e.terms() {
        let Some(rest) = left.checked_sub(1 + term.factors.len()) else { return false };
        *left = rest;
        for atom in &term.factors {
            match atom {
                Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) => {}
                Atom::FloorDiv(a, b) | Atom::Mod(a, b) | Atom::Clamp(a, b) => {
                    if !fits(a, depth - 1, left) || !fits(b, depth - 1, left) {
                        return false;
                    }
                }
            }
        }
    }
    true
}
