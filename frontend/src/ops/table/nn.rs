//! `torch.nn.functional`: activations, layers, losses.

use super::rows;
use super::support::{V, broadcast2, drop_axes, require_float, same1, to_float, with1, with2};
use crate::composite::activation::{self as act, Gelu};
use crate::composite::attention::{Attention, scaled_dot_product_attention};
use crate::composite::convolution::{Convolution, conv_transpose, convolution};
use crate::composite::loss::{self, Reduction};
use crate::composite::padding::{self, Padding};
use crate::composite::pooling::{self, Pool};
use crate::composite::{Scope, embedding, linear, normalization as norm};
use crate::error::{Error, Result, scalar_type_name};
use crate::node::Value;
use crate::ops::args::Arg;
use crate::ops::call::{Call, Returned, normalize_dim};
use crate::random;
use crate::record::no_grad;
use crate::tensor::Tensor;
use ttk_ir::{Builder, DType};

/// An activation of one argument and `inplace`, which is given last.
fn activation(c: &mut Call<'_>, f: impl for<'r> FnOnce(&V<'r>) -> V<'r>) -> Result<Returned> {
    let x = c.value(0)?;
    require_float(c, &x)?;
    let y = with1(&mut c.b, &x, f);
    finish_in_place(c, y)
}

/// Writes the result over the input when the last argument, `inplace`, asks for it.
fn finish_in_place(c: &Call<'_>, y: Value) -> Result<Returned> {
    if matches!(c.args.last(), Some(Arg::Bool(true))) {
        let t = c.tensor(0)?;
        crate::ops::invoke::write_result(&t, y)?;
        return Ok(t.into());
    }
    Ok(y.into())
}

fn relu(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    if x.ty.dtype == DType::Bool {
        return Err(Error::runtime("Boolean inputs not supported for relu"));
    }
    let y = with1(&mut c.b, &x, act::relu);
    finish_in_place(c, y)
}

fn gelu(c: &mut Call<'_>) -> Result<Returned> {
    let form = match c.str(1)? {
        "none" => Gelu::None,
        "tanh" => Gelu::Tanh,
        other => {
            return Err(Error::runtime(format!(
                "approximate argument must be either none or tanh. (got {other})"
            )));
        }
    };
    let x = c.value(0)?;
    require_float(c, &x)?;
    Ok(with1(&mut c.b, &x, |x| act::gelu(x, form)).into())
}

fn check_linear(x: &Value, w: &Value, b: Option<&Value>) -> Result<()> {
    let (xs, ws) = (x.dims(), w.dims());
    if ws.len() > 2 || ws.is_empty() {
        return Err(Error::runtime("linear(): weight must be a matrix or a vector"));
    }
    if x.ty.dtype != w.ty.dtype {
        return Err(Error::runtime(format!(
            "mat1 and mat2 must have the same dtype, but got {} and {}",
            scalar_type_name(x.ty.dtype),
            scalar_type_name(w.ty.dtype)
        )));
    }
    let k = ws[ws.len() - 1];
    if xs.last() != Some(&k) {
        let rows: i64 = xs[..xs.len().saturating_sub(1)].iter().product();
        return Err(Error::runtime(format!(
            "mat1 and mat2 shapes cannot be multiplied ({rows}x{} and {k}x{})",
            xs.last().copied().unwrap_or(1),
            ws[0]
        )));
    }
    if let Some(b) = b
        && ws.len() == 2
        && b.ty.rank() == 1
        && b.dims()[0] != ws[0]
        && b.dims()[0] != 1
    {
        return Err(Error::runtime(format!(
            "The expanded size of the tensor ({}) must match the existing size ({}) at non-singleton dimension 1.",
            ws[0],
            b.dims()[0]
        )));
    }
    Ok(())
}

fn linear_(c: &mut Call<'_>) -> Result<Returned> {
    let (x, w, bias) = (c.value(0)?, c.value(1)?, c.opt_value(2)?);
    check_linear(&x, &w, bias.as_ref())?;
    let scope = Scope::new(&mut c.b);
    let (x, w) = (scope.val(&x), scope.val(&w));
    let bias = bias.as_ref().map(|b| scope.val(b));
    Ok(linear::linear(&x, &w, bias.as_ref()).into_value().into())
}

/// One number for each spatial axis.
fn spread(c: &Call<'_>, i: usize, n: usize) -> Result<Vec<i64>> {
    match c.ints(i)? {
        [one] => Ok(vec![*one; n]),
        list if list.len() == n => Ok(list.to_vec()),
        list => Err(Error::runtime(format!(
            "expected {} to be a single integer value or a list of {n} values to match the convolution dimensions, but got {list:?}",
            c.name()
        ))),
    }
}

fn conv(c: &mut Call<'_>, n: usize) -> Result<Returned> {
    let (mut x, w, bias) = (c.value(0)?, c.value(1)?, c.opt_value(2)?);
    let groups = c.int(6)?;
    let (stride, dilation) = (spread(c, 3, n)?, spread(c, 5, n)?);
    if w.ty.rank() != n + 2 {
        return Err(Error::runtime(format!(
            "expected {}D weight for conv{n}d, but got weight of size {:?}",
            n + 2,
            w.dims().as_slice()
        )));
    }
    let batched = x.ty.rank() == n + 2;
    if !batched {
        if x.ty.rank() != n + 1 {
            return Err(Error::runtime(format!(
                "Expected {}D (unbatched) or {}D (batched) input to conv{n}d, but got input of size: {:?}",
                n + 1,
                n + 2,
                x.dims().as_slice()
            )));
        }
        let mut sizes = x.dims();
        sizes.insert(0, 1);
        x = c.b.reshape(&x, ttk_ir::shape::shape(&sizes));
    }
    let kernel: Vec<i64> = w.dims()[2..].to_vec();
    let padding: Vec<(i64, i64)> = match &c.args[4] {
        Arg::Str(s) if s == "valid" => vec![(0, 0); n],
        Arg::Str(s) if s == "same" => {
            if stride.iter().any(|&s| s != 1) {
                return Err(Error::runtime("padding='same' is not supported for strided convolutions"));
            }
            Convolution::same(&kernel, &dilation)
        }
        Arg::Str(s) => {
            return Err(Error::runtime(format!(
                "Invalid padding string {s:?}, should be one of 'valid', 'same'"
            )));
        }
        _ => spread(c, 4, n)?.into_iter().map(|p| (p, p)).collect(),
    };
    if groups <= 0 {
        return Err(Error::runtime("non-positive groups is not supported"));
    }
    if stride.iter().any(|&s| s <= 0) {
        return Err(Error::runtime("non-positive stride is not supported"));
    }
    if dilation.iter().any(|&s| s <= 0) {
        return Err(Error::runtime("dilation should be greater than zero"));
    }
    if padding.iter().any(|&(a, b)| a < 0 || b < 0) {
        return Err(Error::runtime("negative padding is not supported"));
    }
    let (xs, ws) = (x.dims(), w.dims());
    if ws[0] % groups != 0 || ws[0] < groups {
        return Err(Error::runtime(format!(
            "Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size {:?} instead",
            ws.as_slice()
        )));
    }
    if xs[1] != ws[1] * groups {
        return Err(Error::runtime(format!(
            "Given groups={groups}, weight of size {:?}, expected input{:?} to have {} channels, but got {} channels instead",
            ws.as_slice(),
            xs.as_slice(),
            ws[1] * groups,
            xs[1]
        )));
    }
    if x.ty.dtype != w.ty.dtype {
        return Err(Error::runtime(format!(
            "Input type ({}) and weight type ({}) should be the same",
            scalar_type_name(x.ty.dtype),
            scalar_type_name(w.ty.dtype)
        )));
    }
    if let Some(b) = &bias
        && b.dims().as_slice() != [ws[0]]
    {
        return Err(Error::runtime(format!(
            "Given weight of size {:?}, expected bias to be 1-dimensional with {} elements, but got bias of size {:?} instead",
            ws.as_slice(),
            ws[0],
            b.dims().as_slice()
        )));
    }
    for i in 0..n {
        let have = xs[2 + i] + padding[i].0 + padding[i].1;
        let need = dilation[i] * (kernel[i] - 1) + 1;
        if have < need {
            return Err(Error::runtime(format!(
                "Calculated padded input size per channel: {have}. Kernel size: {need}. Kernel size can't be greater than actual input size"
            )));
        }
    }
    let settings = Convolution { stride, padding, dilation, groups };
    let scope = Scope::new(&mut c.b);
    let (xv, wv) = (scope.val(&x), scope.val(&w));
    let bv = bias.as_ref().map(|b| scope.val(b));
    let y = convolution(&xv, &wv, bv.as_ref(), &settings).into_value();
    Ok(unbatch(c, y, batched).into())
}

fn unbatch(c: &mut Call<'_>, y: Value, batched: bool) -> Value {
    if batched { y } else { drop_axes(&mut c.b, &y, &[0], false) }
}

fn conv_transposed(c: &mut Call<'_>, n: usize) -> Result<Returned> {
    let (mut x, w, bias) = (c.value(0)?, c.value(1)?, c.opt_value(2)?);
    let (stride, padding, extra) = (spread(c, 3, n)?, spread(c, 4, n)?, spread(c, 5, n)?);
    let (groups, dilation) = (c.int(6)?, spread(c, 7, n)?);
    let batched = x.ty.rank() == n + 2;
    if !batched {
        if x.ty.rank() != n + 1 {
            return Err(Error::runtime(format!(
                "Expected {}D (unbatched) or {}D (batched) input to conv_transpose{n}d, but got input of size: {:?}",
                n + 1,
                n + 2,
                x.dims().as_slice()
            )));
        }
        let mut sizes = x.dims();
        sizes.insert(0, 1);
        x = c.b.reshape(&x, ttk_ir::shape::shape(&sizes));
    }
    let ws = w.dims();
    if ws.len() != n + 2 || groups <= 0 || x.dims()[1] != ws[0] || ws[0] % groups != 0 {
        return Err(Error::runtime(format!(
            "Given transposed=1, weight of size {:?}, expected input{:?} to have {} channels, but got {} channels instead",
            ws.as_slice(),
            x.dims().as_slice(),
            ws.first().copied().unwrap_or(0),
            x.dims()[1]
        )));
    }
    if x.ty.dtype != w.ty.dtype
        || stride.iter().chain(&dilation).any(|&s| s <= 0)
        || padding.iter().any(|&p| p < 0)
    {
        return Err(Error::runtime(
            "conv_transpose: types must agree, strides and dilations be positive, padding not negative",
        ));
    }
    for i in 0..n {
        if extra[i] < 0 || (extra[i] >= stride[i] && extra[i] >= dilation[i]) {
            return Err(Error::runtime(format!(
                "output padding must be smaller than either stride or dilation, but got output_padding: {extra:?} stride: {stride:?} dilation: {dilation:?}"
            )));
        }
        let size =
            (x.dims()[2 + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (ws[2 + i] - 1) + extra[i] + 1;
        if size <= 0 {
            return Err(Error::runtime(
                "Given input size per channel, the calculated output size is too small",
            ));
        }
    }
    let padding = padding.into_iter().map(|p| (p, p)).collect();
    let settings = Convolution { stride, padding, dilation, groups };
    let scope = Scope::new(&mut c.b);
    let (xv, wv) = (scope.val(&x), scope.val(&w));
    let bv = bias.as_ref().map(|b| scope.val(b));
    let y = conv_transpose(&xv, &wv, bv.as_ref(), &settings, &extra).into_value();
    Ok(unbatch(c, y, batched).into())
}

/// The windows of a pooling: arguments kernel, stride, padding and (if any) dilation.
fn pools(c: &Call<'_>, n: usize, x: &Value, dilated: bool) -> Result<Vec<Pool>> {
    let rank = x.ty.rank();
    if rank != n + 1 && rank != n + 2 {
        return Err(Error::runtime(format!(
            "{}(): Expected {}D or {}D tensor for input, but got {:?}",
            c.name(),
            n + 1,
            n + 2,
            x.dims().as_slice()
        )));
    }
    let size = spread(c, 1, n)?;
    let stride = match c.opt_ints(2)? {
        Some([]) | None => size.clone(),
        Some(_) => spread(c, 2, n)?,
    };
    let padding = spread(c, 3, n)?;
    let dilation = if dilated { spread(c, 4, n)? } else { vec![1; n] };
    let mut out = Vec::new();
    for i in 0..n {
        if size[i] <= 0 || stride[i] <= 0 || dilation[i] <= 0 || padding[i] < 0 {
            return Err(Error::runtime(format!(
                "{}(): kernel size, stride and dilation must be greater than zero, and padding non-negative",
                c.name()
            )));
        }
        let reach = (size[i] - 1).saturating_mul(dilation[i]).saturating_add(1);
        if reach == i64::MAX {
            return Err(Error::runtime(format!("{}: effective kernel size overflows", c.name())));
        }
        if padding[i] > reach / 2 {
            return Err(Error::runtime(format!(
                "pad should be at most half of effective kernel size, but got pad={}, kernel_size={} and dilation={}",
                padding[i], size[i], dilation[i]
            )));
        }
        out.push(Pool { size: size[i], stride: stride[i], padding: padding[i], dilation: dilation[i] });
    }
    Ok(out)
}

fn check_pooled(x: &Value, pools: &[Pool], ceil: bool) -> Result<()> {
    let dims = x.dims();
    for (p, &n) in pools.iter().zip(&dims[dims.len() - pools.len()..]) {
        if p.count(n, ceil) <= 0 {
            return Err(Error::runtime(format!(
                "Given input size: {:?}. Calculated output size is too small",
                dims.as_slice()
            )));
        }
    }
    Ok(())
}

fn max_pool(c: &mut Call<'_>, n: usize, both: bool) -> Result<Returned> {
    let x = c.value(0)?;
    let pools = pools(c, n, &x, true)?;
    let ceil = c.bool(5)?;
    let dims = x.dims();
    if dims[dims.len() - n - 1..].contains(&0) {
        return Err(Error::runtime(match n {
            1 => format!(
                "max_pool1d() Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:{:?}",
                dims.as_slice()
            ),
            _ => format!(
                "max_pool{n}d(): Expected input to have non-zero size for non-batch dimensions, but got {:?}",
                dims.as_slice()
            ),
        }));
    }
    check_pooled(&x, &pools, ceil)?;
    let both = both || c.bool(6)?;
    let scope = Scope::new(&mut c.b);
    let xv = scope.val(&x);
    let (v, i) = pooling::max_pool(&xv, &pools, ceil);
    let (v, i) = (v.into_value(), i.into_value());
    Ok(if both { super::support::named(&[], v, i) } else { v.into() })
}

fn avg_pool(c: &mut Call<'_>, n: usize) -> Result<Returned> {
    let x = c.value(0)?;
    let pools = pools(c, n, &x, false)?;
    let (ceil, count) = (c.bool(4)?, c.bool(5)?);
    let divisor = if c.args.len() > 6 { c.opt_int(6)? } else { None };
    if divisor == Some(0) {
        return Err(Error::runtime("divisor must be not zero"));
    }
    require_float(c, &x)?;
    check_pooled(&x, &pools, ceil)?;
    Ok(with1(&mut c.b, &x, |x| pooling::avg_pool(x, &pools, ceil, count, divisor)).into())
}

fn adaptive_sizes(c: &Call<'_>, n: usize, x: &Value) -> Result<Vec<i64>> {
    let dims = x.dims();
    if dims.len() != n + 1 && dims.len() != n + 2 {
        return Err(Error::runtime(format!(
            "{}(): Expected {}D or {}D tensor, but got {:?}",
            c.name(),
            n + 1,
            n + 2,
            dims.as_slice()
        )));
    }
    let sizes = spread(c, 1, n)?;
    if sizes.iter().any(|&s| s < if n == 1 { 0 } else { -1 }) {
        return Err(Error::runtime(
            "adaptive pooling: elements of output_size must be greater than or equal to 0",
        ));
    }
    Ok(sizes.iter().zip(&dims[dims.len() - n..]).map(|(&s, &d)| if s == -1 { d } else { s }).collect())
}

fn adaptive_avg(c: &mut Call<'_>, n: usize) -> Result<Returned> {
    let x = c.value(0)?;
    let sizes = adaptive_sizes(c, n, &x)?;
    Ok(with1(&mut c.b, &x, |x| pooling::adaptive_avg_pool(x, &sizes)).into())
}

fn adaptive_max(c: &mut Call<'_>, n: usize) -> Result<Returned> {
    let x = c.value(0)?;
    let sizes = adaptive_sizes(c, n, &x)?;
    let both = c.bool(2)?;
    let (v, i) = super::support::pair1(&mut c.b, &x, |x| pooling::adaptive_max_pool(x, &sizes));
    Ok(if both { super::support::named(&[], v, i) } else { v.into() })
}

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
    let scope = Scope::new(&mut c.b);
    let xv = scope.val(&x);
    let (wv, bv) = (w.as_ref().map(|w| scope.val(w)), bias.as_ref().map(|b| scope.val(b)));
    Ok(norm::group_norm(&xv, groups, wv.as_ref(), bv.as_ref(), eps).into_value().into())
}

fn embed(c: &mut Call<'_>, weight: usize, index: usize, padding: Option<i64>) -> Result<Returned> {
    let (w, i) = (c.value(weight)?, c.value(index)?);
    if !matches!(i.ty.dtype, DType::I64 | DType::I32) {
        return Err(Error::runtime(format!(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got torch.{}Tensor instead (while checking arguments for embedding)",
            scalar_type_name(i.ty.dtype)
        )));
    }
    if w.ty.rank() != 2 {
        return Err(Error::runtime("'weight' must be 2-D"));
    }
    Ok(with2(&mut c.b, &w, &i, |w, i| embedding::embedding(w, i, padding)).into())
}

fn dropout(c: &mut Call<'_>, p: f64, training: bool, feature: bool) -> Result<Value> {
    let x = c.value(0)?;
    if !(0.0..=1.0).contains(&p) {
        return Err(Error::Plain {
            exception: crate::error::Exception::Value,
            detail: format!("dropout probability has to be between 0 and 1, but got {p}"),
        });
    }
    if !training || p == 0.0 || x.dims().contains(&0) {
        return Ok(x);
    }
    if p == 1.0 {
        let zero = c.b.full_like(&x, 0.0);
        return Ok(c.b.mul(&x, &zero));
    }
    let mut sizes = x.dims();
    if feature {
        sizes.iter_mut().skip(2).for_each(|n| *n = 1);
    }
    let g = random::default_generator();
    let kept = random::bernoulli(&mut c.b, &g, 1.0 - p, &sizes)?;
    // PyTorch's: the mask as a number, divided by the probability, times the input.
    let mask = c.b.cast(&kept, x.ty.dtype);
    let by = c.b.full_like(&mask, 1.0 - p);
    let mask = c.b.div(&mask, &by);
    let mask = c.b.expand(&mask, x.ty.shape.clone());
    Ok(c.b.mul(&x, &mask))
}

fn reduction_of(c: &Call<'_>, i: usize) -> Result<Reduction> {
    match c.str(i)? {
        "none" => Ok(Reduction::None),
        "mean" => Ok(Reduction::Mean),
        "sum" => Ok(Reduction::Sum),
        other => Err(Error::value(format!("{other} is not a valid value for reduction"))),
    }
}

/// Input and target as floats of one type, broadcast.
fn paired(c: &mut Call<'_>) -> Result<(Value, Value)> {
    let (x, y) = (c.value(0)?, c.value(1)?);
    let dtype = crate::ops::promote::promote_types(x.ty.dtype, y.ty.dtype);
    let (x, y) = (c.b.cast(&x, dtype), c.b.cast(&y, dtype));
    broadcast2(c, &x, &y)
}

fn pair_loss(
    c: &mut Call<'_>,
    at: usize,
    f: impl for<'r> FnOnce(&V<'r>, &V<'r>, Reduction) -> V<'r>,
) -> Result<Returned> {
    let r = reduction_of(c, at)?;
    let (x, y) = paired(c)?;
    require_float(c, &x)?;
    Ok(with2(&mut c.b, &x, &y, |x, y| f(x, y, r)).into())
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
    if matches!(target.ty.dtype, DType::I64 | DType::U8 | DType::I32) {
        return Ok(());
    }
    Err(Error::runtime(format!("expected scalar type Long but found {}", scalar_type_name(target.ty.dtype))))
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

fn attention(c: &mut Call<'_>) -> Result<Returned> {
    let (q, k, v, mask) = (c.value(0)?, c.value(1)?, c.value(2)?, c.opt_value(3)?);
    let (p, is_causal, scale, enable_gqa) = (c.float(4)?, c.bool(5)?, c.opt_float(6)?, c.bool(7)?);
    let (qs, ks, vs) = (q.dims(), k.dims(), v.dims());
    if qs.len() < 2 || ks.len() < 2 || vs.len() < 2 {
        return Err(Error::runtime(
            "scaled_dot_product_attention: Expected query, key and value to be at least 2 dimensional",
        ));
    }
    if q.ty.dtype != k.ty.dtype || q.ty.dtype != v.ty.dtype {
        return Err(Error::runtime("Expected query, key, and value to have the same dtype"));
    }
    if qs[qs.len() - 1] != ks[ks.len() - 1] || ks[ks.len() - 2] != vs[vs.len() - 2] {
        return Err(Error::runtime(format!(
            "scaled_dot_product_attention: sizes of query {:?}, key {:?} and value {:?} do not fit",
            qs.as_slice(),
            ks.as_slice(),
            vs.as_slice()
        )));
    }
    if is_causal && mask.is_some() {
        return Err(Error::runtime(
            "scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True",
        ));
    }
    let mut sizes: Vec<i64> = qs[..qs.len() - 1].to_vec();
    sizes.push(ks[ks.len() - 2]);
    let keep = if p > 0.0 {
        let g = random::default_generator();
        let kept = random::bernoulli(&mut c.b, &g, 1.0 - p, &sizes)?;
        let m = c.b.cast(&kept, q.ty.dtype);
        let by = c.b.full_like(&m, 1.0 - p);
        Some(c.b.div(&m, &by))
    } else {
        None
    };
    let mask = mask.map(|m| if m.ty.dtype == DType::Bool { m } else { c.b.cast(&m, q.ty.dtype) });
    let scope = Scope::new(&mut c.b);
    let (qv, kv, vv) = (scope.val(&q), scope.val(&k), scope.val(&v));
    let (mv, dv) = (mask.as_ref().map(|m| scope.val(m)), keep.as_ref().map(|d| scope.val(d)));
    let settings = Attention { is_causal, scale, enable_gqa };
    Ok(scaled_dot_product_attention(&qv, &kv, &vv, mv.as_ref(), dv.as_ref(), settings).into_value().into())
}

fn pad(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let list = c.ints(1)?;
    let rank = x.ty.rank();
    if list.len() % 2 != 0 {
        return Err(Error::runtime("Padding length must be divisible by 2"));
    }
    if list.len() / 2 > rank {
        return Err(Error::runtime(format!(
            "Padding length should be less than or equal to two times the input dimension but got padding length {} and input of dimension {rank}",
            list.len()
        )));
    }
    let kind = match c.str(2)? {
        "constant" => Padding::Constant(c.opt_float(3)?.unwrap_or(0.0)),
        "reflect" => Padding::Reflect,
        "replicate" => Padding::Replicate,
        "circular" => Padding::Circular,
        other => {
            return Err(Error::Plain {
                exception: crate::error::Exception::NotImplemented,
                detail: format!("Unrecognised padding mode {other}"),
            });
        }
    };
    let mut amounts = vec![(0, 0); rank];
    for (i, pair) in list.chunks_exact(2).enumerate() {
        amounts[rank - 1 - i] = (pair[0], pair[1]);
    }
    for (axis, &(low, high)) in amounts.iter().enumerate() {
        let n = x.dims()[axis];
        if n + low + high < 0 {
            return Err(Error::runtime(format!(
                "The input size {n}, plus negative padding {low} and {high}, resulted in a negative output size, which is invalid. Check dimension {axis} of your input."
            )));
        }
        let most = match kind {
            Padding::Reflect => n - 1,
            Padding::Circular => n,
            Padding::Constant(_) | Padding::Replicate => i64::MAX,
        };
        if (low > 0 && low > most) || (high > 0 && high > most) {
            return Err(Error::runtime(format!(
                "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding ({low}, {high}) at dimension {axis} of input {:?}",
                x.dims().as_slice()
            )));
        }
    }
    let pads_some = !matches!(kind, Padding::Constant(_));
    if pads_some && (list.len() / 2 + 1 > rank || list.len() / 2 + 2 < rank) {
        return Err(Error::Plain {
            exception: crate::error::Exception::NotImplemented,
            detail: "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now".into(),
        });
    }
    Ok(with1(&mut c.b, &x, |x| padding::pad(x, &amounts, kind)).into())
}

fn one_hot(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    if t.dtype() != DType::I64 {
        return Err(Error::runtime("one_hot is only applicable to index tensor of type LongTensor."));
    }
    let given = c.int(1)?;
    let found = crate::host::scalars(&t)?;
    let (low, high) = found.iter().fold((0, -1), |(l, h), s| (l.min(s.as_i64()), h.max(s.as_i64())));
    if low < 0 {
        return Err(Error::runtime("Class values must be non-negative."));
    }
    let classes = if given == -1 { high + 1 } else { given };
    if classes <= 0 {
        return Err(Error::runtime("Can not infer total number of classes from empty tensor."));
    }
    if high >= classes {
        return Err(Error::runtime("Class values must be smaller than num_classes."));
    }
    let i = t.value();
    Ok(with1(&mut c.b, &i, |i| embedding::one_hot(i, classes)).into())
}

fn normalize(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let (p, axis, eps) = (c.float(1)?, c.dim(2, x.ty.rank())?, c.float(3)?);
    let wide = super::support::at_least_1d(&mut c.b, &x);
    let y = with1(&mut c.b, &wide, |x| norm::normalize(x, p, axis, eps));
    Ok(c.b.reshape(&y, x.ty.shape.clone()).into())
}

fn glu(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    if x.ty.rank() == 0 {
        return Err(Error::runtime("glu does not support 0-dimensional tensors"));
    }
    let axis = normalize_dim(c.int(1)?, x.ty.rank())?;
    let n = x.dims()[axis];
    if n % 2 != 0 {
        return Err(Error::runtime(format!(
            "Halving dimension must be even, but dimension {axis} is size {n}"
        )));
    }
    Ok(with1(&mut c.b, &x, |x| act::glu(x, axis)).into())
}

fn prelu(c: &mut Call<'_>) -> Result<Returned> {
    let (x, w) = (c.value(0)?, c.value(1)?);
    let n: i64 = w.dims().iter().product();
    if x.ty.rank() == 0 && n != 1 {
        return Err(Error::runtime("Not allow zero-dim input tensor."));
    }
    if w.ty.rank() > 1 {
        return Err(Error::runtime(format!(
            "prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {}",
            w.ty.rank()
        )));
    }
    let channels = if x.ty.rank() < 2 { 1 } else { x.dims()[1] };
    if n != 1 && n != channels {
        return Err(Error::runtime(format!(
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = {n} and channel size = {channels}."
        )));
    }
    Ok(with2(&mut c.b, &x, &w, act::prelu).into())
}

rows! {
    "relu" Torch "fmi" Output ["(Tensor self) -> Tensor"] "max(x, 0)." => |c| same1(c, act::relu);
    "relu" Nn "f" Output ["(Tensor self, bool inplace=False) -> Tensor"] "max(x, 0)." => relu;
    "relu_" Nn "f" Output ["(Tensor self) -> Tensor"] "max(x, 0), in place." => |c| {
            let x = c.value(0)?;
            let y = with1(&mut c.b, &x, act::relu);
            let t = c.tensor(0)?;
            crate::ops::invoke::write_result(&t, y)?;
            Ok(t.into())
        };
    "relu6" Nn "f" Output ["(Tensor self, bool inplace=False) -> Tensor"] "min(max(x, 0), 6)." => |c| activation(c, act::relu6);
    "hardtanh" Nn "f" Output ["(Tensor self, float min_val=-1.0, float max_val=1.0, bool inplace=False) -> Tensor"]
        "x brought into a range." => |c| { let (l, h) = (c.float(1)?, c.float(2)?); if l > h { return Err(Error::value("min_val cannot be greater than max_val")); } activation(c, |x| act::hardtanh(x, l, h)) };
    "leaky_relu" Nn "f" Inputs ["(Tensor self, float negative_slope=0.01, bool inplace=False) -> Tensor"]
        "x where positive, else slope * x." => |c| { let s = c.float(1)?; activation(c, |x| act::leaky_relu(x, s)) };
    "elu" Nn "f" Inputs ["(Tensor self, float alpha=1.0, bool inplace=False) -> Tensor"]
        "x where positive, else alpha * (exp(x) - 1)." => |c| { let a = c.float(1)?; activation(c, |x| act::elu(x, a, 1.0, 1.0)) };
    "selu" Nn "f" Inputs ["(Tensor self, bool inplace=False) -> Tensor"] "The self-normalising exponential unit." => |c| activation(c, act::selu);
    "celu" Nn "f" Inputs ["(Tensor self, float alpha=1.0, bool inplace=False) -> Tensor"]
        "max(0, x) + min(0, alpha * (exp(x / alpha) - 1))." => |c| { let a = c.float(1)?; if a == 0.0 { return Err(Error::runtime("ZeroDivisionError: alpha cannot be 0 for CELU")); } activation(c, |x| act::celu(x, a)) };
    "gelu" Nn "f" Inputs ["(Tensor self, *, str approximate='none') -> Tensor"]
        "x times the normal distribution function of x, or its approximation by tanh." => gelu;
    "sigmoid" Nn "f" Output ["(Tensor self) -> Tensor"] "1 / (1 + exp(-x))." => |c| { let x = c.value(0)?; let x = to_float(&mut c.b, &x); Ok(with1(&mut c.b, &x, act::sigmoid).into()) };
    "tanh" Nn "f" Output ["(Tensor self) -> Tensor"] "The hyperbolic tangent." => |c| { let x = c.value(0)?; let x = to_float(&mut c.b, &x); Ok(c.b.unary(ttk_ir::Unary::Tanh, &x).into()) };
    "logsigmoid" Nn "f" Inputs ["(Tensor self) -> Tensor"] "log(sigmoid(x))." => |c| activation(c, act::logsigmoid);
    "silu" Nn "f" Inputs ["(Tensor self, bool inplace=False) -> Tensor"] "x * sigmoid(x)." => |c| activation(c, act::silu);
    "mish" Nn "f" Inputs ["(Tensor self, bool inplace=False) -> Tensor"] "x * tanh(softplus(x))." => |c| activation(c, act::mish);
    "softplus" Nn "f" Inputs ["(Tensor self, float beta=1, float threshold=20) -> Tensor"]
        "log(1 + exp(beta x)) / beta, x above the threshold." => |c| { let (b, t) = (c.float(1)?, c.float(2)?); activation(c, |x| act::softplus(x, b, t)) };
    "hardsigmoid" Nn "f" Inputs ["(Tensor self, bool inplace=False) -> Tensor"] "min(max(x / 6 + 1/2, 0), 1)." => |c| activation(c, act::hardsigmoid);
    "hardswish" Nn "f" Inputs ["(Tensor self, bool inplace=False) -> Tensor"] "x * hardsigmoid(x)." => |c| activation(c, act::hardswish);
    "softshrink" Nn "f" Inputs ["(Tensor self, float lambd=0.5) -> Tensor"]
        "x brought lambda nearer to 0." => |c| { let l = c.float(1)?; if l < 0.0 { return Err(Error::runtime(format!("lambda must be greater or equal to 0, but found to be {l}."))); } activation(c, |x| act::softshrink(x, l)) };
    "hardshrink" Nn "f" Inputs ["(Tensor self, float lambd=0.5) -> Tensor"]
        "x, or 0 where it is within lambda." => |c| { let l = c.float(1)?; activation(c, |x| act::hardshrink(x, l)) };
    "hardshrink" Torch "fm" Inputs ["(Tensor self, float lambd=0.5) -> Tensor"]
        "x, or 0 where it is within lambda." => |c| { let l = c.float(1)?; activation(c, |x| act::hardshrink(x, l)) };
    "tanhshrink" Nn "f" Inputs ["(Tensor self) -> Tensor"] "x - tanh(x)." => |c| activation(c, act::tanhshrink);
    "softsign" Nn "f" Inputs ["(Tensor self) -> Tensor"] "x / (1 + |x|)." => |c| activation(c, act::softsign);
    "threshold" Nn "f" Inputs ["(Tensor self, float threshold, float value, bool inplace=False) -> Tensor"]
        "x above a threshold, else a value." => |c| { let (t, v) = (c.float(1)?, c.float(2)?); let x = c.value(0)?; let y = with1(&mut c.b, &x, |x| act::threshold(x, t, v)); finish_in_place(c, y) };
    "prelu" Nn "f" Inputs ["(Tensor self, Tensor weight) -> Tensor"] "x where positive, else weight * x." => prelu;
    "prelu" Torch "fm" Inputs ["(Tensor self, Tensor weight) -> Tensor"] "x where positive, else weight * x." => prelu;
    "glu" Nn "f" Inputs ["(Tensor self, int dim=-1) -> Tensor"] "One half times the sigmoid of the other." => glu;
    "linear" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None) -> Tensor"] "x weight^T + bias." => linear_;
    "conv1d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] padding=0, int[1] dilation=1, int groups=1) -> Tensor",
        "(Tensor self, Tensor weight, Tensor? bias=None, int[1] stride=1, str padding='valid', int[1] dilation=1, int groups=1) -> Tensor"]
        "Convolution over one axis." => |c| conv(c, 1);
    "conv2d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, int[2] dilation=1, int groups=1) -> Tensor",
        "(Tensor self, Tensor weight, Tensor? bias=None, int[2] stride=1, str padding='valid', int[2] dilation=1, int groups=1) -> Tensor"]
        "Convolution over two axes." => |c| conv(c, 2);
    "conv3d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] padding=0, int[3] dilation=1, int groups=1) -> Tensor",
        "(Tensor self, Tensor weight, Tensor? bias=None, int[3] stride=1, str padding='valid', int[3] dilation=1, int groups=1) -> Tensor"]
        "Convolution over three axes." => |c| conv(c, 3);
    "conv_transpose1d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] padding=0, int[1] output_padding=0, int groups=1, int[1] dilation=1) -> Tensor"]
        "The adjoint of a convolution over one axis." => |c| conv_transposed(c, 1);
    "conv_transpose2d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, int[2] output_padding=0, int groups=1, int[2] dilation=1) -> Tensor"]
        "The adjoint of a convolution over two axes." => |c| conv_transposed(c, 2);
    "conv_transpose3d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] padding=0, int[3] output_padding=0, int groups=1, int[3] dilation=1) -> Tensor"]
        "The adjoint of a convolution over three axes." => |c| conv_transposed(c, 3);
    "max_pool1d" Nn "f" Inputs ["(Tensor self, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, int[1] dilation=1, bool ceil_mode=False, bool return_indices=False) -> Tensor"]
        "The largest element of each window." => |c| max_pool(c, 1, false);
    "max_pool2d" Nn "f" Inputs ["(Tensor self, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, int[2] dilation=1, bool ceil_mode=False, bool return_indices=False) -> Tensor"]
        "The largest element of each window." => |c| max_pool(c, 2, false);
    "max_pool3d" Nn "f" Inputs ["(Tensor self, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, int[3] dilation=1, bool ceil_mode=False, bool return_indices=False) -> Tensor"]
        "The largest element of each window." => |c| max_pool(c, 3, false);
    "max_pool1d_with_indices" Nn "f" Inputs ["(Tensor self, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, int[1] dilation=1, bool ceil_mode=False, bool return_indices=True) -> (Tensor, Tensor)"]
        "The largest element of each window, and where it is." => |c| max_pool(c, 1, true);
    "max_pool2d_with_indices" Nn "f" Inputs ["(Tensor self, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, int[2] dilation=1, bool ceil_mode=False, bool return_indices=True) -> (Tensor, Tensor)"]
        "The largest element of each window, and where it is." => |c| max_pool(c, 2, true);
    "max_pool3d_with_indices" Nn "f" Inputs ["(Tensor self, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, int[3] dilation=1, bool ceil_mode=False, bool return_indices=True) -> (Tensor, Tensor)"]
        "The largest element of each window, and where it is." => |c| max_pool(c, 3, true);
    "avg_pool1d" Nn "f" Inputs ["(Tensor self, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, bool ceil_mode=False, bool count_include_pad=True) -> Tensor"]
        "The mean of each window." => |c| avg_pool(c, 1);
    "avg_pool2d" Nn "f" Inputs ["(Tensor self, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor"]
        "The mean of each window." => |c| avg_pool(c, 2);
    "avg_pool3d" Nn "f" Inputs ["(Tensor self, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor"]
        "The mean of each window." => |c| avg_pool(c, 3);
    "adaptive_avg_pool1d" Nn "f" Inputs ["(Tensor self, int[1] output_size) -> Tensor"] "Means of windows, so many." => |c| adaptive_avg(c, 1);
    "adaptive_max_pool1d" Nn "f" Inputs ["(Tensor self, int[1] output_size, bool return_indices=False) -> Tensor"] "Largest elements of windows, so many." => |c| adaptive_max(c, 1);
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
    "dropout" Nn "f" Nothing ["(Tensor self, float p=0.5, bool training=True, bool inplace=False) -> Tensor"]
        "Elements set to 0 with probability p, the others divided by 1 - p." => |c| {
            let (p, training) = (c.float(1)?, c.bool(2)?);
            let y = dropout(c, p, training, false)?;
            if !training || p == 0.0 {
                return Ok(c.tensor(0)?.into());
            }
            finish_in_place(c, y)
        };
    "dropout" Torch "f" Nothing ["(Tensor self, float p, bool train) -> Tensor"]
        "Elements set to 0 with probability p, the others divided by 1 - p." => |c| { let (p, t) = (c.float(1)?, c.bool(2)?); Ok(dropout(c, p, t, false)?.into()) };
    "nll_loss" Nn "f" Inputs ["(Tensor self, Tensor target, Tensor? weight=None, bool? size_average=None, int ignore_index=-100, bool? reduce=None, str reduction='mean') -> Tensor"]
        "Minus the log-probability of the target class." => nll_loss;
    "cross_entropy" Nn "f" Inputs ["(Tensor self, Tensor target, Tensor? weight=None, bool? size_average=None, int ignore_index=-100, bool? reduce=None, str reduction='mean', float label_smoothing=0.0) -> Tensor"]
        "Minus the log-softmax of the target class, or its mean over target probabilities." => cross_entropy;
    "binary_cross_entropy" Nn "f" Inputs ["(Tensor self, Tensor target, Tensor? weight=None, bool? size_average=None, bool? reduce=None, str reduction='mean') -> Tensor"]
        "The cross entropy of probabilities of two classes." => |c| bce(c, false);
    "binary_cross_entropy_with_logits" Nn "f" Inputs ["(Tensor self, Tensor target, Tensor? weight=None, bool? size_average=None, bool? reduce=None, str reduction='mean', Tensor? pos_weight=None) -> Tensor"]
        "The cross entropy of logits of two classes." => |c| bce(c, true);
    "scaled_dot_product_attention" Nn "f" Inputs ["(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor"]
        "softmax(query key^T / sqrt(width) + mask) value." => attention;
    "pad" Nn "f" Nothing ["(Tensor self, int[] pad, str mode='constant', float? value=None) -> Tensor"]
        "Elements around the last axes, given from the last one on." => pad;
    "constant_pad_nd" Torch "f" Nothing ["(Tensor self, int[] pad, float value=0) -> Tensor"]
        "A constant around the last axes." => |c| {
            let mut args: Vec<Arg> = c.args[..2].to_vec();
            args.push(Arg::Str("constant".into()));
            args.push(c.args[2].clone());
            pad(&mut Call::new(c.row, 0, &args))
        };
    "one_hot" Nn "f" Nothing ["(Tensor self, int num_classes=-1) -> Tensor"] "Class numbers as rows of 0 and 1." => one_hot;
    "embedding" Torch "f" Nothing ["(Tensor weight, Tensor indices, int padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor"]
        "Rows of a table." => |c| { let p = c.int(2)?; embed(c, 0, 1, (p >= 0).then_some(p)) };
    "batch_norm" Torch "f" Inputs ["(Tensor self, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps, bool cudnn_enabled) -> Tensor"]
        "Channels brought to mean 0 and variance 1." => |c| batch_norm(c, [3, 4, 1, 2, 5, 6, 7]);
}
