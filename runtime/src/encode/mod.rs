//! Programs as bytes, compact and quick to read: what the code cache stores.
//!
//! Numbers are variable-length, and equal expressions and file names are written once. The reader takes
//! any bytes: it checks every count against what is left, every tag and every level of nesting, and gives
//! an error for what cannot be. That a program it gives makes sense is for [`crate::Plan::new`] to check.

mod device;
mod kernel;
mod library;
mod program;

pub use device::{read_device_program, write_device_program};
pub use program::{read_program, strip_bodies, write_program};

use rustc_hash::FxHashMap;
use std::sync::Arc;
use thiserror::Error;
use ttk_ir::expr::Term;
use ttk_ir::{Atom, DType, Expr, Scalar};

/// Why bytes are not a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DecodeError {
    #[error("the bytes end too soon, at {at}")]
    End { at: usize },
    #[error("{what} at {at} cannot be {value}")]
    Value { what: &'static str, value: u64, at: usize },
    #[error("text at {at} is not UTF-8")]
    Text { at: usize },
    #[error("nesting at {at} is too deep")]
    Depth { at: usize },
    #[error("{left} bytes are left over")]
    Trailing { left: usize },
}

/// Levels of expressions in expressions and statements in statements.
const MAX_DEPTH: usize = 64;

/// Bytes under construction.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    texts: FxHashMap<Arc<str>, u64>,
    exprs: FxHashMap<Expr, u64>,
}

impl Writer {
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    pub fn byte(&mut self, value: u8) {
        self.out.push(value);
    }

    /// A number, seven bits to a byte, the lowest first.
    pub fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// A signed number, small ones of either sign in few bytes.
    pub fn signed(&mut self, value: i64) {
        self.number((value << 1 ^ value >> 63) as u64);
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.number(value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// A text that is likely to come again.
    pub fn text(&mut self, value: &str) {
        if let Some(&id) = self.texts.get(value) {
            self.number(id + 1);
            return;
        }
        self.texts.insert(value.into(), self.texts.len() as u64);
        self.number(0);
        self.bytes(value.as_bytes());
    }

    pub fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Writer, &T)) {
        self.number(items.len() as u64);
        items.iter().for_each(|item| each(self, item));
    }

    pub fn option<T>(&mut self, value: Option<&T>, each: impl FnOnce(&mut Writer, &T)) {
        self.byte(value.is_some().into());
        if let Some(value) = value {
            each(self, value);
        }
    }

    pub fn dtype(&mut self, value: DType) {
        self.byte(value as u8);
    }

    pub fn scalar(&mut self, value: Scalar) {
        self.dtype(value.dtype);
        self.number(value.bits);
    }

    /// 0 and a number; 1 and a new expression; or one more than the number of an earlier one.
    pub fn expr(&mut self, value: &Expr) {
        if let Some(c) = value.as_const() {
            self.byte(0);
            self.signed(c);
            return;
        }
        if let Some(&id) = self.exprs.get(value) {
            self.number(id + 2);
            return;
        }
        self.byte(1);
        self.list(value.terms(), |w, term| {
            w.signed(term.coeff);
            w.list(&term.factors, Writer::atom);
        });
        self.exprs.insert(value.clone(), self.exprs.len() as u64);
    }

    fn atom(&mut self, atom: &Atom) {
        match atom {
            Atom::Symbol(i) => self.tagged(0, *i),
            Atom::Var(i) => self.tagged(1, *i),
            Atom::Value(i) => self.tagged(2, *i),
            Atom::FloorDiv(a, b) => self.pair(3, a, b),
            Atom::Mod(a, b) => self.pair(4, a, b),
            Atom::Clamp(a, b) => self.pair(5, a, b),
        }
    }

    fn tagged(&mut self, tag: u8, value: u32) {
        self.byte(tag);
        self.number(value.into());
    }

    fn pair(&mut self, tag: u8, a: &Expr, b: &Expr) {
        self.byte(tag);
        self.expr(a);
        self.expr(b);
    }
}

