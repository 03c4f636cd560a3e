//! Recurrent layers: by the runtime's kernels of all steps, where those serve, and step after step elsewhere.

use super::tied::{Tied, V, apply};
use crate::composite::recurrent::{Cell, steps};
use crate::composite::{Scope, concat};
use crate::device::{self, Device};
use crate::node::Value;
use crate::record::{Recorder, grad_enabled};
use ttk_autograd::{VjpOptions, vjp};
use ttk_ir::{DType, Graph, Op, ValueId};
use ttk_runtime::custom::recurrent::{self as layout, Layout};

/// A cell as the runtime's kernels know it.
struct Layer {
    cell: Cell,
    kernel: &'static str,
    backward: &'static str,
    layout: Layout,
}

static LSTM_LAYER: Layer = Layer {
    cell: Cell::Lstm,
    kernel: "recurrent.lstm",
    backward: "recurrent.lstm_backward",
    layout: layout::LSTM,
};
static GRU_LAYER: Layer = Layer {
    cell: Cell::Gru,
    kernel: "recurrent.gru",
    backward: "recurrent.gru_backward",
    layout: layout::GRU,
};
static TANH_LAYER: Layer = Layer {
    cell: Cell::Tanh,
    kernel: "recurrent.tanh",
    backward: "recurrent.tanh_backward",
    layout: layout::TANH,
};
static RELU_LAYER: Layer = Layer {
    cell: Cell::Relu,
    kernel: "recurrent.relu",
    backward: "recurrent.relu_backward",
    layout: layout::RELU,
};

macro_rules! tied {
    ($($name:ident $title:literal $layer:ident)*) => { $(
        static $name: Tied = Tied {
            name: $title,
            forward: |_, x| forward(&$layer, x),
            derivative: |_, x, y, g| derivative(&$layer, x, y, g),
        };
    )* };
}
tied! {
    LSTM "Lstm" LSTM_LAYER
    GRU "Gru" GRU_LAYER
    TANH "RnnTanh" TANH_LAYER
    RELU "RnnRelu" RELU_LAYER
}

/// Bytes of states that are kept at once where no derivative will read them: rows of gates are several times the output.
const TOGETHER: usize = 64 << 20;

/// [`steps`], of values.
pub(crate) fn recurrent(b: &mut Recorder, cell: Cell, operands: &[Value]) -> Vec<Value> {
    let dtype = operands[0].ty.dtype;
    if matches!(dtype, DType::F32 | DType::F64) && device::place() == Device::Cpu {
        let (tied, layer) = match cell {
            Cell::Lstm => (&LSTM, &LSTM_LAYER),
            Cell::Gru => (&GRU, &GRU_LAYER),
            Cell::Tanh => (&TANH, &TANH_LAYER),
            Cell::Relu => (&RELU, &RELU_LAYER),
        };
        let (gates, states) = (operands[0].dims(), operands[3].dims());
        let step = layer.layout.row * states.iter().product::<i64>() as usize * dtype.size();
        let some = (TOGETHER / step.max(1)).max(1) as i64;
        if gates[0] > some && !(grad_enabled() && operands.iter().any(|v| v.requires_grad)) {
            return in_parts(b, tied, cell, operands, some);
        }
        let mut results = apply(tied, &[], operands);
        // The kernel's own rows are for the derivative.
        results.truncate(cell.states());
        return results;
    }
    let scope = Scope::new(b);
    let operands: Vec<V<'_>> = operands.iter().map(|v| scope.val(v)).collect();
    steps(cell, &operands).into_iter().map(V::into_value).collect()
}

/// As many steps at a time, each part from the states that the one before it has left.
fn in_parts(b: &mut Recorder, tied: &'static Tied, cell: Cell, operands: &[Value], some: i64) -> Vec<Value> {
    let scope = Scope::new(b);
    let gates = scope.val(&operands[0]);
    let (mut given, mut hidden) = (operands.to_vec(), Vec::new());
    for first in (0..gates.size(0)).step_by(some as usize) {
        let n = some.min(gates.size(0) - first);
        given[0] = gates.narrow(0, first, n).into_value();
        let mut results = apply(tied, &[], &given).into_iter();
        if let Some(part) = results.next() {
            let part = scope.val(&part);
            given[3] = part.select_at(0, n - 1).into_value();
            hidden.push(part);
        }
        if cell.states() == 2
            && let Some(state) = results.next()
        {
            given[4] = state;
        }
    }
    let mut results = vec![concat(&hidden, 0).into_value()];
    results.extend(given.drain(4..));
    results
}

/// A kernel of the runtime with a result `[T+1, N, width]`.
fn kernel<'r>(name: &str, operands: &[V<'r>], steps: i64, rows: i64, width: i64) -> V<'r> {
    let values: Vec<Value> = operands.iter().map(|v| v.value().clone()).collect();
    let op = Op::Custom {
        name: name.into(),
        attributes: [].into(),
        dtype: operands[0].dtype(),
        shape: ttk_ir::shape::shape(&[steps + 1, rows, width]),
    };
    operands[0].emit(op, &values)
}

