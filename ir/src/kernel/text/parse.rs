//! Kernels from text.

use crate::dtype::{DType, Scalar};
use crate::expr::{Atom, Expr};
use crate::graph::Loc;
use crate::kernel::{AccId, Access, BufferParam, BufferRef, Inst, Kernel, Local, LoopKind, Stmt, Val, VarId};
use crate::op::{Binary, Cmp, ReduceOp, Unary};
use crate::text::expr::{Leaves, parse_dtype, parse_expr};
use crate::text::lex::{Lexer, Place, Token};
use crate::text::limits::{MAX_DEPTH, MAX_ID, MAX_LIST};
use crate::text::scalar::Literal;
use crate::text::{ParseError, ParseErrorKind};
use std::collections::HashMap;

type Result<T> = std::result::Result<T, ParseError>;

/// The one kernel that a text holds.
///
/// # Errors
/// The first fault, with its place.
pub fn parse(text: &str) -> Result<Kernel> {
    let first_free = highest_number(text)?.map_or(0, |n| n + 1);
    let mut parser = Parser {
        lexer: Lexer::new(text)?,
        symbols: HashMap::new(),
        buffers: HashMap::new(),
        names: HashMap::new(),
        accs: HashMap::new(),
        next: first_free,
    };
    let kernel = parser.kernel()?;
    match parser.lexer.peek() {
        Token::End => Ok(kernel),
        _ => Err(parser.lexer.unexpected("the end of the text")),
    }
}

/// The highest number that a name in the text stands for, so that others can be numbered above it.
fn highest_number(text: &str) -> Result<Option<u32>> {
    let mut lexer = Lexer::new(text)?;
    let mut highest = None;
    loop {
        let place = lexer.place();
        match lexer.next()? {
            Token::End => return Ok(highest),
            Token::Value(name) => {
                for prefix in ["", "i", "acc"] {
                    if let Some(n) = numbered(&name, prefix, place)? {
                        highest = highest.max(Some(n));
                    }
                }
            }
            Token::Word(_) | Token::Global(_) | Token::Number(_) | Token::Text(_) | Token::Sign(_) => {}
        }
    }
}

/// `prefix` and a number, which is not too large.
fn numbered(name: &str, prefix: &str, place: Place) -> Result<Option<u32>> {
    let Some(digits) = name.strip_prefix(prefix) else { return Ok(None) };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match digits.parse() {
        // A number with leading zeros would not be printed so.
        Ok(n) if n <= MAX_ID && (digits.len() == 1 || !digits.starts_with('0')) => Ok(Some(n)),
        _ => {
            Err(place.error(ParseErrorKind::Limit { what: "as the number of a name", limit: MAX_ID.into() }))
        }
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    symbols: HashMap<String, u32>,
    buffers: HashMap<String, BufferRef>,
    /// Loop variables and values that have names instead of numbers; the latest of a name counts.
    names: HashMap<String, Atom>,
    accs: HashMap<String, u32>,
    next: u32,
}

struct Scope<'a> {
    symbols: &'a HashMap<String, u32>,
    names: &'a HashMap<String, Atom>,
}

impl Leaves for Scope<'_> {
    fn word(&self, name: &str) -> Option<Atom> {
        self.symbols.get(name).map(|&id| Atom::Symbol(id))
    }

    fn value(&self, name: &str) -> Option<Atom> {
        let place = Place { line: 0, column: 0 };
        if let Ok(Some(n)) = numbered(name, "", place) {
            return Some(Atom::Value(n));
        }
        if let Ok(Some(n)) = numbered(name, "i", place) {
            return Some(Atom::Var(n));
        }
        self.names.get(name).cloned()
    }
}

