//! Normalisation layers.

use super::rows;
use super::support::with1;
use crate::composite::{Scope, normalization as norm};
use crate::error::{Error, Result};
use crate::node::Value;
use crate::ops::call::{Call, Returned};
use crate::record::no_grad;
use crate::tensor::Tensor;
use ttk_ir::{Builder, DType};

/// How many trailing axes a normalization spans, checked.
fn normalized_axes(c: &Call<'_>, x: &Value, weight: Option<&Value>) -> Result<usize> {
    let shape = c.ints(1)?;
    let dims = x.dims();
    if shape.is_empty() || shape.len() > dims.len() || dims[dims.len() - shape.len()..] != *shape {
        return Err(Error::runtime(format!(
            "Given normalized_shape={shape:?}, expected input with shape [*, {}], but got input of size{:?}",
            shape.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(", "),
            dims.as_slice()
        )));
    }
    if let Some(w) = weight
        && w.dims().as_slice() != shape
    {
        return Err(Error::runtime(format!(
            "Expected weight to be of same shape as normalized_shape, but got weight of shape {:?} and normalized_shape = {shape:?}",
            w.dims().as_slice()
        )));
    }
    Ok(shape.len())
}

fn layer_norm(c: &mut Call<'_>) -> Result<Returned> {
    let (x, w, bias) = (c.value(0)?, c.opt_value(2)?, c.opt_value(3)?);
    let count = normalized_axes(c, &x, w.as_ref())?;
    let eps = c.float(4)?;
    let scope = Scope::new(&mut c.b);
    let xv = scope.val(&x);
    let (wv, bv) = (w.as_ref().map(|w| scope.val(w)), bias.as_ref().map(|b| scope.val(b)));
    Ok(norm::layer_norm(&xv, count, wv.as_ref(), bv.as_ref(), eps).into_value().into())
}

fn rms_norm(c: &mut Call<'_>) -> Result<Returned> {
    let (x, w) = (c.value(0)?, c.opt_value(2)?);
    let count = normalized_axes(c, &x, w.as_ref())?;
    let eps = c.opt_float(3)?.unwrap_or(match x.ty.dtype {
        DType::F64 => f64::EPSILON,
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        _ => f32::EPSILON as f64,
    });
    let scope = Scope::new(&mut c.b);
    let xv = scope.val(&x);
    let wv = w.as_ref().map(|w| scope.val(w));
    Ok(norm::rms_norm(&xv, count, wv.as_ref(), eps).into_value().into())
}

/// Writes new running statistics, outside the tape.
fn write_stats(mean: Option<Tensor>, var: Option<Tensor>, new: Option<(Value, Value)>) -> Result<()> {
    if let (Some(m), Some(v), Some((nm, nv))) = (mean, var, new) {
        return no_grad(|| {
            m.write(nm)?;
            v.write(nv)
        });
    }
    Ok(())
}

fn batch_norm(c: &mut Call<'_>, order: [usize; 7]) -> Result<Returned> {
    let [mean_at, var_at, w_at, b_at, training_at, momentum_at, eps_at] = order;
    let x = c.value(0)?;
    let (mean, var) = (c.opt_tensor(mean_at)?, c.opt_tensor(var_at)?);
    let (w, bias) = (c.opt_value(w_at)?, c.opt_value(b_at)?);
    let (training, momentum, eps) = (c.bool(training_at)?, c.float(momentum_at)?, c.float(eps_at)?);
    let dims = x.dims();
    if dims.len() < 2 && dims.contains(&0) {
        return Ok(x.into());
    }
    if dims.len() < 2 {
        return Err(Error::runtime(format!(
            "batch_norm: expected at least 2D input (got {}D input)",
            dims.len()
        )));
    }
    for (name, t) in [("running_mean", &mean), ("running_var", &var)] {
        if let Some(t) = t
            && t.numel() != dims[1]
        {
            return Err(Error::runtime(format!(
                "{name} should contain {} elements not {}",
                dims[1],
                t.numel()
            )));
        }
    }
    for (name, v) in [("weight", &w), ("bias", &bias)] {
        if let Some(v) = v
            && v.dims().as_slice() != [dims[1]]
        {
            return Err(Error::runtime(format!(
                "{name} should contain {} elements not {}",
                dims[1],
                v.dims().iter().product::<i64>()
            )));
        }
    }
    if training && dims.iter().enumerate().all(|(i, &n)| i == 1 || n == 1) {
        return Err(Error::value(format!(
            "Expected more than 1 value per channel when training, got input size torch.Size({:?})",
            dims.as_slice()
        )));
    }
    if !training && (mean.is_none() || var.is_none()) {
        return Err(Error::runtime(
            "Expected running_mean and running_var to be defined when training=False",
        ));
    }
    let stats = match (&mean, &var) {
        (Some(m), Some(v)) => Some((m.detach().value(), v.detach().value())),
        _ => None,
    };
    let scope = Scope::new(&mut c.b);
    let xv = scope.val(&x);
    let (wv, bv) = (w.as_ref().map(|w| scope.val(w)), bias.as_ref().map(|b| scope.val(b)));
    let running =
        stats.as_ref().map(|(m, v)| norm::RunningStats { mean: scope.val(m), variance: scope.val(v) });
    if let (false, Some(running)) = (training, &running) {
        return Ok(norm::batch_norm_eval(&xv, wv.as_ref(), bv.as_ref(), running, eps).into_value().into());
    }
    let (y, new) = norm::batch_norm_train(&xv, wv.as_ref(), bv.as_ref(), running.as_ref(), momentum, eps);
    let (y, new) = (y.into_value(), new.map(|s| (s.mean.into_value(), s.variance.into_value())));
    write_stats(mean, var, new)?;
    Ok(y.into())
}

