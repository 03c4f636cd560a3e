//! Operations as a keyword and attributes, both ways.

use super::error::{ParseError, ParseErrorKind};
use super::expr::{Leaves, Names, parse_dim, write_dim};
use super::lex::{Lexer, Place, Token, quoted_text};
use super::limits::{MAX_RANK, MAX_SIZE};
use super::scalar::{Literal, scalar_text};
use crate::op::{
    Axes, Binary, Cmp, Op, PadDim, RandomStream, ReduceOp, ScatterOp, SliceDim, Unary, WindowDim,
};
use crate::shape::{Dim, Type};
use smallvec::SmallVec;

/// Sizes and steps of windows and gaps of pads, so that their products stay in range.
const MAX_STEP: i64 = 1 << 14;

/// The attributes of an operation, sorted by name.
pub(super) fn attributes(op: &Op, names: &(impl Names + ?Sized)) -> Vec<(&'static str, String)> {
    let word = |w: &str| w.to_string();
    let axis = |axis: &u8| ("axis", axis.to_string());
    match op {
        Op::Param { .. } | Op::Unary(_) | Op::Binary(_) | Op::Select => vec![],
        Op::Const { value, .. } => vec![("value", scalar_text(*value))],
        Op::Iota { axis: a, .. } => vec![axis(a)],
        Op::RandomBits { stream, .. } => vec![("stream", word(stream.name()))],
        Op::Cmp(c) => vec![("op", word(c.name()))],
        Op::Cast(_) | Op::Bitcast(_) | Op::Reshape(_) | Op::Expand(_) => vec![],
        Op::Permute(perm) => vec![("perm", list(perm))],
        Op::Slice(dims) | Op::Update(dims) => vec![
            ("start", dim_list(dims.iter().map(|d| &d.start), names)),
            ("step", list(dims.iter().map(|d| d.step))),
        ],
        Op::Pad { dims, value } => vec![
            ("high", dim_list(dims.iter().map(|d| &d.high), names)),
            ("interior", list(dims.iter().map(|d| d.interior))),
            ("low", dim_list(dims.iter().map(|d| &d.low), names)),
            ("value", scalar_text(*value)),
        ],
        Op::Concat { axis: a } => vec![axis(a)],
        Op::Window(dims) | Op::Fold { dims, .. } => vec![
            ("axes", list(dims.iter().map(|d| d.axis))),
            ("dilation", list(dims.iter().map(|d| d.dilation))),
            ("size", list(dims.iter().map(|d| d.size))),
            ("stride", list(dims.iter().map(|d| d.stride))),
        ],
        Op::Gather { axis: a } => vec![axis(a)],
        Op::Scatter { axis: a, mode } => vec![axis(a), ("mode", word(mode.name()))],
        Op::Reduce { op, axes } => vec![("axes", list(axes)), ("op", word(op.name()))],
        Op::Scan { op, axis: a, reverse } => {
            vec![axis(a), ("op", word(op.name())), ("reverse", reverse.to_string())]
        }
        Op::Argsort { axis: a, descending } => vec![axis(a), ("descending", descending.to_string())],
        Op::Dot { batch, contract } => {
            let pairs = |p: &[(u8, u8)]| list(p.iter().map(|(i, j)| format!("{i}:{j}")));
            let mut out = vec![("contract", pairs(contract))];
            if !batch.is_empty() {
                out.insert(0, ("batch", pairs(batch)));
            }
            out
        }
        Op::Detach | Op::Barrier => vec![],
        Op::Custom { name, attributes, .. } => {
            vec![("attributes", list(attributes)), ("name", quoted_text(name))]
        }
    }
}

fn list<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    format!("[{}]", items.join(","))
}

fn dim_list<'a>(dims: impl Iterator<Item = &'a Dim>, names: &(impl Names + ?Sized)) -> String {
    list(dims.map(|d| {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = write_dim(&mut out, d, names);
        out
    }))
}