impl Parser<'_> {
    fn kernel(&mut self) -> Result<Kernel> {
        self.lexer.expect_word("kernel")?;
        let name = self.lexer.global("the kernel's name")?;
        self.parse_symbols()?;
        let params = self.params()?;
        let aliases = self.aliases()?;
        self.lexer.expect("{")?;
        let locals = self.locals()?;
        let locs = self.locs()?;
        let body = self.block(MAX_DEPTH)?;
        Ok(Kernel { name, n_symbols: self.symbols.len() as u32, params, locals, aliases, body, locs })
    }

    fn parse_symbols(&mut self) -> Result<()> {
        if !self.lexer.eat("[")? {
            return Ok(());
        }
        while !self.lexer.eat("]")? {
            if !self.symbols.is_empty() {
                self.lexer.expect(",")?;
            }
            self.check_count("symbols", self.symbols.len())?;
            let place = self.lexer.place();
            let name = self.lexer.word("a symbol")?.to_string();
            let id = self.symbols.len() as u32;
            if self.symbols.insert(name.clone(), id).is_some() {
                return Err(place.error(ParseErrorKind::Redefined { what: "symbol", name }));
            }
        }
        Ok(())
    }

    fn params(&mut self) -> Result<Vec<BufferParam>> {
        self.lexer.expect("(")?;
        let mut params = Vec::new();
        while !self.lexer.eat(")")? {
            if !params.is_empty() {
                self.lexer.expect(",")?;
            }
            self.check_count("parameters", params.len())?;
            let name = self.buffer_name(BufferRef::Param(params.len() as u32))?;
            let access = if self.lexer.eat_word("mut")? { Access::Write } else { Access::Read };
            let (dtype, len) = self.extent()?;
            params.push(BufferParam { name, dtype, len, access });
        }
        Ok(params)
    }

    /// `%name:`, declaring a buffer.
    fn buffer_name(&mut self, buffer: BufferRef) -> Result<String> {
        let place = self.lexer.place();
        let name = self.lexer.value("a buffer")?;
        if self.buffers.insert(name.clone(), buffer).is_some() {
            return Err(place.error(ParseErrorKind::Redefined { what: "buffer", name }));
        }
        self.lexer.expect(":")?;
        Ok(name)
    }

    /// `f32[64]`.
    fn extent(&mut self) -> Result<(DType, Expr)> {
        let dtype = parse_dtype(&mut self.lexer)?;
        self.lexer.expect("[")?;
        let len = self.expr()?;
        self.lexer.expect("]")?;
        Ok((dtype, len))
    }

    fn aliases(&mut self) -> Result<Vec<(u32, u32)>> {
        let mut aliases = Vec::new();
        if self.lexer.eat_word("alias")? {
            self.lexer.expect("(")?;
            while !self.lexer.eat(")")? {
                if !aliases.is_empty() {
                    self.lexer.expect(",")?;
                }
                let read = self.param()?;
                self.lexer.expect("=")?;
                aliases.push((read, self.param()?));
            }
        }
        Ok(aliases)
    }

    fn param(&mut self) -> Result<u32> {
        let place = self.lexer.place();
        match self.buffer()? {
            BufferRef::Param(p) => Ok(p),
            BufferRef::Local(_) => {
                let found = "scratch".to_string();
                Err(place.error(ParseErrorKind::Expected { expected: "a parameter", found }))
            }
        }
    }

    fn locals(&mut self) -> Result<Vec<Local>> {
        let mut locals = Vec::new();
        while self.lexer.eat_word("local")? {
            self.check_count("locals", locals.len())?;
            let name = self.buffer_name(BufferRef::Local(locals.len() as u32))?;
            let (dtype, len) = self.extent()?;
            locals.push(Local { name, dtype, len });
        }
        Ok(locals)
    }

    fn locs(&mut self) -> Result<Vec<Loc>> {
        let mut locs = Vec::new();
        if !self.lexer.eat_word("from")? {
            return Ok(locs);
        }
        loop {
            let Token::Text(file) = self.lexer.peek().clone() else {
                return Err(self.lexer.unexpected("a file's name"));
            };
            self.lexer.next()?;
            self.lexer.expect(":")?;
            let line = self.lexer.integer(u32::MAX.into())?.unsigned_abs() as u32;
            locs.push(Loc { file: file.into(), line });
            if !self.lexer.eat(",")? {
                return Ok(locs);
            }
        }
    }

    /// Statements up to and with the closing brace.
    fn block(&mut self, depth: usize) -> Result<Vec<Stmt>> {
        if depth == 0 {
            let limit = MAX_DEPTH as u64;
            return Err(self.lexer.error(ParseErrorKind::Limit { what: "levels of loops", limit }));
        }
        let mut stmts = Vec::new();
        while !self.lexer.eat("}")? {
            stmts.push(self.stmt(depth)?);
        }
        Ok(stmts)
    }

    fn stmt(&mut self, depth: usize) -> Result<Stmt> {
        let place = self.lexer.place();
        if matches!(self.lexer.peek(), Token::Value(_)) {
            let name = self.lexer.value("a value")?;
            self.lexer.expect(":")?;
            let dtype = parse_dtype(&mut self.lexer)?;
            self.lexer.expect("=")?;
            let inst = self.inst(dtype)?;
            // Only now is the name known, so that it cannot stand in its own definition.
            let dst = match numbered(&name, "", place)? {
                Some(n) => Val(n),
                None => {
                    let id = self.fresh(place)?;
                    self.names.insert(name, Atom::Value(id));
                    Val(id)
                }
            };
            return Ok(Stmt::Let { dst, dtype, inst });
        }
        match self.lexer.word("a statement")? {
            "for" => self.for_loop(depth),
            "store" => {
                let (buffer, index) = self.element()?;
                self.lexer.expect(",")?;
                Ok(Stmt::Store { buffer, index, value: self.val()? })
            }
            "acc" => {
                let place = self.lexer.place();
                let name = self.lexer.value("an accumulator")?;
                self.lexer.expect(":")?;
                let dtype = parse_dtype(&mut self.lexer)?;
                self.lexer.expect("=")?;
                let init = self.scalar(dtype)?;
                let acc = match numbered(&name, "acc", place)? {
                    Some(n) => AccId(n),
                    None => {
                        let id = self.fresh(place)?;
                        self.accs.insert(name, id);
                        AccId(id)
                    }
                };
                Ok(Stmt::Acc { acc, dtype, init })
            }
            "accumulate" => {
                let op = self.named("reduction", ReduceOp::from_name)?;
                let acc = self.acc()?;
                self.lexer.expect(",")?;
                Ok(Stmt::Accumulate { acc, op, value: self.val()? })
            }
            "update" => {
                let op = self.named("operation", Binary::from_name)?;
                let (buffer, index) = self.element()?;
                self.lexer.expect(",")?;
                Ok(Stmt::Update { buffer, index, op, value: self.val()? })
            }
            "if" => {
                let cond = self.val()?;
                self.lexer.expect("{")?;
                Ok(Stmt::If { cond, body: self.block(depth - 1)? })
            }
            other => Err(unknown(place, "statement", other)),
        }
    }

    fn for_loop(&mut self, depth: usize) -> Result<Stmt> {
        let place = self.lexer.place();
        let name = self.lexer.value("a loop variable")?;
        self.lexer.expect_word("in")?;
        let begin = self.expr()?;
        self.lexer.expect("..")?;
        let end = self.expr()?;
        let var = match numbered(&name, "i", place)? {
            Some(n) => VarId(n),
            None => {
                let id = self.fresh(place)?;
                self.names.insert(name, Atom::Var(id));
                VarId(id)
            }
        };
        let kind_place = self.lexer.place();
        let kind = match *self.lexer.peek() {
            Token::Word(word) => {
                self.lexer.next()?;
                match word {
                    "parallel" => LoopKind::Parallel,
                    "vector" => LoopKind::Vector,
                    "unroll" => LoopKind::Unroll,
                    other => return Err(unknown(kind_place, "kind of loop", other)),
                }
            }
            _ => LoopKind::Serial,
        };
        self.lexer.expect("{")?;
        Ok(Stmt::For { var, begin, end, kind, body: self.block(depth - 1)? })
    }

    fn inst(&mut self, dtype: DType) -> Result<Inst> {
        let place = self.lexer.place();
        let word = self.lexer.word("an instruction")?;
        if let Some(op) = Unary::from_name(word) {
            return Ok(Inst::Unary(op, self.val()?));
        }
        if let Some(op) = Binary::from_name(word) {
            let [a, b] = self.vals()?;
            return Ok(Inst::Binary(op, a, b));
        }
        match word {
            "const" => Ok(Inst::Const(self.scalar(dtype)?)),
            "load" => {
                let (buffer, index) = self.element()?;
                Ok(Inst::Load { buffer, index })
            }
            "read" => Ok(Inst::Read(self.acc()?)),
            "index" => Ok(Inst::Index(self.expr()?)),
            "checked_index" => {
                let value = self.val()?;
                self.lexer.expect(",")?;
                Ok(Inst::CheckedIndex { value, extent: self.expr()? })
            }
            "fma" => {
                let [a, b, c] = self.vals()?;
                Ok(Inst::Fma(a, b, c))
            }
            "cmp" => {
                let op = self.named("comparison", Cmp::from_name)?;
                let [a, b] = self.vals()?;
                Ok(Inst::Cmp(op, a, b))
            }
            "select" => {
                let [c, a, b] = self.vals()?;
                Ok(Inst::Select(c, a, b))
            }
            "cast" => Ok(Inst::Cast(self.val()?)),
            "bitcast" => Ok(Inst::Bitcast(self.val()?)),
            other => Err(unknown(place, "instruction", other)),
        }
    }

    fn scalar(&mut self, dtype: DType) -> Result<Scalar> {
        let place = self.lexer.place();
        Literal::parse(&mut self.lexer)?.value(dtype).map_err(|kind| place.error(kind))
    }

    fn named<T>(&mut self, what: &'static str, from_name: impl Fn(&str) -> Option<T>) -> Result<T> {
        let place = self.lexer.place();
        let word = self.lexer.word(what)?;
        from_name(word).ok_or_else(|| unknown(place, what, word))
    }

    fn val(&mut self) -> Result<Val> {
        let place = self.lexer.place();
        let name = self.lexer.value("a value")?;
        if let Some(n) = numbered(&name, "", place)? {
            return Ok(Val(n));
        }
        match self.names.get(&name) {
            Some(Atom::Value(id)) => Ok(Val(*id)),
            _ => Err(place.error(ParseErrorKind::Undefined { what: "value", name })),
        }
    }

    fn vals<const N: usize>(&mut self) -> Result<[Val; N]> {
        let mut vals = [Val(0); N];
        for (i, v) in vals.iter_mut().enumerate() {
            if i > 0 {
                self.lexer.expect(",")?;
            }
            *v = self.val()?;
        }
        Ok(vals)
    }

    fn acc(&mut self) -> Result<AccId> {
        let place = self.lexer.place();
        let name = self.lexer.value("an accumulator")?;
        if let Some(n) = numbered(&name, "acc", place)? {
            return Ok(AccId(n));
        }
        let found = self.accs.get(&name).copied().map(AccId);
        found.ok_or_else(|| place.error(ParseErrorKind::Undefined { what: "accumulator", name }))
    }

    fn buffer(&mut self) -> Result<BufferRef> {
        let place = self.lexer.place();
        let name = self.lexer.value("a buffer")?;
        let found = self.buffers.get(&name).copied();
        found.ok_or_else(|| place.error(ParseErrorKind::Undefined { what: "buffer", name }))
    }

    /// `%buffer[index]`.
    fn element(&mut self) -> Result<(BufferRef, Expr)> {
        let buffer = self.buffer()?;
        self.lexer.expect("[")?;
        let index = self.expr()?;
        self.lexer.expect("]")?;
        Ok((buffer, index))
    }

    fn expr(&mut self) -> Result<Expr> {
        parse_expr(&mut self.lexer, &Scope { symbols: &self.symbols, names: &self.names })
    }

    fn fresh(&mut self, place: Place) -> Result<u32> {
        if self.next > MAX_ID {
            return Err(place.error(ParseErrorKind::Limit { what: "names", limit: MAX_ID.into() }));
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    fn check_count(&self, what: &'static str, count: usize) -> Result<()> {
        if count < MAX_LIST {
            return Ok(());
        }
        Err(self.lexer.error(ParseErrorKind::Limit { what, limit: MAX_LIST as u64 }))
    }
}

fn unknown(place: Place, what: &'static str, name: &str) -> ParseError {
    let name = name.chars().take(40).collect();
    place.error(ParseErrorKind::UnknownWord { what, name })
}