/// The results of [`steps`], then the states as the kernel keeps them.
fn forward<'r>(layer: &Layer, x: &[V<'r>]) -> Vec<V<'r>> {
    let (t, n, h) = (x[0].size(0), x[0].size(1), x[1].size(1));
    let states = kernel(layer.kernel, x, t, n, layer.layout.row as i64 * h);
    let mut results = parts(layer, &states);
    results.push(states);
    results
}

/// The hidden states, and the last cell state of a cell that has one, of the states as the kernel keeps them.
fn parts<'r>(layer: &Layer, states: &V<'r>) -> Vec<V<'r>> {
    let (t, h) = (states.size(0) - 1, states.size(2) / layer.layout.row as i64);
    let mut parts = vec![states.narrow(0, 1, t).narrow(2, layer.layout.hidden as i64 * h, h)];
    if layer.cell.states() == 2 {
        parts.push(states.select_at(0, t).narrow(1, layer.layout.cell as i64 * h, h));
    }
    parts
}

/// The derivative of a kernel that was recorded by its name, as in a graph that was loaded: the cotangents of its operands from
/// that of its states, of which others read what [`parts`] gives. `None` if it is no kernel of this kind.
pub(crate) fn derivative_of_kernel(
    b: &mut Recorder,
    name: &str,
    operands: &[Value],
    states: &Value,
    cotangent: &Value,
) -> Option<Vec<Option<Value>>> {
    let layer = [&LSTM_LAYER, &GRU_LAYER, &TANH_LAYER, &RELU_LAYER].into_iter().find(|l| l.kernel == name)?;
    let scope = Scope::new(b);
    let x: Vec<V<'_>> = operands.iter().map(|v| scope.val(v)).collect();
    let states = scope.val(states);
    let g: Vec<Option<V<'_>>> = parts(layer, &scope.val(cotangent)).into_iter().map(Some).collect();
    let mut y = parts(layer, &states);
    y.push(states);
    Some(derivative(layer, &x, &y, &g).into_iter().map(|v| v.map(V::into_value)).collect())
}

fn derivative<'r>(layer: &Layer, x: &[V<'r>], y: &[V<'r>], g: &[Option<V<'r>>]) -> Vec<Option<V<'r>>> {
    let outputs = layer.cell.states();
    let g: Vec<V<'r>> =
        g[..outputs].iter().zip(y).map(|(g, y)| g.clone().unwrap_or_else(|| y.full_like(0.0))).collect();
    if grad_enabled() {
        return step_by_step(layer.cell, x, &g).into_iter().map(Some).collect();
    }
    let (weight, states) = (&x[1], &y[outputs]);
    let (t, n, h) = (x[0].size(0), x[0].size(1), weight.size(1));
    let operands: Vec<V<'r>> = [weight, states].into_iter().chain(&g).cloned().collect();
    let gradients = kernel(layer.backward, &operands, t, n, layer.layout.back_row as i64 * h);
    let rows = gradients.narrow(0, 1, t);
    let gates = layer.cell.gates() * h;
    let own = rows.narrow(2, 0, gates);
    let outer = match layer.cell {
        // The reset gate is between the two.
        Cell::Gru => concat(&[rows.narrow(2, 0, 2 * h), rows.narrow(2, 3 * h, h)], 2),
        Cell::Lstm | Cell::Tanh | Cell::Relu => own.clone(),
    };
    let before = states.narrow(0, 0, t).narrow(2, layer.layout.hidden as i64 * h, h);
    let weight = own.dot(&before, &[], &[(0, 0), (1, 1)]);
    let bias = own.sum(&[0, 1]).squeeze(&[0, 1]);
    let first = gradients.select_at(0, 0);
    let mut parts = vec![Some(outer), Some(weight), Some(bias)];
    parts.extend((0..outputs as i64).map(|i| Some(first.narrow(1, i * h, h))));
    parts
}

/// The derivative as a function of operands and cotangents that has derivatives itself.
fn step_by_step<'r>(cell: Cell, x: &[V<'r>], g: &[V<'r>]) -> Vec<V<'r>> {
    let mut graph = Graph::new("recurrent");
    let operands: Vec<ValueId> = x.iter().map(|v| graph.param(v.ty())).collect();
    let scope = Scope::new(&mut graph);
    let vals: Vec<_> = operands.iter().map(|v| scope.val(v)).collect();
    let outputs: Vec<ValueId> = steps(cell, &vals).iter().map(|v| *v.value()).collect();
    drop(vals);
    let derived = match vjp(&graph, &outputs, &operands, VjpOptions::default()) {
        Ok(derived) => derived,
        Err(error) => unreachable!("steps of floating values were built here: {error}"),
    };
    let mut given = x.iter().chain(g);
    let mut values: Vec<V<'r>> = Vec::with_capacity(derived.len());
    for node in derived.nodes() {
        let value = if let Op::Param { .. } = node.op
            && let Some(operand) = given.next()
        {
            operand.clone()
        } else {
            let inputs: Vec<Value> = node.inputs.iter().map(|i| values[i.index()].value().clone()).collect();
            x[0].emit(node.op.clone(), &inputs)
        };
        values.push(value);
    }
    derived.outputs.iter().map(|o| values[o.index()].clone()).collect()
}
