//! Recurrent layers, as `torch.nn` composes its modules of them.

use super::rows;
use crate::composite::recurrent::Cell;
use crate::error::{Error, Result};
use crate::node::Value;
use crate::ops::call::{Call, Returned};
use crate::ops::invoke::{note_saved, tensors};
use crate::ops::recurrent;
use crate::tensor::Tensor;

fn direction(c: &mut Call<'_>) -> Result<Returned> {
    let cell = match c.str(0)? {
        "LSTM" => Cell::Lstm,
        "GRU" => Cell::Gru,
        "RNN_TANH" => Cell::Tanh,
        "RNN_RELU" => Cell::Relu,
        other => return Err(Error::runtime(format!("Unknown mode: {other}"))),
    };
    let mut operands: Vec<Value> = (1..=3).map(|i| c.value(i)).collect::<Result<_>>()?;
    operands.extend(c.tensors(4)?.iter().map(Tensor::value));
    check(cell, &operands)?;
    let results = recurrent::recurrent(&mut c.b, cell, &operands);
    let items: Vec<Tensor> = results.into_iter().map(Tensor::from_value).collect();
    for item in items.iter().filter(|item| item.requires_grad()) {
        note_saved(c.row.saves, tensors(c.args), item);
    }
    Ok(Returned::Tuple { names: &[], items })
}

fn check(cell: Cell, operands: &[Value]) -> Result<()> {
    let [gates, weight, bias, states @ ..] = operands else { return Ok(()) };
    let (g, w) = (gates.dims(), weight.dims());
    let (&[steps, rows, width], &[_, hidden]) = (g.as_slice(), w.as_slice()) else {
        return Err(Error::runtime("expected gates of 3 dimensions and a weight of 2"));
    };
    if steps == 0 {
        return Err(Error::runtime("Expected sequence length to be larger than 0 in RNN"));
    }
    let expected = [
        (gates, vec![steps, rows, cell.gates() * hidden]),
        (weight, vec![width, hidden]),
        (bias, vec![width]),
    ];
    let states = states.iter().map(|s| (s, vec![rows, hidden]));
    for (value, sizes) in expected.into_iter().chain(states) {
        if value.dims().as_slice() != sizes.as_slice() {
            return Err(Error::runtime(format!(
                "a recurrent layer takes an operand of sizes {sizes:?} here, not {:?}",
                value.dims().as_slice()
            )));
        }
        if value.ty.dtype != gates.ty.dtype || !value.ty.dtype.is_float() {
            return Err(Error::runtime("a recurrent layer takes operands of one floating point type"));
        }
    }
    if operands.len() != 3 + cell.states() {
        return Err(Error::runtime(format!("a layer of this mode has {} states", cell.states())));
    }
    Ok(())
}

rows! {
    "_recurrent" Nn "f" Inputs ["(str mode, Tensor gates, Tensor weight, Tensor bias, Tensor[] states) -> Tensor[]"]
        "All steps of a recurrent layer in one direction: hidden states (T, N, H), then the last cell state (N, H) of an LSTM." => direction;
}
