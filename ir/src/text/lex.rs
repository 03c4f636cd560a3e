//! Tokens with their places; shared by the parsers of graphs and kernels.

use super::error::{ParseError, ParseErrorKind};
use super::limits::MAX_TEXT;
use std::collections::HashMap;

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Token<'a> {
    /// A keyword, an element type, a symbol.
    Word(&'a str),
    /// `%name`, without the sign.
    Value(String),
    /// `@name`, without the sign.
    Global(String),
    /// A number without its sign, as written.
    Number(&'a str),
    /// A quoted string, unescaped.
    Text(String),
    /// A sign of one or two characters.
    Sign(&'a str),
    End,
}

/// A place in the text, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Place {
    pub(crate) fn error(self, kind: impl Into<ParseErrorKind>) -> ParseError {
        ParseError { line: self.line, column: self.column, kind: Box::new(kind.into()) }
    }
}

#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    src: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    token: Token<'a>,
    place: Place,
    /// Line of the last token taken.
    last_line: u32,
    /// The comment at the end of a line, without `;`.
    comments: HashMap<u32, &'a str>,
}

type Result<T> = std::result::Result<T, ParseError>;

impl<'a> Lexer<'a> {
    pub(crate) fn new(src: &'a str) -> Result<Lexer<'a>> {
        let place = Place { line: 1, column: 1 };
        if src.len() > MAX_TEXT {
            return Err(place.error(ParseErrorKind::Limit { what: "bytes of text", limit: MAX_TEXT as u64 }));
        }
        let mut lexer = Lexer {
            src,
            at: 0,
            line: 1,
            line_start: 0,
            token: Token::End,
            place,
            last_line: 1,
            comments: HashMap::new(),
        };
        lexer.token = lexer.scan()?;
        Ok(lexer)
    }

    pub(crate) fn peek(&self) -> &Token<'a> {
        &self.token
    }

