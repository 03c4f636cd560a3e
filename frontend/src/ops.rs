//! The operator table: the only place where a torch operator's name, signature, defaults, variants and
//! documentation stand.
//!
//! A row says how an operator is called and which function records it. Argument parsing, the Python
//! functions and methods, in-place and `out=` forms and the type stubs are made from the rows.

pub mod args;
pub mod call;
pub mod direct;
pub mod invoke;
pub mod promote;
pub mod signature;

mod matrix;
mod recurrent;
mod table;
mod tied;

pub use crate::device::Device;
pub use args::{Arg, Number};
pub use call::{Call, Operand, Returned};
pub use direct::{direct, product};
pub use invoke::{Form, invoke};
pub(crate) use recurrent::derivative_of_kernel;
pub use signature::{Param, ParamType, Signature};
pub use table::{Operator, Row, Saves, Space, Variants, find, operators};
