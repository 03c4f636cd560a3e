//! One division for many: `x / expand s` as `x * expand(1 / s)`.
//!
//! A vector division takes ten times as long as a product, and what normalisation and softmax divide by is
//! one number a row. The result is rounded twice instead of once. It would change beyond that only where
//! `1 / s` overflows or is denormal, so `s` must be known to stay away from there, or `fast_math` be on.

use crate::canonicalize::Rewriter;
use crate::error::PassError;
use crate::options::Options;
use ttk_ir::{Binary, Builder, DType, Graph, Op, ReduceOp, Scalar, Unary, ValueId};

/// Replaces divisions by repeated values that are known to have a reciprocal.
///
/// # Errors
/// None today; the type is that of every pass.
pub fn reciprocal(graph: &Graph, options: &Options) -> Result<Graph, PassError> {
    let divides = |op: &Op| matches!(op, Op::Binary(Binary::Div));
    if !graph.nodes().iter().any(|n| divides(&n.op)) {
        return Ok(graph.clone());
    }
    Ok(Rewriter::run(graph, options, |r, op, inputs| {
        if !divides(op) {
            return None;
        }
        let &[x, y] = inputs else { return None };
        if !matches!(r.op_of(y), Op::Expand(_)) {
            return None;
        }
        let s = r.input(y, 0);
        let float = r.type_of(s).dtype.is_float();
        if !(has_reciprocal(r, s) || float && options.fast_math) {
            return None;
        }
        let one = r.splat_of(Scalar::one(r.type_of(s).dtype), s);
        let inverse = r.div(&one, &s);
        let shape = r.shape(&x);
        let wide = r.expand(&inverse, shape);
        Some(r.mul(&x, &wide))
    }))
}

/// How many operations deep a question goes.
const DEPTH: u32 = 6;

/// Whether every element is a NaN or a number whose reciprocal neither overflows nor is denormal.
fn has_reciprocal(r: &Rewriter<'_>, v: ValueId) -> bool {
    match r.type_of(v).dtype {
        DType::F32 | DType::F64 | DType::BF16 => is_ample(r, v, DEPTH),
        // The range is so narrow that ordinary numbers fail.
        DType::F16 => false,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => false,
    }
}

/// Whether every element is a NaN or at least 1e-30 (and, if a number the compiler knows, at most 1e30):
/// far above the smallest normal number of f32 and far below any epsilon.
fn is_ample(r: &Rewriter<'_>, v: ValueId, depth: u32) -> bool {
    if let Some(c) = r.splat(v) {
        return (1e-30..1e30).contains(&c.as_f64());
    }
    if depth == 0 {
        return false;
    }
    let op = r.op_of(v);
    if matches!(op, Op::Unary(Unary::Sqrt) | Op::Reshape(_) | Op::Permute(_) | Op::Expand(_)) {
        return is_ample(r, r.input(v, 0), depth - 1);
    }
    // A deviation: something that is not negative and an epsilon.
    if matches!(op, Op::Binary(Binary::Add)) {
        let (x, epsilon) = (r.input(v, 0), r.input(v, 1));
        return r.splat(epsilon).is_some() && is_ample(r, epsilon, 1) && not_negative(r, x, DEPTH);
    }
    // The total of a softmax: the largest of its terms is exp(0).
    if let Op::Reduce { op: ReduceOp::Sum, axes } = op {
        let terms = r.input(v, 0);
        return matches!(r.op_of(terms), Op::Unary(Unary::Exp))
            && is_below_maximum(r, r.input(terms, 0), axes);
    }
    false
}

/// Whether `v` is `x - max(x)` and wherever it is summed over `axes` one term is that of a largest element, 0.
/// (The largest of each column says nothing of a row: all of it may be far below.)
fn is_below_maximum(r: &Rewriter<'_>, v: ValueId, axes: &[u8]) -> bool {
    if !matches!(r.op_of(v), Op::Binary(Binary::Sub)) || !matches!(r.op_of(r.input(v, 1)), Op::Expand(_)) {
        return false;
    }
    let max = r.input(r.input(v, 1), 0);
    let Op::Reduce { op: ReduceOp::Max, axes: of } = r.op_of(max) else { return false };
    r.input(max, 0) == r.input(v, 0) && of.iter().all(|a| axes.contains(a))
}