/// The value of an attribute before it is known what for.
#[derive(Clone, Debug)]
enum Value {
    Literal(Literal),
    Text(String),
    /// Sizes, each perhaps with a second number behind a colon.
    List(Vec<(Dim, Option<i64>)>),
}

/// Attributes in braces.
#[derive(Debug)]
pub(super) struct Attributes {
    op: String,
    place: Place,
    entries: Vec<(String, Value)>,
}

type Result<T> = std::result::Result<T, ParseError>;

impl Attributes {
    /// Parses `{name=value, ..}` for the operation `op`; there may be none.
    pub(super) fn parse(lexer: &mut Lexer<'_>, op: &str, leaves: &dyn Leaves) -> Result<Attributes> {
        let op = op.chars().take(40).collect();
        let mut out = Attributes { op, place: lexer.place(), entries: Vec::new() };
        if !lexer.eat("{")? {
            return Ok(out);
        }
        while !lexer.eat("}")? {
            if !out.entries.is_empty() {
                lexer.expect(",")?;
            }
            let place = lexer.place();
            let name = lexer.word("an attribute")?.to_string();
            if out.entries.iter().any(|(n, _)| *n == name) {
                return Err(place.error(ParseErrorKind::Redefined { what: "attribute", name }));
            }
            // No operation has more; this bounds the search above.
            if out.entries.len() == 8 {
                return Err(place.error(ParseErrorKind::Limit { what: "attributes", limit: 8 }));
            }
            lexer.expect("=")?;
            let value = match lexer.peek() {
                Token::Sign("[") => Value::List(Attributes::list(lexer, leaves)?),
                Token::Text(text) => {
                    let text = text.clone();
                    lexer.next()?;
                    Value::Text(text)
                }
                Token::Word(_) | Token::Number(_) | Token::Sign(_) => Value::Literal(Literal::parse(lexer)?),
                Token::Value(_) | Token::Global(_) | Token::End => {
                    return Err(lexer.unexpected("an attribute's value"));
                }
            };
            out.entries.push((name, value));
        }
        Ok(out)
    }

    fn list(lexer: &mut Lexer<'_>, leaves: &dyn Leaves) -> Result<Vec<(Dim, Option<i64>)>> {
        const MAX_ITEMS: usize = 1 << 12;
        lexer.expect("[")?;
        let mut items = Vec::new();
        while !lexer.eat("]")? {
            if !items.is_empty() {
                lexer.expect(",")?;
            }
            if items.len() == MAX_ITEMS {
                let limit = MAX_ITEMS as u64;
                return Err(lexer.error(ParseErrorKind::Limit { what: "items of a list", limit }));
            }
            let first = parse_dim(lexer, leaves)?;
            let second = if lexer.eat(":")? { Some(lexer.integer(MAX_SIZE)?) } else { None };
            items.push((first, second));
        }
        Ok(items)
    }

