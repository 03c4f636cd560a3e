//! Composite operators: what PyTorch computes, written in primitives.
//!
//! Each function takes values ([`Val`]) and plain arguments that have been parsed already: axes are
//! counted from 0, element types agree (an operator's promotion has been applied), shapes have been
//! checked. It records primitives and nothing else, so that gradients of every order follow from the
//! primitives' rules. To call one:
//!
//! ```ignore
//! let scope = Scope::new(&mut builder);
//! let y = activation::gelu(&scope.val(&x), Gelu::None).into_value();
//! ```
//!
//! Formulas are PyTorch's where the order of operations shows in the last bits. Where two branches meet,
//! they are written so that the branch not taken stays finite: a `select` passes a zero cotangent to it,
//! and zero times infinity is NaN.

pub mod activation;
pub mod arithmetic;
pub mod attention;
pub mod bessel;
pub mod bits;
pub mod convolution;
pub mod distance;
pub mod einsum;
pub mod embedding;
pub mod gamma;
pub mod indexing;
pub mod interpolate;
pub mod layout;
pub mod linear;
pub mod loss;
pub mod loss_margin;
pub mod normalization;
pub mod order;
pub mod padding;
pub mod patches;
pub mod pooling;
pub mod recurrent;
pub mod reduction;
pub mod rounding;
pub mod sampling;
pub mod scan;
pub mod sequence;
pub mod softmax;
pub mod special;
pub mod statistics;
mod value;

pub use value::{Operand, Scope, Val, broadcast, broadcast_shapes, concat, stack};
