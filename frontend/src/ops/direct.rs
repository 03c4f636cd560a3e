//! Arithmetic of two tensors of one type and one shape, without the way by argument lists.
//!
//! `x + y` is what programs write most, and most of it needs neither promotion nor broadcasting; what is recorded is
//! the same as by the operator's row, at half the cost.

use super::invoke::note_saved;
use super::table::Operator;
use crate::device;
use crate::record::Recorder;
use crate::tensor::Tensor;
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
    let value = Recorder::new().alike(op, a, b);
    let on_tape = value.requires_grad;
    let row = operator.row;
    let result = Tensor::made_by(value, row.name);
    if on_tape {
        note_saved(row.saves, [x, y].into_iter(), &result);
    }
    Some(result)
}
