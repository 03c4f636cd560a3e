//! Calling an operator in one of its forms.

use super::args::Arg;
use super::call::{Call, Returned};
use super::promote::can_cast;
use super::table::{Operator, Row, Saves};
use crate::autocast;
use crate::device::{self, Device, with_place};
use crate::error::{Error, Result, scalar_type_name};
use crate::node::Value;
use crate::record::Recorder;
use crate::tensor::Tensor;
use ttk_ir::Builder;
use ttk_runtime::sync::Counted;

/// Which form of an operator is called.
#[derive(Clone, Debug)]
pub enum Form {
    /// Gives new tensors.
    Function,
    /// Writes the result over the first argument.
    InPlace,
    /// Writes the results into these.
    Out(Vec<Tensor>),
}

/// Calls an operator with parsed arguments.
///
/// # Errors
/// What the operator finds wrong with its arguments.
pub fn invoke(operator: &'static Operator, overload: usize, args: &[Arg], form: &Form) -> Result<Returned> {
    let row = operator.row;
    let casts = autocast::is_on() && matches!(form, Form::Function);
    let cast = if casts { autocast::arguments(row.name, args) } else { None };
    let args = cast.as_deref().unwrap_or(args);
    let params = &operator.overloads()[overload].params;
    let mut wants_grad = false;
    let mut wanted = None;
    for (param, arg) in params.iter().zip(args) {
        match arg {
            Arg::Device(device) => wanted = Some(*device),
            Arg::Bool(true) if param.name == "requires_grad" => wants_grad = true,
            _ => {}
        }
    }
    if wanted.is_some_and(|d| d != Device::Cpu) || device::used() {
        let place = place_of(row, args, wanted)?;
        return with_place(place, || call_row(row, overload, args, form, wants_grad));
    }
    call_row(row, overload, args, form, wants_grad)
}

/// Operators that take tensors of several devices.
const ACROSS: [&str; 4] = ["to", "copy", "type_as", "index_put"];

/// Where the results of a call go: to the device that was asked for, or that of the operands.
///
/// # Errors
/// Operands on several devices, but for numbers on the processor; a device that is not there.
fn place_of(row: &Row, args: &[Arg], wanted: Option<Device>) -> Result<Device> {
    let mut found: Option<Device> = None;
    let mut check = |t: &Tensor| {
        let device = t.device();
        if device == Device::Cpu && t.rank() == 0 {
            return Ok(());
        }
        match found {
            Some(first) if first != device && !ACROSS.contains(&row.name) => Err(Error::runtime(format!(
                "Expected all tensors to be on the same device, but found at least two devices, {first} and {device}!"
            ))),
            Some(_) => Ok(()),
            None => {
                found = Some(device);
                Ok(())
            }
        }
    };
    for arg in args {
        match arg {
            Arg::Tensor(t) => check(t)?,
            Arg::Tensors(list) => list.iter().try_for_each(&mut check)?,
            Arg::OptionalTensors(list) => list.iter().flatten().try_for_each(&mut check)?,
            _ => {}
        }
    }
    match wanted {
        Some(device) => device::check(device).map(|()| device),
        None => Ok(found.unwrap_or_else(device::place)),
    }
}

/// Calls an operator whose results go to [`device::place`].
fn call_row(
    row: &'static Row,
    overload: usize,
    args: &[Arg],
    form: &Form,
    wants_grad: bool,
) -> Result<Returned> {
    let mut call = Call::new(row, overload, args);
    let returned = (row.run)(&mut call)?;
    match form {
        Form::Function => {
            if let Returned::Tensor(t) = &returned {
                if wants_grad {
                    t.set_requires_grad(true)?;
                }
                let saves = t.with_body(|b| {
                    b.made_by.get_or_insert(row.name);
                    row.saves != Saves::Nothing && b.requires_grad()
                });
                if saves {
                    note_saved(row.saves, tensors(args), t);
                }
            }
            Ok(returned)
        }
        Form::InPlace => {
            let (Some(Arg::Tensor(target)), Returned::Tensor(result)) = (args.first(), returned) else {
                return Err(Error::Internal { detail: format!("{} has no in-place form", row.name) });
            };
            if result.is(target) {
                return Ok(Returned::Tensor(result));
            }
            if Counted::ptr_eq(&result.storage(), &target.storage()) {
                // A view operation: the tensor is from now on that view.
                let view = result.view();
                target.with_body(|b| b.set_view(view));
            } else {
                write_result(target, result.value())?;
            }
            if row.saves == Saves::Output && target.requires_grad() {
                note_saved(row.saves, tensors(args), target);
            }
            target.with_body(|b| b.made_by = Some(row.name));
            Ok(Returned::Tensor(target.clone()))
        }
        Form::Out(targets) => {
            let results = match returned {
                Returned::Tensor(t) => vec![t],
                Returned::Tuple { items, .. } | Returned::List(items) => items,
                Returned::Number(_) | Returned::DType(_) | Returned::Ints(_) | Returned::None => vec![],
            };
            for (target, result) in targets.iter().zip(&results) {
                if target.requires_grad() && crate::record::grad_enabled() {
                    return Err(Error::runtime(format!(
                        "{}(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad.",
                        row.name
                    )));
                }
                let value = result.value();
                let dtype = target.dtype();
                if !can_cast(value.ty.dtype, dtype) {
                    let (from, to) = (scalar_type_name(value.ty.dtype), scalar_type_name(dtype));
                    return Err(Error::ResultCast { from, to });
                }
                let value = Recorder::new().cast(&value, dtype);
                if target.sizes() == result.sizes() {
                    target.write(value)?;
                } else {
                    target.set_data(&Tensor::from_value(value));
                }
            }
            Ok(match targets.as_slice() {
                [one] => Returned::Tensor(one.clone()),
                many => Returned::Tuple { names: &[], items: many.to_vec() },
            })
        }
    }
}

/// Writes a result over a tensor, cast to its type.
///
/// # Errors
/// A result of other sizes, or of a type that does not fit.
pub fn write_result(target: &Tensor, value: Value) -> Result<()> {
    let (own, new) = (target.sizes(), value.dims());
    if own != new {
        return Err(Error::runtime(format!(
            "output with shape {:?} doesn't match the broadcast shape {:?}",
            own.as_slice(),
            new.as_slice()
        )));
    }
    let dtype = target.dtype();
    if !can_cast(value.ty.dtype, dtype) {
        let (from, to) = (scalar_type_name(value.ty.dtype), scalar_type_name(dtype));
        return Err(Error::ResultCast { from, to });
    }
    target.write(Recorder::new().cast(&value, dtype))
}

/// The tensors among some arguments.
pub(super) fn tensors(args: &[Arg]) -> impl Iterator<Item = &Tensor> {
    args.iter().flat_map(|a| match a {
        Arg::Tensor(t) => std::slice::from_ref(t),
        Arg::Tensors(list) => list.as_slice(),
        _ => &[],
    })
}

/// Remembers which tensors must not change before the backward pass through `result`.
pub(super) fn note_saved<'a>(saves: Saves, operands: impl Iterator<Item = &'a Tensor>, result: &Tensor) {
    if saves == Saves::Nothing {
        return;
    }
    let value = result.value();
    let mut state = value.state.lock();
    match saves {
        Saves::Nothing => {}
        Saves::Output => state.saved.push(result.saved()),
        Saves::Inputs => state.saved.extend(operands.map(Tensor::saved)),
    }
}
