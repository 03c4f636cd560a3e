//! The text form of graphs: what listings show, what tests are written in, what `.ttk` files hold.
//!
//! ```text
//! graph @f[n](%x: f32[n,8], %w: f32[8,2]) -> (f32[n,2]) {
//!   %0 = dot %x, %w {contract=[1:0]} : f32[n,2]  ; model.py:12
//!   %1 = reduce %0 {axes=[1], op=max} : f32[n,1]
//!   %2 = expand %1 : f32[n,2]
//!   %3 = sub %0, %2 : f32[n,2]
//!   return %3
//! }
//! ```
//!
//! * Symbols stand in brackets after the name; a size is a number or an expression over them.
//! * One operation a line, attributes sorted by name, the result type always printed. `reshape`,
//!   `expand`, `cast`, `bitcast`, `const`, `iota`, `random_bits`, `fold`, `slice` and `custom` take
//!   sizes or element type from the result type; for all others the parser infers it and rejects a mismatch.
//! * A comment runs from `;` to the end of the line. One of the form `; file:line` after an operation is
//!   its source line.
//! * Inputs are printed as `%p0`, `%p1`, and results as `%0`, `%1`; the parser takes any names.
//!
//! `parse(print(g)) == g` for a graph whose inputs come before all other nodes, up to source lines that no
//! node refers to. Where inputs come later, parsing moves them to the front.
//!
//! The parser may be fed anything: it reports the line and column of the first fault, and
//! [`limits`] keep hostile text from taking more memory than a small multiple of its own length.

mod attributes;
mod error;
pub(crate) mod expr;
pub(crate) mod lex;
pub mod limits;
mod parse;
mod print;
pub(crate) mod scalar;

pub use error::{ParseError, ParseErrorKind};
pub use parse::parse;
pub use print::{PrintOptions, print, print_with};