fn instance_norm(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let (mean, var) = (c.opt_tensor(1)?, c.opt_tensor(2)?);
    let (w, bias) = (c.opt_value(3)?, c.opt_value(4)?);
    let (use_input, momentum, eps) = (c.bool(5)?, c.float(6)?, c.float(7)?);
    let dims = x.dims();
    if dims.len() < 2 {
        return Err(Error::runtime("instance_norm: expected at least 2D input"));
    }
    if use_input && dims.len() > 2 && dims[2..].iter().product::<i64>() == 1 {
        return Err(Error::value(format!(
            "Expected more than 1 spatial element when training, got input size torch.Size({:?})",
            dims.as_slice()
        )));
    }
    let stats = match (&mean, &var) {
        (Some(m), Some(v)) => Some((m.detach().value(), v.detach().value())),
        _ => None,
    };
    let scope = Scope::new(&mut c.b);
    let xv = scope.val(&x);
    let (wv, bv) = (w.as_ref().map(|w| scope.val(w)), bias.as_ref().map(|b| scope.val(b)));
    let running =
        stats.as_ref().map(|(m, v)| norm::RunningStats { mean: scope.val(m), variance: scope.val(v) });
    if let (false, Some(running)) = (use_input, &running) {
        return Ok(norm::batch_norm_eval(&xv, wv.as_ref(), bv.as_ref(), running, eps).into_value().into());
    }
    let (y, new) = norm::instance_norm(&xv, wv.as_ref(), bv.as_ref(), running.as_ref(), momentum, eps);
    let (y, new) = (y.into_value(), new.map(|s| (s.mean.into_value(), s.variance.into_value())));
    write_stats(mean, var, new)?;
    Ok(y.into())
}

fn group_norm(c: &mut Call<'_>) -> Result<Returned> {
    let (x, groups, w, bias, eps) = (c.value(0)?, c.int(1)?, c.opt_value(2)?, c.opt_value(3)?, c.float(4)?);
    let dims = x.dims();
    if dims.len() < 2 {
        return Err(Error::runtime(format!(
            "Expected at least 2 dimensions for input tensor but received {}",
            dims.len()
        )));
    }
    if dims[1] == 0 {
        return Err(Error::runtime("Expected number of channels to be greater than 0, got 0"));
    }
    if dims[2..].contains(&0) {
        return Err(Error::runtime("Expected HxW to be greater than 0, got 0"));
    }
    if groups <= 0 || dims[1] % groups != 0 {
        return Err(Error::runtime(format!(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape {:?} and num_groups={groups}",
            dims.as_slice()
        )));
    }
    for (name, v) in [("weight", &w), ("bias", &bias)] {
        if let Some(v) = v
            && v.dims().as_slice() != [dims[1]]
        {
            return Err(Error::runtime(format!(
                "Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape {:?} and input of shape {:?}",
                v.dims().as_slice(),
                dims.as_slice()
            )));
        }
    }
    let scope = Scope::new(&mut c.b);
    let xv = scope.val(&x);
    let (wv, bv) = (w.as_ref().map(|w| scope.val(w)), bias.as_ref().map(|b| scope.val(b)));
    Ok(norm::group_norm(&xv, groups, wv.as_ref(), bv.as_ref(), eps).into_value().into())
}

fn normalize(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let (p, axis, eps) = (c.float(1)?, c.dim(2, x.ty.rank())?, c.float(3)?);
    let wide = super::support::at_least_1d(&mut c.b, &x);
    let y = with1(&mut c.b, &wide, |x| norm::normalize(x, p, axis, eps));
    Ok(c.b.reshape(&y, x.ty.shape.clone()).into())
}

rows! {
    "layer_norm" Nn "f" Inputs ["(Tensor self, int[1] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05) -> Tensor"]
        "The last axes brought to mean 0 and variance 1, then scaled and shifted." => layer_norm;
    "rms_norm" Nn "f" Inputs ["(Tensor self, int[1] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor"]
        "The last axes divided by their root mean square, then scaled." => rms_norm;
    "batch_norm" Nn "f" Inputs ["(Tensor self, Tensor? running_mean, Tensor? running_var, Tensor? weight=None, Tensor? bias=None, bool training=False, float momentum=0.1, float eps=1e-05) -> Tensor"]
        "Channels brought to mean 0 and variance 1 over the batch (training) or by running statistics." => |c| batch_norm(c, [1, 2, 3, 4, 5, 6, 7]);
    "instance_norm" Nn "f" Inputs ["(Tensor self, Tensor? running_mean=None, Tensor? running_var=None, Tensor? weight=None, Tensor? bias=None, bool use_input_stats=True, float momentum=0.1, float eps=1e-05) -> Tensor"]
        "Channels of each sample brought to mean 0 and variance 1." => instance_norm;
    "group_norm" Nn "f" Inputs ["(Tensor self, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05) -> Tensor"]
        "Groups of channels brought to mean 0 and variance 1." => group_norm;
    "normalize" Nn "f" Inputs ["(Tensor self, float p=2.0, int dim=1, float eps=1e-12) -> Tensor"]
        "Vectors along an axis divided by their p-norm." => normalize;
    "batch_norm" Torch "f" Inputs ["(Tensor self, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps, bool cudnn_enabled) -> Tensor"]
        "Channels brought to mean 0 and variance 1." => |c| batch_norm(c, [3, 4, 1, 2, 5, 6, 7]);
}
