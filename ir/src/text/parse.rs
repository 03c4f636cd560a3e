//! Graphs from text.

use super::attributes::Attributes;
use super::error::{ParseError, ParseErrorKind};
use super::expr::{Leaves, parse_type};
use super::lex::{Lexer, Place, Token};
use super::limits::{self, MAX_LIST};
use super::print::is_symbol_name;
use crate::expr::Atom;
use crate::graph::{Graph, Loc, LocId, Symbol, ValueId};
use crate::op::Op;
use crate::shape::{Dim, Type};
use std::collections::HashMap;

/// Operands of one operation. With [`limits::MAX_SIZE`] this keeps the size of a `concat` in range.
const MAX_OPERANDS: usize = 1 << 14;

type Result<T> = std::result::Result<T, ParseError>;

/// The one graph that a text holds.
///
/// # Errors
/// The first fault, with its place.
pub fn parse(text: &str) -> Result<Graph> {
    let mut lexer = Lexer::new(text)?;
    let graph = parse_graph(&mut lexer)?;
    match lexer.peek() {
        Token::End => Ok(graph),
        _ => Err(lexer.unexpected("the end of the text")),
    }
}

struct Symbols(HashMap<String, u32>);

impl Leaves for Symbols {
    fn word(&self, name: &str) -> Option<Atom> {
        self.0.get(name).map(|&id| Atom::Symbol(id))
    }

    fn value(&self, _: &str) -> Option<Atom> {
        None
    }
}

fn parse_graph(lexer: &mut Lexer<'_>) -> Result<Graph> {
    lexer.expect_word("graph")?;
    let mut graph = Graph::new(lexer.global("the graph's name")?);
    let symbols = parse_symbols(lexer)?;
    let mut named: Vec<(&String, &u32)> = symbols.0.iter().collect();
    named.sort_by_key(|(_, id)| **id);
    graph.symbols = named.into_iter().map(|(name, _)| Symbol { name: name.clone() }).collect();

    let mut values = HashMap::new();
    lexer.expect("(")?;
    while !lexer.eat(")")? {
        if !graph.params().is_empty() {
            lexer.expect(",")?;
        }
        check_count(lexer.place(), "inputs", graph.params().len(), MAX_LIST)?;
        let place = lexer.place();
        let name = lexer.value("an input")?;
        lexer.expect(":")?;
        let ty = parse_type(lexer, &symbols)?;
        let index = graph.params().len() as u32;
        let op = Op::Param { index, dtype: ty.dtype, shape: ty.shape };
        let id = graph.add(op, &[]).map_err(|e| place.error(e))?;
        define(&mut values, name, id, place)?;
    }

    lexer.expect("->")?;
    lexer.expect("(")?;
    let mut outputs: Vec<(Type, Place)> = Vec::new();
    while !lexer.eat(")")? {
        if !outputs.is_empty() {
            lexer.expect(",")?;
        }
        check_count(lexer.place(), "outputs", outputs.len(), MAX_LIST)?;
        let place = lexer.place();
        outputs.push((parse_type(lexer, &symbols)?, place));
    }

    lexer.expect("{")?;
    while !lexer.eat_word("return")? {
        parse_node(lexer, &mut graph, &mut values, &symbols)?;
    }
    for (i, (ty, place)) in outputs.into_iter().enumerate() {
        if i > 0 {
            lexer.expect(",")?;
        }
        let id = use_of(lexer, &values)?;
        check_same(place, &ty, graph.ty(id))?;
        graph.outputs.push(id);
    }
    lexer.expect("}")?;
    Ok(graph)
}

/// `[n, m]`, or nothing.
fn parse_symbols(lexer: &mut Lexer<'_>) -> Result<Symbols> {
    let mut symbols = HashMap::new();
    if lexer.eat("[")? {
        while !lexer.eat("]")? {
            if !symbols.is_empty() {
                lexer.expect(",")?;
            }
            check_count(lexer.place(), "symbols", symbols.len(), MAX_LIST)?;
            let place = lexer.place();
            let name = lexer.word("a symbol")?;
            if !is_symbol_name(name) {
                let name = name.chars().take(40).collect();
                return Err(
                    place.error(ParseErrorKind::UnknownWord { what: "symbol that may be named", name })
                );
            }
            let id = symbols.len() as u32;
            if symbols.insert(name.to_string(), id).is_some() {
                let name = name.to_string();
                return Err(place.error(ParseErrorKind::Redefined { what: "symbol", name }));
            }
        }
    }
    Ok(Symbols(symbols))
}

