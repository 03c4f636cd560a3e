//! From a graph to a program: kernels, library calls and the buffers between them.

pub(crate) mod build;
pub(crate) mod dot;
pub(crate) mod emit;
mod epilogue;
mod form;
mod half;
pub(crate) mod index;
mod lanes;
mod loops;
mod offsets;
mod program;
mod schedule;
mod single;
mod stages;
pub(crate) mod views;

use thiserror::Error;

pub use program::lower;

/// What the caller of [`lower`] promises and wants.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct LowerOptions {
    /// For each input, whether its memory may be overwritten: the caller will not read it again. Missing
    /// entries mean `false`.
    pub donate: Vec<bool>,
    /// The back end emits transcendental functions, powers and float remainders itself; otherwise they
    /// are written out in simple arithmetic.
    /// Such a machine is a GPU: an activation follows its product row by row, so that a library can take both.
    pub native_math: bool,
    pub half_products: HalfProducts,
}

/// Of which 16-bit floats the target multiplies matrices at least as fast as of `f32`, with sums of `f32`; other products of
/// them are products of `f32`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum HalfProducts {
    #[default]
    None,
    /// Of `bf16`, where one axis is summed over (a processor's sums of pairs).
    Bf16,
    /// Of both (a GPU's tensor cores).
    All,
}

/// A defect of the compiler found while lowering.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LowerError {
    #[error("lowering: {op} cannot be computed inside another kernel")]
    NotInline { op: &'static str },
    #[error("lowering: the result of {op} is used before it is stored")]
    NotStored { op: &'static str },
    #[error("lowering: {op} is kept for one position and used at another")]
    Position { op: &'static str },
}
