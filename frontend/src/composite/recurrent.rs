//! Recurrent layers of one direction, step after step.

use super::{Val, activation::relu, activation::sigmoid, linear::linear, stack};
use ttk_ir::Builder;

/// What a step computes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cell {
    /// Gates input, forget, cell, output; a hidden and a cell state.
    Lstm,
    /// Gates reset, update, new.
    Gru,
    Tanh,
    Relu,
}

impl Cell {
    /// The number of gates.
    pub fn gates(self) -> i64 {
        match self {
            Cell::Lstm => 4,
            Cell::Gru => 3,
            Cell::Tanh | Cell::Relu => 1,
        }
    }

    /// The number of states that go from step to step.
    pub fn states(self) -> usize {
        match self {
            Cell::Lstm => 2,
            Cell::Gru | Cell::Tanh | Cell::Relu => 1,
        }
    }

    /// The states after a step, from the input's share of the gates `[N, G*H]` and the states `[N, H]` before it.
    fn step<'r, B: Builder>(
        self,
        gates: &Val<'r, B>,
        states: &[Val<'r, B>],
        weight: &Val<'r, B>,
        bias: &Val<'r, B>,
    ) -> Vec<Val<'r, B>> {
        let h = &states[0];
        let size = h.size(1);
        let own = linear(h, weight, Some(bias));
        let gate = |of: &Val<'r, B>, i: i64| of.narrow(1, i * size, size);
        match self {
            Cell::Lstm => {
                let all = gates + own;
                let (i, f, o) = (sigmoid(&gate(&all, 0)), sigmoid(&gate(&all, 1)), sigmoid(&gate(&all, 3)));
                let c = f * &states[1] + i * gate(&all, 2).tanh();
                vec![o * c.tanh(), c]
            }
            Cell::Gru => {
                let r = sigmoid(&(gate(gates, 0) + gate(&own, 0)));
                let z = sigmoid(&(gate(gates, 1) + gate(&own, 1)));
                let new = (gate(gates, 2) + r * gate(&own, 2)).tanh();
                vec![(h - &new) * z + new]
            }
            Cell::Tanh => vec![(gates + own).tanh()],
            Cell::Relu => vec![relu(&(gates + own))],
        }
    }
}

/// All hidden states `[T, N, H]`, and the last cell state `[N, H]` of a cell that has one.
///
/// `operands` are the input's share of the gates `[T, N, G*H]` with `T` at least 1, the weight `[G*H, H]` and the bias
/// `[G*H]` of the hidden state, and the first states `[N, H]`.
pub fn steps<'r, B: Builder>(cell: Cell, operands: &[Val<'r, B>]) -> Vec<Val<'r, B>> {
    let (gates, weight, bias) = (&operands[0], &operands[1], &operands[2]);
    let mut states = operands[3..].to_vec();
    let mut hidden = Vec::new();
    for t in 0..gates.size(0) {
        states = cell.step(&gates.select_at(0, t), &states, weight, bias);
        hidden.push(states[0].clone());
    }
    states[0] = stack(&hidden, 0);
    states
}
