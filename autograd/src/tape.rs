//! The reverse walk, over anything that remembers how its values were made.

use crate::rules::{carries_derivative, vjp_rule};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::collections::BinaryHeap;
use std::hash::Hash;
use ttk_ir::{Builder, Graph, Op, ValueId};

/// A builder whose values know the operation that made them: the record of the forward computation is
/// the tape.
pub trait Tape: Builder {
    /// Identity of a value. An operand's key is smaller than its user's, as numbers given in the order
    /// of recording are.
    type Key: Copy + Ord + Hash;

    fn key(&self, value: &Self::Value) -> Self::Key;

    /// The operation that made a value, and its operands.
    fn made_by(&self, value: &Self::Value) -> (Op, SmallVec<[Self::Value; 3]>);

    /// Operations added from now on are derived from that of `value` (and have its source line).
    fn derive_from(&mut self, _value: &Self::Value) {}
}

impl Tape for Graph {
    type Key = ValueId;

    fn key(&self, value: &ValueId) -> ValueId {
        *value
    }

    fn made_by(&self, value: &ValueId) -> (Op, SmallVec<[ValueId; 3]>) {
        let node = self.node(*value);
        (node.op.clone(), node.inputs.clone())
    }
}

/// The gradients of `wrt`, given the cotangents of some values.
///
/// Cotangents that reach one value by several ways are added in a fixed order: that of the users, last
/// recorded first. A `None` in the result means that nothing in `seeds` depends on the value through a
/// differentiable path.
///
/// Each cotangent must have the type of its value.
pub fn backward<T: Tape>(
    tape: &mut T,
    seeds: &[(T::Value, T::Value)],
    wrt: &[T::Value],
) -> Vec<Option<T::Value>> {
    let mut relevant: FxHashMap<T::Key, bool> = wrt.iter().map(|v| (tape.key(v), true)).collect();
    for (value, _) in seeds {
        mark_relevant(tape, value, &mut relevant);
    }

    let mut pending: FxHashMap<T::Key, (T::Value, T::Value)> = FxHashMap::default();
    let mut queue: BinaryHeap<T::Key> = BinaryHeap::new();
    for (value, cotangent) in seeds {
        if relevant[&tape.key(value)] {
            accumulate(tape, &mut pending, &mut queue, value, cotangent.clone());
        }
    }

    let wanted: Vec<T::Key> = wrt.iter().map(|v| tape.key(v)).collect();
    let mut found: FxHashMap<T::Key, Option<T::Value>> = wanted.iter().map(|&key| (key, None)).collect();
    // The largest key has no user left that could add to its cotangent.
    while let Some(key) = queue.pop() {
        let Some((value, cotangent)) = pending.remove(&key) else { continue };
        tape.derive_from(&value);
        if let Some(place) = found.get_mut(&key) {
            *place = Some(cotangent.clone());
        }
        let (op, inputs) = tape.made_by(&value);
        let needs = needs(tape, &op, &inputs, &value, &relevant);
        if !needs.contains(&true) {
            continue;
        }
        let parts = vjp_rule(tape, &op, &inputs, &value, &cotangent, &needs);
        for ((input, part), needed) in inputs.iter().zip(parts).zip(needs) {
            if let Some(part) = part
                && needed
            {
                accumulate(tape, &mut pending, &mut queue, input, part);
            }
        }
    }
    wanted.iter().map(|key| found[key].clone()).collect()
}

fn accumulate<T: Tape>(
    tape: &mut T,
    pending: &mut FxHashMap<T::Key, (T::Value, T::Value)>,
    queue: &mut BinaryHeap<T::Key>,
    value: &T::Value,
    cotangent: T::Value,
) {
    let key = tape.key(value);
    let total = match pending.remove(&key) {
        Some((_, already)) => tape.add(&already, &cotangent),
        None => {
            queue.push(key);
            cotangent
        }
    };
    pending.insert(key, (value.clone(), total));
}

fn needs<T: Tape>(
    tape: &T,
    op: &Op,
    inputs: &[T::Value],
    output: &T::Value,
    relevant: &FxHashMap<T::Key, bool>,
) -> SmallVec<[bool; 3]> {
    let result = tape.dtype(output);
    let needed = |(i, x): (usize, &T::Value)| {
        carries_derivative(op, i, tape.dtype(x), result)
            && relevant.get(&tape.key(x)).copied().unwrap_or(false)
    };
    inputs.iter().enumerate().map(needed).collect()
}

/// Decides, for `root` and all it is made of, whether it depends on something already marked `true`.
///
/// The walk keeps its own stack: a recorded loop makes chains deeper than a thread's.
fn mark_relevant<T: Tape>(tape: &T, root: &T::Value, relevant: &mut FxHashMap<T::Key, bool>) {
    type Frame<V> = (V, Op, SmallVec<[V; 3]>, usize);
    let mut stack: Vec<Frame<T::Value>> = Vec::new();
    let enter = |value: &T::Value, relevant: &mut FxHashMap<T::Key, bool>| {
        let mut fresh = false;
        relevant.entry(tape.key(value)).or_insert_with(|| {
            fresh = true;
            false
        });
        fresh.then(|| {
            let (op, inputs) = tape.made_by(value);
            (value.clone(), op, inputs, 0)
        })
    };
    stack.extend(enter(root, relevant));
    while let Some((value, op, inputs, next)) = stack.last_mut() {
        if let Some(input) = inputs.get(*next) {
            let carries = carries_derivative(op, *next, tape.dtype(input), tape.dtype(value));
            let input = input.clone();
            *next += 1;
            if carries {
                stack.extend(enter(&input, relevant));
            }
            continue;
        }
        let depends = inputs.iter().enumerate().any(|(i, x)| {
            carries_derivative(op, i, tape.dtype(x), tape.dtype(value))
                && relevant.get(&tape.key(x)).copied().unwrap_or(false)
        });
        relevant.insert(tape.key(value), depends);
        stack.pop();
    }
}
