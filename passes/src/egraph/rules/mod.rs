//! The rewrite rules, as data. What a rule may do is said in `docs/design/rules.md`.

mod conv;
mod dot;
mod expand;
mod movement;
mod reduce;
mod slices;

use super::language::Args;
use super::saturate::Island;
use crate::options::Options;
use egg::Id;
use smallvec::SmallVec;
use ttk_ir::Op;

/// A way to say the same thing otherwise.
#[derive(Debug)]
pub struct Rule {
    pub name: &'static str,
    /// The equation, and when it pays.
    pub doc: &'static str,
    pub when: When,
    /// The operations at the root of what it rewrites.
    pub(crate) begins: fn(&Op) -> bool,
    /// Given an operation and its operands, adds what equals it.
    pub(crate) rewrite: fn(&mut Island, &Op, &[Id], &mut Found),
}

/// Under which options a rule is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    Always,
    /// [`Options::inference`]: moves work from activations to weights.
    Inference,
}

/// What a rule found equal to the operation it was given.
pub(crate) type Found = SmallVec<[Id; 4]>;

/// All rules. The order is that in which they are tried, and decides nothing else.
pub const RULES: &[Rule] = &[
    dot::PERMUTE_OF_OPERAND,
    dot::PERMUTE_OF_RESULT,
    dot::SCALE_OUT,
    dot::SCALE_IN,
    dot::CHANNEL_SCALE,
    dot::DISTRIBUTE,
    dot::EXPANDED_OPERAND,
    dot::SUM_OF_DOT,
    conv::FOLD_OF_DOT,
    expand::HOIST,
    expand::REDUCE_OF_EXPAND,
    expand::SUM_OF_SCALED,
    reduce::NEG_OUT_OF_PRODUCT,
    reduce::NEG_OUT_OF_SUM,
    reduce::NEG_INTO_DIFFERENCE,
    reduce::REDUCE_OF_REDUCE,
    reduce::SUM_OF_PAD,
    reduce::SUM_OF_CONCAT,
    movement::ELEMENTWISE,
    movement::STRUCTURED,
    slices::OF_ELEMENTWISE,
    slices::OF_PERMUTE,
    slices::OF_REDUCE,
    slices::OF_DOT,
    slices::SUM_OF_PADS,
];

/// The rule of that name.
pub fn find(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// The rules that begin at an operation, as bits over [`RULES`].
pub(super) fn beginning_at(op: &Op) -> u64 {
    bits(|rule| (rule.begins)(op))
}

/// The rules that the options allow.
pub(super) fn enabled(options: &Options) -> u64 {
    bits(|rule| match rule.when {
        When::Always => true,
        When::Inference => options.inference,
    })
}

/// One rule as a set.
pub(super) fn only(rule: &Rule) -> u64 {
    bits(|r| r.name == rule.name)
}

fn bits(test: impl Fn(&Rule) -> bool) -> u64 {
    RULES.iter().enumerate().filter(|(_, rule)| test(rule)).fold(0, |set, (i, _)| set | 1 << i)
}

/// The terms of a class that are of one kind, with what is inside the operation.
fn permutes(island: &Island, id: Id) -> SmallVec<[(ttk_ir::op::Axes, Id); 2]> {
    let terms = island.terms(id, |op| matches!(op, Op::Permute(_)));
    let inside = terms.into_iter().filter_map(|(op, args)| match &*op {
        Op::Permute(perm) => Some((perm.clone(), args[0])),
        _ => None,
    });
    inside.collect()
}

/// Operands of the `expand`s in a class.
fn expands(island: &Island, id: Id) -> SmallVec<[Id; 2]> {
    island.terms(id, |op| matches!(op, Op::Expand(_))).into_iter().map(|(_, args)| args[0]).collect()
}

/// `(batch, contract, lhs, rhs)` of the `dot`s in a class.
fn dots(island: &Island, id: Id) -> SmallVec<[(Pairs, Pairs, Id, Id); 2]> {
    let terms = island.terms(id, |op| matches!(op, Op::Dot { .. }));
    let inside = terms.into_iter().filter_map(|(op, args)| match &*op {
        Op::Dot { batch, contract } => Some((batch.clone(), contract.clone(), args[0], args[1])),
        _ => None,
    });
    inside.collect()
}

type Pairs = SmallVec<[(u8, u8); 2]>;

fn is_dot(op: &Op) -> bool {
    matches!(op, Op::Dot { .. })
}

fn one(id: Id) -> Args {
    Args::from_slice(&[id])
}

/// `q` with `q[p[i]] == i`.
fn inverse(perm: &[u8]) -> ttk_ir::op::Axes {
    let mut inverse: ttk_ir::op::Axes = perm.into();
    for (i, &p) in perm.iter().enumerate() {
        inverse[p as usize] = i as u8;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_fit_a_word() {
        assert!(RULES.len() <= 64);
        let mut names: Vec<&str> = RULES.iter().map(|r| r.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }
}