/// Whether no element is below zero (a NaN may be).
fn not_negative(r: &Rewriter<'_>, v: ValueId, depth: u32) -> bool {
    if let Some(c) = r.splat(v) {
        return c.as_f64() >= 0.0;
    }
    if depth == 0 {
        return false;
    }
    let all = || r.node(v).inputs.iter().all(|&x| not_negative(r, x, depth - 1));
    let op = r.op_of(v);
    if matches!(op, Op::Unary(Unary::Exp | Unary::Abs | Unary::Sqrt)) {
        return true;
    }
    if matches!(op, Op::Binary(Binary::Mul)) && r.input(v, 0) == r.input(v, 1) {
        return true;
    }
    let keeps = matches!(
        op,
        Op::Binary(Binary::Mul | Binary::Div | Binary::Add)
            | Op::Reduce { op: ReduceOp::Sum | ReduceOp::Max, .. }
            | Op::Expand(_)
            | Op::Reshape(_)
            | Op::Permute(_)
    );
    keeps && all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ttk_ir::eval::eval;
    use ttk_ir::shape::shape;
    use ttk_ir::testing::{Values, random_inputs};
    use ttk_ir::{Dim, Type};

    fn divisions_of(g: &Graph, dim: i64) -> usize {
        let wide = |v: &ttk_ir::Node| v.ty.shape.contains(&Dim::Fixed(dim));
        g.nodes().iter().filter(|n| n.op == Op::Binary(Binary::Div) && wide(n)).count()
    }

    /// `x / expand(of(x))` over rows of 7.
    fn divided(of: impl Fn(&mut Graph, ValueId) -> ValueId) -> Graph {
        let mut g = Graph::new("f");
        let x = g.param(Type::fixed(DType::F32, &[4, 7]));
        let s = of(&mut g, x);
        let wide = g.expand(&s, shape(&[4, 7]));
        let out = g.div(&x, &wide);
        g.outputs = vec![out];
        g
    }

    #[test]
    fn deviations_and_totals_of_softmax_are_inverted() {
        let deviation = divided(|g, x| {
            let squares = g.mul(&x, &x);
            let sum = g.reduce(ReduceOp::Sum, &squares, &[1]);
            let safe = g.shift(&sum, 1e-5);
            g.unary(Unary::Sqrt, &safe)
        });
        let total = divided(|g, x| {
            let max = g.reduce(ReduceOp::Max, &x, &[1]);
            let max = g.expand(&max, shape(&[4, 7]));
            let shifted = g.sub(&x, &max);
            let e = g.unary(Unary::Exp, &shifted);
            g.reduce(ReduceOp::Sum, &e, &[1])
        });
        for g in [deviation, total] {
            let after = reciprocal(&g, &Options::default()).unwrap();
            assert_eq!((divisions_of(&g, 7), divisions_of(&after, 7)), (1, 0));
            let inputs = random_inputs(&[Type::fixed(DType::F32, &[4, 7])], &[], 1, Values::Tame);
            let (want, got) = (eval(&g, &inputs, &[]).unwrap(), eval(&after, &inputs, &[]).unwrap());
            got[0].close(&want[0], 2e-7, 0.0).unwrap();
        }
    }

    #[test]
    fn what_may_be_denormal_is_left_alone() {
        let sum = divided(|g, x| g.reduce(ReduceOp::Sum, &x, &[1]));
        assert_eq!(reciprocal(&sum, &Options::default()).unwrap(), sum);
        let fast = Options { fast_math: true, ..Options::default() };
        assert_eq!(divisions_of(&reciprocal(&sum, &fast).unwrap(), 7), 0);
    }
}
