//! The text form of kernels.
//!
//! ```text
//! kernel @rowsum[s0](%a: f32[64*s0], %out: mut f32[s0]) {
//!   for %i0 in 0..s0 parallel {
//!     acc %acc0: f32 = 0.0
//!     for %i1 in 0..64 vector {
//!       %0: f32 = load %a[64*%i0 + %i1]
//!       accumulate sum %acc0, %0
//!     }
//!     %1: f32 = read %acc0
//!     store %out[%i0], %1
//!   }
//! }
//! ```
//!
//! * After the parameters may stand `alias(%a = %out)`: the two may be the same memory.
//! * Scratch is declared first in the body, `local %tmp: f32[64]`, and the source lines of the operations
//!   inside: `from "model.py":12, "model.py":13`.
//! * Statements are `for`, `%v: dtype = instruction`, `store %b[i], %v`, `acc`, `accumulate op %acc, %v`,
//!   `update op %b[i], %v` and `if %v { .. }`. A loop of no kind is serial; the others say `parallel`,
//!   `vector` or `unroll`.
//! * Instructions are `const 1.5`, `load %b[i]`, `read %acc`, `index i`, `checked_index %v, extent`,
//!   `fma %a, %b, %c`, `cmp lt %a, %b`, `select %c, %a, %b`, `cast %a`, `bitcast %a`, and the elementwise
//!   operations of the graph.
//! * `%i7` is loop variable 7, `%7` value 7, `%acc7` accumulator 7, and parsing keeps the numbers:
//!   `parse(print(k)) == k`. Other names get numbers above all that stand in the text.
//!
//! Parsing checks the form; [`crate::kernel::verify`] checks the meaning.

mod parse;
mod print;

pub use parse::parse;
pub use print::print;