/// Bytes being read.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    texts: Vec<Arc<str>>,
    exprs: Vec<Expr>,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0, depth: 0, texts: Vec::new(), exprs: Vec::new() }
    }

    /// # Errors
    /// When something is left.
    pub fn finish(self) -> Result<()> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { left }),
        }
    }

    /// # Errors
    /// At the end (and likewise for all that follow; they also check their values).
    pub fn byte(&mut self) -> Result<u8> {
        let value = *self.bytes.get(self.at).ok_or(DecodeError::End { at: self.at })?;
        self.at += 1;
        Ok(value)
    }

    pub fn number(&mut self) -> Result<u64> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Value { what: "a number", value, at: start })
    }

    pub fn signed(&mut self) -> Result<i64> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32> {
        let at = self.at;
        let value = self.number()?;
        u32::try_from(value).map_err(|_| DecodeError::Value { what, value, at })
    }

    pub fn bool(&mut self) -> Result<bool> {
        let at = self.at;
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            b => Err(DecodeError::Value { what: "a truth value", value: b.into(), at }),
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.count()?;
        let value = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(value)
    }

    /// Bytes that are a text.
    pub fn string(&mut self) -> Result<String> {
        let at = self.at;
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Text { at })?;
        Ok(text.to_string())
    }

    /// Bytes of which there must be `N`.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let at = self.at;
        let bytes = self.bytes()?;
        let value = bytes.len() as u64;
        bytes.try_into().map_err(|_| DecodeError::Value { what: "a length", value, at })
    }

    pub fn text(&mut self) -> Result<Arc<str>> {
        let at = self.at;
        match self.number()? {
            0 => {
                let text: Arc<str> = self.string()?.into();
                self.texts.push(text.clone());
                Ok(text)
            }
            id => {
                let known = self.texts.get(usize::try_from(id - 1).unwrap_or(usize::MAX));
                known.cloned().ok_or(DecodeError::Value { what: "a text", value: id, at })
            }
        }
    }

    pub fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let n = self.count()?;
        let mut out = Vec::with_capacity(n.min(1 << 12));
        for _ in 0..n {
            out.push(each(self)?);
        }
        Ok(out)
    }

    pub fn option<T>(&mut self, each: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.bool()? { each(self).map(Some) } else { Ok(None) }
    }

    pub fn dtype(&mut self) -> Result<DType> {
        self.one_of("an element type", &DType::ALL)
    }

    pub fn scalar(&mut self) -> Result<Scalar> {
        Ok(Scalar { dtype: self.dtype()?, bits: self.number()? })
    }

    pub fn expr(&mut self) -> Result<Expr> {
        let at = self.at;
        match self.number()? {
            0 => Ok(Expr::constant(self.signed()?)),
            1 => {
                let value = self.nested(|r| {
                    let terms = r.list(|r| {
                        let mut term = Term { coeff: r.signed()?, factors: Default::default() };
                        for _ in 0..r.count()? {
                            term.factors.push(r.atom()?);
                        }
                        Ok(term)
                    })?;
                    Ok(Expr::from_terms(terms))
                })?;
                self.exprs.push(value.clone());
                Ok(value)
            }
            id => {
                let known = self.exprs.get(usize::try_from(id - 2).unwrap_or(usize::MAX));
                known.cloned().ok_or(DecodeError::Value { what: "an expression", value: id, at })
            }
        }
    }

    fn atom(&mut self) -> Result<Atom> {
        let at = self.at;
        Ok(match self.byte()? {
            0 => Atom::Symbol(self.u32("a symbol")?),
            1 => Atom::Var(self.u32("a variable")?),
            2 => Atom::Value(self.u32("a value")?),
            3 => Atom::FloorDiv(self.expr()?.into(), self.expr()?.into()),
            4 => Atom::Mod(self.expr()?.into(), self.expr()?.into()),
            5 => Atom::Clamp(self.expr()?.into(), self.expr()?.into()),
            tag => return Err(DecodeError::Value { what: "an atom", value: tag.into(), at }),
        })
    }

    /// One of a table's rows, by number.
    pub fn one_of<T: Copy>(&mut self, what: &'static str, table: &[T]) -> Result<T> {
        let at = self.at;
        let value = self.byte()?;
        let found = table.get(value as usize);
        found.copied().ok_or(DecodeError::Value { what, value: value.into(), at })
    }

    /// One level deeper.
    pub fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(DecodeError::Depth { at: self.at });
        }
        self.depth += 1;
        let value = f(self);
        self.depth -= 1;
        value
    }

    fn bad<T>(&self, what: &'static str, value: u8) -> Result<T> {
        Err(DecodeError::Value { what, value: value.into(), at: self.at })
    }

    /// A number of things of at least a byte each, which must be there.
    fn count(&mut self) -> Result<usize> {
        let n = self.number()?;
        let left = self.bytes.len() - self.at;
        usize::try_from(n).ok().filter(|&n| n <= left).ok_or(DecodeError::End { at: self.bytes.len() })
    }
}
