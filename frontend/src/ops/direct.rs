//! Arithmetic of two tensors of one type, without the way by argument lists.
//!
//! `x + y` and `x @ y` are what programs write most, and most of it needs neither promotion nor broadcasting; what is
//! recorded is the same as by the operator's row, at half the cost.

use super::invoke::note_saved;
use super::table::Operator;
use crate::node::Value;
use crate::record::Recorder;
use crate::tensor::Tensor;
use crate::{autocast, device};
use ttk_ir::{Binary, DType};

/// Records `op`, which is what `operator` does to such tensors; `None` where the operator's row must see to it.
pub fn direct(operator: &'static Operator, op: Binary, x: &Tensor, y: &Tensor) -> Option<Tensor> {
    if device::used() {
        return None;
    }
    let (a, b) = (x.value(), y.value());
    let dtype = a.ty.dtype;
    // Bools add up by another rule, and integers divide to floats.
    if dtype == DType::Bool || (op == Binary::Div && !dtype.is_float()) || a.ty != b.ty {
        return None;
    }
    Some(made(operator, Recorder::new().alike(op, a, b), x, y))
}

/// Records the product of two matrices, of one type and of sizes that fit; `None` where the row of `operator`, that of
/// `matmul`, must see to it.
pub fn product(operator: &'static Operator, x: &Tensor, y: &Tensor) -> Option<Tensor> {
    if device::used() || autocast::is_on() {
        return None;
    }
    let (a, b) = (x.value(), y.value());
    let dtype = a.ty.dtype;
    let ([_, k], [terms, _]) = (&a.ty.shape[..], &b.ty.shape[..]) else { return None };
    if k != terms || dtype != b.ty.dtype || dtype == DType::Bool {
        return None;
    }
    Some(made(operator, Recorder::new().product(a, b), x, y))
}

/// The tensor that an operator gives of two.
fn made(operator: &'static Operator, value: Value, x: &Tensor, y: &Tensor) -> Tensor {
    let on_tape = value.requires_grad;
    let row = operator.row;
    let result = Tensor::made_by(value, row.name);
    if on_tape {
        note_saved(row.saves, [x, y].into_iter(), &result);
    }
    result
}