/// `%0 = op %a, %b {attributes} : type  ; file:line`
fn parse_node(
    lexer: &mut Lexer<'_>,
    graph: &mut Graph,
    values: &mut HashMap<String, ValueId>,
    symbols: &Symbols,
) -> Result<()> {
    let place = lexer.place();
    let name = lexer.value("a result, or return")?;
    lexer.expect("=")?;
    let op_place = lexer.place();
    let op_name = lexer.word("an operation")?;
    let mut inputs = Vec::new();
    if matches!(lexer.peek(), Token::Value(_)) {
        inputs.push(use_of(lexer, values)?);
        while lexer.eat(",")? {
            check_count(lexer.place(), "operands", inputs.len(), MAX_OPERANDS)?;
            inputs.push(use_of(lexer, values)?);
        }
    }
    let attributes = Attributes::parse(lexer, op_name, symbols)?;
    lexer.expect(":")?;
    let type_place = lexer.place();
    let printed = parse_type(lexer, symbols)?;

    check_terms(op_place, graph, &inputs)?;
    let operands: Vec<&Type> = inputs.iter().map(|&i| graph.ty(i)).collect();
    let op = attributes.into_op(op_name, &operands, &printed)?;
    let loc = lexer.comment().and_then(source_line).map_or(LocId(0), |loc| graph.loc_id(loc));
    let id = graph.add_at(op, &inputs, loc).map_err(|e| op_place.error(e))?;
    check_same(type_place, &printed, graph.ty(id))?;
    define(values, name, id, place)
}

/// Symbolic sizes are sums that operations add up; this keeps the sum small before it is made.
fn check_terms(place: Place, graph: &Graph, inputs: &[ValueId]) -> Result<()> {
    const MAX_TERMS: usize = 1 << 12;
    let terms = |d: &Dim| match d {
        Dim::Fixed(_) => 0,
        Dim::Symbolic(e) => e.terms().len(),
    };
    let total: usize = inputs.iter().flat_map(|&i| &graph.ty(i).shape).map(terms).sum();
    if total > MAX_TERMS {
        let kind = ParseErrorKind::Limit { what: "terms in the operands' sizes", limit: MAX_TERMS as u64 };
        return Err(place.error(kind));
    }
    Ok(())
}

/// `file:line`, where that is what a comment says.
fn source_line(comment: &str) -> Option<Loc> {
    let (file, line) = comment.strip_prefix(' ')?.rsplit_once(':')?;
    let line = line.trim_end().parse().ok()?;
    (!file.is_empty()).then(|| Loc { file: file.into(), line })
}

fn use_of(lexer: &mut Lexer<'_>, values: &HashMap<String, ValueId>) -> Result<ValueId> {
    let place = lexer.place();
    let name = lexer.value("a value")?;
    let found = values.get(&name).copied();
    found.ok_or_else(|| place.error(ParseErrorKind::Undefined { what: "value", name }))
}

fn define(values: &mut HashMap<String, ValueId>, name: String, id: ValueId, place: Place) -> Result<()> {
    if values.contains_key(&name) {
        return Err(place.error(ParseErrorKind::Redefined { what: "value", name }));
    }
    values.insert(name, id);
    Ok(())
}

fn check_same(place: Place, printed: &Type, inferred: &Type) -> Result<()> {
    if printed == inferred {
        return limits::check_type(inferred).map_err(|kind| place.error(kind));
    }
    let (printed, inferred) = (Box::new(printed.clone()), Box::new(inferred.clone()));
    Err(place.error(ParseErrorKind::TypeMismatch { printed, inferred }))
}

fn check_count(place: Place, what: &'static str, count: usize, limit: usize) -> Result<()> {
    if count < limit {
        return Ok(());
    }
    Err(place.error(ParseErrorKind::Limit { what, limit: limit as u64 }))
}