    /// The place of the next token.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The comment on the line of the last token taken, once the next token has been seen.
    pub(crate) fn comment(&self) -> Option<&'a str> {
        self.comments.get(&self.last_line).copied()
    }

    pub(crate) fn next(&mut self) -> Result<Token<'a>> {
        self.last_line = self.place.line;
        let next = self.scan()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    pub(crate) fn error(&self, kind: impl Into<ParseErrorKind>) -> ParseError {
        self.place.error(kind)
    }

    pub(crate) fn unexpected(&self, expected: &'static str) -> ParseError {
        let found = match &self.token {
            Token::Word(w) | Token::Number(w) | Token::Sign(w) => shortened(w),
            Token::Value(n) => format!("%{}", shortened(n)),
            Token::Global(n) => format!("@{}", shortened(n)),
            Token::Text(t) => format!("{:?}", shortened(t)),
            Token::End => "the end of the text".into(),
        };
        self.error(ParseErrorKind::Expected { expected, found })
    }

    /// Takes the sign if it is next.
    pub(crate) fn eat(&mut self, sign: &str) -> Result<bool> {
        if self.token == Token::Sign(sign) {
            self.next()?;
            return Ok(true);
        }
        Ok(false)
    }

    pub(crate) fn expect(&mut self, sign: &'static str) -> Result<()> {
        if self.eat(sign)? { Ok(()) } else { Err(self.unexpected(sign)) }
    }

    /// Takes the word if it is next.
    pub(crate) fn eat_word(&mut self, word: &str) -> Result<bool> {
        if self.token == Token::Word(word) {
            self.next()?;
            return Ok(true);
        }
        Ok(false)
    }

    pub(crate) fn expect_word(&mut self, word: &'static str) -> Result<()> {
        if self.eat_word(word)? { Ok(()) } else { Err(self.unexpected(word)) }
    }

    pub(crate) fn word(&mut self, expected: &'static str) -> Result<&'a str> {
        match self.token {
            Token::Word(w) => {
                self.next()?;
                Ok(w)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// A `%name`.
    pub(crate) fn value(&mut self, expected: &'static str) -> Result<String> {
        match &mut self.token {
            Token::Value(name) => {
                let name = std::mem::take(name);
                self.next()?;
                Ok(name)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// An `@name`.
    pub(crate) fn global(&mut self, expected: &'static str) -> Result<String> {
        match &mut self.token {
            Token::Global(name) => {
                let name = std::mem::take(name);
                self.next()?;
                Ok(name)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// A whole number with an optional `-`, at most `max` in absolute value.
    pub(crate) fn integer(&mut self, max: i64) -> Result<i64> {
        let place = self.place;
        let negative = self.eat("-")?;
        let Token::Number(text) = self.token else { return Err(self.unexpected("a whole number")) };
        let value = text.parse::<i128>().map_err(|_| self.unexpected("a whole number"))?;
        self.next()?;
        if value > max as i128 {
            return Err(place.error(ParseErrorKind::Limit { what: "as a number", limit: max as u64 }));
        }
        Ok(if negative { -value as i64 } else { value as i64 })
    }

    fn scan(&mut self) -> Result<Token<'a>> {
        self.skip_blanks();
        self.place = Place { line: self.line, column: (self.at - self.line_start) as u32 + 1 };
        let rest = &self.src[self.at..];
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        match first {
            '%' | '@' => {
                self.at += 1;
                let name = self.name()?;
                Ok(if first == '%' { Token::Value(name) } else { Token::Global(name) })
            }
            '"' => Ok(Token::Text(self.quoted()?)),
            '0'..='9' => {
                let n = number_len(rest.as_bytes());
                self.at += n;
                Ok(Token::Number(&rest[..n]))
            }
            'A'..='Z' | 'a'..='z' | '_' => {
                let n = word_len(rest.as_bytes());
                self.at += n;
                Ok(Token::Word(&rest[..n]))
            }
            '(' | ')' | '[' | ']' | '{' | '}' | ',' | ':' | '=' | '+' | '-' | '*' | '.' => {
                let n = if rest.starts_with("->") || rest.starts_with("..") { 2 } else { 1 };
                self.at += n;
                Ok(Token::Sign(&rest[..n]))
            }
            other => {
                let found = format!("{other:?}");
                Err(self.error(ParseErrorKind::Expected { expected: "a token", found }))
            }
        }
    }

    fn skip_blanks(&mut self) {
        let bytes = self.src.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'\n' => {
                    self.at += 1;
                    self.line = self.line.saturating_add(1);
                    self.line_start = self.at;
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' => {
                    let end = self.src[self.at..].find('\n').map_or(self.src.len(), |n| self.at + n);
                    self.comments.insert(self.line, &self.src[self.at + 1..end]);
                    self.at = end;
                }
                _ => return,
            }
        }
    }

    /// What follows `%` or `@`: word characters, or a quoted string.
    fn name(&mut self) -> Result<String> {
        let rest = &self.src[self.at..];
        if rest.starts_with('"') {
            return self.quoted();
        }
        let n = word_len(rest.as_bytes());
        if n == 0 {
            let found = rest.chars().next().map_or("the end of the text".into(), |c| format!("{c:?}"));
            return Err(self.error(ParseErrorKind::Expected { expected: "a name", found }));
        }
        self.at += n;
        Ok(rest[..n].to_string())
    }

    /// A string in double quotes with `\"`, `\\`, `\n`, `\t`, `\r` and `\u{hex}`.
    fn quoted(&mut self) -> Result<String> {
        let mut out = String::new();
        let mut chars = self.src[self.at + 1..].char_indices();
        let bad = |found: String| self.error(ParseErrorKind::Expected { expected: "a string", found });
        loop {
            let Some((i, c)) = chars.next() else { return Err(bad("the end of the text".into())) };
            match c {
                '"' => {
                    self.at += i + 2;
                    return Ok(out);
                }
                '\n' => return Err(bad("the end of the line".into())),
                '\\' => {
                    let escape = chars.next().map(|(_, c)| c);
                    match escape {
                        Some('"') => out.push('"'),
                        Some('\\') => out.push('\\'),
                        Some('n') => out.push('\n'),
                        Some('t') => out.push('\t'),
                        Some('r') => out.push('\r'),
                        Some('u') => {
                            let hex: String = chars
                                .by_ref()
                                .map(|(_, c)| c)
                                .skip_while(|c| *c == '{')
                                .take_while(char::is_ascii_hexdigit)
                                .take(8)
                                .collect();
                            let code = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                            out.push(code.ok_or_else(|| bad("an escape of no character".into()))?);
                        }
                        Some(other) => return Err(bad(format!("the escape \\{other}"))),
                        None => return Err(bad("the end of the text".into())),
                    }
                }
                other => out.push(other),
            }
        }
    }
}

/// A name as it is printed after `%` or `@`: plain where that reads back, else quoted.
pub(crate) fn name_text(name: &str) -> String {
    if !name.is_empty() && word_len(name.as_bytes()) == name.len() {
        name.to_string()
    } else {
        quoted_text(name)
    }
}

/// A string in quotes.
pub(crate) fn quoted_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Length of a word: letters, digits, `_`, and single dots inside it (`fc.weight`, but not `a..b`).
fn word_len(bytes: &[u8]) -> usize {
    let part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let mut n = 0;
    while let Some(b) = bytes.get(n) {
        let dot_inside = *b == b'.' && n > 0 && bytes.get(n + 1).is_some_and(part);
        if !part(b) && !dot_inside {
            break;
        }
        n += 1;
    }
    n
}

/// Length of a number: digits with a fraction and an exponent, or `0x` and hexadecimal digits.
fn number_len(bytes: &[u8]) -> usize {
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    if bytes.starts_with(b"0x") {
        return 2 + bytes[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    }
    let mut n = digits(0);
    if bytes.get(n) == Some(&b'.') && bytes.get(n + 1).is_some_and(u8::is_ascii_digit) {
        n += 1 + digits(n + 1);
    }
    if matches!(bytes.get(n), Some(b'e' | b'E')) {
        let sign = matches!(bytes.get(n + 1), Some(b'+' | b'-')) as usize;
        let exponent = bytes.get(n + 1 + sign..).map_or(0, |_| digits(n + 1 + sign));
        if exponent > 0 {
            n += 1 + sign + exponent;
        }
    }
    n
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((i, _)) => format!("{}...", &text[..i]),
        None => text.to_string(),
    }
}