    /// The operation `name` with these attributes, on operands of the given types, of result type `ty`.
    pub(super) fn into_op(mut self, name: &str, operands: &[&Type], ty: &Type) -> Result<Op> {
        let (dtype, shape) = (ty.dtype, ty.shape.clone());
        let op = if let Some(u) = Unary::from_name(name) {
            Op::Unary(u)
        } else if let Some(b) = Binary::from_name(name) {
            Op::Binary(b)
        } else {
            match name {
                "const" => {
                    let value = self.literal("value")?;
                    Op::Const { value: value.value(dtype).map_err(|kind| self.place.error(kind))?, shape }
                }
                "iota" => Op::Iota { axis: self.axis()?, dtype, shape },
                "random_bits" => {
                    Op::RandomBits { stream: self.choice("stream", RandomStream::from_name)?, shape }
                }
                "cmp" => Op::Cmp(self.choice("op", Cmp::from_name)?),
                "select" => Op::Select,
                "cast" => Op::Cast(dtype),
                "bitcast" => Op::Bitcast(dtype),
                "reshape" => Op::Reshape(shape),
                "permute" => Op::Permute(self.axes("perm")?),
                "expand" => Op::Expand(shape),
                "slice" => Op::Slice(self.slices(&shape)?),
                "pad" => self.pad(ty)?,
                "concat" => Op::Concat { axis: self.axis()? },
                "update" => Op::Update(self.slices(operands.get(1).map_or(&shape[..], |t| &t.shape))?),
                "window" => Op::Window(self.windows()?),
                "fold" => {
                    let dims = self.windows()?;
                    let size = |d: &WindowDim| shape.get(d.axis as usize).cloned().unwrap_or(Dim::Fixed(0));
                    Op::Fold { sizes: dims.iter().map(size).collect(), dims }
                }
                "gather" => Op::Gather { axis: self.axis()? },
                "scatter" => {
                    Op::Scatter { axis: self.axis()?, mode: self.choice("mode", ScatterOp::from_name)? }
                }
                "reduce" => {
                    Op::Reduce { axes: self.axes("axes")?, op: self.choice("op", ReduceOp::from_name)? }
                }
                "scan" => Op::Scan {
                    axis: self.axis()?,
                    op: self.choice("op", ReduceOp::from_name)?,
                    reverse: self.choice("reverse", |w| w.parse().ok())?,
                },
                "argsort" => Op::Argsort {
                    axis: self.axis()?,
                    descending: self.choice("descending", |w| w.parse().ok())?,
                },
                "dot" => {
                    Op::Dot { batch: self.pairs("batch", true)?, contract: self.pairs("contract", false)? }
                }
                "detach" => Op::Detach,
                "barrier" => Op::Barrier,
                "custom" => {
                    let attributes = self.numbers("attributes", i64::MAX)?.into();
                    Op::Custom { name: self.text("name")?.into(), attributes, dtype, shape }
                }
                _ => return Err(self.place.error(ParseErrorKind::UnknownOp { name: self.op })),
            }
        };
        match self.entries.pop() {
            Some((name, _)) => {
                let name = name.chars().take(40).collect();
                Err(self.place.error(ParseErrorKind::UnknownAttribute { op: self.op, name }))
            }
            None => Ok(op),
        }
    }

    fn take(&mut self, name: &'static str) -> Result<Value> {
        match self.entries.iter().position(|(n, _)| n == name) {
            Some(at) => Ok(self.entries.swap_remove(at).1),
            None => Err(self.place.error(ParseErrorKind::MissingAttribute { op: self.op.clone(), name })),
        }
    }

    fn bad(&self, name: &'static str, expected: &'static str) -> ParseError {
        self.place.error(ParseErrorKind::BadAttribute { op: self.op.clone(), name, expected })
    }

    fn literal(&mut self, name: &'static str) -> Result<Literal> {
        match self.take(name)? {
            Value::Literal(literal) => Ok(literal),
            Value::Text(_) | Value::List(_) => Err(self.bad(name, "a constant")),
        }
    }

    fn text(&mut self, name: &'static str) -> Result<String> {
        match self.take(name)? {
            Value::Text(text) => Ok(text),
            Value::Literal(_) | Value::List(_) => Err(self.bad(name, "a string")),
        }
    }

    fn choice<T>(&mut self, name: &'static str, from_name: impl Fn(&str) -> Option<T>) -> Result<T> {
        let literal = self.literal(name)?;
        from_name(&literal.text).ok_or_else(|| self.bad(name, "one of the known words"))
    }

    fn axis(&mut self) -> Result<u8> {
        let axis = self.literal("axis")?.integer(MAX_RANK as i64);
        axis.and_then(|a| u8::try_from(a).ok()).ok_or_else(|| self.bad("axis", "an axis"))
    }

