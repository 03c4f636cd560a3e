//! Dimensions, shapes and tensor types.

use crate::{DType, Expr};
use smallvec::SmallVec;
use std::sync::Arc;

/// The size of one axis: a number, or an expression over symbols.
///
/// An expression that turns out to be a number is always stored as [`Dim::Fixed`], so `==` is
/// equality for every value of the symbols.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Dim {
    Fixed(i64),
    Symbolic(Arc<Expr>),
}

impl Dim {
    pub fn from_expr(e: Expr) -> Dim {
        match e.as_const() {
            Some(c) => Dim::Fixed(c),
            None => Dim::Symbolic(Arc::new(e)),
        }
    }

    pub fn symbol(id: u32) -> Dim {
        Dim::from_expr(Expr::symbol(id))
    }

    pub fn expr(&self) -> Expr {
        match self {
            Dim::Fixed(v) => Expr::constant(*v),
            Dim::Symbolic(e) => (**e).clone(),
        }
    }

    /// The number, if it is one.
    pub fn fixed(&self) -> Option<i64> {
        match self {
            Dim::Fixed(v) => Some(*v),
            Dim::Symbolic(_) => None,
        }
    }

    pub fn is_one(&self) -> bool {
        matches!(self, Dim::Fixed(1))
    }

    pub fn add(&self, other: &Dim) -> Dim {
        match (self, other) {
            (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(a.wrapping_add(*b)),
            _ => Dim::from_expr(self.expr().add(&other.expr())),
        }
    }

    pub fn sub(&self, other: &Dim) -> Dim {
        match (self, other) {
            (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(a.wrapping_sub(*b)),
            _ => Dim::from_expr(self.expr().sub(&other.expr())),
        }
    }

    pub fn mul(&self, other: &Dim) -> Dim {
        match (self, other) {
            (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(a.wrapping_mul(*b)),
            _ => Dim::from_expr(self.expr().mul(&other.expr())),
        }
    }

    /// `floor(self / by)`, `by > 0`.
    pub fn floor_div(&self, by: i64) -> Dim {
        match self {
            Dim::Fixed(a) => Dim::Fixed(a.div_euclid(by)),
            Dim::Symbolic(e) => Dim::from_expr(e.floor_div(&Expr::constant(by))),
        }
    }

    pub fn offset(&self, by: i64) -> Dim {
        self.add(&Dim::Fixed(by))
    }

    /// The value, given that of each symbol.
    pub fn eval(&self, symbols: &[i64]) -> i64 {
        match self {
            Dim::Fixed(v) => *v,
            Dim::Symbolic(e) => e.eval_symbols(symbols),
        }
    }
}

impl From<i64> for Dim {
    fn from(v: i64) -> Dim {
        Dim::Fixed(v)
    }
}

/// The sizes of a tensor's axes, outermost first.
pub type Shape = SmallVec<[Dim; 4]>;

/// A shape of numbers.
pub fn shape(dims: &[i64]) -> Shape {
    dims.iter().map(|&d| Dim::Fixed(d)).collect()
}

/// The product of the sizes.
pub fn numel(shape: &[Dim]) -> Dim {
    shape.iter().fold(Dim::Fixed(1), |n, d| n.mul(d))
}

/// Element type and shape: all that is known of a value before it is computed.
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Type {
    pub dtype: DType,
    pub shape: Shape,
}

impl Clone for Type {
    /// As derived, but quicker for few axes: recording an operation clones a type.
    #[inline]
    fn clone(&self) -> Type {
        let mut copy = Type { dtype: self.dtype, shape: Shape::new() };
        self.shape.iter().for_each(|d| copy.shape.push(d.clone()));
        copy
    }
}

impl Type {
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Type {
        Type { dtype, shape: shape.into() }
    }

    /// A type whose sizes are all numbers.
    pub fn fixed(dtype: DType, dims: &[i64]) -> Type {
        Type { dtype, shape: shape(dims) }
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    pub fn numel(&self) -> Dim {
        numel(&self.shape)
    }

    pub fn with_dtype(&self, dtype: DType) -> Type {
        Type { dtype, shape: self.shape.clone() }
    }
}
