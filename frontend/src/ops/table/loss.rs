//! Losses of classes.

use super::rows;
use super::support::require_float;
use crate::composite::Scope;
use crate::composite::loss::{self, Reduction};
use crate::error::{Error, Result, scalar_type_name};
use crate::node::Value;
use crate::ops::call::{Call, Returned};
use ttk_ir::{Builder, DType};

fn reduction_of(c: &Call<'_>, i: usize) -> Result<Reduction> {
    match c.str(i)? {
        "none" => Ok(Reduction::None),
        "mean" => Ok(Reduction::Mean),
        "sum" => Ok(Reduction::Sum),
        other => Err(Error::value(format!("{other} is not a valid value for reduction"))),
    }
}

fn class_check(x: &Value, target: &Value, weight: Option<&Value>) -> Result<()> {
    let (xs, ts) = (x.dims(), target.dims());
    let fits = match xs.len() {
        0 => false,
        1 => ts.is_empty(),
        _ => ts.len() + 1 == xs.len() && ts[0] == xs[0] && ts[1..] == xs[2..],
    };
    if !fits {
        if xs.len() >= 2 && !ts.is_empty() && ts[0] != xs[0] {
            return Err(Error::value(format!(
                "Expected input batch_size ({}) to match target batch_size ({}).",
                xs[0], ts[0]
            )));
        }
        return Err(Error::runtime(format!(
            "Expected target size {:?}, got {:?}",
            xs.iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, n)| *n).collect::<Vec<_>>(),
            ts.as_slice()
        )));
    }
    let classes = if xs.len() == 1 { xs[0] } else { xs[1] };
    if let Some(w) = weight
        && w.dims().as_slice() != [classes]
    {
        return Err(Error::runtime(format!(
            "weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of shape: {:?}",
            w.dims().as_slice()
        )));
    }
    Ok(())
}

fn integer_target(target: &Value) -> Result<()> {
    if matches!(target.ty.dtype, DType::I64 | DType::U8) {
        return Ok(());
    }
    let found = scalar_type_name(target.ty.dtype);
    Err(Error::runtime(format!("expected target dtype to be Long or Byte, but got {found}")))
}

fn nll_loss(c: &mut Call<'_>) -> Result<Returned> {
    let (x, t, w) = (c.value(0)?, c.value(1)?, c.opt_value(2)?);
    let (ignore, r) = (c.int(4)?, reduction_of(c, 6)?);
    integer_target(&t)?;
    class_check(&x, &t, w.as_ref())?;
    let t = c.b.cast(&t, DType::I64);
    let scope = Scope::new(&mut c.b);
    let (xv, tv) = (scope.val(&x), scope.val(&t));
    let wv = w.as_ref().map(|w| scope.val(w));
    Ok(loss::nll_loss(&xv, &tv, wv.as_ref(), ignore, r).into_value().into())
}

fn cross_entropy(c: &mut Call<'_>) -> Result<Returned> {
    let (x, t, w) = (c.value(0)?, c.value(1)?, c.opt_value(2)?);
    let (ignore, r, smoothing) = (c.int(4)?, reduction_of(c, 6)?, c.float(7)?);
    if !(0.0..=1.0).contains(&smoothing) {
        return Err(Error::runtime(format!("label_smoothing must be between 0.0 and 1.0. Got: {smoothing}")));
    }
    require_float(c, &x)?;
    let probabilities = t.ty.dtype.is_float() && t.ty.shape == x.ty.shape;
    if !probabilities {
        integer_target(&t)?;
        class_check(&x, &t, w.as_ref())?;
    }
    let t = if probabilities { c.b.cast(&t, x.ty.dtype) } else { c.b.cast(&t, DType::I64) };
    let scope = Scope::new(&mut c.b);
    let (xv, tv) = (scope.val(&x), scope.val(&t));
    let wv = w.as_ref().map(|w| scope.val(w));
    let y = if probabilities {
        loss::cross_entropy_probabilities(&xv, &tv, wv.as_ref(), r, smoothing)
    } else {
        loss::cross_entropy(&xv, &tv, wv.as_ref(), ignore, r, smoothing)
    };
    Ok(y.into_value().into())
}

fn bce(c: &mut Call<'_>, logits: bool) -> Result<Returned> {
    let (x, t, w) = (c.value(0)?, c.value(1)?, c.opt_value(2)?);
    let r = reduction_of(c, 5)?;
    if x.ty.shape != t.ty.shape {
        let text = format!(
            "Using a target size (torch.Size({:?})) that is different to the input size (torch.Size({:?})) is deprecated. Please ensure they have the same size.",
            t.dims().as_slice(),
            x.dims().as_slice()
        );
        let text = if logits {
            format!(
                "Target size (torch.Size({:?})) must be the same as input size (torch.Size({:?}))",
                t.dims().as_slice(),
                x.dims().as_slice()
            )
        } else {
            text
        };
        return Err(Error::value(text));
    }
    require_float(c, &x)?;
    let t = c.b.cast(&t, x.ty.dtype);
    let w = w.map(|w| c.b.cast(&w, x.ty.dtype));
    let pos = if logits { c.opt_value(6)? } else { None };
    let wide = |c: &mut Call<'_>, v: Option<Value>| v.map(|v| c.b.broadcast(&v, &x.ty.shape));
    let (w, pos) = (wide(c, w), wide(c, pos));
    let scope = Scope::new(&mut c.b);
    let (xv, tv) = (scope.val(&x), scope.val(&t));
    let (wv, pv) = (w.as_ref().map(|w| scope.val(w)), pos.as_ref().map(|p| scope.val(p)));
    let y = if logits {
        loss::binary_cross_entropy_with_logits(&xv, &tv, wv.as_ref(), pv.as_ref(), r)
    } else {
        loss::binary_cross_entropy(&xv, &tv, wv.as_ref(), r)
    };
    Ok(y.into_value().into())
}

rows! {
    "nll_loss" Nn "f" Inputs ["(Tensor self, Tensor target, Tensor? weight=None, bool? size_average=None, int ignore_index=-100, bool? reduce=None, str reduction='mean') -> Tensor"]
        "Minus the log-probability of the target class." => nll_loss;
    "cross_entropy" Nn "f" Inputs ["(Tensor self, Tensor target, Tensor? weight=None, bool? size_average=None, int ignore_index=-100, bool? reduce=None, str reduction='mean', float label_smoothing=0.0) -> Tensor"]
        "Minus the log-softmax of the target class, or its mean over target probabilities." => cross_entropy;
    "binary_cross_entropy" Nn "f" Inputs ["(Tensor self, Tensor target, Tensor? weight=None, bool? size_average=None, bool? reduce=None, str reduction='mean') -> Tensor"]
        "The cross entropy of probabilities of two classes." => |c| bce(c, false);
    "binary_cross_entropy_with_logits" Nn "f" Inputs ["(Tensor self, Tensor target, Tensor? weight=None, bool? size_average=None, bool? reduce=None, str reduction='mean', Tensor? pos_weight=None) -> Tensor"]
        "The cross entropy of logits of two classes." => |c| bce(c, true);
}
