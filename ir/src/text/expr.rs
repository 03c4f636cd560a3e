//! Expressions, sizes and types as text.

use super::error::{ParseError, ParseErrorKind};
use super::lex::{Lexer, Token};
use super::limits::{self, MAX_DEPTH, MAX_PRODUCT, MAX_RANK, MAX_SIZE};
use crate::dtype::DType;
use crate::expr::{Atom, Expr, Term};
use crate::shape::{Dim, Shape, Type};
use std::fmt::{self, Write};

/// How leaf atoms are written.
pub(crate) trait Names {
    fn symbol(&self, out: &mut dyn Write, id: u32) -> fmt::Result;
}

/// Symbols as `s0`, `s1`: for messages, and for kernels, whose symbols have no names.
pub(crate) struct Numbered;

impl Names for Numbered {
    fn symbol(&self, out: &mut dyn Write, id: u32) -> fmt::Result {
        write!(out, "s{id}")
    }
}

/// Symbols by the names of a graph.
impl Names for [String] {
    fn symbol(&self, out: &mut dyn Write, id: u32) -> fmt::Result {
        match self.get(id as usize) {
            Some(name) => out.write_str(name),
            None => Numbered.symbol(out, id),
        }
    }
}

/// Writes an expression; `gap` stands around `+` and `-`.
pub(crate) fn write_expr(
    out: &mut dyn Write,
    e: &Expr,
    names: &(impl Names + ?Sized),
    gap: &str,
) -> fmt::Result {
    if e.is_zero() {
        return out.write_str("0");
    }
    // The number, which the canonical order puts first, reads better last.
    let (numbers, products): (Vec<&Term>, Vec<&Term>) = e.terms().iter().partition(|t| t.factors.is_empty());
    for (i, term) in products.into_iter().chain(numbers).enumerate() {
        match (i, term.coeff < 0) {
            (0, false) => {}
            (0, true) => out.write_str("-")?,
            (_, false) => write!(out, "{gap}+{gap}")?,
            (_, true) => write!(out, "{gap}-{gap}")?,
        }
        let magnitude = term.coeff.unsigned_abs();
        if magnitude != 1 || term.factors.is_empty() {
            write!(out, "{magnitude}")?;
        }
        for (j, atom) in term.factors.iter().enumerate() {
            if j > 0 || magnitude != 1 {
                out.write_str("*")?;
            }
            write_atom(out, atom, names, gap)?;
        }
    }
    Ok(())
}

fn write_atom(out: &mut dyn Write, atom: &Atom, names: &(impl Names + ?Sized), gap: &str) -> fmt::Result {
    let (function, a, b) = match atom {
        Atom::Symbol(id) => return names.symbol(out, *id),
        Atom::Var(id) => return write!(out, "%i{id}"),
        Atom::Value(id) => return write!(out, "%{id}"),
        Atom::FloorDiv(a, b) => ("floordiv", a, b),
        Atom::Mod(a, b) => ("mod", a, b),
        Atom::Clamp(a, b) => ("clamp", a, b),
    };
    write!(out, "{function}(")?;
    write_expr(out, a, names, gap)?;
    write!(out, ",{gap}")?;
    write_expr(out, b, names, gap)?;
    out.write_str(")")
}

/// Writes `f32[n,8]`.
pub(crate) fn write_type(out: &mut dyn Write, ty: &Type, names: &(impl Names + ?Sized)) -> fmt::Result {
    write!(out, "{}[", ty.dtype)?;
    for (i, dim) in ty.shape.iter().enumerate() {
        if i > 0 {
            out.write_str(",")?;
        }
        write_dim(out, dim, names)?;
    }
    out.write_str("]")
}

pub(crate) fn write_dim(out: &mut dyn Write, dim: &Dim, names: &(impl Names + ?Sized)) -> fmt::Result {
    match dim {
        Dim::Fixed(v) => write!(out, "{v}"),
        Dim::Symbolic(e) => write_expr(out, e, names, ""),
    }
}

impl fmt::Display for Expr {
    /// Symbols as `s0`, loop variables as `%i0`, values as `%0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_expr(f, self, &Numbered, " ")
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_dim(f, self, &Numbered)
    }
}

impl fmt::Display for Type {
    /// `f32[s0,8]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_type(f, self, &Numbered)
    }
}

/// What a leaf of an expression may be.
pub(crate) trait Leaves {
    /// A word: a symbol.
    fn word(&self, name: &str) -> Option<Atom>;
    /// A `%name`: a loop variable or a value.
    fn value(&self, name: &str) -> Option<Atom>;
}

type Result<T> = std::result::Result<T, ParseError>;

/// A sum of products.
pub(crate) fn parse_expr(lexer: &mut Lexer<'_>, leaves: &dyn Leaves) -> Result<Expr> {
    sum(lexer, leaves, MAX_DEPTH)
}