    fn list_of(&mut self, name: &'static str) -> Result<Vec<(Dim, Option<i64>)>> {
        match self.take(name)? {
            Value::List(items) => Ok(items),
            Value::Literal(_) | Value::Text(_) => Err(self.bad(name, "a list")),
        }
    }

    fn dims(&mut self, name: &'static str) -> Result<Vec<Dim>> {
        let items = self.list_of(name)?;
        let dims: Option<Vec<Dim>> =
            items.into_iter().map(|(d, second)| second.is_none().then_some(d)).collect();
        dims.ok_or_else(|| self.bad(name, "a list of sizes"))
    }

    fn numbers(&mut self, name: &'static str, max: i64) -> Result<Vec<i64>> {
        let number = |d: Dim| d.fixed().filter(|v| v.unsigned_abs() <= max as u64);
        let numbers: Option<Vec<i64>> = self.dims(name)?.into_iter().map(number).collect();
        numbers.ok_or_else(|| self.bad(name, "a list of numbers that are small enough"))
    }

    fn axes(&mut self, name: &'static str) -> Result<Axes> {
        let axes: Option<Axes> =
            self.numbers(name, MAX_RANK as i64)?.into_iter().map(|a| u8::try_from(a).ok()).collect();
        axes.ok_or_else(|| self.bad(name, "a list of axes"))
    }

    fn pairs(&mut self, name: &'static str, optional: bool) -> Result<SmallVec<[(u8, u8); 2]>> {
        if optional && self.entries.iter().all(|(n, _)| n != name) {
            return Ok(SmallVec::new());
        }
        let axis = |a: i64| u8::try_from(a).ok();
        let pair = |(first, second): (Dim, Option<i64>)| Some((axis(first.fixed()?)?, axis(second?)?));
        let pairs: Option<SmallVec<_>> = self.list_of(name)?.into_iter().map(pair).collect();
        pairs.ok_or_else(|| self.bad(name, "a list of pairs of axes"))
    }

    /// Lengths are those of a shape that stands elsewhere.
    fn slices(&mut self, lens: &[Dim]) -> Result<Box<[SliceDim]>> {
        let (starts, steps) = (self.dims("start")?, self.numbers("step", MAX_SIZE)?);
        if starts.len() != steps.len() || starts.len() != lens.len() {
            return Err(self.bad("start", "a list with an entry for each axis"));
        }
        let parts = starts.into_iter().zip(steps).zip(lens);
        Ok(parts.map(|((start, step), len)| SliceDim { start, len: len.clone(), step }).collect())
    }

    fn pad(&mut self, ty: &Type) -> Result<Op> {
        let (high, low) = (self.dims("high")?, self.dims("low")?);
        let interior = self.numbers("interior", MAX_STEP)?;
        if high.len() != low.len() || high.len() != interior.len() {
            return Err(self.bad("interior", "a list with an entry for each axis"));
        }
        let value = self.literal("value")?.value(ty.dtype).map_err(|kind| self.place.error(kind))?;
        let parts = high.into_iter().zip(low).zip(interior);
        let dims = parts.map(|((high, low), interior)| PadDim { low, high, interior }).collect();
        Ok(Op::Pad { dims, value })
    }

    fn windows(&mut self) -> Result<Box<[WindowDim]>> {
        let axes = self.axes("axes")?;
        let (dilation, size) = (self.numbers("dilation", MAX_STEP)?, self.numbers("size", MAX_SIZE)?);
        let stride = self.numbers("stride", MAX_SIZE)?;
        if [dilation.len(), size.len(), stride.len()] != [axes.len(); 3] {
            return Err(self.bad("axes", "a list as long as the others"));
        }
        let dim = |(i, &axis): (usize, &u8)| WindowDim {
            axis,
            size: size[i],
            stride: stride[i],
            dilation: dilation[i],
        };
        Ok(axes.iter().enumerate().map(dim).collect())
    }
}
