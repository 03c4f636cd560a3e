//! What an operation costs, for choosing among equal graphs.

use std::iter::Sum;
use std::ops::Add;
use ttk_ir::{Dim, Op, Type, op::Family};

/// Work of a computation. The unit is one vectorised addition of one element whose operands are in cache.
///
/// Arithmetic saturates: the sum of two costs must be no less than either, whatever the sizes of a user's
/// tensors, or a choice that is absurdly dear would wrap around to being cheap. A graph that reaches
/// the limit is not one whose rewriting matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Cost(u64);

impl Cost {
    pub const ZERO: Cost = Cost(0);
    pub const MAX: Cost = Cost(u64::MAX);

    pub const fn new(units: u64) -> Cost {
        Cost(units)
    }

    pub const fn units(self) -> u64 {
        self.0
    }

    fn times(self, by: u64) -> Cost {
        Cost(self.0.saturating_mul(by))
    }
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost(self.0.saturating_add(other.0))
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(iter: I) -> Cost {
        iter.fold(Cost::ZERO, Add::add)
    }
}

/// The size a symbol is taken to have. Any number serves that is neither 1 nor so large that what has a
/// symbolic size outweighs all that has not.
const NOMINAL: u64 = 64;

/// The cost of one operation on operands of the given types, each at least 1 so that of two graphs of equal
/// work the one with fewer operations is chosen (and no cycle of free views is).
///
/// It is known here that elementwise operations and views will be fused into what reads them, so they
/// cost their arithmetic and no memory traffic; `dot`, `reduce` and `fold` end a kernel and pay for
/// what they read and write.
pub fn cost(op: &Op, inputs: &[&Type], result: &Type) -> Cost {
    let n = elements(&result.shape);
    let read: Cost = inputs.iter().map(|t| elements(&t.shape)).sum();
    let work = match op {
        Op::Param { .. } | Op::Const { .. } => Cost::ZERO,
        Op::Iota { .. } => Cost::ZERO,
        Op::RandomBits { .. } => n.times(8),
        Op::Unary(u) => n.times(u.weight().into()),
        Op::Binary(b) => n.times(b.weight().into()),
        Op::Cmp(_) | Op::Select | Op::Cast(_) => n,
        // Other index arithmetic only.
        Op::Bitcast(_) | Op::Reshape(_) | Op::Detach | Op::Barrier => Cost::ZERO,
        Op::Expand(_) | Op::Slice(_) => Cost(n.0 / 16),
        // Neighbours in the result are far apart in the operand: a vector load becomes a gather, or a
        // matrix product cannot read its operand as it lies. Less so where rows stay whole.
        Op::Permute(perm) => {
            let rows_stay = perm.last().is_none_or(|&p| p as usize == perm.len() - 1);
            if rows_stay { Cost(n.0 / 2) } else { n }
        }
        Op::Pad { .. } => Cost(n.0 / 2),
        Op::Concat { .. } | Op::Update(_) => n,
        // Read by a matrix product where it lies.
        Op::Window(_) => Cost(n.0 / 8),
        Op::Gather { .. } => n.times(2),
        Op::Scatter { .. } => read.times(4) + n,
        // Written by what comes before, and added up by a kernel of its own.
        Op::Fold { .. } => read.times(4) + n.times(2),
        Op::Reduce { op, .. } => Cost(read.0.saturating_mul(op.combine().weight().into())) + n,
        Op::Scan { .. } => read.times(2) + n,
        Op::Argsort { .. } => read.times(32),
        Op::Dot { contract, .. } => {
            let depth: u64 =
                contract.iter().fold(1u64, |k, &(i, _)| k.saturating_mul(size(&inputs[0].shape[i as usize])));
            // A core does four fused multiply-adds in registers where it loads, adds and stores once. The
            // result is larger than the cache more often than not.
            Cost(n.0.saturating_mul(depth) / 4) + Cost(read.0 / 2) + n.times(4)
        }
        Op::Custom { .. } => read + n,
    };
    let overhead = match op.family() {
        Family::Leaf | Family::Elementwise | Family::View | Family::Fence => Cost(1),
        // A kernel of its own: a launch, and threads that wait for each other.
        Family::Indexed | Family::Structured | Family::Escape => Cost(64),
    };
    work + overhead
}

/// How many elements a value has, symbols at their nominal size.
pub(crate) fn volume(ty: &Type) -> u64 {
    elements(&ty.shape).0
}

fn elements(shape: &[Dim]) -> Cost {
    Cost(shape.iter().fold(1u64, |n, d| n.saturating_mul(size(d))))
}

fn size(dim: &Dim) -> u64 {
    match dim {
        Dim::Fixed(v) => (*v).max(0) as u64,
        Dim::Symbolic(e) => e.eval(&|_| NOMINAL as i64).max(1) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ttk_ir::{Binary, DType, Unary};

    #[test]
    fn saturates() {
        assert_eq!(Cost::MAX + Cost::new(1), Cost::MAX);
        let huge = Type::fixed(DType::F32, &[i64::MAX, 4]);
        assert_eq!(cost(&Op::Unary(Unary::Exp), &[&huge], &huge), Cost::MAX);
    }

    #[test]
    fn symbols_have_a_size() {
        let n = Type::new(DType::F32, [Dim::symbol(0), Dim::Fixed(8)].into_iter().collect::<ttk_ir::Shape>());
        assert_eq!(cost(&Op::Binary(Binary::Add), &[&n, &n], &n), Cost::new(NOMINAL * 8 + 1));
    }
}
