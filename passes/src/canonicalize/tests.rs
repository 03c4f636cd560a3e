//! A rule a case: what it makes, counted in operations.

use super::canonicalize;
use crate::{Options, dce::dce};
use ttk_ir::shape::shape;
use ttk_ir::{Builder, DType, Graph, Op, Type, ValueId};

/// Builds a graph over `n` inputs of type `f32[4,6]`, canonicalizes it and gives the operations left
/// (inputs aside), in order.
fn ops(n: usize, options: &Options, build: impl Fn(&mut Graph, &[ValueId]) -> ValueId) -> Vec<&'static str> {
    let mut g = Graph::new("f");
    let params: Vec<ValueId> = (0..n).map(|_| g.param(Type::fixed(DType::F32, &[4, 6]))).collect();
    let out = build(&mut g, &params);
    g.outputs = vec![out];
    let done = dce(&canonicalize(&g, options).unwrap(), options).unwrap();
    let twice = canonicalize(&done, options).unwrap();
    assert_eq!(done, twice, "not a fixed point");
    done.nodes().iter().map(|n| n.op.name()).filter(|n| *n != "param").collect()
}

const NONE: [&str; 0] = [];

#[test]
fn identities_of_floats_keep_signed_zeros() {
    let exact = Options::default();
    let fast = Options { fast_math: true, ..Options::default() };
    let plus_zero = |g: &mut Graph, p: &[ValueId]| g.shift(&p[0], 0.0);
    assert_eq!(ops(1, &exact, plus_zero), ["const", "add"]);
    assert_eq!(ops(1, &fast, plus_zero), NONE);
    assert_eq!(ops(1, &exact, |g, p| g.shift(&p[0], -0.0)), NONE);
    assert_eq!(ops(1, &exact, |g, p| g.scale(&p[0], 1.0)), NONE);
    assert_eq!(ops(1, &exact, |g, p| g.scale(&p[0], 0.0)), ["const", "mul"]);
    assert_eq!(ops(1, &exact, |g, p| g.sub(&p[0], &p[0])), ["sub"]);
    assert_eq!(ops(1, &fast, |g, p| g.sub(&p[0], &p[0])), ["const"]);
}

#[test]
fn views_merge_and_vanish() {
    let exact = Options::default();
    assert_eq!(
        ops(1, &exact, |g, p| {
            let t = g.permute(&p[0], &[1, 0]);
            g.op(Op::Permute([1u8, 0][..].into()), &[t])
        }),
        NONE
    );
    assert_eq!(
        ops(1, &exact, |g, p| {
            let a = g.reshape(&p[0], shape(&[24]));
            g.reshape(&a, shape(&[2, 12]))
        }),
        ["reshape"]
    );
    // A slice goes through permute, pad and concat to what it takes.
    assert_eq!(
        ops(2, &exact, |g, p| {
            let joined = g.concat(p, 0);
            let turned = g.permute(&joined, &[1, 0]);
            let part = g.narrow(&turned, 1, 4.into(), 4.into());
            g.permute(&part, &[1, 0])
        }),
        NONE
    );
}

#[test]
fn powers_are_products() {
    let exact = Options::default();
    let power = |e: f64| {
        move |g: &mut Graph, p: &[ValueId]| {
            let e = g.full_like(&p[0], e);
            g.binary(ttk_ir::Binary::Pow, &p[0], &e)
        }
    };
    assert_eq!(ops(1, &exact, power(2.0)), ["mul"]);
    assert_eq!(ops(1, &exact, power(0.5)), ["sqrt"]);
    assert_eq!(ops(1, &exact, power(1.0)), NONE);
    assert_eq!(ops(1, &exact, power(2.5)), ["const", "pow"]);
}