fn sum(lexer: &mut Lexer<'_>, leaves: &dyn Leaves, depth: usize) -> Result<Expr> {
    let negative = lexer.eat("-")?;
    let first = product(lexer, leaves, depth)?;
    let mut total = if negative { first.scale(-1) } else { first };
    loop {
        let place = lexer.place();
        let next = if lexer.eat("+")? {
            product(lexer, leaves, depth)?
        } else if lexer.eat("-")? {
            product(lexer, leaves, depth)?.scale(-1)
        } else {
            return Ok(total);
        };
        total = total.add(&next);
        limits::check_expr(&total).map_err(|kind| place.error(kind))?;
    }
}

fn product(lexer: &mut Lexer<'_>, leaves: &dyn Leaves, depth: usize) -> Result<Expr> {
    let mut total = factor(lexer, leaves, depth)?;
    loop {
        let place = lexer.place();
        if !lexer.eat("*")? {
            return Ok(total);
        }
        let next = factor(lexer, leaves, depth)?;
        if total.terms().len() * next.terms().len() > MAX_PRODUCT {
            let kind = ParseErrorKind::Limit { what: "terms of a product", limit: MAX_PRODUCT as u64 };
            return Err(place.error(kind));
        }
        total = total.mul(&next);
        limits::check_expr(&total).map_err(|kind| place.error(kind))?;
    }
}

fn factor(lexer: &mut Lexer<'_>, leaves: &dyn Leaves, depth: usize) -> Result<Expr> {
    let place = lexer.place();
    if depth == 0 {
        return Err(
            place.error(ParseErrorKind::Limit { what: "levels of brackets", limit: MAX_DEPTH as u64 })
        );
    }
    match lexer.peek().clone() {
        Token::Number(_) => Ok(Expr::constant(lexer.integer(i64::MAX)?)),
        Token::Value(name) => {
            lexer.next()?;
            let atom = leaves.value(&name);
            atom.map(Expr::atom).ok_or_else(|| place.error(ParseErrorKind::Undefined { what: "value", name }))
        }
        Token::Sign("(") => {
            lexer.next()?;
            let inner = sum(lexer, leaves, depth - 1)?;
            lexer.expect(")")?;
            Ok(inner)
        }
        Token::Word(word) => {
            lexer.next()?;
            let function = match word {
                "floordiv" => "floordiv",
                "mod" => "mod",
                "clamp" => "clamp",
                _ => {
                    let name = word.chars().take(40).collect();
                    let unknown = ParseErrorKind::UnknownWord { what: "symbol", name };
                    return leaves.word(word).map(Expr::atom).ok_or_else(|| place.error(unknown));
                }
            };
            lexer.expect("(")?;
            let a = sum(lexer, leaves, depth - 1)?;
            lexer.expect(",")?;
            let b = sum(lexer, leaves, depth - 1)?;
            lexer.expect(")")?;
            if b.as_const().is_some_and(|b| b <= 0) {
                return Err(place.error(ParseErrorKind::BadDivisor { function }));
            }
            let result = match function {
                "floordiv" => a.floor_div(&b),
                "mod" => a.modulo(&b),
                _ => a.clamp_index(&b),
            };
            limits::check_expr(&result).map_err(|kind| place.error(kind))?;
            Ok(result)
        }
        Token::Global(_) | Token::Text(_) | Token::Sign(_) | Token::End => {
            Err(lexer.unexpected("an expression"))
        }
    }
}

/// An element type.
pub(crate) fn parse_dtype(lexer: &mut Lexer<'_>) -> Result<DType> {
    let place = lexer.place();
    let word = lexer.word("an element type")?;
    let unknown =
        || ParseErrorKind::UnknownWord { what: "element type", name: word.chars().take(40).collect() };
    DType::from_name(word).ok_or_else(|| place.error(unknown()))
}

/// `f32[n,8]`.
pub(crate) fn parse_type(lexer: &mut Lexer<'_>, leaves: &dyn Leaves) -> Result<Type> {
    let place = lexer.place();
    let dtype = parse_dtype(lexer)?;
    lexer.expect("[")?;
    let mut shape = Shape::new();
    while !lexer.eat("]")? {
        if !shape.is_empty() {
            lexer.expect(",")?;
        }
        if shape.len() == MAX_RANK {
            return Err(lexer.error(ParseErrorKind::Limit { what: "axes", limit: MAX_RANK as u64 }));
        }
        shape.push(parse_dim(lexer, leaves)?);
    }
    let ty = Type { dtype, shape };
    limits::check_type(&ty).map_err(|kind| place.error(kind))?;
    Ok(ty)
}

/// A size, which need not be positive.
pub(crate) fn parse_dim(lexer: &mut Lexer<'_>, leaves: &dyn Leaves) -> Result<Dim> {
    let place = lexer.place();
    let dim = Dim::from_expr(parse_expr(lexer, leaves)?);
    if dim.fixed().is_some_and(|v| v.unsigned_abs() > MAX_SIZE as u64) {
        return Err(place.error(ParseErrorKind::Limit { what: "as a size", limit: MAX_SIZE as u64 }));
    }
    Ok(dim)
}
